//! `--shrink`: from a finding to the smallest scenario that still shows it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use ungraceful_record::testing::until;
use ungraceful_scripted_broker::{Malformed, Script};

use crate::real_brokers::RealBroker;
use crate::support::{Call, Running, Target, at, binary, call_at};

/// Three clients, and a PUBLISH with QoS 3 among much else.
const PADDED: &str = r#"
id = "padded"
about = "PUBLISH with QoS 3, and much besides"
versions = ["3.1.1", "5.0"]

[[step]]
client = "a"
connect = { keep_alive = 30, properties = [{ receive_maximum = 10 }, { user_property = ["a", "b"] }] }
[[step]]
client = "a"
send = { subscribe = { filters = ["{topic}/#"] } }
[[step]]
client = "a"
wait_for = "SUBACK"
[[step]]
client = "b"
connect = { will = { payload = "gone" } }
[[step]]
connect = {}
[[step]]
client = "b"
send = { publish = { topic = "{topic}", payload = "before" } }
[[step]]
send = { OFFENCE }
provokes = true
[[step]]
client = "a"
end = { disconnect = {} }

[[expect]]
closes = true
must = MUST
[[expect]]
delivers = { client = "a", count = 1 }
prose = "nowhere"
"#;

const QOS_3: &str = "publish = { topic = \"{topic}/x\", qos = 3, dup = true, packet_identifier = 77, payload = \"payload\", \
                     properties = [{ content_type = \"text\" }] }";
/// What is left of it.
const SMALLEST: &str = "versions = [\"5.0\"]\n\n[[step]]\nconnect = {}\n\n[[step]]\nsend = { publish = { topic = \"{topic}\", \
                        qos = 3 } }\n\n[[expect]]\ncloses = true\nmust = { v5 = \"MQTT-4.13.1-1\" }\n";

fn ignores() -> Script {
    Script { malformed: Malformed::Ignore, ..Script::default() }
}

/// The padded scenario in a file.
fn padded() -> (TempDir, PathBuf) {
    with(QOS_3, "{ v5 = \"MQTT-4.13.1-1\", v311 = \"MQTT-3.3.1-4\" }")
}

fn with(offence: &str, must: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("padded.toml");
    std::fs::write(&file, PADDED.replace("OFFENCE", offence).replace("MUST\n", &format!("{must}\n")))
        .unwrap();
    (folder, file)
}

fn shrink(target: impl Target, file: &Path, rest: &str) -> Call {
    let line = format!("{} --shrink --reaction-timeout 400ms {rest}", file.display());
    call_at(target, "ungraceful-replay", "", &line)
}

#[test]
fn a_scenario_of_three_clients_shrinks_to_the_packet_that_shows_it() {
    let (_folder, file) = padded();
    let call = shrink(ignores(), &file, "-V 5").expect_exit(1);
    call.assert_prints(&[
        "padded MQTT 5.0: violated closes_the_connection\nShown in   5 of 5 tries; the smallest in 5 of 5\n",
        "Before     3 clients, 8 steps, ",
        "After      1 client, 2 steps, ",
        SMALLEST,
        "\"send\":\"36 ",
    ]);
    let shrunk = call.folder.join("shrunk.toml");
    assert!(std::fs::read_to_string(&shrunk).unwrap().ends_with(SMALLEST), "{call}");
    call.assert_prints(&[&format!("\nungraceful replay {} --host=127.0.0.1 --port=", shrunk.display())]);
    let again = call_at(ignores(), "ungraceful-replay", "", &format!("{} --attempts 1", shrunk.display()));
    again.expect_exit(1).assert_violates(&["closes_the_connection"]);
}

#[test]
fn a_finding_that_does_not_show_is_not_shrunk() {
    let (_folder, file) = padded();
    let call = shrink(Script::default(), &file, "-V 5 --tries 3").expect_exit(0);
    call.assert_prints(&["nothing to shrink: in 3 tries no check is violated, and the broker stays up"]);
    assert!(!call.folder.join("shrunk.toml").exists(), "{call}");
}

