//! What becomes of retained messages (MQTT 5.0 sections 3.3.1.3 and 3.2.2.3.5).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, duration, listed, name_of};

/// What becomes of retained messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Retained {
    /// They are kept, and sent right after the SUBACK. Conforms.
    #[default]
    Keep,
    /// They are kept, and sent this long after the SUBACK: no time is set for it. Conforms.
    SendAfter(Duration),
    /// None is kept, as the CONNACK says by Retain Available 0: a Will with Will Retain is refused (`MQTT 5.0
    /// [MQTT-3.2.2-13]`), and a PUBLISH with RETAIN is answered with DISCONNECT 0x9A. MQTT 3.1.1 has no word for it: there
    /// both are taken, and nothing is kept. Conforms on MQTT 5.0.
    Unavailable,
}

const TABLE: &[Named<Retained>] = &[
    Named::one(Retained::Keep, "keep", "kept, and sent right after the SUBACK: conforms"),
    Named::family(
        "after-DURATION",
        "kept, and sent this long after the SUBACK (700ms, 2s): conforms as well",
    ),
    Named::one(Retained::Unavailable, "unavailable", "none is kept, and the CONNACK of 5.0 says so"),
];

impl Retained {
    /// Every name with its meaning; `DURATION` stands for a time, such as `700ms`.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SendAfter(time) => write!(f, "after-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Retained {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let after = || text.strip_prefix("after-").and_then(duration).map(Self::SendAfter);
        by_name(TABLE, text).or_else(after).ok_or_else(|| UnknownName::new("retained", text))
    }
}
