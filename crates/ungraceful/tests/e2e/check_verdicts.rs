//! `scripts/check-verdicts`: raw sockets confirm what a broker does that breaks a rule by name, and nothing of one that
//! conforms.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use ungraceful_rig::verdict::Conclusion::{Holds, Violated};
use ungraceful_scripted_broker::{
    ConnectWait, Deliveries, OfflineQueue, Script, ScriptedBroker, SecondConnect, Sessions, SubscriberFlow,
    TakeOver, Wills,
};

use crate::real_brokers::script;
use crate::support::{call_at, double_connect_at};

/// What raw sockets see at `address` of the verdicts below `folder`; absent where nothing runs Python.
fn check_verdicts(address: SocketAddr, folder: &Path) -> Option<Output> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return None;
    }
    let target =
        ["--host".to_owned(), address.ip().to_string(), "--port".to_owned(), address.port().to_string()];
    let output = Command::new(script("check-verdicts"))
        .args(target)
        .args(["--times", "1", "--rounds", "1"])
        .arg(folder)
        .output()
        .unwrap();
    Some(output)
}

fn assert_exit(output: &Output, code: i32, result: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(said.starts_with(result), "{said}");
}

#[test]
fn raw_sockets_confirm_a_second_connect_that_was_served_and_only_there() {
    let policy = SecondConnect::Ignore;
    let broker = ScriptedBroker::start(Script { second_connect: policy, ..Script::default() });
    let call = double_connect_at(broker.address(), &["--attempts", "2", "--variant", "identical", "-V", "5"]);
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "5.0"), Violated);
    let Some(seen) = check_verdicts(broker.address(), &call.folder) else { return };
    assert_exit(&seen, 0, "agree");
    let conforming = ScriptedBroker::start(Script::default());
    let Some(seen) = check_verdicts(conforming.address(), &call.folder) else { return };
    assert_exit(&seen, 1, "DISAGREE");
}

#[test]
fn raw_sockets_confirm_two_connections_after_a_take_over_and_only_there() {
    let broker = ScriptedBroker::start(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    let flags = ["--count", "2", "--variant", "clean", "-V", "3.1.1"];
    let call = call_at(broker.address(), "ungraceful-takeover", "storm", &flags);
    assert_eq!(call.conclusion("closes_the_older_connection", "clean", "3.1.1"), Violated);
    let Some(seen) = check_verdicts(broker.address(), &call.folder) else { return };
    assert_exit(&seen, 0, "agree");
    let conforming = ScriptedBroker::start(Script::default());
    let Some(seen) = check_verdicts(conforming.address(), &call.folder) else { return };
    assert_exit(&seen, 1, "DISAGREE");
}

#[test]
fn a_record_without_violated_verdicts_needs_no_raw_check() {
    let broker = ScriptedBroker::start(Script::default());
    let call = double_connect_at(broker.address(), &["--attempts", "2", "--variant", "identical", "-V", "5"]);
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "5.0"), Holds);
    let Some(seen) = check_verdicts(broker.address(), &call.folder) else { return };
    assert_exit(&seen, 0, "0 situations");
}

