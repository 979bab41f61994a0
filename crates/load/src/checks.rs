//! The checks of a load's record: whether it was carried out, and whether messages were accepted and lost. None can be
//! violated: what a broker may refuse and drop under load is its operator's choice, and the limit is the user's
//! threshold. Where nothing came, nothing holds.

use std::collections::BTreeMap;

use ungraceful_mqtt::ReasonCode;
use ungraceful_record::check::{Check, Finding};
use ungraceful_record::load::Release;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::Force;

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::of_run("carries_out_the_load", Force::Run, &[], carries_out_the_load),
    Check::of_run("reaches_the_rate", Force::Run, &[], reaches_the_rate),
    Check::of_run("accepts_the_messages", Force::Run, &[], accepts_the_messages),
    Check::of_run("loses_nothing", Force::Run, &[], loses_nothing),
    Check::of_run("receives_live_messages", Force::Run, &[], receives_live_messages),
];

/// Every connection was made and kept.
fn carries_out_the_load(record: &Record) -> Option<Finding> {
    let load = record.load.as_ref()?;
    let connections = &load.connections;
    let (refused, lost) = (sum(&connections.refused), sum(&connections.lost));
    if connections.planned > 0 && refused + lost + connections.never_begun == 0 {
        let evidence = format!("{} of {0} connections were accepted and kept", connections.accepted);
        return Some(Finding::holds(connections.accepted, evidence));
    }
    let mut parts =
        vec![format!("of {} connections, {} were accepted", connections.planned, connections.accepted)];
    parts.extend(most_frequent("refused", &connections.refused));
    parts.extend(most_frequent("lost", &connections.lost));
    if connections.never_begun > 0 {
        parts.push(format!("{} were never begun", connections.never_begun));
    }
    Some(Finding::inconclusive(parts.join("; ")))
}

fn sum(by_reason: &BTreeMap<String, u64>) -> u64 {
    by_reason.values().sum()
}

fn most_frequent(what: &str, by_reason: &BTreeMap<String, u64>) -> Option<String> {
    let (reason, count) = by_reason.iter().max_by_key(|(_, count)| **count)?;
    Some(format!("{} were {what}, most often ({count}): {reason}", sum(by_reason)))
}

/// Every message that fell due was sent.
fn reaches_the_rate(record: &Record) -> Option<Finding> {
    let load = record.load.as_ref().filter(|load| load.release != Release::Nothing)?;
    let all = load.all();
    Some(if all.offered == 0 {
        Finding::inconclusive("no message fell due")
    } else if load.release == Release::Closed {
        let evidence = format!("closed loop: {} messages sent as the broker took them", all.sent);
        Finding::holds(all.sent, evidence)
    } else if all.dropped == 0 {
        let evidence = format!("{} messages fell due and were sent, {} of them late", all.offered, all.late);
        Finding::holds(all.sent, evidence)
    } else {
        let why = most_frequent("of the connections were lost", &load.connections.lost).map_or_else(
            || "the broker took less than was offered; lower --rate, or raise --in-flight".to_owned(),
            |lost| format!("{lost}, and what they had to send is never sent"),
        );
        let evidence =
            format!("of {} messages that fell due, {} were never sent: {why}", all.offered, all.dropped);
        Finding::inconclusive(evidence)
    })
}

