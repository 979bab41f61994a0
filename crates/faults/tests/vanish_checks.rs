//! What the checks of drops, knocks and storms of Wills conclude from records made by hand. No sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use ungraceful_faults::resumption::{LEFT_OVER, Resumption, SESSION_PRESENT};
use ungraceful_faults::takeover::storm::{HELD_BACK, Share};
use ungraceful_faults::vanish::drop::{self, BACK_PAST_END, RETURN, Variant, WAITING, WILL_CAME, WillCame};
use ungraceful_faults::vanish::knock;
use ungraceful_faults::vanish::will_storm;
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::{Distribution, Percentiles};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, VersionRecord, WillRecord, WitnessRecord};
use ungraceful_record::testing::{
    self, assert_inconclusive, assert_note_contains, assert_violated, bystanders_that_lost_connections,
    empty_record,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const ACCEPTED: &str = "accepted";
const V5: &str = "5.0";
const V311: &str = "3.1.1";

/// The checks of the faults that the record has cases of.
fn checks_of(record: &Record) -> Vec<Check> {
    let faults: BTreeSet<&str> = record.cases.iter().map(|case| case.case.fault.as_str()).collect();
    faults
        .into_iter()
        .flat_map(|fault| ungraceful_faults::find(fault).expect("one of ours").checks())
        .collect()
}

/// A record of one case.
#[derive(Clone)]
struct Made {
    case: CaseRecord,
    record: Record,
}

impl Made {
    fn of(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        let mut record = empty_record();
        record.witness = Some(WitnessRecord { proved: true, unexpected: 0 });
        Self { case: testing::case(fault, variant, version, outcomes), record }
    }

    /// Clients of a drop that left, all of which came back.
    fn dropped(variant: &str, version: &str, count: u64) -> Self {
        Self::of(drop::ID, variant, version, &[(Outcome::Left, count)]).fact(RETURN, ACCEPTED, count)
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.case, fact, value, count);
        self
    }

    fn measure(mut self, measure: Measure, min: u64, max: u64) -> Self {
        let values =
            Distribution { count: 1, sum: max, min: Some(min), max: Some(max), ..Distribution::default() };
        self.case.measures.insert(measure.to_string(), values);
        self
    }

    fn will(mut self, will: WillRecord) -> Self {
        self.case.will = Some(will);
        self
    }

    fn messages(mut self, counts: LedgerCounts) -> Self {
        self.case.messages = BTreeMap::from([(1, counts)]);
        self
    }

    fn closed_after(mut self, max_us: u64) -> Self {
        self.case.time_to_close = Percentiles { count: 1, max_us: Some(max_us), ..Percentiles::default() };
        self
    }

    fn codes(mut self, code: u8, count: u64) -> Self {
        self.case.disconnect_codes = BTreeMap::from([(code, count)]);
        self
    }

    fn witness(mut self, witness: Option<WitnessRecord>) -> Self {
        self.record.witness = witness;
        self
    }

    fn completeness(mut self, completeness: Completeness) -> Self {
        self.record.completeness = completeness;
        self
    }

    /// An honest client lost its connection: the broker may have come up anew.
    fn unsettled(mut self) -> Self {
        self.record.bystanders = Some(bystanders_that_lost_connections(V5, 1));
        self
    }

    fn record(self) -> Record {
        let mut record = self.record;
        record.cases = vec![self.case];
        record
    }

    fn verdict(self, check: &str) -> Verdict {
        verdict_on(&self.record(), check).expect("the check judges this case")
    }

    fn has_no_verdict_of(self, check: &str) -> bool {
        verdict_on(&self.record(), check).is_none()
    }
}

fn verdict_on(record: &Record, check: &str) -> Option<Verdict> {
    let mut record = record.clone();
    let checks = checks_of(&record);
    judge(&mut record, &checks);
    record.verdicts.into_iter().find(|verdict| verdict.check == check)
}

