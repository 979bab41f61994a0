//! Smaller values of everything that a step has: without it, with its default, shorter, or nearer to zero. Each list begins with what
//! takes most away.

use std::time::Duration;

use crate::model::{
    Ack, Action, Body, Codes, Connect, End, Field, Filter, Packet, Properties, Property, Publish, Reason,
    RemainingLength, Sending, Step, Subscribe, Switch, WaitFor, Will,
};
use crate::template::{Bytes, Number, Part, Text, read_hex, write_hex};

/// A value that has smaller ones.
pub(super) trait Smaller: Sized {
    /// Values that are a little smaller, the smallest first.
    fn smaller(&self) -> Vec<Self>;
}

/// A structure is smaller when one of its fields is.
macro_rules! fields {
    ($($type:ident: $($field:ident),+;)+) => {$(
        impl Smaller for $type {
            fn smaller(&self) -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend(self.$field.smaller().into_iter().map(|$field| Self { $field, ..self.clone() }));)+
                all
            }
        }
    )+};
}

fields! {
    Packet: body, append, cut, truncate, remaining_length, flags;
    Connect: will, properties, user_name, password, anonymous, client_id, keep_alive, clean_start, connect_flags,
        protocol_level, protocol_name;
    Will: properties, topic, payload, qos, retain;
    Publish: properties, payload, retain, dup, qos, packet_identifier, topic;
    Subscribe: properties, filters, packet_identifier;
    Filter: options, filter;
    Ack: properties, reason_code, packet_identifier;
    Reason: properties, reason_code, session_present;
    Codes: properties, reason_codes, packet_identifier;
    Properties: list, length, omitted;
    Step: action, split, coalesce, provokes;
    WaitFor: times, capture;
}

impl Smaller for bool {
    fn smaller(&self) -> Vec<Self> {
        if *self { vec![false] } else { Vec::new() }
    }
}

/// A switch is left out or not.
impl Smaller for Switch {
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }
}

/// What was captured is left out or not.
impl Smaller for (String, Field) {
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }
}

impl Smaller for Number {
    fn smaller(&self) -> Vec<Self> {
        let Self::Fixed(number) = *self else { return Vec::new() };
        let mut all: Vec<u64> =
            [0, 1, number / 2, number.saturating_sub(1)].into_iter().filter(|it| *it < number).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(Self::Fixed).collect()
    }
}

impl<T: Smaller> Smaller for Option<T> {
    fn smaller(&self) -> Vec<Self> {
        let Some(value) = self else { return Vec::new() };
        std::iter::once(None).chain(value.smaller().into_iter().map(Some)).collect()
    }
}

impl<T: Smaller> Smaller for Box<T> {
    fn smaller(&self) -> Vec<Self> {
        T::smaller(self).into_iter().map(Self::new).collect()
    }
}

impl<T: Smaller + Clone> Smaller for Vec<T> {
    fn smaller(&self) -> Vec<Self> {
        let without = |from: usize, to: usize| [&self[..from], &self[to..]].concat();
        let mut all: Vec<Self> = chunks(self.len()).map(|(from, to)| without(from, to)).collect();
        if !self.is_empty() {
            all.insert(0, Self::new());
        }
        for (index, item) in self.iter().enumerate() {
            all.extend(item.smaller().into_iter().map(|item| {
                let mut list = self.clone();
                list[index] = item;
                list
            }));
        }
        all
    }
}

/// The parts of a list to leave out, as halves, quarters and so on, down to single ones.
pub(super) fn chunks(length: usize) -> impl Iterator<Item = (usize, usize)> {
    let sizes = std::iter::successors((length > 1).then_some(length.div_ceil(2)), |size| {
        (*size > 1).then_some(size.div_ceil(2))
    });
    let sizes = sizes.chain((length == 1).then_some(1));
    sizes.flat_map(move |size| (0..length).step_by(size).map(move |from| (from, (from + size).min(length))))
}

impl Smaller for Text {
    fn smaller(&self) -> Vec<Self> {
        let parts = self.parts();
        let replaced = |index: usize, part: Option<Part>| {
            let (before, after) = (&parts[..index], &parts[index + 1..]);
            Self::of_parts(before.iter().cloned().chain(part).chain(after.iter().cloned()))
        };
        let mut all = Vec::new();
        if !matches!(parts, [] | [Part::Literal(_)]) {
            all.push(Self::default());
        }
        for (index, part) in parts.iter().enumerate() {
            // A variable goes with the whole text alone: what is behind {topic} would be a topic of somebody else's.
            if let Part::Literal(text) = part {
                all.push(replaced(index, None));
                let shorter = shorter(text).into_iter();
                all.extend(shorter.map(|text| replaced(index, Some(Part::Literal(text)))));
            }
        }
        all
    }
}

/// Halves of a text, and the text without a letter at one of its ends.
fn shorter(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let length = letters.len();
    let parts = [(0, length / 2), (length / 2, length), (0, length.saturating_sub(1)), (1, length)];
    let mut all: Vec<String> = Vec::new();
    for (from, to) in parts {
        let part: String = letters.get(from..to).into_iter().flatten().collect();
        if to - from < length && !part.is_empty() && !all.contains(&part) {
            all.push(part);
        }
    }
    all
}

