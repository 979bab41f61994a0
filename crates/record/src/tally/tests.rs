//! Tests of the tally.

use std::collections::BTreeMap;

use crate::attempt::{Attempt, Case, Fact, WillSeen};
use crate::ledger::LedgerCounts;
use crate::phase::Phase;
use crate::reaction::{Outcome, Reaction, ReactionKind};
use crate::run::{CaseRecord, MilestoneRecord, WillRecord};
use proptest::prelude::*;

use super::Tally;

#[test]
fn a_milestone_counts_all_attempts_that_acted() {
    let reached_by = |reached: u64, all: u64| {
        let mut tallies = [Tally::default(), Tally::default()];
        for number in 0..all {
            let mut attempt = attempt(number, Outcome::Tolerated, &[]);
            if number < reached {
                attempt.milestones.insert("back".into(), (number + 1) * 10);
            }
            tallies[usize::from(number % 3 == 0)].add(&attempt);
        }
        let mut not_acted = attempt(all, Outcome::NotActed, &[]);
        not_acted.provoked_us = None;
        tallies[0].add(&not_acted);
        let [mut sum, part] = tallies;
        sum.merge(&part);
        sum.record(&case(), all + 1).milestones.get("back").copied()
    };
    let of = |reached, half_us, percent_95_us, all_us, last_us| {
        Some(MilestoneRecord { of: 40, reached, half_us, percent_95_us, all_us, last_us })
    };
    assert_eq!(reached_by(40, 40), of(40, Some(200), Some(380), Some(400), Some(400)));
    assert_eq!(reached_by(39, 40), of(39, Some(200), Some(380), None, Some(390)));
    assert_eq!(reached_by(20, 40), of(20, Some(200), None, None, Some(200)));
    assert_eq!(reached_by(19, 40), of(19, None, None, None, Some(190)));
    assert_eq!(reached_by(0, 40), None);
}

const OUTCOMES: [Outcome; 7] = [
    Outcome::Closed,
    Outcome::Reset,
    Outcome::Tolerated,
    Outcome::NoReaction,
    Outcome::BrokerDown,
    Outcome::NotActed,
    Outcome::Interrupted,
];

fn case() -> Case {
    Case { fault: "double-connect".into(), variant: "with-will".into(), version: "5.0".into() }
}

/// An attempt that was provoked at 1,000 µs and ended in `outcome`.
fn attempt(number: u64, outcome: Outcome, reactions: &[(ReactionKind, Option<u8>, u64)]) -> Attempt {
    let reaction = |(kind, code, at_us): &(ReactionKind, Option<u8>, u64)| Reaction {
        kind: *kind,
        code: *code,
        at_us: *at_us,
        detail: None,
        connection: None,
    };
    Attempt {
        provoked_us: Some(1_000),
        reactions: reactions.iter().map(reaction).collect(),
        outcome,
        ..Attempt::begun(number, case(), format!("ug{number}"), Phase::Fault, 0, 1)
    }
}

fn closed(number: u64, at_us: u64) -> Attempt {
    attempt(number, Outcome::Closed, &[(ReactionKind::Closed, None, at_us)])
}

fn with_will(number: u64, due: bool, seen: &[(u64, bool)], waited_us: u64) -> Attempt {
    let will = WillSeen {
        due,
        seen_at_us: seen.iter().map(|(at_us, _)| *at_us).collect(),
        of_first_connect: seen.iter().map(|(_, of_first)| *of_first).collect(),
        seen_before_us: Vec::new(),
        waited_us,
    };
    let ended = if due { closed(number, 2_000) } else { attempt(number, Outcome::Tolerated, &[]) };
    Attempt { will: Some(will), ..ended }
}

fn record_of(attempts: &[Attempt]) -> CaseRecord {
    let mut tally = Tally::default();
    for attempt in attempts {
        tally.add(attempt);
    }
    tally.record(&case(), 100)
}

fn will_of(attempts: &[Attempt]) -> WillRecord {
    record_of(attempts).will.expect("one of them set a Will")
}

fn counts<K: Ord, Q: Into<K> + Copy>(counts: &[(Q, u64)]) -> BTreeMap<K, u64> {
    counts.iter().map(|(name, count)| ((*name).into(), *count)).collect()
}

