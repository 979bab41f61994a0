//! What a report says, before it is written as text or as Markdown: one content, so that both say the same.
//!
//! Texts here are not escaped yet; each writer escapes every text that it writes.

use ungraceful_record::verdict::{Conclusion, Verdict};

/// A report, block by block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// The first line.
    Title(String),
    /// Something that nobody may overlook.
    Alarm { word: String, text: String },
    /// A plain line.
    Line(String),
    /// A line with a label before it.
    Labelled { label: &'static str, text: String },
    /// Begins a part of the report.
    Heading(String),
    /// A table.
    Table(Table),
    /// A finding.
    Finding(Finding),
    /// The line that the report ends with.
    Ending(String),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// How many of the first columns say what a row is about.
    pub(crate) keys: usize,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// What this column and its neighbours of the same group show a part of; empty for a column by itself.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Words, which may be wrapped.
    Words,
    /// Numbers, which are never broken, and stand to the right.
    Numbers,
}

/// A cell: its lines.
pub(crate) type Cell = Vec<String>;

impl Column {
    pub(crate) fn words(name: impl Into<String>) -> Self {
        Self { group: "", name: name.into(), kind: ColumnKind::Words }
    }

    pub(crate) fn numbers(name: impl Into<String>) -> Self {
        Self { group: "", name: name.into(), kind: ColumnKind::Numbers }
    }

    pub(crate) fn in_group(self, group: &'static str) -> Self {
        Self { group, ..self }
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

/// A finding: one claim, and what was seen of it in one or several cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) class: Class,
    /// Statement and check.
    pub(crate) claim: String,
    pub(crate) points: Vec<Point>,
}

/// What was seen in one case, or in several alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) text: String,
    /// The command that shows it again, already quoted for a shell.
    pub(crate) command: Option<String>,
}

/// The classes of findings, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Violated,
    Differs,
    Inconclusive,
    Holds,
}

impl Class {
    pub(crate) const ALL: [Self; 4] = [Self::Violated, Self::Differs, Self::Inconclusive, Self::Holds];

    /// The class that a verdict is shown in: a deviation from what is merely allowed holds, and is told all the same.
    pub(crate) const fn of(verdict: &Verdict) -> Self {
        match verdict.conclusion {
            Conclusion::Violated => Self::Violated,
            Conclusion::Inconclusive => Self::Inconclusive,
            Conclusion::Holds if verdict.differs.is_some() => Self::Differs,
            Conclusion::Holds => Self::Holds,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Violated => "VIOLATED",
            Self::Differs => "differs",
            Self::Inconclusive => "inconclusive",
            Self::Holds => "holds",
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

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.push(Block::Heading(text.into()));
    }
}
