//! What the checks of the second CONNECT conclude from records made by hand. No sockets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ungraceful_faults::double_connect::{ID, SECOND_CLIENT_ID, Variant};
use ungraceful_mqtt::statement;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_differs, assert_holds_by, assert_inconclusive, assert_violated,
    bystanders_that_lost_connections, empty_record,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const V5: &str = "5.0";
const V311: &str = "3.1.1";

fn case(variant: Variant, version: &str, outcomes: &[(Outcome, u64)]) -> CaseRecord {
    testing::case(ID, variant.name(), version, outcomes)
}

fn identical(version: &str, outcomes: &[(Outcome, u64)]) -> CaseRecord {
    case(Variant::Identical, version, outcomes)
}

fn record_of(cases: Vec<CaseRecord>) -> Record {
    let mut record = empty_record();
    record.witness = Some(WitnessRecord { proved: true, unexpected: 0 });
    record.cases = cases;
    record
}

fn judged(record: &Record) -> Vec<Verdict> {
    let mut record = record.clone();
    judge(&mut record, &ungraceful_faults::find(ID).expect("one of ours").checks());
    record.verdicts
}

/// The verdict of `check` on a record of one case; absent when the check has nothing to say about it.
fn verdict_on(record: &Record, check: &str) -> Option<Verdict> {
    judged(record).into_iter().find(|verdict| verdict.check == check)
}

fn verdict(case: CaseRecord, check: &str) -> Verdict {
    verdict_on(&record_of(vec![case]), check).expect("the check judges this case")
}

fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn a_record_without_cases_or_with_those_of_another_fault_has_no_verdicts_of_this_one() {
    assert_eq!(judged(&record_of(Vec::new())), []);
    let other = testing::case("flood", "identical", V5, &[(Outcome::Tolerated, 9)]);
    assert_eq!(judged(&record_of(vec![other])), []);
}

#[test]
fn cases_in_which_nothing_was_attempted_are_inconclusive_in_every_check() {
    for version in [V5, V311] {
        let cases = Variant::ALL.map(|variant| case(variant, version, &[])).to_vec();
        let verdicts = judged(&record_of(cases));
        // Four checks of every case in either version, and one each of two variants.
        assert_eq!(verdicts.len(), 4 * 5 + 2, "{version}");
        for verdict in verdicts {
            assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
        }
    }
}

#[test]
fn every_verdict_names_the_case_that_was_judged() {
    let closed = [(Outcome::Closed, 1)];
    let record = record_of(vec![identical(V5, &closed), case(Variant::Delayed, V311, &closed)]);
    let cases: Vec<String> =
        judged(&record).into_iter().filter_map(|verdict| Some(verdict.case?.to_string())).collect();
    let (first, second) = ("double-connect identical MQTT 5.0", "double-connect delayed MQTT 3.1.1");
    assert_eq!(cases, [first, second, first, second, first, second, first, second]);
}

// closes_on_second_connect

const CLOSES: &str = "closes_on_second_connect";

#[test]
fn mqtt5_3_1_0_2_a_broker_that_closes_every_connection_keeps_it() {
    let verdict = verdict(identical(V5, &[(Outcome::Closed, 5), (Outcome::Reset, 2)]), CLOSES);
    assert_holds_by(&verdict, Force::Must, Some("MQTT 5.0 [MQTT-3.1.0-2]"));
    assert_eq!(verdict.evidence, "the broker closed 7 of 7 connections");
}

#[test]
fn mqtt3_1_1_3_1_0_2_a_broker_that_closes_every_connection_keeps_it() {
    let verdict = verdict(identical(V311, &[(Outcome::Closed, 1)]), CLOSES);
    assert_holds_by(&verdict, Force::Must, Some("MQTT 3.1.1 [MQTT-3.1.0-2]"));
}

#[test]
fn a_few_in_a_hundred_that_are_served_on_accuse_nobody_who_closes_the_others() {
    let of = |served: u64| identical(V5, &[(Outcome::Closed, 100 - served), (Outcome::Tolerated, served)]);
    for served in [1, 5] {
        assert_inconclusive(&verdict(of(served), CLOSES), &format!("it closed the other {}", 100 - served));
    }
    for served in [6, 50, 100] {
        assert_violated(&verdict(of(served), CLOSES), "MQTT 5.0 [MQTT-3.1.0-2]");
    }
}

