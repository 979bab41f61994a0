//! Before the first phase: the broker is found, the honest clients and the threads come up, and the record is begun.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use ungraceful_record::discarded::Discarded;
use ungraceful_record::live::{Live, Observer};
use ungraceful_record::metric::{Percentiles, histogram};
use ungraceful_record::offers::Offers;
use ungraceful_record::run::{
    ClockRecord, Completeness, FORMAT_VERSION, GeneratorRecord, LeftOutRecord, Record,
};
use ungraceful_wire::{ConnectOptions, Stamps};

use super::Conductor;
use crate::attempts::connections::OpenConnections;
use crate::attempts::discarded::discarded_so_far;
use crate::attempts::fault::{Fault, Stage};
use crate::attempts::waves::{WaveBarrier, WaveTrack};
use crate::attempts::worker::Job;
use crate::broker::found::{Broker, preflight_client_id_prefix};
use crate::broker::log::{LogLinks, LogThread};
use crate::broker::log_phrases::ClientIds;
use crate::broker::target::SourceAddresses;
use crate::broker::watched::WatchedBroker;
use crate::bystanders::context::ClientSettings;
use crate::bystanders::honest_connections;
use crate::bystanders::honest_thread::{HonestLinks, HonestSettings, HonestThread};
use crate::bystanders::pulse::Pulse;
use crate::bystanders::witness::Witness;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Collector, CollectorLinks, REPORTS};
use crate::measure::recorder::Recorder;
use crate::run::host;
use crate::run::plan::Schedule;
use crate::run::progress::Progress;
use crate::run::settings::{Attempts, Common, Experiment, Work};
use crate::run::stop::Stop;

/// How long a broker has to show, after a load, that it is still there.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

impl<'a> Conductor<'a> {
    /// Finds the broker, and brings up everything that is to be there before the first phase.
    pub(crate) async fn prepare(
        experiment: &'a Experiment,
        observer: &'a mut dyn Observer,
        stop: Stop,
        descriptor_limit: u64,
        recorder: Recorder,
    ) -> Result<Self, RunError> {
        let Experiment { common, work } = experiment;
        let (clock, discarded_before) = (RunClock::start(), discarded_so_far());
        let Found { broker, options, topic_root, faults, left_out } =
            Found::of(experiment, &clock, observer).await?;
        let begun = begin_record(common, &broker, &clock, descriptor_limit, left_out);
        let mut broker = WatchedBroker::new(broker);
        let schedule = schedule(experiment, &faults)?;
        let live = Live::of(schedule.plan.len(), work.load().is_some());
        let progress = Progress::new(clock, stop, live, observer);
        let (waves, (reports, reported)) = (WaveTrack::default(), mpsc::channel(REPORTS));
        let links = HonestLinks {
            clock,
            phases: progress.phases.clone(),
            pulse: Pulse::default(),
            witness: Witness::default(),
            outages: broker.outages.clone(),
            waves: waves.clone(),
            reports: reports.clone(),
        };
        let settings = honest_settings(common, &broker.found, &topic_root);
        let honest = HonestThread::start(settings, links).await?;
        broker.follow_log(|follower| {
            LogThread::start(LogLinks {
                follower,
                file: recorder.broker_log()?,
                clock,
                stop: progress.stop.clone(),
                client_ids: client_ids(common, schedule.plan.len()),
                lines_max: common.watch.log_lines_max,
            })
        })?;
        let job = Job {
            schedule: Arc::new(schedule),
            faults,
            stage: stage(experiment, &broker.found, options, topic_root, &progress, &honest),
            phases: progress.phases.clone(),
            clients: places(work.attempts().map_or(0, Attempts::clients_at_once)),
            waves,
            barrier: WaveBarrier::of(common.threads.get()),
            cure_within: common.bound.cure_within,
            reports,
        };
        let links = CollectorLinks {
            clock,
            stop: progress.stop.clone(),
            connections: job.stage.connections.clone(),
            broker: broker.process.clone(),
            live: Arc::clone(&progress.live),
        };
        let collector = Collector::start(recorder, begun, discarded_before, links, reported)?;
        Ok(Self { experiment, progress, broker, honest, job, collector })
    }
}

