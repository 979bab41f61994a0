//! Verdicts: what a check concludes from a record, on which statement of the standard it rests, and the
//! evidence. A claim holds only by samples that could have failed it: over none it is inconclusive, whoever calls.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;

use crate::attempt::Case;
use crate::exit::Exit;
use crate::run::{Completeness, Record};

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

/// One verdict. Only its constructors make one, so that none holds over nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
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
    /// How many samples (attempts, messages, connections) the claim was judged by, each of which could have failed it;
    /// absent unless it holds, and in older records.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub samples: Option<NonZeroU64>,
    /// What was seen, in one sentence with its numbers.
    pub evidence: String,
    /// Attempts to look up in `attempts.ndjson`.
    pub examples: Vec<u64>,
}

impl Verdict {
    fn new(check: &str, force: Force, conclusion: Conclusion, evidence: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            case: None,
            conclusion,
            differs: None,
            citation: None,
            force,
            samples: None,
            evidence: evidence.into(),
            examples: Vec::new(),
        }
    }

    /// A verdict that the claim of `check` holds for all of `samples`: as many as could have failed it. Without any it
    /// is inconclusive.
    #[must_use]
    pub fn holds(check: &str, force: Force, samples: u64, evidence: impl Into<String>) -> Self {
        let Some(samples) = NonZeroU64::new(samples) else {
            let why = format!("there was nothing to judge: {}", evidence.into());
            return Self::inconclusive(check, force, why);
        };
        Self { samples: Some(samples), ..Self::new(check, force, Conclusion::Holds, evidence) }
    }

    /// A verdict that nothing can be concluded about the claim of `check`.
    #[must_use]
    pub fn inconclusive(check: &str, force: Force, why: impl Into<String>) -> Self {
        Self::new(check, force, Conclusion::Inconclusive, why)
    }

    /// A verdict that `statement`, a numbered MUST, is broken. An accusation needs a number: there is one
    /// other way to make one, [`Verdict::violated_without_number`].
    #[must_use]
    pub fn violated(check: &str, statement: Statement, evidence: impl Into<String>) -> Self {
        Self::new(check, Force::Must, Conclusion::Violated, evidence).citing(statement)
    }

    /// A verdict that a threshold which the user set was passed. It accuses nobody of breaking the standard.
    #[must_use]
    pub fn threshold_violated(check: &str, evidence: impl Into<String>) -> Self {
        Self::new(check, Force::Threshold, Conclusion::Violated, evidence)
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
            citation: Some(format!("MQTT {version} §{section} (prose, no numbered statement)")),
            ..Self::new(check, Force::Prose, Conclusion::Violated, evidence)
        }
    }

    /// A verdict that the broker does something else than what is merely allowed or told, in some of `samples`. Without
    /// any it is inconclusive.
    #[must_use]
    pub fn differs(
        check: &str,
        force: Force,
        samples: u64,
        note: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        let verdict = Self::holds(check, force, samples, evidence);
        Self { differs: verdict.samples.map(|_| note.into()), ..verdict }
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
        Completeness::Partial | Completeness::BrokerDown | Completeness::OutOfTime => Exit::Inconclusive,
        // No verdict at all is no success.
        Completeness::Complete if has(Conclusion::Inconclusive) || record.verdicts.is_empty() => {
            Exit::Inconclusive
        }
        Completeness::Complete => Exit::Holds,
    }
}
