//! The second CONNECT: a connected client sends CONNECT once more on the same Network Connection.
//!
//! Both versions of the standard require the broker to treat it as a protocol violation and to close the connection (MQTT 5.0
//! [MQTT-3.1.0-2], MQTT 3.1.1 [MQTT-3.1.0-2]). Client libraries do it when a reconnect races with a connection that is still
//! open. The broker's log then has a client that was disconnected because it "sent second CONNECT message".

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;
use ungraceful_flags::{Named, Time, Versions, Wanted, chosen};
use ungraceful_mqtt::{Connect, Property, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::connack_code_text;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::{Client, encode_connect};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{STALLED, Watch, observe};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;
use ungraceful_wire::{PACKET_BYTES_MAX, Sent};

use super::double_connect_checks;
use super::takeover::session_connect;
use crate::ending::{Unfinished, attempted, confirm, prepared};
use crate::mode::{ConnectionsOf, FaultMode, Mode, each_case, mode};
use crate::peer::{Event, Peer};

/// The one mode of `ungraceful-double-connect`.
pub const MODES: &[&dyn Mode] = &[mode::<Flags>()];

/// The fault's id in the catalogue.
pub const ID: &str = "double-connect";
/// Fact: the state of the second ClientID.
pub const SECOND_CLIENT_ID: FactOf<SecondClientId> = FactOf::new("second_client_id");

ungraceful_record::words! {
    /// What the broker did with the second ClientID.
    pub enum SecondClientId: "fate" {
        /// Nothing.
        None = "none",
        /// The connection is bound to it: a client that connects with it takes the connection over.
        Live = "live",
        /// A session of it was kept.
        Session = "session",
        /// Not known: no probe could connect.
        NotProbed = "not probed",
    }
}

/// Application Message of the first CONNECT's Will.
const FIRST_WILL: &[u8] = b"will of the first CONNECT";
/// Application Message of the second CONNECT's Will.
const SECOND_WILL: &[u8] = b"will of the second CONNECT";
/// Session Expiry Interval of the second CONNECT with another ClientID: longer than the probe takes.
const GHOST_SESSION_S: u32 = 60;
/// How long the take-over by the probe may take.
const TAKEOVER_WITHIN: Duration = Duration::from_millis(500);

ungraceful_record::words! {
    /// How the second CONNECT differs from the first, and when it comes.
    pub enum Variant: "variant" {
        /// The same bytes again, right after the CONNACK.
        Identical = "identical",
        /// With another ClientID: does the broker bind one connection to two sessions?
        OtherClientId = "other-client-id",
        /// Both in one write, so that the second arrives before the CONNACK to the first.
        SameSegment = "same-segment",
        /// The same bytes again, some time after the CONNACK.
        Delayed = "delayed",
        /// The first CONNECT sets a Will and the second a different one: which one is published, if any?
        WithWill = "with-will",
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
struct Flags {
    /// Variants, separated by commas: identical, other-client-id, same-segment, delayed, with-will [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Pause before the second CONNECT of the variant `delayed`
    #[arg(long, value_name = "TIME", default_value = "1s")]
    delay: Time,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "What happens on a second CONNECT?";
    const LONG_ABOUT: &'static str = "Sends a second CONNECT on open connections, in several variants, and reports what the broker \
         does: whether it closes the connection, with which Reason Code and how fast, whether it \
         publishes the Will, whether the second ClientID gets a session, and how well-behaved clients are \
         affected. Both versions of the standard require it to close the connection ([MQTT-3.1.0-2]).";
    const CHECKS: &'static [&'static [Check]] = &[double_connect_checks::CHECKS];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        let is_paused = chosen(&Variant::ALL, &self.variant).contains(&Variant::Delayed);
        if is_paused { *self.delay } else { Duration::ZERO }
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(DoubleConnect { variant, version, delay: *self.delay })
        })
    }
}

/// The second CONNECT in one variant and version.
#[derive(Clone, Copy, Debug)]
pub struct DoubleConnect {
    /// How the second CONNECT differs.
    pub variant: Variant,
    /// The version both CONNECTs speak.
    pub version: ProtocolVersion,
    /// The pause before the second CONNECT of [`Variant::Delayed`].
    pub delay: Duration,
}

