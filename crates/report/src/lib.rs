//! Reports: a run's record as a page, text, JSON, CSV, Markdown or JUnit XML, the command that reproduces a finding, and the
//! progress of a run on a terminal.
//!
//! Everything except [`progress`] and the metrics of a run under way reads only a record and its verdicts, and the page also the
//! files beside it: a run can be reported again without a broker, and nothing is judged here. Text from a broker or a user is
//! hostile: it never reaches an output without [`escape`].

use std::path::PathBuf;

use ungraceful_record::run::Record;

pub mod escape;
pub mod progress;

mod annotations;
mod catalogue;
pub mod compare;
mod document;
mod format;
mod junit;
mod markdown;
mod metrics;
mod page;
mod per_case;
mod percentile;
mod reproduce;
mod search;
mod sections;
mod shell;
mod summary;
mod text;
mod tidy;
mod totals;
mod tour;
mod wrapping;

pub use annotations::annotations;
pub use catalogue::{Entry, render_catalogue};
pub use format::Format;
pub use junit::render_junit_without_run;
pub use metrics::{MEDIA_TYPE as METRICS_MEDIA_TYPE, RunLabels, render_metrics};
pub use page::{render_page, render_search_page, render_tour_page};
pub use reproduce::{NOT_RECORDED, reproduce_command};
pub use search::{SEARCH_VERSION, Search, Trial, render_search};
pub use shell::command as shell_command;
pub use tour::{Cause, Shown, TOUR_VERSION, Tour, render_tour};
pub use ungraceful_record::scale;

/// How a report is shown; only the caller knows the terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Directory of the record, named in the report; absent when nothing was written.
    pub record_dir: Option<PathBuf>,
    /// The page of the run, named in the report; absent when none was written.
    pub page: Option<PathBuf>,
    /// Whether text is coloured.
    pub colour: bool,
    /// Columns of the terminal, for text; absent when unlimited, as in a pipe.
    pub width: Option<u16>,
}

/// The report of `record` in `format`, ending in a line end.
#[must_use]
pub fn render(record: &Record, format: Format, context: &Context) -> String {
    match format {
        Format::Text => text::write(&sections::compose(record, context), context),
        Format::Markdown => markdown::write(&sections::compose(record, context)),
        Format::Json => summary::write(record, context),
        Format::Csv => match &record.load {
            Some(load) => per_case::write_loads(std::iter::once(load)),
            None => per_case::write(&record.cases),
        },
        Format::Junit => junit::write(record, context),
    }
}
