//! The checks of drops, knocks and storms of Wills.

use std::collections::BTreeMap;

use ungraceful_faults::resumption::{LEFT_OVER, Resumption, SESSION_PRESENT};
use ungraceful_faults::takeover::storm::{HELD_BACK, Share};
use ungraceful_faults::vanish::drop::{self, BACK_PAST_END, RETURN, Variant, WAITING, WILL_CAME, WillCame};
use ungraceful_faults::vanish::{knock, will_storm};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, VersionRecord, WillRecord};
use ungraceful_record::verdict::Force;

use crate::common::{TestCase, V5, V311, wills};

/// Clients of a drop that left, all of which returned.
fn dropped(variant: &str, version: &str, count: u64) -> TestCase {
    TestCase::new(drop::ID, variant, version, &[(Outcome::Left, count)]).fact(RETURN, "accepted", count)
}

fn not_due(set: u64, seen: u64) -> WillRecord {
    WillRecord { set, due: 0, not_due_and_seen: seen, ..wills(0, 0) }
}

#[test]
fn without_evidence_all_checks_are_inconclusive() {
    let cases = Variant::ALL.map(|variant| (drop::ID, variant.name()));
    let knocks = knock::Variant::ALL.map(|variant| (knock::ID, variant.name()));
    let storms = will_storm::Variant::ALL.map(|variant| (will_storm::ID, variant.name()));
    for (fault, variant) in cases.into_iter().chain(knocks).chain(storms) {
        for version in [V5, V311] {
            let made = TestCase::new(fault, variant, version, &[(Outcome::NotActed, 3)]);
            assert!(made.all_inconclusive() > 0, "{fault} {variant}");
        }
    }
}

#[test]
fn cases_of_other_faults_and_unknown_variants_have_no_verdicts() {
    for (fault, checked, variant) in
        [("double-connect", drop::ID, "fin"), (drop::ID, drop::ID, "other"), (knock::ID, knock::ID, "fin")]
    {
        let made = TestCase::new(fault, variant, V5, &[(Outcome::Left, 3)]);
        assert_eq!(made.verdicts_of(checked), [], "{fault} {variant}");
    }
}

/// A witness that did not provably receive messages.
const DEAF: Option<(bool, u64)> = Some((false, 0));
/// A witness that received Wills after the wait for them.
const STRAY: Option<(bool, u64)> = Some((true, 5));

const PUBLISHES: &str = "publishes_the_will";

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_missing_wills_are_violated() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let made = dropped("rst", version, 4);
        let verdict = made.clone().will(wills(4, 4)).holds_by(PUBLISHES, citation);
        assert_eq!(verdict.evidence, "4 of 4 Wills came");
        let verdict = made.will(wills(4, 0)).violates(PUBLISHES, citation);
        assert!(verdict.evidence.starts_with("none of 4 Wills was published within 2.00 s"), "{verdict:?}");
    }
}

#[test]
fn a_missing_will_without_proof_is_inconclusive() {
    let made = |seen| dropped("fin", V5, 4).will(wills(4, seen));
    made(3).inconclusive(PUBLISHES, "1 of 4 Wills were not seen");
    made(0).witness(DEAF).inconclusive(PUBLISHES, "did not provably receive");
    made(0).witness(STRAY).inconclusive(PUBLISHES, "a longer --will-wait resolves this");
    let cut_short = made(0).completeness(Completeness::Interrupted);
    cut_short.inconclusive(PUBLISHES, "the run did not complete");
    made(0).bystanders_lost(1).inconclusive(PUBLISHES, "well-behaved clients lost 1 connections");
    dropped("fin", V5, 4).inconclusive(PUBLISHES, "could not wait for a Will");
    dropped("fin", V5, 4).witness(None).inconclusive(PUBLISHES, "could not subscribe");
}

