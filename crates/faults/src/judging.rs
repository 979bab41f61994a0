//! What the checks of all faults have in common: which cases they judge, and what to say without a sample.

use ungraceful_mqtt::statement::Statement;
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::loss::{self, Explained};
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord};
use ungraceful_record::scale::time;
use ungraceful_record::verdict::{Force, Verdict};

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
    [Outcome::Closed, Outcome::Reset, Outcome::Tolerated, Outcome::NoReaction, Outcome::Left]
        .into_iter()
        .map(|outcome| case.outcome(outcome))
        .sum()
}

/// Of a hundred connections that a broker must close, so many that it serves on accuse nobody when it closes the others.
const FEW_IN_A_HUNDRED: u64 = 5;

/// The verdict on connections that a broker must close: it was proved to serve `served` of them on, and closed `closed`. A
/// broker that closes nearly all of them knows the rule, and what it did with a few may have had another reason.
pub(crate) fn served_on(
    check: &str,
    statement: Statement,
    served: u64,
    closed: u64,
    evidence: String,
) -> Verdict {
    if served * 100 > (served + closed) * FEW_IN_A_HUNDRED {
        return Verdict::violated(check, statement, evidence);
    }
    let why = format!(
        "{evidence}; it closed {closed} others, and up to {FEW_IN_A_HUNDRED} in a hundred accuse nobody: such a broker \
         may have stalled, or have been slow"
    );
    Verdict::inconclusive(check, Force::Must, why).citing(statement)
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

/// What became of the attempts' own messages, all QoS together.
pub(crate) fn counts(case: &CaseRecord) -> LedgerCounts {
    let mut all = LedgerCounts::default();
    for counts in case.messages.values() {
        all += counts;
    }
    all
}

/// The sum of a measure over all attempts.
pub(crate) fn sum(case: &CaseRecord, measure: &str) -> u64 {
    case.measures.get(measure).map_or(0, |measured| measured.sum)
}

/// What tells that the broker may have come up anew during the run, or worse; absent when nothing does. What it has
/// forgotten then, or sent again, is no rule that it broke.
pub(crate) fn unsettled(record: &Record, case: &CaseRecord) -> Option<String> {
    let of_bystanders: u64 =
        record.bystanders.iter().flat_map(|bystanders| bystanders.connections_lost.values()).sum();
    let lost = of_bystanders.max(record.broker.honest_connections_lost);
    if case.outcome(Outcome::BrokerDown) > 0 || record.completeness == Completeness::BrokerDown {
        Some("the broker went down".to_owned())
    } else if lost > 0 {
        Some(format!("honest clients lost {lost} connections, so it may be these that explain it"))
    } else {
        None
    }
}

/// The verdict on the order of the attempts' messages: those of one publisher on one topic at one QoS. Judged by the first
/// copy of each. The first message of an attempt has none that it could have come after.
pub(crate) fn comes_in_order(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    statement: Statement,
) -> Verdict {
    let counts = counts(case);
    let evidence = format!(
        "of {} messages of one publisher, on one topic and at one QoS, {} came for the first time after a later one",
        counts.delivered, counts.reordered
    );
    // Each QoS has an order of its own, and a first message in it.
    let (attempts, of_each_qos) = (evidence_count(case), case.messages.values());
    let after_another: u64 = of_each_qos.map(|counts| counts.delivered.saturating_sub(attempts)).sum();
    let verdict = if counts.reordered > 0 {
        breach(record, case, check, statement, evidence)
    } else if after_another == 0 {
        Verdict::inconclusive(check, Force::Must, "no client was sent two messages, and one has no order")
    } else {
        Verdict::holds(check, Force::Must, after_another, evidence)
    };
    verdict.citing(statement)
}

/// Attempts that tell the fact at all.
pub(crate) fn told(case: &CaseRecord, fact: &str) -> u64 {
    case.facts.get(fact).map_or(0, |counts| counts.values().sum())
}

/// The verdict on what a broker failed to do, where `violated` would accuse: one that may have come up anew has
/// forgotten by right.
pub(crate) fn breach(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    statement: Statement,
    evidence: String,
) -> Verdict {
    match unsettled(record, case) {
        None => Verdict::violated(check, statement, evidence).with_examples(examples(case, |_| true)),
        Some(why) => {
            Verdict::inconclusive(check, Force::Must, format!("{evidence}; {why}")).citing(statement)
        }
    }
}

/// What explains that some of these messages of the attempts did not arrive; absent when the broker lost them.
fn loss_explained(
    record: &Record,
    case: &CaseRecord,
    counts: &LedgerCounts,
    held_back: u64,
) -> Option<Explained> {
    unsettled(record, case)
        .map(Explained::Note)
        .or_else(|| {
            let why = "the broker says of them that it knew of no subscriber";
            (counts.lost == 0).then(|| Explained::Note(why.to_owned()))
        })
        .or_else(|| loss::explained(record, counts, held_back, Phase::Fault))
}

/// As [`lost`], where no statement says that they had to arrive: a `note`, unless they may only be late.
pub(crate) fn lost_by_nobodys_rule(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    note: impl Into<String>,
    held_back: u64,
    evidence: String,
) -> Verdict {
    let counts = counts(case);
    let judged = counts.delivered + counts.lost + counts.without_subscribers;
    match loss_explained(record, case, &counts, held_back) {
        None => Verdict::differs(check, Force::Prose, judged, note, evidence),
        Some(Explained::Note(why)) => {
            Verdict::differs(check, Force::Prose, judged, note, format!("{evidence}; {why}"))
        }
        Some(Explained::Unclear(why)) => {
            Verdict::inconclusive(check, Force::Prose, format!("{evidence}; {why}"))
        }
    }
}

/// The verdict on acknowledged messages of the attempts that did not arrive although the subscriber's session lived. Those of
/// which the broker says itself that nobody had subscribed are a note. `held_back` is as in [`loss::explained`].
pub(crate) fn lost(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    statement: Statement,
    held_back: u64,
    evidence: String,
) -> Verdict {
    let counts = counts(case);
    let missing = counts.lost + counts.without_subscribers;
    let note = format!("{missing} of {} messages were taken and lost", counts.acknowledged);
    match loss_explained(record, case, &counts, held_back) {
        None => Verdict::violated(check, statement, evidence).with_examples(examples(case, |_| true)),
        Some(Explained::Note(why)) => {
            let judged = counts.delivered + missing;
            Verdict::differs(check, Force::Must, judged, note, format!("{evidence}; {why}")).citing(statement)
        }
        Some(Explained::Unclear(why)) => {
            Verdict::inconclusive(check, Force::Must, format!("{evidence}; {why}")).citing(statement)
        }
    }
}

/// How many attempts must be alike before a Will that came, or did not, accuses. One alone may be another connection's.
const WILLS_ALIKE_MIN: u64 = 3;

/// Why `alike` attempts that saw the same of their Wills accuse nobody; absent where they do.
fn wills_unclear(record: &Record, alike: u64) -> Option<String> {
    let unexpected = record.witness.map_or(0, |witness| witness.unexpected);
    if !record.witness.is_some_and(|witness| witness.proved) {
        Some("the witness was not proved to hear".to_owned())
    } else if unexpected > 0 {
        Some(format!(
            "{unexpected} messages came when nobody waited for them any more, so nobody knows whose these are; a longer \
             --will-wait will tell"
        ))
    } else {
        (alike < WILLS_ALIKE_MIN).then(|| {
            format!("{WILLS_ALIKE_MIN} attempts that are alike would tell, or more (--attempts, --count)")
        })
    }
}

/// The verdict on what `alike` attempts saw of their Wills, where `violated` would accuse. What came before an attempt's own
/// act is not among it.
pub(crate) fn will_breach(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    statement: Statement,
    alike: u64,
    evidence: String,
) -> Verdict {
    match wills_unclear(record, alike) {
        None => breach(record, case, check, statement, evidence),
        Some(why) => {
            Verdict::inconclusive(check, Force::Must, format!("{evidence}; {why}")).citing(statement)
        }
    }
}

/// The verdict on Wills that must not be published, of which so many came; `will.set` were looked for.
pub(crate) fn withheld(
    record: &Record,
    case: &CaseRecord,
    check: &str,
    statement: Statement,
    will: &WillRecord,
    evidence: String,
) -> Verdict {
    let evidence = evidence + &apart(will);
    let came = will.not_due_and_seen;
    if came > 0 {
        return will_breach(record, case, check, statement, came, evidence);
    }
    let unclear = wills_unclear(record, WILLS_ALIKE_MIN);
    let verdict = match unclear {
        Some(why) => Verdict::inconclusive(check, Force::Must, format!("{evidence}; {why}")),
        // Whose they are nobody knows.
        None if will.seen_before > 0 => Verdict::inconclusive(check, Force::Must, evidence),
        None => Verdict::holds(check, Force::Must, will.set, evidence),
    };
    verdict.citing(statement)
}

/// What is to be said of Wills that came before the attempts' own act.
fn apart(will: &WillRecord) -> String {
    match will.seen_before {
        0 => String::new(),
        before => format!(
            "; not counted: those of {before} clients that came before the client had done anything for it, as that of a \
             connection does which the broker ended earlier"
        ),
    }
}

/// What went wrong in attempts of this case, each with its count.
pub(crate) fn troubles(case: &CaseRecord) -> Vec<String> {
    case.troubles.iter().map(|(trouble, count)| format!("{trouble} ({count} times)")).collect()
}

/// Why no attempt says anything.
pub(crate) fn no_sample(case: &CaseRecord) -> String {
    let mut why = troubles(case);
    let down = case.outcome(Outcome::BrokerDown);
    if down > 0 {
        why.push(format!("the broker was down ({down} times)"));
    }
    if why.is_empty() {
        why.push("no attempt was carried out to its end".to_owned());
    }
    format!("none of {} attempts tells anything: {}", case.planned, why.join("; "))
}

/// MQTT 3.1.1 section 3.14 (prose): DISCONNECT goes from Client to Server only. No verdict where the connections that
/// were watched do not speak 3.1.1.
pub(crate) fn no_disconnect_on_3_1_1(case: &CaseRecord, is_3_1_1: bool) -> Option<Verdict> {
    const CHECK: &str = "sends_no_disconnect_on_3_1_1";
    if !is_3_1_1 {
        return None;
    }
    let (sent, all): (u64, u64) = (case.disconnect_codes.values().sum(), evidence_count(case));
    let told =
        format!("{sent} of {all} clients of 3.1.1 received a DISCONNECT, which 3.1.1 servers do not send");
    Some(match (all, sent) {
        (0, _) => Verdict::inconclusive(CHECK, Force::Prose, no_sample(case)),
        (_, 0) => Verdict::holds(CHECK, Force::Prose, all, told),
        _ => Verdict::differs(CHECK, Force::Prose, all, "a DISCONNECT from the broker", told)
            .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT"))),
    })
}

/// What a record says of Wills that were due.
pub(crate) enum DueWills {
    /// Nothing, and why.
    Unknown(String),
    /// None came, with everything proved that makes their absence tell.
    Missing(String),
    /// They came.
    Came(String),
}

/// What the record says of the Wills of a case of which some were due. A missing Will accuses only when none of the
/// case came before a witness that was proved to hear, in a run that came to its end.
pub(crate) fn due_wills(record: &Record, will: &WillRecord) -> DueWills {
    let missing = will.due.saturating_sub(will.due_and_seen);
    let waited = time(will.shortest_wait_of_unseen_us.unwrap_or(0));
    if missing == 0 {
        return DueWills::Came(format!("{} of {} Wills came{}", will.due_and_seen, will.due, apart(will)));
    }
    let why = if let Some(why) = wills_unclear(record, will.due) {
        why
    } else if record.completeness != Completeness::Complete {
        "the run did not come to its end, so the witness was not proved to hear after it".to_owned()
    } else if will.due_and_seen > 0 {
        "the others were: the broker may have limited what it delivers to our witness; a lower --connrate or a longer \
         --will-wait may tell"
            .to_owned()
    } else if will.seen_before > 0 {
        "so these may be among those that came too early".to_owned()
    } else {
        return DueWills::Missing(format!(
            "none of {} Wills was published within {waited} after the connection had ended, nor until the end of \
             the run; the witness was proved to hear before and after",
            will.due
        ));
    };
    DueWills::Unknown(format!(
        "{missing} of {} Wills were not seen within {waited}{}; {why}",
        will.due,
        apart(will)
    ))
}
