//! After a take-over: is the newcomer still served until well after the older connection's Keep Alive has expired?
//!
//! A broker that handles the end of a connection by its ClientID alone may handle the older one's end a second time, when
//! its Keep Alive expires or its socket is found dead. It then cuts the newcomer, drops its subscriptions, or publishes its
//! Will while it is connected.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ungraceful_mqtt::statement::{V5_3_1_2_8, V5_4_1_0_1, V311_3_1_2_8, V311_4_1_0_2};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::run::{CaseRecord, WillRecord};
use ungraceful_record::scale::{micros, time};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::bystanders::witness::{WitnessWatch, Witnessed};
use ungraceful_wire::clock::now;

use super::judged::{no_newcomer, versions};
use crate::ending::end_of_stream;
use crate::judging::{self, breach, unsettled};
use crate::peer::{Delivered, Peer};
use crate::pinging::Pinging;
use crate::vanish::keep_alive::no_control;

/// Fact: the state of the newcomer after the older connection's Keep Alive had expired.
pub const LATER: FactOf<Later> = FactOf::new("newcomer_later");
/// Fact: whether the newcomer's subscription, which had delivered a message, still delivered one then.
pub const SUBSCRIPTION: FactOf<Subscription> = FactOf::new("newcomer_subscription");
/// Fact: whether the newcomer's Will was published while it was connected. Absent without a Will.
pub const WILL: FactOf<OwnWill> = FactOf::new("newcomer_will");
/// Measure: from the newcomer's CONNACK until the broker ended its connection.
pub const CUT_AFTER: Measure = Measure::new("newcomer_cut_after_us");

ungraceful_record::words! {
    /// The state of a newcomer some time after the take-over.
    pub enum Later {
        /// The broker served it.
        Served = "served",
        /// Not known.
        Unknown = "unknown",
    } else {
        /// The broker cut it; how.
        Cut = "cut by ",
        /// The broker replaced the older connection's Keep Alive with this one: longer than the run waits, or 0, which turns
        /// it off.
        NotAwaited = "not waited for, with a Server Keep Alive of ",
    }
}

ungraceful_record::words! {
    /// The state of a newcomer's subscription.
    pub enum Subscription: "subscription" {
        /// It delivers messages.
        Delivers = "delivers",
        /// An acknowledged message did not arrive, and one published after the newcomer had subscribed again did.
        Gone = "gone",
        /// Not known.
        Unknown = "unknown",
    }
}

ungraceful_record::words! {
    /// Whether a newcomer's Will was published while it was connected.
    pub enum OwnWill: "fate" {
        /// No.
        Withheld = "withheld",
        /// Yes.
        Published = "published",
    }
}

/// Application Message of the newcomer's Will.
pub(super) const NEWCOMER_WILL: &[u8] = b"will of the newcomer";
/// How often the newcomer sends PINGREQ, so that it never counts as inactive.
const PING_EVERY: Duration = Duration::from_millis(500);
/// The take-over counts as the cause only if all newcomers of a case were cut, and at least this many.
const CUT_MIN: u64 = 2;

/// An accepted newcomer.
pub(super) struct Newcomer<'a> {
    pub(super) peer: &'a mut Peer,
    pub(super) topic: &'a str,
    pub(super) accepted_at: Instant,
    /// The watch for its Will; absent when it has none.
    pub(super) will: Option<&'a WitnessWatch>,
}

