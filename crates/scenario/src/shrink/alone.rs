//! A case of a scenario by itself: its steps in one list, without parameters, in one version.

use ungraceful_mqtt::{Framed, ProtocolVersion, frame};

use super::sent::sent;
use crate::model::{Action, Case, Expect, Force, Parameter, Requires, Scenario, Sending, Step};
use crate::template::{Bytes, Text, Value, read_hex, write_hex};
use crate::{parse, print};

/// The scenario with this case alone, in this version alone. It sends the same bytes and expects the same.
#[must_use]
pub fn alone(scenario: &Scenario, case: &Case, version: ProtocolVersion) -> Scenario {
    let expects = scenario.expects_of(case, version).into_iter().map(|expect| of_version(expect, version));
    let whole = Scenario {
        versions: vec![version],
        notes: String::new(),
        requires: both(scenario.requires, case.requires),
        reports: Vec::new(),
        steps: scenario.steps_of(case).iter().flat_map(packet_by_packet).collect(),
        expects: expects.collect(),
        cases: vec![Case { name: case.name.clone(), parameters: case.parameters.clone(), ..Case::only() }],
        ..scenario.clone()
    };
    without_parameters(whole)
}

/// The expectation with the statement of this version, if it has one.
fn of_version(expect: &Expect, version: ProtocolVersion) -> Expect {
    let force = match &expect.force {
        Force::Must(all) => {
            let own: Vec<_> = all.iter().filter(|statement| statement.version == version).copied().collect();
            Force::Must(if own.is_empty() { all.clone() } else { own })
        }
        other => other.clone(),
    };
    Expect { force, versions: Vec::new(), what: expect.what.clone() }
}

/// What both require.
fn both(one: Requires, other: Requires) -> Requires {
    Requires {
        retain_available: other.retain_available.or(one.retain_available),
        wildcard_subscription_available: other
            .wildcard_subscription_available
            .or(one.wildcard_subscription_available),
        shared_subscription_available: other
            .shared_subscription_available
            .or(one.shared_subscription_available),
        subscription_identifiers_available: other
            .subscription_identifiers_available
            .or(one.subscription_identifiers_available),
        qos: other.qos.max(one.qos),
        qos_below: [other.qos_below, one.qos_below].into_iter().flatten().min(),
        maximum_packet_size: other.maximum_packet_size.or(one.maximum_packet_size),
        topic_alias: other.topic_alias.or(one.topic_alias),
    }
}

/// Bytes that hold several packets, as a step for each, which go out together nevertheless.
fn packet_by_packet(step: &Step) -> Vec<Step> {
    let Some(bytes) = literal_bytes(step).filter(|_| step.split.is_none()) else { return vec![step.clone()] };
    let mut packets: Vec<&[u8]> = Vec::new();
    let mut rest = &bytes[..];
    while let Framed::Complete(whole) = frame(rest) {
        packets.push(whole.bytes);
        rest = &rest[whole.len()..];
    }
    if !rest.is_empty() {
        packets.push(rest);
    }
    if packets.len() < 2 {
        return vec![step.clone()];
    }
    let last = packets.len() - 1;
    let of = |(index, packet): (usize, &&[u8])| Step {
        action: hex(packet),
        coalesce: step.coalesce || index < last,
        provokes: step.provokes && index == last,
        ..step.clone()
    };
    packets.iter().enumerate().map(of).collect()
}

/// What a step sends, if it is hexadecimal without variables.
pub(super) fn literal_bytes(step: &Step) -> Option<Vec<u8>> {
    let Action::Send(sending) = &step.action else { return None };
    let Sending::Bytes(Bytes::Hex(text)) = &**sending else { return None };
    read_hex(text.as_literal()?.as_bytes())
}

/// A step's action that sends these bytes.
pub(super) fn hex(bytes: &[u8]) -> Action {
    Action::Send(Box::new(Sending::Bytes(Bytes::Hex(Text::literal(&write_hex(bytes))))))
}

/// The scenario with the values of its parameters in their places, where the language allows it and the bytes stay the same.
fn without_parameters(mut scenario: Scenario) -> Scenario {
    for (name, parameter) in scenario.cases[0].parameters.clone() {
        let found = forms(&parameter).into_iter().find_map(|form| in_place(&scenario, &name, &form));
        scenario = found.unwrap_or(scenario);
    }
    if scenario.cases[0].parameters.is_empty() {
        scenario.cases = vec![Case::only()];
    }
    scenario
}

/// How a value may be written: instead of a whole string, or within one.
enum Form {
    Whole(String),
    Within(String),
}

fn forms(parameter: &Parameter) -> Vec<Form> {
    match parameter {
        Parameter::Value(Value::Number(number)) => {
            vec![Form::Whole(number.to_string()), Form::Within(number.to_string())]
        }
        Parameter::Value(Value::Switch(switch)) => vec![Form::Whole(switch.to_string())],
        Parameter::Value(Value::Bytes(_)) => Vec::new(),
        Parameter::Bytes(bytes) => match (print::quoted_bytes(bytes), bytes) {
            (quoted, Bytes::Text(_)) => vec![Form::Within(quoted.trim_matches('"').to_owned())],
            (quoted, _) => vec![Form::Whole(quoted)],
        },
    }
}

/// The scenario with the parameter written in its places; absent if that is no scenario, or another one.
fn in_place(scenario: &Scenario, name: &str, form: &Form) -> Option<Scenario> {
    let mut without = scenario.clone();
    without.cases[0].parameters.retain(|(other, _)| other != name);
    if without.cases[0].parameters.is_empty() {
        without.cases = vec![Case::only()];
    }
    let printed = print(&without);
    let text = match form {
        Form::Whole(value) => printed.replace(&format!("\"{{{name}}}\""), value),
        Form::Within(value) => printed.replace(&format!("{{{name}}}"), value),
    };
    let found = parse(&text).ok()?;
    let is_same = match (sent(scenario), sent(&found)) {
        (Ok(one), Ok(other)) => one == other,
        (one, other) => one.is_err() && other.is_err(),
    };
    is_same.then_some(found)
}
