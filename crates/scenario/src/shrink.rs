//! From a scenario that shows something to the smallest one that still shows it, by delta debugging over expectations, clients, steps,
//! packets, fields, properties, values and bytes.
//!
//! [`Shrinking`] proposes scenarios and is told which of them show it; the crates above carry them out. It needs no randomness: the same
//! answers give the same scenario.

mod alone;
mod edit;
mod offence;
mod sent;
mod smaller;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

pub use self::alone::alone;
use self::edit::{Edit, PASSES};
use self::offence::Offences;
use crate::model::{Action, FIRST_CLIENT, Scenario, Step, provoking_step};
use crate::{parse, print};

/// What smaller scenarios must have in common with the first, besides what they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: what they show speaks for itself, such as a broker that goes down.
    Nothing,
    /// What breaks a rule goes on to break it, and nothing else does, as far as the bytes show: for what a broker must do with a legal
    /// client.
    Rules,
    /// The same for what a broker must do with an illegal client. Where the bytes of the provoking step do not show what is illegal
    /// about it, no step of its client changes.
    Offence,
}

/// How large a scenario is. The order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Clients.
    pub clients: usize,
    /// Steps, those within repetitions too.
    pub steps: usize,
    /// The sum of its pauses.
    pub pauses: Duration,
    /// Bytes of its text.
    text: usize,
    /// The sum of the numbers in its text.
    numbers: u64,
}

impl Size {
    /// The size of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let text = print(scenario);
        let clients: BTreeSet<&str> = scenario.steps.iter().map(|step| &*step.client).collect();
        Self {
            clients: clients.len(),
            steps: count(&scenario.steps),
            pauses: pauses(&scenario.steps),
            text: text.len(),
            numbers: text
                .split(|letter: char| !letter.is_ascii_digit())
                .filter_map(|digits| digits.parse::<u64>().ok())
                .fold(0, u64::saturating_add),
        }
    }
}

fn count(steps: &[Step]) -> usize {
    let of = |step: &Step| match &step.action {
        Action::Repeat(_, steps) => 1 + count(steps),
        _ => 1,
    };
    steps.iter().map(of).sum()
}

fn pauses(steps: &[Step]) -> Duration {
    let of = |step: &Step| match &step.action {
        Action::Repeat(_, steps) => pauses(steps),
        Action::Pause(time) => *time,
        _ => Duration::ZERO,
    };
    steps.iter().map(of).fold(Duration::ZERO, Duration::saturating_add)
}

/// How many bytes a scenario sends, with sample topics and names; absent where that depends on the broker.
#[must_use]
pub fn bytes_sent(scenario: &Scenario) -> Option<usize> {
    let sent = sent::sent(scenario).ok()?;
    Some(sent.iter().map(|sent| sent.bytes.len()).sum())
}

/// Finds the smallest scenario. Call [`candidate`](Self::candidate) and [`answer`](Self::answer) in turn.
#[derive(Clone, Debug)]
pub struct Shrinking {
    smallest: Scenario,
    size: Size,
    kept: Restriction,
    /// The pass, and its edits of the smallest scenario, which are made once they are needed.
    pass: usize,
    edits: Option<std::vec::IntoIter<Edit>>,
    has_shrunk_in_pass: bool,
    has_shrunk_in_round: bool,
    /// What was proposed, by its hash.
    proposed: BTreeSet<u64>,
    waiting: Option<Scenario>,
}

/// [`Kept`], with what that is in the first scenario.
#[derive(Clone, Debug)]
enum Restriction {
    None,
    Offences(Offences),
    /// The steps of this client, and those rules.
    Client(String),
}

impl Shrinking {
    /// Begins with a scenario that has one case and one version, as [`alone`] makes it.
    #[must_use]
    pub fn new(scenario: Scenario, kept: Kept) -> Self {
        let provoking = provoking_step(&scenario.steps).and_then(|step| scenario.steps.get(step));
        let client = || provoking.map_or(FIRST_CLIENT, |step| &*step.client).to_owned();
        let kept = match (kept, Offences::of(&scenario)) {
            (Kept::Nothing, _) => Restriction::None,
            (Kept::Offence, Some(offences)) if offences.is_invisible() => Restriction::Client(client()),
            (_, Some(offences)) => Restriction::Offences(offences),
            (_, None) => Restriction::Client(client()),
        };
        Self {
            size: Size::of(&scenario),
            proposed: BTreeSet::from([hash(&print(&scenario))]),
            smallest: scenario,
            kept,
            pass: 0,
            edits: None,
            has_shrunk_in_pass: false,
            has_shrunk_in_round: false,
            waiting: None,
        }
    }

    /// Whether the steps of the provoking client stay as they are, because their bytes do not show what is illegal about them.
    #[must_use]
    pub const fn keeps_client(&self) -> bool {
        matches!(self.kept, Restriction::Client(_))
    }

    /// The smallest scenario so far.
    #[must_use]
    pub const fn smallest(&self) -> &Scenario {
        &self.smallest
    }

    /// A smaller scenario to try: the same one until it is answered. Absent when none is left: then nothing that can be taken away by
    /// itself may go.
    pub fn candidate(&mut self) -> Option<&Scenario> {
        while self.waiting.is_none() {
            match self.next_edit() {
                Some(edit) => self.waiting = self.tried(&edit),
                None if self.ends_pass() => return None,
                None => {}
            }
        }
        self.waiting.as_ref()
    }

    /// Whether the candidate shows it.
    pub fn answer(&mut self, shows_it: bool) {
        if let Some(candidate) = self.waiting.take().filter(|_| shows_it) {
            self.size = Size::of(&candidate);
            self.smallest = candidate;
            (self.has_shrunk_in_pass, self.has_shrunk_in_round) = (true, true);
            // The pass begins anew with the edits of this one, largest first; what was tried is not tried again.
            self.edits = None;
        }
    }

    fn next_edit(&mut self) -> Option<Edit> {
        let (pass, smallest) = (PASSES[self.pass], &self.smallest);
        self.edits.get_or_insert_with(|| pass(smallest).into_iter()).next()
    }

    /// Goes on to the next pass. Returns true at the end.
    fn ends_pass(&mut self) -> bool {
        self.edits = None;
        if std::mem::take(&mut self.has_shrunk_in_pass) {
            return false;
        }
        self.pass += 1;
        if self.pass < PASSES.len() {
            return false;
        }
        if !std::mem::take(&mut self.has_shrunk_in_round) {
            self.pass = PASSES.len() - 1;
            return true;
        }
        self.pass = 0;
        false
    }

    /// The scenario after an edit, if it is one, smaller, new, and breaks no other rules.
    fn tried(&mut self, edit: &Edit) -> Option<Scenario> {
        if let Restriction::Client(client) = &self.kept
            && !edit.spares(&self.smallest, client)
        {
            return None;
        }
        let text = print(&edit.applied(&self.smallest)?);
        if !self.proposed.insert(hash(&text)) {
            return None;
        }
        let candidate = parse(&text).ok()?;
        let breaks_the_same = match &self.kept {
            Restriction::Offences(offences) => offences.are_kept_by(&candidate),
            Restriction::None | Restriction::Client(_) => true,
        };
        (breaks_the_same && Size::of(&candidate) < self.size).then_some(candidate)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
