//! Whatever a broker, a user or a file says is text on the page.

use std::path::Path;

use serde_json::Value;
use ungraceful_record::run::Record;
use ungraceful_report::{render_page, render_tour_page};

use crate::paging::visible;
use crate::{fixture, touring};

const HOSTILE: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)></style></svg>{{ 7*7 }}\u{202e}\u{1b}[2J";

/// Maps of which the keys are texts of a broker or a user.
const MAPS: [&str; 14] = [
    "outcomes",
    "reactions",
    "sequences",
    "examples",
    "facts",
    "measures",
    "milestones",
    "troubles",
    "settings",
    "sys",
    "connections_lost",
    "connack_properties",
    "refused",
    "lost",
];

/// Puts the text before every string, one after the other, wherever the result is still a record. Returns how many it changed.
fn with_hostile_strings(record: &mut Record) -> usize {
    let mut value = serde_json::to_value(&*record).unwrap();
    let mut paths = Vec::new();
    strings(&value, "", &mut paths);
    let mut changed = 0;
    for path in paths {
        let text = value.pointer(&path).unwrap().as_str().unwrap().to_owned();
        *value.pointer_mut(&path).unwrap() = format!("{HOSTILE}{text}").into();
        if serde_json::from_value::<Record>(value.clone()).is_ok() {
            changed += 1;
        } else {
            *value.pointer_mut(&path).unwrap() = text.into();
        }
    }
    rename_keys(&mut value);
    *record = serde_json::from_value(value).unwrap();
    changed
}

fn strings(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                strings(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                strings(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn rename_keys(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rename_keys),
        Value::Object(fields) => {
            for (name, field) in fields {
                rename_keys(field);
                if let Value::Object(inner) = field
                    && MAPS.contains(&&**name)
                {
                    let renamed = std::mem::take(inner).into_iter();
                    // Codes are numbers.
                    *inner = renamed
                        .map(|(key, value)| match key.parse::<u8>() {
                            Ok(_) => (key, value),
                            Err(_) => (format!("{HOSTILE}{key}"), value),
                        })
                        .collect();
                }
            }
        }
        _ => {}
    }
}

fn assert_inert(page: &str) {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    for forbidden in ["<script", "<img", "onerror=alert(2)>"] {
        assert!(!head.contains(forbidden) && !body.contains(forbidden), "{forbidden} in {page}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    let steering = page
        .chars()
        .find(|character| (character.is_control() && *character != '\n') || *character == '\u{202e}');
    assert_eq!(steering, None);
    let shown = visible(page);
    assert!(
        shown.contains("<script>alert(1)</script>") && shown.contains("{{ 7*7 }}"),
        "it is shown as text"
    );
    assert!(shown.contains("\\u{202e}\\u{1b}[2J"), "and what can't be seen is visible");
}

#[test]
fn every_string_of_a_record_is_text_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("timeline.csv"),
        "second,phase,offered,reactions,bystander_response_time_us_max\n3,fault,5,6,7\n",
    )
    .unwrap();
    let kind = serde_json::json!({"kind": "other_packet", "at_us": 3_000_000, "detail": HOSTILE});
    let line = serde_json::json!({"attempt": 0, "client_id": HOSTILE, "reactions": [kind]});
    std::fs::write(folder.path().join("attempts.ndjson"), format!("{line}\n")).unwrap();
    for mut record in
        [fixture::violated(), fixture::storm(), fixture::herd(), fixture::duel(), fixture::hostile()]
    {
        let changed = with_hostile_strings(&mut record);
        assert!(changed > 25, "{changed}");
        let page = render_page(&record, folder.path());
        assert!(page.contains("Reactions of the broker by kind"));
        assert_inert(&page);
    }
}

#[test]
fn every_string_of_a_tour_is_text_on_its_page() {
    let (mut first, mut second) = (fixture::violated(), fixture::all_holds());
    assert!(with_hostile_strings(&mut first) + with_hostile_strings(&mut second) > 80);
    let mut tour = touring::tour_of([first, second]);
    tour.version = HOSTILE.into();
    let page = render_tour_page(&tour, Path::new(HOSTILE));
    assert_inert(&page);
}
