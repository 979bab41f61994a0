//! `--find-rate`: searches for the highest rate of a load at which the broker keeps a promise. Each trial is a run with its own
//! record.

mod reading;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_record::live::Observer;
use ungraceful_record::rate_search::{Promise, RateSearch};
use ungraceful_record::run::Completeness;
use ungraceful_report::scale::rate;
use ungraceful_report::{Context, Format, Search, Trial, render_search, shell_command};
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::settings::Finished;

pub(crate) use self::reading::read;
use crate::arguments::without;
use crate::cli::load::RATE_MAX;
use crate::cli::parse::{NotParsed, parse, without_secrets};
use crate::junit_file::JunitFile;
use crate::launch::{Call, LoadMode, ReadyLoad, prepare_load, print_result, result_context, worse};
use crate::live::{LiveOutputs, terminal};
use crate::page_file::PageFile;
use crate::print_plan;

/// The file of the search, beside the records of its trials.
pub(crate) const SEARCH_JSON: &str = "search.json";
/// Flags that each trial sets itself or has not, also as `-oFOLDER` and `-z5s`.
const OF_TRIAL: [&str; 10] = [
    "--find-rate",
    "--rate",
    "--seed",
    "--output",
    "-o",
    "--junit",
    "--events",
    "--metrics",
    "--duration",
    "-z",
];
/// Minimum number of messages due in a trial: fewer are no evidence.
const MESSAGES_MIN: f64 = 20.0;

/// Searches and prints the result. `base` is the run at the first rate.
pub(crate) fn find(
    call: &Call<'_>,
    mode: &LoadMode,
    base: &ReadyLoad,
    promise: &Promise,
) -> Result<Exit, RunError> {
    let folder = &base.experiment.common.output;
    let mut mistakes = Vec::new();
    // Not checked where flags are read: each trial has the promise as its thresholds, and possibly in the environment too.
    if !base.experiment.common.thresholds.is_empty() {
        let what = "a rate search uses only its promise; add the threshold to --find-rate, after a comma";
        mistakes.push(Mistake::new("--threshold", what));
    }
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let what =
            format!("{} is not empty, and nothing is overwritten; choose another folder", folder.display());
        mistakes.push(Mistake::new("--output", what));
    }
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let mut junit = JunitFile::open(&base.output)?;
    let live = junit.or_reason(&call.name(), LiveOutputs::open(&base.output))?;
    let search = trials(call, mode, base, promise, &live);
    let watched = live.close();
    let search = junit.or_reason(&call.name(), search)?;
    let page = PageFile::of_search(&search, folder);
    let context =
        Context { record_dir: Some(folder.clone()), page: page.path(), ..result_context(&base.output) };
    let written = worse(junit.write(|| render_search(&search, Format::Junit, &context)), watched);
    let written = worse(page.exit(), written);
    let rendered = render_search(&search, base.output.format, &context);
    let printed = worse(print_result(&rendered, &base.output), written);
    Ok(if printed == Exit::Environment { printed } else { search.exit() })
}