#[test]
fn few_missing_wills_and_possibly_early_ones_are_inconclusive() {
    let made = |count| dropped("rst", V5, count).will(wills(count, 0));
    for few in [1, 2] {
        made(few).inconclusive(PUBLISHES, "at least 3 attempts must show the same");
    }
    made(3).violates(PUBLISHES, "MQTT 5.0 [MQTT-3.1.2-8]");
    let before = |seen| WillRecord { seen_before: 1, ..wills(4, seen) };
    let early = dropped("rst", V5, 4).will(before(0));
    early.inconclusive(PUBLISHES, "not counted: the Wills of 1 clients");
    let all = dropped("rst", V5, 4).will(before(4)).holds_by(PUBLISHES, "MQTT 5.0 [MQTT-3.1.2-8]");
    assert!(all.evidence.starts_with("4 of 4 Wills came; not counted: the Wills of 1 clients"), "{all:?}");
}

#[test]
fn few_missing_wills_at_a_qos_0_broker_are_inconclusive() {
    let made = |count| {
        let mut made = dropped("fin", V5, count).will(wills(count, 0));
        made.run.broker.versions.push(VersionRecord {
            version: V5.into(),
            spoken: true,
            why_not: None,
            connack_properties: BTreeMap::from([("Maximum QoS".into(), "0".into())]),
            connack_time_us: None,
        });
        made
    };
    made(2).inconclusive(PUBLISHES, "at least 3 attempts must show the same");
    made(3).violates(PUBLISHES, "MQTT 5.0 [MQTT-3.1.2-8]");
    for check in ["delivers_what_waited", "delivers_in_order"] {
        assert!(made(3).has_no_verdict(check), "the broker need not keep messages");
    }
}

#[test]
fn mqtt5_3_1_2_8_early_wills_are_violated_and_rounded_ones_a_note() {
    let came = |fact, count| dropped("will-delay", V5, 4).will(wills(4, 4)).fact(WILL_CAME, fact, count);
    let verdict = came(WillCame::Early, 3).violates(PUBLISHES, "MQTT 5.0 [MQTT-3.1.2-8]");
    came(WillCame::Early, 2).inconclusive(PUBLISHES, "at least 3 attempts must show the same");
    came(WillCame::Early, 3).witness(STRAY).inconclusive(PUBLISHES, "5 messages came after the wait");
    let made = |fact| came(fact, 1);
    assert!(verdict.evidence.starts_with("3 of 4 Wills came more than a second before"), "{verdict:?}");
    made(WillCame::Rounded).note_contains(PUBLISHES, "1 Wills came up to a second early");
    made(WillCame::LateByDelay).note_contains(PUBLISHES, "1 Wills came after their full delay");
    made(WillCame::InTime).holds_by(PUBLISHES, "MQTT 5.0 [MQTT-3.1.2-8]");
}

const ONCE: &str = "publishes_the_will_once";

#[test]
fn mqtt5_3_1_2_10_and_mqtt3_1_1_3_1_2_10_repeated_wills() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-10]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-10]")] {
        let twice =
            |more_than_once| dropped("rst", version, 4).will(WillRecord { more_than_once, ..wills(4, 4) });
        twice(0).holds_by(ONCE, citation);
        twice(4).violates(ONCE, citation);
        twice(3).note_contains(ONCE, "3 Wills came more than once");
        twice(4).bystanders_lost(1).inconclusive(ONCE, "well-behaved clients lost");
        twice(4).witness(DEAF).inconclusive(ONCE, "did not provably receive");
        twice(4).witness(STRAY).inconclusive(ONCE, "5 messages came after the wait");
        let one = WillRecord { more_than_once: 1, ..wills(1, 1) };
        let why = "1 of 1 Wills came more than once, without DUP; at least 3 attempts must show";
        dropped("rst", version, 1).will(one).inconclusive(ONCE, why);
    }
    dropped("rst", V5, 4).will(wills(4, 0)).inconclusive(ONCE, "no Will came");
}

const WITHHOLDS: &str = "withholds_the_will";

