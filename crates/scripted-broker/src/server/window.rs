//! The unfinished QoS 1 and QoS 2 deliveries of a session, in order and by Packet Identifier. No operation becomes slower
//! as the window grows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ungraceful_mqtt::{PacketIdentifier, QoS};

use crate::message::Delivery;

/// The progress of a QoS 1 or QoS 2 delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// PUBLISH was sent: PUBACK or PUBREC is due.
    Published,
    /// PUBREL was sent: PUBCOMP is due.
    Released,
}

/// An unfinished QoS 1 or QoS 2 delivery.
#[derive(Clone)]
pub(super) struct InFlight {
    pub(super) packet_identifier: PacketIdentifier,
    pub(super) delivery: Delivery,
    pub(super) step: Step,
    /// Whether it was sent on the current connection.
    is_sent: bool,
}

/// The free Packet Identifiers: each is used once before any is reused.
#[derive(Clone, Default)]
struct Identifiers {
    last_new: u16,
    freed: VecDeque<PacketIdentifier>,
}

impl Identifiers {
    fn take(&mut self) -> Option<PacketIdentifier> {
        match self.last_new.checked_add(1).and_then(PacketIdentifier::new) {
            Some(new) => {
                self.last_new = new.get();
                Some(new)
            }
            None => self.freed.pop_front(),
        }
    }
}

/// The unfinished QoS 1 and QoS 2 deliveries of a session.
#[derive(Clone, Default)]
pub(super) struct Window {
    /// In the order in which they were first sent, which is the order to send them again.
    in_order: BTreeMap<u64, InFlight>,
    places: HashMap<PacketIdentifier, u64>,
    added: u64,
    /// The places of those to send again on the current connection; some may be finished already.
    to_send_again: VecDeque<u64>,
    sent: usize,
    identifiers: Identifiers,
}

impl Window {
    /// How many were sent on the current connection and are unfinished.
    pub(super) const fn sent(&self) -> usize {
        self.sent
    }

    /// A Packet Identifier that no delivery here has; absent when all are in use.
    pub(super) fn free_identifier(&mut self) -> Option<PacketIdentifier> {
        self.identifiers.take()
    }

    /// Returns an unused Packet Identifier.
    pub(super) fn give_back(&mut self, packet_identifier: PacketIdentifier) {
        self.identifiers.freed.push_back(packet_identifier);
    }

    /// Adds a delivery that was just sent under a free Packet Identifier.
    pub(super) fn add(&mut self, packet_identifier: PacketIdentifier, delivery: Delivery) {
        let place = self.added;
        self.added += 1;
        self.sent += 1;
        self.places.insert(packet_identifier, place);
        let in_flight = InFlight { packet_identifier, delivery, step: Step::Published, is_sent: true };
        self.in_order.insert(place, in_flight);
    }

    /// Notes that the Client has received a delivery. False if none has this Packet Identifier.
    pub(super) fn release(&mut self, packet_identifier: PacketIdentifier) -> bool {
        let place = self.places.get(&packet_identifier);
        let in_flight = place.and_then(|place| self.in_order.get_mut(place));
        in_flight.map(|in_flight| in_flight.step = Step::Released).is_some()
    }

    /// Removes the delivery with this QoS and Packet Identifier, if there is one.
    pub(super) fn finish(&mut self, packet_identifier: PacketIdentifier, qos: QoS) {
        let Some(&place) = self.places.get(&packet_identifier) else { return };
        if self.in_order.get(&place).is_some_and(|in_flight| in_flight.delivery.qos == qos)
            && let Some(done) = self.in_order.remove(&place)
        {
            self.places.remove(&packet_identifier);
            self.sent -= usize::from(done.is_sent);
            self.identifiers.freed.push_back(packet_identifier);
        }
    }

    /// Marks every delivery to be sent again, for a new connection.
    pub(super) fn begin_again(&mut self) {
        for in_flight in self.in_order.values_mut() {
            in_flight.is_sent = false;
        }
        self.to_send_again = self.in_order.keys().copied().collect();
        self.sent = 0;
    }

    /// The next delivery to send again, which counts as sent from then on.
    pub(super) fn next_to_send_again(&mut self) -> Option<&InFlight> {
        while let Some(place) = self.to_send_again.pop_front() {
            if let Some(in_flight) = self.in_order.get_mut(&place) {
                in_flight.is_sent = true;
                self.sent += 1;
                return self.in_order.get(&place);
            }
        }
        None
    }

    /// Forgets every delivery.
    pub(super) fn clear(&mut self) {
        self.identifiers.freed.extend(self.in_order.values().map(|in_flight| in_flight.packet_identifier));
        self.in_order.clear();
        self.places.clear();
        self.to_send_again.clear();
        self.sent = 0;
    }

    /// Gives each delivery that waits for PUBACK or PUBREC another Packet Identifier, while any are free.
    pub(super) fn rename_all(&mut self) {
        for (place, in_flight) in &mut self.in_order {
            if in_flight.step == Step::Published
                && let Some(new) = self.identifiers.take()
            {
                let old = std::mem::replace(&mut in_flight.packet_identifier, new);
                self.places.remove(&old);
                self.places.insert(new, *place);
                self.identifiers.freed.push_back(old);
            }
        }
    }
}
