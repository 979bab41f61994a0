//! When each operation is due: a pure schedule, computed before anything is sent and repeatable from the seed.
//!
//! A plan splits into stripes for threads; their union is the plan. A schedule has a single wave, or one for each
//! case, whose attempts are all due at one instant.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use ungraceful_record::scale::micros;

use crate::run::seed::Seed;

ungraceful_record::words! {
    /// How due times are spread.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Arrival: "arrival" {
        /// Equal distances.
        Uniform = "uniform",
        /// Exponentially distributed distances, as independent clients make them.
        Poisson = "poisson",
    }
}

/// One operation of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Number of the operation in the whole plan, from 0.
    pub index: u64,
    /// When it is due, from the start of its phase.
    pub after: Duration,
}

/// An open schedule: operations are due at a rate, whether or not earlier ones have ended.
#[derive(Clone, Debug)]
pub struct Plan {
    due_us: Vec<u64>,
}

/// One thread's share of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// Which share, from 0 to `of` - 1.
    pub number: u32,
    /// How many shares there are.
    pub of: NonZeroU32,
}

impl Stripe {
    /// All stripes of a plan split in `of`.
    pub fn all(of: NonZeroU32) -> impl Iterator<Item = Self> {
        (0..of.get()).map(move |number| Self { number, of })
    }

    /// Whether the operation with this index belongs to this stripe.
    #[must_use]
    pub fn has(&self, index: u64) -> bool {
        index % u64::from(self.of.get()) == u64::from(self.number)
    }
}

impl Plan {
    /// `count` operations at `per_second`.
    ///
    /// # Panics
    /// When `per_second` is not a positive number: callers have validated it.
    #[must_use]
    pub fn open(count: u64, per_second: f64, arrival: Arrival, seed: Seed) -> Self {
        assert!(per_second > 0.0 && per_second.is_finite(), "a rate is positive");
        let step = Duration::from_secs_f64(1.0 / per_second);
        let mut random = seed.stream("plan");
        let mut at = Duration::ZERO;
        let due_us = (0..count)
            .map(|index| {
                match arrival {
                    // From the index and not by adding up: no drift over millions of operations.
                    Arrival::Uniform => Duration::from_secs_f64(precise(index) / per_second),
                    Arrival::Poisson => {
                        let uniform: f64 = random.random();
                        at += step.mul_f64(-(1.0 - uniform).ln());
                        at
                    }
                }
            })
            .map(micros)
            .collect();
        Self { due_us }
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.due_us.len() as u64
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due_us.is_empty()
    }

    /// When the last operation is due, from the start of the phase.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.due_us.last().copied().map_or(Duration::ZERO, Duration::from_micros)
    }

    /// Every operation, in the order of its due time.
    pub fn iter(&self) -> impl Iterator<Item = Due> {
        (0..).zip(&self.due_us).map(|(index, due_us)| Due { index, after: Duration::from_micros(*due_us) })
    }

    /// The operations of one stripe, in the order of their due times.
    pub fn stripe(&self, stripe: Stripe) -> impl Iterator<Item = Due> {
        self.iter().filter(move |due| stripe.has(due.index))
    }
}

/// A plan with the case of each operation, in waves. A wave begins when the one before has ended, and its operations
/// are due from then on.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When, from the begin of the operation's wave.
    pub plan: Plan,
    case_of: Vec<u16>,
    waves: Vec<Range<u64>>,
}

impl Schedule {
    /// One wave: every case once in each round, in an order drawn from the seed, so that no case always follows the
    /// same other one. `per_case` operations of each of `cases` cases, at `per_second` in total.
    ///
    /// # Panics
    /// When `per_second` is not a positive number: callers have validated it.
    #[must_use]
    pub fn new(cases: u16, per_case: u64, per_second: f64, arrival: Arrival, seed: Seed) -> Self {
        let plan = Plan::open(per_case * u64::from(cases), per_second, arrival, seed);
        let mut random = seed.stream("cases");
        let mut round: Vec<u16> = (0..cases).collect();
        let case_of = (0..per_case)
            .flat_map(|_| {
                round.shuffle(&mut random);
                round.clone()
            })
            .collect();
        let all = 0..plan.len();
        Self { plan, case_of, waves: vec![all] }
    }

    /// A wave for each of `cases` cases, in their order: `per_case` operations that are all due at one instant.
    #[must_use]
    pub fn in_waves(cases: u16, per_case: u64) -> Self {
        let all = per_case * u64::from(cases);
        let case_of = (0..cases).flat_map(|case| (0..per_case).map(move |_| case)).collect();
        let waves = (0..u64::from(cases)).map(|wave| wave * per_case..(wave + 1) * per_case).collect();
        Self { plan: Plan { due_us: (0..all).map(|_| 0).collect() }, case_of, waves }
    }

