//! What is timed, and the histograms that hold it: one range and precision for all, so that histograms of
//! several threads, processes and runs merge without loss.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::phase::Phase;
use crate::scale::micros;

/// Smallest time told apart, in µs.
pub const LOWEST_US: u64 = 1;
/// Largest time told apart, in µs: one hour. Larger ones are kept as this, and counted.
pub const HIGHEST_US: u64 = 3_600_000_000;
/// Significant decimal digits.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// A time that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Provoking byte handed to the kernel, until the first byte or the end of stream that answers it.
    ReactionTime,
    /// Provoking byte handed to the kernel, until the end of stream.
    TimeToClose,
    /// SYN handed to the kernel, until the TCP handshake was seen to be complete; of a load's connections.
    TcpConnectTime,
    /// TCP handshake complete, until the CONNACK was complete.
    ConnackTime,
    /// SUBSCRIBE handed to the kernel, until the SUBACK was complete; of a load's connections.
    SubackTime,
    /// A message of the load, QoS 1 or 2: due, until acknowledged (PUBACK, PUBCOMP).
    PublishResponseTime,
    /// A message of the load, QoS 1 or 2: about to be handed to the kernel, until acknowledged (PUBACK, PUBCOMP).
    PublishServiceTime,
    /// A message of the load: due, until a subscriber received it.
    DeliveryResponseTime,
    /// A message of the load: about to be handed to the kernel, until a subscriber received it.
    DeliveryServiceTime,
    /// A message of the load: about to be handed to the kernel, until its last byte left by the kernel's stamp. It is part of
    /// every service time. Looked at a hundred times a second for each thread.
    DepartureTime,
    /// Provoking byte handed to the kernel, until the witness received the Will.
    WillTime,
    /// A bystander's message: due, until delivered to its subscriber.
    BystanderResponseTime,
    /// A bystander's message: given to its client library, until delivered to its subscriber. Never more than its response
    /// time, message by message.
    BystanderServiceTime,
    /// A bystander's message of QoS 1 or 2: written, until acknowledged (PUBACK, PUBCOMP).
    BystanderAcknowledgeTime,
    /// Due, until the generator got to it.
    ScheduleSlip,
    /// How late a generator thread's own 10 ms tick ran.
    LoopLag,
}

impl Metric {
    /// The name used in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReactionTime => "reaction_time",
            Self::TimeToClose => "time_to_close",
            Self::TcpConnectTime => "tcp_connect_time",
            Self::ConnackTime => "connack_time",
            Self::SubackTime => "suback_time",
            Self::PublishResponseTime => "publish_response_time",
            Self::PublishServiceTime => "publish_service_time",
            Self::DeliveryResponseTime => "delivery_response_time",
            Self::DeliveryServiceTime => "delivery_service_time",
            Self::DepartureTime => "departure_time",
            Self::WillTime => "will_time",
            Self::BystanderResponseTime => "bystander_response_time",
            Self::BystanderServiceTime => "bystander_service_time",
            Self::BystanderAcknowledgeTime => "bystander_acknowledge_time",
            Self::ScheduleSlip => "schedule_slip",
            Self::LoopLag => "loop_lag",
        }
    }
}

/// An empty histogram of the one range and precision.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that the library accepts")
}

/// Records `time` in `histogram`.
pub fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(micros(time));
}

/// Histograms by metric and phase, made when first needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histograms {
    by_key: BTreeMap<(Metric, Phase), Histogram<u64>>,
}

impl Histograms {
    /// Records one time.
    pub fn record(&mut self, metric: Metric, phase: Phase, time: Duration) {
        record(self.by_key.entry((metric, phase)).or_insert_with(histogram), time);
    }

    /// Adds everything that `part` holds, which is of one metric in one phase.
    pub fn add(&mut self, metric: Metric, phase: Phase, part: &Histogram<u64>) {
        if !part.is_empty() {
            merge(self.by_key.entry((metric, phase)).or_insert_with(histogram), part);
        }
    }

    /// Adds everything that `other` holds.
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

/// Adds `part` to `sum`.
pub fn merge(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("all histograms have the same bounds");
}

/// Values that a fault measures, whatever their unit: the histogram and the exact sum.
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
    /// Takes in one value.
    pub fn add(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.sum = self.sum.saturating_add(value);
        self.smallest = self.smallest.min(value);
        self.largest = self.largest.max(value);
    }

