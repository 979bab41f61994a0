//! What a table leaves out because it says nothing: values that are the same in every row, figures that had too few samples, and
//! rows of zeros. What is the same everywhere is said once, above the table.
//!
//! Used by the sections of the text, the Markdown and the page. JSON and CSV are complete.

use std::collections::BTreeMap;

use crate::document::{Cell, Column, Document, Table, cell};
use crate::percentile::{NONE, TOO_FEW, samples_needed};

/// The name of a row or column, and its value.
type Named = (String, String);

impl Document {
    /// A table whose rows are alike, such as cases: leaves out the columns that never vary or have no value.
    pub(crate) fn rows(&mut self, table: Table) {
        let table = self.without_too_few_columns(table);
        let (table, same) = without_same_columns(table);
        self.said_once(same);
        if table.columns.len() > table.keys {
            self.push(crate::document::Block::Table(table));
        }
    }

    /// A table with a value in each row: leaves out the rows that never vary or have no value, and those of zeros.
    pub(crate) fn values(&mut self, table: Table) {
        let table = self.without_too_few_rows(table);
        let (table, same) = without_same_rows(table);
        self.said_once(same);
        if !table.rows.is_empty() {
            self.push(crate::document::Block::Table(table));
        }
    }

    /// The values that are the same everywhere; names with the same value stand together.
    pub(crate) fn said_once(&mut self, same: Vec<Named>) {
        let (zero, same): (Vec<Named>, Vec<Named>) = same.into_iter().partition(|(_, value)| value == "0");
        if !zero.is_empty() {
            let names: Vec<String> = zero.into_iter().map(|(name, _)| name).collect();
            self.labelled("Zero", names.join(", "));
        }
        let mut by_value: Vec<(Vec<String>, String)> = Vec::new();
        for (name, value) in same {
            match by_value.iter_mut().find(|(_, of)| *of == value) {
                Some((names, _)) => names.push(name),
                None => by_value.push((vec![name], value)),
            }
        }
        let said: Vec<String> =
            by_value.into_iter().map(|(names, value)| format!("{}: {value}", names.join(", "))).collect();
        if !said.is_empty() {
            self.labelled("Same in all", said.join(" · "));
        }
    }

    /// Without the columns in which no row has a value. Single figures with too few samples become empty.
    fn without_too_few_columns(&mut self, mut table: Table) -> Table {
        for (index, column) in table.columns.iter().enumerate() {
            for row in &mut table.rows {
                self.clear_too_few(&mut row[index], &column.name);
            }
        }
        let has_value: Vec<bool> = (0..table.columns.len())
            .map(|index| index < table.keys || table.rows.iter().any(|row| says_something(&row[index])))
            .collect();
        keep_columns(table, &has_value)
    }

    /// Without the rows that have no value. Single figures with too few samples become empty.
    fn without_too_few_rows(&mut self, mut table: Table) -> Table {
        let keys = table.keys;
        for row in &mut table.rows {
            let (names, cells) = row.split_at_mut(keys);
            let name = names.iter().map(|name| name.join(" ")).collect::<Vec<_>>().join(" ");
            cells.iter_mut().for_each(|cell| self.clear_too_few(cell, &name));
        }
        table.rows.retain(|row| row[keys..].iter().any(says_something));
        table
    }

    /// Empties a cell of a figure with too few samples, and notes which figure that is.
    fn clear_too_few(&mut self, of: &mut Cell, name: &str) {
        if *of == cell(TOO_FEW) {
            of.clear();
            of.push(String::new());
            self.too_few.extend(name.split(' ').next_back().and_then(samples_needed));
        }
    }
}

/// Whether a cell has a value.
pub(crate) fn says_something(cell: &Cell) -> bool {
    cell.iter().any(|line| !line.is_empty() && line != NONE)
}

/// Whether a row sums up the others.
fn is_sum(columns: &[Column], row: &[Cell]) -> bool {
    columns.iter().zip(row).any(|(column, cell)| column.name == "MQTT" && *cell == ["all"])
}

fn keep_columns(table: Table, kept: &[bool]) -> Table {
    fn filter<T>(all: Vec<T>, kept: &[bool]) -> Vec<T> {
        all.into_iter().zip(kept).filter(|(_, is_kept)| **is_kept).map(|(one, _)| one).collect()
    }
    let rows = table.rows.into_iter().map(|row| filter(row, kept)).collect();
    Table { columns: filter(table.columns, kept), rows, keys: table.keys }
}

