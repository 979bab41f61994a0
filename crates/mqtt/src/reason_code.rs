//! The Reason Codes of MQTT 5.0 and the Connect Return Codes of MQTT 3.1.1, including unknown ones.
//!
//! A code is any byte: what a broker sent is kept, and its name is looked up for the packet it came in.
//! What a code means for a verdict is left to the checks.

use std::fmt;

use crate::packet_type::PacketType;
use PacketType::{Auth, ConnAck, Disconnect, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};

/// A Reason Code byte, which the standard need not know (MQTT 5.0 section 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ReasonCode(pub u8);

/// One line of MQTT 5.0 table 2-6: the byte, its name, and the packets that may carry it.
struct Entry(u8, &'static str, &'static [PacketType]);

macro_rules! reason_codes {
    ($($constant:ident = $byte:literal, $name:literal, [$($packet:ident),+];)+) => {
        impl ReasonCode {
            $(
                #[doc = concat!("`", stringify!($byte), "` ", $name, " (MQTT 5.0 table 2-6).")]
                pub const $constant: Self = Self($byte);
            )+
        }

        /// MQTT 5.0 table 2-6. A byte comes twice or thrice when its name depends on the packet.
        const TABLE: &[Entry] = &[$(Entry($byte, $name, &[$($packet),+])),+];
    };
}

reason_codes! {
    SUCCESS = 0x00, "Success", [ConnAck, PubAck, PubRec, PubRel, PubComp, UnsubAck, Auth];
    NORMAL_DISCONNECTION = 0x00, "Normal disconnection", [Disconnect];
    GRANTED_QOS_0 = 0x00, "Granted QoS 0", [SubAck];
    GRANTED_QOS_1 = 0x01, "Granted QoS 1", [SubAck];
    GRANTED_QOS_2 = 0x02, "Granted QoS 2", [SubAck];
    DISCONNECT_WITH_WILL_MESSAGE = 0x04, "Disconnect with Will Message", [Disconnect];
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers", [PubAck, PubRec];
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed", [UnsubAck];
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication", [Auth];
    RE_AUTHENTICATE = 0x19, "Re-authenticate", [Auth];
    UNSPECIFIED_ERROR = 0x80, "Unspecified error",
        [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    MALFORMED_PACKET = 0x81, "Malformed Packet", [ConnAck, Disconnect];
    PROTOCOL_ERROR = 0x82, "Protocol Error", [ConnAck, Disconnect];
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error",
        [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version", [ConnAck];
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid", [ConnAck];
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password", [ConnAck];
    NOT_AUTHORIZED = 0x87, "Not authorized", [ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
    SERVER_UNAVAILABLE = 0x88, "Server unavailable", [ConnAck];
    SERVER_BUSY = 0x89, "Server busy", [ConnAck, Disconnect];
    BANNED = 0x8A, "Banned", [ConnAck];
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down", [Disconnect];
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method", [ConnAck, Disconnect];
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout", [Disconnect];
    SESSION_TAKEN_OVER = 0x8E, "Session taken over", [Disconnect];
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid", [SubAck, UnsubAck, Disconnect];
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid", [ConnAck, PubAck, PubRec, Disconnect];
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use", [PubAck, PubRec, SubAck, UnsubAck];
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found", [PubRel, PubComp];
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded", [Disconnect];
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid", [Disconnect];
    PACKET_TOO_LARGE = 0x95, "Packet too large", [ConnAck, Disconnect];
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high", [Disconnect];
    QUOTA_EXCEEDED = 0x97, "Quota exceeded", [ConnAck, PubAck, PubRec, SubAck, Disconnect];
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action", [Disconnect];
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid", [ConnAck, PubAck, PubRec, Disconnect];
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported", [ConnAck, Disconnect];
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported", [ConnAck, Disconnect];
    USE_ANOTHER_SERVER = 0x9C, "Use another server", [ConnAck, Disconnect];
    SERVER_MOVED = 0x9D, "Server moved", [ConnAck, Disconnect];
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported", [SubAck, Disconnect];
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded", [ConnAck, Disconnect];
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time", [Disconnect];
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported",
        [SubAck, Disconnect];
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported",
        [SubAck, Disconnect];
}

impl ReasonCode {
    /// The name this code has in a packet of this type; absent when table 2-6 does not allow it there.
    pub fn name_in(self, packet_type: PacketType) -> Option<&'static str> {
        TABLE.iter().find(|entry| entry.0 == self.0 && entry.2.contains(&packet_type)).map(|entry| entry.1)
    }

    /// The first name this code has in any packet; absent when the standard does not know the code.
    pub fn name(self) -> Option<&'static str> {
        TABLE.iter().find(|entry| entry.0 == self.0).map(|entry| entry.1)
    }

    /// Whether the code says that something failed: `0x80` and above (MQTT 5.0 section 2.4).
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// Every code the standard lists for a packet of this type, in ascending order.
    pub fn allowed_in(packet_type: PacketType) -> impl Iterator<Item = Self> {
        TABLE.iter().filter(move |entry| entry.2.contains(&packet_type)).map(|entry| Self(entry.0))
    }
}

impl From<u8> for ReasonCode {
    fn from(byte: u8) -> Self {
        Self(byte)
    }
}

/// A Connect Return Code byte of MQTT 3.1.1, which the standard need not know (section 3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ConnectReturnCode(pub u8);

impl ConnectReturnCode {
    /// `0x00`: the Server accepts the connection.
    pub const ACCEPTED: Self = Self(0);
    /// `0x01`: the Server does not support this Protocol Level.
    pub const UNACCEPTABLE_PROTOCOL_VERSION: Self = Self(1);
    /// `0x02`: the Server does not allow this Client Identifier.
    pub const IDENTIFIER_REJECTED: Self = Self(2);
    /// `0x03`: the MQTT service is not available.
    pub const SERVER_UNAVAILABLE: Self = Self(3);
    /// `0x04`: the user name or password is malformed.
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(4);
    /// `0x05`: the Client may not connect.
    pub const NOT_AUTHORIZED: Self = Self(5);

    /// The standard's name (MQTT 3.1.1 table 3.1); absent for the reserved codes 6 to 255.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "Connection Accepted",
            1 => "Connection Refused, unacceptable protocol version",
            2 => "Connection Refused, identifier rejected",
            3 => "Connection Refused, Server unavailable",
            4 => "Connection Refused, bad user name or password",
            5 => "Connection Refused, not authorized",
            _ => return None,
        })
    }

    /// Whether the Server refused the connection: every code but 0.
    #[inline]
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