fn wills(due: u64, seen: u64) -> WillRecord {
    WillRecord {
        set: due,
        due,
        due_and_seen: seen,
        shortest_wait_of_unseen_us: (seen < due).then_some(2_000_000),
        will_time: Percentiles { count: seen, max_us: Some(41_000), ..Percentiles::default() },
        ..WillRecord::default()
    }
}

fn not_due(set: u64, seen: u64) -> WillRecord {
    WillRecord { set, due: 0, not_due_and_seen: seen, ..wills(0, 0) }
}

#[track_caller]
fn assert_holds(verdict: &Verdict, citation: Option<&str>) {
    testing::assert_holds(verdict);
    assert_eq!(verdict.citation.as_deref(), citation, "{verdict:?}");
}

#[test]
fn a_case_without_a_sample_is_judged_by_nobody_to_hold() {
    let cases = Variant::ALL.map(|variant| (drop::ID, variant.name()));
    let knocks = knock::Variant::ALL.map(|variant| (knock::ID, variant.name()));
    let storms = will_storm::Variant::ALL.map(|variant| (will_storm::ID, variant.name()));
    for (fault, variant) in cases.into_iter().chain(knocks).chain(storms) {
        for version in [V5, V311] {
            let mut record = Made::of(fault, variant, version, &[(Outcome::NotActed, 3)]).record();
            let checks = checks_of(&record);
            judge(&mut record, &checks);
            assert!(!record.verdicts.is_empty(), "{fault} {variant}");
            for verdict in record.verdicts {
                assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{fault} {variant}: {verdict:?}");
            }
        }
    }
}

#[test]
fn cases_of_other_faults_and_of_variants_unknown_here_have_no_verdict() {
    for (fault, checked, variant) in
        [("double-connect", drop::ID, "fin"), (drop::ID, drop::ID, "other"), (knock::ID, knock::ID, "fin")]
    {
        let mut record = Made::of(fault, variant, V5, &[(Outcome::Left, 3)]).record();
        judge(&mut record, &ungraceful_faults::find(checked).expect("one of ours").checks());
        assert_eq!(record.verdicts, [], "{fault} {variant}");
    }
}

/// A witness that was proved, and heard Wills that nobody waited for.
fn stray() -> Option<WitnessRecord> {
    Some(WitnessRecord { proved: true, unexpected: 5 })
}

// publishes_the_will

const PUBLISHES: &str = "publishes_the_will";

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_wills_that_came_hold_and_wills_of_which_none_came_break_it() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let made = Made::dropped("rst", version, 4);
        let verdict = made.clone().will(wills(4, 4)).verdict(PUBLISHES);
        assert_holds(&verdict, Some(citation));
        assert_eq!(verdict.evidence, "4 of 4 Wills came");
        let verdict = made.will(wills(4, 0)).verdict(PUBLISHES);
        assert_violated(&verdict, citation);
        assert!(verdict.evidence.starts_with("none of 4 Wills was published within 2.00 s"), "{verdict:?}");
    }
}

#[test]
fn a_missing_will_accuses_nobody_without_proof() {
    let made = |seen| Made::dropped("fin", V5, 4).will(wills(4, seen));
    assert_inconclusive(&made(3).verdict(PUBLISHES), "1 of 4 Wills were not seen");
    let deaf = Some(WitnessRecord { proved: false, unexpected: 0 });
    assert_inconclusive(&made(0).witness(deaf).verdict(PUBLISHES), "did not provably receive");
    let late = Some(WitnessRecord { proved: true, unexpected: 2 });
    assert_inconclusive(&made(0).witness(late).verdict(PUBLISHES), "a longer --will-wait resolves this");
    let cut = made(0).completeness(Completeness::Interrupted);
    assert_inconclusive(&cut.verdict(PUBLISHES), "the run did not complete");
    assert_inconclusive(&made(0).unsettled().verdict(PUBLISHES), "well-behaved clients lost 1 connections");
    assert_inconclusive(&Made::dropped("fin", V5, 4).verdict(PUBLISHES), "no Will could be waited for");
    let nobody = Made::dropped("fin", V5, 4).witness(None);
    assert_inconclusive(&nobody.verdict(PUBLISHES), "could not subscribe");
}

