//! What a token that has run out is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::verdict::{Check, Force, Verdict};

pub use super::judged::STATEMENTS;
use super::judged::{self, MayPublish};
use super::token::{ID, RENEWED, Variant};
use super::{CAME_BACK, DELIVERED};
use crate::judging::{self, evidence_count, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 10] = [
    cuts_at_expiry,
    stops_deliveries,
    refuses_the_stale_token,
    accepts_a_new_token,
    tells_the_reason,
    sends_nothing_after_disconnect,
    closes_after_refusing,
    publishes_the_will,
    leaves_others_alone,
    sends_no_disconnect_on_3_1_1,
];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, judge)
}

/// Cases in which the token runs out, and the client shows no other.
fn on_each_end(record: &Record, judge: impl Fn(&CaseRecord) -> Option<Verdict>) -> Vec<Verdict> {
    on_each_case(record, |case| {
        let shows_another = case.case.variant.parse().is_ok_and(Variant::reauthenticates);
        if shows_another { None } else { judge(case) }
    })
}

/// No numbered statement: a client whose token has run out is cut.
fn cuts_at_expiry(record: &Record) -> Vec<Verdict> {
    on_each_end(record, |case| {
        Some(judged::cuts_the_client("cuts_at_expiry", case, "whose token had run out"))
    })
}

/// No numbered statement: what is published a second after the token's end, or later, is not delivered to the client.
fn stops_deliveries(record: &Record) -> Vec<Verdict> {
    on_each_end(record, |case| {
        let after = "more than a second after the end of the client's token";
        Some(judged::stops_deliveries("stops_deliveries", case, DELIVERED, after))
    })
}

/// No numbered statement says who may connect.
fn refuses_the_stale_token(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "refuses_the_stale_token";
    on_each_end(record, |case| {
        let Some(back) = judged::came_back(case, CAME_BACK) else {
            return Some(nobody_came(CHECK, case));
        };
        let let_in = back.let_in();
        let evidence = format!("{} clients connected with a token that had run out: {}", back.all, back.told);
        Some(match let_in {
            0 => Verdict::holds(CHECK, Force::Prose, back.all, evidence),
            _ => {
                let note = format!("{let_in} of {} were let in with a token that had run out", back.all);
                Verdict::differs(CHECK, Force::Prose, back.all, note, evidence)
            }
        })
    })
}

/// No numbered statement says who may connect. No verdict where there was no other token.
fn accepts_a_new_token(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "accepts_a_new_token";
    on_each_end(record, |case| {
        let Some(back) = judged::came_back(case, RENEWED) else {
            return (evidence_count(case) == 0).then(|| nobody_came(CHECK, case));
        };
        let evidence = format!("{} clients connected with a new token: {}", back.all, back.told);
        Some(if back.accepted == back.all {
            Verdict::holds(CHECK, Force::Prose, back.all, evidence)
        } else if back.accepted + back.unknown == back.all {
            Verdict::inconclusive(CHECK, Force::Prose, evidence)
        } else {
            let note =
                format!("{} of {} are not served with a new token", back.all - back.accepted, back.all);
            Verdict::differs(CHECK, Force::Prose, back.all, note, evidence)
        })
    })
}

fn nobody_came(check: &str, case: &CaseRecord) -> Verdict {
    let why = if evidence_count(case) == 0 { no_sample(case) } else { "no client came back".to_owned() };
    Verdict::inconclusive(check, Force::Prose, why)
}

/// MQTT 5.0 section 4.13 (prose): brokers were seen to say one of these.
fn tells_the_reason(record: &Record) -> Vec<Verdict> {
    const EXPECTED: [(u8, &str); 3] =
        [(0x87, "Not authorized"), (0xA0, "Maximum connect time"), (0x98, "Administrative action")];
    on_each_end(record, |case| judged::tells_the_reason("tells_the_reason", case, &EXPECTED))
}

/// MQTT 5.0 [MQTT-3.14.4-1].
fn sends_nothing_after_disconnect(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        judged::sends_nothing_after_disconnect("sends_nothing_after_disconnect", case)
    })
}

/// MQTT 5.0 [MQTT-3.2.2-7], MQTT 3.1.1 [MQTT-3.2.2-5].
fn closes_after_refusing(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| judged::closes_after_refusing("closes_after_refusing", case))
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: a client without credentials may not publish, so an absent Will is a note.
fn publishes_the_will(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        judged::publishes_the_will("publishes_the_will", record, case, MayPublish::No)
    })
}

/// No numbered statement.
fn leaves_others_alone(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| Some(judged::leaves_others_alone("leaves_others_alone", case)))
}

/// MQTT 3.1.1 section 3.14 (prose): DISCONNECT goes from Client to Server only.
fn sends_no_disconnect_on_3_1_1(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| judging::no_disconnect_on_3_1_1(case, !is_v5(case)))
}
