//! Counts the attempts of one case. Each worker keeps its own tally, and so does each shard of a run; merged, they equal that of a
//! single worker.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use crate::attempt::{Attempt, Case};
use crate::encoded::Encoded;
use crate::ledger::LedgerCounts;
use crate::metric::{Distribution, Percentiles, Values, ValuesRecord, histogram, merge};
use crate::reaction::{Outcome, ReactionKind};
use crate::run::{CaseRecord, CaseSums, MilestoneRecord, WillRecord};

/// Attempts named as examples of each sequence of reactions.
const EXAMPLES: usize = 3;

/// The counts and times of the attempts of one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    attempts: u64,
    outcomes: BTreeMap<Outcome, u64>,
    reactions: BTreeMap<String, u64>,
    sequences: BTreeMap<String, u64>,
    disconnect_codes: BTreeMap<u8, u64>,
    attempts_with_second_connack: u64,
    examples: BTreeMap<String, Vec<u64>>,
    facts: BTreeMap<String, BTreeMap<String, u64>>,
    measures: BTreeMap<String, Values>,
    /// Attempts that acted: those that should reach the milestones.
    acted: u64,
    milestones: BTreeMap<String, Values>,
    messages: BTreeMap<u8, LedgerCounts>,
    troubles: BTreeMap<String, u64>,
    reaction_time: Times,
    time_to_close: Times,
    connack_time: Times,
    wills: Wills,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Wills {
    set: u64,
    due: u64,
    due_and_seen: u64,
    not_due_and_seen: u64,
    more_than_once: u64,
    of_later_connect: u64,
    seen_before: u64,
    shortest_wait_us: Option<u64>,
    time: Times,
}

/// Times in µs.
#[derive(Clone, Debug, PartialEq)]
struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Times {
    fn add(&mut self, us: Option<u64>) {
        if let Some(us) = us {
            self.0.saturating_record(us);
        }
    }
}

impl Tally {
    /// The tally that a case in a record was made of. Examples are numbered from `first_attempt` on.
    ///
    /// # Errors
    /// Why it can't be had exactly.
    pub fn of(case: &CaseRecord, first_attempt: u64) -> Result<Self, String> {
        let older = || "it was written by an earlier version, without the histograms of its cases".to_owned();
        let sums = case.sums.as_ref().ok_or_else(older)?;
        let times = |encoded: &Encoded| encoded.histogram().map(Times);
        let values = |records: &BTreeMap<String, ValuesRecord>| {
            records
                .iter()
                .map(|(name, values)| Ok((name.clone(), values.values()?)))
                .collect::<Result<_, String>>()
        };
        let outcome = |(name, count): (&String, &u64)| Ok((name.parse()?, *count));
        let moved = |attempts: &Vec<u64>| {
            attempts.iter().map(|number| first_attempt.saturating_add(*number)).collect()
        };
        let will = case.will.clone().unwrap_or_default();
        Ok(Self {
            attempts: case.finished,
            outcomes: case.outcomes.iter().map(outcome).collect::<Result<_, String>>()?,
            reactions: case.reactions.clone(),
            sequences: case.sequences.clone(),
            disconnect_codes: case.disconnect_codes.clone(),
            attempts_with_second_connack: case.attempts_with_second_connack,
            examples: case.examples.iter().map(|(name, attempts)| (name.clone(), moved(attempts))).collect(),
            facts: case.facts.clone(),
            measures: values(&sums.measures)?,
            acted: sums.acted,
            milestones: values(&sums.milestones)?,
            messages: case.messages.clone(),
            troubles: case.troubles.clone(),
            reaction_time: times(&sums.reaction_time)?,
            time_to_close: times(&sums.time_to_close)?,
            connack_time: times(&sums.connack_time)?,
            wills: Wills {
                set: will.set,
                due: will.due,
                due_and_seen: will.due_and_seen,
                not_due_and_seen: will.not_due_and_seen,
                more_than_once: will.more_than_once,
                of_later_connect: will.of_later_connect,
                seen_before: will.seen_before,
                shortest_wait_us: will.shortest_wait_of_unseen_us,
                time: times(&sums.will_time)?,
            },
        })
    }

