//! Sums over a whole log.

use std::collections::BTreeMap;

use ungraceful_mqtt::ProtocolVersion;

use super::incident::Incident;
use super::rates::Rates;
use super::signs::Signs;
use crate::cause::{Cause, Effect};
use crate::command::Seen;
use crate::explanations::{Closer, explain};
use crate::timestamp::LogTime;

/// The incidents of one cause.
#[derive(Clone, Debug)]
pub struct CauseSummary {
    /// Incidents.
    pub incidents: u64,
    /// Incidents by effect on the connection.
    pub effects: Vec<(Effect, u64)>,
    /// Time of the first; absent when the log has no times.
    pub first: Option<LogTime>,
    /// Time of the last.
    pub last: Option<LogTime>,
    /// The first incidents.
    pub examples: Vec<Incident>,
    versions: Vec<ProtocolVersion>,
    prefix: Option<String>,
    /// Whether they are of more than one client.
    is_of_several: bool,
    was_connected: bool,
    keep_alive_s: Option<u16>,
    /// The shortest and the longest time from connect to end, in ms; absent when the log has no begin.
    pub lasted_ms: Option<(i64, i64)>,
}

impl CauseSummary {
    /// Who closed the connections; [`Closer::NotClosed`] if all of them stayed open.
    #[must_use]
    pub fn closed_by(&self, cause: Cause) -> Closer {
        let lived_on = self.effects.iter().all(|(effect, _)| *effect == Effect::Lives);
        if lived_on { Closer::NotClosed } else { explain(cause).closed_by }
    }
}

/// Examples of each cause.
const EXAMPLES_MAX: usize = 3;

/// Sums over a whole log.
#[derive(Debug, Default)]
pub struct Picture {
    /// Total number of incidents.
    pub incidents: u64,
    /// Time of the first recognised line; absent when the log has no times.
    pub first: Option<LogTime>,
    /// Time of the last.
    pub last: Option<LogTime>,
    /// By cause.
    pub causes: BTreeMap<Cause, CauseSummary>,
    /// Incidents over time.
    pub rates: Rates,
    /// Signs that only many lines show.
    pub signs: Signs,
}

impl Picture {
    pub(super) fn seen_at(&mut self, time: LogTime) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    pub(super) fn count(&mut self, incident: &Incident) {
        self.incidents += incident.occurrences;
        self.signs.incident(incident);
        let summary = self.causes.entry(incident.cause).or_insert_with(|| CauseSummary {
            incidents: 0,
            effects: Vec::new(),
            first: incident.time,
            last: incident.time,
            examples: Vec::new(),
            versions: Vec::new(),
            prefix: None,
            is_of_several: false,
            was_connected: false,
            keep_alive_s: None,
            lasted_ms: None,
        });
        summary.incidents += incident.occurrences;
        match summary.effects.iter_mut().find(|(effect, _)| *effect == incident.effect) {
            Some((_, count)) => *count += incident.occurrences,
            None => summary.effects.push((incident.effect, incident.occurrences)),
        }
        if let Some(time) = incident.time {
            summary.first = Some(summary.first.map_or(time, |first| first.min(time)));
            summary.last = Some(summary.last.map_or(time, |last| last.max(time)));
            self.rates.count(incident.cause, time, incident.occurrences);
        }
        if let Some(ms) = incident.connected_for_ms {
            summary.lasted_ms =
                Some(summary.lasted_ms.map_or((ms, ms), |(low, high)| (low.min(ms), high.max(ms))));
        }
        if summary.examples.len() < EXAMPLES_MAX {
            summary.examples.push(incident.clone());
        }
        if let Some(version) = incident.version
            && !summary.versions.contains(&version)
        {
            summary.versions.push(version);
        }
        summary.keep_alive_s = match (summary.keep_alive_s, incident.keep_alive_s) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        summary.was_connected |= incident.was_connected;
        if let Some(client) = &incident.client {
            summary.is_of_several |= summary.prefix.as_ref().is_some_and(|prefix| prefix != client);
            summary.prefix = Some(match summary.prefix.take() {
                None => client.clone(),
                Some(prefix) => in_common(&prefix, client),
            });
        }
    }

    /// The details of `cause` that a reproduction can keep.
    #[must_use]
    pub fn seen(&self, cause: Cause) -> Seen {
        let Some(summary) = self.causes.get(&cause) else { return Seen::default() };
        let version = match summary.versions.as_slice() {
            [version] => Some(*version),
            _ => None,
        };
        // The ClientID of a single client would be a device's own.
        let prefix = summary.prefix.clone().filter(|_| summary.is_of_several).unwrap_or_default();
        let duel = Some(self.signs.duels()).filter(|duels| cause == Cause::TakeOver && !duels.is_empty());
        Seen {
            version,
            client_id_prefix: prefix,
            keep_alive_s: summary.keep_alive_s,
            is_duel: duel.is_some(),
            take_overs_per_minute: duel.and_then(|duels| duels.first()?.per_minute()),
            lifetime_s: self.signs.equal_lifetimes().first().map(|equal| equal.seconds),
            was_connected: summary.was_connected,
        }
    }
}

/// The common prefix.
fn in_common(one: &str, other: &str) -> String {
    one.chars().zip(other.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
}
