//! What the checks of all faults have in common: which cases they judge, and what to say without a sample.

use ungraceful_mqtt::statement::Statement;
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::record::{CaseRecord, Record};
use ungraceful_rig::verdict::Verdict;

/// The verdicts of `judge` on each case of `fault`.
pub(crate) fn on_each_case(
    record: &Record,
    fault: &str,
    judge: impl Fn(&CaseRecord) -> Option<Verdict>,
) -> Vec<Verdict> {
    let cases = record.cases.iter().filter(|case| case.case.fault == fault);
    cases.filter_map(|case| Some(judge(case)?.on(&case.case))).collect()
}

/// Whether the case's clients speak MQTT 5.0.
pub(crate) fn is_v5(case: &CaseRecord) -> bool {
    case.case.version == "5.0"
}

/// The one of two statements that has the case's version.
pub(crate) fn of_version(case: &CaseRecord, v5: Statement, v311: Statement) -> Statement {
    if is_v5(case) { v5 } else { v311 }
}

/// Attempts that say something about the broker.
pub(crate) fn evidence_count(case: &CaseRecord) -> u64 {
    [Outcome::Closed, Outcome::Reset, Outcome::Tolerated, Outcome::NoReaction]
        .into_iter()
        .map(|outcome| case.outcome(outcome))
        .sum()
}

/// The attempts whose sequence of reactions `is_one`.
pub(crate) fn examples(case: &CaseRecord, is_one: impl Fn(&str) -> bool) -> Vec<u64> {
    case.examples
        .iter()
        .filter(|(sequence, _)| is_one(sequence))
        .flat_map(|(_, attempts)| attempts)
        .copied()
        .collect()
}

/// Why no attempt says anything.
pub(crate) fn no_sample(case: &CaseRecord) -> String {
    let mut why: Vec<String> =
        case.troubles.iter().map(|(trouble, count)| format!("{trouble} ({count} times)")).collect();
    let down = case.outcome(Outcome::BrokerDown);
    if down > 0 {
        why.push(format!("the broker was down ({down} times)"));
    }
    if why.is_empty() {
        why.push("no attempt was carried out to its end".to_owned());
    }
    format!("none of {} attempts tells anything: {}", case.planned, why.join("; "))
}
