//! The checks of all take-over modes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ungraceful_faults::resumption::{LEFT_OVER, Resumption, SESSION_PRESENT};
use ungraceful_faults::takeover::storm::{
    self, DUP, HELD_BACK, IDENTIFIERS, QUEUED, REPEATED, SENT_AGAIN, Share, Situation,
};
use ungraceful_faults::takeover::{
    ALIVE, NEWCOMER, NEWCOMER_CONNACK, VersionPair, after_takeover, dead_peer, duel, flap, race,
};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::reaction::Outcome::{
    self, BrokerDown, Closed, Interrupted, NoReaction, NotActed, Reset, Tolerated,
};
use ungraceful_record::run::{CaseRecord, Completeness, WillRecord};
use ungraceful_record::testing::{empty_record, every};
use ungraceful_record::verdict::{Conclusion, Force};

use crate::any::{CUT_SHORT, any_outcomes, any_record, any_will, judged, sound};
use crate::common::{TestCase, V5, V311, wills};

const TO_V5: &str = "3.1.1-to-5.0";
const TO_V311: &str = "5.0-to-3.1.1";
/// Every pair: older connection, newcomer.
const PAIRS: [&str; 4] = [V311, V5, TO_V5, TO_V311];
const QUOTA_EXCEEDED: &str = "CONNACK 0x97 Quota exceeded";

/// Older connections of a storm with these outcomes.
fn storm(variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    TestCase::new(storm::ID, variant, version, outcomes)
}

/// `count` older connections of a storm that were closed, each by an accepted newcomer.
fn closed(variant: &str, version: &str, count: u64) -> TestCase {
    storm(variant, version, &[(Closed, count)]).accepted(count).fact(ALIVE, "1", count)
}

impl TestCase {
    /// This number of newcomers was accepted.
    fn accepted(self, count: u64) -> Self {
        self.fact(NEWCOMER, "accepted", count)
    }

    /// One more attempt during which the broker went down.
    fn down(mut self) -> Self {
        self.case.outcomes.insert(BrokerDown.name().into(), 1);
        self
    }
}

/// The citation for a newcomer's version: of a statement of 5.0, or of one of 3.1.1.
fn cited(version: &str, v5: &str, v311: &str) -> String {
    match version.ends_with(V5) {
        true => format!("MQTT 5.0 [MQTT-{v5}]"),
        false => format!("MQTT 3.1.1 [MQTT-{v311}]"),
    }
}

/// Every pair of versions with the citation for its newcomer's version.
fn cited_pairs<'a>(v5: &'a str, v311: &'a str) -> impl Iterator<Item = (&'static str, String)> {
    PAIRS.into_iter().map(move |pair| (pair, cited(pair, v5, v311)))
}

// All checks.

#[test]
fn cases_of_other_faults_versions_and_situations_have_no_verdicts() {
    assert_eq!(judged(&empty_record()), []);
    let of_another = TestCase::new("double-connect", "resume", V5, &[(Tolerated, 9)]);
    assert_eq!(of_another.verdicts_of(storm::ID), []);
    assert_eq!(storm("resume", "6", &[(Tolerated, 9)]).fact(ALIVE, "2", 9).verdicts(), []);
    let of_an_unknown_situation = storm("gone", V5, &[(Closed, 9)]).fact(SESSION_PRESENT, "yes", 9);
    assert!(every(of_an_unknown_situation.verdicts(), |verdict| verdict.check != STARTS));
}

#[test]
fn cases_without_attempts_are_inconclusive_in_every_check() {
    for pair in PAIRS {
        for situation in Situation::ALL {
            storm(situation.name(), pair, &[]).all_inconclusive();
        }
        for fault in [duel::ID, race::ID, dead_peer::ID] {
            TestCase::new(fault, "resume", pair, &[]).all_inconclusive();
        }
    }
    assert_eq!(TestCase::new(flap::ID, "every-10ms", V5, &[]).all_inconclusive(), 2);
}

#[test]
fn attempts_without_evidence_are_inconclusive_in_every_check() {
    let nothing = [(BrokerDown, 3), (Interrupted, 2), (NotActed, 1)];
    for completeness in [Completeness::Interrupted, Completeness::BrokerDown, Completeness::Partial] {
        for situation in Situation::ALL {
            let case = storm(situation.name(), V5, &nothing).completeness(completeness);
            assert!(case.all_inconclusive() >= 5, "{situation}");
        }
    }
}

#[test]
fn every_verdict_names_its_case() {
    let verdicts = closed("resume", V5, 1).beside(closed("clean", TO_V5, 1).case).verdicts();
    let cases: BTreeSet<String> =
        verdicts.into_iter().map(|verdict| verdict.case.unwrap().to_string()).collect();
    let expected = ["storm clean MQTT 3.1.1-to-5.0", "storm resume MQTT 5.0"];
    assert_eq!(cases.into_iter().collect::<Vec<_>>(), expected);
}

// closes_the_older_connection

const CLOSES: &str = "closes_the_older_connection";
const CLOSES_ON_5_0: &str = "MQTT 5.0 [MQTT-3.1.4-3]";

#[test]
fn mqtt5_3_1_4_3_and_mqtt3_1_1_3_1_4_2_closing_every_older_connection_holds() {
    for (pair, citation) in cited_pairs("3.1.4-3", "3.1.4-2") {
        let case = storm("clean", pair, &[(Closed, 5), (Reset, 2)]).accepted(7).fact(ALIVE, "1", 7);
        let verdict = case.holds_by(CLOSES, &citation);
        assert_eq!(verdict.evidence, "the broker closed 7 of 7 older connections");
    }
}

#[test]
fn mqtt5_3_1_4_3_and_mqtt3_1_1_3_1_4_2_two_live_connections_are_a_violation() {
    for (pair, citation) in cited_pairs("3.1.4-3", "3.1.4-2") {
        for fault in [storm::ID, duel::ID, race::ID, dead_peer::ID] {
            for value in ["2", "2 or more"] {
                let case = TestCase::new(fault, "clean", pair, &[(Closed, 6), (Tolerated, 1)]).accepted(7);
                let case = case.fact(ALIVE, "1", 6).fact(ALIVE, value, 1);
                let case = case.examples("FIN", &[0, 1]).examples("still served", &[4]);
                let verdict = case.violates(CLOSES, &citation);
                let expected = "1 of 7 ClientIDs still had more than one live connection";
                assert!(verdict.evidence.starts_with(expected), "{verdict:?}");
                assert_eq!(verdict.examples, [4]);
            }
        }
    }
}

