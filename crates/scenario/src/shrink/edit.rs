//! Ways to make a scenario smaller, from those that take most away to those that take least.

use ungraceful_mqtt::{Framed, frame};
use ungraceful_record::expectation::Expected;

use super::alone::{hex, literal_bytes};
use super::smaller::{Smaller, chunks};
use crate::model::{Action, FIRST_CLIENT, Scenario, Step};

/// A kind of edits; each is tried to the end before the next.
pub(super) const PASSES: &[fn(&Scenario) -> Vec<Edit>] =
    &[expectations, clients, steps, repetitions, bytes, values, names];

/// An edit of one scenario.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Only this expectation is left.
    KeepExpectation(usize),
    /// This expectation goes.
    DropExpectation(usize),
    /// All steps of this client go.
    DropClient(String),
    /// These steps go.
    DropSteps(usize, usize),
    /// A repetition is carried out once.
    Once(usize),
    /// These bytes of a step go; the Remaining Length follows if it was right.
    DropBytes { step: usize, from: usize, to: usize, mends_length: bool },
    /// A step becomes this one.
    Replace(usize, Box<Step>),
    /// This client becomes the first one.
    Rename(String),
}

impl Edit {
    /// The steps that it changes; none if it changes no step.
    fn touches(&self, scenario: &Scenario, step: usize) -> bool {
        match self {
            Self::KeepExpectation(_) | Self::DropExpectation(_) => false,
            Self::DropClient(client) | Self::Rename(client) => scenario.steps[step].client == *client,
            Self::DropSteps(from, to) => (*from..*to).contains(&step),
            Self::Once(at) | Self::DropBytes { step: at, .. } | Self::Replace(at, _) => *at == step,
        }
    }

    /// Whether it leaves all steps of this client alone.
    pub(super) fn spares(&self, scenario: &Scenario, client: &str) -> bool {
        let mut of_client = (0..scenario.steps.len()).filter(|step| scenario.steps[*step].client == client);
        !of_client.any(|step| self.touches(scenario, step))
    }

    /// The scenario after it; absent if it has become impossible.
    pub(super) fn applied(&self, scenario: &Scenario) -> Option<Scenario> {
        let mut smaller = scenario.clone();
        match self {
            Self::KeepExpectation(kept) => smaller.expects = vec![scenario.expects.get(*kept)?.clone()],
            Self::DropExpectation(index) => drop(smaller.expects.remove(*index)),
            Self::DropClient(client) => smaller.steps.retain(|step| step.client != *client),
            Self::DropSteps(from, to) => drop(smaller.steps.drain(*from..*to)),
            Self::Once(index) => {
                let Action::Repeat(_, steps) = &scenario.steps[*index].action else { return None };
                smaller.steps.splice(*index..=*index, steps.iter().cloned());
            }
            Self::DropBytes { step, from, to, mends_length } => {
                let before = literal_bytes(&scenario.steps[*step])?;
                let after = match mends_length {
                    true => without_in_body(&before, *from, *to)?,
                    false => [&before[..*from], &before[*to..]].concat(),
                };
                smaller.steps[*step].action = hex(&after);
            }
            Self::Replace(index, step) => smaller.steps[*index] = Step::clone(step),
            Self::Rename(client) => rename(&mut smaller, client),
        }
        mend(&mut smaller);
        Some(smaller)
    }
}

fn rename(scenario: &mut Scenario, client: &str) {
    let renamed = |name: &mut String| {
        if *name == client {
            FIRST_CLIENT.clone_into(name);
        }
    };
    fn each(steps: &mut [Step], renamed: &impl Fn(&mut String)) {
        for step in steps {
            renamed(&mut step.client);
            if let Action::Repeat(_, steps) = &mut step.action {
                each(steps, renamed);
            }
        }
    }
    each(&mut scenario.steps, &renamed);
    for expect in &mut scenario.expects {
        if let Expected::Delivers { client, .. } = &mut expect.what {
            renamed(client);
        }
    }
}

/// Takes back what makes no sense any more: expectations of clients that are gone, and bytes that would wait for a step that is gone.
fn mend(scenario: &mut Scenario) {
    let clients: Vec<String> = scenario.steps.iter().map(|step| step.client.clone()).collect();
    scenario.expects.retain(|expect| match &expect.what {
        Expected::Delivers { client, .. } => clients.contains(client),
        _ => true,
    });
    for index in 0..scenario.steps.len() {
        let (step, later) = (&scenario.steps[index], &scenario.steps[index + 1..]);
        let sends = |later: &Step| later.client == step.client && matches!(later.action, Action::Send(_));
        if step.coalesce && !later.iter().any(sends) {
            scenario.steps[index].coalesce = false;
        }
    }
}

/// One whole packet without these bytes of its body, and with the Remaining Length that it has then.
fn without_in_body(packet: &[u8], from: usize, to: usize) -> Option<Vec<u8>> {
    let Framed::Complete(whole) = frame(packet) else { return None };
    let head = packet.len() - whole.body.len();
    if whole.len() != packet.len() || from < head {
        return None;
    }
    let body = [&packet[head..from], &packet[to..]].concat();
    let mut smaller = vec![packet[0]];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).ok()?;
        rest /= 128;
        smaller.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    smaller.extend(body);
    Some(smaller)
}

fn expectations(scenario: &Scenario) -> Vec<Edit> {
    let all = 0..scenario.expects.len();
    let keep = all.clone().filter(|_| all.len() > 1).map(Edit::KeepExpectation);
    keep.chain(all.clone().map(Edit::DropExpectation)).collect()
}

fn clients(scenario: &Scenario) -> Vec<Edit> {
    let mut clients: Vec<&str> = Vec::new();
    for step in scenario.steps.iter().rev() {
        if !clients.contains(&&*step.client) {
            clients.push(&step.client);
        }
    }
    clients.into_iter().map(|client| Edit::DropClient(client.to_owned())).collect()
}

fn steps(scenario: &Scenario) -> Vec<Edit> {
    chunks(scenario.steps.len()).map(|(from, to)| Edit::DropSteps(from, to)).collect()
}

fn repetitions(scenario: &Scenario) -> Vec<Edit> {
    let is_one = |index: &usize| matches!(scenario.steps[*index].action, Action::Repeat(..));
    (0..scenario.steps.len()).filter(is_one).map(Edit::Once).collect()
}

fn bytes(scenario: &Scenario) -> Vec<Edit> {
    let mut all = Vec::new();
    for (step, of) in scenario.steps.iter().enumerate() {
        let Some(length) = literal_bytes(of).map(|bytes| bytes.len()) else { continue };
        for (from, to) in chunks(length) {
            let edit = |mends_length| Edit::DropBytes { step, from, to, mends_length };
            all.extend([edit(true), edit(false)]);
        }
    }
    all
}

fn values(scenario: &Scenario) -> Vec<Edit> {
    let steps = scenario.steps.iter().enumerate();
    steps
        .flat_map(|(index, step)| {
            step.smaller().into_iter().map(move |step| Edit::Replace(index, Box::new(step)))
        })
        .collect()
}

fn names(scenario: &Scenario) -> Vec<Edit> {
    if scenario.steps.iter().any(|step| step.client == FIRST_CLIENT) {
        return Vec::new();
    }
    clients(scenario)
        .into_iter()
        .filter_map(|edit| match edit {
            Edit::DropClient(client) => Some(Edit::Rename(client)),
            _ => None,
        })
        .collect()
}
