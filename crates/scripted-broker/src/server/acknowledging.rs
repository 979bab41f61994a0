//! PUBLISH from a Client, and the acknowledgements of both directions (MQTT 5.0 section 4.3).

use std::num::NonZeroU16;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{Ack, PacketIdentifier, PacketType, ProtocolVersion, Publish, QoS, ReasonCode};

use super::connection::Phase;
use super::delivering::Taken;
use super::session::Session;
use super::{ConnectionId, Later, Server, answer};
use crate::message::{self, Message};
use crate::policy::{Flow, Pubacks, Retained, Rights};

/// How long Linux delays a TCP ACK at most, and therefore how long Nagle's algorithm holds back small packets.
const DELAYED_ACK: Duration = Duration::from_millis(40);

impl Server {
    /// Acts on a PUBLISH.
    pub(super) fn publish(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        let Some(alias) = publish.properties.topic_alias() else { return self.publish_to_topic(id, publish) };
        let maximum = self.script.topic_alias_maximum.map_or(0, NonZeroU16::get);
        if alias > maximum && self.rejects(id, ReasonCode::TOPIC_ALIAS_INVALID) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !publish.topic.is_empty() {
            connection.topic_aliases.insert(alias, publish.topic.to_owned());
            return self.publish_to_topic(id, publish);
        }
        match connection.topic_aliases.get(&alias).cloned() {
            Some(topic) => self.publish_to_topic(id, &Publish { topic: &topic, ..*publish }),
            // MQTT 5.0 section 3.3.4.
            None if self.rejects(id, ReasonCode::PROTOCOL_ERROR) => {}
            None => self.publish_to_topic(id, publish),
        }
    }

    fn publish_to_topic(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        if let Some(code) = self.exceeds_offers(id, publish)
            && self.rejects(id, code)
        {
            return;
        }
        if publish.qos == QoS::ExactlyOnce && self.script.rights == Rights::NoQos2 {
            return self.reset(id);
        }
        self.log.note_publish(id);
        if publish.qos == QoS::AtMostOnce && self.administers(id, publish) {
            return;
        }
        match publish.packet_identifier.map(PacketIdentifier::new) {
            None => {
                self.take(id, publish);
            }
            // Forbidden: outside of all accounts.
            Some(None) => {
                let code = self.take(id, publish).code();
                let packet_type = acknowledged_by(publish.qos);
                self.acknowledge(id, packet_type, 0, code);
            }
            Some(Some(identifier)) if !self.is_within_quota(id, identifier, publish.qos) => {}
            Some(Some(identifier)) if publish.qos == QoS::AtLeastOnce => {
                self.receive_at_least_once(id, publish, identifier);
            }
            Some(Some(identifier)) => self.receive_exactly_once(id, publish, identifier),
        }
    }

    /// The Reason Code for a PUBLISH that a Server does not take, whatever its form; absent when it does.
    fn exceeds_offers(&self, id: ConnectionId, publish: &Publish<'_>) -> Option<ReasonCode> {
        let version = self.version(id);
        if publish.properties.subscription_identifier().is_some() {
            // MQTT 5.0 [MQTT-3.3.4-6].
            Some(ReasonCode::PROTOCOL_ERROR)
        } else if publish.qos > self.maximum_qos(version) {
            // MQTT 5.0 [MQTT-3.2.2-11].
            Some(ReasonCode::QOS_NOT_SUPPORTED)
        } else if publish.retain
            && self.script.retained == Retained::Unavailable
            && version == ProtocolVersion::V5
        {
            // MQTT 5.0 section 3.2.2.3.5.
            Some(ReasonCode::RETAIN_NOT_SUPPORTED)
        } else {
            None
        }
    }

    /// The policy for this message. Messages that test the Client's rights get the conforming one.
    fn pubacks_of(&self, publish: &Publish<'_>) -> Pubacks {
        if message::is_rights_probe(publish.topic) { Pubacks::AtOnce } else { self.script.pubacks }
    }

