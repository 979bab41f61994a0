//! The result in each format.

use ungraceful_log_causes::story::{CauseSummary, Incident};
use ungraceful_log_causes::timestamp::LogTime;
use ungraceful_log_causes::{Cause, Closer, Explanation, command, explain, patterns};

use super::document::{self, Block};
use super::flags::{Options, OutputFormat};
use super::{Explained, json, over_time, signs, summary};

/// The result in the selected format.
pub(super) fn render(explained: &Explained, options: &Options) -> String {
    match options.format {
        OutputFormat::Text => document::text(&blocks(explained, options)),
        OutputFormat::Markdown => document::markdown(&blocks(explained, options)),
        OutputFormat::Json => json::render(explained, options),
    }
}

fn blocks(explained: &Explained, options: &Options) -> Vec<Block> {
    let mut blocks = summary::blocks(explained, options);
    let picture = explained.story.picture();
    if picture.incidents == 0 {
        // Patterns across lines, such as a herd, need no incident.
        blocks.extend(signs::blocks(explained));
        blocks.extend(summary::unknown_lines(explained));
        return blocks;
    }
    blocks.push(Block::Heading(format!("Incidents: {}", picture.incidents)));
    let causes = by_frequency(explained);
    blocks.push(table_of_causes(&causes));
    blocks.extend(over_time::blocks(&causes, explained));
    blocks.extend(signs::blocks(explained));
    blocks.extend(worst_clients(explained, options));
    for (cause, of_cause) in &causes {
        blocks.push(Block::Heading(format!(
            "{} ×{}: {}",
            cause.slug(),
            of_cause.incidents,
            explain(*cause).title
        )));
        blocks.push(Block::Terms(terms_of(explained, *cause, of_cause)));
    }
    if explained.left_out() > 0 {
        let what = format!(
            "{} incidents are counted but not listed; raise --incidents to list them.",
            explained.left_out()
        );
        blocks.push(Block::Paragraph(what));
    }
    blocks.extend(summary::unknown_lines(explained));
    blocks
}

/// The causes of all incidents, the most frequent first.
pub(super) fn by_frequency(explained: &Explained) -> Vec<(Cause, &CauseSummary)> {
    let mut causes: Vec<(Cause, &CauseSummary)> =
        explained.story.picture().causes.iter().map(|(cause, of_cause)| (*cause, of_cause)).collect();
    causes.sort_by(|one, other| other.1.incidents.cmp(&one.1.incidents).then(one.0.cmp(&other.0)));
    causes
}

fn table_of_causes(causes: &[(Cause, &CauseSummary)]) -> Block {
    let time = |time: Option<LogTime>| time.map_or_else(|| "–".to_owned(), |time| time.to_string());
    let rows = causes.iter().map(|(cause, of_cause)| {
        let mut effects = of_cause.effects.clone();
        effects.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let effects: Vec<String> =
            effects.iter().map(|(effect, count)| format!("{} {count}", effect_words(*effect))).collect();
        vec![
            cause.slug().to_owned(),
            of_cause.incidents.to_string(),
            shortened(&effects, 1),
            time(of_cause.first),
        ]
    });
    Block::Table {
        head: vec!["cause", "incidents", "connections", "first"],
        numbers: vec![1],
        rows: rows.collect(),
    }
}

/// The first texts, and how many more there are: a table fits a terminal, and JSON has all.
fn shortened(texts: &[String], count: usize) -> String {
    let mut shown = texts[..count.min(texts.len())].to_vec();
    if let Some(more @ 1..) = texts.len().checked_sub(count) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

const fn effect_words(effect: ungraceful_log_causes::Effect) -> &'static str {
    use ungraceful_log_causes::Effect;
    match effect {
        Effect::Ended | Effect::Tail => "ended",
        Effect::Refused => "refused",
        Effect::Lives => "stayed open",
        Effect::Sign
        | Effect::Aside
        | Effect::Behind
        | Effect::Accepted
        | Effect::Connected
        | Effect::Left => "broker event",
    }
}

fn worst_clients(explained: &Explained, options: &Options) -> Vec<Block> {
    let worst = explained.story.worst_clients(options.top);
    if worst.is_empty() {
        return Vec::new();
    }
    let rows = worst.iter().map(|client| {
        let causes: Vec<String> =
            client.causes.iter().map(|(cause, count)| format!("{} ×{count}", cause.slug())).collect();
        vec![
            explained
                .log_name(client.log)
                .map_or_else(|| client.client.clone(), |log| format!("{} ({log})", client.client)),
            client.incidents.to_string(),
            client.address.clone().unwrap_or_else(|| "–".into()),
            shortened(&causes, 2),
        ]
    });
    let table = Block::Table {
        head: vec!["client", "incidents", "last address", "causes"],
        numbers: vec![1],
        rows: rows.collect(),
    };
    let mut blocks = vec![Block::Heading("Worst clients".into()), table];
    let (known, others) = explained.story.clients_known();
    if others > 0 {
        let what = format!(
            "{others} incidents belong to clients beyond the first {known}; raise --clients-max to track more."
        );
        blocks.push(Block::Paragraph(what));
    }
    blocks
}

