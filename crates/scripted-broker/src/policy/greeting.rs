//! What the broker does on the first CONNECT (MQTT 5.0 section 3.1.4).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ungraceful_mqtt::{ConnectReturnCode, ProtocolVersion, ReasonCode};

use super::name::{Named, UnknownName, by_name, code, count, duration, listed, name_of};

/// What the broker does on the first CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Greeting {
    /// Accepts every Client of MQTT 3.1.1 and 5.0. Conforms.
    #[default]
    Accept,
    /// CONNACK with the Reason Code (5.0) or the Connect Return Code (3.1.1), then FIN.
    RefuseWith(ReasonCode, ConnectReturnCode),
    /// Takes the TCP connection, and never says anything.
    Silent,
    /// Accepts 3.1.1, and never answers a CONNECT of 5.0: who knows none takes its properties for a long ClientID, and waits
    /// for the rest.
    SilentToV5,
    /// Answers the first bytes as an HTTP server would, then FIN.
    Http,
    /// FIN without a CONNACK.
    Fin,
    /// Accepts this version; 5.0 at a 3.1.1 broker gets CONNACK `20 02 00 01` and FIN, 3.1.1 at a 5.0 broker FIN.
    OnlyVersion(ProtocolVersion),
    /// Accepts so many CONNECTs of one ClientID, then refuses it for this time (0x8A; in 3.1.1 the Connect Return Code
    /// nearest to it), and begins anew.
    BanAfter(NonZeroU32, Duration),
    /// Accepts so many Clients at the same time; FIN without a CONNACK for those beyond.
    AtMost(NonZeroU32),
    /// Accepts so many CONNECTs in a second; 0x9F (3.1.1: Server unavailable) for those beyond.
    AtMostPerSecond(NonZeroU32),
}

const TABLE: &[Named<Greeting>] = &[
    Named::one(Greeting::Accept, "accept", "accepts every Client of 3.1.1 and 5.0: conforms"),
    Named::family(
        "refuse-0xNN",
        "CONNACK with this Reason Code (3.1.1: the Connect Return Code nearest to it), then FIN",
    ),
    Named::family("refuse-0xNN-0xMM", "the same with 0xMM in 3.1.1"),
    Named::one(Greeting::Silent, "silent", "takes the TCP connection and never says anything"),
    Named::one(Greeting::SilentToV5, "silent-to-5.0", "accepts 3.1.1, and never answers a CONNECT of 5.0"),
    Named::one(Greeting::Http, "http", "answers the first bytes with HTTP/1.1 400 Bad Request, then FIN"),
    Named::one(Greeting::Fin, "fin", "FIN without a CONNACK"),
    Named::one(
        Greeting::OnlyVersion(ProtocolVersion::V3_1_1),
        "only-3.1.1",
        "accepts 3.1.1; 5.0 gets CONNACK 20 02 00 01 and FIN",
    ),
    Named::family(
        "ban-after-N-for-DURATION",
        "after N CONNECTs of one ClientID refuses it with 0x8A for this time (800ms, 2s), and begins anew",
    ),
    Named::family("at-most-N", "accepts N Clients at the same time; FIN without a CONNACK for those beyond"),
    Named::family(
        "at-most-N-per-second",
        "accepts N CONNECTs in a second; 0x9F (3.1.1: 0x03) and FIN for those beyond",
    ),
    Named::one(Greeting::OnlyVersion(ProtocolVersion::V5), "only-5.0", "accepts 5.0; 3.1.1 gets FIN"),
];

impl Greeting {
    /// Refuses with this Reason Code in MQTT 5.0, and with the Connect Return Code nearest to it in MQTT 3.1.1.
    pub const fn refuse(code: ReasonCode) -> Self {
        Self::RefuseWith(code, return_code_near(code))
    }

    /// Every name with its meaning; `NN` and `MM` stand for two hexadecimal digits.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }

    fn ban(text: &str) -> Option<Self> {
        let (connections, time) = text.split_once("-for-")?;
        Some(Self::BanAfter(count(connections)?, duration(time)?))
    }

    fn refusal(codes: &str) -> Option<Self> {
        match codes.split_once('-') {
            None => code(codes).map(|code| Self::refuse(ReasonCode(code))),
            Some((v5, v3_1_1)) => {
                Some(Self::RefuseWith(ReasonCode(code(v5)?), ConnectReturnCode(code(v3_1_1)?)))
            }
        }
    }
}

/// MQTT 3.1.1 has five refusals; what has no counterpart is Server unavailable.
const fn return_code_near(code: ReasonCode) -> ConnectReturnCode {
    match code {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => ConnectReturnCode::UNACCEPTABLE_PROTOCOL_VERSION,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => ConnectReturnCode::IDENTIFIER_REJECTED,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => ConnectReturnCode::BAD_USER_NAME_OR_PASSWORD,
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED => ConnectReturnCode::NOT_AUTHORIZED,
        _ => ConnectReturnCode::SERVER_UNAVAILABLE,
    }
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefuseWith(v5, v3_1_1) if return_code_near(*v5) == *v3_1_1 => {
                write!(f, "refuse-0x{:02x}", v5.0)
            }
            Self::RefuseWith(v5, v3_1_1) => write!(f, "refuse-0x{:02x}-0x{:02x}", v5.0, v3_1_1.0),
            Self::BanAfter(connections, time) => {
                write!(f, "ban-after-{connections}-for-{}ms", time.as_millis())
            }
            Self::AtMost(clients) => write!(f, "at-most-{clients}"),
            Self::AtMostPerSecond(clients) => write!(f, "at-most-{clients}-per-second"),
            plain => f.pad(name_of(TABLE, plain).unwrap_or_default()),
        }
    }
}

impl FromStr for Greeting {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text)
            .or_else(|| text.strip_prefix("refuse-").and_then(Self::refusal))
            .or_else(|| text.strip_prefix("at-most-").and_then(count).map(Self::AtMost))
            .or_else(|| {
                let clients = text.strip_prefix("at-most-")?.strip_suffix("-per-second")?;
                count(clients).map(Self::AtMostPerSecond)
            })
            .or_else(|| text.strip_prefix("ban-after-").and_then(Self::ban))
            .ok_or_else(|| UnknownName::new("greeting", text))
    }
}
