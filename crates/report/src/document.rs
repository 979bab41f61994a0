//! The content of a report, shared by the text and the Markdown writer.
//!
//! Texts are not escaped here; each writer escapes every text that it writes.

use std::collections::BTreeSet;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::verdict::{Conclusion, Verdict};

/// A report, block by block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) blocks: Vec<Block>,
    /// The percentiles that were left out somewhere, after the number of samples that they need.
    pub(crate) too_few: BTreeSet<(u64, &'static str)>,
}

/// A block of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub(crate) enum Block {
    /// The first line.
    Title(String),
    /// Something that must not be overlooked.
    Alarm {
        word: String,
        text: String,
    },
    /// A plain line.
    Line(String),
    /// A line with a label before it.
    Labelled {
        label: &'static str,
        text: String,
    },
    /// A command, quoted for a shell, that can be copied.
    Command(String),
    /// A section heading.
    Heading(String),
    Table(Table),
    Finding(Finding),
    /// The last line.
    Ending(String),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// How many of the first columns identify a row.
    pub(crate) keys: usize,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    /// The heading above neighbouring columns of the same group; empty for a single column.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    /// Whether it stays although it has the same value in every row.
    #[serde(skip)]
    pub(crate) always: bool,
}

/// The content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnKind {
    /// May be wrapped.
    Words,
    /// Never wrapped, and aligned to the right.
    Numbers,
}

/// A cell: its lines.
pub(crate) type Cell = Vec<String>;

impl Column {
    pub(crate) fn words(name: impl Into<String>) -> Self {
        Self { group: "", name: name.into(), kind: ColumnKind::Words, always: false }
    }

    pub(crate) fn numbers(name: impl Into<String>) -> Self {
        Self { group: "", name: name.into(), kind: ColumnKind::Numbers, always: false }
    }

    pub(crate) fn in_group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// A column that stays although it has the same value in every row.
    pub(crate) fn always(self) -> Self {
        Self { always: true, ..self }
    }

    /// The name with its group.
    pub(crate) fn full_name(&self) -> String {
        [self.group, &self.name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// A cell of one line.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    vec![text.into()]
}

/// A finding: one claim, and what one or several cases showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) class: Class,
    /// Statement and check.
    pub(crate) claim: String,
    pub(crate) points: Vec<Point>,
}

/// The evidence of one case, or of several alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Point {
    pub(crate) text: String,
    /// The command that reproduces it, quoted for a shell.
    pub(crate) command: Option<String>,
}

ungraceful_record::words! {
    /// The classes of findings, worst first.
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    pub(crate) enum Class: "class" {
        Violated = "VIOLATED",
        Accepted = "accepted",
        Differs = "differs",
        Inconclusive = "inconclusive",
        Holds = "holds",
    }
}

impl Class {
    /// The class of a verdict; one that holds with a note differs.
    pub(crate) const fn of(verdict: &Verdict) -> Self {
        match verdict.conclusion {
            Conclusion::Violated if verdict.accepted.is_some() => Self::Accepted,
            Conclusion::Violated => Self::Violated,
            Conclusion::Inconclusive => Self::Inconclusive,
            Conclusion::Holds if verdict.differs.is_some() => Self::Differs,
            Conclusion::Holds => Self::Holds,
        }
    }
}

impl Document {
    pub(crate) fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    pub(crate) fn line(&mut self, text: impl Into<String>) {
        self.push(Block::Line(text.into()));
    }

    pub(crate) fn labelled(&mut self, label: &'static str, text: impl Into<String>) {
        self.push(Block::Labelled { label, text: text.into() });
    }

    pub(crate) fn alarm(&mut self, word: impl Into<String>, text: impl Into<String>) {
        self.push(Block::Alarm { word: word.into(), text: text.into() });
    }

    pub(crate) fn ending(&mut self, exit: Exit, why: &str) {
        self.push(Block::Ending(format!("Exit {}: {why}", exit.code())));
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.push(Block::Heading(text.into()));
    }
}
