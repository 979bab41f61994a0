//! Why a run stops before its plan is done, told to every task of every thread.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a run stops early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The user interrupted it.
    Interrupted,
    /// The broker went down.
    BrokerDown(String),
    /// The record can't be written any more.
    RecordFailed(String),
}

/// A flag that can be raised once and is seen everywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    sender: Arc<watch::Sender<Option<StopReason>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(None)) }
    }
}

impl Stop {
    /// Stops the run. The first reason counts, but an interruption by the user takes precedence.
    pub fn raise(&self, reason: StopReason) {
        self.sender.send_if_modified(|current| {
            let replace = current.is_none() || reason == StopReason::Interrupted;
            if replace {
                *current = Some(reason);
            }
            replace
        });
    }

    /// Why the run stops; absent while it goes on.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.sender.borrow().clone()
    }

    /// Waits until the run stops.
    pub async fn raised(&self) -> StopReason {
        let mut receiver = self.sender.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender lives in `self`, so the channel can't be closed while this waits.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}
