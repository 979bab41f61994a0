//! What is known without any log: codes, causes, lines.

use serde_json::json;
use ungraceful_log_causes::codes::Code;
use ungraceful_log_causes::command::Seen;
use ungraceful_log_causes::{Cause, explain, patterns};

use super::document::{self, Block};
use super::flags::Form;
use super::json::{cause_value, print};
use super::telling::{explanation_terms, list_blocks, provoke};

/// What these codes mean.
pub(super) fn codes(codes: &[Code], form: Form) -> String {
    if form == Form::Json {
        let codes: Vec<_> = codes
            .iter()
            .map(|code| {
                let mut value = cause_value(code.cause, &Seen::default());
                value["code"] = code.byte.into();
                value["name"] = code.name.into();
                value["protocol_version"] = version(code).into();
                value
            })
            .collect();
        return print(&codes.into());
    }
    let blocks: Vec<Block> = codes
        .iter()
        .flat_map(|code| {
            let told = explain(code.cause);
            let heading =
                format!("0x{:02X} ({}), MQTT {}: {}", code.byte, code.byte, version(code), code.name);
            let mut terms =
                vec![("cause".to_owned(), vec![format!("{}: {}", code.cause.slug(), told.title)])];
            terms.extend(explanation_terms(told));
            terms.push(("provoke".to_owned(), vec![provoke(code.cause, &Seen::default())]));
            [Block::Heading(heading), Block::Terms(terms)]
        })
        .collect();
    shown(&blocks, form)
}

const fn version(code: &Code) -> &'static str {
    if code.is_v3 { "3.1.1" } else { "5.0" }
}

/// Every cause and every line that is known.
pub(super) fn list(form: Form) -> String {
    if form != Form::Json {
        return shown(&list_blocks(), form);
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

fn shown(blocks: &[Block], form: Form) -> String {
    if form == Form::Markdown { document::markdown(blocks) } else { document::text(blocks) }
}
