//! What is told of a log, in each format.

use ungraceful_log_causes::scan::LINE_BYTES_MAX;
use ungraceful_log_causes::story::{CauseSummary, Incident, Rates};
use ungraceful_log_causes::{Cause, Explanation, command, explain, patterns};
use ungraceful_record::scale::{bytes, counted};

use super::document::{self, Block};
use super::flags::{Form, Look};
use super::{Explained, NAME, json, over_time, signs};

/// Everything, in the wanted format.
pub(super) fn render(told: &Explained, look: &Look) -> String {
    match look.form {
        Form::Text => document::text(&blocks(told, look)),
        Form::Markdown => document::markdown(&blocks(told, look)),
        Form::Json => json::render(told, look),
    }
}

fn blocks(told: &Explained, look: &Look) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))];
    blocks.extend(told.logs.iter().map(|log| {
        let broker = match log.broker {
            Some(broker) if look.broker.is_some() => format!("{broker}, as given"),
            Some(broker) => format!("{broker}, by its lines"),
            None => "no line is known; --broker names a broker, --list the lines that are known".to_owned(),
        };
        let lines = format!("{} of {} lines recognised", log.scanned.recognised, log.scanned.lines);
        let cut = match log.scanned.lines_cut {
            0 => String::new(),
            cut => format!(
                "; {} longer than {}, of which the rest was not looked at",
                counted(cut, "line"),
                bytes(LINE_BYTES_MAX as u64)
            ),
        };
        Block::Paragraph(format!("{}: {broker}; {lines}{cut}", log.name))
    }));
    let picture = told.story.picture();
    if let (Some(first), Some(last)) = (picture.first, picture.last) {
        blocks.push(Block::Paragraph(format!("{first} to {last}, as the log prints it")));
    }
    if picture.incidents == 0 {
        blocks.push(Block::Paragraph(
            "No incident in the lines that were looked at: nobody was disconnected ungracefully, refused or robbed of \
             messages in them. --since, --until and --client leave lines out."
                .into(),
        ));
        // What many lines tell together, such as a herd after a quiet time, is there without any incident.
        blocks.extend(signs::blocks(told));
        return blocks;
    }
    blocks.push(Block::Heading(format!("Incidents: {}", picture.incidents)));
    let causes = by_frequency(told);
    blocks.push(table_of_causes(&causes, told));
    blocks.extend(over_time::blocks(&causes, told));
    blocks.extend(signs::blocks(told));
    blocks.extend(worst_clients(told, look));
    for (cause, of_cause) in &causes {
        blocks.push(Block::Heading(format!(
            "{} ×{}: {}",
            cause.slug(),
            of_cause.incidents,
            explain(*cause).title
        )));
        blocks.push(Block::Terms(terms_of(told, *cause, of_cause)));
    }
    if told.left_out() > 0 {
        let what = format!(
            "{} incidents are counted and not kept for the list; --incidents keeps more.",
            told.left_out()
        );
        blocks.push(Block::Paragraph(what));
    }
    blocks
}

/// The causes that were seen, the most frequent first.
pub(super) fn by_frequency(told: &Explained) -> Vec<(Cause, &CauseSummary)> {
    let mut causes: Vec<(Cause, &CauseSummary)> =
        told.story.picture().causes.iter().map(|(cause, of_cause)| (*cause, of_cause)).collect();
    causes.sort_by(|one, other| other.1.incidents.cmp(&one.1.incidents).then(one.0.cmp(&other.0)));
    causes
}

fn table_of_causes(causes: &[(Cause, &CauseSummary)], whole: &Explained) -> Block {
    let time = |time: Option<_>| {
        time.map_or_else(
            || "–".to_owned(),
            |time: ungraceful_log_causes::timestamp::LogTime| time.to_string(),
        )
    };
    let rows = causes.iter().map(|(cause, told)| {
        let effects: Vec<String> =
            told.effects.iter().map(|(effect, count)| format!("{} {count}", effect_words(*effect))).collect();
        vec![
            cause.slug().to_owned(),
            told.incidents.to_string(),
            effects.join(", "),
            time(told.first),
            time(told.last),
            busiest(&whole.story.picture().rates, *cause),
        ]
    });
    Block::Table {
        head: vec!["cause", "incidents", "connections", "first", "last", "most at once"],
        numbers: vec![1],
        rows: rows.collect(),
    }
}

const fn effect_words(effect: ungraceful_log_causes::Effect) -> &'static str {
    use ungraceful_log_causes::Effect;
    match effect {
        Effect::Ended | Effect::Tail => "ended",
        Effect::Refused => "refused",
        Effect::Lives => "live on",
        Effect::Sign
        | Effect::Aside
        | Effect::Behind
        | Effect::Accepted
        | Effect::Connected
        | Effect::Left => "of the broker",
    }
}

