//! A publisher that keeps every rule: no more unacknowledged than is agreed, and every acknowledgement answered.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, PublishTemplate, QoS};
use ungraceful_rig::attempts::client::{Accepted, Client};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::Arrival;
use ungraceful_wire::clock::now;

use super::fates::Fates;
use super::numbered;
use super::pinging::Pinging;
use super::seen::Seen;

/// The most PUBLISH packets that our publishers have unacknowledged, however many the broker allows.
const IN_FLIGHT_MAX: u16 = 100;
/// The same on 3.1.1, where nobody says how many a broker allows: one that allows 20 may acknowledge what is beyond and
/// throw it away.
const IN_FLIGHT_MAX_3_1_1: u16 = 10;

/// How long the end of a connection is waited for that a DISCONNECT has announced.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The most that waits for a socket which takes nothing: at a rate, what falls due then is left out.
const OUTBOX_MAX_BYTES: usize = 256 * 1024;

/// What a publisher publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publishing<'a> {
    pub(super) topic: &'a str,
    pub(super) qos: QoS,
    /// Payload of each message in bytes.
    pub(super) payload_len: usize,
}

/// How publishing came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Every message was sent and, above QoS 0, acknowledged or refused.
    All,
    /// The connection ended before.
    Cut,
    /// Nothing was acknowledged for as long as we were ready to wait.
    Stalled,
}

/// A publisher and what was acknowledged to it.
#[derive(Debug)]
pub(super) struct Publisher {
    client: Client,
    /// When the TCP handshake was complete.
    pub(super) established: Instant,
    /// The CONNACK.
    pub(super) accepted: Accepted,
    pub(super) sending: Sending,
    pinging: Pinging,
}

/// What a publisher has sent, and what came back.
#[derive(Debug)]
pub(super) struct Sending {
    version: ProtocolVersion,
    qos: QoS,
    template: PublishTemplate,
    attempt: u64,
    /// The most messages that may be unacknowledged.
    pub(super) window: usize,
    /// Messages by the Packet Identifier under which they are unacknowledged, and when each was sent.
    open: HashMap<u16, (u64, Instant)>,
    next_identifier: PacketIdentifier,
    /// Messages that were sent.
    pub(super) sent: u64,
    /// Messages that were acknowledged without an error: PUBACK, PUBCOMP.
    pub(super) acknowledged: u64,
    /// Messages that were refused, by the Reason Code of the PUBACK or PUBREC.
    pub(super) refused: BTreeMap<u8, u64>,
    /// How long each message took from being sent to its last acknowledgement, in µs.
    pub(super) service_us: Vec<u64>,
    /// Acknowledgements of any kind.
    answers: u64,
    outbox: Vec<u8>,
    written: usize,
    pub(super) seen: Seen,
}

