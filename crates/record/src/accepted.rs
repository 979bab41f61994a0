//! Known deviations that the user accepts, so that they fail no pipeline: `CHECK[@CASE]=REASON`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attempt::Case;
use crate::run::Record;
use crate::verdict::{Conclusion, Verdict};

/// A known deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The check, such as `closes_on_second_connect`.
    pub check: String,
    /// Words of the cases that it is accepted in: fault, variant or version, such as `clean/5.0`; absent for all.
    pub case: Option<String>,
    /// Why, in the user's words.
    pub reason: String,
    /// Verdicts of this run that it covers; 0 when the deviation did not show.
    #[serde(default)]
    pub covers: u64,
}

impl FromStr for Accepted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "{text:?} {what}; write CHECK=REASON, or CHECK@CASE=REASON with fault, variant or version of the case, such as \
                 'closes_on_second_connect@identical/5.0=ticket 123'"
            )
        };
        let (finding, reason) = text.split_once('=').ok_or_else(|| wrong("has no reason"))?;
        let (check, case) = match finding.split_once('@') {
            Some((check, case)) => (check, Some(case.trim().to_owned())),
            None => (finding, None),
        };
        if reason.trim().is_empty() {
            return Err(wrong("has no reason"));
        }
        if check.trim().is_empty() {
            return Err(wrong("names no check"));
        }
        if case.as_deref().is_some_and(|case| words(case).next().is_none()) {
            return Err(wrong("names no case behind the @"));
        }
        Ok(Self { check: check.trim().to_owned(), case, reason: reason.trim().to_owned(), covers: 0 })
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.check)?;
        self.case.iter().try_for_each(|case| write!(f, "@{case}"))
    }
}

/// The words that choose cases. Reports write `storm clean on MQTT 5.0`.
fn words(case: &str) -> impl Iterator<Item = &str> {
    let all = case.split(|character: char| character == '/' || character.is_whitespace());
    all.filter(|word| !matches!(*word, "" | "on" | "MQTT"))
}

impl Accepted {
    /// Whether it is accepted in this case; absent for the run as a whole.
    fn is_for(&self, case: Option<&Case>) -> bool {
        let Some(wanted) = &self.case else { return true };
        case.is_some_and(|case| {
            words(wanted)
                .all(|word| [&case.fault, &case.variant, &case.version].iter().any(|part| *part == word))
        })
    }

    fn is_about(&self, verdict: &Verdict) -> bool {
        self.check == verdict.check && self.is_for(verdict.case.as_ref())
    }

    /// How the deviation stands, when it did not show in this run; absent when it did.
    #[must_use]
    pub fn gone(&self, record: &Record) -> Option<&'static str> {
        let about: Vec<&Verdict> = record.verdicts.iter().filter(|verdict| self.is_about(verdict)).collect();
        let is_any = |conclusion| about.iter().any(|verdict| verdict.conclusion == conclusion);
        match self.covers {
            0 if about.is_empty() => Some("no check of this run is about it"),
            0 if is_any(Conclusion::Inconclusive) => Some("this run could not conclude it"),
            0 => Some("it did not show, the claim holds now: leave it out"),
            _ => None,
        }
    }
}

/// Marks the violations of a judged record that are known, and keeps the list.
pub fn accept(record: &mut Record, known: &[Accepted]) {
    record.accepted = known.iter().map(|known| Accepted { covers: 0, ..known.clone() }).collect();
    for verdict in record.verdicts.iter_mut().filter(|of| of.conclusion == Conclusion::Violated) {
        let mut known = record.accepted.iter_mut();
        if let Some(known) = known.find(|known| known.is_about(verdict)) {
            known.covers += 1;
            verdict.accepted = Some(known.reason.clone());
        }
    }
}
