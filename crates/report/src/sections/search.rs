//! The report of a search for a rate: the rate, the trials, and the command that reproduces the best one.

use ungraceful_record::load::LoadRecord;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::rate_search::TrialResult;
use ungraceful_record::run::Completeness;

use super::load::per_second;
use super::{Parts, closing, opening};
use crate::Context;
use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::Figure;
use crate::scale::{count, counted, rate, time};
use crate::search::{Search, Trial};

/// The report: its findings are the answer.
pub(crate) fn parts(search: &Search, context: &Context) -> Parts {
    let mut parts = Parts::default();
    opening(search, &mut parts.opening);
    answer(search, &mut parts.findings);
    if !search.trials.is_empty() {
        parts.measured.heading("The trials");
        parts.measured.rows(table(search));
    }
    reliability(search, context, &parts.measured, &mut parts.closing);
    parts
}

/// The whole report, which begins with the answer.
pub(crate) fn compose(search: &Search, context: &Context) -> Document {
    let Parts { opening, measured, findings, closing } = parts(search, context);
    let blocks = [opening, findings, measured, closing].into_iter().flat_map(|part| part.blocks);
    Document { blocks: blocks.collect(), ..Document::default() }
}

fn opening(search: &Search, document: &mut Document) {
    let broker = search.trials.first().map(|trial| opening::target_of_several(&trial.record.broker, "trial"));
    let broker = broker.unwrap_or_else(|| "no broker was contacted".to_owned());
    let (tool, version, seed) = (&search.tool, &search.version, search.seed);
    document.push(Block::Title(format!("{tool} {version} → {broker} · seed {seed}")));
    let trials = counted(search.trials.len() as u64, "trial");
    document.line(format!("{trials} in {} · started {}", time(search.duration_us), search.started_utc));
    if let Some(load) = search.trials.first().and_then(|trial| trial.record.load.as_ref()) {
        document.line(load.shape.clone());
    }
}

fn answer(search: &Search, document: &mut Document) {
    document.heading("The highest rate that keeps the promise");
    document.labelled("Promise", search.promise.to_string());
    document.labelled("Rate", search.found());
    if let Some(trial) = search.best() {
        document.labelled("At that rate", trial.why.clone());
    }
    if let Some(trial) = search.beyond() {
        document.labelled("Above it", trial.why.clone());
    }
    if let Some(trial) = search.trials.last().filter(|trial| trial.came == TrialResult::Unknown) {
        document.labelled("Last trial", trial.why.clone());
        if trial.record.completeness == Completeness::Complete {
            let cure = "if there were too few samples: a longer --duration or a higher initial --rate";
            document.labelled("Try", cure);
        }
    }
    if search.ended_by.is_some() {
        document.labelled("Cut short", "the search was stopped early; the results so far are above");
    }
    if let Some(trial) = search.best().or(search.trials.last()) {
        document.push(Block::Command(trial.command.clone()));
    }
}

fn reliability(search: &Search, context: &Context, measured: &Document, document: &mut Document) {
    document.heading("Reliability");
    document.line(
        "A rate fails only after two consecutive failures; the search ends within 5 %. Each trial opens new connections.",
    );
    closing::too_few(measured, document);
    if let Some(dir) = &context.record_dir {
        document.labelled("Record", format!("{}, one folder per trial", dir.to_string_lossy()));
    }
    closing::page(context, document);
    document.ending(search.exit(), &search.why_exit());
}

fn table(search: &Search) -> Table {
    let columns = vec![
        Column::numbers("trial"),
        Column::numbers("due/s"),
        Column::numbers("delivered/s"),
        Column::numbers("p50").in_group("end to end"),
        Column::numbers("p99").in_group("end to end"),
        Column::numbers("p50").in_group("acknowledged"),
        Column::numbers("p99").in_group("acknowledged"),
        Column::numbers("lost"),
        Column::words("promise").always(),
    ];
    let rows = (1_u64..).zip(&search.trials).map(|(number, trial)| row(number, trial)).collect();
    Table { columns, rows, keys: 2 }
}

fn row(number: u64, trial: &Trial) -> Vec<Cell> {
    let load = trial.record.load.as_ref();
    let figure = |of: fn(&LoadRecord) -> &Percentiles, figure: Figure| {
        cell(figure.shown(&load.map(|load| *of(load)).unwrap_or_default()))
    };
    let came = load.map(|load| {
        let counts = load.all();
        let came = load.delivered_in_us().map_or(0, |us| per_second(counts.delivered, us));
        (count(came), count(counts.lost))
    });
    let (came, lost) = came.unwrap_or_default();
    vec![
        cell(count(number)),
        cell(rate(trial.per_second)),
        cell(came),
        figure(|load| &load.delivery_response_time, Figure::P50),
        figure(|load| &load.delivery_response_time, Figure::P99),
        figure(|load| &load.publish_response_time, Figure::P50),
        figure(|load| &load.publish_response_time, Figure::P99),
        cell(lost),
        cell(trial.came.name()),
    ]
}
