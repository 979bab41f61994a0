//! The generator's own lateness, which is part of measured times and may explain an effect.

use crate::metric::{Metric, Percentiles};
use crate::phase::Phase;
use crate::run::Record;

/// How often our own lateness may be part of one message's time: when it is sent; with QoS 2, when its PUBREC is read and so
/// its PUBREL, which brokers wait for, is sent; and when its delivery or acknowledgement is read.
const LATENESSES_PER_MESSAGE: u64 = 3;

/// The largest share of our own lateness in a time, in µs, when we were late by `own_us` at the same figure.
pub(crate) fn own_share_max_us(own_us: u64) -> u64 {
    own_us.saturating_mul(LATENESSES_PER_MESSAGE)
}

/// Our own lateness in these phases, in µs: the worse of schedule slip and loop lag at the figure `of`, or their maximum with
/// too few samples. A record without phase metrics counts as a whole.
pub(crate) fn own_lateness_us(
    record: &Record,
    phases: &[Phase],
    of: impl Fn(&Percentiles) -> Option<u64>,
) -> u64 {
    let figure = |times: &Percentiles| of(times).or(times.max_us);
    let ours = |metric: Metric| matches!(metric, Metric::ScheduleSlip | Metric::LoopLag);
    let in_phases = record.metrics.iter().filter(|times| ours(times.metric) && phases.contains(&times.phase));
    let worst_us = in_phases.filter_map(|times| figure(&times.percentiles)).max();
    let whole = [&record.generator.schedule_slip, &record.generator.loop_lag];
    worst_us.or_else(|| whole.into_iter().filter_map(figure).max()).unwrap_or(0)
}
