//! The interval of a percentile, from the parts of a load's time.
//!
//! Samples that follow each other are not independent: a broker that stalls for a second delays thousands of messages at once. So the
//! time of the load is cut into parts, and the spread of the parts tells how far the whole may be off. In each part it is counted how
//! many samples lie beyond the percentile of the whole; from the spread of these counts follows the interval of the share beyond it, and
//! from that the interval of the time (Woodruff's method). A load that changes as it goes on, so that later parts are slower or faster
//! than earlier ones, has no single percentile.

use hdrhistogram::Histogram;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Confidence, Until, precise};
use crate::metric::{Histograms, histogram, merge};
use crate::noise::inflation;
use crate::phase::Phase;

/// How sure an interval would be that is looked at once. Loads end at a look at which it is narrow, which makes it less sure: of 400
/// simulated loads each, whose seconds were independent or correlated by 0.5 or 0.8, 393, 385 and 381 had the true percentile in it.
const CONFIDENCE: f64 = 0.97;
/// How sure it must be that later parts differ from earlier ones.
const TREND_CONFIDENCE: f64 = 0.999;
/// Fewest parts whose spread is used.
const PARTS_MIN: usize = 10;
/// Most parts that are kept; neighbours are joined beyond.
const PARTS_MAX: usize = 64;
/// How much is added to the correlation of parts, of what it may be off by: few parts show less of it than there is.
const MARGIN: f64 = 0.5;
/// By how much longer a load has lasted at the next look: an interval that is looked at all the time is narrow by chance some time.
const LOOK_FACTOR: f64 = 1.2;

/// The parts of a load's time, and how sure they make the percentile.
#[derive(Clone, Debug)]
pub struct Watched {
    until: Until,
    /// The second in which the first sample came.
    begun: Option<u64>,
    /// Seconds of each part.
    part_s: u64,
    parts: Vec<Histogram<u64>>,
    /// When to look next, in seconds after the begin.
    next_look_s: u64,
    /// What the last look saw; absent before the first.
    seen: Option<Confidence>,
    is_reached: bool,
}

impl Watched {
    /// Before the first sample.
    #[must_use]
    pub fn new(until: Until) -> Self {
        Self {
            until,
            begun: None,
            part_s: 1,
            parts: Vec::new(),
            next_look_s: PARTS_MIN as u64,
            seen: None,
            is_reached: false,
        }
    }

    /// Adds what was measured in a second since the run's start. Seconds may come again, but none long after a later one.
    pub fn add(&mut self, second: u64, histograms: &Histograms) {
        let Some(samples) = histograms.of(self.until.metric, Phase::Load).filter(|all| !all.is_empty())
        else {
            return;
        };
        let begun = *self.begun.get_or_insert(second);
        let mut part = place(second.saturating_sub(begun), self.part_s);
        while part >= PARTS_MAX {
            self.join_neighbours();
            part = place(second.saturating_sub(begun), self.part_s);
        }
        while self.parts.len() <= part {
            self.parts.push(histogram());
        }
        merge(&mut self.parts[part], samples);
    }

    fn join_neighbours(&mut self) {
        self.part_s *= 2;
        let parts = std::mem::take(&mut self.parts);
        for pair in parts.chunks(2) {
            let mut joined = pair[0].clone();
            if let Some(second) = pair.get(1) {
                merge(&mut joined, second);
            }
            self.parts.push(joined);
        }
    }

    /// Looks, when it is time to, how sure the percentile is at the end of `second`. Once it is as sure as asked, it stays so.
    pub fn look(&mut self, second: u64) {
        let lasted_s = self.begun.map_or(0, |begun| (second + 1).saturating_sub(begun));
        if self.is_reached || lasted_s < self.next_look_s {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
        let next = (precise(lasted_s) * LOOK_FACTOR).ceil() as u64;
        self.next_look_s = next.max(lasted_s + 1);
        let now = self.now(lasted_s);
        self.is_reached = now.unreached_because().is_none();
        self.seen = Some(now);
    }

    /// Whether a look saw it as sure as asked.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_reached
    }

    /// What the last look saw; absent before the first.
    #[must_use]
    pub fn seen(&self) -> Option<&Confidence> {
        self.seen.as_ref()
    }

    /// How sure it was when it was sure enough, or is at the end of a load that lasted `seconds`.
    #[must_use]
    pub fn confidence(&self, seconds: u64) -> Confidence {
        let reached = self.seen.clone().filter(|_| self.is_reached);
        reached.unwrap_or_else(|| self.now(seconds))
    }

