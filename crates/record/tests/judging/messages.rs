//! The checks of every run on the bystanders' messages: their violations, statements, and explanations.

use ungraceful_record::ledger::{Irregularity, IrregularityKind, LedgerCounts};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{
    BystanderOutagesRecord, BystandersRecord, Completeness, Drain, IrregularityRecord, PhaseRecord, Record,
    SysRecord,
};
use ungraceful_record::testing::every;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_record::verdict::{Force, Verdict};

use crate::run_checks::{bystanders, delivered, verdict, verdicts};

const ARRIVE: &str = "acknowledged_messages_arrive";
const ONCE: &str = "qos_2_arrives_once";
const ORDER: &str = "messages_keep_their_order";
const NOT_REPEATED: &str = "messages_are_not_repeated";
const ALL: [&str; 4] = [ARRIVE, ONCE, ORDER, NOT_REPEATED];

fn acknowledged(count: u64) -> LedgerCounts {
    LedgerCounts { acknowledged: count, ..delivered(count) }
}

/// A run in which the bystanders of `qos` had `counts` in the fault phase, and everything well in the baseline.
fn run(qos: u8, counts: LedgerCounts) -> Record {
    bystanders(&[
        (Phase::Baseline, &[(0, delivered(50)), (1, acknowledged(50)), (2, acknowledged(50))]),
        (Phase::Fault, &[(qos, counts)]),
    ])
}

/// One lost message of this QoS, which a later one overtook.
fn one_lost(qos: u8) -> Record {
    run(qos, LedgerCounts { acknowledged: 10, lost: 1, ..delivered(9) })
}

fn one_copy(qos: u8) -> Record {
    run(qos, LedgerCounts { duplicated: 1, duplicated_without_dup: 1, ..acknowledged(9) })
}

fn one_reordered(qos: u8) -> Record {
    run(qos, LedgerCounts { reordered: 1, ..acknowledged(9) })
}