    fn receive_at_least_once(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        identifier: PacketIdentifier,
    ) {
        let pubacks = self.pubacks_of(publish);
        if let Pubacks::Refuse(code) = pubacks {
            return self.refuse_message(id, PacketType::PubAck, identifier, code);
        }
        let code = self.take(id, publish).code();
        match pubacks {
            Pubacks::AtOnce | Pubacks::Refuse(_) => self.acknowledge_once(id, identifier, code),
            Pubacks::Late(time) => {
                self.timers.add(Instant::now() + time, Later::Acknowledge(id, identifier, code));
            }
            Pubacks::WithNext => {
                self.acknowledge_held(id, None);
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.held = Some((identifier, code));
                }
                self.timers.add(Instant::now() + DELAYED_ACK, Later::AcknowledgeHeld(id, identifier));
            }
            Pubacks::Never => {}
        }
    }

    /// Acknowledges the message that waits for the Client's next one; with an identifier, only if it has that one.
    pub(super) fn acknowledge_held(&mut self, id: ConnectionId, only: Option<PacketIdentifier>) {
        let held = self.connections.get_mut(&id).and_then(|connection| {
            connection.held.take_if(|(held, _)| only.is_none_or(|only| only == *held))
        });
        if let Some((identifier, code)) = held {
            self.acknowledge_once(id, identifier, code);
        }
    }

    /// Whether the Receive Maximum in the CONNACK allows this PUBLISH; applies the policy if not.
    fn is_within_quota(&mut self, id: ConnectionId, identifier: PacketIdentifier, qos: QoS) -> bool {
        let Some(limit) = self.receive_maximum(id) else { return true };
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let is_exceeded = match self.script.flow {
            Flow::Tolerate => false,
            Flow::Leak | Flow::LeakThenFin => connection.publishes >= limit,
            _ => connection.outstanding.len() >= limit && !connection.outstanding.contains(&identifier),
        };
        if !is_exceeded {
            connection.publishes += 1;
            connection.outstanding.insert(identifier);
            return true;
        }
        match self.script.flow {
            Flow::Disconnect | Flow::Leak | Flow::Tolerate => {
                self.disconnect(id, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
            }
            Flow::Fin | Flow::LeakThenFin => self.hang_up(id),
            Flow::Rst => self.reset(id),
            Flow::Silence => self.set_phase(id, Phase::Muted),
            Flow::Refuse(code) => {
                let packet_type = acknowledged_by(qos);
                let identifier = identifier.get();
                self.send(id, answer::acknowledgement(self.version(id), packet_type, identifier, Some(code)));
            }
        }
        false
    }

    /// Acknowledges a QoS 1 message, which returns its quota.
    pub(super) fn acknowledge_once(
        &mut self,
        id: ConnectionId,
        identifier: PacketIdentifier,
        code: ReasonCode,
    ) {
        self.give_quota_back(id, identifier);
        self.acknowledge(id, PacketType::PubAck, identifier.get(), code);
    }

    /// Refuses a message with any Reason Code, which returns its quota. MQTT 3.1.1 cannot refuse: it acknowledges.
    fn refuse_message(
        &mut self,
        id: ConnectionId,
        packet_type: PacketType,
        identifier: PacketIdentifier,
        code: u8,
    ) {
        self.give_quota_back(id, identifier);
        let identifier = identifier.get();
        self.send(id, answer::acknowledgement(self.version(id), packet_type, identifier, Some(code)));
    }

    fn receive_exactly_once(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        identifier: PacketIdentifier,
    ) {
        if let Pubacks::Refuse(code) = self.pubacks_of(publish) {
            return self.refuse_message(id, PacketType::PubRec, identifier, code);
        }
        let Some(session) = self.session_of(id) else { return };
        let mut code = ReasonCode::SUCCESS;
        if session.received.insert(identifier.get()) {
            code = self.take(id, publish).code();
        }
        if code.is_error() && self.version(id) == ProtocolVersion::V5 {
            // MQTT 5.0 section 4.9: that returns the quota, and no PUBREL follows.
            self.give_quota_back(id, identifier);
            if let Some(session) = self.session_of(id) {
                session.received.remove(&identifier.get());
            }
        }
        self.acknowledge(id, PacketType::PubRec, identifier.get(), code);
    }

    fn give_quota_back(&mut self, id: ConnectionId, identifier: PacketIdentifier) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.outstanding.remove(&identifier);
        }
    }

    fn take(&mut self, id: ConnectionId, publish: &Publish<'_>) -> Taken {
        match self.script.rights {
            Rights::NoPublish => return Taken::Forbidden,
            Rights::NoDelivery => return Taken::Yes,
            Rights::All | Rights::NoSubscribe | Rights::NoQos2 => {}
        }
        let message = Message::published(publish);
        let publisher = self.connections.get(&id).map(|connection| connection.client_id.clone());
        self.accept_message(&message, &publisher.unwrap_or_default())
    }

    /// Acts on PUBREL: ends a QoS 2 message from the Client.
    pub(super) fn complete(&mut self, id: ConnectionId, packet_identifier: u16) {
        let Some(session) = self.session_of(id) else { return };
        // A message under 0 that a policy has taken is in no account.
        let was_there = session.received.remove(&packet_identifier) || packet_identifier == 0;
        if let Some(identifier) = PacketIdentifier::new(packet_identifier) {
            self.give_quota_back(id, identifier);
        }
        self.acknowledge(id, PacketType::PubComp, packet_identifier, code_for(was_there));
    }

    /// Acts on PUBREC: the Client has received a QoS 2 message.
    pub(super) fn release(&mut self, id: ConnectionId, received: &Ack<'_>) {
        let Some(identifier) = PacketIdentifier::new(received.packet_identifier) else { return };
        let Some(session) = self.session_of(id) else { return };
        if received.reason_code.is_error() {
            // MQTT 5.0 [MQTT-4.3.3-4]: that ends it, without a PUBREL.
            return self.finish(id, identifier.get(), QoS::ExactlyOnce);
        }
        let is_known = session.window.release(identifier);
        self.acknowledge(id, PacketType::PubRel, identifier.get(), code_for(is_known));
    }

    /// Acts on a packet that ends a delivery at this QoS: PUBACK, PUBCOMP, or a PUBREC that refuses.
    pub(super) fn finish(&mut self, id: ConnectionId, packet_identifier: u16, qos: QoS) {
        let Some(identifier) = PacketIdentifier::new(packet_identifier) else { return };
        let Some(session) = self.session_of(id) else { return };
        session.window.finish(identifier, qos);
        if let Some(connection) = self.connections.get(&id) {
            let client_id = connection.client_id.clone();
            self.flush(&client_id);
        }
    }

    fn acknowledge(&self, id: ConnectionId, packet_type: PacketType, identifier: u16, code: ReasonCode) {
        let code = (code != ReasonCode::SUCCESS).then_some(code.0);
        self.send(id, answer::acknowledgement(self.version(id), packet_type, identifier, code));
    }

    /// How many messages the CONNACK promised to accept at a time; absent in MQTT 3.1.1, which has no such limit.
    fn receive_maximum(&self, id: ConnectionId) -> Option<usize> {
        match self.version(id) {
            ProtocolVersion::V3_1_1 => None,
            ProtocolVersion::V5 => Some(self.script.receive_maximum.map_or(u16::MAX, NonZeroU16::get).into()),
        }
    }

    /// The highest QoS that the CONNACK promised to accept.
    pub(super) fn maximum_qos(&self, version: ProtocolVersion) -> QoS {
        match version {
            ProtocolVersion::V3_1_1 => QoS::ExactlyOnce,
            ProtocolVersion::V5 => self.script.maximum_qos.unwrap_or(QoS::ExactlyOnce),
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

/// The packet that answers a PUBLISH with this QoS.
const fn acknowledged_by(qos: QoS) -> PacketType {
    match qos {
        QoS::AtMostOnce | QoS::AtLeastOnce => PacketType::PubAck,
        QoS::ExactlyOnce => PacketType::PubRec,
    }
}

/// The Reason Code for a Packet Identifier.
const fn code_for(is_known: bool) -> ReasonCode {
    if is_known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND }
}
