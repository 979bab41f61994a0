//! The address of each connection and the incidents of each client; both bounded.

mod second_lines;

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};

use ungraceful_mqtt::ProtocolVersion;

use super::incident::{Incident, host_of};
use crate::broker::Broker;
use crate::cause::{Cause, Effect};
use crate::codes::cause_of;
use crate::matcher::Found;
use crate::timestamp::LogTime;
use second_lines::SecondLines;

/// Connection names kept in each of two generations; the older generation is dropped as a whole.
const NAMES_PER_GENERATION: usize = 50_000;
/// Connections without CONNECT that are kept.
const WAITING_MAX: usize = 1_000;
/// Bridges that are kept.
const BRIDGES_MAX: usize = 1_000;
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
    waiting: VecDeque<Waiting>,
    /// Mosquitto's line directly before, when the next one may be about the same end.
    before: Option<Before>,
    /// The latest address that was completed with its port.
    completed: Option<String>,
    /// ClientIDs of the broker's own bridges.
    bridges: Vec<String>,
    /// Number of lines from OpenSSL, which names the incident of each.
    errors: u64,
    /// Ended of late, by name: the next line about such an end may have no client.
    ended: VecDeque<(String, Connection)>,
    second_lines: SecondLines,
}

/// A connection without a client so far.
#[derive(Debug)]
struct Waiting {
    address: String,
    /// Whether its listener's port is one that is usual for TLS.
    is_tls: bool,
}

/// What a line of Mosquitto says about the end that the next line may report.
#[derive(Debug)]
struct Before {
    cause: Cause,
    client: Option<String>,
    address: Option<String>,
    /// The name that both lines get, where neither has one.
    handle: Option<String>,
    /// Whether the line makes an incident itself.
    is_incident: bool,
}

impl Connections {
    /// Adds to the next recognised line what earlier lines say about its connection. For callers that need the client of
    /// each line but no incidents.
    pub fn follow(&mut self, found: &mut Found) {
        self.complete(found, None);
        found.client = found.client.take().or_else(|| found.named.take());
        match found.pattern.effect {
            Effect::Connected => self.connected(found),
            Effect::Left => self.ended(found),
            // A second line about an end may follow; the next connection takes its place.
            _ => {}
        }
    }

