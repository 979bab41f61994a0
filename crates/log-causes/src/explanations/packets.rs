//! Explanations: packets that violate the standard.

use ungraceful_mqtt::statement::{
    V5_2_1_3_1, V5_3_2_2_11, V5_3_2_2_14, V5_3_2_2_17, V5_3_3_1_2, V5_3_3_2_2, V5_3_3_2_7, V5_3_3_2_8,
    V5_4_7_1_1, V5_4_13_1_1, V311_2_2_2_2, V311_3_3_2_2, V311_4_8_0_1,
};

use super::{Closer, Explanation, Provoke};
use crate::cause::Cause;

pub(super) const ALL: &[Explanation] = &[
    Explanation {
        cause: Cause::Malformed,
        title: "a packet was malformed",
        closed_by: Closer::Broker,
        standard: &[V5_4_13_1_1, V5_2_1_3_1, V311_2_2_2_2],
        standard_prose: "",
        behind: &[
            "a faulty client library, or one that mixes the layouts of 3.1.1 and 5.0",
            "two threads that write to one socket, so that packets are interleaved",
            "on RabbitMQ, also a second CONNECT: it is logged as a packet that can't be parsed",
        ],
        tell_apart: &[
            "always the same packet: the library",
            "rarely, under load: two writers",
            "right after connect, from unknown addresses: not MQTT at all",
        ],
        provoke: Provoke::scenario(&["packet/*"]),
        cure_client: &[
            "update the library; use one writer per connection",
            "capture the bytes (tcpdump) and compare them with the standard",
        ],
        cure_broker: &["log the packet or its hexadecimal bytes where the broker can"],
    },
    Explanation {
        cause: Cause::ProtocolError,
        title: "the client broke a rule of the protocol",
        closed_by: Closer::Broker,
        standard: &[V5_4_13_1_1, V5_3_3_1_2, V311_4_8_0_1],
        standard_prose: "",
        behind: &[
            "a second CONNECT (Mosquitto and aedes log it this way too), a packet that only a broker sends, a SUBSCRIBE without filters",
            "a repeated property, a Packet Identifier of 0, DUP on QoS 0",
            "a wildcard in the topic of a PUBLISH (Mosquitto 2.0 logs nothing more specific)",
        ],
        tell_apart: &[
            "an earlier line about the same client often names the rule",
            "at connect: the CONNECT itself; later: the last packet before the end",
        ],
        provoke: Provoke::With { tool: "ungraceful-double-connect", mode: "", flags: &[] },
        cure_client: &["update the library", "log the last packet before the end"],
        cure_broker: &["raise the log level: most brokers then name the rule"],
    },
    Explanation {
        cause: Cause::Topic,
        title: "a Topic Name or Topic Filter was not allowed",
        closed_by: Closer::Broker,
        standard: &[V5_3_3_2_2, V5_4_7_1_1, V311_3_3_2_2],
        standard_prose: "each broker sets its own limits on length and levels",
        behind: &[
            "a wildcard in the topic of a PUBLISH: a filter used as a name, or a device name with + or #",
            "a # that is not the last level",
            "topics built from user input: empty, too long, too deep",
        ],
        tell_apart: &["the topic is in the line, or in the line before"],
        provoke: Provoke::With { tool: "ungraceful-violate", mode: "topic-filter", flags: &[] },
        cure_client: &["validate topics before sending; replace + # and NUL in names"],
        cure_broker: &["set length and level limits that fit the fleet"],
    },
    Explanation {
        cause: Cause::TopicAlias,
        title: "a Topic Alias was 0, too large, or not set on this connection",
        closed_by: Closer::Broker,
        standard: &[V5_3_2_2_17, V5_3_3_2_8, V5_3_3_2_7],
        standard_prose: "",
        behind: &[
            "a client that reuses the aliases of its last connection after a reconnect",
            "a client that does not read Topic Alias Maximum from the CONNACK",
        ],
        tell_apart: &[
            "right after a reconnect: aliases carried over",
            "at the n-th topic: the maximum was exceeded",
        ],
        provoke: Provoke::scenario(&["topic-alias-*"]),
        cure_client: &["discard all aliases with the connection; send the topic when an alias is first used"],
        cure_broker: &["raise Topic Alias Maximum where clients ignore it"],
    },
    Explanation {
        cause: Cause::PayloadFormat,
        title: "a payload was declared as UTF-8 and is not",
        closed_by: Closer::Broker,
        standard: &[],
        standard_prose: "section 3.3.2.3.2: a receiver may check the Payload Format Indicator and answer with 0x99",
        behind: &["binary payload sent with Payload Format Indicator 1", "text in another encoding"],
        tell_apart: &["always: the flag is wrong", "sometimes: the text's encoding"],
        provoke: Provoke::scenario(&["publish-pfi-lie"]),
        cure_client: &["omit the indicator, or send UTF-8"],
        cure_broker: &["disable the check where it is not needed"],
    },
    Explanation {
        cause: Cause::NotSupported,
        title: "the client used a QoS, RETAIN or a subscription type that the broker declared unsupported",
        closed_by: Closer::Broker,
        standard: &[V5_3_2_2_11, V5_3_2_2_14],
        standard_prose: "",
        behind: &[
            "QoS 2 on a broker that supports 0 and 1, such as RabbitMQ",
            "retained messages, wildcards or shared subscriptions that are disabled",
        ],
        tell_apart: &["the CONNACK lists what is supported: Maximum QoS, Retain Available and others"],
        provoke: Provoke::scenario(&["publish-qos*-unsupported", "publish-retain-unsupported"]),
        cure_client: &["read the CONNACK's properties and stay within them"],
        cure_broker: &["enable the feature, or document that it is disabled"],
    },
];
