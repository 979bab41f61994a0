//! From the results of the threads to the load's record: compares what was sent with what came. A pure function.

use std::collections::BTreeMap;

use rangemap::RangeInclusiveSet;
use ungraceful_mqtt::QoS;
use ungraceful_record::load::{LoadConnections, LoadCounts, LoadRecord, Release, stalled_40_ms};
use ungraceful_record::metric::{Percentiles, histogram, merge};

use crate::deliveries::{Deliveries, length};
use crate::figures::Timed;
use crate::held::HeldBack;
use crate::pace::Pace;
use crate::payload::Payload;
use crate::publisher::PublisherEnd;
use crate::settings::LoadSettings;
use crate::shape::Shape;
use crate::subscriber::Receiver;
use crate::worker::{Ended, ReceiverEnd};

/// When messages that count fell due, in µs of the run's clock; absent when the load did not get that far.
pub(crate) type Counted = Option<(u64, u64)>;

/// How a load ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything came, or had its time to come.
    #[default]
    Settled,
    /// The wait was over, and the broker was still delivering.
    StillComing,
    /// It was stopped before everything had had its time to come.
    CutShort,
}

pub(crate) fn record(
    settings: &LoadSettings,
    threads: &[Ended],
    counted: Counted,
    load_end: End,
) -> LoadRecord {
    let whole = |timed: Timed| {
        let mut sum = histogram();
        for part in threads.iter().filter_map(|thread| thread.figures.whole(timed)) {
            merge(&mut sum, part);
        }
        sum
    };
    let times = |timed: Timed| Percentiles::of(&whole(timed));
    let total = |of: fn(&Ended) -> u64| threads.iter().map(of).sum::<u64>();
    let publishers: BTreeMap<u32, &PublisherEnd> =
        threads.iter().flat_map(|thread| &thread.publishers).map(|end| (end.number, end)).collect();
    let mut by_qos: BTreeMap<u8, LoadCounts> = BTreeMap::new();
    for end in publishers.values() {
        *by_qos.entry(end.qos.level()).or_default() += &end.counts;
    }
    let receivers = || threads.iter().flat_map(|thread| &thread.receivers).filter(|end| end.was_there);
    if settings.payload.has_stamp() {
        for end in receivers() {
            for (number, deliveries) in end.receiver.deliveries() {
                if let Some(publisher) = publishers.get(&number) {
                    let counts = by_qos.entry(publisher.qos.level()).or_default();
                    compare(publisher, deliveries, end, load_end, counts);
                }
            }
        }
    }
    let of_receivers = |of: fn(&Receiver) -> u64| {
        threads.iter().flat_map(|thread| &thread.receivers).map(|end| of(&end.receiver)).sum::<u64>()
    };
    let mut held_back = HeldBack::default();
    for thread in threads {
        held_back.add(&thread.held_back);
    }
    let first_us = threads.iter().filter_map(|thread| thread.first_connect_us).min();
    let last_us = threads.iter().filter_map(|thread| thread.last_accepted_us).max();
    LoadRecord {
        release: release(&settings.pace),
        shape: in_words(settings),
        publishers: u64::from(settings.publishers),
        subscribers: u64::from(settings.subscribers),
        payload_bytes: payload_bytes(&settings.payload),
        end_to_end_window: settings.end_to_end_window().map(u64::from),
        in_flight_max: u64::from(threads.iter().map(|thread| thread.window).max().unwrap_or(0)),
        counted_from_us: counted.map(|(from_us, _)| from_us),
        counted_until_us: counted.map(|(_, until_us)| until_us),
        confidence: None,
        last_sent_us: threads.iter().filter_map(|thread| thread.last_sent_us).max(),
        last_delivered_us: threads.iter().filter_map(|thread| thread.last_delivered_us).max(),
        connections: LoadConnections {
            planned: u64::from(settings.clients()),
            accepted: total(|thread| thread.accepted),
            refused: added(threads.iter().map(|thread| thread.refused.clone())),
            lost: added(threads.iter().map(|thread| thread.lost.clone())),
            never_begun: total(|thread| thread.never_begun),
            first_syn_us: first_us,
            up_after_us: first_us.zip(last_us).map(|(first_us, last_us)| last_us.saturating_sub(first_us)),
            tcp_connect_time: times(Timed::TcpConnect),
            handshake_time: times(Timed::Handshake),
            connack_time: times(Timed::Connack),
            suback_time: times(Timed::Suback),
        },
        by_qos,
        foreign: of_receivers(|receiver| receiver.foreign),
        retained: of_receivers(|receiver| receiver.retained),
        too_old: of_receivers(|receiver| receiver.too_old),
        bytes_sent: total(|thread| thread.bytes_sent),
        bytes_received: total(|thread| thread.bytes_received),
        publish_response_time: times(Timed::PublishResponse),
        publish_service_time: times(Timed::PublishService),
        delivery_response_time: times(Timed::DeliveryResponse),
        delivery_service_time: times(Timed::DeliveryService),
        departure_time: times(Timed::Departure),
        held_acknowledgements: held_back.concluded(),
        stalled_40_ms: stalled_40_ms(&whole(Timed::DeliveryService)),
        cpu_us: threads.iter().map(|thread| thread.cpu_us).sum(),
        retained_by_us: None,
        processes: Vec::new(),
    }
}