#[test]
fn an_older_connection_beside_a_refused_newcomer_is_no_violation() {
    let case = storm("clean", V5, &[(Tolerated, 4)]);
    let case = case.fact(NEWCOMER, "CONNACK 0x85 Client Identifier not valid", 4);
    let why = "accepted none of the newcomers (4 refused or not answered)";
    let verdict = case.inconclusive(CLOSES, why);
    assert_eq!(verdict.citation.as_deref(), Some(CLOSES_ON_5_0));
}

#[test]
fn refused_newcomers_among_others_are_reported_and_the_check_holds() {
    let case = storm("clean", V5, &[(Closed, 5), (Tolerated, 3)]).accepted(5).fact(ALIVE, "1", 5);
    let verdict = case.fact(NEWCOMER, QUOTA_EXCEEDED, 3).holds_by(CLOSES, CLOSES_ON_5_0);
    let expected = "it refused 3 newcomers, and a refusal does not require it to close any";
    assert!(verdict.evidence.ends_with(expected), "{verdict:?}");
}

#[test]
fn an_older_connection_served_after_the_newcomer_ended_is_inconclusive() {
    let case = storm("clean", V5, &[(Closed, 5), (Tolerated, 2)]).accepted(7).fact(ALIVE, "1", 7);
    let case = case.examples("still served", &[3, 5]);
    let verdict = case.inconclusive(CLOSES, "it kept serving the older connection and not the newcomer");
    assert_eq!(verdict.examples, [3, 5]);
    let case = storm("clean", V5, &[(Tolerated, 2)]).accepted(2).fact(ALIVE, "1", 2);
    case.inconclusive(CLOSES, "closed 0 older connections and accepted 2 newcomers");
}

#[test]
fn an_older_connection_in_an_unknown_state_is_no_violation() {
    let unknown = |outcome| {
        let case = storm("clean", V5, &[(Closed, 9), (outcome, 1)]).accepted(10);
        case.fact(ALIVE, "1", 9).fact(ALIVE, "unknown", 1)
    };
    let case = unknown(NoReaction).examples("nothing until the deadline", &[7]);
    let verdict = case.inconclusive(CLOSES, "1 of 10 older connections were neither closed nor served");
    assert_eq!(verdict.examples, [7]);
    // Still served, but the broker had only just accepted the newcomer.
    unknown(Tolerated).inconclusive(CLOSES, "");
}

#[test]
fn a_race_or_duel_without_a_take_over_is_inconclusive() {
    for fault in [duel::ID, race::ID] {
        let case = TestCase::new(fault, "clean", V5, &[(NoReaction, 2), (Closed, 1)]);
        let case = case.accepted(3).fact(ALIVE, "1", 3);
        case.inconclusive(CLOSES, "in 2 of 3 attempts the broker closed no connection");
    }
}

#[test]
fn a_broker_that_went_down_did_not_close_connections() {
    let case = storm("clean", V5, &[(Closed, 8), (BrokerDown, 1)]).accepted(8).fact(ALIVE, "1", 8);
    case.inconclusive(CLOSES, "closed 8 older connections, then went down during 1 attempts");
}

// accepts_the_newcomer

const ACCEPTS: &str = "accepts_the_newcomer";

#[test]
fn accepted_newcomers_hold_and_a_refused_one_is_a_note_with_its_reason() {
    closed("clean", V5, 3).holds_as_prose(ACCEPTS);
    let case = closed("clean", V5, 3).fact(NEWCOMER, "CONNACK 0x9F Connection rate exceeded", 2);
    let verdict = case.differs(ACCEPTS, "CONNACK 0x9F Connection rate exceeded (×2)");
    assert_eq!((verdict.force, verdict.evidence.as_str()), (Force::Prose, "3 of 5 newcomers were accepted"));
}

// leaves_one_connection

const LEAVES_ONE: &str = "leaves_one_connection";

#[test]
fn one_live_connection_holds_and_none_or_two_are_a_note() {
    closed("clean", V5, 3).holds_as_prose(LEAVES_ONE);
    let case = closed("clean", V5, 3).facts(ALIVE, &[("0", 2), ("2", 1), ("2 or more", 4)]);
    let verdict = case.differs(LEAVES_ONE, "7 ClientIDs without exactly one live connection");
    let expected = "3 ClientIDs ended with one live connection, 2 with none, 5 with more";
    assert_eq!((verdict.force, verdict.evidence.as_str()), (Force::Prose, expected));
}

#[test]
fn an_unknown_number_of_live_connections_is_inconclusive() {
    let case = TestCase::new(duel::ID, "clean", V5, &[(Closed, 2)]).accepted(2).fact(ALIVE, "unknown", 2);
    case.inconclusive(LEAVES_ONE, "none of 2 attempts is evidence");
}

// reports_session_taken_over

const REPORTS: &str = "reports_session_taken_over";

#[test]
fn a_disconnect_0x8e_to_every_older_client_holds_and_all_else_is_a_note() {
    for pair in [V5, TO_V311] {
        let with_codes = |codes| closed("clean", pair, 4).codes(codes);
        with_codes(&[(0x8E, 4)]).holds_as_prose(REPORTS);
        with_codes(&[]).differs(REPORTS, "no DISCONNECT with a reason, which is allowed");
        let some = with_codes(&[(0x8E, 3)]);
        some.differs(REPORTS, "not every client received the reason, which is allowed");
        with_codes(&[(0x8E, 3), (0x87, 1)]).differs(REPORTS, "DISCONNECT 0x87 (1 times)");
    }
}

