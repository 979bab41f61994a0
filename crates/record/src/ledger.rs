//! The ledger of one publisher: tracks the fate of every Application Message, with evidence of irregularities. Exact and
//! bounded: sequence numbers are kept as ranges, so memory grows with gaps and not with messages, and only the first entries
//! of each kind of evidence are kept.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rangemap::{RangeInclusiveMap, RangeInclusiveSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counts;

/// Maximum number of entries of each kind of evidence, per ledger and per run.
pub const EVIDENCE_AT_MOST: usize = 100;
/// "No matching subscribers" in PUBACK and PUBREC of MQTT 5.0.
const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;

counts! {
    /// The fate of one phase's messages. Always: `offered = sent + dropped + waiting` and, for QoS 1 and 2,
    /// `sent = acknowledged + refused + unacknowledged`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    pub struct LedgerCounts {
        /// Due.
        pub offered: u64,
        /// Handed to the client library's connection.
        pub sent: u64,
        /// Never sent, because the queue of waiting messages was full.
        pub dropped: u64,
        /// Due but not sent when the run ended.
        pub waiting: u64,
        /// Acknowledged by the broker without an error (QoS 1 and 2).
        pub acknowledged: u64,
        /// Refused by the broker, by Reason Code.
        pub refused: BTreeMap<u8, u64>,
        /// Delivered to the subscriber at least once.
        pub delivered: u64,
        /// Lost: acknowledged (QoS 1 and 2) or sent (QoS 0), and not delivered by the end of the run.
        pub lost: u64,
        /// Lost messages after which nothing of the same publisher was delivered: they may be late rather than lost. The
        /// others were overtaken.
        #[serde(default)]
        pub lost_at_the_end: u64,
        /// Acknowledged with 0x10 "No matching subscribers" and never delivered, although the subscriber was connected: the
        /// broker had no matching subscriber. Not counted as lost.
        #[serde(default)]
        pub without_subscribers: u64,
        /// Sent and not delivered, without attributable loss: the publisher's connection was lost before an acknowledgement
        /// (QoS 1 and 2), or the subscriber, which has no session, was disconnected.
        pub unknown: u64,
        /// Deliveries beyond the first.
        pub duplicated: u64,
        /// Of these, those whose DUP flag was 0.
        #[serde(default)]
        pub duplicated_without_dup: u64,
        /// QoS 2 PUBLISH packets repeated with the same Packet Identifier before PUBREL: by the standard the same delivery, so
        /// not duplicated.
        #[serde(default)]
        pub repeated: u64,
        /// Messages first delivered after a later one of the same publisher and topic.
        pub reordered: u64,
    }
}

/// A kind of irregularity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IrregularityKind {
    /// QoS 1 or 2: acknowledged, and not delivered by the end of the run.
    AcknowledgedButLost,
    /// QoS 0: sent, and not delivered by the end of the run.
    LostAtQos0,
    /// Acknowledged with 0x10 "No matching subscribers", and not delivered.
    WithoutSubscribers,
    /// Refused with an error.
    Refused,
    /// Sent and not delivered, without attributable loss.
    Unknown,
    /// Delivered once more.
    Duplicated,
    /// A QoS 2 PUBLISH repeated with the same Packet Identifier before its PUBREL.
    Repeated,
    /// Delivered for the first time after a later message of the same publisher and topic.
    Reordered,
}

/// Evidence: an irregular message, or several with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Irregularity {
    /// The kind.
    pub kind: IrregularityKind,
    /// Sequence number of the message, or of the first of several.
    pub first: u64,
    /// Sequence number of the last of several; the same as the first for a single one.
    pub last: u64,
    /// The Reason Code of a refusal; absent for other kinds.
    pub code: Option<u8>,
    /// When it was delivered, in µs since the run's start; absent without delivery.
    pub at_us: Option<u64>,
    /// The DUP flag of that delivery; absent without delivery.
    pub dup: Option<bool>,
}

