//! A broker that stops during an open-loop load: the times include the stop, and every message is counted. And a generator that
//! stops: it reports its times as unreliable.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ungraceful_record::verdict::Conclusion;

use crate::support::{Running, binary};

/// How long the broker is stopped.
const PAUSE: Duration = Duration::from_secs(4);

#[test]
fn a_broker_stopped_for_four_seconds_is_in_the_times() {
    for qos in ["0", "1"] {
        stopped(qos);
    }
}

/// A load on a Mosquitto that the run starts, under way.
fn under_way(flags: &str) -> Running {
    let load = format!("ungraceful-bench pubsub --spawn mosquitto --no-progress {flags}");
    Running::of(binary(&load), "load")
}

fn pause(process: Pid, lasts: Duration) {
    kill_process(process, Signal::STOP).unwrap();
    std::thread::sleep(lasts);
    kill_process(process, Signal::CONT).unwrap();
}

#[test]
fn a_stopped_generator_reports_that_its_times_are_unreliable() {
    let load = "--rate 500 -z 6s --publishers 2 --subscribers 2 --warmup 0s";
    let judged = "--threshold 'e2e p(50)<3600s' --threshold loss==0";
    let running = under_way(&format!("-q 1 {load} {judged}"));
    pause(Pid::from_child(&running.child), Duration::from_secs(2));
    let call = running.end().expect_exit(3);
    call.assert_prints(&["GENERATOR NOT RELIABLE"]);
    let record = call.record();
    // The generator sent a third of all messages up to two seconds late.
    assert!(record.generator.schedule_slip.p99_us.unwrap() >= 1_500_000, "{:?}", record.generator);
    assert_eq!(call.conclusions("generator_keeps_up"), [Conclusion::Inconclusive], "{call}");
    let thresholds = [Conclusion::Inconclusive, Conclusion::Holds];
    assert_eq!(call.conclusions("keeps_the_threshold"), thresholds, "{call}");
    let all = record.load.unwrap().all();
    assert_eq!((all.offered, all.sent, all.lost), (3_000, 3_000, 0), "what was counted is none the worse");
}

#[test]
fn a_short_freeze_of_the_generator_is_not_blamed_on_the_broker() {
    // Twelve messages a second to twenty subscribers: 1,440 deliveries, and 72 samples of the generator's lateness.
    let load = "--rate 12 -z 6s --publishers 1 --subscribers 20 --warmup 0s";
    let judged = "--threshold 'e2e p(99)<50ms' --bystanders 0";
    let running = under_way(&format!("-q 1 {load} {judged}"));
    pause(Pid::from_child(&running.child), Duration::from_secs(3));
    let call = running.end().expect_exit(3);
    let record = call.record();
    let slip = record.generator.schedule_slip;
    assert!(slip.p99_us.is_none() && slip.max_us.unwrap() >= 2_000_000, "{slip:?}");
    for check in ["generator_keeps_up", "keeps_the_threshold"] {
        let verdict = record.verdicts.iter().find(|verdict| verdict.check == check).unwrap();
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
}

fn stopped(qos: &str) {
    let load = "--rate 1k -z 12s --publishers 2 --subscribers 2 --warmup 100ms --slip-limit 1h --keepalive 0";
    let running = under_way(&format!("-q {qos} {load}"));
    pause(running.broker(), PAUSE);
    let call = running.end().expect_exit(0);

    let load = call.load();
    let all = load.all();
    // Every message that was due was sent, late if need be, and delivered.
    assert_eq!((all.offered, all.sent, all.dropped), (12_000, 12_000, 0), "{call}");
    assert_eq!((all.expected, all.delivered, all.lost, all.duplicated), (12_000, 12_000, 0, 0), "{call}");
    // A third of all messages was due while it was stopped: the 99th percentile is in seconds.
    let response = load.delivery_response_time;
    assert_eq!(response.count, 12_000);
    assert!(response.p99_us.unwrap() >= 3_500_000, "{response:?}");
    assert!(response.max_us.unwrap() >= 3_600_000, "{response:?}");
    if qos == "1" {
        assert!(load.publish_response_time.p99_us.unwrap() >= 3_500_000, "{:?}", load.publish_response_time);
        // 100 may be unacknowledged; the others wait and are counted as blocked and late.
        assert!(all.blocked >= 3_000 && all.late >= 3_000, "{all:?}");
    }
}
