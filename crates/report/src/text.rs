//! A report as text for a terminal or a pipe.

mod layout;

use self::layout::{GAP, Layout, total};
use crate::Context;
use crate::document::{Block, Cell, Class, Column, ColumnKind, Document, Finding, Table};
use crate::escape::plain;
use crate::tidy::says_something;
use crate::wrapping::{shell_words, wrapped, wrapped_words};

/// Indent of the columns of a row that does not fit side by side.
const INDENT: usize = 4;
/// Maximum width of the names of such columns; a longer one shifts its value.
const LABEL_AT_MOST: usize = 24;
/// Column of the text after a label or a finding's class.
const HANG: usize = 14;
/// The end of a line of a command that continues on the next.
const CONTINUED: &str = " \\";
/// Indent of the further lines of an alarm.
const ALARM_HANG: usize = 3;

/// Writes `document` for `context`.
pub(crate) fn write(document: &Document, context: &Context) -> String {
    let mut page = Page { out: String::new(), width: context.width.map(usize::from), colour: context.colour };
    for block in &document.blocks {
        page.block(block);
    }
    page.out
}

struct Page {
    out: String,
    width: Option<usize>,
    colour: bool,
}

impl Page {
    fn block(&mut self, block: &Block) {
        match block {
            Block::Title(text) | Block::Line(text) => self.prose("", 2, text),
            Block::Alarm { word, text } => self.prose("!! ", ALARM_HANG, &format!("{word}: {text}")),
            Block::Labelled { label, text } => {
                let label = format!("{label} ");
                self.prose(&format!("{label:<HANG$}"), HANG, text);
            }
            Block::Command(command) => self.command("Reproduce", HANG, &plain(command)),
            Block::Heading(text) => {
                self.out.push('\n');
                self.prose("", 2, text);
            }
            Block::Table(table) => self.table(table),
            Block::Finding(finding) => self.finding(finding),
            Block::Ending(text) => {
                self.out.push('\n');
                self.prose("", HANG, text);
            }
        }
    }

    /// A text after `first`, with further lines indented by `hang`. Escapes the text but not `first`.
    fn prose(&mut self, first: &str, hang: usize, text: &str) {
        let first_width = first.chars().count();
        self.out.push_str(first);
        for (index, line) in wrapped(&plain(text), self.width, first_width, hang).iter().enumerate() {
            if index > 0 {
                self.out.push_str(&" ".repeat(hang));
            }
            self.out.push_str(line);
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
    }

    fn finding(&mut self, finding: &Finding) {
        let word = format!("{:<HANG$}", finding.class.name());
        // Escape sequences take no room, so they are added after the layout.
        let begin = self.out.len();
        self.prose(&word, HANG, &finding.claim);
        if self.colour {
            let (on, off) = (colour(finding.class), "\u{1b}[0m");
            self.out.insert_str(begin + finding.class.name().len(), off);
            self.out.insert_str(begin, on);
        }
        for point in &finding.points {
            self.prose(&" ".repeat(HANG), HANG + 2, &point.text);
            if let Some(command) = &point.command {
                self.command(&format!("{:HANG$}  reproduce:", ""), HANG + 4, &plain(command));
            }
        }
    }

    /// A command that can be copied: each further line continues the one before it, as in a shell.
    fn command(&mut self, label: &str, hang: usize, command: &str) {
        let begin = format!("{:<HANG$}", format!("{label} "));
        let width = self.width.map(|width| width.saturating_sub(CONTINUED.len()));
        let lines = wrapped_words(&shell_words(command), width, begin.chars().count(), hang);
        self.out.push_str(&begin);
        self.out.push_str(&lines.join(&format!("{CONTINUED}\n{:hang$}", "")));
        self.end_line();
    }

    fn table(&mut self, table: &Table) {
        let layout = Layout::of(table);
        match self.width {
            Some(width) if total(&layout.least) > width => self.rows_one_by_one(table),
            width => {
                for line in layout.drawn(table, width.filter(|width| total(&layout.natural) > *width)) {
                    self.out.push_str(&line);
                    self.end_line();
                }
            }
        }
    }

    /// Numbers with their names, as many on a line as it has room for.
    fn numbers(&mut self, group: &[(&Column, &Cell)]) {
        let named = group.iter().map(|(column, cell)| plain(&format!("{} {}", column.name, cell.join(", "))));
        let mut named: Vec<String> = named.map(|number| number + " ·").collect();
        if let Some(last) = named.last_mut() {
            last.truncate(last.len() - " ·".len());
        }
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        for line in wrapped_words(&named, self.width, INDENT, INDENT) {
            self.out.push_str(&format!("{:INDENT$}{line}\n", ""));
        }
    }

    /// A table that does not fit: for each row its keys, then a line for every column or group of columns.
    fn rows_one_by_one(&mut self, table: &Table) {
        let (key_columns, columns) = table.columns.split_at(table.keys);
        let label_width =
            columns.iter().map(|column| plain(label(column)).chars().count()).max().unwrap_or(0);
        let label_width = label_width.min(LABEL_AT_MOST);
        let hang = INDENT + label_width + GAP;
        for row in &table.rows {
            let (keys, cells) = row.split_at(table.keys);
            let keys = key_columns.iter().zip(keys).filter(|(_, cell)| !is_empty(cell));
            let about = keys.map(|(column, cell)| format!("{} {}", column.name, cell.join(", ")));
            self.prose("", 2, about.collect::<Vec<_>>().join(" · ").trim_start());
            let cells: Vec<_> = columns.iter().zip(cells).filter(|(_, cell)| says_something(cell)).collect();
            for group in cells.chunk_by(|(one, _), (next, _)| are_on_one_line(one, next)) {
                if group.len() > 1 && group[0].0.group.is_empty() {
                    self.numbers(group);
                    continue;
                }
                let mut first = format!("{:INDENT$}{:<label_width$}  ", "", plain(label(group[0].0)));
                for line in grouped_lines(group) {
                    self.prose(&first, hang, &line);
                    first = " ".repeat(hang);
                }
            }
        }
    }
}

fn is_empty(cell: &Cell) -> bool {
    cell.iter().all(String::is_empty)
}

/// The name of a column's group, or of a single column.
fn label(column: &Column) -> &str {
    if column.group.is_empty() { &column.name } else { column.group }
}

/// Whether neighbouring columns share a line: those of a group, and numbers.
fn are_on_one_line(one: &Column, next: &Column) -> bool {
    let are_numbers = [one, next].iter().all(|column| column.kind == ColumnKind::Numbers);
    one.group == next.group && (are_numbers || !one.group.is_empty())
}

/// The lines of a cell, or one line for a group of cells with their column names.
fn grouped_lines(group: &[(&Column, &Cell)]) -> Vec<String> {
    match group {
        [(column, cell)] if column.group.is_empty() => (*cell).clone(),
        cells => {
            let named = cells.iter().map(|(column, cell)| format!("{} {}", column.name, cell.join(", ")));
            vec![named.collect::<Vec<_>>().join(" · ")]
        }
    }
}

const fn colour(class: Class) -> &'static str {
    match class {
        Class::Violated => "\u{1b}[31m",
        Class::Accepted | Class::Differs | Class::Inconclusive => "\u{1b}[33m",
        Class::Holds => "\u{1b}[32m",
    }
}

