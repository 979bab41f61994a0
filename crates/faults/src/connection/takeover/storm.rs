//! The storm: many clients that are connected and working, each taken over by a new connection with its ClientID.
//!
//! Each situation is one combination of what decides the fate of session and Will: the newcomer's Clean Start, whether
//! the older session was to outlive its connection, and whether the Will had a delay.

mod facts;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_mqtt::{Property, ProtocolVersion, QoS, Will};
use ungraceful_rig::attempt::{Attempt, Case, Fact};
use ungraceful_rig::client::{Accepted, NotConnected};
use ungraceful_rig::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::observe::{Watch, observe};
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::witness::WitnessWatch;
use ungraceful_wire::clock::now;

use super::{NEWCOMER, VersionPair, observe_on, refusal, session_connect};
use crate::ending::{interrupted, not_acted};
use crate::outbox::Outbox;
pub use crate::outbox::{HELD_BACK, LATE, NOT_YET};
use crate::peer::{Delivered, Event, Peer, discard_session, keep, ping_every};
use crate::resumption::{Remains, Resumption};

/// The fault's id in the catalogue.
pub const ID: &str = "takeover-storm";

/// From how long on a wait for what a resumed session owes tells that it does not come, whatever was sent meanwhile: a
/// broker may send again only when an acknowledgement is overdue, and some take half a minute.
pub const RESEND_TELLS_AFTER: Duration = Duration::from_secs(60);

/// Whether messages in flight were sent again on the resumed session: `all`, `some`, `none`, [`LATE`], or [`NOT_YET`]:
/// nothing that was published later had come either, or the wait was shorter than [`RESEND_TELLS_AFTER`].
pub const SENT_AGAIN: &str = "sent_again";
/// Measure: the newcomer's CONNACK, until the last of the messages in flight had been sent again.
pub const SENT_AGAIN_AFTER: &str = "sent_again_after_us";
/// Whether these kept their Packet Identifiers: `kept`, `changed`.
pub const IDENTIFIERS: &str = "identifiers";
/// Whether these had DUP 1: `set`, `missing`.
pub const DUP: &str = "dup";
/// Whether messages that waited behind the older client's Receive Maximum came; as [`SENT_AGAIN`].
pub const QUEUED: &str = "queued";
/// How often the QoS 2 message came that the newcomer repeated: `once`, `twice`, `never`. Absent where it repeated none,
/// as one that was told Session Present 0: without a session there is no exchange to go on with.
pub const REPEATED: &str = "repeated";
/// Application Message of the older connection's Will.
const OLD_WILL: &[u8] = b"will of the older connection";
/// How long after the last message that is awaited another one would be noticed.
const SETTLE: Duration = Duration::from_millis(300);
/// How long after the newcomer's CONNACK messages of a session that is no more would be noticed.
const LEFT_OVER_WITHIN: Duration = Duration::from_secs(1);
/// How long the broker has to send the older client what it published to itself; what comes later is in flight as well,
/// and what does not come waits in the session: a broker may limit what it has under way.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(1);

/// What decides the fate of session and Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Situation {
    /// The newcomer asks for Clean Start 1 (3.1.1: Clean Session 1).
    pub clean_start: bool,
    /// The older session was to outlive its connection (Session Expiry Interval above 0; 3.1.1: Clean Session 0).
    pub persistent: bool,
    /// The older connection's Will has a Will Delay Interval (MQTT 5.0).
    pub will_delay: bool,
    /// The older client's CONNECT asks for Clean Start 1 where the version has one flag for that alone (MQTT 5.0). A broker
    /// may keep only sessions that were begun with Clean Start 0, as those of MQTT 3.1.1 are.
    pub begun_clean: bool,
}

impl Situation {
    /// Every situation, in the order of the tables.
    pub const ALL: [Self; 9] = {
        const fn of(clean_start: bool, persistent: bool, will_delay: bool) -> Situation {
            Situation { clean_start, persistent, will_delay, begun_clean: true }
        }
        [
            of(false, true, false),
            of(false, true, true),
            Situation { begun_clean: false, ..of(false, true, false) },
            of(true, true, false),
            of(true, true, true),
            of(false, false, false),
            of(false, false, true),
            of(true, false, false),
            of(true, false, true),
        ]
    };

