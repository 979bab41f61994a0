//! When messages fall due: a pure schedule, the same for the same seed, of which each thread computes its own share
//! as it goes. It takes no memory, whatever the rate and the time.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use ungraceful_record::scale::micros;
use ungraceful_rig::run::plan::Arrival;
use ungraceful_rig::run::seed::Seed;

/// A stretch of time with one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long it lasts.
    pub lasts: Duration,
    /// Messages per second, over all publishers.
    pub per_second: f64,
}

/// How publishing is released.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// Nothing is published for so long.
    Nothing(Duration),
    /// Closed loop: as fast as the broker takes it, for so long.
    Closed(Duration),
    /// Open loop: by these stages.
    Open(Vec<Stage>, Arrival),
}

impl Pace {
    /// How long messages that count fall due.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match self {
            Self::Nothing(lasts) | Self::Closed(lasts) => *lasts,
            Self::Open(stages, _) => stages.iter().map(|stage| stage.lasts).sum(),
        }
    }

    /// Most messages that fall due; absent for a closed loop.
    #[must_use]
    pub fn messages(&self) -> Option<f64> {
        match self {
            Self::Nothing(_) => Some(0.0),
            Self::Closed(_) => None,
            Self::Open(stages, _) => {
                Some(stages.iter().map(|stage| stage.lasts.as_secs_f64() * stage.per_second).sum())
            }
        }
    }

    /// The highest rate of any stage; absent without a schedule.
    #[must_use]
    pub fn per_second_max(&self) -> Option<f64> {
        match self {
            Self::Nothing(_) | Self::Closed(_) => None,
            Self::Open(stages, _) => stages.iter().map(|stage| stage.per_second).reduce(f64::max),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// When, in µs since the schedule's begin.
    pub(crate) after_us: u64,
    /// Whose, by its place among the thread's own publishers.
    pub(crate) publisher: usize,
}

/// One thread's share of the schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Each stage with the messages of all publishers that fall due before it, and when it begins.
    stages: Vec<(f64, f64, Stage)>,
    /// The numbers of the thread's publishers, ascending.
    own: Vec<u32>,
    publishers: u32,
    arrival: Arrival,
    random: StdRng,
    round: u64,
    place: usize,
    /// For Poisson arrivals: how far the process has come, in messages of all publishers.
    position: f64,
}

impl Schedule {
    /// The share of the publishers `own` out of `publishers`. The first stage is preceded by `warmup` at its rate.
    pub(crate) fn new(
        stages: &[Stage],
        warmup: Duration,
        arrival: Arrival,
        own: Vec<u32>,
        publishers: u32,
        seed: Seed,
    ) -> Self {
        let warming = stages.first().map(|first| Stage { lasts: warmup, ..*first });
        let (mut messages, mut begins_us) = (0.0, 0.0);
        let stages = warming.iter().chain(stages).filter(|stage| !stage.lasts.is_zero()).map(|stage| {
            let begun = (messages, begins_us, *stage);
            messages = whole(messages + stage.lasts.as_secs_f64() * stage.per_second);
            begins_us += stage.lasts.as_secs_f64() * 1e6;
            begun
        });
        let label = format!("load of {}", own.first().copied().unwrap_or_default());
        let (stages, random) = (stages.collect(), seed.stream(&label));
        Self { stages, own, publishers, arrival, random, round: 0, place: 0, position: 0.0 }
    }

    /// The next message; absent when there is none any more.
    pub(crate) fn next(&mut self) -> Option<Due> {
        if self.own.is_empty() {
            return None;
        }
        match self.arrival {
            Arrival::Uniform => {
                let place = self.place;
                // From the number and not by adding up: no drift over billions of messages.
                let number = self.round * u64::from(self.publishers) + u64::from(self.own[place]);
                self.place += 1;
                if self.place == self.own.len() {
                    (self.place, self.round) = (0, self.round + 1);
                }
                Some(Due { after_us: self.after_us(precise(number))?, publisher: place })
            }
            Arrival::Poisson => {
                let uniform: f64 = self.random.random();
                // The whole process is the sum of the threads': each has its publishers' share of the rate.
                let share = f64::from(self.publishers) / precise(self.own.len() as u64);
                self.position += -(1.0 - uniform).ln() * share;
                let publisher = self.random.random_range(0..self.own.len());
                Some(Due { after_us: self.after_us(self.position)?, publisher })
            }
        }
    }

    /// When the message at `position` among those of all publishers is due.
    fn after_us(&self, position: f64) -> Option<u64> {
        let number = self.stages.iter().rposition(|(before, ..)| *before <= position)?;
        let (before, begins_us, stage) = self.stages[number];
        let within_us = (position - before) / stage.per_second * 1e6;
        let is_over = within_us >= precise(micros(stage.lasts));
        // Rounding may place the first message of a stage at the very end of the one before.
        if let Some((_, next_us, _)) = self.stages.get(number + 1).filter(|_| is_over) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below a day")]
            return Some(next_us.round() as u64);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and below a day"
        )]
        let after_us = (begins_us + within_us).round() as u64;
        (!is_over).then_some(after_us)
    }
}

