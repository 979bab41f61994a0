//! The report of a search for a rate: its trials, which are judged runs, and the highest rate that keeps the promise.

use std::path::PathBuf;

use serde::Serialize;
use ungraceful_record::exit::Exit;
use ungraceful_record::rate_search::{Promise, RateSearch, TRIALS_MAX, TrialResult};
use ungraceful_record::run::Record;

use crate::summary::{ExitSummary, Summary};
use crate::{Context, Format, escape, junit, markdown, per_case, sections, text};

/// Version of the search's format; grows with every change that affects readers.
pub const SEARCH_VERSION: u32 = 1;

/// A search, complete or stopped early.
#[derive(Clone, Debug)]
pub struct Search {
    /// Version of the program.
    pub version: String,
    /// The tool with its mode.
    pub tool: String,
    /// The seed of all trials.
    pub seed: u64,
    /// Start time, in UTC (RFC 3339).
    pub started_utc: String,
    /// Duration, in µs.
    pub duration_us: u64,
    /// The thresholds to keep.
    pub promise: Promise,
    /// The trials, in order.
    pub trials: Vec<Trial>,
    /// The state of the search.
    pub rates: RateSearch,
    /// What stopped it early; absent when nothing did.
    pub ended_by: Option<Exit>,
}

/// One tried rate.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Messages due per second.
    pub per_second: f64,
    /// The result.
    pub came: TrialResult,
    /// The evidence.
    pub why: String,
    /// The record of the run, judged.
    pub record: Box<Record>,
    /// The record's folder.
    pub directory: PathBuf,
    /// The command that repeats this trial, quoted for a shell, without secrets.
    pub command: String,
}

impl Search {
    /// The exit code: first what stopped it early, then whether a rate was found, none kept the promise, or it is unknown.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if let Some(exit) = self.ended_by {
            return exit;
        }
        match (self.rates.kept(), self.rates.limit()) {
            _ if self.rates.next().is_some() || self.is_cut_short() => Exit::Inconclusive,
            (_, Some((_, TrialResult::GeneratorLate))) => Exit::Inconclusive,
            (Some(_), _) => Exit::Holds,
            (None, Some(_)) => Exit::Violated,
            (None, None) => Exit::Inconclusive,
        }
    }

    /// The exit code in words.
    pub(crate) fn why_exit(&self) -> String {
        match (self.exit(), self.rates.kept()) {
            (Exit::Inconclusive, None) => "inconclusive: no rate was found; the results say why",
            (Exit::Inconclusive, Some(_)) => {
                "inconclusive: the broker's limit is unknown; the results say why"
            }
            (exit, _) => exit.meaning(),
        }
        .to_owned()
    }

    /// Whether an inconclusive trial or the number of trials ended it.
    fn is_cut_short(&self) -> bool {
        self.trials.len() >= TRIALS_MAX
            || self.trials.last().is_none_or(|trial| trial.came == TrialResult::Unknown)
    }

    /// The last trial at the highest rate that was kept.
    pub(crate) fn best(&self) -> Option<&Trial> {
        let kept = self.rates.kept()?;
        self.trials
            .iter()
            .rev()
            .find(|trial| trial.came == TrialResult::Kept && trial.per_second.total_cmp(&kept).is_eq())
    }

    /// The last trial at the lowest rate that was not.
    pub(crate) fn beyond(&self) -> Option<&Trial> {
        let (limit, _) = self.rates.limit()?;
        self.trials.iter().rev().find(|trial| trial.per_second.total_cmp(&limit).is_eq())
    }

    /// The result in one sentence.
    pub(crate) fn found(&self) -> String {
        let kept = self.rates.kept().map(crate::scale::rate);
        let limit = self.rates.limit().map(|(rate, came)| (crate::scale::rate(rate), came));
        match (kept, limit) {
            (Some(kept), Some((limit, TrialResult::GeneratorLate))) => {
                format!(
                    "at least {kept}; at {limit} the generator itself was late, so the broker's limit is unknown"
                )
            }
            (Some(kept), None) if self.rates.is_at_maximum() => {
                format!("at least {kept}, the highest rate supported")
            }
            (Some(kept), None) => format!("at least {kept}; the search could not continue"),
            (Some(kept), Some((limit, _))) => format!("{kept}; at {limit} the promise was broken"),
            (None, Some((limit, TrialResult::GeneratorLate))) => {
                format!(
                    "unknown: the generator itself was late at every rate down to {limit}; use a less busy machine, --spin, or \
                     a longer --slip-limit"
                )
            }
            (None, Some((limit, _))) => format!("none: the promise was already broken at {limit}"),
            (None, None) => "unknown: no trial was conclusive".to_owned(),
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
        Format::Junit => junit::write_search(search),
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
    /// The bounds of the search.
    bounds_per_second: (f64, f64),
    highest_kept_per_second: Option<f64>,
    lowest_not_kept_per_second: Option<f64>,
    found: String,
    exit: ExitSummary,
    /// What stopped it early.
    ended_by: Option<&'static str>,
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

/// The search as JSON; each run has the format of `--format json` of its tool.
fn json(search: &Search, context: &Context) -> String {
    let trials = search.trials.iter().map(|trial| TrialSummary {
        per_second: trial.per_second,
        came: trial.came.name(),
        why: &trial.why,
        command: trial.command.clone(),
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
        bounds_per_second: search.rates.bounds(),
        highest_kept_per_second: search.rates.kept(),
        lowest_not_kept_per_second: search.rates.limit().map(|(rate, _)| rate),
        found: search.found(),
        exit: ExitSummary::of(search.exit(), search.why_exit()),
        ended_by: search.ended_by.map(Exit::name),
        trials: trials.collect(),
        record_dir: context.record_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
    };
    escape::to_json(&summary)
}