/// Where attempts are made; a load takes some of it too.
fn stage(
    experiment: &Experiment,
    broker: &Broker,
    options: ConnectOptions,
    topic_root: Arc<str>,
    progress: &Progress<'_>,
    honest: &HonestThread,
) -> Stage {
    let Experiment { common, work } = experiment;
    let attempts = work.attempts();
    Stage {
        seed: common.seed,
        endpoint: broker.endpoint,
        options,
        sources: SourceAddresses::new(&common.target.sources),
        credentials: common.target.credentials.clone(),
        administrator: broker.owned.as_ref().and_then(|owned| owned.administrator.clone()),
        clock: progress.clock,
        pulse: honest.pulse.clone(),
        witness: honest.proved_witness(),
        stop: progress.stop.clone(),
        connections: OpenConnections::default(),
        maximum_qos: broker.offers().maximum_qos,
        client_id_prefix: client_ids(common, 0).of_attempts.into(),
        topic_root,
        reaction_timeout: attempts.map_or(CONFIRMED_WITHIN, |attempts| attempts.reaction_timeout),
        will_wait: attempts.map_or(Duration::ZERO, |attempts| attempts.will_wait),
    }
}

/// The broker, after it was tried with what the run is about to do.
struct Found {
    broker: Broker,
    /// How clients connect to it.
    options: ConnectOptions,
    topic_root: Arc<str>,
    faults: Arc<[Arc<dyn Fault>]>,
    left_out: Vec<LeftOutRecord>,
}

impl Found {
    /// Finds or starts the broker, and tries rights, limits and QoS.
    ///
    /// # Errors
    /// When it can't be reached or refuses what the run needs, in one sentence.
    async fn of(
        experiment: &Experiment,
        clock: &RunClock,
        observer: &mut dyn Observer,
    ) -> Result<Self, RunError> {
        let Experiment { common, work } = experiment;
        let options = connect_options(common);
        let mut broker = Broker::find(common, &options).await?;
        broker.announce(common, observer);
        let topic_root = topic_root(common, clock);
        let faults = work.attempts().map_or_else(Vec::new, |attempts| (attempts.faults)(&broker.spoken));
        broker.probe(common, &options, &topic_root, clients_at_once(experiment, &faults)).await?;
        if let Some(limit) = &broker.record.qos_limit {
            observer.note(&limit.in_words());
        }
        let options = stamped(&options, &broker);
        let (faults, left_out) = leave_out_unsupported(faults, broker.offers(), observer)?;
        Ok(Self { broker, options, topic_root, faults, left_out })
    }
}

/// Leaves out the faults that need what the broker says that it does not support, and reports which.
///
/// # Errors
/// When none is left.
fn leave_out_unsupported(
    faults: Vec<Arc<dyn Fault>>,
    offers: Offers,
    observer: &mut dyn Observer,
) -> Result<(Arc<[Arc<dyn Fault>]>, Vec<LeftOutRecord>), RunError> {
    let (mut supported, mut left_out) = (Vec::new(), Vec::new());
    for fault in faults {
        match fault.left_out_because(offers) {
            Some(why) => left_out.push(LeftOutRecord { case: fault.case(), why }),
            None => supported.push(fault),
        }
    }
    let reasons: Vec<String> = left_out.iter().map(|left| format!("{}: {}", left.case, left.why)).collect();
    if supported.is_empty() && !left_out.is_empty() {
        return Err(RunError::Environment(format!(
            "nothing is left to ask of this broker: {}; choose other variants",
            reasons.join("; ")
        )));
    }
    for reason in reasons {
        observer.note(&format!("left out: {reason}"));
    }
    Ok((supported.into(), left_out))
}

/// A place for each client that may misbehave at the same time.
fn places(clients: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(clients).unwrap_or(usize::MAX)))
}

