//! JUnit XML, for the test reports of continuous integration: a test suite for each run, a test case for each verdict.
//!
//! A violated verdict is a failure. An inconclusive one is an error, because it is no success, and so is a run that did not
//! complete. So a document has neither failures nor errors exactly if the exit code is 0. Skipped cases are skipped test cases.
//!
//! Every text is escaped: XML 1.0 has no way to write most control characters.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString};
use ungraceful_record::attempt::Case;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::{LeftOutRecord, Record};
use ungraceful_record::verdict::{Force, Verdict, exit_of, why_exit};

use crate::document::Class;
use crate::scale::listed;
use crate::tour::{Cause, Shown, Tour};
use crate::{Context, Search, escape, reproduce_command, sections};

/// The classname of test cases about the run as a whole.
const OF_THE_RUN: &str = "run";

/// Writes the run of `record`.
pub(crate) fn write(record: &Record, context: &Context) -> String {
    document(record.duration_us, [suite(record, context)])
}

/// Writes a tour, with a suite for each cause.
pub(crate) fn write_tour(tour: &Tour) -> String {
    let mut suites: Vec<TestSuite> = tour.causes.iter().map(suite_of_cause).collect();
    if tour.causes.iter().all(|cause| cause.exit().is_none()) {
        suites.push(suite_of("ungraceful", [error("shows_a_cause", "inconclusive", "no cause was shown")]));
    }
    document(tour.duration_us, suites)
}

/// Writes a search for a rate. Its trials are no test cases: that a broker breaks the promise at some rate is the result.
pub(crate) fn write_search(search: &Search) -> String {
    let thresholds = search.promise.thresholds().iter().map(ToString::to_string).collect::<Vec<_>>();
    let name = format!("keeps {}", thresholds.join(", "));
    let found = search.found();
    let case = match search.exit() {
        Exit::Holds => with_output(success(&name, OF_THE_RUN), &[found]),
        Exit::Violated => failure(&name, OF_THE_RUN, &found, &[]),
        exit => error(&name, exit.meaning(), &found),
    };
    let mut suite = suite_of(&search.tool, [case]);
    suite.set_time(Duration::from_micros(search.duration_us));
    add_attribute(&mut suite, "timestamp", &search.started_utc);
    add_property(&mut suite, "version", &search.version);
    add_property(&mut suite, "seed", &search.seed.to_string());
    if let Some(trial) = search.trials.first() {
        add_attribute(&mut suite, "hostname", &trial.record.broker.target);
        add_property(&mut suite, "broker", &sections::target(&trial.record.broker));
    }
    document(search.duration_us, [suite])
}

/// The document of a run of `tool` that gave no record, with the reason as an error.
#[must_use]
pub fn render_junit_without_run(tool: &str, why: &str) -> String {
    document(0, [suite_of(tool, [error("begins", "no run", why)])])
}

fn document(duration_us: u64, suites: impl IntoIterator<Item = TestSuite>) -> String {
    let mut report = Report::new("ungraceful");
    report.set_time(Duration::from_micros(duration_us));
    report.add_test_suites(suites);
    report.to_string().expect("texts without control characters can be written into memory")
}

