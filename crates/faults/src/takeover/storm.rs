//! The storm: many connected and working clients, each taken over by a new connection with its ClientID.
//!
//! Each situation is one combination of the settings that determine what happens to session and Will: the newcomer's Clean
//! Start, whether the older session outlives its connection, and whether the Will has a delay.

mod facts;
mod newcomer;
mod older;
mod situation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use newcomer::{Newcomer, is_well_within};
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

use super::{
    Answer, NEWCOMER, VersionPair, VersionPairs, connack_time, judged, keep_observing, refusal, storm_checks,
};
use crate::ending::{Unfinished, attempted, confirm, prepared, watch};
use crate::mode::{AttemptsOf, Call, ConnectionsOf, FaultMode, each_case};
use crate::outbox::Outbox;
pub use crate::outbox::{HELD_BACK, Share};
use crate::peer::{discard_session, keep};

/// The fault's id in the catalogue.
pub const ID: &str = "storm";

/// After this wait, a message that a resumed session owes counts as missing: a broker may resend only when an
/// acknowledgement is overdue, and for some that takes half a minute.
pub const RESEND_DECIDES_AFTER: Duration = Duration::from_secs(60);

/// Fact: whether messages in flight were sent again on the resumed session. Also [`Share::NotYet`] when the wait was shorter
/// than [`RESEND_DECIDES_AFTER`].
pub const SENT_AGAIN: FactOf<Share> = FactOf::new("sent_again");
/// Measure: from the newcomer's CONNACK until the last message in flight had been sent again.
pub const SENT_AGAIN_AFTER: Measure = Measure::new("sent_again_after_us");
/// Fact: whether these kept their Packet Identifiers.
pub const IDENTIFIERS: FactOf<Identifiers> = FactOf::new("identifiers");
/// Fact: whether these had DUP 1.
pub const DUP: FactOf<Dup> = FactOf::new("dup");
/// Fact: whether messages queued behind the older client's Receive Maximum arrived; as [`SENT_AGAIN`].
pub const QUEUED: FactOf<Share> = FactOf::new("queued");
/// Fact: how often the QoS 2 message that the newcomer repeated arrived. Absent when it repeated none, as after Session
/// Present 0: without a session there is no exchange to continue.
pub const REPEATED: FactOf<Repeated> = FactOf::new("repeated");

ungraceful_record::words! {
    /// The Packet Identifiers of messages that were sent again.
    pub enum Identifiers: "identifiers" {
        /// The same as the first time.
        Kept = "kept",
        /// Other ones, at least for some messages.
        Changed = "changed",
    }
}

ungraceful_record::words! {
    /// The DUP flag of messages that were sent again.
    pub enum Dup: "DUP" {
        /// 1 on all of them.
        Set = "set",
        /// 0 on at least one.
        Missing = "missing",
    }
}

