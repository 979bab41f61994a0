//! The validated settings of a run, before anything is sent; and its result.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::accepted::Accepted;
use ungraceful_record::check::Check;
use ungraceful_record::run::{Record, Setting, ToolRecord};
use ungraceful_record::threshold::Threshold;

use crate::attempts::fault::Fault;
use crate::broker::outage::Restart;
use crate::broker::target::TargetSettings;
use crate::broker::watch::WatchSettings;
use crate::bystanders::{BystanderSettings, honest_connections};
use crate::run::bound::Bound;
use crate::run::load::Load;
use crate::run::plan::Schedule;
use crate::run::seed::Seed;

/// How long the phases last.
#[derive(Clone, Copy, Debug)]
pub struct PhaseSettings {
    /// Warm-up; nothing of it is counted.
    pub warmup: Duration,
    /// Baseline.
    pub baseline: Duration,
    /// The longest time that the bystanders get to be back.
    pub recovery: Duration,
}

/// Everything about a run, validated. Nothing has been sent.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// What every run has.
    pub common: Common,
    /// What it does to the broker, besides its bystanders.
    pub work: Work,
}

/// What every run has.
#[derive(Clone, Debug)]
pub struct Common {
    /// The program.
    pub tool: ToolRecord,
    /// The command line without secrets, for the record.
    pub command: Vec<String>,
    /// All settings with their source, for the record.
    pub settings: BTreeMap<String, Setting>,
    /// The broker.
    pub target: TargetSettings,
    /// The phases.
    pub phases: PhaseSettings,
    /// Most connections of attempts or of the load at the same time.
    pub connections: u64,
    /// Worker threads.
    pub threads: NonZeroU32,
    /// The bystanders.
    pub bystanders: BystanderSettings,
    /// How long the run can last at most; then it is stopped.
    pub bound: Bound,
    /// Prefix of all ClientIDs.
    pub client_id_prefix: String,
    /// The seed.
    pub seed: Seed,
    /// The record's folder.
    pub output: PathBuf,
    /// Schedule slip or loop lag at the 99th percentile beyond which the run's times are unreliable.
    pub slip_limit: Duration,
    /// What is watched of the broker beside its packets.
    pub watch: WatchSettings,
    /// The checks.
    pub checks: Vec<Check>,
    /// The user's thresholds.
    pub thresholds: Vec<Threshold>,
    /// Deviations that the user accepts.
    pub accepted: Vec<Accepted>,
}

/// When attempts fall due.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleSettings {
    /// Attempts of each case.
    pub attempts_per_case: u64,
    /// When they fall due.
    pub spread: Spread,
}

/// How attempts are spread in time.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    /// At a rate, all cases in turn.
    Rate {
        /// Attempts per second in total.
        per_second: f64,
        /// How they are spread.
        arrival: crate::run::plan::Arrival,
    },
    /// One case after another, the attempts of each at one instant.
    Waves,
}

impl ScheduleSettings {
    /// The schedule of so many cases.
    #[must_use]
    pub fn schedule(&self, cases: u16, seed: Seed) -> Schedule {
        match self.spread {
            Spread::Rate { per_second, arrival } => {
                Schedule::new(cases, self.attempts_per_case, per_second, arrival, seed)
            }
            Spread::Waves => Schedule::in_waves(cases, self.attempts_per_case),
        }
    }
}

/// What a run does to the broker, besides its bystanders.
#[derive(Clone, Debug)]
pub enum Work {
    /// Attempts of faults.
    Attempts(Attempts),
    /// A load.
    Load(Arc<dyn Load>),
}

impl Work {
    /// The attempts; absent when it is a load.
    #[must_use]
    pub fn attempts(&self) -> Option<&Attempts> {
        match self {
            Self::Attempts(attempts) => Some(attempts),
            Self::Load(_) => None,
        }
    }

    /// The load; absent when it is attempts.
    #[must_use]
    pub fn load(&self) -> Option<&dyn Load> {
        match self {
            Self::Attempts(_) => None,
            Self::Load(load) => Some(load.as_ref()),
        }
    }
}

/// Attempts of faults: which, how many, and when.
#[derive(Clone)]
pub struct Attempts {
    /// Makes the faults for the versions that the broker speaks.
    pub faults: Arc<MakeFaults>,
    /// Attempts per case, and how they are spread.
    pub schedule: ScheduleSettings,
    /// The planned outage that begins each wave; absent when there is none. Only in waves.
    pub restart: Option<Restart>,
    /// Clients that may misbehave at the same time.
    pub clients: NonZeroU32,
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How long the witness waits for a Will.
    pub will_wait: Duration,
    /// Most lines in `attempts.ndjson`.
    pub attempts_max: u64,
}

impl Attempts {
    /// Whether cases come one after another, the attempts of each at one instant.
    pub(crate) fn are_in_waves(&self) -> bool {
        matches!(self.schedule.spread, Spread::Waves)
    }

    /// Most clients that misbehave at the same time in a run of so many cases: no more than there are attempts.
    #[must_use]
    pub fn clients_at_once(&self, cases: usize) -> u64 {
        let all = self.schedule.attempts_per_case.saturating_mul(cases as u64);
        all.clamp(1, self.clients.get().into())
    }
}

impl Experiment {
    /// Most clients that misbehave or load at the same time, in a run of so many cases.
    #[must_use]
    pub fn clients_at_once(&self, cases: usize) -> u64 {
        let connections = self.connections_at_once(cases);
        self.work.attempts().map_or(connections, |attempts| attempts.clients_at_once(cases))
    }

    /// Clients of attempts or of the load at the same time, and honest ones, if the broker supports every requested version.
    #[must_use]
    pub fn client_counts(&self) -> (u64, u64) {
        let versions = &self.common.target.versions;
        let cases = self.work.attempts().map_or(0, |attempts| (attempts.faults)(versions).len());
        (self.clients_at_once(cases), honest_connections(self.common.bystanders.pairs))
    }

    /// Most connections of attempts or of the load at the same time, in a run of so many cases.
    #[must_use]
    pub fn connections_at_once(&self, cases: usize) -> u64 {
        let all = self.common.connections;
        match &self.work {
            Work::Load(_) => all,
            Work::Attempts(attempts) => {
                let each = all.div_ceil(attempts.clients.get().into());
                all.min(attempts.clients_at_once(cases).saturating_mul(each))
            }
        }
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").field("schedule", &self.schedule).finish_non_exhaustive()
    }
}

/// Makes the faults for the versions that the broker speaks.
pub type MakeFaults = dyn Fn(&[ProtocolVersion]) -> Vec<Arc<dyn Fault>>;

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Everything it saw, judged.
    pub record: Record,
    /// The record's folder.
    pub directory: PathBuf,
}
