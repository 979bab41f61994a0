//! What a broker did on one connection besides answering: unexpected packets, PINGRESP, the end.

use std::time::Instant;

use ungraceful_mqtt::Packet;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind, reason_text};
use ungraceful_rig::attempts::observe::unframed;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_wire::{Arrival, StreamEnd};

use crate::ending::end_of_stream;

/// The most reactions kept of one connection, besides its end.
const REACTIONS_MAX: usize = 16;

/// What a broker did on one connection.
#[derive(Debug)]
pub(super) struct Seen {
    clock: RunClock,
    reactions: Vec<Reaction>,
    /// The Reason Code of the first DISCONNECT.
    pub(super) disconnect: Option<u8>,
    /// The end of the stream; absent while the connection is open.
    pub(super) end: Option<StreamEnd>,
    /// Unanswered PINGREQs.
    pub(super) pings_open: u32,
    /// Bytes of received packets.
    pub(super) bytes: u64,
}

impl Seen {
    pub(super) fn new(clock: RunClock) -> Self {
        Self { clock, reactions: Vec::new(), disconnect: None, end: None, pings_open: 0, bytes: 0 }
    }

    /// Takes a packet that the client does not use otherwise.
    pub(super) fn take(&mut self, packet: &Packet<'_>, at: Instant) {
        match packet {
            Packet::Disconnect(disconnect) => {
                let code = disconnect.reason_code.0;
                self.disconnect.get_or_insert(code);
                let reason = disconnect.properties.reason_string().map(reason_text);
                self.push(ReactionKind::Disconnect, Some(code), at, reason);
            }
            Packet::PingResp if self.pings_open > 0 => self.pings_open -= 1,
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                self.push(ReactionKind::Ack, Some(ack.reason_code.0), at, None);
            }
            Packet::Unreadable { .. } => self.push(ReactionKind::Garbage, None, at, None),
            other => {
                let name = other.packet_type().map_or("packet", |packet_type| packet_type.name());
                self.push(ReactionKind::OtherPacket, None, at, Some(name.to_owned()));
            }
        }
    }

    /// Takes an arrival that is no packet.
    pub(super) fn take_arrival(&mut self, arrival: &Arrival) {
        match arrival {
            Arrival::Unframeable { bytes, at, why } => {
                let (kind, detail) = unframed(*why, bytes);
                self.push(kind, None, *at, Some(detail));
            }
            Arrival::End(end) if self.end.is_none() => {
                self.push(end_of_stream(end.how).0, None, end.at, None);
                self.end = Some(end.clone());
            }
            Arrival::End(_) | Arrival::Packet(_) => {}
        }
    }

    fn push(&mut self, kind: ReactionKind, code: Option<u8>, at: Instant, detail: Option<String>) {
        if self.reactions.len() < REACTIONS_MAX || kind.ends_connection() {
            self.reactions.push(Reaction { kind, code, at_us: self.clock.us(at), detail, connection: None });
        }
    }

    /// The outcome: how the connection ended or, while it is open, whether the client is `served`.
    pub(super) fn outcome(&self, served: bool) -> Outcome {
        match &self.end {
            Some(end) => end_of_stream(end.how).1,
            None if served => Outcome::Tolerated,
            None => Outcome::NoReaction,
        }
    }

    /// Every reaction in order.
    pub(super) fn reactions(&self) -> Vec<Reaction> {
        self.reactions.clone()
    }

    /// Whether the broker has ended the connection or sent DISCONNECT.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.disconnect.is_some()
    }

    /// How the broker ended the connection; absent while it is open.
    pub(super) fn ended_by(&self) -> Option<String> {
        match (self.disconnect, &self.end) {
            (Some(code), _) => Some(format!("DISCONNECT 0x{code:02X}")),
            (None, Some(end)) => Some(end_of_stream(end.how).2.to_owned()),
            (None, None) => None,
        }
    }
}