macro_rules! shown_with_names {
    ($($code:ident)+) => {$(
        impl fmt::Display for $code {
            /// Writes the code with its name, such as `0x82 Protocol Error` or `0xFF unknown`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{:02X} {}", self.0, self.name().unwrap_or("unknown"))
            }
        }

        impl fmt::Debug for $code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($code))
            }
        }
    )+};
}

shown_with_names!(ReasonCode ConnectReturnCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_prints_with_its_number_and_name() {
        assert_eq!(ReasonCode(0x82).to_string(), "0x82 Protocol Error");
        assert_eq!(ReasonCode(0xFF).to_string(), "0xFF unknown");
        assert_eq!(ConnectReturnCode(5).to_string(), "0x05 Connection Refused, not authorized");
        assert_eq!(ConnectReturnCode(6).to_string(), "0x06 unknown");
    }

    #[test]
    fn a_name_depends_on_the_packet_that_carries_the_code() {
        assert_eq!(ReasonCode(0).name_in(PubAck), Some("Success"));
        assert_eq!(ReasonCode(0).name_in(Disconnect), Some("Normal disconnection"));
        assert_eq!(ReasonCode(0).name_in(SubAck), Some("Granted QoS 0"));
        assert_eq!(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.name_in(PubAck), None);
        assert_eq!(
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.name_in(PubRel),
            Some("Packet Identifier not found")
        );
    }

    #[test]
    fn every_packet_has_as_many_codes_as_its_own_table_lists() {
        let counts = [
            (ConnAck, 22),
            (PubAck, 9),
            (PubRec, 9),
            (PubRel, 2),
            (PubComp, 2),
            (SubAck, 12),
            (UnsubAck, 7),
            // Table 2-6 gives DISCONNECT 0x8C as well, which the table of section 3.14.2.1 leaves out.
            (Disconnect, 30),
            (Auth, 3),
        ];
        for (packet_type, count) in counts {
            assert_eq!(ReasonCode::allowed_in(packet_type).count(), count, "{packet_type}");
        }
    }

    #[test]
    fn a_code_is_an_error_from_0x80_on() {
        assert!(!ReasonCode(0x7F).is_error());
        assert!(ReasonCode(0x80).is_error());
    }
}
