//! Scenarios as JSON lines with all bytes in hexadecimal, for a client that knows nothing of packets: a line for each case and version.
//!
//! `scripts/check-scenarios` carries them out with plain sockets, to confirm what a run saw. Bytes that depend on what the broker
//! sends have placeholders: `{id}` stands for the captured value, two bytes of a Packet Identifier or one of a Reason Code.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use ungraceful_flags::Wanted;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_scenario::Scenario;
use ungraceful_scenario::encode::Context;
use ungraceful_scenario::model::{Action, End, Field, Step, WaitFor};
use ungraceful_scenario::template::{Number, Random, Unresolved, Value, Variables, write_hex};

use super::ScenarioFault;

/// In topics and ClientIDs: a client replaces it by as many other letters, so that no two attempts share a topic or a session.
const TOKEN: &str = "RUNTOKEN";
/// The most bytes of one line, in all steps: longer cases are left to the runs themselves.
const LINE_BYTES_MAX: usize = 8 << 20;
/// Values that a captured Packet Identifier, or Reason Code, has while bytes are made. Each byte differs between the two.
const STAND_INS: [u64; 2] = [0xE5A7, 0x1A58];

/// The flag that prints these lines.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AsHex {
    /// Print what each case sends as hexadecimal (a JSON object per line), for clients of your own, with these credentials
    /// if any, and exit
    #[arg(long, value_name = "USER:PASSWORD", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    hex: Option<String>,
}

impl AsHex {
    /// Whether the flag is given.
    pub(crate) const fn is_given(&self) -> bool {
        self.hex.is_some()
    }

    /// The lines; absent without the flag, and when no scenario has such a case.
    pub(crate) fn lines(&self, scenarios: &[Arc<Scenario>], wanted: &Wanted) -> Option<String> {
        let credentials = self.hex.as_ref()?.split_once(':');
        let lines = lines(scenarios, &wanted.versions, credentials);
        (!lines.is_empty()).then(|| lines.join("\n") + "\n")
    }
}

/// A line for each case in each of these versions.
pub(super) fn lines(
    scenarios: &[Arc<Scenario>],
    versions: &[ProtocolVersion],
    credentials: Option<(&str, &str)>,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for scenario in scenarios {
        for (index, case) in scenario.cases.iter().enumerate() {
            for version in scenario.versions_of(case) {
                if versions.contains(&version) {
                    let fault = ScenarioFault::new(scenario, index, version);
                    lines.push(line(&fault, lines.len(), credentials).to_string());
                }
            }
        }
    }
    lines
}

fn line(fault: &ScenarioFault, number: usize, credentials: Option<(&str, &str)>) -> Json {
    let mut line = json!({
        "scenario": fault.scenario.id,
        "case": fault.of_case().name,
        "version": fault.version.to_string(),
        "token": TOKEN,
        "clients": fault.clients,
        "expects": fault.expects,
    });
    let written = |seed| Writer::new(fault, number, credentials, seed).and_then(Writer::steps);
    match written(1) {
        Ok(writer) => {
            line["topic"] = text_of(&writer.variables, "topic");
            line["will"] = text_of(&writer.variables, "will");
            line["random"] = json!(written(2).is_ok_and(|other| other.done != writer.done));
            line["steps"] = Json::Array(writer.done);
        }
        Err(why) => line["needs"] = json!(format!("run time: {why}")),
    }
    line
}

fn text_of(variables: &Variables, name: &str) -> Json {
    match variables.get(name) {
        Some(Value::Bytes(bytes)) => json!(String::from_utf8_lossy(bytes)),
        _ => Json::Null,
    }
}

/// Writes the steps of a case.
struct Writer<'a> {
    fault: &'a ScenarioFault,
    number: usize,
    credentials: Option<(&'a str, &'a str)>,
    variables: Variables,
    /// Captured numbers, each with how many bytes a packet has of it.
    captured: Vec<(String, usize)>,
    random: Random,
    bytes: usize,
    done: Vec<Json>,
}

/// Why a line can't be written before it is carried out.
type Written<T> = Result<T, Unresolved>;

