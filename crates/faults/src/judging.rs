//! What the checks of all faults share: losses, Wills, Reason Codes, and the finding without a sample.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::loss::{self, Explained};
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord};
use ungraceful_record::scale::time;

/// Whether the case's clients speak MQTT 5.0.
pub(crate) fn is_v5(case: &CaseRecord) -> bool {
    case.case.protocol_version() == Some(ProtocolVersion::V5)
}

/// Whether the case's clients speak MQTT 3.1.1.
pub(crate) fn is_v3_1_1(case: &CaseRecord) -> bool {
    case.case.protocol_version() == Some(ProtocolVersion::V3_1_1)
}

/// The statement of the case's version.
pub(crate) fn of_version(case: &CaseRecord, v5: Statement, v311: Statement) -> Statement {
    if is_v5(case) { v5 } else { v311 }
}

/// Attempts that are evidence about the broker.
pub(crate) fn evidence_count(case: &CaseRecord) -> u64 {
    [Outcome::Closed, Outcome::Reset, Outcome::Tolerated, Outcome::NoReaction, Outcome::Left]
        .into_iter()
        .map(|outcome| case.outcome(outcome))
        .sum()
}

/// Percent of the connections that a broker must close, up to which continuing to serve them is no violation if it closes the
/// others.
const FEW_IN_A_HUNDRED: u64 = 5;

/// The finding on connections that a broker must close, of which it provably went on to serve `served` and closed `closed`. A
/// broker that closes nearly all of them implements the rule; the few may have another reason.
pub(crate) fn served_on(served: u64, closed: u64, evidence: String) -> Finding {
    if served * 100 > (served + closed) * FEW_IN_A_HUNDRED {
        return Finding::violated(evidence);
    }
    Finding::inconclusive(format!(
        "{evidence}; it closed the other {closed}, and up to {FEW_IN_A_HUNDRED} % are no violation: the broker may have \
         stalled, or been slow"
    ))
}

/// The attempts whose sequence of reactions matches.
pub(crate) fn examples(case: &CaseRecord, is_one: impl Fn(&str) -> bool) -> Vec<u64> {
    case.examples
        .iter()
        .filter(|(sequence, _)| is_one(sequence))
        .flat_map(|(_, attempts)| attempts)
        .copied()
        .collect()
}

/// The counts of the attempts' own messages, all QoS together.
pub(crate) fn counts(case: &CaseRecord) -> LedgerCounts {
    let mut all = LedgerCounts::default();
    for counts in case.messages.values() {
        all += counts;
    }
    all
}

/// A sign that the broker may have restarted during the run; absent without one. What a restarted broker has forgotten, or
/// sends again, is no violation.
pub(crate) fn unsettled(case: &Judged<'_>) -> Option<String> {
    let record = case.record;
    let of_bystanders: u64 =
        record.bystanders.iter().flat_map(|bystanders| bystanders.connections_lost.values()).sum();
    let lost = of_bystanders.max(record.broker.honest_connections_lost);
    if case.outcome(Outcome::BrokerDown) > 0 || record.completeness == Completeness::BrokerDown {
        Some("the broker went down".to_owned())
    } else if lost > 0 {
        Some(format!("well-behaved clients lost {lost} connections, which may explain it"))
    } else {
        None
    }
}

/// The finding on the order of the attempts' messages: those of one publisher on one topic at one QoS. Only the first copy of
/// each counts, and the first message of an attempt is no sample, because it has no predecessor.
pub(crate) fn comes_in_order(case: &Judged<'_>) -> Option<Finding> {
    let counts = counts(case);
    let evidence = format!(
        "of {} messages of one publisher on one topic at one QoS, {} first arrived after a later one",
        counts.delivered, counts.reordered
    );
    // Each QoS has an order of its own, and a first message in it.
    let (attempts, of_each_qos) = (evidence_count(case), case.messages.values());
    let after_another: u64 = of_each_qos.map(|counts| counts.delivered.saturating_sub(attempts)).sum();
    Some(if counts.reordered > 0 {
        breach(case, evidence)
    } else if after_another == 0 {
        Finding::inconclusive("no client received two messages, so there is no order to check")
    } else {
        Finding::holds(after_another, evidence)
    })
}

/// [`Finding::violated`], unless the broker may have restarted: then it may rightly have forgotten.
pub(crate) fn breach(case: &Judged<'_>, evidence: String) -> Finding {
    match unsettled(case) {
        None => Finding::violated(evidence).with_examples(examples(case, |_| true)),
        Some(why) => Finding::inconclusive(format!("{evidence}; {why}")),
    }
}