/// Compares what a publisher sent with what of it came to a receiver.
fn compare(
    publisher: &PublisherEnd,
    deliveries: &Deliveries,
    receiver: &ReceiverEnd,
    load_end: End,
    counts: &mut LoadCounts,
) {
    let (from, to) = publisher.counted;
    let mut missing = deliveries.missing(from, to);
    for refused in publisher.refused.iter() {
        missing.known.remove(refused.clone());
    }
    let missed = length(&missing.known) + missing.others;
    // What was handed to a connection that broke may never have reached the broker.
    let is_unattributable = receiver.was_lost
        || load_end == End::CutShort
        || (receiver.may_lack_rights && deliveries.delivered == 0)
        || (publisher.was_lost && publisher.qos == QoS::AtMostOnce);
    let unknown = if is_unattributable { missed } else { unacknowledged(publisher, &missing.known) };
    let still_coming = if is_unattributable || load_end != End::StillComing {
        0
    } else {
        let mut tail = missing.known.clone();
        if let Some(last) = deliveries.next().checked_sub(1) {
            tail.remove(0..=last);
        }
        length(&tail) - unacknowledged(publisher, &tail)
    };
    counts.delivered += deliveries.delivered;
    counts.duplicated += deliveries.duplicated;
    counts.reordered += if receiver.members > 1 { 0 } else { deliveries.reordered };
    counts.unknown += unknown;
    counts.still_coming += still_coming;
    counts.lost += missed - unknown - still_coming;
    counts.expected += deliveries.delivered + missed;
}

/// Of the missing messages, those that the broker never acknowledged.
fn unacknowledged(publisher: &PublisherEnd, missing: &RangeInclusiveSet<u64>) -> u64 {
    if publisher.qos == QoS::AtMostOnce {
        return 0;
    }
    publisher.unacknowledged.iter().filter(|sequence| missing.contains(sequence)).count() as u64
}

fn added(parts: impl Iterator<Item = impl IntoIterator<Item = (String, u64)>>) -> BTreeMap<String, u64> {
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    for (what, count) in parts.flatten() {
        *sum.entry(what).or_default() += count;
    }
    sum
}

fn release(pace: &Pace) -> Release {
    match pace {
        Pace::Nothing(_) => Release::Nothing,
        Pace::Closed(_) => Release::Closed,
        Pace::Open(..) => Release::Open,
    }
}

/// Payload of each message in bytes; absent for a text with placeholders.
pub(crate) fn payload_bytes(payload: &Payload) -> Option<u64> {
    match payload {
        Payload::Bytes(bytes) => Some(*bytes as u64),
        Payload::Text(_) => None,
    }
}

/// Who publishes to whom.
pub(crate) fn in_words(settings: &LoadSettings) -> String {
    let publishers = number_of(settings.publishers, "publisher");
    let subscribers = number_of(settings.subscribers, "subscriber");
    match (settings.publishers, settings.subscribers, settings.shape) {
        (0, 0, _) => number_of(settings.idle, "connection"),
        (_, 0, _) => publishers,
        (0, ..) => subscribers,
        (_, _, Shape::Pairs) => format!("{publishers} to {subscribers}, in pairs"),
        (_, _, Shape::Everyone) => format!("{publishers}, each to all of {subscribers}"),
        (_, _, Shape::Shared) => format!("{publishers}, each message to one of {subscribers} that share"),
    }
}