impl<'a> Writer<'a> {
    fn new(
        fault: &'a ScenarioFault,
        number: usize,
        credentials: Option<(&'a str, &'a str)>,
        seed: u64,
    ) -> Written<Self> {
        let text = |text: String| Value::Bytes(text.into_bytes());
        let topic = format!("ungraceful/check/{TOKEN}/{number}");
        // Not below the topic, as in a run: a client that subscribes to all below it does not receive the Will.
        let will = format!("ungraceful/check/will/{TOKEN}/{number}");
        let first = text(client_id(number, 0));
        let mut variables = Variables::from([
            ("will".to_owned(), text(will)),
            ("topic".to_owned(), text(topic)),
            ("first_client_id".to_owned(), first.clone()),
            ("client_id".to_owned(), first),
        ]);
        let mut random = Random::new(seed);
        variables.extend(fault.of_case().variables(&variables, &mut random)?);
        Ok(Self {
            fault,
            number,
            credentials,
            variables,
            captured: Vec::new(),
            random,
            bytes: 0,
            done: Vec::new(),
        })
    }

    fn steps(mut self) -> Written<Self> {
        let steps = Arc::clone(&self.fault.steps);
        for (index, step) in steps.iter().enumerate() {
            self.step(step)?;
            if let Some(last) = self.done.last_mut().filter(|_| index == self.fault.provoking) {
                last["provokes"] = json!(true);
            }
        }
        Ok(self)
    }

    fn step(&mut self, step: &Step) -> Written<()> {
        let client = self.fault.clients.iter().position(|name| *name == step.client).unwrap_or(0);
        let mut written = Map::from_iter([("client".to_owned(), json!(step.client))]);
        let mut put = |key: &str, value: Json| written.insert(key.to_owned(), value);
        match &step.action {
            Action::Open => put("open", json!(true)),
            Action::Connect(packet) => put("connect", self.hex(client, |it| it.packet(packet))?),
            Action::Send(sending) => put("send", self.hex(client, |it| it.bytes(sending))?),
            Action::WaitFor(wait) => {
                let wait = self.wait(wait)?;
                put("wait_for", wait)
            }
            Action::Pause(time) => put("pause_ms", json!(time.as_millis())),
            Action::Repeat(times, steps) => return self.repeat(times, steps),
            Action::End(end) => match end {
                End::Fin => put("end", json!("fin")),
                End::Rst => put("end", json!("rst")),
                End::HalfClose => put("end", json!("half_close")),
                End::StopReading => put("end", json!("stop_reading")),
                End::Disconnect(packet) => {
                    put("send", self.hex(client, |it| it.packet(packet))?);
                    put("end", json!("fin"))
                }
            },
        };
        if let Some(split) = &step.split {
            put("split", json!(self.value(split)?));
        }
        for (key, is_so) in [("coalesce", step.coalesce), ("provokes", step.provokes)] {
            if is_so {
                put(key, json!(true));
            }
        }
        self.done.push(Json::Object(written));
        Ok(())
    }

