//! The attempts of one case, counted. Each worker keeps its own; merged, they equal what one worker would have
//! counted.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::attempt::{Attempt, Case};
use crate::metric::{Percentiles, histogram, merge};
use crate::reaction::{Outcome, ReactionKind};
use crate::record::{CaseRecord, WillRecord};

/// How many attempts are named as examples of each outcome.
const EXAMPLES: usize = 3;

/// Everything that is counted of one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    attempts: u64,
    outcomes: BTreeMap<Outcome, u64>,
    reactions: BTreeMap<String, u64>,
    sequences: BTreeMap<String, u64>,
    disconnect_codes: BTreeMap<u8, u64>,
    attempts_with_second_connack: u64,
    examples: BTreeMap<String, Vec<u64>>,
    facts: BTreeMap<String, BTreeMap<String, u64>>,
    troubles: BTreeMap<String, u64>,
    reaction_time: Histogram<u64>,
    time_to_close: Histogram<u64>,
    connack_time: Histogram<u64>,
    wills: Wills,
}

#[derive(Clone, Debug, PartialEq)]
struct Wills {
    set: u64,
    due: u64,
    due_and_seen: u64,
    not_due_and_seen: u64,
    more_than_once: u64,
    of_later_connect: u64,
    shortest_wait_us: Option<u64>,
    time: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            attempts: 0,
            outcomes: BTreeMap::new(),
            reactions: BTreeMap::new(),
            sequences: BTreeMap::new(),
            disconnect_codes: BTreeMap::new(),
            attempts_with_second_connack: 0,
            examples: BTreeMap::new(),
            facts: BTreeMap::new(),
            troubles: BTreeMap::new(),
            reaction_time: histogram(),
            time_to_close: histogram(),
            connack_time: histogram(),
            wills: Wills {
                set: 0,
                due: 0,
                due_and_seen: 0,
                not_due_and_seen: 0,
                more_than_once: 0,
                of_later_connect: 0,
                shortest_wait_us: None,
                time: histogram(),
            },
        }
    }
}

impl Tally {
    /// Counts one attempt.
    pub(crate) fn add(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        *self.outcomes.entry(attempt.outcome).or_default() += 1;
        let sequence = attempt.sequence();
        let examples = self.examples.entry(sequence.clone()).or_default();
        if examples.len() < EXAMPLES {
            examples.push(attempt.attempt);
        }
        *self.sequences.entry(sequence).or_default() += 1;
        if attempt.outcome.is_evidence() {
            self.add_reactions(attempt);
        }
        for (name, fact) in &attempt.facts {
            *self.facts.entry(name.clone()).or_default().entry(fact.to_string()).or_default() += 1;
        }
        if let Some(trouble) = &attempt.trouble {
            *self.troubles.entry(trouble.clone()).or_default() += 1;
        }
        if let Some(us) = attempt.connack_time_us() {
            self.connack_time.saturating_record(us);
        }
        self.add_will(attempt);
    }

    fn add_reactions(&mut self, attempt: &Attempt) {
        let mut second_connack = false;
        for reaction in &attempt.reactions {
            *self.reactions.entry(reaction.label()).or_default() += 1;
            second_connack |= reaction.kind == ReactionKind::Connack;
            if let (ReactionKind::Disconnect, Some(code)) = (reaction.kind, reaction.code) {
                *self.disconnect_codes.entry(code).or_default() += 1;
            }
        }
        self.attempts_with_second_connack += u64::from(second_connack);
        if let Some(us) = attempt.reaction_time_us() {
            self.reaction_time.saturating_record(us);
        }
        if let Some(us) = attempt.time_to_close_us() {
            self.time_to_close.saturating_record(us);
        }
    }

