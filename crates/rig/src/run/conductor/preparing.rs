//! Before the first phase: the honest clients and the threads start, and the record is begun.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use ungraceful_record::live::{Live, Observer};
use ungraceful_record::run::{Completeness, FORMAT_VERSION, LeftOutRecord, Record};
use ungraceful_wire::ConnectOptions;

use super::Conductor;
use super::finding::Found;
use crate::attempts::connections::OpenConnections;
use crate::attempts::discarded::discarded_so_far;
use crate::attempts::fault::{Fault, Stage};
use crate::attempts::waves::{WaveBarrier, WaveTrack};
use crate::attempts::worker::Job;
use crate::broker::clients::Clients;
use crate::broker::found::{Broker, preflight_client_id_prefix};
use crate::broker::log::{LogLinks, LogThread};
use crate::broker::log_phrases::ClientIds;
use crate::broker::target::SourceAddresses;
use crate::broker::watched::WatchedBroker;
use crate::bystanders::context::ClientSettings;
use crate::bystanders::honest_thread::{HonestLinks, HonestSettings, HonestThread};
use crate::bystanders::witness::Witness;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Collector, CollectorLinks, REPORTS};
use crate::measure::recorder::Recorder;
use crate::run::host;
use crate::run::plan::Schedule;
use crate::run::progress::Progress;
use crate::run::settings::{Common, Experiment, Work};
use crate::run::stop::Stop;

/// How long a broker has, after a load, to show that it is still there.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

impl<'a> Conductor<'a> {
    /// Finds the broker, and starts everything that must be there before the first phase.
    pub(crate) async fn prepare(
        experiment: &'a Experiment,
        observer: &'a mut dyn Observer,
        stop: Stop,
        descriptor_limit: u64,
        recorder: Recorder,
    ) -> Result<Self, RunError> {
        let Experiment { common, work } = experiment;
        let (clock, discarded_before) = (RunClock::start(), discarded_so_far());
        observer.begin(clock.origin(), clock.started().as_microsecond());
        let Found { broker, options, clients, faults, left_out } =
            Found::of(experiment, &clock, observer).await?;
        let begun = begun_record(common, &broker, &clock, descriptor_limit, left_out);
        let mut broker = WatchedBroker::new(broker);
        let schedule = schedule(experiment, &faults)?;
        let live = Live::of(schedule.plan.len(), work.load().is_some());
        let progress = Progress::new(clock, stop, live, observer);
        let (waves, (reports, reported)) = (WaveTrack::default(), mpsc::channel(REPORTS));
        let links = HonestLinks {
            clock,
            phases: progress.phases.clone(),
            witness: Witness::default(),
            outages: broker.outages.clone(),
            waves: waves.clone(),
            reports: reports.clone(),
        };
        let settings = honest_settings(common, &broker.found, &clients);
        let honest = HonestThread::start(settings, links).await?;
        broker.follow_log(|follower| {
            LogThread::start(LogLinks {
                follower,
                file: recorder.broker_log()?,
                clock,
                stop: progress.stop.clone(),
                client_ids: client_ids(common, &clients, schedule.plan.len()),
                lines_max: common.watch.log_lines_max,
            })
        })?;
        let job = Job {
            schedule: Arc::new(schedule),
            faults,
            stage: stage(experiment, &broker.found, &options, clients, &progress, &honest),
            phases: progress.phases.clone(),
            clients: places(work.attempts().map_or(0, |attempts| attempts.clients.get().into())),
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
            until: work.load().and_then(|load| load.until()),
        };
        let collector = Collector::start(recorder, begun, discarded_before, links, reported)?;
        Ok(Self { experiment, progress, broker, honest, job, collector })
    }
}

/// The record at the start of a run: readable, and marked as partial.
fn begun_record(
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
        host: host::facts(descriptor_limit, u64::from(common.threads.get())),
        broker: broker.record.clone(),
        cases_left_out,
        ..Record::default()
    }
}

/// Where attempts act; a load needs some of it too.
fn stage(
    experiment: &Experiment,
    broker: &Broker,
    options: &ConnectOptions,
    clients: Clients,
    progress: &Progress<'_>,
    honest: &HonestThread,
) -> Stage {
    let Experiment { common, work } = experiment;
    let attempts = work.attempts();
    let client = clients.trying("");
    Stage {
        seed: common.seed,
        nodes: broker.nodes.clone(),
        options: client.options(options),
        sources: SourceAddresses::new(&common.target.sources),
        credentials: client.credentials.clone(),
        clients,
        administrator: broker.owned.as_ref().and_then(|owned| owned.administrator.clone()),
        clock: progress.clock,
        witness: honest.proved_witness(),
        stop: progress.stop.clone(),
        connections: OpenConnections::default(),
        maximum_qos: broker.offers().maximum_qos,
        topic_root: Arc::clone(&client.topic_root),
        reaction_timeout: attempts.map_or(CONFIRMED_WITHIN, |attempts| attempts.reaction_timeout),
        will_wait: attempts.map_or(Duration::ZERO, |attempts| attempts.will_wait),
    }
}

/// A permit for each client that may misbehave at the same time.
fn places(clients: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(clients).unwrap_or(usize::MAX)))
}

fn schedule(experiment: &Experiment, faults: &[Arc<dyn Fault>]) -> Result<Schedule, RunError> {
    let cases = u16::try_from(faults.len())
        .map_err(|_too_many| RunError::Bug("more cases than a schedule can hold".to_owned()))?;
    Ok(match &experiment.work {
        Work::Attempts(attempts) => attempts.schedule.schedule(cases, experiment.common.seed),
        Work::Load(_) => Schedule::in_waves(0, 0),
    })
}

fn client_ids(common: &Common, clients: &Clients, attempts_planned: u64) -> ClientIds {
    let of_run = clients.prefix().to_owned();
    let before_run = preflight_client_id_prefix(common);
    let varied = clients.vary().then(|| clients.clone());
    ClientIds { of_attempts: format!("{of_run}x"), of_run, before_run, attempts_planned, varied }
}

fn honest_settings(common: &Common, broker: &Broker, clients: &Clients) -> HonestSettings {
    HonestSettings {
        clients: ClientSettings {
            nodes: broker.nodes.clone(),
            version: broker.newest_version(),
            clients: clients.clone(),
            connect_timeout: common.target.connect_timeout,
            transport: common.target.transport.clone(),
            maximum_qos: broker.offers().maximum_qos,
        },
        run: common.seed.0,
        bystanders: common.bystanders.clone(),
    }
}
