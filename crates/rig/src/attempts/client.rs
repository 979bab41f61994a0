//! A client under byte-exact control of a fault; it acknowledges nothing by itself.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{
    Connect, Disconnect, EncodeError, Packet, Properties, Property, ProtocolVersion, ReasonCode,
};
use ungraceful_record::reaction::{connack_code_text, hex};
use ungraceful_record::scale::span;
use ungraceful_wire::{
    Arrival, Connection, EndKind, PACKET_BYTES_MAX, ReceivedPacket, SendError, Sent, Unframed,
};

use crate::attempts::connections::OpenConnection;
use crate::broker::target::Credentials;

/// How long a leaving client waits for the kernel to take its DISCONNECT.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// An accepted CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// When the CONNECT was handed to the kernel.
    pub connect_sent: Instant,
    /// When the CONNACK was complete.
    pub connack_at: Instant,
    /// Whether the broker kept a session for this ClientID.
    pub session_present: bool,
    /// The Session Expiry Interval that replaces the client's, in seconds (MQTT 5.0); absent when the client's
    /// applies.
    pub session_expiry_interval_s: Option<u32>,
    /// The Receive Maximum the broker advertised; absent means 65,535.
    pub receive_maximum: Option<u16>,
    /// The Keep Alive that replaces the client's; zero turns it off; absent when the client's applies.
    pub server_keep_alive: Option<Duration>,
}

/// Why a client is not connected, with a text for operators.
#[derive(Debug, thiserror::Error)]
pub enum NotConnected {
    /// The CONNECT can't be encoded.
    #[error("CONNECT can't be encoded: {0}")]
    Encoding(EncodeError),
    /// The broker refused.
    #[error("the broker refused the CONNECT: CONNACK {}", connack_code_text(*version, *code))]
    Refused {
        /// The version spoken.
        version: ProtocolVersion,
        /// The CONNACK's code.
        code: u8,
    },
    /// The connection ended before a CONNACK.
    #[error("the broker ended the connection before any CONNACK ({})", end_text(*.0))]
    Ended(EndKind),
    /// The broker ended TLS or WebSocket before a CONNACK, with the reason.
    #[error("the broker ended the connection before any CONNACK ({0})")]
    Closed(Box<str>),
    /// TLS or WebSocket failed before a CONNACK, with the reason.
    #[error("{0}")]
    Broken(Box<str>),
    /// Nothing came.
    #[error("no CONNACK within {}: the port accepts connections but does not answer", span(*.0))]
    Silent(Duration),
    /// The broker answers with AUTH: its Authentication Method has more steps than the CONNECT.
    #[error("the broker requires another step of authentication (AUTH), which this client does not support")]
    Challenged,
    /// Something came that is not a CONNACK.
    #[error("expected a CONNACK, got {0}: is this an MQTT port?")]
    NotConnack(String),
}

const fn end_text(how: EndKind) -> &'static str {
    match how {
        EndKind::Fin => "FIN",
        EndKind::Reset => "RST",
        EndKind::Failed => "the kernel gave it up",
    }
}

/// Appends a CONNECT. On MQTT 5.0, adds the Maximum Packet Size `packet_bytes_max` (section 3.1.2.11.4) unless one is
/// set. Every CONNECT goes through here, so that no broker sends more than is accepted.
///
/// # Errors
/// As [`Connect::encode`].
pub fn encode_connect(
    connect: &Connect<'_>,
    version: ProtocolVersion,
    packet_bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let properties = connect.properties;
    if version == ProtocolVersion::V3_1_1 || properties.maximum_packet_size().is_some() {
        return connect.encode(version, out);
    }
    let size = Property::MaximumPacketSize(u32::try_from(packet_bytes_max).unwrap_or(u32::MAX));
    let with_size: Vec<Property<'_>> = properties.iter().filter_map(Result::ok).chain([size]).collect();
    Connect { properties: Properties::List(&with_size), ..*connect }.encode(version, out)
}

/// A Network Connection and the version it speaks.
#[derive(Debug)]
pub struct Client {
    /// The connection, for faults that act on it directly.
    pub connection: Connection,
    /// The version this client speaks.
    pub version: ProtocolVersion,
    /// Counts the connection as open.
    _counted: Option<OpenConnection>,
}

impl Client {
    /// A client on an open connection that has sent nothing yet.
    #[must_use]
    pub fn new(connection: Connection, version: ProtocolVersion) -> Self {
        Self { connection, version, _counted: None }
    }

