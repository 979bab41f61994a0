//! One attempt: one fault, once, by one client, with everything that was seen of it. One line of
//! `attempts.ndjson`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use ungraceful_mqtt::ProtocolVersion;

use crate::ledger::LedgerCounts;
use crate::phase::Phase;
use crate::reaction::{Outcome, Reaction, ended_at_us};

/// Which fault, in which variant, with which protocol version: what results are grouped by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// The fault, by the name of its mode, such as `double-connect`.
    #[serde(deserialize_with = "current_name")]
    pub fault: String,
    /// The variant of the fault.
    pub variant: String,
    /// MQTT version, `3.1.1` or `5.0`.
    pub version: String,
}

impl Case {
    /// The case of a fault in a variant, spoken in a version.
    #[must_use]
    pub fn new(fault: &str, variant: impl fmt::Display, version: impl fmt::Display) -> Self {
        Self { fault: fault.to_owned(), variant: variant.to_string(), version: version.to_string() }
    }

    /// The version that its clients speak; where a client of one version takes over from one of the other, the newcomer's.
    /// Absent when the record names none that is known.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.version.rsplit(BETWEEN_VERSIONS).next()?.parse().ok()
    }
}

/// Names that faults had in records of `format_version` 1, each with the one that it has now: that of its mode.
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

/// Reads the name of a fault, also from an older record.
fn current_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let current = FORMER_NAMES.iter().find(|(former, _)| *former == name);
    Ok(current.map_or(name, |(_, current)| (*current).to_owned()))
}

/// Stands between the versions of an older connection and of a newcomer, where they differ: `3.1.1-to-5.0`.
pub const BETWEEN_VERSIONS: &str = "-to-";

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} MQTT {}", self.fault, self.variant, self.version)
    }
}

/// What became of a Will that was set by an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WillSeen {
    /// Whether the standard wants it published, by how the connection ended.
    pub due: bool,
    /// When the witness received it, in µs since the run's start; more than one entry means more than once.
    pub seen_at_us: Vec<u64>,
    /// Whether each one was the Will of the first CONNECT (and not of a later one).
    pub of_first_connect: Vec<bool>,
    /// When the witness received what came before the attempt's own act, in µs since the run's start: nothing that the
    /// attempt brought about, and in none of the above.
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

/// Everything that was seen of one attempt. Instants are µs since the run's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Number of the attempt in the plan, from 0.
    pub attempt: u64,
    /// What was attempted.
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
    /// When the TCP handshake was complete; absent when it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub established_us: Option<u64>,
    /// When the CONNACK that accepted the client was complete; absent when none came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connack_us: Option<u64>,
    /// When the provoking byte had been handed to the kernel; absent when it was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provoked_us: Option<u64>,
    /// What the broker did then, in order.
    pub reactions: Vec<Reaction>,
    /// The class it ended in.
    pub outcome: Outcome,
    /// The Will; absent when none was set, or when the run stopped before it came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub will: Option<WillSeen>,
    /// What only this fault knows about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub facts: BTreeMap<String, Fact>,
    /// What only this fault measures, by name. The name ends in its unit (`_us`, `_bytes`, `_permille`); without one
    /// it is a count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub measures: BTreeMap<String, u64>,
    /// When this attempt reached what every attempt of its fault is to reach, by name: µs from its due time on. Absent
    /// when it did not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub milestones: BTreeMap<String, u64>,
    /// What became of the Application Messages of this attempt, by QoS.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub messages: BTreeMap<u8, LedgerCounts>,
    /// Why the fault did not act or what else went wrong; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// What the broker's log tells of it; absent when no line tells a cause, or the log is not known. Always the last field:
    /// it is added when the run has ended, because the broker writes later than the attempt ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub broker_log: Option<ToldByLog>,
}

