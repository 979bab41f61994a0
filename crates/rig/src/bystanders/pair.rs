//! Bystanders: honest publisher-subscriber pairs on their own connections, open-loop at a fixed rate. They show what
//! a fault costs other clients. All pairs live on one thread without faults, so that our own work on a fault is not
//! taken for the broker's.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use ungraceful_mqtt::QoS;
use ungraceful_record::ledger::{Delivered, EVIDENCE_AT_MOST, IrregularityKind, Ledger, LedgerCounts};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{Drain, IrregularityRecord};
use ungraceful_record::scale::micros;
use ungraceful_wire::clock::now;

use crate::bystanders::context::{HonestContext, RECONNECT_AFTER};
use crate::bystanders::honest::{HonestEvent, HonestSender};
use crate::measure::clock::RunClock;
use crate::measure::pacer::Pacer;

/// Messages that may wait for a slow connection, in seconds of the pair's rate.
const WAITING_MAX_S: u64 = 60;
/// How long before a lost connection a message may have been on its way to a subscriber.
const UNDER_WAY_S: u64 = 5;
/// How long nothing may have arrived at the end of draining, so that a slow broker is not taken for one that is done.
const QUIET: Duration = Duration::from_secs(2);
/// Bytes of a bystander's Application Message: run, pair, sequence number, due time, and when it was given to the client
/// library.
pub const PAYLOAD_BYTES: usize = 40;
/// Honest clients besides the bystanders: the witness, and the one that reads below `$SYS`.
const BESIDES_PAIRS: u64 = 2;

/// Connections of all honest clients of a run with so many pairs.
#[must_use]
pub fn honest_connections(pairs: u64) -> u64 {
    2 * pairs + BESIDES_PAIRS
}

/// The bystanders of a run.
#[derive(Clone, Debug)]
pub struct BystanderSettings {
    /// Publisher-subscriber pairs; 0 for none.
    pub pairs: u64,
    /// Messages per second and pair, at least 1.
    pub rate_per_pair: u64,
    /// QoS of the pairs, in turn; not empty.
    pub qos: Vec<QoS>,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    sequence: u64,
    due_us: u64,
    sent_at: Instant,
}

/// When the messages of a pair fall due.
#[derive(Clone, Copy, Debug)]
struct PairSchedule {
    /// When the first one did.
    origin: Instant,
    rate_per_pair: u64,
}

impl PairSchedule {
    fn due(&self, sequence: u64) -> Instant {
        self.origin + Duration::from_secs(1).mul_f64(rate(sequence) / rate(self.rate_per_pair))
    }
}

/// One pair, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The run, which its messages name.
    run: u64,
    number: u64,
    /// Of its publisher and its subscriber.
    names: (String, String),
    qos: QoS,
    topic: String,
    ledger: Ledger,
    first_of_phase: [Option<u64>; Phase::ALL.len()],
    schedule: Option<PairSchedule>,
    /// When the subscriber received the latest message of the pair.
    latest_delivery: Option<Instant>,
    /// Whether the subscriber was granted, or served at, a lower QoS than it asked for.
    is_below_qos: bool,
    /// Due, not yet given to the connection: sequence number and due time.
    waiting: VecDeque<(u64, u64)>,
    /// Given to the connection, not yet written.
    submitted: VecDeque<(u64, u64)>,
    /// Written, not yet acknowledged, by Packet Identifier.
    in_flight: HashMap<u16, InFlight>,
    sender: Option<HonestSender>,
    /// The first number that may have been under way when the subscriber went away; absent while it is there.
    away_from: Option<u64>,
}

impl Pair {
    /// The subscriber is back, or the run is over: messages under way in between do not count as lost.
    pub(crate) fn close_gap(&mut self) {
        if let Some(from) = self.away_from.take() {
            let to = self.ledger.offered();
            self.ledger.subscriber_away(from, to);
        }
    }

    /// The QoS, and the fate of the messages of `phase`.
    pub(crate) fn counts(&self, phase: Phase) -> (QoS, LedgerCounts) {
        let counts = self.numbers(phase).map(|(from, to)| self.ledger.counts(from, to));
        (self.qos, counts.unwrap_or_default())
    }