impl Irregularity {
    /// The number of messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// The evidence that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Irregularities {
    /// By kind, in the order of sequence numbers or deliveries.
    pub listed: Vec<Irregularity>,
    /// Unlisted messages (or copies, for duplicates), by kind.
    pub left_out: BTreeMap<IrregularityKind, u64>,
}

/// One copy of a message, as its subscriber received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// When, in µs since the run's start.
    pub at_us: u64,
    /// The DUP flag.
    pub dup: bool,
}

/// Copies of one message beyond the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Copies {
    all: u64,
    without_dup: u64,
}

/// The fate of each sequence number of one publisher. Numbers start at 0, in due order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledges: bool,
    offered: u64,
    sent: RangeInclusiveSet<u64>,
    dropped: RangeInclusiveSet<u64>,
    acknowledged: RangeInclusiveSet<u64>,
    without_subscribers: RangeInclusiveSet<u64>,
    refused: BTreeMap<u8, RangeInclusiveSet<u64>>,
    delivered: RangeInclusiveSet<u64>,
    duplicates: RangeInclusiveMap<u64, Copies>,
    repeated: RangeInclusiveMap<u64, u64>,
    reordered: RangeInclusiveSet<u64>,
    latest_delivered: Option<u64>,
    while_away: RangeInclusiveSet<u64>,
    /// Delivered, refused, or without subscribers according to the broker.
    settled: RangeInclusiveSet<u64>,
    /// How many were sent and are not settled. Cached, because it is read often.
    outstanding: u64,
    /// How many were acknowledged without an error and not delivered; kept for the same reason.
    owed: u64,
    /// How many were delivered at least once; kept for the same reason.
    delivered_count: u64,
    /// The first entries of each kind, for delivered messages.
    evidence: BTreeMap<IrregularityKind, Vec<Irregularity>>,
    evidence_from: u64,
}

/// The messages that did not arrive, by reason.
struct Missing {
    lost: RangeInclusiveSet<u64>,
    without_subscribers: RangeInclusiveSet<u64>,
    unknown: RangeInclusiveSet<u64>,
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

    /// How many messages fell due; the next sequence number.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Keeps evidence only from `sequence` on, so that a warm-up does not use up the limit.
    pub fn keep_evidence_from(&mut self, sequence: u64) {
        self.evidence_from = sequence;
        for kept in self.evidence.values_mut() {
            kept.retain(|irregularity| irregularity.first >= sequence);
        }
    }

    /// `sequence` was handed to the connection.
    pub fn sent(&mut self, sequence: u64) {
        if !self.sent.contains(&sequence) {
            self.sent.insert(sequence..=sequence);
            self.outstanding += u64::from(!self.settled.contains(&sequence));
        }
    }

    fn settle(&mut self, sequence: u64) {
        if !self.settled.contains(&sequence) {
            self.settled.insert(sequence..=sequence);
            self.outstanding -= u64::from(self.sent.contains(&sequence));
        }
    }

    /// `sequence` will never be sent.
    pub fn dropped(&mut self, sequence: u64) {
        self.dropped.insert(sequence..=sequence);
    }

    /// The broker acknowledged `sequence` with `code`; codes from 0x80 on are refusals.
    pub fn acknowledged(&mut self, sequence: u64, code: u8) {
        if code >= 0x80 {
            self.refused.entry(code).or_default().insert(sequence..=sequence);
            self.settle(sequence);
            return;
        }
        if !self.acknowledged.contains(&sequence) {
            self.acknowledged.insert(sequence..=sequence);
            self.owed += u64::from(!self.delivered.contains(&sequence));
        }
        if code == NO_MATCHING_SUBSCRIBERS {
            self.without_subscribers.insert(sequence..=sequence);
            self.settle(sequence);
        }
    }

