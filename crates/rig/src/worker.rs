//! A worker: one thread with its own runtime and its own stripe of the plan. Workers share nothing but the
//! number of clients that may misbehave at once.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::collector::{Report, Source};
use crate::error::RunError;
use crate::fault::{AttemptLog, Fault, Stage, Turn};
use crate::loop_lag;
use crate::meter::Meter;
use crate::metric::Metric;
use crate::pacer::Pacer;
use crate::phase::{Phase, PhaseTrack};
use crate::plan::{Due, Schedule, Stripe};

const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How late an attempt may be begun because all clients are busy; beyond, it is dropped and counted.
const LATE_MAX: Duration = Duration::from_secs(5);
/// Attempts that a worker gathers at the same time: well below the length of a listen backlog.
const GATHERING_MAX: u32 = 32;

/// What every worker of a run needs.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) faults: Arc<[Arc<dyn Fault>]>,
    pub(crate) stage: Stage,
    pub(crate) phases: PhaseTrack,
    pub(crate) clients: Arc<Semaphore>,
    /// How many workers have gathered what they were to gather.
    pub(crate) gathered: Arc<AtomicU32>,
    /// When the fault phase began, in µs since the run's start; absent until it does.
    pub(crate) began_us: watch::Receiver<Option<u64>>,
    pub(crate) reports: mpsc::Sender<Report>,
}

/// The workers of a run.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<JoinHandle<Result<Worked, RunError>>>,
}

/// What a worker tells at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Worked {
    /// Attempts that had to wait because all clients were busy.
    pub(crate) waited_for_a_client: u64,
}

impl Workers {
    /// Starts `count` workers.
    pub(crate) fn start(job: &Job, count: NonZeroU32) -> Result<Self, RunError> {
        let threads = Stripe::all(count)
            .map(|stripe| {
                let job = job.clone();
                std::thread::Builder::new()
                    .name(format!("worker-{}", stripe.number))
                    .spawn(move || work(job, stripe))
                    .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { threads })
    }

    /// Whether every worker has carried out its stripe.
    pub(crate) fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for all workers.
    pub(crate) fn join(self) -> Result<Worked, RunError> {
        let mut sum = Worked::default();
        for thread in self.threads {
            let worked = thread.join().map_err(|_panic| RunError::Bug("a worker panicked".to_owned()))??;
            sum.waited_for_a_client += worked.waited_for_a_client;
        }
        Ok(sum)
    }
}

fn work(job: Job, stripe: Stripe) -> Result<Worked, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Environment(format!("cannot start a runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, async move {
        let meter = Meter::default();
        let source = Source::Worker(stripe.number);
        let mut background = JoinSet::new();
        background.spawn_local(loop_lag::measure(meter.clone(), job.stage.clock, job.phases.clone()));
        background.spawn_local(report(meter.clone(), source, job.reports.clone()));
        let worker = Rc::new(Worker { job, meter, source, waited_for_a_client: Cell::new(0) });
        let worked = worker.carry_out(stripe).await?;
        let last = Report::Interval(source, worker.meter.take());
        let _collector_is_gone = worker.job.reports.send(last).await;
        Ok(worked)
    })
}

async fn report(meter: Meter, source: Source, reports: mpsc::Sender<Report>) {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        // Room first, then the taking: what is taken is sent, even when this task is ended while it waits.
        let Ok(room) = reports.reserve().await else { return };
        room.send(Report::Interval(source, meter.take()));
    }
}

#[derive(Debug)]
struct Worker {
    job: Job,
    meter: Meter,
    source: Source,
    waited_for_a_client: Cell<u64>,
}

impl Worker {
    async fn carry_out(self: &Rc<Self>, stripe: Stripe) -> Result<Worked, RunError> {
        let mut pacer =
            Pacer::new().map_err(|error| RunError::Environment(format!("cannot make a timer: {error}")))?;
        let mut attempts = JoinSet::new();
        let stop = &self.job.stage.stop;
        let mut gathered = self.gather(stripe, &mut attempts).await;
        self.job.gathered.fetch_add(1, Ordering::Release);
        let mut began_us = self.job.began_us.clone();
        let began = tokio::select! {
            biased;
            _reason = stop.raised() => None,
            began = began_us.wait_for(Option::is_some) => began.ok().and_then(|began_us| *began_us),
        };
        let began_us = began.unwrap_or_default();
        let began_at = self.job.stage.clock.at(began_us);
        let due = self.job.schedule.plan.stripe(stripe).filter(|_| began.is_some());
        for due in due {
            let due_at = began_at + due.after;
            let woke = tokio::select! {
                biased;
                _reason = stop.raised() => break,
                woke = pacer.until(due_at) => woke,
            };
            self.meter.record(Metric::ScheduleSlip, Phase::Fault, woke.saturating_duration_since(due_at));
            let due_us = began_us + crate::clock::micros(due.after);
            match gathered.remove(&due.index) {
                Some(turn) => {
                    // One that ended before its turn has told why.
                    let _ended = turn.send(due_us);
                }
                // Waiting for a free client is the attempt's own affair: the schedule goes on.
                None => {
                    attempts.spawn_local(Rc::clone(self).begin(due, due_us, due_at));
                }
            }
            // Ended attempts are let go of as the plan proceeds.
            while attempts.try_join_next().is_some() {}
        }
        // Whose turn did not come is told so.
        drop(gathered);
        while let Some(ended) = attempts.join_next().await {
            ended.map_err(|error| RunError::Bug(format!("an attempt panicked: {error}")))?;
        }
        Ok(Worked { waited_for_a_client: self.waited_for_a_client.get() })
    }

