//! A client that works while its right to do so ends: it takes what a publisher beside it sends, and publishes itself.
//! Which of these messages come to their end afterwards tells whether the broker still serves it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ungraceful_mqtt::{
    Connect, Packet, PacketIdentifier, PacketType, ProtocolVersion, Publish, QoS, ReasonCode,
};
use ungraceful_record::scale::micros;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::{Client, NotConnected};
use ungraceful_rig::attempts::discarded;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::Occupation;
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::ReceivedPacket;
use ungraceful_wire::clock::now;

use super::shown::Shown;
use super::{DELIVERED, LAST_SERVED, PUBLISHED, SERVED, StillServed};
use crate::numbered::{payload, read_payload};
use crate::peer::{Event, Peer};

/// From one message to the next, in each direction.
const EVERY: Duration = Duration::from_millis(50);
/// PUBLISH packets that the client leaves unacknowledged at the most; a broker may ask for fewer.
const OPEN_MAX: u16 = 8;
/// Packet Identifiers of the work begin here, above those of its preparation.
const FIRST_IDENTIFIER: u16 = 1_000;
/// The Application Message of the Will.
pub(super) const WILL: &[u8] = b"will of a client at work";

/// A client at work, and who publishes to it.
#[derive(Debug)]
pub(super) struct Workplace {
    /// The client's connection.
    pub(super) client: Client,
    /// What the client does.
    pub(super) work: Work,
    /// Who publishes to it.
    pub(super) beside: Beside,
}

/// The publisher beside the client: another client, with the run's own credentials, to which nothing is done.
#[derive(Debug)]
pub(super) struct Beside {
    publisher: Peer,
    topic: String,
    /// When each message was sent, by its number.
    sent: Vec<Instant>,
    /// Whether its own connection has ended.
    pub(super) is_cut: bool,
}

/// What the client publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publishes {
    /// Always the same topic.
    ToOneTopic,
    /// Another topic each time, below the first.
    ToNewTopics,
}

/// What the client does, and what came of it.
#[derive(Debug)]
pub(super) struct Work {
    version: ProtocolVersion,
    topic: String,
    /// What it publishes to.
    pub(super) publishes: Publishes,
    qos: QoS,
    open_max: usize,
    last_identifier: u16,
    next_at: Instant,
    /// Published and not acknowledged yet, with the time of sending.
    open: BTreeMap<u16, Instant>,
    /// When those were sent that were acknowledged.
    acknowledged: Vec<Instant>,
    /// Messages that were refused.
    refused: u64,
    /// Numbers of the messages that came, with the time.
    delivered: Vec<(u64, Instant)>,
    /// The broker has sent DISCONNECT.
    told_to_go: bool,
    /// The types of the packets that came after it.
    pub(super) after_disconnect: BTreeSet<&'static str>,
    /// The Authentication Method in the CONNACK.
    pub(super) method_in_connack: Option<String>,
    /// The AUTH packets that came, as many as are kept.
    pub(super) auths: Vec<AuthSeen>,
    /// When watching ends, once that is known.
    pub(super) until: Rc<Cell<Option<Instant>>>,
}

/// An AUTH that the broker sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthSeen {
    /// Its Reason Code.
    pub(super) code: u8,
    /// Its Authentication Method.
    pub(super) method: Option<String>,
    /// Whether it has any property.
    pub(super) has_properties: bool,
    /// When it came.
    pub(super) at: Instant,
}

/// AUTH packets that are kept of one client.
const AUTHS_MAX: usize = 4;
/// Deliveries that are kept of one client, each of 24 bytes: those of an hour and more.
const DELIVERED_MAX: usize = 65_536;