impl Sending {
    /// Puts PUBLISH packets into the outbox until the window is full or `total` messages were sent.
    fn fill(&mut self, total: u64, fates: &RefCell<Fates>) {
        let at = now();
        while self.sent < total && (self.qos == QoS::AtMostOnce || self.open.len() < self.window) {
            let sequence = fates.borrow_mut().send();
            let identifier = (self.qos != QoS::AtMostOnce).then(|| self.free_identifier());
            self.template.append(&mut self.outbox, identifier, numbered::stamp(self.attempt, sequence));
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

    fn take(&mut self, packet: &Packet<'_>, at: Instant, fates: &RefCell<Fates>) {
        match packet {
            Packet::PubAck(ack) if self.qos == QoS::AtLeastOnce => self.conclude(ack, fates),
            Packet::PubRec(ack) if self.qos == QoS::ExactlyOnce && ack.reason_code.0 >= 0x80 => {
                self.conclude(ack, fates);
            }
            Packet::PubRec(ack) if self.qos == QoS::ExactlyOnce => {
                self.answers += 1;
                if let Some(identifier) = PacketIdentifier::new(ack.packet_identifier) {
                    // A PUBREL of a legal Packet Identifier can always be encoded.
                    let _encoded = Ack::new(identifier).encode_pubrel(self.version, &mut self.outbox);
                }
            }
            Packet::PubComp(ack) if self.qos == QoS::ExactlyOnce => self.conclude(ack, fates),
            other => self.seen.take(other, at),
        }
    }

    fn conclude(&mut self, ack: &Ack<'_>, fates: &RefCell<Fates>) {
        let Some((sequence, sent_at)) = self.open.remove(&ack.packet_identifier) else { return };
        self.service_us.push(u64::try_from(sent_at.elapsed().as_micros()).unwrap_or(u64::MAX));
        let code = ack.reason_code.0;
        self.answers += 1;
        if code < 0x80 {
            self.acknowledged += 1;
        } else {
            *self.refused.entry(code).or_default() += 1;
        }
        fates.borrow_mut().acknowledged(sequence, code);
    }
}

impl Publisher {
    /// Connects. Keeps to the broker's Receive Maximum, and to [`IN_FLIGHT_MAX`] of ours.
    pub(super) async fn open(
        stage: &Stage,
        version: ProtocolVersion,
        client_id: &str,
        attempt: u64,
        publishing: Publishing<'_>,
    ) -> Result<Self, String> {
        let (mut client, established) =
            stage.open(version).await.map_err(|error| format!("the publisher cannot connect: {error}"))?;
        let connect = Client::honest_connect(client_id, &stage.credentials);
        let accepted = client
            .connect(&connect, stage.options.connect_timeout)
            .await
            .map_err(|error| format!("the publisher: {error}"))?;
        let template = numbered::template(version, publishing.topic, publishing.qos, publishing.payload_len)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        let in_flight_max = match version {
            ProtocolVersion::V5 => IN_FLIGHT_MAX,
            ProtocolVersion::V3_1_1 => IN_FLIGHT_MAX_3_1_1,
        };
        let window = accepted.receive_maximum.unwrap_or(u16::MAX).clamp(1, in_flight_max);
        let sending = Sending {
            version,
            qos: publishing.qos,
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
            outbox: Vec::new(),
            written: 0,
            seen: Seen::new(stage.clock),
        };
        let pinging = Pinging::new(&accepted);
        Ok(Self { client, established, accepted, sending, pinging })
    }

    /// Publishes until `total` messages were sent and answered, however many of them were sent before. Gives up when
    /// nothing is acknowledged for `patience`. Nothing is lost when the returned future is dropped.
    pub(super) async fn publish(
        &mut self,
        fates: &RefCell<Fates>,
        total: u64,
        patience: Duration,
    ) -> Published {
        let mut answers = self.sending.answers;
        let mut answered_at = now();
        loop {
            self.sending.fill(total, fates);
            self.keep_alive();
            let left = patience.saturating_sub(answered_at.elapsed()).min(self.pinging.left());
            // Whether it timed out is seen below.
            let _elapsed = timeout(left, self.flush()).await;
            let sending = &self.sending;
            if sending.sent == total && sending.open.is_empty() && sending.outbox.is_empty() {
                return Published::All;
            }
            if self.sending.outbox.is_empty() {
                let _elapsed = timeout(left, self.receive(fates)).await;
            }
            if self.sending.seen.is_over() {
                // The end follows the DISCONNECT that announces it.
                let ended = async {
                    while self.sending.seen.end.is_none() {
                        self.receive(fates).await;
                    }
                };
                let _elapsed = timeout(END_WITHIN, ended).await;
                return Published::Cut;
            }
            if self.sending.answers > answers {
                (answers, answered_at) = (self.sending.answers, now());
            } else if answered_at.elapsed() >= patience {
                return Published::Stalled;
            }
        }
    }

    /// Puts a PINGREQ into the outbox when one is due.
    fn keep_alive(&mut self) {
        if self.pinging.is_due() {
            ungraceful_mqtt::encode::pingreq(&mut self.sending.outbox);
            self.sending.seen.pings_open += 1;
        }
    }

    /// Sends what is owed, and receives once, or until PINGREQ is due. Nothing is lost when the returned future is dropped.
    async fn step(&mut self, fates: &RefCell<Fates>) {
        self.keep_alive();
        self.flush().await;
        let _elapsed = timeout(self.pinging.left(), self.receive(fates)).await;
    }

    /// Carries out `work`, and meanwhile keeps the connection alive and takes what comes.
    pub(super) async fn linger_during<T>(
        &mut self,
        fates: &RefCell<Fates>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let lingering = async {
            while self.sending.seen.end.is_none() {
                self.step(fates).await;
            }
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = lingering => {}
        }
        work.await
    }

    async fn receive(&mut self, fates: &RefCell<Fates>) {
        let Self { client, sending, .. } = self;
        let version = client.version;
        let take = |frame: ungraceful_mqtt::Frame<'_>, at, _complete_at| {
            sending.take(&frame.decode(version).packet, at, fates);
        };
        let told: Option<Arrival> = client.connection.receive(take).await;
        if let Some(told) = told {
            self.sending.seen.take_told(&told);
        }
    }

    async fn flush(&mut self) {
        let Sending { outbox, written, .. } = &mut self.sending;
        if !outbox.is_empty() {
            let _end_is_read = self.client.connection.send_while_receiving(outbox, written).await;
            outbox.clear();
            *written = 0;
        }
    }

    /// Publishes `per_second` messages a second for `time`, as far as window and socket allow: what can't be sent is not
    /// made up for beyond [`OUTBOX_MAX_BYTES`]. Returns false when the connection ended before.
    pub(super) async fn publish_at(
        &mut self,
        fates: &RefCell<Fates>,
        per_second: u64,
        time: Duration,
    ) -> bool {
        const TICK: Duration = Duration::from_millis(10);
        let began = now();
        while began.elapsed() < time && !self.sending.seen.is_over() {
            let due = began.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
            if self.sending.outbox.len() < OUTBOX_MAX_BYTES {
                self.sending.fill(u64::try_from(due).unwrap_or(u64::MAX), fates);
            }
            self.keep_alive();
            let _elapsed = timeout(TICK, self.flush()).await;
            // An acknowledgement lets the next message go; without any, the next tick does.
            if self.sending.outbox.is_empty() {
                let _elapsed = timeout(TICK, self.receive(fates)).await;
            }
        }
        !self.sending.seen.is_over()
    }

    /// Asks whether the client is served; true when the answer came within `within`.
    pub(super) async fn is_served(&mut self, fates: &RefCell<Fates>, within: Duration) -> bool {
        ungraceful_mqtt::encode::pingreq(&mut self.sending.outbox);
        self.sending.seen.pings_open += 1;
        let asked = async {
            self.flush().await;
            while self.sending.seen.end.is_none() && self.sending.seen.pings_open > 0 {
                self.step(fates).await;
            }
        };
        let answered = timeout(within, asked).await.is_ok();
        answered && self.sending.seen.end.is_none()
    }

    /// Asks again and again whether the client is served, each time `every` after the time before or once that was
    /// answered, and notes when the answers came. Goes on for ever.
    pub(super) async fn keep_asking(
        &mut self,
        fates: &RefCell<Fates>,
        every: Duration,
        answered: &RefCell<Vec<Instant>>,
    ) -> Infallible {
        loop {
            let asked_at = now();
            ungraceful_mqtt::encode::pingreq(&mut self.sending.outbox);
            self.sending.seen.pings_open += 1;
            while self.sending.seen.pings_open > 0 || asked_at.elapsed() < every {
                if self.sending.seen.end.is_some() {
                    return pending().await;
                }
                let open = self.sending.seen.pings_open;
                if open > 0 {
                    self.step(fates).await;
                } else {
                    let left = every.saturating_sub(asked_at.elapsed());
                    let _elapsed = timeout(left, self.step(fates)).await;
                }
                if open > 0 && self.sending.seen.pings_open == 0 {
                    answered.borrow_mut().push(now());
                }
            }
        }
    }

    /// Leaves as a well-behaved client does.
    pub(super) async fn leave(self) {
        self.client.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, HashMap};

    use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, QoS, ReasonCode};
    use ungraceful_rig::measure::clock::RunClock;
    use ungraceful_wire::clock::now;