/// Without the columns that have the same value in two or more rows, that is, in every row but that of the sum.
fn without_same_columns(table: Table) -> (Table, Vec<Named>) {
    let (sums, rows): (Vec<_>, Vec<_>) = table.rows.iter().partition(|row| is_sum(&table.columns, row));
    let mut same = Vec::new();
    let mut kept = vec![true; table.columns.len()];
    let Some((first, others)) = rows.split_first().filter(|(_, others)| !others.is_empty()) else {
        return (table, same);
    };
    for (index, column) in table.columns.iter().enumerate().skip(table.keys) {
        let value = &first[index];
        if column.always || !says_something(value) || others.iter().any(|row| row[index] != *value) {
            continue;
        }
        kept[index] = false;
        let value = value.join(", ");
        // Several sums belong to different things.
        let sum = match &sums[..] {
            [sum] => Some(sum[index].join(", ")).filter(|sum| !sum.is_empty() && *sum != value),
            _ => None,
        };
        let sum = sum.map(|sum| format!(" ({sum} in all)")).unwrap_or_default();
        same.push((column.full_name(), format!("{value}{sum}")));
    }
    let mut table = keep_columns(table, &kept);
    let (columns, keys) = (&table.columns, table.keys);
    table.rows.retain(|row| !is_sum(columns, row) || row[keys..].iter().any(says_something));
    (table, same)
}

/// Without the rows that are the same in two or more columns, and without those of zeros.
fn without_same_rows(mut table: Table) -> (Table, Vec<Named>) {
    let mut same = Vec::new();
    let keys = table.keys;
    table.rows.retain(|row| {
        let (names, cells) = row.split_at(keys);
        let is_same = cells.windows(2).all(|pair| pair[0] == pair[1]);
        match cells.first() {
            Some(value) if is_same && (cells.len() > 1 || *value == ["0"]) => {
                let name = names.iter().map(|name| name.join(", ")).collect::<Vec<_>>().join(" ");
                same.push((name, value.join(", ")));
                false
            }
            _ => true,
        }
    });
    (table, same)
}

impl Table {
    /// The rows with these names as one where their counts are the same.
    pub(crate) fn with_equal_rows_together(mut self, names: &[&str]) -> Self {
        let keys = self.keys;
        let mut together: Vec<(bool, Vec<Cell>)> = Vec::new();
        for row in self.rows {
            let is_named = names.contains(&row[0].concat().as_str());
            let alike = |(is_other_named, other): &&mut (bool, Vec<Cell>)| {
                is_named && *is_other_named && other[keys..] == row[keys..]
            };
            match together.iter_mut().find(alike) {
                Some((_, other)) => other[0][0] = format!("{}, {}", other[0].concat(), row[0].concat()),
                None => together.push((is_named, row)),
            }
        }
        let together = together.into_iter().map(|(_, row)| row).collect();
        self.rows = together;
        self
    }

    /// The columns with these names as one where their counts are the same.
    pub(crate) fn with_equal_columns_together(mut self, names: &[&str]) -> Self {
        let mut first_with: BTreeMap<Vec<Cell>, usize> = BTreeMap::new();
        let mut kept = vec![true; self.columns.len()];
        for index in 0..self.columns.len() {
            if !names.contains(&self.columns[index].name.as_str()) {
                continue;
            }
            let cells: Vec<Cell> = self.rows.iter().map(|row| row[index].clone()).collect();
            match first_with.get(&cells) {
                Some(&first) => {
                    let name = self.columns[index].name.clone();
                    self.columns[first].name += &format!(", {name}");
                    kept[index] = false;
                }
                None => {
                    first_with.insert(cells, index);
                }
            }
        }
        keep_columns(self, &kept)
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Block, Column, Document, Table, cell};

    fn table(names: &[&str], rows: &[&[&str]]) -> Table {
        let columns = names.iter().map(|name| Column::words(*name)).collect();
        let rows = rows.iter().map(|row| row.iter().map(|text| cell(*text)).collect()).collect();
        Table { columns, rows, keys: 1 }
    }

    /// The blocks as lines: labels with their texts, and the cells of tables.
    fn lines(document: &Document) -> Vec<String> {
        let line = |block: &Block| match block {
            Block::Labelled { label, text } => vec![format!("{label}: {text}")],
            Block::Table(table) => {
                let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
                let rows = table.rows.iter().map(|row| row.concat().join("|"));
                std::iter::once(names.join("|")).chain(rows).collect()
            }
            other => vec![format!("{other:?}")],
        };
        document.blocks.iter().flat_map(line).collect()
    }

