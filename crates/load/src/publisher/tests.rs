//! What a publisher sends when, what it counts, and that it takes back what its socket did not take.

use ungraceful_mqtt::{Framed, Packet, ProtocolVersion, QoS, frame};

use super::{CHUNK, Context, Made, Publisher, PublisherSettings, begun};
use ungraceful_rig::run::seed::Seed;

use crate::payload::{Payload, Text};
use crate::settings::MessageSettings;
use crate::stamp::Stamp;

const CONTEXT: Context =
    Context { run: 3, version: ProtocolVersion::V5, started_ms: 1_000_000, counted_from_us: 10_000 };

fn with(qos: QoS, window: u16, payload: &Payload, message: &MessageSettings) -> Publisher {
    Publisher::new(&PublisherSettings {
        number: 2,
        qos,
        topic: "a/2",
        client_id: "ug2",
        user_name: "",
        payload,
        message,
        window,
        version: ProtocolVersion::V5,
        seed: Seed(1),
    })
    .unwrap()
}

fn offer(publisher: &mut Publisher, due_us: impl IntoIterator<Item = u64>) {
    for due_us in due_us {
        publisher.offer(due_us, &CONTEXT);
    }
}

/// A publisher of sixteen bytes.
pub(crate) fn publisher(qos: QoS, window: u16) -> Publisher {
    with(qos, window, &Payload::Bytes(16), &MessageSettings::default())
}

/// Everything that is made at `now_us`, and where each message ends.
fn made(publisher: &mut Publisher, now_us: u64, is_closed: bool) -> (Vec<u8>, Vec<Made>) {
    let (mut out, mut made) = (Vec::new(), Vec::new());
    publisher.make(now_us, is_closed, &CONTEXT, &mut out, &mut made).unwrap();
    (out, made)
}

/// Topic, Packet Identifier and payload of each PUBLISH.
fn publishes(mut bytes: &[u8]) -> Vec<(String, Option<u16>, Vec<u8>)> {
    let mut found = Vec::new();
    while let Framed::Complete(whole) = frame(bytes) {
        let Packet::Publish(publish) = whole.decode(ProtocolVersion::V5).packet else { panic!("no PUBLISH") };
        found.push((publish.topic.to_owned(), publish.packet_identifier, publish.payload.to_vec()));
        bytes = &bytes[whole.len()..];
    }
    assert!(bytes.is_empty());
    found
}

fn stamp_of(payload: &[u8]) -> Stamp {
    Stamp::read(*payload.first_chunk().unwrap())
}

#[test]
fn messages_carry_due_time_number_and_lateness() {
    let mut publisher = publisher(QoS::AtMostOnce, 1);
    for due_us in [20_000, 20_500] {
        assert!(publisher.offer(due_us, &CONTEXT));
    }
    let (bytes, _) = made(&mut publisher, 21_200, false);
    let stamps: Vec<Stamp> = publishes(&bytes).iter().map(|(_, _, payload)| stamp_of(payload)).collect();
    let stamp = |sequence, due_us, lateness_us| Stamp { run: 3, publisher: 2, sequence, due_us, lateness_us };
    assert_eq!(stamps, [stamp(0, 20_000, 1_200), stamp(1, 20_500, 700)]);
    let counts = publisher.end(false).counts;
    assert_eq!((counts.offered, counts.sent, counts.late, counts.dropped), (2, 2, 1, 0));
}

#[test]
fn messages_beyond_the_window_wait_and_count_as_blocked() {
    let mut publisher = publisher(QoS::AtLeastOnce, 2);
    offer(&mut publisher, 20_000..20_005);
    let (bytes, _) = made(&mut publisher, 20_100, false);
    let identifiers: Vec<_> = publishes(&bytes).iter().map(|(_, identifier, _)| *identifier).collect();
    assert_eq!((identifiers, publisher.waiting(), publisher.in_flight()), (vec![Some(1), Some(2)], 3, 2));
    publisher.note_blocked();
    let acknowledged = publisher.acknowledged(2, 0, &CONTEXT).unwrap();
    assert_eq!((acknowledged.due_us, acknowledged.sent_us), (20_001, 20_100));
    assert_eq!(publisher.acknowledged(2, 0, &CONTEXT), None, "it is not acknowledged twice");
    let (bytes, _) = made(&mut publisher, 20_300, false);
    assert_eq!(publishes(&bytes)[0].1, Some(2), "the identifier is free again");
    let end = publisher.end(false);
    let counts = &end.counts;
    assert_eq!((counts.offered, counts.sent, counts.dropped), (5, 3, 2));
    assert_eq!((counts.acknowledged, counts.unacknowledged, counts.blocked), (1, 2, 1));
    assert_eq!(end.unacknowledged.len(), 2);
}

