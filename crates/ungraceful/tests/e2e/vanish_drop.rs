//! Clients that disconnect, knock, or are lost all at once: the conforming broker passes every check, each broken rule violates the
//! right check and no other, and real brokers behave as observed before.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, Sessions, Wills};

use crate::support::{Call, VERSIONS, call, call_at};

const TOOL: &str = "ungraceful-vanish";

/// Long waits and few bystanders, for busy machines.
const PATIENT: &str = "--reaction-timeout 20s --will-wait 20s --bystanders 1 --bystander-rate 20";

/// A mode against a broker with this script.
fn run(script: Script, mode: &str, arguments: &str) -> Call {
    call_at(script, TOOL, mode, &format!("{PATIENT} {arguments}"))
}

/// A mode against Mosquitto.
fn run_on_mosquitto(mode: &str, arguments: &str) -> Call {
    call(TOOL, mode, &format!("{PATIENT} --spawn mosquitto {arguments}"))
}

/// A drop of three clients in each of these variants, on this broker.
fn drop(script: Script, variants: &str, arguments: &str) -> Call {
    run(script, "drop", &format!("--attempts 3 --variant {variants} {arguments}"))
}

fn with_wills(wills: Wills) -> Script {
    Script { wills, ..Script::default() }
}

fn with_sessions(sessions: Sessions) -> Script {
    Script { sessions, ..Script::default() }
}

#[test]
fn a_conforming_broker_passes_every_check_of_the_drop() {
    // Intervals longer than the delays of a busy machine.
    let intervals = "--will-delay 10s --short-expiry 16s";
    let call = run(Script::default(), "drop", &format!("--attempts 3 {intervals}"));
    call.assert_clean();
    let record = call.record();
    // Five variants are in both versions, six in 5.0 alone.
    assert_eq!(record.cases.len(), 16);
    for case in &record.cases {
        let expected = match case.case.variant.as_str() {
            "half-close" | "disconnect" | "disconnect-with-will" => Outcome::Closed,
            _ => Outcome::Left,
        };
        assert_eq!(case.outcome(expected), 3, "{:?}\n{call}", case.case);
    }
    let will = |variant: &str, version: &str| call.case(variant, version).will.unwrap();
    assert_eq!((will("rst", "5.0").due_and_seen, will("fin", "3.1.1").due_and_seen), (3, 3));
    assert_eq!((will("disconnect", "5.0").due, will("disconnect", "5.0").not_due_and_seen), (0, 0));
    assert_eq!(will("disconnect-with-will", "5.0").due_and_seen, 3);
    // A Will with a delay of 10 s, and one of a session that ends after 16 s: not earlier, measured from the write.
    assert!(will("will-delay", "5.0").will_time.min_us >= Some(9_000_000), "{call}");
    assert!(will("will-at-session-end", "5.0").will_time.min_us >= Some(14_400_000), "{call}");
    assert_eq!(will("back-before-will-delay", "5.0").not_due_and_seen, 0);
    // Three queued messages of QoS 1 for each of three clients, and one more published after its return.
    let messages = call.case("rst", "5.0").messages;
    assert_eq!((messages[&1].delivered, messages[&2].delivered), (12, 12), "{messages:?}");
    assert_eq!(call.case("fin", "3.1.1").fact("waiting_messages", "all"), 3);
    let present = |variant: &str, value: &str| call.case(variant, "5.0").fact("session_present", value);
    assert_eq!((present("before-expiry", "yes"), present("after-expiry", "no")), (3, 3));
    let back = &call.case("before-expiry", "5.0").measures["returned_after_us"];
    assert!(back.min >= Some(10_800_000), "{back:?}");
    let past = &call.case("after-expiry", "5.0").measures["back_past_end_us"];
    assert!(past.min >= Some(9_000_000), "{past:?}");
}

#[test]
fn mqtt5_3_1_2_8_a_missing_or_early_will_is_violated() {
    let check = "publishes_the_will";
    let never = drop(with_wills(Wills::Never), "fin,rst", "");
    never.assert_caught(check, &["MQTT 5.0 [MQTT-3.1.2-8]", "MQTT 3.1.1 [MQTT-3.1.2-8]"]);
    let early = drop(with_wills(Wills::IgnoreDelay), "will-delay", "--will-delay 15s");
    early.assert_caught(check, &["MQTT 5.0 [MQTT-3.1.2-8]"]);
    assert_eq!(early.only_case().fact("will_came", "too early"), 3);
}

#[test]
fn mqtt5_3_1_2_10_a_will_that_is_sent_twice_is_violated() {
    let call = drop(with_wills(Wills::Twice), "rst", "");
    call.assert_caught(
        "publishes_the_will_once",
        &["MQTT 5.0 [MQTT-3.1.2-10]", "MQTT 3.1.1 [MQTT-3.1.2-10]"],
    );
}

