//! The checks of kicks and expired tokens.

use ungraceful_faults::expire::token::RENEWED;
use ungraceful_faults::expire::{
    AFTER_DISCONNECT, AFTER_FAILURE, AFTER_REFUSAL, CAME_BACK, COMPANION, DELIVERED, METHOD_IN_AUTH,
    METHOD_IN_CONNACK, PAST_FIRST_TOKEN, PUBLISHED, REAUTHENTICATION, kick, removal::Means, token,
};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::every;
use ungraceful_record::verdict::Force;

use crate::common::{TestCase, V5, V311, wills};

const REFUSED: &str = "CONNACK 0x87 Not authorized";
const ACCEPTED: &str = "accepted";
const WITHOUT_RIGHTS: &str = "accepted, without its rights";
const NOT_ANSWERED: &str = "accepted, and then not answered";

/// Five clients that were removed like this, and cut.
fn kicked(means: Means, version: &str) -> TestCase {
    TestCase::new(kick::ID, means.name(), version, &[(Outcome::Closed, 3), (Outcome::Reset, 2)])
        .sum(DELIVERED, 5, 0)
        .fact(COMPANION, "served", 5)
}

/// Five clients whose token expired.
fn expired(outcome: Outcome) -> TestCase {
    TestCase::new(token::ID, "one-topic", V5, &[(outcome, 5)]).sum(DELIVERED, 5, 0)
}

#[test]
fn cases_of_other_faults_have_no_verdicts() {
    for checked in [kick::ID, token::ID] {
        let other = TestCase::new("storm", "disable", V5, &[(Outcome::Tolerated, 9)]);
        assert_eq!(other.verdicts_of(checked), []);
    }
}

#[test]
fn without_evidence_all_checks_are_inconclusive() {
    for version in [V5, V311] {
        for means in Means::ALL {
            let made = TestCase::new(kick::ID, means.name(), version, &[(Outcome::NotActed, 5)]);
            assert!(made.all_inconclusive() >= 5, "{means}");
            assert!(every(made.verdicts(), |verdict| verdict.case.is_some()));
        }
        for variant in token::Variant::ALL {
            let made = TestCase::new(token::ID, variant.name(), version, &[]);
            assert!(made.all_inconclusive() >= 5, "{variant}");
        }
    }
}

#[test]
fn a_client_that_is_still_served_is_a_prominent_note() {
    kicked(Means::Disable, V5).holds_as_prose("cuts_the_client");
    expired(Outcome::Reset).holds_as_prose("cuts_at_expiry");
    let outcomes = [(Outcome::Closed, 4), (Outcome::Tolerated, 1)];
    let made = TestCase::new(kick::ID, "disable", V5, &outcomes).sum(DELIVERED, 5, 40).sum(PUBLISHED, 5, 39);
    let verdict =
        made.differs("cuts_the_client", "STILL SERVED: 1 of 5 clients whose removal had been confirmed");
    assert!(verdict.evidence.contains("cut 4 of 5"), "{verdict:?}");
    assert!(verdict.evidence.contains("40 messages sent"), "{verdict:?}");
    assert!(verdict.evidence.contains("39 messages from them"), "{verdict:?}");
    let served = expired(Outcome::Tolerated);
    served.differs("cuts_at_expiry", "STILL SERVED: 5 of 5 clients whose token had expired");
}

#[test]
fn a_client_neither_cut_nor_served_is_inconclusive() {
    let why = "5 of 5 clients whose token had expired were neither cut nor served";
    expired(Outcome::NoReaction).inconclusive("cuts_at_expiry", why);
}

#[test]
fn deliveries_after_the_end_are_counted() {
    const CHECK: &str = "stops_deliveries";
    let made = kicked(Means::Group, V311);
    made.holds_as_prose(CHECK);
    let verdict = made.sum(DELIVERED, 5, 7).differs(CHECK, "7 messages were still delivered");
    assert!(verdict.evidence.contains("7 messages sent after the removal"), "{verdict:?}");
    TestCase::new(kick::ID, "disable", V5, &[(Outcome::Closed, 1)]).inconclusive(CHECK, "is unknown");
}

#[test]
fn the_expected_answer_to_a_return_depends_on_what_was_lost() {
    const CHECK: &str = "refuses_the_client_afterwards";
    let back = |means, answer| kicked(means, V5).fact(CAME_BACK, answer, 5);
    for means in [Means::Disable, Means::Delete, Means::Password] {
        back(means, REFUSED).holds_as_prose(CHECK);
        let some = kicked(means, V5).fact(CAME_BACK, REFUSED, 3).fact(CAME_BACK, ACCEPTED, 2);
        some.differs(CHECK, "2 of 5 removed clients were accepted again");
        back(means, WITHOUT_RIGHTS).differs(CHECK, "5 of 5 removed clients were accepted again");
    }
    back(Means::Group, WITHOUT_RIGHTS).holds_as_prose(CHECK);
    back(Means::Group, ACCEPTED).differs(CHECK, "5 of 5 clients still have their rights");
    back(Means::Group, NOT_ANSWERED).inconclusive(CHECK, "accepted, and then not answered (×5)");
    let unknown = "whether the command also bans clients is unknown";
    let by_command = back(Means::Command, ACCEPTED).inconclusive(CHECK, unknown);
    assert!(by_command.evidence.contains("accepted (×5)"), "{by_command:?}");
    back(Means::Command, REFUSED).inconclusive(CHECK, unknown);
    kicked(Means::Disable, V5).inconclusive(CHECK, "no client returned");
    back(Means::Disable, "not tried").inconclusive(CHECK, "no client returned");
}

