//! The tour: `ungraceful` without a tool shows the most common causes of ungraceful disconnects, each in a short run.
//!
//! Each run is that of the cause's tool with shorter defaults. A broker that the tour starts is started anew for each run, so that
//! runs do not affect each other.

mod causes;
mod reading;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use ungraceful_flags::{Mistake, PositiveTime, Versions, reader};
use ungraceful_record::exit::Exit;
use ungraceful_record::live::Observer;
use ungraceful_record::run::{SettingSource, WITHHELD};
use ungraceful_record::scale::span;
use ungraceful_report::progress::Terminal;
use ungraceful_report::{Cause as Seen, Context, Format, Shown, Tour, render_tour};
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::limits::Demand;
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::settings::{Attempts, Common, Experiment, Finished, Work};

use self::causes::{CAUSES, Cause, CauseName, Showable};
pub(crate) use self::reading::read;
use crate::cli::common::{AttemptLinesArgs, OutputArgs};
use crate::cli::parse::{NotParsed, Parsed, is_secret, parse};
use crate::cli::target::TargetArgs;
use crate::junit_file::JunitFile;
use crate::launch::{
    Call, annotate, fail_as, prepare, print, print_clap, print_error, print_result, result_context, worse,
};
use crate::live::{self, LiveOutputs, terminal};
use crate::page_file::PageFile;
use crate::{print_plan, print_preflight};

/// The file of the tour, beside the records of its runs.
pub(crate) const TOUR_JSON: &str = "tour.json";

/// The flags that only the tour has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tour")]
struct TourArgs {
    /// Run only these causes, separated by commas: knock, drop, silence, takeover, flood, double-connect, kick
    #[arg(long, value_name = "CAUSE", value_delimiter = ',', value_parser = reader::<CauseName>())]
    only: Vec<CauseName>,
    /// Command that disconnects one client, run without a shell; {client_id} is replaced. Enables the cause kick on your broker
    #[arg(long, value_name = "COMMAND")]
    kick_cmd: Option<String>,
    /// How late the generator may be at the 99th percentile before a run's times count as unreliable
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    slip_limit: PositiveTime,
    /// Maximum duration of the tour; the run under way is stopped then, and the remaining causes are skipped
    #[arg(long, value_name = "TIME", default_value = "120s")]
    budget: PositiveTime,
    /// Random seed, to repeat the tour; without it, a seed is drawn and printed
    #[arg(long, value_name = "NUMBER", value_parser = reader::<Seed>())]
    seed: Option<Seed>,
}

/// Adds the tour's flags.
pub(crate) fn add_flags(command: Command) -> Command {
    let command = Versions::augment_args(TargetArgs::augment_args(command));
    OutputArgs::augment_args(AttemptLinesArgs::augment_args(TourArgs::augment_args(command)))
}

/// A cause that is ready to run, or why it can't be shown.
struct Stop {
    cause: &'static Cause,
    command: String,
    ready: Ready,
}

/// The planned tour.
struct Planned {
    seed: Seed,
    /// How long it may take.
    budget: Duration,
    stops: Vec<Stop>,
}

/// Runs the tour.
pub(crate) fn main(arguments: &[OsString], parsed: &Parsed) -> ExitCode {
    match tour(arguments, parsed) {
        Ok(exit) => exit.into(),
        Err(error) => fail_as("ungraceful", "ungraceful", &error),
    }
}

fn tour(arguments: &[OsString], parsed: &Parsed) -> Result<Exit, RunError> {
    let output = parsed.read::<OutputArgs>();
    let format = output.format;
    let clock = RunClock::start();
    let Planned { seed, budget, stops } = plan(arguments, parsed, &clock)?;
    if output.print_plan {
        return Ok(print(&plans(&stops, budget, format)));
    }
    if let Some(shortage) = shortage(&stops) {
        return Err(RunError::Usage(vec![shortage]));
    }
    if let Some((mut common, demand)) = largest(&stops) {
        "ungraceful".clone_into(&mut common.tool.name);
        if output.preflight {
            return Ok(print_preflight::print(&common, &demand, format));
        }
        print_preflight::warn("ungraceful", &demand);
    }
    let folder = folder(&output, &clock, seed);
    let mut tour = Tour {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: seed.0,
        started_utc: clock.started().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        duration_us: 0,
        causes: Vec::new(),
    };
    let mut junit = JunitFile::open(&output)?;
    let live = junit.or_reason("ungraceful", LiveOutputs::open(&output))?;
    let visited = visit(&mut tour, stops, budget, &output, &live, &folder, &clock);
    let watched = live.close();
    junit.or_reason("ungraceful", visited)?;
    let page = PageFile::of_tour(&tour, &folder);
    let context = Context { record_dir: Some(folder), page: page.path(), ..result_context(&output) };
    for cause in &tour.causes {
        if let Shown::Run { record, .. } = &cause.shown {
            annotate(record);
        }
    }
    let written = worse(junit.write(|| render_tour(&tour, Format::Junit, &context)), watched);
    let written = worse(page.exit(), written);
    let printed = worse(print_result(&render_tour(&tour, format, &context), &output), written);
    Ok(if printed == Exit::Environment { printed } else { tour.exit() })
}

