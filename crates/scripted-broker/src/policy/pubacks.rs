//! Whether and when a QoS 1 message from a Client is acknowledged (MQTT 5.0 section 4.3.2).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, code, duration, listed, name_of};

/// Whether and when a QoS 1 message from a Client is acknowledged. It reaches its subscribers at once, unless it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Pubacks {
    /// Before the next packet is read. Conforms.
    #[default]
    AtOnce,
    /// So much later, in order; until then it counts against the Receive Maximum. Conforms.
    Late(Duration),
    /// With the next QoS 1 message of the same Client, or after 40 ms where none comes: what a broker does that leaves
    /// Nagle's algorithm on, once one acknowledgement waits for the TCP ACK of another. Conforms.
    WithNext,
    /// With this Reason Code, at QoS 2 in the PUBREC; the message is not taken. MQTT 3.1.1 has no code: the message is
    /// acknowledged there, and not taken.
    Refuse(u8),
    /// Never: breaks `MQTT 5.0 [MQTT-4.3.2-4]`.
    Never,
}

const TABLE: &[Named<Pubacks>] = &[
    Named::one(Pubacks::AtOnce, "at-once", "before the next packet is read: conforms"),
    Named::family(
        "late-puback-DURATION",
        "so much later, and it counts against the Receive Maximum: conforms",
    ),
    Named::one(
        Pubacks::WithNext,
        "with-next",
        "with the Client's next message or after 40 ms, as Nagle's algorithm does: conforms",
    ),
    Named::family("refuse-0xNN", "refused with this Reason Code (5.0), at QoS 2 as well; not taken"),
    Named::one(Pubacks::Never, "never", "taken and delivered, and never acknowledged"),
];

impl Pubacks {
    /// Every name with its meaning; `DURATION` and `NN` stand for values.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Pubacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(time) => write!(f, "late-puback-{}ms", time.as_millis()),
            Self::Refuse(code) => write!(f, "refuse-0x{code:02x}"),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Pubacks {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("late-puback-").and_then(duration).map(Self::Late))
            .or_else(|| text.strip_prefix("refuse-").and_then(code).map(Self::Refuse))
            .ok_or_else(|| UnknownName::new("pubacks", text))
    }
}