impl Newcomer<'_> {
    /// Observes the newcomer until `until` and logs the facts.
    pub(super) async fn observe_until(
        &mut self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
        until: Instant,
    ) {
        let publisher = Publisher { stage, version, client_id: log.companion(Companion::UsesTopics) };
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        let mut came = Vec::new();
        self.peer.pinging = Pinging::every(PING_EVERY);
        let subscribed = self.peer.subscribe(self.topic, qos, stage.reaction_timeout).await.is_ok();
        // The first message proves that the subscription works.
        let is_proved = subscribed && self.receives(&publisher, 0..=0, &mut came).await == Some(true);
        if let Some((how, at)) = self.ended_before(until).await {
            log.measure(CUT_AFTER, micros(at.saturating_duration_since(self.accepted_at)));
            return log.fact(LATER, Later::Cut(how));
        }
        let still = match is_proved {
            true => self.still_subscribed(&publisher, &mut came).await,
            false => Subscription::Unknown,
        };
        let is_served = self.peer.is_served(stage.reaction_timeout).await;
        log.fact(LATER, if is_served { Later::Served } else { Later::Unknown });
        // A newcomer that is no longer served says nothing about its subscription.
        log.fact(SUBSCRIPTION, if is_served { still } else { Subscription::Unknown });
        if let (Some(will), true) = (self.will, is_served) {
            let since_us = stage.clock.us(self.accepted_at);
            let is_own = |heard: &Witnessed| heard.payload == NEWCOMER_WILL && heard.at_us >= since_us;
            let is_published = will.heard().iter().any(is_own);
            log.fact(WILL, if is_published { OwnWill::Published } else { OwnWill::Withheld });
        }
    }

    /// How and when the broker ended the connection; absent when it is still open at `until`.
    async fn ended_before(&mut self, until: Instant) -> Option<(String, Instant)> {
        while self.peer.ended.is_none() {
            self.peer.next_alive(until).await?;
        }
        let (how, at) = self.peer.ended?;
        let disconnect = self.peer.disconnected.map(|(code, _)| format!("DISCONNECT 0x{code:02X}, "));
        Some((format!("{}{}", disconnect.unwrap_or_default(), end_of_stream(how).2), at))
    }

    /// Whether the subscription still delivers. If not, the newcomer subscribes again: a message that arrives then proves
    /// that the subscription was gone.
    async fn still_subscribed(
        &mut self,
        publisher: &Publisher<'_>,
        came: &mut Vec<Delivered>,
    ) -> Subscription {
        let (stage, qos) = (publisher.stage, QoS::AtLeastOnce.min(publisher.stage.maximum_qos));
        // At QoS 0 a broker may drop a message, so there are several.
        let last = if qos == QoS::AtMostOnce { 3 } else { 1 };
        match self.receives(publisher, 1..=last, came).await {
            Some(true) => return Subscription::Delivers,
            Some(false) => {}
            None => return Subscription::Unknown,
        }
        if self.peer.subscribe(self.topic, qos, stage.reaction_timeout).await.is_err() {
            return Subscription::Unknown;
        }
        let again = last + 1;
        let comes_again = self.receives(publisher, again..=again, came).await;
        match (contains_any(came, &(1..=last)), comes_again) {
            (true, _) => Subscription::Delivers,
            (false, Some(true)) => Subscription::Gone,
            (false, _) => Subscription::Unknown,
        }
    }

    /// Publishes messages with these numbers and returns whether one of them arrives in time; absent when the broker did
    /// not accept them all. Received messages are added to `came`.
    async fn receives(
        &mut self,
        publisher: &Publisher<'_>,
        numbers: RangeInclusive<u64>,
        came: &mut Vec<Delivered>,
    ) -> Option<bool> {
        publisher.publish(self.topic, numbers.clone()).await?;
        let deadline = now() + publisher.stage.reaction_timeout;
        self.peer.deliveries_until(deadline, came, |came| contains_any(came, &numbers)).await;
        Some(contains_any(came, &numbers))
    }
}

/// A second client, which connects for each publication.
struct Publisher<'a> {
    stage: &'a Stage,
    version: ProtocolVersion,
    client_id: String,
}

impl Publisher<'_> {
    /// Publishes messages with these numbers; absent when the broker did not accept them all.
    async fn publish(&self, topic: &str, numbers: RangeInclusive<u64>) -> Option<()> {
        let connect = Client::honest_connect(&self.client_id, &self.stage.credentials);
        let (mut publisher, _) = Peer::connect(self.stage, self.version, &connect).await.ok()?;
        let qos = QoS::AtLeastOnce.min(self.stage.maximum_qos);
        let mut taken = Some(());
        for number in numbers {
            let code = publisher.publish(topic, qos, number, self.stage.reaction_timeout).await;
            taken = taken.filter(|()| code.is_ok_and(|code| code < 0x80));
        }
        publisher.client.leave().await;
        taken
    }
}

fn contains_any(came: &[Delivered], numbers: &RangeInclusive<u64>) -> bool {
    came.iter().any(|message| message.sequence.is_some_and(|number| numbers.contains(&number)))
}

