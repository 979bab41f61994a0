//! The search for the highest rate of a load at which a broker keeps a promise: what a trial came to, and which rate is
//! tried next. Pure: it sees records and knows no broker.
//!
//! The rate is doubled until the promise is broken (or halved until it is kept), and what is left between the two is
//! halved, as a ratio, until they are within 5 % of each other. A rate counts as broken when it was broken twice in a
//! row: one hiccup of the machine decides nothing.

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
/// Rates at which the generator itself was late, before any rate kept the promise, after which the search ends: it is late at
/// lower ones as well, and of the broker nothing is learned.
const LATE_RATES_MAX: usize = 3;
/// Trials that a search has at the most.
pub const TRIALS_MAX: usize = 60;

/// What the broker is to keep: thresholds, all of them.
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

    /// What a trial's record says of it, and why.
    ///
    /// A trial in which the generator itself was late says nothing of the broker. Every promise is broken by a trial in
    /// which connections were lost, or messages were never sent, were refused, were not acknowledged, or did not come for
    /// whatever reason; and by one in which the broker fell further and further behind.
    #[must_use]
    pub fn judge(&self, record: &Record) -> (Came, String) {
        let Some(load) = record.load.as_ref().filter(|_| record.completeness == Completeness::Complete)
        else {
            let why = record.incomplete_because.clone();
            return (Came::Unknown, why.unwrap_or_else(|| "the run was not finished".to_owned()));
        };
        if let Some(bottleneck) = record.generator.bottlenecks.first() {
            return (Came::GeneratorLate, bottleneck.clone());
        }
        let connections = &load.connections;
        let lost: u64 = connections.lost.values().sum();
        if lost > 0 {
            return (Came::Broken, format!("{lost} of {} connections were lost", connections.accepted));
        }
        if connections.accepted < connections.planned {
            let why =
                format!("{} of {} connections were accepted", connections.accepted, connections.planned);
            return (Came::Unknown, why);
        }
        let all = load.all();
        if all.dropped > 0 {
            return (Came::Broken, format!("{} of {} messages were never sent", all.dropped, all.offered));
        }
        let refused = all.refused_in_all();
        let not_whole = [
            (refused, "messages were refused"),
            (all.unacknowledged, "messages were not acknowledged"),
            (all.unknown, "deliveries neither came nor were lost by the broker"),
            (all.still_coming, "deliveries were still coming when the wait for them ended"),
        ];
        if let Some((count, what)) = not_whole.iter().find(|(count, _)| *count > 0) {
            return (Came::Broken, format!("{count} {what}"));
        }
        if let Some(nothing) = load.came_to_nothing() {
            return (Came::Broken, nothing);
        }
        if let Some(behind) = falls_behind(load) {
            return (Came::Broken, behind);
        }
        let verdicts: Vec<_> = self.0.iter().map(|threshold| threshold.judge(record)).collect();
        let told = |conclusion| {
            let of_it = verdicts.iter().filter(move |verdict| verdict.conclusion == conclusion);
            of_it.map(|verdict| verdict.evidence.clone()).collect::<Vec<_>>().join("; ")
        };
        let worst = [(Conclusion::Violated, Came::Broken), (Conclusion::Inconclusive, Came::Unknown)];
        for (conclusion, came) in worst {
            if verdicts.iter().any(|verdict| verdict.conclusion == conclusion) {
                return (came, told(conclusion));
            }
        }
        (Came::Kept, told(Conclusion::Holds))
    }
}

/// How far the broker was behind at the end, in words; absent where it kept up. The last message may take as long as half
/// of all did, and a tenth of the trial (at least a second) besides: a time that grows has its median at half of its end.
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
            .then(|| format!("the last message was {what} {} after it should have been due", time(after_us)))
    })
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The promise was kept.
    Kept,
    /// It was not.
    Broken,
    /// The generator itself was late: nothing is known of the broker.
    GeneratorLate,
    /// It can't be told, and a higher or lower rate will not help.
    Unknown,
}

impl Came {
    /// In a word or two, the same in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::GeneratorLate => "generator late",
            Self::Unknown => "inconclusive",
        }
    }
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct RateSearch {
    first: f64,
    lowest: f64,
    highest: f64,
    trials: Vec<(f64, Came)>,
}

