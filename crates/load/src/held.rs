//! Whether acknowledgements come only with the publisher's next message: the mark of a broker that leaves Nagle's
//! algorithm on.
//!
//! Such a broker holds a small packet back while TCP has not acknowledged the one before, which a publisher's kernel
//! does with the next message, or after 40 ms. So once one acknowledgement waits, each following one waits for the
//! message after its own: PUBACK n leaves when PUBLISH n+1 arrives, whatever the time between the two. A broker that
//! is merely as slow differs in how its times vary: they keep their distance from the message itself, and not from
//! the next one.

use serde::{Deserialize, Serialize};
use ungraceful_record::load::HeldAcknowledgements;

/// Times kept of one thread, to compare how they vary.
const KEPT_MAX: usize = 20_000;
/// Fewest acknowledgements to judge.
const OF_MIN: u64 = 20;
/// The share of all acknowledgements that must be held, as its inverse: on a connection that begins well it takes a
/// while until one waits; from then on all do.
const HELD_SHARE: u64 = 4;
/// An acknowledgement counts as held when it came within this share of its time after the next message.
const SHARE: u64 = 4;
/// On average, all that were held came within this share of their time. Where many came just within [`SHARE`], later
/// ones are missing among them, and how they vary says nothing any more.
const MEAN_SHARE: u64 = 6;
/// The share left out at either end: a generator without a processor for a while sends late and reads late in one go.
const TRIMMED: usize = 20;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    /// From sending its message until the next was sent, in µs.
    gap_us: u64,
    /// From sending the next message until it came, in µs.
    after_next_us: u64,
}

/// The acknowledgements of one thread, or of several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HeldBack {
    /// All that were seen.
    of: u64,
    held: u64,
    waited_us: u64,
    after_next_us: u64,
    kept: Vec<Held>,
}

impl HeldBack {
    /// An acknowledgement came at `at_us` for a message sent at `sent_us`; `next_sent_us` is when the next message
    /// was sent, if exactly one was.
    #[inline]
    pub(crate) fn note(&mut self, sent_us: u64, next_sent_us: Option<u64>, at_us: u64) {
        self.of += 1;
        let Some(next_us) = next_sent_us.filter(|next_us| *next_us > sent_us) else { return };
        let (waited_us, after_next_us) = (at_us.saturating_sub(sent_us), at_us.saturating_sub(next_us));
        if after_next_us * SHARE > waited_us {
            return;
        }
        self.held += 1;
        self.waited_us += waited_us;
        self.after_next_us += after_next_us;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Held { gap_us: next_us - sent_us, after_next_us });
        }
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.of += other.of;
        self.held += other.held;
        self.waited_us += other.waited_us;
        self.after_next_us += other.after_next_us;
        self.kept.extend_from_slice(&other.kept);
    }

    /// The conclusion; absent where less than a quarter of the acknowledgements waited, or where a broker that takes
    /// as long as the publisher's period looks the same.
    pub(crate) fn concluded(mut self) -> Option<HeldAcknowledgements> {
        let is_at_the_edge = self.after_next_us * MEAN_SHARE > self.waited_us;
        if self.of < OF_MIN || self.held * HELD_SHARE < self.of || is_at_the_edge {
            return None;
        }
        self.kept.sort_unstable_by_key(|held| held.gap_us);
        let trimmed = self.kept.len() / TRIMMED;
        if !follows_the_next(&self.kept[trimmed..self.kept.len() - trimmed]) {
            return None;
        }
        Some(HeldAcknowledgements {
            held: self.held,
            of: self.of,
            waited_us_mean: self.waited_us / self.held,
            after_next_us_mean: self.after_next_us / self.held,
        })
    }
}

/// Whether acknowledgements keep their distance from the next message, by the slope of that distance over the gap
/// between the two messages: 0 where they do, −1 where they keep it from their own message. It must be nearer to 0 by
/// two standard errors.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a bounded run are far below 2^53")]
fn follows_the_next(held: &[Held]) -> bool {
    let number = held.len() as f64;
    let mean = |of: fn(&Held) -> u64| held.iter().map(|held| of(held) as f64).sum::<f64>() / number;
    let (mean_gap, mean_after) = (mean(|held| held.gap_us), mean(|held| held.after_next_us));
    let (mut of_gap, mut of_after, mut of_both) = (0.0, 0.0, 0.0);
    for one in held {
        let (gap, after) = (one.gap_us as f64 - mean_gap, one.after_next_us as f64 - mean_after);
        of_gap += gap * gap;
        of_after += after * after;
        of_both += gap * after;
    }
    if of_gap <= 0.0 {
        return false;
    }
    let slope = of_both / of_gap;
    let error = ((of_after / of_gap - slope * slope).max(0.0) / number).sqrt();
    slope - 2.0 * error > -0.5
}