#[test]
fn older_clients_that_need_not_be_closed_need_no_reason() {
    let case =
        storm("clean", V5, &[(Closed, 5), (Tolerated, 3)]).accepted(5).fact(NEWCOMER, QUOTA_EXCEEDED, 3);
    case.codes(&[(0x8E, 5)]).holds_as_prose(REPORTS);
    storm("clean", V5, &[(Tolerated, 3)]).accepted(3).inconclusive(REPORTS, "closed no older connection");
}

#[test]
fn the_reason_is_not_checked_for_older_clients_of_3_1_1() {
    for pair in [V311, TO_V5] {
        assert!(closed("clean", pair, 4).has_no_verdict(REPORTS), "{pair}");
    }
}

// sends_no_disconnect_on_3_1_1

const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";

#[test]
fn a_disconnect_to_an_older_client_of_3_1_1_is_a_note_for_any_newcomer() {
    for pair in [V311, TO_V5] {
        closed("clean", pair, 4).holds_as_prose(NO_DISCONNECT);
        let case = closed("clean", pair, 4).codes(&[(0x8E, 4)]).examples("DISCONNECT 0x8E, FIN", &[1]);
        let verdict = case.differs(NO_DISCONNECT, "a DISCONNECT from the broker");
        assert_eq!((verdict.force, verdict.examples), (Force::Prose, vec![1]));
    }
    for pair in [V5, TO_V311] {
        assert!(closed("clean", pair, 4).has_no_verdict(NO_DISCONNECT), "{pair}");
    }
}

// starts_a_new_session

const STARTS: &str = "starts_a_new_session";

#[test]
fn mqtt5_3_1_2_4_and_mqtt3_1_1_3_1_2_6_a_new_session_without_the_older_one_holds() {
    for (pair, citation) in cited_pairs("3.1.2-4", "3.1.2-6") {
        for variant in ["discard", "discard-will-delay", "clean", "clean-will-delay"] {
            let case = closed(variant, pair, 3).fact(SESSION_PRESENT, "no", 3).fact(LEFT_OVER, "none", 3);
            case.holds_by(STARTS, &citation);
        }
    }
}

#[test]
fn mqtt5_3_2_2_2_and_mqtt3_1_1_3_2_2_1_session_present_after_clean_start_is_a_violation() {
    for (pair, citation) in cited_pairs("3.2.2-2", "3.2.2-1") {
        let case = closed("discard", pair, 3).facts(SESSION_PRESENT, &[("no", 2), ("yes", 1)]);
        case.fact(LEFT_OVER, "none", 3).violates(STARTS, &citation);
    }
}

#[test]
fn mqtt5_3_1_2_4_and_mqtt3_1_1_3_1_2_6_a_message_of_the_older_session_is_a_violation() {
    for (pair, citation) in cited_pairs("3.1.2-4", "3.1.2-6") {
        for present in ["yes", "no"] {
            let case = closed("discard", pair, 3).fact(SESSION_PRESENT, present, 3);
            case.facts(LEFT_OVER, &[("none", 2), ("some", 1)]).violates(STARTS, &citation);
        }
    }
}

#[test]
fn newcomers_with_clean_start_0_are_not_checked_for_a_new_session() {
    for variant in ["resume", "resume-will-delay", "ended", "ended-will-delay"] {
        let case = closed(variant, V5, 3).fact(SESSION_PRESENT, "yes", 3).fact(LEFT_OVER, "some", 3);
        assert!(case.has_no_verdict(STARTS), "{variant}");
    }
}

// ends_the_session

const ENDS: &str = "ends_the_session";

#[test]
fn mqtt5_4_1_0_2_and_mqtt3_1_1_3_1_2_6_resuming_an_ended_session_is_a_violation() {
    for (pair, present) in cited_pairs("3.2.2-3", "3.2.2-3") {
        // The session is subject to the older client's version, the CONNACK to the newcomer's.
        let kept = cited(pair.split("-to-").next().unwrap(), "4.1.0-2", "3.1.2-6");
        for variant in ["ended", "ended-will-delay"] {
            let case = |present, left_over| {
                closed(variant, pair, 3).fact(SESSION_PRESENT, present, 3).fact(LEFT_OVER, left_over, 3)
            };
            case("no", "none").holds_by(ENDS, &kept);
            case("yes", "some").violates(ENDS, &kept);
            case("no", "some").violates(ENDS, &kept);
            case("yes", "none").violates(ENDS, &present);
            let unknown = case("yes", Resumption::Unknown.name());
            unknown.inconclusive(ENDS, "is not known");
            unknown.clone().fact(LEFT_OVER, "none", 1).violates(ENDS, &present);
            unknown.fact(LEFT_OVER, "some", 1).violates(ENDS, &kept);
        }
    }
    let granted = closed("ended", V5, 3).fact(SESSION_PRESENT, "not owed", 3);
    granted.inconclusive(ENDS, "a longer Session Expiry Interval than they requested");
    assert!(closed("resume", V5, 3).fact(SESSION_PRESENT, "yes", 3).has_no_verdict(ENDS));
    storm("ended", V5, &[]).inconclusive(ENDS, "is evidence");
}

// reports_session_present_correctly

const TRULY: &str = "reports_session_present_correctly";

#[test]
fn mqtt5_3_2_2_3_and_mqtt3_1_1_3_2_2_2_denying_a_resumed_session_is_a_violation() {
    for (pair, citation) in cited_pairs("3.2.2-3", "3.2.2-2") {
        let denied = closed("resume", pair, 3).fact(SESSION_PRESENT, Resumption::Unannounced.name(), 3);
        denied.violates(TRULY, &citation);
        denied.holds_by(RESUMES, &cited(pair, "3.1.2-5", "3.1.2-4"));
        closed("resume", pair, 3).fact(SESSION_PRESENT, "no", 3).holds_by(TRULY, &citation);
        assert!(resumed(pair, 3).has_no_verdict(TRULY), "no client received Session Present 0");
    }
    let cut = closed("resume", V5, 3).fact(SESSION_PRESENT, Resumption::Unknown.name(), 3);
    cut.inconclusive(RESUMES, "whether their session existed all the same is not known");
}

// After the take-over.

