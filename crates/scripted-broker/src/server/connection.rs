//! What the server knows of one connection. All files of the server look at it.

use std::rc::Rc;

use ungraceful_mqtt::ProtocolVersion;

use crate::link::Link;
use crate::message::Message;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// No CONNECT yet.
    AwaitingConnect,
    /// Accepted.
    Serving,
    /// Open, but the broker neither listens nor speaks any more. The Will is still to come.
    Muted,
    /// Over, even if bytes are still on their way out.
    Ended,
}

/// One connection.
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) phase: Phase,
    pub(super) version: ProtocolVersion,
    /// The key of its session; empty before the CONNECT.
    pub(super) client_id: String,
    pub(super) will: Option<Rc<Message>>,
    pub(super) keep_alive_s: u16,
    /// The Client's Receive Maximum.
    pub(super) receive_maximum: usize,
    /// The Client's Maximum Packet Size in bytes.
    pub(super) packet_size_max: usize,
}

impl Connection {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            phase: Phase::AwaitingConnect,
            version: ProtocolVersion::V3_1_1,
            client_id: String::new(),
            will: None,
            keep_alive_s: 0,
            receive_maximum: usize::from(u16::MAX),
            packet_size_max: usize::MAX,
        }
    }
}
