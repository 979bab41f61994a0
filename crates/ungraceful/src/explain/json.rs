//! The result as JSON, with names as in the code and units in the names.

use serde_json::{Value, json};
use ungraceful_log_causes::story::{Incident, Rates};
use ungraceful_log_causes::timestamp::LogTime;
use ungraceful_log_causes::{Cause, command, explain};

use super::Explained;
use super::flags::Options;
use super::render::by_frequency;

/// Additions keep this number; any other change raises it.
const FORMAT_VERSION: u32 = 2;
/// Shapes of unknown lines of each log.
const UNKNOWN_MAX: usize = 100;

/// The whole result.
pub(super) fn render(explained: &Explained, options: &Options) -> String {
    let picture = explained.story.picture();
    let signs = &picture.signs;
    let (clients_known, incidents_of_others) = explained.story.clients_known();
    let log = |number: usize| explained.logs.get(number).map(|log| log.name.as_str());
    let document = json!({
        "format_version": FORMAT_VERSION,
        "tool": super::NAME,
        "version": env!("CARGO_PKG_VERSION"),
        "logs": explained.logs.iter().enumerate().map(|(number, log)| json!({
            "name": log.name,
            "broker": log.broker.map(ungraceful_log_causes::Broker::slug),
            "broker_given": options.broker.is_some(),
            "lines": log.scanned.lines,
            "bytes": log.scanned.bytes,
            "lines_recognised": log.scanned.recognised,
            "lines_insignificant": log.scanned.insignificant,
            "lines_unknown": log.scanned.unknown,
            "lines_without_time": log.untimed,
            "files": log.parts.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "unknown": log.unknown.iter().take(UNKNOWN_MAX).map(|unknown| {
                let (line, file) = explained.place(number, unknown.first);
                json!({ "lines": unknown.lines, "first_line": line, "file": file, "example": unknown.example })
            }).collect::<Vec<_>>(),
            "lines_cut": log.scanned.lines_cut,
        })).collect::<Vec<_>>(),
        "first": time(picture.first),
        "last": time(picture.last),
        "incidents_total": picture.incidents,
        "incidents_left_out": explained.left_out(),
        "causes": by_frequency(explained).iter().map(|(cause, of_cause)| {
            let mut value = cause_value(*cause, &picture.seen(*cause));
            value["incidents"] = of_cause.incidents.into();
            value["closed_by"] = of_cause.closed_by(*cause).words().into();
            value["effects"] = of_cause.effects.iter().map(|(effect, count)| (effect.slug().to_owned(), Value::from(*count))).collect();
            value["first"] = time(of_cause.first);
            value["last"] = time(of_cause.last);
            value["shortest_connection_ms"] = of_cause.lasted_ms.map(|(shortest, _)| shortest).into();
            value["longest_connection_ms"] = of_cause.lasted_ms.map(|(_, longest)| longest).into();
            value["rate"] = rate(&picture.rates, *cause);
            value
        }).collect::<Vec<_>>(),
        "clients": explained.story.worst_clients(options.top).iter().map(|client| json!({
            "log": log(client.log),
            "client_id": client.client,
            "incidents": client.incidents,
            "connects": client.connects,
            "address": client.address,
            "causes": client.causes.iter().map(|(cause, count)| (cause.slug().to_owned(), Value::from(*count))).collect::<serde_json::Map<_, _>>(),
        })).collect::<Vec<_>>(),
        "clients_told_apart": clients_known,
        "incidents_of_other_clients": incidents_of_others,
        "duels": signs.duels().iter().map(|duel| json!({
            "log": log(duel.log),
            "client_id": duel.client,
            "take_overs": duel.take_overs,
            "first": time(duel.first),
            "last": time(duel.last),
            "take_overs_per_minute": duel.per_minute(),
            "hosts": duel.hosts,
        })).collect::<Vec<_>>(),
        "herds": signs.herds().iter().map(|herd| json!({
            "log": log(herd.log), "from": time(Some(herd.at)), "seconds": 10, "connections": herd.connections, "after_broker_start": herd.after_start,
        })).collect::<Vec<_>>(),
        "back_too_fast": signs.flapping().iter().map(|flapping| json!({
            "log": log(flapping.log), "client_id": flapping.client, "times": flapping.times,
        })).collect::<Vec<_>>(),
        "lapsed_together": signs.lapsed_together().iter().map(|lapsed| json!({
            "log": log(lapsed.log), "from": time(Some(lapsed.at)), "clients": lapsed.clients, "in_one_second": lapsed.in_one_second,
            "silent_ms_before": lapsed.silent_ms, "while_saving": lapsed.while_saving, "is_stall": lapsed.is_stall(),
        })).collect::<Vec<_>>(),
        "wills_at_take_over": signs.wills_at_take_over().iter().map(|wills| json!({
            "log": log(wills.log), "client_id": wills.client, "messages": wills.messages, "topic": wills.topic,
        })).collect::<Vec<_>>(),
        "visits": signs.visits().iter().map(|visits| json!({
            "log": log(visits.log), "cause": visits.cause.slug(), "visitor": visits.visitor, "times": visits.times,
            "every_s": visits.every_s,
        })).collect::<Vec<_>>(),
        "equal_lifetimes": signs.equal_lifetimes().iter().map(|equal| json!({
            "log": log(equal.log), "seconds": equal.seconds, "connections": equal.connections, "of": equal.of,
        })).collect::<Vec<_>>(),
        "incidents": explained.incidents.iter().map(|incident| incident_value(incident, log(incident.log), explained.place(incident.log, incident.line))).collect::<Vec<_>>(),
    });
    print(&document)
}