#[test]
fn fewer_than_three_missing_wills_accuse_nobody_nor_do_those_that_may_have_come_too_early() {
    let made = |count| Made::dropped("rst", V5, count).will(wills(count, 0));
    for few in [1, 2] {
        assert_inconclusive(&made(few).verdict(PUBLISHES), "at least 3 attempts must show the same");
    }
    assert_violated(&made(3).verdict(PUBLISHES), "MQTT 5.0 [MQTT-3.1.2-8]");
    let before = |seen| WillRecord { seen_before: 1, ..wills(4, seen) };
    let early = Made::dropped("rst", V5, 4).will(before(0));
    assert_inconclusive(&early.verdict(PUBLISHES), "not counted: the Wills of 1 clients");
    let all = Made::dropped("rst", V5, 4).will(before(4)).verdict(PUBLISHES);
    assert_holds(&all, Some("MQTT 5.0 [MQTT-3.1.2-8]"));
    assert!(all.evidence.starts_with("4 of 4 Wills came; not counted: the Wills of 1 clients"), "{all:?}");
}

#[test]
fn a_few_missing_wills_accuse_nobody_where_the_broker_takes_qos_0_alone() {
    let made = |count| {
        let mut made = Made::dropped("fin", V5, count).will(wills(count, 0));
        made.record.broker.versions.push(VersionRecord {
            version: V5.into(),
            spoken: true,
            why_not: None,
            connack_properties: BTreeMap::from([("Maximum QoS".into(), "0".into())]),
            connack_time_us: None,
        });
        made
    };
    assert_inconclusive(&made(2).verdict(PUBLISHES), "at least 3 attempts must show the same");
    assert_violated(&made(3).verdict(PUBLISHES), "MQTT 5.0 [MQTT-3.1.2-8]");
    for check in ["delivers_what_waited", "delivers_in_order"] {
        assert!(made(3).has_no_verdict_of(check), "nothing waits there, by right");
    }
}

#[test]
fn mqtt5_3_1_2_8_a_will_well_before_its_time_breaks_it_and_one_that_is_rounded_does_not() {
    let came =
        |fact, count| Made::dropped("will-delay", V5, 4).will(wills(4, 4)).fact(WILL_CAME, fact, count);
    let verdict = came(WillCame::Early.name(), 3).verdict(PUBLISHES);
    assert_violated(&verdict, "MQTT 5.0 [MQTT-3.1.2-8]");
    assert_inconclusive(
        &came(WillCame::Early.name(), 2).verdict(PUBLISHES),
        "at least 3 attempts must show the same",
    );
    assert_inconclusive(
        &came(WillCame::Early.name(), 3).witness(stray()).verdict(PUBLISHES),
        "5 messages came after the wait",
    );
    let made = |fact| came(fact, 1);
    assert!(verdict.evidence.starts_with("3 of 4 Wills came more than a second before"), "{verdict:?}");
    assert_note_contains(
        &made(WillCame::Rounded.name()).verdict(PUBLISHES),
        "1 Wills came up to a second early",
    );
    assert_note_contains(
        &made(WillCame::LateByDelay.name()).verdict(PUBLISHES),
        "1 Wills waited for their delay",
    );
    assert_holds(&made("when due").verdict(PUBLISHES), Some("MQTT 5.0 [MQTT-3.1.2-8]"));
}

// publishes_the_will_once

const ONCE: &str = "publishes_the_will_once";

