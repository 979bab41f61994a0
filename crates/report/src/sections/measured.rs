//! The measures of a fault: a row per case and value, or a column per case when each was measured once; and the fate of
//! the attempts' own messages.

use std::collections::BTreeMap;

use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::Distribution;
use ungraceful_record::run::{CaseRecord, Record};

use super::found::variants;
use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::{self, NONE};
use crate::scale;

pub(super) fn section(record: &Record, document: &mut Document) {
    let measured: Vec<_> = record.cases.iter().filter(|case| !case.measures.is_empty()).collect();
    if !measured.is_empty() {
        document.heading("Measurements");
        let is_single =
            measured.iter().flat_map(|case| case.measures.values()).all(|values| values.count <= 1);
        // Single values need no distribution and no sum over cases.
        document.push(Block::Table(match is_single {
            true if measured.len() <= CASES_AS_COLUMNS => side_by_side(&measured),
            true => values(&measured, &BTreeMap::new(), Shape::Single),
            false => values(&measured, &record.measures, Shape::Distribution),
        }));
    }
    let with_messages: Vec<_> = record.cases.iter().filter(|case| !case.messages.is_empty()).collect();
    if !with_messages.is_empty() {
        document.heading("Messages of the attempts");
        document.push(Block::Table(messages(&with_messages)));
    }
}

/// Maximum number of cases side by side; more have rows.
const CASES_AS_COLUMNS: usize = 4;

/// The unit of a value, from the end of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Time,
    Bytes,
    Permille,
    /// A count per something else (`_per_` in its name).
    Ratio,
    Count,
}

impl Unit {
    const SUFFIXES: [(&'static str, Self); 3] =
        [("_us", Self::Time), ("_bytes", Self::Bytes), ("_permille", Self::Permille)];

    /// The name without its unit, and the unit.
    fn of(name: &str) -> (String, Self) {
        let found =
            Self::SUFFIXES.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)));
        let counted = if name.contains("_per_") { Self::Ratio } else { Self::Count };
        let (name, unit) = found.unwrap_or((name, counted));
        (name.replace('_', " "), unit)
    }

    fn shown(self, value: u64) -> String {
        match self {
            Self::Time => scale::time(value),
            Self::Bytes => scale::bytes(value),
            Self::Permille => format!("{}.{} %", value / 10, value % 10),
            Self::Count | Self::Ratio => scale::count(value),
        }
    }
}

/// The measures of a case, sorted by the names that are shown.
fn by_name(measures: &BTreeMap<String, Distribution>) -> Vec<(&str, &Distribution)> {
    let mut sorted: Vec<_> = measures.iter().map(|(name, values)| (name.as_str(), values)).collect();
    sorted.sort_by_key(|(name, _)| Unit::of(name).0);
    sorted
}

/// A row for each value, a column for each case.
fn side_by_side(cases: &[&CaseRecord]) -> Table {
    let variant = variants(cases);
    let mut columns = vec![Column::words("value")];
    let named = |case: &&CaseRecord| Column::numbers(format!("MQTT {} {}", case.case.version, variant(case)));
    columns.extend(cases.iter().map(named));
    let every: BTreeMap<String, Distribution> =
        cases.iter().flat_map(|case| &case.measures).map(|(name, values)| (name.clone(), *values)).collect();
    let row = |name: &str| {
        let of = |case: &&CaseRecord| match case.measures.get(name) {
            Some(values) => Shape::Single.cells(name, values).pop().unwrap_or_else(|| cell(NONE)),
            None => cell(NONE),
        };
        std::iter::once(cell(Unit::of(name).0)).chain(cases.iter().map(of)).collect()
    };
    Table { columns, rows: by_name(&every).into_iter().map(|(name, _)| row(name)).collect(), keys: 1 }
}

fn values(cases: &[&CaseRecord], all: &BTreeMap<String, Distribution>, shape: Shape) -> Table {
    let mut columns = vec![Column::words("MQTT"), Column::words("variant"), Column::words("value")];
    columns.extend(shape.columns());
    // A value of a single case needs no total.
    let of_several = |name: &str| cases.iter().filter(|case| case.measures.contains_key(name)).count() > 1;
    let of_all = by_name(all)
        .into_iter()
        .filter(|(name, _)| of_several(name))
        .map(|(name, values)| [vec![cell("all"), cell("")], shape.cells(name, values)].concat());
    let mut rows: Vec<Vec<Cell>> = of_all.collect();
    let variant = variants(cases);
    for case in cases {
        rows.extend(by_name(&case.measures).into_iter().map(|(name, values)| {
            [vec![cell(&case.case.version), cell(variant(case))], shape.cells(name, values)].concat()
        }));
    }
    Table { columns, rows, keys: 3 }
}

