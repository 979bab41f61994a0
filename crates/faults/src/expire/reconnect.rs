//! A client whose authorisation has ended connects again with the same ClientID.

use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::fact::FactOf;
use ungraceful_rig::attempts::client::NotConnected;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_wire::clock::now;

use super::authentication::Authentication;
use super::working_pair::{CompanionClient, await_first, topics};
use super::{AFTER_REFUSAL, AfterRefusal, Return};
use crate::ending::refusal;
use crate::peer::{Event, Peer};

/// How long a broker may take to close after a refusal, and to deliver to an accepted client.
const WITHIN: Duration = Duration::from_secs(1);

/// The answer to a client that connected again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconnect {
    answer: Return,
    /// What followed a refusal; absent without one.
    after_refusal: Option<AfterRefusal>,
}

impl Reconnect {
    /// Records it in the attempt, as this fact.
    pub(super) fn report(self, fact: FactOf<Return>, log: &mut AttemptLog<'_>) {
        log.fact(fact, self.answer);
        if let Some(after) = self.after_refusal {
            log.fact(AFTER_REFUSAL, after);
        }
    }
}

/// Connects again. An accepted client subscribes, and one message is sent in each direction.
pub(super) async fn reconnect(
    stage: &Stage,
    version: ProtocolVersion,
    log: &AttemptLog<'_>,
    authentication: &Authentication,
    companion: &mut CompanionClient,
) -> Reconnect {
    let answered = |answer| Reconnect { answer, after_refusal: None };
    let Ok((mut client, _)) = stage.open(version).await else { return answered(Return::NotTried) };
    let properties = authentication.properties();
    let connect = authentication.connect(log.client_id(), &properties);
    match client.connect(&connect, stage.options.connect_timeout).await {
        Ok(_) => {
            let mut peer = Peer::new(client);
            let has_rights = has_rights(stage, &mut peer, log.name(), companion).await;
            peer.client.leave().await;
            answered(match has_rights {
                Some(true) => Return::Accepted,
                Some(false) => Return::WithoutRights,
                None => Return::RightsUnknown,
            })
        }
        Err(refused @ NotConnected::Refused { .. }) => {
            let after = after_refusal(Peer::new(client)).await;
            Reconnect { answer: Return::Refused(refusal(&refused)), after_refusal: Some(after) }
        }
        Err(other) => answered(Return::Refused(refusal(&other))),
    }
}

/// Whether the client receives messages and may publish. MQTT 3.1.1 does not report refused messages, so silence counts as
/// missing rights, but only where the broker answers both clients afterwards; absent where it does not.
async fn has_rights(
    stage: &Stage,
    peer: &mut Peer,
    name: &str,
    companion: &mut CompanionClient,
) -> Option<bool> {
    let (to, from) = topics(stage, name);
    if peer.subscribe(&to, QoS::AtMostOnce, WITHIN).await.is_ok() {
        companion.publish_once().await.ok()?;
        if await_first(peer, WITHIN).await.is_ok() {
            let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
            if peer.publish(&from, qos, 0, WITHIN).await.is_ok_and(|code| code < 0x80) {
                return Some(true);
            }
        } else if !companion.is_served(stage.reaction_timeout).await {
            return None;
        }
    }
    // A broker may end the connection of a client that exceeds its rights.
    (peer.ended.is_some() || peer.is_served(stage.reaction_timeout).await).then_some(false)
}

/// Whether the broker closes the refused connection, or answers a PINGREQ on it.
async fn after_refusal(mut peer: Peer) -> AfterRefusal {
    // The end of the connection is read next.
    let _ended = peer.client.ping().await;
    let deadline = now() + WITHIN;
    loop {
        match peer.next_before(deadline).await {
            Some(Event::Ended { .. }) => return AfterRefusal::Closed,
            Some(Event::Pong) => return AfterRefusal::Served,
            Some(_) => {}
            None => return AfterRefusal::Open,
        }
    }
}
