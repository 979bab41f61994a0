//! Joins related lines into incidents, each with its client, address, Keep Alive and connection time. Memory is bounded.

mod clients;
mod incident;
mod picture;
mod rates;
mod repeats;
mod signs;

pub use clients::{ClientSummary, Connections};
pub use incident::Incident;
pub use picture::{CauseSummary, Picture};
pub use rates::{RateRow, Rates};
pub use signs::{Duel, EqualLifetimes, Flapping, Herd, Signs, SimultaneousLapses, Visits, WillsAtTakeOver};

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};

use crate::cause::{Cause, Effect, Precision};
use crate::matcher::Found;
use crate::timestamp::LogTime;
use clients::Clients;
use incident::Open;
use repeats::Repeats;

/// The maximum distance between lines of one incident: in ms, or in lines for a log without times.
const TOGETHER_MS: i64 = 2_000;
const TOGETHER_LINES: u64 = 200;
/// A line without client and connection belongs to the previous incident when it follows within this many lines.
const NAMELESS_LINES: u64 = 5;
/// Maximum number of incidents that wait for further lines.
const OPEN_MAX: usize = 10_000;

/// Which part of a log is reported.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients that are tracked individually; the others count only in the sums.
    pub clients_max: usize,
    /// Earlier lines are skipped; absent for no limit.
    pub since: Option<LogTime>,
    /// Lines at this time or later are skipped; absent for no limit.
    pub until: Option<LogTime>,
    /// The only client to report on; absent for all clients.
    pub client: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { clients_max: 100_000, since: None, until: None, client: None }
    }
}

/// The incidents of one or several logs.
#[derive(Debug)]
pub struct Story {
    limits: Limits,
    connections: Connections,
    clients: Clients,
    /// Incidents that wait for further lines, by number, oldest first.
    open: BTreeMap<u64, Open>,
    /// The open incident of each client, handle or address.
    open_of: [HashMap<String, u64>; 3],
    next: u64,
    /// The client of the latest take-over; absent when its line names no client.
    taken_over: Option<String>,
    /// The card that the next incident stands on.
    card: Option<Card>,
    /// Recognised lines that name the client to report on.
    lines_of_client: u64,
    /// Recognised lines with a time, whatever the limits are.
    timed: Timed,
    /// Number of the current log, from 0.
    log: usize,
    /// Where the latest time lies; a line without a time counts as late as the line before it.
    span: Span,
    picture: Picture,
}

/// How often the message in one of the next lines came.
#[derive(Clone, Copy, Debug)]
struct Card {
    line: u64,
    times: u64,
    time: Option<LogTime>,
}

/// Recognised lines that have a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// How many of them are within the limits.
    pub within: u64,
    /// The earliest and the latest time; absent without any.
    pub span: Option<(LogTime, LogTime)>,
}

impl Timed {
    fn add(&mut self, time: LogTime, is_within: bool) {
        self.within += u64::from(is_within);
        self.span = Some(self.span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
    }
}

/// Where a time lies relative to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// Before them: such a line identifies clients but makes no incident.
    Before,
    /// Within them.
    Within,
    /// After them.
    After,
}

