//! The distributions of a record that have a picture.

use ungraceful_record::metric::{Metric, Percentiles};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::Record;

/// A distribution with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) of: Percentiles,
}

fn named(name: impl Into<String>, of: Percentiles) -> Named {
    Named { name: name.into(), of }
}

/// The broker's times of a fault: reactions of all cases together, and what else was timed of the attempts.
pub(super) fn of_attempts(record: &Record) -> Vec<Named> {
    let mut all = vec![named("reaction time, all cases", record.reaction_time)];
    let others = [
        (Metric::TimeToClose, "time to close"),
        (Metric::WillTime, "time until the Will"),
        (Metric::ConnackTime, "time until CONNACK"),
    ];
    for (metric, name) in others {
        let of_fault = record.metrics.iter().find(|of| of.metric == metric && of.phase == Phase::Fault);
        all.extend(of_fault.map(|of| named(name, of.percentiles)));
    }
    all
}

/// The load's times.
pub(super) fn of_load(record: &Record) -> Vec<Named> {
    let Some(load) = &record.load else { return Vec::new() };
    let all = [
        ("end to end, response", load.delivery_response_time),
        ("end to end, service", load.delivery_service_time),
        ("acknowledged, response", load.publish_response_time),
        ("acknowledged, service", load.publish_service_time),
        ("CONNACK", load.connections.connack_time),
        ("SUBACK", load.connections.suback_time),
    ];
    // A load without subscribers, or of QoS 0, has not all of them.
    all.into_iter().filter(|(_, of)| of.count > 0).map(|(name, of)| named(name, of)).collect()
}

/// The bystanders' response times, by phase of the run.
pub(super) fn of_bystanders(record: &Record) -> Vec<Named> {
    let Some(bystanders) = &record.bystanders else { return Vec::new() };
    let measured = record.phases.iter().map(|phase| phase.phase).filter(|phase| *phase != Phase::Warmup);
    let of = |phase: Phase| {
        let of = bystanders.phases.iter().find(|of| of.phase == phase);
        named(format!("bystanders, {}", phase.name()), of.map(|of| of.response_time).unwrap_or_default())
    };
    measured.map(of).collect()
}