#[test]
fn the_receive_maximum_only_makes_the_window_smaller() {
    let mut publisher = publisher(QoS::AtLeastOnce, 10);
    publisher.limit_window(3);
    publisher.limit_window(100);
    let (bytes, _) = made(&mut publisher, 20_000, true);
    assert_eq!((publishes(&bytes).len(), publisher.window()), (3, 3));
}

#[test]
fn a_qos_2_exchange_is_done_at_pubcomp_and_a_refusal_ends_it_at_pubrec() {
    let mut publisher = publisher(QoS::ExactlyOnce, 5);
    made(&mut publisher, 20_000, true);
    assert_eq!(publisher.acknowledged(1, 0, &CONTEXT), None, "no PUBREC yet");
    assert!(publisher.received(1, 0, &CONTEXT));
    assert!(publisher.received(1, 0, &CONTEXT), "a PUBREC that comes again is answered again");
    assert!(publisher.acknowledged(1, 0, &CONTEXT).is_some());
    assert!(!publisher.received(2, 0x97, &CONTEXT), "refused");
    assert!(publisher.received(3, 0x10, &CONTEXT) && publisher.acknowledged(3, 0, &CONTEXT).is_some());
    assert!(!publisher.received(77, 0, &CONTEXT), "of nothing that was sent");
    let counts = publisher.end(false).counts;
    assert_eq!((counts.acknowledged, counts.refused_in_all(), counts.unacknowledged), (2, 1, 2));
    assert_eq!((counts.sent, counts.without_subscribers, counts.refused[&0x97]), (5, 1, 1));
}

#[test]
fn messages_that_were_taken_back_are_due_as_before() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut publisher = publisher(qos, 10);
        offer(&mut publisher, 20_000..20_004);
        let (_, list) = made(&mut publisher, 25_000, false);
        publisher.take_back(&list, 1, false, 25_000, &CONTEXT);
        publisher.note_blocked();
        assert_eq!((publisher.waiting(), publisher.sent()), (3, 1), "{qos:?}");
        let (bytes, _) = made(&mut publisher, 26_000, false);
        let again: Vec<_> = publishes(&bytes).iter().map(|(.., payload)| stamp_of(payload)).collect();
        let again: Vec<_> = again.iter().map(|stamp| (stamp.sequence, stamp.due_us)).collect();
        assert_eq!(again, [(1, 20_001), (2, 20_002), (3, 20_003)], "{qos:?}");
        let counts = publisher.end(false).counts;
        assert_eq!((counts.offered, counts.sent, counts.dropped, counts.blocked), (4, 4, 0, 3), "{qos:?}");
    }
}

#[test]
fn in_a_closed_loop_messages_taken_back_were_never_offered() {
    let mut publisher = publisher(QoS::AtLeastOnce, 6);
    let (_, list) = made(&mut publisher, 20_000, true);
    publisher.take_back(&list, 2, true, 20_000, &CONTEXT);
    let counts = publisher.end(false).counts;
    assert_eq!((counts.offered, counts.sent, counts.unacknowledged), (2, 2, 2));
}

#[test]
fn a_closed_loop_at_qos_0_numbers_its_messages_through() {
    let mut publisher = publisher(QoS::AtMostOnce, 1);
    let (bytes, list) = made(&mut publisher, 20_000, true);
    let found = publishes(&bytes);
    let (all, length) = (found.len(), bytes.len() / found.len());
    assert_eq!(list.iter().map(|made| made.count).sum::<usize>(), all);
    assert!(bytes.len() >= CHUNK && bytes.len() < CHUNK + length, "{}", bytes.len());
    // The socket took two messages and a part of the third.
    let (kept, end) = begun(&list, 2 * length + 1);
    assert_eq!((kept, end), (3, 3 * length));
    assert_eq!(begun(&list, 2 * length), (2, 2 * length));
    assert_eq!((begun(&list, 0), begun(&list, bytes.len())), ((0, 0), (all, bytes.len())));
    publisher.take_back(&list, kept, true, 20_000, &CONTEXT);
    let (next, _) = made(&mut publisher, 20_500, true);
    let stamps: Vec<Stamp> =
        found[..kept].iter().chain(&publishes(&next)).map(|(.., payload)| stamp_of(payload)).collect();
    for (number, stamp) in (0..).zip(&stamps) {
        let due_us = if number < kept as u64 { 20_000 } else { 20_500 };
        let expected = Stamp {
            run: CONTEXT.run,
            publisher: stamps[0].publisher,
            sequence: number,
            due_us,
            lateness_us: 0,
        };
        assert_eq!(*stamp, expected);
    }
    let end = publisher.end(false);
    assert_eq!((end.counted, end.counts.sent), ((0, stamps.len() as u64), stamps.len() as u64));
    assert_eq!((end.counts.offered, end.counts.late, end.counts.blocked), (end.counts.sent, 0, 0));
}