/// The kernel stamps what the clients of attempts send and receive.
fn stamped(options: &ConnectOptions, broker: &Broker) -> ConnectOptions {
    ConnectOptions { stamps: Some(Stamps::toward(broker.endpoint.address, histogram())), ..options.clone() }
}

fn connect_options(common: &Common) -> ConnectOptions {
    ConnectOptions {
        connect_timeout: common.target.connect_timeout,
        source: common.target.sources.first().copied(),
        ..ConnectOptions::default()
    }
}

/// Unlike any other run's, of the same seed too.
fn topic_root(common: &Common, clock: &RunClock) -> Arc<str> {
    let of_run = common.seed.0 ^ clock.started().as_second().cast_unsigned();
    format!("{}/{of_run:016x}", common.target.topic_root).into()
}

/// Connections that the run has at the same time, at the most: those of the honest clients, and those of attempts or load.
fn clients_at_once(experiment: &Experiment, faults: &[Arc<dyn Fault>]) -> u64 {
    let Experiment { common, work } = experiment;
    let others = match work {
        Work::Load(_) => common.connections,
        Work::Attempts(attempts) => {
            let each = common.connections.div_ceil(attempts.clients_at_once());
            let all = attempts.schedule.attempts_per_case.saturating_mul(faults.len() as u64);
            common.connections.min(all.saturating_mul(each))
        }
    };
    honest_connections(common.bystanders.pairs) + others
}

fn schedule(experiment: &Experiment, faults: &[Arc<dyn Fault>]) -> Result<Schedule, RunError> {
    let cases = u16::try_from(faults.len())
        .map_err(|_too_many| RunError::Bug("more cases than a schedule can hold".to_owned()))?;
    Ok(match &experiment.work {
        Work::Attempts(attempts) => attempts.schedule.schedule(cases, experiment.common.seed),
        Work::Load(_) => Schedule::in_waves(0, 0),
    })
}

/// How the ClientIDs of this run begin.
fn client_ids(common: &Common, attempts_planned: u64) -> ClientIds {
    let of_run = format!("{}{:05x}", common.client_id_prefix, common.seed.0 & 0xF_FFFF);
    let before_run = preflight_client_id_prefix(common);
    ClientIds { of_attempts: format!("{of_run}x"), of_run, before_run, attempts_planned }
}

fn honest_settings(common: &Common, broker: &Broker, topic_root: &Arc<str>) -> HonestSettings {
    HonestSettings {
        clients: ClientSettings {
            address: broker.endpoint.address,
            version: broker.newest_version(),
            credentials: common.target.credentials.clone(),
            connect_timeout: common.target.connect_timeout,
            client_id_prefix: client_ids(common, 0).of_run,
            topic_root: Arc::clone(topic_root),
            maximum_qos: broker.offers().maximum_qos,
        },
        run: common.seed.0,
        bystanders: common.bystanders.clone(),
    }
}

/// The record as it stands when the run begins: readable, and saying that it is partial.
fn begin_record(
    common: &Common,
    broker: &Broker,
    clock: &RunClock,
    descriptor_limit: u64,
    cases_left_out: Vec<LeftOutRecord>,
) -> Record {
    Record {
        format_version: FORMAT_VERSION,
        completeness: Completeness::Partial,
        incomplete_because: Some("the run has not ended, or was cut short".to_owned()),
        tool: common.tool.clone(),
        command: common.command.clone(),
        settings: common.settings.clone(),
        seed: common.seed.0,
        started_utc: clock.started().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        duration_us: 0,
        host: host::facts(descriptor_limit, u64::from(common.threads.get())),
        broker: broker.record.clone(),
        phases: Vec::new(),
        attempts: ungraceful_record::run::AttemptsRecord::default(),
        cases: Vec::new(),
        cases_left_out,
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
            clock: ClockRecord::default(),
            cpu_us: None,
            attempts_waited_for_a_client: 0,
            discarded: Discarded::default(),
            bottlenecks: Vec::new(),
        },
        metrics: Vec::new(),
        verdicts: Vec::new(),
    }
}
