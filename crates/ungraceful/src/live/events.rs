//! `--events`: what happens in a run, as JSON Lines. `record::event` has their format.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;
use ungraceful_flags::Mistake;
use ungraceful_record::event::{
    EVENTS_VERSION, Event, Note, PhaseBegan, PhaseEnded, RunEnded, RunStarted, Timed,
};
use ungraceful_record::exit::Exit;
use ungraceful_record::live::Live;
use ungraceful_record::phase::Phase;
use ungraceful_record::scale::micros;
use ungraceful_record::verdict::exit_of;
use ungraceful_report::escape;
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::settings::{Common, Finished};
use ungraceful_wire::clock::now;

use super::line_writer::LineWriter;
use crate::cli::common::{OutputArgs, is_stdout};
use crate::cli::passwords;
use crate::launch::print_error;
use crate::{junit_file, print_plan};

/// The opened file of events, or standard output.
pub(super) struct EventStream {
    path: PathBuf,
    lines: LineWriter,
}

/// Reports a file that can't be written, or that is another output or an input of the call. Changes nothing in it.
pub(crate) fn check(output: &OutputArgs, inputs: &[PathBuf], mistakes: &mut Vec<Mistake>) {
    let Some(path) = output.events.as_ref().filter(|path| !output.only_prints() && !is_stdout(path)) else {
        return;
    };
    let same = |other: &Path| {
        other == path.as_path()
            || matches!((other.canonicalize(), path.canonicalize()), (Ok(other), Ok(path)) if other == path)
    };
    if output.junit.as_deref().is_some_and(same) {
        let what = format!("{} is the file of --junit; name another file", path.display());
        mistakes.push(Mistake::new("--events", what));
        return;
    }
    if inputs.iter().any(|input| same(input)) {
        let what = format!(
            "{} is read by this call, and the events would replace it; name another file",
            path.display()
        );
        mistakes.push(Mistake::new("--events", what));
        return;
    }
    junit_file::check_writable("--events", path, mistakes);
}

impl EventStream {
    /// Opens and empties the file that the flag names; absent without the flag.
    pub(super) fn open(output: &OutputArgs) -> Result<Option<Self>, RunError> {
        let Some(path) = &output.events else { return Ok(None) };
        let opened = if is_stdout(path) {
            LineWriter::start(std::io::stdout())
        } else {
            let mistake = |error| RunError::Usage(vec![junit_file::cannot_write("--events", path, &error)]);
            LineWriter::start(File::create(path).map_err(mistake)?)
        };
        let lines =
            opened.map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        Ok(Some(Self { path: path.clone(), lines }))
    }

    /// Waits until all events are written. A failure is printed, and an error of the environment.
    pub(super) fn close(self) -> Exit {
        let Self { path, lines } = self;
        match lines.close() {
            Ok(()) => Exit::Holds,
            Err(error) => {
                let path = path.display();
                print_error(&format!("--events: cannot write {path}: {error}; the events are not complete"));
                Exit::Environment
            }
        }
    }
}

/// The zero of a run's events.
#[derive(Clone, Copy)]
struct Zero {
    origin: Instant,
    started_us: i64,
}

/// The events of one run.
pub(super) struct RunEvents<'a> {
    stream: &'a EventStream,
    /// Absent once it is written.
    started: Option<RunStarted>,
    zero: Option<Zero>,
    /// The phase under way, and when it began.
    phase: Option<(Phase, u64)>,
    second: Option<u64>,
    dropped: u64,
}

impl<'a> RunEvents<'a> {
    pub(super) fn of(stream: &'a EventStream, common: &Common, plan: Value) -> Self {
        let started = RunStarted {
            events_version: EVENTS_VERSION,
            tool: common.tool.name.clone(),
            mode: common.tool.mode.clone(),
            version: common.tool.version.clone(),
            target: print_plan::target(&common.target),
            seed: common.seed.0,
            command: common.command.clone(),
            plan,
        };
        Self { stream, started: Some(started), zero: None, phase: None, second: None, dropped: 0 }
    }

    pub(super) fn begin(&mut self, origin: Instant, started_us: i64) {
        self.zero = Some(Zero { origin, started_us });
        if let Some(started) = self.started.take() {
            self.offer(0, started, Event::RunStarted);
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        let note = Note { text: passwords::redacted(text) };
        self.offer(self.now_us(), note, Event::Note);
    }

    pub(super) fn view(&mut self, live: &Live) {
        if let Some(phase) = live.phase
            && self.phase.is_none_or(|(before, _)| before != phase)
        {
            self.end_phase(live.phase_began_us);
            self.phase = Some((phase, live.phase_began_us));
            let began = PhaseBegan { phase, expected_us: live.phase_expected_us };
            self.offer(live.phase_began_us, began, Event::PhaseBegan);
        }
        if live.second != self.second {
            self.second = live.second;
            self.offer(self.now_us(), Box::new(live.clone()), Event::Second);
        }
    }

    /// The last events of the run.
    pub(super) fn end(mut self, result: &Result<Finished, RunError>) {
        if self.zero.is_none() {
            // It failed before its time line began.
            let clock = RunClock::start();
            self.begin(clock.origin(), clock.started().as_microsecond());
        }
        let record = result.as_ref().ok().map(|finished| &finished.record);
        let last = record.and_then(|record| record.phases.last());
        self.end_phase(last.map_or_else(|| self.now_us(), |phase| phase.ended_us));
        for verdict in record.iter().flat_map(|record| &record.verdicts) {
            self.give(Box::new(verdict.clone()), Event::Verdict);
        }
        let mut ended = match result {
            Ok(Finished { record, directory }) => RunEnded {
                exit: exit_of(record).into(),
                completeness: Some(record.completeness),
                reason: record.incomplete_because.clone(),
                record_dir: Some(directory.display().to_string()),
                events_dropped: 0,
            },
            Err(error) => RunEnded {
                exit: error.exit().into(),
                completeness: None,
                reason: Some(passwords::redacted(&error.to_string())),
                record_dir: None,
                events_dropped: 0,
            },
        };
        ended.events_dropped = self.dropped;
        self.give(ended, Event::RunEnded);
    }

    fn end_phase(&mut self, at_us: u64) {
        if let Some((phase, began_us)) = self.phase.take() {
            let ended = PhaseEnded { phase, lasted_us: at_us.saturating_sub(began_us) };
            self.offer(at_us, ended, Event::PhaseEnded);
        }
    }

    fn now_us(&self) -> u64 {
        self.zero.map_or(0, |zero| micros(now().saturating_duration_since(zero.origin)))
    }

    /// Writes an event unless its reader is too slow.
    fn offer<T>(&mut self, at_us: u64, event: T, kind: fn(Timed<T>) -> Event) {
        let line = self.line(at_us, event, kind);
        self.dropped += u64::from(!self.stream.lines.offer(line));
    }

    /// Writes an event of the run's end, for which nothing has to be on time any more.
    fn give<T>(&self, event: T, kind: fn(Timed<T>) -> Event) {
        self.stream.lines.give(self.line(self.now_us(), event, kind));
    }

    fn line<T>(&self, at_us: u64, event: T, kind: fn(Timed<T>) -> Event) -> String {
        let started_us = self.zero.map_or(0, |zero| zero.started_us);
        let unix_us = started_us.saturating_add(i64::try_from(at_us).unwrap_or(i64::MAX));
        let time = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let event = kind(Timed { at_us, time, event });
        let text = serde_json::to_string(&event).expect("events have only text keys");
        escape::json(&text) + "\n"
    }
}
