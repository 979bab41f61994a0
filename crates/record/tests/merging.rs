//! Shards merged into one record: what one run had recorded, and what is refused.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use ungraceful_record::attempt::Case;
use ungraceful_record::encoded::Encoded;
use ungraceful_record::ledger::{Delivered, Ledger, LedgerCounts};
use ungraceful_record::load::{LoadConnections, LoadCounts, LoadRecord};
use ungraceful_record::merge::{
    Besides, MissingShardRecord, Shard, check, conflicts, merge, refused, unusable, watching_shard,
};
use ungraceful_record::metric::{Histograms, Metric, Percentiles, histogram};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::{
    BrokerOrigin, BrokerResourcesRecord, BystanderPhaseRecord, BystandersRecord, Completeness,
    IrregularityRecord, MetricRecord, PhaseRecord, QuantityRecord, Record, Setting, SettingSource,
    SlopeRecord, SysRecord, WaveRecord,
};
use ungraceful_record::testing::empty_record;
use ungraceful_record::verdict::{Conclusion, conclude, exit_of};

/// Microseconds since 1970 of the first shard's start.
const START_US: i64 = 1_767_225_600_000_000;

/// A shard of this number, a second long, of which the fault acts from 200 ms on.
fn shard(number: u64) -> Shard {
    let phase = |phase, began_us, ended_us| PhaseRecord { phase, began_us, ended_us };
    let record = Record {
        seed: number,
        duration_us: 1_000_000,
        phases: vec![phase(Phase::Baseline, 0, 200_000), phase(Phase::Fault, 200_000, 1_000_000)],
        ..empty_record()
    };
    Shard { folder: format!("run-{number}"), record, started_us: START_US, histograms: Histograms::default() }
}

/// The same, started this much later.
fn later(number: u64, by_us: u64) -> Shard {
    Shard { started_us: START_US.saturating_add_unsigned(by_us), ..shard(number) }
}

fn merged(shards: &[Shard]) -> Record {
    merge(shards, Besides::default()).unwrap()
}

fn with_metrics(mut shard: Shard) -> Shard {
    shard.record.metrics = MetricRecord::of_each(&shard.histograms);
    shard
}

const METRICS: [Metric; 3] = [Metric::BystanderResponseTime, Metric::ReactionTime, Metric::LoopLag];
const PHASES: [Phase; 2] = [Phase::Baseline, Phase::Fault];

proptest! {
    #[test]
    fn times_of_any_number_of_shards_are_bit_equal_to_those_of_one_recorder(
        samples in prop::collection::vec(
            (prop::sample::select(&METRICS), prop::sample::select(&PHASES), 0_u64..5_000_000_000, 0_usize..3),
            0..60,
        ),
    ) {
        let mut shards: Vec<Shard> = (0..3).map(shard).collect();
        let mut whole = Histograms::default();
        for (metric, phase, us, number) in samples {
            let time = Duration::from_micros(us);
            shards[number].histograms.record(metric, phase, time);
            whole.record(metric, phase, time);
        }
        let shards: Vec<Shard> = shards.into_iter().map(with_metrics).collect();
        let mut sum = Histograms::default();
        for one in &shards {
            prop_assert_eq!(check(one), Ok(()));
            sum.merge(&one.histograms);
        }
        let encoded = |of: &Histograms| -> Vec<_> {
            of.iter().map(|(metric, phase, histogram)| (metric, phase, Encoded::of(histogram))).collect()
        };
        prop_assert_eq!(encoded(&sum), encoded(&whole));
        prop_assert_eq!(merged(&shards).metrics, MetricRecord::of_each(&whole));
    }
}

/// What may happen to a message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Unsent,
    Lost,
    Refused,
    Unacknowledged,
    Delivered(u8),
}

