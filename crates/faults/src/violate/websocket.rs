//! WebSocket as MQTT forbids it, as it allows it and brokers forget, and as RFC 6455 forbids it: frames, and the request before them.
//!
//! Browsers and IoT clients behind proxies speak MQTT over WebSocket; a proxy may split, join and mask frames anew. The broker's log
//! then has lines of its WebSocket library, or none.

mod variant;

use std::sync::Arc;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Named, Versions, Wanted, chosen};
use ungraceful_mqtt::{Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::FactOf;
use ungraceful_record::offers::Offers;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_rig::attempts::client::{Client, NotConnected, encode_connect};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, STALLED, observe, observe_expecting, observe_silently};
use ungraceful_wire::clock::now;
use ungraceful_wire::{
    ConnectOptions, OpenError, PACKET_BYTES_MAX, RawFrame, Transport, WebSocket, WebSocketSettings,
};

use self::variant::NOT_MQTT;
pub use self::variant::{Group, Variant};
use super::websocket_checks;
use crate::ending::{Unfinished, attempted, confirm, prepared, qos_taken, refusal, watch};
use crate::mode::{ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;

/// The fault's name.
pub const ID: &str = "websocket";
/// Fact: whether the packets in these frames were answered, by CONNACK or PUBACK.
pub const ANSWER: FactOf<Reply> = FactOf::new("packets");
/// Fact: how the connection ended, or why a client had to end it; absent when it did not end.
pub const END: FactOf<End> = FactOf::new("ended_by");

ungraceful_record::words! {
    /// The answer to the packets in these frames.
    pub enum Reply {
        /// All of them were.
        Answered = "answered",
        /// At least one was not.
        Not = "not answered",
    } else {
        /// The CONNECT was refused, with this CONNACK.
        Refused = "refused: ",
    }
}

ungraceful_record::words! {
    /// How the broker ended a connection.
    pub enum End {
        /// By FIN, without a Close frame.
        Fin = "FIN",
        /// By RST, without a Close frame.
        Rst = "RST",
    } else {
        /// By WebSocket or TLS, with this reason: a Close frame, the status of a refused request, an alert.
        InWords = "",
    }
}

impl End {
    /// Absent when the connection did not end.
    fn of(reactions: &[Reaction]) -> Option<Self> {
        let last = reactions.last().filter(|reaction| reaction.kind.ends_connection())?;
        Some(match (&last.detail, last.kind) {
            (Some(words), _) => Self::InWords(words.clone()),
            (None, ReactionKind::Closed) => Self::Fin,
            (None, _) => Self::Rst,
        })
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: text-connect, text-publish, split, fragmented, joined, no-subprotocol, other-subprotocol, long-frame, cut-packet, unmasked, reserved-opcode, reserved-bit, impossible-length [default: all but impossible-length]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Text frames, split packets, a missing sub-protocol, forbidden frames: what does the broker take?";
    const LONG_ABOUT: &'static str = "Needs a broker over WebSocket (--ws, or a URL with ws:// or wss://). Sends packets in text \
         frames, on which the broker must close [MQTT-6.0.0-1]; in frames that do not end where packets end, which the broker must \
         take [MQTT-6.0.0-2]; asks for WebSocket without the sub-protocol mqtt, or with another one [MQTT-6.0.0-4]; and sends \
         frames that are unfinished or that RFC 6455 forbids. A client whose legal frames are not accepted is compared with one \
         that sends the same packets in whole frames. What only RFC 6455 forbids is a note. The frame of impossible-length \
         ends some brokers, so it is sent only by name.";
    const CHECKS: &'static [&'static [Check]] = &[websocket_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "5")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, and the one in whole frames before it, which the broker may not have closed yet.
        ConnectionsOf::EachClient(2)
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let newest = spoken.iter().max().copied();
        let mut variants = chosen(&Variant::ALL, &self.variant);
        // It ends some brokers, and with them the run: only by name.
        if self.variant.is_empty() {
            variants.retain(|variant| *variant != Variant::ImpossibleLength);
        }
        each_case(&variants, spoken, |variant, version| {
            // Elsewhere, the packets of both versions are the same for what looks at frames.
            let is_needed = matches!(variant.group(), Group::Text | Group::Legal) || Some(version) == newest;
            is_needed.then_some(UnusualWebSocket { variant, version })
        })
    }
}

/// A connection over WebSocket with these frames.
#[derive(Clone, Copy, Debug)]
struct UnusualWebSocket {
    variant: Variant,
    version: ProtocolVersion,
}

impl Fault for UnusualWebSocket {
    fn case(&self) -> Case {
        Case::new(ID, self.variant, self.version)
    }

    fn describe(&self) -> String {
        self.variant.describe().to_owned()
    }

