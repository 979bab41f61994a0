//! Whether the broker resumed a session when its client came back: what the CONNACK says, and what the broker then does. Every
//! fault whose client returns to its session uses this module.
//!
//! A broker may say Session Present 0 and send what the session holds all the same. Then it has resumed the session and
//! breaks the rule on Session Present (MQTT 5.0 [MQTT-3.2.2-3], MQTT 3.1.1 [MQTT-3.2.2-2]).

use ungraceful_mqtt::QoS;
use ungraceful_mqtt::statement::{Statement, V5_3_2_2_3, V311_3_2_2_2};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::run::CaseRecord;
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;

use crate::judging::examples;
use crate::peer::{Delivered, Event, Peer};

/// Fact: Session Present in the CONNACK of a client that came back, and whether its session was resumed.
pub const SESSION_PRESENT: FactOf<Resumption> = FactOf::new("session_present");
/// Fact: whether messages came from a session that must have ended. After Clean Start 0 only of clients that received Session
/// Present 1, or any such message.
pub const LEFT_OVER: FactOf<Remains> = FactOf::new("left_over");

/// The number of the message that tests whether a subscription exists; it is in no ledger.
const PROBE: u64 = u64::MAX;

ungraceful_record::words! {
    /// Whether a session was resumed.
    pub enum Resumption: "resumption" {
        /// The CONNACK says Session Present 1.
        Announced = "yes",
        /// The CONNACK says Session Present 0, and messages came that only the session explains: queued ones, or one to a
        /// subscription that the client did not renew.
        Unannounced = "no, but resumed",
        /// Session Present 0, and nothing of the session came to a client that was served.
        Not = "no",
        /// Session Present 0, and the client was not served for long enough, or the broker accepted no message for it.
        Unknown = "not served",
        /// No session was expected.
        NotOwed = "not owed",
        /// The publisher was cut meanwhile: a restarted broker has no sessions.
        PublisherCut = "not told, the publisher was cut",
    }
}

ungraceful_record::words! {
    /// What came from a session to a client that has not subscribed since it came back.
    pub enum Remains: "remains" {
        /// Messages that only the session explains: queued ones, or one to its subscription.
        Some = "some",
        /// Nothing, and the client was served.
        None = "none",
        /// Nothing, and the client was not served for long enough.
        Unknown = "not served",
    }
}

impl Remains {
    /// Publishes a message to `topic`, to which the session had subscribed, and receives until something of the session comes,
    /// at most for `stage.reaction_timeout`. Adds what comes to `came`.
    pub(crate) async fn look(stage: &Stage, peer: &mut Peer, topic: &str, came: &mut Vec<Delivered>) -> Self {
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        let Ok(probe) = peer.send_publish(topic, qos, PROBE, None).await else { return Self::Unknown };
        let mut is_taken = qos == QoS::AtMostOnce;
        let deadline = now() + stage.reaction_timeout;
        loop {
            match peer.next_before(deadline).await {
                Some(Event::Delivered(message)) => {
                    came.push(message);
                    if is_of_session(came) {
                        return Self::Some;
                    }
                }
                Some(Event::Finished { identifier, code }) if identifier == probe => is_taken = code < 0x80,
                Some(Event::Ended { .. } | Event::Disconnect(_)) => return Self::Unknown,
                Some(_) => {}
                None => break,
            }
        }
        let is_served = peer.is_served(stage.reaction_timeout).await;
        came.extend(peer.take_set_aside());
        match is_of_session(came) {
            true => Self::Some,
            false if is_taken && is_served => Self::None,
            false => Self::Unknown,
        }
    }
}

impl Resumption {
    /// Finds out whether the session of an accepted client was resumed: by [`Remains::look`] where the CONNACK says Session
    /// Present 0.
    pub(crate) async fn look(
        stage: &Stage,
        peer: &mut Peer,
        accepted: &Accepted,
        topic: &str,
        came: &mut Vec<Delivered>,
    ) -> Self {
        if accepted.session_present {
            return Self::Announced;
        }
        match Remains::look(stage, peer, topic, came).await {
            Remains::Some => Self::Unannounced,
            Remains::None => Self::Not,
            Remains::Unknown => Self::Unknown,
        }
    }

    /// Whether the broker resumed the session, whatever its CONNACK says.
    pub(crate) const fn goes_on(self) -> bool {
        matches!(self, Self::Announced | Self::Unannounced)
    }
}

/// Whether numbered messages came to a client without a subscription of its own.
fn is_of_session(came: &[Delivered]) -> bool {
    came.iter().any(|message| message.sequence.is_some())
}

