//! Second CONNECTs on real brokers. Mosquitto is required (`scripts/test` installs it); tests for other brokers are skipped where the
//! broker is not installed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::BrokerLogLine;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Violated};

use crate::support::{Call, VERSIONS, call_at, double_connect, double_connect_at, skip};

const TAKE_OVER: &str = "ungraceful-takeover";

/// A program in the folder scripts.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name)
}

/// A real broker, stopped when this is dropped.
pub(crate) struct RealBroker {
    pub(crate) folder: String,
    pid: String,
    pub(crate) log: String,
    pub(crate) address: SocketAddr,
    pub(crate) address_v5: SocketAddr,
    /// The lines of `scripts/broker start`.
    said: String,
}

impl RealBroker {
    /// Starts the broker with this name. Absent where it is not installed, unless BROKERS_REQUIRED lists it: by the names that
    /// scripts/install-brokers takes, with spaces between them.
    pub(crate) fn start(name: &str) -> Option<Self> {
        Self::start_with(name, &[])
    }

    /// The same with more arguments for `scripts/broker start`.
    pub(crate) fn start_with(name: &str, arguments: &[&str]) -> Option<Self> {
        let list = Command::new(script("broker")).arg("list").output().unwrap();
        if !String::from_utf8_lossy(&list.stdout).lines().any(|line| line == name) {
            let recipe = name.split('-').next().unwrap();
            let required = std::env::var("BROKERS_REQUIRED").unwrap_or_default();
            let is_required = required.split_whitespace().any(|required| required == recipe);
            assert!(!is_required, "{name} must be there, by BROKERS_REQUIRED={required}: {list:?}");
            skip(&format!("{name} is not installed; scripts/install-brokers {recipe} would"));
            return None;
        }
        let started = Command::new(script("broker")).args(["start", name]).args(arguments).output().unwrap();
        assert!(started.status.success(), "{started:?}");
        let said = String::from_utf8(started.stdout).unwrap();
        let value = |key: &str| value_of(&said, key);
        let address = |port: String| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let port = value("port").unwrap();
        Some(Self {
            folder: value("dir").unwrap(),
            pid: value("pid").unwrap(),
            log: value("log").unwrap(),
            address: address(port.clone()),
            address_v5: address(value("port_v5").unwrap_or(port)),
            said,
        })
    }

    /// A port of this name that the broker listens on.
    #[track_caller]
    pub(crate) fn port(&self, name: &str) -> u16 {
        value_of(&self.said, name)
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("{}", self.said))
    }
}

fn value_of(said: &str, key: &str) -> Option<String> {
    said.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).map(ToOwned::to_owned)
}

impl Drop for RealBroker {
    fn drop(&mut self) {
        let stopped = Command::new(script("broker")).args(["stop", &self.folder]).status();
        assert!(std::thread::panicking() || stopped.is_ok_and(|status| status.success()));
    }
}

fn assert_violated(call: &Call, version: &str) {
    assert_eq!(call.exit(), 1, "{call}");
    assert!(call.stdout().contains(&format!("MQTT {version} [MQTT-3.1.0-2]")), "{}", call.stdout());
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", version), Violated);
}

