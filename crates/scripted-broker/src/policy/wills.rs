//! What the broker makes of Wills (`MQTT 5.0 [MQTT-3.1.2-8]`, `[MQTT-3.1.2-10]` and `[MQTT-3.1.3-9]`).

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, listed, name_of};

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
];

impl Wills {
    /// Every name with its meaning.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Wills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(TABLE, self).unwrap_or_default())
    }
}

impl FromStr for Wills {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text).ok_or_else(|| UnknownName::new("wills", text))
    }
}
