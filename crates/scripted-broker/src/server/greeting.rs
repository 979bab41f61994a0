//! The first CONNECT: applies the greeting policy. `connecting.rs` accepts Clients.

use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{Connect, ConnectReturnCode, Frame, Packet, ProtocolVersion, ReasonCode};

use super::connection::{Connection, Phase};
use super::{Ban, ConnectionId, Server, answer};
use crate::log::Event;
use crate::policy::Greeting;

impl Server {
    /// Acts on the first packet of a connection.
    pub(super) fn greet(&mut self, id: ConnectionId, found: Frame<'_>) {
        // A CONNECT carries its own version; the one given here has no effect.
        let decoded = found.decode(ProtocolVersion::V5);
        let Packet::Connect(connect) = decoded.packet else {
            // MQTT 5.0 [MQTT-3.1.0-1]; also a CONNECT that cannot be read.
            return match self.script.greeting {
                Greeting::Silent => self.set_phase(id, Phase::Muted),
                _ => self.hang_up(id),
            };
        };
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
            _ => self.greet_version(id, &connect, !decoded.oddities.is_empty()),
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
        match connect.version() {
            // MQTT 3.1.1 [MQTT-3.1.2-2]: an unsupported level is answered in the format of MQTT 3.1.1.
            None if connect.protocol_name == ungraceful_mqtt::PROTOCOL_NAME => self.refuse_version(id),
            Some(version) if !is_odd => self.connect(id, connect, version),
            _ => self.hang_up(id),
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
        self.hang_up(id);
    }

    pub(super) fn set_phase(&mut self, id: ConnectionId, phase: Phase) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.phase = phase;
        }
    }
}
