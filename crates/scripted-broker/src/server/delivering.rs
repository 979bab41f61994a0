//! From a message to its subscribers: retained messages, who receives it, the policies, and each subscriber's queue.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{PacketIdentifier, PacketType, QoS, ReasonCode};

use super::connection::{Connection, Phase};
use super::session::Session;
use super::window::{InFlight, Step};
use super::{ConnectionId, Later, Server, answer};
use crate::message::{self, Delivery, Message};
use crate::policy::{Deliveries, OfflineQueue, Retained, Sessions, SubscriberFlow};
use crate::topic_filter;

/// How many deliveries are queued for one Client; later ones are dropped and counted.
const PENDING_MAX: usize = 1 << 20;
/// How many deliveries to one Client can be unacknowledged under any policy: there are no more Packet Identifiers.
const IN_FLIGHT_MAX: usize = 65_535;
/// How long a swap holds a message back if no other follows.
const HELD_MAX: Duration = Duration::from_secs(1);

/// Whether a message was accepted for all its subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was, or was lost silently.
    Yes,
    /// It was not, and the publisher gets an error.
    No,
    /// The publisher may not publish here.
    Forbidden,
}

impl Taken {
    fn and(self, other: Self) -> Self {
        if self == Self::Yes { other } else { self }
    }

    /// The Reason Code for PUBACK or PUBREC.
    pub(super) const fn code(self) -> ReasonCode {
        match self {
            Self::Yes => ReasonCode::SUCCESS,
            Self::No => ReasonCode::QUOTA_EXCEEDED,
            Self::Forbidden => ReasonCode::NOT_AUTHORIZED,
        }
    }
}

