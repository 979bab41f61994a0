//! The one clock behind every figure: monotonic, and the only place that reads it.
//!
//! The kernel stamps what it sends and receives by the wall clock; such stamps are converted here.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Both clocks are read again while their readings are further apart than this: our thread was interrupted in between.
const TOGETHER_WITHIN: Duration = Duration::from_nanos(500);
/// Most readings of both clocks; the closest counts.
const READINGS_MAX: u32 = 5;

/// The present instant of the monotonic clock. Costs 20 to 30 ns.
#[inline]
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else must go through")]
pub fn now() -> Instant {
    Instant::now()
}

/// The instant at which the wall clock showed `stamp`, the time since 1970. Costs about 100 ns.
///
/// Both clocks are read for each stamp, so that setting the wall clock spoils only the stamps of that moment. Absent
/// for a stamp in the future, which exists only when the clock was set back.
pub(crate) fn instant_of(stamp: Duration) -> Option<Instant> {
    let mut closest: Option<(Duration, Instant, Duration)> = None;
    for _ in 0..READINGS_MAX {
        let before = now();
        let wall = wall_time();
        let apart = now().saturating_duration_since(before);
        if closest.is_none_or(|(closest, ..)| apart < closest) {
            closest = Some((apart, before, wall));
        }
        if apart <= TOGETHER_WITHIN {
            break;
        }
    }
    let (apart, before, wall) = closest?;
    let read_at = before + apart / 2;
    read_at.checked_sub(wall.checked_sub(stamp)?)
}

/// An instant as every process of this machine understands it: the time since the machine started. Costs about 100 ns.
#[must_use]
pub fn since_boot(instant: Instant) -> Duration {
    let (read_at, since_boot) = both();
    match instant.checked_duration_since(read_at) {
        Some(later) => since_boot + later,
        None => since_boot.saturating_sub(read_at.saturating_duration_since(instant)),
    }
}

/// The instant of a time since the machine started, as [`since_boot`] gives it in another process.
#[must_use]
pub fn at_since_boot(time: Duration) -> Instant {
    let (read_at, since_boot) = both();
    match time.checked_sub(since_boot) {
        Some(later) => read_at + later,
        None => read_at.checked_sub(since_boot.saturating_sub(time)).unwrap_or(read_at),
    }
}

/// The monotonic clock in its two forms, read as close together as possible.
fn both() -> (Instant, Duration) {
    let read = || {
        let before = now();
        let time = clock_gettime(ClockId::Monotonic);
        (now().saturating_duration_since(before), before, since_1970(time.tv_sec, time.tv_nsec))
    };
    let closest = (0..READINGS_MAX).map(|_| read()).min_by_key(|(apart, ..)| *apart);
    let (apart, before, since_boot) = closest.unwrap_or_else(read);
    (before + apart / 2, since_boot)
}

fn wall_time() -> Duration {
    let time = clock_gettime(ClockId::Realtime);
    since_1970(time.tv_sec, time.tv_nsec)
}

/// The time since 1970 of seconds and nanoseconds as the kernel gives them.
pub(crate) fn since_1970(seconds: i64, nanoseconds: i64) -> Duration {
    Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_stamp_becomes_the_instant_it_was_taken() {
        for _ in 0..100 {
            let before = now();
            let stamp = wall_time();
            let after = now();
            let at = instant_of(stamp).unwrap();
            // The two clocks are read one after the other.
            let slack = Duration::from_micros(50);
            assert!(before <= at + slack && at <= after + slack, "{:?}", (before, at, after));
        }
    }

    #[test]
    fn an_instant_is_the_same_in_another_process() {
        for apart_ms in [0, 1, 3_600_000] {
            let (earlier, later) = (now(), now() + Duration::from_millis(apart_ms));
            for instant in [earlier, later] {
                let again = at_since_boot(since_boot(instant));
                let apart = again.max(instant).saturating_duration_since(again.min(instant));
                assert!(apart < Duration::from_millis(1), "{apart:?}");
            }
        }
    }

    #[test]
    fn a_stamp_from_the_future_has_no_instant() {
        assert_eq!(instant_of(wall_time() + Duration::from_secs(60)), None);
    }
}
