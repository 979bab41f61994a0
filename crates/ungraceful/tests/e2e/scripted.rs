//! Every reaction class and every verdict, against the scripted broker.

use ungraceful_record::reaction::{Outcome, ReactionKind};
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, SecondConnect, Wills};

use crate::support::{Call, VERSIONS, double_connect_at};

const CLOSES: &str = "closes_on_second_connect";
const ONE_CONNACK: &str = "sends_one_connack";
const WILL: &str = "publishes_the_will";
const SECOND_ID: &str = "binds_no_second_client_id";

/// One variant, three attempts, both versions, against a broker with this reaction to a second CONNECT.
fn against(reaction: &str, variant: &str) -> Call {
    let second_connect: SecondConnect = reaction.parse().unwrap();
    let script = Script { second_connect, ..Script::default() };
    double_connect_at(script, &format!("--variant {variant} --attempts 3"))
}

fn assert_all(call: &Call, version: &str, outcome: Outcome, sequence: &str) {
    let case = call.case("identical", version);
    assert_eq!(case.outcome(outcome), 3, "{call}");
    assert_eq!(case.sequences.get(sequence), Some(&3), "{:?}", case.sequences);
}

#[test]
fn a_conforming_broker_passes_every_check() {
    let broker = ScriptedBroker::start(Script::default());
    let call = double_connect_at(broker.address(), "--attempts 3 --delay 100ms").expect_exit(0);
    let record = call.record();
    assert_eq!(record.cases.len(), 10);
    for case in &record.cases {
        assert_eq!(case.outcome(Outcome::Closed), 3, "{:?}", case.case);
        let expected = if case.case.version == "5.0" { "DISCONNECT 0x82, FIN" } else { "FIN" };
        assert_eq!(case.sequences.get(expected), Some(&3), "{:?}", case.sequences);
    }
    assert!(every(&record.verdicts, |verdict| verdict.conclusion == Holds), "{call}");
    // Checks of the run itself may have notes on a busy machine.
    let of_the_broker = record.verdicts.iter().filter(|verdict| verdict.case.is_some());
    assert!(every(of_the_broker, |verdict| verdict.differs.is_none()), "{call}");
    // Every attempt is in the file, once, with instants in the order of what happened.
    let mut attempts = call.attempts();
    attempts.sort_by_key(|attempt| attempt.attempt);
    assert!(attempts.iter().map(|attempt| attempt.attempt).eq(0..30), "{attempts:?}");
    for attempt in &attempts {
        assert!(attempt.due_us <= attempt.started_us);
        assert!(attempt.started_us <= attempt.established_us.unwrap());
        assert!(attempt.established_us <= attempt.connack_us.min(attempt.provoked_us));
        assert!(every(&attempt.reactions, |reaction| Some(reaction.at_us) >= attempt.provoked_us));
    }
    // The broker counted as many second CONNECTs.
    assert_eq!(broker.log().second_connects(), 30);
}

#[test]
fn disconnect_is_read_with_and_without_a_property_length() {
    for reaction in ["disconnect", "disconnect-short"] {
        let call = against(reaction, "identical").expect_exit(0);
        assert_all(&call, "5.0", Outcome::Closed, "DISCONNECT 0x82, FIN");
        assert_all(&call, "3.1.1", Outcome::Closed, "FIN");
        assert_eq!(call.case("identical", "5.0").disconnect_codes.get(&0x82), Some(&3));
    }
}

#[test]
fn fin_and_rst_are_distinguished_and_both_close() {
    let call = against("fin", "identical");
    assert_all(&call, "5.0", Outcome::Closed, "FIN");
    assert_eq!(call.exit(), 0, "{call}");
    assert!(every(&call.verdicts("reports_protocol_error"), |verdict| verdict.differs.is_some()));
    let call = against("rst", "identical");
    assert_all(&call, "5.0", Outcome::Reset, "RST");
    assert_all(&call, "3.1.1", Outcome::Reset, "RST");
    assert_eq!(call.exit(), 0, "{call}");
}

