//! The verdicts, worst first, grouped by claim; those that hold share one line.

use std::collections::BTreeMap;

use ungraceful_mqtt::statement;
use ungraceful_record::attempt::Case;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::{Force, Verdict};

use crate::document::{Block, Class, Document, Finding, Point};
use crate::reproduce_command;
use crate::scale::{counted, listed};

/// Maximum number of example attempts of a finding.
const EXAMPLES_AT_MOST: usize = 3;
/// Maximum number of cases that are named, and of points of a finding, where the record has too many to report each.
const NAMED_OF_MANY: usize = 8;

pub(super) fn section(record: &Record, document: &mut Document) {
    document.heading("Findings");
    if record.verdicts.is_empty() {
        document.line("None: nothing was judged, so nothing is proved.");
    }
    for class in Class::ALL {
        let verdicts: Vec<_> = record.verdicts.iter().filter(|verdict| Class::of(verdict) == class).collect();
        if class == Class::Holds {
            document.blocks.extend(those_that_hold(&verdicts).map(Block::Finding));
        } else {
            let claims = by_claim(&verdicts).into_iter();
            document.blocks.extend(claims.map(|same| Block::Finding(finding(record, class, &same))));
        }
    }
    for known in &record.accepted {
        if let Some(gone) = known.gone(record) {
            document.line(format!("Known deviation {known} ({}): {gone}.", known.reason));
        }
    }
}

/// The verdicts grouped by claim, in the order of the first of each group.
pub(crate) fn by_claim<'a>(verdicts: &[&'a Verdict]) -> Vec<Vec<&'a Verdict>> {
    group(verdicts, |verdict| {
        (&verdict.check, &verdict.citation, &verdict.differs, &verdict.accepted, verdict.force)
    })
}

fn group<'a, K: PartialEq>(
    verdicts: &[&'a Verdict],
    key: impl Fn(&'a Verdict) -> K,
) -> Vec<Vec<&'a Verdict>> {
    let mut groups: Vec<Vec<&Verdict>> = Vec::new();
    for &verdict in verdicts {
        match groups.iter_mut().find(|group| key(group[0]) == key(verdict)) {
            Some(group) => group.push(verdict),
            None => groups.push(vec![verdict]),
        }
    }
    groups
}

pub(crate) fn finding(record: &Record, class: Class, same: &[&Verdict]) -> Finding {
    let first = same[0];
    let mut claim: Vec<_> = first.citation.iter().cloned().collect();
    claim.push(first.check.clone());
    claim.extend(force(first.force).map(str::to_owned));
    let claim = claim.join("  ");
    let known = first.accepted.as_ref().map(|reason| format!("known: {reason}"));
    let notes = first.differs.iter().chain(&known);
    let claim = notes.fold(claim, |claim, note| format!("{claim}: {note}"));
    let mut points = group(same, |verdict| &verdict.evidence);
    let others: usize = match super::has_many_cases(record) {
        true => points.drain(NAMED_OF_MANY.min(points.len())..).map(|alike| alike.len()).sum(),
        false => 0,
    };
    let mut points: Vec<Point> = points.iter().map(|alike| point(record, class, alike)).collect();
    if others > 0 {
        let text = format!("and {} with other evidence: run.json has each", counted(others as u64, "case"));
        points.push(Point { text, command: None });
    }
    Finding { class, claim, points }
}

/// One claim in one line: its meaning, its first evidence, and the number of further cases, which are found `elsewhere`.
pub(crate) fn sentence(record: &Record, class: Class, same: &[&Verdict], elsewhere: &str) -> Finding {
    let finding = finding(record, class, same);
    let meaning = same[0].citation.as_deref().filter(|_| class == Class::Violated).and_then(gist);
    let mut text: Vec<String> = meaning.map(|gist| format!("the standard: {gist}")).into_iter().collect();
    let mut points = finding.points.into_iter();
    let first = points.next();
    text.extend(first.iter().map(|point| point.text.clone()));
    let others = points.len() as u64;
    if others > 0 {
        text.push(format!("{} like this {elsewhere}", counted(others, "more case")));
    }
    let command = first.and_then(|point| point.command);
    let points = vec![Point { text: text.join(" · "), command }];
    Finding { class, claim: finding.claim, points }
}

/// The cited statement in short.
fn gist(citation: &str) -> Option<&'static str> {
    let cited = |statement: &&statement::Statement| statement.to_string() == citation;
    statement::ALL.iter().find(cited).map(|statement| statement.gist)
}

/// The weight of a claim that is not a numbered MUST.
fn force(force: Force) -> Option<&'static str> {
    match force {
        Force::Must | Force::Run | Force::Threshold => None,
        Force::Should => Some("(SHOULD)"),
        Force::May => Some("(MAY)"),
        Force::Prose => Some("(not a numbered statement)"),
    }
}

/// Verdicts with the same evidence. An inconclusive one gets no command: repeating it promises no result.
fn point(record: &Record, class: Class, alike: &[&Verdict]) -> Point {
    let cases: Vec<&Case> = alike.iter().filter_map(|verdict| verdict.case.as_ref()).collect();
    let evidence = format!("{}{}", alike[0].evidence, examples(alike));
    let text = match cases.len() {
        0 => evidence,
        1 => format!("{}: {evidence}", cases_text(&cases)),
        all if all > NAMED_OF_MANY && super::has_many_cases(record) => {
            let named = cases_text(&cases[..NAMED_OF_MANY]);
            format!("{}, such as {named}; each: {evidence}", counted(all as u64, "case"))
        }
        // Without "each", the numbers would read as a sum over the cases.
        _ => format!("{}; each: {evidence}", cases_text(&cases)),
    };
    let command = (class != Class::Inconclusive).then(|| reproduce_command(record, alike[0]));
    Point { text, command }
}

/// The names of cases, grouped by fault and version.
fn cases_text(cases: &[&Case]) -> String {
    let mut groups: Vec<(&Case, Vec<String>)> = Vec::new();
    for case in cases {
        let same = |(first, _): &&mut (&Case, _)| first.fault == case.fault && first.version == case.version;
        match groups.iter_mut().find(same) {
            Some((_, variants)) => variants.push(case.variant.clone()),
            None => groups.push((case, vec![case.variant.clone()])),
        }
    }
    let texts: Vec<String> = groups
        .iter()
        .map(|(case, variants)| format!("{} {} on MQTT {}", case.fault, listed(variants), case.version))
        .collect();
    listed(&texts)
}

/// Attempts to look up in the record.
fn examples(alike: &[&Verdict]) -> String {
    let examples = alike.iter().flat_map(|verdict| &verdict.examples).take(EXAMPLES_AT_MOST);
    let examples: Vec<String> = examples.map(ToString::to_string).collect();
    match &examples[..] {
        [] => String::new(),
        [only] => format!(" (such as attempt {only})"),
        several => format!(" (such as attempts {})", listed(several)),
    }
}

fn those_that_hold(verdicts: &[&Verdict]) -> Option<Finding> {
    let mut cases_by_check: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in verdicts {
        *cases_by_check.entry(&verdict.check).or_default() += u64::from(verdict.case.is_some());
    }
    let checks: Vec<_> = cases_by_check
        .iter()
        .map(|(check, cases)| match cases {
            0 => (*check).to_owned(),
            cases => format!("{check} ({})", counted(*cases, "case")),
        })
        .collect();
    let claim = format!("{}: {}", counted(checks.len() as u64, "check"), checks.join(", "));
    (!checks.is_empty()).then(|| Finding { class: Class::Holds, claim, points: Vec::new() })
}
