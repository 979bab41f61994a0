//! Session State: what outlives a connection (MQTT 5.0 section 4.1).

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{PacketIdentifier, Properties, ProtocolVersion, SubscriptionOptions};

use super::ConnectionId;
use crate::message::Delivery;

/// How long a session lives on without a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum SessionExpiry {
    /// Not at all.
    #[default]
    AtClose,
    /// This long.
    After(Duration),
    /// For ever.
    Never,
}

impl SessionExpiry {
    /// From a Session Expiry Interval; absent means 0.
    pub(super) fn of_interval(seconds: Option<u32>) -> Self {
        match seconds {
            None | Some(0) => Self::AtClose,
            Some(u32::MAX) => Self::Never,
            Some(seconds) => Self::After(Duration::from_secs(seconds.into())),
        }
    }

    /// From a CONNECT. In MQTT 3.1.1 Clean Session decides.
    pub(super) fn of_connect(version: ProtocolVersion, clean: bool, properties: Properties<'_>) -> Self {
        match version {
            ProtocolVersion::V5 => Self::of_interval(properties.session_expiry_interval_s()),
            ProtocolVersion::V3_1_1 if clean => Self::AtClose,
            ProtocolVersion::V3_1_1 => Self::Never,
        }
    }
}

/// One subscription.
pub(super) struct Subscribed {
    pub(super) topic_filter: String,
    pub(super) options: SubscriptionOptions,
}

/// How far a QoS 1 or QoS 2 delivery has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// PUBLISH was sent: PUBACK or PUBREC is due.
    Published,
    /// PUBREL was sent: PUBCOMP is due.
    Released,
}

/// A QoS 1 or QoS 2 delivery that is not done.
pub(super) struct InFlight {
    pub(super) packet_identifier: PacketIdentifier,
    pub(super) delivery: Delivery,
    pub(super) step: Step,
    /// Whether it was sent on the present connection.
    pub(super) is_sent: bool,
}

/// One session.
#[derive(Default)]
pub(super) struct Session {
    pub(super) connection: Option<ConnectionId>,
    pub(super) expiry: SessionExpiry,
    /// How often a connection took it up: tells whether it was used since.
    pub(super) use_count: u64,
    pub(super) subscriptions: Vec<Subscribed>,
    /// What waits for the Client's Receive Maximum, or for the Client.
    pub(super) pending: VecDeque<Delivery>,
    /// In the order in which they were sent, which is the order to send them again.
    pub(super) in_flight: VecDeque<InFlight>,
    /// The Packet Identifiers of QoS 2 messages that came in and are not released.
    pub(super) received: HashSet<u16>,
    /// How many deliveries were due to this subscriber, the lost ones included.
    pub(super) delivery_count: u64,
    /// What a swap holds back, with its number.
    pub(super) held: Option<(u64, Delivery)>,
    /// What is being delayed, and when each is due: never before the one ahead of it.
    pub(super) delayed: VecDeque<(Instant, Delivery)>,
    last_identifier: Option<PacketIdentifier>,
}

impl Session {
    /// A Packet Identifier that no delivery in flight has.
    pub(super) fn free_identifier(&mut self) -> PacketIdentifier {
        let mut next = self.last_identifier.map_or(PacketIdentifier::MIN, PacketIdentifier::next);
        while self.in_flight.iter().any(|in_flight| in_flight.packet_identifier == next) {
            next = next.next();
        }
        self.last_identifier = Some(next);
        next
    }

    /// The place of a delivery in flight.
    pub(super) fn position(&self, packet_identifier: u16) -> Option<usize> {
        self.in_flight.iter().position(|in_flight| in_flight.packet_identifier.get() == packet_identifier)
    }
}
