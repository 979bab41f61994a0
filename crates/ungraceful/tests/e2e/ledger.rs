//! The bystanders' messages: each way of losing, repeating or reordering them violates the right check and no other, and a broker
//! that stops for a while only costs time.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use ungraceful_record::ledger::{IrregularityKind, LedgerCounts};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{BystanderPhaseRecord, BystandersRecord, Drain};
use ungraceful_record::testing::every;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_scripted_broker::Script;

use crate::support::{Call, Running, VERSIONS, double_connect_at};

const ARRIVE: &str = "acknowledged_messages_arrive";
const ONCE: &str = "qos_2_arrives_once";
const ORDER: &str = "messages_keep_their_order";
const NOT_REPEATED: &str = "messages_are_not_repeated";

/// A short run against a broker with this policy for deliveries.
fn against(deliveries: &str, flags: &str) -> Call {
    let deliveries = deliveries.parse().unwrap();
    let script = Script { deliveries, ..Script::default() };
    double_connect_at(script, &format!("--variant identical --attempts 3 {flags}"))
}

fn bystanders(call: &Call) -> BystandersRecord {
    call.record().bystanders.unwrap()
}

/// The counts of this QoS over all phases; asserts that they add up.
fn sum(bystanders: &BystandersRecord, qos: u8) -> LedgerCounts {
    let mut sum = LedgerCounts::default();
    for counts in bystanders.phases.iter().filter_map(|phase| phase.by_qos.get(&qos)) {
        sum += counts;
    }
    assert_eq!(sum.offered, sum.sent + sum.dropped + sum.waiting, "{sum:?}");
    sum
}

/// Messages of this kind in the evidence, listed or not.
fn irregular(bystanders: &BystandersRecord, kind: IrregularityKind) -> u64 {
    let of_kind = bystanders.irregularities.iter().filter(|listed| listed.irregularity.kind == kind);
    let listed: u64 = of_kind.map(|listed| listed.irregularity.messages()).sum();
    listed + bystanders.irregularities_left_out.get(&kind).copied().unwrap_or(0)
}

fn has_note(call: &Call, check: &str) -> bool {
    call.verdicts(check)[0].differs.is_some()
}

#[test]
fn a_conforming_broker_passes_the_message_checks_in_both_versions() {
    for version in VERSIONS {
        let call = against("all", &format!("-V {version}")).expect_exit(0);
        for check in [ARRIVE, ONCE, ORDER, NOT_REPEATED] {
            let verdict = &call.verdicts(check)[0];
            assert_eq!((verdict.conclusion, &verdict.differs), (Holds, &None), "{call}");
        }
        let bystanders = bystanders(&call);
        assert_eq!((bystanders.drain, bystanders.pairs_below_qos), (Some(Drain::Settled), 0));
        assert!(bystanders.irregularities.is_empty(), "{:?}", bystanders.irregularities);
    }
}

#[test]
fn mqtt5_4_5_0_1_lost_acknowledged_messages_are_violated() {
    for version in VERSIONS {
        // At this rate no queue fills up while a busy machine delays the messages; a full queue would explain the loss.
        let call = against("lose-every-10", &format!("--bystander-rate 20 -V {version}"));
        call.assert_violates(&[ARRIVE]);
        let citation = format!("MQTT {version} [MQTT-4.5.0-1]");
        assert_eq!(call.verdicts(ARRIVE)[0].citation, Some(citation));
        let bystanders = bystanders(&call);
        let lost = sum(&bystanders, 1).lost + sum(&bystanders, 2).lost;
        assert!(lost > 0, "{call}");
        assert_eq!(irregular(&bystanders, IrregularityKind::AcknowledgedButLost), lost);
        assert_eq!(irregular(&bystanders, IrregularityKind::LostAtQos0), sum(&bystanders, 0).lost);
        assert_eq!(bystanders.drain, Some(Drain::Quiet));
        // Every tenth delivery of a subscriber: the numbers, from 0, end in 9.
        assert!(!bystanders.irregularities.is_empty(), "{call}");
        for listed in &bystanders.irregularities {
            let what = &listed.irregularity;
            assert!(what.first % 10 == 9 && what.last == what.first && what.at_us.is_none(), "{listed:?}");
        }
        let shown = call.stdout();
        let alarm = shown.find("ACKNOWLEDGED BUT LOST").unwrap();
        let evidence = shown.find("\nLost ").unwrap();
        assert!(alarm < evidence && evidence < shown.find("What the broker did").unwrap(), "{shown}");
    }
}

