//! `ungraceful-report`: records shown and judged again.

use serde_json::Value;
use ungraceful_scripted_broker::{Malformed, Script, ScriptedBroker};

use crate::support::{Call, bench_at, binary, call_at, tour};

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

/// A search of two trials, and its folder.
fn searched() -> Call {
    let broker = ScriptedBroker::start(Script::default());
    let flags = "--publishers 1 --subscribers 1 -z 500ms --rate 40 --find-rate 'e2e p(99)<3600s'";
    bench_at(broker.address(), "pubsub", flags).expect_exit(3)
}

/// Writes it again in every format, and as a page.
fn assert_shown_again(call: &Call, file: &str) {
    let folder = call.folder.display().to_string();
    let page = call.folder.join("report.html");
    call.assert_prints(&[&format!("Page          {}", page.display())]);
    let written = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    report(&format!("html {folder}/{file}")).expect_exit(0).assert_prints(&[&page.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), written);
    assert_eq!(report(&format!("text {folder}")).expect_exit(0).stdout(), call.stdout());
    let json = report(&format!("json {folder}")).expect_exit(0).stdout();
    let json: Value = serde_json::from_str(&json).unwrap();
    let recorded: Value =
        serde_json::from_str(&std::fs::read_to_string(call.folder.join(file)).unwrap()).unwrap();
    assert_eq!(json, recorded);
    for (format, words) in [("markdown", "# ungraceful"), ("csv", "_p99"), ("junit", "<testsuites")] {
        report(&format!("{format} {folder}")).expect_exit(0).assert_prints(&[words]);
    }
    report(&format!("html {folder} -o {folder}/{file}"))
        .expect_exit(2)
        .assert_says("is the name of a file of a record");
}

/// Nothing is made of a file that is damaged, foreign or newer, nor of one whose records are gone.
fn assert_unreadable(call: &Call, what: &str) {
    let file = call.folder.join(format!("{what}.json"));
    std::fs::remove_file(call.folder.join("report.html")).unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    let newer = whole.replacen(&format!("\"{what}_version\": 1"), &format!("\"{what}_version\": 2"), 1);
    assert_ne!(whole, newer);
    let without_records = whole.replace("\"record_dir\"", "\"elsewhere\"");
    for (text, why) in [
        ("", format!("the {what} is empty")),
        (&whole[..whole.len() / 2], format!("the {what} is cut short")),
        ("{\"a\": 1}", format!("no {what}")),
        ("hello", format!("no {what}")),
        (&newer, "has format 2, and this program reads formats up to 1".to_owned()),
        (&format!("{{\"{what}_version\": 1}}"), "can't be read: missing field".to_owned()),
        (&without_records, "has no folder for its record".to_owned()),
    ] {
        std::fs::write(&file, text).unwrap();
        for command in ["text", "html"] {
            report(&format!("{command} {}", call.folder.display())).expect_exit(4).assert_says(&why);
        }
    }
    std::fs::write(&file, &whole).unwrap();
    let folders = std::fs::read_dir(&call.folder).unwrap().flatten().map(|entry| entry.path());
    let first = folders.filter(|path| path.is_dir()).min().unwrap();
    std::fs::remove_file(first.join("run.json")).unwrap();
    let gone = report(&format!("html {}", call.folder.display())).expect_exit(4);
    gone.assert_says(&format!("{}: no run.json in this folder", first.display()));
    assert!(!call.folder.join("report.html").exists(), "there is no page of what can't be read");
}

#[test]
fn a_search_is_shown_again_and_never_made_up() {
    let call = searched();
    assert_shown_again(&call, "search.json");
    assert_unreadable(&call, "search");
}

#[test]
fn a_tour_is_shown_again_and_never_made_up() {
    let call = tour("--only knock,kick").expect_exit(0);
    assert_shown_again(&call, "tour.json");
    let whole = std::fs::read_to_string(call.folder.join("tour.json")).unwrap();
    let foreign = whole.replacen("\"knock\"", "\"earthquake\"", 1);
    std::fs::write(call.folder.join("tour.json"), foreign).unwrap();
    let folder = call.folder.display();
    report(&format!("text {folder}"))
        .expect_exit(4)
        .assert_says("it has a cause \"earthquake\", which is none of this");
    std::fs::write(call.folder.join("tour.json"), whole).unwrap();
    assert_unreadable(&call, "tour");
}
