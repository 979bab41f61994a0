//! The comparison of two or more sides, each one run or several repetitions: what changed, by how much, and whether that is more
//! than noise.

mod likeness;
mod noise;
mod shown;

use std::collections::BTreeMap;

use ungraceful_record::intervals::batches;
use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::run::Record;
use ungraceful_record::threshold::{Better, Figure, Unit, figures};

pub use likeness::differences;
pub use shown::render_comparison;

/// Parts into which a run that stands alone is divided, to see how its figures vary.
pub const BATCHES: u64 = 10;

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
        Ok(Self { place, figures: figures(&record), record, parts })
    }

    fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// This figure of each part of the run. Absent when one of them has too few samples for it.
    fn of_parts(&self, figure: &Figure) -> Option<Vec<f64>> {
        let (metric, of) = figure.part?;
        let parts = self.parts.get(&metric).filter(|parts| parts.len() as u64 == BATCHES)?;
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
    /// Every figure that both have.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Whether anything can be said about at least one figure.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        let is_one = |row: &Row| !matches!(row.conclusion, Conclusion::Unclear | Conclusion::NotJudged);
        self.rows.iter().any(|row| row.change.is_some() && is_one(row))
    }

    /// Figures that are worse, beyond noise, by as much as matters or by more.
    #[must_use]
    pub fn regressions(&self) -> Vec<&Row> {
        let is_one = |row: &&Row| {
            row.conclusion == Conclusion::Worse
                && row.change.is_some_and(|change| change.low.abs().max(change.high.abs()) >= self.matters)
        };
        self.rows.iter().filter(is_one).collect()
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
    let common: Vec<&Figure> = first.iter().filter(in_all).collect();
    let rows = common.iter().map(|figure| row(figure, before, after, by, matters, common.len())).collect();
    Comparison {
        before: before.name.clone(),
        after: after.name.clone(),
        runs: [before.runs.len(), after.runs.len()],
        by,
        matters,
        unlike,
        rows,
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
    let change = samples.and_then(|(one, other)| noise::change(&one, &other, by, of));
    let zero = |values: &[f64]| values.iter().all(|value| value.abs() < f64::EPSILON);
    let conclusion = match change {
        // A count that is 0 everywhere has no share by which it could change.
        None if zero(&one) && zero(&other) => Conclusion::Unchanged,
        None => Conclusion::NotJudged,
        Some(change) => concluded(change, figure.better, matters),
    };
    let (before, after) = (noise::median(&one), noise::median(&other));
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

fn concluded(Change { low, high, .. }: Change, better: Better, matters: f64) -> Conclusion {
    let is_beyond_noise = low > 0.0 || high < 0.0;
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
