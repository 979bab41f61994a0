//! The timeline: one row per second and phase, merged from the reports of all threads, or of all shards.

use std::io::Read;

use hdrhistogram::Histogram;
use ungraceful_record::metric::Metric;
use ungraceful_record::phase::Phase;
use ungraceful_record::timeline::Row;

use crate::measure::meter::{Counters, Interval};

/// What was sampled of the processes in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Connections of attempts that are open.
    pub connections_open: u64,
    /// CPU time that the broker used since the last sample, in µs.
    pub broker_cpu_us: Option<u64>,
    /// The broker's resident memory.
    pub broker_rss_bytes: Option<u64>,
    /// File descriptors that the broker holds open.
    pub broker_descriptors: Option<u64>,
}

/// The rows of one second: one for each phase that something was counted in.
#[must_use]
pub fn rows(second: u64, interval: &Interval, sampled: Sampled) -> Vec<Row> {
    Phase::ALL
        .into_iter()
        .filter(|phase| interval.counters.contains_key(phase))
        .map(|phase| row(second, phase, interval, sampled))
        .collect()
}

/// Reads the rows of a timeline.
///
/// # Errors
/// What is wrong with it.
pub fn read_rows(timeline: impl Read) -> Result<Vec<Row>, String> {
    csv::Reader::from_reader(timeline)
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// What the row counts.
#[must_use]
pub fn counters(row: &Row) -> Counters {
    Counters {
        offered: row.offered,
        sent: row.sent,
        acknowledged: row.acknowledged,
        delivered: row.delivered,
        attempts_started: row.attempts_started,
        attempts_finished: row.attempts_finished,
        attempts_dropped: row.attempts_dropped,
        reactions: row.reactions,
        load_offered: row.load_offered,
        load_sent: row.load_sent,
        load_acknowledged: row.load_acknowledged,
        load_delivered: row.load_delivered,
    }
}

fn row(second: u64, phase: Phase, interval: &Interval, sampled: Sampled) -> Row {
    let counters = interval.counters.get(&phase).copied().unwrap_or_default();
    let of = |metric| interval.histograms.of(metric, phase).filter(|histogram| !histogram.is_empty());
    let (response, lag) = (of(Metric::BystanderResponseTime), of(Metric::LoopLag));
    let load = load_response_time(interval, phase);
    let p50 = |times: Option<&Histogram<u64>>| Some(times?.value_at_quantile(0.5));
    let p99 = |times: Option<&Histogram<u64>>| {
        times.filter(|times| times.len() >= 1_000).map(|times| times.value_at_quantile(0.99))
    };
    Row {
        second,
        phase,
        offered: counters.offered,
        sent: counters.sent,
        acknowledged: counters.acknowledged,
        delivered: counters.delivered,
        attempts_started: counters.attempts_started,
        attempts_finished: counters.attempts_finished,
        attempts_dropped: counters.attempts_dropped,
        reactions: counters.reactions,
        connections_open: sampled.connections_open,
        bystander_response_time_us_p50: p50(response),
        bystander_response_time_us_p99: p99(response),
        bystander_response_time_us_max: response.map(|histogram| histogram.max()),
        broker_cpu_us: sampled.broker_cpu_us,
        broker_rss_bytes: sampled.broker_rss_bytes,
        broker_descriptors: sampled.broker_descriptors,
        generator_lag_us_max: lag.map(|histogram| histogram.max()),
        load_offered: counters.load_offered,
        load_sent: counters.load_sent,
        load_acknowledged: counters.load_acknowledged,
        load_delivered: counters.load_delivered,
        load_response_time_us_p50: p50(load),
        load_response_time_us_p99: p99(load),
        load_response_time_us_max: load.map(|histogram| histogram.max()),
    }
}

/// The load's response times in `phase`: those until delivered where there are some, else those until acknowledged.
pub(crate) fn load_response_time(interval: &Interval, phase: Phase) -> Option<&Histogram<u64>> {
    [Metric::DeliveryResponseTime, Metric::PublishResponseTime]
        .into_iter()
        .find_map(|metric| interval.histograms.of(metric, phase).filter(|histogram| !histogram.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_record::metric::Metric;
    use ungraceful_record::phase::Phase;

    use super::{Sampled, rows};
    use crate::measure::meter::Meter;

    #[test]
    fn a_second_with_two_phases_has_a_row_for_each() {
        let meter = Meter::default();
        meter.count(Phase::Baseline, |counters| counters.offered += 3);
        meter.count(Phase::Fault, |counters| {
            counters.sent += 4;
            counters.reactions += 5;
        });
        meter.record(Metric::BystanderResponseTime, Phase::Fault, Duration::from_micros(700));
        meter.record(Metric::LoopLag, Phase::Baseline, Duration::from_micros(60));
        let sampled = Sampled {
            connections_open: 7,
            broker_cpu_us: Some(8),
            broker_rss_bytes: Some(9),
            broker_descriptors: Some(10),
        };
        let rows = rows(12, &meter.take(), sampled);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].phase, rows[0].offered, rows[0].generator_lag_us_max),
            (Phase::Baseline, 3, Some(60))
        );
        assert_eq!((rows[1].phase, rows[1].sent, rows[1].reactions), (Phase::Fault, 4, 5));
        assert_eq!(rows[1].bystander_response_time_us_max, Some(700));
        assert_eq!(rows[1].bystander_response_time_us_p99, None, "one sample has no 99th percentile");
        assert!(rows.iter().all(|row| row.second == 12 && row.connections_open == 7));
        assert!(rows.iter().all(|row| (row.broker_cpu_us, row.broker_rss_bytes) == (Some(8), Some(9))));
        assert!(rows.iter().all(|row| row.broker_descriptors == Some(10)));
    }
}
