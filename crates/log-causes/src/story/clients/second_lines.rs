//! Lines that leave something to the lines around them. Some brokers tell an end in two lines of which one does not name the client,
//! log the end of a connection also after a client left, or close what is open when they stop without saying so in each line.

mod client_log;

use std::collections::VecDeque;

use client_log::ClientLog;

use crate::broker::Broker;
use crate::cause::{Cause, Effect, Precision};
use crate::matcher::Found;
use crate::pattern::{Pattern, patterns};
use crate::timestamp::LogTime;

/// Recognised lines within which a second line follows the first.
const WITHIN: u64 = 8;
/// The same where the second line names nothing and could be any client's.
const WITHIN_NAMELESS: u64 = 4;
/// The same where the report of a crash comes between.
const WITHIN_CRASH: u64 = 200;
/// First lines that are kept.
const KEPT_MAX: usize = 64;

/// The brokers that need this.
const BROKERS: [Broker; 8] = [
    Broker::RabbitMq,
    Broker::Rumqttd,
    Broker::Mochi,
    Broker::Moquette,
    Broker::Artemis,
    Broker::Amqtt,
    Broker::FlashMq,
    Broker::Aedes,
];

/// What the latest lines of a broker leave open.
#[derive(Debug, Default)]
pub(super) struct SecondLines {
    /// Number of recognised lines.
    line: u64,
    /// Ends with a client or an address.
    named: VecDeque<First>,
    /// Ends without.
    nameless: VecDeque<First>,
    /// Clients that left, or whose end another line told.
    left: VecDeque<First>,
    /// rumqttd: the client of the latest line that names the one of the next lines.
    client_of_next: Option<String>,
    /// rumqttd: the client of a take-over, whose end follows.
    taken_over: Option<String>,
    /// The broker that said that it stops.
    stopping: Option<Broker>,
    /// Those of clients.
    client_log: ClientLog,
}

/// The first line of an end.
#[derive(Debug)]
struct First {
    line: u64,
    cause: Cause,
    client: Option<String>,
    address: Option<String>,
    handle: Option<String>,
    /// The kinds of its further lines: one that comes again belongs to another end.
    rows: Vec<u16>,
}

impl SecondLines {
    /// Adds to a recognised line what the lines before tell about it.
    pub(super) fn adjust(&mut self, found: &mut Found, time: Option<LogTime>) {
        let broker = found.pattern.broker;
        if broker == Broker::Client {
            self.client_log.adjust(found, time);
        }
        if !BROKERS.contains(&broker) {
            return;
        }
        self.line += 1;
        if broker == Broker::RabbitMq {
            self.of_rabbitmq(found);
            return;
        }
        self.stops(found);
        if broker == Broker::Rumqttd {
            self.of_rumqttd(found);
        }
        if broker == Broker::Moquette {
            match found.pattern.effect {
                Effect::Left => self.remember_leave(found),
                Effect::Connected => self.left.retain(|end| end.address.is_some() || !end.is_of(found)),
                _ => {}
            }
        }
        let is_end = matches!(found.pattern.effect, Effect::Ended | Effect::Tail | Effect::Refused);
        if !is_end || self.is_told(found) {
            return;
        }
        if found.client.is_none() {
            self.name(found);
        } else if matches!(broker, Broker::FlashMq | Broker::Aedes) {
            self.claim(found);
        }
        let first = First::of(found, self.line);
        match (&found.client, &found.address, &found.handle) {
            (None, None, None) => {
                let handle = format!("line {}", self.line);
                found.handle = Some(handle.clone());
                keep(&mut self.nameless, First { handle: Some(handle), ..first });
            }
            (None, None, Some(_)) => {}
            _ if self.named.iter().any(|end| self.line - end.line <= WITHIN && end.is_of(found)) => {}
            // The listeners of Mochi log an address and no client also where no second line follows.
            (None, Some(_), _) if broker == Broker::Mochi && found.pattern.effect == Effect::Ended => {}
            _ => keep(&mut self.named, first),
        }
    }

    /// Joins the line with the line before that tells the same cause and no client.
    fn claim(&mut self, found: &mut Found) {
        let line = self.line;
        let fits = |end: &First| line - end.line <= WITHIN && end.cause == found.cause;
        if let Some(place) = self.nameless.iter().position(fits)
            && let Some(end) = self.nameless.remove(place)
        {
            found.handle = end.handle;
            found.named = found.client.take();
        }
    }

    /// A broker that stops ends all connections; the lines about them tell no cause of their own.
    fn stops(&mut self, found: &mut Found) {
        let broker = found.pattern.broker;
        match found.pattern.effect {
            Effect::Sign if found.cause == Cause::Shutdown => self.stopping = Some(broker),
            Effect::Sign if found.cause == Cause::BrokerStart => self.stopping = None,
            Effect::Connected => self.stopping = None,
            Effect::Ended | Effect::Tail if self.stopping == Some(broker) => {
                let tells_none = found.cause.precision() == Precision::Closing
                    || (broker == Broker::Mochi && found.cause == Cause::TakeOver);
                if tells_none {
                    found.cause = Cause::Shutdown;
                }
            }
            _ => {}
        }
    }

