//! The checks of the second CONNECT.

use proptest::prelude::*;
use ungraceful_faults::double_connect::{ID, SECOND_CLIENT_ID, Variant};
use ungraceful_record::reaction::Outcome::{
    self, BrokerDown, Closed, Interrupted, NoReaction, NotActed, Reset, Tolerated,
};
use ungraceful_record::run::{CaseRecord, WillRecord};
use ungraceful_record::testing::{assert_holds_by, empty_record};
use ungraceful_record::verdict::{Conclusion, Force, judge};

use crate::any::{CUT_SHORT, any_outcomes, any_record, any_will, judged, sound};
use crate::common::{TestCase, V5, V311, wills};

const CLOSE: &str = "MQTT-3.1.0-2";
const PUBLISH_WILL: &str = "MQTT-3.1.2-8";

fn case(variant: Variant, version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    TestCase::new(ID, variant.name(), version, outcomes)
}

fn identical(version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    case(Variant::Identical, version, outcomes)
}

/// How a verdict cites the statement of one version.
fn cited(version: &str, statement: &str) -> String {
    format!("MQTT {version} [{statement}]")
}

#[test]
fn records_without_cases_of_this_fault_have_no_verdicts() {
    let mut record = empty_record();
    judge(&mut record, &ungraceful_faults::find(ID).expect("a known fault").checks());
    assert_eq!(record.verdicts, []);
    assert_eq!(TestCase::new("flood", "identical", V5, &[(Tolerated, 9)]).verdicts_of(ID), []);
}

#[test]
fn cases_without_attempts_are_inconclusive_in_every_check() {
    for version in [V5, V311] {
        let verdicts = Variant::ALL.map(|variant| case(variant, version, &[]).all_inconclusive());
        // Four checks of every case in either version, and one each of two variants.
        assert_eq!(verdicts.iter().sum::<usize>(), 4 * 5 + 2, "{version}");
    }
}

#[test]
fn every_verdict_names_its_case() {
    let delayed = case(Variant::Delayed, V311, &[(Closed, 1)]);
    let verdicts = identical(V5, &[(Closed, 1)]).beside(delayed.case).verdicts();
    let cases: Vec<String> =
        verdicts.into_iter().filter_map(|verdict| Some(verdict.case?.to_string())).collect();
    let (first, second) = ("double-connect identical MQTT 5.0", "double-connect delayed MQTT 3.1.1");
    assert_eq!(cases, [first, second, first, second, first, second, first, second]);
}

// closes_on_second_connect

const CLOSES: &str = "closes_on_second_connect";

#[test]
fn mqtt5_3_1_0_2_and_mqtt3_1_1_3_1_0_2_closing_every_connection_holds() {
    let verdict = identical(V5, &[(Closed, 5), (Reset, 2)]).holds_by(CLOSES, &cited(V5, CLOSE));
    assert_eq!(verdict.evidence, "the broker closed 7 of 7 connections");
    identical(V311, &[(Closed, 1)]).holds_by(CLOSES, &cited(V311, CLOSE));
}

#[test]
fn serving_up_to_five_percent_is_no_violation() {
    let of = |served: u64| identical(V5, &[(Closed, 100 - served), (Tolerated, served)]);
    for served in [1, 5] {
        of(served).inconclusive(CLOSES, &format!("it closed the other {}", 100 - served));
    }
    for served in [6, 50, 100] {
        of(served).violates(CLOSES, &cited(V5, CLOSE));
    }
}

#[test]
fn mqtt5_3_1_0_2_and_mqtt3_1_1_3_1_0_2_serving_one_client_is_a_violation() {
    let case = identical(V5, &[(Closed, 6), (Tolerated, 1), (NoReaction, 2)])
        .examples("FIN", &[0, 1, 2])
        .examples("second CONNACK 0x00, still served", &[5])
        .examples("still served", &[8]);
    let verdict = case.violates(CLOSES, &cited(V5, CLOSE));
    assert!(verdict.evidence.contains("serving 1 of 9 clients"), "{verdict:?}");
    assert_eq!(verdict.examples, [5, 8]);
    identical(V311, &[(Tolerated, 1)]).violates(CLOSES, &cited(V311, CLOSE));
}

#[test]
fn an_open_connection_alone_is_no_violation() {
    for version in [V5, V311] {
        let case = identical(version, &[(Closed, 100), (NoReaction, 1)])
            .examples("FIN", &[0])
            .examples("nothing until the deadline", &[7]);
        let verdict = case.inconclusive(CLOSES, "1 of 101 connections were neither closed nor served");
        assert_eq!(verdict.examples, [7]);
    }
}