impl Smaller for Bytes {
    fn smaller(&self) -> Vec<Self> {
        let mut all = match self {
            Self::Text(text) => return text.smaller().into_iter().map(Self::Text).collect(),
            Self::Hex(text) => shorter_hex(text).into_iter().map(Self::Hex).collect(),
            Self::Repeat(text, times) => {
                let mut all = vec![Self::Text(text.clone())];
                all.extend(times.smaller().into_iter().map(|times| Self::Repeat(text.clone(), times)));
                all.extend(text.smaller().into_iter().map(|text| Self::Repeat(text, times.clone())));
                all
            }
            Self::Random(length) => length.smaller().into_iter().map(Self::Random).collect(),
            Self::Joined(parts) => match &parts[..] {
                [part] => vec![part.clone()],
                _ => parts.smaller().into_iter().map(Self::Joined).collect(),
            },
        };
        all.insert(0, Self::default());
        all
    }
}

/// Halves of literal hexadecimal, and all but a byte at one of its ends.
fn shorter_hex(text: &Text) -> Vec<Text> {
    let Some(bytes) = text.as_literal().and_then(|text| read_hex(text.as_bytes())) else { return Vec::new() };
    let length = bytes.len();
    let parts = [(0, length / 2), (length / 2, length), (0, length.saturating_sub(1)), (1, length)];
    let parts = parts.into_iter().filter(|(from, to)| to.saturating_sub(*from) < length && from <= to);
    parts.map(|(from, to)| Text::literal(&write_hex(&bytes[from..to]))).collect()
}

impl Smaller for Property {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Number(index, value) => {
                value.smaller().into_iter().map(|value| Self::Number(*index, value)).collect()
            }
            Self::Bytes(index, value) => {
                value.smaller().into_iter().map(|value| Self::Bytes(*index, value)).collect()
            }
            Self::Pair(name, value) => {
                let names = name.smaller().into_iter().map(|name| Self::Pair(name, value.clone()));
                let values = value.smaller().into_iter().map(|value| Self::Pair(name.clone(), value));
                names.chain(values).collect()
            }
            Self::Hex(text) => shorter_hex(text).into_iter().map(Self::Hex).collect(),
            Self::Times(times, property) => {
                let once = std::iter::once(Self::clone(property));
                let fewer = times.smaller().into_iter().map(|times| Self::Times(times, property.clone()));
                let less = property.smaller().into_iter().map(|less| Self::Times(times.clone(), less));
                once.chain(fewer).chain(less).collect()
            }
        }
    }
}

impl Smaller for RemainingLength {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Claimed(number) => number.smaller().into_iter().map(Self::Claimed).collect(),
            Self::Padded(number) => number.smaller().into_iter().map(Self::Padded).collect(),
            Self::Bytes(Bytes::Hex(text)) => {
                shorter_hex(text).into_iter().map(|text| Self::Bytes(Bytes::Hex(text))).collect()
            }
            Self::Bytes(_) => Vec::new(),
        }
    }
}

impl Smaller for Body {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Connect(connect) => connect.smaller().into_iter().map(Self::Connect).collect(),
            Self::Publish(publish) => publish.smaller().into_iter().map(Self::Publish).collect(),
            Self::Subscribe(subscribe) => subscribe.smaller().into_iter().map(Self::Subscribe).collect(),
            Self::Ack(of, ack) => ack.smaller().into_iter().map(|ack| Self::Ack(*of, ack)).collect(),
            Self::Reason(of, reason) => {
                reason.smaller().into_iter().map(|reason| Self::Reason(*of, reason)).collect()
            }
            Self::Codes(of, codes) => {
                codes.smaller().into_iter().map(|codes| Self::Codes(*of, codes)).collect()
            }
            Self::Empty(_) => Vec::new(),
        }
    }
}

impl Smaller for Sending {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Packet(packet) => packet.smaller().into_iter().map(Self::Packet).collect(),
            // The bytes of a step have passes of their own.
            Self::Bytes(Bytes::Hex(_)) => Vec::new(),
            Self::Bytes(bytes) => bytes.smaller().into_iter().map(Self::Bytes).collect(),
        }
    }
}

impl Smaller for Action {
    fn smaller(&self) -> Vec<Self> {
        match self {
            Self::Open | Self::End(End::Fin | End::Rst | End::HalfClose | End::StopReading) => Vec::new(),
            Self::Connect(packet) => packet.smaller().into_iter().map(Self::Connect).collect(),
            Self::Send(sending) => sending.smaller().into_iter().map(Self::Send).collect(),
            Self::WaitFor(wait) => wait.smaller().into_iter().map(Self::WaitFor).collect(),
            Self::Pause(time) => shorter_time(*time).into_iter().map(Self::Pause).collect(),
            Self::Repeat(times, steps) => {
                let fewer = times.smaller().into_iter().filter(|times| *times != Number::Fixed(0));
                let fewer = fewer.map(|times| Self::Repeat(times, steps.clone()));
                let less = steps.smaller().into_iter().filter(|steps| !steps.is_empty());
                fewer.chain(less.map(|steps| Self::Repeat(times.clone(), steps))).collect()
            }
            Self::End(End::Disconnect(packet)) => {
                let packets = packet.smaller().into_iter();
                packets.map(|packet| Self::End(End::Disconnect(packet))).collect()
            }
        }
    }
}

/// Whole milliseconds, as a scenario has them.
fn shorter_time(time: Duration) -> Option<Duration> {
    let half = u64::try_from(time.as_millis() / 2).unwrap_or(u64::MAX);
    (half > 0).then(|| Duration::from_millis(half))
}