const KEEPS_SERVING: &str = "keeps_serving_the_newcomer";
const SUBSCRIBED: &str = "keeps_the_newcomers_subscription";
const WITHHOLDS: &str = "withholds_the_newcomers_will";

fn observed(pair: &str, later: &[(&str, u64)]) -> TestCase {
    let count = later.iter().map(|(_, count)| count).sum();
    let case = TestCase::new(dead_peer::ID, "silent", pair, &[(Closed, count)]).accepted(count);
    case.facts(after_takeover::LATER, later)
}

#[test]
fn cutting_every_well_behaved_newcomer_is_a_violation_on_5_0() {
    for pair in PAIRS {
        observed(pair, &[("served", 3)]).holds_as_prose(KEEPS_SERVING);
        let cut = observed(pair, &[("cut by FIN", 3)]);
        if !pair.ends_with(V5) {
            // 3.1.1 section 3.1.2.10: at any time, if the broker considers the client inactive.
            cut.differs(KEEPS_SERVING, "3 newcomers were cut");
            continue;
        }
        cut.inconclusive(KEEPS_SERVING, "there were no bystanders to show that other clients stay connected");
        let verdict = cut.bystanders_lost(0).verdict(KEEPS_SERVING);
        assert_eq!((verdict.conclusion, verdict.force), (Conclusion::Violated, Force::Prose), "{verdict:?}");
        assert!(verdict.citation.is_some_and(|citation| citation.starts_with("MQTT 5.0 §3.1.4")));
    }
    // Only some, or only one, may have been cut for other reasons.
    observed(V5, &[("cut by FIN", 2), ("served", 1)]).differs(KEEPS_SERVING, "2 newcomers were cut");
    observed(V5, &[("cut by FIN", 1)]).differs(KEEPS_SERVING, "1 newcomers were cut");
    observed(V5, &[("unknown", 2)]).inconclusive(KEEPS_SERVING, "not observed for any of 2 newcomers");
    observed(V5, &[]).inconclusive(KEEPS_SERVING, "is evidence");
    let down = observed(V5, &[("cut by FIN", 3)]).completeness(Completeness::BrokerDown);
    down.inconclusive(KEEPS_SERVING, "the broker went down");
    assert!(closed("resume", V5, 3).has_no_verdict(KEEPS_SERVING), "a storm does not observe it");
}

#[test]
fn newcomers_not_observed_for_the_server_keep_alive_are_inconclusive() {
    for check in [KEEPS_SERVING, SUBSCRIBED, WITHHOLDS] {
        let case = observed(V5, &[("not waited for, with a Server Keep Alive of 300 s", 3)]);
        case.inconclusive(check, "of 3 older connections with a Server Keep Alive of 300 s");
    }
}

#[test]
fn mqtt5_4_1_0_1_and_mqtt3_1_1_4_1_0_2_losing_a_connected_clients_subscription_is_a_violation() {
    for (pair, citation) in cited_pairs("4.1.0-1", "4.1.0-2") {
        let case = |still| observed(pair, &[("served", 3)]).fact(after_takeover::SUBSCRIPTION, still, 3);
        case("delivers").holds_by(SUBSCRIBED, &citation);
        case("gone").violates(SUBSCRIBED, &citation);
        case("unknown").inconclusive(SUBSCRIBED, "not observed for any of 3 newcomers");
    }
}

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_a_connected_clients_will_is_a_violation() {
    for (pair, citation) in cited_pairs("3.1.2-8", "3.1.2-8") {
        let case = |will, count| observed(pair, &[("served", count)]).fact(after_takeover::WILL, will, count);
        case("withheld", 3).holds_by(WITHHOLDS, &citation);
        case("published", 3).violates(WITHHOLDS, &citation);
        case("published", 2).inconclusive(WITHHOLDS, "at least 3 attempts must show the same");
        case("withheld", 3).witness(None).inconclusive(WITHHOLDS, "did not provably receive");
    }
    observed(V5, &[("served", 3)]).inconclusive(WITHHOLDS, "this was not observed");
}

// resumes_the_session

const RESUMES: &str = "resumes_the_session";
const RESUMES_ON_5_0: &str = "MQTT 5.0 [MQTT-3.1.2-5]";

fn resumed(pair: &str, count: u64) -> TestCase {
    closed("resume", pair, count).fact(SESSION_PRESENT, "yes", count)
}

#[test]
fn mqtt5_3_1_2_5_and_mqtt3_1_1_3_1_2_4_a_session_with_all_queued_messages_holds() {
    for (pair, citation) in cited_pairs("3.1.2-5", "3.1.2-4") {
        resumed(pair, 3).holds_by(RESUMES, &citation);
        let verdict = resumed(pair, 3).fact(QUEUED, "all", 3).holds_by(RESUMES, &citation);
        let expected = "of 3 with messages queued in the session, 3 received all of them";
        assert!(verdict.evidence.ends_with(expected), "{verdict:?}");
    }
}

#[test]
fn mqtt5_3_1_2_5_and_mqtt3_1_1_3_1_2_4_one_lost_session_is_a_violation() {
    for (pair, citation) in cited_pairs("3.1.2-5", "3.1.2-4") {
        let case = resumed(pair, 3).fact(SESSION_PRESENT, "no", 1);
        if pair.contains("-to-") {
            // Neither version says what becomes of a session of the other one.
            case.differs(RESUMES, "a session is not resumed in the other version");
            continue;
        }
        let verdict = case.violates(RESUMES, &citation);
        let expected = "of 4 newcomers with Clean Start 0, 3 received Session Present 1";
        assert!(verdict.evidence.starts_with(expected), "{verdict:?}");
    }
}

#[test]
fn a_session_that_the_broker_announced_not_to_keep_is_not_owed() {
    let case = closed("resume", V5, 3).fact(SESSION_PRESENT, "not owed", 3);
    let verdict = case.inconclusive(RESUMES, "to 3 older clients that it would not keep their session");
    assert_eq!(verdict.citation.as_deref(), Some(RESUMES_ON_5_0));
    resumed(V5, 2).fact(SESSION_PRESENT, "not owed", 1).holds_by(RESUMES, RESUMES_ON_5_0);
}

