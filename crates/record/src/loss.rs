//! When acknowledged messages that did not arrive accuse a broker. One rule for whoever counts them: bystanders, and faults
//! with messages of their own.
//!
//! A Server that acknowledges a message owns it, and adds it to the session of each Client with a matching subscription
//! (MQTT 5.0 and 3.1.1 [MQTT-4.5.0-1]). The standard sets no time for its delivery, and brokers are given limits for what they
//! keep: so what was lost must be told from what is late, and from what a limit took that the broker speaks of.

use crate::ledger::LedgerCounts;
use crate::phase::Phase;
use crate::run::Record;
use crate::scale::time;

/// Part of the Topic Names by which brokers tell how many messages they dropped.
pub const DROPPED: &str = "messages/dropped";

/// What may explain an irregularity, other than the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explained {
    /// Seen all the same: a note.
    Note(String),
    /// Nothing can be concluded.
    Unclear(String),
}

/// What explains that some of these acknowledged messages, to a subscriber whose session lived all the time, did not arrive;
/// absent when nothing does, and the broker lost them. `held_back` are those that it kept for a while and delivered then: it has
/// a queue, which may have a limit. None of them was lost later than in the phase `lost_in`.
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
    if let Some(explained) = by_its_own_account(record, lost_in) {
        return Some(explained);
    }
    if held_back > 0 {
        let why =
            format!("the broker kept {held_back} others and delivered them: its queue may have a limit");
        return Some(Explained::Note(why));
    }
    (counts.lost <= counts.lost_at_the_end)
        .then(|| Explained::Unclear("nothing arrived after them, so late can't be told from lost".to_owned()))
}

/// Whether the broker publishes how many messages it dropped.
#[must_use]
pub fn is_counted(record: &Record) -> bool {
    record.broker.sys.iter().any(|(topic, value)| topic.contains(DROPPED) && value.after.is_some())
}

/// What the broker says itself of messages that it dropped, which it does when a limit that it was given is reached: that there
/// are more of them, or that it has not told since, for brokers tell only every few seconds. Absent when it counts none, or
/// told later that their number had not grown.
fn by_its_own_account(record: &Record, lost_in: Phase) -> Option<Explained> {
    let counters = || record.broker.sys.iter().filter(|(topic, _)| topic.contains(DROPPED));
    for (topic, value) in counters() {
        let Some(after) = value.after else { continue };
        let grew = match value.before {
            Some(before) if after > before => format!("went from {before} to {after}"),
            None if after > 0 => format!("is {after}, and was not told before"),
            _ => continue,
        };
        let why = format!("by its own account the broker dropped messages ({topic} {grew})");
        return Some(Explained::Note(why));
    }
    let (topic, _) = counters().find(|(_, value)| value.after.is_some())?;
    let phase = record.phases.iter().find(|phase| phase.phase == lost_in);
    let lost_until_us = phase.map_or(u64::MAX, |phase| phase.ended_us);
    let told_us = record.broker.sys_last_heard_us.unwrap_or_default();
    (told_us <= lost_until_us).then(|| {
        Explained::Unclear(format!(
            "the broker counts the messages that it drops ({topic}), and last told so {} into the run, before all of these were \
             lost: it may have dropped them at a limit that it was given; a longer --recovery will tell",
            time(told_us)
        ))
    })
}
