//! Sums over a whole log.

use std::collections::BTreeMap;

use ungraceful_mqtt::ProtocolVersion;

use super::incident::Incident;
use super::rates::Rates;
use super::signs::Signs;
use crate::cause::{Cause, Effect};
use crate::command::Seen;
use crate::timestamp::LogTime;

/// What is told of one cause.
#[derive(Clone, Debug)]
pub struct CauseTold {
    /// Incidents.
    pub incidents: u64,
    /// Incidents by what became of the connection.
    pub effects: Vec<(Effect, u64)>,
    /// Time of the first, and of the last; absent when the log has no times.
    pub first: Option<LogTime>,
    /// See `first`.
    pub last: Option<LogTime>,
    /// The first incidents, as examples.
    pub examples: Vec<Incident>,
    versions: Vec<ProtocolVersion>,
    prefix: Option<String>,
    keep_alive_s: Option<u16>,
    /// The shortest and the longest time from connect to end, in ms; absent when the log tells no begin.
    pub lasted_ms: Option<(i64, i64)>,
}

/// Examples of each cause.
const EXAMPLES_MAX: usize = 3;

/// Sums over a whole log.
#[derive(Debug, Default)]
pub struct Picture {
    /// Incidents, in all.
    pub incidents: u64,
    /// Time of the first recognised line, and of the last; absent when the log has no times.
    pub first: Option<LogTime>,
    /// See `first`.
    pub last: Option<LogTime>,
    /// By cause.
    pub causes: BTreeMap<Cause, CauseTold>,
    /// Incidents over time.
    pub rates: Rates,
    /// What only many lines show.
    pub signs: Signs,
}

impl Picture {
    pub(super) fn seen_at(&mut self, time: LogTime) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    pub(super) fn count(&mut self, incident: &Incident) {
        self.incidents += 1;
        self.signs.incident(incident);
        let told = self.causes.entry(incident.cause).or_insert_with(|| CauseTold {
            incidents: 0,
            effects: Vec::new(),
            first: incident.time,
            last: incident.time,
            examples: Vec::new(),
            versions: Vec::new(),
            prefix: None,
            keep_alive_s: None,
            lasted_ms: None,
        });
        told.incidents += 1;
        match told.effects.iter_mut().find(|(effect, _)| *effect == incident.effect) {
            Some((_, count)) => *count += 1,
            None => told.effects.push((incident.effect, 1)),
        }
        if let Some(time) = incident.time {
            told.first = Some(told.first.map_or(time, |first| first.min(time)));
            told.last = Some(told.last.map_or(time, |last| last.max(time)));
            self.rates.count(incident.cause, time);
        }
        if let Some(ms) = incident.connected_for_ms {
            told.lasted_ms = Some(told.lasted_ms.map_or((ms, ms), |(low, high)| (low.min(ms), high.max(ms))));
        }
        if told.examples.len() < EXAMPLES_MAX {
            told.examples.push(incident.clone());
        }
        if let Some(version) = incident.version
            && !told.versions.contains(&version)
        {
            told.versions.push(version);
        }
        told.keep_alive_s = match (told.keep_alive_s, incident.keep_alive_s) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        if let Some(client) = &incident.client {
            told.prefix = Some(match told.prefix.take() {
                None => client.clone(),
                Some(prefix) => in_common(&prefix, client),
            });
        }
    }

    /// What a reproduction of `cause` can keep of what was seen.
    #[must_use]
    pub fn seen(&self, cause: Cause) -> Seen {
        let Some(told) = self.causes.get(&cause) else { return Seen::default() };
        let version = match told.versions.as_slice() {
            [version] => Some(*version),
            _ => None,
        };
        let prefix = told.prefix.clone().unwrap_or_default();
        Seen {
            version,
            client_id_prefix: prefix,
            keep_alive_s: told.keep_alive_s,
            is_duel: cause == Cause::TakeOver && !self.signs.duels().is_empty(),
        }
    }
}

/// What both begin with.
fn in_common(one: &str, other: &str) -> String {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
}