#[test]
fn a_broker_that_went_down_did_not_close_connections() {
    let went_down = identical(V5, &[(Closed, 8), (BrokerDown, 1)]);
    went_down.inconclusive(CLOSES, "went down during 1 attempts");
    identical(V5, &[(BrokerDown, 3)]).inconclusive(CLOSES, "the broker was down (3 times)");
}

#[test]
fn attempts_that_did_not_act_report_why() {
    let mut case = identical(V5, &[(NotActed, 4), (Interrupted, 1)]);
    for (trouble, count) in [("cannot connect: connection refused", 3), ("silent", 1)] {
        case.case.troubles.insert(trouble.to_owned(), count);
    }
    let why =
        "none of 5 attempts is evidence: cannot connect: connection refused (3 times); silent (1 times)";
    case.inconclusive(CLOSES, why);
}

// sends_one_connack

const ONE_CONNACK: &str = "sends_one_connack";
const ONE_CONNACK_CITED: &str = "MQTT 5.0 [MQTT-3.2.0-2]";

fn with_second_connack(version: &str, outcome: Outcome) -> TestCase {
    let mut case = identical(version, &[(outcome, 3)]);
    case.case.attempts_with_second_connack = 1;
    case.examples("FIN", &[0]).examples("second CONNACK 0x82, FIN", &[2])
}

#[test]
fn mqtt5_3_2_0_2_no_second_connack_holds_for_every_outcome() {
    for outcome in [Closed, Reset, Tolerated, NoReaction] {
        identical(V5, &[(outcome, 2)]).holds_by(ONE_CONNACK, ONE_CONNACK_CITED);
    }
}

#[test]
fn mqtt5_3_2_0_2_one_second_connack_is_a_violation() {
    let verdict = with_second_connack(V5, Closed).violates(ONE_CONNACK, ONE_CONNACK_CITED);
    assert!(verdict.evidence.starts_with("1 of 3 clients"), "{verdict:?}");
    assert_eq!(verdict.examples, [2]);
}

#[test]
fn a_second_connack_on_3_1_1_is_a_note_as_it_has_no_such_statement() {
    let verdict = with_second_connack(V311, Closed).differs(ONE_CONNACK, "a second CONNACK");
    assert_eq!((verdict.force, verdict.citation), (Force::Prose, None));
    identical(V311, &[(Closed, 3)]).holds_as_prose(ONE_CONNACK);
}

#[test]
fn a_second_connack_without_evidence_is_inconclusive() {
    with_second_connack(V5, BrokerDown).inconclusive(ONE_CONNACK, "the broker was down");
}

// reports_protocol_error

const REPORTS: &str = "reports_protocol_error";

fn with_codes(version: &str, clients: u64, codes: &[(u8, u64)]) -> TestCase {
    identical(version, &[(Closed, clients)]).codes(codes)
}

#[test]
fn a_disconnect_0x82_to_every_client_holds() {
    let verdict = with_codes(V5, 4, &[(0x82, 4)]).verdict(REPORTS);
    assert_holds_by(&verdict, Force::May, None);
    assert_eq!(verdict.evidence, "4 of 4 clients received DISCONNECT 0x82 (Protocol Error)");
}

#[test]
fn an_absent_disconnect_or_another_code_is_no_violation() {
    with_codes(V5, 4, &[]).differs(REPORTS, "no DISCONNECT with a reason, which is allowed");
    let some = with_codes(V5, 4, &[(0x82, 3)]);
    some.differs(REPORTS, "not every client received the reason, which is allowed");
    let others = with_codes(V5, 9, &[(0x82, 3), (0x8E, 4), (0x00, 2)]);
    let verdict = others.differs(REPORTS, "DISCONNECT 0x00 (2 times), DISCONNECT 0x8E (4 times)");
    assert!(verdict.evidence.starts_with("3 of 9"), "{verdict:?}");
}

#[test]
fn the_reason_is_not_checked_on_3_1_1() {
    assert!(with_codes(V311, 4, &[]).has_no_verdict(REPORTS));
}

// sends_no_disconnect_on_3_1_1

const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";

