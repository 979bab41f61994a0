//! The deliveries of one publisher's messages to one receiver: a subscriber, or the group of a Shared Subscription. Exact
//! and bounded: memory grows with gaps and not with messages, and with too many gaps the oldest are closed.

use std::ops::RangeInclusive;

use rangemap::RangeInclusiveSet;
use serde::{Deserialize, Serialize};

/// Gaps kept of one publisher and receiver. Whether a message in an older gap came before is unknown.
const GAPS_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first copy, in order.
    First,
    /// The first copy, after a later message.
    Overtaken,
    /// One more copy.
    Duplicate,
    /// Too old to know whether it is a copy.
    TooOld,
}

/// One or more neighbouring gaps that were closed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Closed {
    range: RangeInclusive<u64>,
    /// Numbers in the range that have not come: all of them, unless several gaps were put together.
    missing: u64,
}

/// Numbers that have not come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing {
    /// Those that are known one by one.
    pub(crate) known: RangeInclusiveSet<u64>,
    /// How many more, among gaps that were put together.
    pub(crate) others: u64,
}

/// The deliveries of one publisher's messages to one receiver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    /// The number after the largest that came.
    next: u64,
    /// Numbers below `next` that have not come.
    #[serde(with = "crate::process::ranges")]
    gaps: RangeInclusiveSet<u64>,
    /// Gaps below this were closed, and are in `closed`.
    floor: u64,
    closed: Vec<Closed>,
    /// First copies of messages that count.
    pub(crate) delivered: u64,
    /// Further copies of messages that count.
    pub(crate) duplicated: u64,
    /// First copies of messages that count and were overtaken.
    pub(crate) reordered: u64,
}

impl Deliveries {
    /// The message `sequence` came; `counts` when it is not of the warm-up.
    #[inline]
    pub(crate) fn deliver(&mut self, sequence: u64, counts: bool) -> Kind {
        if sequence == self.next {
            self.next += 1;
            self.delivered += u64::from(counts);
            return Kind::First;
        }
        self.deliver_out_of_order(sequence, counts)
    }

    fn deliver_out_of_order(&mut self, sequence: u64, counts: bool) -> Kind {
        if sequence > self.next {
            self.gaps.insert(self.next..=sequence - 1);
            self.next = sequence + 1;
            self.delivered += u64::from(counts);
            self.close_the_oldest();
            return Kind::First;
        }
        if sequence < self.floor {
            return Kind::TooOld;
        }
        if self.gaps.contains(&sequence) {
            self.gaps.remove(sequence..=sequence);
            self.delivered += u64::from(counts);
            self.reordered += u64::from(counts);
            return Kind::Overtaken;
        }
        self.duplicated += u64::from(counts);
        Kind::Duplicate
    }

