//! The witness: an honest subscriber to the run's Will topics that tells whether, when and how often a Will
//! came. It is proved to hear before anything is concluded from its silence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One message that the witness received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// When, in µs since the run's start.
    pub at_us: u64,
    /// The Application Message.
    pub payload: Vec<u8>,
}

/// What the witness has heard on the topics somebody asked about. Shared by all threads; cheap to clone.
///
/// Only topics that are being watched are kept, so its memory follows the attempts in flight and not the run.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    by_topic: HashMap<String, Vec<Witnessed>>,
    on_unwatched_topics: u64,
}

impl Witness {
    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        // A panic elsewhere does not make what was heard untrue.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to keep what comes on `topic`.
    #[must_use]
    pub fn watch(&self, topic: String) -> WitnessWatch {
        self.lock().by_topic.insert(topic.clone(), Vec::new());
        WitnessWatch { witness: self.clone(), topic }
    }

    /// Takes in what the witness received.
    pub fn hear(&self, topic: &str, witnessed: Witnessed) {
        let mut heard = self.lock();
        match heard.by_topic.get_mut(topic) {
            Some(list) => list.push(witnessed),
            None => heard.on_unwatched_topics += 1,
        }
    }

    /// How many messages came on topics that nobody watched any more: Wills that came later than anybody
    /// waited for them.
    #[must_use]
    pub fn on_unwatched_topics(&self) -> u64 {
        self.lock().on_unwatched_topics
    }
}

/// The watch over one topic; ends when dropped.
#[derive(Debug)]
pub struct WitnessWatch {
    witness: Witness,
    topic: String,
}

impl WitnessWatch {
    /// The topic that is watched.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What has come so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Witnessed> {
        self.witness.lock().by_topic.get(&self.topic).cloned().unwrap_or_default()
    }

    /// Waits until something has come and `settle` has passed since then (for a second copy), or until
    /// `deadline` when nothing comes.
    pub async fn settled(&self, deadline: Instant, settle: Duration) -> Vec<Witnessed> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while self.heard().is_empty() {
            if ungraceful_wire::clock::now() >= deadline {
                return Vec::new();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(settle).await;
        self.heard()
    }
}

impl Drop for WitnessWatch {
    fn drop(&mut self) {
        self.witness.lock().by_topic.remove(&self.topic);
    }
}
