//! The figures of the live view. The collector sets them once a second, so that watching a run costs its workers nothing.

use hdrhistogram::Histogram;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::live::{Live, LiveLoad};
use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::phase::Phase;

use crate::measure::meter::{Counters, Interval};
use crate::measure::timeline::load_response_time;

/// Adds an attempt that ended.
pub(crate) fn add_attempt(live: &mut Live, attempt: &Attempt) {
    live.attempts_finished += 1;
    *live.outcomes.entry(attempt.outcome.name()).or_default() += 1;
    if attempt.outcome.is_evidence() {
        for reaction in &attempt.reactions {
            *live.reactions.entry((reaction.kind, reaction.code)).or_default() += 1;
        }
    }
    if let Some(trouble) = &attempt.trouble {
        live.troubles += 1;
        live.latest_trouble = Some(trouble.clone());
    }
}

/// The baseline so far, if `part` adds to it. Set at once, because the recovery is judged by it.
pub(crate) fn set_baseline(live: &mut Live, part: &Interval, whole: &Interval) {
    if part.histograms.of(Metric::BystanderResponseTime, Phase::Baseline).is_some()
        && let Some(baseline) = whole.histograms.of(Metric::BystanderResponseTime, Phase::Baseline)
    {
        live.baseline_response_time = Percentiles::of(baseline);
    }
}

/// Sets the figures of the last second, and those of the `whole` run so far.
pub(crate) fn set_second(live: &mut Live, second: u64, last: &Interval, whole: &Interval) {
    live.second = Some(second);
    let counted = sum(whole);
    // Ends are known at once, beginnings a second late.
    live.attempts_started = counted.attempts_started.max(live.attempts_finished);
    live.attempts_dropped = counted.attempts_dropped;
    live.bystander_offered = counted.offered;
    live.bystander_sent = counted.sent;
    live.bystander_delivered = counted.delivered;
    let of_whole =
        |metric, phase| whole.histograms.of(metric, phase).map(Percentiles::of).unwrap_or_default();
    live.reaction_time = of_whole(Metric::ReactionTime, Phase::Fault);
    live.bystander_response_time =
        live.phase.map(|phase| of_whole(Metric::BystanderResponseTime, phase)).unwrap_or_default();
    let response = latest(|phase| samples(last.histograms.of(Metric::BystanderResponseTime, phase)));
    live.bystander_p50_us = response.map(|times| times.value_at_quantile(0.5));
    live.bystander_p99_us = response.and_then(p99_us);
    live.bystander_max_us = response.map(Histogram::max);
    let lags = Phase::ALL.into_iter().filter_map(|phase| last.histograms.of(Metric::LoopLag, phase));
    live.generator_lag_us_max = lags.filter(|lags| !lags.is_empty()).map(Histogram::max).max();
    if let Some(load) = &mut live.load {
        set_load(load, last, &counted);
    }
}

fn set_load(load: &mut LiveLoad, last: &Interval, counted: &Counters) {
    load.offered = counted.load_offered;
    load.sent = counted.load_sent;
    load.acknowledged = counted.load_acknowledged;
    load.delivered = counted.load_delivered;
    let of_last = sum(last);
    load.sent_per_second = of_last.load_sent;
    load.delivered_per_second = of_last.load_delivered;
    let response = latest(|phase| load_response_time(last, phase));
    load.response_p50_us = response.map(|times| times.value_at_quantile(0.5));
    load.response_p99_us = response.and_then(p99_us);
}

/// The counts of all phases.
fn sum(interval: &Interval) -> Counters {
    let mut sum = Counters::default();
    for counters in interval.counters.values() {
        sum += counters;
    }
    sum
}

/// The times of the latest phase that has some.
fn latest<'a>(of: impl Fn(Phase) -> Option<&'a Histogram<u64>>) -> Option<&'a Histogram<u64>> {
    Phase::ALL.into_iter().rev().find_map(of)
}

fn samples(times: Option<&Histogram<u64>>) -> Option<&Histogram<u64>> {
    times.filter(|times| !times.is_empty())
}