#[test]
fn mqtt5_3_1_0_2_one_client_that_is_served_on_is_enough_to_break_it() {
    let mut case = identical(V5, &[(Outcome::Closed, 6), (Outcome::Tolerated, 1), (Outcome::NoReaction, 2)]);
    case.examples = BTreeMap::from([
        ("FIN".into(), vec![0, 1, 2]),
        ("second CONNACK 0x00, still served".into(), vec![5]),
        ("still served".into(), vec![8]),
    ]);
    let verdict = verdict(case, CLOSES);
    assert_violated(&verdict, "MQTT 5.0 [MQTT-3.1.0-2]");
    assert!(verdict.evidence.contains("serving 1 of 9 clients"), "{verdict:?}");
    assert_eq!(verdict.examples, [5, 8]);
}

#[test]
fn mqtt3_1_1_3_1_0_2_one_client_that_is_served_on_is_enough_to_break_it() {
    let verdict = verdict(identical(V311, &[(Outcome::Tolerated, 1)]), CLOSES);
    assert_violated(&verdict, "MQTT 3.1.1 [MQTT-3.1.0-2]");
}

#[test]
fn a_connection_that_is_merely_left_open_is_never_an_accusation() {
    for version in [V5, V311] {
        let mut case = identical(version, &[(Outcome::Closed, 100), (Outcome::NoReaction, 1)]);
        case.examples =
            BTreeMap::from([("FIN".into(), vec![0]), ("nothing until the deadline".into(), vec![7])]);
        let verdict = verdict(case, CLOSES);
        assert_inconclusive(&verdict, "1 of 101 connections were neither closed nor served");
        assert_eq!(verdict.examples, [7]);
    }
}

#[test]
fn a_broker_that_went_down_is_not_said_to_have_closed() {
    let went_down = [(Outcome::Closed, 8), (Outcome::BrokerDown, 1)];
    assert_inconclusive(&verdict(identical(V5, &went_down), CLOSES), "went down during 1 attempts");
    let only_down = verdict(identical(V5, &[(Outcome::BrokerDown, 3)]), CLOSES);
    assert_inconclusive(&only_down, "the broker was down (3 times)");
}

#[test]
fn attempts_that_did_not_act_tell_why_and_nothing_about_the_broker() {
    let mut case = identical(V5, &[(Outcome::NotActed, 4), (Outcome::Interrupted, 1)]);
    case.troubles = counts(&[("cannot connect: connection refused", 3), ("silent", 1)]);
    let verdict = verdict(case, CLOSES);
    let why =
        "none of 5 attempts is evidence: cannot connect: connection refused (3 times); silent (1 times)";
    assert_inconclusive(&verdict, why);
}

// sends_one_connack

const ONE_CONNACK: &str = "sends_one_connack";

#[test]
fn mqtt5_3_2_0_2_no_second_connack_keeps_it_however_the_attempt_ended() {
    for outcome in [Outcome::Closed, Outcome::Reset, Outcome::Tolerated, Outcome::NoReaction] {
        let verdict = verdict(identical(V5, &[(outcome, 2)]), ONE_CONNACK);
        assert_holds_by(&verdict, Force::Must, Some("MQTT 5.0 [MQTT-3.2.0-2]"));
    }
}

fn with_second_connack(version: &str) -> CaseRecord {
    let mut case = identical(version, &[(Outcome::Closed, 3)]);
    case.attempts_with_second_connack = 1;
    case.examples = BTreeMap::from([("FIN".into(), vec![0]), ("second CONNACK 0x82, FIN".into(), vec![2])]);
    case
}

#[test]
fn mqtt5_3_2_0_2_one_second_connack_breaks_it() {
    let verdict = verdict(with_second_connack(V5), ONE_CONNACK);
    assert_violated(&verdict, "MQTT 5.0 [MQTT-3.2.0-2]");
    assert!(verdict.evidence.starts_with("1 of 3 clients"), "{verdict:?}");
    assert_eq!(verdict.examples, [2]);
}

