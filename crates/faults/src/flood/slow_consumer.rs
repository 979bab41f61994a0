//! A subscriber that stops reading, or reads one byte a second, while a publisher keeps its rate. Unread messages fill the
//! kernels' buffers first, and then the broker's.
//!
//! The standard does not cover this. The fault reports whether and when the broker cuts the subscriber, how much it had buffered,
//! and whether the publisher was slowed. The subscriber keeps sending PINGREQ, so that the broker does not cut it for its Keep
//! Alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::{sleep, timeout};
use ungraceful_flags::{Mistake, Named, Time, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::ConnectOptions;
use ungraceful_wire::clock::now;

use super::fates::{Fates, within};
use super::pair::Pair;
use super::publisher::Published;
use super::subscriber::{Acknowledging, Subscriber};
use super::{longest, slow_consumer_checks, topic};
use crate::ending::{Unfinished, attempted, confirm, prepared, qos_taken};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;

/// The fault's id in the catalogue.
pub const ID: &str = "slow-consumer";
/// Fact: whether and when the subscriber was cut.
pub const CUT: FactOf<WhenCut> = FactOf::new("cut");
/// Fact: how the publisher fared.
pub const PUBLISHER: FactOf<Pace> = FactOf::new("publisher");
/// Measure: bytes that came when the subscriber read again: those that the broker and the kernels had buffered, and those sent
/// meanwhile.
pub const DRAINED_BYTES: Measure = Measure::new("drained_bytes");

ungraceful_record::words! {
    /// When the subscriber was cut.
    pub enum WhenCut: "time" {
        /// Not while it did not read.
        Not = "no",
        /// The end arrived while it did not read.
        Meanwhile = "while it did not read",
        /// The end came behind bytes that it read afterwards.
        Later = "seen when it read again",
    }
}

ungraceful_record::words! {
    /// How the publisher fared.
    pub enum Pace {
        /// It published on time.
        Kept = "kept its pace",
        /// It could not publish everything.
        Slowed = "was slowed",
    } else {
        /// It was cut; by this.
        Cut = "cut by ",
    }
}

/// SO_RCVBUF of the subscriber, in bytes: the kernel doubles it, to at least a few KiB.
const RECEIVE_BUFFER_BYTES: u32 = 4_096;
/// How often the subscriber checks whether it was cut.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it sends PINGREQ and, when it drips, reads a byte.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// The maximum of `--for`.
const FOR_MAX: Duration = Duration::from_secs(3_600);
/// A percentile needs ten samples beyond it.
const SAMPLES_FOR_P99: usize = 1_000;

ungraceful_record::words! {
    /// How slow the subscriber is, and the QoS of messages and subscription.
    pub enum Variant: "variant" {
        /// It reads nothing, so that its window closes; QoS 0.
        ZeroWindowQos0 = "zero-window-qos0",
        /// It reads nothing; QoS 1.
        ZeroWindowQos1 = "zero-window-qos1",
        /// It reads one byte a second; QoS 0.
        DripQos0 = "drip-qos0",
        /// It reads one byte a second; QoS 1.
        DripQos1 = "drip-qos1",
    }
}

impl Variant {
    const fn drips(self) -> bool {
        matches!(self, Self::DripQos0 | Self::DripQos1)
    }

    const fn qos(self) -> QoS {
        match self {
            Self::ZeroWindowQos0 | Self::DripQos0 => QoS::AtMostOnce,
            Self::ZeroWindowQos1 | Self::DripQos1 => QoS::AtLeastOnce,
        }
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: zero-window-qos0, zero-window-qos1, drip-qos0, drip-qos1 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// How long the subscriber does not read while the publisher publishes
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    time: Time,
    /// Messages per second and publisher
    #[arg(long, value_name = "PER_SECOND", default_value = "1000")]
    publish_rate: Whole<1, 100_000>,
    /// Payload of each message in bytes
    #[arg(short = 's', long, value_name = "BYTES", default_value = "1024")]
    size: Whole<16, 65_536>,
    #[command(flatten)]
    versions: Versions,
    /// The time limit of an attempt.
    #[arg(skip)]
    longest: Duration,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "A subscriber that stops reading, or reads one byte per second, while messages keep coming";
    const LONG_ABOUT: &'static str = "A subscriber with a small receive buffer stops reading, or reads one byte a second, while a \
         publisher keeps its rate. Reports whether and when the broker cuts it, how many bytes come when \
         it reads again, what is missing at which QoS, and whether the publisher was slowed; besides, as \
         in every run, the impact on well-behaved clients and the broker's memory. The standard does not \
         cover slow clients, so nothing here is a violation. The subscriber keeps sending PINGREQ. A FIN \
         behind bytes for which there is no room is seen only when the subscriber reads again.";
    const CHECKS: &'static [&'static [Check]] = &[slow_consumer_checks::CHECKS];
    // One after the other, because the publishers would slow each other.
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "1"), ("connrate", "0.06"), ("count", "2")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        if self.time.is_zero() || *self.time > FOR_MAX {
            let what = format!("{} must be above 0 and at most 1h; give one such as 10s", span(*self.time));
            mistakes.push(Mistake::new("--for", what));
        }
        let messages = self.publish_rate.0.saturating_mul(self.time.as_secs());
        self.longest = *self.time + longest(call.reaction_timeout, messages, self.size.0);
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        self.longest
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(SlowConsumer { variant, version, flags: self.clone() })
        })
    }
}