#[test]
fn mqtt5_3_1_0_2_a_second_connack_on_an_open_connection_is_violated() {
    let call = against("second-connack-then-serve", "identical").expect_exit(1);
    assert_all(&call, "5.0", Outcome::Tolerated, "second CONNACK 0x00, still served");
    call.assert_concludes(CLOSES, "identical", Violated);
    assert_eq!(call.conclusion(ONE_CONNACK, "identical", "5.0"), Violated);
    assert_eq!(call.conclusion(ONE_CONNACK, "identical", "3.1.1"), Holds, "no statement of 3.1.1 carries it");
    let citations: Vec<_> =
        call.verdicts(CLOSES).into_iter().filter_map(|verdict| verdict.citation).collect();
    assert_eq!(citations, ["MQTT 3.1.1 [MQTT-3.1.0-2]", "MQTT 5.0 [MQTT-3.1.0-2]"]);
    assert!(call.stdout().contains("MQTT 5.0 [MQTT-3.2.0-2]") && call.stdout().contains("reproduce: "));
}

#[test]
fn mqtt5_3_2_0_2_a_second_connack_before_the_close_is_violated() {
    let call = against("second-connack-then-fin", "identical");
    call.assert_violates(&[ONE_CONNACK]);
    assert_all(&call, "5.0", Outcome::Closed, "second CONNACK 0x00, FIN");
}

#[test]
fn mqtt3_1_1_3_1_0_2_serving_after_a_second_connect_is_violated() {
    let call = against("ignore", "identical");
    call.assert_violates(&[CLOSES]);
    assert_all(&call, "3.1.1", Outcome::Tolerated, "still served");
    assert!(call.case("identical", "3.1.1").reaction_time.count == 0, "tolerating is no reaction");
}

#[test]
fn silence_is_inconclusive() {
    for reaction in ["silence", "disconnect-then-silence"] {
        let call = against(reaction, "identical").expect_exit(3);
        for version in VERSIONS {
            assert_eq!(call.case("identical", version).outcome(Outcome::NoReaction), 3);
            assert_eq!(call.conclusion(CLOSES, "identical", version), Inconclusive);
        }
    }
}

#[test]
fn half_a_packet_and_garbage_are_recognised() {
    let call = against("half-packet-then-fin", "identical");
    assert_all(&call, "5.0", Outcome::Closed, "half a packet, FIN");
    let call = against("garbage-then-fin", "identical");
    assert_all(&call, "5.0", Outcome::Closed, "bytes that are no packet, FIN");
    assert_eq!(call.conclusion(CLOSES, "identical", "5.0"), Holds, "it closed, whatever else it said");
    let seen = call.attempts();
    let garbage =
        seen.iter().flat_map(|attempt| &attempt.reactions).find(|seen| seen.kind == ReactionKind::Garbage);
    assert!(garbage.unwrap().detail.as_ref().unwrap().starts_with("ff"), "the bytes are the evidence");
    assert!(call.verdicts("sends_nothing_else").iter().any(|verdict| verdict.differs.is_some()), "{call}");
}

#[test]
fn a_late_close_is_a_close_with_its_time() {
    let call = against("close-after-1200ms", "identical").expect_exit(0);
    for version in VERSIONS {
        let times = call.case("identical", version).time_to_close;
        // A histogram has three digits, and the time begins when the write returns, possibly after the broker has read.
        assert!(times.count == 3 && times.min_us.unwrap() >= 1_150_000, "{times:?}");
    }
}

#[test]
fn another_reason_code_than_0x82_differs() {
    let call = against("disconnect-0x81", "identical").expect_exit(0);
    assert_eq!(call.case("identical", "5.0").disconnect_codes.get(&0x81), Some(&3));
    let verdicts = call.verdicts("reports_protocol_error");
    assert!(every(&verdicts, |verdict| verdict.differs.as_ref().is_some_and(|note| note.contains("0x81"))));
}

