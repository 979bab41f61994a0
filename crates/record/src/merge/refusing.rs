//! What can't be one record: repetitions, the same record twice, brokers of several runs, clients with the same ClientIDs.

use std::collections::BTreeMap;

use crate::phase::Phase;
use crate::run::{BrokerOrigin, CaseRecord, Completeness, Record, Setting, generated_client_id_prefix};
use crate::scale::time;

use super::Shard;
/// Settings from which ClientIDs are made that are the same for each run.
const OWN_CLIENT_IDS: [&str; 2] = ["client-id", "clients-file"];

/// Why a record can't be merged with any other; absent when it can.
#[must_use]
pub fn unusable(record: &Record) -> Option<String> {
    if record.merged.is_some() {
        return Some("it was merged itself; give its shards instead".to_owned());
    }
    if matches!(record.completeness, Completeness::Partial | Completeness::RecordFailed) {
        let because = record.incomplete_because.as_deref().unwrap_or("it was cut short");
        return Some(format!("its record is not complete: {because}"));
    }
    let lacks = |case: &CaseRecord| case.sums.is_none();
    let older = record.cases.iter().any(lacks)
        || record.waves.len() != record.sums.wave_response_times.len()
        || (record.sums.seen_late.is_empty() && record.generator.clock.seen_late.count > 0);
    older.then(|| {
        "it was written by an earlier version, without the histograms that an exact merge needs".to_owned()
    })
}

/// Why these shards can't be one record, whatever the user accepts; absent when they can.
#[must_use]
pub fn refused(shards: &[Shard]) -> Option<String> {
    let mut seen: BTreeMap<(u64, &str, u64), &str> = BTreeMap::new();
    for shard in shards {
        let record = &shard.record;
        let of_this = (record.seed, &*record.started_utc, record.duration_us);
        if let Some(before) = seen.insert(of_this, &shard.folder) {
            return Some(format!(
                "{before} and {} are the same record, which would count twice",
                shard.folder
            ));
        }
    }
    let own = |shard: &&Shard| shard.record.broker.origin != BrokerOrigin::External;
    let owners: Vec<&str> = shards.iter().filter(own).map(|shard| &*shard.folder).collect();
    if let [one, other, ..] = owners.as_slice() {
        return Some(format!(
            "{one} and {other} each started a broker of their own; shards are of one broker: name it by --host or --url"
        ));
    }
    apart(shards)
}

/// Why the shards are repetitions: two of them that did not act at the same time.
fn apart(shards: &[Shard]) -> Option<String> {
    let first_us = shards.iter().map(|shard| shard.started_us).min()?;
    let span = |shard: &Shard| acted(&shard.record, shard.started_us.abs_diff(first_us));
    let (last_begun, (began_us, _)) =
        shards.iter().map(|shard| (shard, span(shard))).max_by_key(|(_, of)| of.0)?;
    let (first_ended, (_, ended_us)) =
        shards.iter().map(|shard| (shard, span(shard))).min_by_key(|(_, of)| of.1)?;
    (began_us >= ended_us && shards.len() > 1).then(|| {
        format!(
            "{} began to act {} after {} had ended: these are repetitions, which `ungraceful-report compare` reads; shards run at the \
             same time",
            last_begun.folder,
            time(began_us - ended_us),
            first_ended.folder
        )
    })
}

/// When faults or load acted, or else the whole run, with its start at `offset_us`.
fn acted(record: &Record, offset_us: u64) -> (u64, u64) {
    let acts = |phase: Phase| matches!(phase, Phase::Fault | Phase::Load);
    let phase = record.phases.iter().find(|record| acts(record.phase));
    let (began_us, ended_us) =
        phase.map_or((0, record.duration_us), |phase| (phase.began_us, phase.ended_us));
    (began_us.saturating_add(offset_us), ended_us.saturating_add(offset_us))
}

/// The time from the first begin to the last end, and that in which all acted, in µs.
pub(super) fn acting(records: &[(&Record, u64)]) -> (u64, u64) {
    let spans: Vec<(u64, u64)> =
        records.iter().map(|(record, offset_us)| acted(record, *offset_us)).collect();
    let (first, last) = (spans.iter().map(|span| span.0).min(), spans.iter().map(|span| span.1).max());
    let (begun, ended) = (spans.iter().map(|span| span.0).max(), spans.iter().map(|span| span.1).min());
    let lasted = |from: Option<u64>, to: Option<u64>| {
        from.zip(to).map_or(0, |(from_us, to_us)| to_us.saturating_sub(from_us))
    };
    (lasted(first, last), lasted(begun, ended))
}

/// Why two shards disturbed each other, or were not of one broker: clients with the same ClientIDs take each other over. Empty when
/// neither shows.
#[must_use]
pub fn conflicts(one: &Record, other: &Record) -> Vec<String> {
    let mut found = Vec::new();
    let value = |record: &Record, name: &str| {
        let setting = record.settings.iter().find(|(known, _)| known.replace('_', "-") == name);
        setting.map(|(_, setting): (_, &Setting)| setting.value.clone()).filter(|value| !value.is_empty())
    };
    for name in OWN_CLIENT_IDS {
        if let Some(of_one) = value(one, name).filter(|of_one| Some(of_one) == value(other, name).as_ref()) {
            found.push(format!(
                "both have --{name} {of_one}: clients with the same ClientIDs take each other over"
            ));
        }
    }
    let prefix = |record: &Record| {
        value(record, "client-id-prefix").map(|prefix| generated_client_id_prefix(&prefix, record.seed))
    };
    if let Some(of_one) = prefix(one).filter(|of_one| Some(of_one) == prefix(other).as_ref()) {
        found.push(format!(
            "the ClientIDs of both begin with {of_one}, so their clients took each other over: give each shard its own --seed or \
             --client-id-prefix"
        ));
    }
    let versions = |record: &Record| {
        let spoken = record.broker.versions.iter().filter(|version| version.spoken);
        Some(spoken.map(|version| &*version.version).collect::<Vec<_>>().join(" and "))
    };
    for (what, of_one, of_other) in [
        ("version of the broker", one.broker.sys_version.clone(), other.broker.sys_version.clone()),
        ("supported MQTT versions", versions(one), versions(other)),
    ] {
        if let Some((of_one, of_other)) = of_one.zip(of_other).filter(|(of_one, of_other)| of_one != of_other)
        {
            found.push(format!("{what}: {of_one} and {of_other}"));
        }
    }
    found
}
