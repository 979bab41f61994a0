//! What the checks of all modes of a take-over conclude from records made by hand. No sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use proptest::prelude::*;
use ungraceful_faults::resumption::{LEFT_OVER, Resumption, SESSION_PRESENT};
use ungraceful_faults::takeover::dead_peer;
use ungraceful_faults::takeover::flap;
use ungraceful_faults::takeover::storm::{
    self, DUP, HELD_BACK, IDENTIFIERS, QUEUED, REPEATED, SENT_AGAIN, Share, Situation,
};
use ungraceful_faults::takeover::{ALIVE, NEWCOMER, NEWCOMER_CONNACK, VersionPair, duel, looking_on, race};
use ungraceful_mqtt::statement;
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::Distribution;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_differs, assert_holds_by, assert_inconclusive, assert_violated,
    bystanders_that_lost_connections, empty_record, every,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const V5: &str = "5.0";
const V311: &str = "3.1.1";
const TO_V5: &str = "3.1.1-to-5.0";
const TO_V311: &str = "5.0-to-3.1.1";
/// Every pair: older connection, newcomer.
const PAIRS: [&str; 4] = [V311, V5, TO_V5, TO_V311];

/// The checks of the faults that the record has cases of.
fn checks_of(record: &Record) -> Vec<Check> {
    let faults: BTreeSet<&str> = record.cases.iter().map(|case| case.case.fault.as_str()).collect();
    faults
        .into_iter()
        .flat_map(|fault| ungraceful_faults::find(fault).expect("one of ours").checks())
        .collect()
}

/// A case with facts and outcomes.
#[derive(Clone)]
struct Made(CaseRecord);

impl Made {
    fn of(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        Self(testing::case(fault, variant, version, outcomes))
    }

    /// `count` older connections of a storm that were closed, each by a newcomer that was accepted.
    fn closed(variant: &str, version: &str, count: u64) -> Self {
        let made = Self::of(storm::ID, variant, version, &[(Outcome::Closed, count)]);
        made.fact(NEWCOMER, "accepted", count).fact(ALIVE, "1", count)
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.0, fact, value, count);
        self
    }

    fn facts<V: FromStr>(self, fact: FactOf<V>, values: &[(&str, u64)]) -> Self {
        values.iter().fold(self, |made, (value, count)| made.fact(fact, *value, *count))
    }

    fn codes(mut self, codes: &[(u8, u64)]) -> Self {
        self.0.disconnect_codes = codes.iter().copied().collect();
        self
    }

    fn examples(mut self, sequence: &str, attempts: &[u64]) -> Self {
        self.0.examples.insert(sequence.into(), attempts.to_vec());
        self
    }

    fn measure(mut self, measure: Measure, count: u64, sum: u64, max: u64) -> Self {
        let values = Distribution { count, sum, min: Some(1), max: Some(max), ..Distribution::default() };
        self.0.measures.insert(measure.to_string(), values);
        self
    }

    fn will(mut self, will: WillRecord) -> Self {
        self.0.will = Some(will);
        self
    }

    fn messages(mut self, counts: LedgerCounts) -> Self {
        self.0.messages = BTreeMap::from([(1, counts)]);
        self
    }

    /// The verdict of `check` beside a broker that may have come up anew, by what honest clients saw.
    fn verdict_unsettled(self, check: &str) -> Verdict {
        let mut record = self.record();
        record.bystanders = Some(bystanders_that_lost_connections(V5, 1));
        verdict_on(&record, check).expect("the check judges this case")
    }

    fn record(self) -> Record {
        record_of(vec![self.0])
    }

    /// The verdict of `check`, which has one.
    fn verdict(self, check: &str) -> Verdict {
        verdict_on(&self.record(), check).expect("the check judges this case")
    }

    fn has_no_verdict_of(self, check: &str) -> bool {
        verdict_on(&self.record(), check).is_none()
    }
}

fn record_of(cases: Vec<CaseRecord>) -> Record {
    let mut record = empty_record();
    record.witness = Some(WitnessRecord { proved: true, unexpected: 0 });
    record.cases = cases;
    record
}

fn judged(record: &Record) -> Vec<Verdict> {
    let mut record = record.clone();
    let checks = checks_of(&record);
    judge(&mut record, &checks);
    record.verdicts
}

fn verdict_on(record: &Record, check: &str) -> Option<Verdict> {
    judged(record).into_iter().find(|verdict| verdict.check == check)
}

/// The citation for a newcomer's version: that of 5.0, or that of 3.1.1.
fn of_newcomer<'a>(pair: &str, v5: &'a str, v311: &'a str) -> &'a str {
    if pair.ends_with(V5) { v5 } else { v311 }
}

// Of all checks.

#[test]
fn a_record_without_cases_or_with_those_of_another_fault_has_no_verdicts_of_take_overs() {
    assert_eq!(judged(&record_of(Vec::new())), []);
    let mut of_another = Made::of("double-connect", "resume", V5, &[(Outcome::Tolerated, 9)]).record();
    judge(&mut of_another, &ungraceful_faults::find(storm::ID).expect("one of ours").checks());
    assert_eq!(of_another.verdicts, []);
    let of_an_unknown_version = Made::of(storm::ID, "resume", "6", &[(Outcome::Tolerated, 9)]);
    assert_eq!(judged(&of_an_unknown_version.fact(ALIVE, "2", 9).record()), []);
    let of_an_unknown_situation = Made::of(storm::ID, "gone", V5, &[(Outcome::Closed, 9)]);
    let verdicts = judged(&of_an_unknown_situation.fact(SESSION_PRESENT, "yes", 9).record());
    assert!(every(&verdicts, |verdict| verdict.check != "starts_a_new_session"), "{verdicts:?}");
}

#[test]
fn cases_in_which_nothing_was_attempted_are_inconclusive_in_every_check() {
    for pair in PAIRS {
        for situation in Situation::ALL {
            for verdict in judged(&Made::of(storm::ID, situation.name(), pair, &[]).record()) {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            }
        }
        for fault in [duel::ID, race::ID, dead_peer::ID] {
            for verdict in judged(&Made::of(fault, "resume", pair, &[]).record()) {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            }
        }
    }
    let verdicts = judged(&Made::of(flap::ID, "every-10ms", V5, &[]).record());
    assert_eq!(verdicts.len(), 2);
    assert!(every(&verdicts, |verdict| verdict.conclusion == Conclusion::Inconclusive), "{verdicts:?}");
}

#[test]
fn attempts_that_met_a_broker_that_was_down_or_were_interrupted_are_inconclusive_in_every_check() {
    let nothing = [(Outcome::BrokerDown, 3), (Outcome::Interrupted, 2), (Outcome::NotActed, 1)];
    for completeness in [Completeness::Interrupted, Completeness::BrokerDown, Completeness::Partial] {
        for situation in Situation::ALL {
            let mut record = Made::of(storm::ID, situation.name(), V5, &nothing).record();
            record.completeness = completeness;
            let verdicts = judged(&record);
            assert!(verdicts.len() >= 5, "{verdicts:?}");
            for verdict in verdicts {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            }
        }
    }
}

#[test]
fn every_verdict_names_the_case_that_was_judged() {
    let record = record_of(vec![Made::closed("resume", V5, 1).0, Made::closed("clean", TO_V5, 1).0]);
    let cases: BTreeSet<String> =
        judged(&record).into_iter().map(|verdict| verdict.case.unwrap().to_string()).collect();
    let expected = ["storm clean MQTT 3.1.1-to-5.0", "storm resume MQTT 5.0"];
    assert_eq!(cases.into_iter().collect::<Vec<_>>(), expected);
}

