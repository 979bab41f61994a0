//! The honest clients: rumqttc behind one small interface, used in this file alone. Bystanders and the witness need
//! no exact bytes. They use another implementation of the standard, so that a broker that serves them does not merely
//! agree with ours.
//!
//! What this file compensates for in rumqttc (0.25):
//!
//! - it allocates for 65,535 messages in flight by default (14 MB a client);
//! - it leaves Nagle's algorithm on;
//! - it keeps the unacknowledged messages of a lost connection, so here a lost connection ends the client, and its
//!   owner makes a new one;
//! - when a connection ends, it withholds what it had already read, so that is returned here first;
//! - on MQTT 3.1.1 it drops a connection whose peer does not read for the connect timeout;
//! - it drops a broker that leaves one PINGREQ unanswered until the next is due: a second, with a Server Keep Alive
//!   of one;
//! - on MQTT 5.0 it sends PINGREQ without end on a Server Keep Alive of 0, which turns the Keep Alive off;
//! - on MQTT 5.0 it counts a refused QoS 2 message as in flight forever, and stops after twenty of them.
//!
//! The ledger relies on this: it neither drops nor reorders an incoming PUBLISH, and returns every copy; it repeats
//! no PUBLISH on the same connection, and sends in the order of [`HonestSender::try_publish`].
//!
//! Not compensated: it sends PINGREQ only when the Server Keep Alive is over, which leaves half of it until a broker
//! may cut; and it can't read a DISCONNECT without a property length, so the reason in it is lost.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::v5;

use ungraceful_mqtt::{ProtocolVersion, QoS};

use crate::broker::target::Credentials;

/// Messages that an honest client may have in flight.
const IN_FLIGHT: u16 = 20;
/// Requests queued between its owner and its connection; with its owner's own queue, the bound of memory.
const REQUESTS: usize = 64;
/// The largest packet that it accepts, its Maximum Packet Size on MQTT 5.0: far above a bystander's message.
const PACKET_BYTES_MAX: u32 = 10 * 1_024;
/// Keep Alive of the CONNECT, unless the broker sets another (MQTT 5.0 [MQTT-3.2.2-21]).
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a broker may not read before rumqttc drops the connection: longer than any run. A slow broker is not
/// gone; TCP and the Keep Alive decide that.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// "No matching subscribers" in PUBACK and PUBREC.
const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;

/// What happened on an honest client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HonestEvent {
    /// The broker accepted the client.
    Connected,
    /// The broker answered SUBSCRIBE with this QoS; absent when it refused.
    Subscribed(Option<QoS>),
    /// The next message given to [`HonestSender::try_publish`], in order, was written. Packet Identifier 0 stands for
    /// QoS 0.
    Sent(u16),
    /// The broker completed a message (PUBACK, PUBCOMP, or an error in PUBREC).
    Acknowledged {
        packet_identifier: u16,
        /// Reason Code of the PUBACK or PUBREC; 0 on MQTT 3.1.1.
        code: u8,
    },
    /// A PUBLISH came.
    Delivered {
        topic: String,
        payload: Vec<u8>,
        qos: QoS,
        dup: bool,
        /// Whether it repeats a QoS 2 PUBLISH with the same Packet Identifier before its PUBREL: by the standard the
        /// same delivery (MQTT 5.0 `[MQTT-4.3.3-10]`, MQTT 3.1.1 `[MQTT-4.3.3-2]`).
        is_repeated: bool,
    },
    /// Any other packet came: the broker is alive.
    Alive,
}

/// Sends requests to an honest client. Never waits.
#[derive(Clone, Debug)]
pub(crate) enum HonestSender {
    /// Speaks MQTT 3.1.1.
    V3(rumqttc::AsyncClient),
    /// Speaks MQTT 5.0.
    V5(v5::AsyncClient),
}

