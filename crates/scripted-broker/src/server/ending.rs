//! The end of a connection, by either side: its session, its Will, its last packet.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{Disconnect, ProtocolVersion, ReasonCode};

use super::connection::{LastWill, Phase};
use super::session::{SessionExpiry, WaitingWill};
use super::{ConnectionId, Later, Server, answer};
use crate::log::{EndedBy, Event};
use crate::policy::{Malformed, Sessions, Wills};

/// How long a policy processes what follows a DISCONNECT.
const SERVED_AFTER_DISCONNECT: Duration = Duration::from_secs(1);

/// Whether the Client disconnected normally, which voids its Will (`MQTT 5.0 [MQTT-3.1.2-10]`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Farewell {
    /// DISCONNECT with Reason Code 0x00.
    Normal,
    /// Anything else, or nothing.
    None,
}

impl Server {
    /// The Client is gone, or has closed its side.
    pub(crate) fn lost(&mut self, id: ConnectionId) {
        if self.phase(id) != Phase::Ended {
            self.close(id);
            self.end(id, EndedBy::Client);
        }
    }

    /// FIN, after what was sent.
    pub(super) fn hang_up(&mut self, id: ConnectionId) {
        if self.phase(id) != Phase::Ended {
            self.close(id);
            self.end(id, EndedBy::Broker);
        }
    }

