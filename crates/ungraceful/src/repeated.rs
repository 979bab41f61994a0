//! `--repeat`, `--against` and `--compare-with`: several runs of one command, and what differs between their sides.

use std::ffi::OsString;
use std::path::Path;

use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_record::verdict::{exit_of, why_exit};
use ungraceful_report::compare::{Side, render_spread};
use ungraceful_report::{Context, Format};
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::settings::{Experiment, Finished, Work};

use crate::cli::common::{EveryRunArgs, OutputArgs};
use crate::cli::parse::{NotParsed, Parsed, parse};
use crate::cli::repeats::RepeatArgs;
use crate::launch::{Call, Mode, annotate, prepare, prepare_load, print, print_error, stdout_context};
use crate::live::{self, LiveOutputs};
use crate::page_file::PageFile;
use crate::{arguments, compared, print_plan};

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
/// Flags that name the broker.
const OF_THE_BROKER: [&str; 4] = ["--host", "-h", "--url", "--spawn"];

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
    let reference = repeats.compare_with.as_deref().map(compared::side).transpose()?;
    let targets = match &repeats.against {
        None => vec![Target { name: None, host: None }],
        Some(host) => vec![
            Target { name: Some("before"), host: None },
            Target { name: Some("after"), host: Some(host.clone()) },
        ],
    };
    // Reads the command once before the first packet, so that all mistakes come first; the folder and the seed are those of all.
    let first = experiment(call, call.arguments)?;
    let (root, seed) = (first.common.output.clone(), first.common.seed.to_string());
    let live = LiveOutputs::open(&output)?;
    let mut worst = Exit::Holds;
    'all: for number in 1..=repeats.number() {
        // In turns, so that what else the machine does is shared by both.
        for target in &targets {
            let folder =
                target.name.map_or_else(|| root.clone(), |name| root.join(name)).join(format!("{number:02}"));
            let words = arguments_of(call, target, &seed, &folder);
            let exit = one(call, &words, &output, &live, &folder)?;
            worst = worse_of(worst, exit);
            if exit == Exit::Interrupted {
                break 'all;
            }
        }
    }
    let printed = live.close();
    let sides = targets.iter().map(|target| {
        let folder = target.name.map_or_else(|| root.clone(), |name| root.join(name));
        compared::side(&folder).map(|side| named(side, target))
    });
    let sides = reference.into_iter().map(Ok).chain(sides).collect::<Result<Vec<_>, _>>()?;
    if let [side] = &sides[..] {
        return Ok(worse_of(
            worse_of(worst, printed),
            print(&render_spread(side, output.format, &context(&root))),
        ));
    }
    let comparisons = compared::compared(&sides, limit, true)?;
    let shown = compared::print(&comparisons, output.format);
    let of_comparison = match comparisons.iter().all(|comparison| comparison.unlike.is_empty()) {
        true => compared::exit(&comparisons, limit),
        // A difference may be that of the runs.
        false if limit.is_some() => Exit::Inconclusive,
        false => Exit::Holds,
    };
    Ok([printed, shown, of_comparison].into_iter().fold(worst, worse_of))
}

fn context(root: &Path) -> Context {
    Context { record_dir: Some(root.to_owned()), ..stdout_context() }
}

fn named(side: Side, target: &Target) -> Side {
    match &target.host {
        Some(host) => Side { name: host.clone(), ..side },
        None => side,
    }
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
    let is_named = ["host", "url"].iter().any(|flag| parsed.settings.contains_key(*flag));
    if repeats.against.is_some() && !is_named {
        mistakes.push(Mistake::new("--against", "name the first broker by --host, too"));
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
        words = arguments::without(&words, &OF_THE_BROKER);
        // A port of its own goes before the one of both.
        if host.contains(':') {
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
    let experiment = experiment(call, words)?;
    let mut terminal = live::terminal(output);
    let plan = || match &experiment.work {
        Work::Attempts(attempts) => print_plan::summary(&experiment.common, attempts),
        Work::Load(_) => serde_json::Value::Null,
    };
    let Finished { record, directory } = live.run(&experiment, plan, &mut terminal)?;
    let page = PageFile::of_run(&record, &directory);
    annotate(&record);
    let exit = exit_of(&record);
    if !output.quiet {
        print_error(&format!("{}: exit {}: {}", folder.display(), exit.code(), why_exit(&record)));
    }
    Ok(worse_of(exit, page.exit()))
}

fn experiment(call: &Call<'_>, words: &[OsString]) -> Result<Experiment, RunError> {
    let call = Call { arguments: words, ..*call };
    let parsed = match parse(&call.tool.mode_command(call.mode), &call.flags()) {
        Ok(parsed) => parsed,
        Err(NotParsed::Config(mistakes)) => return Err(RunError::Usage(mistakes)),
        Err(NotParsed::Clap(error)) => {
            return Err(RunError::Bug(format!("a run's command line can't be read: {error}")));
        }
    };
    match call.mode {
        Mode::Load(mode) => prepare_load(&call, mode, &parsed).map(|ready| ready.experiment),
        Mode::Fault(mode) => {
            let (common, attempts, _output) = prepare(&call, mode, &parsed)?;
            Ok(Experiment { common, work: Work::Attempts(attempts) })
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
