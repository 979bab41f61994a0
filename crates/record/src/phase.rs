//! The phases of a run, and which instant belongs to which: what a fault cost is a comparison between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stretch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connections come up and caches fill; nothing of it is counted.
    Warmup,
    /// Honest traffic alone: what the fault phase is compared with.
    Baseline,
    /// The fault acts.
    Fault,
    /// The load is measured: what a run has that makes load in place of a fault.
    Load,
    /// The fault has ended; lasts until the bystanders are back within the baseline's p99, or its time limit.
    Recovery,
}

impl Phase {
    /// All phases in their order.
    pub const ALL: [Self; 5] = [Self::Warmup, Self::Baseline, Self::Fault, Self::Load, Self::Recovery];
    /// The phases that figures are given for: all but the warm-up.
    pub const MEASURED: [Self; 4] = [Self::Baseline, Self::Fault, Self::Load, Self::Recovery];

    /// Position in [`Phase::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name used in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Baseline => "baseline",
            Self::Fault => "fault",
            Self::Load => "load",
            Self::Recovery => "recovery",
        }
    }
}

/// When each phase began, shared by all threads of a run. Reading it takes no lock.
#[derive(Clone, Debug)]
pub struct PhaseTrack {
    begun_us: Arc<[AtomicU64; Phase::ALL.len()]>,
}

const NOT_BEGUN: u64 = u64::MAX;

impl Default for PhaseTrack {
    fn default() -> Self {
        Self { begun_us: Arc::new([const { AtomicU64::new(NOT_BEGUN) }; Phase::ALL.len()]) }
    }
}

impl PhaseTrack {
    /// Begins `phase` at `at_us` of the run's clock.
    pub fn begin(&self, phase: Phase, at_us: u64) {
        self.begun_us[phase.index()].store(at_us, Ordering::Release);
    }

    /// When `phase` began, in µs since the run's start; absent when it has not.
    #[must_use]
    pub fn begun_us(&self, phase: Phase) -> Option<u64> {
        let begun = self.begun_us[phase.index()].load(Ordering::Acquire);
        (begun != NOT_BEGUN).then_some(begun)
    }

    /// The phase that `at_us` belongs to. Instants before the first phase belong to the warm-up.
    #[must_use]
    pub fn of(&self, at_us: u64) -> Phase {
        Phase::ALL
            .into_iter()
            .rev()
            .find(|phase| self.begun_us(*phase).is_some_and(|begun| begun <= at_us))
            .unwrap_or(Phase::Warmup)
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, PhaseTrack};

    #[test]
    fn an_instant_belongs_to_the_latest_phase_that_had_begun() {
        let track = PhaseTrack::default();
        assert_eq!(track.of(5), Phase::Warmup);
        track.begin(Phase::Warmup, 0);
        track.begin(Phase::Baseline, 100);
        assert_eq!(track.of(99), Phase::Warmup);
        assert_eq!(track.of(100), Phase::Baseline);
        // A run without recovery so far, and a fault phase that begins later.
        track.begin(Phase::Fault, 200);
        assert_eq!(track.of(150), Phase::Baseline);
        assert_eq!(track.of(u64::MAX - 1), Phase::Fault);
        assert_eq!(track.begun_us(Phase::Recovery), None);
    }
}
