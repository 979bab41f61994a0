//! `ungraceful replay --cases`: tests of a broker as data.

use std::io::Write;
use std::process::Command;

use tempfile::NamedTempFile;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::testing::every;
use ungraceful_scripted_broker::Script;

use crate::real_brokers::RealBroker;
use crate::support::{Call, call, call_at};

const TOOL: &str = "ungraceful-replay";
/// CONNECT of MQTT 5.0 with the ClientID `shared`.
const CONNECT: &str = "101300044d5154540502003c000006736861726564";

/// A row with these steps.
fn row(name: &str, connected_first: bool, steps: &str, then: &str) -> String {
    format!(
        "{{\"version\": \"5.0\", \"connected_first\": {connected_first}, \"steps\": [{steps}], \"then\": \"{then}\", \
         \"file\": \"own\", \"group\": \"rows\", \"name\": \"{name}\"}}\n"
    )
}

fn file_of(rows: &[String]) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix_in(".ndjson", env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(rows.concat().as_bytes()).unwrap();
    file
}

/// Rows whose outcome any broker that keeps the standard has.
fn rows() -> Vec<String> {
    let subscribes = "{\"send\": \"82080001000002747800\"}, {\"recv\": \"900400010000\"}";
    let publishes = "{\"other_client_publishes\": {\"topic\": \"tx\", \"qos\": 1, \"payload\": \"m\"}}, {\"recv\": \"300600027478006d\"}";
    let mut rows = vec![
        row("PUBLISH with QoS 3", true, "{\"send\": \"3606000174000100\"}", "closed"),
        row("PINGREQ", true, "{\"send\": \"c000\"}, {\"recv\": \"d000\"}", "open"),
        row("no steps", true, "", "open"),
        row("no CONNECT", false, "{\"send\": \"c000\"}", "closed"),
        row("message", true, &format!("{subscribes}, {publishes}"), "open"),
        row(
            "own steps",
            true,
            "{\"subscribe\": {\"topic\": \"ty\"}}, {\"unsubscribe\": {\"topic\": \"ty\"}}",
            "open",
        ),
    ];
    // Each would close the connection of the one before, unless they take turns.
    let connects = format!("{{\"send\": \"{CONNECT}\"}}");
    rows.extend((0..4).map(|_| row("same ClientID", false, &connects, "open")));
    rows
}

/// What was seen of each row, in order.
fn outcomes(call: &Call) -> Vec<(String, bool)> {
    let closes = |case: &CaseRecord| case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset) == 1;
    let cases = call.record().cases;
    assert!(every(&cases, |case| case.finished == 1), "{call}");
    cases.iter().map(|case| (case.case.variant.clone(), closes(case))).collect()
}

/// The rows as they are carried out on a broker that keeps the standard.
fn assert_as_expected(call: &Call) {
    let names = ["publish-with-qos-3", "pingreq", "no-steps", "no-connect", "message", "own-steps"];
    let mut expected: Vec<(String, bool)> =
        names.map(|name| (name.to_owned(), matches!(name, "publish-with-qos-3" | "no-connect"))).to_vec();
    expected.extend(["", "-2", "-3", "-4"].map(|number| (format!("same-clientid{number}"), false)));
    assert_eq!(outcomes(call), expected, "{call}");
    assert_eq!(call.differing(), Vec::<String>::new(), "{call}");
    let served = |case: &CaseRecord| case.ended() == 1 || case.outcome(Outcome::Tolerated) == 1;
    assert!(every(&call.record().cases, served), "each is closed or provably served: {call}");
}

fn with(file: &NamedTempFile) -> String {
    // The machine of a test may be slow.
    format!("--cases {} --reaction-timeout 2s", file.path().display())
}

#[test]
fn cases_are_carried_out_on_mosquitto() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let file = file_of(&rows());
    let call = call_at(broker.address, TOOL, "", &with(&file)).expect_exit(0);
    assert_as_expected(&call);
    check_with_raw_sockets(&broker, &file, &call);
}

/// The raw sockets of `scripts/check-cases` see the same, and notice a record that is wrong.
fn check_with_raw_sockets(broker: &RealBroker, file: &NamedTempFile, call: &Call) {
    let (root, address) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), broker.address);
    let check = || {
        let mut command = Command::new(format!("{root}/scripts/check-cases"));
        command.arg(file.path()).args([address.ip().to_string(), address.port().to_string()]);
        let output = command.arg(&call.folder).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, printed) = check();
    assert!(code == Some(0) && printed.contains("10 of 10 rows agree"), "{printed}");
    let record = call.folder.join("run.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"tolerated\"", "\"closed\"")).unwrap();
    let (code, printed) = check();
    assert!(
        code == Some(1) && printed.contains("DISAGREE line 2: record closed, raw sockets open"),
        "{printed}"
    );
}

#[test]
fn cases_are_carried_out_on_the_scripted_broker() {
    let file = file_of(&rows());
    let call = call_at(Script::default(), TOOL, "", &with(&file)).expect_exit(0);
    assert_as_expected(&call);
}

#[test]
fn a_broker_that_differs_from_a_file_violates_nothing() {
    let file = file_of(&[row("wrong", true, "{\"send\": \"c000\"}, {\"recv\": \"e00182\"}", "closed")]);
    let call = call_at(Script::default(), TOOL, "", &with(&file)).expect_exit(0);
    assert_eq!(call.differing(), ["closes_the_connection", "sends_what_was_recorded"], "{call}");
    call.assert_violates_nothing();
}

#[test]
fn mistakes_are_reported_together_before_anything_is_sent() {
    let file = file_of(&[row("a", true, "{\"send\": \"c\"}", "closed"), row("b", true, "", "ajar")]);
    call(TOOL, "", &format!("--host 127.0.0.1 --port 1 {}", with(&file))).expect_exit(2).assert_mistake(&[
        "--cases",
        "line 1: steps[1].send: write two",
        "line 2: then:",
    ]);
}

#[test]
fn a_file_of_cases_takes_the_place_of_other_files() {
    let call = call(TOOL, "", "--host 127.0.0.1 --port 1 some.toml --cases some.ndjson").expect_exit(2);
    assert!(call.stderr().contains("cannot be used with"), "{call}");
}
