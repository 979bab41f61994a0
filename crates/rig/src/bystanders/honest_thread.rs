//! The thread of the honest clients: bystanders and witness, apart from everything that a fault does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::ledger::{IrregularityKind, LedgerCounts};
use ungraceful_record::metric::{histogram, record};
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::recovery::RecoveryWatch;
use ungraceful_record::run::{BystanderOutagesRecord, Drain, IrregularityRecord, SysRecord};
use ungraceful_record::scale::span;

use crate::attempts::waves::WaveTrack;
use crate::broker::outage::OutageTrack;
use crate::broker::target::Credentials;
use crate::bystanders::honest::{HonestConnection, HonestEvent, HonestSender, honest_client};
use crate::bystanders::pair::{self, BystanderSettings};
use crate::bystanders::pulse::Pulse;
use crate::bystanders::sys_topics::{SYS_FILTER, SYS_VERSION_TOPIC, SysTopics, When};
use crate::bystanders::witness::{Witness, Witnessed};
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::collector::{Report, Source};
use crate::measure::loop_lag;
use crate::measure::meter::Meter;

/// How long messages may still be under way when the run is over, before they count as lost.
pub(crate) const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// How long a proof message to the witness may take.
pub(crate) const PROOF_WITHIN: Duration = Duration::from_secs(3);
/// How long honest clients may take to come up.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(15);
const REPORT_EVERY: Duration = Duration::from_secs(1);
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// What the honest clients need to know.
#[derive(Clone, Debug)]
pub(crate) struct HonestSettings {
    pub(crate) address: SocketAddr,
    pub(crate) version: ProtocolVersion,
    pub(crate) credentials: Credentials,
    pub(crate) connect_timeout: Duration,
    pub(crate) client_id_prefix: String,
    pub(crate) topic_root: Arc<str>,
    pub(crate) run: u64,
    /// What the broker takes at the most; honest clients keep to it.
    pub(crate) maximum_qos: QoS,
    pub(crate) bystanders: BystanderSettings,
}

/// How far the honest clients are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Readiness {
    /// Pairs whose publisher is connected now. By number: a broker that accepts a client again and again brings up no
    /// others.
    publishers: BTreeSet<u64>,
    /// Pairs whose subscriber is subscribed now.
    subscribers: BTreeSet<u64>,
    witness: bool,
    refused: Option<String>,
    last_trouble: Option<String>,
    proofs_heard: u32,
    witness_gaps: u32,
}

/// What is common to all tasks of the honest thread.
#[derive(Debug)]
pub(crate) struct Yard {
    settings: HonestSettings,
    pub(crate) run: u64,
    pub(crate) topic_root: Arc<str>,
    pub(crate) clock: RunClock,
    pub(crate) phases: PhaseTrack,
    pub(crate) meter: Meter,
    pub(crate) pulse: Pulse,
    orders: watch::Receiver<Orders>,
    readiness: watch::Sender<Readiness>,
    recovery: Arc<Mutex<Option<RecoveryWatch>>>,
    /// The latest sender of each client, by ClientID.
    senders: RefCell<HashMap<String, HonestSender>>,
    lost: RefCell<BTreeMap<String, u64>>,
    outages: OutageTrack,
    of_outages: RefCell<BystanderOutagesRecord>,
    waves: WaveTrack,
    of_waves: RefCell<Vec<OfWave>>,
    /// Whether the clients are leaving: from then on connections may go as they like.
    is_leaving: Cell<bool>,
    sys_version: RefCell<Option<String>>,
    sys_topics: RefCell<SysTopics>,
}

/// The bystanders' messages that fell due in a wave.
#[derive(Clone, Debug)]
pub(crate) struct OfWave {
    pub(crate) due: u64,
    pub(crate) response_time: Histogram<u64>,
}

/// What the run asks of the honest thread.
#[derive(Clone, Debug, Default)]
struct Orders {
    begun: bool,
    proofs: u32,
    draining: bool,
}

impl Yard {
    pub(crate) fn honest_client(&self, suffix: &str) -> (HonestSender, HonestConnection) {
        let settings = &self.settings;
        let client_id = format!("{}{suffix}", settings.client_id_prefix);
        let made = honest_client(
            settings.address,
            settings.version,
            &client_id,
            &settings.credentials,
            settings.connect_timeout,
        );
        self.senders.borrow_mut().insert(client_id, made.0.clone());
        made
    }

