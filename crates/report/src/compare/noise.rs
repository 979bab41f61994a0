//! Whether two samples differ by more than noise.

use statrs::distribution::{ContinuousCDF, StudentsT};
use ungraceful_record::noise::inflation;

use super::{By, Change};

/// How often one comparison of equal sides may show any change: once in a thousand.
const FALSE_ALARMS: f64 = 0.001;
/// Fewest values of a side.
const VALUES_MIN: usize = 2;

/// The median; 0 without values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The change from `one` to `other` with its interval, by Welch's t on logarithms: times and rates vary by factors. `of` figures are
/// compared together, so each interval is wider (Bonferroni). Absent with fewer than two values on a side, or with one that is not
/// positive.
pub(super) fn change(one: &[f64], other: &[f64], by: By, resolution: f64, of: usize) -> Option<Change> {
    let (one, other) = (Sample::of(one, by, resolution)?, Sample::of(other, by, resolution)?);
    let estimate = other.mean - one.mean;
    let error = (one.error_squared + other.error_squared).sqrt();
    let freedom = error.powi(4)
        / (one.error_squared.powi(2) / one.freedom + other.error_squared.powi(2) / other.freedom);
    let quantile = 1.0 - FALSE_ALARMS / count(2 * of.max(1));
    let half = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(quantile) * error;
    let share = |logarithm: f64| logarithm.exp_m1();
    Some(Change { estimate: share(estimate), low: share(estimate - half), high: share(estimate + half) })
}

/// Logarithms of values.
struct Sample {
    mean: f64,
    /// The square of the mean's standard error.
    error_squared: f64,
    freedom: f64,
}

impl Sample {
    fn of(values: &[f64], by: By, resolution: f64) -> Option<Self> {
        if values.len() < VALUES_MIN || values.iter().any(|value| *value <= 0.0) {
            return None;
        }
        let mut logarithms: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        // Single seconds may be very slow, in any run: the lowest and highest fifth of the parts count as the next ones (Yuen's trimmed
        // t). Repetitions are too few for that.
        let (together, left_out) = match by {
            By::Repetitions => (1.0, 0),
            By::Parts => (inflation(&logarithms, 1.0), logarithms.len() / 5),
        };
        logarithms.sort_by(f64::total_cmp);
        let kept = &logarithms[left_out..logarithms.len() - left_out];
        let mean = average(kept);
        let (lowest, highest) = (kept[0], kept[kept.len() - 1]);
        let drawn_in: Vec<f64> = logarithms.iter().map(|value| value.clamp(lowest, highest)).collect();
        let (number, kept) = (count(drawn_in.len()), count(kept.len()));
        // Equal values are no proof of an exact one: they may be steps of what is measured.
        let variance =
            (squares(&drawn_in) / (number - 1.0)).max(resolution * resolution).max(f64::MIN_POSITIVE);
        let freedom = (kept / together - 1.0).max(1.0);
        let error_squared = together * (number - 1.0) * variance / (kept * (kept - 1.0));
        Some(Self { mean, error_squared, freedom })
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len())
}

/// The sum of the squared deviations from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = average(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a handful of values")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{By, change, median};

    /// Standard normal values of a small generator, by sums of twelve uniform ones.
    fn normal(state: &mut u64) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
            let uniform = (*state >> 11) as f64 / (1_u64 << 53) as f64;
            sum += uniform;
        }
        sum
    }

    fn runs(state: &mut u64, number: usize, median_us: f64, spread: f64) -> Vec<f64> {
        (0..number).map(|_| median_us * (spread * normal(state)).exp()).collect()
    }

    #[test]
    fn the_median_of_none_one_and_several() {
        assert_eq!([&[][..], &[3.0], &[3.0, 1.0], &[9.0, 1.0, 2.0]].map(median), [0.0, 3.0, 2.0, 2.0]);
    }

    #[test]
    fn equal_sides_differ_at_most_once_in_a_thousand() {
        let mut state = 7;
        let (mut alarms, pairs, figures) = (0, 20_000, 10);
        for _ in 0..pairs {
            // Ten figures of one pair of sides: any alarm counts.
            let is_alarm = (0..figures).any(|_| {
                let sides = [5, 5].map(|number| runs(&mut state, number, 200.0, 0.03));
                let change =
                    change(&sides[0], &sides[1], By::Repetitions, 0.001, figures).expect("ten values");
                change.low > 0.0 || change.high < 0.0
            });
            alarms += u32::from(is_alarm);
        }
        assert!(alarms <= 20 + 3 * 5, "{alarms} of {pairs}: 20 are expected, with a deviation of 4.5");
        assert!(alarms > 2, "{alarms} of {pairs}: the interval is needlessly wide");
    }

    #[test]
    fn a_side_that_is_noisier_gives_no_more_false_alarms() {
        let mut state = 3;
        let (mut alarms, pairs) = (0, 20_000);
        for _ in 0..pairs {
            let (calm, noisy) = (runs(&mut state, 5, 200.0, 0.002), runs(&mut state, 5, 200.0, 0.05));
            let change = change(&calm, &noisy, By::Repetitions, 0.001, 1).expect("ten values");
            alarms += u32::from(change.low > 0.0 || change.high < 0.0);
        }
        assert!(alarms <= 20 + 3 * 5, "{alarms} of {pairs}: 20 are expected, with a deviation of 4.5");
    }

    #[test]
    fn a_slow_down_of_a_twentieth_is_caught_in_99_of_100() {
        let mut state = 11;
        let (mut caught, pairs) = (0, 2_000);
        for _ in 0..pairs {
            let (before, after) = (runs(&mut state, 10, 200.0, 0.01), runs(&mut state, 10, 210.0, 0.01));
            let change = change(&before, &after, By::Repetitions, 0.001, 10).expect("twenty values");
            caught += u32::from(change.low > 0.0 && change.high >= 0.05);
        }
        assert!(caught * 100 >= pairs * 99, "{caught} of {pairs}");
    }

    #[test]
    fn parts_that_drift_together_are_less_sure_than_repetitions() {
        let drifting: Vec<f64> = (0..10).map(|part| 200.0 + f64::from(part)).collect();
        let later: Vec<f64> = drifting.iter().map(|us| us * 1.02).collect();
        let width = |by| {
            let change = change(&drifting, &later, by, 0.001, 1).expect("ten values");
            assert!((change.estimate - 0.02).abs() < 1e-9, "{change:?}");
            change.high - change.low
        };
        assert!(width(By::Parts) > 2.0 * width(By::Repetitions));
    }

    #[test]
    fn what_has_no_logarithm_or_stands_alone_is_not_compared() {
        for (one, other) in [(&[0.0, 1.0][..], &[1.0, 1.0][..]), (&[1.0], &[1.0, 2.0]), (&[], &[])] {
            assert_eq!(change(one, other, By::Repetitions, 0.001, 1), None);
        }
        let equal = change(&[5.0, 5.0], &[5.0, 5.0], By::Repetitions, 0.001, 1).expect("four values");
        assert!(equal.low < 0.0 && equal.high > 0.0 && equal.estimate == 0.0, "{equal:?}");
    }
}