/// An explanation for messages of the attempts that did not arrive; absent when the broker lost them.
fn loss_explained(case: &Judged<'_>, counts: &LedgerCounts, held_back: u64) -> Option<Explained> {
    unsettled(case)
        .map(Explained::Note)
        .or_else(|| {
            let why = "the broker reported no matching subscriber for them";
            (counts.lost == 0).then(|| Explained::Note(why.to_owned()))
        })
        .or_else(|| loss::explained(case.record, counts, held_back, Phase::Fault))
}

/// As [`lost`], where no statement requires delivery: a `note`, unless they may only be late.
pub(crate) fn lost_without_rule(
    case: &Judged<'_>,
    note: impl Into<String>,
    held_back: u64,
    evidence: String,
) -> Finding {
    let counts = counts(case);
    let judged = counts.delivered + counts.lost + counts.without_subscribers;
    match loss_explained(case, &counts, held_back) {
        None => Finding::differs(judged, note, evidence),
        Some(Explained::Note(why)) => Finding::differs(judged, note, format!("{evidence}; {why}")),
        Some(Explained::Unclear(why)) => Finding::inconclusive(format!("{evidence}; {why}")),
    }
}

/// The finding on acknowledged messages of the attempts that did not arrive although the subscriber's session existed. Those
/// for which the broker reported no matching subscriber are a note. `held_back` is as in [`loss::explained`].
pub(crate) fn lost(case: &Judged<'_>, held_back: u64, evidence: String) -> Finding {
    let counts = counts(case);
    let missing = counts.lost + counts.without_subscribers;
    let note = format!("{missing} of {} acknowledged messages were lost", counts.acknowledged);
    match loss_explained(case, &counts, held_back) {
        None => Finding::violated(evidence).with_examples(examples(case, |_| true)),
        Some(Explained::Note(why)) => {
            Finding::differs(counts.delivered + missing, note, format!("{evidence}; {why}"))
        }
        Some(Explained::Unclear(why)) => Finding::inconclusive(format!("{evidence}; {why}")),
    }
}

/// How many attempts must show the same before a Will that came, or did not, is a violation: a single one may belong to
/// another connection.
const WILLS_ALIKE_MIN: u64 = 3;

/// Why `alike` attempts with the same observation of their Wills are no violation; absent when they are one.
fn wills_unclear(record: &Record, alike: u64) -> Option<String> {
    let unexpected = record.witness.map_or(0, |witness| witness.unexpected);
    if !record.witness.is_some_and(|witness| witness.proved) {
        Some("the witness did not provably receive messages".to_owned())
    } else if unexpected > 0 {
        Some(format!(
            "{unexpected} messages came after the wait for them was over, so they can't be attributed; a longer \
             --will-wait resolves this"
        ))
    } else {
        (alike < WILLS_ALIKE_MIN).then(|| {
            format!("at least {WILLS_ALIKE_MIN} attempts must show the same; raise --attempts or --count")
        })
    }
}

/// [`breach`] on what `alike` attempts saw of their Wills, unless that is too little. What came before an attempt's own act
/// does not count.
pub(crate) fn will_breach(case: &Judged<'_>, alike: u64, evidence: String) -> Finding {
    match wills_unclear(case.record, alike) {
        None => breach(case, evidence),
        Some(why) => Finding::inconclusive(format!("{evidence}; {why}")),
    }
}

/// The finding on Wills that must not be published; `will.set` attempts set one.
pub(crate) fn withheld(case: &Judged<'_>, will: &WillRecord, evidence: String) -> Finding {
    let evidence = evidence + &apart(will);
    let came = will.not_due_and_seen;
    if came > 0 {
        return will_breach(case, came, evidence);
    }
    match wills_unclear(case.record, WILLS_ALIKE_MIN) {
        Some(why) => Finding::inconclusive(format!("{evidence}; {why}")),
        // They can't be attributed.
        None if will.seen_before > 0 => Finding::inconclusive(evidence),
        None => Finding::holds(will.set, evidence),
    }
}

/// A remark on Wills that came before the attempts' own act; empty without any.
fn apart(will: &WillRecord) -> String {
    match will.seen_before {
        0 => String::new(),
        before => format!(
            "; not counted: the Wills of {before} clients that came before the client had acted, as happens when the broker \
             ends a connection early"
        ),
    }
}

/// What went wrong in attempts of this case, each with its count.
pub(crate) fn troubles(case: &CaseRecord) -> Vec<String> {
    case.troubles.iter().map(|(trouble, count)| format!("{trouble} ({count} times)")).collect()
}

/// Why no attempt is evidence.
pub(crate) fn no_sample(case: &CaseRecord) -> String {
    let mut why = troubles(case);
    let down = case.outcome(Outcome::BrokerDown);
    if down > 0 {
        why.push(format!("the broker was down ({down} times)"));
    }
    if why.is_empty() {
        why.push("no attempt was completed".to_owned());
    }
    format!("none of {} attempts is evidence: {}", case.planned, why.join("; "))
}