#[test]
fn a_reason_code_can_be_what_must_show() {
    let (_folder, file) = padded();
    let flags = "-V 5 --tries 2 --until 'closed with 0x81' --format json";
    let call = shrink(Script::default(), &file, flags).expect_exit(0);
    let result: Value = serde_json::from_str(&call.stdout()).unwrap();
    assert_eq!(
        (&result["until"], &result["smallest_shown_in"]),
        (&json!("closed with 0x81"), &json!({ "shown": 2, "of": 2 })),
        "{call}"
    );
    assert_eq!((&result["after"]["clients"], &result["after"]["steps"]), (&json!(1), &json!(2)), "{call}");
    assert!(result["smallest"].as_str().unwrap().contains("qos = 3"), "{call}");
    let other = shrink(Script::default(), &file, "-V 5 --tries 2 --until 'closed with 0x82'").expect_exit(0);
    other.assert_prints(&["\"closed with 0x82\" shows in 0 of 2 tries"]);
}

#[test]
fn a_broker_of_others_that_died_ends_it() {
    let (_folder, file) = padded();
    let script = Script { malformed: Malformed::CrashBroker, ..Script::default() };
    let call = shrink(script, &file, "-V 5").expect_exit(3);
    call.assert_prints(&["Shown in   1 of 1 tries", "Ended      early: the broker is down", "give --spawn"]);
}

#[test]
fn an_interrupt_keeps_the_smallest_so_far() {
    let (_folder, file) = padded();
    let (address, _broker) = ignores().open();
    let line = format!("ungraceful-replay {} --shrink -V 5 {}", file.display(), at(address));
    let running = Running::begin(binary(&line));
    let third = running.folder.join("tries/0003/timeline.csv");
    until("the third run has begun", || third.exists());
    running.interrupt();
    let call = running.end().expect_exit(1);
    call.assert_prints(&["Ended      early: it was interrupted", "qos = 3"]);
    assert!(call.folder.join("shrunk.toml").exists(), "{call}");
}

#[test]
fn a_call_that_cannot_be_shrunk_is_refused_before_anything_is_sent() {
    let (_folder, file) = padded();
    let file = file.display();
    let refused = |line: &str, whys: &[&str]| {
        let call = Call::without_record(binary(line).output().unwrap()).expect_exit(2);
        whys.iter().for_each(|why| call.assert_says(why));
        call.assert_says("nothing was sent");
    };
    refused("ungraceful-violate publish-qos3 --shrink", &["choose it by --variant NAME, of plain, retain"]);
    refused("ungraceful-violate publish-qos3 utf8-null --shrink", &["shrinks one scenario, and these are 2"]);
    refused(
        &format!("ungraceful-replay {file} --shrink --repeat 2 --until crashed --junit x.xml"),
        &["choose it by -V, of 3.1.1, 5.0", "--junit: is of one run", "write violated, differs, died"],
    );
    refused("ungraceful-replay none.toml --shrink", &["none.toml"]);
    refused("ungraceful-violate --until died", &["--until: has an effect only with --shrink"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shrunk.toml"), "").unwrap();
    let taken = format!("ungraceful-replay {file} --shrink -V 5 --output {}", folder.path().display());
    refused(&taken, &["shrunk.toml exists, and nothing is overwritten"]);
}

#[test]
fn a_deviation_of_mosquitto_shrinks_to_a_pingreq_with_one_flag() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let (_folder, file) = with("pingreq = { flags = 15 }", "{ v311 = \"MQTT-2.2.2-2\" }");
    let call = shrink(broker.address, &file, "-V 3.1.1").expect_exit(1);
    call.assert_prints(&[
        "connect = {}\n\n[[step]]\nsend = { pingreq = { flags = 1 } }\n",
        "After      1 client, 2 steps",
    ]);
}
