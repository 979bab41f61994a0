//! Each limit at its edge.

use super::{BrokerPlace, Demand, Fit, Layering, Limit, Line, Preflight, Supply};

const DEMAND: Demand = Demand {
    clients: 1_000,
    connections: 2_000,
    processes: 1,
    connections_of_a_process: 2_000,
    are_attempts: true,
    bystander_pairs: 3,
    tunnelled: false,
    threads: 3,
    sources: 1,
    destinations: 1,
    layering: Layering { tls: false, websocket: false },
    broker: BrokerPlace::Elsewhere,
    connects_per_second: 100.0,
    connects_in_flight: None,
};

/// A machine on which everything fits.
const LARGE: Supply = Supply {
    descriptors: 1_000_000,
    descriptors_of_a_process_max: Some(1_000_000),
    descriptors_of_the_system: Some(10_000_000),
    descriptors_of_the_broker: None,
    ports: Some((32_768, 60_999)),
    memory_bytes: Some(1 << 36),
    somaxconn: Some(4_096),
    cores: 8,
};

fn line(limit: Limit, demand: Demand, supply: Supply) -> Line {
    let found = Preflight::of(&demand, &supply).lines.into_iter().find(|line| line.limit == limit);
    found.unwrap_or_else(|| panic!("no line about {limit}"))
}

fn has_no_line(limit: Limit, demand: Demand, supply: Supply) -> bool {
    !Preflight::of(&demand, &supply).lines.iter().any(|line| line.limit == limit)
}

fn shortage(limit: Limit, demand: Demand, supply: Supply) -> String {
    match line(limit, demand, supply).fit {
        Fit::Short(mistake) => mistake.what,
        other => panic!("{limit}: {other:?}"),
    }
}

fn warning(limit: Limit, demand: Demand, supply: Supply) -> String {
    match line(limit, demand, supply).fit {
        Fit::Warning(what) => what,
        other => panic!("{limit}: {other:?}"),
    }
}

fn fits(limit: Limit, demand: Demand, supply: Supply) -> bool {
    line(limit, demand, supply).fit == Fit::Fits
}

#[test]
fn a_plan_that_fits_has_neither_shortages_nor_warnings() {
    let preflight = Preflight::of(&DEMAND, &LARGE);
    assert_eq!((preflight.shortages(), preflight.warnings().count()), (Vec::new(), 0), "{preflight:?}");
}

#[test]
fn one_missing_descriptor_is_a_shortage() {
    let needed = DEMAND.descriptors();
    let with = |descriptors| Supply { descriptors, ..LARGE };
    assert!(fits(Limit::Descriptors, DEMAND, with(needed)));
    let short = shortage(Limit::Descriptors, DEMAND, with(needed - 1));
    assert!(short.contains(&needed.to_string()) && short.contains("--count to 999"), "{short}");
    assert!(!short.contains("nr_open"), "{short}");
    let tunnelled = Demand { tunnelled: true, ..DEMAND };
    assert_eq!(tunnelled.descriptors(), needed + 3 * 2 * 2, "two for each connection of three pairs");
    // A hard limit can't be raised above fs.nr_open.
    let low = Supply { descriptors_of_a_process_max: Some(needed - 1), ..with(needed - 1) };
    assert!(shortage(Limit::Descriptors, DEMAND, low).contains("raise fs.nr_open"));
}

#[test]
fn descriptors_count_for_each_process() {
    let two = Demand {
        clients: 2_000,
        processes: 2,
        connections_of_a_process: 1_000,
        threads: 3,
        are_attempts: false,
        ..DEMAND
    };
    // A thousand connections, two threads, and the rest.
    assert_eq!(two.descriptors(), 1_000 + 16 + 64);
    assert!(fits(Limit::Descriptors, two, Supply { descriptors: 1_080, ..LARGE }));
    assert!(
        shortage(Limit::Descriptors, two, Supply { descriptors: 1_079, ..LARGE }).contains("--count to 1998")
    );
    let short = shortage(Limit::Descriptors, two, Supply { descriptors: 1_079, ..LARGE });
    assert!(short.contains("give --processes auto"), "{short}");
    let uneven = Demand { connections_of_a_process: 1_500, ..two };
    assert_eq!(uneven.descriptors(), 1_580);
    let bystanders = Demand { bystander_pairs: 1_000, ..two };
    assert_eq!(bystanders.descriptors(), 3_000 + 8 + 64, "the run's own process has them");
}

