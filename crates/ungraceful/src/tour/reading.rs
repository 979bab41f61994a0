//! `tour.json` read again, with the records of its runs.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::Record;
use ungraceful_report::{Cause, Shown, Tour};
use ungraceful_rig::error::RunError;

use super::causes::CAUSES;
use crate::again::Unreadable;

/// What is needed of `tour.json`; everything else is in the records.
#[derive(Deserialize)]
struct Written {
    version: String,
    seed: u64,
    started_utc: String,
    duration_us: u64,
    causes: Vec<WrittenCause>,
}

#[derive(Deserialize)]
struct WrittenCause {
    name: String,
    command: String,
    exit: Option<WrittenExit>,
    not_shown: Option<NotShown>,
    run: Option<WrittenRun>,
}

#[derive(Deserialize)]
struct WrittenExit {
    code: u8,
}

#[derive(Deserialize)]
struct NotShown {
    why: String,
    cure: Option<String>,
}

/// Where a run has its record.
#[derive(Deserialize)]
struct WrittenRun {
    record_dir: Option<String>,
}

/// The tour in `written`, whose runs have folders in `folder`.
pub(crate) fn read(
    written: Value,
    folder: &Path,
    load: impl Fn(&Path) -> Result<Record, RunError>,
) -> Result<Tour, Unreadable> {
    let Written { version, seed, started_utc, duration_us, causes } = serde_json::from_value(written)?;
    let causes = causes.into_iter().map(|cause| of_cause(cause, folder, &load));
    Ok(Tour { version, seed, started_utc, duration_us, causes: causes.collect::<Result<_, _>>()? })
}

fn of_cause(
    written: WrittenCause,
    folder: &Path,
    load: impl Fn(&Path) -> Result<Record, RunError>,
) -> Result<Cause, Unreadable> {
    let WrittenCause { name, command, exit, not_shown, run } = written;
    let known = CAUSES.iter().find(|cause| cause.name == name);
    let known = known.ok_or_else(|| format!("it has a cause {name:?}, which is none of this program"))?;
    let shown = match (run, not_shown) {
        (Some(run), _) => {
            let directory = super::folder_of_run(folder, run.record_dir.as_deref())
                .ok_or_else(|| format!("the cause {name} has no folder for its record"))?;
            Shown::Run { record: Box::new(load(&directory)?), directory }
        }
        (None, Some(NotShown { why, cure: Some(cure) })) => Shown::CannotBeShown { why, cure },
        (None, Some(NotShown { why, cure: None })) => {
            let code = exit.map(|exit| exit.code);
            let exit = Exit::ALL.into_iter().find(|exit| Some(exit.code()) == code);
            Shown::Failed { why, exit: exit.ok_or_else(|| format!("the cause {name} has no exit code"))? }
        }
        (None, None) => return Err(format!("the cause {name} has neither a run nor a reason").into()),
    };
    Ok(Cause { name: known.name, title: known.title, done: known.done, facts: known.facts, command, shown })
}
