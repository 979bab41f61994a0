//! What only many lines show: duels, herds and the like, in words.

use ungraceful_log_causes::story::{Duel, Flapping, HealthCheck, SimultaneousLapses, WillsAtTakeOver};

use super::Explained;
use super::document::Block;

/// What only many lines show.
pub(super) fn blocks(told: &Explained) -> Vec<Block> {
    let signs = &told.story.picture().signs;
    let mut terms: Vec<(String, Vec<String>)> = Vec::new();
    let mut say = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            terms.push((name.to_owned(), texts));
        }
    };
    let of = |log: usize| told.log_name(log).map_or_else(String::new, |name| format!(" ({name})"));
    let duels = signs.duels();
    say("duel", duels.iter().map(|duel| about_duel(duel) + &of(duel.log)).collect());
    let herds = signs.herds();
    say(
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
        format!("{client} was back within a second after its end {times} times: it needs a back-off{log}")
    });
    say("back too fast", about_flapping.collect());
    let lapsed = signs.lapsed_together();
    let about_lapsed = lapsed.iter().map(|lapsed| {
        let SimultaneousLapses { clients, at, .. } = lapsed;
        let log = of(lapsed.log);
        format!("{clients} clients ran past their Keep Alive within 5 s from {at}: the network between, not the clients{log}")
    });
    say("lapsed together", about_lapsed.collect());
    let wills = signs.wills_at_take_over();
    let about_wills = wills.iter().map(|wills| {
        let WillsAtTakeOver { client, messages, topic, .. } = wills;
        let log = of(wills.log);
        format!("{client}: its Will went out in {messages} messages right at its take-overs, on {topic}: subscribers hear of a loss though the client is there{log}")
    });
    say("Will at take-over", about_wills.collect());
    let checks = signs.health_checks();
    let about_checks = checks.iter().map(|check| {
        let HealthCheck { host, every_s, times, .. } = check;
        let log = of(check.log);
        format!("{host} opens a connection without CONNECT every {every_s:.1} s, {times} times{log}")
    });
    say("health check", about_checks.collect());
    if terms.is_empty() {
        return Vec::new();
    }
    vec![Block::Heading("What only many lines show".into()), Block::Terms(terms)]
}

fn about_duel(duel: &Duel) -> String {
    let rate = duel.per_minute().map_or_else(String::new, |rate| format!(", {rate:.1} a minute"));
    let hosts = match duel.hosts.as_slice() {
        [] => "; the log tells no address".to_owned(),
        [host] => format!("; all from {host}: two processes there, or a NAT"),
        hosts => format!("; between {}", hosts.join(" and ")),
    };
    format!("{} was taken over {} times{rate}{hosts}", duel.client, duel.take_overs)
}
