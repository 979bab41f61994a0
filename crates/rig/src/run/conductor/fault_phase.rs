//! The part of a run that attempts faults: wave after wave, each with its planned restart.

use tokio::time::sleep;
use ungraceful_record::phase::Phase;

use super::Conductor;
use crate::attempts::waves::CALM_BEFORE_WAVE;
use crate::attempts::worker::Workers;
use crate::error::RunError;
use crate::run::progress::LOOK_EVERY;
use crate::run::settings::Attempts;
use crate::run::summary::{PhaseResults, WaveObservation};

impl Conductor<'_> {
    /// Makes all planned attempts. Returns the CPU time used before, and the results.
    pub(super) async fn fault_phase(
        &mut self,
        attempts: &Attempts,
    ) -> Result<(Option<u64>, PhaseResults), RunError> {
        let common = &self.experiment.common;
        let workers = Workers::start(&self.job, common.threads)?;
        self.progress.wait(common.phases.warmup).await;
        // Gathered clients are connected during the baseline as well.
        self.progress.wait_until(|_now| workers.have_gathered(0)).await;
        let cpu_us_before = self.baseline().await;
        let mut waves = Vec::new();
        for number in 0..self.job.schedule.waves().len() {
            if number > 0 {
                self.progress.wait_until(|_now| workers.have_gathered(number)).await;
                self.progress.wait(CALM_BEFORE_WAVE).await;
            }
            if self.progress.is_stopped() || workers.are_done() {
                break;
            }
            waves.extend(self.wave(number, attempts, &workers).await);
        }
        // When the run stops, running attempts may take some time to clean up.
        while !workers.are_done() {
            sleep(LOOK_EVERY).await;
        }
        self.broker.edges.fault_ended = self.broker.usage();
        let worker_stats = workers.join()?;
        Ok((cpu_us_before, PhaseResults { worker_stats, waves, ..PhaseResults::default() }))
    }

    /// Releases a wave, and waits until it has ended.
    async fn wave(
        &mut self,
        number: usize,
        attempts: &Attempts,
        workers: &Workers,
    ) -> Option<WaveObservation> {
        let before = self.broker.usage();
        let began_us = if number == 0 {
            self.broker.edges.fault_began = before;
            let lasts = (!attempts.are_in_waves()).then(|| self.job.schedule.plan.span());
            self.progress.enter(Phase::Fault, lasts)
        } else {
            self.progress.clock.now_us()
        };
        self.job.waves.begin(began_us);
        if let Some(restart) = &attempts.restart {
            self.broker.restart(restart, self.progress.clock, &self.progress.stop).await;
        }
        self.progress.wait_until(|_now| workers.have_ended(number)).await;
        if !self.progress.is_stopped() {
            self.job.waves.end(self.progress.clock.now_us());
        }
        let times = self.job.waves.latest()?;
        let outage = self.broker.outages.between(times.began_us, times.ended_us.unwrap_or(u64::MAX));
        let by = attempts.restart.as_ref().map(|restart| restart.by.describe());
        let rss_bytes = [before, self.broker.usage()].map(|usage| usage.map(|usage| usage.rss_bytes));
        Some(WaveObservation { times, outage: outage.zip(by), rss_bytes })
    }
}
