//! The drop: a client that is connected, subscribed and working goes without DISCONNECT, by FIN, RST or half-close. What
//! becomes of its Will, of its session, and of what is published while it is away?
//!
//! A client that leaves with DISCONNECT stands beside them as the control. Some variants are about time: a Will with a
//! delay, a session that ends, or does not end yet.

mod flags;
mod going;
mod returning;
mod variant;

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Properties, Property, ProtocolVersion, QoS, Will};
use ungraceful_record::attempt::{Attempt, Case, WillSeen};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;

pub use self::flags::Flags;
pub use self::going::Way;
use self::going::{Gone, go};
use self::variant::Lives;
pub use self::variant::Variant;
use crate::ending::{Answer, Confirmed, Untold, attempted, confirm, prepared};
use crate::outbox::{Outbox, Share};
use crate::peer::{Peer, discard_session};
use crate::resumption::Resumption;
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "drop";

/// Fact: what became of the CONNECT of the client that came back.
pub const RETURN: FactOf<Answer> = FactOf::new("return");
/// Fact: whether the messages that were published meanwhile came.
pub const WAITING: FactOf<Share> = FactOf::new("waiting_messages");
/// Fact: when the Will came that was due.
pub const WILL_CAME: FactOf<WillCame> = FactOf::new("will_came");

ungraceful_record::words! {
    /// When a Will came that was due.
    pub enum WillCame: "time" {
        /// Not before it was due.
        InTime = "when due",
        /// More than a second before it was due.
        Early = "too early",
        /// Less than a second before it was due, as a broker does that counts in whole seconds.
        Rounded = "up to 1 s early",
        /// The session had ended, and the Will waited for its delay all the same.
        LateByDelay = "after its delay",
    }
}

/// Measure: when the Will came after it was due: the end of its delay or that of its session, whichever is first.
pub const WILL_PAST_DUE: Measure = Measure::new("will_past_due_us");
/// Measure: the client went, until the CONNACK of its return.
pub const RETURNED_AFTER: Measure = Measure::new("returned_after_us");

/// Measure: the end of the session, until the CONNECT of the client that is to find none.
pub const BACK_PAST_END: Measure = Measure::new("back_past_end_us");

/// Application Message of the Will.
const WILL: &[u8] = b"will of a client that went";
/// Brokers may count time in whole seconds, so what happens less than this before its time is no violation.
pub(crate) const WHOLE_SECOND: Duration = Duration::from_secs(1);
/// How long before the end of its session the client of [`Variant::BeforeExpiry`] is back: a quarter of its time, and at
/// the least so long.
const BEFORE_EXPIRY: Duration = Duration::from_secs(2);
/// How long before the return messages are published: the broker has noticed by then that the client is gone.
const PUBLISH_BEFORE: Duration = Duration::from_millis(300);
/// Longer than any session that is to end before its Will is due.
const BEYOND_SESSION_S: u32 = 3_600;

/// One variant with one version.
#[derive(Clone, Debug)]
pub struct DropConnection {
    /// What is done.
    pub variant: Variant,
    /// The version spoken.
    pub version: ProtocolVersion,
    /// The times of client, session and Will, and how much is published meanwhile.
    pub flags: Flags,
}

/// A client that is connected, subscribed and working.
struct Working {
    peer: Peer,
    topic: String,
    /// The QoS that its subscription was granted.
    qos: QoS,
    /// How long its session outlives the connection, as far as the broker has told.
    granted: Duration,
}

/// A client that is back.
struct Returned {
    peer: Peer,
    accepted: Accepted,
    /// Whether its session was found to go on.
    resumption: Resumption,
}

/// What an attempt has left behind with the broker.
enum Left {
    /// Nothing.
    Nothing,
    /// A session, maybe.
    Session,
}

/// What goes on while the client is away.
struct Absence {
    /// Who publishes; absent until something is published.
    publisher: Option<Peer>,
    topic: String,
    qos: QoS,
    granted: Duration,
    gone: Gone,
    outbox: Outbox,
    /// The messages that the broker has taken.
    taken: Vec<u64>,
}

