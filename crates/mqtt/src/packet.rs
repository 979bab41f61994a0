//! Any packet, and what the decoder found odd about it. Everything that reads a connection goes through it.
//!
//! Each packet's fields, with how they are read and written, are in the file of its name.

use crate::ack::Ack;
use crate::auth::Auth;
use crate::connack::ConnAck;
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::encode::{self, EncodeError};
use crate::frame::Frame;
use crate::oddity::{Oddities, Oddity};
use crate::packet_type::PacketType;
use crate::publish::Publish;
use crate::reader::{DecodeError, Reader};
use crate::suback::{SubAck, UnsubAck};
use crate::subscribe::Subscribe;
use crate::unsubscribe::Unsubscribe;
use crate::version::ProtocolVersion;

/// A packet as it was read, with the decoder's remarks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// What is odd about it.
    pub oddities: Oddities,
}

/// One Control Packet; every field is borrowed from the bytes it was read from or is to be written from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each variant is the packet of its name, documented at its type")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
    /// A frame whose fields cannot be told: its type is reserved, or its body too short.
    Unreadable {
        /// The type; absent for the reserved type 0.
        packet_type: Option<PacketType>,
        /// Why nothing can be shown.
        why: DecodeError,
    },
}

impl Packet<'_> {
    /// The packet's type; absent for the reserved type 0.
    pub const fn packet_type(&self) -> Option<PacketType> {
        Some(match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
            Self::Unreadable { packet_type, .. } => return *packet_type,
        })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// What the encoder of its type refuses; an unreadable packet cannot be written at all.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(version, out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::PubAck(packet) => packet.encode_puback(version, out),
            Self::PubRec(packet) => packet.encode_pubrec(version, out),
            Self::PubRel(packet) => packet.encode_pubrel(version, out),
            Self::PubComp(packet) => packet.encode_pubcomp(version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => {
                encode::pingreq(out);
                Ok(())
            }
            Self::PingResp => {
                encode::pingresp(out);
                Ok(())
            }
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
            Self::Unreadable { .. } => Err(EncodeError::Unreadable),
        }
    }
}

impl<'a> Decoded<'a> {
    #[inline]
    pub(crate) fn of(frame: Frame<'a>, version: ProtocolVersion) -> Self {
        let mut reader = Reader::new(frame.body);
        let packet_type = frame.packet_type();
        let packet = match packet_type {
            Some(packet_type) => {
                note_fixed_header(&mut reader, frame, packet_type);
                read(&mut reader, frame.flags(), version, packet_type)
            }
            None => Err(DecodeError::ReservedPacketType),
        };
        match packet {
            Ok(packet) => {
                reader.note_if(!reader.is_empty(), Oddity::TrailingBytes);
                Self { packet, oddities: reader.oddities }
            }
            Err(why) => Self { packet: Packet::Unreadable { packet_type, why }, oddities: reader.oddities },
        }
    }
}

#[inline]
fn note_fixed_header(reader: &mut Reader<'_>, frame: Frame<'_>, packet_type: PacketType) {
    reader.note_if(frame.has_padded_length(), Oddity::NonMinimalLength);
    let required = packet_type.required_flags();
    reader.note_if(required.is_some_and(|flags| flags != frame.flags()), Oddity::ReservedFlags);
}

#[inline]
fn read<'a>(
    reader: &mut Reader<'a>,
    flags: u8,
    version: ProtocolVersion,
    packet_type: PacketType,
) -> Result<Packet<'a>, DecodeError> {
    Ok(match packet_type {
        PacketType::Publish => Packet::Publish(Publish::read(reader, flags, version)?),
        PacketType::PubAck => Packet::PubAck(Ack::read(reader, version, packet_type)?),
        PacketType::PubRec => Packet::PubRec(Ack::read(reader, version, packet_type)?),
        PacketType::PubRel => Packet::PubRel(Ack::read(reader, version, packet_type)?),
        PacketType::PubComp => Packet::PubComp(Ack::read(reader, version, packet_type)?),
        PacketType::Connect => Packet::Connect(Connect::read(reader)?),
        PacketType::ConnAck => Packet::ConnAck(ConnAck::read(reader, version)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::read(reader, version)?),
        PacketType::SubAck => Packet::SubAck(SubAck::read(reader, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(reader, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::read(reader, version)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::read(reader, version)),
        PacketType::Auth => Packet::Auth(Auth::read(reader, version)),
    })
}
