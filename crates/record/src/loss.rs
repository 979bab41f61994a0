//! When missing acknowledged messages are a violation. One rule for bystanders and for faults with their own messages.
//!
//! A Server that acknowledges a message owns it, and adds it to the session of each Client with a matching subscription
//! (MQTT 5.0 and 3.1.1 [MQTT-4.5.0-1]). The standard sets no time for its delivery, and brokers have configured limits: so
//! lost messages must be distinguished from late ones and from those dropped at a reported limit.

use crate::ledger::LedgerCounts;
use crate::phase::Phase;
use crate::run::Record;
use crate::scale::time;

/// Part of the Topic Names of brokers' drop counters.
pub const DROPPED: &str = "messages/dropped";

/// An explanation of an irregularity that is not a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explained {
    /// A note.
    Note(String),
    /// Nothing can be concluded.
    Unclear(String),
}

/// Explains why acknowledged messages to a subscriber with a continuous session did not arrive; absent when nothing does, so the
/// broker lost them. `held_back` messages were delivered after a while: the broker has a queue, which may have a limit. No
/// loss is later than the phase `lost_in`.
#[must_use]
pub fn explained(
    record: &Record,
    counts: &LedgerCounts,
    held_back: u64,
    lost_in: Phase,
) -> Option<Explained> {
    let refused: u64 = counts.refused.values().sum();
    if refused > 0 {
        return Some(Explained::Note(format!(
            "the broker refused {refused} others: it has announced a limit"
        )));
    }
    if let Some(explained) = reported_drops(record, lost_in) {
        return Some(explained);
    }
    if held_back > 0 {
        let why = format!(
            "the broker held back {held_back} others before delivering them: its queue may have a limit"
        );
        return Some(Explained::Note(why));
    }
    (counts.lost <= counts.lost_at_the_end).then(|| {
        Explained::Unclear("nothing arrived after them, so they may be late rather than lost".to_owned())
    })
}

/// Whether the broker publishes a drop counter.
#[must_use]
pub fn is_counted(record: &Record) -> bool {
    record.broker.sys.iter().any(|(topic, value)| topic.contains(DROPPED) && value.after.is_some())
}

/// What the broker's own drop counter says: brokers drop messages at configured limits. Either the counter grew, or it was not
/// published after the loss, as brokers publish only every few seconds. Absent without a counter, or when a later value had
/// not grown.
fn reported_drops(record: &Record, lost_in: Phase) -> Option<Explained> {
    let counters = || record.broker.sys.iter().filter(|(topic, _)| topic.contains(DROPPED));
    for (topic, value) in counters() {
        let Some(after) = value.after else { continue };
        let grew = match value.before {
            Some(before) if after > before => format!("went from {before} to {after}"),
            None if after > 0 => format!("is {after} and was not published before"),
            _ => continue,
        };
        let why = format!("the broker itself reports dropped messages ({topic} {grew})");
        return Some(Explained::Note(why));
    }
    let (topic, _) = counters().find(|(_, value)| value.after.is_some())?;
    let phase = record.phases.iter().find(|phase| phase.phase == lost_in);
    let lost_until_us = phase.map_or(u64::MAX, |phase| phase.ended_us);
    let published_us = record.broker.sys_last_heard_us.unwrap_or_default();
    (published_us <= lost_until_us).then(|| {
        Explained::Unclear(format!(
            "the broker counts the messages that it drops ({topic}), but last published the count {} into the run, before all \
             of these were lost: it may have dropped them at a configured limit; use a longer --recovery",
            time(published_us)
        ))
    })
}
