//! The first run of a new user: without a broker and without flags.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{BrokerOrigin, Completeness};
use ungraceful_record::testing::until;

use crate::support::{Call, QUICK, Running, binary, double_connect};

#[test]
fn without_a_target_the_embedded_broker_is_started_and_passes() {
    let call = double_connect("--attempts 4 --delay 200ms").expect_exit(0);
    let record = call.record();
    assert_eq!((record.broker.origin, record.completeness), (BrokerOrigin::Embedded, Completeness::Complete));
    assert!(call.stdout().lines().next().unwrap().contains("embedded broker"), "{}", call.stdout());
    for variant in ["identical", "other-client-id", "same-segment", "delayed", "with-will"] {
        let case = call.case(variant, "5.0");
        assert_eq!(case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset), 4, "{:?}", case.outcomes);
        assert_eq!(case.disconnect_codes.get(&0x82), Some(&4), "{variant}: {:?}", case.disconnect_codes);
    }
}

#[test]
fn the_record_has_all_its_files_and_they_agree_with_each_other() {
    let call = double_connect("--attempts 4 --variant identical");
    let record = call.record();
    assert_eq!((record.attempts.planned, record.attempts.finished, record.attempts.written), (8, 8, 8));
    assert_eq!(call.attempts().len(), 8);
    let timeline = std::fs::read_to_string(call.folder.join("timeline.csv")).unwrap();
    let mut lines = timeline.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let sum = |name: &str, phases: &[&str]| -> u64 {
        let at = columns.iter().position(|column| *column == name).unwrap();
        let rows = timeline.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.filter(|row| phases.contains(&row[1])).map(|row| row[at].parse::<u64>().unwrap()).sum()
    };
    assert_eq!(sum("attempts_finished", &["fault"]), 8);
    let measured = ["baseline", "fault", "recovery"];
    let phases = record.bystanders.unwrap().phases;
    let ledger = |count: fn(&ungraceful_record::ledger::LedgerCounts) -> u64| -> u64 {
        phases.iter().flat_map(|phase| phase.by_qos.values()).map(count).sum()
    };
    assert_eq!(sum("offered", &measured), ledger(|counts| counts.offered));
    assert_eq!(sum("sent", &measured), ledger(|counts| counts.sent));
    assert_eq!(sum("delivered", &measured), ledger(|counts| counts.delivered));
    // The process of the embedded broker is known; it has no log.
    assert!(call.timeline("broker_descriptors").iter().any(|cell| cell.parse::<u64>().is_ok_and(|n| n > 3)));
    assert!(record.broker_resources.unwrap().rss_bytes.change.is_some());
    assert!(record.broker_log.is_none() && !call.folder.join("broker-log.ndjson").exists());
    let histograms = std::fs::read_to_string(call.folder.join("metrics.hlog")).unwrap();
    for tag in ["Tag=reaction_time.fault", "Tag=bystander_response_time.baseline"] {
        assert!(histograms.contains(tag), "{tag}");
    }
}

#[test]
fn the_front_runs_the_same_tool_and_json_is_one_document() {
    let flags = "--attempts 1 --variant identical --format json --baseline 1s --slip-limit 1h --no-progress";
    let call = Call::of(binary(&format!("ungraceful double-connect {flags}"))).expect_exit(0);
    let summary = call.json();
    assert_eq!(summary["exit"]["code"], 0, "{summary}");
}

#[test]
fn the_broker_ends_with_a_killed_run() {
    let mut running = Running::begin(binary(&format!("ungraceful-double-connect {QUICK} --baseline 1m")));
    let record = running.folder.join("run.json");
    let mut pid = None;
    until("the record says which process the broker is", || {
        assert!(running.child.try_wait().unwrap().is_none(), "the run ended by itself");
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        if let Ok(begun) = serde_json::from_str::<ungraceful_record::run::Record>(&text) {
            assert_eq!(begun.completeness, Completeness::Partial, "a record is readable from the start");
            pid = Some(begun.broker.pid.unwrap());
        }
        pid.is_some()
    });
    let pid = pid.unwrap();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    until("the broker has gone", || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // Dead and not yet reaped.
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    });
}
