//! `ungraceful-explain`: from a line of a broker's log to the cause, a reproduction and the fix.
//!
//! It reads logs, connects nowhere and writes no record.

mod document;
mod flags;
mod follow;
mod json;
mod over_time;
mod reference;
mod render;
mod scenario;
mod signs;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use flags::{ExplainArgs, Options, Wanted};
use ungraceful_flags::{collecting, with_environment};
use ungraceful_log_causes::Broker;
use ungraceful_log_causes::scan::{Line, Scanned, Scanner};
use ungraceful_log_causes::story::{Incident, Story};
use ungraceful_log_causes::timestamp::LogTime;
use ungraceful_record::exit::Exit;
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;

use crate::launch;

/// The binary's name.
pub const NAME: &str = "ungraceful-explain";
/// The question it answers.
pub const QUESTION: &str =
    "Why was the client disconnected? From a broker's log to the cause, a reproduction and a fix";

/// The command line.
#[must_use]
pub fn command() -> Command {
    let command = Command::new(NAME).version(env!("CARGO_PKG_VERSION")).disable_help_flag(true);
    let command = command.arg(clap::arg!(--help "Print help").action(clap::ArgAction::Help));
    with_environment(ExplainArgs::augment_args(command)).about(QUESTION).long_about(format!(
        "{QUESTION}.\n\nReads the logs of {}: plain text or JSON, with or without the prefixes of journald and containers. \
         Lines that belong together are one incident. For each cause it reports who closed the connection, what the \
         standard says, the usual reasons, how to distinguish them, a command that reproduces it, and the fix. Sends \
         nothing and needs no broker.",
        names()
    ))
    .after_help(exit_codes())
}

/// The exit codes of all tools, with their meaning here.
fn exit_codes() -> String {
    let when = |exit: Exit| match exit {
        Exit::Holds => "the logs were read to their end, with or without incidents",
        Exit::Violated => "never: logs are not judged",
        Exit::Usage => "invalid usage; nothing was read",
        Exit::Inconclusive => "no line was recognised: the log of an unknown broker, or no log",
        Exit::Environment => "a log can't be read",
        Exit::Bug => "a defect of this program",
        Exit::Interrupted => "interrupted",
    };
    let lines = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), when(exit)));
    format!("Exit codes:\n{}", lines.join("\n"))
}

fn names() -> String {
    let names: Vec<&str> = Broker::ALL.iter().map(|broker| broker.name()).collect();
    names.join(", ")
}

/// Runs the tool.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    launch::begin(NAME);
    let (matches, mistakes) = collecting(|| command().try_get_matches_from(arguments));
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) => return launch::print_clap(&error).into(),
    };
    let args = ExplainArgs::from_arg_matches(&matches).expect("the flags are those of the command");
    let done = args.wanted(mistakes).map_err(RunError::Usage).and_then(|wanted| match wanted {
        Wanted::Code(codes, format) => Ok(launch::print(&reference::codes(&codes, format))),
        Wanted::List(format) => Ok(launch::print(&reference::list(format))),
        Wanted::Follow(path, options) => follow::follow(&path, &options),
        Wanted::Read(paths, options) => read(&paths, &options),
    });
    match done {
        Ok(exit) => exit.into(),
        Err(RunError::Usage(mistakes)) => {
            for mistake in mistakes {
                launch::print_error(&format!("{NAME}: {mistake}"));
            }
            launch::print_error(&format!("nothing was read; see {NAME} --help"));
            Exit::Usage.into()
        }
        Err(error) => {
            launch::print_error(&format!("{NAME}: {error}"));
            error.exit().into()
        }
    }
}

/// A log that was read.
#[derive(Clone, Debug)]
struct Log {
    name: String,
    broker: Option<Broker>,
    scanned: Scanned,
}

/// The result for all logs.
struct Explained {
    logs: Vec<Log>,
    story: Story,
    incidents: Vec<Incident>,
}

impl Explained {
    /// Incidents that are counted but not listed.
    fn left_out(&self) -> u64 {
        self.story.picture().incidents - self.incidents.len() as u64
    }

    /// The log's name, where there are several logs.
    fn log_name(&self, log: usize) -> Option<&str> {
        self.logs.get(log).filter(|_| self.logs.len() > 1).map(|log| log.name.as_str())
    }

    fn exit(&self) -> Exit {
        let recognised: u64 = self.logs.iter().map(|log| log.scanned.recognised).sum();
        if recognised == 0 { Exit::Inconclusive } else { Exit::Holds }
    }
}

fn read(paths: &[PathBuf], options: &Options) -> Result<Exit, RunError> {
    let mut explained =
        Explained { logs: Vec::new(), story: Story::new(options.limits.clone()), incidents: Vec::new() };
    if paths.is_empty() {
        let log =
            read_one("standard input", &mut io::stdin().lock(), current_year(), options, &mut explained)?;
        explained.logs.push(log);
    }
    for (number, path) in paths.iter().enumerate() {
        let (mut file, year) = open(path)?;
        if number > 0 {
            let Explained { story, incidents, .. } = &mut explained;
            story.end_log(&mut |incident| keep(incidents, incident, options));
        }
        let log = read_one(&path.to_string_lossy(), &mut file, year, options, &mut explained)?;
        explained.logs.push(log);
    }
    let Explained { story, incidents, .. } = &mut explained;
    story.finish(&mut |incident| keep(incidents, incident, options));
    incidents.sort_by_key(|incident| (incident.time, incident.log, incident.line));
    if options.as_scenario {
        return Ok(match scenario::print(&explained.incidents) {
            Some(text) => launch::print(&text),
            None => {
                let what = "no cause in the log is a scenario of the catalogue; without --as-scenario, the report names the command \
                            that reproduces each cause";
                launch::print_error(&format!("{NAME}: {what}"));
                Exit::Inconclusive
            }
        });
    }
    let printed = launch::print(&render::render(&explained, options));
    Ok(if printed == Exit::Holds { explained.exit() } else { printed })
}

fn keep(incidents: &mut Vec<Incident>, incident: Incident, options: &Options) {
    if incidents.len() < options.incidents_max {
        incidents.push(incident);
    }
}

fn read_one(
    name: &str,
    reader: &mut dyn Read,
    year: i64,
    options: &Options,
    explained: &mut Explained,
) -> Result<Log, RunError> {
    let mut scanner = Scanner::new(options.broker);
    let Explained { story, incidents, .. } = explained;
    let mut take = |line: Line<'_>| {
        let time = LogTime::of_line(line.bytes, &line.found, year);
        story.take(line.number, line.bytes, time, line.found, &mut |incident| {
            keep(incidents, incident, options);
        });
    };
    let mut reader = reader;
    loop {
        match scanner.read(&mut reader, &mut take) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(RunError::Environment(format!("cannot read {name}: {error}"))),
        }
    }
    scanner.finish(&mut take);
    Ok(Log { name: name.to_owned(), broker: scanner.broker(), scanned: scanner.scanned() })
}

/// Opens a log. For times without a year, returns the year of the file's last change.
fn open(path: &Path) -> Result<(File, i64), RunError> {
    let cannot = |error: io::Error| RunError::Environment(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(RunError::Environment(format!(
            "{} is a folder; give the log files in it",
            path.display()
        )));
    }
    let changed = metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    Ok((file, changed.map_or_else(current_year, year_of)))
}

fn current_year() -> i64 {
    year_of(RunClock::start().started())
}

fn year_of(time: jiff::Timestamp) -> i64 {
    time.strftime("%Y").to_string().parse().unwrap_or(1970)
}
