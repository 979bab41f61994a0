//! The columns of a table in text: their widths, and the lines of the table.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};

use crate::document::{Cell, ColumnKind, Table};
use crate::escape::plain;
use crate::wrapping::wrapped;

/// Spaces between columns of a table.
pub(super) const GAP: usize = 2;
/// Width below which a column of words is not broken further: such a table is written row by row.
const WORDS_AT_LEAST: usize = 14;

/// The widths of a table's columns.
pub(super) struct Layout {
    pub(super) natural: Vec<usize>,
    pub(super) least: Vec<usize>,
}

impl Layout {
    pub(super) fn of(table: &Table) -> Self {
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
                    // The name of a column may be broken, its numbers may not.
                    ColumnKind::Numbers if line <= usize::from(has_groups) => longest_word,
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
            let names = header(table, index, has_groups).into_iter().filter(|line| !line.is_empty());
            let breaks = is_narrow && table.columns[index].kind == ColumnKind::Numbers;
            let width = breaks.then_some(self.least[index]);
            names.flat_map(|line| wrapped(&line, width, 0, 0)).collect()
        };
        let all: Vec<Vec<String>> = (0..table.columns.len()).map(lines).collect();
        let height = all.iter().map(Vec::len).max().unwrap_or(0);
        let at_bottom = |lines: Vec<String>| [vec![String::new(); height - lines.len()], lines].concat();
        all.into_iter().map(|lines| at_bottom(lines).join("\n")).collect()
    }

    /// The lines of the table, within `width` if given.
    pub(super) fn drawn(&self, table: &Table, width: Option<usize>) -> Vec<String> {
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
pub(super) fn total(widths: &[usize]) -> usize {
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
