//! The measured times and their histograms. All have the same range and precision, so that histograms of several threads,
//! processes and runs merge without loss.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoded::Encoded;
use crate::phase::Phase;
use crate::scale::micros;

/// Smallest recorded time, in µs.
pub const LOWEST_US: u64 = 1;
/// Largest recorded time, in µs: one hour. Larger ones count as this.
pub const HIGHEST_US: u64 = 3_600_000_000;
/// Significant decimal digits.
pub const SIGNIFICANT_DIGITS: u8 = 3;

crate::words! {
    /// A measured time.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Metric: "metric" {
        /// From the provoking byte handed to the kernel to the first byte or the end of stream in response.
        ReactionTime = "reaction_time",
        /// From the provoking byte handed to the kernel to the end of stream.
        TimeToClose = "time_to_close",
        /// From the SYN to the complete TCP handshake; of a load's connections.
        TcpConnectTime = "tcp_connect_time",
        /// From the complete TCP handshake until those of TLS and WebSocket over it are complete; none over plain TCP.
        HandshakeTime = "handshake_time",
        /// From the complete handshakes to the complete CONNACK.
        ConnackTime = "connack_time",
        /// From the SUBSCRIBE handed to the kernel to the complete SUBACK; of a load's connections.
        SubackTime = "suback_time",
        /// A QoS 1 or 2 message of the load: from due to acknowledged (PUBACK, PUBCOMP).
        PublishResponseTime = "publish_response_time",
        /// A QoS 1 or 2 message of the load: from just before the write to acknowledged (PUBACK, PUBCOMP).
        PublishServiceTime = "publish_service_time",
        /// A message of the load: from due to received by a subscriber.
        DeliveryResponseTime = "delivery_response_time",
        /// A message of the load: from just before the write to received by a subscriber.
        DeliveryServiceTime = "delivery_service_time",
        /// A message of the load: from just before the write until its last byte left by the kernel's timestamp. Part of every
        /// service time. Sampled a hundred times a second per thread.
        DepartureTime = "departure_time",
        /// From the provoking byte handed to the kernel to the Will received by the witness.
        WillTime = "will_time",
        /// A bystander's message: from due to delivered to its subscriber.
        BystanderResponseTime = "bystander_response_time",
        /// A bystander's message: from given to its client library to delivered. Never more than its response time.
        BystanderServiceTime = "bystander_service_time",
        /// A bystander's QoS 1 or 2 message: from written to acknowledged (PUBACK, PUBCOMP).
        BystanderAcknowledgeTime = "bystander_acknowledge_time",
        /// From due until the generator handled it.
        ScheduleSlip = "schedule_slip",
        /// How late a generator thread's own 10 ms tick ran.
        LoopLag = "loop_lag",
    }
}

/// An empty histogram of the common range and precision.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that the library accepts")
}

/// Records `time` in `histogram`.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(micros(time));
}

/// Histograms by metric and phase, created on demand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histograms {
    by_key: BTreeMap<(Metric, Phase), Histogram<u64>>,
}

impl Histograms {
    /// Records one time.
    pub fn record(&mut self, metric: Metric, phase: Phase, time: Duration) {
        record(self.by_key.entry((metric, phase)).or_insert_with(histogram), time);
    }

    /// Adds `part`, which is of one metric in one phase.
    pub fn add(&mut self, metric: Metric, phase: Phase, part: Histogram<u64>) {
        match self.by_key.entry((metric, phase)) {
            Entry::Occupied(mut sum) => merge(sum.get_mut(), &part),
            Entry::Vacant(none) if !part.is_empty() => {
                none.insert(part);
            }
            Entry::Vacant(_) => {}
        }
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        for (key, histogram) in &other.by_key {
            merge(self.by_key.entry(*key).or_insert_with(self::histogram), histogram);
        }
    }

    /// The histogram of one metric in one phase; absent when nothing was recorded.
    #[must_use]
    pub fn of(&self, metric: Metric, phase: Phase) -> Option<&Histogram<u64>> {
        self.by_key.get(&(metric, phase))
    }

