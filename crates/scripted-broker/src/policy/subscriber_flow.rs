//! How the broker keeps to the Client's Receive Maximum (`MQTT 5.0 [MQTT-3.3.4-9]` and section 4.9).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, count, listed, name_of};

/// How the broker keeps to the Client's Receive Maximum. In MQTT 3.1.1 it counts as 65,535.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SubscriberFlow {
    /// As the standard says. Conforms.
    #[default]
    Keep,
    /// Has up to so many more outstanding.
    ExceedBy(NonZeroU32),
    /// Sends everything at once.
    Ignore,
    /// Keeps to it, but answers no PINGREQ while nothing more may be sent: breaks `MQTT 5.0 [MQTT-4.9.0-3]`.
    StarvePings,
    /// Keeps to it, but what has waited is sent in reverse order.
    ReorderQueue,
    /// Keeps to it, but sends no QoS 1 or QoS 2 any more once it was reached, whatever is acknowledged.
    Stall,
    /// Keeps to it, but drops what would have to wait, although it was acknowledged: breaks `MQTT 5.0 [MQTT-4.5.0-1]`.
    DropBeyond,
}

const TABLE: &[Named<SubscriberFlow>] = &[
    Named::one(SubscriberFlow::Keep, "keep", "no more outstanding than the Client allows: conforms"),
    Named::family("exceed-by-N", "up to N more outstanding than the Client allows"),
    Named::one(SubscriberFlow::Ignore, "ignore", "no limit"),
    Named::one(
        SubscriberFlow::StarvePings,
        "starve-pings",
        "no PINGREQ is answered while nothing more may be sent",
    ),
    Named::one(SubscriberFlow::ReorderQueue, "reorder-queue", "what has waited is sent in reverse order"),
    Named::one(
        SubscriberFlow::Stall,
        "stall",
        "once the limit was reached, acknowledging frees nothing: the rest is never sent",
    ),
    Named::one(
        SubscriberFlow::DropBeyond,
        "drop-beyond",
        "what would have to wait is dropped, although it was acknowledged",
    ),
];

impl SubscriberFlow {
    /// Every name with its meaning; `N` stands for a count.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    /// How many may be outstanding to a Client with this Receive Maximum.
    pub(crate) fn limit(self, receive_maximum: usize) -> usize {
        match self {
            Self::Ignore => usize::MAX,
            Self::ExceedBy(n) => receive_maximum + usize::try_from(n.get()).unwrap_or(usize::MAX / 2),
            Self::Keep | Self::StarvePings | Self::ReorderQueue | Self::Stall | Self::DropBeyond => {
                receive_maximum
            }
        }
    }
}

impl fmt::Display for SubscriberFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExceedBy(n) => write!(f, "exceed-by-{n}"),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for SubscriberFlow {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("exceed-by-").and_then(count).map(Self::ExceedBy))
            .ok_or_else(|| UnknownName::new("subscriber-flow", text))
    }
}