#[test]
fn mosquitto_closes_without_a_disconnect_on_both_versions() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let call = double_connect_at(broker.address, "--attempts 5 --delay 200ms");
    for version in VERSIONS {
        for variant in ["identical", "other-client-id", "same-segment", "delayed"] {
            let case = call.case(variant, version);
            let closed = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
            assert_eq!(closed, 5, "{variant} {version}\n{call}");
            assert_eq!(call.conclusion("closes_on_second_connect", variant, version), Holds);
            assert!(case.disconnect_codes.is_empty(), "{:?}", case.disconnect_codes);
        }
        assert_eq!(call.case("other-client-id", version).fact("second_client_id", "none"), 5);
        // Mosquitto 2.0.11 publishes no Will after a second CONNECT; other versions may.
        let will = call.case("with-will", version).will.unwrap();
        let sys_version = call.record().broker.sys_version.unwrap();
        assert!(!sys_version.starts_with("mosquitto version 2.0.11") || will.due_and_seen == 0, "{call}");
        let expected = if will.due_and_seen == will.due { Holds } else { Violated };
        assert_eq!(will.due, 5);
        assert_eq!(call.conclusion("publishes_the_will", "with-will", version), expected);
    }
    let record = call.record();
    assert!(record.broker.sys_version.unwrap().starts_with("mosquitto version 2"));
    assert!(record.witness.unwrap().proved);
    let bystanders = record.bystanders.unwrap();
    assert!(bystanders.connections_lost.is_empty(), "{:?}", bystanders.connections_lost);
    let lost: u64 =
        bystanders.phases.iter().flat_map(|phase| phase.by_qos.values()).map(|counts| counts.lost).sum();
    assert_eq!(lost, 0);
}

#[test]
fn a_spawned_mosquitto_has_a_log_with_the_cause_of_each_attempt() {
    let call = double_connect("--spawn mosquitto --attempts 2 --variant identical").expect_exit(0);
    let record = call.record();
    assert_eq!(record.broker.name.as_deref(), Some("mosquitto"));
    // Mosquitto's own count; the bystanders alone are six clients.
    assert!(record.broker.sys["$SYS/broker/clients/connected"].after >= Some(6), "{:?}", record.broker.sys);
    // Its log and its process need no flag.
    let log = record.broker_log.unwrap();
    assert_eq!(log.attempts_named, 4, "{log:?}");
    assert!(record.broker_resources.unwrap().descriptors.before_fault > Some(3));
    let causes: Vec<_> = log.causes.iter().map(|found| (found.cause.as_str(), found.attempts)).collect();
    assert_eq!(causes, [("double-connect", 4)], "{call}");
    let lines = call.broker_log();
    for attempt in call.attempts() {
        let names = |line: &BrokerLogLine| {
            line.attempts == [attempt.attempt] && line.cause.as_deref() == Some("double-connect")
        };
        assert!(lines.iter().any(names), "{attempt:?}");
        let logged = attempt.broker_log.unwrap_or_else(|| panic!("{call}"));
        assert_eq!(logged.cause.as_deref(), Some("double-connect"));
        assert_eq!(logged.phrase.as_deref(), Some("Bad client <client> sending multiple CONNECT messages."));
    }
    call.assert_prints(&["causes: double-connect (4 attempts)"]);
}

#[test]
fn log_lines_about_a_second_connect_are_matched_with_the_attempt() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let watch = format!("--broker-pid {} --broker-log {}", broker.pid, broker.log);
    // Eight seconds: enough samples of the process for a slope.
    let load = "--attempts 32 --connrate 8 --variant identical";
    let call = double_connect_at(broker.address, &format!("{watch} {load}")).expect_exit(0);
    let lines = call.broker_log();
    let attempts = call.attempts();
    assert_eq!(attempts.len(), 64);
    for attempt in &attempts {
        let is_about_it = |line: &&BrokerLogLine| {
            line.attempts == [attempt.attempt] && line.line.contains("disconnected due to protocol error")
        };
        let found: Vec<_> = lines.iter().filter(is_about_it).collect();
        assert_eq!(found.len(), 1, "{attempt:?}\n{call}");
        assert!(
            found[0].at_us >= attempt.started_us && found[0].line.contains(&attempt.client_id),
            "{found:?}"
        );
    }
    assert!(lines.is_sorted_by_key(|line| line.at_us));

    let record = call.record();
    let log = record.broker_log.unwrap();
    // It also logs every message of the bystanders, which do not displace the lines about attempts.
    assert_eq!((log.lines_kept, log.bytes_unread), (lines.len() as u64, 0));
    assert_eq!(log.attempts_named, 64);
    let phrase = log.phrases.iter().find(|phrase| phrase.phrase.contains("due to protocol error")).unwrap();
    assert_eq!((&*phrase.phrase, phrase.lines), ("Client <client> disconnected due to protocol error.", 64));
    assert!(attempts.iter().any(|attempt| Some(attempt.attempt) == phrase.example_attempt));
    assert!(call.stdout().contains(&phrase.phrase), "{}", call.stdout());

    let resources = record.broker_resources.unwrap();
    for quantity in [resources.rss_bytes, resources.descriptors] {
        let known = [quantity.before_fault, quantity.max, quantity.after_fault, quantity.after_recovery];
        assert!(every(&known, |value| *value > Some(3)), "{quantity:?}");
        let slope = quantity.per_1000_attempts.unwrap();
        assert!(slope.samples >= 5 && slope.low <= slope.estimate && slope.estimate <= slope.high);
    }
    assert!(resources.cpu_us_baseline_phase.is_some() && resources.cpu_us_fault_phase.is_some());
    // Except the first second, which has no earlier CPU time.
    for column in ["broker_cpu_us", "broker_rss_bytes", "broker_descriptors"] {
        let cells = call.timeline(column);
        assert!(cells.iter().filter(|cell| !cell.is_empty()).count() >= 8, "{column}: {cells:?}");
    }
}

