//! A publisher that obeys every rule: it stays within the negotiated limit and answers every acknowledgement.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, PublishTemplate, QoS};
use ungraceful_rig::attempts::client::{Accepted, Client};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_wire::clock::now;

use super::busy::{Account, Busy};
use super::fates::SharedFates;
use super::seen::Seen;
use super::topic;
use crate::numbered;
use crate::peer::Peer;

/// The most PUBLISH packets that a publisher has unacknowledged, however many the broker allows.
const IN_FLIGHT_MAX: u16 = 100;
/// The same on 3.1.1, where the broker announces no limit: a broker that allows 20 may acknowledge more and drop them.
const IN_FLIGHT_MAX_3_1_1: u16 = 10;

/// How long the end of the connection is awaited after a DISCONNECT.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The most bytes that wait for a blocked socket; at a rate, messages that fall due beyond it are skipped.
const OUTBOX_MAX_BYTES: usize = 256 * 1024;

/// How publishing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Every message was sent and, above QoS 0, acknowledged or refused.
    All,
    /// The connection ended first.
    Cut,
    /// Nothing was acknowledged within the patience.
    Stalled,
}

/// A publisher and its acknowledgements.
pub(super) type Publisher = Busy<Sending>;

/// What a publisher has sent, and the answers.
#[derive(Debug)]
pub(super) struct Sending {
    version: ProtocolVersion,
    qos: QoS,
    template: PublishTemplate,
    attempt: u64,
    /// The most messages that may be unacknowledged.
    pub(super) window: usize,
    /// Unacknowledged messages by Packet Identifier, and when each was sent.
    open: HashMap<u16, (u64, Instant)>,
    next_identifier: PacketIdentifier,
    /// Messages that were sent.
    pub(super) sent: u64,
    /// Messages that were acknowledged without an error: PUBACK, PUBCOMP.
    pub(super) acknowledged: u64,
    /// Messages that were refused, by the Reason Code of the PUBACK or PUBREC.
    pub(super) refused: BTreeMap<u8, u64>,
    /// The time of each message from sending to its last acknowledgement, in µs.
    pub(super) service_us: Vec<u64>,
    /// Acknowledgements of any kind.
    answers: u64,
    pub(super) seen: Seen,
    fates: SharedFates,
}

impl Sending {
    fn new(version: ProtocolVersion, window: u16, fates: SharedFates, template: PublishTemplate) -> Self {
        let (qos, attempt, clock) = {
            let fates = fates.borrow();
            (fates.qos(), fates.attempt(), fates.clock())
        };
        Self {
            version,
            qos,
            template,
            attempt,
            window: usize::from(window),
            open: HashMap::new(),
            next_identifier: PacketIdentifier::MIN,
            sent: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            service_us: Vec::new(),
            answers: 0,
            seen: Seen::new(clock),
            fates,
        }
    }

    /// Puts PUBLISH packets into the outbox until the window is full or `total` messages were sent.
    fn fill(&mut self, total: u64, outbox: &mut Vec<u8>) {
        let at = now();
        while self.sent < total && (self.qos == QoS::AtMostOnce || self.open.len() < self.window) {
            let sequence = self.fates.borrow_mut().send();
            let identifier = (self.qos != QoS::AtMostOnce).then(|| self.free_identifier());
            self.template.append(outbox, identifier, numbered::stamp(self.attempt, sequence));
            if let Some(identifier) = identifier {
                self.open.insert(identifier.get(), (sequence, at));
            }
            self.sent += 1;
        }
    }

    fn free_identifier(&mut self) -> PacketIdentifier {
        while self.open.contains_key(&self.next_identifier.get()) {
            self.next_identifier = self.next_identifier.next();
        }
        let free = self.next_identifier;
        self.next_identifier = free.next();
        free
    }

    fn conclude(&mut self, ack: &Ack<'_>) {
        let Some((sequence, sent_at)) = self.open.remove(&ack.packet_identifier) else { return };
        self.service_us.push(u64::try_from(sent_at.elapsed().as_micros()).unwrap_or(u64::MAX));
        let code = ack.reason_code.0;
        self.answers += 1;
        if code < 0x80 {
            self.acknowledged += 1;
        } else {
            *self.refused.entry(code).or_default() += 1;
        }
        self.fates.borrow_mut().acknowledged(sequence, code);
    }
}

impl Account for Sending {
    fn take(&mut self, packet: &Packet<'_>, at: Instant, outbox: &mut Vec<u8>) {
        match packet {
            Packet::PubAck(ack) if self.qos == QoS::AtLeastOnce => self.conclude(ack),
            Packet::PubRec(ack) if self.qos == QoS::ExactlyOnce && ack.reason_code.0 >= 0x80 => {
                self.conclude(ack);
            }
            Packet::PubRec(ack) if self.qos == QoS::ExactlyOnce => {
                self.answers += 1;
                if let Some(identifier) = PacketIdentifier::new(ack.packet_identifier) {
                    // A PUBREL with a legal Packet Identifier can always be encoded.
                    let _encoded = Ack::new(identifier).encode_pubrel(self.version, outbox);
                }
            }
            Packet::PubComp(ack) if self.qos == QoS::ExactlyOnce => self.conclude(ack),
            other => self.seen.take(other, at),
        }
    }

    fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }
}

impl Publisher {
    /// From an accepted connection, for messages with `payload_len` bytes on `topic`. Stays within the broker's Receive Maximum
    /// and [`IN_FLIGHT_MAX`].
    pub(super) fn new(
        (peer, accepted): (Peer, Accepted),
        topic: &str,
        payload_len: usize,
        fates: &SharedFates,
    ) -> Result<Self, String> {
        let version = peer.client.version;
        let template = numbered::template(version, topic, fates.borrow().qos(), payload_len)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        let in_flight_max = match version {
            ProtocolVersion::V5 => IN_FLIGHT_MAX,
            ProtocolVersion::V3_1_1 => IN_FLIGHT_MAX_3_1_1,
        };
        let window = accepted.receive_maximum.unwrap_or(u16::MAX).clamp(1, in_flight_max);
        let account = Sending::new(version, window, fates.clone(), template);
        Ok(Self { peer, accepted, account })
    }

