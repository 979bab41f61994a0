//! After a take-over: what becomes of the newcomer until the older connection's Keep Alive is over, and well past it?
//!
//! A broker that deals with the end of a connection by its ClientID alone may deal with that of the older one again when its
//! Keep Alive lapses, or when its socket is noticed to be dead. The newcomer pays: it is cut, its subscriptions are gone, or
//! its Will is published while it is connected.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ungraceful_mqtt::statement::{V5_3_1_2_8, V5_4_1_0_1, V311_3_1_2_8, V311_4_1_0_2};
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::run::{CaseRecord, WillRecord};
use ungraceful_record::scale::micros;
use ungraceful_record::scale::time;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::bystanders::witness::{WitnessWatch, Witnessed};
use ungraceful_wire::clock::now;

use super::judged::{no_newcomer, versions};
use crate::ending::told_end;
use crate::judging::{self, breach, unsettled};
use crate::peer::{Delivered, Peer};
use crate::pinging::Pinging;
use crate::vanish::keep_alive::no_control;

/// Fact: what had become of the newcomer when the older connection's Keep Alive was over.
pub const LATER: FactOf<Later> = FactOf::new("newcomer_later");
/// Fact: whether the newcomer's subscription, which had brought a message, still brought one then.
pub const SUBSCRIPTION: FactOf<Subscription> = FactOf::new("newcomer_subscription");
/// Fact: whether the newcomer's Will was published while it was connected. Absent without a Will.
pub const WILL: FactOf<OwnWill> = FactOf::new("newcomer_will");
/// Measure: the newcomer's CONNACK, until the broker ended its connection.
pub const CUT_AFTER: Measure = Measure::new("newcomer_cut_after_us");

ungraceful_record::words! {
    /// What became of a newcomer after the take-over.
    pub enum Later {
        /// It was served.
        Served = "served",
        /// What came does not tell.
        Unknown = "unknown",
    } else {
        /// The broker cut it; what came of that.
        Cut = "cut by ",
        /// The broker put this Keep Alive in place of the older connection's: it is longer than is waited for, or 0, which turns
        /// it off.
        NotAwaited = "not waited for, with a Server Keep Alive of ",
    }
}

ungraceful_record::words! {
    /// What became of a newcomer's subscription.
    pub enum Subscription: "subscription" {
        /// It brings messages.
        Delivers = "delivers",
        /// A message that the broker took did not come, and one that was published after the newcomer had subscribed again did.
        Gone = "gone",
        /// What came does not tell.
        Unknown = "unknown",
    }
}

ungraceful_record::words! {
    /// What became of a newcomer's Will while it was connected.
    pub enum OwnWill: "fate" {
        /// It was not published.
        Withheld = "withheld",
        /// It was.
        Published = "published",
    }
}

/// Application Message of the newcomer's Will.
pub(super) const NEWCOMER_WILL: &[u8] = b"will of the newcomer";
/// How often the newcomer sends PINGREQ, so that it is never inactive.
const PING_EVERY: Duration = Duration::from_millis(500);
/// Newcomers that must all have been cut before that is put down to the take-over.
const CUT_MIN: u64 = 2;

/// A newcomer that has been accepted, and what is known of it.
pub(super) struct Newcomer<'a> {
    pub(super) peer: &'a mut Peer,
    pub(super) topic: &'a str,
    pub(super) accepted_at: Instant,
    /// Who listens for its Will; absent when it has none.
    pub(super) will: Option<&'a WitnessWatch>,
}