#[test]
fn a_stale_token_must_be_refused_and_a_new_one_accepted() {
    const STALE: &str = "refuses_the_stale_token";
    const NEW: &str = "accepts_a_new_token";
    let made = || expired(Outcome::Closed);
    made().fact(CAME_BACK, REFUSED, 5).holds_as_prose(STALE);
    made().fact(CAME_BACK, ACCEPTED, 5).differs(STALE, "5 of 5 expired tokens were accepted");
    let renewed = |answer, count| made().fact(RENEWED, answer, count).fact(RENEWED, ACCEPTED, 5 - count);
    renewed(ACCEPTED, 0).holds_as_prose(NEW);
    renewed(REFUSED, 2).differs(NEW, "2 of 5 clients are not served with a new token");
    renewed(NOT_ANSWERED, 1).inconclusive(NEW, "accepted, and then not answered (×1)");
    assert!(made().has_no_verdict(NEW), "there was no new token");
}

#[test]
fn another_reason_or_none_is_allowed() {
    const CHECK: &str = "reports_administrative_action";
    let disabled = || kicked(Means::Disable, V5);
    assert_eq!(disabled().code(0x98, 5).holds(CHECK).force, Force::May);
    disabled().code(0x87, 5).differs(CHECK, "DISCONNECT 0x87 (5 times)");
    disabled().differs(CHECK, "no DISCONNECT with a reason, which is allowed");
    disabled().code(0x98, 4).differs(CHECK, "not every client received the reason, which is allowed");
    assert!(kicked(Means::Disable, V311).has_no_verdict(CHECK), "3.1.1 has no DISCONNECT from a server");
    for code in [0x87, 0xA0, 0x98] {
        assert_eq!(expired(Outcome::Closed).code(code, 5).holds("reports_the_reason").force, Force::May);
    }
    assert!(expired(Outcome::Tolerated).has_no_verdict("reports_the_reason"), "no client was cut");
}

#[test]
fn mqtt5_3_14_4_1_nothing_follows_a_disconnect() {
    const CHECK: &str = "sends_nothing_after_disconnect";
    const CITATION: &str = "MQTT 5.0 [MQTT-3.14.4-1]";
    kicked(Means::Disable, V5).fact(AFTER_DISCONNECT, "nothing", 5).holds_by(CHECK, CITATION);
    let talks = kicked(Means::Disable, V5)
        .fact(AFTER_DISCONNECT, "nothing", 4)
        .fact(AFTER_DISCONNECT, "PINGRESP and PUBLISH", 1)
        .violates(CHECK, CITATION);
    assert!(talks.evidence.contains("to 5 clients the broker sent: PINGRESP and PUBLISH (×1)"), "{talks:?}");
    assert!(kicked(Means::Disable, V5).has_no_verdict(CHECK), "there was no DISCONNECT");
    let v311 = kicked(Means::Disable, V311).fact(AFTER_DISCONNECT, "PUBLISH", 5);
    assert!(v311.has_no_verdict(CHECK), "3.1.1 has no such statement");
}

#[test]
fn mqtt5_3_2_2_7_and_mqtt3_1_1_3_2_2_5_a_refused_client_is_not_served() {
    const CHECK: &str = "closes_after_refusing";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-7]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-5]")] {
        let deleted = || kicked(Means::Delete, version);
        let one = |fate| deleted().fact(AFTER_REFUSAL, fate, 1).fact(AFTER_REFUSAL, "closed", 4);
        deleted().fact(AFTER_REFUSAL, "closed", 5).holds_by(CHECK, citation);
        one("served").violates(CHECK, citation);
        one("left open").inconclusive(CHECK, "1 of 5 connections were still open");
        assert!(deleted().has_no_verdict(CHECK), "no client was refused");
    }
}

#[test]
fn mqtt5_3_1_2_8_the_will_of_a_client_that_may_publish_is_published() {
    const CHECK: &str = "publishes_the_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let kicked = |means| kicked(means, version);
        kicked(Means::Password).will(wills(5, 5)).holds_by(CHECK, citation);
        kicked(Means::Password).will(wills(5, 0)).violates(CHECK, citation);
        // A client without the right to publish may have lost its Will as well.
        for means in [Means::Disable, Means::Delete, Means::Group] {
            kicked(means).will(wills(5, 0)).note_contains(CHECK, "clients without the right to publish");
        }
        // The return of the clients shows what a command took away.
        let by_command = || kicked(Means::Command).will(wills(5, 0));
        by_command().fact(CAME_BACK, ACCEPTED, 5).violates(CHECK, citation);
        by_command().fact(CAME_BACK, ACCEPTED, 4).fact(CAME_BACK, REFUSED, 1).note_contains(CHECK, "");
        kicked(Means::Password).will(wills(5, 3)).inconclusive(CHECK, "2 of 5 Wills were not seen");
    }
    let missing = expired(Outcome::Closed).will(wills(5, 0)).note_contains(CHECK, "");
    assert_eq!(missing.force, Force::Prose);
    assert!(expired(Outcome::Tolerated).has_no_verdict(CHECK), "no client was cut, so no Will is due");
}