#[test]
fn mqtt5_3_14_4_3_a_will_after_disconnect_is_violated() {
    let call = drop(with_wills(Wills::EvenAfterDisconnect), "disconnect", "");
    call.assert_caught("withholds_the_will", &["MQTT 5.0 [MQTT-3.14.4-3]", "MQTT 3.1.1 [MQTT-3.14.4-3]"]);
}

#[test]
fn a_will_of_an_earlier_connection_is_no_violation() {
    let call = drop(with_wills(Wills::OfEarlierConnection), "disconnect,rst", "");
    call.assert_violates_nothing();
    for version in VERSIONS {
        assert_eq!(call.conclusion("withholds_the_will", "disconnect", version), Inconclusive);
        assert_eq!(call.conclusion("publishes_the_will", "rst", version), Holds, "{call}");
    }
}

#[test]
fn a_single_forbidden_will_is_no_violation() {
    let one = drop(with_wills(Wills::EvenAfterDisconnect), "disconnect", "--attempts 1");
    one.assert_violates_nothing();
    one.assert_prints(&["at least 3 attempts must show the same"]);
}

#[test]
fn mqtt5_3_1_2_23_a_broker_that_forgets_the_session_is_violated() {
    let call = drop(with_sessions(Sessions::Forget), "fin", "");
    call.assert_violates(&["keeps_the_session"]);
    call.assert_concludes("keeps_the_session", "fin", Violated);
    assert_eq!(call.conclusion("delivers_what_waited", "fin", "5.0"), Inconclusive, "it has gone with it");
}

#[test]
fn mqtt5_4_1_0_2_a_session_kept_too_long_is_violated() {
    let check = "ends_the_session";
    let call = drop(with_sessions(Sessions::NeverExpire), "after-expiry", "--short-expiry 3s");
    call.assert_caught(check, &["MQTT 5.0 [MQTT-4.1.0-2]"]);
    let ends = drop(with_sessions(Sessions::NeverExpire), "session-ends", "-V 3.1.1");
    ends.assert_caught(check, &["MQTT 3.1.1 [MQTT-3.1.2-6]"]);
    let lies = drop(with_sessions(Sessions::LiePresent), "session-ends", "");
    lies.assert_caught(check, &["MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-3]"]);
    let soon = "--short-expiry 3s --grace 1s";
    let call = drop(with_sessions(Sessions::NeverExpire), "after-expiry", soon).expect_exit(0);
    assert_eq!(call.differing(), [check]);
}

#[test]
fn mqtt5_3_2_2_3_denying_an_existing_session_is_violated() {
    let call = drop(with_sessions(Sessions::LieAbsent), "rst", "");
    call.assert_caught(
        "reports_session_present_correctly",
        &["MQTT 5.0 [MQTT-3.2.2-3]", "MQTT 3.1.1 [MQTT-3.2.2-2]"],
    );
    assert_eq!(call.conclusion("keeps_the_session", "rst", "5.0"), Holds, "it was kept: {call}");
    assert_eq!(call.conclusion("delivers_what_waited", "rst", "5.0"), Holds, "{call}");
}

#[test]
fn mqtt5_4_5_0_1_losing_queued_messages_is_violated() {
    let call = drop(with_sessions(Sessions::LoseQueued), "rst", "");
    call.assert_caught("delivers_what_waited", &["MQTT 5.0 [MQTT-4.5.0-1]", "MQTT 3.1.1 [MQTT-3.1.2-5]"]);
}

#[test]
fn a_broker_that_keeps_some_queued_messages_is_not_violated() {
    let script = Script { offline_queue: "drop-newest-over-2".parse().unwrap(), ..Script::default() };
    let call = drop(script, "rst", "").expect_exit(0);
    let case = call.case("rst", "5.0");
    // Two of three messages of each QoS, or of six in all.
    assert_eq!(case.fact("waiting_messages", "some"), 3, "{call}");
    assert_eq!(case.measures["held_back"].sum, 6, "{call}");
    let noted = call.verdicts("delivers_what_waited");
    assert!(!noted.is_empty());
    for verdict in noted {
        assert!(verdict.evidence.contains("its queue may have a limit"), "{verdict:?}");
    }
}

#[test]
fn mqtt5_4_6_0_5_reordering_queued_messages_is_violated() {
    // Bystanders have no queued messages.
    let script = Script { subscriber_flow: "reorder-queue".parse().unwrap(), ..Script::default() };
    let call = drop(script, "rst", "--bystanders 0");
    call.assert_violates(&["delivers_in_order"]);
    assert_eq!(call.conclusion("delivers_in_order", "rst", "5.0"), Violated);
}

