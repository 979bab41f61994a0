//! Watches the broker after a fault has acted: until it ends the connection, proves twice that it still serves the
//! client, or the deadline passes. Late answers prove nothing: a broker that stalled has yet to do what it would have
//! done. Where silence is the fault, the client asks for that proof only at the deadline.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Packet, ProtocolVersion};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind, ended_at_us, hex, reason_text};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, StreamEnd, Unframed};

use crate::attempts::client::Client;
use crate::measure::clock::RunClock;
use crate::run::stop::Stop;

/// How long after the fault the client first asks whether it is still served. A broker that closes at once is never
/// asked, so that the question does not disturb the measurement.
const FIRST_PING_AFTER: Duration = Duration::from_millis(500);
/// How often it asks again. A silent client would be cut for its Keep Alive (a broker may require one of a second),
/// which would look like a reaction.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How long the broker has to answer the last PINGREQ, sent at the deadline, or later when this thread is late.
const LAST_PING_WITHIN: Duration = Duration::from_secs(1);
/// How long a broker that answered late may take after the deadline for what it still had to do.
const AFTER_A_STALL: Duration = Duration::from_secs(2);
/// Arrivals still taken after the deadline: what was ready while this thread was late. A broker that never stops
/// sending does not keep the client watching forever.
const OVERDUE_MAX: u32 = 64;
/// Reactions kept per attempt, besides the end of the connection.
const REACTIONS_MAX: usize = 64;
/// Why a connection that stayed open proves nothing: [`Observed::stalled`].
pub const STALLED: &str = "the broker answered PINGREQ late: it stalled or is slow, so it is unknown whether it still serves the client";
/// Stands for all further reactions.
const AND_MORE: &str = "packets, more than are kept";

/// What to watch for.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// When the provoking byte was handed to the kernel.
    pub provoked_at: Instant,
    /// How long the broker has to end the connection.
    pub within: Duration,
    /// CONNACKs still due for what the client rightly sent; more than these are reactions.
    pub connacks_due: u32,
    /// The client has subscriptions, so a PUBLISH is a delivery and no reaction.
    pub subscribed: bool,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Every reaction in order.
    pub reactions: Vec<Reaction>,
    /// The outcome; absent only when the run stopped meanwhile.
    pub outcome: Option<Outcome>,
    /// The code of a due CONNACK that refused the client.
    pub refused: Option<u8>,
    /// When the last due CONNACK came.
    pub connack_at: Option<Instant>,
    /// The connection stayed open and the broker answered, but a PINGREQ only after the next one, or never.
    pub stalled: bool,
    /// PINGREQs unanswered when watching ended; a later watch must expect their answers.
    pub pings_open: u32,
}

impl Observed {
    /// When the broker ended the connection, in µs since the run's start; absent when it did not.
    #[must_use]
    pub fn ended_at_us(&self) -> Option<u64> {
        ended_at_us(&self.reactions)
    }
}

/// What a client keeps doing while it is watched.
pub trait Occupation {
    /// Whether a packet belongs to this and is no reaction to the fault. Called for every packet, in order; `at` is
    /// when its first byte came.
    fn takes(&mut self, packet: &Packet<'_>, at: Instant) -> bool;

    /// When it sends next; absent while there is nothing to send.
    fn next_at(&self) -> Option<Instant> {
        None
    }

    /// Appends what it sends at [`Self::next_at`].
    fn send(&mut self, _bytes: &mut Vec<u8>) {}

    /// Whether what was awaited has come, for [`observe_until`].
    fn is_satisfied(&self) -> bool {
        false
    }

    /// When watching ends, if only known meanwhile; absent for the time of [`Watch::within`].
    fn until(&self) -> Option<Instant> {
        None
    }
}

/// Sends nothing by itself and expects some packets.
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
    /// A PINGREQ was still unanswered when the next one went out: the broker stalled, and what it does afterwards
    /// proves nothing.
    stalled: bool,
    seen: Observed,
}

/// Watches `client` until its connection ends, or to the deadline.
pub async fn observe(client: &mut Client, clock: &RunClock, stop: &Stop, watch: Watch) -> Observed {
    observe_expecting(client, clock, stop, watch, &mut |_packet| false).await
}

