//! What a broker saw, for tests: connections and how they began and ended, not every packet.
//!
//! The broker's thread writes; any other thread reads or waits. The log is bounded, and what does not fit is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many events a log keeps; later ones are counted in [`Log::left_out`].
pub const EVENTS_MAX: usize = 100_000;
/// The shortest pause between two reads of a waiting reader.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// One thing the broker saw or did. Connections are numbered from 0 in the order of their acceptance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A TCP connection was accepted.
    Accepted {
        /// Its number.
        connection: u64,
    },
    /// The first CONNECT arrived, whatever the answer.
    Connect {
        /// The connection's number.
        connection: u64,
        /// The ClientID as it came, possibly empty.
        client_id: String,
        /// The Protocol Level as it came.
        protocol_level: u8,
        /// Clean Start, or Clean Session.
        clean_start: bool,
    },
    /// Another CONNECT arrived on a connection that had one.
    SecondConnect {
        /// The connection's number.
        connection: u64,
        /// The ClientID in it; absent when the packet could not be read.
        client_id: Option<String>,
    },
    /// A CONNECT arrived with a ClientID that another connection had: the policy decides what happens to each.
    TakeOver {
        /// The number of the connection that had the ClientID.
        connection: u64,
        /// The number of the newcomer.
        by: u64,
    },
    /// A DISCONNECT arrived.
    Disconnect {
        /// The connection's number.
        connection: u64,
        /// Its Reason Code; 0 in MQTT 3.1.1.
        reason_code: u8,
    },
    /// The broker published a Will; listed twice if published twice.
    Will {
        /// The number of the connection it belonged to.
        connection: u64,
        /// The Will Topic.
        topic: String,
    },
    /// The connection ended.
    Ended {
        /// Its number.
        connection: u64,
        /// Who ended it.
        by: EndedBy,
    },
}

/// Who ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndedBy {
    /// The Client: by DISCONNECT, FIN or RST.
    Client,
    /// The broker.
    Broker,
}

/// How many PUBLISHes one connection had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Traffic {
    /// How many arrived, including those that were refused or sent again.
    pub received: u64,
    /// How many were sent, including those that were sent again; a repeated PUBREL counts too.
    pub sent: u64,
    /// How many QoS 1 and QoS 2 deliveries were outstanding at most.
    pub outstanding_most: usize,
}

/// What a broker has seen so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// What happened, in order; no more than [`EVENTS_MAX`].
    pub events: Vec<Event>,
    /// How many events did not fit.
    pub left_out: u64,
    /// How many deliveries were dropped because a subscriber reads too slowly or does not accept packets so large;
    /// not those that a policy lost.
    pub dropped: u64,
    /// The PUBLISHes of each connection that had some, by its number; those of connections numbered from
    /// [`EVENTS_MAX`] on are left out.
    pub traffic: BTreeMap<u64, Traffic>,
}

impl Log {
    /// How many connections were accepted, as far as the events go.
    pub fn connections(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Accepted { .. })).count()
    }

    /// The ClientID of each first CONNECT, in order.
    pub fn client_ids(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|event| match event {
            Event::Connect { client_id, .. } => Some(client_id.as_str()),
            _ => None,
        })
    }

    /// How many take-overs there were, as far as the events go.
    pub fn take_overs(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::TakeOver { .. })).count()
    }

    /// The PUBLISHes of one connection.
    pub fn traffic_of(&self, connection: u64) -> Traffic {
        self.traffic.get(&connection).copied().unwrap_or_default()
    }

    /// How many second CONNECTs arrived, as far as the events go; third ones count too.
    pub fn second_connects(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::SecondConnect { .. })).count()
    }
}

/// The log, shared by the broker's thread and its readers.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(crate) fn note(&self, event: Event) {
        let mut log = self.lock();
        if log.events.len() < EVENTS_MAX {
            log.events.push(event);
        } else {
            log.left_out += 1;
        }
    }

    pub(crate) fn note_dropped(&self) {
        self.lock().dropped += 1;
    }

    pub(crate) fn note_publish(&self, connection: u64) {
        self.note_traffic(connection, |traffic| traffic.received += 1);
    }

    pub(crate) fn note_sent(&self, connection: u64, outstanding: usize) {
        self.note_traffic(connection, |traffic| {
            traffic.sent += 1;
            traffic.outstanding_most = traffic.outstanding_most.max(outstanding);
        });
    }

    fn note_traffic(&self, connection: u64, change: impl FnOnce(&mut Traffic)) {
        if connection < EVENTS_MAX as u64 {
            change(self.lock().traffic.entry(connection).or_default());
        }
    }

    pub(crate) fn snapshot(&self) -> Log {
        self.lock().clone()
    }

    /// Polls. The broker does not wake readers: with a condition that counts events, waking one for each event and each
    /// PUBLISH would cost more the longer the log is.
    pub(crate) fn wait_until(&self, timeout: Duration, mut is_enough: impl FnMut(&Log) -> bool) -> bool {
        let start = Instant::now();
        loop {
            let looked = Instant::now();
            if is_enough(&self.lock()) {
                return true;
            }
            if start.elapsed() >= timeout {
                return false;
            }
            // The broker needs the log more than the reader does.
            std::thread::sleep((looked.elapsed() * 4).max(POLL_INTERVAL));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // A reader that panicked leaves the log intact.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