    /// The process of TLS logs an alert without the client. The listener's process then names it, or tells that the listener is one of
    /// another protocol.
    fn of_rabbitmq(&mut self, found: &mut Found) {
        let line = self.line;
        if self.of_channel(found) {
            return;
        }
        let is_of_others = found.pattern.effect == Effect::Tail && found.cause == Cause::Note;
        let is_refused = found.pattern.effect == Effect::Refused;
        if is_refused && found.address.is_none() && (found.cause == Cause::Tls || found.handle.is_none()) {
            // Up to 3.6 no line has the process, which later tells that two of them are about one connection.
            found.handle = found.handle.take().or_else(|| Some(format!("line {line}")));
            keep(&mut self.nameless, First::of(found, line));
        } else if is_of_others || is_refused && (found.cause == Cause::Tls || found.handle.is_none()) {
            let cause = if is_of_others { Cause::Tls } else { found.cause };
            let fits = |first: &First| line - first.line <= WITHIN && first.cause == cause;
            match self.nameless.iter().position(fits).and_then(|at| self.nameless.remove(at)) {
                Some(first) => found.handle = first.handle,
                None if is_of_others => become_aside(found),
                None => {}
            }
        }
    }

    /// Up to 3.11, MQTT goes through a channel of AMQP. What the channel does not allow ends the connection by a crash of its process,
    /// which names neither the client nor the reason.
    fn of_channel(&mut self, found: &mut Found) -> bool {
        let line = self.line;
        let is_like = |text: &str| found.pattern.example.contains(text);
        if is_like("Channel error on connection") || is_like("Received a CONNECT") {
            keep(&mut self.left, First::of(found, line));
        } else if is_like("mqtt-subscription-") && found.client.is_some() {
            let is_its = |end: &&First| end.handle.is_some() && end.handle == found.handle;
            let begun = self.left.iter().rfind(is_its).and_then(|end| end.address.clone());
            found.address = found.address.take().or(begun);
            keep(&mut self.named, First::of(found, line));
        } else if is_like("initial call: rabbit_mqtt_reader") && found.client.is_none() {
            let fits = |end: &First| line - end.line <= WITHIN_CRASH;
            if let Some(end) = self.named.iter().position(fits).and_then(|at| self.named.remove(at)) {
                found.client = end.client;
            }
        } else {
            // At the level of details, the CONNECT is logged before the client is accepted or refused.
            let is_its = |end: &&First| end.handle.is_some() && end.handle == found.handle;
            if found.client.is_none() && found.pattern.effect == Effect::Refused {
                let connect = self.left.iter().rfind(is_its).and_then(|connect| connect.client.clone());
                found.client = connect;
            }
            return false;
        }
        true
    }

    fn of_rumqttd(&mut self, found: &mut Found) {
        if found.client.is_none() && is_of_router(found.pattern) {
            found.client.clone_from(&self.client_of_next);
        }
        match found.pattern.effect {
            Effect::Aside if found.named.is_some() => {
                // The next line of the same event gives the client.
                let last = self.nameless.back().filter(|end| self.line - end.line <= 2);
                if let Some(end) = last {
                    if end.cause == Cause::TakeOver {
                        self.taken_over.clone_from(&found.named);
                    }
                    let handle = end.handle.clone();
                    self.nameless.pop_back();
                    become_tail(found, handle);
                }
            }
            // The link of a client that the router let go.
            Effect::Aside if found.handle.is_some() => {
                found.handle = None;
                self.left.pop_front();
            }
            Effect::Aside if found.client.is_some() => self.client_of_next.clone_from(&found.client),
            Effect::Ended if found.cause == Cause::TakeOver => self.taken_over.clone_from(&found.client),
            Effect::Left => {
                let client = found.named.take().or_else(|| found.client.clone());
                let is_taken_over = client.is_some() && self.taken_over == client;
                if is_taken_over {
                    self.taken_over = None;
                }
                let waits = self.nameless.front().filter(|end| self.line - end.line <= WITHIN);
                match waits.filter(|_| !is_taken_over && client.is_some()) {
                    Some(end) => {
                        let handle = end.handle.clone();
                        self.nameless.pop_front();
                        found.named = client;
                        become_tail(found, handle);
                    }
                    None => {
                        found.client = client;
                        let line = self.line;
                        let is_told = |end: &First| line - end.line <= WITHIN && end.is_of(found);
                        if !self.named.iter().any(is_told) {
                            self.remember_leave(found);
                        }
                    }
                }
            }
            _ => {}
        }
        while self.nameless.front().is_some_and(|end| self.line - end.line > WITHIN) {
            self.nameless.pop_front();
        }
    }

    fn remember_leave(&mut self, found: &Found) {
        keep(&mut self.left, First::of(found, self.line));
    }

