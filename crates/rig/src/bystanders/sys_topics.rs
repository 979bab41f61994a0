//! The broker's own counters below `$SYS/broker`, if it publishes them: the last value of each topic before the fault
//! phase, and at the end of the run.
//!
//! `$SYS` is a custom and in no version of the standard (MQTT 3.1.1 and 5.0 section 4.7.2), so no check can fail by
//! it; a broker's own count of dropped messages only explains a loss (`acknowledged_messages_arrive`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ungraceful_mqtt::QoS;
use ungraceful_record::loss::DROPPED;
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BrokerRecord, SysRecord};

use crate::broker::clients::SYS_READER;
use crate::bystanders::context::HonestContext;
use crate::bystanders::honest::HonestEvent;

/// The topic of the broker's version, by custom.
const SYS_VERSION_TOPIC: &str = "$SYS/broker/version";
/// All counters that it publishes.
const SYS_FILTER: &str = "$SYS/broker/#";
/// Topics kept.
const TOPICS_MAX: usize = 64;
/// The longest Topic Name kept.
const TOPIC_BYTES_MAX: usize = 256;

/// When a value came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the fault phase, or the load.
    Before,
    /// In it or later, while the run was measured.
    Measured,
    /// While the run waited for messages under way. What the broker counts then, without load and while clients
    /// leave, is no cost of the run; only what it dropped still counts.
    Draining,
}

#[derive(Debug, Default)]
pub(crate) struct SysTopics {
    /// The broker's version; absent when it publishes none.
    pub(crate) version: Option<String>,
    heard: BTreeMap<String, SysRecord>,
    last_heard_us: Option<u64>,
}

impl SysTopics {
    /// Takes a message that came at `at_us` of the run's clock. Only whole numbers are kept.
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

    /// Writes what was heard into the broker's record.
    pub(crate) fn write(&self, broker: &mut BrokerRecord) {
        broker.sys_version.clone_from(&self.version);
        broker.sys.clone_from(&self.heard);
        broker.sys_last_heard_us = self.last_heard_us;
    }
}

/// Subscribes to the broker's version and, where it publishes one, to its other counters. Uses its own client,
/// because some brokers cut a client that subscribes there; it does not reconnect then.
pub(crate) async fn listen(topics: Rc<RefCell<SysTopics>>, context: Rc<HonestContext>) {
    let (sender, mut connection) = context.clients.make(SYS_READER);
    while let Ok(event) = connection.next().await {
        match event {
            HonestEvent::Connected => {
                // A fresh client's queue has room for one request.
                let _never_full = sender.try_subscribe(&[SYS_VERSION_TOPIC], QoS::AtMostOnce);
            }
            HonestEvent::Subscribed(None) => {
                let _connection_is_gone = sender.try_disconnect();
            }
            HonestEvent::Delivered { topic, payload, .. } if topic == SYS_VERSION_TOPIC => {
                let version = String::from_utf8_lossy(&payload).into_owned();
                // The wider subscription returns the version once more.
                if topics.borrow_mut().version.replace(version).is_none() {
                    let _never_full = sender.try_subscribe(&[SYS_FILTER], QoS::AtMostOnce);
                }
            }
            HonestEvent::Delivered { topic, payload, .. } => {
                let has_begun = |phase| context.messages.phases.begun_us(phase).is_some();
                let when = if context.orders.is_draining() {
                    When::Draining
                } else if [Phase::Fault, Phase::Load].into_iter().any(has_begun) {
                    When::Measured
                } else {
                    When::Before
                };
                topics.borrow_mut().hear(&topic, &payload, when, context.clock.now_us());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::SysRecord;

    use super::{SysTopics, When};

    #[test]
    fn the_last_values_before_the_fault_phase_and_of_all_are_kept() {
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
        let heard: Vec<_> = topics.heard.into_iter().collect();
        let record = |topic: &str, before, after| (topic.to_owned(), SysRecord { before, after });
        let expected = [
            record("$SYS/broker/clients/connected", Some(8), Some(9)),
            record("$SYS/broker/clients/maximum", None, Some(10)),
            record("$SYS/broker/heap/current", Some(-5), Some(-5)),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn while_draining_only_dropped_messages_count() {
        const DROPPED: &str = "$SYS/broker/publish/messages/dropped";
        const CONNECTED: &str = "$SYS/broker/clients/connected";
        let mut topics = SysTopics::default();
        assert_eq!(topics.last_heard_us, None);
        for topic in [DROPPED, CONNECTED] {
            topics.hear(topic, b"3", When::Before, 10);
            topics.hear(topic, b"9", When::Draining, 20);
        }
        topics.hear("$SYS/broker/uptime", b"30 seconds", When::Draining, 30);
        topics.hear("$SYS/broker/uptime", b"31 seconds", When::Draining, 25);
        assert_eq!(topics.last_heard_us, Some(30), "the latest, whatever it says");
        let heard = topics.heard;
        assert_eq!(heard[DROPPED], SysRecord { before: Some(3), after: Some(9) });
        assert_eq!(heard[CONNECTED], SysRecord { before: Some(3), after: Some(3) });
    }

    #[test]
    fn the_number_of_topics_is_bounded() {
        let mut topics = SysTopics::default();
        for number in 0..1_000 {
            topics.hear(&format!("$SYS/broker/{number:03}"), b"1", When::Before, 1);
        }
        topics.hear("$SYS/broker/003", b"2", When::Measured, 1);
        let heard = topics.heard;
        assert_eq!(heard.len(), 64);
        assert_eq!(heard["$SYS/broker/003"], SysRecord { before: Some(1), after: Some(2) });
    }
}
