//! What goes between a run and its worker processes is read back as it was written.

use std::collections::BTreeMap;
use std::io::Cursor;

use rangemap::RangeInclusiveSet;
use ungraceful_mqtt::QoS;
use ungraceful_record::load::LoadCounts;

use super::{Order, Said, Used};
use crate::engine::tests::settings;
use crate::figures::{Figures, Timed};
use crate::held::HeldBack;
use crate::publisher::PublisherEnd;
use crate::subscriber::Receiver;
use crate::sum::{End, record};
use crate::worker::{Ended, ReceiverEnd};

fn written_and_read(ended: Vec<Ended>) -> Vec<Ended> {
    let line = serde_json::to_string(&Said::Ended(ended, Used::default())).unwrap();
    assert!(!line.contains('\n'), "it is one line");
    match serde_json::from_str(&line).unwrap() {
        Said::Ended(ended, _) => ended,
        other => panic!("{other:?}"),
    }
}

/// Threads with a bit of everything: 100,000 messages, of which some were refused, lost, overtaken and duplicated.
fn threads() -> Vec<Ended> {
    let (mut figures, mut receiver, mut held_back) =
        (Figures::default(), Receiver::new(0, 2), HeldBack::default());
    for number in 0..1_000 {
        figures.record(Timed::DeliveryResponse, number * number * 7);
        let (sent_us, gap_us) = (number * 10_000, 9_000 + number * 7_919 % 61);
        held_back.note(sent_us, Some(sent_us + gap_us), sent_us + gap_us + 90 + number % 53);
        if number % 7 != 0 {
            receiver.deliver_for_test(0, number, number >= 100);
        }
    }
    for late in [7, 14, 15] {
        receiver.deliver_for_test(0, late, true);
    }
    // Handed over, as at the end of a thread.
    figures.take();
    let mut refused = RangeInclusiveSet::new();
    refused.insert(21..=28);
    let publisher = PublisherEnd {
        number: 0,
        qos: QoS::ExactlyOnce,
        counted: (100, 1_000),
        unacknowledged: vec![994],
        refused,
        was_lost: false,
        counts: LoadCounts {
            offered: 900,
            sent: 900,
            refused: BTreeMap::from([(0x97, 8)]),
            ..LoadCounts::default()
        },
    };
    let first = Ended {
        publishers: vec![publisher],
        figures,
        held_back,
        accepted: 3,
        lost: BTreeMap::from([("FIN".to_owned(), 1)]),
        cpu_us: Some(7),
        ..Ended::default()
    };
    let receivers =
        vec![ReceiverEnd { receiver, members: 1, was_there: true, was_lost: false, may_lack_rights: false }];
    vec![first, Ended { receivers, first_connect_us: Some(5), window: 9, ..Ended::default() }]
}

#[test]
fn threads_of_other_processes_are_summed_up_as_own_ones() {
    let of = |threads: &[Ended]| record(&settings(), threads, Some((1, 2)), End::Settled);
    let own = of(&threads());
    assert!(own.by_qos[&2].lost > 100 && own.delivery_response_time.p50_us.is_some(), "{own:?}");
    assert!(own.held_acknowledgements.is_some(), "{own:?}");
    assert_eq!(of(&written_and_read(threads())), own);
}

#[test]
fn orders_are_read_back() {
    for order in [Order::Begin(1, u64::MAX), Order::Stop] {
        let line = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order);
    }
}

#[test]
fn a_share_is_only_read_from_a_run() {
    for wrong in ["", "\n", "{}\n", "hello\n"] {
        let read = super::Start::read(&mut Cursor::new(wrong));
        assert!(read.is_err(), "{wrong:?}");
    }
}
