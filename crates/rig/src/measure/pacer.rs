//! Waits until an operation is due, more finely than the runtime's timer, which wakes up to a millisecond late: the
//! larger part of a bystander's response time. A timer descriptor wakes within tens of microseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use ungraceful_wire::clock::now;

#[derive(Debug)]
pub(crate) struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// Makes a timer on the current runtime.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its successor is an unsafe function that asks for a descriptor which stays valid and the same; \
                      an OwnedFd does"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Waits until `due` and returns the instant at which the caller runs again; the difference is the schedule slip.
    /// Returns at once when `due` has passed.
    pub(crate) async fn until(&mut self, due: Instant) -> Instant {
        loop {
            let at = now();
            let Some(left) = due.checked_duration_since(at).filter(|left| !left.is_zero()) else {
                return at;
            };
            if self.arm(left).is_err() {
                tokio::time::sleep(left).await;
                continue;
            }
            if let Ok(mut ready) = self.timer.readable_mut().await {
                // Setting the timer again clears the expiry; only the readiness has to be forgotten.
                ready.clear_ready();
            }
        }
    }

    fn arm(&self, left: Duration) -> io::Result<()> {
        let value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_wire::clock::now;

    use super::Pacer;

    #[tokio::test]
    async fn a_pacer_never_wakes_early_and_can_be_used_again() {
        let mut pacer = Pacer::new().unwrap();
        for wait_us in [300, 0, 1_700, 50] {
            let due = now() + Duration::from_micros(wait_us);
            assert!(pacer.until(due).await >= due);
        }
    }

    #[tokio::test]
    async fn a_cancelled_wait_does_not_disturb_the_next_one() {
        let mut pacer = Pacer::new().unwrap();
        let far = pacer.until(now() + Duration::from_secs(3_600));
        assert!(tokio::time::timeout(Duration::from_millis(3), far).await.is_err());
        let due = now() + Duration::from_millis(4);
        assert!(pacer.until(due).await >= due);
    }
}