    /// The subscriber received a copy of `sequence`; returns whether it was the first. Numbers that never fell due are foreign
    /// and not counted.
    pub fn delivered(&mut self, sequence: u64, copy: Delivered) -> bool {
        if sequence >= self.offered {
            return false;
        }
        if self.delivered.contains(&sequence) {
            let mut copies = self.duplicates.get(&sequence).copied().unwrap_or_default();
            copies.all += 1;
            copies.without_dup += u64::from(!copy.dup);
            self.duplicates.insert(sequence..=sequence, copies);
            self.keep(IrregularityKind::Duplicated, sequence, copy);
            return false;
        }
        self.delivered.insert(sequence..=sequence);
        self.delivered_count += 1;
        self.owed -= u64::from(self.acknowledged.contains(&sequence));
        self.settle(sequence);
        if self.latest_delivered.is_some_and(|latest| sequence < latest) {
            self.reordered.insert(sequence..=sequence);
            self.keep(IrregularityKind::Reordered, sequence, copy);
        }
        self.latest_delivered = self.latest_delivered.max(Some(sequence));
        true
    }

    /// The subscriber received the QoS 2 PUBLISH of `sequence` again with the same Packet Identifier before PUBREL: the same
    /// delivery, repeated.
    pub fn repeated(&mut self, sequence: u64, copy: Delivered) {
        if sequence < self.offered {
            let copies = self.repeated.get(&sequence).copied().unwrap_or_default();
            self.repeated.insert(sequence..=sequence, copies + 1);
            self.keep(IrregularityKind::Repeated, sequence, copy);
        }
    }

    fn keep(&mut self, kind: IrregularityKind, sequence: u64, copy: Delivered) {
        let kept = self.evidence.entry(kind).or_default();
        if sequence >= self.evidence_from && kept.len() < EVIDENCE_AT_MOST {
            let (at_us, dup) = (Some(copy.at_us), Some(copy.dup));
            kept.push(Irregularity { kind, first: sequence, last: sequence, code: None, at_us, dup });
        }
    }

    /// The subscriber was disconnected while the numbers in `from..to` were in flight: undelivered ones are unknown, not lost.
    pub fn subscriber_away(&mut self, from: u64, to: u64) {
        if from < to {
            self.while_away.insert(from..=to - 1);
        }
    }

    /// How many messages were sent and are neither delivered, refused, nor without subscribers.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// How many messages the broker acknowledged without an error and has not delivered.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// How many messages were delivered at least once.
    #[must_use]
    pub fn delivered_count(&self) -> u64 {
        self.delivered_count
    }

    /// How many messages from number `from` on were delivered at least once.
    #[must_use]
    pub fn delivered_from(&self, from: u64) -> u64 {
        self.range(from, self.offered).map_or(0, |range| length(&self.delivered, &range))
    }

    /// The first and the last number of the messages that were acknowledged without an error and `delivered`, or not
    /// delivered; absent when there are none.
    #[must_use]
    pub fn acknowledged_span(&self, delivered: bool) -> Option<RangeInclusive<u64>> {
        let missing = without(&self.acknowledged, &self.delivered);
        let wanted = if delivered { without(&self.acknowledged, &missing) } else { missing };
        Some(*wanted.first()?.start()..=*wanted.last()?.end())
    }

    /// Computed with sets and not counts: each message has one fate, so phases add up to the total.
    fn missing(&self) -> Missing {
        let mut excused = self.delivered.clone();
        excused.extend(self.while_away.iter().cloned());
        let without_subscribers = without(&self.without_subscribers, &excused);
        excused.extend(without_subscribers.iter().cloned());
        let lost = without(if self.acknowledges { &self.acknowledged } else { &self.sent }, &excused);
        let mut accounted_for = self.delivered.clone();
        accounted_for.extend(self.refused.values().flat_map(RangeInclusiveSet::iter).cloned());
        accounted_for.extend(lost.iter().chain(without_subscribers.iter()).cloned());
        let unknown = without(&self.sent, &accounted_for);
        Missing { lost, without_subscribers, unknown }
    }

