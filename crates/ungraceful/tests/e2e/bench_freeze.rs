//! A broker that stops while load is made on a schedule: the time is in the figures, and no message is out of the count.
//! And a generator that stops: its times are not to be relied on, and it says so.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_record::run::Record;
use ungraceful_record::verdict::Conclusion;

use crate::support::{binary, until_phase};

/// How long the broker is stopped.
const PAUSE: Duration = Duration::from_secs(4);

fn record(folder: &Path) -> Record {
    serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).unwrap()).unwrap()
}

#[test]
fn a_broker_that_stops_for_four_seconds_is_in_the_times_and_no_message_is_out_of_the_count() {
    for qos in ["0", "1"] {
        stopped(qos);
    }
}

/// A load that is under way: the timeline tells.
fn under_way(flags: &[&str], folder: &Path) -> Child {
    let mut command = binary("ungraceful-bench");
    command.args(flags).arg("--output").arg(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    until_phase("load", folder, &mut child);
    child
}

fn pause(process: u32, lasts: Duration) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    std::thread::sleep(lasts);
    kill_process(process, Signal::CONT).unwrap();
}

#[test]
fn a_generator_that_gets_no_processor_for_a_while_says_that_its_times_are_not_to_be_relied_on() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let load = ["--rate", "500", "-z", "6s", "--publishers", "2", "--subscribers", "2", "--warmup", "0s"];
    let judged = ["--threshold", "e2e p(50)<3600s", "--threshold", "loss==0", "--no-progress"];
    let flags = [&["pubsub", "--spawn", "mosquitto", "-q", "1"][..], &load, &judged].concat();
    let child = under_way(&flags, &folder);
    pause(child.id(), Duration::from_secs(2));
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{shown}");
    assert!(shown.contains("GENERATOR NOT RELIABLE"), "{shown}");
    let record = record(&folder);
    // A third of all messages were late by up to two seconds, and it is ourselves who were late.
    assert!(record.generator.schedule_slip.p99_us.unwrap() >= 1_500_000, "{:?}", record.generator);
    let concluded = |check: &str| {
        let of_check = record.verdicts.iter().filter(|verdict| verdict.check == check);
        of_check.map(|verdict| verdict.conclusion).collect::<Vec<_>>()
    };
    assert_eq!(concluded("generator_keeps_up"), [Conclusion::Inconclusive], "{shown}");
    assert_eq!(concluded("keeps_the_threshold"), [Conclusion::Inconclusive, Conclusion::Holds], "{shown}");
    let all = record.load.unwrap().all();
    assert_eq!((all.offered, all.sent, all.lost), (3_000, 3_000, 0), "what was counted is none the worse");
}

#[test]
fn a_broker_is_not_blamed_for_a_freeze_of_ours_that_too_few_messages_met_for_a_percentile() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    // Twelve messages a second to twenty subscribers: 1,440 deliveries, and 72 samples of our own lateness.
    let load = ["--rate", "12", "-z", "6s", "--publishers", "1", "--subscribers", "20", "--warmup", "0s"];
    let judged = ["--threshold", "e2e p(99)<50ms", "--bystanders", "0", "--no-progress"];
    let flags = [&["pubsub", "--spawn", "mosquitto", "-q", "1"][..], &load, &judged].concat();
    let child = under_way(&flags, &folder);
    pause(child.id(), Duration::from_secs(3));
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{shown}");
    let record = record(&folder);
    let slip = record.generator.schedule_slip;
    assert!(slip.p99_us.is_none() && slip.max_us.unwrap() >= 2_000_000, "{slip:?}");
    for check in ["generator_keeps_up", "keeps_the_threshold"] {
        let verdict = record.verdicts.iter().find(|verdict| verdict.check == check).unwrap();
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
}

fn stopped(qos: &str) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let flags = [
        "pubsub",
        "--spawn",
        "mosquitto",
        "-q",
        qos,
        "--rate",
        "1k",
        "-z",
        "12s",
        "--publishers",
        "2",
        "--subscribers",
        "2",
        "--warmup",
        "100ms",
        "--slip-limit",
        "1h",
        "--no-progress",
        "--keepalive",
        "0",
    ];
    let child = under_way(&flags, &folder);
    pause(record(&folder).broker.pid.unwrap(), PAUSE);
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");

    let load = record(&folder).load.unwrap();
    let all = load.all();
    // Everything that was due was sent, late if need be, and came.
    assert_eq!((all.offered, all.sent, all.dropped), (12_000, 12_000, 0), "{shown}");
    assert_eq!((all.expected, all.delivered, all.lost, all.duplicated), (12_000, 12_000, 0, 0), "{shown}");
    // A third of all messages fell due while it was stopped: the 99th percentile shows it in seconds.
    let response = load.delivery_response_time;
    assert_eq!(response.count, 12_000);
    assert!(response.p99_us.unwrap() >= 3_500_000, "{response:?}");
    assert!(response.max_us.unwrap() >= 3_600_000, "{response:?}");
    if qos == "1" {
        assert!(load.publish_response_time.p99_us.unwrap() >= 3_500_000, "{:?}", load.publish_response_time);
        // 100 may be unacknowledged: the others had to wait, and are told as blocked and as late.
        assert!(all.blocked >= 3_000 && all.late >= 3_000, "{all:?}");
    }
}
