//! Closes a closed loop end to end: how far the subscribers of each publisher are, so that no publisher is further
//! ahead of them than its window. Shared by all threads: subscribers note arrivals, and publishers wait for them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// No position is waited for.
const NO_WAITER: u64 = u64::MAX;

/// How far the subscribers of one publisher are.
#[derive(Debug)]
struct OfPublisher {
    /// Its receivers that are connected.
    receivers: AtomicU64,
    /// The sum over them of the number after the largest that came. Gaps are skipped, so that a lost message holds up
    /// no publisher once a later one has come.
    position: AtomicU64,
    /// The position at which the publisher goes on.
    wanted: AtomicU64,
}

/// What wakes a thread: the numbers of its publishers that may go on.
#[derive(Debug)]
struct Bell {
    woken: Mutex<VecDeque<u32>>,
    event: OwnedFd,
}

/// How far the subscribers of every publisher are.
#[derive(Debug)]
pub(crate) struct Heard {
    publishers: Vec<OfPublisher>,
    /// One for each thread; publisher n is on thread n modulo their number.
    bells: Vec<Bell>,
    /// Messages that a publisher may be ahead of its subscribers.
    window: u64,
}

/// Messages on their way to a publisher's subscribers that it no longer waits for, because nothing came for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WrittenOff {
    /// Deliveries.
    deliveries: u64,
    /// The messages below this number are meant: once the subscribers are past it, this is reset.
    below: u64,
}

