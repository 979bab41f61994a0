//! A run, from its settings to its judged record. Every tool is this with another plan, other faults and other
//! checks; a load takes the place of the faults in a run that makes one. How it goes on once it has begun is the
//! `Conductor`'s.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::live::Observer;
use ungraceful_record::run::{Record, Setting, ToolRecord};
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::Check;
use ungraceful_wire::clock::now;

use crate::bound::Bound;
use crate::bystander::BystanderSettings;
use crate::conductor::Conductor;
use crate::error::RunError;
use crate::fault::Fault;
use crate::host;
use crate::limits::{Demand, Supply, raise_descriptor_limit, shortages};
use crate::load::Load;
use crate::outage::Restart;
use crate::plan::Schedule;
use crate::recorder::Recorder;
use crate::seed::Seed;
use crate::stop::{Stop, StopReason};
use crate::target::TargetSettings;
use crate::watch::WatchSettings;

/// How often the run looks whether a phase is over, and how often it shows itself.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
pub(crate) const SHOW_EVERY: u32 = 10;

/// How long the phases last.
#[derive(Clone, Copy, Debug)]
pub struct PhaseSettings {
    /// Warm-up; nothing of it is counted.
    pub warmup: Duration,
    /// Baseline.
    pub baseline: Duration,
    /// Longest time that the bystanders are given to be back.
    pub recovery: Duration,
}

/// Everything about a run, validated. Nothing has been sent.
#[derive(Clone, Debug)]
pub struct Experiment {
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
    /// Attempts per case, their rate in all, and how they are spread.
    pub schedule: ScheduleSettings,
    /// How each wave begins with a planned outage; absent when none does. Only in waves.
    pub restart: Option<Restart>,
    /// Clients that may misbehave at the same time.
    pub clients: NonZeroU32,
    /// Connections that all of them have at the same time, at the most.
    pub connections: u64,
    /// Worker threads.
    pub threads: NonZeroU32,
    /// The bystanders.
    pub bystanders: BystanderSettings,
    /// How long the run can last at the most; then it is stopped.
    pub bound: Bound,
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How long the witness waits for a Will.
    pub will_wait: Duration,
    /// Prefix of all ClientIDs.
    pub client_id_prefix: String,
    /// The seed.
    pub seed: Seed,
    /// The record's folder.
    pub output: PathBuf,
    /// Lines in `attempts.ndjson` at the most.
    pub attempts_max: u64,
    /// Schedule slip or loop lag at the 99th percentile beyond which the run's times are not to be relied on.
    pub slip_limit: Duration,
    /// What of the broker is watched beside its packets.
    pub watch: WatchSettings,
    /// The checks.
    pub checks: Vec<Check>,
    /// The user's thresholds.
    pub thresholds: Vec<Threshold>,
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
        /// Attempts per second in all.
        per_second: f64,
        /// How they are spread.
        arrival: crate::plan::Arrival,
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

/// What a run does to the broker, beside its bystanders.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Attempts of faults.
    Faults(&'a MakeFaults),
    /// A load.
    Load(&'a dyn Load),
}

impl<'a> Work<'a> {
    /// The faults for the versions that the broker speaks; none of a load.
    pub(crate) fn faults(self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        match self {
            Self::Faults(make) => make(spoken),
            Self::Load(_) => Vec::new(),
        }
    }

    /// The load; absent when there is none.
    pub(crate) fn load(self) -> Option<&'a dyn Load> {
        match self {
            Self::Faults(_) => None,
            Self::Load(load) => Some(load),
        }
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

/// Makes a run.
///
/// # Errors
/// [`RunError`] when it could not be begun, or when we are at fault. What the broker does is never an error: it
/// is in the record.
pub fn run(
    experiment: &Experiment,
    work: Work<'_>,
    observer: &mut dyn Observer,
) -> Result<Finished, RunError> {
    let began = now();
    let supply = Supply { descriptors: raise_descriptor_limit(), ports: host::port_range() };
    let mut mistakes = shortages(demand(experiment), supply);
    mistakes.extend(experiment.watch.mistakes());
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Environment(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        let stop = Stop::default();
        // Caught from here on, and not from when the task first runs: the run may have sent something by then.
        let interrupt = signals().map(|signals| tokio::spawn(raise_on_interrupt(stop.clone(), signals)));
        let out_of_time = tokio::spawn(raise_in_time(stop.clone(), experiment.bound, began));
        let finished = conduct(experiment, work, observer, stop, supply.descriptors).await;
        out_of_time.abort();
        if let Some(interrupt) = interrupt {
            interrupt.abort();
        }
        observer.end();
        finished
    })
}

fn demand(experiment: &Experiment) -> Demand {
    Demand {
        clients: u64::from(experiment.clients.get()),
        connections: experiment.connections,
        bystander_pairs: experiment.bystanders.pairs,
        threads: u64::from(experiment.threads.get()) + 1,
        sources: experiment.target.sources.len() as u64,
    }
}

/// The signals that end a run; absent where they can't be caught.
fn signals() -> Option<[Signal; 3]> {
    Some([
        signal(SignalKind::interrupt()).ok()?,
        signal(SignalKind::terminate()).ok()?,
        signal(SignalKind::hangup()).ok()?,
    ])
}

/// The first interrupt ends the run in order; the second ends the process.
async fn raise_on_interrupt(stop: Stop, [mut interrupt, mut terminate, mut hangup]: [Signal; 3]) {
    let mut before = false;
    loop {
        tokio::select! {
            _signal = interrupt.recv() => {}
            _signal = terminate.recv() => {}
            _signal = hangup.recv() => {}
        }
        if before {
            std::process::exit(i32::from(ungraceful_record::exit::Exit::Interrupted.code()));
        }
        before = true;
        stop.raise(StopReason::Interrupted);
    }
}

/// Stops the run in time for it to have ended at its bound.
async fn raise_in_time(stop: Stop, bound: Bound, began: Instant) {
    tokio::time::sleep_until((began + bound.stopped_after()).into()).await;
    stop.raise(StopReason::OutOfTime(bound));
}

async fn conduct(
    experiment: &Experiment,
    work: Work<'_>,
    observer: &mut dyn Observer,
    stop: Stop,
    descriptor_limit: u64,
) -> Result<Finished, RunError> {
    let recorder = Recorder::create(&experiment.output, experiment.attempts_max)?;
    let prepare = Conductor::prepare(experiment, work, observer, stop.clone(), descriptor_limit, recorder);
    let conducted = tokio::select! {
        biased;
        reason = stop.raised() => Err(match reason {
            StopReason::OutOfTime(bound) => {
                RunError::OutOfTime(format!("{}; nothing was attempted yet", bound.why_stopped()))
            }
            _ => RunError::Interrupted,
        }),
        conducted = prepare => conducted,
    };
    match conducted {
        Ok(conductor) => conductor.conduct(observer).await,
        Err(error) => {
            // Nothing was sent but what tries the broker: an empty record would only be in the way.
            let _best_effort = remove_empty_record(&experiment.output);
            Err(error)
        }
    }
}

fn remove_empty_record(directory: &std::path::Path) -> std::io::Result<()> {
    use crate::recorder::{ATTEMPTS_NDJSON, BROKER_LOG_NDJSON, METRICS_HLOG, TIMELINE_CSV};
    let _there_is_not_always_one = std::fs::remove_file(directory.join(BROKER_LOG_NDJSON));
    for name in [ATTEMPTS_NDJSON, METRICS_HLOG, TIMELINE_CSV] {
        std::fs::remove_file(directory.join(name))?;
    }
    std::fs::remove_dir(directory)
}