#[test]
fn a_disconnect_on_3_1_1_is_a_note_and_none_holds() {
    with_codes(V311, 4, &[]).holds_as_prose(NO_DISCONNECT);
    let case = with_codes(V311, 4, &[(0x00, 1), (0x82, 2)])
        .examples("DISCONNECT 0x82, FIN", &[3, 4])
        .examples("FIN", &[0]);
    let verdict = case.differs(NO_DISCONNECT, "a DISCONNECT from the broker");
    assert!(verdict.evidence.starts_with("3 of 4"), "{verdict:?}");
    assert_eq!((verdict.force, verdict.citation, verdict.examples), (Force::Prose, None, vec![3, 4]));
}

#[test]
fn a_disconnect_on_5_0_is_not_checked_by_the_rule_of_3_1_1() {
    assert!(with_codes(V5, 4, &[(0x82, 4)]).has_no_verdict(NO_DISCONNECT));
}

// publishes_the_will

const WILL: &str = "publishes_the_will";

fn with_will(version: &str, will: WillRecord) -> TestCase {
    case(Variant::WithWill, version, &[(Closed, will.set)]).will(will)
}

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_publishing_every_will_holds() {
    for version in [V5, V311] {
        let verdict = with_will(version, wills(8, 8)).holds_by(WILL, &cited(version, PUBLISH_WILL));
        assert_eq!(verdict.evidence, "8 of 8 Wills came");
    }
}

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_publishing_no_will_is_a_violation() {
    with_will(V311, wills(3, 0)).violates(WILL, &cited(V311, PUBLISH_WILL));
    let verdict = with_will(V5, wills(8, 0)).violates(WILL, &cited(V5, PUBLISH_WILL));
    assert!(verdict.evidence.starts_with("none of 8 Wills was published within 2.00 s"), "{verdict:?}");
    let instead = with_will(V5, WillRecord { of_later_connect: 3, ..wills(8, 0) }).verdict(WILL);
    let expected = "; for 3 clients the Will of the second CONNECT was published instead";
    assert!(instead.evidence.ends_with(expected), "{instead:?}");
}

#[test]
fn missing_wills_that_have_another_explanation_are_inconclusive() {
    let some = with_will(V5, wills(8, 7));
    some.inconclusive(WILL, "1 of 8 Wills were not seen within 2.00 s");
    for deaf in [Some((false, 0)), None] {
        some.clone().witness(deaf).inconclusive(WILL, "the witness did not provably receive messages");
    }
    let unexpected = some.clone().witness(Some((true, 2)));
    unexpected.inconclusive(WILL, "within 2.00 s; 2 messages came after the wait");
    for completeness in CUT_SHORT {
        some.clone().completeness(completeness).inconclusive(WILL, "the run did not complete");
        let all = with_will(V5, wills(8, 8)).completeness(completeness).verdict(WILL);
        assert_eq!(all.conclusion, Conclusion::Holds, "{completeness:?}");
    }
    let restarted = with_will(V5, wills(8, 0)).bystanders_lost(2);
    let verdict = restarted.inconclusive(WILL, "well-behaved clients lost 2 connections");
    assert_eq!(verdict.citation, Some(cited(V5, PUBLISH_WILL)));
}

#[test]
fn wills_that_came_hold_without_a_proved_witness() {
    with_will(V5, wills(8, 8)).witness(Some((false, 3))).holds_by(WILL, &cited(V5, PUBLISH_WILL));
}

#[test]
fn without_a_due_will_the_check_is_inconclusive() {
    for case in [with_will(V5, wills(0, 0)), case(Variant::WithWill, V5, &[(Tolerated, 4)])] {
        let verdict = case.inconclusive(WILL, "");
        assert_eq!(verdict.citation, Some(cited(V5, PUBLISH_WILL)));
    }
}

#[test]
fn other_wills_beside_those_that_were_due_are_a_note() {
    for (will, note) in [
        (WillRecord { more_than_once: 3, ..wills(8, 8) }, "3 Wills came more than once (QoS 1)"),
        (
            WillRecord { of_later_connect: 2, ..wills(8, 8) },
            "2 Wills of the second CONNECT were published as well",
        ),
        (
            WillRecord { not_due_and_seen: 4, ..wills(8, 8) },
            "4 Wills were published for clients that the broker had not cut",
        ),
    ] {
        with_will(V5, will).differs(WILL, note);
    }
}

#[test]
fn only_the_variant_that_sets_a_will_is_checked_for_it() {
    for variant in Variant::ALL.into_iter().filter(|variant| *variant != Variant::WithWill) {
        let case = case(variant, V5, &[(Closed, 8)]).will(wills(8, 0));
        assert!(case.has_no_verdict(WILL), "{variant}");
    }
}