#[test]
fn mqtt5_3_14_4_3_and_mqtt3_1_1_3_14_4_3_a_will_after_disconnect() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.14.4-3]"), (V311, "MQTT 3.1.1 [MQTT-3.14.4-3]")] {
        let made = |seen| {
            let made = TestCase::new(drop::ID, "disconnect", version, &[(Outcome::Closed, 4)]);
            made.will(not_due(4, seen))
        };
        made(0).holds_by(WITHHOLDS, citation);
        let verdict = made(3).violates(WITHHOLDS, citation);
        assert!(verdict.evidence.starts_with("3 of 4 Wills were published although"), "{verdict:?}");
        for few in [1, 2] {
            made(few).inconclusive(WITHHOLDS, "at least 3 attempts must show the same");
        }
        made(4).witness(STRAY).inconclusive(WITHHOLDS, "5 messages came after the wait");
        let before = |seen| made(0).will(WillRecord { seen_before: 1, ..not_due(4, seen) });
        before(0).inconclusive(WITHHOLDS, "not counted: the Wills of 1 clients");
        before(3).violates(WITHHOLDS, citation);
        made(3).bystanders_lost(1).inconclusive(WITHHOLDS, "well-behaved clients lost 1 connections");
        made(0).witness(DEAF).inconclusive(WITHHOLDS, "did not provably receive");
        made(0).witness(Some((true, 1))).inconclusive(WITHHOLDS, "1 messages came");
    }
}

#[test]
fn mqtt5_3_1_3_9_a_will_of_a_client_that_returned_in_time() {
    let made = |seen| dropped("back-before-will-delay", V5, 3).will(not_due(3, seen));
    made(0).holds_by(WITHHOLDS, "MQTT 5.0 [MQTT-3.1.3-9]");
    made(3).violates(WITHHOLDS, "MQTT 5.0 [MQTT-3.1.3-9]");
    let late = dropped("back-before-will-delay", V5, 2);
    late.inconclusive(WITHHOLDS, "could not wait for a Will");
    assert!(dropped("rst", V5, 2).has_no_verdict(WITHHOLDS), "where it is due");
    assert!(dropped("disconnect", V5, 2).has_no_verdict(PUBLISHES), "where it is not");
}

const KEEPS: &str = "keeps_the_session";
const ENDS: &str = "ends_the_session";

#[test]
fn mqtt5_3_1_2_23_and_mqtt3_1_1_3_1_2_4_lost_sessions() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-23]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-4]")] {
        let made = |kept, gone| {
            let made = dropped("fin", version, kept + gone).fact(SESSION_PRESENT, Resumption::Not, gone);
            made.fact(SESSION_PRESENT, Resumption::Announced, kept)
        };
        let verdict = made(3, 0).holds_by(KEEPS, citation);
        assert_eq!(verdict.evidence, "3 of 3 sessions still existed when their clients returned");
        made(0, 3).violates(KEEPS, citation);
        made(1, 2).note_contains(KEEPS, "2 sessions were gone");
        made(0, 3).bystanders_lost(1).inconclusive(KEEPS, "well-behaved clients lost");
        let denied = made(0, 0).fact(SESSION_PRESENT, Resumption::Unannounced, 3);
        denied.holds_by(KEEPS, citation);
    }
}

#[test]
fn a_session_not_granted_or_a_refused_return_is_inconclusive() {
    let made = dropped("before-expiry", V5, 3).fact(SESSION_PRESENT, Resumption::NotOwed, 3);
    made.inconclusive(KEEPS, "3 of 3 returning clients were too late");
    let refused = TestCase::new(drop::ID, "fin", V5, &[(Outcome::Left, 2)]).fact(RETURN, "CONNACK 0x97", 2);
    refused.inconclusive(KEEPS, "CONNACK 0x97 (×2)");
}