    fn unsupported_reason(&self, _offers: Offers, transport: &Transport) -> Option<String> {
        transport.websocket.is_none().then(|| {
            "the connections are without WebSocket; give --ws, or a URL with ws:// or wss://".to_owned()
        })
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl UnusualWebSocket {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        match (self.variant.group(), self.variant) {
            (Group::Subprotocol, _) => self.ask_for_websocket(stage, log).await,
            (Group::Legal, _) => self.take_the_place_of_whole_frames(stage, log).await,
            (Group::Unfinished, _) | (_, Variant::TextConnect) => {
                let opened = prepared(stage, open(stage, self.version, &stage.options)).await?;
                log.established(opened.1);
                self.send_connect(stage, log, opened.0).await
            }
            (Group::Text | Group::Forbidden, _) => self.publish(stage, log).await,
        }
    }

    fn connect_packet(&self, stage: &Stage, client_id: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let connect = Client::honest_connect(client_id, &stage.credentials);
        encode_connect(&connect, self.version, PACKET_BYTES_MAX, &mut bytes)
            .map_err(|error| format!("CONNECT can't be encoded: {error}"))?;
        Ok(bytes)
    }

    /// A PUBLISH of QoS 1, whose PUBACK shows that it was read.
    fn publish_packet(&self, stage: &Stage, name: &str, identifier: u16) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let topic = format!("{}/websocket/{name}", stage.topic_root);
        let identifier = PacketIdentifier::new(identifier).ok_or("a Packet Identifier is not 0")?;
        Publish::new(&topic, b"in frames")
            .at_least_once(identifier)
            .encode(self.version, &mut bytes)
            .map_err(|error| format!("PUBLISH can't be encoded: {error}"))?;
        Ok(bytes)
    }

    /// Opens a connection without the right sub-protocol, and sends CONNECT if the broker accepts that.
    async fn ask_for_websocket(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let ours =
            stage.options.transport.websocket.as_ref().ok_or("the connections are without WebSocket")?;
        let protocol = (self.variant == Variant::OtherSubprotocol).then(|| NOT_MQTT.to_owned());
        let settings = WebSocketSettings { protocol, ..ours.settings().clone() };
        let websocket = WebSocket::new(&settings).map_err(|mistake| mistake.to_string())?;
        let transport = Transport { websocket: Some(websocket), ..stage.options.transport.clone() };
        let options = ConnectOptions { transport, ..stage.options.clone() };
        let asked_at = now();
        let opened = stage.unless_stopped(stage.open_with(self.version, &options)).await;
        match opened.ok_or(Unfinished::Stopped)? {
            Ok((client, established)) => {
                log.established(established);
                self.send_connect(stage, log, client).await
            }
            Err(OpenError::WebSocket(why)) => {
                log.provoked(asked_at);
                let seen = if why.kind() == std::io::ErrorKind::InvalidData {
                    // The broker accepted, and selected what was not offered: a client has to leave (RFC 6455 section 4.1).
                    log.fact(END, End::InWords(why.to_string()));
                    Observed { outcome: Some(Outcome::Left), ..Observed::default() }
                } else {
                    let (kind, detail) = (ReactionKind::Closed, Some(why.to_string()));
                    let at_us = stage.clock.now_us();
                    let refused = Reaction { kind, code: None, at_us, detail, connection: None };
                    let outcome = Some(Outcome::Closed);
                    Observed { reactions: vec![refused], outcome, ..Observed::default() }
                };
                self.conclude(stage, log, seen, Reply::Not).await;
                Ok(())
            }
            Err(error) => Err(format!("cannot connect: {error}").into()),
        }
    }

    /// Sends CONNECT in the variant's frames as the first packet.
    async fn send_connect(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        mut client: Client,
    ) -> Result<(), Unfinished> {
        let packet = self.connect_packet(stage, log.client_id())?;
        let sent = send(&mut client, &self.variant.frames(&packet)).await?;
        log.provoked(sent.at);
        let connack = stage.unless_stopped(client.await_connack(sent, stage.reaction_timeout)).await;
        let connack = connack.ok_or(Unfinished::Stopped)?;
        if let Ok((accepted, _)) = &connack {
            log.accepted(accepted.connack_at);
        }
        let watch = watch(sent.at, stage.reaction_timeout);
        // Without a CONNACK, a PINGREQ would be a violation of its own.
        let seen = if connack.is_ok() && self.variant.can_ask() {
            observe(&mut client, &stage.clock, &stage.stop, watch).await
        } else {
            observe_silently(&mut client, &stage.clock, &stage.stop, watch).await
        };
        let reply = reply(connack.err());
        self.conclude(stage, log, seen, reply).await;
        client.connection.close_properly();
        Ok(())
    }

    /// Sends PUBLISH in the variant's frames, after an ordinary CONNECT.
    async fn publish(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        qos_taken(stage, QoS::AtLeastOnce)?;
        let client_id = log.client_id().to_owned();
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let peer = prepared(stage, Peer::begin(stage, log, self.version, &connect)).await?.0;
        let mut client = peer.client;
        let packet = self.publish_packet(stage, log.name(), 1)?;
        let sent = send(&mut client, &self.variant.frames(&packet)).await?;
        log.provoked(sent.at);
        let watch = watch(sent.at, stage.reaction_timeout);
        let (seen, acknowledged) = if self.variant.can_ask() {
            let mut acknowledged = 0;
            let mut counts = |packet: &Packet<'_>| is_puback(packet, &mut acknowledged);
            let seen = observe_expecting(&mut client, &stage.clock, &stage.stop, watch, &mut counts).await;
            (seen, acknowledged)
        } else {
            (observe_silently(&mut client, &stage.clock, &stage.stop, watch).await, 0)
        };
        let reply = if acknowledged > 0 { Reply::Answered } else { Reply::Not };
        self.conclude(stage, log, seen, reply).await;
        client.connection.close_properly();
        Ok(())
    }