#[test]
fn a_few_clients_that_drop_are_done_soon() {
    // Six attempts with a short fault phase, as in the tour.
    let call = run(Script::default(), "drop", "--variant rst,fin,disconnect --attempts 1");
    call.assert_clean();
    assert_eq!(call.record().attempts.finished, 6);
}

#[test]
fn a_broker_that_waits_for_ever_for_a_connect_is_not_violated() {
    let call = run(Script::default(), "knock", "--attempts 3 --wait 2s").expect_exit(0);
    assert_eq!(call.differing(), ["bounds_the_whole_connect", "gives_up_on_silence"], "{call}");
    call.assert_prints(&["still open"]);
    let case = |variant: &str| call.case(variant, "5.0");
    assert_eq!((case("closes").outcome(Outcome::Left), case("silent").outcome(Outcome::NoReaction)), (3, 3));
    assert_eq!(case("drip").fact("dripped_connect", "accepted"), 3);
    for variant in ["closes", "silent", "drip"] {
        for version in VERSIONS {
            let case = call.case(variant, version);
            assert_eq!(case.fact("honest_client", "accepted"), 3, "{call}");
            assert_eq!(case.measures["honest_connack_us"].count, 3);
        }
    }
    // They all start within a second and stay for two: nearly all are open at the same time.
    assert!(case("silent").measures["held_open"].max >= Some(6), "{:?}", case("silent").measures);
    let dripped = &case("drip").measures["dripped_for_us"];
    assert!(dripped.min >= Some(1_800_000), "{dripped:?}");
}

#[test]
fn bounding_the_connect_differs_from_bounding_the_gap() {
    let with = |connect_wait: &str| {
        let script = Script { connect_wait: connect_wait.parse().unwrap(), ..Script::default() };
        run(script, "knock", "--attempts 2 --wait 5s --variant silent,drip -V 5")
    };
    let whole = with("whole-1s");
    whole.assert_clean();
    assert_eq!(whole.case("drip", "5.0").fact("dripped_connect", "cut"), 2);
    let closed = whole.case("silent", "5.0");
    assert!(closed.time_to_close.min_us >= Some(900_000), "{closed:?}");
    // Bytes are sent 200 ms apart, and a busy machine may be late.
    let gap = with("gap-2s").expect_exit(0);
    assert_eq!(gap.differing(), ["bounds_the_whole_connect"], "{gap}");
    gap.assert_prints(&["only the gap between two bytes is limited"]);
}

#[test]
fn mqtt5_3_14_0_1_a_disconnect_before_any_connack_is_violated() {
    let script = Script { connect_wait: "then-disconnect-500ms".parse().unwrap(), ..Script::default() };
    let call = run(script, "knock", "--attempts 2 --wait 4s --variant silent -V 5");
    call.assert_caught("sends_no_disconnect_before_connack", &["MQTT 5.0 [MQTT-3.14.0-1]"]);
    assert_eq!(call.only_case().disconnect_codes.get(&0x8D), Some(&2));
}

fn will_storm(script: Script, arguments: &str) -> Call {
    run(script, "will-storm", arguments)
}

#[test]
fn a_conforming_broker_publishes_and_retains_every_will() {
    let call = will_storm(Script::default(), "--count 70 --will-delay 12s");
    call.assert_clean();
    let record = call.record();
    assert_eq!(record.cases.len(), 7, "three variants in both versions, one in 5.0 alone");
    for case in &record.cases {
        assert_eq!(case.outcome(Outcome::Left), 10, "{call}");
    }
    let will = call.case("plain", "5.0").will.unwrap();
    assert_eq!((will.due, will.due_and_seen, will.will_time.count), (10, 10, 10));
    assert_eq!(call.case("retained", "3.1.1").fact("retained", "offline"), 10);
    assert_eq!(call.case("back", "5.0").fact("retained", "online"), 10);
    let delayed = call.case("back-will-delay", "5.0");
    assert_eq!((delayed.fact("retained", "online"), delayed.will.unwrap().not_due_and_seen), (10, 0));
    // All were lost at nearly the same instant.
    let due: Vec<u64> = call.attempts().iter().map(|attempt| attempt.due_us).collect();
    let spread = due.iter().max().unwrap() - due.iter().min().unwrap();
    assert!(spread <= 10_000, "70 clients at 10,000 per second: {spread} µs");
}

