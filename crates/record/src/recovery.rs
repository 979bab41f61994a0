//! When bystanders are slow, and when they have recovered: the first second after the fault in which at least 99 % of the due
//! messages were delivered within the limit from the baseline. The same limit applies to both.

use crate::phase::Phase;
use crate::run::Record;

/// A slow response takes more than this many times the baseline.
const SLOW_TIMES: u64 = 3;
/// And is longer by more than this, in µs: less is noise.
const SLOW_BY_US: u64 = 5_000;

/// The longest response that is not slow, in µs, for `baseline_us` in the baseline.
#[must_use]
pub fn limit_us(baseline_us: u64) -> u64 {
    baseline_us.saturating_mul(SLOW_TIMES).max(baseline_us.saturating_add(SLOW_BY_US))
}

/// Whether the bystanders recovered after the fault. Times in µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryOutcome {
    /// The baseline gave no limit.
    NoLimit,
    /// There was no recovery phase.
    NoPhase,
    /// Recovered this long after the fault's end.
    After(u64),
    /// Not within the recovery phase, which lasted this long.
    NotRecovered(u64),
    /// Unknown: the recovery phase of this length is shorter than a second plus the limit.
    TooShort(u64),
}

impl RecoveryOutcome {
    /// The outcome of a run; absent without bystanders.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let bystanders = record.bystanders.as_ref()?;
        let Some(limit_us) = bystanders.recovery_limit_us else { return Some(Self::NoLimit) };
        if let Some(us) = bystanders.recovery_time_us {
            return Some(Self::After(us));
        }
        let phase = record.phases.iter().find(|phase| phase.phase == Phase::Recovery);
        let Some(phase) = phase else { return Some(Self::NoPhase) };
        let of_shards = record.merged.as_ref().and_then(|merged| merged.shortest_recovery_us);
        let lasted_us = of_shards.unwrap_or_else(|| phase.ended_us.saturating_sub(phase.began_us));
        let needs_us = WINDOW_BINS as u64 * BIN_US + limit_us;
        Some(if lasted_us < needs_us { Self::TooShort(lasted_us) } else { Self::NotRecovered(lasted_us) })
    }
}

/// Width of a bin, in µs.
const BIN_US: u64 = 100_000;
/// Bins in a window: one second.
const WINDOW_BINS: usize = 10;

/// The bystanders' messages since the fault ended, in bins of their due time.
#[derive(Clone, Debug)]
pub struct RecoveryWatch {
    began_us: u64,
    limit_us: u64,
    bins: Vec<Bin>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    offered: u64,
    in_time: u64,
}

impl RecoveryWatch {
    /// Watches from `began_us` of the run's clock; a message delivered within `limit_us` of its due time is in time.
    #[must_use]
    pub fn new(began_us: u64, limit_us: u64) -> Self {
        Self { began_us, limit_us, bins: Vec::new() }
    }

    fn index(&self, due_us: u64) -> Option<usize> {
        usize::try_from(due_us.checked_sub(self.began_us)? / BIN_US).ok()
    }

    /// A message fell due.
    pub fn offered(&mut self, due_us: u64) {
        let Some(index) = self.index(due_us) else { return };
        if index >= self.bins.len() {
            self.bins.resize(index + 1, Bin::default());
        }
        self.bins[index].offered += 1;
    }

    /// A message due at `due_us` was delivered for the first time. Invented due times are ignored: the broker returns the due
    /// time and must not control the memory use.
    pub fn delivered(&mut self, due_us: u64, response_us: u64) {
        let index = self.index(due_us);
        if response_us <= self.limit_us
            && let Some(bin) = index.and_then(|index| self.bins.get_mut(index))
        {
            bin.in_time += 1;
        }
    }

    /// The recovery time after the fault's end in µs, as known at `now_us`; absent before recovery, or without due messages.
    #[must_use]
    pub fn back_after_us(&self, now_us: u64) -> Option<u64> {
        let known_until_us = now_us.saturating_sub(self.began_us).saturating_sub(self.limit_us);
        let known_bins = usize::try_from(known_until_us / BIN_US).ok()?.min(self.bins.len());
        let is_back = |window: &[Bin]| {
            let offered: u64 = window.iter().map(|bin| bin.offered).sum();
            let in_time: u64 = window.iter().map(|bin| bin.in_time).sum();
            offered > 0 && in_time * 100 >= offered * 99
        };
        let first = self.bins[..known_bins].windows(WINDOW_BINS).position(is_back)?;
        Some(first as u64 * BIN_US)
    }
}

#[cfg(test)]
mod tests {
    use super::RecoveryWatch;

    /// One message every 10 ms from 1,000,000 µs on, the response given by `response_us`.
    fn watch(seconds: u64, response_us: impl Fn(u64) -> Option<u64>) -> RecoveryWatch {
        let mut watch = RecoveryWatch::new(1_000_000, 2_000);
        for due_us in (1_000_000..1_000_000 + seconds * 1_000_000).step_by(10_000) {
            watch.offered(due_us);
            if let Some(response_us) = response_us(due_us - 1_000_000) {
                watch.delivered(due_us, response_us);
            }
        }
        watch
    }

    #[test]
    fn unharmed_bystanders_recover_immediately() {
        let watch = watch(2, |_| Some(900));
        assert_eq!(watch.back_after_us(1_900_000), None);
        assert_eq!(watch.back_after_us(2_002_000), Some(0));
    }

    #[test]
    fn the_recovery_time_is_the_start_of_the_first_good_second() {
        let late_for = |us: u64| move |due: u64| Some(if due < us { 50_000 } else { 900 });
        assert_eq!(watch(5, late_for(2_300_000)).back_after_us(6_100_000), Some(2_300_000));
        // One late message in a hundred is the baseline's own share.
        assert_eq!(
            watch(5, |due| Some(if due == 10_000 { 50_000 } else { 900 })).back_after_us(6_100_000),
            Some(0)
        );
        assert_eq!(
            watch(5, |due| Some(if due < 20_000 { 50_000 } else { 900 })).back_after_us(6_100_000),
            Some(100_000)
        );
    }

    #[test]
    fn missing_messages_are_no_recovery() {
        assert_eq!(watch(5, |_| None).back_after_us(20_000_000), None);
        assert_eq!(RecoveryWatch::new(0, 10).back_after_us(20_000_000), None);
        assert_eq!(watch(5, |_| Some(2_001)).back_after_us(20_000_000), None);
    }

    #[test]
    fn an_invented_due_time_is_ignored() {
        let mut watch = watch(2, |_| None);
        for due_us in [u64::MAX, u64::MAX / 2, 3_100_000, 0] {
            watch.delivered(due_us, 0);
        }
        assert_eq!(watch.bins.len(), 20);
        assert_eq!(watch.back_after_us(20_000_000), None);
    }
}
