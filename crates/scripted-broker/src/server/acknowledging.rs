//! PUBLISH from a Client, and the acknowledgements of both directions (MQTT 5.0 section 4.3).

use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode};

use super::session::{Session, Step};
use super::{ConnectionId, Server};
use crate::message::Message;

impl Server {
    /// Acts on a PUBLISH.
    pub(super) fn publish(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        if publish.properties.topic_alias().is_some() {
            // No Topic Alias Maximum in the CONNACK allows none.
            return self.disconnect(id, ReasonCode::TOPIC_ALIAS_INVALID);
        }
        if publish.properties.subscription_identifier().is_some() {
            // MQTT 5.0 [MQTT-3.3.4-6].
            return self.disconnect(id, ReasonCode::PROTOCOL_ERROR);
        }
        match publish.packet_identifier.and_then(PacketIdentifier::new) {
            None => self.take(id, publish),
            Some(identifier) if publish.qos == QoS::AtLeastOnce => {
                self.take(id, publish);
                self.acknowledge(id, &Packet::PubAck(Ack::new(identifier)));
            }
            Some(identifier) => self.receive_exactly_once(id, publish, identifier),
        }
    }

    fn receive_exactly_once(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        identifier: PacketIdentifier,
    ) {
        let limit = self.receive_maximum(id);
        let Some(session) = self.session_of(id) else { return };
        if !session.received.contains(&identifier.get()) {
            // QoS 1 is acknowledged before the next packet is read, so that only QoS 2 counts.
            if limit.is_some_and(|limit| session.received.len() >= limit) {
                return self.disconnect(id, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
            }
            session.received.insert(identifier.get());
            self.take(id, publish);
        }
        self.acknowledge(id, &Packet::PubRec(Ack::new(identifier)));
    }

    fn take(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        let message = Message::published(publish);
        let publisher = self.connections.get(&id).map(|connection| connection.client_id.clone());
        self.accept_message(&message, &publisher.unwrap_or_default());
    }

    /// Acts on PUBREL: ends a QoS 2 message that came in.
    pub(super) fn complete(&mut self, id: ConnectionId, packet_identifier: u16) {
        let Some(identifier) = PacketIdentifier::new(packet_identifier) else { return };
        let Some(session) = self.session_of(id) else { return };
        let was_there = session.received.remove(&packet_identifier);
        let ack = self.with_doubt(id, Ack::new(identifier), was_there);
        self.acknowledge(id, &Packet::PubComp(ack));
    }

    /// Acts on PUBREC: the Client has a QoS 2 message.
    pub(super) fn release(&mut self, id: ConnectionId, received: &Ack<'_>) {
        let Some(identifier) = PacketIdentifier::new(received.packet_identifier) else { return };
        let Some(session) = self.session_of(id) else { return };
        let position = session.position(identifier.get());
        if received.reason_code.is_error() {
            // MQTT 5.0 [MQTT-4.3.3-4]: that was it, without a PUBREL.
            return self.finish(id, identifier.get(), QoS::ExactlyOnce);
        }
        if let Some(in_flight) = position.and_then(|at| session.in_flight.get_mut(at)) {
            in_flight.step = Step::Released;
        }
        let ack = self.with_doubt(id, Ack::new(identifier), position.is_some());
        self.acknowledge(id, &Packet::PubRel(ack));
    }

    /// Acts on what ends a delivery of this QoS: PUBACK, PUBCOMP, or a PUBREC that refuses.
    pub(super) fn finish(&mut self, id: ConnectionId, packet_identifier: u16, qos: QoS) {
        let Some(session) = self.session_of(id) else { return };
        let position = session.position(packet_identifier);
        if let Some(at) = position.filter(|&at| session.in_flight[at].delivery.qos == qos) {
            session.in_flight.remove(at);
        }
        if let Some(connection) = self.connections.get(&id) {
            let client_id = connection.client_id.clone();
            self.flush(&client_id);
        }
    }

    /// Marks the answer to an unknown Packet Identifier, which MQTT 3.1.1 has no means to do.
    fn with_doubt<'a>(&self, id: ConnectionId, ack: Ack<'a>, is_known: bool) -> Ack<'a> {
        if is_known || self.version(id) == ProtocolVersion::V3_1_1 {
            ack
        } else {
            ack.with_reason_code(ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)
        }
    }

    fn acknowledge(&self, id: ConnectionId, acknowledgement: &Packet<'_>) {
        self.send(id, acknowledgement_bytes(self.version(id), acknowledgement));
    }

    /// What the CONNACK promised to take; absent in MQTT 3.1.1, which has no such limit.
    fn receive_maximum(&self, id: ConnectionId) -> Option<usize> {
        match self.version(id) {
            ProtocolVersion::V3_1_1 => None,
            ProtocolVersion::V5 => {
                Some(self.script.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get).into())
            }
        }
    }

    pub(super) fn version(&self, id: ConnectionId) -> ProtocolVersion {
        self.connections.get(&id).map_or(ProtocolVersion::V3_1_1, |connection| connection.version)
    }

    pub(super) fn session_of(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let client_id = &self.connections.get(&id)?.client_id;
        self.sessions.get_mut(client_id)
    }
}

/// An acknowledgement as bytes.
pub(super) fn acknowledgement_bytes(version: ProtocolVersion, acknowledgement: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    acknowledgement.encode(version, &mut bytes).expect("success, or a code this packet has in this version");
    bytes
}
