//! The herd: many working clients lose their connection at one instant and return, all with the same back-off profile. How
//! long does it take until all are back, how many tries does it need, and which clients are left behind?
//!
//! Each profile is a case and a wave of its own: the next herd gathers when the previous one is gone. A member that is back
//! stays connected until all are back: otherwise a broker might accept some clients only because others leave.

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
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::backoff::Profile;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

pub use self::flags::Flags;
use self::members::{Member, Members};
use self::returning::{Returned, Returning};
use crate::ending::{Unfinished, attempted, prepared};
use crate::peer::{Event, Peer, discard_session};
use crate::resumption::{Resumption, SESSION_PRESENT};
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "herd";
/// Milestone: the CONNACK of the connection that a member kept. Fact: yes, or the result of its last try.
pub const BACK: FactOf<Back> = FactOf::new("back");
/// Measure: connections that a member tried, until it was back or its time was over.
pub const TRIES: Measure = Measure::new("tries");
/// Measure: from CONNECT, handed to the kernel, to the CONNACK that accepted the member again.
pub const CONNACK: Measure = Measure::new("back_connack_us");
/// Measure: TCP handshakes of a member that took a second or more. A full listen backlog drops SYNs, which are resent after a
/// second.
pub const LATE_HANDSHAKES: Measure = Measure::new("handshakes_of_1_s");
/// Measure: how often a returned member lost its connection again. Absent when it never did.
pub const LOST_AGAIN: Measure = Measure::new("lost_again");
/// Measure: tries that failed because this machine ran out of local ports or file descriptors.
pub const OUR_OWN: Measure = Measure::new("tries_without_port_or_descriptor");

ungraceful_record::words! {
    /// Whether a client returned in time.
    pub enum Back {
        /// It did.
        InTime = "yes",
    } else {
        /// It did not; the result of its last try.
        Not = "",
    }
}

/// In a planned outage, a member may see the end of its connection this long before its turn: the two signals arrive
/// separately.
const ENDED_EARLY: Duration = Duration::from_secs(2);
/// Members that disconnect at the same time afterwards, which is not part of the fault.
const LEAVING_MAX: usize = 32;

/// How the members lose their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The members send RST.
    Reset,
    /// The run restarts the broker, within this time.
    Restart(Duration),
}

/// One herd.
#[derive(Debug)]
pub struct Herd {
    /// The back-off profile of its members.
    pub profile: Profile,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// How they lose their connections.
    pub loss: Loss,
    /// How long they have to return, from the instant of the loss.
    pub back_within: Duration,
    /// Session Expiry Interval of their sessions, in seconds, from 1.
    pub session_expiry_interval_s: u32,
    /// How many may be between SYN and CONNACK at the same time; absent for no limit.
    pub connecting: Option<Arc<Semaphore>>,
    members: Members,
    leaving: Arc<Semaphore>,
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
    /// It is the herd's turn, and the member is still connected.
    Due,
    /// It is the herd's turn, and the member has lost its connection.
    DueAndLost(Instant),
    /// The run stops.
    Stopped,
}

