//! Receive Maximum exceeded: a client sends more PUBLISH packets of QoS 1 or 2 than it may have unacknowledged, all at once, and
//! releases none of QoS 2.
//!
//! The client breaks MQTT 5.0 [MQTT-3.3.4-7]. The broker's answer, DISCONNECT with 0x93, is prose (MQTT 5.0 sections 3.3.4 and
//! 4.9). MQTT 3.1.1 has no Receive Maximum: there the flood shows the broker's own limits.
//!
//! There are 65,535 Packet Identifiers, so the limit of a broker that announces 65,535, or nothing, can't be exceeded.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{Packet, PacketIdentifier, ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, Watch, observe_expecting};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_wire::Arrival;
use ungraceful_wire::clock::now;

use super::fates::{Fates, SharedFates, within};
use super::subscriber::Subscriber;
use super::{longest, receive_maximum_checks, topic};
use crate::ending::{Confirmed, Unfinished, attempted, confirm, prepared, qos_taken};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::numbered;
use crate::peer::Peer;

/// The fault's id in the catalogue.
pub const ID: &str = "receive-maximum";
/// Fact: the broker's first answer other than an acknowledgement without an error.
pub const WHAT: FactOf<What> = FactOf::new("what");
/// Fact: where the broker's limit is.
pub const LINE: FactOf<Line> = FactOf::new("line");
/// Measure: the Receive Maximum that the broker announced; 65,535 when it announced none.
pub const RECEIVE_MAXIMUM: Measure = Measure::new("receive_maximum");
/// Measure: PUBLISH packets that were acknowledged without an error before anything else came.
pub const TAKEN_BEFORE_REACTION: Measure = Measure::new("taken_before_reaction");
/// Measure: PUBLISH packets that were sent beyond Receive Maximum.
pub const EXCESS_SENT: Measure = Measure::new("excess_sent");
/// Measure: how many of these a subscriber received.
pub const EXCESS_DELIVERED: Measure = Measure::new("excess_delivered");

ungraceful_record::words! {
    /// The result of a flood.
    pub enum What {
        /// Every PUBLISH was acknowledged without an error.
        AllTaken = "all taken",
        /// Some PUBLISH packets got no answer.
        Unanswered = "unanswered",
        /// The broker stopped reading before it had everything.
        StoppedReading = "stopped reading",
        /// The broker closed without a DISCONNECT.
        Close = "close",
    } else {
        /// This packet and its Reason Code.
        Answer = "",
    }
}

ungraceful_record::words! {
    /// Where the broker's limit is.
    pub enum Line: "line" {
        /// A PUBLISH within Receive Maximum was refused.
        Below = "below Receive Maximum",
        /// The first PUBLISH beyond Receive Maximum was the first to be refused.
        At = "at Receive Maximum",
        /// Some PUBLISH packets beyond Receive Maximum were accepted.
        Beyond = "beyond Receive Maximum",
        /// Every PUBLISH was accepted.
        Nowhere = "nowhere",
        /// Unknown: acknowledgements may be lost with a connection.
        Unknown = "not told",
    }
}

/// The Receive Maximum of a broker that announces none (MQTT 5.0 section 3.2.2.3.3), and the number of Packet
/// Identifiers.
const UNLIMITED: u64 = u16::MAX as u64;
/// How long a subscriber must receive nothing to have received everything.
const QUIET: Duration = Duration::from_millis(300);
/// How often a broker that is still answering gets another reaction timeout.
const MORE_TIME_MAX: u32 = 12;

ungraceful_record::words! {
    /// What is sent.
    pub enum Variant: "variant" {
        /// QoS 2 without PUBREL: nothing gives the quota back.
        Qos2 = "qos2",
        /// QoS 1: brokers acknowledge at once, which gives the quota back.
        Qos1 = "qos1",
    }
}

