//! What a page shows, in its order: verdicts, findings, pictures, tables, and the circumstances of the run.

use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use ungraceful_record::exit::Exit as Code;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::exit_of;

use super::matrix::{self, Matrix};
use super::pictures::{self, Picture};
use super::reactions::Reactions;
use super::timeline::{Column as Measured, Timeline};
use super::windows::{Window, Windows};
use super::{distributions, facts, verdicts};
use crate::Context;
use crate::document::{Block, Class, Column, Document, Finding, Table, cell};
use crate::percentile::{Figure, NONE};
use crate::scale::{bytes, count, time};
use crate::sections;
use crate::tour::Tour;

/// A page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The title, alarms and lines about the run.
    pub(super) opening: Vec<Block>,
    pub(super) exit: Exit,
    /// Number of verdicts by class; empty without any.
    pub(super) counts: Vec<verdicts::Counted>,
    /// Whether it is the page of a single run, which has verdicts of its own.
    pub(super) is_run: bool,
    /// The answer of a rate search.
    pub(super) answer: Option<Section>,
    /// Every claim that does not simply hold, with citation and evidence.
    pub(super) verdicts: Vec<Finding>,
    /// The claims that hold.
    pub(super) verdicts_that_hold: Vec<Finding>,
    /// A sentence per finding.
    pub(super) findings: Vec<Finding>,
    /// What is said beside the findings.
    pub(super) finding_lines: Vec<Block>,
    pub(super) matrix: Option<Matrix>,
    pub(super) pictures: Vec<Picture>,
    /// The sections of the text report.
    pub(super) sections: Vec<Section>,
    /// The numbers of the pictures.
    pub(super) numbers: Vec<Numbers>,
    /// The command of the run.
    pub(super) command: Option<String>,
    /// Settings, machine and broker.
    pub(super) circumstances: Vec<Numbers>,
    /// The generator's health.
    pub(super) closing: Vec<Block>,
    pub(super) generator: Option<Table>,
}

/// The exit code with its reason, and its class.
#[derive(Debug, Serialize)]
pub(super) struct Exit {
    text: String,
    class: Class,
}

/// A section of the report.
#[derive(Debug, Default, Serialize)]
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) blocks: Vec<Block>,
    /// The page of each row of its table; empty without any.
    pub(super) pages: Vec<Option<String>>,
}

/// A table with a title.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    title: String,
    /// How to read it; empty where that is clear.
    note: String,
    table: Table,
}

impl Exit {
    /// The exit code, as the last line of a report has it.
    pub(super) fn of(exit: Code, closing: &Document) -> Self {
        let class = match exit {
            Code::Holds => Class::Holds,
            Code::Violated => Class::Violated,
            _ => Class::Inconclusive,
        };
        let ending = closing.blocks.iter().find_map(|block| match block {
            Block::Ending(text) => Some(text.clone()),
            _ => None,
        });
        Self { text: ending.unwrap_or_default(), class }
    }
}

/// The page of `record`, whose files are in `folder`.
pub(super) fn of_run(record: &Record, folder: &Path) -> Page {
    let context = Context { record_dir: Some(folder.to_owned()), ..Context::default() };
    let parts = sections::parts(record, &context);
    let rows = verdicts::rows(record).into_iter();
    let (verdicts_that_hold, verdicts) = rows.partition(|row| row.class == Class::Holds);
    let timeline = Timeline::read(record, folder);
    let windows = Windows::read(folder, timeline.seconds);
    let reactions = Reactions::read(record, folder, timeline.seconds);
    let (of_attempts, of_load, of_bystanders) = (
        distributions::of_attempts(record),
        distributions::of_load(record),
        distributions::of_bystanders(record),
    );
    let mut pictures = pictures::over_time(record, &timeline, &reactions, &windows);
    let picture = pictures::of_percentiles;
    if record.load.is_some() {
        pictures.push(picture(
            "load-distribution",
            "The load's times by percentile",
            &of_load,
            "The load timed no message.",
        ));
    } else {
        let none = "No reaction was timed in this run.";
        pictures.push(picture("reaction-times", "Reaction time by percentile", &of_attempts, none));
    }
    if record.bystanders.is_some() {
        let none = "No bystander message was timed in this run.";
        let title = "Bystanders' times by percentile";
        pictures.push(picture("bystander-distribution", title, &of_bystanders, none));
    }
    let shown = if record.load.is_some() { of_load } else { of_attempts };
    let times: Vec<_> = shown.into_iter().chain(of_bystanders).collect();
    let numbers = |title: &str, note: String, table| Numbers { title: title.to_owned(), note, table };
    let note = match timeline.seconds.each {
        1 => String::new(),
        several => format!(
            "Each row covers {several} seconds: counts are added up, everything else is the highest value."
        ),
    };
    let mut all = vec![numbers("Distributions", String::new(), pictures::table_of_percentiles(&times))];
    all.extend((!timeline.points.is_empty()).then(|| numbers("Timeline", note, over_time(&timeline))));
    for (title, windows) in [
        ("Response time of the bystanders", &windows.bystanders),
        ("Response time of the load", &windows.load),
    ] {
        let note = "Each row covers the seconds of a phase that together have 1,000 samples.".to_owned();
        all.extend((!windows.is_empty()).then(|| numbers(title, note, by_window(windows))));
    }
    all.extend((!reactions.points.is_empty()).then(|| {
        let title = format!("Reactions per {}", timeline.seconds.unit());
        numbers(&title, "A second without a row had no reaction.".to_owned(), by_kind(&reactions, &timeline))
    }));
    Page {
        opening: parts.opening.blocks,
        exit: Exit::of(exit_of(record), &parts.closing),
        counts: verdicts::counts(&record.verdicts.iter().collect::<Vec<_>>()),
        is_run: true,
        answer: None,
        verdicts,
        verdicts_that_hold,
        findings: verdicts::sentences(record),
        finding_lines: lines_of(parts.findings).1,
        matrix: matrix::of_run(record),
        pictures,
        sections: in_sections(parts.measured),
        numbers: all,
        command: facts::command(record),
        circumstances: vec![
            numbers("Settings", String::new(), facts::settings(record)),
            numbers("Program and machine", String::new(), facts::host(record)),
            numbers("Broker", String::new(), facts::broker(record)),
        ],
        closing: without_ending(parts.closing),
        generator: Some(facts::generator(record)),
    }
}

