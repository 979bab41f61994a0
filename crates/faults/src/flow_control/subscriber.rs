//! A subscriber of an attempt's own: it receives, keeps count of what it has not acknowledged, and acknowledges at once
//! or not at all.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use ungraceful_mqtt::{
    Ack, Connect, Packet, PacketIdentifier, Properties, Property, ProtocolVersion, QoS, Subscribe,
    Subscription,
};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::{Accepted, Client};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, ConnectOptions};

use super::fates::Fates;
use super::pinging::Pinging;
use super::seen::Seen;

/// When a subscriber acknowledges what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledging {
    /// As soon as it is there.
    AtOnce,
    /// Not yet: [`Subscriber::acknowledge`] makes up for it.
    Withheld,
    /// PUBACK and PUBREC at once, and PUBCOMP not yet, so that nothing of QoS 2 gives the quota back.
    AllButPubcomp,
}

/// How a subscriber connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connecting<'a> {
    pub(super) client_id: &'a str,
    /// Clean Start (5.0), or Clean Session (3.1.1).
    pub(super) clean_start: bool,
    /// Session Expiry Interval in seconds; absent means 0. On 3.1.1 Clean Session alone decides.
    pub(super) session_expiry_interval_s: Option<u32>,
    /// Receive Maximum; absent means 65,535. 3.1.1 has none.
    pub(super) receive_maximum: Option<u16>,
    pub(super) acknowledging: Acknowledging,
}

impl<'a> Connecting<'a> {
    /// A clean session, no limit, everything acknowledged at once.
    pub(super) fn honest(client_id: &'a str) -> Self {
        Self {
            client_id,
            clean_start: true,
            session_expiry_interval_s: None,
            receive_maximum: None,
            acknowledging: Acknowledging::AtOnce,
        }
    }
}

/// A subscriber and what it has received.
#[derive(Debug)]
pub(super) struct Subscriber {
    client: Client,
    /// When the TCP handshake was complete.
    pub(super) established: Instant,
    /// The CONNACK.
    pub(super) accepted: Accepted,
    pub(super) hearing: Hearing,
    pinging: Pinging,
}

/// What a subscriber has received, and what it owes in return.
#[derive(Debug)]
pub(super) struct Hearing {
    version: ProtocolVersion,
    acknowledging: Acknowledging,
    /// Packet Identifiers of PUBLISH packets to which the broker has no final answer: neither PUBACK nor PUBCOMP, nor a
    /// PUBREC that refuses.
    open: HashSet<u16>,
    /// Those of them that were not answered at all, in the order in which they came.
    unanswered: VecDeque<(u16, QoS)>,
    /// PUBREL packets without their PUBCOMP, in the order in which they came.
    uncompleted: VecDeque<PacketIdentifier>,
    /// The most that were open at the same time.
    pub(super) open_most: usize,
    /// PUBLISH packets of this attempt that came, copies among them.
    pub(super) publishes: u64,
    /// Bytes of the packets that came.
    pub(super) bytes: u64,
    /// When the latest message came that was not there before.
    pub(super) latest_at: Option<Instant>,
    outbox: Vec<u8>,
    /// Bytes of the outbox that were sent.
    written: usize,
    pub(super) seen: Seen,
}

impl Hearing {
    fn new(version: ProtocolVersion, acknowledging: Acknowledging, seen: Seen) -> Self {
        Self {
            version,
            acknowledging,
            open: HashSet::new(),
            unanswered: VecDeque::new(),
            uncompleted: VecDeque::new(),
            open_most: 0,
            publishes: 0,
            bytes: 0,
            latest_at: None,
            outbox: Vec::new(),
            written: 0,
            seen,
        }
    }

    fn take(&mut self, packet: &Packet<'_>, at: Instant, fates: &RefCell<Fates>) {
        match packet {
            Packet::Publish(publish) => {
                self.publishes += 1;
                let of_one_delivery = publish.qos == QoS::ExactlyOnce
                    && publish.packet_identifier.is_some_and(|identifier| self.open.contains(&identifier));
                if fates.borrow_mut().delivered(publish, at, of_one_delivery).is_some() {
                    self.latest_at = Some(at);
                }
                let Some(identifier) = publish.packet_identifier else { return };
                // One that is sent again is not one more.
                if self.open.insert(identifier) {
                    self.open_most = self.open_most.max(self.open.len());
                    self.unanswered.push_back((identifier, publish.qos));
                } else if publish.qos == QoS::ExactlyOnce && !self.is_unanswered(identifier) {
                    // The broker has not seen our PUBREC, or asks again all the same.
                    self.unanswered.push_back((identifier, publish.qos));
                }
                if self.acknowledging != Acknowledging::Withheld {
                    self.answer_all();
                }
            }
            Packet::PubRel(release) => {
                let Some(identifier) = PacketIdentifier::new(release.packet_identifier) else { return };
                // A broker that repeats them without end is owed no more than one for each.
                if self.uncompleted.len() < usize::from(u16::MAX) {
                    self.uncompleted.push_back(identifier);
                }
                if self.acknowledging != Acknowledging::AllButPubcomp {
                    self.complete_all();
                }
            }
            other => self.seen.take(other, at),
        }
    }

