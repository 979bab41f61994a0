//! From a message to its subscribers: retained messages, who gets it, what the policy does to it, and the queue of each.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, QoS};

use super::acknowledging::acknowledgement_bytes;
use super::connection::{Connection, Phase};
use super::session::{InFlight, Session, Step};
use super::{ConnectionId, Later, Server};
use crate::message::{Delivery, Message};
use crate::policy::Deliveries;
use crate::topic_filter;

/// How many deliveries wait for one Client; later ones are dropped and counted.
const PENDING_MAX: usize = 65_536;
/// How many deliveries to one Client are not acknowledged, whatever its Receive Maximum allows.
const IN_FLIGHT_MAX: usize = 1_024;
/// How long a swap holds a message back when no other follows.
const HELD_MAX: Duration = Duration::from_secs(1);

impl Server {
    /// Takes a message from a Client or its Will, and sends it to all who want it.
    pub(super) fn accept_message(&mut self, message: &Rc<Message>, publisher: &str) {
        if message.retain {
            // MQTT 5.0 [MQTT-3.3.1-6]: no payload takes the retained message away.
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                self.retained.insert(message.topic.clone(), Rc::clone(message));
            }
        }
        let takers: Vec<_> = (self.sessions.iter())
            .filter_map(|(client_id, session)| {
                let delivery = wanted(session, message, publisher == client_id)?;
                Some((client_id.clone(), delivery))
            })
            .collect();
        for (client_id, delivery) in takers {
            self.deliver(&client_id, delivery);
        }
    }

    /// Has the policy decide what becomes of one delivery.
    pub(super) fn deliver(&mut self, client_id: &str, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.delivery_count += 1;
        let number = session.delivery_count;
        let is_nth = |n: std::num::NonZeroU32| number % u64::from(n.get()) == 0;
        match self.script.deliveries {
            Deliveries::LoseEvery(n) if is_nth(n) => {}
            Deliveries::DuplicateEvery(n) if is_nth(n) => {
                self.hand_over(client_id, delivery.clone());
                self.hand_over(client_id, delivery);
            }
            Deliveries::SwapEvery(n) => {
                if let Some((_, held)) = session.held.take() {
                    self.hand_over(client_id, delivery);
                    self.hand_over(client_id, held);
                } else if is_nth(n) {
                    session.held = Some((number, delivery));
                    let later = Later::ReleaseHeld(client_id.to_owned(), number);
                    self.timers.add(Instant::now() + HELD_MAX, later);
                } else {
                    self.hand_over(client_id, delivery);
                }
            }
            Deliveries::DelayBy(by) => self.delay(client_id, delivery, by),
            Deliveries::DelayWhileAttacked(by, time) => {
                let is_attacked = self.attacked.is_some_and(|attacked| attacked.elapsed() <= time);
                self.delay(client_id, delivery, if is_attacked { by } else { Duration::ZERO });
            }
            Deliveries::All | Deliveries::LoseEvery(_) | Deliveries::DuplicateEvery(_) => {
                self.hand_over(client_id, delivery);
            }
        }
    }

    /// Hands a delivery over later, but never before one that is being delayed already.
    fn delay(&mut self, client_id: &str, delivery: Delivery, by: Duration) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let last_due = session.delayed.back().map(|&(due, _)| due);
        if by.is_zero() && last_due.is_none() {
            return self.hand_over(client_id, delivery);
        }
        if session.delayed.len() >= PENDING_MAX {
            return self.log.note_dropped();
        }
        let due = (Instant::now() + by).max(last_due.unwrap_or_else(Instant::now));
        session.delayed.push_back((due, delivery));
        self.timers.add(due, Later::DeliverDelayed(client_id.to_owned()));
    }

    /// Hands over what was delayed and is due.
    pub(super) fn deliver_delayed(&mut self, client_id: &str) {
        let now = Instant::now();
        while let Some(session) = self.sessions.get_mut(client_id)
            && session.delayed.front().is_some_and(|&(due, _)| due <= now)
            && let Some((_, delivery)) = session.delayed.pop_front()
        {
            self.hand_over(client_id, delivery);
        }
    }

    /// Hands over what a swap has held back for too long.
    pub(super) fn release_held(&mut self, client_id: &str, number: u64) {
        let held = (self.sessions.get_mut(client_id))
            .and_then(|session| session.held.take_if(|(held_number, _)| *held_number == number));
        if let Some((_, delivery)) = held {
            self.hand_over(client_id, delivery);
        }
    }

    /// Puts a delivery into the subscriber's queue, and sends what may be sent.
    fn hand_over(&mut self, client_id: &str, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        if delivery.qos == QoS::AtMostOnce {
            // An absent Client gets no QoS 0: MQTT 5.0 section 3.1.2.11.2 leaves that to the Server.
            if let Some(connection) = serving(&self.connections, session)
                && (!connection.link.has_room() || !post(connection, &delivery, None, false))
            {
                self.log.note_dropped();
            }
        } else if session.pending.len() < PENDING_MAX {
            session.pending.push_back(delivery);
            self.flush(client_id);
        } else {
            self.log.note_dropped();
        }
    }

    /// Sends again what a former connection left unfinished, then what waits (`MQTT 5.0 [MQTT-4.4.0-1]`).
    pub(super) fn resume(&mut self, client_id: &str) {
        if let Some(session) = self.sessions.get_mut(client_id) {
            for in_flight in &mut session.in_flight {
                in_flight.is_sent = false;
            }
        }
        self.flush(client_id);
    }

    /// Sends what the Client's Receive Maximum allows (`MQTT 5.0 [MQTT-3.3.4-9]`).
    pub(super) fn flush(&mut self, client_id: &str) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let Some(connection) = serving(&self.connections, session) else { return };
        let room = connection.receive_maximum.min(IN_FLIGHT_MAX);
        let mut sent = session.in_flight.iter().filter(|in_flight| in_flight.is_sent).count();
        for in_flight in session.in_flight.iter_mut().filter(|in_flight| !in_flight.is_sent) {
            if sent == room {
                return;
            }
            send_again(connection, in_flight);
            in_flight.is_sent = true;
            sent += 1;
        }
        while sent < room {
            let Some(delivery) = session.pending.pop_front() else { return };
            let packet_identifier = session.free_identifier();
            if post(connection, &delivery, Some(packet_identifier), false) {
                sent += 1;
                session.in_flight.push_back(InFlight {
                    packet_identifier,
                    delivery,
                    step: Step::Published,
                    is_sent: true,
                });
            } else {
                self.log.note_dropped();
            }
        }
    }
}

