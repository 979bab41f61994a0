//! The numbered statements of the standard that faults and checks rest on, each with its gist in our words.
//!
//! Both versions number their statements alike and mean different things by the same number, so a statement is always
//! named with its version. Only what is cited is here; the standard has more.

use std::fmt;

use crate::version::ProtocolVersion;

/// One numbered statement of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Statement {
    /// The version whose document has the statement.
    pub version: ProtocolVersion,
    /// The number in that document, such as `MQTT-3.1.0-2`.
    pub id: &'static str,
    /// Its requirement, in one sentence.
    pub gist: &'static str,
}

impl fmt::Display for Statement {
    /// Writes `MQTT 5.0 [MQTT-3.1.0-2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MQTT {} [{}]", self.version, self.id)
    }
}

/// The statement of this version with this number, with or without `MQTT-` before it; absent when it is not here.
pub fn find(version: ProtocolVersion, id: &str) -> Option<Statement> {
    let number = id.strip_prefix("MQTT-").unwrap_or(id);
    ALL.iter()
        .copied()
        .find(|statement| statement.version == version && statement.id.strip_prefix("MQTT-") == Some(number))
}

macro_rules! statements {
    ($($constant:ident, $version:ident, $id:literal, $gist:literal;)+) => {
        $(
            #[doc = concat!("`[", $id, "]` ", $gist)]
            pub const $constant: Statement =
                Statement { version: ProtocolVersion::$version, id: $id, gist: $gist };
        )+

        /// Every statement here, those of MQTT 5.0 first.
        pub const ALL: &[Statement] = &[$($constant),+];
    };
}

