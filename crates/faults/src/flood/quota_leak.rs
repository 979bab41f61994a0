//! A client that obeys every rule: it stays within the broker's Receive Maximum and acknowledges everything, for many times as
//! many messages. A broker that forgets to give the quota back cuts it.
//!
//! PUBACK, PUBCOMP and a PUBREC that refuses give the quota back (MQTT 5.0 section 4.9, prose). There is no subscriber, so no
//! other connection plays a part.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::fates::{Fates, SharedFates, within};
use super::publisher::{Published, Publisher};
use super::{longest, quota_leak_checks, topic};
use crate::ending::{Unfinished, attempted, confirm, prepared, qos_taken};
use crate::mode::{Call, FaultMode, each_case};
use crate::peer::Peer;

/// The fault's id in the catalogue.
pub const ID: &str = "quota-leak";
/// Fact: how far the broker served the client.
pub const SERVED: FactOf<Served> = FactOf::new("served");
/// Measure: messages that were acknowledged without an error.
pub const ACKNOWLEDGED: Measure = Measure::new("acknowledged");
/// Measure: messages that had been acknowledged when the broker cut the client or stopped answering; only of such attempts.
pub const ACKNOWLEDGED_AT_END: Measure = Measure::new("acknowledged_at_end");
/// Measure: messages that were refused.
pub const REFUSED: Measure = Measure::new("refused");
/// Measure: the client's window, the most messages it had unacknowledged.
pub const WINDOW: Measure = Measure::new("window");
/// Measure: the Receive Maximum that the broker announced; 65,535 when it announced none.
pub const RECEIVE_MAXIMUM: Measure = Measure::new("receive_maximum");

ungraceful_record::words! {
    /// How far the broker served a client.
    pub enum Served {
        /// Every message was acknowledged without an error.
        ToTheEnd = "to the end",
        /// Acknowledgements stopped, and PINGREQ was answered twice.
        Stalled = "no more acknowledgements",
        /// The broker stopped answering anything.
        Silent = "no answer at all",
    } else {
        /// Some messages were refused; the Reason Code.
        Refused = "refused with ",
        /// The broker cut the client; DISCONNECT with its Reason Code, FIN or RST.
        Cut = "cut by ",
    }
}

/// However short the reaction timeout is, acknowledgements count as stopped only after this: a broker may wait for a disk or
/// another node.
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
         as many messages, and reports how far the broker serves the client. A broker that does not give \
         the quota back cuts a client that has done nothing wrong. A violation is DISCONNECT 0x93, or \
         acknowledgements that stop in every attempt after the same count while PINGREQ is answered, or a \
         cut without a reason in every attempt at Receive Maximum, although no numbered statement covers \
         it (MQTT 5.0, section 4.9). Any other refusal is a note. The messages have no subscriber.";
    const CHECKS: &'static [&'static [Check]] = &[quota_leak_checks::CHECKS];
    // Two, because a cut without a reason is attributed to a count only when it repeats.
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

/// A client that obeys every rule, in one variant and version.
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
    /// The time limit of an attempt.
    pub longest: Duration,
}

impl Fault for QuotaLeak {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
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
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl QuotaLeak {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let qos = self.variant.qos();
        qos_taken(stage, qos)?;
        let fates = Fates::of(stage, log, qos);
        let mut publisher = prepared(stage, self.prepare(stage, log, &fates)).await?;
        let carried_out = self.publish_on(stage, log, &mut publisher, &fates).await;
        publisher.leave().await;
        carried_out
    }

    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        fates: &SharedFates,
    ) -> Result<Publisher, String> {
        let client_id = log.client_id().to_owned();
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let connected = Peer::begin(stage, log, self.version, &connect).await;
        let connected = connected.map_err(|error| format!("the publisher: {error}"))?;
        Publisher::new(connected, &topic(stage, log), self.payload_len, fates)
    }

    async fn publish_on(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        publisher: &mut Publisher,
        fates: &SharedFates,
    ) -> Result<(), Unfinished> {
        log.provoked(now());
        let known = within(stage, self.longest, fates, self.act(stage, publisher)).await?;
        let seen = &publisher.account.seen;
        let outcome = known.map(|(_, served)| seen.outcome(served));
        let confirmed = confirm(stage, log, self.version, (seen.reactions(), outcome)).await;
        if let Some((published, served)) = known.filter(|_| confirmed.outcome.is_evidence()) {
            report(log, publisher, published, served);
        }
        Ok(())
    }

    /// Publishes, then tests by PINGREQ whether the client is served; a client that waits for acknowledgements waits and tests
    /// once more.
    async fn act(&self, stage: &Stage, publisher: &mut Publisher) -> (Published, bool) {
        let patience = stage.reaction_timeout.max(STALL_MIN);
        let published = publisher.publish(self.messages, patience).await;
        if published == Published::Cut {
            return (published, false);
        }
        let served = publisher.is_served(patience).await;
        if published == Published::All || !served {
            return (published, served);
        }
        let published = publisher.publish(self.messages, patience).await;
        (published, publisher.is_served(patience).await)
    }
}

fn report(log: &mut AttemptLog<'_>, publisher: &Publisher, published: Published, served: bool) {
    let sending = &publisher.account;
    let word = match (published, sending.seen.ended_by(), sending.refused.keys().next()) {
        (_, Some(how), _) => Served::Cut(how),
        (Published::All, None, None) => Served::ToTheEnd,
        (Published::All, None, Some(code)) => Served::Refused(format!("0x{code:02X}")),
        (_, None, _) if served => Served::Stalled,
        (_, None, _) => Served::Silent,
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