/// A slow subscriber, in one variant and version.
#[derive(Debug)]
struct SlowConsumer {
    variant: Variant,
    version: ProtocolVersion,
    flags: Flags,
}

impl Fault for SlowConsumer {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let reads = if self.variant.drips() { "one byte a second" } else { "nothing" };
        format!(
            "a subscriber with a small receive buffer reads {reads} for {}, while {} messages a second of {} bytes are \
             published at {}; then it reads everything",
            span(*self.flags.time),
            self.flags.publish_rate.0,
            self.flags.size.0,
            self.variant.qos()
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// What is known after the subscriber read again.
#[derive(Debug)]
struct Known {
    /// When the end of the connection arrived while nothing was read.
    cut_at: Option<Instant>,
    /// Messages that fell due and could not be sent at their time.
    not_published: u64,
    drained_bytes: u64,
    /// PINGREQs from the time without reading that were not answered even afterwards.
    pingresp_missing: u64,
    served: bool,
}

impl SlowConsumer {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        qos_taken(stage, self.variant.qos())?;
        let mut pair = prepared(stage, self.prepare(stage, log)).await?;
        let carried_out = self.slow_down(stage, log, &mut pair).await;
        pair.leave().await;
        carried_out
    }

    async fn slow_down(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        pair: &mut Pair,
    ) -> Result<(), Unfinished> {
        let provoked_at = now();
        log.provoked(provoked_at);
        let fates = pair.fates.clone();
        let known = within(stage, self.flags.longest, &fates, self.act(stage, pair)).await?;
        let seen = &pair.subscriber.account.seen;
        let outcome = known.as_ref().map(|known| seen.outcome(known.served));
        let confirmed = confirm(stage, log, self.version, (seen.reactions(), outcome)).await;
        if let Some(cut_us) = known.as_ref().and_then(|known| known.cut_at).map(|at| stage.clock.us(at)) {
            // It was read later than it arrived.
            let mut reactions = seen.reactions();
            let ends = reactions.iter_mut().filter(|reaction| reaction.kind.ends_connection());
            ends.for_each(|end| end.at_us = end.at_us.min(cut_us));
            log.reacted(reactions, confirmed.outcome);
        }
        if let Some(known) = known.filter(|_| confirmed.outcome.is_evidence()) {
            self.report(log, pair, &known, provoked_at);
        }
        Ok(())
    }

    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Pair, String> {
        let (qos, client_id) = (self.variant.qos(), log.client_id().to_owned());
        let receive_buffer_bytes = Some(RECEIVE_BUFFER_BYTES);
        let options = ConnectOptions { receive_buffer_bytes, ..stage.options.clone() };
        let stage_of_slow = Stage { options, ..stage.clone() };
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let connected = Peer::begin(&stage_of_slow, log, self.version, &connect).await;
        let connected = connected.map_err(|error| format!("the subscriber: {error}"))?;
        let fates = Fates::of(stage, log, qos);
        let mut subscriber = Subscriber::new(connected, Acknowledging::AtOnce, &fates);
        subscriber.subscribe(&topic(stage, log), qos, stage.options.connect_timeout).await?;
        Pair::beside(subscriber, stage, log, self.flags.size.get()).await
    }

    async fn act(&self, stage: &Stage, pair: &mut Pair) -> Known {
        let Pair { subscriber, publisher, .. } = pair;
        let patience = stage.reaction_timeout;
        let publishing = publisher.publish_at(self.flags.publish_rate.0, *self.flags.time);
        let being_slow = self.be_slow(subscriber);
        let ((), cut_at) = tokio::join!(publishing, being_slow);
        let due = self.flags.time.as_micros() * u128::from(self.flags.publish_rate.0) / 1_000_000;
        let not_published = u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(publisher.account.sent);
        let read_before = subscriber.account.seen.bytes;
        // What the publisher still has in flight.
        let sent = publisher.account.sent;
        let finishing = publisher.publish(sent, patience);
        let _published: Published = subscriber.during(finishing).await;
        let at_most_once = self.variant.qos() == QoS::AtMostOnce;
        let enough = |fates: &Fates| {
            if at_most_once { fates.delivered_count() >= sent } else { fates.owed() == 0 }
        };
        publisher.during(subscriber.listen_until(patience, enough)).await;
        let drained_bytes = subscriber.account.seen.bytes - read_before;
        // Answers missing by now were dropped: the next PINGRESP belongs to the next PINGREQ.
        let pingresp_missing = u64::from(std::mem::take(&mut subscriber.account.seen.pings_open));
        let served = publisher.during(subscriber.is_served(patience)).await;
        Known { cut_at, not_published, drained_bytes, pingresp_missing, served }
    }

    /// Reads nothing or hardly anything; returns when the end of the connection arrived.
    async fn be_slow(&self, subscriber: &mut Subscriber) -> Option<Instant> {
        let began = now();
        let mut step_at = began + STEP_EVERY;
        while began.elapsed() < *self.flags.time {
            sleep(LOOK_EVERY).await;
            if subscriber.has_hung_up() {
                return Some(now());
            }
            if now() >= step_at {
                step_at += STEP_EVERY;
                subscriber.ping_without_reading().await;
                if self.variant.drips() {
                    // There may be nothing to read yet.
                    let _elapsed = timeout(LOOK_EVERY, subscriber.sip()).await;
                }
            }
        }
        None
    }

    fn report(&self, log: &mut AttemptLog<'_>, pair: &Pair, known: &Known, provoked_at: Instant) {
        let fates = pair.fates.borrow();
        let cut = match (known.cut_at, &pair.subscriber.account.seen.end) {
            (Some(_), _) => WhenCut::Meanwhile,
            (None, Some(_)) => WhenCut::Later,
            (None, None) => WhenCut::Not,
        };
        log.fact(CUT, cut);
        if let Some(cut_at) = known.cut_at {
            let after = cut_at.saturating_duration_since(provoked_at);
            log.measure(Measure::new("cut_after_us"), u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        }
        let sending = &pair.publisher.account;
        let pace = match (sending.seen.ended_by(), known.not_published) {
            (Some(how), _) => Pace::Cut(how),
            // One tick's worth is within the resolution of the schedule.
            (None, left_out) if left_out * 50 <= sending.sent => Pace::Kept,
            (None, _) => Pace::Slowed,
        };
        log.fact(PUBLISHER, pace);
        log.measure(Measure::new("not_published"), known.not_published);
        log.measure(DRAINED_BYTES, known.drained_bytes);
        log.measure(Measure::new("pingresp_missing"), known.pingresp_missing);
        let mut service_us = sending.service_us.clone();
        service_us.sort_unstable();
        if let Some(slowest) = service_us.last() {
            log.measure(Measure::new("publish_service_max_us"), *slowest);
        }
        if service_us.len() >= SAMPLES_FOR_P99 {
            log.measure(Measure::new("publish_service_p99_us"), service_us[service_us.len() * 99 / 100]);
        }
        log.measure(Measure::new("undelivered"), sending.sent.saturating_sub(fates.delivered_count()));
        fates.report(log);
    }
}

#[cfg(test)]
mod tests {
    use super::Variant;

    #[test]
    fn variant_names_have_the_reading_and_the_qos() {
        for variant in Variant::ALL {
            let reading = if variant.drips() { "drip" } else { "zero-window" };
            assert_eq!(variant.name(), format!("{reading}-qos{}", variant.qos().level()));
        }
    }
}
