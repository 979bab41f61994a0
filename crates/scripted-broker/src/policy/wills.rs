//! What the broker makes of Wills (`MQTT 5.0 [MQTT-3.1.2-8]`, `[MQTT-3.1.2-10]` and `[MQTT-3.1.3-9]`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, duration, listed, name_of};

/// What the broker makes of Wills. Where nothing else is said, the Will Delay Interval is kept to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Wills {
    /// Publishes the Will at every end of a connection but after a DISCONNECT 0x00, when its delay has passed or its
    /// session ends, but not when the session was resumed before that. Conforms.
    #[default]
    Publish,
    /// Never publishes one.
    Never,
    /// Publishes each twice.
    Twice,
    /// Publishes the Will of the second CONNECT, if there was one, in place of the first's: none if it has none.
    OfSecondConnect,
    /// Publishes the Will after a DISCONNECT 0x00 as well.
    EvenAfterDisconnect,
    /// Publishes each at the end of its connection, whatever its delay.
    IgnoreDelay,
    /// Publishes none of a connection that is taken over.
    NeverOnTakeOver,
    /// Publishes each of a connection that is taken over, at once, even when the newcomer resumes the session before
    /// the delay has passed: breaks `MQTT 5.0 [MQTT-3.1.3-9]`.
    AlwaysOnTakeOver,
    /// Publishes each this much later than it is due, even when the Client is back by then.
    Late(Duration),
    /// Publishes each without RETAIN, whatever Will Retain says: breaks `MQTT 5.0 [MQTT-3.1.2-15]`.
    NeverRetained,
    /// Publishes each when its Client is connected, as a broker does that publishes that of an earlier connection of the
    /// Client so late, and once more when it is due.
    OfEarlierConnection,
}

const TABLE: &[Named<Wills>] = &[
    Named::one(
        Wills::Publish,
        "publish",
        "at every end of a connection but after DISCONNECT 0x00, with its delay: conforms",
    ),
    Named::one(Wills::Never, "never", "never"),
    Named::one(Wills::Twice, "twice", "each Will twice"),
    Named::one(
        Wills::OfSecondConnect,
        "of-second-connect",
        "the Will of the second CONNECT in place of the first's",
    ),
    Named::one(Wills::EvenAfterDisconnect, "even-after-disconnect", "after DISCONNECT 0x00 as well"),
    Named::one(Wills::IgnoreDelay, "ignore-delay", "at once, whatever the Will Delay Interval"),
    Named::one(Wills::NeverOnTakeOver, "never-on-take-over", "not when its connection is taken over"),
    Named::one(
        Wills::AlwaysOnTakeOver,
        "always-on-take-over",
        "at once when its connection is taken over, even if the session goes on",
    ),
    Named::family("late-DURATION", "each this much later than it is due, even when the Client is back"),
    Named::one(Wills::NeverRetained, "never-retained", "each without RETAIN, whatever Will Retain says"),
    Named::one(
        Wills::OfEarlierConnection,
        "of-earlier-connection",
        "each when its Client is connected, as if of an earlier connection, and once more when it is due",
    ),
];

impl Wills {
    /// Every name with its meaning; `DURATION` stands for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Wills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(time) => write!(f, "late-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Wills {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("late-").and_then(duration).map(Self::Late))
            .ok_or_else(|| UnknownName::new("wills", text))
    }
}
