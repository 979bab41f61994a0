//! PUBLISH: an Application Message (MQTT 5.0 section 3.3).
//!
//! The load path uses [`PublishTemplate`](crate::PublishTemplate) instead. Payloads are not checked against their Payload Format
//! Indicator.

use std::num::NonZeroU16;

use crate::encode::{self, EncodeError, Written};
use crate::frame::Frame;
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::qos::{PacketIdentifier, QoS};
use crate::reader::{self, DecodeError, Reader};
use crate::topic;
use crate::version::ProtocolVersion;

/// The fields of a PUBLISH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// DUP: the sender has tried before.
    pub dup: bool,
    /// The QoS; a packet with QoS 3 shows QoS 2 and [`Oddity::InvalidQos`].
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// The Topic Name; empty when a Topic Alias replaces it.
    pub topic: &'a str,
    /// The Packet Identifier, 1 to 65,535 if legal; absent at QoS 0.
    pub packet_identifier: Option<u16>,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A QoS 0 message without flags and properties.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            packet_identifier: None,
            properties: Properties::NONE,
            payload,
        }
    }

    /// The same at QoS 1 with this Packet Identifier.
    #[must_use]
    pub const fn at_least_once(self, packet_identifier: PacketIdentifier) -> Self {
        Self { qos: QoS::AtLeastOnce, packet_identifier: Some(packet_identifier.get()), ..self }
    }

    /// The same at QoS 2 with this Packet Identifier.
    #[must_use]
    pub const fn exactly_once(self, packet_identifier: PacketIdentifier) -> Self {
        Self { qos: QoS::ExactlyOnce, packet_identifier: Some(packet_identifier.get()), ..self }
    }

    /// Appends it.
    ///
    /// # Errors
    /// An invalid Topic Name (in MQTT 5.0 it may be empty beside a Topic Alias), a Packet Identifier that is
    /// 0, missing above QoS 0 or present at it, DUP at QoS 0, a property PUBLISH does not have, anything too long.
    #[inline]
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, self.first_byte(), self.payload, |out| {
            encode::forbid(self.dup && self.qos == QoS::AtMostOnce, Oddity::DupOnQos0)?;
            self.write_topic(version, out)?;
            match (self.qos, self.packet_identifier) {
                (QoS::AtMostOnce, None) => {}
                (QoS::AtMostOnce, Some(_)) => return Err(EncodeError::PacketIdentifierOnQos0),
                (_, Some(identifier)) => encode::packet_identifier(out, identifier)?,
                (_, None) => return Err(EncodeError::MissingPacketIdentifier),
            }
            self.properties.write(PacketType::Publish, version, out)
        })
    }

    const fn first_byte(&self) -> u8 {
        PacketType::Publish.first_byte() | (self.dup as u8) << 3 | self.qos.level() << 1 | self.retain as u8
    }

    fn write_topic(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Written {
        if !topic::is_topic_name(self.topic) {
            let aliased = version == ProtocolVersion::V5 && self.properties.topic_alias().is_some();
            encode::forbid(self.topic.is_empty() && !aliased, Oddity::EmptyTopic)?;
            encode::forbid(self.topic.contains(['+', '#']), Oddity::WildcardInTopic)?;
        }
        encode::text(out, self.topic, "Topic Name")
    }

    /// Reads the PUBLISH of a load run: short, with nothing odd about it and without properties; absent for any other.
    ///
    /// It repeats [`Self::read`] for speed: without oddities to track it takes half as many instructions (`scripts/bench-codec`). A
    /// test compares the two.
    #[inline(always)]
    pub(crate) fn read_plain(frame: Frame<'a>, version: ProtocolVersion) -> Option<Self> {
        let flags = frame.flags();
        let dup = flags & 0b1000 != 0;
        let (length, rest) = frame.body.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if frame.bytes.len() - frame.body.len() != 2 || topic.is_empty() || reader::has_byte_of_note(topic) {
            return None;
        }
        let (qos, packet_identifier, rest) = match flags >> 1 & 3 {
            0 if !dup => (QoS::AtMostOnce, None, rest),
            level @ 1..=2 => {
                let (identifier, rest) = rest.split_first_chunk()?;
                let identifier = NonZeroU16::new(u16::from_be_bytes(*identifier))?;
                let qos = if level == 1 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                (qos, Some(identifier.get()), rest)
            }
            _ => return None,
        };
        let payload = match (version, rest) {
            (ProtocolVersion::V3_1_1, payload) | (ProtocolVersion::V5, [0, payload @ ..]) => payload,
            (ProtocolVersion::V5, _) => return None,
        };
        let topic = std::str::from_utf8(topic).ok()?;
        let properties = Properties::NONE;
        Some(Self { dup, qos, retain: flags & 1 != 0, topic, packet_identifier, properties, payload })
    }

    pub(crate) fn read(
        reader: &mut Reader<'a>,
        flags: u8,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let (qos, is_qos_3) = QoS::from_bits(flags >> 1);
        let dup = flags & 0b1000 != 0;
        reader.note_if(is_qos_3, Oddity::InvalidQos);
        reader.note_if(dup && qos == QoS::AtMostOnce, Oddity::DupOnQos0);
        let topic = reader.topic_name().ok_or(DecodeError::Truncated("Topic Name"))?;
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            _ => Some(reader.packet_identifier()?),
        };
        let properties = reader.properties_in(version, PacketType::Publish);
        if topic.is_empty() && properties.topic_alias().is_none() {
            reader.note(Oddity::EmptyTopic);
        }
        let payload = reader.rest();
        Ok(Self { dup, qos, retain: flags & 1 != 0, topic, packet_identifier, properties, payload })
    }
}
