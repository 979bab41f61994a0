//! What the checks of flow control conclude from records made by hand. No sockets.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use ungraceful_faults::flood::{
    offline_queue, offline_queue_checks, quota_leak, quota_leak_checks, receive_maximum,
    receive_maximum_checks, slow_consumer, slow_consumer_checks, unacked_subscriber,
    unacked_subscriber_checks,
};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::metric::Distribution;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::testing::{
    self, assert_holds, assert_inconclusive, assert_note_contains, assert_violated,
    bystanders_that_lost_connections, empty_record, every,
};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const V5: &str = "5.0";
const V311: &str = "3.1.1";

/// A case to which a test adds what it is about.
struct Made(CaseRecord);

impl Made {
    fn of(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        Self(testing::case(fault, variant, version, outcomes))
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(&mut self.0, fact, value, count);
        self
    }

    fn measure(mut self, measure: Measure, values: &[u64]) -> Self {
        let distribution = Distribution {
            count: values.len() as u64,
            sum: values.iter().sum(),
            min: values.iter().copied().min(),
            max: values.iter().copied().max(),
            ..Distribution::default()
        };
        self.0.measures.insert(measure.to_string(), distribution);
        self
    }

    fn sequence(mut self, sequence: &str, count: u64) -> Self {
        self.0.sequences.insert(sequence.into(), count);
        self.0.examples.insert(sequence.into(), vec![7]);
        self
    }

    fn messages(mut self, counts: LedgerCounts) -> Self {
        self.0.messages = BTreeMap::from([(1, counts)]);
        self
    }

    /// All verdicts on it.
    fn judged(&self, checks: &[Check]) -> Vec<Verdict> {
        let mut record = empty_record();
        record.cases = vec![self.0.clone()];
        judge(&mut record, checks);
        record.verdicts
    }

    fn verdict(&self, checks: &[Check], check: &str) -> Verdict {
        let found = self.judged(checks).into_iter().find(|verdict| verdict.check == check);
        found.expect("the check judges this case")
    }
}

#[test]
fn cases_in_which_nothing_was_attempted_are_inconclusive_or_not_judged() {
    let all: [(&str, &str, &[Check], usize); 5] = [
        (slow_consumer::ID, "drip-qos1", slow_consumer_checks::CHECKS, 2),
        (receive_maximum::ID, "qos2", receive_maximum_checks::CHECKS, 2),
        (unacked_subscriber::ID, "k3-qos1", unacked_subscriber_checks::CHECKS, 5),
        (quota_leak::ID, "qos1", quota_leak_checks::CHECKS, 1),
        (offline_queue::ID, "qos1", offline_queue_checks::CHECKS, 3),
    ];
    for (fault, variant, checks, count) in all {
        let verdicts = Made::of(fault, variant, V5, &[]).judged(checks);
        assert_eq!(verdicts.len(), count, "{fault}: {verdicts:?}");
        for verdict in verdicts {
            assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
            assert_eq!(verdict.case.unwrap().fault, fault);
        }
        let of_its_mode = ungraceful_faults::find(fault).expect("a known fault").checks();
        assert_eq!(Made::of("double-connect", variant, V5, &[]).judged(&of_its_mode), [], "another fault's");
    }
}

#[test]
fn a_message_of_qos_2_that_comes_twice_on_a_living_connection_breaks_the_rule_of_its_version() {
    let modes: [(&str, &[Check], &str); 2] = [
        (unacked_subscriber::ID, unacked_subscriber_checks::CHECKS, "delivers_qos_2_once"),
        (offline_queue::ID, offline_queue_checks::CHECKS, "delivers_the_queue_once"),
    ];
    for (fault, checks, check) in modes {
        let made = |version, copies: u64| {
            Made::of(fault, "absent-qos2", version, &[(Outcome::Tolerated, 2)])
                .measure(Measure::new("qos2_delivered"), &[200, 200])
                .measure(Measure::new("qos2_delivered_again"), &[copies, 0])
        };
        assert_violated(&made(V5, 1).verdict(checks, check), "MQTT 5.0 [MQTT-4.4.0-1]");
        assert_violated(&made(V311, 1).verdict(checks, check), "MQTT 3.1.1 [MQTT-4.3.3-1]");
        assert_holds(&made(V5, 0).verdict(checks, check));
        let cut = Made::of(fault, "absent-qos2", V5, &[(Outcome::Tolerated, 2)]);
        assert_inconclusive(&cut.verdict(checks, check), "none of 2 attempts");
        let mut record = empty_record();
        record.cases = vec![made(V5, 1).0];
        record.bystanders = Some(bystanders_that_lost_connections(V5, 1));
        judge(&mut record, checks);
        let verdict = record.verdicts.iter().find(|verdict| verdict.check == check).unwrap();
        assert_note_contains(verdict, "arrived more than once");
    }
}

