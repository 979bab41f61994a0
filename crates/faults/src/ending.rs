//! How attempts end that have nothing to tell of the broker, whatever they were about.

use std::time::Duration;

use tokio::time::timeout;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_record::attempt::Attempt;
use ungraceful_record::reaction::{Outcome, connack_code_text};
use ungraceful_rig::attempts::client::NotConnected;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};

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

/// Why nothing can be published at `qos`; absent when it can.
pub(crate) fn qos_not_taken(stage: &Stage, qos: QoS) -> Option<String> {
    (qos > stage.maximum_qos).then(|| {
        format!(
            "the broker takes no {qos}: QoS {} is its maximum, by its CONNACK or as tried before the run",
            stage.maximum_qos.level()
        )
    })
}

/// Nothing can be said about the broker's reaction; whether it is still there can.
pub(crate) async fn not_acted(
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

/// How a part of an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// It was carried out.
    Done(T),
    /// It was given up, because it took too long.
    TooLong,
    /// The run was stopped.
    Stopped,
}

/// Carries out `work`, for `longest` at the most and as long as the run is not stopped.
pub(crate) async fn within<T>(stage: &Stage, longest: Duration, work: impl Future<Output = T>) -> Ended<T> {
    match stage.unless_stopped(timeout(longest, work)).await {
        Some(Ok(done)) => Ended::Done(done),
        Some(Err(_elapsed)) => Ended::TooLong,
        None => Ended::Stopped,
    }
}

/// The run was stopped before the attempt had anything to tell.
pub(crate) fn interrupted(mut log: AttemptLog<'_>) -> Attempt {
    log.connection_over();
    log.concluded(Outcome::Interrupted);
    log.end()
}