// closes_the_older_connection

const CLOSES: &str = "closes_the_older_connection";

fn closes_citation(pair: &str) -> &str {
    of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.4-3]", "MQTT 3.1.1 [MQTT-3.1.4-2]")
}

#[test]
fn mqtt5_3_1_4_3_and_mqtt3_1_1_3_1_4_2_older_connections_that_are_closed_keep_it_by_the_newcomers_version() {
    for pair in PAIRS {
        let made = Made::of(storm::ID, "clean", pair, &[(Outcome::Closed, 5), (Outcome::Reset, 2)]);
        let verdict = made.fact(NEWCOMER, "accepted", 7).fact(ALIVE, "1", 7).verdict(CLOSES);
        assert_holds_by(&verdict, Force::Must, Some(closes_citation(pair)));
        assert_eq!(verdict.evidence, "the broker closed 7 of 7 older connections");
    }
}

#[test]
fn mqtt5_3_1_4_3_and_mqtt3_1_1_3_1_4_2_one_clientid_with_two_live_connections_breaks_it() {
    for pair in PAIRS {
        for fault in [storm::ID, duel::ID, race::ID, dead_peer::ID] {
            for value in ["2", "2 or more"] {
                let made = Made::of(fault, "clean", pair, &[(Outcome::Closed, 6), (Outcome::Tolerated, 1)]);
                let made = made.fact(NEWCOMER, "accepted", 7).fact(ALIVE, "1", 6).fact(ALIVE, value, 1);
                let made = made.examples("FIN", &[0, 1]).examples("still served", &[4]);
                let verdict = made.verdict(CLOSES);
                assert_violated(&verdict, closes_citation(pair));
                assert!(verdict.evidence.starts_with("1 of 7 ClientIDs had more than one"), "{verdict:?}");
                assert_eq!(verdict.examples, [4]);
            }
        }
    }
}

#[test]
fn an_older_connection_beside_a_newcomer_that_was_refused_is_no_accusation() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Tolerated, 4)]);
    let verdict = made.fact(NEWCOMER, "CONNACK 0x85 Client Identifier not valid", 4).verdict(CLOSES);
    assert_inconclusive(&verdict, "accepted none of the newcomers (4 refused or not answered)");
    assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 [MQTT-3.1.4-3]"));
}

#[test]
fn a_newcomer_that_was_refused_among_others_leaves_the_rest_to_hold_and_is_told() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 5), (Outcome::Tolerated, 3)]);
    let made = made.fact(NEWCOMER, "accepted", 5).fact(NEWCOMER, "CONNACK 0x97 Quota exceeded", 3);
    let verdict = made.fact(ALIVE, "1", 5).verdict(CLOSES);
    assert_holds_by(&verdict, Force::Must, Some("MQTT 5.0 [MQTT-3.1.4-3]"));
    assert!(
        verdict.evidence.ends_with("it refused 3 newcomers, for whom it need not close any"),
        "{verdict:?}"
    );
}

#[test]
fn an_older_connection_that_is_served_while_the_accepted_newcomer_is_gone_neither_holds_nor_accuses() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 5), (Outcome::Tolerated, 2)]);
    let made = made.fact(NEWCOMER, "accepted", 7).fact(ALIVE, "1", 7).examples("still served", &[3, 5]);
    let verdict = made.verdict(CLOSES);
    assert_inconclusive(&verdict, "the older connection was served on, and the newcomer was not");
    assert_eq!(verdict.examples, [3, 5]);
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Tolerated, 2)]);
    let verdict = made.fact(NEWCOMER, "accepted", 2).fact(ALIVE, "1", 2).verdict(CLOSES);
    assert_inconclusive(&verdict, "closed 0 older connections and accepted 2 newcomers");
}

#[test]
fn an_older_connection_of_unknown_fate_is_no_accusation() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 9), (Outcome::NoReaction, 1)]);
    let made = made.fact(NEWCOMER, "accepted", 10).fact(ALIVE, "1", 9).fact(ALIVE, "unknown", 1);
    let verdict = made.examples("nothing until the deadline", &[7]).verdict(CLOSES);
    assert_inconclusive(&verdict, "1 of 10 older connections were neither closed nor served");
    assert_eq!(verdict.examples, [7]);
    // Served on, but the broker had accepted the newcomer only just then.
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 9), (Outcome::Tolerated, 1)]);
    let made = made.fact(NEWCOMER, "accepted", 10).fact(ALIVE, "1", 9).fact(ALIVE, "unknown", 1);
    assert_eq!(made.verdict(CLOSES).conclusion, Conclusion::Inconclusive);
}

#[test]
fn a_race_or_a_duel_in_which_nobody_met_says_so() {
    for fault in [duel::ID, race::ID] {
        let made = Made::of(fault, "clean", V5, &[(Outcome::NoReaction, 2), (Outcome::Closed, 1)]);
        let verdict = made.fact(NEWCOMER, "accepted", 3).fact(ALIVE, "1", 3).verdict(CLOSES);
        assert_inconclusive(&verdict, "in 2 of 3 attempts the broker closed nobody");
    }
}

#[test]
fn a_broker_that_went_down_is_not_said_to_have_closed() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 8), (Outcome::BrokerDown, 1)]);
    let verdict = made.fact(NEWCOMER, "accepted", 8).fact(ALIVE, "1", 8).verdict(CLOSES);
    assert_inconclusive(&verdict, "closed 8 older connections, then went down during 1 attempts");
}

// accepts_the_newcomer

const ACCEPTS: &str = "accepts_the_newcomer";

#[test]
fn newcomers_that_are_all_accepted_hold_and_one_that_is_refused_is_a_note_that_names_how() {
    assert_holds_by(&Made::closed("clean", V5, 3).verdict(ACCEPTS), Force::Prose, None);
    let made = Made::closed("clean", V5, 3).fact(NEWCOMER, "CONNACK 0x9F Connection rate exceeded", 2);
    let verdict = made.verdict(ACCEPTS);
    assert_differs(&verdict, "CONNACK 0x9F Connection rate exceeded (×2)");
    assert_eq!((verdict.force, verdict.evidence.as_str()), (Force::Prose, "3 of 5 newcomers were accepted"));
}

// leaves_one_connection

const LEAVES_ONE: &str = "leaves_one_connection";

#[test]
fn clientids_with_one_live_connection_hold_and_those_with_none_or_two_are_a_note() {
    assert_holds_by(&Made::closed("clean", V5, 3).verdict(LEAVES_ONE), Force::Prose, None);
    let made = Made::closed("clean", V5, 3).facts(ALIVE, &[("0", 2), ("2", 1), ("2 or more", 4)]);
    let verdict = made.verdict(LEAVES_ONE);
    assert_differs(&verdict, "7 ClientIDs without exactly one live connection");
    let expected = "3 ClientIDs ended with one live connection, 2 with none, 5 with more";
    assert_eq!((verdict.force, verdict.evidence.as_str()), (Force::Prose, expected));
}

#[test]
fn clientids_of_which_nobody_knows_how_many_connections_live_are_inconclusive() {
    let made = Made::of(duel::ID, "clean", V5, &[(Outcome::Closed, 2)]);
    let verdict = made.fact(NEWCOMER, "accepted", 2).fact(ALIVE, "unknown", 2).verdict(LEAVES_ONE);
    assert_inconclusive(&verdict, "none of 2 attempts is evidence");
}

