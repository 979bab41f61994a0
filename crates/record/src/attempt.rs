//! One attempt: one fault, once, by one client, with all observations. One line of `attempts.ndjson`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use ungraceful_mqtt::ProtocolVersion;

use crate::ledger::LedgerCounts;
use crate::phase::Phase;
use crate::reaction::{Outcome, Reaction, ended_at_us};

/// Fault, variant and protocol version, by which results are grouped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// The fault, named by its mode, such as `double-connect`.
    #[serde(deserialize_with = "current_name")]
    pub fault: String,
    /// The variant of the fault.
    pub variant: String,
    /// MQTT version, `3.1.1` or `5.0`.
    pub version: String,
}

impl Case {
    /// The case of a fault, a variant and a version.
    #[must_use]
    pub fn new(fault: &str, variant: impl fmt::Display, version: impl fmt::Display) -> Self {
        Self { fault: fault.to_owned(), variant: variant.to_string(), version: version.to_string() }
    }

    /// The version of its clients; in a take-over between versions, the newcomer's. Absent when unknown.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.version.rsplit(BETWEEN_VERSIONS).next()?.parse().ok()
    }
}

/// Names of faults in records of `format_version` 1, each with its current name.
const FORMER_NAMES: [(&str, &str); 14] = [
    ("abrupt-drop", "drop"),
    ("auth-expiry", "token"),
    ("auth-revoked-live", "kick"),
    ("keepalive-edge", "edge"),
    ("keepalive-lapse", "silence"),
    ("offline-queue-fill", "offline-queue"),
    ("receive-max", "receive-maximum"),
    ("receive-quota-leak", "quota-leak"),
    ("reconnect-flap", "flap"),
    ("restart-herd", "herd"),
    ("takeover-dead-peer", "dead-peer"),
    ("takeover-duel", "duel"),
    ("takeover-race", "race"),
    ("takeover-storm", "storm"),
];

/// Reads the name of a fault, also in older records.
fn current_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let current = FORMER_NAMES.iter().find(|(former, _)| *former == name);
    Ok(current.map_or(name, |(_, current)| (*current).to_owned()))
}

/// Separates the versions of an older connection and of a newcomer that differ: `3.1.1-to-5.0`.
pub const BETWEEN_VERSIONS: &str = "-to-";

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} MQTT {}", self.fault, self.variant, self.version)
    }
}

/// The fate of an attempt's Will.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WillSeen {
    /// Whether the standard requires its publication, given how the connection ended.
    pub due: bool,
    /// When the witness received it, in µs since the run's start; one entry per copy.
    pub seen_at_us: Vec<u64>,
    /// Whether each copy was the Will of the first CONNECT (and not of a later one).
    pub of_first_connect: Vec<bool>,
    /// When the witness received copies before the attempt acted, in µs since the run's start. The attempt did not cause
    /// them, and they are in none of the above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen_before_us: Vec<u64>,
    /// How long the witness waited after the end of the connection, in µs.
    pub waited_us: u64,
}

