//! A load over several processes: this program runs itself again, and each worker process makes the clients of its threads. The run's
//! own process has the record, the bystanders and the phases; it sums up what worker processes measured as it sums up threads.
//!
//! A worker process reads the same command line as the run, so that settings, passwords and certificates need no form of their own.
//! The run tells it only what it has found out since: the broker's address and what it offers, the run's clock and seed, and which
//! share is its own. Between the two go lines of JSON: orders to its standard input, progress and results from its standard output.

mod crew;
mod worker;

use std::ffi::OsString;
use std::io::BufRead;
use std::num::NonZeroU32;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_rig::broker::clients::SharedClients;
use ungraceful_rig::broker::nodes::SharedNode;
use ungraceful_rig::measure::Interval;
use ungraceful_rig::measure::clock::SharedClock;
use ungraceful_rig::run::load::LoadStage;

use crate::progress::Counts;
use crate::split::Split;
use crate::worker::Ended;

pub(crate) use self::crew::{Crew, Finished};
pub use self::worker::serve;

/// The worker processes of a load.
#[derive(Clone, Debug)]
pub struct Processes {
    /// How many; a load with one makes its clients in the run's own process.
    pub number: NonZeroU32,
    /// The command line of the run, which each of them reads again.
    pub arguments: Vec<OsString>,
}

/// The first line to a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// The command line, as bytes.
    arguments: Vec<Vec<u8>>,
    /// Its share.
    pub share: Share,
}

/// The share of a worker process, and what the run found out before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Share {
    /// Which process it is, from 0.
    process: u32,
    processes: u32,
    /// Threads of the whole load.
    threads: u32,
    nodes: Vec<SharedNode>,
    /// As on the wire.
    version: u8,
    #[serde(with = "qos")]
    maximum_qos: QoS,
    maximum_packet_size: Option<u32>,
    shared_subscriptions: bool,
    clients: SharedClients,
    clock: SharedClock,
    seed: u64,
}

impl Start {
    fn new(processes: &Processes, process: u32, split: Split, stage: &LoadStage) -> Self {
        Self {
            arguments: processes.arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
            share: Share {
                process,
                processes: split.processes(),
                threads: split.threads(),
                nodes: stage.nodes.shared(),
                version: stage.version.level(),
                maximum_qos: stage.maximum_qos,
                maximum_packet_size: stage.maximum_packet_size,
                shared_subscriptions: stage.shared_subscriptions,
                clients: stage.clients.shared(),
                clock: stage.clock.shared(),
                seed: stage.seed.0,
            },
        }
    }

    /// Reads the first line of a worker process's standard input.
    ///
    /// # Errors
    /// What is wrong with it: only the run itself writes it.
    pub fn read(input: &mut impl BufRead) -> Result<Self, String> {
        let mut line = String::new();
        input.read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
        serde_json::from_str(&line).map_err(|error| format!("no share of a load: {error}"))
    }

    /// The command line of the run.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        self.arguments.iter().cloned().map(OsString::from_vec).collect()
    }
}

impl Share {
    fn version(&self) -> ProtocolVersion {
        ProtocolVersion::from_level(self.version).unwrap_or_default()
    }
}

/// An order to a worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Order {
    /// Begin at the first instant; what is due before the second does not count. In µs of the run's clock.
    Begin(u64, u64),
    /// End at this instant, before the load's time is over: what is due from then on is not sent.
    EndAt(u64),
    /// Leave, and report the results.
    Stop,
}

/// A line from a worker process.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// The progress of each of its threads.
    Progress(Vec<Counts>),
    /// What a thread measured.
    Measured(u32, Interval),
    /// The results of its threads.
    Ended(Vec<Ended>, Used),
    /// Why it can't go on.
    Failed(String),
}

/// What a worker process used; absent where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    cpu_us_connecting: Option<u64>,
    cpu_us: Option<u64>,
    rss_bytes_before: Option<u64>,
    rss_bytes_connected: Option<u64>,
}

/// QoS as a number.
pub(crate) mod qos {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use ungraceful_mqtt::QoS;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(crate) fn serialize<S: Serializer>(qos: &QoS, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(qos.level())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QoS, D::Error> {
        QoS::try_from(u8::deserialize(deserializer)?).map_err(|_| D::Error::custom("no QoS"))
    }
}

/// Ranges of numbers, each as its first and last.
pub(crate) mod ranges {
    use rangemap::RangeInclusiveSet;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        ranges: &RangeInclusiveSet<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ranges.iter().map(|range| (range.start(), range.end())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RangeInclusiveSet<u64>, D::Error> {
        let ranges = Vec::<(u64, u64)>::deserialize(deserializer)?;
        // An empty range would be refused with a panic.
        Ok(ranges
            .into_iter()
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| first..=last)
            .collect())
    }
}

#[cfg(test)]
mod tests;
