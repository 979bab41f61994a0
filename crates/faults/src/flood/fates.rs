//! What became of every Application Message of one attempt. The one place that knows the rig's ledger.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use ungraceful_mqtt::{Publish, QoS};
use ungraceful_record::fact::Measure;
use ungraceful_record::ledger::{Delivered, Ledger, LedgerCounts};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::measure::clock::RunClock;

use crate::ending::Untold;
use crate::numbered;

/// The measure of how many messages of QoS 2 were delivered at least once, in attempts in which no connection ended.
pub(super) const DELIVERED_QOS2: Measure = Measure::new("qos2_delivered");
/// The measure of how many copies of them came beyond the first, in exchanges of their own.
pub(super) const DUPLICATED_QOS2: Measure = Measure::new("qos2_delivered_again");

/// What became of the messages that one attempt published at one QoS on one topic.
#[derive(Debug)]
pub(super) struct Fates {
    attempt: u64,
    qos: QoS,
    clock: RunClock,
    ledger: Ledger,
}

ungraceful_record::words! {
    /// Which of the messages that the broker had taken are missing.
    pub enum LostEnd: "end" {
        /// None is.
        None = "none",
        /// All are.
        All = "all",
        /// The first ones, and all before any that was delivered.
        Oldest = "oldest",
        /// The last ones, and all after any that was delivered.
        Newest = "newest",
        /// Neither: some in between.
        Scattered = "scattered",
    }
}

/// The fates that an attempt's subscriber and publisher share.
pub(super) type SharedFates = Rc<RefCell<Fates>>;

/// Carries out `work`, for `longest` at the most; absent when the run was stopped before it was done.
///
/// # Errors
/// How far the attempt came that was given up, because it took longer.
pub(super) async fn within<T>(
    stage: &Stage,
    longest: Duration,
    fates: &SharedFates,
    work: impl Future<Output = T>,
) -> Result<Option<T>, Untold> {
    match stage.unless_stopped(timeout(longest, work)).await {
        Some(Ok(done)) => Ok(Some(done)),
        Some(Err(_elapsed)) => Err(fates.borrow().unfinished(longest).into()),
        None => Ok(None),
    }
}

impl Fates {
    /// Of the attempt that `log` tells of.
    pub(super) fn of(stage: &Stage, log: &AttemptLog<'_>, qos: QoS) -> SharedFates {
        Self::new(numbered::key(&stage.topic_root, log.number()), qos, stage.clock).shared()
    }

    /// To be shared.
    pub(super) fn shared(self) -> SharedFates {
        Rc::new(RefCell::new(self))
    }

    /// Of attempt `attempt`, which publishes at `qos`.
    pub(super) fn new(attempt: u64, qos: QoS, clock: RunClock) -> Self {
        Self { attempt, qos, clock, ledger: Ledger::new(qos != QoS::AtMostOnce) }
    }

    /// The attempt whose messages these are.
    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The QoS at which they are published.
    pub(super) fn qos(&self) -> QoS {
        self.qos
    }

    /// The clock that tells when they came.
    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    /// The next message is handed to the connection; returns its number.
    pub(super) fn send(&mut self) -> u64 {
        let sequence = self.offer();
        self.sent(sequence);
        sequence
    }

    /// The next message falls due; returns its number. It may be delivered from now on.
    pub(super) fn offer(&mut self) -> u64 {
        self.ledger.offer()
    }

    /// Message `sequence` was handed to the connection.
    pub(super) fn sent(&mut self, sequence: u64) {
        self.ledger.sent(sequence);
    }

    /// The broker took message `sequence` with `code`, or refused it from 0x80 on.
    pub(super) fn acknowledged(&mut self, sequence: u64, code: u8) {
        self.ledger.acknowledged(sequence, code);
    }

    /// A PUBLISH came, at `at`; a copy `of_one_delivery` of QoS 2 when its Packet Identifier had come before and was not
    /// released since. Returns the number of a message that was delivered for the first time.
    pub(super) fn delivered(
        &mut self,
        publish: &Publish<'_>,
        at: Instant,
        of_one_delivery: bool,
    ) -> Option<u64> {
        let sequence = numbered::sequence(self.attempt, publish.payload)?;
        let copy = Delivered { at_us: self.clock.us(at), dup: publish.dup };
        if of_one_delivery {
            self.ledger.repeated(sequence, copy);
            return None;
        }
        self.ledger.delivered(sequence, copy).then_some(sequence)
    }

    /// Messages that were delivered at least once.
    pub(super) fn delivered_count(&self) -> u64 {
        self.ledger.delivered_count()
    }

    /// Messages from number `from` on that were delivered at least once.
    pub(super) fn delivered_from(&self, from: u64) -> u64 {
        self.ledger.delivered_from(from)
    }

    /// Messages that the broker took and has not delivered.
    pub(super) fn owed(&self) -> u64 {
        self.ledger.owed()
    }

