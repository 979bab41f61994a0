//! A client that subscribes, and what came to it, or to the group with which it shares a subscription.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ungraceful_mqtt::STAMP_LEN;

use crate::deliveries::{Deliveries, Kind};
use crate::figures::{Figures, Timed};
use crate::heard::Heard;
use crate::payload::StampFinder;
use crate::stamp::{LATENESS_MAX_US, Stamp};

/// The deliveries to a subscriber, or to a group, whose members are all on one thread.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receiver {
    /// The number of the first publisher that it should hear; the others follow.
    first: u32,
    deliveries: Vec<Deliveries>,
    /// Live deliveries without a stamp of this run.
    pub(crate) foreign: u64,
    /// Deliveries with RETAIN 1 and without a stamp of this run, at any time.
    pub(crate) retained: u64,
    /// Deliveries that may or may not have come before.
    pub(crate) too_old: u64,
    /// Deliveries of this run, each counted once, of the warm-up too.
    pub(crate) delivered: u64,
    /// When the last of those that count came.
    pub(crate) last_us: Option<u64>,
    /// When the last of them came, of the warm-up too.
    pub(crate) last_heard_us: Option<u64>,
}

/// How to read what comes.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) run: u8,
    pub(crate) finder: StampFinder,
    pub(crate) counted_from_us: u64,
    /// Where publishers learn what has come; absent where they don't wait for it.
    pub(crate) heard: Option<Arc<Heard>>,
}

impl Receiver {
    /// Should hear `publishers` publishers from number `first` on.
    pub(crate) fn new(first: u32, publishers: u32) -> Self {
        let deliveries = (0..publishers).map(|_| Deliveries::default()).collect();
        Self {
            first,
            deliveries,
            foreign: 0,
            retained: 0,
            too_old: 0,
            delivered: 0,
            last_us: None,
            last_heard_us: None,
        }
    }

