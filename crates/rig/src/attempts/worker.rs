//! A worker: one thread with its own runtime and its share of the plan. Workers share only the number of clients that
//! may misbehave at once.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio::time::timeout;
use ungraceful_record::metric::Metric;
use ungraceful_record::phase::{Phase, PhaseTrack};

use crate::attempts::fault::{AttemptLog, Fault, Stage, Turn};
use crate::attempts::waves::{WaveBarrier, WavePlace, WaveTrack};
use crate::error::RunError;
use crate::measure::collector::{Report, Source, report_intervals};
use crate::measure::loop_lag;
use crate::measure::meter::Meter;
use crate::measure::pacer::Pacer;
use crate::run::plan::{Due, Schedule, Stripe};

/// How late an attempt may start because all clients are busy; later ones are dropped and counted.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(5);
/// Attempts that a worker gathers at the same time: well below the length of a listen backlog.
pub(crate) const GATHERING_MAX: u32 = 32;

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) faults: Arc<[Arc<dyn Fault>]>,
    pub(crate) stage: Stage,
    pub(crate) phases: PhaseTrack,
    pub(crate) clients: Arc<Semaphore>,
    /// When each wave acts; the first begins with the fault phase.
    pub(crate) waves: WaveTrack,
    /// How far the workers are with the waves.
    pub(crate) barrier: WaveBarrier,
    /// How long running attempts may take to clean up when the run stops.
    pub(crate) cure_within: Duration,
    pub(crate) reports: mpsc::Sender<Report>,
}

#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<JoinHandle<Result<WorkerStats, RunError>>>,
    barrier: WaveBarrier,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkerStats {
    /// Attempts that waited because all clients were busy.
    pub(crate) waited_for_a_client: u64,
}

impl Workers {
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
        Ok(Self { threads, barrier: job.barrier.clone() })
    }

    /// Whether every worker has gathered `wave` or is done.
    pub(crate) fn have_gathered(&self, wave: usize) -> bool {
        self.barrier.has_gathered(wave) || self.are_done()
    }

    /// Whether every worker has ended `wave` or is done.
    pub(crate) fn have_ended(&self, wave: usize) -> bool {
        self.barrier.has_ended(wave) || self.are_done()
    }

    /// Whether every worker has carried out its stripe.
    pub(crate) fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    pub(crate) fn join(self) -> Result<WorkerStats, RunError> {
        let mut sum = WorkerStats::default();
        for thread in self.threads {
            let stats = thread.join().map_err(|_panic| RunError::Bug("a worker panicked".to_owned()))??;
            sum.waited_for_a_client += stats.waited_for_a_client;
        }
        Ok(sum)
    }
}

fn work(job: Job, stripe: Stripe) -> Result<WorkerStats, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Environment(format!("cannot start a runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, async move {
        let meter = Meter::default();
        let source = Source::Worker(stripe.number);
        let mut background = JoinSet::new();
        background.spawn_local(loop_lag::measure(meter.clone(), job.stage.clock, job.phases.clone()));
        background.spawn_local(report_intervals(source, meter.clone(), job.reports.clone()));
        let worker = Rc::new(Worker { job, meter, source, waited_for_a_client: Cell::new(0) });
        let stats = worker.carry_out(stripe).await?;
        let last = Report::Interval(source, worker.meter.take());
        let _collector_is_gone = worker.job.reports.send(last).await;
        Ok(stats)
    })
}

fn well_ended(ended: Result<(), JoinError>) -> Result<(), RunError> {
    ended.map_err(|error| RunError::Bug(format!("an attempt panicked: {error}")))
}

#[derive(Debug)]
struct Worker {
    job: Job,
    meter: Meter,
    source: Source,
    waited_for_a_client: Cell<u64>,
}

impl Worker {
    async fn carry_out(self: &Rc<Self>, stripe: Stripe) -> Result<WorkerStats, RunError> {
        let place = self.job.barrier.place(stripe.number);
        let mut pacer =
            Pacer::new().map_err(|error| RunError::Environment(format!("cannot make a timer: {error}")))?;
        for wave in 0..self.job.schedule.waves().len() {
            self.carry_out_wave(wave, stripe, &place, &mut pacer).await?;
            if self.job.stage.unless_stopped(place.all_ended(wave)).await.is_none() {
                break;
            }
        }
        Ok(WorkerStats { waited_for_a_client: self.waited_for_a_client.get() })
    }