#[test]
fn each_count_ends_in_its_own_column() {
    let mut attempts = Vec::new();
    for (outcome, count) in OUTCOMES.into_iter().zip(1_u64..) {
        attempts.extend((0..count).map(|_| attempt(0, outcome, &[])));
    }
    attempts.push(attempt(
        1,
        Outcome::Closed,
        &[
            (ReactionKind::Connack, Some(0x00), 1_010),
            (ReactionKind::Connack, Some(0x00), 1_011),
            (ReactionKind::Disconnect, Some(0x82), 1_020),
            (ReactionKind::Disconnect, Some(0x82), 1_021),
            (ReactionKind::Disconnect, Some(0x8E), 1_022),
            (ReactionKind::Closed, None, 1_300),
        ],
    ));
    let mut not_acted = attempt(2, Outcome::NotActed, &[]);
    not_acted.trouble = Some("cannot connect: connection refused".into());
    not_acted.facts.insert("second_client_id".into(), Fact::Word("none".into()));
    not_acted.established_us = Some(400);
    not_acted.connack_us = Some(650);
    attempts.push(not_acted);
    let record = record_of(&attempts);
    assert_eq!((record.planned, record.finished, record.dropped), (100, 30, 70));
    let outcomes = [
        ("closed", 2),
        ("reset", 2),
        ("tolerated", 3),
        ("no_reaction", 4),
        ("broker_down", 5),
        ("not_acted", 7),
        ("interrupted", 7),
    ];
    assert_eq!(record.outcomes, counts::<String, _>(&outcomes));
    let reactions = [("second CONNACK 0x00", 2), ("DISCONNECT 0x82", 2), ("DISCONNECT 0x8E", 1), ("FIN", 1)];
    assert_eq!(record.reactions, counts::<String, _>(&reactions));
    assert_eq!(record.disconnect_codes, BTreeMap::from([(0x82, 1), (0x8E, 1)]), "clients, not packets");
    assert_eq!(record.attempts_with_second_connack, 1);
    assert_eq!(record.facts, BTreeMap::from([("second_client_id".into(), counts(&[("none", 1)]))]));
    assert_eq!(record.troubles, counts::<String, _>(&[("cannot connect: connection refused", 1)]));
    assert_eq!((record.reaction_time.count, record.reaction_time.max_us), (1, Some(10)));
    assert_eq!((record.time_to_close.count, record.time_to_close.max_us), (1, Some(300)));
    assert_eq!((record.connack_time.count, record.connack_time.max_us), (1, Some(250)));
    assert_eq!(record.will, None);
    assert_eq!(record.sequences["nothing until the deadline"], 4);
    assert_eq!(record.sequences.values().sum::<u64>(), 30);
}

#[test]
fn attempts_without_evidence_count_only_in_sequences() {
    let reactions = [
        (ReactionKind::Connack, Some(0), 1_005),
        (ReactionKind::Disconnect, Some(0x82), 1_010),
        (ReactionKind::Closed, None, 1_020),
    ];
    let record = record_of(&[
        attempt(0, Outcome::BrokerDown, &reactions),
        attempt(1, Outcome::Interrupted, &reactions),
        attempt(2, Outcome::NotActed, &reactions),
    ]);
    assert!(record.reactions.is_empty() && record.disconnect_codes.is_empty());
    assert_eq!(record.attempts_with_second_connack, 0);
    assert_eq!((record.reaction_time.count, record.time_to_close.count), (0, 0));
    assert_eq!(record.sequences["second CONNACK 0x00, DISCONNECT 0x82, FIN, broker down"], 1);
}

#[test]
fn an_empty_tally_has_dropped_everything() {
    let nothing = Tally::default().record(&case(), 7);
    assert_eq!((nothing.planned, nothing.finished, nothing.dropped), (7, 0, 7));
    let mut tally = Tally::default();
    tally.add(&closed(0, 2_000));
    assert_eq!(tally.record(&case(), 0).dropped, 0);
}

#[test]
fn every_fate_of_a_will_is_counted_in_its_own_column() {
    let (right, wrong) = (true, false);
    let record = will_of(&[
        with_will(0, true, &[(2_300, right)], 10),
        with_will(1, true, &[(2_400, right)], 11),
        with_will(2, true, &[(2_500, right), (2_600, right)], 12),
        with_will(3, true, &[(2_010, wrong), (2_700, right)], 13),
        with_will(4, true, &[(2_020, wrong), (2_021, wrong)], 5_000),
        with_will(5, true, &[], 4_000),
        with_will(6, false, &[(3_000, right)], 1),
        with_will(7, false, &[], 2),
    ]);
    let expected = (8, 6, 4, 1, 1, 2, Some(4_000));
    assert_eq!(record.seen_before, 0);
    let counted = (
        record.set,
        record.due,
        record.due_and_seen,
        record.not_due_and_seen,
        record.more_than_once,
        record.of_later_connect,
        record.shortest_wait_of_unseen_us,
    );
    assert_eq!(counted, expected);
    // From the provoking byte at 1,000 to the Will of the first CONNECT: 1,300, 1,400, 1,500 and 1,700.
    let times = record.will_time;
    assert_eq!((times.count, times.min_us, times.max_us), (4, Some(1_300), Some(1_700)));
}

