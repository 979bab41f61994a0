//! Tries every case of a scenario that was read: whether its variables exist and its packets can be made, and whether its
//! expectations make sense.

use std::collections::BTreeSet;

use ungraceful_mqtt::{PacketType, ProtocolVersion};
use ungraceful_record::expectation::Expected;

use crate::encode::Context;
use crate::fields::{Fields, Reader};
use crate::model::{
    Action, Body, CLIENTS_MAX, Case, End, Expect, Field, Force, Scenario, Sending, Step, provoking_step,
};
use crate::template::{Bytes, Random, Text, Value, Variables};

/// Adds a mistake for everything that no run could carry out.
pub(super) fn try_all(reader: &mut Reader, fields: &Fields<'_, '_>, scenario: &Scenario) {
    let mut seen = BTreeSet::new();
    for case in &scenario.cases {
        for version in scenario.versions_of(case) {
            let mut trial = Trial { version, variables: sample_variables(), clients: BTreeSet::new() };
            if let Err(what) = trial.case(scenario, case) {
                let place = format!("case {}, MQTT {version}: {what}", case.name);
                if seen.insert(what) {
                    fields.mistake(reader, place);
                }
            }
        }
        if scenario.versions_of(case).is_empty() {
            fields.mistake(
                reader,
                format!("case {}: no version is left; it must be one of the scenario's", case.name),
            );
        }
    }
}

struct Trial {
    version: ProtocolVersion,
    variables: Variables,
    clients: BTreeSet<String>,
}

/// Values as a run gives them.
pub(crate) fn sample_variables() -> Variables {
    let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    Variables::from([
        ("topic".to_owned(), text("ungraceful/1/c1")),
        ("will".to_owned(), text("ungraceful/1/will/c1")),
        ("client_id".to_owned(), text("c1")),
        ("first_client_id".to_owned(), text("c1")),
        ("n".to_owned(), Value::Number(0)),
        ("receive_maximum".to_owned(), Value::Number(20)),
        ("maximum_packet_size".to_owned(), Value::Number(10_000)),
        ("topic_alias_maximum".to_owned(), Value::Number(10)),
    ])
}

