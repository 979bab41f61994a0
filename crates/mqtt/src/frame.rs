//! Finds one packet at the head of a byte stream. The connection calls it on its read buffer.
//!
//! It reads the fixed header only and consumes nothing: how far to advance is `Frame::len`.

use std::fmt;

use crate::packet::Decoded;
use crate::packet_type::PacketType;
use crate::version::ProtocolVersion;

/// The largest legal Remaining Length, in bytes (MQTT 5.0 section 2.1.4).
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// The start of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framed<'a> {
    /// A whole packet.
    Complete(Frame<'a>),
    /// The start of a packet.
    Incomplete {
        /// How many bytes are needed at least, never 0: exact as soon as the fixed header is there.
        missing: usize,
    },
    /// The stream cannot be read any further.
    Malformed(FrameError),
}

/// Why a stream cannot be cut into packets any further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameError {
    /// The fourth byte of the Remaining Length announces a fifth (`MQTT 5.0` section 1.5.5).
    RemainingLengthTooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemainingLengthTooLong => f.write_str("Remaining Length longer than four bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One whole packet, still as bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The whole packet, fixed header included; at least two bytes.
    pub bytes: &'a [u8],
    /// What follows the fixed header: as many bytes as the Remaining Length says.
    pub body: &'a [u8],
}

/// Looks for a whole packet at the head of `bytes`, without consuming or judging it.
///
/// ```
/// use ungraceful_mqtt::{frame, Framed};
/// assert!(matches!(frame(&[0xD0]), Framed::Incomplete { missing: 1 }));
/// assert!(matches!(frame(&[0xD0, 0, 0xE0]), Framed::Complete(packet) if packet.len() == 2));
/// ```
#[inline]
pub fn frame(bytes: &[u8]) -> Framed<'_> {
    // Nearly every packet of a load run is shorter than 128 bytes, so its header is two bytes.
    if let [_, length @ 0..0x80, rest @ ..] = bytes
        && let Some(body) = rest.get(..usize::from(*length))
    {
        return Framed::Complete(Frame { bytes: &bytes[..2 + body.len()], body });
    }
    frame_of_any_length(bytes)
}

fn frame_of_any_length(bytes: &[u8]) -> Framed<'_> {
    let mut remaining_length = 0_usize;
    for index in 0..4 {
        let Some(&byte) = bytes.get(1 + index) else {
            return Framed::Incomplete { missing: if bytes.is_empty() { 2 } else { 1 } };
        };
        remaining_length |= usize::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            let header = 2 + index;
            let total = header + remaining_length;
            return match bytes.get(header..total) {
                Some(body) => Framed::Complete(Frame { bytes: &bytes[..total], body }),
                None => Framed::Incomplete { missing: total - bytes.len() },
            };
        }
    }
    Framed::Malformed(FrameError::RemainingLengthTooLong)
}

impl<'a> Frame<'a> {
    /// The first byte: type in the upper half, flags in the lower.
    #[inline]
    pub fn first_byte(self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// The packet's type; absent for the reserved type 0.
    #[inline]
    pub fn packet_type(self) -> Option<PacketType> {
        PacketType::from_nibble(self.first_byte() >> 4)
    }

    /// The fixed header flags, 0 to 15.
    #[inline]
    pub fn flags(self) -> u8 {
        self.first_byte() & 0x0F
    }

    /// How many bytes the whole packet takes; what to advance by.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a frame has at least its fixed header")]
    pub fn len(self) -> usize {
        self.bytes.len()
    }

    /// Whether the Remaining Length took more bytes than it needs.
    #[inline]
    pub(crate) fn has_padded_length(self) -> bool {
        let header = self.bytes.len() - self.body.len();
        header > 2 && self.body.len() < 1 << (7 * (header - 2))
    }

    /// Reads the packet as one of this version; anything odd about it is noted, never refused.
    ///
    /// A CONNECT is read as the version it names itself. Never panics, and allocates nothing.
    #[inline(always)]
    pub fn decode(self, version: ProtocolVersion) -> Decoded<'a> {
        Decoded::of(self, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_packet_before_its_last_byte() {
        let mut packet = vec![0x30, 0xC8, 0x01];
        packet.resize(3 + 200, b'x');
        assert_eq!(frame(&[]), Framed::Incomplete { missing: 2 });
        assert_eq!(frame(&packet[..1]), Framed::Incomplete { missing: 1 });
        assert_eq!(frame(&packet[..2]), Framed::Incomplete { missing: 1 });
        for cut in 3..packet.len() {
            assert_eq!(frame(&packet[..cut]), Framed::Incomplete { missing: packet.len() - cut });
        }
        packet.push(0xC0);
        assert!(
            matches!(frame(&packet), Framed::Complete(found) if found.len() == 203 && found.body.len() == 200)
        );
    }

    #[test]
    fn mqtt5_1_5_5_1_a_fifth_length_byte_is_malformed_early() {
        let malformed = Framed::Malformed(FrameError::RemainingLengthTooLong);
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]), malformed);
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), malformed);
        assert_eq!(
            frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
            Framed::Incomplete { missing: REMAINING_LENGTH_MAX }
        );
    }

    #[test]
    fn a_padded_length_is_still_a_frame() {
        let Framed::Complete(packet) = frame(&[0xD0, 0x80, 0x80, 0x00]) else { panic!("no frame") };
        assert!(packet.body.is_empty() && packet.has_padded_length());
        let Framed::Complete(packet) = frame(&[0xD0, 0x00]) else { panic!("no frame") };
        assert!(!packet.has_padded_length());
    }
}