#[test]
fn a_take_over_by_the_clients_own_second_connect_is_judged_whoever_named_the_client() {
    for flags in ["", "--client-id device-%i"] {
        let script = Script { second_connect: "disconnect-0x8E".parse().unwrap(), ..Script::default() };
        let call =
            double_connect_at(script, &format!("--variant identical --attempts 3 {flags}")).expect_exit(0);
        assert_eq!(call.case("identical", "5.0").outcome(Outcome::Closed), 3, "{call}");
        assert_eq!(call.verdicts(CLOSES).len(), 2, "{call}");
        assert!(every(call.verdicts(CLOSES), |verdict| verdict.conclusion == Holds), "{call}");
    }
}

#[test]
fn a_disconnect_on_a_3_1_1_connection_is_shown_and_differs() {
    let call = against("disconnect-even-on-3.1.1", "identical").expect_exit(0);
    assert_all(&call, "3.1.1", Outcome::Closed, "DISCONNECT 0x82, FIN");
    assert!(call.verdicts("sends_no_disconnect_on_3_1_1")[0].differs.is_some());
}

#[test]
fn a_second_client_id_that_is_live_or_has_a_session_is_reported() {
    let call = against("adopt-second-client-id", "other-client-id");
    for version in VERSIONS {
        assert_eq!(call.case("other-client-id", version).fact("second_client_id", "live"), 3, "{call}");
    }
    let call = against("keep-session-of-second-client-id", "other-client-id");
    for version in VERSIONS {
        assert_eq!(call.case("other-client-id", version).fact("second_client_id", "session"), 3, "{call}");
    }
    assert!(every(&call.verdicts(SECOND_ID), |verdict| verdict.differs.is_some()));
    let call = against("fin", "other-client-id");
    for version in VERSIONS {
        assert_eq!(call.case("other-client-id", version).fact("second_client_id", "none"), 3, "{call}");
    }
    assert!(every(&call.verdicts(SECOND_ID), |verdict| verdict.differs.is_none()));
}

#[test]
fn connects_in_one_segment_do_not_double_the_connack() {
    let call = against("second-connack-then-fin", "same-segment");
    assert_eq!(call.case("same-segment", "5.0").attempts_with_second_connack, 3, "{call}");
    let call = against("fin", "same-segment");
    let case = call.case("same-segment", "5.0");
    assert_eq!((case.attempts_with_second_connack, case.sequences.get("FIN")), (0, Some(&3)), "{call}");
}

#[test]
fn too_few_clients_for_the_rate_are_not_a_slow_generator() {
    let second_connect = "close-after-1500ms".parse().unwrap();
    let script = Script { second_connect, ..Script::default() };
    let flags = "--variant identical --attempts 20 -R 40 -c 2 --slip-limit 3s";
    let call = double_connect_at(script, flags).expect_exit(3);
    let record = call.record();
    assert!(record.generator.attempts_waited_for_a_client > 0 && record.attempts.dropped > 0, "{call}");
    assert!(record.generator.bottlenecks.is_empty(), "{:?}", record.generator.bottlenecks);
    call.assert_prints(&["raise --count or lower --connrate"]);
}

#[test]
fn a_broker_that_stalls_during_second_connects_is_not_violated() {
    // CONNACK, the answers to every PINGREQ, and the end come only once it goes on.
    let script = Script {
        second_connect: "serve-for-300ms".parse().unwrap(),
        // The preflight connects about 80 times at most.
        stall: "at-connect-150-for-2500ms".parse().unwrap(),
        ..Script::default()
    };
    let flags = "--variant same-segment -V 5 --attempts 200 -R 50 --slip-limit 1s";
    let call = double_connect_at(script, &format!("{flags} --reaction-timeout 2s"));
    call.assert_violates_nothing();
    let case = call.case("same-segment", "5.0");
    assert_eq!(case.outcome(Outcome::Tolerated), 0, "{call}");
    let slowest = call
        .attempts()
        .iter()
        .filter_map(|attempt| attempt.reactions.last()?.at_us.checked_sub(attempt.provoked_us?))
        .max();
    assert!(slowest > Some(2_000_000), "some attempt met the stall: {slowest:?}");
}

fn with_wills(wills: Wills) -> Call {
    let script = Script { wills, ..Script::default() };
    double_connect_at(script, "--variant with-will --attempts 3")
}