/// The page of `tour`, whose runs have folders in `folder`.
pub(super) fn of_tour(tour: &Tour, folder: &Path) -> Page {
    let context = Context { record_dir: Some(folder.to_owned()), ..Context::default() };
    let parts = sections::tour::parts(tour, &context);
    let (findings, finding_lines) = lines_of(parts.findings);
    Page {
        opening: parts.opening.blocks,
        exit: Exit::of(tour.exit(), &parts.closing),
        counts: verdicts::counts(&tour.records().flat_map(|record| &record.verdicts).collect::<Vec<_>>()),
        is_run: false,
        answer: None,
        verdicts: Vec::new(),
        verdicts_that_hold: Vec::new(),
        findings,
        finding_lines,
        matrix: Some(matrix::of_tour(tour)),
        pictures: Vec::new(),
        sections: in_sections(parts.measured),
        numbers: Vec::new(),
        command: None,
        circumstances: Vec::new(),
        closing: without_ending(parts.closing),
        generator: None,
    }
}

/// The findings of a section, and the lines beside them.
fn lines_of(document: Document) -> (Vec<Finding>, Vec<Block>) {
    let (mut findings, mut lines) = (Vec::new(), Vec::new());
    for block in document.blocks {
        match block {
            Block::Finding(finding) => findings.push(finding),
            Block::Heading(_) => {}
            line => lines.push(line),
        }
    }
    (findings, lines)
}

/// The blocks below each heading.
pub(super) fn in_sections(document: Document) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for block in document.blocks {
        match (block, sections.last_mut()) {
            (Block::Heading(heading), _) => sections.push(Section { heading, ..Section::default() }),
            (block, Some(section)) => section.blocks.push(block),
            (block, None) => sections.push(Section { blocks: vec![block], ..Section::default() }),
        }
    }
    sections
}

/// The blocks of the closing without its heading and the exit code, which a page has at its top.
pub(super) fn without_ending(document: Document) -> Vec<Block> {
    let blocks = document.blocks.into_iter();
    blocks.filter(|block| !matches!(block, Block::Heading(_) | Block::Ending(_))).collect()
}

/// The timeline as a table; a column without any value is left out.
fn over_time(timeline: &Timeline) -> Table {
    let shown: Vec<Measured> = Measured::ALL.into_iter().filter(|column| timeline.has(*column)).collect();
    let mut columns = vec![Column::numbers("second"), Column::words("phase")];
    columns.extend(shown.iter().map(|column| Column::numbers(title(*column))));
    let rows = timeline.points.iter().map(|point| {
        let phases: Vec<&str> = point.phases.iter().map(|phase| phase.name()).collect();
        let mut row = vec![cell(timeline.seconds.shown(point.number)), cell(phases.join(", "))];
        row.extend(shown.iter().map(|column| {
            cell(point.of(*column).map_or_else(|| NONE.to_owned(), |value| in_unit(*column, value)))
        }));
        row
    });
    Table { columns, rows: rows.collect(), keys: 2 }
}

/// The name of a column, without its unit.
fn title(column: Measured) -> String {
    column.name().replace("_us", "").replace("_bytes", "").replace('_', " ")
}

/// A value of a column, with its unit.
fn in_unit(column: Measured, value: u64) -> String {
    let name = column.name();
    if name.contains("_us") {
        time(value)
    } else if name.ends_with("_bytes") {
        bytes(value)
    } else {
        count(value)
    }
}

/// The percentiles of each window as a table.
fn by_window(windows: &[Window]) -> Table {
    let mut columns = vec![Column::numbers("seconds"), Column::words("phase"), Column::numbers("samples")];
    columns.extend(Figure::ALL.map(|figure| Column::numbers(figure.name())));
    let row = |window: &Window| {
        let Range { start, end } = window.seconds;
        let seconds = if end - start == 1 { start.to_string() } else { format!("{start}–{}", end - 1) };
        let mut row = vec![cell(seconds), cell(window.phase.name()), cell(count(window.of.count))];
        row.extend(Figure::ALL.map(|figure| cell(figure.shown(&window.of))));
        row
    };
    Table { columns, rows: windows.iter().map(row).collect(), keys: 2 }
}

/// The reactions of each second as a table.
fn by_kind(reactions: &Reactions, timeline: &Timeline) -> Table {
    let mut columns = vec![Column::numbers("second")];
    columns.extend(reactions.kinds.iter().map(|kind| Column::numbers(kind.clone())));
    let rows = reactions.points.iter().map(|(point, counts)| {
        let mut row = vec![cell(timeline.seconds.shown(*point))];
        row.extend(counts.iter().map(|number| cell(count(*number))));
        row
    });
    Table { columns, rows: rows.collect(), keys: 1 }
}
