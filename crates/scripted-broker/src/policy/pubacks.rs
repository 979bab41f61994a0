//! When a QoS 1 message from a Client is acknowledged (MQTT 5.0 section 4.3.2).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, duration, listed, name_of};

/// When a QoS 1 message from a Client is acknowledged. It reaches its subscribers at once in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Pubacks {
    /// Before the next packet is read. Conforms.
    #[default]
    AtOnce,
    /// So much later, in order; until then it counts against the Receive Maximum. Conforms.
    Late(Duration),
}

const TABLE: &[Named<Pubacks>] = &[
    Named::one(Pubacks::AtOnce, "at-once", "before the next packet is read: conforms"),
    Named::family(
        "late-puback-DURATION",
        "so much later, and it counts against the Receive Maximum: conforms",
    ),
];

impl Pubacks {
    /// Every name with its meaning; `DURATION` stands for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Pubacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::Late(time) => write!(f, "late-puback-{}ms", time.as_millis()),
        }
    }
}

impl FromStr for Pubacks {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("late-puback-").and_then(duration).map(Self::Late))
            .ok_or_else(|| UnknownName::new("pubacks", text))
    }
}
