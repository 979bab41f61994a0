//! The optional Reason Code and properties that end an acknowledgement, a DISCONNECT and an AUTH.
//!
//! Each of the two may be missing, and what is left out means Success without properties; the three forms are read
//! and written here once for all six packets.

use crate::encode::{self, EncodeError, Written};
use crate::oddity::{Oddities, Oddity};
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

/// Reads what there is of Reason Code and properties, up to the end of the body.
#[inline]
pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
    packet_type: PacketType,
) -> (ReasonCode, Properties<'a>) {
    let Some(code) = reader.byte() else { return (ReasonCode::SUCCESS, Properties::NONE) };
    // A code on a 3.1.1 connection is kept: it says why a broker closes.
    reader.note_if(version == ProtocolVersion::V3_1_1, Oddity::TrailingBytes);
    note_code(reader, ReasonCode(code), packet_type);
    // MQTT 5.0 lets acknowledgements and DISCONNECT leave the Property Length out, but not AUTH (section 3.15.2.2.1).
    if reader.is_empty() && packet_type != PacketType::Auth {
        return (ReasonCode(code), Properties::NONE);
    }
    (ReasonCode(code), reader.properties(packet_type.into()))
}

/// Notes a code the standard does not have, or not in this packet.
#[inline]
pub(crate) fn note_code(reader: &mut Reader<'_>, code: ReasonCode, packet_type: PacketType) {
    // The most common code by far needs no look-up: each of these packets but SUBSCRIBE's knows it.
    if code.0 != 0 {
        reader.oddities = reader.oddities.union(rare_code_oddities(code, packet_type));
    }
}

fn rare_code_oddities(code: ReasonCode, packet_type: PacketType) -> Oddities {
    let mut oddities = Oddities::NONE;
    if code.name().is_none() {
        oddities.insert(Oddity::UnknownReasonCode);
    } else if code.name_in(packet_type).is_none() {
        oddities.insert(Oddity::ReasonCodeNotAllowedHere);
    }
    oddities
}

/// Refuses a code that this packet must not carry.
#[inline]
pub(crate) fn check_code(code: ReasonCode, packet_type: PacketType) -> Written {
    if code.0 == 0 || code.name_in(packet_type).is_some() {
        return Ok(());
    }
    Err(EncodeError::Forbidden(match code.name() {
        Some(_) => Oddity::ReasonCodeNotAllowedHere,
        None => Oddity::UnknownReasonCode,
    }))
}

/// Appends Reason Code and properties in the shortest form the standard has for them.
#[inline]
pub(crate) fn write(
    code: ReasonCode,
    properties: Properties<'_>,
    packet_type: PacketType,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Written {
    if version == ProtocolVersion::V3_1_1 {
        return match code {
            ReasonCode::SUCCESS => properties.write(packet_type, version, out),
            _ => Err(EncodeError::NotInThisVersion("Reason Code in this packet")),
        };
    }
    check_code(code, packet_type)?;
    match (code, properties.is_empty()) {
        (ReasonCode::SUCCESS, true) => Ok(()),
        (_, true) if packet_type != PacketType::Auth => {
            encode::byte(out, code.0);
            Ok(())
        }
        _ => {
            encode::byte(out, code.0);
            properties.write(packet_type, version, out)
        }
    }
}
