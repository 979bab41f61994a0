//! Where the catalogue and the codecs differ, and why. Every entry is needed: a test fails when one no longer is.
//!
//! An entry names a scenario, `scenario/case`, or either with a version behind a space.

use crate::codecs::Codec;
use crate::codecs::Codec::{Mqtt5Protocol, MqttProtocolCore};

/// Streams with the same reason.
pub(crate) struct Excuse {
    pub(crate) why: &'static str,
    pub(crate) of: &'static [&'static str],
}

/// Malformed packets that other codecs accept.
pub(crate) struct Leniency {
    pub(crate) codecs: &'static [Codec],
    pub(crate) why: &'static str,
    pub(crate) of: &'static [&'static str],
}

/// Provoking packets that are well-formed: what is wrong is when they are sent, or by whom.
pub(crate) const WELL_FORMED: &[Excuse] = &[
    Excuse {
        why: "AUTH needs an Authentication Method in the CONNECT (MQTT 5.0 section 4.12)",
        of: &["auth-reauth-without-method/with-method", "auth-unsolicited", "auth-without-method"],
    },
    Excuse {
        why: "the broker does not have this Authentication Method (MQTT 5.0 [MQTT-4.12.0-1])",
        of: &["auth-method-unsupported", "connect-unknown-auth-method"],
    },
    Excuse {
        why: "a PUBLISH behind a CONNECT that must be refused (MQTT 5.0 section 3.1.4, 3.1.1 section 3.1.4)",
        of: &["publish-after-refusal"],
    },
    Excuse {
        why: "an empty ClientID needs Clean Session: a broker refuses it (MQTT 3.1.1 [MQTT-3.1.3-8])",
        of: &["connect-empty-id/not-clean-v311"],
    },
    Excuse {
        why: "legal, but no CONNACK is as small as the client wants (MQTT 5.0 section 3.1.2.11.4)",
        of: &["connect-tiny-packet-size"],
    },
    Excuse {
        why: "only a Server sends it, or the property or Reason Code in it (MQTT 5.0 sections 2.1.2, 3.3.4 and 3.14.2.1)",
        of: &[
            "client-sends-connack/with-properties",
            "client-sends-connack/without-properties 3.1.1",
            "client-sends-server-packet",
            "disconnect-server-reason",
            "publish-subscription-id",
        ],
    },
    Excuse {
        why: "the first packet is CONNECT (MQTT 5.0 [MQTT-3.1.0-1], MQTT 3.1.1 [MQTT-3.1.0-1])",
        of: &["auth-instead-of-connect", "first-packet-not-connect", "first-packet-publish-not-delivered"],
    },
    Excuse {
        why: "CONNECT is sent once (MQTT 5.0 [MQTT-3.1.0-2], MQTT 3.1.1 [MQTT-3.1.0-2])",
        of: &["double-connect-new-id", "double-connect-same", "double-connect-other-version"],
    },
    Excuse {
        why: "legal: a broker closes after every DISCONNECT (MQTT 5.0 section 3.14.4, 3.1.1 section 3.14.4)",
        of: &["disconnect-before-connack", "disconnect-lower-expiry", "disconnect-then-more"],
    },
    Excuse {
        why: "the CONNECT had Session Expiry Interval 0 (MQTT 5.0 section 3.14.2.2.2)",
        of: &["disconnect-raise-expiry"],
    },
    Excuse {
        why: "the CONNACK announced a limit or no support (MQTT 5.0 section 3.2.2.3)",
        of: &[
            "max-packet-exceed",
            "publish-qos1-unsupported",
            "publish-qos2-unsupported",
            "publish-retain-unsupported",
            "topic-alias-too-large",
            "will-unsupported",
        ],
    },
    Excuse {
        why: "this Network Connection has no such Topic Alias (MQTT 5.0 section 3.3.2.3.4)",
        of: &["topic-alias-carryover", "topic-alias-unmapped"],
    },
];

/// Streams that end inside a packet, so nothing can be said of it.
pub(crate) const CUT: &[Excuse] = &[
    Excuse {
        why: "the connection ends inside the packet",
        of: &[
            "abrupt-in-packet",
            "connect-cut-short",
            "connect-truncated",
            "length-beyond-data",
            "packet-truncated-fin",
        ],
    },
    Excuse { why: "the next step sends the rest, and is no packet by itself", of: &["split-pause"] },
];

/// Malformed packets before the provoking step.
pub(crate) const MALFORMED_BEFORE: &[Excuse] = &[Excuse {
    why: "the CONNECT must be refused, and the PUBLISH behind it is what counts",
    of: &[
        "publish-behind-refused-connect/protocol-level-6",
        "publish-behind-refused-connect/protocol-level-127",
    ],
}];

