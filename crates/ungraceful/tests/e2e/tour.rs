//! The tour, and the list of faults: `ungraceful` without a tool.

use serde_json::Value;
use ungraceful_record::run::Completeness;
use ungraceful_record::testing::every;

use crate::support::{Call, Running, binary, record_in, tour, until_phase};

fn causes(tour: &Value) -> &Vec<Value> {
    tour["causes"].as_array().unwrap()
}

fn sequences(cause: &Value, version: &str) -> Vec<String> {
    let cases = cause["run"]["cases"].as_array().unwrap();
    let of_version = cases.iter().filter(|case| case["version"] == version);
    of_version.flat_map(|case| case["sequences"].as_object().unwrap().keys().cloned()).collect()
}

/// The cases of a run, at least one.
fn cases(run: &Value) -> &[Value] {
    let cases = run["cases"].as_array().unwrap();
    assert!(!cases.is_empty(), "{run}");
    cases
}

/// A row of the table is based on results: attempts that acted, and bystanders that were connected.
fn assert_seen(cause: &Value) {
    let run = &cause["run"];
    let finished = run["attempts"]["finished"].as_u64().unwrap();
    assert!(finished > 0 && run["attempts"]["planned"] == finished, "{}: {}", cause["name"], run["attempts"]);
    let cases = cases(run);
    let not_acted: u64 = cases.iter().filter_map(|case| case["outcomes"]["not_acted"].as_u64()).sum();
    assert_eq!(not_acted, 0, "{}: {cases:?}", cause["name"]);
    assert_eq!(run["completeness"], "complete", "{}", cause["name"]);
    assert!(run["bystanders"]["phases"].as_array().unwrap().len() == 3, "{}", cause["name"]);
}

const ALL: [&str; 7] = ["knock", "drop", "silence", "takeover", "flood", "double-connect", "kick"];

fn names(tour: &Value) -> Vec<&str> {
    causes(tour).iter().map(|cause| cause["name"].as_str().unwrap()).collect()
}

#[test]
fn the_embedded_broker_shows_every_cause_except_the_kick() {
    let call = tour("--format json").expect_exit(0);
    let tour = call.json();
    assert_eq!(names(&tour), ALL);
    let [shown @ .., kick] = &causes(&tour)[..] else { panic!("{tour}") };
    assert_eq!(shown.len(), 6);
    shown.iter().for_each(assert_seen);
    assert!(kick["not_shown"]["cure"].as_str().unwrap().contains("--spawn mosquitto"), "{kick}");
    assert_eq!(sequences(&shown[3], "5.0"), ["DISCONNECT 0x8E, FIN"; 2], "one for each variant");
    assert_eq!(sequences(&shown[4], "5.0"), ["DISCONNECT 0x93, FIN"]);
    assert_eq!(sequences(&shown[5], "5.0"), ["DISCONNECT 0x82, FIN"; 2]);
    for (number, name) in (1..).zip(&ALL[..6]) {
        let record = record_in(&call.folder.join(format!("{number}-{name}")));
        assert_eq!(record.seed, tour["seed"].as_u64().unwrap());
    }
}

#[test]
fn mosquitto_shows_every_cause_with_a_real_kick() {
    let call = tour("--format json --spawn mosquitto");
    let tour = call.json();
    // The verdict depends on the version of Mosquitto.
    assert!(matches!(call.exit(), 0 | 1), "{tour:#}");
    assert_eq!(names(&tour), ALL);
    causes(&tour).iter().for_each(assert_seen);
    let kicked = &causes(&tour)[6]["run"];
    assert_eq!(kicked["tool"]["name"], "ungraceful-expire");
    for case in cases(kicked) {
        let ended = ["closed", "reset"].map(|outcome| case["outcomes"][outcome].as_u64().unwrap_or(0));
        assert_eq!(ended.iter().sum::<u64>(), case["finished"].as_u64().unwrap(), "{case}");
        let back: Vec<&String> = case["facts"]["came_back"].as_object().unwrap().keys().collect();
        assert!(every(&back, |how| how.starts_with("CONNACK 0x")), "no client is accepted again: {back:?}");
    }
    for case in cases(&causes(&tour)[2]["run"]) {
        assert_eq!(case["outcomes"]["closed"].as_u64(), case["finished"].as_u64(), "{case}");
        assert!(case["time_to_close"]["min_us"].as_u64().unwrap() >= 1_350_000, "{case}");
    }
}

