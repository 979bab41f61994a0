//! The drop: a connected and subscribed client leaves without DISCONNECT, by FIN, RST, half-close or the end of a layer. What happens to its
//! Will, to its session, and to the messages published while it is away?
//!
//! A client that sends DISCONNECT is the control. Some variants are about time: a delayed Will, a session that expires.

mod departure;
mod flags;
mod returning;
mod variant;

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Properties, Property, ProtocolVersion, QoS, Will};
use ungraceful_record::attempt::{Attempt, Case, WillSeen};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::offers::Offers;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::Transport;
use ungraceful_wire::clock::now;

pub use self::departure::Way;
use self::departure::{Departure, depart};
pub use self::flags::Flags;
use self::variant::SessionLife;
pub use self::variant::Variant;
use crate::ending::{Answer, Confirmed, Unfinished, attempted, confirm, prepared};
use crate::outbox::{Outbox, Share};
use crate::peer::{Peer, discard_session};
use crate::resumption::Resumption;
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "drop";

/// Fact: the answer to the CONNECT of the returning client.
pub const RETURN: FactOf<Answer> = FactOf::new("return");
/// Fact: whether the messages published during the absence were delivered.
pub const WAITING: FactOf<Share> = FactOf::new("waiting_messages");
/// Fact: when a Will that was due came.
pub const WILL_CAME: FactOf<WillCame> = FactOf::new("will_came");

ungraceful_record::words! {
    /// When a Will that was due came.
    pub enum WillCame: "time" {
        /// Not before it was due.
        InTime = "when due",
        /// More than a second before it was due.
        Early = "too early",
        /// Less than a second before it was due, as by a broker that counts in whole seconds.
        Rounded = "up to 1 s early",
        /// After its full delay, although the session had ended earlier.
        LateByDelay = "after its delay",
    }
}

/// Measure: from the time the Will was due (the end of its delay or of its session, whichever is first) until it came.
pub const WILL_PAST_DUE: Measure = Measure::new("will_past_due_us");
/// Measure: from the client's departure to the CONNACK of its return.
pub const RETURNED_AFTER: Measure = Measure::new("returned_after_us");

/// Measure: from the end of the session to the CONNECT that must find no session.
pub const BACK_PAST_END: Measure = Measure::new("back_past_end_us");

/// Application Message of the Will.
const WILL: &[u8] = b"will of a client that went";
/// Brokers may count in whole seconds, so an event up to this much early is no violation.
pub(crate) const WHOLE_SECOND: Duration = Duration::from_secs(1);
/// The client of [`Variant::BeforeExpiry`] returns a quarter of the session's time before its end, and at least this long.
const BEFORE_EXPIRY: Duration = Duration::from_secs(2);
/// Messages are published this long before the return: by then the broker has noticed that the client is gone.
const PUBLISH_BEFORE: Duration = Duration::from_millis(300);
/// Longer than any session that is to end before its Will's delay.
const BEYOND_SESSION_S: u32 = 3_600;

/// One variant with one version.
#[derive(Clone, Debug)]
pub struct DropConnection {
    /// How the client leaves and when it returns.
    pub variant: Variant,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The times of client, session and Will, and how many messages are published during the absence.
    pub flags: Flags,
}

/// A connected and subscribed client.
struct Working {
    peer: Peer,
    topic: String,
    /// The granted QoS of its subscription.
    qos: QoS,
    /// How long its session outlives the connection, by the CONNACK.
    granted: Duration,
}

/// A client that is back.
struct Returned {
    peer: Peer,
    accepted: Accepted,
    /// Whether its session was resumed.
    resumption: Resumption,
}

/// What an attempt may leave behind at the broker.
enum Left {
    Nothing,
    Session,
}

/// The time during which the client is away.
struct Absence {
    /// Absent until a message is published.
    publisher: Option<Peer>,
    topic: String,
    qos: QoS,
    granted: Duration,
    departure: Departure,
    outbox: Outbox,
    /// The messages that the broker accepted.
    taken: Vec<u64>,
}

impl Fault for DropConnection {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let session = match (self.version, self.variant.session_life()) {
            (ProtocolVersion::V3_1_1, SessionLife::Ends) => "Clean Session 1".to_owned(),
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

    fn unsupported_reason(&self, _offers: Offers, transport: &Transport) -> Option<String> {
        self.variant.unsupported_reason(transport)
    }

