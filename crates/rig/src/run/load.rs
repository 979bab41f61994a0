//! A load: made in place of attempts, to measure a broker under honest traffic. This crate knows what a load *is*,
//! and the load engine makes it.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::confidence::Until;
use ungraceful_record::live::LiveLoad;
use ungraceful_record::load::LoadRecord;
use ungraceful_wire::Transport;

use crate::broker::clients::Clients;
use crate::broker::nodes::Nodes;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{REPORTS, Report, Source};
use crate::measure::meter::Interval;
use crate::run::seed::Seed;

/// How long after the decision a load begins or ends, so that each of its threads and processes knows before: one that does not know the
/// beginning yet would not count what others have sent it.
pub const KNOWN_AFTER: Duration = Duration::from_millis(200);
/// How long after the last due message a load waits for messages under way, in any case.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits at most, while deliveries still come.
pub const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long no delivery may have come for the broker to count as done. In a load that ended earlier, missing messages
/// count as still coming.
pub const QUIET: Duration = Duration::from_secs(2);

/// A load that can be made.
pub trait Load: fmt::Debug {
    /// How long it is measured; what falls due later does not count.
    fn duration(&self) -> Duration;

    /// The percentile that ends it when it is sure enough, before its duration is over; absent for a load that lasts as long as it does.
    fn until(&self) -> Option<Until>;

    /// How it connects.
    fn connects(&self) -> Connects;

    /// Starts it: connects, and sends nothing before [`LoadUnderWay::begin`].
    ///
    /// # Errors
    /// [`RunError`] when this broker or this machine does not allow it.
    fn start(&self, stage: LoadStage) -> Result<Box<dyn LoadUnderWay>, RunError>;
}

/// How a load connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connects {
    /// Connections per second.
    pub per_second: f64,
    /// Connections that are being opened at the same time, at most.
    pub in_flight: u64,
    /// Processes that share them.
    pub processes: u64,
    /// Connections of the process that has most of them.
    pub of_a_process: u64,
}

/// A load that was started.
pub trait LoadUnderWay {
    /// Whether every connection is up or has failed.
    fn is_ready(&self) -> bool;
    /// Begins at `begin_us`. What is due before `counted_from_us` is sent and not counted.
    fn begin(&mut self, begin_us: u64, counted_from_us: u64);
    /// Ends it at `until_us`, before its duration is over: what is due from then on is not sent and does not count.
    fn end_at(&mut self, until_us: u64);
    /// Whether everything that fell due was sent and has arrived, or is given up.
    fn is_done(&self) -> bool;
    /// When the last delivery came, in µs of the run's clock; absent when none has.
    fn last_delivery_us(&self) -> Option<u64>;
    /// Gives up what has not been done by now.
    fn stop(&mut self);
    /// The current state; rates are left at 0.
    fn live(&self) -> LiveLoad;
    /// Ends it: connections are closed in order.
    ///
    /// # Errors
    /// [`RunError::Bug`] when one of its threads panicked, [`RunError::Environment`] when the machine lacked something.
    fn finish(self: Box<Self>) -> Result<LoadRecord, RunError>;
}

/// What a load needs from its run.
#[derive(Clone, Debug)]
pub struct LoadStage {
    /// Where the broker listens.
    pub nodes: Nodes,
    /// The version to speak.
    pub version: ProtocolVersion,
    /// The highest QoS that the broker takes.
    pub maximum_qos: QoS,
    /// The largest packet that the broker takes, in bytes; absent when it does not say.
    pub maximum_packet_size: Option<u32>,
    /// Whether the broker takes Shared Subscriptions; assumed where it does not say.
    pub shared_subscriptions: bool,
    /// Who the clients are.
    pub clients: Clients,
    /// Local addresses to connect from, in turn; the kernel's choice when empty.
    pub sources: Vec<IpAddr>,
    /// The layers over TCP.
    pub transport: Transport,
    /// Limit of each of the TCP handshake, the handshakes over it, and the waits for CONNACK and SUBACK.
    pub connect_timeout: Duration,
    /// The run's clock.
    pub clock: RunClock,
    /// The seed.
    pub seed: Seed,
    /// Threads.
    pub threads: NonZeroU32,
    /// Where measurements go.
    pub reports: LoadReports,
}

/// Where the threads of a load report what they measured.
#[derive(Clone, Debug)]
pub struct LoadReports {
    sender: mpsc::Sender<Report>,
}

impl LoadReports {
    pub(crate) fn new(sender: mpsc::Sender<Report>) -> Self {
        Self { sender }
    }

    /// For threads whose reports another process collects. Those end when every clone is gone.
    #[must_use]
    pub fn for_another_process() -> (Self, LoadReported) {
        let (sender, receiver) = mpsc::channel(REPORTS);
        (Self { sender }, LoadReported { receiver })
    }

    /// Reports what `thread` measured since its last report. Returns it when there is no room now.
    ///
    /// # Errors
    /// The interval, for the next report.
    pub fn report(&self, thread: u32, interval: Interval) -> Result<(), Interval> {
        self.sender.try_send(Report::Interval(Source::Worker(thread), interval)).map_err(|error| {
            let (mpsc::error::TrySendError::Full(report) | mpsc::error::TrySendError::Closed(report)) = error;
            match report {
                Report::Interval(_, interval) => interval,
                Report::Attempt(..) => Interval::default(),
            }
        })
    }

    /// Makes the last report of `thread`; waits for room.
    pub fn report_last(&self, thread: u32, interval: Interval) {
        let _collector_is_gone =
            self.sender.blocking_send(Report::Interval(Source::Worker(thread), interval));
    }
}

/// What threads reported, for another process.
#[derive(Debug)]
pub struct LoadReported {
    receiver: mpsc::Receiver<Report>,
}

impl LoadReported {
    /// Waits for what a thread measured; absent when there will be nothing more.
    pub fn wait(&mut self) -> Option<(u32, Interval)> {
        loop {
            if let Report::Interval(Source::Worker(thread), interval) = self.receiver.blocking_recv()? {
                return Some((thread, interval));
            }
        }
    }
}
