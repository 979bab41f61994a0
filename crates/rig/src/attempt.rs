//! One attempt: one fault, once, by one client, with everything that was seen of it. One line of
//! `attempts.ndjson`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::phase::Phase;
use crate::reaction::{Outcome, Reaction};

/// Which fault, in which variant, with which protocol version: what results are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// The fault's id in the catalogue, such as `double-connect`.
    pub fault: String,
    /// The variant of the fault.
    pub variant: String,
    /// MQTT version, `3.1.1` or `5.0`.
    pub version: String,
}

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
    /// The Will; absent when none was set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub will: Option<WillSeen>,
    /// What only this fault knows about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub facts: BTreeMap<String, Fact>,
    /// Why the fault did not act or what else went wrong; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

impl Attempt {
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
        let end = self.reactions.iter().find(|reaction| reaction.kind.ends_connection())?;
        self.outcome.is_ended().then_some(end.at_us)
    }

    /// From the TCP handshake's end to the CONNACK, in µs. Absent when no CONNACK came.
    #[must_use]
    pub fn connack_time_us(&self) -> Option<u64> {
        Some(self.connack_us?.saturating_sub(self.established_us?))
    }

    /// From the end of the connection to the first copy of the Will, in µs. Absent when none came.
    #[must_use]
    pub fn will_time_us(&self) -> Option<u64> {
        let first = self.will.as_ref()?.seen_at_us.first()?;
        Some(first.saturating_sub(self.ended_at_us()?))
    }

    /// The reactions in words, in order, such as `DISCONNECT 0x82, FIN`; for an attempt without any, its
    /// outcome.
    #[must_use]
    pub fn sequence(&self) -> String {
        let mut labels: Vec<String> = self.reactions.iter().map(Reaction::label).collect();
        match self.outcome {
            Outcome::Closed | Outcome::Reset => {}
            Outcome::Tolerated => labels.push("still served".to_owned()),
            Outcome::NoReaction => labels.push("nothing until the deadline".to_owned()),
            Outcome::BrokerDown => labels.push("broker down".to_owned()),
            Outcome::NotActed => labels.push("fault not carried out".to_owned()),
            Outcome::Interrupted => labels.push("interrupted".to_owned()),
        }
        labels.join(", ")
    }
}
