//! `ungraceful-report merge`: runs made at the same time against one broker, made one record; and what is no shard.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::intervals;
use ungraceful_record::metric::{Histograms, Metric};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::testing::every;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{Call, QUICK, Running, at, binary, record_in};

const LOAD: &str = "ungraceful-bench pubsub --publishers 2 --subscribers 2 -q 1 --duration 4s --bystanders 1 --baseline 500ms \
                    --warmup 100ms --recovery 500ms --slip-limit 1h --no-progress --quiet";

fn report(line: &str) -> Call {
    Call::without_record(binary(&format!("ungraceful-report {line}")).output().unwrap())
}

/// Merges these folders; the call's folder is that of the merged record.
fn merge(folders: &[&str], flags: &str) -> Call {
    Call::of(binary(&format!("ungraceful-report merge {} {flags}", folders.join(" "))))
}

/// Runs made at the same time against one broker.
struct Shards {
    calls: Vec<Call>,
    parent: TempDir,
}

impl Shards {
    fn of(commands: &[String]) -> Self {
        let broker = ScriptedBroker::start(Script::default());
        let target = at(broker.address());
        let begin = |command: &String| Running::begin(binary(&format!("{command} {target}")));
        let running: Vec<Running> = commands.iter().map(begin).collect();
        let calls = running.into_iter().map(Running::end).collect();
        Self { calls, parent: tempfile::tempdir().unwrap() }
    }

    fn folder(&self, number: usize) -> String {
        self.calls[number].folder.display().to_string()
    }

    fn record(&self, number: usize) -> Record {
        record_in(&self.calls[number].folder)
    }

    /// A copy of a record in which one file was changed.
    fn changed(&self, number: usize, file: &str, change: impl FnOnce(String) -> String) -> String {
        let copy =
            self.parent.path().join(std::fs::read_dir(self.parent.path()).unwrap().count().to_string());
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&self.calls[number].folder).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let path = copy.join(file);
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
        copy.display().to_string()
    }
}

fn histograms(folder: &Path) -> Histograms {
    intervals::whole(&std::fs::read_to_string(folder.join("metrics.hlog")).unwrap()).unwrap()
}

/// The sum of a column of `timeline.csv`.
fn column(folder: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(folder.join("timeline.csv")).unwrap();
    let mut lines = text.lines();
    let index = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    lines.map(|line| line.split(',').nth(index).unwrap().parse::<u64>().unwrap_or(0)).sum()
}

