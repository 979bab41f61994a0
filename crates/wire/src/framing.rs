//! Cuts what a connection reads into packets, however the reads fall, and keeps what is not whole yet.
//!
//! Used by the connection alone. It sees bytes and instants, no socket.

use std::time::Instant;

use ungraceful_mqtt::{Frame, Framed, frame};

use crate::received::Arrival;

/// How much of bytes that can't be cut into packets is kept as evidence.
const UNFRAMEABLE_KEPT_BYTES: usize = 64;

/// What the reads so far left behind. Holds no memory of its own between packets.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    unfinished: Option<Box<Unfinished>>,
    /// Bytes that can't be framed came, and with them the end of all packets.
    unframeable: bool,
}

/// The beginning of a packet whose rest has not come yet.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    first_byte_at: Instant,
}

impl Framing {
    /// Shows each packet that `bytes`, read at `at`, complete: the packet, the instant of its first byte and
    /// that of its last. Returns the telling of bytes that can't be framed, once; what follows them is dropped.
    pub(crate) fn take_in(
        &mut self,
        mut bytes: &[u8],
        at: Instant,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        if self.unframeable {
            return None;
        }
        if let Some(mut begun) = self.unfinished.take() {
            // It grows by what it misses and nothing more, so each byte of a packet is copied once however
            // many reads bring it, and the packets behind it are not copied at all.
            loop {
                match frame(&begun.bytes) {
                    Framed::Complete(packet) => {
                        visit(packet, begun.first_byte_at, at);
                        break;
                    }
                    Framed::Incomplete { .. } if bytes.is_empty() => {
                        self.unfinished = Some(begun);
                        return None;
                    }
                    Framed::Incomplete { missing } => {
                        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
                        begun.bytes.extend_from_slice(taken);
                        bytes = rest;
                    }
                    Framed::Malformed(_) => {
                        return Some(self.give_up(&begun.bytes, bytes, begun.first_byte_at));
                    }
                }
            }
        }
        self.cut(bytes, at, visit)
    }

    /// As [`Framing::take_in`], for bytes that begin with a packet.
    fn cut(
        &mut self,
        mut bytes: &[u8],
        at: Instant,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        loop {
            match frame(bytes) {
                Framed::Complete(packet) => {
                    let length = packet.bytes.len();
                    visit(packet, at, at);
                    bytes = &bytes[length..];
                }
                Framed::Incomplete { .. } => {
                    if !bytes.is_empty() {
                        self.unfinished =
                            Some(Box::new(Unfinished { bytes: bytes.to_vec(), first_byte_at: at }));
                    }
                    return None;
                }
                Framed::Malformed(_) => return Some(self.give_up(bytes, &[], at)),
            }
        }
    }

    fn give_up(&mut self, first: &[u8], then: &[u8], at: Instant) -> Arrival {
        self.unframeable = true;
        let bytes = first.iter().chain(then).take(UNFRAMEABLE_KEPT_BYTES).copied().collect();
        Arrival::Unframeable { bytes, at }
    }

    /// The bytes of a packet that was begun and will not be finished.
    pub(crate) fn take_unfinished(&mut self) -> Vec<u8> {
        self.unfinished.take().map(|begun| begun.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::now;

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
        told: Vec<Arrival>,
        left: Vec<u8>,
    }

    /// Takes in each chunk at an instant of its own, one second after the chunk before.
    fn take_in(start: Instant, chunks: &[&[u8]]) -> Seen {
        let mut framing = Framing::default();
        let mut packets = Vec::new();
        let mut told = Vec::new();
        for (second, &chunk) in (0..).zip(chunks) {
            told.extend(framing.take_in(
                chunk,
                start + Duration::from_secs(second),
                &mut |frame, first, last| {
                    packets.push((frame.bytes.to_vec(), first, last));
                },
            ));
        }
        Seen { packets, told, left: framing.take_unfinished() }
    }

    #[test]
    fn chunks_of_every_size_give_the_same_packets() {
        let stream = packets().concat();
        for size in 1..=stream.len() {
            let seen = take_in(now(), &cut(&stream, size));
            let bytes: Vec<_> = seen.packets.iter().map(|(bytes, ..)| bytes.clone()).collect();
            assert_eq!(bytes, packets(), "in chunks of {size}");
            assert!(seen.told.is_empty() && seen.left.is_empty(), "in chunks of {size}");
        }
    }

    #[test]
    fn a_packet_has_the_instants_of_the_chunks_of_its_first_and_last_byte() {
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
    fn unframeable_bytes_are_told_once_after_the_packets_before_them_however_they_are_cut() {
        let mut stream = vec![0xD0, 0x00];
        stream.extend([0x30, 0xFF, 0xFF, 0xFF, 0xFF]);
        stream.extend([0xAA; 100]);
        for size in 1..=stream.len() {
            let start = now();
            let seen = take_in(start, &cut(&stream, size));
            assert_eq!(seen.packets.len(), 1, "in chunks of {size}");
            let [Arrival::Unframeable { bytes, at }] = &seen.told[..] else {
                panic!("in chunks of {size}: {:?}", seen.told)
            };
            assert_eq!(*at, start + Duration::from_secs((2 / size) as u64));
            assert!(bytes.len() >= 5 && stream[2..].starts_with(bytes), "in chunks of {size}");
            assert!(bytes.len() <= UNFRAMEABLE_KEPT_BYTES);
            assert!(seen.left.is_empty());
        }
    }

    #[test]
    fn a_large_packet_in_small_chunks_is_copied_in_linear_time() {
        // Were the whole beginning copied with each chunk, this would move 130 GB.
        const BODY: usize = 16 << 20;
        let mut packet = vec![0x30, 0x80, 0x80, 0x80, 0x08];
        packet.resize(packet.len() + BODY, 0x5A);
        let seen = take_in(now(), &cut(&packet, 1024));
        assert_eq!(seen.packets.len(), 1);
        assert!(seen.packets[0].0 == packet);
    }
}
