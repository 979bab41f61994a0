//! One direction of a connection: from TCP packets in any order to its bytes in order (RFC 9293 section 3.4).

use std::collections::BTreeMap;

/// The largest distance between two packets that are under way at the same time: the largest scaled window (RFC 7323
/// section 2.3). A packet that is further away does not belong to the stream.
const WINDOW_MAX: u32 = 1 << 30;

/// What the packets of a capture say of one direction, in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Direction<'a> {
    /// The sequence number of the first byte, known from the handshake.
    pub(super) start: Option<u32>,
    pub(super) events: Vec<Event<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A packet of this direction with payload or FIN.
    Sent {
        /// Its place among the packets of the capture.
        index: usize,
        /// Of the first byte of `payload`.
        sequence: u32,
        payload: &'a [u8],
        /// Bytes after `payload` that were not captured.
        cut: u32,
        fin: bool,
    },
    /// The other side has everything before this sequence number, whether or not the capture has it.
    Acknowledged(u32),
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Stream<'a> {
    pub(super) parts: Vec<Part<'a>>,
    /// How many bytes the sender sent after the last part, as far as the capture shows.
    pub(super) missing_at_end: u64,
}

/// Bytes that became readable at once.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// The packet that made them readable: their own, or the one that filled the hole before them.
    pub(super) index: usize,
    pub(super) missing_before: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Direction<'a> {
    pub(super) fn reassemble(self) -> Stream<'a> {
        let placed = Placed::of(self);
        let mut assembly = Assembly { next: placed.start, ..Assembly::default() };
        for (position, packet) in placed.packets {
            assembly.take(position, packet);
        }
        assembly.finish(placed.end)
    }
}

#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    index: usize,
    payload: &'a [u8],
}

/// Packets with positions: sequence numbers that do not wrap around.
#[derive(Debug, Default)]
struct Placed<'a> {
    packets: Vec<(i64, Packet<'a>)>,
    /// Where the first byte is.
    start: i64,
    /// Behind the last byte that the sender is known to have sent.
    end: i64,
}

impl<'a> Placed<'a> {
    fn of(direction: Direction<'a>) -> Self {
        let mut highest = direction.start.map(|sequence| Highest { sequence, position: 0 });
        let mut placed = Self::default();
        let (mut first, mut acknowledged, mut has_fin) = (None::<i64>, None::<i64>, false);
        for event in direction.events {
            match event {
                Event::Sent { index, sequence, payload, cut, fin } => {
                    let highest = highest.get_or_insert(Highest { sequence, position: 0 });
                    let Some(position) = highest.place(sequence) else { continue };
                    let behind = position + length(payload) + i64::from(cut);
                    highest.place(sequence.wrapping_add(low_half(behind - position)));
                    placed.end = placed.end.max(behind);
                    has_fin |= fin;
                    if behind > position {
                        first = Some(first.map_or(position, |first| first.min(position)));
                        placed.packets.push((position, Packet { index, payload }));
                    }
                }
                Event::Acknowledged(sequence) => {
                    let position = highest.as_mut().and_then(|highest| highest.place(sequence));
                    acknowledged = acknowledged.max(position);
                }
            }
        }
        placed.start = if direction.start.is_some() { 0 } else { first.unwrap_or(placed.end) };
        // FIN takes a sequence number. It may be missing itself.
        match acknowledged.unwrap_or(placed.end) - placed.end {
            ..=1 => {}
            beyond => placed.end += beyond - i64::from(has_fin),
        }
        placed
    }
}

/// The highest sequence number so far, from which others are counted.
#[derive(Clone, Copy, Debug)]
struct Highest {
    sequence: u32,
    position: i64,
}

impl Highest {
    /// The position of a sequence number; absent if it is too far away.
    fn place(&mut self, sequence: u32) -> Option<i64> {
        let distance = sequence.wrapping_sub(self.sequence).cast_signed();
        if distance.unsigned_abs() > WINDOW_MAX {
            return None;
        }
        let position = self.position + i64::from(distance);
        if distance > 0 {
            *self = Self { sequence, position };
        }
        Some(position)
    }
}

/// The stream so far, and what waits behind a hole.
#[derive(Debug, Default)]
struct Assembly<'a> {
    /// The position of the next byte.
    next: i64,
    waiting: BTreeMap<i64, Packet<'a>>,
    parts: Vec<Part<'a>>,
}

impl<'a> Assembly<'a> {
    fn take(&mut self, position: i64, packet: Packet<'a>) {
        if position > self.next {
            let longer = |there: &Packet<'_>| there.payload.len() >= packet.payload.len();
            if !self.waiting.get(&position).is_some_and(longer) {
                self.waiting.insert(position, packet);
            }
            return;
        }
        self.append(position, packet, packet.index);
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (position, waiting) = entry.remove_entry();
            self.append(position, waiting, packet.index);
        }
    }

    /// Appends what is new in a packet that begins at `next` or before.
    fn append(&mut self, position: i64, packet: Packet<'a>, index: usize) {
        let known = usize::try_from(self.next - position).unwrap_or(usize::MAX);
        if let Some(bytes) = packet.payload.get(known..).filter(|bytes| !bytes.is_empty()) {
            self.next += length(bytes);
            self.parts.push(Part { index, missing_before: 0, bytes });
        }
    }

    /// Takes what still waits, with the holes before it, in the order of the stream.
    fn finish(mut self, end: i64) -> Stream<'a> {
        for (position, packet) in std::mem::take(&mut self.waiting) {
            let missing_before = u64::try_from(position - self.next).unwrap_or(0);
            let before = self.parts.len();
            self.next = self.next.max(position);
            let index = self.parts.last().map_or(0, |part| part.index).max(packet.index);
            self.append(position, packet, index);
            if let Some(part) = self.parts.get_mut(before) {
                part.missing_before = missing_before;
            }
        }
        Stream { parts: self.parts, missing_at_end: u64::try_from(end - self.next).unwrap_or(0) }
    }
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// A distance within a packet as a difference of sequence numbers.
fn low_half(distance: i64) -> u32 {
    u32::try_from(distance).unwrap_or(0)
}
