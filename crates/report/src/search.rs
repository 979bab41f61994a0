//! The report of a search for a rate: its trials side by side, and the highest rate that keeps the promise.
//!
//! Each trial is a run that was judged; here the runs are brought together.

use std::path::PathBuf;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::rate_search::{Came, Promise, RateSearch, TRIALS_MAX};
use ungraceful_record::run::Record;

use crate::summary::{ExitSummary, Summary};
use crate::{Context, Format, escape, markdown, per_case, sections, text};

/// Version of the search's format; grows with every change that a reader must know of.
pub const SEARCH_VERSION: u32 = 1;

/// A search that was made, or as much of it as was.
#[derive(Clone, Debug)]
pub struct Search {
    /// Version of the program.
    pub version: String,
    /// The tool with its mode.
    pub tool: String,
    /// The seed that all trials share.
    pub seed: u64,
    /// When it began, in UTC (RFC 3339).
    pub started_utc: String,
    /// How long it took, in µs.
    pub duration_us: u64,
    /// What the broker is to keep.
    pub promise: Promise,
    /// The trials, in the order in which they were made.
    pub trials: Vec<Trial>,
    /// What the trials amount to.
    pub rates: RateSearch,
    /// What ended it before its end; absent when nothing did.
    pub ended_by: Option<Exit>,
}

/// One rate that was tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Messages per second that fell due.
    pub per_second: f64,
    /// Whether the promise was kept.
    pub came: Came,
    /// What was seen.
    pub why: String,
    /// The record of the run, judged.
    pub record: Box<Record>,
    /// The record's folder.
    pub directory: PathBuf,
    /// The words of the command that makes this trial alone, without secrets.
    pub command: Vec<String>,
}

impl Search {
    /// The exit code that it comes to: what ended it before its end first; then whether the highest rate was found, no
    /// rate kept the promise, or it can't be told.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if let Some(exit) = self.ended_by {
            return exit;
        }
        match (self.rates.kept(), self.rates.limit()) {
            _ if self.rates.next().is_some() || self.is_cut_short() => Exit::Inconclusive,
            (_, Some((_, Came::GeneratorLate))) => Exit::Inconclusive,
            (Some(_), _) => Exit::Holds,
            (None, Some(_)) => Exit::Violated,
            (None, None) => Exit::Inconclusive,
        }
    }

    /// Whether a trial that can't be told, or their number, ended it.
    fn is_cut_short(&self) -> bool {
        self.trials.len() >= TRIALS_MAX || self.trials.last().is_none_or(|trial| trial.came == Came::Unknown)
    }

    /// The last trial at the highest rate that was kept.
    pub(crate) fn best(&self) -> Option<&Trial> {
        let kept = self.rates.kept()?;
        self.trials
            .iter()
            .rev()
            .find(|trial| trial.came == Came::Kept && trial.per_second.total_cmp(&kept).is_eq())
    }

    /// The last trial at the lowest rate that was not.
    pub(crate) fn beyond(&self) -> Option<&Trial> {
        let (limit, _) = self.rates.limit()?;
        self.trials.iter().rev().find(|trial| trial.per_second.total_cmp(&limit).is_eq())
    }

    /// What was found, in one sentence.
    pub(crate) fn found(&self) -> String {
        let kept = self.rates.kept().map(crate::scale::rate);
        let limit = self.rates.limit().map(|(rate, came)| (crate::scale::rate(rate), came));
        match (kept, limit) {
            (Some(kept), Some((limit, Came::GeneratorLate))) => {
                format!(
                    "at least {kept}; at {limit} the generator itself was late, so that nothing is known of the broker"
                )
            }
            (Some(kept), None) if self.rates.is_at_the_top() => {
                format!("at least {kept}, the highest rate that there is")
            }
            (Some(kept), None) => format!("at least {kept}; the search could not go on"),
            (Some(kept), Some((limit, _))) => format!("{kept}; at {limit} the promise was broken"),
            (None, Some((limit, Came::GeneratorLate))) => {
                format!(
                    "unknown: the limit is the generator, which was late itself down to {limit}, so that nothing is known of \
                     the broker; use a machine with less to do, --spin, or a longer --slip-limit"
                )
            }
            (None, Some((limit, _))) => format!("none: at {limit} the promise was broken already"),
            (None, None) => "unknown: no trial told it".to_owned(),
        }
    }
}

/// The report of `search` in `format`, ending in a line end.
#[must_use]
pub fn render_search(search: &Search, format: Format, context: &Context) -> String {
    match format {
        Format::Text => text::write(&sections::search::compose(search, context), context),
        Format::Markdown => markdown::write(&sections::search::compose(search, context)),
        Format::Json => json(search, context),
        Format::Csv => {
            per_case::write_loads(search.trials.iter().filter_map(|trial| trial.record.load.as_ref()))
        }
    }
}

#[derive(Serialize)]
struct SearchSummary<'a> {
    search_version: u32,
    version: &'a str,
    tool: &'a str,
    seed: u64,
    started_utc: &'a str,
    duration_us: u64,
    promise: Vec<String>,
    /// Absent when no rate kept it.
    highest_kept_per_second: Option<f64>,
    /// Absent when every rate kept it.
    lowest_not_kept_per_second: Option<f64>,
    found: String,
    exit: ExitSummary,
    trials: Vec<TrialSummary<'a>>,
    record_dir: Option<String>,
}

#[derive(Serialize)]
struct TrialSummary<'a> {
    per_second: f64,
    came: &'static str,
    why: &'a str,
    command: String,
    run: Summary<'a>,
}

/// The search as JSON; each run in it as `--format json` of its tool has it.
fn json(search: &Search, context: &Context) -> String {
    let trials = search.trials.iter().map(|trial| TrialSummary {
        per_second: trial.per_second,
        came: trial.came.name(),
        why: &trial.why,
        command: crate::shell_command(&trial.command),
        run: {
            let context = Context { record_dir: Some(trial.directory.clone()), ..Context::default() };
            Summary::of(&trial.record, &context)
        },
    });
    let summary = SearchSummary {
        search_version: SEARCH_VERSION,
        version: &search.version,
        tool: &search.tool,
        seed: search.seed,
        started_utc: &search.started_utc,
        duration_us: search.duration_us,
        promise: search.promise.thresholds().iter().map(ToString::to_string).collect(),
        highest_kept_per_second: search.rates.kept(),
        lowest_not_kept_per_second: search.rates.limit().map(|(rate, _)| rate),
        found: search.found(),
        exit: ExitSummary::of(search.exit()),
        trials: trials.collect(),
        record_dir: context.record_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
    };
    let written = serde_json::to_string_pretty(&summary)
        .expect("a summary holds text, numbers and maps with text keys, all of which JSON can hold");
    escape::json(&written) + "\n"
}
