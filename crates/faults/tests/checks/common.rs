//! Hand-made cases, and the verdicts on them.

use std::fmt::Display;
use std::str::FromStr;

use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::{Distribution, Percentiles};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_differs, assert_holds, assert_holds_by, assert_inconclusive, assert_note_contains,
    assert_violated, bystanders_that_lost_connections, empty_record,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

pub(crate) const V5: &str = "5.0";
pub(crate) const V311: &str = "3.1.1";

/// A case, in a complete run whose witness provably received messages.
#[derive(Clone)]
pub(crate) struct TestCase {
    pub(crate) case: CaseRecord,
    pub(crate) run: Record,
}

impl TestCase {
    pub(crate) fn new(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        let case = testing::case(fault, variant, version, outcomes);
        Self { case, run: empty_record() }.witness(Some((true, 0)))
    }

    pub(crate) fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.case, fact, value, count);
        self
    }

    pub(crate) fn facts<V: FromStr>(self, fact: FactOf<V>, values: &[(&str, u64)]) -> Self {
        values.iter().fold(self, |case, (value, count)| case.fact(fact, *value, *count))
    }

    pub(crate) fn sum(self, measure: Measure, count: u64, sum: u64) -> Self {
        self.distribution(measure, Distribution { count, sum, ..Distribution::default() })
    }

    pub(crate) fn range(self, measure: Measure, count: u64, min: u64, max: u64) -> Self {
        let (sum, min, max) = (max, Some(min), Some(max));
        self.distribution(measure, Distribution { count, sum, min, max, ..Distribution::default() })
    }

    fn distribution(mut self, measure: Measure, values: Distribution) -> Self {
        self.case.measures.insert(measure.to_string(), values);
        self
    }

    /// Clients that received DISCONNECT with this Reason Code.
    pub(crate) fn code(mut self, code: u8, count: u64) -> Self {
        self.case.disconnect_codes.insert(code, count);
        self
    }

    pub(crate) fn codes(self, codes: &[(u8, u64)]) -> Self {
        codes.iter().fold(self, |case, (code, count)| case.code(*code, *count))
    }

    pub(crate) fn messages(mut self, counts: LedgerCounts) -> Self {
        self.case.messages.insert(1, counts);
        self
    }

    /// The time until the broker closed the last connection.
    pub(crate) fn closed_after(mut self, max_us: u64) -> Self {
        self.case.time_to_close = Percentiles { count: 1, max_us: Some(max_us), ..Percentiles::default() };
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

    /// Another case of the same run.
    pub(crate) fn beside(mut self, case: CaseRecord) -> Self {
        self.run.cases.push(case);
        self
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.verdicts_of(&self.case.case.fault)
    }

    /// The verdicts of all checks of this fault.
    pub(crate) fn verdicts_of(&self, fault: &str) -> Vec<Verdict> {
        let mut record = self.run.clone();
        record.cases.insert(0, self.case.clone());
        judge(&mut record, &ungraceful_faults::find(fault).expect("a known fault").checks());
        record.verdicts
    }

    pub(crate) fn has_no_verdict(&self, check: &str) -> bool {
        !self.verdicts().iter().any(|verdict| verdict.check == check)
    }

    #[track_caller]
    pub(crate) fn verdict(&self, check: &str) -> Verdict {
        let mut verdicts = self.verdicts().into_iter();
        verdicts.find(|verdict| verdict.check == check).expect("the check applies to this case")
    }

    /// Asserts that no check concludes anything; returns the number of verdicts.
    #[track_caller]
    pub(crate) fn all_inconclusive(&self) -> usize {
        let verdicts = self.verdicts();
        for verdict in &verdicts {
            assert_eq!(
                (verdict.conclusion, &verdict.differs),
                (Conclusion::Inconclusive, &None),
                "{verdict:?}"
            );
        }
        verdicts.len()
    }

    /// Asserts that the claim holds without a note.
    #[track_caller]
    pub(crate) fn holds(&self, check: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_holds(&verdict);
        verdict
    }

    #[track_caller]
    pub(crate) fn holds_by(&self, check: &str, citation: &str) -> Verdict {
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

    /// Asserts that the claim holds, with exactly this note.
    #[track_caller]
    pub(crate) fn differs(&self, check: &str, note: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_differs(&verdict, note);
        verdict
    }

    #[track_caller]
    pub(crate) fn note_contains(&self, check: &str, words: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_note_contains(&verdict, words);
        verdict
    }

    #[track_caller]
    pub(crate) fn inconclusive(&self, check: &str, why: &str) -> Verdict {
        let verdict = self.verdict(check);
        assert_inconclusive(&verdict, why);
        verdict
    }
}

pub(crate) fn wills(due: u64, due_and_seen: u64) -> WillRecord {
    WillRecord {
        set: due,
        due,
        due_and_seen,
        shortest_wait_of_unseen_us: (due_and_seen < due).then_some(2_000_000),
        will_time: Percentiles { count: due_and_seen, max_us: Some(41_000), ..Percentiles::default() },
        ..WillRecord::default()
    }
}
