//! A Client that sends and expects bytes on a TCP stream. The codec writes packets that are not the point of a test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{
    Connect, Framed, Packet, PacketIdentifier, Property, ProtocolVersion, Publish, QoS, Subscribe,
    Subscription, frame,
};
use ungraceful_scripted_broker::{EndedBy, Event, ScriptedBroker};

/// How long a test waits for something that must happen; only a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// CONNACK 0 of the broker without a Receive Maximum, Session Present 0.
pub(crate) fn connack(version: ProtocolVersion, session_present: u8) -> Vec<u8> {
    match version {
        V3_1_1 => vec![0x20, 2, session_present, 0],
        V5 => vec![0x20, 7, session_present, 0, 4, 0x29, 0, 0x2A, 0],
    }
}

/// A CONNECT, Clean Start 1.
pub(crate) fn connect(version: ProtocolVersion, client_id: &str) -> Vec<u8> {
    encoded(version, &Packet::Connect(Connect::new(client_id)))
}

/// Any packet the standard allows.
pub(crate) fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a legal packet");
    bytes
}

/// A PUBLISH without flags and properties, Packet Identifier 7 above QoS 0.
pub(crate) fn publish(version: ProtocolVersion, topic: &str, payload: &str, qos: QoS) -> Vec<u8> {
    let identifier = PacketIdentifier::new(7).expect("not 0");
    let publish = Publish::new(topic, payload.as_bytes());
    let publish = match qos {
        QoS::AtMostOnce => publish,
        QoS::AtLeastOnce => publish.at_least_once(identifier),
        QoS::ExactlyOnce => publish.exactly_once(identifier),
    };
    encoded(version, &Packet::Publish(publish))
}

/// The broker has ended a connection, or its Client has.
pub(crate) fn expect_end(broker: &ScriptedBroker, connection: u64, by: EndedBy) {
    let ended = Event::Ended { connection, by };
    assert!(broker.wait_until(PATIENCE, |log| log.events.contains(&ended)));
}

/// Waits until a connection has ended, from either side.
pub(crate) fn wait_for_end(broker: &ScriptedBroker, ended: u64) {
    let is_it = |event: &Event| matches!(event, Event::Ended { connection, .. } if *connection == ended);
    assert!(broker.wait_until(PATIENCE, |log| log.events.iter().any(is_it)));
}

/// The broker has closed its listener.
pub(crate) fn expect_connection_refused(address: SocketAddr) {
    let refused = TcpStream::connect(address).expect_err("no listener any more");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Does something that takes no less than this time. There is no upper bound, which a busy machine would exceed.
#[expect(clippy::disallowed_methods, reason = "a lower bound on what a broker delays, not a figure")]
pub(crate) fn takes_at_least(time: Duration, what: impl FnOnce()) {
    let start = Instant::now();
    what();
    let took = start.elapsed();
    assert!(took >= time, "{took:?}");
}

/// Polls a condition until it is true; fails after [`PATIENCE`].
#[expect(clippy::disallowed_methods, reason = "a bound on a test that hangs, not a figure")]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::yield_now();
    }
}

/// A Client that sends and expects bytes.
pub(crate) struct RawClient {
    stream: TcpStream,
    version: ProtocolVersion,
    unread: Vec<u8>,
}

impl RawClient {
    /// A TCP connection on which nothing was sent.
    pub(crate) fn open(broker: &ScriptedBroker, version: ProtocolVersion) -> Self {
        let stream = TcpStream::connect(broker.address()).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above 0");
        stream.set_nodelay(true).expect("an open connection");
        Self { stream, version, unread: Vec::new() }
    }

    /// An accepted Client with a new session.
    pub(crate) fn connected(broker: &ScriptedBroker, version: ProtocolVersion, client_id: &str) -> Self {
        Self::connected_with(broker, version, &Connect::new(client_id), 0)
    }

