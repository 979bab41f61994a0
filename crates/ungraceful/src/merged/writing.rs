//! Writes the files of a merged record with the recorder that writes those of a run. Shards are only read.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use ungraceful_record::confidence::{Confidence, Watched};
use ungraceful_record::intervals::{Line, lines};
use ungraceful_record::load::LoadRecord;
use ungraceful_record::merge::{Place, Shard, logging_shard, watching_shard};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::Record;
use ungraceful_record::timeline::Row;
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::Interval;
use ungraceful_rig::measure::recorder::Recorder;
use ungraceful_rig::measure::timeline::{Sampled, counters, rows};

use super::reading;
use crate::again::folder_of;

/// Writes the files of `record`, which was merged of these shards, into a new folder.
pub(super) fn write(record: &Record, shards: &[Shard], output: &Path) -> Result<(), RunError> {
    let mut recorder = Recorder::create(output, u64::MAX)?;
    let places = Place::of_each(shards);
    let placed = || shards.iter().zip(&places);
    for (shard, place) in placed() {
        let copied = reading::attempts(folder(shard), |attempt| {
            recorder.attempt(&place.attempt(attempt));
            Ok(())
        });
        copied.map_err(|why| changed(shard, &why))?;
    }
    if let Some((shard, place)) = logging_shard(shards).and_then(|number| placed().nth(number)) {
        write_log(&recorder, shard, place)?;
    }
    write_seconds(record, shards, &places, &mut recorder)?;
    recorder.run_json(record);
    match recorder.trouble() {
        None => Ok(()),
        Some(trouble) => Err(RunError::Environment(trouble.to_owned())),
    }
}

fn folder(shard: &Shard) -> &Path {
    folder_of(Path::new(&shard.folder))
}

/// The shard was whole a moment ago.
fn changed(shard: &Shard, why: &str) -> RunError {
    RunError::Environment(format!("{} changed while it was merged: {why}", shard.folder))
}

fn write_log(recorder: &Recorder, shard: &Shard, place: &Place) -> Result<(), RunError> {
    let mut log = BufWriter::new(recorder.broker_log()?);
    let copied = reading::log_lines(folder(shard), |line| {
        let text = serde_json::to_string(&place.log_line(line)).map_err(|error| error.to_string())?;
        writeln!(log, "{text}").map_err(|error| error.to_string())
    });
    copied.map_err(|why| changed(shard, &why))?;
    log.flush().map_err(|error| RunError::Environment(format!("cannot write the broker's log: {error}")))
}

/// How sure the percentile is that `--until` named, over the seconds of all shards; absent unless each shard has the same.
pub(super) fn confidence(record: &Record, shards: &[Shard]) -> Result<Option<Confidence>, RunError> {
    let asked = |shard: &Shard| Some(shard.record.load.as_ref()?.confidence.as_ref()?.asked.clone());
    let Some(first) = shards.first().and_then(asked) else { return Ok(None) };
    if shards.iter().any(|shard| asked(shard).as_ref() != Some(&first)) {
        return Ok(None);
    }
    let until = first.parse().map_err(|why| RunError::Environment(format!("--until: {why}")))?;
    let (mut watched, logs) = (Watched::new(until), logs(shards)?);
    let mut seconds: BTreeMap<u64, Vec<Line<'_>>> = BTreeMap::new();
    for ((shard, place), log) in shards.iter().zip(Place::of_each(shards)).zip(&logs) {
        for line in lines(log) {
            let line = line.map_err(|why| changed(shard, &why))?;
            if line.phase == Phase::Load {
                seconds.entry(place.second(line.second)).or_default().push(line);
            }
        }
    }
    for (second, lines) in seconds {
        let interval = interval(&Second { lines, rows: Vec::new() }).map_err(RunError::Environment)?;
        watched.add(second, &interval.histograms);
    }
    let lasted_us = record.load.as_ref().and_then(LoadRecord::counted_us).unwrap_or(0);
    Ok(Some(watched.confidence(lasted_us / 1_000_000)))
}

fn logs(shards: &[Shard]) -> Result<Vec<String>, RunError> {
    shards.iter().map(|shard| reading::log(folder(shard)).map_err(|why| changed(shard, &why))).collect()
}

/// One second of all shards.
#[derive(Default)]
struct Second<'l> {
    lines: Vec<Line<'l>>,
    rows: Vec<(usize, Row)>,
}

/// Writes `timeline.csv` and `metrics.hlog`, a second after another: decoded histograms of a whole run would need too much memory.
fn write_seconds(
    record: &Record,
    shards: &[Shard],
    places: &[Place],
    recorder: &mut Recorder,
) -> Result<(), RunError> {
    let logs = logs(shards)?;
    let mut seconds: BTreeMap<u64, Second<'_>> = BTreeMap::new();
    for (number, ((shard, place), log)) in shards.iter().zip(places).zip(&logs).enumerate() {
        for line in lines(log) {
            let line = line.map_err(|why| changed(shard, &why))?;
            seconds.entry(place.second(line.second)).or_default().lines.push(line);
        }
        for row in reading::rows(folder(shard)).map_err(|why| changed(shard, &why))? {
            seconds.entry(place.second(row.second)).or_default().rows.push((number, row));
        }
    }
    let started = record
        .started_utc
        .parse()
        .map_err(|_no_time| RunError::Bug(format!("the start {:?} is no time", record.started_utc)))?;
    let watching = watching_shard(shards);
    for (second, of_second) in &seconds {
        let interval = interval(of_second).map_err(RunError::Environment)?;
        recorder.rows(&rows(*second, &interval, sampled(&of_second.rows, watching)));
        recorder.interval_log(started, *second, &interval);
    }
    Ok(())
}

/// What one recorder had measured in this second.
fn interval(second: &Second<'_>) -> Result<Interval, String> {
    let mut interval = Interval::default();
    for line in &second.lines {
        interval.histograms.add(line.metric, line.phase, line.histogram()?);
    }
    for (_shard, row) in &second.rows {
        *interval.counters.entry(row.phase).or_default() += &counters(row);
    }
    Ok(interval)
}

/// Open connections of all shards, and the broker's process as the shard with this number saw it. The rows of several phases in one
/// second of a shard have the same samples.
fn sampled(rows: &[(usize, Row)], watching: Option<usize>) -> Sampled {
    let mut open: BTreeMap<usize, u64> = BTreeMap::new();
    for (shard, row) in rows {
        let known = open.entry(*shard).or_default();
        *known = row.connections_open.max(*known);
    }
    let broker = rows.iter().find(|(shard, _)| Some(*shard) == watching).map(|(_, row)| row);
    Sampled {
        connections_open: open.values().sum(),
        broker_cpu_us: broker.and_then(|row| row.broker_cpu_us),
        broker_rss_bytes: broker.and_then(|row| row.broker_rss_bytes),
        broker_descriptors: broker.and_then(|row| row.broker_descriptors),
    }
}
