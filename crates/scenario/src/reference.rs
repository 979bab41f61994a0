//! The reference of the language and its JSON Schema, both from [`keys`](crate::keys).

use serde_json::{Map, Value, json};

use crate::fields::describe;
use crate::keys::{Key, SCENARIO, Shape, TABLES, Table, property_keys};
use crate::model::Field;
use crate::template::BUILT_IN;

/// The reference as Markdown, below a heading of the second level for each table.
#[must_use]
pub fn markdown() -> Vec<String> {
    let mut paragraphs = Vec::new();
    for table in TABLES {
        let title = if std::ptr::eq(*table, &SCENARIO) { "A scenario" } else { table.name };
        paragraphs.push(format!("## {title}"));
        paragraphs.push(table.about.to_owned());
        let rows =
            table.keys.iter().map(|key| [format!("`{}`", key.name), shapes(key), key.about.to_owned()]);
        paragraphs.push(rows_of(["key", "value", "meaning"], rows));
    }
    paragraphs.push("## Variables".to_owned());
    paragraphs.push(
        "`{name}` in a text stands for a variable, and `\"{name}\"`, `\"{name} + 1\"` or `\"{name} - 1\"` for a number. `{{` is a \
         brace. Besides the parameters of the case and what `capture` keeps, these exist:"
            .to_owned(),
    );
    paragraphs.push(rows_of(
        ["variable", "meaning"],
        BUILT_IN.iter().map(|(name, about)| [format!("`{name}`"), (*about).to_owned()]),
    ));
    paragraphs.push("## Bytes".to_owned());
    paragraphs.push(
        "Bytes are text (its UTF-8), `{ hex = \"C3 28\" }`, `{ repeat = \"a/\", times = 200 }`, `{ random = 1000 }` (the same bytes \
         for the same seed of a run), or a list of these, one after the other."
            .to_owned(),
    );
    paragraphs.push("## Properties".to_owned());
    paragraphs.push(
        "A list of tables with one key each, in the order in which they are sent; any property may stand in any packet, any number \
         of times. MQTT 3.1.1 has no properties: they are left out."
            .to_owned(),
    );
    paragraphs.push(rows_of(
        ["key", "value"],
        property_keys().into_iter().map(|(name, value)| [format!("`{name}`"), value.to_owned()]),
    ));
    let fields: Vec<String> = Field::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
    paragraphs.push("## Fields".to_owned());
    paragraphs.push(format!("What `capture` can keep of a packet: {}.", fields.join(", ")));
    paragraphs
}

fn shapes(key: &Key) -> String {
    key.shapes.iter().map(describe).collect::<Vec<_>>().join(", or ").replace('"', "`")
}

fn rows_of<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let heads = [line(heads.map(str::to_owned).to_vec()), line(vec!["---".to_owned(); N])];
    let rows = rows.map(|cells| line(cells.map(|cell| cell.replace('|', "\\|")).to_vec()));
    heads.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// The JSON Schema of a scenario, for editors that complete and check TOML.
#[must_use]
pub fn json_schema() -> Value {
    let definitions: Map<String, Value> = TABLES
        .iter()
        .map(|table| (name_of(table), object(table)))
        .chain([bytes(), properties(), statement()])
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario of ungraceful",
        "$ref": format!("#/$defs/{}", name_of(&SCENARIO)),
        "$defs": definitions,
    })
}

fn name_of(table: &Table) -> String {
    table.name.replace(", ", "_")
}

fn object(table: &Table) -> Value {
    let has_parameters = table.keys.iter().any(|key| matches!(key.shapes, [Shape::Parameters]));
    let keys = table.keys.iter().filter(|key| !matches!(key.shapes, [Shape::Parameters]));
    let keys: Map<String, Value> = keys.map(|key| (key.name.to_owned(), value_of(key))).collect();
    json!({
        "type": "object",
        "description": table.about,
        "properties": keys,
        "additionalProperties": has_parameters,
    })
}

fn value_of(key: &Key) -> Value {
    let mut shapes: Vec<Value> = key.shapes.iter().map(shape).collect();
    let mut value = match shapes.len() {
        1 => shapes.remove(0),
        _ => json!({ "anyOf": shapes }),
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("description".to_owned(), Value::from(key.about));
    }
    value
}

fn refers_to(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn shape(shape: &Shape) -> Value {
    /// A variable in place of a number or a switch.
    const VARIABLE: &str = r"^\s*\{[a-z0-9_]+\}\s*([+-]\s*[0-9]+)?\s*$";
    let number = |max: &u64| {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": max },
            { "type": "string", "pattern": VARIABLE },
        ] })
    };
    match shape {
        Shape::Plain | Shape::Hex => json!({ "type": "string" }),
        Shape::Plains => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Words(words) => json!({ "type": "array", "items": { "type": "string", "enum": words } }),
        Shape::Bytes => refers_to("bytes"),
        Shape::Number(max) => number(max),
        Shape::Numbers(max) => json!({ "type": "array", "items": number(max) }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Switch => {
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": VARIABLE }] })
        }
        Shape::Time => json!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|min)$" }),
        Shape::Table(table) => refers_to(&name_of(table)),
        Shape::Tables(table) if table.name == "filters" => {
            json!({ "type": "array", "items": { "anyOf": [refers_to("bytes"), refers_to("filters")] } })
        }
        Shape::Tables(table) => json!({ "type": "array", "items": refers_to(&name_of(table)) }),
        Shape::Properties => json!({ "type": "array", "items": refers_to("property") }),
        Shape::Capture => {
            let fields: Vec<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
            json!({ "type": "object", "additionalProperties": { "type": "string", "enum": fields } })
        }
        Shape::Statement => refers_to("statement"),
        Shape::Parameters => json!(true),
    }
}

fn bytes() -> (String, Value) {
    let part = refers_to("bytes");
    let of = |required: &[&str], keys: Value| json!({ "type": "object", "properties": keys, "required": required, "additionalProperties": false });
    let shapes = [
        json!({ "type": "string" }),
        of(&["hex"], json!({ "hex": { "type": "string" } })),
        of(&["repeat", "times"], json!({ "repeat": { "type": "string" }, "times": true })),
        of(&["random"], json!({ "random": true })),
        json!({ "type": "array", "items": part }),
    ];
    ("bytes".to_owned(), json!({ "anyOf": shapes }))
}

fn properties() -> (String, Value) {
    let keys: Map<String, Value> = property_keys()
        .into_iter()
        .map(|(name, about)| (name.to_owned(), json!({ "description": about })))
        .collect();
    let property = json!({
        "type": "object",
        "properties": keys,
        "minProperties": 1,
        "maxProperties": 2,
        "additionalProperties": false,
    });
    ("property".to_owned(), property)
}

fn statement() -> (String, Value) {
    let number = json!({ "type": "string", "pattern": "^(MQTT-)?[0-9]+\\.[0-9]+\\.[0-9]+-[0-9]+$" });
    let each = json!({
        "type": "object",
        "properties": { "v5": number, "v311": number },
        "minProperties": 1,
        "additionalProperties": false,
    });
    ("statement".to_owned(), json!({ "anyOf": [number, each] }))
}