/// A policy that breaks a rule, and the verdict that reports it: check, fault, variant, version, statement.
type Breach = (Script, [&'static str; 5]);

fn breaches() -> Vec<Breach> {
    let wills = |name: &str| Script { wills: name.parse::<Wills>().unwrap(), ..Script::default() };
    let sessions = |name: &str| Script { sessions: name.parse::<Sessions>().unwrap(), ..Script::default() };
    let second =
        |name: &str| Script { second_connect: name.parse::<SecondConnect>().unwrap(), ..Script::default() };
    let flow =
        |name: &str| Script { subscriber_flow: name.parse::<SubscriberFlow>().unwrap(), ..Script::default() };
    let deliveries =
        |name: &str| Script { deliveries: name.parse::<Deliveries>().unwrap(), ..Script::default() };
    let wait =
        |name: &str| Script { connect_wait: name.parse::<ConnectWait>().unwrap(), ..Script::default() };
    let queue =
        |name: &str| Script { offline_queue: name.parse::<OfflineQueue>().unwrap(), ..Script::default() };
    vec![
        (
            second("second-connack-then-serve"),
            ["sends_one_connack", "double-connect", "identical", "5.0", "3.2.0-2"],
        ),
        (wills("never"), ["publishes_the_will", "double-connect", "with-will", "3.1.1", "3.1.2-8"]),
        (wills("never"), ["publishes_the_will", "abrupt-drop", "rst", "5.0", "3.1.2-8"]),
        (wills("ignore-delay"), ["publishes_the_will", "abrupt-drop", "will-delay", "5.0", "3.1.2-8"]),
        (
            wills("ignore-delay"),
            ["withholds_the_will", "abrupt-drop", "back-before-will-delay", "5.0", "3.1.3-9"],
        ),
        (wills("twice"), ["publishes_the_will_once", "abrupt-drop", "fin", "5.0", "3.1.2-10"]),
        (
            wills("even-after-disconnect"),
            ["withholds_the_will", "abrupt-drop", "disconnect", "3.1.1", "3.14.4-3"],
        ),
        (wills("never-retained"), ["retains_the_will", "will-storm", "retained", "5.0", "3.1.2-15"]),
        (
            wills("never-on-take-over"),
            ["treats_the_will_as_the_session", "takeover-storm", "clean", "3.1.1", "3.1.2-8"],
        ),
        (sessions("resume-clean"), ["starts_a_new_session", "takeover-storm", "discard", "5.0", "3.2.2-2"]),
        (
            sessions("resume-clean-silently"),
            ["starts_a_new_session", "takeover-storm", "discard", "5.0", "3.1.2-4"],
        ),
        (sessions("forget"), ["resumes_the_session", "takeover-storm", "resume", "3.1.1", "3.1.2-4"]),
        (sessions("forget"), ["resumes_the_session", "restart-herd", "none", "5.0", "3.1.2-5"]),
        (sessions("forget"), ["keeps_the_session", "abrupt-drop", "fin", "3.1.1", "3.1.2-4"]),
        (
            sessions("lie-absent"),
            ["tells_session_present_truly", "takeover-storm", "resume", "5.0", "3.2.2-3"],
        ),
        (sessions("lie-absent"), ["tells_session_present_truly", "restart-herd", "none", "3.1.1", "3.2.2-2"]),
        (
            sessions("resend-with-new-identifiers"),
            ["sends_again_what_was_in_flight", "takeover-storm", "resume", "5.0", "4.4.0-1"],
        ),
        (
            sessions("resend-without-dup"),
            ["marks_what_it_sends_again", "takeover-storm", "resume", "3.1.1", "3.3.1-1"],
        ),
        (
            sessions("forget-received"),
            ["delivers_the_repeated_message_once", "takeover-storm", "resume", "5.0", "4.3.3-10"],
        ),
        (sessions("lose-queued"), ["delivers_what_waited", "abrupt-drop", "fin", "5.0", "4.5.0-1"]),
        (sessions("never-expire"), ["ends_the_session", "abrupt-drop", "session-ends", "3.1.1", "3.1.2-6"]),
        (flow("ignore"), ["stays_within_receive_maximum", "unacked-subscriber", "k3-qos2", "5.0", "3.3.4-9"]),
        (
            flow("starve-pings"),
            ["answers_while_the_quota_is_used_up", "unacked-subscriber", "k3-qos1", "5.0", "4.9.0-3"],
        ),
        (flow("reorder-queue"), ["delivers_in_order", "unacked-subscriber", "k3-qos1", "5.0", "4.6.0-5"]),
        (
            deliveries("duplicate-qos2-every-5"),
            ["delivers_the_queue_once", "offline-queue-fill", "qos2", "5.0", "4.4.0-1"],
        ),
        (
            deliveries("swap-every-5"),
            ["delivers_the_queue_in_order", "offline-queue-fill", "qos1", "3.1.1", "4.6.0-6"],
        ),
        (
            queue("drop-newest-over-50"),
            ["keeps_what_it_took", "offline-queue-fill", "qos1", "5.0", "4.5.0-1"],
        ),
        (
            wait("then-disconnect-800ms"),
            ["sends_no_disconnect_before_connack", "knock", "silent", "5.0", "3.14.0-1"],
        ),
    ]
}

/// What raw sockets see of this verdict on a broker with this script; absent where nothing runs Python.
fn seen_of([check, fault, variant, version, id]: [&str; 5], script: Script) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let verdict = serde_json::json!({
        "check": check,
        "conclusion": "violated",
        "citation": format!("MQTT {version} [MQTT-{id}]"),
        "evidence": "written for this test",
        "case": { "fault": fault, "variant": variant, "version": version },
    });
    let record = serde_json::json!({ "verdicts": [verdict] });
    std::fs::write(folder.path().join("run.json"), record.to_string()).unwrap();
    let broker = ScriptedBroker::start(script);
    let output = check_verdicts(broker.address(), folder.path())?;
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn each_raw_check_sees_the_rule_that_a_policy_breaks_and_nothing_on_a_conforming_broker() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = breaches()
            .into_iter()
            .flat_map(|(script, verdict)| {
                [(script, "agree"), (Script::default(), "DISAGREE")].map(|(script, expected)| {
                    let seen = scope.spawn(move || seen_of(verdict, script));
                    (verdict, expected, seen)
                })
            })
            .collect();
        assert!(runs.len() > 50);
        let judged =
            runs.into_iter().map(|(verdict, expected, seen)| (verdict, expected, seen.join().unwrap()));
        let wrong = judged.filter_map(|(verdict, expected, seen)| {
            // What could not be brought about tells nothing, and is no disagreement either.
            let seen = seen.filter(|seen| !seen.starts_with(expected) || seen.contains("cannot tell"))?;
            Some(format!("{verdict:?} should be {expected}: {seen}"))
        });
        wrong.collect()
    });
    assert_eq!(wrong, Vec::<String>::new());
}
