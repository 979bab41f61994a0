//! Verdicts: what a check concludes from a record, on which statement of the standard it rests, and the
//! evidence. A claim holds only by samples that could have failed it: over none it is inconclusive, whatever the caller says.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attempt::Case;
use crate::check::Check;
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

/// One verdict. Made of a [`Finding`](crate::check::Finding), so that none holds over nothing.
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
    /// Names the case that was judged.
    #[must_use]
    pub fn on(mut self, case: &Case) -> Self {
        self.case = Some(case.clone());
        self
    }
}

/// Judges a record by the checks of its tool and those of every run. Replaces the verdicts it had.
pub fn judge(record: &mut Record, checks: &[Check]) {
    record.verdicts = checks.iter().flat_map(|check| check.verdicts(record)).collect();
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