/// As [`observe`], for a client that must not send, because it has not sent a CONNECT or stays silent: it can't
/// prove, and so never reports, [`Outcome::Tolerated`].
pub async fn observe_silently(client: &mut Client, clock: &RunClock, stop: &Stop, watch: Watch) -> Observed {
    let mut expects_nothing = |_packet: &Packet<'_>| false;
    observe_until(client, clock, stop, watch, &mut Expecting(&mut expects_nothing)).await
}

/// As [`observe_silently`], until the occupation [is satisfied](Occupation::is_satisfied): the outcome is absent then, and when the run
/// stops.
pub async fn observe_until(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    occupation: &mut dyn Occupation,
) -> Observed {
    let mut watching = Watching::begin(occupation, clock, client.version, watch);
    let ended = watching.take_until(client, watch.provoked_at + watch.within, stop, false).await;
    if !ended && !watching.occupation.is_satisfied() {
        watching.seen.outcome = Some(Outcome::NoReaction);
    }
    watching.seen
}

/// As [`observe`]; a packet that the fault `expects` is no reaction. Called for every packet, in order.
pub async fn observe_expecting(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    expects: &mut dyn FnMut(&Packet<'_>) -> bool,
) -> Observed {
    observe_at_work(client, clock, stop, watch, &mut Expecting(expects)).await
}

/// As [`observe`], for a client that does something meanwhile.
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
            // A failed write means that the end of the connection is read next: no answer suffices then.
            if watching.take_until(client, now() + LAST_PING_WITHIN, stop, asked).await {
                return watching.seen;
            }
            // One answer may have been under way before the fault; two prove that the broker goes on serving.
            return watching.conclude(client, stop, 2).await;
        }
        // If this thread is late, the broker still gets its full time.
        ask_at = deadline.min(ask_at.max(now()) + ASK_AGAIN_EVERY).max(now() + answer_within);
    }
}