    /// Lets every client leave with DISCONNECT: honest clients leave no trace of an error in a broker's log.
    async fn leave(&self) {
        const LEAVE_WITHIN: Duration = Duration::from_millis(100);
        self.is_leaving.set(true);
        for sender in self.senders.borrow().values() {
            let _connection_is_gone = sender.try_disconnect();
        }
        tokio::time::sleep(LEAVE_WITHIN).await;
    }

    /// Waits until the run's first phase begins.
    pub(crate) async fn begun(&self) {
        let mut orders = self.orders.clone();
        let _run_is_over = orders.wait_for(|orders| orders.begun).await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.orders.borrow().draining
    }

    /// The publisher of this pair is connected.
    pub(crate) fn publisher_is_up(&self, pair: u64) {
        self.readiness.send_modify(|readiness| {
            readiness.publishers.insert(pair);
        });
    }

    /// The publisher of this pair has lost its connection.
    pub(crate) fn publisher_is_down(&self, pair: u64) {
        self.readiness.send_modify(|readiness| {
            readiness.publishers.remove(&pair);
        });
    }

    /// The SUBSCRIBE of this pair's subscriber was answered: the QoS granted; absent when it was refused.
    pub(crate) fn subscribed(&self, pair: u64, granted: Option<QoS>) {
        self.readiness.send_modify(|readiness| match granted {
            Some(_) => {
                readiness.subscribers.insert(pair);
            }
            None => readiness.refused = Some("the broker refused a bystander's SUBSCRIBE".to_owned()),
        });
    }

    /// The subscriber of this pair has lost its connection.
    pub(crate) fn subscriber_is_down(&self, pair: u64) {
        self.readiness.send_modify(|readiness| {
            readiness.subscribers.remove(&pair);
        });
    }

    /// The QoS wanted, or what the broker takes at the most.
    pub(crate) fn qos_at_most(&self, wanted: QoS) -> QoS {
        wanted.min(self.settings.maximum_qos)
    }

    /// A connection ended, or an attempt at one failed; only what had been connected can be lost. Returns when a planned
    /// outage took the connection, for [`Yard::is_back`].
    pub(crate) fn connection_ended(&self, why: String, was_connected: bool) -> Option<u64> {
        if self.is_leaving.get() {
            return None;
        }
        self.readiness.send_modify(|readiness| readiness.last_trouble = Some(why.clone()));
        let at_us = self.clock.now_us();
        if was_connected && self.outages.covers(at_us) {
            self.of_outages.borrow_mut().connections_lost += 1;
            return Some(at_us);
        }
        if was_connected {
            *self.lost.borrow_mut().entry(why).or_default() += 1;
        }
        None
    }

    /// What a planned outage had taken at `lost_at_us` is there again.
    pub(crate) fn is_back(&self, lost_at_us: u64) {
        let away_us = self.clock.now_us().saturating_sub(lost_at_us);
        let mut outages = self.of_outages.borrow_mut();
        outages.came_back += 1;
        outages.longest_away_us = outages.longest_away_us.max(Some(away_us));
    }

    /// A message fell due.
    pub(crate) fn wave_offered(&self, due_us: u64) {
        self.with_wave(due_us, |wave| wave.due += 1);
    }

    /// A message that fell due at `due_us` was delivered for the first time.
    pub(crate) fn wave_delivered(&self, due_us: u64, response: Duration) {
        self.with_wave(due_us, |wave| record(&mut wave.response_time, response));
    }

    fn with_wave(&self, due_us: u64, act: impl FnOnce(&mut OfWave)) {
        let Some(number) = self.waves.of(due_us) else { return };
        let mut waves = self.of_waves.borrow_mut();
        while waves.len() <= number {
            waves.push(OfWave { due: 0, response_time: histogram() });
        }
        act(&mut waves[number]);
    }

    fn with_recovery(&self, act: impl FnOnce(&mut RecoveryWatch)) {
        if let Some(watch) = &mut *self.recovery.lock().unwrap_or_else(PoisonError::into_inner) {
            act(watch);
        }
    }

    pub(crate) fn recovery_offered(&self, due_us: u64) {
        self.with_recovery(|watch| watch.offered(due_us));
    }

