//! A subscriber with a persistent session disconnects; a publisher fills its queue; the subscriber returns.
//!
//! Every broker limits its queues. This shows the limit, and which messages are dropped: the oldest, the newest, or none because
//! the publisher is refused. What is delivered comes in order (MQTT 5.0 [MQTT-4.6.0-5], MQTT 3.1.1 [MQTT-4.6.0-6]).

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{Property, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

pub use super::fates::LostEnd;
use super::fates::{Fates, SharedFates, within};
use super::pair::Pair;
use super::publisher::{Published, Publisher};
use super::quota_leak::Variant;
use super::subscriber::{Acknowledging, Subscriber};
use super::unacked_subscriber::{LATER, Later};
use super::{longest, offline_queue_checks, topic};
use crate::ending::{Unfinished, attempted, confirm, qos_taken};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::peer::{Peer, discard_session};
use crate::resumption::{Resumption, SESSION_PRESENT};
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "offline-queue";
/// Fact: which of the acknowledged messages are missing.
pub const LOST_END: FactOf<LostEnd> = FactOf::new("lost_end");
/// Fact: how the broker answered the publisher.
pub const PUBLISHER: FactOf<PublisherMet> = FactOf::new("publisher");
/// Measure: the Session Expiry Interval that the broker granted, in seconds; only on 5.0.
pub const GRANTED_S: Measure = Measure::new("session_expiry_interval_granted_s");

ungraceful_record::words! {
    /// How the broker answered the publisher.
    pub enum PublisherMet {
        /// It acknowledged every message without an error.
        AllTaken = "all taken",
        /// It stopped acknowledging.
        Stalled = "stalled",
    } else {
        /// It refused a message; the Reason Code.
        Refused = "refused with ",
        /// It cut the publisher; by this.
        Cut = "cut by ",
    }
}

/// The requested Session Expiry Interval, in seconds: longer than any attempt, and short enough that a session which could not
/// be removed expires.
const SESSION_EXPIRY_INTERVAL_S: u32 = 3_600;

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: qos1, qos2 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Messages published while the subscriber is away
    #[arg(long, value_name = "N", default_value = "2000")]
    messages: Whole<1, 1_000_000>,
    /// Payload of each message in bytes
    #[arg(short = 's', long, value_name = "BYTES", default_value = "16")]
    size: Whole<16, 65_536>,
    #[command(flatten)]
    versions: Versions,
    /// The time limit of an attempt.
    #[arg(skip)]
    longest: Duration,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "A subscriber with a session leaves, its queue fills up, and it returns";
    const LONG_ABOUT: &'static str = "A subscriber asks for its session to be kept (Session Expiry Interval on 5.0, Clean Session 0 on \
         3.1.1), subscribes and disconnects; a publisher fills its queue; the subscriber returns. Reports \
         whether its session existed, how many of the acknowledged messages are delivered, which end of \
         the queue is missing, whether messages come in order, and whether the publisher was refused. \
         Messages that a limit drops or refuses are a note; messages in another order than published are \
         a violation (MQTT 5.0 [MQTT-4.6.0-5], MQTT 3.1.1 [MQTT-4.6.0-6]), and so is a missing session \
         (MQTT 5.0 [MQTT-3.1.2-23]). The session is removed afterwards.";
    const CHECKS: &'static [&'static [Check]] = &[offline_queue_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "5"), ("count", "20")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, _mistakes: &mut Vec<Mistake>) {
        self.longest = longest(call.reaction_timeout, self.messages.0, self.size.0);
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        self.longest
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(OfflineQueue { variant, version, flags: self.clone() })
        })
    }
}

/// A queue that fills while its subscriber is offline, in one variant and version.
#[derive(Debug)]
struct OfflineQueue {
    variant: Variant,
    version: ProtocolVersion,
    flags: Flags,
}