impl Variant {
    /// The QoS of the PUBLISH packets.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::Qos2 => QoS::ExactlyOnce,
            Self::Qos1 => QoS::AtLeastOnce,
        }
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: qos2, qos1 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// PUBLISH packets beyond the Receive Maximum
    #[arg(long, value_name = "N", default_value = "10")]
    excess: Whole<1, 65_535>,
    /// Maximum number of PUBLISH packets per attempt, for brokers that announce a large Receive Maximum or none; there are
    /// only 65,535 Packet Identifiers
    #[arg(long, value_name = "N", default_value = "70000")]
    flood_max: Whole<1, 70_000>,
    /// Payload of each PUBLISH in bytes
    #[arg(short = 's', long, value_name = "BYTES", default_value = "16")]
    size: Whole<16, 65_536>,
    #[command(flatten)]
    versions: Versions,
    /// The time limit of an attempt.
    #[arg(skip)]
    longest: Duration,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "More PUBLISH packets than the Receive Maximum allows, all at once";
    const LONG_ABOUT: &'static str = "Reads Receive Maximum from the CONNACK, sends as many PUBLISH packets and some more in as few \
         writes as the socket takes, and never releases one of QoS 2. Reports what the broker answers \
         (DISCONNECT 0x93, an acknowledgement 0x97, a close, nothing), after how many packets, whether \
         the excess was delivered, and whether the client is still served. The standard describes \
         DISCONNECT 0x93 (prose of MQTT 5.0, sections 3.3.4 and 4.9); another answer is a note, not a \
         violation. QoS 1 rarely shows anything, because brokers acknowledge at once. MQTT 3.1.1 has no \
         Receive Maximum: there the flood uses every Packet Identifier, and nothing is judged.";
    const CHECKS: &'static [&'static [Check]] = &[receive_maximum_checks::CHECKS];
    // On a broker without a limit, an attempt is a flood of 65,535. When floods pile up, Mosquitto is too busy to answer
    // PINGREQ in time.
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "2"), ("count", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, _mistakes: &mut Vec<Mistake>) {
        self.longest = longest(call.reaction_timeout, self.flood_max.0, self.size.0);
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        self.longest
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(BeyondReceiveMaximum { variant, version, flags: self.clone() })
        })
    }
}

/// A flood beyond Receive Maximum, in one variant and version.
#[derive(Debug)]
struct BeyondReceiveMaximum {
    variant: Variant,
    version: ProtocolVersion,
    flags: Flags,
}

/// The broker's answers to the flood.
#[derive(Debug, Default)]
struct Answers {
    /// Acknowledgements without an error.
    taken: u64,
    /// The same, before anything else came.
    taken_before_reaction: u64,
    /// Acknowledgements with an error.
    refused: u64,
    /// The first answer other than an acknowledgement without an error.
    first: Option<First>,
}

#[derive(Debug, PartialEq, Eq)]
enum First {
    /// The packet's name, its Reason Code, and the number of the refused PUBLISH, from 1.
    Refusal(&'static str, u8, u64),
    /// A DISCONNECT.
    Disconnect(u8),
}

impl Answers {
    /// Takes a packet; false when it is a reaction.
    fn take(&mut self, packet: &Packet<'_>, qos: QoS, fates: &SharedFates) -> bool {
        let (ack, name) = match packet {
            Packet::PubRec(ack) if qos == QoS::ExactlyOnce => (ack, "PUBREC"),
            Packet::PubAck(ack) if qos == QoS::AtLeastOnce => (ack, "PUBACK"),
            Packet::Disconnect(disconnect) => {
                self.first.get_or_insert(First::Disconnect(disconnect.reason_code.0));
                return false;
            }
            _ => return false,
        };
        let (code, number) = (ack.reason_code.0, u64::from(ack.packet_identifier));
        // A message with PUBREC that is never released need not be delivered.
        if qos == QoS::AtLeastOnce || code >= 0x80 {
            fates.borrow_mut().acknowledged(number.saturating_sub(1), code);
        }
        if code < 0x80 {
            self.taken += 1;
            self.taken_before_reaction += u64::from(self.first.is_none());
            return true;
        }
        self.refused += 1;
        let is_first = self.first.is_none();
        self.first.get_or_insert(First::Refusal(name, code, number));
        !is_first
    }

