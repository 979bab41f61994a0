//! What the checks of a kick and of a token that runs out conclude from records made by hand. No sockets.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use ungraceful_faults::expire::{
    AFTER_DISCONNECT, AFTER_FAILURE, AFTER_REFUSAL, BESIDE, CAME_BACK, DELIVERED, METHOD_IN_AUTH,
    METHOD_IN_CONNACK, PAST_FIRST_TOKEN, PUBLISHED, REAUTHENTICATION, kick, removal::Means, token,
};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::metric::Distribution;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_differs, assert_inconclusive, assert_violated, empty_record, every,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const V5: &str = "5.0";
const V311: &str = "3.1.1";
const REFUSED: &str = "CONNACK 0x87 Not authorized";

/// The checks of the faults that the record has cases of.
fn checks_of(record: &Record) -> Vec<Check> {
    let faults: BTreeSet<&str> = record.cases.iter().map(|case| case.case.fault.as_str()).collect();
    faults
        .into_iter()
        .flat_map(|fault| ungraceful_faults::find(fault).expect("one of ours").checks())
        .collect()
}

struct Made(CaseRecord);

impl Made {
    fn of(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        Self(testing::case(fault, variant, version, outcomes))
    }

    /// Five clients that were removed like this, and cut.
    fn kicked(means: Means, version: &str) -> Self {
        Self::of(kick::ID, means.name(), version, &[(Outcome::Closed, 3), (Outcome::Reset, 2)])
            .measure(DELIVERED, 5, 0)
            .fact(BESIDE, "served", 5)
    }

    /// Five clients whose token ran out.
    fn expired(outcome: Outcome) -> Self {
        Self::of(token::ID, "one-topic", V5, &[(outcome, 5)]).measure(DELIVERED, 5, 0)
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.0, fact, value, count);
        self
    }

    fn measure(mut self, measure: Measure, count: u64, sum: u64) -> Self {
        self.0.measures.insert(measure.to_string(), Distribution { count, sum, ..Distribution::default() });
        self
    }

    fn code(mut self, code: u8, count: u64) -> Self {
        self.0.disconnect_codes.insert(code, count);
        self
    }

    fn wills(mut self, due: u64, due_and_seen: u64) -> Self {
        self.0.will = Some(WillRecord {
            set: due,
            due,
            due_and_seen,
            shortest_wait_of_unseen_us: (due_and_seen < due).then_some(2_000_000),
            ..WillRecord::default()
        });
        self
    }

    fn verdicts(self) -> Vec<Verdict> {
        let mut record: Record = empty_record();
        record.witness = Some(WitnessRecord { proved: true, unexpected: 0 });
        record.cases = vec![self.0];
        let checks = checks_of(&record);
        judge(&mut record, &checks);
        record.verdicts
    }

    /// The verdict of `check`; absent when it has nothing to say.
    fn asked(self, check: &str) -> Option<Verdict> {
        self.verdicts().into_iter().find(|verdict| verdict.check == check)
    }

    fn judged(self, check: &str) -> Verdict {
        self.asked(check).expect("the check judges this case")
    }
}

#[track_caller]
fn assert_holds(verdict: &Verdict, force: Force) {
    testing::assert_holds(verdict);
    assert_eq!(verdict.force, force, "{verdict:?}");
}

#[test]
fn records_of_another_fault_have_no_verdicts_of_these() {
    for checked in [kick::ID, token::ID] {
        let mut record = empty_record();
        record.cases = vec![testing::case("storm", "disable", V5, &[(Outcome::Tolerated, 9)])];
        judge(&mut record, &ungraceful_faults::find(checked).expect("one of ours").checks());
        assert_eq!(record.verdicts, []);
    }
}

