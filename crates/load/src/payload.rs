//! What messages carry: so many bytes, or a text with placeholders.

use std::fmt::Write as _;
use std::ops::Range;

use crate::stamp::HEX_LEN;

/// The payload of every message of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A stamp in its first sixteen bytes, and zeros.
    Bytes(usize),
    /// A text.
    Text(Text),
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Number,
    ClientId,
    UserName,
    Sequence,
    Milliseconds,
    Random,
    Stamp,
}

/// The placeholders and what they stand for, for help texts.
pub const PLACEHOLDERS: &str = "%i the publisher's number, %c its ClientID, %u its User Name, %s the message's number, %t \
                                milliseconds since 1970, %r a random number up to 999999, %x the stamp in 32 hexadecimal \
                                digits, %% a %";

/// What placeholders stand for in one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) number: u32,
    pub(crate) client_id: &'a str,
    pub(crate) user_name: &'a str,
    pub(crate) sequence: u64,
    pub(crate) milliseconds: u64,
    pub(crate) random: u32,
}

impl Text {
    /// Reads a text with placeholders.
    ///
    /// # Errors
    /// On an unknown placeholder, or a stamp that a subscriber could not find.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), Vec::new());
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                literal.push(byte);
                continue;
            }
            let part = match bytes.next() {
                Some(b'%') => {
                    literal.push(b'%');
                    continue;
                }
                Some(b'i') => Part::Number,
                Some(b'c') => Part::ClientId,
                Some(b'u') => Part::UserName,
                Some(b's') => Part::Sequence,
                Some(b't') => Part::Milliseconds,
                Some(b'r') => Part::Random,
                Some(b'x') => Part::Stamp,
                other => {
                    let shown = other.map(char::from).map(String::from).unwrap_or_default();
                    return Err(format!("unknown placeholder %{shown}; there are {PLACEHOLDERS}"));
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let stamps: Vec<usize> = (0..parts.len()).filter(|index| parts[*index] == Part::Stamp).collect();
        match stamps[..] {
            [] | [0] => {}
            [at] if matches!(parts[at - 1], Part::Literal(_)) => {}
            [_] => return Err("%x needs some text before it, so that a subscriber can find it".to_owned()),
            _ => return Err("%x may occur only once".to_owned()),
        }
        Ok(Self { parts })
    }

    fn stamp_at(&self) -> Option<usize> {
        self.parts.iter().position(|part| *part == Part::Stamp)
    }

    /// Appends the text of one message, and returns the place of the stamp in it.
    pub(crate) fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let mut stamp = None;
        let mut number = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::ClientId => out.extend_from_slice(values.client_id.as_bytes()),
                Part::UserName => out.extend_from_slice(values.user_name.as_bytes()),
                Part::Stamp => {
                    stamp = Some(out.len()..out.len() + HEX_LEN);
                    out.resize(out.len() + HEX_LEN, b'0');
                }
                Part::Number | Part::Sequence | Part::Milliseconds | Part::Random => {
                    let value = match part {
                        Part::Number => u64::from(values.number),
                        Part::Sequence => values.sequence,
                        Part::Milliseconds => values.milliseconds,
                        _ => u64::from(values.random),
                    };
                    number.clear();
                    let _a_string_takes_all = write!(number, "{value}");
                    out.extend_from_slice(number.as_bytes());
                }
            }
        }
        stamp
    }
}

impl Payload {
    /// Most bytes of a message, with the usual length of the values of placeholders.
    pub(crate) fn bytes_max(&self) -> usize {
        const OF_PLACEHOLDER: usize = 64;
        match self {
            Self::Bytes(bytes) => *bytes,
            Self::Text(text) => {
                let of = |part: &Part| match part {
                    Part::Literal(bytes) => bytes.len(),
                    _ => OF_PLACEHOLDER,
                };
                text.parts.iter().map(of).sum()
            }
        }
    }