#[test]
fn a_will_from_before_the_attempt_acted_has_its_own_column() {
    let of = |due| {
        let mut attempt = with_will(0, due, &[], 5_000);
        attempt.will.as_mut().expect("it has one").seen_before_us = vec![900];
        will_of(&[attempt.clone(), attempt])
    };
    for due in [true, false] {
        let record = of(due);
        assert_eq!((record.set, record.seen_before, record.due), (2, 2, if due { 2 } else { 0 }));
        assert_eq!((record.due_and_seen, record.not_due_and_seen, record.will_time.count), (0, 0, 0));
    }
}

#[test]
fn the_shortest_wait_without_a_will_is_recorded() {
    let seen_at_once = with_will(0, true, &[(2_001, true)], 3);
    assert_eq!(will_of(std::slice::from_ref(&seen_at_once)).shortest_wait_of_unseen_us, None);
    let both = [seen_at_once, with_will(1, true, &[], 900), with_will(2, true, &[], 700)];
    assert_eq!(will_of(&both).shortest_wait_of_unseen_us, Some(700));
}

#[test]
fn examples_are_the_attempts_with_the_lowest_numbers() {
    let record = record_of(&[9, 4, 7, 1, 8].map(|number| closed(number, 2_000)));
    assert_eq!(record.examples, BTreeMap::from([("FIN".to_owned(), vec![1, 4, 7])]));
}

fn reactions() -> impl Strategy<Value = Vec<(ReactionKind, Option<u8>, u64)>> {
    let kind = prop_oneof![
        Just((ReactionKind::Disconnect, Some(0x82))),
        Just((ReactionKind::Disconnect, Some(0x8E))),
        Just((ReactionKind::Connack, Some(0x00))),
        Just((ReactionKind::Garbage, None)),
        Just((ReactionKind::Closed, None)),
        Just((ReactionKind::Reset, None)),
    ];
    prop::collection::vec((kind, 0_u64..9_000_000).prop_map(|((kind, code), at)| (kind, code, at)), 0..4)
}

fn will() -> impl Strategy<Value = Option<WillSeen>> {
    let seen = prop::collection::vec((0_u64..9_000_000, any::<bool>()), 0..3);
    let will = (any::<bool>(), seen, 0_u64..6_000_000).prop_map(|(due, seen, waited_us)| {
        let (seen_at_us, of_first_connect) = seen.into_iter().unzip();
        WillSeen { due, seen_at_us, of_first_connect, waited_us, ..WillSeen::default() }
    });
    prop::option::of(will)
}

fn fact() -> impl Strategy<Value = BTreeMap<String, Fact>> {
    let fact = prop_oneof![
        any::<bool>().prop_map(Fact::Flag),
        (0_u64..3).prop_map(Fact::Count),
        Just(Fact::Word("live".into())),
    ];
    prop::collection::btree_map(prop_oneof![Just("a".to_owned()), Just("b".to_owned())], fact, 0..3)
}

fn measures() -> impl Strategy<Value = BTreeMap<String, u64>> {
    let name = prop::sample::select(&["takeovers", "connack_us", "unread_bytes"]);
    prop::collection::btree_map(name.prop_map(ToOwned::to_owned), 0_u64..9_000_000_000, 0..3)
}

fn messages() -> impl Strategy<Value = BTreeMap<u8, LedgerCounts>> {
    let counts =
        (prop::array::uniform5(0_u64..9), prop::collection::btree_map(0x80_u8..0x83, 1_u64..9, 0..2));
    let counts = counts.prop_map(|(n, refused)| LedgerCounts {
        offered: n[0],
        sent: n[1],
        delivered: n[2],
        lost: n[3],
        duplicated: n[4],
        refused,
        ..LedgerCounts::default()
    });
    prop::collection::btree_map(0_u8..3, counts, 0..3)
}