    /// Adds an attempt that ended.
    pub fn add(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        *self.outcomes.entry(attempt.outcome).or_default() += 1;
        let sequence = attempt.sequence();
        add_examples(self.examples.entry(sequence.clone()).or_default(), &[attempt.attempt]);
        *self.sequences.entry(sequence).or_default() += 1;
        if attempt.outcome.is_evidence() {
            self.add_reactions(attempt);
        }
        for (name, fact) in &attempt.facts {
            *self.facts.entry(name.clone()).or_default().entry(fact.to_string()).or_default() += 1;
        }
        for (name, value) in &attempt.measures {
            self.measures.entry(name.clone()).or_default().add(*value);
        }
        self.acted += u64::from(attempt.provoked_us.is_some());
        for (name, after_us) in &attempt.milestones {
            self.milestones.entry(name.clone()).or_default().add(*after_us);
        }
        for (qos, counts) in &attempt.messages {
            *self.messages.entry(*qos).or_default() += counts;
        }
        if let Some(trouble) = &attempt.trouble {
            *self.troubles.entry(trouble.clone()).or_default() += 1;
        }
        self.connack_time.add(attempt.connack_time_us());
        self.add_will(attempt);
    }

    fn add_reactions(&mut self, attempt: &Attempt) {
        let mut second_connack = false;
        // Checks compare these counts with the number of clients, so a client that got a code twice counts once.
        let mut disconnect_codes = BTreeSet::new();
        for reaction in &attempt.reactions {
            *self.reactions.entry(reaction.label()).or_default() += 1;
            second_connack |= reaction.kind == ReactionKind::Connack;
            if let (ReactionKind::Disconnect, Some(code)) = (reaction.kind, reaction.code) {
                disconnect_codes.insert(code);
            }
        }
        for code in disconnect_codes {
            *self.disconnect_codes.entry(code).or_default() += 1;
        }
        self.attempts_with_second_connack += u64::from(second_connack);
        self.reaction_time.add(attempt.reaction_time_us());
        self.time_to_close.add(attempt.time_to_close_us());
    }

    fn add_will(&mut self, attempt: &Attempt) {
        let Some(will) = &attempt.will else { return };
        self.wills.set += 1;
        let seen = !will.seen_at_us.is_empty();
        // The Will that is due is that of the accepted CONNECT.
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
        let copies = will.of_first_connect.iter().filter(|of_first| **of_first).count();
        self.wills.more_than_once += u64::from(copies > 1);
        self.wills.of_later_connect += u64::from(will.of_first_connect.contains(&false));
        self.wills.seen_before += u64::from(!will.seen_before_us.is_empty());
        self.wills.time.add(attempt.will_time_us());
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        add_counts(&mut self.outcomes, &other.outcomes);
        add_counts(&mut self.reactions, &other.reactions);
        add_counts(&mut self.sequences, &other.sequences);
        add_counts(&mut self.disconnect_codes, &other.disconnect_codes);
        add_counts(&mut self.troubles, &other.troubles);
        for (name, counts) in &other.facts {
            add_counts(self.facts.entry(name.clone()).or_default(), counts);
        }
        for (name, values) in &other.measures {
            self.measures.entry(name.clone()).or_default().merge(values);
        }
        self.acted += other.acted;
        for (name, values) in &other.milestones {
            self.milestones.entry(name.clone()).or_default().merge(values);
        }
        for (qos, counts) in &other.messages {
            *self.messages.entry(*qos).or_default() += counts;
        }
        for (sequence, attempts) in &other.examples {
            add_examples(self.examples.entry(sequence.clone()).or_default(), attempts);
        }
        self.attempts_with_second_connack += other.attempts_with_second_connack;
        merge(&mut self.reaction_time.0, &other.reaction_time.0);
        merge(&mut self.time_to_close.0, &other.time_to_close.0);
        merge(&mut self.connack_time.0, &other.connack_time.0);
        let (wills, others) = (&mut self.wills, &other.wills);
        wills.set += others.set;
        wills.due += others.due;
        wills.due_and_seen += others.due_and_seen;
        wills.not_due_and_seen += others.not_due_and_seen;
        wills.more_than_once += others.more_than_once;
        wills.of_later_connect += others.of_later_connect;
        wills.seen_before += others.seen_before;
        wills.shortest_wait_us =
            [wills.shortest_wait_us, others.shortest_wait_us].into_iter().flatten().min();
        merge(&mut wills.time.0, &others.time.0);
    }