/// A document as text, with a line end.
pub(super) fn print(document: &Value) -> String {
    let text = serde_json::to_string_pretty(document).expect("values have text for keys");
    ungraceful_report::escape::json(&text) + "\n"
}

/// The explanation of a cause.
pub(super) fn cause_value(cause: Cause, seen: &command::Seen) -> Value {
    let explanation = explain(cause);
    let words = command::words(cause, seen);
    json!({
        "cause": cause.slug(),
        "title": explanation.title,
        "closed_by": explanation.closed_by.words(),
        "standard": explanation.standard.iter().map(|statement| json!({
            "version": statement.version.to_string(), "statement": statement.id, "gist": statement.gist,
        })).collect::<Vec<_>>(),
        "standard_prose": explanation.standard_prose,
        "behind": explanation.behind,
        "tell_apart": explanation.tell_apart,
        "reproduce": words.as_ref().ok(),
        "not_reproduced_yet": words.as_ref().err(),
        "cure_client": explanation.cure_client,
        "cure_broker": explanation.cure_broker,
    })
}

fn incident_value(incident: &Incident, log: Option<&str>, (line, file): (u64, Option<&str>)) -> Value {
    json!({
        "log": log,
        "file": file,
        "line": line,
        "lines": incident.lines,
        "occurrences": incident.occurrences,
        "time": time(incident.time),
        "broker": incident.broker.slug(),
        "cause": incident.cause.slug(),
        "effect": incident.effect.slug(),
        "client_id": incident.client,
        "address": incident.address,
        "newcomer": incident.newcomer,
        "keep_alive_s": incident.keep_alive_s,
        "protocol_version": incident.version.map(|version| version.to_string()),
        "code": incident.code,
        "connected_for_ms": incident.connected_for_ms,
        "pattern_row": incident.row,
        "text": incident.text,
    })
}

fn rate(rates: &Rates, cause: Cause) -> Value {
    let begin = rates.begin_s.map(|seconds| LogTime(seconds * 1_000));
    json!({ "from": time(begin), "cell_s": rates.cell_s, "counts": rates.of(cause) })
}

fn time(time: Option<LogTime>) -> Value {
    time.map(|time| time.to_string()).into()
}
