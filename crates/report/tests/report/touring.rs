//! The report of a tour: its table and findings.

use ungraceful_record::check::Finding;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::verdict::Force;
use ungraceful_report::{Cause, Context, Format, Shown, Tour, render_tour};

use crate::{fixture, junit};

fn cause(name: &'static str, shown: Shown) -> Cause {
    let (title, done) = ("second CONNECT", "a second CONNECT on the connection");
    let command = format!("ungraceful-{name} --seed 12345");
    Cause { name, title, done, facts: &["second_client_id"], command, shown }
}

fn run(record: Record) -> Shown {
    Shown::Run { record: Box::new(record), directory: "results/tour/1-cause".into() }
}

fn cannot_be_shown() -> Shown {
    Shown::CannotBeShown {
        why: "there is no command to remove a client".into(),
        cure: "--kick-cmd 'COMMAND {client_id}'".into(),
    }
}

fn failed(exit: Exit) -> Shown {
    Shown::Failed { why: "the broker can't be reached".into(), exit }
}

fn tour(shown: impl IntoIterator<Item = Shown>) -> Tour {
    Tour {
        version: "0.1.0".into(),
        seed: 12_345,
        started_utc: "2026-02-03T04:05:06.789Z".into(),
        duration_us: 38_200_000,
        causes: shown.into_iter().map(|shown| cause("double-connect", shown)).collect(),
    }
}

/// A tour of these records, with a cause that can't be shown.
pub(crate) fn tour_of(records: impl IntoIterator<Item = Record>) -> Tour {
    tour(records.into_iter().map(run).chain([cannot_be_shown()]))
}

fn text(tour: &Tour) -> String {
    let context = Context { record_dir: Some("results/tour".into()), ..Context::default() };
    render_tour(tour, Format::Text, &context)
}

/// The lines of the row that begins with `begin`, until the next row.
fn row<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(begin));
    let first = lines.next();
    assert!(first.is_some(), "no row {begin:?} in\n{text}");
    first.into_iter().chain(lines.take_while(|line| line.starts_with("  "))).collect()
}

#[test]
fn a_tour_in_every_format() {
    let tour = tour([run(fixture::all_holds()), run(fixture::violated()), cannot_be_shown()]);
    let context = Context { record_dir: Some("results/tour".into()), ..Context::default() };
    for format in [Format::Text, Format::Markdown, Format::Csv, Format::Junit] {
        insta::assert_snapshot!(format!("tour.{format}"), render_tour(&tour, format, &context));
    }
    let json: serde_json::Value = serde_json::from_str(&render_tour(&tour, Format::Json, &context)).unwrap();
    assert_eq!(json["exit"]["code"], 1);
    assert_eq!(json["causes"].as_array().unwrap().len(), 3);
    assert_eq!(json["causes"][1]["run"]["attempts"]["finished"], fixture::violated().attempts.finished);
    assert_eq!(json["causes"][1]["run"]["record_dir"], "results/tour/1-cause");
    assert_eq!(json["causes"][2]["exit"], serde_json::Value::Null);
    assert_eq!(json["causes"][2]["not_shown"]["cure"], "--kick-cmd 'COMMAND {client_id}'");
}

#[test]
fn the_row_of_a_violation_names_only_violated_statements() {
    let shown = text(&tour([run(fixture::violated())]));
    let row = row(&shown, "1 second CONNECT").join("\n");
    assert!(row.contains("VIOLATED"), "{row}");
    for verdict in fixture::violated().verdicts {
        let citation = verdict.citation.clone().unwrap_or_default();
        let is_violated = verdict.conclusion == ungraceful_record::verdict::Conclusion::Violated;
        if is_violated {
            assert!(row.contains(&citation), "{citation} is not in\n{row}");
        }
    }
}

#[test]
fn the_row_has_the_figures_of_the_record() {
    let record = fixture::violated();
    let shown = text(&tour([run(record.clone())]));
    let row = row(&shown, "1 second CONNECT").join("\n");
    assert!(row.contains("120,068 × a second CONNECT on the connection"), "{row}");
    let wills: Vec<_> = record.cases.iter().filter_map(|case| case.will.as_ref()).collect();
    let (due, came) =
        wills.iter().fold((0, 0), |(due, came), will| (due + will.due, came + will.due_and_seen));
    assert!(due > 0 && row.contains(&format!("{came} of {due} Wills received")), "{row}");
    // Of QoS 0, 1 and 2, in fault and recovery: 24 and 22.
    assert!(row.lines().next().unwrap().contains(" 46  "), "{row}");
    assert!(row.contains("217 µs") && row.contains("219 µs"), "{row}");
}

