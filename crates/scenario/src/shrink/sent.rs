//! What a scenario sends, with sample values for what only an attempt knows.

use ungraceful_mqtt::ProtocolVersion;

use crate::encode::Context;
use crate::model::{Action, End, Field, Scenario, Step};
use crate::parse::sample_variables;
use crate::template::{BYTES_MAX, Random, Unresolved, Value};

/// What a client does to its connection in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// The client.
    pub(super) client: String,
    /// The index of the step, of those of the scenario.
    pub(super) step: usize,
    /// The bytes; empty where it only opens or ends the connection.
    pub(super) bytes: Vec<u8>,
    /// Whether it opens a new connection first.
    pub(super) opens: bool,
    /// Whether it ends the connection afterwards.
    pub(super) ends: bool,
}

/// What the only case sends in the only version of this scenario.
///
/// # Errors
/// [`Unresolved`], where it needs what only a broker says.
pub(super) fn sent(scenario: &Scenario) -> Result<Vec<Sent>, Unresolved> {
    let version = scenario.versions.first().copied().unwrap_or(ProtocolVersion::V5);
    let mut variables = sample_variables();
    if let Some(case) = scenario.cases.first() {
        variables.extend(case.variables(&variables, &mut Random::new(0))?);
    }
    let random = Random::new(0);
    let context = Context { version, variables, user_name: None, password: None, will_qos: 1, random };
    let mut sending = SendingAll { context, bytes: 0, all: Vec::new() };
    for (index, step) in scenario.steps.iter().enumerate() {
        sending.step(step, index)?;
    }
    Ok(sending.all)
}

struct SendingAll {
    context: Context,
    /// Bytes so far, which are bounded.
    bytes: usize,
    all: Vec<Sent>,
}

impl SendingAll {
    fn step(&mut self, step: &Step, index: usize) -> Result<(), Unresolved> {
        let (bytes, opens, ends) = match &step.action {
            Action::Open => (Vec::new(), true, false),
            Action::Connect(packet) => (self.context.packet(packet)?, true, false),
            Action::Send(sending) => (self.context.bytes(sending)?, false, false),
            Action::End(End::Disconnect(packet)) => (self.context.packet(packet)?, false, true),
            Action::End(End::StopReading) | Action::Pause(_) => return Ok(()),
            Action::End(End::Fin | End::Rst | End::HalfClose) => (Vec::new(), false, true),
            Action::WaitFor(wait) => {
                for (name, field) in &wait.capture {
                    let value = match field {
                        Field::PacketIdentifier | Field::ReasonCode => Value::Number(1),
                        Field::Topic | Field::Payload => Value::Bytes(Vec::new()),
                    };
                    self.context.variables.insert(name.clone(), value);
                }
                return Ok(());
            }
            Action::Repeat(times, steps) => {
                for n in 0..times.value(&self.context.variables, 1_000_000)? {
                    self.context.variables.insert("n".to_owned(), Value::Number(n));
                    for step in steps {
                        self.step(step, index)?;
                    }
                }
                return Ok(());
            }
        };
        self.bytes += bytes.len();
        if self.bytes > BYTES_MAX || self.all.len() > 100_000 {
            return Err(Unresolved::TooLong { max: BYTES_MAX });
        }
        self.all.push(Sent { client: step.client.clone(), step: index, bytes, opens, ends });
        Ok(())
    }
}
