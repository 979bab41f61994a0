//! The broker dies, the disk is full, the user has seen enough: what was recorded is kept and says what it is.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_rig::attempt::Attempt;
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::record::{Completeness, Record};
use ungraceful_rig::verdict::Conclusion;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{at, binary, double_connect_at, quick_command};

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits until the record's timeline shows that the fault phase is under way.
fn await_fault_phase(child: &mut Child, folder: &std::path::Path) {
    loop {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        let timeline = std::fs::read_to_string(folder.join("timeline.csv")).unwrap_or_default();
        if timeline.contains(",fault,") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn record(folder: &std::path::Path) -> Record {
    serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap()
}

fn attempts(folder: &std::path::Path) -> Vec<Attempt> {
    let text = std::fs::read_to_string(folder.join("attempts.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_broker_that_dies_in_mid_run_is_broker_down_and_never_taken_for_a_reaction() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let broker = ScriptedBroker::start(Script::default());
    let target = at(broker.address());
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    // Delayed by far more than the broker will live: connections that are up and idle when it dies.
    let mut child = quick_command(&target)
        .args(["--variant", "identical,delayed", "--delay", "1h", "--duration", "1m", "-R", "20", "--output"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_fault_phase(&mut child, &folder);
    broker.stop_abruptly();
    let output = child.wait_with_output().unwrap();
    let record = record(&folder);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(record.completeness, Completeness::BrokerDown);
    assert!(record.incomplete_because.unwrap().contains("broker went down"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("BROKER DOWN"));
    // What was seen before is kept and judged as what it was.
    let attempts = attempts(&folder);
    assert!(attempts.iter().any(|attempt| attempt.outcome == Outcome::Closed));
    assert!(attempts.iter().any(|attempt| attempt.outcome == Outcome::BrokerDown));
    assert!(record.verdicts.iter().all(|verdict| verdict.conclusion != Conclusion::Violated));
}

#[test]
fn a_broker_that_crashes_on_the_fault_itself_is_broker_down_and_not_a_close() {
    let script = Script { second_connect: "crash-broker".parse().unwrap(), ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let call = double_connect_at(broker.address(), &["--variant", "identical", "--attempts", "5"]);
    assert_eq!(call.exit(), 3, "{}", call.said());
    let record = call.record();
    assert_eq!(record.completeness, Completeness::BrokerDown);
    let ended: u64 =
        record.cases.iter().map(|case| case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)).sum();
    assert_eq!(ended, 0, "{}", call.said());
    let closes = call.verdicts("closes_on_second_connect");
    assert!(closes.iter().all(|verdict| verdict.conclusion == Conclusion::Inconclusive), "{closes:?}");
}

#[test]
fn the_embedded_broker_killed_in_mid_run_is_told_with_how_it_ended() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let mut child = quick_command(&["--duration", "1m", "--output"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_fault_phase(&mut child, &folder);
    let broker = i32::try_from(record(&folder).broker.pid.unwrap()).unwrap();
    kill_process(Pid::from_raw(broker).unwrap(), Signal::KILL).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(record(&folder).broker.exit.unwrap().contains("signal: 9"), "{:?}", record(&folder).broker.exit);
}

#[test]
fn an_interrupt_ends_the_run_at_once_with_the_partial_record_and_130() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let broker = ScriptedBroker::start(Script::default());
    let target = at(broker.address());
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    let mut child = quick_command(&target)
        .args(["--duration", "10m", "-R", "20", "--output"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_fault_phase(&mut child, &folder);
    kill_process(pid(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let record = record(&folder);
    assert_eq!(record.completeness, Completeness::Interrupted);
    assert!(record.attempts.finished > 0 && record.attempts.dropped > 0, "{:?}", record.attempts);
    assert_eq!(record.attempts.written, attempts(&folder).len() as u64);
    assert!(String::from_utf8_lossy(&output.stdout).contains("INTERRUPTED"));
}

#[test]
fn a_disk_that_is_full_is_told_loudly_and_the_run_ends_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let broker = ScriptedBroker::start(Script::default());
    let tool = binary("ungraceful-double-connect");
    // A limit on the size of files is a full disk that needs no root. The shell's unit is 512 or 1,024 bytes.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let mut child = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(tool.get_program())
        .args(at(broker.address()))
        .args(["--warmup", "100ms", "--baseline", "1s", "--duration", "5m", "--no-progress", "--output"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_to_string(&mut said).unwrap();
    let shown: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{said}");
    assert!(said.contains("cannot write") && said.contains("File too large"), "{said}");
    assert!(shown.join("\n").contains("cannot write"), "the result says it too");
    assert_eq!(record(&folder).format_version, 1, "what is there can still be read");
}
