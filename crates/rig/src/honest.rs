//! The honest clients: rumqttc behind one small interface, and seen by this file alone.
//!
//! Bystanders and the witness need no exact bytes. They stand on somebody else's reading of the standard, so
//! that a broker that serves them does not merely agree with us.
//!
//! What rumqttc does that this file makes up for: it allocates for 65,535 messages in flight unless told
//! otherwise (14 MB a client); it leaves Nagle's algorithm on; it keeps the unacknowledged messages of a lost
//! connection for itself, so a lost connection here ends the client, and its owner makes a new one; and it
//! can't read a DISCONNECT without a property length, so the reason for which a bystander was cut is not to be
//! had from it.

use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::v5;

use ungraceful_mqtt::{ProtocolVersion, QoS};

use crate::target::Credentials;

/// Messages in flight that an honest client allows itself.
const IN_FLIGHT: u16 = 20;
/// Requests that wait between its owner and its connection; with its owner's own queue, the bound of memory.
const REQUESTS: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What happened on an honest client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HonestEvent {
    /// The broker accepted the client.
    Connected,
    /// The broker answered SUBSCRIBE with this QoS; absent when it refused.
    Subscribed(Option<QoS>),
    /// The next of the messages that were given to [`HonestSender::try_publish`], in that order, was written.
    /// Packet Identifier 0 stands for QoS 0.
    Sent(u16),
    /// The broker acknowledged a message for good (PUBACK, PUBCOMP, or an error in PUBREC), with its code.
    Acknowledged {
        /// Packet Identifier.
        packet_identifier: u16,
        /// Reason Code; 0 on MQTT 3.1.1.
        code: u8,
    },
    /// A message came.
    Delivered {
        /// Topic Name.
        topic: String,
        /// Application Message.
        payload: Vec<u8>,
    },
    /// Any other packet came: the broker is alive.
    Alive,
}

/// Gives an honest client work. Never waits.
#[derive(Clone, Debug)]
pub enum HonestSender {
    /// Speaks MQTT 3.1.1.
    V3(rumqttc::AsyncClient),
    /// Speaks MQTT 5.0.
    V5(v5::AsyncClient),
}

/// The queue towards the connection is full: try again when something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl HonestSender {
    /// Sends one message.
    ///
    /// # Errors
    /// [`Full`] when the connection does not keep up.
    pub fn try_publish(&self, topic: &str, qos: QoS, payload: Vec<u8>) -> Result<(), Full> {
        match self {
            Self::V3(client) => client.try_publish(topic, v3_qos(qos), false, payload).map_err(|_| Full),
            Self::V5(client) => client.try_publish(topic, v5_qos(qos), false, payload).map_err(|_| Full),
        }
    }

    /// Subscribes to a Topic Filter.
    ///
    /// # Errors
    /// [`Full`] when the connection does not keep up.
    pub fn try_subscribe(&self, filter: &str, qos: QoS) -> Result<(), Full> {
        match self {
            Self::V3(client) => client.try_subscribe(filter, v3_qos(qos)).map_err(|_| Full),
            Self::V5(client) => client.try_subscribe(filter, v5_qos(qos)).map_err(|_| Full),
        }
    }

    /// Leaves with DISCONNECT.
    ///
    /// # Errors
    /// [`Full`] when the connection does not keep up.
    pub fn try_disconnect(&self) -> Result<(), Full> {
        match self {
            Self::V3(client) => client.try_disconnect().map_err(|_| Full),
            Self::V5(client) => client.try_disconnect().map_err(|_| Full),
        }
    }
}

/// An honest client's connection; must be polled by one task and by nothing else.
#[derive(Debug)]
pub struct HonestConnection(EventLoop);

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

/// Makes an honest client that starts with a clean session; it connects when it is first polled.
#[must_use]
pub fn honest_client(
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
            (HonestSender::V3(client), HonestConnection(EventLoop::V3(Box::new(events))))
        }
        ProtocolVersion::V5 => {
            let mut options = v5::MqttOptions::new(client_id, host, address.port());
            options
                .set_keep_alive(KEEP_ALIVE)
                .set_clean_start(true)
                .set_outgoing_inflight_upper_limit(IN_FLIGHT);
            options.set_connection_timeout(connect_timeout.as_secs().max(1));
            options.set_network_options(network);
            if has_credentials {
                options.set_credentials(user_name, password.unwrap_or_default());
            }
            let (client, events) = v5::AsyncClient::new(options, REQUESTS);
            (HonestSender::V5(client), HonestConnection(EventLoop::V5(Box::new(events))))
        }
    }
}

