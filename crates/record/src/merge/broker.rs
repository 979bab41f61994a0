//! The broker as the shards saw it: one broker, so what several of them saw of it is not added.

use std::collections::BTreeMap;

use crate::phase::Phase;
use crate::run::{
    BrokerLogRecord, BrokerOrigin, BrokerRecord, BrokerResourcesRecord, LogCauseRecord, LogPhraseRecord,
    SysRecord,
};

use super::{Placed, Shard};

pub(super) fn of(placed: &[Placed<'_>], first: &Shard, watching: Option<&Shard>) -> BrokerRecord {
    // A shard that started it knows most about it.
    let owner = placed.iter().find(|one| one.record().broker.origin != BrokerOrigin::External);
    let base = owner.map_or(&first.record, Placed::record);
    let known = |of: fn(&BrokerRecord) -> Option<String>| {
        of(&base.broker).or_else(|| placed.iter().find_map(|one| of(&one.record().broker)))
    };
    let process = watching.map_or(base, |shard| &shard.record);
    BrokerRecord {
        name: known(|broker| broker.name.clone()),
        sys_version: known(|broker| broker.sys_version.clone()),
        exit: known(|broker| broker.exit.clone()),
        pid: process.broker.pid,
        process_name: process.broker.process_name.clone(),
        qos_limit: placed
            .iter()
            .filter_map(|one| one.record().broker.qos_limit.clone())
            .min_by_key(|limit| limit.maximum_qos),
        sys: sys(placed),
        sys_last_heard_us: last_heard(placed).and_then(heard_us),
        honest_connections_lost: placed.iter().map(|one| one.record().broker.honest_connections_lost).sum(),
        ..base.broker.clone()
    }
}

/// The broker's process, as one shard watched it. Growth per attempt is left out: the attempts of the other shards are not in it.
pub(super) fn resources(watching: Option<&Shard>) -> Option<BrokerResourcesRecord> {
    let mut resources = watching?.record.broker_resources?;
    resources.rss_bytes.per_1000_attempts = None;
    resources.descriptors.per_1000_attempts = None;
    Some(resources)
}

fn heard_us(one: &Placed<'_>) -> Option<u64> {
    Some(one.us(one.record().broker.sys_last_heard_us?))
}

fn last_heard<'p, 'a>(placed: &'p [Placed<'a>]) -> Option<&'p Placed<'a>> {
    placed.iter().filter(|one| heard_us(one).is_some()).max_by_key(|one| heard_us(one))
}

/// When the fault or the load of a shard began.
fn acted_from_us(one: &Placed<'_>) -> u64 {
    let acts = |phase: Phase| matches!(phase, Phase::Fault | Phase::Load);
    let began = one.record().phases.iter().find(|record| acts(record.phase)).map(|record| record.began_us);
    one.us(began.unwrap_or(0))
}

/// What the broker published: the value before any shard acted, and the last value that any of them heard. So a counter that grew
/// at any time in between has grown here. Without a value from the shard that acted first, there is none from before.
fn sys(placed: &[Placed<'_>]) -> BTreeMap<String, SysRecord> {
    let mut all: BTreeMap<String, SysRecord> = BTreeMap::new();
    let mut by_last_heard: Vec<&Placed<'_>> = placed.iter().collect();
    by_last_heard.sort_by_key(|one| heard_us(one));
    for (topic, value) in by_last_heard.iter().flat_map(|one| &one.record().broker.sys) {
        let known = all.entry(topic.clone()).or_default();
        known.after = value.after.or(known.after);
    }
    if let Some(first) = placed.iter().min_by_key(|one| acted_from_us(one)) {
        for (topic, value) in &first.record().broker.sys {
            all.entry(topic.clone()).or_default().before = value.before;
        }
    }
    all
}

/// The lines are those of one shard, because several that follow the same log read the same lines. Attempts are each shard's own.
pub(super) fn log(placed: &[Placed<'_>]) -> Option<BrokerLogRecord> {
    let all = || placed.iter().filter_map(|one| Some((one, one.record().broker_log.as_ref()?)));
    let (of, log) = all().next()?;
    let phrase = |phrase: &LogPhraseRecord| LogPhraseRecord {
        example_attempt: phrase.example_attempt.map(|attempt| of.place.attempt_number(attempt)),
        ..phrase.clone()
    };
    let mut causes: Vec<LogCauseRecord> = Vec::new();
    for (one, log) in all() {
        for cause in &log.causes {
            match causes.iter_mut().find(|known| known.cause == cause.cause) {
                Some(known) => known.attempts += cause.attempts,
                None => causes.push(LogCauseRecord {
                    example_attempt: one.place.attempt_number(cause.example_attempt),
                    ..cause.clone()
                }),
            }
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.attempts));
    Some(BrokerLogRecord {
        phrases: log.phrases.iter().map(phrase).collect(),
        causes,
        attempts_named: all().map(|(_, log)| log.attempts_named).sum(),
        lines_that_name_an_attempt: all().map(|(_, log)| log.lines_that_name_an_attempt).sum(),
        ..log.clone()
    })
}
