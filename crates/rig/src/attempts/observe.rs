//! Watching what a broker does after a fault has acted: until it ends the connection, or until it has proved
//! twice that it still serves the client, or until the deadline. Answers that come late prove nothing: a broker that
//! stalled has yet to do what it would have done. Where silence is the fault, the client asks for that
//! proof at the deadline alone.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Packet, ProtocolVersion};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind, ended_at_us, hex, reason_text};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, StreamEnd, Unframed};

use crate::attempts::client::Client;
use crate::measure::clock::RunClock;
use crate::run::stop::Stop;

/// How long after the fault the client first asks whether it is still served. A broker that closes at once is
/// never asked, so the question does not disturb what is measured.
const FIRST_PING_AFTER: Duration = Duration::from_millis(500);
/// How often it asks again: a client that fell silent would be cut for its Keep Alive (a broker may ask for one of a
/// second), and that would look like a reaction to the fault.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How long the broker has to answer the last PINGREQ, sent at the deadline or, by a thread of ours that is late, after it.
const LAST_PING_WITHIN: Duration = Duration::from_secs(1);
/// How long a broker that answered late may take, once the time to wait is over, for what it still had to do when it stalled.
const AFTER_A_STALL: Duration = Duration::from_secs(2);
/// Arrivals that are still taken when the time to wait is over: what lay ready while our own thread was late. A
/// broker that never stops sending does not keep the client watching for ever.
const OVERDUE_MAX: u32 = 64;
/// Reactions that are kept of one attempt, besides the end of the connection.
const REACTIONS_MAX: usize = 64;
/// Why a connection that was open to the end says nothing: [`Observed::stalled`].
pub const STALLED: &str =
    "the broker answered PINGREQ late: it stalled or is slow, so nothing tells what it makes of the client";
/// Stands for all reactions beyond these.
const AND_MORE: &str = "packets, more than are kept";

/// What to watch for.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// When the provoking byte had been handed to the kernel.
    pub provoked_at: Instant,
    /// How long the broker has to end the connection.
    pub within: Duration,
    /// CONNACKs that are still due for what the client rightly sent; more than these are reactions.
    pub connacks_due: u32,
    /// The client has subscriptions: a PUBLISH is a delivery then, and no reaction.
    pub subscribed: bool,
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
    /// The connection was open to the end, and the broker answered, but a PINGREQ only after the next one, or not at all.
    pub stalled: bool,
    /// PINGREQs that were not answered when watching ended; whoever goes on to watch has their answers to expect.
    pub pings_open: u32,
}

impl Observed {
    /// When the broker ended the connection, in µs since the run's start; absent when it did not.
    #[must_use]
    pub fn ended_at_us(&self) -> Option<u64> {
        ended_at_us(&self.reactions)
    }
}

/// What a client goes on doing while it is watched.
pub trait Occupation {
    /// Whether a packet belongs to what it does, and is no reaction to the fault. Asked about every packet, in order;
    /// `at` is when its first byte came.
    fn takes(&mut self, packet: &Packet<'_>, at: Instant) -> bool;

    /// When it is to send next; absent while there is nothing to send.
    fn next_at(&self) -> Option<Instant> {
        None
    }

    /// Appends what it sends now, at the time of [`Self::next_at`].
    fn send(&mut self, _bytes: &mut Vec<u8>) {}

    /// When watching ends, where that is found out only meanwhile; absent for the time that [`Watch::within`] names.
    fn until(&self) -> Option<Instant> {
        None
    }
}

/// A client that sends nothing by itself, and expects some packets.
struct Expecting<'a>(&'a mut dyn FnMut(&Packet<'_>) -> bool);

impl Occupation for Expecting<'_> {
    fn takes(&mut self, packet: &Packet<'_>, _at: Instant) -> bool {
        (self.0)(packet)
    }
}

struct Watching<'a> {
    occupation: &'a mut dyn Occupation,
    clock: &'a RunClock,
    version: ProtocolVersion,
    connacks_due: u32,
    subscribed: bool,
    pings_open: u32,
    pings_answered: u32,
    /// A PINGREQ was still unanswered when the next one went out: the broker stalled, and what it does once it goes on says
    /// nothing about what it would have done.
    stalled: bool,
    seen: Observed,
}

/// Watches `client` until its connection ends, or to the deadline.
pub async fn observe(client: &mut Client, clock: &RunClock, stop: &Stop, watch: Watch) -> Observed {
    observe_expecting(client, clock, stop, watch, &mut |_packet| false).await
}

