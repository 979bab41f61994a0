//! The pictures over the time of the run: bystanders, messages, reactions, connections and the broker's process.

use ungraceful_record::phase::Phase;
use ungraceful_record::run::Record;

use super::super::reactions::Reactions;
use super::super::timeline::{Column, Point, Timeline};
use super::super::windows::{Window, Windows};
use super::axis::Axis;
use super::chart::{Chart, Line, Shade, line};
use super::{Picture, legend};
use crate::scale::{count, time};
use crate::totals;

/// A picture of some columns of the timeline.
struct Plot {
    id: &'static str,
    title: &'static str,
    /// What the vertical axis shows.
    of: &'static str,
    columns: &'static [(Column, &'static str)],
    axis: fn(u64, u64) -> Axis,
    /// Why there is nothing to see.
    otherwise: &'static str,
}

const BYSTANDERS: Plot = Plot {
    id: "bystanders",
    title: "Response time of the bystanders",
    of: "From due to delivered, on a logarithmic axis",
    columns: &[(Column::BystanderP50, "p50"), (Column::BystanderMax, "max")],
    axis: Axis::powers_of_ten,
    otherwise: "No bystander message was timed in this run.",
};
const LOAD_TIMES: Plot = Plot {
    id: "load-times",
    title: "Response time of the load",
    of: "From due to delivered, or to acknowledged without subscribers, on a logarithmic axis",
    columns: &[(Column::LoadP50, "p50"), (Column::LoadMax, "max")],
    axis: Axis::powers_of_ten,
    otherwise: "No message of the load was timed in this run.",
};
const MESSAGES: Plot = Plot {
    id: "messages",
    title: "Messages of the bystanders",
    of: "Offered against delivered",
    columns: &[(Column::Offered, "offered (due)"), (Column::Delivered, "delivered")],
    axis: |_, most| Axis::counts(most),
    otherwise: "No bystander message was due in this run.",
};
const LOAD: Plot = Plot {
    id: "load",
    title: "Messages of the load",
    of: "Offered against delivered",
    columns: &[
        (Column::LoadOffered, "offered (due)"),
        (Column::LoadSent, "sent"),
        (Column::LoadAcknowledged, "acknowledged"),
        (Column::LoadDelivered, "delivered"),
    ],
    axis: |_, most| Axis::counts(most),
    otherwise: "No message of the load was due in this run.",
};
const CONNECTIONS: Plot = Plot {
    id: "connections",
    title: "Connections",
    of: "Open connections of attempts or of the load at the end of the second",
    columns: &[(Column::ConnectionsOpen, "open")],
    axis: |_, most| Axis::counts(most),
    otherwise: "No connection of an attempt or of a load was open at the end of a second.",
};
const CPU: Plot = Plot {
    id: "cpu",
    title: "CPU time of the broker",
    of: "Of its process, per second, in steps of the kernel's tick",
    columns: &[(Column::BrokerCpu, "CPU time per second")],
    axis: |_, most| Axis::times(most),
    otherwise: "The CPU time of the broker was not measured: its process is unknown (--broker-pid).",
};
const MEMORY: Plot = Plot {
    id: "memory",
    title: "Memory of the broker",
    of: "Resident memory of its process",
    columns: &[(Column::BrokerRss, "resident memory")],
    axis: |_, most| Axis::bytes(most),
    otherwise: "The memory of the broker was not measured: its process is unknown (--broker-pid).",
};

/// The pictures of `record` over time.
pub(in crate::page) fn pictures(
    record: &Record,
    timeline: &Timeline,
    reactions: &Reactions,
    windows: &Windows,
) -> Vec<Picture> {
    let mut pictures = Vec::new();
    if record.bystanders.is_some() {
        let times = of_times(&BYSTANDERS, &windows.bystanders, windows, record, timeline);
        pictures.extend([times, counts(&MESSAGES, record, timeline)]);
    } else {
        let why = "None in this run: the impact on well-behaved clients was not measured.";
        pictures.push(Picture::left_out("bystanders", "Bystanders", why));
    }
    if record.load.is_some() {
        let times = of_times(&LOAD_TIMES, &windows.load, windows, record, timeline);
        pictures.extend([times, counts(&LOAD, record, timeline)]);
    }
    if record.load.is_none() || !record.cases.is_empty() {
        pictures.push(of_reactions(record, timeline, reactions));
    }
    pictures.push(counts(&CONNECTIONS, record, timeline));
    pictures.extend([picture(&CPU, record, timeline), picture(&MEMORY, record, timeline)]);
    pictures
}

