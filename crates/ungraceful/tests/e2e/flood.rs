//! Floods: beyond Receive Maximum, to subscribers that do not acknowledge, and into queues of absent clients. Against the scripted
//! broker, the embedded one, and real ones.

use std::num::NonZeroU16;

use ungraceful_mqtt::QoS;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_record::verdict::Verdict;
use ungraceful_scripted_broker::Script;

use crate::real_brokers::RealBroker;
use crate::support::{Call, VERSIONS, flood, flood_at, skip};

/// The note of this check on this variant.
fn note(call: &Call, check: &str, variant: &str) -> Option<String> {
    let is_it = |verdict: &Verdict| verdict.case.as_ref().is_some_and(|case| case.variant == variant);
    let found = call.verdicts(check).into_iter().find(is_it);
    found.unwrap_or_else(|| panic!("no verdict of {check}\n{call}")).differs
}

/// A Receive Maximum of twenty, with this policy.
fn limited_to_twenty(flow: &str) -> Script {
    Script { flow: flow.parse().unwrap(), receive_maximum: NonZeroU16::new(20), ..Script::default() }
}

fn most(case: &CaseRecord, measure: &str) -> Option<u64> {
    case.measures.get(measure)?.max
}

mod receive_maximum {
    use super::*;

    const ANSWERS: &str = "answers_excess_with_0x93";
    const TAKES: &str = "takes_what_it_announced";

    /// Two floods of QoS 2 on 5.0, ten beyond a Receive Maximum of twenty.
    fn against(flow: &str) -> Call {
        flood_at(limited_to_twenty(flow), "receive-maximum", "--variant qos2 --attempts 2 -V 5")
    }

    #[test]
    fn a_disconnect_0x93_after_as_many_as_were_announced_holds() {
        let call = against("disconnect").expect_exit(0);
        let case = call.case("qos2", "5.0");
        assert_eq!(case.fact("what", "DISCONNECT 0x93"), 2, "{call}");
        assert_eq!(case.sequences.get("DISCONNECT 0x93, FIN"), Some(&2), "{:?}", case.sequences);
        assert_eq!((most(&case, "receive_maximum"), most(&case, "sent")), (Some(20), Some(30)));
        assert_eq!(note(&call, ANSWERS, "qos2"), None);
        assert_eq!(call.conclusion("closes_after_its_disconnect", "qos2", "5.0"), Holds);
    }

    #[test]
    fn refusal_close_and_tolerance_are_distinguished_and_noted() {
        for (flow, what, line) in [
            ("refuse-0x97", "PUBREC 0x97", "at Receive Maximum"),
            ("fin", "close", "at Receive Maximum"),
            ("tolerate", "all taken", "nowhere"),
        ] {
            let call = against(flow).expect_exit(0);
            let case = call.case("qos2", "5.0");
            assert_eq!((case.fact("what", what), case.fact("line", line)), (2, 2), "{flow}: {call}");
            assert!(note(&call, ANSWERS, "qos2").unwrap().contains(what), "{flow}");
            assert_eq!(call.conclusion(TAKES, "qos2", "5.0"), Holds);
        }
    }

    #[test]
    fn after_a_reset_the_limit_is_not_located() {
        let call = against("rst");
        let case = call.case("qos2", "5.0");
        assert_eq!(case.fact("what", "close"), 2, "{call}");
        assert_eq!(case.fact("line", "beyond Receive Maximum"), 0);
    }

    #[test]
    fn silence_is_inconclusive() {
        let call = against("silence").expect_exit(3);
        assert_eq!(call.conclusion(ANSWERS, "qos2", "5.0"), Inconclusive);
        assert_eq!(call.case("qos2", "5.0").fact("what", "unanswered"), 2, "{call}");
    }

    #[test]
    fn without_a_limit_every_packet_identifier_is_sent() {
        // A debug build of the broker needs seconds for this burst, more on a busy machine.
        let times = "--reaction-timeout 15s --connect-timeout 30s";
        let arguments = format!("--variant qos2 --attempts 1 {times}");
        let call = flood_at(Script::default(), "receive-maximum", &arguments).expect_exit(0);
        for version in VERSIONS {
            let case = call.case("qos2", version);
            assert_eq!(["sent", "taken"].map(|name| most(&case, name)), [Some(65_535); 2], "{version}");
        }
        let verdicts = call.verdicts(ANSWERS);
        assert_eq!(verdicts.len(), 1, "3.1.1 is not judged");
        assert!(verdicts[0].evidence.contains("no client can exceed it"), "{}", verdicts[0].evidence);
    }