    /// The name used on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.clean_start, self.persistent, self.will_delay) {
            (false, true, false) if !self.begun_clean => "resume-clean-start-0",
            (false, true, false) => "resume",
            (false, true, true) => "resume-will-delay",
            (true, true, false) => "discard",
            (true, true, true) => "discard-will-delay",
            (false, false, false) => "ended",
            (false, false, true) => "ended-will-delay",
            (true, false, false) => "clean",
            (true, false, true) => "clean-will-delay",
        }
    }

    /// Whether older clients of `version` have it: MQTT 3.1.1 knows no Will Delay Interval, and keeps no session that was
    /// begun with Clean Session 1.
    #[must_use]
    pub const fn is_in(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V5 => true,
            ProtocolVersion::V3_1_1 => self.begun_clean && !self.will_delay,
        }
    }

    /// Whether there is no session to go on with although the newcomer asks for it.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !self.persistent && !self.clean_start
    }

    /// Whether the newcomer is to go on with the older session.
    #[must_use]
    pub const fn resumes(self) -> bool {
        self.persistent && !self.clean_start
    }

    /// Whether the older connection's Will is to be published: always, but for a delayed one whose session goes on.
    #[must_use]
    pub const fn will_is_due(self) -> bool {
        !(self.resumes() && self.will_delay)
    }

    /// The situation with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|situation| situation.name() == name)
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Situation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::named(text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no variant; choose from {names}")
        })
    }
}

/// One situation with one pair of versions.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// What decides the fate of session and Will.
    pub situation: Situation,
    /// The versions.
    pub versions: VersionPair,
    /// Session Expiry Interval of a session that is to outlive its connection, in seconds, from 1.
    pub session_expiry_interval_s: u32,
    /// Will Delay Interval of a delayed Will, in seconds, from 1.
    pub will_delay_interval_s: u32,
    /// Messages of QoS 1 and as many of QoS 2 that the older client was sent and has not acknowledged.
    pub in_flight: u16,
    /// Messages of QoS 1 that wait behind these (MQTT 5.0: behind the older client's Receive Maximum).
    pub queued: u16,
    /// How long a broker has to send what a resumed session owes, from the newcomer's CONNACK on. The standard sets no
    /// time, and there are brokers that send it only when an acknowledgement is half a minute overdue.
    pub resend_within: Duration,
}

/// The older client, ready to be taken over.
struct Old {
    peer: Peer,
    session: OldSession,
}

/// What it has with the broker.
struct OldSession {
    topic: String,
    /// What it published, and the Reason Code that it was acknowledged with; absent for what is not yet.
    published: Vec<(u64, Option<u8>)>,
    /// What it was sent and did not acknowledge.
    in_flight: Vec<Delivered>,
    /// The message that it published at QoS 2 and did not release, with its Packet Identifier.
    unreleased: Option<(u64, u16)>,
    ping_every: Duration,
    /// The broker keeps the session at all.
    is_kept: bool,
    /// How long it keeps the session after the connection; what was asked for, unless its CONNACK says something else.
    granted: Duration,
}

/// What became of the newcomer.
struct Newcomer {
    peer: Peer,
    accepted: Accepted,
    /// Whether it was found to go on with the older client's session.
    resumption: Resumption,
    /// What was found of a session that must have ended; absent where nobody looked, as nothing was announced.
    remains: Option<Remains>,
    came: Vec<Delivered>,
    /// Messages that were published after all others, when some of those had not come. One for each QoS of which some are
    /// missing: order is owed within one QoS alone.
    later: Vec<u64>,
    /// It was served when all was over.
    alive: bool,
}

impl Fault for Storm {
    fn case(&self) -> Case {
        Case {
            fault: ID.to_owned(),
            variant: self.situation.name().to_owned(),
            version: self.versions.to_string(),
        }
    }

    fn version(&self) -> ProtocolVersion {
        self.versions.new
    }