    async fn carry_out_wave(
        self: &Rc<Self>,
        wave: usize,
        stripe: Stripe,
        place: &WavePlace,
        pacer: &mut Pacer,
    ) -> Result<(), RunError> {
        let mut attempts = JoinSet::new();
        let stop = &self.job.stage.stop;
        let mut gathered = self.gather(wave, stripe, &mut attempts).await?;
        place.gathered();
        let began = self.job.stage.unless_stopped(self.job.waves.begun(wave)).await;
        let began_us = began.unwrap_or_default();
        let began_at = self.job.stage.clock.at(began_us);
        let due = self.job.schedule.share(wave, stripe).filter(|_| began.is_some());
        for due in due {
            let due_at = began_at + due.after;
            let woke = tokio::select! {
                biased;
                _reason = stop.raised() => break,
                woke = pacer.until(due_at) => woke,
            };
            self.meter.record(Metric::ScheduleSlip, Phase::Fault, woke.saturating_duration_since(due_at));
            let due_us = began_us + ungraceful_record::scale::micros(due.after);
            match gathered.remove(&due.index) {
                Some(turn) => {
                    // One that ended before its turn has reported why.
                    let _ended = turn.send(due_us);
                }
                // Waiting for a free client is up to the attempt: the schedule goes on.
                None => {
                    attempts.spawn_local(Rc::clone(self).begin(due, due_us, due_at));
                }
            }
            // Drops ended attempts as the plan proceeds.
            while let Some(ended) = attempts.try_join_next() {
                well_ended(ended)?;
            }
        }
        // Attempts whose turn did not come see it here.
        drop(gathered);
        self.let_end(attempts).await?;
        place.ended();
        Ok(())
    }

