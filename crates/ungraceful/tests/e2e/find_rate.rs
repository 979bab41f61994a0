//! `ungraceful-bench --find-rate` finds the highest rate that keeps a promise, or reports that no rate does. Each trial can be
//! repeated.

use std::process::Command;

use serde_json::Value;
use ungraceful_record::run::Record;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{Call, at, bench, bench_at, binary};

const SMALL: &str = "--publishers 1 --subscribers 1 -z 500ms --rate 100";

fn search(call: &Call) -> Value {
    let written = std::fs::read_to_string(call.folder.join("search.json"));
    serde_json::from_str(&written.unwrap_or_else(|_| panic!("no search\n{call}"))).unwrap()
}

fn number(search: &Value, name: &str) -> f64 {
    search[name].as_f64().unwrap_or_else(|| panic!("{name}: {search}"))
}

/// Searches for the rate at which this broker keeps `promise`.
fn on(broker: &ScriptedBroker, promise: &str, flags: &str) -> Call {
    bench_at(broker.address(), "pubsub", &format!("{SMALL} --find-rate '{promise}' {flags}"))
}

#[test]
fn the_highest_rate_is_found_and_can_be_run_again() {
    // At up to 659 a second, fewer than 330 messages come in half a second.
    let script = Script { deliveries: "lose-every-330".parse().unwrap(), ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let call = on(&broker, "loss==0", "-q 1 --rate 200").expect_exit(0);
    let search = search(&call);
    let (kept, limit) =
        (number(&search, "highest_kept_per_second"), number(&search, "lowest_not_kept_per_second"));
    assert!(kept < 660.0 && limit >= 660.0 && limit <= kept * 1.051, "{call}");
    let trials = search["trials"].as_array().unwrap();
    let rates: Vec<f64> = trials.iter().map(|trial| number(trial, "per_second")).collect();
    assert_eq!(rates[..4], [200.0, 400.0, 800.0, 800.0], "twice where it was broken");
    assert_eq!((&trials[1]["came"], &trials[2]["came"]), (&"kept".into(), &"broken".into()));
    assert_eq!(trials[2]["why"], "loss==0: 1");
    // Each trial has its own record, with its rate.
    let directory = trials[0]["run"]["record_dir"].as_str().unwrap();
    let record = std::fs::read_to_string(std::path::Path::new(directory).join("run.json")).unwrap();
    let record: Record = serde_json::from_str(&record).unwrap();
    assert_eq!((&*record.settings["rate"].value, record.load.unwrap().all().sent), ("200", 100));
    call.assert_prints(&["The highest rate that keeps the promise", "loss==0", "the promise was broken"]);
    assert_eq!(record.settings["duration"].value, "500ms", "as long as every trial");
    // The command of a trial repeats only that trial, judged by the promise.
    let command = trials[2]["command"].as_str().unwrap();
    assert!(command.contains("--threshold loss==0") && !command.contains("find-rate"), "{command}");
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_ungraceful-bench")).parent().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).env("PATH", binaries).current_dir(&call.folder);
    let again = shell.output().unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(again.status.code(), Some(1), "{command}\n{said}");
    assert!(said.contains("loss==0: 1"), "{said}");
}

#[test]
fn a_promise_that_no_rate_keeps_is_violated() {
    let script = Script { deliveries: "lose-every-2".parse().unwrap(), ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let call = on(&broker, "loss==0", "-q 1 --rate 40").expect_exit(1);
    call.assert_prints(&["none: the promise was already broken at 40/s"]);
    assert!(search(&call)["highest_kept_per_second"].is_null());
}

#[test]
fn a_promise_from_the_environment_is_searched_too() {
    let broker = ScriptedBroker::start(Script::default());
    let flags = "--warmup 0s --slip-limit 1h --quiet";
    let mut command = binary(&format!("ungraceful-bench {} {flags} {SMALL}", at(broker.address())));
    command.env("UNGRACEFUL_FIND_RATE", "e2e p(99.99)<3600s");
    let call = Call::of(command).expect_exit(3);
    call.assert_prints(&["1 trial in", "needs 100000 samples and there are 50"]);
}

#[test]
fn an_inconclusive_search_says_what_it_needs() {
    let broker = ScriptedBroker::start(Script::default());
    let few = on(&broker, "e2e p(99)<3600s", "").expect_exit(3);
    few.assert_prints(&["needs 1000 samples and there are 50"]);
    let late = on(&broker, "e2e p(50)<3600s", "--slip-limit 1us").expect_exit(3);
    late.assert_prints(&["the generator itself was late"]);
    let trials = search(&late)["trials"].as_array().unwrap().len();
    assert!((1..=6).contains(&trials), "three rates at which the generator was late are enough\n{late}");
}

#[test]
fn a_non_empty_folder_is_rejected_and_no_delivery_breaks_the_promise() {
    let broker =
        ScriptedBroker::start(Script { deliveries: "lose-every-1".parse().unwrap(), ..Script::default() });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), b"").unwrap();
    let taken = folder.path().to_str().unwrap();
    let call = on(&broker, "loss==0", &format!("--rate 40 --output {taken}"));
    // The later --output of the test overrides this one, so the search runs.
    assert_eq!(call.exit(), 1, "{call}");
    let target = at(broker.address());
    let mut refused = binary(&format!("ungraceful-bench --find-rate loss==0 {target} --output {taken}"));
    Call::without_record(refused.output().unwrap()).assert_mistake(&["is not empty"]);
}

#[test]
fn flags_that_conflict_with_a_search_are_rejected() {
    for (flags, expected) in [
        ("--rate max", "--rate: max is no rate to start the search at"),
        ("--stages 1s:5", "--stages: --find-rate chooses the rates"),
        ("--find-rate speed>9", "unknown name \"speed\""),
        ("--threshold loss==0", "--threshold: a rate search uses only its promise"),
    ] {
        let call = bench("pubsub", &format!("--find-rate loss==0 {flags}")).expect_exit(2);
        assert!(call.stderr().contains(expected) && !call.folder.exists(), "{expected}\n{call}");
    }
    bench("pubsub", "--find-rate loss==0 --print-plan")
        .assert_prints(&["1000 messages per second for 10000 ms", "loss==0"]);
}
