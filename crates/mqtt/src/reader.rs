//! Reads the standard's data types off a packet body and collects what is odd. The decoders of all packets use it.
//!
//! It never fails on content, only where bytes are missing.

use std::fmt;

use crate::oddity::{Oddities, Oddity};
use crate::properties::Properties;
use crate::property::PropertyPlace;
use crate::version::ProtocolVersion;

/// Why the fields of a packet cannot be shown at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DecodeError {
    /// The packet has the reserved type 0, so nothing says what its body means.
    ReservedPacketType,
    /// The body ends before or within the field of this name.
    Truncated(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedPacketType => f.write_str("reserved packet type 0"),
            Self::Truncated(field) => write!(f, "packet ends within {field}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What is left of a body, and what was odd about the part already read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    pub(crate) oddities: Oddities,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, oddities: Oddities::NONE }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    #[inline]
    pub(crate) fn note(&mut self, oddity: Oddity) {
        self.oddities.insert(oddity);
    }

    #[inline]
    pub(crate) fn note_if(&mut self, condition: bool, oddity: Oddity) {
        self.oddities.insert_if(condition, oddity);
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    #[inline]
    pub(crate) fn two_bytes(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn four_bytes(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// A Variable Byte Integer; absent when it is cut short or longer than four bytes.
    #[inline]
    pub(crate) fn variable(&mut self) -> Option<u32> {
        if let Some((&byte @ ..0x80, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Some(u32::from(byte));
        }
        let value;
        (*self, value) = self.long_variable();
        value
    }

    // The rare paths take the reader and give it back: lent out, it could not stay in registers on the common ones.
    fn long_variable(mut self) -> (Self, Option<u32>) {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[1 + index..];
                self.note_if(byte == 0 && index > 0, Oddity::NonMinimalLength);
                return (self, Some(value));
            }
        }
        (self, None)
    }

    /// Binary Data, or the bytes of a string.
    #[inline]
    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.rest = rest;
        Some(bytes)
    }

    /// A UTF-8 Encoded String, or the well-formed start of one that is not.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let bytes = self.binary()?;
        let text = self.well_formed(bytes);
        self.note_if(text.as_bytes().contains(&0), Oddity::NullCharacter);
        Some(text)
    }

    /// A Topic Name: a string without wildcards. Whether it may be empty depends on the packet.
    #[inline]
    pub(crate) fn topic_name(&mut self) -> Option<&'a str> {
        let bytes = self.binary()?;
        let text = self.well_formed(bytes);
        if has_byte_of_note(bytes) {
            self.oddities = self.oddities.union(topic_oddities(text));
        }
        Some(text)
    }

    #[inline]
    fn well_formed(&mut self, bytes: &'a [u8]) -> &'a str {
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                self.note(Oddity::InvalidUtf8);
                well_formed_start(bytes)
            }
        }
    }

    /// A Packet Identifier as it stands, 0 included.
    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Result<u16, DecodeError> {
        let identifier = self.two_bytes().ok_or(DecodeError::Truncated("Packet Identifier"))?;
        self.note_if(identifier == 0, Oddity::PacketIdentifierZero);
        Ok(identifier)
    }

    /// Property Length and properties, which the packet must have at this place.
    #[inline]
    pub(crate) fn properties(&mut self, place: PropertyPlace) -> Properties<'a> {
        if let [0, rest @ ..] = self.rest {
            self.rest = rest;
            return Properties::NONE;
        }
        let properties;
        (*self, properties) = self.some_properties(place);
        properties
    }

    /// The properties of a packet of this version; none in MQTT 3.1.1.
    #[inline]
    pub(crate) fn properties_in(
        &mut self,
        version: ProtocolVersion,
        place: impl Into<PropertyPlace>,
    ) -> Properties<'a> {
        match version {
            ProtocolVersion::V3_1_1 => Properties::NONE,
            ProtocolVersion::V5 => self.properties(place.into()),
        }
    }

    /// A list of Topic Filters, up to the end of the body. `item` reads one and finds what is odd about it.
    pub(crate) fn topic_filters(&mut self, item: impl Fn(&mut Self) -> Option<Option<Oddity>>) -> &'a [u8] {
        self.note_if(self.is_empty(), Oddity::EmptyList);
        let all = self.rest;
        while !self.is_empty() {
            let Some(oddity) = item(self) else {
                self.note(Oddity::TruncatedList);
                self.rest = &[];
                break;
            };
            if let Some(oddity) = oddity {
                self.note(oddity);
            }
        }
        all
    }

    fn some_properties(mut self, place: PropertyPlace) -> (Self, Properties<'a>) {
        if self.rest.is_empty() {
            self.note(Oddity::MissingPropertyLength);
            return (self, Properties::NONE);
        }
        let length = self.variable().and_then(|length| usize::try_from(length).ok());
        let wire = match length.and_then(|length| self.rest.split_at_checked(length)) {
            Some((wire, rest)) => {
                self.rest = rest;
                wire
            }
            None => {
                self.note(Oddity::MalformedProperties);
                self.rest()
            }
        };
        let properties = Properties::Wire(wire);
        self.oddities = self.oddities.union(properties.oddities(place));
        (self, properties)
    }
}

fn topic_oddities(text: &str) -> Oddities {
    let mut oddities = Oddities::NONE;
    oddities.insert_if(text.contains('\0'), Oddity::NullCharacter);
    oddities.insert_if(text.contains(['+', '#']), Oddity::WildcardInTopic);
    oddities
}

/// Whether there is a byte that makes a topic odd: U+0000, `+`, `#`.
#[inline]
pub(crate) fn has_byte_of_note(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

#[cold]
fn well_formed_start(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}
