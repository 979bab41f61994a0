//! A subscriber that receives without acknowledging while a publisher continues, and then acknowledges everything.
//!
//! A Server has no more than the Client's Receive Maximum of PUBLISH packets unacknowledged (MQTT 5.0 [MQTT-3.3.4-9]), and
//! answers everything else while that quota is used up ([MQTT-4.9.0-3]). Held-back messages come in order once the client
//! acknowledges ([MQTT-4.6.0-5]). PUBACK, PUBCOMP and a PUBREC that refuses give the quota back (section 4.9). MQTT 3.1.1 has no
//! Receive Maximum: there the fault shows the broker's own limit.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Mistake, Named, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::{Property, ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::fates::{Fates, within};
use super::pair::Pair;
use super::publisher::{Published, Publisher};
use super::subscriber::{Acknowledging, Subscriber};
use super::{longest, topic, unacked_subscriber_checks};
use crate::ending::{Unfinished, attempted, confirm, prepared, qos_taken};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
pub use crate::outbox::HELD_BACK;
use crate::peer::Peer;
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "unacked-subscriber";
/// Fact: how many PUBLISH packets were unacknowledged, compared with Receive Maximum.
pub const HELD: FactOf<Held> = FactOf::new("held");
/// Fact: whether PINGREQ was answered while nothing was acknowledged.
pub const PINGREQ: FactOf<Answered> = FactOf::new("pingreq");
/// Fact: what was delivered once the client acknowledged.
pub const DRAINED: FactOf<Drained> = FactOf::new("drained");
/// Measure: the most PUBLISH packets that were unacknowledged at the same time.
pub const OUTSTANDING_MOST: Measure = Measure::new("outstanding_most");
/// Measure: PUBLISH packets that were unacknowledged when the broker stopped sending.
pub const OUTSTANDING_WITHHELD: Measure = Measure::new("outstanding_withheld");

ungraceful_record::words! {
    /// How many PUBLISH packets were unacknowledged, compared with Receive Maximum.
    pub enum Held: "relation" {
        /// Fewer came than it allows.
        Below = "below Receive Maximum",
        /// As many came as it allows.
        At = "at Receive Maximum",
        /// More came than it allows, with nothing acknowledged.
        Beyond = "beyond Receive Maximum",
        /// More came only once the client acknowledged.
        BeyondLater = "beyond it while acknowledging",
    }
}

/// Fact, only of clients that did not receive everything: whether a message that was published later came.
pub const LATER: FactOf<Later> = FactOf::new("published_later");
ungraceful_record::words! {
    /// Whether a message came.
    pub enum Later: "fate" {
        /// It came.
        Came = "came",
        /// It did not.
        DidNotCome = "did not come",
    }
}

/// Measure: messages that the broker acknowledged to the publisher.
pub const TAKEN: Measure = Measure::new("taken");

ungraceful_record::words! {
    /// Whether PINGREQ was answered.
    pub enum Answered: "answer" {
        /// It was.
        InTime = "answered",
        /// It was, after the reaction timeout.
        Late = "answered late",
        /// It was not, while several later PINGREQs of the publisher were.
        Not = "not answered",
        /// The publisher was not answered either, or too rarely.
        NorThePublisher = "not answered, nor was the publisher",
    }
}

ungraceful_record::words! {
    /// What was delivered once the client acknowledged.
    pub enum Drained: "share" {
        /// Everything, once and in order.
        InOrder = "everything, in order",
        /// Everything, some of it more than once.
        Again = "everything, some of it again",
        /// Everything, in another order.
        NotInOrder = "everything, not in order",
        /// Something is missing.
        NotEverything = "not everything",
    }
}

/// How long nothing must come before the broker counts as finished.
const QUIET: Duration = Duration::from_millis(500);
/// How often the publisher sends PINGREQ while the subscriber waits for its answer.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// How long a late answer is awaited, however short the reaction timeout is.
const LATE_MIN: Duration = Duration::from_secs(3);

ungraceful_record::words! {
    /// The client's Receive Maximum, and the QoS of messages and subscription.
    pub enum Variant: "variant" {
        /// Receive Maximum 1, QoS 1.
        K1Qos1 = "k1-qos1",
        /// Receive Maximum 1, QoS 2.
        K1Qos2 = "k1-qos2",
        /// Receive Maximum 3, QoS 1.
        K3Qos1 = "k3-qos1",
        /// Receive Maximum 3, QoS 2.
        K3Qos2 = "k3-qos2",
        /// Receive Maximum 20, QoS 1.
        K20Qos1 = "k20-qos1",
        /// Receive Maximum 20, QoS 2.
        K20Qos2 = "k20-qos2",
        /// No Receive Maximum, which means 65,535, QoS 1.
        AbsentQos1 = "absent-qos1",
        /// No Receive Maximum, which means 65,535, QoS 2.
        AbsentQos2 = "absent-qos2",
    }
}