fn number_of(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rangemap::RangeInclusiveSet;
    use ungraceful_mqtt::QoS;
    use ungraceful_record::load::LoadCounts;

    use super::{End, record};
    use crate::engine::tests::settings;
    use crate::publisher::PublisherEnd;
    use crate::settings::LoadSettings;
    use crate::subscriber::Receiver;
    use crate::worker::{Ended, ReceiverEnd};

    /// A publisher that sent 10 messages, the first two of them in the warm-up.
    fn sent(number: u32, qos: QoS, unacknowledged: &[u64], refused: &[u64]) -> PublisherEnd {
        let mut set = RangeInclusiveSet::new();
        for sequence in refused {
            set.insert(*sequence..=*sequence);
        }
        let counts = LoadCounts { offered: 8, sent: 8, ..LoadCounts::default() };
        PublisherEnd {
            number,
            qos,
            counted: (2, 10),
            unacknowledged: unacknowledged.to_vec(),
            refused: set,
            was_lost: false,
            counts,
        }
    }

    fn received(first: u32, came: &[&[u64]]) -> ReceiverEnd {
        let mut receiver = Receiver::new(first, u32::try_from(came.len()).unwrap());
        for (publisher, sequences) in came.iter().enumerate() {
            for sequence in *sequences {
                receiver.deliver_for_test(publisher, *sequence, *sequence >= 2);
            }
        }
        ReceiverEnd { receiver, members: 1, was_there: true, was_lost: false, may_lack_rights: false }
    }

    fn thread(publishers: Vec<PublisherEnd>, receivers: Vec<ReceiverEnd>) -> Ended {
        Ended { publishers, receivers, ..Ended::default() }
    }

    fn counts(settings: &LoadSettings, threads: &[Ended]) -> BTreeMap<u8, LoadCounts> {
        let by_qos = record(settings, threads, Some((0, 1)), End::Settled).by_qos;
        for counts in by_qos.values() {
            assert_eq!(
                counts.expected,
                counts.delivered + counts.lost + counts.unknown + counts.still_coming,
                "{counts:?}"
            );
        }
        by_qos
    }

    #[test]
    fn sent_and_received_messages_are_compared_over_all_threads() {
        let threads = [
            thread(vec![sent(0, QoS::AtLeastOnce, &[9], &[5])], Vec::new()),
            thread(
                vec![sent(1, QoS::AtMostOnce, &[], &[])],
                vec![
                    received(0, &[&[0, 1, 2, 3, 4, 8, 7, 7], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
                    received(0, &[&[1, 2, 3, 4, 6, 7, 8, 9], &[0, 3]]),
                ],
            ),
        ];
        let by_qos = counts(&settings(), &threads);
        let first = &by_qos[&1];
        // 5 was refused and is not expected. To the first subscriber 6 is lost, and 9, which was not acknowledged,
        // unknown.
        assert_eq!((first.offered, first.sent, first.expected, first.delivered), (8, 8, 14, 12));
        assert_eq!((first.lost, first.unknown, first.duplicated, first.reordered), (1, 1, 1, 1));
        let second = &by_qos[&0];
        assert_eq!((second.expected, second.delivered, second.lost, second.unknown), (16, 9, 7, 0));
    }

    #[test]
    fn messages_for_a_subscriber_that_was_lost_are_unknown() {
        let lost = ReceiverEnd { was_lost: true, ..received(0, &[&[0, 1, 2]]) };
        let by_qos = counts(&settings(), &[thread(vec![sent(0, QoS::AtLeastOnce, &[], &[])], vec![lost])]);
        assert_eq!((by_qos[&1].delivered, by_qos[&1].lost, by_qos[&1].unknown), (1, 0, 7));
    }

    #[test]
    fn messages_that_rights_may_have_stopped_are_unknown_where_none_came() {
        for (came, lost, unknown) in [(&[][..], 0, 8), (&[0, 1, 2][..], 7, 0)] {
            let other = ReceiverEnd { may_lack_rights: true, ..received(0, &[came]) };
            let by_qos =
                counts(&settings(), &[thread(vec![sent(0, QoS::AtLeastOnce, &[], &[])], vec![other])]);
            assert_eq!((by_qos[&1].lost, by_qos[&1].unknown), (lost, unknown), "{came:?}");
        }
    }

    #[test]
    fn qos_0_messages_on_a_lost_connection_are_unknown() {
        for (qos, lost, unknown) in [(QoS::AtMostOnce, 0, 7), (QoS::AtLeastOnce, 7, 0)] {
            let broken = PublisherEnd { was_lost: true, ..sent(0, qos, &[], &[]) };
            let by_qos = counts(&settings(), &[thread(vec![broken], vec![received(0, &[&[0, 1, 2]])])]);
            let counts = &by_qos[&qos.level()];
            assert_eq!((counts.delivered, counts.lost, counts.unknown), (1, lost, unknown), "{qos:?}");
        }
    }

    #[test]
    fn messages_under_way_when_the_load_stopped_are_unknown() {
        let threads = [thread(vec![sent(0, QoS::AtLeastOnce, &[], &[])], vec![received(0, &[&[0, 1, 2]])])];
        let by_qos = record(&settings(), &threads, Some((0, 1)), End::CutShort).by_qos;
        assert_eq!((by_qos[&1].lost, by_qos[&1].unknown), (0, 7));
    }

    #[test]
    fn messages_after_the_last_delivery_may_still_be_coming() {
        // 4 was skipped and is lost, 9 was not acknowledged, and 8 was refused.
        let publisher = sent(0, QoS::AtLeastOnce, &[9], &[8]);
        let threads = [thread(vec![publisher], vec![received(0, &[&[0, 1, 2, 3, 5]])])];
        let counts = record(&settings(), &threads, Some((0, 1)), End::StillComing).by_qos[&1].clone();
        assert_eq!((counts.delivered, counts.lost, counts.still_coming, counts.unknown), (3, 1, 2, 1));
        assert_eq!(counts.expected, 7);
        let counts = record(&settings(), &threads, Some((0, 1)), End::Settled).by_qos[&1].clone();
        assert_eq!((counts.lost, counts.still_coming), (3, 0), "a broker that is done sends nothing more");
    }

    #[test]
    fn nothing_is_expected_for_an_absent_subscriber() {
        let absent = ReceiverEnd { was_there: false, ..received(0, &[&[]]) };
        let by_qos = counts(&settings(), &[thread(vec![sent(0, QoS::AtMostOnce, &[], &[])], vec![absent])]);
        assert_eq!((by_qos[&0].expected, by_qos[&0].lost), (0, 0));
    }

    #[test]
    fn the_order_among_members_of_a_group_does_not_count() {
        let group = ReceiverEnd { members: 2, ..received(0, &[&[0, 1, 3, 2, 4, 5, 6, 7, 9, 8]]) };
        let by_qos = counts(&settings(), &[thread(vec![sent(0, QoS::AtLeastOnce, &[], &[])], vec![group])]);
        assert_eq!((by_qos[&1].delivered, by_qos[&1].reordered, by_qos[&1].lost), (8, 0, 0));
    }

    #[test]
    fn connections_of_all_threads_are_added_up() {
        let of_thread = |first_us, last_us, why: &str| Ended {
            accepted: 3,
            never_begun: 1,
            refused: BTreeMap::from([(why.to_owned(), 2)]),
            lost: BTreeMap::from([("FIN".to_owned(), 1)]),
            first_connect_us: Some(first_us),
            last_accepted_us: Some(last_us),
            cpu_us: Some(40),
            bytes_sent: 7,
            ..Ended::default()
        };
        let threads = [of_thread(100, 900, "one"), of_thread(50, 1_050, "two")];
        let record = record(&settings(), &threads, None, End::Settled);
        let connections = &record.connections;
        assert_eq!((connections.accepted, connections.never_begun), (6, 2));
        assert_eq!(connections.refused, BTreeMap::from([("one".to_owned(), 2), ("two".to_owned(), 2)]));
        assert_eq!((connections.lost["FIN"], connections.up_after_us), (2, Some(1_000)));
        assert_eq!((record.cpu_us, record.bytes_sent, record.counted_us()), (Some(80), 14, None));
    }
}
