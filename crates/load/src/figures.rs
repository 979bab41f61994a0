//! What one thread measured: histograms of the last second, which are handed over, and of the whole time.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ungraceful_record::metric::{Metric, Recorded, histogram, merge};
use ungraceful_record::phase::Phase;
use ungraceful_rig::measure::{Counters, Interval};

/// The metrics that a load has, in the order of their histograms.
const METRICS: [Metric; 11] = [
    Metric::PublishResponseTime,
    Metric::PublishServiceTime,
    Metric::DeliveryResponseTime,
    Metric::DeliveryServiceTime,
    Metric::DepartureTime,
    Metric::ScheduleSlip,
    Metric::LoopLag,
    Metric::TcpConnectTime,
    Metric::HandshakeTime,
    Metric::ConnackTime,
    Metric::SubackTime,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    PublishResponse,
    PublishService,
    DeliveryResponse,
    DeliveryService,
    Departure,
    Slip,
    Lag,
    TcpConnect,
    Handshake,
    Connack,
    Suback,
}

/// A thread's figures. Histograms are made when first needed.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    second: [Option<Histogram<u64>>; METRICS.len()],
    /// The last value of each and how often it came in a row: messages that are sent or acknowledged together have the same.
    in_a_row: [(u64, u64); METRICS.len()],
    whole: [Option<Histogram<u64>>; METRICS.len()],
    pub(crate) counters: Counters,
    /// What there was no room for the last time.
    kept: Interval,
}

impl Figures {
    #[inline]
    pub(crate) fn record(&mut self, timed: Timed, us: u64) {
        let (last_us, count) = &mut self.in_a_row[timed as usize];
        if *last_us == us {
            *count += 1;
        } else {
            self.put_row(timed as usize);
            self.in_a_row[timed as usize] = (us, 1);
        }
    }

    fn put_row(&mut self, index: usize) {
        let (us, count) = std::mem::take(&mut self.in_a_row[index]);
        if count > 0 {
            self.second[index].get_or_insert_with(histogram).saturating_record_n(us, count);
        }
    }

    /// Takes what was measured since the last call. All of it belongs to the load's own phase: the warm-up was never
    /// recorded.
    pub(crate) fn take(&mut self) -> Interval {
        let mut interval = std::mem::take(&mut self.kept);
        let counters = std::mem::take(&mut self.counters);
        if counters != Counters::default() {
            *interval.counters.entry(Phase::Load).or_default() += &counters;
        }
        for (index, metric) in METRICS.into_iter().enumerate() {
            self.put_row(index);
            // A new one each time: to empty one, most of which was never touched, makes all of it resident.
            let Some(second) = self.second[index].take() else { continue };
            merge(self.whole[index].get_or_insert_with(histogram), &second);
            interval.histograms.add(metric, Phase::Load, second);
        }
        interval
    }

    /// Keeps what there was no room for.
    pub(crate) fn keep(&mut self, interval: Interval) {
        self.kept = interval;
    }

    /// Everything that was taken.
    pub(crate) fn whole(&self, timed: Timed) -> Option<&Histogram<u64>> {
        self.whole[timed as usize].as_ref()
    }
}

/// Of the whole time: what is left when everything was handed over.
impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.whole.iter().map(|whole| whole.as_ref().map(Recorded)))
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut figures = Self::default();
        let read = <[Option<Recorded<_>>; METRICS.len()]>::deserialize(deserializer)?;
        figures.whole = read.map(|whole| whole.map(|recorded| recorded.0));
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::metric::Metric;
    use ungraceful_record::phase::Phase;

    use super::{Figures, METRICS, Timed};

    #[test]
    fn each_time_is_handed_over_once_under_its_own_name() {
        let all = [
            Timed::PublishResponse,
            Timed::PublishService,
            Timed::DeliveryResponse,
            Timed::DeliveryService,
            Timed::Departure,
            Timed::Slip,
            Timed::Lag,
            Timed::TcpConnect,
            Timed::Handshake,
            Timed::Connack,
            Timed::Suback,
        ];
        let mut figures = Figures::default();
        for (us, timed) in (1..).zip(all) {
            figures.record(timed, us);
        }
        figures.counters.load_sent = 5;
        let taken = figures.take();
        for (us, metric) in (1..).zip(METRICS) {
            assert_eq!(taken.histograms.of(metric, Phase::Load).unwrap().max(), us);
        }
        assert_eq!(taken.counters[&Phase::Load].load_sent, 5);
        figures.record(Timed::Slip, 100);
        let second = figures.take();
        assert_eq!(second.histograms.of(Metric::ScheduleSlip, Phase::Load).unwrap().len(), 1);
        assert!(
            second.counters.is_empty() && second.histograms.of(Metric::SubackTime, Phase::Load).is_none()
        );
        assert_eq!(figures.whole(Timed::Slip).unwrap().len(), 2);
    }

    #[test]
    fn equal_times_in_a_row_count_each() {
        let mut figures = Figures::default();
        for us in [0, 0, 5, 5, 5, 0, 7] {
            figures.record(Timed::Slip, us);
        }
        let taken = figures.take();
        let slip = taken.histograms.of(Metric::ScheduleSlip, Phase::Load).unwrap();
        assert_eq!((slip.len(), slip.count_at(5), slip.count_at(7)), (7, 3, 1));
        assert!(figures.take().histograms.of(Metric::ScheduleSlip, Phase::Load).is_none(), "once");
    }

    #[test]
    fn what_found_no_room_is_handed_over_the_next_time() {
        let mut figures = Figures::default();
        figures.record(Timed::Lag, 7);
        figures.counters.load_offered = 1;
        let taken = figures.take();
        figures.keep(taken);
        figures.counters.load_offered = 2;
        let taken = figures.take();
        assert_eq!(taken.counters[&Phase::Load].load_offered, 3);
        assert_eq!(taken.histograms.of(Metric::LoopLag, Phase::Load).unwrap().len(), 1);
    }
}