#[test]
fn mqtt5_4_1_0_2_a_session_long_after_its_end_is_violated() {
    let made = |kept, past_us| {
        let made = dropped("after-expiry", V5, 2).fact(SESSION_PRESENT, Resumption::Announced, kept);
        let made = made.fact(SESSION_PRESENT, Resumption::Not, 2 - kept).fact(LEFT_OVER, "some", kept);
        made.range(BACK_PAST_END, 1, past_us, past_us)
    };
    made(0, 10_000_000).holds_by(ENDS, "MQTT 5.0 [MQTT-4.1.0-2]");
    made(1, 10_000_000).violates(ENDS, "MQTT 5.0 [MQTT-4.1.0-2]");
    made(1, 9_900_000).note_contains(ENDS, "1 sessions still existed 9 s after their end");
}

#[test]
fn mqtt3_1_1_3_1_2_6_a_session_must_end_with_its_connection() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.1.0-2]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-6]")] {
        let made = dropped("session-ends", version, 2);
        made.clone().fact(SESSION_PRESENT, Resumption::Not, 2).holds_by(ENDS, citation);
        let there = made.fact(SESSION_PRESENT, Resumption::Announced, 1);
        there.clone().fact(LEFT_OVER, Resumption::Unknown, 1).inconclusive(ENDS, "is not known");
        there.clone().fact(LEFT_OVER, "some", 1).violates(ENDS, citation);
        let said = format!("MQTT {version} [MQTT-3.2.2-3]");
        there.fact(LEFT_OVER, "none", 1).violates(ENDS, &said);
    }
    assert!(dropped("session-ends", V5, 2).has_no_verdict(KEEPS));
    assert!(dropped("fin", V5, 2).has_no_verdict(ENDS));
}

#[test]
fn mqtt5_3_2_2_3_messages_of_a_denied_session_are_violated() {
    const TRULY: &str = "reports_session_present_correctly";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-3]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-2]")] {
        let made = dropped("fin", version, 3);
        made.clone().fact(SESSION_PRESENT, Resumption::Not, 3).holds_by(TRULY, citation);
        made.clone().fact(SESSION_PRESENT, Resumption::Unannounced, 1).violates(TRULY, citation);
        assert!(made.has_no_verdict(TRULY), "no client received Session Present 0");
    }
}

const WAITED: &str = "delivers_what_waited";
const IN_ORDER: &str = "delivers_in_order";

#[test]
fn mqtt5_4_5_0_1_and_mqtt3_1_1_3_1_2_5_overtaken_messages_are_lost() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.5.0-1]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-5]")] {
        let lost = LedgerCounts { acknowledged: 33, delivered: 3, lost: 30, ..LedgerCounts::default() };
        let made = |value| dropped("rst", version, 3).fact(WAITING, value, 3).messages(lost.clone());
        made(Share::All).holds_by(WAITED, citation);
        made(Share::None).violates(WAITED, citation);
        made(Share::NotYet).inconclusive(WAITED, "a longer --reaction-timeout");
        made(Share::None)
            .bystanders_lost(1)
            .note_contains(WAITED, "30 of 33 acknowledged messages were lost");
        dropped("rst", version, 3).inconclusive(WAITED, "no messages were waiting");
    }
}

#[test]
fn a_partly_kept_queue_may_have_a_limit_and_is_a_note() {
    for version in [V5, V311] {
        let counts = LedgerCounts { acknowledged: 33, delivered: 15, lost: 18, ..LedgerCounts::default() };
        let made = dropped("rst", version, 3).fact(WAITING, "some", 3).messages(counts);
        let verdict =
            made.range(HELD_BACK, 1, 4, 12).note_contains(WAITED, "18 of 33 acknowledged messages were lost");
        assert!(verdict.evidence.contains("its queue may have a limit"), "{verdict:?}");
    }
}

#[test]
fn mqtt5_4_6_0_5_and_mqtt3_1_1_4_6_0_6_order_of_messages() {
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.6.0-5]"), (V311, "MQTT 3.1.1 [MQTT-4.6.0-6]")] {
        let made = |delivered, reordered| {
            let counts = LedgerCounts { delivered, reordered, ..LedgerCounts::default() };
            dropped("rst", version, 3).messages(counts)
        };
        made(9, 0).holds_by(IN_ORDER, citation);
        made(9, 1).violates(IN_ORDER, citation);
        made(3, 0).inconclusive(IN_ORDER, "there is no order to check");
        made(9, 1).bystanders_lost(1).inconclusive(IN_ORDER, "well-behaved clients lost");
    }
}