/// The finding on Session Present 1 after Clean Start 0 where the session must have ended. If something of it came, it breaks
/// `kept`, that the session is gone. If nothing came to a client that was served, it breaks `present`, that Session Present is 0
/// without a session (MQTT 5.0 and 3.1.1 [MQTT-3.2.2-3]). If neither was seen, one of the two is broken, but not known which.
pub(crate) fn broken_by_presence(
    case: &Judged<'_>,
    kept: Statement,
    present: Statement,
    evidence: String,
) -> Finding {
    let statement = if case.count(LEFT_OVER, Remains::Some) > 0 {
        kept
    } else if case.count(LEFT_OVER, Remains::None) > 0 {
        present
    } else {
        return Finding::inconclusive(format!(
            "{evidence}; whether anything of the session was left is not known, because these clients were not served for \
             long enough; try a longer --reaction-timeout"
        ))
        .by(kept);
    };
    Finding::violated(evidence).by(statement).with_examples(examples(case, |_| true))
}

/// Sessions of a case by whether they were resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// With Session Present 1.
    pub(crate) announced: u64,
    /// With Session Present 0.
    pub(crate) unannounced: u64,
    /// Not resumed, although they had to be.
    pub(crate) gone: u64,
    /// With Session Present 0; no more is known.
    pub(crate) unknown: u64,
}

impl Resumed {
    /// The sessions of a case's clients.
    pub(crate) fn of(case: &CaseRecord) -> Self {
        let count = |value| case.count(SESSION_PRESENT, value);
        Self {
            announced: count(Resumption::Announced),
            unannounced: count(Resumption::Unannounced),
            gone: count(Resumption::Not),
            unknown: count(Resumption::Unknown),
        }
    }

    /// Why no session is evidence although clients came back; absent where one is, or no client did.
    pub(crate) fn nothing_known(self) -> Option<String> {
        (self.all() == 0 && self.unknown > 0).then(|| {
            format!(
                "{} clients received Session Present 0, and whether their session existed all the same is not known: they \
                 were not served for long enough, or the broker accepted no message for them",
                self.unknown
            )
        })
    }

    /// Sessions that were resumed.
    pub(crate) const fn kept(self) -> u64 {
        self.announced + self.unannounced
    }

    /// Sessions that are evidence.
    pub(crate) const fn all(self) -> u64 {
        self.kept() + self.gone
    }

    /// The finding on Session Present, which is 1 where the session is resumed (MQTT 5.0 [MQTT-3.2.2-3], MQTT 3.1.1
    /// [MQTT-3.2.2-2]); absent where no client received Session Present 0.
    pub(crate) fn session_present_is_true(case: &Judged<'_>) -> Option<Finding> {
        let resumed = Self::of(case);
        let received_absent = resumed.unannounced + resumed.gone;
        if received_absent == 0 {
            return None;
        }
        let evidence = format!(
            "of {received_absent} clients that received Session Present 0, {} received messages of their session",
            resumed.unannounced
        );
        Some(match resumed.unannounced {
            0 => Finding::holds(received_absent, evidence),
            _ => Finding::violated(evidence).with_examples(examples(case, |_| true)),
        })
    }
}

/// The check of [`Resumed::session_present_is_true`].
pub(crate) const REPORTS_SESSION_PRESENT_CORRECTLY: Check = Check::must(
    "reports_session_present_correctly",
    &[V5_3_2_2_3, V311_3_2_2_2],
    Resumed::session_present_is_true,
);

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
    use ungraceful_mqtt::{Connect, Properties, Property, ProtocolVersion};
    use ungraceful_rig::attempts::client::Client;
    use ungraceful_scripted_broker::{Script, Sessions};

    use super::Resumption;
    use crate::peer::Peer;
    use crate::testing::Scene;

    /// A client subscribes, goes without a word, and comes back to its session, which holds nothing.
    async fn after_a_return(sessions: Sessions, version: ProtocolVersion) -> Resumption {
        let scene = Scene::with(Script { sessions, ..Script::default() });
        let kept = [Property::SessionExpiryInterval(60)];
        let credentials = &scene.stage.credentials;
        let connect = |clean_start| Connect {
            clean_start,
            properties: if version == V5 { Properties::List(&kept) } else { Properties::NONE },
            ..Client::honest_connect("returns", credentials)
        };
        let first = connect(version == V5);
        let (mut peer, _) = Peer::connect(&scene.stage, version, &first).await.unwrap();
        let within = scene.stage.reaction_timeout;
        peer.subscribe("t", ungraceful_mqtt::QoS::AtLeastOnce, within).await.unwrap();
        peer.client.connection.reset();
        let (mut peer, accepted) = Peer::connect(&scene.stage, version, &connect(false)).await.unwrap();
        Resumption::look(&scene.stage, &mut peer, &accepted, "t", &mut Vec::new()).await
    }

    #[tokio::test]
    async fn a_session_goes_on_when_the_broker_says_so_or_serves_its_subscription() {
        for version in [V3_1_1, V5] {
            assert_eq!(after_a_return(Sessions::Keep, version).await, Resumption::Announced);
            assert_eq!(after_a_return(Sessions::LieAbsent, version).await, Resumption::Unannounced);
            assert_eq!(after_a_return(Sessions::Forget, version).await, Resumption::Not);
        }
    }
}