/// Malformed packets that another codec accepts. Ours reports every one of them.
pub(crate) const THEY_ACCEPT: &[Leniency] = &[
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "does not check which packet a property is in: MQTT 5.0 section 2.2.2.2 calls it malformed",
        of: &[
            "property-wrong-packet-connect",
            "property-wrong-packet-disconnect",
            "property-wrong-packet-puback",
            "property-wrong-packet-publish",
            "property-wrong-packet-pubrel",
            "property-wrong-packet-subscribe",
            "property-wrong-packet-unsubscribe",
            "property-wrong-packet-will",
            "will-foreign-property",
        ],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "does not check values of properties: Protocol Errors by MQTT 5.0 sections 3.1.2.11, 3.3.2.3.4 and 3.8.2.1.2; the \
              Payload Format Indicator is 0 or 1 by section 3.3.2.3.2",
        of: &[
            "connect-zero-limits",
            "property-bad-value-connect",
            "property-bad-value-publish",
            "property-bad-value-subscribe",
            "property-bad-value-will",
            "topic-alias-zero",
        ],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "takes any known Reason Code in AUTH: it has 0x00, 0x18 and 0x19 (MQTT 5.0 [MQTT-3.15.2-1])",
        of: &["auth-bad-reason/code-01", "auth-bad-reason/code-80"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "leaves the Protocol Level to its caller, and reads others as 3.1.1 (MQTT 3.1.1 [MQTT-3.1.2-2])",
        of: &["connect-bad-protocol-level 3.1.1"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "does not know the version of a CONNACK, and reads one without Property Length (MQTT 5.0 [MQTT-2.2.2-1])",
        of: &["client-sends-connack/without-properties 5.0"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "does not know the version of an AUTH: type 15 is reserved (MQTT 3.1.1 section 2.2.1)",
        of: &["type-reserved/type-15", "type-reserved-first/type-15"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "ignores reserved bits, and takes QoS 3 for another one (MQTT 3.1.1 [MQTT-3.8.3-4])",
        of: &[
            "subscribe-bad-options/bit-6 3.1.1",
            "subscribe-bad-options/bit-7 3.1.1",
            "subscribe-bad-options/bits-6-and-7 3.1.1",
            "subscribe-bad-options/all-bits 3.1.1",
            "subscribe-bad-second-filter 3.1.1",
            "subscribe-qos3 3.1.1",
        ],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "ignores the bits that are reserved here and options in 5.0 (MQTT 3.1.1 [MQTT-3.8.3-4])",
        of: &["subscribe-bad-options/bit-2", "subscribe-bad-options/bit-3", "subscribe-bad-options/bit-4"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol],
        why: "takes Packet Identifier 0 in acknowledgements (MQTT 5.0 [MQTT-2.2.1-3], MQTT 3.1.1 [MQTT-2.3.1-1])",
        of: &["ack-id-zero"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "takes Packet Identifier 0 in requests (MQTT 5.0 [MQTT-2.2.1-3], MQTT 3.1.1 [MQTT-2.3.1-1])",
        of: &["packet-id-zero"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "leaves Authentication Data without a method to its caller (MQTT 5.0 section 3.1.2.11.10)",
        of: &["auth-data-without-method"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "leaves empty topics to its caller (MQTT 5.0 [MQTT-4.7.3-1], MQTT 3.1.1 [MQTT-4.7.3-1])",
        of: &["connect-will-topic-empty", "publish-empty-topic", "zero-length-topic"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "leaves wildcards in Topic Names to its caller (MQTT 5.0 [MQTT-3.3.2-2], [MQTT-3.3.2-14] and section 4.7.1, MQTT \
              3.1.1 [MQTT-3.3.2-2] and section 4.7.1)",
        of: &["connect-will-topic-wildcard", "publish-wildcard", "publish-response-topic-wildcard"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "takes several Subscription Identifiers, which only a PUBLISH may have (MQTT 5.0 section 3.8.2.1.2)",
        of: &["property-duplicate-subscribe"],
    },
    Leniency {
        codecs: &[Mqtt5Protocol, MqttProtocolCore],
        why: "leaves No Local on a Shared Subscription to its caller (MQTT 5.0 [MQTT-3.8.3-4])",
        of: &["share-no-local"],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "sees the flags of a PUBLISH only (MQTT 5.0 [MQTT-2.1.3-1], MQTT 3.1.1 [MQTT-2.2.2-1])",
        of: &[
            "flags-connect",
            "flags-disconnect",
            "flags-pingreq",
            "flags-pubrel",
            "flags-reserved",
            "flags-subscribe",
            "flags-unsubscribe",
        ],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "does not check the reserved Connect Flag (MQTT 5.0 [MQTT-3.1.2-3], MQTT 3.1.1 [MQTT-3.1.2-3])",
        of: &["connect-reserved-flag"],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "does not check the Will's flags (MQTT 5.0 [MQTT-3.1.2-11] to [MQTT-3.1.2-13], MQTT 3.1.1 [MQTT-3.1.2-13] to \
              [MQTT-3.1.2-15])",
        of: &["will-qos-without-will", "will-qos3", "will-retain-without-will"],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "takes DUP at QoS 0 (MQTT 5.0 [MQTT-3.3.1-2], MQTT 3.1.1 [MQTT-3.3.1-2])",
        of: &["publish-dup-qos0"],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "reads a PUBLISH without Property Length (MQTT 5.0 [MQTT-2.2.2-1])",
        of: &["property-length-missing/publish"],
    },
    Leniency {
        codecs: &[MqttProtocolCore],
        why: "takes U+0000 in strings (MQTT 5.0 [MQTT-1.5.4-2], MQTT 3.1.1 [MQTT-1.5.3-2])",
        of: &["utf8-null", "utf8-null-connect"],
    },
];
