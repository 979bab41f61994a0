//! The checks of a load, and thresholds on it: each holds, fails and is inconclusive on a record made by hand.

#![expect(clippy::unwrap_used, reason = "what can't be had ends the test")]

use std::collections::BTreeMap;

use ungraceful_load::checks::CHECKS;
use ungraceful_record::load::{LoadConnections, LoadCounts, LoadRecord, Release};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::rate_search::{Promise, TrialResult};
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::testing::{empty_record, every};
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::{Conclusion, Verdict, judge};

const PLANNED: &str = "carries_out_the_load";
const RATE: &str = "reaches_the_rate";
const LOSS: &str = "loses_nothing";
const ACCEPTS: &str = "accepts_the_messages";
const LIVE: &str = "receives_live_messages";

/// A load in which everything went well.
fn load() -> LoadRecord {
    let counts = LoadCounts {
        offered: 1_000,
        sent: 1_000,
        acknowledged: 1_000,
        expected: 2_000,
        delivered: 2_000,
        ..LoadCounts::default()
    };
    let times = Percentiles {
        count: 2_000,
        p50_us: Some(200),
        p99_us: Some(900),
        max_us: Some(5_000),
        ..Percentiles::default()
    };
    LoadRecord {
        release: Release::Open,
        shape: "1 publishers, each to all 2 subscribers".into(),
        publishers: 1,
        subscribers: 2,
        payload_bytes: Some(16),
        in_flight_max: 100,
        counted_from_us: Some(1_000_000),
        counted_until_us: Some(11_000_000),
        last_sent_us: Some(10_990_000),
        last_delivered_us: Some(11_000_300),
        connections: LoadConnections { planned: 3, accepted: 3, ..LoadConnections::default() },
        by_qos: BTreeMap::from([(1, counts)]),
        bytes_sent: 1,
        bytes_received: 1,
        delivery_response_time: times,
        delivery_service_time: times,
        ..LoadRecord::default()
    }
}

fn with(load: LoadRecord) -> Record {
    Record { load: Some(load), ..empty_record() }
}

fn counting(change: impl FnOnce(&mut LoadCounts)) -> Record {
    let mut load = load();
    change(load.by_qos.get_mut(&1).unwrap());
    with(load)
}

fn verdict(mut record: Record, check: &str) -> Verdict {
    judge(&mut record, CHECKS);
    record.verdicts.into_iter().find(|verdict| verdict.check == check).unwrap()
}

fn concluded(record: Record, check: &str) -> Conclusion {
    verdict(record, check).conclusion
}

#[test]
fn a_load_without_losses_holds_without_a_note() {
    for check in [PLANNED, RATE, ACCEPTS, LOSS] {
        let verdict = verdict(with(load()), check);
        assert_eq!((verdict.conclusion, verdict.differs), (Conclusion::Holds, None), "{check}");
    }
}

#[test]
fn a_load_without_all_connections_is_inconclusive() {
    let refused = BTreeMap::from([("CONNACK 0x97 Quota exceeded".to_owned(), 2)]);
    let connections = LoadConnections { planned: 3, accepted: 1, refused, ..LoadConnections::default() };
    let verdict = verdict(with(LoadRecord { connections, ..load() }), PLANNED);
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive);
    let evidence = &verdict.evidence;
    assert!(evidence.contains("2 were refused, most often (2): CONNACK 0x97"), "{evidence}");
    let nothing = LoadRecord { connections: LoadConnections::default(), ..load() };
    assert_eq!(concluded(with(nothing), PLANNED), Conclusion::Inconclusive);
}

#[test]
fn a_rate_that_was_not_reached_is_inconclusive() {
    let dropped = |counts: &mut LoadCounts| (counts.sent, counts.dropped) = (600, 400);
    assert_eq!(concluded(counting(dropped), RATE), Conclusion::Inconclusive);
    assert_eq!(concluded(counting(|counts| *counts = LoadCounts::default()), RATE), Conclusion::Inconclusive);
    let closed = LoadRecord { release: Release::Closed, ..load() };
    assert!(verdict(with(closed), RATE).evidence.starts_with("closed loop"));
}

