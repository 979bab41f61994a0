//! Explanations: exceeded limits on acknowledgements, queues and sizes.

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
        standard_prose: "section 3.3.4 says in prose that the broker answers with DISCONNECT 0x93; a broker may tolerate it",
        behind: &[
            "a client that does not read Receive Maximum from the CONNACK, or only at its first connect",
            "after a reconnect everything in flight is sent again at once and exceeds a small maximum",
            "a client that never sends PUBREL for its QoS 2 messages, so the quota is never restored",
        ],
        tell_apart: &[
            "right after each connect: the messages sent again exceed the maximum",
            "in a burst: the client does not count",
            "after a long time at the same count: the quota leaks, at the client or at the broker",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "receive-maximum", flags: &[] },
        cure_client: &[
            "read Receive Maximum from each CONNACK and stay within it; no property means 65,535",
            "use a library that does: most have a setting for messages in flight",
        ],
        cure_broker: &[
            "raise Receive Maximum where clients can't be fixed (HiveMQ's default is 10, Mosquitto's 20)",
            "`ungraceful flood quota-leak` shows whether the broker itself loses count",
        ],
    },
    Explanation {
        cause: Cause::Unacked,
        title: "a subscriber did not acknowledge the messages it received",
        closed_by: Closer::Broker,
        standard: &[V5_3_3_4_9],
        standard_prose: "no statement says how long a broker must wait for acknowledgements",
        behind: &[
            "a subscriber that acknowledges manually, after work that takes too long or fails",
            "a callback that blocks the thread that sends PUBACK",
            "a client that lost its state and no longer knows the Packet Identifiers",
        ],
        tell_apart: &[
            "one subscriber: its program",
            "all subscribers of a topic: a message that none of them can process",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "unacked-subscriber", flags: &[] },
        cure_client: &["acknowledge first, or hand the work to another thread", "limit the work per message"],
        cure_broker: &[
            "raise the limit or the timeout for unacknowledged messages",
            "share the subscription among several consumers",
        ],
    },
    Explanation {
        cause: Cause::QueueFull,
        title: "the broker's queue for a client was full, and messages were dropped",
        closed_by: Closer::NotClosed,
        standard: &[],
        standard_prose: "the standard lets a broker limit what it stores, and sets no size",
        behind: &[
            "a client with a session that is offline longer than the queue lasts",
            "a subscriber slower than its publishers",
            "a burst of retained messages after a broad subscription",
        ],
        tell_apart: &[
            "the client is not connected: it was offline",
            "it is connected: it is slow, or acknowledges late",
            "right after its SUBSCRIBE: retained messages",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "offline-queue", flags: &[] },
        cure_client: &[
            "reconnect sooner, or end unused sessions",
            "set Message Expiry Interval on messages that go stale (MQTT 5.0)",
        ],
        cure_broker: &[
            "use a longer queue for the few clients that need it",
            "use shared subscriptions for slow work",
        ],
    },
    Explanation {
        cause: Cause::SlowConsumer,
        title: "a client did not read as fast as messages were sent to it",
        closed_by: Closer::Unknown,
        standard: &[],
        standard_prose: "the standard says nothing about clients that do not read",
        behind: &[
            "a subscriber that blocks in its callback, or sleeps",
            "a bad or slow network, so TCP's window stays closed",
            "a subscription to far more than the client can take, often #",
        ],
        tell_apart: &[
            "one client: its program or its network",
            "all at once: a runaway publisher, or the broker's machine",
        ],
        provoke: Provoke::With { tool: "ungraceful-flood", mode: "slow-consumer", flags: &[] },
        cure_client: &["read in a separate thread", "subscribe to less; use QoS 0 for what may be lost"],
        cure_broker: &[
            "limit queues and buffers per client, so that one client does not affect all",
            "use shared subscriptions",
        ],
    },
    Explanation {
        cause: Cause::PacketTooLarge,
        title: "the client sent a packet larger than the broker accepts",
        closed_by: Closer::Broker,
        standard: &[V5_3_2_2_15],
        standard_prose: "",
        behind: &[
            "files, pictures or batches in one message",
            "a broker limit that was lowered, or is lower than another broker's",
            "a wrong Remaining Length: garbage that is read as a huge packet",
        ],
        tell_apart: &[
            "the size in the line: plausible for a message, or absurd",
            "since an update of the broker: its default changed",
        ],
        provoke: Provoke::scenario(&["max-packet-exceed"]),
        cure_client: &[
            "read Maximum Packet Size from the CONNACK",
            "split the payload, or store it elsewhere and send a link",
        ],
        cure_broker: &[
            "raise the maximum where large messages are intended (max_packet_size, message_size_limit)",
        ],
    },
    Explanation {
        cause: Cause::TooLargeForClient,
        title: "a message exceeded the client's Maximum Packet Size and was dropped",
        closed_by: Closer::NotClosed,
        standard: &[V5_3_1_2_24, V5_3_1_2_25],
        standard_prose: "",
        behind: &["a client with a small Maximum Packet Size, and publishers that are unaware of it"],
        tell_apart: &["compare the sizes in the line"],
        provoke: Provoke::scenario(&["client-max-packet-tiny"]),
        cure_client: &["raise Maximum Packet Size, or subscribe to less"],
        cure_broker: &["nothing: it must drop"],
    },
    Explanation {
        cause: Cause::PacketIdentifier,
        title: "a Packet Identifier was unknown, used twice, or acknowledged out of order",
        closed_by: Closer::Unknown,
        standard: &[V5_2_2_1_3, V311_2_3_1_1],
        standard_prose: "an acknowledgement with an unknown Packet Identifier is no violation: it is answered with 0x92",
        behind: &[
            "a client that lost its state and continues the session",
            "a session that the broker lost: it restarted without persistence",
            "two threads that share a Packet Identifier counter",
        ],
        tell_apart: &[
            "after a broker restart: its sessions",
            "after a client restart: its state",
            "at any time: the client's counter",
        ],
        provoke: Provoke::scenario(&["ack-unknown-*", "ack-out-of-order"]),
        cure_client: &["keep the session state as long as the session, or use Clean Start"],
        cure_broker: &["enable persistence for sessions that should survive a restart"],
    },
];