#[test]
fn without_a_single_attempt_nothing_holds() {
    for version in [V5, V311] {
        for means in Means::ALL {
            let verdicts = Made::of(kick::ID, means.name(), version, &[(Outcome::NotActed, 5)]).verdicts();
            assert!(verdicts.len() >= 5 && every(&verdicts, |verdict| verdict.case.is_some()));
            for verdict in verdicts {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            }
        }
        for variant in token::Variant::ALL {
            let verdicts = Made::of(token::ID, variant.name(), version, &[]).verdicts();
            assert!(verdicts.len() >= 5, "{verdicts:?}");
            for verdict in verdicts {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            }
        }
    }
}

#[test]
fn clients_that_are_cut_are_cut_and_one_that_is_served_on_is_told_loudly_and_accuses_nobody() {
    assert_holds(&Made::kicked(Means::Disable, V5).judged("cuts_the_client"), Force::Prose);
    assert_holds(&Made::expired(Outcome::Reset).judged("cuts_at_expiry"), Force::Prose);
    let outcomes = [(Outcome::Closed, 4), (Outcome::Tolerated, 1)];
    let made =
        Made::of(kick::ID, "disable", V5, &outcomes).measure(DELIVERED, 5, 40).measure(PUBLISHED, 5, 39);
    let verdict = made.judged("cuts_the_client");
    assert_differs(&verdict, "STILL SERVED: 1 of 5 clients whose removal had been confirmed");
    assert!(verdict.evidence.contains("cut 4 of 5"), "{verdict:?}");
    assert!(
        verdict.evidence.contains("40 messages sent") && verdict.evidence.contains("39 that they"),
        "{verdict:?}"
    );
    let verdict = Made::expired(Outcome::Tolerated).judged("cuts_at_expiry");
    assert_differs(&verdict, "STILL SERVED: 5 of 5 clients whose token had run out");
}

#[test]
fn a_client_that_is_neither_cut_nor_served_says_nothing() {
    let verdict = Made::expired(Outcome::NoReaction).judged("cuts_at_expiry");
    assert_inconclusive(&verdict, "5 of 5 clients whose token had run out were neither cut nor served");
}

#[test]
fn deliveries_after_the_end_are_counted() {
    assert_holds(&Made::kicked(Means::Group, V311).judged("stops_deliveries"), Force::Prose);
    let verdict = Made::kicked(Means::Group, V311).measure(DELIVERED, 5, 7).judged("stops_deliveries");
    assert_differs(&verdict, "7 messages were still delivered");
    assert!(verdict.evidence.contains("7 messages that were sent after the removal"), "{verdict:?}");
    let unknown = Made::of(kick::ID, "disable", V5, &[(Outcome::Closed, 1)]).judged("stops_deliveries");
    assert_inconclusive(&unknown, "not known");
}

#[test]
fn what_is_expected_of_a_client_that_comes_back_is_what_was_taken_from_it() {
    const CHECK: &str = "refuses_the_client_afterwards";
    for means in [Means::Disable, Means::Delete, Means::Password] {
        assert_holds(&Made::kicked(means, V5).fact(CAME_BACK, REFUSED, 5).judged(CHECK), Force::Prose);
        let let_in = Made::kicked(means, V5).fact(CAME_BACK, REFUSED, 3).fact(CAME_BACK, "accepted", 2);
        assert_differs(&let_in.judged(CHECK), "2 of 5 removed clients were let in again");
        let stripped = Made::kicked(means, V5).fact(CAME_BACK, "accepted, without its rights", 5);
        assert_differs(&stripped.judged(CHECK), "5 of 5 removed clients were let in again");
    }
    assert_holds(
        &Made::kicked(Means::Group, V5).fact(CAME_BACK, "accepted, without its rights", 5).judged(CHECK),
        Force::Prose,
    );
    let with_rights = Made::kicked(Means::Group, V5).fact(CAME_BACK, "accepted", 5);
    assert_differs(&with_rights.judged(CHECK), "5 of 5 clients have their rights back");
    let unknown = Made::kicked(Means::Group, V5).fact(CAME_BACK, "accepted, and then not answered", 5);
    assert_inconclusive(&unknown.judged(CHECK), "accepted, and then not answered (×5)");
    let by_command = Made::kicked(Means::Command, V5).fact(CAME_BACK, "accepted", 5).judged(CHECK);
    assert_inconclusive(&by_command, "nobody told us what the command takes away");
    assert!(by_command.evidence.contains("accepted (×5)"), "{by_command:?}");
    let refused = Made::kicked(Means::Command, V5).fact(CAME_BACK, REFUSED, 5).judged(CHECK);
    assert_inconclusive(&refused, "nobody told us what the command takes away");
    assert_inconclusive(&Made::kicked(Means::Disable, V5).judged(CHECK), "no client came back");
    let not_tried = Made::kicked(Means::Disable, V5).fact(CAME_BACK, "not tried", 5);
    assert_inconclusive(&not_tried.judged(CHECK), "no client came back");
}

