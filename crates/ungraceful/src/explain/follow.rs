//! Reports incidents as they happen.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use ungraceful_log_causes::command::Seen;
use ungraceful_log_causes::scan::LINE_BYTES_MAX;
use ungraceful_log_causes::story::{Incident, Story};
use ungraceful_log_causes::timestamp::Times;
use ungraceful_log_causes::{Cause, Matcher, explain};
use ungraceful_record::exit::Exit;
use ungraceful_rig::broker::log_follower::{LogFollower, LogLine};
use ungraceful_rig::error::RunError;

use super::document::{self, Block};
use super::flags::Options;
use super::input;
use super::render::{explanation_terms, line_about, reproduce};
use crate::launch;

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_millis(200);
/// Reads without a new line after which pending incidents are reported.
const QUIET_READS: u32 = 10;
/// Maximum bytes of one read.
const BYTES_PER_READ_MAX: u64 = 16 << 20;

/// A log that grows.
enum Source {
    File(Box<LogFollower>),
    /// Standard input, such as of `docker logs -f`: lines from a thread that waits for them.
    Stream(Receiver<io::Result<LogLine>>),
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() != "-" {
            return LogFollower::at_begin(path, LINE_BYTES_MAX)
                .map(|follower| Self::File(Box::new(follower)));
        }
        let (sender, receiver) = sync_channel(1_000);
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Some(line) = next_line(&mut input).transpose() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self::Stream(receiver))
    }

    /// Takes the lines since the last look, and waits for some if there are none. Returns false when there will be no more.
    fn look(&mut self, take: &mut dyn FnMut(LogLine)) -> io::Result<bool> {
        match self {
            Self::File(follower) => {
                let mut has_any = false;
                follower.look(BYTES_PER_READ_MAX, &mut |line| {
                    has_any = true;
                    take(line);
                })?;
                if !has_any {
                    std::thread::sleep(READ_EVERY);
                }
                Ok(true)
            }
            Self::Stream(receiver) => {
                match receiver.recv_timeout(READ_EVERY) {
                    Ok(line) => take(line?),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(false),
                }
                receiver.try_iter().try_for_each(|line| line.map(&mut *take))?;
                Ok(true)
            }
        }
    }
}

/// The next line of a stream, at most [`LINE_BYTES_MAX`] bytes of it; absent at the end.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<LogLine>> {
    let mut bytes = Vec::new();
    if input.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let is_cut = bytes.last() != Some(&b'\n') && bytes.len() > LINE_BYTES_MAX;
    if is_cut {
        input.skip_until(b'\n')?;
        bytes.truncate(LINE_BYTES_MAX);
    }
    Ok(Some(LogLine { text: String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned(), is_cut }))
}

/// Follows the log from its start and reports each incident. Ends when standard output is closed, with the stream, or with the process.
pub(super) fn follow(path: &Path, options: &Options) -> Result<Exit, RunError> {
    let cannot =
        |error: io::Error| RunError::Environment(format!("cannot follow {}: {error}", path.display()));
    let mut source = Source::open(path).map_err(cannot)?;
    let mut matcher = Matcher::new(options.broker);
    let mut story = Story::new(options.limits.clone());
    let mut times = Times::until(input::now());
    let (mut number, mut quiet) = (0, 0);
    let mut explained = BTreeSet::new();
    let mut has_warned = false;
    loop {
        let mut incidents = Vec::new();
        let mut add = |incident| incidents.push(incident);
        let before = number;
        let looked = source.look(&mut |line| {
            number += 1;
            if line.is_cut && !std::mem::replace(&mut has_warned, true) {
                launch::print_error(&format!(
                    "{}: line {number} is longer than {LINE_BYTES_MAX} bytes; the rest of it, and of other such lines, is \
                     ignored",
                    path.display()
                ));
            }
            if let Some(found) = matcher.line(line.text.as_bytes()) {
                let time = times.of(line.text.as_bytes(), &found);
                story.take(number, line.text.as_bytes(), time, found, &mut add);
            }
        });
        let goes_on = looked.map_err(cannot)?;
        quiet = if number > before { 0 } else { quiet + 1 };
        if quiet == QUIET_READS || !goes_on {
            story.finish(&mut add);
        }
        for incident in &incidents {
            if !print_incident(incident, &mut explained) {
                return Ok(Exit::Holds);
            }
        }
        if !goes_on {
            let lacks = match &options.limits.client {
                _ if matcher.leader().is_none() => Some("no line of this log is known".to_owned()),
                Some(client) if story.lines_of_client() == 0 => {
                    Some(format!("no recognised line names the client {client}"))
                }
                _ => None,
            };
            return Ok(match lacks {
                None => Exit::Holds,
                Some(what) => {
                    launch::print_error(&format!("{}: {what}", path.display()));
                    Exit::Inconclusive
                }
            });
        }
    }
}

/// Prints an incident, and the explanation of its cause the first time. Returns false when standard output is closed.
fn print_incident(incident: &Incident, explained: &mut BTreeSet<Cause>) -> bool {
    let mut blocks = vec![Block::Paragraph(format!(
        "{}: {}",
        incident.cause.slug(),
        line_about(incident, (incident.line, None))
    ))];
    if explained.insert(incident.cause) {
        let mut terms = vec![("what".to_owned(), vec![explain(incident.cause).title.to_owned()])];
        terms.extend(explanation_terms(explain(incident.cause), incident.closed_by()));
        let seen = Seen {
            version: incident.version,
            keep_alive_s: incident.keep_alive_s,
            was_connected: incident.was_connected,
            ..Seen::default()
        };
        terms.push(("reproduce".to_owned(), vec![reproduce(incident.cause, &seen)]));
        blocks.push(Block::Terms(terms));
    }
    launch::print_part(&document::text(&blocks))
}