    /// Waits until every attempt has ended. When the run stops, attempts get `cure_within` to clean up; then what
    /// they opened is closed without them, and they count as dropped.
    async fn let_end(&self, mut attempts: JoinSet<()>) -> Result<(), RunError> {
        let out_of_time = async {
            self.job.stage.stop.raised().await;
            tokio::time::sleep(self.job.cure_within).await;
        };
        let all_ended = async {
            while let Some(ended) = attempts.join_next().await {
                well_ended(ended)?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            ended = all_ended => return ended,
            () = out_of_time => {}
        }
        let cut = attempts.len() as u64;
        self.meter.count(Phase::Fault, |counters| counters.attempts_dropped += cut);
        attempts.shutdown().await;
        Ok(())
    }

    /// Starts the attempts of a wave whose faults gather, and waits until each of them waits for its turn or has
    /// ended.
    async fn gather(
        self: &Rc<Self>,
        wave: usize,
        stripe: Stripe,
        attempts: &mut JoinSet<()>,
    ) -> Result<HashMap<u64, oneshot::Sender<u64>>, RunError> {
        let places = Arc::new(Semaphore::new(GATHERING_MAX as usize));
        let mut turns = HashMap::new();
        for due in self.job.schedule.share(wave, stripe) {
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
            while let Some(ended) = attempts.try_join_next() {
                well_ended(ended)?;
            }
        }
        let _stopped = self.job.stage.unless_stopped(places.acquire_many(GATHERING_MAX)).await;
        Ok(turns)
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
        let name = job.stage.clients.attempt_name(index);
        self.meter.count(Phase::Fault, |counters| counters.attempts_started += 1);
        let log = AttemptLog::begin(index, fault.case(), name.clone(), Phase::Fault, due_us, clock);
        let log = log.beside(fault.companions());
        let log = match turn {
            Some(turn) => log.occupying(permit).waiting_for(turn),
            None => log.occupying(permit),
        };
        let mut attempt = if job.stage.clients.vary() || job.stage.nodes.are_several() {
            let client = job.stage.clients.of_attempt(&name, index);
            let stage = Box::new(job.stage.of_client(&client));
            let mut attempt = fault.attempt(&stage, log.made_as(client)).await;
            if !fault.repeats_connect() {
                stage.exclude_if_taken_over(&mut attempt);
            }
            attempt
        } else {
            fault.attempt(&job.stage, log).await
        };
        job.stage.explain(&mut attempt);
        self.measure(&attempt);
        let _collector_is_gone = job.reports.send(Report::Attempt(self.source, Box::new(attempt))).await;
    }

    fn measure(&self, attempt: &ungraceful_record::attempt::Attempt) {
        let record = |metric, us: Option<u64>| {
            if let Some(us) = us {
                self.meter.record(metric, Phase::Fault, Duration::from_micros(us));
            }
        };
        record(Metric::ReactionTime, attempt.reaction_time_us());
        record(Metric::TimeToClose, attempt.time_to_close_us());
        record(Metric::WillTime, attempt.will_time_us());
        record(Metric::HandshakeTime, attempt.handshake_time_us());
        record(Metric::ConnackTime, attempt.connack_time_us());
        self.meter.count(Phase::Fault, |counters| {
            counters.attempts_finished += 1;
            counters.reactions += attempt.reactions.len() as u64;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::LocalBoxFuture;
    use tokio::sync::{Semaphore, mpsc};
    use ungraceful_record::attempt::{Attempt, Case};
    use ungraceful_record::phase::PhaseTrack;
    use ungraceful_record::reaction::Outcome;
    use ungraceful_record::testing::until;
    use ungraceful_wire::clock::now;

    use super::{GATHERING_MAX, Job, Workers};
    use crate::attempts::fault::{AttemptLog, Fault, Stage, tests};
    use crate::attempts::waves::{WaveBarrier, WaveTrack};
    use crate::error::RunError;
    use crate::measure::collector::Report;
    use crate::run::plan::{Arrival, Schedule};
    use crate::run::seed::Seed;
    use crate::run::stop::StopReason;

    /// What an attempt does while it is being gathered.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Prepares {
        AtOnce,
        For(Duration),
        InVain,
        Panics,
    }

    /// A fault that touches no broker: it prepares, waits for its turn, and acts.
    #[derive(Debug)]
    struct Waiter {
        gathers: bool,
        prepares: Prepares,
        begun: AtomicU32,
        gathering: AtomicU32,
        gathering_most: AtomicU32,
    }

    impl Waiter {
        fn new(gathers: bool, prepares: Prepares) -> Arc<Self> {
            let none = AtomicU32::default;
            Arc::new(Self { gathers, prepares, begun: none(), gathering: none(), gathering_most: none() })
        }

        fn begun(&self) -> u32 {
            self.begun.load(Ordering::SeqCst)
        }

        async fn prepare(&self, attempt: u64) -> bool {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let gathering = self.gathering.fetch_add(1, Ordering::SeqCst) + 1;
            self.gathering_most.fetch_max(gathering, Ordering::SeqCst);
            match self.prepares {
                Prepares::For(time) => tokio::time::sleep(time).await,
                Prepares::Panics if attempt == 1 => panic!("as configured"),
                _ => {}
            }
            self.gathering.fetch_sub(1, Ordering::SeqCst);
            // Every other one fails.
            self.prepares != Prepares::InVain || attempt.is_multiple_of(2)
        }
    }

    impl Fault for Waiter {
        fn case(&self) -> Case {
            let variant = if self.gathers { "gathered" } else { "not gathered" };
            Case { fault: "waiter".into(), variant: variant.into(), version: "5.0".into() }
        }

        fn gathers(&self) -> bool {
            self.gathers
        }

        fn describe(&self) -> String {
            "nothing".into()
        }

        fn attempt<'a>(&'a self, _stage: &'a Stage, mut log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
            Box::pin(async move {
                if !self.prepare(log.number()).await {
                    return log.end();
                }
                log.concluded(Outcome::Interrupted);
                if log.turn().await {
                    log.provoked(now());
                    log.concluded(Outcome::Closed);
                }
                log.end()
            })
        }
    }

    struct Running {
        workers: Workers,
        job: Job,
        reported: mpsc::Receiver<Report>,
    }

    /// Starts workers on `per_case` attempts of each fault, 100 a second.
    fn start(faults: &[Arc<Waiter>], per_case: u64, clients: usize, threads: u32) -> Running {
        let cases = u16::try_from(faults.len()).unwrap();
        start_on(Schedule::new(cases, per_case, 100.0, Arrival::Uniform, Seed(3)), faults, clients, threads)
    }

    fn start_on(schedule: Schedule, faults: &[Arc<Waiter>], clients: usize, threads: u32) -> Running {
        start_with(schedule, faults, clients, threads, Duration::from_secs(3_600))
    }

    fn start_with(
        schedule: Schedule,
        faults: &[Arc<Waiter>],
        clients: usize,
        threads: u32,
        cure_within: Duration,
    ) -> Running {
        let (reports, reported) = mpsc::channel(10_000);
        let job = Job {
            schedule: Arc::new(schedule),
            faults: faults.iter().map(|fault| Arc::clone(fault) as Arc<dyn Fault>).collect(),
            stage: tests::stage(),
            phases: PhaseTrack::default(),
            clients: Arc::new(Semaphore::new(clients)),
            waves: WaveTrack::default(),
            barrier: WaveBarrier::of(threads),
            cure_within,
            reports,
        };
        let workers = Workers::start(&job, NonZeroU32::new(threads).unwrap()).unwrap();
        Running { workers, job, reported }
    }

    impl Running {
        fn gathered(&self) {
            self.gathered_wave(0);
        }

        fn gathered_wave(&self, wave: usize) {
            until("the wave is gathered", || self.job.barrier.has_gathered(wave));
        }

        /// Begins the next wave, the first of which is the fault phase, and returns when.
        fn begin(&self) -> u64 {
            let began_us = self.job.stage.clock.now_us();
            self.job.waves.begin(began_us);
            began_us
        }

        /// Waits for the end, and returns every attempt by its number.
        fn end(self) -> Result<Vec<Attempt>, RunError> {
            let Self { workers, job, mut reported } = self;
            workers.join()?;
            drop(job);
            let mut attempts = Vec::new();
            while let Ok(report) = reported.try_recv() {
                if let Report::Attempt(_, attempt) = report {
                    attempts.push(*attempt);
                }
            }
            attempts.sort_by_key(|attempt| attempt.attempt);
            Ok(attempts)
        }
    }

    #[test]
    fn gathered_attempts_start_early_and_act_when_due() {
        let fault = Waiter::new(true, Prepares::AtOnce);
        let running = start(&[Arc::clone(&fault)], 7, 100, 2);
        running.gathered();
        assert_eq!(fault.begun(), 7, "all of them, in every stripe");
        std::thread::sleep(Duration::from_millis(30));
        let began_us = running.begin();
        let attempts = running.end().unwrap();
        assert_eq!(attempts.len(), 7);
        for (attempt, number) in attempts.iter().zip(0_u64..) {
            assert_eq!((attempt.attempt, attempt.outcome), (number, Outcome::Closed));
            assert_eq!(attempt.due_us, began_us + number * 10_000, "its place in the schedule");
            assert!(attempt.started_us < began_us && attempt.provoked_us.unwrap() >= attempt.due_us);
        }
    }

    #[test]
    fn other_attempts_start_when_due() {
        let (gathers, does_not) = (Waiter::new(true, Prepares::AtOnce), Waiter::new(false, Prepares::AtOnce));
        let running = start(&[Arc::clone(&gathers), Arc::clone(&does_not)], 4, 100, 1);
        running.gathered();
        assert_eq!((gathers.begun(), does_not.begun()), (4, 0));
        let began_us = running.begin();
        let attempts = running.end().unwrap();
        assert_eq!(attempts.len(), 8);
        for (attempt, number) in attempts.iter().zip(0_u64..) {
            assert_eq!(attempt.due_us, began_us + number * 10_000);
            assert_eq!(attempt.started_us >= began_us, attempt.case.variant == "not gathered");
        }
    }

    #[test]
    fn each_wave_is_gathered_after_the_one_before() {
        let faults = [(); 3].map(|()| Waiter::new(true, Prepares::AtOnce));
        let running = start_on(Schedule::in_waves(3, 5), &faults, 5, 2);
        let mut began = Vec::new();
        for wave in 0..3 {
            running.gathered_wave(wave);
            let begun: Vec<u32> = faults.iter().map(|fault| fault.begun()).collect();
            let expected = (0..3).map(|other| if other <= wave { 5 } else { 0 }).collect::<Vec<u32>>();
            assert_eq!(begun, expected, "the next one is not there yet");
            began.push(running.begin());
            until("the wave has ended", || running.job.barrier.has_ended(wave));
        }
        let attempts = running.end().unwrap();
        assert_eq!(attempts.len(), 15);
        for (attempt, number) in attempts.iter().zip(0_u64..) {
            assert_eq!((attempt.attempt, attempt.outcome), (number, Outcome::Closed));
            let wave = usize::try_from(number / 5).unwrap();
            assert_eq!(attempt.due_us, began[wave]);
            assert!(attempt.started_us < began[wave]);
        }
    }

    #[test]
    fn a_stop_between_waves_gathers_no_further_wave() {
        let faults = [(); 2].map(|()| Waiter::new(true, Prepares::AtOnce));
        let running = start_on(Schedule::in_waves(2, 4), &faults, 4, 2);
        running.gathered();
        running.job.stage.stop.raise(StopReason::Interrupted);
        let attempts = running.end().unwrap();
        assert_eq!((attempts.len(), faults[1].begun()), (4, 0));
    }

    #[test]
    fn a_stop_before_the_fault_phase_reports_every_attempt() {
        let fault = Waiter::new(true, Prepares::AtOnce);
        let running = start(&[fault], 5, 100, 2);
        running.gathered();
        running.job.stage.stop.raise(StopReason::Interrupted);
        let attempts = running.end().unwrap();
        assert_eq!(attempts.len(), 5);
        assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Interrupted), "{attempts:?}");
        assert!(attempts.iter().all(|attempt| attempt.provoked_us.is_none()), "none of them acts");
    }