#[test]
fn mqtt5_3_1_2_10_and_mqtt3_1_1_3_1_2_10_wills_that_all_come_twice_break_it_and_some_are_a_note() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-10]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-10]")] {
        let twice = |more_than_once| {
            let will = WillRecord { more_than_once, ..wills(4, 4) };
            Made::dropped("rst", version, 4).will(will)
        };
        assert_holds(&twice(0).verdict(ONCE), Some(citation));
        assert_violated(&twice(4).verdict(ONCE), citation);
        assert_note_contains(&twice(3).verdict(ONCE), "3 Wills came more than once");
        assert_inconclusive(&twice(4).unsettled().verdict(ONCE), "well-behaved clients lost");
        let deaf = Some(WitnessRecord { proved: false, unexpected: 0 });
        assert_inconclusive(&twice(4).witness(deaf).verdict(ONCE), "did not provably receive");
        assert_inconclusive(&twice(4).witness(stray()).verdict(ONCE), "5 messages came after the wait");
        let one = WillRecord { more_than_once: 1, ..wills(1, 1) };
        let one = Made::dropped("rst", version, 1).will(one).verdict(ONCE);
        assert_inconclusive(
            &one,
            "1 of 1 Wills came more than once, without DUP; at least 3 attempts must show",
        );
    }
    assert_inconclusive(&Made::dropped("rst", V5, 4).will(wills(4, 0)).verdict(ONCE), "no Will came");
}

// withholds_the_will

const WITHHOLDS: &str = "withholds_the_will";

#[test]
fn mqtt5_3_14_4_3_and_mqtt3_1_1_3_14_4_3_a_will_after_disconnect_breaks_it() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.14.4-3]"), (V311, "MQTT 3.1.1 [MQTT-3.14.4-3]")] {
        let made = |seen| {
            let made = Made::of(drop::ID, "disconnect", version, &[(Outcome::Closed, 4)]);
            made.will(not_due(4, seen))
        };
        assert_holds(&made(0).verdict(WITHHOLDS), Some(citation));
        let verdict = made(3).verdict(WITHHOLDS);
        assert_violated(&verdict, citation);
        assert!(verdict.evidence.starts_with("3 of 4 Wills were published although"), "{verdict:?}");
        for few in [1, 2] {
            assert_inconclusive(&made(few).verdict(WITHHOLDS), "at least 3 attempts must show the same");
        }
        assert_inconclusive(&made(4).witness(stray()).verdict(WITHHOLDS), "5 messages came after the wait");
        let before = |seen| {
            let made = Made::of(drop::ID, "disconnect", version, &[(Outcome::Closed, 4)]);
            made.will(WillRecord { seen_before: 1, ..not_due(4, seen) })
        };
        assert_inconclusive(&before(0).verdict(WITHHOLDS), "not counted: the Wills of 1 clients");
        assert_violated(&before(3).verdict(WITHHOLDS), citation);
        assert_inconclusive(
            &made(3).unsettled().verdict(WITHHOLDS),
            "well-behaved clients lost 1 connections",
        );
        let deaf = Some(WitnessRecord { proved: false, unexpected: 0 });
        assert_inconclusive(&made(0).witness(deaf).verdict(WITHHOLDS), "did not provably receive");
        let late = Some(WitnessRecord { proved: true, unexpected: 1 });
        assert_inconclusive(&made(0).witness(late).verdict(WITHHOLDS), "1 messages came");
    }
}

#[test]
fn mqtt5_3_1_3_9_a_will_of_a_client_that_was_back_in_time_breaks_it() {
    let made = |seen| Made::dropped("back-before-will-delay", V5, 3).will(not_due(3, seen));
    assert_holds(&made(0).verdict(WITHHOLDS), Some("MQTT 5.0 [MQTT-3.1.3-9]"));
    assert_violated(&made(3).verdict(WITHHOLDS), "MQTT 5.0 [MQTT-3.1.3-9]");
    let late = Made::dropped("back-before-will-delay", V5, 2);
    assert_inconclusive(&late.verdict(WITHHOLDS), "no Will could be waited for");
    assert!(Made::dropped("rst", V5, 2).has_no_verdict_of(WITHHOLDS), "where it is due");
    assert!(Made::dropped("disconnect", V5, 2).has_no_verdict_of(PUBLISHES), "where it is not");
}

// keeps_the_session, ends_the_session

const KEEPS: &str = "keeps_the_session";
const ENDS: &str = "ends_the_session";

