//! The two protocol versions that this crate reads and writes.
//!
//! MQTT 3.1 (level 3) is not supported: it is only recognised in a CONNECT.

use std::fmt;
use std::str::FromStr;

/// A protocol version, which decides the layout of every packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Default)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1, level 4 on the wire.
    V3_1_1,
    /// MQTT 5.0, level 5 on the wire.
    #[default]
    V5,
}

impl ProtocolVersion {
    /// Both versions, oldest first.
    pub const ALL: [Self; 2] = [Self::V3_1_1, Self::V5];

    /// The Protocol Level (3.1.1) or Protocol Version (5.0) byte of a CONNECT: 4 or 5.
    pub const fn level(self) -> u8 {
        match self {
            Self::V3_1_1 => 4,
            Self::V5 => 5,
        }
    }

    /// The version with this level byte; absent for every other byte.
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            4 => Some(Self::V3_1_1),
            5 => Some(Self::V5),
            _ => None,
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// A text that names neither version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownVersion;

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown MQTT version: write 3.1.1 (or 4) or 5.0 (or 5)")
    }
}

impl std::error::Error for UnknownVersion {}

impl FromStr for ProtocolVersion {
    type Err = UnknownVersion;

    /// Accepts `3.1.1` and `4`, `5.0` and `5`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        match text {
            "3.1.1" | "4" => Ok(Self::V3_1_1),
            "5.0" | "5" => Ok(Self::V5),
            _ => Err(UnknownVersion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_name_and_from_its_level() {
        for version in ProtocolVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
            assert_eq!(version.level().to_string().parse(), Ok(version));
            assert_eq!(ProtocolVersion::from_level(version.level()), Some(version));
        }
        assert_eq!("3.1".parse::<ProtocolVersion>(), Err(UnknownVersion));
    }
}