#[test]
fn a_stale_token_is_to_be_refused_and_a_new_one_accepted() {
    let made = || Made::expired(Outcome::Closed);
    assert_holds(&made().fact(CAME_BACK, REFUSED, 5).judged("refuses_the_stale_token"), Force::Prose);
    let let_in = made().fact(CAME_BACK, "accepted", 5).judged("refuses_the_stale_token");
    assert_differs(&let_in, "5 of 5 were let in with a token that had run out");
    assert_holds(&made().fact(token::RENEWED, "accepted", 5).judged("accepts_a_new_token"), Force::Prose);
    let refused = made().fact(token::RENEWED, REFUSED, 2).fact(token::RENEWED, "accepted", 3);
    assert_differs(&refused.judged("accepts_a_new_token"), "2 of 5 are not served with a new token");
    let unknown =
        made().fact(token::RENEWED, "accepted, and then not answered", 1).fact(token::RENEWED, "accepted", 4);
    assert_inconclusive(&unknown.judged("accepts_a_new_token"), "accepted, and then not answered (×1)");
    assert!(made().asked("accepts_a_new_token").is_none(), "there was no other token");
}

#[test]
fn the_reason_is_allowed_to_be_another_or_none() {
    const CHECK: &str = "tells_administrative_action";
    assert_holds(&Made::kicked(Means::Disable, V5).code(0x98, 5).judged(CHECK), Force::May);
    let other = Made::kicked(Means::Disable, V5).code(0x87, 5).judged(CHECK);
    assert_differs(&other, "DISCONNECT 0x87 (5 times)");
    let none = Made::kicked(Means::Disable, V5).judged(CHECK);
    assert_differs(&none, "no DISCONNECT with a reason, which is allowed");
    let some = Made::kicked(Means::Disable, V5).code(0x98, 4).judged(CHECK);
    assert_differs(&some, "not every client received the reason, which is allowed");
    assert!(
        Made::kicked(Means::Disable, V311).asked(CHECK).is_none(),
        "3.1.1 has no DISCONNECT from a server"
    );
    for code in [0x87, 0xA0, 0x98] {
        assert_holds(&Made::expired(Outcome::Closed).code(code, 5).judged("tells_the_reason"), Force::May);
    }
    assert!(Made::expired(Outcome::Tolerated).asked("tells_the_reason").is_none(), "nobody was cut");
}

#[test]
fn mqtt5_3_14_4_1_whoever_sent_disconnect_sends_nothing_more() {
    const CHECK: &str = "sends_nothing_after_disconnect";
    let quiet = Made::kicked(Means::Disable, V5).fact(AFTER_DISCONNECT, "nothing", 5).judged(CHECK);
    assert_holds(&quiet, Force::Must);
    let talks = Made::kicked(Means::Disable, V5)
        .fact(AFTER_DISCONNECT, "nothing", 4)
        .fact(AFTER_DISCONNECT, "PINGRESP and PUBLISH", 1)
        .judged(CHECK);
    assert_violated(&talks, "MQTT 5.0 [MQTT-3.14.4-1]");
    assert!(talks.evidence.contains("PINGRESP and PUBLISH (×1); of 5 clients"), "{talks:?}");
    assert!(Made::kicked(Means::Disable, V5).asked(CHECK).is_none(), "nobody was sent a DISCONNECT");
    let v311 = Made::kicked(Means::Disable, V311).fact(AFTER_DISCONNECT, "PUBLISH", 5);
    assert!(v311.asked(CHECK).is_none(), "3.1.1 has no such statement");
}