#[cfg(test)]
mod tests {
    use super::HeldBack;

    /// The gaps of a publisher with this period in µs, and a jitter as a machine has it.
    fn gaps(period_us: u64) -> impl Iterator<Item = u64> {
        (0..400_u64).map(move |number| period_us + number * 7_919 % 61)
    }

    /// A broker that takes `service_us`, and holds each acknowledgement until the next message if `is_held`.
    fn seen(period_us: u64, service_us: impl Fn(u64) -> u64, is_held: bool) -> HeldBack {
        let mut seen = HeldBack::default();
        let mut sent_us = 0;
        for (number, gap_us) in (0..).zip(gaps(period_us)) {
            let next_us = sent_us + gap_us;
            let at_us = if is_held { next_us } else { sent_us } + service_us(number);
            seen.note(sent_us, (next_us < at_us).then_some(next_us), at_us);
            sent_us = next_us;
        }
        seen
    }

    fn jittery(number: u64) -> u64 {
        90 + number * 104_729 % 53
    }

    #[test]
    fn held_acknowledgements_are_recognised_at_any_period() {
        for period_us in [1_000, 4_000, 10_000, 25_000, 39_000] {
            let held = seen(period_us, jittery, true).concluded().unwrap();
            assert_eq!((held.held, held.of), (400, 400), "{period_us}");
            assert!(held.waited_us_mean > period_us && held.after_next_us_mean < 150, "{held:?}");
        }
    }

    #[test]
    fn a_quick_or_slow_broker_holds_no_acknowledgements() {
        for period_us in [1_000, 10_000, 25_000] {
            assert!(seen(period_us, jittery, false).concluded().is_none(), "quick, at {period_us}");
            for service_us in
                [period_us, period_us + 70, period_us * 11 / 10, period_us * 5 / 4, period_us * 2]
            {
                let slow = |number| service_us + jittery(number);
                assert!(seen(period_us, slow, false).concluded().is_none(), "{service_us} at {period_us}");
            }
        }
    }

    #[test]
    fn times_just_within_the_share_prove_nothing() {
        let mut seen = HeldBack::default();
        for number in 0..4_000_u64 {
            // About a third longer than the period, as on a busy machine. Longer times are not counted, so what is
            // left does not keep its distance from its own message.
            let (gap_us, waited_us) = (9_700 + number * 7_919 % 601, 13_000 + number * 104_729 % 1_201);
            seen.note(0, Some(gap_us), waited_us);
        }
        assert!(seen.held * super::HELD_SHARE >= seen.of && seen.held < seen.of, "{}", seen.held);
        assert!(seen.concluded().is_none());
    }

    #[test]
    fn pauses_of_the_generator_are_no_held_acknowledgements() {
        let mut seen = HeldBack::default();
        for number in 0..400_u64 {
            // Twice in a hundred messages it sleeps for five milliseconds: what was due and what had come is seen in
            // one go.
            let slept_us = if number % 50 == 0 { 5_000 } else { 0 };
            let gap_us = 10_000 + number * 7_919 % 61 + slept_us;
            let at_us = (10_300 + jittery(number)).max(gap_us);
            seen.note(0, Some(gap_us), at_us);
        }
        assert!(seen.concluded().is_none());
    }

    #[test]
    fn few_acknowledgements_do_not_count_and_threads_are_added_up() {
        let mut few = HeldBack::default();
        for _ in 0..19 {
            few.note(0, Some(10_000), 10_100);
        }
        assert!(few.clone().concluded().is_none());
        let mut both = seen(10_000, jittery, true);
        both.add(&seen(5_000, jittery, true));
        assert_eq!(both.concluded().map(|held| (held.held, held.of)), Some((800, 800)));
    }
}