/// As [`observe`], for a client that may ask nothing, because it has sent no CONNECT yet or says nothing any more:
/// what it does not see it can't prove, so it never tells [`Outcome::Tolerated`].
pub async fn observe_silently(client: &mut Client, clock: &RunClock, stop: &Stop, watch: Watch) -> Observed {
    let mut expects_nothing = |_packet: &Packet<'_>| false;
    let mut nothing = Expecting(&mut expects_nothing);
    let mut watching = Watching::begin(&mut nothing, clock, client.version, watch);
    if !watching.take_until(client, watch.provoked_at + watch.within, stop, false).await {
        watching.seen.outcome = Some(Outcome::NoReaction);
    }
    watching.seen
}

/// As [`observe`]; a packet that the fault `expects` is no reaction. It is asked about every packet, in order.
pub async fn observe_expecting(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    expects: &mut dyn FnMut(&Packet<'_>) -> bool,
) -> Observed {
    observe_at_work(client, clock, stop, watch, &mut Expecting(expects)).await
}

/// As [`observe`], of a client that has something to do meanwhile.
pub async fn observe_at_work(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    occupation: &mut dyn Occupation,
) -> Observed {
    let answer_within = FIRST_PING_AFTER.min(watch.within / 2);
    let mut watching = Watching::begin(occupation, clock, client.version, watch);
    let mut ask_at = watch.provoked_at + answer_within;
    loop {
        let deadline = watching.occupation.until().unwrap_or(watch.provoked_at + watch.within);
        if watching.take_until(client, ask_at, stop, false).await {
            return watching.seen;
        }
        let asked = watching.ask(client).await;
        if ask_at >= deadline {
            // A failed write means that the end of the connection is about to be read: no answer suffices then.
            if watching.take_until(client, now() + LAST_PING_WITHIN, stop, asked).await {
                return watching.seen;
            }
            // One answer may have been under way when the fault came; two prove that the broker goes on serving.
            return watching.conclude(client, stop, 2).await;
        }
        // A thread of ours that was late leaves the broker its time all the same.
        ask_at = deadline.min(ask_at.max(now()) + ASK_AGAIN_EVERY).max(now() + answer_within);
    }
}

/// As [`observe`], by a client that says nothing until the deadline: its silence is the fault, and a PINGREQ would end it, so
/// the deadline is the last time at which the broker could have reacted and still be told of. Only then it asks, twice
/// and waits each time for `answer_within`, whether it is still served. What it `expects` is no reaction.
pub async fn observe_in_silence(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    answer_within: Duration,
    expects: &mut dyn FnMut(&Packet<'_>) -> bool,
) -> Observed {
    /// One answer might be to something that was under way; two prove that the broker goes on serving.
    const QUESTIONS: u32 = 2;
    let mut expecting = Expecting(expects);
    let mut watching = Watching::begin(&mut expecting, clock, client.version, watch);
    if watching.take_until(client, watch.provoked_at + watch.within, stop, false).await {
        return watching.seen;
    }
    for _ in 0..QUESTIONS {
        // A failed write means that the end of the connection is about to be read.
        let asked = watching.ask(client).await;
        if watching.take_until(client, now() + answer_within, stop, asked).await {
            return watching.seen;
        }
    }
    watching.conclude(client, stop, QUESTIONS).await
}

impl<'a> Watching<'a> {
    fn begin(
        occupation: &'a mut dyn Occupation,
        clock: &'a RunClock,
        version: ProtocolVersion,
        watch: Watch,
    ) -> Self {
        Self {
            occupation,
            clock,
            version,
            connacks_due: watch.connacks_due,
            subscribed: watch.subscribed,
            pings_open: 0,
            pings_answered: 0,
            stalled: false,
            seen: Observed::default(),
        }
    }

    /// Sends PINGREQ. False when the connection has ended.
    async fn ask(&mut self, client: &mut Client) -> bool {
        self.stalled |= self.pings_open > 0;
        let asked = client.ping().await.is_ok();
        self.pings_open += u32::from(asked);
        asked
    }

    /// The outcome of a connection that is still open when the time to wait is over: served, when `answers` or more came,
    /// each before the next question, and none is open. A broker that answered, but late, has a while to do what it had no
    /// time for.
    async fn conclude(mut self, client: &mut Client, stop: &Stop, answers: u32) -> Observed {
        if self.stalled
            && self.pings_answered > 0
            && self.take_until(client, now() + AFTER_A_STALL, stop, false).await
        {
            return self.seen;
        }
        let served = !self.stalled && self.pings_answered >= answers && self.pings_open == 0;
        self.seen.outcome = Some(if served { Outcome::Tolerated } else { Outcome::NoReaction });
        self.seen.stalled = self.stalled && self.pings_answered > 0;
        self.seen.pings_open = self.pings_open;
        self.seen
    }

    /// Takes what comes until `until`. True when watching is over: the connection ended, or the run stops. With
    /// `answer_suffices`, returns as soon as no PINGREQ is open.
    async fn take_until(
        &mut self,
        client: &mut Client,
        until: Instant,
        stop: &Stop,
        answer_suffices: bool,
    ) -> bool {
        let mut overdue = 0;
        loop {
            if answer_suffices && self.pings_open == 0 {
                return false;
            }
            overdue += u32::from(now() >= until);
            if overdue > OVERDUE_MAX {
                return false;
            }
            let sends_at = self.occupation.next_at().filter(|at| *at < until);
            if sends_at.is_some_and(|at| at <= now()) {
                let mut bytes = Vec::new();
                self.occupation.send(&mut bytes);
                // That the connection has ended is read next.
                let _ended = client.connection.send(&bytes).await;
            }
            let sends_at = self.occupation.next_at().filter(|at| *at < until);
            tokio::select! {
                biased;
                arrival = client.connection.next() => {
                    if self.take(arrival) {
                        return true;
                    }
                }
                () = sleep_until(TokioInstant::from_std(sends_at.unwrap_or(until))) => {
                    if sends_at.is_none() {
                        return false;
                    }
                }
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
            Arrival::Unframeable { bytes, at, why } => {
                let (kind, detail) = unframed(why, &bytes);
                self.push(kind, None, at, Some(detail));
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
            expected if self.occupation.takes(&expected, at) => {}
            Packet::Disconnect(disconnect) => {
                let reason = disconnect.properties.reason_string().map(reason_text);
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
            Packet::Publish(_) if self.subscribed => {}
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
        let at_us = self.clock.us(at);
        let kept = self.seen.reactions.len();
        let reaction = if kept < REACTIONS_MAX || kind.ends_connection() {
            Reaction { kind, code, at_us, detail, connection: None }
        } else if kept == REACTIONS_MAX {
            let detail = Some(AND_MORE.to_owned());
            Reaction { kind: ReactionKind::OtherPacket, code: None, at_us, detail, connection: None }
        } else {
            return;
        };
        self.seen.reactions.push(reaction);
    }
}

/// What bytes are that were not taken in as packets, and which they were.
#[must_use]
pub fn unframed(why: Unframed, bytes: &[u8]) -> (ReactionKind, String) {
    match why {
        Unframed::NoRemainingLength => (ReactionKind::Garbage, hex(bytes)),
        Unframed::TooLarge { .. } | Unframed::NoRoom => (ReactionKind::NotTakenIn, why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
    use ungraceful_wire::clock::now;
    use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, StampedBy, StreamEnd, Unframed};

    use super::{AND_MORE, Expecting, Observed, REACTIONS_MAX, Watching};
    use crate::measure::clock::RunClock;

    const CONNACK: &[u8] = &[0x20, 0x03, 0x00, 0x00, 0x00];
    const CONNACK_REFUSED: &[u8] = &[0x20, 0x03, 0x00, 0x87, 0x00];
    const DISCONNECT_0X82: &[u8] = &[0xE0, 0x02, 0x82, 0x00];
    const PINGRESP: &[u8] = &[0xD0, 0x00];
    const PUBACK: &[u8] = &[0x40, 0x03, 0x00, 0x01, 0x97];
    const SUBACK: &[u8] = &[0x90, 0x04, 0x00, 0x01, 0x00, 0x00];

    fn watching(clock: &RunClock, connacks_due: u32, pings_open: u32) -> Watching<'_> {
        Watching {
            // Neither of them has a size: they are leaked without a loss.
            occupation: Box::leak(Box::new(Expecting(Box::leak(Box::new(
                |_: &ungraceful_mqtt::Packet<'_>| false,
            ))))),
            clock,
            version: ProtocolVersion::V5,
            connacks_due,
            subscribed: false,
            pings_open,
            pings_answered: 0,
            stalled: false,
            seen: Observed::default(),
        }
    }

    fn packet(bytes: &[u8]) -> Arrival {
        let at = now();
        Arrival::Packet(ReceivedPacket {
            bytes: bytes.to_vec(),
            first_byte_at: at,
            by: StampedBy::Program,
            complete_at: at,
        })
    }

    fn end(how: EndKind, unfinished: &[u8]) -> Arrival {
        Arrival::End(StreamEnd {
            how,
            at: now(),
            by: StampedBy::Program,
            unfinished: unfinished.to_vec(),
            why: None,
        })
    }

    fn labels(reactions: &[Reaction]) -> Vec<String> {
        reactions.iter().map(Reaction::label).collect()
    }

    #[test]
    fn a_connack_that_is_due_is_no_reaction_and_the_next_one_is() {
        let clock = RunClock::start();
        let mut watching = watching(&clock, 1, 0);
        assert!(!watching.take(packet(CONNACK)));
        assert!(watching.seen.connack_at.is_some() && watching.seen.refused.is_none());
        assert_eq!(watching.seen.reactions, []);
        watching.take(packet(CONNACK));
        assert_eq!(labels(&watching.seen.reactions), ["second CONNACK 0x00"]);
    }

    #[test]
    fn a_connack_that_refuses_the_first_connect_is_told_apart_from_a_second_one() {
        let clock = RunClock::start();
        let mut first = watching(&clock, 1, 0);
        first.take(packet(CONNACK_REFUSED));
        assert_eq!((first.seen.refused, first.seen.reactions.len()), (Some(0x87), 0));
        let mut second = watching(&clock, 0, 0);
        second.take(packet(CONNACK_REFUSED));
        assert_eq!(second.seen.refused, None);
        assert_eq!(labels(&second.seen.reactions), ["second CONNACK 0x87"]);
    }

    #[test]
    fn a_publish_is_a_reaction_only_for_a_client_that_has_subscribed_to_nothing() {
        const PUBLISH: &[u8] = &[0x30, 0x04, 0x00, 0x01, b't', 0x00];
        let clock = RunClock::start();
        let mut watching = watching(&clock, 0, 0);
        watching.take(packet(PUBLISH));
        watching.subscribed = true;
        watching.take(packet(PUBLISH));
        assert_eq!(labels(&watching.seen.reactions), ["unexpected PUBLISH"]);
    }

    #[test]
    fn an_answer_counts_for_one_question_and_one_without_a_question_is_a_reaction() {
        let clock = RunClock::start();
        let mut watching = watching(&clock, 0, 1);
        for _ in 0..2 {
            watching.take(packet(PINGRESP));
        }
        assert_eq!((watching.pings_open, watching.pings_answered), (0, 1));
        assert_eq!(labels(&watching.seen.reactions), ["unexpected PINGRESP"]);
    }

    #[test]
    fn every_reaction_is_kept_in_order_and_the_end_is_the_outcome() {
        let clock = RunClock::start();
        for (how, last, outcome) in [
            (EndKind::Fin, "FIN", Outcome::Closed),
            (EndKind::Reset, "RST", Outcome::Reset),
            (EndKind::Failed, "RST", Outcome::Reset),
        ] {
            let mut watching = watching(&clock, 0, 0);
            for bytes in [DISCONNECT_0X82, PUBACK, SUBACK] {
                assert!(!watching.take(packet(bytes)));
            }
            watching.take(Arrival::Unframeable {
                bytes: vec![0xFF; 3],
                at: now(),
                why: Unframed::NoRemainingLength,
            });
            assert!(watching.take(end(how, &[0x20])), "watching is over");
            let expected = [
                "DISCONNECT 0x82",
                "acknowledgement 0x97",
                "unexpected SUBACK",
                "bytes that are no packet",
                "half a packet",
                last,
            ];
            assert_eq!(labels(&watching.seen.reactions), expected);
            assert_eq!(watching.seen.outcome, Some(outcome));
        }
    }

    #[test]
    fn a_packet_that_is_not_taken_in_is_a_reaction_that_says_how_large_it_was() {
        let clock = RunClock::start();
        let mut watching = watching(&clock, 0, 0);
        let why = Unframed::TooLarge { packet_bytes: 268_435_460 };
        assert!(!watching.take(Arrival::Unframeable { bytes: vec![0x30; 64], at: now(), why }));
        let reaction = &watching.seen.reactions[0];
        assert_eq!((reaction.kind, &*reaction.label()), (ReactionKind::NotTakenIn, "more than is taken in"));
        assert!(reaction.detail.as_ref().unwrap().contains("268435460 bytes"), "{reaction:?}");
    }

    #[test]
    fn what_a_broker_that_never_stops_sending_costs_is_bounded_and_its_end_is_kept() {
        let clock = RunClock::start();
        let mut watching = watching(&clock, 0, 0);
        for _ in 0..10 * REACTIONS_MAX {
            watching.take(packet(PUBACK));
        }
        watching.take(end(EndKind::Fin, &[]));
        let reactions = &watching.seen.reactions;
        assert_eq!(reactions.len(), REACTIONS_MAX + 2);
        assert_eq!(reactions[REACTIONS_MAX].detail.as_deref(), Some(AND_MORE), "and it says so");
        assert_eq!(reactions[REACTIONS_MAX + 1].kind, ReactionKind::Closed);
    }
}