    /// A message came; `is_retained` is its RETAIN.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        payload: &[u8],
        is_retained: bool,
        now_us: u64,
        reading: &Reading,
        figures: &mut Figures,
    ) {
        let stamp = match &reading.finder {
            StampFinder::First => payload.first_chunk::<STAMP_LEN>().copied().map(Stamp::read),
            StampFinder::None => None,
            after => after.texts(payload).filter_map(Stamp::read_hex).find(|stamp| stamp.run == reading.run),
        };
        let of_run = stamp.filter(|stamp| stamp.run == reading.run && stamp.due_us <= now_us);
        let heard = of_run.and_then(|stamp| {
            let place = stamp.publisher.checked_sub(self.first)? as usize;
            Some((stamp, self.deliveries.get_mut(place)?))
        });
        let Some((stamp, deliveries)) = heard else {
            self.retained += u64::from(is_retained);
            self.foreign += u64::from(!is_retained && now_us >= reading.counted_from_us);
            return;
        };
        let counts = stamp.due_us >= reading.counted_from_us;
        let next_before = deliveries.next();
        match deliveries.deliver(stamp.sequence, counts) {
            Kind::First | Kind::Overtaken => {
                self.delivered += 1;
                self.last_heard_us = Some(now_us);
                if let Some(heard) = reading.heard.as_ref().filter(|_| deliveries.next() > next_before) {
                    heard.advance(stamp.publisher, deliveries.next() - next_before);
                }
                if counts {
                    self.last_us = Some(now_us);
                    figures.counters.load_delivered += 1;
                    let response_us = now_us - stamp.due_us;
                    figures.record(Timed::DeliveryResponse, response_us);
                    // A lateness that did not fit would make the service time too long.
                    if stamp.lateness_us < LATENESS_MAX_US {
                        figures.record(Timed::DeliveryService, response_us.saturating_sub(stamp.lateness_us));
                    }
                }
            }
            Kind::Duplicate => {}
            Kind::TooOld => self.too_old += u64::from(counts),
        }
    }

    /// Delivers a message, for tests of what follows from it.
    #[cfg(test)]
    pub(crate) fn deliver_for_test(&mut self, publisher: usize, sequence: u64, counts: bool) {
        self.deliveries[publisher].deliver(sequence, counts);
    }

    /// The deliveries of each publisher's messages, with its number.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = (u32, &Deliveries)> {
        (self.first..).zip(&self.deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reading, Receiver};
    use crate::figures::{Figures, Timed};
    use crate::payload::StampFinder;
    use crate::stamp::{LATENESS_MAX_US, Stamp};

    fn reading() -> Reading {
        Reading { run: 7, finder: StampFinder::First, counted_from_us: 1_000, heard: None }
    }

    fn stamp(publisher: u32, sequence: u64, due_us: u64) -> Stamp {
        Stamp { run: 7, publisher, sequence, due_us, lateness_us: 0 }
    }

    #[test]
    fn response_time_starts_when_due_and_service_time_when_sent() {
        let (mut receiver, mut figures) = (Receiver::new(0, 1), Figures::default());
        let late = Stamp { lateness_us: 300, ..stamp(0, 0, 2_000) };
        receiver.receive(&late.bytes(), false, 2_500, &reading(), &mut figures);
        figures.take();
        let max = |timed| figures.whole(timed).unwrap().max();
        assert_eq!((max(Timed::DeliveryResponse), max(Timed::DeliveryService)), (500, 200));
    }

    #[test]
    fn a_lateness_that_does_not_fit_gives_no_service_time() {
        let (mut receiver, mut figures) = (Receiver::new(0, 1), Figures::default());
        let late = Stamp { lateness_us: LATENESS_MAX_US, ..stamp(0, 0, 2_000) };
        receiver.receive(&late.bytes(), false, 90_000_000, &reading(), &mut figures);
        figures.take();
        assert_eq!(figures.whole(Timed::DeliveryResponse).unwrap().len(), 1);
        assert!(figures.whole(Timed::DeliveryService).is_none());
    }

    #[test]
    fn messages_of_the_warm_up_are_heard_and_not_measured() {
        let (mut receiver, mut figures) = (Receiver::new(0, 1), Figures::default());
        receiver.receive(&stamp(0, 0, 999).bytes(), false, 2_000, &reading(), &mut figures);
        receiver.receive(&stamp(0, 1, 1_000).bytes(), false, 2_000, &reading(), &mut figures);
        assert_eq!((receiver.delivered, figures.counters.load_delivered), (2, 1));
    }

    #[test]
    fn messages_without_an_expected_stamp_are_foreign() {
        let (mut receiver, mut figures) = (Receiver::new(5, 2), Figures::default());
        let foreign = [
            Stamp { run: 8, ..stamp(5, 0, 1_500) },
            stamp(4, 0, 1_500),
            stamp(7, 0, 1_500),
            // Due after it came.
            stamp(5, 0, 99_000),
        ];
        for stamp in foreign {
            receiver.receive(&stamp.bytes(), false, 2_000, &reading(), &mut figures);
        }
        receiver.receive(b"short", false, 2_000, &reading(), &mut figures);
        receiver.receive(&stamp(6, 0, 1_500).bytes(), false, 2_000, &reading(), &mut figures);
        assert_eq!((receiver.foreign, receiver.delivered), (5, 1));
    }

    #[test]
    fn retained_messages_of_others_are_not_live() {
        let (mut receiver, mut figures) = (Receiver::new(0, 1), Figures::default());
        receiver.receive(b"kept", true, 10, &reading(), &mut figures);
        receiver.receive(b"live", false, 10, &reading(), &mut figures);
        receiver.receive(b"live", false, 2_000, &reading(), &mut figures);
        receiver.receive(&stamp(0, 0, 1_500).bytes(), true, 2_000, &reading(), &mut figures);
        assert_eq!((receiver.retained, receiver.foreign, receiver.delivered), (1, 1, 1));
    }
}