/// The delivery this session is to get; absent when no subscription of its own matches.
fn wanted(session: &Session, message: &Rc<Message>, is_own: bool) -> Option<Delivery> {
    let matching = || {
        session.subscriptions.iter().filter(|subscribed| {
            topic_filter::matches(&subscribed.topic_filter, &message.topic)
                && !(is_own && subscribed.options.is_no_local())
        })
    };
    let maximum_qos = matching().map(|subscribed| subscribed.options.maximum_qos()).max()?;
    let as_published = matching().any(|subscribed| subscribed.options.is_retain_as_published());
    Some(Delivery {
        message: Rc::clone(message),
        qos: message.qos.min(maximum_qos),
        retain: message.retain && as_published,
    })
}

/// The connection of a session, if it is there and is being served.
fn serving<'a>(
    connections: &'a std::collections::HashMap<ConnectionId, Connection>,
    session: &Session,
) -> Option<&'a Connection> {
    connections.get(&session.connection?).filter(|connection| connection.phase == Phase::Serving)
}

/// Sends a PUBLISH; tells whether it could be written and is not too large for the Client (`MQTT 5.0 [MQTT-3.1.2-24]`).
fn post(
    connection: &Connection,
    delivery: &Delivery,
    identifier: Option<PacketIdentifier>,
    dup: bool,
) -> bool {
    match delivery.bytes(connection.version, identifier, dup) {
        Ok(bytes) if bytes.len() <= connection.packet_size_max => {
            connection.link.send(bytes);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

fn send_again(connection: &Connection, in_flight: &InFlight) {
    match in_flight.step {
        Step::Published => {
            // It fitted when it was sent first; a Client that takes less now cannot have it.
            post(connection, &in_flight.delivery, Some(in_flight.packet_identifier), true);
        }
        Step::Released => {
            let pubrel = Packet::PubRel(Ack::new(in_flight.packet_identifier));
            connection.link.send(acknowledgement_bytes(connection.version, &pubrel));
        }
    }
}