#[test]
fn a_broker_of_the_run_or_with_a_known_process_needs_descriptors_too() {
    let with = |broker| Demand { broker, ..DEMAND };
    // Three pairs have eight connections with the witness and the reader of $SYS.
    let needed = 2_000 + 8 + 32;
    let own = |descriptors| Supply { descriptors, ..LARGE };
    assert_eq!(line(Limit::BrokerDescriptors, with(BrokerPlace::OfTheRun), own(9_999)).needed, needed);
    assert!(fits(Limit::BrokerDescriptors, with(BrokerPlace::OfTheRun), own(needed)));
    warning(Limit::BrokerDescriptors, with(BrokerPlace::OfTheRun), own(needed - 1));
    let known = |limit| Supply { descriptors_of_the_broker: Some(limit), ..LARGE };
    assert!(fits(Limit::BrokerDescriptors, with(BrokerPlace::Here(Some(7))), known(needed)));
    let said = warning(Limit::BrokerDescriptors, with(BrokerPlace::Here(Some(7))), known(needed - 1));
    assert!(said.contains("raise its limit"), "{said}");
    for unknown in [BrokerPlace::Here(None), BrokerPlace::Elsewhere] {
        assert!(has_no_line(Limit::BrokerDescriptors, with(unknown), known(1)));
    }
}

#[test]
fn the_system_has_room_for_both_ends_on_one_machine() {
    let left = |left| Supply { descriptors_of_the_system: Some(left), ..LARGE };
    let here = Demand { broker: BrokerPlace::Here(None), ..DEMAND };
    let besides = DEMAND.descriptors() - 2_000;
    assert!(fits(Limit::SystemDescriptors, here, left(2 * 2_008 + besides)));
    let short = shortage(Limit::SystemDescriptors, here, left(2 * 2_008 + besides - 1));
    assert!(short.contains("fs.file-max"), "{short}");
    assert!(fits(Limit::SystemDescriptors, DEMAND, left(2_008 + besides)));
    // Root may exceed it.
    assert!(has_no_line(Limit::SystemDescriptors, here, Supply { descriptors_of_the_system: None, ..LARGE }));
}

#[test]
fn too_few_ports_are_cured_by_another_source_address() {
    let supply = Supply { ports: Some((50_000, 51_000)), ..LARGE };
    let short = shortage(Limit::Ports, DEMAND, supply);
    assert!(short.contains("add source addresses (5 addresses of this machine with --ifaddr)"), "{short}");
    assert_eq!(Preflight::of(&Demand { sources: 3, ..DEMAND }, &supply).shortages(), []);
    assert!(fits(Limit::Ports, Demand { destinations: 5, ..DEMAND }, supply));
}

#[test]
fn half_the_port_range_is_a_cliff() {
    let with =
        |connections| Demand { connections, bystander_pairs: 0, broker: BrokerPlace::Here(None), ..DEMAND };
    // The witness and the reader of $SYS have one each.
    assert!(fits(Limit::Ports, with(14_114), LARGE), "28,232 ports, of which half are 14,116");
    let said = warning(Limit::Ports, with(14_115), LARGE);
    assert!(said.contains("8 to 30 times") && said.ends_with("give --ifaddr 127.0.1.1-127.0.1.2"), "{said}");
    assert!(fits(Limit::Ports, Demand { sources: 2, ..with(14_115) }, LARGE));
    assert!(fits(Limit::Ports, Demand { destinations: 2, ..with(14_115) }, LARGE));
    let million = shortage(Limit::Ports, with(1_000_000), LARGE);
    assert!(million.contains("127.0.1.1-127.0.1.71"), "{million}");
    assert!(fits(Limit::Ports, Demand { sources: 71, ..with(1_000_000) }, LARGE));
}

#[test]
fn when_not_even_one_client_fits_fewer_are_no_cure() {
    // 64 besides, three threads of 8, three pairs of 3, and two connections of the one client.
    let of_descriptors = |descriptors| shortage(Limit::Descriptors, DEMAND, Supply { descriptors, ..LARGE });
    assert!(of_descriptors(98).ends_with("; even one client needs 99"), "{}", of_descriptors(98));
    assert!(of_descriptors(99).ends_with(" or lower --count to 1"));
    let of_ports = |ports| shortage(Limit::Ports, DEMAND, Supply { ports: Some(ports), ..LARGE });
    assert!(of_ports((1, 9)).ends_with("; even one client needs 10"), "{}", of_ports((1, 9)));
    assert!(of_ports((1, 10)).ends_with(", or lower --count"));
}

#[test]
fn all_shortages_are_reported_together() {
    let small = Supply { descriptors: 100, ports: Some((1, 2)), memory_bytes: Some(1), ..LARGE };
    assert_eq!(Preflight::of(&DEMAND, &small).shortages().len(), 3);
}