    /// Every histogram with its metric and phase, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, Phase, &Histogram<u64>)> {
        self.by_key.iter().map(|((metric, phase), histogram)| (*metric, *phase, histogram))
    }

    /// Everything recorded of one metric, over all measured phases.
    #[must_use]
    pub fn over_measured_phases(&self, metric: Metric) -> Histogram<u64> {
        let mut sum = histogram();
        for phase in Phase::MEASURED {
            if let Some(part) = self.of(metric, phase) {
                merge(&mut sum, part);
            }
        }
        sum
    }
}

/// A histogram as text for another process: each value that was recorded with its count. Read back, it is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<H>(pub H);

impl Serialize for Recorded<&Histogram<u64>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let steps = self.0.iter_recorded();
        serializer.collect_seq(steps.map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Recorded<Histogram<u64>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = histogram();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            read.record_n(value, count).map_err(serde::de::Error::custom)?;
        }
        Ok(Self(read))
    }
}

impl Serialize for Histograms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self.iter().map(|(metric, phase, histogram)| (metric, phase, Recorded(histogram)));
        serializer.collect_seq(each)
    }
}

impl<'de> Deserialize<'de> for Histograms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::<(Metric, Phase, Recorded<_>)>::deserialize(deserializer)?;
        let by_key = all.into_iter().map(|(metric, phase, recorded)| ((metric, phase), recorded.0));
        Ok(Self { by_key: by_key.collect() })
    }
}

/// Adds `part` to `sum`.
pub fn merge(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("all histograms have the same bounds");
}

/// Measured values of any unit: the histogram, and the exact sum and extremes.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    histogram: Histogram<u64>,
    sum: u64,
    smallest: u64,
    largest: u64,
}

impl Default for Values {
    fn default() -> Self {
        Self { histogram: histogram(), sum: 0, smallest: u64::MAX, largest: 0 }
    }
}

impl Values {
    /// Adds one value.
    pub fn add(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.sum = self.sum.saturating_add(value);
        self.smallest = self.smallest.min(value);
        self.largest = self.largest.max(value);
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Self) {
        merge(&mut self.histogram, &other.histogram);
        self.sum = self.sum.saturating_add(other.sum);
        self.smallest = self.smallest.min(other.smallest);
        self.largest = self.largest.max(other.largest);
    }

    /// The values for a record, from which [`ValuesRecord::values`] makes them again.
    #[must_use]
    pub fn record(&self) -> ValuesRecord {
        ValuesRecord {
            histogram: Encoded::of(&self.histogram),
            sum: self.sum,
            smallest: self.smallest,
            largest: self.largest,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The largest, exact; absent without values.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        (self.count() > 0).then_some(self.largest)
    }

    /// The value that `rank` values do not exceed, to three digits (the largest exact); absent for rank 0 or beyond the count.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        if rank == self.count() {
            return Some(self.largest);
        }
        let mut seen = 0;
        let found = self.histogram.iter_recorded().find(|step| {
            seen += step.count_since_last_iteration();
            seen >= rank
        });
        found.map(|step| step.value_iterated_to().clamp(self.smallest, self.largest))
    }

    /// The distribution.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let of = Percentiles::of(&self.histogram);
        let any = |value: u64| (of.count > 0).then_some(value);
        // A percentile is rounded to three digits, but never beyond the extremes.
        let within = |value: Option<u64>| value.map(|value| value.min(self.largest).max(self.smallest));
        Distribution {
            count: of.count,
            sum: self.sum,
            min: any(self.smallest),
            p50: within(of.p50_us),
            p90: within(of.p90_us),
            p99: within(of.p99_us),
            max: any(self.largest),
        }
    }
}

/// Measured values of any unit, as exactly as they were kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValuesRecord {
    /// Their histogram.
    pub histogram: Encoded,
    /// Their sum.
    pub sum: u64,
    /// The smallest.
    pub smallest: u64,
    /// The largest.
    pub largest: u64,
}

impl ValuesRecord {
    /// The values.
    ///
    /// # Errors
    /// Why the histogram can't be read.
    pub fn values(&self) -> Result<Values, String> {
        let Self { histogram, sum, smallest, largest } = self;
        Ok(Values { histogram: histogram.histogram()?, sum: *sum, smallest: *smallest, largest: *largest })
    }
}

