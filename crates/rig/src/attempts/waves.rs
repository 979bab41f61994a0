//! The waves of a run: how far each worker is, and when each wave began and ended. A wave is gathered once all
//! earlier waves have ended, acts when the run releases it, and has ended when its last attempt has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long the clients of a wave are connected before it acts, from the second wave on; those of the first are
/// connected during the whole baseline.
pub(crate) const CALM_BEFORE_WAVE: Duration = Duration::from_secs(1);

/// The progress of every worker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WaveBarrier {
    of_workers: Arc<watch::Sender<Vec<Done>>>,
}

/// The waves that a worker has gathered and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    gathered: usize,
    ended: usize,
}

impl Done {
    /// For a worker that failed: no other worker waits for it.
    const ALL: Self = Self { gathered: usize::MAX, ended: usize::MAX };
}

/// A worker's place in the barrier; once dropped, no other worker waits for it.
#[derive(Debug)]
pub(crate) struct WavePlace {
    barrier: WaveBarrier,
    worker: usize,
}

impl WaveBarrier {
    pub(crate) fn of(workers: u32) -> Self {
        let workers = (0..workers).map(|_| Done::default()).collect();
        Self { of_workers: Arc::new(watch::Sender::new(workers)) }
    }

    pub(crate) fn place(&self, number: u32) -> WavePlace {
        WavePlace { barrier: self.clone(), worker: number as usize }
    }

    /// Whether every worker has gathered `wave`.
    pub(crate) fn has_gathered(&self, wave: usize) -> bool {
        self.of_workers.borrow().iter().all(|done| done.gathered > wave)
    }

    /// Whether every worker has ended `wave`.
    pub(crate) fn has_ended(&self, wave: usize) -> bool {
        self.of_workers.borrow().iter().all(|done| done.ended > wave)
    }

    fn note(&self, worker: usize, note: impl FnOnce(&mut Done)) {
        self.of_workers.send_modify(|workers| note(&mut workers[worker]));
    }
}

impl WavePlace {
    /// This worker has gathered one more wave.
    pub(crate) fn gathered(&self) {
        self.barrier.note(self.worker, |done| done.gathered += 1);
    }

    /// This worker has ended one more wave.
    pub(crate) fn ended(&self) {
        self.barrier.note(self.worker, |done| done.ended += 1);
    }

    /// Waits until every worker has ended `wave`.
    pub(crate) async fn all_ended(&self, wave: usize) {
        let mut workers = self.barrier.of_workers.subscribe();
        // The sender lives in `self`.
        let _never_closed = workers.wait_for(|workers| workers.iter().all(|done| done.ended > wave)).await;
    }
}

impl Drop for WavePlace {
    fn drop(&mut self) {
        self.barrier.note(self.worker, |done| *done = Done::ALL);
    }
}

/// When a wave acted, in µs since the run's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaveTimes {
    /// When it was released.
    pub(crate) began_us: u64,
    /// When its last attempt ended; absent before.
    pub(crate) ended_us: Option<u64>,
}

/// When each wave acted, shared by all threads of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaveTrack {
    times: Arc<watch::Sender<Vec<WaveTimes>>>,
}

impl WaveTrack {
    /// The next wave begins.
    pub(crate) fn begin(&self, at_us: u64) {
        self.times.send_modify(|times| times.push(WaveTimes { began_us: at_us, ended_us: None }));
    }

    /// The latest wave has ended.
    pub(crate) fn end(&self, at_us: u64) {
        self.times.send_modify(|times| {
            if let Some(wave) = times.last_mut() {
                wave.ended_us.get_or_insert(at_us);
            }
        });
    }

    /// Waits until `wave` begins; returns when it did.
    pub(crate) async fn begun(&self, wave: usize) -> u64 {
        let mut times = self.times.subscribe();
        // The sender lives in `self`.
        let begun = times.wait_for(|times| times.len() > wave).await;
        begun.ok().and_then(|times| times.get(wave).copied()).map_or(0, |times| times.began_us)
    }

    /// The wave under way at `at_us`.
    pub(crate) fn of(&self, at_us: u64) -> Option<usize> {
        let is_under_way =
            |wave: &WaveTimes| wave.began_us <= at_us && wave.ended_us.is_none_or(|ended| at_us < ended);
        self.times.borrow().iter().rposition(is_under_way)
    }

    /// The latest wave that began.
    pub(crate) fn latest(&self) -> Option<WaveTimes> {
        self.times.borrow().last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{WaveBarrier, WaveTrack};

    #[test]
    fn a_wave_is_gathered_and_ended_when_every_worker_is_done() {
        let barrier = WaveBarrier::of(2);
        let (first, second) = (barrier.place(0), barrier.place(1));
        first.gathered();
        assert!(!barrier.has_gathered(0));
        second.gathered();
        assert!(barrier.has_gathered(0) && !barrier.has_gathered(1) && !barrier.has_ended(0));
        first.ended();
        second.ended();
        assert!(barrier.has_ended(0) && !barrier.has_ended(1));
    }

    #[test]
    fn no_worker_waits_for_one_that_is_gone() {
        let barrier = WaveBarrier::of(2);
        drop(barrier.place(0));
        assert!(!barrier.has_gathered(0), "the other one is still there");
        let other = barrier.place(1);
        other.gathered();
        assert!(barrier.has_gathered(0) && !barrier.has_ended(0));
        drop(other);
        assert!(barrier.has_gathered(7) && barrier.has_ended(7));
    }

    #[test]
    fn an_instant_belongs_to_the_wave_that_was_under_way() {
        let track = WaveTrack::default();
        assert_eq!(track.of(5), None);
        track.begin(10);
        assert_eq!((track.of(9), track.of(10), track.of(1_000)), (None, Some(0), Some(0)));
        track.end(20);
        track.end(30);
        track.begin(40);
        let of: Vec<_> = [19, 20, 39, 40, 99].into_iter().map(|at| track.of(at)).collect();
        assert_eq!(of, [Some(0), None, None, Some(1), Some(1)]);
    }
}
