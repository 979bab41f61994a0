//! The files of a record, opened before the run and written as it goes.
//!
//! `run.json` exists from the start and says *partial* until the run has ended, so that a truncated record is
//! readable and says so. The first failed write is kept and reported; the run then ends in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use ungraceful_record::attempt::Attempt;
pub use ungraceful_record::files::{
    ATTEMPTS_NDJSON, BROKER_LOG_NDJSON, METRICS_HLOG, REPORT_HTML, RUN_JSON, TIMELINE_CSV,
};
use ungraceful_record::run::Record;
use ungraceful_record::timeline::Row;

use crate::broker::log::LogByAttempt;
use crate::error::RunError;
use crate::measure::meter::Interval;
use ungraceful_flags::Mistake;

/// Makes a write beyond a limit on file sizes (`ulimit -f`) fail, like one on a full disk: by default the kernel ends
/// the process with SIGXFSZ, without a message and without a record. Programs that this one starts are not affected.
///
/// # Errors
/// When the signal handler can't be set up.
pub fn survive_file_size_limit() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The handler outlives the runtime in which it was set up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _within = runtime.enter();
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// The open files of a record.
pub struct Recorder {
    directory: PathBuf,
    attempts: BufWriter<Box<dyn Write + Send>>,
    timeline: csv::Writer<Box<dyn Write + Send>>,
    intervals: Box<dyn Write + Send>,
    attempts_max: u64,
    written: u64,
    left_out: u64,
    trouble: Option<String>,
    interval_header_written: bool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("directory", &self.directory)
            .field("trouble", &self.trouble)
            .finish()
    }
}

