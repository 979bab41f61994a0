//! `ungraceful-explain`: from a line of a broker's log to the cause, a reproduction and the fix.
//!
//! It reads logs, connects nowhere and writes no record.

mod document;
mod flags;
mod follow;
mod input;
mod json;
mod over_time;
mod reference;
mod render;
mod scenario;
mod signs;
mod summary;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use flags::{ExplainArgs, Options, Wanted};
use ungraceful_flags::{Mistake, collecting, with_environment};
use ungraceful_log_causes::scan::{Line, Scanned, Scanner};
use ungraceful_log_causes::story::{Incident, Story};
use ungraceful_log_causes::timestamp::Times;
use ungraceful_log_causes::{Broker, UnknownLines};
use ungraceful_record::exit::Exit;
use ungraceful_rig::error::RunError;

use crate::cli::help;
use crate::launch;

/// The binary's name.
pub const NAME: &str = "ungraceful-explain";
/// The question it answers.
pub const QUESTION: &str =
    "Why was the client disconnected? From a broker's log to the cause, a reproduction and a fix";

/// The command line.
#[must_use]
pub fn command() -> Command {
    let command = help::with_flags(Command::new(NAME).version(env!("CARGO_PKG_VERSION")));
    let command = with_environment(ExplainArgs::augment_args(command));
    command.about(QUESTION).long_about(format!(
        "{QUESTION}.\n\nReads the logs of {}: plain text or JSON, with or without the prefixes of journald and containers, \
         compressed by gzip, Zstandard or xz, in UTF-8 or UTF-16. Parts of one log, such as broker.log.1 and broker.log, are read in \
         the order of their times. Lines that belong together are one incident. For each cause it reports who closed the connection, what the \
         standard says, the usual reasons, how to distinguish them, a command that reproduces it, and the fix. Sends \
         nothing and needs no broker.",
        names()
    ))
    .after_long_help(exit_codes())
}

/// The exit codes of all tools, with their meaning here.
fn exit_codes() -> String {
    let when = |exit: Exit| match exit {
        Exit::Holds => "the logs were read to their end, with or without incidents",
        Exit::Violated => "never: logs are not judged",
        Exit::Usage => "invalid usage; nothing was read",
        Exit::Inconclusive => {
            "no line was recognised, or fewer than half of those that look like events; or no line names the client of --client"
        }
        Exit::Environment => "a log can't be read",
        Exit::Bug => "a defect of this program",
        Exit::Interrupted => "interrupted",
    };
    launch::exit_codes(when)
}

fn names() -> String {
    let names: Vec<&str> = Broker::ALL.iter().map(|broker| broker.name()).collect();
    names.join(", ")
}

/// Runs the tool.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    launch::begin(NAME);
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (matches, mistakes) =
        collecting(|| help::for_call(command(), &arguments).try_get_matches_from(&arguments));
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

/// A log that was read: one file, or the parts of one that was rotated.
#[derive(Clone, Debug)]
struct Log {
    name: String,
    broker: Option<Broker>,
    scanned: Scanned,
    /// The files, each with the number of lines before it.
    parts: Vec<(String, u64)>,
    /// Lines that were not recognised and tell of trouble, by shape.
    unknown: Vec<UnknownLines>,
    /// Recognised lines without a time that is understood.
    untimed: u64,
}

