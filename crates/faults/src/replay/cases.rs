//! A file of cases: tests of a broker as data, one JSON object a line, each carried out as a case of a scenario.
//!
//! This module reads the lines; [`steps`] makes the steps of a scenario out of those of a line.

mod fields;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ungraceful_flags::Mistake;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::expectation::Expected;
use ungraceful_record::scale::counted;
use ungraceful_rig::run::input_file;
use ungraceful_scenario::Scenario;
use ungraceful_scenario::label::in_a_row;
use ungraceful_scenario::model::{Case, Expect, Force, Requires};

use self::fields::{Fields, Mistakes};
use self::steps::Steps;

/// The flag that names the file.
pub(super) const CASES: &str = "--cases";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 32 << 20;
/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The most rows.
const ROWS_MAX: usize = 10_000;
/// The most steps of a row.
const STEPS_MAX: usize = 1_000;
/// The longest text that names something, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The most mistakes that are reported.
const MISTAKES_MAX: usize = 50;

/// The keys of a row.
const ROW: &[&str] = &["version", "connected_first", "steps", "then", "file", "group", "name"];

/// The scenarios of a file of cases: one for each group of rows.
///
/// # Errors
/// Every mistake in the file.
pub(super) fn read(file: &Path) -> Result<Vec<Scenario>, Vec<Mistake>> {
    let one = |what: String| vec![Mistake::new(CASES, what)];
    let bytes = input_file::whole(file, FILE_BYTES_MAX).map_err(one)?;
    let name = file.display();
    let text = String::from_utf8(bytes).map_err(|_error| one(format!("{name} is no UTF-8")))?;
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    of_text(&text, &file_name).map_err(|found| {
        found.into_iter().map(|found| Mistake::new(CASES, format!("{name}, {found}"))).collect()
    })
}

/// The scenarios of a text; `file_name` is where the expectations come from.
///
/// # Errors
/// Every mistake, in the order of lines, at most [`MISTAKES_MAX`] and the number of others.
fn of_text(text: &str, file_name: &str) -> Result<Vec<Scenario>, Vec<String>> {
    let mut mistakes = Mistakes::default();
    let mut groups = Groups::default();
    let mut rows = 0;
    for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
        rows += 1;
        if rows > ROWS_MAX {
            mistakes.add(line, "", format!("only {ROWS_MAX} rows are read: split the file"));
            break;
        }
        if let Some(row) = Row::read(line, row, &mut mistakes) {
            groups.add(row, &format!("as recorded in {file_name}, line {line}"), file_name);
        }
    }
    if rows == 0 {
        mistakes.add(1, "", "the file has no rows: write a JSON object a line");
    }
    let found = mistakes.in_words(MISTAKES_MAX);
    if found.is_empty() { Ok(groups.scenarios) } else { Err(found) }
}

/// A line of the file.
struct Row {
    version: ProtocolVersion,
    file: String,
    group: String,
    name: String,
    closes: bool,
    steps: Steps,
}

impl Row {
    /// Reads a line; absent when it has a mistake.
    fn read(line: usize, text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        if text.len() > LINE_BYTES_MAX {
            let what = format!("the line is longer than {}", counted(LINE_BYTES_MAX as u64, "byte"));
            mistakes.add(line, "", format!("{what}: split the row"));
            return None;
        }
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                mistakes.add(line, "", format!("this is no JSON: {error}; write one object a line"));
                return None;
            }
        };
        let before = mistakes.count();
        let row = Fields::of(&value, (line, ""), ROW, mistakes)?;
        let version = row.word("version", &["3.1", "3.1.1", "5.0"], mistakes);
        let connected_first = row.switch("connected_first", mistakes);
        let then = row.word("then", &["closed", "open"], mistakes);
        let name = |key: &'static str, mistakes: &mut Mistakes| {
            let name = row.text(key, mistakes)?;
            if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
                row.mistake(key, format!("write 1 to {NAME_BYTES_MAX} bytes"), mistakes);
                return None;
            }
            Some(name.to_owned())
        };
        let (file, group, name) = (name("file", mistakes), name("group", mistakes), name("name", mistakes));
        let mut steps = Steps::new(version? == "3.1", protocol_version(version?));
        if connected_first? {
            steps.connect_first();
        }
        let list = row.list("steps", mistakes)?;
        if list.len() > STEPS_MAX {
            row.mistake("steps", format!("only {STEPS_MAX} steps are read: split the row"), mistakes);
            return None;
        }
        for (index, step) in list.iter().enumerate() {
            steps.add(step, (line, &format!("steps[{}]", index + 1)), mistakes);
        }
        if !steps.provoke() && before == mistakes.count() {
            let what = "the client does nothing: add a step with send, or set connected_first to true";
            row.mistake("steps", what, mistakes);
        }
        if before != mistakes.count() {
            return None;
        }
        let closes = then? == "closed";
        Some(Self { version: steps.version, file: file?, group: group?, name: name?, closes, steps })
    }

    /// What the file expects, by its own word.
    fn expects(&mut self, by: &str) -> Vec<Expect> {
        let expect = |what| Expect { what, force: Force::Prose(by.to_owned()), versions: Vec::new() };
        let mut expects = vec![expect(if self.closes { Expected::Closes } else { Expected::Stays })];
        if let Some(answers) = self.steps.answers() {
            expects.push(expect(Expected::Receives(in_a_row(&answers))));
        }
        expects
    }
}

/// MQTT 3.1 has the packets of 3.1.1.
fn protocol_version(version: &str) -> ProtocolVersion {
    if version == "5.0" { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 }
}

/// The scenarios so far, and the names of their cases.
#[derive(Default)]
struct Groups {
    scenarios: Vec<Scenario>,
    /// By id, the index of the scenario.
    by_id: BTreeMap<String, usize>,
    names: BTreeSet<(usize, String)>,
    /// How often the same words named a case of a scenario.
    times: BTreeMap<(usize, String), usize>,
}

impl Groups {
    fn add(&mut self, mut row: Row, by: &str, file_name: &str) {
        let id = words_of(&format!("{} {}", row.file, row.group), "cases");
        let scenarios = &mut self.scenarios;
        let index = *self.by_id.entry(id.clone()).or_insert_with(|| {
            scenarios.push(Scenario {
                id,
                about: format!("Cases of {} in {file_name}", one_line(&row.group)),
                notes: String::new(),
                versions: Vec::new(),
                requires: Requires::default(),
                reports: Vec::new(),
                cases: Vec::new(),
                steps: Vec::new(),
                expects: Vec::new(),
            });
            scenarios.len() - 1
        });
        let name = self.unique(index, &words_of(&row.name, "case"));
        let expects = row.expects(by);
        let scenario = &mut self.scenarios[index];
        if !scenario.versions.contains(&row.version) {
            scenario.versions.push(row.version);
            scenario.versions.sort();
        }
        scenario.cases.push(Case {
            requires: Requires::default(),
            name,
            versions: vec![row.version],
            parameters: Vec::new(),
            steps: row.steps.into_steps(),
            expects,
        });
    }

    /// The name, with a number if the scenario has it already.
    fn unique(&mut self, index: usize, words: &str) -> String {
        let times = self.times.entry((index, words.to_owned())).or_default();
        loop {
            *times += 1;
            let name = if *times == 1 { words.to_owned() } else { format!("{words}-{times}") };
            if self.names.insert((index, name.clone())) {
                return name;
            }
        }
    }
}

/// The letters and digits of a text as lower-case words with hyphens, or `otherwise` if it has none.
fn words_of(text: &str, otherwise: &str) -> String {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join("-") }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