    fn now(&self, seconds: u64) -> Confidence {
        let mut whole = histogram();
        self.parts.iter().for_each(|part| merge(&mut whole, part));
        let samples = whole.len();
        let quantile = 1.0 - self.until.tail();
        let estimate_us = (samples >= self.until.figure.1).then(|| whole.value_at_quantile(quantile));
        let spread = estimate_us.and_then(|us| Spread::of(&self.parts, us, self.until.tail()));
        let reaches = spread.as_ref().map(|spread| {
            // The farther end must be within the samples: beyond them nothing is known.
            let high =
                (quantile + spread.half < 1.0).then(|| whole.value_at_quantile(quantile + spread.half));
            (whole.value_at_quantile((quantile - spread.half).max(0.0)), high)
        });
        let has_trend = spread.as_ref().is_some_and(|spread| spread.has_trend);
        Confidence {
            asked: self.until.text.clone(),
            estimate_us,
            low_us: reaches.map(|(low, _)| low),
            high_us: reaches.and_then(|(_, high)| high),
            halves_us: has_trend.then(|| {
                let (first, second) = self.parts.split_at(self.parts.len() / 2);
                [first, second].map(|half| {
                    let mut all = histogram();
                    half.iter().for_each(|part| merge(&mut all, part));
                    all.value_at_quantile(quantile)
                })
            }),
            samples,
            seconds,
        }
    }
}

/// The part of a second.
fn place(second: u64, part_s: u64) -> usize {
    usize::try_from(second / part_s).unwrap_or(usize::MAX)
}

/// How the share beyond a time varies over the parts.
struct Spread {
    /// Half the width of the share's interval.
    half: f64,
    /// Whether later parts differ from earlier ones by more than noise.
    has_trend: bool,
}

impl Spread {
    /// Absent with too few parts.
    fn of(parts: &[Histogram<u64>], us: u64, tail: f64) -> Option<Self> {
        let parts: Vec<&Histogram<u64>> = parts.iter().filter(|part| !part.is_empty()).collect();
        if parts.len() < PARTS_MIN {
            return None;
        }
        let number = precise(parts.len() as u64);
        let samples: f64 = parts.iter().map(|part| precise(part.len())).sum();
        // By how many more samples of each part lie beyond it than if all parts were alike.
        let beyond = |part: &Histogram<u64>| precise(part.len() - part.count_between(0, us));
        let share = parts.iter().map(|part| beyond(part)).sum::<f64>() / samples;
        let excess: Vec<f64> = parts.iter().map(|part| beyond(part) - share * precise(part.len())).collect();
        let squares: f64 = excess.iter().map(|excess| excess.powi(2)).sum();
        // Without any spread between parts there is still that of a count.
        let of_a_count = samples * tail * (1.0 - tail);
        let squares = squares.max(of_a_count);
        let together = inflation(&excess, MARGIN);
        let error = (together * squares * number / (number - 1.0)).sqrt() / samples;
        let freedom = (number / together - 1.0).max(1.0);
        let half = quantile(CONFIDENCE, freedom)? * error;
        Some(Self { half, has_trend: has_trend(&excess, together)? })
    }
}

