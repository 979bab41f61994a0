//! The live view of a run: notes, and a state once a second.

use std::collections::BTreeMap;

use crate::metric::Percentiles;
use crate::phase::Phase;

/// The current state of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The phase; absent before the first.
    pub phase: Option<Phase>,
    /// How long the phase has lasted, in µs.
    pub phase_elapsed_us: u64,
    /// Its maximum duration; absent when unknown.
    pub phase_expected_us: Option<u64>,
    /// Attempts in the plan.
    pub attempts_planned: u64,
    /// Attempts that ended.
    pub attempts_finished: u64,
    /// Attempts that were dropped.
    pub attempts_dropped: u64,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Bystanders' response time over the last second: median, absent without samples.
    pub bystander_p50_us: Option<u64>,
    /// Bystanders' response time over the last second: the largest, absent without samples.
    pub bystander_max_us: Option<u64>,
    /// The load; absent in a run without one.
    pub load: Option<LiveLoad>,
    /// Bystanders' response time over the baseline so far.
    pub baseline_response_time: Percentiles,
}

impl Live {
    /// A run before its start.
    #[must_use]
    pub fn of(attempts_planned: u64, makes_load: bool) -> Self {
        Self { attempts_planned, load: makes_load.then(LiveLoad::default), ..Self::default() }
    }
}

/// The current state of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveLoad {
    /// Planned connections.
    pub connections_planned: u64,
    /// Connections that were accepted and, where planned, subscribed.
    pub connections_ready: u64,
    /// Connections that were refused, could not be made, or were lost.
    pub connections_failed: u64,
    /// Messages that were sent in the last second.
    pub sent_per_second: u64,
    /// Messages delivered to a subscriber in the last second.
    pub delivered_per_second: u64,
    /// Response time over the last second: median, absent without samples.
    pub response_p50_us: Option<u64>,
    /// Response time over the last second: 99th percentile, absent below 1,000 samples.
    pub response_p99_us: Option<u64>,
    /// Messages that are due but not sent.
    pub waiting: u64,
}

/// An observer of a run.
pub trait Observer {
    /// A note: one line without a line end.
    fn note(&mut self, text: &str);
    /// The state of this second.
    fn view(&mut self, live: &Live);
    /// The run has ended; drawings can be cleared.
    fn end(&mut self);
}

/// No observer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn note(&mut self, _text: &str) {}
    fn view(&mut self, _live: &Live) {}
    fn end(&mut self) {}
}