#[test]
fn a_percentile_with_too_few_samples_shows_the_maximum() {
    let mut record = fixture::all_holds();
    record.reaction_time.p99_us = None;
    let largest_us = record.reaction_time.max_us.unwrap();
    let shown = text(&tour([run(record)]));
    assert!(shown.contains(&format!("≤ {}", ungraceful_report::scale::time(largest_us))), "{shown}");
}

#[test]
fn versions_are_separate_only_where_they_differ() {
    let mut record = fixture::all_holds();
    record.cases.truncate(2);
    for (case, (version, sequence)) in
        record.cases.iter_mut().zip([("3.1.1", "FIN"), ("5.0", "DISCONNECT 0x82, FIN")])
    {
        case.case.version = version.into();
        case.sequences = fixture::counts(&[(sequence, 7)]);
    }
    let apart = text(&tour([run(record.clone())]));
    assert!(apart.contains("3.1.1: FIN ×7") && apart.contains("5.0: DISCONNECT 0x82, FIN ×7"), "{apart}");
    record.cases[1].sequences = fixture::counts(&[("FIN", 8)]);
    let together = text(&tour([run(record)]));
    assert!(together.contains("FIN ×15") && !together.contains("3.1.1: FIN"), "{together}");
}

#[test]
fn every_finding_has_its_meaning_and_its_command() {
    let shown = text(&tour([run(fixture::violated())]));
    let violated = fixture::violated();
    let first = violated
        .verdicts
        .iter()
        .find(|verdict| verdict.conclusion == ungraceful_record::verdict::Conclusion::Violated)
        .unwrap();
    let line = shown.lines().position(|line| line.starts_with("VIOLATED")).unwrap();
    let lines: Vec<&str> = shown.lines().skip(line).take(3).collect();
    assert!(lines[0].contains(&first.check) && lines[0].contains(first.citation.as_deref().unwrap()));
    assert!(lines[1].contains("the standard: ") && lines[1].contains(&first.evidence), "{lines:?}");
    assert!(lines[2].contains("reproduce: ungraceful-"), "{lines:?}");
}

#[test]
fn a_skipped_cause_is_no_verdict_and_names_the_remedy() {
    let tour = tour([run(fixture::all_holds()), cannot_be_shown()]);
    assert_eq!(tour.exit(), Exit::Holds);
    let shown = text(&tour);
    assert!(row(&shown, "2 second CONNECT")[0].contains("skipped"), "{shown}");
    assert!(shown.contains("1 of 2 causes") && shown.contains("--kick-cmd 'COMMAND {client_id}'"), "{shown}");
}

#[test]
fn the_exit_code_is_that_of_the_worst_cause() {
    let inconclusive = {
        let mut record = fixture::all_holds();
        record.verdicts.push(Finding::inconclusive("no sample").verdict("closes", Force::Must));
        record
    };
    let interrupted = Record { completeness: Completeness::Interrupted, ..fixture::all_holds() };
    let exits = [
        (vec![run(fixture::all_holds())], Exit::Holds),
        (vec![run(fixture::all_holds()), run(inconclusive.clone())], Exit::Inconclusive),
        (vec![run(inconclusive), run(fixture::violated()), run(fixture::all_holds())], Exit::Violated),
        (vec![run(fixture::violated()), failed(Exit::Environment)], Exit::Violated),
        (vec![run(fixture::violated()), failed(Exit::Inconclusive)], Exit::Violated),
        (vec![run(fixture::all_holds()), failed(Exit::Environment)], Exit::Environment),
        (vec![run(fixture::all_holds()), failed(Exit::Inconclusive)], Exit::Inconclusive),
        (vec![run(fixture::violated()), run(interrupted), failed(Exit::Interrupted)], Exit::Interrupted),
        (vec![cannot_be_shown()], Exit::Inconclusive),
        (vec![], Exit::Inconclusive),
    ];
    for (shown, exit) in exits {
        assert_eq!(tour(shown.clone()).exit(), exit, "{shown:?}");
        let xml = render_tour(&tour(shown), Format::Junit, &Context::default());
        assert_eq!(junit::is_clean(&xml), exit == Exit::Holds, "{xml}");
    }
}

#[test]
fn alarms_name_their_cause() {
    let shown = text(&tour([run(fixture::violated())]));
    assert!(shown.contains("!! ACKNOWLEDGED BUT LOST: second CONNECT: 22 bystander messages"), "{shown}");
}
