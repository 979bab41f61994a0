//! Session State: what outlives a connection (MQTT 5.0 section 4.1).

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{Properties, ProtocolVersion, QoS, SubscriptionOptions};

use super::ConnectionId;
use super::window::Window;
use crate::message::{Delivery, Message};
use crate::policy::Sessions;

/// How long a session lasts without a connection.
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
#[derive(Clone)]
pub(super) struct Subscribed {
    pub(super) topic_filter: String,
    pub(super) options: SubscriptionOptions,
    /// What the SUBACK granted.
    pub(super) qos: QoS,
}

/// A Will that waits for its delay, or for the end of its session.
#[derive(Clone)]
pub(crate) struct WaitingWill {
    /// The connection it belonged to.
    pub(super) connection: ConnectionId,
    pub(super) message: Rc<Message>,
    /// How often to publish it.
    pub(super) copies: usize,
}

/// One session.
#[derive(Clone, Default)]
pub(super) struct Session {
    pub(super) connection: Option<ConnectionId>,
    pub(super) expiry: SessionExpiry,
    /// The number of its last use, unique in the broker: shows whether the session was used since.
    pub(super) use_number: u64,
    pub(super) subscriptions: Vec<Subscribed>,
    /// What waits for the Client's Receive Maximum, or for its return.
    pub(super) pending: VecDeque<Delivery>,
    pub(super) window: Window,
    /// Whether nothing more is sent until the next connection.
    pub(super) is_stalled: bool,
    /// The Packet Identifiers of QoS 2 messages from the Client that are not released.
    pub(super) received: HashSet<u16>,
    /// How many deliveries were due to this subscriber, the lost ones included.
    pub(super) delivery_count: u64,
    /// How many of them were due at QoS 1, and at QoS 2.
    pub(super) acknowledged_counts: [u64; 2],
    /// What a swap holds back, with its number.
    pub(super) held: Option<(u64, Delivery)>,
    /// The delayed deliveries, and when each is due: never before the one ahead of it.
    pub(super) delayed: VecDeque<(Instant, Delivery)>,
    /// The Will of its last connection, if it may still be published.
    pub(super) will: Option<WaitingWill>,
}

impl Session {
    /// Counts a delivery. Returns how many there have been at its QoS; 0 at QoS 0.
    pub(super) fn count_at_qos(&mut self, qos: QoS) -> u64 {
        let count = match qos {
            QoS::AtMostOnce => return 0,
            QoS::AtLeastOnce => &mut self.acknowledged_counts[0],
            QoS::ExactlyOnce => &mut self.acknowledged_counts[1],
        };
        *count += 1;
        *count
    }

    /// Applies the policy to a session that is being resumed.
    pub(super) fn apply_policy(&mut self, policy: Sessions) {
        match policy {
            Sessions::LoseUnacknowledged => self.window.clear(),
            Sessions::LoseQueued => self.pending.clear(),
            Sessions::ResendWithNewIdentifiers => self.window.rename_all(),
            Sessions::ForgetReceived => self.received.clear(),

            _ => {}
        }
    }
}
