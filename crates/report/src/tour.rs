//! The report of a tour: several short runs, one for each cause of ungraceful disconnects, side by side.
//!
//! Reads the records of these runs. What was judged was judged run by run; here it is brought together.

use std::path::PathBuf;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::exit_of;

use crate::summary::{ExitSummary, Summary};
use crate::{Context, Format, escape, markdown, per_case, sections, text};

/// Version of the tour's format; grows with every change that a reader must know of.
pub const TOUR_VERSION: u32 = 1;

/// A tour that was made, or as much of it as was.
#[derive(Clone, Debug)]
pub struct Tour {
    /// Version of the program.
    pub version: String,
    /// The seed that all of its runs share.
    pub seed: u64,
    /// When it began, in UTC (RFC 3339).
    pub started_utc: String,
    /// How long it took, in µs.
    pub duration_us: u64,
    /// What became of each cause, in the order in which they were shown.
    pub causes: Vec<Cause>,
}

/// One cause of ungraceful disconnects.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// What it is called in the table, in a few words.
    pub title: &'static str,
    /// What each client did, in a few words.
    pub done: &'static str,
    /// The facts that tell of Will and session, by the name that the fault gives them.
    pub facts: &'static [&'static str],
    /// The command that shows this cause alone.
    pub command: String,
    /// What came of it.
    pub shown: Shown,
}

/// What came of a cause.
#[derive(Clone, Debug)]
pub enum Shown {
    /// It was run.
    Run {
        /// The record of the run, judged.
        record: Box<Record>,
        /// The record's folder.
        directory: PathBuf,
    },
    /// This target can't show it, so it was not planned and nothing is judged.
    CannotBeShown {
        /// Why.
        why: String,
        /// What would let it be shown.
        cure: String,
    },
    /// It was planned, and its run could not be made.
    Failed {
        /// Why, in words.
        why: String,
        /// The exit code that tells it.
        exit: Exit,
    },
}

impl Cause {
    /// The record; absent when there was no run.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match &self.shown {
            Shown::Run { record, .. } => Some(record),
            Shown::CannotBeShown { .. } | Shown::Failed { .. } => None,
        }
    }

    /// The exit code that it alone comes to; absent when it was not planned.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        match &self.shown {
            Shown::Run { record, .. } => Some(exit_of(record)),
            Shown::CannotBeShown { .. } => None,
            Shown::Failed { exit, .. } => Some(*exit),
        }
    }
}

impl Tour {
    /// The exit code that the tour comes to, by the worst of its runs: an interruption and a defect of ours go first; then a
    /// violation, which stands in a record and is not taken back by a run that could not be made; then why that one could not;
    /// then what is inconclusive. A cause that the target can't show was not planned and does not count, but a tour without
    /// any run shows nothing.
    #[must_use]
    pub fn exit(&self) -> Exit {
        const THE_WORST_FIRST: [Exit; 6] = [
            Exit::Interrupted,
            Exit::Bug,
            Exit::Violated,
            Exit::Environment,
            Exit::Usage,
            Exit::Inconclusive,
        ];
        let exits: Vec<Exit> = self.causes.iter().filter_map(Cause::exit).collect();
        if exits.is_empty() {
            return Exit::Inconclusive;
        }
        THE_WORST_FIRST.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Holds)
    }

    /// The records, in the order of the causes.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.causes.iter().filter_map(Cause::record)
    }
}

/// The report of `tour` in `format`, ending in a line end.
#[must_use]
pub fn render_tour(tour: &Tour, format: Format, context: &Context) -> String {
    match format {
        Format::Text => text::write(&sections::tour::compose(tour, context), context),
        Format::Markdown => markdown::write(&sections::tour::compose(tour, context)),
        Format::Json => json(tour, context),
        Format::Csv => per_case::write(tour.records().flat_map(|record| &record.cases)),
    }
}

#[derive(Serialize)]
struct TourSummary<'a> {
    tour_version: u32,
    version: &'a str,
    seed: u64,
    started_utc: &'a str,
    duration_us: u64,
    exit: ExitSummary,
    causes: Vec<CauseSummary<'a>>,
    record_dir: Option<String>,
}

#[derive(Serialize)]
struct CauseSummary<'a> {
    name: &'a str,
    title: &'a str,
    command: &'a str,
    /// Absent when it was not planned.
    exit: Option<ExitSummary>,
    not_shown: Option<NotShown<'a>>,
    run: Option<Summary<'a>>,
}

#[derive(Serialize)]
struct NotShown<'a> {
    why: &'a str,
    cure: Option<&'a str>,
}

/// The tour as JSON; each run in it as `--format json` of its own tool has it.
fn json(tour: &Tour, context: &Context) -> String {
    let causes = tour.causes.iter().map(|cause| CauseSummary {
        name: cause.name,
        title: cause.title,
        command: &cause.command,
        exit: cause.exit().map(ExitSummary::of),
        not_shown: match &cause.shown {
            Shown::Run { .. } => None,
            Shown::CannotBeShown { why, cure } => Some(NotShown { why, cure: Some(cure) }),
            Shown::Failed { why, .. } => Some(NotShown { why, cure: None }),
        },
        run: match &cause.shown {
            Shown::Run { record, directory } => {
                let context = Context { record_dir: Some(directory.clone()), ..Context::default() };
                Some(Summary::of(record, &context))
            }
            Shown::CannotBeShown { .. } | Shown::Failed { .. } => None,
        },
    });
    let summary = TourSummary {
        tour_version: TOUR_VERSION,
        version: &tour.version,
        seed: tour.seed,
        started_utc: &tour.started_utc,
        duration_us: tour.duration_us,
        exit: ExitSummary::of(tour.exit()),
        causes: causes.collect(),
        record_dir: context.record_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
    };
    let written = serde_json::to_string_pretty(&summary)
        .expect("a summary holds text, numbers and maps with text keys, all of which JSON can hold");
    escape::json(&written) + "\n"
}
