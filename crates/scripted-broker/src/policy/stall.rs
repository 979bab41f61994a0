//! Whether the whole broker stops for a while, as a process does that is paused or swapped out.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, count, duration, listed, name_of};

/// Whether the whole broker stops for a while. Sockets stay open, and the kernel takes what Clients send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Stall {
    /// It never does. Conforms.
    #[default]
    Never,
    /// When the CONNECT of this number comes, counted over all connections and with every second CONNECT, nothing is done
    /// for this time. Conforms: the standard names no time.
    AtConnect(NonZeroU32, Duration),
    /// The same with the PUBLISH of this number.
    AtPublish(NonZeroU32, Duration),
}

const TABLE: &[Named<Stall>] = &[
    Named::one(Stall::Never, "never", "serves all the time: conforms"),
    Named::family(
        "at-connect-N-for-DURATION",
        "does nothing for this time (800ms, 2s) when the N-th CONNECT of all comes: conforms",
    ),
    Named::family("at-publish-N-for-DURATION", "the same when the N-th PUBLISH of all comes: conforms"),
];

impl Stall {
    /// Every name with its meaning; `N` and `DURATION` stand for values.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::AtConnect(number, time) => write!(f, "at-connect-{number}-for-{}ms", time.as_millis()),
            Self::AtPublish(number, time) => write!(f, "at-publish-{number}-for-{}ms", time.as_millis()),
        }
    }
}

impl FromStr for Stall {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let at = |prefix: &str| {
            let (number, time) = text.strip_prefix(prefix)?.split_once("-for-")?;
            Some((count(number)?, duration(time)?))
        };
        by_name(TABLE, text)
            .or_else(|| at("at-connect-").map(|(number, time)| Self::AtConnect(number, time)))
            .or_else(|| at("at-publish-").map(|(number, time)| Self::AtPublish(number, time)))
            .ok_or_else(|| UnknownName::new("stall", text))
    }
}
