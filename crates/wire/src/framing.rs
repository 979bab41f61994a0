//! Cuts what a connection reads into packets, however the reads fall, and keeps what is not whole yet.
//!
//! Used by the connection alone. It sees bytes and instants, no socket. Memory is bounded: a packet that announces
//! more than [`PACKET_BYTES_MAX`] is rejected, and everything held on all connections of the process comes from one
//! budget.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ungraceful_mqtt::{Frame, Framed, frame};

use crate::received::{Arrival, ReceivedPacket, Unframed};
use crate::stamps::Stamped;

/// The largest packet accepted, fixed header included: the Maximum Packet Size of clients on these connections (MQTT
/// 5.0 section 3.1.2.11.4). Twice the largest Application Message of a fault (64 KiB), so topic and properties have
/// room.
pub const PACKET_BYTES_MAX: usize = 128 * 1024;
/// Most bytes held on all connections of this process: incomplete packets, and what was read while something was
/// being sent.
pub const HELD_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Bytes kept as evidence when they can't be cut into packets.
const UNFRAMEABLE_KEPT_BYTES: usize = 64;
/// Bytes kept of a packet that was begun and never finished.
const UNFINISHED_KEPT_BYTES: usize = 1_024;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static DISCARDED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that came on connections of this process, and were discarded: a packet that was larger than
/// [`PACKET_BYTES_MAX`], had no room within [`HELD_BYTES_MAX`], or can't be framed; and all that followed it.
#[must_use]
pub fn discarded_bytes() -> u64 {
    DISCARDED_BYTES.load(Ordering::Relaxed)
}

pub(crate) fn discard(bytes: usize) {
    DISCARDED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Bytes taken from the budget of the process; returned when dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(usize);

impl Held {
    /// Takes more; false, with nothing taken, when the budget has less.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let within = |held: usize| held.checked_add(bytes).filter(|held| *held <= HELD_BYTES_MAX);
        let granted = HELD_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        if granted {
            self.0 += bytes;
        }
        granted
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// What is left between reads. Holds no memory of its own between packets.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    unfinished: Option<Box<Unfinished>>,
    /// Bytes that can't be framed came: no packet follows.
    unframeable: bool,
}

/// The beginning of a packet whose rest has not come yet.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    first_byte_at: Stamped,
    held: Held,
}

impl Unfinished {
    /// Takes what is there of the `missing` bytes that complete the packet, or its header. The error is why the
    /// packet is rejected; nothing was taken then.
    fn grow(&mut self, bytes: &mut &[u8], missing: usize) -> Result<(), Unframed> {
        let whole = self.bytes.len() + missing;
        if whole > PACKET_BYTES_MAX {
            return Err(Unframed::TooLarge { packet_bytes: whole as u64 });
        }
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        if !self.held.grow(taken.len()) {
            return Err(Unframed::NoRoom);
        }
        self.bytes.extend_from_slice(taken);
        *bytes = rest;
        Ok(())
    }
}

/// One step through the bytes of a read.
enum Step {
    /// A packet was shown.
    Shown,
    /// Bytes that can't be framed.
    Rejected(Arrival),
    /// All bytes are taken in.
    Nothing,
}

impl Framing {
    /// Shows each packet that `bytes`, read at `at`, complete, with the instants of its first and last byte. Returns
    /// bytes that can't be framed, once; what follows them is dropped.
    pub(crate) fn take_in(
        &mut self,
        mut bytes: &[u8],
        at: Stamped,
        visit: &mut impl FnMut(Frame<'_>, Stamped, Stamped),
    ) -> Option<Arrival> {
        loop {
            match self.step(&mut bytes, at, visit) {
                Step::Shown => {}
                Step::Rejected(rejected) => return Some(rejected),
                Step::Nothing => return None,
            }
        }
    }

    /// Takes the first packet, or bytes that can't be framed, off the head of `bytes`, read at `at`. Absent when all
    /// bytes are taken and complete nothing.
    pub(crate) fn take_one(&mut self, bytes: &mut &[u8], at: Stamped) -> Option<Arrival> {
        let mut packet = None;
        let mut keep = |frame: Frame<'_>, (first_byte_at, by): Stamped, (complete_at, _): Stamped| {
            packet = Some(ReceivedPacket { bytes: frame.bytes.to_vec(), first_byte_at, by, complete_at });
        };
        match self.step(bytes, at, &mut keep) {
            Step::Rejected(rejected) => Some(rejected),
            Step::Shown | Step::Nothing => packet.map(Arrival::Packet),
        }
    }

