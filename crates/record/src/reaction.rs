//! What a broker did about one fault: every reaction in order, with its instant, and the class it ends in.

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
    /// A packet that answers nothing that was asked, or a PINGRESP to no PINGREQ.
    OtherPacket,
    /// Bytes that are no MQTT packet, or a packet that can't be read.
    Garbage,
    /// A packet that is larger than our Maximum Packet Size, or more at once than is kept: it and all that followed it was
    /// thrown away.
    NotTakenIn,
    /// A packet was begun, and the stream ended within it.
    UnfinishedPacket,
    /// The broker sent FIN.
    Closed,
    /// The broker sent RST, or the kernel gave the connection up.
    Reset,
}

impl ReactionKind {
    /// Whether this is the end of the connection.
    #[must_use]
    pub const fn ends_connection(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

/// When the connection that these reactions were seen of was ended, in µs since the run's start; absent when it was not.
#[must_use]
pub fn ended_at_us(reactions: &[Reaction]) -> Option<u64> {
    reactions.iter().find(|reaction| reaction.kind.ends_connection()).map(|reaction| reaction.at_us)
}

/// One reaction, when it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// What came.
    pub kind: ReactionKind,
    /// Reason Code or CONNACK return code; absent where the kind has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<u8>,
    /// When its first byte, or the end of stream, was shown to us, in µs since the run's start.
    pub at_us: u64,
    /// Reason String, packet name or the first bytes in hexadecimal; absent when there is nothing to add.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// On which connection of the attempt it came, from 0; absent where the attempt watches one alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<u32>,
}

impl Reaction {
    /// The reaction in a few words, such as `DISCONNECT 0x82` or `FIN`. Without instants and details, so that
    /// equal reactions count as equal.
    #[must_use]
    pub fn label(&self) -> String {
        let code = self.code.map(|code| format!(" 0x{code:02X}")).unwrap_or_default();
        match self.kind {
            ReactionKind::Disconnect => format!("DISCONNECT{code}"),
            ReactionKind::Connack => format!("second CONNACK{code}"),
            ReactionKind::Ack => format!("acknowledgement{code}"),
            ReactionKind::OtherPacket => {
                format!("unexpected {}", self.detail.as_deref().unwrap_or("packet"))
            }
            ReactionKind::Garbage => "bytes that are no packet".to_owned(),
            ReactionKind::NotTakenIn => "more than is taken in".to_owned(),
            ReactionKind::UnfinishedPacket => "half a packet".to_owned(),
            ReactionKind::Closed => "FIN".to_owned(),
            ReactionKind::Reset => "RST".to_owned(),
        }
    }
}

/// The class that an attempt ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The broker closed the connection by FIN.
    Closed,
    /// The broker closed the connection by RST.
    Reset,
    /// The broker still serves the client: proved by answers to a PINGREQ soon after the fault and to another
    /// one at the deadline.
    Tolerated,
    /// Neither an end nor service until the deadline.
    NoReaction,
    /// The client itself ended the connection, as its fault has it: what the broker did then is in the Will and the
    /// facts.
    Left,
    /// The broker itself went down; nothing can be said about its reaction.
    BrokerDown,
    /// The fault could not be carried out (no connection, CONNECT refused): nothing can be said.
    NotActed,
    /// The run was stopped before the attempt ended.
    Interrupted,
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

    /// The name used in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Tolerated => "tolerated",
            Self::NoReaction => "no_reaction",
            Self::Left => "left",
            Self::BrokerDown => "broker_down",
            Self::NotActed => "not_acted",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A CONNACK code in words: `0x86 Bad User Name or Password`, or the return code of 3.1.1. A broker that knows no
/// 5.0 may answer a CONNECT of 5.0 with a return code of 3.1.1.
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

/// A Reason String as it is kept: its beginning. A broker may send 64 KiB of it with every packet.
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
    fn a_label_names_the_reaction_and_its_code_and_leaves_out_what_makes_equal_ones_differ() {
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
    fn every_outcome_has_the_name_that_its_json_has() {
        for outcome in [
            Outcome::Closed,
            Outcome::Reset,
            Outcome::Tolerated,
            Outcome::NoReaction,
            Outcome::Left,
            Outcome::BrokerDown,
            Outcome::NotActed,
            Outcome::Interrupted,
        ] {
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
    fn a_connack_code_is_named_by_its_own_version() {
        assert_eq!(connack_code_text(ProtocolVersion::V5, 0x86), "0x86 Bad User Name or Password");
        let v311 = connack_code_text(ProtocolVersion::V3_1_1, 0x05);
        assert!(v311.starts_with("0x05 ") && v311 != "0x05 unknown", "{v311}");
        assert_eq!(connack_code_text(ProtocolVersion::V3_1_1, 0x86), "0x86 unknown");
        assert_eq!(connack_code_text(ProtocolVersion::V5, 0xFF), "0xFF unknown");
        let old = connack_code_text(ProtocolVersion::V5, 0x01);
        assert!(old.contains("return code of MQTT 3.1.1"), "a broker that knows no 5.0: {old}");
    }

    #[test]
    fn a_long_reason_string_is_kept_by_its_beginning_and_says_so() {
        assert_eq!(reason_text("over quota"), "over quota");
        assert_eq!(reason_text(&"ä".repeat(256)), "ä".repeat(256));
        assert_eq!(reason_text(&"ä".repeat(60_000)), format!("{}…", "ä".repeat(256)));
    }

    #[test]
    fn evidence_in_hexadecimal_is_cut_after_32_bytes_and_says_so() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0x00, 0x0F, 0xF0]), "000ff0");
        assert_eq!(hex(&[0xAB; 32]), "ab".repeat(32));
        assert_eq!(hex(&[0xAB; 33]), format!("{}…", "ab".repeat(32)));
    }
}