fn ledger(fates: &[Fate]) -> Ledger {
    let mut ledger = Ledger::new(true);
    for fate in fates {
        let sequence = ledger.offer();
        if matches!(fate, Fate::Unsent) {
            continue;
        }
        ledger.sent(sequence);
        match fate {
            Fate::Refused => ledger.acknowledged(sequence, 0x97),
            Fate::Lost | Fate::Delivered(_) => ledger.acknowledged(sequence, 0),
            Fate::Unsent | Fate::Unacknowledged => {}
        }
        for copy in 0..if let Fate::Delivered(copies) = fate { *copies } else { 0 } {
            ledger.delivered(sequence, Delivered { at_us: sequence * 100 + u64::from(copy), dup: copy > 0 });
        }
    }
    ledger
}

/// The record of these pairs of bystanders, as a run makes it: numbered from 0, evidence by due time.
fn bystanders(ledgers: &[Ledger]) -> BystandersRecord {
    let mut counts = LedgerCounts::default();
    let mut record = BystandersRecord { pairs: ledgers.len() as u64, ..BystandersRecord::default() };
    for (pair, ledger) in (0..).zip(ledgers) {
        counts += &ledger.counts(0, u64::MAX);
        let evidence = ledger.irregularities(0, u64::MAX);
        record.irregularities.extend(evidence.listed.into_iter().map(|irregularity| IrregularityRecord {
            pair,
            qos: 1,
            phase: Phase::Fault,
            due_us: irregularity.first * 100,
            irregularity,
        }));
        for (kind, count) in evidence.left_out {
            *record.irregularities_left_out.entry(kind).or_default() += count;
        }
    }
    record.irregularities.sort_by_key(|entry| entry.due_us);
    record.phases =
        vec![BystanderPhaseRecord::of(Phase::Fault, &Histograms::default(), BTreeMap::from([(1, counts)]))];
    record
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        Just(Fate::Unsent),
        Just(Fate::Lost),
        Just(Fate::Refused),
        Just(Fate::Unacknowledged),
        (1_u8..4).prop_map(Fate::Delivered),
    ];
    prop::collection::vec(fate, 0..40)
}

proptest! {
    #[test]
    fn ledgers_of_several_shards_are_those_of_one_run(
        of_shards in prop::collection::vec(prop::collection::vec(fates(), 0..4), 1..4),
    ) {
        let ledgers: Vec<Vec<Ledger>> =
            of_shards.iter().map(|fates| fates.iter().map(|fates| ledger(fates)).collect()).collect();
        let shards: Vec<Shard> = (0..).zip(&ledgers).map(|(number, ledgers)| {
            let mut shard = shard(number);
            shard.record.bystanders = Some(bystanders(ledgers));
            shard
        }).collect();
        prop_assert_eq!(merged(&shards).bystanders, Some(bystanders(&ledgers.concat())));
    }
}

#[test]
fn evidence_beyond_the_limit_is_counted_and_the_earliest_is_kept() {
    let of = |number| {
        let mut shard = later(number, number * 1_000);
        // Every second message is lost, so that each is an entry of its own.
        let fates = [Fate::Lost, Fate::Delivered(1)].repeat(80);
        shard.record.bystanders = Some(bystanders(&[ledger(&fates)]));
        shard
    };
    let record = merged(&[of(0), of(1)]).bystanders.unwrap();
    let lost: Vec<&IrregularityRecord> =
        record.irregularities.iter().filter(|entry| entry.irregularity.at_us.is_none()).collect();
    assert_eq!((lost.len(), record.irregularities_left_out.values().sum::<u64>()), (100, 60));
    assert!(lost.is_sorted_by_key(|entry| entry.due_us), "{lost:?}");
    assert!(lost.iter().any(|entry| entry.pair == 1) && lost[0].pair == 0, "{lost:?}");
}

fn loaded(number: u64, sent: u64, times_us: &[u64]) -> Shard {
    let mut shard = later(number, number * 100_000);
    for us in times_us {
        shard.histograms.record(Metric::DeliveryResponseTime, Phase::Load, Duration::from_micros(*us));
    }
    let counts = LoadCounts { offered: sent, sent, expected: sent, delivered: sent, ..LoadCounts::default() };
    shard.record.load = Some(LoadRecord {
        shape: "1 publisher".to_owned(),
        publishers: 1,
        counted_from_us: Some(300_000),
        counted_until_us: Some(800_000),
        connections: LoadConnections {
            planned: 2,
            accepted: 2,
            first_syn_us: Some(1_000),
            up_after_us: Some(5_000),
            ..LoadConnections::default()
        },
        by_qos: BTreeMap::from([(1, counts)]),
        delivery_response_time: shard
            .histograms
            .of(Metric::DeliveryResponseTime, Phase::Load)
            .map(Percentiles::of)
            .unwrap_or_default(),
        cpu_us: Some(7),
        ..LoadRecord::default()
    });
    with_metrics(shard)
}