#[test]
fn a_second_connack_on_3_1_1_which_has_no_such_statement_is_a_note() {
    let verdict = verdict(with_second_connack(V311), ONE_CONNACK);
    assert_differs(&verdict, "a second CONNACK");
    assert_eq!((verdict.force, verdict.citation), (Force::Prose, None));
    let without = self::verdict(identical(V311, &[(Outcome::Closed, 3)]), ONE_CONNACK);
    assert_holds_by(&without, Force::Prose, None);
}

#[test]
fn a_second_connack_of_attempts_that_are_no_evidence_is_inconclusive() {
    let mut case = identical(V5, &[(Outcome::BrokerDown, 3)]);
    case.attempts_with_second_connack = 1;
    assert_inconclusive(&verdict(case, ONE_CONNACK), "the broker was down");
}

// tells_protocol_error

const TELLS: &str = "tells_protocol_error";

fn with_codes(version: &str, clients: u64, codes: &[(u8, u64)]) -> CaseRecord {
    let mut case = identical(version, &[(Outcome::Closed, clients)]);
    case.disconnect_codes = codes.iter().copied().collect();
    case
}

#[test]
fn a_disconnect_0x82_to_every_client_tells_the_protocol_error() {
    let verdict = verdict(with_codes(V5, 4, &[(0x82, 4)]), TELLS);
    assert_holds_by(&verdict, Force::May, None);
    assert_eq!(verdict.evidence, "4 of 4 clients received DISCONNECT 0x82 (Protocol Error)");
}

#[test]
fn an_absent_disconnect_or_another_code_is_never_an_accusation() {
    let none = verdict(with_codes(V5, 4, &[]), TELLS);
    assert_differs(&none, "no DISCONNECT with a reason, which is allowed");
    let some = verdict(with_codes(V5, 4, &[(0x82, 3)]), TELLS);
    assert_differs(&some, "not every client received the reason, which is allowed");
    let others = verdict(with_codes(V5, 9, &[(0x82, 3), (0x8E, 4), (0x00, 2)]), TELLS);
    assert_differs(&others, "DISCONNECT 0x00 (2 times), DISCONNECT 0x8E (4 times)");
    assert!(others.evidence.starts_with("3 of 9"), "{others:?}");
}

#[test]
fn a_3_1_1_client_can_be_told_nothing_and_is_not_judged_by_it() {
    assert_eq!(verdict_on(&record_of(vec![with_codes(V311, 4, &[])]), TELLS), None);
}

// sends_no_disconnect_on_3_1_1

const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";

#[test]
fn a_disconnect_to_a_3_1_1_client_is_a_note_and_none_holds() {
    assert_holds_by(&verdict(with_codes(V311, 4, &[]), NO_DISCONNECT), Force::Prose, None);
    let mut case = with_codes(V311, 4, &[(0x00, 1), (0x82, 2)]);
    case.examples = BTreeMap::from([("DISCONNECT 0x82, FIN".into(), vec![3, 4]), ("FIN".into(), vec![0])]);
    let verdict = verdict(case, NO_DISCONNECT);
    assert_differs(&verdict, "a DISCONNECT from the broker");
    assert!(verdict.evidence.starts_with("3 of 4"), "{verdict:?}");
    assert_eq!((verdict.force, verdict.citation, verdict.examples), (Force::Prose, None, vec![3, 4]));
}

#[test]
fn a_5_0_client_may_be_sent_a_disconnect_and_is_not_judged_by_it() {
    assert_eq!(verdict_on(&record_of(vec![with_codes(V5, 4, &[(0x82, 4)])]), NO_DISCONNECT), None);
}

// publishes_the_will

const WILL: &str = "publishes_the_will";

fn wills(due: u64, due_and_seen: u64) -> WillRecord {
    WillRecord {
        set: due,
        due,
        due_and_seen,
        shortest_wait_of_unseen_us: (due_and_seen < due).then_some(5_001_999),
        ..WillRecord::default()
    }
}

fn with_will(version: &str, will: WillRecord) -> CaseRecord {
    let mut case = case(Variant::WithWill, version, &[(Outcome::Closed, will.set)]);
    case.will = Some(will);
    case
}