/// Shows one cause after another.
fn visit(
    tour: &mut Tour,
    stops: Vec<Stop>,
    budget: Duration,
    output: &OutputArgs,
    live: &LiveOutputs,
    folder: &Path,
    clock: &RunClock,
) -> Result<(), RunError> {
    let all = stops.len();
    if !output.quiet {
        terminal(output).note(&format!("{all} causes, at most {}", span(budget)));
    }
    for (number, stop) in (1..).zip(stops) {
        let mut observer = terminal(output);
        if !output.quiet {
            observer.note(&format!("{number} of {all}: {}", stop.cause.title));
        }
        let left = budget.saturating_sub(Duration::from_micros(clock.now_us()));
        let shown = show(tour, stop.ready, Budget { all: budget, left }, live, &mut observer)?;
        tour.causes.push(Seen {
            name: stop.cause.name,
            title: stop.cause.title,
            done: stop.cause.done,
            facts: stop.cause.facts,
            command: stop.command,
            shown,
        });
        tour.duration_us = clock.now_us();
        // After each cause, so that the results are kept however the tour ends.
        write_tour(folder, tour)?;
    }
    Ok(())
}

/// How long the tour may take, and how much of that is left.
#[derive(Clone, Copy)]
struct Budget {
    all: Duration,
    left: Duration,
}

impl Budget {
    /// The run, bounded by the time left; absent when that is too short for a complete run.
    fn of(self, common: Common) -> Option<Common> {
        let bound = common.bound.within(self.left);
        (!bound.stopped_after().is_zero()).then_some(Common { bound, ..common })
    }
}

/// Runs a cause, or says why it can't be shown. Before the first result, an error of the call or of the broker ends the tour.
fn show(
    so_far: &Tour,
    ready: Ready,
    budget: Budget,
    live: &LiveOutputs,
    observer: &mut Terminal,
) -> Result<Shown, RunError> {
    let was_interrupted = so_far.causes.iter().any(|seen| seen.exit() == Some(Exit::Interrupted));
    let (common, attempts) = match ready {
        Ok(_) if was_interrupted => {
            let why = "the tour was interrupted first".to_owned();
            return Ok(Shown::Failed { why, exit: Exit::Interrupted });
        }
        Ok(ready) => *ready,
        Err(shown) => return Ok(shown),
    };
    let Some(common) = budget.of(common) else {
        let why = format!(
            "too little is left of the tour's {}; raise --budget, or choose causes with --only",
            span(budget.all)
        );
        return Ok(Shown::Failed { why, exit: Exit::Inconclusive });
    };
    let has_seen_some = so_far.causes.iter().any(|seen| seen.record().is_some());
    let plan = (common.clone(), attempts.clone());
    let plan = || print_plan::summary(&plan.0, &plan.1);
    match live.run(&Experiment { common, work: Work::Attempts(attempts) }, plan, observer) {
        Ok(Finished { record, directory }) => {
            // What can't be written is printed; the tour goes on.
            let _page = PageFile::of_run(&record, &directory);
            Ok(Shown::Run { record: Box::new(record), directory })
        }
        // The broker was up a moment ago, so this is no mistake of the user.
        Err(error @ RunError::Unreachable(_)) if has_seen_some => {
            let why = format!("the broker is down: it served the causes before this one, and now {error}");
            Ok(Shown::Failed { why, exit: Exit::Inconclusive })
        }
        Err(RunError::OutOfTime(why)) => Ok(Shown::Failed { why, exit: Exit::Inconclusive }),
        // Earlier results are still reported.
        Err(error) if has_seen_some => Ok(Shown::Failed { why: error.to_string(), exit: error.exit() }),
        Err(error) => Err(error),
    }
}

