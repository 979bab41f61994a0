//! The search for the highest rate of a load at which a broker keeps a promise: judges trials and chooses the next rate.
//! Pure: it reads records only.
//!
//! The rate is doubled until the promise is broken (or halved until it is kept); then the interval is bisected, as a ratio,
//! until its ends are within 5 %. A rate fails only after two consecutive failures, so one hiccup decides nothing.

use std::fmt;
use std::str::FromStr;

use crate::load::LoadRecord;
use crate::run::{Completeness, Record};
use crate::scale::time;
use crate::threshold::Threshold;
use crate::verdict::Conclusion;

/// The search ends when the lowest rate that breaks the promise is at most this many times the highest that keeps it.
const CLOSE_ENOUGH: f64 = 1.05;
const SECOND_US: u64 = 1_000_000;
/// The search ends when the generator was late at this many rates and none kept the promise: lower rates would not help.
const LATE_RATES_MAX: usize = 3;
/// Maximum number of trials of a search.
pub const TRIALS_MAX: usize = 60;

/// The thresholds that the broker must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise(Vec<Threshold>);

impl FromStr for Promise {
    type Err = String;

    /// Reads thresholds with commas between them, such as `e2e p(99)<50ms,loss==0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

impl Promise {
    /// The thresholds.
    #[must_use]
    pub fn thresholds(&self) -> &[Threshold] {
        &self.0
    }

    /// The result of a trial, with the reason.
    ///
    /// A trial with a late generator says nothing about the broker. Lost connections, messages that were not sent, refused, not
    /// acknowledged or not delivered for any reason, and a broker that falls further and further behind break every promise.
    #[must_use]
    pub fn judge(&self, record: &Record) -> (TrialResult, String) {
        let Some(load) = record.load.as_ref().filter(|_| record.completeness == Completeness::Complete)
        else {
            let why = record.incomplete_because.clone();
            return (TrialResult::Unknown, why.unwrap_or_else(|| "the run did not finish".to_owned()));
        };
        if let Some(bottleneck) = record.generator.bottlenecks.first() {
            return (TrialResult::GeneratorLate, bottleneck.clone());
        }
        let connections = &load.connections;
        let lost: u64 = connections.lost.values().sum();
        if lost > 0 {
            return (
                TrialResult::Broken,
                format!("{lost} of {} connections were lost", connections.accepted),
            );
        }
        if connections.accepted < connections.planned {
            let why =
                format!("{} of {} connections were accepted", connections.accepted, connections.planned);
            return (TrialResult::Unknown, why);
        }
        let all = load.all();
        if all.dropped > 0 {
            return (
                TrialResult::Broken,
                format!("{} of {} messages were never sent", all.dropped, all.offered),
            );
        }
        let refused = all.refused_in_all();
        let not_whole = [
            (refused, "messages were refused"),
            (all.unacknowledged, "messages were not acknowledged"),
            (all.unknown, "deliveries neither arrived nor were lost by the broker"),
            (all.still_coming, "deliveries were still coming when the wait for them ended"),
        ];
        if let Some((count, what)) = not_whole.iter().find(|(count, _)| *count > 0) {
            return (TrialResult::Broken, format!("{count} {what}"));
        }
        if let Some(nothing) = load.missing_result() {
            return (TrialResult::Broken, nothing);
        }
        if let Some(behind) = falls_behind(load) {
            return (TrialResult::Broken, behind);
        }
        let verdicts: Vec<_> = self.0.iter().map(|threshold| threshold.judge(record)).collect();
        let evidence = |conclusion| {
            let of_it = verdicts.iter().filter(move |verdict| verdict.conclusion == conclusion);
            of_it.map(|verdict| verdict.evidence.clone()).collect::<Vec<_>>().join("; ")
        };
        let worst =
            [(Conclusion::Violated, TrialResult::Broken), (Conclusion::Inconclusive, TrialResult::Unknown)];
        for (conclusion, result) in worst {
            if verdicts.iter().any(|verdict| verdict.conclusion == conclusion) {
                return (result, evidence(conclusion));
            }
        }
        (TrialResult::Kept, evidence(Conclusion::Holds))
    }
}

/// How far the broker was behind at the end; absent when it kept up. The last message may take the median time plus a tenth of
/// the trial (at least a second): a growing time has its median at half of its end.
fn falls_behind(load: &LoadRecord) -> Option<String> {
    let (lasts_us, until_us) = (load.counted_us()?, load.counted_until_us?);
    let behind = [
        ("sent", load.last_sent_us, Some(0)),
        ("delivered", load.last_delivered_us, load.delivery_response_time.p50_us),
    ];
    behind.into_iter().find_map(|(what, last_us, usual_us)| {
        let after_us = last_us?.saturating_sub(until_us);
        let is_behind = after_us > (lasts_us / 10).max(SECOND_US) + usual_us.unwrap_or(0);
        is_behind
            .then(|| format!("the last message was {what} {} after the last one was due", time(after_us)))
    })
}

crate::words! {
    /// The result of a trial.
    pub enum TrialResult: "trial result" {
        /// The promise was kept.
        Kept = "kept",
        /// The promise was broken.
        Broken = "broken",
        /// The generator itself was late, so the broker's limit is unknown.
        GeneratorLate = "generator late",
        /// Unknown, and another rate will not help.
        Unknown = "inconclusive",
    }
}

/// The state of a search.
#[derive(Clone, Debug)]
pub struct RateSearch {
    first: f64,
    lowest: f64,
    highest: f64,
    trials: Vec<(f64, TrialResult)>,
}

impl RateSearch {
    /// A search that starts at `first` messages per second and stays within `lowest` and `highest`.
    #[must_use]
    pub fn new(first: f64, lowest: f64, highest: f64) -> Self {
        Self { first: first.max(lowest).min(highest), lowest, highest, trials: Vec::new() }
    }

