//! What one thread measured since its last report: counters and histograms by phase. Each thread owns its
//! meter and hands it over once a second; nothing is shared while measuring.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ungraceful_record::counts;
use ungraceful_record::metric::{Histograms, Metric};
use ungraceful_record::phase::Phase;

counts! {
    /// Counts of what happened in an interval.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Counters {
        /// Bystander messages that fell due.
        pub offered: u64,
        /// Bystander messages that were sent.
        pub sent: u64,
        /// Bystander messages that were acknowledged.
        pub acknowledged: u64,
        /// Bystander messages that were delivered for the first time.
        pub delivered: u64,
        /// Attempts that were begun.
        pub attempts_started: u64,
        /// Attempts that ended.
        pub attempts_finished: u64,
        /// Attempts that were dropped because they could not be begun in time.
        pub attempts_dropped: u64,
        /// Reactions of the broker.
        pub reactions: u64,
        /// Messages of the load that fell due.
        pub load_offered: u64,
        /// Messages of the load that were sent.
        pub load_sent: u64,
        /// Messages of the load that were acknowledged (QoS 1 and 2).
        pub load_acknowledged: u64,
        /// Messages of the load that came to a subscriber for the first time.
        pub load_delivered: u64,
    }
}

/// Everything one thread measured in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Counters by the phase they belong to.
    pub counters: BTreeMap<Phase, Counters>,
    /// Times by metric and phase.
    pub histograms: Histograms,
}

impl Interval {
    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (phase, counters) in &other.counters {
            *self.counters.entry(*phase).or_default() += counters;
        }
        self.histograms.merge(&other.histograms);
    }
}

/// A thread's meter. Clones share it within the thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    interval: Rc<RefCell<Interval>>,
}

impl Meter {
    pub(crate) fn count(&self, phase: Phase, what: impl FnOnce(&mut Counters)) {
        what(self.interval.borrow_mut().counters.entry(phase).or_default());
    }

    pub(crate) fn record(&self, metric: Metric, phase: Phase, time: Duration) {
        self.interval.borrow_mut().histograms.record(metric, phase, time);
    }

    /// Takes what was measured since the last call.
    #[must_use]
    pub(crate) fn take(&self) -> Interval {
        self.interval.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use ungraceful_record::metric::Metric;
    use ungraceful_record::phase::Phase;

    use super::{Counters, Interval, Meter};

    fn distinct(first: u64) -> Counters {
        Counters {
            offered: first,
            sent: first + 1,
            acknowledged: first + 2,
            delivered: first + 3,
            attempts_started: first + 4,
            attempts_finished: first + 5,
            attempts_dropped: first + 6,
            reactions: first + 7,
            load_offered: first + 8,
            load_sent: first + 9,
            load_acknowledged: first + 10,
            load_delivered: first + 11,
        }
    }

    #[test]
    fn a_meter_hands_over_everything_once_for_all_clones() {
        let meter = Meter::default();
        let of_another_task = meter.clone();
        of_another_task.count(Phase::Fault, |counters| counters.sent += 2);
        meter.record(Metric::LoopLag, Phase::Fault, Duration::from_micros(7));
        let taken = meter.take();
        assert_eq!(taken.counters[&Phase::Fault], Counters { sent: 2, ..Counters::default() });
        assert_eq!(taken.histograms.of(Metric::LoopLag, Phase::Fault).unwrap().len(), 1);
        assert_eq!(meter.take(), Interval::default());
    }

    fn event() -> impl Strategy<Value = (Phase, Metric, u64)> {
        let metric = prop::sample::select(&[Metric::LoopLag, Metric::ReactionTime, Metric::ScheduleSlip]);
        (prop::sample::select(&Phase::ALL), metric, 0_u64..5_000_000_000)
    }

    fn measure(meter: &Meter, (phase, metric, us): (Phase, Metric, u64)) {
        meter.count(phase, |counters| *counters += &distinct(us));
        meter.record(metric, phase, Duration::from_micros(us));
    }

    proptest! {
        #[test]
        fn merged_intervals_equal_those_of_one_meter(
            events in prop::collection::vec((event(), prop::bool::weighted(0.3)), 0..60),
        ) {
            let (first, second, whole) = (Meter::default(), Meter::default(), Meter::default());
            let mut merged = Interval::default();
            for (number, (event, is_first)) in events.into_iter().enumerate() {
                measure(&whole, event);
                measure(if is_first { &first } else { &second }, event);
                // A thread may report at any time.
                if number % 5 == 0 {
                    merged.merge(&second.take());
                }
            }
            merged.merge(&first.take());
            merged.merge(&second.take());
            let taken = whole.take();
            // Of another process: written and read.
            let text = serde_json::to_string(&taken).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Interval>(&text).unwrap(), &taken);
            prop_assert_eq!(merged, taken);
        }
    }
}
