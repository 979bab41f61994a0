//! The record as it stands when a run begins, before anything was measured.

use ungraceful_record::run::{Completeness, FORMAT_VERSION, LeftOutRecord, Record};

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
        host: host::facts(descriptor_limit, u64::from(common.threads.get())),
        broker: broker.record.clone(),
        cases_left_out,
        ..Record::default()
    }
}