// tells_session_taken_over

const TELLS: &str = "tells_session_taken_over";

#[test]
fn a_disconnect_0x8e_to_every_older_client_holds_and_no_other_way_accuses() {
    for pair in [V5, TO_V311] {
        let made = || Made::closed("clean", pair, 4);
        assert_holds_by(&made().codes(&[(0x8E, 4)]).verdict(TELLS), Force::Prose, None);
        assert_differs(&made().verdict(TELLS), "no DISCONNECT with a reason, which is allowed");
        let some = made().codes(&[(0x8E, 3)]).verdict(TELLS);
        assert_differs(&some, "not every client received the reason, which is allowed");
        let other = made().codes(&[(0x8E, 3), (0x87, 1)]).verdict(TELLS);
        assert_differs(&other, "DISCONNECT 0x87 (1 times)");
    }
}

#[test]
fn an_older_client_that_need_not_be_closed_need_not_be_told() {
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Closed, 5), (Outcome::Tolerated, 3)]);
    let made = made.fact(NEWCOMER, "accepted", 5).fact(NEWCOMER, "CONNACK 0x97 Quota exceeded", 3);
    assert_holds_by(&made.codes(&[(0x8E, 5)]).verdict(TELLS), Force::Prose, None);
    let made = Made::of(storm::ID, "clean", V5, &[(Outcome::Tolerated, 3)]).fact(NEWCOMER, "accepted", 3);
    assert_inconclusive(&made.verdict(TELLS), "closed no older connection");
}

#[test]
fn an_older_client_of_3_1_1_can_be_told_nothing_and_is_not_judged_by_it() {
    for pair in [V311, TO_V5] {
        assert!(Made::closed("clean", pair, 4).has_no_verdict_of(TELLS), "{pair}");
    }
}

// sends_no_disconnect_on_3_1_1

const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";

#[test]
fn a_disconnect_to_an_older_client_of_3_1_1_is_a_note_whatever_the_newcomer_speaks() {
    for pair in [V311, TO_V5] {
        assert_holds_by(&Made::closed("clean", pair, 4).verdict(NO_DISCONNECT), Force::Prose, None);
        let made = Made::closed("clean", pair, 4).codes(&[(0x8E, 4)]).examples("DISCONNECT 0x8E, FIN", &[1]);
        let verdict = made.verdict(NO_DISCONNECT);
        assert_differs(&verdict, "a DISCONNECT from the broker");
        assert_eq!((verdict.force, verdict.examples), (Force::Prose, vec![1]));
    }
    for pair in [V5, TO_V311] {
        assert!(Made::closed("clean", pair, 4).has_no_verdict_of(NO_DISCONNECT), "{pair}");
    }
}

// starts_a_new_session

const STARTS: &str = "starts_a_new_session";

#[test]
fn mqtt5_3_1_2_4_and_mqtt3_1_1_3_1_2_6_a_new_session_without_anything_of_the_older_one_keeps_it() {
    for pair in PAIRS {
        for variant in ["discard", "discard-will-delay", "clean", "clean-will-delay"] {
            let made =
                Made::closed(variant, pair, 3).fact(SESSION_PRESENT, "no", 3).fact(LEFT_OVER, "none", 3);
            let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-4]", "MQTT 3.1.1 [MQTT-3.1.2-6]");
            assert_holds_by(&made.verdict(STARTS), Force::Must, Some(citation));
        }
    }
}

#[test]
fn mqtt5_3_2_2_2_and_mqtt3_1_1_3_2_2_1_session_present_after_clean_start_breaks_it() {
    for pair in PAIRS {
        let made = Made::closed("discard", pair, 3).facts(SESSION_PRESENT, &[("no", 2), ("yes", 1)]);
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.2.2-2]", "MQTT 3.1.1 [MQTT-3.2.2-1]");
        assert_violated(&made.fact(LEFT_OVER, "none", 3).verdict(STARTS), citation);
    }
}

#[test]
fn mqtt5_3_1_2_4_and_mqtt3_1_1_3_1_2_6_a_message_of_the_older_session_breaks_it_whatever_session_present_says()
 {
    for pair in PAIRS {
        for present in ["yes", "no"] {
            let made = Made::closed("discard", pair, 3).fact(SESSION_PRESENT, present, 3);
            let verdict = made.facts(LEFT_OVER, &[("none", 2), ("some", 1)]).verdict(STARTS);
            assert_violated(
                &verdict,
                of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-4]", "MQTT 3.1.1 [MQTT-3.1.2-6]"),
            );
        }
    }
}

#[test]
fn who_does_not_ask_for_a_new_session_is_not_judged_by_it() {
    for variant in ["resume", "resume-will-delay", "ended", "ended-will-delay"] {
        let made = Made::closed(variant, V5, 3).fact(SESSION_PRESENT, "yes", 3).fact(LEFT_OVER, "some", 3);
        assert!(made.has_no_verdict_of(STARTS), "{variant}");
    }
}

// ends_the_session

const ENDS: &str = "ends_the_session";

#[test]
fn mqtt5_4_1_0_2_and_mqtt3_1_1_3_1_2_6_a_session_that_must_have_ended_and_goes_on_breaks_it() {
    for pair in PAIRS {
        // What the older client's version says of the session, and what the newcomer's says of its CONNACK.
        let kept = of_newcomer(
            pair.split("-to-").next().unwrap(),
            "MQTT 5.0 [MQTT-4.1.0-2]",
            "MQTT 3.1.1 [MQTT-3.1.2-6]",
        );
        let told = of_newcomer(pair, "MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-3]");
        for variant in ["ended", "ended-will-delay"] {
            let made = |present, left_over| {
                Made::closed(variant, pair, 3).fact(SESSION_PRESENT, present, 3).fact(LEFT_OVER, left_over, 3)
            };
            assert_holds_by(&made("no", "none").verdict(ENDS), Force::Must, Some(kept));
            assert_violated(&made("yes", "some").verdict(ENDS), kept);
            assert_violated(&made("no", "some").verdict(ENDS), kept);
            assert_violated(&made("yes", "none").verdict(ENDS), told);
            let unknown = made("yes", Resumption::Unknown.name());
            assert_inconclusive(&unknown.clone().verdict(ENDS), "is not known");
            assert_violated(&unknown.clone().fact(LEFT_OVER, "none", 1).verdict(ENDS), told);
            assert_violated(&unknown.fact(LEFT_OVER, "some", 1).verdict(ENDS), kept);
        }
    }
    let granted = Made::closed("ended", V5, 3).fact(SESSION_PRESENT, "not owed", 3);
    assert_inconclusive(&granted.verdict(ENDS), "keep their session for longer than they asked for");
    assert!(Made::closed("resume", V5, 3).fact(SESSION_PRESENT, "yes", 3).has_no_verdict_of(ENDS));
    assert_inconclusive(&Made::of(storm::ID, "ended", V5, &[]).verdict(ENDS), "is evidence");
}

// tells_session_present_truly

const TRULY: &str = "tells_session_present_truly";