#[test]
fn a_half_open_connection_is_a_note() {
    const CLOSES: &str = "closes_its_side";
    for variant in ["half-close", "ws-close", "close-notify", "disconnect"] {
        let made = |outcomes: &[(Outcome, u64)]| TestCase::new(drop::ID, variant, V5, outcomes);
        made(&[(Outcome::Closed, 2), (Outcome::Reset, 1)]).holds(CLOSES);
        let verdict = made(&[(Outcome::Closed, 2), (Outcome::NoReaction, 1)])
            .note_contains(CLOSES, "1 connections were still half open");
        assert_eq!(verdict.evidence, "the broker closed 2 of 3 connections");
    }
    assert!(dropped("rst", V5, 1).has_no_verdict(CLOSES));
}

#[test]
fn a_silent_connection_that_is_still_open_is_a_note() {
    const GIVES_UP: &str = "gives_up_on_silence";
    let made = |outcomes: &[(Outcome, u64)]| TestCase::new(knock::ID, "silent", V5, outcomes);
    let verdict = made(&[(Outcome::Closed, 3)]).closed_after(5_340_000).holds(GIVES_UP);
    assert!(verdict.evidence.ends_with("closed 3 of 3 silent connections, the last after 5.34 s"));
    let verdict = made(&[(Outcome::Closed, 1), (Outcome::NoReaction, 2)])
        .note_contains(GIVES_UP, "2 were still open after --wait");
    assert_eq!(verdict.force, Force::Should);
}

#[test]
fn a_slow_connect_that_outlasts_silence_shows_a_gap_limit() {
    const BOUNDS: &str = "bounds_the_whole_connect";
    let drip = |value, lasted_us| {
        let made = TestCase::new(knock::ID, "drip", V5, &[(Outcome::Tolerated, 2)]);
        made.fact(knock::DRIPPED, value, 2).range(knock::DRIPPED_FOR, 1, lasted_us, lasted_us)
    };
    let silent = TestCase::new(knock::ID, "silent", V5, &[(Outcome::Closed, 2)]).closed_after(2_000_000);
    let beside_silence = |lasted_us| drip("accepted", lasted_us).beside(silent.case.clone());
    drip("cut", 2_000_000).holds(BOUNDS);
    let gap = "only the gap between two bytes is limited";
    beside_silence(3_100_000).note_contains(BOUNDS, gap);
    beside_silence(2_900_000).note_contains(BOUNDS, "no limit was reached");
    drip("accepted", 9_000_000).note_contains(BOUNDS, "no limit was reached");
}

#[test]
fn mqtt5_3_14_0_1_a_disconnect_before_connack_is_violated() {
    const NO_DISCONNECT: &str = "sends_no_disconnect_before_connack";
    for variant in ["silent", "drip"] {
        let made = |version| TestCase::new(knock::ID, variant, version, &[(Outcome::Closed, 2)]);
        made(V5).holds_by(NO_DISCONNECT, "MQTT 5.0 [MQTT-3.14.0-1]");
        made(V5).code(0x8D, 2).violates(NO_DISCONNECT, "MQTT 5.0 [MQTT-3.14.0-1]");
        assert!(made(V311).code(0x8D, 2).has_no_verdict(NO_DISCONNECT));
    }
}

#[test]
fn refused_well_behaved_clients_are_a_note() {
    const LETS_IN: &str = "lets_honest_clients_in";
    let made = TestCase::new(knock::ID, "silent", V5, &[(Outcome::NoReaction, 3)]);
    let made = made.fact(knock::HONEST, "accepted", 3).range(knock::HELD_OPEN, 1, 1, 60);
    let verdict = made.clone().range(knock::HONEST_CONNACK, 1, 900, 7_200).holds(LETS_IN);
    let expected = "3 of 3 well-behaved clients were accepted, with up to 60 connections held open; the slowest CONNACK took 7.20 ms";
    assert_eq!(verdict.evidence, expected);
    let refused = made.fact(knock::HONEST, "cannot connect: connection refused", 2);
    refused.note_contains(LETS_IN, "cannot connect: connection refused (×2)");
}