    #[test]
    fn messages_delivered_during_the_flood_are_counted() {
        let arguments = "--variant qos1 --attempts 1 -V 3.1.1 --size 1000";
        let call = flood_at(Script::default(), "receive-maximum", arguments);
        let counts = call.case("qos1", "3.1.1").messages[&1].clone();
        assert_eq!((counts.sent, counts.acknowledged), (65_535, 65_535), "{call}");
        assert_eq!((counts.delivered, counts.lost), (65_535, 0), "{call}");
    }

    #[test]
    fn a_maximum_qos_skips_a_case_with_a_reason() {
        let script = Script { maximum_qos: Some(QoS::AtLeastOnce), ..Script::default() };
        let call = flood_at(script, "receive-maximum", "--attempts 1 -V 5 --variant qos2").expect_exit(3);
        call.assert_prints(&["the broker does not support QoS 2"]);
    }

    #[test]
    fn the_embedded_broker_answers_with_0x93_at_its_limit() {
        let call = flood("receive-maximum", "--attempts 2 -V 5").expect_exit(0);
        let case = call.case("qos2", "5.0");
        assert_eq!(case.fact("what", "DISCONNECT 0x93"), 2, "{call}");
        assert_eq!(case.fact("line", "at Receive Maximum"), 2, "{call}");
        assert_eq!(note(&call, ANSWERS, "qos1").as_deref(), Some("QoS 1 is no test of the limit"));
    }

    #[test]
    fn mosquitto_refuses_with_0x97_and_keeps_serving() {
        let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
        let call = flood_at(broker.address, "receive-maximum", "--attempts 2 -V 5");
        let sys_version = call.record().broker.sys_version.unwrap();
        if !sys_version.starts_with("mosquitto version 2.0") {
            skip(&format!("{sys_version} may answer otherwise"));
            return;
        }
        assert_eq!(call.exit(), 0, "{call}");
        let case = call.case("qos2", "5.0");
        assert_eq!(case.fact("what", "PUBREC 0x97"), 2, "{call}");
        assert_eq!(case.sequences.get("acknowledgement 0x97, still served"), Some(&2), "{call}");
        // Each refusal returns quota that was not used, so every other excess PUBLISH is accepted.
        let measured = |name| most(&case, name);
        assert_eq!((measured("receive_maximum"), measured("taken_before_reaction")), (Some(20), Some(20)));
        assert_eq!((measured("taken"), measured("sent")), (Some(25), Some(30)));
        assert_eq!(measured("excess_delivered"), Some(0));
    }
}

mod unacked_subscriber {
    use super::*;

    const STAYS: &str = "stays_within_receive_maximum";
    const ANSWERS: &str = "answers_while_the_quota_is_used_up";
    const ORDER: &str = "delivers_in_order";
    const ONCE: &str = "delivers_everything_once";

    /// Two attempts each at QoS 1 and 2 with a Receive Maximum of three.
    fn against(subscriber_flow: &str) -> Call {
        let script = Script { subscriber_flow: subscriber_flow.parse().unwrap(), ..Script::default() };
        flood_at(script, "unacked-subscriber", "--variant k3-qos1,k3-qos2 --attempts 2 --messages 50")
    }

    #[test]
    fn a_broker_within_receive_maximum_holds_and_drains_in_order() {
        let call = against("keep").expect_exit(0);
        for variant in ["k3-qos1", "k3-qos2"] {
            let case = call.case(variant, "5.0");
            assert_eq!(case.fact("held", "at Receive Maximum"), 2, "{call}");
            assert_eq!(case.fact("drained", "everything, in order"), 2, "{call}");
            for check in [STAYS, ANSWERS, ORDER, ONCE] {
                assert_eq!(call.conclusion(check, variant, "5.0"), Holds, "{check}");
                assert_eq!(note(&call, check, variant), None, "{check}");
            }
        }
    }

    #[test]
    fn mqtt5_3_3_4_9_exceeding_receive_maximum_is_violated() {
        let call = against("exceed-by-1");
        call.assert_violates(&[STAYS]);
        assert_eq!(call.case("k3-qos1", "5.0").fact("held", "beyond Receive Maximum"), 2);
        call.assert_prints(&["MQTT 5.0 [MQTT-3.3.4-9]"]);
        assert_eq!(against("ignore").violated(), [STAYS]);
    }

    #[test]
    fn mqtt5_4_9_0_3_an_unanswered_pingreq_is_violated() {
        let call = against("starve-pings");
        call.assert_violates(&[ANSWERS]);
        assert_eq!(call.case("k3-qos1", "5.0").fact("pingreq", "not answered"), 2, "{call}");
    }

    #[test]
    fn mqtt5_4_6_0_5_a_reordered_queue_is_violated() {
        against("reorder-queue").assert_violates(&[ORDER]);
    }

