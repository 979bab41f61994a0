//! The published JSON Schema of scenarios is the one that this code writes, and accepts what the parser accepts.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use ungraceful_scenario::parse;
use ungraceful_scenario::reference::json_schema;

fn published() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/scenario.schema.json")
}

#[test]
fn the_published_schema_of_scenarios_is_up_to_date() {
    let current = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(published(), &current).unwrap();
    }
    assert!(
        fs::read_to_string(published()).unwrap_or_default() == current,
        "docs/reference/scenario.schema.json differs from the code: regenerate it with `UPDATE_REFERENCE=1 cargo test -p \
         ungraceful-scenario schema`"
    );
}

#[test]
fn the_schema_accepts_every_scenario_of_the_catalogue() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faults/scenarios");
    let mut files = 0;
    for family in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(family.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
            let document = serde_json::to_value(table).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 100, "{files}");
}

#[test]
fn the_schema_rejects_what_the_parser_rejects() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let with_step =
        |step: &str| format!("id = \"x\"\nabout = \"y\"\n[[step]]\n{step}\n[[step]]\nend = \"fin\"\n");
    let is_valid = |source: &str| {
        let table: toml::Table = source.parse().unwrap();
        validator.is_valid(&serde_json::to_value(table).unwrap())
    };
    assert!(is_valid(&with_step("send = { publish = { topic = \"t\" } }")));
    for step in [
        "sent = {}",
        "send = { publish = { topik = \"t\" } }",
        "send = { publish = { qos = 4 } }",
        "send = { publish = { qos = \"1\" } }",
        "pause = \"2\"",
        "end = \"close\"",
        "wait_for = \"PUBAK\"",
        "send = { publish = { properties = [{ topic_alia = 1 }] } }",
    ] {
        let source = with_step(step);
        assert!(!is_valid(&source), "{step}");
        assert!(parse(&source).is_err(), "{step}");
    }
}
