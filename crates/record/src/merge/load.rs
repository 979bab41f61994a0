//! The loads of the shards: messages and connections added, times from merged histograms.

use std::collections::BTreeMap;

use crate::counts::Count;
use crate::load::{
    HeldAcknowledgements, LoadConnections, LoadCounts, LoadRecord, RetainedRecord, stalled_40_ms,
};
use crate::metric::{Histograms, Metric, Percentiles};
use crate::phase::Phase;

use super::{Placed, listed};

pub(super) fn of(placed: &[Placed<'_>], histograms: &Histograms) -> Option<LoadRecord> {
    let with: Vec<(&Placed<'_>, &LoadRecord)> =
        placed.iter().filter_map(|one| Some((one, one.record().load.as_ref()?))).collect();
    let (_, first) = with.first()?;
    let total = |of: fn(&LoadRecord) -> u64| with.iter().map(|(_, load)| of(load)).sum::<u64>();
    let instants = |of: fn(&LoadRecord) -> Option<u64>| {
        with.iter().filter_map(move |(one, load)| Some(one.us(of(load)?)))
    };
    let times = |metric| histograms.of(metric, Phase::Load).map(Percentiles::of).unwrap_or_default();
    let mut by_qos: BTreeMap<u8, LoadCounts> = BTreeMap::new();
    for (qos, counts) in with.iter().flat_map(|(_, load)| &load.by_qos) {
        *by_qos.entry(*qos).or_default() += counts;
    }
    Some(LoadRecord {
        release: first.release,
        shape: shape(&with),
        publishers: total(|load| load.publishers),
        subscribers: total(|load| load.subscribers),
        payload_bytes: first
            .payload_bytes
            .filter(|bytes| with.iter().all(|(_, load)| load.payload_bytes == Some(*bytes))),
        in_flight_max: with.iter().map(|(_, load)| load.in_flight_max).max().unwrap_or(0),
        end_to_end_window: with.iter().filter_map(|(_, load)| load.end_to_end_window).max(),
        counted_from_us: instants(|load| load.counted_from_us).min(),
        counted_until_us: instants(|load| load.counted_until_us).max(),
        // Made of the seconds of all shards, which are not here.
        confidence: None,
        last_sent_us: instants(|load| load.last_sent_us).max(),
        last_delivered_us: instants(|load| load.last_delivered_us).max(),
        connections: connections(&with, histograms),
        by_qos,
        foreign: total(|load| load.foreign),
        retained: total(|load| load.retained),
        too_old: total(|load| load.too_old),
        bytes_sent: total(|load| load.bytes_sent),
        bytes_received: total(|load| load.bytes_received),
        publish_response_time: times(Metric::PublishResponseTime),
        publish_service_time: times(Metric::PublishServiceTime),
        delivery_response_time: times(Metric::DeliveryResponseTime),
        delivery_service_time: times(Metric::DeliveryServiceTime),
        departure_time: times(Metric::DepartureTime),
        stalled_40_ms: histograms.of(Metric::DeliveryServiceTime, Phase::Load).and_then(stalled_40_ms),
        held_acknowledgements: held(&with),
        cpu_us: with.iter().map(|(_, load)| load.cpu_us).sum(),
        retained_by_us: retained(&with),
        processes: with.iter().flat_map(|(_, load)| load.processes.clone()).collect(),
    })
}

fn shape(with: &[(&Placed<'_>, &LoadRecord)]) -> String {
    let shapes = listed(with.iter().map(|(_, load)| load.shape.clone()));
    match with.len() {
        1 => shapes,
        count => format!("{count} shards, each {shapes}"),
    }
}

fn connections(with: &[(&Placed<'_>, &LoadRecord)], histograms: &Histograms) -> LoadConnections {
    let times = |metric| histograms.of(metric, Phase::Load).map(Percentiles::of).unwrap_or_default();
    let mut sum = LoadConnections {
        tcp_connect_time: times(Metric::TcpConnectTime),
        handshake_time: times(Metric::HandshakeTime),
        connack_time: times(Metric::ConnackTime),
        suback_time: times(Metric::SubackTime),
        ..LoadConnections::default()
    };
    let mut last_us = None;
    for (one, load) in with {
        let connections = &load.connections;
        sum.planned += connections.planned;
        sum.accepted += connections.accepted;
        sum.never_begun += connections.never_begun;
        sum.refused.add(&connections.refused);
        sum.lost.add(&connections.lost);
        if let Some(first_us) = connections.first_syn_us {
            let first_us = one.us(first_us);
            sum.first_syn_us = Some(sum.first_syn_us.map_or(first_us, |so_far: u64| so_far.min(first_us)));
            last_us = last_us.max(connections.up_after_us.map(|up_us| first_us.saturating_add(up_us)));
        }
    }
    sum.up_after_us =
        sum.first_syn_us.zip(last_us).map(|(first_us, last_us)| last_us.saturating_sub(first_us));
    sum
}

/// Of all shards that acknowledge, if each of them has it: for one that lacks it, nothing is known.
fn held(with: &[(&Placed<'_>, &LoadRecord)]) -> Option<HeldAcknowledgements> {
    let acknowledging = with.iter().filter(|(_, load)| load.acknowledging().acknowledged > 0);
    let all: Option<Vec<HeldAcknowledgements>> =
        acknowledging.map(|(_, load)| load.held_acknowledgements).collect();
    let all = all.filter(|all| !all.is_empty())?;
    let held: u64 = all.iter().map(|one| one.held).sum();
    let mean = |of: fn(&HeldAcknowledgements) -> u64| {
        all.iter().map(|one| of(one) * one.held).sum::<u64>().checked_div(held).unwrap_or(0)
    };
    Some(HeldAcknowledgements {
        held,
        of: all.iter().map(|one| one.of).sum(),
        waited_us_mean: mean(|one| one.waited_us_mean),
        after_next_us_mean: mean(|one| one.after_next_us_mean),
    })
}

fn retained(with: &[(&Placed<'_>, &LoadRecord)]) -> Option<RetainedRecord> {
    let all = || with.iter().filter_map(|(one, load)| Some((one, load.retained_by_us.as_ref()?)));
    all().next()?;
    let left = |(one, retained): (&&Placed<'_>, &RetainedRecord)| {
        Some(format!("{}: {}", one.place.name(), retained.left_because.as_ref()?))
    };
    let left: Vec<String> = all().filter_map(left).collect();
    Some(RetainedRecord {
        topics: all().map(|(_, retained)| retained.topics).sum(),
        left_because: (!left.is_empty()).then(|| left.join("; ")),
    })
}
