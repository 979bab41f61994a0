//! One function for each limit: what the plan needs of it, what there is, and the cure.

use ungraceful_flags::Mistake;
use ungraceful_record::scale::{bytes, count};

use super::{BrokerPlace, Demand, Fit, Layering, Limit, Line, Supply};

/// User-space memory of an idle connection in bytes, as measured on Linux: plain TCP, TLS, WebSocket, both.
const PLAIN_BYTES: u64 = 800;
const TLS_BYTES: u64 = 10_200;
const WEBSOCKET_BYTES: u64 = 2_700;
const WEBSOCKET_TLS_BYTES: u64 = 10_900;
/// What the task of an attempt takes beside its connection.
const ATTEMPT_BYTES: u64 = 4_096;
/// Kernel memory of one end of an idle connection, measured as 9.7 kB for a pair.
const KERNEL_BYTES_OF_AN_END: u64 = 4_850;
/// What a process takes without connections, and each of its threads with all histograms.
const PROCESS_BYTES: u64 = 8 << 20;
const THREAD_BYTES: u64 = 6 << 20;
/// Mosquitto's listen backlog, the shortest of the usual brokers.
const SHORTEST_BACKLOG: u64 = 100;
/// TLS handshakes per second and core: 419 µs of CPU time each with resumption, 557 µs without.
const HANDSHAKES_PER_CORE: u64 = 1_800;
/// Descriptors of a broker beside its connections.
const BROKER_DESCRIPTORS_BESIDES: u64 = 32;

type LineOf = fn(&Demand, &Supply) -> Option<Line>;

/// Every limit, in the order of the table.
pub(super) const ALL: [LineOf; 8] =
    [descriptors, broker_descriptors, system_descriptors, ports, memory, backlog, cores, handshakes];

fn descriptors(demand: &Demand, supply: &Supply) -> Option<Line> {
    let needed = demand.descriptors();
    let available = supply.descriptors;
    let fit = if needed <= available {
        Fit::Fits
    } else {
        let raised = supply.descriptors_of_a_process_max.filter(|max| needed > *max);
        let raise_first = raised.map(|max| {
            let (max, needed) = (count(max), count(needed));
            format!("raise fs.nr_open (sysctl), which is {max}, to {needed} or more, and then ")
        });
        let fewer = match affordable(demand, available) {
            0 => format!("; even one client needs {}", demand.of_one_client().descriptors()),
            clients => format!(" or lower --count to {clients}"),
        };
        let divide = if demand.are_attempts { "" } else { "give --processes auto, " };
        Fit::Short(Mistake::new(
            "--count",
            format!(
                "this run needs up to {needed} file descriptors in one process, which may open {available}; {divide}{}raise the hard \
                 limit (`ulimit -Hn`, LimitNOFILE, --ulimit nofile){fewer}",
                raise_first.unwrap_or_default(),
            ),
        ))
    };
    Some(Line { limit: Limit::Descriptors, needed, available: Some(available), fit })
}

/// How many clients fit, in proportion to those that were asked for.
fn affordable(demand: &Demand, descriptors: u64) -> u64 {
    let left = descriptors.saturating_sub(demand.descriptors_beside_connections());
    left * demand.processes.max(1) / demand.connections_per_client()
}

/// A warning and no more: how a broker behaves without descriptors may be what the user wants to know.
fn broker_descriptors(demand: &Demand, supply: &Supply) -> Option<Line> {
    let available = match demand.broker {
        // It inherits the limit of this process.
        BrokerPlace::OfTheRun => supply.descriptors,
        BrokerPlace::Here(Some(_)) => supply.descriptors_of_the_broker?,
        BrokerPlace::Here(None) | BrokerPlace::Elsewhere => return None,
    };
    let needed = demand.all_connections() + BROKER_DESCRIPTORS_BESIDES;
    let cure = || {
        format!(
            "the broker needs up to {needed} file descriptors and may open {available}: it will refuse connections; raise its \
             limit, or lower --count"
        )
    };
    let fit = if needed <= available { Fit::Fits } else { Fit::Warning(cure()) };
    Some(Line { limit: Limit::BrokerDescriptors, needed, available: Some(available), fit })
}