    /// Which of the messages that the broker took are missing.
    pub(super) fn lost_end(&self) -> LostEnd {
        let Some(missing) = self.ledger.acknowledged_span(false) else { return LostEnd::None };
        let Some(delivered) = self.ledger.acknowledged_span(true) else { return LostEnd::All };
        if missing.end() < delivered.start() {
            LostEnd::Oldest
        } else if missing.start() > delivered.end() {
            LostEnd::Newest
        } else {
            LostEnd::Scattered
        }
    }

    /// How far an attempt came that was given up after `longest`.
    pub(super) fn unfinished(&self, longest: Duration) -> String {
        let counts = self.counts();
        format!(
            "given up after {}: of {} messages that were sent the broker had taken {} and delivered {}",
            span(longest),
            counts.sent,
            counts.acknowledged,
            counts.delivered
        )
    }

    /// Everything in numbers.
    pub(super) fn counts(&self) -> LedgerCounts {
        self.ledger.counts(0, self.ledger.offered())
    }

    /// Writes how often messages of QoS 2 came, of an attempt in which neither publisher nor subscriber was cut.
    pub(super) fn tell_copies(&self, log: &mut AttemptLog<'_>) {
        if self.qos == QoS::ExactlyOnce {
            let counts = self.counts();
            log.measure(DELIVERED_QOS2, counts.delivered);
            log.measure(DUPLICATED_QOS2, counts.duplicated);
        }
    }

    /// Writes what became of the messages into the attempt's record.
    pub(super) fn tell(&self, log: &mut AttemptLog<'_>) {
        log.messages(self.qos, &self.counts());
    }
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::{Publish, QoS};
    use ungraceful_rig::measure::clock::RunClock;
    use ungraceful_wire::clock::now;

    use super::{Fates, LostEnd};
    use crate::numbered;

    const ATTEMPT: u64 = 9;

    fn deliver(fates: &mut Fates, sequence: u64) -> Option<u64> {
        fates.delivered(&Publish::new("t", &numbered::stamp(ATTEMPT, sequence)), now(), false)
    }

    /// Five messages that the broker took; those named were delivered.
    fn taken(delivered: &[u64]) -> Fates {
        let mut fates = Fates::new(ATTEMPT, QoS::AtLeastOnce, RunClock::start());
        for _ in 0..5 {
            let sequence = fates.send();
            fates.acknowledged(sequence, 0);
        }
        for sequence in delivered {
            deliver(&mut fates, *sequence);
        }
        fates
    }

    #[test]
    fn the_lost_end_is_told_by_what_lies_beyond_it() {
        let ends: [(&[u64], LostEnd); 6] = [
            (&[0, 1, 2, 3, 4], LostEnd::None),
            (&[], LostEnd::All),
            (&[3, 4], LostEnd::Oldest),
            (&[0, 1], LostEnd::Newest),
            (&[0, 1, 4], LostEnd::Scattered),
            (&[1, 2, 3], LostEnd::Scattered),
        ];
        for (delivered, end) in ends {
            assert_eq!(taken(delivered).lost_end(), end, "{delivered:?}");
            assert_eq!(taken(delivered).owed(), 5 - delivered.len() as u64);
        }
    }

    #[test]
    fn a_message_may_be_delivered_before_we_know_that_it_was_sent() {
        let mut fates = taken(&[]);
        let sequence = fates.offer();
        assert_eq!(deliver(&mut fates, sequence), Some(sequence));
        fates.sent(sequence);
        fates.acknowledged(sequence, 0);
        assert_eq!((fates.counts().delivered, fates.counts().lost, fates.owed()), (1, 5, 5));
    }

    #[test]
    fn an_attempt_that_is_given_up_says_how_far_it_came() {
        let told = taken(&[0, 1]).unfinished(std::time::Duration::from_secs(60));
        assert_eq!(
            told,
            "given up after 60 s: of 5 messages that were sent the broker had taken 5 and delivered 2"
        );
    }

    #[test]
    fn what_the_broker_refused_is_neither_owed_nor_lost() {
        let mut fates = taken(&[0, 1, 2, 3, 4]);
        let refused = fates.send();
        fates.acknowledged(refused, 0x97);
        assert_eq!((fates.owed(), fates.lost_end()), (0, LostEnd::None));
        assert_eq!(fates.counts().refused[&0x97], 1);
    }

    #[test]
    fn a_message_is_new_once_and_those_of_others_never() {
        let mut fates = taken(&[]);
        assert_eq!(deliver(&mut fates, 2), Some(2));
        assert_eq!(deliver(&mut fates, 2), None, "a second copy");
        assert_eq!(deliver(&mut fates, 5), None, "never sent");
        let others = numbered::stamp(ATTEMPT + 1, 0);
        assert_eq!(fates.delivered(&Publish::new("t", &others), now(), false), None);
        assert_eq!((fates.delivered_count(), fates.delivered_from(2), fates.delivered_from(3)), (1, 1, 0));
    }
}
