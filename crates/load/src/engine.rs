//! The load as the rig runs it: threads get their shares, begin on order, and are summed up at the end.

use std::collections::{BTreeSet, HashSet};
use std::mem::discriminant;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, STAMP_LEN};
use ungraceful_record::confidence::Until;
use ungraceful_record::live::LiveLoad;
use ungraceful_record::load::{LoadRecord, RetainedRecord};
use ungraceful_record::scale::{counted, micros, span};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::load::{Connects, DRAIN_WITHIN, Load, LoadStage, LoadUnderWay, QUIET};

use crate::client::{Client, Role};
use crate::greeting::{Greeting, publisher_of};
use crate::heard::Heard;
use crate::payload::Payload;
use crate::process::{Crew, Finished, Processes};
use crate::progress::{NOT_YET, Orders, Progress, sum};
use crate::publisher::{Context, Publisher, PublisherSettings};
use crate::retained;
use crate::settings::LoadSettings;
use crate::shape::Shape;
use crate::split::Split;
use crate::subscriber::Receiver;
use crate::sum::{End, in_words, payload_bytes, record};
use crate::worker::{Ended, Job, TAKEN_WITHIN, work};

/// A load with its settings.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Arc<LoadSettings>,
    processes: Option<Processes>,
}

impl Engine {
    /// A load of these settings, made in this process.
    #[must_use]
    pub fn new(settings: LoadSettings) -> Self {
        Self { settings: Arc::new(settings), processes: None }
    }

    /// The same load, made by these processes.
    #[must_use]
    pub fn in_processes(self, processes: Processes) -> Self {
        Self { processes: Some(processes), ..self }
    }

    /// How many threads it has in all when `threads` are wanted: the same number in each process, and none without clients.
    #[must_use]
    pub fn threads(&self, threads: NonZeroU32) -> NonZeroU32 {
        NonZeroU32::new(self.split(threads).threads()).unwrap_or(NonZeroU32::MIN)
    }

    fn split(&self, threads: NonZeroU32) -> Split {
        let processes = self.processes.as_ref().map_or(1, |processes| processes.number.get());
        Split::of(&self.settings, processes, threads.get())
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &LoadSettings {
        &self.settings
    }

    /// Who publishes to whom, as a text.
    #[must_use]
    pub fn shape_in_words(&self) -> String {
        in_words(&self.settings)
    }

    /// Payload of each message in bytes; absent for a text with placeholders.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<u64> {
        payload_bytes(&self.settings.payload)
    }

    /// Rejects what the broker does not support.
    fn check(&self, stage: &LoadStage) -> Result<(), RunError> {
        let settings = &self.settings;
        let highest = settings.qos.highest();
        if settings.publishers + settings.subscribers > 0 && highest > stage.maximum_qos {
            let maximum = stage.maximum_qos.level();
            return Err(RunError::Environment(format!(
                "the broker takes QoS {maximum} at the most (by its CONNACK, or as tried before the run): give -q {maximum}"
            )));
        }
        if let Some(flag) = settings.message.needs_5_0().filter(|_| stage.version < ProtocolVersion::V5) {
            return Err(RunError::Environment(format!(
                "{flag} needs MQTT 5.0, and this broker speaks {} alone: leave it out",
                stage.version
            )));
        }
        if settings.shape == Shape::Shared && settings.subscribers > 0 && !stage.shared_subscriptions {
            return Err(RunError::Environment(format!(
                "a shape that shares needs Shared Subscriptions, and MQTT {} of this broker has none: choose another --shape",
                stage.version
            )));
        }
        Ok(())
    }
}

impl Load for Engine {
    fn duration(&self) -> Duration {
        self.settings.lasts()
    }

    fn until(&self) -> Option<Until> {
        self.settings.until.clone()
    }

    fn connects(&self) -> Connects {
        // Threads do not change which process has a client.
        let split = self.split(NonZeroU32::MIN);
        Connects {
            per_second: self.settings.connects_per_second,
            in_flight: u64::from(self.settings.connects_in_flight),
            processes: u64::from(split.processes()),
            of_a_process: split.clients_of_a_process_max(&self.settings),
        }
    }

    fn start(&self, stage: LoadStage) -> Result<Box<dyn LoadUnderWay>, RunError> {
        self.check(&stage)?;
        let split = self.split(stage.threads);
        let crew = Crew::start(&self.settings, &stage, split, self.processes.as_ref())?;
        Ok(Box::new(UnderWay { settings: Arc::clone(&self.settings), stage, crew, end: End::default() }))
    }
}