/// The queue to the connection is full: try again after something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl HonestSender {
    /// Sends one message, unless the connection does not keep up.
    pub(crate) fn try_publish(&self, topic: &str, qos: QoS, payload: Vec<u8>) -> Result<(), Full> {
        match self {
            Self::V3(client) => client.try_publish(topic, v3_qos(qos), false, payload).map_err(|_| Full),
            Self::V5(client) => client.try_publish(topic, v5_qos(qos), false, payload).map_err(|_| Full),
        }
    }

    /// Subscribes to Topic Filters in one packet, unless the connection does not keep up.
    pub(crate) fn try_subscribe(&self, filters: &[impl AsRef<str>], qos: QoS) -> Result<(), Full> {
        let filters = filters.iter().map(|filter| filter.as_ref().to_owned());
        match self {
            Self::V3(client) => {
                let filters = filters.map(|filter| rumqttc::SubscribeFilter::new(filter, v3_qos(qos)));
                client.try_subscribe_many(filters).map_err(|_| Full)
            }
            Self::V5(client) => {
                let filters = filters.map(|filter| v5::mqttbytes::v5::Filter::new(filter, v5_qos(qos)));
                client.try_subscribe_many(filters).map_err(|_| Full)
            }
        }
    }

    /// Leaves with DISCONNECT, unless the connection does not keep up.
    pub(crate) fn try_disconnect(&self) -> Result<(), Full> {
        match self {
            Self::V3(client) => client.try_disconnect().map_err(|_| Full),
            Self::V5(client) => client.try_disconnect().map_err(|_| Full),
        }
    }
}

/// An honest client's connection; to be polled by one task only.
#[derive(Debug)]
pub(crate) struct HonestConnection {
    events: EventLoop,
    exchanges: Exchanges,
    /// Why the connection was lost, if it was.
    lost: Option<String>,
}

/// State between the packets of a handshake.
#[derive(Debug, Default)]
struct Exchanges {
    /// Whether a CONNACK has come.
    is_accepted: bool,
    /// QoS 2 messages from the broker between PUBLISH and PUBREL, by Packet Identifier.
    incoming: HashSet<u16>,
    /// QoS 2 messages to the broker without a matching subscriber, between PUBREC and PUBCOMP.
    without_subscribers: HashSet<u16>,
    /// Messages that rumqttc counts as in flight forever.
    stuck: u16,
    unanswered_pings: u32,
}

impl Exchanges {
    /// Notes a PINGREQ, one each `keep_alive`; returns whether the broker may just be slow. A shorter Keep Alive set
    /// by the broker does not make it gone any sooner.
    fn pinged(&mut self, keep_alive: Duration) -> bool {
        self.unanswered_pings += 1;
        keep_alive * self.unanswered_pings < KEEP_ALIVE
    }

    /// Notes a CONNACK; repeated ones connect no client again.
    fn accepted(&mut self) -> HonestEvent {
        match std::mem::replace(&mut self.is_accepted, true) {
            false => HonestEvent::Connected,
            true => HonestEvent::Alive,
        }
    }

    /// Notes a PUBLISH from the broker; returns whether it repeats one before its PUBREL.
    fn published(&mut self, qos: QoS, packet_identifier: u16) -> bool {
        qos == QoS::ExactlyOnce && !self.incoming.insert(packet_identifier)
    }

    /// Notes a PUBREL from the broker.
    fn released(&mut self, packet_identifier: u16) -> HonestEvent {
        self.incoming.remove(&packet_identifier);
        HonestEvent::Alive
    }

    /// Notes a PUBREC from the broker. Its Reason Code is the message's; that of PUBCOMP is not.
    fn received(&mut self, packet_identifier: u16, code: u8) -> HonestEvent {
        if code >= 0x80 {
            self.stuck += 1;
            return HonestEvent::Acknowledged { packet_identifier, code };
        }
        if code == NO_MATCHING_SUBSCRIBERS {
            self.without_subscribers.insert(packet_identifier);
        }
        HonestEvent::Alive
    }

    /// Notes a PUBCOMP from the broker: the end of the handshake.
    fn completed(&mut self, packet_identifier: u16) -> HonestEvent {
        let had_none = self.without_subscribers.remove(&packet_identifier);
        let code = if had_none { NO_MATCHING_SUBSCRIBERS } else { 0 };
        HonestEvent::Acknowledged { packet_identifier, code }
    }
}

enum EventLoop {
    V3(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V3(_) => "V3",
            Self::V5(_) => "V5",
        })
    }
}

