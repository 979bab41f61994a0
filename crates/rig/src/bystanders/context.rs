//! What the tasks of the honest thread share: clients, clock, orders from the run, and where they report.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::spawn_local;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_wire::{ConnectOptions, Transport};

use crate::broker::clients::{Clients, Identity};
use crate::broker::nodes::{Node, Nodes};
use crate::bystanders::honest::{HonestConnection, HonestSender, honest_client};
use crate::bystanders::lost_connections::LostConnections;
use crate::bystanders::message_meter::MessageMeter;
use crate::bystanders::orders::OrdersReceiver;
use crate::bystanders::readiness::ReadinessSender;
use crate::bystanders::tunnel::Tunnel;
use crate::measure::clock::RunClock;

/// The pause before an honest client that lost its connection reconnects.
pub(crate) const RECONNECT_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct HonestContext {
    pub(crate) clients: HonestClients,
    pub(crate) clock: RunClock,
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
    pub(crate) nodes: Nodes,
    pub(crate) version: ProtocolVersion,
    pub(crate) clients: Clients,
    pub(crate) connect_timeout: Duration,
    /// The layers over TCP.
    pub(crate) transport: Transport,
    /// The highest QoS that the broker accepts; honest clients keep to it.
    pub(crate) maximum_qos: QoS,
}

/// Opens a tunnel to this node through these layers, and returns where clients connect to it.
fn open_tunnel(settings: &ClientSettings, node: &Node, transport: Transport) -> io::Result<SocketAddr> {
    let tunnel = Tunnel::open()?;
    let address = tunnel.address()?;
    let options =
        ConnectOptions { connect_timeout: settings.connect_timeout, transport, ..ConnectOptions::default() };
    let options = node.options(&options);
    let _for_as_long_as_the_thread = spawn_local(tunnel.carry(node.endpoint, options));
    Ok(address)
}

/// Creates and ends the honest clients.
#[derive(Debug)]
pub(crate) struct HonestClients {
    settings: ClientSettings,
    /// The latest sender of each client, by ClientID.
    senders: RefCell<HashMap<String, HonestSender>>,
    /// Where clients connect through TLS or WebSocket: by ClientID with a certificate of their own, else by node.
    tunnels: RefCell<HashMap<String, SocketAddr>>,
    /// Once set, connections may end at any time.
    are_leaving: Cell<bool>,
}

impl HonestClients {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        Self {
            settings,
            senders: RefCell::default(),
            tunnels: RefCell::default(),
            are_leaving: Cell::new(false),
        }
    }

    /// Creates the client of this name; it connects when it is first polled. Only within a `LocalSet`.
    pub(crate) fn make(&self, name: &str) -> (HonestSender, HonestConnection) {
        let settings = &self.settings;
        let client = settings.clients.honest(name);
        let made = honest_client(
            self.address_for(&client),
            settings.version,
            &client.client_id,
            &client.credentials,
            settings.connect_timeout,
        );
        self.senders.borrow_mut().insert(client.client_id, made.0.clone());
        made
    }

    /// Where the client connects: to its node, or to a tunnel to it.
    fn address_for(&self, client: &Identity) -> SocketAddr {
        let settings = &self.settings;
        let node = settings.nodes.at(client.number);
        if !settings.transport.is_layered() {
            return node.endpoint.address;
        }
        let key = if client.tls.is_some() { &client.client_id } else { &node.name };
        let known = self.tunnels.borrow().get(key).copied();
        known.unwrap_or_else(|| {
            // Without a free descriptor, connecting to port 0 fails, and the client tries again.
            let opened = open_tunnel(settings, node, client.transport(&settings.transport));
            let Ok(opened) = opened else { return (Ipv4Addr::LOCALHOST, 0).into() };
            self.tunnels.borrow_mut().insert(key.clone(), opened);
            opened
        })
    }

    /// Notes that the node of the client of this name answered it.
    pub(crate) fn beat(&self, name: &str, at_us: u64) {
        self.settings.nodes.at(self.settings.clients.honest_number(name)).pulse.beat(at_us);
    }

    /// The wanted QoS, or the highest that the broker accepts.
    pub(crate) fn qos_at_most(&self, wanted: QoS) -> QoS {
        wanted.min(self.settings.maximum_qos)
    }

    /// Who the client of this name is.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.settings.clients.honest(name)
    }

    /// All clients of the run.
    pub(crate) fn all(&self) -> &Clients {
        &self.settings.clients
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