#[test]
fn losses_and_disorder_are_only_a_note() {
    let lost = |counts: &mut LoadCounts| (counts.delivered, counts.lost) = (1_990, 10);
    let verdict_of_loss = verdict(counting(lost), LOSS);
    assert_eq!(verdict_of_loss.conclusion, Conclusion::Holds, "no violation");
    assert_eq!(verdict_of_loss.differs.as_deref(), Some("10 deliveries were lost"));
    assert!(verdict(counting(|counts| counts.duplicated = 3), LOSS).differs.is_some());
    assert_eq!(concluded(counting(|counts| counts.expected = 0), LOSS), Conclusion::Inconclusive);
}

#[test]
fn without_acknowledgements_nothing_holds() {
    let refused = |counts: &mut LoadCounts| {
        *counts = LoadCounts { offered: 200, sent: 200, ..LoadCounts::default() };
        counts.refused = BTreeMap::from([(0x95, 200)]);
    };
    let accepts = verdict(counting(refused), ACCEPTS);
    assert_eq!(accepts.conclusion, Conclusion::Inconclusive);
    for part in ["0 of 200 messages", "200 by 0x95 Packet too large", "lower --size"] {
        assert!(accepts.evidence.contains(part), "{part}: {}", accepts.evidence);
    }
    assert_eq!(concluded(counting(refused), LOSS), Conclusion::Inconclusive);
    let unacknowledged = |counts: &mut LoadCounts| (counts.acknowledged, counts.unacknowledged) = (0, 1_000);
    assert_eq!(concluded(counting(unacknowledged), ACCEPTS), Conclusion::Inconclusive);
    let some = |counts: &mut LoadCounts| {
        counts.acknowledged = 990;
        counts.refused = BTreeMap::from([(0x97, 10)]);
    };
    let some = verdict(counting(some), ACCEPTS);
    let seen = (some.conclusion, some.differs.as_deref());
    assert_eq!(seen, (Conclusion::Holds, Some("10 messages were refused")));
    let of_qos_0 = counting(|counts| counts.acknowledged = 0).load.unwrap();
    let of_qos_0 = LoadRecord { by_qos: BTreeMap::from([(0, of_qos_0.by_qos[&1].clone())]), ..of_qos_0 };
    let mut record = with(of_qos_0);
    judge(&mut record, CHECKS);
    assert!(every(&record.verdicts, |verdict| verdict.check != ACCEPTS) && record.verdicts.len() == 3);
}

#[test]
fn without_deliveries_nothing_holds() {
    let lost = |counts: &mut LoadCounts| (counts.delivered, counts.lost) = (0, 2_000);
    let lost = counting(lost);
    assert_eq!(lost.load.as_ref().unwrap().missing_result().unwrap(), "none of 2000 deliveries arrived");
    assert_eq!(concluded(lost, LOSS), Conclusion::Inconclusive);
    assert_eq!(load().missing_result(), None);
}

#[test]
fn deliveries_still_coming_are_a_note_and_no_loss() {
    let coming = |counts: &mut LoadCounts| (counts.delivered, counts.still_coming) = (1_990, 10);
    let verdict = verdict(counting(coming), LOSS);
    assert_eq!(verdict.conclusion, Conclusion::Holds);
    assert!(verdict.differs.unwrap().contains("10 deliveries were still coming"));
    assert_eq!(promised("loss==0", &counting(coming)).0, TrialResult::Broken, "the broker fell behind");
}

#[test]
fn subscribers_alone_need_a_live_message() {
    let listening = |retained, foreign| {
        let release = Release::Nothing;
        with(LoadRecord { publishers: 0, release, by_qos: BTreeMap::new(), retained, foreign, ..load() })
    };
    assert_eq!(concluded(listening(50, 3), LIVE), Conclusion::Holds);
    let retained = verdict(listening(50, 0), LIVE);
    assert_eq!(retained.conclusion, Conclusion::Inconclusive);
    assert!(retained.evidence.contains("50 retained messages"), "{}", retained.evidence);
    assert_eq!(concluded(listening(0, 0), LIVE), Conclusion::Inconclusive);
}

#[test]
fn lost_connections_are_not_cured_by_a_lower_rate() {
    let lost = BTreeMap::from([("DISCONNECT 0x95 Packet too large".to_owned(), 3)]);
    let connections = LoadConnections { planned: 3, accepted: 3, lost, ..LoadConnections::default() };
    let mut load = LoadRecord { connections, ..load() };
    let counts = load.by_qos.get_mut(&1).unwrap();
    (counts.sent, counts.dropped) = (600, 400);
    let evidence = verdict(with(load), RATE).evidence;
    assert!(evidence.contains("0x95") && !evidence.contains("--rate"), "{evidence}");
}