impl Trial {
    fn case(&mut self, scenario: &Scenario, case: &Case) -> Result<(), String> {
        let mut random = Random::new(0);
        let parameters = case.variables(&self.variables, &mut random).map_err(|why| why.to_string())?;
        self.variables.extend(parameters);
        let (steps, expects) = (scenario.steps_of(case), scenario.expects_of(case, self.version));
        if let Some((step, _)) =
            steps.iter().zip(1..).find(|(step, _)| step.coalesce && is_last(step, &steps))
        {
            return Err(format!("client {}: coalesce needs a later step that sends", step.client));
        }
        self.steps(&steps, "step")?;
        if self.clients.len() > CLIENTS_MAX {
            return Err(format!("{} clients: a scenario has at most {CLIENTS_MAX}", self.clients.len()));
        }
        if provoking_step(&steps).is_none() {
            return Err("no step sends, opens or ends anything, so nothing provokes the broker".to_owned());
        }
        if steps.iter().filter(|step| step.provokes).count() > 1 {
            return Err("several steps provoke: keep one".to_owned());
        }
        self.expects(&expects)?;
        if expects.iter().any(|expect| matches!(expect.what, Expected::Will(_))) {
            will_is_watched(&steps)?;
        }
        let stays = expects.iter().any(|expect| expect.what == Expected::Stays);
        if stays && !is_connected_when_provoked(&steps) {
            return Err(
                "stays: the client has ended its connection, or never sent CONNECT, before the provoking step".to_owned()
            );
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step], path: &str) -> Result<(), String> {
        for (step, number) in steps.iter().zip(1..) {
            self.clients.insert(step.client.clone());
            let place = format!("{path} {number}");
            self.step(step, &place)
                .map_err(|what| if what.starts_with(path) { what } else { format!("{place}: {what}") })?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, place: &str) -> Result<(), String> {
        let mut context = self.context();
        let made = match &step.action {
            Action::Connect(packet) => context.packet(packet).map(drop),
            Action::Send(sending) => context.bytes(sending).map(drop),
            Action::End(End::Disconnect(packet)) => context.packet(packet).map(drop),
            Action::WaitFor(wait) => {
                for (name, field) in &wait.capture {
                    let value = match field {
                        Field::PacketIdentifier | Field::ReasonCode => Value::Number(1),
                        Field::Topic | Field::Payload => Value::Bytes(Vec::new()),
                    };
                    self.variables.insert(name.clone(), value);
                }
                Ok(())
            }
            Action::Repeat(times, steps) => {
                times.value(&self.variables, 1_000_000).map_err(|why| why.to_string())?;
                return self.steps(steps, place);
            }
            Action::Open | Action::Pause(_) | Action::End(_) => Ok(()),
        };
        made.map_err(|why| why.to_string())?;
        match step.split.as_ref().map(|split| split.value(&self.variables, u16::MAX.into())) {
            Some(Ok(0)) => Err("split = 0 sends nothing: write at least 1".to_owned()),
            Some(Err(why)) => Err(why.to_string()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn context(&self) -> Context {
        Context {
            version: self.version,
            variables: self.variables.clone(),
            user_name: None,
            password: None,
            will_qos: 1,
            random: Random::new(0),
        }
    }

    fn expects(&self, expects: &[&Expect]) -> Result<(), String> {
        let mut kinds = BTreeSet::new();
        for expect in expects {
            let kind = match &expect.what {
                Expected::Closes => "closes".to_owned(),
                Expected::Stays => "stays".to_owned(),
                Expected::Disconnect(_) => "disconnect".to_owned(),
                Expected::Connack(_) => "connack".to_owned(),
                Expected::Answers { .. } => "answers".to_owned(),
                Expected::Receives(_) => "receives".to_owned(),
                Expected::Will(_) => "will".to_owned(),
                Expected::Delivers { client, .. } if !self.clients.contains(client) => {
                    return Err(format!("no step has the client {client} of delivers"));
                }
                Expected::Delivers { .. } => "delivers".to_owned(),
            };
            if !kinds.insert(kind.clone()) {
                return Err(format!(
                    "{kind} is expected twice in one version: use versions to tell them apart"
                ));
            }
            let may_be_violated = matches!(expect.force, Force::Must(_));
            if may_be_violated && matches!(expect.what, Expected::Disconnect(_) | Expected::Receives(_)) {
                return Err(format!("{kind} is no MUST: use may or prose"));
            }
        }
        if kinds.contains("closes") && kinds.contains("stays") {
            return Err("closes and stays exclude each other".to_owned());
        }
        Ok(())
    }
}

/// The witness waits for a Will at its own topic alone.
fn will_is_watched(steps: &[Step]) -> Result<(), String> {
    let connects = steps.iter().filter_map(|step| match &step.action {
        Action::Connect(packet) => Some(&**packet),
        Action::Send(sending) => match &**sending {
            Sending::Packet(packet) => Some(&**packet),
            Sending::Bytes(_) => None,
        },
        _ => None,
    });
    let wills = connects.filter_map(|packet| match &packet.body {
        Body::Connect(connect) => connect.will.as_ref(),
        _ => None,
    });
    let topics: Vec<_> = wills.map(|will| &will.topic).collect();
    let is_watched = |topic: &Option<Bytes>| {
        topic.as_ref().is_none_or(|topic| *topic == Bytes::Text(Text::variable("will")))
    };
    match topics.iter().any(|topic| is_watched(topic)) {
        true => Ok(()),
        false if topics.is_empty() => Err("will: no CONNECT of a step has a Will".to_owned()),
        false => {
            Err("will: the witness waits at the topic {will}: leave out the topic of the Will".to_owned())
        }
    }
}

/// Whether the client of the provoking step has a connection on which it has sent CONNECT.
fn is_connected_when_provoked(steps: &[Step]) -> bool {
    let Some(provoking) = provoking_step(steps) else { return false };
    let client = &steps[provoking].client;
    let of_client = steps[..=provoking].iter().filter(|step| step.client == *client);
    of_client.fold(false, |is_connected, step| match &step.action {
        Action::Connect(_) => true,
        Action::Open | Action::End(_) => false,
        Action::Send(sending) => match &**sending {
            // They may be a CONNECT.
            Sending::Bytes(_) => true,
            Sending::Packet(packet) => match packet.body.packet_type() {
                PacketType::Connect => true,
                PacketType::Disconnect => false,
                _ => is_connected,
            },
        },
        // Its steps may do anything.
        Action::Repeat(..) => true,
        Action::WaitFor(_) | Action::Pause(_) => is_connected,
    })
}

/// Whether no later step of the same client sends.
fn is_last(step: &Step, steps: &[Step]) -> bool {
    let at = steps.iter().position(|other| std::ptr::eq(other, step)).unwrap_or(usize::MAX);
    !steps
        .iter()
        .skip(at + 1)
        .any(|later| later.client == step.client && matches!(later.action, Action::Send(_)))
}