#[test]
fn mqtt5_3_2_2_7_and_mqtt3_1_1_3_2_2_5_a_client_that_was_refused_is_not_served() {
    const CHECK: &str = "closes_after_refusing";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-7]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-5]")] {
        let made = || Made::kicked(Means::Delete, version);
        let closed = made().fact(AFTER_REFUSAL, "closed", 5).judged(CHECK);
        assert_holds(&closed, Force::Must);
        assert_eq!(closed.citation.as_deref(), Some(citation));
        let served = made().fact(AFTER_REFUSAL, "served", 1).fact(AFTER_REFUSAL, "closed", 4).judged(CHECK);
        assert_violated(&served, citation);
        let open = made().fact(AFTER_REFUSAL, "left open", 1).fact(AFTER_REFUSAL, "closed", 4).judged(CHECK);
        assert_inconclusive(&open, "1 of 5 connections were still open");
        assert!(made().asked(CHECK).is_none(), "nobody was refused");
    }
}

#[test]
fn mqtt5_3_1_2_8_the_will_of_a_client_that_may_publish_is_published() {
    const CHECK: &str = "publishes_the_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let kicked = |means| Made::kicked(means, version);
        assert_holds(&kicked(Means::Password).wills(5, 5).judged(CHECK), Force::Must);
        assert_violated(&kicked(Means::Password).wills(5, 0).judged(CHECK), citation);
        // Who lost its right to publish may have lost its Will with it.
        for means in [Means::Disable, Means::Delete, Means::Group] {
            let missing = kicked(means).wills(5, 0).judged(CHECK);
            assert_eq!(missing.conclusion, Conclusion::Holds, "{missing:?}");
            assert!(missing.differs.is_some_and(|note| note.contains("may not publish any more")));
        }
        // What a command took away is seen when the clients come back.
        let by_command = || kicked(Means::Command).wills(5, 0);
        assert_violated(&by_command().fact(CAME_BACK, "accepted", 5).judged(CHECK), citation);
        let unsure = by_command().fact(CAME_BACK, "accepted", 4).fact(CAME_BACK, REFUSED, 1).judged(CHECK);
        assert_eq!(unsure.conclusion, Conclusion::Holds, "{unsure:?}");
        assert_inconclusive(&kicked(Means::Password).wills(5, 3).judged(CHECK), "2 of 5 Wills were not seen");
    }
    let expired = Made::expired(Outcome::Closed).wills(5, 0).judged(CHECK);
    assert_eq!((expired.conclusion, expired.force), (Conclusion::Holds, Force::Prose));
    assert!(Made::expired(Outcome::Tolerated).asked(CHECK).is_none(), "nobody was cut, so no Will is due");
}

#[test]
fn others_that_are_cut_with_a_removed_client_are_told() {
    assert_holds(&Made::kicked(Means::Disable, V5).judged("leaves_others_alone"), Force::Prose);
    let cut = Made::kicked(Means::Disable, V5).fact(BESIDE, "served", 3).fact(BESIDE, "cut", 2);
    assert_differs(&cut.judged("leaves_others_alone"), "2 other clients were cut as well");
}

/// Five clients that re-authenticated.
fn again(variant: &str) -> Made {
    Made::of(token::ID, variant, V5, &[(Outcome::Tolerated, 5)])
}

