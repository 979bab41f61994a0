//! The checks of silence and edge.

use ungraceful_faults::vanish::keep_alive::control::{CONTROL, Control, FIXED_CUT_AFTER};
use ungraceful_faults::vanish::keep_alive::edge::{self, FATE, LONGEST_GAP, SENT};
use ungraceful_faults::vanish::keep_alive::silence::{self, BROKER_STALLED, CUT, CUT_EARLY_WITH, WAITED};
use ungraceful_faults::vanish::keep_alive::{CUT_AT, Cut, KEEP_ALIVE};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, WillRecord};
use ungraceful_record::testing::every;

use crate::common::{TestCase, V5, V311, wills};

const BROKER_WAS_LATE: &str = "cut after the broker was late itself";
const WE_WERE_LATE: &str = "cut after we were late ourselves";
const LEFT_ALONE: &str = "left alone";
const KEEP_ALIVE_TIMEOUT: &str = "DISCONNECT 0x8D";
const NO_REASON: &str = "no reason";
const CUT_SILENTLY: &str = "cut with no reason";
const CUT_BY_NAME: &str = "cut with DISCONNECT 0x8D";
const CLOSES: &str = "closes_a_silent_connection";
const WAITS: &str = "waits_for_the_keep_alive";
const REPORTS: &str = "reports_keep_alive_timeout";
const WILL: &str = "publishes_the_will_of_the_silent";
const KEEPS: &str = "keeps_a_client_that_pings_in_time";
const BEARS: &str = "bears_with_a_late_pingreq";
const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";
const PROSE: &str = "MQTT 5.0 §3.1.2.10 (prose, no numbered statement)";

/// A case beside bystanders that lost no connection.
fn case(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    TestCase::new(fault, variant, version, outcomes).bystanders_lost(0)
}

/// Silent clients of one variant with a Keep Alive of 2 s.
fn silent(version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    let all = outcomes.iter().map(|(_, count)| count).sum();
    case(silence::ID, "idle-2s", version, outcomes).fact(KEEP_ALIVE, 2_u64, all)
}

/// Silent clients that were cut at this time.
fn cut(version: &str, cut: Cut, count: u64) -> TestCase {
    let made = silent(version, &[(Outcome::Closed, count)]).fact(CUT, cut, count);
    made.range(CUT_AT, count, 600, 3_150)
}

/// Silent clients that were cut early with this reason.
fn cut_early(version: &str, reason: &str, count: u64) -> TestCase {
    cut(version, Cut::Early, count).fact(CUT_EARLY_WITH, reason, count)
}

/// Two of five silent clients were cut early with this reason.
fn rarely_cut_early(reason: &str) -> TestCase {
    silent(V5, &[(Outcome::Closed, 5)]).fact(CUT, Cut::Early, 2).fact(CUT, Cut::InTime, 3).fact(
        CUT_EARLY_WITH,
        reason,
        2,
    )
}

/// Clients at the edge with these fates.
fn at_the_edge(variant: &str, version: &str, fates: &[(&str, u64)]) -> TestCase {
    let outcome = |fate: &str| match fate {
        LEFT_ALONE => Outcome::Tolerated,
        _ => Outcome::Closed,
    };
    let outcomes: Vec<_> = fates.iter().map(|(fate, count)| (outcome(fate), *count)).collect();
    let made = case(edge::ID, variant, version, &outcomes);
    let made = fates.iter().fold(made, |made, (fate, count)| made.fact(FATE, *fate, *count));
    made.range(SENT, 5, 3, 10).range(edge::ANSWERED, 4, 3, 9).range(LONGEST_GAP, 4, 1, 1_234_000)
}

fn without_bystanders(mut made: TestCase) -> TestCase {
    made.run.bystanders = None;
    made
}

#[test]
fn without_evidence_all_checks_are_inconclusive() {
    for version in [V5, V311] {
        for outcome in [Outcome::NotActed, Outcome::BrokerDown, Outcome::Interrupted] {
            assert_eq!(case(silence::ID, "idle-1s", version, &[(outcome, 3)]).all_inconclusive(), 4);
            for variant in ["0.95-of-1s", "1.25-of-1s"] {
                assert!(case(edge::ID, variant, version, &[(outcome, 3)]).all_inconclusive() > 0);
            }
        }
    }
}