fn judged_will(proved: bool, unexpected: u64, will: WillRecord) -> Verdict {
    let mut record = record_of(vec![with_will(V5, will)]);
    record.witness = Some(WitnessRecord { proved, unexpected });
    verdict_on(&record, WILL).expect("the case sets a Will")
}

#[test]
fn mqtt5_3_1_2_8_every_will_that_came_keeps_it() {
    let verdict = judged_will(true, 0, wills(8, 8));
    assert_holds_by(&verdict, Force::Must, Some("MQTT 5.0 [MQTT-3.1.2-8]"));
    assert_eq!(verdict.evidence, "8 of 8 Wills came");
}

#[test]
fn mqtt3_1_1_3_1_2_8_is_cited_for_3_1_1() {
    let kept = verdict(with_will(V311, wills(8, 8)), WILL);
    assert_holds_by(&kept, Force::Must, Some("MQTT 3.1.1 [MQTT-3.1.2-8]"));
    assert_violated(&verdict(with_will(V311, wills(3, 0)), WILL), "MQTT 3.1.1 [MQTT-3.1.2-8]");
}

#[test]
fn mqtt5_3_1_2_8_no_will_at_all_before_a_proved_witness_breaks_it() {
    let verdict = judged_will(true, 0, wills(8, 0));
    assert_violated(&verdict, "MQTT 5.0 [MQTT-3.1.2-8]");
    assert!(verdict.evidence.starts_with("none of 8 Wills was published within 5.00 s"), "{verdict:?}");
    let instead = judged_will(true, 0, WillRecord { of_later_connect: 3, ..wills(8, 0) });
    assert!(instead.evidence.ends_with("; for 3 the Will of the second CONNECT came instead"), "{instead:?}");
}

#[test]
fn a_missing_will_among_others_that_came_may_be_our_own_share_of_the_deliveries_and_accuses_nobody() {
    assert_inconclusive(&judged_will(true, 0, wills(8, 7)), "1 of 8 Wills were not seen within 5.00 s");
}

#[test]
fn a_missing_will_before_a_witness_that_was_not_proved_to_hear_is_inconclusive() {
    assert_inconclusive(&judged_will(false, 0, wills(8, 7)), "the witness did not provably receive messages");
    let mut without_witness = record_of(vec![with_will(V5, wills(8, 7))]);
    without_witness.witness = None;
    let verdict = verdict_on(&without_witness, WILL).unwrap();
    assert_inconclusive(&verdict, "the witness did not provably receive messages");
}

#[test]
fn a_missing_will_beside_messages_that_nobody_waited_for_is_inconclusive() {
    let verdict = judged_will(true, 2, wills(8, 7));
    assert_inconclusive(&verdict, "within 5.00 s; 2 messages came after the wait");
}

#[test]
fn a_missing_will_of_a_run_that_was_cut_short_is_inconclusive() {
    for completeness in [
        Completeness::Partial,
        Completeness::Interrupted,
        Completeness::BrokerDown,
        Completeness::RecordFailed,
    ] {
        let mut record = record_of(vec![with_will(V5, wills(8, 7))]);
        record.completeness = completeness;
        assert_inconclusive(&verdict_on(&record, WILL).unwrap(), "the run did not complete");
        record.cases = vec![with_will(V5, wills(8, 8))];
        assert_eq!(verdict_on(&record, WILL).unwrap().conclusion, Conclusion::Holds, "{completeness:?}");
    }
}

#[test]
fn a_missing_will_of_a_broker_that_may_have_come_up_anew_is_inconclusive() {
    let mut record = record_of(vec![with_will(V5, wills(8, 0))]);
    record.bystanders = Some(bystanders_that_lost_connections(V5, 2));
    let verdict = verdict_on(&record, WILL).unwrap();
    assert_inconclusive(&verdict, "well-behaved clients lost 2 connections");
    assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 [MQTT-3.1.2-8]"));
}

#[test]
fn wills_that_came_hold_even_before_a_witness_that_was_not_proved() {
    assert_eq!(judged_will(false, 3, wills(8, 8)).conclusion, Conclusion::Holds);
}