#[test]
fn a_renewed_token_is_to_be_accepted_and_the_client_served_past_its_first_one() {
    const CHECK: &str = "accepts_the_renewed_token";
    let answered = |word| again("reauthenticate").fact(REAUTHENTICATION, word, 5);
    assert_holds(&answered("AUTH 0x00").judged(CHECK), Force::Prose);
    for word in ["nothing", "closed", "DISCONNECT 0x87", "AUTH 0x87"] {
        assert_differs(&answered(word).judged(CHECK), "5 of 5 renewed tokens were not accepted");
    }
    assert_inconclusive(&answered("AUTH 0x18").judged(CHECK), "goes on with AUTH 0x18");
    const PAST: &str = "serves_past_the_first_token";
    let past = |word| again("reauthenticate").fact(PAST_FIRST_TOKEN, word, 5);
    assert_holds(&past("served").judged(PAST), Force::Prose);
    for word in ["cut at its end", "cut before its end"] {
        assert_differs(&past(word).judged(PAST), "CUT ALTHOUGH RENEWED: 5 of 5 clients");
    }
    assert_inconclusive(&past("neither cut nor served").judged(PAST), "neither cut nor served (×5)");
    assert_inconclusive(&answered("nothing").judged(PAST), "no re-authentication succeeded");
    assert_inconclusive(&answered("AUTH 0x18").judged(PAST), "goes on with AUTH 0x18");
    // A client that is served past its first token is no finding here.
    assert!(past("served").asked("cuts_at_expiry").is_none());
}

#[test]
fn a_spoilt_token_is_to_be_refused() {
    const CHECK: &str = "refuses_a_spoilt_token";
    let answered = |word| again("reauthenticate-spoilt").fact(REAUTHENTICATION, word, 5);
    for word in ["closed", "DISCONNECT 0x87", "AUTH 0x87"] {
        assert_holds(&answered(word).judged(CHECK), Force::Prose);
    }
    assert_differs(&answered("AUTH 0x00").judged(CHECK), "5 of 5 spoilt tokens were accepted");
    assert_differs(&answered("nothing").judged(CHECK), "5 of 5 spoilt tokens were answered nothing");
    assert_inconclusive(&answered("AUTH 0x18").judged(CHECK), "goes on with AUTH 0x18");
}

#[test]
fn mqtt5_4_12_1_2_a_client_whose_reauthentication_failed_is_not_served() {
    const CHECK: &str = "closes_after_failed_reauthentication";
    for variant in ["reauthenticate", "reauthenticate-spoilt"] {
        let after = |word| again(variant).fact(AFTER_FAILURE, word, 5);
        assert_holds(&after("DISCONNECT, then closed").judged(CHECK), Force::Must);
        assert_violated(&after("served").judged(CHECK), "MQTT 5.0 [MQTT-4.12.1-2]");
        let silent = after("closed without a DISCONNECT").judged(CHECK);
        assert_differs(&silent, "5 of 5 were closed without a DISCONNECT, a SHOULD");
        assert_eq!(silent.citation.as_deref(), Some("MQTT 5.0 [MQTT-4.12.1-2]"));
        let late = after("closed when the first token ended").judged(CHECK);
        assert_differs(&late, "5 of 5 were closed only when the first token ended");
        assert_inconclusive(&after("neither cut nor served").judged(CHECK), "neither cut nor served");
        assert!(again(variant).asked(CHECK).is_none(), "none failed");
    }
}

#[test]
fn mqtt5_4_12_0_5_connack_and_auth_name_the_method_of_the_connect() {
    const CHECK: &str = "keeps_the_method";
    let named = |connack, auth| {
        let made = again("reauthenticate").fact(METHOD_IN_CONNACK, connack, 5);
        made.fact(METHOD_IN_AUTH, auth, 5).judged(CHECK)
    };
    assert_holds(&named("the same", "the same"), Force::Must);
    for (connack, auth) in [("none", "the same"), ("another", "the same"), ("the same", "another")] {
        assert_violated(&named(connack, auth), "MQTT 5.0 [MQTT-4.12.0-5]");
    }
    assert_differs(&named("the same", "no properties"), "AUTH without a method, in two bytes");
    let none = Made::of(token::ID, "reauthenticate", V5, &[(Outcome::NotActed, 5)]).judged(CHECK);
    assert_inconclusive(&none, "none of 5 attempts");
}
