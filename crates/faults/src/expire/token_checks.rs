//! What a token that has run out is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::judged::{self, MayPublish};
use super::token::{RENEWED, Variant};
use super::{CAME_BACK, DELIVERED};
use crate::judging::{SENDS_NO_DISCONNECT_ON_3_1_1, evidence_count, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("cuts_at_expiry", cuts_at_expiry).on(runs_out),
    Check::prose("stops_deliveries", stops_deliveries).on(runs_out),
    Check::prose("refuses_the_stale_token", refuses_the_stale_token).on(runs_out),
    Check::prose("accepts_a_new_token", accepts_a_new_token).on(runs_out),
    Check::new("tells_the_reason", Force::May, tells_the_reason).on(|case| is_v5(case) && runs_out(case)),
    judged::SENDS_NOTHING_AFTER_DISCONNECT,
    judged::CLOSES_AFTER_REFUSING,
    Check::must("publishes_the_will", judged::PUBLISHES_THE_WILL, publishes_the_will),
    judged::LEAVES_OTHERS_ALONE,
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// No numbered statement: a client whose token has run out is cut.
fn cuts_at_expiry(case: &Judged<'_>) -> Option<Finding> {
    Some(judged::cuts_the_client(case, "whose token had run out"))
}

/// No numbered statement: what is published a second after the token's end, or later, is not delivered to the client.
fn stops_deliveries(case: &Judged<'_>) -> Option<Finding> {
    let after = "more than a second after the end of the client's token";
    Some(judged::stops_deliveries(case, DELIVERED, after))
}

/// No numbered statement says who may connect.
fn refuses_the_stale_token(case: &Judged<'_>) -> Option<Finding> {
    let Some(back) = judged::came_back(case, CAME_BACK) else {
        return Some(nobody_came(case));
    };
    let let_in = back.let_in();
    let evidence = format!("{} clients connected with a token that had run out: {}", back.all, back.told);
    Some(match let_in {
        0 => Finding::holds(back.all, evidence),
        _ => {
            let note = format!("{let_in} of {} were let in with a token that had run out", back.all);
            Finding::differs(back.all, note, evidence)
        }
    })
}

/// No numbered statement says who may connect. No verdict where there was no other token.
fn accepts_a_new_token(case: &Judged<'_>) -> Option<Finding> {
    let Some(back) = judged::came_back(case, RENEWED) else {
        return (evidence_count(case) == 0).then(|| nobody_came(case));
    };
    let evidence = format!("{} clients connected with a new token: {}", back.all, back.told);
    Some(if back.accepted == back.all {
        Finding::holds(back.all, evidence)
    } else if back.accepted + back.unknown == back.all {
        Finding::inconclusive(evidence)
    } else {
        let note = format!("{} of {} are not served with a new token", back.all - back.accepted, back.all);
        Finding::differs(back.all, note, evidence)
    })
}

fn nobody_came(case: &CaseRecord) -> Finding {
    let why = if evidence_count(case) == 0 { no_sample(case) } else { "no client came back".to_owned() };
    Finding::inconclusive(why)
}

/// Whether the token runs out, and the client shows no other.
fn runs_out(case: &CaseRecord) -> bool {
    !case.case.variant.parse().is_ok_and(Variant::reauthenticates)
}

/// MQTT 5.0 section 4.13 (prose): brokers were seen to say one of these.
fn tells_the_reason(case: &Judged<'_>) -> Option<Finding> {
    const EXPECTED: [(u8, &str); 3] =
        [(0x87, "Not authorized"), (0xA0, "Maximum connect time"), (0x98, "Administrative action")];

    judged::tells_the_reason(case, &EXPECTED)
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: a client without credentials may not publish, so an absent Will is a note.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    judged::publishes_the_will(case, MayPublish::No)
}