impl RateSearch {
    /// A search that begins at `first` messages per second, goes no lower than `lowest` and no higher than `highest`.
    #[must_use]
    pub fn new(first: f64, lowest: f64, highest: f64) -> Self {
        Self { first: first.max(lowest).min(highest), lowest, highest, trials: Vec::new() }
    }

    /// What a trial at `per_second` came to.
    pub fn tell(&mut self, per_second: f64, came: Came) {
        self.trials.push((per_second, came));
    }

    /// The highest rate that kept the promise, below every one that broke it; absent when there is none.
    #[must_use]
    pub fn kept(&self) -> Option<f64> {
        let broken = self.limit().map_or(f64::INFINITY, |(rate, _)| rate);
        let kept = self.trials.iter().filter(|(rate, came)| *came == Came::Kept && *rate < broken);
        kept.map(|(rate, _)| *rate).reduce(f64::max)
    }

    /// The lowest rate that did not keep it, twice in a row, and what it came to; absent when there is none. When the
    /// generator was late in one of the two, the broker was not shown to break it twice.
    #[must_use]
    pub fn limit(&self) -> Option<(f64, Came)> {
        self.not_kept().reduce(|lowest, pair| if pair.0 < lowest.0 { pair } else { lowest })
    }

    /// The rates that did not keep it, twice in a row, and what each came to.
    fn not_kept(&self) -> impl Iterator<Item = (f64, Came)> {
        let is_above = |came| matches!(came, Came::Broken | Came::GeneratorLate);
        self.trials.windows(2).filter_map(move |pair| match *pair {
            [(first, before), (second, came)] if is_above(before) && is_above(came) => {
                let both = if before == came { came } else { Came::GeneratorLate };
                is_same(first, second).then_some((second, both))
            }
            _ => None,
        })
    }

    /// Whether the generator was late at several rates and none kept the promise: lower ones say as little.
    #[must_use]
    pub fn is_for_the_generator_alone(&self) -> bool {
        let late = self.not_kept().filter(|(_, came)| *came == Came::GeneratorLate).count();
        self.kept().is_none() && late >= LATE_RATES_MAX
    }

    /// Whether the highest rate that there is was kept.
    #[must_use]
    pub fn is_at_the_top(&self) -> bool {
        self.kept().is_some_and(|kept| is_same(kept, self.highest))
    }

    /// The rate to try next; absent when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        if self.trials.len() >= TRIALS_MAX {
            return None;
        }
        let Some(&(last, came)) = self.trials.last() else { return Some(self.first) };
        if self.is_for_the_generator_alone() {
            return None;
        }
        let limit = self.limit().map(|(rate, _)| rate);
        match came {
            Came::Unknown => return None,
            Came::Broken | Came::GeneratorLate if limit.is_none_or(|limit| !is_same(limit, last)) => {
                return Some(last);
            }
            Came::Broken | Came::GeneratorLate | Came::Kept => {}
        }
        match (self.kept(), limit) {
            (Some(kept), None) if is_same(kept, self.highest) => None,
            (Some(kept), None) => Some((2.0 * kept).min(self.highest)),
            (None, Some(limit)) if limit <= self.lowest => None,
            (None, Some(limit)) => Some((limit / 2.0).max(self.lowest)),
            (Some(kept), Some(limit)) if limit <= kept * CLOSE_ENOUGH => None,
            (Some(kept), Some(limit)) => between(kept, limit),
            // Neither: the first rate is to be tried again, which was said above.
            (None, None) => Some(self.first),
        }
    }
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= f64::EPSILON * one.abs().max(other.abs())
}

