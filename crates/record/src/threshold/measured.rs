//! What a threshold compares in a run, as numbers: for pictures. Whether it holds is judged elsewhere.

use super::{Limit, Subject, Threshold};
use crate::run::Record;

/// A measured value and its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// A time in µs, a number, or a share from 0 to 1.
    pub value: f64,
    /// The limit, in the same unit.
    pub limit: f64,
    /// What both are.
    pub unit: MeasuredUnit,
}

/// What a threshold compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuredUnit {
    /// A time in µs.
    Time,
    /// A number.
    Number,
    /// A share from 0 to 1.
    Share,
}

impl Threshold {
    /// What this run measured; absent without enough samples.
    #[must_use]
    pub fn measured(&self, record: &Record) -> Option<Measured> {
        match self.subject {
            Subject::Time(times, figure) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "times of a bounded run are far below 2^53 µs"
                )]
                let float = |us: u64| us as f64;
                let value = float((figure.2)(&(times.of)(record))?);
                let limit = match self.limit {
                    Limit::Value(limit_us) => limit_us,
                    Limit::TimesBaseline(factor) => factor * float((figure.2)(&(times.baseline?)(record))?),
                    Limit::Share(_) => return None,
                };
                Some(Measured { value, limit, unit: MeasuredUnit::Time })
            }
            Subject::Count(counted) => {
                let tally = (counted.of)(record)?;
                match self.limit {
                    Limit::Value(limit) => {
                        Some(Measured { value: tally.count, limit, unit: MeasuredUnit::Number })
                    }
                    Limit::Share(limit) => {
                        let value = tally.count / tally.of;
                        value.is_finite().then_some(Measured { value, limit, unit: MeasuredUnit::Share })
                    }
                    Limit::TimesBaseline(_) => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measured, MeasuredUnit, Threshold};
    use crate::load::{LoadCounts, LoadRecord};
    use crate::metric::Percentiles;
    use crate::run::Record;
    use crate::testing::empty_record;

    fn measured(threshold: &str, record: &Record) -> Option<Measured> {
        threshold.parse::<Threshold>().unwrap().measured(record)
    }

    #[test]
    fn a_time_and_its_limit_are_in_microseconds() {
        let delivery_response_time =
            Percentiles { count: 1_000, p99_us: Some(1_500), ..Percentiles::default() };
        let record = Record {
            load: Some(LoadRecord { delivery_response_time, ..LoadRecord::default() }),
            ..empty_record()
        };
        let expected = Measured { value: 1_500.0, limit: 50_000.0, unit: MeasuredUnit::Time };
        assert_eq!(measured("e2e p(99)<50ms", &record), Some(expected));
        assert_eq!(measured("e2e p(99.9)<50ms", &record), None, "too few samples");
    }

    #[test]
    fn a_number_is_absolute_or_a_share() {
        let counts = LoadCounts { expected: 200, delivered: 190, lost: 10, ..LoadCounts::default() };
        let by_qos = [(1, counts)].into();
        let record = Record { load: Some(LoadRecord { by_qos, ..LoadRecord::default() }), ..empty_record() };
        let number = Measured { value: 10.0, limit: 0.0, unit: MeasuredUnit::Number };
        assert_eq!(measured("loss==0", &record), Some(number));
        let share = Measured { value: 0.05, limit: 0.01, unit: MeasuredUnit::Share };
        assert_eq!(measured("loss<1%", &record), Some(share));
        assert_eq!(measured("loss==0", &empty_record()), None, "no load");
    }
}