    /// The same client, counted as an open connection while it lives.
    #[must_use]
    pub fn counted(self, counted: OpenConnection) -> Self {
        Self { _counted: Some(counted), ..self }
    }

    /// A CONNECT as a well-behaved client sends it: Clean Start, Keep Alive of 60 s, no Will.
    #[must_use]
    pub fn honest_connect<'a>(client_id: &'a str, credentials: &'a Credentials) -> Connect<'a> {
        Connect {
            user_name: credentials.user_name.as_deref(),
            password: credentials.password.as_ref().map(crate::broker::target::Secret::reveal),
            ..Connect::new(client_id)
        }
    }

    /// Sends a CONNECT and waits for its CONNACK.
    ///
    /// # Errors
    /// [`NotConnected`], at the latest `within` after the CONNECT was sent.
    pub async fn connect(
        &mut self,
        connect: &Connect<'_>,
        within: Duration,
    ) -> Result<Accepted, NotConnected> {
        Ok(self.connect_with_packet(connect, within).await?.0)
    }

    /// As [`Client::connect`], and returns the CONNACK packet too.
    ///
    /// # Errors
    /// [`NotConnected`], at the latest `within` after the CONNECT was sent.
    pub async fn connect_with_packet(
        &mut self,
        connect: &Connect<'_>,
        within: Duration,
    ) -> Result<(Accepted, ReceivedPacket), NotConnected> {
        let sent = self.send_connect(connect).await?;
        self.await_connack(sent, within).await
    }

    /// Sends a CONNECT without waiting for the CONNACK.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub async fn send_connect(&mut self, connect: &Connect<'_>) -> Result<Sent, NotConnected> {
        let mut bytes = Vec::new();
        encode_connect(connect, self.version, PACKET_BYTES_MAX, &mut bytes)
            .map_err(NotConnected::Encoding)?;
        match self.connection.send(&bytes).await {
            Ok(sent) => Ok(sent),
            Err(SendError::Ended { how, .. }) => Err(NotConnected::Ended(how)),
        }
    }

    /// Waits for the CONNACK to a CONNECT that was sent.
    ///
    /// # Errors
    /// [`NotConnected`], at the latest after `within`.
    pub async fn await_connack(
        &mut self,
        connect_sent: Sent,
        within: Duration,
    ) -> Result<(Accepted, ReceivedPacket), NotConnected> {
        let arrival =
            timeout(within, self.connection.next()).await.map_err(|_| NotConnected::Silent(within))?;
        let packet = match arrival {
            Arrival::Packet(packet) => packet,
            Arrival::Unframeable { bytes, why: Unframed::NoRemainingLength, .. } => {
                return Err(NotConnected::NotConnack(printable(&bytes)));
            }
            Arrival::Unframeable { why, .. } => return Err(NotConnected::NotConnack(why.to_string())),
            Arrival::End(end) if !end.unfinished.is_empty() => {
                return Err(NotConnected::NotConnack(printable(&end.unfinished)));
            }
            Arrival::End(end) => {
                return Err(match (end.how, end.why) {
                    (how, None) => NotConnected::Ended(how),
                    (EndKind::Fin, Some(why)) => NotConnected::Closed(why),
                    (_, Some(why)) => NotConnected::Broken(why),
                });
            }
        };
        match packet.frame().decode(self.version).packet {
            Packet::ConnAck(connack) if connack.code == 0 => {
                let accepted = Accepted {
                    connect_sent: connect_sent.at,
                    connack_at: packet.complete_at,
                    session_present: connack.session_present,
                    session_expiry_interval_s: connack.properties.session_expiry_interval_s(),
                    receive_maximum: connack.properties.receive_maximum(),
                    server_keep_alive: connack
                        .properties
                        .server_keep_alive_s()
                        .map(|seconds| Duration::from_secs(u64::from(seconds))),
                };
                Ok((accepted, packet))
            }
            Packet::ConnAck(connack) => {
                Err(NotConnected::Refused { version: self.version, code: connack.code })
            }
            Packet::Auth(_) => Err(NotConnected::Challenged),
            _ => Err(NotConnected::NotConnack(printable(&packet.bytes))),
        }
    }

    /// Sends PINGREQ.
    ///
    /// # Errors
    /// [`SendError`] when the connection has ended.
    pub async fn ping(&mut self) -> Result<Sent, SendError> {
        let mut bytes = Vec::new();
        ungraceful_mqtt::encode::pingreq(&mut bytes);
        self.connection.send(&bytes).await
    }

    /// Leaves cleanly: DISCONNECT with Reason Code 0x00, then FIN. Ends no session that the CONNECT asked to keep.
    pub async fn leave(self) {
        self.leave_with(Properties::NONE).await;
    }

    /// As [`Client::leave`], with properties on the DISCONNECT (MQTT 5.0 only).
    pub async fn leave_with(mut self, properties: Properties<'_>) {
        self.send_disconnect(properties).await;
        self.connection.close_properly();
    }

    /// Leaves, and waits up to a second until the broker has closed the connection too: the next client with this
    /// ClientID is then no take-over.
    pub async fn leave_and_await_close(mut self) {
        self.send_disconnect(Properties::NONE).await;
        let ended = async {
            self.connection.half_close().await.ok()?;
            while !matches!(self.connection.next().await, Arrival::End(_)) {}
            Some(())
        };
        let _as_far_as_it_came = timeout(LEAVE_WITHIN, ended).await;
        self.connection.close_properly();
    }

    async fn send_disconnect(&mut self, properties: Properties<'_>) {
        let mut bytes = Vec::new();
        let disconnect = Disconnect { reason_code: ReasonCode(0), properties };
        if disconnect.encode(self.version, &mut bytes).is_ok() {
            let _already_gone = timeout(LEAVE_WITHIN, self.connection.send(&bytes)).await;
        }
    }
}