impl Workplace {
    /// Connects the client with these credentials and has it work, which is proved once in both directions.
    ///
    /// # Errors
    /// In words, when the broker does not let it.
    pub(super) async fn open(
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
        shown: &Shown,
        will: Option<&WitnessWatch>,
    ) -> Result<Self, String> {
        let client_id = log.client_id().to_owned();
        let within = stage.options.connect_timeout;
        let mut worker = Peer::open(stage, log, version).await?;
        let properties = shown.properties();
        let connect = Connect {
            will: will.map(|watch| stage.will(watch, WILL)),
            ..shown.connect(&client_id, &properties)
        };
        let let_in = worker.client.connect_with_packet(&connect, within).await;
        let (accepted, connack) = let_in.map_err(|error| not_let_in(&error))?;
        log.accepted(accepted.connack_at);
        let (to, from) = topics(stage, &client_id);
        worker.subscribe(&to, QoS::AtMostOnce, within).await?;
        let publisher_id = format!("{client_id}p");
        let honest = Client::honest_connect(&publisher_id, &stage.credentials);
        let (mut publisher, _) = Peer::connect(stage, version, &honest)
            .await
            .map_err(|error| format!("the publisher beside the client: {error}"))?;
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        let first_sent = now();
        publisher.send_publish(&to, QoS::AtMostOnce, 0, None).await?;
        await_first(&mut worker, within).await?;
        let code = worker.publish(&from, qos, 0, within).await?;
        if code >= 0x80 {
            return Err(format!("the broker refuses what the client publishes (0x{code:02X})"));
        }
        let work = Work {
            version,
            topic: from,
            publishes: Publishes::ToOneTopic,
            qos,
            open_max: usize::from(accepted.receive_maximum.map_or(OPEN_MAX, |most| most.min(OPEN_MAX))),
            last_identifier: FIRST_IDENTIFIER,
            next_at: now(),
            open: BTreeMap::new(),
            acknowledged: Vec::new(),
            refused: 0,
            delivered: Vec::new(),
            told_to_go: false,
            after_disconnect: BTreeSet::new(),
            method_in_connack: method_in(&connack),
            auths: Vec::new(),
            until: Rc::default(),
        };
        let beside = Beside { publisher, topic: to, sent: vec![first_sent], is_cut: false };
        Ok(Self { client: worker.client, work, beside })
    }
}

