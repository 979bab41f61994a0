//! The reports of a load and of a search for a rate. All numbers differ, so that a swapped line is noticed.

use std::collections::BTreeMap;

use ungraceful_record::exit::Exit;
use ungraceful_record::load::{HeldAcknowledgements, LoadConnections, LoadCounts, LoadRecord, Release};
use ungraceful_record::rate_search::{RateSearch, TrialResult};
use ungraceful_record::run::{Completeness, Record};
use ungraceful_report::{Context, Format, Search, Trial, render, render_search};

use crate::fixture::{self, counts, times};
use crate::junit;

fn messages(first: u64) -> LoadCounts {
    LoadCounts {
        offered: first,
        sent: first + 1,
        dropped: first + 2,
        blocked: first + 3,
        late: first + 4,
        acknowledged: first + 5,
        refused: BTreeMap::from([(0x97, first + 6), (0x99, 1)]),
        unacknowledged: first + 8,
        without_subscribers: first + 9,
        expected: first + 10,
        delivered: first + 11,
        lost: first + 12,
        unknown: first + 13,
        duplicated: first + 14,
        reordered: first + 15,
        still_coming: first + 16,
    }
}

fn load() -> LoadRecord {
    LoadRecord {
        release: Release::Open,
        shape: "MQTT 5.0 · 2 publishers, each to all of 3 subscribers".into(),
        publishers: 2,
        subscribers: 3,
        payload_bytes: Some(300),
        in_flight_max: 20,
        counted_from_us: Some(2_000_000),
        counted_until_us: Some(12_000_000),
        last_sent_us: Some(12_500_000),
        last_delivered_us: Some(14_000_000),
        connections: LoadConnections {
            first_syn_us: None,
            planned: 9,
            accepted: 5,
            refused: counts(&[("CONNACK 0x97 Quota exceeded", 2), ("TCP: RST", 1)]),
            lost: counts(&[("FIN", 4)]),
            never_begun: 1,
            up_after_us: Some(70_000),
            tcp_connect_time: times(30, 100),
            handshake_time: times(29, 150),
            connack_time: times(31, 200),
            suback_time: times(32, 300),
        },
        by_qos: BTreeMap::from([(0, messages(100_000)), (1, messages(200_000))]),
        foreign: 6,
        retained: 16,
        too_old: 7,
        bytes_sent: 8_000,
        bytes_received: 9_000,
        publish_response_time: times(20_000, 1_000),
        publish_service_time: times(20_001, 2_000),
        delivery_response_time: times(200_000, 3_000),
        delivery_service_time: times(200_001, 4_000),
        departure_time: times(1_001, 15),
        stalled_40_ms: Some(12_345),
        held_acknowledgements: Some(HeldAcknowledgements {
            held: 19_000,
            of: 20_001,
            waited_us_mean: 10_110,
            after_next_us_mean: 105,
        }),
        cpu_us: Some(2_500_000),
        ..LoadRecord::default()
    }
}

fn record(load: LoadRecord) -> Record {
    Record { load: Some(load), cases: Vec::new(), bystanders: None, ..fixture::all_holds() }
}

fn context() -> Context {
    Context { record_dir: Some("results/load".into()), ..Context::default() }
}

#[test]
fn a_load_in_every_format() {
    for format in Format::ALL {
        insta::assert_snapshot!(format!("load.{format}"), render(&record(load()), format, &context()));
    }
}

/// A trial of [`search`], with a time that grows with the rate.
fn trial(number: u64, per_second: f64, came: TrialResult) -> Trial {
    let mut record = record(load());
    if let Some(load) = &mut record.load {
        load.delivery_response_time = times(5_000, 1_000 * (number + 1));
    }
    Trial {
        per_second,
        came,
        why: format!("loss==0: {number}"),
        record: Box::new(record),
        directory: format!("results/search/{number}").into(),
        command: "ungraceful-bench --threshold loss==0".into(),
    }
}

/// A search on a broker that keeps the promise up to 1,500 messages/s.
pub(crate) fn search(end: TrialResult) -> Search {
    let mut rates = RateSearch::new(1_000.0, 1.0, 1e6);
    let mut trials = Vec::new();
    while let Some(per_second) = rates.next() {
        let came = if per_second <= 1_500.0 { TrialResult::Kept } else { end };
        rates.record(per_second, came);
        trials.push(trial(trials.len() as u64, per_second, came));
    }
    Search {
        version: "0.1.0".into(),
        tool: "ungraceful-bench pubsub".into(),
        seed: 12_345,
        started_utc: "2026-02-03T04:05:06.789Z".into(),
        duration_us: 98_000_000,
        promise: "loss==0".parse().expect("it is a promise"),
        trials,
        rates,
        ended_by: None,
    }
}

#[test]
fn a_search_in_every_format() {
    let search = search(TrialResult::Broken);
    for format in [Format::Text, Format::Markdown, Format::Csv, Format::Junit] {
        insta::assert_snapshot!(format!("search.{format}"), render_search(&search, format, &context()));
    }
    let json = render_search(&search, Format::Json, &context());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["highest_kept_per_second"].as_f64(), json["exit"]["code"].as_u64()),
        (Some(1_500.0), Some(0))
    );
    assert_eq!(json["lowest_not_kept_per_second"].as_f64(), search.rates.limit().map(|(rate, _)| rate));
    assert_eq!(json["trials"].as_array().unwrap().len(), search.trials.len());
    assert_eq!(json["trials"][1]["run"]["load"]["foreign"], 6);
}

#[test]
fn a_search_exits_by_its_end() {
    let assert_exits = |search: &Search, exit: Exit, why: &str| {
        assert_eq!(search.exit(), exit, "{why}");
        let xml = render_search(search, Format::Junit, &context());
        assert_eq!(junit::is_clean(&xml), exit == Exit::Holds, "{xml}");
        assert_eq!(xml.contains("<failure"), exit == Exit::Violated, "{xml}");
    };
    assert_exits(&search(TrialResult::Broken), Exit::Holds, "a rate was found");
    assert_exits(
        &search(TrialResult::GeneratorLate),
        Exit::Inconclusive,
        "the broker's own limit is not known",
    );
    assert_exits(&search(TrialResult::Unknown), Exit::Inconclusive, "the last trial proves nothing");
    let interrupted = Search { ended_by: Some(Exit::Interrupted), ..search(TrialResult::Broken) };
    assert_exits(&interrupted, Exit::Interrupted, "it was interrupted");
    let begun =
        Search { rates: RateSearch::new(5.0, 1.0, 9.0), trials: Vec::new(), ..search(TrialResult::Broken) };
    assert_exits(&begun, Exit::Inconclusive, "nothing was tried");
    let mut never = RateSearch::new(1.0, 1.0, 9.0);
    never.record(1.0, TrialResult::Broken);
    never.record(1.0, TrialResult::Broken);
    let never = Search { rates: never, ..search(TrialResult::Broken) };
    assert_exits(&never, Exit::Violated, "no rate keeps the promise");
}

#[test]
fn an_interrupted_load_shows_its_results() {
    let cut = Record { completeness: Completeness::Interrupted, ..record(load()) };
    let shown = render(&cut, Format::Text, &context());
    assert!(shown.contains("INTERRUPTED") && shown.contains("5 of 9 accepted"), "{shown}");
}
