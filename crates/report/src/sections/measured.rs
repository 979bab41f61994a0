//! What only this fault measures: a row per case and value, and the fate of the attempts' own messages.

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
        document.push(Block::Table(values(&measured)));
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

fn values(cases: &[&CaseRecord]) -> Table {
    let columns = vec![
        Column::words("MQTT"),
        Column::words("variant"),
        Column::words("value"),
        Column::numbers("attempts"),
        Column::numbers("sum"),
        Column::numbers("min"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("max"),
    ];
    let rows = cases.iter().flat_map(|case| {
        case.measures.iter().map(move |(name, values)| {
            let mut row = vec![cell(&case.case.version), cell(&case.case.variant)];
            row.extend(value_cells(name, values));
            row
        })
    });
    Table { columns, rows: rows.collect(), keys: 3 }
}

fn value_cells(name: &str, values: &Distribution) -> Vec<Cell> {
    let (name, unit) = Unit::of(name);
    let figure = |value: Option<u64>| match value {
        Some(value) => cell(unit.shown(value)),
        None if values.count == 0 => cell(NONE),
        None => cell(TOO_FEW),
    };
    // The sum of times or of shares says nothing.
    let sum = match unit {
        Unit::Count | Unit::Bytes => cell(unit.shown(values.sum)),
        Unit::Time | Unit::Permille => cell(""),
    };
    vec![
        cell(name),
        cell(scale::count(values.count)),
        sum,
        figure(values.min),
        figure(values.p50),
        figure(values.p99),
        figure(values.max),
    ]
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

    use super::{Unit, value_cells};

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
        let counts = value_cells("takeovers", &values).concat();
        assert_eq!(counts, ["takeovers", "2", "30", "10", "too few", "too few", "20"]);
        let times = value_cells("connack_us", &values).concat();
        assert_eq!(times, ["connack", "2", "", "10 µs", "too few", "too few", "20 µs"]);
        let none = value_cells("takeovers", &Distribution::default()).concat();
        assert_eq!(none, ["takeovers", "0", "0", "–", "–", "–", "–"]);
    }
}
