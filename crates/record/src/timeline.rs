//! The timeline of a run, `timeline.csv`: a row per second and phase.
//!
//! The generator writes rows; whoever reads the file takes columns by name, because an older record has fewer.

use serde::{Deserialize, Serialize};

use crate::phase::Phase;

/// One row of `timeline.csv`. Times in µs; a cell is empty where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Seconds since the run's start.
    pub second: u64,
    /// Phase.
    pub phase: Phase,
    /// Bystander messages that fell due.
    pub offered: u64,
    /// Bystander messages that were sent.
    pub sent: u64,
    /// Bystander messages that were acknowledged.
    pub acknowledged: u64,
    /// Bystander messages that were delivered for the first time.
    pub delivered: u64,
    /// Attempts that were begun.
    pub attempts_started: u64,
    /// Attempts that ended.
    pub attempts_finished: u64,
    /// Attempts that were dropped.
    pub attempts_dropped: u64,
    /// Reactions of the broker.
    pub reactions: u64,
    /// Connections of attempts, or of the load, that were open at the end of the second; those of a load are 0 in earlier records.
    pub connections_open: u64,
    /// Median of the bystanders' response time.
    pub bystander_response_time_us_p50: Option<u64>,
    /// 99th percentile of the bystanders' response time; empty below 1,000 samples.
    pub bystander_response_time_us_p99: Option<u64>,
    /// Largest of the bystanders' response times.
    pub bystander_response_time_us_max: Option<u64>,
    /// CPU time that the broker's process used in this second; empty when it is not known. Here and in the next two,
    /// what its child processes use does not count.
    pub broker_cpu_us: Option<u64>,
    /// The broker's resident memory.
    pub broker_rss_bytes: Option<u64>,
    /// File descriptors that the broker holds open; empty where `/proc/PID/fd` can't be read.
    pub broker_descriptors: Option<u64>,
    /// Largest lag of a generator thread's own tick.
    pub generator_lag_us_max: Option<u64>,
    /// Messages of the load that fell due; here and in the next three, 0 in a run without load.
    pub load_offered: u64,
    /// Messages of the load that were sent.
    pub load_sent: u64,
    /// Messages of the load that were acknowledged.
    pub load_acknowledged: u64,
    /// Messages of the load that came to a subscriber for the first time.
    pub load_delivered: u64,
    /// Median of the load's response time: until delivered where there are subscribers, until acknowledged elsewhere.
    pub load_response_time_us_p50: Option<u64>,
    /// 99th percentile of the load's response time; empty below 1,000 samples.
    pub load_response_time_us_p99: Option<u64>,
    /// Largest of the load's response times.
    pub load_response_time_us_max: Option<u64>,
}
