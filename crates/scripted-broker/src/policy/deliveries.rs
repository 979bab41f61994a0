//! What becomes of an Application Message on its way to a subscriber.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, count, duration, listed, name_of};

/// What becomes of an Application Message on its way to a subscriber. The publisher gets its acknowledgement in any
/// case. Deliveries are counted for each subscriber apart, from 1; where a QoS is
/// named, those of that QoS alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Deliveries {
    /// Each comes once and in order. Conforms.
    #[default]
    All,
    /// Every n-th is lost.
    LoseEvery(NonZeroU32),
    /// Every n-th comes twice, the second time as a message of its own.
    DuplicateEvery(NonZeroU32),
    /// Every n-th at QoS 1 is lost.
    LoseQos1Every(NonZeroU32),
    /// Every n-th at QoS 2 comes twice, the second time as a message of its own with a new Packet Identifier.
    DuplicateQos2Every(NonZeroU32),
    /// Every n-th comes after the one that follows it, or a second later if none follows by then.
    SwapEvery(NonZeroU32),
    /// Each comes this much later.
    DelayBy(Duration),
    /// Each comes later by the first duration, while the last second CONNECT to the broker is not longer ago than the
    /// second; the order is kept.
    DelayWhileAttacked(Duration, Duration),
}

const TABLE: &[Named<Deliveries>] = &[
    Named::one(Deliveries::All, "all", "each once and in order: conforms"),
    Named::family("lose-every-N", "every N-th delivery to a subscriber is lost, though acknowledged"),
    Named::family("duplicate-every-N", "every N-th delivery to a subscriber comes twice"),
    Named::family("lose-qos1-every-N", "every N-th delivery at QoS 1 is lost, though acknowledged"),
    Named::family("duplicate-qos2-every-N", "every N-th delivery at QoS 2 comes twice, as two messages"),
    Named::family("swap-every-N", "every N-th delivery to a subscriber comes after the next one"),
    Named::family("delay-DURATION", "each comes this much later (800ms, 2s)"),
    Named::family(
        "delay-DURATION-while-attacked-DURATION",
        "each comes this much later, for the second time after every second CONNECT",
    ),
];

impl Deliveries {
    /// Every name with its meaning; `N` and `DURATION` stand for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    fn with_value(text: &str) -> Option<Self> {
        if let Some(n) = text.strip_prefix("lose-every-") {
            return count(n).map(Self::LoseEvery);
        }
        if let Some(n) = text.strip_prefix("duplicate-every-") {
            return count(n).map(Self::DuplicateEvery);
        }
        if let Some(n) = text.strip_prefix("lose-qos1-every-") {
            return count(n).map(Self::LoseQos1Every);
        }
        if let Some(n) = text.strip_prefix("duplicate-qos2-every-") {
            return count(n).map(Self::DuplicateQos2Every);
        }
        if let Some(n) = text.strip_prefix("swap-every-") {
            return count(n).map(Self::SwapEvery);
        }
        let times = text.strip_prefix("delay-")?;
        match times.split_once("-while-attacked-") {
            None => duration(times).map(Self::DelayBy),
            Some((by, time)) => Some(Self::DelayWhileAttacked(duration(by)?, duration(time)?)),
        }
    }
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::LoseEvery(n) => write!(f, "lose-every-{n}"),
            Self::DuplicateEvery(n) => write!(f, "duplicate-every-{n}"),
            Self::LoseQos1Every(n) => write!(f, "lose-qos1-every-{n}"),
            Self::DuplicateQos2Every(n) => write!(f, "duplicate-qos2-every-{n}"),
            Self::SwapEvery(n) => write!(f, "swap-every-{n}"),
            Self::DelayBy(by) => write!(f, "delay-{}ms", by.as_millis()),
            Self::DelayWhileAttacked(by, time) => {
                write!(f, "delay-{}ms-while-attacked-{}ms", by.as_millis(), time.as_millis())
            }
        }
    }
}

impl FromStr for Deliveries {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| Self::with_value(text))
            .ok_or_else(|| UnknownName::new("deliveries", text))
    }
}
