//! The part of a run that makes load: connections, warm-up, the bystanders' baseline where there are bystanders, the
//! load itself, and the wait for what is still under way.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::phase::Phase;
use ungraceful_record::scale::micros;

use super::Conductor;
use crate::broker::process::own_cpu_us;
use crate::error::RunError;
use crate::run::load::{
    DRAIN_MAX, DRAIN_WITHIN, KNOWN_AFTER, Load, LoadReports, LoadStage, LoadUnderWay, QUIET,
};
use crate::run::progress::LOOK_EVERY;
use crate::run::summary::PhaseResults;

/// Whether to stop waiting for messages under way; `until_us` is when the last was due.
fn is_drained(now_us: u64, until_us: u64, last_delivery_us: Option<u64>) -> bool {
    let is_arriving = last_delivery_us.is_some_and(|last_us| now_us.saturating_sub(last_us) < micros(QUIET));
    let within = if is_arriving { DRAIN_MAX } else { DRAIN_WITHIN };
    now_us >= until_us + micros(within)
}

impl Conductor<'_> {
    /// Makes the load. Returns the CPU time used before, and the results.
    pub(super) async fn load_phase(
        &mut self,
        load: &dyn Load,
    ) -> Result<(Option<u64>, PhaseResults), RunError> {
        let common = &self.experiment.common;
        let has_bystanders = common.bystanders.pairs > 0;
        self.broker.edges.connecting_began = self.broker.usage();
        let mut under_way = load.start(self.load_stage())?;
        if has_bystanders {
            self.progress.wait(common.phases.warmup).await;
        }
        self.wait_with(under_way.as_ref(), |_now, load| load.is_ready()).await;
        let cpu_us_before = if has_bystanders { self.baseline().await } else { own_cpu_us() };
        if !self.progress.is_stopped() {
            self.broker.edges.fault_began = self.broker.usage();
            // Without bystanders the load's warm-up is the run's. With them, its effect on them counts.
            let begin_us = self.progress.clock.now_us() + micros(KNOWN_AFTER);
            let counted_from_us = begin_us + micros(common.phases.warmup);
            let mut until_us = counted_from_us + micros(load.duration());
            under_way.begin(begin_us, counted_from_us);
            if !has_bystanders {
                self.wait_with(under_way.as_ref(), |now_us, _load| now_us >= counted_from_us).await;
            }
            let enter_us = if has_bystanders { begin_us } else { counted_from_us };
            let lasts = Duration::from_micros(until_us.saturating_sub(enter_us));
            self.progress.enter_at(enter_us, Phase::Load, Some(lasts));
            if load.until().is_some() {
                until_us = self.wait_until_sure(under_way.as_mut(), until_us).await;
            }
            self.wait_with(under_way.as_ref(), |now_us, load| {
                load.is_done() || is_drained(now_us, until_us, load.last_delivery_us())
            })
            .await;
            self.broker.edges.fault_ended = self.broker.usage();
        }
        under_way.stop();
        while !under_way.is_done() {
            sleep(LOOK_EVERY).await;
        }
        let load = Some(under_way.finish()?);
        Ok((cpu_us_before, PhaseResults { load, ..PhaseResults::default() }))
    }

    /// Waits until the percentile is sure enough that ends the load, and ends it then. Returns when the last message is due.
    async fn wait_until_sure(&mut self, load: &mut dyn LoadUnderWay, until_us: u64) -> u64 {
        let live = Arc::clone(&self.progress.live);
        let is_sure = || {
            let live = live.lock().unwrap_or_else(PoisonError::into_inner);
            let confidence = live.load.as_ref().and_then(|load| load.confidence.as_ref());
            confidence.is_some_and(|confidence| confidence.unreached_because().is_none())
        };
        self.wait_with(load, |now_us, load| now_us >= until_us || load.is_done() || is_sure()).await;
        if !is_sure() {
            return until_us;
        }
        let end_us = (self.progress.clock.now_us() + micros(KNOWN_AFTER)).min(until_us);
        load.end_at(end_us);
        end_us
    }

    fn load_stage(&self) -> LoadStage {
        let (common, job) = (&self.experiment.common, &self.job);
        let (version, offers) = (self.broker.found.newest_version(), self.broker.found.offers());
        LoadStage {
            nodes: self.broker.found.nodes.clone(),
            version,
            maximum_qos: offers.maximum_qos,
            maximum_packet_size: offers.maximum_packet_size,
            shared_subscriptions: version == ProtocolVersion::V5 && offers.shared_subscription_available,
            clients: job.stage.clients.clone(),
            sources: common.target.sources.clone(),
            transport: common.target.transport.clone(),
            connect_timeout: common.target.connect_timeout,
            clock: self.progress.clock,
            seed: common.seed,
            threads: common.threads,
            reports: LoadReports::new(job.reports.clone()),
        }
    }

    /// Waits until `is_over`, or until the run stops; shows the run and its load meanwhile.
    async fn wait_with(&mut self, load: &dyn LoadUnderWay, is_over: impl Fn(u64, &dyn LoadUnderWay) -> bool) {
        self.progress.wait_with(|| Some(load.live()), |now_us| is_over(now_us, load)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::is_drained;

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn a_load_drains_for_ten_seconds_to_a_minute() {
        let until_us = 100 * SECOND_US;
        let at = |after_s: u64, came_s_ago: Option<u64>| {
            let now_us = until_us + after_s * SECOND_US;
            is_drained(now_us, until_us, came_s_ago.map(|ago_s| now_us - ago_s * SECOND_US))
        };
        assert!(!at(9, None) && at(10, None));
        assert!(!at(9, Some(5)) && at(10, Some(5)) && at(10, Some(2)));
        assert!(!at(10, Some(1)) && !at(59, Some(1)) && at(60, Some(0)));
    }
}