#[test]
fn a_broker_that_cuts_in_time_holds_with_the_times_as_evidence() {
    let made = cut(V5, Cut::InTime, 3).code(0x8D, 3).will(wills(3, 3));
    for check in [WAITS, REPORTS, WILL] {
        made.holds(check);
    }
    let evidence = "3 of 3 clients were cut, 0.60 to 3.15 times the Keep Alive of 2 s after the last packet";
    assert_eq!(made.holds_by(CLOSES, "MQTT 5.0 [MQTT-3.1.2-22]").evidence, evidence);
    assert!(made.has_no_verdict(NO_DISCONNECT));
    let old = cut(V311, Cut::InTime, 3).will(wills(3, 3));
    old.holds_by(CLOSES, "MQTT 3.1.1 [MQTT-3.1.2-24]");
    old.holds(NO_DISCONNECT);
    assert!(old.has_no_verdict(REPORTS));
}

#[test]
fn a_late_cut_is_a_note_however_late() {
    let late = cut(V5, Cut::Late, 2).fact(CUT, Cut::InTime, 1).differs(CLOSES, "cut late");
    assert!(late.evidence.ends_with(", 2 of them later than 1.75 times"), "{late:?}");
}

/// Clients that were still served at the end of the wait.
fn never_cut(waited_us: u64) -> TestCase {
    silent(V5, &[(Outcome::Tolerated, 2), (Outcome::Closed, 1)])
        .range(WAITED, 2, waited_us, waited_us)
        .examples("still served", &[7])
}

#[test]
fn mqtt5_3_1_2_22_serving_the_silent_is_violated_only_after_the_wait() {
    const CITATION: &str = "MQTT 5.0 [MQTT-3.1.2-22]";
    // 1.5 times 2 s, 30 s, and another 30 s.
    let violated = never_cut(63_000_000).violates(CLOSES, CITATION);
    assert!(violated.evidence.contains("2 of 3 clients were not cut within 63.0 s"), "{violated:?}");
    assert_eq!(violated.examples, [7]);
    never_cut(62_999_999).inconclusive(CLOSES, "--reaction-timeout of 30s");
    // Three times a long Keep Alive: 120 s here, more than 60 s and 30 s; and 30 s.
    let of_40_s = |waited_us| never_cut(waited_us).fact(KEEP_ALIVE, 40_u64, 3);
    of_40_s(149_999_999).inconclusive(CLOSES, "");
    of_40_s(150_000_000).violates(CLOSES, CITATION);
}

#[test]
fn a_stalled_broker_is_not_violated() {
    let stalled = |stalled_us| never_cut(63_000_000).range(BROKER_STALLED, 2, 1_000, stalled_us);
    stalled(5_000_000).violates(CLOSES, "MQTT 5.0 [MQTT-3.1.2-22]");
    stalled(7_000_000).inconclusive(CLOSES, "answered no client for up to 7.00 s");
}

/// The control clients were cut after the same time.
fn after_the_same_time(made: TestCase, count: u64) -> TestCase {
    made.fact(CONTROL, Control::FixedTime, count).range(FIXED_CUT_AFTER, count, 3_000_000, 3_010_000)
}

#[test]
fn a_cut_after_the_same_time_at_two_keep_alives_is_inconclusive() {
    for version in [V5, V311] {
        let early = cut_early(version, NO_REASON, 3);
        let between = cut(version, Cut::Between, 3);
        let in_time = at_the_edge("0.95-of-4s", version, &[(CUT_SILENTLY, 3)]);
        let late = at_the_edge("1.25-of-4s", version, &[(CUT_SILENTLY, 3)]);
        for (made, check) in
            [(&early, WAITS), (&early, CLOSES), (&between, WAITS), (&in_time, KEEPS), (&late, BEARS)]
        {
            let made = after_the_same_time(made.clone(), 3);
            let verdict = made.inconclusive(check, "something between client and broker");
            assert!(verdict.evidence.contains("3.00 s to 3.01 s"), "{verdict:?}");
        }
        let verdicts = after_the_same_time(early, 3).verdicts();
        assert!(every(&verdicts, |verdict| verdict.differs.is_none()), "a proxy sends no 0x8D: {verdicts:?}");
    }
}

