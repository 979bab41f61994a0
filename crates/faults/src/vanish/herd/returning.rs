//! The return of one member: it tries by its back-off profile until it is accepted, and stays until all are back.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout_at};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_record::fact::Measure;
use ungraceful_rig::attempts::backoff::Waits;
use ungraceful_rig::attempts::client::{Accepted, NotConnected};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;
use ungraceful_wire::{Established, OpenError};

use super::members::Member;
use super::{Herd, LATE_HANDSHAKES, LOST_AGAIN, Loss, OUR_OWN};
use crate::peer::{Event, Peer};
use crate::resumption::Resumption;
use crate::takeover::refusal;

/// Measure: tries that were refused by a CONNACK with a code.
pub(super) const TRIES_REFUSED: Measure = Measure::new("tries_refused");

/// A handshake this long included a resent SYN, which the kernel sends after a second.
const LATE_HANDSHAKE: Duration = Duration::from_millis(950);

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(super) peer: Peer,
    pub(super) accepted: Accepted,
    /// When the TCP handshake was complete.
    pub(super) established: Established,
    /// How long the TCP handshake took.
    handshake: Duration,
}

/// Why a try failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No TCP connection.
    Open(OpenError),
    /// A TCP connection, but no CONNACK with success.
    NotConnected(NotConnected),
    /// The member's time was over.
    TimeOver,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "cannot connect: {error}"),
            Self::NotConnected(refused) => f.write_str(&refusal(refused)),
            Self::TimeOver => f.write_str("its time ran out while it was connecting"),
        }
    }
}

impl Failure {
    /// The measure that counts it.
    fn counted_as(&self) -> Measure {
        match self {
            Self::Open(OpenError::Refused) => Measure::new("tries_refused_by_tcp"),
            Self::Open(OpenError::Timeout(_)) => Measure::new("tries_without_handshake"),
            Self::Open(OpenError::OutOfPorts | OpenError::OutOfDescriptors) => OUR_OWN,
            Self::Open(_) => Measure::new("tries_failed_otherwise"),
            Self::NotConnected(NotConnected::Refused { code, .. }) => TRIES_REFUSED.of_code(*code),
            Self::NotConnected(NotConnected::Silent(_)) | Self::TimeOver => {
                Measure::new("tries_without_connack")
            }
            Self::NotConnected(_) => Measure::new("tries_ended_before_connack"),
        }
    }
}

/// Tries to connect once.
pub(super) async fn connect(
    stage: &Stage,
    version: ProtocolVersion,
    connect: &Connect<'_>,
) -> Result<Returned, Failure> {
    let begun = now();
    let (mut client, established) = stage.open(version).await.map_err(Failure::Open)?;
    let accepted = client.connect(connect, stage.options.connect_timeout).await;
    let accepted = accepted.map_err(Failure::NotConnected)?;
    let peer = Peer::accepted(client, &accepted);
    let handshake = established.tcp.saturating_duration_since(begun);
    Ok(Returned { peer, accepted, established, handshake })
}

/// One member on its way back.
pub(super) struct Returning<'a> {
    herd: &'a Herd,
    stage: &'a Stage,
    client_id: &'a str,
    topic: &'a str,
    deadline: Instant,
    waits: Waits,
    pub(super) tries: u64,
    /// The first CONNACK that accepted it.
    pub(super) first_accepted: Option<Accepted>,
    /// The CONNACK of the connection that it kept; absent when it has none.
    pub(super) kept: Option<Accepted>,
    /// Whether its session was resumed when it was first accepted; absent where only the CONNACK shows it.
    pub(super) resumption: Option<Resumption>,
    /// How often each kind of failure happened.
    pub(super) counts: BTreeMap<Measure, u64>,
    last_failure: Option<String>,
}

impl<'a> Returning<'a> {
    pub(super) fn new(
        herd: &'a Herd,
        stage: &'a Stage,
        client_id: &'a str,
        topic: &'a str,
        deadline: Instant,
    ) -> Self {
        Self {
            herd,
            stage,
            client_id,
            topic,
            deadline,
            waits: herd.profile.backoff.waits(stage.seed.stream(client_id)),
            tries: 0,
            first_accepted: None,
            kept: None,
            resumption: None,
            counts: BTreeMap::new(),
            last_failure: None,
        }
    }