    /// RST, at once.
    pub(crate) fn reset(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            connection.link.reset();
        }
        self.end(id, EndedBy::Broker);
    }

    /// DISCONNECT in MQTT 5.0, then FIN.
    pub(super) fn disconnect(&mut self, id: ConnectionId, code: ReasonCode) {
        self.send_disconnect(id, code);
        self.hang_up(id);
    }

    /// DISCONNECT in MQTT 5.0; MQTT 3.1.1 has none from a Server.
    pub(super) fn send_disconnect(&self, id: ConnectionId, code: ReasonCode) {
        let version = self.connections.get(&id).map(|connection| connection.version);
        if version == Some(ProtocolVersion::V5) {
            self.send(id, answer::disconnect(code));
        }
    }

    /// Nothing for this time, then DISCONNECT with this Reason Code and FIN.
    pub(super) fn close_after(&mut self, id: ConnectionId, time: Duration, code: ReasonCode) {
        self.set_phase(id, Phase::Muted);
        self.timers.add(Instant::now() + time, Later::CloseLate(id, code));
    }

    /// Closes what [`Self::close_after`] has kept open.
    pub(super) fn close_late(&mut self, id: ConnectionId, code: ReasonCode) {
        if self.phase(id) == Phase::Muted {
            self.set_phase(id, Phase::Serving);
            self.disconnect(id, code);
        }
    }

    /// Acts on the Client's DISCONNECT.
    pub(super) fn receive_disconnect(&mut self, id: ConnectionId, disconnect: &Disconnect<'_>) {
        let reason_code = disconnect.reason_code;
        self.log.note(Event::Disconnect { connection: id, reason_code: reason_code.0 });
        if let Some(seconds) = disconnect.properties.session_expiry_interval_s() {
            let expiry = SessionExpiry::of_interval(Some(seconds));
            let before = self.session_of(id).map(|session| session.expiry);
            if before == Some(SessionExpiry::AtClose)
                && expiry != SessionExpiry::AtClose
                // MQTT 5.0 section 3.14.2.2.2: an interval of 0 cannot be raised.
                && self.rejects(id, ReasonCode::PROTOCOL_ERROR)
            {
                return;
            }
            if let Some(session) = self.session_of(id) {
                session.expiry = expiry;
            }
        }
        let is_normal = reason_code == ReasonCode::NORMAL_DISCONNECTION;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.farewell = Some(if is_normal { Farewell::Normal } else { Farewell::None });
        }
        let reads_on = matches!(self.script.malformed, Malformed::Ignore | Malformed::Obey);
        if reads_on && self.phase(id) == Phase::Serving {
            self.timers.add(Instant::now() + SERVED_AFTER_DISCONNECT, Later::HangUpServed(id));
        } else {
            self.lost(id);
        }
    }

    fn close(&self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            connection.link.close();
        }
    }

    fn end(&mut self, id: ConnectionId, by: EndedBy) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.phase == Phase::Ended {
            return;
        }
        connection.phase = Phase::Ended;
        let will = connection.will.take();
        let farewell = connection.farewell.unwrap_or(Farewell::None);
        connection.backlog = Vec::new();
        let client_id = std::mem::take(&mut connection.client_id);
        self.log.note(Event::Ended { connection: id, by });
        self.detach(id, &client_id);
        let copies = self.will_copies(farewell);
        if let Some(will) = will
            && copies > 0
        {
            self.settle_will(id, &client_id, will, copies);
        }
    }

    /// Detaches the session of this ClientID from this connection, if it has it. True if that ends the session.
    pub(super) fn detach(&mut self, id: ConnectionId, client_id: &str) -> bool {
        let session = self.sessions.get_mut(client_id).filter(|session| session.connection == Some(id));
        let Some(session) = session else { return false };
        session.connection = None;
        if self.script.sessions == Sessions::NeverExpire {
            return false;
        }
        match session.expiry {
            SessionExpiry::AtClose => {
                self.sessions.remove(client_id);
                return true;
            }
            SessionExpiry::After(time) => {
                let later = Later::ExpireSession(client_id.to_owned(), session.use_number);
                self.timers.add(Instant::now() + time, later);
            }
            SessionExpiry::Never => {}
        }
        false
    }

    /// Ends a session that has expired, unless it has a connection or was resumed since.
    pub(super) fn expire_session(&mut self, client_id: &str, use_number: u64) {
        let unused = (self.sessions.get(client_id))
            .is_some_and(|session| session.connection.is_none() && session.use_number == use_number);
        if unused {
            self.end_session(client_id);
        }
    }

    /// Ends a session, and publishes the Will that waits in it (`MQTT 5.0 [MQTT-3.1.2-8]`).
    pub(super) fn end_session(&mut self, client_id: &str) {
        let will = self.sessions.remove(client_id).and_then(|session| session.will);
        if let Some(will) = will {
            self.publish_will(client_id, &will);
        }
    }

    /// Publishes a Will, or leaves it in the session until its delay or the session is over.
    fn settle_will(&mut self, id: ConnectionId, client_id: &str, will: LastWill, copies: usize) {
        let waiting = WaitingWill { connection: id, message: will.message, copies };
        let is_due = will.delay.is_zero() || self.script.wills == Wills::IgnoreDelay;
        match self.sessions.get_mut(client_id) {
            Some(session) if !is_due => {
                session.will = Some(waiting);
                self.timers.add(Instant::now() + will.delay, Later::PublishWill(client_id.to_owned(), id));
            }
            // It is due, or there is no session left in which it could wait.
            _ => match self.script.wills {
                Wills::Late(by) => {
                    self.timers
                        .add(Instant::now() + by, Later::PublishWillAnyway(client_id.to_owned(), waiting));
                }
                _ => self.publish_will(client_id, &waiting),
            },
        }
    }

    /// Publishes a Will whose delay is over, unless the session was resumed since.
    pub(super) fn publish_late_will(&mut self, client_id: &str, id: ConnectionId) {
        let will = (self.sessions.get_mut(client_id))
            .and_then(|session| session.will.take_if(|will| will.connection == id));
        if let Some(will) = will {
            self.publish_will(client_id, &will);
        }
    }

    pub(super) fn publish_will(&mut self, client_id: &str, will: &WaitingWill) {
        let message = match self.script.wills {
            Wills::NeverRetained => Rc::new(will.message.without_retain()),
            _ => Rc::clone(&will.message),
        };
        for _ in 0..will.copies {
            self.log.note(Event::Will { connection: will.connection, topic: message.topic.clone() });
            self.accept_message(&message, client_id);
        }
    }

    /// How often to publish a Will.
    const fn will_copies(&self, farewell: Farewell) -> usize {
        match (self.script.wills, farewell) {
            // A broker that was killed publishes nothing.
            _ if self.is_down => 0,
            (Wills::Never, _) => 0,
            (Wills::EvenAfterDisconnect, _) => 1,
            (_, Farewell::Normal) => 0,
            (Wills::Twice, Farewell::None) => 2,
            (_, Farewell::None) => 1,
        }
    }
}
