//! The broker's reactions to one fault, in order with their instants, and the outcome.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::{ConnectReturnCode, PacketType, ProtocolVersion, ReasonCode};

/// One kind of reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReactionKind {
    /// A DISCONNECT packet, with its Reason Code.
    Disconnect,
    /// A CONNACK packet beyond the one that was due, with its code.
    Connack,
    /// An acknowledgement (PUBACK, PUBREC, PUBREL, PUBCOMP), with its Reason Code.
    Ack,
    /// An unsolicited packet, such as a PINGRESP without a PINGREQ.
    OtherPacket,
    /// Bytes that are no valid MQTT packet.
    Garbage,
    /// A packet larger than our Maximum Packet Size, or more at once than is kept: it and everything after it was discarded.
    NotTakenIn,
    /// The stream ended within a packet.
    UnfinishedPacket,
    /// The broker sent FIN.
    Closed,
    /// The broker sent RST, or the kernel gave up the connection.
    Reset,
}

impl ReactionKind {
    /// Whether this is the end of the connection.
    #[must_use]
    pub const fn ends_connection(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }

    /// The kind as text, with its code, such as `DISCONNECT 0x82`; `detail` names an unexpected packet.
    #[must_use]
    pub fn label(self, code: Option<u8>, detail: Option<&str>) -> String {
        let code = code.map(|code| format!(" 0x{code:02X}")).unwrap_or_default();
        match self {
            Self::Disconnect => format!("DISCONNECT{code}"),
            Self::Connack => format!("second CONNACK{code}"),
            Self::Ack => format!("acknowledgement{code}"),
            Self::OtherPacket => {
                format!("unexpected {}", detail.unwrap_or("packet"))
            }
            Self::Garbage => "bytes that are no packet".to_owned(),
            Self::NotTakenIn => "more than is taken in".to_owned(),
            Self::UnfinishedPacket => "half a packet".to_owned(),
            Self::Closed => "FIN".to_owned(),
            Self::Reset => "RST".to_owned(),
        }
    }
}

/// When the connection of these reactions ended, in µs since the run's start; absent when it did not.
#[must_use]
pub fn ended_at_us(reactions: &[Reaction]) -> Option<u64> {
    reactions.iter().find(|reaction| reaction.kind.ends_connection()).map(|reaction| reaction.at_us)
}

/// One reaction with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// The kind.
    pub kind: ReactionKind,
    /// Reason Code or CONNACK return code; absent where the kind has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<u8>,
    /// When its first byte or the end of stream arrived, in µs since the run's start.
    pub at_us: u64,
    /// Reason String, packet name, the first bytes in hexadecimal, or the reason that WebSocket or TLS gave for the end; absent when
    /// there is nothing to add.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The connection of the attempt, from 0; absent when the attempt watches only one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<u32>,
}

impl Reaction {
    /// The reaction as text, such as `DISCONNECT 0x82` or `FIN`, without instants and details, so that equal reactions are
    /// counted together.
    #[must_use]
    pub fn label(&self) -> String {
        self.kind.label(self.code, self.detail.as_deref())
    }
}

crate::words! {
    /// The outcome of an attempt.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Outcome: "outcome" {
        /// The broker closed the connection by FIN.
        Closed = "closed",
        /// The broker closed the connection by RST.
        Reset = "reset",
        /// The broker still serves the client: it answered a PINGREQ soon after the fault and another one at the deadline.
        Tolerated = "tolerated",
        /// Neither closed nor served until the deadline.
        NoReaction = "no_reaction",
        /// The client itself ended the connection, as part of its fault; the broker's reaction is in the Will and the facts.
        Left = "left",
        /// The broker went down; its reaction is unknown.
        BrokerDown = "broker_down",
        /// The fault could not be carried out (no connection, CONNECT refused).
        NotActed = "not_acted",
        /// The run was stopped before the attempt ended.
        Interrupted = "interrupted",
    }
}

impl Outcome {
    /// Whether the broker ended the connection.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }

    /// Whether the attempt says anything about the broker.
    #[must_use]
    pub const fn is_evidence(self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Tolerated | Self::NoReaction | Self::Left)
    }
}

