//! The newcomer of a storm: what it sends, and what it finds of the older client's session.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Property, QoS};
use ungraceful_rig::attempts::client::{Accepted, NotConnected};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::Sent;
use ungraceful_wire::clock::now;

use super::super::{send_newcomer, session_connect};
use super::{OldSession, Storm};
use crate::outbox::Outbox;
use crate::peer::{Delivered, Event, Peer, keep};
use crate::pinging::Pinging;
use crate::resumption::{Remains, Resumption};

/// How long the newcomer still listens after the last awaited message.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the newcomer listens after its CONNACK for messages of a session that has ended.
const LEFT_OVER_WITHIN: Duration = Duration::from_secs(1);

/// An accepted newcomer and what it observed.
pub(super) struct Newcomer {
    pub(super) peer: Peer,
    pub(super) accepted: Accepted,
    /// Whether it resumed the older client's session.
    pub(super) resumption: Resumption,
    /// What was left of a session that must have ended; absent after Session Present 0, when there was no search.
    pub(super) remains: Option<Remains>,
    pub(super) came: Vec<Delivered>,
    /// Messages published after all others because some of those were missing: one per QoS with missing messages, as order
    /// is guaranteed within one QoS only.
    pub(super) later: Vec<u64>,
    /// The broker served it at the end.
    pub(super) alive: bool,
}

impl Storm {
    /// Opens the newcomer's connection and sends its CONNECT; returns the times before and after sending.
    pub(super) async fn provoke(
        &self,
        stage: &Stage,
        client_id: &str,
    ) -> Result<(Peer, Instant, Sent), String> {
        let version = self.versions.new;
        let kept = [Property::SessionExpiryInterval(self.flags.session_expiry_interval.0)];
        let properties: &[Property<'_>] = if self.situation.persistent() { &kept } else { &[] };
        let connect = session_connect(stage, version, client_id, self.situation.clean_start(), properties);
        send_newcomer(stage, version, &connect).await
    }

    /// Waits for the newcomer's CONNACK, receives messages, and, if Session Present is 1, repeats the message that the older
    /// client had not released.
    pub(super) async fn observe_newcomer(
        &self,
        stage: &Stage,
        mut peer: Peer,
        connect_sent: Sent,
        old: &OldSession,
        outbox: &mut Outbox,
    ) -> Result<Newcomer, NotConnected> {
        let OldSession { topic, in_flight, unreleased, .. } = old;
        let (accepted, _packet) = peer.client.await_connack(connect_sent, stage.reaction_timeout).await?;
        let deadline = accepted.connack_at + stage.reaction_timeout;
        let mut came: Vec<Delivered> = Vec::new();
        let (resumption, remains) = self.find_session(stage, &mut peer, &accepted, topic, &mut came).await;
        let resumed = self.situation.resumes() && resumption.goes_on();
        let mut repeated = None;
        // After Session Present 0 there is no exchange to continue: whatever the client sends is new.
        let repeats = resumed && accepted.session_present;
        let withheld = unreleased.filter(|_| !repeats).map(|(sequence, _)| sequence);
        if let Some((sequence, identifier)) = unreleased.filter(|_| repeats) {
            let again = peer.send_publish(topic, QoS::ExactlyOnce, sequence, Some(identifier)).await;
            repeated = again.is_ok().then_some(identifier);
        }
        let mut later = Vec::new();
        let mut settled_at: Option<Instant> = None;
        loop {
            let all_there = !resumed || (repeated.is_none() && all_came(outbox, in_flight, withheld, &came));
            if all_there && settled_at.is_none() {
                // Messages that must not arrive have no deadline of their own.
                settled_at = Some(now() + if resumed { SETTLE } else { LEFT_OVER_WITHIN });
            }
            let until = settled_at.unwrap_or(deadline).min(deadline);
            match peer.next_before(until).await {
                Some(Event::Delivered(message)) => keep(&mut came, message),
                Some(Event::Finished { identifier, code }) if repeated == Some(identifier) => {
                    repeated = None;
                    if let Some((sequence, _)) = *unreleased {
                        outbox.acknowledged(sequence, code);
                    }
                }
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Ok(Newcomer { peer, accepted, resumption, remains, came, later, alive: false });
                }
                Some(_) => {}
                None => break,
            }
        }
        if settled_at.is_none() {
            let mut missing = outbox.missing(&came);
            missing.retain(|sequence| Some(*sequence) != withheld);
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                if missing.iter().any(|sequence| Outbox::qos_of(*sequence) == Some(qos)) {
                    later.push(publish_later(stage, &mut peer, topic, qos, outbox, &mut came).await);
                }
            }
            let deadline = accepted.connack_at + *self.flags.resend_wait;
            peer.pinging = Pinging::new(&accepted);
            peer.deliveries_until(deadline, &mut came, |came| all_came(outbox, in_flight, withheld, came))
                .await;
        }
        let alive = peer.is_served(stage.reaction_timeout).await;
        came.extend(peer.take_set_aside());
        Ok(Newcomer { peer, accepted, resumption, remains, came, later, alive })
    }

    /// Whether the newcomer resumed the older client's session. Where it should not, only the CONNACK counts; a session that
    /// must have ended is searched for remains.
    async fn find_session(
        &self,
        stage: &Stage,
        peer: &mut Peer,
        accepted: &Accepted,
        topic: &str,
        came: &mut Vec<Delivered>,
    ) -> (Resumption, Option<Remains>) {
        match accepted.session_present {
            _ if self.situation.resumes() => {
                (Resumption::look(stage, peer, accepted, topic, came).await, None)
            }
            true if self.situation.has_ended() => {
                (Resumption::Announced, Some(Remains::look(stage, peer, topic, came).await))
            }
            true => (Resumption::Announced, None),
            false => (Resumption::Not, None),
        }
    }
}

