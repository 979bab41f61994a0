//! A client that works while its authorisation ends, and its companion: the companion publishes to the client, and the client
//! publishes itself. The messages that still get through afterwards show whether the broker still serves the client.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ungraceful_mqtt::{
    Connect, Packet, PacketIdentifier, PacketType, ProtocolVersion, Publish, QoS, ReasonCode,
};
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::client::{Client, NotConnected};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::discarded;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::Occupation;
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::ReceivedPacket;
use ungraceful_wire::clock::now;

use super::authentication::Authentication;
use super::{DELIVERED, LAST_SERVED, PUBLISHED, SERVED, StillServed};
use crate::numbered::{payload, read_payload};
use crate::peer::{Event, Peer};

/// The time between two messages, in each direction.
const EVERY: Duration = Duration::from_millis(50);
/// The maximum of unacknowledged PUBLISH packets of the client; a broker may set a lower one.
const OPEN_MAX: u16 = 8;
/// The first Packet Identifier of the work, above those of the preparation.
const FIRST_IDENTIFIER: u16 = 1_000;
/// The Application Message of the Will.
pub(super) const WILL: &[u8] = b"will of a client at work";

/// A client at work, and its companion.
#[derive(Debug)]
pub(super) struct WorkingPair {
    /// The client's connection.
    pub(super) client: Client,
    /// What the client does.
    pub(super) work: Work,
    /// The publisher to the client.
    pub(super) companion: CompanionClient,
}

/// Another client, with the run's own credentials, that publishes to the client and keeps its authorisation.
#[derive(Debug)]
pub(super) struct CompanionClient {
    publisher: Peer,
    topic: String,
    /// When each message was sent, by its number.
    sent: Vec<Instant>,
    /// Whether its own connection has ended.
    is_cut: bool,
}

/// The topics that the client publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publishes {
    /// Always the same topic.
    ToOneTopic,
    /// Another topic each time, below the first.
    ToNewTopics,
}

/// What the client does, and the results.
#[derive(Debug)]
pub(super) struct Work {
    version: ProtocolVersion,
    topic: String,
    pub(super) publishes: Publishes,
    qos: QoS,
    open_max: usize,
    last_identifier: u16,
    next_at: Instant,
    /// When each unacknowledged message was sent.
    open: BTreeMap<u16, Instant>,
    /// When the acknowledged messages were sent.
    acknowledged: Vec<Instant>,
    /// How many messages were refused.
    refused: u64,
    /// The number of each delivered message, and when it came.
    delivered: Vec<(u64, Instant)>,
    disconnect_received: bool,
    /// The types of the packets that came after the DISCONNECT.
    pub(super) after_disconnect: BTreeSet<&'static str>,
    pub(super) method_in_connack: Option<String>,
    /// The first [`AUTHS_MAX`] AUTH packets that came.
    pub(super) auths: Vec<AuthSeen>,
    /// When watching ends, once that is known.
    pub(super) until: Rc<Cell<Option<Instant>>>,
}

/// An AUTH from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthSeen {
    pub(super) code: u8,
    pub(super) method: Option<String>,
    pub(super) has_properties: bool,
    pub(super) at: Instant,
}

/// How many AUTH packets are kept for each client.
const AUTHS_MAX: usize = 4;
/// How many deliveries are kept for each client, 24 bytes each: an hour or more.
const DELIVERED_MAX: usize = 65_536;