/// Of 30 messages, this many were lost, each before a later one arrived.
fn lost(lost: u64) -> LedgerCounts {
    LedgerCounts { sent: 30, acknowledged: 30, delivered: 30 - lost, lost, ..LedgerCounts::default() }
}

/// Resumed sessions with these shares of their queued messages, 6 of which were lost.
fn queued(pair: &str, shares: &[(&str, u64)]) -> TestCase {
    resumed(pair, 3).facts(QUEUED, shares).messages(lost(6))
}

#[test]
fn mqtt5_4_5_0_1_a_missing_queued_message_is_a_violation_only_on_5_0() {
    queued(V5, &[("none", 3)]).violates(RESUMES, "MQTT 5.0 [MQTT-4.5.0-1]");
    for pair in [V311, TO_V5, TO_V311] {
        let note = "queued messages of the session were not delivered";
        queued(pair, &[("none", 3)]).differs(RESUMES, note);
    }
}

#[test]
fn a_partly_delivered_queue_may_have_a_limit_and_is_no_violation() {
    for (shares, held_back) in [(&[("some", 3)][..], 3), (&[("all", 2), ("none", 1)], 4)] {
        let case = queued(V5, shares).sum(HELD_BACK, 3, held_back);
        let verdict = case.differs(RESUMES, "6 of 30 acknowledged messages were lost");
        assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 [MQTT-4.5.0-1]"));
        let why = format!(
            "the broker held back {held_back} others before delivering them: its queue may have a limit"
        );
        assert!(verdict.evidence.contains(&why), "{verdict:?}");
    }
    let refused = LedgerCounts { refused: BTreeMap::from([(0x97, 2)]), ..lost(6) };
    let verdict = queued(V5, &[("none", 3)]).messages(refused).verdict(RESUMES);
    assert!(verdict.evidence.contains("it has announced a limit"), "{verdict:?}");
    let nothing_after = LedgerCounts { lost_at_the_end: 6, ..lost(6) };
    queued(V5, &[("none", 3)])
        .messages(nothing_after)
        .inconclusive(RESUMES, "so they may be late rather than lost");
}

#[test]
fn missing_messages_of_a_broker_that_went_down_are_no_violation() {
    let gone = resumed(V5, 3).fact(SESSION_PRESENT, "no", 1);
    gone.clone().down().inconclusive(RESUMES, "the broker went down");
    gone.bystanders_lost(1).inconclusive(RESUMES, "well-behaved clients lost 1 connections");
    let empty = queued(V5, &[("none", 3)]);
    empty.clone().down().differs(RESUMES, "6 of 30 acknowledged messages were lost");
    empty.bystanders_lost(1).differs(RESUMES, "6 of 30 acknowledged messages were lost");
    let part = resumed(V5, 3).facts(SENT_AGAIN, &[("all", 2), ("some", 1)]).fact(IDENTIFIERS, "kept", 3);
    part.clone().down().inconclusive(AGAIN, "the broker went down");
    part.bystanders_lost(1).inconclusive(AGAIN, "well-behaved clients lost 1 connections");
    // A wrong message that did arrive is a violation all the same.
    let wrong = resumed(V5, 3).fact(SENT_AGAIN, "all", 3).fact(IDENTIFIERS, "changed", 1);
    wrong.down().violates(AGAIN, &cited(V5, "4.4.0-1", ""));
}

#[test]
fn sessions_that_do_not_continue_are_not_checked_as_resumed_ones() {
    let gone = ["discard", "discard-will-delay", "ended", "ended-will-delay", "clean", "clean-will-delay"];
    for variant in gone {
        let case = closed(variant, V5, 3).fact(SESSION_PRESENT, "no", 3).fact(SENT_AGAIN, "none", 3);
        let case = case.fact(DUP, "missing", 3).fact(REPEATED, "twice", 3);
        for check in [RESUMES, AGAIN, MARKS, ONCE] {
            assert!(case.has_no_verdict(check), "{variant} {check}");
        }
    }
}

#[test]
fn refused_newcomers_are_no_evidence_about_sessions() {
    for (variant, check) in [("resume", RESUMES), ("discard", STARTS)] {
        let case = storm(variant, V5, &[(Tolerated, 4)]).fact(NEWCOMER, QUOTA_EXCEEDED, 4);
        case.inconclusive(check, "accepted none of the newcomers");
    }
}

// sends_again_what_was_in_flight

const AGAIN: &str = "sends_again_what_was_in_flight";

#[test]
fn mqtt5_4_4_0_1_and_mqtt3_1_1_4_4_0_1_resending_under_the_same_identifiers_holds() {
    for (pair, citation) in cited_pairs("4.4.0-1", "4.4.0-1") {
        let case = resumed(pair, 3).fact(SENT_AGAIN, "all", 3).fact(IDENTIFIERS, "kept", 3);
        case.holds_by(AGAIN, &citation);
    }
}

#[test]
fn mqtt5_4_4_0_1_and_mqtt3_1_1_4_4_0_1_no_resending_or_other_identifiers_are_a_violation() {
    for (pair, citation) in cited_pairs("4.4.0-1", "4.4.0-1") {
        for share in ["none", "some"] {
            let case = resumed(pair, 3).facts(SENT_AGAIN, &[("all", 2), (share, 1)]);
            case.violates(AGAIN, &citation);
        }
        let case = resumed(pair, 3).fact(SENT_AGAIN, "all", 3);
        case.facts(IDENTIFIERS, &[("kept", 2), ("changed", 1)]).violates(AGAIN, &citation);
    }
}

#[test]
fn messages_possibly_still_in_flight_are_no_violation() {
    for (pair, citation) in cited_pairs("4.4.0-1", "4.4.0-1") {
        let late = |fact| resumed(pair, 3).facts(fact, &[("all", 2), (Share::NotYet.name(), 1)]);
        late(SENT_AGAIN).inconclusive(AGAIN, "try a longer --resend-wait");
        late(QUEUED).inconclusive(RESUMES, "try a longer --resend-wait");
        let after_all = resumed(pair, 3).facts(SENT_AGAIN, &[("all", 1), (Share::Late.name(), 2)]);
        after_all.differs(AGAIN, "messages in flight are sent again late and out of order");
        // One overtaken message is a violation, whatever happens to the others.
        let both = resumed(pair, 3).facts(SENT_AGAIN, &[("none", 1), (Share::NotYet.name(), 2)]);
        both.violates(AGAIN, &citation);
    }
}