    /// The lowest and the highest rate that it may try.
    #[must_use]
    pub const fn bounds(&self) -> (f64, f64) {
        (self.lowest, self.highest)
    }

    /// Adds the result of a trial at `per_second`.
    pub fn record(&mut self, per_second: f64, result: TrialResult) {
        self.trials.push((per_second, result));
    }

    /// The highest rate that kept the promise, below every rate that broke it; absent without one.
    #[must_use]
    pub fn kept(&self) -> Option<f64> {
        let broken = self.limit().map_or(f64::INFINITY, |(rate, _)| rate);
        let kept = self.trials.iter().filter(|(rate, came)| *came == TrialResult::Kept && *rate < broken);
        kept.map(|(rate, _)| *rate).reduce(f64::max)
    }

    /// The lowest rate that failed twice in a row, with the result; absent without one. If the generator was late in either
    /// trial, the result is that.
    #[must_use]
    pub fn limit(&self) -> Option<(f64, TrialResult)> {
        self.not_kept().reduce(|lowest, pair| if pair.0 < lowest.0 { pair } else { lowest })
    }

    /// The rates that failed twice in a row, with their results.
    fn not_kept(&self) -> impl Iterator<Item = (f64, TrialResult)> {
        let is_above = |came| matches!(came, TrialResult::Broken | TrialResult::GeneratorLate);
        self.trials.windows(2).filter_map(move |pair| match *pair {
            [(first, before), (second, came)] if is_above(before) && is_above(came) => {
                let both = if before == came { came } else { TrialResult::GeneratorLate };
                is_same(first, second).then_some((second, both))
            }
            _ => None,
        })
    }

    /// Whether the generator was late at several rates and none kept the promise.
    #[must_use]
    pub fn is_generator_limited(&self) -> bool {
        let late = self.not_kept().filter(|(_, came)| *came == TrialResult::GeneratorLate).count();
        self.kept().is_none() && late >= LATE_RATES_MAX
    }

