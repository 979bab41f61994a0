//! The ledger of one publisher: what became of every Application Message it was to send. Exact, and bounded:
//! sequence numbers are kept as ranges, so memory grows with gaps and not with messages.

use std::collections::BTreeMap;
use std::ops::{AddAssign, RangeInclusive};

use rangemap::RangeInclusiveSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of the messages of one phase. The identities that always hold are
/// `offered = sent + dropped + waiting` and, for QoS 1 and 2, `sent = acknowledged + refused + unacknowledged`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerCounts {
    /// Fell due.
    pub offered: u64,
    /// Handed to the client library's connection.
    pub sent: u64,
    /// Never sent, because the queue of waiting messages was full.
    pub dropped: u64,
    /// Fell due and had not been sent when the run ended.
    pub waiting: u64,
    /// Acknowledged by the broker without an error (QoS 1 and 2).
    pub acknowledged: u64,
    /// Refused by the broker, by Reason Code.
    pub refused: BTreeMap<u8, u64>,
    /// Delivered to the subscriber at least once.
    pub delivered: u64,
    /// Lost for certain: acknowledged and never delivered (QoS 1 and 2), or sent and never delivered (QoS 0).
    pub lost: u64,
    /// Sent and not delivered, and nobody can tell whose loss it is: the publisher's connection was lost before
    /// an acknowledgement (QoS 1 and 2), or the subscriber, which has no session, was away.
    pub unknown: u64,
    /// Deliveries beyond the first.
    pub duplicated: u64,
    /// Deliveries of a message after a later one of the same publisher and topic.
    pub reordered: u64,
}

impl AddAssign<&Self> for LedgerCounts {
    fn add_assign(&mut self, other: &Self) {
        self.offered += other.offered;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.waiting += other.waiting;
        self.acknowledged += other.acknowledged;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        for (code, count) in &other.refused {
            *self.refused.entry(*code).or_default() += count;
        }
    }
}

/// What became of each sequence number of one publisher. Numbers are given out from 0, in due order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledges: bool,
    offered: u64,
    sent: RangeInclusiveSet<u64>,
    dropped: RangeInclusiveSet<u64>,
    acknowledged: RangeInclusiveSet<u64>,
    refused: BTreeMap<u8, RangeInclusiveSet<u64>>,
    delivered: RangeInclusiveSet<u64>,
    duplicates: BTreeMap<u64, u64>,
    reordered: RangeInclusiveSet<u64>,
    latest_delivered: Option<u64>,
    while_away: RangeInclusiveSet<u64>,
}

impl Ledger {
    /// The ledger of a publisher; `acknowledges` for QoS 1 and 2.
    #[must_use]
    pub fn new(acknowledges: bool) -> Self {
        Self { acknowledges, ..Self::default() }
    }

    /// The next message falls due; returns its sequence number.
    pub fn offer(&mut self) -> u64 {
        self.offered += 1;
        self.offered - 1
    }

    /// How many messages have fallen due; the next sequence number.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// `sequence` was handed to the connection.
    pub fn sent(&mut self, sequence: u64) {
        self.sent.insert(sequence..=sequence);
    }

    /// `sequence` will never be sent.
    pub fn dropped(&mut self, sequence: u64) {
        self.dropped.insert(sequence..=sequence);
    }

    /// The broker acknowledged `sequence` with `code`; from 0x80 on it refused it.
    pub fn acknowledged(&mut self, sequence: u64, code: u8) {
        if code < 0x80 {
            self.acknowledged.insert(sequence..=sequence);
        } else {
            self.refused.entry(code).or_default().insert(sequence..=sequence);
        }
    }

    /// The subscriber received `sequence`. Numbers that never fell due are somebody else's and not counted;
    /// returns whether it was the first copy.
    pub fn delivered(&mut self, sequence: u64) -> bool {
        if sequence >= self.offered {
            return false;
        }
        if self.delivered.contains(&sequence) {
            *self.duplicates.entry(sequence).or_default() += 1;
            return false;
        }
        self.delivered.insert(sequence..=sequence);
        if self.latest_delivered.is_some_and(|latest| sequence < latest) {
            self.reordered.insert(sequence..=sequence);
        }
        self.latest_delivered = self.latest_delivered.max(Some(sequence));
        true
    }

    /// The subscriber was away while the numbers from `from` up to and without `to` were under way: what of
    /// them is never delivered is unknown and not lost.
    pub fn subscriber_away(&mut self, from: u64, to: u64) {
        if from < to {
            self.while_away.insert(from..=to - 1);
        }
    }

    /// How many messages were sent and are neither delivered nor refused.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let all = 0..=u64::MAX - 1;
        let refused = self.refused.values().map(|set| length(set, &all)).sum::<u64>();
        length(&self.sent, &all).saturating_sub(length(&self.delivered, &all)).saturating_sub(refused)
    }

    /// What became of the sequence numbers from `from` up to and without `to`.
    #[must_use]
    pub fn counts(&self, from: u64, to: u64) -> LedgerCounts {
        let to = to.min(self.offered);
        if from >= to {
            return LedgerCounts::default();
        }
        let range = from..=to - 1;
        let offered = to - from;
        let sent = length(&self.sent, &range);
        let dropped = length(&self.dropped, &range);
        let acknowledged = length(&self.acknowledged, &range);
        let delivered = length(&self.delivered, &range);
        let refused: BTreeMap<u8, u64> = self
            .refused
            .iter()
            .map(|(code, set)| (*code, length(set, &range)))
            .filter(|(_, count)| *count > 0)
            .collect();
        // Set by set and not by subtracting counts: each message has one fate, so phases add up to the whole.
        let mut lost = if self.acknowledges { &self.acknowledged } else { &self.sent }.clone();
        for excused in self.delivered.iter().chain(self.while_away.iter()) {
            lost.remove(excused.clone());
        }
        let mut accounted_for = self.delivered.clone();
        accounted_for.extend(self.refused.values().flat_map(RangeInclusiveSet::iter).cloned());
        accounted_for.extend(lost.iter().cloned());
        LedgerCounts {
            offered,
            sent,
            dropped,
            waiting: offered - sent - dropped,
            acknowledged,
            delivered,
            lost: length(&lost, &range),
            unknown: length_without(&self.sent, &accounted_for, &range),
            duplicated: self.duplicates.range(range.clone()).map(|(_, copies)| copies).sum(),
            reordered: length(&self.reordered, &range),
            refused,
        }
    }
}