/// Whether all owed messages arrived: those in flight and those published, except the one that the newcomer `withheld`.
fn all_came(outbox: &Outbox, in_flight: &[Delivered], withheld: Option<u64>, came: &[Delivered]) -> bool {
    let owed = in_flight.iter().map(|message| message.sequence).chain(outbox.sequences().map(Some));
    owed.filter(|sequence| sequence.is_none() || *sequence != withheld)
        .all(|sequence| came.iter().any(|message| message.sequence == sequence))
}

/// Whether the newcomer was accepted well within the Will Delay Interval of the older connection, which was still open at the
/// newcomer's CONNECT.
pub(super) fn is_well_within(connack_time: Duration, delay: Duration) -> bool {
    connack_time < delay / 2
}

/// Publishes one message after all others on the same topic, waits for it, and returns its number.
async fn publish_later(
    stage: &Stage,
    peer: &mut Peer,
    topic: &str,
    qos: QoS,
    outbox: &mut Outbox,
    came: &mut Vec<Delivered>,
) -> u64 {
    let sequence = outbox.offer(qos);
    outbox.sent(sequence);
    let Ok(code) = peer.publish(topic, qos, sequence, stage.reaction_timeout).await else {
        return sequence;
    };
    outbox.acknowledged(sequence, code);
    let deadline = now() + stage.reaction_timeout;
    let is_there = |came: &[Delivered]| came.iter().any(|message| message.sequence == Some(sequence));
    peer.deliveries_until(deadline, came, is_there).await;
    sequence
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::is_well_within;

    #[test]
    fn a_newcomer_is_well_within_a_delay_up_to_half_of_it() {
        let is_within = |ms, delay| is_well_within(Duration::from_millis(ms), delay);
        let delay = Duration::from_secs(2);
        assert!(is_within(900, delay));
        assert!(!is_within(1_100, delay));
        assert!(!is_within(0, Duration::ZERO), "there is no delay");
    }
}