/// Why the client was not let in. That a broker knows no such method has a cure of its own.
fn not_let_in(error: &NotConnected) -> String {
    match error {
        NotConnected::Refused { code, .. } if *code == ReasonCode::BAD_AUTHENTICATION_METHOD.0 => {
            format!("{error}: it does not offer the method that --auth-method names")
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

/// The topic on which the client is published to, and the one on which it publishes.
pub(super) fn topics(stage: &Stage, client_id: &str) -> (String, String) {
    let of_client = format!("{}/work/{client_id}", stage.topic_root);
    (format!("{of_client}/to"), format!("{of_client}/from"))
}

/// Waits for the first message: without it, silence afterwards would say nothing.
pub(super) async fn await_first(peer: &mut Peer, within: Duration) -> Result<(), String> {
    let deadline = now() + within;
    if !peer.take_set_aside().is_empty() {
        return Ok(());
    }
    loop {
        match peer.next_before(deadline).await {
            Some(Event::Delivered(_)) => return Ok(()),
            Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                return Err(
                    "the broker ended the client's connection before anything was done to it".to_owned()
                );
            }
            Some(_) => {}
            None => return Err(format!("nothing was delivered to the client within {}", span(within))),
        }
    }
}

impl Beside {
    /// Publishes to the client, on and on; never returns.
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

    /// Publishes one more message, to somebody who came back.
    pub(super) async fn publish_once(&mut self) -> Result<(), String> {
        let number = self.sent.len() as u64;
        self.sent.push(now());
        self.publisher.send_publish(&self.topic, QoS::AtMostOnce, number, None).await.map(|_| ())
    }

    /// Whether the broker still answers it.
    pub(super) async fn is_served(&mut self, within: Duration) -> bool {
        !self.is_cut && self.publisher.is_served(within).await
    }

    /// Leaves.
    pub(super) async fn leave(self) {
        self.publisher.client.leave().await;
    }
}

impl Occupation for Work {
    fn takes(&mut self, packet: &Packet<'_>, at: Instant) -> bool {
        if self.told_to_go {
            let name = packet.packet_type().map_or("a packet of a reserved type", PacketType::name);
            self.after_disconnect.insert(name);
        }
        match packet {
            Packet::Disconnect(_) => {
                self.told_to_go = true;
                false
            }
            Packet::Publish(publish) => {
                if let Some(number) = read_payload(publish.payload) {
                    if self.delivered.len() == DELIVERED_MAX {
                        // What is served after a removal is of the last ones.
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
        (!self.told_to_go && self.open.len() < self.open_max).then_some(self.next_at)
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
        publish.encode(self.version, bytes).expect("a PUBLISH on a topic of ours is legal");
        if identifier.is_some() {
            self.open.insert(self.last_identifier, sent);
        }
    }

    fn until(&self) -> Option<Instant> {
        self.until.get()
    }
}

/// What was still served after an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// Messages that were sent to the client after it, and delivered.
    pub(super) delivered: u64,
    /// Messages that the client published after it, and that were taken.
    pub(super) published: u64,
    /// From the instant to the last such delivery.
    pub(super) last_after: Duration,
}

impl Served {
    /// Of the messages that were sent after `since`.
    pub(super) fn after(since: Instant, work: &Work, beside: &Beside) -> Self {
        let sent_after = |number: u64| {
            let number = usize::try_from(number).ok();
            number.and_then(|number| beside.sent.get(number)).is_some_and(|sent| *sent > since)
        };
        let delivered = work.delivered.iter().filter(|(number, _)| sent_after(*number));
        let last = delivered.clone().map(|(_, at)| *at).max();
        Self {
            delivered: delivered.count() as u64,
            published: work.acknowledged.iter().filter(|sent| **sent > since).count() as u64,
            last_after: last.map_or(Duration::ZERO, |at| at.saturating_duration_since(since)),
        }
    }

    /// Puts it into the attempt.
    pub(super) fn tell(self, log: &mut AttemptLog<'_>) {
        let still = match (self.delivered > 0, self.published > 0) {
            (false, false) => StillServed::Nothing,
            (true, false) => StillServed::Deliveries,
            (false, true) => StillServed::Publishing,
            (true, true) => StillServed::BothWays,
        };
        log.fact(SERVED, still);
        log.measure(DELIVERED, self.delivered);
        log.measure(PUBLISHED, self.published);
        if self.delivered > 0 {
            log.measure(LAST_SERVED, micros(self.last_after));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::rc::Rc;

    use ungraceful_mqtt::{
        Ack, Disconnect, Framed, Packet, PacketIdentifier, Properties, ProtocolVersion, Publish, QoS,
        ReasonCode, frame,
    };
    use ungraceful_rig::attempts::observe::Occupation;
    use ungraceful_wire::clock::now;

    use super::{FIRST_IDENTIFIER, Publishes, Work, payload};

    fn work(publishes: Publishes, open_max: usize) -> Work {
        Work {
            version: ProtocolVersion::V5,
            topic: "t".to_owned(),
            publishes,
            qos: QoS::AtLeastOnce,
            open_max,
            last_identifier: FIRST_IDENTIFIER,
            next_at: now(),
            open: BTreeMap::new(),
            acknowledged: Vec::new(),
            refused: 0,
            delivered: Vec::new(),
            told_to_go: false,
            after_disconnect: BTreeSet::new(),
            method_in_connack: None,
            auths: Vec::new(),
            until: Rc::default(),
        }
    }

    /// Topic and Packet Identifier of what is sent next.
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
    fn a_client_that_is_not_answered_sends_no_more_until_it_is() {
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
    fn new_topics_are_new_each_time() {
        let mut work = work(Publishes::ToNewTopics, 9);
        let topics: BTreeSet<String> = (0..5).map(|_| sent(&mut work).0).collect();
        assert!(topics.len() == 5 && topics.iter().all(|topic| topic.starts_with("t/")), "{topics:?}");
    }

    #[test]
    fn after_disconnect_the_client_is_silent_and_notes_what_comes() {
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