    fn close_the_oldest(&mut self) {
        if self.gaps.len() <= GAPS_MAX {
            return;
        }
        if let Some(oldest) = self.gaps.first().cloned() {
            self.floor = oldest.end() + 1;
            self.gaps.remove(oldest.clone());
            // Beyond so many, neighbours are put together, so that a broker that loses every second message for hours
            // costs a number and not a list.
            let is_full = self.closed.len() >= GAPS_MAX;
            let missing = oldest.end() - oldest.start() + 1;
            match self.closed.last_mut() {
                Some(last) if is_full => {
                    last.range = *last.range.start()..=*oldest.end();
                    last.missing += missing;
                }
                _ => self.closed.push(Closed { range: oldest, missing }),
            }
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The numbers from `from` up to and without `to` that have not come.
    pub(crate) fn missing(&self, from: u64, to: u64) -> Missing {
        let mut missing = Missing::default();
        if from >= to {
            return missing;
        }
        let clip = |range: &RangeInclusive<u64>| (*range.start()).max(from)..=(*range.end()).min(to - 1);
        let length = |range: &RangeInclusive<u64>| (range.end() + 1).saturating_sub(*range.start());
        let (whole, put_together): (Vec<&Closed>, Vec<&Closed>) =
            self.closed.iter().partition(|closed| length(&closed.range) == closed.missing);
        let tail = self.next..=to - 1;
        let known = whole.iter().map(|closed| &closed.range).chain(self.gaps.iter()).chain([&tail]);
        for range in known.map(clip).filter(|range| range.start() <= range.end()) {
            missing.known.insert(range);
        }
        let others = put_together.iter().map(|closed| closed.missing.min(length(&clip(&closed.range))));
        missing.others = others.sum();
        missing
    }
}

/// How many numbers are in `set`.
pub(crate) fn length(set: &RangeInclusiveSet<u64>) -> u64 {
    set.iter().map(|range| range.end() - range.start() + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::{Deliveries, GAPS_MAX, Kind, length};

    #[test]
    fn each_copy_is_recognised() {
        let mut deliveries = Deliveries::default();
        let seen = [0, 1, 4, 2, 4, 2, 5, 3].map(|sequence| deliveries.deliver(sequence, true));
        let expected = [
            Kind::First,
            Kind::First,
            Kind::First,
            Kind::Overtaken,
            Kind::Duplicate,
            Kind::Duplicate,
            Kind::First,
            Kind::Overtaken,
        ];
        assert_eq!(seen, expected);
        assert_eq!((deliveries.delivered, deliveries.duplicated, deliveries.reordered), (6, 2, 2));
        assert_eq!(length(&deliveries.missing(0, 6).known), 0);
    }

    #[test]
    fn what_has_not_come_is_known_in_the_middle_and_at_the_end() {
        let mut deliveries = Deliveries::default();
        for sequence in [1, 2, 5] {
            deliveries.deliver(sequence, true);
        }
        let missing = |from, to| deliveries.missing(from, to).known.into_iter().collect::<Vec<_>>();
        assert_eq!(missing(0, 8), [0..=0, 3..=4, 6..=7]);
        assert_eq!(missing(4, 7), [4..=4, 6..=6], "only of the numbers that are asked for");
        assert!(missing(3, 3).is_empty() && missing(5, 6).is_empty());
    }

    #[test]
    fn messages_of_the_warm_up_are_followed_but_not_counted() {
        let mut deliveries = Deliveries::default();
        for (sequence, counts) in [(0, false), (0, false), (2, false), (1, false), (3, true)] {
            deliveries.deliver(sequence, counts);
        }
        assert_eq!((deliveries.delivered, deliveries.duplicated, deliveries.reordered), (1, 0, 0));
        assert_eq!(length(&deliveries.missing(3, 4).known), 0);
    }

    #[test]
    fn with_too_many_gaps_the_oldest_are_closed_and_still_missing() {
        let mut deliveries = Deliveries::default();
        let every_second = |number: usize| 2 * number as u64 + 1;
        for number in 0..GAPS_MAX + 10 {
            deliveries.deliver(every_second(number), true);
        }
        assert_eq!(deliveries.deliver(0, true), Kind::TooOld);
        assert_eq!(deliveries.deliver(18, true), Kind::TooOld);
        assert_eq!(deliveries.deliver(20, true), Kind::Overtaken);
        let sent = every_second(GAPS_MAX + 9) + 1;
        assert_eq!(length(&deliveries.missing(0, sent).known), GAPS_MAX as u64 + 9);
    }

    #[test]
    fn with_any_number_of_gaps_no_number_that_came_is_missing() {
        let mut deliveries = Deliveries::default();
        let came = 3 * GAPS_MAX as u64;
        for number in 0..came {
            deliveries.deliver(2 * number + 1, true);
        }
        let missing = deliveries.missing(0, 2 * came);
        assert_eq!((length(&missing.known) + missing.others, deliveries.delivered), (came, came));
        assert!(missing.others > 0, "some were put together");
        let tail = deliveries.missing(2 * came - 10, 2 * came);
        assert_eq!((length(&tail.known), tail.others), (5, 0));
    }
}