#[test]
fn mqtt5_3_2_2_3_and_mqtt3_1_1_3_2_2_2_a_session_that_goes_on_and_is_denied_breaks_the_rule_on_session_present()
 {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-2]");
        let resumed_by = of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-5]", "MQTT 3.1.1 [MQTT-3.1.2-4]");
        let denied = Made::closed("resume", pair, 3).fact(SESSION_PRESENT, Resumption::Unannounced.name(), 3);
        assert_violated(&denied.clone().verdict(TRULY), citation);
        assert_holds_by(&denied.verdict(RESUMES), Force::Must, Some(resumed_by));
        let gone = Made::closed("resume", pair, 3).fact(SESSION_PRESENT, "no", 3);
        assert_holds_by(&gone.verdict(TRULY), Force::Must, Some(citation));
        assert!(resumed(pair, 3).has_no_verdict_of(TRULY), "nobody was told Session Present 0");
    }
    let cut = Made::closed("resume", V5, 3).fact(SESSION_PRESENT, Resumption::Unknown.name(), 3);
    assert_inconclusive(&cut.verdict(RESUMES), "whether their session existed all the same is not known");
}

// looking_on

const KEEPS_SERVING: &str = "keeps_serving_the_newcomer";
const SUBSCRIBED: &str = "keeps_the_newcomers_subscription";
const WITHHOLDS: &str = "withholds_the_newcomers_will";

fn looked_on(pair: &str, later: &[(&str, u64)]) -> Made {
    let count = later.iter().map(|(_, count)| count).sum();
    let made = Made::of(dead_peer::ID, "silent", pair, &[(Outcome::Closed, count)]);
    made.fact(NEWCOMER, "accepted", count).facts(looking_on::LATER, later)
}

#[test]
fn a_newcomer_that_keeps_every_rule_and_is_cut_each_time_is_not_served() {
    for pair in PAIRS {
        assert_holds_by(&looked_on(pair, &[("served", 3)]).verdict(KEEPS_SERVING), Force::Prose, None);
        let cut = looked_on(pair, &[("cut by FIN", 3)]).verdict(KEEPS_SERVING);
        if of_newcomer(pair, V5, V311) == V311 {
            // 3.1.1 section 3.1.2.10: at any time, where the broker holds the client to be inactive.
            assert_differs(&cut, "3 newcomers were cut");
            continue;
        }
        assert_inconclusive(&cut, "there were no bystanders to show that other clients stay connected");
        let mut record = looked_on(pair, &[("cut by FIN", 3)]).record();
        record.bystanders = Some(bystanders_that_lost_connections(V5, 0));
        let cut = verdict_on(&record, KEEPS_SERVING).unwrap();
        assert_eq!((cut.conclusion, cut.force), (Conclusion::Violated, Force::Prose), "{cut:?}");
        assert!(cut.citation.is_some_and(|citation| citation.starts_with("MQTT 5.0 §3.1.4")));
    }
    // Some alone, or one alone, may have other reasons.
    let some = looked_on(V5, &[("cut by FIN", 2), ("served", 1)]);
    assert_differs(&some.verdict(KEEPS_SERVING), "2 newcomers were cut");
    assert_differs(&looked_on(V5, &[("cut by FIN", 1)]).verdict(KEEPS_SERVING), "1 newcomers were cut");
    assert_inconclusive(
        &looked_on(V5, &[("unknown", 2)]).verdict(KEEPS_SERVING),
        "of 2 newcomers it was not seen",
    );
    assert_inconclusive(&looked_on(V5, &[]).verdict(KEEPS_SERVING), "is evidence");
    let mut down = looked_on(V5, &[("cut by FIN", 3)]).record();
    down.completeness = Completeness::BrokerDown;
    assert_inconclusive(&verdict_on(&down, KEEPS_SERVING).unwrap(), "the broker went down");
    assert!(Made::closed("resume", V5, 3).has_no_verdict_of(KEEPS_SERVING), "a storm does not look on");
}

#[test]
fn a_newcomer_that_was_not_watched_for_as_long_as_the_broker_makes_the_keep_alive_tells_nothing() {
    for check in [KEEPS_SERVING, SUBSCRIBED, WITHHOLDS] {
        let made = looked_on(V5, &[("not waited for, with a Server Keep Alive of 300 s", 3)]);
        assert_inconclusive(&made.verdict(check), "a Server Keep Alive of 300 s in place of that of 3 older");
    }
}

#[test]
fn mqtt5_4_1_0_1_and_mqtt3_1_1_4_1_0_2_a_subscription_that_goes_while_its_client_is_connected_breaks_it() {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-4.1.0-1]", "MQTT 3.1.1 [MQTT-4.1.0-2]");
        let made = |still| looked_on(pair, &[("served", 3)]).fact(looking_on::SUBSCRIPTION, still, 3);
        assert_holds_by(&made("delivers").verdict(SUBSCRIBED), Force::Must, Some(citation));
        assert_violated(&made("gone").verdict(SUBSCRIBED), citation);
        assert_inconclusive(&made("unknown").verdict(SUBSCRIBED), "of 3 newcomers it was not seen");
    }
}

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_a_will_that_is_published_while_its_client_is_connected_breaks_it() {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-8]", "MQTT 3.1.1 [MQTT-3.1.2-8]");
        let made = |will| looked_on(pair, &[("served", 3)]).fact(looking_on::WILL, will, 3);
        assert_holds_by(&made("withheld").verdict(WITHHOLDS), Force::Must, Some(citation));
        assert_violated(&made("published").verdict(WITHHOLDS), citation);
        let few = looked_on(pair, &[("served", 2)]).fact(looking_on::WILL, "published", 2);
        assert_inconclusive(&few.verdict(WITHHOLDS), "at least 3 attempts must show the same");
        let mut deaf = made("withheld").record();
        deaf.witness = None;
        assert_inconclusive(&verdict_on(&deaf, WITHHOLDS).unwrap(), "did not provably receive");
    }
    assert_inconclusive(&looked_on(V5, &[("served", 3)]).verdict(WITHHOLDS), "it was not seen");
}

// resumes_the_session

const RESUMES: &str = "resumes_the_session";

fn resumed(pair: &str, count: u64) -> Made {
    Made::closed("resume", pair, count).fact(SESSION_PRESENT, "yes", count)
}

#[test]
fn mqtt5_3_1_2_5_and_mqtt3_1_1_3_1_2_4_a_session_that_goes_on_with_all_that_waited_keeps_it() {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-5]", "MQTT 3.1.1 [MQTT-3.1.2-4]");
        assert_holds_by(&resumed(pair, 3).verdict(RESUMES), Force::Must, Some(citation));
        let verdict = resumed(pair, 3).fact(QUEUED, "all", 3).verdict(RESUMES);
        assert_holds_by(&verdict, Force::Must, Some(citation));
        assert!(
            verdict.evidence.ends_with("of 3 whose messages waited in the session, 3 were sent all of them")
        );
    }
}

#[test]
fn mqtt5_3_1_2_5_and_mqtt3_1_1_3_1_2_4_one_session_that_is_gone_breaks_it() {
    for pair in [V5, V311] {
        let verdict = resumed(pair, 3).fact(SESSION_PRESENT, "no", 1).verdict(RESUMES);
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.1.2-5]", "MQTT 3.1.1 [MQTT-3.1.2-4]");
        assert_violated(&verdict, citation);
        assert!(
            verdict.evidence.starts_with("of 4 newcomers with Clean Start 0, 3 were told"),
            "{verdict:?}"
        );
    }
    // Neither version says what becomes of a session of the other one.
    for pair in [TO_V5, TO_V311] {
        let verdict = resumed(pair, 3).fact(SESSION_PRESENT, "no", 1).verdict(RESUMES);
        assert_differs(&verdict, "a session does not go on in the other version");
    }
}

