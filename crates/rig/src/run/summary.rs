//! The end of a run: everything that was measured goes into the record. A pure function.

use std::collections::BTreeMap;
use std::time::Duration;

use ungraceful_record::attempt::Case;
use ungraceful_record::load::LoadRecord;
use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::phase::{Phase, PhaseTrack};
use ungraceful_record::run::{
    AttemptsRecord, BystanderPhaseRecord, BystandersRecord, ClockRecord, MetricRecord, OutageRecord,
    PhaseRecord, Record, WaveRecord,
};
use ungraceful_record::scale::{micros, span, time};
use ungraceful_record::tally::{Tally, together};

use crate::attempts::waves::WaveTimes;
use crate::attempts::worker::WorkerStats;
use crate::broker::outage::OutageTimes;
use crate::broker::resources::ResourceSample;
use crate::bystanders::honest_thread::HonestResult;
use crate::bystanders::message_meter::WaveMessages;
use crate::bystanders::pair::BystanderSettings;
use crate::measure::meter::Interval;
use crate::run::plan::Schedule;
use crate::run::settings::Common;

#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) whole: &'a Interval,
    pub(crate) tallies: &'a BTreeMap<Case, Tally>,
    pub(crate) honest: &'a HonestResult,
    /// Lines written, and attempts left out.
    pub(crate) attempts: (u64, u64),
}

/// The results of the phases, besides what the threads saw.
#[derive(Debug, Default)]
pub(crate) struct PhaseResults {
    pub(crate) worker_stats: WorkerStats,
    pub(crate) waves: Vec<WaveObservation>,
    /// Absent in a run of attempts.
    pub(crate) load: Option<LoadRecord>,
    /// CPU time used from the baseline's begin on; absent where the system does not report it.
    pub(crate) cpu_us: Option<u64>,
    /// The response time that bystanders must keep to be back; absent when nothing was delivered in the baseline.
    pub(crate) recovery_limit_us: Option<u64>,
    /// After how long they were back; absent when they were not.
    pub(crate) recovery_time_us: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) ended_us: u64,
    pub(crate) results: PhaseResults,
    pub(crate) broker_exit: Option<String>,
    pub(crate) clock: ClockRecord,
}

/// Completes the record begun with the run.
pub(crate) fn summarise(
    begun: Record,
    common: &Common,
    phases: &PhaseTrack,
    schedule: &Schedule,
    cases: &[Case],
    measured: &Measured<'_>,
    ended: &Ended,
) -> Record {
    let mut record = begun;
    record.duration_us = ended.ended_us;
    record.phases = phase_records(phases, ended.ended_us);
    measured.honest.sys.write(&mut record.broker);
    record.broker.exit.clone_from(&ended.broker_exit);
    let per_case = schedule.plan.len() / (cases.len() as u64).max(1);
    let none = Tally::default();
    record.cases =
        cases.iter().map(|case| measured.tallies.get(case).unwrap_or(&none).record(case, per_case)).collect();
    let finished = record.cases.iter().map(|case| case.finished).sum();
    record.attempts = AttemptsRecord {
        planned: schedule.plan.len(),
        finished,
        dropped: schedule.plan.len().saturating_sub(finished),
        written: measured.attempts.0,
        left_out: measured.attempts.1,
    };
    (record.reaction_time, record.measures) = together(&measured.tallies.values().collect::<Vec<_>>());
    record.bystanders = bystanders(&common.bystanders, phases, &begun_version(&record), measured, ended);
    record.witness = Some(measured.honest.witness);
    record.broker.honest_connections_lost = measured.honest.connections_lost.values().sum();
    record.metrics = MetricRecord::of_each(&measured.whole.histograms);
    generator(&mut record, common.slip_limit, measured, ended);
    record
}

fn phase_records(phases: &PhaseTrack, ended_us: u64) -> Vec<PhaseRecord> {
    let begun: Vec<(Phase, u64)> =
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, phases.begun_us(phase)?))).collect();
    let ends = begun.iter().skip(1).map(|(_, began_us)| *began_us).chain([ended_us]);
    begun
        .iter()
        .zip(ends)
        .map(|((phase, began_us), ended_us)| PhaseRecord { phase: *phase, began_us: *began_us, ended_us })
        .collect()
}

fn begun_version(record: &Record) -> String {
    let spoken = record.broker.versions.iter().filter(|version| version.spoken);
    spoken.map(|version| version.version.clone()).max().unwrap_or_default()
}

