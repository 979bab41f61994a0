//! A report as Markdown, for an issue or a wiki.

use comfy_table::presets;

use crate::document::{Block, Cell, Document, Finding, Table};
use crate::escape::{markdown, plain};

/// Writes `document`.
pub(crate) fn write(document: &Document) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    for block in &document.blocks {
        paragraphs.push(match block {
            Block::Title(text) => format!("# {}", markdown(text)),
            Block::Alarm { word, text } => format!("> **{}**: {}", markdown(word), markdown(text)),
            Block::Line(text) => markdown(text),
            Block::Labelled { label, text } => format!("**{}**: {}", markdown(label), markdown(text)),
            Block::Command(command) => {
                let command = plain(command);
                let fence = fence(&command);
                format!("{fence}sh\n{command}\n{fence}")
            }
            Block::Heading(text) => format!("## {}", markdown(text)),
            Block::Table(table) => table_text(table),
            Block::Finding(finding) => finding_text(finding),
            Block::Ending(text) => format!("**{}**", markdown(text)),
        });
    }
    paragraphs.join("\n\n") + "\n"
}

fn table_text(table: &Table) -> String {
    let mut drawing = comfy_table::Table::new();
    drawing.load_style(presets::ASCII_MARKDOWN);
    drawing.set_header(table.columns.iter().map(|column| markdown(&column.full_name())));
    for row in &table.rows {
        let lines = |cell: &Cell| cell.iter().map(|line| markdown(line)).collect::<Vec<_>>().join("<br>");
        drawing.add_row(row.iter().map(lines));
    }
    drawing.to_string()
}

fn finding_text(finding: &Finding) -> String {
    let mut text = format!("- **{}** {}", finding.class.name(), markdown(&finding.claim));
    for point in &finding.points {
        text += &format!("\n  - {}", markdown(&point.text));
        if let Some(command) = &point.command {
            let command = plain(command);
            let fence = fence(&command);
            text += &format!("\n\n    {fence}sh\n    {command}\n    {fence}\n");
        }
    }
    text.trim_end().to_owned()
}

/// A fence that `text` does not contain.
fn fence(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::fence;

    #[test]
    fn a_command_with_backticks_stays_in_its_block() {
        assert_eq!(fence("a b"), "```");
        assert_eq!(fence("a ```` b"), "`````");
    }
}
