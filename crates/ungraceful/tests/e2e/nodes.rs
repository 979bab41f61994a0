//! Several hosts: nodes or listeners of one broker. Here, two listeners of one Mosquitto, whose log names the port of each connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

use ungraceful_mqtt::QoS;
use ungraceful_record::offers::Offers;
use ungraceful_record::testing::every;

use crate::real_brokers::RealBroker;
use crate::support::{Call, bench, call, double_connect, free_port};

struct TwoListeners {
    broker: RealBroker,
    second: SocketAddr,
    _folder: tempfile::TempDir,
}

impl TwoListeners {
    fn start() -> Self {
        Self::with("")
    }

    /// With more lines for the second listener.
    fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let added = folder.path().join("added");
        let second = SocketAddr::from(([127, 0, 0, 1], free_port()));
        fs::write(&added, format!("listener {} 127.0.0.1\n{lines}", second.port())).unwrap();
        let broker = RealBroker::start_with("mosquitto", &["--add", added.to_str().unwrap()])
            .expect("run scripts/install-mosquitto first");
        Self { broker, second, _folder: folder }
    }

    /// The flags for both, the second by its own port.
    fn flags(&self) -> String {
        format!("--host 127.0.0.1,{} --port {}", self.second, self.broker.address.port())
    }

    /// The listeners that each client of `call` connected to.
    fn ports_of(&self, call: &Call) -> BTreeMap<String, BTreeSet<u16>> {
        let log = fs::read_to_string(&self.broker.log).unwrap();
        let mut port_of = BTreeMap::new();
        let mut ports: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        let ids: BTreeSet<String> = call.attempts().into_iter().map(|attempt| attempt.client_id).collect();
        for line in log.lines() {
            if let Some((from, port)) =
                line.split_once("New connection from ").and_then(|(_, rest)| rest.split_once(" on port "))
            {
                port_of.insert(from.to_owned(), port.trim_end_matches('.').parse::<u16>().unwrap());
            } else if let Some((from, rest)) =
                line.split_once("New client connected from ").and_then(|(_, rest)| rest.split_once(" as "))
            {
                let id = rest.split(' ').next().unwrap().to_owned();
                if ids.contains(&id) {
                    ports.entry(id).or_default().insert(port_of[from]);
                }
            }
        }
        assert_eq!(ports.len(), ids.len(), "{log}");
        ports
    }
}

#[test]
fn both_sides_of_a_take_over_are_on_different_listeners() {
    let broker = TwoListeners::start();
    let both = BTreeSet::from([broker.broker.address.port(), broker.second.port()]);
    let storm =
        call("ungraceful-takeover", "storm", &format!("{} --variant clean --count 8 -V 5", broker.flags()));
    assert_eq!((storm.violated(), storm.attempts().len()), (Vec::new(), 8), "{storm}");
    let ports = broker.ports_of(&storm);
    assert!(every(ports.values(), |ports| *ports == both), "{ports:?}");
    let record = storm.record().broker;
    assert_eq!(record.target, format!("{}, {}", broker.broker.address, broker.second), "{storm}");
    let by_client = call(
        "ungraceful-takeover",
        "storm",
        &format!("{} --host-order client --variant clean --count 8 -V 5", broker.flags()),
    );
    let ports = broker.ports_of(&by_client);
    assert!(every(ports.values(), |ports| ports.len() == 1), "{ports:?}");
    let used: BTreeSet<u16> = ports.into_values().flatten().collect();
    assert_eq!((by_client.violated(), used), (Vec::new(), both), "{by_client}");
}

#[test]
fn a_load_is_spread_over_all_hosts() {
    let broker = TwoListeners::start();
    let flags = "--publishers 4 --subscribers 4 --rate 80 --duration 1s -q 1 -V 5 --threads 1";
    let load = bench("pubsub", &format!("{} {flags}", broker.flags())).expect_exit(0);
    let counts = load.load().all();
    assert_eq!((counts.delivered, counts.lost), (counts.sent, 0), "{load}");
    let log = fs::read_to_string(&broker.broker.log).unwrap();
    let on = |port: u16| log.matches(&format!(" on port {port}.")).count();
    // Each of the eight clients has one connection, and those that try the broker before go to either.
    assert!(on(broker.broker.address.port()) >= 4 && on(broker.second.port()) >= 4, "{log}");
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let broker = TwoListeners::start();
    let unused = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let call = double_connect(&format!("--host {},{unused}", broker.broker.address)).expect_exit(4);
    call.assert_reports(&[&unused.to_string(), "cannot connect"]);
}

