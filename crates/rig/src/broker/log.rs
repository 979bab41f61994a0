//! The broker's log beside the run: a thread follows the file, keeps its lines in the record and notes which attempts
//! they name. No other thread waits for it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rangemap::RangeInclusiveSet;
use ungraceful_log_causes::story::Connections;
use ungraceful_log_causes::{Cause, Found, Matcher};
use ungraceful_record::attempt::LoggedCause;
use ungraceful_record::run::{BrokerLogLine, BrokerLogRecord, LogCauseRecord};

use crate::broker::log_follower::{LogFollower, LogLine};
use crate::broker::log_phrases::{ClientIds, Phrases};
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::run::stop::{Stop, StopReason};

/// How often the file is read: how late `at_us` of a line may be.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes read at a time, and at the end: a log that grows faster is no longer read line by line.
const BYTES_PER_LOOK_MAX: u64 = 4 << 20;
const BYTES_AT_THE_END_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct LogLinks {
    pub(crate) follower: LogFollower,
    /// `broker-log.ndjson`.
    pub(crate) file: File,
    pub(crate) clock: RunClock,
    pub(crate) stop: Stop,
    pub(crate) client_ids: ClientIds,
    pub(crate) lines_max: u64,
}

/// The running thread; it ends when finished or dropped.
#[derive(Debug)]
pub(crate) struct LogThread {
    thread: JoinHandle<(BrokerLogRecord, LogByAttempt)>,
    over: Sender<()>,
}

impl LogThread {
    pub(crate) fn start(links: LogLinks) -> Result<Self, RunError> {
        let (over, is_over) = channel();
        let thread = std::thread::Builder::new()
            .name("broker-log".to_owned())
            .spawn(move || {
                let LogLinks { follower, file, clock, stop, client_ids, lines_max } = links;
                let mut keeping = Keeping::new(file, client_ids, lines_max);
                let wait = || is_over.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout);
                let record = keeping.follow(follower, wait, || clock.now_us(), &stop);
                (record, keeping.by_attempt)
            })
            .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread, over })
    }

    /// Reads a last time and ends.
    pub(crate) fn finish(self) -> Result<(BrokerLogRecord, LogByAttempt), RunError> {
        drop(self.over);
        self.thread
            .join()
            .map_err(|_panic| RunError::Bug("the thread of the broker's log panicked".to_owned()))
    }
}

#[derive(Debug, Default)]
pub(crate) struct LogByAttempt {
    phrases: Vec<String>,
    /// By attempt number, up to the highest that was named: four bytes each.
    attempts: Vec<AttemptLines>,
}

/// The most specific line about an attempt; without a cause, the last one.
#[derive(Clone, Copy, Debug, Default)]
struct AttemptLines {
    is_named: bool,
    cause: Option<Cause>,
    phrase: Option<u16>,
}

impl LogByAttempt {
    /// What the log reports of this attempt; absent when no line names it.
    pub(crate) fn of(&self, attempt: u64) -> Option<LoggedCause> {
        let lines = self.attempts.get(usize::try_from(attempt).ok()?).filter(|lines| lines.is_named)?;
        let phrase = lines.phrase.and_then(|number| self.phrases.get(usize::from(number)).cloned());
        Some(LoggedCause { cause: lines.cause.map(|cause| cause.slug().to_owned()), phrase })
    }

    /// One line about one attempt.
    #[cfg(test)]
    pub(crate) fn of_one(attempt: u64, cause: Option<Cause>, phrase: &str) -> Self {
        let mut log = Self { phrases: vec![phrase.to_owned()], attempts: Vec::new() };
        log.note(&[attempt], cause, Some(0));
        log
    }

    /// Notes that a line of `phrase` names these attempts.
    fn note(&mut self, attempts: &[u64], cause: Option<Cause>, phrase: Option<u16>) {
        for attempt in attempts.iter().filter_map(|attempt| usize::try_from(*attempt).ok()) {
            if self.attempts.len() <= attempt {
                self.attempts.resize(attempt + 1, AttemptLines::default());
            }
            let lines = &mut self.attempts[attempt];
            let says_more = match (lines.cause, cause) {
                (Some(known), Some(cause)) => known.precision() < cause.precision(),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if says_more {
                *lines = AttemptLines { is_named: true, cause, phrase };
            }
        }
    }
}

struct Keeping<W: Write> {
    file: BufWriter<W>,
    client_ids: ClientIds,
    lines_max: u64,
    record: BrokerLogRecord,
    /// Lines that name no attempt; they may take half of the room: a broker that logs every message would otherwise
    /// fill it with bystanders before the fault.
    others_kept: u64,
    phrases: Phrases,
    named: RangeInclusiveSet<u64>,
    matcher: Matcher,
    connections: Connections,
    by_attempt: LogByAttempt,
    write_error: Option<io::Error>,
}

impl<W: Write> Keeping<W> {
    fn new(file: W, client_ids: ClientIds, lines_max: u64) -> Self {
        Self {
            file: BufWriter::new(file),
            client_ids,
            lines_max,
            record: BrokerLogRecord::default(),
            others_kept: 0,
            phrases: Phrases::default(),
            named: RangeInclusiveSet::new(),
            matcher: Matcher::new(None),
            connections: Connections::default(),
            by_attempt: LogByAttempt::default(),
            write_error: None,
        }
    }

