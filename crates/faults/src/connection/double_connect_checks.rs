//! What the second CONNECT is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_mqtt::statement::{Statement, V5_3_1_0_2, V5_3_1_2_8, V5_3_2_0_2, V311_3_1_0_2, V311_3_1_2_8};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record, WillRecord};
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::double_connect::{ID, SECOND_CLIENT_ID};
use crate::judging::{
    self, DueWills, breach, due_wills, evidence_count, examples, is_v5, no_sample, of_version, served_on,
    troubles,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 7] = [
    closes_on_second_connect,
    sends_one_connack,
    tells_protocol_error,
    sends_no_disconnect_on_3_1_1,
    publishes_the_will,
    binds_no_second_client_id,
    sends_nothing_else,
];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[V5_3_1_0_2, V311_3_1_0_2, V5_3_2_0_2, V5_3_1_2_8, V311_3_1_2_8];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, judge)
}

/// MQTT 5.0 [MQTT-3.1.0-2], MQTT 3.1.1 [MQTT-3.1.0-2]: the broker closes the connection. Violated only when it
/// was proved to go on serving; a connection that is merely left open says nothing about how it was processed.
fn closes_on_second_connect(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "closes_on_second_connect";
    on_each_case(record, |case| {
        let statement = of_version(case, V5_3_1_0_2, V311_3_1_0_2);
        let (tolerated, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
        let (down, all) = (case.outcome(Outcome::BrokerDown), evidence_count(case));
        let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
        let verdict = if tolerated > 0 {
            let evidence = format!(
                "the broker went on serving {tolerated} of {all} clients after their second CONNECT: it answered \
                 every PINGREQ in time, from soon afterwards to the deadline"
            );
            served_on(CHECK, statement, tolerated, ended, evidence)
                .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
        } else if silent > 0 {
            let mut why = troubles(case);
            why.push("a longer --reaction-timeout may tell".to_owned());
            let evidence = format!(
                "{silent} of {all} connections were neither closed nor served until the deadline: {}",
                why.join("; ")
            );
            Verdict::inconclusive(CHECK, Force::Must, evidence)
                .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
        } else if ended == 0 {
            Verdict::inconclusive(CHECK, Force::Must, no_sample(case))
        } else if down > 0 {
            let evidence =
                format!("the broker closed {ended} connections, then went down during {down} attempts");
            Verdict::inconclusive(CHECK, Force::Must, evidence)
        } else {
            Verdict::holds(CHECK, Force::Must, all, format!("the broker closed {ended} of {all} connections"))
        };
        Some(verdict.citing(statement))
    })
}

/// MQTT 5.0 [MQTT-3.2.0-2]: one CONNACK in a connection. MQTT 3.1.1 has no such statement; there it is a note.
fn sends_one_connack(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "sends_one_connack";
    on_each_case(record, |case| {
        let (second, all) = (case.attempts_with_second_connack, evidence_count(case));
        let told = format!("{second} of {all} clients received a second CONNACK on the same connection");
        let force = if is_v5(case) { Force::Must } else { Force::Prose };
        let verdict = match (all, second) {
            (0, _) => Verdict::inconclusive(CHECK, force, no_sample(case)),
            (_, 0) => Verdict::holds(CHECK, force, all, told),
            _ if is_v5(case) => Verdict::violated(CHECK, V5_3_2_0_2, told),
            _ => Verdict::differs(CHECK, force, all, "a second CONNACK", told),
        };
        let verdict = verdict.with_examples(examples(case, |sequence| sequence.contains("second CONNACK")));
        Some(if is_v5(case) { verdict.citing(V5_3_2_0_2) } else { verdict })
    })
}

/// MQTT 5.0 section 4.13: the broker may send DISCONNECT with 0x82 before it closes. It is free not to.
fn tells_protocol_error(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "tells_protocol_error";
    on_each_case(record, |case| {
        if !is_v5(case) {
            return None;
        }
        let all = evidence_count(case);
        if all == 0 {
            return Some(Verdict::inconclusive(CHECK, Force::May, no_sample(case)));
        }
        let expected = case.disconnect_codes.get(&0x82).copied().unwrap_or(0);
        let evidence = format!("{expected} of {all} clients received DISCONNECT 0x82 (Protocol Error)");
        let others: Vec<String> = case
            .disconnect_codes
            .iter()
            .filter(|(code, _)| **code != 0x82)
            .map(|(code, count)| format!("DISCONNECT 0x{code:02X} ({count} times)"))
            .collect();
        Some(if !others.is_empty() {
            Verdict::differs(CHECK, Force::May, all, others.join(", "), evidence)
        } else if expected == 0 {
            Verdict::differs(
                CHECK,
                Force::May,
                all,
                "no DISCONNECT with a reason, which is allowed",
                evidence,
            )
        } else if expected < all {
            let note = "not every client was told the reason, which is allowed";
            Verdict::differs(CHECK, Force::May, all, note, evidence)
        } else {
            Verdict::holds(CHECK, Force::May, all, evidence)
        })
    })
}

/// MQTT 3.1.1 section 3.14 (prose): DISCONNECT goes from Client to Server only.
fn sends_no_disconnect_on_3_1_1(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| judging::no_disconnect_on_3_1_1(case, !is_v5(case)))
}

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the Will is published when the connection is closed by
/// anything but the client's DISCONNECT with 0x00, which these clients do not send.
fn publishes_the_will(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "publishes_the_will";
    let witness_proved = record.witness.is_some_and(|witness| witness.proved);
    on_each_case(record, |case| {
        if case.case.variant != super::double_connect::Variant::WithWill.name() {
            return None;
        }
        let statement = of_version(case, V5_3_1_2_8, V311_3_1_2_8);
        let inconclusive = |why: String| Verdict::inconclusive(CHECK, Force::Must, why);
        let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
            let why = if witness_proved {
                "no connection with a Will was closed by the broker"
            } else {
                "the witness could not subscribe to the Will topics, or was not proved to hear"
            };
            return Some(inconclusive(why.to_owned()).citing(statement));
        };
        let verdict = match due_wills(record, will) {
            DueWills::Unknown(why) => inconclusive(why),
            DueWills::Missing(evidence) => {
                let instead = match will.of_later_connect {
                    0 => String::new(),
                    later => format!("; for {later} the Will of the second CONNECT came instead"),
                };
                breach(record, case, CHECK, statement, evidence + &instead)
            }
            DueWills::Came(evidence) => match besides(will) {
                Some(note) => Verdict::differs(CHECK, Force::Must, will.due, note, evidence),
                None => Verdict::holds(CHECK, Force::Must, will.due, evidence),
            },
        };
        Some(verdict.citing(statement))
    })
}

