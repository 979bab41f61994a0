//! The checks of the kick. Each reads only the record, and gives a verdict for each case.

use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::CAME_BACK;
use super::common::{self, MayPublish, Reconnects};
use super::removal::{Means, Takes};
use crate::judging::{SENDS_NO_DISCONNECT_ON_3_1_1, is_v5};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("cuts_the_client", cuts_the_client),
    Check::prose("stops_deliveries", stops_deliveries),
    Check::prose("refuses_the_client_afterwards", refuses_the_client_afterwards),
    Check::new("reports_administrative_action", Force::May, reports_administrative_action).on(is_v5),
    common::SENDS_NOTHING_AFTER_DISCONNECT,
    common::CLOSES_AFTER_REFUSING,
    Check::must("publishes_the_will", common::PUBLISHES_THE_WILL, publishes_the_will),
    common::LEAVES_OTHERS_ALONE,
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// What the clients of this case lost.
fn takes(case: &CaseRecord) -> Takes {
    case.case.variant.parse().map_or(Takes::Unknown, Means::takes)
}

/// No numbered statement: a client whose user was removed is cut.
fn cuts_the_client(case: &Judged<'_>) -> Option<Finding> {
    Some(common::cuts_the_client(case, "whose removal had been confirmed"))
}

/// No numbered statement: messages published after the confirmed removal are not delivered to the client.
fn stops_deliveries(case: &Judged<'_>) -> Option<Finding> {
    Some(common::stops_deliveries(case, "after the removal had been confirmed"))
}

/// No numbered statement defines which clients may connect. The expectation follows from what the client lost.
fn refuses_the_client_afterwards(case: &Judged<'_>) -> Option<Finding> {
    let Some(Reconnects { all, with_rights, unknown, accepted, answers }) =
        common::reconnects(case, CAME_BACK)
    else {
        return Some(common::no_reconnect(case));
    };
    let evidence = format!("{all} clients connected again with the same credentials: {answers}");
    Some(match takes(case) {
        Takes::Everything | Takes::Password if accepted > 0 => Finding::differs(
            all,
            format!("{accepted} of {all} removed clients were accepted again"),
            evidence,
        ),
        Takes::Rights if with_rights > 0 => {
            Finding::differs(all, format!("{with_rights} of {all} clients still have their rights"), evidence)
        }
        Takes::Rights if unknown > 0 => Finding::inconclusive(evidence),
        // A command may ban the client or only disconnect it: neither is wrong.
        Takes::Unknown => {
            Finding::inconclusive(format!("{evidence}; whether the command also bans clients is unknown"))
        }
        Takes::Everything | Takes::Password | Takes::Rights => Finding::holds(all, evidence),
    })
}

/// MQTT 5.0 section 4.13 (prose): 0x98 is the Reason Code for an operator's action.
fn reports_administrative_action(case: &Judged<'_>) -> Option<Finding> {
    common::reports_the_reason(case, &[(0x98, "Administrative action")])
}

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: where the user may still publish.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    let all_served = |back: Reconnects| back.with_rights == back.all;
    let may_publish = match takes(case) {
        Takes::Password => true,
        // A command took no rights away where all clients are served again.
        Takes::Unknown => common::reconnects(case, CAME_BACK).is_some_and(all_served),
        Takes::Everything | Takes::Rights => false,
    };
    common::publishes_the_will(case, if may_publish { MayPublish::Yes } else { MayPublish::No })
}
