//! Clients that fall silent, or nearly: the conforming broker passes every check, each broken rule violates the right check and no
//! other, and real brokers behave as observed before.

use std::time::Duration;

use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Wills};

use crate::idle_proxy::IdleProxy;
use crate::real_brokers::RealBroker;
use crate::support::{Call, VERSIONS, call, call_at};

const TOOL: &str = "ungraceful-vanish";
const CLOSES: &str = "closes_a_silent_connection";
const WAITS: &str = "waits_for_the_keep_alive";
const REASON: &str = "reports_keep_alive_timeout";
const WILL: &str = "publishes_the_will_of_the_silent";
const KEEPS: &str = "keeps_a_client_that_pings_in_time";
const BEARS: &str = "bears_with_a_late_pingreq";

fn script(keep_alive: &str) -> Script {
    Script { keep_alive: keep_alive.parse().unwrap(), ..Script::default() }
}

/// A mode against a broker with this script, with a Keep Alive of 1 s unless the arguments give one.
fn at_scripted(script: Script, mode: &str, arguments: &str) -> Call {
    let quick = "--connrate 100 --attempts 3";
    let keep_alive = if arguments.contains("-k ") { "" } else { "-k 1s" };
    call_at(script, TOOL, mode, &format!("{quick} {keep_alive} {arguments}"))
}

/// The checks that differ, except `CLOSES`: on a busy machine every close may be seen late.
fn noted(call: &Call) -> Vec<String> {
    call.differing().into_iter().filter(|check| check != CLOSES).collect()
}

/// A Keep Alive for tests in which half a second of delay would matter at 1 s.
const WITH_ROOM: &str = "-k 4s";

/// Clients of these variants and versions are closed after at least this many thousandths of their Keep Alive.
fn assert_cut(call: &Call, variants: &[&str], versions: &[&str], at_least_permille: u64) {
    for variant in variants {
        for version in versions {
            let case = call.case(variant, version);
            let ended = case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset);
            assert_eq!(ended, case.finished, "{variant} {version}\n{call}");
            let cut_at = case.measures["cut_at_keep_alive_permille"];
            assert!(cut_at.count == ended && cut_at.min >= Some(at_least_permille), "{cut_at:?}");
            assert_eq!(call.conclusion(CLOSES, variant, version), Holds, "{call}");
        }
    }
}

const ALL: [&str; 3] = ["idle-1s", "half-open-1s", "downlink-1s"];

#[test]
fn a_conforming_broker_closes_every_silent_client_with_its_will() {
    let call = at_scripted(Script::default(), "silence", "-k 1s,2s");
    call.assert_violates_nothing();
    assert_eq!(call.record().cases.len(), 12);
    // 0.05 less than 1.5, for the clocks.
    assert_cut(&call, &ALL, &VERSIONS, 1_450);
    assert_cut(&call, &["idle-2s", "half-open-2s", "downlink-2s"], &VERSIONS, 1_450);
    for variant in ALL {
        let v5 = call.case(variant, "5.0");
        assert_eq!(v5.disconnect_codes.get(&0x8D), Some(&3), "{call}");
        assert_eq!(call.conclusion(REASON, variant, "5.0"), Holds);
        for version in VERSIONS {
            let case = call.case(variant, version);
            let will = case.will.as_ref().unwrap();
            assert_eq!((will.due, will.due_and_seen, will.more_than_once), (3, 3, 0), "{call}");
            assert_eq!(case.measures["will_after_cut_us"].count, 3);
            assert_eq!(case.fact("keep_alive_s", "1"), 3);
            assert_eq!(call.conclusion(WAITS, variant, version), Holds);
        }
    }
    // Four messages in each Keep Alive, and one and a half of those.
    let messages = call.case("downlink-1s", "5.0").measures["downlink_messages"];
    assert!(messages.count == 3 && messages.min >= Some(4), "{messages:?}");
    // The client behind the lost network sent two PINGREQs in each Keep Alive, and received nothing.
    let into_the_void = call.case("half-open-1s", "5.0").measures["pings_into_the_void"];
    assert!(into_the_void.count == 3 && into_the_void.min >= Some(2), "{into_the_void:?}");
    assert!(!call.case("idle-1s", "5.0").measures.contains_key("downlink_messages"));
}

