//! The checks of a flood that exceeds Receive Maximum. Each reads only the record and gives one verdict per case.
//!
//! That the broker answers with DISCONNECT 0x93 is prose, so another answer is no violation. MQTT 3.1.1 has no Receive Maximum:
//! its cases are shown and not judged.

use ungraceful_mqtt::statement::V5_3_14_4_2;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;

use super::judging::range;
use super::receive_maximum::{
    EXCESS_DELIVERED, EXCESS_SENT, LINE, Line, RECEIVE_MAXIMUM, TAKEN_BEFORE_REACTION, Variant, WHAT, What,
};
use crate::judging::{evidence_count, examples, is_v5, no_sample, served_on};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("answers_excess_with_0x93", answers_excess_with_0x93).on(is_v5),
    Check::prose("takes_what_it_announced", takes_what_it_announced).on(is_v5),
    Check::must("closes_after_its_disconnect", &[V5_3_14_4_2], closes_after_its_disconnect).on(is_v5),
];

/// The broker's answer by the standard (MQTT 5.0 sections 3.3.4 and 4.9).
const EXPECTED: &str = "DISCONNECT 0x93";

/// MQTT 5.0 sections 3.3.4 and 4.9 (prose): more than Receive Maximum is answered with DISCONNECT 0x93.
fn answers_excess_with_0x93(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    let of = |what: What| case.count(WHAT, what);
    let all_taken = of(What::AllTaken) == case.total(WHAT);
    let (Some(announced), Some(taken), false) =
        (range(case, RECEIVE_MAXIMUM), range(case, TAKEN_BEFORE_REACTION), all == 0)
    else {
        return Some(Finding::inconclusive(no_sample(case)));
    };
    let (sent, delivered) = (case.measured(EXCESS_SENT).sum, case.measured(EXCESS_DELIVERED).sum);
    let evidence = format!(
        "Receive Maximum {announced}; {taken} PUBLISH acknowledged before any other packet came; of {sent} beyond the limit, \
         {delivered} were delivered"
    );
    if sent == 0 && all_taken {
        let why = format!(
            "Receive Maximum {announced}: there are no more Packet Identifiers, so no client can exceed it; {taken} PUBLISH \
             were acknowledged"
        );
        return Some(Finding::holds(all, why));
    }
    let unsettled = of(What::Unanswered) + of(What::StoppedReading);
    let expected = || What::Answer(EXPECTED.to_owned());
    let (down, others) = (case.outcome(Outcome::BrokerDown), case.others(WHAT, expected()));
    let qos1 = case.case.variant == Variant::Qos1.name();
    Some(if unsettled > 0 || sent == 0 {
        let why = format!(
            "{others} among {all} attempts: the broker may not have read beyond the limit; {evidence}"
        );
        Finding::inconclusive(why)
    } else if down > 0 {
        let why = format!("the broker went down during {down} attempts; {evidence}");
        Finding::inconclusive(why)
    } else if of(expected()) == all {
        Finding::holds(all, evidence)
    } else if qos1 && all_taken {
        let evidence = format!(
            "{evidence}; a broker that acknowledges QoS 1 as it reads has given the quota back before the next PUBLISH, so \
             this does not show whether it enforces its limit: see qos2"
        );
        Finding::differs(all, "QoS 1 is no test of the limit", evidence)
    } else {
        Finding::differs(all, format!("{others} instead of {EXPECTED}"), evidence)
    })
}

/// MQTT 5.0 section 4.9 (prose): up to Receive Maximum a client may send. A refusal may have another reason.
fn takes_what_it_announced(case: &Judged<'_>) -> Option<Finding> {
    let (all, below) = (case.total(LINE), case.count(LINE, Line::Below));
    let (Some(announced), Some(taken), true) =
        (range(case, RECEIVE_MAXIMUM), range(case, TAKEN_BEFORE_REACTION), all > 0)
    else {
        return Some(Finding::inconclusive(no_sample(case)));
    };
    let evidence =
        format!("Receive Maximum {announced}, {taken} PUBLISH acknowledged before a refusal or the end");
    let unknown = case.count(LINE, Line::Unknown);
    Some(if below > 0 {
        let note = format!("{below} of {all} clients were refused a PUBLISH within Receive Maximum");
        Finding::differs(all, note, evidence)
    } else if unknown > 0 {
        let why = format!(
            "{unknown} of {all} connections ended, or went quiet, before that many acknowledgements; {evidence}"
        );
        Finding::inconclusive(why)
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-3.14.4-2]: after its DISCONNECT the broker closes the connection.
fn closes_after_its_disconnect(case: &Judged<'_>) -> Option<Finding> {
    let sent: u64 = case.disconnect_codes.values().sum();
    if sent == 0 {
        return None;
    }
    let counted = |end: &str| -> u64 {
        let of = case.sequences.iter();
        of.filter(|(sequence, _)| sequence.contains("DISCONNECT") && sequence.ends_with(end))
            .map(|(_, count)| count)
            .sum()
    };
    let served = counted("still served");
    let silent = counted("until the deadline");
    Some(if served > 0 {
        let evidence = format!("{served} of {sent} clients were served after the broker's DISCONNECT");
        served_on(served, sent - served.min(sent), evidence).with_examples(examples(case, |sequence| {
            sequence.contains("DISCONNECT") && sequence.ends_with("still served")
        }))
    } else if silent > 0 {
        let why = format!(
            "{silent} of {sent} connections were still open at the deadline; try a longer --reaction-timeout"
        );
        Finding::inconclusive(why)
    } else {
        Finding::holds(sent, format!("{sent} connections were closed after their DISCONNECT"))
    })
}