#[test]
fn without_a_resumed_session_no_message_is_owed_again() {
    for present in ["no", "not owed"] {
        for check in [AGAIN, MARKS, ONCE] {
            closed("resume", V5, 3).fact(SESSION_PRESENT, present, 3).inconclusive(check, "");
        }
    }
}

// marks_what_it_sends_again

const MARKS: &str = "marks_what_it_sends_again";

fn sent_again(pair: &str, dup: &[(&str, u64)], identifiers: &[(&str, u64)]) -> TestCase {
    let count = dup.iter().map(|(_, count)| count).sum();
    resumed(pair, count).fact(SENT_AGAIN, "all", count).facts(DUP, dup).facts(IDENTIFIERS, identifiers)
}

#[test]
fn mqtt5_3_3_1_1_and_mqtt3_1_1_3_3_1_1_dup_1_holds_and_dup_0_is_a_violation() {
    for (pair, citation) in cited_pairs("3.3.1-1", "3.3.1-1") {
        sent_again(pair, &[("set", 3)], &[("kept", 3)]).holds_by(MARKS, &citation);
        sent_again(pair, &[("set", 2), ("missing", 1)], &[("kept", 3)]).violates(MARKS, &citation);
    }
}

#[test]
fn messages_under_other_identifiers_are_new_and_need_no_dup() {
    let why = "those are new messages, which need no DUP";
    sent_again(V5, &[("missing", 3)], &[("changed", 3)]).inconclusive(MARKS, why);
    // At most as many as may be under other Packet Identifiers.
    for identifiers in [[("kept", 2), ("changed", 1)], [("kept", 1), ("changed", 2)]] {
        sent_again(V5, &[("set", 2), ("missing", 1)], &identifiers).inconclusive(MARKS, why);
    }
    // More than those.
    let case = sent_again(V5, &[("set", 1), ("missing", 2)], &[("kept", 2), ("changed", 1)]);
    case.violates(MARKS, "MQTT 5.0 [MQTT-3.3.1-1]");
}

// delivers_the_repeated_message_once

const ONCE: &str = "delivers_the_repeated_message_once";

#[test]
fn mqtt5_4_3_3_10_and_mqtt3_1_1_4_3_3_2_once_holds_twice_is_a_violation_none_is_a_note() {
    for (pair, citation) in cited_pairs("4.3.3-10", "4.3.3-2") {
        let repeated = |times| resumed(pair, 3).facts(REPEATED, &[("once", 2), (times, 1)]);
        resumed(pair, 3).fact(REPEATED, "once", 3).holds_by(ONCE, &citation);
        repeated("twice").violates(ONCE, &citation);
        let note = "a QoS 2 message that the broker accepted was not delivered by the deadline";
        repeated("never").differs(ONCE, note);
    }
}

// treats_the_will_as_the_session

const WILL: &str = "treats_the_will_as_the_session";
const DUE_ON_3_1_1: &str = "MQTT 3.1.1 [MQTT-3.1.2-8]";
const NOT_DUE_ON_5_0: &str = "MQTT 5.0 [MQTT-3.1.3-9]";

/// Wills that must not be published.
fn not_due(set: u64, seen: u64) -> WillRecord {
    WillRecord { set, not_due_and_seen: seen, ..wills(0, 0) }
}

fn with_will(variant: &str, pair: &str, will: WillRecord) -> TestCase {
    closed(variant, pair, will.set).will(will)
}

/// Every situation with every pair of versions, and the case that has these Wills in it.
fn will_grid(will: &WillRecord) -> impl Iterator<Item = (Situation, &'static str, TestCase)> {
    Situation::ALL.into_iter().flat_map(move |situation| {
        PAIRS.map(|pair| (situation, pair, with_will(situation.name(), pair, will.clone())))
    })
}

fn is_of_3_1_1(pair: &str) -> bool {
    pair.starts_with(V311)
}

#[test]
fn the_will_is_judged_by_the_version_of_the_older_connection() {
    for (_, pair, case) in will_grid(&wills(8, 8)) {
        let verdict = match is_of_3_1_1(pair) {
            true => case.holds_by(WILL, DUE_ON_3_1_1),
            false => case.holds_as_prose(WILL),
        };
        assert_eq!(verdict.evidence, "8 of 8 Wills came");
    }
}

#[test]
fn mqtt3_1_1_3_1_2_8_no_will_at_all_is_a_violation_on_3_1_1_and_a_note_on_5_0() {
    for (situation, pair, case) in will_grid(&wills(8, 0)) {
        if is_of_3_1_1(pair) {
            let evidence = case.violates(WILL, DUE_ON_3_1_1).evidence;
            assert!(evidence.starts_with("none of 8 Wills was published within 2.00 s"), "{evidence}");
        } else {
            let verdict = case.differs(WILL, "the Will of the older connection is not published");
            assert_eq!((verdict.force, verdict.citation), (Force::Prose, None), "{situation} {pair}");
        }
    }
}

#[test]
fn a_missing_will_of_a_broker_that_may_have_restarted_is_no_violation() {
    for (situation, pair, case) in will_grid(&wills(8, 0)).filter(|(_, pair, _)| is_of_3_1_1(pair)) {
        let case = case.bystanders_lost(1);
        let verdict = case.inconclusive(WILL, "well-behaved clients lost 1 connections");
        assert_eq!(verdict.citation.as_deref(), Some(DUE_ON_3_1_1), "{situation} {pair}");
    }
}

