//! A report as text for a terminal or a pipe.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};

use crate::Context;
use crate::document::{Block, Cell, Class, Column, ColumnKind, Document, Finding, Table};
use crate::escape::plain;
use crate::tidy::says_something;
use crate::wrapping::{shell_words, wrapped, wrapped_words};

/// Spaces between columns of a table.
const GAP: usize = 2;
/// Indent of the columns of a row that does not fit side by side.
const INDENT: usize = 4;
/// Maximum width of the names of such columns; a longer one shifts its value.
const LABEL_AT_MOST: usize = 24;
/// Column of the text after a label or a finding's class.
const HANG: usize = 14;
/// Width below which a column of words is not broken further: such a table is written row by row.
const WORDS_AT_LEAST: usize = 16;
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
            for group in
                cells.chunk_by(|(one, _), (next, _)| !one.group.is_empty() && one.group == next.group)
            {
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

/// The widths of a table's columns.
struct Layout {
    natural: Vec<usize>,
    least: Vec<usize>,
}

impl Layout {
    fn of(table: &Table) -> Self {
        let has_groups = has_groups(table);
        let texts = |index: usize| {
            let column = &table.columns[index];
            let cells = table.rows.iter().flat_map(move |row| row[index].iter()).map(|line| plain(line));
            header(table, index, has_groups).into_iter().chain(cells).map(move |text| (text, column.kind))
        };
        let width = |text: &str| text.chars().count();
        let natural = |index| texts(index).map(|(text, _)| width(&text)).max().unwrap_or(0);
        let least = |index: usize| {
            let room = |(line, (text, kind)): (usize, (String, ColumnKind))| {
                let longest_word = text.split(' ').map(width).max().unwrap_or(0);
                match kind {
                    // The name of a column may be broken; its group and its numbers may not.
                    ColumnKind::Numbers if line == usize::from(has_groups) => longest_word,
                    ColumnKind::Numbers => width(&text),
                    ColumnKind::Words => longest_word.max(width(&text).min(WORDS_AT_LEAST)),
                }
            };
            texts(index).enumerate().map(room).max().unwrap_or(0)
        };
        let columns = 0..table.columns.len();
        Self { natural: columns.clone().map(natural).collect(), least: columns.map(least).collect() }
    }

    /// The header of each column, at the bottom of their common height. Where room is scarce, the names of numbers are broken.
    fn headers(&self, table: &Table, has_groups: bool, is_narrow: bool) -> Vec<String> {
        let lines = |index: usize| {
            let mut lines = header(table, index, has_groups);
            let breaks = is_narrow && table.columns[index].kind == ColumnKind::Numbers;
            if let Some(name) = lines.pop_if(|_| breaks) {
                lines.extend(wrapped(&name, Some(self.least[index]), 0, 0));
            }
            lines
        };
        let mut all: Vec<Vec<String>> = (0..table.columns.len()).map(lines).collect();
        let height = all.iter().map(Vec::len).max().unwrap_or(0);
        for lines in &mut all {
            let below_group = usize::from(has_groups);
            lines.splice(below_group..below_group, vec![String::new(); height - lines.len()]);
        }
        all.into_iter().map(|lines| lines.join("\n")).collect()
    }

    /// The lines of the table, within `width` if given.
    fn drawn(&self, table: &Table, width: Option<usize>) -> Vec<String> {
        let has_groups = has_groups(table);
        let mut drawing = comfy_table::Table::new();
        drawing.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        drawing.set_header(self.headers(table, has_groups, width.is_some()));
        for row in &table.rows {
            let lines = |cell: &Cell| cell.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n");
            drawing.add_row(row.iter().map(lines));
        }
        if let Some(width) = width {
            drawing.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns(width + GAP));
        }
        for (index, column) in drawing.column_iter_mut().enumerate() {
            column.set_padding((0, columns(GAP)));
            if table.columns[index].kind == ColumnKind::Numbers {
                column.set_cell_alignment(CellAlignment::Right);
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if width.is_some() {
                let least = columns(self.least[index] + GAP);
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        drawing.lines().collect()
    }
}

/// The width of columns side by side.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

fn columns(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

fn has_groups(table: &Table) -> bool {
    table.columns.iter().any(|column| !column.group.is_empty())
}

/// The header of a column: its group above the first column of the group, and its name.
fn header(table: &Table, index: usize, has_groups: bool) -> Vec<String> {
    let column = &table.columns[index];
    let begins_group = index == 0 || table.columns[index - 1].group != column.group;
    let group = if begins_group { column.group } else { "" };
    let name = plain(&column.name);
    if has_groups { vec![group.to_owned(), name] } else { vec![name] }
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
            "                    reaction time",
            "           publish",
            "           service",
            "variant        max            p50  what the broker",
            "                                   did",
            "drip-qos1  22.9 ms           1 µs  still served by",
            "                                   it",
            "drip-qos0     4 ms           2 µs  FIN",
        ];
        assert_eq!(shown(51).lines().collect::<Vec<_>>(), table, "{}", shown(51));
        let rows: Vec<String> = shown(50).lines().map(str::to_owned).collect();
        assert_eq!(rows[..2], ["variant drip-qos1", "    publish service max  22.9 ms"], "{rows:?}");
    }
}