#[test]
fn messages_lost_at_qos_0_are_only_noted() {
    let call = against("lose-every-10", "--bystander-qos 0").expect_exit(0);
    assert!(has_note(&call, "bystanders_lose_nothing") && call.has_no_verdict_of(ARRIVE));
    assert!(!call.stdout().contains("ACKNOWLEDGED BUT LOST"), "{}", call.stdout());
}

#[test]
fn mqtt5_4_4_0_1_a_qos_2_message_delivered_twice_is_violated() {
    for (version, number) in [("3.1.1", "4.3.3-1"), ("5.0", "4.4.0-1")] {
        let call = against("duplicate-every-10", &format!("-V {version}"));
        call.assert_violates(&[ONCE]);
        assert_eq!(call.verdicts(ONCE)[0].citation, Some(format!("MQTT {version} [MQTT-{number}]")));
        assert!(has_note(&call, NOT_REPEATED), "those of QoS 0 and 1: {call}");
        let bystanders = bystanders(&call);
        let counts = [0, 1, 2].map(|qos| sum(&bystanders, qos));
        for counts in &counts {
            assert!(counts.duplicated > 0, "{counts:?}");
            assert_eq!(counts.duplicated_without_dup, counts.duplicated, "{counts:?}");
            assert_eq!((counts.lost, counts.reordered, counts.repeated), (0, 0, 0));
        }
        let duplicated: u64 = counts.iter().map(|counts| counts.duplicated).sum();
        assert_eq!(irregular(&bystanders, IrregularityKind::Duplicated), duplicated);
        assert!(!bystanders.irregularities.is_empty(), "{call}");
        for listed in &bystanders.irregularities {
            assert!(listed.irregularity.at_us.unwrap() >= listed.due_us, "{listed:?}");
            assert_eq!(listed.irregularity.dup, Some(false), "{listed:?}");
        }
        call.assert_prints(&["\nDuplicated "]);
    }
}

#[test]
fn copies_at_qos_2_violate_one_check() {
    let call = against("duplicate-qos2-every-10", "");
    call.assert_violates(&[ONCE]);
    assert!(!has_note(&call, NOT_REPEATED), "{call}");
}

#[test]
fn messages_of_qos_0_and_1_that_are_delivered_twice_are_a_note() {
    let call = against("duplicate-every-10", "--bystander-qos 0,1").expect_exit(0);
    assert!(has_note(&call, NOT_REPEATED) && call.has_no_verdict_of(ONCE), "{call}");
}

#[test]
fn mqtt5_4_6_0_5_reordered_messages_are_violated() {
    for (version, number) in [("3.1.1", "4.6.0-6"), ("5.0", "4.6.0-5")] {
        let call = against("swap-every-10", &format!("-V {version}"));
        call.assert_violates(&[ORDER]);
        assert_eq!(call.verdicts(ORDER)[0].citation, Some(format!("MQTT {version} [MQTT-{number}]")));
        let bystanders = bystanders(&call);
        let reordered = [0, 1, 2].map(|qos| sum(&bystanders, qos).reordered);
        assert!(every(&reordered, |count| *count > 0), "{reordered:?}");
        assert_eq!(irregular(&bystanders, IrregularityKind::Reordered), reordered.iter().sum::<u64>());
        call.assert_prints(&["\nReordered "]);
    }
}