#[test]
fn a_companion_that_is_cut_as_well_is_a_note() {
    kicked(Means::Disable, V5).holds_as_prose("leaves_others_alone");
    let cut = kicked(Means::Disable, V5).fact(COMPANION, "served", 3).fact(COMPANION, "cut", 2);
    cut.differs("leaves_others_alone", "2 other clients were cut as well");
}

/// Five clients that re-authenticated.
fn again(variant: &str) -> TestCase {
    TestCase::new(token::ID, variant, V5, &[(Outcome::Tolerated, 5)])
}

#[test]
fn a_renewed_token_must_be_accepted_and_the_client_still_served() {
    const CHECK: &str = "accepts_the_renewed_token";
    let answered = |word| again("reauthenticate").fact(REAUTHENTICATION, word, 5);
    answered("AUTH 0x00").holds_as_prose(CHECK);
    for word in ["nothing", "closed", "DISCONNECT 0x87", "AUTH 0x87"] {
        answered(word).differs(CHECK, "5 of 5 renewed tokens were not accepted");
    }
    answered("AUTH 0x18").inconclusive(CHECK, "goes on with AUTH 0x18");
    const PAST: &str = "serves_past_the_first_token";
    let past = |word| again("reauthenticate").fact(PAST_FIRST_TOKEN, word, 5);
    past("served").holds_as_prose(PAST);
    for word in ["cut at its end", "cut before its end"] {
        past(word).differs(PAST, "CUT ALTHOUGH RENEWED: 5 of 5 clients");
    }
    past("neither cut nor served").inconclusive(PAST, "neither cut nor served (×5)");
    answered("nothing").inconclusive(PAST, "no re-authentication succeeded");
    answered("AUTH 0x18").inconclusive(PAST, "goes on with AUTH 0x18");
    // A client that is served past its first token is no finding here.
    assert!(past("served").has_no_verdict("cuts_at_expiry"));
}

#[test]
fn a_spoilt_token_must_be_refused() {
    const CHECK: &str = "refuses_a_spoilt_token";
    let answered = |word| again("reauthenticate-spoilt").fact(REAUTHENTICATION, word, 5);
    for word in ["closed", "DISCONNECT 0x87", "AUTH 0x87"] {
        answered(word).holds_as_prose(CHECK);
    }
    answered("AUTH 0x00").differs(CHECK, "5 of 5 spoilt tokens were accepted");
    answered("nothing").differs(CHECK, "5 of 5 spoilt tokens had no answer");
    answered("AUTH 0x18").inconclusive(CHECK, "goes on with AUTH 0x18");
}

#[test]
fn mqtt5_4_12_1_2_a_failed_reauthentication_ends_the_service() {
    const CHECK: &str = "closes_after_failed_reauthentication";
    const CITATION: &str = "MQTT 5.0 [MQTT-4.12.1-2]";
    for variant in ["reauthenticate", "reauthenticate-spoilt"] {
        let after = |word| again(variant).fact(AFTER_FAILURE, word, 5);
        after("DISCONNECT, then closed").holds_by(CHECK, CITATION);
        after("served").violates(CHECK, CITATION);
        let silent = after("closed without a DISCONNECT")
            .differs(CHECK, "5 of 5 were closed without a DISCONNECT, a SHOULD");
        assert_eq!(silent.citation.as_deref(), Some(CITATION));
        let late = after("closed when the first token ended");
        late.differs(CHECK, "5 of 5 were closed only when the first token expired");
        after("neither cut nor served").inconclusive(CHECK, "neither cut nor served");
        assert!(again(variant).has_no_verdict(CHECK), "none failed");
    }
}

#[test]
fn mqtt5_4_12_0_5_connack_and_auth_name_the_method_of_the_connect() {
    const CHECK: &str = "keeps_the_method";
    const CITATION: &str = "MQTT 5.0 [MQTT-4.12.0-5]";
    let named = |connack, auth| {
        let made = again("reauthenticate").fact(METHOD_IN_CONNACK, connack, 5);
        made.fact(METHOD_IN_AUTH, auth, 5)
    };
    named("the same", "the same").holds_by(CHECK, CITATION);
    for (connack, auth) in [("none", "the same"), ("another", "the same"), ("the same", "another")] {
        named(connack, auth).violates(CHECK, CITATION);
    }
    named("the same", "no properties").differs(CHECK, "AUTH of two bytes, without a method");
    let none = TestCase::new(token::ID, "reauthenticate", V5, &[(Outcome::NotActed, 5)]);
    none.inconclusive(CHECK, "none of 5 attempts");
}