    pub(crate) fn recovery_delivered(&self, due_us: u64, response_us: u64) {
        self.with_recovery(|watch| watch.delivered(due_us, response_us));
    }
}

/// What the honest thread has to tell at its end.
#[derive(Debug, Default)]
pub(crate) struct HonestResult {
    pub(crate) by_phase: BTreeMap<Phase, BTreeMap<u8, LedgerCounts>>,
    pub(crate) connections_lost: BTreeMap<String, u64>,
    /// Absent when no outage was planned.
    pub(crate) outages: Option<BystanderOutagesRecord>,
    pub(crate) of_waves: Vec<OfWave>,
    pub(crate) irregularities: Vec<IrregularityRecord>,
    pub(crate) irregularities_left_out: BTreeMap<IrregularityKind, u64>,
    pub(crate) pairs_below_qos: u64,
    pub(crate) drain: Option<Drain>,
    pub(crate) sys_version: Option<String>,
    pub(crate) sys: BTreeMap<String, SysRecord>,
    pub(crate) sys_last_heard_us: Option<u64>,
    pub(crate) witness_gaps: u32,
}

/// The run's handle on the honest thread.
#[derive(Debug)]
pub(crate) struct HonestThread {
    thread: JoinHandle<HonestResult>,
    orders: watch::Sender<Orders>,
    readiness: watch::Receiver<Readiness>,
    recovery: Arc<Mutex<Option<RecoveryWatch>>>,
    pairs: u64,
}

/// What the honest thread shares with the rest of the run.
#[derive(Clone, Debug)]
pub(crate) struct HonestLinks {
    pub(crate) clock: RunClock,
    pub(crate) phases: PhaseTrack,
    pub(crate) pulse: Pulse,
    pub(crate) witness: Witness,
    pub(crate) outages: OutageTrack,
    pub(crate) waves: WaveTrack,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl HonestThread {
    /// Starts the thread; its clients connect at once and begin to publish on [`HonestThread::begin`].
    pub(crate) fn start(settings: HonestSettings, links: HonestLinks) -> Result<Self, RunError> {
        let (orders, orders_seen) = watch::channel(Orders::default());
        let (readiness, readiness_seen) = watch::channel(Readiness::default());
        let recovery = Arc::new(Mutex::new(None));
        let pairs = settings.bystanders.pairs;
        let for_thread = Arc::clone(&recovery);
        let thread = std::thread::Builder::new()
            .name("honest".to_owned())
            .spawn(move || live(settings, links, orders_seen, readiness, for_thread))
            .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread, orders, readiness: readiness_seen, recovery, pairs })
    }

    /// Waits until every bystander is connected and subscribed, and the witness has been proved to hear.
    ///
    /// # Errors
    /// Why they are not, after `within`.
    pub(crate) async fn ready(&mut self, within: Duration) -> Result<(), String> {
        let pairs = self.pairs;
        let is_ready = |readiness: &Readiness| {
            let (publishers, subscribers) = (readiness.publishers.len(), readiness.subscribers.len());
            readiness.refused.is_some() || publishers.min(subscribers) as u64 >= pairs
        };
        let waited =
            tokio::time::timeout(within, self.readiness.wait_for(is_ready)).await.map(|seen| seen.is_ok());
        let readiness = self.readiness.borrow().clone();
        if let Some(refused) = readiness.refused {
            return Err(refused);
        }
        if waited.unwrap_or(false) {
            return Ok(());
        }
        let trouble = readiness.last_trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        Err(format!(
            "the bystanders did not come up within {}: {} of {pairs} publishers connected, {} of {pairs} subscribers \
             subscribed{trouble}",
            span(within),
            readiness.publishers.len(),
            readiness.subscribers.len()
        ))
    }

    /// The run's first phase begins.
    pub(crate) fn begin(&self) {
        self.orders.send_modify(|orders| orders.begun = true);
    }

    /// Sends the witness a message on one of its topics and tells whether it heard it.
    pub(crate) async fn prove_witness(&mut self, within: Duration) -> bool {
        self.orders.send_modify(|orders| orders.proofs += 1);
        let asked = self.orders.borrow().proofs;
        let heard = self.readiness.wait_for(|readiness| readiness.proofs_heard >= asked);
        matches!(tokio::time::timeout(within, heard).await, Ok(Ok(_)))
    }

    /// The fault phase has ended: watch for the bystanders to be back within `limit_us`.
    pub(crate) fn watch_recovery(&self, began_us: u64, limit_us: u64) {
        *self.recovery.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(RecoveryWatch::new(began_us, limit_us));
    }

    /// How long after the fault's end the bystanders were back; absent when they are not yet.
    pub(crate) fn back_after_us(&self, now_us: u64) -> Option<u64> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.back_after_us(now_us)
    }

    /// Stops publishing, waits for what is under way, and ends the thread.
    pub(crate) fn drain(self) -> Result<HonestResult, RunError> {
        self.orders.send_modify(|orders| orders.draining = true);
        self.thread.join().map_err(|_panic| RunError::Bug("the honest clients' thread panicked".to_owned()))
    }
}