impl Server {
    /// Accepts a message from a Client, or its Will, and sends it to all its subscribers.
    pub(super) fn accept_message(&mut self, message: &Rc<Message>, publisher: &str) -> Taken {
        if message.retain && self.script.retained != Retained::Unavailable {
            // MQTT 5.0 [MQTT-3.3.1-6]: an empty payload removes the retained message.
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                self.retained.insert(message.topic.clone(), Rc::clone(message));
            }
        }
        let mut taken = Taken::Yes;
        for client_id in self.subscribers.of(&message.topic) {
            let session = self.sessions.get(&client_id);
            match session.and_then(|session| wanted(session, message, publisher == client_id)) {
                Some(delivery) => taken = taken.and(self.deliver(&client_id, delivery)),
                None => self.forget_stale_subscriber(&client_id, &message.topic),
            }
        }
        taken
    }

    /// Forgets that a session may want this topic, if it no longer has such a subscription.
    fn forget_stale_subscriber(&mut self, client_id: &str, topic: &str) {
        let subscriptions =
            self.sessions.get(client_id).map_or(&[][..], |session| session.subscriptions.as_slice());
        let filters = || subscriptions.iter().map(|subscribed| subscribed.topic_filter.as_str());
        if !filters().any(|filter| filter == topic) {
            let has_wildcards = filters().any(|filter| filter.contains(['+', '#']));
            self.subscribers.remove(topic, client_id, has_wildcards);
        }
    }

    /// Applies the policy for deliveries to one of them.
    pub(super) fn deliver(&mut self, client_id: &str, delivery: Delivery) -> Taken {
        if message::is_rights_probe(&delivery.message.topic) {
            return self.hand_over(client_id, delivery);
        }
        let Some(session) = self.sessions.get_mut(client_id) else { return Taken::Yes };
        session.delivery_count += 1;
        let number = session.delivery_count;
        let is_nth = |n: NonZeroU32| number % u64::from(n.get()) == 0;
        let number_at_qos = session.count_at_qos(delivery.qos);
        let is_nth_at = |qos, n: NonZeroU32| delivery.qos == qos && number_at_qos % u64::from(n.get()) == 0;
        match self.script.deliveries {
            Deliveries::LoseEvery(n) if is_nth(n) => Taken::Yes,
            Deliveries::LoseQos1Every(n) if is_nth_at(QoS::AtLeastOnce, n) => Taken::Yes,
            Deliveries::DuplicateEvery(n) if is_nth(n) => self.hand_over_twice(client_id, delivery),
            Deliveries::DuplicateQos2Every(n) if is_nth_at(QoS::ExactlyOnce, n) => {
                self.hand_over_twice(client_id, delivery)
            }
            Deliveries::SwapEvery(n) => {
                if let Some((_, held)) = session.held.take() {
                    let taken = self.hand_over(client_id, delivery);
                    taken.and(self.hand_over(client_id, held))
                } else if is_nth(n) {
                    session.held = Some((number, delivery));
                    let later = Later::ReleaseHeld(client_id.to_owned(), number);
                    self.timers.add(Instant::now() + HELD_MAX, later);
                    Taken::Yes
                } else {
                    self.hand_over(client_id, delivery)
                }
            }
            Deliveries::DelayBy(by) => self.delay(client_id, delivery, by),
            Deliveries::DelayWhileAttacked(by, time) => {
                let is_attacked = self.attacked.is_some_and(|attacked| attacked.elapsed() <= time);
                self.delay(client_id, delivery, if is_attacked { by } else { Duration::ZERO })
            }
            _ => self.hand_over(client_id, delivery),
        }
    }

    fn hand_over_twice(&mut self, client_id: &str, delivery: Delivery) -> Taken {
        let taken = self.hand_over(client_id, delivery.clone());
        taken.and(self.hand_over(client_id, delivery))
    }

    /// Hands a delivery over later, but never before one that is already delayed.
    fn delay(&mut self, client_id: &str, delivery: Delivery, by: Duration) -> Taken {
        let Some(session) = self.sessions.get_mut(client_id) else { return Taken::Yes };
        let last_due = session.delayed.back().map(|&(due, _)| due);
        if by.is_zero() && last_due.is_none() {
            return self.hand_over(client_id, delivery);
        }
        if session.delayed.len() >= PENDING_MAX {
            self.log.note_dropped();
            return Taken::Yes;
        }
        let due = (Instant::now() + by).max(last_due.unwrap_or_else(Instant::now));
        session.delayed.push_back((due, delivery));
        self.timers.add(due, Later::DeliverDelayed(client_id.to_owned()));
        Taken::Yes
    }

    /// Hands over the delayed deliveries that are due.
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

    /// Queues a delivery for the subscriber, and sends what may be sent.
    fn hand_over(&mut self, client_id: &str, delivery: Delivery) -> Taken {
        let Some(session) = self.sessions.get_mut(client_id) else { return Taken::Yes };
        if delivery.qos == QoS::AtMostOnce {
            // An absent Client gets no QoS 0: MQTT 5.0 section 3.1.2.11.2 leaves that to the Server.
            if let Some((id, connection)) = serving(&self.connections, session) {
                if connection.link.has_room() && send_publish(connection, &delivery, None, false) {
                    self.log.note_sent(id, 0);
                } else {
                    self.log.note_dropped();
                }
            }
            return Taken::Yes;
        }
        if session.connection.is_none() {
            let is_full = |n: NonZeroU32| session.pending.len() as u64 >= u64::from(n.get());
            match self.script.offline_queue {
                OfflineQueue::DropNewestOver(n) if is_full(n) => return Taken::Yes,
                OfflineQueue::RefuseOver(n) if is_full(n) => return Taken::No,
                OfflineQueue::DropOldestOver(n) if is_full(n) => {
                    session.pending.pop_front();
                }
                _ => {}
            }
        }
        if self.script.subscriber_flow == SubscriberFlow::DropBeyond
            && let Some((_, connection)) = serving(&self.connections, session)
            && session.window.sent() >= connection.receive_maximum
        {
            self.log.note_dropped();
        } else if session.pending.len() < PENDING_MAX {
            session.pending.push_back(delivery);
            self.flush(client_id);
        } else {
            self.log.note_dropped();
        }
        Taken::Yes
    }

    /// Sends again what an earlier connection left unfinished, then what is queued (`MQTT 5.0 [MQTT-4.4.0-1]`).
    pub(super) fn resume(&mut self, client_id: &str) {
        if let Some(session) = self.sessions.get_mut(client_id) {
            session.window.begin_again();
            session.is_stalled = false;
        }
        self.flush(client_id);
    }

    /// Sends what the Client's Receive Maximum allows (`MQTT 5.0 [MQTT-3.3.4-9]`).
    pub(super) fn flush(&mut self, client_id: &str) {
        let policy = self.script.subscriber_flow;
        let dup = !matches!(self.script.sessions, Sessions::ResendWithoutDup | Sessions::UncleanWithoutDup);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let Some((id, connection)) = serving(&self.connections, session) else { return };
        let limit = match policy {
            SubscriberFlow::Ignore => usize::MAX,
            SubscriberFlow::ExceedBy(n) => connection.receive_maximum.saturating_add(n.get() as usize),
            _ => connection.receive_maximum,
        };
        let limit = limit.min(IN_FLIGHT_MAX);
        while session.window.sent() < limit && !session.is_stalled {
            // The acknowledgements of what is outstanding will make room.
            if session.window.sent() > 0 && !connection.link.has_room() {
                break;
            }
            if let Some(in_flight) = session.window.next_to_send_again() {
                send_again(connection, in_flight, dup);
                self.log.note_sent(id, session.window.sent());
                continue;
            }
            let next = match policy {
                SubscriberFlow::ReorderQueue => session.pending.pop_back(),
                _ => session.pending.pop_front(),
            };
            let Some(delivery) = next else { break };
            let Some(packet_identifier) = session.window.free_identifier() else {
                session.pending.push_front(delivery);
                break;
            };
            if send_publish(connection, &delivery, Some(packet_identifier), false) {
                session.window.add(packet_identifier, delivery);
                self.log.note_sent(id, session.window.sent());
            } else {
                session.window.give_back(packet_identifier);
                self.log.note_dropped();
            }
        }
        session.is_stalled |= policy == SubscriberFlow::Stall && session.window.sent() >= limit;
    }
}

