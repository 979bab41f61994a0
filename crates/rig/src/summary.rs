//! The end of a run: everything that was measured, put into the record. A pure function of what it is given.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attempt::Case;
use crate::bystander::BystanderSettings;
use crate::clock::micros;
use crate::honest_thread::HonestResult;
use crate::meter::Interval;
use crate::metric::{Histograms, Metric, Percentiles, histogram, merge};
use crate::phase::{Phase, PhaseTrack};
use crate::plan::Schedule;
use crate::record::{
    AttemptsRecord, BystanderPhaseRecord, BystandersRecord, MetricRecord, PhaseRecord, Record, WitnessRecord,
};
use crate::run::Experiment;
use crate::tally::Tally;
use crate::witness::Witness;
use crate::worker::Worked;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) whole: &'a Interval,
    pub(crate) tallies: &'a BTreeMap<Case, Tally>,
    pub(crate) honest: &'a HonestResult,
    /// Lines written, and attempts left out.
    pub(crate) attempts: (u64, u64),
    pub(crate) witness: &'a Witness,
    pub(crate) witness_proved: bool,
}

/// How the run ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) ended_us: u64,
    pub(crate) recovery_limit_us: Option<u64>,
    pub(crate) recovery_time_us: Option<u64>,
    pub(crate) cpu_us: Option<u64>,
    pub(crate) worked: Worked,
    pub(crate) broker_exit: Option<String>,
}

/// Completes the record that was begun with the run.
pub(crate) fn summarise(
    begun: Record,
    experiment: &Experiment,
    phases: &PhaseTrack,
    schedule: &Schedule,
    cases: &[Case],
    measured: &Measured<'_>,
    ended: &Ended,
) -> Record {
    let mut record = begun;
    record.duration_us = ended.ended_us;
    record.phases = phase_records(phases, ended.ended_us);
    record.broker.sys_version.clone_from(&measured.honest.sys_version);
    record.broker.exit.clone_from(&ended.broker_exit);
    let per_case = schedule.plan.len() / (cases.len() as u64).max(1);
    let none = Tally::default();
    record.cases = cases
        .iter()
        .map(|case| {
            let tally = measured.tallies.get(case).unwrap_or(&none);
            tally.record(case, per_case)
        })
        .collect();
    let finished = record.cases.iter().map(|case| case.finished).sum();
    record.attempts = AttemptsRecord {
        planned: schedule.plan.len(),
        finished,
        dropped: schedule.plan.len().saturating_sub(finished),
        written: measured.attempts.0,
        left_out: measured.attempts.1,
    };
    let mut reaction_time = histogram();
    for tally in measured.tallies.values() {
        merge(&mut reaction_time, tally.reaction_time());
    }
    record.reaction_time = Percentiles::of(&reaction_time);
    record.bystanders = bystanders(&experiment.bystanders, phases, &begun_version(&record), measured, ended);
    record.witness = Some(WitnessRecord {
        proved: measured.witness_proved && measured.honest.witness_gaps == 0,
        unexpected: measured.witness.on_unwatched_topics(),
    });
    record.metrics = metrics(&measured.whole.histograms);
    generator(&mut record, experiment.slip_limit, measured, ended);
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
    let percentiles =
        |metric, phase| measured.whole.histograms.of(metric, phase).map(Percentiles::of).unwrap_or_default();
    let of_phase = |phase| BystanderPhaseRecord {
        phase,
        response_time: percentiles(Metric::BystanderResponseTime, phase),
        service_time: percentiles(Metric::BystanderServiceTime, phase),
        by_qos: measured.honest.by_phase.get(&phase).cloned().unwrap_or_default(),
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
        recovery_limit_us: ended.recovery_limit_us,
        recovery_time_us: ended.recovery_time_us,
    })
}

fn metrics(histograms: &Histograms) -> Vec<MetricRecord> {
    histograms
        .iter()
        .map(|(metric, phase, histogram)| MetricRecord {
            metric,
            phase,
            percentiles: Percentiles::of(histogram),
        })
        .collect()
}

fn generator(record: &mut Record, slip_limit: Duration, measured: &Measured<'_>, ended: &Ended) {
    let over = |metric| Percentiles::of(&measured.whole.histograms.over_measured_phases(metric));
    let generator = &mut record.generator;
    generator.schedule_slip = over(Metric::ScheduleSlip);
    generator.loop_lag = over(Metric::LoopLag);
    generator.cpu_us = ended.cpu_us;
    generator.attempts_waited_for_a_client = ended.worked.waited_for_a_client;
    generator.bottlenecks = bottlenecks(generator.schedule_slip, generator.loop_lag, micros(slip_limit));
}

/// In words, why figures can't be relied on: beyond the limit, the generator's own lateness is no longer small
/// beside what it measures.
fn bottlenecks(schedule_slip: Percentiles, loop_lag: Percentiles, limit_us: u64) -> Vec<String> {
    let told = |what: &str, times: Percentiles| {
        let worst = times.p99_us.or(times.p90_us)?;
        (worst > limit_us).then(|| {
            format!(
                "the generator's {what} was {} ms at the 99th percentile, more than the --slip-limit of {} ms: times \
                 of this run contain our own lateness; use fewer clients, a lower rate or a less busy machine",
                worst / 1_000,
                limit_us / 1_000
            )
        })
    };
    [told("schedule slip", schedule_slip), told("loop lag", loop_lag)].into_iter().flatten().collect()
}
