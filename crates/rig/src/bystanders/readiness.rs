//! How far the honest clients are: they report it, and the run waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use ungraceful_record::scale::span;

#[derive(Clone, Debug, Default)]
struct Readiness {
    /// Pairs whose publisher is connected. By number: a broker that accepts one client again and again brings up no
    /// other.
    publishers: BTreeSet<u64>,
    subscribers: BTreeSet<u64>,
    witness: bool,
    refused: Option<String>,
    last_failure: Option<String>,
    proofs_heard: u32,
    witness_gaps: u32,
}

/// The clients' side.
#[derive(Debug)]
pub(crate) struct ReadinessSender {
    readiness: watch::Sender<Readiness>,
}

/// The run's side.
#[derive(Debug)]
pub(crate) struct ReadinessReceiver {
    readiness: watch::Receiver<Readiness>,
}

/// Both sides; no client is ready yet.
pub(crate) fn readiness() -> (ReadinessSender, ReadinessReceiver) {
    let (sender, receiver) = watch::channel(Readiness::default());
    (ReadinessSender { readiness: sender }, ReadinessReceiver { readiness: receiver })
}

impl ReadinessSender {
    /// The publisher of this pair is connected, or has lost its connection.
    pub(crate) fn publisher(&self, pair: u64, is_connected: bool) {
        self.readiness.send_modify(|readiness| put(&mut readiness.publishers, pair, is_connected));
    }

    /// The subscriber of this pair is subscribed, or has lost its connection.
    pub(crate) fn subscriber(&self, pair: u64, is_subscribed: bool) {
        self.readiness.send_modify(|readiness| put(&mut readiness.subscribers, pair, is_subscribed));
    }

    /// The clients can't come up, and waiting is useless.
    pub(crate) fn refused(&self, why: &str) {
        self.readiness.send_modify(|readiness| readiness.refused = Some(why.to_owned()));
    }

    /// A connection ended, or could not be made.
    pub(crate) fn failed(&self, why: String) {
        self.readiness.send_modify(|readiness| readiness.last_failure = Some(why));
    }

    /// The witness is subscribed to all Will topics.
    pub(crate) fn witness_is_up(&self) {
        self.readiness.send_modify(|readiness| readiness.witness = true);
    }

    /// The witness has lost its connection, and misses messages until it is back.
    pub(crate) fn witness_is_down(&self, why: String) {
        self.readiness.send_modify(|readiness| {
            readiness.witness = false;
            readiness.witness_gaps += 1;
            readiness.last_failure = Some(why);
        });
    }

    pub(crate) fn is_witness_up(&self) -> bool {
        self.readiness.borrow().witness
    }

    pub(crate) fn proof_heard(&self, number: u32) {
        self.readiness.send_modify(|readiness| readiness.proofs_heard = readiness.proofs_heard.max(number));
    }

    /// The latest proof that the witness heard; 0 when it heard none.
    pub(crate) fn proofs_heard(&self) -> u32 {
        self.readiness.borrow().proofs_heard
    }
}

fn put(pairs: &mut BTreeSet<u64>, pair: u64, is_in: bool) {
    if is_in {
        pairs.insert(pair);
    } else {
        pairs.remove(&pair);
    }
}

impl ReadinessReceiver {
    /// Waits until so many pairs are connected and subscribed. The error says why they are not, after `within`.
    pub(crate) async fn ready(&mut self, pairs: u64, within: Duration) -> Result<(), String> {
        let is_ready = |readiness: &Readiness| {
            let (publishers, subscribers) = (readiness.publishers.len(), readiness.subscribers.len());
            readiness.refused.is_some() || publishers.min(subscribers) as u64 >= pairs
        };
        let waited = timeout(within, self.readiness.wait_for(is_ready)).await.map(|seen| seen.is_ok());
        let readiness = self.readiness.borrow().clone();
        if let Some(refused) = readiness.refused {
            return Err(refused);
        }
        if waited.unwrap_or(false) {
            return Ok(());
        }
        let failure = readiness.last_failure.map(|failure| format!(" ({failure})")).unwrap_or_default();
        Err(format!(
            "the bystanders did not come up within {}: {} of {pairs} publishers connected, {} of {pairs} subscribers \
             subscribed{failure}",
            span(within),
            readiness.publishers.len(),
            readiness.subscribers.len()
        ))
    }

    /// Waits until the witness heard the proof of this number; returns whether it did, `within`.
    pub(crate) async fn proof_heard(&mut self, number: u32, within: Duration) -> bool {
        let heard = self.readiness.wait_for(|readiness| readiness.proofs_heard >= number);
        matches!(timeout(within, heard).await, Ok(Ok(_)))
    }

    /// How often the witness lost its connection.
    pub(crate) fn witness_gaps(&self) -> u32 {
        self.readiness.borrow().witness_gaps
    }
}
