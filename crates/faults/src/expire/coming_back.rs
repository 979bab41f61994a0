//! A client whose right has ended connects again, with the same ClientID and the same credentials.

use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::fact::FactOf;
use ungraceful_rig::attempts::client::NotConnected;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_wire::clock::now;

use super::at_work::{Beside, await_first, topics};
use super::shown::Shown;
use super::{AFTER_REFUSAL, AfterRefusal, Return};
use crate::ending::refusal;
use crate::peer::{Event, Peer};

/// How long a broker has to close after a CONNACK that refuses, and to deliver to a client that it let in.
const WITHIN: Duration = Duration::from_secs(1);

/// What became of a client that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CameBack {
    /// How it was answered.
    pub(super) how: Return,
    /// What came after a CONNACK that refused; absent where none did.
    pub(super) after_refusal: Option<AfterRefusal>,
}

impl CameBack {
    /// Puts it into the attempt, under this name.
    pub(super) fn tell(self, fact: FactOf<Return>, log: &mut AttemptLog<'_>) {
        log.fact(fact, self.how);
        if let Some(after) = self.after_refusal {
            log.fact(AFTER_REFUSAL, after);
        }
    }
}

/// Connects and shows this. A client that is let in subscribes once more, is published to and
/// publishes once.
pub(super) async fn come_back(
    stage: &Stage,
    version: ProtocolVersion,
    client_id: &str,
    shown: &Shown,
    beside: &mut Beside,
) -> CameBack {
    let told = |how| CameBack { how, after_refusal: None };
    let Ok((mut client, _)) = stage.open(version).await else { return told(Return::NotTried) };
    let properties = shown.properties();
    let connect = shown.connect(client_id, &properties);
    match client.connect(&connect, stage.options.connect_timeout).await {
        Ok(_) => {
            let mut peer = Peer::new(client);
            let has_rights = has_rights(stage, &mut peer, client_id, beside).await;
            peer.client.leave().await;
            told(match has_rights {
                Some(true) => Return::Accepted,
                Some(false) => Return::WithoutRights,
                None => Return::RightsUnknown,
            })
        }
        Err(refused @ NotConnected::Refused { .. }) => {
            let after = after_refusal(Peer::new(client)).await;
            CameBack { how: Return::Refused(refusal(&refused)), after_refusal: Some(after) }
        }
        Err(other) => told(Return::Refused(refusal(&other))),
    }
}

/// Whether it is delivered to, and may publish. MQTT 3.1.1 tells nobody that a message was refused, so silence tells of
/// rights, but only where the broker answers both clients afterwards; absent where it does not.
async fn has_rights(stage: &Stage, peer: &mut Peer, client_id: &str, beside: &mut Beside) -> Option<bool> {
    let (to, from) = topics(stage, client_id);
    if peer.subscribe(&to, QoS::AtMostOnce, WITHIN).await.is_ok() {
        beside.publish_once().await.ok()?;
        if await_first(peer, WITHIN).await.is_ok() {
            let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
            if peer.publish(&from, qos, 0, WITHIN).await.is_ok_and(|code| code < 0x80) {
                return Some(true);
            }
        } else if !beside.is_served(stage.reaction_timeout).await {
            return None;
        }
    }
    // A broker may end the connection of a client that does what it may not.
    (peer.ended.is_some() || peer.is_served(stage.reaction_timeout).await).then_some(false)
}

/// Whether the broker closes the connection that it refused, or answers a PINGREQ on it.
async fn after_refusal(mut peer: Peer) -> AfterRefusal {
    // That the connection has ended is read next.
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