fn live(
    settings: HonestSettings,
    links: HonestLinks,
    orders: watch::Receiver<Orders>,
    readiness: watch::Sender<Readiness>,
    recovery: Arc<Mutex<Option<RecoveryWatch>>>,
) -> HonestResult {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        readiness.send_modify(|readiness| readiness.refused = Some("out of file descriptors".to_owned()));
        return HonestResult::default();
    };
    let bystanders = settings.bystanders.clone();
    let yard = Rc::new(Yard {
        run: settings.run,
        topic_root: Arc::clone(&settings.topic_root),
        settings,
        clock: links.clock,
        phases: links.phases.clone(),
        meter: Meter::default(),
        pulse: links.pulse.clone(),
        orders,
        readiness,
        recovery,
        senders: RefCell::default(),
        lost: RefCell::default(),
        outages: links.outages.clone(),
        of_outages: RefCell::default(),
        waves: links.waves.clone(),
        of_waves: RefCell::default(),
        is_leaving: Cell::new(false),
        sys_version: RefCell::default(),
        sys_topics: RefCell::default(),
    });
    LocalSet::new().block_on(&runtime, async move {
        let mut tasks = JoinSet::new();
        tasks.spawn_local(watch_for_wills(links.witness.clone(), Rc::clone(&yard)));
        tasks.spawn_local(ask_sys(Rc::clone(&yard)));
        tasks.spawn_local(loop_lag::measure(yard.meter.clone(), links.clock, links.phases.clone()));
        tasks.spawn_local(report(yard.meter.clone(), links.reports.clone()));
        let pairs = pair::start(&bystanders, &yard, &mut tasks);
        let mut orders = yard.orders.clone();
        let _run_is_over = orders.wait_for(|orders| orders.draining).await;
        let drain = pair::drain(&pairs, DRAIN_WITHIN).await;
        pairs.iter().for_each(|pair| pair.borrow_mut().close_gap());
        yard.leave().await;
        let last = Report::Interval(Source::Honest, yard.meter.take());
        let _collector_is_gone = links.reports.send(last).await;
        let by_phase =
            Phase::MEASURED.into_iter().map(|phase| (phase, pair::counts_by_qos(&pairs, phase))).collect();
        let (irregularities, irregularities_left_out) = pair::irregularities(&pairs, &yard.clock);
        let sys_topics = yard.sys_topics.take();
        HonestResult {
            by_phase,
            connections_lost: yard.lost.take(),
            outages: (yard.outages.count() > 0)
                .then(|| BystanderOutagesRecord { outages: yard.outages.count(), ..yard.of_outages.take() }),
            of_waves: yard.of_waves.take(),
            irregularities,
            irregularities_left_out,
            pairs_below_qos: pair::pairs_below_qos(&pairs),
            drain: Some(drain),
            sys_version: yard.sys_version.take(),
            sys_last_heard_us: sys_topics.last_heard_us(),
            sys: sys_topics.into_records(),
            witness_gaps: yard.readiness.borrow().witness_gaps,
        }
    })
}

async fn report(meter: Meter, reports: mpsc::Sender<Report>) {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        // Room first, then the taking: what is taken is sent, even when this task is ended while it waits.
        let Ok(room) = reports.reserve().await else { return };
        room.send(Report::Interval(Source::Honest, meter.take()));
    }
}

