//! The broker dies, the disk is full, the user interrupts: what was recorded is kept and marked as incomplete.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_mqtt::{
    Framed, Packet, PacketIdentifier, ProtocolVersion, QoS, Subscribe, Subscription, frame,
};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, FORMAT_VERSION};
use ungraceful_record::testing::{every, until};
use ungraceful_record::verdict::Conclusion;
use ungraceful_scripted_broker::{Greeting, Script, ScriptedBroker, Wills};

use crate::support::{QUICK, Running, at, bench_at, binary, double_connect_at, record_in};

/// `ungraceful-double-connect` in its fault phase.
fn under_way(broker: &ScriptedBroker, flags: &str) -> Running {
    Running::double_connect(&format!("{} {flags}", at(broker.address())))
}

#[test]
fn a_broker_that_dies_during_the_run_is_down_and_not_a_reaction() {
    let broker = ScriptedBroker::start(Script::default());
    // A delay longer than the broker lives: connections that are idle when it dies.
    let running = under_way(&broker, "--variant identical,delayed --delay 1h --duration 1m -R 20");
    broker.stop_abruptly();
    let call = running.end().expect_exit(3);
    let (record, attempts) = (call.record(), call.attempts());
    assert_eq!(record.completeness, Completeness::BrokerDown);
    assert!(record.incomplete_because.unwrap().contains("broker went down"));
    call.assert_prints(&["BROKER DOWN"]);
    // Earlier results are kept and judged.
    assert!(attempts.iter().any(|attempt| attempt.outcome == Outcome::Closed));
    assert!(attempts.iter().any(|attempt| attempt.outcome == Outcome::BrokerDown));
    assert!(every(&record.verdicts, |verdict| verdict.conclusion != Conclusion::Violated));
}

#[test]
fn a_broker_that_crashes_on_the_fault_is_down_and_no_close() {
    let script = Script { second_connect: "crash-broker".parse().unwrap(), ..Script::default() };
    let call = double_connect_at(script, "--variant identical --attempts 5").expect_exit(3);
    let record = call.record();
    assert_eq!(record.completeness, Completeness::BrokerDown);
    let ended: u64 =
        record.cases.iter().map(|case| case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)).sum();
    assert_eq!(ended, 0, "{call}");
    let closes = call.verdicts("closes_on_second_connect");
    assert!(every(&closes, |verdict| verdict.conclusion == Conclusion::Inconclusive), "{closes:?}");
}

#[test]
fn a_killed_embedded_broker_is_reported_with_its_signal() {
    let running = Running::double_connect("--duration 1m");
    kill_process(running.broker(), Signal::KILL).unwrap();
    let call = running.end().expect_exit(3);
    let record = call.record();
    assert!(record.broker.exit.as_ref().unwrap().contains("signal: 9"), "{:?}", record.broker.exit);
}

#[test]
fn a_broker_that_dies_after_the_last_attempt_is_down() {
    let broker = ScriptedBroker::start(Script::default());
    let running = under_way(&broker, "--variant identical --attempts 10 -R 10 --recovery 5s");
    // All twenty second CONNECTs have been sent; what is left is the recovery.
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.second_connects() == 20));
    broker.stop_abruptly();
    let call = running.end().expect_exit(3);
    let record = call.record();
    assert_eq!(record.completeness, Completeness::BrokerDown, "{call}");
}

#[test]
fn an_interrupt_while_waiting_for_wills_is_no_violation() {
    let broker = ScriptedBroker::start(Script { wills: Wills::Never, ..Script::default() });
    let running = under_way(&broker, "--variant with-will --duration 10m -R 20 --will-wait 10m");
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.second_connects() > 5));
    running.interrupt();
    let call = running.end().expect_exit(130);
    let record = call.record();
    assert!(every(&record.verdicts, |verdict| verdict.conclusion != Conclusion::Violated), "{call}");
    assert!(!record.witness.unwrap().proved, "nothing was proved after the fault");
}

