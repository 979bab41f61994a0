//! The duel: two or more clients with one ClientID, each connecting again when the other has thrown it out. A publisher
//! of its own tells what is lost on the way.

use std::cell::{Cell, RefCell};
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
use ungraceful_record::scale::micros;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::backoff::Backoff;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::judged;
use super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, session_connect};
use crate::ending::{Untold, attempted, confirm, qos_taken, told_end};
use crate::judging;
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::outbox::Outbox;
use crate::peer::{Delivered, Event, Peer, discard_session};

/// The fault's id in the catalogue.
pub const ID: &str = "duel";
/// Fact: whether every CONNECT after the first found the session.
pub const SESSION_PRESENT: FactOf<Found> = FactOf::new("session_present");
/// Fact: how contenders were thrown out, every way that was seen.
pub const THROWN_OUT_BY: FactOf<String> = FactOf::new("thrown_out_by");
/// Fact: why CONNECTs were not accepted, the most frequent reason; absent when all were.
pub const REFUSED_BY: FactOf<String> = FactOf::new("refused_by");
/// Measure: connections that the broker ended during the duel.
pub const TAKEOVERS: Measure = Measure::new("takeovers");
/// Measure: the same, for each minute of the duel.
pub const TAKEOVERS_PER_MINUTE: Measure = Measure::new("takeovers_per_minute");
/// Measure: the share of the duel in which at least one contender was connected.
pub const CONNECTED: Measure = Measure::new("connected_permille");
/// Measure: messages that the broker acknowledged and no contender was sent, for each 1,000 take-overs.
pub const LOST_PER_1000: Measure = Measure::new("lost_per_1000_takeovers");
/// Measure: CONNECTs that were not accepted.
pub const REFUSED: Measure = Measure::new("connects_refused");
/// Measure: the longest of the contenders' CONNACK times.
pub const CONNACK_MAX: Measure = Measure::new("newcomer_connack_max_us");

ungraceful_record::words! {
    /// How often contenders found the session.
    pub enum Found: "answer" {
        /// Each time.
        Always = "always",
        /// Not once.
        Never = "never",
        /// Not each time.
        Sometimes = "sometimes",
        /// The broker said that it would not keep it.
        NotOwed = "not owed",
        /// No contender came back.
        Unknown = "unknown",
    }
}

/// The shortest duel in which clients have time to meet.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long contenders are looked at after the duel, before those that are alive are counted.
const SETTLE: Duration = Duration::from_millis(500);
/// How often those that are alive are asked again, while there is more than one of them.
const ASK_AGAIN_EVERY: Duration = Duration::from_millis(500);

