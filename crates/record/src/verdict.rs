//! Verdicts: the conclusion of a check, its statement of the standard, and the evidence. Without samples that could have
//! failed it, a claim is always inconclusive.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::accepted::{Accepted, accept};
use crate::attempt::Case;
use crate::check::Check;
use crate::exit::Exit;
use crate::run::{Completeness, Record};
use crate::threshold::Threshold;

/// The conclusion of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// The claim holds.
    Holds,
    /// A numbered MUST or a threshold of the user is violated.
    Violated,
    /// Nothing can be concluded.
    Inconclusive,
}

/// How strongly the standard or the user demands a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// A numbered MUST: the only force that a broker can violate.
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

/// Reads the name of a check, also in older records.
fn current_check<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(match name.strip_prefix("tells_") {
        Some("session_present_truly") => "reports_session_present_correctly".to_owned(),
        Some(what) => format!("reports_{what}"),
        None => name,
    })
}

/// One verdict, made from a [`Finding`](crate::check::Finding), so that none holds without samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Verdict {
    /// The check, a claim in snake case such as `closes_on_second_connect`.
    #[serde(deserialize_with = "current_check")]
    pub check: String,
    /// The judged case; absent for the run as a whole.
    pub case: Option<Case>,
    /// The conclusion.
    pub conclusion: Conclusion,
    /// A deviation from what the standard only allows or describes: a note beside `holds`.
    pub differs: Option<String>,
    /// Version and statement, such as `MQTT 5.0 [MQTT-3.1.0-2]`; absent without a numbered statement.
    pub citation: Option<String>,
    /// The force of the claim.
    pub force: Force,
    /// Number of samples (attempts, messages, connections) that could have failed the claim; absent unless it holds, and in
    /// older records.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub samples: Option<NonZeroU64>,
    /// The evidence in one sentence with its numbers.
    pub evidence: String,
    /// Why the user accepts this violation; absent for all others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<String>,
    /// Attempts to look up in `attempts.ndjson`.
    pub examples: Vec<u64>,
}

impl Verdict {
    /// Whether it is a violation that the user does not accept.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        self.conclusion == Conclusion::Violated && self.accepted.is_none()
    }

    /// Sets the judged case.
    #[must_use]
    pub fn on(mut self, case: &Case) -> Self {
        self.case = Some(case.clone());
        self
    }
}

/// Judges a record by these checks. Replaces its verdicts.
pub fn judge(record: &mut Record, checks: &[Check]) {
    record.verdicts = checks.iter().flat_map(|check| check.verdicts(record)).collect();
}

/// Judges a record by the checks of its mode and the user's thresholds, and marks the violations that the user accepts.
pub fn conclude(record: &mut Record, checks: &[Check], thresholds: &[Threshold], accepted: &[Accepted]) {
    judge(record, checks);
    let of_user: Vec<_> = thresholds.iter().map(|threshold| threshold.judge(record)).collect();
    record.verdicts.extend(of_user);
    let confidence = record.load.as_ref().and_then(|load| load.confidence.as_ref());
    let of_confidence = confidence.map(|confidence| confidence.judge(record));
    record.verdicts.extend(of_confidence);
    accept(record, accepted);
}

/// The exit code of a judged record.
#[must_use]
pub fn exit_of(record: &Record) -> Exit {
    let has = |conclusion| record.verdicts.iter().any(|verdict| verdict.conclusion == conclusion);
    match record.completeness {
        Completeness::Interrupted => Exit::Interrupted,
        Completeness::RecordFailed => Exit::Environment,
        _ if record.verdicts.iter().any(Verdict::is_violation) => Exit::Violated,
        Completeness::Partial | Completeness::BrokerDown | Completeness::OutOfTime => Exit::Inconclusive,
        // No verdict at all is no success.
        Completeness::Complete if has(Conclusion::Inconclusive) || record.verdicts.is_empty() => {
            Exit::Inconclusive
        }
        Completeness::Complete => Exit::Holds,
    }
}

/// Why a judged record comes to its exit code, in words.
#[must_use]
pub fn why_exit(record: &Record) -> String {
    let exit = exit_of(record);
    let count = |is_one: &dyn Fn(&Verdict) -> bool| record.verdicts.iter().filter(|of| is_one(of)).count();
    let counted = |count: usize, one: &str, several: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    };
    match (exit, record.completeness) {
        (Exit::Holds, _) => match count(&|verdict| verdict.accepted.is_some()) {
            0 => exit.meaning().to_owned(),
            known => {
                format!(
                    "{}, but for {}",
                    exit.meaning(),
                    counted(known, "known deviation", "known deviations")
                )
            }
        },
        (Exit::Inconclusive, Completeness::BrokerDown) => "inconclusive: the broker went down".to_owned(),
        (Exit::Inconclusive, Completeness::OutOfTime) => {
            "inconclusive: the run reached its time limit".to_owned()
        }
        (Exit::Inconclusive, Completeness::Complete) => {
            match count(&|verdict| verdict.conclusion == Conclusion::Inconclusive) {
                0 => "inconclusive: nothing was judged".to_owned(),
                open => {
                    let checks = counted(open, "check gave", "checks gave");
                    format!("inconclusive: {checks} no answer; the findings say why")
                }
            }
        }
        (Exit::Inconclusive, _) => "inconclusive: the run is not complete".to_owned(),
        _ => exit.meaning().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn an_older_record_has_the_current_names_of_faults_and_checks() {
        for (check, current) in [
            ("tells_session_present_truly", "reports_session_present_correctly"),
            ("tells_the_reason", "reports_the_reason"),
            ("publishes_the_will", "publishes_the_will"),
        ] {
            let verdict = serde_json::json!({
                "check": check,
                "case": { "fault": "takeover-storm", "variant": "clean", "version": "5.0" },
                "conclusion": "holds", "differs": null, "citation": null, "force": "prose",
                "evidence": "", "examples": [],
            });
            let read: Verdict = serde_json::from_value(verdict).unwrap();
            assert_eq!((&*read.check, &*read.case.unwrap().fault), (current, "storm"));
        }
    }
}
