//! `ungraceful-report`: the record of a run, a tour or a rate search, shown in any format and judged again, without a broker.

mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};
use serde_json::Value;
use ungraceful_record::exit::Exit;
use ungraceful_record::files::{
    ATTEMPTS_NDJSON, BROKER_LOG_NDJSON, METRICS_HLOG, REPORT_HTML, RUN_JSON, TIMELINE_CSV,
};
use ungraceful_record::run::{FORMAT_VERSION, Record, Setting};
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::{Verdict, conclude, exit_of};
use ungraceful_report::{Context, Format, escape, render};
use ungraceful_rig::error::RunError;

use self::subject::Subject;
pub(crate) use self::subject::Unreadable;
use crate::find_rate::SEARCH_JSON;
use crate::page_file::PageFile;
use crate::tour::TOUR_JSON;
use crate::{compared, launch, merged, tools};

/// The binary's name.
pub const NAME: &str = "ungraceful-report";
/// The question it answers.
pub const QUESTION: &str = "What did a run find? Its record in any format, and its verdicts again";

/// The subcommand that judges.
const JUDGE: &str = "judge";
/// The subcommand that writes the page.
const HTML: &str = "html";
/// In place of a file: standard output.
const STDOUT: &str = "-";
/// The file of a record.
const FILE: &str = RUN_JSON;
/// The files that a page is made of.
const OF_A_RECORD: [&str; 7] =
    [RUN_JSON, ATTEMPTS_NDJSON, TIMELINE_CSV, METRICS_HLOG, BROKER_LOG_NDJSON, TOUR_JSON, SEARCH_JSON];

/// The command line.
#[must_use]
pub fn command() -> Command {
    let folder = || {
        Arg::new("dir")
            .value_name("DIR")
            .help("Folder of the record of a run, a tour or a rate search, or its JSON file")
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    let help = || clap::arg!(--help "Print help").action(ArgAction::Help);
    let formats = Format::ALL.map(|format| {
        let about = match format {
            Format::Text => "Prints the report of a run as text, as the run did",
            Format::Json => "Prints a summary as JSON, for programs",
            Format::Csv => "Prints a row for each case as CSV, for spreadsheets and plots",
            Format::Markdown => "Prints the report as Markdown, for a ticket or a job summary",
            Format::Junit => "Prints the verdicts as JUnit XML, for continuous integration",
        };
        Command::new(format.name()).about(about).disable_help_flag(true).args([folder(), help()])
    });
    let page = Command::new(HTML)
        .about("Writes the page of a run, a tour or a rate search: verdicts, pictures and tables in one file for a browser")
        .disable_help_flag(true)
        .args([
            folder(),
            clap::arg!(-o --output <FILE> "File of the page, or - for standard output; default: report.html in the folder")
                .required(false)
                .value_parser(value_parser!(PathBuf)),
            help(),
        ]);
    let again = Command::new(JUDGE)
        .about("Judges the record again by this program's checks, and says where its verdicts differ")
        .disable_help_flag(true)
        .args([folder().help("Folder of the record of a run, or its run.json"), help()]);
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .subcommand_help_heading("Commands")
        .arg(help())
        .about(QUESTION)
        .long_about(format!(
            "{QUESTION}.\n\nReads the folder that a run wrote (--output, or results/…). Sends nothing and needs no broker. The same \
             record gives the same verdicts: {JUDGE} shows what a newer version of this program makes of it."
        ))
        .subcommands(formats)
        .subcommand(page)
        .subcommand(again)
        .subcommand(compared::command())
        .subcommand(merged::command())
        .after_help(exit_codes())
}

/// The exit codes of all tools, with their meaning here.
fn exit_codes() -> String {
    let when = |exit: Exit| match exit {
        Exit::Holds => "the record was printed, or its page written; with judge and merge, every check holds",
        Exit::Violated => {
            "with judge and merge, a check or a threshold is violated; with compare, a regression"
        }
        Exit::Usage => "invalid usage; with compare and merge, the runs are unlike",
        Exit::Inconclusive => {
            "with judge and merge, inconclusive; with merge, a shard is missing; with compare, noise hides everything"
        }
        Exit::Environment => "the record can't be read, or the result can't be printed or written",
        Exit::Bug => "a defect of this program",
        Exit::Interrupted => "with judge and merge, the record is of a run that was interrupted",
    };
    launch::exit_codes(when)
}

/// Runs the tool.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    launch::begin(NAME);
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return launch::print_clap(&error).into(),
    };
    let (name, chosen) = matches.subcommand().expect("the parser requires one");
    if name == compared::COMPARE {
        return finish(compared::run(chosen));
    }
    if name == merged::MERGE {
        return finish(merged::run(chosen));
    }
    let path: &PathBuf = chosen.get_one("dir").expect("the parser requires it");
    let done = match Format::ALL.into_iter().find(|format| format.name() == name) {
        Some(format) => Subject::load(path).map(|of| launch::print(&of.render(format, &context(path)))),
        None if name == HTML => Subject::load(path).map(|of| write_page(&of, path, chosen.get_one("output"))),
        None => load(path).and_then(|record| judge_again(record, path)),
    };
    finish(done)
}