fn terms_of(explained: &Explained, cause: Cause, of_cause: &CauseSummary) -> Vec<(String, Vec<String>)> {
    let mut terms = explanation_terms(explain(cause), of_cause.closed_by(cause));
    let seen = explained.story.picture().seen(cause);
    terms.push(("reproduce".to_owned(), vec![reproduce(cause, &seen)]));
    if let Some((shortest, longest)) = of_cause.lasted_ms {
        let what = match shortest == longest {
            true => format!("{} s from connect to end", seconds(shortest)),
            false => format!("{} s to {} s from connect to end", seconds(shortest), seconds(longest)),
        };
        terms.push(("lasted".to_owned(), vec![what]));
    }
    terms.push((
        "seen".to_owned(),
        of_cause
            .examples
            .iter()
            .map(|incident| line_about(incident, explained.place(incident.log, incident.line)))
            .collect(),
    ));
    terms
}

/// The explanation of a cause, without its command.
pub(super) fn explanation_terms(explanation: &Explanation, closed_by: Closer) -> Vec<(String, Vec<String>)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut standard: Vec<String> =
        explanation.standard.iter().map(|statement| format!("{statement} {}", statement.gist)).collect();
    standard.extend((!explanation.standard_prose.is_empty()).then(|| explanation.standard_prose.to_owned()));
    let terms = [
        ("closed by", vec![closed_by.words().to_owned()]),
        ("standard", standard),
        ("usual reasons", texts(explanation.behind)),
        ("distinguish", texts(explanation.tell_apart)),
        ("fix, client", texts(explanation.cure_client)),
        ("fix, broker", texts(explanation.cure_broker)),
    ];
    terms
        .into_iter()
        .filter(|(_, texts)| !texts.is_empty())
        .map(|(name, texts)| (name.to_owned(), texts))
        .collect()
}

/// The command that reproduces the cause, or what else does.
pub(super) fn reproduce(cause: Cause, seen: &command::Seen) -> String {
    match command::words(cause, seen) {
        Ok(words) => ungraceful_report::shell_command(&words),
        Err(what) => format!("no tool does it; {what}"),
    }
}

/// An incident in one line, with its place: the line in its file, and the file's name if there are several.
pub(super) fn line_about(incident: &Incident, (line, log): (u64, Option<&str>)) -> String {
    let mut parts = Vec::new();
    parts.extend(incident.time.map(|time| time.to_string()));
    let of = log.map_or_else(String::new, |log| format!(" of {log}"));
    parts.push(format!("line {line}{of}"));
    parts.push(incident.client.clone().unwrap_or_else(|| "no ClientID".to_owned()));
    parts.extend(incident.address.as_ref().map(|address| format!("at {address}")));
    parts.extend(incident.version.map(|version| format!("MQTT {version}")));
    parts.extend(incident.keep_alive_s.map(|seconds| format!("Keep Alive {seconds} s")));
    parts.extend(incident.connected_for_ms.map(|ms| format!("after {} s", seconds(ms))));
    parts.extend((incident.occurrences > 1).then(|| format!("{} times", incident.occurrences)));
    format!("{}: {}", parts.join(", "), incident.text)
}

#[expect(clippy::cast_precision_loss, reason = "times of a log are far below 2^53 ms")]
fn seconds(ms: i64) -> String {
    if ms % 1_000 == 0 { (ms / 1_000).to_string() } else { format!("{:.1}", ms as f64 / 1_000.0) }
}

/// Every known cause and log line.
pub(super) fn list_blocks() -> Vec<Block> {
    let causes = Cause::ALL.iter().filter(|cause| !cause.is_ordinary());
    let rows = causes.map(|cause| {
        let lines = patterns().iter().filter(|pattern| pattern.cause == *cause).count();
        vec![cause.slug().to_owned(), lines.to_string(), explain(*cause).title.to_owned()]
    });
    let lines = patterns().iter().map(|pattern| {
        vec![
            pattern.broker.slug().to_owned(),
            pattern.versions.to_owned(),
            pattern.cause.slug().to_owned(),
            pattern.evidence.name().to_owned(),
            pattern.example.to_owned(),
        ]
    });
    vec![
        Block::Heading("Causes".into()),
        Block::Table {
            head: vec!["cause", "lines", "what happened"],
            numbers: vec![1],
            rows: rows.collect(),
        },
        Block::Heading("Lines".into()),
        Block::Table {
            head: vec!["broker", "versions", "cause", "known from", "example"],
            numbers: vec![],
            rows: lines.collect(),
        },
    ]
}
