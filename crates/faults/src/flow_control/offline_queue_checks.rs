//! What a broker is judged by that keeps messages for a subscriber which is away. Each check reads the record alone and
//! gives a verdict for each case.

use ungraceful_mqtt::statement::{
    Statement, V5_3_1_2_23, V5_3_2_2_3, V5_4_4_0_1, V5_4_5_0_1, V5_4_6_0_5, V311_3_2_2_2, V311_4_3_3_1,
    V311_4_5_0_1, V311_4_6_0_6,
};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::judging::{counts, in_words, min, missing, qos_2_comes_once, unsettled, values};
use super::offline_queue::{GRANTED_S, ID, LOST_END, NOT_TOLD, PUBLISHER};
use super::unacked_subscriber::{CAME, LATER};
use crate::judging::{self, comes_in_order, evidence_count, examples, is_v5, no_sample, of_version};
use crate::resumption::{Resumed, SESSION_PRESENT};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 5] = [
    keeps_the_session,
    tells_session_present_truly,
    delivers_the_queue_in_order,
    delivers_the_queue_once,
    keeps_what_it_took,
];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[
    V5_3_1_2_23,
    V5_3_2_2_3,
    V311_3_2_2_2,
    V5_4_5_0_1,
    V311_4_5_0_1,
    V5_4_6_0_5,
    V311_4_6_0_6,
    V5_4_4_0_1,
    V311_4_3_3_1,
];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, judge)
}

/// MQTT 5.0 [MQTT-3.1.2-23]: the session is kept for its Session Expiry Interval. Accuses only when it was gone each time,
/// twice or more, the broker had granted the interval, and nothing tells that the broker came up anew in between; on 3.1.1
/// it is a note.
fn keeps_the_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "keeps_the_session";
    on_each_case(record, |case| {
        let resumed = Resumed::of(case);
        let (kept, gone, all) = (resumed.kept(), resumed.gone, resumed.all());
        let granted_s = min(case, GRANTED_S);
        let told = match granted_s {
            Some(seconds) => format!(" (Session Expiry Interval {seconds} s granted)"),
            None => String::new(),
        };
        let evidence = format!("{kept} of {all} sessions were there when their clients returned{told}");
        let verdict = if all == 0 {
            let why = resumed.nothing_known().unwrap_or_else(|| no_sample(case));
            Verdict::inconclusive(CHECK, Force::Must, why)
        } else if gone == 0 {
            Verdict::holds(CHECK, Force::Must, all, evidence)
        } else if let Some(why) = unsettled(record, case) {
            let evidence = format!("{evidence}; {why}");
            Verdict::differs(CHECK, Force::Must, all, format!("{gone} sessions were gone"), evidence)
        } else if is_v5(case)
            && kept == 0
            && gone >= GONE_MIN
            && granted_s.is_some_and(|seconds| seconds > SHORT_S)
        {
            Verdict::violated(CHECK, V5_3_1_2_23, evidence).with_examples(examples(case, |_| true))
        } else {
            Verdict::differs(CHECK, Force::Must, all, format!("{gone} sessions were gone"), evidence)
        };
        Some(if is_v5(case) { verdict.citing(V5_3_1_2_23) } else { verdict })
    })
}

/// MQTT 5.0 [MQTT-3.2.2-3], MQTT 3.1.1 [MQTT-3.2.2-2]: Session Present 1 where there is a session.
fn tells_session_present_truly(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| {
        let statement = of_version(case, V5_3_2_2_3, V311_3_2_2_2);
        Resumed::of(case).told_truly("tells_session_present_truly", case, statement)
    })
}

/// Sessions that must be gone before it is put down to the broker.
const GONE_MIN: u64 = 2;
/// A Session Expiry Interval that an attempt may outlast, in seconds.
const SHORT_S: u64 = 600;

/// MQTT 5.0 [MQTT-4.6.0-5], MQTT 3.1.1 [MQTT-4.6.0-6]: the messages of one publisher on one topic at one QoS come in their
/// order. Judged by the first copy of each.
fn delivers_the_queue_in_order(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "delivers_the_queue_in_order";
    on_each_case(record, |case| {
        let statement = of_version(case, V5_4_6_0_5, V311_4_6_0_6);
        Some(comes_in_order(record, case, CHECK, statement))
    })
}

/// MQTT 5.0 [MQTT-4.4.0-1], MQTT 3.1.1 [MQTT-4.3.3-1]: a message of QoS 2 comes once.
fn delivers_the_queue_once(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |case| qos_2_comes_once(record, case, "delivers_the_queue_once"))
}

/// MQTT 5.0 and 3.1.1 [MQTT-4.5.0-1]: what the broker acknowledged is in the session of the client that is away. It may limit
/// how much it keeps: by the rule of [`ungraceful_record::loss`] only a broker that kept nothing is accused.
fn keeps_what_it_took(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "keeps_what_it_took";
    on_each_case(record, |case| {
        let counts = counts(case);
        let all = evidence_count(case);
        let refused: u64 = counts.refused.values().sum();
        let told_of = counts.delivered + missing(&counts) + refused;
        let evidence = format!(
            "of {} messages to {all} clients that were away, the broker took {} and refused {refused}; {} were delivered, {} \
             lost, {} came again; publishers: {}; missing end: {}",
            counts.sent,
            counts.acknowledged,
            counts.delivered,
            missing(&counts),
            counts.duplicated,
            in_words(&values(case, PUBLISHER)),
            in_words(&values(case, LOST_END)),
        );
        let (Resumed { gone, unknown, .. }, not_told) =
            (Resumed::of(case), case.fact(SESSION_PRESENT, NOT_TOLD));
        let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
        Some(if counts.acknowledged + refused == 0 {
            Verdict::inconclusive(CHECK, Force::Prose, no_sample(case))
        } else if gone > 0 && missing(&counts) > 0 {
            let why = format!("{gone} of {all} sessions were gone, and their messages with them; {evidence}");
            Verdict::inconclusive(CHECK, Force::Prose, why)
        } else if unknown > 0 && missing(&counts) > 0 {
            let why = format!("whether {unknown} of {all} sessions were there is not known; {evidence}");
            Verdict::inconclusive(CHECK, Force::Prose, why)
        } else if not_told > 0 && missing(&counts) > 0 {
            let why = format!("{not_told} of {all} publishers were cut; {evidence}");
            Verdict::inconclusive(CHECK, Force::Prose, why)
        } else if ended > 0 && missing(&counts) > 0 {
            let why = format!("{ended} of {all} clients were cut before everything had come; {evidence}");
            Verdict::inconclusive(CHECK, Force::Prose, why)
        } else if missing(&counts) > 0 {
            let statement = of_version(case, V5_4_5_0_1, V311_4_5_0_1);
            let kept = if case.fact(LATER, CAME) == all { 0 } else { counts.delivered };
            judging::lost(record, case, CHECK, statement, kept, evidence)
        } else if refused > 0 {
            Verdict::differs(
                CHECK,
                Force::Prose,
                told_of,
                format!("{refused} messages were refused"),
                evidence,
            )
        } else if counts.duplicated > 0 {
            let note = format!("{} copies came again", counts.duplicated);
            Verdict::differs(CHECK, Force::Prose, told_of, note, evidence)
        } else {
            Verdict::holds(CHECK, Force::Prose, told_of, evidence)
        })
    })
}