#[test]
fn deliveries_after_the_end_of_the_run_are_no_violation() {
    // Messages arrive again shortly before the end of the wait, or would long after it.
    for (delay, expected) in [("12s", [Inconclusive, Holds]), ("120s", [Inconclusive, Inconclusive])] {
        let call = against(&format!("delay-{delay}-while-attacked-3600s"), "");
        call.assert_violates_nothing();
        assert!(expected.contains(&call.verdicts(ARRIVE)[0].conclusion), "{delay} {call}");
        assert!(bystanders(&call).drain.is_some());
    }
}

// A broker that stops for a while

/// How long the broker is stopped.
const PAUSE: Duration = Duration::from_secs(5);

fn phase(bystanders: &BystandersRecord, wanted: Phase) -> &BystanderPhaseRecord {
    bystanders.phases.iter().find(|phase| phase.phase == wanted).unwrap()
}

#[test]
fn mqtt5_a_broker_stopped_for_five_seconds_costs_only_that_time() {
    stopped_for_five_seconds("5.0");
}

#[test]
fn mqtt3_1_1_a_broker_stopped_for_five_seconds_costs_only_that_time() {
    stopped_for_five_seconds("3.1.1");
}

fn stopped_for_five_seconds(version: &str) {
    // Every wait is longer than the pause.
    let flags = format!(
        "--spawn mosquitto -V {version} --variant identical --duration 12s -R 10 --baseline 4s \
                --recovery 60s --reaction-timeout 30s --connect-timeout 30s"
    );
    let running = Running::double_connect(&flags);
    let broker = running.broker();
    let stopped = RunClock::start();
    kill_process(broker, Signal::STOP).unwrap();
    std::thread::sleep(PAUSE);
    kill_process(broker, Signal::CONT).unwrap();
    // The upper bound of the pause, which a busy machine may have made longer.
    let paused_us = stopped.now_us();
    let call = running.end();
    let record = call.record();
    // Nothing is violated, nothing inconclusive, and every attempt acted.
    assert_eq!(call.output.status.code(), Some(0), "{call}\n{:?}", record.verdicts);

    let bystanders = record.bystanders.unwrap();
    assert_eq!(bystanders.version, version);
    let (baseline, fault) = (phase(&bystanders, Phase::Baseline), phase(&bystanders, Phase::Fault));
    assert!(fault.response_time.count >= 1_000, "{fault:?}");
    let slowest_us = fault.response_time.max_us.unwrap();
    assert!(fault.response_time.p99_us.unwrap() >= 4_000_000, "{fault:?}");
    // Not twice the pause: waiting messages are timed from when they were due and sent when the broker is back. The generator's own
    // lateness is included.
    let slip_us = record.generator.schedule_slip.max_us.unwrap();
    assert!(slowest_us >= 4_500_000, "{fault:?}");
    assert!(slowest_us < paused_us + slip_us + 3_000_000, "{slowest_us} {paused_us} {slip_us}");
    assert!(baseline.response_time.max_us.unwrap() < slowest_us / 2, "{baseline:?}");
    // Waiting messages have different due and sent times, and both are reported.
    assert!(fault.service_time.max_us.unwrap() >= 4_500_000, "{fault:?}");
    assert!(bystanders.recovery_time_us.is_some(), "{call}");

    assert!(bystanders.connections_lost.is_empty(), "{:?}", bystanders.connections_lost);
    for qos in [0, 1, 2] {
        let counts = sum(&bystanders, qos);
        let all_well = LedgerCounts {
            offered: counts.offered,
            sent: counts.offered,
            delivered: counts.offered,
            acknowledged: if qos == 0 { 0 } else { counts.offered },
            ..LedgerCounts::default()
        };
        assert_eq!(counts, all_well, "QoS {qos}");
    }
    assert_eq!((bystanders.drain, bystanders.irregularities.len()), (Some(Drain::Settled), 0));
}
