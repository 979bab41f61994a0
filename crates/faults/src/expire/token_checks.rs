//! The checks of expired tokens. Each reads only the record, and gives a verdict for each case.

use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::verdict::Force;

use super::CAME_BACK;
use super::common::{self, MayPublish, Reconnects};
use super::token::{RENEWED, Variant};
use crate::judging::{SENDS_NO_DISCONNECT_ON_3_1_1, evidence_count, is_v5};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("cuts_at_expiry", cuts_at_expiry).on(expires),
    Check::prose("stops_deliveries", stops_deliveries).on(expires),
    Check::prose("refuses_the_stale_token", refuses_the_stale_token).on(expires),
    Check::prose("accepts_a_new_token", accepts_a_new_token).on(expires),
    Check::new("reports_the_reason", Force::May, reports_the_reason).on(|case| is_v5(case) && expires(case)),
    common::SENDS_NOTHING_AFTER_DISCONNECT,
    common::CLOSES_AFTER_REFUSING,
    Check::must("publishes_the_will", common::PUBLISHES_THE_WILL, publishes_the_will),
    common::LEAVES_OTHERS_ALONE,
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// No numbered statement: the broker cuts a client whose token has expired.
fn cuts_at_expiry(case: &Judged<'_>) -> Option<Finding> {
    Some(common::cuts_the_client(case, "whose token had expired"))
}

/// No numbered statement: messages published a second or more after the token's end are not delivered to the client.
fn stops_deliveries(case: &Judged<'_>) -> Option<Finding> {
    Some(common::stops_deliveries(case, "more than a second after the end of the client's token"))
}

/// No numbered statement defines which clients may connect.
fn refuses_the_stale_token(case: &Judged<'_>) -> Option<Finding> {
    let Some(Reconnects { all, accepted, answers, .. }) = common::reconnects(case, CAME_BACK) else {
        return Some(common::no_reconnect(case));
    };
    let evidence = format!("{all} clients connected with an expired token: {answers}");
    Some(match accepted {
        0 => Finding::holds(all, evidence),
        _ => Finding::differs(all, format!("{accepted} of {all} expired tokens were accepted"), evidence),
    })
}

/// No numbered statement defines which clients may connect. No verdict without a new token.
fn accepts_a_new_token(case: &Judged<'_>) -> Option<Finding> {
    let Some(Reconnects { all, with_rights, unknown, answers, .. }) = common::reconnects(case, RENEWED)
    else {
        return (evidence_count(case) == 0).then(|| common::no_reconnect(case));
    };
    let evidence = format!("{all} clients connected with a new token: {answers}");
    Some(if with_rights == all {
        Finding::holds(all, evidence)
    } else if with_rights + unknown == all {
        Finding::inconclusive(evidence)
    } else {
        let note = format!("{} of {all} clients are not served with a new token", all - with_rights);
        Finding::differs(all, note, evidence)
    })
}

/// Whether the client does not replace its token before it expires.
fn expires(case: &CaseRecord) -> bool {
    !case.case.variant.parse().is_ok_and(Variant::reauthenticates)
}

/// MQTT 5.0 section 4.13 (prose): brokers are known to send one of these.
fn reports_the_reason(case: &Judged<'_>) -> Option<Finding> {
    const EXPECTED: [(u8, &str); 3] =
        [(0x87, "Not authorized"), (0xA0, "Maximum connect time"), (0x98, "Administrative action")];

    common::reports_the_reason(case, &EXPECTED)
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: a client with an expired token has no right to publish, so a missing Will is a note.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    common::publishes_the_will(case, MayPublish::No)
}
