//! Writes forbidden packets on purpose. Faults use it; nothing on the legal path can reach it.
//!
//! [`Forged`] is any packet at all: a first byte, a body put together field by field, and a Remaining Length that may
//! lie. [`ForgedConnect`], [`ForgedPublish`] and [`ForgedSubscribe`] are those packets with every field free, made from
//! a legal one so that a fault spoils exactly one thing. None of it checks anything, and none of it can fail.
//!
//! ```
//! use ungraceful_mqtt::forbidden::{Forged, RemainingLength};
//! use ungraceful_mqtt::PacketType;
//!
//! let mut out = Vec::new();
//! Forged::of_type(PacketType::PingReq).flags(0b0001).append_to(&mut out);
//! assert_eq!(out, [0xC1, 0x00]);
//!
//! let lie = Forged::of_type(PacketType::Publish).remaining_length(RemainingLength::Claimed(268_435_455));
//! assert_eq!(lie.to_vec(), [0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
//! ```

mod connect;
mod publish;
mod subscribe;

pub use connect::{ForgedConnect, ForgedWill};
pub use publish::ForgedPublish;
pub use subscribe::ForgedSubscribe;

use crate::frame::{Framed, frame};
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::property::{Property, WireValue};

/// What a forged packet says about its own length.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum RemainingLength {
    /// The truth, in the fewest bytes.
    #[default]
    True,
    /// This number whatever the body is; above 268,435,455 it takes the forbidden fifth byte.
    Claimed(u32),
    /// The truth in this many bytes, 1 to 8, even if fewer would do; if more are needed they are cut off.
    Padded(u8),
    /// These bytes, which need not be a length at all.
    Raw(Vec<u8>),
}

/// A packet that need not be one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forged {
    first_byte: u8,
    remaining_length: RemainingLength,
    body: Vec<u8>,
}

impl Forged {
    /// A packet with this first byte and an empty body; 0 to 15 is the reserved type.
    pub const fn packet(first_byte: u8) -> Self {
        Self { first_byte, remaining_length: RemainingLength::True, body: Vec::new() }
    }

    /// A packet with the first byte of this type and an empty body.
    pub const fn of_type(packet_type: PacketType) -> Self {
        Self::packet(packet_type.first_byte())
    }

    /// The first packet of these bytes, to be spoiled; absent when they do not begin with a whole packet.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match frame(bytes) {
            Framed::Complete(found) => Some(Self::packet(found.first_byte()).raw(found.body)),
            Framed::Incomplete { .. } | Framed::Malformed(_) => None,
        }
    }

    /// The same with these fixed header flags, 0 to 15.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.first_byte = self.first_byte & 0xF0 | flags & 0x0F;
        self
    }

    /// The same with this Remaining Length.
    #[must_use]
    pub fn remaining_length(mut self, remaining_length: RemainingLength) -> Self {
        self.remaining_length = remaining_length;
        self
    }

    /// The same with one more byte.
    #[must_use]
    pub fn byte(mut self, value: u8) -> Self {
        self.body.push(value);
        self
    }

    /// The same with one more Two Byte Integer, such as a Packet Identifier of 0.
    #[must_use]
    pub fn two_bytes(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// The same with one more Four Byte Integer.
    #[must_use]
    pub fn four_bytes(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// The same with one more Variable Byte Integer; above 268,435,455 it takes the forbidden fifth byte.
    #[must_use]
    pub fn variable(mut self, value: u32) -> Self {
        variable(&mut self.body, value);
        self
    }

    /// The same with one more Variable Byte Integer in this many bytes, 1 to 8, even if fewer would do.
    #[must_use]
    pub fn padded_variable(mut self, value: u32, width: u8) -> Self {
        padded(&mut self.body, u64::from(value), width);
        self
    }

    /// The same with one more string of these bytes, which need not be UTF-8; cut at 65,535 bytes.
    #[must_use]
    pub fn string(mut self, bytes: &[u8]) -> Self {
        string(&mut self.body, bytes);
        self
    }

    /// The same with one more string that claims this length and has these bytes.
    #[must_use]
    pub fn string_claiming(self, length: u16, bytes: &[u8]) -> Self {
        self.two_bytes(length).raw(bytes)
    }

    /// The same with a Property Length and these properties: any, in any number, with any value.
    #[must_use]
    pub fn properties(mut self, list: Properties<'_>) -> Self {
        let bytes = property_bytes(list);
        variable(&mut self.body, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(&bytes)
    }

    /// The same with a Property Length that claims this many bytes, and these properties.
    #[must_use]
    pub fn properties_claiming(self, length: u32, list: Properties<'_>) -> Self {
        self.variable(length).raw(&property_bytes(list))
    }

    /// The same with these bytes at the end of the body.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// The same with the body cut to this many bytes; the Remaining Length follows unless it was set.
    #[must_use]
    pub fn truncated(mut self, body_len: usize) -> Self {
        self.body.truncate(body_len);
        self
    }

    /// The same with one byte of the body replaced; nothing happens beyond its end.
    #[must_use]
    pub fn with_body_byte(mut self, at: usize, value: u8) -> Self {
        if let Some(byte) = self.body.get_mut(at) {
            *byte = value;
        }
        self
    }

    /// The body as it stands.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends the packet as it is.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.push(self.first_byte);
        match &self.remaining_length {
            RemainingLength::True => variable(out, u32::try_from(self.body.len()).unwrap_or(u32::MAX)),
            RemainingLength::Claimed(length) => variable(out, *length),
            RemainingLength::Padded(width) => padded(out, self.body.len() as u64, *width),
            RemainingLength::Raw(bytes) => out.extend_from_slice(bytes),
        }
        out.extend_from_slice(&self.body);
    }

    /// The packet as bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 6);
        self.append_to(&mut out);
        out
    }

    fn optional_properties(self, list: Option<Properties<'_>>) -> Self {
        match list {
            Some(list) => self.properties(list),
            None => self,
        }
    }
}

/// The bytes of these properties without their Property Length, unchecked, for wrong or broken lists.
pub fn property_bytes(list: Properties<'_>) -> Vec<u8> {
    match list {
        Properties::Wire(bytes) => bytes.to_vec(),
        Properties::List(list) => list.iter().fold(Vec::new(), |mut out, property| {
            property_into(&mut out, property);
            out
        }),
    }
}

fn property_into(out: &mut Vec<u8>, property: &Property<'_>) {
    out.push(property.id());
    match property.wire_value() {
        WireValue::Byte(value) => out.push(value),
        WireValue::TwoBytes(value) => out.extend_from_slice(&value.to_be_bytes()),
        WireValue::FourBytes(value) => out.extend_from_slice(&value.to_be_bytes()),
        WireValue::Variable(value) => variable(out, value),
        WireValue::Bytes(bytes) => string(out, bytes),
        WireValue::Pair(name, value) => {
            string(out, name);
            string(out, value);
        }
    }
}

// The strict path has its own writers of these three types: sharing them would tie what may lie to what must not.

fn variable(out: &mut Vec<u8>, value: u32) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push((rest & 0x7F) as u8);
}

fn padded(out: &mut Vec<u8>, value: u64, width: u8) {
    let width = width.clamp(1, 8);
    for index in 0..width {
        let continues = if index + 1 < width { 0x80 } else { 0 };
        out.push((value >> (7 * index) & 0x7F) as u8 | continues);
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}