/// Reads and checks every cause; all mistakes are reported together, each once.
fn plan(arguments: &[OsString], parsed: &Parsed, clock: &RunClock) -> Result<Planned, RunError> {
    let (args, target, output) =
        (parsed.read::<TourArgs>(), parsed.read::<TargetArgs>(), parsed.read::<OutputArgs>());
    let mut mistakes = parsed.mistakes.clone();
    let only = &args.only;
    let seed = args.seed.unwrap_or_else(Seed::draw);
    let budget = args.budget.0;
    let folder = folder(&output, clock, seed);
    if folder.join(TOUR_JSON).exists() && !output.only_prints() {
        let what = format!(
            "{} already contains a record, and records are not overwritten; choose another folder",
            folder.display()
        );
        mistakes.push(Mistake::new("--output", what));
    }
    JunitFile::check(&output, &mut mistakes);
    live::check(&output, &[], &mut mistakes);
    let chosen =
        CAUSES.iter().filter(|cause| only.is_empty() || only.iter().any(|name| name.0 == cause.name));
    let mut stops = Vec::new();
    for (number, cause) in (1..).zip(chosen) {
        let (call, ready) = match cause.needs.of(&target, args.kick_cmd.as_deref()) {
            Showable::With(flags) => {
                let mut words = passed_on(parsed);
                words.extend(flags);
                words.extend(["--seed".into(), seed.to_string()]);
                words.extend(output.print_plan.then(|| "--print-plan".to_owned()));
                words.extend(output.preflight.then(|| "--preflight".to_owned()));
                let record = folder.join(format!("{number}-{}", cause.name));
                (words.clone(), prepared(cause, arguments, words, &record, &mut mistakes))
            }
            Showable::No { why, cure } => (Vec::new(), Some(Err(Shown::CannotBeShown { why, cure }))),
        };
        let command = command_of(cause, &call);
        stops.extend(ready.map(|ready| Stop { cause, command, ready }));
    }
    mistakes.extend(too_short(budget, &stops));
    let mut distinct: Vec<Mistake> = Vec::new();
    for mistake in mistakes {
        if !distinct.contains(&mistake) {
            distinct.push(mistake);
        }
    }
    if distinct.is_empty() { Ok(Planned { seed, budget, stops }) } else { Err(RunError::Usage(distinct)) }
}

/// A mistake when the budget is too short for even the first cause.
fn too_short(budget: Duration, stops: &[Stop]) -> Option<Mistake> {
    let ready = stops.iter().find_map(|stop| stop.ready.as_ref().ok())?;
    let least = ready.0.bound.ending() + Duration::from_secs(1);
    (!budget.is_zero() && budget < least).then(|| {
        let what = format!("{} is too short for a complete run; give {} or more", span(budget), span(least));
        Mistake::new("--budget", what)
    })
}

type Ready = Result<Box<(Common, Attempts)>, Shown>;

/// Prepares the run of one cause; absent when it has mistakes, which are added to the list.
fn prepared(
    cause: &'static Cause,
    arguments: &[OsString],
    words: Vec<String>,
    record: &Path,
    mistakes: &mut Vec<Mistake>,
) -> Option<Ready> {
    let mode = cause.mode();
    let call = Call { tool: cause.tool, mode, arguments };
    let command = cause.tool.mode_command_with(mode, cause.defaults);
    let mut words: Vec<OsString> =
        std::iter::once(cause.tool.name.to_owned()).chain(words).map(OsString::from).collect();
    words.extend(["--output".into(), record.into()]);
    let parsed = match parse(&command, &words) {
        Ok(parsed) => parsed,
        Err(error) => {
            mistakes.extend(match error {
                NotParsed::Clap(error) => vec![Mistake::new(cause.tool.name, error.to_string())],
                NotParsed::Config(found) => found,
            });
            return None;
        }
    };
    match prepare(&call, mode.fault()?, &parsed) {
        Ok((common, attempts, _)) => return Some(Ok(Box::new((common, attempts)))),
        Err(RunError::Usage(found)) => mistakes.extend(found),
        Err(error) => mistakes.push(Mistake::new("--host", error.to_string())),
    }
    None
}

/// The user's flags that are passed on to every run. They include passwords, which stay in this process.
pub(crate) fn passed_on(parsed: &Parsed) -> Vec<String> {
    let flags = Versions::augment_args(TargetArgs::augment_args(Command::new("")));
    let longs = flags.get_arguments().filter_map(clap::Arg::get_long).chain(["slip-limit", "attempts-max"]);
    let longs: Vec<String> = longs.map(ToOwned::to_owned).collect();
    let mut words = Vec::new();
    for long in longs {
        let given = parsed.settings.get(&long);
        let given = given.filter(|given| matches!(given.source, SettingSource::Flag | SettingSource::File));
        match given.map(|given| &*given.value) {
            // Without credentials it is not among the settings, because host and port are recorded.
            None if long == "url" && !is_from_environment(&parsed.matches, &long) => {
                words.extend(secrets(&parsed.matches, &long).map(|url| format!("--url={url}")));
            }
            None => {}
            Some(WITHHELD) => {
                words.extend(secrets(&parsed.matches, &long).map(|value| format!("--{long}={value}")));
            }
            Some("true") if is_switch(&parsed.matches, &long) => words.push(format!("--{long}")),
            Some("false") if is_switch(&parsed.matches, &long) => {}
            Some(value) => words.push(format!("--{long}={value}")),
        }
    }
    words
}