    /// Answers every PUBREL that was not; only with that its PUBLISH counts no more (MQTT 5.0 section 4.9).
    fn complete_all(&mut self) {
        while let Some(identifier) = self.uncompleted.pop_front() {
            self.open.remove(&identifier.get());
            // A PUBCOMP of a legal Packet Identifier can always be encoded.
            let _encoded = Ack::new(identifier).encode_pubcomp(self.version, &mut self.outbox);
        }
    }

    fn is_unanswered(&self, identifier: u16) -> bool {
        self.unanswered.iter().any(|(unanswered, _)| *unanswered == identifier)
    }

    /// Answers every PUBLISH that was not, in the order in which they came (MQTT 5.0 [MQTT-4.6.0-2]).
    fn answer_all(&mut self) {
        while let Some((identifier, qos)) = self.unanswered.pop_front() {
            let Some(legal) = PacketIdentifier::new(identifier) else { continue };
            let ack = Ack::new(legal);
            let _encoded = if qos == QoS::ExactlyOnce {
                ack.encode_pubrec(self.version, &mut self.outbox)
            } else {
                self.open.remove(&identifier);
                ack.encode_puback(self.version, &mut self.outbox)
            };
        }
    }
}

impl Subscriber {
    /// Connects; subscribes to nothing.
    pub(super) async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        connecting: Connecting<'_>,
        options: &ConnectOptions,
    ) -> Result<Self, String> {
        let (mut client, established) = stage
            .open_with(version, options)
            .await
            .map_err(|error| format!("the subscriber cannot connect: {error}"))?;
        let mut properties = Vec::new();
        if version == ProtocolVersion::V5 {
            properties.extend(connecting.receive_maximum.map(Property::ReceiveMaximum));
            properties.extend(connecting.session_expiry_interval_s.map(Property::SessionExpiryInterval));
        }
        let connect = Connect {
            clean_start: connecting.clean_start,
            properties: Properties::List(&properties),
            ..Client::honest_connect(connecting.client_id, &stage.credentials)
        };
        let accepted = client
            .connect(&connect, options.connect_timeout)
            .await
            .map_err(|error| format!("the subscriber: {error}"))?;
        let hearing = Hearing::new(version, connecting.acknowledging, Seen::new(stage.clock));
        let pinging = Pinging::new(&accepted);
        Ok(Self { client, established, accepted, hearing, pinging })
    }

    /// Connects, and subscribes to `topic` at `qos`.
    pub(super) async fn open(
        stage: &Stage,
        version: ProtocolVersion,
        connecting: Connecting<'_>,
        topic: &str,
        qos: QoS,
    ) -> Result<Self, String> {
        let mut subscriber = Self::connect(stage, version, connecting, &stage.options).await?;
        subscriber.subscribe(topic, qos, stage.options.connect_timeout).await?;
        Ok(subscriber)
    }

    /// Subscribes to `topic`. A lower QoS than the one asked for is an error: other messages would come than those that
    /// the fault is about.
    pub(super) async fn subscribe(&mut self, topic: &str, qos: QoS, within: Duration) -> Result<(), String> {
        let mut bytes = Vec::new();
        Subscribe::new(PacketIdentifier::MIN, &[Subscription::new(topic, qos)])
            .encode(self.hearing.version, &mut bytes)
            .map_err(|error| format!("cannot encode SUBSCRIBE: {error}"))?;
        self.client
            .connection
            .send(&bytes)
            .await
            .map_err(|error| format!("SUBSCRIBE could not be sent: {error}"))?;
        let granted = timeout(within, self.suback()).await;
        match granted.map_err(|_elapsed| format!("no SUBACK within {}", span(within)))?? {
            code if code == qos.level() => Ok(()),
            code if code < 0x80 => Err(format!("the broker granted QoS {code} in place of {qos}")),
            code => Err(format!("the broker refused the SUBSCRIBE: SUBACK 0x{code:02X}")),
        }
    }

    async fn suback(&mut self) -> Result<u8, String> {
        loop {
            match self.client.connection.next().await {
                Arrival::Packet(packet) => {
                    if let Packet::SubAck(suback) = packet.frame().decode(self.hearing.version).packet {
                        return suback.reason_codes.first().copied().ok_or_else(|| "an empty SUBACK".into());
                    }
                }
                Arrival::End(_) => return Err("the broker ended the connection before SUBACK".to_owned()),
                Arrival::Unframeable { why, .. } => return Err(format!("{why} in place of a SUBACK")),
            }
        }
    }

    /// Receives until the connection ends. Nothing is lost when the returned future is dropped.
    pub(super) async fn listen(&mut self, fates: &RefCell<Fates>) {
        while self.hearing.seen.end.is_none() {
            if self.pinging.is_due() {
                self.ask();
            }
            self.flush().await;
            tokio::select! {
                biased;
                told = Self::receive(&mut self.client, &mut self.hearing, fates) => {
                    if let Some(told) = told {
                        self.hearing.seen.take_told(&told);
                    }
                }
                () = sleep_until(TokioInstant::from_std(self.pinging.due_at())) => {}
            }
        }
    }

    async fn receive(client: &mut Client, hearing: &mut Hearing, fates: &RefCell<Fates>) -> Option<Arrival> {
        let version = client.version;
        let take = |frame: ungraceful_mqtt::Frame<'_>, at, _complete_at| {
            hearing.bytes += frame.bytes.len() as u64;
            hearing.take(&frame.decode(version).packet, at, fates);
        };
        client.connection.receive(take).await
    }

    /// Sends what is owed. An end of the connection that shows here is read afterwards.
    async fn flush(&mut self) {
        let Hearing { outbox, written, .. } = &mut self.hearing;
        if outbox.is_empty() {
            return;
        }
        let _end_is_read = self.client.connection.send_while_receiving(outbox, written).await;
        outbox.clear();
        *written = 0;
    }

    /// Carries out `work`, and receives until it is done.
    pub(super) async fn listen_during<T>(
        &mut self,
        fates: &RefCell<Fates>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.listen(fates) => {}
        }
        work.await
    }

    /// Receives until `enough`, until nothing new has come for `quiet`, or until the connection ends. True when it was
    /// enough.
    pub(super) async fn listen_until(
        &mut self,
        fates: &RefCell<Fates>,
        quiet: Duration,
        enough: impl Fn(&Hearing, &Fates) -> bool,
    ) -> bool {
        /// Looked at in between: what is enough is told by more than one connection.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let (mut latest_at, mut quiet_since) = (self.hearing.latest_at, now());
        loop {
            if enough(&self.hearing, &fates.borrow()) {
                return true;
            }
            if self.hearing.seen.end.is_some() || quiet_since.elapsed() >= quiet {
                return false;
            }
            // Whether it timed out or ended is seen above.
            let _elapsed = timeout(LOOK_EVERY, self.listen(fates)).await;
            // What comes again and again is nothing new.
            if self.hearing.latest_at > latest_at {
                (latest_at, quiet_since) = (self.hearing.latest_at, now());
            }
        }
    }

    /// Reads one byte.
    pub(super) async fn sip(&mut self, fates: &RefCell<Fates>) {
        let Self { client, hearing, .. } = self;
        let version = client.version;
        let take = |frame: ungraceful_mqtt::Frame<'_>, at, _complete_at| {
            hearing.bytes += frame.bytes.len() as u64;
            hearing.take(&frame.decode(version).packet, at, fates);
        };
        let told = client.connection.receive_at_most(1, take).await;
        if let Some(told) = told {
            self.hearing.seen.take_told(&told);
        }
    }

    /// Sends a PINGREQ if the socket takes it, and reads nothing: a client that does not read is alive all the same.
    pub(super) async fn ping_without_reading(&mut self) {
        const WITHIN: Duration = Duration::from_millis(10);
        if let Ok(Ok(_sent)) = timeout(WITHIN, self.client.ping()).await {
            self.hearing.seen.pings_open += 1;
        }
    }

    /// Whether the end of the connection has arrived, read or not.
    pub(super) fn has_hung_up(&self) -> bool {
        self.client.connection.has_hung_up()
    }

    /// Puts a PINGREQ into the outbox.
    fn ask(&mut self) {
        ungraceful_mqtt::encode::pingreq(&mut self.hearing.outbox);
        self.hearing.seen.pings_open += 1;
    }

    /// Asks whether the client is served; true when the answer came within `within`.
    pub(super) async fn is_served(&mut self, fates: &RefCell<Fates>, within: Duration) -> bool {
        self.ask();
        self.is_answered(fates, within).await
    }

    /// Whether all that was asked by PINGREQ is answered within `within`.
    pub(super) async fn is_answered(&mut self, fates: &RefCell<Fates>, within: Duration) -> bool {
        let until = now() + within;
        while self.hearing.seen.end.is_none() {
            let left = until.saturating_duration_since(now()).min(Duration::from_millis(5));
            let _elapsed = timeout(left, self.listen(fates)).await;
            if self.hearing.seen.pings_open == 0 {
                return true;
            }
            if now() >= until {
                return false;
            }
        }
        false
    }

    /// Acknowledges everything from now on but with PUBCOMP, and what was withheld before it.
    pub(super) fn acknowledge_all_but_pubcomp(&mut self) {
        self.hearing.acknowledging = Acknowledging::AllButPubcomp;
        self.hearing.answer_all();
    }

    /// Acknowledges everything from now on, and what was withheld before it.
    pub(super) fn acknowledge(&mut self) {
        self.hearing.acknowledging = Acknowledging::AtOnce;
        self.hearing.answer_all();
        self.hearing.complete_all();
    }

    /// Leaves as a well-behaved client does.
    pub(super) async fn leave(self) {
        self.client.leave().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
    use ungraceful_rig::measure::clock::RunClock;
    use ungraceful_wire::clock::now;

    use super::{Acknowledging, Hearing};
    use crate::flow_control::fates::Fates;
    use crate::flow_control::seen::Seen;

    fn hearing(acknowledging: Acknowledging) -> Hearing {
        Hearing::new(ProtocolVersion::V5, acknowledging, Seen::new(RunClock::start()))
    }

    fn hear(hearing: &mut Hearing, packet: Packet<'_>) {
        hearing.take(&packet, now(), &RefCell::new(Fates::new(0, QoS::ExactlyOnce, RunClock::start())));
    }

    fn publish(qos: QoS, identifier: u16) -> Packet<'static> {
        let identifier = PacketIdentifier::new(identifier).unwrap();
        let publish = Publish::new("t", b"");
        Packet::Publish(match qos {
            QoS::ExactlyOnce => publish.exactly_once(identifier),
            _ => publish.at_least_once(identifier),
        })
    }

    fn pubrel(identifier: u16) -> Packet<'static> {
        Packet::PubRel(Ack::new(PacketIdentifier::new(identifier).unwrap()))
    }

    #[test]
    fn mqtt5_3_3_4_9_a_publish_counts_until_its_last_acknowledgement_and_a_copy_counts_once() {
        let mut silent = hearing(Acknowledging::Withheld);
        for identifier in [1, 2, 2, 3] {
            hear(&mut silent, publish(QoS::AtLeastOnce, identifier));
        }
        assert_eq!((silent.open.len(), silent.open_most, silent.publishes), (3, 3, 4));
        assert!(silent.outbox.is_empty());
        silent.answer_all();
        assert_eq!((silent.open.len(), silent.open_most), (0, 3));
        assert_eq!(silent.outbox, [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3], "in the order they came");
    }

    #[test]
    fn mqtt5_3_3_4_9_a_qos_2_publish_counts_until_pubcomp() {
        let mut subscriber = hearing(Acknowledging::AtOnce);
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.open.len(), subscriber.open_most), (2, 2), "PUBREC gives nothing back");
        hear(&mut subscriber, pubrel(1));
        assert_eq!((subscriber.open.len(), subscriber.open_most), (1, 2));
        assert_eq!(subscriber.outbox, [0x50, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 1]);
    }

    #[test]
    fn mqtt5_3_3_4_9_pubrel_gives_nothing_back_while_pubcomp_is_withheld() {
        let mut subscriber = hearing(Acknowledging::AllButPubcomp);
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        hear(&mut subscriber, pubrel(1));
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.open.len(), subscriber.open_most), (2, 2), "one more than a quota of one");
        assert_eq!(subscriber.outbox, [0x50, 2, 0, 1, 0x50, 2, 0, 2]);
        subscriber.complete_all();
        assert_eq!((subscriber.open.len(), &subscriber.outbox[8..]), (1, &[0x70, 2, 0, 1][..]));
    }
}
