//! The broker together with what the run watches of it beside its packets: its process, its log, and when it was away as
//! planned.

use std::net::SocketAddr;

use ungraceful_record::run::{BrokerLogRecord, BrokerResourcesRecord, PhaseRecord};

use crate::broker::found::Broker;
use crate::broker::log::{AttemptsTold, LogThread};
use crate::broker::log_follower::LogFollower;
use crate::broker::outage::{OutageTrack, Restart};
use crate::broker::owned::OwnedBroker;
use crate::broker::process::{BrokerProcess, Usage};
use crate::broker::resources::{ResourceEdges, ResourceSample, look, resources};
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::run::stop::{Stop, StopReason};

/// The broker, watched.
pub(crate) struct WatchedBroker {
    pub(crate) found: Broker,
    /// Absent when its id is not known.
    pub(crate) process: Option<BrokerProcess>,
    pub(crate) edges: ResourceEdges,
    pub(crate) outages: OutageTrack,
    log: Option<LogThread>,
}

impl WatchedBroker {
    pub(crate) fn new(found: Broker) -> Self {
        let process = found.record.pid.map(BrokerProcess::new);
        let (edges, outages) = (ResourceEdges::default(), OutageTrack::default());
        Self { found, process, edges, outages, log: None }
    }

    /// Follows its log from where it was opened, where it is known.
    pub(crate) fn follow_log(
        &mut self,
        start: impl FnOnce(LogFollower) -> Result<LogThread, RunError>,
    ) -> Result<(), RunError> {
        self.log = self.found.log.take().map(start).transpose()?;
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.found.endpoint.address
    }

    /// What its process uses now; absent when it is not known, or gone.
    pub(crate) fn usage(&self) -> Option<Usage> {
        look(self.process.as_ref())
    }

    /// Has it restarted, as planned. One that does not come back ends the run.
    pub(crate) async fn restart(&mut self, restart: &Restart, clock: RunClock, stop: &Stop) {
        self.outages.begin(clock.now_us());
        if let Some(process) = &self.process {
            process.about_to_end();
        }
        let address = self.address();
        let done = tokio::select! {
            biased;
            _reason = stop.raised() => return,
            done = restart.carry_out(self.found.owned.as_mut(), address) => done,
        };
        match done {
            Ok(()) => self.outages.end(clock.now_us()),
            Err(why) => stop.raise(StopReason::BrokerDown(format!("the planned restart failed: {why}"))),
        }
        if let (Some(process), Some(owned)) = (&self.process, &self.found.owned) {
            process.replaced_by(owned.pid());
        }
    }

    /// How the process that the run started has ended; absent while it lives. One that was not to end is down.
    pub(crate) fn exit(&mut self, stop: &Stop) -> Option<String> {
        let exit = self.found.owned.as_mut().and_then(OwnedBroker::exit)?;
        if stop.reason().is_none() {
            stop.raise(StopReason::BrokerDown(format!("its process ended with {exit}")));
        }
        Some(exit)
    }

    /// Looks at its log a last time; absent when it is not known.
    pub(crate) fn finish_log(&mut self) -> Result<Option<(BrokerLogRecord, AttemptsTold)>, RunError> {
        self.log.take().map(LogThread::finish).transpose()
    }

    /// What the run cost its process; absent when that was never seen.
    pub(crate) fn resources(
        &self,
        samples: &[ResourceSample],
        phases: &[PhaseRecord],
    ) -> Option<BrokerResourcesRecord> {
        resources(samples, &self.edges, phases, self.outages.count() > 0)
    }
}