fn finish(done: Result<Exit, RunError>) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(error) => launch::fail_reading(NAME, &error),
    }
}

pub(crate) fn context(path: &Path) -> Context {
    let folder = folder_of(path);
    let page = Some(folder.join(REPORT_HTML)).filter(|page| page.is_file());
    Context { record_dir: Some(folder.to_owned()), page, ..launch::stdout_context() }
}

/// The folder of a record, given as that or as its file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    if path.is_dir() {
        return path;
    }
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes the page of a record, a tour or a search and prints its path, or prints the page.
fn write_page(subject: &Subject, path: &Path, output: Option<&PathBuf>) -> Exit {
    let folder = folder_of(path);
    let page = subject.page(folder);
    if output.is_some_and(|output| output == Path::new(STDOUT)) {
        return launch::print(&page);
    }
    let names = output.and_then(|output| output.file_name());
    if let Some(name) = names.filter(|name| OF_A_RECORD.iter().any(|file| **name == **file)) {
        launch::print_error(&format!(
            "{NAME}: --output: {} is the name of a file of a record, which the page would replace; choose another name",
            name.to_string_lossy()
        ));
        return Exit::Usage;
    }
    let file = PageFile::write(&output.cloned().unwrap_or_else(|| folder.join(REPORT_HTML)), &page);
    let printed =
        file.path().map(|path| launch::print(&format!("{}\n", escape::plain(&path.to_string_lossy()))));
    printed.unwrap_or_else(|| file.exit())
}

/// Reads the record at `path`, a folder or its file.
pub(crate) fn load(path: &Path) -> Result<Record, RunError> {
    read(path).map_err(|why| RunError::Environment(format!("{}: {why}", path.display())))
}

/// The same, or why there is none.
pub(crate) fn read(path: &Path) -> Result<Record, String> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    if path.is_dir() && !file.exists() {
        return Err(format!("no {FILE} in this folder{}", runs_within(path)));
    }
    let value = read_json(&file, "record", "run")?;
    match value["format_version"].as_u64().filter(|_| value["tool"]["name"].is_string()) {
        None => {
            Err(format!("no record of a run: it has no format_version or tool; a run's folder has a {FILE}"))
        }
        Some(newer) if newer > u64::from(FORMAT_VERSION) => Err(version_of("record", newer, FORMAT_VERSION)),
        Some(version) => serde_json::from_value(value)
            .map_err(|error| format!("the record has format {version}, but can't be read: {error}")),
    }
}

/// Why a file of a newer version can't be read.
fn version_of(what: &str, newer: u64, known: u32) -> String {
    format!(
        "the {what} has format {newer}, and this program reads formats up to {known}: use the version that wrote it, or a newer one"
    )
}

/// The JSON in `file`, a `what` that a `by` wrote.
fn read_json(file: &Path, what: &str, by: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Err(format!("the {what} is empty: the {by} was cut short before it wrote anything"));
    }
    serde_json::from_str(&text).map_err(|error| {
        if error.is_eof() {
            let line = error.line();
            format!("the {what} is cut short at line {line}: the disk was full, or the {by} was killed")
        } else {
            format!("no {what}: {error}")
        }
    })
}

