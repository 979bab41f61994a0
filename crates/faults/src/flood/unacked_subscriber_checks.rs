//! The checks of a subscriber that does not acknowledge. Each reads only the record and gives one verdict per case.
//!
//! MQTT 3.1.1 has no Receive Maximum: its cases are judged only by what arrives twice.

use ungraceful_mqtt::statement::{V5_3_3_4_9, V5_4_5_0_1, V5_4_6_0_5, V5_4_9_0_3};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::judging::{QOS_2_ONCE, counts, max, min, missing, qos_2_comes_once};
use super::unacked_subscriber::{
    Answered, HELD, HELD_BACK, Held, OUTSTANDING_MOST, OUTSTANDING_WITHHELD, PINGREQ, TAKEN, Variant,
};
use crate::judging::{self, comes_in_order, evidence_count, examples, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("stays_within_receive_maximum", &[V5_3_3_4_9], stays_within_receive_maximum).on(is_v5),
    Check::must("answers_while_the_quota_is_used_up", &[V5_4_9_0_3], answers_while_the_quota_is_used_up)
        .on(is_v5),
    Check::must("delivers_in_order", &[V5_4_6_0_5], comes_in_order).on(is_v5),
    Check::must("delivers_qos_2_once", QOS_2_ONCE, qos_2_comes_once),
    Check::must("delivers_everything_once", &[V5_4_5_0_1], delivers_everything_once).on(is_v5),
    Check::prose("keeps_the_subscriber", keeps_the_subscriber).on(is_v5),
];

/// The client's Receive Maximum; absent when it sent none.
fn receive_maximum(case: &CaseRecord) -> Option<u64> {
    case.case.variant.parse::<Variant>().ok()?.receive_maximum().map(u64::from)
}

/// MQTT 5.0 [MQTT-3.3.4-9]: no more than Receive Maximum is unacknowledged.
fn stays_within_receive_maximum(case: &Judged<'_>) -> Option<Finding> {
    let k = receive_maximum(case)?;
    let all = evidence_count(case);
    let (most, taken) = (max(case, OUTSTANDING_MOST).unwrap_or(0), max(case, TAKEN).unwrap_or(0));
    let withheld = max(case, OUTSTANDING_WITHHELD).unwrap_or(0);
    let evidence = format!(
        "a client with Receive Maximum {k} had up to {withheld} PUBLISH unacknowledged while it acknowledged nothing, \
         and up to {most} once it did; the broker had up to {taken} messages to send"
    );
    // The excess was counted packet by packet, so nothing else can explain it.
    let finding = if most > k {
        let (at_once, later) = (case.count(HELD, Held::Beyond), case.count(HELD, Held::BeyondLater));
        let evidence = format!("{evidence}; {} of {all} clients were affected", at_once + later);
        Finding::violated(evidence).with_examples(examples(case, |_| true))
    } else if most == 0 {
        Finding::inconclusive(no_sample(case))
    } else if taken <= k {
        Finding::inconclusive(format!("{evidence}, which is not more than {k}"))
    } else {
        Finding::holds(all, evidence)
    };
    Some(finding)
}

/// MQTT 5.0 [MQTT-4.9.0-3]: a quota that is used up holds back PUBLISH packets and nothing else. Violated only when another
/// client was answered meanwhile, several times and to later requests, so that the broker as a whole was not merely slow.
fn answers_while_the_quota_is_used_up(case: &Judged<'_>) -> Option<Finding> {
    let k = receive_maximum(case)?;
    let (late, answered) = (case.count(PINGREQ, Answered::Late), case.count(PINGREQ, Answered::InTime));
    let (starved, silent) =
        (case.count(PINGREQ, Answered::Not), case.count(PINGREQ, Answered::NorThePublisher));
    let all = answered + late + starved + silent;
    let least = min(case, OUTSTANDING_WITHHELD).unwrap_or(0);
    let finding = if starved > 0 && least < k {
        let why = format!(
            "{starved} of {all} clients got no answer to PINGREQ, but only {least} PUBLISH were unacknowledged, fewer \
             than their Receive Maximum of {k}"
        );
        Finding::inconclusive(why)
    } else if starved > 0 {
        let evidence = format!(
            "{starved} of {all} clients with {k} or more PUBLISH unacknowledged got no answer to PINGREQ, while the \
             publisher got several answers to later ones"
        );
        Finding::violated(evidence).with_examples(examples(case, |_| true))
    } else if silent > 0 {
        let why = format!(
            "{silent} of {all} clients got no answer to PINGREQ, but the publisher got few or none either"
        );
        Finding::inconclusive(why)
    } else if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if late > 0 {
        let evidence = format!(
            "{answered} of {all} clients got an answer to PINGREQ within the reaction timeout and {late} later, with at \
             least {least} PUBLISH unacknowledged"
        );
        Finding::differs(all, format!("{late} of {all} were answered late"), evidence)
    } else {
        let evidence = format!(
            "{answered} of {all} clients got an answer to PINGREQ with at least {least} PUBLISH unacknowledged"
        );
        Finding::holds(all, evidence)
    };
    Some(finding)
}

/// MQTT 5.0 [MQTT-4.5.0-1]: what the broker acknowledged is in the client's session, and is delivered once the client
/// acknowledges. Violated by the rule of [`ungraceful_record::loss`]. A message that comes again is a note.
fn delivers_everything_once(case: &Judged<'_>) -> Option<Finding> {
    let counts = counts(case);
    let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
    let evidence = format!(
        "of {} messages that the broker acknowledged, {} were lost and {} came again",
        counts.acknowledged,
        missing(&counts),
        counts.duplicated
    );
    let judged = counts.delivered + missing(&counts);
    let finding = if counts.acknowledged == 0 {
        Finding::inconclusive(no_sample(case))
    } else if ended > 0 {
        let why = format!("{ended} subscribers were cut before they acknowledged; {evidence}");
        Finding::inconclusive(why)
    } else if missing(&counts) > 0 {
        return Some(judging::lost(case, case.measured(HELD_BACK).sum, evidence));
    } else if counts.duplicated > 0 {
        Finding::differs(judged, format!("{} messages came again", counts.duplicated), evidence)
    } else {
        Finding::holds(judged, evidence)
    };
    // The statement is about loss, not about copies.
    Some(finding.of(Force::Prose))
}

/// No numbered statement: a client may take as long as it likes to acknowledge.
fn keeps_the_subscriber(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
    let evidence = format!("the broker ended {ended} of {all} connections that acknowledged nothing");
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if ended > 0 {
        Finding::differs(all, "the broker cuts a client that does not acknowledge", evidence)
    } else {
        Finding::holds(all, evidence)
    })
}
