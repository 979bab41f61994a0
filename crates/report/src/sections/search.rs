//! A search for a rate for people: the rate, the trials in one table, and the command that makes the best of them again.

use ungraceful_record::load::LoadRecord;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::rate_search::Came;
use ungraceful_record::run::Completeness;

use super::load::per_second;
use super::opening;
use crate::Context;
use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::Figure;
use crate::scale::{count, counted, rate, time};
use crate::search::{Search, Trial};

/// The whole report.
pub(crate) fn compose(search: &Search, context: &Context) -> Document {
    let mut document = Document::default();
    let broker = search.trials.first().map(|trial| opening::target_of_several(&trial.record.broker, "trial"));
    let broker = broker.unwrap_or_else(|| "no broker was asked".to_owned());
    let (tool, version, seed) = (&search.tool, &search.version, search.seed);
    document.push(Block::Title(format!("{tool} {version} → {broker} · seed {seed}")));
    let trials = counted(search.trials.len() as u64, "trial");
    document.line(format!("{trials} in {} · begun {}", time(search.duration_us), search.started_utc));
    if let Some(load) = search.trials.first().and_then(|trial| trial.record.load.as_ref()) {
        document.line(load.shape.clone());
    }
    document.heading("The highest rate that keeps the promise");
    document.labelled("Promise", search.promise.to_string());
    document.labelled("Rate", search.found());
    if let Some(trial) = search.best() {
        document.labelled("Seen there", trial.why.clone());
    }
    if let Some(trial) = search.beyond() {
        document.labelled("Beyond it", trial.why.clone());
    }
    if let Some(trial) = search.trials.last().filter(|trial| trial.came == Came::Unknown) {
        document.labelled("Seen last", trial.why.clone());
        if trial.record.completeness == Completeness::Complete {
            let cure = "where there were too few samples, a longer --duration or a higher --rate to begin at";
            document.labelled("Cure", cure);
        }
    }
    if search.ended_by.is_some() {
        document
            .labelled("Cut short", "the search was ended before its end: what is above is as far as it came");
    }
    if let Some(trial) = search.best().or(search.trials.last()) {
        document.labelled("Again", crate::shell_command(&trial.command));
    }
    if !search.trials.is_empty() {
        document.heading("The trials");
        document.push(Block::Table(table(search)));
    }
    document.heading("Reliability");
    document.line(
        "A rate counts as too high when the promise was broken at it twice in a row; the search ends within 5 %. Each trial \
         begins with connections of its own.",
    );
    if let Some(dir) = &context.record_dir {
        document.labelled("Record", format!("{}, a folder for each trial", dir.to_string_lossy()));
    }
    let exit = search.exit();
    document.push(Block::Ending(format!("Exit {}: {}", exit.code(), exit.meaning())));
    document
}

fn table(search: &Search) -> Table {
    let columns = vec![
        Column::numbers("trial"),
        Column::numbers("due/s"),
        Column::numbers("came/s"),
        Column::numbers("p50").in_group("end to end"),
        Column::numbers("p99").in_group("end to end"),
        Column::numbers("p50").in_group("acknowledged"),
        Column::numbers("p99").in_group("acknowledged"),
        Column::numbers("lost"),
        Column::words("promise"),
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
