//! A client that keeps the protocol while a fault is being prepared, or while its consequences are looked into:
//! subscribes, publishes with the whole handshake, takes deliveries, and acknowledges them or not as it is told.

use std::future::ready;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{
    Ack, Connect, Packet, PacketIdentifier, Properties, ProtocolVersion, Publish, QoS, Subscribe,
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

/// What is still taken when the time to wait is over: what lay ready while our own thread was late. A broker that never
/// stops sending does not keep the client waiting for ever.
const OVERDUE_MAX: u32 = 64;
/// Messages that are kept of one client at the same time, each of 48 bytes: more than any fault has under way.
const KEPT_MAX: usize = 8_192;

/// Keeps a message, unless there are too many already: then it is counted among what this process passed over.
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
    /// The number it was sent under; absent for a message that is none of ours.
    pub(crate) sequence: Option<u64>,
    /// When it was complete.
    pub(crate) at: Instant,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message.
    Delivered(Delivered),
    /// The acknowledgement that ends a PUBLISH of ours (PUBACK, PUBCOMP, or a PUBREC that refuses).
    Finished {
        /// Packet Identifier.
        identifier: u16,
        /// Reason Code; 0 on MQTT 3.1.1.
        code: u8,
    },
    /// PUBREC that takes a QoS 2 PUBLISH of ours.
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
    /// What is not taken in as packets, nor anything after it.
    NotTakenIn(Unframed),
    /// Anything else.
    Other,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its connection.
    pub(crate) client: Client,
    /// Whether deliveries are acknowledged as they come.
    pub(crate) acknowledges: bool,
    /// Whether PUBREC is answered by PUBREL.
    pub(crate) releases: bool,
    last_identifier: PacketIdentifier,
    /// When the client is to show that it is alive: [`Self::next_alive`] does.
    pub(crate) pinging: Pinging,
    /// What waits to be sent before anything else is read, as acknowledgements do.
    pub(crate) outbox: Vec<u8>,
    /// Bytes of the outbox that were sent.
    written: usize,
    /// What came while something else was waited for.
    set_aside: Vec<Delivered>,
    /// Things that came after the time to wait for them, in a row.
    overdue: u32,
    /// The broker's DISCONNECT: its Reason Code, and when it came.
    pub(crate) disconnected: Option<(u8, Instant)>,
    /// How and when the connection ended; absent while it is open.
    pub(crate) ended: Option<(EndKind, Instant)>,
}

impl Peer {
    /// A client whose CONNECT is yet to be sent, or has been accepted.
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

    /// Opens a connection, and tells the attempt of it.
    ///
    /// # Errors
    /// In words, when there is no connection.
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

    /// Opens a connection, sends this CONNECT, and tells the attempt of both.
    ///
    /// # Errors
    /// In words, when there is no connection or the broker refuses.
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

    /// Sends this CONNECT, and tells the attempt when it was accepted.
    ///
    /// # Errors
    /// When it was not.
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