impl Fault for DropConnection {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let session = match (self.version, self.variant.lives()) {
            (ProtocolVersion::V3_1_1, Lives::NotAtAll) => "Clean Session 1".to_owned(),
            (ProtocolVersion::V3_1_1, _) => "Clean Session 0".to_owned(),
            (ProtocolVersion::V5, _) => format!("Session Expiry Interval {} s", self.expiry_s()),
        };
        format!(
            "CONNECT with a Will{} and {session}, SUBSCRIBE; {}",
            match self.delay_s() {
                0 => String::new(),
                delay => format!(" (Will Delay Interval {delay} s)"),
            },
            self.variant.describe()
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl DropConnection {
    /// Session Expiry Interval in seconds.
    const fn expiry_s(&self) -> u32 {
        match self.variant.lives() {
            Lives::Long => self.flags.session_expiry_interval.0,
            Lives::Short => self.flags.short_expiry.0,
            Lives::NotAtAll => 0,
        }
    }

    /// Will Delay Interval in seconds; MQTT 3.1.1 has none.
    const fn delay_s(&self) -> u32 {
        match (self.version, self.variant) {
            (ProtocolVersion::V3_1_1, _) => 0,
            (_, Variant::WillDelay | Variant::BackBeforeWillDelay | Variant::SessionEnds) => {
                self.flags.will_delay.0
            }
            (_, Variant::WillAtSessionEnd) => self.flags.short_expiry.0.saturating_add(BEYOND_SESSION_S),
            _ => 0,
        }
    }

    /// The end of the connection, until its Will is due: the end of its delay or that of the session, whichever is first
    /// (MQTT 5.0 [MQTT-3.1.2-8]).
    fn will_due_after(&self, granted: Duration) -> Duration {
        Duration::from_secs(self.delay_s().into()).min(granted)
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let left = self.go_and_return(stage, log).await;
        if !matches!(left, Ok(Left::Nothing)) {
            // No session stays behind that outlives its client.
            discard_session(stage, self.version, log.client_id()).await;
        }
        left.map(|_| ())
    }

    async fn go_and_return(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Left, Untold> {
        let will = stage.watch_will(log.client_id());
        let working = prepared(stage, self.prepare(stage, log, will.as_ref())).await?;
        let Working { peer, topic, qos, granted } = working;
        let gone = prepared(stage, go(stage, peer, self.variant.way())).await?;
        log.provoked(gone.at);
        let seen = (gone.reactions.clone(), Some(gone.outcome));
        let Confirmed { outcome, .. } = confirm(stage, log, self.version, seen).await;
        // A connection that the broker keeps half open has not ended: what comes later is due to the Keep Alive.
        if !outcome.is_evidence() || gone.is_open() {
            return Ok(Left::Session);
        }
        let (outbox, taken) = (Outbox::default(), Vec::new());
        let absence = Absence { publisher: None, topic, qos, granted, gone, outbox, taken };
        prepared(stage, self.be_away(stage, log, absence, will)).await
    }

    /// Has the client connected, subscribed and served.
    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<Working, String> {
        let (version, client_id) = (self.version, log.client_id().to_owned());
        if version == ProtocolVersion::V3_1_1 {
            // A run with the same seed that was killed may have left its session behind.
            discard_session(stage, version, &client_id).await;
        }
        let within = stage.options.connect_timeout;
        let is_kept = self.variant.lives() != Lives::NotAtAll;
        let properties = [Property::SessionExpiryInterval(self.expiry_s())];
        let delay = [Property::WillDelayInterval(self.delay_s())];
        // 3.1.1 has one flag for both: a session that is to be kept is not a clean one.
        let clean = version == ProtocolVersion::V5 || !is_kept;
        let mut connect = session_connect(stage, version, &client_id, clean, &properties);
        let properties = if self.delay_s() > 0 { Properties::List(&delay) } else { Properties::NONE };
        connect.will = will.map(|watch| Will { properties, ..stage.will(watch, WILL) });
        let (mut peer, accepted) = Peer::begin(stage, log, version, &connect).await?;
        let topic = format!("{}/drop/{client_id}", stage.topic_root);
        let qos = peer.subscribe(&topic, stage.maximum_qos, within).await?;
        if !peer.is_served(within).await {
            return Err("the broker did not serve the client before it went".to_owned());
        }
        let granted = match version {
            // Clean Session 0 names no time (MQTT 3.1.1 [MQTT-3.1.2-4]).
            ProtocolVersion::V3_1_1 if is_kept => Duration::MAX,
            ProtocolVersion::V3_1_1 => Duration::ZERO,
            ProtocolVersion::V5 => {
                let told = accepted.session_expiry_interval_s.unwrap_or(self.expiry_s());
                if told == u32::MAX { Duration::MAX } else { Duration::from_secs(told.into()) }
            }
        };
        Ok(Working { peer, topic, qos, granted })
    }

    /// All that follows: the Will, what is published meanwhile, the return.
    async fn be_away(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        mut absence: Absence,
        will: Option<WitnessWatch>,
    ) -> Result<Left, String> {
        let due_after = self.will_due_after(absence.granted);
        if let Some(watch) = will.as_ref().filter(|_| self.variant.will_is_due()) {
            // The client comes back after its Will: one that is back too soon may take it back.
            self.await_will(stage, log, watch, &absence, due_after).await;
        }
        let Some(back_at) = self.back_at(&absence) else { return Ok(Left::Session) };
        let publish_at = back_at.checked_sub(PUBLISH_BEFORE).unwrap_or(back_at);
        sleep_until(TokioInstant::from_std(publish_at)).await;
        if self.variant.keeps_session() {
            absence.publish(stage, self, log.client_id()).await?;
        }
        sleep_until(TokioInstant::from_std(back_at)).await;
        let mut returned = self.come_back(stage, log, &mut absence).await;
        if let Some(watch) = will.as_ref().filter(|_| !self.variant.will_is_due()) {
            self.await_silence(stage, log, watch, &absence, returned.as_mut(), due_after).await;
        }
        if let Some(publisher) = absence.publisher {
            publisher.client.leave().await;
        }
        let Some(returned) = returned else { return Ok(Left::Session) };
        returned.peer.leave_nothing(stage, log.client_id()).await;
        Ok(Left::Nothing)
    }

    /// Waits for a Will that must not come.
    async fn await_silence(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        absence: &Absence,
        returned: Option<&mut Returned>,
        due_after: Duration,
    ) {
        let gone = &absence.gone;
        let is_forbidden = match (self.variant, &returned) {
            (Variant::Disconnect, _) => true,
            (_, Some(returned)) => {
                returned.resumption.goes_on() && is_back_before(&returned.accepted, gone.before, due_after)
            }
            (_, None) => false,
        };
        if !is_forbidden {
            // The client was too late, or its session was not there: it is not known whether the Will is due.
            return;
        }
        if let Some(returned) = returned {
            // What comes meanwhile is acknowledged, and nothing to the Will.
            returned.peer.deliveries_until(gone.at + due_after, &mut Vec::new(), |_| false).await;
        }
        let until_now = now().saturating_duration_since(gone.at);
        if let Some(seen) =
            stage.await_delayed_will(watch, false, gone.before, until_now, gone.at, WILL).await
        {
            log.will(seen);
        }
    }

    /// When the client comes back; absent when it does not.
    fn back_at(&self, absence: &Absence) -> Option<Instant> {
        let asked = Duration::from_secs(self.expiry_s().into());
        let gone = &absence.gone;
        Some(match self.variant {
            Variant::WillAtSessionEnd => return None,
            Variant::BeforeExpiry => gone.before + asked.saturating_sub(BEFORE_EXPIRY.max(asked / 4)),
            // A session that the broker keeps for longer than was asked for owes nothing now.
            Variant::AfterExpiry if absence.granted > asked => gone.at + self.flags.away.0,
            Variant::AfterExpiry => gone.at + asked + self.flags.grace.0,
            _ => gone.at + self.flags.away.0,
        })
    }

    /// Waits for a Will that is due, and tells when it came.
    async fn await_will(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        absence: &Absence,
        due_after: Duration,
    ) {
        let gone = &absence.gone;
        let patience = match self.variant {
            // A broker may wait for the delay although the session has ended, and takes the Will back when the client is
            // back before.
            Variant::SessionEnds => Duration::from_secs(self.delay_s().into()),
            // A broker may look for sessions that have ended now and then.
            Variant::WillAtSessionEnd => due_after + self.flags.grace.0,
            _ => due_after,
        };
        let seen = stage.await_delayed_will(watch, true, gone.before, patience, gone.at, WILL).await;
        let Some(seen) = seen else { return };
        if let Some(first_us) = first_copy(&seen) {
            // From before the client went: our own write may have returned late.
            let earliest = stage.clock.us(gone.before) + micros(due_after);
            let latest = stage.clock.us(gone.at) + micros(due_after);
            let whole_delay =
                stage.clock.us(gone.before) + micros(Duration::from_secs(self.delay_s().into()));
            let came = if first_us + micros(WHOLE_SECOND) <= earliest {
                WillCame::Early
            } else if first_us < earliest {
                WillCame::Rounded
            } else if self.variant == Variant::SessionEnds && self.delay_s() > 0 && first_us >= whole_delay {
                WillCame::LateByDelay
            } else {
                WillCame::InTime
            };
            log.fact(WILL_CAME, came);
            if self.delay_s() > 0 {
                log.measure(WILL_PAST_DUE, first_us.saturating_sub(latest));
            }
        }
        log.will(seen);
    }
}

/// Whether the client was accepted well before the Will of the connection that it left at `left_at` was due.
fn is_back_before(accepted: &Accepted, left_at: Instant, due_after: Duration) -> bool {
    let away = accepted.connack_at.saturating_duration_since(left_at);
    away + WHOLE_SECOND < due_after
}

/// When the Will came first.
fn first_copy(seen: &WillSeen) -> Option<u64> {
    let mut copies = seen.seen_at_us.iter().zip(&seen.of_first_connect);
    copies.find(|(_, of_first)| **of_first).map(|(at_us, _)| *at_us)
}
