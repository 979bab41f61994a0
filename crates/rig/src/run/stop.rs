//! Why a run stops before its plan is done, for every task of every thread.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a run stops early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The user interrupted it.
    Interrupted,
    /// The broker went down.
    BrokerDown(String),
    /// The run reached its time limit; the text says why it was so short.
    OutOfTime(String),
    /// The record can't be written any more.
    RecordFailed(String),
}

/// A flag that is raised once and seen everywhere. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    sender: Arc<watch::Sender<Option<StopReason>>>,
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

#[cfg(test)]
mod tests {
    use super::{Stop, StopReason};

    fn down() -> StopReason {
        StopReason::BrokerDown("gone".into())
    }

    fn unwritable() -> StopReason {
        StopReason::RecordFailed("full".into())
    }

    #[test]
    fn the_first_reason_counts() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        stop.raise(down());
        stop.raise(unwritable());
        assert_eq!(stop.reason(), Some(down()));
    }

    #[test]
    fn an_interruption_takes_precedence_whenever_it_comes() {
        for first in [down(), unwritable()] {
            let stop = Stop::default();
            stop.raise(first.clone());
            stop.raise(StopReason::Interrupted);
            stop.raise(first);
            assert_eq!(stop.reason(), Some(StopReason::Interrupted));
        }
    }

    #[tokio::test]
    async fn waiters_are_woken_and_later_ones_do_not_wait() {
        let stop = Stop::default();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.raised().await }
        });
        tokio::task::yield_now().await;
        stop.raise(down());
        assert_eq!(waiting.await.unwrap(), down());
        assert_eq!(stop.raised().await, down());
    }
}