#[test]
fn what_mqtt_3_1_1_has_no_word_about_is_not_judged() {
    let flood = Made::of(receive_maximum::ID, "qos2", V311, &[(Outcome::Closed, 3)]);
    assert_eq!(flood.judged(receive_maximum_checks::CHECKS), []);
    let unacked = Made::of(unacked_subscriber::ID, "absent-qos1", V311, &[(Outcome::NoReaction, 3)]);
    assert_eq!(unacked.judged(unacked_subscriber_checks::CHECKS), []);
}

mod receive_maximum_is_exceeded {
    use super::receive_maximum::{
        EXCESS_DELIVERED, EXCESS_SENT, ID, LINE, RECEIVE_MAXIMUM, TAKEN_BEFORE_REACTION, WHAT,
    };
    use super::receive_maximum_checks::CHECKS;
    use super::*;

    const ANSWERS: &str = "answers_excess_with_0x93";
    const TAKES: &str = "takes_what_it_announced";
    const CLOSES: &str = "closes_after_its_disconnect";

    /// Three floods of ten beyond a Receive Maximum of twenty, which all ended alike.
    fn flooded(variant: &str, outcome: Outcome, what: &str, line: &str) -> Made {
        Made::of(ID, variant, V5, &[(outcome, 3)])
            .fact(WHAT, what, 3)
            .fact(LINE, line, 3)
            .measure(RECEIVE_MAXIMUM, &[20, 20, 20])
            .measure(TAKEN_BEFORE_REACTION, &[20, 20, 25])
            .measure(EXCESS_SENT, &[10, 10, 10])
            .measure(EXCESS_DELIVERED, &[0, 0, 0])
    }

    #[test]
    fn a_disconnect_0x93_is_what_the_standard_has_in_mind() {
        let verdict = flooded("qos2", Outcome::Closed, "DISCONNECT 0x93", "at Receive Maximum")
            .verdict(CHECKS, ANSWERS);
        assert_holds(&verdict);
        assert_eq!((verdict.force, verdict.citation.clone()), (Force::Prose, None));
        assert!(verdict.evidence.contains("20 to 25 PUBLISH acknowledged"), "{verdict:?}");
    }

    #[test]
    fn any_other_answer_is_noted_and_accuses_nobody() {
        for (outcome, what, line) in [
            (Outcome::Tolerated, "PUBREC 0x97", "at Receive Maximum"),
            (Outcome::Tolerated, "all taken", "nowhere"),
            (Outcome::Reset, "close", "beyond Receive Maximum"),
            (Outcome::Closed, "DISCONNECT 0x82", "at Receive Maximum"),
        ] {
            let verdict = flooded("qos2", outcome, what, line).verdict(CHECKS, ANSWERS);
            assert_note_contains(&verdict, &format!("{what} (×3) instead of DISCONNECT 0x93"));
        }
    }

    #[test]
    fn qos_1_that_is_all_taken_claims_nothing_and_says_why() {
        let verdict = flooded("qos1", Outcome::Tolerated, "all taken", "nowhere").verdict(CHECKS, ANSWERS);
        assert_note_contains(&verdict, "QoS 1 is no test of the limit");
        assert!(verdict.evidence.contains("does not show whether it enforces its limit"), "{verdict:?}");
        let refused =
            flooded("qos1", Outcome::Tolerated, "PUBACK 0x97", "at Receive Maximum").verdict(CHECKS, ANSWERS);
        assert_note_contains(&refused, "PUBACK 0x97");
    }