/// Asks for the broker's version where brokers tell it by custom and, where one does, for what else it tells there. A
/// client of its own, because some brokers cut a client that subscribes there; it does not come back then.
async fn ask_sys(yard: Rc<Yard>) {
    let (sender, mut connection) = yard.honest_client("v");
    while let Ok(event) = connection.next().await {
        match event {
            HonestEvent::Connected => {
                // A fresh client's queue has room for one request.
                let _never_full = sender.try_subscribe(SYS_VERSION_TOPIC, QoS::AtMostOnce);
            }
            HonestEvent::Subscribed(None) => {
                let _connection_is_gone = sender.try_disconnect();
            }
            HonestEvent::Delivered { topic, payload, .. } if topic == SYS_VERSION_TOPIC => {
                let version = String::from_utf8_lossy(&payload).into_owned();
                // The wider subscription brings the version once more.
                if yard.sys_version.replace(Some(version)).is_none() {
                    let _never_full = sender.try_subscribe(SYS_FILTER, QoS::AtMostOnce);
                }
            }
            HonestEvent::Delivered { topic, payload, .. } => {
                let acts = [Phase::Fault, Phase::Load];
                let when = if yard.is_draining() {
                    When::Draining
                } else if acts.iter().all(|phase| yard.phases.begun_us(*phase).is_none()) {
                    When::Before
                } else {
                    When::Measured
                };
                yard.sys_topics.borrow_mut().hear(&topic, &payload, when, yard.clock.now_us());
            }
            _ => {}
        }
    }
}

/// Keeps the witness connected.
async fn watch_for_wills(witness: Witness, yard: Rc<Yard>) {
    let filter = format!("{}/will/+", yard.topic_root);
    loop {
        let (sender, mut connection) = yard.honest_client("w");
        let prove = prove_on_order(sender.clone(), Rc::clone(&yard));
        let listen = async {
            loop {
                match connection.next().await {
                    Ok(event) => on_witness_event(&witness, &yard, &sender, &filter, event),
                    Err(lost) => break lost,
                }
            }
        };
        let lost = tokio::select! {
            lost = listen => lost,
            () = prove => unreachable!("proving goes on for as long as the witness listens"),
        };
        if !yard.is_draining() {
            yard.readiness.send_modify(|readiness| {
                readiness.witness = false;
                readiness.witness_gaps += 1;
                readiness.last_trouble = Some(lost);
            });
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Publishes a proof message for each one that the run asked for, once the witness is subscribed.
async fn prove_on_order(sender: HonestSender, yard: Rc<Yard>) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let topic = proof_topic(&yard);
    let mut proved = yard.readiness.borrow().proofs_heard;
    loop {
        let asked = yard.orders.borrow().proofs;
        if proved < asked && yard.readiness.borrow().witness {
            let payload = asked.to_be_bytes().to_vec();
            if sender.try_publish(&topic, yard.qos_at_most(QoS::AtLeastOnce), payload).is_ok() {
                proved = asked;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn proof_topic(yard: &Yard) -> String {
    format!("{}/will/proof", yard.topic_root)
}

fn on_witness_event(witness: &Witness, yard: &Yard, sender: &HonestSender, filter: &str, event: HonestEvent) {
    let at_us = yard.clock.now_us();
    match event {
        HonestEvent::Connected => {
            // A fresh client's queue has room for one request.
            let _never_full = sender.try_subscribe(filter, yard.qos_at_most(QoS::AtLeastOnce));
        }
        HonestEvent::Subscribed(granted) => {
            // Below QoS 1 a Will may be lost on its way to us by right: its absence would say nothing. Unless that is all
            // that the broker takes: whoever judges asks for more Wills then.
            let hears_all = granted.is_some_and(|qos| qos >= yard.qos_at_most(QoS::AtLeastOnce));
            yard.readiness.send_modify(|readiness| readiness.witness |= hears_all);
        }
        HonestEvent::Delivered { topic, payload, dup, .. } => {
            if topic == proof_topic(yard) {
                let number = payload.as_slice().try_into().map_or(0, u32::from_be_bytes);
                yard.readiness
                    .send_modify(|readiness| readiness.proofs_heard = readiness.proofs_heard.max(number));
            } else if payload.is_empty() {
                // Removes a retained Will: whoever has had it retained cleans up.
            } else if dup {
                witness.hear_again(&topic, Witnessed { at_us, payload });
            } else {
                witness.hear(&topic, Witnessed { at_us, payload });
            }
        }
        HonestEvent::Sent(_) => return,
        HonestEvent::Acknowledged { .. } | HonestEvent::Alive => {}
    }
    yard.pulse.beat(at_us);
}