/// The checks of a mode that observes newcomers after the take-over.
pub const CHECKS: &[Check] = &[
    Check::prose("keeps_serving_the_newcomer", keeps_serving_the_newcomer)
        .by_section(ProtocolVersion::V5, "3.1.4"),
    Check::must(
        "keeps_the_newcomers_subscription",
        &[V5_4_1_0_1, V311_4_1_0_2],
        keeps_the_newcomers_subscription,
    ),
    Check::must("withholds_the_newcomers_will", &[V5_3_1_2_8, V311_3_1_2_8], withholds_the_newcomers_will),
];

/// Why nothing was observed of newcomers after the take-over.
fn not_observed(case: &CaseRecord) -> Finding {
    for (later, count) in case.values(LATER) {
        if let Later::NotAwaited(keep_alive) = later {
            return Finding::inconclusive(format!(
                "the broker replaced the Keep Alive of {count} older connections with a Server Keep Alive of {keep_alive}, \
                 and the run did not wait for it; use a --keepalive of that length (0 turns Keep Alive off)"
            ));
        }
    }
    match case.total(LATER) {
        0 => no_newcomer(case),
        all => Finding::inconclusive(format!(
            "this was not observed for any of {all} newcomers: they were cut, or not served, or had received no message before"
        )),
    }
}

/// No numbered statement requires that a well-behaved client is served, such as a newcomer that sends PINGREQ twice a second.
/// MQTT 3.1.1 section 3.1.2.10 lets a broker cut a client at any time that it considers inactive: there it is a note.
fn keeps_serving_the_newcomer(case: &Judged<'_>) -> Option<Finding> {
    let (served, all) = (case.count(LATER, Later::Served), case.total(LATER));
    let cuts: Vec<(Later, u64)> =
        case.values(LATER).filter(|(later, _)| matches!(later, Later::Cut(_))).collect();
    let cut: u64 = cuts.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return Some(no_newcomer(case));
    }
    let how: Vec<String> = cuts.iter().map(|(how, count)| format!("{how} (×{count})")).collect();
    let evidence = format!(
        "{served} of {all} newcomers were served until well after the older connection's Keep Alive had expired"
    );
    Some(if cut == 0 && served == 0 {
        not_observed(case)
    } else if cut == 0 {
        Finding::holds(served, evidence)
    } else {
        let after = case.measured(CUT_AFTER);
        let [soonest, latest] = [after.min, after.max].map(|us| time(us.unwrap_or(0)));
        let evidence = format!("{evidence}; {}, {soonest} to {latest} after their CONNACK", how.join(", "));
        if let Some(why) = unsettled(case) {
            Finding::inconclusive(format!("{evidence}; {why}"))
        } else if cut == all && cut >= CUT_MIN && versions(case)?.new == ProtocolVersion::V5 {
            match no_control(case.record) {
                None => Finding::violated_without_number(evidence),
                Some(why) => Finding::inconclusive(format!("{evidence}; {why}")),
            }
        } else {
            Finding::differs(all, format!("{cut} newcomers were cut"), evidence)
        }
    })
}

/// MQTT 5.0 [MQTT-4.1.0-1], MQTT 3.1.1 [MQTT-4.1.0-2]: a session lasts at least as long as its connection.
fn keeps_the_newcomers_subscription(case: &Judged<'_>) -> Option<Finding> {
    let gone = case.count(SUBSCRIPTION, Subscription::Gone);
    let all = case.count(SUBSCRIPTION, Subscription::Delivers) + gone;
    let evidence = format!(
        "of {all} newcomers that were still connected when the older connection's Keep Alive had expired, {gone} received \
         nothing more on their subscription until they subscribed again"
    );
    Some(match (all, gone) {
        (0, _) => not_observed(case),
        (_, 0) => Finding::holds(all, evidence),
        _ => breach(case, evidence),
    })
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: a Will is published after its connection is closed.
fn withholds_the_newcomers_will(case: &Judged<'_>) -> Option<Finding> {
    let published = case.count(WILL, OwnWill::Published);
    let set = case.count(WILL, OwnWill::Withheld) + published;
    if set == 0 {
        return Some(not_observed(case));
    }
    let evidence =
        format!("the Wills of {published} of {set} newcomers were published while they were connected");
    let will = WillRecord { set, not_due_and_seen: published, ..WillRecord::default() };
    Some(judging::withheld(case, &will, evidence))
}
