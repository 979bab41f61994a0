//! What the tests of the checks share: cases made by hand, the verdicts on them, and strategies for any record.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use proptest::prelude::*;
use ungraceful_mqtt::statement;
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_differs, assert_holds_by, assert_inconclusive, assert_violated,
    bystanders_that_lost_connections, empty_record,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

pub(crate) const V5: &str = "5.0";
pub(crate) const V311: &str = "3.1.1";

/// How a run can end early.
pub(crate) const CUT_SHORT: [Completeness; 4] =
    [Completeness::Partial, Completeness::Interrupted, Completeness::BrokerDown, Completeness::RecordFailed];

/// A case, in a run whose witness provably received messages.
#[derive(Clone)]
pub(crate) struct TestCase {
    pub(crate) case: CaseRecord,
    /// The run, without the case itself.
    pub(crate) run: Record,
}

impl TestCase {
    pub(crate) fn new(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        Self { case: testing::case(fault, variant, version, outcomes), run: record_of(Vec::new()) }
    }

    pub(crate) fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.case, fact, value, count);
        self
    }

    pub(crate) fn facts<V: FromStr>(self, fact: FactOf<V>, values: &[(&str, u64)]) -> Self {
        values.iter().fold(self, |case, (value, count)| case.fact(fact, *value, *count))
    }

    /// Reason Codes of DISCONNECT.
    pub(crate) fn codes(mut self, codes: &[(u8, u64)]) -> Self {
        self.case.disconnect_codes = codes.iter().copied().collect();
        self
    }

    pub(crate) fn examples(mut self, sequence: &str, attempts: &[u64]) -> Self {
        self.case.examples.insert(sequence.into(), attempts.to_vec());
        self
    }

    pub(crate) fn will(mut self, will: WillRecord) -> Self {
        self.case.will = Some(will);
        self
    }

    /// Whether the witness provably received messages, and how many it did not expect; absent without a witness.
    pub(crate) fn witness(mut self, witness: Option<(bool, u64)>) -> Self {
        self.run.witness = witness.map(|(proved, unexpected)| WitnessRecord { proved, unexpected });
        self
    }

    pub(crate) fn completeness(mut self, completeness: Completeness) -> Self {
        self.run.completeness = completeness;
        self
    }

    /// Well-behaved clients lost this many connections.
    pub(crate) fn bystanders_lost(mut self, count: u64) -> Self {
        self.run.bystanders = Some(bystanders_that_lost_connections(V5, count));
        self
    }

    pub(crate) fn record(&self) -> Record {
        let mut record = self.run.clone();
        record.cases.push(self.case.clone());
        record
    }

    pub(crate) fn has_no_verdict(&self, check: &str) -> bool {
        judged(&self.record()).iter().all(|verdict| verdict.check != check)
    }

    #[track_caller]
    pub(crate) fn verdict(&self, check: &str) -> Verdict {
        let mut verdicts = judged(&self.record()).into_iter();
        verdicts.find(|verdict| verdict.check == check).expect("the check applies to this case")
    }

    #[track_caller]
    pub(crate) fn holds(&self, check: &str, citation: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_holds_by(&verdict, Force::Must, Some(citation));
        verdict
    }

    #[track_caller]
    pub(crate) fn holds_as_prose(&self, check: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_holds_by(&verdict, Force::Prose, None);
        verdict
    }

    #[track_caller]
    pub(crate) fn violates(&self, check: &str, citation: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_violated(&verdict, citation);
        verdict
    }

    #[track_caller]
    pub(crate) fn differs(&self, check: &str, note: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_differs(&verdict, note);
        verdict
    }

    #[track_caller]
    pub(crate) fn inconclusive(&self, check: &str, why: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_inconclusive(&verdict, why);
        verdict
    }
}

/// A complete run whose witness provably received messages.
pub(crate) fn record_of(cases: Vec<CaseRecord>) -> Record {
    let witness = Some(WitnessRecord { proved: true, unexpected: 0 });
    Record { witness, cases, ..empty_record() }
}

/// The verdicts of all checks of the faults that the record has cases of.
pub(crate) fn judged(record: &Record) -> Vec<Verdict> {
    let faults: BTreeSet<&str> = record.cases.iter().map(|case| case.case.fault.as_str()).collect();
    let modes = faults.into_iter().map(|fault| ungraceful_faults::find(fault).expect("a known fault"));
    let checks: Vec<_> = modes.flat_map(|mode| mode.checks()).collect();
    let mut record = record.clone();
    judge(&mut record, &checks);
    record.verdicts
}

/// Asserts that no check concludes anything; returns the number of verdicts.
#[track_caller]
pub(crate) fn all_inconclusive(record: &Record) -> usize {
    let verdicts = judged(record);
    for verdict in &verdicts {
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
    verdicts.len()
}

pub(crate) fn wills(due: u64, due_and_seen: u64) -> WillRecord {
    WillRecord {
        set: due,
        due,
        due_and_seen,
        shortest_wait_of_unseen_us: (due_and_seen < due).then_some(5_001_999),
        ..WillRecord::default()
    }
}

pub(crate) fn any_will() -> impl Strategy<Value = Option<WillRecord>> {
    let will = (prop::array::uniform6(0_u64..4), prop::option::of(0_u64..9_000_000));
    prop::option::of(will.prop_map(|(n, wait_us)| WillRecord {
        set: n[0],
        due: n[1],
        due_and_seen: n[2],
        not_due_and_seen: n[3],
        more_than_once: n[4],
        of_later_connect: n[5],
        shortest_wait_of_unseen_us: wait_us,
        ..WillRecord::default()
    }))
}

pub(crate) fn any_outcomes() -> impl Strategy<Value = Vec<(Outcome, u64)>> {
    const OUTCOMES: [Outcome; 7] = [
        Outcome::Closed,
        Outcome::Reset,
        Outcome::Tolerated,
        Outcome::NoReaction,
        Outcome::BrokerDown,
        Outcome::NotActed,
        Outcome::Interrupted,
    ];
    prop::array::uniform7(0_u64..3).prop_map(|counts| OUTCOMES.into_iter().zip(counts).collect())
}

pub(crate) fn any_record(case: impl Strategy<Value = CaseRecord>) -> impl Strategy<Value = Record> {
    let mut completeness = CUT_SHORT.to_vec();
    completeness.push(Completeness::Complete);
    let witness = prop::option::of((any::<bool>(), 0_u64..2));
    let run = (prop::collection::vec(case, 0..6), prop::sample::select(completeness), witness);
    run.prop_map(|(cases, completeness, witness)| Record {
        completeness,
        witness: witness.map(|(proved, unexpected)| WitnessRecord { proved, unexpected }),
        ..record_of(cases)
    })
}

/// What every verdict must satisfy. Returns the citation if it is a violation.
pub(crate) fn sound(verdict: &Verdict) -> Result<Option<&str>, TestCaseError> {
    prop_assert!(verdict.differs.is_none() || verdict.conclusion == Conclusion::Holds, "{:?}", verdict);
    prop_assert!(!verdict.evidence.is_empty(), "{:?}", verdict);
    if verdict.conclusion != Conclusion::Violated {
        return Ok(None);
    }
    prop_assert_eq!(verdict.force, Force::Must);
    let citation = verdict.citation.as_deref().expect("a violation cites a statement");
    let is_known = statement::ALL.iter().any(|statement| statement.to_string() == citation);
    prop_assert!(is_known, "{:?}", verdict);
    Ok(Some(citation))
}
