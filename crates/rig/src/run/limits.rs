//! What the machine can hold: descriptors and local ports, checked against the plan before the first packet.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bystanders::pair::honest_connections;
use ungraceful_flags::Mistake;

/// Descriptors for everything that is no connection: files of the record, timers, runtimes, standard streams.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Descriptors of a worker thread besides its attempts': its timers, and a probe per running attempt.
const DESCRIPTORS_PER_THREAD: u64 = 8;

/// What a plan takes at the same time, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Clients that misbehave at the same time (`--count`).
    pub clients: u64,
    /// All their connections at the same time, probes included.
    pub connections: u64,
    /// Bystander pairs; each takes two connections and a timer.
    pub bystander_pairs: u64,
    /// Whether bystanders connect through a tunnel, which takes two more descriptors for each connection.
    pub tunnelled: bool,
    /// Generator threads.
    pub threads: u64,
    /// Local addresses that connections go out from.
    pub sources: u64,
}

/// What the machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Soft limit of open files, after it was raised.
    pub descriptors: u64,
    /// First and last ephemeral port; absent where unknown.
    pub ports: Option<(u16, u16)>,
}

impl Demand {
    /// Descriptors that the plan takes.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        self.connections
            + if self.tunnelled { 7 } else { 3 } * self.bystander_pairs
            + DESCRIPTORS_PER_THREAD * self.threads
            + DESCRIPTORS_BESIDES
    }

    /// Connections of each client, at most.
    fn connections_per_client(&self) -> u64 {
        self.connections.div_ceil(self.clients.max(1)).max(1)
    }

    /// What the plan takes with one misbehaving client.
    fn of_one_client(self) -> Self {
        Self { clients: 1, connections: self.connections_per_client(), ..self }
    }

    /// Local ports that the plan takes.
    #[must_use]
    pub fn ports(&self) -> u64 {
        self.connections + honest_connections(self.bystander_pairs)
    }
}

/// Every shortage of the machine, with its cure; empty when the plan fits.
#[must_use]
pub fn shortages(demand: Demand, supply: Supply) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let needed = demand.descriptors();
    if needed > supply.descriptors {
        mistakes.push(Mistake::new(
            "--count",
            format!(
                "this run needs up to {needed} file descriptors and this process may open {}; raise the hard limit \
                 (`ulimit -Hn`, LimitNOFILE, --ulimit nofile){}",
                supply.descriptors,
                match affordable(demand, supply.descriptors) {
                    0 => format!("; even one client needs {}", demand.of_one_client().descriptors()),
                    clients => format!(" or lower --count to {clients}"),
                }
            ),
        ));
    }
    if let Some((first, last)) = supply.ports {
        let available = (u64::from(last.saturating_sub(first)) + 1) * demand.sources.max(1);
        if demand.ports() > available {
            let of_one = demand.of_one_client().ports();
            let fewer = if of_one > available {
                format!("or widen net.ipv4.ip_local_port_range; even one client needs {of_one}")
            } else {
                "widen net.ipv4.ip_local_port_range, or lower --count".to_owned()
            };
            mistakes.push(Mistake::new(
                "--count",
                format!(
                    "this run needs up to {} local ports at once, and {available} are available ({first} to {last}); add \
                     source addresses with --ifaddr, {fewer}",
                    demand.ports()
                ),
            ));
        }
    }
    mistakes
}

/// How many clients fit, in proportion to those that were asked for.
fn affordable(demand: Demand, descriptors: u64) -> u64 {
    let besides = Demand { connections: 0, ..demand }.descriptors();
    descriptors.saturating_sub(besides) / demand.connections_per_client()
}

/// Raises the soft limit of open files to the hard one, and returns it.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        return limit.current.unwrap_or(u64::MAX);
    }
    limit.maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Demand, Supply, shortages};

    const DEMAND: Demand = Demand {
        clients: 1_000,
        connections: 2_000,
        bystander_pairs: 3,
        tunnelled: false,
        threads: 3,
        sources: 1,
    };

    #[test]
    fn one_missing_descriptor_is_a_shortage() {
        let needed = DEMAND.descriptors();
        let supply = Supply { descriptors: needed, ports: Some((32_768, 60_999)) };
        assert_eq!(shortages(DEMAND, supply), []);
        let refused = shortages(DEMAND, Supply { descriptors: needed - 1, ..supply });
        assert_eq!(refused.len(), 1);
        let tunnelled = Demand { tunnelled: true, ..DEMAND };
        assert_eq!(tunnelled.descriptors(), needed + 3 * 2 * 2, "two for each connection of three pairs");
        assert!(refused[0].what.contains(&needed.to_string()) && refused[0].what.contains("--count to 999"));
    }

    #[test]
    fn too_few_ports_are_cured_by_another_source_address() {
        let supply = Supply { descriptors: 1_000_000, ports: Some((50_000, 51_000)) };
        let refused = shortages(DEMAND, supply);
        assert!(refused.len() == 1 && refused[0].what.contains("--ifaddr"), "{refused:?}");
        assert_eq!(shortages(Demand { sources: 3, ..DEMAND }, supply), []);
    }

    #[test]
    fn when_not_even_one_client_fits_fewer_are_no_cure() {
        // 64 besides, three threads of 8, three pairs of 3, and two connections of the one client.
        let refused = |descriptors, ports| shortages(DEMAND, Supply { descriptors, ports });
        let of_descriptors = refused(98, None);
        assert!(of_descriptors[0].what.ends_with("; even one client needs 99"), "{of_descriptors:?}");
        assert!(refused(99, None)[0].what.ends_with(" or lower --count to 1"));
        let of_ports = refused(1_000_000, Some((1, 9)));
        assert!(of_ports[0].what.ends_with("; even one client needs 10"), "{of_ports:?}");
        assert!(refused(1_000_000, Some((1, 10)))[0].what.ends_with(", or lower --count"));
    }

    #[test]
    fn both_shortages_are_reported_together() {
        assert_eq!(shortages(DEMAND, Supply { descriptors: 100, ports: Some((1, 2)) }).len(), 2);
    }
}
