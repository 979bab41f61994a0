//! The variants of the drop: how the client leaves, how long its session lives, whether its Will is due.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_wire::Transport;

use super::departure::Way;

ungraceful_record::words! {
    /// What the client does.
    pub enum Variant: "variant" {
        /// FIN, both directions at once.
        Fin = "fin",
        /// RST.
        Rst = "rst",
        /// FIN, and the client reads on.
        HalfClose = "half-close",
        /// A Close frame of WebSocket, and the client reads on until the broker closes.
        WebSocketClose = "ws-close",
        /// close_notify of TLS and FIN, and the client reads on.
        CloseNotify = "close-notify",
        /// DISCONNECT 0x00: the control.
        Disconnect = "disconnect",
        /// DISCONNECT 0x04, which requests the Will (MQTT 5.0).
        DisconnectWithWill = "disconnect-with-will",
        /// RST, with a delayed Will (MQTT 5.0).
        WillDelay = "will-delay",
        /// RST, with a delayed Will, and a return before the delay is over (MQTT 5.0).
        BackBeforeWillDelay = "back-before-will-delay",
        /// RST, with a Will whose delay is longer than the session lives (MQTT 5.0).
        WillAtSessionEnd = "will-at-session-end",
        /// RST, with a session that ends with the connection.
        SessionEnds = "session-ends",
        /// RST, and a return shortly before the session ends (MQTT 5.0).
        BeforeExpiry = "before-expiry",
        /// RST, and a return well after the session has ended (MQTT 5.0).
        AfterExpiry = "after-expiry",
    }
}

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionLife {
    Long,
    Short,
    Ends,
}

impl Variant {
    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Whether the version has it: MQTT 3.1.1 has no Will delay, no session expiry and no Reason Code in DISCONNECT.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => {
                matches!(
                    self,
                    Self::Fin
                        | Self::Rst
                        | Self::HalfClose
                        | Self::WebSocketClose
                        | Self::CloseNotify
                        | Self::Disconnect
                        | Self::SessionEnds
                )
            }
        }
    }

    /// Why there is no such end over this transport; absent when there is.
    pub(super) fn unsupported_reason(self, transport: &Transport) -> Option<String> {
        let (layer, is_there, cure) = match self {
            Self::WebSocketClose => {
                ("WebSocket", transport.websocket.is_some(), "give --ws, or a URL with ws:// or wss://")
            }
            Self::CloseNotify => {
                ("TLS", transport.tls.is_some(), "give --tls, or a URL with mqtts:// or wss://")
            }
            _ => return None,
        };
        (!is_there).then(|| format!("the connections are without {layer}; {cure}"))
    }

    /// How the connection ends.
    #[must_use]
    pub const fn way(self) -> Way {
        match self {
            Self::Fin => Way::Fin,
            Self::HalfClose => Way::HalfClose,
            Self::WebSocketClose => Way::CloseFrame,
            Self::CloseNotify => Way::CloseNotify,
            Self::Disconnect => Way::Disconnect(0x00),
            Self::DisconnectWithWill => Way::Disconnect(0x04),
            _ => Way::Rst,
        }
    }

    pub(super) const fn session_life(self) -> SessionLife {
        match self {
            Self::SessionEnds => SessionLife::Ends,
            Self::WillAtSessionEnd | Self::BeforeExpiry | Self::AfterExpiry => SessionLife::Short,
            _ => SessionLife::Long,
        }
    }

    /// Whether the broker must publish the Will.
    #[must_use]
    pub const fn will_is_due(self) -> bool {
        !matches!(self, Self::Disconnect | Self::BackBeforeWillDelay)
    }

    /// Whether the session must still exist when the client returns.
    #[must_use]
    pub const fn keeps_session(self) -> bool {
        !matches!(self, Self::SessionEnds | Self::AfterExpiry | Self::WillAtSessionEnd)
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Fin => "FIN without DISCONNECT",
            Self::Rst => "RST without DISCONNECT",
            Self::HalfClose => "FIN without DISCONNECT, and reads on",
            Self::WebSocketClose => "a WebSocket Close frame without DISCONNECT, and reads on",
            Self::CloseNotify => "close_notify of TLS and FIN without DISCONNECT, and reads on",
            Self::Disconnect => "DISCONNECT 0x00 (the control)",
            Self::DisconnectWithWill => "DISCONNECT 0x04",
            Self::WillDelay => "RST, with a delayed Will",
            Self::BackBeforeWillDelay => "RST, with a delayed Will, and return before its delay is over",
            Self::WillAtSessionEnd => "RST, with a Will delayed for longer than the session lives",
            Self::SessionEnds => "RST, with a session that ends with the connection",
            Self::BeforeExpiry => "RST, and return shortly before the session ends",
            Self::AfterExpiry => "RST, and return well after the session has ended",
        }
    }
}