impl Fault for DoubleConnect {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let steps = match self.variant {
            Variant::Identical => "CONNECT, wait for CONNACK, the same CONNECT again",
            Variant::OtherClientId => {
                "CONNECT, wait for CONNACK, CONNECT with another ClientID and Clean Start 0; then a probe with that \
                 ClientID on a connection of its own"
            }
            Variant::SameSegment => "CONNECT and the same CONNECT again in one write",
            Variant::Delayed => {
                let pause = span(self.delay);
                return format!("CONNECT, wait for CONNACK, pause of {pause}, the same CONNECT again");
            }
            Variant::WithWill => "CONNECT with a Will (QoS 1), wait for CONNACK, CONNECT with another Will",
        };
        steps.to_owned()
    }

    fn repeats_connect(&self) -> bool {
        true
    }

    fn companions(&self) -> &'static [Companion] {
        match self.variant {
            Variant::OtherClientId => &[Companion::OnlyConnects],
            Variant::Identical | Variant::SameSegment | Variant::Delayed | Variant::WithWill => &[],
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl DoubleConnect {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let will = (self.variant == Variant::WithWill).then(|| stage.watch_will(log.name())).flatten();
        if self.variant == Variant::WithWill && will.is_none() {
            return Err("no Will was set, because the witness did not provably receive messages".into());
        }
        let provoked = prepared(stage, self.provoke(stage, log, will.as_ref())).await;
        let (mut peer, before, Sent { at: provoked_at, .. }) = provoked?;
        log.provoked(provoked_at);
        let watch = Watch {
            provoked_at,
            within: stage.reaction_timeout,
            connacks_due: u32::from(self.variant == Variant::SameSegment),
            subscribed: false,
        };
        let seen = observe(&mut peer.client, &stage.clock, &stage.stop, watch).await;
        if let Some(code) = seen.refused {
            let code = connack_code_text(self.version, code);
            return Err(format!("the broker refused the first CONNECT: {code}").into());
        }
        if let Some(at) = seen.connack_at {
            log.accepted(at);
        }
        // A connection that the broker has ended stops counting as a client at once.
        let mut open = seen.ended_at_us().is_none().then_some(peer);
        if open.is_none() {
            log.connection_over();
        }
        if seen.stalled {
            log.trouble(STALLED);
        }
        let confirmed = confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await;
        let outcome = confirmed.outcome;
        if self.variant == Variant::OtherClientId && outcome.is_evidence() {
            let other_client_id = log.companion(Companion::OnlyConnects);
            let probe = self.probe_second_client_id(open.as_mut(), stage, &other_client_id);
            log.fact(
                SECOND_CLIENT_ID,
                stage.unless_stopped(probe).await.unwrap_or(SecondClientId::NotProbed),
            );
        }
        if let Some(peer) = open {
            peer.client.leave().await;
        }
        log.connection_over();
        if let Some(watch) = will.filter(|_| outcome.is_evidence()) {
            let ended_at = confirmed.ended_at(stage);
            if let Some(seen) =
                stage.await_will(&watch, outcome.is_ended(), before, ended_at, FIRST_WILL).await
            {
                log.will(seen);
            }
        }
        Ok(())
    }

    /// Connects and sends the second CONNECT.
    async fn provoke(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<(Peer, Instant, Sent), String> {
        let mut peer = Peer::open(stage, log, self.version).await?;
        let client_id = log.client_id().to_owned();
        let first = Connect {
            will: will.map(|watch| stage.will(watch, FIRST_WILL)),
            ..Client::honest_connect(&client_id, &stage.credentials)
        };
        let other_client_id =
            (self.variant == Variant::OtherClientId).then(|| log.companion(Companion::OnlyConnects));
        let session = [Property::SessionExpiryInterval(GHOST_SESSION_S)];
        let second = match self.variant {
            Variant::Identical | Variant::SameSegment | Variant::Delayed => first,
            Variant::WithWill => Connect { will: will.map(|watch| stage.will(watch, SECOND_WILL)), ..first },
            Variant::OtherClientId => {
                let client_id = other_client_id.as_deref().unwrap_or_default();
                session_connect(stage, self.version, client_id, false, &session)
            }
        };
        let mut bytes = Vec::new();
        let mut encode = |connect: &Connect<'_>| {
            let encoded = encode_connect(connect, self.version, PACKET_BYTES_MAX, &mut bytes);
            encoded.map_err(|error| format!("cannot encode CONNECT: {error}"))
        };
        if self.variant == Variant::SameSegment {
            encode(&first)?;
        } else {
            let accepted = peer.be_accepted(stage, log, &first).await;
            accepted.map_err(|error| format!("first CONNECT: {error}"))?;
            let pause = if self.variant == Variant::Delayed { self.delay } else { Duration::ZERO };
            stay_connected(&mut peer, now() + pause).await?;
        }
        encode(&second)?;
        let before = now();
        let sent = peer.client.connection.send(&bytes).await;
        let sent = sent.map_err(|error| format!("cannot send the second CONNECT: {error}"))?;
        Ok((peer, before, sent))
    }

    /// What the broker did with the second ClientID.
    async fn probe_second_client_id(
        &self,
        peer: Option<&mut Peer>,
        stage: &Stage,
        other_client_id: &str,
    ) -> SecondClientId {
        let connect = session_connect(stage, self.version, other_client_id, false, &[]);
        let Ok((probe, accepted)) = Peer::connect(stage, self.version, &connect).await else {
            return SecondClientId::NotProbed;
        };
        let live = match peer {
            Some(peer) => {
                timeout(TAKEOVER_WITHIN, taken_over(peer, accepted.connect_sent)).await.unwrap_or(false)
            }
            // A closed connection cannot be taken over.
            None => false,
        };
        probe.leave_nothing(stage, other_client_id).await;
        match (live, accepted.session_present) {
            (true, _) => SecondClientId::Live,
            (false, true) => SecondClientId::Session,
            (false, false) => SecondClientId::None,
        }
    }
}