fn system_descriptors(demand: &Demand, supply: &Supply) -> Option<Line> {
    let ends = if demand.is_on_one_machine() { 2 } else { 1 };
    let needed = ends * demand.all_connections()
        + demand.descriptors().saturating_sub(demand.connections_of_a_process);
    let available = supply.descriptors_of_the_system?;
    let cure = || {
        let what = format!(
            "this run needs up to {needed} file descriptors in the whole system, which has {available} left; raise fs.file-max \
             (sysctl), or lower --count"
        );
        Mistake::new("--count", what)
    };
    let fit = if needed <= available { Fit::Fits } else { Fit::Short(cure()) };
    Some(Line { limit: Limit::SystemDescriptors, needed, available: Some(available), fit })
}

fn ports(demand: &Demand, supply: &Supply) -> Option<Line> {
    let needed = demand.ports();
    let Some((first, last)) = supply.ports else {
        return Some(Line { limit: Limit::Ports, needed, available: None, fit: Fit::Fits });
    };
    let range = u64::from(last.saturating_sub(first)) + 1;
    let destinations = demand.destinations.max(1);
    let available = range * demand.sources.max(1) * destinations;
    let fit = if needed > available {
        let of_one = demand.of_one_client().ports();
        let fewer = if of_one > available {
            format!("or widen net.ipv4.ip_local_port_range; even one client needs {of_one}")
        } else {
            "widen net.ipv4.ip_local_port_range, or lower --count".to_owned()
        };
        let sources = needed.div_ceil((range / 2).max(1) * destinations);
        Fit::Short(Mistake::new(
            "--count",
            format!(
                "this run needs up to {needed} local ports at once, and {available} are available ({first} to {last}); add source \
                 addresses ({}), {fewer}",
                addresses(sources, demand)
            ),
        ))
    } else if demand.ports_each() > range / 2 {
        let sources = needed.div_ceil((range / 2).max(1) * destinations);
        Fit::Warning(format!(
            "{} connections go out from one address to one port, and with more than {}, half of the local ports, the kernel takes \
             8 to 30 times as long for each further one; give {}",
            count(demand.ports_each()),
            count(range / 2),
            addresses(sources, demand)
        ))
    } else {
        Fit::Fits
    };
    Some(Line { limit: Limit::Ports, needed, available: Some(available), fit })
}

/// So many source addresses, as the user gives them.
fn addresses(number: u64, demand: &Demand) -> String {
    const FIRST: u32 = 0x7F00_0101;
    let last = u32::try_from(number.saturating_sub(1)).ok().and_then(|more| FIRST.checked_add(more));
    match last.filter(|last| demand.is_on_one_machine() && *last < 0x7FFF_FFFF) {
        Some(FIRST) => "--ifaddr 127.0.1.1".to_owned(),
        Some(last) => format!("--ifaddr 127.0.1.1-{}", std::net::Ipv4Addr::from(last)),
        None => format!("{} addresses of this machine with --ifaddr", count(number)),
    }
}

/// User-space memory of a connection.
fn user_bytes(layering: Layering) -> u64 {
    match (layering.tls, layering.websocket) {
        (false, false) => PLAIN_BYTES,
        (true, false) => TLS_BYTES,
        (false, true) => WEBSOCKET_BYTES,
        (true, true) => WEBSOCKET_TLS_BYTES,
    }
}

