//! CSV with one row per case: all counts, and all percentiles in µs.
//!
//! All tools have the same columns. Reactions, sequences and facts, which differ between faults, are JSON objects in a
//! cell. An absent percentile is an empty cell. A load has one row per QoS.

use std::collections::BTreeMap;

use serde::Serialize;
use ungraceful_record::load::{LoadCounts, LoadRecord};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;

use crate::escape;

/// A cell with its column's name, so that header and rows can't diverge.
type Field = (String, String);

/// Writes `cases`.
pub(crate) fn write<'a, C: IntoIterator<Item = &'a CaseRecord>>(cases: C) -> String {
    let rows: Vec<Vec<Field>> = cases.into_iter().map(fields).collect();
    let header = rows.first().cloned().unwrap_or_else(|| fields(&CaseRecord::default()));
    write_fields(&header, &rows)
}

fn write_fields(header: &[Field], rows: &[Vec<Field>]) -> String {
    let header = header.iter().map(|(name, _)| &**name).collect();
    write_rows(
        std::iter::once(header).chain(rows.iter().map(|row| row.iter().map(|(_, value)| &**value).collect())),
    )
}

/// Rows of equal length as CSV.
pub(crate) fn write_rows<'a, R: IntoIterator<Item = Vec<&'a str>>>(rows: R) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("memory takes every write of equal length");
    }
    let written = writer.into_inner().expect("memory takes every write");
    String::from_utf8(written).expect("every cell was a string")
}

/// Writes a load: one row per QoS, and the load's times in each of them.
pub(crate) fn write_loads<'a, L: IntoIterator<Item = &'a LoadRecord>>(loads: L) -> String {
    let nothing = BTreeMap::from([(0, LoadCounts::default())]);
    let mut rows: Vec<Vec<Field>> = Vec::new();
    for load in loads {
        let by_qos = if load.by_qos.is_empty() { &nothing } else { &load.by_qos };
        rows.extend(by_qos.iter().map(|(qos, counts)| load_fields(load, *qos, counts)));
    }
    rows.first().map_or_else(String::new, |first| write_fields(first, &rows))
}

fn load_fields(load: &LoadRecord, qos: u8, counts: &LoadCounts) -> Vec<Field> {
    let connections = &load.connections;
    let mut fields = vec![
        ("release".to_owned(), format!("{:?}", load.release).to_lowercase()),
        number("publishers", load.publishers),
        number("subscribers", load.subscribers),
        optional("counted_us", load.counted_us()),
        number("qos", u64::from(qos)),
    ];
    fields.extend(counts.named().into_iter().map(|(name, count)| number(name, count)));
    fields.extend([
        number("foreign_all_qos", load.foreign),
        number("retained_all_qos", load.retained),
        number("connections_planned", connections.planned),
        number("connections_accepted", connections.accepted),
        number("connections_refused", connections.refused.values().sum()),
        number("connections_lost", connections.lost.values().sum()),
        optional("cpu_us_all_qos", load.cpu_us),
    ]);
    let all_times = [
        ("delivery_response_time_all_qos", &load.delivery_response_time),
        ("delivery_service_time_all_qos", &load.delivery_service_time),
        ("publish_response_time_all_qos", &load.publish_response_time),
        ("publish_service_time_all_qos", &load.publish_service_time),
        ("departure_time_all_qos", &load.departure_time),
        ("tcp_connect_time", &connections.tcp_connect_time),
        ("handshake_time", &connections.handshake_time),
        ("connack_time", &connections.connack_time),
        ("suback_time", &connections.suback_time),
    ];
    fields.extend(all_times.into_iter().flat_map(|(name, of)| times(name, of)));
    fields
}

fn fields(case: &CaseRecord) -> Vec<Field> {
    let mut fields = vec![
        ("fault".to_owned(), escape::plain(&case.case.fault)),
        ("variant".to_owned(), escape::plain(&case.case.variant)),
        ("mqtt_version".to_owned(), escape::plain(&case.case.version)),
        number("attempts_planned", case.planned),
        number("attempts_dropped", case.dropped),
        number("attempts_finished", case.finished),
    ];
    let outcomes =
        Outcome::ALL.map(|outcome| number(&format!("attempts_{}", outcome.name()), case.outcome(outcome)));
    fields.extend(outcomes);
    fields.push(number("attempts_with_second_connack", case.attempts_with_second_connack));
    fields.extend(times("reaction_time", &case.reaction_time));
    fields.extend(times("time_to_close", &case.time_to_close));
    fields.extend(times("connack_time", &case.connack_time));
    let will = case.will.as_ref();
    fields.extend([
        optional("will_set", will.map(|will| will.set)),
        optional("will_due", will.map(|will| will.due)),
        optional("will_due_and_seen", will.map(|will| will.due_and_seen)),
        optional("will_not_due_and_seen", will.map(|will| will.not_due_and_seen)),
        optional("will_more_than_once", will.map(|will| will.more_than_once)),
        optional("will_of_later_connect", will.map(|will| will.of_later_connect)),
        optional("will_shortest_wait_of_unseen_us", will.and_then(|will| will.shortest_wait_of_unseen_us)),
    ]);
    fields.extend(times("will_time", &will.map(|will| will.will_time).unwrap_or_default()));
    fields.extend([
        json("sequences_json", &case.sequences),
        json("reactions_json", &case.reactions),
        json("disconnect_codes_json", &case.disconnect_codes),
        json("facts_json", &case.facts),
        json("measures_json", &case.measures),
        json("messages_json", &case.messages),
        json("troubles_json", &case.troubles),
    ]);
    fields
}

fn times(name: &str, times: &Percentiles) -> Vec<Field> {
    let figures = [
        ("min", times.min_us),
        ("p50", times.p50_us),
        ("p90", times.p90_us),
        ("p99", times.p99_us),
        ("p99_9", times.p99_9_us),
        ("p99_99", times.p99_99_us),
        ("max", times.max_us),
    ];
    let samples = number(&format!("{name}_samples"), times.count);
    let figures = figures.into_iter().map(|(figure, us)| optional(&format!("{name}_us_{figure}"), us));
    std::iter::once(samples).chain(figures).collect()
}

fn number(name: &str, value: u64) -> Field {
    (name.to_owned(), value.to_string())
}

fn optional(name: &str, value: Option<u64>) -> Field {
    (name.to_owned(), value.map(|value| value.to_string()).unwrap_or_default())
}

fn json(name: &str, value: &impl Serialize) -> Field {
    let written = serde_json::to_string(value).expect("maps with text or number keys are JSON objects");
    (name.to_owned(), escape::json(&written))
}