    fn rows(table: Table) -> (Vec<String>, Vec<(u64, &'static str)>) {
        let mut document = Document::default();
        document.rows(table);
        (lines(&document), document.too_few.into_iter().collect())
    }

    #[test]
    fn a_column_that_never_varies_is_said_once_with_its_sum() {
        let of = [&["5.0", "10", "FIN", "0", "7"][..], &["3.1.1", "10", "FIN", "0", "8"]];
        let names = ["MQTT", "attempts", "did", "lost", "max"];
        let sum: &[&str] = &["all", "20", "", "0", "9"];
        let (shown, _) = rows(table(&names, &[of[0], of[1], sum]));
        let expected = ["Zero: lost", "Same in all: attempts: 10 (20 in all) · did: FIN", "MQTT|max"];
        assert_eq!(shown[..3], expected);
        assert_eq!(shown[3..], ["5.0|7", "3.1.1|8", "all|9"]);
    }

    #[test]
    fn a_single_row_and_a_column_that_varies_stay() {
        assert_eq!(rows(table(&["MQTT", "did"], &[&["5.0", "FIN"]])).0, ["MQTT|did", "5.0|FIN"]);
        let two = table(&["MQTT", "did"], &[&["5.0", "FIN"], &["3.1.1", "RST"]]);
        assert_eq!(rows(two).0, ["MQTT|did", "5.0|FIN", "3.1.1|RST"]);
    }

    #[test]
    fn a_column_that_must_stay_stays_though_it_never_varies() {
        let mut verdicts = table(&["cause", "verdict"], &[&["1", "holds"], &["2", "holds"]]);
        verdicts.columns[1].always = true;
        assert_eq!(rows(verdicts).0, ["cause|verdict", "1|holds", "2|holds"]);
    }

    #[test]
    fn columns_with_too_few_samples_everywhere_are_left_out_and_counted() {
        let cells = [&["5.0", "too few", "too few", "7"][..], &["3.1.1", "3", "too few", "8"]];
        let (shown, needed) = rows(table(&["MQTT", "p50", "p99", "max"], &cells));
        assert_eq!(shown, ["MQTT|p50|max", "5.0||7", "3.1.1|3|8"], "a cell of too few is empty");
        assert_eq!(needed, [(20, "p50"), (1_000, "p99")]);
    }

    #[test]
    fn a_table_of_nothing_but_what_is_the_same_is_left_out() {
        let (shown, _) = rows(table(&["MQTT", "sent"], &[&["5.0", "40"], &["3.1.1", "40"]]));
        assert_eq!(shown, ["Same in all: sent: 40"]);
        let (shown, _) = rows(table(&["MQTT", "max"], &[&["5.0", "–"], &["3.1.1", "–"]]));
        assert_eq!(shown, Vec::<String>::new());
    }

    #[test]
    fn rows_of_zeros_and_of_too_few_samples_are_left_out_of_a_table_of_values() {
        let mut document = Document::default();
        let cells = [
            &["lost", "0", "0"][..],
            &["time p99", "too few", "too few"],
            &["time max", "3", "4"],
            &["time p50", "1", "too few"],
            &["same", "5", "5"],
        ];
        document.values(table(&["", "baseline", "fault"], &cells));
        let expected =
            ["Zero: lost", "Same in all: same: 5", "|baseline|fault", "time max|3|4", "time p50|1|"];
        assert_eq!(lines(&document), expected);
        assert_eq!(document.too_few.into_iter().collect::<Vec<_>>(), [(20, "p50"), (1_000, "p99")]);
    }

    #[test]
    fn counts_that_are_equal_share_a_row_or_a_column() {
        let cells =
            [&["due", "4", "6"][..], &["late", "4", "6"], &["acknowledged", "3", "4"], &["sent", "4", "6"]];
        let mut document = Document::default();
        document.values(table(&["", "a", "b"], &cells).with_equal_rows_together(&[
            "due",
            "acknowledged",
            "sent",
        ]));
        let expected = ["due, sent|4|6", "late|4|6", "acknowledged|3|4"];
        assert_eq!(lines(&document)[1..], expected, "messages that were late are others");
        let cells = [&["5.0", "4", "4", "4"][..], &["3.1.1", "6", "6", "6"]];
        let columns = table(&["MQTT", "sent", "refused", "delivered"], &cells);
        let columns = columns.with_equal_columns_together(&["sent", "delivered"]);
        assert_eq!(rows(columns).0, ["MQTT|sent, delivered|refused", "5.0|4|4", "3.1.1|6|6"]);
    }
}