/// A picture of counts: left out when all are 0, because nothing of the kind was in the run.
fn counts(plot: &Plot, record: &Record, timeline: &Timeline) -> Picture {
    if plot.columns.iter().any(|(column, _)| timeline.has_any(*column)) {
        picture(plot, record, timeline)
    } else {
        left_out(plot.id, plot.title, plot.otherwise, timeline)
    }
}

fn left_out(id: &'static str, title: &'static str, why: &str, timeline: &Timeline) -> Picture {
    let why = match (&timeline.trouble, timeline.points.is_empty()) {
        (Some(trouble), true) => format!("{trouble}."),
        _ => why.to_owned(),
    };
    Picture::left_out(id, title, why)
}

fn picture(plot: &Plot, record: &Record, timeline: &Timeline) -> Picture {
    with_windows(plot, &[], record, timeline)
}

/// A picture of times, with their 99th percentile where enough seconds together have the samples that it needs.
fn of_times(plot: &Plot, shown: &[Window], all: &Windows, record: &Record, timeline: &Timeline) -> Picture {
    let mut picture = with_windows(plot, shown, record, timeline);
    if picture.svg.is_some() {
        let note = match (&all.trouble, shown) {
            (Some(trouble), _) => format!("p99: {trouble}."),
            (None, []) => "p99: no phase has the 1,000 samples that it needs.".to_owned(),
            (None, _) => "p99 is over as many seconds as together have 1,000 samples.".to_owned(),
        };
        picture.notes.push(note);
    }
    picture
}

fn with_windows(plot: &Plot, windows: &[Window], record: &Record, timeline: &Timeline) -> Picture {
    let applicable = || plot.columns.iter().filter(|(column, _)| applies(*column, record));
    let columns: Vec<_> = applicable().filter(|(column, _)| timeline.has(*column)).collect();
    let of_point =
        |point: &Point| columns.iter().filter_map(|(column, _)| point.of(*column)).collect::<Vec<_>>();
    let values = || {
        let of_windows = windows.iter().filter_map(|window| window.of.p99_us);
        timeline.points.iter().flat_map(of_point).chain(of_windows)
    };
    let Some((least, most)) = values().min().zip(values().max()) else {
        return left_out(plot.id, plot.title, plot.otherwise, timeline);
    };
    let y = (plot.axis)(least, most);
    let points = |column: Column| {
        let of = |number: u64| timeline.points.binary_search_by_key(&number, |point| point.number).ok();
        let value = move |number: u64| timeline.points[of(number)?].of(column);
        (0..=timeline.seconds.last).map(move |number| (number, value(number)))
    };
    let mut lines: Vec<Line> =
        columns.iter().map(|(column, _)| placed(points(*column), timeline, &y)).collect();
    let mut labels: Vec<&str> = columns.iter().map(|(_, label)| *label).collect();
    if !windows.is_empty() {
        lines.push(of_windows(windows, timeline, &y));
        labels.push("p99");
    }
    let missing = applicable().filter(|(column, _)| !timeline.has(*column));
    let mut notes: Vec<String> = missing.map(|(_, label)| format!("{label}: no samples.")).collect();
    notes.extend(timeline.trouble.iter().map(|trouble| format!("{trouble}.")));
    Picture {
        id: plot.id,
        title: plot.title,
        says: format!("{}{}. Highest: {}.", plot.of, per(plot, timeline), shown(plot, most)),
        svg: Some(drawn(record, timeline, y, lines)),
        why_not: None,
        legend: legend(labels),
        notes,
    }
}