impl Variant {
    /// The client's Receive Maximum; absent when it sends none.
    pub(super) const fn receive_maximum(self) -> Option<u16> {
        match self {
            Self::K1Qos1 | Self::K1Qos2 => Some(1),
            Self::K3Qos1 | Self::K3Qos2 => Some(3),
            Self::K20Qos1 | Self::K20Qos2 => Some(20),
            Self::AbsentQos1 | Self::AbsentQos2 => None,
        }
    }

    const fn qos(self) -> QoS {
        match self {
            Self::K1Qos1 | Self::K3Qos1 | Self::K20Qos1 | Self::AbsentQos1 => QoS::AtLeastOnce,
            Self::K1Qos2 | Self::K3Qos2 | Self::K20Qos2 | Self::AbsentQos2 => QoS::ExactlyOnce,
        }
    }

    /// Whether this version has the variant.
    fn is_in(self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::V5 || self.receive_maximum().is_none()
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: the client's Receive Maximum and the QoS, as in k1-qos1, k3-qos2, k20-qos1,
    /// absent-qos2 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Messages published while nothing is acknowledged
    #[arg(long, value_name = "N", default_value = "200")]
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
    const ABOUT: &'static str = "A subscriber that acknowledges nothing for a while, and then everything";
    const LONG_ABOUT: &'static str = "A subscriber with a Receive Maximum acknowledges nothing while a publisher continues. Reports how \
         many PUBLISH packets the broker has unacknowledged at most (no more than Receive Maximum: MQTT \
         5.0 [MQTT-3.3.4-9]), whether it answers PINGREQ meanwhile ([MQTT-4.9.0-3]), and whether \
         everything comes once and in order ([MQTT-4.6.0-5]) after the subscriber acknowledges. Messages \
         that a limit of the broker drops are a note, not a violation. MQTT 3.1.1 has no Receive Maximum: \
         there the run reports the broker's own limit, and nothing is judged.";
    const CHECKS: &'static [&'static [Check]] = &[unacked_subscriber_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "10"), ("count", "20")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let versions = self.wanted().versions;
        let is_case = |variant: &Variant| versions.iter().any(|version| variant.is_in(*version));
        if !chosen(&Variant::ALL, &self.variant).iter().any(is_case) {
            let what = "MQTT 3.1.1 has no Receive Maximum; give absent-qos1 or absent-qos2, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
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
            variant.is_in(version).then(|| UnackedSubscriber { variant, version, flags: self.clone() })
        })
    }
}

/// A subscriber that does not acknowledge, in one variant and version.
#[derive(Debug)]
struct UnackedSubscriber {
    variant: Variant,
    version: ProtocolVersion,
    flags: Flags,
}