#[cfg(test)]
mod tests {
    use crate::Context;
    use crate::document::{Column, Document, Table, cell};

    fn shown(width: u16) -> String {
        let columns = vec![
            Column::words("variant"),
            Column::numbers("publish service max"),
            Column::numbers("p50").in_group("reaction time"),
            Column::words("what the broker did"),
        ];
        let rows =
            [["drip-qos1", "22.9 ms", "1 µs", "still served by it"], ["drip-qos0", "4 ms", "2 µs", "FIN"]];
        let rows = rows.map(|row| row.map(cell).to_vec()).to_vec();
        let mut document = Document::default();
        document.rows(Table { columns, rows, keys: 1 });
        super::write(&document, &Context { width: Some(width), ..Context::default() })
    }

    #[test]
    fn names_of_columns_are_broken_before_a_table_is_written_row_by_row() {
        let table = [
            "           publish  reaction",
            "           service      time",
            "variant        max       p50  what the broker did",
            "drip-qos1  22.9 ms      1 µs  still served by it",
            "drip-qos0     4 ms      2 µs  FIN",
        ];
        assert_eq!(shown(51).lines().collect::<Vec<_>>(), table, "{}", shown(51));
        assert_eq!(shown(44).lines().nth(4), Some("drip-qos1  22.9 ms      1 µs  still served"));
        let rows: Vec<String> = shown(43).lines().map(str::to_owned).collect();
        assert_eq!(rows[..2], ["variant drip-qos1", "    publish service max  22.9 ms"], "{rows:?}");
    }

    #[test]
    fn row_by_row_numbers_share_lines() {
        let names = ["drained", "not published", "undelivered", "answers missing"];
        let columns = std::iter::once(Column::words("variant")).chain(names.map(Column::numbers)).collect();
        let rows = [["drip-qos1", "3.88 MiB", "10", "6,210", "–"], ["drip-qos0", "1 B", "9", "7", "2"]];
        let rows = rows.map(|row| row.map(cell).to_vec()).to_vec();
        let mut document = Document::default();
        document.rows(Table { columns, rows, keys: 1 });
        let shown = super::write(&document, &Context { width: Some(40), ..Context::default() });
        let expected =
            "variant drip-qos1\n    drained 3.88 MiB ·\n    not published 10 · undelivered 6,210\n";
        assert!(shown.starts_with(expected), "{shown}");
    }
}
