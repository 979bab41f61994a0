//! The broker dies, the disk is full, the user has seen enough: what was recorded is kept and says what it is.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ungraceful_rig::attempt::Attempt;
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::record::{Completeness, Record};
use ungraceful_rig::verdict::Conclusion;
use ungraceful_scripted_broker::{Greeting, Script, ScriptedBroker, Wills};

use crate::support::{at, binary, double_connect_at, quick_command};

/// A run whose fault phase is under way.
struct Running {
    child: Child,
    folder: PathBuf,
    _parent: TempDir,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("record");
        let mut child = quick_command(arguments)
            .arg("--output")
            .arg(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The timeline tells how far the run is.
        while !std::fs::read_to_string(folder.join("timeline.csv")).unwrap_or_default().contains(",fault,") {
            assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, folder, _parent: parent }
    }

    fn start_at(broker: &ScriptedBroker, arguments: &[&str]) -> Self {
        let target = at(broker.address());
        let all: Vec<&str> = target.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        Self::start(&all)
    }

    /// Waits for the end; exit code, what was printed, the record and its attempts.
    fn end(self) -> (Option<i32>, String, Record, Vec<Attempt>) {
        let output = self.child.wait_with_output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), shown, record(&self.folder), attempts(&self.folder))
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
    let broker = ScriptedBroker::start(Script::default());
    // Delayed by far more than the broker will live: connections that are up and idle when it dies.
    let flags = ["--variant", "identical,delayed", "--delay", "1h", "--duration", "1m", "-R", "20"];
    let running = Running::start_at(&broker, &flags);
    broker.stop_abruptly();
    let (exit, shown, record, attempts) = running.end();
    assert_eq!(exit, Some(3), "{shown}");
    assert_eq!(record.completeness, Completeness::BrokerDown);
    assert!(record.incomplete_because.unwrap().contains("broker went down"));
    assert!(shown.contains("BROKER DOWN"), "{shown}");
    // What was seen before is kept and judged as what it was.
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
    let running = Running::start(&["--duration", "1m"]);
    let broker = i32::try_from(record(&running.folder).broker.pid.unwrap()).unwrap();
    kill_process(Pid::from_raw(broker).unwrap(), Signal::KILL).unwrap();
    let (exit, shown, record, _) = running.end();
    assert_eq!(exit, Some(3), "{shown}");
    assert!(record.broker.exit.as_ref().unwrap().contains("signal: 9"), "{:?}", record.broker.exit);
}

#[test]
fn a_broker_that_dies_after_the_last_attempt_is_down_all_the_same() {
    let broker = ScriptedBroker::start(Script::default());
    let deliveries = ["--variant", "identical", "--attempts", "10", "-R", "10", "--recovery", "5s"];
    let running = Running::start_at(&broker, &deliveries);
    // All twenty second CONNECTs have been sent; what is left is the recovery.
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.second_connects() == 20));
    broker.stop_abruptly();
    let (exit, shown, record, _) = running.end();
    assert_eq!(exit, Some(3), "{shown}");
    assert_eq!(record.completeness, Completeness::BrokerDown, "{shown}");
}

#[test]
fn an_interrupt_while_wills_are_awaited_accuses_nobody() {
    let broker = ScriptedBroker::start(Script { wills: Wills::Never, ..Script::default() });
    let flags = ["--variant", "with-will", "--duration", "10m", "-R", "20", "--will-wait", "10m"];
    let running = Running::start_at(&broker, &flags);
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.second_connects() > 5));
    kill_process(Pid::from_child(&running.child), Signal::INT).unwrap();
    let (exit, shown, record, _) = running.end();
    assert_eq!(exit, Some(130), "{shown}");
    assert!(record.verdicts.iter().all(|verdict| verdict.conclusion != Conclusion::Violated), "{shown}");
    assert!(!record.witness.unwrap().proved, "nothing was proved after the fault");
}

#[test]
fn an_interrupt_before_the_run_began_says_so_in_one_line() {
    let broker = ScriptedBroker::start(Script { greeting: Greeting::Silent, ..Script::default() });
    let target = at(broker.address());
    let target: Vec<&str> = target.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().unwrap();
    let child = quick_command(&target)
        .args(["--connect-timeout", "10m", "--output"])
        .arg(folder.path().join("record"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.connections() > 0));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(
        output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("interrupted before")
    );
    assert!(!folder.path().join("record").exists(), "an empty record would only be in the way");
}

#[test]
fn a_result_that_cannot_be_written_is_told_and_is_no_success() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = binary("ungraceful-double-connect").arg("--print-plan").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn an_interrupt_ends_the_run_at_once_with_the_partial_record_and_130() {
    let broker = ScriptedBroker::start(Script::default());
    let running = Running::start_at(&broker, &["--duration", "10m", "-R", "20"]);
    kill_process(Pid::from_child(&running.child), Signal::INT).unwrap();
    let (exit, shown, record, attempts) = running.end();
    assert_eq!(exit, Some(130), "{shown}");
    assert_eq!(record.completeness, Completeness::Interrupted);
    assert!(record.attempts.finished > 0 && record.attempts.dropped > 0, "{:?}", record.attempts);
    assert_eq!(record.attempts.written, attempts.len() as u64);
    assert!(shown.contains("INTERRUPTED"), "{shown}");
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
