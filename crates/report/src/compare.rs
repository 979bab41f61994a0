//! The comparison of two or more sides, each one run or several repetitions: what changed, by how much, and whether that is more
//! than noise.

mod likeness;
mod noise;
mod shown;

use std::collections::BTreeMap;

use ungraceful_record::figures::{Better, Figure, Unit, figures};
use ungraceful_record::intervals::batches;
use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::run::Record;

pub use likeness::{differences, shard_differences};
pub use shown::{render_comparison, render_spread};

/// Parts into which a run that stands alone is divided, to see how its figures vary.
pub const BATCHES: u64 = 10;
/// Fewest parts: each has a second at least.
const BATCHES_MIN: u64 = 5;
/// Percentiles of a time that are compared. Others lie between them, and more comparisons need more repetitions.
const PERCENTILES: [&str; 3] = ["p(50)", "p(99)", "p(99.9)"];

/// A change that matters, where the user names none: 5 %.
pub const MATTERS: f64 = 0.05;

/// One run, reduced to what is compared.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where its record is, as the user named it.
    pub place: String,
    /// The record.
    pub record: Record,
    figures: Vec<Figure>,
    /// The distributions of its parts.
    parts: BTreeMap<Metric, Vec<Percentiles>>,
}

impl Run {
    /// A run by its record and, where there is one, its `metrics.hlog`.
    ///
    /// # Errors
    /// What is wrong with the log.
    pub fn new(place: String, record: Record, log: Option<&str>) -> Result<Self, String> {
        let parts = log.map(|log| batches(log, BATCHES)).transpose()?.unwrap_or_default();
        let mut figures = figures(&record);
        figures.retain(|figure| {
            let percentile = figure.name.split_once(' ').map(|(_, percentile)| percentile);
            percentile.is_none_or(|percentile| PERCENTILES.contains(&percentile))
        });
        Ok(Self { place, figures, record, parts })
    }

    fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// This figure of each part of the run. Absent when one of them has too few samples for it.
    fn of_parts(&self, figure: &Figure) -> Option<Vec<f64>> {
        let (metric, of) = figure.part?;
        let parts = self.parts.get(&metric).filter(|parts| parts.len() as u64 >= BATCHES_MIN)?;
        #[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
        parts.iter().map(|part| of(part).map(|us| us as f64)).collect()
    }
}

/// One run, or repetitions of one.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its name in the report.
    pub name: String,
    /// Its runs; at least one.
    pub runs: Vec<Run>,
}

/// What a change comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Worse, beyond noise.
    Worse,
    /// Better, beyond noise.
    Better,
    /// Another value, beyond noise, of a figure that is neither better nor worse.
    Changed,
    /// Any change is smaller than one that matters.
    Unchanged,
    /// The noise is larger than a change that matters.
    Unclear,
    /// There is nothing to tell noise by.
    NotJudged,
}

/// How noise was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By repetitions on both sides.
    Repetitions,
    /// By parts of single runs.
    Parts,
}

/// A figure of two sides.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Row {
    /// Its name, as in thresholds.
    pub name: String,
    #[serde(skip)]
    pub(crate) unit: Unit,
    #[serde(skip)]
    pub(crate) better: Better,
    /// The median over the runs of the first side, in its unit.
    pub before: f64,
    /// The same of the other side.
    pub after: f64,
    /// The change as a share of the first, and its interval; absent when it can't be told.
    pub change: Option<Change>,
    /// What it comes to.
    pub conclusion: Conclusion,
}

/// A change as a share: 0.05 is 5 % more.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Change {
    /// The estimate.
    pub estimate: f64,
    /// The lower end of its interval. All intervals of a comparison hold together with 99.9 %.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Two sides compared.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// The name of the first side.
    pub before: String,
    /// The name of the other side.
    pub after: String,
    /// Runs of each.
    pub runs: [usize; 2],
    /// How noise was told.
    pub by: By,
    /// The change that matters, as a share.
    pub matters: f64,
    /// What makes the runs unlike each other; they are compared nevertheless.
    pub unlike: Vec<String>,
    /// Every figure that both have, and that is not 0 on both sides.
    pub rows: Vec<Row>,
    /// Counts that are 0 on both sides.
    pub zero: Vec<String>,
    /// Figures that only some of the runs have: the others have too few samples, or none.
    pub missing: Vec<String>,
}

impl Comparison {
    /// Whether anything can be said about at least one figure.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let is_one = |row: &Row| !matches!(row.conclusion, Conclusion::Unclear | Conclusion::NotJudged);
        self.rows.iter().any(is_one)
    }

    /// Figures that are worse, beyond noise, and perhaps by as much as matters.
    #[must_use]
    pub fn regressions(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.conclusion == Conclusion::Worse).collect()
    }

    /// Whether something was measured on one side only, so that the sides can't be compared in it.
    #[must_use]
    pub fn lacks_something(&self) -> bool {
        let is_rare = |name: &String| PERCENTILES[1..].iter().any(|rare| name.ends_with(rare));
        self.missing.iter().any(|name| !is_rare(name))
    }
}

