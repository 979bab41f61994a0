//! The validated settings of a load, for the engine and its threads.

use std::time::Duration;

use ungraceful_record::confidence::Until;
use ungraceful_rig::run::bound::LoadWaits;

use crate::pace::Pace;
use crate::payload::Payload;
use crate::retained;
use crate::shape::{QosMix, Shape};
use crate::worker::TAKEN_WITHIN;

pub use crate::stamp::PUBLISHERS_MAX;

/// A load.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// Clients that publish.
    pub publishers: u32,
    /// Clients that subscribe.
    pub subscribers: u32,
    /// Clients that neither publish nor subscribe.
    pub idle: u32,
    /// Who receives what.
    pub shape: Shape,
    /// The QoS of each publisher.
    pub qos: QosMix,
    /// Topic of each publisher, with placeholders; absent for one below the run's own root.
    pub topic: Option<String>,
    /// Topic Filter of each subscriber, with placeholders; absent for the one that follows from topics and shape.
    pub filter: Option<String>,
    /// The largest packet in bytes that a client accepts; absent for room for the load's own messages.
    pub max_packet_size: Option<usize>,
    /// How publishing is released.
    pub pace: Pace,
    /// What messages carry.
    pub payload: Payload,
    /// Properties and flags of every message.
    pub message: MessageSettings,
    /// Messages that a publisher may have unacknowledged (QoS 1 and 2), within the broker's Receive Maximum. In a closed
    /// loop whose subscribers belong to the load, messages in transit to them count as well, at any QoS.
    pub in_flight: u16,
    /// Connections per second, over all threads.
    pub connects_per_second: f64,
    /// Connections that may be under way at the same time, over all threads: a listen backlog is short.
    pub connects_in_flight: u32,
    /// Keep Alive, in seconds; 0 for none.
    pub keep_alive_s: u16,
    /// How threads wait for what is due next.
    pub waiting: Waiting,
    /// The percentile that ends the load when it is sure enough, before its time is over; absent for none.
    pub until: Option<Until>,
}

/// Properties and flags of every message; those of MQTT 5.0 are left out in 3.1.1.
#[derive(Clone, Debug, Default)]
pub struct MessageSettings {
    /// RETAIN.
    pub retain: bool,
    /// Message Expiry Interval; not sent when absent.
    pub expiry_s: Option<u32>,
    /// Each publisher sends its topic once, and an alias from then on.
    pub topic_alias: bool,
    /// User Properties.
    pub user_properties: Vec<(String, String)>,
}

impl MessageSettings {
    /// The flag of something that MQTT 3.1.1 does not have; absent when nothing of the kind is set.
    #[must_use]
    pub fn needs_5_0(&self) -> Option<&'static str> {
        [
            (self.expiry_s.is_some(), "--message-expiry-interval"),
            (self.topic_alias, "--topic-alias"),
            (!self.user_properties.is_empty(), "--user-property"),
        ]
        .into_iter()
        .find_map(|(asked, flag)| asked.then_some(flag))
    }
}

/// How a thread waits for what is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps on a kernel timer.
    Sleep,
    /// It polls the clock: the smallest slip, for a core of CPU.
    Spin,
}

