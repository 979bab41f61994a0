//! The herd: many clients that are connected and working lose their connection at one instant and come back, each by the
//! same back-off profile. How long until all are back, how many tries does it take, and who is left behind?
//!
//! One case per profile, and each is a wave of its own: the next herd is gathered when nothing is left of the one before.
//! A member that is back stays connected until all are back, as clients do: a broker may let some in only when others leave.

mod flags;
mod members;
mod returning;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use ungraceful_mqtt::{Property, ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::backoff::Profile;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

pub use self::flags::Flags;
use self::members::{Member, Members};
use self::returning::{Returned, Returning};
use crate::ending::{Untold, attempted, prepared};
use crate::peer::{Event, Peer, discard_session};
use crate::resumption::{Resumption, SESSION_PRESENT};
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "herd";
/// Milestone: the CONNACK of the connection that a member kept. Fact: yes, or what its last try came to.
pub const BACK: FactOf<Back> = FactOf::new("back");
/// Measure: connections that a member began, until it was back or its time was over.
pub const TRIES: Measure = Measure::new("tries");
/// Measure: CONNECT handed to the kernel, until the CONNACK that let the member in again.
pub const CONNACK: Measure = Measure::new("back_connack_us");
/// Measure: TCP handshakes of a member that took a second or more. A listen backlog that is full drops SYNs, which are sent
/// again after a second.
pub const LATE_HANDSHAKES: Measure = Measure::new("handshakes_of_1_s");
/// Measure: how often a member that was back lost its connection again. Absent when it never did.
pub const LOST_AGAIN: Measure = Measure::new("lost_again");
/// Measure: tries that failed for want of local ports or descriptors of ours.
pub const OUR_OWN: Measure = Measure::new("tries_without_port_or_descriptor");

ungraceful_record::words! {
    /// Whether a client was back.
    pub enum Back {
        /// It was, within the time that there is.
        InTime = "yes",
    } else {
        /// It was not; how its last try ended.
        Not = "",
    }
}

/// How long before its turn a member may read that its connection has ended with a planned outage: the broker's end and
/// our word that the wave is let go go different ways.
const ENDED_EARLY: Duration = Duration::from_secs(2);
/// Members that part at the same time: parting is no part of the fault.
const PARTING_MAX: usize = 32;

/// How the members lose their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// We reset them (RST).
    Reset,
    /// The run has the broker restarted, within this time.
    Restart(Duration),
}

/// One herd.
#[derive(Debug)]
pub struct Herd {
    /// By which profile its members come back.
    pub profile: Profile,
    /// The version they speak.
    pub version: ProtocolVersion,
    /// How they lose their connections.
    pub loss: Loss,
    /// How long they have to come back, from the instant of the loss.
    pub back_within: Duration,
    /// Session Expiry Interval of their sessions, in seconds, from 1.
    pub session_expiry_interval_s: u32,
    /// How many may be under way between SYN and CONNACK at the same time; absent for any number, as in life.
    pub connecting: Option<Arc<Semaphore>>,
    members: Members,
    parting: Arc<Semaphore>,
}

/// A member before its loss.
struct Before {
    peer: Peer,
    topic: String,
    /// How long the broker keeps the session after the connection; absent when it does not.
    session_kept_for: Option<Duration>,
}

/// How the wait for the turn ended.
enum Turn {
    /// The herd is let go, and the member still has its connection.
    Due,
    /// The herd is let go, and the member has lost its connection.
    DueAndLost(Instant),
    /// The run stops.
    Stopped,
}

impl Herd {
    /// A herd that comes back by `profile`.
    #[must_use]
    pub fn new(profile: Profile, version: ProtocolVersion, flags: &Flags) -> Self {
        Self {
            profile,
            version,
            loss: flags.restart.as_ref().map_or(Loss::Reset, |restart| Loss::Restart(restart.within)),
            back_within: *flags.back_within,
            session_expiry_interval_s: flags.session_expiry_interval.0,
            connecting: flags.connecting_max.map(|max| Arc::new(Semaphore::new(max.get()))),
            members: Members::default(),
            parting: Arc::new(Semaphore::new(PARTING_MAX)),
        }
    }
}

