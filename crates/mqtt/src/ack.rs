//! PUBACK, PUBREC, PUBREL and PUBCOMP: four types of one shape (MQTT 5.0 sections 3.4 to 3.7).
//!
//! [`Packet`](crate::Packet) says which of the four types a value is.

use crate::encode::{self, EncodeError, Written};
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::qos::PacketIdentifier;
use crate::reader::{DecodeError, Reader};
use crate::reason;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

/// The fields of a PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// The Packet Identifier of the PUBLISH, 1 to 65,535 if legal.
    pub packet_identifier: u16,
    /// How it went; [`ReasonCode::SUCCESS`] when the packet leaves it out, and always in MQTT 3.1.1.
    pub reason_code: ReasonCode,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// Success for this Packet Identifier, without properties.
    #[inline]
    pub const fn new(packet_identifier: PacketIdentifier) -> Self {
        Self {
            packet_identifier: packet_identifier.get(),
            reason_code: ReasonCode::SUCCESS,
            properties: Properties::NONE,
        }
    }

    /// The same with this Reason Code.
    #[must_use]
    pub const fn with_reason_code(self, reason_code: ReasonCode) -> Self {
        Self { reason_code, ..self }
    }

    /// Appends it as a PUBACK, in the shortest legal form.
    ///
    /// # Errors
    /// Packet Identifier 0, a Reason Code or property that PUBACK does not have, either of them in MQTT 3.1.1.
    pub fn encode_puback(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.write(PacketType::PubAck, version, out)
    }

    /// Appends it as a PUBREC, in the shortest legal form.
    ///
    /// # Errors
    /// As for [`Self::encode_puback`].
    pub fn encode_pubrec(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.write(PacketType::PubRec, version, out)
    }

    /// Appends it as a PUBREL, in the shortest legal form.
    ///
    /// # Errors
    /// As for [`Self::encode_puback`].
    pub fn encode_pubrel(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.write(PacketType::PubRel, version, out)
    }

    /// Appends it as a PUBCOMP, in the shortest legal form.
    ///
    /// # Errors
    /// As for [`Self::encode_puback`].
    pub fn encode_pubcomp(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.write(PacketType::PubComp, version, out)
    }

    #[inline]
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        packet_type: PacketType,
    ) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let (reason_code, properties) = reason::read(reader, version, packet_type);
        Ok(Self { packet_identifier, reason_code, properties })
    }

    #[inline]
    pub(crate) fn write(
        &self,
        packet_type: PacketType,
        version: ProtocolVersion,
        out: &mut Vec<u8>,
    ) -> Written {
        encode::packet(out, packet_type.first_byte(), &[], |out| {
            encode::packet_identifier(out, self.packet_identifier)?;
            reason::write(self.reason_code, self.properties, packet_type, version, out)
        })
    }
}
