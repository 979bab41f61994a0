//! Strategies for any record, and what every verdict on one must satisfy.

use std::collections::BTreeSet;

use proptest::prelude::*;
use ungraceful_mqtt::statement;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::empty_record;
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

/// How a run can end early.
pub(crate) const CUT_SHORT: [Completeness; 4] =
    [Completeness::Partial, Completeness::Interrupted, Completeness::BrokerDown, Completeness::RecordFailed];

/// The verdicts of all checks of the faults that the record has cases of.
pub(crate) fn judged(record: &Record) -> Vec<Verdict> {
    let faults: BTreeSet<&str> = record.cases.iter().map(|case| case.case.fault.as_str()).collect();
    let modes = faults.into_iter().map(|fault| ungraceful_faults::find(fault).expect("a known fault"));
    let checks: Vec<_> = modes.flat_map(|mode| mode.checks()).collect();
    let mut record = record.clone();
    judge(&mut record, &checks);
    record.verdicts
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
        cases,
        ..empty_record()
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