impl Fault for UnackedSubscriber {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        let limit = match (self.version, self.variant.receive_maximum()) {
            (ProtocolVersion::V3_1_1, _) => "without a Receive Maximum, which 3.1.1 lacks".to_owned(),
            (_, None) => "without a Receive Maximum".to_owned(),
            (_, Some(k)) => format!("with Receive Maximum {k}"),
        };
        format!(
            "a subscriber {limit} acknowledges nothing while {} messages of {} are published, sends PINGREQ, then \
             acknowledges everything",
            self.flags.messages.0,
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

/// What is known after the attempt.
#[derive(Debug)]
struct Known {
    published: Published,
    /// PUBLISH packets that were unacknowledged when the broker stopped sending.
    withheld: u64,
    pingreq: Option<Answered>,
    acknowledged_at: Option<Instant>,
    /// Messages that came once the client acknowledged.
    held_back: u64,
    /// Only when messages are missing: whether a later one came.
    later_came: Option<bool>,
}

impl UnackedSubscriber {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        qos_taken(stage, self.variant.qos())?;
        let mut pair = prepared(stage, self.prepare(stage, log)).await?;
        let carried_out = self.withhold(stage, log, &mut pair).await;
        pair.leave().await;
        carried_out
    }

    async fn withhold(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        pair: &mut Pair,
    ) -> Result<(), Unfinished> {
        log.provoked(now());
        let fates = pair.fates.clone();
        let known = within(stage, self.flags.longest, &fates, self.act(stage, pair)).await?;
        let seen = &pair.subscriber.account.seen;
        let outcome = known.as_ref().map(|known| seen.outcome(known.pingreq == Some(Answered::InTime)));
        let confirmed = confirm(stage, log, self.version, (seen.reactions(), outcome)).await;
        if let Some(known) = known.filter(|_| confirmed.outcome.is_evidence()) {
            self.report(log, pair, &known);
        }
        Ok(())
    }

    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Pair, String> {
        let (qos, client_id) = (self.variant.qos(), log.client_id().to_owned());
        let properties: Vec<_> =
            self.variant.receive_maximum().into_iter().map(Property::ReceiveMaximum).collect();
        let connect = session_connect(stage, self.version, &client_id, true, &properties);
        let connected = Peer::begin(stage, log, self.version, &connect).await;
        let connected = connected.map_err(|error| format!("the subscriber: {error}"))?;
        let fates = Fates::of(stage, log, qos);
        let mut subscriber = Subscriber::new(connected, Acknowledging::Withheld, &fates);
        subscriber.subscribe(&topic(stage, log), qos, stage.options.connect_timeout).await?;
        Pair::beside(subscriber, stage, log, self.flags.size.get()).await
    }

    async fn act(&self, stage: &Stage, pair: &mut Pair) -> Known {
        let (messages, patience) = (self.flags.messages.0, stage.reaction_timeout);
        let Pair { subscriber, publisher, .. } = pair;
        let publishing = publisher.publish(messages, patience);
        let published = subscriber.during(publishing).await;
        publisher.during(subscriber.listen_until_quiet(QUIET)).await;
        let withheld = subscriber.account.open_most as u64;
        let mut known = Known {
            published,
            withheld,
            pingreq: None,
            acknowledged_at: None,
            held_back: 0,
            later_came: None,
        };
        let delivered = pair.fates.borrow().delivered_count();
        if subscriber.account.seen.is_over() {
            return known;
        }
        known.pingreq = ping_both(subscriber, publisher, patience).await;
        if subscriber.account.seen.is_over() {
            return known;
        }
        if self.variant.qos() == QoS::ExactlyOnce {
            subscriber.acknowledge_all_but_pubcomp();
            publisher.during(subscriber.listen_until_quiet(QUIET)).await;
        }
        subscriber.acknowledge();
        known.acknowledged_at = Some(now());
        known.published = pair.drain(published, messages, patience).await;
        known.held_back = pair.fates.borrow().delivered_count() - delivered;
        let is_short = pair.fates.borrow().owed() > 0 && !pair.subscriber.account.seen.is_over();
        if is_short && known.published == Published::All {
            known.later_came = Some(pair.publish_later(messages, patience).await);
        }
        known
    }

    fn report(&self, log: &mut AttemptLog<'_>, pair: &Pair, known: &Known) {
        let Pair { subscriber, publisher, fates } = pair;
        let fates = fates.borrow();
        let outstanding = subscriber.account.open_most as u64;
        log.measure(OUTSTANDING_MOST, outstanding);
        log.measure(OUTSTANDING_WITHHELD, known.withheld);
        log.measure(TAKEN, publisher.account.acknowledged);
        if let Some(k) = self.variant.receive_maximum().map(u64::from) {
            let held = match known.withheld.cmp(&k) {
                Ordering::Greater => Held::Beyond,
                _ if outstanding > k => Held::BeyondLater,
                Ordering::Equal => Held::At,
                Ordering::Less => Held::Below,
            };
            log.fact(HELD, held);
        }
        if let Some(pingreq) = known.pingreq {
            log.fact(PINGREQ, pingreq);
        }
        let counts = fates.counts();
        if let Some(acknowledged_at) = known.acknowledged_at {
            let drained =
                match (counts.lost + counts.without_subscribers, counts.reordered, counts.duplicated) {
                    (0, 0, 0) => Drained::InOrder,
                    (0, 0, _) => Drained::Again,
                    (0, _, _) => Drained::NotInOrder,
                    _ => Drained::NotEverything,
                };
            log.fact(DRAINED, drained);
            log.measure(HELD_BACK, known.held_back);
            if let Some(came) = known.later_came {
                log.fact(LATER, if came { Later::Came } else { Later::DidNotCome });
            }
            if let Some(latest_at) = subscriber.account.latest_at.filter(|at| *at > acknowledged_at) {
                let drain = latest_at - acknowledged_at;
                log.measure(Measure::new("drain_us"), u64::try_from(drain.as_micros()).unwrap_or(u64::MAX));
            }
        }
        match known.published {
            Published::All => {}
            Published::Cut => {
                let how = publisher.account.seen.ended_by().unwrap_or_default();
                log.trouble(format!("the broker cut the publisher, which obeys every rule: {how}"));
            }
            Published::Stalled => log.trouble("the broker stopped acknowledging the publisher's messages"),
        }
        if !publisher.account.seen.is_over() && !subscriber.account.seen.is_over() {
            fates.report_copies(log);
        }
        fates.report(log);
    }
}

/// Tests by PINGREQ whether the subscriber is served and, from the same moment on, repeatedly whether the publisher is. Absent
/// when the subscriber's connection ended.
///
/// A broker that stalled for a while answers both afterwards, so silence counts only beside answers to later PINGREQs of the
/// publisher, and only when it lasts beyond them.
async fn ping_both(
    subscriber: &mut Subscriber,
    publisher: &mut Publisher,
    patience: Duration,
) -> Option<Answered> {
    let answered = RefCell::new(Vec::new());
    let asked_at = now();
    let waiting = async {
        if subscriber.is_served(patience).await {
            return Answered::InTime;
        }
        let late = subscriber.is_answered(patience.max(LATE_MIN)).await;
        if late { Answered::Late } else { Answered::Not }
    };
    let word = {
        let mut asking = pin!(publisher.keep_asking(ASK_EVERY, |at| answered.borrow_mut().push(at)));
        tokio::select! {
            biased;
            word = waiting => word,
            never = &mut asking => match never {},
        }
    };
    if word == Answered::Not && subscriber.account.seen.is_over() {
        return None;
    }
    let is_unproved = word == Answered::Not && !prove_alive(asked_at, now(), &answered.borrow());
    Some(if is_unproved { Answered::NorThePublisher } else { word })
}

/// Whether the times of the publisher's PINGRESPs show that the broker was answering while the subscriber, which had sent PINGREQ
/// at `asked_at`, waited until `until`.
fn prove_alive(asked_at: Instant, until: Instant, answered: &[Instant]) -> bool {
    /// The least number of answers.
    const ANSWERS_MIN: usize = 3;
    /// The least time from the first to the last.
    const SPREAD_MIN: Duration = Duration::from_secs(1);
    /// How long the subscriber must wait after them.
    const AFTERWARDS: Duration = Duration::from_secs(1);
    let is_in_time = |at: &&Instant| **at > asked_at && **at + AFTERWARDS <= until;
    let in_time: Vec<&Instant> = answered.iter().filter(is_in_time).collect();
    match (in_time.first(), in_time.last()) {
        (Some(first), Some(last)) => in_time.len() >= ANSWERS_MIN && **last - **first >= SPREAD_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_wire::clock::now;

    use super::{Variant, prove_alive};

    #[test]
    fn several_later_answers_with_time_left_prove_that_a_broker_was_alive() {
        let asked_at = now();
        let after = |ms: u64| asked_at + Duration::from_millis(ms);
        let proved = |answered: &[u64], until| {
            let answered: Vec<_> = answered.iter().map(|ms| after(*ms)).collect();
            prove_alive(asked_at, after(until), &answered)
        };
        assert!(proved(&[300, 600, 900, 1_300], 5_000));
        assert!(!proved(&[6_300], 8_000), "a stalled broker has just begun to answer again");
        assert!(!proved(&[1, 2, 3, 4], 5_000), "all in one moment");
        assert!(!proved(&[300, 1_300], 5_000), "two");
        assert!(!proved(&[300, 4_500, 4_800], 5_000), "no time is left");
        assert!(!proved(&[], 5_000));
    }

    #[test]
    fn variant_names_have_receive_maximum_and_qos_and_3_1_1_has_those_without() {
        for variant in Variant::ALL {
            let k = variant.receive_maximum().map_or("absent".to_owned(), |k| format!("k{k}"));
            assert_eq!(variant.name(), format!("{k}-qos{}", variant.qos().level()));
        }
        let is_in_3_1_1 = |variant: &Variant| variant.is_in(ProtocolVersion::V3_1_1);
        let of_3_1_1: Vec<_> = Variant::ALL.into_iter().filter(is_in_3_1_1).map(Variant::name).collect();
        assert_eq!(of_3_1_1, ["absent-qos1", "absent-qos2"]);
    }
}
