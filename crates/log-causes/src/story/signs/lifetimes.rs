//! Connections that always end after the same time: a timeout on the path, and not the clients.

use std::collections::BTreeMap;

/// Connections that end sooner are ended by something else.
const MIN_S: i64 = 20;
/// At least this many connections of equal length, and this share of those that were lost.
const CONNECTIONS_MIN: u64 = 3;
const SHARE_MIN: f64 = 0.5;
/// Different lengths that are counted; further ones are ignored.
const LENGTHS_MAX: usize = 10_000;

/// Connections that ended without a reason after the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EqualLifetimes {
    /// Number of its log, from 0.
    pub log: usize,
    /// How long they lasted, in seconds, give or take one.
    pub seconds: i64,
    /// How many did.
    pub connections: u64,
    /// How many connections were lost whose begin is in the log.
    pub of: u64,
}

/// How long lost connections lasted.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    by_second: BTreeMap<i64, u64>,
    connections: u64,
}

impl Lifetimes {
    pub(super) fn add(&mut self, lasted_ms: Option<i64>) {
        let Some(ms) = lasted_ms else { return };
        self.connections += 1;
        let second = (ms + 500).div_euclid(1_000);
        if second >= MIN_S && (self.by_second.len() < LENGTHS_MAX || self.by_second.contains_key(&second)) {
            *self.by_second.entry(second).or_default() += 1;
        }
    }

    /// The most frequent length, if it is that of most connections. The number of its log is 0.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn equal(&self) -> Option<EqualLifetimes> {
        // Times of a log are whole seconds in most, so neighbours count as well.
        let around =
            |second: i64| self.by_second.range(second - 1..=second + 1).map(|(_, count)| count).sum::<u64>();
        // Of equally frequent lengths, the one in the middle.
        let most = self.by_second.iter().map(|(second, count)| (around(*second), *count, *second)).max()?;
        let (connections, _, seconds) = most;
        let is_most = connections as f64 >= SHARE_MIN * self.connections as f64;
        (connections >= CONNECTIONS_MIN && is_most).then_some(EqualLifetimes {
            log: 0,
            seconds,
            connections,
            of: self.connections,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EqualLifetimes, Lifetimes};

    fn equal(lasted_s: &[i64]) -> Option<EqualLifetimes> {
        let mut lifetimes = Lifetimes::default();
        lasted_s.iter().for_each(|seconds| lifetimes.add(Some(seconds * 1_000)));
        lifetimes.equal()
    }

    #[test]
    fn most_connections_of_one_length_are_told() {
        let found = equal(&[350, 351, 350, 12, 349]).unwrap();
        assert_eq!((found.seconds, found.connections, found.of), (350, 4, 5));
    }

    #[test]
    fn few_short_or_scattered_connections_are_not() {
        assert_eq!(equal(&[350, 350]), None);
        assert_eq!(equal(&[5, 5, 5, 5]), None);
        assert_eq!(equal(&[100, 200, 300, 400, 400, 400, 500, 600]), None);
        assert_eq!(equal(&[]), None);
    }
}