/// Creates an honest client with a clean session; it connects when it is first polled.
#[must_use]
pub(crate) fn honest_client(
    address: SocketAddr,
    version: ProtocolVersion,
    client_id: &str,
    credentials: &Credentials,
    connect_timeout: Duration,
) -> (HonestSender, HonestConnection) {
    let host = match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    };
    let user_name = credentials.user_name.clone().unwrap_or_default();
    let password =
        credentials.password.as_ref().map(|secret| String::from_utf8_lossy(secret.reveal()).into_owned());
    let has_credentials = credentials.user_name.is_some() || password.is_some();
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(connect_timeout.as_secs().max(1));
    match version {
        ProtocolVersion::V3_1_1 => {
            let mut options = rumqttc::MqttOptions::new(client_id, host, address.port());
            options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_inflight(IN_FLIGHT);
            if has_credentials {
                options.set_credentials(user_name, password.unwrap_or_default());
            }
            let (client, mut events) = rumqttc::AsyncClient::new(options, REQUESTS);
            events.set_network_options(network);
            (HonestSender::V3(client), HonestConnection::new(EventLoop::V3(Box::new(events))))
        }
        ProtocolVersion::V5 => {
            let mut options = v5::MqttOptions::new(client_id, host, address.port());
            options
                .set_keep_alive(KEEP_ALIVE)
                .set_clean_start(true)
                .set_outgoing_inflight_upper_limit(IN_FLIGHT)
                // rumqttc keeps to 10 KiB in both versions, but announces it only when set.
                .set_max_packet_size(Some(PACKET_BYTES_MAX));
            options.set_connection_timeout(connect_timeout.as_secs().max(1));
            options.set_network_options(network);
            if has_credentials {
                options.set_credentials(user_name, password.unwrap_or_default());
            }
            let (client, events) = v5::AsyncClient::new(options, REQUESTS);
            (HonestSender::V5(client), HonestConnection::new(EventLoop::V5(Box::new(events))))
        }
    }
}

/// The lowest QoS that was granted; absent when one filter was refused.
fn lowest(granted: impl Iterator<Item = Option<QoS>>) -> Option<QoS> {
    // `None` is less than any QoS.
    granted.min().flatten()
}

impl HonestConnection {
    fn new(events: EventLoop) -> Self {
        Self { events, exchanges: Exchanges::default(), lost: None }
    }

    /// The next event. Don't drop the future early: rumqttc may have written without reporting it yet.
    ///
    /// # Errors
    /// Why the connection was lost, after everything that came before. The client is of no use afterwards.
    pub(crate) async fn next(&mut self) -> Result<HonestEvent, String> {
        loop {
            let event = match &self.lost {
                Some(why) => self.events.left_over(&mut self.exchanges).ok_or_else(|| why.clone()).map(Some),
                None => self.events.poll(&mut self.exchanges).await,
            };
            match event {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(why) if self.lost.is_some() => return Err(why),
                Err(why) => self.lost = Some(why),
            }
        }
    }
}

impl EventLoop {
    async fn poll(&mut self, exchanges: &mut Exchanges) -> Result<Option<HonestEvent>, String> {
        match self {
            Self::V3(events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                let event = from_v3(event, exchanges);
                if event == Some(HonestEvent::Connected) {
                    let mut network = events.network_options();
                    network.set_connection_timeout(PATIENCE.as_secs());
                    events.set_network_options(network);
                }
                Ok(event)
            }
            Self::V5(events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                if event == v5::Event::Outgoing(rumqttc::Outgoing::PingReq) {
                    tolerate_slow_answers(events, exchanges);
                }
                let event = from_v5(event, exchanges);
                if event == Some(HonestEvent::Connected) && events.options.keep_alive().is_zero() {
                    events.options.set_keep_alive(KEEP_ALIVE);
                }
                // Nothing else is in flight, so only the count is lost.
                if exchanges.stuck > 0 && events.state.inflight() == exchanges.stuck {
                    events.state.clean();
                    exchanges.stuck = 0;
                }
                Ok(event)
            }
        }
    }

    /// The next packet that was read before the connection was lost.
    fn left_over(&mut self, exchanges: &mut Exchanges) -> Option<HonestEvent> {
        // What was to be written may not have been written: it is no event.
        match self {
            Self::V3(events) => std::iter::from_fn(|| events.state.events.pop_front())
                .filter(|event| matches!(event, rumqttc::Event::Incoming(_)))
                .find_map(|event| from_v3(event, exchanges)),
            Self::V5(events) => std::iter::from_fn(|| events.state.events.pop_front())
                .filter(|event| matches!(event, v5::Event::Incoming(_)))
                .find_map(|event| from_v5(event, exchanges)),
        }
    }
}

/// Lets rumqttc send its next PINGREQ although this one may be unanswered by then.
fn tolerate_slow_answers(events: &mut v5::EventLoop, exchanges: &mut Exchanges) {
    use v5::mqttbytes::v5::{Packet, PingResp};
    if exchanges.pinged(events.options.keep_alive()) {
        // Only one effect of the fake answer stays: rumqttc awaits none any more.
        let _never_fails = events.state.handle_incoming_packet(Packet::PingResp(PingResp));
        events.state.events.pop_back();
    }
}

