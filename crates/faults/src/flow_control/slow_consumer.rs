//! A subscriber that stops reading, or reads one byte a second, while a publisher goes on at its rate. What it does not
//! read fills the kernels' buffers first, and then the broker's.
//!
//! The standard has no word on it. This tells whether and when the broker cuts the subscriber, how much it had kept for
//! it, and whether the publisher felt anything. The subscriber goes on to send PINGREQ, so that its Keep Alive is not what
//! it is cut for.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::time::{sleep, timeout};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case, Fact};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::ConnectOptions;
use ungraceful_wire::clock::now;

use super::fates::Fates;
use super::numbered;
use super::publisher::{Published, Publisher, Publishing};
use super::subscriber::{Connecting, Subscriber};
use crate::ending::{Ended, interrupted, not_acted, qos_not_taken, within};

/// The fault's id in the catalogue.
pub const ID: &str = "slow-consumer";
/// The fact that tells whether the subscriber was cut while it did not read.
pub const CUT: &str = "cut";
/// The fact that tells how the publisher fared.
pub const PUBLISHER: &str = "publisher";
/// The measure of what came when the subscriber read again, in bytes: what the broker and the kernels had kept, and what
/// was sent in the meantime.
pub const DRAINED_BYTES: &str = "drained_bytes";

/// The value of [`CUT`] when the connection was there as long as the subscriber did not read.
pub const NOT_CUT: &str = "no";
/// The value of [`CUT`] when its end had arrived while the subscriber did not read.
pub const CUT_MEANWHILE: &str = "while it did not read";
/// The value of [`CUT`] when its end came with what the subscriber read afterwards.
pub const CUT_LATER: &str = "seen when it read again";

/// SO_RCVBUF of the subscriber, in bytes: the kernel makes it twice that, and no less than a few KiB.
const RECEIVE_BUFFER_BYTES: u32 = 4_096;
/// How often the subscriber looks whether it was cut.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it sends PINGREQ, and how often one that drips reads a byte.
const STEP_EVERY: Duration = Duration::from_secs(1);
/// A percentile needs ten samples beyond it.
const SAMPLES_FOR_P99: usize = 1_000;

/// How slow the subscriber is, and at which QoS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// What it reads.
    pub reading: Reading,
    /// The QoS of messages and subscription.
    pub qos: QoS,
}

/// What a slow subscriber reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// Nothing: its window closes.
    Nothing,
    /// One byte a second.
    Drip,
}

impl Variant {
    /// Every variant, in the order of the tables.
    pub const ALL: [Self; 4] = [
        Self { reading: Reading::Nothing, qos: QoS::AtMostOnce },
        Self { reading: Reading::Nothing, qos: QoS::AtLeastOnce },
        Self { reading: Reading::Drip, qos: QoS::AtMostOnce },
        Self { reading: Reading::Drip, qos: QoS::AtLeastOnce },
    ];

    /// The name used on the command line and in files, such as `zero-window-qos0`.
    #[must_use]
    pub fn name(self) -> String {
        let reading = match self.reading {
            Reading::Nothing => "zero-window",
            Reading::Drip => "drip",
        };
        format!("{reading}-qos{}", self.qos.level())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no variant; choose from {names}")
        })
    }
}

/// A slow subscriber, in one variant and version.
#[derive(Clone, Copy, Debug)]
pub struct SlowConsumer {
    /// How slow it is.
    pub variant: Variant,
    /// The version that both clients speak.
    pub version: ProtocolVersion,
    /// For how long it is slow, and the publisher publishes.
    pub time: Duration,
    /// Messages per second.
    pub per_second: u64,
    /// Bytes of payload of each, at least 16.
    pub payload_len: usize,
    /// The longest that an attempt takes; it is given up then.
    pub longest: Duration,
}

impl Fault for SlowConsumer {
    fn case(&self) -> Case {
        Case { fault: ID.to_owned(), variant: self.variant.name(), version: self.version.to_string() }
    }

    fn version(&self) -> ProtocolVersion {
        self.version
    }

