//! The measures of a fault: a row per value and case, or one figure of each value and case when each was measured once; and the
//! fate of the attempts' own messages.

use std::collections::BTreeMap;

use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::Distribution;
use ungraceful_record::run::{CaseRecord, Record};

use super::found::variants;
use crate::document::{Cell, Column, Document, Table, cell};
use crate::percentile::{self, NONE};
use crate::scale;

pub(super) fn section(record: &Record, document: &mut Document) {
    let measured: Vec<_> = record.cases.iter().filter(|case| !case.measures.is_empty()).collect();
    if !measured.is_empty() {
        document.heading("Measurements");
        let is_single =
            measured.iter().flat_map(|case| case.measures.values()).all(|values| values.count <= 1);
        // Single values need no distribution and no sum over cases.
        match is_single {
            true if measured.len() <= CASES_AS_COLUMNS => document.values(side_by_side(&measured)),
            true => document.rows(one_by_one(&measured)),
            false => distributions(&measured, &record.measures, document),
        }
    }
    let with_messages: Vec<_> = record.cases.iter().filter(|case| !case.messages.is_empty()).collect();
    if !with_messages.is_empty() {
        document.heading("Messages of the attempts");
        document.rows(messages(&with_messages));
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
            Some(values) => single(name, values),
            None => cell(NONE),
        };
        std::iter::once(cell(Unit::of(name).0)).chain(cases.iter().map(of)).collect()
    };
    Table { columns, rows: by_name(&every).into_iter().map(|(name, _)| row(name)).collect(), keys: 1 }
}

/// A row for each case, a column for each value.
fn one_by_one(cases: &[&CaseRecord]) -> Table {
    let mut names: Vec<&str> =
        cases.iter().flat_map(|case| case.measures.keys().map(String::as_str)).collect();
    names.sort_by_key(|name| Unit::of(name).0);
    names.dedup();
    let mut columns = vec![Column::words("MQTT"), Column::words("variant")];
    columns.extend(names.iter().map(|name| Column::numbers(Unit::of(name).0)));
    let variant = variants(cases);
    let rows = cases.iter().map(|case| {
        let mut row = vec![cell(&case.case.version), cell(variant(case))];
        let of =
            |name: &&str| case.measures.get(*name).map_or_else(|| cell(NONE), |values| single(name, values));
        row.extend(names.iter().map(of));
        row
    });
    Table { columns, rows: rows.collect(), keys: 2 }
}

/// A row for each value and case, after one over all cases. Values that were the same in every attempt are said once.
fn distributions(cases: &[&CaseRecord], all: &BTreeMap<String, Distribution>, document: &mut Document) {
    let columns = ["value", "MQTT", "variant"].map(Column::words).into_iter();
    let figures = ["attempts", "sum", "min", "p50", "p99", "max"].map(Column::numbers);
    let columns = columns.chain(figures).collect();
    let every: BTreeMap<String, Distribution> =
        cases.iter().flat_map(|case| &case.measures).map(|(name, values)| (name.clone(), *values)).collect();
    let variant = variants(cases);
    let (mut same, mut rows) = (Vec::new(), Vec::new());
    for (name, first) in by_name(&every) {
        let of_it: Vec<_> = cases.iter().filter_map(|case| Some((case, case.measures.get(name)?))).collect();
        let is_same = |values: &Distribution| values.min == first.min && values.max == first.min;
        if first.min.is_some() && of_it.iter().all(|(_, values)| is_same(values)) {
            same.push((Unit::of(name).0, single(name, first).concat()));
            continue;
        }
        let name_cell = cell(Unit::of(name).0);
        // A value of a single case needs no total.
        if let Some(values) = all.get(name).filter(|_| of_it.len() > 1) {
            rows.push([vec![name_cell.clone(), cell("all"), cell("")], figures_of(name, values)].concat());
        }
        rows.extend(of_it.into_iter().map(|(case, values)| {
            let keys = vec![name_cell.clone(), cell(&case.case.version), cell(variant(case))];
            [keys, figures_of(name, values)].concat()
        }));
    }
    document.said_once(same);
    document.rows(Table { columns, rows, keys: 3 });
}

/// A value that was measured once.
fn single(name: &str, values: &Distribution) -> Cell {
    let unit = Unit::of(name).1;
    cell(percentile::shown(values.count, values.max.map(|value| unit.shown(value))))
}

/// The figures of a value in one case.
fn figures_of(name: &str, values: &Distribution) -> Vec<Cell> {
    let unit = Unit::of(name).1;
    // The sum of times, shares or ratios says nothing.
    let sum = match unit {
        Unit::Count | Unit::Bytes => cell(unit.shown(values.sum)),
        Unit::Time | Unit::Permille | Unit::Ratio => cell(""),
    };
    let figure =
        |value: Option<u64>| cell(percentile::shown(values.count, value.map(|value| unit.shown(value))));
    let figures = [values.min, values.p50, values.p99, values.max].map(figure);
    [vec![cell(scale::count(values.count)), sum], figures.to_vec()].concat()
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
    Table { columns, rows: rows.collect(), keys: 3 }.with_equal_columns_together(&[
        "sent",
        "acknowledged",
        "delivered",
    ])
}

#[cfg(test)]
mod tests {
    use ungraceful_record::metric::Distribution;

    use super::{Unit, figures_of, single};

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
        let counts = figures_of("takeovers", &values).concat();
        assert_eq!(counts, ["2", "30", "10", "too few", "too few", "20"]);
        let times = figures_of("connack_us", &values).concat();
        assert_eq!(times, ["2", "", "10 µs", "too few", "too few", "20 µs"]);
        let ratios = figures_of("takeovers_per_minute", &values).concat();
        assert_eq!(ratios, ["2", "", "10", "too few", "too few", "20"]);
        assert_eq!(single("connack_us", &values), ["20 µs"]);
        let none = figures_of("takeovers", &Distribution::default()).concat();
        assert_eq!(none, ["0", "0", "–", "–", "–", "–"]);
    }
}
