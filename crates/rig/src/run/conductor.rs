//! A run in progress: one phase after another, on the main thread. `preparing` comes before the first phase,
//! `concluding` after the last; the phases that act on the broker are in `fault_phase` and [`load_phase`].

mod concluding;
mod fault_phase;
mod finding;
mod load_phase;
mod preparing;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::micros;

use crate::attempts::worker::Job;
use crate::broker::process::own_cpu_us;
use crate::broker::watched::WatchedBroker;
use crate::bystanders::honest_thread::HonestThread;
use crate::error::RunError;
use crate::measure::collector::Collector;
use crate::run::progress::Progress;
use crate::run::settings::{Experiment, Finished, Work};

pub(crate) struct Conductor<'a> {
    experiment: &'a Experiment,
    progress: Progress<'a>,
    broker: WatchedBroker,
    honest: HonestThread,
    /// What the workers need; a load needs some of it too.
    job: Job,
    collector: Collector,
}

impl Conductor<'_> {
    /// Conducts the run from its first phase to its judged record.
    pub(crate) async fn conduct(mut self) -> Result<Finished, RunError> {
        let Experiment { common, work } = self.experiment;
        self.honest.begin();
        self.progress.enter(Phase::Warmup, Some(common.phases.warmup));
        let (cpu_us_before, mut results) = match work {
            Work::Attempts(attempts) => self.fault_phase(attempts).await?,
            Work::Load(load) => self.load_phase(load.as_ref()).await?,
        };
        (results.recovery_limit_us, results.recovery_time_us) = self.recovery_phase().await;
        if !self.progress.is_stopped() {
            // Before the last probe, whose connection would count as one that the fault left behind.
            self.broker.edges.recovery_ended = self.broker.usage();
        }
        let of_workers =
            results.load.iter().flat_map(|load| &load.processes).filter_map(|worker| worker.cpu_us);
        let of_workers: u64 = of_workers.sum();
        results.cpu_us =
            own_cpu_us().zip(cpu_us_before).map(|(after, before)| after.saturating_sub(before) + of_workers);
        // Before and after: a witness that was proved only once may have gone deaf in between.
        let _stopped = self.job.stage.unless_stopped(self.honest.prove_witness()).await;
        // A broker that died after the last attempt is down all the same.
        let version = self.broker.found.spoken.first().copied().unwrap_or(ProtocolVersion::V5);
        if !self.progress.is_stopped() {
            let _down_is_told_by_the_stop = self.job.stage.confirm(Outcome::NoReaction, None, version).await;
        }
        self.conclude(results)
    }

    /// The baseline, with the bystanders alone. Returns the CPU time used before it.
    async fn baseline(&mut self) -> Option<u64> {
        let cpu_us_before = own_cpu_us();
        if !self.progress.is_stopped() {
            let lasts = self.experiment.common.phases.baseline;
            self.broker.edges.baseline_began = self.broker.usage();
            self.progress.enter(Phase::Baseline, Some(lasts));
            self.progress.wait(lasts).await;
        }
        cpu_us_before
    }

    /// Waits for the bystanders to be back. Returns their limit, and after how long they were.
    async fn recovery_phase(&mut self) -> (Option<u64>, Option<u64>) {
        let Experiment { common, work } = self.experiment;
        // A load without bystanders has no recovery.
        if self.progress.is_stopped() || (work.load().is_some() && common.bystanders.pairs == 0) {
            return (None, None);
        }
        let (recovery, lasts) = (&self.honest.recovery, common.phases.recovery);
        let began_us = self.progress.clock.now_us();
        let limit_us = self.progress.recovery_limit_us();
        // The watch begins before the phase, so that it covers the phase's first message.
        if let Some(limit_us) = limit_us {
            recovery.begin(began_us, limit_us);
        }
        self.progress.enter_at(began_us, Phase::Recovery, Some(lasts));
        if limit_us.is_none() {
            return (None, None);
        }
        let until_us = began_us + micros(lasts);
        self.progress
            .wait_until(|now_us| now_us >= until_us || recovery.back_after_us(now_us).is_some())
            .await;
        (limit_us, recovery.back_after_us(self.progress.clock.now_us()))
    }
}
