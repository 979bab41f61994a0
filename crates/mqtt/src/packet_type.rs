//! The fifteen Control Packet types and the fixed header flags each must carry.
//!
//! The reserved type 0 is no variant: a frame of it has no type.

use std::fmt;

use crate::version::ProtocolVersion;

/// The type of an MQTT Control Packet (MQTT 5.0 table 2-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum PacketType {
    /// CONNECT: a Client asks for a session.
    Connect = 1,
    /// CONNACK: the Server's answer to it.
    ConnAck,
    /// PUBLISH: an Application Message.
    Publish,
    /// PUBACK: ends a QoS 1 delivery.
    PubAck,
    /// PUBREC: the first answer of a QoS 2 delivery.
    PubRec,
    /// PUBREL: the sender's second packet of a QoS 2 delivery.
    PubRel,
    /// PUBCOMP: ends a QoS 2 delivery.
    PubComp,
    /// SUBSCRIBE: a Client asks for Topic Filters.
    Subscribe,
    /// SUBACK: the Server's answer to it.
    SubAck,
    /// UNSUBSCRIBE: a Client gives Topic Filters back.
    Unsubscribe,
    /// UNSUBACK: the Server's answer to it.
    UnsubAck,
    /// PINGREQ: a Client shows that it is alive.
    PingReq,
    /// PINGRESP: the Server's answer to it.
    PingResp,
    /// DISCONNECT: the last packet of a Network Connection.
    Disconnect,
    /// AUTH: a step of enhanced authentication, MQTT 5.0 only.
    Auth,
}

impl PacketType {
    /// All types in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::ConnAck,
        Self::Publish,
        Self::PubAck,
        Self::PubRec,
        Self::PubRel,
        Self::PubComp,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The type with this number; absent for the reserved 0 and for anything above 15.
    #[inline]
    pub const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The number, 1 to 15: the upper half of the first byte.
    #[inline]
    pub const fn nibble(self) -> u8 {
        self as u8
    }

    /// The standard's name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
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
