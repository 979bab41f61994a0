//! Reads a shard, and checks that its files are whole: what was cut short would be missing in the sums.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ungraceful_record::attempt::Attempt;
use ungraceful_record::files::{ATTEMPTS_NDJSON, BROKER_LOG_NDJSON, METRICS_HLOG, TIMELINE_CSV};
use ungraceful_record::intervals;
use ungraceful_record::merge::{Shard, check, unusable};
use ungraceful_record::run::BrokerLogLine;
use ungraceful_record::timeline::Row;
use ungraceful_rig::measure::timeline::read_rows;

use crate::again;

/// Reads a shard from its folder.
///
/// # Errors
/// Why it can't be merged.
pub(super) fn read(path: &Path) -> Result<Shard, String> {
    let record = again::read(path)?;
    if let Some(why) = unusable(&record) {
        return Err(why);
    }
    let started: jiff::Timestamp = record
        .started_utc
        .parse()
        .map_err(|_no_time| format!("its start {:?} is no time", record.started_utc))?;
    let folder = again::folder_of(path);
    let log = log(folder)?;
    let histograms = intervals::whole(&log).map_err(|why| format!("{METRICS_HLOG}: {why}"))?;
    let shard = Shard {
        folder: path.display().to_string(),
        started_us: started.as_microsecond(),
        record,
        histograms,
    };
    check(&shard)?;
    let written = attempts(folder, |_attempt| Ok(()))?;
    if written != shard.record.attempts.written {
        let expected = shard.record.attempts.written;
        return Err(format!("{ATTEMPTS_NDJSON} is cut short: it has {written} of {expected} attempts"));
    }
    rows(folder)?;
    if shard.record.broker_log.is_some() {
        log_lines(folder, |_line| Ok(()))?;
    }
    Ok(shard)
}

/// The text of `metrics.hlog`.
pub(super) fn log(folder: &Path) -> Result<String, String> {
    std::fs::read_to_string(folder.join(METRICS_HLOG)).map_err(|error| format!("{METRICS_HLOG}: {error}"))
}

/// The rows of `timeline.csv`.
pub(super) fn rows(folder: &Path) -> Result<Vec<Row>, String> {
    let file = File::open(folder.join(TIMELINE_CSV)).map_err(|error| format!("{TIMELINE_CSV}: {error}"))?;
    read_rows(BufReader::new(file)).map_err(|why| format!("{TIMELINE_CSV}: {why}"))
}

/// Passes on each attempt of `attempts.ndjson`; returns their number.
pub(super) fn attempts(
    folder: &Path,
    each: impl FnMut(Attempt) -> Result<(), String>,
) -> Result<u64, String> {
    lines(folder, ATTEMPTS_NDJSON, each)
}

/// Passes on each line of `broker-log.ndjson`.
pub(super) fn log_lines(
    folder: &Path,
    each: impl FnMut(BrokerLogLine) -> Result<(), String>,
) -> Result<u64, String> {
    lines(folder, BROKER_LOG_NDJSON, each)
}

fn lines<T: serde::de::DeserializeOwned>(
    folder: &Path,
    name: &str,
    mut each: impl FnMut(T) -> Result<(), String>,
) -> Result<u64, String> {
    let wrong = |why: String| format!("{name}: {why}");
    let file = File::open(folder.join(name)).map_err(|error| wrong(error.to_string()))?;
    let mut number = 0;
    for line in BufReader::new(file).lines() {
        number += 1;
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let read = serde_json::from_str(&line);
        each(read.map_err(|error| wrong(format!("line {number} is cut short or damaged: {error}")))?)?;
    }
    Ok(number)
}