#[test]
fn rabbitmq_answers_a_second_connack_and_is_violated() {
    let Some(broker) = RealBroker::start("rabbitmq") else { return };
    let call = double_connect_at(broker.address, "--attempts 3 --variant identical,other-client-id");
    assert_violated(&call, "3.1.1");
    assert_eq!(call.case("identical", "3.1.1").attempts_with_second_connack, 3, "{call}");
}

#[test]
fn rumqttd_ignores_a_second_connect_and_is_violated() {
    let Some(broker) = RealBroker::start("rumqttd") else { return };
    for (address, version) in [(broker.address, "3.1.1"), (broker.address_v5, "5.0")] {
        let call = double_connect_at(address, &format!("--attempts 3 --variant identical -V {version}"));
        assert_violated(&call, version);
        assert_eq!(call.case("identical", version).sequences.get("still served"), Some(&3), "{call}");
    }
}

#[test]
fn nats_closes_and_publishes_the_will() {
    let Some(broker) = RealBroker::start("nats") else { return };
    let flags = "--attempts 3 --variant identical,with-will --bystander-qos 0,1";
    let call = double_connect_at(broker.address, flags).expect_exit(0);
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "3.1.1"), Holds);
}

#[test]
fn aedes_closes_on_a_second_connect_and_publishes_the_will() {
    let Some(broker) = RealBroker::start("aedes") else { return };
    let call = double_connect_at(broker.address, "--attempts 3 --variant identical,with-will").expect_exit(0);
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "3.1.1"), Holds);
    assert_eq!(call.conclusion("publishes_the_will", "with-will", "3.1.1"), Holds);
}

#[test]
fn aedes_sends_again_without_dup_and_is_violated() {
    let Some(broker) = RealBroker::start("aedes") else { return };
    let flags = "--count 3 --variant resume -V 3.1.1";
    let call = call_at(broker.address, TAKE_OVER, "storm", flags).expect_exit(1);
    assert_eq!(call.conclusion("closes_the_older_connection", "resume", "3.1.1"), Holds);
    assert_eq!(call.conclusion("marks_what_it_sends_again", "resume", "3.1.1"), Violated);
    call.assert_prints(&["MQTT 3.1.1 [MQTT-3.3.1-1]"]);
}

#[test]
fn amqtt_keeps_both_connections_and_is_violated() {
    let Some(broker) = RealBroker::start("amqtt") else { return };
    let flags = "--attempts 2 --variant alive -V 3.1.1";
    let call = call_at(broker.address, TAKE_OVER, "dead-peer", flags).expect_exit(1);
    assert_eq!(call.conclusion("closes_the_older_connection", "alive", "3.1.1"), Violated);
    call.assert_prints(&["MQTT 3.1.1 [MQTT-3.1.4-2]"]);
}