    fn repeat(&mut self, times: &Number, steps: &[Step]) -> Written<()> {
        for n in 0..self.value(times)? {
            self.variables.insert("n".to_owned(), Value::Number(n));
            for step in steps {
                self.step(step)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, wait: &WaitFor) -> Written<Json> {
        for (name, field) in &wait.capture {
            let width = match field {
                Field::PacketIdentifier => 2,
                Field::ReasonCode => 1,
                // Their length is not known.
                Field::Topic | Field::Payload => continue,
            };
            self.variables.insert(name.clone(), stand_in(STAND_INS[0], width));
            self.captured.push((name.clone(), width));
        }
        let capture: Map<String, Json> =
            wait.capture.iter().map(|(name, field)| (name.clone(), json!(field.name()))).collect();
        Ok(json!({
            "packet": wait.packet.name(),
            "times": self.value(&wait.times)?,
            "capture": capture,
            "within_ms": wait.within.map(|within| within.as_millis()),
            "required": wait.required,
        }))
    }

    fn value(&self, number: &Number) -> Written<u64> {
        number.value(&self.variables, 1_000_000)
    }

    /// The bytes that a client sends, with placeholders for what was captured.
    fn hex(&mut self, client: usize, make: impl Fn(&mut Context) -> Written<Vec<u8>>) -> Written<Json> {
        let mut context = self.context(client);
        let bytes = make(&mut context)?;
        self.bytes += bytes.len();
        if self.bytes > LINE_BYTES_MAX {
            return Err(Unresolved::TooLong { max: LINE_BYTES_MAX });
        }
        let mut placeholders = Vec::new();
        for (name, width) in &self.captured {
            let mut other = self.context(client);
            other.variables.insert(name.clone(), stand_in(STAND_INS[1], *width));
            let other = make(&mut other)?;
            let differing: Vec<usize> =
                (0..bytes.len().max(other.len())).filter(|at| bytes.get(*at) != other.get(*at)).collect();
            match differing.as_slice() {
                [] => {}
                [first, .., last] if *width == 2 && last - first == 1 => {
                    placeholders.push((*first, *width, name.as_str()));
                }
                [only] if *width == 1 => placeholders.push((*only, *width, name.as_str())),
                // In several places, or not as itself: written in decimal, or with a difference.
                _ => return Err(Unresolved::Unknown(name.clone())),
            }
        }
        placeholders.sort_unstable();
        self.random = context.random;
        let (mut text, mut from) = (Vec::new(), 0);
        for (at, width, name) in placeholders {
            text.push(write_hex(&bytes[from..at]));
            text.push(format!("{{{name}}}"));
            from = at + width;
        }
        text.push(write_hex(&bytes[from..]));
        text.retain(|part| !part.is_empty());
        Ok(json!(text.join(" ")))
    }

    fn context(&self, client: usize) -> Context {
        let mut variables = self.variables.clone();
        variables.insert("client_id".to_owned(), Value::Bytes(client_id(self.number, client).into_bytes()));
        let credential = |text: &str| text.as_bytes().to_vec();
        Context {
            version: self.fault.version,
            variables,
            user_name: self.credentials.map(|(user_name, _)| credential(user_name)),
            password: self.credentials.map(|(_, password)| credential(password)),
            will_qos: 1,
            random: self.random.clone(),
        }
    }
}

/// A ClientID of at most 23 letters and digits, which every broker takes.
fn client_id(number: usize, client: usize) -> String {
    format!("hex{TOKEN}{number}c{client}")
}

/// What a captured number of so many bytes is while bytes are made.
const fn stand_in(value: u64, width: usize) -> Value {
    Value::Number(if width == 1 { value & 0xFF } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::catalogue;

    fn lines_of(pattern: &str) -> Vec<Json> {
        let scenarios: Vec<Arc<Scenario>> =
            catalogue::matching(pattern).into_iter().map(|entry| Arc::clone(&entry.scenario)).collect();
        let both = Wanted { versions: ProtocolVersion::ALL.to_vec(), are_named: false };
        let lines = AsHex { hex: Some(String::new()) }.lines(&scenarios, &both).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_bytes_of_each_step_and_the_expectations() {
        let line = &lines_of("publish-qos3")[0];
        assert_eq!(
            (&line["scenario"], &line["topic"]),
            (&json!("publish-qos3"), &json!("ungraceful/check/RUNTOKEN/0"))
        );
        assert!(line["steps"][0]["connect"].as_str().unwrap().starts_with("10 "), "{line}");
        let provoking = line["steps"].as_array().unwrap().iter().find(|step| step["provokes"] == true);
        assert!(provoking.unwrap()["send"].as_str().unwrap().starts_with("36 "), "{line}");
        assert!(!line["expects"].as_array().unwrap().is_empty(), "{line}");
    }

    #[test]
    fn a_captured_packet_identifier_is_a_placeholder() {
        let line = &lines_of("puback-bad-reason")[0];
        let sent: Vec<&str> =
            line["steps"].as_array().unwrap().iter().filter_map(|step| step["send"].as_str()).collect();
        assert_eq!(sent.last(), Some(&"40 03 {id} 01"), "{line}");
    }

    #[test]
    fn every_line_of_the_catalogue_has_its_own_topic_and_a_provoking_step() {
        let lines = lines_of("*");
        let topics: std::collections::BTreeSet<&str> =
            lines.iter().filter_map(|line| line["topic"].as_str()).collect();
        // Those that exceed a limit which only a CONNACK announces.
        let (without, with): (Vec<&Json>, Vec<&Json>) =
            lines.iter().partition(|line| line["needs"].is_string());
        assert!(without.len() < 10, "{without:?}");
        assert_eq!(topics.len(), with.len());
        let provoking =
            |line: &&&Json| line["steps"].as_array().unwrap().iter().any(|step| step["provokes"] == true);
        assert_eq!(with.iter().filter(provoking).count(), with.len());
    }
}
