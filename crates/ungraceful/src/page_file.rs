//! `report.html`: the page of a run, a tour or a rate search, beside its record.

use std::path::{Path, PathBuf};

use ungraceful_record::exit::Exit;
use ungraceful_record::files::REPORT_HTML;
use ungraceful_record::run::Record;
use ungraceful_report::{Search, Tour, render_page, render_search_page, render_tour_page};
use ungraceful_rig::measure::recorder::replace_whole;

use crate::launch::print_error;

/// A page that was written, or could not be.
pub(crate) struct PageFile {
    path: Option<PathBuf>,
}

impl PageFile {
    /// Writes the page of `record` into its folder.
    pub(crate) fn of_run(record: &Record, folder: &Path) -> Self {
        Self::write(&folder.join(REPORT_HTML), &render_page(record, folder))
    }

    /// Writes the page of `tour` into its folder.
    pub(crate) fn of_tour(tour: &Tour, folder: &Path) -> Self {
        Self::write(&folder.join(REPORT_HTML), &render_tour_page(tour, folder))
    }

    /// Writes the page of `search` into its folder.
    pub(crate) fn of_search(search: &Search, folder: &Path) -> Self {
        Self::write(&folder.join(REPORT_HTML), &render_search_page(search, folder))
    }

    /// Replaces the file by `page`. A failure is printed.
    pub(crate) fn write(path: &Path, page: &str) -> Self {
        // A device, such as /dev/stdout, is written to and not replaced.
        let is_device = path.metadata().is_ok_and(|of| !of.is_file() && !of.is_dir());
        let written = match is_device {
            true => std::fs::write(path, page),
            false => replace_whole(path, |writer| writer.write_all(page.as_bytes())),
        };
        if let Err(error) = &written {
            print_error(&format!("cannot write the page {}: {error}", path.display()));
        }
        Self { path: written.is_ok().then(|| path.to_owned()) }
    }

    /// Its path; absent when it could not be written.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// An error of the environment when it could not be written.
    pub(crate) fn exit(&self) -> Exit {
        if self.path.is_some() { Exit::Holds } else { Exit::Environment }
    }
}
