//! The server's own packets, as bytes: what the standard wants, and what a policy asks for instead.

use ungraceful_mqtt::forbidden::{Forged, RemainingLength};
use ungraceful_mqtt::{
    ConnAck, ConnectReturnCode, PacketType, Property, ProtocolVersion, ReasonCode, encode,
};

use super::connection::Phase;
use super::{ConnectionId, Server};

/// Five bytes with which no packet can begin: the fourth byte of the length says that a fifth follows.
pub(super) const GARBAGE: [u8; 5] = [0xFF; 5];

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\n\
    \r\n\
    400 Bad Request";

/// DISCONNECT with Property Length: four bytes.
pub(super) fn disconnect(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect).byte(code.0).byte(0).to_vec()
}

/// DISCONNECT without Property Length: three bytes.
pub(super) fn disconnect_short(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect).byte(code.0).to_vec()
}

/// The first three bytes of a DISCONNECT that says it has seven.
pub(super) fn half_disconnect(code: ReasonCode) -> Vec<u8> {
    Forged::of_type(PacketType::Disconnect)
        .byte(code.0)
        .remaining_length(RemainingLength::Claimed(5))
        .to_vec()
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
    /// A CONNACK that accepts, and says what this broker does not do.
    pub(super) fn acceptance(
        &self,
        version: ProtocolVersion,
        present: bool,
        assigned: Option<&str>,
    ) -> Vec<u8> {
        let mut properties = vec![];
        if version == ProtocolVersion::V5 {
            let receive_maximum =
                self.script.receive_maximum.map(|value| Property::ReceiveMaximum(value.get()));
            properties.extend(receive_maximum);
            properties.extend(assigned.map(Property::AssignedClientIdentifier));
            properties.push(Property::SubscriptionIdentifierAvailable(0));
            properties.push(Property::SharedSubscriptionAvailable(0));
        }
        let mut bytes = Vec::new();
        ConnAck { session_present: present, code: 0, properties: properties.as_slice().into() }
            .encode(version, &mut bytes)
            .expect("every property is one of a CONNACK, with a legal value");
        bytes
    }

    pub(super) fn answer_ping(&self, id: ConnectionId) {
        let mut bytes = Vec::new();
        encode::pingresp(&mut bytes);
        self.send(id, bytes);
    }

    pub(super) fn answer_as_http(&mut self, id: ConnectionId) {
        self.send(id, BAD_REQUEST.to_vec());
        self.hang_up(id);
    }

    /// Sends bytes on a connection that is still spoken to.
    pub(super) fn send(&self, id: ConnectionId, bytes: Vec<u8>) {
        let open = self.connections.get(&id);
        let open = open.filter(|open| matches!(open.phase, Phase::AwaitingConnect | Phase::Serving));
        if let Some(connection) = open {
            connection.link.send(bytes);
        }
    }
}
