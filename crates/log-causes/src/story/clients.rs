//! The address of each connection and the incidents of each client; both bounded.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};

use ungraceful_mqtt::ProtocolVersion;

use super::incident::Incident;
use crate::cause::{Cause, Effect};
use crate::matcher::Found;
use crate::timestamp::LogTime;

/// Connection names kept in each of two generations; the older generation is dropped as a whole.
const NAMES_PER_GENERATION: usize = 50_000;
/// Connections without CONNECT that are kept.
const WAITING_MAX: usize = 1_000;
/// Names of ended connections that are kept: further lines about an end follow soon.
const ENDED_MAX: usize = 64;

/// A connection whose begin is in the log.
#[derive(Clone, Debug)]
struct Connection {
    client: Option<String>,
    address: Option<String>,
}

/// Connections by address and by the broker's own name for them.
#[derive(Debug, Default)]
pub struct Connections {
    known: HashMap<String, Connection>,
    /// The generation before.
    known_before: HashMap<String, Connection>,
    /// Accepted, without a client so far.
    waiting: VecDeque<String>,
    /// Ended of late, by name: the next line about such an end may have no client.
    ended: VecDeque<(String, Connection)>,
}

impl Connections {
    /// Adds to the next recognised line what earlier lines say about its connection. For callers that need the client of
    /// each line but no incidents.
    pub fn follow(&mut self, found: &mut Found) {
        self.complete(found);
        match found.pattern.effect {
            Effect::Connected => self.connected(found),
            Effect::Left => self.ended(found),
            // A second line about an end may follow; the next connection takes its place.
            _ => {}
        }
    }

    /// Adds what is known of the connection: brokers log the client at the begin and the address at the end.
    pub(super) fn complete(&self, found: &mut Found) {
        if found.pattern.effect == Effect::Connected {
            return;
        }
        let by_handle = found.handle.as_ref().and_then(|handle| self.named(handle));
        let by_address = found.address.as_ref().and_then(|address| self.named(address));
        let Some(connection) = by_handle.or(by_address) else { return };
        if found.client.is_none() && !found.is_unknown_client {
            found.client.clone_from(&connection.client);
        }
        if found.address.is_none() {
            found.address.clone_from(&connection.address);
        }
    }

    pub(super) fn accepted(&mut self, found: &Found) {
        let Some(address) = &found.address else { return };
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(address.clone());
    }

    pub(super) fn connected(&mut self, found: &Found) {
        if let Some(address) = &found.address {
            self.waiting.retain(|waiting| waiting != address);
        }
        let Some(address) = &found.address else {
            if let Some(handle) = &found.handle {
                self.remember(handle, Connection { client: found.client.clone(), address: None });
            }
            return;
        };
        if let Some(handle) = &found.handle {
            let connection = Connection { client: found.client.clone(), address: Some(address.clone()) };
            self.remember(handle, connection);
        }
        // A lookup by address does not need the address.
        self.remember(address, Connection { client: found.client.clone(), address: None });
    }

    fn named(&self, name: &str) -> Option<&Connection> {
        let ended = || self.ended.iter().find(|(known, _)| known == name).map(|(_, connection)| connection);
        self.known.get(name).or_else(|| self.known_before.get(name)).or_else(ended)
    }

    fn remember(&mut self, name: &str, connection: Connection) {
        self.ended.retain(|(known, _)| known != name);
        if self.known.len() >= NAMES_PER_GENERATION {
            self.known_before = std::mem::take(&mut self.known);
        }
        self.known.insert(name.to_owned(), connection);
    }

    pub(super) fn ended(&mut self, found: &Found) {
        for name in [&found.handle, &found.address].into_iter().flatten() {
            self.known.remove(name);
            self.known_before.remove(name);
            self.ended.retain(|(known, _)| known != name);
        }
        // An address without a port may be another client's as well.
        let Some(handle) = &found.handle else { return };
        if found.client.is_some() {
            if self.ended.len() >= ENDED_MAX {
                self.ended.pop_front();
            }
            let connection = Connection { client: found.client.clone(), address: found.address.clone() };
            self.ended.push_back((handle.clone(), connection));
        }
    }

    /// Adds the address of a connection that ended before it had a client, where only one candidate exists.
    pub(super) fn fill_in(&mut self, incident: &mut Incident) {
        if incident.client.is_some() || incident.effect == Effect::Lives || incident.effect == Effect::Sign {
            return;
        }
        match &incident.address {
            Some(address) => self.waiting.retain(|waiting| waiting != address),
            // Ambiguous among several; the oldest is dropped so that they do not pile up.
            None if self.waiting.len() > 1 => {
                self.waiting.pop_front();
            }
            None => incident.address = self.waiting.pop_front(),
        }
    }
}

/// The incidents of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSummary {
    /// Number of its log, from 0: a ClientID in two logs counts as two clients.
    pub log: usize,
    /// The ClientID.
    pub client: String,
    /// Total number of incidents.
    pub incidents: u64,
    /// Incidents by cause, most frequent first.
    pub causes: Vec<(Cause, u64)>,
    /// Number of connects.
    pub connects: u64,
    /// The last known address; absent when the log has none.
    pub address: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Client {
    causes: Vec<(Cause, u64)>,
    incidents: u64,
    connects: u64,
    address: Option<String>,
    keep_alive_s: Option<u16>,
    version: Option<ProtocolVersion>,
    connected_at: Option<LogTime>,
    is_connected: bool,
}

