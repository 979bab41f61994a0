//! A run under way: one phase after another, on the main thread. What comes before the first phase is in `preparing`, what
//! comes after the last in `concluding`; between them stand the phases in which something is done to the broker, in
//! `fault_phase` and in [`load_phase`].

mod concluding;
mod fault_phase;
mod load_phase;
mod preparing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::discarded::Discarded;
use ungraceful_record::live::{Live, LiveLoad, Observer};
use ungraceful_record::load::LoadRecord;
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::recovery;
use ungraceful_record::run::Record;

use crate::attempts::fault::Fault;
use crate::attempts::waves::WaveTrack;
use crate::attempts::worker::{Job, Worked, Workers};
use crate::broker::found::Broker;
use crate::broker::log::LogThread;
use crate::broker::outage::OutageTrack;
use crate::broker::process::{BrokerProcess, own_cpu_us};
use crate::broker::resources::{ResourceEdges, look};
use crate::bystanders::honest_thread::HonestThread;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Collector, Report};
use crate::run::load::Load;
use crate::run::plan::Schedule;
use crate::run::settings::{Attempts, Common, Finished};
use crate::run::stop::Stop;
use crate::run::summary::SeenOfWave;

/// How often the run looks whether a phase is over, and how often it shows itself.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
pub(crate) const SHOW_EVERY: u32 = 10;

/// A run under way.
pub(crate) struct Conductor<'a> {
    pub(crate) common: &'a Common,
    attempts: Option<&'a Attempts>,
    load: Option<&'a dyn Load>,
    pub(crate) broker: Broker,
    pub(crate) broker_process: Option<BrokerProcess>,
    pub(crate) broker_edges: ResourceEdges,
    broker_log: Option<LogThread>,
    pub(crate) clock: RunClock,
    phases: PhaseTrack,
    pub(crate) stop: Stop,
    live: Arc<Mutex<Live>>,
    faults: Arc<[Arc<dyn Fault>]>,
    schedule: Arc<Schedule>,
    honest: HonestThread,
    collector: Collector,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) job: Job,
    /// Tells the workers when each wave began.
    began_us: watch::Sender<Vec<u64>>,
    waves: WaveTrack,
    outages: OutageTrack,
    seen_of_waves: Vec<SeenOfWave>,
    begun: Record,
    discarded_before: Discarded,
}

/// What the phases brought, beside what the threads saw.
struct Ran {
    worked: Worked,
    load: Option<LoadRecord>,
    /// CPU time that we used from the baseline's begin on; absent where the system does not tell.
    cpu_us: Option<u64>,
    /// What the bystanders had to keep to be back; absent when nothing was delivered in the baseline.
    recovery_limit_us: Option<u64>,
    /// After how long they did; absent when they did not.
    recovery_time_us: Option<u64>,
}