#[test]
fn measures_and_messages_of_attempts_are_summed_by_name_and_qos() {
    let attempt = |number, measures: &[(&str, u64)], messages: &[(u8, u64)]| Attempt {
        measures: counts(measures),
        milestones: BTreeMap::new(),
        messages: messages
            .iter()
            .map(|(qos, lost)| (*qos, LedgerCounts { lost: *lost, sent: 10, ..LedgerCounts::default() }))
            .collect(),
        ..closed(number, 2_000)
    };
    let record = record_of(&[
        attempt(0, &[("takeovers", 7), ("unread_bytes", 10_000_001)], &[(1, 3)]),
        attempt(1, &[("takeovers", 4)], &[(1, 2), (2, 1)]),
        attempt(2, &[], &[]),
    ]);
    let takeovers = record.measures["takeovers"];
    assert_eq!((takeovers.count, takeovers.sum, takeovers.min, takeovers.max), (2, 11, Some(4), Some(7)));
    let unread = record.measures["unread_bytes"];
    assert_eq!((unread.count, unread.sum, unread.max), (1, 10_000_001, Some(10_000_001)));
    let of_qos = |qos| (record.messages[&qos].sent, record.messages[&qos].lost);
    assert_eq!((of_qos(1), of_qos(2), record.messages.len()), ((20, 5), (10, 1), 2));
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let times =
        (prop::option::of(0_u64..500), prop::option::of(400_u64..900), prop::option::of(0_u64..2_000));
    let trouble = prop::option::of(prop_oneof![Just("refused".to_owned()), Just("silent".to_owned())]);
    let seen = (prop::sample::select(&OUTCOMES), reactions(), will(), fact(), trouble);
    (seen, times, measures(), messages()).prop_map(|(seen, times, measures, messages)| {
        let (outcome, reactions, will, facts, trouble) = seen;
        let (established_us, connack_us, provoked_us) = times;
        Attempt {
            measures,
            messages,
            established_us,
            connack_us,
            provoked_us,
            will,
            facts,
            trouble,
            ..attempt(0, outcome, &reactions)
        }
    })
}

/// Attempts with their numbers, in the order in which they ended, and which worker had each.
fn ended() -> impl Strategy<Value = Vec<(Attempt, bool)>> {
    prop::collection::vec((any_attempt(), prop::bool::weighted(0.3)), 0..60)
        .prop_map(|mut attempts| {
            for ((attempt, _), number) in attempts.iter_mut().zip(0..) {
                attempt.attempt = number;
            }
            attempts
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn merged_tallies_equal_that_of_one_worker(ended in ended()) {
        let (mut first, mut second, mut whole) = (Tally::default(), Tally::default(), Tally::default());
        for (attempt, is_first) in &ended {
            whole.add(attempt);
            if *is_first { &mut first } else { &mut second }.add(attempt);
        }
        let mut merged = first.clone();
        merged.merge(&second);
        prop_assert_eq!(merged.record(&case(), 60), whole.record(&case(), 60));
        second.merge(&first);
        prop_assert_eq!(&second, &merged, "whichever comes first");
        // Histograms are equal as a whole, and not in their percentiles alone.
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn shards_in_records_merge_to_the_record_of_one_run(ended in ended()) {
        let (mut shards, mut whole) = ([Tally::default(), Tally::default()], Tally::default());
        for (attempt, is_first) in &ended {
            whole.add(attempt);
            shards[usize::from(*is_first)].add(attempt);
        }
        let mut merged = Tally::default();
        for shard in &shards {
            let text = serde_json::to_string(&shard.record(&case(), 30)).unwrap();
            let read = Tally::of(&serde_json::from_str(&text).unwrap(), 0).unwrap();
            prop_assert_eq!(&read, shard);
            merged.merge(&read);
        }
        prop_assert_eq!(merged.record(&case(), 60), whole.record(&case(), 60));
    }
}

#[test]
fn examples_of_a_shard_are_numbered_after_those_before_it() {
    let mut tally = Tally::default();
    tally.add(&closed(4, 2_000));
    let moved = Tally::of(&tally.record(&case(), 10), 100).unwrap().record(&case(), 10);
    assert_eq!(moved.examples["FIN"], [104]);
}

#[test]
fn a_case_of_an_older_record_is_no_tally() {
    let older = CaseRecord { sums: None, ..Tally::default().record(&case(), 1) };
    assert!(Tally::of(&older, 0).unwrap_err().contains("earlier version"));
}