    use super::Sending;
    use crate::flow_control::fates::Fates;
    use crate::flow_control::numbered;
    use crate::flow_control::seen::Seen;

    fn sending(qos: QoS, window: usize) -> (Sending, RefCell<Fates>) {
        let sending = Sending {
            version: ProtocolVersion::V5,
            qos,
            template: numbered::template(ProtocolVersion::V5, "t", qos, 16).unwrap(),
            attempt: 1,
            window,
            open: HashMap::new(),
            next_identifier: PacketIdentifier::MAX,
            sent: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            service_us: Vec::new(),
            answers: 0,
            outbox: Vec::new(),
            written: 0,
            seen: Seen::new(RunClock::start()),
        };
        (sending, RefCell::new(Fates::new(1, qos, RunClock::start())))
    }

    fn ack(identifier: u16, code: u8) -> Ack<'static> {
        Ack::new(PacketIdentifier::new(identifier).unwrap()).with_reason_code(ReasonCode(code))
    }

    #[test]
    fn mqtt5_3_3_4_7_no_more_than_the_window_is_unacknowledged_and_identifiers_are_never_shared() {
        let (mut sending, fates) = sending(QoS::AtLeastOnce, 2);
        sending.fill(10, &fates);
        assert_eq!((sending.sent, sending.open.len()), (2, 2));
        sending.take(&Packet::PubAck(ack(65_535, 0)), now(), &fates);
        sending.next_identifier = PacketIdentifier::MIN;
        sending.fill(10, &fates);
        assert_eq!((sending.sent, sending.open.len()), (3, 2));
        assert!(sending.open.contains_key(&1) && sending.open.contains_key(&2), "1 is in use, 2 is free");
    }

    #[test]
    fn a_qos_2_message_holds_its_place_until_pubcomp_or_a_pubrec_that_refuses_it() {
        let (mut sending, fates) = sending(QoS::ExactlyOnce, 2);
        sending.fill(2, &fates);
        sending.outbox.clear();
        sending.take(&Packet::PubRec(ack(65_535, 0)), now(), &fates);
        assert_eq!((sending.open.len(), &sending.outbox[..]), (2, &[0x62, 2, 0xFF, 0xFF][..]));
        sending.take(&Packet::PubComp(ack(65_535, 0)), now(), &fates);
        sending.take(&Packet::PubRec(ack(1, 0x97)), now(), &fates);
        assert_eq!((sending.open.len(), sending.acknowledged), (0, 1));
        assert_eq!(sending.refused, BTreeMap::from([(0x97, 1)]));
        assert_eq!(fates.borrow().counts().refused[&0x97], 1);
    }
}
