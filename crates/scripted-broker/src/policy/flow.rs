//! What happens past the Receive Maximum that the CONNACK told (MQTT 5.0 sections 3.3.4 and 4.9).

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, code, listed, name_of};

/// What happens past the Receive Maximum that the CONNACK told. MQTT 3.1.1 has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Flow {
    /// DISCONNECT 0x93, then FIN. Conforms.
    #[default]
    Disconnect,
    /// PUBACK or PUBREC with this Reason Code, and the message is not taken; serves on.
    Refuse(u8),
    /// FIN without a word.
    Fin,
    /// RST without a word.
    Rst,
    /// Neither answers nor closes any more.
    Silence,
    /// Takes everything.
    Tolerate,
    /// Never gives quota back: the first QoS 1 or QoS 2 PUBLISH of a connection after as many as the Receive Maximum
    /// is answered by DISCONNECT 0x93 and FIN, whatever was acknowledged.
    Leak,
    /// The same with FIN alone.
    LeakThenFin,
}

const TABLE: &[Named<Flow>] = &[
    Named::one(Flow::Disconnect, "disconnect", "DISCONNECT E0 02 93 00, then FIN: conforms"),
    Named::family(
        "refuse-0xNN",
        "PUBACK or PUBREC with this Reason Code, then serves on without the message",
    ),
    Named::one(Flow::Fin, "fin", "FIN without a word"),
    Named::one(Flow::Rst, "rst", "RST without a word"),
    Named::one(Flow::Silence, "silence", "neither answers nor closes any more"),
    Named::one(Flow::Tolerate, "tolerate", "takes everything"),
    Named::one(
        Flow::Leak,
        "leak",
        "quota is never given back: DISCONNECT E0 02 93 00 and FIN after so many QoS 1 and 2 in all",
    ),
    Named::one(Flow::LeakThenFin, "leak-then-fin", "the same with FIN alone"),
];

impl Flow {
    /// Every name with its meaning; `NN` stands for two hexadecimal digits.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse(code) => write!(f, "refuse-0x{code:02x}"),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Flow {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("refuse-").and_then(code).map(Self::Refuse))
            .ok_or_else(|| UnknownName::new("flow", text))
    }
}
