//! `ungraceful-report compare`: what changed between runs, and whether that is more than noise.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use ungraceful_flags::{Mistake, reader};
use ungraceful_record::exit::Exit;
use ungraceful_report::compare::{Comparison, MATTERS, Run, Side, compare, differences, render_comparison};
use ungraceful_report::{Context, Format};
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::recorder::{METRICS_HLOG, RUN_JSON};

use crate::again::load;
use crate::launch;

/// The subcommand.
pub(crate) const COMPARE: &str = "compare";

/// A share of more than 0 and less than 100 %, such as `5%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percent(pub(crate) f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim().parse::<f64>().ok();
        let share = number.map(|percent| percent / 100.0).filter(|share| *share > 0.0 && *share < 1.0);
        share.map(Self).ok_or_else(|| format!("{text:?} is no share such as 5%"))
    }
}

/// Its command line.
pub(crate) fn command() -> Command {
    Command::new(COMPARE)
        .about("Compares runs with the first: what changed, and whether that is more than noise")
        .long_about(
            "Compares runs with the first: what changed, by how much, and whether that is more than noise. A folder with several \
             records in it is one side of several repetitions, which tell noise best; of a run that stands alone, its parts do. Runs \
             that are unlike (tool, settings, machine) are refused with their differences.",
        )
        .disable_help_flag(true)
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .help("Folder of a record, or of several repetitions; two or more, the first is the reference")
                .num_args(2..)
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .help("text, markdown, json or csv")
                .default_value("text")
                .value_parser(reader::<Format>()),
        )
        .arg(
            Arg::new("fail-on-regression")
                .long("fail-on-regression")
                .value_name("PERCENT")
                .help("Exit code 1 when a figure is worse, beyond noise, and its interval reaches that much, such as 5%; 3 when noise hides everything, or something was measured on one side only")
                .value_parser(reader::<Percent>()),
        )
        .arg(
            Arg::new("anyway")
                .long("anyway")
                .help("Compare runs that are unlike, too; the report lists their differences")
                .action(ArgAction::SetTrue),
        )
        .arg(clap::arg!(--help "Print help").action(ArgAction::Help))
}

/// Compares and prints.
pub(crate) fn run(matches: &ArgMatches) -> Result<Exit, RunError> {
    let paths: Vec<&PathBuf> = matches.get_many("dir").expect("the parser requires it").collect();
    let format: Format = matches.get_one("format").copied().expect("it has a default");
    if format == Format::Junit {
        return Err(mistake(
            "--format",
            "a comparison has no test cases; choose text, markdown, json or csv".to_owned(),
        ));
    }
    let limit: Option<Percent> = matches.get_one("fail-on-regression").copied();
    let sides = paths.into_iter().map(|path| side(path)).collect::<Result<Vec<_>, _>>()?;
    let comparisons = compared(&sides, limit, matches.get_flag("anyway"))?;
    let printed = print(&comparisons, format);
    Ok(if printed == Exit::Holds { exit(&comparisons, limit) } else { printed })
}

/// Compares each side with the first, and refuses unlike runs unless they are to be compared `anyway`.
pub(crate) fn compared(
    sides: &[Side],
    limit: Option<Percent>,
    anyway: bool,
) -> Result<Vec<Comparison>, RunError> {
    let Some((first, others)) = sides.split_first() else { return Ok(Vec::new()) };
    let matters = limit.map_or(MATTERS, |Percent(share)| share);
    let mut comparisons = Vec::new();
    for other in others {
        let unlike = unlike(first, other);
        if !unlike.is_empty() && !anyway {
            let what = format!(
                "{} and {} are unlike, so a comparison says nothing about the broker: {}; --anyway compares them all the same",
                first.name,
                other.name,
                unlike.join("; ")
            );
            return Err(mistake(COMPARE, what));
        }
        comparisons.push(compare(first, other, matters, unlike));
    }
    Ok(comparisons)
}

/// Prints comparisons.
pub(crate) fn print(comparisons: &[Comparison], format: Format) -> Exit {
    let context = Context { record_dir: None, ..launch::stdout_context() };
    launch::print(&render_comparison(comparisons, format, &context))
}

/// The exit code: regressions count only where the user set a limit.
pub(crate) fn exit(comparisons: &[Comparison], limit: Option<Percent>) -> Exit {
    if limit.is_none() {
        return Exit::Holds;
    }
    if comparisons.iter().any(|comparison| !comparison.regressions().is_empty()) {
        return Exit::Violated;
    }
    let is_judged = |comparison: &Comparison| comparison.is_judged() && !comparison.lacks_something();
    if comparisons.iter().all(is_judged) { Exit::Holds } else { Exit::Inconclusive }
}

/// What makes the runs of two sides, or of one, unlike.
fn unlike(one: &Side, other: &Side) -> Vec<String> {
    let reference = &one.runs[0];
    let mut found = Vec::new();
    for run in one.runs.iter().chain(&other.runs) {
        for difference in differences(&reference.record, &run.record) {
            if !found.contains(&difference) {
                found.push(difference);
            }
        }
    }
    found
}

fn mistake(flag: &str, what: String) -> RunError {
    RunError::Usage(vec![Mistake::new(flag, what)])
}

/// Reads the record in this folder, or the records in its folders.
pub(crate) fn side(path: &Path) -> Result<Side, RunError> {
    let mut folders = vec![path.to_owned()];
    if path.is_dir() && !path.join(RUN_JSON).is_file() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut within: Vec<PathBuf> = entries.filter(|entry| entry.join(RUN_JSON).is_file()).collect();
        within.sort();
        if !within.is_empty() {
            folders = within;
        }
    }
    let runs = folders.iter().map(|folder| read(folder)).collect::<Result<Vec<_>, _>>()?;
    Ok(Side { name: path.display().to_string(), runs })
}

/// Reads one record.
pub(crate) fn read(path: &Path) -> Result<Run, RunError> {
    let record = load(path)?;
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let file = folder.join(METRICS_HLOG);
    let log = std::fs::read_to_string(&file).ok();
    Run::new(path.display().to_string(), record, log.as_deref())
        .map_err(|why| RunError::Environment(format!("{}: {why}", file.display())))
}