    /// Whether the connection is one whose end a line before told: the client left.
    fn is_told(&mut self, found: &mut Found) -> bool {
        let is_closing = found.cause.precision() == Precision::Closing;
        let may_be = match found.pattern.broker {
            Broker::Moquette => is_closing,
            Broker::Rumqttd => found.cause == Cause::Lost,
            _ => false,
        };
        if !may_be {
            return false;
        }
        let names_none = found.client.is_none() && found.address.is_none();
        let line = self.line;
        if names_none {
            let place = self.left.iter().position(|end| line - end.line <= WITHIN_NAMELESS);
            let Some(place) = place else { return false };
            self.left.remove(place);
        } else {
            // A client may come back; a connection with this port may not.
            let is_near = |end: &First| line - end.line <= WITHIN || end.address.is_some();
            if !self.left.iter().any(|end| end.is_of(found) && is_near(end)) {
                return false;
            }
        }
        become_aside(found);
        true
    }

    /// Gives a line without a client that of the end before which it belongs to.
    fn name(&mut self, found: &mut Found) {
        let (broker, line) = (found.pattern.broker, self.line);
        let within = |end: &&First| line - end.line <= WITHIN;
        if found.address.is_some() {
            let end = self.named.iter().filter(within).find(|end| end.address == found.address);
            if let Some(client) = end.and_then(|end| end.client.clone()) {
                found.client = Some(client);
                return;
            }
        }
        let is_second = match broker {
            Broker::Moquette | Broker::Artemis => found.pattern.effect == Effect::Tail,
            Broker::Mochi => true,
            Broker::Amqtt => found.pattern.effect == Effect::Refused,
            _ => false,
        };
        if is_second && (found.address.is_none() || broker == Broker::Mochi) {
            let fits = |end: &First| match broker {
                Broker::Mochi => {
                    let is_elsewhere = found.address.is_some() && end.address.is_some();
                    line - end.line <= WITHIN && found.cause == end.cause && !is_elsewhere
                }
                Broker::Amqtt => line - end.line <= 2,
                Broker::Moquette => line - end.line <= WITHIN && !end.rows.contains(&found.pattern.row),
                _ => line - end.line <= WITHIN,
            };
            let place = match broker {
                Broker::Mochi => self.named.iter().position(fits),
                _ => self.named.iter().rposition(fits),
            };
            if let Some(end) = place.and_then(|place| self.named.get_mut(place)) {
                end.rows.push(found.pattern.row);
                found.client.clone_from(&end.client);
                found.address = found.address.take().or_else(|| end.address.clone());
                if found.client.is_none() && broker == Broker::Moquette {
                    found.cause = found.cause.before_a_client_id();
                }
                if broker == Broker::Mochi
                    && let Some(place) = place
                {
                    self.named.remove(place);
                }
                return;
            }
        }
        let belongs = match broker {
            Broker::Moquette => {
                is_second || (found.address.is_some() && found.cause.precision() == Precision::Closing)
            }
            Broker::Artemis => is_second,
            _ => false,
        };
        let row = found.pattern.row;
        let last =
            self.nameless.iter_mut().rfind(|end| line - end.line <= WITHIN && !end.rows.contains(&row));
        if belongs && let Some(end) = last {
            end.rows.push(row);
            found.handle.clone_from(&end.handle);
            if broker == Broker::Moquette {
                found.cause = found.cause.before_a_client_id();
            }
        }
    }
}

impl First {
    fn of(found: &Found, line: u64) -> Self {
        Self {
            line,
            cause: found.cause,
            client: found.client.clone(),
            address: found.address.clone(),
            handle: found.handle.clone(),
            rows: Vec::new(),
        }
    }

    fn is_of(&self, found: &Found) -> bool {
        let is_same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        match (&self.address, &found.address) {
            (Some(one), Some(other)) => one == other,
            _ => is_same(&self.client, &found.client),
        }
    }
}

fn keep(kept: &mut VecDeque<First>, first: First) {
    if kept.len() >= KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(first);
}

/// Turns a line into the second one of the incident that has this handle.
fn become_tail(found: &mut Found, handle: Option<String>) {
    let tail = patterns()
        .iter()
        .find(|pattern| pattern.broker == found.pattern.broker && pattern.effect == Effect::Tail);
    found.pattern = tail.unwrap_or(found.pattern);
    found.cause = found.pattern.cause;
    found.handle = handle;
    found.client = None;
}

/// Turns a line into one that means nothing.
fn become_aside(found: &mut Found) {
    let aside = patterns()
        .iter()
        .find(|pattern| pattern.broker == found.pattern.broker && pattern.effect == Effect::Aside);
    found.pattern = aside.unwrap_or(found.pattern);
    found.cause = found.pattern.cause;
}

/// Whether the router of rumqttd logs the line: its one thread logs the client before.
fn is_of_router(pattern: &Pattern) -> bool {
    pattern.example.contains("rumqttd::router")
}