fn judged(text: &str, record: &Record) -> Verdict {
    text.parse::<Threshold>().unwrap().judge(record)
}

#[test]
fn thresholds_hold_are_violated_and_are_inconclusive() {
    let record = with(load());
    for (text, expected) in [
        ("e2e p(99)<1ms", Conclusion::Holds),
        ("e2e p(99)<900us", Conclusion::Violated),
        ("e2e p(99)<=900us", Conclusion::Holds),
        ("e2e max>1s", Conclusion::Violated),
        ("e2e p(99.9)<1s", Conclusion::Inconclusive),
        ("ack p(50)<1s", Conclusion::Inconclusive),
        ("bystander p(99)<2x baseline", Conclusion::Inconclusive),
        ("loss==0", Conclusion::Holds),
        ("sent_rate>=100", Conclusion::Holds),
        ("delivered_rate>1k", Conclusion::Violated),
        ("connections_lost==0", Conclusion::Holds),
    ] {
        assert_eq!(judged(text, &record).conclusion, expected, "{text}");
    }
}

#[test]
fn a_share_is_of_all_possible_messages() {
    let record = counting(|counts| (counts.delivered, counts.lost) = (1_980, 20));
    assert_eq!(judged("loss<=1%", &record).conclusion, Conclusion::Holds);
    assert_eq!(judged("loss<1%", &record).conclusion, Conclusion::Violated);
    assert_eq!(judged("loss==20", &record).conclusion, Conclusion::Holds);
}

#[test]
fn without_counts_a_threshold_is_inconclusive() {
    for text in ["loss==0", "dropped==0", "sent_rate>1", "connections_refused==0"] {
        assert_eq!(judged(text, &empty_record()).conclusion, Conclusion::Inconclusive, "{text}");
    }
}

#[test]
fn zero_of_impossible_messages_meets_no_threshold() {
    let nothing_came = |counts: &mut LoadCounts| (counts.delivered, counts.unknown) = (0, counts.expected);
    let record = counting(nothing_came);
    for text in ["loss==0", "duplicated==0", "reordered<1%", "delivered_rate<10k"] {
        assert_eq!(judged(text, &record).conclusion, Conclusion::Inconclusive, "{text}");
    }
    assert_eq!(judged("unknown==0", &record).conclusion, Conclusion::Violated);
    assert_eq!(judged("delivered_rate>=1", &record).conclusion, Conclusion::Violated);
    let lost = counting(|counts| (counts.delivered, counts.lost) = (0, counts.expected));
    assert_eq!(judged("loss==0", &lost).conclusion, Conclusion::Violated);
    assert_eq!(concluded(lost, LOSS), Conclusion::Inconclusive, "nothing came");
    let mut of_qos_0 = load();
    let sent = of_qos_0.by_qos.remove(&1).unwrap();
    of_qos_0.by_qos.insert(0, LoadCounts { acknowledged: 0, ..sent });
    for text in ["refused==0", "unacknowledged==0"] {
        assert_eq!(judged(text, &with(of_qos_0.clone())).conclusion, Conclusion::Inconclusive, "{text}");
        assert_eq!(judged(text, &with(load())).conclusion, Conclusion::Holds, "{text}");
    }
}

#[test]
fn with_a_late_generator_times_are_inconclusive() {
    let mut record = with(load());
    record.generator.bottlenecks = vec!["late".into()];
    assert_eq!(judged("e2e p(50)<1s", &record).conclusion, Conclusion::Inconclusive);
    assert_eq!(judged("loss==0", &record).conclusion, Conclusion::Holds);
    let mut late = counting(|counts| counts.late = 300);
    assert_eq!(judged("late==0", &late).conclusion, Conclusion::Violated);
    late.generator.bottlenecks = vec!["the schedule slipped".into()];
    let verdict = judged("late==0", &late);
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    assert!(verdict.evidence.contains("the schedule slipped"), "{verdict:?}");
}

fn promised(text: &str, record: &Record) -> (TrialResult, String) {
    text.parse::<Promise>().unwrap().judge(record)
}

