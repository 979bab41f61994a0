//! What the checks of flow control read from a case.

use std::collections::BTreeMap;

use ungraceful_rig::ledger::LedgerCounts;
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::record::{CaseRecord, Completeness, Record};

/// The largest value of a measure; absent without one.
pub(super) fn max(case: &CaseRecord, measure: &str) -> Option<u64> {
    case.measures.get(measure)?.max
}

/// The smallest value of a measure; absent without one.
pub(super) fn min(case: &CaseRecord, measure: &str) -> Option<u64> {
    case.measures.get(measure)?.min
}

/// The sum of a measure over all attempts.
pub(super) fn sum(case: &CaseRecord, measure: &str) -> u64 {
    case.measures.get(measure).map_or(0, |measured| measured.sum)
}

/// The smallest to the largest value of a measure, such as `25` or `20 to 25`; absent without one.
pub(super) fn range(case: &CaseRecord, measure: &str) -> Option<String> {
    let (min, max) = (min(case, measure)?, max(case, measure)?);
    Some(if min == max { max.to_string() } else { format!("{min} to {max}") })
}

/// The values of a fact, with how many attempts had each.
pub(super) fn values<'a>(case: &'a CaseRecord, fact: &str) -> BTreeMap<&'a str, u64> {
    let counts = case.facts.get(fact).into_iter().flatten();
    counts.filter(|(_, count)| **count > 0).map(|(value, count)| (value.as_str(), *count)).collect()
}

/// Values with how many attempts had each, in words.
pub(super) fn in_words(values: &BTreeMap<&str, u64>) -> String {
    let each: Vec<String> = values.iter().map(|(value, count)| format!("{value} ({count} times)")).collect();
    each.join(", ")
}

/// What became of the attempts' own messages, all QoS together.
pub(super) fn counts(case: &CaseRecord) -> LedgerCounts {
    let mut all = LedgerCounts::default();
    for counts in case.messages.values() {
        all += counts;
    }
    all
}

/// What tells that the broker may have come up anew during the run, or worse; absent when nothing does. What it has
/// forgotten then, or sent again, is no rule that it broke.
pub(super) fn unsettled(record: &Record, case: &CaseRecord) -> Option<String> {
    let lost: u64 =
        record.bystanders.iter().flat_map(|bystanders| bystanders.connections_lost.values()).sum();
    if case.outcome(Outcome::BrokerDown) > 0 || record.completeness == Completeness::BrokerDown {
        Some("the broker went down".to_owned())
    } else if lost > 0 {
        Some(format!("honest clients lost {lost} connections, so it may be these that explain it"))
    } else {
        None
    }
}

/// Messages that the broker took, with or without saying that it knew of no subscriber, and did not deliver.
pub(super) fn missing(counts: &LedgerCounts) -> u64 {
    counts.lost + counts.without_subscribers
}