/// Without the user-space memory of the broker, which is not known.
fn memory(demand: &Demand, supply: &Supply) -> Option<Line> {
    let ends = if demand.is_on_one_machine() { 2 } else { 1 };
    let of_a_client = if demand.are_attempts { ATTEMPT_BYTES } else { 0 };
    let each = user_bytes(demand.layering) + of_a_client + ends * KERNEL_BYTES_OF_AN_END;
    let needed =
        demand.all_connections() * each + demand.processes * PROCESS_BYTES + demand.threads * THREAD_BYTES;
    let Some(available) = supply.memory_bytes else {
        return Some(Line { limit: Limit::Memory, needed, available: None, fit: Fit::Fits });
    };
    let fewer =
        available.saturating_sub(needed - demand.connections * each) / each / demand.connections_per_client();
    let ends = if ends == 2 { "both ends" } else { "one end" };
    let fit = if needed > available {
        let what = format!(
            "this run needs about {} of memory ({} for each connection, with {ends} in the kernel), and {} are available; lower \
             --count to {fewer}",
            bytes(needed),
            bytes(each),
            bytes(available)
        );
        Fit::Short(Mistake::new("--count", what))
    } else if needed > available / 4 * 3 {
        Fit::Warning(format!(
            "this run needs about {} of the {} of memory that are available; messages under way and the broker's own memory come \
             on top",
            bytes(needed),
            bytes(available)
        ))
    } else {
        Fit::Fits
    };
    Some(Line { limit: Limit::Memory, needed, available: Some(available), fit })
}

fn backlog(demand: &Demand, supply: &Supply) -> Option<Line> {
    let needed = demand.connects_in_flight?;
    // On this machine, no listener's backlog is longer.
    let here = supply.somaxconn.filter(|_| demand.is_on_one_machine());
    let available = here.map_or(SHORTEST_BACKLOG, |here| here.min(SHORTEST_BACKLOG));
    let fit = if needed <= available {
        Fit::Fits
    } else {
        let narrow = here.filter(|here| *here < SHORTEST_BACKLOG);
        let raise = narrow.map(|here| format!(", or raise net.core.somaxconn, which is {here}"));
        Fit::Warning(format!(
            "{} connections are opened at the same time, and a listen backlog may take {available} (Mosquitto's has \
             {SHORTEST_BACKLOG}): beyond it a connect waits a second for its second SYN; give --connects-in-flight {available}{}",
            count(needed),
            raise.unwrap_or_default()
        ))
    };
    Some(Line { limit: Limit::Backlog, needed, available: Some(available), fit })
}

fn cores(demand: &Demand, supply: &Supply) -> Option<Line> {
    // That of the bystanders waits most of the time.
    let needed = demand.threads.saturating_sub(1);
    let fit = if needed <= supply.cores {
        Fit::Fits
    } else {
        // Each process has at least one.
        let fewest = supply.cores.max(demand.processes);
        let fewer = (fewest < needed).then(|| format!("give --threads {fewest}, or "));
        Fit::Warning(format!(
            "{} worker threads share {}: counts stay exact, and times include waits for a core; {}use a machine with more cores",
            count(needed),
            ungraceful_record::scale::counted(supply.cores, "core"),
            fewer.unwrap_or_default()
        ))
    };
    Some(Line { limit: Limit::Cores, needed, available: Some(supply.cores), fit })
}

fn handshakes(demand: &Demand, supply: &Supply) -> Option<Line> {
    if !demand.layering.tls || demand.connects_per_second <= 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive rate; the cast saturates"
    )]
    let needed = demand.connects_per_second.ceil() as u64;
    // A broker here needs as much of them.
    let sides = if demand.is_on_one_machine() { 2 } else { 1 };
    let available = HANDSHAKES_PER_CORE * supply.cores / sides;
    let fit = if needed <= available {
        Fit::Fits
    } else {
        Fit::Warning(format!(
            "{} TLS handshakes per second take more than the cores of this machine, which make about {}{}; give --connrate \
             {available}, or use more machines",
            count(needed),
            count(available),
            if sides == 2 { " beside the broker's" } else { "" },
        ))
    };
    Some(Line { limit: Limit::Handshakes, needed, available: Some(available), fit })
}
