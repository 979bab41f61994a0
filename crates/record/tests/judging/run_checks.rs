//! The checks of every run on the run itself and on the impact on bystanders. None can be violated; those in `messages` can.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ungraceful_record::checks::CHECKS;
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{
    AttemptsRecord, BystanderOutagesRecord, BystanderPhaseRecord, BystandersRecord, Completeness, Drain,
    Record,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

use ungraceful_record::testing::{case, empty_record};

pub(crate) fn verdicts(record: &Record) -> BTreeMap<String, Verdict> {
    let mut record = record.clone();
    judge(&mut record, CHECKS);
    record.verdicts.into_iter().map(|verdict| (verdict.check.clone(), verdict)).collect()
}

pub(crate) fn verdict(record: &Record, check: &str) -> Verdict {
    verdicts(record).remove(check).expect("the check gave a verdict")
}

fn attempts(planned: u64, dropped: u64, outcomes: &[(Outcome, u64)]) -> Record {
    let mut record = empty_record();
    record.attempts = AttemptsRecord { planned, dropped, ..AttemptsRecord::default() };
    record.cases = vec![case("double-connect", "identical", "5.0", outcomes)];
    record
}

pub(crate) fn bystanders(phases: &[(Phase, &[(u8, LedgerCounts)])]) -> Record {
    let phase = |(phase, by_qos): &(Phase, &[(u8, LedgerCounts)])| BystanderPhaseRecord {
        phase: *phase,
        response_time: Percentiles::default(),
        service_time: Percentiles::default(),
        acknowledge_time: Percentiles::default(),
        by_qos: by_qos.iter().cloned().collect(),
    };
    let mut record = empty_record();
    record.bystanders = Some(BystandersRecord {
        pairs: 1,
        rate_per_pair: 10,
        version: "5.0".into(),
        phases: phases.iter().map(phase).collect(),
        drain: Some(Drain::Quiet),
        ..BystandersRecord::default()
    });
    record
}

pub(crate) fn delivered(count: u64) -> LedgerCounts {
    LedgerCounts { offered: count, sent: count, delivered: count, ..LedgerCounts::default() }
}

#[test]
fn nothing_observed_is_never_a_pass() {
    let verdicts = verdicts(&empty_record());
    assert_eq!(verdicts.len(), 2, "no bystanders, no word about them: {verdicts:?}");
    for verdict in verdicts.values() {
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
    let of_idle_bystanders = self::verdicts(&bystanders(&[]));
    assert_eq!(of_idle_bystanders.len(), 9);
    for verdict in of_idle_bystanders.values() {
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
}

#[test]
fn connections_restored_after_a_planned_outage_are_no_deviation() {
    const CHECK: &str = "bystanders_stay_connected";
    let with = |came_back| {
        let mut record = bystanders(&[(Phase::Fault, &[(0, delivered(5))])]);
        let outages = BystanderOutagesRecord {
            outages: 2,
            connections_lost: 12,
            came_back,
            longest_away_us: Some(900),
        };
        record.bystanders.as_mut().unwrap().outages = Some(outages);
        record
    };
    let all = verdict(&with(12), CHECK);
    assert_eq!((all.conclusion, all.differs), (Conclusion::Holds, None));
    assert!(all.evidence.contains("12 did, and all came back, the last after 900 µs"), "{}", all.evidence);
    let some = verdict(&with(11), CHECK);
    assert!(some.differs.unwrap().starts_with("1 connections of well-behaved clients"));
    let mut other = with(12);
    other.bystanders.as_mut().unwrap().connections_lost.insert("reset".into(), 1);
    assert!(
        verdict(&other, CHECK).differs.unwrap().contains("lost 1 connections"),
        "beside the planned ones"
    );
}

#[test]
fn a_plan_is_complete_when_every_attempt_acted() {
    let outcomes =
        [(Outcome::Closed, 3), (Outcome::NoReaction, 2), (Outcome::Tolerated, 1), (Outcome::Reset, 1)];
    let verdict = verdict(&attempts(7, 0, &outcomes), "carries_out_the_plan");
    assert_eq!((verdict.conclusion, verdict.force), (Conclusion::Holds, Force::Run));
    assert_eq!(verdict.evidence, "7 of 7 attempts acted");
}

#[test]
fn one_attempt_that_did_not_act_makes_the_plan_inconclusive() {
    let all =
        [(Outcome::Closed, 40), (Outcome::NotActed, 3), (Outcome::BrokerDown, 4), (Outcome::Interrupted, 5)];
    let told = verdict(&attempts(60, 8, &all), "carries_out_the_plan").evidence;
    let expected = "of 60 attempts, 8 were never started, 3 could not act, 4 found the broker down, 5 were \
                    interrupted";
    assert_eq!(told, expected);
    let stopped = Record { completeness: Completeness::OutOfTime, ..attempts(60, 8, &all) };
    let told = verdict(&stopped, "carries_out_the_plan").evidence;
    assert!(
        told.starts_with("of 60 attempts, 8 were never started, or cut off when the run stopped, 3"),
        "{told}"
    );
    for (dropped, outcome) in
        [(1, Outcome::Closed), (0, Outcome::NotActed), (0, Outcome::BrokerDown), (0, Outcome::Interrupted)]
    {
        let record = attempts(2, dropped, &[(outcome, 1), (Outcome::Reset, 1)]);
        let verdict = verdict(&record, "carries_out_the_plan");
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{dropped} {outcome:?}");
    }
}

#[test]
fn the_generator_keeps_up_without_a_bottleneck() {
    let mut record = empty_record();
    record.generator.schedule_slip =
        Percentiles { count: 30, p50_us: Some(3), max_us: Some(81), ..Percentiles::default() };
    let few = verdict(&record, "generator_keeps_up");
    assert_eq!(few.conclusion, Conclusion::Holds);
    assert_eq!(few.evidence, "schedule slip of at most 81 µs", "too few samples for a percentile");
    record.generator.schedule_slip.p99_us = Some(70);
    let many = verdict(&record, "generator_keeps_up");
    assert_eq!(many.evidence, "schedule slip of 70 µs at the 99th percentile");
}

#[test]
fn every_bottleneck_is_reported_as_inconclusive() {
    let mut record = empty_record();
    record.generator.schedule_slip.p99_us = Some(7);
    record.generator.bottlenecks = vec!["slip".into(), "lag".into()];
    let verdict = verdict(&record, "generator_keeps_up");
    assert_eq!((verdict.conclusion, verdict.evidence.as_str()), (Conclusion::Inconclusive, "slip; lag"));
}

#[test]
fn bystanders_that_received_everything_lost_nothing() {
    let record = bystanders(&[
        (Phase::Baseline, &[(0, delivered(5)), (1, delivered(6))]),
        (Phase::Fault, &[(0, delivered(7)), (2, delivered(8))]),
    ]);
    let verdict = verdict(&record, "bystanders_lose_nothing");
    assert_eq!((verdict.conclusion, &verdict.differs), (Conclusion::Holds, &None));
    assert!(verdict.evidence.starts_with("26 messages delivered, 0 acknowledged but lost"), "{verdict:?}");
}

#[test]
fn every_way_of_missing_a_message_is_counted_without_violation() {
    let counts = |lost, unknown, waiting, dropped, refused: u64| LedgerCounts {
        lost,
        unknown,
        waiting,
        dropped,
        refused: BTreeMap::from([(0x97, refused)]),
        ..delivered(100)
    };
    let record = bystanders(&[
        (Phase::Baseline, &[(0, counts(1, 2, 3, 4, 0))]),
        (Phase::Fault, &[(1, counts(10, 20, 30, 40, 50)), (2, counts(100, 200, 300, 400, 500))]),
    ]);
    let verdict = verdict(&record, "bystanders_lose_nothing");
    assert_eq!(verdict.conclusion, Conclusion::Holds);
    assert_eq!(verdict.differs.as_deref(), Some("bystanders missed 1660 messages"));
    let expected = "300 messages delivered, 110 acknowledged but lost, 1 of QoS 0 lost, 222 unknown, 550 refused, \
                    777 not sent";
    assert_eq!(verdict.evidence, expected);
}

#[test]
fn each_single_way_of_missing_a_message_is_enough_to_differ() {
    let ways = [
        LedgerCounts { lost: 1, ..delivered(9) },
        LedgerCounts { unknown: 1, ..delivered(9) },
        LedgerCounts { without_subscribers: 1, ..delivered(9) },
        LedgerCounts { waiting: 1, ..delivered(9) },
        LedgerCounts { dropped: 1, ..delivered(9) },
        LedgerCounts { refused: BTreeMap::from([(0x80, 1)]), ..delivered(9) },
    ];
    for way in ways {
        let record = bystanders(&[(Phase::Fault, &[(1, way.clone())])]);
        let verdict = verdict(&record, "bystanders_lose_nothing");
        assert_eq!(verdict.differs.as_deref(), Some("bystanders missed 1 messages"), "{way:?}");
    }
}

#[test]
fn bystanders_without_deliveries_are_inconclusive() {
    let lost = LedgerCounts { offered: 9, sent: 9, lost: 9, ..LedgerCounts::default() };
    let verdict = verdict(&bystanders(&[(Phase::Fault, &[(0, lost)])]), "bystanders_lose_nothing");
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive);
}

#[test]
fn a_lost_bystander_connection_differs_with_its_reasons() {
    let mut record = bystanders(&[(Phase::Fault, &[(0, delivered(5))])]);
    let kept = verdict(&record, "bystanders_stay_connected");
    assert_eq!((kept.conclusion, kept.differs), (Conclusion::Holds, None));
    let lost = BTreeMap::from([("reset by peer".to_owned(), 2), ("timed out".to_owned(), 3)]);
    record.bystanders.as_mut().unwrap().connections_lost = lost;
    let verdict = verdict(&record, "bystanders_stay_connected");
    assert_eq!(verdict.conclusion, Conclusion::Holds);
    assert_eq!(verdict.differs.as_deref(), Some("well-behaved clients lost 5 connections"));
    assert_eq!(verdict.evidence, "reset by peer (2 times); timed out (3 times)");
}

fn ledger_counts() -> impl Strategy<Value = LedgerCounts> {
    prop::array::uniform14(0_u64..1_000).prop_map(|n| LedgerCounts {
        offered: n[0],
        sent: n[1],
        dropped: n[2],
        waiting: n[3],
        acknowledged: n[4],
        refused: BTreeMap::from([(0x97, n[5])]),
        delivered: n[6],
        lost: n[7],
        unknown: n[8],
        duplicated: n[9],
        reordered: n[10],
        lost_at_the_end: n[11],
        without_subscribers: n[12],
        duplicated_without_dup: n[13],
        repeated: n[0],
    })
}

proptest! {
    #[test]
    fn only_message_checks_report_violations(
        planned in 0_u64..50,
        dropped in 0_u64..50,
        outcomes in prop::array::uniform7(0_u64..5),
        counts in prop::option::of((ledger_counts(), ledger_counts())),
        is_bottleneck in any::<bool>(),
        slip_us in prop::option::of(0_u64..100_000),
        lost in 0_u64..3,
        below in 0_u64..2,
        is_complete in any::<bool>(),
    ) {
        const VIOLABLE: [&str; 3] = ["acknowledged_messages_arrive", "qos_2_arrives_once", "messages_keep_their_order"];
        const OUTCOMES: [Outcome; 7] = [
            Outcome::Closed, Outcome::Reset, Outcome::Tolerated, Outcome::NoReaction, Outcome::BrokerDown,
            Outcome::NotActed, Outcome::Interrupted,
        ];
        let mut record = match counts {
            Some((first, second)) => bystanders(&[(Phase::Baseline, &[(0, first)]), (Phase::Fault, &[(1, second)])]),
            None => empty_record(),
        };
        if let Some(bystanders) = &mut record.bystanders {
            bystanders.connections_lost.insert("reset".into(), lost);
            bystanders.pairs_below_qos = below;
        }
        let of_attempts = attempts(planned, dropped, &OUTCOMES.into_iter().zip(outcomes).collect::<Vec<_>>());
        record.attempts = of_attempts.attempts;
        record.cases = of_attempts.cases;
        if !is_complete {
            record.completeness = Completeness::Interrupted;
        }
        record.generator.schedule_slip.max_us = slip_us;
        record.generator.bottlenecks = vec!["late".into(); usize::from(is_bottleneck)];
        for verdict in verdicts(&record).values() {
            if verdict.conclusion == Conclusion::Violated {
                prop_assert!(VIOLABLE.contains(&verdict.check.as_str()) && verdict.citation.is_some());
                prop_assert!(is_complete && lost + below == 0);
            }
            if verdict.force == Force::Run {
                prop_assert_eq!(&verdict.citation, &None);
            }
            prop_assert!(verdict.differs.is_none() || verdict.conclusion == Conclusion::Holds);
        }
    }
}

// bystanders_keep_their_pace

const PACE: &str = "bystanders_keep_their_pace";

fn served_within_us(baseline: Option<u64>, fault: Option<u64>) -> Record {
    let mut record = bystanders(&[(Phase::Baseline, &[]), (Phase::Fault, &[])]);
    let phases = &mut record.bystanders.as_mut().expect("the builder has bystanders").phases;
    for (phase, p99_us) in phases.iter_mut().zip([baseline, fault]) {
        (phase.response_time.count, phase.response_time.p99_us) = (2_000, p99_us);
    }
    record
}

#[test]
fn slower_service_beyond_noise_is_a_note() {
    let judged = |baseline, fault| verdict(&served_within_us(Some(baseline), Some(fault)), PACE);
    assert_eq!(judged(2_000, 2_100).differs, None);
    assert_eq!(judged(100, 4_000).differs, None, "forty times of next to nothing");
    assert_eq!(judged(10_000, 29_000).differs, None, "less than three times");
    let slow = judged(2_000, 90_000);
    assert_eq!(slow.conclusion, Conclusion::Holds, "no statement bounds it");
    assert!(
        slow.differs.is_some()
            && slow.evidence.contains("2.00 ms in the baseline")
            && slow.evidence.contains("90.0 ms in")
    );
}

#[test]
fn slowness_that_our_own_lateness_explains_is_inconclusive() {
    let mut record = served_within_us(Some(4_000), Some(21_000));
    record.generator.schedule_slip.p99_us = Some(13_000);
    let ours = verdict(&record, PACE);
    assert_eq!((ours.conclusion, ours.differs), (Conclusion::Inconclusive, None));
    record.generator.schedule_slip.p99_us = Some(500);
    assert!(verdict(&record, PACE).differs.is_some());
}

#[test]
fn an_unmeasured_pace_is_inconclusive() {
    for (baseline, fault) in [(None, Some(1)), (Some(1), None)] {
        assert_eq!(verdict(&served_within_us(baseline, fault), PACE).conclusion, Conclusion::Inconclusive);
    }
}

#[test]
fn the_pace_is_compared_at_the_highest_common_percentile() {
    let mut record = served_within_us(Some(1_000), None);
    let phases = &mut record.bystanders.as_mut().unwrap().phases;
    for (phase, (p90_us, max_us)) in phases.iter_mut().zip([(900, 5_000), (60_000, 70_000)]) {
        (phase.response_time.p90_us, phase.response_time.max_us) = (Some(p90_us), Some(max_us));
    }
    let verdict = verdict(&record, PACE);
    assert!(verdict.evidence.contains("90th percentile: 900 µs in the baseline, 60.0 ms"), "{verdict:?}");
}
