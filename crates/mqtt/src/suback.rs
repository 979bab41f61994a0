//! SUBACK and UNSUBACK: one Reason Code for each Topic Filter (MQTT 5.0 sections 3.9 and 3.11).

use crate::encode::{self, EncodeError};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::qos::PacketIdentifier;
use crate::reader::{DecodeError, Reader};
use crate::reason;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

/// The fields of a SUBACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubAck<'a> {
    /// The Packet Identifier of the SUBSCRIBE.
    pub packet_identifier: u16,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
    /// One code for each Topic Filter, in their order; in MQTT 3.1.1 the return codes 0, 1, 2 and 0x80.
    pub reason_codes: &'a [u8],
}

/// The fields of an UNSUBACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnsubAck<'a> {
    /// The Packet Identifier of the UNSUBSCRIBE.
    pub packet_identifier: u16,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
    /// One code for each Topic Filter, in their order; none in MQTT 3.1.1.
    pub reason_codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    /// These codes without properties.
    pub const fn new(packet_identifier: PacketIdentifier, reason_codes: &'a [u8]) -> Self {
        Self { packet_identifier: packet_identifier.get(), properties: Properties::NONE, reason_codes }
    }

    /// The codes in order.
    pub fn codes(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        self.reason_codes.iter().copied().map(ReasonCode)
    }

    /// Appends it.
    ///
    /// # Errors
    /// Packet Identifier 0, no code, a code or property the version's SUBACK does not have.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::SubAck.first_byte(), self.reason_codes, |out| {
            encode::packet_identifier(out, self.packet_identifier)?;
            self.properties.write(PacketType::SubAck, version, out)?;
            encode::forbid(self.reason_codes.is_empty(), Oddity::EmptyList)?;
            self.codes().try_for_each(|code| check(code, PacketType::SubAck, version))
        })
    }

    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = reader.properties_in(version, PacketType::SubAck);
        let reason_codes = read_codes(reader, version, PacketType::SubAck);
        Ok(Self { packet_identifier, properties, reason_codes })
    }
}

impl<'a> UnsubAck<'a> {
    /// These codes without properties; in MQTT 3.1.1 there must be none.
    pub const fn new(packet_identifier: PacketIdentifier, reason_codes: &'a [u8]) -> Self {
        Self { packet_identifier: packet_identifier.get(), properties: Properties::NONE, reason_codes }
    }

    /// The codes in order.
    pub fn codes(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        self.reason_codes.iter().copied().map(ReasonCode)
    }

    /// Appends it.
    ///
    /// # Errors
    /// Packet Identifier 0, a code or property UNSUBACK does not have; no code in MQTT 5.0, any code in MQTT 3.1.1.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::UnsubAck.first_byte(), self.reason_codes, |out| {
            encode::packet_identifier(out, self.packet_identifier)?;
            self.properties.write(PacketType::UnsubAck, version, out)?;
            match version {
                ProtocolVersion::V3_1_1 if self.reason_codes.is_empty() => Ok(()),
                ProtocolVersion::V3_1_1 => Err(EncodeError::NotInThisVersion("Reason Code in UNSUBACK")),
                ProtocolVersion::V5 => {
                    encode::forbid(self.reason_codes.is_empty(), Oddity::EmptyList)?;
                    self.codes().try_for_each(|code| check(code, PacketType::UnsubAck, version))
                }
            }
        })
    }

    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = reader.properties_in(version, PacketType::UnsubAck);
        let reason_codes = match version {
            // MQTT 3.1.1 has no codes: what follows is noted as trailing bytes.
            ProtocolVersion::V3_1_1 => &[],
            ProtocolVersion::V5 => read_codes(reader, version, PacketType::UnsubAck),
        };
        Ok(Self { packet_identifier, properties, reason_codes })
    }
}

fn read_codes<'a>(reader: &mut Reader<'a>, version: ProtocolVersion, packet_type: PacketType) -> &'a [u8] {
    let codes = reader.rest();
    reader.note_if(codes.is_empty(), Oddity::EmptyList);
    for &code in codes {
        match version {
            ProtocolVersion::V3_1_1 => {
                reader.note_if(!is_suback_return_code(code), Oddity::UnknownReasonCode);
            }
            ProtocolVersion::V5 => reason::note_code(reader, ReasonCode(code), packet_type),
        }
    }
    codes
}

fn check(code: ReasonCode, packet_type: PacketType, version: ProtocolVersion) -> Result<(), EncodeError> {
    match version {
        ProtocolVersion::V3_1_1 => encode::forbid(!is_suback_return_code(code.0), Oddity::UnknownReasonCode),
        ProtocolVersion::V5 => reason::check_code(code, packet_type),
    }
}

/// MQTT 3.1.1 `[MQTT-3.9.3-2]`: a granted QoS, or failure.
const fn is_suback_return_code(code: u8) -> bool {
    matches!(code, 0..=2 | 0x80)
}