fn from_v3(event: rumqttc::Event, exchanges: &mut Exchanges) -> Option<HonestEvent> {
    use rumqttc::{Event, Outgoing, Packet, SubscribeReasonCode};
    Some(match event {
        Event::Incoming(Packet::ConnAck(_)) => exchanges.accepted(),
        Event::Incoming(Packet::SubAck(ack)) => {
            HonestEvent::Subscribed(lowest(ack.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(qos) => QoS::try_from(*qos as u8).ok(),
                SubscribeReasonCode::Failure => None,
            })))
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            HonestEvent::Acknowledged { packet_identifier: ack.pkid, code: 0 }
        }
        Event::Incoming(Packet::PubComp(ack)) => exchanges.completed(ack.pkid),
        Event::Incoming(Packet::PubRel(release)) => exchanges.released(release.pkid),
        Event::Incoming(Packet::Publish(publish)) => {
            let qos = QoS::try_from(publish.qos as u8).expect("rumqttc has the same three");
            HonestEvent::Delivered {
                topic: publish.topic,
                payload: publish.payload.to_vec(),
                qos,
                dup: publish.dup,
                is_repeated: exchanges.published(qos, publish.pkid),
            }
        }
        Event::Incoming(_) => HonestEvent::Alive,
        Event::Outgoing(Outgoing::Publish(packet_identifier)) => HonestEvent::Sent(packet_identifier),
        Event::Outgoing(_) => return None,
    })
}

/// The number of a Reason Code of a PUBACK or a PUBREC: rumqttc has an enum for each.
macro_rules! code_of {
    ($reason:expr, $Reason:ident) => {
        match $reason {
            $Reason::Success => 0x00,
            $Reason::NoMatchingSubscribers => 0x10,
            $Reason::UnspecifiedError => 0x80,
            $Reason::ImplementationSpecificError => 0x83,
            $Reason::NotAuthorized => 0x87,
            $Reason::TopicNameInvalid => 0x90,
            $Reason::PacketIdentifierInUse => 0x91,
            $Reason::QuotaExceeded => 0x97,
            $Reason::PayloadFormatInvalid => 0x99,
        }
    };
}

fn from_v5(event: v5::Event, exchanges: &mut Exchanges) -> Option<HonestEvent> {
    use rumqttc::Outgoing;
    use v5::mqttbytes::v5::{Packet, PubAckReason, PubCompReason, PubRecReason, SubscribeReasonCode};
    Some(match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => exchanges.accepted(),
        v5::Event::Incoming(Packet::SubAck(ack)) => {
            HonestEvent::Subscribed(lowest(ack.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(qos) => QoS::try_from(*qos as u8).ok(),
                _ => None,
            })))
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => HonestEvent::Acknowledged {
            packet_identifier: ack.pkid,
            code: code_of!(ack.reason, PubAckReason),
        },
        v5::Event::Incoming(Packet::PubRec(ack)) => {
            exchanges.received(ack.pkid, code_of!(ack.reason, PubRecReason))
        }
        v5::Event::Incoming(Packet::PubComp(ack)) => {
            exchanges.stuck += u16::from(ack.reason != PubCompReason::Success);
            exchanges.completed(ack.pkid)
        }
        v5::Event::Incoming(Packet::PubRel(release)) => exchanges.released(release.pkid),
        v5::Event::Incoming(Packet::Publish(publish)) => {
            let qos = QoS::try_from(publish.qos as u8).expect("rumqttc has the same three");
            HonestEvent::Delivered {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
                qos,
                dup: publish.dup,
                is_repeated: exchanges.published(qos, publish.pkid),
            }
        }
        v5::Event::Incoming(Packet::PingResp(_)) => {
            exchanges.unanswered_pings = 0;
            HonestEvent::Alive
        }
        v5::Event::Incoming(_) => HonestEvent::Alive,
        v5::Event::Outgoing(Outgoing::Publish(packet_identifier)) => HonestEvent::Sent(packet_identifier),
        v5::Event::Outgoing(_) => return None,
    })
}

fn v3_qos(qos: QoS) -> rumqttc::QoS {
    rumqttc::qos(qos.level()).expect("rumqttc has the same three")
}

