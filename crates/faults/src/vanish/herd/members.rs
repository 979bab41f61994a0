//! Counts the members of one herd: all of them, and those that have settled (returned or given up). Shared by all threads.

use std::sync::Arc;

use tokio::sync::watch;

/// The members of one herd.
#[derive(Clone, Debug)]
pub(super) struct Members {
    counts: Arc<watch::Sender<Counts>>,
}

impl Default for Members {
    fn default() -> Self {
        Self { counts: Arc::new(watch::Sender::new(Counts::default())) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    all: u64,
    settled: u64,
}

/// One member. The others stop waiting for it when it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    herd: Members,
    is_settled: bool,
}

impl Members {
    /// Adds a member. All join before the connections are lost, so that the first ones do not count as all.
    pub(super) fn join(&self) -> Member {
        self.counts.send_modify(|counts| counts.all += 1);
        Member { herd: self.clone(), is_settled: false }
    }
}

impl Member {
    /// The member is back, or has given up.
    pub(super) fn settled(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.herd.counts.send_modify(|counts| counts.settled += 1);
        }
    }

    /// The member was back, and has lost its connection again.
    pub(super) fn unsettled(&mut self) {
        if std::mem::take(&mut self.is_settled) {
            self.herd.counts.send_modify(|counts| counts.settled -= 1);
        }
    }

    /// Waits until all are settled.
    pub(super) async fn all_settled(&self) {
        let mut counts = self.herd.counts.subscribe();
        // The sender lives in `self`.
        let _never_closed = counts.wait_for(|counts| counts.settled >= counts.all).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A settled member stays counted on both sides: the others may still be waiting.
        if !self.is_settled {
            self.herd.counts.send_modify(|counts| counts.all -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Member, Members};

    async fn all_settled(member: &Member) -> bool {
        timeout(Duration::from_millis(20), member.all_settled()).await.is_ok()
    }

    #[tokio::test]
    async fn all_are_settled_when_each_member_is_back_or_dropped() {
        let members = Members::default();
        let (mut first, mut second, third) = (members.join(), members.join(), members.join());
        first.settled();
        first.settled();
        assert!(!all_settled(&first).await, "two are still away");
        drop(third);
        assert!(!all_settled(&first).await);
        second.settled();
        assert!(all_settled(&first).await);
        first.unsettled();
        assert!(!all_settled(&second).await, "one is away again");
        drop(first);
        assert!(all_settled(&second).await, "it was dropped");
    }
}
