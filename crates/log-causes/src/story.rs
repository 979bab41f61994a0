//! From recognised lines to incidents: lines that belong together are one, and each incident knows its client, its
//! address, its Keep Alive and how long the connection had lasted. In bounded memory, however long the log is.

mod clients;
mod incident;
mod picture;
mod rates;
mod signs;

pub use clients::{ClientTold, Connections};
pub use incident::Incident;
pub use picture::{CauseTold, Picture};
pub use rates::{RateRow, Rates};
pub use signs::{Duel, Flapping, HealthCheck, Herd, Signs, TogetherLapsed, WillsOfTakenOver};

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};

use crate::cause::{Cause, Effect, Precision};
use crate::matcher::Found;
use crate::timestamp::LogTime;
use clients::Clients;
use incident::Open;

/// Lines about one incident come within so many ms of each other, or within so many lines where there are no times.
const TOGETHER_MS: i64 = 2_000;
const TOGETHER_LINES: u64 = 200;
/// A line that names neither client nor connection belongs to the incident just before when it follows it so closely.
const NAMELESS_LINES: u64 = 5;
/// Incidents that may wait for further lines at the same time.
const OPEN_MAX: usize = 10_000;

/// What of a log is told.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients that are told apart; what the others did counts in all sums.
    pub clients_max: usize,
    /// Only what is not earlier; absent for all.
    pub since: Option<LogTime>,
    /// Only what is earlier; absent for all.
    pub until: Option<LogTime>,
    /// Only this client; absent for all.
    pub client: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { clients_max: 100_000, since: None, until: None, client: None }
    }
}

/// The story so far.
#[derive(Debug)]
pub struct Story {
    limits: Limits,
    connections: Connections,
    clients: Clients,
    /// Incidents that further lines may still belong to, by their number, the oldest first.
    open: BTreeMap<u64, Open>,
    /// The open incidents of a client, an address or a connection's own name.
    open_of: [HashMap<String, u64>; 3],
    next: u64,
    /// The client that the last line told a take-over of; absent when it told none, or no client.
    taken_over: Option<String>,
    /// Logs that are behind, and so the number of this one.
    log: usize,
    /// Whether the last time was one that is looked at; a line without one is taken for as late as the line before it.
    span: Span,
    picture: Picture,
}

/// Where a time lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// Before what is looked at: such a line tells who is who, and no incident.
    Before,
    /// Within it.
    Within,
    /// After it.
    After,
}