#[test]
fn mqtt5_3_1_2_8_a_published_will_holds_and_is_timed() {
    let call = with_wills(Wills::Publish).expect_exit(0);
    let will = call.case("with-will", "5.0").will.unwrap();
    assert_eq!((will.set, will.due, will.due_and_seen, will.will_time.count), (3, 3, 3, 3));
}

#[test]
fn mqtt5_3_1_2_8_a_will_that_never_comes_is_violated() {
    let call = with_wills(Wills::Never);
    call.assert_violates(&[WILL]);
    let will = call.case("with-will", "3.1.1").will.unwrap();
    assert_eq!((will.due, will.due_and_seen), (3, 0));
    assert!(will.shortest_wait_of_unseen_us.unwrap() >= 2_000_000, "{will:?}");
}

#[test]
fn mqtt3_1_1_3_1_2_8_the_second_connects_will_is_violated() {
    let call = with_wills(Wills::OfSecondConnect).expect_exit(1);
    let will = call.case("with-will", "3.1.1").will.unwrap();
    assert_eq!((will.due, will.due_and_seen, will.of_later_connect), (3, 0, 3));
    call.assert_prints(&["the Will of the second CONNECT was published instead"]);
}

#[test]
fn a_will_that_comes_twice_differs() {
    let call = with_wills(Wills::Twice).expect_exit(0);
    assert_eq!(call.case("with-will", "5.0").will.unwrap().more_than_once, 3);
    assert!(every(&call.verdicts(WILL), |verdict| verdict.differs.is_some()));
}

#[test]
fn bystanders_are_slower_in_the_fault_phase_only() {
    // Far more than the lateness of a busy test machine.
    let deliveries = "delay-1500ms-while-attacked-3s".parse().unwrap();
    let script = Script { deliveries, ..Script::default() };
    let call = double_connect_at(script, "--variant identical --attempts 20 -R 20 --recovery 10s");
    let bystanders = call.record().bystanders.unwrap();
    let [baseline, fault, _recovery] = &bystanders.phases[..] else { panic!("{:?}", bystanders.phases) };
    assert!(fault.response_time.max_us.unwrap() >= 1_500_000, "{fault:?}");
    assert!(fault.response_time.p50_us > baseline.response_time.p50_us);
    assert!(bystanders.recovery_time_us.is_some_and(|time| time > 0), "{:?}", bystanders.recovery_time_us);
    assert!(call.verdicts("bystanders_keep_their_pace")[0].differs.is_some(), "{call}");
}

#[test]
fn lost_duplicated_and_reordered_messages_are_counted_exactly() {
    let run = |deliveries: &str| {
        let deliveries = deliveries.parse().unwrap();
        let script = Script { deliveries, ..Script::default() };
        let call = double_connect_at(script, "--variant identical --attempts 3");
        let phases = call.record().bystanders.unwrap().phases;
        let mut sum = ungraceful_record::ledger::LedgerCounts::default();
        for counts in phases.iter().flat_map(|phase| phase.by_qos.values()) {
            sum += counts;
        }
        assert_eq!(sum.offered, sum.sent + sum.dropped + sum.waiting);
        assert_eq!(sum.waiting + sum.dropped + sum.unknown, 0, "{sum:?}");
        (sum, call)
    };
    let (sum, call) = run("lose-every-10");
    // The warm-up is not counted, so the first of ten is not where the baseline begins: one more or less a pair.
    assert!(sum.lost.abs_diff(sum.sent / 10) <= 9 && sum.delivered + sum.lost == sum.sent, "{sum:?}");
    call.assert_prints(&["ACKNOWLEDGED BUT LOST"]);
    let (sum, _) = run("duplicate-every-10");
    assert!(sum.lost == 0 && sum.duplicated.abs_diff(sum.sent / 10) <= 9, "{sum:?}");
    let (sum, _) = run("swap-every-10");
    assert!(sum.lost == 0 && sum.reordered.abs_diff(sum.sent / 10) <= 9, "{sum:?}");
}
