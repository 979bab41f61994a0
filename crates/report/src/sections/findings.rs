//! The verdicts, worst first, grouped by claim; those that hold share one line.

use std::collections::BTreeMap;

use ungraceful_mqtt::statement;
use ungraceful_record::attempt::Case;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::{Conclusion, Force, Verdict};

use super::opening::GENERATOR_NOT_RELIABLE;
use crate::document::{Block, Class, Document, Finding, Point};
use crate::reproduce_command;
use crate::scale::{counted, listed};

/// Maximum number of example attempts of a finding.
const EXAMPLES_AT_MOST: usize = 3;
/// The check of which the reason is an alarm.
const GENERATOR_KEEPS_UP: &str = "generator_keeps_up";
/// Minimum number of characters for which a repeated sentence is shortened.
const SAVED_AT_LEAST: usize = 20;
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
            let claims = by_claim(&verdicts).into_iter().map(|same| finding(record, class, &same));
            document.blocks.extend(with_one_reason_once(claims.collect()).into_iter().map(Block::Finding));
        }
    }
    for known in &record.accepted {
        if let Some(gone) = known.gone(record) {
            document.line(format!("Known deviation {known} ({}): {gone}.", known.reason));
        }
    }
}

/// Whether a finding of this check (any, if empty) that does not hold mentions this word.
pub(super) fn is_found(record: &Record, check: &str, word: &str) -> bool {
    let is_it = |verdict: &Verdict| {
        verdict.conclusion != Conclusion::Holds
            && (check.is_empty() || verdict.check == check)
            && verdict.evidence.contains(word)
    };
    record.verdicts.iter().any(is_it)
}

/// The verdicts grouped by claim, in the order of the first of each group.
pub(crate) fn by_claim<'a>(verdicts: &[&'a Verdict]) -> Vec<Vec<&'a Verdict>> {
    group(verdicts, |verdict| {
        // What gave no answer is the same for all statements.
        let weight =
            (verdict.conclusion != Conclusion::Inconclusive).then_some((&verdict.citation, verdict.force));
        (&verdict.check, weight, &verdict.differs, &verdict.accepted)
    })
}

/// Inconclusive findings with the same evidence as one.
fn with_one_reason_once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut together: Vec<Finding> = Vec::new();
    for finding in findings {
        let alike = |other: &&mut Finding| {
            finding.class == Class::Inconclusive
                && other.class == finding.class
                && other.points == finding.points
        };
        match together.iter_mut().find(alike) {
            Some(other) => other.claim += &format!(", {}", finding.claim),
            None => together.push(finding),
        }
    }
    together
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
    let mut cited: Vec<&str> = Vec::new();
    for citation in same.iter().filter_map(|verdict| verdict.citation.as_deref()) {
        if !cited.contains(&citation) {
            cited.push(citation);
        }
    }
    let mut claim: Vec<String> = (!cited.is_empty()).then(|| cited.join(", ")).into_iter().collect();
    claim.push(first.check.clone());
    claim.extend(
        force(first.force).filter(|_| first.citation.is_some() || cited.is_empty()).map(str::to_owned),
    );
    let claim = claim.join("  ");
    let known = first.accepted.as_ref().map(|reason| format!("known: {reason}"));
    let notes = first.differs.iter().chain(&known);
    let claim = notes.fold(claim, |claim, note| format!("{claim}: {note}"));
    let mut points = group(same, |verdict| &verdict.evidence);
    let others: usize = match super::has_many_cases(record) {
        true => points.drain(NAMED_OF_MANY.min(points.len())..).map(|alike| alike.len()).sum(),
        false => 0,
    };
    let mut points: Vec<Point> = points_of(record, class, &points);
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

/// The points of a finding. Where a sentence has the words of an earlier one, only its other numbers are shown, and no command
/// that differs in the case alone, unless it is a violation.
fn points_of(record: &Record, class: Class, groups: &[Vec<&Verdict>]) -> Vec<Point> {
    let mut said: Vec<&str> = Vec::new();
    let mut points = Vec::new();
    for alike in groups {
        let evidence = alike[0].evidence.as_str();
        let again = said.iter().find_map(|earlier| other_numbers(earlier, evidence));
        let is_again = again.is_some();
        let mut point = point(record, class, alike, &again.unwrap_or_else(|| evidence.to_owned()));
        if is_again && class != Class::Violated {
            point.command = None;
        }
        said.push(evidence);
        points.push(point);
    }
    points
}

/// The words of `text` that differ from those of `earlier`, each with the word after it; absent unless only numbers differ, and
/// few of them.
fn other_numbers(earlier: &str, text: &str) -> Option<String> {
    let (before, words): (Vec<&str>, Vec<&str>) = (earlier.split(' ').collect(), text.split(' ').collect());
    let is_number = |word: &str| word.contains(|character: char| character.is_ascii_digit());
    let is_like = |(one, other): (&&str, &&str)| one == other || (is_number(one) && is_number(other));
    if before.len() != words.len() || !before.iter().zip(&words).all(is_like) {
        return None;
    }
    let differs = |index: usize| before[index] != words[index];
    // A small word between two numbers stays: 1.5 to 4.3 times.
    let shown = |index: usize| differs(index) || (index > 0 && differs(index - 1));
    let mut parts: Vec<&str> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match shown(index) {
            true => parts.push(word),
            false if parts.last() != Some(&"…") => parts.push("…"),
            false => {}
        }
    }
    let short = parts.join(" ");
    (short.chars().count() + SAVED_AT_LEAST <= text.chars().count()).then_some(short)
}

/// Verdicts with the same evidence. An inconclusive one gets no command: repeating it promises no result.
fn point(record: &Record, class: Class, alike: &[&Verdict], evidence: &str) -> Point {
    let cases: Vec<&Case> = alike.iter().filter_map(|verdict| verdict.case.as_ref()).collect();
    // An alarm at the top of the report says the same.
    let is_alarm = alike[0].check == GENERATOR_KEEPS_UP && alike[0].conclusion == Conclusion::Inconclusive;
    if is_alarm && !record.generator.bottlenecks.is_empty() {
        return Point { text: format!("see {GENERATOR_NOT_RELIABLE} above"), command: None };
    }
    let evidence = format!("{evidence}{}", examples(alike));
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

#[cfg(test)]
mod tests {
    use super::other_numbers;

    #[test]
    fn a_sentence_that_is_said_again_shows_only_its_other_numbers() {
        let said = "10 of 10 clients were cut, 2.72 to 4.82 times the Keep Alive of 1 s after the last packet, 10 of them later";
        let again = "10 of 10 clients were cut, 1.63 to 4.48 times the Keep Alive of 2 s after the last packet, 9 of them later";
        assert_eq!(other_numbers(said, again).as_deref(), Some("… 1.63 to 4.48 times … 2 s … 9 of …"));
    }

    #[test]
    fn other_words_and_short_sentences_stay_whole() {
        assert_eq!(other_numbers("2 of 2 by FIN alone", "7 of 7 by FIN alone"), None);
        let said = "10 of 10 clients were cut in this case, and none was told why";
        assert_eq!(
            other_numbers(said, "10 of 10 clients were kept in this case, and none was told why"),
            None
        );
        assert_eq!(other_numbers(said, "10 of 10 clients were cut"), None);
    }
}
