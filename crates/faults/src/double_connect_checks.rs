//! The checks of the second CONNECT. Each check reads only the record and gives one verdict per case.

use ungraceful_mqtt::statement::{V5_3_1_0_2, V5_3_1_2_8, V5_3_2_0_2, V311_3_1_0_2, V311_3_1_2_8};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::WillRecord;
use ungraceful_record::verdict::Force;

use super::double_connect::{SECOND_CLIENT_ID, SecondClientId, Variant};
use crate::judging::{
    SENDS_NO_DISCONNECT_ON_3_1_1, breach, due_wills, evidence_count, examples, is_v5, names_the_reason,
    no_sample, no_will, sent_code, served_on, troubles,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("closes_on_second_connect", &[V5_3_1_0_2, V311_3_1_0_2], closes_on_second_connect),
    Check::must("sends_one_connack", &[V5_3_2_0_2], sends_one_connack),
    Check::new("reports_protocol_error", Force::May, reports_protocol_error).on(is_v5),
    SENDS_NO_DISCONNECT_ON_3_1_1,
    Check::must("publishes_the_will", &[V5_3_1_2_8, V311_3_1_2_8], publishes_the_will)
        .on(|case| case.case.variant == Variant::WithWill.name()),
    Check::prose("binds_no_second_client_id", binds_no_second_client_id)
        .on(|case| case.case.variant == Variant::OtherClientId.name()),
    Check::prose("sends_nothing_else", sends_nothing_else),
];

/// MQTT 5.0 [MQTT-3.1.0-2], MQTT 3.1.1 [MQTT-3.1.0-2]: the broker closes the connection. Violated only when the broker
/// demonstrably kept serving it; an open connection alone does not show how the CONNECT was processed.
fn closes_on_second_connect(case: &Judged<'_>) -> Option<Finding> {
    let (tolerated, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
    let (down, all) = (case.outcome(Outcome::BrokerDown), evidence_count(case));
    let ended = case.ended();
    Some(if tolerated > 0 {
        let evidence = format!(
            "the broker kept serving {tolerated} of {all} clients after their second CONNECT: it answered every \
             PINGREQ in time until the deadline"
        );
        served_on(tolerated, ended, evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if silent > 0 {
        let mut why = troubles(case);
        why.push("try a longer --reaction-timeout".to_owned());
        let evidence = format!(
            "{silent} of {all} connections were neither closed nor served by the deadline: {}",
            why.join("; ")
        );
        Finding::inconclusive(evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else if ended == 0 {
        Finding::inconclusive(no_sample(case))
    } else if down > 0 {
        let evidence =
            format!("the broker closed {ended} connections, then went down during {down} attempts");
        Finding::inconclusive(evidence)
    } else {
        Finding::holds(all, format!("the broker closed {ended} of {all} connections"))
    })
}

/// MQTT 5.0 [MQTT-3.2.0-2]: one CONNACK per connection. MQTT 3.1.1 has no such statement; there it is a note.
fn sends_one_connack(case: &Judged<'_>) -> Option<Finding> {
    let (second, all) = (case.attempts_with_second_connack, evidence_count(case));
    let evidence = format!("{second} of {all} clients received a second CONNACK on the same connection");
    let finding = match (all, second) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ if is_v5(case) => Finding::violated(evidence),
        _ => Finding::differs(all, "a second CONNACK", evidence),
    };
    Some(finding.with_examples(examples(case, |sequence| sequence.contains("second CONNACK"))))
}

/// MQTT 5.0 section 4.13: the broker may send DISCONNECT with 0x82 before it closes the connection.
fn reports_protocol_error(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    if all == 0 {
        return Some(Finding::inconclusive(no_sample(case)));
    }
    let informed = sent_code(case, &[PROTOCOL_ERROR]);
    let evidence = format!("{informed} of {all} clients received DISCONNECT 0x82 (Protocol Error)");
    Some(names_the_reason(case, &[PROTOCOL_ERROR], all, evidence))
}

/// The Reason Code that best fits a second CONNECT.
const PROTOCOL_ERROR: u8 = 0x82;

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the broker publishes the Will unless the client closed the connection
/// with DISCONNECT 0x00, which these clients do not send.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
        let why = no_will(case, "the broker closed no connection with a Will");
        return Some(Finding::inconclusive(why));
    };
    let missing = |evidence: String| {
        let instead = match will.of_later_connect {
            0 => String::new(),
            later => format!("; for {later} clients the Will of the second CONNECT was published instead"),
        };
        breach(case, evidence + &instead)
    };
    Some(due_wills(case, will, missing, |evidence| match unexpected_wills(will) {
        Some(note) => Finding::differs(will.due, note, evidence),
        None => Finding::holds(will.due, evidence),
    }))
}

/// A note on published Wills that were not due; absent when there were none.
fn unexpected_wills(will: &WillRecord) -> Option<String> {
    let notes: Vec<String> = [
        (will.more_than_once, "Wills came more than once (QoS 1)"),
        (will.of_later_connect, "Wills of the second CONNECT were published as well"),
        (will.not_due_and_seen, "Wills were published for clients that the broker had not cut"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// No numbered statement: DISCONNECT, CONNACK and the end of the connection are the only answers to a second CONNECT.
fn sends_nothing_else(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    if all == 0 {
        return Some(Finding::inconclusive(no_sample(case)));
    }
    let expected = |label: &str| {
        ["DISCONNECT", "second CONNACK", "FIN", "RST"].iter().any(|known| label.starts_with(known))
    };
    let others: Vec<String> = case
        .reactions
        .iter()
        .filter(|(label, _)| !expected(label))
        .map(|(label, count)| format!("{label} (×{count})"))
        .collect();
    Some(if others.is_empty() {
        let evidence = format!("none of {all} clients received anything else after their second CONNECT");
        Finding::holds(all, evidence)
    } else {
        let evidence = format!("some of {all} clients received other data after their second CONNECT");
        Finding::differs(all, others.join(", "), evidence)
    })
}

/// No numbered statement: a second CONNECT leaves nothing behind under its ClientID.
fn binds_no_second_client_id(case: &Judged<'_>) -> Option<Finding> {
    let count = |fate| case.count(SECOND_CLIENT_ID, fate);
    let (live, session, none) =
        (count(SecondClientId::Live), count(SecondClientId::Session), count(SecondClientId::None));
    let evidence = format!(
        "of {} second ClientIDs, the broker bound {live} to the connection, kept a session for {session}, and kept \
         nothing for {none}",
        live + session + none
    );
    Some(if live + session > 0 {
        Finding::differs(live + session + none, "the broker also accepted the second ClientID", evidence)
    } else if none == 0 {
        Finding::inconclusive("no second ClientID could be probed")
    } else {
        Finding::holds(live + session + none, evidence)
    })
}