/// Compares `after` with `before`. A change that `matters` is a share, such as 0.05. `unlike` is passed on to the report.
#[must_use]
pub fn compare(before: &Side, after: &Side, matters: f64, unlike: Vec<String>) -> Comparison {
    let by = if before.runs.len() > 1 && after.runs.len() > 1 { By::Repetitions } else { By::Parts };
    let first = before.runs.first().map(|run| run.figures.as_slice()).unwrap_or_default();
    let in_all = |figure: &&Figure| {
        before.runs.iter().chain(&after.runs).all(|run| run.figure(&figure.name).is_some())
    };
    let all = || before.runs.iter().chain(&after.runs).flat_map(|run| &run.figures);
    let mut missing: Vec<String> =
        all().filter(|figure| !in_all(figure)).map(|figure| figure.name.clone()).collect();
    missing.sort();
    missing.dedup();
    let is_zero = |figure: &&Figure| {
        let runs = before.runs.iter().chain(&after.runs);
        let values = runs.filter_map(|run| run.figure(&figure.name)).map(|figure| figure.value);
        values.into_iter().all(|value| value.abs() < f64::EPSILON)
    };
    let (zero, common): (Vec<&Figure>, Vec<&Figure>) = first.iter().filter(in_all).partition(is_zero);
    let rows = common.iter().map(|figure| row(figure, before, after, by, matters, common.len())).collect();
    Comparison {
        before: before.name.clone(),
        after: after.name.clone(),
        runs: [before.runs.len(), after.runs.len()],
        by,
        matters,
        unlike,
        rows,
        missing,
        zero: zero.into_iter().map(|figure| figure.name.clone()).collect(),
    }
}

fn row(figure: &Figure, before: &Side, after: &Side, by: By, matters: f64, of: usize) -> Row {
    let values = |side: &Side| -> Vec<f64> {
        side.runs.iter().filter_map(|run| run.figure(&figure.name)).map(|figure| figure.value).collect()
    };
    let (one, other) = (values(before), values(after));
    let samples = match by {
        By::Repetitions => Some((one.clone(), other.clone())),
        By::Parts => {
            let parts = |side: &Side| -> Option<Vec<f64>> {
                let each = side.runs.iter().map(|run| run.of_parts(figure));
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            };
            parts(before).zip(parts(after))
        }
    };
    let resolutions = before.runs.iter().chain(&after.runs).filter_map(|run| run.figure(&figure.name));
    let resolution = resolutions.map(|figure| figure.resolution).fold(0.0, f64::max);
    let (before, after) = (noise::median(&one), noise::median(&other));
    let change = samples.and_then(|(one, other)| noise::change(&one, &other, by, resolution, of));
    // That of the values which are shown.
    let change = change.map(|change| Change { estimate: after / before - 1.0, ..change });
    let is_zero = |value: &f64| value.abs() < f64::EPSILON;
    let conclusion = match (change, figure.better) {
        (Some(change), better) => concluded(change, better, matters),
        // From none to some has no share.
        (None, Better::Lower) if one.iter().all(is_zero) && !other.iter().any(is_zero) => Conclusion::Worse,
        (None, Better::Lower) if other.iter().all(is_zero) && !one.iter().any(is_zero) => Conclusion::Better,
        (None, _) if one.iter().chain(&other).any(is_zero) => Conclusion::Unclear,
        (None, _) => Conclusion::NotJudged,
    };
    Row {
        name: figure.name.clone(),
        unit: figure.unit,
        better: figure.better,
        before,
        after,
        change,
        conclusion,
    }
}

