//! The first CONNECT: applies the policies for greeting and refusal. `connecting.rs` accepts Clients.

use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{
    Connect, ConnectReturnCode, Frame, PROTOCOL_NAME, Packet, PacketType, ProtocolVersion, ReasonCode,
};

use super::connecting::assigned_client_id;
use super::connection::{Connection, Phase};
use super::session::SessionExpiry;
use super::{Ban, ConnectionId, Later, Server, answer, malformed};
use crate::log::Event;
use crate::policy::{Greeting, Malformed, Refused};

impl Server {
    /// Acts on the first packet of a connection.
    pub(super) fn greet(&mut self, id: ConnectionId, found: Frame<'_>) {
        // A CONNECT carries its own version; the one given here has no effect.
        let decoded = found.decode(ProtocolVersion::V5);
        let connect = match decoded.packet {
            Packet::Connect(connect) => connect,
            _ if self.script.greeting == Greeting::Silent => return self.set_phase(id, Phase::Muted),
            _ if found.packet_type() != Some(PacketType::Connect) => {
                return self.receive_before_connect(id, found);
            }
            _ if self.rejects_connect(id) => return,
            _ => malformed::guess(found.body),
        };
        let is_odd = !decoded.oddities.is_empty();
        self.log.note(Event::Connect {
            connection: id,
            client_id: connect.client_id.to_owned(),
            protocol_level: connect.protocol_level.unwrap_or_default(),
            clean_start: connect.clean_start,
        });
        let version = connect.version();
        let answer_version = version.unwrap_or(ProtocolVersion::V3_1_1);
        let greeting = self.script.greeting;
        match greeting {
            // HTTP has answered before the first packet was whole.
            Greeting::Http => {}
            Greeting::Silent => self.set_phase(id, Phase::Muted),
            Greeting::SilentToV5 if version == Some(ProtocolVersion::V5) => self.set_phase(id, Phase::Muted),
            Greeting::Fin => self.hang_up(id),
            Greeting::Refuse(code) => self.refuse(id, answer_version, code),
            Greeting::RefuseWith(v5, v3_1_1) => self.refuse_with(id, answer_version, v5, v3_1_1),
            Greeting::BanAfter(connections, time)
                if self.is_banned(connect.client_id, connections.get(), time) =>
            {
                self.refuse(id, answer_version, ReasonCode::BANNED);
            }
            Greeting::AtMost(clients) if self.served() >= clients.get() as usize => self.hang_up(id),
            Greeting::AtMostPerSecond(clients) if !self.greeted.accepts_one(clients.get()) => {
                self.refuse(id, answer_version, ReasonCode::CONNECTION_RATE_EXCEEDED);
            }
            Greeting::OnlyV3_1_1 if version != Some(ProtocolVersion::V3_1_1) => self.refuse_version(id),
            Greeting::OnlyV5 if version != Some(ProtocolVersion::V5) => self.hang_up(id),
            _ => self.greet_version(id, &connect, is_odd),
        }
    }

    /// Counts a CONNECT of this ClientID. True if it exceeds the limit, or arrives during the ban.
    fn is_banned(&mut self, client_id: &str, connections: u32, time: Duration) -> bool {
        let now = Instant::now();
        let record = self.bans.entry(client_id.to_owned()).or_default();
        match record.until {
            Some(until) if now < until => return true,
            Some(_) => *record = Ban::default(),
            None => {}
        }
        record.connections += 1;
        if record.connections > connections {
            record.until = Some(now + time);
        }
        record.until.is_some()
    }

    /// How many Clients are connected.
    fn served(&self) -> usize {
        let is_served =
            |connection: &&Connection| matches!(connection.phase, Phase::Waiting | Phase::Serving);
        self.connections.values().filter(is_served).count()
    }

    fn greet_version(&mut self, id: ConnectionId, connect: &Connect<'_>, is_odd: bool) {
        let version = connect.version();
        // MQTT 3.1.1 [MQTT-3.1.3-7].
        let lacks_client_id =
            version == Some(ProtocolVersion::V3_1_1) && connect.client_id.is_empty() && !connect.clean_start;
        let is_polite = self.script.malformed == Malformed::Disconnect;
        match version {
            // MQTT 3.1.1 [MQTT-3.1.2-2]: an unsupported level is answered in the format of MQTT 3.1.1.
            None if is_polite && connect.protocol_name == PROTOCOL_NAME => self.refuse_version(id),
            // MQTT 3.1.1 [MQTT-3.1.3-8].
            Some(version) if is_polite && lacks_client_id && !is_odd => {
                self.refuse(id, version, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
            }
            _ if (is_odd || lacks_client_id) && self.rejects_connect(id) => {}
            _ => self.connect(id, connect, version.unwrap_or(ProtocolVersion::V3_1_1)),
        }
    }

    fn refuse_version(&mut self, id: ConnectionId) {
        self.refuse(id, ProtocolVersion::V3_1_1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
    }

    /// CONNACK with this Reason Code or the Connect Return Code nearest to it, then FIN.
    pub(super) fn refuse(&mut self, id: ConnectionId, version: ProtocolVersion, code: ReasonCode) {
        self.refuse_with(id, version, code, answer::return_code_near(code));
    }

    fn refuse_with(
        &mut self,
        id: ConnectionId,
        version: ProtocolVersion,
        v5: ReasonCode,
        v3_1_1: ConnectReturnCode,
    ) {
        self.send(id, answer::refusal(version, v5, v3_1_1));
        match self.script.refused {
            Refused::Close => self.hang_up(id),
            Refused::ServeFor(time) => {
                self.serve_refused(id, version);
                self.timers.add(Instant::now() + time, Later::HangUpServed(id));
            }
            Refused::Serve => self.serve_refused(id, version),
        }
    }

    /// Serves a Client that was refused, with a session that no other Client has.
    fn serve_refused(&mut self, id: ConnectionId, version: ProtocolVersion) {
        let client_id = assigned_client_id(id);
        self.take_session(id, &client_id, true, SessionExpiry::AtClose);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.version = version;
            connection.client_id = client_id;
            connection.phase = Phase::Serving;
        }
    }

    pub(super) fn set_phase(&mut self, id: ConnectionId, phase: Phase) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.phase = phase;
        }
    }
}
