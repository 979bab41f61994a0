//! A load: its release, its connections, the fate of its messages, and their times.

use ungraceful_record::load::{LoadConnections, LoadCounts, LoadRecord, Release};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{BrokerRecord, Record};

use crate::document::{Column, Document, Table, cell};
use crate::percentile;
use crate::scale::{bytes, count, counted, time};

/// Maximum number of reasons of each kind; the others are only counted.
const SHOWN_AT_MOST: usize = 5;

pub(super) fn section(record: &Record, document: &mut Document) {
    let Some(load) = &record.load else { return };
    document.heading("The load");
    document.line(summary(load));
    connections(&load.connections, document);
    processes(load, document);
    if !load.by_qos.is_empty() {
        document.values(counts(load).with_equal_rows_together(&SAME_MESSAGES));
    }
    let refusals = load.all().refusals();
    if !refusals.is_empty() {
        document.labelled("Messages refused", refusals.join(", "));
    }
    let measured = times(load, handshake(&record.broker));
    if !measured.rows.is_empty() {
        document.rows(measured);
    }
    if let Some(sure) = load.confidence.as_ref().filter(|sure| sure.unreached_because().is_none()) {
        document.line(format!("{}: {}", sure.asked, sure.in_words()));
    }
    for note in notes(load) {
        document.line(note);
    }
}

/// The shape, release and rates of the load.
fn summary(load: &LoadRecord) -> String {
    let mut parts = vec![load.shape.clone()];
    match load.release {
        Release::Open => parts.push("open loop".to_owned()),
        Release::Closed => {
            parts.push(
                "CLOSED LOOP: the broker sets the pace, so slow periods are sampled less often".to_owned(),
            );
            if let Some(window) = load.end_to_end_window {
                parts.push(format!("{} in flight end to end", count(window)));
            }
        }
        Release::Nothing => {}
    }
    if load.publishers > 0 {
        parts.push(load.payload_bytes.map_or_else(|| "text".to_owned(), bytes));
        if load.by_qos.keys().any(|qos| *qos > 0) {
            parts.push(format!("{} in flight", count(load.in_flight_max)));
        }
    }
    if let Some(counted_us) = load.counted_us() {
        parts.push(time(counted_us));
        let all = load.all();
        let rate = |number: u64, us: Option<u64>| count(per_second(number, us.unwrap_or(counted_us)));
        if load.publishers > 0 {
            parts.push(format!("{}/s sent", rate(all.sent, load.sent_in_us())));
        }
        if load.subscribers > 0 {
            let came = all.delivered + all.duplicated + load.foreign;
            parts.push(format!("{}/s received", rate(came, load.delivered_in_us())));
        }
    }
    parts.join(" · ")
}

