//! The newcomer of a storm: what it sends, and what it finds of the older client's session.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Property, QoS};
use ungraceful_rig::attempts::client::{Accepted, NotConnected};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;

use super::super::session_connect;
use super::Storm;
use crate::outbox::Outbox;
use crate::peer::{Delivered, Event, Peer, keep};
use crate::pinging::Pinging;
use crate::resumption::{Remains, Resumption};

/// How long after the last message that is awaited another one would be noticed.
const SETTLE: Duration = Duration::from_millis(300);
/// How long after the newcomer's CONNACK messages of a session that is no more would be noticed.
const LEFT_OVER_WITHIN: Duration = Duration::from_secs(1);

/// What became of the newcomer.
pub(super) struct Newcomer {
    pub(super) peer: Peer,
    pub(super) accepted: Accepted,
    /// Whether it was found to go on with the older client's session.
    pub(super) resumption: Resumption,
    /// What was found of a session that must have ended; absent when it was not looked for, because Session Present was 0.
    pub(super) remains: Option<Remains>,
    pub(super) came: Vec<Delivered>,
    /// Messages that were published after all others, when some of those had not come. One for each QoS of which some are
    /// missing: order is owed within one QoS alone.
    pub(super) later: Vec<u64>,
    /// It was served when all was over.
    pub(super) alive: bool,
}

impl Storm {
    /// Opens the newcomer's connection and sends its CONNECT; tells when that was begun and done.
    pub(super) async fn provoke(
        &self,
        stage: &Stage,
        client_id: &str,
    ) -> Result<(Peer, Instant, ungraceful_wire::Sent), String> {
        let version = self.versions.new;
        let (client, _) =
            stage.open(version).await.map_err(|error| format!("the newcomer cannot connect: {error}"))?;
        let mut peer = Peer::new(client);
        let kept = [Property::SessionExpiryInterval(self.flags.session_expiry_interval.0)];
        let properties: &[Property<'_>] = if self.situation.persistent() { &kept } else { &[] };
        let connect = session_connect(stage, version, client_id, self.situation.clean_start(), properties);
        let before = now();
        let sent = peer.client.send_connect(&connect).await;
        let sent = sent.map_err(|error| format!("the newcomer's CONNECT could not be sent: {error}"))?;
        Ok((peer, before, sent))
    }

    /// Waits for the newcomer's CONNACK, takes what comes, and repeats what the older client had not released where the
    /// CONNACK says that the session is there.
    #[expect(clippy::too_many_arguments, reason = "parts of one attempt that are borrowed apart")]
    pub(super) async fn look_at_newcomer(
        &self,
        stage: &Stage,
        mut peer: Peer,
        connect_sent: ungraceful_wire::Sent,
        topic: &str,
        in_flight: &[Delivered],
        unreleased: Option<(u64, u16)>,
        outbox: &mut Outbox,
    ) -> Result<Newcomer, NotConnected> {
        let (accepted, _packet) = peer.client.await_connack(connect_sent, stage.reaction_timeout).await?;
        let deadline = accepted.connack_at + stage.reaction_timeout;
        let mut came: Vec<Delivered> = Vec::new();
        let (resumption, remains) =
            self.look_for_session(stage, &mut peer, &accepted, topic, &mut came).await;
        let resumed = self.situation.resumes() && resumption.goes_on();
        let mut repeated = None;
        // Told that there is no session, a client has no exchange to go on with: what it sends then is new.
        let repeats = resumed && accepted.session_present;
        let withheld = unreleased.filter(|_| !repeats).map(|(sequence, _)| sequence);
        if let (true, Some((sequence, identifier))) = (repeats, unreleased) {
            let again = peer.send_publish(topic, QoS::ExactlyOnce, sequence, Some(identifier)).await;
            repeated = again.is_ok().then_some(identifier);
        }
        let mut settled_at: Option<Instant> = None;
        loop {
            let all_there = !resumed || (repeated.is_none() && all_came(outbox, in_flight, withheld, &came));
            if all_there && settled_at.is_none() {
                // What must not come has no time either by which it would have.
                settled_at = Some(now() + if resumed { SETTLE } else { LEFT_OVER_WITHIN });
            }
            let until = settled_at.unwrap_or(deadline).min(deadline);
            match peer.next_before(until).await {
                Some(Event::Delivered(message)) => keep(&mut came, message),
                Some(Event::Finished { identifier, code }) if repeated == Some(identifier) => {
                    repeated = None;
                    if let Some((sequence, _)) = unreleased {
                        outbox.acknowledged(sequence, code);
                    }
                }
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Ok(Newcomer {
                        peer,
                        accepted,
                        resumption,
                        remains,
                        came,
                        later: Vec::new(),
                        alive: false,
                    });
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut later = Vec::new();
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

    /// Whether the newcomer goes on with the older client's session; where it is not to, the CONNACK alone says so, and what
    /// is there of a session that must have ended is looked for.
    async fn look_for_session(
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

/// Whether everything came that is owed: what was in flight and what was published, but for what the newcomer `withheld`.
fn all_came(outbox: &Outbox, in_flight: &[Delivered], withheld: Option<u64>, came: &[Delivered]) -> bool {
    let owed = in_flight.iter().map(|message| message.sequence).chain(outbox.sequences().map(Some));
    owed.filter(|sequence| sequence.is_none() || *sequence != withheld)
        .all(|sequence| came.iter().any(|message| message.sequence == sequence))
}

/// Whether the newcomer was accepted well before the Will Delay Interval of the older connection, which was not closed
/// before the newcomer's CONNECT, had passed.
pub(super) fn is_accepted_within(newcomer: &Accepted, delay: Duration) -> bool {
    newcomer.connack_at.saturating_duration_since(newcomer.connect_sent) < delay / 2
}

/// Publishes one message after all others, on the same topic, waits for it, and tells its number.
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

    use ungraceful_rig::attempts::client::Accepted;
    use ungraceful_wire::clock::now;

    use super::is_accepted_within;

    #[test]
    fn a_delayed_will_is_forbidden_only_where_the_newcomer_was_accepted_well_before_its_delay() {
        let accepted = |ms| {
            let connect_sent = now();
            let connack_at = connect_sent + Duration::from_millis(ms);
            Accepted {
                connect_sent,
                connack_at,
                session_present: true,
                session_expiry_interval_s: None,
                receive_maximum: None,
                server_keep_alive: None,
            }
        };
        let delay = Duration::from_secs(2);
        assert!(is_accepted_within(&accepted(900), delay));
        assert!(!is_accepted_within(&accepted(1_100), delay));
        assert!(!is_accepted_within(&accepted(0), Duration::ZERO), "and there is a delay");
    }
}