fn bystanders(
    settings: &BystanderSettings,
    phases: &PhaseTrack,
    version: &str,
    measured: &Measured<'_>,
    ended: &Ended,
) -> Option<BystandersRecord> {
    if settings.pairs == 0 {
        return None;
    }
    let of_phase = |phase| {
        let by_qos = measured.honest.by_phase.get(&phase).cloned().unwrap_or_default();
        BystanderPhaseRecord::of(phase, &measured.whole.histograms, by_qos)
    };
    Some(BystandersRecord {
        pairs: settings.pairs,
        rate_per_pair: settings.rate_per_pair,
        version: version.to_owned(),
        phases: Phase::MEASURED
            .into_iter()
            .filter(|phase| phases.begun_us(*phase).is_some())
            .map(of_phase)
            .collect(),
        connections_lost: measured.honest.connections_lost.clone(),
        outages: measured.honest.outages,
        irregularities: measured.honest.irregularities.clone(),
        irregularities_left_out: measured.honest.irregularities_left_out.clone(),
        pairs_below_qos: measured.honest.pairs_below_qos,
        drain: measured.honest.drain,
        recovery_limit_us: ended.results.recovery_limit_us,
        recovery_time_us: ended.results.recovery_time_us,
    })
}

#[derive(Clone, Debug)]
pub(crate) struct WaveObservation {
    pub(crate) times: WaveTimes,
    /// The outage that it began with, and its means.
    pub(crate) outage: Option<(OutageTimes, String)>,
    /// The broker's memory when the wave acted, and when it had ended.
    pub(crate) rss_bytes: [Option<u64>; 2],
}

/// The waves that acted, one for each case.
pub(crate) fn waves(
    schedule: &Schedule,
    cases: &[Case],
    seen: &[WaveObservation],
    of_bystanders: &[WaveMessages],
    samples: &[ResourceSample],
) -> Vec<WaveRecord> {
    let record = |(number, seen): (usize, &WaveObservation)| {
        let case = cases.get(schedule.case_of(schedule.waves().get(number)?.start))?;
        let (began_us, ended_us) = (seen.times.began_us, seen.times.ended_us);
        let within = began_us..ended_us.unwrap_or(u64::MAX);
        let sampled = samples.iter().filter(|sample| within.contains(&sample.at_us));
        let of_bystanders = of_bystanders.get(number);
        Some(WaveRecord {
            case: case.clone(),
            began_us,
            ended_us,
            outage: seen.outage.clone().map(|(times, by)| OutageRecord {
                began_us: times.began_us,
                ended_us: times.ended_us,
                by,
            }),
            bystander_messages_due: of_bystanders.map_or(0, |wave| wave.due),
            bystander_response_time: of_bystanders
                .map(|wave| Percentiles::of(&wave.response_time))
                .unwrap_or_default(),
            rss_bytes_before: seen.rss_bytes[0],
            rss_bytes_max: sampled
                .map(|sample| sample.usage.rss_bytes)
                .chain(seen.rss_bytes.into_iter().flatten())
                .max(),
        })
    };
    seen.iter().enumerate().filter_map(|(number, seen)| record((number, seen))).collect()
}

fn generator(record: &mut Record, slip_limit: Duration, measured: &Measured<'_>, ended: &Ended) {
    let over = |metric| Percentiles::of(&measured.whole.histograms.over_measured_phases(metric));
    let generator = &mut record.generator;
    generator.schedule_slip = over(Metric::ScheduleSlip);
    generator.loop_lag = over(Metric::LoopLag);
    generator.cpu_us = ended.results.cpu_us;
    generator.clock = ended.clock;
    generator.attempts_waited_for_a_client = ended.results.worker_stats.waited_for_a_client;
    generator.bottlenecks = bottlenecks(generator.schedule_slip, generator.loop_lag, micros(slip_limit));
}

