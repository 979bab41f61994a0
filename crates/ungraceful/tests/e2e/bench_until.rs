//! `ungraceful-bench --until`: a load ends when a percentile is sure enough, or says why it is not.

use std::time::Duration;

use ungraceful_record::confidence::CHECK;
use ungraceful_record::verdict::Conclusion;
use ungraceful_scripted_broker::{Deliveries, Script};

use crate::support::{Call, bench, bench_at, binary};

/// A load that would last a minute, and whose median is known within its half long before.
const ENDS: &str = "--publishers 2 --subscribers 2 --rate 200 --duration 60s --until 'e2e p(50) ±50%'";

/// A load on a broker that delivers each message 50 ms later, so that a busy machine changes little.
fn ending(flags: &str) -> Call {
    let deliveries = Deliveries::DelayBy(Duration::from_millis(50));
    let script = Script { deliveries, ..Script::default() };
    bench_at(script, "pubsub", &format!("{ENDS} {flags}")).expect_exit(0)
}

/// The load ended by the interval, and every message that was due until then is accounted for.
fn assert_ended(call: &Call) {
    let verdict = &call.verdicts(CHECK)[0];
    assert_eq!(verdict.conclusion, Conclusion::Holds, "{call}");
    let load = call.load();
    let lasted_us = load.counted_us().unwrap();
    assert!((10_000_000..60_000_000).contains(&lasted_us), "{lasted_us}");
    let counts = load.all();
    assert_eq!(counts.offered, counts.sent + counts.dropped);
    assert_eq!((counts.sent, counts.lost, counts.unknown), (counts.delivered, 0, 0), "{counts:?}");
    // 200 a second, one more at the very edge.
    let due = lasted_us * 200 / 1_000_000;
    assert!((due..=due + 2).contains(&counts.offered), "{} of {due}", counts.offered);
    let sure = load.confidence.unwrap();
    assert_eq!(sure.unreached_because(), None);
    assert!(sure.low_us <= sure.estimate_us && sure.estimate_us <= sure.high_us, "{sure:?}");
    // The first look comes after ten seconds, when the last messages are still on their way.
    assert!(sure.samples >= 1_000 && sure.samples <= counts.delivered, "{sure:?}");
    assert!(call.stdout().contains(&format!("e2e p(50) ±50%: {}", sure.in_words())), "{call}");
}

#[test]
fn a_load_ends_when_the_percentile_is_sure_and_accounts_for_every_message() {
    assert_ended(&ending(""));
}

#[test]
fn a_load_of_several_processes_ends_alike() {
    assert_ended(&ending("--processes 2"));
}

#[test]
fn a_load_that_is_not_sure_in_time_is_inconclusive_and_says_why() {
    let call = bench("pubsub", "--rate 10 --duration 2s --until 'e2e p(99) ±5%'").expect_exit(3);
    let verdict = &call.verdicts(CHECK)[0];
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive);
    assert!(
        verdict.evidence.contains("too few samples: 20 of at least 1,000, in 2 s"),
        "{}",
        verdict.evidence
    );
    assert_eq!(call.load().confidence.unwrap().estimate_us, None);
    // The record alone says the same.
    let judged = binary(&format!("ungraceful-report judge {}", call.folder.display())).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.code() == Some(3) && said.contains("reaches_the_confidence"), "{said}");
}

#[test]
fn an_interval_that_can_never_be_reached_is_refused_with_the_cure() {
    for (mode, flags, cure) in [
        ("pubsub", "--until 'e2e p(99)'", "'e2e p(99) ±5%'"),
        ("pubsub", "--until 'ack p(99) ±5%'", "give -q 1"),
        ("pubsub", "--message hello --until 'e2e p(99) ±5%'", "add %x to --message"),
        ("pubsub", "--stages 1s:5,1s:6 --until 'e2e p(99) ±5%'", "give --rate"),
        ("pubsub", "--find-rate 'loss==0' --until 'e2e p(99) ±5%'", "leave out one of them"),
        ("pubsub", "--until 'bystander p(99) ±5%'", "give --bystanders 3"),
        ("pub", "--until 'e2e p(99) ±5%'", "use pubsub"),
    ] {
        let call = bench(mode, flags);
        call.assert_mistake(&["--until", cure]);
    }
}