/// As [`observe`], for a client that stays silent until the deadline: silence is the fault, and a PINGREQ would end
/// it. Only then it asks twice whether it is still served, waiting `answer_within` each time. What it `expects` is no
/// reaction.
pub async fn observe_in_silence(
    client: &mut Client,
    clock: &RunClock,
    stop: &Stop,
    watch: Watch,
    answer_within: Duration,
    expects: &mut dyn FnMut(&Packet<'_>) -> bool,
) -> Observed {
    /// One answer might be to something under way; two prove that the broker goes on serving.
    const QUESTIONS: u32 = 2;
    let mut expecting = Expecting(expects);
    let mut watching = Watching::begin(&mut expecting, clock, client.version, watch);
    if watching.take_until(client, watch.provoked_at + watch.within, stop, false).await {
        return watching.seen;
    }
    for _ in 0..QUESTIONS {
        // A failed write means that the end of the connection is read next.
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

    /// Sends PINGREQ; false when the connection has ended.
    async fn ask(&mut self, client: &mut Client) -> bool {
        self.stalled |= self.pings_open > 0;
        let asked = client.ping().await.is_ok();
        self.pings_open += u32::from(asked);
        asked
    }

    /// The outcome of a connection that is still open at the deadline: served when at least `answers` came, each
    /// before the next question, and none is open. A broker that answered late gets more time for what it had not
    /// done.
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

    /// Takes arrivals until `until`. True when the connection ended or the run stops. With `answer_suffices`, returns
    /// once no PINGREQ is open.
    async fn take_until(
        &mut self,
        client: &mut Client,
        until: Instant,
        stop: &Stop,
        answer_suffices: bool,
    ) -> bool {
        let mut overdue = 0;
        loop {
            if answer_suffices && self.pings_open == 0 || self.occupation.is_satisfied() {
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
        self.push(kind, None, end.at, end.why.as_deref().map(str::to_owned));
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

/// Kind and content of bytes that were not accepted as packets.
#[must_use]
pub fn unframed(why: Unframed, bytes: &[u8]) -> (ReactionKind, String) {
    match why {
        Unframed::NoRemainingLength => (ReactionKind::Garbage, hex(bytes)),
        Unframed::TooLarge { .. } | Unframed::NoRoom => (ReactionKind::NotTakenIn, why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
    use ungraceful_wire::clock::now;
    use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, StampedBy, StreamEnd, Unframed};

    use super::{AND_MORE, Expecting, REACTIONS_MAX, Watch, Watching};
    use crate::measure::clock::RunClock;

    const CONNACK: &[u8] = &[0x20, 0x03, 0x00, 0x00, 0x00];
    const CONNACK_REFUSED: &[u8] = &[0x20, 0x03, 0x00, 0x87, 0x00];
    const DISCONNECT_0X82: &[u8] = &[0xE0, 0x02, 0x82, 0x00];
    const PINGRESP: &[u8] = &[0xD0, 0x00];
    const PUBACK: &[u8] = &[0x40, 0x03, 0x00, 0x01, 0x97];
    const SUBACK: &[u8] = &[0x90, 0x04, 0x00, 0x01, 0x00, 0x00];

    fn watching(connacks_due: u32, pings_open: u32) -> Watching<'static> {
        // Leaked: a few bytes for each test.
        let clock = Box::leak(Box::new(RunClock::start()));
        let expects_nothing = Box::leak(Box::new(|_: &ungraceful_mqtt::Packet<'_>| false));
        let occupation = Box::leak(Box::new(Expecting(expects_nothing)));
        let watch = Watch { provoked_at: now(), within: Duration::ZERO, connacks_due, subscribed: false };
        Watching { pings_open, ..Watching::begin(occupation, clock, ProtocolVersion::V5, watch) }
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
        let mut watching = watching(1, 0);
        assert!(!watching.take(packet(CONNACK)));
        assert!(watching.seen.connack_at.is_some() && watching.seen.refused.is_none());
        assert_eq!(watching.seen.reactions, []);
        watching.take(packet(CONNACK));
        assert_eq!(labels(&watching.seen.reactions), ["second CONNACK 0x00"]);
    }

    #[test]
    fn a_refusal_of_the_first_connect_is_no_second_connack() {
        let mut first = watching(1, 0);
        first.take(packet(CONNACK_REFUSED));
        assert_eq!((first.seen.refused, first.seen.reactions.len()), (Some(0x87), 0));
        let mut second = watching(0, 0);
        second.take(packet(CONNACK_REFUSED));
        assert_eq!(second.seen.refused, None);
        assert_eq!(labels(&second.seen.reactions), ["second CONNACK 0x87"]);
    }

    #[test]
    fn a_publish_is_a_reaction_without_a_subscription() {
        const PUBLISH: &[u8] = &[0x30, 0x04, 0x00, 0x01, b't', 0x00];
        let mut watching = watching(0, 0);
        watching.take(packet(PUBLISH));
        watching.subscribed = true;
        watching.take(packet(PUBLISH));
        assert_eq!(labels(&watching.seen.reactions), ["unexpected PUBLISH"]);
    }

    #[test]
    fn a_pingresp_without_a_pingreq_is_a_reaction() {
        let mut watching = watching(0, 1);
        for _ in 0..2 {
            watching.take(packet(PINGRESP));
        }
        assert_eq!((watching.pings_open, watching.pings_answered), (0, 1));
        assert_eq!(labels(&watching.seen.reactions), ["unexpected PINGRESP"]);
    }

    #[test]
    fn every_reaction_is_kept_in_order_and_the_end_is_the_outcome() {
        for (how, last, outcome) in [
            (EndKind::Fin, "FIN", Outcome::Closed),
            (EndKind::Reset, "RST", Outcome::Reset),
            (EndKind::Failed, "RST", Outcome::Reset),
        ] {
            let mut watching = watching(0, 0);
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
    fn a_rejected_packet_is_a_reaction_with_its_size() {
        let mut watching = watching(0, 0);
        let why = Unframed::TooLarge { packet_bytes: 268_435_460 };
        assert!(!watching.take(Arrival::Unframeable { bytes: vec![0x30; 64], at: now(), why }));
        let reaction = &watching.seen.reactions[0];
        assert_eq!((reaction.kind, &*reaction.label()), (ReactionKind::NotTakenIn, "more than is taken in"));
        assert!(reaction.detail.as_ref().unwrap().contains("268435460 bytes"), "{reaction:?}");
    }

    #[test]
    fn reactions_are_bounded_and_the_end_is_kept() {
        let mut watching = watching(0, 0);
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
