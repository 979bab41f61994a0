//! `--repeat`, `--against` and `--compare-with`: several runs of one command, and what differs between their sides.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::SettingSource;
use ungraceful_record::verdict::{exit_of, why_exit};
use ungraceful_report::compare::{Side, render_comparison, render_spread};
use ungraceful_report::{Context, Format};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::limits::Demand;
use ungraceful_rig::run::settings::{Experiment, Finished, Work};

use crate::cli::common::{EveryRunArgs, OutputArgs};
use crate::cli::parse::{NotParsed, Parsed, parse};
use crate::cli::repeats::RepeatArgs;
use crate::cli::target::read_host;
use crate::launch::{Call, Mode, annotate, prepare, prepare_load, print_error, print_result, result_context};
use crate::live::{self, LiveOutputs};
use crate::page_file::PageFile;
use crate::{arguments, compared, print_plan, print_preflight};

/// Flags that each run has of its own, or that are of all runs together.
const OF_ALL: [&str; 8] = [
    "--repeat",
    "--against",
    "--compare-with",
    "--fail-on-regression",
    "--output",
    "-o",
    "--junit",
    "--seed",
];

/// The runs of one target.
struct Target {
    /// The folder of its runs within the folder of all; absent where there is one target.
    name: Option<&'static str>,
    /// Its host; absent for the one that the command names.
    host: Option<String>,
}

/// Whether the call is of several runs, or compares its run.
pub(crate) fn is_wanted(parsed: &Parsed) -> bool {
    let output = parsed.read::<OutputArgs>();
    !output.only_prints() && parsed.read::<EveryRunArgs>().repeats.is_any()
}