    fn describe(&self) -> String {
        let reads = match self.variant.reading {
            Reading::Nothing => "nothing",
            Reading::Drip => "one byte a second",
        };
        format!(
            "a subscriber with a small receive buffer reads {reads} for {}, while {} messages a second of {} bytes are \
             published at {}; then it reads everything",
            span(self.time),
            self.per_second,
            self.payload_len,
            self.variant.qos
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        Box::pin(self.carry_out(stage, log))
    }
}

/// What is known once the subscriber has read again.
#[derive(Debug)]
struct Known {
    /// When the end of the connection had arrived while nothing was read.
    cut_at: Option<Instant>,
    /// Messages that fell due and could not be sent at their time.
    not_published: u64,
    drained_bytes: u64,
    /// PINGREQs of the time in which nothing was read that were not answered even afterwards.
    pingresp_missing: u64,
    served: bool,
}

impl SlowConsumer {
    async fn carry_out(&self, stage: &Stage, mut log: AttemptLog<'_>) -> Attempt {
        if let Some(trouble) = qos_not_taken(stage, self.variant.qos) {
            return not_acted(stage, log, self.version, &trouble).await;
        }
        let (mut subscriber, mut publisher) = match stage.unless_stopped(self.prepare(stage, &log)).await {
            Some(Ok(prepared)) => prepared,
            Some(Err(trouble)) => return not_acted(stage, log, self.version, &trouble).await,
            None => return interrupted(log),
        };
        log.established(subscriber.established);
        log.accepted(subscriber.accepted.connack_at);
        let fates = RefCell::new(Fates::new(
            numbered::key(&stage.topic_root, log.number()),
            self.variant.qos,
            stage.clock,
        ));
        let provoked_at = now();
        log.provoked(provoked_at);
        let acting = self.act(stage, &mut subscriber, &mut publisher, &fates);
        let known = match within(stage, self.longest, acting).await {
            Ended::Done(known) => Some(known),
            Ended::Stopped => None,
            Ended::TooLong => {
                publisher.leave().await;
                subscriber.leave().await;
                let trouble = fates.borrow().unfinished(self.longest);
                return not_acted(stage, log, self.version, &trouble).await;
            }
        };
        let seen = &subscriber.hearing.seen;
        let outcome = match &known {
            Some(known) => seen.outcome(known.served),
            None => Outcome::Interrupted,
        };
        let mut reactions = seen.reactions();
        if let Some(cut_us) = known.as_ref().and_then(|known| known.cut_at).map(|at| stage.clock.us(at)) {
            // It was read later than it came.
            let ends = reactions.iter_mut().filter(|reaction| reaction.kind.ends_connection());
            ends.for_each(|end| end.at_us = end.at_us.min(cut_us));
        }
        log.reacted(reactions, outcome);
        let ended_at_us = seen.ended_at_us();
        log.concluded(stage.confirm(outcome, ended_at_us, self.version).await);
        if let Some(known) = known.filter(|_| log.so_far().outcome.is_evidence()) {
            self.tell(&mut log, &subscriber, &publisher, &known, &fates.borrow(), provoked_at);
        }
        publisher.leave().await;
        subscriber.leave().await;
        log.connection_over();
        log.end()
    }

    async fn prepare(&self, stage: &Stage, log: &AttemptLog<'_>) -> Result<(Subscriber, Publisher), String> {
        let topic = format!("{}/flood/{}", stage.topic_root, log.client_id());
        let options =
            ConnectOptions { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES), ..stage.options.clone() };
        let honest = Connecting::honest(log.client_id());
        let mut subscriber = Subscriber::connect(stage, self.version, honest, &options).await?;
        subscriber.subscribe(&topic, self.variant.qos, options.connect_timeout).await?;
        let publishing = Publishing { topic: &topic, qos: self.variant.qos, payload_len: self.payload_len };
        let publisher_id = format!("{}p", log.client_id());
        let publisher = Publisher::open(
            stage,
            self.version,
            &publisher_id,
            numbered::key(&stage.topic_root, log.number()),
            publishing,
        )
        .await?;
        Ok((subscriber, publisher))
    }