    #[test]
    fn a_broker_that_may_not_have_got_so_far_is_not_judged_by_what_it_did_not_do() {
        let verdict = flooded("qos2", Outcome::Tolerated, "unanswered", "not told").verdict(CHECKS, ANSWERS);
        assert_inconclusive(&verdict, "may not have read beyond the limit");
        let cut = flooded("qos2", Outcome::Tolerated, "PUBREC 0x97", "below Receive Maximum")
            .measure(EXCESS_SENT, &[0, 0, 0]);
        assert_inconclusive(&cut.verdict(CHECKS, ANSWERS), "may not have read beyond the limit");
        let died = Made::of(ID, "qos2", V5, &[(Outcome::Closed, 3), (Outcome::BrokerDown, 1)]);
        let died = Made(CaseRecord {
            outcomes: died.0.outcomes,
            ..flooded("qos2", Outcome::Closed, "DISCONNECT 0x93", "at Receive Maximum").0
        });
        assert_inconclusive(&died.verdict(CHECKS, ANSWERS), "went down");
    }

    #[test]
    fn a_limit_that_no_client_can_exceed_is_told_and_not_judged() {
        let verdict = flooded("qos2", Outcome::Tolerated, "all taken", "nowhere")
            .measure(EXCESS_SENT, &[0, 0, 0])
            .measure(RECEIVE_MAXIMUM, &[65_535; 3])
            .verdict(CHECKS, ANSWERS);
        assert_holds(&verdict);
        assert!(verdict.evidence.contains("there are no more Packet Identifiers"), "{verdict:?}");
    }

    #[test]
    fn a_refusal_within_receive_maximum_is_noted_and_a_lost_connection_says_nothing() {
        let below = flooded("qos2", Outcome::Tolerated, "PUBREC 0x97", "below Receive Maximum")
            .verdict(CHECKS, TAKES);
        assert_note_contains(&below, "3 of 3 clients were refused a PUBLISH within Receive Maximum");
        let unknown = flooded("qos2", Outcome::Reset, "close", "not told").verdict(CHECKS, TAKES);
        assert_inconclusive(&unknown, "before that many acknowledgements");
        assert_holds(
            &flooded("qos2", Outcome::Tolerated, "PUBREC 0x97", "at Receive Maximum").verdict(CHECKS, TAKES),
        );
    }

    #[test]
    fn mqtt5_3_14_4_2_a_broker_that_serves_on_after_its_disconnect_breaks_it() {
        let told = |sequence: &str, outcome| {
            let mut made =
                flooded("qos2", outcome, "DISCONNECT 0x93", "at Receive Maximum").sequence(sequence, 3);
            made.0.disconnect_codes = BTreeMap::from([(0x93, 3)]);
            made.verdict(CHECKS, CLOSES)
        };
        let citation = "MQTT 5.0 [MQTT-3.14.4-2]";
        let served = told("DISCONNECT 0x93, still served", Outcome::Tolerated);
        assert_violated(&served, citation);
        assert_eq!(served.examples, [7]);
        assert_holds(&told("DISCONNECT 0x93, FIN", Outcome::Closed));
        let silent = told("DISCONNECT 0x93, nothing until the deadline", Outcome::NoReaction);
        assert_inconclusive(&silent, "--reaction-timeout");
    }
}

mod a_subscriber_does_not_acknowledge {
    use super::unacked_subscriber::{
        HELD, HELD_BACK, ID, OUTSTANDING_MOST, OUTSTANDING_WITHHELD, PINGREQ, TAKEN,
    };
    use super::unacked_subscriber_checks::CHECKS;
    use super::*;

    const STAYS: &str = "stays_within_receive_maximum";
    const ANSWERS: &str = "answers_while_the_quota_is_used_up";
    const ORDER: &str = "delivers_in_order";
    const ONCE: &str = "delivers_everything_once";
    const KEEPS: &str = "keeps_the_subscriber";

    /// Two subscribers with a Receive Maximum of three, for which 200 messages each were there.
    fn withheld(held: &str, withheld: u64, most: u64, pingreq: &str) -> Made {
        Made::of(ID, "k3-qos2", V5, &[(Outcome::Tolerated, 2)])
            .fact(HELD, held, 2)
            .fact(PINGREQ, pingreq, 2)
            .measure(OUTSTANDING_WITHHELD, &[withheld, withheld])
            .measure(OUTSTANDING_MOST, &[most, most])
            .measure(TAKEN, &[200, 200])
            .sequence("still served", 2)
            .measure(Measure::new("qos2_delivered"), &[200, 200])
            .measure(Measure::new("qos2_delivered_again"), &[0, 0])
            .messages(delivered(0, 0, 0))
    }

