//! Writes the standard's data types and the frame around a packet: the legal path, which rejects forbidden packets.
//!
//! Each packet's fields are in its own file. `forbidden.rs` writes forbidden packets, and shares no code with this path, so that
//! neither can weaken the other.

use std::fmt;

use crate::frame::REMAINING_LENGTH_MAX;
use crate::oddity::Oddity;
use crate::packet_type::PacketType;

/// Why a packet was not written; the buffer is then as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EncodeError {
    /// A decoder would note this oddity.
    Forbidden(Oddity),
    /// The protocol version does not have this.
    NotInThisVersion(&'static str),
    /// The string or Binary Data of this name is longer than 65,535 bytes.
    TooLong(&'static str),
    /// The packet would be longer than a Remaining Length can say (268,435,455 bytes).
    PacketTooLarge,
    /// A PUBLISH above QoS 0 has no Packet Identifier.
    MissingPacketIdentifier,
    /// A QoS 0 PUBLISH has a Packet Identifier (`MQTT 5.0 [MQTT-2.2.1-2]`).
    PacketIdentifierOnQos0,
    /// An empty Client Identifier with Clean Session 0 (`MQTT 3.1.1 [MQTT-3.1.3-7]`).
    EmptyClientIdentifier,
    /// The stamp of a template does not lie within its payload.
    StampOutsidePayload,
    /// The packet is an unreadable one: nothing is known that could be written.
    Unreadable,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(oddity) => write!(f, "the standard forbids it: {oddity}"),
            Self::NotInThisVersion(what) => write!(f, "MQTT 3.1.1 has no {what}"),
            Self::TooLong(field) => write!(f, "{field} longer than 65535 bytes"),
            Self::PacketTooLarge => write!(f, "packet body longer than {REMAINING_LENGTH_MAX} bytes"),
            Self::MissingPacketIdentifier => f.write_str("PUBLISH above QoS 0 without a Packet Identifier"),
            Self::PacketIdentifierOnQos0 => f.write_str("QoS 0 PUBLISH with a Packet Identifier"),
            Self::EmptyClientIdentifier => f.write_str("empty Client Identifier without Clean Session"),
            Self::StampOutsidePayload => f.write_str("stamp of 16 bytes reaches beyond the payload"),
            Self::Unreadable => f.write_str("an unreadable packet cannot be written: copy its bytes"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends a PINGREQ.
pub fn pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingReq.first_byte(), 0]);
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingResp.first_byte(), 0]);
}

pub(crate) type Written = Result<(), EncodeError>;

/// Rejects what would be odd.
#[inline]
pub(crate) const fn forbid(condition: bool, oddity: Oddity) -> Written {
    if condition { Err(EncodeError::Forbidden(oddity)) } else { Ok(()) }
}

/// Appends a packet: fixed header, what `head` writes, and `tail` as it is; or nothing at all.
#[inline]
pub(crate) fn packet(
    out: &mut Vec<u8>,
    first_byte: u8,
    tail: &[u8],
    head: impl FnOnce(&mut Vec<u8>) -> Written,
) -> Written {
    let start = out.len();
    out.extend_from_slice(&[first_byte, 0]);
    let written = head(out).and_then(|()| close_length(out, start + 1, tail.len()));
    match written {
        Ok(()) => out.extend_from_slice(tail),
        Err(_) => out.truncate(start),
    }
    written
}

/// Fills in the length byte kept at `at` for what follows it plus `more` bytes, and makes room if it needs two to four.
#[inline]
pub(crate) fn close_length(out: &mut Vec<u8>, at: usize, more: usize) -> Written {
    let end = out.len();
    let length = end - at - 1 + more;
    match u8::try_from(length) {
        Ok(short @ ..0x80) => {
            out[at] = short;
            Ok(())
        }
        _ => close_long_length(out, at, length),
    }
}

fn close_long_length(out: &mut Vec<u8>, at: usize, length: usize) -> Written {
    if length > REMAINING_LENGTH_MAX {
        return Err(EncodeError::PacketTooLarge);
    }
    let end = out.len();
    let (bytes, width) = variable_bytes(u32::try_from(length).map_err(|_| EncodeError::PacketTooLarge)?);
    out.resize(end + width - 1, 0);
    out.copy_within(at + 1..end, at + width);
    out[at..at + width].copy_from_slice(&bytes[..width]);
    Ok(())
}

/// The bytes of a Variable Byte Integer up to 268,435,455, and how many of them count.
pub(crate) fn variable_bytes(value: u32) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    let mut rest = value;
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (rest & 0x7F) as u8;
        rest >>= 7;
        if rest == 0 {
            return (bytes, index + 1);
        }
        *byte |= 0x80;
    }
    bytes[3] &= 0x7F;
    (bytes, 4)
}

#[inline]
pub(crate) fn byte(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

#[inline]
pub(crate) fn two_bytes(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn four_bytes(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn variable(out: &mut Vec<u8>, value: u32) {
    let (bytes, width) = variable_bytes(value);
    out.extend_from_slice(&bytes[..width]);
}

#[inline]
pub(crate) fn binary(out: &mut Vec<u8>, value: &[u8], field: &'static str) -> Written {
    let length = u16::try_from(value.len()).map_err(|_| EncodeError::TooLong(field))?;
    two_bytes(out, length);
    out.extend_from_slice(value);
    Ok(())
}

#[inline]
pub(crate) fn text(out: &mut Vec<u8>, value: &str, field: &'static str) -> Written {
    forbid(value.as_bytes().contains(&0), Oddity::NullCharacter)?;
    binary(out, value.as_bytes(), field)
}

#[inline]
pub(crate) fn packet_identifier(out: &mut Vec<u8>, value: u16) -> Written {
    forbid(value == 0, Oddity::PacketIdentifierZero)?;
    two_bytes(out, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt5_1_5_5_1_a_variable_byte_integer_takes_the_fewest_bytes() {
        let widths = [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (2_097_151, 3),
            (2_097_152, 4),
            (268_435_455, 4),
        ];
        for (value, width) in widths {
            assert_eq!(variable_bytes(value).1, width, "{value}");
        }
        assert_eq!(variable_bytes(321).0[..2], [0xC1, 0x02]);
        assert_eq!(variable_bytes(268_435_455).0, [0xFF, 0xFF, 0xFF, 0x7F]);
    }

    #[test]
    fn a_refused_packet_leaves_the_buffer_as_it_was() {
        let mut out = vec![1, 2, 3];
        let refused = packet(&mut out, 0x30, b"tail", |out| {
            byte(out, 9);
            Err(EncodeError::MissingPacketIdentifier)
        });
        assert_eq!(refused, Err(EncodeError::MissingPacketIdentifier));
        assert_eq!(out, [1, 2, 3]);
    }
}