#[test]
fn deliveries_to_a_client_that_was_not_cut_are_in_the_evidence() {
    let verdict = never_cut(63_000_000).range(silence::DOWNLINK_MESSAGES, 2, 46, 47).verdict(CLOSES);
    assert!(verdict.evidence.contains("at least 46 messages were delivered to each client"), "{verdict:?}");
}

#[test]
fn an_unserved_connection_or_a_broker_that_went_down_is_inconclusive() {
    let unserved = silent(V5, &[(Outcome::NoReaction, 1), (Outcome::Closed, 2)]);
    unserved.range(WAITED, 1, 33_000_000, 33_000_000).inconclusive(CLOSES, "");
    silent(V5, &[(Outcome::BrokerDown, 1), (Outcome::Closed, 2)]).inconclusive(CLOSES, "");
}

#[test]
fn an_early_cut_is_violated_on_5_0_if_named_or_shown_by_a_control_client() {
    let named = cut_early(V5, KEEP_ALIVE_TIMEOUT, 2);
    let shown = cut_early(V5, NO_REASON, 3).fact(CONTROL, Control::FollowsKeepAlive, 3).examples("FIN", &[4]);
    named.violates(WAITS, PROSE);
    assert_eq!(shown.violates(WAITS, PROSE).examples, [4]);

    // Others were cut as well, or there were no others: it may have another reason.
    shown.clone().bystanders_lost(1).inconclusive(WAITS, "");
    without_bystanders(shown).inconclusive(WAITS, "--bystanders");
    // A named reason needs no control client; but one client, or a few of many, are not enough.
    without_bystanders(named).violates(WAITS, PROSE);
    for few in [cut_early(V5, KEEP_ALIVE_TIMEOUT, 1), rarely_cut_early(KEEP_ALIVE_TIMEOUT)] {
        few.inconclusive(WAITS, "run more --attempts");
    }
}

#[test]
fn an_early_cut_is_a_note_if_rare_with_another_reason_or_on_3_1_1() {
    let mixed = silent(V5, &[(Outcome::Closed, 4)]).fact(CUT, Cut::Early, 1).fact(CUT, Cut::Between, 3).fact(
        CUT_EARLY_WITH,
        NO_REASON,
        1,
    );
    for made in [
        rarely_cut_early(NO_REASON).fact(CONTROL, Control::FollowsKeepAlive, 2),
        cut_early(V5, NO_REASON, 1),
        // Clients whose Keep Alive was over have control clients, too.
        mixed.fact(CONTROL, Control::FollowsKeepAlive, 4),
        // The control clients were cut at other times: the Keep Alive was not the reason.
        cut_early(V5, NO_REASON, 3).fact(CONTROL, Control::Neither, 3),
        cut_early(V5, "DISCONNECT 0x98", 3),
    ] {
        made.differs(WAITS, "cut before the Keep Alive was over, perhaps for another reason");
    }
    for reason in [NO_REASON, KEEP_ALIVE_TIMEOUT] {
        let permitted = "cut before the Keep Alive was over, which 3.1.1 permits";
        cut_early(V311, reason, 3).differs(WAITS, permitted);
    }
    cut(V5, Cut::Between, 3).differs(WAITS, "cut before 1.5 times the Keep Alive");
}

#[test]
fn a_client_that_was_never_cut_was_not_cut_too_soon() {
    never_cut(63_000_000).holds(WAITS);
}

#[test]
fn the_reason_is_a_note_unless_every_client_receives_it() {
    let in_time = || cut(V5, Cut::InTime, 3);
    in_time().code(0x8D, 3).holds(REPORTS);
    in_time().differs(REPORTS, "no DISCONNECT with a reason, which is allowed");
    in_time().code(0x8D, 2).differs(REPORTS, "not every client received the reason, which is allowed");
    in_time().code(0x8B, 3).differs(REPORTS, "DISCONNECT 0x8B (3 times)");
    silent(V5, &[(Outcome::Tolerated, 3)]).inconclusive(REPORTS, "");
    cut(V311, Cut::InTime, 3).code(0x8D, 3).differs(NO_DISCONNECT, "a DISCONNECT from the broker");
}