    /// Why the last try failed.
    pub(super) fn last_failure(&self) -> String {
        let without_try = || "its time ended before its first try was due".to_owned();
        self.last_failure.clone().unwrap_or_else(without_try)
    }

    fn count(&mut self, measure: Measure) {
        *self.counts.entry(measure).or_default() += 1;
    }

    /// Returns, and stays until all are back or the time is over: absent when the member is not connected then.
    pub(super) async fn come_back_and_stay(&mut self, member: &mut Member) -> Option<Peer> {
        loop {
            let Some(mut peer) = self.come_back().await else {
                member.settled();
                return None;
            };
            member.settled();
            if self.stay(&mut peer, member).await {
                return Some(peer);
            }
            member.unsettled();
            self.kept = None;
            self.last_failure = Some("it was accepted, then lost its connection again".to_owned());
            self.count(LOST_AGAIN);
        }
    }

    /// Tries until the broker accepts it, or its time is over.
    async fn come_back(&mut self) -> Option<Peer> {
        let deadline = TokioInstant::from_std(self.deadline);
        loop {
            let due = now() + self.waits.next_wait();
            if due >= self.deadline {
                sleep_until(deadline).await;
                return None;
            }
            sleep_until(TokioInstant::from_std(due)).await;
            // Otherwise connections that are refused at once would starve the other members.
            yield_now().await;
            match timeout_at(deadline, self.try_once()).await {
                Ok(Ok(returned)) => {
                    if returned.handshake >= LATE_HANDSHAKE {
                        self.count(LATE_HANDSHAKES);
                    }
                    self.first_accepted.get_or_insert(returned.accepted);
                    self.kept = Some(returned.accepted);
                    return Some(returned.peer);
                }
                Ok(Err(failure)) => self.failed(&failure),
                Err(_elapsed) => {
                    self.failed(&Failure::TimeOver);
                    return None;
                }
            }
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.count(failure.counted_as());
        // That the time was over says less than why the try before failed.
        if !matches!(failure, Failure::TimeOver) || self.last_failure.is_none() {
            self.last_failure = Some(failure.to_string());
        }
    }

    async fn try_once(&mut self) -> Result<Returned, Failure> {
        let _place = match &self.herd.connecting {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        self.tries += 1;
        self.herd.connect(self.stage, self.client_id, false).await
    }

    /// Looks whether the session was resumed although the CONNACK denies it. Not after a restart: the session need not survive
    /// that.
    async fn look_for_session(&mut self, peer: &mut Peer, accepted: &Accepted) {
        let is_first = self.first_accepted.is_some_and(|first| first.connack_at == accepted.connack_at);
        if self.herd.loss == Loss::Reset && is_first {
            let deadline = TokioInstant::from_std(self.deadline);
            let mut came = Vec::new();
            let look = Resumption::look(self.stage, peer, accepted, self.topic, &mut came);
            self.resumption = Some(timeout_at(deadline, look).await.unwrap_or(Resumption::Unknown));
        }
    }

    /// Serves the connection until all members have settled, or the time is over. False when it ends earlier.
    async fn stay(&mut self, peer: &mut Peer, member: &Member) -> bool {
        if let Some(accepted) = self.kept.filter(|accepted| !accepted.session_present) {
            self.look_for_session(peer, &accepted).await;
            // As clients do whose subscriptions are gone. The loop below sees whether the connection lives.
            let qos = QoS::AtLeastOnce.min(self.stage.maximum_qos);
            let _checked_below = peer.subscribe(self.topic, qos, self.stage.options.connect_timeout).await;
        }
        let all_settled = member.all_settled();
        tokio::pin!(all_settled);
        loop {
            tokio::select! {
                biased;
                () = &mut all_settled => return true,
                event = peer.next_alive(self.deadline) => match event {
                    Some(Event::Ended { .. }) => return false,
                    Some(_) => {}
                    None => return true,
                },
            }
        }
    }
}
