//! The part of a run that makes load: connections, warm-up, the bystanders' baseline where there are bystanders, the
//! load itself, and the wait for what is still under way.

use std::time::Duration;

use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::live::Observer;
use ungraceful_record::load::LoadRecord;
use ungraceful_record::phase::Phase;
use ungraceful_record::scale::micros;

use crate::broker::process::own_cpu_us;
use crate::broker::resources::look;
use crate::error::RunError;
use crate::run::conductor::Conductor;
use crate::run::conductor::{LOOK_EVERY, SHOW_EVERY};
use crate::run::load::{DRAIN_MAX, DRAIN_WITHIN, Load, LoadReports, LoadStage, LoadUnderWay, QUIET};

/// Whether what is still under way is waited for no more: `until_us` is when the last message was due.
fn is_drained(now_us: u64, until_us: u64, last_delivery_us: Option<u64>) -> bool {
    let is_arriving = last_delivery_us.is_some_and(|last_us| now_us.saturating_sub(last_us) < micros(QUIET));
    let within = if is_arriving { DRAIN_MAX } else { DRAIN_WITHIN };
    now_us >= until_us + micros(within)
}

impl Conductor<'_> {
    /// Makes the load. Returns the CPU time that we had used before, and what became of the load.
    pub(crate) async fn loaded(
        &mut self,
        load: &dyn Load,
        observer: &mut dyn Observer,
    ) -> Result<(Option<u64>, LoadRecord), RunError> {
        let settings = self.common.phases;
        let has_bystanders = self.common.bystanders.pairs > 0;
        self.broker_edges.connecting_began = look(self.broker_process.as_ref());
        let mut under_way = load.start(self.load_stage())?;
        if has_bystanders {
            self.wait(settings.warmup, observer).await;
        }
        self.watch(under_way.as_ref(), observer, |_now, load| load.is_ready()).await;
        let cpu_before = if has_bystanders { self.baseline(observer).await } else { own_cpu_us() };
        if self.stop.reason().is_none() {
            self.broker_edges.fault_began = look(self.broker_process.as_ref());
            // Without bystanders the load's warm-up is the run's. With them, what they suffer from it counts.
            let begin_us = self.clock.now_us();
            let counted_from_us = begin_us + micros(settings.warmup);
            let until_us = counted_from_us + micros(load.duration());
            under_way.begin(begin_us, counted_from_us);
            if !has_bystanders {
                self.watch(under_way.as_ref(), observer, |now_us, _load| now_us >= counted_from_us).await;
            }
            let enter_us = if has_bystanders { begin_us } else { counted_from_us };
            let lasts = Duration::from_micros(until_us.saturating_sub(enter_us));
            self.enter_at(enter_us, Phase::Load, Some(lasts), observer);
            self.watch(under_way.as_ref(), observer, |now_us, load| {
                load.is_done() || is_drained(now_us, until_us, load.last_delivery_us())
            })
            .await;
            self.broker_edges.fault_ended = look(self.broker_process.as_ref());
        }
        under_way.stop();
        while !under_way.is_done() {
            sleep(LOOK_EVERY).await;
        }
        Ok((cpu_before, under_way.finish()?))
    }

    fn load_stage(&self) -> LoadStage {
        // The newest version that was asked for and that the broker speaks.
        let version = self.broker.spoken.iter().copied().max().unwrap_or(ProtocolVersion::V5);
        let offers = self.broker.offers();
        LoadStage {
            address: self.broker.endpoint.address,
            version,
            maximum_qos: offers.maximum_qos,
            maximum_packet_size: offers.maximum_packet_size,
            shared_subscriptions: version == ProtocolVersion::V5 && offers.shared_subscription_available,
            credentials: self.common.target.credentials.clone(),
            sources: self.common.target.sources.clone(),
            connect_timeout: self.common.target.connect_timeout,
            client_id_prefix: self.job.stage.client_id_prefix.clone(),
            topic_root: self.job.stage.topic_root.clone(),
            clock: self.clock,
            seed: self.common.seed,
            threads: self.common.threads,
            reports: LoadReports::new(self.reports.clone()),
        }
    }

    /// Waits until `is_over`, or until the run stops; shows the run and its load meanwhile.
    async fn watch(
        &self,
        load: &dyn LoadUnderWay,
        observer: &mut dyn Observer,
        is_over: impl Fn(u64, &dyn LoadUnderWay) -> bool,
    ) {
        let began_us = self.clock.now_us();
        let mut looks = 0_u32;
        while self.stop.reason().is_none() && !is_over(self.clock.now_us(), load) {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _reason = self.stop.raised() => {}
            }
            looks += 1;
            if looks.is_multiple_of(SHOW_EVERY) {
                let elapsed_us = self.clock.now_us().saturating_sub(began_us);
                self.show(elapsed_us, Some(load.live()), observer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_drained;

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn a_load_waits_ten_seconds_and_as_long_as_something_comes_but_no_longer_than_a_minute() {
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
