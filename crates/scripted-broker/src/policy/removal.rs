//! What the broker does when an administrator removes a Client's user. No statement of the standard is about it.

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, code, listed, name_of};

/// What the broker does when an administrator removes a Client's user: disables or deletes it, or gives it another
/// password. Commands and answers are those of Mosquitto's dynamic security, and anybody may give them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Removal {
    /// DISCONNECT 0x98, then FIN; in MQTT 3.1.1 FIN alone. The user is refused afterwards. Conforms.
    #[default]
    Disconnect,
    /// The same with this Reason Code.
    DisconnectCode(u8),
    /// FIN without a word. The user is refused afterwards.
    Fin,
    /// Says that it is done, and does nothing.
    Ignore,
    /// DISCONNECT 0x98, and then everything goes on: breaks `MQTT 5.0 [MQTT-3.14.4-1]`.
    DeliverOn,
    /// As [`Self::Disconnect`], but the user is let in again.
    Readmit,
    /// As [`Self::Disconnect`], but the connection that is refused afterwards stays open and is served: breaks `MQTT 5.0
    /// [MQTT-3.2.2-7]` and `MQTT 3.1.1 [MQTT-3.2.2-5]`.
    ServeRefused,
    /// Every Client but the administrators is disconnected.
    Everyone,
    /// Says that it is not allowed.
    Refuse,
}

const TABLE: &[Named<Removal>] = &[
    Named::one(
        Removal::Disconnect,
        "disconnect",
        "DISCONNECT E0 02 98 00 (5.0), then FIN; refused afterwards: conforms",
    ),
    Named::family("disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN; refused afterwards"),
    Named::one(Removal::Fin, "fin", "FIN without a word; refused afterwards"),
    Named::one(Removal::Ignore, "ignore", "the command is answered, and nothing done"),
    Named::one(Removal::DeliverOn, "deliver-on", "DISCONNECT 0x98 (5.0), and then everything goes on"),
    Named::one(Removal::Readmit, "readmit", "DISCONNECT 0x98 (5.0), then FIN; let in again"),
    Named::one(
        Removal::ServeRefused,
        "serve-refused",
        "DISCONNECT 0x98 (5.0), then FIN; refused afterwards, and served all the same",
    ),
    Named::one(Removal::Everyone, "everyone", "every Client but the administrators is disconnected"),
    Named::one(Removal::Refuse, "refuse", "the command is answered with an error"),
];

impl Removal {
    /// Every name with its meaning; `NN` stands for two hexadecimal digits.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisconnectCode(code) => write!(f, "disconnect-0x{code:02x}"),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Removal {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("disconnect-").and_then(code).map(Self::DisconnectCode))
            .ok_or_else(|| UnknownName::new("removal", text))
    }
}