/// Messages of QoS 1 and 2 that were sent were acknowledged, and not refused.
fn accepts_the_messages(record: &Record) -> Option<Finding> {
    let load = record.load.as_ref()?;
    let counts = load.acknowledging();
    if counts.sent == 0 {
        return None;
    }
    let mut parts = vec![format!("{} of {} messages were acknowledged", counts.acknowledged, counts.sent)];
    let refusals = counts.refusals();
    if !refusals.is_empty() {
        parts.push(format!("refused {}", refusals.join(", ")));
    }
    if counts.unacknowledged > 0 {
        parts.push(format!("{} were neither acknowledged nor refused", counts.unacknowledged));
    }
    parts.extend(counts.refused.keys().filter_map(|code| cure(*code)).map(str::to_owned));
    let (refused, evidence) = (counts.refused_in_all(), parts.join("; "));
    Some(if counts.acknowledged == 0 {
        Finding::inconclusive(evidence)
    } else if refused > 0 {
        let note = format!("{refused} messages were refused");
        Finding::differs(counts.sent, note, evidence)
    } else if counts.unacknowledged > 0 {
        let note = format!("{} messages were not acknowledged", counts.unacknowledged);
        Finding::differs(counts.sent, note, evidence)
    } else {
        Finding::holds(counts.acknowledged, evidence)
    })
}

fn cure(code: u8) -> Option<&'static str> {
    match ReasonCode(code) {
        ReasonCode::PACKET_TOO_LARGE => Some("the broker takes smaller messages only: lower --size"),
        ReasonCode::NOT_AUTHORIZED => {
            Some("this user may not publish there: give another --topic or --username")
        }
        ReasonCode::QUOTA_EXCEEDED => {
            Some("a limit of the broker was reached: lower --rate, or raise that limit")
        }
        _ => None,
    }
}

/// Every message that was sent came.
fn loses_nothing(record: &Record) -> Option<Finding> {
    let load = record.load.as_ref()?;
    if load.publishers == 0 || load.subscribers == 0 {
        return None;
    }
    let all = load.all();
    if all.expected == 0 {
        let why = match (load.foreign, all.refused_in_all()) {
            (0, 0) => "no message was expected by any subscriber".to_owned(),
            (0, _) => "no accepted message was expected by any subscriber".to_owned(),
            (foreign, _) => format!(
                "{foreign} messages came, and none of them has a stamp that identifies it: put %x into it"
            ),
        };
        return Some(Finding::inconclusive(why));
    }
    let of_acknowledged = load.acknowledging().lost;
    let evidence = format!(
        "of {} deliveries, {} came, {of_acknowledged} of acknowledged messages and {} of QoS 0 did not, {} were still \
         coming, {} are unknown; {} came more than once, {} out of order",
        all.expected,
        all.delivered,
        all.lost - of_acknowledged,
        all.still_coming,
        all.unknown,
        all.duplicated,
        all.reordered
    );
    let irregular = all.lost + all.still_coming + all.unknown + all.duplicated + all.reordered;
    Some(if all.delivered == 0 {
        Finding::inconclusive(evidence)
    } else if irregular == 0 {
        Finding::holds(
            all.delivered,
            format!("{} of {0} deliveries came, each once and in order", all.expected),
        )
    } else {
        let note = if all.lost > 0 {
            format!("{} deliveries were lost", all.lost)
        } else if all.still_coming > 0 {
            format!("{} deliveries were still coming when the wait for them ended", all.still_coming)
        } else {
            let (unknown, others) = (all.unknown, all.duplicated + all.reordered);
            match (unknown, others) {
                (0, others) => format!("{others} deliveries came more than once or out of order"),
                (unknown, _) => format!("{unknown} deliveries neither arrived nor were lost by the broker"),
            }
        };
        Finding::differs(all.delivered, note, evidence)
    })
}

/// Without publishers of the load, its subscribers received something that was published meanwhile.
fn receives_live_messages(record: &Record) -> Option<Finding> {
    let load = record.load.as_ref().filter(|load| load.publishers == 0 && load.subscribers > 0)?;
    let besides = match load.retained {
        0 => String::new(),
        retained => format!("; {retained} retained messages came because of the subscriptions"),
    };
    Some(if load.foreign > 0 {
        let evidence = format!("{} live messages came{besides}", load.foreign);
        Finding::holds(load.foreign, evidence)
    } else {
        let why = format!(
            "no live message came{besides}; publish to the topic while this runs, nothing larger than --max-packet-size"
        );
        Finding::inconclusive(why)
    })
}
