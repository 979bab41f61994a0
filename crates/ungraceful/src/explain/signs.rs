//! Patterns across many lines, such as duels and herds, in words.

use ungraceful_log_causes::story::{Duel, Flapping, HealthCheck, TogetherLapsed, WillsOfTakenOver};

use super::Explained;
use super::document::Block;

/// Patterns across many lines.
pub(super) fn blocks(explained: &Explained) -> Vec<Block> {
    let signs = &explained.story.picture().signs;
    let mut terms: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            terms.push((name.to_owned(), texts));
        }
    };
    let of = |log: usize| explained.log_name(log).map_or_else(String::new, |name| format!(" ({name})"));
    let duels = signs.duels();
    add("duel", duels.iter().map(|duel| about_duel(duel) + &of(duel.log)).collect());
    let herds = signs.herds();
    add(
        "herd",
        herds
            .iter()
            .map(|herd| {
                let start = if herd.after_start { ", after the broker's start" } else { "" };
                format!(
                    "{} connections in the 10 s from {}{start}{}",
                    herd.connections,
                    herd.at,
                    of(herd.log)
                )
            })
            .collect(),
    );
    let flapping = signs.flapping();
    let about_flapping = flapping.iter().map(|flapping| {
        let Flapping { client, times, .. } = flapping;
        let log = of(flapping.log);
        format!("{client} reconnected within a second {times} times: it needs a back-off{log}")
    });
    add("reconnects too fast", about_flapping.collect());
    let lapsed = signs.lapsed_together();
    let about_lapsed = lapsed.iter().map(|lapsed| {
        let TogetherLapsed { clients, at, .. } = lapsed;
        let log = of(lapsed.log);
        format!("{clients} clients exceeded their Keep Alive within 5 s from {at}: suspect the network, not the clients{log}")
    });
    add("Keep Alive exceeded together", about_lapsed.collect());
    let wills = signs.wills_of_taken_over();
    let about_wills = wills.iter().map(|wills| {
        let WillsOfTakenOver { client, messages, topic, .. } = wills;
        let log = of(wills.log);
        format!("{client}: its Will was published {messages} times at take-overs, on {topic}: subscribers are notified of a loss although the client is connected{log}")
    });
    add("Will at take-over", about_wills.collect());
    let checks = signs.health_checks();
    let about_checks = checks.iter().map(|check| {
        let HealthCheck { host, every_s, times, .. } = check;
        let log = of(check.log);
        format!("{host} opens a connection without CONNECT every {every_s:.1} s, {times} times{log}")
    });
    add("health check", about_checks.collect());
    if terms.is_empty() {
        return Vec::new();
    }
    vec![Block::Heading("Patterns across many lines".into()), Block::Terms(terms)]
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
