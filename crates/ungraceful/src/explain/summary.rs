//! The first lines of a report, which are enough at night, and the lines that no pattern knows.

use std::collections::BTreeSet;

use ungraceful_log_causes::explain;
use ungraceful_log_causes::scan::LINE_BYTES_MAX;
use ungraceful_record::scale::{bytes, counted};

use super::document::Block;
use super::flags::Options;
use super::render::{by_frequency, reproduce};
use super::{Explained, Log, signs};

/// Worst clients, and causes, in the summary.
const NAMES_MAX: usize = 3;
/// Signs in the summary.
const SIGNS_MAX: usize = 2;
/// Shapes of unknown lines that are shown.
const SHAPES_MAX: usize = 10;
/// Characters of an example.
const EXAMPLE_MAX: usize = 58;

/// What was read, what it comes to, and what to do next.
pub(super) fn blocks(explained: &Explained, options: &Options) -> Vec<Block> {
    let mut terms: Vec<(String, Vec<String>)> =
        vec![("log".to_owned(), explained.logs.iter().map(|log| about_log(log, options)).collect())];
    terms.push(("result".to_owned(), vec![result(explained, options)]));
    let causes = by_frequency(explained);
    if let Some((cause, of_cause)) = causes.first() {
        let closed_by = of_cause.closed_by(*cause).words();
        let what = format!("{}: {}; {closed_by}", cause.slug(), explain(*cause).title);
        terms.push(("mostly".to_owned(), vec![what]));
    }
    let mut told = signs::texts_of_each(explained);
    let more = told.len().saturating_sub(SIGNS_MAX);
    told.truncate(SIGNS_MAX);
    told.extend((more > 0).then(|| format!("{more} more below")));
    terms.extend((!told.is_empty()).then(|| ("signs".to_owned(), told)));
    if let Some((cause, _)) = causes.first() {
        let seen = explained.story.picture().seen(*cause);
        terms.push(("reproduce".to_owned(), vec![reproduce(*cause, &seen)]));
    }
    terms.extend(warnings(explained, options).map(|warning| ("note".to_owned(), vec![warning])));
    vec![Block::Terms(terms)]
}

fn about_log(log: &Log, options: &Options) -> String {
    let broker = match log.broker {
        Some(broker) if options.broker.is_some() => format!("{broker} (--broker)"),
        Some(broker) => format!("{broker} (detected)"),
        None if log.scanned.insignificant > 0 => "no line tells of a client".to_owned(),
        None => "no line is known".to_owned(),
    };
    let coverage = match (log.events(), log.scanned.recognised) {
        (0, _) => "none looks like an event".to_owned(),
        (events, recognised) => format!("recognised {recognised} of {events} that look like events"),
    };
    let parts = match log.parts.len() {
        0 | 1 => String::new(),
        parts => format!(" and {}", counted(parts as u64 - 1, "older file")),
    };
    format!("{}{parts}: {broker}; {}, {coverage}", log.name, counted(log.scanned.lines, "line"))
}

