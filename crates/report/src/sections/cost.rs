//! Resources of the broker's process: memory, open file descriptors and CPU time.

use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BrokerRecord, BrokerResourcesRecord, QuantityRecord, Record};

use crate::document::{Block, Cell, Column, Document, Table, cell};
use crate::percentile::NONE;
use crate::scale::{bytes, count, time};
use crate::tidy::says_something;

/// The relevant `$SYS` numbers, by the end of their Topic Names in Mosquitto and similar brokers.
const SYS_TOPICS: [&str; 9] = [
    "clients/connected",
    "clients/disconnected",
    "clients/maximum",
    "heap/current",
    "heap/maximum",
    "publish/messages/dropped",
    "store/messages/count",
    "store/messages/bytes",
    "subscriptions/count",
];

pub(super) fn section(record: &Record, document: &mut Document) {
    let sys = sys(record);
    if record.broker_resources.is_none() && sys.is_none() {
        return;
    }
    document.heading("Broker resources");
    if let Some(resources) = &record.broker_resources {
        of_process(record, resources, document);
    }
    if let Some(sys) = sys {
        document.labelled("$SYS", sys);
    }
}

fn of_process(record: &Record, resources: &BrokerResourcesRecord, document: &mut Document) {
    let (same, table) = table(record, resources);
    for (name, value) in same {
        document.line(format!("The same throughout: {name} {value}."));
    }
    if table.columns.len() > table.keys {
        document.push(Block::Table(table));
    }
    if let Some(cpu) = cpu(record, resources) {
        document.labelled("CPU time", cpu);
    }
    let mut note = format!("Of {}, without child processes.", process(&record.broker));
    let slopes = [resources.rss_bytes.per_1000_attempts, resources.descriptors.per_1000_attempts];
    if record.load.is_none() && slopes.iter().any(Option::is_some) {
        note += " Successive samples are not independent, so the interval is optimistic.";
    }
    document.line(note);
}

/// The measured process, named so that a wrong id is noticed.
fn process(broker: &BrokerRecord) -> String {
    match (broker.pid, &broker.process_name) {
        (Some(pid), Some(name)) => format!("process {pid} ({name})"),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "the broker process".to_owned(),
    }
}

/// The relevant `$SYS` numbers that changed, before the fault phase and at the end; absent when none did.
fn sys(record: &Record) -> Option<String> {
    let changes = SYS_TOPICS.iter().filter_map(|name| {
        let (_, value) = record.broker.sys.iter().find(|(topic, _)| topic.ends_with(&format!("/{name}")))?;
        let (before, after) = (value.before?, value.after?);
        (before != after).then(|| format!("{name} {} → {}", signed_count(before), signed_count(after)))
    });
    let changes: Vec<String> = changes.collect();
    (!changes.is_empty()).then(|| changes.join(" · "))
}

fn signed_count(number: i64) -> String {
    format!("{}{}", if number < 0 { "−" } else { "" }, count(number.unsigned_abs()))
}

/// The quantities that did not change, and a column for each of the others.
fn table(record: &Record, resources: &BrokerResourcesRecord) -> (Vec<(&'static str, String)>, Table) {
    let quantities = [
        quantity("memory (RSS)", &resources.rss_bytes, bytes, |value| {
            format!("{}{}", sign(value), bytes(magnitude(value)))
        }),
        quantity("open descriptors", &resources.descriptors, count, |value| {
            format!("{}{:.2}", sign(value), value.abs())
        }),
    ];
    let (before, after) = match &record.load {
        Some(_) => ("before connecting", "after load"),
        None => ("before fault", "after fault"),
    };
    let names = [before, "highest", after, "after recovery", "change", "per 1,000 attempts", "95 % interval"];
    let (same, changing): (Vec<_>, Vec<_>) =
        quantities.into_iter().partition(|(_, figures)| is_unchanged(figures));
    let mut columns = vec![Column::words("")];
    columns.extend(changing.iter().map(|(name, _)| Column::numbers(*name)));
    let row = |(index, name): (usize, &&str)| {
        std::iter::once(cell(*name))
            .chain(changing.iter().map(|(_, figures)| cell(&figures[index])))
            .collect()
    };
    let mut rows: Vec<Vec<Cell>> = names.iter().enumerate().map(row).collect();
    // A load has no attempts.
    if record.load.is_some() {
        rows.truncate(WITHOUT_SLOPE);
    }
    rows.retain(|row| row[1..].iter().any(says_something));
    let same = same.into_iter().map(|(name, [before, ..])| (name, before)).collect();
    (same, Table { columns, rows, keys: 1 })
}

/// The figures of a quantity: before, highest, after, at the end, change, slope and its interval.
type Figures = [String; 7];

/// The number of figures before the slope.
const WITHOUT_SLOPE: usize = 5;

/// Whether a quantity was measured in each phase and never changed.
fn is_unchanged([before, highest, after, last, ..]: &Figures) -> bool {
    before != NONE && [highest, after, last].into_iter().all(|value| value == before)
}

fn quantity(
    name: &'static str,
    quantity: &QuantityRecord,
    shown: fn(u64) -> String,
    shown_slope: fn(f64) -> String,
) -> (&'static str, Figures) {
    let none = || NONE.to_owned();
    let [before, highest, after, last] =
        [quantity.before_fault, quantity.max, quantity.after_fault, quantity.after_recovery]
            .map(|value| value.map_or_else(none, shown));
    let change = quantity.change.map(|change| {
        let sign = if change < 0 { "−" } else { "+" };
        format!("{}{}", if change == 0 { "±" } else { sign }, shown(change.unsigned_abs()))
    });
    let slope = quantity.per_1000_attempts.as_ref();
    let interval = slope.map(|slope| format!("{} to {}", shown_slope(slope.low), shown_slope(slope.high)));
    let slope = slope.map(|slope| shown_slope(slope.estimate));
    let [change, slope, interval] = [change, slope, interval].map(|figure| figure.unwrap_or_else(none));
    (name, [before, highest, after, last, change, slope, interval])
}

fn sign(value: f64) -> &'static str {
    if value < 0.0 {
        "−"
    } else if value > 0.0 {
        "+"
    } else {
        "±"
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of bytes, of which the fraction does not matter; the cast saturates"
)]
fn magnitude(value: f64) -> u64 {
    value.abs().round() as u64
}

/// CPU time by phase, with the share of a core; absent when unknown.
fn cpu(record: &Record, resources: &BrokerResourcesRecord) -> Option<String> {
    let of = |of_phase: Phase, name: &str, cpu_us: Option<u64>| {
        let phase = record.phases.iter().find(|phase| phase.phase == of_phase)?;
        let lasted_us = phase.ended_us.saturating_sub(phase.began_us);
        let per_mille = cpu_us?.saturating_mul(1_000).saturating_add(lasted_us / 2).checked_div(lasted_us)?;
        let share = format!("{}.{} % of a core", per_mille / 10, per_mille % 10);
        Some(format!("{} in the {name} ({share})", time(cpu_us?)))
    };
    let connecting = resources.cpu_us_connecting.map(|us| format!("{} while clients connected", time(us)));
    let parts = [
        connecting,
        of(Phase::Baseline, "baseline", resources.cpu_us_baseline_phase),
        of(Phase::Fault, "fault phase", resources.cpu_us_fault_phase),
        of(Phase::Load, "load phase", resources.cpu_us_fault_phase),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
