//! What the server knows about one connection. All files of the server use it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use ungraceful_mqtt::{PacketIdentifier, ProtocolVersion, ReasonCode, Will};

use super::ending::Farewell;
use crate::link::Link;
use crate::message::Message;

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// No CONNECT yet.
    AwaitingConnect,
    /// Its CONNACK is held back, and what it sends is buffered.
    Waiting,
    /// Accepted.
    Serving,
    /// Open, but the broker neither reads nor sends any more. The Will is still pending.
    Muted,
    /// Over, even if bytes are still on their way out.
    Ended,
}

/// What to publish when a connection ends.
#[derive(Clone)]
pub(super) struct LastWill {
    pub(super) message: Rc<Message>,
    /// The Will Delay Interval.
    pub(super) delay: Duration,
}

impl LastWill {
    pub(super) fn of(will: &Will<'_>) -> Self {
        let delay_s = will.properties.will_delay_interval_s().unwrap_or_default();
        Self { message: Message::of_will(will), delay: Duration::from_secs(delay_s.into()) }
    }
}

/// One connection.
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) phase: Phase,
    /// When it was accepted, and when bytes last arrived.
    pub(super) accepted_at: Instant,
    pub(super) last_read_at: Instant,
    /// How often bytes arrived before its CONNECT was complete.
    pub(super) reads: u64,
    pub(super) version: ProtocolVersion,
    /// The key of its session; empty before the CONNECT.
    pub(super) client_id: String,
    pub(super) user_name: Option<String>,
    /// Whether its CONNECT named an Authentication Method, which this broker then knows.
    pub(super) has_method: bool,
    /// How many tokens it has shown.
    pub(super) tokens: u32,
    pub(super) will: Option<LastWill>,
    /// What its DISCONNECT said; absent before that.
    pub(super) farewell: Option<Farewell>,
    pub(super) keep_alive_s: u16,
    /// The Client's Receive Maximum.
    pub(super) receive_maximum: usize,
    /// The Client's Maximum Packet Size in bytes.
    pub(super) packet_size_max: usize,
    /// The Packet Identifiers of QoS 1 and QoS 2 messages that arrived on this connection and are not complete. MQTT 5.0 only.
    pub(super) outstanding: HashSet<PacketIdentifier>,
    /// The QoS 1 message whose acknowledgement waits for the next one, and the code to acknowledge it with.
    pub(super) held: Option<(PacketIdentifier, ReasonCode)>,
    /// The Topic Names behind its Topic Aliases.
    pub(super) topic_aliases: HashMap<u16, String>,
    /// How many QoS 1 and QoS 2 PUBLISHes arrived on this connection. MQTT 5.0 only.
    pub(super) publishes: usize,
    /// The CONNACK that is held back.
    pub(super) acceptance: Vec<u8>,
    /// What the Client has sent while the CONNACK was held back.
    pub(super) backlog: Vec<u8>,
}

impl Connection {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            phase: Phase::AwaitingConnect,
            accepted_at: Instant::now(),
            last_read_at: Instant::now(),
            reads: 0,
            version: ProtocolVersion::V3_1_1,
            client_id: String::new(),
            user_name: None,
            has_method: false,
            tokens: 0,
            will: None,
            farewell: None,
            keep_alive_s: 0,
            receive_maximum: usize::from(u16::MAX),
            packet_size_max: usize::MAX,
            outstanding: HashSet::new(),
            held: None,
            topic_aliases: HashMap::new(),
            publishes: 0,
            acceptance: Vec::new(),
            backlog: Vec::new(),
        }
    }
}