    /// The record of the case, of which `planned` attempts were planned.
    #[must_use]
    pub fn record(&self, case: &Case, planned: u64) -> CaseRecord {
        let will = (self.wills.set > 0).then(|| WillRecord {
            set: self.wills.set,
            due: self.wills.due,
            due_and_seen: self.wills.due_and_seen,
            not_due_and_seen: self.wills.not_due_and_seen,
            more_than_once: self.wills.more_than_once,
            of_later_connect: self.wills.of_later_connect,
            seen_before: self.wills.seen_before,
            shortest_wait_of_unseen_us: self.wills.shortest_wait_us,
            will_time: Percentiles::of(&self.wills.time.0),
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
            measures: self
                .measures
                .iter()
                .map(|(name, values)| (name.clone(), values.distribution()))
                .collect(),
            milestones: self
                .milestones
                .iter()
                .map(|(name, values)| (name.clone(), milestone(values, self.acted)))
                .collect(),
            messages: self.messages.clone(),
            troubles: self.troubles.clone(),
            reaction_time: Percentiles::of(&self.reaction_time.0),
            time_to_close: Percentiles::of(&self.time_to_close.0),
            connack_time: Percentiles::of(&self.connack_time.0),
            will,
            expects: Vec::new(),
            sums: Some(self.sums()),
        }
    }

    fn sums(&self) -> CaseSums {
        let values = |values: &BTreeMap<String, Values>| {
            values.iter().map(|(name, values)| (name.clone(), values.record())).collect()
        };
        CaseSums {
            acted: self.acted,
            reaction_time: Encoded::of(&self.reaction_time.0),
            time_to_close: Encoded::of(&self.time_to_close.0),
            connack_time: Encoded::of(&self.connack_time.0),
            will_time: Encoded::of(&self.wills.time.0),
            measures: values(&self.measures),
            milestones: values(&self.milestones),
        }
    }
}

/// The reaction times and the measures of several cases together.
#[must_use]
pub fn together(tallies: &[&Tally]) -> (Percentiles, BTreeMap<String, Distribution>) {
    let mut reaction_time = histogram();
    let mut measures: BTreeMap<&str, Values> = BTreeMap::new();
    for tally in tallies {
        merge(&mut reaction_time, &tally.reaction_time.0);
        for (name, values) in &tally.measures {
            measures.entry(name).or_default().merge(values);
        }
    }
    let measures = measures.iter().map(|(name, values)| ((*name).to_owned(), values.distribution()));
    (Percentiles::of(&reaction_time), measures.collect())
}

/// When which share of the attempts that acted had reached it.
fn milestone(reached: &Values, of: u64) -> MilestoneRecord {
    let share = |percent: u64| reached.at_rank((of * percent).div_ceil(100));
    MilestoneRecord {
        of,
        reached: reached.count(),
        half_us: share(50),
        percent_95_us: share(95),
        all_us: share(100),
        last_us: reached.largest(),
    }
}

/// Keeps the lowest numbers, whatever the order of attempts and workers.
fn add_examples(examples: &mut Vec<u64>, attempts: &[u64]) {
    examples.extend(attempts);
    examples.sort_unstable();
    examples.truncate(EXAMPLES);
}

fn add_counts<K: Ord + Clone>(sum: &mut BTreeMap<K, u64>, part: &BTreeMap<K, u64>) {
    for (key, count) in part {
        *sum.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests;
