//! The duel: two or more clients with one ClientID, each reconnecting when another has taken its connection over. A separate
//! publisher shows which messages are lost.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::{LocalBoxFuture, join, join_all};
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};
use ungraceful_flags::{Mistake, Named, PositiveTime, Seconds, Versions, Wanted, Whole, chosen, reader};
use ungraceful_mqtt::{Property, ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::backoff::Backoff;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::judged;
use super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, connack_time, session_connect};
use crate::ending::{Unfinished, attempted, confirm, end_of_stream, qos_taken};
use crate::judging;
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::outbox::Outbox;
use crate::peer::{Delivered, Event, Peer, discard_session};

/// The fault's id in the catalogue.
pub const ID: &str = "duel";
/// Fact: whether every CONNECT after the first found the session.
pub const SESSION_PRESENT: FactOf<SessionFound> = FactOf::new("session_present");
/// Fact: every way in which contenders were disconnected.
pub const THROWN_OUT_BY: FactOf<String> = FactOf::new("thrown_out_by");
/// Fact: the most frequent reason why CONNECTs were not accepted; absent when all were.
pub const REFUSED_BY: FactOf<String> = FactOf::new("refused_by");
/// Measure: connections that the broker ended during the duel.
pub const TAKEOVERS: Measure = Measure::new("takeovers");
/// Measure: the same, per minute of the duel.
pub const TAKEOVERS_PER_MINUTE: Measure = Measure::new("takeovers_per_minute");
/// Measure: the share of the duel in which at least one contender was connected.
pub const CONNECTED: Measure = Measure::new("connected_permille");
/// Measure: messages that the broker acknowledged and never delivered, per 1,000 take-overs.
pub const LOST_PER_1000: Measure = Measure::new("lost_per_1000_takeovers");
/// Measure: CONNECTs that were not accepted.
pub const REFUSED: Measure = Measure::new("connects_refused");
/// Measure: the longest of the contenders' CONNACK times.
pub const CONNACK_MAX: Measure = Measure::new("newcomer_connack_max_us");

ungraceful_record::words! {
    /// How often reconnecting contenders found the session.
    pub enum SessionFound: "answer" {
        /// Each time.
        Always = "always",
        /// Never.
        Never = "never",
        /// Not each time.
        Sometimes = "sometimes",
        /// The broker announced that it would not keep it.
        NotOwed = "not owed",
        /// No contender reconnected.
        Unknown = "unknown",
    }
}

/// The shortest duel in which clients have time to meet.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long a take-over may take after the duel before the live contenders are counted.
const SETTLE: Duration = Duration::from_millis(500);
/// How often the live contenders are counted again while there is more than one.
const COUNT_AGAIN_EVERY: Duration = Duration::from_millis(500);

ungraceful_record::words! {
    /// Whether the contenders have a session.
    pub enum Sessions: "variant" {
        /// Clean Start 0: the broker keeps the session.
        Resume = "resume",
        /// Clean Start 1.
        Clean = "clean",
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: resume (Clean Start 0, the session is kept), clean (Clean Start 1) [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Sessions>>,
    /// Clients with one ClientID
    #[arg(long, value_name = "N", default_value = "2")]
    contenders: Whole<2, 100>,
    /// Back-off before each reconnect: none, fixed:100ms, exponential:100ms..10s, full-jitter:100ms..10s
    #[arg(long, value_name = "PROFILE", default_value = "none", value_parser = reader::<Backoff>())]
    backoff: Backoff,
    /// Duration of a duel
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasting: PositiveTime,
    /// Messages of QoS 1 per second published to the ClientID's topic
    #[arg(long, value_name = "PER_SECOND", default_value = "50")]
    publish_rate: Whole<1, 10_000>,
    /// Session Expiry Interval of the variant resume; 3.1.1 has none and uses Clean Session 0
    #[arg(short = 'x', long, value_name = "SECONDS", default_value = "60s")]
    session_expiry_interval: Seconds,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "Two or more clients with one ClientID keep taking over from each other";
    const LONG_ABOUT: &'static str = "Runs --contenders clients with one ClientID that reconnect whenever they are disconnected, as two \
         devices with one configuration do, for the time of --for. Reports the number of take-overs per \
         minute, the share of time in which the ClientID is connected at all, how clients are \
         disconnected, and which messages published to the ClientID meanwhile are lost. Each case has \
         --attempts duels, each with its own ClientID.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "1"), ("count", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let lasting = *self.lasting;
        if lasting < SHORTEST {
            let what = format!("{} is too short for a duel; use at least {}", span(lasting), span(SHORTEST));
            mistakes.push(Mistake::new("--for", what));
        }
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(self.contenders.0 + 2)
    }

    fn longest_pause(&self) -> Duration {
        *self.lasting
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Sessions::ALL, &self.variant), spoken, |sessions, version| {
            Some(Duel { sessions, version, flags: self.clone() })
        })
    }
}

