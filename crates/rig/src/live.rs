//! What somebody who watches a run is shown: notes as they come, and a view once a second.

use std::collections::BTreeMap;

use crate::metric::Percentiles;
use crate::phase::Phase;

/// The run at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The phase; absent before the first.
    pub phase: Option<Phase>,
    /// How long the phase has lasted, in µs.
    pub phase_elapsed_us: u64,
    /// How long it is going to last, at the most; absent when that can't be told.
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
    /// Bystanders' response time over the baseline so far.
    pub baseline_response_time: Percentiles,
}

/// Somebody who watches.
pub trait Observer {
    /// Something worth knowing now, one line without a line end.
    fn note(&mut self, text: &str);
    /// The view of this second.
    fn view(&mut self, live: &Live);
    /// The run has ended; what was drawn can be wiped.
    fn end(&mut self);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn note(&mut self, _text: &str) {}
    fn view(&mut self, _live: &Live) {}
    fn end(&mut self) {}
}