fn result(explained: &Explained, options: &Options) -> String {
    let picture = explained.story.picture();
    let (recognised, events) = explained.coverage();
    let unknown = events - recognised;
    let insignificant: u64 = explained.logs.iter().map(|log| log.scanned.insignificant).sum();
    if recognised == 0 && unknown == 0 && insignificant > 0 {
        return format!(
            "no line tells of a client or its connection, and {} known to mean nothing for them: either nothing happened, or the log is \
             at a level that does not tell",
            if insignificant == 1 { "1 line is".to_owned() } else { format!("{insignificant} lines are") }
        );
    }
    if recognised == 0 {
        let trouble = match unknown {
            0 => String::new(),
            lines => format!(
                ", and {} of trouble",
                if lines == 1 { "1 line tells".to_owned() } else { format!("{lines} lines tell") }
            ),
        };
        return format!(
            "no line of this log is known{trouble}: nothing can be said about its clients. Is it the log of a broker or a client, at a \
             level that tells of connections? --list prints the known lines"
        );
    }
    if let Some(why) = explained.lacks_its_time(options) {
        return why;
    }
    if let Some(client) = options.limits.client.as_ref().filter(|_| explained.lacks_its_client(options)) {
        let like = explained.story.clients_like(client);
        let like =
            if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(" or ")) };
        return format!("no recognised line names the client {client}{like}");
    }
    let span = match (picture.first, picture.last) {
        (Some(first), Some(last)) if first == last => format!("; at {first}"),
        (Some(first), Some(last)) => format!("; from {first} to {last}"),
        _ => String::new(),
    };
    if picture.incidents == 0 {
        let but = match unknown {
            0 => String::new(),
            1 => ", but 1 line tells of trouble and is not known".to_owned(),
            lines => format!(", but {lines} lines tell of trouble and are not known"),
        };
        let lines = match options.limits.is_limited() {
            true => "recognised lines that the limits leave".to_owned(),
            false => counted(recognised, "recognised line"),
        };
        return format!("no incident in the {lines}{but}{span}");
    }
    let causes = by_frequency(explained);
    let mut named: Vec<String> = causes
        .iter()
        .take(NAMES_MAX)
        .map(|(cause, of_cause)| format!("{} ×{}", cause.slug(), of_cause.incidents))
        .collect();
    named.extend(
        (causes.len() > NAMES_MAX).then(|| counted((causes.len() - NAMES_MAX) as u64, "other cause")),
    );
    let worst = explained.story.worst_clients(NAMES_MAX);
    let clients: Vec<String> =
        worst.iter().map(|client| format!("{} ×{}", client.client, client.incidents)).collect();
    let clients =
        if clients.is_empty() { String::new() } else { format!("; clients: {}", clients.join(", ")) };
    format!("{}: {}{clients}{span}", counted(picture.incidents, "incident"), named.join(", "))
}

fn warnings<'e>(explained: &'e Explained, options: &'e Options) -> impl Iterator<Item = String> + 'e {
    let (recognised, events) = explained.coverage();
    let low = (recognised > 0 && recognised * 2 < events).then(|| {
        format!(
            "fewer than half of the lines that look like events are known ({recognised} of {events}): the result is not to be relied on"
        )
    });
    let untimed: u64 = explained.logs.iter().map(|log| log.untimed).sum();
    let has_span = options.limits.since.is_some() || options.limits.until.is_some();
    let untimed = (has_span && untimed > 0).then(|| {
        format!(
            "{} without a time that is understood: --since and --until do not apply to such lines",
            counted(untimed, "recognised line")
        )
    });
    let cut: u64 = explained.logs.iter().map(|log| log.scanned.lines_cut).sum();
    let cut = (cut > 0).then(|| {
        format!(
            "{} longer than {}, the rest of which is ignored",
            counted(cut, "line"),
            bytes(LINE_BYTES_MAX as u64)
        )
    });
    [low, untimed, cut].into_iter().flatten()
}

/// The lines that tell of trouble and that no pattern knows, by shape.
pub(super) fn unknown_lines(explained: &Explained) -> Vec<Block> {
    let mut shapes: Vec<_> = explained
        .logs
        .iter()
        .enumerate()
        .flat_map(|(log, of)| of.unknown.iter().map(move |unknown| (log, unknown)))
        .collect();
    if shapes.is_empty() {
        return Vec::new();
    }
    let lines: u64 = explained.logs.iter().map(|log| log.scanned.unknown).sum();
    shapes.sort_by_key(|(log, unknown)| (std::cmp::Reverse(unknown.lines), *log, unknown.first));
    let rows = shapes.iter().take(SHAPES_MAX).map(|(log, unknown)| {
        let (line, name) = explained.place(*log, unknown.first);
        let example: String = unknown.example.chars().take(EXAMPLE_MAX).collect();
        let of = name.map_or_else(String::new, |name| format!(" ({name})"));
        vec![unknown.lines.to_string(), line.to_string(), example + &of]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let more = shapes.len() - rows.len();
    let rest = if more > 0 { format!(" {more} more kinds are in --format json.") } else { String::new() };
    let brokers: BTreeSet<&str> =
        explained.logs.iter().filter_map(|log| log.broker).map(|broker| broker.name()).collect();
    let whose = if brokers.is_empty() {
        "with the broker and its version".to_owned()
    } else {
        "with the broker's version".to_owned()
    };
    vec![
        Block::Heading(format!(
            "Not known: {} of trouble",
            if lines == 1 { "1 line tells".to_owned() } else { format!("{lines} lines tell") }
        )),
        Block::Table { head: vec!["lines", "first", "example"], numbers: vec![0, 1], rows },
        Block::Paragraph(format!("Read these yourself. To have them recognised, report them {whose}.{rest}")),
    ]
}