    fn gathers(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let of = |kept: bool| if kept { "a session that is kept" } else { "a session that ends with it" };
        let will = match self.situation.will_delay {
            true => format!("a Will delayed by {} s", self.will_delay_interval_s),
            false => "a Will".to_owned(),
        };
        format!(
            "CONNECT with {}{will} and {}, SUBSCRIBE, {} messages left unacknowledged; then CONNECT with the same \
             ClientID and Clean Start {} on a new connection",
            if self.situation.begun_clean { "" } else { "Clean Start 0, " },
            of(self.situation.persistent),
            2 * self.in_flight + 1,
            u8::from(self.situation.clean_start)
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        Box::pin(self.carry_out(stage, log))
    }
}

impl Storm {
    /// Each part is in a box of its own: an attempt that waits for its turn, one of ten thousand, holds no room for
    /// what comes after.
    async fn carry_out(&self, stage: &Stage, mut log: AttemptLog<'_>) -> Attempt {
        let will = stage.watch_will(log.client_id());
        let prepared = Box::pin(stage.unless_stopped(self.prepare(stage, &mut log, will.as_ref()))).await;
        let mut old = match prepared {
            Some(Ok(old)) => old,
            Some(Err(trouble)) => return Box::pin(self.give_up(stage, log, Some(&trouble))).await,
            None => return Box::pin(self.give_up(stage, log, None)).await,
        };
        match wait_for_turn(&mut old, &mut log).await {
            Ok(true) => Box::pin(self.take_over(stage, log, *old, will)).await,
            Ok(false) => {
                Box::pin(old.peer.leave_nothing(stage, log.client_id())).await;
                interrupted(log)
            }
            Err(trouble) => Box::pin(self.give_up(stage, log, Some(&trouble))).await,
        }
    }

    /// Leaves no session behind that outlives its client; without a trouble, the run was stopped.
    async fn give_up(&self, stage: &Stage, log: AttemptLog<'_>, trouble: Option<&str>) -> Attempt {
        if self.situation.persistent {
            discard_session(stage, self.versions.new, log.client_id()).await;
        }
        match trouble {
            Some(trouble) => not_acted(stage, log, self.versions.new, trouble).await,
            None => interrupted(log),
        }
    }

    async fn take_over(
        &self,
        stage: &Stage,
        mut log: AttemptLog<'_>,
        mut old: Old,
        will: Option<WitnessWatch>,
    ) -> Attempt {
        let client_id = log.client_id().to_owned();
        let provoked = stage.unless_stopped(self.provoke(stage, &client_id)).await;
        let (newcomer, before, connect_sent) = match provoked {
            Some(Ok(provoked)) => provoked,
            Some(Err(trouble)) => return self.give_up(stage, log, Some(&trouble)).await,
            None => return self.give_up(stage, log, None).await,
        };
        let mut outbox = Outbox::of(&old.session.published);
        log.provoked(connect_sent.at);
        let watch = Watch {
            provoked_at: connect_sent.at,
            within: stage.reaction_timeout,
            connacks_due: 0,
            subscribed: true,
        };
        let (topic, in_flight, unreleased) =
            (&old.session.topic, &old.session.in_flight, old.session.unreleased);
        let look = stage.unless_stopped(self.look_at_newcomer(
            stage,
            newcomer,
            connect_sent,
            topic,
            in_flight,
            unreleased,
            &mut outbox,
        ));
        let (seen, newcomer) =
            tokio::join!(observe(&mut old.peer.client, &stage.clock, &stage.stop, watch), look);
        let seen = match &newcomer {
            Some(Ok(newcomer)) => {
                observe_on(stage, &mut old.peer.client, seen, newcomer.accepted.connack_at).await
            }
            _ => seen,
        };
        let ended_at_us =
            seen.reactions.iter().find(|seen| seen.kind.ends_connection()).map(|seen| seen.at_us);
        log.reacted(seen.reactions, seen.outcome.unwrap_or(Outcome::Interrupted));
        // What the broker has ended gives its descriptor back at once.
        let Old { peer: older, session } = old;
        let still_open = ended_at_us.is_none().then_some(older);
        let outcome = stage.confirm(log.so_far().outcome, ended_at_us, self.versions.new).await;
        log.concluded(outcome);
        let newcomer = match newcomer {
            Some(Ok(newcomer)) => Some(newcomer),
            Some(Err(refused)) => {
                log.fact(NEWCOMER, Fact::Word(refusal(&refused)));
                None
            }
            None => None,
        };
        if let Some(newcomer) = &newcomer {
            outbox.take_all(&newcomer.came, &stage.clock);
            self.tell(&mut log, &outbox, &session, newcomer, outcome);
        }
        if let (Some(watch), Some(newcomer)) = (will, &newcomer) {
            let ended_at = ended_at_us.map_or_else(now, |us| stage.clock.at(us));
            self.await_will(stage, &mut log, &watch, newcomer, before, ended_at).await;
        }
        match newcomer {
            Some(newcomer) => newcomer.peer.leave_nothing(stage, &client_id).await,
            None => discard_session(stage, self.versions.new, &client_id).await,
        }
        if let Some(older) = still_open {
            older.client.leave().await;
        }
        log.end()
    }

