//! A second CONNECT on a connection that is being served: applies the policy.

use tokio::time::Instant;
use ungraceful_mqtt::{Packet, ProtocolVersion, ReasonCode};

use super::connecting::assigned_client_id;
use super::connection::{LastWill, Phase};
use super::session::SessionExpiry;
use super::{ConnectionId, Later, Server, answer};
use crate::log::Event;
use crate::policy::{SecondConnect, Wills};

/// The parts of a second CONNECT that policies need, if it can be read.
struct Second {
    client_id: String,
    clean_start: bool,
    expiry: SessionExpiry,
    will: Option<LastWill>,
}

impl Second {
    fn read(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Connect(connect) = packet else { return None };
        let version = connect.version().unwrap_or(ProtocolVersion::V3_1_1);
        Some(Self {
            client_id: connect.client_id.to_owned(),
            clean_start: connect.clean_start,
            expiry: SessionExpiry::of_connect(version, connect.clean_start, connect.properties),
            will: connect.will.as_ref().map(LastWill::of),
        })
    }
}

impl Server {
    /// Acts on a CONNECT that is not the first of its connection.
    pub(super) fn connect_again(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let second = Second::read(packet);
        let client_id = second.as_ref().map(|second| second.client_id.clone());
        self.log.note(Event::SecondConnect { connection: id, client_id });
        self.attacked = Some(Instant::now());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let version = connection.version;
        if let (Wills::OfSecondConnect, Some(second)) = (self.script.wills, &second) {
            connection.will.clone_from(&second.will);
        }
        match self.script.second_connect {
            SecondConnect::Disconnect => self.disconnect(id, ReasonCode::PROTOCOL_ERROR),
            SecondConnect::DisconnectCode(code) => self.disconnect(id, ReasonCode(code)),
            SecondConnect::DisconnectShort => {
                if version == ProtocolVersion::V5 {
                    self.send(id, answer::disconnect_short(ReasonCode::PROTOCOL_ERROR));
                }
                self.hang_up(id);
            }
            SecondConnect::DisconnectEvenOn3_1_1 => {
                self.send_and_hang_up(id, answer::disconnect(ReasonCode::PROTOCOL_ERROR));
            }
            SecondConnect::DisconnectThenSilence => {
                self.send_disconnect(id, ReasonCode::PROTOCOL_ERROR);
                self.set_phase(id, Phase::Muted);
            }
            SecondConnect::Fin => self.hang_up(id),
            SecondConnect::Rst => self.reset(id),
            SecondConnect::CloseAfter(time) => self.close_after(id, time, ReasonCode::PROTOCOL_ERROR),
            SecondConnect::ServeFor(time) => {
                self.timers.add(Instant::now() + time, Later::CloseServed(id, ReasonCode::PROTOCOL_ERROR));
            }
            SecondConnect::SecondConnackThenServe => {
                let acceptance = self.acceptance(version, false, None, None);
                self.send(id, acceptance);
            }
            SecondConnect::SecondConnackThenFin => {
                let acceptance = self.acceptance(version, false, None, None);
                self.send_and_hang_up(id, acceptance);
            }
            SecondConnect::AdoptSecondClientId => self.adopt(id, version, second),
            SecondConnect::KeepSessionOfSecondClientId => {
                self.keep_session(id, second);
                self.disconnect(id, ReasonCode::PROTOCOL_ERROR);
            }
            SecondConnect::Ignore => {}
            SecondConnect::Silence => self.set_phase(id, Phase::Muted),
            SecondConnect::HalfPacketThenFin => {
                self.send_and_hang_up(id, answer::half_disconnect(ReasonCode::PROTOCOL_ERROR));
            }
            SecondConnect::GarbageThenFin => self.send_and_hang_up(id, answer::GARBAGE.to_vec()),
            SecondConnect::GarbageThenServe => self.send(id, answer::GARBAGE.to_vec()),
            SecondConnect::CrashBroker => self.crash.notify_one(),
        }
    }

    fn send_and_hang_up(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        self.send(id, bytes);
        self.hang_up(id);
    }

    /// Binds the connection to the ClientID of the second CONNECT; the session of the first is left as after a close.
    fn adopt(&mut self, id: ConnectionId, version: ProtocolVersion, second: Option<Second>) {
        let Some(second) = second else { return self.disconnect(id, ReasonCode::MALFORMED_PACKET) };
        let assigned = second.client_id.is_empty().then(|| assigned_client_id(id));
        let client_id = assigned.clone().unwrap_or(second.client_id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let first = std::mem::replace(&mut connection.client_id, client_id.clone());
        if first != client_id {
            self.detach(id, &first);
        }
        let present = self.take_session(id, &client_id, second.clean_start, second.expiry);
        let acceptance = self.acceptance(version, present, assigned.as_deref(), None);
        self.send(id, acceptance);
        self.resume(&client_id);
    }

    /// Leaves a session for the ClientID of the second CONNECT that never expires, unless another connection uses it.
    fn keep_session(&mut self, id: ConnectionId, second: Option<Second>) {
        let Some(second) = second else { return };
        let session = self.sessions.entry(second.client_id).or_default();
        if session.connection.is_none_or(|holder| holder == id) {
            session.expiry = SessionExpiry::Never;
        }
    }
}
