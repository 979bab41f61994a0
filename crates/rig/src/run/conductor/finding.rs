//! The broker of a run, found and tried, and the faults that it supports.

use std::collections::BTreeMap;
use std::sync::Arc;

use ungraceful_record::live::Observer;
use ungraceful_record::metric::histogram;
use ungraceful_record::offers::Offers;
use ungraceful_record::run::{LeftOutRecord, generated_client_id_prefix};
use ungraceful_record::scale::listed;
use ungraceful_wire::{ConnectOptions, Stamps, Transport};

use crate::attempts::fault::Fault;
use crate::broker::clients::Clients;
use crate::broker::found::Broker;
use crate::broker::rights::companions;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::run::settings::{Common, Experiment};

/// The broker, after it was tried with what the run is about to do.
pub(super) struct Found {
    pub(super) broker: Broker,
    pub(super) options: ConnectOptions,
    pub(super) clients: Clients,
    pub(super) faults: Arc<[Arc<dyn Fault>]>,
    pub(super) left_out: Vec<LeftOutRecord>,
}

impl Found {
    /// Finds or starts the broker, and tries rights, limits and QoS.
    pub(super) async fn of(
        experiment: &Experiment,
        clock: &RunClock,
        observer: &mut dyn Observer,
    ) -> Result<Self, RunError> {
        let Experiment { common, work } = experiment;
        let options = connect_options(common);
        let counts = experiment.client_counts();
        let mut broker = Broker::find(common, &options, counts).await?;
        broker.announce(common, observer);
        let of_run = of_run(common, clock);
        let mut faults = work.attempts().map_or_else(Vec::new, |attempts| (attempts.faults)(&broker.spoken));
        let connections = counts.1 + experiment.connections_at_once(faults.len());
        let carried_out =
            |fault: &&Arc<dyn Fault>| fault.unsupported_reason(broker.offers(), &options.transport).is_none();
        let companions = companions(&faults.iter().filter(carried_out).collect::<Vec<_>>());
        broker.probe(common, &options, &of_run, (connections, counts), &companions).await?;
        if let Some(differences) = Offers::differences(&broker.record) {
            observer.note(&differences);
        }
        if let Some(limit) = &broker.record.qos_limit {
            observer.note(&limit.in_words());
        }
        // The kernel stamps what the clients of attempts send and receive. A load alone has no ends to time, and to watch for them costs
        // each of its packets something.
        let stamps = match faults.is_empty() {
            true => Stamps::of_bytes_alone(histogram()),
            false => Stamps::toward(&broker.nodes.addresses(), histogram()),
        };
        let options = ConnectOptions { stamps: Some(stamps), ..options };
        let left_out = leave_out_unsupported(&mut faults, broker.offers(), &options.transport, observer)?;
        let clients = Clients::new(
            common.target.clients.clone(),
            generated_client_id_prefix(&common.client_id_prefix, common.seed.0),
            of_run,
            counts,
            *clock,
        );
        Ok(Self { broker, options, clients, faults: faults.into(), left_out })
    }
}

/// Removes the faults that the broker does not support by its own announcement, or that make no sense over this transport, and returns
/// them.
fn leave_out_unsupported(
    faults: &mut Vec<Arc<dyn Fault>>,
    offers: Offers,
    transport: &Transport,
    observer: &mut dyn Observer,
) -> Result<Vec<LeftOutRecord>, RunError> {
    let mut left_out = Vec::new();
    faults.retain(|fault| {
        let why = fault.unsupported_reason(offers, transport);
        let is_supported = why.is_none();
        left_out.extend(why.map(|why| LeftOutRecord { case: fault.case(), why }));
        is_supported
    });
    let reasons: Vec<String> = left_out.iter().map(|left| format!("{}: {}", left.case, left.why)).collect();
    if faults.is_empty() && !left_out.is_empty() {
        return Err(RunError::Environment(format!(
            "this broker supports none of the selected variants: {}; choose others",
            reasons.join("; ")
        )));
    }
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for left in &left_out {
        by_reason.entry(&left.why).or_default().push(left.case.to_string());
    }
    for (why, cases) in by_reason {
        observer.note(&format!("skipped: {}: {why}", listed(&cases)));
    }
    Ok(left_out)
}

fn connect_options(common: &Common) -> ConnectOptions {
    ConnectOptions {
        connect_timeout: common.target.connect_timeout,
        source: common.target.sources.first().copied(),
        transport: common.target.transport.clone(),
        ..ConnectOptions::default()
    }
}

/// Unique for each run, also with the same seed.
fn of_run(common: &Common, clock: &RunClock) -> String {
    format!("{:016x}", common.seed.0 ^ clock.started().as_second().cast_unsigned())
}
