//! Facts and Wills that are too many for columns beside the reactions.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use ungraceful_record::run::{CaseRecord, Record, WillRecord};

use super::cases::{fact, unseen};
use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::{Figure, NONE};
use crate::scale::count;

/// Maximum number of facts beside the reactions; more have their own table.
const BESIDE_REACTIONS: usize = 2;
/// Maximum number of cases with a Will beside the reactions; more have their own table.
const WILLS_BESIDE_REACTIONS: usize = 3;

/// The names of all facts.
fn names(cases: &[CaseRecord]) -> BTreeSet<&str> {
    cases.iter().flat_map(|case| case.facts.keys().map(String::as_str)).collect()
}

/// The facts that are columns beside the reactions.
pub(super) fn beside_reactions(cases: &[CaseRecord]) -> BTreeSet<&str> {
    let names = names(cases);
    if names.len() > BESIDE_REACTIONS { BTreeSet::new() } else { names }
}

/// Whether the Wills are a column beside the reactions.
pub(super) fn wills_beside_reactions(cases: &[CaseRecord]) -> bool {
    (1..=WILLS_BESIDE_REACTIONS).contains(&cases.iter().filter(|case| case.will.is_some()).count())
}

pub(super) fn section(record: &Record, document: &mut Document) {
    let cases = &record.cases;
    if super::has_many_cases(record) {
        return;
    }
    if names(cases).len() > BESIDE_REACTIONS {
        facts(cases, document);
    }
    if cases.iter().filter(|case| case.will.is_some()).count() > WILLS_BESIDE_REACTIONS {
        document.heading("Wills of ended connections: how many were received");
        document.push(Block::Table(grid(cases)));
    }
}

fn facts(cases: &[CaseRecord], document: &mut Document) {
    document.heading("Other observations");
    let mut differing = Vec::new();
    let mut same = Vec::new();
    for name in names(cases) {
        let mut values: BTreeMap<&str, u64> = BTreeMap::new();
        for (value, times) in cases.iter().filter_map(|case| case.facts.get(name)).flatten() {
            *values.entry(value).or_default() += times;
        }
        match values.iter().next() {
            Some((value, times)) if values.len() == 1 => {
                same.push(format!("{}: {value} ×{}", name.replace('_', " "), count(*times)));
            }
            _ => differing.push(name),
        }
    }
    if !differing.is_empty() {
        let mut columns = vec![Column::words("MQTT"), Column::words("variant")];
        columns.extend(differing.iter().map(|name| Column::words(name.replace('_', " "))));
        let variant = variants(cases);
        let with_any =
            cases.iter().filter(|case| differing.iter().any(|name| case.facts.contains_key(*name)));
        let rows = with_any.map(|case| {
            let mut row = vec![cell(&case.case.version), cell(variant(case))];
            row.extend(differing.iter().map(|name| fact(case, name)));
            row
        });
        document.push(Block::Table(Table { columns, rows: rows.collect(), keys: 2 }));
    }
    if !same.is_empty() {
        document.labelled("Same in all", same.join(" · "));
    }
}

/// The name of a case beside its version: its variant, after its fault where there are several.
pub(super) fn variants(cases: &[impl Borrow<CaseRecord>]) -> impl Fn(&CaseRecord) -> String {
    let faults: BTreeSet<&str> = cases.iter().map(|case| case.borrow().case.fault.as_str()).collect();
    let is_one = faults.len() <= 1;
    move |case| match is_one {
        true => case.case.variant.clone(),
        false => format!("{} {}", case.case.fault, case.case.variant),
    }
}

/// A row for each variant, a column for each version.
fn grid(cases: &[CaseRecord]) -> Table {
    let with_will = || cases.iter().filter(|case| case.will.is_some());
    let versions: BTreeSet<&str> = with_will().map(|case| case.case.version.as_str()).collect();
    let variant = variants(cases);
    let mut named: Vec<String> = Vec::new();
    for name in with_will().map(&variant) {
        if !named.contains(&name) {
            named.push(name);
        }
    }
    let mut columns = vec![Column::words("variant")];
    columns.extend(versions.iter().map(|version| Column::words(format!("MQTT {version}"))));
    let rows = named.iter().map(|name| {
        let of = |version: &str| {
            let case = with_will().find(|case| variant(case) == *name && case.case.version == version);
            case.and_then(|case| case.will.as_ref()).map_or_else(|| cell(NONE), will)
        };
        std::iter::once(cell(name)).chain(versions.iter().map(|version| of(version))).collect()
    });
    Table { columns, rows: rows.collect(), keys: 1 }
}

fn will(will: &WillRecord) -> Cell {
    let mut lines = Vec::new();
    if will.due > 0 {
        let p50 = match will.will_time.count {
            0 => String::new(),
            _ => format!(", {}", Figure::P50.named(&will.will_time)),
        };
        lines.push(format!("due: {} of {}{p50}", count(will.due_and_seen), count(will.due)));
        lines.extend(unseen(will));
    }
    let not_due = will.set.saturating_sub(will.due);
    if not_due > 0 {
        lines.push(format!("not due: {} of {}", count(will.not_due_and_seen), count(not_due)));
    }
    if will.more_than_once > 0 {
        lines.push(format!("{} received more than once", count(will.more_than_once)));
    }
    if will.of_later_connect > 0 {
        lines.push(format!("{} from a later CONNECT", count(will.of_later_connect)));
    }
    lines
}