impl Conductor<'_> {
    /// Conducts the run from its first phase to its judged record.
    pub(crate) async fn conduct(mut self, observer: &mut dyn Observer) -> Result<Finished, RunError> {
        let settings = self.common.phases;
        self.honest.begin();
        self.enter(Phase::Warmup, Some(settings.warmup), observer);
        let (cpu_before, worked, load_record) = match self.load {
            None => {
                let workers = Workers::start(&self.job, self.common.threads)?;
                self.wait(settings.warmup, observer).await;
                // Clients that are to be there before the fault are there in the baseline as well.
                let muster = self.job.muster.clone();
                self.wait_until(observer, |_now| muster.has_gathered(0) || workers.are_done()).await;
                let cpu_before = self.baseline(observer).await;
                (cpu_before, self.fault_phase(workers, observer).await?, None)
            }
            Some(load) => {
                let (cpu_before, record) = self.loaded(load, observer).await?;
                (cpu_before, Worked::default(), Some(record))
            }
        };
        let (recovery_limit_us, recovery_time_us) = self.recovery_phase(observer).await;
        if self.stop.reason().is_none() {
            // Before the last probe, whose connection would be taken for one that the fault left behind.
            self.broker_edges.recovery_ended = look(self.broker_process.as_ref());
        }
        let cpu_us = own_cpu_us().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
        // Before and after: a witness that was proved only once may have gone deaf in between.
        tokio::select! {
            biased;
            _reason = self.stop.raised() => {}
            () = self.honest.prove_witness() => {}
        }
        // A broker that died after the last attempt is down all the same.
        let version = self.broker.spoken.first().copied().unwrap_or(ProtocolVersion::V5);
        if self.stop.reason().is_none() {
            let _down_is_told_by_the_stop = self.job.stage.confirm(Outcome::NoReaction, None, version).await;
        }
        self.conclude(Ran { worked, load: load_record, cpu_us, recovery_limit_us, recovery_time_us })
    }

    /// The baseline, with the bystanders alone. Returns the CPU time that we had used when it began.
    pub(crate) async fn baseline(&mut self, observer: &mut dyn Observer) -> Option<u64> {
        let cpu_before = own_cpu_us();
        if self.stop.reason().is_none() {
            let lasts = self.common.phases.baseline;
            self.broker_edges.baseline_began = look(self.broker_process.as_ref());
            self.enter(Phase::Baseline, Some(lasts), observer);
            self.wait(lasts, observer).await;
        }
        cpu_before
    }

    fn enter(&self, phase: Phase, expected: Option<Duration>, observer: &mut dyn Observer) {
        self.enter_at(self.clock.now_us(), phase, expected, observer);
    }

    pub(crate) fn enter_at(
        &self,
        at_us: u64,
        phase: Phase,
        expected: Option<Duration>,
        observer: &mut dyn Observer,
    ) {
        self.phases.begin(phase, at_us);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.phase = Some(phase);
        live.phase_expected_us = expected.map(ungraceful_record::scale::micros);
        observer.view(&live);
    }

    /// Waits for `time`, or until the run stops.
    pub(crate) async fn wait(&self, time: Duration, observer: &mut dyn Observer) {
        let until_us = self.clock.now_us() + ungraceful_record::scale::micros(time);
        self.wait_until(observer, |now_us| now_us >= until_us).await;
    }

    /// Waits until `is_over`, or until the run stops; shows the run meanwhile.
    async fn wait_until(&self, observer: &mut dyn Observer, is_over: impl Fn(u64) -> bool) {
        let began_us = self.clock.now_us();
        let mut looks = 0_u32;
        while self.stop.reason().is_none() && !is_over(self.clock.now_us()) {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _reason = self.stop.raised() => {}
            }
            looks += 1;
            if looks.is_multiple_of(SHOW_EVERY) {
                self.show(self.clock.now_us().saturating_sub(began_us), None, observer);
            }
        }
    }

    /// Shows the run; `load` is what of it changed.
    pub(crate) fn show(&self, phase_elapsed_us: u64, load: Option<LiveLoad>, observer: &mut dyn Observer) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.phase_elapsed_us = phase_elapsed_us;
        if let (Some(now), Some(shown)) = (load, &mut live.load) {
            // Rates and times are the collector's.
            *shown = LiveLoad {
                sent_per_second: shown.sent_per_second,
                delivered_per_second: shown.delivered_per_second,
                response_p50_us: shown.response_p50_us,
                response_p99_us: shown.response_p99_us,
                ..now
            };
        }
        observer.view(&live);
    }

    /// Waits for the bystanders to be back. Returns the limit they had to keep, and after how long they did.
    async fn recovery_phase(&self, observer: &mut dyn Observer) -> (Option<u64>, Option<u64>) {
        // A load without bystanders has nobody to recover.
        if self.stop.reason().is_some() || (self.load.is_some() && self.common.bystanders.pairs == 0) {
            return (None, None);
        }
        let began_us = self.clock.now_us();
        let limit_us = self.recovery_limit_us();
        // Watched from the phase's first message on, so the watch comes before the phase.
        if let Some(limit_us) = limit_us {
            self.honest.recovery.begin(began_us, limit_us);
        }
        self.enter_at(began_us, Phase::Recovery, Some(self.common.phases.recovery), observer);
        let Some(limit_us) = limit_us else { return (None, None) };
        let until_us = began_us + ungraceful_record::scale::micros(self.common.phases.recovery);
        self.wait_until(observer, |now_us| {
            now_us >= until_us || self.honest.recovery.back_after_us(now_us).is_some()
        })
        .await;
        (Some(limit_us), self.honest.recovery.back_after_us(self.clock.now_us()))
    }

    /// By the baseline's p99, or its maximum when there are too few samples; absent when no bystander message was
    /// delivered in the baseline.
    fn recovery_limit_us(&self) -> Option<u64> {
        let baseline = self.live.lock().unwrap_or_else(PoisonError::into_inner).baseline_response_time;
        Some(recovery::limit_us(baseline.p99_us.or(baseline.max_us)?))
    }
}