/// Behaves as a well-behaved client until then.
///
/// # Errors
/// A message for the user when the connection ends first: that is no reaction to the second CONNECT.
async fn stay_connected(peer: &mut Peer, until: Instant) -> Result<(), String> {
    loop {
        let why = match peer.next_alive(until).await {
            Some(Event::Ended { .. } | Event::Disconnect(_)) => "the broker ended the connection".to_owned(),
            Some(Event::NotTakenIn(why)) => format!("the broker sent {why}"),
            // Other packets before the second CONNECT are no reaction to it.
            Some(_) => continue,
            None => return Ok(()),
        };
        return Err(format!("{why} before the second CONNECT"));
    }
}

/// Whether the connection ends, or its client receives DISCONNECT, after the probe sent its CONNECT: a broker may do that
/// before it sends the probe's CONNACK.
async fn taken_over(peer: &mut Peer, probe_sent_at: Instant) -> bool {
    loop {
        match peer.next().await {
            // A connection that ended earlier was not taken over by the probe.
            Event::Ended { at, .. } => return at >= probe_sent_at,
            Event::Disconnect(_) => return peer.disconnected.is_some_and(|(_, at)| at >= probe_sent_at),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_record::attempt::Attempt;
    use ungraceful_record::reaction::Outcome;
    use ungraceful_rig::attempts::observe::STALLED;
    use ungraceful_scripted_broker::{Script, SecondConnect, Stall};

    use super::{DoubleConnect, Variant};
    use crate::testing::Scene;

    /// The attempt against a broker that stalls at the second CONNECT until just after the last PINGREQ, and then answers all
    /// of them at once.
    async fn stalled(second_connect: SecondConnect) -> Attempt {
        let at_the_second = NonZeroU32::new(2).unwrap();
        let stall = Stall::AtConnect(at_the_second, Duration::from_millis(2_500));
        let mut scene = Scene::with(Script { second_connect, stall, ..Script::default() });
        scene.stage.reaction_timeout = Duration::from_secs(2);
        let fault = DoubleConnect {
            variant: Variant::Identical,
            version: ProtocolVersion::V5,
            delay: Duration::ZERO,
        };
        scene.attempt(&fault).await
    }

    #[tokio::test]
    async fn a_close_soon_after_a_stall_counts_as_closed() {
        let attempt = stalled(SecondConnect::ServeFor(Duration::from_millis(300))).await;
        assert_eq!((attempt.outcome, &attempt.trouble), (Outcome::Closed, &None), "{attempt:?}");
    }

    #[tokio::test]
    async fn a_burst_of_answers_after_a_stall_is_no_evidence() {
        let attempt = stalled(SecondConnect::Ignore).await;
        assert_eq!((attempt.outcome, attempt.trouble.as_deref()), (Outcome::NoReaction, Some(STALLED)));
    }
}
