//! When a Client that says nothing is closed (`MQTT 5.0 [MQTT-3.1.2-22]`, `MQTT 3.1.1 [MQTT-3.1.2-24]`).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, count, duration, listed, name_of};

/// When a Client that says nothing is closed. DISCONNECT 0x8D goes before, where nothing else is said; MQTT 3.1.1 has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum KeepAlive {
    /// When nothing came for one and a half times its Keep Alive. Conforms.
    #[default]
    Close,
    /// When nothing came for so many hundredths of its Keep Alive.
    CloseAtPercent(NonZeroU32),
    /// The same, without a DISCONNECT.
    FinAtPercent(NonZeroU32),
    /// When the broker looks at the connection, each time after so long since it was accepted, and nothing came for one and a
    /// half times the Keep Alive before. Conforms: the standard has no latest time.
    SweepEvery(Duration),
    /// Never.
    Never,
    /// When nothing went either way for one and a half times its Keep Alive: what is sent to it counts as well.
    RefreshedByDownlink,
}

const TABLE: &[Named<KeepAlive>] = &[
    Named::one(KeepAlive::Close, "close", "closed after 1.5 times its Keep Alive: conforms"),
    Named::family("close-at-percent-N", "closed after N hundredths of its Keep Alive"),
    Named::family("fin-at-percent-N", "the same without a DISCONNECT"),
    Named::family(
        "sweep-every-DURATION",
        "closed when the broker looks, so often, if it was silent for 1.5 times its Keep Alive then: conforms",
    ),
    Named::one(KeepAlive::Never, "never", "never closed for its silence"),
    Named::one(
        KeepAlive::RefreshedByDownlink,
        "refreshed-by-downlink",
        "what is sent to the Client counts as if it had come from it",
    ),
];

impl KeepAlive {
    /// Every name with its meaning; `N` stands for a count.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    /// How long a Client with this Keep Alive may say nothing; absent when for ever.
    pub(crate) fn silence_max(self, keep_alive: Duration) -> Option<Duration> {
        let percent = match self {
            Self::Close | Self::SweepEvery(_) | Self::RefreshedByDownlink => 150,
            Self::CloseAtPercent(percent) | Self::FinAtPercent(percent) => percent.get(),
            Self::Never => return None,
        };
        (!keep_alive.is_zero()).then(|| keep_alive * percent / 100)
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloseAtPercent(percent) => write!(f, "close-at-percent-{percent}"),
            Self::FinAtPercent(percent) => write!(f, "fin-at-percent-{percent}"),
            Self::SweepEvery(time) => write!(f, "sweep-every-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for KeepAlive {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let close = || text.strip_prefix("close-at-percent-").and_then(count).map(Self::CloseAtPercent);
        let fin = || text.strip_prefix("fin-at-percent-").and_then(count).map(Self::FinAtPercent);
        let sweep = || {
            let every = text.strip_prefix("sweep-every-").and_then(duration);
            every.filter(|every| !every.is_zero()).map(Self::SweepEvery)
        };
        by_name(TABLE, text)
            .or_else(close)
            .or_else(fin)
            .or_else(sweep)
            .ok_or_else(|| UnknownName::new("keep-alive", text))
    }
}
