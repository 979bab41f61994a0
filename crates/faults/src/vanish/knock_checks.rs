//! What a knock is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_mqtt::statement::V5_3_14_0_1;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::time;
use ungraceful_record::verdict::Force;

use super::knock::{DRIPPED, DRIPPED_FOR, Dripping, HELD_OPEN, HONEST, HONEST_CONNACK, ID, Variant};
use crate::ending::Answer;
use crate::judging::{evidence_count, examples, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::new("gives_up_on_silence", Force::Should, gives_up_on_silence),
    Check::new("bounds_the_whole_connect", Force::Should, bounds_the_whole_connect),
    Check::must("sends_no_disconnect_before_connack", &[V5_3_14_0_1], sends_no_disconnect_before_connack),
    Check::prose("lets_honest_clients_in", lets_honest_clients_in),
];

/// MQTT 5.0 and 3.1.1 section 3.1.4: a Server SHOULD close a connection that brings no CONNECT within a reasonable time.
/// Which time that is the standard does not say.
fn gives_up_on_silence(case: &Judged<'_>) -> Option<Finding> {
    let variant = Variant::named(&case.case.variant)?;
    if variant != Variant::Silent {
        return None;
    }
    let (closed, open) = (case.ended(), case.outcome(Outcome::NoReaction));
    let after = |us: Option<u64>| us.map(|us| format!(", the last after {}", time(us))).unwrap_or_default();
    let evidence = format!(
        "the broker closed {closed} of {} connections that said nothing{}",
        closed + open,
        after(case.time_to_close.max_us)
    );
    Some(match (closed, open) {
        (0, 0) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(closed + open, evidence),
        _ => {
            let note = format!(
                "{open} were still open at the end of --wait; a longer one tells when they are closed"
            );
            Finding::differs(closed + open, note, evidence)
        }
    })
}

/// As [`gives_up_on_silence`], for a CONNECT that never stops coming: a bound on the gap between two bytes alone lets a
/// client hold its socket for as long as it likes.
fn bounds_the_whole_connect(case: &Judged<'_>) -> Option<Finding> {
    let silent_us = case
        .record
        .cases
        .iter()
        .filter(|case| case.case.fault == ID && case.case.variant == Variant::Silent.name())
        .filter(|case| case.ended() > 0)
        .filter_map(|case| case.time_to_close.max_us)
        .max();

    let variant = Variant::named(&case.case.variant)?;

    if variant != Variant::Drip {
        return None;
    }
    let all = case.total(DRIPPED);
    let (cut, accepted) = (case.count(DRIPPED, Dripping::Cut), case.count(DRIPPED, Dripping::Accepted));
    let lasted = case.measured(DRIPPED_FOR).max.unwrap_or(0);
    let evidence = format!(
        "of {all} CONNECTs that came byte by byte, {cut} were cut off and {accepted} accepted, the longest after {}{}",
        time(lasted),
        silent_us
            .map(|us| format!("; a connection that said nothing was closed after {}", time(us)))
            .unwrap_or_default()
    );
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if cut == all {
        Finding::holds(all, evidence)
    } else if accepted > 0 && silent_us.is_some_and(|us| lasted > us + us / 2) {
        let note = "only the gap between two bytes is bounded: a CONNECT that drips holds its socket for longer than silence does";
        Finding::differs(all, note, evidence)
    } else {
        let note = "no bound was met; a --wait well beyond the time after which silence is given up tells";
        Finding::differs(all, note, evidence)
    })
}

/// MQTT 5.0 [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK.
fn sends_no_disconnect_before_connack(case: &Judged<'_>) -> Option<Finding> {
    let variant = Variant::named(&case.case.variant)?;
    if variant == Variant::Closes || !is_v5(case) {
        return None;
    }
    let sent: u64 = case.disconnect_codes.values().sum();
    let all = evidence_count(case);
    let evidence = format!("{sent} of {all} connections were sent DISCONNECT before any CONNACK");
    let finding = match (all, sent) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::violated(evidence)
            .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT"))),
    };
    Some(finding)
}

/// No numbered statement: however many sockets are held, honest clients get in.
fn lets_honest_clients_in(case: &Judged<'_>) -> Option<Finding> {
    let _variant = Variant::named(&case.case.variant)?;
    let (all, accepted) = (case.total(HONEST), case.count(HONEST, Answer::Accepted));
    let evidence = format!(
        "{accepted} of {all} honest clients were accepted, with up to {} connections held open{}",
        case.measured(HELD_OPEN).max.unwrap_or(0),
        case.measured(HONEST_CONNACK)
            .max
            .map(|us| format!("; the slowest CONNACK took {}", time(us)))
            .unwrap_or_default()
    );
    Some(match all {
        0 => Finding::inconclusive(no_sample(case)),
        _ if accepted == all => Finding::holds(all, evidence),
        _ => Finding::differs(all, case.others(HONEST, Answer::Accepted), evidence),
    })
}