#[test]
fn messages_of_the_warm_up_are_sent_and_not_counted() {
    let mut publisher = publisher(QoS::AtLeastOnce, 10);
    offer(&mut publisher, [9_998, 9_999, 10_000]);
    made(&mut publisher, 10_001, false);
    assert_eq!(publisher.acknowledged(1, 0, &CONTEXT), None, "and not timed");
    assert!(publisher.acknowledged(3, 0, &CONTEXT).is_some());
    let end = publisher.end(false);
    assert_eq!(end.counted, (2, 3));
    let counts = &end.counts;
    assert_eq!((counts.offered, counts.sent, counts.acknowledged, counts.unacknowledged), (1, 1, 1, 0));
    assert_eq!(end.unacknowledged, [1], "known, for what does not arrive of it");
}

#[test]
fn a_client_that_is_gone_drops_its_messages() {
    let mut publisher = publisher(QoS::AtMostOnce, 1);
    offer(&mut publisher, [9_000, 11_000, 12_000]);
    publisher.give_up();
    assert!(publisher.drop_due(13_000, &CONTEXT) && !publisher.drop_due(9_999, &CONTEXT));
    let counts = publisher.end(false).counts;
    assert_eq!((counts.offered, counts.sent, counts.dropped), (3, 0, 3));
}

#[test]
fn a_topic_alias_is_introduced_once() {
    let message = MessageSettings { topic_alias: true, ..MessageSettings::default() };
    let mut publisher = with(QoS::AtMostOnce, 1, &Payload::Bytes(16), &message);
    offer(&mut publisher, 20_000..20_003);
    let (_, list) = made(&mut publisher, 20_010, false);
    publisher.take_back(&list, 0, false, 20_010, &CONTEXT);
    let (bytes, _) = made(&mut publisher, 20_020, false);
    let topics: Vec<_> = publishes(&bytes).into_iter().map(|(topic, ..)| topic).collect();
    assert_eq!(topics, ["a/2", "", ""], "and sent again when the socket did not take it");
}

#[test]
fn a_text_is_written_anew_for_each_message() {
    let payload = Payload::Text(Text::read(br#"{"n":%s,"t":%t,"x":"%x"}"#).unwrap());
    let mut publisher = with(QoS::AtLeastOnce, 9, &payload, &MessageSettings::default());
    offer(&mut publisher, [20_000, 30_000]);
    let (bytes, _) = made(&mut publisher, 30_000, false);
    let texts: Vec<_> =
        publishes(&bytes).into_iter().map(|(.., payload)| String::from_utf8(payload).unwrap()).collect();
    assert!(texts[0].starts_with(r#"{"n":0,"t":1000020,"x":""#), "{texts:?}");
    assert!(texts[1].starts_with(r#"{"n":1,"t":1000030,"x":""#), "{texts:?}");
    let stamp = payload.finder().texts(texts[1].as_bytes()).find_map(Stamp::read_hex).unwrap();
    assert_eq!((stamp.sequence, stamp.due_us), (1, 30_000));
}

#[test]
fn a_closed_loop_refills_when_half_of_its_window_is_acknowledged() {
    for (window, refills_at) in [(1, 0), (2, 1), (3, 1), (100, 50)] {
        let mut publisher = publisher(QoS::AtLeastOnce, window);
        assert!(publisher.has_half_of_its_window(), "nothing is unacknowledged");
        made(&mut publisher, 20_000, true);
        for identifier in 1..=window {
            let _settled = publisher.acknowledged(identifier, 0, &CONTEXT);
            let left = window - identifier;
            assert_eq!(publisher.has_half_of_its_window(), left <= refills_at, "{window}: {left} left");
        }
    }
    let mut publisher = publisher(QoS::AtMostOnce, 1);
    made(&mut publisher, 20_000, true);
    assert!(publisher.has_half_of_its_window(), "QoS 0 has no window");
}
