//! A subscriber of an attempt's own: it receives, keeps count of what it has not acknowledged, and acknowledges at once
//! or not at all.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{Ack, Connect, Packet, PacketIdentifier, ProtocolVersion, QoS};
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;

use super::busy::{Account, Busy};
use super::fates::{Fates, SharedFates};
use super::seen::Seen;
use crate::peer::Peer;

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

/// A subscriber and what it has received.
pub(super) type Subscriber = Busy<Hearing>;

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
    /// When the latest message came that was not there before.
    pub(super) latest_at: Option<Instant>,
    pub(super) seen: Seen,
    pub(super) fates: SharedFates,
}

impl Hearing {
    fn new(version: ProtocolVersion, acknowledging: Acknowledging, fates: SharedFates) -> Self {
        let seen = Seen::new(fates.borrow().clock());
        Self {
            version,
            acknowledging,
            open: HashSet::new(),
            unanswered: VecDeque::new(),
            uncompleted: VecDeque::new(),
            open_most: 0,
            publishes: 0,
            latest_at: None,
            seen,
            fates,
        }
    }

    /// Answers every PUBREL that was not; only with that its PUBLISH counts no more (MQTT 5.0 section 4.9).
    fn complete_all(&mut self, outbox: &mut Vec<u8>) {
        while let Some(identifier) = self.uncompleted.pop_front() {
            self.open.remove(&identifier.get());
            // A PUBCOMP of a legal Packet Identifier can always be encoded.
            let _encoded = Ack::new(identifier).encode_pubcomp(self.version, outbox);
        }
    }

    fn is_unanswered(&self, identifier: u16) -> bool {
        self.unanswered.iter().any(|(unanswered, _)| *unanswered == identifier)
    }

    /// Answers every PUBLISH that was not, in the order in which they came (MQTT 5.0 [MQTT-4.6.0-2]).
    fn answer_all(&mut self, outbox: &mut Vec<u8>) {
        while let Some((identifier, qos)) = self.unanswered.pop_front() {
            let Some(legal) = PacketIdentifier::new(identifier) else { continue };
            let ack = Ack::new(legal);
            let _encoded = if qos == QoS::ExactlyOnce {
                ack.encode_pubrec(self.version, outbox)
            } else {
                self.open.remove(&identifier);
                ack.encode_puback(self.version, outbox)
            };
        }
    }
}

impl Account for Hearing {
    fn take(&mut self, packet: &Packet<'_>, at: Instant, outbox: &mut Vec<u8>) {
        match packet {
            Packet::Publish(publish) => {
                self.publishes += 1;
                let of_one_delivery = publish.qos == QoS::ExactlyOnce
                    && publish.packet_identifier.is_some_and(|identifier| self.open.contains(&identifier));
                if self.fates.borrow_mut().delivered(publish, at, of_one_delivery).is_some() {
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
                    self.answer_all(outbox);
                }
            }
            Packet::PubRel(release) => {
                let Some(identifier) = PacketIdentifier::new(release.packet_identifier) else { return };
                // A broker that repeats them without end is owed no more than one for each.
                if self.uncompleted.len() < usize::from(u16::MAX) {
                    self.uncompleted.push_back(identifier);
                }
                if self.acknowledging != Acknowledging::AllButPubcomp {
                    self.complete_all(outbox);
                }
            }
            other => self.seen.take(other, at),
        }
    }

    fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }
}

impl Subscriber {
    /// One that was accepted, and has subscribed to nothing yet.
    pub(super) fn new(
        (peer, accepted): (Peer, Accepted),
        acknowledging: Acknowledging,
        fates: &SharedFates,
    ) -> Self {
        let account = Hearing::new(peer.client.version, acknowledging, fates.clone());
        Self { peer, accepted, account }
    }

    /// Connects with this CONNECT, which no attempt tells of; subscribes to nothing.
    pub(super) async fn connect(
        stage: &Stage,
        version: ProtocolVersion,
        connect: &Connect<'_>,
        fates: &SharedFates,
    ) -> Result<Self, String> {
        let connected = Peer::connect(stage, version, connect).await;
        let connected = connected.map_err(|error| format!("the subscriber: {error}"))?;
        Ok(Self::new(connected, Acknowledging::AtOnce, fates))
    }

    /// Subscribes to `topic`. A lower QoS than the one asked for is an error: other messages would come than those that
    /// the fault is about.
    pub(super) async fn subscribe(&mut self, topic: &str, qos: QoS, within: Duration) -> Result<(), String> {
        match self.peer.subscribe(topic, qos, within).await? {
            granted if granted == qos => Ok(()),
            granted => Err(format!("the broker granted {granted} in place of {qos}")),
        }
    }

