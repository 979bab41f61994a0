//! What the broker does on a second CONNECT (`MQTT 5.0 [MQTT-3.1.0-2]`, `MQTT 3.1.1 [MQTT-3.1.0-2]`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Named, UnknownName, by_name, code, duration, listed, name_of};

/// What the broker does on a second CONNECT. MQTT 3.1.1 has no DISCONNECT from a Server: where nothing else is said,
/// none is sent there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SecondConnect {
    /// DISCONNECT `E0 02 82 00`, then FIN; in MQTT 3.1.1 FIN alone. Conforms.
    #[default]
    Disconnect,
    /// DISCONNECT `E0 01 82` without Property Length, then FIN. Conforms.
    DisconnectShort,
    /// DISCONNECT with this Reason Code, then FIN.
    DisconnectCode(u8),
    /// DISCONNECT `E0 02 82 00` in MQTT 3.1.1 as well, then FIN.
    DisconnectEvenOn3_1_1,
    /// DISCONNECT, and then nothing any more: neither an answer nor a close.
    DisconnectThenSilence,
    /// FIN without a word. Conforms.
    Fin,
    /// RST without a word. Conforms.
    Rst,
    /// Nothing for this time, then what [`Self::Disconnect`] does.
    CloseAfter(Duration),
    /// Serves on for this time, then what [`Self::Disconnect`] does.
    ServeFor(Duration),
    /// A second CONNACK, then serves on under the first ClientID.
    SecondConnackThenServe,
    /// A second CONNACK, then FIN.
    SecondConnackThenFin,
    /// A second CONNACK, and the connection belongs to the second ClientID from then on.
    AdoptSecondClientId,
    /// What [`Self::Disconnect`] does, but leaves a session for the second ClientID that never expires.
    KeepSessionOfSecondClientId,
    /// Serves on as if there had been no second CONNECT.
    Ignore,
    /// Neither answers nor closes any more.
    Silence,
    /// The first three bytes of a longer packet, then FIN.
    HalfPacketThenFin,
    /// Five bytes that begin no packet, then FIN.
    GarbageThenFin,
    /// Five bytes that begin no packet, then serves on.
    GarbageThenServe,
    /// The whole broker goes down: no listener any more, every connection reset.
    CrashBroker,
}

const KIND: &str = "second-connect";

const TABLE: &[Named<SecondConnect>] = &[
    Named::one(SecondConnect::Disconnect, "disconnect", "DISCONNECT E0 02 82 00 (5.0), then FIN: conforms"),
    Named::one(
        SecondConnect::DisconnectShort,
        "disconnect-short",
        "DISCONNECT E0 01 82 (5.0), then FIN: conforms",
    ),
    Named::family("disconnect-0xNN", "DISCONNECT with this Reason Code (5.0), then FIN"),
    Named::one(
        SecondConnect::DisconnectEvenOn3_1_1,
        "disconnect-even-on-3.1.1",
        "DISCONNECT E0 02 82 00 in 3.1.1 as well, then FIN",
    ),
    Named::one(
        SecondConnect::DisconnectThenSilence,
        "disconnect-then-silence",
        "DISCONNECT E0 02 82 00 (5.0), then neither answers nor closes",
    ),
    Named::one(SecondConnect::Fin, "fin", "FIN without a word: conforms"),
    Named::one(SecondConnect::Rst, "rst", "RST without a word: conforms"),
    Named::family("close-after-DURATION", "nothing for this time (800ms, 2s), then what `disconnect` does"),
    Named::family("serve-for-DURATION", "serves on for this time (800ms, 2s), then what `disconnect` does"),
    Named::one(
        SecondConnect::SecondConnackThenServe,
        "second-connack-then-serve",
        "a second CONNACK, then serves on under the first ClientID",
    ),
    Named::one(SecondConnect::SecondConnackThenFin, "second-connack-then-fin", "a second CONNACK, then FIN"),
    Named::one(
        SecondConnect::AdoptSecondClientId,
        "adopt-second-client-id",
        "a second CONNACK, then serves on under the second ClientID",
    ),
    Named::one(
        SecondConnect::KeepSessionOfSecondClientId,
        "keep-session-of-second-client-id",
        "what `disconnect` does, but leaves a session for the second ClientID",
    ),
    Named::one(SecondConnect::Ignore, "ignore", "serves on as if nothing had happened"),
    Named::one(SecondConnect::Silence, "silence", "neither answers nor closes any more"),
    Named::one(
        SecondConnect::HalfPacketThenFin,
        "half-packet-then-fin",
        "E0 05 82 of a longer packet, then FIN",
    ),
    Named::one(SecondConnect::GarbageThenFin, "garbage-then-fin", "FF FF FF FF FF, then FIN"),
    Named::one(SecondConnect::GarbageThenServe, "garbage-then-serve", "FF FF FF FF FF, then serves on"),
    Named::one(
        SecondConnect::CrashBroker,
        "crash-broker",
        "the whole broker goes down: no listener, every connection reset",
    ),
];

impl SecondConnect {
    /// Every name with its meaning; `NN` and `DURATION` stand for a value.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for SecondConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisconnectCode(code) => write!(f, "disconnect-0x{code:02x}"),
            Self::CloseAfter(time) => write!(f, "close-after-{}ms", time.as_millis()),
            Self::ServeFor(time) => write!(f, "serve-for-{}ms", time.as_millis()),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for SecondConnect {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let with_code = || text.strip_prefix("disconnect-").and_then(code).map(Self::DisconnectCode);
        let with_time = || text.strip_prefix("close-after-").and_then(duration).map(Self::CloseAfter);
        let served = || text.strip_prefix("serve-for-").and_then(duration).map(Self::ServeFor);
        by_name(TABLE, text)
            .or_else(with_code)
            .or_else(with_time)
            .or_else(served)
            .ok_or_else(|| UnknownName::new(KIND, text))
    }
}