#[test]
fn a_storm_on_a_misbehaving_broker_violates_the_right_check() {
    let never = will_storm(with_wills(Wills::Never), "--count 6 --variant plain");
    never.assert_caught("publishes_every_will", &["MQTT 5.0 [MQTT-3.1.2-8]", "MQTT 3.1.1 [MQTT-3.1.2-8]"]);
    let loose = will_storm(with_wills(Wills::NeverRetained), "--count 6 --variant retained");
    loose.assert_caught("retains_the_will", &["MQTT 5.0 [MQTT-3.1.2-15]", "MQTT 3.1.1 [MQTT-3.1.2-17]"]);
    let delayed = "--count 4 --variant back-will-delay --will-delay 20s";
    let early = will_storm(with_wills(Wills::IgnoreDelay), delayed);
    early.assert_caught("withholds_the_will_of_who_is_back", &["MQTT 5.0 [MQTT-3.1.3-9]"]);
}

#[test]
fn an_offline_message_after_online_is_reported() {
    let script = with_wills("late-2s".parse().unwrap());
    let call = will_storm(script, "--count 4 --variant back");
    assert_eq!(call.exit(), 0, "no numbered statement orders the two: {call}");
    assert_eq!(call.differing(), ["leaves_online_behind"], "{call}");
    for version in VERSIONS {
        let case = call.case("back", version);
        assert_eq!((case.fact("retained", "offline"), case.fact("offline_after_online", "yes")), (2, 2));
    }
    let twice = will_storm(with_wills(Wills::Twice), "--count 4 --variant plain").expect_exit(0);
    assert_eq!(twice.differing(), ["publishes_every_will"]);
}

#[test]
fn mosquitto_drops_as_the_standard_has_it() {
    let intervals = "--will-delay 10s --short-expiry 16s";
    let call = run_on_mosquitto("drop", &format!("--attempts 2 {intervals}"));
    let record = call.record();
    assert_eq!(record.cases.len(), 16, "{call}");
    call.assert_violates_nothing();
    for (variant, version) in [("rst", "5.0"), ("fin", "3.1.1"), ("half-close", "5.0")] {
        assert_eq!(call.conclusion("publishes_the_will", variant, version), Holds, "{call}");
        assert_eq!(call.conclusion("keeps_the_session", variant, version), Holds, "{call}");
        assert_eq!(call.conclusion("delivers_what_waited", variant, version), Holds, "{call}");
    }
    assert_eq!(call.conclusion("ends_the_session", "after-expiry", "5.0"), Holds, "{call}");
    if record.broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
        assert_eq!(call.case("session-ends", "5.0").fact("will_came", "after its delay"), 2, "{call}");
    }
}

#[test]
fn mosquitto_waits_longer_for_a_connect_than_a_short_run() {
    let call = run_on_mosquitto("knock", "--attempts 3 --wait 2s").expect_exit(0);
    assert_eq!(call.differing(), ["bounds_the_whole_connect", "gives_up_on_silence"], "{call}");
}

#[test]
fn mosquitto_publishes_every_will_of_a_storm() {
    let call = run_on_mosquitto("will-storm", "--count 140");
    call.assert_violates_nothing();
    for version in VERSIONS {
        assert_eq!(call.conclusion("publishes_every_will", "plain", version), Holds, "{call}");
        assert_eq!(call.conclusion("retains_the_will", "retained", version), Holds, "{call}");
    }
}

#[test]
fn the_embedded_broker_supports_drop_and_knock() {
    let drop = call(TOOL, "drop", "--attempts 1 --variant rst,disconnect");
    assert_eq!(drop.record().cases.len(), 4, "{drop}");
    let knock = call(TOOL, "knock", "--attempts 1 --wait 500ms");
    assert_eq!(knock.record().cases.len(), 6, "{knock}");
}

#[test]
fn mistakes_in_flags_are_reported_together() {
    let call = call(TOOL, "drop", "--variant gone --will-delay 1s --short-expiry 2500ms --grace 0");
    call.assert_mistake(&[
        "unknown variant \"gone\"",
        "--will-delay",
        "give 3s or more",
        "--short-expiry",
        "--grace",
    ]);
    let call = self::call(TOOL, "drop", "--variant will-delay -V 3.1.1");
    call.assert_mistake(&["no Will Delay Interval"]);
    let call = self::call(TOOL, "drop", "--away 3s -x 4s");
    call.assert_mistake(&[
        "well before the 3 s of --will-delay",
        "--session-expiry-interval: 4 s would be over before",
    ]);
    let call = self::call(TOOL, "knock", "--wait 0 --variant loud");
    call.assert_mistake(&["--wait", "unknown variant \"loud\""]);
    self::call(TOOL, "will-storm", "--attempts 3 -c 2").assert_mistake(&["each client acts once", "--count"]);
}
