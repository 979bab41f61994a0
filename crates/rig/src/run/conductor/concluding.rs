//! After the last phase: the threads end, what they saw is summed up, judged, and written.

use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{ClockRecord, Completeness, Record};
use ungraceful_record::verdict::judge;
use ungraceful_wire::Stamps;

use super::{Conductor, Ran};
use crate::attempts::discarded::discarded_so_far;
use crate::broker::log::LogThread;
use crate::broker::owned::OwnedBroker;
use crate::broker::resources::resources;
use crate::error::RunError;
use crate::run::settings::Finished;
use crate::run::stop::StopReason;
use crate::run::summary::{Ended, Measured, summarise, waves};

impl Conductor<'_> {
    /// Ends what is still under way, and makes the record of what was seen.
    pub(super) fn conclude(mut self, ran: Ran) -> Result<Finished, RunError> {
        let Ran { worked, load, cpu_us, recovery_limit_us, recovery_time_us } = ran;
        let ended_us = self.clock.now_us();
        let exit = self.broker.owned.as_mut().and_then(OwnedBroker::exit);
        if let (Some(exit), None) = (&exit, self.stop.reason()) {
            self.stop.raise(StopReason::BrokerDown(format!("its process ended with {exit}")));
        }
        let is_in_waves = self.is_in_waves();
        let honest = self.honest.drain()?;
        let clock = self.job.stage.options.stamps.as_ref().map(clock_record).unwrap_or_default();
        // The collector ends when nobody can report any more.
        drop((self.job, self.reports));
        let collected = self.collector.finish()?;
        let broker_log = self.broker_log.map(LogThread::finish).transpose()?;
        let ended =
            Ended { ended_us, recovery_limit_us, recovery_time_us, cpu_us, worked, broker_exit: exit, clock };
        let measured = Measured {
            whole: &collected.whole,
            tallies: &collected.tallies,
            honest: &honest,
            attempts: collected.recorder.attempts(),
        };
        let cases: Vec<_> = self.faults.iter().map(|fault| fault.case()).collect();
        let mut record =
            summarise(self.begun, self.common, &self.phases, &self.schedule, &cases, &measured, &ended);
        let was_replaced = self.outages.count() > 0;
        record.broker_resources =
            resources(&collected.resources, &self.broker_edges, &record.phases, was_replaced);
        if is_in_waves {
            let (seen, of_bystanders) = (&self.seen_of_waves, &honest.waves);
            record.waves = waves(&self.schedule, &cases, seen, of_bystanders, &collected.resources);
        }
        let mut recorder = collected.recorder;
        if let Some((log, told)) = broker_log {
            recorder.add_broker_log(&told);
            record.broker_log = Some(log);
        }
        record.load = load;
        record.generator.discarded = discarded_so_far().since(self.discarded_before);
        complete(&mut record, self.stop.reason());
        judge(&mut record, &self.common.checks);
        let thresholds = self.common.thresholds.iter().map(|threshold| threshold.judge(&record));
        let thresholds: Vec<_> = thresholds.collect();
        record.verdicts.extend(thresholds);
        recorder.run_json(&record);
        if let Some(trouble) = recorder.trouble() {
            complete(&mut record, Some(StopReason::RecordFailed(trouble.to_owned())));
        }
        Ok(Finished { record, directory: recorder.directory().to_owned() })
    }
}

fn clock_record(stamps: &Stamps) -> ClockRecord {
    let counts = stamps.counts();
    ClockRecord {
        kernel_stamped: counts.by_kernel,
        program_stamped: counts.by_program,
        kernel_stamped_ends: counts.ends_by_kernel,
        program_stamped_ends: counts.ends_by_program,
        seen_late: Percentiles::of(&counts.sight),
    }
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
