//! What the broker makes of Wills (`MQTT 5.0 [MQTT-3.1.2-8]` and `[MQTT-3.1.2-10]`).

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, listed, name_of};

/// What the broker makes of Wills. Will Delay Interval counts as 0 in all of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Wills {
    /// Publishes the Will at every end of a connection but after a DISCONNECT 0x00. Conforms.
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
}

const TABLE: &[Named<Wills>] = &[
    Named::one(Wills::Publish, "publish", "at every end of a connection but after DISCONNECT 0x00: conforms"),
    Named::one(Wills::Never, "never", "never"),
    Named::one(Wills::Twice, "twice", "each Will twice"),
    Named::one(
        Wills::OfSecondConnect,
        "of-second-connect",
        "the Will of the second CONNECT in place of the first's",
    ),
    Named::one(Wills::EvenAfterDisconnect, "even-after-disconnect", "after DISCONNECT 0x00 as well"),
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
