//! The page of a rate search: the answer, its picture, and a row for each trial with a link to its page.

use std::path::Path;

use ungraceful_record::files::REPORT_HTML;

use super::model::{Exit, Page, in_sections, without_ending};
use super::pictures;
use crate::Context;
use crate::search::{Search, Trial};
use crate::sections;

/// The page of `search`, whose trials have folders in `folder`.
pub(super) fn of_search(search: &Search, folder: &Path) -> Page {
    let context = Context { record_dir: Some(folder.to_owned()), ..Context::default() };
    let parts = sections::search::parts(search, &context);
    let mut sections = in_sections(parts.measured);
    for section in &mut sections {
        section.pages = search.trials.iter().map(page).collect();
    }
    Page {
        opening: parts.opening.blocks,
        exit: Exit::of(search.exit(), &parts.closing),
        counts: Vec::new(),
        is_run: false,
        answer: in_sections(parts.findings).into_iter().next(),
        verdicts: Vec::new(),
        verdicts_that_hold: Vec::new(),
        findings: Vec::new(),
        finding_lines: Vec::new(),
        matrix: None,
        pictures: vec![pictures::of_search(search)],
        sections,
        numbers: Vec::new(),
        command: None,
        circumstances: Vec::new(),
        closing: without_ending(parts.closing),
        generator: None,
    }
}

/// The page of a trial, from that of the search.
fn page(trial: &Trial) -> Option<String> {
    let name = trial.directory.file_name()?;
    Some(format!("./{}/{REPORT_HTML}", name.to_string_lossy()))
}
