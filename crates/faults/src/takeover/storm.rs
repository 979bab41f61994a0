//! The storm: many clients that are connected and working, each taken over by a new connection with its ClientID.
//!
//! Each situation is one combination of what decides the fate of session and Will: the newcomer's Clean Start, whether
//! the older session was to outlive its connection, and whether the Will had a delay.

mod facts;
mod newcomer;
mod older;
mod situation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use newcomer::{Newcomer, is_accepted_within};
use older::{ENDED_FIRST, Old, OldSession};
pub use situation::Situation;
use ungraceful_flags::{Mistake, Named, PositiveTime, Seconds, Wanted, Whole, chosen};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::observe;
use ungraceful_rig::bystanders::witness::WitnessWatch;

use super::{Answer, NEWCOMER, VersionPair, VersionPairs, judged, observe_on, refusal, storm_checks};
use crate::ending::{Untold, attempted, confirm, prepared, watch};
use crate::mode::{AttemptsOf, Call, ConnectionsOf, FaultMode, each_case};
use crate::outbox::Outbox;
pub use crate::outbox::{HELD_BACK, Share};
use crate::peer::{discard_session, keep};

/// The fault's id in the catalogue.
pub const ID: &str = "storm";

/// From how long on a wait for what a resumed session owes tells that it does not come, whatever was sent meanwhile: a
/// broker may send again only when an acknowledgement is overdue, and some take half a minute.
pub const RESEND_TELLS_AFTER: Duration = Duration::from_secs(60);

/// Whether messages in flight were sent again on the resumed session. [`Share::NotYet`] also where the wait was shorter than
/// [`RESEND_TELLS_AFTER`].
pub const SENT_AGAIN: FactOf<Share> = FactOf::new("sent_again");
/// Measure: the newcomer's CONNACK, until the last of the messages in flight had been sent again.
pub const SENT_AGAIN_AFTER: Measure = Measure::new("sent_again_after_us");
/// Whether these kept their Packet Identifiers.
pub const IDENTIFIERS: FactOf<Identifiers> = FactOf::new("identifiers");
/// Whether these had DUP 1.
pub const DUP: FactOf<Dup> = FactOf::new("dup");
/// Whether messages that waited behind the older client's Receive Maximum came; as [`SENT_AGAIN`].
pub const QUEUED: FactOf<Share> = FactOf::new("queued");
/// How often the QoS 2 message came that the newcomer repeated. Absent where it repeated none, as one that was told Session
/// Present 0: without a session there is no exchange to go on with.
pub const REPEATED: FactOf<Repeated> = FactOf::new("repeated");

ungraceful_record::words! {
    /// The Packet Identifiers of messages that were sent again.
    pub enum Identifiers: "identifiers" {
        /// Those of the first time.
        Kept = "kept",
        /// Others, at least of some.
        Changed = "changed",
    }
}

ungraceful_record::words! {
    /// DUP of messages that were sent again.
    pub enum Dup: "DUP" {
        /// 1 on all of them.
        Set = "set",
        /// 0 on some.
        Missing = "missing",
    }
}

ungraceful_record::words! {
    /// How often a message came.
    pub enum Repeated: "number" {
        /// Not at all.
        Never = "never",
        /// Once.
        Once = "once",
        /// More than once.
        Twice = "twice",
    }
}

/// Application Message of the older connection's Will.
const OLD_WILL: &[u8] = b"will of the older connection";

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: resume, discard, ended, clean, each also with -will-delay; resume-clean-start-0 [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Situation>>,
    /// Session Expiry Interval of sessions that outlive their connection; 3.1.1 has none and uses Clean Session 0
    #[arg(short = 'x', long, value_name = "SECONDS", default_value = "60s")]
    session_expiry_interval: Seconds,
    /// Will Delay Interval of the variants with a delayed Will (MQTT 5)
    #[arg(long, value_name = "SECONDS", default_value = "2s")]
    will_delay: Seconds,
    /// Messages of QoS 1, and as many of QoS 2, that each older client received and has not acknowledged
    #[arg(long, value_name = "N", default_value = "2")]
    in_flight: Whole<0, 1_000>,
    /// Messages of QoS 1 queued behind them in the session
    // MQTT 5.0: behind the older client's Receive Maximum.
    #[arg(long, value_name = "N", default_value = "2")]
    queued: Whole<0, 1_000>,
    /// How long to wait for missing messages of a resumed session; they count as a violation from 60s on
    // The standard sets no time, and there are brokers that send it only when an acknowledgement is half a minute overdue.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    resend_wait: PositiveTime,
    #[command(flatten)]
    versions: VersionPairs,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Many clients, connected and working, are each taken over by a new connection";
    const LONG_ABOUT: &'static str = "Connects --count clients before the baseline, with a Will and with messages in flight, and takes \
         each of them over by a new connection with its ClientID, --connrate per second. Reports how long \
         the new connection waits for its CONNACK, what the older one is told, whether session, messages \
         and Will fare as the standard has it, and which ClientIDs end with no live connection or with \
         two. Each client is taken over once, so --attempts and --duration are not accepted.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, storm_checks::CHECKS];
    const ATTEMPTS: AttemptsOf = AttemptsOf::Clients;

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let (situations, pairs) = (self.situations(), self.versions.pairs());
        let is_spoken = |situation: &Situation| pairs.iter().any(|pair| situation.is_in(pair.old));
        let unspoken = situations.iter().find(|situation| !is_spoken(situation));
        // Those that were not named, and `all`, leave out what the versions do not have.
        if let (true, Some(situation)) = (situations.len() < Situation::ALL.len(), unspoken) {
            let what = format!(
                "{situation} needs MQTT 5: MQTT 3.1.1 has no Will Delay Interval, and its sessions that are kept begin with \
                 Clean Session 0 in any case; choose another variant, or -V 5"
            );
            mistakes.push(Mistake::new("--variant", what));
        }
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClientAndAttempt
    }

    fn longest_pause(&self) -> Duration {
        let has_delay = self.situations().iter().any(|situation| situation.will_delay());
        *self.resend_wait + if has_delay { self.will_delay.time() } else { Duration::ZERO }
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&self.situations(), &self.versions.spoken(spoken), |situation, versions| {
            situation.is_in(versions.old).then(|| Storm { situation, versions, flags: self.clone() })
        })
    }
}

