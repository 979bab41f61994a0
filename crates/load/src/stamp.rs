//! The stamp in the payload of every message of a load: its publisher, its number, when it was due, and how much
//! later it was sent. Sixteen bytes, or their thirty-two hexadecimal digits where a payload must stay text.

use ungraceful_mqtt::STAMP_LEN;

/// Bytes of the hexadecimal form.
pub(crate) const HEX_LEN: usize = 2 * STAMP_LEN;

const RUN_BITS: u32 = 8;
const PUBLISHER_BITS: u32 = 20;
const SEQUENCE_BITS: u32 = 36;
const DUE_BITS: u32 = 38;
const LATENESS_BITS: u32 = 26;

/// Publishers that a stamp distinguishes.
pub const PUBLISHERS_MAX: u32 = 1 << PUBLISHER_BITS;
/// The largest lateness that a stamp holds, in µs; larger ones are cut to it.
pub(crate) const LATENESS_MAX_US: u64 = (1 << LATENESS_BITS) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Distinguishes the messages of this run from others, as far as eight bits do.
    pub(crate) run: u8,
    pub(crate) publisher: u32,
    /// The message's number, from 0 for each publisher.
    pub(crate) sequence: u64,
    /// When it was due, in µs of the run's clock.
    pub(crate) due_us: u64,
    /// How much later it was sent, in µs, at most [`LATENESS_MAX_US`].
    pub(crate) lateness_us: u64,
}

const fn low(value: u64, bits: u32) -> u128 {
    (value & ((1 << bits) - 1)) as u128
}

/// Publishers' messages before their numbers begin again.
pub(crate) const SEQUENCES: u64 = 1 << SEQUENCE_BITS;

impl Stamp {
    /// The bits of a stamp less those of the publisher's message before, when nothing but the number changes.
    pub(crate) const STEP: u128 = 1 << (DUE_BITS + LATENESS_BITS);

    #[inline]
    pub(crate) fn bytes(&self) -> [u8; STAMP_LEN] {
        self.bits().to_be_bytes()
    }

    #[inline]
    pub(crate) fn bits(&self) -> u128 {
        let lateness_us = if self.lateness_us > LATENESS_MAX_US { LATENESS_MAX_US } else { self.lateness_us };
        let mut bits = low(self.run as u64, RUN_BITS);
        bits = bits << PUBLISHER_BITS | low(self.publisher as u64, PUBLISHER_BITS);
        bits = bits << SEQUENCE_BITS | low(self.sequence, SEQUENCE_BITS);
        bits = bits << DUE_BITS | low(self.due_us, DUE_BITS);
        bits << LATENESS_BITS | low(lateness_us, LATENESS_BITS)
    }

    #[inline]
    pub(crate) fn read(bytes: [u8; STAMP_LEN]) -> Self {
        let mut bits = u128::from_be_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "each field is cut to its bits")]
        let mut take = |width: u32| {
            let field = (bits as u64) & ((1 << width) - 1);
            bits >>= width;
            field
        };
        let (lateness_us, due_us, sequence) = (take(LATENESS_BITS), take(DUE_BITS), take(SEQUENCE_BITS));
        #[expect(clippy::cast_possible_truncation, reason = "20 bits and 8 bits")]
        let (publisher, run) = (take(PUBLISHER_BITS) as u32, take(RUN_BITS) as u8);
        Self { run, publisher, sequence, due_us, lateness_us }
    }

    pub(crate) fn write_hex(&self, out: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (byte, pair) in self.bytes().into_iter().zip(out.chunks_exact_mut(2)) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xF)];
        }
    }

    /// Reads the hexadecimal form; absent when it is none.
    pub(crate) fn read_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; STAMP_LEN];
        let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in bytes.iter_mut().zip(text.get(..HEX_LEN)?.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self::read(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{HEX_LEN, LATENESS_MAX_US, PUBLISHERS_MAX, Stamp};

    fn stamps() -> [Stamp; 3] {
        [
            Stamp {
                run: 0xA5,
                publisher: 77,
                sequence: 123_456_789,
                due_us: 86_400_000_000,
                lateness_us: 1_234,
            },
            Stamp { run: 0, publisher: 0, sequence: 0, due_us: 0, lateness_us: 0 },
            Stamp {
                run: u8::MAX,
                publisher: PUBLISHERS_MAX - 1,
                sequence: (1 << 36) - 1,
                due_us: (1 << 38) - 1,
                lateness_us: LATENESS_MAX_US,
            },
        ]
    }

    #[test]
    fn a_stamp_is_read_back_as_it_was_written_in_both_forms() {
        for stamp in stamps() {
            assert_eq!(Stamp::read(stamp.bytes()), stamp);
            let mut text = [0; HEX_LEN];
            stamp.write_hex(&mut text);
            assert_eq!(Stamp::read_hex(&text), Some(stamp));
        }
        assert_eq!(Stamp::read_hex(&[b'x'; HEX_LEN]), None);
        assert_eq!(Stamp::read_hex(b"00"), None);
    }

    #[test]
    fn a_larger_lateness_is_cut_and_disturbs_no_other_field() {
        let stamp = Stamp { lateness_us: LATENESS_MAX_US + 5, ..stamps()[0] };
        assert_eq!(Stamp::read(stamp.bytes()), Stamp { lateness_us: LATENESS_MAX_US, ..stamp });
    }
}