    fn delivered(lost: u64, reordered: u64, duplicated: u64) -> LedgerCounts {
        LedgerCounts {
            sent: 400,
            acknowledged: 400,
            delivered: 400 - lost,
            lost,
            reordered,
            duplicated,
            ..LedgerCounts::default()
        }
    }

    #[test]
    fn a_broker_that_keeps_to_every_rule_holds_in_every_check() {
        let verdicts = withheld("at Receive Maximum", 3, 3, "answered").judged(CHECKS);
        assert_eq!(verdicts.len(), CHECKS.len());
        verdicts.iter().for_each(assert_holds);
    }

    #[test]
    fn mqtt5_3_3_4_9_one_publish_too_many_breaks_it_at_once_or_while_the_client_acknowledges() {
        for made in [
            withheld("beyond Receive Maximum", 4, 4, "answered"),
            withheld("beyond it while acknowledging", 3, 4, "answered"),
        ] {
            let verdict = made.verdict(CHECKS, STAYS);
            assert_violated(&verdict, "MQTT 5.0 [MQTT-3.3.4-9]");
            assert!(verdict.evidence.ends_with("2 of 2 clients were affected"), "{verdict:?}");
        }
    }

    #[test]
    fn a_limit_that_the_messages_do_not_reach_is_not_proved_to_be_kept() {
        let few =
            withheld("at Receive Maximum", 3, 3, "answered").measure(TAKEN, &[3, 3]).verdict(CHECKS, STAYS);
        assert_inconclusive(&few, "not more than 3");
        let absent = Made::of(ID, "absent-qos2", V5, &[(Outcome::Tolerated, 2)]);
        assert!(every(absent.judged(CHECKS), |verdict| verdict.check != STAYS));
    }

    #[test]
    fn mqtt5_4_9_0_3_no_answer_to_pingreq_breaks_it_when_the_quota_is_used_up_and_others_are_answered() {
        let verdict = withheld("at Receive Maximum", 3, 3, "not answered").verdict(CHECKS, ANSWERS);
        assert_violated(&verdict, "MQTT 5.0 [MQTT-4.9.0-3]");
        let slow = withheld("at Receive Maximum", 3, 3, "not answered, nor was the publisher")
            .verdict(CHECKS, ANSWERS);
        assert_inconclusive(&slow, "the publisher got few or none either");
        let late = withheld("at Receive Maximum", 3, 3, "answered late").verdict(CHECKS, ANSWERS);
        assert_note_contains(&late, "2 of 2 were answered late");
        let unused = withheld("below Receive Maximum", 2, 2, "not answered").verdict(CHECKS, ANSWERS);
        assert_inconclusive(&unused, "fewer than their Receive Maximum");
    }

    #[test]
    fn mqtt5_4_6_0_5_a_first_copy_after_a_later_message_breaks_it() {
        let reordered = withheld("at Receive Maximum", 3, 3, "answered").messages(delivered(0, 1, 0));
        assert_violated(&reordered.verdict(CHECKS, ORDER), "MQTT 5.0 [MQTT-4.6.0-5]");
        let copies = withheld("at Receive Maximum", 3, 3, "answered").messages(delivered(0, 0, 9));
        assert_holds(&copies.verdict(CHECKS, ORDER));
        let one_each = LedgerCounts { delivered: 2, ..LedgerCounts::default() };
        let one_each =
            withheld("at Receive Maximum", 3, 3, "answered").messages(one_each).verdict(CHECKS, ORDER);
        assert_inconclusive(&one_each, "there is no order to check");
    }

    #[test]
    fn what_comes_again_and_what_a_limit_may_have_taken_is_noted() {
        let made =
            |counts| withheld("at Receive Maximum", 3, 3, "answered").messages(counts).verdict(CHECKS, ONCE);
        let copies = made(delivered(0, 0, 2));
        assert_note_contains(&copies, "2 messages came again");
        assert_eq!((copies.force, copies.citation), (Force::Prose, None), "the statement is about losses");
        let refused = LedgerCounts { refused: BTreeMap::from([(0x97, 9)]), ..delivered(5, 0, 0) };
        assert_note_contains(&made(refused), "5 of 400 acknowledged messages were lost");
        let kept_some = withheld("at Receive Maximum", 3, 3, "answered")
            .messages(delivered(5, 0, 0))
            .measure(HELD_BACK, &[9, 0]);
        assert_note_contains(&kept_some.verdict(CHECKS, ONCE), "5 of 400 acknowledged messages were lost");
        let last = LedgerCounts { lost_at_the_end: 5, ..delivered(5, 0, 0) };
        assert_inconclusive(&made(last), "late rather than lost");
    }