    fn add_will(&mut self, attempt: &Attempt) {
        let Some(will) = &attempt.will else { return };
        self.wills.set += 1;
        let seen = !will.seen_at_us.is_empty();
        // The Will that is due is that of the CONNECT that was accepted.
        let right_one_seen = will.of_first_connect.contains(&true);
        if will.due {
            self.wills.due += 1;
            self.wills.due_and_seen += u64::from(right_one_seen);
            if !right_one_seen {
                let shortest = self.wills.shortest_wait_us.unwrap_or(u64::MAX);
                self.wills.shortest_wait_us = Some(shortest.min(will.waited_us));
            }
        } else {
            self.wills.not_due_and_seen += u64::from(seen);
        }
        self.wills.more_than_once += u64::from(will.seen_at_us.len() > 1);
        self.wills.of_later_connect += u64::from(will.of_first_connect.contains(&false));
        if let Some(us) = attempt.will_time_us() {
            self.wills.time.saturating_record(us);
        }
    }

    /// Adds everything that `other` counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        add_counts(&mut self.outcomes, &other.outcomes);
        add_counts(&mut self.reactions, &other.reactions);
        add_counts(&mut self.sequences, &other.sequences);
        add_counts(&mut self.disconnect_codes, &other.disconnect_codes);
        add_counts(&mut self.troubles, &other.troubles);
        for (name, counts) in &other.facts {
            add_counts(self.facts.entry(name.clone()).or_default(), counts);
        }
        for (sequence, attempts) in &other.examples {
            // The lowest numbers, whichever worker had them.
            let examples = self.examples.entry(sequence.clone()).or_default();
            examples.extend(attempts);
            examples.sort_unstable();
            examples.truncate(EXAMPLES);
        }
        self.attempts_with_second_connack += other.attempts_with_second_connack;
        merge(&mut self.reaction_time, &other.reaction_time);
        merge(&mut self.time_to_close, &other.time_to_close);
        merge(&mut self.connack_time, &other.connack_time);
        let (wills, others) = (&mut self.wills, &other.wills);
        wills.set += others.set;
        wills.due += others.due;
        wills.due_and_seen += others.due_and_seen;
        wills.not_due_and_seen += others.not_due_and_seen;
        wills.more_than_once += others.more_than_once;
        wills.of_later_connect += others.of_later_connect;
        wills.shortest_wait_us =
            [wills.shortest_wait_us, others.shortest_wait_us].into_iter().flatten().min();
        merge(&mut wills.time, &others.time);
    }

    /// The reaction times, to be summed over cases.
    #[must_use]
    pub(crate) fn reaction_time(&self) -> &Histogram<u64> {
        &self.reaction_time
    }

    /// The counts as they stand in the record.
    #[must_use]
    pub(crate) fn record(&self, case: &Case, planned: u64) -> CaseRecord {
        let will = (self.wills.set > 0).then(|| WillRecord {
            set: self.wills.set,
            due: self.wills.due,
            due_and_seen: self.wills.due_and_seen,
            not_due_and_seen: self.wills.not_due_and_seen,
            more_than_once: self.wills.more_than_once,
            of_later_connect: self.wills.of_later_connect,
            shortest_wait_of_unseen_us: self.wills.shortest_wait_us,
            will_time: Percentiles::of(&self.wills.time),
        });
        CaseRecord {
            case: case.clone(),
            planned,
            dropped: planned.saturating_sub(self.attempts),
            finished: self.attempts,
            outcomes: self
                .outcomes
                .iter()
                .map(|(outcome, count)| (outcome.name().to_owned(), *count))
                .collect(),
            reactions: self.reactions.clone(),
            sequences: self.sequences.clone(),
            disconnect_codes: self.disconnect_codes.clone(),
            attempts_with_second_connack: self.attempts_with_second_connack,
            examples: self.examples.clone(),
            facts: self.facts.clone(),
            troubles: self.troubles.clone(),
            reaction_time: Percentiles::of(&self.reaction_time),
            time_to_close: Percentiles::of(&self.time_to_close),
            connack_time: Percentiles::of(&self.connack_time),
            will,
        }
    }
}

fn add_counts<K: Ord + Clone>(sum: &mut BTreeMap<K, u64>, part: &BTreeMap<K, u64>) {
    for (key, count) in part {
        *sum.entry(key.clone()).or_default() += count;
    }
}