/// Whether the values rise or fall by more than noise.
fn has_trend(values: &[f64], together: f64) -> Option<bool> {
    let number = precise(values.len() as u64);
    let middle = (number - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / number;
    let places = || (0_u32..).map(|place| f64::from(place) - middle);
    let of_places: f64 = places().take(values.len()).map(|place| place.powi(2)).sum();
    let products: f64 = places().zip(values).map(|(place, value)| place * (value - mean)).sum();
    let slope = products / of_places;
    let rest: f64 = places().zip(values).map(|(place, value)| (value - mean - slope * place).powi(2)).sum();
    let freedom = (number / together - 2.0).max(1.0);
    let error = (together * rest / (number - 2.0) / of_places).sqrt();
    Some(slope.abs() > quantile(TREND_CONFIDENCE, freedom)? * error)
}

/// Student's t within which so large a share lies, to both sides.
fn quantile(confidence: f64, freedom: f64) -> Option<f64> {
    Some(StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(f64::midpoint(1.0, confidence)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Confidence, PARTS_MAX, Watched};
    use crate::metric::{Histograms, Metric};
    use crate::phase::Phase;

    /// Uniform values in (0, 1) of a small generator.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
            let upper = (self.0 >> 11) as f64;
            (upper + 0.5) / (1_u64 << 53) as f64
        }
    }

    fn watched(text: &str) -> Watched {
        Watched::new(text.parse().unwrap())
    }

    /// A second with so many exponential times of this mean.
    fn second(random: &mut Random, samples: u32, mean_us: f64) -> Histograms {
        let mut histograms = Histograms::default();
        for _ in 0..samples {
            let time = Duration::from_secs_f64(-random.next().ln() * mean_us / 1e6);
            histograms.record(Metric::DeliveryResponseTime, Phase::Load, time);
        }
        histograms
    }

    /// Runs until it is sure enough, or for so many seconds, with the mean of each second.
    fn run(text: &str, seconds: u64, samples: u32, mut mean_us: impl FnMut(u64) -> f64) -> Confidence {
        let (mut watched, mut random) = (watched(text), Random(seconds + u64::from(samples)));
        for number in 0..seconds {
            watched.add(100 + number, &second(&mut random, samples, mean_us(number)));
            watched.look(100 + number);
            if watched.is_reached() {
                return watched.confidence(number + 1);
            }
        }
        watched.confidence(seconds)
    }

    #[test]
    fn a_steady_load_is_sure_of_the_true_percentile_in_19_of_20() {
        let (mut held, runs) = (0, 100);
        for number in 0..runs {
            let (mut watched, mut random) = (watched("e2e p(90) ±5%"), Random(number));
            let mut seconds = 0;
            while !watched.is_reached() {
                seconds += 1;
                watched.add(seconds, &second(&mut random, 150, 1_000.0));
                watched.look(seconds);
                assert!(seconds < 200, "{:?}", watched.confidence(seconds));
            }
            let sure = watched.confidence(seconds);
            let truth = 10_f64.ln() * 1_000.0;
            let [low, high] = [sure.low_us, sure.high_us].map(|us| u32::try_from(us.unwrap()).unwrap());
            held += u32::from(f64::from(low) <= truth && truth <= f64::from(high));
        }
        // 95 are expected, with a deviation of 2.
        assert!(held >= 89, "{held} of {runs}");
    }

    #[test]
    fn stalls_of_whole_seconds_take_longer_than_the_same_samples_in_any_order() {
        let steady = run("e2e p(90) ±5%", 400, 100, |_| 1_000.0);
        let mut random = Random(5);
        let stalls = run("e2e p(90) ±5%", 400, 100, |_| if random.next() < 0.15 { 5_000.0 } else { 500.0 });
        assert_eq!(steady.unreached_because(), None);
        assert!(stalls.seconds > 2 * steady.seconds, "{} after {}", stalls.seconds, steady.seconds);
    }

    #[test]
    fn a_load_that_gets_slower_is_never_sure() {
        let drifting = run("e2e p(90) ±2%", 120, 200, |second| {
            1_000.0 + 10.0 * f64::from(u32::try_from(second).unwrap())
        });
        let why = drifting.unreached_because().unwrap();
        assert!(why.starts_with("not stationary: ") && why.contains(" ms in the second"), "{why}");
        let [first, second] = drifting.halves_us.unwrap();
        assert!(first < second, "{first} {second}");
    }

    #[test]
    fn too_few_samples_say_how_many_it_takes() {
        let nothing = watched("e2e p(99) ±5%").confidence(30);
        assert_eq!(nothing.unreached_because().unwrap(), "nothing was measured");
        let few = run("e2e p(99) ±5%", 30, 10, |_| 1_000.0);
        let why = few.unreached_because().unwrap();
        assert_eq!(why, "too few samples: 300 of at least 1,000, in 30 s; raise --rate or --duration");
        assert_eq!((few.estimate_us, few.low_us, few.high_us), (None, None, None));
        let wide = run("e2e p(99) ±5%", 30, 100, |_| 1_000.0);
        let why = wide.unreached_because().unwrap();
        assert!(why.starts_with("±") && why.contains(" % after 30 s; at this rate it takes about "), "{why}");
        let hopeless = Confidence { high_us: Some(u64::MAX), ..wide };
        assert!(hopeless.unreached_because().unwrap().contains("would hardly help"));
    }

    #[test]
    fn a_load_of_hours_has_few_parts_and_every_sample() {
        let (mut watched, mut random) = (watched("e2e p(50) ±0.1%"), Random(1));
        let mut last = 0;
        for number in 0..5_000 {
            watched.add(number, &second(&mut random, 3, 1_000.0));
            last = number;
        }
        assert!((PARTS_MAX / 2..=PARTS_MAX).contains(&watched.parts.len()), "{}", watched.parts.len());
        assert_eq!(watched.confidence(last + 1).samples, 15_000);
    }

    #[test]
    fn samples_of_other_times_and_phases_do_not_count() {
        let mut histograms = Histograms::default();
        histograms.record(Metric::DeliveryResponseTime, Phase::Warmup, Duration::from_millis(1));
        histograms.record(Metric::PublishResponseTime, Phase::Load, Duration::from_millis(1));
        let mut watched = watched("e2e p(50) ±5%");
        watched.add(1, &histograms);
        assert_eq!(watched.confidence(1).samples, 0);
    }
}