/// What came besides the Wills that were due, in words; absent when nothing did.
fn besides(will: &WillRecord) -> Option<String> {
    let notes: Vec<String> = [
        (will.more_than_once, "Wills came more than once (QoS 1)"),
        (will.of_later_connect, "Wills of the second CONNECT came as well"),
        (will.not_due_and_seen, "Wills came from clients that the broker had not cut"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// No numbered statement: beside DISCONNECT, CONNACK and the end of the connection, nothing answers a second CONNECT.
fn sends_nothing_else(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "sends_nothing_else";
    on_each_case(record, |case| {
        let all = evidence_count(case);
        if all == 0 {
            return Some(Verdict::inconclusive(CHECK, Force::Prose, no_sample(case)));
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
        let evidence = format!("what {all} clients received after their second CONNECT");
        Some(if others.is_empty() {
            Verdict::holds(CHECK, Force::Prose, all, evidence)
        } else {
            Verdict::differs(CHECK, Force::Prose, all, others.join(", "), evidence)
        })
    })
}

/// No numbered statement: a second CONNECT that is not accepted leaves nothing behind under its ClientID.
fn binds_no_second_client_id(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "binds_no_second_client_id";
    on_each_case(record, |case| {
        if case.case.variant != super::double_connect::Variant::OtherClientId.name() {
            return None;
        }
        let count = |fate| case.fact(SECOND_CLIENT_ID, fate);
        let (live, session, none) = (count("live"), count("session"), count("none"));
        let evidence = format!(
            "of {} second ClientIDs, {live} were bound to the connection, {session} had a session kept, {none} left \
             nothing",
            live + session + none
        );
        Some(if live + session > 0 {
            Verdict::differs(
                CHECK,
                Force::Prose,
                live + session + none,
                "one connection, two ClientIDs",
                evidence,
            )
        } else if none == 0 {
            Verdict::inconclusive(CHECK, Force::Prose, "no second ClientID could be probed")
        } else {
            Verdict::holds(CHECK, Force::Prose, live + session + none, evidence)
        })
    })
}