/// The delivery for this session; absent when none of its subscriptions matches.
fn wanted(session: &Session, message: &Rc<Message>, is_own: bool) -> Option<Delivery> {
    let matching = || {
        session.subscriptions.iter().filter(|subscribed| {
            topic_filter::matches(&subscribed.topic_filter, &message.topic)
                && !(is_own && subscribed.options.is_no_local())
        })
    };
    let maximum_qos = matching().map(|subscribed| subscribed.qos).max()?;
    let as_published = matching().any(|subscribed| subscribed.options.is_retain_as_published());
    Some(Delivery {
        message: Rc::clone(message),
        qos: message.qos.min(maximum_qos),
        retain: message.retain && as_published,
    })
}

/// The connection of a session, if it has one that is being served.
fn serving<'a>(
    connections: &'a std::collections::HashMap<ConnectionId, Connection>,
    session: &Session,
) -> Option<(ConnectionId, &'a Connection)> {
    let id = session.connection?;
    let connection = connections.get(&id).filter(|connection| connection.phase == Phase::Serving)?;
    Some((id, connection))
}

/// Sends a PUBLISH. False if it cannot be encoded, or is too large for the Client (`MQTT 5.0 [MQTT-3.1.2-24]`).
fn send_publish(
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

fn send_again(connection: &Connection, in_flight: &InFlight, dup: bool) {
    match in_flight.step {
        Step::Published => {
            // It was small enough when it was first sent; if the Client now accepts less, it does not get it.
            send_publish(connection, &in_flight.delivery, Some(in_flight.packet_identifier), dup);
        }
        Step::Released => {
            let identifier = in_flight.packet_identifier.get();
            let pubrel = answer::acknowledgement(connection.version, PacketType::PubRel, identifier, None);
            connection.link.send(pubrel);
        }
    }
}
