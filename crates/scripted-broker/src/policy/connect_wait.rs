//! How long the broker waits for a CONNECT (MQTT 5.0 section 3.1.4: a Server SHOULD close what sends none in a
//! reasonable time).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, duration, listed, name_of};

/// How long the broker waits for a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ConnectWait {
    /// For ever. Conforms: the standard names no time.
    #[default]
    ForEver,
    /// FIN when the whole CONNECT has not come in this time.
    Whole(Duration),
    /// FIN when nothing at all has come for this time: a CONNECT that drips is waited for.
    Gap(Duration),
    /// As [`Self::Whole`], but with a DISCONNECT 0x8D before the FIN: breaks `MQTT 5.0 [MQTT-3.14.0-1]`.
    ThenDisconnect(Duration),
}

const TABLE: &[Named<ConnectWait>] = &[
    Named::one(ConnectWait::ForEver, "for-ever", "never gives up, and the standard names no time: conforms"),
    Named::family("whole-DURATION", "FIN when the whole CONNECT has not come in this time (800ms, 2s)"),
    Named::family("gap-DURATION", "FIN when nothing at all has come for this time"),
    Named::family(
        "then-disconnect-DURATION",
        "as whole-DURATION, with DISCONNECT E0 02 8D 00 before the FIN",
    ),
];

impl ConnectWait {
    /// Every name with its meaning; `DURATION` stands for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for ConnectWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForEver => f.pad(name_of(TABLE, self).unwrap_or_default()),
            Self::Whole(time) => write!(f, "whole-{}ms", time.as_millis()),
            Self::Gap(time) => write!(f, "gap-{}ms", time.as_millis()),
            Self::ThenDisconnect(time) => write!(f, "then-disconnect-{}ms", time.as_millis()),
        }
    }
}

impl FromStr for ConnectWait {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let with =
            |prefix: &str, make: fn(Duration) -> Self| text.strip_prefix(prefix).and_then(duration).map(make);
        by_name(TABLE, text)
            .or_else(|| with("whole-", Self::Whole))
            .or_else(|| with("gap-", Self::Gap))
            .or_else(|| with("then-disconnect-", Self::ThenDisconnect))
            .ok_or_else(|| UnknownName::new("connect-wait", text))
    }
}