    /// Waits for the older connection's Will, which is due or not as the session goes.
    async fn await_will(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        newcomer: &Newcomer,
        since: Instant,
        ended_at: Instant,
    ) {
        let outcome = log.so_far().outcome;
        if !outcome.is_evidence() {
            return;
        }
        // A session that was not resumed, though it should have been, makes the delayed Will due.
        let goes_on = newcomer.resumption.goes_on();
        // MQTT 3.1.1 knows no delay.
        let is_delayed = self.situation.will_delay && self.versions.old == ProtocolVersion::V5;
        let is_forbidden = is_delayed && !self.situation.will_is_due();
        let due = outcome.is_ended() && (!is_forbidden || !goes_on);
        let delay = match is_delayed {
            true => Duration::from_secs(self.will_delay_interval_s.into()),
            false => Duration::ZERO,
        };
        if is_forbidden && !due && !(goes_on && is_accepted_within(&newcomer.accepted, delay)) {
            // The broker may have closed the older connection long before it accepted the newcomer, or never resumed
            // the session: nobody can tell whether the Will is due.
            return;
        }
        if let Some(seen) = stage.await_delayed_will(watch, due, since, delay, ended_at, OLD_WILL).await {
            log.will(seen);
        }
    }

    /// Has the older client connected, subscribed, and with messages in flight in both directions.
    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<Box<Old>, String> {
        let (version, client_id) = (self.versions.old, log.client_id().to_owned());
        let (client, established) =
            stage.open(version).await.map_err(|error| format!("cannot connect: {error}"))?;
        log.established(established);
        let mut peer = Peer::new(client);
        let in_flight_most = self.in_flight * levels(stage);
        let asked_s = if self.situation.persistent { self.session_expiry_interval_s } else { 0 };
        let properties =
            [Property::SessionExpiryInterval(asked_s), Property::ReceiveMaximum(in_flight_most.max(1))];
        let delay = [Property::WillDelayInterval(self.will_delay_interval_s)];
        let mut connect = session_connect(
            stage,
            version,
            &client_id,
            match version {
                ProtocolVersion::V5 => self.situation.begun_clean,
                // One flag for both: a session that is to be kept is not a clean one.
                ProtocolVersion::V3_1_1 => !self.situation.persistent,
            },
            &properties,
        );
        connect.will = will.map(|watch| Will {
            topic: watch.topic(),
            payload: OLD_WILL,
            qos: QoS::AtLeastOnce.min(stage.maximum_qos),
            retain: false,
            properties: if self.situation.will_delay && version == ProtocolVersion::V5 {
                ungraceful_mqtt::Properties::List(&delay)
            } else {
                ungraceful_mqtt::Properties::NONE
            },
        });
        let within = stage.options.connect_timeout;
        let accepted =
            peer.client.connect(&connect, within).await.map_err(|error| format!("older client: {error}"))?;
        log.accepted(accepted.connack_at);
        let topic = format!("{}/takeover/{client_id}", stage.topic_root);
        let granted = peer.subscribe(&topic, stage.maximum_qos, within).await?;
        peer.acknowledges = false;
        let granted_s = accepted.session_expiry_interval_s.unwrap_or(asked_s);
        let session = OldSession {
            topic,
            published: Vec::new(),
            in_flight: Vec::new(),
            unreleased: None,
            ping_every: ping_every(accepted.server_keep_alive),
            is_kept: granted_s > 0,
            granted: Duration::from_secs(granted_s.into()),
        };
        let mut old = Old { peer, session };
        self.put_in_flight(stage, &mut old, granted).await?;
        Ok(Box::new(old))
    }