impl Fault for Herd {
    fn case(&self) -> Case {
        Case::new(ID, self.profile.name.clone(), self.version)
    }

    fn gathers(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let loss = match self.loss {
            Loss::Reset => "RST by us".to_owned(),
            Loss::Restart(_) => "lost as the broker is restarted".to_owned(),
        };
        format!(
            "CONNECT with a session that is kept, SUBSCRIBE, one PUBLISH; all at one instant {loss}; then CONNECT with the \
             same ClientID and Clean Start 0 {}, until it is accepted or {} are over",
            self.profile.backoff,
            span(self.back_within)
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Herd {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let told = self.be_let_go(stage, log).await;
        if let Err(Untold::Trouble(_)) = told {
            Box::pin(discard_session(stage, self.version, log.client_id())).await;
        }
        told
    }

    async fn be_let_go(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let mut before = Box::pin(prepared(stage, self.prepare(stage, log))).await?;
        let member = self.members.join();
        let lost_at = match self.wait_for_turn(&mut before, log).await? {
            Turn::Due => None,
            Turn::DueAndLost(at) => Some(at),
            Turn::Stopped => {
                Box::pin(before.peer.leave_nothing(stage, log.client_id())).await;
                return Err(Untold::Stopped);
            }
        };
        Box::pin(self.lose_and_return(stage, log, before, member, lost_at)).await
    }

    /// The CONNECT of a member, before its loss and after it.
    pub(super) async fn connect(
        &self,
        stage: &Stage,
        client_id: &str,
        is_first: bool,
    ) -> Result<Returned, returning::Failure> {
        let properties = [Property::SessionExpiryInterval(self.session_expiry_interval_s)];
        // 3.1.1 has one flag for both: a session that is to be kept is not a clean one.
        let clean_start = is_first && self.version == ProtocolVersion::V5;
        let connect = session_connect(stage, self.version, client_id, clean_start, &properties);
        returning::connect(stage, self.version, &connect).await
    }

    /// Has a member connected, subscribed, and served.
    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Before, String> {
        let client_id = log.client_id().to_owned();
        let connected = self.connect(stage, &client_id, true).await;
        let connected = connected.map_err(|failure| failure.to_string())?;
        log.established(connected.established);
        log.accepted(connected.accepted.connack_at);
        let mut peer = connected.peer;
        let within = stage.options.connect_timeout;
        let topic = format!("{}/herd/{client_id}", stage.topic_root);
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        peer.subscribe(&topic, qos, within).await?;
        peer.publish(&topic, qos, 0, within).await?;
        let granted = connected.accepted.session_expiry_interval_s.unwrap_or(self.session_expiry_interval_s);
        let session_kept_for = (granted > 0).then(|| Duration::from_secs(granted.into()));
        Ok(Before { peer, topic, session_kept_for })
    }

    /// Serves the connection until the herd is let go.
    async fn wait_for_turn(&self, before: &mut Before, log: &mut AttemptLog<'_>) -> Result<Turn, String> {
        const ENDED: &str = "the broker ended the connection before the herd was let go";
        let ended_at = loop {
            match before.peer.wait_for_turn(log, drop).await {
                Ok(is_due) => return Ok(if is_due { Turn::Due } else { Turn::Stopped }),
                Err(Event::Ended { at, .. }) => break at,
                Err(_announced) => {}
            }
        };
        match self.loss {
            Loss::Reset => Err(ENDED.to_owned()),
            Loss::Restart(_) => match timeout(ENDED_EARLY, log.turn()).await {
                Ok(true) => Ok(Turn::DueAndLost(ended_at)),
                Ok(false) => Ok(Turn::Stopped),
                Err(_elapsed) => Err(ENDED.to_owned()),
            },
        }
    }

    /// Waits for the connection to go down with the broker; absent when it does not.
    async fn lost_with_broker(&self, peer: &mut Peer, within: Duration) -> Option<Instant> {
        let deadline = now() + within;
        loop {
            match peer.next_alive(deadline).await {
                Some(Event::Ended { at, .. }) => return Some(at),
                Some(_) => {}
                None => return None,
            }
        }
    }

    async fn lose_and_return(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        before: Before,
        mut member: Member,
        lost_at: Option<Instant>,
    ) -> Result<(), Untold> {
        let client_id = log.client_id().to_owned();
        let Before { mut peer, topic, session_kept_for } = before;
        // What has ended gives its descriptor back at once.
        let lost_at = match (self.loss, lost_at) {
            (_, Some(at)) => {
                drop(peer);
                Some(at)
            }
            (Loss::Reset, None) => {
                peer.client.connection.reset();
                Some(now())
            }
            (Loss::Restart(within), None) => {
                match stage.unless_stopped(self.lost_with_broker(&mut peer, within)).await {
                    Some(None) => {
                        drop(member);
                        peer.client.leave_and_await_close().await;
                        let trouble = "the connection outlived the restart of the broker";
                        return Err(trouble.into());
                    }
                    lost_at => {
                        drop(peer);
                        lost_at.flatten()
                    }
                }
            }
        };
        let lost_at = lost_at.ok_or(Untold::Stopped)?;
        log.provoked(lost_at);
        let deadline = stage.clock.at(log.so_far().due_us) + self.back_within;
        let mut returning = Returning::new(self, stage, &client_id, &topic, deadline);
        let returned = stage.unless_stopped(returning.come_back_and_stay(&mut member)).await;
        let served = match returned.ok_or(Untold::Stopped)? {
            Some(mut peer) => match peer.is_served(stage.reaction_timeout).await {
                true => Ok(peer),
                false => Err("CONNACK 0x00, and no answer to a PINGREQ afterwards".to_owned()),
            },
            None => Err(returning.last_failure()),
        };
        if served.is_err() {
            returning.kept = None;
        }
        self.tell(log, &returning, lost_at, session_kept_for);
        drop(member);
        log.fact(BACK, served.as_ref().map_or_else(|why| Back::Not(why.clone()), |_| Back::InTime));
        let outcome = match &served {
            Ok(_) => Outcome::Tolerated,
            Err(_) => stage.confirm(Outcome::NoReaction, None, self.version).await,
        };
        log.reacted(Vec::new(), outcome);
        let _place = self.parting.acquire().await;
        match served {
            Ok(peer) => peer.leave_nothing(stage, &client_id).await,
            Err(_) => discard_session(stage, self.version, &client_id).await,
        }
        Ok(())
    }

    fn tell(
        &self,
        log: &mut AttemptLog<'_>,
        returning: &Returning<'_>,
        lost_at: Instant,
        session_kept_for: Option<Duration>,
    ) {
        log.measure(TRIES, returning.tries);
        for (measure, count) in returning.counted() {
            log.measure(measure, count);
        }
        if let Some(accepted) = returning.first_accepted {
            let away = accepted.connack_at.saturating_duration_since(lost_at);
            let resumption = returning.resumption.unwrap_or(by_connack(accepted.session_present, self.loss));
            let is_owed = session_kept_for.is_some_and(|kept_for| away < kept_for);
            let is_told = resumption.goes_on() || is_owed;
            log.fact(SESSION_PRESENT, if is_told { resumption } else { Resumption::NotOwed });
        }
        if let Some(accepted) = returning.kept {
            log.milestone(BACK.name(), accepted.connack_at);
            let took = accepted.connack_at.saturating_duration_since(accepted.connect_sent);
            log.measure(CONNACK, ungraceful_record::scale::micros(took));
        }
    }
}

/// What the CONNACK alone tells of a session. One that is not announced is looked for where only connections were lost.
fn by_connack(session_present: bool, loss: Loss) -> Resumption {
    match (session_present, loss) {
        (true, _) => Resumption::Announced,
        (false, Loss::Reset) => Resumption::Unknown,
        (false, _) => Resumption::Not,
    }
}

#[cfg(test)]
mod tests;