    /// The first sequence numbers of `phase` and of the next one; absent when no message fell due in it.
    fn numbers(&self, phase: Phase) -> Option<(u64, u64)> {
        let from = self.first_of_phase[phase.index()]?;
        let next = self.first_of_phase[phase.index() + 1..].iter().flatten().next();
        Some((from, next.copied().unwrap_or(u64::MAX)))
    }

    /// Messages that are not delivered yet, or not acknowledged by a broker that must.
    pub(crate) fn outstanding(&self) -> u64 {
        let ours = self.waiting.len() + self.submitted.len() + self.in_flight.len();
        self.ledger.outstanding() + ours as u64
    }

    fn offer(&mut self, due_us: u64, phase: Phase, waiting_max: usize) {
        let sequence = self.ledger.offer();
        if phase != Phase::Warmup
            && self.first_of_phase[Phase::Baseline.index()..].iter().all(Option::is_none)
        {
            self.ledger.keep_evidence_from(sequence);
        }
        self.first_of_phase[phase.index()].get_or_insert(sequence);
        if self.waiting.len() < waiting_max {
            self.waiting.push_back((sequence, due_us));
        } else {
            self.ledger.dropped(sequence);
        }
    }

    /// Gives the connection as much as it takes.
    fn submit(&mut self, clock: &RunClock) {
        let Some(sender) = &self.sender else { return };
        while let Some((sequence, due_us)) = self.waiting.front().copied() {
            let stamp = Stamp { sequence, due_us, given_us: clock.now_us() };
            let payload = payload(self.run, self.number, &stamp);
            if sender.try_publish(&self.topic, self.qos, payload).is_err() {
                return;
            }
            self.waiting.pop_front();
            self.submitted.push_back((sequence, due_us));
        }
    }

    /// The connection is gone: what it had not written waits again, in front.
    fn lost_connection(&mut self) {
        self.sender = None;
        self.in_flight.clear();
        while let Some(message) = self.submitted.pop_back() {
            self.waiting.push_front(message);
        }
    }
}

/// The content of a bystander's message. Times in µs of the run's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    sequence: u64,
    due_us: u64,
    /// When it was given to the client library.
    given_us: u64,
}

impl Stamp {
    /// Response time and service time of a message that came at `at_us`. None is sent before it is due, so the second
    /// is never more than the first.
    fn times_us(&self, at_us: u64) -> (u64, u64) {
        let response_us = at_us.saturating_sub(self.due_us);
        (response_us, at_us.saturating_sub(self.given_us).min(response_us))
    }
}