impl Story {
    /// A story of which nothing has happened yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            clients: Clients::new(limits.clients_max),
            connections: Connections::default(),
            open: BTreeMap::new(),
            open_of: [HashMap::new(), HashMap::new(), HashMap::new()],
            next: 1,
            taken_over: None,
            log: 0,
            span: Span::Within,
            picture: Picture::default(),
            limits,
        }
    }

    /// Takes a recognised line, with its number and its time. Incidents that are complete go to `tell`.
    pub fn take(
        &mut self,
        number: u64,
        text: &[u8],
        time: Option<LogTime>,
        mut found: Found,
        tell: &mut dyn FnMut(Incident),
    ) {
        if let Some(time) = time {
            self.span = self.limits.span(time);
        }
        if self.span == Span::After {
            return;
        }
        let is_wanted = self.span == Span::Within;
        if let Some(time) = time.filter(|_| is_wanted) {
            self.picture.seen_at(time);
        }
        self.close_what_is_over(number, time, tell);
        self.connections.complete(&mut found);
        if found.cause == Cause::TakeOver {
            self.taken_over.clone_from(&found.client);
        }
        let key = key_of(&found);
        match found.pattern.effect {
            Effect::Accepted => {
                self.connections.accepted(&found);
            }
            Effect::Connected => {
                self.connections.connected(&found);
                // The newcomer of a take-over ends nothing but the wait for more lines about the older one.
                if let Some(key) = key {
                    self.close(key, tell);
                }
                if self.limits.is_of_interest(found.client.as_deref()) {
                    self.picture.signs.connected(&found, time, is_wanted);
                }
                self.clients.connected(&found, time, is_wanted);
            }
            Effect::Left => {
                if let Some(key) = key {
                    self.close(key, tell);
                }
                self.connections.ended(&found);
                self.clients.ended(&found);
            }
            Effect::Aside => {}
            // The client of the take-over is that of the line before, whatever key it is found by.
            Effect::Behind => {
                let client = self.taken_over.as_deref();
                if is_wanted && self.limits.is_of_interest(client) {
                    self.picture.signs.will_after_take_over(client, found.topic.as_deref());
                }
            }
            Effect::Sign if found.cause.is_ordinary() => self.picture.signs.broker_started(time),
            Effect::Ended | Effect::Tail | Effect::Refused | Effect::Lives | Effect::Sign => {
                self.incident(number, text, time, &found, key, tell);
            }
        }
    }

    /// Ends a log: the lines that come are those of another one, where nobody is known yet, not even by the same ClientID.
    pub fn end_log(&mut self, tell: &mut dyn FnMut(Incident)) {
        self.finish(tell);
        self.connections = Connections::default();
        self.clients.end_log(self.log);
        self.picture.signs.end_log();
        self.log += 1;
        self.span = Span::Within;
    }

    /// Closes every incident, for the end of a log.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Incident)) {
        while let Some((_, open)) = self.open.pop_first() {
            self.told(open, tell);
        }
        self.open_of.iter_mut().for_each(HashMap::clear);
    }

    /// The whole picture.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The clients with the most incidents, the worst first.
    #[must_use]
    pub fn worst_clients(&self, count: usize) -> Vec<ClientTold> {
        self.clients.worst(count, self.log)
    }

    /// Clients that were told apart, and incidents of those that were not.
    #[must_use]
    pub fn clients_known(&self) -> (usize, u64) {
        (self.clients.known(), self.clients.incidents_of_others())
    }

    fn incident(
        &mut self,
        number: u64,
        text: &[u8],
        time: Option<LogTime>,
        found: &Found,
        key: Option<(usize, &str)>,
        tell: &mut dyn FnMut(Incident),
    ) {
        if let Some(open) = self.one_it_belongs_to(number, found, key) {
            open.join(number, time, found);
            return;
        }
        if let Some(key) = key {
            self.close(key, tell);
        }
        let mut incident = Incident::begin(self.log, number, text, time, found);
        self.connections.tell(&mut incident);
        self.clients.tell(&mut incident);
        if matches!(found.pattern.effect, Effect::Ended | Effect::Tail | Effect::Refused) {
            self.connections.ended(found);
            self.clients.ended(found);
        }
        if self.open.len() >= OPEN_MAX
            && let Some((id, oldest)) = self.open.pop_first()
        {
            self.forget(&oldest, id);
            self.told(oldest, tell);
        }
        let id = self.next;
        self.next += 1;
        let key = key.map(|(kind, name)| (kind, name.to_owned()));
        if let Some((kind, name)) = &key {
            self.open_of[*kind].insert(name.clone(), id);
        }
        self.open.insert(id, Open::new(incident, key, found, self.span == Span::Within));
    }

    /// The incident that this line is about as well.
    fn one_it_belongs_to(
        &mut self,
        number: u64,
        found: &Found,
        key: Option<(usize, &str)>,
    ) -> Option<&mut Open> {
        let id = match key {
            Some((kind, name)) => *self.open_of[kind].get(name)?,
            // Nobody is named: the incident just before, if it has no client either.
            None if found.cause.precision() < Precision::Exact => *self.open.last_key_value()?.0,
            None => return None,
        };
        let open = self.open.get_mut(&id)?;
        let is_near =
            key.is_some() || (open.is_nameless_and_unended() && number <= open.last_line + NAMELESS_LINES);
        (is_near && open.takes(found)).then_some(open)
    }

    fn close_what_is_over(&mut self, number: u64, time: Option<LogTime>, tell: &mut dyn FnMut(Incident)) {
        while let Some((id, oldest)) = self.open.first_key_value() {
            let is_over = match (time, oldest.last_time) {
                (Some(now), Some(last)) => now.0 - last.0 > TOGETHER_MS,
                _ => number > oldest.last_line + TOGETHER_LINES,
            };
            if !is_over {
                break;
            }
            let id = *id;
            if let Some(open) = self.open.remove(&id) {
                self.forget(&open, id);
                self.told(open, tell);
            }
        }
    }

    fn close(&mut self, (kind, name): (usize, &str), tell: &mut dyn FnMut(Incident)) {
        if let Some(id) = self.open_of[kind].get(name).copied() {
            if self.open.get(&id).is_some_and(Open::outlives_the_next_connect) {
                return;
            }
            self.open_of[kind].remove(name);
            if let Some(open) = self.open.remove(&id) {
                self.told(open, tell);
            }
        }
    }

    fn forget(&mut self, open: &Open, id: u64) {
        if let Some((kind, name)) = &open.key
            && self.open_of[*kind].get(name) == Some(&id)
        {
            self.open_of[*kind].remove(name);
        }
    }

    fn told(&mut self, open: Open, tell: &mut dyn FnMut(Incident)) {
        let incident = open.incident;
        if !self.limits.is_of_interest(incident.client.as_deref()) {
            return;
        }
        self.picture.signs.ended(&incident);
        if !open.is_wanted {
            return;
        }
        self.clients.count(&incident);
        self.picture.count(&incident);
        tell(incident);
    }
}

impl Limits {
    fn span(&self, time: LogTime) -> Span {
        if self.until.is_some_and(|until| time >= until) {
            Span::After
        } else if self.since.is_some_and(|since| time < since) {
            Span::Before
        } else {
            Span::Within
        }
    }

    fn is_of_interest(&self, client: Option<&str>) -> bool {
        self.client.is_none() || self.client.as_deref() == client
    }
}

/// What tells which incident a line belongs to: the kind of a name, as a place in `open_of`, and the name.
fn key_of(found: &Found) -> Option<(usize, &str)> {
    let names = [found.client.as_deref(), found.handle.as_deref(), found.address.as_deref()];
    names.into_iter().enumerate().find_map(|(kind, name)| Some((kind, name?)))
}

#[cfg(test)]
mod tests;