    #[test]
    fn a_queue_that_is_never_sent_is_inconclusive() {
        let call = against("stall").expect_exit(3);
        assert_eq!(call.case("k3-qos1", "5.0").fact("published_later", "did not come"), 2, "{call}");
        assert_eq!(call.conclusion(ONCE, "k3-qos1", "5.0"), Inconclusive);
    }

    #[test]
    fn mqtt5_4_5_0_1_dropping_acknowledged_messages_is_violated() {
        let call = against("drop-beyond");
        call.assert_violates(&[ONCE]);
        let case = call.case("k3-qos1", "5.0");
        assert_eq!(case.fact("published_later", "came"), 2, "{call}");
        assert_eq!(case.measures["held_back"].max, Some(0));
        call.assert_prints(&["MQTT 5.0 [MQTT-4.5.0-1]"]);
    }

    #[test]
    fn mosquitto_stays_within_the_receive_maximum_of_a_subscriber() {
        let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
        let variants = "k1-qos1,k1-qos2,k3-qos1,k3-qos2,absent-qos1";
        let call =
            flood_at(broker.address, "unacked-subscriber", &format!("--variant {variants} --attempts 2"));
        for (variant, k) in [("k1-qos1", 1), ("k1-qos2", 1), ("k3-qos1", 3), ("k3-qos2", 3)] {
            let case = call.case(variant, "5.0");
            assert_eq!(most(&case, "outstanding_withheld"), Some(k), "{call}");
            assert_eq!(case.fact("pingreq", "answered"), 2, "{call}");
            assert_eq!(call.conclusion(ORDER, variant, "5.0"), Holds);
        }
        for variant in ["k1-qos1", "k3-qos1"] {
            assert_eq!(call.conclusion(STAYS, variant, "5.0"), Holds, "{call}");
        }
        // Mosquitto 2.0.11 lets as many go with every PUBCOMP as Receive Maximum allows in all.
        if call.record().broker.sys_version.unwrap().starts_with("mosquitto version 2.0.11") {
            assert_eq!(call.conclusion(STAYS, "k3-qos2", "5.0"), Violated, "{call}");
            assert_eq!(most(&call.case("absent-qos1", "3.1.1"), "outstanding_withheld"), Some(20));
        }
    }

    #[test]
    fn rumqttd_looks_at_no_receive_maximum_and_starves_pingreq() {
        let Some(broker) = RealBroker::start("rumqttd") else { return };
        let call = flood_at(broker.address_v5, "unacked-subscriber", "--variant k3-qos1 --attempts 2 -V 5");
        call.assert_violates(&[ANSWERS, STAYS]);
        assert_eq!(most(&call.case("k3-qos1", "5.0"), "outstanding_withheld"), Some(100), "{call}");
    }
}

mod quota_leak {
    use super::*;

    const SERVES: &str = "serves_a_client_that_keeps_every_rule";

    fn against(flow: &str) -> Call {
        flood_at(limited_to_twenty(flow), "quota-leak", "--messages 3000 -V 5")
    }

    #[test]
    fn a_client_that_keeps_every_rule_is_served_to_the_end() {
        let call = against("disconnect").expect_exit(0);
        for variant in ["qos1", "qos2"] {
            let case = call.case(variant, "5.0");
            assert_eq!((case.fact("served", "to the end"), most(&case, "window")), (2, Some(20)));
            assert_eq!(call.conclusion(SERVES, variant, "5.0"), Holds);
        }
    }

    #[test]
    fn a_leaked_quota_is_violated_without_a_statement_number() {
        let call = against("leak");
        call.assert_violates(&[SERVES]);
        call.assert_prints(&["MQTT 5.0 §4.9 (prose, no numbered statement)"]);
        assert_eq!(call.case("qos1", "5.0").fact("served", "cut by DISCONNECT 0x93"), 2, "{call}");
        assert_eq!(most(&call.case("qos1", "5.0"), "acknowledged_at_end"), Some(20));
    }

    #[test]
    fn a_close_after_the_same_count_each_time_is_violated() {
        against("leak-then-fin").assert_violates(&[SERVES]);
    }
}

mod offline_queue {
    use super::*;

    const ORDER: &str = "delivers_the_queue_in_order";
    const KEEPS: &str = "keeps_what_it_took";

    fn against(offline_queue: &str) -> Call {
        let script = Script { offline_queue: offline_queue.parse().unwrap(), ..Script::default() };
        flood_at(script, "offline-queue", "--messages 100 --attempts 2")
    }