    /// Follows the log while `wait` returns true.
    fn follow(
        &mut self,
        mut follower: LogFollower,
        wait: impl Fn() -> bool,
        now_us: impl Fn() -> u64,
        stop: &Stop,
    ) -> BrokerLogRecord {
        self.record.path = follower.path().to_string_lossy().into_owned();
        let mut read = Ok(());
        while read.is_ok() && wait() {
            read = follower.look(BYTES_PER_LOOK_MAX, &mut |line| self.keep(line, now_us()));
            self.flush(stop);
        }
        self.record.begun_anew = follower.begun_anew();
        let finished =
            read.and_then(|()| follower.finish(BYTES_AT_THE_END_MAX, &mut |line| self.keep(line, now_us())));
        match finished {
            Ok(bytes_unread) => self.record.bytes_unread = bytes_unread,
            Err(error) => self.record.trouble = Some(format!("it could not be read further: {error}")),
        }
        self.flush(stop);
        self.record.attempts_named = self.named.iter().map(|range| range.end() - range.start() + 1).sum();
        self.by_attempt.phrases = self.phrases.by_number();
        self.record.phrases = std::mem::take(&mut self.phrases).most_frequent();
        self.record.causes = most_frequent(&self.by_attempt.attempts);
        std::mem::take(&mut self.record)
    }

    fn keep(&mut self, LogLine { text, is_cut }: LogLine, at_us: u64) {
        let mut attempts = self.client_ids.attempts_named(&text);
        let found = self.recognise(&text);
        // Brokers name the client when a connection begins, and only the connection when it ends.
        if let Some(client) =
            found.as_ref().and_then(|found| found.client.as_ref()).filter(|_| attempts.is_empty())
        {
            attempts = self.client_ids.attempts_of(client, at_us);
        }
        let named =
            found.as_ref().and_then(|found| found.client.as_deref()).filter(|client| !client.is_empty());
        let phrase = match named {
            Some(client) if self.client_ids.varied.is_some() => {
                self.client_ids.phrase(&without_client(&text, client))
            }
            _ => self.client_ids.phrase(&text),
        };
        let cause = found.and_then(|found| {
            let is_incident = found.pattern.effect.is_incident() && !found.cause.is_ordinary();
            is_incident.then_some(found.cause)
        });
        let phrase = self.phrases.count(phrase, attempts.first().copied());
        // On a known broker, a line without a cause is ordinary.
        if cause.is_some() || self.matcher.leader().is_none() {
            self.by_attempt.note(&attempts, cause, phrase);
        }
        self.record.lines_cut += u64::from(is_cut);
        self.record.lines_that_name_an_attempt += u64::from(!attempts.is_empty());
        for attempt in &attempts {
            self.named.insert(*attempt..=*attempt);
        }
        let others_max = self.lines_max.div_ceil(2);
        let is_crowded = attempts.is_empty() && self.others_kept >= others_max;
        if is_crowded || self.record.lines_kept >= self.lines_max || self.write_error.is_some() {
            self.record.lines_left_out += 1;
            return;
        }
        let is_other = attempts.is_empty();
        let cause = cause.map(|cause| cause.slug().to_owned());
        let line = BrokerLogLine { at_us, line: text, attempts, cause };
        let written = serde_json::to_string(&line).map_err(io::Error::from);
        match written.and_then(|line| writeln!(self.file, "{line}")) {
            Ok(()) => {
                self.record.lines_kept += 1;
                self.others_kept += u64::from(is_other);
            }
            Err(error) => {
                self.record.lines_left_out += 1;
                self.write_error = Some(error);
            }
        }
    }

    /// What the line is about, with the client from an earlier line of the same connection.
    fn recognise(&mut self, text: &str) -> Option<Found> {
        let mut found = self.matcher.line(text.as_bytes())?;
        self.connections.follow(&mut found);
        Some(found)
    }

