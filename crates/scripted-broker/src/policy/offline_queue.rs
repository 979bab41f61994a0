//! How much is kept for a session without a connection (MQTT 5.0 section 4.1).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, count, listed, name_of};

/// How much is kept for a session without a connection. What was sent and not acknowledged does not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OfflineQueue {
    /// All that comes at QoS 1 and QoS 2. Conforms.
    #[default]
    Unlimited,
    /// So many; what comes later is lost, though acknowledged.
    DropNewestOver(NonZeroU32),
    /// So many; the oldest of them make room, though acknowledged.
    DropOldestOver(NonZeroU32),
    /// So many; what comes later is refused with PUBACK or PUBREC 0x97 (in MQTT 3.1.1 acknowledged), and reaches the
    /// other subscribers all the same.
    RefuseOver(NonZeroU32),
}

const TABLE: &[Named<OfflineQueue>] = &[
    Named::one(OfflineQueue::Unlimited, "unlimited", "all that comes at QoS 1 and 2: conforms"),
    Named::family("drop-newest-over-N", "N messages; what comes later is lost, though acknowledged"),
    Named::family("drop-oldest-over-N", "N messages; the oldest make room, though acknowledged"),
    Named::family("refuse-over-N", "N messages; what comes later is refused with 0x97 (5.0)"),
];

impl OfflineQueue {
    /// Every name with its meaning; `N` stands for a count.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    fn with_value(text: &str) -> Option<Self> {
        if let Some(n) = text.strip_prefix("drop-newest-over-") {
            return count(n).map(Self::DropNewestOver);
        }
        if let Some(n) = text.strip_prefix("drop-oldest-over-") {
            return count(n).map(Self::DropOldestOver);
        }
        text.strip_prefix("refuse-over-").and_then(count).map(Self::RefuseOver)
    }
}

impl fmt::Display for OfflineQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::DropNewestOver(n) => write!(f, "drop-newest-over-{n}"),
            Self::DropOldestOver(n) => write!(f, "drop-oldest-over-{n}"),
            Self::RefuseOver(n) => write!(f, "refuse-over-{n}"),
        }
    }
}

impl FromStr for OfflineQueue {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| Self::with_value(text))
            .ok_or_else(|| UnknownName::new("offline-queue", text))
    }
}