    /// The counts of the sequence numbers in `from..to`.
    #[must_use]
    pub fn counts(&self, from: u64, to: u64) -> LedgerCounts {
        let Some(range) = self.range(from, to) else { return LedgerCounts::default() };
        let missing = self.missing();
        let offered = overlap(&range, &range);
        let sent = length(&self.sent, &range);
        let dropped = length(&self.dropped, &range);
        let lost = length(&missing.lost, &range);
        let overtaken = self.latest_delivered.map_or(0, |latest| {
            let until = *range.end().min(&latest);
            if until < *range.start() { 0 } else { length(&missing.lost, &(*range.start()..=until)) }
        });
        let duplicates = |copies: fn(&Copies) -> u64| {
            self.duplicates.overlapping(&range).map(|(part, each)| overlap(part, &range) * copies(each)).sum()
        };
        LedgerCounts {
            offered,
            sent,
            dropped,
            waiting: offered - sent - dropped,
            acknowledged: length(&self.acknowledged, &range),
            refused: self
                .refused
                .iter()
                .map(|(code, set)| (*code, length(set, &range)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            delivered: length(&self.delivered, &range),
            lost,
            lost_at_the_end: lost - overtaken,
            without_subscribers: length(&missing.without_subscribers, &range),
            unknown: length(&missing.unknown, &range),
            duplicated: duplicates(|copies| copies.all),
            duplicated_without_dup: duplicates(|copies| copies.without_dup),
            repeated: self
                .repeated
                .overlapping(&range)
                .map(|(part, each)| overlap(part, &range) * each)
                .sum(),
            reordered: length(&self.reordered, &range),
        }
    }

    /// The irregular sequence numbers in `from..to`: at most [`EVIDENCE_AT_MOST`] entries of each kind.
    #[must_use]
    pub fn irregularities(&self, from: u64, to: u64) -> Irregularities {
        use IrregularityKind as Kind;
        let mut evidence = Irregularities::default();
        let Some(range) = self.range(from, to) else { return evidence };
        let missing = self.missing();
        let lost = if self.acknowledges { Kind::AcknowledgedButLost } else { Kind::LostAtQos0 };
        let refused: Vec<_> = self.refused.iter().map(|(code, set)| (Some(*code), set)).collect();
        evidence.ranges(lost, &[(None, &missing.lost)], &range);
        evidence.ranges(Kind::WithoutSubscribers, &[(None, &missing.without_subscribers)], &range);
        evidence.ranges(Kind::Refused, &refused, &range);
        evidence.ranges(Kind::Unknown, &[(None, &missing.unknown)], &range);
        let counts = self.counts(from, to);
        for (kind, count) in [
            (Kind::Duplicated, counts.duplicated),
            (Kind::Repeated, counts.repeated),
            (Kind::Reordered, counts.reordered),
        ] {
            let kept = self.evidence.get(&kind).into_iter().flatten();
            let kept: Vec<_> = kept.filter(|kept| range.contains(&kept.first)).cloned().collect();
            evidence.leave_out(kind, count.saturating_sub(kept.len() as u64));
            evidence.listed.extend(kept);
        }
        evidence
    }

    /// The numbers in `from..to` that fell due.
    fn range(&self, from: u64, to: u64) -> Option<RangeInclusive<u64>> {
        let to = to.min(self.offered);
        (from < to).then(|| from..=to - 1)
    }
}

impl Irregularities {
    fn ranges(
        &mut self,
        kind: IrregularityKind,
        sets: &[(Option<u8>, &RangeInclusiveSet<u64>)],
        range: &RangeInclusive<u64>,
    ) {
        let parts = sets.iter().flat_map(|(code, set)| {
            set.overlapping(range).map(|part| {
                let (first, last) = (*part.start().max(range.start()), *part.end().min(range.end()));
                Irregularity { kind, first, last, code: *code, at_us: None, dup: None }
            })
        });
        for (index, part) in parts.enumerate() {
            if index < EVIDENCE_AT_MOST {
                self.listed.push(part);
            } else {
                self.leave_out(kind, part.messages());
            }
        }
    }

    fn leave_out(&mut self, kind: IrregularityKind, count: u64) {
        if count > 0 {
            *self.left_out.entry(kind).or_default() += count;
        }
    }
}

/// `set` without `other`.
fn without(set: &RangeInclusiveSet<u64>, other: &RangeInclusiveSet<u64>) -> RangeInclusiveSet<u64> {
    let mut rest = set.clone();
    for part in other.iter() {
        rest.remove(part.clone());
    }
    rest
}

/// How many numbers of `set` are in `range`.
fn length(set: &RangeInclusiveSet<u64>, range: &RangeInclusive<u64>) -> u64 {
    set.overlapping(range).map(|part| overlap(part, range)).sum()
}

fn overlap(part: &RangeInclusive<u64>, range: &RangeInclusive<u64>) -> u64 {
    part.end().min(range.end()) - part.start().max(range.start()) + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{
        Delivered, EVIDENCE_AT_MOST, Irregularity, IrregularityKind as Kind, Ledger, LedgerCounts, length,
        without,
    };

    fn at(at_us: u64) -> Delivered {
        Delivered { at_us, dup: false }
    }

    /// A ledger of `messages` messages that were sent and acknowledged with 0.
    fn acknowledged(messages: u64) -> Ledger {
        let mut ledger = Ledger::new(true);
        for _ in 0..messages {
            let sequence = ledger.offer();
            ledger.sent(sequence);
            ledger.acknowledged(sequence, 0);
        }
        ledger
    }

    /// Kind, first and last of the listed entries.
    fn listed(ledger: &Ledger, from: u64, to: u64) -> Vec<(Kind, u64, u64)> {
        let listed = ledger.irregularities(from, to).listed;
        listed.iter().map(|evidence| (evidence.kind, evidence.first, evidence.last)).collect()
    }

    #[test]
    fn every_fate_of_a_message_is_counted_once() {
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
        for sequence in [0, 2, 1, 1, 6, 99] {
            ledger.delivered(sequence, at(0));
        }
        ledger.delivered(1, Delivered { at_us: 0, dup: true });
        ledger.repeated(2, at(0));
        ledger.repeated(99, at(0));
        let counts = ledger.counts(0, 10);
        let expected = LedgerCounts {
            offered: 10,
            sent: 8,
            dropped: 1,
            waiting: 1,
            acknowledged: 5,
            refused: BTreeMap::from([(0x97, 1)]),
            delivered: 4,
            lost: 2, // 3 and 4: acknowledged, never delivered
            lost_at_the_end: 0,
            without_subscribers: 0,
            unknown: 1,    // 7: sent, then silence; 6 came without an acknowledgement
            duplicated: 2, // 1, three times
            duplicated_without_dup: 1,
            repeated: 1,
            reordered: 1, // 1, after 2
        };
        assert_eq!(counts, expected);
        assert_eq!(ledger.outstanding(), 3);
    }

    #[test]
    fn a_refused_but_delivered_message_hides_no_outstanding_one() {
        let mut ledger = Ledger::new(true);
        for _ in 0..2 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
        }
        ledger.acknowledged(0, 0x97);
        ledger.delivered(0, at(0));
        assert_eq!(ledger.outstanding(), 1);
    }

    #[test]
    fn an_undelivered_qos_0_message_is_lost_without_acknowledgement() {
        let mut ledger = Ledger::new(false);
        for _ in 0..3 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
        }
        ledger.delivered(1, at(0));
        let counts = ledger.counts(0, 3);
        assert_eq!((counts.acknowledged, counts.delivered, counts.lost, counts.unknown), (0, 1, 2, 0));
    }