#[test]
fn without_a_will_that_was_due_nothing_is_concluded() {
    assert_eq!(judged_will(true, 0, wills(0, 0)).conclusion, Conclusion::Inconclusive);
    let none_set = verdict(case(Variant::WithWill, V5, &[(Outcome::Tolerated, 4)]), WILL);
    assert_eq!(none_set.conclusion, Conclusion::Inconclusive);
    assert_eq!(none_set.citation.as_deref(), Some("MQTT 5.0 [MQTT-3.1.2-8]"));
}

#[test]
fn what_came_besides_the_wills_that_were_due_is_a_note() {
    let will = WillRecord { more_than_once: 3, ..wills(8, 8) };
    assert_differs(&judged_will(true, 0, will), "3 Wills came more than once (QoS 1)");
    let will = WillRecord { of_later_connect: 2, ..wills(8, 8) };
    assert_differs(&judged_will(true, 0, will), "2 Wills of the second CONNECT came as well");
    let will = WillRecord { not_due_and_seen: 4, ..wills(8, 8) };
    assert_differs(&judged_will(true, 0, will), "4 Wills came from clients that the broker had not cut");
}

#[test]
fn only_the_variant_that_sets_a_will_is_judged_by_it() {
    for variant in Variant::ALL.into_iter().filter(|variant| *variant != Variant::WithWill) {
        let mut case = case(variant, V5, &[(Outcome::Closed, 8)]);
        case.will = Some(wills(8, 0));
        assert_eq!(verdict_on(&record_of(vec![case]), WILL), None, "{variant}");
    }
}

// binds_no_second_client_id

const BINDS: &str = "binds_no_second_client_id";

fn with_fates(fates: &[(&str, u64)]) -> CaseRecord {
    let mut case = case(Variant::OtherClientId, V5, &[(Outcome::Closed, 9)]);
    case.facts = BTreeMap::from([(SECOND_CLIENT_ID.name().into(), counts(fates))]);
    case
}

#[test]
fn second_client_ids_that_left_nothing_hold() {
    let verdict = verdict(with_fates(&[("none", 4), ("not probed", 1)]), BINDS);
    assert_holds_by(&verdict, Force::Prose, None);
    let expected =
        "of 4 second ClientIDs, 0 were bound to the connection, 0 had a session kept, 4 left nothing";
    assert_eq!(verdict.evidence, expected);
}

#[test]
fn a_second_client_id_that_was_bound_or_kept_is_a_note() {
    for fates in [&[("live", 1), ("none", 8)][..], &[("session", 1)], &[("live", 2), ("session", 3)]] {
        let verdict = verdict(with_fates(fates), BINDS);
        assert_differs(&verdict, "one connection, two ClientIDs");
        assert_eq!((verdict.force, &verdict.citation), (Force::Prose, &None));
    }
    let evidence = verdict(with_fates(&[("live", 2), ("session", 3), ("none", 4)]), BINDS).evidence;
    let expected =
        "of 9 second ClientIDs, 2 were bound to the connection, 3 had a session kept, 4 left nothing";
    assert_eq!(evidence, expected);
}

#[test]
fn second_client_ids_that_could_not_be_probed_are_inconclusive() {
    let why = "no second ClientID could be probed";
    assert_inconclusive(&verdict(with_fates(&[("not probed", 3)]), BINDS), why);
    let record = record_of(vec![identical(V5, &[(Outcome::Closed, 3)])]);
    assert_eq!(verdict_on(&record, BINDS), None, "and the other variants have none");
}

// Whatever the record.

fn will_record() -> impl Strategy<Value = WillRecord> {
    (prop::array::uniform6(0_u64..4), prop::option::of(0_u64..9_000_000)).prop_map(|(n, wait_us)| {
        WillRecord {
            set: n[0],
            due: n[1],
            due_and_seen: n[2],
            not_due_and_seen: n[3],
            more_than_once: n[4],
            of_later_connect: n[5],
            shortest_wait_of_unseen_us: wait_us,
            ..WillRecord::default()
        }
    })
}