    /// Whether the maximum rate kept the promise.
    #[must_use]
    pub fn is_at_maximum(&self) -> bool {
        self.kept().is_some_and(|kept| is_same(kept, self.highest))
    }

    /// The rate to try next; absent when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        if self.trials.len() >= TRIALS_MAX {
            return None;
        }
        let Some(&(last, came)) = self.trials.last() else { return Some(self.first) };
        if self.is_generator_limited() {
            return None;
        }
        let limit = self.limit().map(|(rate, _)| rate);
        match came {
            TrialResult::Unknown => return None,
            TrialResult::Broken | TrialResult::GeneratorLate
                if limit.is_none_or(|limit| !is_same(limit, last)) =>
            {
                return Some(last);
            }
            TrialResult::Broken | TrialResult::GeneratorLate | TrialResult::Kept => {}
        }
        match (self.kept(), limit) {
            (Some(kept), None) if is_same(kept, self.highest) => None,
            (Some(kept), None) => Some((2.0 * kept).min(self.highest)),
            (None, Some(limit)) if limit <= self.lowest => None,
            (None, Some(limit)) => Some((limit / 2.0).max(self.lowest)),
            (Some(kept), Some(limit)) if limit <= kept * CLOSE_ENOUGH => None,
            (Some(kept), Some(limit)) => between(kept, limit),
            // Neither: the first rate is tried again (see above).
            (None, None) => Some(self.first),
        }
    }
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= f64::EPSILON * one.abs().max(other.abs())
}

/// The geometric mean of two rates, rounded where the result is still between them.
fn between(low: f64, high: f64) -> Option<f64> {
    let middle = (low * high).sqrt();
    let rounded = |digits: i32| {
        let magnitude = 10_f64.powf(middle.log10().floor() + 1.0 - f64::from(digits));
        (middle / magnitude).round() * magnitude
    };
    let is_between = |rate: &f64| *rate > low * 1.01 && *rate < high * 0.99;
    [rounded(2), rounded(3), middle].into_iter().find(is_between)
}

#[cfg(test)]
mod tests {
    use super::{Promise, RateSearch, TRIALS_MAX, TrialResult};

