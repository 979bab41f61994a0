//! A straight line through points, with the confidence interval of its slope: whether a broker grows with attempts.

use ungraceful_record::run::SlopeRecord;

/// With fewer points a line means nothing.
pub(crate) const POINTS_MIN: usize = 5;
/// The slope is reported per so many of `x`.
const PER: f64 = 1_000.0;

/// The slope of `y` per 1,000 of `x` by ordinary least squares, with its 95 % interval by Student's t; absent with
/// fewer than [`POINTS_MIN`] points, or when all have the same `x`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "differences from the first point are taken in integers; they are far below 2^53, where a float is exact"
)]
pub(crate) fn per_1000(points: &[(u64, u64)]) -> Option<SlopeRecord> {
    let (first_x, first_y) = *points.first().filter(|_| points.len() >= POINTS_MIN)?;
    // Relative to the first point: squares of gigabytes would leave no digits for the growth.
    let shifted = |from: u64, to: u64| to.checked_signed_diff(from).map(|difference| difference as f64);
    let shifted = points.iter().map(|(x, y)| Some((shifted(first_x, *x)?, shifted(first_y, *y)?)));
    let points: Vec<(f64, f64)> = shifted.collect::<Option<_>>()?;
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    let residuals: f64 = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    let freedom = points.len() - 2;
    let error = (residuals / freedom as f64 / spread).sqrt();
    let half = student_t_975(freedom) * error;
    let values = [slope, slope - half, slope + half].map(|value| rounded(value * PER));
    let [estimate, low, high] = values;
    values.iter().all(|value| value.is_finite()).then_some(SlopeRecord {
        estimate,
        low,
        high,
        samples: points.len() as u64,
    })
}

/// To a thousandth, and never a negative zero.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0 + 0.0
}

/// The 97.5 % quantile of Student's t with `freedom` degrees of freedom, at least 1: from a table up to 10, then by
/// the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), which is right to a ten-thousandth there.
#[expect(
    clippy::cast_precision_loss,
    reason = "the number of samples of a run, at most one per second of a day"
)]
fn student_t_975(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
        2.228_139,
    ];
    /// The same quantile of the normal distribution.
    const Z: f64 = 1.959_963_985;
    if let Some(value) = TABLE.get(freedom.saturating_sub(1)) {
        return *value;
    }
    let power = |exponent: i32| Z.powi(exponent);
    let n = freedom as f64;
    let first = (power(3) + Z) / 4.0;
    let second = (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / 96.0;
    let third = (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / 384.0;
    let fourth =
        (79.0 * power(9) + 776.0 * power(7) + 1_482.0 * power(5) - 1_920.0 * power(3) - 945.0 * Z) / 92_160.0;
    Z + first / n + second / n.powi(2) + third / n.powi(3) + fourth / n.powi(4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ungraceful_record::run::SlopeRecord;

    use super::{per_1000, student_t_975};

    #[test]
    fn students_t_matches_the_tables() {
        let known = [
            (1, 12.706_2),
            (3, 3.182_4),
            (10, 2.228_1),
            (11, 2.201_0),
            (12, 2.178_8),
            (15, 2.131_4),
            (20, 2.086_0),
            (30, 2.042_3),
            (60, 2.000_3),
            (120, 1.979_9),
            (100_000, 1.960_0),
        ];
        for (freedom, expected) in known {
            let t = student_t_975(freedom);
            assert!((t - expected).abs() < 0.000_1, "{freedom}: {t} and not {expected}");
        }
    }

    #[test]
    fn a_slope_and_its_interval_are_those_worked_out_by_hand() {
        // x̄ = 3, ȳ = 4; Sxx = 10, Sxy = 6; slope 0.6; residuals squared 2.4; s² = 0.8; error √0.08; t(3) = 3.182446.
        let points = [(1, 2), (2, 4), (3, 5), (4, 4), (5, 5)];
        let expected = SlopeRecord { estimate: 600.0, low: -300.132, high: 1_500.132, samples: 5 };
        assert_eq!(per_1000(&points), Some(expected));
    }

    #[test]
    fn a_straight_line_has_an_interval_of_no_width() {
        let line = |y: fn(u64) -> u64| (0..20).map(|n| (n * 100, y(n))).collect::<Vec<_>>();
        let grows = per_1000(&line(|n| 64_000_000_000 + n * 4_096)).unwrap();
        assert_eq!((grows.estimate, grows.low, grows.high), (40_960.0, 40_960.0, 40_960.0));
        let shrinks = per_1000(&line(|n| 1_000 - n)).unwrap();
        assert_eq!((shrinks.estimate, shrinks.low, shrinks.high), (-10.0, -10.0, -10.0));
        let still = per_1000(&line(|_| 7)).unwrap();
        assert_eq!(format!("{} {} {}", still.estimate, still.low, still.high), "0 0 0", "no negative zero");
    }

    #[test]
    fn too_few_distinct_points_have_no_slope() {
        assert_eq!(per_1000(&[]), None);
        assert_eq!(per_1000(&[(1, 2), (2, 4), (3, 5), (4, 4)]), None);
        assert_eq!(per_1000(&[(7, 2), (7, 4), (7, 5), (7, 4), (7, 5)]), None);
        assert_eq!(per_1000(&[(0, 0), (1, u64::MAX), (2, 0), (3, 1), (4, 2)]), None, "no invented number");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_estimate_and_all_are_numbers(
            points in prop::collection::vec((0_u64..10_000_000, 0_u64..1 << 40), 0..100),
        ) {
            if let Some(slope) = per_1000(&points) {
                prop_assert!(slope.low <= slope.estimate && slope.estimate <= slope.high, "{slope:?}");
            }
        }
    }
}
