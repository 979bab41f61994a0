//! The QoS 1 and QoS 2 deliveries of a session that are not done, in order and by Packet Identifier. No operation
//! costs more with a larger window.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ungraceful_mqtt::{PacketIdentifier, QoS};

use crate::message::Delivery;

/// How far a QoS 1 or QoS 2 delivery has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// PUBLISH was sent: PUBACK or PUBREC is due.
    Published,
    /// PUBREL was sent: PUBCOMP is due.
    Released,
}

/// A QoS 1 or QoS 2 delivery that is not done.
#[derive(Clone)]
pub(super) struct InFlight {
    pub(super) packet_identifier: PacketIdentifier,
    pub(super) delivery: Delivery,
    pub(super) step: Step,
    /// Whether it was sent on the present connection.
    is_sent: bool,
}

/// The Packet Identifiers that are free: each is used once before the first is used again.
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

/// The QoS 1 and QoS 2 deliveries of a session that are not done.
#[derive(Clone, Default)]
pub(super) struct Window {
    /// In the order in which they were sent first, which is the order to send them again.
    in_order: BTreeMap<u64, InFlight>,
    places: HashMap<PacketIdentifier, u64>,
    added: u64,
    /// The places of those that are to be sent again on the present connection; some may be done already.
    to_send_again: VecDeque<u64>,
    sent: usize,
    identifiers: Identifiers,
}

impl Window {
    /// How many were sent on the present connection and are not done.
    pub(super) const fn sent(&self) -> usize {
        self.sent
    }

    /// A Packet Identifier that no delivery here has; absent when all are in use.
    pub(super) fn free_identifier(&mut self) -> Option<PacketIdentifier> {
        self.identifiers.take()
    }

    /// Gives a Packet Identifier back that was not used.
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

    /// Notes that the Client has a delivery; tells whether there is one with this Packet Identifier.
    pub(super) fn release(&mut self, packet_identifier: PacketIdentifier) -> bool {
        let place = self.places.get(&packet_identifier);
        let in_flight = place.and_then(|place| self.in_order.get_mut(place));
        in_flight.map(|in_flight| in_flight.step = Step::Released).is_some()
    }

    /// Takes a delivery out, if there is one of this QoS with this Packet Identifier.
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

    /// A new connection has everything to get again.
    pub(super) fn begin_again(&mut self) {
        for in_flight in self.in_order.values_mut() {
            in_flight.is_sent = false;
        }
        self.to_send_again = self.in_order.keys().copied().collect();
        self.sent = 0;
    }

    /// The next one that is to be sent again, which counts as sent from then on.
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

    /// Gives another Packet Identifier to each that waits for PUBACK or PUBREC, as far as there are free ones.
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