// binds_no_second_client_id

const BINDS: &str = "binds_no_second_client_id";

fn with_fates(fates: &[(&str, u64)]) -> TestCase {
    case(Variant::OtherClientId, V5, &[(Closed, 9)]).facts(SECOND_CLIENT_ID, fates)
}

#[test]
fn second_client_ids_that_leave_nothing_hold() {
    let verdict = with_fates(&[("none", 4), ("not probed", 1)]).holds_as_prose(BINDS);
    let expected = "of 4 second ClientIDs, the broker bound 0 to the connection, kept a session for 0, and kept \
                    nothing for 4";
    assert_eq!(verdict.evidence, expected);
}

#[test]
fn a_second_client_id_that_was_bound_or_kept_is_a_note() {
    for fates in [&[("live", 1), ("none", 8)][..], &[("session", 1)], &[("live", 2), ("session", 3)]] {
        let verdict = with_fates(fates).differs(BINDS, "the broker also accepted the second ClientID");
        assert_eq!((verdict.force, &verdict.citation), (Force::Prose, &None));
    }
    let evidence = with_fates(&[("live", 2), ("session", 3), ("none", 4)]).verdict(BINDS).evidence;
    let expected = "of 9 second ClientIDs, the broker bound 2 to the connection, kept a session for 3, and kept \
                    nothing for 4";
    assert_eq!(evidence, expected);
}

#[test]
fn second_client_ids_that_could_not_be_probed_are_inconclusive() {
    with_fates(&[("not probed", 3)]).inconclusive(BINDS, "no second ClientID could be probed");
    assert!(identical(V5, &[(Closed, 3)]).has_no_verdict(BINDS), "the other variants have none");
}

// sends_nothing_else

const NOTHING_ELSE: &str = "sends_nothing_else";

fn with_reactions(version: &str, labels: &[(&str, u64)]) -> TestCase {
    let mut case = identical(version, &[(Closed, 5)]);
    case.case.reactions = labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect();
    case
}

#[test]
fn disconnect_connack_and_the_end_are_expected() {
    let labels = [("DISCONNECT 0x82", 5), ("second CONNACK 0x00", 5), ("FIN", 5), ("RST", 5)];
    with_reactions(V5, &labels).holds_as_prose(NOTHING_ELSE);
}

#[test]
fn unexpected_bytes_and_packets_are_a_note_with_their_count() {
    for label in ["bytes that are no packet", "half a packet", "unexpected PUBLISH", "acknowledgement 0x97"] {
        let case = with_reactions(V311, &[("FIN", 5), (label, 7)]);
        case.differs(NOTHING_ELSE, &format!("{label} (×7)"));
    }
}

// Properties of any record.

fn any_case() -> impl Strategy<Value = CaseRecord> {
    let which = (prop::sample::select(&Variant::ALL), prop::sample::select(&[V5, V311]));
    let codes = prop::collection::btree_map(any::<u8>(), 0_u64..4, 0..3);
    let fates = prop::array::uniform4(0_u64..3);
    (which, any_outcomes(), codes, 0_u64..3, fates, any_will()).prop_map(
        |((variant, version), outcomes, codes, connacks, fates, will)| {
            let fates: Vec<_> = ["live", "session", "none", "not probed"].into_iter().zip(fates).collect();
            let case = case(variant, version, &outcomes).facts(SECOND_CLIENT_ID, &fates).case;
            CaseRecord { disconnect_codes: codes, attempts_with_second_connack: connacks, will, ..case }
        },
    )
}

proptest! {
    #[test]
    fn only_a_numbered_must_of_the_right_version_is_ever_violated(record in any_record(any_case())) {
        for verdict in judged(&record) {
            let case = verdict.case.as_ref().expect("every verdict here is about a case");
            if let Some(citation) = sound(&verdict)? {
                prop_assert!(citation.starts_with(&format!("MQTT {} [MQTT-", case.version)), "{:?}", verdict);
            }
        }
    }

    #[test]
    fn without_evidence_every_verdict_is_inconclusive(
        down in 0_u64..3, not_acted in 0_u64..3, interrupted in 0_u64..3, connacks in 0_u64..3,
    ) {
        for version in [V5, V311] {
            let outcomes = [(BrokerDown, down), (NotActed, not_acted), (Interrupted, interrupted)];
            let mut case = identical(version, &outcomes);
            case.case.attempts_with_second_connack = connacks;
            case.all_inconclusive();
        }
    }
}
