//! The tour: a table with one row per cause, then the findings with their meaning and command.

use std::collections::BTreeMap;

use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BystandersRecord, CaseRecord, Record};
use ungraceful_record::verdict::{Conclusion, Verdict};

use super::cases::counted_values;
use super::{Parts, closing, findings, opening};
use crate::Context;
use crate::document::{Block, Cell, Class, Column, Document, Finding, Point, Table, cell};
use crate::percentile::{Figure, NONE};
use crate::scale::{count, counted, listed, time};
use crate::totals;
use crate::tour::{Cause, Shown, Tour};

/// The report.
pub(crate) fn parts(tour: &Tour, context: &Context) -> Parts {
    let mut parts = Parts::default();
    opening(tour, &mut parts.opening);
    parts.measured.heading("What makes clients disconnect, and how this broker reacts");
    parts.measured.rows(table(tour));
    parts.findings.heading("Findings");
    let found = tour.causes.iter().flat_map(findings_of);
    let mut found: Vec<Finding> = found.collect();
    found.sort_by_key(|finding| finding.class);
    if found.is_empty() {
        parts.findings.line("None: every check of every cause holds.");
    }
    parts.findings.blocks.extend(found.into_iter().map(Block::Finding));
    reliability(tour, context, &parts.measured, &mut parts.closing);
    parts
}

/// The whole report.
pub(crate) fn compose(tour: &Tour, context: &Context) -> Document {
    parts(tour, context).in_order()
}

fn opening(tour: &Tour, document: &mut Document) {
    let broker = tour.records().next().map(|record| opening::target_of_several(&record.broker, "cause"));
    let broker = broker.unwrap_or_else(|| "no broker was contacted".to_owned());
    document.push(Block::Title(format!("ungraceful {} → {broker} · seed {}", tour.version, tour.seed)));
    for cause in &tour.causes {
        if let Some(record) = cause.record() {
            opening::alarms(record, &format!("{}: ", cause.title), document);
        }
    }
    let shown = tour.records().count() as u64;
    document.line(format!(
        "{} in {} · started {}",
        if shown == tour.causes.len() as u64 {
            counted(shown, "cause")
        } else {
            format!("{} of {}", count(shown), counted(tour.causes.len() as u64, "cause"))
        },
        time(tour.duration_us),
        tour.started_utc
    ));
}

fn table(tour: &Tour) -> Table {
    let columns = vec![
        Column::words("cause"),
        Column::words("what was done").always(),
        Column::words("what the broker did").always(),
        Column::numbers("p50").in_group("reaction time"),
        Column::numbers("p99").in_group("reaction time"),
        Column::words("Will and session"),
        Column::words("p99 before → during").in_group("bystanders"),
        Column::numbers("lost").in_group("bystanders"),
        Column::words("verdict").always(),
    ];
    let rows = (1_usize..).zip(&tour.causes).map(|(number, cause)| row(number, cause)).collect();
    Table { columns, rows, keys: 1 }
}

fn row(number: usize, cause: &Cause) -> Vec<Cell> {
    let title = cell(format!("{number} {}", cause.title));
    let Some(record) = cause.record() else {
        let mut row = vec![title, cell(cause.done), cell("skipped")];
        row.extend(vec![cell(NONE); 5]);
        row.push(cell(if cause.exit().is_none() { "inconclusive" } else { "not run" }));
        return row;
    };
    let (p50, p99) = (Figure::P50, Figure::P99);
    let times = &record.reaction_time;
    vec![
        title,
        cell(format!("{} × {}", count(totals::finished(&record.cases)), cause.done)),
        by_version(record, |case| &case.sequences),
        cell(p50.shown(times)),
        cell(bounded(p99.us(times), times.max_us)),
        will_and_session(record, cause.facts),
        cell(record.bystanders.as_ref().map_or_else(|| NONE.to_owned(), before_and_during)),
        cell(
            record.bystanders.as_ref().map_or_else(|| NONE.to_owned(), |bystanders| count(lost(bystanders))),
        ),
        verdict(record),
    ]
}

/// A percentile, or the maximum as its bound when there are too few samples.
fn bounded(us: Option<u64>, max_us: Option<u64>) -> String {
    match (us, max_us) {
        (Some(us), _) => time(us),
        (None, Some(max_us)) => format!("≤ {}", time(max_us)),
        (None, None) => NONE.to_owned(),
    }
}

/// Counts over the cases, per version where the versions differ.
fn by_version<'a>(record: &'a Record, counts: impl Fn(&'a CaseRecord) -> &'a BTreeMap<String, u64>) -> Cell {
    let mut versions: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for case in &record.cases {
        let sum = versions.entry(&case.case.version).or_default();
        for (value, times) in counts(case) {
            *sum.entry(value.clone()).or_default() += times;
        }
    }
    versions.retain(|_, sum| !sum.is_empty());
    let alike = {
        let mut values = versions.values().map(|sum| sum.keys().collect::<Vec<_>>());
        values.next().is_none_or(|first| values.all(|other| other == first))
    };
    if alike || versions.len() < 2 {
        let mut sum = BTreeMap::new();
        for (value, times) in versions.into_values().flatten() {
            *sum.entry(value).or_default() += times;
        }
        return counted_values(&sum);
    }
    let lines = versions.iter().flat_map(|(version, sum)| {
        counted_values(sum).into_iter().map(move |line| format!("{version}: {line}"))
    });
    lines.collect()
}