    /// Opens a connection of which no attempt tells, and sends this CONNECT.
    ///
    /// # Errors
    /// In words, when there is no connection or the broker refuses.
    pub(crate) async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        connect: &Connect<'_>,
    ) -> Result<(Self, Accepted), String> {
        Self::connect_or(stage, version, connect, ToString::to_string).await
    }

    /// As [`Self::connect`]; a refusal is told in the words of [`refusal`].
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

    /// What came while something else was waited for, taken out.
    pub(crate) fn take_set_aside(&mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.set_aside)
    }

    /// Sends what is owed. Nothing is lost when the returned future is dropped; that the connection has ended is read next.
    pub(crate) async fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let sent = self.client.connection.send_while_receiving(&self.outbox, &mut self.written);
            let _ended = sent.await;
            self.outbox.clear();
            self.written = 0;
        }
    }

    /// Waits for the next thing that comes. Acknowledgements that are owed go out first.
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

    /// The next thing that comes before `deadline`; absent when nothing does, or when things still come well after it.
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

    /// As [`Self::next_before`], of a client that shows meanwhile that it is alive.
    pub(crate) async fn next_alive(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            let event = self.next_before(self.pinging.due_at().min(deadline)).await;
            if event.is_some() || now() >= deadline {
                return event;
            }
            self.show_that_it_is_alive().await;
        }
    }

    /// Sends PINGREQ where one is due. That the connection has ended is read next.
    async fn show_that_it_is_alive(&mut self) {
        if self.pinging.is_due() {
            let _ended = self.client.ping().await;
        }
    }

    /// Takes what comes until `deadline`, or until `enough`; false when the broker ended the connection before. Shows
    /// meanwhile that the client is alive.
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

    /// Is a client that is there until its attempt is due: true then, false when the run stops first. What it is sent is
    /// for `take`.
    ///
    /// # Errors
    /// What ended the connection, or told the client to go.
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
            self.show_that_it_is_alive().await;
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

    /// Subscribes to `filter` and tells the QoS that was granted.
    ///
    /// # Errors
    /// In words, when the broker refuses, is silent or ends the connection.
    pub(crate) async fn subscribe(
        &mut self,
        filter: &str,
        qos: QoS,
        within: Duration,
    ) -> Result<QoS, String> {
        let filters = [Subscription::new(filter, qos)];
        let mut bytes = Vec::new();
        Subscribe::new(self.next_identifier(), &filters)
            .encode(self.version(), &mut bytes)
            .map_err(|error| format!("cannot encode SUBSCRIBE: {error}"))?;
        self.send(&bytes, "SUBSCRIBE").await?;
        let deadline = now() + within;
        loop {
            match self.next_before(deadline).await {
                Some(Event::Granted(code)) => {
                    return QoS::try_from(code)
                        .map_err(|_| format!("the broker refused the SUBSCRIBE (0x{code:02X})"));
                }
                Some(event) => self.pass(event, "SUBSCRIBE")?,
                None => return Err(format!("no SUBACK within {}", span(within))),
            }
        }
    }

    /// Publishes message `sequence` and waits for the end of its handshake; tells the Reason Code (0 at QoS 0).
    ///
    /// # Errors
    /// In words, when the broker is silent or ends the connection.
    pub(crate) async fn publish(
        &mut self,
        topic: &str,
        qos: QoS,
        sequence: u64,
        within: Duration,
    ) -> Result<u8, String> {
        let identifier = self.send_publish(topic, qos, sequence, None).await?;
        if qos == QoS::AtMostOnce {
            return Ok(0);
        }
        let deadline = now() + within;
        loop {
            match self.next_before(deadline).await {
                Some(Event::Finished { identifier: finished, code }) if finished == identifier => {
                    return Ok(code);
                }
                Some(event) => self.pass(event, "PUBLISH")?,
                None => {
                    return Err(format!(
                        "PUBLISH at QoS {} not acknowledged within {}",
                        qos.level(),
                        span(within)
                    ));
                }
            }
        }
    }

    /// Publishes message `sequence` and waits for nothing; tells the Packet Identifier (0 at QoS 0). With `again`,
    /// repeats one with that Packet Identifier and DUP.
    ///
    /// # Errors
    /// In words, when the connection has ended.
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
        let mut bytes = Vec::new();
        publish
            .encode(self.version(), &mut bytes)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        self.send(&bytes, "PUBLISH").await?;
        Ok(publish.packet_identifier.unwrap_or(0))
    }

    /// Waits for PUBREC to `identifier`.
    ///
    /// # Errors
    /// In words, when the broker refuses, is silent or ends the connection.
    pub(crate) async fn received(&mut self, identifier: u16, within: Duration) -> Result<(), String> {
        let deadline = now() + within;
        loop {
            match self.next_before(deadline).await {
                Some(Event::Received { identifier: received }) if received == identifier => return Ok(()),
                Some(Event::Finished { identifier: refused, code }) if refused == identifier => {
                    return Err(format!("the broker refused the PUBLISH (0x{code:02X})"));
                }
                Some(event) => self.pass(event, "PUBREC")?,
                None => return Err(format!("no PUBREC within {}", span(within))),
            }
        }
    }

    /// Publishes `payload` with RETAIN at the highest QoS up to 1 that the broker takes, and waits for its acknowledgement.
    /// An empty one removes what is retained.
    ///
    /// # Errors
    /// In words, when the broker refuses, is silent or ends the connection.
    pub(crate) async fn retain(&mut self, stage: &Stage, topic: &str, payload: &[u8]) -> Result<(), String> {
        let identifier = self.next_identifier();
        let publish = Publish { retain: true, ..Publish::new(topic, payload) };
        let is_acknowledged = stage.maximum_qos > QoS::AtMostOnce;
        let publish = if is_acknowledged { publish.at_least_once(identifier) } else { publish };
        let mut bytes = Vec::new();
        publish
            .encode(self.version(), &mut bytes)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        self.send(&bytes, "PUBLISH").await?;
        if !is_acknowledged {
            return Ok(());
        }
        let deadline = now() + stage.reaction_timeout;
        loop {
            match self.next_before(deadline).await {
                Some(Event::Finished { identifier: finished, code })
                    if Some(finished) == publish.packet_identifier =>
                {
                    return if code < 0x80 {
                        Ok(())
                    } else {
                        Err(format!("the broker refused it (0x{code:02X})"))
                    };
                }
                Some(event) => self.pass(event, "PUBLISH")?,
                None => return Err(format!("not acknowledged within {}", span(stage.reaction_timeout))),
            }
        }
    }

    /// Subscribes to `topic`, and after it to `beacon`, on which something is known to be retained, and tells the retained
    /// message that comes of `topic`; absent when none came within `within` of the SUBACK although the beacon's did: no
    /// time is set in which a broker has to send what is retained.
    ///
    /// # Errors
    /// In words, when the broker refuses, is silent or ends the connection, or sends nothing of the beacon either.
    pub(crate) async fn retained(
        &mut self,
        stage: &Stage,
        topic: &str,
        beacon: &str,
        within: Duration,
    ) -> Result<Option<Vec<u8>>, String> {
        let filters = [Subscription::new(topic, QoS::AtMostOnce), Subscription::new(beacon, QoS::AtMostOnce)];
        let mut bytes = Vec::new();
        Subscribe::new(self.next_identifier(), &filters)
            .encode(self.version(), &mut bytes)
            .map_err(|error| format!("cannot encode SUBSCRIBE: {error}"))?;
        self.send(&bytes, "SUBSCRIBE").await?;
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
                    let late = || "nothing retained was sent in time, not even what is known to be".to_owned();
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
        if self.client.ping().await.is_err() {
            return false;
        }
        let deadline = now() + within;
        loop {
            match self.next_before(deadline).await {
                Some(Event::Pong) => return true,
                Some(event) => {
                    if self.pass(event, "PINGRESP").is_err() {
                        return false;
                    }
                }
                None => return false,
            }
        }
    }

    async fn send(&mut self, bytes: &[u8], what: &str) -> Result<(), String> {
        let sent = self.client.connection.send(bytes).await;
        sent.map(|_| ()).map_err(|error| format!("{what} could not be sent: {error}"))
    }

    /// What came while something else was waited for.
    fn pass(&mut self, event: Event, awaited: &str) -> Result<(), String> {
        match event {
            Event::Delivered(delivered) => keep(&mut self.set_aside, delivered),
            Event::Ended { .. } => {
                return Err(format!("the broker ended the connection before {awaited} was done"));
            }
            Event::NotTakenIn(why) => return Err(format!("the broker sent {why} before {awaited} was done")),
            Event::Disconnect(code) => {
                return Err(format!("the broker sent DISCONNECT 0x{code:02X} before {awaited} was done"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Leaves and has no session kept: by its DISCONNECT on MQTT 5.0, by a clean session of its own on 3.1.1.
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

/// Has whatever session there is of this ClientID removed: a client with Clean Start 1 comes and goes.
pub(crate) async fn discard_session(stage: &Stage, version: ProtocolVersion, client_id: &str) {
    if let Ok((mut client, _)) = stage.open(version).await {
        let connect = Client::honest_connect(client_id, &stage.credentials);
        let _nothing_left_to_do = client.connect(&connect, stage.options.connect_timeout).await;
        client.leave().await;
    }
}

/// An honest client connects and leaves: SYN until CONNACK, or in words why there was none.
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
