//! Shared by the tests of several crates: records to which a test adds the one thing it is about, and assertions about
//! verdicts, which panic when they fail. Only for tests, which enable the feature `testing`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::attempt::{Attempt, Case};
use crate::fact::{FactOf, Measure};
use crate::reaction::Outcome;
use crate::run::{
    BrokerRecord, BystandersRecord, CaseRecord, Completeness, FORMAT_VERSION, Record, ToolRecord,
};
use crate::verdict::{Conclusion, Force, Verdict};

/// A complete run without any observation.
#[must_use]
pub fn empty_record() -> Record {
    let broker = BrokerRecord {
        target: "127.0.0.1:1883".into(),
        address: "127.0.0.1:1883".into(),
        ..BrokerRecord::default()
    };
    Record {
        format_version: FORMAT_VERSION,
        completeness: Completeness::Complete,
        tool: ToolRecord {
            name: "ungraceful-test".into(),
            version: "0".into(),
            chooses_variants: true,
            arguments: Vec::new(),
            chooses_faults: false,
            ..ToolRecord::default()
        },
        seed: 1,
        started_utc: "2026-01-01T00:00:00.000Z".into(),
        broker,
        ..Record::default()
    }
}

/// A case with these numbers of attempts per outcome and nothing else.
#[must_use]
pub fn case(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> CaseRecord {
    let finished = outcomes.iter().map(|(_, count)| count).sum();
    CaseRecord {
        case: Case { fault: fault.into(), variant: variant.into(), version: version.into() },
        planned: finished,
        finished,
        outcomes: outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), *count)).collect(),
        ..CaseRecord::default()
    }
}

/// Sets the number of attempts with this value for the fact. Panics on an invalid value.
#[track_caller]
pub fn with_fact<V: FromStr>(case: &mut CaseRecord, fact: FactOf<V>, value: impl Display, attempts: u64) {
    let value = value.to_string();
    assert!(value.parse::<V>().is_ok(), "{value:?} is no value of {}", fact.name());
    case.facts.entry(fact.name().to_owned()).or_default().insert(value, attempts);
}

/// The attempt's value for the fact; absent without a valid one.
#[must_use]
pub fn fact_of<V: FromStr>(attempt: &Attempt, fact: FactOf<V>) -> Option<V> {
    attempt.facts.get(fact.name())?.to_string().parse().ok()
}

/// The attempt's value for the measure.
#[must_use]
pub fn measure_of(attempt: &Attempt, measure: Measure) -> Option<u64> {
    attempt.measures.get(&measure.to_string()).copied()
}

/// Facts by their text in files.
pub trait FactsByText {
    /// Number of attempts with `value` for the fact `name`.
    fn fact(&self, name: &str, value: &str) -> u64;
}

impl FactsByText for CaseRecord {
    fn fact(&self, name: &str, value: &str) -> u64 {
        self.facts.get(name).and_then(|counts| counts.get(value)).copied().unwrap_or(0)
    }
}

/// One pair of bystanders on `version` that lost this many connections by FIN.
#[must_use]
pub fn bystanders_that_lost_connections(version: &str, count: u64) -> BystandersRecord {
    BystandersRecord {
        pairs: 1,
        rate_per_pair: 10,
        version: version.into(),
        connections_lost: if count == 0 { BTreeMap::new() } else { BTreeMap::from([("FIN".into(), count)]) },
        ..BystandersRecord::default()
    }
}

/// Like [`Iterator::all`], but panics without items: the assertion would pass whatever was observed.
#[track_caller]
pub fn every<I: IntoIterator>(items: I, condition: impl FnMut(I::Item) -> bool) -> bool {
    let mut items = items.into_iter().peekable();
    assert!(items.peek().is_some(), "there is nothing to assert anything about");
    items.all(condition)
}

/// Waits until the condition holds. Panics after a minute, far longer than any test takes.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    const BETWEEN: Duration = Duration::from_millis(5);
    let pause = || {
        std::thread::sleep(BETWEEN);
        false
    };
    assert!((0..12_000).any(|_| condition() || pause()), "waited a minute in vain until {what}");
}

/// The claim holds, without a note.
#[track_caller]
pub fn assert_holds(verdict: &Verdict) {
    assert_eq!((verdict.conclusion, &verdict.differs), (Conclusion::Holds, &None), "{verdict:?}");
}

/// The claim holds without a note, by a rule of this force and with this citation.
#[track_caller]
pub fn assert_holds_by(verdict: &Verdict, force: Force, citation: Option<&str>) {
    assert_holds(verdict);
    assert_eq!((verdict.force, verdict.citation.as_deref()), (force, citation), "{verdict:?}");
}

/// The claim holds, with exactly this note.
#[track_caller]
pub fn assert_differs(verdict: &Verdict, note: &str) {
    assert_eq!(
        (verdict.conclusion, verdict.differs.as_deref()),
        (Conclusion::Holds, Some(note)),
        "{verdict:?}"
    );
}

/// The claim holds, with a note that contains these words.
#[track_caller]
pub fn assert_note_contains(verdict: &Verdict, words: &str) {
    assert_eq!(verdict.conclusion, Conclusion::Holds, "{verdict:?}");
    assert!(verdict.differs.as_deref().is_some_and(|note| note.contains(words)), "{verdict:?}");
}

/// Nothing is concluded, and the evidence contains the reason.
#[track_caller]
pub fn assert_inconclusive(verdict: &Verdict, why: &str) {
    assert_eq!((verdict.conclusion, &verdict.differs), (Conclusion::Inconclusive, &None), "{verdict:?}");
    assert!(verdict.evidence.contains(why), "{verdict:?}");
}

/// The rule of this citation is violated: a numbered statement, or else prose.
#[track_caller]
pub fn assert_violated(verdict: &Verdict, citation: &str) {
    let force = if citation.contains('[') { Force::Must } else { Force::Prose };
    assert_eq!((verdict.conclusion, verdict.force), (Conclusion::Violated, force), "{verdict:?}");
    assert_eq!(verdict.citation.as_deref(), Some(citation), "{verdict:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_rejects_an_empty_list() {
        assert!(super::every([1, 2], |number| number > 0));
        assert!(!super::every([1, 0], |number| number > 0));
        assert!(std::panic::catch_unwind(|| super::every([0; 0], |_| true)).is_err());
    }
}
