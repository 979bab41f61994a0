//! The list of faults, for people and programs.

use serde::Serialize;
use ungraceful_mqtt::statement::Statement;

use crate::document::{Block, Column, Document, Table, cell};
use crate::{Context, Format, escape, markdown, per_case, text};

/// One fault that a tool can provoke.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id in records.
    pub fault: String,
    /// The question that it answers, in one line.
    pub about: &'static str,
    /// The command that provokes it.
    pub command: String,
    /// Its variants, in the order of the run.
    pub variants: Vec<String>,
    /// The MQTT versions of its clients.
    pub versions: Vec<String>,
    /// The numbered statements that it checks, in addition to those of every run; empty when it can't violate any.
    pub statements: Vec<Statement>,
    /// Version and section of an unnumbered rule: a broker that does not serve a client that keeps it is a violation. Absent
    /// for most.
    pub without_number: Option<String>,
}

/// The faults in `format`, ending in a line end. JUnit is for verdicts; a list, which has none, is text instead.
#[must_use]
pub fn render_catalogue(entries: &[Entry], format: Format, context: &Context) -> String {
    match format {
        Format::Text | Format::Junit => text::write(&compose(entries), context),
        Format::Markdown => markdown::write(&compose(entries)),
        Format::Json => json(entries),
        Format::Csv => csv(entries),
    }
}

fn compose(entries: &[Entry]) -> Document {
    let columns = ["fault", "what it finds out", "command", "MQTT", "variants", "statements checked"];
    let rows = entries.iter().map(|entry| {
        vec![
            cell(&entry.fault),
            cell(entry.about),
            cell(&entry.command),
            cell(entry.versions.join(", ")),
            cell(entry.variants.join(", ")),
            cited(entry),
        ]
    });
    let table = Table { columns: columns.map(Column::words).into(), rows: rows.collect(), keys: 1 };
    let mut document = Document::default();
    document.push(Block::Title("Faults and the commands that provoke them".to_owned()));
    document.push(Block::Table(table));
    document.line(
        "In addition, every run checks the delivery of the bystanders' messages, and itself. Deviations from what the \
         standard only describes or allows are reported as differences, never as violations.",
    );
    document
}

/// The statements, one line per version.
fn cited(entry: &Entry) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for statement in &entry.statements {
        let version = statement.version.to_string();
        match lines.iter_mut().find(|(of, _)| *of == version) {
            Some((_, ids)) => ids.push(statement.id),
            None => lines.push((version, vec![statement.id])),
        }
    }
    let mut cell_lines: Vec<String> =
        lines.into_iter().map(|(version, ids)| format!("{version}: [{}]", ids.join("] ["))).collect();
    cell_lines
        .extend(entry.without_number.as_ref().map(|section| format!("{section} (no numbered statement)")));
    if cell_lines.is_empty() {
        return cell("none (informational)");
    }
    cell_lines
}

#[derive(Serialize)]
struct EntrySummary<'a> {
    fault: &'a str,
    about: &'a str,
    command: &'a str,
    variants: &'a [String],
    versions: &'a [String],
    statements: Vec<StatementSummary>,
    section: Option<&'a str>,
}

#[derive(Serialize)]
struct StatementSummary {
    version: String,
    id: &'static str,
    gist: &'static str,
}

fn json(entries: &[Entry]) -> String {
    let entries: Vec<EntrySummary<'_>> = entries
        .iter()
        .map(|entry| EntrySummary {
            fault: &entry.fault,
            about: entry.about,
            command: &entry.command,
            variants: &entry.variants,
            versions: &entry.versions,
            statements: entry
                .statements
                .iter()
                .map(|statement| StatementSummary {
                    version: statement.version.to_string(),
                    id: statement.id,
                    gist: statement.gist,
                })
                .collect(),
            section: entry.without_number.as_deref(),
        })
        .collect();
    escape::to_json(&entries)
}

fn csv(entries: &[Entry]) -> String {
    let header = ["fault", "about", "command", "mqtt_versions", "variants", "statements"];
    let rows = entries.iter().map(|entry| {
        let numbered = entry.statements.iter().map(ToString::to_string);
        let statements: Vec<String> = numbered.chain(entry.without_number.clone()).collect();
        let (versions, variants) = (entry.versions.join(" "), entry.variants.join(" "));
        [&entry.fault, entry.about, &entry.command, &versions, &variants, &statements.join(", ")]
            .map(str::to_owned)
    });
    let rows: Vec<[String; 6]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    per_case::write_rows(rows.iter().map(|row| row.iter().map(String::as_str).collect()))
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::statement::{V5_3_1_0_2, V5_3_2_0_2, V311_3_1_0_2};

    use super::{Entry, render_catalogue};
    use crate::{Context, Format};

    fn entries() -> [Entry; 3] {
        let entry = Entry {
            fault: "double-connect".into(),
            about: "what happens",
            command: "ungraceful-double-connect".into(),
            variants: vec!["identical".into(), "delayed".into()],
            versions: vec!["3.1.1".into(), "5.0".into()],
            statements: vec![V5_3_1_0_2, V5_3_2_0_2, V311_3_1_0_2],
            without_number: None,
        };
        let without = Entry { statements: Vec::new(), ..entry.clone() };
        let flap = Entry { fault: "flap".into(), ..without.clone() };
        [
            entry,
            flap,
            Entry { fault: "quota".into(), without_number: Some("MQTT 5.0 §4.9".to_owned()), ..without },
        ]
    }

    #[test]
    fn statements_have_their_version_and_may_be_none() {
        let text = render_catalogue(&entries(), Format::Text, &Context::default());
        assert!(text.contains("5.0: [MQTT-3.1.0-2] [MQTT-3.2.0-2]"), "{text}");
        assert!(text.contains("3.1.1: [MQTT-3.1.0-2]"), "{text}");
        assert!(text.contains("MQTT 5.0 §4.9 (no numbered statement)"), "{text}");
        assert!(text.contains("none (informational)"), "{text}");
    }

    #[test]
    fn json_and_csv_have_the_same_content() {
        let json = render_catalogue(&entries(), Format::Json, &Context::default());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["statements"][2]["version"], "3.1.1");
        assert_eq!(json[0]["variants"][1], "delayed");
        assert_eq!(json[1]["statements"].as_array().unwrap().len(), 0);
        let csv = render_catalogue(&entries(), Format::Csv, &Context::default());
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows.len(), 4);
        assert!(rows[3].ends_with(",MQTT 5.0 §4.9"), "{csv}");
        assert!(rows[1].starts_with(
            "double-connect,what happens,ungraceful-double-connect,3.1.1 5.0,identical delayed,"
        ));
    }
}
