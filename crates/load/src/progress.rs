//! The progress of each thread, for waiting and for display. Written by one thread, read by another; neither waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

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
}

/// Orders for all threads.
#[derive(Debug)]
pub(crate) struct Orders {
    /// When to begin, in µs of the run's clock; [`NOT_YET`] until that is known.
    pub(crate) begin_us: AtomicU64,
    /// From when on messages count; set before `begin_us`.
    pub(crate) counted_from_us: AtomicU64,
    pub(crate) stop: AtomicBool,
}

/// No time yet.
pub(crate) const NOT_YET: u64 = u64::MAX;

impl Default for Orders {
    fn default() -> Self {
        Self {
            begin_us: AtomicU64::new(NOT_YET),
            counted_from_us: AtomicU64::new(NOT_YET),
            stop: AtomicBool::new(false),
        }
    }
}

/// The sum over all threads.
pub(crate) fn sum(all: &[std::sync::Arc<Progress>], of: impl Fn(&Progress) -> &AtomicU64) -> u64 {
    all.iter().map(|progress| of(progress).load(Relaxed)).sum()
}
