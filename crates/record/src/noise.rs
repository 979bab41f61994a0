//! What parts of one run tell about noise.

/// By how much parts that follow each other tell less than independent ones: 1 for independent ones, more for those that rise and fall
/// together. It follows from their correlation at distance 1; `margin` times its standard error (one by the root of their number) is added,
/// because few parts show less of it than there is. 1 where all are equal.
#[must_use]
pub fn inflation(values: &[f64], margin: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of values")]
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if squares <= 0.0 {
        return 1.0;
    }
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let correlation = (products / squares + margin / number.sqrt()).clamp(0.0, 0.8);
    (1.0 + correlation) / (1.0 - correlation)
}

#[cfg(test)]
mod tests {
    use super::inflation;

    #[test]
    fn parts_that_drift_together_tell_less_than_those_that_alternate() {
        let drifting: Vec<f64> = (0..20).map(f64::from).collect();
        let alternating: Vec<f64> = (0..20).map(|number| f64::from(number % 2)).collect();
        assert!(
            (inflation(&drifting, 0.0) - 9.0).abs() < 1e-9,
            "the most that counts: {}",
            inflation(&drifting, 0.0)
        );
        assert!((inflation(&alternating, 0.0) - 1.0).abs() < 1e-9);
        assert!(inflation(&alternating, 10.0) > 1.0, "a margin makes it less sure");
        assert!((inflation(&[5.0; 4], 1.0) - 1.0).abs() < 1e-9);
    }
}
