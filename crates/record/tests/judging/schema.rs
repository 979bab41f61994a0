//! The published JSON Schemas of `run.json` and of events are those that this code writes.

use std::path::PathBuf;

use serde_json::Value;
use ungraceful_record::event;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Record, json_schema};

use ungraceful_record::testing::{case, empty_record};

/// Compares a schema with its file in `docs/reference`, or writes it there.
#[expect(clippy::unwrap_used, reason = "what can't be had ends the test")]
fn assert_published(file: &str, schema: &Value) {
    let current = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &current).unwrap();
    }
    let read = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        read == current,
        "docs/reference/{file} differs from the code: regenerate it with `UPDATE_REFERENCE=1 cargo test -p \
         ungraceful-record schema`, and raise the version of the format when a reader must know"
    );
}

#[test]
fn the_published_schema_of_run_json_is_up_to_date() {
    assert_published("run.schema.json", &json_schema());
}

#[test]
fn the_published_schema_of_events_is_up_to_date() {
    assert_published("events.schema.json", &event::json_schema());
}

#[test]
fn the_schema_of_events_knows_each_event_by_its_name() {
    let validator = jsonschema::validator_for(&event::json_schema()).unwrap();
    let line = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let note = r#"{"event":"note","at_us":7,"time":"2026-01-02T03:04:05.000006Z","text":"one"}"#;
    assert!(validator.is_valid(&line(note)));
    for other in
        [note.replace("note", "second"), note.replace("note", "end"), note.replace(r#","text":"one""#, "")]
    {
        assert!(!validator.is_valid(&line(&other)), "{other}");
    }
}

#[test]
fn a_record_survives_a_round_trip_through_json() {
    let mut record = empty_record();
    let mut closed = case("double-connect", "identical", "5.0", &[(Outcome::Closed, 3)]);
    // Integer keys are text in JSON.
    closed.disconnect_codes.insert(0x82, 3);
    closed.examples.insert("DISCONNECT 0x82, FIN".into(), vec![0, 1, 2]);
    record.cases = vec![closed];
    record.host.port_range = Some((32_768, 60_999));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn a_record_matches_the_published_schema() {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let record = serde_json::to_value(empty_record()).unwrap();
    let errors: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    let mut without_seed = record;
    without_seed.as_object_mut().unwrap().remove("seed");
    assert!(!validator.is_valid(&without_seed), "the schema asks for what a record has");
}
