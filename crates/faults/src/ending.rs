//! The course that every attempt takes, whatever it is about: it is prepared, the broker is watched, what was seen is
//! confirmed and concluded. And how attempts end that yield no evidence about the broker.

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::Attempt;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind, connack_code_text, ended_at_us};
use ungraceful_rig::attempts::client::NotConnected;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::Watch;
use ungraceful_wire::EndKind;
use ungraceful_wire::clock::now;

ungraceful_record::words! {
    /// What became of a CONNECT.
    pub enum Answer {
        /// It was accepted.
        Accepted = "accepted",
    } else {
        /// It was refused or not answered, in words that are the same for all that met the same.
        Refused = "",
    }
}

/// Why an attempt ends with nothing to tell of the broker.
#[derive(Debug)]
pub(crate) enum Untold {
    /// What went wrong, in words.
    Trouble(String),
    /// The run was stopped.
    Stopped,
}

impl From<String> for Untold {
    fn from(trouble: String) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<&str> for Untold {
    fn from(trouble: &str) -> Self {
        Self::Trouble(trouble.to_owned())
    }
}

/// Carries an attempt out, and ends its record: with what `act` tells or, where that is nothing, with why.
pub(crate) fn attempted<'a>(
    stage: &'a Stage,
    mut log: AttemptLog<'a>,
    version: ProtocolVersion,
    act: impl AsyncFnOnce(&mut AttemptLog<'a>) -> Result<(), Untold> + 'a,
) -> LocalBoxFuture<'a, Attempt> {
    Box::pin(async move {
        match act(&mut log).await {
            Ok(()) => log.end(),
            // In a box of its own: an attempt that waits for its turn holds no room for it.
            Err(Untold::Trouble(trouble)) => Box::pin(not_acted(stage, log, version, &trouble)).await,
            Err(Untold::Stopped) => interrupted(log),
        }
    })
}

/// Carries out `work`, unless the run is stopped meanwhile.
///
/// # Errors
/// [`Untold`].
pub(crate) async fn prepared<T>(
    stage: &Stage,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, Untold> {
    Ok(stage.unless_stopped(work).await.ok_or(Untold::Stopped)??)
}

/// What an attempt comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    /// Its outcome, corrected for the broker's own troubles.
    pub(crate) outcome: Outcome,
    /// When the broker ended the connection, in µs since the run's start; absent when it did not.
    pub(crate) ended_at_us: Option<u64>,
}

impl Confirmed {
    /// When the connection was over: when the broker ended it or, where it did not, now.
    pub(crate) fn ended_at(&self, stage: &Stage) -> Instant {
        self.ended_at_us.map_or_else(now, |us| stage.clock.at(us))
    }
}

/// What to watch for on a connection whose client has subscriptions.
pub(crate) const fn watch(provoked_at: Instant, within: Duration) -> Watch {
    Watch { provoked_at, within, connacks_due: 0, subscribed: true }
}

/// How the broker ended a connection: as a reaction, as an outcome, and in a word.
pub(crate) const fn told_end(how: EndKind) -> (ReactionKind, Outcome, &'static str) {
    match how {
        EndKind::Fin => (ReactionKind::Closed, Outcome::Closed, "FIN"),
        EndKind::Reset | EndKind::Failed => (ReactionKind::Reset, Outcome::Reset, "RST"),
    }
}

/// Writes down what was seen of the broker, and finds out whether it is alive.
pub(crate) async fn confirm(
    stage: &Stage,
    log: &mut AttemptLog<'_>,
    version: ProtocolVersion,
    (reactions, outcome): (Vec<Reaction>, Option<Outcome>),
) -> Confirmed {
    let ended_at_us = ended_at_us(&reactions);
    let seen = outcome.unwrap_or(Outcome::Interrupted);
    log.reacted(reactions, seen);
    let outcome = stage.confirm(seen, ended_at_us, version).await;
    log.concluded(outcome);
    Confirmed { outcome, ended_at_us }
}

/// That messages can be published at `qos`.
///
/// # Errors
/// In words, when the broker takes none.
pub(crate) fn qos_taken(stage: &Stage, qos: QoS) -> Result<(), String> {
    let maximum = stage.maximum_qos;
    let why = || {
        format!(
            "the broker takes no {qos}: QoS {} is its maximum, by its CONNACK or as tried before the run",
            maximum.level()
        )
    };
    if qos > maximum { Err(why()) } else { Ok(()) }
}

/// Nothing can be said about the broker's reaction; whether it is still there can.
async fn not_acted(
    stage: &Stage,
    mut log: AttemptLog<'_>,
    version: ProtocolVersion,
    trouble: &str,
) -> Attempt {
    log.trouble(trouble);
    log.connection_over();
    let outcome = stage.confirm(Outcome::NotActed, None, version).await;
    log.concluded(outcome);
    log.end()
}

/// Why a client was not accepted, in words that are the same for all that met the same.
pub(crate) fn refusal(refused: &NotConnected) -> String {
    match refused {
        NotConnected::Refused { version, code } => format!("CONNACK {}", connack_code_text(*version, *code)),
        other => other.to_string(),
    }
}

/// The run was stopped before the attempt had anything to tell.
fn interrupted(mut log: AttemptLog<'_>) -> Attempt {
    log.connection_over();
    log.concluded(Outcome::Interrupted);
    log.end()
}