#[test]
fn an_early_interrupt_is_reported_in_one_line() {
    let broker = ScriptedBroker::start(Script { greeting: Greeting::Silent, ..Script::default() });
    let folder = tempfile::tempdir().unwrap();
    let target = at(broker.address());
    let child = binary(&format!("ungraceful-double-connect {QUICK} {target} --connect-timeout 10m --output"))
        .arg(folder.path().join("record"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(broker.wait_until(Duration::from_secs(60), |log| log.connections() > 0));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty() && stderr.contains("interrupted before"), "{stderr}");
    assert!(!folder.path().join("record").exists(), "an empty record would only be in the way");
}

#[test]
fn an_unwritable_result_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = binary("ungraceful-double-connect").arg("--print-plan").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn an_interrupt_ends_the_run_with_a_partial_record_and_130() {
    let broker = ScriptedBroker::start(Script::default());
    let running = under_way(&broker, "--duration 10m -R 20");
    running.interrupt();
    let call = running.end().expect_exit(130);
    let (record, attempts) = (call.record(), call.attempts());
    assert_eq!(record.completeness, Completeness::Interrupted);
    assert!(record.attempts.finished > 0 && record.attempts.dropped > 0, "{:?}", record.attempts);
    assert_eq!(record.attempts.written, attempts.len() as u64);
    call.assert_prints(&["INTERRUPTED"]);
}

#[test]
fn a_full_disk_is_reported_and_the_run_ends_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let broker = ScriptedBroker::start(Script::default());
    let tool = binary(&format!(
        "ungraceful-double-connect {} --warmup 100ms --baseline 1s --duration 5m --no-progress --output",
        at(broker.address())
    ));
    // A limit on file sizes acts as a full disk without root. The shell's unit is 512 or 1,024 bytes.
    // By default it also ends the process with SIGXFSZ.
    let script = "ulimit -f 16; exec \"$0\" \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(tool.get_program())
        .args(tool.get_args())
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
    assert_eq!(record_in(&folder).format_version, FORMAT_VERSION, "the partial record is readable");
}

/// The topics on which something is retained, by a client that subscribes to everything.
fn retained_at(address: SocketAddr) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut said = vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'x'];
    Subscribe::new(PacketIdentifier::MIN, &[Subscription::new("#", QoS::AtMostOnce)])
        .encode(ProtocolVersion::V3_1_1, &mut said)
        .unwrap();
    // Retained messages are sent on SUBSCRIBE, before the answer to this PINGREQ.
    said.extend([0xC0, 0]);
    stream.write_all(&said).unwrap();
    let (mut came, mut buffer, mut topics) = (Vec::new(), [0; 4_096], Vec::new());
    loop {
        while let Framed::Complete(found) = frame(&came) {
            let length = found.bytes.len();
            match found.decode(ProtocolVersion::V3_1_1).packet {
                Packet::Publish(publish) => topics.push(publish.topic.to_owned()),
                Packet::PingResp => return topics,
                _ => {}
            }
            came.drain(..length);
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the broker ended the connection");
        came.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn retained_messages_are_removed_at_the_end_and_after_an_interrupt() {
    let broker = ScriptedBroker::start(Script::default());
    // Another client's message stays.
    let mut other = TcpStream::connect(broker.address()).unwrap();
    other.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'y']).unwrap();
    other.write_all(&[0x31, 5, 0, 1, b'o', b'h', b'i']).unwrap();
    other.read_exact(&mut [0; 4]).unwrap();
    let flags = "--retain --count 3 -q 1 --rate 100 -V 5";
    let call = bench_at(broker.address(), "pub", &format!("{flags} --duration 1s"));
    let retained = call.load().retained_by_us.unwrap();
    assert_eq!((retained.topics, retained.left_because), (3, None), "{call}");
    assert_eq!(retained_at(broker.address()), ["o"]);
    // A closed loop at QoS 0 hands over more than the broker has read when it ends.
    let call = bench_at(broker.address(), "pub", "--retain --count 3 -q 0 --rate max --duration 1s");
    assert_eq!(call.load().retained_by_us.unwrap().left_because, None, "{call}");
    assert_eq!(retained_at(broker.address()), ["o"]);
    let long = format!("--warmup 100ms --no-progress --duration 10m {} {flags}", at(broker.address()));
    let running = Running::of(binary(&format!("ungraceful-bench pub {long}")), "load");
    assert_eq!(retained_at(broker.address()).len(), 4, "the load's, while it goes on");
    running.interrupt();
    let call = running.end().expect_exit(130);
    let record = call.record();
    assert_eq!(record.load.unwrap().retained_by_us.unwrap().topics, 3);
    assert_eq!(retained_at(broker.address()), ["o"]);
}

#[test]
fn wills_that_were_retained_are_removed_after_an_interrupt() {
    let broker = ScriptedBroker::start(Script::default());
    let flags =
        "--variant retained,back --count 40 --connrate 20 --baseline 1s --slip-limit 1h --no-progress";
    let storm = format!("ungraceful-vanish will-storm {flags} {}", at(broker.address()));
    let running = Running::of(binary(&storm), "fault");
    running.interrupt();
    running.end().expect_exit(130);
    assert_eq!(retained_at(broker.address()), Vec::<String>::new());
}

#[test]
fn a_killed_run_leaves_no_broker_and_no_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let left = || std::fs::read_dir(temporary.path()).unwrap().count();
    let flags = "--spawn mosquitto --duration 10m -R 20";
    let mut command = binary(&format!("ungraceful-double-connect {QUICK} {flags}"));
    command.env("TMPDIR", temporary.path());
    let mut running = Running::of(command, "fault");
    assert_eq!(left(), 1, "the folder of the broker");
    let broker = running.broker();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // Both end by themselves, when the kernel notifies them.
    until("the folder and the process of the broker are gone", || {
        left() == 0 && rustix::process::test_kill_process(broker).is_err()
    });
}