/// A duel.
#[derive(Clone, Debug)]
pub struct Duel {
    /// Whether the contenders have a session.
    pub sessions: Sessions,
    /// The version that all of them speak.
    pub version: ProtocolVersion,
    /// The other settings.
    pub flags: Flags,
}

/// What the contenders and the publisher share.
struct Shared<'a> {
    stage: &'a Stage,
    client_id: &'a str,
    publisher_id: String,
    topic: String,
    until: Instant,
    seen: RefCell<Seen>,
}

/// What contenders and publisher have seen.
#[derive(Default)]
struct Seen {
    outbox: Outbox,
    /// From CONNACK to the end, for every connection.
    connected: Vec<(Instant, Instant)>,
    connack_us: Vec<u64>,
    takeovers: u64,
    thrown_out_by: BTreeSet<String>,
    first_takeover: Option<Vec<Reaction>>,
    /// Reasons why CONNECTs were not accepted.
    refused: BTreeMap<String, u64>,
    sessions_present: u64,
    sessions_absent: u64,
    /// The session has its subscription and is owed every later message.
    is_subscribed: bool,
    /// The broker announced that it would not keep the session (Session Expiry Interval 0).
    is_not_kept: bool,
}

impl Shared<'_> {
    fn seen(&self) -> RefMut<'_, Seen> {
        self.seen.borrow_mut()
    }

    fn take_all(&self, delivered: &[Delivered]) {
        self.seen().outbox.take_all(delivered, &self.stage.clock);
    }

    fn has_session(&self) -> bool {
        !self.seen.borrow().connack_us.is_empty()
    }
}

impl Fault for Duel {
    fn case(&self) -> Case {
        Case::new(ID, self.sessions.name(), VersionPair::both(self.version))
    }