/// The whole number that is meant where floating point misses it by a hair, as with 1.1 s at 100 a second.
fn whole(messages: f64) -> f64 {
    const HAIR: f64 = 1e-6;
    if (messages - messages.round()).abs() < HAIR { messages.round() } else { messages }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_rig::run::plan::Arrival;
    use ungraceful_rig::run::seed::Seed;

    use super::{Due, Schedule, Stage};

    fn seconds(seconds: u64, per_second: f64) -> Stage {
        Stage { lasts: Duration::from_secs(seconds), per_second }
    }

    fn all(stages: &[Stage], warmup: Duration, arrival: Arrival, own: &[u32], publishers: u32) -> Vec<Due> {
        let mut schedule = Schedule::new(stages, warmup, arrival, own.to_vec(), publishers, Seed(7));
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn uniform_messages_are_due_at_equal_distances_in_turn() {
        let due = all(&[seconds(1, 5.0)], Duration::ZERO, Arrival::Uniform, &[0, 1], 2);
        let expected = [(0, 0), (200_000, 1), (400_000, 0), (600_000, 1), (800_000, 0)];
        assert_eq!(due, expected.map(|(after_us, publisher)| Due { after_us, publisher }));
    }

    #[test]
    fn the_shares_of_all_threads_are_the_whole() {
        let whole = all(&[seconds(2, 100.0)], Duration::ZERO, Arrival::Uniform, &[0, 1, 2], 3);
        let mut shares = [&[0_u32, 2][..], &[1]].map(|own| {
            let due = all(&[seconds(2, 100.0)], Duration::ZERO, Arrival::Uniform, own, 3);
            due.into_iter().map(|due| (due.after_us, own[due.publisher])).collect::<Vec<_>>()
        });
        let mut joined = [shares[0].split_off(0), shares[1].split_off(0)].concat();
        joined.sort_unstable();
        let whole: Vec<_> =
            whole.into_iter().map(|due| (due.after_us, u32::try_from(due.publisher).unwrap())).collect();
        assert_eq!((joined.len(), joined), (200, whole));
    }

    #[test]
    fn the_warm_up_has_the_rate_of_the_first_stage() {
        let stages = [seconds(1, 10.0), seconds(2, 100.0)];
        let due = all(&stages, Duration::from_secs(1), Arrival::Uniform, &[0], 1);
        let within = |from: u64, to: u64| due.iter().filter(|due| (from..to).contains(&due.after_us)).count();
        let (warm_up, first, second) =
            (within(0, 1_000_000), within(1_000_000, 2_000_000), within(2_000_000, 4_000_000));
        assert_eq!((warm_up, first, second, due.len()), (10, 10, 200, 220));
    }

    #[test]
    fn no_rounding_ends_a_schedule_between_two_stages() {
        // 1.1 s at 100 a second are 110.00000000000001 messages in floating point.
        let first = Stage { lasts: Duration::from_millis(1_100), per_second: 100.0 };
        let due = all(&[first, seconds(2, 1_000.0)], Duration::ZERO, Arrival::Uniform, &[0], 1);
        assert_eq!((due.len(), due[110].after_us, due[109].after_us), (2_110, 1_100_000, 1_090_000));
        for tenths in 1..60 {
            for per_second in [3.0, 7.0, 70.0, 110.0, 333.0] {
                let stage = Stage { lasts: Duration::from_millis(100 * tenths), per_second };
                let due = all(&[stage, seconds(1, 50.0)], Duration::ZERO, Arrival::Uniform, &[0], 1);
                let after = due.iter().filter(|due| due.after_us >= 100_000 * tenths).count();
                assert!((49..=50).contains(&after), "{tenths} {per_second}: {after}");
            }
        }
    }

    #[test]
    fn poisson_messages_keep_the_rate_in_the_mean_whatever_the_shares() {
        let shares = [&[0_u32][..], &[1, 2, 3]];
        let counts =
            shares.map(|own| all(&[seconds(100, 400.0)], Duration::ZERO, Arrival::Poisson, own, 4).len());
        assert!((9_500..10_500).contains(&counts[0]), "{counts:?}");
        assert!((29_000..31_000).contains(&counts[1]), "{counts:?}");
        let one = all(&[seconds(100, 400.0)], Duration::ZERO, Arrival::Poisson, &[0], 1);
        let long = one.windows(2).filter(|pair| pair[1].after_us - pair[0].after_us > 2_500).count();
        // The share of exponential distances above their mean is 1/e.
        assert!((13_700..15_800).contains(&long), "{long} of {}", one.len());
    }

    #[test]
    fn a_thread_without_publishers_has_nothing_to_do() {
        assert!(all(&[seconds(1, 10.0)], Duration::ZERO, Arrival::Uniform, &[], 3).is_empty());
    }
}
