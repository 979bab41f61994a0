//! Patterns across many lines, such as duels and herds, in words.

use ungraceful_log_causes::Cause;
use ungraceful_log_causes::story::{
    Duel, EqualLifetimes, Flapping, SimultaneousLapses, Visits, WillsAtTakeOver,
};

use super::Explained;
use super::document::Block;

/// Patterns across many lines.
pub(super) fn blocks(explained: &Explained) -> Vec<Block> {
    let terms = terms(explained);
    if terms.is_empty() {
        return Vec::new();
    }
    vec![Block::Heading("Patterns across many lines".into()), Block::Terms(terms)]
}

/// The first of each kind, in words.
pub(super) fn texts_of_each(explained: &Explained) -> Vec<String> {
    let told = |(name, texts): (String, Vec<String>)| {
        let more = if texts.len() > 1 { format!(" (and {} more)", texts.len() - 1) } else { String::new() };
        texts.into_iter().next().map(|text| format!("{name}: {text}{more}"))
    };
    terms(explained).into_iter().filter_map(told).collect()
}

fn terms(explained: &Explained) -> Vec<(String, Vec<String>)> {
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
    let (stalls, lapses): (Vec<_>, Vec<_>) =
        signs.lapsed_together().into_iter().partition(SimultaneousLapses::is_stall);
    let stalls = texts(&stalls, |stall| in_log(stall.log, about_stall(stall)));
    let lapsed = texts(&lapses, |lapsed| in_log(lapsed.log, about_lapses(lapsed)));
    let equal = texts(&signs.equal_lifetimes(), |EqualLifetimes { log, seconds, connections, of }| {
        let what = format!("{connections} of {of} lost connections had lasted {seconds} s");
        in_log(
            *log,
            what + ": suspect an idle timeout of a load balancer, proxy or NAT, or a program that always runs so long",
        )
    });
    let wills = texts(&signs.wills_at_take_over(), |WillsAtTakeOver { log, client, messages, topic }| {
        let what = format!("{client}: its Will was published {messages} times at take-overs, on {topic}");
        in_log(*log, what + ": subscribers are notified of a loss although the client is connected")
    });
    let (checks, retries): (Vec<_>, Vec<_>) = signs.visits().into_iter().partition(is_check);
    let checks = texts(&checks, |Visits { log, visitor, times, every_s, .. }| {
        in_log(
            *log,
            format!("{visitor} opens a connection without CONNECT every {every_s:.1} s, {times} times"),
        )
    });
    let retries = texts(&retries, |Visits { log, cause, visitor, times, every_s }| {
        let what = format!("{visitor} is refused ({}) every {every_s:.1} s, {times} times", cause.slug());
        in_log(*log, what + ": it tries again with nothing changed")
    });
    // What explains the most stands first.
    let terms = [
        ("broker stalled", stalls),
        ("duel", duels),
        ("always lost after the same time", equal),
        ("Keep Alive exceeded together", lapsed),
        ("herd", herds),
        ("refused again and again", retries),
        ("reconnects too fast", too_fast),
        ("Will at take-over", wills),
        ("health check", checks),
    ];
    let terms = terms.into_iter().filter(|(_, texts)| !texts.is_empty());
    terms.map(|(name, texts)| (name.to_owned(), texts)).collect()
}

fn texts<T>(signs: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    signs.iter().map(text).collect()
}

fn is_check(visits: &Visits) -> bool {
    matches!(visits.cause, Cause::BeforeConnect | Cause::NoConnect)
}

fn about_stall(stall: &SimultaneousLapses) -> String {
    let seconds = stall.silent_ms.unwrap_or(0) / 1_000;
    let saving = if stall.while_saving { " after \"Saving in-memory database\"" } else { "" };
    format!(
        "the broker logged nothing for {seconds} s{saving}; then {} clients exceeded their Keep Alive in the second from {}: the \
         broker stopped, the clients did not (a fault of the network spreads them over their Keep Alives)",
        stall.clients, stall.at
    )
}

fn about_lapses(lapses: &SimultaneousLapses) -> String {
    let SimultaneousLapses { clients, at, in_one_second, .. } = lapses;
    if *in_one_second {
        format!(
            "{clients} clients exceeded their Keep Alive in the second from {at}: suspect the broker, or its clock"
        )
    } else {
        format!(
            "{clients} clients exceeded their Keep Alive within 5 s from {at}: suspect the network, not the clients"
        )
    }
}

fn about_duel(duel: &Duel) -> String {
    let rate = duel.per_minute().map_or_else(String::new, |rate| format!(", {rate:.1} a minute"));
    let hosts = match duel.hosts.as_slice() {
        [] => "; the log has no address".to_owned(),
        [host] => {
            format!(
                "; all from {host}: two processes there, a NAT, or one client that leaves its older connection open"
            )
        }
        hosts => format!("; between {}", hosts.join(" and ")),
    };
    format!("{} was taken over {} times{rate}{hosts}", duel.client, duel.take_overs)
}
