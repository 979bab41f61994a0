//! What only this fault measures: a row per case and value, and the fate of the attempts' own messages.

use std::collections::BTreeMap;

use ungraceful_rig::ledger::LedgerCounts;
use ungraceful_rig::metric::Distribution;
use ungraceful_rig::record::{CaseRecord, Record};

use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::{NONE, TOO_FEW};
use crate::scale;

pub(super) fn section(record: &Record, document: &mut Document) {
    let measured: Vec<_> = record.cases.iter().filter(|case| !case.measures.is_empty()).collect();
    if !measured.is_empty() {
        document.heading("What was measured");
        let all = if measured.len() > 1 { &record.measures } else { &BTreeMap::new() };
        document.push(Block::Table(values(&measured, all)));
    }
    let with_messages: Vec<_> = record.cases.iter().filter(|case| !case.messages.is_empty()).collect();
    if !with_messages.is_empty() {
        document.heading("Messages of the attempts");
        document.push(Block::Table(messages(&with_messages)));
    }
}

/// The unit of a value, by the end of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Time,
    Bytes,
    Permille,
    Count,
}

impl Unit {
    const SUFFIXES: [(&'static str, Self); 3] =
        [("_us", Self::Time), ("_bytes", Self::Bytes), ("_permille", Self::Permille)];

    /// The name without its unit, and the unit.
    fn of(name: &str) -> (String, Self) {
        let found =
            Self::SUFFIXES.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)));
        let (name, unit) = found.unwrap_or((name, Self::Count));
        (name.replace('_', " "), unit)
    }

    fn shown(self, value: u64) -> String {
        match self {
            Self::Time => scale::time(value),
            Self::Bytes => scale::bytes(value),
            Self::Permille => format!("{}.{} %", value / 10, value % 10),
            Self::Count => scale::count(value),
        }
    }
}

fn values(cases: &[&CaseRecord], all: &BTreeMap<String, Distribution>) -> Table {
    let is_single = cases.iter().flat_map(|case| case.measures.values()).all(|values| values.count <= 1);
    // One value needs no distribution; and what is measured once per case is not summed over cases.
    let shape = if is_single { Shape::Single } else { Shape::Distribution };
    let mut columns = vec![Column::words("MQTT"), Column::words("variant"), Column::words("value")];
    columns.extend(shape.columns());
    let of_all = all
        .iter()
        .filter(|_| !is_single)
        .map(|(name, values)| [vec![cell("all"), cell("")], shape.cells(name, values)].concat());
    let mut rows: Vec<Vec<Cell>> = of_all.collect();
    for case in cases {
        rows.extend(case.measures.iter().map(|(name, values)| {
            [vec![cell(&case.case.version), cell(&case.case.variant)], shape.cells(name, values)].concat()
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
        let figure = |value: Option<u64>| match value {
            Some(value) => cell(unit.shown(value)),
            None if values.count == 0 => cell(NONE),
            None => cell(TOO_FEW),
        };
        if let Self::Single = self {
            return vec![cell(name), figure(values.max)];
        }
        // The sum of times or of shares says nothing.
        let sum = match unit {
            Unit::Count | Unit::Bytes => cell(unit.shown(values.sum)),
            Unit::Time | Unit::Permille => cell(""),
        };
        let figures = [values.min, values.p50, values.p99, values.max].map(figure);
        [vec![cell(name), cell(scale::count(values.count)), sum], figures.to_vec()].concat()
    }
}

type Counted = fn(&LedgerCounts) -> u64;

/// The columns; the lost ones come first.
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
    let mut columns = vec![Column::words("MQTT"), Column::words("variant"), Column::numbers("QoS")];
    columns.extend(COUNTS.map(|(name, _)| Column::numbers(name)));
    let rows = cases.iter().flat_map(|case| {
        case.messages.iter().map(move |(qos, counts)| {
            let mut row =
                vec![cell(&case.case.version), cell(&case.case.variant), cell(scale::count((*qos).into()))];
            row.extend(COUNTS.map(|(_, counted)| cell(scale::count(counted(counts)))));
            row
        })
    });
    Table { columns, rows: rows.collect(), keys: 3 }
}

#[cfg(test)]
mod tests {
    use ungraceful_rig::metric::Distribution;

    use super::{Shape, Unit};

    #[test]
    fn a_value_is_shown_in_the_unit_that_its_name_ends_in() {
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
    fn sums_are_told_of_counts_and_not_of_times_and_no_percentile_without_values_enough() {
        let values =
            Distribution { count: 2, sum: 30, min: Some(10), max: Some(20), ..Distribution::default() };
        let counts = Shape::Distribution.cells("takeovers", &values).concat();
        assert_eq!(counts, ["takeovers", "2", "30", "10", "too few", "too few", "20"]);
        let times = Shape::Distribution.cells("connack_us", &values).concat();
        assert_eq!(times, ["connack", "2", "", "10 µs", "too few", "too few", "20 µs"]);
        assert_eq!(Shape::Single.cells("connack_us", &values).concat(), ["connack", "20 µs"]);
        let none = Shape::Distribution.cells("takeovers", &Distribution::default()).concat();
        assert_eq!(none, ["takeovers", "0", "0", "–", "–", "–", "–"]);
    }
}
