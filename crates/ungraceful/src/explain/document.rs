//! A small document, as text for a terminal and as Markdown. Its contents come from logs, so they are escaped here.

use ungraceful_report::escape;

/// Columns of running text.
const WIDTH: usize = 80;

#[derive(Clone, Debug)]
pub(super) enum Block {
    /// A heading.
    Heading(String),
    /// Running text.
    Paragraph(String),
    /// Names with explanations; several texts are a list.
    Terms(Vec<(String, Vec<String>)>),
    /// A table, its head first; columns of numbers are marked.
    Table { head: Vec<&'static str>, numbers: Vec<usize>, rows: Vec<Vec<String>> },
}

/// The document as text.
pub(super) fn text(blocks: &[Block]) -> String {
    let mut shown = String::new();
    for block in blocks {
        match block {
            Block::Heading(heading) => shown.push_str(&format!("\n{}", wrapped(&escape::plain(heading), 2))),
            Block::Paragraph(paragraph) => shown.push_str(&wrapped(&escape::plain(paragraph), 0)),
            Block::Terms(terms) => {
                let width = terms.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 4;
                for (name, texts) in terms {
                    let mut label = format!("  {name:<rest$}", rest = width - 2);
                    let mark = if texts.len() > 1 { "- " } else { "" };
                    for text in texts {
                        let body = wrapped(&escape::plain(text), width + mark.len());
                        shown.push_str(&label);
                        shown.push_str(mark);
                        shown.push_str(&body);
                        label = " ".repeat(width);
                    }
                }
            }
            Block::Table { head, numbers, rows } => shown.push_str(&text_table(head, numbers, rows)),
        }
    }
    shown.trim_start_matches('\n').to_owned()
}

/// `text` in lines, all but the first indented.
fn wrapped(text: &str, indent: usize) -> String {
    // A command is copied as it stands: a line break in it would end it.
    let room =
        if text.starts_with("ungraceful-") { usize::MAX } else { WIDTH.saturating_sub(indent).max(20) };
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join(&format!("\n{}", " ".repeat(indent))) + "\n"
}

fn text_table(head: &[&str], numbers: &[usize], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape::plain(cell)).collect()).collect();
    let all = || std::iter::once(&head).chain(&rows);
    let columns = head.len();
    let widths: Vec<usize> =
        (0..columns).map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut shown = String::new();
    for row in all() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let cell =
                if numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str("  ");
            line.push_str(&cell);
        }
        shown.push_str(line.trim_end());
        shown.push('\n');
    }
    shown
}

/// The document as Markdown.
pub(super) fn markdown(blocks: &[Block]) -> String {
    let mut shown = String::new();
    for block in blocks {
        match block {
            Block::Heading(heading) => shown.push_str(&format!("## {}\n\n", escape::markdown(heading))),
            Block::Paragraph(paragraph) => shown.push_str(&format!("{}\n\n", escape::markdown(paragraph))),
            Block::Terms(terms) => {
                for (name, texts) in terms {
                    for text in texts {
                        shown.push_str(&format!(
                            "- **{}**: {}\n",
                            escape::markdown(name),
                            escape::markdown(text)
                        ));
                    }
                }
                shown.push('\n');
            }
            Block::Table { head, numbers, rows } => {
                shown.push_str(&format!("| {} |\n", head.join(" | ")));
                let rules: Vec<&str> = (0..head.len())
                    .map(|column| if numbers.contains(&column) { "---:" } else { "---" })
                    .collect();
                shown.push_str(&format!("|{}|\n", rules.join("|")));
                for row in rows {
                    let cells: Vec<String> = row.iter().map(|cell| escape::markdown(cell)).collect();
                    shown.push_str(&format!("| {} |\n", cells.join(" | ")));
                }
                shown.push('\n');
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Block, markdown, text};

    fn document() -> Vec<Block> {
        vec![
            Block::Heading("a <heading>".into()),
            Block::Paragraph("said of \u{1b}[31m".into()),
            Block::Terms(vec![
                ("one".into(), vec!["first".into(), "second".into()]),
                ("three".into(), vec!["x".into()]),
            ]),
            Block::Table {
                head: vec!["name", "count"],
                numbers: vec![1],
                rows: vec![vec!["a|b".into(), "5".into()], vec!["c".into(), "12".into()]],
            },
        ]
    }

    #[test]
    fn text_is_aligned_and_has_no_control_characters() {
        let expected = "a <heading>\nsaid of \\u{1b}[31m\n  one    - first\n         - second\n  three  x\n  name  count\n  a|b       5\n  c        12\n";
        assert_eq!(text(&document()), expected);
    }

    #[test]
    fn markdown_escapes_text_from_a_log() {
        let shown = markdown(&document());
        assert!(shown.contains("## a &lt;heading&gt;") && shown.contains("| a\\|b | 5 |"), "{shown}");
        assert!(shown.contains("- **one**: first\n- **one**: second\n"), "{shown}");
    }

    #[test]
    fn a_command_is_never_wrapped() {
        let command = format!("ungraceful-vanish drop {}", "--flag value ".repeat(20).trim_end());
        let shown = text(&[Block::Terms(vec![("reproduce".into(), vec![command.clone()])])]);
        assert!(shown.contains(&command), "{shown}");
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        let long = "word ".repeat(60);
        let shown = text(&[Block::Paragraph(long.trim_end().to_owned())]);
        assert!(shown.lines().count() > 1 && shown.lines().all(|line| line.len() <= super::WIDTH), "{shown}");
    }
}
