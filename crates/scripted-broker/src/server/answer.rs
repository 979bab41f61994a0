//! The server's own packets, as bytes: those that the standard requires, and those that a policy sends instead.

use ungraceful_mqtt::forbidden::{Forged, RemainingLength};
use ungraceful_mqtt::{
    ConnAck, ConnectReturnCode, Packet, PacketType, Property, ProtocolVersion, QoS, ReasonCode,
};

use super::connection::Phase;
use super::{ConnectionId, Server};
use crate::policy::{Retained, SubscriberFlow};

/// Five bytes that begin no packet: the fourth byte of the length announces a fifth.
pub(super) const GARBAGE: [u8; 5] = [0xFF; 5];

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
                             Content-Type: text/plain; charset=utf-8\r\n\
                             Connection: close\r\n\
                             \r\n\
                             400 Bad Request";

/// A packet that the standard allows in this version.
pub(super) fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet
        .encode(version, &mut bytes)
        .expect("our own packets have only codes and properties that they may carry");
    bytes
}

/// DISCONNECT with Property Length: four bytes.
pub(super) fn disconnect(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect).byte(code.0).byte(0).to_vec()
}

/// DISCONNECT without Property Length: three bytes.
pub(super) fn disconnect_short(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect).byte(code.0).to_vec()
}

/// The first three bytes of a DISCONNECT that claims to have seven.
pub(super) fn half_disconnect(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect)
        .byte(code.0)
        .remaining_length(RemainingLength::Claimed(5))
        .to_vec()
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP, with any code or none. MQTT 3.1.1 has no codes.
pub(super) fn acknowledgement(
    version: ProtocolVersion,
    packet_type: PacketType,
    identifier: u16,
    code: Option<u8>,
) -> Vec<u8> {
    let acknowledgement = Forged::of_type(packet_type).two_bytes(identifier);
    match code {
        Some(code) if version == ProtocolVersion::V5 => acknowledgement.byte(code).to_vec(),
        _ => acknowledgement.to_vec(),
    }
}

/// A SUBACK or UNSUBACK with any Packet Identifier, and any codes or none.
pub(super) fn subscription_answer(
    version: ProtocolVersion,
    packet_type: PacketType,
    identifier: u16,
    codes: &[u8],
) -> Vec<u8> {
    let head = Forged::of_type(packet_type).two_bytes(identifier);
    match version {
        ProtocolVersion::V3_1_1 => head.raw(codes).to_vec(),
        ProtocolVersion::V5 => head.byte(0).raw(codes).to_vec(),
    }
}

/// The Connect Return Code nearest to a Reason Code. MQTT 3.1.1 has five refusals; a code without a counterpart becomes
/// Server unavailable.
pub(super) const fn return_code_near(code: ReasonCode) -> ConnectReturnCode {
    match code {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => ConnectReturnCode::UNACCEPTABLE_PROTOCOL_VERSION,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => ConnectReturnCode::IDENTIFIER_REJECTED,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => ConnectReturnCode::BAD_USER_NAME_OR_PASSWORD,
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED => ConnectReturnCode::NOT_AUTHORIZED,
        _ => ConnectReturnCode::SERVER_UNAVAILABLE,
    }
}

/// A CONNACK that refuses, with any code.
pub(super) fn refusal(version: ProtocolVersion, v5: ReasonCode, v3_1_1: ConnectReturnCode) -> Vec<u8> {
    let refusal = Forged::of_type(PacketType::ConnAck).byte(0);
    match version {
        ProtocolVersion::V5 => refusal.byte(v5.0).byte(0).to_vec(),
        ProtocolVersion::V3_1_1 => refusal.byte(v3_1_1.0).to_vec(),
    }
}

impl Server {
    /// A CONNACK that accepts, and lists what this broker does not support.
    pub(super) fn acceptance(
        &self,
        version: ProtocolVersion,
        present: bool,
        assigned: Option<&str>,
        method: Option<&str>,
    ) -> Vec<u8> {
        let mut properties = vec![];
        if version == ProtocolVersion::V5 {
            let receive_maximum =
                self.script.receive_maximum.map(|value| Property::ReceiveMaximum(value.get()));
            properties.extend(receive_maximum);
            properties.extend(assigned.map(Property::AssignedClientIdentifier));
            // MQTT 5.0 [MQTT-4.12.0-5].
            properties.extend(method.map(Property::AuthenticationMethod));
            let maximum_qos = self.script.maximum_qos.filter(|&qos| qos < QoS::ExactlyOnce);
            properties.extend(maximum_qos.map(|qos| Property::MaximumQoS(qos.level())));
            if self.script.retained == Retained::Unavailable {
                properties.push(Property::RetainAvailable(0));
            }
            let maximum_packet_size = self.script.maximum_packet_size;
            properties.extend(maximum_packet_size.map(|size| Property::MaximumPacketSize(size.get())));
            let topic_alias_maximum = self.script.topic_alias_maximum;
            properties.extend(topic_alias_maximum.map(|maximum| Property::TopicAliasMaximum(maximum.get())));
            properties.extend(self.script.server_keep_alive_s.map(Property::ServerKeepAlive));
            properties.push(Property::SubscriptionIdentifierAvailable(0));
            properties.push(Property::SharedSubscriptionAvailable(0));
        }
        let properties = properties.as_slice().into();
        encoded(version, &Packet::ConnAck(ConnAck { session_present: present, code: 0, properties }))
    }

    /// Whether the policy withholds PINGRESPs from this Client.
    pub(super) fn is_starving(&self, id: ConnectionId) -> bool {
        if self.script.subscriber_flow != SubscriberFlow::StarvePings {
            return false;
        }
        let Some(connection) = self.connections.get(&id) else { return false };
        let session = self.sessions.get(&connection.client_id);
        session.is_some_and(|session| session.window.sent() >= connection.receive_maximum)
    }

    pub(super) fn answer_as_http(&mut self, id: ConnectionId) {
        self.send(id, BAD_REQUEST.to_vec());
        self.hang_up(id);
    }

    /// Sends a packet that the standard allows.
    pub(super) fn reply(&self, id: ConnectionId, packet: &Packet<'_>) {
        self.send(id, encoded(self.version(id), packet));
    }

    /// Sends bytes, unless the connection is muted or over.
    pub(super) fn send(&self, id: ConnectionId, bytes: Vec<u8>) {
        let open = self.connections.get(&id);
        let open = open.filter(|open| matches!(open.phase, Phase::AwaitingConnect | Phase::Serving));
        if let Some(connection) = open {
            connection.link.send(bytes);
        }
    }
}
