//! What one thread measured since its last report: counters and histograms by phase. Each thread owns its
//! meter and hands it over once a second; nothing is shared while measuring.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::Duration;

use crate::metric::{Histograms, Metric};
use crate::phase::Phase;

/// Counts of what happened in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
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
    /// Attempts that were dropped because they could not be begun in time.
    pub attempts_dropped: u64,
    /// Reactions of the broker.
    pub reactions: u64,
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.delivered += other.delivered;
        self.attempts_started += other.attempts_started;
        self.attempts_finished += other.attempts_finished;
        self.attempts_dropped += other.attempts_dropped;
        self.reactions += other.reactions;
    }
}

/// Everything one thread measured in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Counters by the phase they belong to.
    pub counters: BTreeMap<Phase, Counters>,
    /// Times by metric and phase.
    pub histograms: Histograms,
}

impl Interval {
    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (phase, counters) in &other.counters {
            *self.counters.entry(*phase).or_default() += counters;
        }
        self.histograms.merge(&other.histograms);
    }
}

/// A thread's meter. Clones share it within the thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    interval: Rc<RefCell<Interval>>,
}

impl Meter {
    /// Counts something in `phase`.
    pub(crate) fn count(&self, phase: Phase, what: impl FnOnce(&mut Counters)) {
        what(self.interval.borrow_mut().counters.entry(phase).or_default());
    }

    /// Records one time.
    pub(crate) fn record(&self, metric: Metric, phase: Phase, time: Duration) {
        self.interval.borrow_mut().histograms.record(metric, phase, time);
    }

    /// Takes what was measured since the last call.
    #[must_use]
    pub(crate) fn take(&self) -> Interval {
        self.interval.take()
    }
}