fn v5_qos(qos: QoS) -> v5::mqttbytes::QoS {
    v5::mqttbytes::qos(qos.level()).expect("rumqttc has the same three")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use ungraceful_mqtt::{ProtocolVersion, QoS};

    use super::{Exchanges, HonestConnection, HonestEvent, HonestSender, honest_client};
    use crate::broker::target::Credentials;

    /// The shortest that rumqttc accepts.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn a_qos_2_publish_is_repeated_until_its_pubrel_and_a_new_one_afterwards() {
        let mut exchanges = Exchanges::default();
        let mut published = |qos, packet_identifier| exchanges.published(qos, packet_identifier);
        assert!(!published(QoS::ExactlyOnce, 7));
        assert!(published(QoS::ExactlyOnce, 7) && !published(QoS::ExactlyOnce, 8));
        assert!(!published(QoS::AtLeastOnce, 7) && !published(QoS::AtMostOnce, 0));
        assert_eq!(exchanges.released(7), HonestEvent::Alive);
        assert!(!exchanges.published(QoS::ExactlyOnce, 7));
    }

    #[test]
    fn the_code_of_a_qos_2_message_is_that_of_its_pubrec() {
        let mut exchanges = Exchanges::default();
        assert_eq!(exchanges.received(3, 0x10), HonestEvent::Alive);
        assert_eq!(exchanges.received(4, 0x00), HonestEvent::Alive);
        let refused = HonestEvent::Acknowledged { packet_identifier: 5, code: 0x97 };
        assert_eq!(exchanges.received(5, 0x97), refused);
        for (packet_identifier, code) in [(4, 0), (3, 0x10), (3, 0)] {
            let acknowledged = HonestEvent::Acknowledged { packet_identifier, code };
            assert_eq!(exchanges.completed(packet_identifier), acknowledged);
        }
    }

    /// An honest client, and a peer that accepts it and then does `rest`.
    fn client_of(
        version: ProtocolVersion,
        rest: impl FnOnce(TcpStream) + Send + 'static,
    ) -> (HonestSender, HonestConnection, std::thread::JoinHandle<()>) {
        let connack: &[u8] = match version {
            ProtocolVersion::V3_1_1 => &[0x20, 2, 0, 0],
            ProtocolVersion::V5 => &[0x20, 3, 0, 0, 0],
        };
        client_accepted_by(version, connack, rest)
    }

    /// As [`client_of`], with this CONNACK.
    fn client_accepted_by(
        version: ProtocolVersion,
        connack: &'static [u8],
        rest: impl FnOnce(TcpStream) + Send + 'static,
    ) -> (HonestSender, HonestConnection, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert_eq!(packet(&mut stream).unwrap()[0], 0x10, "CONNECT");
            stream.write_all(connack).unwrap();
            rest(stream);
        });
        let (sender, connection) =
            honest_client(address, version, "honest", &Credentials::default(), CONNECT_TIMEOUT);
        (sender, connection, peer)
    }

    /// The next packet, with a Remaining Length of one byte; absent at the end of the stream.
    fn packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
        let mut header = [0; 2];
        stream.read_exact(&mut header).ok()?;
        let mut packet = vec![0; usize::from(header[1])];
        stream.read_exact(&mut packet).ok()?;
        packet.insert(0, header[0]);
        Some(packet)
    }

    #[tokio::test]
    async fn refused_qos_2_messages_do_not_stop_a_publisher() {
        const MESSAGES: u16 = 70;
        let (sender, mut connection, peer) = client_of(ProtocolVersion::V5, |mut stream| {
            while let Some(publish) = packet(&mut stream).filter(|packet| packet[0] == 0x34) {
                // After a topic of one byte stands the Packet Identifier.
                stream.write_all(&[0x50, 3, publish[4], publish[5], 0x97]).unwrap();
            }
        });
        let (mut given, mut refused) = (0, 0);
        while refused < MESSAGES {
            if let HonestEvent::Acknowledged { code, .. } = connection.next().await.unwrap() {
                assert_eq!(code, 0x97);
                refused += 1;
            }
            while given < MESSAGES && sender.try_publish("t", QoS::ExactlyOnce, vec![0]).is_ok() {
                given += 1;
            }
        }
        drop(connection);
        peer.join().unwrap();
    }

    #[tokio::test]
    async fn a_slow_broker_is_not_given_up() {
        // More than the kernel buffers for a peer that does not read.
        const MESSAGES: usize = 2_000;
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
            let (sender, mut connection, peer) = client_of(version, |mut stream| {
                std::thread::sleep(CONNECT_TIMEOUT * 2);
                let mut buffer = vec![0; 65_536];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
            });
            let (mut given, mut sent) = (0, 0);
            while sent < MESSAGES {
                sent += usize::from(matches!(connection.next().await.unwrap(), HonestEvent::Sent(0)));
                while given < MESSAGES && sender.try_publish("t", QoS::AtMostOnce, vec![0; 8_000]).is_ok() {
                    given += 1;
                }
            }
            drop(connection);
            peer.join().unwrap();
        }
    }

    async fn await_delivery(connection: &mut HonestConnection) {
        while !matches!(connection.next().await.unwrap(), HonestEvent::Delivered { .. }) {}
    }

    /// As [`packet`] returns it: without its length.
    const PINGREQ: [u8; 1] = [0xC0];
    const QOS_0_PUBLISH: [u8; 7] = [0x30, 5, 0, 1, b't', 0, 1];

    #[tokio::test]
    async fn mqtt5_3_2_2_21_the_server_keep_alive_is_used_and_slow_answers_tolerated() {
        // Server Keep Alive of a second, and three PINGREQs that are not answered.
        let connack = &[0x20, 6, 0, 0, 3, 0x13, 0, 1];
        let (_sender, mut connection, peer) =
            client_accepted_by(ProtocolVersion::V5, connack, |mut stream| {
                for _ in 0..3 {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    assert_eq!(packet(&mut stream).unwrap(), PINGREQ);
                }
                stream.write_all(&QOS_0_PUBLISH).unwrap();
            });
        await_delivery(&mut connection).await;
        peer.join().unwrap();
    }

    #[tokio::test]
    async fn mqtt5_3_2_2_21_a_server_keep_alive_of_0_turns_it_off() {
        let connack = &[0x20, 6, 0, 0, 3, 0x13, 0, 0];
        let (_sender, mut connection, peer) =
            client_accepted_by(ProtocolVersion::V5, connack, |mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                // One at most, which stays unanswered.
                let came: Vec<Vec<u8>> = std::iter::from_fn(|| packet(&mut stream)).collect();
                assert!(came.len() <= 1 && came.iter().all(|packet| packet == &PINGREQ), "{came:?}");
                stream.write_all(&QOS_0_PUBLISH).unwrap();
            });
        await_delivery(&mut connection).await;
        peer.join().unwrap();
    }

    #[test]
    fn a_broker_without_pingresp_for_our_keep_alive_is_gone() {
        let mut exchanges = Exchanges::default();
        let second = Duration::from_secs(1);
        assert!((0..29).all(|_| exchanges.pinged(second)) && !exchanges.pinged(second));
        assert!(!Exchanges::default().pinged(super::KEEP_ALIVE));
    }

    #[tokio::test]
    async fn repeated_connacks_connect_a_client_once() {
        const MORE: usize = 50;
        for (version, connack) in
            [(ProtocolVersion::V3_1_1, &[0x20, 2, 0, 0][..]), (ProtocolVersion::V5, &[0x20, 3, 0, 0, 0])]
        {
            let (_sender, mut connection, peer) = client_of(version, move |mut stream| {
                stream.write_all(&connack.repeat(MORE)).unwrap();
            });
            let mut connected = 0;
            while let Ok(event) = connection.next().await {
                connected += usize::from(event == HonestEvent::Connected);
            }
            assert_eq!(connected, 1, "{version:?}");
            peer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn what_came_before_the_end_of_a_connection_comes_first() {
        let (_sender, mut connection, peer) = client_of(ProtocolVersion::V5, |mut stream| {
            let publish = |dup: u8, payload| [0x30 | dup << 3, 5, 0, 1, b't', 0, payload];
            let all: Vec<u8> = [publish(0, 1), publish(1, 2), publish(0, 3)].concat();
            stream.write_all(&all).unwrap();
        });
        let mut came = Vec::new();
        let lost = loop {
            match connection.next().await {
                Ok(HonestEvent::Delivered { payload, dup, qos, is_repeated, .. }) => {
                    assert_eq!((qos, is_repeated), (QoS::AtMostOnce, false));
                    came.push((payload[0], dup));
                }
                Ok(_) => {}
                Err(lost) => break lost,
            }
        };
        assert_eq!(came, [(1, false), (2, true), (3, false)], "{lost}");
        assert_eq!(connection.next().await, Err(lost), "and it stays lost");
        peer.join().unwrap();
    }
}