#[test]
fn mqtt5_3_1_2_22_never_closing_is_violated_after_a_long_wait() {
    // A wait of 2 s beyond the deadline is no evidence.
    let call = at_scripted(script("never"), "silence", "").expect_exit(3);
    for (variant, version) in ALL.into_iter().flat_map(|variant| VERSIONS.map(|version| (variant, version))) {
        assert_eq!(call.conclusion(CLOSES, variant, version), Inconclusive);
        assert_eq!(call.case(variant, version).outcome(Outcome::Tolerated), 3, "{call}");
    }
    call.assert_prints(&["--reaction-timeout"]);

    let call = at_scripted(script("never"), "silence", "--reaction-timeout 30s");
    call.assert_violates(&[CLOSES]);
    for verdict in call.verdicts(CLOSES) {
        let version = verdict.case.unwrap().version;
        let number = if version == "5.0" { 22 } else { 24 };
        assert_eq!(verdict.citation, Some(format!("MQTT {version} [MQTT-3.1.2-{number}]")));
        assert_eq!(verdict.conclusion, Violated);
        assert!(verdict.evidence.contains("not cut within 61.5 s") && !verdict.examples.is_empty());
    }
    call.assert_prints(&["reproduce: ungraceful-vanish silence"]);
    call.assert_prints(&["--variant idle-1s -V 5.0"]);
}

#[test]
fn mqtt5_3_1_2_22_keep_alive_refreshed_by_downlink_is_violated() {
    let arguments = "--reaction-timeout 30s --variant idle,downlink";
    let call = at_scripted(script("refreshed-by-downlink"), "silence", arguments);
    call.assert_violates(&[CLOSES]);
    for version in VERSIONS {
        assert_eq!(call.conclusion(CLOSES, "downlink-1s", version), Violated);
        assert_eq!(call.conclusion(CLOSES, "idle-1s", version), Holds);
    }
    let violated = call.violation(CLOSES);
    assert!(violated.evidence.contains("messages were delivered to each client"), "{violated:?}");
}

#[test]
fn closing_at_0_6_of_the_keep_alive_is_violated_only_on_5_0() {
    for policy in ["close-at-percent-60", "fin-at-percent-60"] {
        let call = at_scripted(script(policy), "silence", &format!("{WITH_ROOM} --variant idle,half-open"));
        assert_eq!((call.exit(), call.violated()), (1, vec![WAITS.to_owned()]), "{policy} {call}");
        assert_cut(&call, &["idle-4s", "half-open-4s"], &VERSIONS, 550);
        for variant in ["idle-4s", "half-open-4s"] {
            assert_eq!(call.conclusion(WAITS, variant, "5.0"), Violated);
            assert_eq!(call.conclusion(WAITS, variant, "3.1.1"), Holds);
            assert_eq!(call.case(variant, "3.1.1").fact("cut", "before 1.0"), 3);
        }
        assert!(call.differing().contains(&WAITS.to_owned()), "a note on 3.1.1: {call}");
        let violated = call.violation(WAITS);
        assert!(violated.citation.unwrap().starts_with("MQTT 5.0 §3.1.2.10"));
    }
    // Without bystanders, a close without a DISCONNECT may have any reason.
    let alone = format!("{WITH_ROOM} --variant idle -V 5 --bystanders 0");
    let call = at_scripted(script("fin-at-percent-60"), "silence", &alone);
    assert_eq!(call.conclusion(WAITS, "idle-4s", "5.0"), Inconclusive, "{call}");
}

#[test]
fn closing_a_late_client_at_1_2_of_the_keep_alive_differs() {
    let arguments = format!("{WITH_ROOM} --variant idle,half-open");
    let call = at_scripted(script("close-at-percent-120"), "silence", &arguments).expect_exit(0);
    assert_eq!(noted(&call), [WAITS], "{call}");
    assert_cut(&call, &["idle-4s", "half-open-4s"], &VERSIONS, 1_080);
}

