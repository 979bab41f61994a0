//! Clients that fall silent, or nearly: the conforming broker passes every check, each broken rule is caught by the verdict
//! meant for it and by no other, and real brokers do what they were seen to do.

use std::time::Duration;

use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{self, Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Wills};

use crate::idle_proxy::IdleProxy;
use crate::real_brokers::RealBroker;
use crate::support::{Call, call, call_at};

const TOOL: &str = "ungraceful-vanish";
const CLOSES: &str = "closes_a_silent_connection";
const WAITS: &str = "waits_for_the_keep_alive";
const TELLS: &str = "tells_keep_alive_timeout";
const WILL: &str = "publishes_the_will_of_the_silent";
const KEEPS: &str = "keeps_a_client_that_pings_in_time";
const BEARS: &str = "bears_with_a_late_pingreq";

fn script(keep_alive: &str) -> Script {
    Script { keep_alive: keep_alive.parse().unwrap(), ..Script::default() }
}

/// Against a broker with this script; with a Keep Alive of 1 s unless the arguments give others.
fn at_scripted(script: Script, mode: &str, arguments: &str) -> Call {
    let quick = "--connrate 100 --attempts 3";
    let keep_alive = if arguments.contains("-k ") { "" } else { "-k 1s" };
    call_at(script, TOOL, mode, &format!("{quick} {keep_alive} {arguments}"))
}

/// The checks that hold with a note, but for one: on a busy machine every cut may be seen late.
fn noted(call: &Call) -> Vec<String> {
    call.differing().into_iter().filter(|check| check != CLOSES).collect()
}

/// Keep Alive of the tests in which a time must not be seen too late: half a second more would matter at 1 s.
const WITH_ROOM: &str = "-k 4s";

/// Clients of these variants on both versions are cut after so many thousandths of their Keep Alive at least.
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
const BOTH: [&str; 2] = ["3.1.1", "5.0"];

