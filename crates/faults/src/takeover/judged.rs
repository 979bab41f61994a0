//! The checks of every take-over mode: is the older connection closed, and does the newer one stay?

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{V5_3_1_4_3, V311_3_1_4_2};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;

use super::{ALIVE, Alive, Answer, NEWCOMER, VersionPair, duel, race};
use crate::judging::{
    SENDS_NO_DISCONNECT_ON_3_1_1, evidence_count, examples, names_the_reason, no_sample, sent_code, served_on,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("closes_the_older_connection", &[V5_3_1_4_3, V311_3_1_4_2], closes_the_older_connection),
    Check::prose("accepts_the_newcomer", accepts_the_newcomer),
    Check::prose("leaves_one_connection", leaves_one_connection),
    Check::prose("reports_session_taken_over", reports_session_taken_over)
        .on(|case| older(case) == Some(ProtocolVersion::V5)),
    SENDS_NO_DISCONNECT_ON_3_1_1.on(|case| older(case) == Some(ProtocolVersion::V3_1_1)),
];

/// The versions of the older connections and of the newcomers of a case; absent when the record's are unknown.
pub(super) fn versions(case: &CaseRecord) -> Option<VersionPair> {
    case.case.version.parse().ok()
}

/// The version of the older connections.
fn older(case: &CaseRecord) -> Option<ProtocolVersion> {
    Some(versions(case)?.old)
}

/// Newcomers that were refused or not answered.
pub(super) fn refused(case: &CaseRecord) -> u64 {
    case.total(NEWCOMER).saturating_sub(case.count(NEWCOMER, Answer::Accepted))
}

/// Attempts that ended with more than one live connection.
fn more_than_one(case: &CaseRecord) -> u64 {
    case.count(ALIVE, Alive::Two) + case.count(ALIVE, Alive::Several)
}

/// The finding when no newcomer was accepted.
pub(super) fn no_newcomer(case: &CaseRecord) -> Finding {
    Finding::inconclusive(match (case.count(NEWCOMER, Answer::Accepted), refused(case)) {
        (0, refused @ 1..) => {
            format!("the broker accepted none of the newcomers ({refused} refused or not answered)")
        }
        _ => no_sample(case),
    })
}

/// MQTT 5.0 [MQTT-3.1.4-3], MQTT 3.1.1 [MQTT-3.1.4-2]: the older connection is closed. Violated only when the broker
/// demonstrably kept serving it beside an accepted newcomer.
fn closes_the_older_connection(case: &Judged<'_>) -> Option<Finding> {
    // Two answered connections prove nothing when the broker stalled.
    let both = more_than_one(case).min(case.outcome(Outcome::Tolerated));
    let (silent, down) = (case.outcome(Outcome::NoReaction), case.outcome(Outcome::BrokerDown));
    let (all, ended, accepted) = (evidence_count(case), case.ended(), case.count(NEWCOMER, Answer::Accepted));
    let still_served = || examples(case, |sequence| sequence.ends_with("still served"));
    Some(if both > 0 {
        let evidence = format!(
            "{both} of {all} ClientIDs still had more than one live connection after the newest CONNECT was accepted: \
             the broker answered PINGREQ on each of them"
        );
        served_on(both, ended, evidence).with_examples(still_served())
    } else if accepted == 0 {
        no_newcomer(case)
    } else if silent > 0 {
        let evidence = match case.case.fault.as_str() {
            // With many contenders there is no single older connection.
            duel::ID | race::ID => format!(
                "in {silent} of {all} attempts the broker closed no connection, and no two clients were seen to be served"
            ),
            _ => format!(
                "{silent} of {all} older connections were neither closed nor served by the deadline; try a longer \
                 --reaction-timeout"
            ),
        };
        Finding::inconclusive(evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else if down > 0 {
        let evidence =
            format!("the broker closed {ended} older connections, then went down during {down} attempts");
        Finding::inconclusive(evidence)
    } else if ended < accepted.min(all) {
        let evidence = format!(
            "the broker closed {ended} older connections and accepted {accepted} newcomers: in the remaining attempts \
             it kept serving the older connection and not the newcomer"
        );
        Finding::inconclusive(evidence).with_examples(still_served())
    } else if ended == 0 {
        Finding::inconclusive(no_sample(case))
    } else {
        let mut evidence = format!("the broker closed {ended} of {all} older connections");
        if let refused @ 1.. = refused(case) {
            evidence +=
                &format!("; it refused {refused} newcomers, and a refusal does not require it to close any");
        }
        Finding::holds(ended, evidence)
    })
}

/// No numbered statement: a broker may refuse any CONNECT.
fn accepts_the_newcomer(case: &Judged<'_>) -> Option<Finding> {
    let (all, accepted) = (case.total(NEWCOMER), case.count(NEWCOMER, Answer::Accepted));
    let evidence = format!("{accepted} of {all} newcomers were accepted");
    Some(match all {
        0 => Finding::inconclusive(no_sample(case)),
        _ if accepted == all => Finding::holds(all, evidence),
        _ => Finding::differs(all, case.others(NEWCOMER, Answer::Accepted), evidence),
    })
}

/// No numbered statement beyond that of [`closes_the_older_connection`]: of two connections with one ClientID, the newer
/// one stays.
fn leaves_one_connection(case: &Judged<'_>) -> Option<Finding> {
    let (none, one) = (case.count(ALIVE, Alive::None), case.count(ALIVE, Alive::One));
    let both = more_than_one(case);
    let evidence =
        format!("{one} ClientIDs ended with one live connection, {none} with none, {both} with more");
    Some(match (one, none + both) {
        (0, 0) => no_newcomer(case),
        (_, 0) => Finding::holds(one, evidence),
        (_, wrong) => {
            let note = format!("{wrong} ClientIDs without exactly one live connection");
            Finding::differs(one + wrong, note, evidence)
        }
    })
}

/// MQTT 5.0 section 3.1.4 (prose): the older client receives DISCONNECT 0x8E before the broker closes its connection.
fn reports_session_taken_over(case: &Judged<'_>) -> Option<Finding> {
    let all = case.ended();
    if case.count(NEWCOMER, Answer::Accepted) == 0 {
        return Some(no_newcomer(case));
    }
    if all == 0 && case.disconnect_codes.is_empty() {
        return Some(Finding::inconclusive("the broker closed no older connection"));
    }
    let informed = sent_code(case, &[SESSION_TAKEN_OVER]);
    let evidence = format!(
        "{informed} older clients received DISCONNECT 0x8E (Session taken over); the broker closed {all} older connections"
    );
    Some(names_the_reason(case, &[SESSION_TAKEN_OVER], all, evidence))
}

/// The Reason Code of a DISCONNECT to the older client.
const SESSION_TAKEN_OVER: u8 = 0x8E;
