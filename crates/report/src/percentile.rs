//! A percentile as it is shown: its time, `too few` when there are not enough samples for it, or `–` when there are
//! none at all. Never a number that nobody measured.

use ungraceful_record::metric::Percentiles;

use crate::scale;

/// Shown for a value of which there are no samples.
pub(crate) const NONE: &str = "–";
/// Shown for a percentile that needs more samples.
pub(crate) const TOO_FEW: &str = "too few";

/// A figure of a distribution that reports show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    P50,
    P99,
    Max,
}

impl Figure {
    pub(crate) const ALL: [Self; 3] = [Self::P50, Self::P99, Self::Max];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

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
        match self.us(of) {
            _ if of.count == 0 => NONE.to_owned(),
            Some(us) => scale::time(us),
            None => TOO_FEW.to_owned(),
        }
    }

    /// The figure with its name, and the largest value beside a percentile that has too few samples:
    /// `p99 0.2 ms`, `p99 too few (max 3 ms)`.
    pub(crate) fn named(self, of: &Percentiles) -> String {
        let shown = format!("{} {}", self.name(), self.shown(of));
        match (self.us(of), of.max_us) {
            (None, Some(max_us)) => format!("{shown} (max {})", scale::time(max_us)),
            _ => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::metric::Percentiles;

    use super::Figure;

    #[test]
    fn a_percentile_without_enough_samples_is_never_a_number() {
        let few = Percentiles { count: 19, min_us: Some(3), max_us: Some(1_500), ..Percentiles::default() };
        assert_eq!(Figure::ALL.map(|figure| figure.shown(&few)), ["too few", "too few", "1.50 ms"]);
        assert_eq!(Figure::P99.named(&few), "p99 too few (max 1.50 ms)");
    }

    #[test]
    fn without_any_sample_there_is_a_dash() {
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
            p99_us: Some(4),
            p99_9_us: Some(5),
            p99_99_us: Some(6),
            max_us: Some(7),
        };
        assert_eq!(Figure::ALL.map(|figure| figure.named(&all)), ["p50 2 µs", "p99 4 µs", "max 7 µs"]);
    }
}
