//! The course of every attempt: prepare, provoke, watch the broker, confirm, conclude. And endings that yield no evidence about
//! the broker.

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
    /// The answer to a CONNECT.
    pub enum Answer {
        /// It was accepted.
        Accepted = "accepted",
    } else {
        /// It was refused or not answered; the same words for the same reason.
        Refused = "",
    }
}

/// Why an attempt ends without evidence about the broker.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// What went wrong, for the user.
    Trouble(String),
    /// The run was stopped.
    Stopped,
}

impl From<String> for Unfinished {
    fn from(trouble: String) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<&str> for Unfinished {
    fn from(trouble: &str) -> Self {
        Self::Trouble(trouble.to_owned())
    }
}

/// Carries out an attempt and ends its record: with what `act` logged or, on an error, with the reason.
pub(crate) fn attempted<'a>(
    stage: &'a Stage,
    mut log: AttemptLog<'a>,
    version: ProtocolVersion,
    act: impl AsyncFnOnce(&mut AttemptLog<'a>) -> Result<(), Unfinished> + 'a,
) -> LocalBoxFuture<'a, Attempt> {
    Box::pin(async move {
        match act(&mut log).await {
            Ok(()) => log.end(),
            // Boxed, so that an attempt that waits for its turn reserves no memory for it.
            Err(Unfinished::Trouble(trouble)) => Box::pin(not_acted(stage, log, version, &trouble)).await,
            Err(Unfinished::Stopped) => interrupted(log),
        }
    })
}

/// Carries out `work`, unless the run is stopped meanwhile.
///
/// # Errors
/// [`Unfinished`].
pub(crate) async fn prepared<T>(
    stage: &Stage,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, Unfinished> {
    Ok(stage.unless_stopped(work).await.ok_or(Unfinished::Stopped)??)
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    /// Its outcome, corrected if the broker went down.
    pub(crate) outcome: Outcome,
    /// When the broker ended the connection, in µs since the run's start; absent when it did not.
    pub(crate) ended_at_us: Option<u64>,
}

impl Confirmed {
    /// When the broker ended the connection; now, if it did not.
    pub(crate) fn ended_at(&self, stage: &Stage) -> Instant {
        self.ended_at_us.map_or_else(now, |us| stage.clock.at(us))
    }
}

/// What to watch for on a connection whose client has subscriptions.
pub(crate) const fn watch(provoked_at: Instant, within: Duration) -> Watch {
    Watch { provoked_at, within, connacks_due: 0, subscribed: true }
}

/// How the broker ended a connection: as a reaction, an outcome and a word.
pub(crate) const fn end_of_stream(how: EndKind) -> (ReactionKind, Outcome, &'static str) {
    match how {
        EndKind::Fin => (ReactionKind::Closed, Outcome::Closed, "FIN"),
        EndKind::Reset | EndKind::Failed => (ReactionKind::Reset, Outcome::Reset, "RST"),
    }
}

/// Logs the broker's reactions and finds out whether it is alive.
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

/// Checks that messages can be published at `qos`.
///
/// # Errors
/// A message for the user when the broker does not support it.
pub(crate) fn qos_taken(stage: &Stage, qos: QoS) -> Result<(), String> {
    let maximum = stage.maximum_qos;
    let why = || {
        format!(
            "the broker does not support {qos}: its maximum is QoS {}, by its CONNACK or by a trial before the run",
            maximum.level()
        )
    };
    if qos > maximum { Err(why()) } else { Ok(()) }
}

/// Ends an attempt without a reaction; the broker may have gone down.
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

/// Why a client was not accepted; the same words for the same reason.
pub(crate) fn refusal(refused: &NotConnected) -> String {
    match refused {
        NotConnected::Refused { version, code } => format!("CONNACK {}", connack_code_text(*version, *code)),
        other => other.to_string(),
    }
}

/// The run was stopped before the attempt had any result.
fn interrupted(mut log: AttemptLog<'_>) -> Attempt {
    log.connection_over();
    log.concluded(Outcome::Interrupted);
    log.end()
}