    #[test]
    fn mqtt5_4_5_0_1_what_was_acknowledged_and_never_came_before_a_later_message_breaks_it() {
        let lost = withheld("at Receive Maximum", 3, 3, "answered")
            .messages(delivered(394, 0, 0))
            .measure(HELD_BACK, &[0, 0]);
        assert_violated(&lost.verdict(CHECKS, ONCE), "MQTT 5.0 [MQTT-4.5.0-1]");
    }

    #[test]
    fn a_subscriber_that_is_cut_is_noted_and_its_messages_are_nobodys_loss() {
        let cut = Made::of(ID, "k3-qos1", V5, &[(Outcome::Closed, 2)]).messages(delivered(300, 0, 0));
        assert_note_contains(&cut.verdict(CHECKS, KEEPS), "cuts a client that does not acknowledge");
        assert_inconclusive(&cut.verdict(CHECKS, ONCE), "were cut before they acknowledged");
    }
}

mod a_client_keeps_every_rule {
    use super::quota_leak::{ACKNOWLEDGED, ACKNOWLEDGED_AT_END, ID, RECEIVE_MAXIMUM, SERVED, WINDOW};
    use super::quota_leak_checks::CHECKS;
    use super::*;

    const SERVES: &str = "serves_a_client_that_keeps_every_rule";
    const CITATION: &str = "MQTT 5.0 §4.9 (prose, no numbered statement)";

    /// Two clients, both served as `served` says, until `ends` messages were acknowledged.
    fn served(version: &str, outcome: Outcome, served: &str, ends: &[u64]) -> Made {
        let made = Made::of(ID, "qos1", version, &[(outcome, 2)])
            .fact(SERVED, served, 2)
            .measure(ACKNOWLEDGED, ends)
            .measure(RECEIVE_MAXIMUM, &[1_024, 1_024])
            .measure(WINDOW, &[20, 20]);
        if served == "to the end" { made } else { made.measure(ACKNOWLEDGED_AT_END, ends) }
    }

    fn verdict(outcome: Outcome, what: &str, ends: &[u64]) -> Verdict {
        served(V5, outcome, what, ends).verdict(CHECKS, SERVES)
    }

    #[test]
    fn a_broker_that_serves_to_the_end_holds() {
        assert_holds(&verdict(Outcome::Tolerated, "to the end", &[70_000, 70_000]));
    }

    #[test]
    fn mqtt5_4_9_a_client_within_its_quota_that_is_cut_for_it_accuses_without_a_number() {
        let cut = verdict(Outcome::Closed, "cut by DISCONNECT 0x93", &[1_024, 1_024]);
        assert_violated(&cut, CITATION);
        assert_eq!(cut.force, Force::Prose);
    }

    #[test]
    fn acknowledgements_that_stop_accuse_when_they_do_every_time_after_as_many() {
        assert_violated(&verdict(Outcome::Tolerated, "no more acknowledgements", &[1_024, 1_030]), CITATION);
        let elsewhere = verdict(Outcome::Tolerated, "no more acknowledgements", &[1_024, 9_000]);
        assert_inconclusive(&elsewhere, "try a longer --reaction-timeout");
        let once = Made::of(ID, "qos1", V5, &[(Outcome::Tolerated, 1)])
            .fact(SERVED, "no more acknowledgements", 1)
            .measure(ACKNOWLEDGED_AT_END, &[1_024])
            .measure(WINDOW, &[20]);
        assert_inconclusive(&once.verdict(CHECKS, SERVES), "try a longer --reaction-timeout");
        let one_of_two = Made::of(ID, "qos1", V5, &[(Outcome::Tolerated, 2)])
            .fact(SERVED, "no more acknowledgements", 1)
            .fact(SERVED, "to the end", 1)
            .measure(ACKNOWLEDGED_AT_END, &[1_024])
            .measure(WINDOW, &[20]);
        assert_inconclusive(&one_of_two.verdict(CHECKS, SERVES), "try a longer --reaction-timeout");
    }