    /// Whether messages can be followed, because they carry a stamp.
    #[must_use]
    pub fn has_stamp(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Text(text) => text.stamp_at().is_some(),
        }
    }

    /// How subscribers find the stamp in what they receive.
    pub(crate) fn finder(&self) -> StampFinder {
        match self {
            Self::Bytes(_) => StampFinder::First,
            Self::Text(text) => match text.stamp_at() {
                None => StampFinder::None,
                Some(0) => StampFinder::After(Vec::new()),
                Some(at) => match &text.parts[at - 1] {
                    Part::Literal(bytes) => StampFinder::After(bytes.clone()),
                    _ => StampFinder::None,
                },
            },
        }
    }
}

/// Where a subscriber finds the stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StampFinder {
    /// In the first bytes.
    First,
    /// As text, after one of the occurrences of these bytes.
    After(Vec<u8>),
    /// Nowhere.
    None,
}

impl StampFinder {
    /// Where the stamp's text may begin in `payload`; only for [`StampFinder::After`]. The bytes before it may occur
    /// more than once, as commas do.
    pub(crate) fn texts<'a>(&'a self, payload: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let before = match self {
            Self::After(before) => Some(before.as_slice()),
            Self::First | Self::None => None,
        };
        let length = before.map_or(0, <[u8]>::len);
        let last = payload.len().saturating_sub(length);
        // After nothing, it is at the beginning alone.
        let last = if length == 0 { 0 } else { last };
        (0..=last)
            .filter(move |at| before.is_some_and(|before| payload[*at..].starts_with(before)))
            .map(move |at| &payload[at + length..])
    }
}

#[cfg(test)]
mod tests {
    use super::{Payload, StampFinder, Text, Values};
    use crate::stamp::Stamp;

    const VALUES: Values<'static> = Values {
        number: 3,
        client_id: "ug1p3",
        user_name: "me",
        sequence: 41,
        milliseconds: 1_700_000_000_123,
        random: 7,
    };

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        Text::read(text.as_bytes()).unwrap().write(&VALUES, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_placeholder_stands_for_its_value() {
        assert_eq!(written("%i %c %u %s %t %r %% 5"), "3 ug1p3 me 41 1700000000123 7 % 5");
        assert_eq!(written("plain"), "plain");
    }

    #[test]
    fn a_stamp_in_a_text_is_found_by_the_text_before_it() {
        let text = Text::read(br#"{"n":%s,"stamp":"%x","ok":true}"#).unwrap();
        let mut out = Vec::new();
        let at = text.write(&VALUES, &mut out).unwrap();
        let stamp = Stamp { run: 9, publisher: 3, sequence: 41, due_us: 12_345, lateness_us: 6 };
        stamp.write_hex(&mut out[at]);
        let payload = Payload::Text(text);
        let found = payload.finder().texts(&out).find_map(Stamp::read_hex);
        assert_eq!((payload.has_stamp(), found), (true, Some(stamp)));
        assert!(String::from_utf8(out).unwrap().ends_with(r#"","ok":true}"#));
        assert_eq!(payload.finder().texts(b"something else").find_map(Stamp::read_hex), None);
    }

    #[test]
    fn a_stamp_is_found_when_the_text_before_it_occurs_twice() {
        for text in ["%i,%s,%t,%x", "id=%c n=%s %x", "a%xb", "%x,%s"] {
            let text = Text::read(text.as_bytes()).unwrap();
            let mut out = Vec::new();
            let at = text.write(&VALUES, &mut out).unwrap();
            let stamp = Stamp { run: 9, publisher: 3, sequence: 41, due_us: 12_345, lateness_us: 6 };
            stamp.write_hex(&mut out[at]);
            let found = Payload::Text(text).finder().texts(&out).find_map(Stamp::read_hex);
            assert_eq!(found, Some(stamp), "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn a_text_without_a_stamp_says_so() {
        let payload = Payload::Text(Text::read(b"no %s").unwrap());
        assert_eq!((payload.has_stamp(), payload.finder()), (false, StampFinder::None));
    }

    #[test]
    fn unknown_placeholders_are_rejected() {
        for (text, why) in [
            ("%q", "unknown placeholder %q"),
            ("100%", "unknown placeholder %;"),
            ("%x%x", "only once"),
            ("%s%x", "some text before"),
        ] {
            let refused = Text::read(text.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