#[test]
fn memory_depends_on_the_transport_and_on_where_the_broker_runs() {
    let needed = |tls, websocket, broker| {
        let demand = Demand {
            layering: Layering { tls, websocket },
            are_attempts: false,
            bystander_pairs: 0,
            connections: 999_998,
            broker,
            ..DEMAND
        };
        // Without a process and three threads.
        (line(Limit::Memory, demand, LARGE).needed - (8 << 20) - 3 * (6 << 20)) / 1_000_000
    };
    let of = |broker| {
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(tls, websocket)| needed(tls, websocket, broker))
    };
    assert_eq!(of(BrokerPlace::Here(None)), [10_500, 19_900, 12_400, 20_600], "bytes for each connection");
    assert_eq!(of(BrokerPlace::Elsewhere), [5_650, 15_050, 7_550, 15_750]);
}

#[test]
fn too_little_memory_is_a_shortage_and_nearly_too_little_a_warning() {
    let needed = line(Limit::Memory, DEMAND, LARGE).needed;
    let with = |memory_bytes| Supply { memory_bytes: Some(memory_bytes), ..LARGE };
    let short = shortage(Limit::Memory, DEMAND, with(needed - 1));
    assert!(short.contains("lower --count to 999"), "{short}");
    warning(Limit::Memory, DEMAND, with(needed));
    warning(Limit::Memory, DEMAND, with(needed / 3 * 4 - 4));
    assert!(fits(Limit::Memory, DEMAND, with(needed / 3 * 4 + 8)));
    assert!(fits(Limit::Memory, DEMAND, Supply { memory_bytes: None, ..LARGE }), "unknown");
}

#[test]
fn more_connects_in_flight_than_a_backlog_takes_are_a_warning() {
    let with = |in_flight, broker| Demand { connects_in_flight: Some(in_flight), broker, ..DEMAND };
    assert!(fits(Limit::Backlog, with(100, BrokerPlace::Elsewhere), LARGE));
    let said = warning(Limit::Backlog, with(101, BrokerPlace::Elsewhere), LARGE);
    assert!(said.ends_with("give --connects-in-flight 100"), "{said}");
    let narrow = Supply { somaxconn: Some(64), ..LARGE };
    assert!(fits(Limit::Backlog, with(64, BrokerPlace::OfTheRun), narrow));
    let said = warning(Limit::Backlog, with(65, BrokerPlace::OfTheRun), narrow);
    assert!(said.contains("--connects-in-flight 64, or raise net.core.somaxconn, which is 64"), "{said}");
    assert!(
        fits(Limit::Backlog, with(65, BrokerPlace::Elsewhere), narrow),
        "that is not the broker's machine"
    );
    assert!(has_no_line(Limit::Backlog, DEMAND, LARGE), "attempts have no such limit");
}

#[test]
fn more_threads_than_cores_are_a_warning() {
    let with = |threads| Demand { threads, ..DEMAND };
    assert!(fits(Limit::Cores, with(9), LARGE), "eight, and that of the bystanders");
    let said = warning(Limit::Cores, with(10), LARGE);
    assert!(said.contains("9 worker threads share 8 cores") && said.contains("--threads 8"), "{said}");
}

#[test]
fn a_machine_makes_only_so_many_tls_handshakes() {
    let with = |connects_per_second, broker| Demand {
        layering: Layering { tls: true, websocket: false },
        connects_per_second,
        broker,
        ..DEMAND
    };
    assert!(fits(Limit::Handshakes, with(14_400.0, BrokerPlace::Elsewhere), LARGE));
    warning(Limit::Handshakes, with(14_400.5, BrokerPlace::Elsewhere), LARGE);
    let said = warning(Limit::Handshakes, with(7_201.0, BrokerPlace::Here(None)), LARGE);
    assert!(said.contains("beside the broker's") && said.contains("--connrate 7200"), "{said}");
    assert!(has_no_line(Limit::Handshakes, DEMAND, LARGE), "plain TCP has none");
    assert!(has_no_line(Limit::Handshakes, with(0.0, BrokerPlace::Elsewhere), LARGE), "in waves");
}

#[test]
fn runs_one_after_the_other_need_what_the_largest_needs() {
    let small =
        Demand { connections: 10, threads: 9, bystander_pairs: 5, connects_per_second: 1.0, ..DEMAND };
    let both = small.or_larger(DEMAND);
    assert_eq!(both, DEMAND.or_larger(small));
    assert_eq!((both.connections, both.threads, both.bystander_pairs), (2_000, 9, 5));
}