impl Fault for OfflineQueue {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let session = match self.version {
            ProtocolVersion::V5 => "with Session Expiry Interval 3,600 s",
            ProtocolVersion::V3_1_1 => "with Clean Session 0",
        };
        let (messages, qos) = (self.flags.messages.0, self.variant.qos());
        format!(
            "a subscriber {session} leaves, {messages} messages of {qos} are published, it returns; its session is removed"
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// What is known after the subscriber returned.
#[derive(Debug)]
struct Returned {
    pair: Pair,
    published: Published,
    /// Nothing came, not even a message that the broker acknowledged after the return: there is no subscription.
    passed_over: bool,
    served: bool,
}

impl OfflineQueue {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        qos_taken(stage, self.variant.qos())?;
        let fates = Fates::of(stage, log, self.variant.qos());
        let returned = self.leave_and_return(stage, log, &fates).await;
        // Also when the run is being stopped: an attempt leaves nothing behind.
        discard_session(stage, self.version, log.client_id()).await;
        returned
    }

    async fn leave_and_return(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        fates: &SharedFates,
    ) -> Result<(), Unfinished> {
        let acting = self.act(stage, log, fates);
        let returned = within(stage, self.flags.longest, fates, acting).await?;
        let mut returned = returned.ok_or(Unfinished::Stopped)??;
        let drained_at = now();
        let asking = returned.pair.subscriber.is_served(stage.reaction_timeout);
        let served = stage.unless_stopped(returned.pair.publisher.during(asking));
        returned.served = served.await.unwrap_or(false);
        let seen = &returned.pair.subscriber.account.seen;
        let outcome = match stage.stop.reason() {
            Some(_) if seen.end.is_none() && !returned.served => Outcome::Interrupted,
            _ => seen.outcome(returned.served),
        };
        confirm(stage, log, self.version, (seen.reactions(), Some(outcome))).await;
        if log.so_far().outcome.is_evidence() {
            self.report(log, &returned);
            let latest_at = returned.pair.subscriber.account.latest_at.filter(|at| *at <= drained_at);
            if let Some(latest_at) = latest_at {
                let drain = latest_at.saturating_duration_since(returned.pair.subscriber.accepted.connack_at);
                log.measure(Measure::new("drain_us"), u64::try_from(drain.as_micros()).unwrap_or(u64::MAX));
            }
        }
        returned.pair.leave().await;
        Ok(())
    }

    async fn act(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        fates: &SharedFates,
    ) -> Result<Returned, String> {
        let client_id = log.client_id().to_owned();
        let topic = topic(stage, log);
        if self.version == ProtocolVersion::V3_1_1 {
            // A killed run with the same seed may have left a session behind.
            discard_session(stage, self.version, &client_id).await;
        }
        // On 3.1.1 a clean session would not be persistent.
        let kept = [Property::SessionExpiryInterval(SESSION_EXPIRY_INTERVAL_S)];
        let is_clean = self.version == ProtocolVersion::V5;
        let connect = session_connect(stage, self.version, &client_id, is_clean, &kept);
        let connected = Peer::begin(stage, log, self.version, &connect).await;
        let connected = connected.map_err(|error| format!("the subscriber: {error}"))?;
        let mut subscriber = Subscriber::new(connected, Acknowledging::AtOnce, fates);
        let granted = subscriber.accepted.session_expiry_interval_s.unwrap_or(SESSION_EXPIRY_INTERVAL_S);
        if self.version == ProtocolVersion::V5 {
            log.measure(GRANTED_S, u64::from(granted));
        }
        subscriber.subscribe(&topic, self.variant.qos(), stage.options.connect_timeout).await?;
        subscriber.leave().await;
        let mut publisher = Publisher::beside(stage, log, self.version, self.flags.size.get(), fates).await?;
        log.provoked(now());
        let patience = stage.reaction_timeout;
        let mut published = publisher.publish(self.flags.messages.0, patience).await;
        let connect = session_connect(stage, self.version, &client_id, false, &kept);
        let returning = Subscriber::connect(stage, self.version, &connect, fates);
        let subscriber = publisher.during(returning).await?;
        let mut pair = Pair { subscriber, publisher, fates: fates.clone() };
        published = pair.drain(published, self.flags.messages.0, patience).await;
        let is_empty = fates.borrow().delivered_count() == 0 && fates.borrow().owed() > 0;
        let mut passed_over = false;
        if is_empty && published == Published::All && !pair.subscriber.account.seen.is_over() {
            let taken = pair.publisher.account.acknowledged;
            let came = pair.publish_later(self.flags.messages.0, patience).await;
            log.fact(LATER, if came { Later::Came } else { Later::DidNotCome });
            passed_over = !came && pair.publisher.account.acknowledged > taken;
        }
        Ok(Returned { pair, published, passed_over, served: false })
    }

    fn report(&self, log: &mut AttemptLog<'_>, returned: &Returned) {
        let fates = returned.pair.fates.borrow();
        let sending = &returned.pair.publisher.account;
        let resumption = match returned.pair.subscriber.accepted.session_present {
            true => Resumption::Announced,
            // It has not subscribed again, so these came from its session.
            false if fates.delivered_count() > 0 => Resumption::Unannounced,
            false if returned.passed_over && returned.served => Resumption::Not,
            // It was cut, or the broker acknowledged no message for it.
            false => Resumption::Unknown,
        };
        let is_cut = sending.seen.is_over();
        log.fact(SESSION_PRESENT, if is_cut { Resumption::PublisherCut } else { resumption });
        log.fact(LOST_END, fates.lost_end());
        let publisher = match (returned.published, sending.refused.keys().next()) {
            (Published::All, None) => PublisherMet::AllTaken,
            (Published::All, Some(code)) => PublisherMet::Refused(format!("0x{code:02X}")),
            (Published::Cut, _) => PublisherMet::Cut(sending.seen.ended_by().unwrap_or_default()),
            (Published::Stalled, _) => PublisherMet::Stalled,
        };
        log.fact(PUBLISHER, publisher);
        log.measure(Measure::new("taken"), sending.acknowledged);
        log.measure(Measure::new("refused"), sending.refused.values().sum());
        log.measure(Measure::new("delivered"), fates.delivered_count());
        let counts = fates.counts();
        log.measure(Measure::new("lost"), counts.lost + counts.without_subscribers);
        if !is_cut && !returned.pair.subscriber.account.seen.is_over() {
            fates.report_copies(log);
        }
        fates.report(log);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_flags::{Versions, Whole};
    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_record::testing::fact_of;
    use ungraceful_scripted_broker::{Pubacks, Script, Sessions};

    use super::{Flags, OfflineQueue, Variant};
    use crate::resumption::{Resumption, SESSION_PRESENT};
    use crate::testing::Scene;

    /// What is known of a session on a broker with this script.
    async fn session_on(script: Script) -> Option<Resumption> {
        let flags = Flags {
            variant: Vec::new(),
            messages: Whole(10),
            size: Whole(16),
            versions: Versions::default(),
            longest: Duration::from_secs(60),
        };
        let queue = OfflineQueue { variant: Variant::Qos1, version: ProtocolVersion::V5, flags };
        let attempt = Scene::with(script).attempt(&queue).await;
        fact_of(&attempt, SESSION_PRESENT)
    }

    #[tokio::test]
    async fn a_session_is_gone_only_when_a_later_message_found_no_subscription() {
        assert_eq!(session_on(Script::default()).await, Some(Resumption::Announced));
        let forgets = Script { sessions: Sessions::Forget, ..Script::default() };
        assert_eq!(session_on(forgets).await, Some(Resumption::Not));
        for pubacks in [Pubacks::Refuse(0x97), Pubacks::Never] {
            let acknowledges_nothing = Script { pubacks, ..forgets };
            assert_eq!(session_on(acknowledges_nothing).await, Some(Resumption::Unknown), "{pubacks}");
        }
    }
}
