//! The members of one herd, counted: those that are there, and those that have settled (back, or given up). Shared by all
//! threads.

use std::sync::Arc;

use tokio::sync::watch;

/// All members of one herd.
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
    there: u64,
    settled: u64,
}

/// One of them. When it is dropped, it is no longer waited for.
#[derive(Debug)]
pub(super) struct Member {
    of: Members,
    is_settled: bool,
}

impl Members {
    /// One more. All join before the herd is let go, so that nobody takes the first ones for all.
    pub(super) fn join(&self) -> Member {
        self.counts.send_modify(|counts| counts.there += 1);
        Member { of: self.clone(), is_settled: false }
    }
}

impl Member {
    /// It is back, or has given up.
    pub(super) fn settled(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.of.counts.send_modify(|counts| counts.settled += 1);
        }
    }

    /// It was back, and has lost its connection again.
    pub(super) fn unsettled(&mut self) {
        if std::mem::take(&mut self.is_settled) {
            self.of.counts.send_modify(|counts| counts.settled -= 1);
        }
    }

    /// Waits until all are settled.
    pub(super) async fn all_settled(&self) {
        let mut counts = self.of.counts.subscribe();
        // The sender lives in `self`.
        let _never_closed = counts.wait_for(|counts| counts.settled >= counts.there).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A settled one stays counted on both sides: the others may still be looking.
        if !self.is_settled {
            self.of.counts.send_modify(|counts| counts.there -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Member, Members};

    async fn all_are(member: &Member) -> bool {
        timeout(Duration::from_millis(20), member.all_settled()).await.is_ok()
    }

    #[tokio::test]
    async fn all_are_settled_when_each_is_back_or_gone() {
        let members = Members::default();
        let (mut first, mut second, third) = (members.join(), members.join(), members.join());
        first.settled();
        first.settled();
        assert!(!all_are(&first).await, "two are still away");
        drop(third);
        assert!(!all_are(&first).await);
        second.settled();
        assert!(all_are(&first).await);
        first.unsettled();
        assert!(!all_are(&second).await, "one is away again");
        drop(first);
        assert!(all_are(&second).await, "and is waited for by nobody");
    }
}
