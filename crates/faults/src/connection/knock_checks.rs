//! What a knock is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_mqtt::statement::{Statement, V5_3_14_0_1};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::scale::time;
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::knock::{ACCEPTED, CUT, DRIPPED, DRIPPED_FOR, HELD_OPEN, HONEST, HONEST_CONNACK, ID, Variant};
use crate::judging::{self, examples, is_v5, no_sample, told};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 4] = [
    gives_up_on_silence,
    bounds_the_whole_connect,
    sends_no_disconnect_before_connack,
    lets_honest_clients_in,
];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[V5_3_14_0_1];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord, Variant) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, |case| judge(case, Variant::named(&case.case.variant)?))
}

/// Connections of a case that the broker ended.
fn closed(case: &CaseRecord) -> u64 {
    case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
}

/// MQTT 5.0 and 3.1.1 section 3.1.4: a Server SHOULD close a connection that brings no CONNECT within a reasonable time.
/// Which time that is the standard does not say.
fn gives_up_on_silence(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "gives_up_on_silence";
    on_each_case(record, |case, variant| {
        if variant != Variant::Silent {
            return None;
        }
        let (closed, open) = (closed(case), case.outcome(Outcome::NoReaction));
        let after =
            |us: Option<u64>| us.map(|us| format!(", the last after {}", time(us))).unwrap_or_default();
        let evidence = format!(
            "the broker closed {closed} of {} connections that said nothing{}",
            closed + open,
            after(case.time_to_close.max_us)
        );
        Some(match (closed, open) {
            (0, 0) => Verdict::inconclusive(CHECK, Force::Should, no_sample(case)),
            (_, 0) => Verdict::holds(CHECK, Force::Should, closed + open, evidence),
            _ => {
                let note = format!(
                    "{open} were still open at the end of --wait; a longer one tells when they are closed"
                );
                Verdict::differs(CHECK, Force::Should, closed + open, note, evidence)
            }
        })
    })
}

/// As [`gives_up_on_silence`], for a CONNECT that never stops coming: a bound on the gap between two bytes alone lets a
/// client hold its socket for as long as it likes.
fn bounds_the_whole_connect(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "bounds_the_whole_connect";
    let silent_us = record
        .cases
        .iter()
        .filter(|case| case.case.fault == ID && case.case.variant == Variant::Silent.name())
        .filter(|case| closed(case) > 0)
        .filter_map(|case| case.time_to_close.max_us)
        .max();
    on_each_case(record, |case, variant| {
        if variant != Variant::Drip {
            return None;
        }
        let all = told(case, DRIPPED);
        let (cut, accepted) = (case.fact(DRIPPED, CUT), case.fact(DRIPPED, ACCEPTED));
        let lasted = case.measures.get(DRIPPED_FOR).and_then(|lasted| lasted.max).unwrap_or(0);
        let evidence = format!(
            "of {all} CONNECTs that came byte by byte, {cut} were cut off and {accepted} accepted, the longest after {}{}",
            time(lasted),
            silent_us
                .map(|us| format!("; a connection that said nothing was closed after {}", time(us)))
                .unwrap_or_default()
        );
        Some(if all == 0 {
            Verdict::inconclusive(CHECK, Force::Should, no_sample(case))
        } else if cut == all {
            Verdict::holds(CHECK, Force::Should, all, evidence)
        } else if accepted > 0 && silent_us.is_some_and(|us| lasted > us + us / 2) {
            let note = "only the gap between two bytes is bounded: a CONNECT that drips holds its socket for longer than silence does";
            Verdict::differs(CHECK, Force::Should, all, note, evidence)
        } else {
            let note =
                "no bound was met; a --wait well beyond the time after which silence is given up tells";
            Verdict::differs(CHECK, Force::Should, all, note, evidence)
        })
    })
}

/// MQTT 5.0 [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK.
fn sends_no_disconnect_before_connack(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "sends_no_disconnect_before_connack";
    on_each_case(record, |case, variant| {
        if variant == Variant::Closes || !is_v5(case) {
            return None;
        }
        let sent: u64 = case.disconnect_codes.values().sum();
        let all = judging::evidence_count(case);
        let evidence = format!("{sent} of {all} connections were sent DISCONNECT before any CONNACK");
        let verdict = match (all, sent) {
            (0, _) => Verdict::inconclusive(CHECK, Force::Must, no_sample(case)),
            (_, 0) => Verdict::holds(CHECK, Force::Must, all, evidence),
            _ => Verdict::violated(CHECK, V5_3_14_0_1, evidence)
                .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT"))),
        };
        Some(verdict.citing(V5_3_14_0_1))
    })
}

/// No numbered statement: however many sockets are held, honest clients get in.
fn lets_honest_clients_in(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "lets_honest_clients_in";
    on_each_case(record, |case, _| {
        let all = told(case, HONEST);
        let accepted = case.fact(HONEST, ACCEPTED);
        let max = |measure| case.measures.get(measure).and_then(|measured| measured.max);
        let evidence = format!(
            "{accepted} of {all} honest clients were accepted, with up to {} connections held open{}",
            max(HELD_OPEN).unwrap_or(0),
            max(HONEST_CONNACK)
                .map(|us| format!("; the slowest CONNACK took {}", time(us)))
                .unwrap_or_default()
        );
        let others: Vec<String> = case
            .facts
            .get(HONEST)
            .into_iter()
            .flatten()
            .filter(|(value, _)| *value != ACCEPTED)
            .map(|(value, count)| format!("{value} (×{count})"))
            .collect();
        Some(match all {
            0 => Verdict::inconclusive(CHECK, Force::Prose, no_sample(case)),
            _ if accepted == all => Verdict::holds(CHECK, Force::Prose, all, evidence),
            _ => Verdict::differs(CHECK, Force::Prose, all, others.join(", "), evidence),
        })
    })
}
