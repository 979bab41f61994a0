//! After the last phase: the threads end, and their results are summed up, judged and written.

use ungraceful_record::encoded::Encoded;
use ungraceful_record::load::LoadRecord;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{ClockRecord, Completeness, Record};
use ungraceful_record::verdict::conclude;
use ungraceful_wire::Stamps;

use super::Conductor;
use crate::error::RunError;
use crate::run::settings::{Attempts, Experiment, Finished};
use crate::run::stop::StopReason;
use crate::run::summary::{Ended, Measured, PhaseResults, summarise, waves};

impl Conductor<'_> {
    /// Ends what is still under way, and makes the record of what was seen.
    pub(super) fn conclude(mut self, results: PhaseResults) -> Result<Finished, RunError> {
        let Experiment { common, work } = self.experiment;
        let stop = &self.progress.stop;
        let ended_us = self.progress.clock.now_us();
        let broker_exit = self.broker.exit(stop);
        let honest = self.honest.drain()?;
        let (clock, seen_late) = self.job.stage.options.stamps.as_ref().map(clock_record).unwrap_or_default();
        let cases: Vec<_> = self.job.faults.iter().map(|fault| fault.case()).collect();
        let expects: Vec<_> = self.job.faults.iter().map(|fault| fault.expects()).collect();
        let schedule = self.job.schedule.clone();
        // The collector ends when no sender is left.
        drop(self.job);
        let (begun, collected) = self.collector.finish()?;
        let broker_log = self.broker.finish_log()?;
        let mut recorder = collected.recorder;
        let measured = Measured {
            whole: &collected.whole,
            tallies: &collected.tallies,
            honest: &honest,
            attempts: recorder.attempts(),
        };
        let ended = Ended { ended_us, results, broker_exit, clock };
        let phases = &self.progress.phases;
        let mut record = summarise(begun, common, phases, &schedule, &cases, &measured, &ended);
        for (case, expects) in record.cases.iter_mut().zip(expects) {
            case.expects = expects;
        }
        record.sums.seen_late = seen_late;
        record.broker_resources = self.broker.resources(&collected.resources, &record.phases);
        if work.attempts().is_some_and(Attempts::are_in_waves) {
            let (seen, of_bystanders) = (&ended.results.waves, &honest.waves);
            record.waves = waves(&schedule, &cases, seen, of_bystanders, &collected.resources);
            let times = of_bystanders.iter().map(|wave| Encoded::of(&wave.response_time));
            let times = times.chain(std::iter::repeat(Encoded::default()));
            record.sums.wave_response_times = times.take(record.waves.len()).collect();
        }
        if let Some((log, by_attempt)) = broker_log {
            recorder.add_broker_log(&by_attempt);
            record.broker_log = Some(log);
        }
        record.load = ended.results.load;
        if let (Some(load), Some(watched)) = (&mut record.load, &collected.watched) {
            let lasted_s = load.counted_us().unwrap_or_default() / 1_000_000;
            load.confidence = Some(watched.confidence(lasted_s));
        }
        complete(&mut record, stop.reason());
        if let Some(died) = record.load.as_ref().and_then(LoadRecord::died)
            && record.completeness == Completeness::Complete
        {
            (record.completeness, record.incomplete_because) = (Completeness::Partial, Some(died));
        }
        conclude(&mut record, &common.checks, &common.thresholds, &common.accepted);
        recorder.run_json(&record);
        if let Some(trouble) = recorder.trouble() {
            complete(&mut record, Some(StopReason::RecordFailed(trouble.to_owned())));
        }
        Ok(Finished { record, directory: recorder.directory().to_owned() })
    }
}

/// The clocks, and the histogram of what was seen late.
fn clock_record(stamps: &Stamps) -> (ClockRecord, Encoded) {
    let counts = stamps.counts();
    let clock = ClockRecord {
        kernel_stamped: counts.by_kernel,
        program_stamped: counts.by_program,
        kernel_stamped_ends: counts.ends_by_kernel,
        program_stamped_ends: counts.ends_by_program,
        seen_late: Percentiles::of(&counts.sight),
    };
    (clock, Encoded::of(&counts.sight))
}

fn complete(record: &mut Record, reason: Option<StopReason>) {
    let (completeness, because) = match reason {
        None => (Completeness::Complete, None),
        Some(StopReason::Interrupted) => {
            (Completeness::Interrupted, Some("the run was interrupted by a signal".to_owned()))
        }
        Some(StopReason::BrokerDown(what)) => {
            (Completeness::BrokerDown, Some(format!("the broker went down: {what}")))
        }
        Some(StopReason::OutOfTime(why)) => (Completeness::OutOfTime, Some(why)),
        Some(StopReason::RecordFailed(what)) => (Completeness::RecordFailed, Some(what)),
    };
    record.completeness = completeness;
    record.incomplete_because = because;
}
