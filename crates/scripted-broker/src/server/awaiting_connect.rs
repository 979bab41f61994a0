//! Connections that have not sent a whole CONNECT: how long the broker waits for it (MQTT 5.0 section 3.1.4).

use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::ReasonCode;

use super::connection::Phase;
use super::{ConnectionId, Later, Server, answer};
use crate::policy::ConnectWait;

impl Server {
    /// A connection has come: the time for its CONNECT begins.
    pub(super) fn await_connect(&mut self, id: ConnectionId) {
        match self.script.connect_wait {
            ConnectWait::ForEver => {}
            ConnectWait::Whole(time) | ConnectWait::ThenDisconnect(time) => {
                self.give_up_after(time, id, None);
            }
            ConnectWait::Gap(time) => self.give_up_after(time, id, Some(0)),
        }
    }

    /// Bytes have come.
    pub(super) fn note_read(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_read_at = Instant::now();
        if connection.phase != Phase::AwaitingConnect {
            return;
        }
        connection.reads += 1;
        let reads = connection.reads;
        if let ConnectWait::Gap(time) = self.script.connect_wait {
            self.give_up_after(time, id, Some(reads));
        }
    }

    fn give_up_after(&self, time: Duration, id: ConnectionId, reads: Option<u64>) {
        self.timers.add(Instant::now() + time, Later::GiveUpOnConnect(id, reads));
    }

    /// The time of a CONNECT is over, unless it has come; or the time between two bytes of it, unless one has.
    pub(super) fn give_up_on_connect(&mut self, id: ConnectionId, reads: Option<u64>) {
        let Some(connection) = self.connections.get(&id) else { return };
        let has_gone_on = reads.is_some_and(|reads| connection.reads != reads);
        if connection.phase != Phase::AwaitingConnect || has_gone_on {
            return;
        }
        if matches!(self.script.connect_wait, ConnectWait::ThenDisconnect(_)) {
            self.send(id, answer::disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
        }
        self.hang_up(id);
    }
}