    fn companions(&self) -> &'static [Companion] {
        match self.variant.keeps_session() && self.flags.messages.0 > 0 {
            // Publishes while the client is away.
            true => &[Companion::UsesTopics],
            false => &[],
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl DropConnection {
    /// Session Expiry Interval, in seconds.
    const fn expiry_s(&self) -> u32 {
        match self.variant.session_life() {
            SessionLife::Long => self.flags.session_expiry_interval.0,
            SessionLife::Short => self.flags.short_expiry.0,
            SessionLife::Ends => 0,
        }
    }

    /// Will Delay Interval, in seconds; MQTT 3.1.1 has none.
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

    /// From the end of the connection until its Will is due: the end of its delay or of the session, whichever is first (MQTT
    /// 5.0 [MQTT-3.1.2-8]).
    fn will_due_after(&self, granted: Duration) -> Duration {
        Duration::from_secs(self.delay_s().into()).min(granted)
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let left = self.leave_and_return(stage, log).await;
        if !matches!(left, Ok(Left::Nothing)) {
            discard_session(stage, self.version, log.client_id()).await;
        }
        left.map(|_| ())
    }

    async fn leave_and_return(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Left, Unfinished> {
        let will = stage.watch_will(log.name());
        let working = prepared(stage, self.prepare(stage, log, will.as_ref())).await?;
        let Working { peer, topic, qos, granted } = working;
        let departure = prepared(stage, depart(stage, peer, self.variant.way())).await?;
        log.provoked(departure.at);
        let seen = (departure.reactions.clone(), Some(departure.outcome));
        let Confirmed { outcome, .. } = confirm(stage, log, self.version, seen).await;
        // A half-open connection has not ended: what follows is due to the Keep Alive.
        if !outcome.is_evidence() || departure.is_open() {
            return Ok(Left::Session);
        }
        let (outbox, taken) = (Outbox::default(), Vec::new());
        let absence = Absence { publisher: None, topic, qos, granted, departure, outbox, taken };
        prepared(stage, self.be_away(stage, log, absence, will)).await
    }

    /// Connects and subscribes the client, and checks that the broker serves it.
    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<Working, String> {
        let (version, client_id) = (self.version, log.client_id().to_owned());
        if version == ProtocolVersion::V3_1_1 {
            // A killed run with the same seed may have left its session behind.
            discard_session(stage, version, &client_id).await;
        }
        let within = stage.options.connect_timeout;
        let is_kept = self.variant.session_life() != SessionLife::Ends;
        let properties = [Property::SessionExpiryInterval(self.expiry_s())];
        let delay = [Property::WillDelayInterval(self.delay_s())];
        // 3.1.1 has one flag for both: a session to be kept is not a clean one.
        let clean = version == ProtocolVersion::V5 || !is_kept;
        let mut connect = session_connect(stage, version, &client_id, clean, &properties);
        let properties = if self.delay_s() > 0 { Properties::List(&delay) } else { Properties::NONE };
        connect.will = will.map(|watch| Will { properties, ..stage.will(watch, WILL) });
        let (mut peer, accepted) = Peer::begin(stage, log, version, &connect).await?;
        let topic = format!("{}/drop/{}", stage.topic_root, log.name());
        let qos = peer.subscribe(&topic, stage.maximum_qos, within).await?;
        if !peer.is_served(within).await {
            return Err("the broker did not serve the client before it disconnected".to_owned());
        }
        let granted = match version {
            // Clean Session 0 names no time (MQTT 3.1.1 [MQTT-3.1.2-4]).
            ProtocolVersion::V3_1_1 if is_kept => Duration::MAX,
            ProtocolVersion::V3_1_1 => Duration::ZERO,
            ProtocolVersion::V5 => {
                let granted_s = accepted.session_expiry_interval_s.unwrap_or(self.expiry_s());
                if granted_s == u32::MAX { Duration::MAX } else { Duration::from_secs(granted_s.into()) }
            }
        };
        Ok(Working { peer, topic, qos, granted })
    }

    /// Waits for the Will, publishes messages, and has the client return.
    async fn be_away(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        mut absence: Absence,
        will: Option<WitnessWatch>,
    ) -> Result<Left, String> {
        let due_after = self.will_due_after(absence.granted);
        if let Some(watch) = will.as_ref().filter(|_| self.variant.will_is_due()) {
            // The client returns after its Will: an earlier return may cancel it.
            self.await_will(stage, log, watch, &absence, due_after).await;
        }
        let Some(back_at) = self.back_at(&absence) else { return Ok(Left::Session) };
        let publish_at = back_at.checked_sub(PUBLISH_BEFORE).unwrap_or(back_at);
        sleep_until(TokioInstant::from_std(publish_at)).await;
        if self.variant.keeps_session() {
            absence.publish(stage, self, log).await?;
        }
        sleep_until(TokioInstant::from_std(back_at)).await;
        let mut returned = self.return_to_session(stage, log, &mut absence).await;
        if let Some(watch) = will.as_ref().filter(|_| !self.variant.will_is_due()) {
            self.await_no_will(stage, log, watch, &absence, returned.as_mut(), due_after).await;
        }
        if let Some(publisher) = absence.publisher {
            publisher.client.leave().await;
        }
        let Some(returned) = returned else { return Ok(Left::Session) };
        returned.peer.leave_nothing(stage, log.client_id()).await;
        Ok(Left::Nothing)
    }

    /// Waits for a Will that must not be published.
    async fn await_no_will(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        absence: &Absence,
        returned: Option<&mut Returned>,
        due_after: Duration,
    ) {
        let departure = &absence.departure;
        let is_forbidden = match (self.variant, &returned) {
            (Variant::Disconnect, _) => true,
            (_, Some(returned)) => {
                let away = returned.accepted.connack_at.saturating_duration_since(departure.before);
                returned.resumption.goes_on() && away + WHOLE_SECOND < due_after
            }
            (_, None) => false,
        };
        if !is_forbidden {
            // The client was too late, or its session was gone: whether the Will is due is unknown.
            return;
        }
        if let Some(returned) = returned {
            // Acknowledges what comes until then.
            returned.peer.deliveries_until(departure.at + due_after, &mut Vec::new(), |_| false).await;
        }
        let until_now = now().saturating_duration_since(departure.at);
        if let Some(seen) =
            stage.await_delayed_will(watch, false, departure.before, until_now, departure.at, WILL).await
        {
            log.will(seen);
        }
    }

    /// When the client comes back; absent when it does not.
    fn back_at(&self, absence: &Absence) -> Option<Instant> {
        let asked = Duration::from_secs(self.expiry_s().into());
        let departure = &absence.departure;
        Some(match self.variant {
            Variant::WillAtSessionEnd => return None,
            Variant::BeforeExpiry => departure.before + asked.saturating_sub(BEFORE_EXPIRY.max(asked / 4)),
            // A broker may keep the session for longer than requested: nothing is expected then.
            Variant::AfterExpiry if absence.granted > asked => departure.at + self.flags.away.0,
            Variant::AfterExpiry => departure.at + asked + self.flags.grace.0,
            _ => departure.at + self.flags.away.0,
        })
    }

    /// Waits for a Will that is due, and records when it came.
    async fn await_will(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        absence: &Absence,
        due_after: Duration,
    ) {
        let departure = &absence.departure;
        let patience = match self.variant {
            // A broker may wait for the delay although the session has ended, and cancels the Will when the client returns
            // earlier.
            Variant::SessionEnds => Duration::from_secs(self.delay_s().into()),
            // A broker may check for expired sessions only now and then.
            Variant::WillAtSessionEnd => due_after + self.flags.grace.0,
            _ => due_after,
        };
        let seen =
            stage.await_delayed_will(watch, true, departure.before, patience, departure.at, WILL).await;
        let Some(seen) = seen else { return };
        if let Some(first_us) = first_copy(&seen) {
            // Counted from before the departure: our own write may have returned late.
            let earliest = stage.clock.us(departure.before) + micros(due_after);
            let latest = stage.clock.us(departure.at) + micros(due_after);
            let whole_delay =
                stage.clock.us(departure.before) + micros(Duration::from_secs(self.delay_s().into()));
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

/// When the first copy of the Will came.
fn first_copy(seen: &WillSeen) -> Option<u64> {
    let mut copies = seen.seen_at_us.iter().zip(&seen.of_first_connect);
    copies.find(|(_, of_first)| **of_first).map(|(at_us, _)| *at_us)
}