impl WorkingPair {
    /// Connects the client and its companion, and checks that one message gets through in each direction.
    ///
    /// # Errors
    /// A message for the user when the broker refuses.
    pub(super) async fn open(
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
        authentication: &Authentication,
        will: Option<&WitnessWatch>,
    ) -> Result<Self, String> {
        let client_id = log.client_id().to_owned();
        let within = stage.options.connect_timeout;
        let mut worker = Peer::open(stage, log, version).await?;
        let properties = authentication.properties();
        let connect = Connect {
            will: will.map(|watch| stage.will(watch, WILL)),
            ..authentication.connect(&client_id, &properties)
        };
        let answer = worker.client.connect_with_packet(&connect, within).await;
        let (accepted, connack) = answer.map_err(|error| refusal(&error))?;
        log.accepted(accepted.connack_at);
        let (to, from) = topics(stage, log.name());
        worker.subscribe(&to, QoS::AtMostOnce, within).await?;
        let publisher_id = log.companion(Companion::UsesTopics);
        let honest = Client::honest_connect(&publisher_id, &stage.credentials);
        let (mut publisher, _) = Peer::connect(stage, version, &honest)
            .await
            .map_err(|error| format!("the companion of the client: {error}"))?;
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        let first_sent = now();
        publisher.send_publish(&to, QoS::AtMostOnce, 0, None).await?;
        await_first(&mut worker, within).await?;
        let code = worker.publish(&from, qos, 0, within).await?;
        if code >= 0x80 {
            return Err(format!("the broker refuses what the client publishes (0x{code:02X})"));
        }
        let mut work = Work::new(version, from, qos);
        work.open_max = accepted.receive_maximum.map_or(OPEN_MAX, |most| most.min(OPEN_MAX)).into();
        work.method_in_connack = method_in(&connack);
        let companion = CompanionClient { publisher, topic: to, sent: vec![first_sent], is_cut: false };
        Ok(Self { client: worker.client, work, companion })
    }

    /// When watching is to end, once that is known.
    pub(super) fn until(&self) -> Rc<Cell<Option<Instant>>> {
        Rc::clone(&self.work.until)
    }

    /// Disconnects both clients.
    pub(super) async fn leave(self) {
        self.client.leave().await;
        self.companion.leave().await;
    }
}

impl Work {
    fn new(version: ProtocolVersion, topic: String, qos: QoS) -> Self {
        Self {
            version,
            topic,
            publishes: Publishes::ToOneTopic,
            qos,
            open_max: OPEN_MAX.into(),
            last_identifier: FIRST_IDENTIFIER,
            next_at: now(),
            open: BTreeMap::new(),
            acknowledged: Vec::new(),
            refused: 0,
            delivered: Vec::new(),
            disconnect_received: false,
            after_disconnect: BTreeSet::new(),
            method_in_connack: None,
            auths: Vec::new(),
            until: Rc::default(),
        }
    }
}

/// Why the broker refused the client, with a hint for an unknown method.
fn refusal(error: &NotConnected) -> String {
    match error {
        NotConnected::Refused { code, .. } if *code == ReasonCode::BAD_AUTHENTICATION_METHOD.0 => {
            format!("{error}: the broker does not support the method of --auth-method")
        }
        other => other.to_string(),
    }
}

/// The Authentication Method in a CONNACK of MQTT 5.0; absent in one of MQTT 3.1.1.
fn method_in(connack: &ReceivedPacket) -> Option<String> {
    match connack.frame().decode(ProtocolVersion::V5).packet {
        Packet::ConnAck(connack) => connack.properties.authentication_method().map(ToOwned::to_owned),
        _ => None,
    }
}

/// The topic that the client subscribes to, and the topic that it publishes to.
pub(super) fn topics(stage: &Stage, name: &str) -> (String, String) {
    let of_client = format!("{}/work/{name}", stage.topic_root);
    (format!("{of_client}/to"), format!("{of_client}/from"))
}

/// Waits for the first message: without it, later silence would prove nothing.
pub(super) async fn await_first(peer: &mut Peer, within: Duration) -> Result<(), String> {
    let deadline = now() + within;
    if !peer.take_set_aside().is_empty() {
        return Ok(());
    }
    loop {
        match peer.next_before(deadline).await {
            Some(Event::Delivered(_)) => return Ok(()),
            Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                return Err("the broker ended the client's connection before the fault began".to_owned());
            }
            Some(_) => {}
            None => return Err(format!("the client received no message within {}", span(within))),
        }
    }
}

impl CompanionClient {
    /// Publishes to the client; never returns.
    pub(super) async fn publish(&mut self) -> std::convert::Infallible {
        let mut due = now();
        loop {
            match self.publisher.next_before(due).await {
                Some(Event::Ended { .. } | Event::Disconnect(_)) => break,
                Some(_) => continue,
                None => {}
            }
            let number = self.sent.len() as u64;
            let sent = now();
            if self.publisher.send_publish(&self.topic, QoS::AtMostOnce, number, None).await.is_err() {
                break;
            }
            self.sent.push(sent);
            due = (due + EVERY).max(sent);
        }
        self.is_cut = true;
        std::future::pending().await
    }

