//! A run, from its settings to its judged record. Every tool is this with another plan, other faults and other
//! checks; a load takes the place of the faults in a run that makes one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_wire::ConnectOptions;

use crate::broker::{Broker, preflight_client_id_prefix};
use crate::broker_log::{LogLinks, LogThread};
use crate::broker_process::{BrokerProcess, Usage, own_cpu_us};
use crate::bystander::BystanderSettings;
use crate::clock::RunClock;
use crate::collector::{Collector, CollectorLinks, REPORTS, Report};
use crate::connections::OpenConnections;
use crate::error::RunError;
use crate::fault::{Fault, Stage};
use crate::honest_thread::{HonestLinks, HonestSettings, HonestThread};
use crate::limits::{Demand, Supply, raise_descriptor_limit, shortages};
use crate::live::{Live, LiveLoad, Observer};
use crate::load::Load;
use crate::log_follower::LogFollower;
use crate::log_phrases::ClientIds;
use crate::metric::Percentiles;
use crate::outage::{OutageTrack, Restart};
use crate::phase::{Phase, PhaseTrack};
use crate::plan::Schedule;
use crate::pulse::Pulse;
use crate::reaction::Outcome;
use crate::record::{Completeness, FORMAT_VERSION, GeneratorRecord, Record, Setting, ToolRecord};
use crate::recorder::Recorder;
use crate::resources::{ResourceEdges, look, resources};
use crate::seed::Seed;
use crate::stop::{Stop, StopReason};
use crate::summary::{Ended, Measured, SeenOfWave, summarise, waves};
use crate::target::{SourceAddresses, TargetSettings};
use crate::threshold::Threshold;
use crate::verdict::{Check, judge};
use crate::watch::WatchSettings;
use crate::waves::{Muster, WaveTrack};
use crate::witness::Witness;
use crate::worker::{Job, Worked, Workers};
use crate::{host, own_share, owned_broker::OwnedBroker};

