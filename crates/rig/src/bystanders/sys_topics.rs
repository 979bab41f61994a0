//! What the broker counts itself and publishes below `$SYS/broker`, where it does: the last value of each topic before
//! the fault phase, and at the end of the run.
//!
//! `$SYS` is a custom and in no version of the standard (MQTT 3.1.1 and 5.0 section 4.7.2), so nobody is accused by it; a broker's own count of
//! dropped messages only explains a loss (`acknowledged_messages_arrive`).

use std::collections::BTreeMap;

use ungraceful_record::loss::DROPPED;
use ungraceful_record::run::SysRecord;

/// Where brokers tell their version, by custom.
pub(crate) const SYS_VERSION_TOPIC: &str = "$SYS/broker/version";
/// Everything else that they tell there.
pub(crate) const SYS_FILTER: &str = "$SYS/broker/#";
/// Topics that are kept; of further ones, none.
const TOPICS_MAX: usize = 64;
/// Bytes of a Topic Name that is kept.
const TOPIC_BYTES_MAX: usize = 256;

/// When something was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the fault phase, or the load.
    Before,
    /// In it or later, while the run was measured.
    Measured,
    /// While the run waited for what was still under way. What the broker tells of itself then, without load and when clients
    /// leave, is no cost of the run; only what it dropped still counts.
    Draining,
}

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct SysTopics {
    heard: BTreeMap<String, SysRecord>,
    last_heard_us: Option<u64>,
}

impl SysTopics {
    /// Takes a message that came at `at_us` of the run's clock. Whole numbers are kept, and nothing else.
    pub(crate) fn hear(&mut self, topic: &str, payload: &[u8], when: When, at_us: u64) {
        self.last_heard_us = self.last_heard_us.max(Some(at_us));
        if when == When::Draining && !topic.contains(DROPPED) {
            return;
        }
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.trim().parse::<i64>().ok());
        let Some(value) = number.filter(|_| topic.len() <= TOPIC_BYTES_MAX) else { return };
        if !self.heard.contains_key(topic) && self.heard.len() >= TOPICS_MAX {
            return;
        }
        let record = self.heard.entry(topic.to_owned()).or_default();
        record.after = Some(value);
        if when == When::Before {
            record.before = Some(value);
        }
    }

    /// When the broker last told anything, numbers or not, in µs since the run's start; absent when it never did.
    pub(crate) fn last_heard_us(&self) -> Option<u64> {
        self.last_heard_us
    }

    /// What was heard, by Topic Name.
    pub(crate) fn into_records(self) -> BTreeMap<String, SysRecord> {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::SysRecord;

    use super::{SysTopics, When};

    #[test]
    fn the_last_value_before_the_fault_phase_and_the_last_of_all_are_kept() {
        let mut topics = SysTopics::default();
        for (topic, payload, is_before_fault) in [
            ("$SYS/broker/clients/connected", "7", true),
            ("$SYS/broker/clients/connected", "8\n", true),
            ("$SYS/broker/heap/current", "-5", true),
            ("$SYS/broker/clients/connected", "9", false),
            ("$SYS/broker/clients/maximum", "10", false),
            // Neither of these is a whole number.
            ("$SYS/broker/version", "mosquitto version 2.0.11", true),
            ("$SYS/broker/load/messages/sent/1min", "0.25", true),
            ("$SYS/broker/uptime", "11 seconds", true),
        ] {
            let when = if is_before_fault { When::Before } else { When::Measured };
            topics.hear(topic, payload.as_bytes(), when, 1);
        }
        topics.hear("$SYS/broker/odd", &[0xff, b'1'], When::Before, 1);
        topics.hear(&"x".repeat(257), b"1", When::Before, 1);
        let heard: Vec<_> = topics.into_records().into_iter().collect();
        let record = |topic: &str, before, after| (topic.to_owned(), SysRecord { before, after });
        let expected = [
            record("$SYS/broker/clients/connected", Some(8), Some(9)),
            record("$SYS/broker/clients/maximum", None, Some(10)),
            record("$SYS/broker/heap/current", Some(-5), Some(-5)),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn while_the_run_waits_for_what_is_under_way_only_dropped_messages_count_and_that_it_told_anything_is_kept()
     {
        const DROPPED: &str = "$SYS/broker/publish/messages/dropped";
        const CONNECTED: &str = "$SYS/broker/clients/connected";
        let mut topics = SysTopics::default();
        assert_eq!(topics.last_heard_us(), None);
        for topic in [DROPPED, CONNECTED] {
            topics.hear(topic, b"3", When::Before, 10);
            topics.hear(topic, b"9", When::Draining, 20);
        }
        topics.hear("$SYS/broker/uptime", b"30 seconds", When::Draining, 30);
        topics.hear("$SYS/broker/uptime", b"31 seconds", When::Draining, 25);
        assert_eq!(topics.last_heard_us(), Some(30), "the latest, whatever it says");
        let heard = topics.into_records();
        assert_eq!(heard[DROPPED], SysRecord { before: Some(3), after: Some(9) });
        assert_eq!(heard[CONNECTED], SysRecord { before: Some(3), after: Some(3) });
    }

    #[test]
    fn a_broker_with_topics_without_end_takes_no_memory_without_end() {
        let mut topics = SysTopics::default();
        for number in 0..1_000 {
            topics.hear(&format!("$SYS/broker/{number:03}"), b"1", When::Before, 1);
        }
        topics.hear("$SYS/broker/003", b"2", When::Measured, 1);
        let heard = topics.into_records();
        assert_eq!(heard.len(), 64);
        assert_eq!(heard["$SYS/broker/003"], SysRecord { before: Some(1), after: Some(2) });
    }
}