impl Story {
    /// An empty story.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            clients: Clients::new(limits.clients_max),
            connections: Connections::default(),
            open: BTreeMap::new(),
            open_of: [HashMap::new(), HashMap::new(), HashMap::new()],
            next: 1,
            taken_over: None,
            card: None,
            lines_of_client: 0,
            timed: Timed::default(),
            log: 0,
            span: Span::Within,
            picture: Picture::default(),
            limits,
        }
    }

    /// Processes a recognised line with its number and time. Passes complete incidents to `report`.
    pub fn take(
        &mut self,
        number: u64,
        text: &[u8],
        time: Option<LogTime>,
        mut found: Found,
        report: &mut dyn FnMut(Incident),
    ) {
        if let Some(time) = time {
            self.span = self.limits.span(time);
            self.timed.add(time, self.span == Span::Within);
        }
        if self.span == Span::After {
            return;
        }
        let is_wanted = self.span == Span::Within;
        if let Some(time) = time.filter(|_| is_wanted) {
            self.picture.seen_at(time);
        }
        if found.pattern.effect == Effect::Aside {
            match Repeats::of(text, &found) {
                Repeats::Next(times) => self.card = Some(Card { line: number, times, time }),
                // It is written long after the message.
                Repeats::Before(times) => self.repeat(number, times),
                Repeats::No | Repeats::This(_) => {}
            }
        }
        self.close_what_is_over(number, time, report);
        self.picture.signs.line(text, found.pattern.effect, time);
        self.connections.complete(&mut found, time);
        self.lines_of_client += u64::from(found.client.is_some() && found.client == self.limits.client);
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
                // After a take-over this only ends the wait for more lines about the older connection.
                if let Some(key) = key {
                    self.close(key, report);
                }
                if self.limits.is_of_interest(found.client.as_deref()) {
                    self.picture.signs.connected(&found, time, is_wanted);
                }
                self.clients.connected(&found, time, is_wanted);
            }
            Effect::Left => {
                if let Some(key) = key {
                    self.close(key, report);
                }
                self.connections.ended(&found);
                self.clients.ended(found.client.as_deref(), found.address.as_deref());
            }
            Effect::Aside => {}
            // The client is the one of the take-over line before.
            Effect::Behind => {
                let client = self.taken_over.as_deref();
                if is_wanted && self.limits.is_of_interest(client) {
                    self.picture.signs.will_after_take_over(client, found.topic.as_deref());
                }
            }
            Effect::Sign if found.cause.is_ordinary() => self.picture.signs.broker_started(time),
            Effect::Ended | Effect::Tail | Effect::Refused | Effect::Lives | Effect::Sign => {
                self.incident(number, text, time, &found, key, report);
            }
        }
    }

    /// Ends a log. Clients of the next log are new, even with the same ClientID.
    pub fn end_log(&mut self, report: &mut dyn FnMut(Incident)) {
        self.finish(report);
        self.connections = Connections::default();
        self.clients.end_log(self.log);
        self.picture.signs.end_log();
        self.log += 1;
        self.span = Span::Within;
    }

    /// Closes every incident, for the end of a log.
    pub fn finish(&mut self, report: &mut dyn FnMut(Incident)) {
        while let Some((_, open)) = self.open.pop_first() {
            self.report(open, report);
        }
        self.open_of.iter_mut().for_each(HashMap::clear);
    }

    /// The sums over all logs.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The clients with the most incidents, most first.
    #[must_use]
    pub fn worst_clients(&self, count: usize) -> Vec<ClientSummary> {
        self.clients.worst(count, self.log)
    }

    /// Recognised lines that name the client to report on; 0 without one.
    #[must_use]
    pub fn lines_of_client(&self) -> u64 {
        self.lines_of_client
    }

    /// Recognised lines with a time, whatever the limits are.
    #[must_use]
    pub fn timed(&self) -> Timed {
        self.timed
    }

    /// Up to three ClientIDs that a user may have meant by `name`: the same letters and digits, or `name` is a part.
    #[must_use]
    pub fn clients_like(&self, name: &str) -> Vec<&str> {
        self.clients.like(name)
    }

    /// Number of tracked clients, and number of incidents of untracked ones.
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
        report: &mut dyn FnMut(Incident),
    ) {
        let belongs_to = self.one_it_belongs_to(number, found, key);
        if let Some(id) = belongs_to
            && self.open.get(&id).is_some_and(|open| open.is_ended_after_a_warning_by(found))
            && let Some(warning) = self.open.remove(&id)
        {
            self.forget(&warning, id);
        } else if let Some(open) = belongs_to.and_then(|id| self.open.get_mut(&id)) {
            open.join(number, time, found);
            if let Some(client) = &found.client_of_handle {
                self.clients.fill_in(&mut open.incident);
                self.clients.ended(Some(client), open.incident.address.as_deref());
            }
            return;
        }
        if let Some(key) = key {
            self.close(key, report);
        }
        let mut incident = Incident::begin(self.log, number, text, time, found);
        if let Some(card) = self.card.take().filter(|card| number <= card.line + NAMELESS_LINES) {
            incident.occurrences = card.times.max(1);
            incident.time = time.or(card.time);
        } else if let Repeats::This(times) = Repeats::of(text, found) {
            incident.occurrences = times.max(1);
        }
        self.connections.fill_in(&mut incident);
        self.clients.fill_in(&mut incident);
        if matches!(found.pattern.effect, Effect::Ended | Effect::Tail | Effect::Refused) {
            self.connections.ended(found);
            self.clients.ended(found.client.as_deref(), found.address.as_deref());
        }
        if self.open.len() >= OPEN_MAX
            && let Some((id, oldest)) = self.open.pop_first()
        {
            self.forget(&oldest, id);
            self.report(oldest, report);
        }
        let id = self.next;
        self.next += 1;
        let key = key.map(|(kind, name)| (kind, name.to_owned()));
        if let Some((kind, name)) = &key {
            self.open_of[*kind].insert(name.clone(), id);
        }
        self.open.insert(id, Open::new(incident, key, found, self.span == Span::Within));
    }

    /// The message in the line before this one came so many times more.
    fn repeat(&mut self, number: u64, times: u64) {
        if let Some(mut latest) = self.open.last_entry().filter(|latest| latest.get().last_line + 1 == number)
        {
            latest.get_mut().incident.occurrences += times;
        }
    }

    /// The number of the open incident that this line belongs to.
    fn one_it_belongs_to(&self, number: u64, found: &Found, key: Option<(usize, &str)>) -> Option<u64> {
        /// Incidents that are searched for the beginning of a nameless end.
        const LATEST: usize = 32;
        let nameless = || {
            let mut latest = self.open.iter().rev().take(LATEST);
            latest.find(|(_, open)| open.is_ended_without_a_name_by(found)).map(|(id, _)| *id)
        };
        let id = match key {
            Some((kind, name)) => match self.open_of[kind].get(name) {
                Some(id) => *id,
                None => return nameless(),
            },
            // No name in the line: the previous incident, if it has no client either.
            None if found.cause.precision() < Precision::Exact => *self.open.last_key_value()?.0,
            None => return None,
        };
        let open = self.open.get(&id)?;
        let is_near =
            key.is_some() || (open.is_nameless_and_unended() && number <= open.last_line + NAMELESS_LINES);
        (is_near && open.takes(found)).then_some(id)
    }

    fn close_what_is_over(&mut self, number: u64, time: Option<LogTime>, report: &mut dyn FnMut(Incident)) {
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
                self.report(open, report);
            }
        }
    }

    fn close(&mut self, (kind, name): (usize, &str), report: &mut dyn FnMut(Incident)) {
        if let Some(id) = self.open_of[kind].get(name).copied() {
            if self.open.get(&id).is_some_and(Open::outlives_the_next_connect) {
                return;
            }
            self.open_of[kind].remove(name);
            if let Some(open) = self.open.remove(&id) {
                self.report(open, report);
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

    fn report(&mut self, open: Open, report: &mut dyn FnMut(Incident)) {
        let mut incident = open.incident;
        if incident.cause == Cause::KeepAlive && incident.is_before_its_keep_alive() {
            incident.cause = Cause::KeepAliveEarly;
        }
        if !self.limits.is_of_interest(incident.client.as_deref()) {
            return;
        }
        self.picture.signs.ended(&incident);
        if !open.is_wanted {
            return;
        }
        self.clients.count(&incident);
        self.picture.count(&incident);
        report(incident);
    }
}

impl Limits {
    /// Whether they leave out anything that was read.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.client.is_some()
    }

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

/// The name that identifies the incident of a line, with its index in `open_of`.
fn key_of(found: &Found) -> Option<(usize, &str)> {
    let names = [found.client.as_deref(), found.handle.as_deref(), found.address.as_deref()];
    names.into_iter().enumerate().find_map(|(kind, name)| Some((kind, name?)))
}

#[cfg(test)]
mod tests;
