//! The page of a run, a tour or a rate search, `report.html`: verdicts, findings, pictures, tables and settings in one file that needs no network and no
//! script.
//!
//! Its sentences and tables are those of the text report. Only the pictures read more than the record: the timeline and the attempts
//! beside it, of which a bounded number of points is kept.

mod distributions;
mod facts;
mod matrix;
mod model;
mod pictures;
mod rate_search;
mod reactions;
mod seconds;
mod template;
mod timeline;
mod verdicts;
mod windows;

use std::path::Path;

use ungraceful_record::run::Record;

use crate::search::Search;
use crate::tour::Tour;

/// The page of `record`, whose files are in `folder`. Memory does not grow with the number of attempts.
#[must_use]
pub fn render_page(record: &Record, folder: &Path) -> String {
    template::render(&model::of_run(record, folder))
}

/// The page of `tour`, whose runs have folders in `folder`.
#[must_use]
pub fn render_tour_page(tour: &Tour, folder: &Path) -> String {
    template::render(&model::of_tour(tour, folder))
}

/// The page of `search`, whose trials have folders in `folder`.
#[must_use]
pub fn render_search_page(search: &Search, folder: &Path) -> String {
    template::render(&rate_search::of_search(search, folder))
}