#[test]
fn loads_add_up_and_their_times_are_not_averaged() {
    let fast: Vec<u64> = vec![100; 990];
    let slow: Vec<u64> = vec![90_000; 30];
    let shards = [loaded(0, 990, &fast), loaded(1, 30, &slow)];
    for one in &shards {
        assert_eq!(check(one), Ok(()));
    }
    let load = merged(&shards).load.unwrap();
    assert_eq!((load.publishers, load.all().sent, load.all().delivered), (2, 1_020, 1_020));
    assert_eq!(load.shape, "2 shards, each 1 publisher");
    // 30 of 1,020 are slow, so the 99th percentile is: the mean of both would be half of it.
    assert_eq!(load.delivery_response_time.count, 1_020);
    assert_eq!(load.delivery_response_time.p50_us, Some(100));
    assert!(load.delivery_response_time.p99_us >= Some(90_000), "{:?}", load.delivery_response_time);
    assert_eq!((load.counted_from_us, load.counted_until_us), (Some(300_000), Some(900_000)));
    assert_eq!((load.connections.accepted, load.cpu_us), (4, Some(14)));
    assert_eq!((load.connections.first_syn_us, load.connections.up_after_us), (Some(1_000), Some(105_000)));
}

#[test]
fn a_log_that_lacks_a_second_is_found_out() {
    let mut cut = loaded(0, 3, &[5, 6, 7]);
    cut.histograms = Histograms::default();
    assert!(check(&cut).unwrap_err().contains("metrics.hlog lacks a part of the metrics"));
    let mut other = loaded(0, 3, &[5, 6, 7]);
    other.record.metrics.clear();
    other.histograms = Histograms::default();
    assert!(check(&other).unwrap_err().contains("of the load in run.json"));
}

#[test]
fn a_phase_without_samples_has_none_after_the_merge() {
    let mut one = shard(1);
    one.record.bystanders = Some(bystanders(&[]));
    let record = merged(&[one, shard(2)]);
    let phase = &record.bystanders.as_ref().unwrap().phases[0];
    assert_eq!((phase.response_time, phase.response_time.p50_us), (Percentiles::default(), None));
    assert_eq!(record.metrics, []);
    assert_eq!(record.generator.schedule_slip, Percentiles::default());
}

#[test]
fn instants_are_on_the_clock_of_the_shard_that_started_first() {
    let record = merged(&[later(1, 300_000), shard(2)]);
    let phase = |wanted| record.phases.iter().find(|phase| phase.phase == wanted).unwrap();
    assert_eq!((phase(Phase::Baseline).began_us, phase(Phase::Baseline).ended_us), (0, 500_000));
    assert_eq!((phase(Phase::Fault).began_us, phase(Phase::Fault).ended_us), (200_000, 1_300_000));
    assert_eq!((record.duration_us, record.seed), (1_300_000, 2));
    let merged = record.merged.unwrap();
    assert_eq!((merged.acted_us, merged.together_us), (1_100_000, 500_000));
    assert_eq!((merged.shards[0].offset_us, merged.shards[1].offset_us), (300_000, 0));
    assert!(merged.course().contains("started within 300 ms"), "{}", merged.course());
}

#[test]
fn a_missing_shard_makes_the_record_partial_and_no_threshold_is_judged() {
    let missing = vec![MissingShardRecord { folder: "run-3".into(), why: "no run.json".into() }];
    let mut record = merge(
        &[loaded(0, 5, &[5]), loaded(1, 5, &[5])],
        Besides { expected: 4, missing, unlike: Vec::new() },
    )
    .unwrap();
    assert_eq!(record.completeness, Completeness::Partial);
    let because = record.incomplete_because.clone().unwrap();
    assert_eq!(because, "2 of 4 shards; missing: run-3: no run.json; 1 not given");
    conclude(&mut record, &[], &["sent_rate>1".parse().unwrap(), "loss==0".parse().unwrap()], &[]);
    for verdict in &record.verdicts {
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    }
    assert_eq!((record.verdicts.len(), exit_of(&record).code()), (2, 3));
}