ungraceful_record::words! {
    /// Whether the contenders have a session.
    pub enum Sessions: "variant" {
        /// Clean Start 0: the session is kept.
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
    const LONG_ABOUT: &'static str = "Has --contenders clients with one ClientID connect again whenever they are disconnected, as two \
         devices with one configuration do, for the time of --for. Reports how many take-overs per minute \
         the broker goes through, the share of time in which the ClientID is connected at all, what each \
         loser is told, and what is lost of the messages that are published to the ClientID meanwhile. \
         --attempts duels are fought per case, each with a ClientID of its own.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "1"), ("count", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let lasting = *self.lasting;
        if lasting < SHORTEST {
            let what = format!("{} is too short for a duel; give at least {}", span(lasting), span(SHORTEST));
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
    /// What else was asked for.
    pub flags: Flags,
}

/// What the contenders and the publisher share.
struct Arena<'a> {
    stage: &'a Stage,
    client_id: &'a str,
    topic: String,
    until: Instant,
    outbox: RefCell<Outbox>,
    /// From CONNACK to the end, of every connection.
    connected: RefCell<Vec<(Instant, Instant)>>,
    connack_us: RefCell<Vec<u64>>,
    thrown_out: Cell<u64>,
    thrown_out_by: RefCell<BTreeSet<String>>,
    first_thrown_out: RefCell<Option<Vec<Reaction>>>,
    refused: RefCell<BTreeMap<String, u64>>,
    sessions_present: Cell<u64>,
    sessions_absent: Cell<u64>,
    /// The session has its subscription: what is published from then on is owed to it.
    is_subscribed: Cell<bool>,
    /// The broker said that it would not keep the session (Session Expiry Interval 0).
    is_not_kept: Cell<bool>,
}

impl Fault for Duel {
    fn case(&self) -> Case {
        Case::new(ID, self.sessions.name(), VersionPair::both(self.version))
    }

    fn describe(&self) -> String {
        format!(
            "{} clients with one ClientID, each connecting again when it is thrown out ({}), for {}, Clean Start {}; {} messages per second of QoS 1 are published to them",
            self.flags.contenders.0,
            self.flags.backoff,
            span(*self.flags.lasting),
            u8::from(self.is_clean()),
            self.flags.publish_rate.0
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Duel {
    fn is_clean(&self) -> bool {
        self.sessions == Sessions::Clean
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        qos_taken(stage, QoS::AtLeastOnce)?;
        let client_id = log.client_id().to_owned();
        let began = now();
        let arena = Arena {
            stage,
            client_id: &client_id,
            topic: format!("{}/takeover/{client_id}", stage.topic_root),
            until: began + *self.flags.lasting,
            outbox: RefCell::default(),
            connected: RefCell::default(),
            connack_us: RefCell::default(),
            thrown_out: Cell::default(),
            thrown_out_by: RefCell::default(),
            first_thrown_out: RefCell::default(),
            refused: RefCell::default(),
            sessions_present: Cell::default(),
            sessions_absent: Cell::default(),
            is_subscribed: Cell::default(),
            is_not_kept: Cell::default(),
        };
        let fought = stage.unless_stopped(self.fight(&arena)).await;
        let Some((published, alive)) = fought else {
            discard_session(stage, self.version, &client_id).await;
            return Err(Untold::Stopped);
        };
        if arena.connack_us.borrow().is_empty() {
            let why = arena.refused.borrow().keys().next().cloned();
            let why = why.unwrap_or_else(|| "no contender could connect".to_owned());
            return Err(why.into());
        }
        if let Err(trouble) = published {
            log.trouble(trouble);
        }
        let Some(drained) = stage.unless_stopped(self.drain(&arena)).await else {
            discard_session(stage, self.version, &client_id).await;
            return Err(Untold::Stopped);
        };
        self.tell(&arena, log, began, alive, drained.is_ok());
        if let Err(trouble) = drained {
            log.trouble(trouble);
            discard_session(stage, self.version, &client_id).await;
        }
        let reactions = arena.first_thrown_out.take().unwrap_or_default();
        let outcome = match (alive, reactions.is_empty()) {
            (Some(2..), _) => Outcome::Tolerated,
            // No contender was thrown out, and one or none is left: they never met.
            (_, true) => Outcome::NoReaction,
            _ => Outcome::Closed,
        };
        confirm(stage, log, self.version, (reactions, Some(outcome))).await;
        Ok(())
    }

    /// The duel itself. How the publisher fared, and how many contenders were alive at its end; absent when none was
    /// connected then, as happens when all of them wait before they connect again.
    async fn fight(&self, arena: &Arena<'_>) -> (Result<(), String>, Option<usize>) {
        let contenders = join_all((0..self.flags.contenders.0).map(|number| self.contend(arena, number)));
        let (left, published) = join(contenders, self.publish(arena)).await;
        let mut left: Vec<Peer> = left.into_iter().flatten().collect();
        // Who was thrown out in the last moment is known to be by now.
        sleep(SETTLE).await;
        // More than one is an accusation only when the broker had all of its time to close the older ones.
        let deadline = now() + arena.stage.reaction_timeout;
        let alive = loop {
            let is_last = now() >= deadline;
            let mut alive = 0;
            for peer in &mut left {
                alive += usize::from(peer.is_served(arena.stage.reaction_timeout).await);
                take_all(arena, &peer.take_set_aside());
            }
            if alive < 2 || is_last {
                break alive;
            }
            sleep(ASK_AGAIN_EVERY).await;
        };
        let alive = (!left.is_empty()).then_some(alive);
        for peer in left {
            peer.client.leave().await;
        }
        (published, alive)
    }

    /// One contender, until the duel is over. The connection that it has then; absent when it has none.
    async fn contend(&self, arena: &Arena<'_>, number: u64) -> Option<Peer> {
        let random = arena.stage.seed.stream(&format!("duel {} {number}", arena.client_id));
        let mut waits = self.flags.backoff.waits(random);
        // The first one begins the session, and the others find it: of two that come at once, the one whose CONNACK is read
        // first need not be the one that the broker accepted first.
        while number > 0 && arena.connack_us.borrow().is_empty() && now() < arena.until {
            sleep(Duration::from_millis(1)).await;
        }
        while now() < arena.until {
            let Some((mut peer, connected_at)) = self.enter(arena).await else {
                self.pause(arena, waits.next_wait().max(Duration::from_millis(1))).await;
                continue;
            };
            let Some(ended_at) = serve(arena, &mut peer).await else {
                arena.connected.borrow_mut().push((connected_at, arena.until.max(connected_at)));
                return Some(peer);
            };
            arena.connected.borrow_mut().push((connected_at, ended_at));
            waits.connection_lasted(ended_at.saturating_duration_since(connected_at));
            self.pause(arena, waits.next_wait()).await;
        }
        None
    }

    async fn pause(&self, arena: &Arena<'_>, wait: Duration) {
        sleep_until(TokioInstant::from_std((now() + wait).min(arena.until))).await;
    }

    /// Connects, and subscribes where there is no session; absent when that failed.
    async fn enter(&self, arena: &Arena<'_>) -> Option<(Peer, Instant)> {
        let kept = [Property::SessionExpiryInterval(self.flags.session_expiry_interval.0)];
        let properties: &[Property<'_>] = if self.is_clean() { &[] } else { &kept };
        let connect =
            session_connect(arena.stage, self.version, arena.client_id, self.is_clean(), properties);
        let connected = Peer::come_back(arena.stage, self.version, &connect).await;
        let refuse = |why: String| *arena.refused.borrow_mut().entry(why).or_default() += 1;
        let (mut peer, accepted) = connected.map_err(refuse).ok()?;
        let connack_time = accepted.connack_at.saturating_duration_since(accepted.connect_sent);
        if !arena.connack_us.borrow().is_empty() {
            let count =
                if accepted.session_present { &arena.sessions_present } else { &arena.sessions_absent };
            count.set(count.get() + 1);
        }
        arena.connack_us.borrow_mut().push(micros(connack_time));
        if !accepted.session_present {
            // With the older session its subscription is gone.
            arena.is_subscribed.set(false);
        }
        if accepted.session_expiry_interval_s == Some(0) {
            arena.is_not_kept.set(true);
        }
        if !accepted.session_present || !arena.is_subscribed.get() {
            let within = arena.stage.options.connect_timeout;
            // A contender that was thrown out before its SUBACK finds that out next, and another one subscribes.
            let subscribed = peer.subscribe(&arena.topic, QoS::AtLeastOnce, within).await;
            arena.is_subscribed.set(subscribed.is_ok() || arena.is_subscribed.get());
            take_all(arena, &peer.take_set_aside());
        }
        Some((peer, accepted.connack_at))
    }

    /// Publishes to the contenders for as long as the duel lasts.
    async fn publish(&self, arena: &Arena<'_>) -> Result<(), String> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while !arena.is_subscribed.get() && now() < arena.until {
            sleep(LOOK_EVERY).await;
        }
        let client_id = format!("{}p", arena.client_id);
        let connect = Client::honest_connect(&client_id, &arena.stage.credentials);
        let (mut publisher, accepted) = Peer::connect(arena.stage, self.version, &connect)
            .await
            .map_err(|error| format!("the publisher: {error}"))?;
        // A client keeps to the broker's Receive Maximum (MQTT 5.0 [MQTT-3.3.4-7]); what is due waits.
        let at_once = usize::from(accepted.receive_maximum.unwrap_or(u16::MAX));
        let every = Duration::from_secs(1) / self.flags.publish_rate.get();
        let mut due = now();
        let mut under_way: BTreeMap<u16, u64> = BTreeMap::new();
        // What a broker that acknowledges slowly leaves no room for is not published after the duel.
        while (due < arena.until && now() < arena.until) || !under_way.is_empty() {
            let may_send = due < arena.until && now() < arena.until && under_way.len() < at_once;
            let deadline = if may_send { due } else { now() + arena.stage.reaction_timeout };
            match publisher.next_before(deadline).await {
                Some(Event::Finished { identifier, code }) => {
                    if let Some(sequence) = under_way.remove(&identifier) {
                        arena.outbox.borrow_mut().acknowledged(sequence, code);
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
                    let sequence = arena.outbox.borrow_mut().offer(QoS::AtLeastOnce);
                    let sent = publisher.send_publish(&arena.topic, QoS::AtLeastOnce, sequence, None).await?;
                    arena.outbox.borrow_mut().sent(sequence);
                    under_way.insert(sent, sequence);
                    due += every;
                }
                // What is not acknowledged by now stays unknown.
                None => break,
            }
        }
        publisher.client.leave().await;
        Ok(())
    }

    /// The last client takes what the session still holds, and ends the session.
    ///
    /// # Errors
    /// In words, when it could not look: what did not come says nothing then.
    async fn drain(&self, arena: &Arena<'_>) -> Result<(), String> {
        let connect = session_connect(arena.stage, self.version, arena.client_id, self.is_clean(), &[]);
        let connected = Peer::connect(arena.stage, self.version, &connect).await;
        let (mut peer, _) = connected.map_err(|error| format!("the client after the duel: {error}"))?;
        let latest = now() + arena.stage.reaction_timeout;
        while !self.is_clean() && now() < latest && arena.outbox.borrow().lost() > 0 {
            match peer.next_alive(latest).await {
                Some(Event::Delivered(delivered)) => take_all(arena, &[delivered]),
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Err("the broker ended the connection of the client after the duel".to_owned());
                }
                Some(_) | None => {}
            }
        }
        peer.leave_nothing(arena.stage, arena.client_id).await;
        Ok(())
    }

    fn tell(
        &self,
        arena: &Arena<'_>,
        log: &mut AttemptLog<'_>,
        began: Instant,
        alive: Option<usize>,
        is_drained: bool,
    ) {
        let refused = arena.refused.borrow();
        let most = refused.iter().max_by_key(|(_, count)| **count).map(|(why, _)| why.as_str());
        // The first of them met no other: without a take-over, a refusal is what became of the others.
        let thrown_out = arena.thrown_out.get();
        log.fact(
            NEWCOMER,
            match most {
                Some(why) if thrown_out == 0 => Answer::Refused(why.to_owned()),
                _ => Answer::Accepted,
            },
        );
        if let Some(why) = most.filter(|_| thrown_out > 0) {
            log.fact(REFUSED_BY, why);
        }
        log.fact(ALIVE, alive.map_or(Alive::Unknown, Alive::of_many));
        log.measure(TAKEOVERS, thrown_out);
        let lasted_us = micros(*self.flags.lasting).max(1);
        log.measure(TAKEOVERS_PER_MINUTE, thrown_out.saturating_mul(60_000_000) / lasted_us);
        let connected = union(&mut arena.connected.borrow_mut(), began, arena.until);
        log.measure(CONNECTED, micros(connected).saturating_mul(1_000) / lasted_us);
        let outbox = arena.outbox.borrow();
        // A loss is one only where the session is owed, and somebody looked.
        let can_lose = !self.is_clean() && !arena.is_not_kept.get() && is_drained;
        if can_lose && thrown_out > 0 && outbox.acknowledged_any() {
            log.measure(LOST_PER_1000, outbox.lost().saturating_mul(1_000) / thrown_out);
        }
        log.measure(REFUSED, refused.values().sum());
        let mut connack_us = arena.connack_us.borrow().clone();
        connack_us.sort_unstable();
        if let (Some(median), Some(longest)) = (connack_us.get(connack_us.len() / 2), connack_us.last()) {
            log.measure(NEWCOMER_CONNACK, *median);
            log.measure(CONNACK_MAX, *longest);
        }
        let by: Vec<String> = arena.thrown_out_by.borrow().iter().cloned().collect();
        if !by.is_empty() {
            log.fact(THROWN_OUT_BY, by.join(" or "));
        }
        if !self.is_clean() {
            let present = match (arena.sessions_present.get(), arena.sessions_absent.get()) {
                _ if arena.is_not_kept.get() => Found::NotOwed,
                (0, 0) => Found::Unknown,
                (_, 0) => Found::Always,
                (0, _) => Found::Never,
                _ => Found::Sometimes,
            };
            log.fact(SESSION_PRESENT, present);
        }
        if can_lose {
            outbox.tell(log);
        }
    }
}

/// Serves a contender's connection until it is ended, and tells when; absent when the duel is over before.
async fn serve(arena: &Arena<'_>, peer: &mut Peer) -> Option<Instant> {
    let reaction = |kind, code, at: Instant| Reaction {
        kind,
        code,
        at_us: arena.stage.clock.us(at),
        detail: None,
        connection: None,
    };
    loop {
        match peer.next_alive(arena.until).await? {
            Event::Delivered(delivered) => take_all(arena, &[delivered]),
            Event::Ended { how, at } => {
                let kind = told_end(how).0;
                // It may have come before this, while the contender waited for its SUBACK.
                let told = peer.disconnected;
                let told = told.map(|(code, at)| reaction(ReactionKind::Disconnect, Some(code), at));
                let reactions: Vec<Reaction> = told.into_iter().chain([reaction(kind, None, at)]).collect();
                arena.thrown_out.set(arena.thrown_out.get() + 1);
                let told: Vec<String> = reactions.iter().map(Reaction::label).collect();
                arena.thrown_out_by.borrow_mut().insert(told.join(", "));
                arena.first_thrown_out.borrow_mut().get_or_insert(reactions);
                return Some(at);
            }
            _ => {}
        }
    }
}

fn take_all(arena: &Arena<'_>, delivered: &[Delivered]) {
    arena.outbox.borrow_mut().take_all(delivered, &arena.stage.clock);
}

/// How much of the time from `began` to `until` is covered by at least one of the stretches.
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

/// A session that every contender resumed holds what nobody has acknowledged. Which statement a loss breaks can't be
/// told from outside (the message may have been on its way to one of many connections), so it is a note.
fn keeps_messages_across_takeovers(case: &Judged<'_>) -> Option<Finding> {
    let counts = case.messages.get(&1).cloned().unwrap_or_default();
    // A session takes messages while its client is away: "no matching subscribers" is no excuse.
    let lost = counts.lost + counts.without_subscribers;
    let takeovers = case.measured(TAKEOVERS).sum;
    let evidence = format!(
        "{} messages acknowledged, {} of them never delivered, {} delivered more than once, in {takeovers} take-overs",
        counts.acknowledged, lost, counts.duplicated
    );
    Some(if counts.acknowledged == 0 || takeovers == 0 {
        let why = "no message was acknowledged, or nobody was taken over";
        Finding::inconclusive(why)
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
    fn overlapping_connections_count_once_and_nothing_beyond_the_duel_counts() {
        let began = now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut stretches = [(at(50), at(80)), (at(10), at(30)), (at(20), at(40)), (at(90), at(500))];
        assert_eq!(union(&mut stretches, began, at(100)), Duration::from_millis(30 + 30 + 10));
        assert_eq!(union(&mut [], began, at(100)), Duration::ZERO);
    }
}