    #[test]
    fn a_cut_without_a_reason_accuses_when_it_comes_every_time_where_the_quota_ends() {
        assert_violated(&verdict(Outcome::Closed, "cut by FIN", &[1_024, 1_030]), CITATION);
        for ends in [[1_024, 30_000], [500, 500], [5_000, 5_000], [0, 0]] {
            let elsewhere = verdict(Outcome::Closed, "cut by FIN", &ends);
            assert_note_contains(&elsewhere, "it may be another limit");
        }
        let once = Made::of(ID, "qos1", V5, &[(Outcome::Closed, 1)])
            .fact(SERVED, "cut by RST", 1)
            .measure(ACKNOWLEDGED_AT_END, &[1_024])
            .measure(RECEIVE_MAXIMUM, &[1_024])
            .measure(WINDOW, &[20]);
        assert_inconclusive(&once.verdict(CHECKS, SERVES), "try --attempts 3");
        let one_of_two = Made::of(ID, "qos1", V5, &[(Outcome::Closed, 1), (Outcome::Tolerated, 1)])
            .fact(SERVED, "cut by RST", 1)
            .fact(SERVED, "to the end", 1)
            .measure(ACKNOWLEDGED_AT_END, &[1_024])
            .measure(RECEIVE_MAXIMUM, &[1_024, 1_024])
            .measure(WINDOW, &[20]);
        assert_inconclusive(&one_of_two.verdict(CHECKS, SERVES), "try --attempts 3");
    }

    #[test]
    fn another_reason_is_another_limit_and_noted() {
        let rate = verdict(Outcome::Closed, "cut by DISCONNECT 0x96", &[5_000, 5_000]);
        assert_note_contains(&rate, "other than that of the quota");
        let quota = verdict(Outcome::Tolerated, "refused with 0x97", &[69_000, 69_500]);
        assert_note_contains(&quota, "because of another limit");
    }

    #[test]
    fn everything_that_is_refused_from_the_same_count_on_looks_like_a_quota_that_is_never_given_back() {
        let leaked = verdict(Outcome::Tolerated, "refused with 0x97", &[1_024, 1_024]);
        assert_note_contains(&leaked, "as if the quota were never given back");
    }

    #[test]
    fn a_broker_that_is_slow_or_goes_down_is_not_accused() {
        assert_inconclusive(&verdict(Outcome::NoReaction, "no answer at all", &[5, 5]), "may be slow");
        let mut down = served(V5, Outcome::Closed, "cut by DISCONNECT 0x93", &[5, 5]);
        down.0.outcomes.insert(Outcome::BrokerDown.name().into(), 1);
        assert_inconclusive(&down.verdict(CHECKS, SERVES), "went down");
    }

    #[test]
    fn on_3_1_1_nothing_of_it_is_a_violation() {
        for what in ["no more acknowledgements", "cut by DISCONNECT 0x93"] {
            let made = served(V311, Outcome::Closed, what, &[1_024, 1_024]);
            assert_eq!(made.verdict(CHECKS, SERVES).conclusion, Conclusion::Holds);
            assert!(made.verdict(CHECKS, SERVES).differs.is_some());
        }
    }
}

mod a_queue_is_filled {
    use ungraceful_faults::resumption::{Resumption, SESSION_PRESENT};

    use super::offline_queue::{GRANTED_S, ID, LOST_END, PUBLISHER};
    use super::offline_queue_checks::CHECKS;
    use super::*;

    const SESSION: &str = "keeps_the_session";
    const ORDER: &str = "delivers_the_queue_in_order";
    const KEEPS: &str = "keeps_what_it_took";

    /// Two clients that returned.
    fn returned(version: &str, present: &str, lost_end: &str, counts: LedgerCounts) -> Made {
        Made::of(ID, "qos1", version, &[(Outcome::Tolerated, 2)])
            .fact(SESSION_PRESENT, present, 2)
            .fact(LOST_END, lost_end, 2)
            .fact(PUBLISHER, "all taken", 2)
            .measure(GRANTED_S, &[3_600, 3_600])
            .messages(counts)
    }

    fn delivered(lost: u64, reordered: u64) -> LedgerCounts {
        let delivered = 400 - lost;
        LedgerCounts { sent: 400, acknowledged: 400, delivered, lost, reordered, ..LedgerCounts::default() }
    }

