//! A client that obeys the protocol while a fault is prepared or its consequences are examined: it subscribes, publishes with
//! the whole handshake, receives messages, and acknowledges them or not as configured.

use std::future::ready;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{
    Ack, Connect, Packet, PacketIdentifier, PacketType, Properties, ProtocolVersion, Publish, QoS, Subscribe,
    Subscription,
};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::{Accepted, Client, NotConnected};
use ungraceful_rig::attempts::discarded;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, EndKind, ReceivedPacket, Unframed};

use crate::ending::refusal;
use crate::numbered::{payload, read_payload};
use crate::pinging::Pinging;

/// How many packets are still read after the deadline, because they may have been ready while our own thread was late. A broker
/// that never stops sending can't keep the client waiting.
const OVERDUE_MAX: u32 = 64;
/// The most messages kept of one client at a time, each of 48 bytes: more than any fault has in flight.
const KEPT_MAX: usize = 8_192;

/// Keeps a message; when there are too many already, counts it as discarded by this process.
pub(crate) fn keep(came: &mut Vec<Delivered>, message: Delivered) {
    if came.len() < KEPT_MAX {
        came.push(message);
    } else {
        discarded::count_messages(1);
    }
}

/// An Application Message as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Packet Identifier; absent at QoS 0.
    pub(crate) identifier: Option<u16>,
    /// DUP.
    pub(crate) dup: bool,
    /// QoS.
    pub(crate) qos: QoS,
    /// Its sequence number; absent for a foreign message.
    pub(crate) sequence: Option<u64>,
    /// When its last byte arrived.
    pub(crate) at: Instant,
}

/// An event on the connection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message.
    Delivered(Delivered),
    /// The last acknowledgement of a PUBLISH (PUBACK, PUBCOMP, or a PUBREC that refuses).
    Finished {
        /// Packet Identifier.
        identifier: u16,
        /// Reason Code; 0 on MQTT 3.1.1.
        code: u8,
    },
    /// A PUBREC that accepts a QoS 2 PUBLISH.
    Received {
        /// Packet Identifier.
        identifier: u16,
    },
    /// SUBACK with the first code.
    Granted(u8),
    /// PINGRESP.
    Pong,
    /// DISCONNECT.
    Disconnect(u8),
    /// The connection ended.
    Ended {
        /// How.
        how: EndKind,
        /// When.
        at: Instant,
    },
    /// Bytes that can't be framed as packets; nothing is read after them.
    NotTakenIn(Unframed),
    /// Anything else.
    Other,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its connection.
    pub(crate) client: Client,
    /// Whether messages are acknowledged on arrival.
    pub(crate) acknowledges: bool,
    /// Whether PUBREC is answered with PUBREL.
    pub(crate) releases: bool,
    last_identifier: PacketIdentifier,
    /// When the next PINGREQ is due; [`Self::next_alive`] sends it.
    pub(crate) pinging: Pinging,
    /// Bytes to send before anything else is read, such as acknowledgements.
    pub(crate) outbox: Vec<u8>,
    /// How many bytes of the outbox were sent.
    written: usize,
    /// Messages that came while the client waited for something else.
    set_aside: Vec<Delivered>,
    /// How many events in a row came after their deadline.
    overdue: u32,
    /// The broker's DISCONNECT: its Reason Code, and when it came.
    pub(crate) disconnected: Option<(u8, Instant)>,
    /// How and when the connection ended; absent while it is open.
    pub(crate) ended: Option<(EndKind, Instant)>,
}