    /// Publishes one more message, to a client that returned.
    pub(super) async fn publish_once(&mut self) -> Result<(), String> {
        let number = self.sent.len() as u64;
        self.sent.push(now());
        self.publisher.send_publish(&self.topic, QoS::AtMostOnce, number, None).await.map(|_| ())
    }

    /// Whether the broker still answers it.
    pub(super) async fn is_served(&mut self, within: Duration) -> bool {
        !self.is_cut && self.publisher.is_served(within).await
    }

    /// Disconnects.
    pub(super) async fn leave(self) {
        self.publisher.client.leave().await;
    }
}

impl Occupation for Work {
    fn takes(&mut self, packet: &Packet<'_>, at: Instant) -> bool {
        if self.disconnect_received {
            let name = packet.packet_type().map_or("a packet of a reserved type", PacketType::name);
            self.after_disconnect.insert(name);
        }
        match packet {
            Packet::Disconnect(_) => {
                self.disconnect_received = true;
                false
            }
            Packet::Publish(publish) => {
                if let Some(number) = read_payload(publish.payload) {
                    if self.delivered.len() == DELIVERED_MAX {
                        // Only the latest deliveries can be later than a removal.
                        self.delivered.drain(..DELIVERED_MAX / 2);
                        discarded::count_messages(DELIVERED_MAX as u64 / 2);
                    }
                    self.delivered.push((number, at));
                }
                true
            }
            Packet::Auth(auth) if self.auths.len() < AUTHS_MAX => {
                self.auths.push(AuthSeen {
                    code: auth.reason_code.0,
                    method: auth.properties.authentication_method().map(ToOwned::to_owned),
                    has_properties: !auth.properties.is_empty(),
                    at,
                });
                true
            }
            Packet::PubAck(ack) => match self.open.remove(&ack.packet_identifier) {
                Some(_) if ack.reason_code.is_error() => {
                    self.refused += 1;
                    true
                }
                Some(sent) => {
                    self.acknowledged.push(sent);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn next_at(&self) -> Option<Instant> {
        (!self.disconnect_received && self.open.len() < self.open_max).then_some(self.next_at)
    }

    fn send(&mut self, bytes: &mut Vec<u8>) {
        let sent = now();
        self.next_at = sent + EVERY;
        self.last_identifier = self.last_identifier.checked_add(1).unwrap_or(FIRST_IDENTIFIER);
        let payload = payload(u64::from(self.last_identifier));
        let new_topic = format!("{}/{}", self.topic, self.last_identifier);
        let topic = match self.publishes {
            Publishes::ToOneTopic => &self.topic,
            Publishes::ToNewTopics => &new_topic,
        };
        let publish = Publish::new(topic, &payload);
        let identifier = PacketIdentifier::new(self.last_identifier).filter(|_| self.qos != QoS::AtMostOnce);
        let publish = match identifier {
            Some(identifier) => publish.at_least_once(identifier),
            None => publish,
        };
        publish.encode(self.version, bytes).expect("a PUBLISH to the run's own topic is valid");
        if identifier.is_some() {
            self.open.insert(self.last_identifier, sent);
        }
    }

    fn until(&self) -> Option<Instant> {
        self.until.get()
    }
}

/// What the broker still served after an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// Delivered messages that were sent to the client after it.
    pub(super) delivered: u64,
    /// Accepted messages that the client published after it.
    pub(super) published: u64,
    /// From the instant to the last such delivery.
    pub(super) last_after: Duration,
}

impl Served {
    /// What the broker served of the messages sent after `since`.
    pub(super) fn after(since: Instant, pair: &WorkingPair) -> Self {
        let (work, companion) = (&pair.work, &pair.companion);
        let sent_after = |number: u64| {
            let number = usize::try_from(number).ok();
            number.and_then(|number| companion.sent.get(number)).is_some_and(|sent| *sent > since)
        };
        let delivered = work.delivered.iter().filter(|(number, _)| sent_after(*number));
        let last = delivered.clone().map(|(_, at)| *at).max();
        Self {
            delivered: delivered.count() as u64,
            published: work.acknowledged.iter().filter(|sent| **sent > since).count() as u64,
            last_after: last.map_or(Duration::ZERO, |at| at.saturating_duration_since(since)),
        }
    }

    /// Records it in the attempt.
    pub(super) fn report(self, log: &mut AttemptLog<'_>) {
        let served = match (self.delivered > 0, self.published > 0) {
            (false, false) => StillServed::Nothing,
            (true, false) => StillServed::Deliveries,
            (false, true) => StillServed::Publishing,
            (true, true) => StillServed::BothWays,
        };
        log.fact(SERVED, served);
        log.measure(DELIVERED, self.delivered);
        log.measure(PUBLISHED, self.published);
        if self.delivered > 0 {
            log.measure(LAST_SERVED, micros(self.last_after));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ungraceful_mqtt::{
        Ack, Disconnect, Framed, Packet, PacketIdentifier, Properties, ProtocolVersion, Publish, QoS,
        ReasonCode, frame,
    };
    use ungraceful_rig::attempts::observe::Occupation;
    use ungraceful_wire::clock::now;

    use super::{Publishes, Work, payload};

    fn work(publishes: Publishes, open_max: usize) -> Work {
        Work { publishes, open_max, ..Work::new(ProtocolVersion::V5, "t".to_owned(), QoS::AtLeastOnce) }
    }

    /// Topic and Packet Identifier of the next message.
    fn sent(work: &mut Work) -> (String, u16) {
        let mut bytes = Vec::new();
        work.send(&mut bytes);
        let Framed::Complete(found) = frame(&bytes) else { panic!("no whole packet: {bytes:02X?}") };
        let Packet::Publish(publish) = found.decode(ProtocolVersion::V5).packet else {
            panic!("no PUBLISH: {bytes:02X?}")
        };
        (publish.topic.to_owned(), publish.packet_identifier.unwrap())
    }

    fn puback(identifier: u16) -> Ack<'static> {
        Ack::new(PacketIdentifier::new(identifier).unwrap())
    }

    #[test]
    fn a_client_waits_for_acknowledgements() {
        let mut work = work(Publishes::ToOneTopic, 2);
        assert!(work.next_at().is_some());
        let (first, second) = (sent(&mut work), sent(&mut work));
        assert_eq!((first.0.as_str(), second.0.as_str()), ("t", "t"));
        assert_eq!(work.next_at(), None, "two are open");
        assert!(work.takes(&Packet::PubAck(puback(first.1)), now()));
        assert!(work.next_at().is_some());
        let refused = puback(second.1).with_reason_code(ReasonCode::NOT_AUTHORIZED);
        assert!(work.takes(&Packet::PubAck(refused), now()));
        assert_eq!((work.acknowledged.len(), work.refused), (1, 1), "what is refused is not taken");
        assert!(!work.takes(&Packet::PubAck(puback(7)), now()), "this answers nothing");
    }

    #[test]
    fn each_new_topic_is_new() {
        let mut work = work(Publishes::ToNewTopics, 9);
        let topics: BTreeSet<String> = (0..5).map(|_| sent(&mut work).0).collect();
        assert!(topics.len() == 5 && topics.iter().all(|topic| topic.starts_with("t/")), "{topics:?}");
    }

    #[test]
    fn after_disconnect_the_client_is_silent_and_records_packets() {
        let mut work = work(Publishes::ToOneTopic, 9);
        let payload = payload(3);
        let delivery = Packet::Publish(Publish::new("t", &payload));
        assert!(work.takes(&delivery, now()));
        assert!(work.after_disconnect.is_empty());
        let goodbye = Disconnect { reason_code: ReasonCode(0x98), properties: Properties::NONE };
        assert!(!work.takes(&Packet::Disconnect(goodbye), now()), "that is a reaction");
        assert_eq!(work.next_at(), None);
        assert!(work.takes(&delivery, now()));
        assert!(!work.takes(&Packet::PingResp, now()));
        assert_eq!(work.after_disconnect, BTreeSet::from(["PINGRESP", "PUBLISH"]));
        let numbers: Vec<u64> = work.delivered.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 3]);
    }
}
