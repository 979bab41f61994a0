//! Verdicts: what a check concludes from a record, on which statement of the standard it rests, and the
//! evidence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;

use crate::attempt::Case;
use crate::exit::Exit;
use crate::record::{Completeness, Record};

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// The claim holds.
    Holds,
    /// A numbered MUST or a threshold of the user's is broken.
    Violated,
    /// Nothing can be concluded.
    Inconclusive,
}

/// How strongly the standard, or the user, demands what a check claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// A numbered MUST: the only force that can be violated by a broker.
    Must,
    /// A SHOULD.
    Should,
    /// A MAY.
    May,
    /// Prose without a number.
    Prose,
    /// The run's own soundness.
    Run,
    /// A threshold that the user set.
    Threshold,
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The check, a claim in snake case such as `closes_on_second_connect`.
    pub check: String,
    /// The case that was judged; absent for the run as a whole.
    pub case: Option<Case>,
    /// What is concluded.
    pub conclusion: Conclusion,
    /// A deviation from what the standard merely allows or tells: a note beside `holds`.
    pub differs: Option<String>,
    /// Version and statement, such as `MQTT 5.0 [MQTT-3.1.0-2]`; absent where no numbered statement carries it.
    pub citation: Option<String>,
    /// How strongly it is demanded.
    pub force: Force,
    /// What was seen, in one sentence with its numbers.
    pub evidence: String,
    /// Attempts to look up in `attempts.ndjson`.
    pub examples: Vec<u64>,
}

impl Verdict {
    /// A verdict that the claim of `check` holds.
    #[must_use]
    pub fn holds(check: &str, force: Force, evidence: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            case: None,
            conclusion: Conclusion::Holds,
            differs: None,
            citation: None,
            force,
            evidence: evidence.into(),
            examples: Vec::new(),
        }
    }

    /// A verdict that nothing can be concluded about the claim of `check`.
    #[must_use]
    pub fn inconclusive(check: &str, force: Force, why: impl Into<String>) -> Self {
        Self { conclusion: Conclusion::Inconclusive, ..Self::holds(check, force, why) }
    }

    /// A verdict that `statement`, a numbered MUST, is broken. An accusation needs a number: there is one
    /// other way to make one, [`Verdict::violated_without_number`].
    #[must_use]
    pub fn violated(check: &str, statement: Statement, evidence: impl Into<String>) -> Self {
        Self { conclusion: Conclusion::Violated, ..Self::holds(check, Force::Must, evidence) }
            .citing(statement)
    }

    /// A verdict that a threshold which the user set was passed. It accuses nobody of breaking the standard.
    #[must_use]
    pub fn threshold_violated(check: &str, evidence: impl Into<String>) -> Self {
        Self { conclusion: Conclusion::Violated, ..Self::holds(check, Force::Threshold, evidence) }
    }

    /// A verdict that a client which keeps every rule of the standard is not served. Only for this: no numbered
    /// statement says it, because everything else in the standard is about it. `section` is where the standard of this
    /// version tells the rule that the client has kept, such as `4.9`.
    #[must_use]
    pub fn violated_without_number(
        check: &str,
        version: ProtocolVersion,
        section: &str,
        evidence: impl Into<String>,
    ) -> Self {
        Self {
            conclusion: Conclusion::Violated,
            citation: Some(format!("MQTT {version} §{section} (prose, no numbered statement)")),
            ..Self::holds(check, Force::Prose, evidence)
        }
    }

    /// A verdict that the broker does something else than what is merely allowed or told.
    #[must_use]
    pub fn differs(check: &str, force: Force, note: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { differs: Some(note.into()), ..Self::holds(check, force, evidence) }
    }

    /// Names the statement that it rests on.
    #[must_use]
    pub fn citing(mut self, statement: Statement) -> Self {
        self.citation = Some(statement.to_string());
        self
    }

    /// Names the case that was judged.
    #[must_use]
    pub fn on(mut self, case: &Case) -> Self {
        self.case = Some(case.clone());
        self
    }

    /// Names attempts to look at.
    #[must_use]
    pub fn with_examples(mut self, examples: impl IntoIterator<Item = u64>) -> Self {
        self.examples = examples.into_iter().collect();
        self
    }
}

/// A check: reads a record, gives verdicts, sees no socket.
pub type Check = fn(&Record) -> Vec<Verdict>;

/// Judges a record by the checks of its tool and those of every run. Replaces the verdicts it had.
pub fn judge(record: &mut Record, checks: &[Check]) {
    record.verdicts = checks.iter().flat_map(|check| check(record)).collect();
}

/// The exit code that a judged record comes to.
#[must_use]
pub fn exit_of(record: &Record) -> Exit {
    let has = |conclusion| record.verdicts.iter().any(|verdict| verdict.conclusion == conclusion);
    match record.completeness {
        Completeness::Interrupted => Exit::Interrupted,
        Completeness::RecordFailed => Exit::Environment,
        _ if has(Conclusion::Violated) => Exit::Violated,
        Completeness::Partial | Completeness::BrokerDown => Exit::Inconclusive,
        // No verdict at all is no success.
        Completeness::Complete if has(Conclusion::Inconclusive) || record.verdicts.is_empty() => {
            Exit::Inconclusive
        }
        Completeness::Complete => Exit::Holds,
    }
}