impl Peer {
    /// A client that has not sent CONNECT, or whose CONNECT was accepted.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            acknowledges: true,
            releases: true,
            pinging: Pinging::unasked(),
            last_identifier: PacketIdentifier::MAX,
            outbox: Vec::new(),
            written: 0,
            set_aside: Vec::new(),
            overdue: 0,
            disconnected: None,
            ended: None,
        }
    }

    /// A client whose CONNECT was accepted just now.
    pub(crate) fn accepted(client: Client, accepted: &Accepted) -> Self {
        Self { pinging: Pinging::new(accepted), ..Self::new(client) }
    }

    /// Opens a connection and logs it.
    ///
    /// # Errors
    /// A message for the user when the connection fails.
    pub(crate) async fn open(
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
    ) -> Result<Self, String> {
        let opened = stage.open(version).await;
        let (client, established) = opened.map_err(|error| format!("cannot connect: {error}"))?;
        log.established(established);
        Ok(Self::new(client))
    }

    /// Opens a connection, sends this CONNECT, and logs both.
    ///
    /// # Errors
    /// A message for the user when the connection fails or the broker refuses.
    pub(crate) async fn begin(
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
        connect: &Connect<'_>,
    ) -> Result<(Self, Accepted), String> {
        let mut peer = Self::open(stage, log, version).await?;
        let accepted = peer.be_accepted(stage, log, connect).await.map_err(|error| error.to_string())?;
        Ok((peer, accepted))
    }

    /// Sends this CONNECT, and logs when it was accepted.
    ///
    /// # Errors
    /// When it was not accepted.
    pub(crate) async fn be_accepted(
        &mut self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        connect: &Connect<'_>,
    ) -> Result<Accepted, NotConnected> {
        let accepted = self.client.connect(connect, stage.options.connect_timeout).await?;
        log.accepted(accepted.connack_at);
        self.pinging = Pinging::new(&accepted);
        Ok(accepted)
    }

    /// Opens a connection that is not logged, and sends this CONNECT.
    ///
    /// # Errors
    /// A message for the user when the connection fails or the broker refuses.
    pub(crate) async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        connect: &Connect<'_>,
    ) -> Result<(Self, Accepted), String> {
        Self::connect_or(stage, version, connect, ToString::to_string).await
    }

    /// As [`Self::connect`]; describes a refusal by [`refusal`].
    pub(crate) async fn come_back(
        stage: &Stage,
        version: ProtocolVersion,
        connect: &Connect<'_>,
    ) -> Result<(Self, Accepted), String> {
        Self::connect_or(stage, version, connect, refusal).await
    }

    async fn connect_or(
        stage: &Stage,
        version: ProtocolVersion,
        connect: &Connect<'_>,
        in_words: fn(&NotConnected) -> String,
    ) -> Result<(Self, Accepted), String> {
        let opened = stage.open(version).await;
        let (mut client, _) = opened.map_err(|error| format!("cannot connect: {error}"))?;
        let accepted = client.connect(connect, stage.options.connect_timeout).await;
        let accepted = accepted.map_err(|refused| in_words(&refused))?;
        Ok((Self::accepted(client, &accepted), accepted))
    }

    fn version(&self) -> ProtocolVersion {
        self.client.version
    }

    fn next_identifier(&mut self) -> PacketIdentifier {
        self.last_identifier = self.last_identifier.next();
        self.last_identifier
    }

    /// Takes the messages that came while the client waited for something else.
    pub(crate) fn take_set_aside(&mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.set_aside)
    }

    /// Sends the outbox. Cancel-safe. That the connection has ended shows on the next read.
    pub(crate) async fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let sent = self.client.connection.send_while_receiving(&self.outbox, &mut self.written);
            let _ended = sent.await;
            self.outbox.clear();
            self.written = 0;
        }
    }

    /// Waits for the next event. Sends the outbox first.
    pub(crate) async fn next(&mut self) -> Event {
        self.flush().await;
        match self.client.connection.next().await {
            Arrival::Packet(packet) => self.take(&packet),
            Arrival::Unframeable { why, .. } => Event::NotTakenIn(why),
            Arrival::End(end) => {
                self.ended.get_or_insert((end.how, end.at));
                Event::Ended { how: end.how, at: end.at }
            }
        }
    }

    /// The next event before `deadline`; absent when none comes, or when they keep coming well after it.
    pub(crate) async fn next_before(&mut self, deadline: Instant) -> Option<Event> {
        self.overdue = if now() < deadline { 0 } else { self.overdue + 1 };
        if self.overdue > OVERDUE_MAX {
            return None;
        }
        tokio::select! {
            biased;
            event = self.next() => Some(event),
            () = sleep_until(TokioInstant::from_std(deadline)) => None,
        }
    }

    /// As [`Self::next_before`], and sends PINGREQ when due.
    pub(crate) async fn next_alive(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            let event = self.next_before(self.pinging.due_at().min(deadline)).await;
            if event.is_some() || now() >= deadline {
                return event;
            }
            self.ping_when_due().await;
        }
    }

    /// Sends PINGREQ if one is due. That the connection has ended shows on the next read.
    async fn ping_when_due(&mut self) {
        if self.pinging.is_due() {
            let _ended = self.client.ping().await;
        }
    }

    /// Receives until `deadline`, or until `enough`; false when the broker ended the connection before. Sends PINGREQ when
    /// due.
    pub(crate) async fn deliveries_until(
        &mut self,
        deadline: Instant,
        came: &mut Vec<Delivered>,
        enough: impl Fn(&[Delivered]) -> bool,
    ) -> bool {
        came.append(&mut self.set_aside);
        while !enough(came) {
            match self.next_alive(deadline).await {
                Some(Event::Delivered(message)) => keep(came, message),
                Some(Event::Ended { .. } | Event::Disconnect(_)) => return false,
                Some(_) => {}
                None => break,
            }
        }
        true
    }

    /// Stays connected until its attempt is due: true then, false when the run stops first. Passes messages to `take`.
    ///
    /// # Errors
    /// The event that ended the connection, or the broker's DISCONNECT.
    pub(crate) async fn wait_for_turn(
        &mut self,
        log: &mut AttemptLog<'_>,
        mut take: impl FnMut(Delivered),
    ) -> Result<bool, Event> {
        loop {
            let ping_at = TokioInstant::from_std(self.pinging.due_at());
            tokio::select! {
                biased;
                is_due = log.turn() => return Ok(is_due),
                event = self.next() => match event {
                    Event::Delivered(message) => take(message),
                    Event::Ended { .. } | Event::Disconnect(_) => return Err(event),
                    _ => {}
                },
                () = sleep_until(ping_at) => {}
            }
            self.ping_when_due().await;
        }
    }

    fn take(&mut self, packet: &ReceivedPacket) -> Event {
        let version = self.version();
        match packet.frame().decode(version).packet {
            Packet::Publish(publish) => {
                let identifier = publish.packet_identifier.and_then(PacketIdentifier::new);
                if let (true, Some(identifier)) = (self.acknowledges, identifier) {
                    let acknowledgement = match publish.qos {
                        QoS::ExactlyOnce => Packet::PubRec(Ack::new(identifier)),
                        _ => Packet::PubAck(Ack::new(identifier)),
                    };
                    self.owe(&acknowledgement);
                }
                Event::Delivered(Delivered {
                    identifier: publish.packet_identifier,
                    dup: publish.dup,
                    qos: publish.qos,
                    sequence: read_payload(publish.payload),
                    at: packet.complete_at,
                })
            }
            Packet::PubRel(ack) => {
                if let (true, Some(identifier)) =
                    (self.acknowledges, PacketIdentifier::new(ack.packet_identifier))
                {
                    self.owe(&Packet::PubComp(Ack::new(identifier)));
                }
                Event::Other
            }
            Packet::PubRec(ack) if !ack.reason_code.is_error() => {
                if let (true, Some(identifier)) =
                    (self.releases, PacketIdentifier::new(ack.packet_identifier))
                {
                    self.owe(&Packet::PubRel(Ack::new(identifier)));
                }
                Event::Received { identifier: ack.packet_identifier }
            }
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                Event::Finished { identifier: ack.packet_identifier, code: ack.reason_code.0 }
            }
            Packet::SubAck(suback) => Event::Granted(suback.reason_codes.first().copied().unwrap_or(0x80)),
            Packet::PingResp => Event::Pong,
            Packet::Disconnect(disconnect) => {
                let code = disconnect.reason_code.0;
                self.disconnected = Some((code, packet.first_byte_at));
                Event::Disconnect(code)
            }
            _ => Event::Other,
        }
    }

    fn owe(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version(), &mut self.outbox).expect("an acknowledgement without a code is legal");
    }

    /// Subscribes to `filter`; returns the QoS that was granted.
    ///
    /// # Errors
    /// A message for the user when the broker refuses, is silent or ends the connection.
    pub(crate) async fn subscribe(
        &mut self,
        filter: &str,
        qos: QoS,
        within: Duration,
    ) -> Result<QoS, String> {
        self.send_subscribe(&[Subscription::new(filter, qos)]).await?;
        let code = self.await_answer("SUBACK", within, |event| match event {
            Event::Granted(code) => Some(*code),
            _ => None,
        });
        let code = code.await?;
        QoS::try_from(code).map_err(|_| format!("the broker refused the SUBSCRIBE (0x{code:02X})"))
    }

    /// Publishes message `sequence` and waits for the end of its handshake; returns the Reason Code (0 at QoS 0).
    ///
    /// # Errors
    /// A message for the user when the broker is silent or ends the connection.
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        qos: QoS,
        sequence: u64,
        within: Duration,
    ) -> Result<u8, String> {
        match self.send_publish(topic, qos, sequence, None).await? {
            _ if qos == QoS::AtMostOnce => Ok(0),
            identifier => self.await_end_of(identifier, within).await,
        }
    }

    /// Waits for the last acknowledgement of the PUBLISH with this Packet Identifier; returns its Reason Code.
    pub(crate) async fn await_end_of(&mut self, publish: u16, within: Duration) -> Result<u8, String> {
        let finished = self.await_answer("acknowledgement", within, |event| match event {
            Event::Finished { identifier, code } if *identifier == publish => Some(*code),
            _ => None,
        });
        finished.await
    }

    /// Publishes message `sequence` without waiting; returns the Packet Identifier (0 at QoS 0). With `again`, repeats
    /// the message with that Packet Identifier and DUP.
    ///
    /// # Errors
    /// A message for the user when the connection has ended.
    pub(crate) async fn send_publish(
        &mut self,
        topic: &str,
        qos: QoS,
        sequence: u64,
        again: Option<u16>,
    ) -> Result<u16, String> {
        let payload = payload(sequence);
        let identifier = match again.and_then(PacketIdentifier::new) {
            Some(identifier) => identifier,
            None => self.next_identifier(),
        };
        let publish = Publish { dup: again.is_some(), ..Publish::new(topic, &payload) };
        let publish = match qos {
            QoS::AtMostOnce => publish,
            QoS::AtLeastOnce => publish.at_least_once(identifier),
            QoS::ExactlyOnce => publish.exactly_once(identifier),
        };
        self.send_packet(&Packet::Publish(publish)).await?;
        Ok(publish.packet_identifier.unwrap_or(0))
    }

    /// Waits for PUBREC to `publish`.
    ///
    /// # Errors
    /// A message for the user when the broker refuses, is silent or ends the connection.
    pub(crate) async fn received(&mut self, publish: u16, within: Duration) -> Result<(), String> {
        let answer = self.await_answer("PUBREC", within, |event| match event {
            Event::Received { identifier } if *identifier == publish => Some(None),
            Event::Finished { identifier, code } if *identifier == publish => Some(Some(*code)),
            _ => None,
        });
        answer.await?.map_or(Ok(()), |code| Err(format!("the broker refused the PUBLISH (0x{code:02X})")))
    }

    /// Publishes `payload` with RETAIN at the highest QoS up to 1 that the broker supports, and waits for its acknowledgement.
    /// An empty payload removes the retained message.
    ///
    /// # Errors
    /// A message for the user when the broker refuses, is silent or ends the connection.
    pub(crate) async fn retain(&mut self, stage: &Stage, topic: &str, payload: &[u8]) -> Result<(), String> {
        let identifier = self.next_identifier();
        let publish = Publish { retain: true, ..Publish::new(topic, payload) };
        let is_acknowledged = stage.maximum_qos > QoS::AtMostOnce;
        let publish = if is_acknowledged { publish.at_least_once(identifier) } else { publish };
        self.send_packet(&Packet::Publish(publish)).await?;
        if !is_acknowledged {
            return Ok(());
        }
        match self.await_end_of(identifier.get(), stage.reaction_timeout).await? {
            code if code < 0x80 => Ok(()),
            code => Err(format!("the broker refused it (0x{code:02X})")),
        }
    }

    /// Subscribes to `topic`, and after it to `beacon`, which has a retained message, and returns the retained message of
    /// `topic`; absent when none came within `within` of the SUBACK although the beacon's did: the standard sets no time for
    /// retained messages.
    ///
    /// # Errors
    /// A message for the user when the broker refuses, is silent, ends the connection, or does not send the beacon's either.
    pub(crate) async fn retained(
        &mut self,
        stage: &Stage,
        topic: &str,
        beacon: &str,
        within: Duration,
    ) -> Result<Option<Vec<u8>>, String> {
        let filters = [Subscription::new(topic, QoS::AtMostOnce), Subscription::new(beacon, QoS::AtMostOnce)];
        self.send_subscribe(&filters).await?;
        let mut deadline = now() + stage.options.connect_timeout;
        let (mut saw_beacon, mut overdue) = (false, 0);
        loop {
            // As in `next_before`.
            overdue += u32::from(now() >= deadline);
            let arrival = tokio::select! {
                biased;
                () = ready(()), if overdue > OVERDUE_MAX => {
                    return Err("the broker never stops sending".to_owned());
                }
                arrival = self.client.connection.next() => arrival,
                () = sleep_until(TokioInstant::from_std(deadline)) => {
                    let late = || "no retained message came in time, not even the one that is known to exist".to_owned();
                    return saw_beacon.then_some(None).ok_or_else(late);
                }
            };
            let Arrival::Packet(packet) = arrival else {
                return Err("the broker ended the connection after SUBSCRIBE".to_owned());
            };
            match packet.frame().decode(self.version()).packet {
                Packet::Publish(publish) if publish.retain && publish.topic == beacon => saw_beacon = true,
                Packet::Publish(publish) if publish.retain => return Ok(Some(publish.payload.to_vec())),
                Packet::SubAck(suback) if suback.reason_codes.iter().any(|code| *code >= 0x80) => {
                    return Err("the broker refused the SUBSCRIBE".to_owned());
                }
                Packet::SubAck(_) => deadline = now() + within,
                _ => {}
            }
        }
    }

    /// Whether the broker answers a PINGREQ within `within`.
    pub(crate) async fn is_served(&mut self, within: Duration) -> bool {
        let answered = self.client.ping().await.is_ok();
        answered
            && self
                .await_answer("PINGRESP", within, |event| matches!(event, Event::Pong).then_some(()))
                .await
                .is_ok()
    }

    async fn send_subscribe(&mut self, filters: &[Subscription<'_>]) -> Result<(), String> {
        let identifier = self.next_identifier();
        self.send_packet(&Packet::Subscribe(Subscribe::new(identifier, filters))).await
    }

    async fn send_packet(&mut self, packet: &Packet<'_>) -> Result<(), String> {
        let name = packet.packet_type().map_or("the packet", PacketType::name);
        let mut bytes = Vec::new();
        packet
            .encode(self.version(), &mut bytes)
            .map_err(|error| format!("cannot encode {name}: {error}"))?;
        let sent = self.client.connection.send(&bytes).await;
        sent.map(|_| ()).map_err(|error| format!("{name} could not be sent: {error}"))
    }

    /// Waits for the event that `is_it` recognises, for `within` at most. Sets aside messages that come before it.
    ///
    /// # Errors
    /// A message for the user, with the `name` of the answer, when it does not come.
    async fn await_answer<T>(
        &mut self,
        name: &str,
        within: Duration,
        is_it: impl Fn(&Event) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = now() + within;
        loop {
            let Some(event) = self.next_before(deadline).await else {
                return Err(format!("no {name} within {}", span(within)));
            };
            if let Some(answer) = is_it(&event) {
                return Ok(answer);
            }
            match event {
                Event::Delivered(delivered) => keep(&mut self.set_aside, delivered),
                Event::Ended { .. } => {
                    return Err(format!("the broker ended the connection before the {name}"));
                }
                Event::NotTakenIn(why) => return Err(format!("the broker sent {why} before the {name}")),
                Event::Disconnect(code) => {
                    return Err(format!("the broker sent DISCONNECT 0x{code:02X} before the {name}"));
                }
                _ => {}
            }
        }
    }

    /// Disconnects and leaves no session behind: by its DISCONNECT on MQTT 5.0, by another clean session on 3.1.1.
    pub(crate) async fn leave_nothing(self, stage: &Stage, client_id: &str) {
        let version = self.version();
        match version {
            ProtocolVersion::V5 => {
                let at_once = [ungraceful_mqtt::Property::SessionExpiryInterval(0)];
                self.client.leave_with(Properties::List(&at_once)).await;
            }
            ProtocolVersion::V3_1_1 => {
                // A broker that still held this client would see a take-over, and might publish its Will.
                self.client.leave_and_await_close().await;
                discard_session(stage, version, client_id).await;
            }
        }
    }
}

/// Removes any session of this ClientID: a client with Clean Start 1 connects and disconnects.
pub(crate) async fn discard_session(stage: &Stage, version: ProtocolVersion, client_id: &str) {
    if let Ok((mut client, _)) = stage.open(version).await {
        let connect = Client::honest_connect(client_id, &stage.credentials);
        let _nothing_left_to_do = client.connect(&connect, stage.options.connect_timeout).await;
        client.leave().await;
    }
}

/// The time from SYN to CONNACK of a well-behaved client, which then disconnects; or a message for the user.
pub(crate) async fn honest_connack_time(
    stage: &Stage,
    version: ProtocolVersion,
    client_id: &str,
) -> Result<Duration, String> {
    let began = now();
    let (mut client, _) = stage.open(version).await.map_err(|error| format!("cannot connect: {error}"))?;
    let connect = Client::honest_connect(client_id, &stage.credentials);
    let accepted = client.connect(&connect, stage.options.connect_timeout).await;
    client.leave().await;
    let accepted = accepted.map_err(|error| error.to_string())?;
    Ok(accepted.connack_at.saturating_duration_since(began))
}

#[cfg(test)]
mod tests;