    /// Takes in all values of `other`.
    pub fn merge(&mut self, other: &Self) {
        merge(&mut self.histogram, &other.histogram);
        self.sum = self.sum.saturating_add(other.sum);
        self.smallest = self.smallest.min(other.smallest);
        self.largest = self.largest.max(other.largest);
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

    /// The value that `rank` of all values do not exceed, to three digits, the largest exact; absent when there are not
    /// so many, or for none.
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

    /// The values in a few numbers.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let of = Percentiles::of(&self.histogram);
        let any = |value: u64| (of.count > 0).then_some(value);
        // A percentile is rounded to three digits, and never beyond the values that there are.
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

/// Values of any unit in a few numbers. The same rule holds for percentiles as in [`Percentiles`].
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

/// A distribution in a few numbers, in µs. A percentile is absent when there are too few samples for it: fewer
/// than ten beyond it (p99 needs 1,000 samples, p99.9 needs 10,000).
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
    /// The distribution that `histogram` holds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        // Percentile with the number of samples it takes, ten of them beyond it.
        let at =
            |quantile: f64, needed: u64| (count >= needed).then(|| histogram.value_at_quantile(quantile));
        Self {
            count,
            min_us: (count > 0).then(|| histogram.min()),
            p50_us: at(0.5, 20),
            p90_us: at(0.9, 100),
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
    fn a_percentile_with_fewer_than_ten_samples_beyond_it_is_absent() {
        assert_eq!(of_samples(0), Percentiles::default());
        let few = of_samples(19);
        assert_eq!((few.min_us, few.p50_us, few.max_us), (Some(1), None, Some(19)));
        assert_eq!(of_samples(20).p50_us, Some(10));
        assert_eq!((of_samples(999).p90_us, of_samples(999).p99_us), (Some(900), None));
        assert_eq!((of_samples(1_000).p99_us, of_samples(1_000).p99_9_us), (Some(990), None));
        assert!(of_samples(10_000).p99_9_us.is_some() && of_samples(10_000).p99_99_us.is_none());
    }

    #[test]
    fn what_two_workers_of_unequal_counts_recorded_merges_to_what_one_would_have() {
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
    fn a_time_beyond_the_range_is_kept_as_the_largest_and_not_lost() {
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
    fn no_value_has_no_figures_and_one_value_is_told_as_it_was() {
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
    fn a_percentile_of_values_with_fewer_than_ten_beyond_it_is_absent() {
        let of = |count| values(1..=count).distribution();
        assert_eq!((of(19).p50, of(20).p50), (None, Some(10)));
        assert_eq!((of(99).p90, of(100).p90), (None, Some(90)));
        assert_eq!((of(999).p99, of(1_000).p99), (None, Some(990)));
    }

    #[test]
    fn a_rank_is_the_value_that_so_many_do_not_exceed_and_is_absent_beyond_the_last() {
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
    fn no_percentile_lies_beyond_the_smallest_or_the_largest_value() {
        // Neither has three digits.
        for value in [10_000_001, 7_654_321, 3_000_000_019, HIGHEST_US * 1_000] {
            let same = values(std::iter::repeat_n(value, 1_000)).distribution();
            assert_eq!((same.p50, same.p90, same.p99), (Some(value), Some(value), Some(value)));
        }
    }

    #[test]
    fn values_beyond_the_range_of_times_keep_their_exact_sum_and_extremes() {
        let (small, large) = (5, HIGHEST_US * 4);
        let both = values([large, small]).distribution();
        assert_eq!((both.count, both.sum), (2, large + small));
        assert_eq!((both.min, both.max), (Some(small), Some(large)));
        assert_eq!(values([u64::MAX, 3]).distribution().sum, u64::MAX, "and nothing overflows");
    }

    proptest! {
        #[test]
        fn values_in_unequal_parts_merge_to_what_one_would_have_taken_and_sums_are_exact(
            all in prop::collection::vec((0_u64..20_000_000_000, prop::bool::weighted(0.2)), 0..200),
        ) {
            let part = |first| values(all.iter().filter(|(_, is_first)| *is_first == first).map(|(value, _)| *value));
            let (whole, first, second) = (values(all.iter().map(|(value, _)| *value)), part(true), part(false));
            let (mut merged, mut reversed) = (first.clone(), second.clone());
            merged.merge(&second);
            reversed.merge(&first);
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&reversed, &whole);
            let told = whole.distribution();
            prop_assert_eq!(told.count, all.len() as u64);
            prop_assert_eq!(told.sum, all.iter().map(|(value, _)| *value).sum::<u64>());
            prop_assert_eq!(told.min, all.iter().map(|(value, _)| *value).min());
            prop_assert_eq!(told.max, all.iter().map(|(value, _)| *value).max());
            for percentile in [told.p50, told.p90, told.p99].into_iter().flatten() {
                prop_assert!(Some(percentile) >= told.min && Some(percentile) <= told.max, "{:?}", told);
            }
        }
    }
}
