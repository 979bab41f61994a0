//! What was agreed and not kept: acknowledgements, queues, sizes.

use ungraceful_mqtt::statement::{
    V5_2_2_1_3, V5_3_1_2_24, V5_3_1_2_25, V5_3_2_2_15, V5_3_3_4_7, V5_3_3_4_9, V5_4_9_0_2, V311_2_3_1_1,
};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::ReceiveMaximum,
        title: "the client had more unacknowledged PUBLISH packets than the broker's Receive Maximum",
        closed_by: Closer::Broker,
        standard: &[V5_3_3_4_7, V5_4_9_0_2],
        standard_prose: "that the broker answers by DISCONNECT 0x93 is prose of section 3.3.4; a broker may tolerate it",
        behind: &[
            "a client that does not read Receive Maximum from the CONNACK, or only at its first connect",
            "after a reconnect everything in flight is sent at once, beyond a maximum that is small",
            "a client that never sends PUBREL for its QoS 2 messages, so that the quota is never given back",
        ],
        tell_apart: &[
            "right after each connect: what is sent again exceeds the maximum",
            "in a burst: the client does not count",
            "after a long time at the same count: the quota leaks, at the client or at the broker",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "receive-maximum", flags: &[] },
        cure_client: &[
            "read Receive Maximum from each CONNACK and stop there; no property means 65,535",
            "a library that does: most have a setting for messages in flight",
        ],
        cure_broker: &[
            "raise Receive Maximum where clients can't be mended (HiveMQ's default is 10, Mosquitto's 20)",
            "`ungraceful flood quota-leak` shows whether the broker itself loses count",
        ],
    },
    Explanation {
        cause: Cause::Unacked,
        title: "a subscriber did not acknowledge what it was sent",
        closed_by: Closer::Broker,
        standard: &[V5_3_3_4_9],
        standard_prose: "no statement says how long a broker must wait for acknowledgements",
        behind: &[
            "a subscriber that acknowledges by hand, after work that takes too long or fails",
            "a callback that blocks the thread which would send PUBACK",
            "a client that lost its state and no longer knows the Packet Identifiers",
        ],
        tell_apart: &[
            "one subscriber: its program",
            "all of a topic: a message that none of them can process",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "unacked-subscriber", flags: &[] },
        cure_client: &[
            "acknowledge first, or hand the work to another thread",
            "a limit on work per message",
        ],
        cure_broker: &[
            "raise the limit for unacknowledged messages or their time",
            "share the subscription among several consumers",
        ],
    },
    Explanation {
        cause: Cause::QueueFull,
        title: "the broker's queue for a client was full, and messages were dropped",
        closed_by: Closer::Nobody,
        standard: &[],
        standard_prose: "the standard lets a broker limit what it keeps, and sets no size",
        behind: &[
            "a client with a session that is away for longer than the queue holds",
            "a subscriber slower than its publishers",
            "a burst of retained messages at a broad subscription",
        ],
        tell_apart: &[
            "the client is not connected: it was away",
            "it is connected: it is slow, or acknowledges late",
            "right after its SUBSCRIBE: retained messages",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "offline-queue", flags: &[] },
        cure_client: &[
            "come back sooner, or end the session that nobody uses",
            "Message Expiry Interval on what ages (MQTT 5.0)",
        ],
        cure_broker: &[
            "a longer queue for the few clients that need it",
            "shared subscriptions for slow work",
        ],
    },
    Explanation {
        cause: Cause::SlowConsumer,
        title: "a client did not read as fast as it was sent to",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: "the standard says nothing about clients that do not read",
        behind: &[
            "a subscriber that blocks in its callback, or sleeps",
            "a bad or narrow network, so that TCP's window stays shut",
            "a subscription to far more than the client can take, # often",
        ],
        tell_apart: &[
            "one client: its program or its network",
            "all at once: a publisher that went wild, or the broker's own machine",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "slow-consumer", flags: &[] },
        cure_client: &["read in a thread of its own", "subscribe to less; QoS 0 for what may be lost"],
        cure_broker: &[
            "limits per client for queues and buffers, so that one does not cost all",
            "shared subscriptions",
        ],
    },
    Explanation {
        cause: Cause::PacketTooLarge,
        title: "the client sent a packet that is larger than the broker takes",
        closed_by: Closer::Broker,
        standard: &[V5_3_2_2_15],
        standard_prose: "",
        behind: &[
            "files, pictures or batches in one message",
            "a limit of the broker's that is lower than it was, or than another broker's",
            "a wrong Remaining Length: garbage read as a huge packet",
        ],
        tell_apart: &[
            "the size in the line: plausible for a message, or absurd",
            "since an update of the broker: its default changed",
        ],
        provoke: Provoke::NotYet("mosquitto_pub -f FILE with a file above the limit"),
        cure_client: &[
            "read Maximum Packet Size from the CONNACK",
            "split, or store elsewhere and send a link",
        ],
        cure_broker: &["raise the maximum where it is meant (max_packet_size, message_size_limit)"],
    },
    Explanation {
        cause: Cause::TooLargeForClient,
        title: "a message was larger than the client said it takes, and was dropped",
        closed_by: Closer::Nobody,
        standard: &[V5_3_1_2_24, V5_3_1_2_25],
        standard_prose: "",
        behind: &["a client with a small Maximum Packet Size, and publishers that do not know of it"],
        tell_apart: &["the sizes in the line: by how much"],
        provoke: Provoke::NotYet("connect with a Maximum Packet Size below the message's size"),
        cure_client: &["raise Maximum Packet Size, or subscribe to less"],
        cure_broker: &["nothing: it must drop"],
    },
    Explanation {
        cause: Cause::PacketIdentifier,
        title: "a Packet Identifier was unknown, used twice, or acknowledged out of order",
        closed_by: Closer::Unknown,
        standard: &[V5_2_2_1_3, V311_2_3_1_1],
        standard_prose: "an acknowledgement with an unknown Packet Identifier is no violation: 0x92 answers it",
        behind: &[
            "a client that lost its state and goes on with the session",
            "a session that the broker lost: it restarted without persistence",
            "two threads that share a counter of Packet Identifiers",
        ],
        tell_apart: &[
            "after a restart of the broker: its sessions",
            "after one of the client: its state",
            "at any time: the client's counter",
        ],
        provoke: Provoke::NotYet("no mode sends unknown acknowledgements"),
        cure_client: &["keep the state of a session as long as the session, or ask for Clean Start"],
        cure_broker: &["persistence for sessions that should outlive a restart"],
    },
];