/// A CONNACK code with its name: `0x86 Bad User Name or Password`, or the return code of 3.1.1, with which a broker without
/// 5.0 may answer a CONNECT of 5.0.
#[must_use]
pub fn connack_code_text(version: ProtocolVersion, code: u8) -> String {
    let of_3_1_1 = ConnectReturnCode(code).name();
    let name = match version {
        ProtocolVersion::V3_1_1 => of_3_1_1.map(ToOwned::to_owned),
        ProtocolVersion::V5 => ReasonCode(code)
            .name_in(PacketType::ConnAck)
            .map(ToOwned::to_owned)
            .or_else(|| of_3_1_1.map(|name| format!("{name} (a return code of MQTT 3.1.1)"))),
    };
    format!("0x{code:02X} {}", name.as_deref().unwrap_or("unknown"))
}

/// A truncated Reason String: a broker may send 64 KiB with every packet.
#[must_use]
pub fn reason_text(reason: &str) -> String {
    const KEPT: usize = 256;
    let mut text: String = reason.chars().take(KEPT).collect();
    if text.len() < reason.len() {
        text.push('…');
    }
    text
}

/// The first bytes in hexadecimal, for evidence.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let mut text: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion;

    use super::{Outcome, Reaction, ReactionKind, connack_code_text, hex, reason_text};

    fn label(kind: ReactionKind, code: Option<u8>, detail: Option<&str>) -> String {
        Reaction { kind, code, at_us: 9, detail: detail.map(str::to_owned), connection: None }.label()
    }

    #[test]
    fn a_label_has_the_reaction_and_its_code_without_details() {
        assert_eq!(label(ReactionKind::Disconnect, Some(0x82), Some("second CONNECT")), "DISCONNECT 0x82");
        assert_eq!(label(ReactionKind::Connack, Some(0x00), None), "second CONNACK 0x00");
        assert_eq!(label(ReactionKind::Ack, Some(0x97), None), "acknowledgement 0x97");
        assert_eq!(label(ReactionKind::OtherPacket, None, Some("PINGRESP")), "unexpected PINGRESP");
        assert_eq!(label(ReactionKind::OtherPacket, None, None), "unexpected packet");
        assert_eq!(label(ReactionKind::Garbage, None, Some("deadbeef")), "bytes that are no packet");
        assert_eq!(label(ReactionKind::NotTakenIn, None, Some("large")), "more than is taken in");
        assert_eq!(label(ReactionKind::UnfinishedPacket, None, Some("20")), "half a packet");
        assert_eq!(label(ReactionKind::Closed, None, None), "FIN");
        assert_eq!(label(ReactionKind::Reset, None, None), "RST");
    }

    #[test]
    fn every_outcome_has_its_json_name() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
            assert!(!outcome.is_ended() || outcome.is_evidence(), "the end of a connection is evidence");
        }
    }

    #[test]
    fn only_fin_and_rst_end_a_connection() {
        let ends = |kind: ReactionKind| kind.ends_connection();
        assert!(ends(ReactionKind::Closed) && ends(ReactionKind::Reset));
        for kind in [
            ReactionKind::Disconnect,
            ReactionKind::Connack,
            ReactionKind::Ack,
            ReactionKind::OtherPacket,
            ReactionKind::Garbage,
            ReactionKind::NotTakenIn,
            ReactionKind::UnfinishedPacket,
        ] {
            assert!(!ends(kind), "{kind:?}");
        }
    }

    #[test]
    fn a_connack_code_is_named_by_its_version() {
        assert_eq!(connack_code_text(ProtocolVersion::V5, 0x86), "0x86 Bad User Name or Password");
        let v311 = connack_code_text(ProtocolVersion::V3_1_1, 0x05);
        assert!(v311.starts_with("0x05 ") && v311 != "0x05 unknown", "{v311}");
        assert_eq!(connack_code_text(ProtocolVersion::V3_1_1, 0x86), "0x86 unknown");
        assert_eq!(connack_code_text(ProtocolVersion::V5, 0xFF), "0xFF unknown");
        let old = connack_code_text(ProtocolVersion::V5, 0x01);
        assert!(old.contains("return code of MQTT 3.1.1"), "a broker that knows no 5.0: {old}");
    }

    #[test]
    fn a_long_reason_string_is_truncated_visibly() {
        assert_eq!(reason_text("over quota"), "over quota");
        assert_eq!(reason_text(&"ä".repeat(256)), "ä".repeat(256));
        assert_eq!(reason_text(&"ä".repeat(60_000)), format!("{}…", "ä".repeat(256)));
    }

    #[test]
    fn hexadecimal_evidence_is_truncated_after_32_bytes() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0x00, 0x0F, 0xF0]), "000ff0");
        assert_eq!(hex(&[0xAB; 32]), "ab".repeat(32));
        assert_eq!(hex(&[0xAB; 33]), format!("{}…", "ab".repeat(32)));
    }
}