    /// Receives until `enough`, until nothing new has come for `quiet`, or until the connection ends. True when it was
    /// enough.
    pub(super) async fn listen_until(&mut self, quiet: Duration, enough: impl Fn(&Fates) -> bool) -> bool {
        /// Looked at in between: what is enough is told by more than one connection.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let (mut latest_at, mut quiet_since) = (self.account.latest_at, now());
        loop {
            if enough(&self.account.fates.borrow()) {
                return true;
            }
            if self.account.seen.end.is_some() || quiet_since.elapsed() >= quiet {
                return false;
            }
            // Whether it timed out or ended is seen above.
            let _elapsed = timeout(LOOK_EVERY, self.stay()).await;
            // What comes again and again is nothing new.
            if self.account.latest_at > latest_at {
                (latest_at, quiet_since) = (self.account.latest_at, now());
            }
        }
    }

    /// Receives until nothing new has come for `quiet`.
    pub(super) async fn listen_until_quiet(&mut self, quiet: Duration) {
        self.listen_until(quiet, |_| false).await;
    }

    /// Sends a PINGREQ if the socket takes it, and reads nothing: a client that does not read is alive all the same.
    pub(super) async fn ping_without_reading(&mut self) {
        const WITHIN: Duration = Duration::from_millis(10);
        if let Ok(Ok(_sent)) = timeout(WITHIN, self.peer.client.ping()).await {
            self.account.seen.pings_open += 1;
        }
    }

    /// Whether the end of the connection has arrived, read or not.
    pub(super) fn has_hung_up(&self) -> bool {
        self.peer.client.connection.has_hung_up()
    }

    /// Acknowledges everything from now on but with PUBCOMP, and what was withheld before it.
    pub(super) fn acknowledge_all_but_pubcomp(&mut self) {
        self.account.acknowledging = Acknowledging::AllButPubcomp;
        self.account.answer_all(&mut self.peer.outbox);
    }

    /// Acknowledges everything from now on, and what was withheld before it.
    pub(super) fn acknowledge(&mut self) {
        self.account.acknowledging = Acknowledging::AtOnce;
        self.account.answer_all(&mut self.peer.outbox);
        self.account.complete_all(&mut self.peer.outbox);
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::{Ack, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
    use ungraceful_rig::measure::clock::RunClock;
    use ungraceful_wire::clock::now;

    use super::{Account, Acknowledging, Hearing};
    use crate::flood::fates::Fates;

    /// What was heard, and the outbox.
    fn hearing(acknowledging: Acknowledging) -> (Hearing, Vec<u8>) {
        let fates = Fates::new(0, QoS::ExactlyOnce, RunClock::start()).shared();
        (Hearing::new(ProtocolVersion::V5, acknowledging, fates), Vec::new())
    }

    fn hear((hearing, outbox): &mut (Hearing, Vec<u8>), packet: Packet<'_>) {
        hearing.take(&packet, now(), outbox);
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
        assert_eq!((silent.0.open.len(), silent.0.open_most, silent.0.publishes), (3, 3, 4));
        assert!(silent.1.is_empty());
        silent.0.answer_all(&mut silent.1);
        assert_eq!((silent.0.open.len(), silent.0.open_most), (0, 3));
        assert_eq!(silent.1, [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3], "in the order they came");
    }

    #[test]
    fn mqtt5_3_3_4_9_a_qos_2_publish_counts_until_pubcomp() {
        let mut subscriber = hearing(Acknowledging::AtOnce);
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (2, 2), "PUBREC gives nothing back");
        hear(&mut subscriber, pubrel(1));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (1, 2));
        assert_eq!(subscriber.1, [0x50, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 1]);
    }

    #[test]
    fn mqtt5_3_3_4_9_pubrel_gives_nothing_back_while_pubcomp_is_withheld() {
        let mut subscriber = hearing(Acknowledging::AllButPubcomp);
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        hear(&mut subscriber, pubrel(1));
        hear(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (2, 2), "one more than a quota of one");
        assert_eq!(subscriber.1, [0x50, 2, 0, 1, 0x50, 2, 0, 2]);
        subscriber.0.complete_all(&mut subscriber.1);
        assert_eq!((subscriber.0.open.len(), &subscriber.1[8..]), (1, &[0x70, 2, 0, 1][..]));
    }
}