    fn assert_lost_end(call: &Call, lost_end: &str, lost: u64) {
        for (variant, version) in [("qos1", "3.1.1"), ("qos2", "3.1.1"), ("qos1", "5.0"), ("qos2", "5.0")] {
            let case = call.case(variant, version);
            assert_eq!(case.fact("lost_end", lost_end), 2, "{variant} {version}\n{call}");
            assert_eq!(most(&case, "lost"), Some(lost), "{variant} {version}\n{call}");
            assert_eq!(case.fact("session_present", "yes"), 2);
            assert_eq!(call.conclusion(ORDER, variant, version), Holds);
        }
    }

    #[test]
    fn a_queue_without_a_limit_is_delivered_whole_and_in_order() {
        let call = against("unlimited").expect_exit(0);
        assert_lost_end(&call, "none", 0);
        assert_eq!(note(&call, KEEPS, "qos1"), None);
    }

    #[test]
    fn the_lost_end_of_the_queue_is_reported() {
        let newest = against("drop-newest-over-40").expect_exit(0);
        assert_lost_end(&newest, "newest", 60);
        assert!(note(&newest, KEEPS, "qos1").unwrap().contains("120 of 200 acknowledged messages"));
        let oldest = against("drop-oldest-over-40");
        assert_lost_end(&oldest, "oldest", 60);
    }

    #[test]
    fn a_publisher_that_is_refused_loses_nothing_unawares() {
        let call = against("refuse-over-40").expect_exit(0);
        let case = call.case("qos1", "5.0");
        assert_eq!(case.fact("publisher", "refused with 0x97"), 2, "{call}");
        assert_eq!(case.fact("lost_end", "none"), 2, "{call}");
        assert!(call.verdicts(KEEPS).iter().any(|verdict| {
            verdict.differs.as_deref().is_some_and(|note| note.contains("messages were refused"))
        }));
    }

    #[test]
    fn mosquitto_keeps_the_first_thousand() {
        let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
        let call = flood_at(broker.address, "offline-queue", "--attempts 2 --variant qos1");
        for version in VERSIONS {
            let case = call.case("qos1", version);
            assert_eq!(case.fact("session_present", "yes"), 2, "{call}");
            assert_eq!(call.conclusion(ORDER, "qos1", version), Holds);
            if call.record().broker.sys_version.unwrap().starts_with("mosquitto version 2.0.11") {
                assert_eq!(most(&case, "lost"), Some(1_000), "{call}");
                assert_eq!(case.fact("lost_end", "newest"), 2);
            }
        }
    }
}

mod slow_consumer {
    use super::*;

    const KEEPS: &str = "keeps_qos1_for_the_slow";

    fn against(slow_reader: &str, arguments: &str) -> Call {
        let script = Script { slow_reader: slow_reader.parse().unwrap(), ..Script::default() };
        flood_at(script, "slow-consumer", &format!("--connrate 10 -V 5 {arguments}"))
    }

    #[test]
    fn a_broker_that_buffers_unread_messages_delivers_them_later() {
        let flags = "--variant zero-window-qos1,drip-qos1 --for 2s --publish-rate 200";
        let call = against("buffer", flags).expect_exit(0);
        for variant in ["zero-window-qos1", "drip-qos1"] {
            let case = call.case(variant, "5.0");
            assert_eq!(case.fact("cut", "no"), 1, "{call}");
            assert_eq!(most(&case, "undelivered"), Some(0), "{call}");
            assert!(most(&case, "drained_bytes") > Some(200 * 1_024), "{:?}", case.measures);
            assert_eq!(note(&call, KEEPS, variant), None);
        }
    }

    #[test]
    fn a_cut_is_seen_while_nothing_is_read() {
        // More than the kernels' buffers hold.
        let flags = "--variant zero-window-qos1 --for 4s --size 16384";
        let call = against("cut-after-500ms", flags).expect_exit(0);
        let case = call.case("zero-window-qos1", "5.0");
        assert_eq!(case.fact("cut", "while it did not read"), 1, "{call}");
        assert!(most(&case, "cut_after_us") > Some(500_000), "{:?}", case.measures);
        assert!(note(&call, KEEPS, "zero-window-qos1").unwrap().contains("is cut"), "{call}");
    }
}

#[test]
fn mistakes_in_the_flags_of_a_mode_are_reported_together() {
    let call = flood("unacked-subscriber", "--variant k2-qos1 --messages 0 --size 3");
    call.assert_mistake(&["--variant", "k3-qos1", "--messages", "--size"]);
    let call = flood("unacked-subscriber", "--variant k1-qos1 -V 3.1.1");
    call.assert_mistake(&["3.1.1 has no Receive Maximum"]);
    flood("slow-consumer", "--for 0s").assert_mistake(&["--for", "such as 10s"]);
}