#[test]
fn a_late_close_differs_and_is_not_violated() {
    let call =
        at_scripted(script("close-at-percent-250"), "silence", "--variant idle,half-open").expect_exit(0);
    assert_eq!(call.differing(), [CLOSES], "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &VERSIONS, 2_250);
}

#[test]
fn a_broker_that_sweeps_rarely_is_late_and_not_violated() {
    // It looks 33 s after the connection was accepted. A PINGREQ at 31.5 s, the deadline of --reaction-timeout, would let the
    // client off for as long again.
    let arguments = "--variant idle,half-open --reaction-timeout 30s";
    let call = at_scripted(script("sweep-every-33s"), "silence", arguments);
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    assert!(call.differing().contains(&CLOSES.to_owned()), "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &VERSIONS, 31_000);
}

#[test]
fn a_proxy_that_closes_idle_connections_is_not_the_broker() {
    for (mode, variant, check) in
        [("edge", "0.95", KEEPS), ("edge", "1.25", BEARS), ("silence", "idle", WAITS)]
    {
        let broker = ScriptedBroker::start(Script::default());
        let proxy = IdleProxy::start(broker.address(), Duration::from_secs(3));
        let lasting = if mode == "edge" { "--for 8s" } else { "" };
        let flags = format!("--connrate 100 --attempts 3 -k 4s --variant {variant}");
        let call = call_at(proxy.address, TOOL, mode, &format!("{flags} {lasting}"));
        assert_eq!((call.exit(), call.violated()), (3, Vec::new()), "{call}");
        for verdict in call.verdicts(check) {
            assert_eq!(verdict.conclusion, Inconclusive, "{verdict:?}");
            assert!(verdict.evidence.contains("something between client and broker"), "{verdict:?}");
            assert!(verdict.evidence.contains("cut after 3."), "with the time: {verdict:?}");
        }
        assert_eq!(call.verdicts(check).len(), 2, "{call}");
    }
}

#[test]
fn mosquitto_behind_an_idle_proxy_is_not_violated() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let proxy = IdleProxy::start(broker.address, Duration::from_secs(3));
    let flags = "--connrate 100 --attempts 3 -k 4s --for 8s --variant 0.95";
    let call = call_at(proxy.address, TOOL, "edge", flags);
    assert_eq!((call.exit(), call.violated()), (3, Vec::new()), "{call}");
    call.assert_prints(&["something between client and broker"]);
}

#[test]
fn mqtt5_3_1_2_8_a_missing_will_of_a_silent_client_is_violated() {
    let script = Script { wills: Wills::Never, ..Script::default() };
    let call = at_scripted(script, "silence", "--variant idle,half-open");
    call.assert_violates(&[WILL]);
    let twice = Script { wills: Wills::Twice, ..Script::default() };
    let call = at_scripted(twice, "silence", "--variant idle");
    assert_eq!((call.exit(), noted(&call)), (0, vec![WILL.to_owned()]), "{call}");
}

#[test]
fn mqtt5_3_2_2_21_the_server_keep_alive_applies_to_silent_clients() {
    let with =
        |server_keep_alive_s| Script { server_keep_alive_s: Some(server_keep_alive_s), ..Script::default() };
    let call = at_scripted(with(2), "silence", "--variant idle,half-open -V 5");
    assert_eq!((call.exit(), noted(&call)), (0, Vec::new()), "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &["5.0"], 1_450);
    assert_eq!(call.case("idle-1s", "5.0").fact("keep_alive_s", "2"), 3);
    // Off, or for minutes: no wait and no violation.
    for (server_keep_alive_s, expected) in [(0, "Server Keep Alive 0"), (300, "give --keepalive 300s")] {
        let call = at_scripted(with(server_keep_alive_s), "silence", "--variant idle -V 5").expect_exit(3);
        assert!(call.stdout().contains(expected), "{call}");
    }
}

#[test]
fn a_conforming_broker_leaves_every_client_at_the_edge_alone() {
    let call = at_scripted(Script::default(), "edge", "-k 2s --for 6s");
    call.assert_violates_nothing();
    assert_eq!(call.record().cases.len(), 14);
    for variant in ["0.50-of-2s", "0.75-of-2s", "0.90-of-2s", "0.95-of-2s"] {
        for version in VERSIONS {
            let case = call.case(variant, version);
            // A busy machine that sends or answers late is no violation.
            let fates =
                ["left alone", "cut after we were late ourselves", "cut after the broker was late itself"];
            let known: u64 = fates.iter().map(|fate| case.fact("fate", fate)).sum();
            assert_eq!(known, 3, "{call}");
            assert!(case.measures["pings_answered"].min >= Some(3), "{call}");
            assert_ne!(call.conclusion(KEEPS, variant, version), Violated);
        }
    }
    assert!(call.verdicts(BEARS).len() == 6 && call.verdicts(KEEPS).len() == 8);
}

#[test]
fn closing_a_client_that_pings_in_time_is_violated_on_5_0() {
    for policy in ["close-at-percent-60", "fin-at-percent-60"] {
        let arguments = format!("{WITH_ROOM} --for 8s --variant 0.5,0.75,1.25");
        let call = at_scripted(script(policy), "edge", &arguments);
        assert_eq!(call.violated(), [KEEPS], "{policy} {call}");
        assert_eq!(call.exit(), 1, "{call}");
        let conclusion = |check, variant, version| call.conclusion(check, variant, version);
        assert_eq!(conclusion(KEEPS, "0.75-of-4s", "5.0"), Violated);
        assert_eq!(conclusion(KEEPS, "0.75-of-4s", "3.1.1"), Holds, "a note: 3.1.1 permits it");
        assert_eq!(conclusion(BEARS, "1.25-of-4s", "5.0"), Holds, "a note: the client was late");
        assert_eq!(call.differing(), [BEARS, KEEPS]);
        let cut_at = call.case("0.75-of-4s", "5.0").measures["cut_at_keep_alive_permille"];
        assert!(cut_at.count == 3 && cut_at.min >= Some(550) && cut_at.max < Some(1_000), "{cut_at:?}");
        // Their first PINGREQ was due at 0.75.
        assert_eq!(call.case("0.75-of-4s", "5.0").measures["pings_sent"].sum, 0);
        let violated = call.violation(KEEPS);
        assert!(violated.evidence.contains("0 PINGREQs were sent, 0 answered"), "{violated:?}");
    }
}

#[test]
fn closing_a_client_that_pings_late_differs() {
    let arguments = format!("{WITH_ROOM} --for 8s --variant 0.5,1.45");
    let call = at_scripted(script("close-at-percent-120"), "edge", &arguments);
    call.assert_violates_nothing();
    assert_eq!(call.differing(), [BEARS], "{call}");
    assert_eq!(call.conclusion(KEEPS, "0.50-of-4s", "5.0"), Holds);
}

#[test]
fn mistakes_in_flags_of_silence_and_edge_are_reported_together() {
    let unknown = "unknown variant \"gone\"; choose from idle, half-open, downlink";
    call(TOOL, "silence", "--variant gone -k 1500ms -V 7").assert_mistake(&[
        unknown,
        "--keepalive",
        "unknown MQTT version",
    ]);
    call(TOOL, "edge", "--variant 0.99 --for 30h -k 0").assert_mistake(&[
        "unknown variant \"0.99\"; choose from 0.50",
        "--for",
        "0 turns it off",
    ]);
    let plan = call(TOOL, "silence", "--variant idle,idle -k 1s,1s,1000ms -V 5 --print-plan");
    assert_eq!(plan.stdout().matches("silence idle-1s MQTT 5.0  ").count(), 1, "{plan}");
}

#[test]
fn the_embedded_broker_closes_at_1_5_times_the_keep_alive() {
    let call = call(TOOL, "silence", "--attempts 3 --connrate 50 -k 1s -V 5 --reaction-timeout 30s");
    call.assert_violates_nothing();
    assert_cut(&call, &ALL, &["5.0"], 1_000);
}

/// Silent clients with a Keep Alive of 1 s on a real broker.
fn silent_at(broker: &RealBroker, arguments: &str) -> Call {
    let all = "--attempts 3 --connrate 50 -k 1s --reaction-timeout 30s --will-wait 5s";
    call_at(broker.address, TOOL, "silence", &format!("{all} {arguments}"))
}

#[test]
fn mosquitto_closes_at_its_next_sweep_and_publishes_the_will() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let call = silent_at(&broker, "");
    call.assert_violates_nothing();
    assert_cut(&call, &ALL, &VERSIONS, 1_000);
    assert_eq!(call.conclusions(WILL), [Holds; 6], "{call}");
    if call.record().broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
        assert!(call.differing().contains(&REASON.to_owned()), "{call}");
        assert!(call.differing().contains(&CLOSES.to_owned()), "it is late: {call}");
    }
}