/// Makes one trial after another.
fn trials(
    call: &Call<'_>,
    mode: &LoadMode,
    base: &ReadyLoad,
    promise: &Promise,
    live: &LiveOutputs,
) -> Result<Search, RunError> {
    let folder = &base.experiment.common.output;
    let seed = base.experiment.common.seed.to_string();
    let clock = RunClock::start();
    let first = base.engine.settings().pace.per_second_max().unwrap_or(1.0);
    let lasts = base.engine.settings().lasts();
    let lowest = MESSAGES_MIN / lasts.as_secs_f64();
    let mut search = Search {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tool: call.name(),
        seed: base.experiment.common.seed.0,
        started_utc: clock.started().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        duration_us: 0,
        promise: promise.clone(),
        trials: Vec::new(),
        rates: RateSearch::new(first, lowest.min(first), RATE_MAX),
        ended_by: None,
    };
    while let Some(per_second) = search.rates.next() {
        let number = search.trials.len() + 1;
        let directory = folder.join(format!("{number:02}-{per_second}"));
        let arguments = arguments(call, promise, (per_second, lasts), &seed, &directory);
        let ready = prepared(call, mode, &arguments)?;
        let mut observer = terminal(&base.output);
        let plan = || print_plan::summary_of_load(&ready.experiment.common, &ready.engine);
        let finished = match live.run(&ready.experiment, plan, &mut observer) {
            Ok(finished) => finished,
            // Earlier trials are kept when the broker goes away.
            Err(error) if !search.trials.is_empty() => {
                observer.note(&format!("the search ends here: {error}"));
                search.ended_by = Some(error.exit());
                write(folder, &search)?;
                break;
            }
            Err(error) => return Err(error),
        };
        let Finished { record, directory } = finished;
        // What can't be written is printed; the search goes on.
        let _page = PageFile::of_run(&record, &directory);
        let (came, why) = promise.judge(&record);
        if !base.output.quiet {
            observer.note(&format!("trial {number}: {}: {}: {why}", rate(per_second), came.name()));
        }
        search.rates.record(per_second, came);
        search.ended_by = (record.completeness == Completeness::Interrupted).then_some(Exit::Interrupted);
        let command = command(call, &arguments);
        search.trials.push(Trial { per_second, came, why, record: Box::new(record), directory, command });
        search.duration_us = clock.now_us();
        // After each trial, so that the results are kept however the search ends.
        write(folder, &search)?;
        if search.ended_by.is_some() {
            break;
        }
    }
    Ok(search)
}

/// The arguments of one trial: the user's, with a rate in place of the search.
fn arguments(
    call: &Call<'_>,
    promise: &Promise,
    (per_second, lasts): (f64, Duration),
    seed: &str,
    directory: &Path,
) -> Vec<OsString> {
    let mut words = without(call.arguments, &OF_TRIAL);
    let thresholds = promise.thresholds().iter().flat_map(|one| ["--threshold".to_owned(), one.to_string()]);
    words.extend(thresholds.map(OsString::from));
    words.extend(["--rate".to_owned(), per_second.to_string()].map(OsString::from));
    words.extend(["--duration".to_owned(), format!("{}ms", lasts.as_millis())].map(OsString::from));
    words.extend(["--seed", seed].map(OsString::from));
    words.extend([OsString::from("--output"), directory.into()]);
    words
}

/// The command of a trial, quoted for a shell, without secrets, and without the folder, which already exists when the command is repeated.
fn command(call: &Call<'_>, arguments: &[OsString]) -> String {
    let flags = without_secrets(&arguments[1..arguments.len() - 2]);
    shell_command(&std::iter::once(call.tool.name.to_owned()).chain(flags).collect::<Vec<_>>())
}

fn prepared(call: &Call<'_>, mode: &LoadMode, arguments: &[OsString]) -> Result<ReadyLoad, RunError> {
    let call = Call { arguments, ..*call };
    let parsed = match parse(&call.tool.mode_command(call.mode), &call.flags()) {
        Ok(parsed) => parsed,
        Err(NotParsed::Config(mistakes)) => return Err(RunError::Usage(mistakes)),
        Err(NotParsed::Clap(error)) => {
            return Err(RunError::Bug(format!("a trial's command line can't be read: {error}")));
        }
    };
    prepare_load(&call, mode, &parsed)
}

fn write(folder: &Path, search: &Search) -> Result<(), RunError> {
    let context = Context { record_dir: Some(PathBuf::from(folder)), ..Context::default() };
    std::fs::write(folder.join(SEARCH_JSON), render_search(search, Format::Json, &context)).map_err(|error| {
        RunError::Environment(format!("cannot write {SEARCH_JSON} into {}: {error}", folder.display()))
    })
}
