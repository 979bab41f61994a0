//! What a load's record is judged by: whether it was carried out, and whether messages were lost. Nothing here accuses a
//! broker: what it may drop under load is its operator's choice, and what is too much the user's threshold.

use std::collections::BTreeMap;

use ungraceful_rig::load::Release;
use ungraceful_rig::record::Record;
use ungraceful_rig::verdict::{Check, Force, Verdict};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 3] = [carries_out_the_load, reaches_the_rate, loses_nothing];

/// Every connection was made and kept.
fn carries_out_the_load(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "carries_out_the_load";
    let Some(load) = &record.load else { return Vec::new() };
    let connections = &load.connections;
    let (refused, lost) = (sum(&connections.refused), sum(&connections.lost));
    if connections.planned > 0 && refused + lost + connections.never_begun == 0 {
        let evidence = format!("{} of {0} connections were accepted and kept", connections.accepted);
        return vec![Verdict::holds(CHECK, Force::Run, connections.accepted, evidence)];
    }
    let mut parts =
        vec![format!("of {} connections, {} were accepted", connections.planned, connections.accepted)];
    parts.extend(most_frequent("refused", &connections.refused));
    parts.extend(most_frequent("lost", &connections.lost));
    if connections.never_begun > 0 {
        parts.push(format!("{} were never begun", connections.never_begun));
    }
    vec![Verdict::inconclusive(CHECK, Force::Run, parts.join("; "))]
}

fn sum(by_reason: &BTreeMap<String, u64>) -> u64 {
    by_reason.values().sum()
}

fn most_frequent(what: &str, by_reason: &BTreeMap<String, u64>) -> Option<String> {
    let (reason, count) = by_reason.iter().max_by_key(|(_, count)| **count)?;
    Some(format!("{} were {what}, most often ({count}): {reason}", sum(by_reason)))
}

/// What fell due was sent.
fn reaches_the_rate(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "reaches_the_rate";
    let Some(load) = record.load.as_ref().filter(|load| load.release != Release::Nothing) else {
        return Vec::new();
    };
    let all = load.all();
    vec![if all.offered == 0 {
        Verdict::inconclusive(CHECK, Force::Run, "no message fell due")
    } else if load.release == Release::Closed {
        let evidence = format!("closed loop: {} messages sent as the broker took them", all.sent);
        Verdict::holds(CHECK, Force::Run, all.sent, evidence)
    } else if all.dropped == 0 {
        let evidence = format!("{} messages fell due and were sent, {} of them late", all.offered, all.late);
        Verdict::holds(CHECK, Force::Run, all.sent, evidence)
    } else {
        let evidence = format!(
            "of {} messages that fell due, {} were never sent: the broker took less than was offered, or connections were \
             lost; lower --rate, or raise --in-flight",
            all.offered, all.dropped
        );
        Verdict::inconclusive(CHECK, Force::Run, evidence)
    }]
}

/// What was sent came.
fn loses_nothing(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "loses_nothing";
    let Some(load) = &record.load else { return Vec::new() };
    if load.publishers == 0 || load.subscribers == 0 {
        return Vec::new();
    }
    let all = load.all();
    if all.expected == 0 {
        let why = match load.foreign {
            0 => "no message was to come to any subscriber".to_owned(),
            foreign => format!(
                "{foreign} messages came, and none of them has a stamp to follow it by: put %x into it"
            ),
        };
        return vec![Verdict::inconclusive(CHECK, Force::Run, why)];
    }
    let of_acknowledged: u64 =
        load.by_qos.iter().filter(|(qos, _)| **qos > 0).map(|(_, counts)| counts.lost).sum();
    let evidence = format!(
        "of {} deliveries, {} came, {of_acknowledged} of acknowledged messages and {} of QoS 0 did not, {} are unknown; {} \
         came more than once, {} out of order",
        all.expected,
        all.delivered,
        all.lost - of_acknowledged,
        all.unknown,
        all.duplicated,
        all.reordered
    );
    let irregular = all.lost + all.unknown + all.duplicated + all.reordered;
    vec![if irregular == 0 {
        Verdict::holds(
            CHECK,
            Force::Run,
            all.delivered,
            format!("{} of {0} deliveries came, each once and in order", all.expected),
        )
    } else {
        let note = if all.lost > 0 {
            format!("{} deliveries were lost", all.lost)
        } else {
            let (unknown, others) = (all.unknown, all.duplicated + all.reordered);
            match (unknown, others) {
                (0, others) => format!("{others} deliveries came more than once or out of order"),
                (unknown, _) => format!("of {unknown} deliveries nobody can tell whose loss they are"),
            }
        };
        Verdict::differs(CHECK, Force::Run, all.delivered, note, evidence)
    }]
}