/// Bytes as text where they are text (an HTTP port answers in text), else in hexadecimal.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text.is_empty()
                && text.chars().take(12).all(|c| !c.is_control() || c.is_ascii_whitespace()) =>
        {
            let line: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
            format!("the text {line:?}")
        }
        _ => format!("the bytes {}", hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use ungraceful_mqtt::{Connect, Framed, Packet, Properties, Property, ProtocolVersion, frame};
    use ungraceful_wire::clock::now;
    use ungraceful_wire::{ConnectOptions, Endpoint};

    use super::{Client, encode_connect};
    use crate::broker::target::Credentials;

    #[test]
    fn an_mqtt_5_connect_carries_a_maximum_packet_size() {
        let encoded = |properties: &[Property<'_>], version| {
            let mut bytes = Vec::new();
            let connect = Connect { properties: Properties::List(properties), ..Connect::new("c") };
            encode_connect(&connect, version, 1_000, &mut bytes).unwrap();
            bytes
        };
        let size_in = |bytes: &[u8]| {
            let Framed::Complete(whole) = frame(bytes) else { panic!("{bytes:?}") };
            match whole.decode(ProtocolVersion::V5).packet {
                Packet::Connect(connect) => {
                    (connect.properties.maximum_packet_size(), connect.properties.receive_maximum())
                }
                other => panic!("{other:?}"),
            }
        };
        let ours = [Property::ReceiveMaximum(7)];
        assert_eq!(size_in(&encoded(&ours, ProtocolVersion::V5)), (Some(1_000), Some(7)));
        let own = [Property::MaximumPacketSize(20)];
        assert_eq!(size_in(&encoded(&own, ProtocolVersion::V5)), (Some(20), None), "a fault may name one");
        assert_eq!(size_in(&encoded(&[], ProtocolVersion::V3_1_1)), (None, None), "3.1.1 has none");
    }

    #[tokio::test]
    async fn leaving_can_wait_until_the_broker_has_closed() {
        const HELD: Duration = Duration::from_millis(100);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let broker = std::thread::spawn(move || -> Instant {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 512]).unwrap() > 0, "CONNECT");
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            let mut rest = Vec::new();
            // Up to the FIN that follows the DISCONNECT.
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, [0xE0, 0], "DISCONNECT");
            std::thread::sleep(HELD);
            now()
        });
        let opened = Endpoint { address }.open(&ConnectOptions::default()).await.unwrap();
        let mut client = Client::new(opened.connection, ProtocolVersion::V3_1_1);
        let credentials = Credentials::default();
        let connect = Client::honest_connect("leaves", &credentials);
        client.connect(&connect, Duration::from_secs(20)).await.unwrap();
        client.leave_and_await_close().await;
        let seen_at = now();
        assert!(broker.join().unwrap() <= seen_at, "the broker held it until then");
    }
}
