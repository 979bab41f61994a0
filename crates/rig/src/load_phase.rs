//! The part of a run that makes load: connections, warm-up, the bystanders' baseline where there are bystanders, the
//! load itself, and the wait for what is still under way.

use std::time::Duration;

use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion;

use crate::broker_process::own_cpu_us;
use crate::clock::micros;
use crate::conductor::Conductor;
use crate::error::RunError;
use crate::live::Observer;
use crate::load::{DRAIN_WITHIN, Load, LoadRecord, LoadReports, LoadStage, LoadUnderWay};
use crate::phase::Phase;
use crate::resources::look;
use crate::run::{LOOK_EVERY, SHOW_EVERY};

impl Conductor<'_> {
    /// Makes the load. Returns the CPU time that we had used before, and what became of the load.
    pub(crate) async fn loaded(
        &mut self,
        load: &dyn Load,
        observer: &mut dyn Observer,
    ) -> Result<(Option<u64>, LoadRecord), RunError> {
        let settings = self.experiment.phases;
        let has_bystanders = self.experiment.bystanders.pairs > 0;
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
            let drained_us = until_us + micros(DRAIN_WITHIN);
            self.watch(under_way.as_ref(), observer, |now_us, load| load.is_done() || now_us >= drained_us)
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
            shared_subscriptions: version == ProtocolVersion::V5 && offers.shared_subscription_available,
            credentials: self.experiment.target.credentials.clone(),
            sources: self.experiment.target.sources.clone(),
            connect_timeout: self.experiment.target.connect_timeout,
            client_id_prefix: self.job.stage.client_id_prefix.clone(),
            topic_root: self.job.stage.topic_root.clone(),
            clock: self.clock,
            seed: self.experiment.seed,
            threads: self.experiment.threads,
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
