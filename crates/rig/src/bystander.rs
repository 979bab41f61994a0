//! Bystanders: honest publisher-subscriber pairs on connections of their own, open-loop at a fixed rate. What
//! a fault costs them is what it costs everybody.
//!
//! All pairs live on one thread that carries no faults, so that our own work on a fault is not taken for the
//! broker's.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use ungraceful_mqtt::QoS;
use ungraceful_wire::clock::now;

use crate::clock::micros;
use crate::honest::{HonestEvent, HonestSender};
use crate::honest_thread::Yard;
use crate::ledger::{Ledger, LedgerCounts};
use crate::metric::Metric;
use crate::pacer::Pacer;
use crate::phase::Phase;

/// How many messages may wait for a connection that does not keep up, in seconds of the pair's rate.
const WAITING_MAX_S: u64 = 60;
/// How long before a lost connection a message may have been under way to a subscriber.
const UNDER_WAY_S: u64 = 5;
/// How long a bystander that lost its connection waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// Bytes of a bystander's Application Message: run, pair, sequence number, due time.
const PAYLOAD_BYTES: usize = 32;

/// How the bystanders of a run are made.
#[derive(Clone, Debug)]
pub struct BystanderSettings {
    /// Publisher-subscriber pairs; 0 for none.
    pub pairs: u64,
    /// Messages per second of each pair, at least 1.
    pub rate_per_pair: u64,
    /// QoS of the pairs, in turn; not empty.
    pub qos: Vec<QoS>,
}

/// A message that was written.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    sequence: u64,
    due_us: u64,
    sent_at: Instant,
}

/// One pair, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Pair {
    number: u64,
    qos: QoS,
    topic: String,
    ledger: Ledger,
    /// The first sequence number of each phase.
    first_of_phase: [Option<u64>; 4],
    /// Due, and not yet given to the connection: sequence number and due time.
    waiting: VecDeque<(u64, u64)>,
    /// Given to the connection, and not yet written.
    submitted: VecDeque<(u64, u64)>,
    /// Written, and not yet acknowledged, by Packet Identifier.
    in_flight: HashMap<u16, InFlight>,
    sender: Option<HonestSender>,
    /// The first number that may have been under way when the subscriber went away; absent while it listens.
    away_from: Option<u64>,
}

impl Pair {
    /// The subscriber listens again, or the run is over: what was under way in between is nobody's loss.
    pub(crate) fn close_gap(&mut self) {
        if let Some(from) = self.away_from.take() {
            let to = self.ledger.offered();
            self.ledger.subscriber_away(from, to);
        }
    }

    /// What became of the messages of `phase`, and at which QoS.
    pub(crate) fn counts(&self, phase: Phase) -> (QoS, LedgerCounts) {
        let Some(from) = self.first_of_phase[phase.index()] else {
            return (self.qos, LedgerCounts::default());
        };
        let to =
            self.first_of_phase[phase.index() + 1..].iter().flatten().next().copied().unwrap_or(u64::MAX);
        (self.qos, self.ledger.counts(from, to))
    }

    /// Messages whose fate is still open.
    pub(crate) fn outstanding(&self) -> u64 {
        self.ledger.outstanding() + self.waiting.len() as u64 + self.submitted.len() as u64
    }

    fn offer(&mut self, due_us: u64, phase: Phase, waiting_max: usize) {
        let sequence = self.ledger.offer();
        self.first_of_phase[phase.index()].get_or_insert(sequence);
        if self.waiting.len() < waiting_max {
            self.waiting.push_back((sequence, due_us));
        } else {
            self.ledger.dropped(sequence);
        }
    }

