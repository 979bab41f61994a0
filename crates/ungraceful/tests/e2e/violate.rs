//! Forbidden packets, against the scripted broker and a real one.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{Holds, Violated};
use ungraceful_scripted_broker::{InvalidFilters, Script};

use crate::real_brokers::RealBroker;
use crate::support::{Call, Target, VERSIONS, call_at};

const ANSWERS: &str = "answers_or_closes";
const GRANTS: &str = "grants_no_invalid_topic_filter";

fn violate_at(target: impl Target) -> Call {
    call_at(target, "ungraceful-violate", "topic-filter", "--attempts 3 --reaction-timeout 1s")
}

/// Three attempts of every variant in both versions, against a broker with this policy.
fn against(invalid_filters: InvalidFilters) -> Call {
    violate_at(Script { invalid_filters, ..Script::default() })
}

fn assert_answers(call: &Call, version: &str, answer: &str, outcome: Outcome) {
    for variant in ["hash-not-last", "hash-in-level", "plus-in-level", "empty"] {
        let case = call.case(variant, version);
        assert_eq!((case.fact("answer", answer), case.outcome(outcome)), (3, 3), "{call}");
    }
}

#[test]
fn closing_or_refusing_an_invalid_topic_filter_holds() {
    let call = against(InvalidFilters::Close).expect_exit(0);
    for version in VERSIONS {
        assert_answers(&call, version, "no SUBACK", Outcome::Closed);
    }
    let call = against(InvalidFilters::Refuse).expect_exit(0);
    assert_answers(&call, "5.0", "SUBACK 0x8F", Outcome::Tolerated);
    assert_answers(&call, "3.1.1", "SUBACK 0x80", Outcome::Tolerated);
    assert_eq!(call.conclusion(ANSWERS, "empty", "5.0"), Holds);
}

#[test]
fn granting_an_invalid_topic_filter_is_only_noted() {
    let call = against(InvalidFilters::Grant).expect_exit(0);
    assert_answers(&call, "3.1.1", "granted at QoS 0", Outcome::Tolerated);
    let note = call.verdicts(GRANTS).remove(0).differs;
    assert_eq!(note.as_deref(), Some("an invalid Topic Filter is granted"));
}

#[test]
fn mqtt5_3_8_4_1_and_mqtt3_1_1_3_8_4_1_ignoring_subscribe_is_violated() {
    let call = against(InvalidFilters::Ignore);
    call.assert_violates(&[ANSWERS]);
    for version in VERSIONS {
        assert_answers(&call, version, "no SUBACK", Outcome::Tolerated);
        assert_eq!(call.conclusion(ANSWERS, "hash-not-last", version), Violated);
    }
}

#[test]
fn mosquitto_closes_on_an_invalid_topic_filter() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let call = violate_at(broker.address);
    call.assert_violates_nothing();
    for version in VERSIONS {
        assert_answers(&call, version, "no SUBACK", Outcome::Closed);
    }
}
