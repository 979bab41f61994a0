//! The matrix of a suite or a tour: the verdict of each fault or cause on each MQTT version.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use ungraceful_record::attempt::Case;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::Verdict;

use crate::document::Class;
use crate::scale::counted;
use crate::sections::has_many_cases;
use crate::tour::{Shown, Tour};

/// Maximum number of rows.
const ROWS_AT_MOST: usize = 500;

/// A matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Matrix {
    /// The heading of the first column.
    rows_are: &'static str,
    columns: Vec<String>,
    rows: Vec<Row>,
    /// Rows that are left out; absent when none are.
    more: Option<String>,
}

/// A row: its name, perhaps with a page of its own, and its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    name: String,
    page: Option<String>,
    cells: Vec<Option<Square>>,
}

/// What the verdicts of a cell amount to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Square {
    class: Class,
    /// How many of the cell's verdicts are of that class, where it has several.
    detail: Option<String>,
}

/// The worst class of these verdicts; absent without any.
fn square(verdicts: &[&Verdict]) -> Option<Square> {
    let classes: Vec<Class> = verdicts.iter().map(|verdict| Class::of(verdict)).collect();
    let class = classes.iter().min().copied()?;
    let alike = classes.iter().filter(|other| **other == class).count();
    let all = counted(classes.len() as u64, "verdict");
    let detail = if alike == classes.len() { all } else { format!("{alike} of {all}") };
    Some(Square { class, detail: (classes.len() > 1).then_some(detail) })
}

/// The matrix of a run with several cases; absent for one.
pub(super) fn of_run(record: &Record) -> Option<Matrix> {
    if record.cases.len() < 2 {
        return None;
    }
    let sums_up = has_many_cases(record);
    let is_one_fault = record.cases.iter().map(|case| &case.case.fault).collect::<BTreeSet<_>>().len() == 1;
    let name = |case: &Case| match (sums_up, is_one_fault) {
        (true, _) => case.fault.clone(),
        (false, true) => case.variant.clone(),
        (false, false) => format!("{} {}", case.fault, case.variant),
    };
    let mut names: Vec<String> = Vec::new();
    let mut known = BTreeSet::new();
    for case in &record.cases {
        let name = name(&case.case);
        if known.insert(name.clone()) {
            names.push(name);
        }
    }
    let mut by_cell: BTreeMap<(String, &str), Vec<&Verdict>> = BTreeMap::new();
    for verdict in &record.verdicts {
        if let Some(case) = &verdict.case {
            by_cell.entry((name(case), &case.version)).or_default().push(verdict);
        }
    }
    let versions: BTreeSet<&str> = record.cases.iter().map(|case| case.case.version.as_str()).collect();
    let row = |name: &String| {
        let cell = |version: &&str| square(by_cell.get(&(name.clone(), *version))?);
        Row { name: name.clone(), page: None, cells: versions.iter().map(cell).collect() }
    };
    let others = names.len().saturating_sub(ROWS_AT_MOST) as u64;
    Some(Matrix {
        rows_are: if sums_up { "fault" } else { "case" },
        columns: versions.iter().map(|version| format!("MQTT {version}")).collect(),
        rows: names.iter().take(ROWS_AT_MOST).map(row).collect(),
        more: (others > 0).then(|| format!("and {}: run.json has each", counted(others, "more row"))),
    })
}

/// The matrix of a tour; the page of a run is beside its record.
pub(super) fn of_tour(tour: &Tour) -> Matrix {
    let records = || tour.records().flat_map(|record| &record.cases);
    let versions: BTreeSet<&str> = records().map(|case| case.case.version.as_str()).collect();
    let row = |cause: &crate::tour::Cause| {
        let verdicts = || cause.record().into_iter().flat_map(|record| &record.verdicts);
        let of = |version: Option<&str>| {
            let of_version = |verdict: &&Verdict| verdict.case.as_ref().map(|case| &*case.version) == version;
            square(&verdicts().filter(of_version).collect::<Vec<_>>())
        };
        let cells = versions.iter().map(|version| of(Some(version))).chain([of(None)]).collect();
        let page = match &cause.shown {
            Shown::Run { directory, .. } => directory.file_name().map(|name| {
                format!("./{}/{}", name.to_string_lossy(), ungraceful_record::files::REPORT_HTML)
            }),
            Shown::CannotBeShown { .. } | Shown::Failed { .. } => None,
        };
        Row { name: cause.title.to_owned(), page, cells }
    };
    let mut columns: Vec<String> = versions.iter().map(|version| format!("MQTT {version}")).collect();
    columns.push("run as a whole".to_owned());
    Matrix { rows_are: "cause", columns, rows: tour.causes.iter().map(row).collect(), more: None }
}
