//! Hostile texts are escaped in every format.

use proptest::prelude::*;
use ungraceful_record::run::Record;
use ungraceful_record::testing::every;
use ungraceful_report::{Context, Format, render};

use crate::fixture;

fn assert_harmless(record: &Record) {
    for format in Format::ALL {
        for width in [None, Some(40), Some(100)] {
            let shown = render(record, format, &Context { width, ..Context::default() });
            let steering = shown.chars().find(|character| character.is_control() && *character != '\n');
            assert_eq!(steering, None, "{format}: {shown:?}");
        }
    }
}

#[test]
fn a_hostile_record_shows_no_control_characters() {
    assert_harmless(&fixture::hostile());
}

#[test]
fn a_hostile_name_makes_no_html_or_extra_cell_in_markdown() {
    let shown = render(&fixture::hostile(), Format::Markdown, &Context::default());
    // Indented fenced blocks show text unescaped.
    let outside: Vec<_> = shown.lines().filter(|line| !line.starts_with("    ")).collect();
    assert!(every(&outside, |line| !line.contains("<script>")), "{shown}");
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows: Vec<_> = outside.iter().filter(|line| line.starts_with("| ")).map(|line| cells(line)).collect();
    // The cases with their header and sum, the bystanders, the resources, and the log's phrases.
    let mut tables = rows.clone();
    tables.dedup();
    assert_eq!(tables, [11, 5, 4], "{rows:?}\n{shown}");
}

/// A storm with hostile names wherever a broker or a user can choose them.
fn hostile_storm(evil: &str) -> Record {
    let mut record = fixture::storm();
    for case in &mut record.cases {
        case.case.variant = format!("{evil} {}", case.case.variant);
        let facts = std::mem::take(&mut case.facts);
        case.facts = facts
            .into_iter()
            .map(|(name, values)| {
                let values = values.into_iter().map(|(value, count)| (format!("{evil} {value}"), count));
                (format!("{evil} {name}"), values.collect())
            })
            .collect();
        let measures = std::mem::take(&mut case.measures);
        case.measures = measures.into_iter().map(|(name, of)| (format!("{evil} {name}"), of)).collect();
    }
    let measures = std::mem::take(&mut record.measures);
    record.measures = measures.into_iter().map(|(name, of)| (format!("{evil} {name}"), of)).collect();
    record
}

#[test]
fn hostile_facts_measures_and_variants_stay_in_their_cells() {
    let evil = "\u{1b}[2J|<script>`x`</script>\r\n=cmd,\"'\u{202e}";
    let record = hostile_storm(evil);
    assert_harmless(&record);
    let mut duel = fixture::duel();
    let measures = std::mem::take(&mut duel.cases[0].measures);
    duel.cases[0].measures = measures.into_iter().map(|(name, of)| (format!("{evil} {name}"), of)).collect();
    duel.cases[0].case.variant = evil.into();
    assert_harmless(&duel);
    for (record, harmless) in [(record, fixture::storm()), (duel, fixture::duel())] {
        let shown = render(&record, Format::Markdown, &Context::default());
        let outside: Vec<_> = shown.lines().filter(|line| !line.starts_with("    ")).collect();
        assert!(every(&outside, |line| !line.contains("<script>")), "{shown}");
        let written = render(&record, Format::Csv, &Context::default());
        let rows = csv::Reader::from_reader(written.as_bytes()).records().filter_map(Result::ok).count();
        assert_eq!(rows, record.cases.len());
        let json = render(&record, Format::Json, &Context::default());
        let summary: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (shown, case) in summary["cases"].as_array().unwrap().iter().zip(&record.cases) {
            assert_eq!(shown["facts"], serde_json::to_value(&case.facts).unwrap());
            assert_eq!(shown["measures"], serde_json::to_value(&case.measures).unwrap());
        }
        let columns = |record: &Record| -> Vec<usize> {
            let shown = render(record, Format::Markdown, &Context::default());
            let cells = |line: &str| line.replace("\\|", "").matches('|').count();
            let mut widths: Vec<_> = shown.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
            widths.dedup();
            widths
        };
        if record.tool.mode.as_deref() == Some("storm") {
            assert_eq!(columns(&record), columns(&harmless), "no name makes a further cell");
        }
    }
}

#[test]
fn a_hostile_name_is_one_cell_in_csv_and_one_string_in_json() {
    let record = fixture::hostile();
    let written = render(&record, Format::Csv, &Context::default());
    let mut reader = csv::Reader::from_reader(written.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), record.cases.len());
    assert!(every(&rows, |row| row.len() == header.len()));
    // Text like a formula stays unchanged: the file is data.
    assert_eq!(&rows[1][0], "=fault");

    let summary: serde_json::Value =
        serde_json::from_str(&render(&record, Format::Json, &Context::default())).unwrap();
    assert_eq!(summary["target"]["target"], *record.broker.target);
    assert_eq!(summary["cases"][1]["variant"], *record.cases[1].case.variant);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_text_shows_control_characters(text in any::<String>(), other in "\\PC*[\\x00-\\x1f\\x7f-\\x9f]+") {
        let mut record = fixture::violated();
        record.broker.name = Some(text.clone());
        let log = record.broker_log.as_mut().unwrap();
        (log.path, log.trouble, log.phrases[0].phrase) = (text.clone(), Some(other.clone()), text.clone());
        record.incomplete_because = Some(other.clone());
        record.cases[0].case.variant = other;
        record.cases[0].sequences.insert(text.clone(), 3);
        record.verdicts[1].evidence = text.clone();
        record.verdicts[1].case = Some(record.cases[0].case.clone());
        record.generator.bottlenecks.push(text);
        assert_harmless(&record);
    }
}