#[test]
fn mqtt5_3_1_2_23_and_mqtt3_1_1_3_1_2_4_sessions_that_are_all_gone_break_it_and_some_are_a_note() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-23]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-4]")] {
        let made = |kept, gone| {
            let made = Made::dropped("fin", version, kept + gone);
            made.fact(SESSION_PRESENT, Resumption::Announced.name(), kept).fact(
                SESSION_PRESENT,
                Resumption::Not.name(),
                gone,
            )
        };
        let verdict = made(3, 0).verdict(KEEPS);
        assert_holds(&verdict, Some(citation));
        assert_eq!(verdict.evidence, "3 of 3 sessions were there when their clients came back");
        assert_violated(&made(0, 3).verdict(KEEPS), citation);
        assert_note_contains(&made(1, 2).verdict(KEEPS), "2 sessions were gone");
        assert_inconclusive(&made(0, 3).unsettled().verdict(KEEPS), "well-behaved clients lost");
        let denied = made(0, 0).fact(SESSION_PRESENT, Resumption::Unannounced.name(), 3);
        assert_holds(&denied.verdict(KEEPS), Some(citation));
    }
}

#[test]
fn a_session_that_the_broker_never_granted_and_a_client_that_is_refused_say_nothing() {
    let made = Made::dropped("before-expiry", V5, 3).fact(SESSION_PRESENT, Resumption::NotOwed.name(), 3);
    assert_inconclusive(&made.verdict(KEEPS), "3 were too late to tell");
    let refused = Made::of(drop::ID, "fin", V5, &[(Outcome::Left, 2)]).fact(RETURN, "CONNACK 0x97", 2);
    assert_inconclusive(&refused.verdict(KEEPS), "CONNACK 0x97 (×2)");
}

#[test]
fn mqtt5_4_1_0_2_a_session_that_lives_on_long_after_its_end_breaks_it_and_shortly_after_it_is_a_note() {
    let made = |kept, past_us| {
        let made =
            Made::dropped("after-expiry", V5, 2).fact(SESSION_PRESENT, Resumption::Announced.name(), kept);
        let made = made.fact(SESSION_PRESENT, Resumption::Not.name(), 2 - kept).fact(LEFT_OVER, "some", kept);
        made.measure(BACK_PAST_END, past_us, past_us)
    };
    assert_holds(&made(0, 10_000_000).verdict(ENDS), Some("MQTT 5.0 [MQTT-4.1.0-2]"));
    assert_violated(&made(1, 10_000_000).verdict(ENDS), "MQTT 5.0 [MQTT-4.1.0-2]");
    assert_note_contains(
        &made(1, 9_900_000).verdict(ENDS),
        "1 sessions were still there 9 s after their end",
    );
}

#[test]
fn mqtt3_1_1_3_1_2_6_a_session_that_was_to_end_with_its_connection_breaks_it_at_once() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.1.0-2]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-6]")] {
        let made = Made::dropped("session-ends", version, 2);
        assert_holds(
            &made.clone().fact(SESSION_PRESENT, Resumption::Not.name(), 2).verdict(ENDS),
            Some(citation),
        );
        let there = made.fact(SESSION_PRESENT, Resumption::Announced.name(), 1);
        assert_inconclusive(
            &there.clone().fact(LEFT_OVER, Resumption::Unknown.name(), 1).verdict(ENDS),
            "is not known",
        );
        assert_violated(&there.clone().fact(LEFT_OVER, "some", 1).verdict(ENDS), citation);
        let said = format!("MQTT {version} [MQTT-3.2.2-3]");
        assert_violated(&there.fact(LEFT_OVER, "none", 1).verdict(ENDS), &said);
    }
    assert!(Made::dropped("session-ends", V5, 2).has_no_verdict_of(KEEPS));
    assert!(Made::dropped("fin", V5, 2).has_no_verdict_of(ENDS));
}