#[test]
fn a_session_that_the_broker_said_it_would_not_keep_is_not_owed() {
    let made = Made::closed("resume", V5, 3).fact(SESSION_PRESENT, "not owed", 3);
    let verdict = made.verdict(RESUMES);
    assert_inconclusive(&verdict, "told 3 older clients that it would not keep their session");
    assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 [MQTT-3.1.2-5]"));
    let among_others = resumed(V5, 2).fact(SESSION_PRESENT, "not owed", 1).verdict(RESUMES);
    assert_holds_by(&among_others, Force::Must, Some("MQTT 5.0 [MQTT-3.1.2-5]"));
}

#[test]
fn mqtt5_4_5_0_1_a_waiting_message_that_does_not_come_breaks_it_where_both_speak_5_0_and_is_a_note_elsewhere()
{
    let of = |pair| resumed(pair, 3).fact(QUEUED, "none", 3).messages(lost(6)).verdict(RESUMES);
    assert_violated(&of(V5), "MQTT 5.0 [MQTT-4.5.0-1]");
    for pair in [V311, TO_V5, TO_V311] {
        assert_differs(&of(pair), "messages that waited in the session did not come");
    }
}

/// Of 30 messages, so many were lost, and each before a later one came.
fn lost(lost: u64) -> LedgerCounts {
    LedgerCounts { sent: 30, acknowledged: 30, delivered: 30 - lost, lost, ..LedgerCounts::default() }
}

#[test]
fn a_queue_of_which_a_part_came_may_have_a_limit_and_accuses_nobody() {
    for (shares, held_back) in [(&[("some", 3)][..], 3), (&[("all", 2), ("none", 1)], 4)] {
        let made =
            || resumed(V5, 3).facts(QUEUED, shares).messages(lost(6)).measure(HELD_BACK, 3, held_back, 2);
        let verdict = made().verdict(RESUMES);
        assert_differs(&verdict, "6 of 30 acknowledged messages were lost");
        assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 [MQTT-4.5.0-1]"));
        let why =
            format!("the broker kept {held_back} others and delivered them: its queue may have a limit");
        assert!(verdict.evidence.contains(&why), "{verdict:?}");
    }
    let refused = LedgerCounts { refused: BTreeMap::from([(0x97, 2)]), ..lost(6) };
    let verdict = resumed(V5, 3).fact(QUEUED, "none", 3).messages(refused).verdict(RESUMES);
    assert!(verdict.evidence.contains("it has announced a limit"), "{verdict:?}");
    let nothing_after = LedgerCounts { lost_at_the_end: 6, ..lost(6) };
    let verdict = resumed(V5, 3).fact(QUEUED, "none", 3).messages(nothing_after).verdict(RESUMES);
    assert_inconclusive(&verdict, "late can't be told from lost");
}

#[test]
fn what_is_missing_beside_a_broker_that_went_down_is_no_accusation() {
    let down = |mut made: Made| {
        made.0.outcomes.insert(Outcome::BrokerDown.name().into(), 1);
        made
    };
    let gone = || resumed(V5, 3).fact(SESSION_PRESENT, "no", 1);
    assert_inconclusive(&down(gone()).verdict(RESUMES), "the broker went down");
    assert_inconclusive(&gone().verdict_unsettled(RESUMES), "well-behaved clients lost 1 connections");
    let empty = || resumed(V5, 3).fact(QUEUED, "none", 3).messages(lost(6));
    assert_differs(&down(empty()).verdict(RESUMES), "6 of 30 acknowledged messages were lost");
    assert_differs(&empty().verdict_unsettled(RESUMES), "6 of 30 acknowledged messages were lost");
    let part = || resumed(V5, 3).facts(SENT_AGAIN, &[("all", 2), ("some", 1)]).fact(IDENTIFIERS, "kept", 3);
    assert_inconclusive(&down(part()).verdict(AGAIN), "the broker went down");
    assert_inconclusive(&part().verdict_unsettled(AGAIN), "well-behaved clients lost 1 connections");
    // What did come, and should not have, is seen all the same.
    let made = down(resumed(V5, 3).fact(SENT_AGAIN, "all", 3).fact(IDENTIFIERS, "changed", 1));
    assert_eq!(made.verdict(AGAIN).conclusion, Conclusion::Violated);
}

#[test]
fn a_session_that_was_not_to_go_on_is_not_judged_by_what_a_resumed_one_owes() {
    let gone = ["discard", "discard-will-delay", "ended", "ended-will-delay", "clean", "clean-will-delay"];
    for variant in gone {
        for check in [RESUMES, AGAIN, MARKS, ONCE] {
            let made =
                Made::closed(variant, V5, 3).fact(SESSION_PRESENT, "no", 3).fact(SENT_AGAIN, "none", 3);
            let made = made.fact(DUP, "missing", 3).fact(REPEATED, "twice", 3);
            assert!(made.has_no_verdict_of(check), "{variant} {check}");
        }
    }
}

#[test]
fn newcomers_that_were_refused_say_nothing_of_sessions() {
    for (variant, check) in [("resume", RESUMES), ("discard", STARTS)] {
        let made = Made::of(storm::ID, variant, V5, &[(Outcome::Tolerated, 4)]);
        let verdict = made.fact(NEWCOMER, "CONNACK 0x97 Quota exceeded", 4).verdict(check);
        assert_inconclusive(&verdict, "accepted none of the newcomers");
    }
}

// sends_again_what_was_in_flight

const AGAIN: &str = "sends_again_what_was_in_flight";

fn again_citation(pair: &str) -> &str {
    of_newcomer(pair, "MQTT 5.0 [MQTT-4.4.0-1]", "MQTT 3.1.1 [MQTT-4.4.0-1]")
}

#[test]
fn mqtt5_4_4_0_1_and_mqtt3_1_1_4_4_0_1_what_comes_again_under_its_identifiers_keeps_it() {
    for pair in PAIRS {
        let made = resumed(pair, 3).fact(SENT_AGAIN, "all", 3).fact(IDENTIFIERS, "kept", 3);
        assert_holds_by(&made.verdict(AGAIN), Force::Must, Some(again_citation(pair)));
    }
}

#[test]
fn mqtt5_4_4_0_1_and_mqtt3_1_1_4_4_0_1_what_does_not_come_or_under_another_identifier_breaks_it() {
    for pair in PAIRS {
        for share in ["none", "some"] {
            let verdict = resumed(pair, 3).facts(SENT_AGAIN, &[("all", 2), (share, 1)]).verdict(AGAIN);
            assert_violated(&verdict, again_citation(pair));
        }
        let made = resumed(pair, 3).fact(SENT_AGAIN, "all", 3);
        let verdict = made.facts(IDENTIFIERS, &[("kept", 2), ("changed", 1)]).verdict(AGAIN);
        assert_violated(&verdict, again_citation(pair));
    }
}

#[test]
fn what_may_still_be_on_its_way_accuses_nobody() {
    for pair in PAIRS {
        let late = |fact| resumed(pair, 3).facts(fact, &[("all", 2), (Share::NotYet.name(), 1)]);
        assert_inconclusive(&late(SENT_AGAIN).verdict(AGAIN), "a longer --resend-wait may tell");
        assert_inconclusive(&late(QUEUED).verdict(RESUMES), "a longer --resend-wait may tell");
        let after_all = resumed(pair, 3).facts(SENT_AGAIN, &[("all", 1), (Share::Late.name(), 2)]);
        let note = "what was in flight is sent again late, and not in its order";
        assert_differs(&after_all.verdict(AGAIN), note);
        // One that was overtaken breaks it, whatever the others may still be.
        let both = resumed(pair, 3).facts(SENT_AGAIN, &[("none", 1), (Share::NotYet.name(), 2)]);
        assert_violated(&both.verdict(AGAIN), again_citation(pair));
    }
}

