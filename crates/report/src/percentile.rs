//! A percentile as text: its time, `too few` without enough samples (which tables leave out), or `–` without any. Never a made-up
//! number.

use ungraceful_record::metric::Percentiles;

use crate::scale;

/// Shown for a value without samples.
pub(crate) const NONE: &str = "–";
/// Shown for a percentile that needs more samples.
pub(crate) const TOO_FEW: &str = "too few";

ungraceful_record::words! {
    /// A figure of a distribution in reports.
    pub(crate) enum Figure: "figure" {
        P50 = "p50",
        P99 = "p99",
        Max = "max",
    }
}

impl Figure {
    /// The figure in µs; absent without enough samples.
    pub(crate) const fn us(self, of: &Percentiles) -> Option<u64> {
        match self {
            Self::P50 => of.p50_us,
            Self::P99 => of.p99_us,
            Self::Max => of.max_us,
        }
    }

    /// The figure as text.
    pub(crate) fn shown(self, of: &Percentiles) -> String {
        shown(of.count, self.us(of).map(scale::time))
    }

    /// The figure with its name, or the largest value in place of a percentile that has too few samples: `p99 0.2 ms`,
    /// `max 3 ms`.
    pub(crate) fn named(self, of: &Percentiles) -> String {
        match (self.us(of), of.max_us) {
            (None, Some(max_us)) => format!("{} {}", Self::Max.name(), scale::time(max_us)),
            _ => format!("{} {}", self.name(), self.shown(of)),
        }
    }
}

/// The number of samples that a percentile needs, with its name; absent for other figures.
pub(crate) fn samples_needed(name: &str) -> Option<(u64, &'static str)> {
    const NEEDED: [(u64, &str); 5] =
        [(20, "p50"), (100, "p90"), (1_000, "p99"), (10_000, "p99.9"), (100_000, "p99.99")];
    NEEDED.into_iter().find(|(_, percentile)| *percentile == name)
}

/// A figure of `count` samples.
pub(crate) fn shown(count: u64, figure: Option<String>) -> String {
    let missing = if count == 0 { NONE } else { TOO_FEW };
    figure.unwrap_or_else(|| missing.to_owned())
}

#[cfg(test)]
mod tests {
    use ungraceful_record::metric::Percentiles;

    use super::Figure;

    #[test]
    fn a_percentile_without_enough_samples_is_no_number() {
        let few = Percentiles { count: 19, min_us: Some(3), max_us: Some(1_500), ..Percentiles::default() };
        assert_eq!(Figure::ALL.map(|figure| figure.shown(&few)), ["too few", "too few", "1.50 ms"]);
        assert_eq!(Figure::P99.named(&few), "max 1.50 ms");
    }

    #[test]
    fn without_samples_there_is_a_dash() {
        let none = Percentiles::default();
        assert_eq!(Figure::ALL.map(|figure| figure.shown(&none)), ["–", "–", "–"]);
        assert_eq!(Figure::P50.named(&none), "p50 –");
    }

    #[test]
    fn each_figure_shows_its_own_value() {
        let all = Percentiles {
            count: 1_000,
            min_us: Some(1),
            p50_us: Some(2),
            p90_us: Some(3),
            p95_us: Some(4),
            p99_us: Some(4),
            p99_9_us: Some(5),
            p99_99_us: Some(6),
            max_us: Some(7),
        };
        assert_eq!(Figure::ALL.map(|figure| figure.named(&all)), ["p50 2 µs", "p99 4 µs", "max 7 µs"]);
    }
}