/// How many numbers of `set` lie in `range`.
fn length(set: &RangeInclusiveSet<u64>, range: &RangeInclusive<u64>) -> u64 {
    set.overlapping(range).map(|part| overlap(part, range)).sum()
}

/// How many numbers of `set` in `range` are not in `other`.
fn length_without(
    set: &RangeInclusiveSet<u64>,
    other: &RangeInclusiveSet<u64>,
    range: &RangeInclusive<u64>,
) -> u64 {
    let common = |part: &RangeInclusive<u64>| {
        let part = *part.start().max(range.start())..=*part.end().min(range.end());
        overlap(&part, &part) - length(other, &part)
    };
    set.overlapping(range).map(common).sum()
}

fn overlap(part: &RangeInclusive<u64>, range: &RangeInclusive<u64>) -> u64 {
    part.end().min(range.end()) - part.start().max(range.start()) + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Ledger, LedgerCounts};

    #[test]
    fn every_fate_of_a_message_is_counted_once_and_in_its_own_column() {
        let mut ledger = Ledger::new(true);
        for _ in 0..10 {
            ledger.offer();
        }
        for sequence in 0..8 {
            ledger.sent(sequence);
        }
        ledger.dropped(8); // 9 is still waiting
        for sequence in [0, 1, 2, 3, 4] {
            ledger.acknowledged(sequence, 0);
        }
        ledger.acknowledged(5, 0x97);
        for sequence in [0, 2, 1, 1, 1, 6, 99] {
            ledger.delivered(sequence);
        }
        let counts = ledger.counts(0, 10);
        let expected = LedgerCounts {
            offered: 10,
            sent: 8,
            dropped: 1,
            waiting: 1,
            acknowledged: 5,
            refused: BTreeMap::from([(0x97, 1)]),
            delivered: 4,
            lost: 2,       // 3 and 4: acknowledged, never delivered
            unknown: 1,    // 7: sent, then silence; 6 came without an acknowledgement
            duplicated: 2, // 1, three times
            reordered: 1,  // 1, after 2
        };
        assert_eq!(counts, expected);
        assert_eq!(ledger.outstanding(), 3);
    }

    #[test]
    fn a_qos_0_message_that_was_sent_and_not_delivered_is_lost_and_none_is_acknowledged() {
        let mut ledger = Ledger::new(false);
        for _ in 0..3 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
        }
        ledger.delivered(1);
        let counts = ledger.counts(0, 3);
        assert_eq!((counts.acknowledged, counts.delivered, counts.lost, counts.unknown), (0, 1, 2, 0));
    }

    #[test]
    fn what_was_acknowledged_while_the_subscriber_was_away_is_unknown_and_not_lost() {
        let mut ledger = Ledger::new(true);
        for _ in 0..6 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
            ledger.acknowledged(sequence, 0);
        }
        ledger.delivered(0);
        ledger.delivered(3);
        ledger.subscriber_away(2, 5);
        let counts = ledger.counts(0, 6);
        assert_eq!(
            (counts.delivered, counts.lost, counts.unknown),
            (2, 2, 2),
            "1 and 5 lost; 2 and 4 unknown"
        );
    }

    #[test]
    fn a_ledger_with_nothing_in_it_counts_nothing() {
        assert_eq!(Ledger::new(true).counts(0, 10), LedgerCounts::default());
        assert_eq!(Ledger::new(true).counts(5, 5), LedgerCounts::default());
    }

    #[derive(Debug, Clone)]
    enum Event {
        Offer,
        Sent(u64),
        Acknowledged(u64, u8),
        Delivered(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Offer),
            2 => (0_u64..40).prop_map(Event::Sent),
            2 => ((0_u64..40), prop_oneof![Just(0_u8), Just(0x97)]).prop_map(|(n, code)| Event::Acknowledged(n, code)),
            2 => (0_u64..40).prop_map(Event::Delivered),
        ]
    }

    proptest! {
        #[test]
        fn the_counts_of_phases_add_up_to_the_counts_of_the_whole(
            events in prop::collection::vec(event(), 0..200), first in 0_u64..40, second in 0_u64..40,
        ) {
            let mut ledger = Ledger::new(true);
            for event in events {
                match event {
                    Event::Offer => { ledger.offer(); }
                    Event::Sent(n) if n < ledger.offered() => ledger.sent(n),
                    Event::Acknowledged(n, code) if n < ledger.offered() => ledger.acknowledged(n, code),
                    Event::Delivered(n) => { ledger.delivered(n); }
                    Event::Sent(_) | Event::Acknowledged(..) => {}
                }
            }
            let (low, high) = (first.min(second), first.max(second));
            let mut sum = ledger.counts(0, low);
            sum += &ledger.counts(low, high);
            sum += &ledger.counts(high, 40);
            prop_assert_eq!(sum, ledger.counts(0, 40));
        }
    }
}