/// MQTT 3.1.1 section 3.14 (prose): DISCONNECT goes from Client to Server only.
pub(crate) const SENDS_NO_DISCONNECT_ON_3_1_1: Check =
    Check::prose("sends_no_disconnect_on_3_1_1", sends_no_disconnect_on_3_1_1).on(is_v3_1_1);

fn sends_no_disconnect_on_3_1_1(case: &Judged<'_>) -> Option<Finding> {
    let (sent, all): (u64, u64) = (case.disconnect_codes.values().sum(), evidence_count(case));
    let evidence =
        format!("{sent} of {all} clients of 3.1.1 received a DISCONNECT, which 3.1.1 servers do not send");
    Some(match (all, sent) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::differs(all, "a DISCONNECT from the broker", evidence)
            .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT"))),
    })
}

/// The finding on the Reason Codes of the DISCONNECT packets that clients received: the standard describes the `fitting` ones.
/// Of the clients that `evidence` counts, the broker could have sent one to `ended`; it may also send none.
pub(crate) fn names_the_reason(case: &CaseRecord, fitting: &[u8], ended: u64, evidence: String) -> Finding {
    let received = |is_wanted: &dyn Fn(u8) -> bool| {
        case.disconnect_codes.iter().filter(|(code, _)| is_wanted(**code)).collect::<Vec<_>>()
    };
    let expected: u64 = received(&|code| fitting.contains(&code)).iter().map(|(_, count)| **count).sum();
    let others = received(&|code| !fitting.contains(&code));
    let judged = ended.max(case.disconnect_codes.values().sum());
    if !others.is_empty() {
        let others: Vec<String> =
            others.iter().map(|(code, count)| format!("DISCONNECT 0x{code:02X} ({count} times)")).collect();
        Finding::differs(judged, others.join(", "), evidence)
    } else if expected == 0 {
        Finding::differs(judged, "no DISCONNECT with a reason, which is allowed", evidence)
    } else if expected < ended {
        Finding::differs(judged, "not every client received the reason, which is allowed", evidence)
    } else {
        Finding::holds(judged, evidence)
    }
}

/// How many clients were sent a DISCONNECT with one of these Reason Codes.
pub(crate) fn sent_code(case: &CaseRecord, codes: &[u8]) -> u64 {
    codes.iter().filter_map(|code| case.disconnect_codes.get(code)).sum()
}

/// Why there is no finding on Wills that were due where none was awaited: no attempt acted, no witness listened, or what was
/// `lacking`.
pub(crate) fn no_will(case: &Judged<'_>, lacking: &str) -> String {
    match case.record.witness.is_some_and(|witness| witness.proved) {
        true if evidence_count(case) == 0 => no_sample(case),
        true => lacking.to_owned(),
        false => "the witness could not subscribe to the Will topics, or did not provably receive messages"
            .to_owned(),
    }
}

/// The finding on the Wills of a case of which some were due: `missing` where none came although the witness provably received
/// messages and the run completed, for only then is a missing Will a violation; `came` where all came.
pub(crate) fn due_wills(
    case: &Judged<'_>,
    will: &WillRecord,
    missing: impl FnOnce(String) -> Finding,
    came: impl FnOnce(String) -> Finding,
) -> Finding {
    let record = case.record;
    let unseen = will.due.saturating_sub(will.due_and_seen);
    let waited = time(will.shortest_wait_of_unseen_us.unwrap_or(0));
    if unseen == 0 {
        return came(format!("{} of {} Wills came{}", will.due_and_seen, will.due, apart(will)));
    }
    let why = if let Some(why) = wills_unclear(record, will.due) {
        why
    } else if record.completeness != Completeness::Complete {
        "the run did not complete, so the witness was not checked after it".to_owned()
    } else if will.due_and_seen > 0 {
        "the others were: the broker may limit what it delivers to the witness; try a lower --connrate or a longer \
         --will-wait"
            .to_owned()
    } else if will.seen_before > 0 {
        "these may be among those that came too early".to_owned()
    } else {
        return missing(format!(
            "none of {} Wills was published within {waited} of the end of the connection, nor by the end of the run; the \
             witness provably received messages before and after",
            will.due
        ));
    };
    Finding::inconclusive(format!(
        "{unseen} of {} Wills were not seen within {waited}{}; {why}",
        will.due,
        apart(will)
    ))
}

/// The finding on Wills that came: one that came more than once is a note.
pub(crate) fn came_once(will: &WillRecord, evidence: String) -> Finding {
    match will.more_than_once {
        0 => Finding::holds(will.due, evidence),
        twice => Finding::differs(will.due, format!("{twice} Wills came more than once (QoS 1)"), evidence),
    }
}
