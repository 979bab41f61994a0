//! What happens to a Client that does not read what it is sent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, duration, listed, name_of};

/// What happens to a Client that does not read what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SlowReader {
    /// Keeps up to 16 MiB for it; beyond that it gets no QoS 0, and QoS 1 and QoS 2 wait. Conforms.
    #[default]
    Buffer,
    /// The same, but it is reset when its socket took nothing for so long though something waited.
    CutAfter(Duration),
}

const TABLE: &[Named<SlowReader>] = &[
    Named::one(SlowReader::Buffer, "buffer", "up to 16 MiB are kept for it: conforms"),
    Named::family("cut-after-DURATION", "reset when its socket took nothing for so long"),
];

impl SlowReader {
    /// Every name with its meaning; `DURATION` stands for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for SlowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::CutAfter(time) => write!(f, "cut-after-{}ms", time.as_millis()),
        }
    }
}

impl FromStr for SlowReader {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("cut-after-").and_then(duration).map(Self::CutAfter))
            .ok_or_else(|| UnknownName::new("slow-reader", text))
    }
}