    #[test]
    fn a_broker_that_keeps_everything_in_order_holds() {
        for version in [V5, V311] {
            let verdicts =
                returned(version, Resumption::Announced.name(), "none", delivered(0, 0)).judged(CHECKS);
            assert_eq!(verdicts.len(), 3);
            verdicts.iter().for_each(assert_holds);
        }
    }

    #[test]
    fn mqtt5_3_1_2_23_a_session_that_is_gone_each_time_although_it_was_granted_breaks_it() {
        let gone = returned(V5, Resumption::Not.name(), "all", delivered(400, 0));
        assert_violated(&gone.verdict(CHECKS, SESSION), "MQTT 5.0 [MQTT-3.1.2-23]");
        assert_inconclusive(&gone.verdict(CHECKS, KEEPS), "and their messages with them");
        assert_inconclusive(&gone.verdict(CHECKS, ORDER), "there is no order to check");
        let once = gone.fact(SESSION_PRESENT, Resumption::Announced.name(), 1);
        assert_note_contains(&once.verdict(CHECKS, SESSION), "sessions were gone");
        let short =
            returned(V5, Resumption::Not.name(), "all", delivered(400, 0)).measure(GRANTED_S, &[0, 0]);
        assert_note_contains(&short.verdict(CHECKS, SESSION), "sessions were gone");
        let of_3_1_1 = returned(V311, Resumption::Not.name(), "all", delivered(400, 0));
        assert_note_contains(&of_3_1_1.verdict(CHECKS, SESSION), "sessions were gone");
    }

    #[test]
    fn mqtt5_3_2_2_3_a_session_that_is_resumed_and_denied_breaks_the_rule_on_session_present() {
        for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-3]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-2]")] {
            let denied = returned(version, Resumption::Unannounced.name(), "none", delivered(0, 0));
            assert_violated(&denied.verdict(CHECKS, "reports_session_present_correctly"), citation);
            assert_holds(&denied.verdict(CHECKS, SESSION));
        }
    }

    #[test]
    fn a_session_that_is_gone_with_the_broker_that_held_it_accuses_nobody() {
        let once = returned(V5, Resumption::Announced.name(), "none", delivered(0, 0)).fact(
            SESSION_PRESENT,
            Resumption::Announced.name(),
            0,
        );
        let once = once.fact(SESSION_PRESENT, Resumption::Not.name(), 1);
        assert_note_contains(&once.verdict(CHECKS, SESSION), "1 sessions were gone");
        let cut = returned(V5, Resumption::PublisherCut.name(), "all", delivered(400, 0));
        assert_inconclusive(&cut.verdict(CHECKS, SESSION), "none of 2 attempts");
        assert_inconclusive(&cut.verdict(CHECKS, KEEPS), "2 of 2 publishers were cut");
        let not_seen = returned(V5, Resumption::Unknown.name(), "all", delivered(400, 0));
        assert_inconclusive(
            &not_seen.verdict(CHECKS, SESSION),
            "whether their session existed all the same is not known",
        );
        assert_inconclusive(&not_seen.verdict(CHECKS, KEEPS), "whether 2 of 2 sessions existed");
        let mut gone_again = returned(V5, Resumption::Announced.name(), "newest", delivered(100, 0));
        gone_again.0.outcomes.insert(Outcome::Closed.name().into(), 1);
        assert_inconclusive(
            &gone_again.verdict(CHECKS, KEEPS),
            "were cut before they had received everything",
        );
        let mut down = returned(V5, Resumption::Not.name(), "all", delivered(400, 0));
        down.0.outcomes.insert(Outcome::BrokerDown.name().into(), 1);
        assert_note_contains(&down.verdict(CHECKS, SESSION), "sessions were gone");
        let mut record = empty_record();
        record.cases = vec![returned(V5, Resumption::Not.name(), "all", delivered(400, 0)).0];
        record.bystanders = Some(bystanders_that_lost_connections(V5, 4));
        judge(&mut record, CHECKS);
        let session = record.verdicts.iter().find(|verdict| verdict.check == SESSION).unwrap();
        assert_note_contains(session, "sessions were gone");
        assert!(session.evidence.contains("lost 4 connections"), "{session:?}");
    }

    #[test]
    fn mqtt5_4_6_0_5_and_mqtt3_1_1_4_6_0_6_another_order_breaks_them() {
        for (version, citation) in [(V5, "MQTT 5.0 [MQTT-4.6.0-5]"), (V311, "MQTT 3.1.1 [MQTT-4.6.0-6]")] {
            let made = returned(version, Resumption::Announced.name(), "none", delivered(0, 3));
            assert_violated(&made.verdict(CHECKS, ORDER), citation);
        }
    }

    #[test]
    fn what_is_lost_or_refused_to_a_limit_is_noted_with_its_end() {
        let lost =
            returned(V5, Resumption::Announced.name(), "newest", delivered(100, 0)).verdict(CHECKS, KEEPS);
        assert_note_contains(&lost, "100 of 400 acknowledged messages were lost");
        assert!(lost.evidence.contains("missing end: newest (×2)"), "{lost:?}");
        let unknown_to = LedgerCounts { without_subscribers: 9, delivered: 391, ..delivered(0, 0) };
        let unknown_to =
            returned(V5, Resumption::Announced.name(), "newest", unknown_to).verdict(CHECKS, KEEPS);
        assert_note_contains(&unknown_to, "9 of 400 acknowledged messages were lost");
        let refused = LedgerCounts {
            acknowledged: 300,
            delivered: 300,
            refused: BTreeMap::from([(0x97, 100)]),
            ..delivered(0, 0)
        };
        let refused = returned(V5, Resumption::Announced.name(), "none", refused).verdict(CHECKS, KEEPS);
        assert_note_contains(&refused, "100 messages were refused");
        assert_eq!((refused.force, refused.citation), (Force::Prose, None), "the statement is about losses");
        let twice = LedgerCounts { duplicated: 4, ..delivered(0, 0) };
        assert_note_contains(
            &returned(V5, Resumption::Announced.name(), "none", twice).verdict(CHECKS, KEEPS),
            "4 messages came again",
        );
    }
}

