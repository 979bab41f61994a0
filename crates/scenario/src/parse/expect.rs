//! Expectations.

use toml::de::DeValue;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{self, Statement};
use ungraceful_record::expectation::{Expected, Publication};

use crate::fields::{Fields, Found, Reader};
use crate::model::{Expect, Force};
use crate::parse::{step, versions};
use crate::template::Number;

const EXPECTED: &[&str] =
    &["closes", "stays", "disconnect", "connack", "answers", "receives", "will", "delivers"];
const FORCES: &[&str] = &["must", "should", "may", "prose"];

/// The expectations of a table.
pub(super) fn expects(reader: &mut Reader, fields: &Fields<'_, '_>) -> Vec<Expect> {
    let tables = fields.tables(reader, "expect");
    tables.iter().filter_map(|fields| expect(reader, fields)).collect()
}

fn expect(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Expect> {
    let versions = versions(reader, fields).unwrap_or_default();
    let what = expected(reader, fields);
    let force = force(reader, fields);
    Some(Expect { what: what?, force: force?, versions })
}

fn expected(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Expected> {
    let name = fields.only_one_of(reader, EXPECTED)?;
    let found = fields.find(name)?;
    match name {
        "closes" | "stays" => {
            if !found.bool(reader)? {
                let other = if name == "closes" { "stays" } else { "closes" };
                found.mistake(reader, format!("write {other} = true for the opposite"));
                return None;
            }
            Some(if name == "closes" { Expected::Closes } else { Expected::Stays })
        }
        "disconnect" => codes(reader, &found).map(Expected::Disconnect),
        "connack" => codes(reader, &found).map(Expected::Connack),
        "answers" => answers(reader, &found),
        "receives" => found.plains(reader).map(Expected::Receives),
        "will" => Some(Expected::Will(match found.word(reader)? {
            "published" => Publication::Published,
            _ => Publication::Withheld,
        })),
        _ => {
            let table = found.table(reader)?;
            let client = step::client(reader, &table);
            let Some(count) = table.fixed(reader, "count") else {
                table.mistake(reader, "count is missing: how many messages the client receives");
                return None;
            };
            Some(Expected::Delivers { client, count })
        }
    }
}

/// Codes, each of one byte.
fn codes(reader: &mut Reader, found: &Found<'_, '_>) -> Option<Vec<u8>> {
    let numbers = found.numbers(reader)?;
    let codes: Option<Vec<u8>> = numbers
        .iter()
        .map(|number| match number {
            Number::Fixed(code) => u8::try_from(*code).ok(),
            Number::Variable(..) => None,
        })
        .collect();
    if codes.as_ref().is_none_or(Vec::is_empty) {
        found.mistake(reader, "list codes as numbers, such as [0x81, 0x82]");
        return None;
    }
    codes
}

fn answers(reader: &mut Reader, found: &Found<'_, '_>) -> Option<Expected> {
    if found.is_string() {
        return Some(Expected::Answers { packet: found.word(reader)?.to_owned(), codes: Vec::new() });
    }
    let table = found.table(reader)?;
    let packet = table.find("packet").and_then(|found| found.word(reader));
    if packet.is_none() && !table.has("packet") {
        table.mistake(reader, "packet is missing: the answer, such as \"SUBACK\"");
    }
    let codes = match table.find("codes") {
        Some(found) => codes(reader, &found)?,
        None => Vec::new(),
    };
    if packet == Some("PINGRESP") && !codes.is_empty() {
        table.mistake(reader, "PINGRESP has no codes: leave them out");
    }
    Some(Expected::Answers { packet: packet?.to_owned(), codes })
}

fn force(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Force> {
    let present: Vec<&str> = FORCES.iter().copied().filter(|name| fields.has(name)).collect();
    match present[..] {
        ["must"] => {
            let statements = statements(reader, &fields.find("must")?);
            (!statements.is_empty()).then_some(Force::Must(statements))
        }
        ["should"] => fields.plain(reader, "should").map(Force::Should),
        ["may"] => fields.plain(reader, "may").map(Force::May),
        ["prose"] => fields.plain(reader, "prose").map(Force::Prose),
        [] => {
            let what = "say how strongly it is demanded: must = \"MQTT-…\", or should, may or prose = \"where it stands\"";
            fields.mistake(reader, what);
            None
        }
        _ => {
            fields.mistake(reader, format!("{} exclude each other: keep one", present.join(" and ")));
            None
        }
    }
}

/// The statements of `must`: one for all versions that have it, or one for each version.
fn statements(reader: &mut Reader, found: &Found<'_, '_>) -> Vec<Statement> {
    match found.node.get_ref() {
        DeValue::String(id) => {
            let of_versions: Vec<Statement> =
                ProtocolVersion::ALL.into_iter().filter_map(|version| statement::find(version, id)).collect();
            match of_versions[..] {
                [] => found.mistake(reader, unknown(id)),
                [_] => {}
                [..] => {
                    let what = format!(
                        "both versions number their statements alike and mean different things: write {{ v5 = {id:?} }}, \
                         {{ v311 = {id:?} }} or both"
                    );
                    found.mistake(reader, what);
                }
            }
            of_versions
        }
        DeValue::Table(table) => {
            let mut all = Vec::new();
            for (key, node) in table {
                let version = match key.get_ref().as_ref() {
                    "v5" => ProtocolVersion::V5,
                    "v311" => ProtocolVersion::V3_1_1,
                    other => {
                        let path = format!("{}.{other}", found.path);
                        reader.mistake(&key.span(), &path, "unknown key; the keys are v5 and v311");
                        continue;
                    }
                };
                let id = node.get_ref().as_str().unwrap_or_default();
                match statement::find(version, id) {
                    Some(statement) => all.push(statement),
                    None => {
                        let path = format!("{}.{}", found.path, key.get_ref());
                        reader.mistake(&node.span(), &path, unknown(id));
                    }
                }
            }
            all
        }
        _ => {
            found.wrong::<()>(reader);
            Vec::new()
        }
    }
}

fn unknown(id: &str) -> String {
    format!(
        "statement {id:?} is unknown: write its number as in the standard, such as \"MQTT-3.1.0-2\"; `ungraceful reference \
         statements` lists them all"
    )
}
