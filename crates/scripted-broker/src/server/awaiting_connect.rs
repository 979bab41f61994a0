//! Connections that have not sent a whole CONNECT: how long the broker waits for it (MQTT 5.0 section 3.1.4).

use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::ReasonCode;

use super::connection::Phase;
use super::{ConnectionId, Later, Server, answer};
use crate::policy::ConnectWait;

impl Server {
    /// Starts the time for the CONNECT of a new connection.
    pub(super) fn await_connect(&mut self, id: ConnectionId) {
        match self.script.connect_wait {
            ConnectWait::ForEver => {}
            ConnectWait::Whole(time) | ConnectWait::ThenDisconnect(time) => {
                self.give_up_after(time, id, None);
            }
            ConnectWait::Gap(time) => self.give_up_after(time, id, Some(0)),
        }
    }

    /// Notes that bytes have arrived.
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

    /// Ends a connection whose CONNECT has not arrived in time, or whose next bytes have not.
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