    /// Gives the connection as much of what waits as it takes.
    fn submit(&mut self, run: u64) {
        let Some(sender) = &self.sender else { return };
        while let Some((sequence, due_us)) = self.waiting.front().copied() {
            let payload = payload(run, self.number, sequence, due_us);
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

fn payload(run: u64, pair: u64, sequence: u64, due_us: u64) -> Vec<u8> {
    [run, pair, sequence, due_us].iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Sequence number and due time, if the message is one of this pair of this run.
fn read_payload(payload: &[u8], run: u64, pair: u64) -> Option<(u64, u64)> {
    let payload: &[u8; PAYLOAD_BYTES] = payload.try_into().ok()?;
    let number = |at: usize| payload[at..at + 8].try_into().map(u64::from_be_bytes).ok();
    (number(0)? == run && number(8)? == pair).then_some((number(16)?, number(24)?))
}

/// Brings the pairs up; each runs until the task set is dropped.
pub(crate) fn start(
    settings: &BystanderSettings,
    yard: &Rc<Yard>,
    tasks: &mut JoinSet<()>,
) -> Vec<Rc<RefCell<Pair>>> {
    let pairs: Vec<_> = (0..settings.pairs)
        .zip(settings.qos.iter().cycle())
        .map(|(number, qos)| make(number, yard.qos_at_most(*qos), yard))
        .collect();
    for pair in &pairs {
        tasks.spawn_local(publisher(Rc::clone(pair), Rc::clone(yard)));
        tasks.spawn_local(subscriber(Rc::clone(pair), Rc::clone(yard), settings.rate_per_pair));
        tasks.spawn_local(schedule(Rc::clone(pair), Rc::clone(yard), settings.clone()));
    }
    pairs
}

fn make(number: u64, qos: QoS, yard: &Yard) -> Rc<RefCell<Pair>> {
    Rc::new(RefCell::new(Pair {
        number,
        qos,
        topic: format!("{}/bystander/{number}", yard.topic_root),
        ledger: Ledger::new(qos != QoS::AtMostOnce),
        first_of_phase: [None; 4],
        waiting: VecDeque::new(),
        submitted: VecDeque::new(),
        in_flight: HashMap::new(),
        sender: None,
        away_from: None,
    }))
}

/// Lets messages fall due at the pair's rate, from the warm-up until the honest thread drains.
async fn schedule(pair: Rc<RefCell<Pair>>, yard: Rc<Yard>, settings: BystanderSettings) {
    let Ok(mut pacer) = Pacer::new() else {
        yard.connection_ended("out of file descriptors for a timer".to_owned(), true);
        return;
    };
    yard.begun().await;
    let step = Duration::from_secs(1).div_f64(rate(settings.rate_per_pair));
    // Pairs take turns within a step, so that they do not queue behind each other.
    let offset = step.mul_f64(rate(pair.borrow().number) / rate(settings.pairs));
    let origin = now() + offset;
    let waiting_max = usize::try_from(settings.rate_per_pair * WAITING_MAX_S).unwrap_or(usize::MAX);
    for index in 0_u64.. {
        let due = origin + Duration::from_secs(1).mul_f64(rate(index) / rate(settings.rate_per_pair));
        let woke = pacer.until(due).await;
        if yard.is_draining() {
            return;
        }
        let due_us = yard.clock.us(due);
        let phase = yard.phases.of(due_us);
        yard.meter.record(Metric::ScheduleSlip, phase, woke.saturating_duration_since(due));
        yard.meter.count(phase, |counters| counters.offered += 1);
        yard.recovery_offered(due_us);
        let mut pair = pair.borrow_mut();
        pair.offer(due_us, phase, waiting_max);
        pair.submit(yard.run);
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and indices stay far below 2^53")]
fn rate(number: u64) -> f64 {
    number as f64
}

/// Keeps the publisher connected and notes what becomes of its messages.
async fn publisher(pair: Rc<RefCell<Pair>>, yard: Rc<Yard>) {
    loop {
        let number = pair.borrow().number;
        let (sender, mut connection) = yard.honest_client(&format!("p{number}"));
        let lost = loop {
            match connection.next().await {
                Ok(event) => on_publisher_event(&pair, &yard, &sender, &event),
                Err(lost) => break lost,
            }
        };
        let was_connected = pair.borrow().sender.is_some();
        pair.borrow_mut().lost_connection();
        yard.connection_ended(lost, was_connected);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

fn on_publisher_event(pair: &RefCell<Pair>, yard: &Yard, sender: &HonestSender, event: &HonestEvent) {
    let at = now();
    let mut pair = pair.borrow_mut();
    match event {
        HonestEvent::Connected => {
            pair.sender = Some(sender.clone());
            yard.connected();
        }
        HonestEvent::Sent(packet_identifier) => {
            if let Some((sequence, due_us)) = pair.submitted.pop_front() {
                pair.ledger.sent(sequence);
                yard.meter.count(yard.phases.of(due_us), |counters| counters.sent += 1);
                if *packet_identifier != 0 {
                    pair.in_flight.insert(*packet_identifier, InFlight { sequence, due_us, sent_at: at });
                }
            }
        }
        HonestEvent::Acknowledged { packet_identifier, code } => {
            if let Some(message) = pair.in_flight.remove(packet_identifier) {
                pair.ledger.acknowledged(message.sequence, *code);
                let phase = yard.phases.of(message.due_us);
                yard.meter.count(phase, |counters| counters.acknowledged += u64::from(*code < 0x80));
                let service_time = at.saturating_duration_since(message.sent_at);
                yard.meter.record(Metric::BystanderServiceTime, phase, service_time);
            }
        }
        HonestEvent::Subscribed(_) | HonestEvent::Delivered { .. } | HonestEvent::Alive => {}
    }
    // What the connection says of its own doing is no sign of life of the broker.
    if !matches!(event, HonestEvent::Sent(_)) {
        yard.pulse.beat(yard.clock.us(at));
    }
    pair.submit(yard.run);
}

/// Keeps the subscriber connected and notes what it receives.
async fn subscriber(pair: Rc<RefCell<Pair>>, yard: Rc<Yard>, rate_per_pair: u64) {
    loop {
        let (number, topic, qos) = {
            let pair = pair.borrow();
            (pair.number, pair.topic.clone(), pair.qos)
        };
        let (sender, mut connection) = yard.honest_client(&format!("s{number}"));
        let mut was_connected = false;
        let lost = loop {
            match connection.next().await {
                Ok(HonestEvent::Connected) => {
                    was_connected = true;
                    // A fresh client's queue has room for one request.
                    let _never_full = sender.try_subscribe(&topic, qos);
                }
                Ok(HonestEvent::Subscribed(granted)) => {
                    yard.subscribed(granted);
                    if granted.is_some_and(|qos| qos < pair.borrow().qos) {
                        // Granted less than asked for: what does not come may have been lost by right.
                        pair.borrow_mut().ledger.subscriber_away(0, u64::MAX);
                    }
                    pair.borrow_mut().close_gap();
                }
                Ok(HonestEvent::Delivered { payload, .. }) => on_delivery(&pair, &yard, &payload),
                Ok(_) => yard.pulse.beat(yard.clock.now_us()),
                Err(lost) => break lost,
            }
        };
        {
            let mut pair = pair.borrow_mut();
            let under_way = pair.ledger.offered().saturating_sub(UNDER_WAY_S * rate_per_pair);
            pair.away_from.get_or_insert(under_way);
        }
        yard.connection_ended(lost, was_connected);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

fn on_delivery(pair: &RefCell<Pair>, yard: &Yard, payload: &[u8]) {
    let at_us = yard.clock.now_us();
    yard.pulse.beat(at_us);
    let mut pair = pair.borrow_mut();
    let Some((sequence, due_us)) = read_payload(payload, yard.run, pair.number) else { return };
    if pair.ledger.delivered(sequence) {
        let response_us = at_us.saturating_sub(due_us);
        let phase = yard.phases.of(due_us);
        yard.meter.count(phase, |counters| counters.delivered += 1);
        yard.meter.record(Metric::BystanderResponseTime, phase, Duration::from_micros(response_us));
        yard.recovery_delivered(due_us, response_us);
    }
}

/// What became of all messages of `phase`, by QoS.
pub(crate) fn counts_by_qos(pairs: &[Rc<RefCell<Pair>>], phase: Phase) -> BTreeMap<u8, LedgerCounts> {
    let mut by_qos: BTreeMap<u8, LedgerCounts> = BTreeMap::new();
    for pair in pairs {
        let (qos, counts) = pair.borrow().counts(phase);
        *by_qos.entry(qos.into()).or_default() += &counts;
    }
    by_qos
}

/// Waits until the fate of every message is known, or `within` has passed.
pub(crate) async fn drained(pairs: &[Rc<RefCell<Pair>>], within: Duration) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let began = now();
    while micros(now() - began) < micros(within) && pairs.iter().any(|pair| pair.borrow().outstanding() > 0) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{payload, read_payload};

    #[test]
    fn a_payload_is_read_by_its_own_pair_of_its_own_run_and_by_nobody_else() {
        let bytes = payload(11, 2, 33, 44);
        assert_eq!(read_payload(&bytes, 11, 2), Some((33, 44)));
        assert_eq!(read_payload(&bytes, 12, 2), None);
        assert_eq!(read_payload(&bytes, 11, 3), None);
        assert_eq!(read_payload(&bytes[..31], 11, 2), None);
        assert_eq!(read_payload(b"hello", 11, 2), None);
    }
}