/// A distribution of values of any unit. Percentiles follow the rule of [`Percentiles`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// How many values there are.
    pub count: u64,
    /// Their sum, exact.
    pub sum: u64,
    /// The smallest, exact; absent without values.
    pub min: Option<u64>,
    /// The median; needs 20 values.
    pub p50: Option<u64>,
    /// 90th percentile; needs 100 values.
    pub p90: Option<u64>,
    /// 99th percentile; needs 1,000 values.
    pub p99: Option<u64>,
    /// The largest, exact; absent without values.
    pub max: Option<u64>,
}

/// A distribution of times in µs. A percentile is absent with fewer than ten samples beyond it (p99 needs 1,000 samples, p99.9
/// needs 10,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// How many samples there are.
    pub count: u64,
    /// The smallest; absent without samples.
    pub min_us: Option<u64>,
    /// The median; needs 20 samples.
    pub p50_us: Option<u64>,
    /// 90th percentile; needs 100 samples.
    pub p90_us: Option<u64>,
    /// 95th percentile; needs 200 samples. Absent in earlier records, too.
    #[serde(default)]
    pub p95_us: Option<u64>,
    /// 99th percentile; needs 1,000 samples.
    pub p99_us: Option<u64>,
    /// 99.9th percentile; needs 10,000 samples.
    pub p99_9_us: Option<u64>,
    /// 99.99th percentile; needs 100,000 samples.
    pub p99_99_us: Option<u64>,
    /// The largest; absent without samples.
    pub max_us: Option<u64>,
}

impl Percentiles {
    /// The distribution of `histogram`.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        // Each percentile needs ten samples beyond it.
        let at =
            |quantile: f64, needed: u64| (count >= needed).then(|| histogram.value_at_quantile(quantile));
        Self {
            count,
            min_us: (count > 0).then(|| histogram.min()),
            p50_us: at(0.5, 20),
            p90_us: at(0.9, 100),
            p95_us: at(0.95, 200),
            p99_us: at(0.99, 1_000),
            p99_9_us: at(0.999, 10_000),
            p99_99_us: at(0.999_9, 100_000),
            max_us: (count > 0).then(|| histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Distribution, HIGHEST_US, Histograms, Metric, Percentiles, Values, histogram};
    use crate::phase::Phase;

    fn of_samples(count: u64) -> Percentiles {
        let mut samples = histogram();
        for us in 1..=count {
            samples.saturating_record(us);
        }
        Percentiles::of(&samples)
    }

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        assert_eq!(of_samples(0), Percentiles::default());
        let few = of_samples(19);
        assert_eq!((few.min_us, few.p50_us, few.max_us), (Some(1), None, Some(19)));
        assert_eq!(of_samples(20).p50_us, Some(10));
        assert_eq!((of_samples(999).p90_us, of_samples(999).p99_us), (Some(900), None));
        assert_eq!((of_samples(1_000).p99_us, of_samples(1_000).p99_9_us), (Some(990), None));
        assert!(of_samples(10_000).p99_9_us.is_some() && of_samples(10_000).p99_99_us.is_none());
    }

    #[test]
    fn merged_histograms_equal_one_of_all_samples() {
        let (mut first, mut second, mut whole) =
            (Histograms::default(), Histograms::default(), Histograms::default());
        for us in 0..1_000_u64 {
            let time = Duration::from_micros(us * us);
            let part = if us % 7 == 0 { &mut first } else { &mut second };
            part.record(Metric::ReactionTime, Phase::Fault, time);
            whole.record(Metric::ReactionTime, Phase::Fault, time);
        }
        second.record(Metric::LoopLag, Phase::Baseline, Duration::from_micros(5));
        whole.record(Metric::LoopLag, Phase::Baseline, Duration::from_micros(5));
        first.merge(&second);
        assert_eq!(first, whole);
    }

    #[test]
    fn a_time_beyond_the_range_is_kept_as_the_largest() {
        let mut histograms = Histograms::default();
        histograms.record(Metric::TimeToClose, Phase::Fault, Duration::from_secs(7_200));
        let held = histograms.of(Metric::TimeToClose, Phase::Fault).unwrap();
        assert_eq!(held.len(), 1);
        assert!(held.max() >= HIGHEST_US);
    }