#[test]
fn a_promise_is_kept_broken_or_unknown() {
    let promise = "e2e p(99)<1ms,loss==0";
    let kept = promised(promise, &with(load()));
    assert_eq!(kept, (TrialResult::Kept, "e2e p(99)<1ms: 900 µs; loss==0: 0".to_owned()));
    let lossy = counting(|counts| (counts.delivered, counts.lost) = (1_980, 20));
    assert_eq!(promised(promise, &lossy), (TrialResult::Broken, "loss==0: 20".to_owned()));
    let few = promised("e2e p(99.9)<1s,loss==0", &with(load()));
    assert!(few.0 == TrialResult::Unknown && few.1.contains("needs 10000 samples"), "{few:?}");
    let both = promised("e2e p(99.9)<1s,loss==0", &lossy);
    assert_eq!(both.0, TrialResult::Broken, "what was broken is broken, whatever else is unknown");
}

#[test]
fn unsent_messages_and_lost_connections_break_every_promise() {
    let dropped = counting(|counts| (counts.sent, counts.dropped) = (600, 400));
    let broken = (TrialResult::Broken, "400 of 1000 messages were never sent".to_owned());
    assert_eq!(promised("loss==0", &dropped), broken);
    let lost = BTreeMap::from([("FIN".to_owned(), 1)]);
    let connections = LoadConnections { planned: 3, accepted: 3, lost, ..LoadConnections::default() };
    assert_eq!(promised("loss==0", &with(LoadRecord { connections, ..load() })).0, TrialResult::Broken);
}

#[test]
fn an_inconclusive_trial_breaks_no_promise() {
    let mut late = counting(|counts| (counts.sent, counts.dropped) = (600, 400));
    late.generator.bottlenecks = vec!["the schedule slipped".into()];
    assert_eq!(promised("loss==0", &late), (TrialResult::GeneratorLate, "the schedule slipped".to_owned()));
    let connections = LoadConnections { planned: 3, accepted: 2, ..LoadConnections::default() };
    assert_eq!(promised("loss==0", &with(LoadRecord { connections, ..load() })).0, TrialResult::Unknown);
    let cut = Record { completeness: Completeness::Interrupted, ..with(load()) };
    assert_eq!(promised("loss==0", &cut).0, TrialResult::Unknown);
    assert_eq!(promised("loss==0", &empty_record()).0, TrialResult::Unknown);
}

#[test]
fn refused_unacknowledged_and_unknown_break_every_promise() {
    let refused: fn(&mut LoadCounts) = |counts| counts.refused = BTreeMap::from([(0x97, 3)]);
    let unacknowledged: fn(&mut LoadCounts) = |counts| counts.unacknowledged = 4;
    let unknown: fn(&mut LoadCounts) = |counts| counts.unknown = 5;
    for (change, why) in [
        (refused, "3 messages were refused"),
        (unacknowledged, "4 messages were not acknowledged"),
        (unknown, "5 deliveries neither arrived nor were lost by the broker"),
    ] {
        assert_eq!(promised("loss==0", &counting(change)), (TrialResult::Broken, why.to_owned()));
    }
}

#[test]
fn only_a_broker_that_falls_behind_breaks_promises() {
    let behind = LoadRecord { last_sent_us: Some(12_200_000), ..load() };
    let (came, why) = promised("loss==0", &with(behind.clone()));
    let late = "the last message was sent 1.20 s after the last one was due";
    assert_eq!((came, &*why), (TrialResult::Broken, late));
    // Ten seconds' work took 11.2 s.
    assert_eq!(judged("sent_rate>=90", &with(behind.clone())).conclusion, Conclusion::Violated);
    assert_eq!(judged("sent_rate>=89", &with(behind)).conclusion, Conclusion::Holds);
    let delivered = |last_us, p50_us| {
        let times = Percentiles { p50_us: Some(p50_us), ..load().delivery_response_time };
        with(LoadRecord { last_delivered_us: Some(last_us), delivery_response_time: times, ..load() })
    };
    let broken = promised("loss==0", &delivered(16_000_000, 2_500_000)).0;
    assert_eq!(broken, TrialResult::Broken, "up to 5 s, half of it in the middle");
    assert_eq!(
        promised("loss==0", &delivered(16_000_000, 5_000_000)).0,
        TrialResult::Kept,
        "5 s for every message"
    );
    assert_eq!(judged("delivered_rate>=134", &delivered(16_000_000, 1)).conclusion, Conclusion::Violated);
    assert_eq!(judged("delivered_rate>=133", &delivered(16_000_000, 1)).conclusion, Conclusion::Holds);
}