fn suite(record: &Record, context: &Context) -> TestSuite {
    let tool = &record.tool;
    let name = [Some(&tool.name), tool.mode.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>();
    let cases = of_the_run(record)
        .into_iter()
        .chain(record.verdicts.iter().map(|verdict| of_verdict(record, verdict)))
        .chain(record.cases_left_out.iter().map(skipped_case));
    let mut suite = suite_of(&name.join(" "), cases);
    suite.set_time(Duration::from_micros(record.duration_us));
    // The library's own field needs a further crate for dates; the record has the text.
    add_attribute(&mut suite, "timestamp", &record.started_utc);
    add_attribute(&mut suite, "hostname", &record.broker.target);
    add_property(&mut suite, "version", &tool.version);
    add_property(&mut suite, "seed", &record.seed.to_string());
    add_property(&mut suite, "broker", &sections::target(&record.broker));
    let exit = exit_of(record);
    add_property(&mut suite, "exit", &format!("{}: {}", exit.code(), why_exit(record)));
    if let Some(dir) = &context.record_dir {
        add_property(&mut suite, "record", &dir.to_string_lossy());
    }
    suite
}

/// The errors of the run as a whole: it did not complete, or nothing was judged.
fn of_the_run(record: &Record) -> Vec<TestCase> {
    let mut cases = Vec::new();
    if let Some((word, usual)) = sections::incompleteness(record.completeness) {
        let because = record.incomplete_because.as_deref().unwrap_or(usual);
        let exit = record.broker.exit.as_ref().map(|exit| format!("; the broker's process ended: {exit}"));
        cases.push(error("completes", word, &format!("{because}{}", exit.unwrap_or_default())));
    }
    if record.verdicts.is_empty() {
        cases.push(error("is_judged", "inconclusive", "nothing was judged, so nothing is proved"));
    }
    cases
}

fn of_verdict(record: &Record, verdict: &Verdict) -> TestCase {
    let class_name = verdict.case.as_ref().map_or(OF_THE_RUN, |case| &*case.fault);
    let name = verdict.case.as_ref().map_or_else(
        || verdict.check.clone(),
        |case| format!("{} {}", verdict.check, variant_and_version(case)),
    );
    // Several thresholds are several test cases.
    let expression = verdict.evidence.split_once(": ").filter(|_| verdict.force == Force::Threshold);
    let name = expression.map_or(name, |(expression, _)| format!("{}: {expression}", verdict.check));
    let class = Class::of(verdict);
    match class {
        Class::Holds => success(&name, class_name),
        Class::Differs => {
            let note = verdict.differs.as_deref().unwrap_or_default();
            let lines = [vec![format!("differs: {note}")], details(record, verdict)].concat();
            with_output(success(&name, class_name), &lines)
        }
        Class::Accepted => {
            let known = format!("known: {}", verdict.accepted.as_deref().unwrap_or_default());
            with_output(success(&name, class_name), &[vec![known], details(record, verdict)].concat())
        }
        Class::Violated => {
            let cited = verdict.citation.iter().map(|citation| format!("{citation}: "));
            let message = format!("{}{}", cited.collect::<String>(), verdict.evidence);
            failure(&name, class_name, &message, &details(record, verdict))
        }
        Class::Inconclusive => {
            let mut case = error(&name, class.name(), &verdict.evidence);
            case.set_classname(text(class_name));
            case
        }
    }
}

/// What a reader needs to look into a verdict: statement, evidence, attempts of the record, and the command that reproduces it.
fn details(record: &Record, verdict: &Verdict) -> Vec<String> {
    let mut lines: Vec<String> = verdict.citation.iter().map(|cited| format!("statement: {cited}")).collect();
    lines.push(format!("evidence: {}", verdict.evidence));
    if !verdict.examples.is_empty() {
        let examples: Vec<String> = verdict.examples.iter().map(ToString::to_string).collect();
        let noun = if examples.len() == 1 { "attempt" } else { "attempts" };
        lines.push(format!("such as: {noun} {} in attempts.ndjson", listed(&examples)));
    }
    lines.push(format!("reproduce: {}", reproduce_command(record, verdict)));
    lines
}

fn skipped_case(left_out: &LeftOutRecord) -> TestCase {
    skipped(&variant_and_version(&left_out.case), &left_out.case.fault, &left_out.why)
}

fn variant_and_version(case: &Case) -> String {
    format!("{} MQTT {}", case.variant, case.version)
}

fn suite_of_cause(cause: &Cause) -> TestSuite {
    match &cause.shown {
        Shown::Run { record, directory } => {
            suite(record, &Context { record_dir: Some(directory.clone()), ..Context::default() })
        }
        Shown::CannotBeShown { why, cure } => {
            suite_of(cause.name, [skipped(cause.title, OF_THE_RUN, &format!("{why}; give {cure}"))])
        }
        Shown::Failed { why, .. } => suite_of(cause.name, [error(cause.title, "no run", why)]),
    }
}

fn suite_of(name: &str, cases: impl IntoIterator<Item = TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(text(name));
    suite.add_test_cases(cases);
    suite
}

fn add_attribute(suite: &mut TestSuite, name: &str, value: &str) {
    suite.extra.insert(name.into(), text(value));
}

fn add_property(suite: &mut TestSuite, name: &str, value: &str) {
    suite.add_property(Property::new(name, text(value)));
}

fn success(name: &str, class_name: &str) -> TestCase {
    test_case(name, class_name, TestCaseStatus::success())
}

fn with_output(mut case: TestCase, output: &[String]) -> TestCase {
    case.set_system_out(lines(output));
    case
}

fn failure(name: &str, class_name: &str, message: &str, description: &[String]) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("violated").set_message(text(message));
    if !description.is_empty() {
        status.set_description(lines(description));
    }
    test_case(name, class_name, status)
}

fn error(name: &str, kind: &str, why: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(text(kind)).set_message(text(why));
    test_case(name, OF_THE_RUN, status)
}

fn skipped(name: &str, class_name: &str, why: &str) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message(text(why));
    test_case(name, class_name, status)
}

fn test_case(name: &str, class_name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(text(name), status);
    case.set_classname(text(class_name));
    case
}

/// A text of one line. The library would drop what XML can't contain without a trace.
fn text(text: &str) -> XmlString {
    XmlString::new(escape::plain(text))
}

/// A text of several lines.
fn lines(lines: &[String]) -> XmlString {
    XmlString::new(lines.iter().map(|line| escape::plain(line)).collect::<Vec<_>>().join("\n"))
}