    fn values(values: impl IntoIterator<Item = u64>) -> Values {
        let mut taken = Values::default();
        values.into_iter().for_each(|value| taken.add(value));
        taken
    }

    #[test]
    fn no_value_has_no_figures_and_one_value_is_exact() {
        assert_eq!(Values::default().distribution(), Distribution::default());
        let odd = 123_456_789;
        let one = values([odd]).distribution();
        let expected =
            Distribution { count: 1, sum: odd, min: Some(odd), max: Some(odd), ..Distribution::default() };
        assert_eq!(one, expected);
        let nothing = values([0]).distribution();
        assert_eq!((nothing.count, nothing.sum, nothing.min, nothing.max), (1, 0, Some(0), Some(0)));
    }

    #[test]
    fn a_percentile_of_values_needs_ten_beyond_it() {
        let of = |count| values(1..=count).distribution();
        assert_eq!((of(19).p50, of(20).p50), (None, Some(10)));
        assert_eq!((of(99).p90, of(100).p90), (None, Some(90)));
        assert_eq!((of(999).p99, of(1_000).p99), (None, Some(990)));
    }

    #[test]
    fn a_rank_is_a_value_and_absent_beyond_the_last() {
        let some = values([30, 10, 20, 40]);
        let ranks: Vec<_> = (0..=5).map(|rank| some.at_rank(rank)).collect();
        assert_eq!(ranks, [None, Some(10), Some(20), Some(30), Some(40), None]);
        assert_eq!((some.count(), some.largest()), (4, Some(40)));
        let equal = values([7, 7, 7, 9_999_999]);
        assert_eq!(
            (equal.at_rank(1), equal.at_rank(3), equal.at_rank(4)),
            (Some(7), Some(7), Some(9_999_999))
        );
        assert_eq!((values([]).at_rank(1), values([]).largest()), (None, None));
    }

    #[test]
    fn percentiles_lie_between_the_extremes() {
        // Neither has three digits.
        for value in [10_000_001, 7_654_321, 3_000_000_019, HIGHEST_US * 1_000] {
            let same = values(std::iter::repeat_n(value, 1_000)).distribution();
            assert_eq!((same.p50, same.p90, same.p99), (Some(value), Some(value), Some(value)));
        }
    }

    #[test]
    fn values_beyond_the_range_keep_exact_sum_and_extremes() {
        let (small, large) = (5, HIGHEST_US * 4);
        let both = values([large, small]).distribution();
        assert_eq!((both.count, both.sum), (2, large + small));
        assert_eq!((both.min, both.max), (Some(small), Some(large)));
        assert_eq!(values([u64::MAX, 3]).distribution().sum, u64::MAX, "and nothing overflows");
    }

    proptest! {
        #[test]
        fn merged_values_equal_one_of_all_and_sums_are_exact(
            all in prop::collection::vec((0_u64..20_000_000_000, prop::bool::weighted(0.2)), 0..200),
        ) {
            let part = |first| values(all.iter().filter(|(_, is_first)| *is_first == first).map(|(value, _)| *value));
            let (whole, first, second) = (values(all.iter().map(|(value, _)| *value)), part(true), part(false));
            let (mut merged, mut reversed) = (first.clone(), second.clone());
            merged.merge(&second);
            reversed.merge(&first);
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&reversed, &whole);
            let figures = whole.distribution();
            prop_assert_eq!(figures.count, all.len() as u64);
            prop_assert_eq!(figures.sum, all.iter().map(|(value, _)| *value).sum::<u64>());
            prop_assert_eq!(figures.min, all.iter().map(|(value, _)| *value).min());
            prop_assert_eq!(figures.max, all.iter().map(|(value, _)| *value).max());
            for percentile in [figures.p50, figures.p90, figures.p99].into_iter().flatten() {
                prop_assert!(Some(percentile) >= figures.min && Some(percentile) <= figures.max, "{:?}", figures);
            }
        }
    }
}
