//! A client that keeps every rule, for long: it stays within the broker's Receive Maximum and acknowledges everything, for
//! many times as many messages. A broker that takes the quota for each PUBLISH and forgets to give it back cuts it.
//!
//! The quota comes back with PUBACK, with PUBCOMP, and with a PUBREC that refuses (MQTT 5.0 section 4.9, prose). Nobody
//! subscribes: nothing that happens on another connection has a part in it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::fates::Fates;
use super::publisher::{Published, Publisher, Publishing};
use super::{longest, numbered, quota_leak_checks};
use crate::ending::{Ended, interrupted, not_acted, qos_not_taken, within};
use crate::mode::{Call, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "quota-leak";
/// The fact that tells how far the client was served.
pub const SERVED: FactOf<String> = FactOf::new("served");
/// The measure of how many messages were acknowledged without an error.
pub const ACKNOWLEDGED: Measure = Measure::new("acknowledged");
/// The measure of how many messages had been acknowledged when the broker cut or stopped to answer; only of attempts in
/// which it did.
pub const ACKNOWLEDGED_AT_END: Measure = Measure::new("acknowledged_at_end");
/// The measure of how many messages were refused.
pub const REFUSED: Measure = Measure::new("refused");
/// The measure of the most messages that the client had unacknowledged: its window.
pub const WINDOW: Measure = Measure::new("window");
/// The measure of the Receive Maximum that the broker announced: 65,535 when it announced none.
pub const RECEIVE_MAXIMUM: Measure = Measure::new("receive_maximum");

/// The value of [`SERVED`] when every message was acknowledged without an error.
pub const TO_THE_END: &str = "to the end";
/// How the value of [`SERVED`] begins when some were refused; the Reason Code follows.
pub const REFUSED_WITH: &str = "refused with ";
/// How the value of [`SERVED`] begins when the broker cut the client; DISCONNECT with its Reason Code, FIN or RST follows.
pub const CUT_BY: &str = "cut by ";
/// The value of [`SERVED`] when acknowledgements stopped to come and PINGREQ was answered, twice.
pub const STALLED: &str = "no more acknowledgements";
/// The value of [`SERVED`] when the broker answered nothing at all any more.
pub const SILENT: &str = "no answer at all";

/// However short the reaction timeout is, acknowledgements have not stopped before: a broker that writes to a disk, or
/// waits for another node, may take its time.
const STALL_MIN: Duration = Duration::from_secs(5);

ungraceful_record::words! {
    /// The QoS of the messages.
    pub enum Variant: "variant" {
        /// QoS 1.
        Qos1 = "qos1",
        /// QoS 2, with the whole handshake.
        Qos2 = "qos2",
    }
}

impl Variant {
    /// The QoS of the messages.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::Qos1 => QoS::AtLeastOnce,
            Self::Qos2 => QoS::ExactlyOnce,
        }
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: qos1, qos2 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Messages per client: many times any quota
    #[arg(long, value_name = "N", default_value = "70000")]
    messages: Whole<1, 10_000_000>,
    /// Payload of each message in bytes
    #[arg(short = 's', long, value_name = "BYTES", default_value = "16")]
    size: Whole<16, 65_536>,
    #[command(flatten)]
    versions: Versions,
    #[arg(skip)]
    longest: Duration,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "A client that obeys every rule, for many times the Receive Maximum";
    const LONG_ABOUT: &'static str = "Publishes within the broker's Receive Maximum and answers every acknowledgement, for many times \
         as many messages, and tells how far the client is served. A broker that takes its quota for each \
         PUBLISH and does not give it back cuts a client that has done nothing wrong: DISCONNECT 0x93, \
         acknowledgements that stop in every attempt after the same count while PINGREQ is answered, or a \
         cut without a reason in every attempt at Receive Maximum is a violation, although no numbered \
         statement carries it (MQTT 5.0, section 4.9). Any other refusal is noted. Nobody subscribes to \
         the messages.";
    const CHECKS: &'static [&'static [Check]] = &[quota_leak_checks::CHECKS];
    // Two, because a cut without a reason is put down to a count only when it comes again.
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "2"), ("connrate", "5"), ("count", "16")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, _mistakes: &mut Vec<Mistake>) {
        self.longest = longest(call.reaction_timeout, self.messages.0, self.size.0);
    }

    fn longest_pause(&self) -> Duration {
        self.longest
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            let (messages, payload_len) = (self.messages.0, self.size.get());
            Some(QuotaLeak { variant, version, messages, payload_len, longest: self.longest })
        })
    }
}