#[test]
fn mqtt5_3_2_2_3_messages_of_a_session_that_was_said_to_be_gone_break_session_present() {
    const TRULY: &str = "tells_session_present_truly";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-3]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-2]")] {
        let made = Made::dropped("fin", version, 3);
        assert_holds(
            &made.clone().fact(SESSION_PRESENT, Resumption::Not.name(), 3).verdict(TRULY),
            Some(citation),
        );
        assert_violated(
            &made.clone().fact(SESSION_PRESENT, Resumption::Unannounced.name(), 1).verdict(TRULY),
            citation,
        );
        assert!(made.has_no_verdict_of(TRULY), "nobody was told Session Present 0");
    }
}

// delivers_what_waited, delivers_in_order

const WAITED: &str = "delivers_what_waited";
const IN_ORDER: &str = "delivers_in_order";

#[test]
fn mqtt5_4_5_0_1_and_mqtt3_1_1_3_1_2_5_messages_that_were_overtaken_are_lost_and_others_may_yet_come() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.5.0-1]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-5]")] {
        let lost = LedgerCounts { acknowledged: 33, delivered: 3, lost: 30, ..LedgerCounts::default() };
        let made = |value| Made::dropped("rst", version, 3).fact(WAITING, value, 3).messages(lost.clone());
        assert_holds(&made("all").verdict(WAITED), Some(citation));
        assert_violated(&made("none").verdict(WAITED), citation);
        assert_inconclusive(&made(Share::NotYet.name()).verdict(WAITED), "a longer --reaction-timeout");
        assert_note_contains(
            &made("none").unsettled().verdict(WAITED),
            "30 of 33 acknowledged messages were lost",
        );
        assert_inconclusive(&Made::dropped("rst", version, 3).verdict(WAITED), "no messages waited");
    }
}

#[test]
fn a_part_that_was_kept_for_a_client_that_was_away_tells_of_a_limit_and_accuses_nobody() {
    for version in [V5, V311] {
        let counts = LedgerCounts { acknowledged: 33, delivered: 15, lost: 18, ..LedgerCounts::default() };
        let made = Made::dropped("rst", version, 3).fact(WAITING, "some", 3).messages(counts);
        let verdict = made.measure(HELD_BACK, 4, 12).verdict(WAITED);
        assert_note_contains(&verdict, "18 of 33 acknowledged messages were lost");
        assert!(verdict.evidence.contains("its queue may have a limit"), "{verdict:?}");
    }
}

#[test]
fn mqtt5_4_6_0_5_and_mqtt3_1_1_4_6_0_6_a_message_behind_a_later_one_breaks_the_order() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.6.0-5]"), (V311, "MQTT 3.1.1 [MQTT-4.6.0-6]")] {
        let made = |delivered, reordered| {
            let counts = LedgerCounts { delivered, reordered, ..LedgerCounts::default() };
            Made::dropped("rst", version, 3).messages(counts)
        };
        assert_holds(&made(9, 0).verdict(IN_ORDER), Some(citation));
        assert_violated(&made(9, 1).verdict(IN_ORDER), citation);
        assert_inconclusive(&made(3, 0).verdict(IN_ORDER), "there is no order to check");
        assert_inconclusive(&made(9, 1).unsettled().verdict(IN_ORDER), "well-behaved clients lost");
    }
}

#[test]
fn a_half_open_connection_is_a_note() {
    const CLOSES: &str = "closes_its_side";
    let made = |outcomes: &[(Outcome, u64)]| Made::of(drop::ID, "half-close", V5, outcomes);
    assert_holds(&made(&[(Outcome::Closed, 2), (Outcome::Reset, 1)]).verdict(CLOSES), None);
    let verdict = made(&[(Outcome::Closed, 2), (Outcome::NoReaction, 1)]).verdict(CLOSES);
    assert_note_contains(&verdict, "1 connections were still half open");
    assert_eq!(verdict.evidence, "the broker closed 2 of 3 connections");
    assert!(Made::dropped("rst", V5, 1).has_no_verdict_of(CLOSES));
}

// knock

