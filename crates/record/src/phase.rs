//! The phases of a run, and the phase of each instant. The impact of a fault is a comparison between phases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

crate::words! {
    /// A phase of a run.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Phase: "phase" {
        /// Connections come up and caches fill; not counted.
        Warmup = "warmup",
        /// Only honest traffic, to compare the fault phase with.
        Baseline = "baseline",
        /// The fault acts.
        Fault = "fault",
        /// The load is measured, in a run with a load instead of a fault.
        Load = "load",
        /// After the fault, until the bystanders have recovered or the time limit is reached.
        Recovery = "recovery",
    }
}

impl Phase {
    /// The measured phases: all except the warm-up.
    pub const MEASURED: [Self; 4] = [Self::Baseline, Self::Fault, Self::Load, Self::Recovery];

    /// Position in [`Phase::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
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
    fn an_instant_belongs_to_the_latest_started_phase() {
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