/// The 99th percentile of each window, in its middle; windows of different phases are not connected.
fn of_windows(windows: &[Window], timeline: &Timeline, y: &Axis) -> Line {
    let x = seconds(timeline);
    let of_phase = windows.chunk_by(|one, next| one.phase == next.phase);
    let parts = of_phase.map(|same| {
        let place = |window: &Window| {
            let middle = f64::midpoint(x.place(window.seconds.start), x.place(window.seconds.end));
            Some((middle, y.place(window.of.p99_us?)))
        };
        same.iter().filter_map(place).collect::<Vec<_>>()
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Whether a load has what a column counts: nothing is acknowledged at QoS 0, and nothing delivered without subscribers.
fn applies(column: Column, record: &Record) -> bool {
    let Some(load) = &record.load else { return true };
    match column {
        Column::LoadAcknowledged => load.by_qos.keys().any(|qos| *qos > 0),
        Column::LoadDelivered => load.subscribers > 0,
        _ => true,
    }
}

/// The unit of a point, where it follows from its seconds.
fn per(plot: &Plot, timeline: &Timeline) -> String {
    let seconds = timeline.seconds;
    match plot.columns.first() {
        Some((Column::Offered | Column::LoadOffered, _)) => format!(" per {}", seconds.unit()),
        _ if seconds.each > 1 => format!(", the highest of each {}", seconds.unit()),
        _ => String::new(),
    }
}

fn shown(plot: &Plot, value: u64) -> String {
    match plot.columns.first() {
        Some((Column::BrokerRss, _)) => crate::scale::bytes(value),
        Some((Column::BystanderP50 | Column::LoadP50 | Column::BrokerCpu, _)) => time(value),
        _ => count(value),
    }
}

fn of_reactions(record: &Record, timeline: &Timeline, reactions: &Reactions) -> Picture {
    let (id, title) = ("reactions", "Reactions of the broker by kind");
    let most = reactions.points.values().flatten().max();
    let Some(most) = most else {
        let why = reactions.notes.first().cloned();
        return Picture::left_out(
            id,
            title,
            why.unwrap_or_else(|| "The broker showed no reaction in this run.".to_owned()),
        );
    };
    let y = Axis::counts(*most);
    let lines = (0..reactions.kinds.len()).map(|kind| {
        // A second without reactions was measured, too, wherever the timeline has a row.
        let is_measured =
            |number: u64| timeline.points.binary_search_by_key(&number, |point| point.number).is_ok();
        let value = |number: u64| match reactions.points.get(&number) {
            Some(counts) => Some(counts.get(kind).copied().unwrap_or(0)),
            None => is_measured(number).then_some(0),
        };
        placed((0..=timeline.seconds.last).map(|number| (number, value(number))), timeline, &y)
    });
    let lines = lines.collect();
    Picture {
        id,
        title,
        says: format!("Reactions per {}. Highest: {}.", timeline.seconds.unit(), count(*most)),
        svg: Some(drawn(record, timeline, y, lines)),
        why_not: None,
        legend: legend(reactions.kinds.iter().cloned()),
        notes: reactions.notes.clone(),
    }
}

/// A line of these values; a point stands in the middle of its seconds.
fn placed(values: impl Iterator<Item = (u64, Option<u64>)>, timeline: &Timeline, y: &Axis) -> Line {
    let x = seconds(timeline);
    line(values.map(|(number, value)| {
        let of = timeline.seconds.of(number);
        (f64::midpoint(x.place(of.start), x.place(of.end)), value.map(|value| y.place(value)))
    }))
}

/// The axis of time, to the end of the last point.
fn seconds(timeline: &Timeline) -> Axis {
    Axis::seconds(timeline.seconds.of(timeline.seconds.last).end)
}

fn drawn(record: &Record, timeline: &Timeline, y: Axis, lines: Vec<Line>) -> minijinja::Value {
    let x = seconds(timeline);
    Chart { shades: shades(record, &x), x, y, lines, has_marks: false }.svg()
}

/// The phases behind the lines.
fn shades(record: &Record, x: &Axis) -> Vec<Shade> {
    let shade = |phase: &ungraceful_record::run::PhaseRecord| {
        let second = |us: u64| x.place(us / 1_000_000) + x.place(us % 1_000_000) / 1e6;
        let label = match phase.phase {
            Phase::Warmup => "warm-up",
            measured => measured.name(),
        };
        let measured = record.bystanders.as_ref().map(|bystanders| totals::of_phase(bystanders, phase.phase));
        let has_none = phase.phase != Phase::Warmup
            && measured.is_some_and(|of| of.is_none_or(|of| of.response_time.count == 0));
        let label = if has_none { format!("{label}: no samples") } else { label.to_owned() };
        Shade { phase: phase.phase, range: (second(phase.began_us), second(phase.ended_us)), label }
    };
    record.phases.iter().map(shade).collect()
}