    fn describe(&self) -> String {
        format!(
            "{} clients with one ClientID for {}, each reconnecting when it is disconnected (back-off {}, Clean Start {}); {} QoS 1 messages per second are published to them",
            self.flags.contenders.0,
            span(*self.flags.lasting),
            self.flags.backoff,
            u8::from(self.is_clean()),
            self.flags.publish_rate.0
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Duel {
    fn is_clean(&self) -> bool {
        self.sessions == Sessions::Clean
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        qos_taken(stage, QoS::AtLeastOnce)?;
        let client_id = log.client_id().to_owned();
        let began = now();
        let shared = Shared {
            stage,
            client_id: &client_id,
            publisher_id: log.companion(Companion::UsesTopics),
            topic: format!("{}/takeover/{}", stage.topic_root, log.name()),
            until: began + *self.flags.lasting,
            seen: RefCell::default(),
        };
        let Some((published, alive)) = stage.unless_stopped(self.fight(&shared)).await else {
            discard_session(stage, self.version, &client_id).await;
            return Err(Unfinished::Stopped);
        };
        if !shared.has_session() {
            let why = shared.seen().refused.keys().next().cloned();
            let why = why.unwrap_or_else(|| "no contender could connect".to_owned());
            return Err(why.into());
        }
        if let Err(trouble) = published {
            log.trouble(trouble);
        }
        let Some(drained) = stage.unless_stopped(self.drain(&shared)).await else {
            discard_session(stage, self.version, &client_id).await;
            return Err(Unfinished::Stopped);
        };
        self.report(&mut shared.seen(), log, began, alive, drained.is_ok());
        if let Err(trouble) = drained {
            log.trouble(trouble);
            discard_session(stage, self.version, &client_id).await;
        }
        let reactions = shared.seen().first_takeover.take().unwrap_or_default();
        let outcome = match (alive, reactions.is_empty()) {
            (Some(2..), _) => Outcome::Tolerated,
            // One contender or none is left without a take-over: they never met.
            (_, true) => Outcome::NoReaction,
            _ => Outcome::Closed,
        };
        confirm(stage, log, self.version, (reactions, Some(outcome))).await;
        Ok(())
    }

    /// The duel itself. Returns the publisher's result and how many contenders were alive at the end; absent when none was
    /// connected then, as happens when all of them wait before they reconnect.
    async fn fight(&self, shared: &Shared<'_>) -> (Result<(), String>, Option<usize>) {
        let contenders = join_all((0..self.flags.contenders.0).map(|number| self.contend(shared, number)));
        let (left, published) = join(contenders, self.publish(shared)).await;
        let mut left: Vec<Peer> = left.into_iter().flatten().collect();
        // A take-over in the last moment is noticed by then.
        sleep(SETTLE).await;
        // More than one is a violation only when the broker had the full reaction timeout to close the older ones.
        let deadline = now() + shared.stage.reaction_timeout;
        let alive = loop {
            let is_last = now() >= deadline;
            let mut alive = 0;
            for peer in &mut left {
                alive += usize::from(peer.is_served(shared.stage.reaction_timeout).await);
                shared.take_all(&peer.take_set_aside());
            }
            if alive < 2 || is_last {
                break alive;
            }
            sleep(COUNT_AGAIN_EVERY).await;
        };
        let alive = (!left.is_empty()).then_some(alive);
        for peer in left {
            peer.client.leave().await;
        }
        (published, alive)
    }

    /// Runs one contender. Returns its connection at the end of the duel; absent when it has none.
    async fn contend(&self, shared: &Shared<'_>, number: u64) -> Option<Peer> {
        let random = shared.stage.seed.stream(&format!("duel {} {number}", shared.client_id));
        let mut waits = self.flags.backoff.waits(random);
        // The first contender begins the session and the others find it: of two simultaneous CONNECTs, the one whose CONNACK
        // is read first need not be the one that the broker accepted first.
        while number > 0 && !shared.has_session() && now() < shared.until {
            sleep(Duration::from_millis(1)).await;
        }
        while now() < shared.until {
            let Some((mut peer, connected_at)) = self.connect(shared).await else {
                self.pause(shared, waits.next_wait().max(Duration::from_millis(1))).await;
                continue;
            };
            let Some(ended_at) = await_takeover(shared, &mut peer).await else {
                shared.seen().connected.push((connected_at, shared.until.max(connected_at)));
                return Some(peer);
            };
            shared.seen().connected.push((connected_at, ended_at));
            waits.connection_lasted(ended_at.saturating_duration_since(connected_at));
            self.pause(shared, waits.next_wait()).await;
        }
        None
    }

    async fn pause(&self, shared: &Shared<'_>, wait: Duration) {
        sleep_until(TokioInstant::from_std((now() + wait).min(shared.until))).await;
    }

    /// Connects, and subscribes when there is no session; absent when it could not connect.
    async fn connect(&self, shared: &Shared<'_>) -> Option<(Peer, Instant)> {
        let kept = [Property::SessionExpiryInterval(self.flags.session_expiry_interval.0)];
        let properties: &[Property<'_>] = if self.is_clean() { &[] } else { &kept };
        let connect =
            session_connect(shared.stage, self.version, shared.client_id, self.is_clean(), properties);
        let connected = Peer::come_back(shared.stage, self.version, &connect).await;
        let refuse = |why: String| *shared.seen().refused.entry(why).or_default() += 1;
        let (mut peer, accepted) = connected.map_err(refuse).ok()?;
        if shared.has_session() {
            shared.seen().sessions_present += u64::from(accepted.session_present);
            shared.seen().sessions_absent += u64::from(!accepted.session_present);
        }
        shared.seen().connack_us.push(micros(connack_time(&accepted)));
        // The subscription goes with its session.
        shared.seen().is_subscribed &= accepted.session_present;
        shared.seen().is_not_kept |= accepted.session_expiry_interval_s == Some(0);
        let is_subscribed = shared.seen().is_subscribed;
        if !is_subscribed {
            let within = shared.stage.options.connect_timeout;
            // After a take-over before its SUBACK, the contender notices the end next, and another one subscribes.
            let subscribed = peer.subscribe(&shared.topic, QoS::AtLeastOnce, within).await;
            shared.seen().is_subscribed |= subscribed.is_ok();
            shared.take_all(&peer.take_set_aside());
        }
        Some((peer, accepted.connack_at))
    }

    /// Publishes to the contenders for as long as the duel lasts.
    async fn publish(&self, shared: &Shared<'_>) -> Result<(), String> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while !shared.seen.borrow().is_subscribed && now() < shared.until {
            sleep(LOOK_EVERY).await;
        }
        let connect = Client::honest_connect(&shared.publisher_id, &shared.stage.credentials);
        let (mut publisher, accepted) = Peer::connect(shared.stage, self.version, &connect)
            .await
            .map_err(|error| format!("publisher: {error}"))?;
        // A client respects the broker's Receive Maximum (MQTT 5.0 [MQTT-3.3.4-7]); due messages wait.
        let at_once = usize::from(accepted.receive_maximum.unwrap_or(u16::MAX));
        let every = Duration::from_secs(1) / self.flags.publish_rate.get();
        let mut due = now();
        let mut in_flight: BTreeMap<u16, u64> = BTreeMap::new();
        // Messages delayed by slow acknowledgements are not published after the duel.
        while (due < shared.until && now() < shared.until) || !in_flight.is_empty() {
            let may_send = due < shared.until && now() < shared.until && in_flight.len() < at_once;
            let deadline = if may_send { due } else { now() + shared.stage.reaction_timeout };
            match publisher.next_before(deadline).await {
                Some(Event::Finished { identifier, code }) => {
                    if let Some(sequence) = in_flight.remove(&identifier) {
                        shared.seen().outbox.acknowledged(sequence, code);
                    }
                }
                Some(Event::Ended { .. }) => {
                    return Err("the broker ended the publisher's connection".to_owned());
                }
                Some(Event::Disconnect(code)) => {
                    return Err(format!("the broker sent the publisher DISCONNECT 0x{code:02X}"));
                }
                Some(_) => {}
                None if may_send => {
                    let sequence = shared.seen().outbox.offer(QoS::AtLeastOnce);
                    let sent =
                        publisher.send_publish(&shared.topic, QoS::AtLeastOnce, sequence, None).await?;
                    shared.seen().outbox.sent(sequence);
                    in_flight.insert(sent, sequence);
                    due += every;
                }
                // The fate of messages without an acknowledgement stays unknown.
                None => break,
            }
        }
        publisher.client.leave().await;
        Ok(())
    }

    /// A last client receives what the session still holds and ends the session.
    ///
    /// # Errors
    /// A message for the user when that failed: messages that did not arrive are no evidence then.
    async fn drain(&self, shared: &Shared<'_>) -> Result<(), String> {
        let connect = session_connect(shared.stage, self.version, shared.client_id, self.is_clean(), &[]);
        let connected = Peer::connect(shared.stage, self.version, &connect).await;
        let (mut peer, _) = connected.map_err(|error| format!("client after the duel: {error}"))?;
        let latest = now() + shared.stage.reaction_timeout;
        while !self.is_clean() && now() < latest && shared.seen.borrow().outbox.lost() > 0 {
            match peer.next_alive(latest).await {
                Some(Event::Delivered(delivered)) => shared.take_all(&[delivered]),
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Err("the broker ended the connection of the client after the duel".to_owned());
                }
                Some(_) | None => {}
            }
        }
        peer.leave_nothing(shared.stage, shared.client_id).await;
        Ok(())
    }

    fn report(
        &self,
        seen: &mut Seen,
        log: &mut AttemptLog<'_>,
        began: Instant,
        alive: Option<usize>,
        is_drained: bool,
    ) {
        let most = seen.refused.iter().max_by_key(|(_, count)| **count).map(|(why, _)| why.as_str());
        // Without a take-over, the first contender met no other: the others were refused.
        let takeovers = seen.takeovers;
        let answer = match most {
            Some(why) if takeovers == 0 => Answer::Refused(why.to_owned()),
            _ => Answer::Accepted,
        };
        log.fact(NEWCOMER, answer);
        if let Some(why) = most.filter(|_| takeovers > 0) {
            log.fact(REFUSED_BY, why);
        }
        log.fact(ALIVE, alive.map_or(Alive::Unknown, Alive::of_many));
        log.measure(TAKEOVERS, takeovers);
        let lasted_us = micros(*self.flags.lasting).max(1);
        log.measure(TAKEOVERS_PER_MINUTE, takeovers.saturating_mul(60_000_000) / lasted_us);
        let connected = union(&mut seen.connected, began, began + *self.flags.lasting);
        log.measure(CONNECTED, micros(connected).saturating_mul(1_000) / lasted_us);
        // A message is lost only when its session should have been kept and was drained.
        let can_lose = !self.is_clean() && !seen.is_not_kept && is_drained;
        if can_lose && takeovers > 0 && seen.outbox.acknowledged_any() {
            log.measure(LOST_PER_1000, seen.outbox.lost().saturating_mul(1_000) / takeovers);
        }
        log.measure(REFUSED, seen.refused.values().sum());
        seen.connack_us.sort_unstable();
        if let Some(longest) = seen.connack_us.last() {
            log.measure(NEWCOMER_CONNACK, seen.connack_us[seen.connack_us.len() / 2]);
            log.measure(CONNACK_MAX, *longest);
        }
        if !seen.thrown_out_by.is_empty() {
            let ways: Vec<&str> = seen.thrown_out_by.iter().map(String::as_str).collect();
            log.fact(THROWN_OUT_BY, ways.join(" or "));
        }
        if !self.is_clean() {
            let found = match (seen.sessions_present, seen.sessions_absent) {
                _ if seen.is_not_kept => SessionFound::NotOwed,
                (0, 0) => SessionFound::Unknown,
                (_, 0) => SessionFound::Always,
                (0, _) => SessionFound::Never,
                _ => SessionFound::Sometimes,
            };
            log.fact(SESSION_PRESENT, found);
        }
        if can_lose {
            seen.outbox.report(log);
        }
    }
}

/// Serves a contender's connection until it ends and returns when; absent when the duel is over before.
async fn await_takeover(shared: &Shared<'_>, peer: &mut Peer) -> Option<Instant> {
    let reaction = |kind, code, at: Instant| Reaction {
        kind,
        code,
        at_us: shared.stage.clock.us(at),
        detail: None,
        connection: None,
    };
    loop {
        match peer.next_alive(shared.until).await? {
            Event::Delivered(delivered) => shared.take_all(&[delivered]),
            Event::Ended { how, at } => {
                // A DISCONNECT may have come earlier, while the contender waited for its SUBACK.
                let disconnect = peer.disconnected;
                let disconnect =
                    disconnect.map(|(code, at)| reaction(ReactionKind::Disconnect, Some(code), at));
                let end = reaction(end_of_stream(how).0, None, at);
                let reactions: Vec<Reaction> = disconnect.into_iter().chain([end]).collect();
                let labels: Vec<String> = reactions.iter().map(Reaction::label).collect();
                let mut seen = shared.seen();
                seen.takeovers += 1;
                seen.thrown_out_by.insert(labels.join(", "));
                seen.first_takeover.get_or_insert(reactions);
                return Some(at);
            }
            _ => {}
        }
    }
}

/// How much of the time from `began` to `until` at least one of the stretches covers.
fn union(stretches: &mut [(Instant, Instant)], began: Instant, until: Instant) -> Duration {
    stretches.sort_unstable();
    let (mut covered, mut reached) = (Duration::ZERO, began);
    for (from, to) in stretches {
        let (from, to) = ((*from).max(reached), (*to).min(until));
        covered += to.saturating_duration_since(from);
        reached = reached.max(to);
    }
    covered
}

/// The checks that only this mode has.
pub const CHECKS: &[Check] =
    &[Check::prose("keeps_messages_across_takeovers", keeps_messages_across_takeovers)
        .on(|case| case.case.variant == "resume")];

/// A session that every contender resumed holds every unacknowledged message. Which statement a loss violates is not visible
/// from outside (the message may have been in flight to one of many connections), so it is a note.
fn keeps_messages_across_takeovers(case: &Judged<'_>) -> Option<Finding> {
    let counts = case.messages.get(&1).cloned().unwrap_or_default();
    // A session stores messages while its client is away, so "no matching subscribers" explains nothing.
    let lost = counts.lost + counts.without_subscribers;
    let takeovers = case.measured(TAKEOVERS).sum;
    let evidence = format!(
        "{} messages acknowledged, {} of them never delivered, {} delivered more than once, in {takeovers} take-overs",
        counts.acknowledged, lost, counts.duplicated
    );
    Some(if counts.acknowledged == 0 || takeovers == 0 {
        Finding::inconclusive("no message was acknowledged, or no connection was taken over")
    } else if lost > 0 {
        let note = "acknowledged messages were lost in take-overs";
        judging::lost_without_rule(case, note, 0, evidence)
    } else {
        Finding::holds(counts.delivered + lost, evidence)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_wire::clock::now;

    use super::union;

    #[test]
    fn overlapping_connections_count_once_within_the_duel() {
        let began = now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut stretches = [(at(50), at(80)), (at(10), at(30)), (at(20), at(40)), (at(90), at(500))];
        assert_eq!(union(&mut stretches, began, at(100)), Duration::from_millis(30 + 30 + 10));
        assert_eq!(union(&mut [], began, at(100)), Duration::ZERO);
    }
}
