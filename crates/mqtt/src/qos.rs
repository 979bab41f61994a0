//! Quality of Service and Packet Identifier: two small values that are always legal.
//!
//! What the standard forbids of them (QoS 3, identifier 0) is written through [`crate::forbidden`].

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

/// How often an Application Message may arrive (MQTT 5.0 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
pub enum QoS {
    /// QoS 0: at most once, nothing is acknowledged.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once, acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: exactly once, by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// All three, lowest first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    /// The level as its number, 0 to 2.
    pub const fn level(self) -> u8 {
        self as u8
    }

    /// The QoS of two wire bits, and whether they held the forbidden 3 (which then reads as QoS 2).
    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> (Self, bool) {
        match bits & 3 {
            0 => (Self::AtMostOnce, false),
            1 => (Self::AtLeastOnce, false),
            2 => (Self::ExactlyOnce, false),
            _ => (Self::ExactlyOnce, true),
        }
    }
}

/// A number that is not a QoS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidQoS(pub u8);

impl fmt::Display for InvalidQoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown QoS {}: write 0, 1 or 2", self.0)
    }
}

impl std::error::Error for InvalidQoS {}

impl TryFrom<u8> for QoS {
    type Error = InvalidQoS;

    fn try_from(value: u8) -> Result<Self, InvalidQoS> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(InvalidQoS(other)),
        }
    }
}

/// A text that is not a QoS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownQoS;

impl fmt::Display for UnknownQoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown QoS: write 0, 1 or 2")
    }
}

impl std::error::Error for UnknownQoS {}

impl FromStr for QoS {
    type Err = UnknownQoS;

    /// Accepts `0`, `1` and `2`.
    fn from_str(text: &str) -> Result<Self, UnknownQoS> {
        text.parse::<u8>().ok().and_then(|level| Self::try_from(level).ok()).ok_or(UnknownQoS)
    }
}

impl From<QoS> for u8 {
    fn from(qos: QoS) -> Self {
        qos.level()
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}", self.level())
    }
}

/// A legal Packet Identifier, 1 to 65,535 (`MQTT 5.0 [MQTT-2.2.1-3]`, `MQTT 3.1.1 [MQTT-2.3.1-1]`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct PacketIdentifier(NonZeroU16);

impl PacketIdentifier {
    /// The smallest Packet Identifier.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The largest Packet Identifier.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// The identifier with this number; absent for 0, which the standard forbids.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number, 1 to 65,535.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one: 1 follows 65,535, so that a plain count never meets 0.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(value) => Self(value),
            None => Self::MIN,
        }
    }
}

impl fmt::Display for PacketIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<PacketIdentifier> for u16 {
    fn from(identifier: PacketIdentifier) -> Self {
        identifier.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_numbers_are_a_qos() {
        for qos in QoS::ALL {
            assert_eq!(QoS::try_from(qos.level()), Ok(qos));
        }
        assert_eq!(QoS::try_from(3), Err(InvalidQoS(3)));
    }

    #[test]
    fn mqtt5_2_2_1_3_a_packet_identifier_is_never_zero() {
        assert_eq!(PacketIdentifier::new(0), None);
        assert_eq!(PacketIdentifier::MAX.next(), PacketIdentifier::MIN);
        assert_eq!(PacketIdentifier::MIN.next().get(), 2);
    }
}
