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
    /// A frame whose fields are unknown: its type is reserved, or its body too short.
    Unreadable {
        /// The type; absent for the reserved type 0.
        packet_type: Option<PacketType>,
        /// Why it can't be read.
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
    /// Reads a plain PUBLISH where it is called, so that no packet has to be built in memory; all else behind a call.
    #[inline(always)]
    pub(crate) fn of(frame: Frame<'a>, version: ProtocolVersion) -> Self {
        if frame.first_byte() >> 4 == PacketType::Publish.nibble()
            && let Some(publish) = Publish::read_plain(frame, version)
        {
            return Self { packet: Packet::Publish(publish), oddities: Oddities::NONE };
        }
        Self::of_any(frame, version)
    }

    #[inline(never)]
    fn of_any(frame: Frame<'a>, version: ProtocolVersion) -> Self {
        let Some(packet_type) = frame.packet_type() else {
            let packet = Packet::Unreadable { packet_type: None, why: DecodeError::ReservedPacketType };
            return Self { packet, oddities: reader_of(frame).oddities };
        };
        let ack = |reader: &mut Reader<'a>| Ack::read(reader, version, packet_type);
        match packet_type {
            PacketType::Publish => Self::apart(frame, packet_type, |reader| {
                Publish::read(reader, frame.flags(), version).map(Packet::Publish)
            }),
            PacketType::PubAck => Self::here(frame, packet_type, |reader| ack(reader).map(Packet::PubAck)),
            PacketType::PubRec => Self::here(frame, packet_type, |reader| ack(reader).map(Packet::PubRec)),
            PacketType::PubRel => Self::here(frame, packet_type, |reader| ack(reader).map(Packet::PubRel)),
            PacketType::PubComp => Self::here(frame, packet_type, |reader| ack(reader).map(Packet::PubComp)),
            PacketType::Connect => {
                Self::apart(frame, packet_type, |reader| Connect::read(reader).map(Packet::Connect))
            }
            PacketType::ConnAck => {
                Self::apart(frame, packet_type, |reader| ConnAck::read(reader, version).map(Packet::ConnAck))
            }
            PacketType::Subscribe => Self::apart(frame, packet_type, |reader| {
                Subscribe::read(reader, version).map(Packet::Subscribe)
            }),
            PacketType::SubAck => {
                Self::apart(frame, packet_type, |reader| SubAck::read(reader, version).map(Packet::SubAck))
            }
            PacketType::Unsubscribe => Self::apart(frame, packet_type, |reader| {
                Unsubscribe::read(reader, version).map(Packet::Unsubscribe)
            }),
            PacketType::UnsubAck => Self::apart(frame, packet_type, |reader| {
                UnsubAck::read(reader, version).map(Packet::UnsubAck)
            }),
            PacketType::PingReq => Self::here(frame, packet_type, |_| Ok(Packet::PingReq)),
            PacketType::PingResp => Self::here(frame, packet_type, |_| Ok(Packet::PingResp)),
            PacketType::Disconnect => Self::apart(frame, packet_type, |reader| {
                Ok(Packet::Disconnect(Disconnect::read(reader, version)))
            }),
            PacketType::Auth => {
                Self::apart(frame, packet_type, |reader| Ok(Packet::Auth(Auth::read(reader, version))))
            }
        }
    }

    /// Reads in a separate function: one function for every type would keep so much in registers that frequent types would take half
    /// as long again.
    #[inline(never)]
    fn apart(
        frame: Frame<'a>,
        packet_type: PacketType,
        read: impl FnOnce(&mut Reader<'a>) -> Result<Packet<'a>, DecodeError>,
    ) -> Self {
        Self::here(frame, packet_type, read)
    }

    #[inline]
    fn here(
        frame: Frame<'a>,
        packet_type: PacketType,
        read: impl FnOnce(&mut Reader<'a>) -> Result<Packet<'a>, DecodeError>,
    ) -> Self {
        let mut reader = reader_of(frame);
        if let Some(flags) = packet_type.required_flags() {
            reader.note_if(frame.flags() != flags, Oddity::ReservedFlags);
        }
        match read(&mut reader) {
            Ok(packet) => {
                reader.note_if(!reader.is_empty(), Oddity::TrailingBytes);
                Self { packet, oddities: reader.oddities }
            }
            Err(why) => {
                let packet = Packet::Unreadable { packet_type: Some(packet_type), why };
                Self { packet, oddities: reader.oddities }
            }
        }
    }
}

#[inline]
fn reader_of(frame: Frame<'_>) -> Reader<'_> {
    let mut reader = Reader::new(frame.body);
    reader.note_if(frame.has_padded_length(), Oddity::NonMinimalLength);
    reader
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Framed, frame};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_plain_publish_is_read_as_any_other(
            flags in 0_u8..16,
            topic in vec(prop_oneof![8 => Just(b'a'), 1 => any::<u8>()], 0..5),
            rest in vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..8),
            padded in any::<bool>(),
        ) {
            let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
            body.extend(topic);
            body.extend(rest);
            let length = u8::try_from(body.len()).unwrap();
            let header = if padded { vec![0x30 | flags, 0x80 | length, 0] } else { vec![0x30 | flags, length] };
            let bytes = [header, body].concat();
            let Framed::Complete(found) = frame(&bytes) else { panic!("no whole packet") };
            for version in ProtocolVersion::ALL {
                prop_assert_eq!(Decoded::of(found, version), Decoded::of_any(found, version));
            }
        }
    }
}