#[test]
fn a_merged_record_ended_as_its_worst_shard() {
    let mut down = shard(2);
    down.record.completeness = Completeness::BrokerDown;
    down.record.incomplete_because = Some("the broker went down: FIN".into());
    let record = merged(&[shard(1), down]);
    assert_eq!(record.completeness, Completeness::BrokerDown);
    assert_eq!(record.incomplete_because.as_deref(), Some("shard 2: the broker went down: FIN"));
    assert_eq!(merged(&[shard(1), shard(2)]).completeness, Completeness::Complete);
}

#[test]
fn repetitions_copies_and_several_brokers_are_refused() {
    assert_eq!(refused(&[shard(1), later(2, 799_999)]), None);
    let why = |shards: &[Shard]| refused(shards).unwrap();
    assert!(why(&[shard(1), later(2, 900_000)]).contains("run-2 began to act 100 ms after run-1 had ended"));
    assert!(why(&[shard(1), shard(2), shard(1)]).contains("run-1 and run-1 are the same record"));
    let own = |number| {
        let mut shard = shard(number);
        shard.record.broker.origin = BrokerOrigin::Embedded;
        shard
    };
    assert_eq!(refused(&[own(1), shard(2)]), None, "one may have started it for all");
    assert!(why(&[own(1), own(2)]).contains("each started a broker of their own"));
}

#[test]
fn clients_of_the_same_names_are_a_conflict() {
    let with = |number, prefix: &str| {
        let mut shard = shard(number);
        let setting = Setting::new(prefix, SettingSource::Default);
        shard.record.settings.insert("client-id-prefix".into(), setting);
        shard.record
    };
    assert!(conflicts(&with(1, "ug"), &with(2, "ug")).is_empty());
    assert!(conflicts(&with(1, "ug"), &with(1, "a")).is_empty());
    let found = conflicts(&with(1, "ug"), &with(1, "ug"));
    assert!(found[0].contains("begin with ug00001") && found[0].contains("--seed"), "{found:?}");
    // Only the last twenty bits of a seed are in a ClientID.
    assert_eq!(conflicts(&with(1, "ug"), &with(0x50_0001, "ug")).len(), 1);
    let mut other = with(2, "ug");
    other.broker.sys_version = Some("2.1".into());
    let mut one = with(1, "ug");
    one.broker.sys_version = Some("2.0".into());
    assert_eq!(conflicts(&one, &other), ["version of the broker: 2.0 and 2.1"]);
}

#[test]
fn a_record_that_was_cut_short_or_merged_itself_is_no_shard() {
    assert_eq!(unusable(&shard(1).record), None);
    let partial = Record { completeness: Completeness::Partial, ..shard(1).record };
    assert!(unusable(&partial).unwrap().contains("not complete: it was cut short"));
    assert!(unusable(&merged(&[shard(1)])).unwrap().contains("give its shards"));
    let mut older = shard(1).record;
    older.generator.clock.seen_late.count = 1;
    assert!(unusable(&older).unwrap().contains("earlier version"));
}

#[test]
fn a_counter_of_the_broker_that_grew_in_any_shard_has_grown() {
    const TOPIC: &str = "$SYS/broker/publish/messages/dropped";
    let heard = |mut shard: Shard, before, after, heard_us| {
        shard.record.broker.sys.insert(TOPIC.into(), SysRecord { before, after: Some(after) });
        shard.record.broker.sys_last_heard_us = Some(heard_us);
        shard
    };
    // The second heard the counter last, after the first had ended.
    let shards = [heard(shard(1), Some(3), 3, 900_000), heard(later(2, 500_000), Some(3), 5, 900_000)];
    let broker = merged(&shards).broker;
    assert_eq!(broker.sys[TOPIC], SysRecord { before: Some(3), after: Some(5) });
    assert_eq!(broker.sys_last_heard_us, Some(1_400_000));
    // The shard that acted first did not hear it: what there was before is unknown.
    let broker = merged(&[shard(1), heard(later(2, 500_000), Some(3), 5, 900_000)]).broker;
    assert_eq!(broker.sys[TOPIC], SysRecord { before: None, after: Some(5) });
}