/// How long honest clients may take to come up.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How long a proof message to the witness may take.
const PROOF_WITHIN: Duration = Duration::from_secs(3);
/// How often the run looks whether a phase is over, and how often it shows itself.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
pub(crate) const SHOW_EVERY: u32 = 10;
/// How long the clients of a wave are connected before it acts, from the second wave on; those of the first are there in
/// the whole baseline.
const CALM_BEFORE_WAVE: Duration = Duration::from_secs(1);
/// How much a response may take beyond the baseline's p99 and count as recovered: a tick of a runtime's timer.
const RECOVERY_TOLERANCE_US: u64 = 1_000;

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
    fn faults(self, spoken: &[ProtocolVersion]) -> Arc<[Arc<dyn Fault>]> {
        match self {
            Self::Faults(make) => make(spoken).into(),
            Self::Load(_) => Arc::new([]),
        }
    }

    /// The load; absent when there is none.
    fn load(self) -> Option<&'a dyn Load> {
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
        let finished = conduct(experiment, work, observer, stop, supply.descriptors).await;
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
            std::process::exit(i32::from(crate::exit::Exit::Interrupted.code()));
        }
        before = true;
        stop.raise(StopReason::Interrupted);
    }
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
        _reason = stop.raised() => Err(RunError::Interrupted),
        conducted = prepare => conducted,
    };
    match conducted {
        Ok(conductor) => conductor.conduct(observer).await,
        Err(error) => {
            // Nothing was sent but a CONNECT: an empty record would only be in the way.
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

/// A run under way.
pub(crate) struct Conductor<'a> {
    pub(crate) experiment: &'a Experiment,
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
    witness: Witness,
    witness_proved: bool,
}

impl<'a> Conductor<'a> {
    async fn prepare(
        experiment: &'a Experiment,
        work: Work<'a>,
        observer: &mut dyn Observer,
        stop: Stop,
        descriptor_limit: u64,
        recorder: Recorder,
    ) -> Result<Self, RunError> {
        let options = connect_options(experiment);
        let mut broker = Broker::find(experiment, &options).await?;
        broker.announce(experiment, observer);
        let own_share = own_share::measure().await;
        let (faults, load) = (work.faults(&broker.spoken), work.load());
        let schedule = Arc::new(schedule(experiment, &faults)?);
        let (clock, phases, pulse) = (RunClock::start(), PhaseTrack::default(), Pulse::default());
        let (witness, connections) = (Witness::default(), OpenConnections::default());
        let (waves, outages) = (WaveTrack::default(), OutageTrack::default());
        let topic_root = topic_root(experiment.seed, &clock);
        let (reports, reported) = mpsc::channel(REPORTS);
        let links = HonestLinks {
            clock,
            phases: phases.clone(),
            pulse: pulse.clone(),
            witness: witness.clone(),
            outages: outages.clone(),
            waves: waves.clone(),
            reports: reports.clone(),
        };
        let (honest, witness_proved) = start_honest(experiment, &broker, &topic_root, links).await?;
        let live = Arc::new(Mutex::new(Live::of(schedule.plan.len(), load.is_some())));
        let begun = begin_record(experiment, &broker, &clock, own_share, descriptor_limit);
        let client_ids = client_ids(experiment, schedule.plan.len());
        let client_id_prefix: Arc<str> = client_ids.of_attempts.as_str().into();
        let broker_log = follow_log(broker.log.take(), &recorder, clock, &stop, client_ids, experiment)?;
        let broker_process = broker.record.pid.map(BrokerProcess::new);
        let collector_links = CollectorLinks {
            clock,
            stop: stop.clone(),
            connections: connections.clone(),
            broker: broker_process.clone(),
            live: Arc::clone(&live),
        };
        let collector = Collector::start(recorder, &begun, collector_links, reported)?;
        let (began_us, _) = watch::channel(Vec::new());
        let job = Job {
            schedule: Arc::clone(&schedule),
            faults: Arc::clone(&faults),
            stage: Stage {
                seed: experiment.seed,
                endpoint: broker.endpoint,
                options,
                sources: SourceAddresses::new(&experiment.target.sources),
                credentials: experiment.target.credentials.clone(),
                administrator: broker.owned.as_ref().and_then(|owned| owned.administrator.clone()),
                clock,
                pulse,
                witness: witness_proved.then(|| witness.clone()),
                stop: stop.clone(),
                connections,
                maximum_qos: broker.maximum_qos(),
                client_id_prefix,
                topic_root,
                reaction_timeout: experiment.reaction_timeout,
                will_wait: experiment.will_wait,
            },
            phases: phases.clone(),
            clients: places(experiment.clients),
            muster: Muster::of(experiment.threads.get()),
            began_us: began_us.subscribe(),
            reports: reports.clone(),
        };
        Ok(Self {
            experiment,
            load,
            broker,
            broker_process,
            broker_edges: ResourceEdges::default(),
            broker_log,
            clock,
            phases,
            stop,
            live,
            faults,
            schedule,
            honest,
            collector,
            reports,
            job,
            began_us,
            waves,
            outages,
            seen_of_waves: Vec::new(),
            begun,
            witness,
            witness_proved,
        })
    }

    async fn conduct(mut self, observer: &mut dyn Observer) -> Result<Finished, RunError> {
        let settings = self.experiment.phases;
        self.honest.begin();
        self.enter(Phase::Warmup, Some(settings.warmup), observer);
        let (cpu_before, worked, load_record) = match self.load {
            None => {
                let workers = Workers::start(&self.job, self.experiment.threads)?;
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
        self.witness_proved &= self.stop.reason().is_none() && self.honest.prove_witness(PROOF_WITHIN).await;
        // A broker that died after the last attempt is down all the same.
        let version = self.broker.spoken.first().copied().unwrap_or(ProtocolVersion::V5);
        if self.stop.reason().is_none() {
            let _down_is_told_by_the_stop = self.job.stage.confirm(Outcome::NoReaction, None, version).await;
        }
        let ended_us = self.clock.now_us();
        let exit = self.broker.owned.as_mut().and_then(OwnedBroker::exit);
        if let (Some(exit), None) = (&exit, self.stop.reason()) {
            self.stop.raise(StopReason::BrokerDown(format!("its process ended with {exit}")));
        }
        let honest = self.honest.drain()?;
        // The collector ends when nobody can report any more.
        drop((self.job, self.reports));
        let collected = self.collector.finish()?;
        let broker_log = self.broker_log.map(LogThread::finish).transpose()?;
        let ended =
            Ended { ended_us, recovery_limit_us, recovery_time_us, cpu_us, worked, broker_exit: exit };
        let measured = Measured {
            whole: &collected.whole,
            tallies: &collected.tallies,
            honest: &honest,
            attempts: collected.recorder.attempts(),
            witness_proved: self.witness_proved,
            witness: &self.witness,
        };
        let cases: Vec<_> = self.faults.iter().map(|fault| fault.case()).collect();
        let mut record =
            summarise(self.begun, self.experiment, &self.phases, &self.schedule, &cases, &measured, &ended);
        let was_replaced = self.outages.count() > 0;
        record.broker_resources =
            resources(&collected.resources, &self.broker_edges, &record.phases, was_replaced);
        if matches!(self.experiment.schedule.spread, Spread::Waves) {
            let (seen, of_bystanders) = (&self.seen_of_waves, &honest.of_waves);
            record.waves = waves(&self.schedule, &cases, seen, of_bystanders, &collected.resources);
        }
        let mut recorder = collected.recorder;
        if let Some((log, told)) = broker_log {
            recorder.add_broker_log(&told);
            record.broker_log = Some(log);
        }
        record.load = load_record;
        complete(&mut record, self.stop.reason());
        judge(&mut record, &self.experiment.checks);
        let thresholds = self.experiment.thresholds.iter().map(|threshold| threshold.judge(&record));
        let thresholds: Vec<_> = thresholds.collect();
        record.verdicts.extend(thresholds);
        recorder.run_json(&record);
        if let Some(trouble) = recorder.trouble() {
            complete(&mut record, Some(StopReason::RecordFailed(trouble.to_owned())));
        }
        Ok(Finished { record, directory: recorder.directory().to_owned() })
    }

    /// The baseline, with the bystanders alone. Returns the CPU time that we had used when it began.
    pub(crate) async fn baseline(&mut self, observer: &mut dyn Observer) -> Option<u64> {
        let cpu_before = own_cpu_us();
        if self.stop.reason().is_none() {
            let lasts = self.experiment.phases.baseline;
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
        live.phase_expected_us = expected.map(crate::clock::micros);
        observer.view(&live);
    }

    /// Waits for `time`, or until the run stops.
    pub(crate) async fn wait(&self, time: Duration, observer: &mut dyn Observer) {
        let until_us = self.clock.now_us() + crate::clock::micros(time);
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

    async fn fault_phase(
        &mut self,
        workers: Workers,
        observer: &mut dyn Observer,
    ) -> Result<Worked, RunError> {
        for wave in 0..self.schedule.waves().len() {
            if wave > 0 {
                let muster = self.job.muster.clone();
                self.wait_until(observer, |_now| muster.has_gathered(wave) || workers.are_done()).await;
                self.wait(CALM_BEFORE_WAVE, observer).await;
            }
            if self.stop.reason().is_some() || workers.are_done() {
                break;
            }
            let before = look(self.broker_process.as_ref());
            let mut began_us = self.clock.now_us();
            if wave == 0 {
                self.broker_edges.fault_began = before;
                let expected = matches!(self.experiment.schedule.spread, Spread::Rate { .. });
                self.enter(Phase::Fault, expected.then(|| self.schedule.plan.span()), observer);
                began_us = self.phases.begun_us(Phase::Fault).unwrap_or(began_us);
            }
            self.waves.begin(began_us);
            self.began_us.send_modify(|began| began.push(began_us));
            if let Some(restart) = self.experiment.restart.clone() {
                self.restart(&restart).await;
            }
            let muster = self.job.muster.clone();
            self.wait_until(observer, |_now| muster.has_ended(wave) || workers.are_done()).await;
            self.end_wave(before);
        }
        // When the run stops, attempts still under way cure what they opened; each of their waits is bounded.
        while !workers.are_done() {
            sleep(LOOK_EVERY).await;
        }
        self.broker_edges.fault_ended = look(self.broker_process.as_ref());
        workers.join()
    }

    /// Has the broker restarted, as planned. One that does not come back ends the run.
    async fn restart(&mut self, restart: &Restart) {
        self.outages.begin(self.clock.now_us());
        if let Some(process) = &self.broker_process {
            process.about_to_end();
        }
        let (owned, address) = (self.broker.owned.as_mut(), self.broker.endpoint.address);
        let done = tokio::select! {
            biased;
            _reason = self.stop.raised() => return,
            done = restart.carry_out(owned, address) => done,
        };
        match done {
            Ok(()) => self.outages.end(self.clock.now_us()),
            Err(why) => {
                self.stop.raise(StopReason::BrokerDown(format!("the planned restart failed: {why}")));
            }
        }
        if let (Some(process), Some(owned)) = (&self.broker_process, &self.broker.owned) {
            process.replaced_by(owned.pid());
        }
    }

    fn end_wave(&mut self, before: Option<Usage>) {
        if self.stop.reason().is_none() {
            self.waves.end(self.clock.now_us());
        }
        let Some(times) = self.waves.all().last().copied() else { return };
        let outage = self.outages.between(times.began_us, times.ended_us.unwrap_or(u64::MAX));
        let by = self.experiment.restart.as_ref().map(|restart| restart.by.describe());
        let after = look(self.broker_process.as_ref());
        self.seen_of_waves.push(SeenOfWave {
            times,
            outage: outage.zip(by),
            rss_bytes: [before, after].map(|usage| usage.map(|usage| usage.rss_bytes)),
        });
    }

    /// Waits for the bystanders to be back. Returns the limit they had to keep, and after how long they did.
    async fn recovery_phase(&self, observer: &mut dyn Observer) -> (Option<u64>, Option<u64>) {
        // A load without bystanders has nobody to recover.
        if self.stop.reason().is_some() || (self.load.is_some() && self.experiment.bystanders.pairs == 0) {
            return (None, None);
        }
        let began_us = self.clock.now_us();
        let limit_us = self.recovery_limit_us();
        // Watched from the phase's first message on, so the watch comes before the phase.
        if let Some(limit_us) = limit_us {
            self.honest.watch_recovery(began_us, limit_us);
        }
        self.enter_at(began_us, Phase::Recovery, Some(self.experiment.phases.recovery), observer);
        let Some(limit_us) = limit_us else { return (None, None) };
        let until_us = began_us + crate::clock::micros(self.experiment.phases.recovery);
        self.wait_until(observer, |now_us| now_us >= until_us || self.honest.back_after_us(now_us).is_some())
            .await;
        (Some(limit_us), self.honest.back_after_us(self.clock.now_us()))
    }

    /// The baseline's p99, or its maximum when there are too few samples, and the tolerance; absent when no
    /// bystander message was delivered in the baseline.
    fn recovery_limit_us(&self) -> Option<u64> {
        let baseline = self.live.lock().unwrap_or_else(PoisonError::into_inner).baseline_response_time;
        Some(baseline.p99_us.or(baseline.max_us)? + RECOVERY_TOLERANCE_US)
    }
}

/// Starts the honest clients, and waits until they are connected; tells whether the witness was proved to hear.
async fn start_honest(
    experiment: &Experiment,
    broker: &Broker,
    topic_root: &Arc<str>,
    links: HonestLinks,
) -> Result<(HonestThread, bool), RunError> {
    let mut honest = HonestThread::start(honest_settings(experiment, broker, topic_root), links)?;
    honest.ready(READY_WITHIN).await.map_err(RunError::Environment)?;
    let witness_proved = honest.prove_witness(PROOF_WITHIN).await;
    Ok((honest, witness_proved))
}

/// A place for each client that may misbehave at the same time.
fn places(clients: NonZeroU32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(clients.get()).unwrap_or(usize::MAX)))
}

fn connect_options(experiment: &Experiment) -> ConnectOptions {
    ConnectOptions {
        connect_timeout: experiment.target.connect_timeout,
        source: experiment.target.sources.first().copied(),
        ..ConnectOptions::default()
    }
}

/// Unlike any other run's, of the same seed too.
fn topic_root(seed: Seed, clock: &RunClock) -> Arc<str> {
    format!("ungraceful/{:016x}", seed.0 ^ clock.started().as_second().cast_unsigned()).into()
}

fn schedule(experiment: &Experiment, faults: &[Arc<dyn Fault>]) -> Result<Schedule, RunError> {
    let cases = u16::try_from(faults.len())
        .map_err(|_too_many| RunError::Bug("more cases than a schedule can hold".to_owned()))?;
    Ok(experiment.schedule.schedule(cases, experiment.seed))
}

/// Follows the broker's log from where it was opened; absent when it is not known.
fn follow_log(
    follower: Option<LogFollower>,
    recorder: &Recorder,
    clock: RunClock,
    stop: &Stop,
    client_ids: ClientIds,
    experiment: &Experiment,
) -> Result<Option<LogThread>, RunError> {
    let Some(follower) = follower else { return Ok(None) };
    let (file, stop) = (recorder.broker_log()?, stop.clone());
    let lines_max = experiment.watch.log_lines_max;
    LogThread::start(LogLinks { follower, file, clock, stop, client_ids, lines_max }).map(Some)
}

/// How the ClientIDs of this run begin.
fn client_ids(experiment: &Experiment, attempts_planned: u64) -> ClientIds {
    let of_run = format!("{}{:05x}", experiment.client_id_prefix, experiment.seed.0 & 0xF_FFFF);
    let before_run = preflight_client_id_prefix(experiment);
    ClientIds { of_attempts: format!("{of_run}x"), of_run, before_run, attempts_planned }
}

fn honest_settings(experiment: &Experiment, broker: &Broker, topic_root: &Arc<str>) -> HonestSettings {
    // The newest version that both speak.
    let version = broker.spoken.iter().copied().max().unwrap_or(ProtocolVersion::V5);
    HonestSettings {
        address: broker.endpoint.address,
        version,
        credentials: experiment.target.credentials.clone(),
        connect_timeout: experiment.target.connect_timeout,
        client_id_prefix: client_ids(experiment, 0).of_run,
        topic_root: Arc::clone(topic_root),
        run: experiment.seed.0,
        maximum_qos: broker.maximum_qos(),
        bystanders: experiment.bystanders.clone(),
    }
}

/// The record as it stands when the run begins: readable, and saying that it is partial.
fn begin_record(
    experiment: &Experiment,
    broker: &Broker,
    clock: &RunClock,
    own_share: Percentiles,
    descriptor_limit: u64,
) -> Record {
    Record {
        format_version: FORMAT_VERSION,
        completeness: Completeness::Partial,
        incomplete_because: Some("the run has not ended, or was cut short".to_owned()),
        tool: experiment.tool.clone(),
        command: experiment.command.clone(),
        settings: experiment.settings.clone(),
        seed: experiment.seed.0,
        started_utc: clock.started().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        duration_us: 0,
        host: host::facts(descriptor_limit, u64::from(experiment.threads.get())),
        broker: broker.record.clone(),
        phases: Vec::new(),
        attempts: crate::record::AttemptsRecord::default(),
        cases: Vec::new(),
        waves: Vec::new(),
        reaction_time: Percentiles::default(),
        measures: BTreeMap::new(),
        bystanders: None,
        witness: None,
        broker_resources: None,
        broker_log: None,
        load: None,
        generator: GeneratorRecord {
            schedule_slip: Percentiles::default(),
            loop_lag: Percentiles::default(),
            own_share,
            cpu_us: None,
            attempts_waited_for_a_client: 0,
            bottlenecks: Vec::new(),
        },
        metrics: Vec::new(),
        verdicts: Vec::new(),
    }
}

fn complete(record: &mut Record, reason: Option<StopReason>) {
    let (completeness, because) = match reason {
        None => (Completeness::Complete, None),
        Some(StopReason::Interrupted) => {
            (Completeness::Interrupted, Some("the run was interrupted by a signal".to_owned()))
        }
        Some(StopReason::BrokerDown(what)) => {
            (Completeness::BrokerDown, Some(format!("the broker went down: {what}")))
        }
        Some(StopReason::RecordFailed(what)) => (Completeness::RecordFailed, Some(what)),
    };
    record.completeness = completeness;
    record.incomplete_because = because;
}