ungraceful_record::words! {
    /// How often a message arrived.
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
    // The standard sets no time, and some brokers resend only when an acknowledgement is half a minute overdue.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    resend_wait: PositiveTime,
    #[command(flatten)]
    versions: VersionPairs,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "Each of many connected, working clients is taken over by a new connection";
    const LONG_ABOUT: &'static str = "Connects --count clients before the baseline, with a Will and with messages in flight, and takes \
         each of them over by a new connection with its ClientID, --connrate per second. Reports how long \
         the new connection waits for its CONNACK, how the broker closes the older one, whether it \
         handles session, messages and Will as the standard requires, and which ClientIDs end with no \
         live connection or with two. Each client is taken over once, so --attempts and --duration are \
         not accepted.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, storm_checks::CHECKS];
    const ATTEMPTS: AttemptsOf = AttemptsOf::Clients;

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let (situations, pairs) = (self.situations(), self.versions.pairs());
        let is_spoken = |situation: &Situation| pairs.iter().any(|pair| situation.is_in(pair.old));
        let unspoken = situations.iter().find(|situation| !is_spoken(situation));
        // The default leaves out situations that the versions do not have.
        if let (true, Some(situation)) = (situations.len() < Situation::ALL.len(), unspoken) {
            let what = format!(
                "{situation} requires MQTT 5: MQTT 3.1.1 has no Will Delay Interval, and its persistent sessions always \
                 begin with Clean Session 0; choose another variant, or -V 5"
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
    /// What determines the fate of session and Will.
    pub situation: Situation,
    /// The versions.
    pub versions: VersionPair,
    /// The other settings.
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
        let session = match self.situation.persistent() {
            true => "a persistent session",
            false => "a session that ends with the connection",
        };
        let will = match self.situation.will_delay() {
            true => format!("a Will delayed by {} s", self.flags.will_delay.0),
            false => "a Will".to_owned(),
        };
        format!(
            "CONNECT with {}{will} and {session}, SUBSCRIBE, leave {} messages unacknowledged; then CONNECT with the same \
             ClientID and Clean Start {} on a new connection",
            if self.situation.begun_clean() { "" } else { "Clean Start 0, " },
            2 * self.flags.in_flight.0 + 1,
            u8::from(self.situation.clean_start())
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.versions.new, async |log| self.carry_out(stage, log).await)
    }
}

impl Storm {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let is_taken_over = self.wait_and_take_over(stage, log).await;
        if is_taken_over.is_err() && self.situation.persistent() {
            // Leaves no session behind.
            Box::pin(discard_session(stage, self.versions.new, log.client_id())).await;
        }
        if is_taken_over? { Ok(()) } else { Err(Unfinished::Stopped) }
    }

    /// False when the run stopped before the attempt's turn; the client has left nothing behind then. The futures of the
    /// later parts are boxed, so that an attempt waiting for its turn, one of ten thousand, reserves no memory for them.
    async fn wait_and_take_over(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<bool, Unfinished> {
        let will = stage.watch_will(log.name());
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
        old: Old,
        will: Option<WitnessWatch>,
    ) -> Result<(), Unfinished> {
        let Old { peer: mut older, session } = old;
        let client_id = log.client_id().to_owned();
        let (newcomer, before, connect_sent) = prepared(stage, self.provoke(stage, &client_id)).await?;
        let mut outbox = Outbox::of(&session.published);
        log.provoked(connect_sent.at);
        let watch = watch(connect_sent.at, stage.reaction_timeout);
        let looking = self.observe_newcomer(stage, newcomer, connect_sent, &session, &mut outbox);
        let watching = observe(&mut older.client, &stage.clock, &stage.stop, watch);
        let (mut seen, newcomer) = tokio::join!(watching, stage.unless_stopped(looking));
        if let Some(Ok(newcomer)) = &newcomer {
            seen = keep_observing(stage, &mut older.client, seen, newcomer.accepted.connack_at).await;
        }
        // A connection that the broker has ended frees its descriptor at once.
        let still_open = seen.ended_at_us().is_none().then_some(older);
        let confirmed = confirm(stage, log, self.versions.new, (seen.reactions, seen.outcome)).await;
        match newcomer {
            Some(Ok(newcomer)) => {
                outbox.take_all(&newcomer.came, &stage.clock);
                self.report(log, &outbox, &session, &newcomer, confirmed.outcome);
                if let Some(watch) = will {
                    self.await_will(stage, log, &watch, &newcomer, before, confirmed.ended_at(stage)).await;
                }
                newcomer.peer.leave_nothing(stage, &client_id).await;
            }
            not_accepted => {
                if let Some(Err(refused)) = not_accepted {
                    log.fact(NEWCOMER, Answer::Refused(refusal(&refused)));
                }
                discard_session(stage, self.versions.new, &client_id).await;
            }
        }
        if let Some(older) = still_open {
            older.client.leave().await;
        }
        Ok(())
    }

    /// Waits for the older connection's Will; whether it is due depends on the session.
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
        // A session that wrongly was not resumed makes the delayed Will due.
        let goes_on = newcomer.resumption.goes_on();
        // MQTT 3.1.1 has no delay.
        let is_delayed = self.situation.will_delay() && self.versions.old == ProtocolVersion::V5;
        let is_forbidden = is_delayed && !self.situation.will_is_due();
        let due = outcome.is_ended() && (!is_forbidden || !goes_on);
        let delay = match is_delayed {
            true => self.flags.will_delay.time(),
            false => Duration::ZERO,
        };
        if is_forbidden && !due && !(goes_on && is_well_within(connack_time(&newcomer.accepted), delay)) {
            // Whether the Will is due is unknown: the broker may have closed the older connection long before it accepted
            // the newcomer, or never resumed the session.
            return;
        }
        if let Some(seen) = stage.await_delayed_will(watch, due, since, delay, ended_at, OLD_WILL).await {
            log.will(seen);
        }
    }
}
