//! Reads a scenario from TOML. All mistakes of a file are reported together.

mod expect;
mod packet;
mod step;
mod trial;

use toml::de::{DeTable, DeValue};
use ungraceful_mqtt::ProtocolVersion;

use crate::fields::{Fields, Mistake, Reader, bytes_of};
use crate::keys::SCENARIO;
use crate::model::{Case, Parameter, Report, Requires, Scenario};
use crate::template::{BUILT_IN, Value, is_of_name};

pub(crate) use self::trial::sample_variables;

/// Reads a scenario.
///
/// # Errors
/// Every mistake, in the order of lines.
pub fn parse(source: &str) -> Result<Scenario, Vec<Mistake>> {
    let mut reader = Reader::new(source);
    let document = match DeTable::parse(source) {
        Ok(document) => document,
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            let what = error.message().trim().replace('\n', "; ");
            reader.mistake(&at, "", format!("this is no TOML: {what}"));
            return Err(reader.mistakes);
        }
    };
    let fields = Fields::new(&mut reader, document.get_ref(), 0..0, String::new(), &SCENARIO);
    let scenario = scenario(&mut reader, &fields);
    if reader.mistakes.is_empty()
        && let Some(scenario) = &scenario
    {
        trial::try_all(&mut reader, &fields, scenario);
    }
    let mut mistakes = reader.mistakes;
    mistakes.sort();
    mistakes.dedup();
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(scenario),
        _ => Err(mistakes),
    }
}

fn scenario(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Scenario> {
    let id = required_name(reader, fields, "id");
    let about = fields.plain(reader, "about").filter(|about| !about.trim().is_empty());
    if about.is_none() {
        fields.mistake(reader, "about is missing: say in one line what the client does");
    }
    let versions = versions(reader, fields).unwrap_or_else(|| ProtocolVersion::ALL.to_vec());
    let requires = requires(reader, fields);
    let reports =
        fields.tables(reader, "report").iter().filter_map(|fields| report(reader, fields)).collect();
    let mut cases = Vec::new();
    for table in fields.tables(reader, "case") {
        let Some(case) = case(reader, &table) else { continue };
        if case.name == "all" {
            table.mistake(reader, "all stands for every case: choose another name");
        }
        if cases.iter().any(|other: &Case| other.name == case.name) {
            table.mistake(reader, format!("there is a case {} already: choose another name", case.name));
        }
        cases.push(case);
    }
    if !fields.has("case") {
        cases.push(Case::only());
    }
    let steps = step::steps(reader, fields);
    let expects = expect::expects(reader, fields);
    if !fields.has("step") && cases.iter().any(|case| case.steps.is_empty()) {
        fields.mistake(reader, "there are no steps: add [[step]] with connect or send");
    }
    Some(Scenario {
        id: id?,
        about: about?,
        notes: fields.plain(reader, "notes").unwrap_or_default(),
        versions,
        requires,
        reports,
        cases,
        steps,
        expects,
    })
}

/// A name of lower-case words with hyphens.
fn required_name(reader: &mut Reader, fields: &Fields<'_, '_>, key: &'static str) -> Option<String> {
    let Some(found) = fields.find(key) else {
        fields.mistake(reader, format!("{key} is missing: add a name of lower-case words with hyphens"));
        return None;
    };
    let name = found.plain(reader)?;
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    };
    if name.split('-').all(is_word) {
        return Some(name);
    }
    found.mistake(
        reader,
        format!("{name:?} is no name: write lower-case words with hyphens, such as \"publish-qos3\""),
    );
    None
}

/// The versions of a table; absent when it names none.
fn versions(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Vec<ProtocolVersion>> {
    let found = fields.find("versions")?;
    let words = found.words(reader)?;
    let versions: Vec<ProtocolVersion> = ProtocolVersion::ALL
        .into_iter()
        .filter(|version| words.contains(&version.to_string().as_str()))
        .collect();
    if versions.is_empty() {
        found.mistake(reader, "name a version, or leave the key out for all");
        return None;
    }
    Some(versions)
}

/// What a scenario or a case requires; nothing by default.
fn requires(reader: &mut Reader, fields: &Fields<'_, '_>) -> Requires {
    let requires = fields.find("requires").and_then(|found| found.table(reader));
    requires.map_or_else(Requires::default, |fields| requires_of(reader, &fields))
}

fn requires_of(reader: &mut Reader, fields: &Fields<'_, '_>) -> Requires {
    let qos = |number: Option<u64>| number.and_then(|number| u8::try_from(number).ok());
    Requires {
        retain_available: fields.bool(reader, "retain_available"),
        wildcard_subscription_available: fields.bool(reader, "wildcard_subscription_available"),
        shared_subscription_available: fields.bool(reader, "shared_subscription_available"),
        subscription_identifiers_available: fields.bool(reader, "subscription_identifiers_available"),
        qos: qos(fields.fixed(reader, "qos")),
        qos_below: qos(fields.fixed(reader, "qos_below")),
        maximum_packet_size: fields.bool(reader, "maximum_packet_size"),
        topic_alias: fields.bool(reader, "topic_alias"),
    }
}

fn report(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Report> {
    let (name, broker) = (fields.plain(reader, "name"), fields.plain(reader, "broker"));
    if name.is_none() || broker.is_none() {
        fields.mistake(reader, "a report has a name and the broker with its versions");
    }
    Some(Report { name: name?, broker: broker? })
}

fn case(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Case> {
    let name = required_name(reader, fields, "name");
    let versions = versions(reader, fields).unwrap_or_default();
    let requires = requires(reader, fields);
    let mut parameters = Vec::new();
    for (key, node) in fields.further() {
        let (name, path) = (key.get_ref().as_ref(), fields.path_of(key.get_ref()));
        if name.is_empty() || !name.chars().all(is_of_name) {
            let what = "a parameter is named by lower-case letters, digits and _";
            reader.mistake(&key.span(), &path, what);
        } else if BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
            reader.mistake(&key.span(), &path, "every attempt has a variable of this name: choose another");
        }
        let value = match node.get_ref() {
            DeValue::Integer(_) => match crate::fields::number_of(reader, node, &path, u64::MAX) {
                Some(crate::template::Number::Fixed(number)) => Some(Parameter::Value(Value::Number(number))),
                _ => None,
            },
            DeValue::Boolean(switch) => Some(Parameter::Value(Value::Switch(*switch))),
            _ => bytes_of(reader, node, &path).map(Parameter::Bytes),
        };
        parameters.extend(value.map(|value| (name.to_owned(), value)));
    }
    let steps = step::steps(reader, fields);
    let expects = expect::expects(reader, fields);
    Some(Case { name: name?, versions, requires, parameters, steps, expects })
}