mod a_subscriber_is_slow {
    use super::slow_consumer::{CUT, ID, PUBLISHER};
    use super::slow_consumer_checks::CHECKS;
    use super::*;

    const KEEPS: &str = "keeps_qos1_for_the_slow";
    const SPARES: &str = "spares_the_publisher";

    /// Two subscribers for which the broker took 100 messages.
    fn slow(variant: &str, cut: &str, publisher: &str, lost: u64) -> Made {
        let delivered = 100 - lost;
        let counts =
            LedgerCounts { sent: 100, acknowledged: 100, delivered, lost, ..LedgerCounts::default() };
        Made::of(ID, variant, V5, &[(Outcome::Tolerated, 2)])
            .fact(CUT, cut, 2)
            .fact(PUBLISHER, publisher, 2)
            .messages(counts)
    }

    #[test]
    fn a_broker_that_keeps_everything_and_slows_nobody_holds() {
        let verdicts = slow("zero-window-qos1", "no", "kept its pace", 0).judged(CHECKS);
        assert_eq!(verdicts.len(), 2);
        verdicts.iter().for_each(assert_holds);
    }

    #[test]
    fn what_is_lost_at_qos_1_is_noted_and_the_cut_is_told_apart() {
        let kept = slow("zero-window-qos1", "no", "kept its pace", 30).verdict(CHECKS, KEEPS);
        assert_note_contains(&kept, "30 acknowledged messages were lost");
        assert!(kept.evidence.contains("its queue may have a limit"), "{kept:?}");
        let none_came = slow("zero-window-qos1", "no", "kept its pace", 100);
        let late = LedgerCounts {
            sent: 100,
            acknowledged: 100,
            lost: 100,
            lost_at_the_end: 100,
            ..LedgerCounts::default()
        };
        assert_inconclusive(&none_came.messages(late).verdict(CHECKS, KEEPS), "late rather than lost");
        let cut =
            slow("zero-window-qos1", "while it did not read", "kept its pace", 30).verdict(CHECKS, KEEPS);
        assert_note_contains(&cut, "its messages are lost with it");
        let qos0 = slow("drip-qos0", "no", "kept its pace", 30).judged(CHECKS);
        assert!(every(&qos0, |verdict| verdict.check != KEEPS), "QoS 0 promises nothing");
    }

    #[test]
    fn a_publisher_that_is_slowed_is_noted() {
        let verdict = slow("drip-qos1", "no", "was slowed", 0).verdict(CHECKS, SPARES);
        assert_note_contains(&verdict, "slows its publisher");
    }
}
