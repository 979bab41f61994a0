//! What a kick is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::judged::{self, MayPublish};
use super::removal::{Means, Takes};
use super::{CAME_BACK, DELIVERED};
use crate::judging::{SENDS_NO_DISCONNECT_ON_3_1_1, evidence_count, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("cuts_the_client", cuts_the_client),
    Check::prose("stops_deliveries", stops_deliveries),
    Check::prose("refuses_the_client_afterwards", refuses_the_client_afterwards),
    Check::new("tells_administrative_action", Force::May, tells_administrative_action).on(is_v5),
    judged::SENDS_NOTHING_AFTER_DISCONNECT,
    judged::CLOSES_AFTER_REFUSING,
    Check::must("publishes_the_will", judged::PUBLISHES_THE_WILL, publishes_the_will),
    judged::LEAVES_OTHERS_ALONE,
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// What was taken from the clients of this case.
fn takes(case: &CaseRecord) -> Takes {
    case.case.variant.parse().map_or(Takes::Unknown, Means::takes)
}

/// No numbered statement: a client whose user was removed is cut.
fn cuts_the_client(case: &Judged<'_>) -> Option<Finding> {
    Some(judged::cuts_the_client(case, "whose removal had been confirmed"))
}

/// No numbered statement: what is published after the removal was confirmed is not delivered to the client.
fn stops_deliveries(case: &Judged<'_>) -> Option<Finding> {
    let after = "after the removal had been confirmed";
    Some(judged::stops_deliveries(case, DELIVERED, after))
}

/// No numbered statement says who may connect. What was taken from a client says what is to be expected.
fn refuses_the_client_afterwards(case: &Judged<'_>) -> Option<Finding> {
    let Some(back) = judged::came_back(case, CAME_BACK) else {
        let why = if evidence_count(case) == 0 { no_sample(case) } else { "no client came back".to_owned() };
        return Some(Finding::inconclusive(why));
    };
    let let_in = back.let_in();
    let evidence = format!("{} clients connected again with the same credentials: {}", back.all, back.told);
    Some(match takes(case) {
        Takes::Everything | Takes::Password if let_in > 0 => {
            let note = format!("{let_in} of {} removed clients were let in again", back.all);
            Finding::differs(back.all, note, evidence)
        }
        Takes::Rights if back.accepted > 0 => {
            let note = format!("{} of {} clients have their rights back", back.accepted, back.all);
            Finding::differs(back.all, note, evidence)
        }
        Takes::Rights if back.unknown > 0 => Finding::inconclusive(evidence),
        // Whether the command bans or only cuts is its own affair: nothing would be wrong.
        Takes::Unknown => {
            let why = format!("{evidence}; nobody told us what the command takes away");
            Finding::inconclusive(why)
        }
        Takes::Everything | Takes::Password | Takes::Rights => Finding::holds(back.all, evidence),
    })
}

/// MQTT 5.0 section 4.13 (prose): 0x98 is the Reason Code that an operator's act has.
fn tells_administrative_action(case: &Judged<'_>) -> Option<Finding> {
    judged::tells_the_reason(case, &[(0x98, "Administrative action")])
}

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: where the user may publish as before.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
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
    judged::publishes_the_will(case, may_publish)
}