    /// An accepted Client with this CONNECT, that expects this Session Present.
    pub(crate) fn connected_with(
        broker: &ScriptedBroker,
        version: ProtocolVersion,
        connect: &Connect<'_>,
        session_present: u8,
    ) -> Self {
        Self::answered(broker, version, connect, &connack(version, session_present))
    }

    /// A Client whose CONNECT was answered by these bytes.
    pub(crate) fn answered(
        broker: &ScriptedBroker,
        version: ProtocolVersion,
        connect: &Connect<'_>,
        answer: &[u8],
    ) -> Self {
        let mut client = Self::connecting(broker, version, connect);
        client.expect(answer);
        client
    }

    /// An accepted Client of MQTT 5.0 whose CONNECT has these properties.
    pub(crate) fn with_properties(
        broker: &ScriptedBroker,
        client_id: &str,
        properties: &[Property<'_>],
    ) -> Self {
        let connect = Connect { properties: properties.into(), ..Connect::new(client_id) };
        Self::connected_with(broker, V5, &connect, 0)
    }

    /// A Client of MQTT 5.0 that is accepted by this CONNACK.
    pub(crate) fn with_connack(broker: &ScriptedBroker, connack: &[u8]) -> Self {
        Self::answered(broker, V5, &Connect::new("client"), connack)
    }

    /// A Client that has sent its CONNECT.
    pub(crate) fn connecting(
        broker: &ScriptedBroker,
        version: ProtocolVersion,
        connect: &Connect<'_>,
    ) -> Self {
        let mut client = Self::open(broker, version);
        client.send(&encoded(version, &Packet::Connect(*connect)));
        client
    }

    /// An accepted Client with a subscription, whose SUBACK has come.
    pub(crate) fn subscribed(
        broker: &ScriptedBroker,
        version: ProtocolVersion,
        topic_filter: &str,
        qos: QoS,
    ) -> Self {
        let mut client = Self::connected(broker, version, "subscriber");
        client.subscribe(topic_filter, qos);
        client
    }

    pub(crate) fn subscribe(&mut self, topic_filter: &str, qos: QoS) {
        let filters = [Subscription::new(topic_filter, qos)];
        let subscribe = Packet::Subscribe(Subscribe::new(PacketIdentifier::MIN, &filters));
        self.send(&encoded(self.version, &subscribe));
        match self.version {
            V3_1_1 => self.expect(&[0x90, 3, 0, 1, qos.level()]),
            V5 => self.expect(&[0x90, 4, 0, 1, 0, qos.level()]),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker takes bytes");
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: QoS) {
        self.send(&publish(self.version, topic, payload, qos));
    }

    /// Publishes at QoS 1 under Packet Identifier 7, and reads the PUBACK.
    pub(crate) fn publish_at_least_once(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, QoS::AtLeastOnce);
        self.expect(&[0x40, 2, 0, 7]);
    }

    /// Publishes at QoS 2 under Packet Identifier 7, and reads the PUBREC.
    pub(crate) fn publish_exactly_once(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, QoS::ExactlyOnce);
        self.expect(&[0x50, 2, 0, 7]);
    }

    /// Sends the PUBREL for that, and reads the PUBCOMP.
    pub(crate) fn release(&mut self) {
        self.send(&[0x62, 2, 0, 7]);
        self.expect(&[0x70, 2, 0, 7]);
    }

    /// Sends a PINGREQ.
    pub(crate) fn ping(&mut self) {
        self.send(&[0xC0, 0]);
    }

    /// Sends PINGREQs until one is answered: earlier ones may have gone with bytes that were dropped.
    pub(crate) fn ping_until_answered(&mut self) {
        self.repeat_until_answered(&[0xC0, 0]);
    }

    /// Sends these bytes again and again until something comes back, and forgets that.
    pub(crate) fn repeat_until_answered(&mut self, bytes: &[u8]) {
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout above 0");
        until("something comes back", || {
            self.send(bytes);
            let mut chunk = [0; 64];
            self.stream.read(&mut chunk).is_ok_and(|count| count > 0)
        });
    }