impl LoadSettings {
    /// Clients in all.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.publishers + self.subscribers + self.idle
    }

    /// Messages of each publisher that may be under way to its subscribers; absent where that is not bounded: with a
    /// schedule, if the load has no subscribers, and with messages that can't be followed.
    #[must_use]
    pub fn end_to_end_window(&self) -> Option<u16> {
        let is_closed = matches!(self.pace, Pace::Closed(_));
        let is_bounded = is_closed && self.publishers > 0 && self.subscribers > 0 && self.payload.has_stamp();
        is_bounded.then_some(self.in_flight)
    }

    /// Whether publishers wait for subscribers that are not the other half of their own pair: these must be in the same process.
    #[must_use]
    pub fn waits_across_pairs(&self) -> bool {
        self.end_to_end_window().is_some() && self.shape != Shape::Pairs
    }

    /// The largest packet that a client accepts, its Maximum Packet Size (MQTT 5.0 section 3.1.2.11.4): the user's
    /// setting, or room for the load's own messages.
    #[must_use]
    pub fn packet_bytes_max(&self) -> usize {
        /// For fixed header, topic, properties and values of placeholders.
        const ROOM: usize = 64 * 1024;
        if let Some(bytes) = self.max_packet_size {
            return bytes;
        }
        let properties = self.message.user_properties.iter().map(|(name, value)| name.len() + value.len());
        let topic = self.topic.as_ref().map_or(0, String::len);
        ROOM + self.payload.bytes_max() + topic + properties.sum::<usize>()
    }

    /// How long it is measured.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.pace.lasts()
    }

    /// What a run with this load waits for at most, on so many threads.
    #[must_use]
    pub fn waits(&self, threads: u32) -> LoadWaits {
        let threads = threads.min(self.clients()).max(1);
        let subscribers = match self.shape {
            // One thread has all of them.
            Shape::Shared => self.subscribers,
            Shape::Pairs | Shape::Everyone => self.subscribers.div_ceil(threads),
        };
        let of_one = subscribers + self.publishers.div_ceil(threads) + self.idle.div_ceil(threads);
        LoadWaits {
            connecting: Duration::from_secs_f64(self.connects_after_s(of_one, threads)),
            turns: of_one.div_ceil(self.connects_at_a_time(threads)),
            lasts: self.lasts(),
            ends_within: if self.message.retain { TAKEN_WITHIN + retained::WITHIN } else { Duration::ZERO },
        }
    }

    /// Connections that each of so many threads may have under way at the same time: its share, at least one.
    pub(crate) fn connects_at_a_time(&self, threads: u32) -> u32 {
        (self.connects_in_flight / threads).max(1)
    }

    /// When to connect the client with this place on one of so many threads, in seconds after the first.
    pub(crate) fn connects_after_s(&self, place: u32, threads: u32) -> f64 {
        f64::from(place) * f64::from(threads) / self.connects_per_second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LoadSettings, MessageSettings};
    use crate::engine::tests::settings;
    use crate::payload::Payload;
    use crate::shape::Shape;

    #[test]
    fn clients_accept_the_loads_own_messages_or_the_users_size() {
        let of = |publishers, bytes| {
            let payload = Payload::Bytes(bytes);
            LoadSettings { publishers, payload, ..settings() }.packet_bytes_max()
        };
        assert_eq!((of(2, 16), of(2, 1 << 20)), (65_552, (1 << 20) + 65_536));
        let said = LoadSettings { max_packet_size: Some(1_000), ..settings() };
        assert_eq!(said.packet_bytes_max(), 1_000);
    }

    #[test]
    fn clients_of_a_single_thread_take_more_turns() {
        let connects = LoadSettings { publishers: 0, subscribers: 100, connects_in_flight: 10, ..settings() };
        let of = |shape, threads| {
            let waits = LoadSettings { shape, ..connects.clone() }.waits(threads);
            (waits.turns, waits.connecting)
        };
        let second = Duration::from_secs(1);
        assert_eq!(of(Shape::Everyone, 1), (10, second));
        // Four threads have two under way each, and 25 clients.
        assert_eq!(of(Shape::Everyone, 4), (13, second));
        assert_eq!(of(Shape::Shared, 4), (50, 4 * second));
    }

    #[test]
    fn the_end_of_a_load_that_retains_is_waited_for() {
        let message = MessageSettings { retain: true, ..MessageSettings::default() };
        let retains = LoadSettings { message, ..settings() };
        assert_eq!(retains.waits(1).ends_within, Duration::from_secs(20));
        assert_eq!(settings().waits(1).ends_within, Duration::ZERO);
    }

    #[test]
    fn settings_that_3_1_1_does_not_have_are_named_by_flag() {
        let nothing = MessageSettings { retain: true, ..MessageSettings::default() };
        assert_eq!(nothing.needs_5_0(), None);
        let expiry = MessageSettings { expiry_s: Some(0), ..MessageSettings::default() };
        let alias = MessageSettings { topic_alias: true, ..MessageSettings::default() };
        let property = vec![("a".to_owned(), "b".to_owned())];
        let property = MessageSettings { user_properties: property, ..MessageSettings::default() };
        let flags = [expiry, alias, property].map(|settings| settings.needs_5_0().unwrap());
        assert_eq!(flags, ["--message-expiry-interval", "--topic-alias", "--user-property"]);
    }
}