#[test]
fn mqtt5_3_1_3_9_only_a_delayed_will_of_a_resumed_session_is_a_violation() {
    for (situation, pair, case) in will_grid(&not_due(8, 3)) {
        if situation.name() == "resume-will-delay" && !is_of_3_1_1(pair) {
            let evidence = case.violates(WILL, NOT_DUE_ON_5_0).evidence;
            assert!(evidence.starts_with("3 of 8 Wills with a Will Delay Interval"), "{evidence}");
            let few = with_will(situation.name(), pair, not_due(8, 2));
            few.inconclusive(WILL, "at least 3 attempts must show the same");
        } else {
            case.inconclusive(WILL, "the broker closed no connection with a Will");
        }
    }
}

#[test]
fn mqtt5_3_1_3_9_no_will_holds_if_the_witness_was_proved() {
    let case = with_will("resume-will-delay", V5, not_due(8, 0));
    case.holds_by(WILL, NOT_DUE_ON_5_0);
    for deaf in [Some((false, 0)), None] {
        case.clone().witness(deaf).inconclusive(WILL, "did not provably receive");
    }
    case.witness(Some((true, 2))).inconclusive(WILL, "2 messages came after the wait for them");
    // A connection that is still open has no Will that might come.
    let open = storm("resume-will-delay", V5, &[(Tolerated, 8)]).will(not_due(8, 0));
    open.inconclusive(WILL, "the broker closed no connection with a Will");
}

#[test]
fn a_missing_delayed_will_of_a_session_that_was_not_resumed_is_a_note() {
    let case = with_will("resume-will-delay", V5, wills(8, 0));
    let verdict = case.differs(WILL, "the Will of the older connection is not published");
    assert_eq!((verdict.force, verdict.citation), (Force::Prose, None), "[MQTT-3.1.3-9] requires no Will");
}

#[test]
fn some_missing_wills_among_others_that_came_are_no_violation() {
    for (_, _, case) in will_grid(&wills(8, 7)) {
        case.inconclusive(WILL, "1 of 8 Wills were not seen within 2.00 s; the others were");
    }
}

#[test]
fn missing_wills_need_a_proved_witness_and_a_complete_run() {
    for (_, _, case) in will_grid(&wills(8, 0)) {
        let deaf = case.clone().witness(Some((false, 0)));
        deaf.inconclusive(WILL, "the witness did not provably receive messages");
        let unexpected = case.clone().witness(Some((true, 1)));
        unexpected.inconclusive(WILL, "1 messages came after the wait for them was over");
        for completeness in CUT_SHORT {
            case.clone().completeness(completeness).inconclusive(WILL, "the run did not complete");
        }
    }
}

#[test]
fn a_case_without_an_observable_will_reports_why() {
    let without = closed("clean", V311, 3);
    let verdict = without.inconclusive(WILL, "no Will could be observed");
    assert_eq!(verdict.citation.as_deref(), Some(DUE_ON_3_1_1));
    without.witness(None).inconclusive(WILL, "the witness could not subscribe");
}

#[test]
fn a_will_that_came_more_than_once_is_a_note() {
    for (_, _, case) in will_grid(&WillRecord { more_than_once: 3, ..wills(8, 8) }) {
        case.differs(WILL, "3 Wills came more than once (QoS 1)");
    }
}

// keeps_messages_across_takeovers

const KEEPS: &str = "keeps_messages_across_takeovers";

fn duelled(variant: &str, takeovers: u64, acknowledged: u64, lost: u64) -> TestCase {
    let case = TestCase::new(duel::ID, variant, V5, &[(Closed, 1)]).accepted(1);
    let delivered = acknowledged.saturating_sub(lost);
    let counts = LedgerCounts { acknowledged, delivered, lost, duplicated: 5, ..LedgerCounts::default() };
    case.sum(duel::TAKEOVERS, 1, takeovers).messages(counts)
}

#[test]
fn delivering_all_messages_holds_and_losing_some_is_a_note() {
    let verdict = duelled("resume", 30, 500, 0).holds_as_prose(KEEPS);
    let expected =
        "500 messages acknowledged, 0 of them never delivered, 5 delivered more than once, in 30 take-overs";
    assert_eq!(verdict.evidence, expected);
    let mut case = duelled("resume", 30, 500, 7);
    case.differs(KEEPS, "acknowledged messages were lost in take-overs");
    case.case.messages.get_mut(&1).unwrap().lost_at_the_end = 7;
    case.inconclusive(KEEPS, "so they may be late rather than lost");
}

#[test]
fn a_message_acknowledged_without_a_subscriber_is_lost_too() {
    let mut case = duelled("resume", 30, 500, 2);
    case.case.messages.get_mut(&1).unwrap().without_subscribers = 3;
    let verdict = case.differs(KEEPS, "acknowledged messages were lost in take-overs");
    assert!(verdict.evidence.contains("5 of them never delivered"), "{verdict:?}");
}

#[test]
fn a_duel_without_a_take_over_or_a_message_is_inconclusive() {
    for case in [duelled("resume", 0, 500, 3), duelled("resume", 30, 0, 0)] {
        case.inconclusive(KEEPS, "no message was acknowledged, or no connection was taken over");
    }
    TestCase::new(duel::ID, "resume", V5, &[(Closed, 1)]).inconclusive(KEEPS, "");
}

#[test]
fn a_clean_session_owes_no_message() {
    assert!(duelled("clean", 30, 500, 7).has_no_verdict(KEEPS));
}

// does_not_wait_for_the_dead

const WAITS: &str = "does_not_wait_for_the_dead";

fn reconnected(variant: &str, pair: &str, slowest_us: u64) -> TestCase {
    let case = TestCase::new(dead_peer::ID, variant, pair, &[(Closed, 4)]).accepted(4);
    case.range(NEWCOMER_CONNACK, 4, 1, slowest_us)
}

/// A take-over beside a dead peer that took `dead_us`, in a run where one beside a live peer took `alive_us`.
fn compared(variant: &str, alive_us: u64, dead_us: u64) -> TestCase {
    reconnected(variant, V5, dead_us).beside(reconnected("alive", V5, alive_us).case)
}

