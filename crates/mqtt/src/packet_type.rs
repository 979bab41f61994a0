//! The fifteen Control Packet types and the fixed header flags each must carry.
//!
//! The reserved type 0 is no variant: a frame of it has no type.

use std::fmt;

use crate::version::ProtocolVersion;

macro_rules! packet_types {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// The type of an MQTT Control Packet (MQTT 5.0 table 2-1).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum PacketType {
            $($(#[$doc])+ $variant = $number,)+
        }

        impl PacketType {
            /// All types in the order of their numbers.
            pub const ALL: [Self; 15] = [$(Self::$variant),+];

            /// The type with this number; absent for the reserved 0 and for anything above 15.
            #[inline]
            pub const fn from_nibble(nibble: u8) -> Option<Self> {
                Some(match nibble {
                    $($number => Self::$variant,)+
                    _ => return None,
                })
            }

            /// The standard's name, in capitals.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

packet_types! {
    /// CONNECT: a Client asks for a session.
    Connect = 1, "CONNECT";
    /// CONNACK: the Server's answer to it.
    ConnAck = 2, "CONNACK";
    /// PUBLISH: an Application Message.
    Publish = 3, "PUBLISH";
    /// PUBACK: ends a QoS 1 delivery.
    PubAck = 4, "PUBACK";
    /// PUBREC: the first answer of a QoS 2 delivery.
    PubRec = 5, "PUBREC";
    /// PUBREL: the sender's second packet of a QoS 2 delivery.
    PubRel = 6, "PUBREL";
    /// PUBCOMP: ends a QoS 2 delivery.
    PubComp = 7, "PUBCOMP";
    /// SUBSCRIBE: a Client asks for Topic Filters.
    Subscribe = 8, "SUBSCRIBE";
    /// SUBACK: the Server's answer to it.
    SubAck = 9, "SUBACK";
    /// UNSUBSCRIBE: a Client removes Topic Filters.
    Unsubscribe = 10, "UNSUBSCRIBE";
    /// UNSUBACK: the Server's answer to it.
    UnsubAck = 11, "UNSUBACK";
    /// PINGREQ: a Client shows that it is alive.
    PingReq = 12, "PINGREQ";
    /// PINGRESP: the Server's answer to it.
    PingResp = 13, "PINGRESP";
    /// DISCONNECT: the last packet of a Network Connection.
    Disconnect = 14, "DISCONNECT";
    /// AUTH: a step of enhanced authentication, MQTT 5.0 only.
    Auth = 15, "AUTH";
}

impl PacketType {
    /// The number, 1 to 15: the upper half of the first byte.
    #[inline]
    pub const fn nibble(self) -> u8 {
        self as u8
    }

    /// The flags the lower half of the first byte must hold; absent for PUBLISH, whose flags mean something.
    ///
    /// Source: `MQTT 5.0 [MQTT-2.1.3-1]`, table 2-2.
    #[inline]
    pub const fn required_flags(self) -> Option<u8> {
        match self {
            Self::Publish => None,
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => Some(0b0010),
            _ => Some(0),
        }
    }

    /// The first byte of a legal packet of this type, with all PUBLISH flags off.
    #[inline]
    pub const fn first_byte(self) -> u8 {
        (self as u8) << 4
            | match self.required_flags() {
                Some(flags) => flags,
                None => 0,
            }
    }

    /// Whether a Server of this version may send the type (MQTT 5.0 table 2-1, MQTT 3.1.1 table 2.1).
    pub const fn may_come_from_server(self, version: ProtocolVersion) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => false,
            Self::Disconnect | Self::Auth => matches!(version, ProtocolVersion::V5),
            _ => true,
        }
    }

    /// Whether a Client of this version may send the type (MQTT 5.0 table 2-1, MQTT 3.1.1 table 2.1).
    pub const fn may_come_from_client(self, version: ProtocolVersion) -> bool {
        match self {
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => false,
            Self::Auth => matches!(version, ProtocolVersion::V5),
            _ => true,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_number() {
        for packet_type in PacketType::ALL {
            assert_eq!(PacketType::from_nibble(packet_type.nibble()), Some(packet_type));
        }
        assert_eq!(PacketType::from_nibble(0), None);
        assert_eq!(PacketType::from_nibble(16), None);
    }

    #[test]
    fn mqtt5_2_1_3_1_three_types_carry_the_flag_bit_two() {
        let with_flag: Vec<_> = PacketType::ALL
            .into_iter()
            .filter(|t| t.required_flags() == Some(2))
            .map(PacketType::name)
            .collect();
        assert_eq!(with_flag, ["PUBREL", "SUBSCRIBE", "UNSUBSCRIBE"]);
        assert_eq!(PacketType::PubRel.first_byte(), 0x62);
    }

    #[test]
    fn only_a_version_5_server_may_send_disconnect_and_auth() {
        for packet_type in [PacketType::Disconnect, PacketType::Auth] {
            assert!(packet_type.may_come_from_server(ProtocolVersion::V5));
            assert!(!packet_type.may_come_from_server(ProtocolVersion::V3_1_1));
        }
        assert!(PacketType::Disconnect.may_come_from_client(ProtocolVersion::V3_1_1));
    }
}
