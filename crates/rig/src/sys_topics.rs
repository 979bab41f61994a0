//! What the broker counts itself and publishes below `$SYS/broker`, where it does: the last value of each topic before
//! the fault phase, and at the end of the run.
//!
//! `$SYS` is a custom and in no version of the standard (MQTT 3.1.1 and 5.0 section 4.7.2), so nobody is accused by it; a broker's own count of
//! dropped messages only explains a loss (`acknowledged_messages_arrive`).

use std::collections::BTreeMap;

use crate::record::SysRecord;

/// Where brokers tell their version, by custom.
pub(crate) const SYS_VERSION_TOPIC: &str = "$SYS/broker/version";
/// Everything else that they tell there.
pub(crate) const SYS_FILTER: &str = "$SYS/broker/#";
/// Topics that are kept; of further ones, none.
const TOPICS_MAX: usize = 64;
/// Bytes of a Topic Name that is kept.
const TOPIC_BYTES_MAX: usize = 256;

/// What was heard so far.
#[derive(Debug, Default)]
pub(crate) struct SysTopics {
    heard: BTreeMap<String, SysRecord>,
}

impl SysTopics {
    /// Takes a message. Whole numbers are kept, and nothing else.
    pub(crate) fn hear(&mut self, topic: &str, payload: &[u8], is_before_fault: bool) {
        let number = std::str::from_utf8(payload).ok().and_then(|text| text.trim().parse::<i64>().ok());
        let Some(value) = number.filter(|_| topic.len() <= TOPIC_BYTES_MAX) else { return };
        if !self.heard.contains_key(topic) && self.heard.len() >= TOPICS_MAX {
            return;
        }
        let record = self.heard.entry(topic.to_owned()).or_default();
        record.after = Some(value);
        if is_before_fault {
            record.before = Some(value);
        }
    }

    /// What was heard, by Topic Name.
    pub(crate) fn into_records(self) -> BTreeMap<String, SysRecord> {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::SysTopics;
    use crate::record::SysRecord;

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
            topics.hear(topic, payload.as_bytes(), is_before_fault);
        }
        topics.hear("$SYS/broker/odd", &[0xff, b'1'], true);
        topics.hear(&"x".repeat(257), b"1", true);
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
    fn a_broker_with_topics_without_end_takes_no_memory_without_end() {
        let mut topics = SysTopics::default();
        for number in 0..1_000 {
            topics.hear(&format!("$SYS/broker/{number:03}"), b"1", true);
        }
        topics.hear("$SYS/broker/003", b"2", false);
        let heard = topics.into_records();
        assert_eq!(heard.len(), 64);
        assert_eq!(heard["$SYS/broker/003"], SysRecord { before: Some(1), after: Some(2) });
    }
}
