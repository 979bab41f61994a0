//! Where a shard is in the merged record: its instants on the common clock, and its numbers after those of the shards before.

use crate::attempt::Attempt;
use crate::run::BrokerLogLine;

use super::Shard;

const SECOND_US: u64 = 1_000_000;

/// The place of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of the shard, from 1.
    pub number: u64,
    /// From the start of the first shard to its own.
    pub offset_us: u64,
    /// Attempts of the shards before it.
    pub first_attempt: u64,
    /// Pairs of bystanders of the shards before it.
    pub first_pair: u64,
}

impl Place {
    /// The places of these shards.
    #[must_use]
    pub fn of_each(shards: &[Shard]) -> Vec<Self> {
        let first_us = shards.iter().map(|shard| shard.started_us).min().unwrap_or(0);
        let mut next = Self::default();
        let place = |shard: &Shard| {
            next.number += 1;
            next.offset_us = shard.started_us.abs_diff(first_us);
            let place = next;
            next.first_attempt += shard.record.attempts.planned;
            next.first_pair += shard.record.bystanders.as_ref().map_or(0, |bystanders| bystanders.pairs);
            place
        };
        shards.iter().map(place).collect()
    }

    /// The shard's name in messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("shard {}", self.number)
    }

    /// An instant of the shard on the common clock.
    #[must_use]
    pub fn us(&self, at_us: u64) -> u64 {
        at_us.saturating_add(self.offset_us)
    }

    /// A second of the shard's files on the common clock, to the nearest.
    #[must_use]
    pub fn second(&self, second: u64) -> u64 {
        second.saturating_add(self.offset_us.saturating_add(SECOND_US / 2) / SECOND_US)
    }

    /// The number of an attempt in the merged record.
    #[must_use]
    pub fn attempt_number(&self, attempt: u64) -> u64 {
        attempt.saturating_add(self.first_attempt)
    }

    /// The attempt as it is in the merged record.
    #[must_use]
    pub fn attempt(&self, mut attempt: Attempt) -> Attempt {
        attempt.attempt = self.attempt_number(attempt.attempt);
        attempt.shard = Some(self.number);
        let instants = [&mut attempt.due_us, &mut attempt.started_us].into_iter();
        let optional = [
            &mut attempt.established_us,
            &mut attempt.handshaken_us,
            &mut attempt.connack_us,
            &mut attempt.provoked_us,
        ];
        let reactions = attempt.reactions.iter_mut().map(|reaction| &mut reaction.at_us);
        let wills = attempt
            .will
            .iter_mut()
            .flat_map(|will| will.seen_at_us.iter_mut().chain(&mut will.seen_before_us));
        for at_us in instants.chain(optional.into_iter().flatten()).chain(reactions).chain(wills) {
            *at_us = self.us(*at_us);
        }
        attempt
    }

    /// The line of the broker's log as it is in the merged record.
    #[must_use]
    pub fn log_line(&self, mut line: BrokerLogLine) -> BrokerLogLine {
        line.at_us = self.us(line.at_us);
        line.attempts.iter_mut().for_each(|attempt| *attempt = self.attempt_number(*attempt));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Place;
    use crate::attempt::{Attempt, Case, WillSeen};
    use crate::phase::Phase;
    use crate::reaction::{Reaction, ReactionKind};
    use crate::run::BrokerLogLine;

    const PLACE: Place = Place { number: 2, offset_us: 1_500_000, first_attempt: 100, first_pair: 5 };

    #[test]
    fn every_instant_of_an_attempt_is_moved_and_no_duration() {
        let fin =
            Reaction { kind: ReactionKind::Closed, code: None, at_us: 7, detail: None, connection: None };
        let will = WillSeen {
            seen_at_us: vec![8],
            of_first_connect: vec![true],
            seen_before_us: vec![9],
            waited_us: 10,
            ..WillSeen::default()
        };
        let attempt = Attempt {
            established_us: Some(3),
            handshaken_us: Some(4),
            connack_us: Some(5),
            provoked_us: Some(6),
            reactions: vec![fin],
            will: Some(will),
            milestones: [("back".to_owned(), 11)].into(),
            ..Attempt::begun(3, Case::default(), "c".to_owned(), Phase::Fault, 1, 2)
        };
        let moved = PLACE.attempt(attempt.clone());
        let by = |us: u64| us + 1_500_000;
        assert_eq!((moved.attempt, moved.shard), (103, Some(2)));
        assert_eq!((moved.due_us, moved.started_us, moved.reactions[0].at_us), (by(1), by(2), by(7)));
        assert_eq!((moved.established_us, moved.handshaken_us), (Some(by(3)), Some(by(4))));
        assert_eq!((moved.connack_us, moved.provoked_us), (Some(by(5)), Some(by(6))));
        let will = moved.will.as_ref().unwrap();
        assert_eq!((will.seen_at_us[0], will.seen_before_us[0], will.waited_us), (by(8), by(9), 10));
        assert_eq!(moved.milestones, attempt.milestones);
        assert_eq!(moved.connack_time_us(), attempt.connack_time_us());
    }

    #[test]
    fn seconds_are_aligned_to_the_nearest() {
        let at = |offset_us| Place { offset_us, ..PLACE }.second(10);
        assert_eq!([0, 499_999, 500_000, 1_499_999].map(at), [10, 10, 11, 11]);
    }

    #[test]
    fn a_line_of_the_log_names_the_attempts_by_their_new_numbers() {
        let line = BrokerLogLine { at_us: 1, line: "l".to_owned(), attempts: vec![0, 4], cause: None };
        let moved = PLACE.log_line(line);
        assert_eq!((moved.at_us, moved.attempts), (1_500_001, vec![100, 104]));
    }
}