/// The 99th percentile; absent below 1,000 samples.
fn p99_us(times: &Histogram<u64>) -> Option<u64> {
    (times.len() >= 1_000).then(|| times.value_at_quantile(0.99))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use ungraceful_record::attempt::{Attempt, Case};
    use ungraceful_record::live::Live;
    use ungraceful_record::metric::Metric;
    use ungraceful_record::phase::Phase;
    use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};

    use super::{add_attempt, set_baseline, set_second};
    use crate::measure::meter::{Interval, Meter};

    fn ended(outcome: Outcome, code: Option<u8>, trouble: Option<&str>) -> Attempt {
        let case = Case { fault: "storm".into(), variant: "clean".into(), version: "5.0".into() };
        let kind = ReactionKind::Disconnect;
        Attempt {
            outcome,
            reactions: vec![Reaction { kind, code, at_us: 9, detail: None, connection: None }],
            trouble: trouble.map(ToOwned::to_owned),
            ..Attempt::begun(0, case, "ug".into(), Phase::Fault, 0, 1)
        }
    }

    #[test]
    fn attempts_are_counted_by_outcome_reaction_and_trouble() {
        let mut live = Live::of(9, false);
        for code in [0x8E, 0x8E, 0x82] {
            add_attempt(&mut live, &ended(Outcome::Closed, Some(code), None));
        }
        for trouble in ["refused", "silent"] {
            add_attempt(&mut live, &ended(Outcome::NotActed, Some(0x97), Some(trouble)));
        }
        assert_eq!((live.attempts_finished, live.troubles), (5, 2));
        assert_eq!(live.outcomes, BTreeMap::from([("closed", 3), ("not_acted", 2)]));
        let disconnect = |code| (ReactionKind::Disconnect, Some(code));
        assert_eq!(live.reactions, BTreeMap::from([(disconnect(0x82), 1), (disconnect(0x8E), 2)]));
        assert_eq!(live.latest_trouble.as_deref(), Some("silent"));
    }

    fn interval(phase: Phase, sent: u64, response_us: u64) -> Interval {
        let meter = Meter::default();
        meter.count(phase, |counters| (counters.sent, counters.load_sent) = (sent, 2 * sent));
        meter.record(Metric::BystanderResponseTime, phase, Duration::from_micros(response_us));
        meter.record(Metric::PublishResponseTime, phase, Duration::from_micros(3 * response_us));
        meter.record(Metric::LoopLag, phase, Duration::from_micros(response_us + 1));
        meter.take()
    }

    #[test]
    fn a_second_has_its_own_figures_and_those_of_the_run_so_far() {
        let mut live = Live { phase: Some(Phase::Load), ..Live::of(0, true) };
        let (mut whole, last) = (interval(Phase::Baseline, 5, 40), interval(Phase::Load, 7, 60));
        set_baseline(&mut live, &last, &whole);
        assert_eq!(live.baseline_response_time.max_us, None, "the last part is of another phase");
        set_baseline(&mut live, &whole.clone(), &whole);
        whole.merge(&last);
        set_second(&mut live, 3, &last, &whole);
        assert_eq!((live.second, live.bystander_sent, live.bystander_max_us), (Some(3), 12, Some(60)));
        assert_eq!((live.bystander_p50_us, live.bystander_p99_us), (Some(60), None));
        assert_eq!(live.baseline_response_time.max_us, Some(40));
        assert_eq!(live.bystander_response_time.max_us, Some(60));
        assert_eq!(live.generator_lag_us_max, Some(61));
        let load = live.load.unwrap();
        assert_eq!((load.sent, load.sent_per_second, load.response_p50_us), (24, 14, Some(180)));
    }

    #[test]
    fn a_second_without_samples_has_no_times_of_the_one_before() {
        let mut live = Live::of(0, true);
        let whole = interval(Phase::Load, 7, 60);
        set_second(&mut live, 1, &whole, &whole);
        set_second(&mut live, 2, &Interval::default(), &whole);
        let load = live.load.unwrap();
        assert_eq!(
            (live.bystander_p50_us, live.bystander_max_us, live.generator_lag_us_max),
            (None, None, None)
        );
        assert_eq!((load.sent, load.sent_per_second, load.response_p50_us), (14, 0, None));
    }
}