/// What the broker's log tells of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToldByLog {
    /// Why its connection ended or was refused, as `ungraceful explain --list` names it, by the line that says most;
    /// absent when no line tells a cause that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// That line without what differs from line to line, as in the phrases of `run.json`; where the broker's lines are not
    /// known, the last line about it. Absent when the log has too many phrases. Text of the broker: escape it before
    /// showing it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phrase: Option<String>,
}

impl Attempt {
    /// An attempt that has begun, and has not acted yet. Times are in µs since the run's start.
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
            case,
            client_id,
            phase,
            due_us,
            started_us,
            established_us: None,
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

    /// The reaction time in µs: provoking byte, until the first reaction. Absent when there was none, or when
    /// the outcome says nothing about the broker.
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

    /// From the TCP handshake's end to the CONNACK, in µs. Absent when no CONNACK came.
    #[must_use]
    pub fn connack_time_us(&self) -> Option<u64> {
        Some(self.connack_us?.saturating_sub(self.established_us?))
    }

    /// From the provoking byte to the first copy of the Will of the first CONNECT, in µs. Absent when that Will did
    /// not come. Not from the end of the connection: a broker may publish the Will first.
    #[must_use]
    pub fn will_time_us(&self) -> Option<u64> {
        let will = self.will.as_ref()?;
        let mut copies = will.seen_at_us.iter().zip(&will.of_first_connect);
        let (first, _) = copies.find(|(_, of_first)| **of_first)?;
        let is_over = self.outcome == Outcome::Left || self.ended_at_us().is_some();
        is_over.then_some(())?;
        Some(first.saturating_sub(self.provoked_us?))
    }

    /// The reactions in words, in order, such as `DISCONNECT 0x82, FIN`; for an attempt without any, its outcome. Where
    /// several connections were watched, what each saw, the most frequent first: `7 × DISCONNECT 0x8E, FIN; 1 × RST`.
    #[must_use]
    pub fn sequence(&self) -> String {
        let came_to = match self.outcome {
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
        parts.extend(came_to.map(ToOwned::to_owned));
        parts.join(between)
    }

    /// What the connections saw, each with the number of those that saw it.
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

    use super::{Attempt, Case, Fact, ToldByLog, WillSeen};
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
    fn the_reaction_time_ends_with_the_first_reaction_and_the_time_to_close_with_the_end_of_stream() {
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
    fn the_time_to_connack_starts_with_the_handshake() {
        let accepted = attempt(Outcome::Closed, Vec::new());
        assert_eq!(accepted.connack_time_us(), Some(250));
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
    fn the_time_of_a_will_is_that_of_the_first_connects_will() {
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
    fn a_sequence_names_every_reaction_in_order_and_what_the_attempt_came_to() {
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
    fn reactions_of_several_connections_stay_with_theirs() {
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
    fn a_line_of_attempts_reads_back_as_the_attempt_it_was_written_from() {
        let full = Attempt {
            facts: BTreeMap::from([
                ("flag".into(), Fact::Flag(true)),
                ("count".into(), Fact::Count(u64::MAX)),
                ("word".into(), Fact::Word("7".into())),
                ("another word".into(), Fact::Word("true".into())),
            ]),
            trouble: Some("a \"quoted\"\nline".into()),
            broker_log: Some(ToldByLog { cause: Some("double-connect".into()), phrase: None }),
            ..with_will(Outcome::Closed, &[(1_700, true), (1_900, false)])
        };
        let least = Attempt {
            established_us: None,
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
    fn a_line_of_attempts_leaves_out_what_is_absent_and_names_units() {
        let line = serde_json::to_value(attempt(Outcome::NoReaction, Vec::new())).unwrap();
        let expected = serde_json::json!({
            "attempt": 7, "fault": "double-connect", "variant": "delayed", "version": "3.1.1",
            "client_id": "ug0x000007", "phase": "fault", "due_us": 40, "started_us": 50, "established_us": 100,
            "connack_us": 350, "provoked_us": 1_000, "reactions": [], "outcome": "no_reaction",
        });
        assert_eq!(line, expected);
    }
}