/// A rate in whole messages per second.
pub(super) fn per_second(number: u64, us: u64) -> u64 {
    let rate = u128::from(number) * 1_000_000 / u128::from(us.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn connections(connections: &LoadConnections, document: &mut Document) {
    let mut text = format!("{} of {} accepted", count(connections.accepted), count(connections.planned));
    if let Some(us) = connections.up_after_us {
        text += &format!(" in {}", time(us));
    }
    if connections.never_begun > 0 {
        text += &format!(", {} never started", count(connections.never_begun));
    }
    document.labelled("Connections", text);
    for (label, by_reason) in [("Refused", &connections.refused), ("Lost", &connections.lost)] {
        let mut sorted: Vec<_> = by_reason.iter().collect();
        sorted.sort_by_key(|(reason, times)| (std::cmp::Reverse(**times), *reason));
        for (reason, times) in sorted.iter().take(SHOWN_AT_MOST) {
            document.labelled(label, format!("×{}: {reason}", count(**times)));
        }
        let others = sorted.get(SHOWN_AT_MOST..).unwrap_or_default();
        if !others.is_empty() {
            let times = others.iter().map(|(_, times)| **times).sum();
            document.labelled(
                label,
                format!("×{}: {}", count(times), counted(others.len() as u64, "other reason")),
            );
        }
    }
}

/// The worker processes of a load that has several.
fn processes(load: &LoadRecord, document: &mut Document) {
    let all = &load.processes;
    if all.is_empty() {
        return;
    }
    let mut text = format!("{} share the clients", count(all.len() as u64));
    let rss: Option<u64> = all.iter().map(|process| process.rss_bytes_connected).sum();
    if let Some(rss_bytes) = rss {
        text += &format!(", {} of memory when the load began", bytes(rss_bytes));
    }
    document.labelled("Processes", text);
}

/// Counts that are equal when all goes well.
const SAME_MESSAGES: [&str; 5] = ["due", "sent", "acknowledged", "deliveries expected", "delivered"];

/// A row of the counts: its name and number.
type Line = (&'static str, fn(&LoadCounts) -> u64);

/// The rows of the counts; some only apply to certain loads.
const SENT: [Line; 3] = [
    ("due", |counts| counts.offered),
    ("sent", |counts| counts.sent),
    ("never sent", |counts| counts.dropped),
];
const ACKNOWLEDGED: [Line; 3] = [
    ("acknowledged", |counts| counts.acknowledged),
    ("refused", LoadCounts::refused_in_all),
    ("not acknowledged", |counts| counts.unacknowledged),
];
const DELIVERED: [Line; 7] = [
    ("deliveries expected", |counts| counts.expected),
    ("delivered", |counts| counts.delivered),
    ("lost", |counts| counts.lost),
    ("still coming", |counts| counts.still_coming),
    ("unknown", |counts| counts.unknown),
    ("more than once", |counts| counts.duplicated),
    ("out of order", |counts| counts.reordered),
];
const WAITED: [Line; 2] =
    [("sent late (over 1 ms)", |counts| counts.late), ("blocked before sending", |counts| counts.blocked)];

fn counts(load: &LoadRecord) -> Table {
    let each = load.by_qos.iter().map(|(qos, counts)| (format!("QoS {qos}"), counts.clone()));
    let sum = (load.by_qos.len() != 1).then(|| ("all".to_owned(), load.all()));
    let all: Vec<(String, LoadCounts)> = each.chain(sum).collect();
    let mut lines: Vec<Line> = SENT.to_vec();
    if load.release == Release::Open {
        lines.extend(WAITED);
    }
    if load.by_qos.keys().any(|qos| *qos > 0) {
        lines.extend(ACKNOWLEDGED);
    }
    if load.subscribers > 0 {
        lines.extend(DELIVERED);
    }
    let columns = std::iter::once(Column::words("messages"))
        .chain(all.iter().map(|(name, _)| Column::numbers(name.clone())))
        .collect();
    let row = |(name, of): &Line| {
        std::iter::once(cell(*name)).chain(all.iter().map(|(_, counts)| cell(count(of(counts))))).collect()
    };
    Table { columns, rows: lines.iter().map(row).collect(), keys: 1 }
}

/// A percentile in µs; absent when there are too few samples.
type Figure = fn(&Percentiles) -> Option<u64>;

/// The figures of each time, to p99.99.
const FIGURES: [(&str, Figure); 6] = [
    ("p50", |of| of.p50_us),
    ("p90", |of| of.p90_us),
    ("p99", |of| of.p99_us),
    ("p99.9", |of| of.p99_9_us),
    ("p99.99", |of| of.p99_99_us),
    ("max", |of| of.max_us),
];

/// What the handshakes over TCP were.
const fn handshake(broker: &BrokerRecord) -> &'static str {
    match (&broker.tls, &broker.websocket) {
        (_, None) => "TLS handshake",
        (None, Some(_)) => "WebSocket handshake",
        (Some(_), Some(_)) => "TLS and WebSocket handshakes",
    }
}

fn times(load: &LoadRecord, handshake: &'static str) -> Table {
    let connections = &load.connections;
    let all = [
        ("end to end, response", &load.delivery_response_time),
        ("end to end, service", &load.delivery_service_time),
        ("acknowledged, response", &load.publish_response_time),
        ("acknowledged, service", &load.publish_service_time),
        ("local write", &load.departure_time),
        ("TCP connect", &connections.tcp_connect_time),
        (handshake, &connections.handshake_time),
        ("CONNACK", &connections.connack_time),
        ("SUBACK", &connections.suback_time),
    ];
    let rows = all.iter().filter(|(_, of)| of.count > 0).map(|(name, of)| {
        let figures = FIGURES.iter().map(|(_, us)| cell(percentile::shown(of.count, us(of).map(time))));
        [cell(*name), cell(count(of.count))].into_iter().chain(figures).collect()
    });
    let columns = [Column::words("time"), Column::numbers("samples")]
        .into_iter()
        .chain(FIGURES.iter().map(|(name, _)| Column::numbers(*name)))
        .collect();
    Table { columns, rows: rows.collect(), keys: 1 }
}

fn notes(load: &LoadRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if load.release == Release::Open {
        notes.push(
            "Response times start when a message is due, service times just before it is written. Both include the local \
             write, which ends when the message leaves this machine."
                .to_owned(),
        );
    }
    if load.release == Release::Closed && load.end_to_end_window.is_none() && load.by_qos.contains_key(&0) {
        notes.push(
            "At QoS 0 only TCP closes the loop: there are no acknowledgements, and no subscriber of this run. The sent \
             messages are those that the broker's host accepted, not those that the broker processed."
                .to_owned(),
        );
    }
    if let Some(held) = load.held_acknowledgements {
        notes.push(format!(
            "{} of {} arrived only with the publisher's next message: on average {} after their own message and {} after \
             the next. A broker that leaves Nagle's algorithm on does this: these times reflect the publisher's interval, \
             not the broker. Set TCP_NODELAY on the broker (Mosquitto: set_tcp_nodelay true).",
            count(held.held),
            counted(held.of, "acknowledgement"),
            time(held.waited_us_mean),
            time(held.after_next_us_mean)
        ));
    }
    if load.foreign > 0 {
        notes.push(format!(
            "{} did not carry the stamp of this run: counted but not tracked.",
            counted(load.foreign, "message")
        ));
    }
    if load.retained > 0 {
        notes.push(format!(
            "{} (RETAIN 1) arrived because of the subscriptions: they are not live and count in no rate.",
            counted(load.retained, "retained message")
        ));
    }
    if load.too_old > 0 {
        notes.push(format!(
            "{} arrived too late to check whether they were duplicates.",
            counted(load.too_old, "message")
        ));
    }
    if let Some(retained) = &load.retained_by_us
        && let Some(why) = &retained.left_because
    {
        notes.push(format!(
            "Retained messages remain on {}: they could not be removed ({why}).",
            counted(retained.topics, "topic")
        ));
    }
    if let Some(stalled) = load.stalled_40_ms {
        notes.push(format!(
            "{} took 39 to 45 ms, and hardly any slightly less or more: the broker seems to wait for TCP's delayed ACK. \
             Set TCP_NODELAY on the broker (Mosquitto: set_tcp_nodelay true).",
            counted(stalled, "message")
        ));
    }
    let all = load.all();
    let handled = all.sent + all.delivered + load.foreign;
    if let Some(cpu_us) = load.cpu_us.filter(|_| handled > 0) {
        let ns_each = u128::from(cpu_us) * 1_000 / u128::from(handled);
        notes.push(format!(
            "Generator CPU: {}, {}.{:02} µs per message sent or received.",
            time(cpu_us),
            ns_each / 1_000,
            ns_each % 1_000 / 10
        ));
    }
    notes
}
