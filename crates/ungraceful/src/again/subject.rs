//! What `ungraceful-report` shows: the record of a run, or those of a tour or a rate search together.

use std::path::Path;

use serde_json::Value;
use ungraceful_record::run::Record;
use ungraceful_report::{
    Context, Format, SEARCH_VERSION, Search, TOUR_VERSION, Tour, render, render_page, render_search,
    render_search_page, render_tour, render_tour_page,
};
use ungraceful_rig::error::RunError;

use super::{FILE, folder_of, load, read_json, version_of};
use crate::find_rate::{self, SEARCH_JSON};
use crate::tour::{self, TOUR_JSON};

/// A run, a tour or a search.
pub(super) enum Subject {
    Run(Box<Record>),
    Tour(Tour),
    Search(Box<Search>),
}

impl Subject {
    /// Reads what is at `path`, a folder or its file.
    pub(super) fn load(path: &Path) -> Result<Self, RunError> {
        let is = |name: &str| match path.is_dir() {
            true => path.join(name).is_file() && !path.join(FILE).is_file(),
            false => path.file_name().is_some_and(|file| *file == *name),
        };
        let of_run = |folder: &Path| load(folder);
        if is(TOUR_JSON) {
            let value = of_several(path, TOUR_JSON, "tour", TOUR_VERSION)?;
            return tour::read(value, folder_of(path), of_run).map(Self::Tour).map_err(|why| why.at(path));
        }
        if is(SEARCH_JSON) {
            let value = of_several(path, SEARCH_JSON, "search", SEARCH_VERSION)?;
            let search = find_rate::read(value, folder_of(path), of_run).map_err(|why| why.at(path))?;
            return Ok(Self::Search(Box::new(search)));
        }
        load(path).map(|record| Self::Run(Box::new(record)))
    }

    /// Its report.
    pub(super) fn render(&self, format: Format, context: &Context) -> String {
        match self {
            Self::Run(record) => render(record, format, context),
            Self::Tour(tour) => render_tour(tour, format, context),
            Self::Search(search) => render_search(search, format, context),
        }
    }

    /// Its page.
    pub(super) fn page(&self, folder: &Path) -> String {
        match self {
            Self::Run(record) => render_page(record, folder),
            Self::Tour(tour) => render_tour_page(tour, folder),
            Self::Search(search) => render_search_page(search, folder),
        }
    }
}

/// Reads the file of a tour or a search, whose format has a version.
fn of_several(path: &Path, file: &str, what: &str, known: u32) -> Result<Value, RunError> {
    let file = if path.is_dir() { path.join(file) } else { path.to_owned() };
    let wrong = |why: String| RunError::Environment(format!("{}: {why}", path.display()));
    let value = read_json(&file, what, what).map_err(wrong)?;
    let version = value[format!("{what}_version")].as_u64();
    match version {
        None => Err(wrong(format!("no {what}: it has no {what}_version"))),
        Some(newer) if newer > u64::from(known) => Err(wrong(version_of(what, newer, known))),
        Some(_) => Ok(value),
    }
}

/// Why a tour or a search can't be read.
pub(crate) enum Unreadable {
    /// Its own file is wrong.
    Itself(String),
    /// The record of one of its runs is wrong.
    Run(RunError),
}

impl Unreadable {
    fn at(self, path: &Path) -> RunError {
        match self {
            Self::Itself(why) => RunError::Environment(format!("{}: {why}", path.display())),
            Self::Run(error) => error,
        }
    }
}

impl From<RunError> for Unreadable {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Itself(format!("can't be read: {error}"))
    }
}

impl From<String> for Unreadable {
    fn from(why: String) -> Self {
        Self::Itself(format!("can't be read: {why}"))
    }
}
