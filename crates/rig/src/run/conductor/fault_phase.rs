//! The part of a run that attempts faults: wave after wave, each with the restart that was planned for it.

use tokio::time::sleep;
use ungraceful_record::live::Observer;
use ungraceful_record::phase::Phase;

use super::Conductor;
use crate::attempts::waves::CALM_BEFORE_WAVE;
use crate::attempts::worker::{Worked, Workers};
use crate::broker::outage::Restart;
use crate::broker::process::Usage;
use crate::broker::resources::look;
use crate::error::RunError;
use crate::run::conductor::LOOK_EVERY;
use crate::run::settings::Spread;
use crate::run::stop::StopReason;
use crate::run::summary::SeenOfWave;

impl Conductor<'_> {
    /// Attempts everything that is planned. Returns what the workers did.
    pub(super) async fn fault_phase(
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
                let expected = !self.is_in_waves();
                self.enter(Phase::Fault, expected.then(|| self.schedule.plan.span()), observer);
                began_us = self.phases.begun_us(Phase::Fault).unwrap_or(began_us);
            }
            self.waves.begin(began_us);
            self.began_us.send_modify(|began| began.push(began_us));
            if let Some(restart) = self.planned_restart().cloned() {
                self.restart(&restart).await;
            }
            let muster = self.job.muster.clone();
            self.wait_until(observer, |_now| muster.has_ended(wave) || workers.are_done()).await;
            self.end_wave(before);
        }
        // When the run stops, attempts still under way cure what they opened, for as long as they may.
        while !workers.are_done() {
            sleep(LOOK_EVERY).await;
        }
        self.broker_edges.fault_ended = look(self.broker_process.as_ref());
        workers.join()
    }

    /// Whether cases come one after another, the attempts of each at one instant.
    pub(super) fn is_in_waves(&self) -> bool {
        self.attempts.is_some_and(|attempts| matches!(attempts.schedule.spread, Spread::Waves))
    }

    /// The restart with which each wave begins; absent when none is planned.
    fn planned_restart(&self) -> Option<&Restart> {
        self.attempts?.restart.as_ref()
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
        let by = self.planned_restart().map(|restart| restart.by.describe());
        let after = look(self.broker_process.as_ref());
        self.seen_of_waves.push(SeenOfWave {
            times,
            outage: outage.zip(by),
            rss_bytes: [before, after].map(|usage| usage.map(|usage| usage.rss_bytes)),
        });
    }
}
