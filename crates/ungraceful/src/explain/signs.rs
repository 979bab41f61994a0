//! Patterns across many lines, such as duels and herds, in words.

use ungraceful_log_causes::story::{Duel, Flapping, HealthCheck, SimultaneousLapses, WillsAtTakeOver};

use super::Explained;
use super::document::Block;

/// Patterns across many lines.
pub(super) fn blocks(explained: &Explained) -> Vec<Block> {
    let signs = &explained.story.picture().signs;
    let in_log = |log: usize, text: String| match explained.log_name(log) {
        Some(name) => format!("{text} ({name})"),
        None => text,
    };
    let duels = texts(&signs.duels(), |duel| in_log(duel.log, about_duel(duel)));
    let herds = texts(&signs.herds(), |herd| {
        let start = if herd.after_start { ", after the broker's start" } else { "" };
        in_log(herd.log, format!("{} connections in the 10 s from {}{start}", herd.connections, herd.at))
    });
    let too_fast = texts(&signs.flapping(), |Flapping { log, client, times }| {
        in_log(*log, format!("{client} reconnected within a second {times} times: it needs a back-off"))
    });
    let lapsed = texts(&signs.lapsed_together(), |SimultaneousLapses { log, clients, at }| {
        let what = format!("{clients} clients exceeded their Keep Alive within 5 s from {at}");
        in_log(*log, what + ": suspect the network, not the clients")
    });
    let wills = texts(&signs.wills_at_take_over(), |WillsAtTakeOver { log, client, messages, topic }| {
        let what = format!("{client}: its Will was published {messages} times at take-overs, on {topic}");
        in_log(*log, what + ": subscribers are notified of a loss although the client is connected")
    });
    let checks = texts(&signs.health_checks(), |HealthCheck { log, host, times, every_s }| {
        in_log(*log, format!("{host} opens a connection without CONNECT every {every_s:.1} s, {times} times"))
    });
    let terms = [
        ("duel", duels),
        ("herd", herds),
        ("reconnects too fast", too_fast),
        ("Keep Alive exceeded together", lapsed),
        ("Will at take-over", wills),
        ("health check", checks),
    ];
    let terms = terms.into_iter().filter(|(_, texts)| !texts.is_empty());
    let terms: Vec<_> = terms.map(|(name, texts)| (name.to_owned(), texts)).collect();
    if terms.is_empty() {
        return Vec::new();
    }
    vec![Block::Heading("Patterns across many lines".into()), Block::Terms(terms)]
}

fn texts<T>(signs: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    signs.iter().map(text).collect()
}

fn about_duel(duel: &Duel) -> String {
    let rate = duel.per_minute().map_or_else(String::new, |rate| format!(", {rate:.1} a minute"));
    let hosts = match duel.hosts.as_slice() {
        [] => "; the log has no address".to_owned(),
        [host] => format!("; all from {host}: two processes there, or a NAT"),
        hosts => format!("; between {}", hosts.join(" and ")),
    };
    format!("{} was taken over {} times{rate}{hosts}", duel.client, duel.take_overs)
}