    async fn act(
        &self,
        stage: &Stage,
        subscriber: &mut Subscriber,
        publisher: &mut Publisher,
        fates: &RefCell<Fates>,
    ) -> Known {
        let patience = stage.reaction_timeout;
        let publishing = publisher.publish_at(fates, self.per_second, self.time);
        let being_slow = self.be_slow(subscriber, fates);
        let (_published, cut_at) = tokio::join!(publishing, being_slow);
        let due = self.time.as_micros() * u128::from(self.per_second) / 1_000_000;
        let not_published = u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(publisher.sending.sent);
        let read_before = subscriber.hearing.bytes;
        // What is still on its way from the publisher.
        let sent = publisher.sending.sent;
        let finishing = publisher.publish(fates, sent, patience);
        let _published: Published = subscriber.listen_during(fates, finishing).await;
        let at_most_once = self.variant.qos == QoS::AtMostOnce;
        let enough = |_: &_, fates: &Fates| {
            if at_most_once { fates.delivered_count() >= sent } else { fates.owed() == 0 }
        };
        publisher.linger_during(fates, subscriber.listen_until(fates, patience, enough)).await;
        let drained_bytes = subscriber.hearing.bytes - read_before;
        // What has not come by now was thrown away: the next answer is the next question's.
        let pingresp_missing = u64::from(std::mem::take(&mut subscriber.hearing.seen.pings_open));
        let served = publisher.linger_during(fates, subscriber.is_served(fates, patience)).await;
        Known { cut_at, not_published, drained_bytes, pingresp_missing, served }
    }

    /// Does not read, or hardly; tells when the end of the connection arrived.
    async fn be_slow(&self, subscriber: &mut Subscriber, fates: &RefCell<Fates>) -> Option<Instant> {
        let began = now();
        let mut step_at = began + STEP_EVERY;
        while began.elapsed() < self.time {
            sleep(LOOK_EVERY).await;
            if subscriber.has_hung_up() {
                return Some(now());
            }
            if now() >= step_at {
                step_at += STEP_EVERY;
                subscriber.ping_without_reading().await;
                if self.variant.reading == Reading::Drip {
                    // There may be nothing to read yet.
                    let _elapsed = timeout(LOOK_EVERY, subscriber.sip(fates)).await;
                }
            }
        }
        None
    }

    fn tell(
        &self,
        log: &mut AttemptLog<'_>,
        subscriber: &Subscriber,
        publisher: &Publisher,
        known: &Known,
        fates: &Fates,
        provoked_at: Instant,
    ) {
        let cut = match (known.cut_at, &subscriber.hearing.seen.end) {
            (Some(_), _) => CUT_MEANWHILE,
            (None, Some(_)) => CUT_LATER,
            (None, None) => NOT_CUT,
        };
        log.fact(CUT, Fact::Word(cut.to_owned()));
        if let Some(cut_at) = known.cut_at {
            let after = cut_at.saturating_duration_since(provoked_at);
            log.measure("cut_after_us", u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        }
        let sending = &publisher.sending;
        let fared = match (sending.seen.ended_by(), known.not_published) {
            (Some(how), _) => format!("cut by {how}"),
            // A tick's worth is within the schedule's own grain.
            (None, left_out) if left_out * 50 <= sending.sent => "kept its pace".to_owned(),
            (None, _) => "was slowed".to_owned(),
        };
        log.fact(PUBLISHER, Fact::Word(fared));
        log.measure("not_published", known.not_published);
        log.measure(DRAINED_BYTES, known.drained_bytes);
        log.measure("pingresp_missing", known.pingresp_missing);
        let mut service_us = sending.service_us.clone();
        service_us.sort_unstable();
        if let Some(slowest) = service_us.last() {
            log.measure("publish_service_max_us", *slowest);
        }
        if service_us.len() >= SAMPLES_FOR_P99 {
            log.measure("publish_service_p99_us", service_us[service_us.len() * 99 / 100]);
        }
        log.measure("undelivered", sending.sent.saturating_sub(fates.delivered_count()));
        fates.tell(log);
    }
}

#[cfg(test)]
mod tests {
    use super::Variant;

    #[test]
    fn every_variant_is_found_by_its_name() {
        for variant in Variant::ALL {
            assert_eq!(variant.name().parse(), Ok(variant));
        }
    }
}