fn any_case() -> impl Strategy<Value = CaseRecord> {
    const OUTCOMES: [Outcome; 7] = [
        Outcome::Closed,
        Outcome::Reset,
        Outcome::Tolerated,
        Outcome::NoReaction,
        Outcome::BrokerDown,
        Outcome::NotActed,
        Outcome::Interrupted,
    ];
    let which = (prop::sample::select(&Variant::ALL), prop::sample::select(&[V5, V311]));
    let codes = prop::collection::btree_map(any::<u8>(), 0_u64..4, 0..3);
    let fates = prop::array::uniform4(0_u64..3);
    let outcomes = prop::array::uniform7(0_u64..3);
    (which, outcomes, codes, 0_u64..3, fates, prop::option::of(will_record())).prop_map(
        |((variant, version), outcomes, codes, connacks, fates, will)| {
            let mut case = case(variant, version, &OUTCOMES.into_iter().zip(outcomes).collect::<Vec<_>>());
            case.disconnect_codes = codes;
            case.attempts_with_second_connack = connacks;
            let names = ["live", "session", "none", "not probed"];
            let fates = names.into_iter().map(str::to_owned).zip(fates).collect();
            case.facts = BTreeMap::from([(SECOND_CLIENT_ID.name().into(), fates)]);
            case.will = will;
            case
        },
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let completeness = prop::sample::select(&[
        Completeness::Partial,
        Completeness::Complete,
        Completeness::Interrupted,
        Completeness::BrokerDown,
        Completeness::RecordFailed,
    ]);
    let witness = prop::option::of((any::<bool>(), 0_u64..2));
    (prop::collection::vec(any_case(), 0..6), completeness, witness).prop_map(
        |(cases, completeness, witness)| {
            let mut record = record_of(cases);
            record.completeness = completeness;
            record.witness = witness.map(|(proved, unexpected)| WitnessRecord { proved, unexpected });
            record
        },
    )
}

proptest! {
    #[test]
    fn whatever_a_record_says_only_a_numbered_must_of_the_right_version_is_ever_violated(record in any_record()) {
        for verdict in judged(&record) {
            let case = verdict.case.as_ref().expect("every verdict here is about a case");
            if verdict.conclusion == Conclusion::Violated {
                prop_assert_eq!(verdict.force, Force::Must);
                let citation = verdict.citation.as_deref().expect("an accusation has a number");
                prop_assert!(citation.starts_with(&format!("MQTT {} [MQTT-", case.version)), "{:?}", verdict);
                let is_known = statement::ALL.iter().any(|statement| statement.to_string() == citation);
                prop_assert!(is_known, "{:?}", verdict);
            }
            prop_assert!(verdict.differs.is_none() || verdict.conclusion == Conclusion::Holds, "{:?}", verdict);
            prop_assert!(!verdict.evidence.is_empty(), "{:?}", verdict);
        }
    }

    #[test]
    fn without_evidence_there_is_no_verdict_but_inconclusive_on_what_the_broker_does(
        down in 0_u64..3, not_acted in 0_u64..3, interrupted in 0_u64..3, connacks in 0_u64..3,
    ) {
        for version in [V5, V311] {
            let mut case = identical(version, &[
                (Outcome::BrokerDown, down), (Outcome::NotActed, not_acted), (Outcome::Interrupted, interrupted),
            ]);
            case.attempts_with_second_connack = connacks;
            for verdict in judged(&record_of(vec![case])) {
                prop_assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{:?}", verdict);
            }
        }
    }
}

// sends_nothing_else

const NOTHING_ELSE: &str = "sends_nothing_else";

#[test]
fn disconnect_connack_and_the_end_are_nothing_else() {
    let mut judged = identical(V5, &[(Outcome::Closed, 5)]);
    for label in ["DISCONNECT 0x82", "second CONNACK 0x00", "FIN", "RST"] {
        judged.reactions.insert(label.into(), 5);
    }
    assert_holds_by(&verdict(judged, NOTHING_ELSE), Force::Prose, None);
}

#[test]
fn garbage_half_packets_and_foreign_packets_differ_and_are_named_with_their_number() {
    for label in ["bytes that are no packet", "half a packet", "unexpected PUBLISH", "acknowledgement 0x97"] {
        let mut judged = identical(V311, &[(Outcome::Closed, 5)]);
        judged.reactions.insert("FIN".into(), 5);
        judged.reactions.insert(label.into(), 7);
        assert_differs(&verdict(judged, NOTHING_ELSE), &format!("{label} (×7)"));
    }
}