#[derive(Clone, Copy)]
enum Shape {
    Single,
    Distribution,
}

impl Shape {
    fn columns(self) -> Vec<Column> {
        match self {
            Self::Single => vec![Column::numbers("measured")],
            Self::Distribution => {
                ["attempts", "sum", "min", "p50", "p99", "max"].map(Column::numbers).to_vec()
            }
        }
    }

    /// The value's name, and its figures.
    fn cells(self, name: &str, values: &Distribution) -> Vec<Cell> {
        let (name, unit) = Unit::of(name);
        let figure =
            |value: Option<u64>| cell(percentile::shown(values.count, value.map(|value| unit.shown(value))));
        if let Self::Single = self {
            return vec![cell(name), figure(values.max)];
        }
        // The sum of times, shares or ratios says nothing.
        let sum = match unit {
            Unit::Count | Unit::Bytes => cell(unit.shown(values.sum)),
            Unit::Time | Unit::Permille | Unit::Ratio => cell(""),
        };
        let figures = [values.min, values.p50, values.p99, values.max].map(figure);
        [vec![cell(name), cell(scale::count(values.count)), sum], figures.to_vec()].concat()
    }
}

type Counted = fn(&LedgerCounts) -> u64;

/// The columns; lost comes first.
const COUNTS: [(&str, Counted); 8] = [
    ("lost", |counts| counts.lost + counts.without_subscribers),
    ("sent", |counts| counts.sent),
    ("acknowledged", |counts| counts.acknowledged),
    ("refused", |counts| counts.refused.values().sum()),
    ("delivered", |counts| counts.delivered),
    ("unknown", |counts| counts.unknown),
    ("duplicated", |counts| counts.duplicated),
    ("reordered", |counts| counts.reordered),
];

fn messages(cases: &[&CaseRecord]) -> Table {
    let variant = variants(cases);
    let variant = &variant;
    let mut columns = vec![Column::words("MQTT"), Column::words("variant"), Column::numbers("QoS")];
    columns.extend(COUNTS.map(|(name, _)| Column::numbers(name)));
    let rows = cases.iter().flat_map(|case| {
        case.messages.iter().map(move |(qos, counts)| {
            let mut row =
                vec![cell(&case.case.version), cell(variant(case)), cell(scale::count((*qos).into()))];
            row.extend(COUNTS.map(|(_, counted)| cell(scale::count(counted(counts)))));
            row
        })
    });
    Table { columns, rows: rows.collect(), keys: 3 }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::metric::Distribution;

    use super::{Shape, Unit};

    #[test]
    fn a_value_is_shown_in_the_unit_of_its_name() {
        let shown = |name, value| {
            let (name, unit) = Unit::of(name);
            format!("{name}: {}", unit.shown(value))
        };
        assert_eq!(shown("newcomer_connack_us", 1_500), "newcomer connack: 1.50 ms");
        assert_eq!(shown("drained_bytes", 2_048), "drained: 2.00 KiB");
        assert_eq!(shown("connected_permille", 987), "connected: 98.7 %");
        assert_eq!(shown("takeovers", 12_345), "takeovers: 12,345");
    }

    #[test]
    fn only_counts_have_sums_and_percentiles_need_enough_values() {
        let values =
            Distribution { count: 2, sum: 30, min: Some(10), max: Some(20), ..Distribution::default() };
        let counts = Shape::Distribution.cells("takeovers", &values).concat();
        assert_eq!(counts, ["takeovers", "2", "30", "10", "too few", "too few", "20"]);
        let times = Shape::Distribution.cells("connack_us", &values).concat();
        assert_eq!(times, ["connack", "2", "", "10 µs", "too few", "too few", "20 µs"]);
        let ratios = Shape::Distribution.cells("takeovers_per_minute", &values).concat();
        assert_eq!(ratios, ["takeovers per minute", "2", "", "10", "too few", "too few", "20"]);
        assert_eq!(Shape::Single.cells("connack_us", &values).concat(), ["connack", "20 µs"]);
        let none = Shape::Distribution.cells("takeovers", &Distribution::default()).concat();
        assert_eq!(none, ["takeovers", "0", "0", "–", "–", "–", "–"]);
    }
}