    /// The waves in their order: the operations of each, by index.
    #[must_use]
    pub fn waves(&self) -> &[Range<u64>] {
        &self.waves
    }

    /// A stripe's part of a wave, in the order of due times.
    ///
    /// # Panics
    /// When there is no such wave.
    pub fn share(&self, wave: usize, stripe: Stripe) -> impl Iterator<Item = Due> {
        let wave = self.waves[wave].clone();
        self.plan.stripe(stripe).filter(move |due| wave.contains(&due.index))
    }

    /// The case of the operation with this index.
    ///
    /// # Panics
    /// When the plan has no such operation.
    #[must_use]
    pub fn case_of(&self, index: u64) -> usize {
        let index = usize::try_from(index).expect("an index of a plan held in memory");
        usize::from(self.case_of[index])
    }
}

/// An index as a float: exact up to 2^53, far beyond any bounded plan.
#[expect(clippy::cast_precision_loss, reason = "plans are bounded far below 2^53 operations")]
fn precise(index: u64) -> f64 {
    index as f64
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Arrival, Plan, Schedule, Stripe};
    use crate::run::seed::Seed;

    fn due_us(plan: &Plan) -> Vec<u128> {
        plan.iter().map(|due| due.after.as_micros()).collect()
    }

    #[test]
    fn uniform_operations_fall_due_at_exact_distances_without_drift() {
        assert_eq!(due_us(&Plan::open(4, 100.0, Arrival::Uniform, Seed(1))), [0, 10_000, 20_000, 30_000]);
        let long = Plan::open(3_000_001, 3.0, Arrival::Uniform, Seed(1));
        assert_eq!(long.span(), Duration::from_secs(1_000_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_does_not() {
        let plan = due_us(&Plan::open(50, 10.0, Arrival::Poisson, Seed(42)));
        assert_eq!(plan, due_us(&Plan::open(50, 10.0, Arrival::Poisson, Seed(42))));
        assert_ne!(plan, due_us(&Plan::open(50, 10.0, Arrival::Poisson, Seed(43))));
    }

    #[test]
    fn poisson_operations_keep_the_rate_in_the_mean_and_vary_in_distance() {
        let plan = Plan::open(20_000, 100.0, Arrival::Poisson, Seed(3));
        let seconds = plan.span().as_secs_f64();
        assert!((190.0..210.0).contains(&seconds), "20,000 at 100/s took {seconds} s");
        let instants = due_us(&plan);
        let long_gaps = instants.windows(2).filter(|pair| pair[1] - pair[0] > 10_000).count();
        // The share of exponential distances above their mean is 1/e.
        assert!((7_000..7_700).contains(&long_gaps), "{long_gaps} gaps above the mean");
    }

    #[test]
    fn every_case_comes_once_in_each_round() {
        let cases = |seed| {
            let schedule = Schedule::new(5, 40, 10.0, Arrival::Uniform, Seed(seed));
            assert_eq!(schedule.plan.len(), 200);
            (0..200).map(|index| schedule.case_of(index)).collect::<Vec<_>>()
        };
        for round in cases(1).chunks(5) {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert_eq!(cases(1), cases(1));
        assert_ne!(cases(1), cases(2));
    }

    #[test]
    fn each_wave_has_one_case_and_is_due_at_one_instant() {
        let schedule = Schedule::in_waves(3, 4);
        assert_eq!((schedule.plan.len(), schedule.waves()), (12, &[0..4, 4..8, 8..12][..]));
        assert_eq!(schedule.plan.span(), Duration::ZERO);
        let cases: Vec<usize> = (0..12).map(|index| schedule.case_of(index)).collect();
        assert_eq!(cases, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        let of = NonZeroU32::new(2).unwrap();
        let shares: Vec<Vec<u64>> =
            Stripe::all(of).map(|stripe| schedule.share(1, stripe).map(|due| due.index).collect()).collect();
        assert_eq!(shares, [[4, 6], [5, 7]]);
        let one = Schedule::new(3, 4, 10.0, Arrival::Uniform, Seed(1));
        assert_eq!(one.waves().to_vec(), vec![0..12], "and any other schedule is one wave");
    }

    proptest! {
        #[test]
        fn the_union_of_all_stripes_is_the_plan_and_they_do_not_overlap(count in 0_u64..200, of in 1_u32..9) {
            let plan = Plan::open(count, 50.0, Arrival::Poisson, Seed(u64::from(of)));
            let of = NonZeroU32::new(of).unwrap();
            let mut union: Vec<_> = Stripe::all(of).flat_map(|stripe| plan.stripe(stripe).collect::<Vec<_>>()).collect();
            union.sort_by_key(|due| due.index);
            prop_assert_eq!(union, plan.iter().collect::<Vec<_>>());
        }
    }
}