#[test]
fn a_conforming_broker_cuts_every_silent_client_tells_it_and_publishes_its_will() {
    let call = at_scripted(Script::default(), "silence", "-k 1s,2s");
    call.assert_violates_nothing();
    assert_eq!(call.record().cases.len(), 12);
    // Half a tenth less than 1.5, for the clocks.
    assert_cut(&call, &ALL, &BOTH, 1_450);
    assert_cut(&call, &["idle-2s", "half-open-2s", "downlink-2s"], &BOTH, 1_450);
    for variant in ALL {
        let v5 = call.case(variant, "5.0");
        assert_eq!(v5.disconnect_codes.get(&0x8D), Some(&3), "{call}");
        assert_eq!(call.conclusion(TELLS, variant, "5.0"), Holds);
        for version in BOTH {
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
    // The client beyond the lost network kept its word, twice in each Keep Alive, and heard of nothing.
    let into_the_void = call.case("half-open-1s", "5.0").measures["pings_into_the_void"];
    assert!(into_the_void.count == 3 && into_the_void.min >= Some(2), "{into_the_void:?}");
    assert!(!call.case("idle-1s", "5.0").measures.contains_key("downlink_messages"));
}

#[test]
fn mqtt5_3_1_2_22_a_broker_that_never_cuts_is_violated_by_whom_has_waited_long_enough() {
    // Those who waited for 2 s beyond the deadline say nothing, whatever it does later.
    let call = at_scripted(script("never"), "silence", "").expect_exit(3);
    for (variant, version) in ALL.into_iter().flat_map(|variant| BOTH.map(|version| (variant, version))) {
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
fn mqtt5_3_1_2_22_a_broker_that_lets_its_own_messages_keep_a_client_alive_is_violated_there_alone() {
    let arguments = "--reaction-timeout 30s --variant idle,downlink";
    let call = at_scripted(script("refreshed-by-downlink"), "silence", arguments);
    call.assert_violates(&[CLOSES]);
    for version in BOTH {
        assert_eq!(call.conclusion(CLOSES, "downlink-1s", version), Violated);
        assert_eq!(call.conclusion(CLOSES, "idle-1s", version), Holds);
    }
    let accused = call.verdicts(CLOSES).into_iter().find(|verdict| verdict.conclusion == Violated).unwrap();
    assert!(accused.evidence.contains("messages were delivered to each client"), "{accused:?}");
}

#[test]
fn a_broker_that_cuts_at_0_6_times_the_keep_alive_is_violated_on_5_0_and_noted_on_3_1_1_which_permits_it() {
    for policy in ["close-at-percent-60", "fin-at-percent-60"] {
        let call = at_scripted(script(policy), "silence", &format!("{WITH_ROOM} --variant idle,half-open"));
        assert_eq!((call.exit(), call.violated()), (1, vec![WAITS.to_owned()]), "{policy} {call}");
        assert_cut(&call, &["idle-4s", "half-open-4s"], &BOTH, 550);
        for variant in ["idle-4s", "half-open-4s"] {
            assert_eq!(call.conclusion(WAITS, variant, "5.0"), Violated);
            assert_eq!(call.conclusion(WAITS, variant, "3.1.1"), Holds);
            assert_eq!(call.case(variant, "3.1.1").fact("cut", "before 1.0"), 3);
        }
        assert!(call.differing().contains(&WAITS.to_owned()), "a note on 3.1.1: {call}");
        let accused =
            call.verdicts(WAITS).into_iter().find(|verdict| verdict.conclusion == Violated).unwrap();
        assert!(accused.citation.unwrap().starts_with("MQTT 5.0 §3.1.2.10"));
    }
    // Without bystanders, a cut without a word may have any reason.
    let alone = format!("{WITH_ROOM} --variant idle -V 5 --bystanders 0");
    let call = at_scripted(script("fin-at-percent-60"), "silence", &alone);
    assert_eq!(call.conclusion(WAITS, "idle-4s", "5.0"), Inconclusive, "{call}");
}

#[test]
fn a_broker_that_cuts_at_1_2_times_the_keep_alive_differs_and_is_not_violated() {
    let arguments = format!("{WITH_ROOM} --variant idle,half-open");
    let call = at_scripted(script("close-at-percent-120"), "silence", &arguments).expect_exit(0);
    assert_eq!(noted(&call), [WAITS], "{call}");
    assert_cut(&call, &["idle-4s", "half-open-4s"], &BOTH, 1_080);
}

#[test]
fn a_broker_that_cuts_late_is_told_of_and_not_violated() {
    let call =
        at_scripted(script("close-at-percent-250"), "silence", "--variant idle,half-open").expect_exit(0);
    assert_eq!(call.differing(), [CLOSES], "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &BOTH, 2_250);
}

#[test]
fn a_broker_that_looks_rarely_and_lets_off_who_sends_a_pingreq_is_late_and_not_violated() {
    // It looks 33 s after the connection was accepted. A PINGREQ at 31.5 s, the deadline of --reaction-timeout, would let the
    // client off for as long again.
    let arguments = "--variant idle,half-open --reaction-timeout 30s";
    let call = at_scripted(script("sweep-every-33s"), "silence", arguments);
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    assert!(call.differing().contains(&CLOSES.to_owned()), "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &BOTH, 31_000);
}

#[test]
fn a_proxy_that_closes_idle_connections_is_not_taken_for_the_broker() {
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
fn mosquitto_behind_a_proxy_that_closes_idle_connections_is_not_accused() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let proxy = IdleProxy::start(broker.address, Duration::from_secs(3));
    let flags = "--connrate 100 --attempts 3 -k 4s --for 8s --variant 0.95";
    let call = call_at(proxy.address, TOOL, "edge", flags);
    assert_eq!((call.exit(), call.violated()), (3, Vec::new()), "{call}");
    call.assert_prints(&["something between client and broker"]);
}

#[test]
fn mqtt5_3_1_2_8_a_broker_that_publishes_no_will_of_the_silent_is_violated() {
    let script = Script { wills: Wills::Never, ..Script::default() };
    let call = at_scripted(script, "silence", "--variant idle,half-open");
    call.assert_violates(&[WILL]);
    let twice = Script { wills: Wills::Twice, ..Script::default() };
    let call = at_scripted(twice, "silence", "--variant idle");
    assert_eq!((call.exit(), noted(&call)), (0, vec![WILL.to_owned()]), "{call}");
}

#[test]
fn mqtt5_3_2_2_21_the_server_keep_alive_is_what_a_silent_client_is_judged_by() {
    let with =
        |server_keep_alive_s| Script { server_keep_alive_s: Some(server_keep_alive_s), ..Script::default() };
    let call = at_scripted(with(2), "silence", "--variant idle,half-open -V 5");
    assert_eq!((call.exit(), noted(&call)), (0, Vec::new()), "{call}");
    assert_cut(&call, &["idle-1s", "half-open-1s"], &["5.0"], 1_450);
    assert_eq!(call.case("idle-1s", "5.0").fact("keep_alive_s", "2"), 3);
    // Off, or for minutes: nobody waits, nobody is accused.
    for (server_keep_alive_s, told) in [(0, "Server Keep Alive 0"), (300, "give --keepalive 300s")] {
        let call = at_scripted(with(server_keep_alive_s), "silence", "--variant idle -V 5").expect_exit(3);
        assert!(call.stdout().contains(told), "{call}");
    }
}

#[test]
fn a_conforming_broker_leaves_every_client_at_the_edge_alone() {
    let call = at_scripted(Script::default(), "edge", "-k 2s --for 6s");
    call.assert_violates_nothing();
    assert_eq!(call.record().cases.len(), 14);
    for variant in ["0.50-of-2s", "0.75-of-2s", "0.90-of-2s", "0.95-of-2s"] {
        for version in BOTH {
            let case = call.case(variant, version);
            // A machine that was too busy to send or to answer in time accuses nobody.
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
fn a_broker_that_cuts_a_client_that_pings_in_time_is_violated_on_5_0() {
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
        let told = call.verdicts(KEEPS).into_iter().find(|verdict| verdict.conclusion == Violated).unwrap();
        assert!(told.evidence.contains("0 PINGREQs were sent, 0 answered"), "{told:?}");
    }
}

#[test]
fn a_broker_that_cuts_a_client_that_is_late_differs_and_is_not_violated() {
    let arguments = format!("{WITH_ROOM} --for 8s --variant 0.5,1.45");
    let call = at_scripted(script("close-at-percent-120"), "edge", &arguments);
    call.assert_violates_nothing();
    assert_eq!(call.differing(), [BEARS], "{call}");
    assert_eq!(call.conclusion(KEEPS, "0.50-of-4s", "5.0"), Holds);
}

#[test]
fn mistakes_in_the_flags_of_silence_and_edge_are_told_together_and_before_the_first_packet() {
    let told = |mode, arguments: &str| {
        let call = call(TOOL, mode, arguments).expect_exit(2);
        call.stderr()
    };
    let of_silence = told("silence", "--variant gone -k 1500ms -V 7");
    for part in [
        "unknown variant \"gone\"; choose from idle, half-open, downlink",
        "--keepalive",
        "unknown MQTT version",
    ] {
        assert!(of_silence.contains(part), "{part} is missing in {of_silence}");
    }
    let of_edge = told("edge", "--variant 0.99 --for 30h -k 0");
    let plan = call(TOOL, "silence", "--variant idle,idle -k 1s,1s,1000ms -V 5 --print-plan");
    assert_eq!(plan.stdout().matches("silence idle-1s MQTT 5.0  ").count(), 1, "{plan}");
    for part in ["unknown variant \"0.99\"; choose from 0.50", "--for", "0 turns it off"] {
        assert!(of_edge.contains(part), "{part} is missing in {of_edge}");
    }
}

#[test]
fn the_embedded_broker_cuts_at_one_and_a_half_times_the_keep_alive() {
    let call = call(TOOL, "silence", "--attempts 3 --connrate 50 -k 1s -V 5 --reaction-timeout 30s");
    call.assert_violates_nothing();
    assert_cut(&call, &ALL, &["5.0"], 1_000);
}

/// What a real broker that sweeps makes of silent clients with a Keep Alive of 1 s.
fn silent_at(broker: &RealBroker, arguments: &str) -> Call {
    let all = "--attempts 3 --connrate 50 -k 1s --reaction-timeout 30s --will-wait 5s";
    call_at(broker.address, TOOL, "silence", &format!("{all} {arguments}"))
}

fn conclusions(call: &Call, check: &str) -> Vec<Conclusion> {
    call.verdicts(check).iter().map(|verdict| verdict.conclusion).collect()
}

#[test]
fn mosquitto_cuts_at_its_next_sweep_without_a_word_and_publishes_the_will() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let call = silent_at(&broker, "");
    call.assert_violates_nothing();
    assert_cut(&call, &ALL, &BOTH, 1_000);
    assert_eq!(conclusions(&call, WILL), [Holds; 6], "{call}");
    if call.record().broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
        assert!(call.differing().contains(&TELLS.to_owned()), "{call}");
        assert!(call.differing().contains(&CLOSES.to_owned()), "it is late: {call}");
    }
}

#[test]
fn nats_cuts_after_the_keep_alive_and_is_not_accused_of_more_than_it_did() {
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
fn rumqttd_lets_its_own_messages_keep_a_silent_client_alive_and_is_violated() {
    let Some(broker) = RealBroker::start("rumqttd") else { return };
    let call = silent_at(&broker, "-V 3.1.1 --variant downlink");
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
