//! The report of a tour: several short runs side by side, one for each cause of ungraceful disconnects.
//!
//! Combines the judged records of these runs.

use std::path::PathBuf;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::Record;
use ungraceful_record::verdict::{exit_of, why_exit};

use crate::summary::{ExitSummary, Summary};
use crate::{Context, Format, escape, junit, markdown, per_case, sections, text};

/// Version of the tour's format; grows with every change that affects readers.
pub const TOUR_VERSION: u32 = 1;

/// A tour, complete or stopped early.
#[derive(Clone, Debug)]
pub struct Tour {
    /// Version of the program.
    pub version: String,
    /// The seed of all runs.
    pub seed: u64,
    /// Start time, in UTC (RFC 3339).
    pub started_utc: String,
    /// Duration, in µs.
    pub duration_us: u64,
    /// The causes, in order.
    pub causes: Vec<Cause>,
}

/// One cause of ungraceful disconnects.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Its name for `--only`.
    pub name: &'static str,
    /// Its title in the table.
    pub title: &'static str,
    /// What each client did.
    pub done: &'static str,
    /// The names of the facts about Will and session.
    pub facts: &'static [&'static str],
    /// The command that runs only this cause.
    pub command: String,
    /// Its result.
    pub shown: Shown,
}

/// The result of a cause.
#[derive(Clone, Debug)]
pub enum Shown {
    /// It was run.
    Run {
        /// The record of the run, judged.
        record: Box<Record>,
        /// The record's folder.
        directory: PathBuf,
    },
    /// The target does not support it, so it was not planned and nothing is judged.
    CannotBeShown {
        /// Why.
        why: String,
        /// How to include it.
        cure: String,
    },
    /// It was planned, but the run failed.
    Failed {
        /// Why.
        why: String,
        /// The exit code of the failure.
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

    /// Its own exit code; absent when it was not planned.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        match &self.shown {
            Shown::Run { record, .. } => Some(exit_of(record)),
            Shown::CannotBeShown { .. } => None,
            Shown::Failed { exit, .. } => Some(*exit),
        }
    }
}

impl Cause {
    /// Its own exit code in words; absent when it was not planned.
    fn exit_in_words(&self) -> Option<(Exit, String)> {
        match &self.shown {
            Shown::Run { record, .. } => Some((exit_of(record), why_exit(record))),
            Shown::CannotBeShown { .. } => None,
            Shown::Failed { exit, why } => Some((*exit, why.clone())),
        }
    }
}

impl Tour {
    /// The exit code of the worst run: an interruption or a bug first; then a violation, which a failed run does not take
    /// back; then the reason of a failed run; then inconclusive. Causes that were not planned don't count, but a tour without
    /// any run is inconclusive.
    #[must_use]
    pub fn exit(&self) -> Exit {
        const WORST_FIRST: [Exit; 6] = [
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
        WORST_FIRST.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Holds)
    }

    /// The exit code in words.
    pub(crate) fn why_exit(&self) -> String {
        match self.exit() {
            Exit::Inconclusive => {
                "inconclusive: not every cause gave an answer; the findings say why".to_owned()
            }
            exit => exit.meaning().to_owned(),
        }
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
        Format::Junit => junit::write_tour(tour),
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

/// The tour as JSON; each run has the format of `--format json` of its tool.
fn json(tour: &Tour, context: &Context) -> String {
    let causes = tour.causes.iter().map(|cause| CauseSummary {
        name: cause.name,
        title: cause.title,
        command: &cause.command,
        exit: cause.exit_in_words().map(|(exit, why)| ExitSummary::of(exit, why)),
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
        exit: ExitSummary::of(tour.exit(), tour.why_exit()),
        causes: causes.collect(),
        record_dir: context.record_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
    };
    escape::to_json(&summary)
}