impl Herd {
    /// A herd that returns with `profile`.
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
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
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
            Loss::Reset => "RST by the client",
            Loss::Restart(_) => "restart of the broker",
        };
        format!(
            "CONNECT with a persistent session, SUBSCRIBE, one PUBLISH; all connections end at one instant: {loss}; then \
             CONNECT with the same ClientID and Clean Start 0 {}, until it is accepted or {} are over",
            self.profile.backoff,
            span(self.back_within)
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Herd {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let result = self.wait_and_return(stage, log).await;
        if let Err(Unfinished::Trouble(_)) = result {
            Box::pin(discard_session(stage, self.version, log.client_id())).await;
        }
        result
    }

    async fn wait_and_return(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let mut before = Box::pin(prepared(stage, self.prepare(stage, log))).await?;
        let member = self.members.join();
        let lost_at = match self.wait_for_turn(&mut before, log).await? {
            Turn::Due => None,
            Turn::DueAndLost(at) => Some(at),
            Turn::Stopped => {
                Box::pin(before.peer.leave_nothing(stage, log.client_id())).await;
                return Err(Unfinished::Stopped);
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
        // 3.1.1 has one flag for both: a session to be kept is not a clean one.
        let clean_start = is_first && self.version == ProtocolVersion::V5;
        let connect = session_connect(stage, self.version, client_id, clean_start, &properties);
        returning::connect(stage, self.version, &connect).await
    }

    /// Connects and subscribes a member, and checks that the broker serves it.
    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<Before, String> {
        let client_id = log.client_id().to_owned();
        let connected = self.connect(stage, &client_id, true).await;
        let connected = connected.map_err(|failure| failure.to_string())?;
        log.established(connected.established);
        log.accepted(connected.accepted.connack_at);
        let mut peer = connected.peer;
        let within = stage.options.connect_timeout;
        let topic = format!("{}/herd/{}", stage.topic_root, log.name());
        let qos = QoS::AtLeastOnce.min(stage.maximum_qos);
        peer.subscribe(&topic, qos, within).await?;
        peer.publish(&topic, qos, 0, within).await?;
        let granted = connected.accepted.session_expiry_interval_s.unwrap_or(self.session_expiry_interval_s);
        let session_kept_for = (granted > 0).then(|| Duration::from_secs(granted.into()));
        Ok(Before { peer, topic, session_kept_for })
    }

    /// Serves the connection until the herd's turn.
    async fn wait_for_turn(&self, before: &mut Before, log: &mut AttemptLog<'_>) -> Result<Turn, String> {
        const ENDED: &str = "the broker ended the connection before the herd lost its connections";
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

    /// Waits until the connection ends with the broker; absent when it does not.
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
    ) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let Before { mut peer, topic, session_kept_for } = before;
        // An ended connection frees its descriptor at once.
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
                        let trouble = "the connection survived the restart of the broker";
                        return Err(trouble.into());
                    }
                    lost_at => {
                        drop(peer);
                        lost_at.flatten()
                    }
                }
            }
        };
        let lost_at = lost_at.ok_or(Unfinished::Stopped)?;
        log.provoked(lost_at);
        let deadline = stage.clock.at(log.so_far().due_us) + self.back_within;
        let mut returning = Returning::new(self, stage, &client_id, &topic, deadline);
        let returned = stage.unless_stopped(returning.come_back_and_stay(&mut member)).await;
        let served = match returned.ok_or(Unfinished::Stopped)? {
            Some(mut peer) => match peer.is_served(stage.reaction_timeout).await {
                true => Ok(peer),
                false => Err("CONNACK 0x00, then no answer to PINGREQ".to_owned()),
            },
            None => Err(returning.last_failure()),
        };
        if served.is_err() {
            returning.kept = None;
        }
        self.report(log, &returning, lost_at, session_kept_for);
        drop(member);
        log.fact(BACK, served.as_ref().map_or_else(|why| Back::Not(why.clone()), |_| Back::InTime));
        let outcome = match &served {
            Ok(_) => Outcome::Tolerated,
            Err(_) => stage.confirm(Outcome::NoReaction, None, self.version).await,
        };
        log.reacted(Vec::new(), outcome);
        let _place = self.leaving.acquire().await;
        match served {
            Ok(peer) => peer.leave_nothing(stage, &client_id).await,
            Err(_) => discard_session(stage, self.version, &client_id).await,
        }
        Ok(())
    }

    fn report(
        &self,
        log: &mut AttemptLog<'_>,
        returning: &Returning<'_>,
        lost_at: Instant,
        session_kept_for: Option<Duration>,
    ) {
        log.measure(TRIES, returning.tries);
        for (measure, count) in &returning.counts {
            log.measure(*measure, *count);
        }
        if let Some(accepted) = returning.first_accepted {
            let away = accepted.connack_at.saturating_duration_since(lost_at);
            let resumption = returning.resumption.unwrap_or(by_connack(accepted.session_present, self.loss));
            let is_owed = session_kept_for.is_some_and(|kept_for| away < kept_for);
            let is_relevant = resumption.goes_on() || is_owed;
            log.fact(SESSION_PRESENT, if is_relevant { resumption } else { Resumption::NotOwed });
        }
        if let Some(accepted) = returning.kept {
            log.milestone(BACK.name(), accepted.connack_at);
            let took = accepted.connack_at.saturating_duration_since(accepted.connect_sent);
            log.measure(CONNACK, micros(took));
        }
    }
}

/// What the CONNACK alone shows about a session. Where only connections were lost, a session that it denies is looked for.
fn by_connack(session_present: bool, loss: Loss) -> Resumption {
    match (session_present, loss) {
        (true, _) => Resumption::Announced,
        (false, Loss::Reset) => Resumption::Unknown,
        (false, _) => Resumption::Not,
    }
}

#[cfg(test)]
mod tests;