    /// Runs a search and returns the tried rates.
    fn search(first: f64, came: impl Fn(usize, f64) -> TrialResult) -> (RateSearch, Vec<f64>) {
        let mut search = RateSearch::new(first, 1.0, 1e6);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            search.record(rate, came(tried.len(), rate));
            tried.push(rate);
            assert!(tried.len() <= TRIALS_MAX);
        }
        (search, tried)
    }

    fn up_to(capacity: f64) -> impl Fn(usize, f64) -> TrialResult {
        move |_trial, rate| if rate <= capacity { TrialResult::Kept } else { TrialResult::Broken }
    }

    #[test]
    fn the_highest_rate_is_found_within_5_percent() {
        for capacity in [1.0, 3.0, 17.0, 999.0, 1_000.0, 1_234.0, 44_321.0, 999_999.0] {
            let (search, tried) = search(1_000.0, up_to(capacity));
            let (kept, (limit, came)) = (search.kept().unwrap(), search.limit().unwrap());
            assert!(kept <= capacity && limit > capacity && limit <= kept * 1.051, "{capacity}: {tried:?}");
            assert_eq!(came, TrialResult::Broken);
            assert!(tried.len() < 40, "{capacity}: {tried:?}");
        }
    }

    #[test]
    fn rates_are_round_numbers() {
        let (_, tried) = search(1_000.0, up_to(5_300.0));
        assert_eq!(
            tried,
            [
                1_000.0, 2_000.0, 4_000.0, 8_000.0, 8_000.0, 5_700.0, 5_700.0, 4_800.0, 5_200.0, 5_400.0,
                5_400.0
            ]
        );
    }

    #[test]
    fn one_failure_decides_nothing() {
        let capacity = up_to(5_300.0);
        let hiccup = |trial, rate| if trial == 1 { TrialResult::Broken } else { capacity(trial, rate) };
        let (search, tried) = search(1_000.0, hiccup);
        assert_eq!(tried[..4], [1_000.0, 2_000.0, 2_000.0, 4_000.0]);
        assert!((5_000.0..=5_300.0).contains(&search.kept().unwrap()), "{tried:?}");
    }

    #[test]
    fn without_success_there_is_no_rate() {
        let (search, tried) = search(64.0, |_, _| TrialResult::Broken);
        assert_eq!((search.kept(), search.limit()), (None, Some((1.0, TrialResult::Broken))), "{tried:?}");
    }

    #[test]
    fn with_success_everywhere_the_search_ends_at_the_maximum() {
        let (search, tried) = search(1_000.0, |_, _| TrialResult::Kept);
        assert!(search.is_at_maximum() && search.limit().is_none(), "{tried:?}");
        assert_eq!(tried.last(), Some(&1e6));
    }

    #[test]
    fn the_generators_limit_is_distinguished_from_the_brokers() {
        let (search, _) =
            search(
                1_000.0,
                |_, rate| if rate <= 4e3 { TrialResult::Kept } else { TrialResult::GeneratorLate },
            );
        assert_eq!(search.limit().map(|(_, came)| came), Some(TrialResult::GeneratorLate));
    }

    #[test]
    fn a_generator_late_at_several_rates_ends_the_search() {
        let (search, tried) = search(1_000.0, |_, _| TrialResult::GeneratorLate);
        assert_eq!(tried, [1_000.0, 1_000.0, 500.0, 500.0, 250.0, 250.0]);
        assert!(search.is_generator_limited());
        assert_eq!((search.kept(), search.limit()), (None, Some((250.0, TrialResult::GeneratorLate))));
        let late_now_and_then =
            |trial, _| if trial == 3 { TrialResult::Broken } else { TrialResult::GeneratorLate };
        let (_, tried) = self::search(1_000.0, late_now_and_then);
        assert_eq!(tried.len(), 6, "{tried:?}");
    }

    #[test]
    fn a_generator_late_only_at_high_rates_does_not_end_the_search() {
        let come = |_, rate| if rate <= 300.0 { TrialResult::Kept } else { TrialResult::GeneratorLate };
        let (search, tried) = search(1_000.0, come);
        assert!(search.kept().unwrap() > 280.0, "{tried:?}");
    }

    #[test]
    fn a_rate_broken_once_and_late_once_counts_as_generator_late() {
        for pair in [
            [TrialResult::GeneratorLate, TrialResult::Broken],
            [TrialResult::Broken, TrialResult::GeneratorLate],
        ] {
            let mut search = RateSearch::new(1_000.0, 1.0, 1e6);
            for came in pair {
                search.record(1_000.0, came);
            }
            assert_eq!(search.limit(), Some((1_000.0, TrialResult::GeneratorLate)));
        }
    }

    #[test]
    fn an_inconclusive_trial_ends_the_search_with_earlier_results() {
        let came = |trial, _| if trial < 2 { TrialResult::Kept } else { TrialResult::Unknown };
        let (search, tried) = search(1_000.0, came);
        assert_eq!((search.kept(), search.limit(), tried.len()), (Some(2_000.0), None, 3));
    }

    #[test]
    fn a_promise_has_several_thresholds_and_reports_mistakes() {
        let text = "e2e p(99)<50ms,loss==0";
        let promise: Promise = "e2e p(99)<50ms, loss==0".parse().unwrap();
        assert_eq!((promise.to_string().as_str(), promise.thresholds().len()), (text, 2));
        assert!("e2e p(99)<50ms,los==0".parse::<Promise>().unwrap_err().contains("unknown name \"los\""));
    }
}