    /// Begins the attempts of all faults that gather, and waits until each of them waits for its turn or has ended.
    async fn gather(
        self: &Rc<Self>,
        stripe: Stripe,
        attempts: &mut JoinSet<()>,
    ) -> HashMap<u64, oneshot::Sender<u64>> {
        let places = Arc::new(Semaphore::new(GATHERING_MAX as usize));
        let mut turns = HashMap::new();
        for due in self.job.schedule.plan.stripe(stripe) {
            if !self.job.faults[self.job.schedule.case_of(due.index)].gathers() {
                continue;
            }
            let place = self.job.stage.unless_stopped(Arc::clone(&places).acquire_owned()).await;
            let Some(Ok(place)) = place else { break };
            let Ok(permit) = Arc::clone(&self.job.clients).try_acquire_owned() else { continue };
            let (turn, due_us) = oneshot::channel();
            turns.insert(due.index, turn);
            let turn = Turn { due_us, gathering: Some(place) };
            let worker = Rc::clone(self);
            attempts.spawn_local(async move { worker.attempt(due.index, 0, permit, Some(turn)).await });
            while attempts.try_join_next().is_some() {}
        }
        let _stopped = self.job.stage.unless_stopped(places.acquire_many(GATHERING_MAX)).await;
        turns
    }

    async fn begin(self: Rc<Self>, due: Due, due_us: u64, due_at: Instant) {
        let permit = match Arc::clone(&self.job.clients).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_all_busy) => {
                self.waited_for_a_client.set(self.waited_for_a_client.get() + 1);
                self.wait_for_a_client(due_at + LATE_MAX).await
            }
        };
        match permit {
            Some(permit) => self.attempt(due.index, due_us, permit, None).await,
            None => self.meter.count(Phase::Fault, |counters| counters.attempts_dropped += 1),
        }
    }

    async fn wait_for_a_client(&self, latest: Instant) -> Option<OwnedSemaphorePermit> {
        let left = latest.saturating_duration_since(ungraceful_wire::clock::now());
        let free = timeout(left, Arc::clone(&self.job.clients).acquire_owned());
        self.job.stage.unless_stopped(free).await?.ok()?.ok()
    }

    async fn attempt(&self, index: u64, due_us: u64, permit: OwnedSemaphorePermit, turn: Option<Turn>) {
        let job = &self.job;
        let fault = &job.faults[job.schedule.case_of(index)];
        let clock = &job.stage.clock;
        let client_id = format!("{}{index:06x}", job.stage.client_id_prefix);
        self.meter.count(Phase::Fault, |counters| counters.attempts_started += 1);
        let log = AttemptLog::begin(index, fault.case(), client_id, Phase::Fault, due_us, clock);
        let log = match turn {
            Some(turn) => log.occupying(permit).waiting_for(turn),
            None => log.occupying(permit),
        };
        let attempt = fault.attempt(&job.stage, log).await;
        self.measure(&attempt);
        let _collector_is_gone = job.reports.send(Report::Attempt(self.source, Box::new(attempt))).await;
    }

    fn measure(&self, attempt: &crate::attempt::Attempt) {
        let record = |metric, us: Option<u64>| {
            if let Some(us) = us {
                self.meter.record(metric, Phase::Fault, Duration::from_micros(us));
            }
        };
        record(Metric::ReactionTime, attempt.reaction_time_us());
        record(Metric::TimeToClose, attempt.time_to_close_us());
        record(Metric::WillTime, attempt.will_time_us());
        record(Metric::ConnackTime, attempt.connack_time_us());
        self.meter.count(Phase::Fault, |counters| {
            counters.attempts_finished += 1;
            counters.reactions += attempt.reactions.len() as u64;
        });
    }
}
