//! Whether a Client that comes back is let in again (MQTT 5.0 section 3.1.4: a Server may refuse whom it likes).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, count, duration, listed, name_of};

/// Whether a ClientID that was accepted before is accepted again. The codes are those of MQTT 5.0; in 3.1.1 it is Server
/// unavailable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Readmission {
    /// Always. Conforms.
    #[default]
    Always,
    /// Not before this time has passed since it first came back: 0x88.
    After(Duration),
    /// So many of all that come back in a second, and no more: 0x9F.
    AtMostPerSecond(NonZeroU32),
    /// Every so many of those that come back, in the order in which they first do, never again: 0x97.
    NeverEvery(NonZeroU32),
}

const TABLE: &[Named<Readmission>] = &[
    Named::one(Readmission::Always, "always", "a ClientID that comes back is accepted again: conforms"),
    Named::family("after-DURATION", "refused with 0x88 until this time has passed since it first came back"),
    Named::family(
        "at-most-N-per-second",
        "N of all that come back in a second are accepted, others get 0x9F",
    ),
    Named::family("never-every-N", "of those that come back, every Nth is refused with 0x97 for ever"),
];

impl Readmission {
    /// Every name with its meaning.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Readmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => write!(f, "after-{}ms", time.as_millis()),
            Self::AtMostPerSecond(clients) => write!(f, "at-most-{clients}-per-second"),
            Self::NeverEvery(clients) => write!(f, "never-every-{clients}"),
            plain @ Self::Always => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Readmission {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let per_second = |text: &str| count(text.strip_prefix("at-most-")?.strip_suffix("-per-second")?);
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("after-").and_then(duration).map(Self::After))
            .or_else(|| per_second(text).map(Self::AtMostPerSecond))
            .or_else(|| text.strip_prefix("never-every-").and_then(count).map(Self::NeverEvery))
            .ok_or_else(|| UnknownName::new("readmission", text))
    }
}
