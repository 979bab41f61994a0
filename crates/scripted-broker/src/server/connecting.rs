//! Accepting a Client: its ClientID, and its session (MQTT 5.0 section 3.1.4).

use std::rc::Rc;

use tokio::time::Instant;
use ungraceful_mqtt::{Connect, ProtocolVersion, ReasonCode};

use super::connection::{LastWill, Phase};
use super::credentials::METHOD;
use super::session::{SessionExpiry, WaitingWill};
use super::{ConnectionId, Later, Server};
use crate::log::Event;
use crate::policy::{Retained, Sessions, TakeOver, Wills};

/// The ClientID that the broker chooses for a connection.
pub(super) fn assigned_client_id(id: ConnectionId) -> String {
    format!("assigned-{id}")
}

impl Server {
    /// Accepts a CONNECT, or refuses it for what this broker does not support.
    pub(super) fn connect(&mut self, id: ConnectionId, connect: &Connect<'_>, version: ProtocolVersion) {
        let has_no_name = connect.client_id.is_empty();
        if self.refuses_credentials(id, connect, version) {
            return;
        }
        let method = connect.properties.authentication_method();
        if method.is_some_and(|method| method != METHOD) {
            return self.refuse(id, version, ReasonCode::BAD_AUTHENTICATION_METHOD);
        }
        if let Some(will) = &connect.will
            && version == ProtocolVersion::V5
        {
            if self.script.maximum_qos.is_some_and(|maximum| will.qos > maximum) {
                // MQTT 5.0 [MQTT-3.2.2-12].
                return self.refuse(id, version, ReasonCode::QOS_NOT_SUPPORTED);
            }
            if will.retain && self.script.retained == Retained::Unavailable {
                // MQTT 5.0 [MQTT-3.2.2-13].
                return self.refuse(id, version, ReasonCode::RETAIN_NOT_SUPPORTED);
            }
        }
        let assigned = has_no_name.then(|| assigned_client_id(id));
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);
        if let Some(code) = self.refuses_return(client_id) {
            return self.refuse(id, version, code);
        }
        let holder = self.holder(id, client_id);
        if let Some(holder) = holder
            && self.script.take_over == TakeOver::RefuseNewcomer
        {
            self.log.note(Event::TakeOver { connection: holder, by: id });
            return self.refuse(id, version, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        }
        let expiry = SessionExpiry::of_connect(version, connect.clean_start, connect.properties);
        let present = self.take_session(id, client_id, connect.clean_start, expiry);
        let acceptance = self.acceptance(version, present, assigned.as_deref(), method);
        let keep_alive_s = match version {
            ProtocolVersion::V5 => self.script.server_keep_alive_s.unwrap_or(connect.keep_alive_s),
            ProtocolVersion::V3_1_1 => connect.keep_alive_s,
        };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.version = version;
        connection.client_id = client_id.to_owned();
        connection.user_name = connect.user_name.map(ToOwned::to_owned);
        connection.has_method = method.is_some();
        connection.will = connect.will.as_ref().map(LastWill::of);
        connection.keep_alive_s = keep_alive_s;
        // 0 is forbidden. A policy may accept it: then there is no limit.
        let receive_maximum = connect.properties.receive_maximum().filter(|&maximum| maximum > 0);
        connection.receive_maximum = receive_maximum.unwrap_or(u16::MAX).into();
        connection.packet_size_max = (connect.properties.maximum_packet_size())
            .filter(|&size| size > 0)
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(usize::MAX);
        connection.acceptance = acceptance;
        connection.phase = Phase::Waiting;
        self.await_expiry(id, connect);
        match self.script.take_over {
            TakeOver::NewcomerWaits(time) if holder.is_some() => {
                self.timers.add(Instant::now() + time, Later::Admit(id));
            }
            _ => self.admit(id),
        }
    }

    /// Sends the CONNACK that was held back, and everything that is queued for the Client.
    fn admit(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.phase != Phase::Waiting {
            return;
        }
        connection.phase = Phase::Serving;
        let acceptance = std::mem::take(&mut connection.acceptance);
        let client_id = connection.client_id.clone();
        let will = connection.will.as_ref().map(|will| Rc::clone(&will.message));
        if let (Wills::OfEarlierConnection, Some(message)) = (self.script.wills, will) {
            self.publish_will(&client_id, &WaitingWill { connection: id, message, copies: 1 });
        }
        self.send(id, acceptance);
        self.resume(&client_id);
    }

    /// Sends a CONNACK whose delay is over.
    pub(super) fn admit_late(&mut self, id: ConnectionId) {
        self.admit(id);
        // Now process what the Client has sent meanwhile.
        self.take_in(id, &[]);
    }

    /// The other connection with this ClientID.
    fn holder(&self, id: ConnectionId, client_id: &str) -> Option<ConnectionId> {
        self.sessions.get(client_id)?.connection.filter(|&holder| holder != id)
    }

    /// Binds the session of a ClientID to a connection, after dealing with the connection that holds it. Returns Session
    /// Present.
    pub(super) fn take_session(
        &mut self,
        id: ConnectionId,
        client_id: &str,
        clean_start: bool,
        expiry: SessionExpiry,
    ) -> bool {
        let policy = self.script.sessions;
        let goes_on = match policy {
            Sessions::ResumeClean | Sessions::ResumeCleanSilently => true,
            _ => !clean_start,
        };
        if let Some(holder) = self.holder(id, client_id) {
            // MQTT 5.0 [MQTT-3.1.4-3]. A session that expires at the close ends with it.
            self.take_over(holder, id, client_id, goes_on);
        }
        if !goes_on {
            self.end_session(client_id);
        } else if matches!(policy, Sessions::Forget | Sessions::LiePresent) {
            self.sessions.remove(client_id);
        }
        let is_kept = self.sessions.contains_key(client_id);
        let session = self.sessions.entry(client_id.to_owned()).or_default();
        // MQTT 5.0 [MQTT-3.1.3-9].
        session.will = None;
        session.apply_policy(policy);
        session.connection = Some(id);
        session.expiry = match policy {
            Sessions::UncleanWithoutDup if clean_start => SessionExpiry::AtClose,
            _ => expiry,
        };
        self.session_uses += 1;
        session.use_number = self.session_uses;
        match policy {
            Sessions::ResumeCleanSilently => is_kept && !clean_start,
            Sessions::LieAbsent => false,
            Sessions::LiePresent => !clean_start,
            _ => is_kept,
        }
    }
}