    /// Messages that the broker has taken and the older client has not acknowledged; and one that the broker has taken
    /// at QoS 2 and the client has not released.
    async fn put_in_flight(&self, stage: &Stage, old: &mut Old, granted: QoS) -> Result<(), String> {
        let within = stage.options.connect_timeout;
        let qos_2 = if granted == QoS::ExactlyOnce { self.in_flight } else { 0 };
        let qos_1 = if granted == QoS::AtMostOnce { 0 } else { self.in_flight };
        let all = std::iter::repeat_n(QoS::AtLeastOnce, qos_1.into())
            .chain(std::iter::repeat_n(QoS::ExactlyOnce, qos_2.into()))
            .chain(std::iter::repeat_n(QoS::AtLeastOnce, if qos_1 == 0 { 0 } else { self.queued.into() }));
        let mut numbers = Outbox::default();
        for qos in all {
            let sequence = numbers.offer(qos);
            let code = old.peer.publish(&old.session.topic, qos, sequence, within).await?;
            if code >= 0x80 {
                // What the broker did not take it need not deliver.
                return Err(format!("the broker refused a PUBLISH of the older client (0x{code:02X})"));
            }
            old.session.published.push((sequence, Some(code)));
        }
        let deadline = now() + IN_FLIGHT_WITHIN;
        let mut delivered = old.peer.take_set_aside();
        while delivered.len() < usize::from(qos_1 + qos_2) {
            match old.peer.next_before(deadline).await {
                Some(Event::Delivered(message)) => keep(&mut delivered, message),
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Err("the broker ended the connection before the take-over".to_owned());
                }
                Some(_) => {}
                None => break,
            }
        }
        if qos_2 > 0 {
            let sequence = numbers.offer(QoS::ExactlyOnce);
            old.peer.releases = false;
            let identifier =
                old.peer.send_publish(&old.session.topic, QoS::ExactlyOnce, sequence, None).await?;
            old.session.published.push((sequence, None));
            old.peer.received(identifier, within).await?;
            old.session.unreleased = Some((sequence, identifier));
            delivered.extend(old.peer.take_set_aside());
        }
        old.session.in_flight = delivered;
        Ok(())
    }