fn attempts(folder: &Path) -> Vec<Attempt> {
    let text = std::fs::read_to_string(folder.join("attempts.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything but the first line is the same for a record that lacks a shard.
fn first_line(call: &Call) -> String {
    call.stdout().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn shards_of_a_load_are_one_load_and_a_missing_one_is_reported() {
    let shards = Shards::of(&[format!("{LOAD} --rate 100"), format!("{LOAD} --rate 100")]);
    let (one, other) = (shards.folder(0), shards.folder(1));
    let said = merge(&[&one, &other], "").expect_exit(0);
    said.assert_prints(&["2 shards", "started within", "2 shards, each"]);
    assert!(!first_line(&said).contains(" of 2 shards"), "{said}");
    let merged = said.folder.clone();
    let (record, of) = (record_in(&merged), [shards.record(0), shards.record(1)]);
    let load = record.load.as_ref().unwrap();
    for (what, sum) in load.all().named() {
        let counted = |record: &Record| {
            let counts = record.load.as_ref().unwrap().all().named();
            counts.iter().find(|(name, _)| *name == what).unwrap().1
        };
        assert_eq!(sum, of.iter().map(counted).sum::<u64>(), "{what}");
    }
    assert!(load.all().delivered > 0 && record.bystanders.as_ref().unwrap().pairs == 2, "{said}");
    let mut sum = histograms(&shards.calls[0].folder);
    sum.merge(&histograms(&shards.calls[1].folder));
    assert_eq!(histograms(&merged), sum, "bit for bit");
    let e2e = sum.of(Metric::DeliveryResponseTime, Phase::Load).unwrap();
    assert_eq!(load.delivery_response_time.p50_us, Some(e2e.value_at_quantile(0.5)));
    for name in ["offered", "delivered", "load_sent", "load_delivered"] {
        let of_shards: u64 = shards.calls.iter().map(|call| column(&call.folder, name)).sum();
        assert_eq!(column(&merged, name), of_shards, "{name}");
    }
    // It is a record like any other.
    let shown = report(&format!("text {}", merged.display())).expect_exit(0);
    assert_eq!(shown.stdout(), said.stdout());
    report(&format!("judge {}", merged.display())).assert_prints(&["Judged again: the same"]);
    let json = report(&format!("json {}", merged.display())).expect_exit(0).stdout();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["merged"]["shards"].as_array().unwrap().len(), 2);
    assert!(merged.join("report.html").is_file());

    missing_shards(&shards, &one, &other, &merged.display().to_string());
    what_is_refused(&shards, &one, &other, &merged);
}

fn missing_shards(shards: &Shards, one: &str, other: &str, merged: &str) {
    let said = merge(&[one, other], "--of 3").expect_exit(3);
    assert!(first_line(&said).ends_with("2 of 3 shards"), "{said}");
    said.assert_prints(&["PARTIAL RECORD", "missing: 1 not given"]);
    assert_eq!(said.record().completeness, Completeness::Partial);
    let half = |text: String| text[..text.len() / 2].to_owned();
    let without_last_second = |text: String| {
        let lines: Vec<&str> = text.lines().collect();
        lines[..lines.len() - 6].iter().flat_map(|line| [line, "\n"]).collect()
    };
    let damaged = [
        (shards.changed(1, "run.json", half), "the record is cut short at line"),
        (shards.changed(1, "run.json", |_| String::new()), "the record is empty"),
        (shards.changed(1, "run.json", |_| "{}".to_owned()), "no record of a run"),
        (
            shards.changed(1, "run.json", |text| {
                text.replacen("\"format_version\": 2", "\"format_version\": 99", 1)
            }),
            "the record has format 99, and this program reads formats up to",
        ),
        (
            shards.changed(1, "run.json", |text| text.replacen("\"complete\"", "\"partial\"", 1)),
            "its record is not complete",
        ),
        (shards.changed(1, "metrics.hlog", half), "metrics.hlog: it is cut short or damaged"),
        (shards.changed(1, "metrics.hlog", without_last_second), "metrics.hlog lacks a part"),
        (shards.changed(1, "timeline.csv", half), "timeline.csv: "),
        ("/nonexistent".to_owned(), "No such file"),
    ];
    for (folder, why) in &damaged {
        let said = merge(&[one, folder], "").expect_exit(3);
        assert!(first_line(&said).ends_with("1 of 2 shards"), "{why}: {said}");
        said.assert_prints(&[folder, why]);
        assert_eq!(said.load().all(), shards.record(0).load.unwrap().all(), "{why}");
    }
    merge(&[one, merged], "").expect_exit(3).assert_prints(&["it was merged itself"]);
    let nothing = merge(&["/nonexistent"], "").expect_exit(4);
    nothing.assert_says("no shard can be merged");
    assert!(!nothing.folder.exists());
}

fn what_is_refused(shards: &Shards, one: &str, other: &str, merged: &Path) {
    let file = format!("{one}/run.json");
    let copy = shards.changed(0, "report.html", |page| page);
    for (folders, flags, why) in [
        (vec![one, other, one], "", "is given twice"),
        (vec![one, &copy], "--anyway", "are the same record, which would count twice"),
        (vec![one, &file], "--anyway", "are the same record, which would count twice"),
        (vec![one, other], "--of 1", "1 shards, but 2 folders are given"),
    ] {
        let said = merge(&folders, flags).expect_exit(2);
        said.assert_says(why);
        assert!(!said.folder.exists(), "{said}");
    }
    let over = report(&format!("merge {one} {other} -o {}", merged.display())).expect_exit(2);
    over.assert_says("a record is never overwritten");
}

#[test]
fn attempts_of_all_shards_are_kept_apart_and_judged_together() {
    let command = format!("ungraceful-double-connect {QUICK} --attempts 3 --connrate 20 --bystanders 1");
    let shards = Shards::of(&[command.clone(), command]);
    let said = merge(&[&shards.folder(0), &shards.folder(1)], "");
    let merged = said.folder.clone();
    let (record, of) = (record_in(&merged), [shards.record(0), shards.record(1)]);
    let planned: u64 = of.iter().map(|record| record.attempts.planned).sum();
    assert_eq!((record.attempts.planned, record.attempts.finished), (planned, planned), "{said}");
    let all = attempts(&merged);
    let unique = |of: &dyn Fn(&Attempt) -> String| all.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(all.len() as u64, planned);
    assert_eq!(unique(&|attempt| attempt.attempt.to_string()), all.len());
    assert_eq!(unique(&|attempt| attempt.client_id.clone()), all.len());
    let second = record.merged.as_ref().unwrap().shards[1].first_attempt;
    every(&all, |attempt| attempt.shard == Some(if attempt.attempt < second { 1 } else { 2 }));
    for case in &record.cases {
        let of_shards: u64 = of
            .iter()
            .flat_map(|record| &record.cases)
            .filter(|other| other.case == case.case)
            .map(|case| case.finished)
            .sum();
        assert_eq!(case.finished, of_shards, "{}", case.case);
        for number in case.examples.values().flatten() {
            let example = all.iter().find(|attempt| attempt.attempt == *number).unwrap();
            assert_eq!(example.case, case.case);
        }
    }
    assert_eq!(record.reaction_time.count, of.iter().map(|record| record.reaction_time.count).sum::<u64>());
    let cut = shards
        .changed(1, "attempts.ndjson", |text| text.lines().skip(1).flat_map(|line| [line, "\n"]).collect());
    let said = merge(&[&shards.folder(0), &cut], "");
    said.assert_prints(&["1 of 2 shards", "attempts.ndjson is cut short: it has"]);
}

#[test]
fn runs_that_are_no_shards_of_one_are_refused() {
    let shards = Shards::of(&[format!("{LOAD} --rate 100"), format!("{LOAD} --rate 50")]);
    let later = Shards::of(&[format!("{LOAD} --rate 100")]);
    let (one, unlike, repetition) = (shards.folder(0), shards.folder(1), later.folder(0));
    merge(&[&one, &unlike], "").expect_exit(2).assert_reports(&[
        "not shards of one run",
        "--rate: 100 and 50",
        "--anyway",
    ]);
    merge(&[&one, &unlike], "--anyway").expect_exit(0).assert_prints(&["UNLIKE", "--rate: 100 and 50"]);
    for flags in ["", "--anyway"] {
        merge(&[&one, &repetition], flags)
            .expect_exit(2)
            .assert_reports(&["these are repetitions", "compare"]);
    }
}

#[test]
fn the_confidence_of_a_percentile_is_that_of_all_shards() {
    let command = format!("{LOAD} --rate 100 --until 'e2e p(50) ±1%'");
    let shards = Shards::of(&[command.clone(), command]);
    let said = merge(&[&shards.folder(0), &shards.folder(1)], "");
    let (load, of) = (said.load(), [shards.record(0), shards.record(1)]);
    let sure = load.confidence.unwrap();
    assert_eq!(sure.samples, load.delivery_response_time.count, "{said}");
    assert_eq!(sure.estimate_us, load.delivery_response_time.p50_us);
    every(&of, |of| of.load.as_ref().unwrap().confidence.as_ref().unwrap().samples < sure.samples);
    assert_eq!(said.verdicts("reaches_the_confidence").len(), 1, "{said}");
}
