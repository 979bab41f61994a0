//! What the machine can hold, checked against the plan before the first packet. `supply` reads the machine; the rest is a pure
//! function of the plan and of that.

mod lines;
mod supply;

use ungraceful_flags::Mistake;
use ungraceful_wire::Transport;

use crate::broker::target::BrokerChoice;
use crate::bystanders::pair::honest_connections;
use crate::run::settings::{Experiment, Spread, Work};

pub use self::supply::{Supply, raise_descriptor_limit};

/// Descriptors for everything that is no connection: files of the record, timers, runtimes, standard streams.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Descriptors of a worker thread besides its attempts': its timers, and a probe per running attempt.
const DESCRIPTORS_PER_THREAD: u64 = 8;
/// Descriptors that the run's own process has for each worker process: its standard input and output.
const DESCRIPTORS_PER_PROCESS: u64 = 4;

/// How many connections a process with one thread can make within this limit of file descriptors.
#[must_use]
pub const fn clients_of_a_worker(descriptors: u64) -> u64 {
    // The run's own process has a thread for its bystanders, and needs as much.
    descriptors.saturating_sub(2 * DESCRIPTORS_PER_THREAD + DESCRIPTORS_BESIDES)
}

/// Where the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerPlace {
    /// On another machine, as far as its address tells.
    Elsewhere,
    /// On this machine, at this process id where it is known.
    Here(Option<u32>),
    /// The run starts it.
    OfTheRun,
}

/// The layers over TCP, as far as memory and CPU time depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layering {
    /// TLS.
    pub tls: bool,
    /// WebSocket.
    pub websocket: bool,
}

/// What a plan takes at the same time, at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Clients that misbehave at the same time (`--count`), or the clients of a load.
    pub clients: u64,
    /// All their connections at the same time, probes included.
    pub connections: u64,
    /// Processes that share them.
    pub processes: u64,
    /// Connections of the process that has most of them.
    pub connections_of_a_process: u64,
    /// Whether they belong to attempts of a fault, and not to a load.
    pub are_attempts: bool,
    /// Bystander pairs; each takes two connections and a timer.
    pub bystander_pairs: u64,
    /// Whether bystanders connect through a tunnel, which takes two more descriptors for each connection.
    pub tunnelled: bool,
    /// Generator threads, with that of the bystanders, over all processes.
    pub threads: u64,
    /// Local addresses that connections go out from.
    pub sources: u64,
    /// Addresses and ports that they go to.
    pub destinations: u64,
    /// The layers over TCP.
    pub layering: Layering,
    /// Where the broker runs.
    pub broker: BrokerPlace,
    /// Connections per second; 0 where they are not spread over time.
    pub connects_per_second: f64,
    /// Connections that a load opens at the same time; absent for attempts.
    pub connects_in_flight: Option<u64>,
}

ungraceful_record::words! {
    /// Something of which a machine has only so much.
    pub enum Limit: "limit" {
        /// Open files of one process of the generator.
        Descriptors = "descriptors of a process",
        /// Open files of the broker's process.
        BrokerDescriptors = "descriptors of the broker",
        /// Open files of the whole system.
        SystemDescriptors = "descriptors of the system",
        /// Ephemeral ports, over all source addresses and destinations.
        Ports = "local ports",
        /// Memory in bytes.
        Memory = "memory",
        /// Connections being opened at the same time, and the listen backlog that they wait in.
        Backlog = "connects in flight",
        /// Busy threads, and cores.
        Cores = "threads and cores",
        /// TLS handshakes per second.
        Handshakes = "TLS handshakes per second",
    }
}

/// How well a plan fits one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits, as far as is known.
    Fits,
    /// The run can be made, and its figures suffer. Names the cure.
    Warning(String),
    /// The run can't be made. Names the flag to change, and the cure.
    Short(Mistake),
}

impl Fit {
    /// A word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Warning(_) => "warning",
            Self::Short(_) => "short",
        }
    }
}

/// What a plan needs of one thing, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The thing.
    pub limit: Limit,
    /// What the plan needs; bytes for memory.
    pub needed: u64,
    /// What there is; absent where unknown.
    pub available: Option<u64>,
    /// Whether that is enough.
    pub fit: Fit,
}

/// A plan held against its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// A line for each limit that applies.
    pub lines: Vec<Line>,
}

impl Preflight {
    /// Holds a plan against what there is.
    #[must_use]
    pub fn of(demand: &Demand, supply: &Supply) -> Self {
        Self { lines: lines::ALL.iter().filter_map(|line| line(demand, supply)).collect() }
    }

    /// Reads the machine, and holds an experiment against it.
    #[must_use]
    pub fn of_experiment(experiment: &Experiment) -> Self {
        Self::of_demand(&Demand::of(experiment))
    }

    /// Reads the machine, and holds a plan against it.
    #[must_use]
    pub fn of_demand(demand: &Demand) -> Self {
        let broker_pid = if let BrokerPlace::Here(pid) = demand.broker { pid } else { None };
        Self::of(demand, &Supply::read(broker_pid))
    }

    /// Every shortage with its cure; empty when the plan fits.
    #[must_use]
    pub fn shortages(&self) -> Vec<Mistake> {
        let short = self.lines.iter().filter_map(|line| match &line.fit {
            Fit::Short(mistake) => Some(mistake.clone()),
            Fit::Fits | Fit::Warning(_) => None,
        });
        short.collect()
    }