    /// Adds what is known of the connection: brokers log the client at the begin and the address at the end.
    pub(super) fn complete(&mut self, found: &mut Found, time: Option<LogTime>) {
        if found.pattern.broker == Broker::Mosquitto {
            self.complete_mosquitto(found);
        }
        self.second_lines.adjust(found, time);
        if found.pattern.effect == Effect::Connected {
            return;
        }
        let by_handle = found.handle.as_ref().and_then(|handle| self.named(handle));
        let by_address = found.address.as_ref().and_then(|address| self.named(address));
        let Some(connection) = by_handle.or(by_address) else { return };
        // A refused connection has no client; that of an address without a port is another one.
        let is_refused = found.pattern.broker == Broker::Mosquitto
            && (found.pattern.effect == Effect::Refused || never_has_a_client(found.cause));
        if found.client.is_none() && !found.is_unknown_client && !is_refused {
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
        self.waiting.push_back(Waiting { address: address.clone(), is_tls: found.cause == Cause::Tls });
    }

    /// Mosquitto's reasons stand in a line of their own, without a name, directly before the line about the end.
    fn complete_mosquitto(&mut self, found: &mut Found) {
        let before = self.before.take();
        match found.pattern.effect {
            Effect::Aside if found.cause == Cause::Bridge => self.bridge(found),
            Effect::Aside
                if !matches!(found.cause, Cause::Note | Cause::SessionExpired | Cause::Shutdown) =>
            {
                // The line knows no client yet, which is no reason for the cause of a connection without one.
                let cause = if found.code.is_some() { found.cause } else { found.pattern.cause };
                let client = found.client.clone();
                self.before = Some(Before { cause, client, address: None, handle: None, is_incident: false });
            }
            Effect::Ended | Effect::Tail | Effect::Refused => {
                self.add_port(found);
                // What a CONNACK refuses began with a CONNECT.
                if found.cause == Cause::FirstPacket && found.code.is_some() {
                    found.cause = found.code.and_then(cause_of).unwrap_or(found.cause);
                }
                if found.client.as_ref().is_some_and(|client| self.bridges.contains(client)) {
                    found.cause = Cause::Bridge;
                }
                let handle = before.and_then(|before| adopt(before, found));
                self.expect_more(found, handle);
            }
            _ => {}
        }
    }

    fn bridge(&mut self, found: &Found) {
        let Some(client) = &found.client else { return };
        if self.bridges.len() < BRIDGES_MAX && !self.bridges.contains(client) {
            self.bridges.push(client.clone());
        }
    }

    /// Some lines name the host of a connection without its port.
    fn add_port(&mut self, found: &mut Found) {
        let Some(host) = found.address.as_deref() else { return };
        if host_of(host).len() < host.len() {
            self.completed.clone_from(&found.address);
            return;
        }
        // These come before the line about the new connection.
        if found.client.is_some() || never_has_a_client(found.cause) {
            return;
        }
        let waiting = self.waiting.iter().rev().map(|waiting| &waiting.address);
        let known = waiting.chain(&self.completed).find(|address| host_of(address) == host).cloned();
        if known.is_some() {
            self.completed.clone_from(&known);
            found.address = known;
        }
    }

    /// Remembers a line that the line about the end may follow.
    fn expect_more(&mut self, found: &mut Found, handle: Option<String>) {
        let is_nameless = found.client.is_none() && found.address.is_none();
        let is_of_openssl = is_nameless && found.cause == Cause::Tls && !found.is_unknown_client;
        let is_silent = is_nameless && found.cause == Cause::NoConnect;
        // The log-in script of Home Assistant's add-on tells the refusal before Mosquitto tells the end.
        let is_of_script =
            is_nameless && found.cause == Cause::BadCredentials && found.pattern.effect == Effect::Refused;
        if is_of_openssl || is_silent || is_of_script {
            self.errors += 1;
            found.handle = Some(handle.unwrap_or_else(|| format!("line {}", self.errors)));
        }
        if is_of_openssl
            || is_silent
            || is_of_script
            || (found.code.is_some() && found.pattern.effect == Effect::Refused)
        {
            self.before = Some(Before {
                cause: found.cause,
                client: found.client.clone(),
                address: found.address.clone(),
                handle: found.handle.clone(),
                is_incident: true,
            });
        }
    }

    pub(super) fn connected(&mut self, found: &Found) {
        if let Some(address) = &found.address {
            self.forget_waiting(address);
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

    /// Forgets one connection of this address: without ports, there may be several.
    fn forget_waiting(&mut self, address: &str) -> Option<Waiting> {
        let place = self.waiting.iter().position(|waiting| waiting.address == address)?;
        self.waiting.remove(place)
    }

    /// The address, or at least the host, that the oldest waiting connection has in common with all others.
    fn common_address(&self, oldest: &Waiting, is_mosquitto: bool) -> Option<String> {
        if self.waiting.iter().all(|other| other.address == oldest.address) {
            return Some(oldest.address.clone());
        }
        let host = host_of(&oldest.address);
        let have_one_host = is_mosquitto && self.waiting.iter().all(|other| host_of(&other.address) == host);
        have_one_host.then(|| host.to_owned())
    }

    /// Adds the address of a connection that ended before it had a client, where only one candidate exists.
    pub(super) fn fill_in(&mut self, incident: &mut Incident) {
        let is_mosquitto = incident.broker == Broker::Mosquitto;
        // Mosquitto names the client that it refuses, but not the address.
        if is_mosquitto
            && incident.effect == Effect::Ended
            && (incident.cause == Cause::BadCredentials
                || incident.client.is_none() && never_has_a_client(incident.cause))
        {
            incident.effect = Effect::Refused;
        }
        let is_refused = is_mosquitto && incident.effect == Effect::Refused;
        if incident.client.is_some() && !is_refused
            || incident.effect == Effect::Lives
            || incident.effect == Effect::Sign
        {
            return;
        }
        let is_on_tls_port = match &incident.address {
            Some(address) => self.forget_waiting(address).is_some_and(|waiting| waiting.is_tls),
            None => {
                let are_tls = self.waiting.iter().all(|waiting| waiting.is_tls);
                // Ambiguous among several; the oldest is dropped so that they do not pile up.
                let oldest = self.waiting.pop_front();
                incident.address =
                    oldest.as_ref().and_then(|oldest| self.common_address(oldest, is_mosquitto));
                oldest.is_some() && are_tls
            }
        };
        if !is_mosquitto || incident.client.is_some() {
            return;
        }
        // `Protocol error` is what the system calls an error of OpenSSL's.
        let is_of_openssl = incident.cause == Cause::Network && incident.text.ends_with(" Protocol error.");
        let is_unfinished = matches!(incident.cause, Cause::FirstPacket | Cause::NoConnect);
        if is_of_openssl || is_on_tls_port && is_unfinished {
            incident.cause = Cause::Tls;
        }
    }
}

/// Whether Mosquitto ends a connection for this cause before it knows the client, where the line names none.
fn never_has_a_client(cause: Cause) -> bool {
    matches!(cause, Cause::Tls | Cause::ConnectionLimit | Cause::Descriptors)
}

/// Gives the line about an end what the line before says. Returns the name that both get, where neither has one.
fn adopt(before: Before, found: &mut Found) -> Option<String> {
    let is_nameless = found.client.is_none();
    let is_the_same =
        |of: &Option<String>, other: &Option<String>| of.is_none() || other.is_none() || of == other;
    if !is_the_same(&before.client, &found.client) || !is_the_same(&before.address, &found.address) {
        return None;
    }
    if before.is_incident && before.client.is_none() && before.address.is_none() {
        // Up to 1.5, a timeout is logged as a socket error too.
        let is_of_silence = is_nameless && found.pattern.example.starts_with("Socket error");
        if before.cause == Cause::NoConnect && !is_of_silence {
            return None;
        }
        found.client_of_handle = found.client.take();
        found.handle.clone_from(&before.handle);
        return before.handle;
    }
    match before.cause {
        // The peer ended TCP without ending TLS, which clients often do.
        Cause::Lost if is_nameless => found.cause = Cause::Tls,
        Cause::Lost => {}
        cause if cause.precision() >= found.cause.precision() => found.cause = cause,
        _ => {}
    }
    if is_nameless {
        found.client = before.client;
        if before.address.is_some() {
            found.address = before.address;
        }
    }
    None
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
    /// That of its connection.
    address: Option<String>,
    /// That of its latest incident.
    last_address: Option<String>,
    keep_alive_s: Option<u16>,
    version: Option<ProtocolVersion>,
    connected_at: Option<LogTime>,
    is_connected: bool,
    /// The connection that the latest one takes over, whose end may be logged after the newcomer's begin.
    older: Option<Box<Older>>,
}

/// A connection that a newer one of the same client takes over.
#[derive(Clone, Debug)]
struct Older {
    address: String,
    keep_alive_s: Option<u16>,
    version: Option<ProtocolVersion>,
    connected_at: Option<LogTime>,
}

impl Client {
    /// The older connection, where `address` is its address.
    fn older_at(&self, address: Option<&str>) -> Option<&Older> {
        self.older.as_deref().filter(|older| Some(older.address.as_str()) == address)
    }
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
        client.older =
            client.address.take().filter(|_| client.is_connected && found.address.is_some()).map(|address| {
                let (keep_alive_s, version) = (client.keep_alive_s, client.version);
                Box::new(Older { address, keep_alive_s, version, connected_at: client.connected_at })
            });
        client.is_connected = true;
        client.address.clone_from(&found.address);
        client.keep_alive_s = found.keep_alive_s;
        client.version = found.version;
        client.connected_at = time;
    }

    /// The connection of this client from `address` ended.
    pub(super) fn ended(&mut self, client: Option<&str>, address: Option<&str>) {
        let place = client.and_then(|id| self.places.get(id));
        if let Some((_, client)) = place.and_then(|place| self.known.get_mut(*place)) {
            let is_older = client.address.as_deref() != address && client.older_at(address).is_some();
            client.is_connected &= is_older;
        }
    }

    /// Adds to an incident what is known of its client.
    pub(super) fn fill_in(&mut self, incident: &mut Incident) {
        let Some(client) = incident.client.as_deref().and_then(|id| self.at(id)) else { return };
        // Mosquitto's words for what it can't take in a CONNECT are also those for what it can't take later.
        if incident.broker == Broker::Mosquitto
            && incident.cause == Cause::Refused
            && client.is_connected
            && client.connected_at.zip(incident.time).is_some_and(|(since, now)| now.0 - since.0 >= 1_000)
        {
            incident.cause = Cause::ProtocolError;
        }
        // Mosquitto's words for a refused log-in are also those for a client that it lets go.
        if incident.broker == Broker::Mosquitto
            && incident.cause == Cause::BadCredentials
            && incident.code.is_none()
            && client.is_connected
            && (incident.address.is_none() || incident.address == client.address)
        {
            (incident.cause, incident.effect) = (Cause::NotAuthorized, Effect::Ended);
        }
        if let Some(older) = client.older_at(incident.address.as_deref())
            && client.address != incident.address
            && incident.effect == Effect::Ended
        {
            incident.keep_alive_s = incident.keep_alive_s.or(older.keep_alive_s);
            incident.version = incident.version.or(older.version);
            let since = older.connected_at.zip(incident.time);
            incident.connected_for_ms = since.map(|(since, until)| until.0 - since.0).filter(|ms| *ms >= 0);
            return;
        }
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
            self.incidents_of_others += incident.occurrences;
            return;
        };
        client.incidents += incident.occurrences;
        match client.causes.iter_mut().find(|(cause, _)| *cause == incident.cause) {
            Some((_, count)) => *count += incident.occurrences,
            None => client.causes.push((incident.cause, incident.occurrences)),
        }
        if incident.address.is_some() {
            client.last_address.clone_from(&incident.address);
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
                address: client.last_address.clone().or_else(|| client.address.clone()),
            }
        };
        clients.into_iter().map(summary).collect()
    }
}
