//! How long a client waits before it connects again: the profiles that client libraries have.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng as Random;

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// At once.
    None,
    /// Always as long.
    Fixed(Duration),
    /// The first time, and twice as long each time, up to the last.
    Exponential {
        /// The first wait; above 0.
        from: Duration,
        /// The longest wait; not below `from`.
        to: Duration,
    },
    /// A random time between 0 and what [`Backoff::Exponential`] would wait.
    FullJitter {
        /// The first wait's upper bound; above 0.
        from: Duration,
        /// The longest wait's upper bound; not below `from`.
        to: Duration,
    },
}

/// Where one client is in its profile.
#[derive(Debug)]
pub struct Waits {
    backoff: Backoff,
    random: Random,
    in_a_row: u32,
}

impl Backoff {
    /// The waits of one client, with randomness of its own.
    #[must_use]
    pub fn waits(self, random: Random) -> Waits {
        Waits { backoff: self, random, in_a_row: 0 }
    }

    /// How long a connection must last for a client to begin its profile anew: its longest wait. A client that began
    /// anew after every accepted CONNECT would never wait longer than the first time in a duel.
    #[must_use]
    pub const fn stable_after(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Fixed(wait) => wait,
            Self::Exponential { to, .. } | Self::FullJitter { to, .. } => to,
        }
    }
}

impl Waits {
    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = |from: Duration, to: Duration, times: u32| {
            from.saturating_mul(2_u32.saturating_pow(times)).min(to)
        };
        let wait = match self.backoff {
            Backoff::None => Duration::ZERO,
            Backoff::Fixed(wait) => wait,
            Backoff::Exponential { from, to } => doubled(from, to, self.in_a_row),
            Backoff::FullJitter { from, to } => {
                doubled(from, to, self.in_a_row).mul_f64(self.random.random::<f64>())
            }
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        wait
    }

    /// A connection ended that had lasted for `lasted`.
    pub fn connection_lasted(&mut self, lasted: Duration) {
        if lasted > self.backoff.stable_after() {
            self.in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;
    use crate::seed::Seed;

    const FROM: Duration = Duration::from_millis(100);
    const TO: Duration = Duration::from_millis(500);

    fn waits(backoff: Backoff, count: usize) -> Vec<u128> {
        let mut waits = backoff.waits(Seed(1).stream("test"));
        (0..count).map(|_| waits.next_wait().as_millis()).collect()
    }

    #[test]
    fn each_profile_waits_as_it_says() {
        assert_eq!(waits(Backoff::None, 3), [0, 0, 0]);
        assert_eq!(waits(Backoff::Fixed(FROM), 3), [100, 100, 100]);
        assert_eq!(waits(Backoff::Exponential { from: FROM, to: TO }, 5), [100, 200, 400, 500, 500]);
        assert_eq!(waits(Backoff::Exponential { from: FROM, to: TO }, 50)[49], 500, "and nothing overflows");
    }

    #[test]
    fn full_jitter_stays_below_the_exponential_wait_and_fills_it() {
        let jittered = waits(Backoff::FullJitter { from: FROM, to: TO }, 1_000);
        assert!(jittered[0] <= 100 && jittered[1] <= 200 && jittered.iter().all(|wait| *wait <= 500));
        let late = &jittered[3..];
        let mean = late.iter().sum::<u128>() / late.len() as u128;
        assert!((225..275).contains(&mean), "the mean of 0 to 500 ms was {mean} ms");
    }

    #[test]
    fn only_a_connection_that_lasted_longer_than_the_longest_wait_begins_the_profile_anew() {
        let mut waits = Backoff::Exponential { from: FROM, to: TO }.waits(Seed(1).stream("test"));
        for _ in 0..3 {
            waits.next_wait();
        }
        waits.connection_lasted(TO);
        assert_eq!(waits.next_wait(), TO);
        waits.connection_lasted(TO + FROM);
        assert_eq!(waits.next_wait(), FROM);
    }
}
