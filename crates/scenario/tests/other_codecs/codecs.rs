//! The two other codecs and ours, each asked whether a stream of a client is well-formed.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt5_protocol::packet::{FixedHeader, Packet as Other};
use ungraceful_mqtt::{Framed, Oddities, Oddity, Packet, PacketType, ProtocolVersion, frame};

/// What a codec makes of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Every packet is well-formed, and the last one ends with the bytes.
    Accepted,
    /// A packet is malformed.
    Rejected(String),
    /// Every whole packet is well-formed, and the last one needs more bytes.
    Incomplete,
}

/// A codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Mqtt5Protocol,
    MqttProtocolCore,
    Ours,
}

impl Codec {
    pub(crate) const EACH: [Self; 3] = [Self::Mqtt5Protocol, Self::MqttProtocolCore, Self::Ours];

    pub(crate) fn read(self, stream: &[u8], version: ProtocolVersion) -> Finding {
        match self {
            Self::Mqtt5Protocol => mqtt5_protocol(stream, version),
            Self::MqttProtocolCore => mqtt_protocol_core(stream, version),
            Self::Ours => ours(stream, version),
        }
    }
}

/// Its decoders leave bytes behind the last field to the caller, so those are counted as malformed here.
fn mqtt5_protocol(mut stream: &[u8], version: ProtocolVersion) -> Finding {
    while !stream.is_empty() {
        let mut rest = stream;
        let header = match FixedHeader::decode(&mut rest) {
            Ok(header) => header,
            // It has one error for a length that is too long and one that is not there yet.
            Err(_) if stream.len() < 5 && !stream[1..].iter().any(|byte| *byte < 0x80) => {
                return Finding::Incomplete;
            }
            Err(why) => return Finding::Rejected(why.to_string()),
        };
        let length = usize::try_from(header.remaining_length).unwrap();
        let Some(mut body) = rest.get(..length) else { return Finding::Incomplete };
        let level = version.level();
        match Other::decode_from_body_with_version(header.packet_type, &header, &mut body, level) {
            Err(why) => return Finding::Rejected(why.to_string()),
            Ok(_) if !body.is_empty() => return Finding::Rejected("bytes left over".to_owned()),
            Ok(_) => stream = &rest[length..],
        }
    }
    Finding::Accepted
}

/// Read as its own connection reads: [`RawPacket::parse_exact`] rejects bytes behind the last field.
fn mqtt_protocol_core(stream: &[u8], version: ProtocolVersion) -> Finding {
    let (mut builder, mut cursor) = (PacketBuilder::new(), Cursor::new(stream));
    while cursor.position() < stream.len() as u64 {
        let raw = match builder.feed(&mut cursor) {
            PacketBuildResult::Complete(raw) => raw,
            PacketBuildResult::Incomplete => return Finding::Incomplete,
            PacketBuildResult::Error(why) => return Finding::Rejected(format!("{why:?}")),
        };
        if let Err(why) = of_raw(&raw, version) {
            return Finding::Rejected(why);
        }
    }
    Finding::Accepted
}

fn of_raw(raw: &RawPacket, version: ProtocolVersion) -> Result<(), String> {
    macro_rules! exact {
        ($parse:expr) => {
            raw.parse_exact($parse).map(drop).map_err(|why| format!("{why:?}"))
        };
    }
    macro_rules! by_type {
        ($module:ident) => {
            match PacketType::from_nibble(raw.packet_type()) {
                Some(PacketType::Publish) => {
                    let PacketData::Publish(body) = &raw.data else { panic!("a PUBLISH has shared data") };
                    let parsed = $module::Publish::parse(raw.flags(), Arc::clone(body));
                    parsed.map(drop).map_err(|why| format!("{why:?}"))
                }
                Some(PacketType::Connect) => exact!($module::Connect::parse),
                Some(PacketType::ConnAck) => exact!($module::Connack::parse),
                Some(PacketType::PubAck) => exact!($module::Puback::parse),
                Some(PacketType::PubRec) => exact!($module::Pubrec::parse),
                Some(PacketType::PubRel) => exact!($module::Pubrel::parse),
                Some(PacketType::PubComp) => exact!($module::Pubcomp::parse),
                Some(PacketType::Subscribe) => exact!($module::Subscribe::parse),
                Some(PacketType::SubAck) => exact!($module::Suback::parse),
                Some(PacketType::Unsubscribe) => exact!($module::Unsubscribe::parse),
                Some(PacketType::UnsubAck) => exact!($module::Unsuback::parse),
                Some(PacketType::PingReq) => exact!($module::Pingreq::parse),
                Some(PacketType::PingResp) => exact!($module::Pingresp::parse),
                Some(PacketType::Disconnect) => exact!($module::Disconnect::parse),
                Some(PacketType::Auth) if version == ProtocolVersion::V5 => exact!(v5_0::Auth::parse),
                Some(PacketType::Auth) | None => Err("no such packet".to_owned()),
            }
        };
    }
    // A CONNECT is read as the version that it names.
    let level = raw.data_as_slice().get(6).filter(|_| raw.packet_type() == PacketType::Connect.nibble());
    match level.and_then(|level| ProtocolVersion::from_level(*level)).unwrap_or(version) {
        ProtocolVersion::V3_1_1 => by_type!(v3_1_1),
        ProtocolVersion::V5 => by_type!(v5_0),
    }
}

/// Our decoder accepts everything and lists what is odd.
fn ours(mut stream: &[u8], version: ProtocolVersion) -> Finding {
    while !stream.is_empty() {
        let found = match frame(stream) {
            Framed::Complete(found) => found,
            Framed::Incomplete { .. } => return Finding::Incomplete,
            Framed::Malformed(why) => return Finding::Rejected(why.to_string()),
        };
        let decoded = found.decode(version);
        // It reads what a Server sends, and a Client may send DISCONNECT in 3.1.1.
        let oddities: Oddities =
            decoded.oddities.iter().filter(|oddity| *oddity != Oddity::DisconnectOnV3_1_1).collect();
        if !oddities.is_empty() {
            return Finding::Rejected(oddities.to_string());
        }
        if matches!(decoded.packet, Packet::Unreadable { .. }) {
            return Finding::Rejected(format!("{:?}", decoded.packet));
        }
        stream = &stream[found.len()..];
    }
    Finding::Accepted
}