/// A fact that only one fault knows about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fact {
    /// Yes or no.
    Flag(bool),
    /// A count.
    Count(u64),
    /// One of a few words.
    Word(String),
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Fact {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<String> for Fact {
    fn from(word: String) -> Self {
        Self::Word(word)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// All observations of one attempt. Instants are µs since the run's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Number of the attempt in the plan, from 0. In a merged record the attempts of each shard follow those of the one before.
    pub attempt: u64,
    /// The shard, from 1; absent in the record of one run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<u64>,
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The client's ClientID.
    pub client_id: String,
    /// The phase in which it was due.
    pub phase: Phase,
    /// When it was due.
    pub due_us: u64,
    /// When it was begun.
    pub started_us: u64,
    /// When the TCP handshake was complete; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub established_us: Option<u64>,
    /// When the handshakes of TLS and WebSocket over TCP were complete; absent over plain TCP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshaken_us: Option<u64>,
    /// When the accepting CONNACK was complete; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connack_us: Option<u64>,
    /// When the provoking byte had been handed to the kernel; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provoked_us: Option<u64>,
    /// The broker's reactions, in order.
    pub reactions: Vec<Reaction>,
    /// How it ended.
    pub outcome: Outcome,
    /// The Will; absent when none was set, or when the run stopped before it arrived.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub will: Option<WillSeen>,
    /// Facts of this fault.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub facts: BTreeMap<String, Fact>,
    /// Measures of this fault, by name. The name ends in the unit (`_us`, `_bytes`, `_permille`); without one it is a count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub measures: BTreeMap<String, u64>,
    /// When the attempt reached each milestone of its fault: µs from its due time on. Absent when it did not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub milestones: BTreeMap<String, u64>,
    /// The fate of this attempt's Application Messages, by QoS.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub messages: BTreeMap<u8, LedgerCounts>,
    /// Why the fault did not act, or another problem; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// The cause in the broker's log; absent when no line names one, or the log is not available. Always the last field: it is
    /// added after the run, because the broker logs after the attempt's end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub broker_log: Option<LoggedCause>,
}

/// The cause of an attempt's end in the broker's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedCause {
    /// Why its connection ended or was refused, by its most precise line, as in `ungraceful explain --list`; absent when
    /// unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// The phrase of that line, as in `run.json`; for an unknown broker, of the last line about the attempt. Absent when the
    /// log has too many phrases. Text of the broker: escape it before showing it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phrase: Option<String>,
}

impl Attempt {
    /// An attempt that has started but not acted. Times are in µs since the run's start.
    #[must_use]
    pub const fn begun(
        attempt: u64,
        case: Case,
        client_id: String,
        phase: Phase,
        due_us: u64,
        started_us: u64,
    ) -> Self {
        Self {
            attempt,
            shard: None,
            case,
            client_id,
            phase,
            due_us,
            started_us,
            established_us: None,
            handshaken_us: None,
            connack_us: None,
            provoked_us: None,
            reactions: Vec::new(),
            outcome: Outcome::NotActed,
            will: None,
            facts: BTreeMap::new(),
            measures: BTreeMap::new(),
            milestones: BTreeMap::new(),
            messages: BTreeMap::new(),
            trouble: None,
            broker_log: None,
        }
    }

    /// From the provoking byte to the first reaction, in µs. Absent without a reaction, or when the outcome says nothing about
    /// the broker.
    #[must_use]
    pub fn reaction_time_us(&self) -> Option<u64> {
        let first = self.reactions.first()?;
        self.outcome.is_evidence().then_some(first.at_us.saturating_sub(self.provoked_us?))
    }

    /// From the provoking byte to the end of stream, in µs. Absent when the broker did not end the connection.
    #[must_use]
    pub fn time_to_close_us(&self) -> Option<u64> {
        Some(self.ended_at_us()?.saturating_sub(self.provoked_us?))
    }

    /// When the broker ended the connection; absent when it did not.
    #[must_use]
    pub fn ended_at_us(&self) -> Option<u64> {
        ended_at_us(&self.reactions).filter(|_| self.outcome.is_ended())
    }

    /// From the TCP handshake's end to the end of those over it, in µs. Absent over plain TCP.
    #[must_use]
    pub fn handshake_time_us(&self) -> Option<u64> {
        Some(self.handshaken_us?.saturating_sub(self.established_us?))
    }

    /// From the last handshake's end to the CONNACK, in µs. Absent without a CONNACK.
    #[must_use]
    pub fn connack_time_us(&self) -> Option<u64> {
        Some(self.connack_us?.saturating_sub(self.handshaken_us.or(self.established_us)?))
    }

    /// From the provoking byte to the first copy of the first CONNECT's Will, in µs. Absent without one. Not from the end of
    /// the connection: a broker may publish the Will first.
    #[must_use]
    pub fn will_time_us(&self) -> Option<u64> {
        let will = self.will.as_ref()?;
        let mut copies = will.seen_at_us.iter().zip(&will.of_first_connect);
        let (first, _) = copies.find(|(_, of_first)| **of_first)?;
        let is_over = self.outcome == Outcome::Left || self.ended_at_us().is_some();
        is_over.then_some(())?;
        Some(first.saturating_sub(self.provoked_us?))
    }

    /// The reactions in order, such as `DISCONNECT 0x82, FIN`, or the outcome if there were none. For several connections,
    /// the sequences by frequency: `7 × DISCONNECT 0x8E, FIN; 1 × RST`.
    #[must_use]
    pub fn sequence(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Closed | Outcome::Reset => None,
            Outcome::Tolerated => Some("still served"),
            Outcome::NoReaction => Some("nothing until the deadline"),
            Outcome::Left => Some("client left"),
            Outcome::BrokerDown => Some("broker down"),
            Outcome::NotActed => Some("fault not carried out"),
            Outcome::Interrupted => Some("interrupted"),
        };
        let (mut parts, between) = match self.reactions.iter().any(|reaction| reaction.connection.is_some()) {
            true => (self.sequences_of_connections(), "; "),
            false => (self.reactions.iter().map(Reaction::label).collect(), ", "),
        };
        parts.extend(outcome.map(ToOwned::to_owned));
        parts.join(between)
    }

    /// The sequences of the connections, with their counts.
    fn sequences_of_connections(&self) -> Vec<String> {
        let mut of_connection: BTreeMap<Option<u32>, Vec<String>> = BTreeMap::new();
        for reaction in &self.reactions {
            of_connection.entry(reaction.connection).or_default().push(reaction.label());
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for labels in of_connection.values() {
            *counts.entry(labels.join(", ")).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        counts.into_iter().map(|(sequence, count)| format!("{count} × {sequence}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Attempt, Case, Fact, LoggedCause, WillSeen};
    use crate::phase::Phase;
    use crate::reaction::{Outcome, Reaction, ReactionKind};

    fn reaction(kind: ReactionKind, code: Option<u8>, at_us: u64) -> Reaction {
        Reaction { kind, code, at_us, detail: None, connection: None }
    }

    /// Established at 100, accepted at 350, provoked at 1,000; nothing came.
    fn attempt(outcome: Outcome, reactions: Vec<Reaction>) -> Attempt {
        let case =
            Case { fault: "double-connect".into(), variant: "delayed".into(), version: "3.1.1".into() };
        Attempt {
            established_us: Some(100),
            connack_us: Some(350),
            provoked_us: Some(1_000),
            reactions,
            outcome,
            ..Attempt::begun(7, case, "ug0x000007".into(), Phase::Fault, 40, 50)
        }
    }

    fn disconnect_then_fin(outcome: Outcome) -> Attempt {
        attempt(
            outcome,
            vec![
                reaction(ReactionKind::Disconnect, Some(0x82), 1_210),
                reaction(ReactionKind::Closed, None, 1_290),
            ],
        )
    }

    #[test]
    fn reaction_time_ends_at_the_first_reaction_and_closing_time_at_the_end() {
        let closed = disconnect_then_fin(Outcome::Closed);
        assert_eq!((closed.reaction_time_us(), closed.time_to_close_us()), (Some(210), Some(290)));
        assert_eq!(closed.ended_at_us(), Some(1_290));
        let served = attempt(Outcome::Tolerated, vec![reaction(ReactionKind::Connack, Some(0), 1_500)]);
        assert_eq!((served.reaction_time_us(), served.time_to_close_us()), (Some(500), None));
    }

    #[test]
    fn an_attempt_that_is_no_evidence_has_no_times_of_the_broker() {
        for outcome in [Outcome::BrokerDown, Outcome::NotActed, Outcome::Interrupted] {
            let attempt = disconnect_then_fin(outcome);
            assert_eq!((attempt.reaction_time_us(), attempt.time_to_close_us()), (None, None), "{outcome:?}");
            assert_eq!(attempt.ended_at_us(), None, "{outcome:?}");
        }
    }

    #[test]
    fn without_a_provoking_byte_or_a_reaction_there_is_no_time() {
        let not_provoked = Attempt { provoked_us: None, ..disconnect_then_fin(Outcome::Closed) };
        assert_eq!((not_provoked.reaction_time_us(), not_provoked.time_to_close_us()), (None, None));
        let silent = attempt(Outcome::NoReaction, Vec::new());
        assert_eq!((silent.reaction_time_us(), silent.time_to_close_us()), (None, None));
    }

    #[test]
    fn a_reaction_that_was_read_before_the_write_returned_took_no_time_and_not_less() {
        let early = attempt(Outcome::Reset, vec![reaction(ReactionKind::Reset, None, 999)]);
        assert_eq!((early.reaction_time_us(), early.time_to_close_us()), (Some(0), Some(0)));
    }

    #[test]
    fn connack_time_starts_at_the_last_handshake() {
        let accepted = attempt(Outcome::Closed, Vec::new());
        assert_eq!(accepted.connack_time_us(), Some(250));
        assert_eq!(accepted.handshake_time_us(), None);
        let secured = Attempt { handshaken_us: Some(180), ..accepted.clone() };
        assert_eq!((secured.handshake_time_us(), secured.connack_time_us()), (Some(80), Some(170)));
        assert_eq!(Attempt { connack_us: None, ..accepted.clone() }.connack_time_us(), None);
        assert_eq!(Attempt { established_us: None, ..accepted }.connack_time_us(), None);
    }

    fn with_will(outcome: Outcome, seen: &[(u64, bool)]) -> Attempt {
        let (seen_at_us, of_first_connect) = seen.iter().copied().unzip();
        let will =
            WillSeen { due: true, seen_at_us, of_first_connect, waited_us: 5_000, ..WillSeen::default() };
        Attempt { will: Some(will), ..disconnect_then_fin(outcome) }
    }

    #[test]
    fn will_time_is_that_of_the_first_connects_will() {
        assert_eq!(with_will(Outcome::Closed, &[(1_700, true), (1_900, true)]).will_time_us(), Some(700));
        assert_eq!(with_will(Outcome::Closed, &[(1_300, false), (1_700, true)]).will_time_us(), Some(700));
        assert_eq!(with_will(Outcome::Closed, &[(1_300, false)]).will_time_us(), None);
        assert_eq!(with_will(Outcome::Closed, &[]).will_time_us(), None);
        assert_eq!(with_will(Outcome::Tolerated, &[(1_700, true)]).will_time_us(), None, "not ended");
        let left = Attempt { reactions: Vec::new(), ..with_will(Outcome::Left, &[(1_700, true)]) };
        assert_eq!(left.will_time_us(), Some(700), "the client ended it");
        assert_eq!(disconnect_then_fin(Outcome::Closed).will_time_us(), None, "none set");
    }

    #[test]
    fn a_sequence_has_every_reaction_in_order_and_the_outcome() {
        assert_eq!(disconnect_then_fin(Outcome::Closed).sequence(), "DISCONNECT 0x82, FIN");
        let connack = || vec![reaction(ReactionKind::Connack, Some(0), 1_001)];
        assert_eq!(attempt(Outcome::Tolerated, connack()).sequence(), "second CONNACK 0x00, still served");
        for (outcome, words) in [
            (Outcome::Tolerated, "still served"),
            (Outcome::NoReaction, "nothing until the deadline"),
            (Outcome::Left, "client left"),
            (Outcome::BrokerDown, "broker down"),
            (Outcome::NotActed, "fault not carried out"),
            (Outcome::Interrupted, "interrupted"),
        ] {
            assert_eq!(attempt(outcome, Vec::new()).sequence(), words);
        }
    }

    #[test]
    fn reactions_are_grouped_by_connection() {
        let on = |connection, kind, code, at_us| Reaction {
            connection: Some(connection),
            ..reaction(kind, code, at_us)
        };
        let reactions = vec![
            on(2, ReactionKind::Disconnect, Some(0x8E), 1_100),
            on(0, ReactionKind::Disconnect, Some(0x8E), 1_110),
            on(1, ReactionKind::Reset, None, 1_120),
            on(2, ReactionKind::Closed, None, 1_130),
            on(0, ReactionKind::Closed, None, 1_140),
        ];
        let raced = attempt(Outcome::Closed, reactions.clone());
        assert_eq!(raced.sequence(), "2 × DISCONNECT 0x8E, FIN; 1 × RST");
        let raced = attempt(Outcome::Tolerated, reactions);
        assert_eq!(raced.sequence(), "2 × DISCONNECT 0x8E, FIN; 1 × RST; still served");
        assert_eq!(raced.reaction_time_us(), Some(100), "the first of all");
        let line = serde_json::to_value(&raced).unwrap();
        assert_eq!(line["reactions"][2]["connection"], 1);
    }

    #[test]
    fn an_attempt_survives_a_round_trip_through_json() {
        let full = Attempt {
            facts: BTreeMap::from([
                ("flag".into(), Fact::Flag(true)),
                ("count".into(), Fact::Count(u64::MAX)),
                ("word".into(), Fact::Word("7".into())),
                ("another word".into(), Fact::Word("true".into())),
            ]),
            trouble: Some("a \"quoted\"\nline".into()),
            broker_log: Some(LoggedCause { cause: Some("double-connect".into()), phrase: None }),
            ..with_will(Outcome::Closed, &[(1_700, true), (1_900, false)])
        };
        let least = Attempt {
            established_us: None,
            handshaken_us: None,
            connack_us: None,
            provoked_us: None,
            ..attempt(Outcome::NotActed, Vec::new())
        };
        for attempt in [full, least] {
            let line = serde_json::to_string(&attempt).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Attempt>(&line).unwrap(), attempt, "{line}");
        }
    }

    #[test]
    fn absent_fields_are_skipped_in_json_and_units_are_in_the_names() {
        let line = serde_json::to_value(attempt(Outcome::NoReaction, Vec::new())).unwrap();
        let expected = serde_json::json!({
            "attempt": 7, "fault": "double-connect", "variant": "delayed", "version": "3.1.1",
            "client_id": "ug0x000007", "phase": "fault", "due_us": 40, "started_us": 50, "established_us": 100,
            "connack_us": 350, "provoked_us": 1_000, "reactions": [], "outcome": "no_reaction",
        });
        assert_eq!(line, expected);
    }
}