    /// Flushes to disk. On failure the run ends in order, as for every file of the record.
    fn flush(&mut self, stop: &Stop) {
        let flushed = match self.write_error.take() {
            Some(error) => Err(error),
            None => self.file.flush(),
        };
        if let Err(error) = flushed {
            let what = format!("cannot write {}: {error}", crate::measure::recorder::BROKER_LOG_NDJSON);
            stop.raise(StopReason::RecordFailed(what));
            self.write_error = Some(error);
        }
    }
}

/// The line with a placeholder for this client, where it stands as a word. A ClientID that could be a word of the line stays.
fn without_client(line: &str, client: &str) -> String {
    if client.chars().all(char::is_alphabetic) {
        return line.to_owned();
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(client) {
        let (before, after) = (&rest[..at], &rest[at + client.len()..]);
        let is_word = !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        text.push_str(before);
        text.push_str(if is_word { "<client>" } else { client });
        rest = after;
    }
    text + rest
}

/// The causes with the number of their attempts, the most frequent first.
fn most_frequent(attempts: &[AttemptLines]) -> Vec<LogCauseRecord> {
    let mut causes: Vec<LogCauseRecord> = Vec::new();
    for (attempt, cause) in (0..).zip(attempts.iter().map(|lines| lines.cause)) {
        let Some(cause) = cause.map(|cause| cause.slug()) else { continue };
        match causes.iter_mut().find(|known| known.cause == cause) {
            Some(known) => known.attempts += 1,
            None => {
                causes.push(LogCauseRecord {
                    cause: cause.to_owned(),
                    attempts: 1,
                    example_attempt: attempt,
                });
            }
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.attempts));
    causes
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use ungraceful_record::run::{BrokerLogLine, BrokerLogRecord};

    use super::Keeping;
    use crate::broker::log_follower::LogFollower;
    use crate::broker::log_phrases::tests::ids;
    use crate::measure::recorder::tests::FullAfter;
    use crate::run::stop::{Stop, StopReason};

    /// Appends each of `looks` before one look, and follows until the last.
    fn follow<W: Write>(keeping: &mut Keeping<W>, looks: &[&str], stop: &Stop) -> BrokerLogRecord {
        let file = tempfile::NamedTempFile::new().unwrap();
        let follower = LogFollower::at_end(file.path()).unwrap();
        let looked = Cell::new(0);
        let wait = || {
            let Some(text) = looks.get(looked.get()) else { return false };
            file.as_file().write_all(text.as_bytes()).unwrap();
            looked.set(looked.get() + 1);
            true
        };
        let now_us = || looked.get() as u64 * 1_000;
        keeping.follow(follower, wait, now_us, stop)
    }

    fn lines(written: &[u8]) -> Vec<BrokerLogLine> {
        let text = std::str::from_utf8(written).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_kept_with_their_time_and_attempts() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 100);
        let looks = [
            "1: hello ugabc00x000001\n",
            "2: \u{1b}[31mred\n3: hello ugabc00x000002b\n",
            "4: hello ugabc00x000001\nthe e",
        ];
        let record = follow(&mut keeping, &looks, &Stop::default());
        let line = |at_us, line: &str, attempts: &[u64]| BrokerLogLine {
            at_us,
            line: line.to_owned(),
            attempts: attempts.to_vec(),
            cause: None,
        };
        let expected = [
            line(1_000, "1: hello ugabc00x000001", &[1]),
            line(2_000, "2: \u{1b}[31mred", &[]),
            line(2_000, "3: hello ugabc00x000002b", &[2]),
            line(3_000, "4: hello ugabc00x000001", &[1]),
            line(3_000, "the e", &[]),
        ];
        assert_eq!(lines(keeping.file.get_ref()), expected);
        assert_eq!((record.lines_kept, record.lines_left_out, record.bytes_unread), (5, 0, 0));
        assert_eq!((record.lines_that_name_an_attempt, record.attempts_named), (3, 2));
        let phrase = &record.phrases[0];
        assert_eq!((&*phrase.phrase, phrase.lines, phrase.example_attempt), ("hello <client>", 3, Some(1)));
        assert_eq!(record.trouble, None);
    }

    #[test]
    fn lines_that_are_left_out_are_still_counted() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 2);
        let looks = [&*"hello ugabc00x000007\n".repeat(3), "hello ugabc00x000008\n"];
        let record = follow(&mut keeping, &looks, &Stop::default());
        assert_eq!(lines(keeping.file.get_ref()).len(), 2);
        assert_eq!((record.lines_kept, record.lines_left_out), (2, 2));
        assert_eq!((record.lines_that_name_an_attempt, record.attempts_named), (4, 2));
        assert_eq!(record.phrases[0].lines, 4);
    }

    #[test]
    fn lines_without_an_attempt_take_half_of_the_room() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 5);
        let looks = [&*"PUBLISH\n".repeat(9), &"hello ugabc00x000007\n".repeat(3), "PUBLISH\n"];
        let record = follow(&mut keeping, &looks, &Stop::default());
        let kept: Vec<bool> =
            lines(keeping.file.get_ref()).iter().map(|line| line.attempts.is_empty()).collect();
        assert_eq!(kept, [true, true, true, false, false]);
        assert_eq!((record.lines_kept, record.lines_left_out), (5, 8));
    }

    #[test]
    fn each_attempt_has_the_cause_of_its_most_specific_line() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 100);
        let looks = [
            "1: New client connected from 127.0.0.1:1 as ugabc00x000001 (p2, c1, k60).\n",
            "2: Client ugabc00x000001 closed its connection.\n3: Client ugabc00x000003 closed its connection.\n",
            "4: Bad client ugabc00x000002 sending multiple CONNECT messages.\n",
            "5: Client ugabc00x000002 disconnected due to protocol error.\n",
            "6: Bad client ugabc00x000001 sending multiple CONNECT messages.\n7: hello ugabc00x000009\n",
        ];
        let record = follow(&mut keeping, &looks, &Stop::default());
        let causes: Vec<Option<String>> =
            lines(keeping.file.get_ref()).into_iter().map(|line| line.cause).collect();
        let [lost, second, general] =
            ["lost", "double-connect", "protocol-error"].map(|cause| Some(cause.to_owned()));
        assert_eq!(causes, [None, lost.clone(), lost, second.clone(), general, second, None]);
        let causes: Vec<_> =
            record.causes.iter().map(|seen| (&*seen.cause, seen.attempts, seen.example_attempt)).collect();
        assert_eq!(causes, [("double-connect", 2, 1), ("lost", 1, 3)]);
        let of = |attempt| {
            keeping.by_attempt.of(attempt).map(|seen| (seen.cause.unwrap_or_default(), seen.phrase.unwrap()))
        };
        let second = |attempt| {
            assert_eq!(of(attempt).unwrap().0, "double-connect");
            of(attempt).unwrap().1
        };
        assert_eq!(second(1), "Bad client <client> sending multiple CONNECT messages.");
        assert_eq!(second(2), "Bad client <client> sending multiple CONNECT messages.");
        assert_eq!(of(3), Some(("lost".into(), "Client <client> closed its connection.".into())));
        assert_eq!([0, 4, 9, 10_000].map(of), [None, None, None, None]);
    }

    #[test]
    fn a_line_that_names_a_connection_belongs_to_its_attempt() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 100);
        let at = "2026-11-24 23:14:04.112501+00:00";
        let begin = |process: u32, attempt: u32| {
            format!(
                "{at} [info] <0.{process}.0> accepting MQTT connection <0.{process}.0> (127.0.0.1:{process} -> 127.0.0.1:1883, client id: ugabc00x{attempt:06x})\n"
            )
        };
        let lapse = format!(
            "{at} [error] <0.890.0> closing MQTT connection \"127.0.0.1:890 -> 127.0.0.1:1883\" (keepalive timeout)\n"
        );
        let record = follow(&mut keeping, &[&begin(890, 5), &begin(891, 6), &lapse], &Stop::default());
        assert_eq!((record.attempts_named, record.lines_that_name_an_attempt), (2, 3));
        assert_eq!(keeping.by_attempt.of(5).unwrap().cause.as_deref(), Some("keep-alive"));
        assert_eq!(keeping.by_attempt.of(6), None);
        assert_eq!(lines(keeping.file.get_ref())[2].attempts, [5]);
    }

    #[test]
    fn on_an_unknown_broker_each_attempt_has_its_last_line() {
        let mut keeping = Keeping::new(Vec::new(), ids(), 100);
        let look = "hello ugabc00x000001\nfarewell ugabc00x000001\nhello unknown\n";
        follow(&mut keeping, &[look], &Stop::default());
        let seen = keeping.by_attempt.of(1).unwrap();
        assert_eq!((seen.cause, seen.phrase.as_deref()), (None, Some("farewell <client>")));
        assert_eq!(keeping.by_attempt.of(0), None);
    }

    #[test]
    fn a_log_file_that_cannot_be_written_stops_the_run() {
        let stop = Stop::default();
        follow(&mut Keeping::new(FullAfter(0), ids(), 100), &["one\n", "two\n"], &stop);
        let Some(StopReason::RecordFailed(what)) = stop.reason() else { panic!("{:?}", stop.reason()) };
        assert!(what.contains("broker-log.ndjson") && what.contains("no storage space"), "{what}");
    }
}
