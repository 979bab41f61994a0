//! The broker with what the run watches of it beside its packets: process, log and planned outages.

use std::net::SocketAddr;

use ungraceful_record::run::{BrokerLogRecord, BrokerResourcesRecord, PhaseRecord};

use crate::broker::found::Broker;
use crate::broker::log::{LogByAttempt, LogThread};
use crate::broker::log_follower::LogFollower;
use crate::broker::outage::{OutageTrack, Restart};
use crate::broker::owned::OwnedBroker;
use crate::broker::process::{BrokerProcess, Usage};
use crate::broker::resources::{ResourceEdges, ResourceSample, resources};
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::run::stop::{Stop, StopReason};

pub(crate) struct WatchedBroker {
    pub(crate) found: Broker,
    /// Absent when its id is unknown.
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

    /// Starts to follow its log, where it is known.
    pub(crate) fn follow_log(
        &mut self,
        start: impl FnOnce(LogFollower) -> Result<LogThread, RunError>,
    ) -> Result<(), RunError> {
        self.log = self.found.log.take().map(start).transpose()?;
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.found.nodes.first().endpoint.address
    }

    /// What its process uses now; absent when unknown or gone.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.as_ref().and_then(BrokerProcess::sample)
    }

    /// Restarts it as planned. One that does not come back ends the run.
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

    /// How the process that the run started has ended; absent while it lives. An unexpected end stops the run.
    pub(crate) fn exit(&mut self, stop: &Stop) -> Option<String> {
        let exit = self.found.owned.as_mut().and_then(OwnedBroker::exit)?;
        if stop.reason().is_none() {
            stop.raise(StopReason::BrokerDown(format!("its process ended with {exit}")));
        }
        Some(exit)
    }

    /// Reads its log a last time; absent when unknown.
    pub(crate) fn finish_log(&mut self) -> Result<Option<(BrokerLogRecord, LogByAttempt)>, RunError> {
        self.log.take().map(LogThread::finish).transpose()
    }

    /// The cost of the run to its process; absent when it was never seen.
    pub(crate) fn resources(
        &self,
        samples: &[ResourceSample],
        phases: &[PhaseRecord],
    ) -> Option<BrokerResourcesRecord> {
        resources(samples, &self.edges, phases, self.outages.count() > 0)
    }
}
