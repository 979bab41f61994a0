//! `ungraceful-report compare`: runs on equal brokers, on one that is slower by a known amount, and runs that are unlike.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use ungraceful_scripted_broker::{Deliveries, Script, ScriptedBroker};

use crate::support::{Call, bench_at, binary};

const FLAGS: &str =
    "--publishers 2 --subscribers 2 --baseline 100ms --warmup 100ms --recovery 0s --slip-limit 5s";

fn compare(line: &str) -> Call {
    Call::without_record(binary(&format!("ungraceful-report compare {line}")).output().unwrap())
}

/// A run on a broker that delivers each message this much later.
fn run(late_ms: u64, flags: &str) -> Call {
    let deliveries = Deliveries::DelayBy(Duration::from_millis(late_ms));
    let script = Script { deliveries, ..Script::default() };
    bench_at(script, "pubsub", &format!("{FLAGS} {flags}"))
}

/// A folder with the records of these runs, as a user collects repetitions.
fn side(runs: &[Call]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, run) in runs.iter().enumerate() {
        std::fs::rename(&run.folder, folder.path().join(format!("run-{number}"))).unwrap();
    }
    folder
}

/// The end-to-end median's row.
fn e2e(said: &Call, comparison: usize) -> Value {
    let all: Value = serde_json::from_str(&said.stdout()).unwrap();
    let rows = all[comparison]["rows"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["name"] == "e2e p(50)").unwrap()
}

#[test]
fn a_broker_that_is_slower_by_a_known_amount_is_a_regression_of_that_amount() {
    // One after the other, so that what else the machine does is shared by all.
    let mut sides: [Vec<Call>; 3] = Default::default();
    for _ in 0..3 {
        for (runs, late_ms) in sides.iter_mut().zip([20, 20, 120]) {
            runs.push(run(late_ms, "--rate 100 --duration 2s"));
        }
    }
    let folders = sides.each_ref().map(|runs| side(runs));
    let [before, same, slower] = folders.each_ref().map(|folder| folder.path().display());
    let said = compare(&format!("{before} {same} {slower} --format json")).expect_exit(0);
    assert_ne!(e2e(&said, 0)["conclusion"], "worse", "{said}");
    let row = e2e(&said, 1);
    assert_eq!(row["conclusion"], "worse", "{said}");
    let change = row["change"]["estimate"].as_f64().unwrap();
    assert!((3.5..6.0).contains(&change), "100 ms more than 20 ms: {said}");
    let failed = compare(&format!("{before} {slower} --fail-on-regression 5%")).expect_exit(1);
    failed.assert_prints(&[
        "Worse: ",
        "e2e p(50) by ",
        "WORSE",
        "The repetitions show the noise.",
        "0 on both sides: loss",
    ]);
    // The other way round it is an improvement.
    compare(&format!("{slower} {before} --fail-on-regression 5%"))
        .expect_exit(0)
        .assert_prints(&["Better: "]);
}

#[test]
fn single_runs_are_compared_by_their_parts_and_unlike_ones_refused() {
    let runs =
        ["--rate 400", "--rate 400", "--rate 100"].map(|flags| run(20, &format!("{flags} --duration 6s")));
    let [one, other, unlike] = runs.each_ref().map(|call| call.folder.display().to_string());
    compare(&format!("{one} {other}/run.json"))
        .expect_exit(0)
        .assert_prints(&["Up to 10 parts of each run show the noise", "e2e p(50)"]);
    compare(&format!("{one} {unlike}")).expect_exit(2).assert_reports(&[
        "are unlike",
        "--rate: 400 and 100",
        "--anyway",
    ]);
    compare(&format!("{one} {unlike} --anyway --format markdown"))
        .expect_exit(0)
        .assert_prints(&["UNLIKE", "e2e"]);
    let csv = compare(&format!("{one} {other} --format csv")).expect_exit(0).stdout();
    assert!(csv.starts_with("before,after,figure,") && csv.contains(",e2e p(50),"), "{csv}");
    compare(&format!("{one} /nonexistent")).expect_exit(4).assert_says("/nonexistent");
    compare(&one).expect_exit(2);
    compare(&format!("{one} {other} --fail-on-regression none")).expect_exit(2);
    compare(&format!("{one} {other} --format junit"))
        .expect_exit(2)
        .assert_says("choose text, markdown, json or csv");
}

#[test]
fn several_runs_have_a_record_each_and_one_result() {
    let script = Script { deliveries: Deliveries::DelayBy(Duration::from_millis(20)), ..Script::default() };
    let flags = format!("{FLAGS} --rate 100 --duration 1s --repeat 3");
    let repeated = bench_at(script, "pubsub", &flags).expect_exit(0);
    repeated.assert_prints(&["How the figures vary over 3 runs", "e2e p(50)", "Records"]);
    for run in ["01", "02", "03"] {
        assert!(repeated.folder.join(run).join("run.json").is_file(), "{run}: {repeated}");
    }
    // A later run is compared with them; one that delivers later is a regression.
    let with = repeated.folder.display();
    let flags = format!("--rate 100 --duration 1s --repeat 3 --compare-with {with} --fail-on-regression 5%");
    run(120, &flags).expect_exit(1).assert_prints(&["Worse: ", "compared with", "WORSE"]);
}

#[test]
fn two_brokers_take_turns_and_are_compared() {
    let deliveries = |late_ms| Deliveries::DelayBy(Duration::from_millis(late_ms));
    let other = ScriptedBroker::start(Script { deliveries: deliveries(120), ..Script::default() });
    let script = Script { deliveries: deliveries(20), ..Script::default() };
    let flags = format!("{FLAGS} --rate 100 --duration 1s --repeat 3 --against {}", other.address());
    let said = bench_at(script, "pubsub", &flags).expect_exit(0);
    said.assert_prints(&["Worse: ", "e2e p(50) by ", &format!("{} (3 runs) compared with", other.address())]);
    for folder in ["before/01", "before/03", "after/01", "after/03"] {
        assert!(said.folder.join(folder).join("run.json").is_file(), "{folder}: {said}");
    }
}

#[test]
fn what_several_runs_cannot_do_is_refused_together() {
    let line = "ungraceful-takeover storm --fail-on-regression x --against b --junit x.xml --compare-with /nonexistent --broker-pid 1";
    let said = Call::without_record(binary(line).output().unwrap());
    said.assert_mistake(&[
        "--fail-on-regression: \"x\" is no share such as 5%",
        "--junit: several runs have no test cases together",
        "--compare-with: give either this or --against",
        "--against: name the first broker by --host, too",
        "--broker-pid: is of one broker",
    ]);
    let alone =
        Call::without_record(binary("ungraceful-bench pub --fail-on-regression 5%").output().unwrap());
    alone.assert_mistake(&["--fail-on-regression: there is nothing to compare with"]);
    let missing = binary("ungraceful-bench pub --compare-with /nonexistent").output().unwrap();
    Call::without_record(missing).expect_exit(4).assert_says("/nonexistent");
}
