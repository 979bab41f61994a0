//! How late the generator itself was, at the figure that is judged: what is ours in a time, and may be all of an effect.

use crate::metric::{Metric, Percentiles};
use crate::phase::Phase;
use crate::run::Record;

/// How often our own lateness may be in one time of a message: when it is sent after it was due; with QoS 2, when its PUBREC
/// is read late, and its PUBREL, which brokers wait for before they deliver, goes out late; and when its delivery or
/// acknowledgement is read late.
const IN_EVERY_TIME: u64 = 3;

/// How much of any time may be ours, in µs, where we were late by `own_us` at the same figure.
pub(crate) fn ours_at_most_us(own_us: u64) -> u64 {
    own_us.saturating_mul(IN_EVERY_TIME)
}

/// How late we were in these phases, in µs: the worse of schedule slip and loop lag, at the figure `of`; where a phase has too
/// few samples for it, their maximum. A record that tells nothing of its phases is judged as a whole.
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
