//! Accepting a Client: its ClientID, its session, and the take-over of whoever had it (MQTT 5.0 section 3.1.4).

use ungraceful_mqtt::{Connect, ConnectReturnCode, ProtocolVersion, ReasonCode};

use super::connection::Phase;
use super::session::SessionExpiry;
use super::{ConnectionId, Server};
use crate::message::Message;

/// The ClientID that the broker chooses for a connection.
pub(super) fn assigned_client_id(id: ConnectionId) -> String {
    format!("assigned-{id}")
}

impl Server {
    /// Accepts a legal CONNECT, or refuses it for what this broker cannot do.
    pub(super) fn connect(&mut self, id: ConnectionId, connect: &Connect<'_>, version: ProtocolVersion) {
        let has_no_name = connect.client_id.is_empty();
        if has_no_name && version == ProtocolVersion::V3_1_1 && !connect.clean_start {
            // MQTT 3.1.1 [MQTT-3.1.3-8].
            let (v5, v3_1_1) =
                (ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, ConnectReturnCode::IDENTIFIER_REJECTED);
            return self.refuse(id, version, v5, v3_1_1);
        }
        if connect.properties.authentication_method().is_some() {
            let (v5, v3_1_1) = (ReasonCode::BAD_AUTHENTICATION_METHOD, ConnectReturnCode::NOT_AUTHORIZED);
            return self.refuse(id, version, v5, v3_1_1);
        }
        let assigned = has_no_name.then(|| assigned_client_id(id));
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        let expiry = SessionExpiry::of_connect(version, connect.clean_start, connect.properties);
        let present = self.take_session(id, client_id, connect.clean_start, expiry);
        let acceptance = self.acceptance(version, present, assigned.as_deref());
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.version = version;
            connection.client_id = client_id.to_owned();
            connection.will = connect.will.as_ref().map(Message::of_will);
            connection.keep_alive_s = connect.keep_alive_s;
            connection.receive_maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX).into();
            connection.packet_size_max = (connect.properties.maximum_packet_size())
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(usize::MAX);
            connection.phase = Phase::Serving;
        }
        self.send(id, acceptance);
        self.resume(client_id);
    }

    /// Binds the session of a ClientID to a connection, after whoever has it was closed; tells Session Present.
    pub(super) fn take_session(
        &mut self,
        id: ConnectionId,
        client_id: &str,
        clean_start: bool,
        expiry: SessionExpiry,
    ) -> bool {
        let holder = self.sessions.get(client_id).and_then(|session| session.connection);
        if let Some(holder) = holder.filter(|&holder| holder != id) {
            // MQTT 5.0 [MQTT-3.1.4-3]. The session goes with it if it is to expire at the close.
            self.disconnect(holder, ReasonCode::SESSION_TAKEN_OVER);
        }
        if clean_start {
            self.sessions.remove(client_id);
        }
        let present = self.sessions.contains_key(client_id);
        let session = self.sessions.entry(client_id.to_owned()).or_default();
        session.connection = Some(id);
        session.expiry = expiry;
        session.use_count += 1;
        present
    }
}
