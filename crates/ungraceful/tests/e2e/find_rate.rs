//! `ungraceful-bench --find-rate`: it finds the rate that there is, tells when there is none, and each trial can be made
//! again by itself.

use std::process::Command;

use serde_json::Value;
use ungraceful_record::run::Record;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{Call, bench, bench_at, binary};

const SMALL: [&str; 8] = ["--publishers", "1", "--subscribers", "1", "-z", "500ms", "--rate", "100"];

fn search(call: &Call) -> Value {
    let written = std::fs::read_to_string(call.folder.join("search.json"));
    serde_json::from_str(&written.unwrap_or_else(|_| panic!("no search\n{}", call.said()))).unwrap()
}

fn number(search: &Value, name: &str) -> f64 {
    search[name].as_f64().unwrap_or_else(|| panic!("{name}: {search}"))
}

/// Looks for the rate at which a broker that does this with its deliveries keeps `promise`.
fn on(broker: &ScriptedBroker, promise: &str, flags: &[&str]) -> Call {
    bench_at(broker.address(), "pubsub", &[&SMALL[..], &["--find-rate", promise], flags].concat())
}

#[test]
fn the_highest_rate_that_keeps_the_promise_is_found_and_can_be_run_again() {
    // In half a second: up to 659 a second, fewer than 330 messages come.
    let script = Script { deliveries: "lose-every-330".parse().unwrap(), ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let call = on(&broker, "loss==0", &["-q", "1", "--rate", "200"]);
    assert_eq!(call.exit(), 0, "{}", call.said());
    let search = search(&call);
    let (kept, limit) =
        (number(&search, "highest_kept_per_second"), number(&search, "lowest_not_kept_per_second"));
    assert!(kept < 660.0 && limit >= 660.0 && limit <= kept * 1.051, "{}", call.said());
    let trials = search["trials"].as_array().unwrap();
    let rates: Vec<f64> = trials.iter().map(|trial| number(trial, "per_second")).collect();
    assert_eq!(rates[..4], [200.0, 400.0, 800.0, 800.0], "twice where it was broken");
    assert_eq!((&trials[1]["came"], &trials[2]["came"]), (&"kept".into(), &"broken".into()));
    assert_eq!(trials[2]["why"], "loss==0: 1");
    // Each trial is a record of its own, of the rate that it was made at.
    let directory = trials[0]["run"]["record_dir"].as_str().unwrap();
    let record = std::fs::read_to_string(std::path::Path::new(directory).join("run.json")).unwrap();
    let record: Record = serde_json::from_str(&record).unwrap();
    assert_eq!((&*record.settings["rate"].value, record.load.unwrap().all().sent), ("200", 100));
    let shown = call.stdout();
    for part in ["The highest rate that keeps the promise", "loss==0", "the promise was broken"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(record.settings["duration"].value, "500ms", "as long as every trial");
    // The command of a trial makes that trial alone, judged by the promise.
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
    let call = on(&broker, "loss==0", &["-q", "1", "--rate", "40"]);
    assert_eq!(call.exit(), 1, "{}", call.said());
    assert!(call.stdout().contains("none: at 40/s"), "{}", call.said());
    assert!(search(&call)["highest_kept_per_second"].is_null());
}

#[test]
fn a_promise_from_the_environment_is_searched_by_as_one_from_a_flag_is() {
    let broker = ScriptedBroker::start(Script::default());
    let folder = tempfile::tempdir().unwrap();
    let port = broker.address().port().to_string();
    let call = binary("ungraceful-bench")
        .args(["--host", "127.0.0.1", "--port", &port, "--warmup", "0s", "--slip-limit", "1h", "--quiet"])
        .args(SMALL)
        .args(["--output", folder.path().to_str().unwrap()])
        .env("UNGRACEFUL_FIND_RATE", "e2e p(99.99)<3600s")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&call.stdout).into_owned();
    assert_eq!(call.status.code(), Some(3), "{said}{}", String::from_utf8_lossy(&call.stderr));
    assert!(said.contains("1 trial in") && said.contains("needs 100000 samples and there are 50"), "{said}");
}

#[test]
fn a_search_that_cannot_tell_ends_inconclusive_and_says_what_it_would_need() {
    let broker = ScriptedBroker::start(Script::default());
    let few = on(&broker, "e2e p(99)<3600s", &[]);
    assert_eq!(few.exit(), 3, "{}", few.said());
    assert!(few.stdout().contains("needs 1000 samples and there are 50"), "{}", few.said());
    let late = on(&broker, "e2e p(50)<3600s", &["--slip-limit", "1us"]);
    assert_eq!(late.exit(), 3, "{}", late.said());
    assert!(late.stdout().contains("the limit is the generator"), "{}", late.said());
    let trials = search(&late)["trials"].as_array().unwrap().len();
    assert!(
        (1..=6).contains(&trials),
        "three rates at which the generator was late are enough\n{}",
        late.said()
    );
}

#[test]
fn a_folder_with_something_in_it_is_refused_and_a_broker_that_delivers_nothing_keeps_no_promise() {
    let broker =
        ScriptedBroker::start(Script { deliveries: "lose-every-1".parse().unwrap(), ..Script::default() });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), b"").unwrap();
    let taken = folder.path().to_str().unwrap();
    let call = on(&broker, "loss==0", &["--rate", "40", "--output", taken]);
    // The folder of the test's own comes last and is taken: so the call is made.
    assert_eq!(call.exit(), 1, "{}", call.said());
    let refused = binary("ungraceful-bench")
        .args([
            "--find-rate",
            "loss==0",
            "--host",
            "127.0.0.1",
            "--port",
            &broker.address().port().to_string(),
        ])
        .args(["--output", taken])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("is not empty"), "{said}");
}

#[test]
fn what_a_search_cannot_be_combined_with_is_told_before_the_first_packet() {
    for (flags, told) in [
        (&["--rate", "max"][..], "--rate: max has no rate to begin the search at"),
        (&["--stages", "1s:5"], "--stages: --find-rate chooses the rates"),
        (&["--find-rate", "speed>9"], "there is no \"speed\""),
        (&["--threshold", "loss==0"], "--threshold: a search goes by its promise alone"),
    ] {
        let call = bench("pubsub", &[&["--find-rate", "loss==0"], flags].concat());
        assert_eq!(call.exit(), 2, "{}", call.said());
        assert!(call.stderr().contains(told) && !call.folder.exists(), "{told}\n{}", call.said());
    }
    let shown = binary("ungraceful-bench").args(["--find-rate", "loss==0", "--print-plan"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("1000 messages per second for 10000 ms") && shown.contains("loss==0"), "{shown}");
}
