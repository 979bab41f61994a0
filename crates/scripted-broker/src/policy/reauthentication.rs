//! What the broker does when a Client authenticates itself anew: AUTH 0x19 (MQTT 5.0 section 4.12.1).

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, listed, name_of};

/// What the broker answers to an AUTH with a new token, from a Client whose CONNECT named the method `JWT`. A token is bad
/// that has run out, or whose signature is no text of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reauthentication {
    /// AUTH 0x00, and the new token's end counts; for a bad one DISCONNECT 0x87, then FIN. Conforms.
    #[default]
    Accept,
    /// AUTH 0x00 to a bad token as well; nothing ends any more.
    AcceptAnything,
    /// AUTH 0x00, and the old token's end counts.
    KeepOldEnd,
    /// DISCONNECT 0x87, then FIN, whatever the token is.
    Refuse,
    /// FIN without a word, whatever the token is.
    Fin,
    /// AUTH 0x87 whatever the token is, and everything goes on for ever: breaks `MQTT 5.0 [MQTT-4.12.1-2]`.
    ServeRefused,
    /// AUTH 0x18: another step is asked for. The old token's end counts.
    Continue,
    /// Nothing. The old token's end counts.
    Ignore,
    /// As [`Self::Accept`], with another Authentication Method in the AUTH: breaks `MQTT 5.0 [MQTT-4.12.0-5]`.
    OtherMethod,
}

const TABLE: &[Named<Reauthentication>] = &[
    Named::one(
        Reauthentication::Accept,
        "accept",
        "AUTH 0x00, and the new token's end counts; DISCONNECT 0x87, then FIN, for a bad one: conforms",
    ),
    Named::one(Reauthentication::AcceptAnything, "accept-anything", "AUTH 0x00 to a bad token as well"),
    Named::one(Reauthentication::KeepOldEnd, "keep-old-end", "AUTH 0x00, and the old token's end counts"),
    Named::one(Reauthentication::Refuse, "refuse", "DISCONNECT 0x87, then FIN, whatever the token is"),
    Named::one(Reauthentication::Fin, "fin", "FIN without a word, whatever the token is"),
    Named::one(
        Reauthentication::ServeRefused,
        "serve-refused",
        "AUTH 0x87 whatever the token is, and everything goes on",
    ),
    Named::one(Reauthentication::Continue, "continue", "AUTH 0x18; the old token's end counts"),
    Named::one(Reauthentication::Ignore, "ignore", "nothing; the old token's end counts"),
    Named::one(Reauthentication::OtherMethod, "other-method", "what `accept` does, under another method"),
];

impl Reauthentication {
    /// Every name with its meaning.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Reauthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(TABLE, self).unwrap_or_default())
    }
}

impl FromStr for Reauthentication {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text).ok_or_else(|| UnknownName::new("reauthentication", text))
    }
}