fn payload(run: u64, pair: u64, stamp: &Stamp) -> Vec<u8> {
    let numbers = [run, pair, stamp.sequence, stamp.due_us, stamp.given_us];
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The stamp of a message of this pair of this run.
fn read_payload(payload: &[u8], run: u64, pair: u64) -> Option<Stamp> {
    let payload: &[u8; PAYLOAD_BYTES] = payload.try_into().ok()?;
    let number = |at: usize| payload[at..at + 8].try_into().map(u64::from_be_bytes).ok();
    let stamp = || Some(Stamp { sequence: number(16)?, due_us: number(24)?, given_us: number(32)? });
    (number(0)? == run && number(8)? == pair).then(stamp)?
}

/// Starts the pairs; each runs until the task set is dropped.
pub(crate) fn start(
    run: u64,
    settings: &BystanderSettings,
    context: &Rc<HonestContext>,
    tasks: &mut JoinSet<()>,
) -> Vec<Rc<RefCell<Pair>>> {
    let pairs: Vec<_> = (0..settings.pairs)
        .zip(settings.qos.iter().cycle())
        .map(|(number, qos)| make(run, number, *qos, context))
        .collect();
    for pair in &pairs {
        tasks.spawn_local(publisher(Rc::clone(pair), Rc::clone(context)));
        tasks.spawn_local(subscriber(Rc::clone(pair), Rc::clone(context), settings.rate_per_pair));
        tasks.spawn_local(schedule(Rc::clone(pair), Rc::clone(context), settings.clone()));
    }
    pairs
}

fn make(run: u64, number: u64, wanted: QoS, context: &HonestContext) -> Rc<RefCell<Pair>> {
    let qos = context.clients.qos_at_most(wanted);
    let names = (format!("p{number}"), format!("s{number}"));
    let publisher = context.clients.identity(&names.0);
    Rc::new(RefCell::new(Pair {
        run,
        number,
        names,
        qos,
        topic: context.clients.all().bystander_topic(&number.to_string(), &publisher),
        ledger: Ledger::new(qos != QoS::AtMostOnce),
        first_of_phase: [None; Phase::ALL.len()],
        schedule: None,
        latest_delivery: None,
        is_below_qos: false,
        waiting: VecDeque::new(),
        submitted: VecDeque::new(),
        in_flight: HashMap::new(),
        sender: None,
        away_from: None,
    }))
}

/// Lets messages fall due at the pair's rate, from the warm-up until the honest thread drains.
async fn schedule(pair: Rc<RefCell<Pair>>, context: Rc<HonestContext>, settings: BystanderSettings) {
    let Ok(mut pacer) = Pacer::new() else {
        context.connection_ended("out of file descriptors for a timer".to_owned(), true);
        return;
    };
    context.orders.begun().await;
    let step = Duration::from_secs(1).div_f64(rate(settings.rate_per_pair));
    // Pairs take turns within a step, so that they do not queue behind each other.
    let offset = step.mul_f64(rate(pair.borrow().number) / rate(settings.pairs));
    let of_pair = PairSchedule { origin: now() + offset, rate_per_pair: settings.rate_per_pair };
    pair.borrow_mut().schedule = Some(of_pair);
    let waiting_max = usize::try_from(settings.rate_per_pair * WAITING_MAX_S).unwrap_or(usize::MAX);
    for sequence in 0_u64.. {
        let due = of_pair.due(sequence);
        let woke = pacer.until(due).await;
        if context.orders.is_draining() {
            return;
        }
        let due_us = context.clock.us(due);
        let phase = context.messages.due(due_us, woke.saturating_duration_since(due));
        let mut pair = pair.borrow_mut();
        pair.offer(due_us, phase, waiting_max);
        pair.submit(&context.clock);
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and indices stay far below 2^53")]
fn rate(number: u64) -> f64 {
    number as f64
}

/// Keeps the publisher connected and tracks its messages.
async fn publisher(pair: Rc<RefCell<Pair>>, context: Rc<HonestContext>) {
    let mut taken_by_outage: Option<u64> = None;
    loop {
        let (number, names) = (pair.borrow().number, pair.borrow().names.clone());
        let (sender, mut connection) = context.clients.make(&names.0);
        let lost = loop {
            match connection.next().await {
                Ok(event) => {
                    on_publisher_event(&pair, &context, &sender, &event);
                    if event == HonestEvent::Connected
                        && let Some(lost_at_us) = taken_by_outage.take()
                    {
                        context.lost.restored(lost_at_us, context.clock.now_us());
                    }
                }
                Err(lost) => break lost,
            }
        };
        let was_connected = pair.borrow().sender.is_some();
        pair.borrow_mut().lost_connection();
        context.readiness.publisher(number, false);
        taken_by_outage = context.connection_ended(lost, was_connected).or(taken_by_outage);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

fn on_publisher_event(
    pair: &RefCell<Pair>,
    context: &HonestContext,
    sender: &HonestSender,
    event: &HonestEvent,
) {
    let at = now();
    let mut pair = pair.borrow_mut();
    match event {
        HonestEvent::Connected => {
            pair.sender = Some(sender.clone());
            context.readiness.publisher(pair.number, true);
        }
        HonestEvent::Sent(packet_identifier) => {
            if let Some((sequence, due_us)) = pair.submitted.pop_front() {
                pair.ledger.sent(sequence);
                context.messages.sent(due_us);
                // An identifier that is reused before its acknowledgement is the library's mistake: the
                // acknowledgement is ambiguous, so neither message has one.
                if *packet_identifier != 0 && pair.in_flight.remove(packet_identifier).is_none() {
                    pair.in_flight.insert(*packet_identifier, InFlight { sequence, due_us, sent_at: at });
                }
            }
        }
        HonestEvent::Acknowledged { packet_identifier, code } => {
            if let Some(message) = pair.in_flight.remove(packet_identifier) {
                pair.ledger.acknowledged(message.sequence, *code);
                let acknowledge_time = at.saturating_duration_since(message.sent_at);
                context.messages.acknowledged(message.due_us, *code, acknowledge_time);
            }
        }
        HonestEvent::Subscribed(_) | HonestEvent::Delivered { .. } | HonestEvent::Alive => {}
    }
    // An event of our own side is no sign of life of the broker.
    if !matches!(event, HonestEvent::Sent(_)) {
        context.clients.beat(&pair.names.0, context.clock.us(at));
    }
    pair.submit(&context.clock);
}

/// Keeps the subscriber connected and tracks what it receives.
async fn subscriber(pair: Rc<RefCell<Pair>>, context: Rc<HonestContext>, rate_per_pair: u64) {
    let mut taken_by_outage: Option<u64> = None;
    loop {
        let (number, names, topic, qos) = {
            let pair = pair.borrow();
            (pair.number, pair.names.clone(), pair.topic.clone(), pair.qos)
        };
        let (sender, mut connection) = context.clients.make(&names.1);
        let mut was_connected = false;
        let lost = loop {
            match connection.next().await {
                Ok(HonestEvent::Connected) => {
                    was_connected = true;
                    // A fresh client's queue has room for one request.
                    let _never_full = sender.try_subscribe(&[&topic], qos);
                }
                Ok(HonestEvent::Subscribed(granted)) => {
                    match granted {
                        Some(_) => context.readiness.subscriber(number, true),
                        None => context.readiness.refused("the broker refused a bystander's SUBSCRIBE"),
                    }
                    if granted.is_some_and(|qos| qos < pair.borrow().qos) {
                        // Granted less than asked for: missing messages may be permitted losses.
                        let mut pair = pair.borrow_mut();
                        pair.ledger.subscriber_away(0, u64::MAX);
                        pair.is_below_qos = true;
                    }
                    pair.borrow_mut().close_gap();
                    if let Some(lost_at_us) = taken_by_outage.take() {
                        context.lost.restored(lost_at_us, context.clock.now_us());
                    }
                }
                Ok(HonestEvent::Delivered { payload, qos, dup, is_repeated, .. }) => {
                    on_delivery(&pair, &context, &Copy { payload, qos, dup, is_repeated });
                }
                Ok(_) => context.clients.beat(&pair.borrow().names.1, context.clock.now_us()),
                Err(lost) => break lost,
            }
        };
        {
            let mut pair = pair.borrow_mut();
            let under_way = pair.ledger.offered().saturating_sub(UNDER_WAY_S * rate_per_pair);
            pair.away_from.get_or_insert(under_way);
        }
        context.readiness.subscriber(number, false);
        taken_by_outage = context.connection_ended(lost, was_connected).or(taken_by_outage);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// A PUBLISH that a subscriber received.
struct Copy {
    payload: Vec<u8>,
    qos: QoS,
    dup: bool,
    is_repeated: bool,
}

fn on_delivery(pair: &RefCell<Pair>, context: &HonestContext, copy: &Copy) {
    let at = now();
    let at_us = context.clock.us(at);
    let mut pair = pair.borrow_mut();
    context.clients.beat(&pair.names.1, at_us);
    let Some(stamp) = read_payload(&copy.payload, pair.run, pair.number) else { return };
    let Stamp { sequence, due_us, .. } = stamp;
    pair.latest_delivery = Some(at);
    pair.is_below_qos |= copy.qos < pair.qos;
    let delivered = Delivered { at_us, dup: copy.dup };
    if copy.is_repeated {
        pair.ledger.repeated(sequence, delivered);
    } else if pair.ledger.delivered(sequence, delivered) {
        let (response_us, service_us) = stamp.times_us(at_us);
        context.messages.delivered(due_us, response_us, service_us);
    }
}

/// The fate of all messages of `phase`, by QoS.
pub(crate) fn counts_by_qos(pairs: &[Rc<RefCell<Pair>>], phase: Phase) -> BTreeMap<u8, LedgerCounts> {
    let mut by_qos: BTreeMap<u8, LedgerCounts> = BTreeMap::new();
    for pair in pairs {
        let (qos, counts) = pair.borrow().counts(phase);
        *by_qos.entry(qos.into()).or_default() += &counts;
    }
    by_qos
}

/// Irregular messages of the measured phases: of each kind those that were due first, and the number of the others.
pub(crate) fn irregularities(
    pairs: &[Rc<RefCell<Pair>>],
    clock: &RunClock,
) -> (Vec<IrregularityRecord>, BTreeMap<IrregularityKind, u64>) {
    let mut by_kind: BTreeMap<IrregularityKind, Vec<IrregularityRecord>> = BTreeMap::new();
    let mut left_out: BTreeMap<IrregularityKind, u64> = BTreeMap::new();
    for pair in pairs {
        let pair = pair.borrow();
        for phase in Phase::MEASURED {
            let Some((from, to)) = pair.numbers(phase) else { continue };
            let evidence = pair.ledger.irregularities(from, to);
            for (kind, count) in evidence.left_out {
                *left_out.entry(kind).or_default() += count;
            }
            for irregularity in evidence.listed {
                let due = pair.schedule.map(|schedule| schedule.due(irregularity.first));
                by_kind.entry(irregularity.kind).or_default().push(IrregularityRecord {
                    pair: pair.number,
                    qos: pair.qos.into(),
                    phase,
                    due_us: due.map_or(0, |due| clock.us(due)),
                    irregularity,
                });
            }
        }
    }
    for (kind, listed) in &mut by_kind {
        listed.sort_by_key(|listed| (listed.due_us, listed.pair));
        let beyond: u64 =
            listed.iter().skip(EVIDENCE_AT_MOST).map(|listed| listed.irregularity.messages()).sum();
        if beyond > 0 {
            *left_out.entry(*kind).or_default() += beyond;
        }
        listed.truncate(EVIDENCE_AT_MOST);
    }
    (by_kind.into_values().flatten().collect(), left_out)
}

/// Pairs whose subscriber was granted, or served at, a lower QoS than it asked for.
pub(crate) fn pairs_below_qos(pairs: &[Rc<RefCell<Pair>>]) -> u64 {
    pairs.iter().filter(|pair| pair.borrow().is_below_qos).count() as u64
}

/// Waits until the fate of every message is known, or `within` has passed.
pub(crate) async fn drain(pairs: &[Rc<RefCell<Pair>>], within: Duration) -> Drain {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let began = now();
    while micros(now() - began) < micros(within) {
        if pairs.iter().all(|pair| pair.borrow().outstanding() == 0) {
            return Drain::Settled;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let latest = pairs.iter().filter_map(|pair| pair.borrow().latest_delivery).max();
    match latest {
        Some(latest) if now().saturating_duration_since(latest) < QUIET => Drain::StillArriving,
        _ => Drain::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::{Stamp, payload, read_payload};

    #[test]
    fn a_payload_is_read_only_by_its_own_pair_and_run() {
        let stamp = Stamp { sequence: 33, due_us: 44, given_us: 55 };
        let bytes = payload(11, 2, &stamp);
        assert_eq!(read_payload(&bytes, 11, 2), Some(stamp));
        assert_eq!(read_payload(&bytes, 12, 2), None);
        assert_eq!(read_payload(&bytes, 11, 3), None);
        assert_eq!(read_payload(&bytes[..39], 11, 2), None);
        assert_eq!(read_payload(b"hello", 11, 2), None);
    }

    #[test]
    fn the_service_time_never_exceeds_the_response_time() {
        for (due_us, given_us, at_us, expected) in [
            (100, 130, 500, (400, 370)),
            (100, 100, 500, (400, 400)),
            // Clock readings in another order than the events.
            (100, 90, 500, (400, 400)),
            (100, 130, 110, (10, 0)),
        ] {
            let (response_us, service_us) = Stamp { sequence: 1, due_us, given_us }.times_us(at_us);
            assert_eq!((response_us, service_us), expected);
            assert!(service_us <= response_us);
        }
    }
}
