//! The record as it stands when a run begins, before anything was measured.

use std::collections::BTreeMap;

use ungraceful_record::discarded::Discarded;
use ungraceful_record::metric::Percentiles;
use ungraceful_record::run::{
    AttemptsRecord, ClockRecord, Completeness, FORMAT_VERSION, GeneratorRecord, LeftOutRecord, Record,
};

use crate::broker::found::Broker;
use crate::measure::clock::RunClock;
use crate::run::host;
use crate::run::settings::Common;

/// The record as it stands when the run begins: readable, and saying that it is partial.
pub(crate) fn begun_record(
    common: &Common,
    broker: &Broker,
    clock: &RunClock,
    descriptor_limit: u64,
    cases_left_out: Vec<LeftOutRecord>,
) -> Record {
    Record {
        format_version: FORMAT_VERSION,
        completeness: Completeness::Partial,
        incomplete_because: Some("the run has not ended, or was cut short".to_owned()),
        tool: common.tool.clone(),
        command: common.command.clone(),
        settings: common.settings.clone(),
        seed: common.seed.0,
        started_utc: clock.started().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        duration_us: 0,
        host: host::facts(descriptor_limit, u64::from(common.threads.get())),
        broker: broker.record.clone(),
        phases: Vec::new(),
        attempts: AttemptsRecord::default(),
        cases: Vec::new(),
        cases_left_out,
        waves: Vec::new(),
        reaction_time: Percentiles::default(),
        measures: BTreeMap::new(),
        bystanders: None,
        witness: None,
        broker_resources: None,
        broker_log: None,
        load: None,
        generator: GeneratorRecord {
            schedule_slip: Percentiles::default(),
            loop_lag: Percentiles::default(),
            clock: ClockRecord::default(),
            cpu_us: None,
            attempts_waited_for_a_client: 0,
            discarded: Discarded::default(),
            bottlenecks: Vec::new(),
        },
        metrics: Vec::new(),
        verdicts: Vec::new(),
    }
}