/// Runs all, each with its record, and prints the comparison, or how the figures vary.
pub(crate) fn run(call: &Call<'_>, parsed: &Parsed) -> Result<Exit, RunError> {
    let repeats = parsed.read::<EveryRunArgs>().repeats;
    let output = parsed.read::<OutputArgs>();
    let mut mistakes = parsed.mistakes.clone();
    let limit = repeats.limit(&mut mistakes);
    check(&repeats, &output, parsed, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let reference = repeats.compare_with.as_deref().map(compared::side).transpose();
    let reference = reference.map_err(|error| match error {
        RunError::Environment(why) => RunError::Environment(format!("--compare-with: {why}")),
        other => other,
    })?;
    let targets = match &repeats.against {
        None => vec![Target { name: None, host: None }],
        Some(host) => vec![
            Target { name: Some("before"), host: None },
            Target { name: Some("after"), host: Some(host.clone()) },
        ],
    };
    // Reads every command before the first packet, so that all mistakes come first; the folder and the seed are those of all.
    let first = prepared(call, &arguments::without(call.arguments, &["--junit"]))?.experiment;
    let (root, seed) = (first.common.output.clone(), first.common.seed.to_string());
    for target in &targets {
        let experiment = prepared(call, &arguments_of(call, target, &seed, &root))?.experiment;
        print_preflight::warn(call.tool.name, &Demand::of(&experiment));
    }
    let live = LiveOutputs::open(&output)?;
    let run = in_turns(call, &targets, (&root, &seed), (repeats.number(), &output, &live));
    let watched = live.close();
    let Ran { mut worst, folders, ended_by } = run;
    if worst == Exit::Interrupted {
        return Ok(worst);
    }
    if let Some(error) = ended_by {
        if folders.iter().any(Vec::is_empty) {
            return Err(error);
        }
        let done = folders.iter().map(Vec::len).sum::<usize>();
        let planned = repeats.number() * folders.len() as u64;
        print_error(&format!("{}: after {done} of {planned} runs: {error}", call.tool.name));
        worst = worse_of(worst, error.exit());
    }
    let of_target = |(target, folders): (&Target, &Vec<PathBuf>)| {
        let runs = folders.iter().map(|folder| compared::read(folder)).collect::<Result<Vec<_>, _>>()?;
        let folder = target.name.map_or_else(|| root.clone(), |name| root.join(name));
        Ok(Side { name: target.host.clone().unwrap_or_else(|| folder.display().to_string()), runs })
    };
    let sides = targets.iter().zip(&folders).map(of_target);
    let sides = reference.into_iter().map(Ok).chain(sides).collect::<Result<Vec<_>, RunError>>()?;
    if let [side] = &sides[..] {
        let context = Context { record_dir: Some(root), ..result_context(&output) };
        let shown = print_result(&render_spread(side, output.format, &context), &output);
        return Ok([watched, shown].into_iter().fold(worst, worse_of));
    }
    let comparisons = compared::compared(&sides, limit, true)?;
    let shown =
        print_result(&render_comparison(&comparisons, output.format, &result_context(&output)), &output);
    let of_comparison = match comparisons.iter().all(|comparison| comparison.unlike.is_empty()) {
        true => compared::exit(&comparisons, limit),
        // A difference may be that of the runs.
        false if limit.is_some() => Exit::Inconclusive,
        false => Exit::Holds,
    };
    Ok([watched, shown, of_comparison].into_iter().fold(worst, worse_of))
}

/// What came of the runs.
struct Ran {
    worst: Exit,
    /// The records of each target.
    folders: Vec<Vec<PathBuf>>,
    /// Why there are no more; absent when there are all, or an interruption ended them.
    ended_by: Option<RunError>,
}

/// The runs, in turns, so that what else the machine does is shared by both targets. An interruption ends them.
fn in_turns(
    call: &Call<'_>,
    targets: &[Target],
    (root, seed): (&Path, &str),
    (times, output, live): (u64, &OutputArgs, &LiveOutputs),
) -> Ran {
    let mut ran = Ran { worst: Exit::Holds, folders: vec![Vec::new(); targets.len()], ended_by: None };
    for number in 1..=times {
        for (target, folders) in targets.iter().zip(&mut ran.folders) {
            let of_target = target.name.map_or_else(|| root.to_owned(), |name| root.join(name));
            let folder = of_target.join(format!("{number:02}"));
            let exit = match one(call, &arguments_of(call, target, seed, &folder), output, live, &folder) {
                Ok(exit) => exit,
                Err(error) => {
                    // What was found before is shown nevertheless.
                    ran.ended_by = Some(error);
                    return ran;
                }
            };
            folders.push(folder);
            ran.worst = worse_of(ran.worst, exit);
            if exit == Exit::Interrupted {
                return ran;
            }
        }
    }
    ran
}

fn check(repeats: &RepeatArgs, output: &OutputArgs, parsed: &Parsed, mistakes: &mut Vec<Mistake>) {
    if output.junit.is_some() || output.format == Format::Junit {
        let what = "several runs have no test cases together; give it without --repeat, --against and --compare-with, or use \
                    `ungraceful report junit` on each record";
        mistakes.push(Mistake::new(if output.junit.is_some() { "--junit" } else { "--format" }, what));
    }
    if repeats.against.is_some() && repeats.compare_with.is_some() {
        mistakes.push(Mistake::new(
            "--compare-with",
            "give either this or --against: a comparison has two sides",
        ));
    }
    if let Some(host) = &repeats.against {
        if !parsed.settings.contains_key("host") {
            mistakes.push(Mistake::new(
                "--against",
                "name the first broker by --host, too: both are reached in the same way",
            ));
        }
        for flag in ["broker-pid", "broker-log"] {
            if parsed.settings.get(flag).is_some_and(|setting| setting.source != SettingSource::Default) {
                let what = "is of one broker; leave it out with --against";
                mistakes.push(Mistake::new(format!("--{flag}"), what));
            }
        }
        if let Err(what) = read_host(host) {
            mistakes.push(Mistake::new("--against", what));
        }
    }
    if repeats.fail_on_regression.is_some() && repeats.against.is_none() && repeats.compare_with.is_none() {
        mistakes.push(Mistake::new(
            "--fail-on-regression",
            "there is nothing to compare with: give --compare-with DIR or --against HOST",
        ));
    }
    if parsed.settings.contains_key("find-rate") {
        mistakes.push(Mistake::new(
            "--find-rate",
            "a rate search has runs of its own; give it without --repeat, --against and --compare-with",
        ));
    }
}

fn arguments_of(call: &Call<'_>, target: &Target, seed: &str, folder: &Path) -> Vec<OsString> {
    let mut words = arguments::without(call.arguments, &OF_ALL);
    if let Some(host) = &target.host {
        words = arguments::without(&words, &["--host", "-h"]);
        // A port of its own goes before the one of both.
        if read_host(host).is_ok_and(|(_, port)| port.is_some()) {
            words = arguments::without(&words, &["--port", "-p"]);
        }
        words.extend(["--host", host].map(OsString::from));
    }
    words.extend(["--seed", seed].map(OsString::from));
    words.extend([OsString::from("--output"), folder.into()]);
    words
}

/// One run, with a line about it.
fn one(
    call: &Call<'_>,
    words: &[OsString],
    output: &OutputArgs,
    live: &LiveOutputs,
    folder: &Path,
) -> Result<Exit, RunError> {
    let Prepared { experiment, plan } = prepared(call, words)?;
    let mut terminal = live::terminal(output);
    let Finished { record, directory } = live.run(&experiment, || plan, &mut terminal)?;
    let page = PageFile::of_run(&record, &directory);
    annotate(&record);
    let exit = exit_of(&record);
    if !output.quiet {
        print_error(&format!("{}: exit {}: {}", folder.display(), exit.code(), why_exit(&record)));
    }
    Ok(worse_of(exit, page.exit()))
}

/// A run that is ready, and its plan for those who watch.
struct Prepared {
    experiment: Experiment,
    plan: serde_json::Value,
}

fn prepared(call: &Call<'_>, words: &[OsString]) -> Result<Prepared, RunError> {
    let call = Call { arguments: words, ..*call };
    let parsed = match parse(&call.tool.mode_command(call.mode), &call.flags()) {
        Ok(parsed) => parsed,
        Err(NotParsed::Config(mistakes)) => return Err(RunError::Usage(mistakes)),
        Err(NotParsed::Clap(error)) => {
            return Err(RunError::Bug(format!("a run's command line can't be read: {error}")));
        }
    };
    match call.mode {
        Mode::Load(mode) => {
            let ready = prepare_load(&call, mode, &parsed)?;
            let plan = print_plan::summary_of_load(&ready.experiment.common, &ready.engine);
            Ok(Prepared { experiment: ready.experiment, plan })
        }
        Mode::Fault(mode) => {
            let (common, attempts, _output) = prepare(&call, mode, &parsed)?;
            let plan = print_plan::summary(&common, &attempts);
            Ok(Prepared { experiment: Experiment { common, work: Work::Attempts(attempts) }, plan })
        }
    }
}

/// The exit code of several: what went wrong goes before what was found, and that before what was not.
fn worse_of(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Holds => 0,
        Exit::Inconclusive => 1,
        Exit::Violated => 2,
        Exit::Usage => 3,
        Exit::Environment => 4,
        Exit::Bug => 5,
        Exit::Interrupted => 6,
    };
    if rank(other) > rank(one) { other } else { one }
}