statements! {
    V5_1_5_4_1, V5, "MQTT-1.5.4-1", "Text on the wire is well-formed UTF-8, without surrogates.";
    V5_1_5_4_2, V5, "MQTT-1.5.4-2", "Text on the wire holds no U+0000.";
    V5_1_5_5_1, V5, "MQTT-1.5.5-1", "A Variable Byte Integer takes the fewest bytes that hold it.";
    V5_2_1_3_1, V5, "MQTT-2.1.3-1", "Reserved flags keep the value the standard lists.";
    V5_2_2_1_2, V5, "MQTT-2.2.1-2", "A QoS 0 PUBLISH carries no Packet Identifier.";
    V5_2_2_1_3, V5, "MQTT-2.2.1-3", "A Client gives each new SUBSCRIBE, UNSUBSCRIBE and QoS 1 or 2 PUBLISH a free, non-zero Packet Identifier.";
    V5_2_2_2_1, V5, "MQTT-2.2.2-1", "A packet without properties says so by a Property Length of 0.";
    V5_3_1_0_1, V5, "MQTT-3.1.0-1", "The first packet of a Client is CONNECT.";
    V5_3_1_0_2, V5, "MQTT-3.1.0-2", "A second CONNECT is a Protocol Error, and the Server closes.";
    V5_3_1_2_1, V5, "MQTT-3.1.2-1", "The protocol name is MQTT; a Server that takes no other closes.";
    V5_3_1_2_2, V5, "MQTT-3.1.2-2", "A Server that does not take the Protocol Version closes, after CONNACK 0x84 if it likes.";
    V5_3_1_2_3, V5, "MQTT-3.1.2-3", "The Server checks that the reserved Connect Flag is 0.";
    V5_3_1_2_4, V5, "MQTT-3.1.2-4", "Clean Start 1 discards the session there was and starts a new one.";
    V5_3_1_2_5, V5, "MQTT-3.1.2-5", "Clean Start 0 resumes the session there is.";
    V5_3_1_2_8, V5, "MQTT-3.1.2-8", "The Will is published once the connection is lost and its delay or the session is over, unless it was withdrawn.";
    V5_3_1_2_10, V5, "MQTT-3.1.2-10", "The Will goes once it is published, or the Client has sent DISCONNECT 0x00.";
    V5_3_1_2_11, V5, "MQTT-3.1.2-11", "Without a Will the Will QoS is 0.";
    V5_3_1_2_14, V5, "MQTT-3.1.2-14", "A Will without Will Retain is published as not retained.";
    V5_3_1_2_15, V5, "MQTT-3.1.2-15", "A Will with Will Retain is published as retained.";
    V5_3_1_2_22, V5, "MQTT-3.1.2-22", "The Server closes when no packet came for one and a half times the Keep Alive.";
    V5_3_1_2_23, V5, "MQTT-3.1.2-23", "Both sides keep the session while its Session Expiry Interval runs.";
    V5_3_1_2_24, V5, "MQTT-3.1.2-24", "The Server sends nothing larger than the Client's Maximum Packet Size.";
    V5_3_1_2_25, V5, "MQTT-3.1.2-25", "A message too large for the Client is dropped as if it had been sent.";
    V5_3_1_2_30, V5, "MQTT-3.1.2-30", "After naming an Authentication Method a Client sends only AUTH and DISCONNECT until CONNACK.";
    V5_3_1_3_5, V5, "MQTT-3.1.3-5", "The Server takes Client Identifiers of 1 to 23 letters and digits.";
    V5_3_1_3_6, V5, "MQTT-3.1.3-6", "A Server that takes an empty Client Identifier assigns a unique one.";
    V5_3_1_3_8, V5, "MQTT-3.1.3-8", "A Server that refuses the Client Identifier closes, after CONNACK 0x85 if it likes.";
    V5_3_1_3_9, V5, "MQTT-3.1.3-9", "The Will is not sent when the session is resumed within the Will Delay Interval.";
    V5_3_1_3_11, V5, "MQTT-3.1.3-11", "The Will Topic is a UTF-8 Encoded String.";
    V5_3_1_4_1, V5, "MQTT-3.1.4-1", "The Server checks the form of a CONNECT and closes when it is wrong.";
    V5_3_1_4_2, V5, "MQTT-3.1.4-2", "When a further check of the CONNECT fails, such as authentication, the Server closes.";
    V5_3_1_4_3, V5, "MQTT-3.1.4-3", "A CONNECT with the Client Identifier of a live connection takes over: the older one gets DISCONNECT 0x8E and is closed.";
    V5_3_1_4_4, V5, "MQTT-3.1.4-4", "The Server acts on Clean Start.";
    V5_3_1_4_5, V5, "MQTT-3.1.4-5", "The Server answers a CONNECT that it accepts with CONNACK 0x00.";
    V5_3_1_4_6, V5, "MQTT-3.1.4-6", "After refusing a CONNECT the Server processes nothing that follows it, but for AUTH.";
    V5_3_2_0_2, V5, "MQTT-3.2.0-2", "A connection has one CONNACK at most.";
    V5_3_2_2_2, V5, "MQTT-3.2.2-2", "After Clean Start 1 the CONNACK says Session Present 0.";
    V5_3_2_2_3, V5, "MQTT-3.2.2-3", "After Clean Start 0 Session Present says whether the Server has kept a session.";
    V5_3_2_2_6, V5, "MQTT-3.2.2-6", "A refusing CONNACK says Session Present 0.";
    V5_3_2_2_7, V5, "MQTT-3.2.2-7", "After a CONNACK of 0x80 or above the Server closes.";
    V5_3_2_2_11, V5, "MQTT-3.2.2-11", "A Client stays at or below the Server's Maximum QoS.";
    V5_3_2_2_12, V5, "MQTT-3.2.2-12", "A Will QoS the Server does not support has the CONNECT refused.";
    V5_3_2_2_13, V5, "MQTT-3.2.2-13", "Will Retain has the CONNECT refused where retained messages are not supported.";
    V5_3_2_2_14, V5, "MQTT-3.2.2-14", "A Client sends no RETAIN where Retain Available is 0.";
    V5_3_2_2_15, V5, "MQTT-3.2.2-15", "A Client sends nothing larger than the Server's Maximum Packet Size.";
    V5_3_2_2_16, V5, "MQTT-3.2.2-16", "An empty Client Identifier is answered with a new Assigned Client Identifier.";
    V5_3_2_2_17, V5, "MQTT-3.2.2-17", "A Client uses no Topic Alias above the Server's Topic Alias Maximum.";
    V5_3_2_2_18, V5, "MQTT-3.2.2-18", "Without a Topic Alias Maximum from the Server a Client uses no Topic Alias.";
    V5_3_2_2_21, V5, "MQTT-3.2.2-21", "A Server Keep Alive replaces the Client's Keep Alive.";
    V5_3_3_1_2, V5, "MQTT-3.3.1-2", "A QoS 0 PUBLISH has DUP 0.";
    V5_3_3_1_1, V5, "MQTT-3.3.1-1", "A PUBLISH that is sent again has DUP 1.";
    V5_3_3_1_4, V5, "MQTT-3.3.1-4", "No PUBLISH has both QoS bits set.";
    V5_3_3_1_5, V5, "MQTT-3.3.1-5", "A retained PUBLISH replaces what was retained for its topic.";
    V5_3_3_1_6, V5, "MQTT-3.3.1-6", "A retained PUBLISH without payload removes what was retained for its topic.";
    V5_3_3_1_9, V5, "MQTT-3.3.1-9", "Retain Handling 0 brings the retained messages that match.";
    V5_3_3_2_2, V5, "MQTT-3.3.2-2", "The Topic Name of a PUBLISH has no wildcard.";
    V5_3_3_2_7, V5, "MQTT-3.3.2-7", "A Topic Alias means nothing on another connection.";
    V5_3_3_2_8, V5, "MQTT-3.3.2-8", "No Topic Alias is 0.";
    V5_3_3_2_12, V5, "MQTT-3.3.2-12", "The Server takes every Topic Alias up to the maximum it announced.";
    V5_3_3_2_14, V5, "MQTT-3.3.2-14", "A Response Topic has no wildcard.";
    V5_3_3_4_1, V5, "MQTT-3.3.4-1", "The receiver answers a PUBLISH as its QoS requires.";
    V5_3_3_4_2, V5, "MQTT-3.3.4-2", "A message that matches several subscriptions respects the highest QoS among them.";
    V5_3_3_4_6, V5, "MQTT-3.3.4-6", "A Client's PUBLISH has no Subscription Identifier.";
    V5_3_3_4_7, V5, "MQTT-3.3.4-7", "A Client has at most Receive Maximum QoS 1 and 2 PUBLISH packets unacknowledged.";
    V5_3_3_4_9, V5, "MQTT-3.3.4-9", "A Server has at most the Client's Receive Maximum of QoS 1 and 2 PUBLISH packets unacknowledged.";
    V5_3_4_2_1, V5, "MQTT-3.4.2-1", "A PUBACK carries one of its own Reason Codes.";
    V5_3_5_2_1, V5, "MQTT-3.5.2-1", "A PUBREC carries one of its own Reason Codes.";
    V5_3_6_1_1, V5, "MQTT-3.6.1-1", "Other fixed header flags than 0010 make a PUBREL malformed, and the Server closes.";
    V5_3_8_1_1, V5, "MQTT-3.8.1-1", "Other fixed header flags than 0010 make a SUBSCRIBE malformed, and the Server closes.";
    V5_3_8_3_2, V5, "MQTT-3.8.3-2", "A SUBSCRIBE lists at least one Topic Filter.";
    V5_3_8_3_4, V5, "MQTT-3.8.3-4", "No Local on a Shared Subscription is a Protocol Error.";
    V5_3_8_3_5, V5, "MQTT-3.8.3-5", "Reserved bits in Subscription Options make a SUBSCRIBE malformed.";
    V5_3_8_4_1, V5, "MQTT-3.8.4-1", "The Server answers a SUBSCRIBE with a SUBACK.";
    V5_3_8_4_3, V5, "MQTT-3.8.4-3", "A SUBSCRIBE with the Topic Filter of an existing subscription replaces that subscription.";
    V5_3_8_4_5, V5, "MQTT-3.8.4-5", "Several Topic Filters in one SUBSCRIBE count as several SUBSCRIBEs with one answer.";
    V5_3_8_4_6, V5, "MQTT-3.8.4-6", "A SUBACK has a Reason Code for each Topic Filter.";
    V5_3_10_1_1, V5, "MQTT-3.10.1-1", "Other fixed header flags than 0010 make an UNSUBSCRIBE malformed, and the Server closes.";
    V5_3_10_3_2, V5, "MQTT-3.10.3-2", "An UNSUBSCRIBE lists at least one Topic Filter.";
    V5_3_10_4_2, V5, "MQTT-3.10.4-2", "After an UNSUBSCRIBE the Server adds no new messages that match its Topic Filters.";
    V5_3_10_4_4, V5, "MQTT-3.10.4-4", "The Server answers an UNSUBSCRIBE with an UNSUBACK.";
    V5_3_10_4_5, V5, "MQTT-3.10.4-5", "An UNSUBACK comes even where no subscription was removed.";
    V5_3_12_4_1, V5, "MQTT-3.12.4-1", "The Server answers a PINGREQ with a PINGRESP.";
    V5_3_14_0_1, V5, "MQTT-3.14.0-1", "A Server sends no DISCONNECT before it has accepted the connection.";
    V5_3_14_1_1, V5, "MQTT-3.14.1-1", "The receiver checks that a DISCONNECT's reserved bits are 0.";
    V5_3_14_2_1, V5, "MQTT-3.14.2-1", "A DISCONNECT carries one of its own Reason Codes.";
    V5_3_14_4_1, V5, "MQTT-3.14.4-1", "After a DISCONNECT its sender sends nothing more.";
    V5_3_14_4_2, V5, "MQTT-3.14.4-2", "After a DISCONNECT its sender closes.";
    V5_3_14_4_3, V5, "MQTT-3.14.4-3", "A DISCONNECT with 0x00 makes the Server discard the Will unpublished.";
    V5_3_15_1_1, V5, "MQTT-3.15.1-1", "Other fixed header flags than 0 make an AUTH malformed, and the receiver closes.";
    V5_3_15_2_1, V5, "MQTT-3.15.2-1", "An AUTH carries one of its own Reason Codes.";
    V5_4_1_0_1, V5, "MQTT-4.1.0-1", "The session lives at least as long as its connection.";
    V5_4_1_0_2, V5, "MQTT-4.1.0-2", "The Server discards the session once the connection is closed and its Session Expiry Interval is over.";
    V5_4_3_2_4, V5, "MQTT-4.3.2-4", "The receiver answers a QoS 1 PUBLISH with a PUBACK once it has accepted the message.";
    V5_4_3_2_5, V5, "MQTT-4.3.2-5", "After its PUBACK a PUBLISH with the same Packet Identifier is a new message, whatever its DUP.";
    V5_4_3_3_4, V5, "MQTT-4.3.3-4", "A PUBREC below 0x80 is answered with a PUBREL.";
    V5_4_3_3_8, V5, "MQTT-4.3.3-8", "The receiver answers a QoS 2 PUBLISH with a PUBREC once it has accepted the message.";
    V5_4_3_3_10, V5, "MQTT-4.3.3-10", "Until PUBREL a repeated QoS 2 PUBLISH is acknowledged again, but not delivered again.";
    V5_4_3_3_11, V5, "MQTT-4.3.3-11", "The receiver answers a PUBREL with a PUBCOMP.";
    V5_4_4_0_1, V5, "MQTT-4.4.0-1", "On a resumed session what is unacknowledged is sent again with its Packet Identifiers, and at no other time.";
    V5_4_4_0_2, V5, "MQTT-4.4.0-2", "A PUBACK or PUBREC of 0x80 or above acknowledges: the message is not sent again.";
    V5_4_5_0_1, V5, "MQTT-4.5.0-1", "The Server adds each message it takes to the sessions that subscribe to it.";
    V5_4_6_0_2, V5, "MQTT-4.6.0-2", "A Client sends PUBACKs in the order of the PUBLISH packets.";
    V5_4_6_0_5, V5, "MQTT-4.6.0-5", "A Server delivers the messages of one Client on one topic in their order.";
    V5_4_7_1_1, V5, "MQTT-4.7.1-1", "The multi-level wildcard is the last level of a Topic Filter.";
    V5_4_7_1_2, V5, "MQTT-4.7.1-2", "A single-level wildcard fills a whole level.";
    V5_4_7_3_1, V5, "MQTT-4.7.3-1", "Topic Names and Topic Filters have at least one character.";
    V5_4_7_3_3, V5, "MQTT-4.7.3-3", "Topic Names and Topic Filters take at most 65,535 bytes.";
    V5_4_8_2_1, V5, "MQTT-4.8.2-1", "A Shared Subscription begins with $share/ and a ShareName.";
    V5_4_8_2_2, V5, "MQTT-4.8.2-2", "A ShareName has no wildcard and no slash, and a Topic Filter follows it.";
    V5_4_8_2_4, V5, "MQTT-4.8.2-4", "A QoS 2 message begun with one member of a share is finished with that member.";
    V5_4_9_0_2, V5, "MQTT-4.9.0-2", "A sender whose quota is used up sends no further QoS 1 or 2 PUBLISH.";
    V5_4_9_0_3, V5, "MQTT-4.9.0-3", "All other packets are processed even when the quota is used up.";
    V5_4_12_0_1, V5, "MQTT-4.12.0-1", "A Server that does not support the Authentication Method closes, after CONNACK 0x8C or 0x87 if it likes.";
    V5_4_12_0_2, V5, "MQTT-4.12.0-2", "A Server's AUTH in the middle of authentication carries 0x18.";
    V5_4_12_0_4, V5, "MQTT-4.12.0-4", "A Server that rejects an authentication closes, after a CONNACK if it likes.";
    V5_4_12_0_5, V5, "MQTT-4.12.0-5", "Each AUTH, and a CONNACK that accepts, names the Authentication Method of the CONNECT.";
    V5_4_12_0_7, V5, "MQTT-4.12.0-7", "A Client that named no Authentication Method sends no AUTH.";
    V5_4_12_1_1, V5, "MQTT-4.12.1-1", "Re-authentication uses the Authentication Method of the CONNECT.";
    V5_4_12_1_2, V5, "MQTT-4.12.1-2", "When re-authentication fails the connection is closed.";
    V5_4_13_1_1, V5, "MQTT-4.13.1-1", "On a malformed packet or Protocol Error the Server closes.";
    V5_4_13_2_1, V5, "MQTT-4.13.2-1", "A CONNACK or DISCONNECT of 0x80 or above means that the connection is closed.";
    V5_6_0_0_1, V5, "MQTT-6.0.0-1", "Packets travel in WebSocket binary frames; on any other the receiver closes.";
    V5_6_0_0_2, V5, "MQTT-6.0.0-2", "Packets need not begin or end with WebSocket frames.";
    V5_6_0_0_4, V5, "MQTT-6.0.0-4", "The WebSocket sub-protocol that the Server selects is mqtt.";
    V311_1_5_3_1, V3_1_1, "MQTT-1.5.3-1", "Ill-formed UTF-8 makes the receiver close.";
    V311_1_5_3_2, V3_1_1, "MQTT-1.5.3-2", "U+0000 in text makes the receiver close.";
    V311_2_2_2_1, V3_1_1, "MQTT-2.2.2-1", "Reserved flags keep the value the standard lists.";
    V311_2_2_2_2, V3_1_1, "MQTT-2.2.2-2", "Invalid flags make the receiver close.";
    V311_2_3_1_1, V3_1_1, "MQTT-2.3.1-1", "SUBSCRIBE, UNSUBSCRIBE and QoS 1 or 2 PUBLISH carry a non-zero Packet Identifier.";
    V311_3_1_0_1, V3_1_1, "MQTT-3.1.0-1", "The first packet of a Client is CONNECT.";
    V311_3_1_0_2, V3_1_1, "MQTT-3.1.0-2", "A second CONNECT is a protocol violation, and the Server closes.";
    V311_3_1_2_2, V3_1_1, "MQTT-3.1.2-2", "A Server that does not support the Protocol Level answers with CONNACK 0x01 and closes.";
    V311_3_1_2_3, V3_1_1, "MQTT-3.1.2-3", "The Server closes when the reserved Connect Flag is not 0.";
    V311_3_1_2_4, V3_1_1, "MQTT-3.1.2-4", "Clean Session 0 resumes the session there is, and has it stored after the connection.";
    V311_3_1_2_5, V3_1_1, "MQTT-3.1.2-5", "The Server stores QoS 1 and 2 messages for a session of Clean Session 0 that is away.";
    V311_3_1_2_6, V3_1_1, "MQTT-3.1.2-6", "Clean Session 1 discards the session there was and starts a new one.";
    V311_3_1_2_8, V3_1_1, "MQTT-3.1.2-8", "The Will is published when the connection ends without a DISCONNECT.";
    V311_3_1_2_10, V3_1_1, "MQTT-3.1.2-10", "The Will goes once it is published or the Client has sent DISCONNECT.";
    V311_3_1_2_17, V3_1_1, "MQTT-3.1.2-17", "A Will with Will Retain is published as retained.";
    V311_3_1_2_22, V3_1_1, "MQTT-3.1.2-22", "Without a user name there is no password.";
    V311_3_1_2_24, V3_1_1, "MQTT-3.1.2-24", "The Server closes when no packet came for one and a half times the Keep Alive.";
    V311_3_1_3_5, V3_1_1, "MQTT-3.1.3-5", "The Server takes Client Identifiers of 1 to 23 letters and digits.";
    V311_3_1_3_7, V3_1_1, "MQTT-3.1.3-7", "A Client with an empty Client Identifier asks for a Clean Session.";
    V311_3_1_3_8, V3_1_1, "MQTT-3.1.3-8", "An empty Client Identifier with Clean Session 0 is answered with CONNACK 0x02 and a close.";
    V311_3_1_3_9, V3_1_1, "MQTT-3.1.3-9", "A Server that refuses the Client Identifier answers with CONNACK 0x02 and closes.";
    V311_3_1_4_1, V3_1_1, "MQTT-3.1.4-1", "The Server checks the form of a CONNECT and closes when it is wrong.";
    V311_3_1_4_2, V3_1_1, "MQTT-3.1.4-2", "A CONNECT with the Client Identifier of a live connection has the older one closed.";
    V311_3_1_4_5, V3_1_1, "MQTT-3.1.4-5", "After refusing a CONNECT the Server processes nothing that follows it.";
    V311_3_2_2_1, V3_1_1, "MQTT-3.2.2-1", "After Clean Session 1 the CONNACK says Session Present 0.";
    V311_3_2_2_2, V3_1_1, "MQTT-3.2.2-2", "After Clean Session 0 the CONNACK says Session Present 1 where the Server has stored a session.";
    V311_3_2_2_3, V3_1_1, "MQTT-3.2.2-3", "After Clean Session 0 the CONNACK says Session Present 0 where the Server has stored no session.";
    V311_3_2_2_4, V3_1_1, "MQTT-3.2.2-4", "A refusing CONNACK says Session Present 0.";
    V311_3_2_2_5, V3_1_1, "MQTT-3.2.2-5", "After a refusing CONNACK the Server closes.";
    V311_3_3_1_1, V3_1_1, "MQTT-3.3.1-1", "A PUBLISH that is sent again has DUP 1.";
    V311_3_3_1_2, V3_1_1, "MQTT-3.3.1-2", "A QoS 0 PUBLISH has DUP 0.";
    V311_3_3_1_4, V3_1_1, "MQTT-3.3.1-4", "A PUBLISH with both QoS bits set makes the receiver close.";
    V311_3_3_2_2, V3_1_1, "MQTT-3.3.2-2", "The Topic Name of a PUBLISH has no wildcard.";
    V311_3_3_4_1, V3_1_1, "MQTT-3.3.4-1", "The receiver answers a PUBLISH as its QoS requires.";
    V311_3_6_1_1, V3_1_1, "MQTT-3.6.1-1", "Other fixed header flags than 0010 make a PUBREL malformed, and the Server closes.";
    V311_3_8_1_1, V3_1_1, "MQTT-3.8.1-1", "Other fixed header flags than 0010 make a SUBSCRIBE malformed, and the Server closes.";
    V311_3_8_3_3, V3_1_1, "MQTT-3.8.3-3", "A SUBSCRIBE lists at least one Topic Filter.";
    V311_3_8_3_4, V3_1_1, "MQTT-3.8.3-4", "Reserved bits or a QoS of 3 make a SUBSCRIBE malformed, and the Server closes.";
    V311_3_8_4_1, V3_1_1, "MQTT-3.8.4-1", "The Server answers a SUBSCRIBE with a SUBACK.";
    V311_3_8_4_3, V3_1_1, "MQTT-3.8.4-3", "A SUBSCRIBE with the Topic Filter of an existing subscription replaces that subscription.";
    V311_3_10_1_1, V3_1_1, "MQTT-3.10.1-1", "Other fixed header flags than 0010 make an UNSUBSCRIBE malformed, and the Server closes.";
    V311_3_10_3_2, V3_1_1, "MQTT-3.10.3-2", "An UNSUBSCRIBE lists at least one Topic Filter.";
    V311_3_10_4_4, V3_1_1, "MQTT-3.10.4-4", "The Server answers an UNSUBSCRIBE with an UNSUBACK.";
    V311_3_10_4_2, V3_1_1, "MQTT-3.10.4-2", "After a subscription is deleted the Server adds no new messages for it.";
    V311_3_10_4_5, V3_1_1, "MQTT-3.10.4-5", "An UNSUBACK comes even where no subscription was removed.";
    V311_3_12_4_1, V3_1_1, "MQTT-3.12.4-1", "The Server answers a PINGREQ with a PINGRESP.";
    V311_3_14_1_1, V3_1_1, "MQTT-3.14.1-1", "The Server checks that a DISCONNECT's reserved bits are 0, and closes when they are not.";
    V311_3_14_4_1, V3_1_1, "MQTT-3.14.4-1", "After a DISCONNECT the Client closes.";
    V311_3_14_4_3, V3_1_1, "MQTT-3.14.4-3", "A DISCONNECT makes the Server discard the Will unpublished.";
    V311_4_1_0_1, V3_1_1, "MQTT-4.1.0-1", "Client and Server store the session for as long as it lasts.";
    V311_4_1_0_2, V3_1_1, "MQTT-4.1.0-2", "A session lasts at least as long as its connection.";
    V311_4_3_2_2, V3_1_1, "MQTT-4.3.2-2", "A QoS 1 PUBLISH is answered with a PUBACK; after that the same Packet Identifier means a new message, whatever its DUP.";
    V311_4_3_3_1, V3_1_1, "MQTT-4.3.3-1", "A QoS 2 message is sent once, under a Packet Identifier of its own and with DUP 0, and never again after its PUBREL.";
    V311_4_3_3_2, V3_1_1, "MQTT-4.3.3-2", "Until PUBREL a repeated QoS 2 PUBLISH is acknowledged again, but not delivered again.";
    V311_4_4_0_1, V3_1_1, "MQTT-4.4.0-1", "On a resumed session what is unacknowledged is sent again with its Packet Identifiers.";
    V311_4_5_0_1, V3_1_1, "MQTT-4.5.0-1", "The Server adds each message it takes to the sessions that subscribe to it.";
    V311_4_6_0_6, V3_1_1, "MQTT-4.6.0-6", "A Server delivers the messages of one Client on one topic and QoS in their order.";
    V311_4_7_3_1, V3_1_1, "MQTT-4.7.3-1", "Topic Names and Topic Filters have at least one character.";
    V311_4_8_0_1, V3_1_1, "MQTT-4.8.0-1", "A protocol violation makes the receiver close.";
    V311_6_0_0_1, V3_1_1, "MQTT-6.0.0-1", "Packets travel in WebSocket binary frames; on any other the receiver closes.";
    V311_6_0_0_2, V3_1_1, "MQTT-6.0.0-2", "Packets need not begin or end with WebSocket frames.";
    V311_6_0_0_4, V3_1_1, "MQTT-6.0.0-4", "The WebSocket sub-protocol that the Server selects is mqtt.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_prints_with_its_version() {
        assert_eq!(V5_3_1_0_2.to_string(), "MQTT 5.0 [MQTT-3.1.0-2]");
        assert_eq!(V311_3_1_4_2.to_string(), "MQTT 3.1.1 [MQTT-3.1.4-2]");
    }

    #[test]
    fn every_statement_is_found_by_its_version_and_number_alone() {
        for statement in ALL {
            assert_eq!(find(statement.version, statement.id), Some(*statement));
        }
        assert_eq!(find(ProtocolVersion::V5, "3.1.4-3"), Some(V5_3_1_4_3));
        assert_eq!(find(ProtocolVersion::V3_1_1, "3.1.4-3"), None);
    }
}
