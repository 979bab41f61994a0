//! Thresholds on what attempts, bystanders and the broker's process show: each holds, is missed, and says when nothing was measured.

use std::collections::BTreeMap;

use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::{Metric, Percentiles, Values, histogram};
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{
    AttemptsRecord, BrokerResourcesRecord, CaseRecord, MetricRecord, PhaseRecord, QuantityRecord, Record,
    SlopeRecord,
};
use ungraceful_record::testing::{case, empty_record};
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::Conclusion::{self, Holds, Inconclusive, Violated};

use crate::run_checks::bystanders;

fn concluded(threshold: &str, record: &Record) -> Conclusion {
    threshold.parse::<Threshold>().expect("a threshold").judge(record).conclusion
}

/// Every subject that needs no load, with the figures that one sample is enough for.
const SUBJECTS: [&str; 13] = [
    "reaction max<3600s",
    "close max<3600s",
    "will max<3600s",
    "connack max<3600s",
    "recovery max<3600s",
    "attempts_dropped==0",
    "closed>=0",
    "takeovers>=0",
    "bystander_loss==0",
    "bystander_disconnects==0",
    "memory_slope<1M",
    "broker_memory<1000M",
    "broker_cpu<64",
];

/// 200 attempts with reactions from 1 to 200 ms, one dropped, and bystanders that lost a message and a connection.
fn eventful() -> Record {
    let lost = LedgerCounts { delivered: 999, lost: 1, ..LedgerCounts::default() };
    let mut record = bystanders(&[(Phase::Baseline, &[(1, lost.clone())]), (Phase::Fault, &[(1, lost)])]);
    let of = record.bystanders.as_mut().expect("the fixture has bystanders");
    of.connections_lost = BTreeMap::from([("reset".to_owned(), 1)]);
    (of.recovery_limit_us, of.recovery_time_us) = (Some(5_000), Some(3_000_000));
    let mut times = histogram();
    (1..=200).for_each(|ms| times.record(ms * 1_000).expect("within the bounds"));
    let times = Percentiles::of(&times);
    record.reaction_time = times;
    record.metrics = [Metric::TimeToClose, Metric::WillTime, Metric::ConnackTime]
        .map(|metric| MetricRecord { metric, phase: Phase::Fault, percentiles: times })
        .to_vec();
    record.attempts = AttemptsRecord { planned: 201, dropped: 1, ..AttemptsRecord::default() };
    record.cases = vec![
        case("storm", "clean", "5.0", &[(Outcome::Closed, 90), (Outcome::Tolerated, 10)]),
        case("drop", "rst", "5.0", &[(Outcome::Reset, 90), (Outcome::NotActed, 10)]),
    ];
    record.broker_resources = Some(BrokerResourcesRecord {
        rss_bytes: QuantityRecord {
            per_1000_attempts: Some(SlopeRecord {
                estimate: 5_000.0,
                low: 4_000.0,
                high: 6_000.0,
                samples: 9,
            }),
            max: Some(20_000_000),
            ..QuantityRecord::default()
        },
        cpu_us_fault_phase: Some(3_000_000),
        samples: 9,
        ..BrokerResourcesRecord::default()
    });
    record.phases = vec![PhaseRecord { phase: Phase::Fault, began_us: 1_000_000, ended_us: 5_000_000 }];
    record
}

#[test]
fn each_is_compared_with_what_the_record_has() {
    let record = eventful();
    for (threshold, expected) in [
        ("reaction p(95)<=190ms", Violated),
        ("reaction p(95)<191ms", Holds),
        ("close p(95)<191ms", Holds),
        ("close p(90)<100ms", Violated),
        ("will p(50)<101ms", Holds),
        ("will p(50)<99ms", Violated),
        ("connack max<=199ms", Violated),
        ("connack max<201ms", Holds),
        ("recovery max<=3s", Holds),
        ("recovery max<3s", Violated),
        ("attempts_dropped==1", Holds),
        ("attempts_dropped<0.1%", Violated),
        // Attempts that did not act are not among those that could be closed.
        ("closed>=94%", Holds),
        ("closed==180", Holds),
        ("closed==100%", Violated),
        ("takeovers==90%", Holds),
        ("takeovers==100", Violated),
        // The baseline's loss is not of the fault.
        ("bystander_loss==1", Holds),
        ("bystander_loss<0.1%", Violated),
        ("bystander_disconnects==0", Violated),
        ("bystander_disconnects<=50%", Holds),
        ("memory_slope<7k", Holds),
        ("memory_slope<3k", Violated),
        ("broker_memory<20M", Violated),
        ("broker_memory<=20M", Holds),
        // 3 s of 4 s.
        ("broker_cpu<0.8", Holds),
        ("broker_cpu<0.7", Violated),
        // Within its interval.
        ("memory_slope<5500", Inconclusive),
        ("memory_slope<4500", Inconclusive),
    ] {
        assert_eq!(concluded(threshold, &record), expected, "{threshold}");
    }
}

#[test]
fn without_samples_nothing_is_concluded() {
    for threshold in SUBJECTS {
        assert_eq!(concluded(threshold, &empty_record()), Inconclusive, "{threshold}");
        assert_ne!(concluded(threshold, &eventful()), Inconclusive, "{threshold} with samples");
    }
}

#[test]
fn bystanders_that_never_recovered_took_the_whole_phase() {
    let mut record = eventful();
    record.bystanders.as_mut().expect("the fixture has bystanders").recovery_time_us = None;
    record.phases = vec![PhaseRecord { phase: Phase::Recovery, began_us: 1_000_000, ended_us: 11_000_000 }];
    assert_eq!(concluded("recovery max<9s", &record), Violated);
}

#[test]
fn a_time_that_most_attempts_do_not_have_says_nothing_about_all() {
    let mut record = eventful();
    // 200 have a time; one of a hundred more or less is within the tail, half of them is not.
    for (tolerated, threshold, expected) in [
        (12, "close p(90)<181ms", Holds),
        (12, "close p(99)<3600s", Inconclusive),
        (202, "close p(50)<3600s", Inconclusive),
        (200, "close min<2ms", Holds),
        (200, "reaction max<3600s", Inconclusive),
        (200, "connack max<3600s", Holds),
    ] {
        record.cases =
            vec![case("storm", "clean", "5.0", &[(Outcome::Closed, 200), (Outcome::Tolerated, tolerated)])];
        assert_eq!(concluded(threshold, &record), expected, "{tolerated} tolerated: {threshold}");
    }
}

#[test]
fn take_overs_of_a_duel_are_all_that_it_counted() {
    let mut record = eventful();
    let mut counted = Values::default();
    [700, 300].into_iter().for_each(|takeovers| counted.add(takeovers));
    let duel = case("duel", "two", "5.0", &[(Outcome::Left, 2)]);
    let measures = BTreeMap::from([("takeovers".to_owned(), counted.distribution())]);
    record.cases = vec![CaseRecord { measures, ..duel }];
    assert_eq!(concluded("takeovers==1000", &record), Holds);
    assert_eq!(concluded("takeovers==2", &record), Violated);
    let mut none = Values::default();
    none.add(0);
    record.cases[0].measures.insert("takeovers".to_owned(), none.distribution());
    assert_eq!(concluded("takeovers==0", &record), Holds);
    assert_eq!(concluded("takeovers>=1", &record), Violated);
    assert!(
        "recovery p(50)<1s".parse::<Threshold>().expect_err("a single time").contains("use recovery max")
    );
}
