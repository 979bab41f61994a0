//! What the broker does when a Client's credentials run out. No statement of the standard is about it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, code, duration, listed, name_of};

/// What the broker does at the `exp` of a JSON Web Token in the Password or the User Name of a CONNECT. Its signature is
/// not looked at. A Client that authenticates itself anew (AUTH, method `JWT`) has the `exp` of its new token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Expiry {
    /// DISCONNECT 0x87, then FIN; in MQTT 3.1.1 FIN alone. A token that has run out is refused. Conforms.
    #[default]
    Disconnect,
    /// The same with this Reason Code.
    DisconnectCode(u8),
    /// FIN without a word. A token that has run out is refused.
    Fin,
    /// What [`Self::Disconnect`] does, so much later.
    CutAfter(Duration),
    /// Nothing is done to a Client that is connected; a token that has run out is refused.
    DeliverOn,
    /// Nobody looks at tokens.
    Ignore,
}

const TABLE: &[Named<Expiry>] = &[
    Named::one(
        Expiry::Disconnect,
        "disconnect",
        "DISCONNECT E0 02 87 00 (5.0), then FIN, at the token's exp; refused afterwards: conforms",
    ),
    Named::family("disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN; refused afterwards"),
    Named::one(Expiry::Fin, "fin", "FIN without a word; refused afterwards"),
    Named::family("cut-after-DURATION", "what `disconnect` does, so much after the token's exp"),
    Named::one(Expiry::DeliverOn, "deliver-on", "who is connected stays so; refused afterwards"),
    Named::one(Expiry::Ignore, "ignore", "nobody looks at tokens"),
];

impl Expiry {
    /// Every name with its meaning; `NN` and `DURATION` stand for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisconnectCode(code) => write!(f, "disconnect-0x{code:02x}"),
            Self::CutAfter(time) => write!(f, "cut-after-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Expiry {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("disconnect-").and_then(code).map(Self::DisconnectCode))
            .or_else(|| text.strip_prefix("cut-after-").and_then(duration).map(Self::CutAfter))
            .ok_or_else(|| UnknownName::new("expiry", text))
    }
}