fn will_and_session(record: &Record, facts: &[&str]) -> Cell {
    let wills = record.cases.iter().filter_map(|case| case.will.as_ref());
    let (due, came, besides) = wills.fold((0, 0, 0), |(due, came, besides), will| {
        (due + will.due, came + will.due_and_seen, besides + will.not_due_and_seen + will.more_than_once)
    });
    let mut lines = Vec::new();
    if due > 0 {
        lines.push(format!("{} of {} Wills received", count(came), count(due)));
    }
    if besides > 0 {
        lines.push(format!("{} that were not due", counted(besides, "Will")));
    }
    for name in facts {
        let values = by_version(record, |case| case.facts.get(*name).unwrap_or(&NOTHING));
        if values != cell(NONE) {
            lines.extend(values.into_iter().map(|line| format!("{}: {line}", name.replace('_', " "))));
        }
    }
    if lines.is_empty() { cell(NONE) } else { lines }
}

static NOTHING: BTreeMap<String, u64> = BTreeMap::new();

fn before_and_during(bystanders: &BystandersRecord) -> String {
    let of = |phase| {
        let times = totals::of_phase(bystanders, phase).map(|phase| phase.response_time).unwrap_or_default();
        bounded(Figure::P99.us(&times), times.max_us)
    };
    format!("{} → {}", of(Phase::Baseline), of(Phase::Fault))
}

/// Messages of all QoS that the bystanders lost after the baseline.
fn lost(bystanders: &BystandersRecord) -> u64 {
    let after = bystanders.phases.iter().filter(|phase| phase.phase != Phase::Baseline);
    after.map(|phase| totals::acknowledged_but_lost(phase) + totals::lost_at_qos_0(phase)).sum()
}

/// The worst class, with the statements of violations or the number of claims.
fn verdict(record: &Record) -> Cell {
    let worst = record.verdicts.iter().map(Class::of).min().unwrap_or(Class::Inconclusive);
    let of_class: Vec<&Verdict> =
        record.verdicts.iter().filter(|verdict| Class::of(verdict) == worst).collect();
    let mut citations: Vec<String> = of_class.iter().filter_map(|verdict| verdict.citation.clone()).collect();
    citations.sort_unstable();
    citations.dedup();
    let claims = findings::by_claim(&of_class).len() as u64;
    let mut lines = vec![match worst {
        Class::Violated | Class::Accepted | Class::Inconclusive => worst.name().to_owned(),
        Class::Differs => format!("differs in {}", counted(claims, "point")),
        Class::Holds => format!("holds ({})", counted(claims, "check")),
    }];
    if worst == Class::Violated {
        lines.extend(citations);
    }
    lines
}

/// The findings of a cause: one for each claim that does not hold without a note.
fn findings_of(cause: &Cause) -> Vec<Finding> {
    let record = match &cause.shown {
        Shown::Run { record, .. } => record,
        Shown::CannotBeShown { why, cure } => {
            let claim = format!("{}: skipped, because {why}", cause.title);
            let text = format!("to include it: {cure}");
            return vec![Finding {
                class: Class::Inconclusive,
                claim,
                points: vec![Point { text, command: None }],
            }];
        }
        Shown::Failed { why, .. } => {
            let claim = format!("{}: could not be run", cause.title);
            let command = Some(cause.command.clone());
            let points = vec![Point { text: why.clone(), command }];
            return vec![Finding { class: Class::Inconclusive, claim, points }];
        }
    };
    let findings = [Class::Violated, Class::Accepted, Class::Differs, Class::Inconclusive]
        .into_iter()
        .flat_map(|class| {
            let of_class: Vec<&Verdict> =
                record.verdicts.iter().filter(|verdict| Class::of(verdict) == class).collect();
            let claims = findings::by_claim(&of_class);
            claims.iter().map(|same| finding(cause, record, class, same)).collect::<Vec<_>>()
        });
    findings.collect()
}

/// One claim in one line, with a command also for an inconclusive case: it may have a result in a longer run of its own.
fn finding(cause: &Cause, record: &Record, class: Class, same: &[&Verdict]) -> Finding {
    let mut finding = findings::sentence(record, class, same, "in the record");
    if same[0].conclusion == Conclusion::Inconclusive && same[0].case.is_some() {
        for point in &mut finding.points {
            point.command.get_or_insert_with(|| cause.command.clone());
        }
    }
    Finding { claim: format!("{}: {}", cause.title, finding.claim), ..finding }
}

fn reliability(tour: &Tour, context: &Context, measured: &Document, document: &mut Document) {
    document.heading("Reliability");
    let unreliable: Vec<String> = tour
        .causes
        .iter()
        .filter(|cause| cause.record().is_some_and(|record| !record.generator.bottlenecks.is_empty()))
        .map(|cause| cause.title.to_owned())
        .collect();
    let slip_us = tour.records().filter_map(|record| record.generator.schedule_slip.max_us).max();
    let slip =
        slip_us.map_or_else(String::new, |us| format!("; no operation was more than {} late", time(us)));
    document.labelled(
        "Generator",
        if unreliable.is_empty() {
            format!("kept up in every run{slip}")
        } else {
            format!(
                "DID NOT KEEP UP in {}: the times of these runs are unreliable{slip}",
                listed(&unreliable)
            )
        },
    );
    closing::too_few(measured, document);
    if let Some(dir) = &context.record_dir {
        document.labelled("Record", format!("{}, one folder per cause", dir.to_string_lossy()));
    }
    closing::page(context, document);
    document.ending(tour.exit(), &tour.why_exit());
}