/// Clients by ClientID.
#[derive(Debug)]
pub(super) struct Clients {
    known: Vec<(String, Client)>,
    /// The index of each client in `known`.
    places: HashMap<String, usize>,
    /// Clients of earlier logs that had incidents.
    of_other_logs: Vec<(usize, String, Client)>,
    max: usize,
    incidents_of_others: u64,
}

impl Clients {
    pub(super) fn new(max: usize) -> Self {
        Self {
            known: Vec::new(),
            places: HashMap::new(),
            of_other_logs: Vec::new(),
            max,
            incidents_of_others: 0,
        }
    }

    fn of(&mut self, id: &str) -> Option<&mut Client> {
        if let Some(place) = self.places.get(id) {
            return self.known.get_mut(*place).map(|(_, client)| client);
        }
        if self.known() >= self.max {
            return None;
        }
        self.places.insert(id.to_owned(), self.known.len());
        self.known.push((id.to_owned(), Client::default()));
        self.known.last_mut().map(|(_, client)| client)
    }

    fn at(&self, id: &str) -> Option<&Client> {
        self.known.get(*self.places.get(id)?).map(|(_, client)| client)
    }

    /// The client connected; the connect counts only where it `is_wanted`.
    pub(super) fn connected(&mut self, found: &Found, time: Option<LogTime>, is_wanted: bool) {
        let Some(client) = found.client.as_deref().and_then(|id| self.of(id)) else { return };
        client.connects += u64::from(is_wanted);
        client.is_connected = true;
        client.address.clone_from(&found.address);
        client.keep_alive_s = found.keep_alive_s;
        client.version = found.version;
        client.connected_at = time;
    }

    pub(super) fn ended(&mut self, found: &Found) {
        let place = found.client.as_deref().and_then(|id| self.places.get(id));
        if let Some((_, client)) = place.and_then(|place| self.known.get_mut(*place)) {
            client.is_connected = false;
        }
    }

    /// Adds to an incident what is known of its client.
    pub(super) fn fill_in(&mut self, incident: &mut Incident) {
        let Some(client) = incident.client.as_deref().and_then(|id| self.at(id)) else { return };
        incident.keep_alive_s = incident.keep_alive_s.or(client.keep_alive_s);
        incident.version = incident.version.or(client.version);
        if incident.address.is_none() && incident.effect != Effect::Refused {
            incident.address.clone_from(&client.address);
        }
        if incident.effect == Effect::Ended && client.is_connected {
            let since = client.connected_at.zip(incident.time);
            incident.connected_for_ms = since.map(|(since, until)| until.0 - since.0).filter(|ms| *ms >= 0);
        }
        incident.was_connected |= client.is_connected;
    }

    pub(super) fn count(&mut self, incident: &Incident) {
        let Some(id) = &incident.client else { return };
        let Some(client) = self.of(id) else {
            self.incidents_of_others += 1;
            return;
        };
        client.incidents += 1;
        match client.causes.iter_mut().find(|(cause, _)| *cause == incident.cause) {
            Some((_, count)) => *count += 1,
            None => client.causes.push((incident.cause, 1)),
        }
        if client.address.is_none() {
            client.address.clone_from(&incident.address);
        }
    }

    pub(super) fn known(&self) -> usize {
        self.known.len() + self.of_other_logs.len()
    }

    /// Up to three ClientIDs with the same letters and digits as `name`, or of which it is a part.
    pub(super) fn like(&self, name: &str) -> Vec<&str> {
        let plain = |text: &str| {
            text.chars()
                .filter(|character| character.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        };
        let wanted = plain(name);
        if wanted.is_empty() {
            return Vec::new();
        }
        let ids = self.known.iter().map(|(id, _)| id).chain(self.of_other_logs.iter().map(|(_, id, _)| id));
        let mut like: Vec<&str> = ids.map(String::as_str).filter(|id| plain(id).contains(&wanted)).collect();
        like.sort_unstable_by_key(|id| (id.len(), *id));
        like.dedup();
        like.truncate(3);
        like
    }

    /// Ends the log of this number and forgets its clients.
    pub(super) fn end_log(&mut self, log: usize) {
        self.places.clear();
        let had_any = self.known.drain(..).filter(|(_, client)| client.incidents > 0);
        self.of_other_logs.extend(had_any.map(|(id, client)| (log, id, client)));
    }

    pub(super) fn incidents_of_others(&self) -> u64 {
        self.incidents_of_others
    }

    /// The clients with the most incidents, most first; `log` is the number of the current log.
    pub(super) fn worst(&self, count: usize, log: usize) -> Vec<ClientSummary> {
        let others = self.of_other_logs.iter().map(|(log, id, client)| (*log, id, client));
        let known = self.known.iter().map(|(id, client)| (log, id, client));
        let mut clients: Vec<(usize, &String, &Client)> =
            known.chain(others).filter(|(.., client)| client.incidents > 0).collect();
        clients.sort_unstable_by(|(one_log, one_id, one), (other_log, other_id, other)| {
            let by_count = other.incidents.cmp(&one.incidents);
            by_count.then_with(|| one_id.cmp(other_id)).then_with(|| one_log.cmp(other_log))
        });
        clients.truncate(count);
        let summary = |(log, id, client): (usize, &String, &Client)| {
            let mut causes = client.causes.clone();
            causes.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
            ClientSummary {
                log,
                client: id.clone(),
                incidents: client.incidents,
                causes,
                connects: client.connects,
                address: client.address.clone(),
            }
        };
        clients.into_iter().map(summary).collect()
    }
}