#[test]
fn waves_of_a_case_are_one_with_the_times_of_all_bystanders() {
    let of = |number: u64, us: u64, ended_us| {
        let mut shard = later(number, number * 1_000);
        let mut times = histogram();
        times.record_n(us, 10).unwrap();
        shard.record.waves = vec![WaveRecord {
            case: Case::new("herd", "restart", "5.0"),
            began_us: 200_000,
            ended_us,
            outage: None,
            bystander_messages_due: 11,
            bystander_response_time: Percentiles::of(&times),
            rss_bytes_before: Some(5),
            rss_bytes_max: Some(number),
        }];
        shard.record.sums.wave_response_times = vec![Encoded::of(&times)];
        shard
    };
    let shards = [of(0, 100, Some(900_000)), of(1, 300, Some(900_000))];
    assert_eq!(shards.each_ref().map(|shard| unusable(&shard.record)), [None, None]);
    let record = merged(&shards);
    let [wave] = record.waves.as_slice() else { panic!("{:?}", record.waves) };
    assert_eq!((wave.began_us, wave.ended_us, wave.bystander_messages_due), (200_000, Some(901_000), 22));
    let times = wave.bystander_response_time;
    assert_eq!(
        (times.count, times.p50_us, times.max_us, wave.rss_bytes_max),
        (20, Some(100), Some(300), Some(1))
    );
    assert_eq!(merged(&[of(0, 1, None), of(1, 1, Some(5))]).waves[0].ended_us, None);
    let mut older = of(0, 1, None);
    older.record.sums.wave_response_times.clear();
    assert!(unusable(&older.record).unwrap().contains("earlier version"));
}

#[test]
fn the_process_of_the_broker_is_not_counted_twice() {
    let watched = |number, samples, cpu_us| {
        let mut shard = shard(number);
        let rss_bytes =
            QuantityRecord { max: Some(7), per_1000_attempts: Some(SLOPE), ..QuantityRecord::default() };
        let cpu_us_fault_phase = Some(cpu_us);
        let resources = BrokerResourcesRecord {
            samples,
            rss_bytes,
            cpu_us_fault_phase,
            ..BrokerResourcesRecord::default()
        };
        shard.record.broker_resources = Some(resources);
        shard.record.broker.pid = Some(u32::try_from(cpu_us).unwrap());
        shard
    };
    let shards = [shard(1), watched(2, 3, 30), watched(3, 5, 50), watched(4, 5, 51)];
    assert_eq!(watching_shard(&shards), Some(2), "the first that sampled most often");
    let record = merged(&shards);
    let resources = record.broker_resources.unwrap();
    assert_eq!((resources.samples, resources.cpu_us_fault_phase, record.broker.pid), (5, Some(50), Some(50)));
    assert_eq!((resources.rss_bytes.max, resources.rss_bytes.per_1000_attempts), (Some(7), None));
    assert_eq!(merged(&[shard(1)]).broker_resources, None);
}

const SLOPE: SlopeRecord = SlopeRecord { estimate: 1.0, low: 0.5, high: 1.5, samples: 5 };

#[test]
fn a_generator_that_was_late_in_one_shard_is_in_all() {
    let mut late = shard(2);
    late.record.generator.bottlenecks = vec!["its loop lag was 1 s".into()];
    late.record.generator.cpu_us = Some(5);
    let mut other = shard(1);
    other.record.generator.cpu_us = Some(6);
    let generator = merged(&[other, late.clone()]).generator;
    assert_eq!(
        (generator.bottlenecks, generator.cpu_us),
        (vec!["shard 2: its loop lag was 1 s".into()], Some(11))
    );
    assert_eq!(merged(&[shard(1), late]).generator.cpu_us, None, "unknown in one of them");
}