#[test]
fn mistakes_of_all_causes_are_reported_together_and_once() {
    let call =
        tour("--format json --only nothing --slip-limit soon --connect-timeout 0s -p 1").expect_exit(2);
    let said = call.stderr();
    for flag in ["--only", "--slip-limit", "--connect-timeout", "--port"] {
        let count = said.lines().filter(|line| line.contains(&format!("ungraceful: {flag}: "))).count();
        assert_eq!(count, 1, "{flag} in\n{said}");
    }
    assert!(said.contains("takeover, flood"), "the causes are named: {said}");
    assert!(!call.folder.join("tour.json").exists());
}

#[test]
fn the_plan_of_every_cause_is_printed_and_nothing_is_sent() {
    let call = tour("--format json --print-plan --host 127.0.0.1 --port 9").expect_exit(0);
    let plans = call.json();
    assert!(plans.as_array().unwrap().len() >= 5);
    assert!(every(plans.as_array().unwrap(), |plan| plan["bounds"]["duration_s_max"].as_u64() > Some(0)));
    assert!(!call.folder.exists());
}

#[test]
fn a_url_without_credentials_names_the_broker_of_every_run() {
    let call = tour("--format json --only knock --print-plan --url mqtt://127.0.0.1:9").expect_exit(0);
    assert_eq!(call.json()[0]["target"], "127.0.0.1 port 9");
}

#[test]
fn attempts_max_applies_to_every_run_of_the_tour() {
    let call = tour("--format json --only knock,double-connect --attempts-max 3").expect_exit(0);
    for run in ["1-knock", "2-double-connect"] {
        let kept = std::fs::read_to_string(call.folder.join(run).join("attempts.ndjson"));
        assert_eq!(kept.unwrap().lines().count(), 3, "{run}");
    }
}

#[test]
fn an_existing_record_is_kept_and_a_missing_broker_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tour.json"), "{}").unwrap();
    let call = format!("ungraceful --only double-connect --output {}", folder.path().display());
    Call::without_record(binary(&call).output().unwrap()).assert_mistake(&["--output"]);
    tour("--host 127.0.0.1 --port 9").expect_exit(4);
}

#[test]
fn an_interrupted_tour_keeps_its_results() {
    let flags = "--slip-limit 1h --quiet --format json --only takeover,double-connect";
    let mut running = Running::begin(binary(&format!("ungraceful {flags}")));
    let first = running.folder.join("1-takeover");
    until_phase("baseline", &first, &mut running.child);
    running.interrupt();
    let call = running.end().expect_exit(130);
    let tour = call.json();
    assert_eq!(causes(&tour).len(), 2);
    assert_eq!(record_in(&first).completeness, Completeness::Interrupted);
    assert!(causes(&tour)[1]["not_shown"]["why"].as_str().unwrap().contains("interrupted"), "{tour}");
    let kept = std::fs::read_to_string(call.folder.join("tour.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(causes(&kept).len(), 2);
}

#[test]
fn every_fault_is_listed_with_its_command_and_what_it_checks() {
    let list = |format: &str| {
        Call::without_record(binary(&format!("ungraceful list --format {format}")).output().unwrap())
    };
    list("xml").assert_mistake(&["--format"]);
    let list = list("json").expect_exit(0).json();
    let of = |fault: &str| {
        let found = list.as_array().unwrap().iter().find(|entry| entry["fault"] == fault);
        found.unwrap_or_else(|| panic!("no {fault} in {list}"))
    };
    let double_connect = of("double-connect");
    assert_eq!(double_connect["command"], "ungraceful double-connect");
    assert_eq!(double_connect["versions"], serde_json::json!(["3.1.1", "5.0"]));
    let ids = double_connect["statements"].as_array().unwrap();
    assert!(ids.iter().any(|statement| statement["id"] == "MQTT-3.1.0-2" && statement["version"] == "3.1.1"));
    assert_eq!(of("receive-maximum")["command"], "ungraceful flood receive-maximum");
}