    /// Takes `bytes` up to the end of one packet, and shows that.
    #[inline]
    fn step(
        &mut self,
        bytes: &mut &[u8],
        at: Stamped,
        visit: &mut impl FnMut(Frame<'_>, Stamped, Stamped),
    ) -> Step {
        if self.unframeable {
            discard(bytes.len());
            *bytes = &[];
            return Step::Nothing;
        }
        if let Some(begun) = self.unfinished.take() {
            return self.go_on(begun, bytes, at, visit);
        }
        match frame(bytes) {
            Framed::Complete(packet) => {
                let length = packet.bytes.len();
                visit(packet, at, at);
                *bytes = &bytes[length..];
                Step::Shown
            }
            Framed::Incomplete { .. } if bytes.is_empty() => Step::Nothing,
            Framed::Incomplete { missing } => {
                let mut begun = Unfinished { bytes: Vec::new(), first_byte_at: at, held: Held::default() };
                match begun.grow(bytes, bytes.len() + missing) {
                    Ok(()) => self.unfinished = Some(Box::new(begun)),
                    Err(why) => return Step::Rejected(self.give_up(&[], bytes, at, why)),
                }
                Step::Nothing
            }
            Framed::Malformed(_) => Step::Rejected(self.give_up(&[], bytes, at, Unframed::NoRemainingLength)),
        }
    }

    /// As [`Framing::step`], for a packet that was begun. It grows by what it misses and no more, so each byte of a
    /// packet is copied once, however many reads bring it, and the packets behind it are not copied at all.
    fn go_on(
        &mut self,
        mut begun: Box<Unfinished>,
        bytes: &mut &[u8],
        at: Stamped,
        visit: &mut impl FnMut(Frame<'_>, Stamped, Stamped),
    ) -> Step {
        loop {
            let grown = match frame(&begun.bytes) {
                Framed::Complete(packet) => {
                    visit(packet, begun.first_byte_at, at);
                    return Step::Shown;
                }
                Framed::Incomplete { .. } if bytes.is_empty() => {
                    self.unfinished = Some(begun);
                    return Step::Nothing;
                }
                Framed::Incomplete { missing } => begun.grow(bytes, missing),
                Framed::Malformed(_) => Err(Unframed::NoRemainingLength),
            };
            if let Err(why) = grown {
                return Step::Rejected(self.give_up(&begun.bytes, bytes, begun.first_byte_at, why));
            }
        }
    }

    /// No packet follows. The bytes of this one are in `first` and at the head of `bytes`.
    fn give_up(&mut self, first: &[u8], bytes: &mut &[u8], at: Stamped, why: Unframed) -> Arrival {
        self.unframeable = true;
        let kept = first.iter().chain(bytes.iter()).take(UNFRAMEABLE_KEPT_BYTES).copied().collect();
        discard(first.len() + bytes.len());
        *bytes = &[];
        Arrival::Unframeable { bytes: kept, at: at.0, why }
    }

    /// There was no room for bytes read while something was being sent, so no packet follows. Returns that once.
    pub(crate) fn overrun(&mut self, at: Stamped) -> Option<Arrival> {
        if self.unframeable {
            return None;
        }
        let begun = self.unfinished.take().map(|begun| begun.bytes).unwrap_or_default();
        Some(self.give_up(&begun, &mut &[][..], at, Unframed::NoRoom))
    }

    /// The bytes of an unfinished packet, at most the first 1,024.
    pub(crate) fn take_unfinished(&mut self) -> Vec<u8> {
        let mut bytes = self.unfinished.take().map(|begun| begun.bytes).unwrap_or_default();
        bytes.truncate(UNFINISHED_KEPT_BYTES);
        bytes.shrink_to_fit();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clock::now;
    use crate::stamps::StampedBy;

    /// Remaining Lengths of one, two and three bytes, and none.
    fn packets() -> Vec<Vec<u8>> {
        let mut long = vec![0x30, 0x90, 0x01];
        long.extend((0..144).map(|byte: u8| byte));
        vec![vec![0xD0, 0x00], vec![0x20, 0x03, 0x00, 0x00, 0x00], long, vec![0x40, 0x82, 0x80, 0x00, 1, 2]]
    }

    fn cut(stream: &[u8], size: usize) -> Vec<&[u8]> {
        stream.chunks(size).collect()
    }

    struct Seen {
        packets: Vec<(Vec<u8>, Instant, Instant)>,
        rejected: Vec<Arrival>,
        left: Vec<u8>,
    }

    /// Takes in each chunk at an instant of its own, one second after the chunk before.
    fn take_in(start: Instant, chunks: &[&[u8]]) -> Seen {
        let mut framing = Framing::default();
        let mut packets = Vec::new();
        let mut rejected = Vec::new();
        for (second, &chunk) in (0..).zip(chunks) {
            rejected.extend(framing.take_in(
                chunk,
                (start + Duration::from_secs(second), StampedBy::Kernel),
                &mut |frame, (first, _), (last, _)| {
                    packets.push((frame.bytes.to_vec(), first, last));
                },
            ));
        }
        Seen { packets, rejected, left: framing.take_unfinished() }
    }

    #[test]
    fn chunks_of_every_size_give_the_same_packets() {
        let stream = packets().concat();
        for size in 1..=stream.len() {
            let seen = take_in(now(), &cut(&stream, size));
            let bytes: Vec<_> = seen.packets.iter().map(|(bytes, ..)| bytes.clone()).collect();
            assert_eq!(bytes, packets(), "in chunks of {size}");
            assert!(seen.rejected.is_empty() && seen.left.is_empty(), "in chunks of {size}");
        }
    }

    #[test]
    fn a_packet_has_the_instants_of_its_first_and_last_byte() {
        let start = now();
        let stream = packets().concat();
        for size in 1..=stream.len() {
            let mut first = 0;
            let instant_of = |offset: usize| start + Duration::from_secs((offset / size) as u64);
            for (bytes, first_byte_at, complete_at) in take_in(start, &cut(&stream, size)).packets {
                let last = first + bytes.len() - 1;
                assert_eq!((first_byte_at, complete_at), (instant_of(first), instant_of(last)));
                first = last + 1;
            }
        }
    }

    #[test]
    fn every_pair_of_cuts_gives_the_same_packets() {
        let stream = packets().concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let seen = take_in(now(), &[&stream[..first], &stream[first..second], &stream[second..]]);
                assert!(seen.packets.iter().map(|(bytes, ..)| bytes).eq(&packets()), "{first}, {second}");
            }
        }
    }

    #[test]
    fn a_packet_without_its_end_is_left() {
        let whole = &packets()[2];
        for length in 0..whole.len() {
            let seen = take_in(now(), &cut(&whole[..length], 7));
            assert!(seen.packets.is_empty());
            assert_eq!(seen.left, whole[..length]);
        }
    }

    #[test]
    fn unframeable_bytes_are_returned_once_after_earlier_packets() {
        let mut stream = vec![0xD0, 0x00];
        stream.extend([0x30, 0xFF, 0xFF, 0xFF, 0xFF]);
        stream.extend([0xAA; 100]);
        for size in 1..=stream.len() {
            let start = now();
            let seen = take_in(start, &cut(&stream, size));
            assert_eq!(seen.packets.len(), 1, "in chunks of {size}");
            let [Arrival::Unframeable { bytes, at, why: Unframed::NoRemainingLength }] = &seen.rejected[..]
            else {
                panic!("in chunks of {size}: {:?}", seen.rejected)
            };
            assert_eq!(*at, start + Duration::from_secs((2 / size) as u64));
            assert!(bytes.len() >= 5 && stream[2..].starts_with(bytes), "in chunks of {size}");
            assert!(bytes.len() <= UNFRAMEABLE_KEPT_BYTES);
            assert!(seen.left.is_empty());
        }
    }

    /// A PUBLISH of so many bytes, header included.
    fn packet_of(bytes: usize) -> Vec<u8> {
        let remaining = bytes - 4;
        let digits = [0, 7, 14].map(|shift| u8::try_from(remaining >> shift & 0x7F).unwrap());
        let mut packet = vec![0x30, digits[0] | 0x80, digits[1] | 0x80, digits[2]];
        packet.resize(bytes, 0x5A);
        packet
    }

    #[test]
    fn the_largest_packet_is_accepted_and_one_byte_more_is_not() {
        let largest = packet_of(PACKET_BYTES_MAX);
        let seen = take_in(now(), &cut(&largest, 1024));
        assert!(seen.packets.len() == 1 && seen.packets[0].0 == largest);
        let stream = [&[0xD0, 0x00][..], &packet_of(PACKET_BYTES_MAX + 1), &[0xD0, 0x00]].concat();
        for size in [1, 1024, 64 * 1024] {
            let discarded = discarded_bytes();
            let seen = take_in(now(), &cut(&stream, size));
            assert_eq!(seen.packets.len(), 1, "what came before it is a packet, what follows is dropped");
            let [Arrival::Unframeable { bytes, why, .. }] = &seen.rejected[..] else {
                panic!("{:?}", seen.rejected)
            };
            assert_eq!(*why, Unframed::TooLarge { packet_bytes: PACKET_BYTES_MAX as u64 + 1 });
            assert!(bytes.len() <= UNFRAMEABLE_KEPT_BYTES && stream[2..].starts_with(bytes));
            assert!(seen.left.is_empty());
            // Other tests of this process may discard as well.
            assert!(discarded_bytes() >= discarded + stream.len() as u64 - 2, "in chunks of {size}");
        }
    }

    #[test]
    fn a_packet_that_only_announces_its_size_costs_nothing() {
        let mut framing = Framing::default();
        let rejected =
            framing.take_in(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], (now(), StampedBy::Kernel), &mut |_, _, _| {});
        let Some(Arrival::Unframeable { why, .. }) = rejected else { panic!("{rejected:?}") };
        assert_eq!(why, Unframed::TooLarge { packet_bytes: 268_435_460 });
        assert!(framing.unfinished.is_none());
    }

    #[test]
    fn held_bytes_are_returned_and_the_budget_is_kept() {
        let mut held = Held::default();
        assert!(!held.grow(HELD_BYTES_MAX + 1) && held.0 == 0);
        assert!(held.grow(1_000) && held.grow(24) && held.0 == 1_024);
        assert!(!held.grow(HELD_BYTES_MAX), "others of the process hold the rest");
    }
}