impl Log {
    /// Lines that look like events: those that were recognised, and those that tell of trouble.
    const fn events(&self) -> u64 {
        self.scanned.recognised + self.scanned.unknown
    }
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
        let listed: u64 = self.incidents.iter().map(|incident| incident.occurrences).sum();
        self.story.picture().incidents - listed
    }

    /// The log's name, where there are several logs.
    fn log_name(&self, log: usize) -> Option<&str> {
        self.logs.get(log).filter(|_| self.logs.len() > 1).map(|log| log.name.as_str())
    }

    /// The line in its file; and the file's name, where there are several files.
    fn place(&self, log: usize, line: u64) -> (u64, Option<&str>) {
        let is_one = self.logs.len() == 1 && self.logs.iter().all(|log| log.parts.len() == 1);
        let part = self.logs.get(log).and_then(|log| log.parts.iter().rfind(|(_, before)| *before < line));
        part.map_or((line, None), |(name, before)| (line - before, Some(name.as_str()).filter(|_| !is_one)))
    }

    /// Recognised lines, and lines that look like events.
    fn coverage(&self) -> (u64, u64) {
        let sum = |count: fn(&Log) -> u64| self.logs.iter().map(count).sum();
        (sum(|log| log.scanned.recognised), sum(Log::events))
    }

    /// Whether the client of `--client` is in no recognised line.
    fn lacks_its_client(&self, options: &Options) -> bool {
        options.limits.client.is_some() && self.story.lines_of_client() == 0
    }

    /// Why `--since` and `--until` leave nothing to report on; absent when they leave something.
    fn lacks_its_time(&self, options: &Options) -> Option<String> {
        let timed = self.story.timed();
        let (first, last) = timed.span?;
        let limits = [("--since", options.limits.since), ("--until", options.limits.until)];
        let unlike = limits
            .iter()
            .find(|(_, limit)| limit.is_some_and(|limit| limit.is_without_day() != last.is_without_day()));
        if let Some((flag, _)) = unlike {
            let what = if last.is_without_day() {
                "the log names no day: give a time of day"
            } else {
                "the log has dates: give one"
            };
            return Some(format!(
                "{flag} can't be compared with the times of this log; {what}, such as {first}"
            ));
        }
        (timed.within == 0).then(|| {
            format!("no recognised line is between --since and --until: those of this log are from {first} to {last}")
        })
    }

    fn exit(&self, options: &Options) -> Exit {
        let (recognised, events) = self.coverage();
        let is_known = recognised > 0
            && recognised * 2 >= events
            && !self.lacks_its_client(options)
            && self.lacks_its_time(options).is_none();
        if is_known { Exit::Holds } else { Exit::Inconclusive }
    }
}

fn read(paths: &[PathBuf], options: &Options) -> Result<Exit, RunError> {
    let mut explained =
        Explained { logs: Vec::new(), story: Story::new(options.limits.clone()), incidents: Vec::new() };
    if paths.is_empty() {
        read_log(vec![("standard input".to_owned(), input::standard()?)], options, &mut explained)?;
    }
    if let Some(twice) = input::given_twice(paths) {
        let what = format!("{} is given twice: its lines would count twice", twice.display());
        return Err(RunError::Usage(vec![Mistake::new("FILE", what)]));
    }
    for (number, group) in input::parts(paths).into_iter().enumerate() {
        // All are opened first: a missing file is told before the others are read for minutes.
        let open = |path: &PathBuf| Ok((path.to_string_lossy().into_owned(), input::open(path)?));
        let parts = group.iter().map(open).collect::<Result<Vec<_>, RunError>>()?;
        if number > 0 {
            let Explained { story, incidents, .. } = &mut explained;
            story.end_log(&mut |incident| keep(incidents, incident, options));
        }
        read_log(parts, options, &mut explained)?;
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
    Ok(if printed == Exit::Holds { explained.exit(options) } else { printed })
}

fn keep(incidents: &mut Vec<Incident>, incident: Incident, options: &Options) {
    if incidents.len() < options.incidents_max {
        incidents.push(incident);
    }
}

/// Reads the parts of one log, the oldest first.
fn read_log(
    parts: Vec<(String, input::Input)>,
    options: &Options,
    explained: &mut Explained,
) -> Result<(), RunError> {
    let mut log = Log {
        name: parts.last().map(|(name, _)| name.clone()).unwrap_or_default(),
        broker: options.broker,
        scanned: Scanned::default(),
        parts: Vec::new(),
        unknown: Vec::new(),
        untimed: 0,
    };
    let Explained { story, incidents, .. } = &mut *explained;
    for (name, input) in parts {
        let before = log.scanned.lines;
        let mut scanner = Scanner::new(log.broker);
        let mut times = Times::until(input.latest);
        let mut take = |line: Line<'_>| {
            let time = times.of(line.bytes, &line.found);
            story.take(before + line.number, line.bytes, time, line.found, &mut |incident| {
                keep(incidents, incident, options);
            });
        };
        let mut reader = input.reader;
        loop {
            match scanner.read(&mut reader, &mut take) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(RunError::Environment(format!("cannot read {name}: {error}"))),
            }
        }
        scanner.finish(&mut take);
        log.broker = scanner.broker();
        log.scanned += scanner.scanned();
        log.untimed += times.untimed();
        log.unknown
            .extend(scanner.unknown().into_iter().map(|of| UnknownLines { first: before + of.first, ..of }));
        log.parts.push((name, before));
    }
    log.unknown.sort_by_key(|of| (std::cmp::Reverse(of.lines), of.first));
    explained.logs.push(log);
    Ok(())
}