impl Flags {
    fn situations(&self) -> Vec<Situation> {
        chosen(&Situation::ALL, &self.variant)
    }
}

/// One situation with one pair of versions.
#[derive(Clone, Debug)]
pub struct Storm {
    /// What decides the fate of session and Will.
    pub situation: Situation,
    /// The versions.
    pub versions: VersionPair,
    /// What else was asked for.
    pub flags: Flags,
}

impl Fault for Storm {
    fn case(&self) -> Case {
        Case::new(ID, self.situation.name(), self.versions)
    }

    fn gathers(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let of = |kept: bool| if kept { "a session that is kept" } else { "a session that ends with it" };
        let will = match self.situation.will_delay() {
            true => format!("a Will delayed by {} s", self.flags.will_delay.0),
            false => "a Will".to_owned(),
        };
        format!(
            "CONNECT with {}{will} and {}, SUBSCRIBE, {} messages left unacknowledged; then CONNECT with the same \
             ClientID and Clean Start {} on a new connection",
            if self.situation.begun_clean() { "" } else { "Clean Start 0, " },
            of(self.situation.persistent()),
            2 * self.flags.in_flight.0 + 1,
            u8::from(self.situation.clean_start())
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.versions.new, async |log| self.carry_out(stage, log).await)
    }
}

impl Storm {
    /// Each part is in a box of its own: an attempt that waits for its turn, one of ten thousand, holds no room for
    /// what comes after.
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let is_taken_over = self.be_taken_over(stage, log).await;
        if is_taken_over.is_err() && self.situation.persistent() {
            // No session stays behind that outlives its client.
            Box::pin(discard_session(stage, self.versions.new, log.client_id())).await;
        }
        if is_taken_over? { Ok(()) } else { Err(Untold::Stopped) }
    }

    /// False when the run stopped before its turn; the client has left nothing then. Each part is in a box of its own: an
    /// attempt that waits for its turn, one of ten thousand, holds no room for what comes after.
    async fn be_taken_over(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<bool, Untold> {
        let will = stage.watch_will(log.client_id());
        let mut old = Box::pin(prepared(stage, self.prepare(stage, log, will.as_ref()))).await?;
        let Old { peer, session } = &mut *old;
        let turn = peer.wait_for_turn(log, |message| keep(&mut session.in_flight, message)).await;
        if turn.map_err(|_ended| ENDED_FIRST)? {
            return Box::pin(self.take_over(stage, log, *old, will)).await.map(|()| true);
        }
        Box::pin(old.peer.leave_nothing(stage, log.client_id())).await;
        Ok(false)
    }

    async fn take_over(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        mut old: Old,
        will: Option<WitnessWatch>,
    ) -> Result<(), Untold> {
        let client_id = log.client_id().to_owned();
        let (newcomer, before, connect_sent) = prepared(stage, self.provoke(stage, &client_id)).await?;
        let mut outbox = Outbox::of(&old.session.published);
        log.provoked(connect_sent.at);
        let watch = watch(connect_sent.at, stage.reaction_timeout);
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
        // What the broker has ended gives its descriptor back at once.
        let Old { peer: older, session } = old;
        let still_open = seen.ended_at_us().is_none().then_some(older);
        let confirmed = confirm(stage, log, self.versions.new, (seen.reactions, seen.outcome)).await;
        let newcomer = match newcomer {
            Some(Ok(newcomer)) => Some(newcomer),
            Some(Err(refused)) => {
                log.fact(NEWCOMER, Answer::Refused(refusal(&refused)));
                None
            }
            None => None,
        };
        if let Some(newcomer) = &newcomer {
            outbox.take_all(&newcomer.came, &stage.clock);
            self.tell(log, &outbox, &session, newcomer, confirmed.outcome);
        }
        if let (Some(watch), Some(newcomer)) = (will, &newcomer) {
            self.await_will(stage, log, &watch, newcomer, before, confirmed.ended_at(stage)).await;
        }
        match newcomer {
            Some(newcomer) => newcomer.peer.leave_nothing(stage, &client_id).await,
            None => discard_session(stage, self.versions.new, &client_id).await,
        }
        if let Some(older) = still_open {
            older.client.leave().await;
        }
        Ok(())
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
        let is_delayed = self.situation.will_delay() && self.versions.old == ProtocolVersion::V5;
        let is_forbidden = is_delayed && !self.situation.will_is_due();
        let due = outcome.is_ended() && (!is_forbidden || !goes_on);
        let delay = match is_delayed {
            true => self.flags.will_delay.time(),
            false => Duration::ZERO,
        };
        if is_forbidden && !due && !(goes_on && is_accepted_within(&newcomer.accepted, delay)) {
            // The broker may have closed the older connection long before it accepted the newcomer, or never resumed
            // the session: it is not known whether the Will is due.
            return;
        }
        if let Some(seen) = stage.await_delayed_will(watch, due, since, delay, ended_at, OLD_WILL).await {
            log.will(seen);
        }
    }
}
