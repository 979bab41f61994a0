//! The verdicts of a record as rows, and each finding as one sentence with its command.

use serde::Serialize;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::Verdict;

use crate::document::{Class, Finding, Point};
use crate::scale::{count, counted};
use crate::sections::findings;

/// Maximum number of lines of evidence of a row.
const EVIDENCE_AT_MOST: usize = 8;

/// How many verdicts there are of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counted {
    class: Class,
    count: String,
}

/// The number of verdicts of each class that has any, worst first.
pub(super) fn counts(verdicts: &[&Verdict]) -> Vec<Counted> {
    let of = |class| verdicts.iter().filter(|verdict| Class::of(verdict) == class).count();
    let all = Class::ALL.map(|class| (class, of(class))).into_iter().filter(|(_, number)| *number > 0);
    all.map(|(class, number)| Counted { class, count: count(number as u64) }).collect()
}

/// Every claim with its citation and evidence, worst first.
pub(super) fn rows(record: &Record) -> Vec<Finding> {
    by_class(record).map(|(class, same)| bounded(findings::finding(record, class, &same))).collect()
}

/// One sentence for each claim that does not simply hold, with the command that reproduces it.
pub(super) fn sentences(record: &Record) -> Vec<Finding> {
    let told = by_class(record).filter(|(class, _)| *class != Class::Holds);
    told.map(|(class, same)| findings::sentence(record, class, &same, "on this page and in run.json"))
        .collect()
}

/// The verdicts by class and claim.
fn by_class(record: &Record) -> impl Iterator<Item = (Class, Vec<&Verdict>)> {
    Class::ALL.into_iter().flat_map(|class| {
        let of_class: Vec<&Verdict> =
            record.verdicts.iter().filter(|verdict| Class::of(verdict) == class).collect();
        findings::by_claim(&of_class).into_iter().map(move |same| (class, same))
    })
}

/// A row is evidence, so it has no commands, and a bounded number of lines.
fn bounded(mut finding: Finding) -> Finding {
    let others = finding.points.len().saturating_sub(EVIDENCE_AT_MOST);
    if others > 1 {
        finding.points.truncate(EVIDENCE_AT_MOST);
        let text = format!("and {} of evidence: run.json has each", counted(others as u64, "more line"));
        finding.points.push(Point { text, command: None });
    }
    for point in &mut finding.points {
        point.command = None;
    }
    finding
}