#[test]
fn waiting_ten_times_and_half_a_second_longer_for_a_dead_peer_is_a_note() {
    for variant in ["silent", "zero-window"] {
        for (alive_us, dead_us) in [(400, 900), (400, 400_000), (100_000, 900_000)] {
            compared(variant, alive_us, dead_us).holds_as_prose(WAITS);
        }
        let slow = compared(variant, 400, 4_500_000);
        let verdict = slow.differs(WAITS, "the newcomer waits for the dead connection");
        assert!(verdict.evidence.contains("took 4.50 s in the variant"), "{verdict:?}");
    }
}

#[test]
fn unanswered_newcomers_beside_a_dead_peer_do_not_count_as_fast() {
    let dead = compared("silent", 400, 900).fact(NEWCOMER, "no CONNACK within 5s", 3);
    dead.inconclusive(WAITS, "3 newcomers were refused or not answered");
    let none = TestCase::new(dead_peer::ID, "silent", V5, &[(Tolerated, 3)]);
    let none = none.fact(NEWCOMER, "no CONNACK within 5s", 3).beside(reconnected("alive", V5, 400).case);
    none.inconclusive(WAITS, "accepted none of the newcomers");
}

#[test]
fn a_comparison_needs_a_live_control_of_the_same_versions() {
    let dead = reconnected("silent", V5, 9_000_000);
    dead.inconclusive(WAITS, "add the variant alive");
    dead.beside(reconnected("alive", V311, 1).case).inconclusive(WAITS, "add the variant alive");
    assert!(reconnected("alive", V5, 9_000_000).has_no_verdict(WAITS), "the control is not judged");
}

// takes_the_client_back, serves_others

const TAKES_BACK: &str = "takes_the_client_back";
const SERVES: &str = "serves_others";

fn flapped(banned: &[(&str, u64)], others: &[(&str, u64)]) -> TestCase {
    let case = TestCase::new(flap::ID, "every-10ms", V5, &[(Tolerated, 3)]);
    case.facts(flap::BANNED, banned).facts(flap::OTHERS_SERVED, others).sum(flap::ACCEPTED, 3, 300)
}

#[test]
fn always_accepting_a_client_holds_and_a_ban_is_a_note_with_its_reason() {
    let verdict = flapped(&[("no", 3)], &[]).holds_as_prose(TAKES_BACK);
    assert!(verdict.evidence.ends_with("always accepted (300 connections)"), "{verdict:?}");
    let banned = flapped(&[("no", 1), ("CONNACK 0x8A Banned", 2)], &[]);
    banned.differs(TAKES_BACK, "refused: CONNACK 0x8A Banned (×2)");
}

#[test]
fn serving_other_clients_holds_and_refusing_one_is_a_note() {
    flapped(&[], &[("yes", 3)]).holds_as_prose(SERVES);
    flapped(&[], &[("yes", 2), ("no", 1)]).differs(SERVES, "another client was refused");
}

// Properties of any record.

fn values(names: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<String, u64>> {
    prop::collection::btree_map(prop::sample::select(names).prop_map(ToOwned::to_owned), 0_u64..4, 0..4)
}

fn any_case() -> impl Strategy<Value = CaseRecord> {
    const FAULTS: [&str; 5] = [storm::ID, duel::ID, race::ID, dead_peer::ID, flap::ID];
    let which =
        (prop::sample::select(&FAULTS), prop::sample::select(&Situation::ALL), prop::sample::select(&PAIRS));
    let facts = (
        values(&["accepted", QUOTA_EXCEEDED]),
        values(&["0", "1", "2", "2 or more", "unknown"]),
        values(&["yes", "no", "not owed", "always", "no, but resumed", "not served"]),
        values(&["all", "some", "none"]),
        values(&["kept", "changed", "set", "missing", "once", "twice", "never"]),
    );
    let codes = prop::collection::btree_map(any::<u8>(), 0_u64..4, 0..3);
    (which, any_outcomes(), facts, codes, any_will()).prop_map(
        |((fault, situation, pair), outcomes, facts, codes, will)| {
            let (newcomer, alive, present, share, rest) = facts;
            let facts = [
                (NEWCOMER.name(), newcomer),
                (ALIVE.name(), alive),
                (SESSION_PRESENT.name(), present),
                (LEFT_OVER.name(), share.clone()),
                (SENT_AGAIN.name(), share.clone()),
                (QUEUED.name(), share),
                (IDENTIFIERS.name(), rest.clone()),
                (DUP.name(), rest.clone()),
                (REPEATED.name(), rest),
            ];
            CaseRecord {
                facts: facts.map(|(name, values)| (name.to_owned(), values)).into(),
                disconnect_codes: codes,
                will,
                ..TestCase::new(fault, situation.name(), pair, &outcomes).case
            }
        },
    )
}

/// The checks that can be violated.
const CAN_BE_VIOLATED: [&str; 9] = [CLOSES, STARTS, ENDS, RESUMES, TRULY, AGAIN, MARKS, ONCE, WILL];

proptest! {
    #[test]
    fn only_a_numbered_must_of_one_of_the_versions_is_ever_violated(record in any_record(any_case())) {
        for verdict in judged(&record) {
            let case = verdict.case.as_ref().expect("every verdict here is about a case");
            if let Some(citation) = sound(&verdict)? {
                prop_assert!(CAN_BE_VIOLATED.contains(&verdict.check.as_str()), "{:?}", verdict);
                let pair: VersionPair = case.version.parse().expect("the generator makes pairs");
                // The Will and the end of the session are the older connection's; all else is owed to the newcomer.
                let of = |version| citation.starts_with(&format!("MQTT {version} [MQTT-"));
                let is_of_its_version = match verdict.check.as_str() {
                    WILL => of(pair.old),
                    ENDS => of(pair.old) || of(pair.new),
                    _ => of(pair.new),
                };
                prop_assert!(is_of_its_version, "{:?}", verdict);
                // A missing Will violates only 3.1.1, and an extra one only resume-will-delay on 5.0.
                if verdict.check == WILL {
                    let of_3_1_1 = is_of_3_1_1(&case.version);
                    prop_assert_eq!(citation, if of_3_1_1 { DUE_ON_3_1_1 } else { NOT_DUE_ON_5_0 });
                    prop_assert!(of_3_1_1 || case.variant == "resume-will-delay", "{:?}", verdict);
                }
            }
        }
    }
}