    /// What lets the run's figures suffer, with its cure.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match &line.fit {
            Fit::Warning(what) => Some(what.as_str()),
            Fit::Fits | Fit::Short(_) => None,
        })
    }
}

impl Demand {
    /// What an experiment takes, if the broker supports every selected version.
    #[must_use]
    pub fn of(experiment: &Experiment) -> Self {
        let Experiment { common, work } = experiment;
        let cases = work.attempts().map_or(0, |attempts| (attempts.faults)(&common.target.versions).len());
        let connections = experiment.connections_at_once(cases);
        let connects = work.load().map(crate::run::load::Load::connects);
        Self {
            // Each client of a load is a connection.
            clients: experiment.clients_at_once(cases),
            connections,
            processes: connects.map_or(1, |connects| connects.processes),
            connections_of_a_process: connects.map_or(connections, |connects| connects.of_a_process),
            are_attempts: work.attempts().is_some(),
            bystander_pairs: common.bystanders.pairs,
            tunnelled: common.target.transport.is_layered(),
            threads: u64::from(common.threads.get()) + 1,
            sources: common.target.sources.len() as u64,
            destinations: 1 + common.target.nodes.as_ref().map_or(0, |nodes| nodes.further.len() as u64),
            layering: Layering::of(&common.target.transport),
            broker: BrokerPlace::of(&common.target.broker, common.watch.pid),
            connects_per_second: match work {
                Work::Load(load) => load.connects().per_second,
                Work::Attempts(attempts) => match attempts.schedule.spread {
                    Spread::Rate { per_second, .. } => per_second,
                    Spread::Waves => 0.0,
                },
            },
            connects_in_flight: connects.map(|connects| connects.in_flight.min(connections)),
        }
    }

    /// The larger of two demands in each respect, of runs one after the other.
    #[must_use]
    pub fn or_larger(self, other: Self) -> Self {
        let connections_of_a_process = self.connections_of_a_process.max(other.connections_of_a_process);
        let larger = if other.connections > self.connections { other } else { self };
        Self {
            bystander_pairs: self.bystander_pairs.max(other.bystander_pairs),
            threads: self.threads.max(other.threads),
            connects_per_second: self.connects_per_second.max(other.connects_per_second),
            connects_in_flight: self.connects_in_flight.max(other.connects_in_flight),
            connections_of_a_process,
            ..larger
        }
    }

    /// Descriptors that the process takes that needs most.
    #[must_use]
    pub fn descriptors(&self) -> u64 {
        let connecting = self.connections_of_a_process + self.descriptors_beside_connections();
        if self.processes <= 1 {
            return connecting;
        }
        // The run's own process then has no other connections than those of the bystanders.
        let of_run = self.descriptors_of_bystanders() + DESCRIPTORS_PER_PROCESS * self.processes;
        connecting.max(of_run + DESCRIPTORS_BESIDES)
    }

    /// What a process that makes connections needs besides.
    fn descriptors_beside_connections(&self) -> u64 {
        let of_threads = DESCRIPTORS_PER_THREAD * self.threads.div_ceil(self.processes.max(1));
        let of_bystanders = if self.processes <= 1 { self.descriptors_of_bystanders() } else { 0 };
        of_threads + of_bystanders + DESCRIPTORS_BESIDES
    }

    fn descriptors_of_bystanders(&self) -> u64 {
        if self.tunnelled { 7 * self.bystander_pairs } else { 3 * self.bystander_pairs }
    }

    /// Connections with those of the bystanders.
    #[must_use]
    pub fn all_connections(&self) -> u64 {
        self.connections + honest_connections(self.bystander_pairs)
    }

    /// Local ports that each pair of a source address and a destination has to give.
    fn ports_each(&self) -> u64 {
        self.ports().div_ceil(self.sources.max(1) * self.destinations.max(1))
    }

    /// Local ports that the plan takes.
    #[must_use]
    pub fn ports(&self) -> u64 {
        self.all_connections()
    }

    /// Connections of each client, at most.
    fn connections_per_client(&self) -> u64 {
        self.connections.div_ceil(self.clients.max(1)).max(1)
    }

    /// What the plan takes with one misbehaving client.
    fn of_one_client(self) -> Self {
        let connections = self.connections_per_client();
        Self { clients: 1, connections, connections_of_a_process: connections, processes: 1, ..self }
    }

    fn is_on_one_machine(&self) -> bool {
        self.broker != BrokerPlace::Elsewhere
    }
}

impl Layering {
    fn of(transport: &Transport) -> Self {
        Self { tls: transport.tls.is_some(), websocket: transport.websocket.is_some() }
    }
}

impl BrokerPlace {
    fn of(choice: &BrokerChoice, pid: Option<u32>) -> Self {
        match choice {
            BrokerChoice::Embedded
            | BrokerChoice::SpawnMosquitto
            | BrokerChoice::SpawnAdministeredMosquitto => Self::OfTheRun,
            BrokerChoice::Host { host, .. } => {
                let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
                // Its process is watched from here.
                if is_loopback || host == "localhost" || pid.is_some() {
                    Self::Here(pid)
                } else {
                    Self::Elsewhere
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