/// The threads of a process, each with its progress.
type Threads = (Vec<Arc<Progress>>, Vec<JoinHandle<Result<Ended, String>>>);

/// Starts the threads of one process of a load.
pub(crate) fn start_threads(
    settings: &Arc<LoadSettings>,
    stage: &LoadStage,
    split: Split,
    process: u32,
    orders: &Arc<Orders>,
) -> Result<Threads, RunError> {
    let started_s = stage.clock.started().as_second().cast_unsigned();
    let started_ms = stage.clock.started().as_millisecond().cast_unsigned();
    // Any eight bits that differ from run to run, of the same seed too.
    let run = (stage.seed.0 ^ started_s)
        .to_be_bytes()
        .into_iter()
        .fold(0, |run: u8, byte| run.rotate_left(3) ^ byte);
    let mut shares = shares(settings, stage, split, process)?;
    let heard = heard(settings, split.threads())?;
    let (mut running, mut progress) = (Vec::new(), Vec::new());
    for (thread, share) in split.threads_of(process).zip(shares.drain(..)) {
        let of_thread = Arc::new(Progress::default());
        let job = Job {
            thread,
            threads: split.threads(),
            settings: Arc::clone(settings),
            stage: stage.clone(),
            run,
            started_ms,
            clients: share.clients,
            receivers: share.receivers,
            heard: heard.clone(),
            progress: Arc::clone(&of_thread),
            orders: Arc::clone(orders),
        };
        let spawned = std::thread::Builder::new().name(format!("load-{thread}")).spawn(move || work(job));
        let handle =
            spawned.map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        running.push(handle);
        progress.push(of_thread);
    }
    Ok((progress, running))
}

/// Where publishers see how far their subscribers are; absent where they don't wait for them: with a schedule,
/// if the load has no subscribers, and with messages that can't be followed.
fn heard(settings: &LoadSettings, threads: u32) -> Result<Option<Arc<Heard>>, RunError> {
    if settings.end_to_end_window().is_none() {
        return Ok(None);
    }
    let heard = Heard::new(settings.publishers, threads, settings.in_flight);
    let heard = heard.map_err(|error| RunError::Environment(format!("eventfd: {error}")))?;
    Ok(Some(Arc::new(heard)))
}

/// Whether the broker accepts packets as large as this publisher's, by its CONNACK.
fn check_size(publisher: &Publisher, settings: &LoadSettings, stage: &LoadStage) -> Result<(), RunError> {
    let usage = |error| RunError::Environment(format!("the load's messages can't be written: {error}"));
    let context = Context { run: 0, version: stage.version, started_ms: 0, counted_from_us: 0 };
    let bytes = publisher.packet_bytes(&context).map_err(usage)?;
    let Some(maximum) = stage.maximum_packet_size else { return Ok(()) };
    let maximum = usize::try_from(maximum).unwrap_or(usize::MAX);
    if bytes <= maximum {
        return Ok(());
    }
    let cure = match &settings.payload {
        Payload::Bytes(size) => match size.checked_sub(bytes - maximum).filter(|size| *size >= STAMP_LEN) {
            Some(size) => format!("give --size {size} or less"),
            None => format!("no --size is small enough: the stamp of a message alone has {STAMP_LEN} bytes"),
        },
        Payload::Text(_) => "shorten --message".to_owned(),
    };
    Err(RunError::Environment(format!(
        "a PUBLISH of this load has {bytes} bytes, and the broker takes packets of {maximum} bytes at the most (Maximum Packet \
         Size in its CONNACK): {cure}"
    )))
}

#[derive(Debug, Default)]
struct Share {
    clients: Vec<Client>,
    receivers: Vec<Receiver>,
}