impl Heard {
    /// For so many publishers on so many threads. Fails when the kernel has no descriptor.
    pub(crate) fn new(publishers: u32, threads: u32, window: u16) -> Result<Self, Errno> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let bell = || Ok(Bell { woken: Mutex::default(), event: eventfd(0, flags)? });
        let nothing = || OfPublisher {
            receivers: AtomicU64::new(0),
            position: AtomicU64::new(0),
            wanted: AtomicU64::new(NO_WAITER),
        };
        Ok(Self {
            publishers: (0..publishers).map(|_| nothing()).collect(),
            bells: (0..threads).map(|_| bell()).collect::<Result<_, Errno>>()?,
            window: u64::from(window),
        })
    }

    /// Becomes readable when a publisher of this thread may go on.
    pub(crate) fn bell(&self, thread: u32) -> BorrowedFd<'_> {
        self.bells[thread as usize].event.as_fd()
    }

    /// The publishers of this thread that may go on, each listed once.
    pub(crate) fn woken(&self, thread: u32) -> VecDeque<u32> {
        let bell = &self.bells[thread as usize];
        // Before the list is taken: a later wake-up rings again.
        let _rang = rustix::io::read(&bell.event, &mut [0; 8]);
        std::mem::take(&mut *bell.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A receiver of this publisher is connected; nothing came to it yet.
    pub(crate) fn join(&self, publisher: u32) {
        if let Some(of) = self.publishers.get(publisher as usize) {
            of.receivers.fetch_add(1, SeqCst);
        }
    }

    /// A receiver that had come to `position` is gone.
    pub(crate) fn leave(&self, publisher: u32, position: u64) {
        if let Some(of) = self.publishers.get(publisher as usize) {
            of.position.fetch_sub(position, SeqCst);
            of.receivers.fetch_sub(1, SeqCst);
            of.wanted.store(NO_WAITER, SeqCst);
            self.wake(publisher);
        }
    }

    /// A receiver has come further, by so many numbers.
    #[inline]
    pub(crate) fn advance(&self, publisher: u32, by: u64) {
        let Some(of) = self.publishers.get(publisher as usize) else { return };
        let position = of.position.fetch_add(by, SeqCst) + by;
        let wanted = of.wanted.load(SeqCst);
        // Of several threads that see it reached, one wakes the publisher.
        if position >= wanted && of.wanted.compare_exchange(wanted, NO_WAITER, SeqCst, SeqCst).is_ok() {
            self.wake(publisher);
        }
    }

    fn wake(&self, publisher: u32) {
        let bell = &self.bells[publisher as usize % self.bells.len()];
        let was_empty = {
            let mut woken = bell.woken.lock().unwrap_or_else(PoisonError::into_inner);
            woken.push_back(publisher);
            woken.len() == 1
        };
        if was_empty {
            // It fails only when it was rung 2^64 times without a reader.
            let _rung = rustix::io::write(&bell.event, &1_u64.to_ne_bytes());
        }
    }

    /// The number up to which a publisher may send that has sent `sent`; absent when it must wait. It goes on when
    /// its subscribers have half of its window, as with acknowledgements, and is woken then.
    pub(crate) fn room(&self, publisher: u32, sent: u64, written_off: &mut WrittenOff) -> Option<u64> {
        let of = self.publishers.get(publisher as usize)?;
        let receivers = of.receivers.load(SeqCst);
        if receivers == 0 {
            return Some(u64::MAX);
        }
        let wanted = sent.saturating_sub(self.window / 2) * receivers;
        for is_armed in [false, true] {
            let position = of.position.load(SeqCst);
            if position >= written_off.below * receivers {
                *written_off = WrittenOff::default();
            }
            let position = position + written_off.deliveries;
            if position >= wanted {
                of.wanted.store(NO_WAITER, SeqCst);
                return Some(position / receivers + self.window);
            }
            if !is_armed {
                // Checked once more after this: an arrival in between would not wake it.
                of.wanted.store(wanted - written_off.deliveries, SeqCst);
            }
        }
        None
    }

    /// How far the subscribers of a publisher are, in all.
    pub(crate) fn position(&self, publisher: u32) -> u64 {
        self.publishers.get(publisher as usize).map_or(0, |of| of.position.load(SeqCst))
    }

    /// Messages under way are no longer waited for.
    pub(crate) fn write_off(&self, publisher: u32, sent: u64) -> WrittenOff {
        let receivers = self.publishers.get(publisher as usize).map_or(0, |of| of.receivers.load(SeqCst));
        WrittenOff { deliveries: (sent * receivers).saturating_sub(self.position(publisher)), below: sent }
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, WrittenOff};

    /// Two receivers of publisher 3, which is on the second of two threads, and a window of ten.
    fn heard() -> Heard {
        let heard = Heard::new(5, 2, 10).unwrap();
        heard.join(3);
        heard.join(3);
        heard
    }

    #[test]
    fn a_publisher_is_at_most_its_window_ahead() {
        let (heard, mut nothing) = (heard(), WrittenOff::default());
        assert_eq!(heard.room(3, 0, &mut nothing), Some(10));
        assert_eq!(heard.room(3, 10, &mut nothing), None, "nothing came");
        heard.advance(3, 5);
        heard.advance(3, 4);
        assert!(heard.woken(1).is_empty(), "nine of twenty deliveries");
        heard.advance(3, 1);
        assert_eq!(heard.woken(1), [3]);
        assert_eq!(heard.room(3, 10, &mut nothing), Some(15));
        heard.advance(3, 10);
        assert!(heard.woken(1).is_empty() && heard.woken(0).is_empty(), "it does not wait");
    }

    #[test]
    fn a_publisher_without_receivers_does_not_wait() {
        let (heard, mut nothing) = (heard(), WrittenOff::default());
        assert_eq!(heard.room(0, 1_000_000, &mut nothing), Some(u64::MAX));
    }

    #[test]
    fn a_receiver_that_left_is_waited_for_no_more() {
        let (heard, mut nothing) = (heard(), WrittenOff::default());
        heard.advance(3, 10);
        heard.advance(3, 2);
        assert_eq!(heard.room(3, 12, &mut nothing), None, "the other one is at two");
        heard.leave(3, 2);
        assert_eq!(heard.woken(1), [3]);
        assert_eq!(heard.room(3, 12, &mut nothing), Some(20));
    }

    #[test]
    fn lost_messages_do_not_hold_up_a_publisher_forever() {
        let heard = heard();
        assert_eq!(heard.room(3, 10, &mut WrittenOff::default()), None);
        let mut written_off = heard.write_off(3, 10);
        assert_eq!(heard.room(3, 10, &mut written_off), Some(20), "as if all ten had come to both");
        assert_eq!(heard.room(3, 20, &mut written_off), None);
        // A later message skips the lost one.
        heard.advance(3, 15);
        heard.advance(3, 15);
        assert_eq!(heard.woken(1), [3]);
        assert_eq!(heard.room(3, 20, &mut written_off), Some(25));
        assert_eq!(written_off, WrittenOff::default());
    }
}