/// A client that keeps every rule, in one variant and version.
#[derive(Clone, Copy, Debug)]
pub struct QuotaLeak {
    /// The QoS of the messages.
    pub variant: Variant,
    /// The version that the client speaks.
    pub version: ProtocolVersion,
    /// How many messages it sends.
    pub messages: u64,
    /// Bytes of payload of each, at least 16.
    pub payload_len: usize,
    /// The longest that an attempt takes; it is given up then.
    pub longest: Duration,
}

impl Fault for QuotaLeak {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn version(&self) -> ProtocolVersion {
        self.version
    }

    fn describe(&self) -> String {
        let window = match self.version {
            ProtocolVersion::V5 => "within the CONNACK's Receive Maximum and 100",
            ProtocolVersion::V3_1_1 => "with 10 in flight",
        };
        let qos = self.variant.qos();
        format!("{} messages of {qos}, {window}, every acknowledgement answered", self.messages)
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        Box::pin(self.carry_out(stage, log))
    }
}

impl QuotaLeak {
    async fn carry_out(&self, stage: &Stage, mut log: AttemptLog<'_>) -> Attempt {
        let qos = self.variant.qos();
        if let Some(trouble) = qos_not_taken(stage, qos) {
            return not_acted(stage, log, self.version, &trouble).await;
        }
        let topic = format!("{}/flood/{}", stage.topic_root, log.client_id());
        let publishing = Publishing { topic: &topic, qos, payload_len: self.payload_len };
        let opened = Publisher::open(
            stage,
            self.version,
            log.client_id(),
            numbered::key(&stage.topic_root, log.number()),
            publishing,
        );
        let mut publisher = match stage.unless_stopped(opened).await {
            Some(Ok(publisher)) => publisher,
            Some(Err(trouble)) => return not_acted(stage, log, self.version, &trouble).await,
            None => return interrupted(log),
        };
        log.established(publisher.established);
        log.accepted(publisher.accepted.connack_at);
        log.provoked(now());
        let fates =
            RefCell::new(Fates::new(numbered::key(&stage.topic_root, log.number()), qos, stage.clock));
        let known = match within(stage, self.longest, self.act(stage, &mut publisher, &fates)).await {
            Ended::Done(known) => Some(known),
            Ended::Stopped => None,
            Ended::TooLong => {
                publisher.leave().await;
                let trouble = fates.borrow().unfinished(self.longest);
                return not_acted(stage, log, self.version, &trouble).await;
            }
        };
        let seen = &publisher.sending.seen;
        let outcome = match &known {
            Some((_, served)) => seen.outcome(*served),
            None => Outcome::Interrupted,
        };
        log.reacted(seen.reactions(), outcome);
        let ended_at_us = seen.ended_at_us();
        log.concluded(stage.confirm(outcome, ended_at_us, self.version).await);
        if let Some((published, served)) = known.filter(|_| log.so_far().outcome.is_evidence()) {
            tell(&mut log, &publisher, published, served);
        }
        publisher.leave().await;
        log.connection_over();
        log.end()
    }

    /// Publishes; then asks whether the client is served. A client that waits for acknowledgements is asked twice, the
    /// second time after it has waited once more.
    async fn act(
        &self,
        stage: &Stage,
        publisher: &mut Publisher,
        fates: &RefCell<Fates>,
    ) -> (Published, bool) {
        let patience = stage.reaction_timeout.max(STALL_MIN);
        let published = publisher.publish(fates, self.messages, patience).await;
        if published == Published::Cut {
            return (published, false);
        }
        let served = publisher.is_served(fates, patience).await;
        if published == Published::All || !served {
            return (published, served);
        }
        let published = publisher.publish(fates, self.messages, patience).await;
        (published, publisher.is_served(fates, patience).await)
    }
}

fn tell(log: &mut AttemptLog<'_>, publisher: &Publisher, published: Published, served: bool) {
    let sending = &publisher.sending;
    let word = match (published, sending.seen.ended_by(), sending.refused.keys().next()) {
        (_, Some(how), _) => format!("{CUT_BY}{how}"),
        (Published::All, None, None) => TO_THE_END.to_owned(),
        (Published::All, None, Some(code)) => format!("{REFUSED_WITH}0x{code:02X}"),
        (_, None, _) if served => STALLED.to_owned(),
        (_, None, _) => SILENT.to_owned(),
    };
    log.fact(SERVED, word);
    log.measure(ACKNOWLEDGED, sending.acknowledged);
    log.measure(REFUSED, sending.refused.values().sum());
    log.measure(WINDOW, sending.window as u64);
    log.measure(RECEIVE_MAXIMUM, u64::from(publisher.accepted.receive_maximum.unwrap_or(u16::MAX)));
    if published != Published::All {
        log.measure(ACKNOWLEDGED_AT_END, sending.acknowledged);
    }
}