#[test]
fn a_run_keeps_to_what_all_hosts_offer_and_names_those_with_less() {
    let broker = TwoListeners::with("max_qos 1\n");
    let call = double_connect(&format!("{} --variant identical --attempts 4 -V 5", broker.flags()));
    call.assert_violates_nothing();
    let said = format!("{} offers QoS 1 at most", broker.second);
    call.assert_reports(&["the hosts differ", &said]);
    call.assert_prints(&["Hosts", &said]);
    let hosts = format!(
        "reproduce: ungraceful-double-connect --host {},{} --variant",
        broker.broker.address, broker.second
    );
    call.assert_prints(&[&hosts]);
    let broker = call.record().broker;
    assert_eq!(broker.further_nodes[0].versions[0].connack_properties["Maximum QoS"], "1", "{call}");
    assert!(!broker.versions[0].connack_properties.contains_key("Maximum QoS"), "{call}");
    assert_eq!(Offers::known(&broker).maximum_qos, QoS::AtLeastOnce);
}

/// A Mosquitto with more lines in its configuration.
fn mosquitto_with(lines: &str) -> (RealBroker, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("acl"), "topic read elsewhere/#\n").unwrap();
    fs::write(at("added"), lines.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let broker = RealBroker::start_with("mosquitto", &["--add", at("added").to_str().unwrap()])
        .expect("run scripts/install-mosquitto first");
    (broker, folder)
}

#[test]
fn rights_are_tried_at_every_host() {
    let (open, _) = mosquitto_with("");
    let (closed, _folder) = mosquitto_with("acl_file FOLDER/acl\n");
    for (first, second) in [(&open, &closed), (&closed, &open)] {
        let hosts = format!("--host {},{}", first.address, second.address);
        let call = double_connect(&format!("{hosts} --variant identical --attempts 2")).expect_exit(4);
        call.assert_reports(&[&format!("at {}: ", closed.address), "cannot use the topics of this run"]);
        assert!(!call.folder.exists(), "{call}");
    }
}

#[test]
fn the_smallest_maximum_packet_size_of_all_hosts_holds() {
    let brokers = [mosquitto_with("max_packet_size 3000\n"), mosquitto_with("max_packet_size 2000\n")];
    let [first, second] = brokers.each_ref().map(|(broker, _)| broker.address);
    // Two brokers pass no messages to each other.
    let flags = "--bystanders 0 --variant identical --attempts 2 -V 5";
    let call = double_connect(&format!("--host {first},{second} {flags}"));
    call.assert_violates_nothing();
    call.assert_reports(&[&format!("{second} offers packets of 2000 bytes at most")]);
    assert!(!call.stderr().contains(&format!("{first} offers")), "{call}");
    assert_eq!(Offers::known(&call.record().broker).maximum_packet_size, Some(2_000));
}

#[test]
fn mistakes_of_several_hosts_are_told_before_the_first_packet() {
    double_connect("--host 127.0.0.1 --host-order client").assert_mistake(&["--host-order", "several hosts"]);
    double_connect("--host 127.0.0.1,127.0.0.1:1884 --host-order nearest").assert_mistake(&["--host-order"]);
    double_connect("--host 127.0.0.1,192.0.2.1").assert_mistake(&["192.0.2.1", "--i-own-this-broker"]);
    double_connect("--host 127.0.0.1:1884 -p 1885").assert_mistake(&["--port", "keep one"]);
    let call = double_connect("--host me:hun,ter2@127.0.0.1");
    call.assert_mistake(&["--host", "--pw-file"]);
    assert!(!call.stderr().contains("hun"), "{call}");
}
