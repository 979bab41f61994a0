//! What happens to the older connection when a CONNECT with its ClientID comes (`MQTT 5.0 [MQTT-3.1.4-3]`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, code, duration, listed, name_of};

/// What happens to the older connection when a CONNECT with its ClientID comes. MQTT 3.1.1 has no DISCONNECT from a
/// Server: none is sent there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TakeOver {
    /// DISCONNECT 0x8E, then FIN; in MQTT 3.1.1 FIN alone. Conforms.
    #[default]
    Disconnect,
    /// DISCONNECT with this Reason Code, then FIN.
    DisconnectCode(u8),
    /// FIN without a word.
    Fin,
    /// RST without a word.
    Rst,
    /// It stays, and both are served, each with what the session had.
    KeepBoth,
    /// Both are served for this time, then the older one is closed as [`Self::Disconnect`] does.
    ServeFor(Duration),
    /// It stays, and the newcomer gets CONNACK 0x85 (3.1.1: 0x02) and FIN.
    RefuseNewcomer,
    /// It is not answered any more, and closed so much later as [`Self::Disconnect`] does; the newcomer is accepted
    /// at once.
    CloseAfter(Duration),
    /// What [`Self::Disconnect`] does, but the newcomer's CONNACK is held back so long.
    NewcomerWaits(Duration),
    /// It is not answered any more, and never closed.
    Silence,
    /// What [`Self::Disconnect`] does, but one and a half times its Keep Alive later its end is dealt with again, by ClientID:
    /// the newcomer loses something. With a Keep Alive of 0 it does not.
    LateEnd(LateEnd),
}

/// What the late end of an older connection takes from the newcomer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LateEnd {
    /// Its connection, by FIN.
    Connection,
    /// Its subscriptions: breaks `MQTT 5.0 [MQTT-4.1.0-1]` and `MQTT 3.1.1 [MQTT-4.1.0-2]`.
    Subscriptions,
    /// Its Will, which is published: breaks `[MQTT-3.1.2-8]` of both versions.
    Will,
}

const TABLE: &[Named<TakeOver>] = &[
    Named::one(TakeOver::Disconnect, "disconnect", "DISCONNECT E0 02 8E 00 (5.0), then FIN: conforms"),
    Named::family("disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN"),
    Named::one(TakeOver::Fin, "fin", "FIN without a word"),
    Named::one(TakeOver::Rst, "rst", "RST without a word"),
    Named::one(TakeOver::KeepBoth, "keep-both", "the old connection stays, and both are served"),
    Named::family("serve-for-DURATION", "both are served for this time, then what `disconnect` does"),
    Named::one(
        TakeOver::RefuseNewcomer,
        "refuse-newcomer",
        "the old connection stays; the newcomer gets CONNACK 0x85 (3.1.1: 0x02), then FIN",
    ),
    Named::family(
        "close-after-DURATION",
        "the newcomer is accepted at once, the old connection not answered any more and closed so much later",
    ),
    Named::family(
        "newcomer-waits-DURATION",
        "what `disconnect` does, but the newcomer's CONNACK is held back so long",
    ),
    Named::one(
        TakeOver::LateEnd(LateEnd::Connection),
        "late-end-cuts",
        "what `disconnect` does; after 1.5 times the old connection's Keep Alive the newcomer gets FIN",
    ),
    Named::one(
        TakeOver::LateEnd(LateEnd::Subscriptions),
        "late-end-unsubscribes",
        "what `disconnect` does; after 1.5 times the old connection's Keep Alive the newcomer's subscriptions are gone",
    ),
    Named::one(
        TakeOver::LateEnd(LateEnd::Will),
        "late-end-publishes-will",
        "what `disconnect` does; after 1.5 times the old connection's Keep Alive the newcomer's Will is published",
    ),
    Named::one(TakeOver::Silence, "silence", "the old connection is not answered any more and never closed"),
];

impl TakeOver {
    /// Every name with its meaning; `NN` and `DURATION` stand for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    fn with_value(text: &str) -> Option<Self> {
        if let Some(value) = text.strip_prefix("disconnect-") {
            return code(value).map(Self::DisconnectCode);
        }
        if let Some(value) = text.strip_prefix("close-after-") {
            return duration(value).map(Self::CloseAfter);
        }
        if let Some(value) = text.strip_prefix("serve-for-") {
            return duration(value).map(Self::ServeFor);
        }
        text.strip_prefix("newcomer-waits-").and_then(duration).map(Self::NewcomerWaits)
    }
}

impl fmt::Display for TakeOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisconnectCode(code) => write!(f, "disconnect-0x{code:02x}"),
            Self::CloseAfter(time) => write!(f, "close-after-{}ms", time.as_millis()),
            Self::ServeFor(time) => write!(f, "serve-for-{}ms", time.as_millis()),
            Self::NewcomerWaits(time) => write!(f, "newcomer-waits-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for TakeOver {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| Self::with_value(text))
            .ok_or_else(|| UnknownName::new("take-over", text))
    }
}
