//! Scenarios, hexadecimal and captures of the user's own.

use std::path::Path;

use ungraceful_record::reaction::Outcome;
use ungraceful_scripted_broker::{Malformed, Script, SecondConnect};

use crate::real_brokers::RealBroker;
use crate::support::{Call, Target, binary, call_at};

/// Flags of a short run.
const QUICK: &str = "--warmup 0s --baseline 1s --recovery 1s";

/// A second CONNECT on one connection, as in a bug report.
const SECOND_CONNECT: &str = "# on 3.1.1\n\
    > 10 0E 00 04 4D 51 54 54 04 02 00 3C 00 02 63 31\n\
    < 20 02 00 00\n\
    > 10 0E 00 04 4D 51 54 54 04 02 00 3C 00 02 63 31\n";

/// A scenario with a MUST.
const QOS_3: &str = "id = \"own-qos3\"\nabout = \"PUBLISH with QoS 3\"\nversions = [\"3.1.1\"]\n\
    [[step]]\nconnect = {}\n\
    [[step]]\nsend = { publish = { topic = \"{topic}\", qos = 3 } }\n\
    [[expect]]\ncloses = true\nmust = { v311 = \"MQTT-3.3.1-4\" }\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn replay(target: impl Target, files: &Path, rest: &str) -> Call {
    call_at(target, "ungraceful-replay", "", &format!("{} {QUICK} {rest}", files.display()))
}

/// A call that makes no run.
fn without_run(line: &str) -> Call {
    Call::without_record(binary(line).output().unwrap())
}

#[test]
fn hexadecimal_of_a_bug_report_is_sent_and_compared_with_what_it_says() {
    let files = folder(&[("report.hex", SECOND_CONNECT)]);
    let file = files.path().join("report.hex");
    let conforming = replay(Script::default(), &file, "");
    let case = conforming.case("plain", "3.1.1");
    assert_eq!((case.outcome(Outcome::Closed), case.case.fault.as_str()), (3, "report"), "{conforming}");
    let broken = Script { second_connect: SecondConnect::SecondConnackThenServe, ..Script::default() };
    let call = replay(broken, &file, "");
    assert_eq!(call.case("plain", "3.1.1").outcome(Outcome::Tolerated), 3, "{call}");
}

#[test]
fn a_folder_is_a_gate_that_fails_when_a_fault_is_back() {
    let files = folder(&[
        ("a.toml", QOS_3),
        ("b.HEX", &format!("\u{feff}{SECOND_CONNECT}")),
        ("notes.md", "no scenario"),
        (".draft.hex", "zz"),
    ]);
    let mended = replay(Script::default(), files.path(), "--attempts 1").expect_exit(0);
    let faults: Vec<String> = mended.record().cases.iter().map(|case| case.case.fault.clone()).collect();
    assert_eq!(faults, ["own-qos3", "b"], "{mended}");
    let back =
        replay(Script { malformed: Malformed::Ignore, ..Script::default() }, files.path(), "--attempts 1");
    let back = back.expect_exit(1);
    back.assert_violates(&["closes_the_connection"]);
    let name = files.path().display().to_string();
    back.assert_prints(&["MQTT 3.1.1 [MQTT-3.3.1-4]", &format!("reproduce: ungraceful-replay {name}")]);
}

#[test]
fn a_capture_of_one_broker_is_replayed_on_another() {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenario/tests/data/mosquitto.pcap");
    let printed =
        without_run(&format!("ungraceful-replay {} --connection pub-1 --as-scenario", capture.display()))
            .expect_exit(0);
    printed.assert_prints(&[
        "send = { hex = \"10 ",
        "wait_for = { packet = \"CONNACK\"",
        "receives = [\"CONNACK 0x00\"",
    ]);
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let same = replay(broker.address, &capture, "--attempts 1");
    same.assert_violates_nothing();
    let received = same
        .record()
        .cases
        .iter()
        .map(|case| case.facts.get("received").map_or(0, |it| it.len()))
        .sum::<usize>();
    assert!(received > 0, "{same}");
}

#[test]
fn what_cannot_be_carried_out_is_refused_before_anything_is_sent() {
    let endless =
        QOS_3.replace("connect = {}\n", "connect = {}\n[[step]]\npause = \"18446744073709551615s\"\n");
    for (name, text, why) in [
        ("server.hex", "< 20 02 00 00\n", "no bytes of the client"),
        ("endless.toml", &*endless, "shorten pauses, waits or repetitions"),
        ("dump.txt", SECOND_CONNECT, "dump.txt is none of .toml"),
    ] {
        let files = folder(&[(name, text)]);
        let call = without_run(&format!("ungraceful-replay {}", files.path().display())).expect_exit(2);
        assert!(call.stderr().contains(why), "{call}");
    }
}

#[test]
fn several_scenarios_are_not_printed_into_one_file() {
    let files = folder(&[("a.toml", QOS_3), ("b.hex", SECOND_CONNECT)]);
    let line = format!("ungraceful-replay {} --as-scenario", files.path().display());
    let call = without_run(&line).expect_exit(2);
    assert!(
        call.stderr().contains("there are 2 scenarios") && call.stderr().contains("--connection"),
        "{call}"
    );
    let one = without_run(&format!("ungraceful-replay {}/b.hex --as-scenario", files.path().display()));
    one.expect_exit(0).assert_prints(&["id = \"b\""]);
}

#[test]
fn clients_with_one_client_id_do_not_take_each_other_over() {
    let fixed = "id = \"fixed\"\nabout = \"a ClientID of its own\"\nversions = [\"5.0\"]\n\
        [[step]]\nconnect = { client_id = \"fixed\" }\n\
        [[step]]\nsend = { pingreq = {} }\n\
        [[expect]]\nstays = true\nprose = \"x\"\n";
    let files = folder(&[("fixed.toml", fixed)]);
    let call = replay(Script::default(), files.path(), "-c 10 -R 20 --attempts 5 --reaction-timeout 500ms");
    assert_eq!(call.case("plain", "5.0").outcome(Outcome::Tolerated), 5, "{call}");
}

#[test]
fn every_mistake_of_every_file_is_reported_before_anything_is_sent() {
    let wrong = QOS_3.replace("qos = 3", "qos = 4").replace("connect = {}", "conect = {}");
    let files = folder(&[("a.toml", &wrong), ("b.hex", "10 0\n30 zz\n"), ("c.pcap", "no capture")]);
    let call = without_run(&format!("ungraceful-replay {}", files.path().display())).expect_exit(2);
    for part in [
        "a.toml, line 5: step[1].conect: unknown key; did you mean connect?",
        "a.toml, line 7: step[2].send.publish.qos: out of range: write 0 to 3",
        "b.hex, line 1",
        "b.hex, line 2",
        "c.pcap: not a capture",
        "nothing was sent",
    ] {
        assert!(call.stderr().contains(part), "{part}\n{call}");
    }
    let twice = folder(&[("a.toml", QOS_3), ("b.toml", QOS_3)]);
    let call = without_run(&format!("ungraceful-replay {}", twice.path().display())).expect_exit(2);
    for part in ["a.toml and ", "b.toml both have a scenario of the id own-qos3"] {
        assert!(call.stderr().contains(part), "{part}\n{call}");
    }
    let none = folder(&[("readme.md", "")]);
    let call = without_run(&format!("ungraceful-replay {}", none.path().display())).expect_exit(2);
    assert!(call.stderr().contains("no file that ends in .toml, .hex, .pcap or .pcapng"), "{call}");
}