#[test]
fn nats_closes_after_the_keep_alive_and_is_not_violated() {
    let Some(broker) = RealBroker::start("nats") else { return };
    let call = silent_at(&broker, "--bystander-qos 0,1 -V 3.1.1");
    call.assert_not_violated(CLOSES);
    call.assert_not_violated(WAITS);
    assert_cut(&call, &ALL, &["3.1.1"], 950);
    let edge = "--bystander-qos 0,1 -V 3.1.1 -k 1s --for 4s --attempts 3";
    let call = call_at(broker.address, TOOL, "edge", edge);
    call.assert_not_violated(KEEPS);
    call.assert_not_violated(BEARS);
}

#[test]
fn rumqttd_keeps_silent_clients_alive_by_its_own_messages() {
    let Some(broker) = RealBroker::start("rumqttd") else { return };
    // Longer than a busy machine may hold up the messages that keep them alive.
    let patient = "--attempts 3 --connrate 50 -k 3s --reaction-timeout 30s --will-wait 5s";
    let flags = format!("{patient} -V 3.1.1 --variant downlink");
    let call = call_at(broker.address, TOOL, "silence", &flags);
    call.assert_violates(&[CLOSES]);
    assert_eq!(call.only_case().outcome(Outcome::Tolerated), 3, "{call}");
}

#[test]
fn rabbitmq_and_rumqttd_cut_silent_clients() {
    for name in ["rabbitmq", "rumqttd"] {
        let Some(broker) = RealBroker::start(name) else { continue };
        let call = silent_at(&broker, "-V 3.1.1 --variant idle,half-open");
        call.assert_not_violated(CLOSES);
        call.assert_not_violated(WAITS);
        assert_cut(&call, &["idle-1s", "half-open-1s"], &["3.1.1"], 950);
    }
}