fn storm(variant: &str, version: &str) -> TestCase {
    TestCase::new(will_storm::ID, variant, version, &[(Outcome::Left, 4)])
}

#[test]
fn mqtt5_3_1_2_8_a_storm_without_any_will_is_violated() {
    const EVERY: &str = "publishes_every_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let verdict = storm("plain", version).will(wills(4, 4)).holds_by(EVERY, citation);
        assert_eq!(verdict.evidence, "4 of 4 Wills came; the last one 41.0 ms after its client was lost");
        storm("retained", version).will(wills(4, 0)).violates(EVERY, citation);
        storm("plain", version).will(wills(4, 3)).inconclusive(EVERY, "1 of 4 Wills");
        storm("plain", version).will(wills(4, 0)).bystanders_lost(1).inconclusive(EVERY, "lost 1");
        // A broker may see the new connection before it notices the end of the old one.
        storm("back", version).will(wills(4, 0)).note_contains(EVERY, "returned at once");
        let twice = WillRecord { more_than_once: 2, ..wills(4, 4) };
        storm("plain", version).will(twice).note_contains(EVERY, "2 Wills came more than once");
    }
}

#[test]
fn mqtt5_3_1_2_15_and_mqtt3_1_1_3_1_2_17_no_will_is_retained() {
    const RETAINS: &str = "retains_the_will";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-15]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-17]")] {
        let made = |offline, nothing| {
            let made = storm("retained", version).will(wills(4, 4));
            let made = made.fact(will_storm::RETAINED, "offline", offline);
            made.fact(will_storm::RETAINED, "nothing", nothing)
        };
        made(4, 0).holds_by(RETAINS, citation);
        made(0, 4).violates(RETAINS, citation);
        made(3, 1).inconclusive(RETAINS, "may limit or delay retained messages");
        made(0, 4).will(wills(4, 3)).inconclusive(RETAINS, "3 of 4 Wills had come");
        made(0, 4).bystanders_lost(1).inconclusive(RETAINS, "lost 1");
    }
    assert!(storm("plain", V5).has_no_verdict(RETAINS));
}

#[test]
fn mqtt5_3_1_3_9_a_will_of_a_client_back_in_time_after_a_storm() {
    const BACK: &str = "withholds_the_will_of_who_is_back";
    let made = |seen| storm("back-will-delay", V5).will(not_due(4, seen));
    made(0).holds_by(BACK, "MQTT 5.0 [MQTT-3.1.3-9]");
    made(3).violates(BACK, "MQTT 5.0 [MQTT-3.1.3-9]");
    made(1).inconclusive(BACK, "at least 3 attempts must show the same");
    made(0).witness(None).inconclusive(BACK, "did not provably receive");
    storm("back-will-delay", V5).inconclusive(BACK, "no client resumed its session");
}

#[test]
fn a_stale_offline_is_a_note() {
    const BEHIND: &str = "leaves_online_behind";
    let made = |online, offline, late| {
        let made = storm("back", V5).fact(will_storm::RETURN, "accepted", online + offline);
        let made = made.fact(will_storm::RETAINED, "online", online);
        let made = made.fact(will_storm::RETAINED, "offline", offline);
        made.fact(will_storm::AFTER_ONLINE, "yes", late)
    };
    made(4, 0, 0).holds(BEHIND);
    made(3, 1, 1).note_contains(BEHIND, "1 clients shown as offline");
    made(4, 0, 2).note_contains(BEHIND, "2 clients shown as offline");
    let refused = made(3, 0, 0).fact(will_storm::RETURN, "CONNACK 0x97", 1);
    refused.note_contains(BEHIND, "1 clients could not return");
    assert!(storm("retained", V5).has_no_verdict(BEHIND));
}
