//! `ungraceful-report`: records shown and judged again.

use serde_json::Value;
use ungraceful_scripted_broker::{Malformed, Script};

use crate::support::{Call, binary, call_at};

fn report(line: &str) -> Call {
    Call::without_record(binary(&format!("ungraceful-report {line}")).output().unwrap())
}

/// A run that finds violations, and its folder.
fn run() -> (Call, String) {
    let script = Script { malformed: Malformed::Ignore, ..Script::default() };
    let flags = "publish-qos3 flags-subscribe --attempts 2 --connrate 50";
    let call = call_at(script, "ungraceful-violate", "scenario", flags);
    let folder = call.folder.display().to_string();
    (call, folder)
}

#[test]
fn a_record_is_shown_as_its_run_showed_it() {
    let (call, folder) = run();
    let said = report(&format!("text {folder}")).expect_exit(0);
    assert_eq!(said.stdout(), call.stdout());
    report(&format!("markdown {folder}"))
        .expect_exit(0)
        .assert_prints(&["## What the broker did", "MQTT-3.3.1-4"]);
    report(&format!("csv {folder}")).expect_exit(0).assert_prints(&["publish-qos3"]);
    report(&format!("junit {folder}/run.json"))
        .expect_exit(0)
        .assert_prints(&["<testsuites", "MQTT-3.3.1-4"]);
    let json: Value =
        serde_json::from_str(&report(&format!("json {folder}")).expect_exit(0).stdout()).unwrap();
    assert_eq!(json["verdicts"].as_array().unwrap().len(), call.record().verdicts.len());
}

#[test]
fn every_run_writes_a_page_and_it_can_be_written_again() {
    let (call, folder) = run();
    let page = call.folder.join("report.html");
    call.assert_prints(&[&format!("Page          {}", page.display())]);
    let written = std::fs::read_to_string(&page).unwrap();
    for expected in [
        "<!DOCTYPE html>",
        "MQTT-3.3.1-4",
        "id=\"messages-title\"",
        "Reactions of the broker by kind",
        "id=\"connections-title\"",
    ] {
        assert!(written.contains(expected), "{expected} in {written}");
    }
    for unreadable in ["can't be read", "damaged"] {
        assert!(!written.contains(unreadable), "{unreadable} in {written}");
    }
    std::fs::remove_file(&page).unwrap();
    let said = report(&format!("html {folder}")).expect_exit(0);
    assert_eq!(said.stdout(), format!("{}\n", page.display()));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), written);
    let elsewhere = call.folder.join("elsewhere.html").display().to_string();
    report(&format!("html {folder}/run.json -o {elsewhere}")).expect_exit(0).assert_prints(&[&elsewhere]);
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), written);
    assert_eq!(report(&format!("html {folder} -o -")).expect_exit(0).stdout(), written);
    report(&format!("html {folder} -o /nonexistent/page.html"))
        .expect_exit(4)
        .assert_says("cannot write the page /nonexistent/page.html");
}

#[test]
fn the_same_record_has_the_same_verdicts() {
    let runs = [
        ("ungraceful-double-connect", "", "--attempts 2"),
        ("ungraceful-vanish", "drop", "--attempts 2 --variant fin"),
        ("ungraceful-takeover", "storm", "-c 4 --variant clean"),
        ("ungraceful-flood", "receive-maximum", "--attempts 1"),
        (
            "ungraceful-bench",
            "pubsub",
            "--rate 50 --duration 1s --threshold 'e2e p(50)<10s' --threshold loss==0",
        ),
    ];
    for (tool, mode, flags) in runs {
        let call = call_at(Script::default(), tool, mode, flags);
        let judged = report(&format!("judge {}", call.folder.display()));
        let same =
            format!("Judged again: the same {} verdicts as in the record", call.record().verdicts.len());
        judged.assert_prints(&[&same]);
        assert_eq!(judged.output.status, call.output.status, "{judged}");
    }
}

#[test]
fn a_verdict_that_is_not_the_records_own_is_told() {
    let (call, folder) = run();
    let file = call.folder.join("run.json");
    let mut record: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let verdicts = record["verdicts"].as_array_mut().unwrap();
    let violated = verdicts.iter_mut().find(|verdict| verdict["conclusion"] == "violated").unwrap();
    violated["conclusion"] = "holds".into();
    std::fs::write(&file, record.to_string()).unwrap();
    let judged = report(&format!("judge {folder}")).expect_exit(1);
    judged.assert_prints(&[
        "otherwise than in the record",
        "was holds: the broker kept serving",
        "is violated: ",
    ]);
}

#[test]
fn the_page_replaces_no_file_of_a_record() {
    let (call, folder) = run();
    let before = std::fs::read(call.folder.join("run.json")).unwrap();
    let said = report(&format!("html {folder} -o {folder}/run.json")).expect_exit(2);
    said.assert_says("run.json is the name of a file of a record");
    assert_eq!(std::fs::read(call.folder.join("run.json")).unwrap(), before);
    report(&format!("html {folder} -o /dev/null")).expect_exit(0);
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file(), "a device stays one");
}

#[test]
fn what_is_no_record_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    report(&format!("text {path}")).expect_exit(4).assert_says("no run.json in this folder");
    let (call, _) = run();
    let whole = std::fs::read_to_string(call.folder.join("run.json")).unwrap();
    let newer = whole.replacen("\"format_version\": 2", "\"format_version\": 3", 1);
    assert_ne!(whole, newer);
    for (text, why) in [
        ("", "the record is empty"),
        (&whole[..whole.len() / 2], "the record is cut short"),
        ("{\"a\": 1}", "no record of a run"),
        ("[1, 2]", "no record of a run"),
        ("hello", "no record"),
        (&newer, "has format 3, and this program reads formats up to 2"),
        ("{\"format_version\": 2, \"tool\": {\"name\": \"x\"}}", "can't be read"),
    ] {
        std::fs::write(folder.path().join("run.json"), text).unwrap();
        for command in ["text", "html", "judge"] {
            report(&format!("{command} {path}")).expect_exit(4).assert_says(why);
        }
    }
    assert!(!folder.path().join("report.html").exists(), "there is no page of what is no record");
    report("text").expect_exit(2);
    report("pdf x").expect_exit(2);
}
