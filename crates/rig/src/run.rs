//! A run, from its settings to its judged record. Every tool is this with another plan, other faults and other
//! checks; a load takes the place of the faults. The `Conductor` carries it out.

pub mod bound;
pub(crate) mod conductor;
pub(crate) mod host;
pub mod input_file;
pub mod limits;
pub mod load;
pub mod plan;
pub(crate) mod progress;
pub mod safety;
pub mod seed;
pub mod settings;
pub mod stop;
pub(crate) mod summary;

use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use ungraceful_record::live::Observer;
use ungraceful_wire::clock::now;

use crate::error::RunError;
use crate::measure::recorder::Recorder;
use crate::run::bound::Bound;
use crate::run::conductor::Conductor;
use crate::run::limits::{Preflight, raise_descriptor_limit};
use crate::run::settings::{Experiment, Finished};
use crate::run::stop::{Stop, StopReason};

/// Makes a run.
///
/// # Errors
/// [`RunError`] when it could not start, or for a bug in this program. What the broker does is never an error: it is in
/// the record.
pub fn run(experiment: &Experiment, observer: &mut dyn Observer) -> Result<Finished, RunError> {
    let began = now();
    let mut mistakes = Preflight::of_experiment(experiment).shortages();
    let (clients, honest) = experiment.client_counts();
    mistakes.extend(experiment.common.target.clients.shortage(clients, honest));
    mistakes.extend(experiment.common.watch.mistakes());
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Environment(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        let stop = Stop::default();
        // Caught from here on: the run may send something before the task first runs.
        let interrupt = signals().map(|signals| tokio::spawn(raise_on_interrupt(stop.clone(), signals)));
        let out_of_time = tokio::spawn(raise_in_time(stop.clone(), experiment.common.bound, began));
        let finished = conduct(experiment, observer, stop, raise_descriptor_limit()).await;
        out_of_time.abort();
        if let Some(interrupt) = interrupt {
            interrupt.abort();
        }
        observer.end();
        finished
    })
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

/// Stops the run early enough for it to end within its bound.
async fn raise_in_time(stop: Stop, bound: Bound, began: Instant) {
    tokio::time::sleep_until((began + bound.stopped_after()).into()).await;
    stop.raise(StopReason::OutOfTime(bound.why_stopped()));
}

async fn conduct(
    experiment: &Experiment,
    observer: &mut dyn Observer,
    stop: Stop,
    descriptor_limit: u64,
) -> Result<Finished, RunError> {
    let attempts_max = experiment.work.attempts().map_or(0, |attempts| attempts.attempts_max);
    let recorder = Recorder::create(&experiment.common.output, attempts_max)?;
    let prepare = Conductor::prepare(experiment, observer, stop.clone(), descriptor_limit, recorder);
    let conducted = tokio::select! {
        biased;
        reason = stop.raised() => Err(match reason {
            StopReason::OutOfTime(why) => RunError::OutOfTime(format!("{why}; nothing was attempted yet")),
            _ => RunError::Interrupted,
        }),
        conducted = prepare => conducted,
    };
    match conducted {
        Ok(conductor) => conductor.conduct().await,
        Err(error) => {
            // Only the broker was tried: an empty record would be in the way.
            let _best_effort = remove_empty_record(&experiment.common.output);
            Err(error)
        }
    }
}

fn remove_empty_record(directory: &std::path::Path) -> std::io::Result<()> {
    use crate::measure::recorder::{ATTEMPTS_NDJSON, BROKER_LOG_NDJSON, METRICS_HLOG, TIMELINE_CSV};
    let _there_is_not_always_one = std::fs::remove_file(directory.join(BROKER_LOG_NDJSON));
    for name in [ATTEMPTS_NDJSON, METRICS_HLOG, TIMELINE_CSV] {
        std::fs::remove_file(directory.join(name))?;
    }
    std::fs::remove_dir(directory)
}
