//! The axes of a chart: where a value is placed, and the marks along it.

use std::ops::Range;
use std::time::Duration;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

use crate::scale;

/// Most marks on a linear axis, beside that of 0.
const MARKS_AT_MOST: u64 = 5;

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    kind: Kind,
    /// Begin and end, as places.
    pub(super) range: (f64, f64),
    pub(super) marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Logarithmic,
}

/// A mark with its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Axis {
    /// Seconds of the run, from 0 to `last`.
    pub(super) fn seconds(last: u64) -> Self {
        let step = decimal_step(last);
        let marks = (0..=last / step).map(|n| (n * step, format!("{} s", scale::count(n * step))));
        Self::linear(last.max(1), marks)
    }

    /// Numbers of something, from 0 to at least `most`.
    pub(super) fn counts(most: u64) -> Self {
        Self::up_to(most, decimal_step(most), scale::count)
    }

    /// Messages per second, from 0 to at least `most`.
    pub(super) fn rates(most: u64) -> Self {
        Self::up_to(most, decimal_step(most), |rate| match rate {
            0 => "0".to_owned(),
            rate => format!("{}/s", scale::count(rate)),
        })
    }

    /// Shares in parts of a million, from 0 to at least `most`.
    pub(super) fn shares(most: u64) -> Self {
        Self::up_to(most, decimal_step(most), |parts| {
            let percent = format!("{}.{:04}", parts / 10_000, parts % 10_000);
            format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
        })
    }

    /// Bytes, from 0 to at least `most`.
    pub(super) fn bytes(most: u64) -> Self {
        let step = most.div_ceil(MARKS_AT_MOST).max(1);
        Self::up_to(most, step.checked_next_power_of_two().unwrap_or(step), scale::bytes)
    }

    /// Times in µs, from 0 to at least `most`.
    pub(super) fn times(most: u64) -> Self {
        Self::up_to(most, decimal_step(most), |us| scale::span(Duration::from_micros(us)))
    }

    fn up_to(most: u64, step: u64, label: impl Fn(u64) -> String) -> Self {
        let steps = most.div_ceil(step).max(1);
        Self::linear(
            steps.saturating_mul(step),
            (0..=steps).map(|n| (n.saturating_mul(step), label(n.saturating_mul(step)))),
        )
    }

    fn linear(end: u64, marks: impl Iterator<Item = (u64, String)>) -> Self {
        let marks = marks.map(|(at, label)| Mark { at: float(at), label });
        Self { kind: Kind::Linear, range: (0.0, float(end)), marks: marks.collect() }
    }

    /// Times in µs, with equal room for each power of ten from `least` to `most`.
    pub(super) fn powers_of_ten(least: u64, most: u64) -> Self {
        let first = least.max(1).ilog10();
        let last = most.max(1).ilog10() + u32::from(!is_power_of_ten(most.max(1)));
        let last = last.max(first + 1);
        let marks = (first..=last).map(|power| {
            let us = 10_u64.saturating_pow(power);
            Mark { at: f64::from(power), label: scale::span(Duration::from_micros(us)) }
        });
        let marks = marks.collect();
        Self { kind: Kind::Logarithmic, range: (f64::from(first), f64::from(last)), marks }
    }

    /// Percentiles up to the largest of `count` samples: each further nine takes the same room.
    pub(super) fn percentiles(count: u64) -> Self {
        let end = largest_of(count).max(1.0);
        let marks = PERCENTILES
            .into_iter()
            .map(|(label, share_beyond)| Mark { at: -f64::log10(share_beyond), label: label.to_owned() });
        // On a long axis, the smallest and the median have no room side by side.
        let marks = marks
            .filter(|mark| !mark.label.is_empty() && mark.at <= end && (end < 3.5 || mark.at > 0.0))
            .collect();
        Self { kind: Kind::Linear, range: (0.0, end), marks }
    }

    /// The place of a value.
    pub(super) fn place(&self, value: u64) -> f64 {
        match self.kind {
            Kind::Linear => float(value),
            Kind::Logarithmic => float(value.max(1)).log10(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.marks.iter().map(|mark| mark.at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        let distance = |mark: &&Mark| (mark.at - at).abs();
        let nearest = self.marks.iter().min_by(|one, other| distance(one).total_cmp(&distance(other)));
        nearest.map(|mark| mark.label.clone()).unwrap_or_default()
    }
}

/// The percentiles of a distribution, each with the share of samples beyond it.
const PERCENTILES: [(&str, f64); 7] = [
    ("min", 1.0),
    ("p50", 0.5),
    ("p90", 0.1),
    // Its mark would be too close to the one before.
    ("", 0.05),
    ("p99", 0.01),
    ("p99.9", 0.001),
    ("p99.99", 0.000_1),
];

/// The place of the largest of `count` samples on an axis of percentiles: one of them is not smaller.
pub(super) fn largest_of(count: u64) -> f64 {
    float(count.max(1)).log10()
}

/// The places of the percentiles from the smallest on, as on [`Axis::percentiles`].
pub(super) fn places_of_percentiles() -> [f64; PERCENTILES.len()] {
    PERCENTILES.map(|(_, share_beyond)| -f64::log10(share_beyond))
}

fn is_power_of_ten(number: u64) -> bool {
    10_u64.checked_pow(number.ilog10()) == Some(number)
}

/// 1, 2 or 5 times a power of ten, with at most [`MARKS_AT_MOST`] steps to `most`.
fn decimal_step(most: u64) -> u64 {
    let least = most.div_ceil(MARKS_AT_MOST).max(1);
    let power = 10_u64.saturating_pow(least.ilog10());
    let fits =
        [1, 2, 5, 10].into_iter().map(|factor| power.saturating_mul(factor)).find(|step| *step >= least);
    fits.unwrap_or(least)
}

/// A value as a place on an axis.
#[expect(clippy::cast_precision_loss, reason = "a place in a picture has three digits at most")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::{Axis, decimal_step};

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.marks.iter().map(|mark| mark.label.as_str()).collect()
    }

    #[test]
    fn marks_are_round_numbers_with_their_unit() {
        assert_eq!(labels(&Axis::counts(17)), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&Axis::counts(0)), ["0", "1"]);
        assert_eq!(labels(&Axis::seconds(23)), ["0 s", "5 s", "10 s", "15 s", "20 s"]);
        assert_eq!(
            labels(&Axis::bytes(8_600_000)),
            ["0 B", "2.00 MiB", "4.00 MiB", "6.00 MiB", "8.00 MiB", "10.0 MiB"]
        );
        assert_eq!(labels(&Axis::times(30_000)), ["0 s", "10 ms", "20 ms", "30 ms"]);
        assert_eq!(labels(&Axis::rates(1_550)), ["0", "500/s", "1,000/s", "1,500/s", "2,000/s"]);
        assert_eq!(labels(&Axis::shares(2_600)), ["0 %", "0.1 %", "0.2 %", "0.3 %"]);
        assert_eq!(labels(&Axis::powers_of_ten(340, 7_439)), ["100 µs", "1 ms", "10 ms"]);
        assert_eq!(labels(&Axis::percentiles(200)), ["min", "p50", "p90", "p99"]);
    }

    #[test]
    fn the_largest_numbers_have_a_place() {
        for axis in [
            Axis::counts(u64::MAX),
            Axis::bytes(u64::MAX),
            Axis::times(u64::MAX),
            Axis::powers_of_ten(0, u64::MAX),
        ] {
            assert!(axis.place(u64::MAX) <= axis.range.1 * 1.000_001, "{axis:?}");
            assert!(axis.marks.len() <= 25, "{axis:?}");
        }
        assert_eq!(decimal_step(10_000), 2_000);
    }
}