/// The middle of two rates as a ratio, rounded to what people write where that is still between them.
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
    use super::{Came, Promise, RateSearch, TRIALS_MAX};

    /// Searches on a broker that keeps the promise up to `capacity`, and returns the rates that were tried.
    fn search(first: f64, came: impl Fn(usize, f64) -> Came) -> (RateSearch, Vec<f64>) {
        let mut search = RateSearch::new(first, 1.0, 1e6);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            search.tell(rate, came(tried.len(), rate));
            tried.push(rate);
            assert!(tried.len() <= TRIALS_MAX);
        }
        (search, tried)
    }

    fn up_to(capacity: f64) -> impl Fn(usize, f64) -> Came {
        move |_trial, rate| if rate <= capacity { Came::Kept } else { Came::Broken }
    }

    #[test]
    fn the_highest_rate_is_found_within_5_percent_wherever_it_is() {
        for capacity in [1.0, 3.0, 17.0, 999.0, 1_000.0, 1_234.0, 44_321.0, 999_999.0] {
            let (search, tried) = search(1_000.0, up_to(capacity));
            let (kept, (limit, came)) = (search.kept().unwrap(), search.limit().unwrap());
            assert!(kept <= capacity && limit > capacity && limit <= kept * 1.051, "{capacity}: {tried:?}");
            assert_eq!(came, Came::Broken);
            assert!(tried.len() < 40, "{capacity}: {tried:?}");
        }
    }

    #[test]
    fn rates_are_such_as_people_write() {
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
    fn one_hiccup_decides_nothing() {
        let capacity = up_to(5_300.0);
        let hiccup = |trial, rate| if trial == 1 { Came::Broken } else { capacity(trial, rate) };
        let (search, tried) = search(1_000.0, hiccup);
        assert_eq!(tried[..4], [1_000.0, 2_000.0, 2_000.0, 4_000.0]);
        assert!((5_000.0..=5_300.0).contains(&search.kept().unwrap()), "{tried:?}");
    }

    #[test]
    fn where_nothing_is_kept_there_is_no_rate() {
        let (search, tried) = search(64.0, |_, _| Came::Broken);
        assert_eq!((search.kept(), search.limit()), (None, Some((1.0, Came::Broken))), "{tried:?}");
    }

    #[test]
    fn where_everything_is_kept_it_ends_at_the_highest() {
        let (search, tried) = search(1_000.0, |_, _| Came::Kept);
        assert!(search.is_at_the_top() && search.limit().is_none(), "{tried:?}");
        assert_eq!(tried.last(), Some(&1e6));
    }

    #[test]
    fn a_limit_of_the_generator_is_told_from_one_of_the_broker() {
        let (search, _) =
            search(1_000.0, |_, rate| if rate <= 4e3 { Came::Kept } else { Came::GeneratorLate });
        assert_eq!(search.limit().map(|(_, came)| came), Some(Came::GeneratorLate));
    }

    #[test]
    fn a_generator_that_is_late_at_one_rate_after_the_other_ends_the_search() {
        let (search, tried) = search(1_000.0, |_, _| Came::GeneratorLate);
        assert_eq!(tried, [1_000.0, 1_000.0, 500.0, 500.0, 250.0, 250.0]);
        assert!(search.is_for_the_generator_alone());
        assert_eq!((search.kept(), search.limit()), (None, Some((250.0, Came::GeneratorLate))));
        let late_now_and_then = |trial, _| if trial == 3 { Came::Broken } else { Came::GeneratorLate };
        let (_, tried) = self::search(1_000.0, late_now_and_then);
        assert_eq!(tried.len(), 6, "{tried:?}");
    }

    #[test]
    fn a_generator_that_is_late_above_what_it_can_do_does_not_end_the_search() {
        let come = |_, rate| if rate <= 300.0 { Came::Kept } else { Came::GeneratorLate };
        let (search, tried) = search(1_000.0, come);
        assert!(search.kept().unwrap() > 280.0, "{tried:?}");
    }

    #[test]
    fn a_rate_that_was_broken_once_and_once_not_to_be_told_is_the_generators() {
        for pair in [[Came::GeneratorLate, Came::Broken], [Came::Broken, Came::GeneratorLate]] {
            let mut search = RateSearch::new(1_000.0, 1.0, 1e6);
            for came in pair {
                search.tell(1_000.0, came);
            }
            assert_eq!(search.limit(), Some((1_000.0, Came::GeneratorLate)));
        }
    }

    #[test]
    fn what_cannot_be_told_ends_the_search_with_what_was_found_before() {
        let came = |trial, _| if trial < 2 { Came::Kept } else { Came::Unknown };
        let (search, tried) = search(1_000.0, came);
        assert_eq!((search.kept(), search.limit(), tried.len()), (Some(2_000.0), None, 3));
    }

    #[test]
    fn a_promise_is_several_thresholds_and_a_mistake_in_one_is_told() {
        let text = "e2e p(99)<50ms,loss==0";
        let promise: Promise = "e2e p(99)<50ms, loss==0".parse().unwrap();
        assert_eq!((promise.to_string().as_str(), promise.thresholds().len()), (text, 2));
        assert!("e2e p(99)<50ms,los==0".parse::<Promise>().unwrap_err().contains("there is no \"los\""));
    }
}