/// The records within a folder that is none itself, such as a tour's.
fn runs_within(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut runs: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(FILE).is_file())
        .map(|path| path.display().to_string())
        .collect();
    runs.sort();
    if runs.is_empty() { String::new() } else { format!("; records are in {}", runs.join(", ")) }
}

/// Judges a record by the checks of its tool and mode, prints the report, and says what differs from before.
fn judge_again(mut record: Record, path: &Path) -> Result<Exit, RunError> {
    let before = std::mem::take(&mut record.verdicts);
    judge_by_current_checks(&mut record)
        .map_err(|why| RunError::Environment(format!("{}: {why}", path.display())))?;
    let printed = launch::print(&render(&record, Format::Text, &context(path)));
    if printed != Exit::Holds {
        return Ok(printed);
    }
    let differences = differences(&before, &record.verdicts);
    let what = match differences.len() {
        0 => format!("\nJudged again: the same {} verdicts as in the record\n", record.verdicts.len()),
        _ => format!("\nJudged again, and otherwise than in the record:\n  {}\n", differences.join("\n  ")),
    };
    let what: Vec<String> = what.lines().map(escape::plain).collect();
    let printed = launch::print(&(what.join("\n") + "\n"));
    Ok(if printed == Exit::Holds { exit_of(&record) } else { printed })
}

/// Sets the verdicts that this program makes of the record.
pub(crate) fn judge_by_current_checks(record: &mut Record) -> Result<(), String> {
    let tool = tools::ALL.iter().find(|tool| tool.name == record.tool.name);
    let tool =
        tool.ok_or_else(|| format!("made by {}, which is no tool of this program", record.tool.name))?;
    let mode = match &record.tool.mode {
        None => tool.default_mode(),
        Some(name) => tool.mode(name).ok_or_else(|| format!("{} has no mode {name} any more", tool.name))?,
    };
    let thresholds = thresholds(record)?;
    let accepted = std::mem::take(&mut record.accepted);
    conclude(record, &mode.all_checks(), &thresholds, &accepted);
    Ok(())
}

/// The user's thresholds, as the settings have them.
fn thresholds(record: &Record) -> Result<Vec<Threshold>, String> {
    let values = record.settings.get("threshold").into_iter().flat_map(Setting::values);
    // Records of earlier versions have them in one value.
    values.flat_map(|value| value.split(',')).filter(|text| !text.trim().is_empty()).map(str::parse).collect()
}

/// Verdicts that are not the same, in words.
fn differences(before: &[Verdict], now: &[Verdict]) -> Vec<String> {
    fn by_claim(verdicts: &[Verdict]) -> BTreeMap<(String, String), Vec<&Verdict>> {
        let mut by_claim: BTreeMap<_, Vec<&Verdict>> = BTreeMap::new();
        for verdict in verdicts {
            let case = verdict.case.as_ref().map(ToString::to_string).unwrap_or_default();
            by_claim.entry((verdict.check.clone(), case)).or_default().push(verdict);
        }
        by_claim
    }
    let words = |verdicts: Option<&Vec<&Verdict>>| match verdicts.map(Vec::as_slice) {
        None | Some([]) => "nothing".to_owned(),
        Some(verdicts) => {
            let words = |verdict: &&Verdict| {
                let note =
                    verdict.differs.as_ref().map(|note| format!(" with a note ({note})")).unwrap_or_default();
                format!("{:?}{note}: {}", verdict.conclusion, verdict.evidence).to_lowercase()
            };
            verdicts.iter().map(words).collect::<Vec<_>>().join("; ")
        }
    };
    let (before, now) = (by_claim(before), by_claim(now));
    let claims: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let mut differences = Vec::new();
    for claim in claims {
        let (was, is) = (before.get(claim), now.get(claim));
        if was != is {
            let of = if claim.1.is_empty() { String::new() } else { format!(" ({})", claim.1) };
            differences.push(format!("{}{of}: was {}; is {}", claim.0, words(was), words(is)));
        }
    }
    differences
}
