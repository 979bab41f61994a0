//! Known codes, causes and log lines, without reading a log.

use serde_json::json;
use ungraceful_log_causes::codes::{Code, Kind};
use ungraceful_log_causes::command::Seen;
use ungraceful_log_causes::{Cause, explain, patterns};

use super::document::{self, Block};
use super::flags::OutputFormat;
use super::json::{cause_value, print};
use super::render::{explanation_terms, list_blocks, reproduce};

/// The meaning of these codes.
pub(super) fn codes(codes: &[Code], format: OutputFormat) -> String {
    if format == OutputFormat::Json {
        let codes: Vec<_> = codes
            .iter()
            .map(|code| {
                let mut value = cause_value(code.cause, &Seen::default());
                value["code"] = code.number.into();
                value["name"] = code.name.into();
                value["of"] = code.kind.name().into();
                value
            })
            .collect();
        return print(&codes.into());
    }
    let blocks: Vec<Block> = codes
        .iter()
        .flat_map(|code| {
            let explanation = explain(code.cause);
            let number = match (code.number, code.kind) {
                (Some(number), Kind::V5 | Kind::V3) => format!("0x{number:02X} ({number}), "),
                (Some(number), Kind::Other(_)) => format!("{number}, "),
                (None, _) => String::new(),
            };
            let heading = format!("{number}{}: {}", code.kind.name(), code.name);
            let mut terms =
                vec![("cause".to_owned(), vec![format!("{}: {}", code.cause.slug(), explanation.title)])];
            terms.extend(explanation_terms(explanation, explanation.closed_by));
            terms.push(("reproduce".to_owned(), vec![reproduce(code.cause, &Seen::default())]));
            [Block::Heading(heading), Block::Terms(terms)]
        })
        .collect();
    rendered(&blocks, format)
}

/// Every known cause and log line.
pub(super) fn list(format: OutputFormat) -> String {
    if format != OutputFormat::Json {
        return rendered(&list_blocks(), format);
    }
    let causes = Cause::ALL.iter().filter(|cause| !cause.is_ordinary());
    print(&json!({
        "causes": causes.map(|cause| cause_value(*cause, &Seen::default())).collect::<Vec<_>>(),
        "lines": patterns().iter().map(|pattern| json!({
            "row": pattern.row,
            "broker": pattern.broker.slug(),
            "versions": pattern.versions,
            "effect": pattern.effect.slug(),
            "cause": pattern.cause.slug(),
            "pattern": pattern.regex,
            "example": pattern.example,
            "known_from": pattern.evidence.name(),
        })).collect::<Vec<_>>(),
    }))
}

fn rendered(blocks: &[Block], format: OutputFormat) -> String {
    if format == OutputFormat::Markdown { document::markdown(blocks) } else { document::text(blocks) }
}