/// The clients of each thread of a process: publishers and subscribers in turn, those that share a subscription together.
///
/// Publishers come first in the numbers of all clients, then subscribers, then idle ones.
fn shares(
    settings: &LoadSettings,
    stage: &LoadStage,
    split: Split,
    process: u32,
) -> Result<Vec<Share>, RunError> {
    let mut shares: Vec<Share> = split.threads_of(process).map(|_| Share::default()).collect();
    // Thread n is the process's n / processes-th.
    let place = |thread: u32| split.is_of(thread, process).then_some((thread / split.processes()) as usize);
    let keep_alive_us = u64::from(settings.keep_alive_s) * 1_000_000;
    let usage = |error| RunError::Environment(format!("the load's messages can't be written: {error}"));
    for number in 0..settings.subscribers {
        let Some(place) = place(split.of_subscriber(settings.shape, number)) else { continue };
        let share = &mut shares[place];
        let receiver = match settings.shape {
            Shape::Shared if !share.receivers.is_empty() => 0,
            Shape::Pairs => {
                share.receivers.push(Receiver::new(number, u32::from(number < settings.publishers)));
                share.receivers.len() - 1
            }
            Shape::Everyone | Shape::Shared => {
                share.receivers.push(Receiver::new(0, settings.publishers));
                share.receivers.len() - 1
            }
        };
        share.clients.push(Client::new(Role::Subscriber { receiver }, number, keep_alive_us));
    }
    for number in 0..settings.publishers {
        let Some(place) = place(split.of_publisher(number)) else { continue };
        let (topic, who) = publisher_of(settings, stage, number);
        let publisher = Publisher::new(&PublisherSettings {
            number,
            qos: settings.qos.of(number),
            topic: &topic,
            client_id: &who.client_id,
            user_name: who.credentials.user_name.as_deref().unwrap_or_default(),
            payload: &settings.payload,
            message: &settings.message,
            window: settings.in_flight,
            version: stage.version,
            seed: stage.seed,
        });
        let publisher = publisher.map_err(usage)?;
        check_size(&publisher, settings, stage)?;
        let role = Role::Publisher(Box::new(publisher));
        shares[place].clients.push(Client::new(role, number, keep_alive_us));
    }
    for number in 0..settings.idle {
        let Some(place) = place(split.of_idle(number)) else { continue };
        shares[place].clients.push(Client::new(Role::Idle, number, keep_alive_us));
    }
    // Written again when it connects: those of a million clients are not kept until then. Where clients don't differ, the last ones
    // stand for all.
    let differ = stage.clients.vary();
    for share in &shares {
        let last_first = share.clients.iter().rev();
        let mut roles = HashSet::new();
        for client in last_first.filter(|client| roles.insert(discriminant(&client.role)) || differ) {
            Greeting::of(client, settings, stage)?;
        }
    }
    Ok(shares)
}

struct UnderWay {
    settings: Arc<LoadSettings>,
    stage: LoadStage,
    crew: Crew,
    end: End,
}

impl UnderWay {
    fn progress(&self) -> &[Arc<Progress>] {
        &self.crew.progress
    }

    /// When the last message is due, by its duration or by order.
    fn until_us(&self) -> u64 {
        let counted_from_us = self.crew.orders.counted_from_us.load(Acquire);
        let by_duration = counted_from_us.saturating_add(micros(self.settings.lasts()));
        by_duration.min(self.crew.orders.until_us.load(Acquire))
    }

    /// Deliveries that follow from what was sent so far, of the warm-up too.
    fn expected(&self) -> u64 {
        if !self.settings.payload.has_stamp() || self.settings.publishers == 0 {
            return 0;
        }
        // Refused ones are included: a broker may deliver them all the same, so that nothing would show when all
        // came.
        let sent = sum(self.progress(), |progress| &progress.sent);
        let subscribers = sum(self.progress(), |progress| &progress.subscribers_ready);
        let each = match self.settings.shape {
            Shape::Everyone => subscribers,
            Shape::Pairs | Shape::Shared => subscribers.min(1),
        };
        sent * each
    }
}

/// Removes what the publishers had retained; absent where they had nothing.
fn remove_retained(settings: &LoadSettings, stage: &LoadStage, ended: &[Ended]) -> Option<RetainedRecord> {
    let publishers = ended.iter().flat_map(|thread| &thread.publishers);
    // Where nothing was sent, what is retained is from others.
    let publishers = publishers.filter(|publisher| settings.message.retain && publisher.counted.1 > 0);
    let own = publishers.map(|publisher| publisher_of(settings, stage, publisher.number));
    let topics: BTreeSet<String> = own.clone().map(|(topic, _)| topic).collect();
    let not_taken: u64 = ended.iter().map(|thread| thread.not_taken).sum();
    let late = || {
        let publishers = counted(not_taken, "publisher");
        let within = span(TAKEN_WITHIN);
        format!(
            "the broker had not taken all messages of {publishers} within {within}, and may retain them later"
        )
    };
    (!topics.is_empty()).then(|| {
        let removed = if stage.clients.vary() {
            // Only the publisher may have the right to its topic.
            let own: Vec<_> = own.map(|(topic, who)| (who, vec![topic])).collect();
            retained::remove(settings, stage, &own)
        } else {
            let who = stage.clients.honest("z");
            retained::remove(settings, stage, &[(who, topics.into_iter().collect())])
        };
        let left_because = removed.left_because.or_else(|| (not_taken > 0).then(late));
        RetainedRecord { left_because, ..removed }
    })
}