impl Newcomer<'_> {
    /// Looks on until `until`, and puts what was seen into facts.
    pub(super) async fn look_on(
        &mut self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        version: ProtocolVersion,
        until: Instant,
    ) {
        let from = Publishing { stage, version, client_id: format!("{}p", log.client_id()) };
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        let mut came = Vec::new();
        self.peer.pinging = Pinging::every(PING_EVERY);
        let subscribed = self.peer.subscribe(self.topic, qos, stage.reaction_timeout).await.is_ok();
        // The first message proves that the others can come.
        let is_proved = subscribed && self.is_sent(&from, 0..=0, &mut came).await == Some(true);
        if let Some((how, at)) = self.stay(until).await {
            log.measure(CUT_AFTER, micros(at.saturating_duration_since(self.accepted_at)));
            return log.fact(LATER, Later::Cut(how));
        }
        let still = match is_proved {
            true => self.still_subscribed(&from, &mut came).await,
            false => Subscription::Unknown,
        };
        let is_served = self.peer.is_served(stage.reaction_timeout).await;
        log.fact(LATER, if is_served { Later::Served } else { Later::Unknown });
        // What a newcomer that is not served any more is not sent tells nothing.
        log.fact(SUBSCRIPTION, if is_served { still } else { Subscription::Unknown });
        if let (Some(will), true) = (self.will, is_served) {
            let since_us = stage.clock.us(self.accepted_at);
            let is_own = |heard: &Witnessed| heard.payload == NEWCOMER_WILL && heard.at_us >= since_us;
            let is_published = will.heard().iter().any(is_own);
            log.fact(WILL, if is_published { OwnWill::Published } else { OwnWill::Withheld });
        }
    }

    /// Is connected until `until`; or tells how and when the broker ended the connection.
    async fn stay(&mut self, until: Instant) -> Option<(String, Instant)> {
        while self.peer.ended.is_none() {
            self.peer.next_alive(until).await?;
        }
        let (how, at) = self.peer.ended?;
        let told = self.peer.disconnected.map(|(code, _)| format!("DISCONNECT 0x{code:02X}, "));
        Some((format!("{}{}", told.unwrap_or_default(), told_end(how).2), at))
    }

    /// Whether a message still comes. Where it does not, the newcomer subscribes again: that another one comes then proves
    /// that the subscription was what had been missing.
    async fn still_subscribed(&mut self, from: &Publishing<'_>, came: &mut Vec<Delivered>) -> Subscription {
        let qos = QoS::AtLeastOnce.min(from.stage.maximum_qos);
        // At QoS 0 a message may be lost by right: there are several.
        let last = if qos == QoS::AtMostOnce { 3 } else { 1 };
        match self.is_sent(from, 1..=last, came).await {
            Some(true) => return Subscription::Delivers,
            Some(false) => {}
            None => return Subscription::Unknown,
        }
        if self.peer.subscribe(self.topic, qos, from.stage.reaction_timeout).await.is_err() {
            return Subscription::Unknown;
        }
        let again = last + 1;
        let comes_again = self.is_sent(from, again..=again, came).await;
        match (is_among(came, &(1..=last)), comes_again) {
            (true, _) => Subscription::Delivers,
            (false, Some(true)) => Subscription::Gone,
            (false, _) => Subscription::Unknown,
        }
    }

    /// Has the messages of these numbers published, and tells whether one of them comes in time; absent when the broker did
    /// not take them all. What comes is added to `came`.
    async fn is_sent(
        &mut self,
        from: &Publishing<'_>,
        numbers: RangeInclusive<u64>,
        came: &mut Vec<Delivered>,
    ) -> Option<bool> {
        from.publish(self.topic, numbers.clone()).await?;
        let deadline = now() + from.stage.reaction_timeout;
        self.peer.deliveries_until(deadline, came, |came| is_among(came, &numbers)).await;
        Some(is_among(came, &numbers))
    }
}

/// Another client, which connects each time that there is something to publish.
struct Publishing<'a> {
    stage: &'a Stage,
    version: ProtocolVersion,
    client_id: String,
}

impl Publishing<'_> {
    /// Publishes the messages of these numbers; absent when the broker did not take them all.
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

fn is_among(came: &[Delivered], numbers: &RangeInclusive<u64>) -> bool {
    came.iter().any(|message| message.sequence.is_some_and(|number| numbers.contains(&number)))
}

/// The checks of a mode that looks on.
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

/// The Keep Alives that the broker put in place of the older connections' and that were not waited for, each with how many.
fn not_awaited(case: &CaseRecord) -> impl Iterator<Item = (String, u64)> {
    case.values(LATER).filter_map(|(later, count)| match later {
        Later::NotAwaited(keep_alive) => Some((keep_alive, count)),
        _ => None,
    })
}

/// Why nothing was seen of newcomers after the take-over.
fn not_seen(case: &CaseRecord) -> Finding {
    if let Some((keep_alive, count)) = not_awaited(case).next() {
        return Finding::inconclusive(format!(
            "the broker puts a Server Keep Alive of {keep_alive} in place of that of {count} older connections: it is not waited \
             for; give a --keepalive as long, unless it is 0, which turns Keep Alive off"
        ));
    }
    match case.total(LATER) {
        0 => no_newcomer(case),
        all => Finding::inconclusive(format!(
            "of {all} newcomers it was not seen: they were cut or not served, or had no proof before"
        )),
    }
}

/// No numbered statement says that a client that keeps every rule is served. A newcomer that shows twice a second that it is
/// alive keeps them all. MQTT 3.1.1 section 3.1.2.10 lets a broker cut a client at any time that it holds to be inactive:
/// there a newcomer that was cut is a note.
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
        "{served} of {all} newcomers were served until well after the older connection's Keep Alive was over"
    );
    Some(if cut == 0 && served == 0 {
        not_seen(case)
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
    let (delivers, gone) =
        (case.count(SUBSCRIPTION, Subscription::Delivers), case.count(SUBSCRIPTION, Subscription::Gone));
    let evidence = format!(
        "of {} newcomers that were still connected when the older connection's Keep Alive was over, {gone} were sent \
         nothing on their subscription any more, until they subscribed again",
        delivers + gone
    );
    let finding = if delivers + gone == 0 {
        not_seen(case)
    } else if gone > 0 {
        breach(case, evidence)
    } else {
        Finding::holds(delivers + gone, evidence)
    };
    Some(finding)
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: a Will is published after its connection is closed.
fn withholds_the_newcomers_will(case: &Judged<'_>) -> Option<Finding> {
    let (withheld, published) = (case.count(WILL, OwnWill::Withheld), case.count(WILL, OwnWill::Published));
    let evidence = format!(
        "{published} of {} Wills of newcomers were published while they were connected",
        withheld + published
    );
    if withheld + published == 0 {
        return Some(not_seen(case));
    }
    let will = WillRecord { set: withheld + published, not_due_and_seen: published, ..WillRecord::default() };
    Some(judging::withheld(case, &will, evidence))
}