impl HonestConnection {
    /// The next event. Must not be dropped half-way: rumqttc may have written and not yet told.
    ///
    /// # Errors
    /// Why the connection was lost, in words. The client is of no use afterwards.
    pub async fn next(&mut self) -> Result<HonestEvent, String> {
        loop {
            let event = match &mut self.0 {
                EventLoop::V3(events) => from_v3(events.poll().await.map_err(|error| error.to_string())?),
                EventLoop::V5(events) => from_v5(events.poll().await.map_err(|error| error.to_string())?),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }
}

fn from_v3(event: rumqttc::Event) -> Option<HonestEvent> {
    use rumqttc::{Event, Outgoing, Packet, SubscribeReasonCode};
    Some(match event {
        Event::Incoming(Packet::ConnAck(_)) => HonestEvent::Connected,
        Event::Incoming(Packet::SubAck(ack)) => {
            HonestEvent::Subscribed(ack.return_codes.first().and_then(|code| match code {
                SubscribeReasonCode::Success(qos) => QoS::try_from(*qos as u8).ok(),
                SubscribeReasonCode::Failure => None,
            }))
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            HonestEvent::Acknowledged { packet_identifier: ack.pkid, code: 0 }
        }
        Event::Incoming(Packet::PubComp(ack)) => {
            HonestEvent::Acknowledged { packet_identifier: ack.pkid, code: 0 }
        }
        Event::Incoming(Packet::Publish(publish)) => {
            HonestEvent::Delivered { topic: publish.topic, payload: publish.payload.to_vec() }
        }
        Event::Incoming(_) => HonestEvent::Alive,
        Event::Outgoing(Outgoing::Publish(packet_identifier)) => HonestEvent::Sent(packet_identifier),
        Event::Outgoing(_) => return None,
    })
}

fn from_v5(event: v5::Event) -> Option<HonestEvent> {
    use rumqttc::Outgoing;
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    Some(match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => HonestEvent::Connected,
        v5::Event::Incoming(Packet::SubAck(ack)) => {
            HonestEvent::Subscribed(ack.return_codes.first().and_then(|code| match code {
                SubscribeReasonCode::Success(qos) => QoS::try_from(*qos as u8).ok(),
                _ => None,
            }))
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => {
            HonestEvent::Acknowledged { packet_identifier: ack.pkid, code: puback_code(ack.reason) }
        }
        v5::Event::Incoming(Packet::PubRec(ack)) => match pubrec_code(ack.reason) {
            // The handshake goes on; PUBCOMP is its end.
            0..0x80 => HonestEvent::Alive,
            code => HonestEvent::Acknowledged { packet_identifier: ack.pkid, code },
        },
        v5::Event::Incoming(Packet::PubComp(ack)) => {
            HonestEvent::Acknowledged { packet_identifier: ack.pkid, code: 0 }
        }
        v5::Event::Incoming(Packet::Publish(publish)) => HonestEvent::Delivered {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.to_vec(),
        },
        v5::Event::Incoming(_) => HonestEvent::Alive,
        v5::Event::Outgoing(Outgoing::Publish(packet_identifier)) => HonestEvent::Sent(packet_identifier),
        v5::Event::Outgoing(_) => return None,
    })
}

/// rumqttc has an enum of its own for each packet's Reason Codes.
fn puback_code(reason: v5::mqttbytes::v5::PubAckReason) -> u8 {
    use v5::mqttbytes::v5::PubAckReason as Reason;
    match reason {
        Reason::Success => 0x00,
        Reason::NoMatchingSubscribers => 0x10,
        Reason::UnspecifiedError => 0x80,
        Reason::ImplementationSpecificError => 0x83,
        Reason::NotAuthorized => 0x87,
        Reason::TopicNameInvalid => 0x90,
        Reason::PacketIdentifierInUse => 0x91,
        Reason::QuotaExceeded => 0x97,
        Reason::PayloadFormatInvalid => 0x99,
    }
}

fn pubrec_code(reason: v5::mqttbytes::v5::PubRecReason) -> u8 {
    use v5::mqttbytes::v5::PubRecReason as Reason;
    match reason {
        Reason::Success => 0x00,
        Reason::NoMatchingSubscribers => 0x10,
        Reason::UnspecifiedError => 0x80,
        Reason::ImplementationSpecificError => 0x83,
        Reason::NotAuthorized => 0x87,
        Reason::TopicNameInvalid => 0x90,
        Reason::PacketIdentifierInUse => 0x91,
        Reason::QuotaExceeded => 0x97,
        Reason::PayloadFormatInvalid => 0x99,
    }
}

fn v3_qos(qos: QoS) -> rumqttc::QoS {
    match qos {
        QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
        QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        QoS::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}

fn v5_qos(qos: QoS) -> v5::mqttbytes::QoS {
    match qos {
        QoS::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
        QoS::ExactlyOnce => v5::mqttbytes::QoS::ExactlyOnce,
    }
}
