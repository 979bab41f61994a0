//! `search.json` read again, with the records of its trials.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use ungraceful_record::exit::Exit;
use ungraceful_record::rate_search::{RateSearch, TrialResult};
use ungraceful_record::run::Record;
use ungraceful_report::{Search, Trial};
use ungraceful_rig::error::RunError;

use crate::again::Unreadable;
use crate::tour::folder_of_run;

/// What is needed of `search.json`; everything else is in the records.
#[derive(Deserialize)]
struct Written {
    version: String,
    tool: String,
    seed: u64,
    started_utc: String,
    duration_us: u64,
    promise: Vec<String>,
    bounds_per_second: (f64, f64),
    ended_by: Option<String>,
    trials: Vec<WrittenTrial>,
}

#[derive(Deserialize)]
struct WrittenTrial {
    per_second: f64,
    came: String,
    why: String,
    command: String,
    run: WrittenRun,
}

/// Where a trial has its record.
#[derive(Deserialize)]
struct WrittenRun {
    record_dir: Option<String>,
}

/// The search in `written`, whose trials have folders in `folder`.
pub(crate) fn read(
    written: Value,
    folder: &Path,
    load: impl Fn(&Path) -> Result<Record, RunError>,
) -> Result<Search, Unreadable> {
    let written: Written = serde_json::from_value(written)?;
    let trials = (1_u64..).zip(written.trials).map(|(number, trial)| of_trial(number, trial, folder, &load));
    let trials: Vec<Trial> = trials.collect::<Result<_, _>>()?;
    let (lowest, highest) = written.bounds_per_second;
    if !(lowest > 0.0 && lowest <= highest) {
        return Err(format!("{lowest} to {highest} are no bounds of a search").into());
    }
    let mut rates = RateSearch::new(trials.first().map_or(lowest, |trial| trial.per_second), lowest, highest);
    for trial in &trials {
        rates.record(trial.per_second, trial.came);
    }
    let ended_by = written.ended_by.map(|name| {
        let known = Exit::ALL.into_iter().find(|exit| exit.name() == name);
        known.ok_or_else(|| format!("{name:?} is no end of a search"))
    });
    Ok(Search {
        version: written.version,
        tool: written.tool,
        seed: written.seed,
        started_utc: written.started_utc,
        duration_us: written.duration_us,
        promise: written.promise.join(",").parse()?,
        trials,
        rates,
        ended_by: ended_by.transpose()?,
    })
}

fn of_trial(
    number: u64,
    written: WrittenTrial,
    folder: &Path,
    load: impl Fn(&Path) -> Result<Record, RunError>,
) -> Result<Trial, Unreadable> {
    let WrittenTrial { per_second, came, why, command, run } = written;
    if per_second <= 0.0 {
        return Err(format!("{per_second} is no rate").into());
    }
    let directory = folder_of_run(folder, run.record_dir.as_deref())
        .ok_or_else(|| format!("trial {number} has no folder for its record"))?;
    let came: TrialResult = came.parse()?;
    Ok(Trial { per_second, came, why, record: Box::new(load(&directory)?), directory, command })
}
