//! A load: what a run makes in place of attempts, when it asks what a broker does under honest traffic. This crate
//! knows what a load *is* and not how it is made; the load engine implements it, and its figures end in the record.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::live::LiveLoad;
use ungraceful_record::load::LoadRecord;

use crate::broker::target::Credentials;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Report, Source};
use crate::measure::meter::Interval;
use crate::run::seed::Seed;

/// How long after the last message was due a load waits for what is under way, whether or not anything comes.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits at the most while deliveries still come.
pub const DRAIN_MAX: Duration = Duration::from_secs(60);
/// For how long no delivery may have come at the end, so that the broker counts as done: a load waits on until then, and
/// what has not come in a load that ended before is still coming.
pub const QUIET: Duration = Duration::from_secs(2);

/// A load that can be made.
pub trait Load: fmt::Debug {
    /// How long it is measured: what falls due later is not part of it.
    fn duration(&self) -> Duration;

    /// Starts it: connections are made, and nothing is sent on them before [`LoadUnderWay::begin`].
    ///
    /// # Errors
    /// [`RunError`] when it can't be made against this broker, or on this machine.
    fn start(&self, stage: LoadStage) -> Result<Box<dyn LoadUnderWay>, RunError>;
}

/// A load that was started.
pub trait LoadUnderWay {
    /// Whether every connection is there, or is known not to come.
    fn is_ready(&self) -> bool;
    /// Has it begin at `begin_us`. What is due before `counted_from_us` is sent and not counted.
    fn begin(&mut self, begin_us: u64, counted_from_us: u64);
    /// Whether everything that fell due was sent and has arrived, or is given up.
    fn is_done(&self) -> bool;
    /// When the last delivery came, in µs of the run's clock; absent when none has.
    fn last_delivery_us(&self) -> Option<u64>;
    /// Gives up what has not been done by now; it is counted as what it is.
    fn stop(&mut self);
    /// The load at this moment; rates are left at 0.
    fn live(&self) -> LiveLoad;
    /// Ends it: connections are closed in order.
    ///
    /// # Errors
    /// [`RunError::Bug`] when one of its threads panicked.
    fn finish(self: Box<Self>) -> Result<LoadRecord, RunError>;
}

/// What a load needs to know of its run.
#[derive(Clone, Debug)]
pub struct LoadStage {
    /// The broker's address.
    pub address: SocketAddr,
    /// The version to speak.
    pub version: ProtocolVersion,
    /// What the broker takes at the most.
    pub maximum_qos: QoS,
    /// The largest packet that the broker takes, in bytes; absent when it does not say.
    pub maximum_packet_size: Option<u32>,
    /// Whether the broker takes Shared Subscriptions; it is taken to where it does not say.
    pub shared_subscriptions: bool,
    /// What every client shows.
    pub credentials: Credentials,
    /// Local addresses to connect from, in turn; the kernel's choice when empty.
    pub sources: Vec<IpAddr>,
    /// Bound of the TCP handshake, and of the waits for CONNACK and SUBACK.
    pub connect_timeout: Duration,
    /// What every ClientID of the load begins with.
    pub client_id_prefix: Arc<str>,
    /// Topics begin with this, unless the user named others.
    pub topic_root: Arc<str>,
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

    /// Reports what `thread` measured since its last report. Hands it back when there is no room for it now.
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

    /// Reports the last of `thread`, and waits for room.
    pub fn report_last(&self, thread: u32, interval: Interval) {
        let _collector_is_gone =
            self.sender.blocking_send(Report::Interval(Source::Worker(thread), interval));
    }
}