    #[test]
    fn messages_of_an_absent_subscriber_are_unknown_and_not_lost() {
        let mut ledger = Ledger::new(true);
        for _ in 0..6 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
            ledger.acknowledged(sequence, 0);
        }
        ledger.delivered(0, at(0));
        ledger.delivered(3, at(0));
        ledger.subscriber_away(2, 5);
        let counts = ledger.counts(0, 6);
        assert_eq!(
            (counts.delivered, counts.lost, counts.unknown),
            (2, 2, 2),
            "1 and 5 lost; 2 and 4 unknown"
        );
    }

    #[test]
    fn losses_at_the_end_are_distinguished_from_overtaken_ones() {
        let mut ledger = acknowledged(10);
        for sequence in [0, 1, 4, 6] {
            ledger.delivered(sequence, at(0));
        }
        let lost = |from, to| {
            let counts = ledger.counts(from, to);
            (counts.lost, counts.lost_at_the_end)
        };
        assert_eq!(lost(0, 10), (6, 3), "2, 3 and 5 were overtaken by 4 and 6; 7 to 9 by nothing");
        assert_eq!((lost(0, 4), lost(4, 8), lost(8, 10)), ((2, 0), (2, 1), (2, 2)));
        assert_eq!(acknowledged(3).counts(0, 3).lost_at_the_end, 3, "nothing came at all");
    }

    #[test]
    fn messages_without_subscribers_are_neither_lost_nor_unknown() {
        let mut ledger = acknowledged(1);
        for _ in 0..3 {
            let sequence = ledger.offer();
            ledger.sent(sequence);
            ledger.acknowledged(sequence, 0x10);
        }
        ledger.delivered(0, at(0));
        ledger.delivered(2, at(0));
        ledger.subscriber_away(3, 4);
        let counts = ledger.counts(0, 4);
        assert_eq!((counts.acknowledged, counts.without_subscribers), (4, 1));
        assert_eq!((counts.lost, counts.unknown), (0, 1), "3 while the subscriber was disconnected");
        assert_eq!(ledger.outstanding(), 0);
        assert_eq!(listed(&ledger, 0, 4), [(Kind::WithoutSubscribers, 1, 1), (Kind::Unknown, 3, 3)]);
    }

    #[test]
    fn evidence_has_losses_as_ranges_and_copies_with_time_and_dup() {
        let mut ledger = acknowledged(12);
        for (sequence, at_us) in [(0, 5), (3, 6), (2, 7), (11, 8)] {
            ledger.delivered(sequence, at(at_us));
        }
        ledger.delivered(3, Delivered { at_us: 9, dup: true });
        let expected = [
            (Kind::AcknowledgedButLost, 1, 1),
            (Kind::AcknowledgedButLost, 4, 10),
            (Kind::Duplicated, 3, 3),
            (Kind::Reordered, 2, 2),
        ];
        assert_eq!(listed(&ledger, 0, 12), expected);
        let [.., duplicated, reordered] = &ledger.irregularities(0, 12).listed[..] else { unreachable!() };
        assert_eq!((duplicated.at_us, duplicated.dup), (Some(9), Some(true)));
        assert_eq!((reordered.at_us, reordered.dup), (Some(7), Some(false)));
        // A range is cut where a phase ends.
        assert_eq!(listed(&ledger, 0, 6)[1], (Kind::AcknowledgedButLost, 4, 5));
        assert_eq!(listed(&ledger, 6, 12), [(Kind::AcknowledgedButLost, 6, 10)]);
    }

    #[test]
    fn evidence_is_bounded_and_the_rest_is_counted() {
        let mut ledger = acknowledged(1_000);
        for sequence in (0..1_000).step_by(2) {
            ledger.delivered(sequence, at(0));
            for _ in 0..3 {
                ledger.delivered(sequence, at(0));
            }
        }
        let evidence = ledger.irregularities(0, 1_000);
        assert_eq!(evidence.listed.len(), 2 * EVIDENCE_AT_MOST);
        assert_eq!(evidence.left_out[&Kind::AcknowledgedButLost], 400);
        assert_eq!(evidence.left_out[&Kind::Duplicated], 1_400);
    }

    #[test]
    fn a_warm_up_takes_no_room_from_the_evidence() {
        let mut ledger = acknowledged(300);
        for sequence in 0..200 {
            ledger.delivered(sequence, at(0));
            ledger.delivered(sequence, at(1));
        }
        ledger.keep_evidence_from(150);
        ledger.delivered(10, at(2));
        ledger.delivered(160, at(3));
        assert_eq!(listed(&ledger, 150, 200), [(Kind::Duplicated, 160, 160)]);
        assert_eq!(ledger.irregularities(150, 200).left_out[&Kind::Duplicated], 50);
    }

    #[test]
    fn duplicates_of_everything_take_no_more_memory() {
        let mut ledger = acknowledged(10_000);
        for sequence in 0..10_000 {
            ledger.delivered(sequence, at(0));
            ledger.delivered(sequence, at(0));
        }
        assert_eq!(ledger.duplicates.len(), 1);
        assert_eq!(ledger.counts(0, 10_000).duplicated, 10_000);
    }

    #[test]
    fn an_empty_ledger_counts_nothing() {
        assert_eq!(Ledger::new(true).counts(0, 10), LedgerCounts::default());
        assert_eq!(Ledger::new(true).counts(5, 5), LedgerCounts::default());
    }

    #[derive(Debug, Clone)]
    enum Event {
        Offer,
        Sent(u64),
        Acknowledged(u64, u8),
        Delivered(u64),
        Repeated(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Offer),
            2 => (0_u64..40).prop_map(Event::Sent),
            2 => ((0_u64..40), prop_oneof![Just(0_u8), Just(0x10), Just(0x97)]).prop_map(|(n, code)| Event::Acknowledged(n, code)),
            2 => (0_u64..40).prop_map(Event::Delivered),
            1 => (0_u64..40).prop_map(Event::Repeated),
        ]
    }

    proptest! {
        #[test]
        fn the_counts_of_phases_add_up_to_the_total(
            events in prop::collection::vec(event(), 0..200), first in 0_u64..40, second in 0_u64..40,
        ) {
            let mut ledger = Ledger::new(true);
            for event in events {
                match event {
                    Event::Offer => { ledger.offer(); }
                    Event::Sent(n) if n < ledger.offered() => ledger.sent(n),
                    Event::Acknowledged(n, code) if n < ledger.offered() => ledger.acknowledged(n, code),
                    Event::Delivered(n) => { ledger.delivered(n, at(0)); }
                    Event::Repeated(n) => ledger.repeated(n, at(0)),
                    Event::Sent(_) | Event::Acknowledged(..) => {}
                }
            }
            let (low, high) = (first.min(second), first.max(second));
            let mut sum = ledger.counts(0, low);
            sum += &ledger.counts(low, high);
            sum += &ledger.counts(high, 40);
            prop_assert_eq!(&sum, &ledger.counts(0, 40));
            prop_assert_eq!(ledger.outstanding(), length(&without(&ledger.sent, &ledger.settled), &(0..=40)));
            prop_assert_eq!(ledger.owed(), length(&without(&ledger.acknowledged, &ledger.delivered), &(0..=40)));
            prop_assert_eq!(ledger.delivered_count(), sum.delivered);
            prop_assert_eq!(ledger.delivered_from(low), sum.delivered - ledger.counts(0, low).delivered);
            // Evidence covers exactly the counted messages.
            for (kind, count) in [
                (Kind::AcknowledgedButLost, sum.lost),
                (Kind::WithoutSubscribers, sum.without_subscribers),
                (Kind::Refused, sum.refused.values().sum()),
                (Kind::Unknown, sum.unknown),
                (Kind::Duplicated, sum.duplicated),
                (Kind::Repeated, sum.repeated),
                (Kind::Reordered, sum.reordered),
            ] {
                let evidence = ledger.irregularities(0, 40);
                let listed = evidence.listed.iter().filter(|listed| listed.kind == kind);
                let covered = listed.map(Irregularity::messages).sum::<u64>()
                    + evidence.left_out.get(&kind).copied().unwrap_or(0);
                prop_assert_eq!((kind, covered), (kind, count));
            }
        }
    }
}