    #[test]
    fn a_stop_in_the_fault_phase_reports_waiting_attempts() {
        let fault = Waiter::new(true, Prepares::AtOnce);
        let running = start(&[fault], 200, 1_000, 1);
        running.gathered();
        running.begin();
        std::thread::sleep(Duration::from_millis(100));
        running.job.stage.stop.raise(StopReason::BrokerDown("gone".into()));
        let attempts = running.end().unwrap();
        let acted = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Closed).count();
        assert_eq!(attempts.len(), 200, "every one ends");
        assert!((1..200).contains(&acted), "{acted} of them acted");
        assert!(attempts[acted..].iter().all(|attempt| attempt.outcome == Outcome::Interrupted));
    }

    #[test]
    fn a_stop_while_attempts_are_gathered_ends_the_run() {
        let fault = Waiter::new(true, Prepares::For(Duration::from_millis(200)));
        let running = start(&[Arc::clone(&fault)], 500, 1_000, 1);
        until("an attempt has started", || fault.begun() > 0);
        running.job.stage.stop.raise(StopReason::Interrupted);
        running.gathered();
        let attempts = running.end().unwrap();
        assert!(attempts.len() <= 2 * GATHERING_MAX as usize, "{} were begun", attempts.len());
    }

    #[test]
    fn an_attempt_that_outlasts_the_stop_is_cut() {
        let fault = Waiter::new(false, Prepares::For(Duration::from_secs(3_600)));
        let schedule = Schedule::new(1, 3, 100.0, Arrival::Uniform, Seed(3));
        let running = start_with(schedule, &[Arc::clone(&fault)], 3, 1, Duration::from_millis(20));
        running.begin();
        until("all attempts have started", || fault.begun() == 3);
        running.job.stage.stop.raise(StopReason::Interrupted);
        assert_eq!(running.end().unwrap().len(), 0, "and it ends");
    }

    #[test]
    fn gathering_stays_below_the_listen_backlog() {
        let fault = Waiter::new(true, Prepares::For(Duration::from_millis(5)));
        let running = start(&[Arc::clone(&fault)], 100, 1_000, 1);
        running.gathered();
        assert_eq!((fault.begun(), fault.gathering.load(Ordering::SeqCst)), (100, 0), "each of them waits");
        assert_eq!(fault.gathering_most.load(Ordering::SeqCst), GATHERING_MAX);
        running.job.stage.stop.raise(StopReason::Interrupted);
        assert_eq!(running.end().unwrap().len(), 100);
    }

    #[test]
    fn an_attempt_that_fails_while_gathered_is_reported_once() {
        let fault = Waiter::new(true, Prepares::InVain);
        let running = start(&[fault], 6, 100, 1);
        running.gathered();
        running.begin();
        let outcomes: Vec<_> = running.end().unwrap().iter().map(|attempt| attempt.outcome).collect();
        let (acts, fails) = (Outcome::Closed, Outcome::NotActed);
        assert_eq!(outcomes, [acts, fails, acts, fails, acts, fails]);
    }

    #[test]
    fn attempts_without_a_free_client_start_when_due() {
        let fault = Waiter::new(true, Prepares::AtOnce);
        let running = start(&[Arc::clone(&fault)], 4, 3, 1);
        running.gathered();
        assert_eq!(fault.begun(), 3);
        let began_us = running.begin();
        let attempts = running.end().unwrap();
        assert_eq!(attempts.iter().filter(|attempt| attempt.outcome == Outcome::Closed).count(), 4);
        assert_eq!(attempts.iter().filter(|attempt| attempt.started_us >= began_us).count(), 1);
    }

    #[test]
    fn a_panic_in_an_attempt_is_reported() {
        for gathers in [true, false] {
            let running = start(&[Waiter::new(gathers, Prepares::Panics)], 6, 100, 1);
            if gathers {
                running.gathered();
                running.job.stage.stop.raise(StopReason::Interrupted);
            } else {
                running.begin();
            }
            assert!(matches!(running.end(), Err(RunError::Bug(what)) if what.contains("panicked")));
        }
    }
}