#[test]
fn mqtt5_3_1_2_8_missing_wills_of_the_silent_are_violated() {
    let cut = |version| cut(version, Cut::InTime, 3);
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        cut(version).will(wills(3, 0)).violates(WILL, citation);
    }
    cut(V5).will(wills(3, 2)).inconclusive(WILL, "");
    let twice = WillRecord { more_than_once: 1, ..wills(3, 3) };
    cut(V5).will(twice).differs(WILL, "1 Wills came more than once (QoS 1)");
    cut(V5).inconclusive(WILL, "no client with a Will was cut");
    let missing = || cut(V5).will(wills(3, 0));
    missing().witness(None).inconclusive(WILL, "");
    missing().completeness(Completeness::Interrupted).inconclusive(WILL, "");
    missing().bystanders_lost(1).inconclusive(WILL, "");
}

#[test]
fn a_client_that_pings_in_time_and_stays_connected_holds() {
    let made = at_the_edge("0.95-of-1s", V5, &[(LEFT_ALONE, 3)]);
    assert_eq!(
        made.holds(KEEPS).evidence,
        "3 of 3 clients that should send PINGREQ every 0.95 times their Keep Alive stayed connected, 0 were cut; 10 PINGREQs \
         were sent, 9 answered; the longest time between two packets was 1.23 s"
    );
    assert!(made.has_no_verdict(BEARS));
    let late = at_the_edge("1.45-of-1s", V5, &[(LEFT_ALONE, 3)]);
    late.holds(BEARS);
    assert!(late.has_no_verdict(KEEPS));
}

#[test]
fn cutting_a_client_in_time_is_violated_on_5_0_if_named_or_shown() {
    let cut = |version, fates: &[(&str, u64)]| at_the_edge("0.90-of-1s", version, fates);
    let shown = cut(V5, &[(CUT_SILENTLY, 2), (LEFT_ALONE, 2)]).fact(CONTROL, Control::FollowsKeepAlive, 2);
    shown.violates(KEEPS, PROSE);
    cut(V5, &[(CUT_BY_NAME, 2), (LEFT_ALONE, 2)]).violates(KEEPS, PROSE);
    without_bystanders(shown).inconclusive(KEEPS, "");
    let perhaps = "a client in time is cut, perhaps for another reason";
    cut(V5, &[(CUT_SILENTLY, 1), (LEFT_ALONE, 9)]).differs(KEEPS, perhaps);
    cut(V5, &[("cut with DISCONNECT 0x98", 3)]).differs(KEEPS, perhaps);
    cut(V311, &[(CUT_SILENTLY, 3)]).differs(KEEPS, "a client in time is cut, which 3.1.1 permits");
    for few in [&[(CUT_BY_NAME, 1)][..], &[(CUT_BY_NAME, 2), (LEFT_ALONE, 8)]] {
        cut(V5, few).inconclusive(KEEPS, "run more --attempts");
    }
}

#[test]
fn a_cut_after_the_broker_was_late_is_inconclusive() {
    for (variant, check) in [("0.95-of-1s", KEEPS), ("1.25-of-1s", BEARS)] {
        let made = at_the_edge(variant, V5, &[(BROKER_WAS_LATE, 3), (LEFT_ALONE, 1)]);
        made.inconclusive(check, "3 were cut after the broker had left a PINGREQ");
    }
}

#[test]
fn cutting_a_late_client_is_a_note() {
    for fate in [CUT_SILENTLY, CUT_BY_NAME] {
        let made = at_the_edge("1.25-of-1s", V5, &[(fate, 3)]);
        made.differs(BEARS, "a late client is cut before 1.5 times the Keep Alive");
    }
}

#[test]
fn a_cut_after_a_late_pingreq_of_ours_is_inconclusive() {
    let made = at_the_edge("0.95-of-1s", V5, &[(WE_WERE_LATE, 3)]);
    made.inconclusive(KEEPS, "this machine is too busy");
    case(edge::ID, "0.95-of-1s", V5, &[(Outcome::NoReaction, 2)]).inconclusive(KEEPS, "");
}
