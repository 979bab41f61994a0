//! The witness: an honest subscriber to the run's Will topics that records whether, when and how often a Will came.
//! Its silence counts only when it is proved to hear.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep, timeout_at};

use crate::attempts::discarded;

/// One message that the witness received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// When, in µs since the run's start.
    pub at_us: u64,
    /// The Application Message.
    pub payload: Vec<u8>,
}

/// Messages kept of one topic, and bytes of each: a Will comes once, or a few times.
const HEARD_MAX: usize = 64;
const PAYLOAD_BYTES_MAX: usize = 1_024;

/// What the witness heard on the watched topics. Shared by all threads; cheap to clone.
///
/// Only watched topics are kept, so its memory follows the attempts in flight and not the run.
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

    /// Takes a message that the witness received.
    pub fn hear(&self, topic: &str, witnessed: Witnessed) {
        let mut heard = self.lock();
        match heard.by_topic.get_mut(topic) {
            Some(list) if list.len() < HEARD_MAX => {
                let mut payload = witnessed.payload;
                payload.truncate(PAYLOAD_BYTES_MAX);
                list.push(Witnessed { payload, ..witnessed });
            }
            Some(_long_enough) => discarded::count_messages(1),
            None => heard.on_unwatched_topics += 1,
        }
    }

    /// Takes a message that came with DUP: the same as an earlier one, unless that did not reach us.
    pub fn hear_again(&self, topic: &str, witnessed: Witnessed) {
        let is_known = self
            .lock()
            .by_topic
            .get(topic)
            .is_some_and(|list| list.iter().any(|earlier| earlier.payload == witnessed.payload));
        if !is_known {
            self.hear(topic, witnessed);
        }
    }

    /// Messages on topics that were no longer watched: Wills that came later than the wait for them.
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

    /// Waits until a message that `is_awaited` has come and `settle` has passed since then (for a second copy), or
    /// until `deadline` when none comes. Returns everything that came, awaited or not.
    pub async fn settled(
        &self,
        deadline: Instant,
        settle: Duration,
        is_awaited: impl Fn(&Witnessed) -> bool,
    ) -> Vec<Witnessed> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let awaited = async {
            while !self.heard().iter().any(&is_awaited) {
                sleep(LOOK_EVERY).await;
            }
        };
        if timeout_at(TokioInstant::from_std(deadline), awaited).await.is_ok() {
            sleep(settle).await;
        }
        self.heard()
    }
}

impl Drop for WitnessWatch {
    fn drop(&mut self) {
        self.witness.lock().by_topic.remove(&self.topic);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant as TokioInstant, sleep};
    use ungraceful_wire::clock::now;

    use super::{HEARD_MAX, PAYLOAD_BYTES_MAX, Witness, Witnessed};

    const SETTLE: Duration = Duration::from_millis(250);

    fn message(at_us: u64, payload: &[u8]) -> Witnessed {
        Witnessed { at_us, payload: payload.to_vec() }
    }

    fn is_first(witnessed: &Witnessed) -> bool {
        witnessed.payload == b"first"
    }

    #[test]
    fn messages_on_watched_topics_are_kept_in_order_by_topic() {
        let witness = Witness::default();
        let of_another_thread = witness.clone();
        let (a, b) = (witness.watch("will/a".into()), witness.watch("will/b".into()));
        witness.hear("will/a", message(1, b"x"));
        witness.hear("will/b", message(2, b"y"));
        of_another_thread.hear("will/a", message(3, b"x"));
        assert_eq!(a.heard(), [message(1, b"x"), message(3, b"x")]);
        assert_eq!(b.heard(), [message(2, b"y")]);
        assert_eq!((a.topic(), witness.on_unwatched_topics()), ("will/a", 0));
    }

    #[test]
    fn endless_copies_are_bounded_in_number_and_size() {
        let witness = Witness::default();
        let watch = witness.watch("will/a".into());
        for at_us in 0..10 * HEARD_MAX as u64 {
            witness.hear("will/a", message(at_us, &[7; 10 * PAYLOAD_BYTES_MAX]));
        }
        let heard = watch.heard();
        assert_eq!(heard.len(), HEARD_MAX);
        assert_eq!(heard[HEARD_MAX - 1], message(HEARD_MAX as u64 - 1, &[7; PAYLOAD_BYTES_MAX]));
    }

    #[test]
    fn a_copy_with_dup_counts_only_without_the_first_one() {
        let witness = Witness::default();
        let watch = witness.watch("will/a".into());
        witness.hear_again("will/a", message(1, b"first"));
        witness.hear_again("will/a", message(2, b"first"));
        witness.hear_again("will/a", message(3, b"second"));
        witness.hear("will/a", message(4, b"first"));
        assert_eq!(watch.heard(), [message(1, b"first"), message(3, b"second"), message(4, b"first")]);
        witness.hear_again("will/b", message(5, b"late"));
        assert_eq!(witness.on_unwatched_topics(), 1);
    }

    #[test]
    fn messages_after_a_watch_are_unexpected() {
        let witness = Witness::default();
        witness.hear("will/a", message(1, b"early"));
        let watch = witness.watch("will/a".into());
        assert_eq!(watch.heard(), [], "a message that came before the watch is none of its own");
        witness.hear("will/a", message(2, b"x"));
        drop(watch);
        assert!(witness.lock().by_topic.is_empty());
        witness.hear("will/a", message(3, b"late"));
        witness.hear("will/a", message(4, b"late"));
        assert_eq!(witness.on_unwatched_topics(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_some_time_after_the_awaited_message_alone() {
        let with_copies = [(3_000, "first"), (125, "first"), (250, "first")];
        let behind_another = [(0, "second"), (4_000, "first")];
        for messages in [&with_copies[..], &behind_another] {
            let witness = Witness::default();
            let watch = witness.watch("will/a".into());
            let hear = async {
                for (number, (pause_ms, payload)) in (1..).zip(messages) {
                    sleep(Duration::from_millis(*pause_ms)).await;
                    witness.hear("will/a", message(number, payload.as_bytes()));
                }
            };
            let deadline = TokioInstant::now().into_std() + Duration::from_secs(5);
            let settled = watch.settled(deadline, SETTLE, is_first);
            let (heard, ()) = tokio::join!(settled, hear);
            let expected = [(1, messages[0].1), (2, messages[1].1)];
            assert_eq!(heard, expected.map(|(number, payload)| message(number, payload.as_bytes())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_lasts_until_the_deadline() {
        let witness = Witness::default();
        let watch = witness.watch("will/a".into());
        let began = TokioInstant::now();
        let deadline = began + Duration::from_secs(5);
        assert_eq!(watch.settled(deadline.into_std(), SETTLE, is_first).await, []);
        assert!(TokioInstant::now() >= deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_before_a_passed_deadline_are_still_returned() {
        let witness = Witness::default();
        let watch = witness.watch("will/a".into());
        witness.hear("will/a", message(1, b"first"));
        assert_eq!(watch.settled(now(), SETTLE, is_first).await, [message(1, b"first")]);
    }
}