fn concluded(Change { estimate, low, high }: Change, better: Better, matters: f64) -> Conclusion {
    // Where the parts of a run say otherwise than the run as a whole, neither is to be relied on.
    let is_beyond_noise = (low > 0.0 || high < 0.0) && (low..=high).contains(&estimate);
    if low > -matters && high < matters {
        return Conclusion::Unchanged;
    }
    match better {
        _ if !is_beyond_noise => Conclusion::Unclear,
        Better::Neither => Conclusion::Changed,
        Better::Lower if low > 0.0 => Conclusion::Worse,
        Better::Higher if high < 0.0 => Conclusion::Worse,
        Better::Lower | Better::Higher => Conclusion::Better,
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::load::LoadRecord;
    use ungraceful_record::metric::{Metric, Percentiles, histogram};
    use ungraceful_record::run::Record;

    use super::{By, Comparison, Conclusion, Run, Side, compare};

    /// A run whose messages took `median_us`, with 2,000 samples.
    fn run(median_us: u64) -> Run {
        let mut times = histogram();
        (1..=2_000_u64)
            .for_each(|rank| times.record(median_us * (1_000 + rank) / 2_000).expect("within the bounds"));
        let load = LoadRecord { delivery_response_time: Percentiles::of(&times), ..LoadRecord::default() };
        let record = Record { load: Some(load), ..Record::default() };
        Run::new("run".to_owned(), record, None).expect("there is no log to read")
    }

    fn side(medians_us: &[u64]) -> Side {
        Side { name: "side".to_owned(), runs: medians_us.iter().map(|us| run(*us)).collect() }
    }

    fn of(before: &[u64], after: &[u64]) -> Comparison {
        compare(&side(before), &side(after), 0.05, Vec::new())
    }

    fn e2e(comparison: &Comparison) -> (Conclusion, f64) {
        let row = comparison.rows.iter().find(|row| row.name == "e2e p(50)").expect("it was measured");
        (row.conclusion, row.change.map_or(f64::NAN, |change| change.estimate))
    }

    #[test]
    fn repetitions_tell_a_slow_down_from_noise() {
        let quiet = [20_000, 20_060, 19_950, 20_010, 20_040];
        let slower = quiet.map(|us| us * 21 / 20);
        let faster = quiet.map(|us| us * 19 / 20);
        let noisy = [18_000, 22_000, 25_000, 16_000, 21_000];
        for (after, expected, regressions) in [
            (quiet, Conclusion::Unchanged, 0),
            (slower, Conclusion::Worse, 2),
            (faster, Conclusion::Better, 0),
            (noisy, Conclusion::Unclear, 0),
        ] {
            let comparison = of(&quiet, &after);
            assert_eq!(e2e(&comparison).0, expected, "{comparison:?}");
            assert_eq!(comparison.regressions().len(), regressions, "p(50) and p(99): {comparison:?}");
            assert_eq!(comparison.by, By::Repetitions);
        }
        let (_, change) = e2e(&of(&quiet, &slower));
        assert!((change - 0.05).abs() < 0.003, "{change}");
    }

    #[test]
    fn single_runs_are_compared_by_their_parts_and_without_a_log_not_judged() {
        let comparison = of(&[20_000], &[40_000]);
        assert_eq!((comparison.by, e2e(&comparison).0), (By::Parts, Conclusion::NotJudged));
        assert!(!comparison.is_judged());
        let parts = |median_us: u64| {
            let mut run = run(median_us);
            let of = run.record.load.as_ref().expect("it has a load").delivery_response_time;
            let at = |part: u64| Percentiles { p50_us: of.p50_us.map(|us| us + part % 3), ..of };
            run.parts.insert(Metric::DeliveryResponseTime, (0..10).map(at).collect());
            Side { name: "side".to_owned(), runs: vec![run] }
        };
        let compared = |after| compare(&parts(20_000), &parts(after), 0.05, Vec::new());
        assert_eq!(e2e(&compared(20_000)).0, Conclusion::Unchanged);
        assert_eq!(e2e(&compared(22_000)).0, Conclusion::Worse);
    }

    /// A run that lost so many of 1,000 messages, and measured no times.
    fn lossy(lost: u64) -> Run {
        let mut load = LoadRecord::default();
        let counts = load.by_qos.entry(1).or_default();
        (counts.expected, counts.delivered, counts.lost) = (1_000, 1_000 - lost, lost);
        let record = Record { load: Some(load), ..Record::default() };
        Run::new("run".to_owned(), record, None).expect("there is no log to read")
    }

    #[test]
    fn from_none_to_some_is_a_regression_though_it_has_no_share() {
        let side = |lost: &[u64]| Side {
            name: "side".to_owned(),
            runs: lost.iter().map(|lost| lossy(*lost)).collect(),
        };
        let loss = |before: &[u64], after: &[u64]| {
            let comparison = compare(&side(before), &side(after), 0.05, Vec::new());
            let row = comparison.rows.iter().find(|row| row.name == "loss").map(|row| row.conclusion);
            (row, comparison.regressions().len())
        };
        assert_eq!(loss(&[0, 0], &[0, 0]), (None, 0));
        assert_eq!(loss(&[0, 0], &[5, 7]), (Some(Conclusion::Worse), 1));
        assert_eq!(loss(&[0], &[500]), (Some(Conclusion::Worse), 1));
        assert_eq!(loss(&[5, 7], &[0, 0]), (Some(Conclusion::Better), 0));
        assert_eq!(loss(&[0, 0], &[0, 7]), (Some(Conclusion::Unclear), 0));
    }

    #[test]
    fn what_only_one_side_measured_is_named_and_leaves_the_gate_open() {
        let timed = Side { name: "side".to_owned(), runs: vec![run(20_000), run(20_000)] };
        let untimed = Side { name: "side".to_owned(), runs: vec![lossy(0), lossy(0)] };
        let comparison = compare(&timed, &untimed, 0.05, Vec::new());
        assert!(comparison.missing.contains(&"e2e p(50)".to_owned()), "{comparison:?}");
        assert!(comparison.lacks_something());
        let same = compare(&timed, &timed, 0.05, Vec::new());
        assert_eq!((same.missing.len(), same.lacks_something()), (0, false));
    }

    #[test]
    fn counts_that_are_0_are_named_apart() {
        let comparison = of(&[20_000, 20_000], &[20_000, 20_000]);
        assert!(comparison.rows.iter().all(|row| row.before > 0.0 || row.after > 0.0), "{comparison:?}");
    }
}
