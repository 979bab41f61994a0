//! A subscriber and a publisher beside it.

use std::time::Duration;

use ungraceful_rig::attempts::fault::{AttemptLog, Stage};

use super::fates::{Fates, SharedFates};
use super::publisher::{Published, Publisher};
use super::subscriber::Subscriber;

/// How long copies of messages that came once are awaited.
const COPIES_WITHIN: Duration = Duration::from_millis(200);

/// A subscriber, the publisher beside it, and the fates of the messages between them.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) subscriber: Subscriber,
    pub(super) publisher: Publisher,
    pub(super) fates: SharedFates,
}

impl Pair {
    /// Connects a publisher of messages with `payload_len` bytes beside the subscriber.
    ///
    /// # Errors
    /// A message for the user when the broker refuses it.
    pub(super) async fn beside(
        subscriber: Subscriber,
        stage: &Stage,
        log: &AttemptLog<'_>,
        payload_len: usize,
    ) -> Result<Self, String> {
        let (version, fates) = (subscriber.peer.client.version, subscriber.account.fates.clone());
        let publisher = Publisher::beside(stage, log, version, payload_len, &fates).await?;
        Ok(Self { subscriber, publisher, fates })
    }

    /// Receives every message that is owed, and any copies. If publishing had stalled because the broker could not deliver,
    /// publishes the rest of `total` messages first. Returns how publishing ended.
    pub(super) async fn drain(
        &mut self,
        mut published: Published,
        total: u64,
        patience: Duration,
    ) -> Published {
        let Self { subscriber, publisher, .. } = self;
        if published == Published::Stalled {
            published = subscriber.during(publisher.publish(total, patience)).await;
        }
        let draining = async {
            subscriber.listen_until(patience, |fates| fates.owed() == 0).await;
            subscriber.listen_until_quiet(COPIES_WITHIN).await;
        };
        publisher.during(draining).await;
        published
    }

    /// Publishes one message more than the `sent` ones, and returns whether it came: if it did, what did not come before it
    /// is lost and not late.
    pub(super) async fn publish_later(&mut self, sent: u64, patience: Duration) -> bool {
        let Self { subscriber, publisher, .. } = self;
        let publishing = publisher.publish(sent + 1, patience);
        let is_taken = subscriber.during(publishing).await == Published::All;
        let came = |fates: &Fates| fates.delivered_from(sent) > 0;
        is_taken && publisher.during(subscriber.listen_until(patience, came)).await
    }

    /// Both disconnect properly.
    pub(super) async fn leave(self) {
        self.publisher.leave().await;
        self.subscriber.leave().await;
    }
}
