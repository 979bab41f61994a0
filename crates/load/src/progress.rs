//! The progress of each thread, for waiting and for display. Written by one thread, read by another; neither waits.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use serde::{Deserialize, Serialize};

/// A thread's progress. Messages include those of the warm-up.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Progress {
    /// Clients that were accepted, and subscribed where they had to.
    pub(crate) ready: AtomicU64,
    /// Of these, subscribers.
    pub(crate) subscribers_ready: AtomicU64,
    /// Clients that were refused or lost.
    pub(crate) failed: AtomicU64,
    /// Whether every client is ready or has failed.
    pub(crate) is_settled: AtomicBool,
    /// Messages handed to the kernel.
    pub(crate) sent: AtomicU64,
    /// Messages of QoS 1 and 2 that wait for their acknowledgement.
    pub(crate) unacknowledged: AtomicU64,
    /// Messages due and not sent.
    pub(crate) waiting: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Deliveries, each counted once.
    pub(crate) delivered: AtomicU64,
    /// When the last of them came, in µs of the run's clock; 0 for never.
    pub(crate) last_delivery_us: AtomicU64,
    /// Whether nothing falls due any more.
    pub(crate) is_over: AtomicBool,
    /// Clients that have left at the end.
    pub(crate) left: AtomicU64,
}

impl Progress {
    /// The counts, in the order in which they must be read so that an end is not seen too early: what waits before what was sent.
    pub(crate) fn read(&self) -> Counts {
        let is_over = self.is_over.load(Acquire);
        let is_settled = self.is_settled.load(Acquire);
        let [waiting, unacknowledged] =
            [&self.waiting, &self.unacknowledged].map(|count| count.load(Acquire));
        let counts = [
            &self.sent,
            &self.delivered,
            &self.refused,
            &self.ready,
            &self.subscribers_ready,
            &self.failed,
            &self.last_delivery_us,
            &self.left,
        ];
        Counts {
            is_over,
            is_settled,
            waiting,
            unacknowledged,
            others: counts.map(|count| count.load(Relaxed)),
        }
    }

    /// Takes over what another process read.
    pub(crate) fn store(&self, counts: &Counts) {
        let all = [
            &self.sent,
            &self.delivered,
            &self.refused,
            &self.ready,
            &self.subscribers_ready,
            &self.failed,
            &self.last_delivery_us,
            &self.left,
        ];
        for (to, count) in all.into_iter().zip(counts.others) {
            to.store(count, Relaxed);
        }
        self.unacknowledged.store(counts.unacknowledged, Release);
        self.waiting.store(counts.waiting, Release);
        self.is_settled.store(counts.is_settled, Release);
        self.is_over.store(counts.is_over, Release);
    }
}

/// A thread's progress at one moment, for another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    is_over: bool,
    is_settled: bool,
    waiting: u64,
    unacknowledged: u64,
    others: [u64; 8],
}

/// Orders for all threads.
#[derive(Debug)]
pub(crate) struct Orders {
    /// When to begin, in µs of the run's clock; [`NOT_YET`] until that is known.
    pub(crate) begin_us: AtomicU64,
    /// From when on messages count; set before `begin_us`.
    pub(crate) counted_from_us: AtomicU64,
    /// When to end, before the load's time is over; [`NOT_YET`] without such an order.
    pub(crate) until_us: AtomicU64,
    pub(crate) stop: AtomicBool,
}

/// No time yet.
pub(crate) const NOT_YET: u64 = u64::MAX;

impl Default for Orders {
    fn default() -> Self {
        Self {
            begin_us: AtomicU64::new(NOT_YET),
            counted_from_us: AtomicU64::new(NOT_YET),
            until_us: AtomicU64::new(NOT_YET),
            stop: AtomicBool::new(false),
        }
    }
}

/// The sum over all threads.
pub(crate) fn sum(all: &[std::sync::Arc<Progress>], of: impl Fn(&Progress) -> &AtomicU64) -> u64 {
    all.iter().map(|progress| of(progress).load(Relaxed)).sum()
}
