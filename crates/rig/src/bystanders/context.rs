//! What the tasks of the honest thread share: clients, clock, orders from the run, and where they report.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_wire::Transport;

use crate::broker::target::Credentials;
use crate::bystanders::honest::{HonestConnection, HonestSender, honest_client};
use crate::bystanders::lost_connections::LostConnections;
use crate::bystanders::message_meter::MessageMeter;
use crate::bystanders::orders::OrdersReceiver;
use crate::bystanders::pulse::Pulse;
use crate::bystanders::readiness::ReadinessSender;
use crate::measure::clock::RunClock;

/// The pause before an honest client that lost its connection reconnects.
pub(crate) const RECONNECT_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct HonestContext {
    pub(crate) clients: HonestClients,
    pub(crate) clock: RunClock,
    pub(crate) pulse: Pulse,
    pub(crate) orders: OrdersReceiver,
    pub(crate) readiness: ReadinessSender,
    pub(crate) lost: LostConnections,
    pub(crate) messages: MessageMeter,
}

impl HonestContext {
    /// A connection ended or could not be made; only an established one can be lost. Returns when a planned outage
    /// took it, for [`LostConnections::restored`].
    pub(crate) fn connection_ended(&self, why: String, was_connected: bool) -> Option<u64> {
        if self.clients.are_leaving.get() {
            return None;
        }
        self.readiness.failed(why.clone());
        if was_connected { self.lost.note(why, self.clock.now_us()) } else { None }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(crate) address: SocketAddr,
    pub(crate) version: ProtocolVersion,
    pub(crate) credentials: Credentials,
    pub(crate) connect_timeout: Duration,
    /// The layers over TCP.
    pub(crate) transport: Transport,
    pub(crate) client_id_prefix: String,
    pub(crate) topic_root: Arc<str>,
    /// The highest QoS that the broker accepts; honest clients keep to it.
    pub(crate) maximum_qos: QoS,
}

/// Creates and ends the honest clients.
#[derive(Debug)]
pub(crate) struct HonestClients {
    settings: ClientSettings,
    /// The latest sender of each client, by ClientID.
    senders: RefCell<HashMap<String, HonestSender>>,
    /// Once set, connections may end at any time.
    are_leaving: Cell<bool>,
}

impl HonestClients {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        Self { settings, senders: RefCell::default(), are_leaving: Cell::new(false) }
    }

    /// Creates the client whose ClientID ends in `suffix`; it connects when it is first polled.
    pub(crate) fn make(&self, suffix: &str) -> (HonestSender, HonestConnection) {
        let settings = &self.settings;
        let client_id = format!("{}{suffix}", settings.client_id_prefix);
        let made = honest_client(
            settings.address,
            settings.version,
            &client_id,
            &settings.credentials,
            settings.connect_timeout,
        );
        self.senders.borrow_mut().insert(client_id, made.0.clone());
        made
    }

    /// The wanted QoS, or the highest that the broker accepts.
    pub(crate) fn qos_at_most(&self, wanted: QoS) -> QoS {
        wanted.min(self.settings.maximum_qos)
    }

    pub(crate) fn topic(&self, levels: &str) -> String {
        format!("{}/{levels}", self.settings.topic_root)
    }

    /// Disconnects every client: honest clients leave no error in a broker's log.
    pub(crate) async fn leave(&self) {
        const LEAVE_WITHIN: Duration = Duration::from_millis(100);
        self.are_leaving.set(true);
        for sender in self.senders.borrow().values() {
            let _connection_is_gone = sender.try_disconnect();
        }
        tokio::time::sleep(LEAVE_WITHIN).await;
    }
}