/// Why figures are unreliable: the generator's own lateness exceeds the limit. With too few samples for a 99th
/// percentile, the maximum decides.
fn bottlenecks(schedule_slip: Percentiles, loop_lag: Percentiles, limit_us: u64) -> Vec<String> {
    let bottleneck = |what: &str, times: Percentiles| {
        let of_p99 = times.p99_us.map(|us| (us, "at the 99th percentile"));
        let (worst, figure) = of_p99.or(times.max_us.map(|us| (us, "at most")))?;
        (worst > limit_us).then(|| {
            format!(
                "the generator's {what} was {} {figure}, more than the --slip-limit of {}: times of \
                 this run include the generator's own delay; use fewer clients, a lower rate or a less busy machine",
                time(worst),
                span(Duration::from_micros(limit_us))
            )
        })
    };
    let found = [bottleneck("schedule slip", schedule_slip), bottleneck("loop lag", loop_lag)];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ungraceful_mqtt::QoS;
    use ungraceful_record::attempt::{Attempt, Case};
    use ungraceful_record::ledger::LedgerCounts;
    use ungraceful_record::metric::{Metric, Percentiles};
    use ungraceful_record::phase::{Phase, PhaseTrack};
    use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
    use ungraceful_record::run::{
        BrokerOrigin, ClockRecord, Completeness, MetricRecord, PhaseRecord, Record, SysRecord, VersionRecord,
        WitnessRecord,
    };
    use ungraceful_record::testing::empty_record;

    use super::{Ended, Measured, PhaseResults, bottlenecks, phase_records, summarise};
    use crate::attempts::worker::WorkerStats;
    use crate::broker::target::BrokerChoice;
    use crate::bystanders::honest_thread::HonestResult;
    use crate::bystanders::pair::BystanderSettings;
    use crate::bystanders::sys_topics::{SysTopics, When};
    use crate::measure::meter::{Interval, Meter};
    use crate::run::bound::tests::{PHASES, target};
    use crate::run::plan::{Arrival, Schedule};
    use crate::run::seed::Seed;
    use crate::run::settings::Common;
    use ungraceful_record::tally::Tally;

    fn experiment(pairs: u64) -> Common {
        Common {
            tool: empty_record().tool,
            command: Vec::new(),
            settings: BTreeMap::new(),
            target: target(BrokerChoice::Embedded),
            phases: PHASES,
            connections: 2,
            threads: NonZeroU32::MIN,
            bystanders: BystanderSettings { pairs, rate_per_pair: 17, qos: vec![QoS::AtMostOnce] },
            bound: crate::run::bound::Bound {
                longest: Duration::from_secs(60),
                needs: Duration::from_secs(60),
                cure_within: Duration::ZERO,
            },
            client_id_prefix: "ug".into(),
            seed: Seed(1),
            output: "nowhere".into(),
            slip_limit: Duration::from_millis(20),
            watch: crate::broker::watch::WatchSettings::default(),
            checks: Vec::new(),
            thresholds: Vec::new(),
            accepted: Vec::new(),
        }
    }

    fn version(version: &str, spoken: bool) -> VersionRecord {
        VersionRecord {
            version: version.into(),
            spoken,
            why_not: None,
            connack_properties: BTreeMap::new(),
            connack_time_us: None,
        }
    }

    fn begun() -> Record {
        let mut record = empty_record();
        record.completeness = Completeness::Partial;
        record.broker.origin = BrokerOrigin::Embedded;
        record.broker.versions = vec![version("3.1.1", true), version("5.0", false)];
        record
    }

    fn case(variant: &str) -> Case {
        Case { fault: "double-connect".into(), variant: variant.into(), version: "5.0".into() }
    }

    fn tally(variant: &str, reaction_times_us: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for (number, us) in (0..).zip(reaction_times_us) {
            let closed = Reaction {
                kind: ReactionKind::Closed,
                code: None,
                at_us: 1_000 + us,
                detail: None,
                connection: None,
            };
            tally.add(&Attempt {
                provoked_us: Some(1_000),
                reactions: vec![closed],
                outcome: Outcome::Closed,
                ..Attempt::begun(number, case(variant), String::new(), Phase::Fault, 0, 0)
            });
        }
        tally
    }

    fn phases(begun_us: &[(Phase, u64)]) -> PhaseTrack {
        let track = PhaseTrack::default();
        for (phase, at_us) in begun_us {
            track.begin(*phase, *at_us);
        }
        track
    }

    fn three_phases() -> PhaseTrack {
        phases(&[(Phase::Warmup, 3), (Phase::Baseline, 10), (Phase::Fault, 30)])
    }

    fn delivered(count: u64) -> LedgerCounts {
        LedgerCounts { delivered: count, ..LedgerCounts::default() }
    }

    /// A run of two cases with seven attempts each, of which three and one were carried out.
    fn summary(pairs: u64, whole: &Interval, honest: &HonestResult, ended: &Ended) -> Record {
        let tallies = BTreeMap::from([
            (case("identical"), tally("identical", &[100, 200, 300])),
            (case("delayed"), tally("delayed", &[900])),
        ]);
        let measured = Measured { whole, tallies: &tallies, honest, attempts: (42, 43) };
        let schedule = Schedule::new(2, 7, 10.0, Arrival::Uniform, Seed(1));
        let cases = [case("identical"), case("delayed")];
        summarise(begun(), &experiment(pairs), &three_phases(), &schedule, &cases, &measured, ended)
    }

    #[test]
    fn a_phase_ends_with_the_next_one_or_the_run() {
        let record = |phase, began_us, ended_us| PhaseRecord { phase, began_us, ended_us };
        let expected =
            [record(Phase::Warmup, 3, 10), record(Phase::Baseline, 10, 30), record(Phase::Fault, 30, 70)];
        assert_eq!(phase_records(&three_phases(), 70), expected);
        let all =
            phases(&[(Phase::Warmup, 0), (Phase::Baseline, 1), (Phase::Fault, 3), (Phase::Recovery, 7)]);
        let ends: Vec<u64> = phase_records(&all, 15).iter().map(|phase| phase.ended_us).collect();
        assert_eq!(ends, [1, 3, 7, 15]);
        assert_eq!(phase_records(&PhaseTrack::default(), 15), []);
    }

    #[test]
    fn attempts_that_never_started_count_as_dropped() {
        let record = summary(0, &Interval::default(), &HonestResult::default(), &Ended::default());
        let of_cases: Vec<_> = record
            .cases
            .iter()
            .map(|case| (case.case.variant.as_str(), case.planned, case.finished, case.dropped))
            .collect();
        assert_eq!(of_cases, [("identical", 7, 3, 4), ("delayed", 7, 1, 6)], "in the order of the plan");
        let attempts = record.attempts;
        assert_eq!((attempts.planned, attempts.finished, attempts.dropped), (14, 4, 10));
        assert_eq!((attempts.written, attempts.left_out), (42, 43));
        assert_eq!((record.reaction_time.count, record.reaction_time.min_us), (4, Some(100)));
    }

    #[test]
    fn every_figure_of_the_end_stands_in_its_own_place() {
        let mut sys = SysTopics::default();
        sys.hear("$SYS/broker/clients/connected", b"8", When::Before, 76);
        sys.hear("$SYS/broker/clients/connected", b"9", When::Measured, 77);
        sys.version = Some("broker 7".into());
        let witness = WitnessRecord { proved: true, unexpected: 5 };
        let honest = HonestResult { sys, witness, ..HonestResult::default() };
        let ended = Ended {
            ended_us: 71,
            results: PhaseResults {
                worker_stats: WorkerStats { waited_for_a_client: 75 },
                cpu_us: Some(74),
                recovery_limit_us: Some(72),
                recovery_time_us: Some(73),
                ..PhaseResults::default()
            },
            broker_exit: Some("signal 9".into()),
            clock: ClockRecord { kernel_stamped: 76, ..ClockRecord::default() },
        };
        let record = summary(1, &Interval::default(), &honest, &ended);
        assert_eq!((record.duration_us, record.phases[2].ended_us), (71, 71));
        assert_eq!(record.broker.sys_version.as_deref(), Some("broker 7"));
        let heard = SysRecord { before: Some(8), after: Some(9) };
        assert_eq!(record.broker.sys["$SYS/broker/clients/connected"], heard);
        assert_eq!(record.broker.sys_last_heard_us, Some(77));
        assert_eq!(record.broker.exit.as_deref(), Some("signal 9"));
        assert_eq!(record.generator.clock.kernel_stamped, 76);
        assert_eq!((record.generator.cpu_us, record.generator.attempts_waited_for_a_client), (Some(74), 75));
        let bystanders = record.bystanders.unwrap();
        assert_eq!((bystanders.recovery_limit_us, bystanders.recovery_time_us), (Some(72), Some(73)));
        assert_eq!((bystanders.pairs, bystanders.rate_per_pair), (1, 17));
        assert_eq!(bystanders.version, "3.1.1", "the newest that the broker speaks");
        assert_eq!(record.witness, Some(witness));
    }

    #[test]
    fn bystanders_are_counted_by_phase() {
        let meter = Meter::default();
        let record = |metric, phase, us| meter.record(metric, phase, Duration::from_micros(us));
        record(Metric::BystanderResponseTime, Phase::Warmup, 1);
        record(Metric::BystanderResponseTime, Phase::Baseline, 20);
        record(Metric::BystanderServiceTime, Phase::Baseline, 15);
        record(Metric::BystanderAcknowledgeTime, Phase::Baseline, 30);
        record(Metric::BystanderResponseTime, Phase::Fault, 40);
        let honest = HonestResult {
            by_phase: BTreeMap::from([
                (Phase::Baseline, BTreeMap::from([(0, delivered(5)), (1, delivered(6))])),
                (Phase::Fault, BTreeMap::from([(1, delivered(7))])),
                (Phase::Recovery, BTreeMap::from([(1, delivered(8))])),
            ]),
            connections_lost: BTreeMap::from([("reset".into(), 9)]),
            ..HonestResult::default()
        };
        let bystanders = summary(2, &meter.take(), &honest, &Ended::default()).bystanders.unwrap();
        assert_eq!(bystanders.connections_lost, honest.connections_lost);
        let seen: Vec<_> = bystanders
            .phases
            .iter()
            .map(|phase| {
                let times = [phase.response_time, phase.service_time, phase.acknowledge_time];
                (phase.phase, times.map(|times| times.max_us))
            })
            .collect();
        let expected =
            [(Phase::Baseline, [Some(20), Some(15), Some(30)]), (Phase::Fault, [Some(40), None, None])];
        assert_eq!(seen, expected, "neither the warm-up nor a recovery that never began");
        for phase in &bystanders.phases {
            assert_eq!(phase.by_qos, honest.by_phase[&phase.phase]);
        }
    }

    #[test]
    fn without_pairs_there_is_no_bystander_record() {
        let connections_lost = BTreeMap::from([("reset".into(), 9), ("closed".into(), 2)]);
        let honest = HonestResult { connections_lost, ..HonestResult::default() };
        let record = summary(0, &Interval::default(), &honest, &Ended::default());
        assert_eq!(record.bystanders, None);
        assert_eq!(record.broker.honest_connections_lost, 11, "the witness's are counted all the same");
    }

    #[test]
    fn lateness_in_the_warm_up_does_not_count() {
        let meter = Meter::default();
        let record = |metric, phase, us| meter.record(metric, phase, Duration::from_micros(us));
        record(Metric::ScheduleSlip, Phase::Warmup, 900);
        record(Metric::ScheduleSlip, Phase::Baseline, 50);
        record(Metric::ScheduleSlip, Phase::Fault, 60);
        record(Metric::LoopLag, Phase::Recovery, 70);
        let summary = summary(0, &meter.take(), &HonestResult::default(), &Ended::default());
        let seen: Vec<_> = summary
            .metrics
            .iter()
            .map(|MetricRecord { metric, phase, percentiles }| (*metric, *phase, percentiles.max_us))
            .collect();
        let expected = [
            (Metric::ScheduleSlip, Phase::Warmup, Some(900)),
            (Metric::ScheduleSlip, Phase::Baseline, Some(50)),
            (Metric::ScheduleSlip, Phase::Fault, Some(60)),
            (Metric::LoopLag, Phase::Recovery, Some(70)),
        ];
        assert_eq!(seen, expected);
        let generator = summary.generator;
        assert_eq!((generator.schedule_slip.count, generator.schedule_slip.max_us), (2, Some(60)));
        assert_eq!((generator.loop_lag.count, generator.loop_lag.max_us), (1, Some(70)));
        assert!(generator.bottlenecks.is_empty(), "one slow tick is no bottleneck");
    }

    #[test]
    fn a_late_generator_is_reported_with_its_percentile() {
        let p99 = |us| Percentiles { p90_us: Some(1), p99_us: Some(us), ..Percentiles::default() };
        let few = |us| Percentiles { p90_us: Some(1), max_us: Some(us), ..Percentiles::default() };
        assert_eq!(bottlenecks(p99(20_000), few(20_000), 20_000), Vec::<String>::new(), "within the limit");
        let both = bottlenecks(p99(31_000), few(42_000), 20_000);
        assert_eq!(both.len(), 2, "{both:?}");
        let slip = "the generator's schedule slip was 31.0 ms at the 99th percentile";
        assert!(both[0].starts_with(slip), "{both:?}");
        assert!(both[1].starts_with("the generator's loop lag was 42.0 ms at most"), "{both:?}");
        assert!(both.iter().all(|text| text.contains("more than the --slip-limit of 20 ms")), "{both:?}");
        let none = Percentiles::default();
        assert_eq!(bottlenecks(none, none, 20_000), Vec::<String>::new());
    }
}