#[test]
fn without_a_resumed_session_nothing_need_be_sent_again() {
    for present in ["no", "not owed"] {
        let made = Made::closed("resume", V5, 3).fact(SESSION_PRESENT, present, 3);
        for check in [AGAIN, MARKS, ONCE] {
            assert_eq!(made.clone().verdict(check).conclusion, Conclusion::Inconclusive, "{check}");
        }
    }
}

// marks_what_it_sends_again

const MARKS: &str = "marks_what_it_sends_again";

fn sent_again(pair: &str, dup: &[(&str, u64)], identifiers: &[(&str, u64)]) -> Verdict {
    let count = dup.iter().map(|(_, count)| count).sum();
    let made = resumed(pair, count).fact(SENT_AGAIN, "all", count);
    made.facts(DUP, dup).facts(IDENTIFIERS, identifiers).verdict(MARKS)
}

#[test]
fn mqtt5_3_3_1_1_and_mqtt3_1_1_3_3_1_1_dup_1_keeps_it_and_dup_0_breaks_it() {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-3.3.1-1]", "MQTT 3.1.1 [MQTT-3.3.1-1]");
        assert_holds_by(&sent_again(pair, &[("set", 3)], &[("kept", 3)]), Force::Must, Some(citation));
        assert_violated(&sent_again(pair, &[("set", 2), ("missing", 1)], &[("kept", 3)]), citation);
    }
}

#[test]
fn what_comes_under_another_identifier_is_a_message_of_its_own_and_need_have_no_dup() {
    let why = "these were not sent again, but sent anew";
    assert_inconclusive(&sent_again(V5, &[("missing", 3)], &[("changed", 3)]), why);
    // As many as may be those under other Packet Identifiers.
    assert_inconclusive(&sent_again(V5, &[("set", 2), ("missing", 1)], &[("kept", 2), ("changed", 1)]), why);
    assert_inconclusive(&sent_again(V5, &[("set", 2), ("missing", 1)], &[("kept", 1), ("changed", 2)]), why);
    // More than these.
    let verdict = sent_again(V5, &[("set", 1), ("missing", 2)], &[("kept", 2), ("changed", 1)]);
    assert_violated(&verdict, "MQTT 5.0 [MQTT-3.3.1-1]");
}

// delivers_the_repeated_message_once

const ONCE: &str = "delivers_the_repeated_message_once";

#[test]
fn mqtt5_4_3_3_10_and_mqtt3_1_1_4_3_3_2_once_keeps_it_and_twice_breaks_it() {
    for pair in PAIRS {
        let citation = of_newcomer(pair, "MQTT 5.0 [MQTT-4.3.3-10]", "MQTT 3.1.1 [MQTT-4.3.3-2]");
        let once = resumed(pair, 3).fact(REPEATED, "once", 3).verdict(ONCE);
        assert_holds_by(&once, Force::Must, Some(citation));
        let twice = resumed(pair, 3).facts(REPEATED, &[("once", 2), ("twice", 1)]).verdict(ONCE);
        assert_violated(&twice, citation);
    }
}

#[test]
fn a_repeated_message_that_never_came_is_a_note() {
    for pair in PAIRS {
        let verdict = resumed(pair, 3).facts(REPEATED, &[("once", 2), ("never", 1)]).verdict(ONCE);
        assert_differs(&verdict, "a QoS 2 message that the broker took did not come until the deadline");
    }
}

// treats_the_will_as_the_session

const WILL: &str = "treats_the_will_as_the_session";
const DUE_ON_3_1_1: &str = "MQTT 3.1.1 [MQTT-3.1.2-8]";
const NOT_DUE_ON_5_0: &str = "MQTT 5.0 [MQTT-3.1.3-9]";

fn wills(due: u64, due_and_seen: u64) -> WillRecord {
    WillRecord {
        set: due,
        due,
        due_and_seen,
        shortest_wait_of_unseen_us: (due_and_seen < due).then_some(5_001_999),
        ..WillRecord::default()
    }
}

/// Wills that are not to be published.
fn not_due(set: u64, seen: u64) -> WillRecord {
    WillRecord { set, not_due_and_seen: seen, ..wills(0, 0) }
}

fn will(variant: &str, pair: &str, will: WillRecord) -> Verdict {
    Made::closed(variant, pair, will.set).will(will).verdict(WILL)
}

/// Every situation with every pair of versions.
fn will_grid() -> impl Iterator<Item = (Situation, &'static str)> {
    Situation::ALL.into_iter().flat_map(|situation| PAIRS.into_iter().map(move |pair| (situation, pair)))
}

fn is_of_3_1_1(pair: &str) -> bool {
    pair.starts_with(V311)
}

#[test]
fn the_will_belongs_to_the_older_connection_and_is_judged_by_its_version() {
    for (situation, pair) in will_grid() {
        let verdict = will(situation.name(), pair, wills(8, 8));
        let citation = is_of_3_1_1(pair).then_some(DUE_ON_3_1_1);
        let force = if is_of_3_1_1(pair) { Force::Must } else { Force::Prose };
        assert_holds_by(&verdict, force, citation);
        assert_eq!(verdict.evidence, "8 of 8 Wills came");
    }
}

#[test]
fn mqtt3_1_1_3_1_2_8_no_will_at_all_is_violated_where_the_older_client_speaks_3_1_1_and_a_note_on_5_0() {
    for (situation, pair) in will_grid() {
        let verdict = will(situation.name(), pair, wills(8, 0));
        if is_of_3_1_1(pair) {
            assert_violated(&verdict, DUE_ON_3_1_1);
            assert!(
                verdict.evidence.starts_with("none of 8 Wills was published within 5.00 s"),
                "{verdict:?}"
            );
        } else {
            assert_differs(&verdict, "the Will of the older connection is not published");
            assert_eq!((verdict.force, verdict.citation), (Force::Prose, None), "{situation} {pair}");
        }
    }
}

#[test]
fn a_missing_will_of_a_broker_that_may_have_come_up_anew_accuses_nobody() {
    for (situation, pair) in will_grid().filter(|(_, pair)| is_of_3_1_1(pair)) {
        let verdict = Made::closed(situation.name(), pair, 8).will(wills(8, 0)).verdict_unsettled(WILL);
        assert_inconclusive(&verdict, "well-behaved clients lost 1 connections");
        assert_eq!(verdict.citation.as_deref(), Some(DUE_ON_3_1_1), "{situation} {pair}");
    }
}

#[test]
fn mqtt5_3_1_3_9_a_delayed_will_that_came_though_its_session_goes_on_is_violated_and_no_other_that_came() {
    for (situation, pair) in will_grid() {
        let verdict = will(situation.name(), pair, not_due(8, 3));
        if situation.name() == "resume-will-delay" && !is_of_3_1_1(pair) {
            assert_violated(&verdict, NOT_DUE_ON_5_0);
            assert!(verdict.evidence.starts_with("3 of 8 Wills with a Will Delay Interval"), "{verdict:?}");
            let few = will(situation.name(), pair, not_due(8, 2));
            assert_inconclusive(&few, "at least 3 attempts must show the same");
        } else {
            assert_inconclusive(&verdict, "no connection with a Will was closed");
        }
    }
}

