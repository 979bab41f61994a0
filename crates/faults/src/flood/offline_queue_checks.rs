//! The checks of a broker that queues messages for an offline subscriber. Each reads only the record and gives one verdict
//! per case.

use ungraceful_mqtt::statement::{V5_3_1_2_23, V5_4_5_0_1, V5_4_6_0_5, V311_4_5_0_1, V311_4_6_0_6};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::verdict::Force;

use super::judging::{QOS_2_ONCE, counts, min, missing, qos_2_comes_once, unsettled};
use super::offline_queue::{GRANTED_S, LOST_END, PUBLISHER};
use super::unacked_subscriber::{LATER, Later};
use crate::judging::{self, comes_in_order, evidence_count, examples, is_v5, no_sample};
use crate::resumption::{REPORTS_SESSION_PRESENT_CORRECTLY, Resumed, Resumption, SESSION_PRESENT};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("keeps_the_session", &[V5_3_1_2_23], keeps_the_session),
    REPORTS_SESSION_PRESENT_CORRECTLY,
    Check::must("delivers_the_queue_in_order", &[V5_4_6_0_5, V311_4_6_0_6], comes_in_order),
    Check::must("delivers_the_queue_once", QOS_2_ONCE, qos_2_comes_once),
    Check::must("keeps_what_it_took", &[V5_4_5_0_1, V311_4_5_0_1], keeps_what_it_took),
];

/// MQTT 5.0 [MQTT-3.1.2-23]: the session is kept for its Session Expiry Interval. Violated only when it was gone every time,
/// at least twice, the broker had granted the interval, and there is no sign of a restart in between; on 3.1.1 a note.
fn keeps_the_session(case: &Judged<'_>) -> Option<Finding> {
    let resumed = Resumed::of(case);
    let (kept, gone, all) = (resumed.kept(), resumed.gone, resumed.all());
    let granted_s = min(case, GRANTED_S);
    let granted = match granted_s {
        Some(seconds) => format!(" (Session Expiry Interval {seconds} s granted)"),
        None => String::new(),
    };
    let evidence = format!("{kept} of {all} sessions were there when their clients returned{granted}");
    let finding = if all == 0 {
        let why = resumed.nothing_known().unwrap_or_else(|| no_sample(case));
        Finding::inconclusive(why)
    } else if gone == 0 {
        Finding::holds(all, evidence)
    } else if let Some(why) = unsettled(case) {
        let evidence = format!("{evidence}; {why}");
        Finding::differs(all, format!("{gone} sessions were gone"), evidence)
    } else if is_v5(case)
        && kept == 0
        && gone >= GONE_MIN
        && granted_s.is_some_and(|seconds| seconds > SHORT_S)
    {
        Finding::violated(evidence).with_examples(examples(case, |_| true))
    } else {
        Finding::differs(all, format!("{gone} sessions were gone"), evidence)
    };
    Some(finding)
}

/// How many sessions must be gone for a violation.
const GONE_MIN: u64 = 2;
/// A Session Expiry Interval that an attempt may outlast, in seconds.
const SHORT_S: u64 = 600;

/// MQTT 5.0 and 3.1.1 [MQTT-4.5.0-1]: what the broker acknowledged is in the session of the offline client. It may limit how
/// much it keeps: by the rule of [`ungraceful_record::loss`], only keeping nothing is a violation.
fn keeps_what_it_took(case: &Judged<'_>) -> Option<Finding> {
    let counts = counts(case);
    let all = evidence_count(case);
    let refused: u64 = counts.refused.values().sum();
    let judged = counts.delivered + missing(&counts) + refused;
    let evidence = format!(
        "of {} messages to {all} offline clients, the broker acknowledged {} and refused {refused}; {} were delivered, {} \
         lost, {} came again; publishers: {}; missing end: {}",
        counts.sent,
        counts.acknowledged,
        counts.delivered,
        missing(&counts),
        counts.duplicated,
        case.in_words(PUBLISHER),
        case.in_words(LOST_END),
    );
    let (Resumed { gone, unknown, .. }, cut) =
        (Resumed::of(case), case.count(SESSION_PRESENT, Resumption::PublisherCut));
    let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
    let finding = if counts.acknowledged + refused == 0 {
        Finding::inconclusive(no_sample(case))
    } else if gone > 0 && missing(&counts) > 0 {
        let why = format!("{gone} of {all} sessions were gone, and their messages with them; {evidence}");
        Finding::inconclusive(why)
    } else if unknown > 0 && missing(&counts) > 0 {
        let why = format!("whether {unknown} of {all} sessions existed is not known; {evidence}");
        Finding::inconclusive(why)
    } else if cut > 0 && missing(&counts) > 0 {
        let why = format!("{cut} of {all} publishers were cut; {evidence}");
        Finding::inconclusive(why)
    } else if ended > 0 && missing(&counts) > 0 {
        let why =
            format!("{ended} of {all} clients were cut before they had received everything; {evidence}");
        Finding::inconclusive(why)
    } else if missing(&counts) > 0 {
        let kept = if case.count(LATER, Later::Came) == all { 0 } else { counts.delivered };
        return Some(judging::lost(case, kept, evidence));
    } else if refused > 0 {
        Finding::differs(judged, format!("{refused} messages were refused"), evidence)
    } else if counts.duplicated > 0 {
        let note = format!("{} messages came again", counts.duplicated);
        Finding::differs(judged, note, evidence)
    } else {
        Finding::holds(judged, evidence)
    };
    // The statement is about loss, not about copies or refusals.
    Some(finding.of(Force::Prose))
}