/// For each check that can be violated, a record that violates it.
fn violations() -> [(&'static str, Record); 3] {
    [(ARRIVE, one_lost(1)), (ONCE, one_copy(2)), (ORDER, one_reordered(0))]
}

fn of_bystanders(record: &mut Record) -> &mut BystandersRecord {
    record.bystanders.as_mut().expect("the builder has bystanders")
}

fn irregular(kind: IrregularityKind, qos: u8, first: u64, last: u64) -> IrregularityRecord {
    let irregularity = Irregularity { kind, first, last, code: None, at_us: None, dup: None };
    IrregularityRecord { pair: 7, qos, phase: Phase::Fault, due_us: 1, irregularity }
}

fn differs(verdict: &Verdict) -> bool {
    verdict.conclusion == Holds && verdict.differs.is_some()
}

#[test]
fn complete_delivery_holds_by_the_statements_of_the_version() {
    for (version, citations) in [
        ("5.0", ["MQTT 5.0 [MQTT-4.5.0-1]", "MQTT 5.0 [MQTT-4.4.0-1]", "MQTT 5.0 [MQTT-4.6.0-5]"]),
        ("3.1.1", ["MQTT 3.1.1 [MQTT-4.5.0-1]", "MQTT 3.1.1 [MQTT-4.3.3-1]", "MQTT 3.1.1 [MQTT-4.6.0-6]"]),
    ] {
        let mut record = run(2, acknowledged(10));
        of_bystanders(&mut record).version = version.into();
        for (check, citation) in [ARRIVE, ONCE, ORDER].into_iter().zip(citations) {
            let verdict = verdict(&record, check);
            assert_eq!((verdict.conclusion, &verdict.differs), (Holds, &None), "{verdict:?}");
            assert_eq!(verdict.citation.as_deref(), Some(citation));
        }
        let not_repeated = verdict(&record, NOT_REPEATED);
        assert_eq!((not_repeated.conclusion, not_repeated.citation), (Holds, None));
        assert_eq!(not_repeated.differs, None);
    }
}

#[test]
fn each_violation_cites_the_statement_of_the_version() {
    let of_v3_1_1 = ["MQTT 3.1.1 [MQTT-4.5.0-1]", "MQTT 3.1.1 [MQTT-4.3.3-1]", "MQTT 3.1.1 [MQTT-4.6.0-6]"];
    let of_v5 = ["MQTT 5.0 [MQTT-4.5.0-1]", "MQTT 5.0 [MQTT-4.4.0-1]", "MQTT 5.0 [MQTT-4.6.0-5]"];
    for (version, citations) in [("3.1.1", of_v3_1_1), ("5.0", of_v5)] {
        for ((check, mut record), citation) in violations().into_iter().zip(citations) {
            of_bystanders(&mut record).version = version.into();
            let verdict = verdict(&record, check);
            assert_eq!((verdict.conclusion, verdict.force), (Violated, Force::Must), "{verdict:?}");
            assert_eq!(verdict.citation.as_deref(), Some(citation));
            let others = ALL.into_iter().filter(|other| *other != check);
            for other in others {
                assert_ne!(self::verdict(&record, other).conclusion, Violated, "{other}");
            }
        }
    }
}

#[test]
fn an_unknown_version_is_inconclusive() {
    for (check, mut record) in violations() {
        of_bystanders(&mut record).version = "4.2".into();
        assert_eq!(verdict(&record, check).conclusion, Inconclusive, "{check}");
    }
}

#[test]
fn lost_connections_outages_and_a_lower_qos_turn_a_violation_into_a_note() {
    type Explain = fn(&mut BystandersRecord);
    let explanations: [(Explain, &str); 3] = [
        (|of| of.connections_lost = [("reset".to_owned(), 1)].into(), "lost 1 connections"),
        (
            |of| of.outages = Some(BystanderOutagesRecord { outages: 2, ..Default::default() }),
            "restarted 2 times, as planned",
        ),
        (|of| of.pairs_below_qos = 1, "1 subscribers were granted or served at a lower QoS"),
    ];
    for (explain, evidence) in explanations {
        for (check, mut record) in violations() {
            explain(of_bystanders(&mut record));
            let verdict = verdict(&record, check);
            assert!(differs(&verdict) && verdict.evidence.contains(evidence), "{verdict:?}");
            assert_eq!(verdict.citation, None, "a note cites no statement");
        }
    }
}

#[test]
fn a_run_cut_short_reports_no_violation() {
    for completeness in [
        Completeness::Partial,
        Completeness::Interrupted,
        Completeness::BrokerDown,
        Completeness::RecordFailed,
    ] {
        for (check, mut record) in violations() {
            record.completeness = completeness;
            assert_eq!(verdict(&record, check).conclusion, Inconclusive, "{check} {completeness:?}");
        }
    }
}

#[test]
fn without_bystanders_or_samples_there_is_no_conclusion() {
    let mut record = run(1, acknowledged(1));
    record.bystanders = None;
    let given = verdicts(&record);
    assert!(every(&ALL, |check| !given.contains_key(*check)), "{given:?}");
    let idle = bystanders(&[(Phase::Fault, &[(0, delivered(0)), (1, delivered(0)), (2, delivered(0))])]);
    for check in ALL {
        assert_eq!(verdict(&idle, check).conclusion, Inconclusive, "{check}");
    }
}

#[test]
fn checks_need_bystanders_of_their_qos() {
    let given = verdicts(&bystanders(&[(Phase::Fault, &[(0, delivered(5))])]));
    assert!(!given.contains_key(ARRIVE) && !given.contains_key(ONCE), "{given:?}");
    assert_eq!((given[ORDER].conclusion, given[NOT_REPEATED].conclusion), (Holds, Holds));
    let given = verdicts(&bystanders(&[(Phase::Fault, &[(1, acknowledged(5))])]));
    assert!(given.contains_key(ARRIVE) && !given.contains_key(ONCE), "{given:?}");
}

#[test]
fn a_loss_at_qos_1_or_2_is_a_violation_but_not_at_qos_0() {
    for qos in [1, 2] {
        assert_eq!(verdict(&one_lost(qos), ARRIVE).conclusion, Violated, "{qos}");
    }
    assert_eq!(verdict(&one_lost(0), ARRIVE).conclusion, Holds);
}

#[test]
fn a_loss_is_reported_with_numbers_and_examples() {
    let mut record = one_lost(1);
    of_bystanders(&mut record).irregularities = vec![
        irregular(IrregularityKind::LostAtQos0, 0, 1, 1),
        irregular(IrregularityKind::AcknowledgedButLost, 1, 33, 33),
        irregular(IrregularityKind::AcknowledgedButLost, 2, 40, 49),
    ];
    let expected = "1 of 110 acknowledged messages never arrived (QoS 1: 1; fault: 1), 1 of them overtaken by later \
                    ones of the same publisher; such as pair 7 number 33 (fault), pair 7 number 40 to 49 (fault); a \
                    configured queue limit (Mosquitto: max_queued_messages) may be the cause";
    assert_eq!(verdict(&record, ARRIVE).evidence, expected);
}

#[test]
fn a_loss_in_the_baseline_too_stays_a_violation() {
    let lost = |lost| LedgerCounts { acknowledged: 10, lost, ..delivered(10 - lost) };
    let record = bystanders(&[
        (Phase::Baseline, &[(0, LedgerCounts { lost: 9, ..delivered(1) }), (1, lost(2)), (2, lost(3))]),
        (Phase::Fault, &[(1, lost(1))]),
        (Phase::Recovery, &[(1, lost(0))]),
    ]);
    let verdict = verdict(&record, ARRIVE);
    assert_eq!(verdict.conclusion, Violated);
    assert!(
        verdict.evidence.contains("(QoS 1: 3, QoS 2: 3; baseline: 5, fault: 1), 6 of them"),
        "{verdict:?}"
    );
    assert!(verdict.evidence.contains("max_queued_messages"), "{verdict:?}");
}

#[test]
fn reported_drops_turn_a_loss_into_a_note() {
    let dropped = |topic: &str, before, after| {
        let mut record = one_lost(1);
        record.broker.sys.insert(topic.to_owned(), SysRecord { before, after });
        record.broker.sys_last_heard_us = Some(2_000_001);
        record.phases = vec![PhaseRecord { phase: Phase::Fault, began_us: 1_000_000, ended_us: 2_000_000 }];
        verdict(&record, ARRIVE)
    };
    const DROPPED: &str = "$SYS/broker/publish/messages/dropped";
    let noted = dropped(DROPPED, Some(3), Some(7));
    assert!(differs(&noted), "{noted:?}");
    assert!(
        noted.evidence.ends_with("dropped messages ($SYS/broker/publish/messages/dropped went from 3 to 7)")
    );
    assert!(differs(&dropped(DROPPED, None, Some(7))), "it tells a first time when it drops a first message");
    for (before, after) in [(Some(7), Some(7)), (Some(7), Some(3)), (None, Some(0)), (Some(7), None)] {
        assert_eq!(dropped(DROPPED, before, after).conclusion, Violated, "{before:?} {after:?}");
    }
    assert_eq!(dropped("$SYS/broker/messages/sent", Some(3), Some(7)).conclusion, Violated);
}

#[test]
fn a_drop_counter_must_be_published_after_the_loss() {
    let told = |sys_last_heard_us| {
        let mut record = one_lost(1);
        let topic = "$SYS/broker/publish/messages/dropped".to_owned();
        record.broker.sys.insert(topic, SysRecord { before: Some(7), after: Some(7) });
        record.broker.sys_last_heard_us = sys_last_heard_us;
        let phase = |phase, began_us, ended_us| PhaseRecord { phase, began_us, ended_us };
        record.phases = vec![
            phase(Phase::Fault, 1_000_000, 2_000_000),
            // Lost in the fault phase: what is told in the next one is later.
            phase(Phase::Recovery, 2_000_000, 9_000_000),
        ];
        verdict(&record, ARRIVE)
    };
    for before in [None, Some(500_000), Some(1_500_000), Some(2_000_000)] {
        let unclear = told(before);
        assert_eq!(unclear.conclusion, Inconclusive, "{before:?}");
        assert!(unclear.evidence.contains("use a longer --recovery"), "{unclear:?}");
    }
    assert_eq!(told(Some(2_000_001)).conclusion, Violated);
}

#[test]
fn a_broker_that_still_delivers_at_the_end_is_inconclusive() {
    for (drain, conclusion) in [
        (Some(Drain::StillArriving), Inconclusive),
        (None, Inconclusive),
        (Some(Drain::Settled), Violated),
        (Some(Drain::Quiet), Violated),
    ] {
        let mut record = one_lost(1);
        of_bystanders(&mut record).drain = drain;
        assert_eq!(verdict(&record, ARRIVE).conclusion, conclusion, "{drain:?}");
    }
}

#[test]
fn a_possibly_full_queue_is_inconclusive_without_a_drop_counter() {
    let lost = |late_us| {
        let mut record = one_lost(1);
        let bystanders = of_bystanders(&mut record);
        bystanders.rate_per_pair = 10;
        bystanders.phases[1].response_time.max_us = Some(late_us);
        record
    };
    assert_eq!(verdict(&lost(500_000), ARRIVE).conclusion, Violated, "five find room in any queue");
    let stalled = verdict(&lost(700_000), ARRIVE);
    assert_eq!(stalled.conclusion, Inconclusive);
    assert!(stalled.evidence.contains("7 messages of a publisher were waiting"), "{}", stalled.evidence);
    // Our own freeze makes a burst as well.
    let mut frozen = lost(1_000);
    frozen.generator.schedule_slip.max_us = Some(2_000_000);
    assert_eq!(verdict(&frozen, ARRIVE).conclusion, Inconclusive);
    let mut counted = lost(700_000);
    counted
        .broker
        .sys
        .insert("$SYS/broker/publish/messages/dropped".into(), SysRecord { before: Some(0), after: Some(0) });
    counted.broker.sys_last_heard_us = Some(2_000_001);
    counted.phases = vec![PhaseRecord { phase: Phase::Fault, began_us: 1_000_000, ended_us: 2_000_000 }];
    assert_eq!(verdict(&counted, ARRIVE).conclusion, Violated, "by its own account it dropped none");
}

#[test]
fn losses_at_the_end_may_be_late_and_are_inconclusive() {
    let counts = LedgerCounts { acknowledged: 12, lost: 3, lost_at_the_end: 3, ..delivered(9) };
    let late = verdict(&run(1, counts.clone()), ARRIVE);
    assert_eq!(late.conclusion, Inconclusive);
    assert!(late.evidence.contains("late rather than lost"), "{late:?}");
    let overtaken = LedgerCounts { lost_at_the_end: 2, ..counts };
    assert_eq!(verdict(&run(1, overtaken), ARRIVE).conclusion, Violated);
}

#[test]
fn no_arrival_at_all_is_inconclusive() {
    let counts = LedgerCounts { acknowledged: 9, lost: 9, lost_at_the_end: 0, ..LedgerCounts::default() };
    let record = bystanders(&[(Phase::Fault, &[(1, counts)])]);
    assert_eq!(verdict(&record, ARRIVE).conclusion, Inconclusive);
}

#[test]
fn a_broker_that_reports_no_subscriber_gets_a_note() {
    let counts = LedgerCounts { acknowledged: 12, without_subscribers: 3, ..delivered(9) };
    let verdict = verdict(&run(1, counts), ARRIVE);
    assert!(differs(&verdict) && verdict.evidence.contains("0x10"), "{verdict:?}");
    assert_eq!(verdict.citation, None);
}

#[test]
fn refused_and_unknown_messages_are_not_lost() {
    let refused = std::collections::BTreeMap::from([(0x97, 4)]);
    let counts = LedgerCounts { refused, unknown: 5, ..acknowledged(9) };
    assert_eq!(verdict(&run(2, counts), ARRIVE).conclusion, Holds);
}

#[test]
fn copies_are_a_note_at_qos_0_and_1_and_a_violation_at_qos_2() {
    for (qos, once, repeated) in [(0, Holds, true), (1, Holds, true), (2, Violated, false)] {
        let record = one_copy(qos);
        assert_eq!(verdict(&record, ONCE).conclusion, once, "{qos}");
        let noted = verdict(&record, NOT_REPEATED);
        assert_eq!((noted.conclusion, noted.differs.is_some()), (Holds, repeated), "{qos}");
    }
    let mut record = one_copy(1);
    let copy = irregular(IrregularityKind::Duplicated, 1, 3, 3);
    of_bystanders(&mut record).irregularities = vec![irregular(IrregularityKind::Duplicated, 2, 1, 1), copy];
    let expected = "QoS 1: 1 copies beyond the first, 1 of them with DUP 0; such as pair 7 number 3 (fault)";
    assert_eq!(verdict(&record, NOT_REPEATED).evidence, expected);
}

#[test]
fn a_repeated_publish_is_no_second_delivery() {
    let record = run(2, LedgerCounts { repeated: 4, ..acknowledged(9) });
    assert_eq!(verdict(&record, ONCE).conclusion, Holds);
    let noted = verdict(&record, NOT_REPEATED);
    assert!(differs(&noted) && noted.evidence.contains("4 PUBLISH packets"), "{noted:?}");
}

#[test]
fn messages_out_of_order_are_a_violation_at_every_qos() {
    for qos in [0, 1, 2] {
        let verdict = verdict(&one_reordered(qos), ORDER);
        assert_eq!(verdict.conclusion, Violated);
        assert!(verdict.evidence.contains(&format!("(QoS {qos}: 1)")), "{verdict:?}");
    }
}