#[test]
fn silence_that_is_given_up_holds_with_its_time_and_what_is_still_open_is_a_note() {
    const GIVES_UP: &str = "gives_up_on_silence";
    let made = |outcomes: &[(Outcome, u64)]| Made::of(knock::ID, "silent", V5, outcomes);
    let verdict = made(&[(Outcome::Closed, 3)]).closed_after(5_340_000).verdict(GIVES_UP);
    assert_holds(&verdict, None);
    assert!(verdict.evidence.ends_with("closed 3 of 3 connections that said nothing, the last after 5.34 s"));
    let verdict = made(&[(Outcome::Closed, 1), (Outcome::NoReaction, 2)]).verdict(GIVES_UP);
    assert_note_contains(&verdict, "2 were still open at the end of --wait");
    assert_eq!(verdict.force, Force::Should);
}

#[test]
fn a_dripping_connect_that_outlasts_silence_by_half_tells_that_only_the_gap_is_bounded() {
    const BOUNDS: &str = "bounds_the_whole_connect";
    let drip = |value, lasted_us| {
        let made = Made::of(knock::ID, "drip", V5, &[(Outcome::Tolerated, 2)]);
        made.fact(knock::DRIPPED, value, 2).measure(knock::DRIPPED_FOR, lasted_us, lasted_us)
    };
    let silent = Made::of(knock::ID, "silent", V5, &[(Outcome::Closed, 2)]).closed_after(2_000_000).case;
    let beside_silence = |drip: Made| {
        let mut record = drip.record();
        record.cases.push(silent.clone());
        verdict_on(&record, BOUNDS).expect("it is judged")
    };
    assert_holds(&drip("cut", 2_000_000).verdict(BOUNDS), None);
    let gap = "only the gap between two bytes is bounded";
    assert_note_contains(&beside_silence(drip("accepted", 3_100_000)), gap);
    assert_note_contains(&beside_silence(drip("accepted", 2_900_000)), "no bound was met");
    assert_note_contains(&drip("accepted", 9_000_000).verdict(BOUNDS), "no bound was met");
}

#[test]
fn mqtt5_3_14_0_1_a_disconnect_before_any_connack_breaks_it_and_3_1_1_has_no_such_rule() {
    const NO_DISCONNECT: &str = "sends_no_disconnect_before_connack";
    for variant in ["silent", "drip"] {
        let made = |version| Made::of(knock::ID, variant, version, &[(Outcome::Closed, 2)]);
        assert_holds(&made(V5).verdict(NO_DISCONNECT), Some("MQTT 5.0 [MQTT-3.14.0-1]"));
        assert_violated(&made(V5).codes(0x8D, 2).verdict(NO_DISCONNECT), "MQTT 5.0 [MQTT-3.14.0-1]");
        assert!(made(V311).codes(0x8D, 2).has_no_verdict_of(NO_DISCONNECT));
    }
}

#[test]
fn honest_clients_that_are_refused_beside_held_sockets_are_a_note_with_their_number() {
    const LETS_IN: &str = "lets_honest_clients_in";
    let made = Made::of(knock::ID, "silent", V5, &[(Outcome::NoReaction, 3)]);
    let made = made.fact(knock::HONEST, "accepted", 3).measure(knock::HELD_OPEN, 1, 60);
    let verdict = made.clone().measure(knock::HONEST_CONNACK, 900, 7_200).verdict(LETS_IN);
    assert_holds(&verdict, None);
    let expected = "3 of 3 honest clients were accepted, with up to 60 connections held open; the slowest CONNACK took 7.20 ms";
    assert_eq!(verdict.evidence, expected);
    let verdict = made.fact(knock::HONEST, "cannot connect: connection refused", 2).verdict(LETS_IN);
    assert_note_contains(&verdict, "cannot connect: connection refused (×2)");
}

// will-storm

fn storm(variant: &str, version: &str) -> Made {
    Made::of(will_storm::ID, variant, version, &[(Outcome::Left, 4)])
}

