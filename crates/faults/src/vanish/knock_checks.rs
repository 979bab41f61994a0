//! The checks of the knock. Each reads only the record, and gives a verdict for each case.

use ungraceful_mqtt::statement::V5_3_14_0_1;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::time;
use ungraceful_record::verdict::Force;

use super::knock::{DRIPPED, DRIPPED_FOR, Dripping, HELD_OPEN, HONEST, HONEST_CONNACK, ID, Variant};
use crate::ending::Answer;
use crate::judging::{evidence_count, examples, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::new("gives_up_on_silence", Force::Should, gives_up_on_silence).on(is_silent),
    Check::new("bounds_the_whole_connect", Force::Should, bounds_the_whole_connect).on(is_drip),
    Check::must("sends_no_disconnect_before_connack", &[V5_3_14_0_1], sends_no_disconnect_before_connack)
        .on(|case| is_v5(case) && (is_silent(case) || is_drip(case))),
    Check::prose("lets_honest_clients_in", lets_honest_clients_in),
];

fn is_silent(case: &CaseRecord) -> bool {
    case.case.variant == Variant::Silent.name()
}

fn is_drip(case: &CaseRecord) -> bool {
    case.case.variant == Variant::Drip.name()
}

/// MQTT 5.0 and 3.1.1 section 3.1.4: a Server SHOULD close a connection without a CONNECT after a reasonable time. The
/// standard does not define that time.
fn gives_up_on_silence(case: &Judged<'_>) -> Option<Finding> {
    let (closed, open) = (case.ended(), case.outcome(Outcome::NoReaction));
    let last = case.time_to_close.max_us.map(|us| format!(", the last after {}", time(us)));
    let evidence = format!(
        "the broker closed {closed} of {} silent connections{}",
        closed + open,
        last.unwrap_or_default()
    );
    Some(match (closed, open) {
        (0, 0) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(closed + open, evidence),
        _ => {
            let note = format!("{open} were still open after --wait; try a longer --wait");
            Finding::differs(closed + open, note, evidence)
        }
    })
}

/// As [`gives_up_on_silence`], for a slow CONNECT: a limit only on the gap between two bytes lets a client hold its socket
/// indefinitely.
fn bounds_the_whole_connect(case: &Judged<'_>) -> Option<Finding> {
    let closed_silent = |case: &&CaseRecord| case.case.fault == ID && is_silent(case) && case.ended() > 0;
    let cases = case.record.cases.iter().filter(closed_silent);
    let silent_us = cases.filter_map(|case| case.time_to_close.max_us).max();
    let all = case.total(DRIPPED);
    let (cut, accepted) = (case.count(DRIPPED, Dripping::Cut), case.count(DRIPPED, Dripping::Accepted));
    let lasted = case.measured(DRIPPED_FOR).max.unwrap_or(0);
    let evidence = format!(
        "of {all} CONNECTs sent byte by byte, {cut} were cut off and {accepted} accepted, the longest after {}{}",
        time(lasted),
        silent_us
            .map(|us| format!("; a silent connection was closed after {}", time(us)))
            .unwrap_or_default()
    );
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if cut == all {
        Finding::holds(all, evidence)
    } else if accepted > 0 && silent_us.is_some_and(|us| lasted > us + us / 2) {
        let note = "only the gap between two bytes is limited: a slow CONNECT holds its socket longer than a silent client";
        Finding::differs(all, note, evidence)
    } else {
        let note = "no limit was reached; try a --wait well beyond the time after which silent connections are closed";
        Finding::differs(all, note, evidence)
    })
}

/// MQTT 5.0 [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK.
fn sends_no_disconnect_before_connack(case: &Judged<'_>) -> Option<Finding> {
    let sent: u64 = case.disconnect_codes.values().sum();
    let all = evidence_count(case);
    let evidence = format!("{sent} of {all} connections received DISCONNECT before any CONNACK");
    Some(match (all, sent) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::violated(evidence)
            .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT"))),
    })
}

/// No numbered statement: well-behaved clients can connect, however many sockets are held.
fn lets_honest_clients_in(case: &Judged<'_>) -> Option<Finding> {
    let _variant = Variant::named(&case.case.variant)?;
    let (all, accepted) = (case.total(HONEST), case.count(HONEST, Answer::Accepted));
    let slowest = case.measured(HONEST_CONNACK).max;
    let evidence = format!(
        "{accepted} of {all} well-behaved clients were accepted, with up to {} connections held open{}",
        case.measured(HELD_OPEN).max.unwrap_or(0),
        slowest.map(|us| format!("; the slowest CONNACK took {}", time(us))).unwrap_or_default()
    );
    Some(match all {
        0 => Finding::inconclusive(no_sample(case)),
        _ if accepted == all => Finding::holds(all, evidence),
        _ => Finding::differs(all, case.others(HONEST, Answer::Accepted), evidence),
    })
}