    /// Connects another client beside the attempt's own.
    pub(super) async fn beside(
        stage: &Stage,
        log: &AttemptLog<'_>,
        version: ProtocolVersion,
        payload_len: usize,
        fates: &SharedFates,
    ) -> Result<Self, String> {
        let client_id = log.companion(Companion::UsesTopics);
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let connected = Peer::connect(stage, version, &connect).await;
        let connected = connected.map_err(|error| format!("the publisher: {error}"))?;
        Self::new(connected, &topic(stage, log), payload_len, fates)
    }

    fn fill(&mut self, total: u64) {
        self.account.fill(total, &mut self.peer.outbox);
    }

    /// Publishes until `total` messages, including earlier ones, were sent and answered. Gives up when nothing is acknowledged
    /// for `patience`. Cancel-safe.
    pub(super) async fn publish(&mut self, total: u64, patience: Duration) -> Published {
        let mut answers = self.account.answers;
        let mut answered_at = now();
        loop {
            self.fill(total);
            self.keep_alive();
            let left = patience.saturating_sub(answered_at.elapsed()).min(self.peer.pinging.left());
            // Whether it timed out shows below.
            let _elapsed = timeout(left, self.peer.flush()).await;
            let sending = &self.account;
            if sending.sent == total && sending.open.is_empty() && self.peer.outbox.is_empty() {
                return Published::All;
            }
            if self.peer.outbox.is_empty() {
                let _elapsed = timeout(left, self.receive()).await;
            }
            if self.account.seen.is_over() {
                // The end follows the DISCONNECT.
                let ended = async {
                    while self.account.seen.end.is_none() {
                        self.receive().await;
                    }
                };
                let _elapsed = timeout(END_WITHIN, ended).await;
                return Published::Cut;
            }
            if self.account.answers > answers {
                (answers, answered_at) = (self.account.answers, now());
            } else if answered_at.elapsed() >= patience {
                return Published::Stalled;
            }
        }
    }

    /// Publishes `per_second` messages a second for `time`, as far as window and socket allow. Catches up on at most
    /// [`OUTBOX_MAX_BYTES`].
    pub(super) async fn publish_at(&mut self, per_second: u64, time: Duration) {
        const TICK: Duration = Duration::from_millis(10);
        let began = now();
        while began.elapsed() < time && !self.account.seen.is_over() {
            let due = began.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
            if self.peer.outbox.len() < OUTBOX_MAX_BYTES {
                self.fill(u64::try_from(due).unwrap_or(u64::MAX));
            }
            self.keep_alive();
            let _elapsed = timeout(TICK, self.peer.flush()).await;
            // An acknowledgement, or the next tick, allows the next message.
            if self.peer.outbox.is_empty() {
                let _elapsed = timeout(TICK, self.receive()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, QoS, ReasonCode};
    use ungraceful_rig::measure::clock::RunClock;
    use ungraceful_wire::clock::now;

    use super::{Account, Sending};
    use crate::flood::fates::Fates;
    use crate::numbered;

    /// A publisher's account, and its outbox.
    fn sending(qos: QoS, window: u16) -> (Sending, Vec<u8>) {
        let fates = Fates::new(1, qos, RunClock::start()).shared();
        let template = numbered::template(ProtocolVersion::V5, "t", qos, 16).unwrap();
        let sending = Sending::new(ProtocolVersion::V5, window, fates, template);
        (Sending { next_identifier: PacketIdentifier::MAX, ..sending }, Vec::new())
    }

    fn ack(identifier: u16, code: u8) -> Ack<'static> {
        Ack::new(PacketIdentifier::new(identifier).unwrap()).with_reason_code(ReasonCode(code))
    }

    #[test]
    fn mqtt5_3_3_4_7_the_window_is_never_exceeded_and_identifiers_are_never_shared() {
        let (mut sending, mut outbox) = sending(QoS::AtLeastOnce, 2);
        sending.fill(10, &mut outbox);
        assert_eq!((sending.sent, sending.open.len()), (2, 2));
        sending.take(&Packet::PubAck(ack(65_535, 0)), now(), &mut outbox);
        sending.next_identifier = PacketIdentifier::MIN;
        sending.fill(10, &mut outbox);
        assert_eq!((sending.sent, sending.open.len()), (3, 2));
        assert!(sending.open.contains_key(&1) && sending.open.contains_key(&2), "1 is in use, 2 is free");
    }

    #[test]
    fn a_qos_2_message_holds_its_place_until_pubcomp_or_a_pubrec_that_refuses_it() {
        let (mut sending, mut outbox) = sending(QoS::ExactlyOnce, 2);
        sending.fill(2, &mut outbox);
        outbox.clear();
        sending.take(&Packet::PubRec(ack(65_535, 0)), now(), &mut outbox);
        assert_eq!((sending.open.len(), &outbox[..]), (2, &[0x62, 2, 0xFF, 0xFF][..]));
        sending.take(&Packet::PubComp(ack(65_535, 0)), now(), &mut outbox);
        sending.take(&Packet::PubRec(ack(1, 0x97)), now(), &mut outbox);
        assert_eq!((sending.open.len(), sending.acknowledged), (0, 1));
        assert_eq!(sending.refused, BTreeMap::from([(0x97, 1)]));
        assert_eq!(sending.fates.borrow().counts().refused[&0x97], 1);
    }
}