    /// Sends DISCONNECT 0x00, and reads FIN and nothing before it.
    pub(crate) fn leave(&mut self) {
        self.send(&[0xE0, 0]);
        self.expect_fin();
    }

    /// Publishes `payloads` to `t` at QoS 1 to this Client itself: reads each message and its PUBACK.
    pub(crate) fn echo_at_least_once(&mut self, payloads: &[&str]) {
        for payload in payloads {
            self.publish("t", payload, QoS::AtLeastOnce);
            self.expect_payloads(&[payload]);
            self.expect(&[0x40, 2, 0, 7]);
        }
    }

    /// Reads exactly these bytes.
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        while self.unread.len() < expected.len() {
            assert!(self.read_more(), "FIN after {:02X?}, not {expected:02X?}", self.unread);
        }
        let came: Vec<_> = self.unread.drain(..expected.len()).collect();
        assert!(came == expected, "expected {expected:02X?}, not {came:02X?} {:02X?}", self.unread);
    }

    /// Reads one whole packet of any kind.
    pub(crate) fn next_packet(&mut self) -> Vec<u8> {
        loop {
            if let Framed::Complete(found) = frame(&self.unread) {
                let length = found.len();
                return self.unread.drain(..length).collect();
            }
            assert!(self.read_more(), "FIN after {:02X?}, not a packet", self.unread);
        }
    }

    /// Reads a PUBLISH and gives back its payload.
    #[expect(clippy::panic, reason = "called by tests only, outside of which clippy takes it for production")]
    pub(crate) fn next_payload(&mut self) -> String {
        let bytes = self.next_packet();
        let Framed::Complete(found) = frame(&bytes) else { panic!("a whole packet") };
        let decoded = found.decode(self.version);
        let Packet::Publish(publish) = decoded.packet else { panic!("{bytes:02X?} is no PUBLISH") };
        assert!(decoded.oddities.is_empty(), "{}", decoded.oddities);
        String::from_utf8(publish.payload.to_vec()).expect("text")
    }

    /// Reads PUBLISHes with these payloads.
    pub(crate) fn expect_payloads(&mut self, payloads: &[&str]) {
        for payload in payloads {
            assert_eq!(self.next_payload(), *payload);
        }
    }

    /// Sends a PINGREQ, and reads the PINGRESP and nothing before it.
    pub(crate) fn expect_service(&mut self) {
        self.ping();
        self.expect(&[0xD0, 0]);
    }

    /// Reads the DISCONNECT with this Reason Code, which MQTT 3.1.1 does not have.
    pub(crate) fn expect_disconnect(&mut self, code: u8) {
        if self.version == V5 {
            self.expect(&[0xE0, 2, code, 0]);
        }
    }

    /// Reads the DISCONNECT with this Reason Code, if one is given and the version has one from a Server, then FIN.
    pub(crate) fn expect_close(&mut self, code: impl Into<Option<u8>>) {
        if let Some(code) = code.into() {
            self.expect_disconnect(code);
        }
        self.expect_fin();
    }

    /// Reads these bytes, then FIN.
    pub(crate) fn expect_then_fin(&mut self, expected: &[u8]) {
        self.expect(expected);
        self.expect_fin();
    }

    /// Reads FIN and nothing before it.
    pub(crate) fn expect_fin(&mut self) {
        let came = self.read_more();
        assert!(!came && self.unread.is_empty(), "{:02X?} in place of a FIN", self.unread);
    }

    /// Reads RST; what the broker sent before may or may not have come.
    pub(crate) fn expect_reset(&mut self) {
        let mut rest = Vec::new();
        let error = self.stream.read_to_end(&mut rest).expect_err("RST, not FIN");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    /// Sends FIN, and reads FIN and nothing before it.
    pub(crate) fn expect_silence(&mut self) {
        self.finish_sending();
        self.expect_fin();
    }

    /// Sends FIN, which ends the connection.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open connection");
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).expect("bytes or FIN from the broker");
        self.unread.extend_from_slice(&chunk[..count]);
        count > 0
    }
}