#[test]
fn mqtt5_3_1_2_8_a_storm_whose_wills_all_came_tells_their_spread_and_one_without_any_breaks_it() {
    const EVERY: &str = "publishes_every_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let verdict = storm("plain", version).will(wills(4, 4)).verdict(EVERY);
        assert_holds(&verdict, Some(citation));
        assert_eq!(verdict.evidence, "4 of 4 Wills came; the last one 41.0 ms after its client was lost");
        assert_violated(&storm("retained", version).will(wills(4, 0)).verdict(EVERY), citation);
        assert_inconclusive(&storm("plain", version).will(wills(4, 3)).verdict(EVERY), "1 of 4 Wills");
        assert_inconclusive(&storm("plain", version).will(wills(4, 0)).unsettled().verdict(EVERY), "lost 1");
        // A broker may find the new connection before it has noticed the end of the old one.
        assert_note_contains(&storm("back", version).will(wills(4, 0)).verdict(EVERY), "back at once");
        let twice = WillRecord { more_than_once: 2, ..wills(4, 4) };
        assert_note_contains(
            &storm("plain", version).will(twice).verdict(EVERY),
            "2 Wills came more than once",
        );
    }
}

#[test]
fn mqtt5_3_1_2_15_and_mqtt3_1_1_3_1_2_17_wills_of_which_none_is_retained_break_it() {
    const RETAINS: &str = "retains_the_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-15]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-17]")] {
        let made = |offline, nothing| {
            let made = storm("retained", version).will(wills(4, 4));
            let made = made.fact(will_storm::RETAINED, "offline", offline);
            made.fact(will_storm::RETAINED, "nothing", nothing)
        };
        assert_holds(&made(4, 0).verdict(RETAINS), Some(citation));
        assert_violated(&made(0, 4).verdict(RETAINS), citation);
        assert_inconclusive(&made(3, 1).verdict(RETAINS), "may limit or delay what it retains");
        assert_inconclusive(&made(0, 4).will(wills(4, 3)).verdict(RETAINS), "3 of 4 Wills had come");
        assert_inconclusive(&made(0, 4).unsettled().verdict(RETAINS), "lost 1");
    }
    assert!(storm("plain", V5).has_no_verdict_of(RETAINS));
}

#[test]
fn mqtt5_3_1_3_9_the_will_of_a_client_that_is_back_in_time_breaks_it_in_a_storm_too() {
    const BACK: &str = "withholds_the_will_of_who_is_back";
    let made = |seen| storm("back-will-delay", V5).will(not_due(4, seen));
    assert_holds(&made(0).verdict(BACK), Some("MQTT 5.0 [MQTT-3.1.3-9]"));
    assert_violated(&made(3).verdict(BACK), "MQTT 5.0 [MQTT-3.1.3-9]");
    assert_inconclusive(&made(1).verdict(BACK), "at least 3 attempts must show the same");
    assert_inconclusive(&made(0).witness(None).verdict(BACK), "did not provably receive");
    assert_inconclusive(&storm("back-will-delay", V5).verdict(BACK), "no client was back with its session");
}

#[test]
fn an_offline_that_stays_though_the_client_is_back_is_a_note() {
    const BEHIND: &str = "leaves_online_behind";
    let made = |online, offline, late| {
        let made = storm("back", V5).fact(will_storm::RETURN, "accepted", online + offline);
        let made = made.fact(will_storm::RETAINED, "online", online);
        let made = made.fact(will_storm::RETAINED, "offline", offline);
        made.fact(will_storm::AFTER_ONLINE, "yes", late)
    };
    assert_holds(&made(4, 0, 0).verdict(BEHIND), None);
    assert_note_contains(&made(3, 1, 1).verdict(BEHIND), "1 clients shown as offline");
    assert_note_contains(&made(4, 0, 2).verdict(BEHIND), "2 clients shown as offline");
    let refused = made(3, 0, 0).fact(will_storm::RETURN, "CONNACK 0x97", 1);
    assert_note_contains(&refused.verdict(BEHIND), "1 clients could not come back");
    assert!(storm("retained", V5).has_no_verdict_of(BEHIND));
}