#[test]
fn mqtt5_3_1_3_9_silence_keeps_it_before_a_witness_that_was_proved_and_heard_nothing_unexpected() {
    let case = || Made::closed("resume-will-delay", V5, 8).will(not_due(8, 0));
    let verdict = case().verdict(WILL);
    assert_holds_by(&verdict, Force::Must, Some(NOT_DUE_ON_5_0));
    let with_witness = |witness| {
        let mut record = case().record();
        record.witness = witness;
        verdict_on(&record, WILL).unwrap()
    };
    let unproved = Some(WitnessRecord { proved: false, unexpected: 0 });
    assert_inconclusive(&with_witness(unproved), "did not provably receive");
    assert_inconclusive(&with_witness(None), "did not provably receive");
    let late = Some(WitnessRecord { proved: true, unexpected: 2 });
    assert_inconclusive(&with_witness(late), "2 messages came after the wait for them");
    // A connection that nobody closed has no Will that might come.
    let open = Made::of(storm::ID, "resume-will-delay", V5, &[(Outcome::Tolerated, 8)]).will(not_due(8, 0));
    assert_inconclusive(&open.verdict(WILL), "no connection with a Will was closed");
}

#[test]
fn a_delayed_will_that_is_due_as_its_session_was_not_resumed_is_a_note_when_it_is_missing() {
    let verdict = will("resume-will-delay", V5, wills(8, 0));
    assert_differs(&verdict, "the Will of the older connection is not published");
    assert_eq!((verdict.force, verdict.citation), (Force::Prose, None), "[MQTT-3.1.3-9] demands no Will");
}

#[test]
fn some_wills_that_are_missing_among_others_that_came_accuse_nobody() {
    for (situation, pair) in will_grid() {
        let verdict = will(situation.name(), pair, wills(8, 7));
        assert_inconclusive(&verdict, "1 of 8 Wills were not seen within 5.00 s; the others were");
    }
}

#[test]
fn a_missing_will_accuses_nobody_when_the_witness_was_not_proved_or_the_run_was_cut_short() {
    for (situation, pair) in will_grid() {
        let record = |proved, unexpected, completeness| {
            let mut record = Made::closed(situation.name(), pair, 8).will(wills(8, 0)).record();
            record.witness = Some(WitnessRecord { proved, unexpected });
            record.completeness = completeness;
            verdict_on(&record, WILL).unwrap()
        };
        let complete = Completeness::Complete;
        assert_inconclusive(&record(false, 0, complete), "the witness did not provably receive messages");
        assert_inconclusive(&record(true, 1, complete), "1 messages came after the wait for them was over");
        let cut_short = [
            Completeness::Partial,
            Completeness::Interrupted,
            Completeness::BrokerDown,
            Completeness::RecordFailed,
        ];
        for completeness in cut_short {
            assert_inconclusive(&record(true, 0, completeness), "the run did not complete");
        }
    }
}

#[test]
fn a_case_of_which_no_will_could_be_waited_for_says_why() {
    let without = Made::closed("clean", V311, 3);
    let verdict = without.clone().verdict(WILL);
    assert_inconclusive(&verdict, "no Will could be waited for");
    assert_eq!(verdict.citation.as_deref(), Some(DUE_ON_3_1_1));
    let mut record = without.record();
    record.witness = None;
    assert_inconclusive(&verdict_on(&record, WILL).unwrap(), "the witness could not subscribe");
}

#[test]
fn a_will_that_came_more_than_once_is_a_note() {
    for (situation, pair) in will_grid() {
        let verdict = will(situation.name(), pair, WillRecord { more_than_once: 3, ..wills(8, 8) });
        assert_differs(&verdict, "3 Wills came more than once (QoS 1)");
    }
}

// keeps_messages_across_takeovers

const KEEPS: &str = "keeps_messages_across_takeovers";

fn duelled(variant: &str, takeovers: u64, acknowledged: u64, lost: u64) -> Made {
    let made = Made::of(duel::ID, variant, V5, &[(Outcome::Closed, 1)]).fact(NEWCOMER, "accepted", 1);
    let mut made = made.measure(duel::TAKEOVERS, 1, takeovers, takeovers);
    let delivered = acknowledged.saturating_sub(lost);
    let counts = LedgerCounts { acknowledged, delivered, lost, duplicated: 5, ..LedgerCounts::default() };
    made = made.messages(counts);
    made
}

#[test]
fn messages_that_all_came_hold_and_lost_ones_are_a_note_and_never_an_accusation() {
    let verdict = duelled("resume", 30, 500, 0).verdict(KEEPS);
    assert_holds_by(&verdict, Force::Prose, None);
    let expected =
        "500 messages acknowledged, 0 of them never delivered, 5 delivered more than once, in 30 take-overs";
    assert_eq!(verdict.evidence, expected);
    let made = duelled("resume", 30, 500, 7);
    assert_differs(&made.clone().verdict(KEEPS), "acknowledged messages were lost in take-overs");
    let late = LedgerCounts { lost_at_the_end: 7, ..made.0.messages[&1].clone() };
    assert_inconclusive(&made.messages(late).verdict(KEEPS), "late can't be told from lost");
}

#[test]
fn a_message_that_the_broker_acknowledged_for_nobody_is_lost_all_the_same() {
    let mut made = duelled("resume", 30, 500, 2);
    made.0.messages.get_mut(&1).unwrap().without_subscribers = 3;
    let verdict = made.verdict(KEEPS);
    assert_differs(&verdict, "acknowledged messages were lost in take-overs");
    assert!(verdict.evidence.contains("5 of them never delivered"), "{verdict:?}");
}

#[test]
fn a_duel_without_a_take_over_or_a_message_says_nothing_of_messages() {
    for made in [duelled("resume", 0, 500, 3), duelled("resume", 30, 0, 0)] {
        assert_inconclusive(&made.verdict(KEEPS), "no message was acknowledged, or nobody was taken over");
    }
    let not_looked_at = Made::of(duel::ID, "resume", V5, &[(Outcome::Closed, 1)]);
    assert_eq!(not_looked_at.verdict(KEEPS).conclusion, Conclusion::Inconclusive);
}

#[test]
fn a_clean_session_owes_no_message() {
    assert!(duelled("clean", 30, 500, 7).has_no_verdict_of(KEEPS));
}

// does_not_wait_for_the_dead

const WAITS: &str = "does_not_wait_for_the_dead";

fn came_back(variant: &str, pair: &str, slowest_us: u64) -> Made {
    let made = Made::of(dead_peer::ID, variant, pair, &[(Outcome::Closed, 4)]).fact(NEWCOMER, "accepted", 4);
    made.measure(NEWCOMER_CONNACK, 4, 4 * slowest_us, slowest_us)
}

fn beside(alive: Made, dead: Made) -> Verdict {
    verdict_on(&record_of(vec![alive.0, dead.0]), WAITS).expect("the dead one is judged")
}

#[test]
fn a_newcomer_that_waits_ten_times_and_half_a_second_longer_for_a_dead_peer_is_a_note() {
    for variant in ["silent", "zero-window"] {
        let judged =
            |alive_us, dead_us| beside(came_back("alive", V5, alive_us), came_back(variant, V5, dead_us));
        assert_holds_by(&judged(400, 900), Force::Prose, None);
        assert_holds_by(&judged(400, 400_000), Force::Prose, None);
        assert_holds_by(&judged(100_000, 900_000), Force::Prose, None);
        let slow = judged(400, 4_500_000);
        assert_differs(&slow, "the newcomer waits for the dead connection");
        assert!(slow.evidence.contains("took 4.50 s with a peer that is"), "{slow:?}");
    }
}

