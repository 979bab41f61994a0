//! What a kick is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::verdict::{Check, Force, Verdict};

pub use super::judged::STATEMENTS;
use super::judged::{self, MayPublish};
use super::kick::ID;
use super::removal::{Means, Takes};
use super::{CAME_BACK, DELIVERED};
use crate::judging::{self, evidence_count, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 9] = [
    cuts_the_client,
    stops_deliveries,
    refuses_the_client_afterwards,
    tells_administrative_action,
    sends_nothing_after_disconnect,
    closes_after_refusing,
    publishes_the_will,
    leaves_others_alone,
    sends_no_disconnect_on_3_1_1,
];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, judge)
}

/// What was taken from the clients of this case.
fn takes(case: &CaseRecord) -> Takes {
    case.case.variant.parse().map_or(Takes::Unknown, Means::takes)
}

/// No numbered statement: a client whose user was removed is cut.
fn cuts_the_client(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        Some(judged::cuts_the_client("cuts_the_client", case, "whose removal had been confirmed"))
    })
}

/// No numbered statement: what is published after the removal was confirmed is not delivered to the client.
fn stops_deliveries(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        let after = "after the removal had been confirmed";
        Some(judged::stops_deliveries("stops_deliveries", case, DELIVERED, after))
    })
}

/// No numbered statement says who may connect. What was taken from a client says what is to be expected.
fn refuses_the_client_afterwards(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "refuses_the_client_afterwards";
    on_each_case(record, |case| {
        let Some(back) = judged::came_back(case, CAME_BACK) else {
            let why =
                if evidence_count(case) == 0 { no_sample(case) } else { "no client came back".to_owned() };
            return Some(Verdict::inconclusive(CHECK, Force::Prose, why));
        };
        let let_in = back.let_in();
        let evidence =
            format!("{} clients connected again with the same credentials: {}", back.all, back.told);
        Some(match takes(case) {
            Takes::Everything | Takes::Password if let_in > 0 => {
                let note = format!("{let_in} of {} removed clients were let in again", back.all);
                Verdict::differs(CHECK, Force::Prose, back.all, note, evidence)
            }
            Takes::Rights if back.accepted > 0 => {
                let note = format!("{} of {} clients have their rights back", back.accepted, back.all);
                Verdict::differs(CHECK, Force::Prose, back.all, note, evidence)
            }
            Takes::Rights if back.unknown > 0 => Verdict::inconclusive(CHECK, Force::Prose, evidence),
            // Whether the command bans or only cuts is its own affair: nothing would be wrong.
            Takes::Unknown => {
                let why = format!("{evidence}; nobody told us what the command takes away");
                Verdict::inconclusive(CHECK, Force::Prose, why)
            }
            Takes::Everything | Takes::Password | Takes::Rights => {
                Verdict::holds(CHECK, Force::Prose, back.all, evidence)
            }
        })
    })
}

/// MQTT 5.0 section 4.13 (prose): 0x98 is the Reason Code that an operator's act has.
fn tells_administrative_action(record: &Record) -> Vec<Verdict> {
    const EXPECTED: [(u8, &str); 1] = [(0x98, "Administrative action")];
    on_each_case(record, |case| judged::tells_the_reason("tells_administrative_action", case, &EXPECTED))
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

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: where the user may publish as before.
fn publishes_the_will(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        let may_publish = match takes(case) {
            Takes::Password => MayPublish::Yes,
            // What a command takes away is known once the clients have come back: nothing, where all are served again.
            Takes::Unknown
                if judged::came_back(case, CAME_BACK).is_some_and(|back| back.accepted == back.all) =>
            {
                MayPublish::Yes
            }
            Takes::Everything | Takes::Rights | Takes::Unknown => MayPublish::No,
        };
        judged::publishes_the_will("publishes_the_will", record, case, may_publish)
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