impl Recorder {
    /// Creates the record's folder and opens its files.
    ///
    /// # Errors
    /// [`RunError::Usage`] when the folder can't be written or holds a record already.
    pub fn create(directory: &Path, attempts_max: u64) -> Result<Self, RunError> {
        let usage = |what: String| RunError::Usage(vec![Mistake::new("--output", what)]);
        let unwritable = |error: io::Error| {
            usage(format!(
                "cannot write the record into {}: {error}; choose another folder",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory).map_err(unwritable)?;
        let names = [RUN_JSON, ATTEMPTS_NDJSON, TIMELINE_CSV, METRICS_HLOG, BROKER_LOG_NDJSON, REPORT_HTML];
        if let Some(name) = names.into_iter().find(|name| directory.join(name).exists()) {
            return Err(usage(format!(
                "{} already holds a record ({name}), and a record is never overwritten; choose another folder",
                directory.display()
            )));
        }
        let open = |name: &str| File::create_new(directory.join(name)).map_err(unwritable);
        let (attempts, timeline, intervals) =
            (open(ATTEMPTS_NDJSON)?, open(TIMELINE_CSV)?, open(METRICS_HLOG)?);
        Ok(Self::over(directory, attempts_max, Box::new(attempts), Box::new(timeline), Box::new(intervals)))
    }

    fn over(
        directory: &Path,
        attempts_max: u64,
        attempts: Box<dyn Write + Send>,
        timeline: Box<dyn Write + Send>,
        intervals: Box<dyn Write + Send>,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            attempts: BufWriter::new(attempts),
            timeline: csv::Writer::from_writer(timeline),
            intervals,
            attempts_max,
            written: 0,
            left_out: 0,
            trouble: None,
            interval_header_written: false,
        }
    }

    /// The record's folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Creates the file for the broker's log, which the thread that follows the log writes.
    ///
    /// # Errors
    /// [`RunError::Environment`] when it can't be created.
    pub fn broker_log(&self) -> Result<File, RunError> {
        let path = self.directory.join(BROKER_LOG_NDJSON);
        File::create_new(&path)
            .map_err(|error| RunError::Environment(format!("cannot write {}: {error}", path.display())))
    }

    /// Why the record can't be written any more; absent while it can.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Lines in the attempts file, and attempts left out of it.
    #[must_use]
    pub fn attempts(&self) -> (u64, u64) {
        (self.written, self.left_out)
    }

    fn note(&mut self, file: &str, result: Result<(), impl std::fmt::Display>) {
        if let (Err(error), None) = (result, &self.trouble) {
            self.trouble = Some(format!("cannot write {}: {error}", self.directory.join(file).display()));
        }
    }

    /// Writes one attempt's line, unless the file has its `--attempts-max` lines.
    pub fn attempt(&mut self, attempt: &Attempt) {
        if self.written >= self.attempts_max {
            self.left_out += 1;
            return;
        }
        let line = serde_json::to_string(attempt).map_err(io::Error::from);
        let result = line.and_then(|line| writeln!(self.attempts, "{line}"));
        if result.is_ok() {
            self.written += 1;
        } else {
            self.left_out += 1;
        }
        self.note(ATTEMPTS_NDJSON, result);
    }

    /// Adds to each attempt's line what the broker's log reports of it, after the run: through a second file, so that
    /// there is a readable one at every moment.
    pub(crate) fn add_broker_log(&mut self, by_attempt: &LogByAttempt) {
        let flushed = self.attempts.flush();
        let path = self.directory.join(ATTEMPTS_NDJSON);
        let result = flushed.and_then(|()| {
            replace_whole(&path, |writer| {
                for line in BufReader::new(File::open(&path)?).lines() {
                    write_with_log(&line?, by_attempt, writer)?;
                }
                Ok(())
            })
        });
        self.note(ATTEMPTS_NDJSON, result);
    }

    /// Writes rows of the timeline and flushes everything to disk, so that a crash costs a second.
    pub fn rows(&mut self, rows: &[Row]) {
        for row in rows {
            let result = self.timeline.serialize(row);
            self.note(TIMELINE_CSV, result);
        }
        let result = self.timeline.flush();
        self.note(TIMELINE_CSV, result);
        let result = self.attempts.flush();
        self.note(ATTEMPTS_NDJSON, result);
    }

    /// Writes what was measured in one second as lines of an HdrHistogram interval log.
    pub fn interval_log(&mut self, started: jiff::Timestamp, second: u64, interval: &Interval) {
        let result = interval_log_lines(started, second, interval).and_then(|lines| {
            let skip_header = std::mem::replace(&mut self.interval_header_written, true);
            let is_header = |line: &str| line.starts_with('#') || line.starts_with('"');
            let kept = lines.lines().filter(|line| !(skip_header && is_header(line)));
            let text: String = kept.flat_map(|line| [line, "\n"]).collect();
            self.intervals.write_all(text.as_bytes())?;
            self.intervals.flush()
        });
        self.note(METRICS_HLOG, result);
    }

    /// Writes `run.json` whole, through a second file, so that there is a readable one at every moment.
    pub fn run_json(&mut self, record: &Record) {
        let result = replace_whole(&self.directory.join(RUN_JSON), |writer| {
            serde_json::to_writer_pretty(&mut *writer, record)?;
            writer.write_all(b"\n")
        });
        self.note(RUN_JSON, result);
    }
}

/// Replaces the file as a whole by what `write` writes.
///
/// # Errors
/// When it can't be written; the file is then as it was.
pub fn replace_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // The parent of a bare name is empty.
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let mut writer = BufWriter::new(file.as_file_mut());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    set_readable(file.path())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes an attempt's line with the report of the broker's log as its last field. Parsing whole attempts would take
/// seconds for a million of them.
fn write_with_log(line: &str, by_attempt: &LogByAttempt, writer: &mut dyn Write) -> io::Result<()> {
    let number = line.strip_prefix("{\"attempt\":").and_then(|rest| rest.split(',').next()?.parse().ok());
    let lines = number.and_then(|number| by_attempt.of(number));
    let Some((lines, line)) = lines.zip(line.strip_suffix('}')) else { return writeln!(writer, "{line}") };
    writeln!(writer, "{line},\"broker_log\":{}}}", serde_json::to_string(&lines)?)
}

/// Temporary files are private; a record is for every user who may read its folder.
fn set_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

/// One second as an interval log with its own header: the library writes whole logs only, and a log that is written
/// at the end of a run would be lost with it.
fn interval_log_lines(started: jiff::Timestamp, second: u64, interval: &Interval) -> io::Result<String> {
    let mut serializer = V2DeflateSerializer::new();
    let start = std::time::SystemTime::from(started);
    let mut buffer = Vec::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("recorded in microseconds; one tag per metric and phase; maxima in milliseconds");
    builder.with_start_time(start).with_base_time(start).with_max_value_divisor(1_000.0);
    let mut log = builder.begin_log_with(&mut buffer, &mut serializer)?;
    for (metric, phase, histogram) in interval.histograms.iter() {
        // Such as `reaction_time.fault`.
        let name = format!("{}.{}", metric.name(), phase.name());
        let tag = Tag::new(&name).ok_or_else(|| io::Error::other("a metric's name is no tag"))?;
        log.write_histogram(histogram, Duration::from_secs(second), Duration::from_secs(1), Some(tag))
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    String::from_utf8(buffer).map_err(io::Error::other)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Write};
    use std::path::Path;
    use std::time::Duration;

    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use ungraceful_log_causes::Cause;
    use ungraceful_record::attempt::{Attempt, Case, LoggedCause};
    use ungraceful_record::metric::{Metric, histogram, merge};
    use ungraceful_record::phase::Phase;

    use super::{ATTEMPTS_NDJSON, METRICS_HLOG, RUN_JSON, Recorder};
    use crate::attempts::fault::AttemptLog;
    use crate::broker::log::LogByAttempt;
    use crate::error::RunError;
    use crate::measure::meter::{Interval, Meter};

    fn measured(us: &[u64]) -> Interval {
        let meter = Meter::default();
        for us in us {
            meter.record(Metric::ReactionTime, Phase::Fault, Duration::from_micros(*us));
        }
        meter.record(Metric::LoopLag, Phase::Fault, Duration::from_micros(1));
        meter.take()
    }

    #[test]
    fn an_interval_log_reads_back_as_it_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&folder.path().join("run"), 10).unwrap();
        let (first, second) = (measured(&[5, 700]), measured(&[90_000]));
        recorder.interval_log(jiff::Timestamp::UNIX_EPOCH, 3, &first);
        recorder.interval_log(jiff::Timestamp::UNIX_EPOCH, 4, &second);
        assert_eq!(recorder.trouble(), None);
        let text = std::fs::read_to_string(recorder.directory().join(METRICS_HLOG)).unwrap();
        assert_eq!(text.matches("#[StartTime:").count(), 1, "one header: {text}");
        let mut read = histogram();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            let LogEntry::Interval(line) = entry.unwrap() else { continue };
            if line.tag().unwrap().as_str() != "reaction_time.fault" {
                continue;
            }
            let bytes = decode_base64(line.encoded_histogram());
            merge(&mut read, &Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap());
        }
        let mut whole = first;
        whole.merge(&second);
        assert_eq!(Some(&read), whole.histograms.of(Metric::ReactionTime, Phase::Fault));
    }

    /// The test's own reading of the format, so that it does not trust the library that wrote it.
    fn decode_base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
        for digit in text.bytes().filter(|byte| *byte != b'=') {
            let value = DIGITS.iter().position(|known| *known == digit).unwrap();
            bits = (bits << 6) | u32::try_from(value).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from((bits >> held) & 0xFF).unwrap());
            }
        }
        bytes
    }

    #[test]
    fn a_folder_with_a_file_of_a_record_is_rejected_and_left_as_it_is() {
        for name in [RUN_JSON, ATTEMPTS_NDJSON] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), "precious").unwrap();
            let refused = Recorder::create(folder.path(), 10).unwrap_err();
            assert!(matches!(refused, RunError::Usage(_)), "{refused}");
            assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), "precious");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is left beside it");
        }
    }

    #[test]
    fn the_log_is_added_only_to_the_attempts_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&folder.path().join("run"), 10).unwrap();
        let clock = crate::measure::clock::RunClock::start();
        let case = Case { fault: "f".into(), variant: "v".into(), version: "5.0".into() };
        let attempts: Vec<Attempt> = [2, 0, 11]
            .map(|number| {
                AttemptLog::begin(number, case.clone(), format!("c{number}"), Phase::Fault, 5, &clock).end()
            })
            .to_vec();
        for attempt in &attempts {
            recorder.attempt(attempt);
        }
        let by_attempt = LogByAttempt::of_one(2, Some(Cause::Lost), "Client <client> \"lost\" {");
        recorder.add_broker_log(&by_attempt);
        assert_eq!(recorder.trouble(), None);
        let text = std::fs::read_to_string(recorder.directory().join(ATTEMPTS_NDJSON)).unwrap();
        let read: Vec<Attempt> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut expected = attempts;
        expected[0].broker_log = Some(LoggedCause {
            cause: Some("lost".into()),
            phrase: Some("Client <client> \"lost\" {".into()),
        });
        assert_eq!(read, expected);
    }

    /// A disk with room for so many bytes.
    pub(crate) struct FullAfter(pub(crate) usize);

    impl Write for FullAfter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 < bytes.len() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.0 -= bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_failed_write_is_reported_with_file_and_reason() {
        let mut recorder = Recorder::over(
            Path::new("somewhere"),
            10,
            Box::new(io::sink()),
            Box::new(io::sink()),
            Box::new(FullAfter(500)),
        );
        recorder.interval_log(jiff::Timestamp::UNIX_EPOCH, 0, &measured(&[1]));
        assert_eq!(recorder.trouble(), None);
        recorder.interval_log(jiff::Timestamp::UNIX_EPOCH, 1, &measured(&[1]));
        let trouble = recorder.trouble().unwrap().to_owned();
        assert!(trouble.contains("somewhere/metrics.hlog"), "{trouble}");
        assert!(trouble.contains("no storage space"), "{trouble}");
        recorder.interval_log(jiff::Timestamp::UNIX_EPOCH, 2, &measured(&[1]));
        assert_eq!(recorder.trouble(), Some(trouble.as_str()), "the first trouble is kept");
    }
}
