//! When acknowledged messages that did not arrive accuse a broker. One rule for whoever counts them: bystanders, and faults
//! with messages of their own.
//!
//! A Server that acknowledges a message owns it, and adds it to the session of each Client with a matching subscription
//! (MQTT 5.0 and 3.1.1 [MQTT-4.5.0-1]). The standard sets no time for its delivery, and brokers are given limits for what they
//! keep: so what was lost must be told from what is late, and from what a limit took that the broker speaks of.

use crate::ledger::LedgerCounts;
use crate::record::Record;

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
/// a queue, which may have a limit.
#[must_use]
pub fn explained(record: &Record, counts: &LedgerCounts, held_back: u64) -> Option<Explained> {
    let refused: u64 = counts.refused.values().sum();
    if refused > 0 {
        return Some(Explained::Note(format!(
            "the broker refused {refused} others: it has announced a limit"
        )));
    }
    if let Some(why) = dropped_by_its_own_account(record) {
        return Some(Explained::Note(why));
    }
    if held_back > 0 {
        let why =
            format!("the broker kept {held_back} others and delivered them: its queue may have a limit");
        return Some(Explained::Note(why));
    }
    (counts.lost <= counts.lost_at_the_end)
        .then(|| Explained::Unclear("nothing arrived after them, so late can't be told from lost".to_owned()))
}

/// What the broker says itself of messages that it dropped, which it does when a limit that it was given is reached;
/// absent when it says nothing of it, or that the number of them did not grow.
fn dropped_by_its_own_account(record: &Record) -> Option<String> {
    let (topic, before, after) = record.broker.sys.iter().find_map(|(topic, value)| {
        let (before, after) = (value.before?, value.after?);
        (topic.contains("messages/dropped") && after > before).then_some((topic, before, after))
    })?;
    Some(format!("by its own account the broker dropped messages ({topic} went from {before} to {after})"))
}
