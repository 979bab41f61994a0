//! The histograms of a record, second by second, as `metrics.hlog` has them (HdrHistogram interval log, V2).

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use crate::encoded::decoded;
use crate::metric::{Histograms, Metric, Percentiles, histogram, merge};
use crate::phase::Phase;

/// One histogram of the log: of one metric in one second of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The metric.
    pub metric: Metric,
    /// The phase.
    pub phase: Phase,
    /// The second since the run's start.
    pub second: u64,
    /// What was measured.
    pub histogram: Histogram<u64>,
}

/// A line whose histogram is still encoded: a log of an hour has thousands of them.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l> {
    /// The metric.
    pub metric: Metric,
    /// The phase.
    pub phase: Phase,
    /// The second since the run's start.
    pub second: u64,
    encoded: &'l str,
}

impl Line<'_> {
    /// The histogram.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn histogram(&self) -> Result<Histogram<u64>, String> {
        decoded(self.encoded)
    }
}

/// Every line of a log with a known metric and phase, in its order.
///
/// # Errors
/// What is wrong with the log, at the first line that can't be read.
pub fn lines(log: &str) -> impl Iterator<Item = Result<Line<'_>, String>> {
    IntervalLogIterator::new(log.as_bytes()).filter_map(|entry| match entry {
        Ok(LogEntry::Interval(interval)) => line(&interval).map(Ok),
        Ok(_) => None,
        Err(_) => Some(Err("it is cut short or damaged, or no interval log of HdrHistogram".to_owned())),
    })
}

/// Absent for a metric or phase that this version does not know.
fn line<'l>(interval: &IntervalLogHistogram<'l>) -> Option<Line<'l>> {
    let tag = interval.tag()?;
    let (metric, phase) = tag.as_str().split_once('.')?;
    Some(Line {
        metric: metric.parse().ok()?,
        phase: phase.parse().ok()?,
        second: interval.start_timestamp().as_secs(),
        encoded: interval.encoded_histogram(),
    })
}

/// Every histogram of a log, in its order.
///
/// # Errors
/// What is wrong with the log, at the first line that can't be read.
pub fn intervals(log: &str) -> impl Iterator<Item = Result<Interval, String>> {
    lines(log).map(|line| {
        let line = line?;
        let histogram = line.histogram()?;
        Ok(Interval { metric: line.metric, phase: line.phase, second: line.second, histogram })
    })
}

/// The histograms of the whole log: of all its seconds together.
///
/// # Errors
/// What is wrong with the log.
pub fn whole(log: &str) -> Result<Histograms, String> {
    let mut whole = Histograms::default();
    for line in lines(log) {
        let line = line?;
        whole.add(line.metric, line.phase, line.histogram()?);
    }
    Ok(whole)
}

/// The distributions of `count` equal parts of the time in which faults or load acted, for each metric. Parts without samples are
/// left out.
///
/// # Errors
/// What is wrong with the log.
pub fn batches(log: &str, count: u64) -> Result<BTreeMap<Metric, Vec<Percentiles>>, String> {
    let acts = |line: &Line<'_>| matches!(line.phase, Phase::Fault | Phase::Load);
    let mut span: BTreeMap<Metric, (u64, u64)> = BTreeMap::new();
    for line in lines(log) {
        let line = line?;
        if acts(&line) {
            let (first, last) = span.entry(line.metric).or_insert((line.second, line.second));
            (*first, *last) = ((*first).min(line.second), (*last).max(line.second));
        }
    }
    let mut parts: BTreeMap<(Metric, u64), Histogram<u64>> = BTreeMap::new();
    for line in lines(log) {
        let line = line?;
        let Some((first, last)) = span.get(&line.metric).filter(|_| acts(&line)) else { continue };
        let part = (line.second - first) * count / (last - first + 1);
        merge(parts.entry((line.metric, part)).or_insert_with(histogram), &line.histogram()?);
    }
    let mut batches: BTreeMap<Metric, Vec<Percentiles>> = BTreeMap::new();
    for ((metric, _part), histogram) in &parts {
        batches.entry(*metric).or_default().push(Percentiles::of(histogram));
    }
    Ok(batches)
}