    fn all(&self) -> u64 {
        self.taken + self.refused
    }

    fn what(&self, flood: &Flood, outcome: Outcome) -> What {
        match &self.first {
            Some(First::Refusal(name, code, _)) => What::Answer(format!("{name} 0x{code:02X}")),
            Some(First::Disconnect(code)) => What::Answer(format!("DISCONNECT 0x{code:02X}")),
            None if outcome.is_ended() => What::Close,
            None if flood.sent < flood.planned => What::StoppedReading,
            None if self.taken >= flood.sent => What::AllTaken,
            None => What::Unanswered,
        }
    }

    /// Where the broker's limit is. Only the refusal of a PUBLISH shows it exactly: when the connection ended, PUBRECs may have
    /// been lost in flight.
    fn line(&self, flood: &Flood, outcome: Outcome) -> Line {
        let limit_after = |taken: u64| match taken.cmp(&flood.receive_maximum) {
            Ordering::Less => Line::Below,
            Ordering::Equal => Line::At,
            Ordering::Greater => Line::Beyond,
        };
        match self.first {
            Some(First::Refusal(_, _, number)) => limit_after(number.saturating_sub(1)),
            None if !outcome.is_ended() && self.taken >= flood.sent => Line::Nowhere,
            None if !outcome.is_ended() => Line::Unknown,
            _ if self.taken_before_reaction < flood.receive_maximum => Line::Unknown,
            _ => limit_after(self.taken_before_reaction),
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
struct Flood {
    receive_maximum: u64,
    planned: u64,
    sent: u64,
}

impl Fault for BeyondReceiveMaximum {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let qos = self.variant.qos();
        let release = if qos == QoS::ExactlyOnce { ", PUBREL never" } else { "" };
        match self.version {
            ProtocolVersion::V5 => format!(
                "as many PUBLISH of {qos} as the CONNACK's Receive Maximum, and {} more, in one go{release} (at most {})",
                self.flags.excess.0, self.flags.flood_max.0
            ),
            ProtocolVersion::V3_1_1 => format!(
                "no Receive Maximum in 3.1.1: {} PUBLISH of {qos} in one go{release}",
                self.planned(UNLIMITED)
            ),
        }
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl BeyondReceiveMaximum {
    /// How many PUBLISH packets a broker with this Receive Maximum is sent.
    fn planned(&self, receive_maximum: u64) -> u64 {
        (receive_maximum + self.flags.excess.0).min(self.flags.flood_max.0).min(UNLIMITED)
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let qos = self.variant.qos();
        qos_taken(stage, qos)?;
        let (topic, fates) = (topic(stage, log), Fates::of(stage, log, qos));
        let preparing = self.prepare(stage, log, &topic, &fates);
        let (mut subscriber, mut client, receive_maximum) = prepared(stage, preparing).await?;
        let planned = self.planned(receive_maximum);
        let mut flood = Flood { receive_maximum, planned, sent: 0 };
        let began = now();
        let (provoked_at, seen, answers) = {
            let attack = self.attack(stage, &mut client, &topic, &mut flood, &fates);
            let attack = timeout(self.flags.longest, subscriber.during(attack));
            let attacked = match attack.await {
                Ok(attacked) => attacked,
                Err(_elapsed) => Err(fates.borrow().unfinished(self.flags.longest)),
            };
            match attacked {
                Ok(attacked) => attacked,
                Err(trouble) => {
                    client.connection.reset();
                    subscriber.leave().await;
                    return Err(trouble.into());
                }
            }
        };
        log.provoked(provoked_at);
        let seen = (seen.reactions, seen.outcome);
        let Confirmed { outcome, .. } = confirm(stage, log, self.version, seen).await;
        if outcome.is_ended() || flood.sent < planned {
            // After half a PUBLISH, a DISCONNECT would be read as its payload.
            client.connection.reset();
        } else {
            client.leave().await;
        }
        log.connection_over();
        if outcome.is_evidence() {
            // Messages with PUBACK are owed and awaited; those that wait for PUBREL are not.
            let owed = subscriber.listen_until(stage.reaction_timeout, |fates| fates.owed() == 0);
            let _all_came =
                within(stage, self.flags.longest.saturating_sub(began.elapsed()), &fates, owed).await;
            let more = subscriber.listen_until(QUIET, |fates| fates.delivered_count() >= planned);
            let _all_came =
                within(stage, self.flags.longest.saturating_sub(began.elapsed()), &fates, more).await;
            self.report(log, &flood, &answers, &fates.borrow());
        }
        subscriber.leave().await;
        Ok(())
    }

    fn report(&self, log: &mut AttemptLog<'_>, flood: &Flood, answers: &Answers, fates: &Fates) {
        let outcome = log.so_far().outcome;
        log.fact(WHAT, answers.what(flood, outcome));
        log.measure(Measure::new("sent"), flood.sent);
        log.measure(Measure::new("taken"), answers.taken);
        log.measure(TAKEN_BEFORE_REACTION, answers.taken_before_reaction);
        fates.report(log);
        if self.version == ProtocolVersion::V5 {
            log.fact(LINE, answers.line(flood, outcome));
            log.measure(RECEIVE_MAXIMUM, flood.receive_maximum);
            log.measure(EXCESS_SENT, flood.sent.saturating_sub(flood.receive_maximum));
            log.measure(EXCESS_DELIVERED, fates.delivered_from(flood.receive_maximum));
        }
        let wanted = flood.receive_maximum + self.flags.excess.0;
        if self.version == ProtocolVersion::V5 && flood.planned < wanted && self.flags.flood_max.0 < UNLIMITED
        {
            log.trouble(format!(
                "--flood-max limited the flood to {}; to exceed Receive Maximum by {1}, {wanted} are required",
                flood.planned, self.flags.excess.0
            ));
        }
    }

    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        topic: &str,
        fates: &SharedFates,
    ) -> Result<(Subscriber, Client, u64), String> {
        let client_id = log.client_id().to_owned();
        let subscriber_id = log.companion(Companion::UsesTopics);
        let honest = Client::honest_connect(&subscriber_id, &stage.credentials);
        let mut subscriber = Subscriber::connect(stage, self.version, &honest, fates).await?;
        subscriber.subscribe(topic, self.variant.qos(), stage.options.connect_timeout).await?;
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let (peer, accepted) = Peer::begin(stage, log, self.version, &connect).await?;
        let receive_maximum = accepted.receive_maximum.map_or(UNLIMITED, u64::from);
        Ok((subscriber, peer.client, receive_maximum))
    }

    /// Sends the flood and watches the answers.
    async fn attack(
        &self,
        stage: &Stage,
        client: &mut Client,
        topic: &str,
        flood: &mut Flood,
        fates: &SharedFates,
    ) -> Result<(Instant, Observed, Answers), String> {
        let qos = self.variant.qos();
        let attempt = fates.borrow().attempt();
        let template = numbered::template(self.version, topic, qos, self.flags.size.get())
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        let mut identifier = PacketIdentifier::MIN;
        let mut bytes = Vec::new();
        let mut provoked_at = now();
        let mut written = 0;
        while flood.sent < flood.planned {
            bytes.clear();
            let chunk = in_one_chunk(template.len(), flood.planned - flood.sent);
            for sequence in flood.sent..flood.sent + chunk {
                template.append(&mut bytes, Some(identifier), numbered::stamp(attempt, sequence));
                identifier = identifier.next();
                // The first ones arrive while the last ones are being sent.
                fates.borrow_mut().offer();
            }
            written = 0;
            let sending = send_all(client, &bytes, &mut written, stage.reaction_timeout);
            provoked_at = stage.unless_stopped(sending).await.unwrap_or_else(now);
            let sent = flood.sent + (written / template.len()) as u64;
            (flood.sent..sent).for_each(|sequence| fates.borrow_mut().sent(sequence));
            flood.sent = sent;
            if written < bytes.len() {
                break;
            }
        }
        let mut answers = Answers::default();
        let mut seen = Observed::default();
        if !written.is_multiple_of(template.len()) {
            let (goes_on, reaction) =
                take_what_is_there(client, &mut answers, qos, fates, &stage.clock).await;
            seen.reactions.extend(reaction);
            if goes_on {
                // Half a PUBLISH lies before whatever we could ask.
                seen.outcome = stage.stop.reason().is_none().then_some(Outcome::NoReaction);
                return Ok((provoked_at, seen, answers));
            }
        }
        for _ in 0..MORE_TIME_MAX {
            let before = answers.all();
            let watch = Watch {
                provoked_at: now(),
                within: stage.reaction_timeout,
                connacks_due: 0,
                subscribed: false,
            };
            // Answers to what was asked before come first.
            let mut late = seen.pings_open;
            let mut take = |packet: &Packet<'_>| match packet {
                Packet::PingResp if late > 0 => {
                    late -= 1;
                    true
                }
                other => answers.take(other, qos, fates),
            };
            let more = observe_expecting(client, &stage.clock, &stage.stop, watch, &mut take).await;
            seen.reactions.extend(more.reactions);
            seen.outcome = more.outcome;
            seen.pings_open = more.pings_open + late;
            let open = seen.outcome.is_some_and(|outcome| !outcome.is_ended());
            if !open || answers.all() >= flood.sent || answers.all() == before {
                break;
            }
        }
        Ok((provoked_at, seen, answers))
    }
}

/// How many of `left` packets of `len` bytes are made and handed over at a time: as few writes as the socket takes, and
/// never a whole flood of large ones in memory.
fn in_one_chunk(len: usize, left: u64) -> u64 {
    const CHUNK_BYTES: usize = 256 * 1024;
    left.min((CHUNK_BYTES / len).max(1) as u64)
}

/// Takes the acknowledgements that are there. Whether the connection goes on: false when it has ended, or when the broker
/// said that it will, which is returned as the reaction that it is.
async fn take_what_is_there(
    client: &mut Client,
    answers: &mut Answers,
    qos: QoS,
    fates: &SharedFates,
    clock: &RunClock,
) -> (bool, Option<Reaction>) {
    while let Ok(arrival) = timeout(Duration::ZERO, client.connection.next()).await {
        let Arrival::Packet(packet) = arrival else { return (false, None) };
        let decoded = packet.frame().decode(client.version).packet;
        let expected = answers.take(&decoded, qos, fates);
        if let Packet::Disconnect(disconnect) = decoded
            && !expected
        {
            let (code, at_us) = (Some(disconnect.reason_code.0), clock.us(packet.first_byte_at));
            let kind = ReactionKind::Disconnect;
            return (false, Some(Reaction { kind, code, at_us, detail: None, connection: None }));
        }
    }
    (true, None)
}

/// Writes everything, in as few writes as the socket takes, and returns when the last byte was handed over; gives up when the
/// broker neither reads nor answers for `patience`.
async fn send_all(client: &mut Client, bytes: &[u8], written: &mut usize, patience: Duration) -> Instant {
    loop {
        // A kernel's buffers fill in large steps: between two steps, answers show that the broker reads.
        let before = (*written, client.connection.read_ahead());
        match timeout(patience, client.connection.send_while_receiving(bytes, written)).await {
            Ok(Ok(sent)) => return sent.at,
            Err(_elapsed) if (*written, client.connection.read_ahead()) != before => {}
            // That the connection has ended shows on the next read.
            Ok(Err(_)) | Err(_) => return now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::{Ack, Disconnect, Packet, PacketIdentifier, QoS, ReasonCode};
    use ungraceful_record::reaction::Outcome;
    use ungraceful_rig::measure::clock::RunClock;

    use super::{Answers, Flood, Line, What, in_one_chunk};
    use crate::flood::fates::Fates;

    /// Twelve PUBLISH packets to a broker with a Receive Maximum of ten.
    const FLOOD: Flood = Flood { receive_maximum: 10, planned: 12, sent: 12 };
    const DISCONNECT: Packet<'static> = Packet::Disconnect(Disconnect::new(ReasonCode(0x93)));

    fn pubrec(number: u16, code: u8) -> Packet<'static> {
        Packet::PubRec(Ack::new(PacketIdentifier::new(number).unwrap()).with_reason_code(ReasonCode(code)))
    }

    fn result(packets: &[Packet<'static>], outcome: Outcome) -> (What, Line, u64) {
        let fates = Fates::new(1, QoS::ExactlyOnce, RunClock::start()).shared();
        let mut answers = Answers::default();
        for packet in packets {
            answers.take(packet, QoS::ExactlyOnce, &fates);
        }
        (answers.what(&FLOOD, outcome), answers.line(&FLOOD, outcome), answers.taken_before_reaction)
    }

    fn pubrecs(count: u16) -> Vec<Packet<'static>> {
        (1..=count).map(|number| pubrec(number, 0)).collect()
    }

    #[test]
    fn the_first_refused_publish_shows_the_limit() {
        let refused_at = |number: u16| {
            let packets = [pubrecs(number - 1), vec![pubrec(number, 0x97), pubrec(number + 1, 0)]].concat();
            result(&packets, Outcome::Tolerated)
        };
        let pubrec_0x97 = || What::Answer("PUBREC 0x97".into());
        assert_eq!(refused_at(10), (pubrec_0x97(), Line::Below, 9));
        assert_eq!(refused_at(11), (pubrec_0x97(), Line::At, 10));
        assert_eq!(refused_at(12), (pubrec_0x97(), Line::Beyond, 11));
    }

    #[test]
    fn pubrecs_may_be_lost_with_the_connection() {
        let with_disconnect = |count| result(&[pubrecs(count), vec![DISCONNECT]].concat(), Outcome::Closed);
        let disconnect_0x93 = || What::Answer("DISCONNECT 0x93".into());
        assert_eq!(with_disconnect(3), (disconnect_0x93(), Line::Unknown, 3));
        assert_eq!(with_disconnect(10), (disconnect_0x93(), Line::At, 10));
        assert_eq!(with_disconnect(11), (disconnect_0x93(), Line::Beyond, 11));
        assert_eq!(result(&pubrecs(4), Outcome::Reset), (What::Close, Line::Unknown, 4));
        assert_eq!(result(&pubrecs(10), Outcome::Closed), (What::Close, Line::At, 10));
    }

    #[test]
    fn all_taken_unanswered_and_stopped_reading_differ() {
        assert_eq!(result(&pubrecs(12), Outcome::Tolerated), (What::AllTaken, Line::Nowhere, 12));
        assert_eq!(result(&pubrecs(9), Outcome::Tolerated), (What::Unanswered, Line::Unknown, 9));
        let answers = Answers { taken: 5, taken_before_reaction: 5, ..Answers::default() };
        let flood = Flood { sent: 7, ..FLOOD };
        assert_eq!(answers.what(&flood, Outcome::NoReaction), What::StoppedReading);
        assert_eq!(answers.line(&flood, Outcome::NoReaction), Line::Unknown);
    }

    #[test]
    fn a_flood_is_made_in_chunks_of_whole_packets() {
        assert_eq!(in_one_chunk(50, 65_535), 5_242);
        assert_eq!(in_one_chunk(50, 30), 30);
        assert_eq!(in_one_chunk(300_000, 65_535), 1, "at least one");
    }

    #[test]
    fn only_the_first_refusal_is_a_reaction() {
        let fates = Fates::new(1, QoS::ExactlyOnce, RunClock::start()).shared();
        let mut answers = Answers::default();
        let mut is_expected = |packet: Packet<'static>| answers.take(&packet, QoS::ExactlyOnce, &fates);
        assert!(is_expected(pubrec(1, 0)));
        assert!(!is_expected(pubrec(2, 0x97)));
        assert!(is_expected(pubrec(3, 0x97)) && is_expected(pubrec(4, 0)));
        assert_eq!((answers.taken, answers.taken_before_reaction, answers.refused), (2, 1, 2));
    }
}