fn is_switch(matches: &ArgMatches, long: &str) -> bool {
    matches.try_get_one::<bool>(&long.replace('-', "_")).is_ok_and(|flag| flag.is_some())
}

fn is_from_environment(matches: &ArgMatches, long: &str) -> bool {
    matches.value_source(long) == Some(ValueSource::EnvVariable)
}

/// The values of a secret flag, which the settings do not contain.
fn secrets<'a>(matches: &'a ArgMatches, long: &str) -> impl Iterator<Item = &'a String> {
    matches.try_get_many::<String>(&long.replace('-', "_")).ok().flatten().into_iter().flatten()
}

/// The command that shows this cause alone. Secrets are replaced by a placeholder.
fn command_of(cause: &Cause, words: &[String]) -> String {
    let mut command = vec![cause.tool.name.to_owned()];
    if cause.tool.has_several_modes() {
        command.push(cause.mode().name().to_owned());
    }
    command.extend(words.iter().map(|word| match word.split_once('=') {
        Some((flag, _)) if is_secret(word) => format!("{flag}={}", ungraceful_report::NOT_RECORDED),
        _ => word.clone(),
    }));
    ungraceful_report::shell_command(&command)
}

fn folder(output: &OutputArgs, clock: &RunClock, seed: Seed) -> PathBuf {
    output.output.clone().unwrap_or_else(|| {
        let stamp = clock.started().strftime("%Y%m%dT%H%M%SZ");
        PathBuf::from("results").join(format!("{stamp}-tour-{seed}"))
    })
}

/// The plan of each run, bounded by the budget of the tour.
fn plans(stops: &[Stop], budget: Duration, format: Format) -> String {
    let ready = stops.iter().filter_map(|stop| stop.ready.as_ref().ok());
    let render = |(common, attempts): &(Common, Attempts)| {
        let common = Common { bound: common.bound.within(budget), ..common.clone() };
        print_plan::render(&common, attempts, format).trim_end().to_owned()
    };
    let printed: Vec<String> = ready.map(|ready| render(ready)).collect();
    match format {
        Format::Json => format!("[{}]\n", printed.join(",\n")),
        _ => {
            let of_all = format!("The tour takes at most {}, then it is stopped", span(budget));
            format!("{of_all}\n\n{}\n", printed.join("\n\n"))
        }
    }
}

/// What the runs need at most, one after the other; absent when none can be made.
fn largest(stops: &[Stop]) -> Option<(Common, Demand)> {
    let ready = stops.iter().filter_map(|stop| stop.ready.as_ref().ok());
    let demands = ready.map(|ready| {
        let (common, attempts) = ready.as_ref().clone();
        let experiment = Experiment { common, work: Work::Attempts(attempts) };
        let demand = Demand::of(&experiment);
        (experiment.common, demand)
    });
    demands.reduce(|(common, largest), (_, demand)| (common, largest.or_larger(demand)))
}

/// The largest shortage of rows for the clients of the causes.
fn shortage(stops: &[Stop]) -> Option<Mistake> {
    let ready = stops.iter().filter_map(|stop| stop.ready.as_ref().ok());
    let needs = ready.map(|ready| {
        let (common, attempts) = ready.as_ref().clone();
        let experiment = Experiment { common, work: Work::Attempts(attempts) };
        let (clients, honest) = experiment.client_counts();
        (clients + honest, experiment.common.target.clients.shortage(clients, honest))
    });
    needs.max_by_key(|(needed, _)| *needed)?.1
}

/// The folder of a run within that of a tour or a search, which may have been moved since `written` was recorded.
pub(crate) fn folder_of_run(folder: &Path, written: Option<&str>) -> Option<PathBuf> {
    Path::new(written?).file_name().map(|name| folder.join(name))
}

fn write_tour(folder: &Path, tour: &Tour) -> Result<(), RunError> {
    let context = Context { record_dir: Some(folder.to_owned()), ..Context::default() };
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(folder.join(TOUR_JSON), render_tour(tour, Format::Json, &context)))
        .map_err(|error| {
            RunError::Environment(format!("cannot write {TOUR_JSON} into {}: {error}", folder.display()))
        })
}

/// Reports arguments that can't be parsed.
pub(crate) fn reject(error: &NotParsed) -> ExitCode {
    match error {
        NotParsed::Clap(error) => print_clap(error).into(),
        NotParsed::Config(mistakes) => {
            for mistake in mistakes {
                print_error(&format!("ungraceful: {mistake}"));
            }
            Exit::Usage.into()
        }
    }
}