impl LoadUnderWay for UnderWay {
    fn is_ready(&self) -> bool {
        self.crew.has_ended_one() || self.progress().iter().all(|progress| progress.is_settled.load(Acquire))
    }

    fn begin(&mut self, begin_us: u64, counted_from_us: u64) {
        self.crew.begin(begin_us, counted_from_us);
    }

    fn end_at(&mut self, until_us: u64) {
        self.crew.end_at(until_us);
    }

    fn is_done(&self) -> bool {
        if self.crew.orders.stop.load(Relaxed) {
            return self.crew.have_ended();
        }
        // What waits is read before what was sent: when nothing waits, no more will be sent.
        let is_over = self.progress().iter().all(|progress| progress.is_over.load(Acquire));
        let nothing = |of: fn(&Progress) -> &std::sync::atomic::AtomicU64| {
            self.progress().iter().all(|progress| of(progress).load(Acquire) == 0)
        };
        self.crew.has_ended_one()
            || is_over
                && nothing(|progress| &progress.waiting)
                && nothing(|progress| &progress.unacknowledged)
                && sum(self.progress(), |progress| &progress.delivered) >= self.expected()
    }

    fn last_delivery_us(&self) -> Option<u64> {
        let last_us = self.progress().iter().map(|progress| progress.last_delivery_us.load(Relaxed)).max();
        last_us.filter(|last_us| *last_us > 0)
    }

    fn stop(&mut self) {
        if !self.crew.orders.stop.load(Relaxed) {
            let drained_us = self.until_us().saturating_add(micros(DRAIN_WITHIN));
            let now_us = self.stage.clock.now_us();
            let is_arriving =
                self.last_delivery_us().is_some_and(|last_us| now_us.saturating_sub(last_us) < micros(QUIET));
            // Of a load that lost a part of itself, nothing is settled.
            let is_settled =
                !self.crew.has_ended_one() && self.is_done() || (now_us >= drained_us && !is_arriving);
            self.end = match (is_settled, now_us < drained_us) {
                (true, _) => End::Settled,
                (false, true) => End::CutShort,
                (false, false) => End::StillComing,
            };
        }
        self.crew.stop();
    }

    fn live(&self) -> LiveLoad {
        LiveLoad {
            connections_planned: u64::from(self.settings.clients()),
            connections_ready: sum(self.progress(), |progress| &progress.ready),
            connections_failed: sum(self.progress(), |progress| &progress.failed),
            waiting: sum(self.progress(), |progress| &progress.waiting),
            ..LiveLoad::default()
        }
    }

    fn finish(mut self: Box<Self>) -> Result<LoadRecord, RunError> {
        self.stop();
        let ended_us = self.stage.clock.now_us();
        let counted_from_us = self.crew.orders.counted_from_us.load(Acquire);
        let until_us = self.until_us().min(ended_us);
        let Self { settings, stage, crew, end } = *self;
        let Finished { ended, processes } = crew.finish()?;
        let counted =
            (counted_from_us != NOT_YET && counted_from_us < ended_us).then_some((counted_from_us, until_us));
        let mut record = record(&settings, &ended, counted, end);
        record.retained_by_us = remove_retained(&settings, &stage, &ended);
        record.shape = format!("MQTT {} · {}", stage.version, record.shape);
        record.processes = processes;
        Ok(record)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use ungraceful_mqtt::QoS;

    use crate::pace::Pace;
    use crate::payload::Payload;
    use crate::settings::{LoadSettings, MessageSettings, Waiting};
    use crate::shape::{QosMix, Shape};

    /// The settings of a small load.
    pub(crate) fn settings() -> LoadSettings {
        LoadSettings {
            publishers: 2,
            subscribers: 2,
            idle: 0,
            shape: Shape::Everyone,
            qos: QosMix::new(&[(QoS::AtLeastOnce, 1)]),
            topic: None,
            filter: None,
            max_packet_size: None,
            pace: Pace::Closed(Duration::from_secs(1)),
            payload: Payload::Bytes(16),
            message: MessageSettings::default(),
            in_flight: 10,
            connects_per_second: 100.0,
            connects_in_flight: 10,
            keep_alive_s: 60,
            waiting: Waiting::Sleep,
            until: None,
        }
    }
}