    /// Opens the newcomer's connection and sends its CONNECT; tells when that was begun and done.
    async fn provoke(
        &self,
        stage: &Stage,
        client_id: &str,
    ) -> Result<(Peer, Instant, ungraceful_wire::Sent), String> {
        let version = self.versions.new;
        let (client, _) =
            stage.open(version).await.map_err(|error| format!("the newcomer cannot connect: {error}"))?;
        let mut peer = Peer::new(client);
        let kept = [Property::SessionExpiryInterval(self.session_expiry_interval_s)];
        let properties: &[Property<'_>] = if self.situation.persistent { &kept } else { &[] };
        let connect = session_connect(stage, version, client_id, self.situation.clean_start, properties);
        let before = now();
        let sent = peer.client.send_connect(&connect).await;
        let sent = sent.map_err(|error| format!("the newcomer's CONNECT could not be sent: {error}"))?;
        Ok((peer, before, sent))
    }

    /// Waits for the newcomer's CONNACK, takes what comes, and repeats what the older client had not released where the
    /// CONNACK says that the session is there.
    #[expect(clippy::too_many_arguments, reason = "parts of one attempt that are borrowed apart")]
    async fn look_at_newcomer(
        &self,
        stage: &Stage,
        mut peer: Peer,
        connect_sent: ungraceful_wire::Sent,
        topic: &str,
        in_flight: &[Delivered],
        unreleased: Option<(u64, u16)>,
        outbox: &mut Outbox,
    ) -> Result<Newcomer, NotConnected> {
        let (accepted, _packet) = peer.client.await_connack(connect_sent, stage.reaction_timeout).await?;
        let deadline = accepted.connack_at + stage.reaction_timeout;
        let mut came: Vec<Delivered> = Vec::new();
        let (resumption, remains) =
            self.look_for_session(stage, &mut peer, &accepted, topic, &mut came).await;
        let resumed = self.situation.resumes() && resumption.goes_on();
        let mut repeated = None;
        // Told that there is no session, a client has no exchange to go on with: what it sends then is new.
        let repeats = resumed && accepted.session_present;
        let withheld = unreleased.filter(|_| !repeats).map(|(sequence, _)| sequence);
        if let (true, Some((sequence, identifier))) = (repeats, unreleased) {
            let again = peer.send_publish(topic, QoS::ExactlyOnce, sequence, Some(identifier)).await;
            repeated = again.is_ok().then_some(identifier);
        }
        let mut settled_at: Option<Instant> = None;
        loop {
            let all_there = !resumed || (repeated.is_none() && all_came(outbox, in_flight, withheld, &came));
            if all_there && settled_at.is_none() {
                // What must not come has no time either by which it would have.
                settled_at = Some(now() + if resumed { SETTLE } else { LEFT_OVER_WITHIN });
            }
            let until = settled_at.unwrap_or(deadline).min(deadline);
            match peer.next_before(until).await {
                Some(Event::Delivered(message)) => keep(&mut came, message),
                Some(Event::Finished { identifier, code }) if repeated == Some(identifier) => {
                    repeated = None;
                    if let Some((sequence, _)) = unreleased {
                        outbox.acknowledged(sequence, code);
                    }
                }
                Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                    return Ok(Newcomer {
                        peer,
                        accepted,
                        resumption,
                        remains,
                        came,
                        later: Vec::new(),
                        alive: false,
                    });
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut later = Vec::new();
        if settled_at.is_none() {
            let mut missing = outbox.missing(&came);
            missing.retain(|sequence| Some(*sequence) != withheld);
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                if missing.iter().any(|sequence| Outbox::qos_of(*sequence) == Some(qos)) {
                    later.push(publish_later(stage, &mut peer, topic, qos, outbox, &mut came).await);
                }
            }
            self.wait_for_owed(&mut peer, &accepted, outbox, in_flight, withheld, &mut came).await;
        }
        let alive = peer.is_served(stage.reaction_timeout).await;
        came.extend(peer.take_set_aside());
        Ok(Newcomer { peer, accepted, resumption, remains, came, later, alive })
    }

    /// Whether the newcomer goes on with the older client's session; where it is not to, the CONNACK alone says so, and what
    /// is there of a session that must have ended is looked for.
    async fn look_for_session(
        &self,
        stage: &Stage,
        peer: &mut Peer,
        accepted: &Accepted,
        topic: &str,
        came: &mut Vec<Delivered>,
    ) -> (Resumption, Option<Remains>) {
        match accepted.session_present {
            _ if self.situation.resumes() => {
                (Resumption::look(stage, peer, accepted, topic, came).await, None)
            }
            true if self.situation.has_ended() => {
                (Resumption::Announced, Some(Remains::look(stage, peer, topic, came).await))
            }
            true => (Resumption::Announced, None),
            false => (Resumption::Not, None),
        }
    }

    /// Goes on taking what comes until everything that is owed has come, or its time is over.
    async fn wait_for_owed(
        &self,
        peer: &mut Peer,
        accepted: &Accepted,
        outbox: &Outbox,
        in_flight: &[Delivered],
        withheld: Option<u64>,
        came: &mut Vec<Delivered>,
    ) {
        let deadline = accepted.connack_at + self.resend_within;
        let ping_every = ping_every(accepted.server_keep_alive);
        let mut ping_at = now() + ping_every;
        while now() < deadline && !all_came(outbox, in_flight, withheld, came) {
            match peer.next_before(ping_at.min(deadline)).await {
                Some(Event::Delivered(message)) => keep(came, message),
                Some(Event::Ended { .. } | Event::Disconnect(_)) => return,
                Some(_) => {}
                None => {
                    // That the connection has ended is read next.
                    let _ended = peer.client.ping().await;
                    ping_at = now() + ping_every;
                }
            }
        }
    }
}

/// Whether everything came that is owed: what was in flight and what was published, but for what the newcomer `withheld`.
fn all_came(outbox: &Outbox, in_flight: &[Delivered], withheld: Option<u64>, came: &[Delivered]) -> bool {
    let owed = in_flight.iter().map(|message| message.sequence).chain(outbox.sequences().map(Some));
    owed.filter(|sequence| sequence.is_none() || *sequence != withheld)
        .all(|sequence| came.iter().any(|message| message.sequence == sequence))
}

/// Whether the newcomer was accepted well before the Will Delay Interval of the older connection, which was not closed
/// before the newcomer's CONNECT, had passed.
fn is_accepted_within(newcomer: &Accepted, delay: Duration) -> bool {
    newcomer.connack_at.saturating_duration_since(newcomer.connect_sent) < delay / 2
}

/// How many QoS of those above 0 the broker takes.
fn levels(stage: &Stage) -> u16 {
    stage.maximum_qos.level().into()
}

/// Publishes one message after all others, on the same topic, waits for it, and tells its number.
async fn publish_later(
    stage: &Stage,
    peer: &mut Peer,
    topic: &str,
    qos: QoS,
    outbox: &mut Outbox,
    came: &mut Vec<Delivered>,
) -> u64 {
    let sequence = outbox.offer(qos);
    outbox.sent(sequence);
    let Ok(code) = peer.publish(topic, qos, sequence, stage.reaction_timeout).await else {
        return sequence;
    };
    outbox.acknowledged(sequence, code);
    came.extend(peer.take_set_aside());
    let deadline = now() + stage.reaction_timeout;
    while came.iter().all(|message| message.sequence != Some(sequence)) {
        match peer.next_before(deadline).await {
            Some(Event::Delivered(message)) => keep(came, message),
            Some(Event::Ended { .. } | Event::Disconnect(_)) | None => break,
            Some(_) => {}
        }
    }
    sequence
}

/// Serves the older client until its attempt is due. False when the run stops first.
async fn wait_for_turn(old: &mut Old, log: &mut AttemptLog<'_>) -> Result<bool, String> {
    let mut ping_at = now() + old.session.ping_every;
    loop {
        tokio::select! {
            biased;
            is_due = log.turn() => return Ok(is_due),
            event = old.peer.next() => match event {
                Event::Delivered(message) => keep(&mut old.session.in_flight, message),
                Event::Ended { .. } | Event::Disconnect(_) => {
                    return Err("the broker ended the connection before the take-over".to_owned());
                }
                _ => {}
            },
            () = sleep_until(TokioInstant::from_std(ping_at)) => {
                // That the connection has ended is read next.
                let _ended = old.peer.client.ping().await;
                ping_at += old.session.ping_every;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_rig::client::Accepted;
    use ungraceful_wire::clock::now;

    use super::{Situation, is_accepted_within};

    #[test]
    fn a_delayed_will_is_forbidden_only_where_the_newcomer_was_accepted_well_before_its_delay() {
        let accepted = |ms| {
            let connect_sent = now();
            let connack_at = connect_sent + Duration::from_millis(ms);
            Accepted {
                connect_sent,
                connack_at,
                session_present: true,
                session_expiry_interval_s: None,
                receive_maximum: None,
                server_keep_alive: None,
            }
        };
        let delay = Duration::from_secs(2);
        assert!(is_accepted_within(&accepted(900), delay));
        assert!(!is_accepted_within(&accepted(1_100), delay));
        assert!(!is_accepted_within(&accepted(0), Duration::ZERO), "and there is a delay");
    }

    #[test]
    fn every_situation_is_found_by_its_name_and_one_alone_forbids_the_will() {
        for situation in Situation::ALL {
            assert_eq!(situation.to_string().parse(), Ok(situation));
        }
        let forbidding = Situation::ALL.into_iter().filter(|situation| !situation.will_is_due());
        assert_eq!(forbidding.map(Situation::name).collect::<Vec<_>>(), ["resume-will-delay"]);
        let resuming = Situation::ALL.into_iter().filter(|situation| situation.resumes());
        assert_eq!(
            resuming.map(Situation::name).collect::<Vec<_>>(),
            ["resume", "resume-will-delay", "resume-clean-start-0"]
        );
        let of_3_1_1 =
            Situation::ALL.into_iter().filter(|situation| situation.is_in(ProtocolVersion::V3_1_1));
        let of_3_1_1: Vec<_> = of_3_1_1.map(Situation::name).collect();
        assert_eq!(of_3_1_1, ["resume", "discard", "ended", "clean"]);
    }
}
