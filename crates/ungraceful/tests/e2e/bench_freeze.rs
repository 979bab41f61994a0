//! A broker that stops while load is made on a schedule: the time is in the figures, and no message is out of the count.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_rig::record::Record;

use crate::support::binary;

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
    let child = binary("ungraceful-bench")
        .args(flags)
        .arg("--output")
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The timeline tells that the load is under way.
    let timeline = || std::fs::read_to_string(folder.join("timeline.csv")).unwrap_or_default();
    while !timeline().contains(",load,") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let broker = Pid::from_raw(i32::try_from(record(&folder).broker.pid.unwrap()).unwrap()).unwrap();
    kill_process(broker, Signal::STOP).unwrap();
    std::thread::sleep(PAUSE);
    kill_process(broker, Signal::CONT).unwrap();
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