    /// Sends CONNECT and two PUBLISH in the variant's frames, after a client with the same packets in whole frames was served.
    async fn take_the_place_of_whole_frames(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
    ) -> Result<(), Unfinished> {
        qos_taken(stage, QoS::AtLeastOnce)?;
        let client_id = log.client_id().to_owned();
        let connect = self.connect_packet(stage, &client_id)?;
        let first = self.publish_packet(stage, log.name(), 1)?;
        let second = self.publish_packet(stage, log.name(), 2)?;
        let whole = [&first, &second].map(|packet| RawFrame::binary(&**packet));
        prepared(stage, self.be_served_in_whole_frames(stage, &connect, &whole)).await?;
        let (mut client, established) = prepared(stage, open(stage, self.version, &stage.options)).await?;
        log.established(established);
        let sent = send(&mut client, &self.variant.frames(&connect)).await?;
        log.provoked(sent.at);
        let connack = stage.unless_stopped(client.await_connack(sent, stage.reaction_timeout)).await;
        let accepted = match connack.ok_or(Unfinished::Stopped)? {
            Ok((accepted, _)) => accepted,
            Err(refused) => {
                let watch = watch(sent.at, stage.reaction_timeout);
                let seen = observe_silently(&mut client, &stage.clock, &stage.stop, watch).await;
                self.conclude(stage, log, seen, reply(Some(refused))).await;
                client.connection.close_properly();
                return Ok(());
            }
        };
        log.accepted(accepted.connack_at);
        // That the connection has ended is read next.
        let sent = client.connection.send_frames(&self.variant.frames_of_two(&first, &second)).await;
        let sent_at = sent.map_or_else(|_ended| now(), |sent| sent.at);
        log.provoked(sent_at);
        let mut acknowledged = 0;
        let mut counts = |packet: &Packet<'_>| is_puback(packet, &mut acknowledged);
        let watch = watch(sent_at, stage.reaction_timeout);
        let seen = observe_expecting(&mut client, &stage.clock, &stage.stop, watch, &mut counts).await;
        let reply = if acknowledged >= 2 { Reply::Answered } else { Reply::Not };
        self.conclude(stage, log, seen, reply).await;
        client.leave().await;
        Ok(())
    }

    /// # Errors
    /// A message for the user when the broker does not accept or answer a client whose packets are in a frame each.
    async fn be_served_in_whole_frames(
        &self,
        stage: &Stage,
        connect: &[u8],
        publishes: &[RawFrame],
    ) -> Result<(), String> {
        let not_served = |why: String| format!("the same client in whole frames: {why}");
        let (mut client, _) = open(stage, self.version, &stage.options).await?;
        let sent = send(&mut client, &[RawFrame::binary(connect)]).await?;
        let within = stage.options.connect_timeout;
        let accepted = client.await_connack(sent, within).await;
        let (accepted, _) = accepted.map_err(|refused| not_served(refused.to_string()))?;
        let mut peer = Peer::accepted(client, &accepted);
        send(&mut peer.client, publishes).await?;
        for (identifier, _) in (1..).zip(publishes) {
            peer.await_end_of(identifier, within).await.map_err(not_served)?;
        }
        peer.client.leave_and_await_close().await;
        Ok(())
    }

    async fn conclude(&self, stage: &Stage, log: &mut AttemptLog<'_>, seen: Observed, reply: Reply) {
        if seen.stalled {
            log.trouble(STALLED);
        }
        let end = End::of(&seen.reactions);
        let outcome = confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await.outcome;
        if outcome.is_evidence() {
            log.fact(ANSWER, reply);
            if let Some(end) = end {
                log.fact(END, end);
            }
        }
    }
}

async fn open(
    stage: &Stage,
    version: ProtocolVersion,
    options: &ConnectOptions,
) -> Result<(Client, ungraceful_wire::Established), String> {
    stage.open_with(version, options).await.map_err(|error| format!("cannot connect: {error}"))
}

async fn send(client: &mut Client, frames: &[RawFrame]) -> Result<ungraceful_wire::Sent, String> {
    let sent = client.connection.send_frames(frames).await;
    sent.map_err(|_ended| "the connection ended before the frames were sent".to_owned())
}

/// The answer to a CONNECT; an accepted one when absent.
fn reply(refused: Option<NotConnected>) -> Reply {
    match refused {
        None => Reply::Answered,
        Some(refused @ NotConnected::Refused { .. }) => Reply::Refused(refusal(&refused)),
        Some(_) => Reply::Not,
    }
}

/// Counts a PUBACK.
fn is_puback(packet: &Packet<'_>, acknowledged: &mut u32) -> bool {
    let is_one = matches!(packet, Packet::PubAck(_));
    *acknowledged += u32::from(is_one);
    is_one
}
