//! What the scenarios of the catalogue send, each with what the broker is expected to do.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::expectation::Expected;
use ungraceful_scenario::encode::Context;
use ungraceful_scenario::model::{Action, Case, End, Field, Force, Scenario, Step};
use ungraceful_scenario::parse;
use ungraceful_scenario::template::{Random, Value, Variables};

/// How the catalogue judges bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judged {
    /// They provoke, and the broker must close.
    MustClose,
    /// They provoke, and prose says that the broker closes.
    ProseCloses,
    /// They provoke, and the broker goes on serving the client.
    Stays,
    /// They come before those that provoke.
    Before,
    /// They provoke, and neither is expected.
    Neither,
}

/// What one step of a scenario sends.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) scenario: String,
    pub(crate) case: String,
    /// The step, from 1, where the steps of `repeat` count once.
    pub(crate) step: usize,
    pub(crate) version: ProtocolVersion,
    pub(crate) bytes: Vec<u8>,
    pub(crate) judged: Judged,
}

impl Stream {
    /// Whether `what` names it: `scenario`, `scenario/case`, or either with the version behind a space.
    pub(crate) fn is(&self, what: &str) -> bool {
        let (name, version) =
            what.split_once(' ').map_or((what, None), |(name, version)| (name, Some(version)));
        let (scenario, case) = name.split_once('/').map_or((name, None), |(name, case)| (name, Some(case)));
        scenario == self.scenario
            && case.is_none_or(|case| case == self.case)
            && version.is_none_or(|version| version == self.version.to_string())
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}, step {}:", self.scenario, self.case, self.version, self.step)?;
        for byte in self.bytes.iter().take(200) {
            write!(f, " {byte:02X}")?;
        }
        if self.bytes.len() > 200 { write!(f, " … {} bytes", self.bytes.len()) } else { Ok(()) }
    }
}

/// Every stream of the catalogue up to the provoking step. Where a step ends the connection, and none is marked, that one provokes,
/// so that all packets come before.
pub(crate) fn of_catalogue() -> Vec<Stream> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../faults/scenarios");
    let mut scenarios = BTreeMap::new();
    for family in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(family.unwrap().path()).unwrap() {
            let scenario = parse(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
            scenarios.insert(scenario.id.clone(), scenario);
        }
    }
    let mut streams = Vec::new();
    for scenario in scenarios.values() {
        for case in &scenario.cases {
            for version in scenario.versions_of(case) {
                streams.extend(of_case(scenario, case, version));
            }
        }
    }
    streams
}

fn of_case(scenario: &Scenario, case: &Case, version: ProtocolVersion) -> Vec<Stream> {
    let steps = unrolled(&scenario.steps_of(case));
    let provoking = steps
        .iter()
        .position(|step| step.provokes)
        .or_else(|| steps.iter().rposition(|step| matches!(step.action, Action::Send(_) | Action::End(_))));
    let mut context = context(version);
    let variables = case.variables(&context.variables, &mut context.random).unwrap();
    context.variables.extend(variables);
    let mut streams = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let bytes = match &step.action {
            Action::Connect(packet) | Action::End(End::Disconnect(packet)) => context.packet(packet).unwrap(),
            Action::Send(sending) => context.bytes(sending).unwrap(),
            Action::WaitFor(wait) => {
                for (name, field) in &wait.capture {
                    let value = match field {
                        Field::PacketIdentifier => Value::Number(1),
                        Field::ReasonCode => Value::Number(0),
                        Field::Topic | Field::Payload => Value::Bytes(b"t".to_vec()),
                    };
                    context.variables.insert(name.clone(), value);
                }
                continue;
            }
            _ => continue,
        };
        let judged = match provoking {
            Some(provoking) if at == provoking => judged(scenario, case, version),
            Some(provoking) if at > provoking => continue,
            _ => Judged::Before,
        };
        let (scenario, case) = (scenario.id.clone(), case.name.clone());
        streams.push(Stream { scenario, case, step: at + 1, version, bytes, judged });
    }
    streams
}

/// The steps, those of `repeat` once in its place.
fn unrolled(steps: &[Step]) -> Vec<Step> {
    let once = |step: &Step| match &step.action {
        Action::Repeat(_, steps) => unrolled(steps),
        _ => vec![step.clone()],
    };
    steps.iter().flat_map(once).collect()
}

fn judged(scenario: &Scenario, case: &Case, version: ProtocolVersion) -> Judged {
    let expects = scenario.expects_of(case, version);
    let closes = expects.iter().find(|expect| expect.what == Expected::Closes);
    match closes.map(|expect| &expect.force) {
        Some(Force::Must(statements)) if statements.iter().any(|of| of.version == version) => {
            Judged::MustClose
        }
        // A MUST that this version does not have is prose.
        Some(Force::Must(_) | Force::Prose(_)) => Judged::ProseCloses,
        _ if expects.iter().any(|expect| expect.what == Expected::Stays) => Judged::Stays,
        _ => Judged::Neither,
    }
}

/// What a run gives the steps.
fn context(version: ProtocolVersion) -> Context {
    let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let variables = Variables::from([
        ("topic".to_owned(), text("ungraceful/1/c1")),
        ("will".to_owned(), text("ungraceful/1/will/c1")),
        ("client_id".to_owned(), text("ungraceful-1-c1")),
        ("first_client_id".to_owned(), text("ungraceful-1-c1")),
        ("n".to_owned(), Value::Number(0)),
        ("receive_maximum".to_owned(), Value::Number(20)),
        ("maximum_packet_size".to_owned(), Value::Number(10_000)),
        ("topic_alias_maximum".to_owned(), Value::Number(10)),
    ]);
    Context { version, variables, user_name: None, password: None, will_qos: 1, random: Random::new(0) }
}