/// The cell of time with the most incidents.
fn busiest(rates: &Rates, cause: Cause) -> String {
    let most = rates.of(cause).into_iter().max().unwrap_or(0);
    if most == 0 { "–".to_owned() } else { format!("{most} in {} s", rates.cell_s) }
}

fn worst_clients(told: &Explained, look: &Look) -> Vec<Block> {
    let worst = told.story.worst_clients(look.top);
    if worst.is_empty() {
        return Vec::new();
    }
    let rows = worst.iter().map(|client| {
        let causes: Vec<String> =
            client.causes.iter().map(|(cause, count)| format!("{} ×{count}", cause.slug())).collect();
        vec![
            told.log_name(client.log)
                .map_or_else(|| client.client.clone(), |log| format!("{} ({log})", client.client)),
            client.incidents.to_string(),
            client.connects.to_string(),
            client.address.clone().unwrap_or_else(|| "–".into()),
            causes.join(", "),
        ]
    });
    let table = Block::Table {
        head: vec!["client", "incidents", "connects", "last address", "causes"],
        numbers: vec![1, 2],
        rows: rows.collect(),
    };
    let mut blocks = vec![Block::Heading("Worst clients".into()), table];
    let (known, others) = told.story.clients_known();
    if others > 0 {
        let what = format!(
            "{others} incidents were of clients beyond the first {known}; --clients-max tells more apart."
        );
        blocks.push(Block::Paragraph(what));
    }
    blocks
}

fn terms_of(told: &Explained, cause: Cause, of_cause: &CauseSummary) -> Vec<(String, Vec<String>)> {
    let mut terms = explanation_terms(explain(cause));
    let seen = told.story.picture().seen(cause);
    terms.push(("provoke".to_owned(), vec![provoke(cause, &seen)]));
    if let Some((shortest, longest)) = of_cause.lasted_ms {
        let what = format!("{} s to {} s from connect to end", seconds(shortest), seconds(longest));
        terms.push(("lasted".to_owned(), vec![what]));
    }
    terms.push((
        "seen".to_owned(),
        of_cause.examples.iter().map(|incident| line_about(incident, told.log_name(incident.log))).collect(),
    ));
    terms
}

/// What is known of a cause, but for its command.
pub(super) fn explanation_terms(told: &Explanation) -> Vec<(String, Vec<String>)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut standard: Vec<String> =
        told.standard.iter().map(|statement| format!("{statement} {}", statement.gist)).collect();
    standard.extend((!told.standard_prose.is_empty()).then(|| told.standard_prose.to_owned()));
    let terms = [
        ("who closed", vec![told.closed_by.words().to_owned()]),
        ("standard", standard),
        ("behind it", texts(told.behind)),
        ("tell apart", texts(told.tell_apart)),
        ("cure, client", texts(told.cure_client)),
        ("cure, broker", texts(told.cure_broker)),
    ];
    terms
        .into_iter()
        .filter(|(_, texts)| !texts.is_empty())
        .map(|(name, texts)| (name.to_owned(), texts))
        .collect()
}

/// The command, or what else provokes the cause.
pub(super) fn provoke(cause: Cause, seen: &command::Seen) -> String {
    match command::words(cause, seen) {
        Ok(words) => ungraceful_report::shell_command(&words),
        Err(what) => format!("no tool of ours does it yet; {what}"),
    }
}

/// One incident in one line; `log` is the name of its log where there are several.
pub(super) fn line_about(incident: &Incident, log: Option<&str>) -> String {
    let mut parts = Vec::new();
    parts.extend(incident.time.map(|time| time.to_string()));
    let of = log.map_or_else(String::new, |log| format!(" of {log}"));
    parts.push(format!("line {}{of}", incident.line));
    parts.push(incident.client.clone().unwrap_or_else(|| "no ClientID".to_owned()));
    parts.extend(incident.address.as_ref().map(|address| format!("at {address}")));
    parts.extend(incident.version.map(|version| format!("MQTT {version}")));
    parts.extend(incident.keep_alive_s.map(|seconds| format!("Keep Alive {seconds} s")));
    parts.extend(incident.connected_for_ms.map(|ms| format!("after {} s", seconds(ms))));
    format!("{}: {}", parts.join(", "), incident.text)
}

#[expect(clippy::cast_precision_loss, reason = "times of a log are far below 2^53 ms")]
fn seconds(ms: i64) -> String {
    if ms % 1_000 == 0 { (ms / 1_000).to_string() } else { format!("{:.1}", ms as f64 / 1_000.0) }
}

/// Every cause and every known line.
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
