//! The variants of the drop: how the client goes, how long its session is to live, whether its Will is due.

use std::fmt;
use std::str::FromStr;

use ungraceful_mqtt::ProtocolVersion;

use super::going::Way;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// FIN, both directions at once.
    Fin,
    /// RST.
    Rst,
    /// FIN, and the client reads on.
    HalfClose,
    /// DISCONNECT 0x00: the control.
    Disconnect,
    /// DISCONNECT 0x04, which asks for the Will (MQTT 5.0).
    DisconnectWithWill,
    /// RST, with a delayed Will (MQTT 5.0).
    WillDelay,
    /// RST, with a delayed Will, and back before the delay is over (MQTT 5.0).
    BackBeforeWillDelay,
    /// RST, with a Will whose delay is longer than the session lives (MQTT 5.0).
    WillAtSessionEnd,
    /// RST, with a session that ends with the connection.
    SessionEnds,
    /// RST, and back shortly before the session ends (MQTT 5.0).
    BeforeExpiry,
    /// RST, and back well after the session has ended (MQTT 5.0).
    AfterExpiry,
}

/// How long a session is to outlive its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lives {
    Long,
    Short,
    NotAtAll,
}

impl Variant {
    /// Every variant, in the order of the tables.
    pub const ALL: [Self; 11] = [
        Self::Fin,
        Self::Rst,
        Self::HalfClose,
        Self::Disconnect,
        Self::DisconnectWithWill,
        Self::WillDelay,
        Self::BackBeforeWillDelay,
        Self::WillAtSessionEnd,
        Self::SessionEnds,
        Self::BeforeExpiry,
        Self::AfterExpiry,
    ];

    /// The name used on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::HalfClose => "half-close",
            Self::Disconnect => "disconnect",
            Self::DisconnectWithWill => "disconnect-with-will",
            Self::WillDelay => "will-delay",
            Self::BackBeforeWillDelay => "back-before-will-delay",
            Self::WillAtSessionEnd => "will-at-session-end",
            Self::SessionEnds => "session-ends",
            Self::BeforeExpiry => "before-expiry",
            Self::AfterExpiry => "after-expiry",
        }
    }

    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }

    /// Whether MQTT 3.1.1 has it: it knows no delay of Wills, no expiry of sessions and no Reason Code of DISCONNECT.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => {
                matches!(self, Self::Fin | Self::Rst | Self::HalfClose | Self::Disconnect | Self::SessionEnds)
            }
        }
    }

    /// How the connection ends.
    #[must_use]
    pub const fn way(self) -> Way {
        match self {
            Self::Fin => Way::Fin,
            Self::HalfClose => Way::HalfClose,
            Self::Disconnect => Way::Disconnect(0x00),
            Self::DisconnectWithWill => Way::Disconnect(0x04),
            _ => Way::Rst,
        }
    }

    pub(super) const fn lives(self) -> Lives {
        match self {
            Self::SessionEnds => Lives::NotAtAll,
            Self::WillAtSessionEnd | Self::BeforeExpiry | Self::AfterExpiry => Lives::Short,
            _ => Lives::Long,
        }
    }

    /// Whether the Will is to be published, if nothing goes wrong.
    #[must_use]
    pub const fn will_is_due(self) -> bool {
        !matches!(self, Self::Disconnect | Self::BackBeforeWillDelay)
    }

    /// Whether the session is to be there when the client is back.
    #[must_use]
    pub const fn keeps_session(self) -> bool {
        !matches!(self, Self::SessionEnds | Self::AfterExpiry | Self::WillAtSessionEnd)
    }

    /// Whether the client comes back at all.
    #[must_use]
    pub const fn returns(self) -> bool {
        !matches!(self, Self::WillAtSessionEnd)
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Fin => "FIN without DISCONNECT",
            Self::Rst => "RST without DISCONNECT",
            Self::HalfClose => "FIN without DISCONNECT, and reads on",
            Self::Disconnect => "DISCONNECT 0x00 (the control)",
            Self::DisconnectWithWill => "DISCONNECT 0x04",
            Self::WillDelay => "RST, with a delayed Will",
            Self::BackBeforeWillDelay => "RST, with a delayed Will, and back before its delay is over",
            Self::WillAtSessionEnd => "RST, with a Will delayed for longer than the session lives",
            Self::SessionEnds => "RST, with a session that ends with the connection",
            Self::BeforeExpiry => "RST, and back shortly before the session ends",
            Self::AfterExpiry => "RST, and back well after the session has ended",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::named(text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no variant; choose from {names}")
        })
    }
}