#[test]
fn newcomers_that_were_never_answered_beside_a_dead_peer_do_not_pass_as_fast_ones() {
    let dead = came_back("silent", V5, 900).fact(NEWCOMER, "no CONNACK within 5s", 3);
    assert_inconclusive(
        &beside(came_back("alive", V5, 400), dead),
        "3 newcomers were refused or not answered",
    );
    let none = Made::of(dead_peer::ID, "silent", V5, &[(Outcome::Tolerated, 3)]);
    let none = none.fact(NEWCOMER, "no CONNACK within 5s", 3);
    assert_inconclusive(&beside(came_back("alive", V5, 400), none), "accepted none of the newcomers");
}

#[test]
fn without_a_living_control_of_the_same_versions_there_is_nothing_to_compare_with() {
    assert_inconclusive(&came_back("silent", V5, 9_000_000).verdict(WAITS), "add the variant alive");
    let of_other_versions = beside(came_back("alive", V311, 1), came_back("silent", V5, 9_000_000));
    assert_inconclusive(&of_other_versions, "add the variant alive");
    assert!(came_back("alive", V5, 9_000_000).has_no_verdict_of(WAITS), "the control is not judged");
}

// takes_the_client_back, serves_others

const TAKES_BACK: &str = "takes_the_client_back";
const SERVES: &str = "serves_others";

fn flapped(banned: &[(&str, u64)], others: &[(&str, u64)]) -> Made {
    let made = Made::of(flap::ID, "every-10ms", V5, &[(Outcome::Tolerated, 3)]);
    made.facts(flap::BANNED, banned).facts(flap::OTHERS_SERVED, others).measure(flap::ACCEPTED, 3, 300, 100)
}

#[test]
fn a_client_that_is_always_taken_back_holds_and_one_that_is_banned_is_a_note_that_names_how() {
    let verdict = flapped(&[("no", 3)], &[]).verdict(TAKES_BACK);
    assert_holds_by(&verdict, Force::Prose, None);
    assert!(verdict.evidence.ends_with("always accepted (300 connections)"), "{verdict:?}");
    let banned = flapped(&[("no", 1), ("CONNACK 0x8A Banned", 2)], &[]).verdict(TAKES_BACK);
    assert_differs(&banned, "refused: CONNACK 0x8A Banned (×2)");
}

#[test]
fn others_that_are_served_hold_and_one_that_is_not_is_a_note() {
    assert_holds_by(&flapped(&[], &[("yes", 3)]).verdict(SERVES), Force::Prose, None);
    assert_differs(&flapped(&[], &[("yes", 2), ("no", 1)]).verdict(SERVES), "another client was refused");
}

// Whatever the record.

fn values(names: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<String, u64>> {
    prop::collection::btree_map(prop::sample::select(names).prop_map(ToOwned::to_owned), 0_u64..4, 0..4)
}

fn any_will() -> impl Strategy<Value = Option<WillRecord>> {
    let will = (prop::array::uniform6(0_u64..4), prop::option::of(0_u64..9_000_000));
    prop::option::of(will.prop_map(|(n, wait_us)| WillRecord {
        set: n[0],
        due: n[1],
        due_and_seen: n[2],
        not_due_and_seen: n[3],
        more_than_once: n[4],
        of_later_connect: n[5],
        shortest_wait_of_unseen_us: wait_us,
        ..WillRecord::default()
    }))
}

fn any_case() -> impl Strategy<Value = CaseRecord> {
    const FAULTS: [&str; 5] = [storm::ID, duel::ID, race::ID, dead_peer::ID, flap::ID];
    let which =
        (prop::sample::select(&FAULTS), prop::sample::select(&Situation::ALL), prop::sample::select(&PAIRS));
    let outcomes = prop::array::uniform7(0_u64..3);
    let facts = (
        values(&["accepted", "CONNACK 0x97 Quota exceeded"]),
        values(&["0", "1", "2", "2 or more", "unknown"]),
        values(&["yes", "no", "not owed", "always", "no, but resumed", "not served"]),
        values(&["all", "some", "none"]),
        values(&["kept", "changed", "set", "missing", "once", "twice", "never"]),
    );
    let codes = prop::collection::btree_map(any::<u8>(), 0_u64..4, 0..3);
    (which, outcomes, facts, codes, any_will()).prop_map(
        |((fault, situation, pair), outcomes, facts, codes, will)| {
            const OUTCOMES: [Outcome; 7] = [
                Outcome::Closed,
                Outcome::Reset,
                Outcome::Tolerated,
                Outcome::NoReaction,
                Outcome::BrokerDown,
                Outcome::NotActed,
                Outcome::Interrupted,
            ];
            let outcomes: Vec<_> = OUTCOMES.into_iter().zip(outcomes).collect();
            let mut case = Made::of(fault, situation.name(), pair, &outcomes).codes(&[]).0;
            let (newcomer, alive, present, share, rest) = facts;
            let of = [
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
            case.facts = of.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
            case.disconnect_codes = codes;
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

/// The checks that may accuse.
const ACCUSING: [&str; 9] = [CLOSES, STARTS, ENDS, RESUMES, TRULY, AGAIN, MARKS, ONCE, WILL];

proptest! {
    #[test]
    fn whatever_a_record_says_only_a_numbered_must_of_one_of_the_versions_is_ever_violated(record in any_record()) {
        for verdict in judged(&record) {
            let case = verdict.case.as_ref().expect("every verdict here is about a case");
            if verdict.conclusion == Conclusion::Violated {
                prop_assert!(ACCUSING.contains(&verdict.check.as_str()), "{:?}", verdict);
                prop_assert_eq!(verdict.force, Force::Must);
                let citation = verdict.citation.as_deref().expect("an accusation has a number");
                let pair: VersionPair = case.version.parse().expect("the generator makes pairs");
                // The Will and the end of the session are the older connection's; all else is owed to the newcomer.
                let of = |version| citation.starts_with(&format!("MQTT {version} [MQTT-"));
                let is_of_its_version = match verdict.check.as_str() {
                    WILL => of(pair.old),
                    ENDS => of(pair.old) || of(pair.new),
                    _ => of(pair.new),
                };
                prop_assert!(is_of_its_version, "{:?}", verdict);
                let is_known = statement::ALL.iter().any(|statement| statement.to_string() == citation);
                prop_assert!(is_known, "{:?}", verdict);
            }
            prop_assert!(verdict.differs.is_none() || verdict.conclusion == Conclusion::Holds, "{:?}", verdict);
            prop_assert!(!verdict.evidence.is_empty(), "{:?}", verdict);
        }
    }

    #[test]
    fn no_will_is_ever_missed_but_on_3_1_1_and_none_too_many_but_a_delayed_one_whose_session_goes_on(
        record in any_record(),
    ) {
        for verdict in judged(&record).into_iter().filter(|verdict| verdict.check == WILL) {
            let case = verdict.case.as_ref().expect("a Will is of a case");
            let pair: VersionPair = case.version.parse().expect("the generator makes pairs");
            if verdict.conclusion == Conclusion::Violated {
                let of_3_1_1 = is_of_3_1_1(&pair.to_string());
                let citation = if of_3_1_1 { DUE_ON_3_1_1 } else { NOT_DUE_ON_5_0 };
                prop_assert_eq!(verdict.citation.as_deref(), Some(citation));
                prop_assert!(of_3_1_1 || case.variant == "resume-will-delay", "{:?}", verdict);
            }
        }
    }
}
