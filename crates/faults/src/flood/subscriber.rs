//! The subscriber of an attempt: it receives, counts what it has not acknowledged, and acknowledges at once or not at all.

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
    /// On arrival.
    AtOnce,
    /// Not until [`Subscriber::acknowledge`].
    Withheld,
    /// PUBACK and PUBREC at once, but no PUBCOMP, so that QoS 2 gives no quota back.
    AllButPubcomp,
}

/// A subscriber and what it has received.
pub(super) type Subscriber = Busy<Receiving>;

/// What a subscriber has received and has to answer.
#[derive(Debug)]
pub(super) struct Receiving {
    version: ProtocolVersion,
    acknowledging: Acknowledging,
    /// Packet Identifiers of PUBLISH packets without a final answer: neither PUBACK nor PUBCOMP, nor a PUBREC that refuses.
    open: HashSet<u16>,
    /// Those without any answer, in order of arrival.
    unanswered: VecDeque<(u16, QoS)>,
    /// PUBREL packets without PUBCOMP, in order of arrival.
    uncompleted: VecDeque<PacketIdentifier>,
    /// The most that were open at the same time.
    pub(super) open_most: usize,
    /// PUBLISH packets of this attempt, including copies.
    pub(super) publishes: u64,
    /// When the latest new message came.
    pub(super) latest_at: Option<Instant>,
    pub(super) seen: Seen,
    pub(super) fates: SharedFates,
}

impl Receiving {
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

    /// Answers every open PUBREL; only then does its PUBLISH stop counting (MQTT 5.0 section 4.9).
    fn complete_all(&mut self, outbox: &mut Vec<u8>) {
        while let Some(identifier) = self.uncompleted.pop_front() {
            self.open.remove(&identifier.get());
            // A PUBCOMP with a legal Packet Identifier can always be encoded.
            let _encoded = Ack::new(identifier).encode_pubcomp(self.version, outbox);
        }
    }

    fn is_unanswered(&self, identifier: u16) -> bool {
        self.unanswered.iter().any(|(unanswered, _)| *unanswered == identifier)
    }

    /// Answers every open PUBLISH in order of arrival (MQTT 5.0 [MQTT-4.6.0-2]).
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

impl Account for Receiving {
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
                // A repeated one does not count again.
                if self.open.insert(identifier) {
                    self.open_most = self.open_most.max(self.open.len());
                    self.unanswered.push_back((identifier, publish.qos));
                } else if publish.qos == QoS::ExactlyOnce && !self.is_unanswered(identifier) {
                    // The broker has not seen our PUBREC, or repeats the PUBLISH anyway.
                    self.unanswered.push_back((identifier, publish.qos));
                }
                if self.acknowledging != Acknowledging::Withheld {
                    self.answer_all(outbox);
                }
            }
            Packet::PubRel(release) => {
                let Some(identifier) = PacketIdentifier::new(release.packet_identifier) else { return };
                // A broker that repeats them endlessly gets one answer for each Packet Identifier.
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
    /// From an accepted connection, without a subscription.
    pub(super) fn new(
        (peer, accepted): (Peer, Accepted),
        acknowledging: Acknowledging,
        fates: &SharedFates,
    ) -> Self {
        let account = Receiving::new(peer.client.version, acknowledging, fates.clone());
        Self { peer, accepted, account }
    }

    /// Connects with this CONNECT, which is not logged, without a subscription.
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

    /// Subscribes to `topic`. A lower QoS than requested is an error, because the fault needs messages of this QoS.
    pub(super) async fn subscribe(&mut self, topic: &str, qos: QoS, within: Duration) -> Result<(), String> {
        match self.peer.subscribe(topic, qos, within).await? {
            granted if granted == qos => Ok(()),
            granted => Err(format!("the broker granted {granted} instead of {qos}")),
        }
    }

    /// Receives until `enough`, until nothing new has come for `quiet`, or until the connection ends. True when `enough`.
    pub(super) async fn listen_until(&mut self, quiet: Duration, enough: impl Fn(&Fates) -> bool) -> bool {
        /// How often `enough` is checked, which may depend on another connection.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let (mut latest_at, mut quiet_since) = (self.account.latest_at, now());
        loop {
            if enough(&self.account.fates.borrow()) {
                return true;
            }
            if self.account.seen.end.is_some() || quiet_since.elapsed() >= quiet {
                return false;
            }
            // The next round sees whether it timed out or ended.
            let _elapsed = timeout(LOOK_EVERY, self.stay()).await;
            // Copies are nothing new.
            if self.account.latest_at > latest_at {
                (latest_at, quiet_since) = (self.account.latest_at, now());
            }
        }
    }

    /// Receives until nothing new has come for `quiet`.
    pub(super) async fn listen_until_quiet(&mut self, quiet: Duration) {
        self.listen_until(quiet, |_| false).await;
    }

    /// Sends a PINGREQ if the socket takes it, and reads nothing.
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

    /// From now on acknowledges everything except by PUBCOMP, first what was withheld.
    pub(super) fn acknowledge_all_but_pubcomp(&mut self) {
        self.account.acknowledging = Acknowledging::AllButPubcomp;
        self.account.answer_all(&mut self.peer.outbox);
    }

    /// From now on acknowledges everything, first what was withheld.
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

    use super::{Account, Acknowledging, Receiving};
    use crate::flood::fates::Fates;

    /// A subscriber's account, and its outbox.
    fn receiving(acknowledging: Acknowledging) -> (Receiving, Vec<u8>) {
        let fates = Fates::new(0, QoS::ExactlyOnce, RunClock::start()).shared();
        (Receiving::new(ProtocolVersion::V5, acknowledging, fates), Vec::new())
    }

    fn receive((receiving, outbox): &mut (Receiving, Vec<u8>), packet: Packet<'_>) {
        receiving.take(&packet, now(), outbox);
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
        let mut silent = receiving(Acknowledging::Withheld);
        for identifier in [1, 2, 2, 3] {
            receive(&mut silent, publish(QoS::AtLeastOnce, identifier));
        }
        assert_eq!((silent.0.open.len(), silent.0.open_most, silent.0.publishes), (3, 3, 4));
        assert!(silent.1.is_empty());
        silent.0.answer_all(&mut silent.1);
        assert_eq!((silent.0.open.len(), silent.0.open_most), (0, 3));
        assert_eq!(silent.1, [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3], "in the order they came");
    }

    #[test]
    fn mqtt5_3_3_4_9_a_qos_2_publish_counts_until_pubcomp() {
        let mut subscriber = receiving(Acknowledging::AtOnce);
        receive(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        receive(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (2, 2), "PUBREC gives no quota back");
        receive(&mut subscriber, pubrel(1));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (1, 2));
        assert_eq!(subscriber.1, [0x50, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 1]);
    }

    #[test]
    fn mqtt5_3_3_4_9_pubrel_gives_no_quota_back_while_pubcomp_is_withheld() {
        let mut subscriber = receiving(Acknowledging::AllButPubcomp);
        receive(&mut subscriber, publish(QoS::ExactlyOnce, 1));
        receive(&mut subscriber, pubrel(1));
        receive(&mut subscriber, publish(QoS::ExactlyOnce, 2));
        assert_eq!((subscriber.0.open.len(), subscriber.0.open_most), (2, 2), "one more than a quota of one");
        assert_eq!(subscriber.1, [0x50, 2, 0, 1, 0x50, 2, 0, 2]);
        subscriber.0.complete_all(&mut subscriber.1);
        assert_eq!((subscriber.0.open.len(), &subscriber.1[8..]), (1, &[0x70, 2, 0, 1][..]));
    }
}
