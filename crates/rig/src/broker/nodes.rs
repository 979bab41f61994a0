//! Where clients connect: one broker, or several nodes or listeners of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use ungraceful_wire::{ConnectOptions, Endpoint};

use crate::bystanders::pulse::Pulse;

ungraceful_record::words! {
    /// How clients are spread over the nodes.
    pub enum NodeOrder: "order" {
        /// Each further connection of a client goes to the next node.
        Connection = "connection",
        /// All connections of a client go to one node, and the next client's to the next.
        Client = "client",
    }
}

/// A broker, or a node or listener of one.
#[derive(Clone, Debug)]
pub struct Node {
    /// `host:port` as the user named it.
    pub name: String,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The host that its certificate must be issued for; that of the run's TLS when absent.
    pub server_name: Option<String>,
    /// Whether it is alive.
    pub pulse: Pulse,
}

/// A node, for other processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharedNode {
    name: String,
    address: SocketAddr,
    server_name: Option<String>,
}

impl SharedNode {
    fn of(node: &Node) -> Self {
        Self {
            name: node.name.clone(),
            address: node.endpoint.address,
            server_name: node.server_name.clone(),
        }
    }

    fn node(self) -> Node {
        Node {
            name: self.name,
            endpoint: Endpoint { address: self.address },
            server_name: self.server_name,
            pulse: Pulse::default(),
        }
    }
}

/// The nodes of a run, as one client sees them: in which order it connects to them. A clone shares the order.
#[derive(Clone, Debug)]
pub struct Nodes {
    all: Arc<[Node]>,
    order: NodeOrder,
    first: usize,
    connections: Arc<AtomicUsize>,
}

impl Nodes {
    /// These nodes, at least one.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(all: Vec<Node>, order: NodeOrder) -> Self {
        assert!(!all.is_empty(), "a run has a broker");
        Self { all: all.into(), order, first: 0, connections: Arc::default() }
    }

    /// A single one.
    #[must_use]
    pub fn only(address: SocketAddr) -> Self {
        let node = Node {
            name: address.to_string(),
            endpoint: Endpoint { address },
            server_name: None,
            pulse: Pulse::default(),
        };
        Self::new(vec![node], NodeOrder::default())
    }

    /// The same nodes for another process.
    #[must_use]
    pub fn shared(&self) -> Vec<SharedNode> {
        self.all.iter().map(SharedNode::of).collect()
    }

    /// The nodes of another process, for clients with one connection each.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn of_shared(shared: Vec<SharedNode>) -> Self {
        Self::new(shared.into_iter().map(SharedNode::node).collect(), NodeOrder::default())
    }

    /// All of them, in the order in which the user named them.
    #[must_use]
    pub fn all(&self) -> &[Node] {
        &self.all
    }

    /// Where they listen, in the same order.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|node| node.endpoint.address).collect()
    }

    /// The first: the one whose log is followed.
    #[must_use]
    pub fn first(&self) -> &Node {
        &self.all[0]
    }

    /// Whether there are several.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// The node of this number, counted on from the first after the last.
    #[must_use]
    pub fn at(&self, number: usize) -> &Node {
        &self.all[number % self.all.len()]
    }

    /// The same nodes for the client of this number, which begins with the node of its number.
    #[must_use]
    pub fn of_client(&self, number: usize) -> Self {
        Self { first: number % self.all.len(), connections: Arc::default(), ..self.clone() }
    }

    /// The node for the next connection of this client.
    #[must_use]
    pub fn next(&self) -> &Node {
        let earlier = self.connections.fetch_add(1, Ordering::Relaxed);
        let further = match self.order {
            NodeOrder::Connection => earlier,
            NodeOrder::Client => 0,
        };
        self.at(self.first.wrapping_add(further))
    }

    /// For how many connections of this client a node was chosen.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Node {
    /// How to connect to it, where the run connects by `options`.
    #[must_use]
    pub fn options(&self, options: &ConnectOptions) -> ConnectOptions {
        let transport = options.transport.toward(self.server_name.as_deref(), &self.name);
        ConnectOptions { transport, ..options.clone() }
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_wire::Endpoint;

    use super::{Node, NodeOrder, Nodes};
    use crate::bystanders::pulse::Pulse;

    fn nodes(names: &[&str], order: NodeOrder) -> Nodes {
        let node = |name: &&str| Node {
            name: (*name).to_owned(),
            endpoint: Endpoint { address: ([127, 0, 0, 1], 9).into() },
            server_name: None,
            pulse: Pulse::default(),
        };
        Nodes::new(names.iter().map(node).collect(), order)
    }

    #[test]
    fn the_connections_of_a_client_go_to_one_node_after_another() {
        let nodes = nodes(&["a", "b", "c"], NodeOrder::Connection);
        for (client, order) in [(0, "abca"), (1, "bcab"), (5, "cabc")] {
            let of_client = nodes.of_client(client);
            let went: String = (0..4).map(|_| of_client.next().name.as_str()).collect();
            assert_eq!(went, order);
        }
    }

    #[test]
    fn a_client_may_stay_at_its_node() {
        let nodes = nodes(&["a", "b"], NodeOrder::Client);
        let went: String = (0..6).map(|number| nodes.of_client(number / 2).next().name.clone()).collect();
        assert_eq!(went, "aabbaa");
        let of_client = nodes.of_client(1);
        let _chosen = [of_client.next(), of_client.next()];
        assert_eq!((of_client.connections(), nodes.of_client(1).connections()), (2, 0));
    }
}
