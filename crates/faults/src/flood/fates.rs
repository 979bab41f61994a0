//! The fate of every Application Message of one attempt.

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

use crate::ending::Unfinished;
use crate::numbered;

/// Measure: QoS 2 messages that were delivered at least once, in attempts in which no connection ended.
pub(super) const DELIVERED_QOS2: Measure = Measure::new("qos2_delivered");
/// Measure: copies of them beyond the first, each in its own exchange.
pub(super) const DUPLICATED_QOS2: Measure = Measure::new("qos2_delivered_again");

/// The fate of the messages that one attempt publishes at one QoS on one topic.
#[derive(Debug)]
pub(super) struct Fates {
    attempt: u64,
    qos: QoS,
    clock: RunClock,
    ledger: Ledger,
}

ungraceful_record::words! {
    /// Which of the acknowledged messages are missing.
    pub enum LostEnd: "end" {
        /// None.
        None = "none",
        /// All.
        All = "all",
        /// The first ones, all before any delivered one.
        Oldest = "oldest",
        /// The last ones, all after any delivered one.
        Newest = "newest",
        /// Some in between.
        Scattered = "scattered",
    }
}

/// The fates that an attempt's subscriber and publisher share.
pub(super) type SharedFates = Rc<RefCell<Fates>>;

/// Carries out `work`, for `longest` at most; absent when the run was stopped first.
///
/// # Errors
/// How far the attempt came, when it took longer.
pub(super) async fn within<T>(
    stage: &Stage,
    longest: Duration,
    fates: &SharedFates,
    work: impl Future<Output = T>,
) -> Result<Option<T>, Unfinished> {
    match stage.unless_stopped(timeout(longest, work)).await {
        Some(Ok(done)) => Ok(Some(done)),
        Some(Err(_elapsed)) => Err(fates.borrow().unfinished(longest).into()),
        None => Ok(None),
    }
}

impl Fates {
    /// Of the attempt of `log`.
    pub(super) fn of(stage: &Stage, log: &AttemptLog<'_>, qos: QoS) -> SharedFates {
        Self::new(numbered::key(&stage.topic_root, log.number()), qos, stage.clock).shared()
    }

    /// Shared.
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

    /// The clock of their arrival times.
    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    /// The next message is handed to the connection; returns its number.
    pub(super) fn send(&mut self) -> u64 {
        let sequence = self.offer();
        self.sent(sequence);
        sequence
    }

    /// The next message falls due; returns its number. It may arrive from now on.
    pub(super) fn offer(&mut self) -> u64 {
        self.ledger.offer()
    }

    /// Message `sequence` was handed to the connection.
    pub(super) fn sent(&mut self, sequence: u64) {
        self.ledger.sent(sequence);
    }

    /// The broker acknowledged message `sequence` with `code`; from 0x80 on it refused it.
    pub(super) fn acknowledged(&mut self, sequence: u64, code: u8) {
        self.ledger.acknowledged(sequence, code);
    }

    /// A PUBLISH came, at `at`; at QoS 2 it is `of_one_delivery` if its Packet Identifier came before and was not released
    /// since. Returns the number of a message that is delivered for the first time.
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

    /// Messages that the broker acknowledged and has not delivered.
    pub(super) fn owed(&self) -> u64 {
        self.ledger.owed()
    }

    /// Which of the acknowledged messages are missing.
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

    /// How far an attempt came that was abandoned after `longest`.
    pub(super) fn unfinished(&self, longest: Duration) -> String {
        let counts = self.counts();
        format!(
            "abandoned after {}: of {} messages that were sent, the broker had acknowledged {} and delivered {}",
            span(longest),
            counts.sent,
            counts.acknowledged,
            counts.delivered
        )
    }

    /// The counts.
    pub(super) fn counts(&self) -> LedgerCounts {
        self.ledger.counts(0, self.ledger.offered())
    }

    /// Logs how often QoS 2 messages came; only of attempts in which neither publisher nor subscriber was cut.
    pub(super) fn report_copies(&self, log: &mut AttemptLog<'_>) {
        if self.qos == QoS::ExactlyOnce {
            let counts = self.counts();
            log.measure(DELIVERED_QOS2, counts.delivered);
            log.measure(DUPLICATED_QOS2, counts.duplicated);
        }
    }

    /// Logs the fate of the messages.
    pub(super) fn report(&self, log: &mut AttemptLog<'_>) {
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

    /// Five messages that the broker acknowledged; those named were delivered.
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
    fn the_lost_end_depends_on_what_was_delivered() {
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
    fn a_message_may_arrive_before_its_send_returns() {
        let mut fates = taken(&[]);
        let sequence = fates.offer();
        assert_eq!(deliver(&mut fates, sequence), Some(sequence));
        fates.sent(sequence);
        fates.acknowledged(sequence, 0);
        assert_eq!((fates.counts().delivered, fates.counts().lost, fates.owed()), (1, 5, 5));
    }

    #[test]
    fn an_abandoned_attempt_reports_how_far_it_came() {
        let text = taken(&[0, 1]).unfinished(std::time::Duration::from_secs(60));
        assert_eq!(
            text,
            "abandoned after 60 s: of 5 messages that were sent, the broker had acknowledged 5 and delivered 2"
        );
    }

    #[test]
    fn a_refused_message_is_neither_owed_nor_lost() {
        let mut fates = taken(&[0, 1, 2, 3, 4]);
        let refused = fates.send();
        fates.acknowledged(refused, 0x97);
        assert_eq!((fates.owed(), fates.lost_end()), (0, LostEnd::None));
        assert_eq!(fates.counts().refused[&0x97], 1);
    }

    #[test]
    fn a_message_is_new_once_and_a_foreign_one_never() {
        let mut fates = taken(&[]);
        assert_eq!(deliver(&mut fates, 2), Some(2));
        assert_eq!(deliver(&mut fates, 2), None, "a second copy");
        assert_eq!(deliver(&mut fates, 5), None, "never sent");
        let foreign = numbered::stamp(ATTEMPT + 1, 0);
        assert_eq!(fates.delivered(&Publish::new("t", &foreign), now(), false), None);
        assert_eq!((fates.delivered_count(), fates.delivered_from(2), fates.delivered_from(3)), (1, 1, 0));
    }
}
