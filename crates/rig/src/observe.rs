//! Watching what a broker does after a fault has acted: until it ends the connection, or until it has proved
//! twice that it still serves the client, or until the deadline.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Packet, ProtocolVersion};
use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, StreamEnd};

use crate::client::Client;
use crate::clock::RunClock;
use crate::reaction::{Outcome, Reaction, ReactionKind, hex};
use crate::stop::Stop;

/// How long after the fault the client first asks whether it is still served. A broker that closes at once is
/// never asked, so the question does not disturb what is measured.
const FIRST_PING_AFTER: Duration = Duration::from_millis(500);
/// How long the broker has to answer the last PINGREQ, sent at the deadline.
const LAST_PING_WITHIN: Duration = Duration::from_secs(1);

/// What to watch for.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// When the provoking byte had been handed to the kernel.
    pub provoked_at: Instant,
    /// How long the broker has to end the connection.
    pub within: Duration,
    /// CONNACKs that are still due for what the client rightly sent; more than these are reactions.
    pub connacks_due: u32,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every reaction in order.
    pub reactions: Vec<Reaction>,
    /// The class it ended in; absent only when the run was stopped in between.
    pub outcome: Option<Outcome>,
    /// A CONNACK that was due came with this code, which refuses the client.
    pub refused: Option<u8>,
    /// When the last CONNACK that was due came.
    pub connack_at: Option<Instant>,
}

struct Watching<'a> {
    clock: &'a RunClock,
    version: ProtocolVersion,
    connacks_due: u32,
    pings_open: u32,
    pings_answered: u32,
    seen: Observed,
}

/// Watches `client` until its connection ends, or to the deadline.
pub async fn observe(client: &mut Client, clock: &RunClock, stop: &Stop, watch: Watch) -> Observed {
    let mut watching = Watching {
        clock,
        version: client.version,
        connacks_due: watch.connacks_due,
        pings_open: 0,
        pings_answered: 0,
        seen: Observed::default(),
    };
    let first_ping = watch.provoked_at + FIRST_PING_AFTER.min(watch.within / 2);
    let deadline = watch.provoked_at + watch.within;
    for (ask_at, until) in [(first_ping, deadline), (deadline, deadline + LAST_PING_WITHIN)] {
        if watching.take_until(client, ask_at, stop, false).await {
            return watching.seen;
        }
        let asked = client.ping().await.is_ok();
        if asked {
            watching.pings_open += 1;
        }
        let last = until > deadline;
        // A failed write means that the end of the connection is about to be read: no answer suffices then.
        if watching.take_until(client, until, stop, last && asked).await {
            return watching.seen;
        }
        if last {
            // One answer may have been under way when the fault came; two prove that the broker goes on serving.
            let served = watching.pings_answered >= 2;
            watching.seen.outcome = Some(if served { Outcome::Tolerated } else { Outcome::NoReaction });
        }
    }
    watching.seen
}

impl Watching<'_> {
    /// Takes what comes until `until`. True when watching is over: the connection ended, or the run stops. With
    /// `answer_suffices`, returns as soon as no PINGREQ is open.
    async fn take_until(
        &mut self,
        client: &mut Client,
        until: Instant,
        stop: &Stop,
        answer_suffices: bool,
    ) -> bool {
        loop {
            if answer_suffices && self.pings_open == 0 {
                return false;
            }
            tokio::select! {
                biased;
                arrival = client.connection.next() => {
                    if self.take(arrival) {
                        return true;
                    }
                }
                () = sleep_until(TokioInstant::from_std(until)) => return false,
                _reason = stop.raised() => return true,
            }
        }
    }

    fn take(&mut self, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Packet(packet) => {
                self.take_packet(&packet);
                false
            }
            Arrival::Unframeable { bytes, at } => {
                self.push(ReactionKind::Garbage, None, at, Some(hex(&bytes)));
                false
            }
            Arrival::End(end) => {
                self.take_end(&end);
                true
            }
        }
    }

    fn take_packet(&mut self, packet: &ReceivedPacket) {
        let at = packet.first_byte_at;
        let frame = packet.frame();
        match frame.decode(self.version).packet {
            Packet::Disconnect(disconnect) => {
                let reason = disconnect.properties.reason_string().map(ToOwned::to_owned);
                self.push(ReactionKind::Disconnect, Some(disconnect.reason_code.0), at, reason);
            }
            Packet::ConnAck(connack) if self.connacks_due > 0 => {
                self.connacks_due -= 1;
                self.seen.connack_at = Some(packet.complete_at);
                if connack.code != 0 {
                    self.seen.refused = Some(connack.code);
                }
            }
            Packet::ConnAck(connack) => self.push(ReactionKind::Connack, Some(connack.code), at, None),
            Packet::PingResp if self.pings_open > 0 => {
                self.pings_open -= 1;
                self.pings_answered += 1;
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                self.push(ReactionKind::Ack, Some(ack.reason_code.0), at, None);
            }
            Packet::Unreadable { .. } => self.push(ReactionKind::Garbage, None, at, Some(hex(&packet.bytes))),
            _ => {
                let name =
                    frame.packet_type().map_or("packet of a reserved type", |packet_type| packet_type.name());
                self.push(ReactionKind::OtherPacket, None, at, Some(name.to_owned()));
            }
        }
    }

    fn take_end(&mut self, end: &StreamEnd) {
        if !end.unfinished.is_empty() {
            self.push(ReactionKind::UnfinishedPacket, None, end.at, Some(hex(&end.unfinished)));
        }
        let (kind, outcome) = match end.how {
            EndKind::Fin => (ReactionKind::Closed, Outcome::Closed),
            EndKind::Reset | EndKind::Failed => (ReactionKind::Reset, Outcome::Reset),
        };
        self.push(kind, None, end.at, None);
        self.seen.outcome = Some(outcome);
    }

    fn push(&mut self, kind: ReactionKind, code: Option<u8>, at: Instant, detail: Option<String>) {
        self.seen.reactions.push(Reaction { kind, code, at_us: self.clock.us(at), detail });
    }
}
