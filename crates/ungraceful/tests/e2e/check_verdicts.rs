//! `scripts/check-verdicts`: raw sockets confirm the violations of a misbehaving broker, and nothing on a conforming one.

use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Command, Output};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use ungraceful_record::verdict::Conclusion::{Holds, Violated};
use ungraceful_scripted_broker::{
    ConnectWait, Deliveries, Flow, InvalidFilters, KeepAlive, OfflineQueue, Pubacks, Reauthentication,
    Removal, Script, ScriptedBroker, SecondConnect, Sessions, SubscriberFlow, TakeOver, Wills,
};

use crate::idle_proxy::IdleProxy;
use crate::real_brokers::script;
use crate::support::{Call, Target, binary, call_at, double_connect_at, skip};

/// Checks the verdicts below `folder` against `target` by raw sockets; absent without Python.
pub(crate) fn check_verdicts(target: impl Target, folder: &Path) -> Option<Output> {
    if Command::new("python3").arg("--version").output().is_err() {
        skip("there is no python3");
        return None;
    }
    let (address, _lives_until_the_end) = target.open();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let output = Command::new(script("check-verdicts"))
        .args(["--host", &host, "--port", &port])
        .args(["--times", "1", "--rounds", "1"])
        // Any client may administer the scripted broker, and it checks no signature.
        .args(["--admin-username", "anybody", "--auth-method", "JWT", "--token-key-file"])
        .arg(script("check-verdicts"))
        .arg(folder)
        .output()
        .unwrap();
    Some(output)
}

pub(crate) fn assert_exit(output: &Output, code: i32, result: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(said.starts_with(result), "{said}");
}

/// Raw sockets confirm the violated verdict at this broker, and not at a conforming one.
fn assert_confirmed_only_at(broker: &ScriptedBroker, call: &Call) {
    let Some(seen) = check_verdicts(broker.address(), &call.folder) else { return };
    assert_exit(&seen, 0, "agree");
    let Some(seen) = check_verdicts(Script::default(), &call.folder) else { return };
    assert_exit(&seen, 1, "DISAGREE");
}

#[test]
fn raw_sockets_confirm_a_tolerated_second_connect() {
    let policy = SecondConnect::Ignore;
    let broker = ScriptedBroker::start(Script { second_connect: policy, ..Script::default() });
    let call = double_connect_at(broker.address(), "--attempts 2 --variant identical -V 5");
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "5.0"), Violated);
    assert_confirmed_only_at(&broker, &call);
}

#[test]
fn raw_sockets_confirm_two_connections_after_a_take_over() {
    let broker = ScriptedBroker::start(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    let flags = "--count 2 --variant clean -V 3.1.1";
    let call = call_at(broker.address(), "ungraceful-takeover", "storm", flags);
    assert_eq!(call.conclusion("closes_the_older_connection", "clean", "3.1.1"), Violated);
    assert_confirmed_only_at(&broker, &call);
}

#[test]
fn a_record_without_violated_verdicts_needs_no_raw_check() {
    let broker = ScriptedBroker::start(Script::default());
    let call = double_connect_at(broker.address(), "--attempts 2 --variant identical -V 5");
    assert_eq!(call.conclusion("closes_on_second_connect", "identical", "5.0"), Holds);
    let Some(seen) = check_verdicts(broker.address(), &call.folder) else { return };
    assert_exit(&seen, 0, "0 violated");
}

/// A policy, and the verdict to confirm: check, fault, variant, version, statement.
type Violation = (Script, &'static str);

/// The policy of that name.
fn named<P: FromStr>(name: &str) -> P
where
    P::Err: std::fmt::Debug,
{
    name.parse().unwrap()
}

fn wills(name: &str) -> Script {
    Script { wills: named::<Wills>(name), ..Script::default() }
}

fn sessions(name: &str) -> Script {
    Script { sessions: named::<Sessions>(name), ..Script::default() }
}

fn take_over(name: &str) -> Script {
    Script { take_over: named::<TakeOver>(name), ..Script::default() }
}

fn deliveries(name: &str) -> Script {
    Script { deliveries: named::<Deliveries>(name), ..Script::default() }
}

fn keep_alive(name: &str) -> Script {
    Script { keep_alive: named::<KeepAlive>(name), ..Script::default() }
}

/// With a quota that one attempt exceeds.
fn quota(name: &str) -> Script {
    let receive_maximum = NonZeroU16::new(20);
    Script { flow: named::<Flow>(name), receive_maximum, ..Script::default() }
}

/// Policies that violate the rule of the verdict.
fn violations() -> Vec<Violation> {
    [some_violations(), more_violations()].concat()
}

fn some_violations() -> Vec<Violation> {
    let ignores = || Script { invalid_filters: InvalidFilters::Ignore, ..Script::default() };
    let second = |name: &str| Script { second_connect: named::<SecondConnect>(name), ..Script::default() };
    vec![
        (second("second-connack-then-serve"), "sends_one_connack double-connect identical 5.0 3.2.0-2"),
        (ignores(), "answers_or_closes topic-filter plus-in-level 5.0 3.8.4-1"),
        (ignores(), "answers_or_closes topic-filter empty 3.1.1 3.8.4-1"),
        (wills("never"), "publishes_the_will double-connect with-will 3.1.1 3.1.2-8"),
        (wills("never"), "publishes_the_will drop rst 5.0 3.1.2-8"),
        (wills("ignore-delay"), "publishes_the_will drop will-delay 5.0 3.1.2-8"),
        (wills("ignore-delay"), "withholds_the_will drop back-before-will-delay 5.0 3.1.3-9"),
        (wills("twice"), "publishes_the_will_once drop fin 5.0 3.1.2-10"),
        (wills("even-after-disconnect"), "withholds_the_will drop disconnect 3.1.1 3.14.4-3"),
        (wills("never-retained"), "retains_the_will will-storm retained 5.0 3.1.2-15"),
        (wills("never-on-take-over"), "treats_the_will_as_the_session storm clean 3.1.1 3.1.2-8"),
        (sessions("resume-clean"), "starts_a_new_session storm discard 5.0 3.2.2-2"),
        (sessions("resume-clean-silently"), "starts_a_new_session storm discard 5.0 3.1.2-4"),
        (sessions("forget"), "resumes_the_session storm resume 3.1.1 3.1.2-4"),
        (sessions("forget"), "resumes_the_session herd none 5.0 3.1.2-5"),
        (sessions("forget"), "keeps_the_session drop fin 3.1.1 3.1.2-4"),
        (sessions("lie-absent"), "reports_session_present_correctly storm resume 5.0 3.2.2-3"),
        (sessions("lie-absent"), "reports_session_present_correctly herd none 3.1.1 3.2.2-2"),
        (sessions("resend-with-new-identifiers"), "sends_again_what_was_in_flight storm resume 5.0 4.4.0-1"),
        (sessions("resend-without-dup"), "marks_what_it_sends_again storm resume 3.1.1 3.3.1-1"),
        (sessions("forget-received"), "delivers_the_repeated_message_once storm resume 5.0 4.3.3-10"),
        (sessions("lose-queued"), "delivers_what_waited drop fin 5.0 4.5.0-1"),
        (sessions("never-expire"), "ends_the_session drop session-ends 3.1.1 3.1.2-6"),
        (sessions("never-expire"), "ends_the_session storm ended 5.0 4.1.0-2"),
        (sessions("lie-present"), "ends_the_session storm ended 5.0 3.2.2-3"),
        (sessions("forget"), "keeps_the_session drop before-expiry 5.0 3.1.2-23"),
        (take_over("keep-both"), "closes_the_older_connection race 10-contenders 5.0 3.1.4-3"),
        (take_over("keep-both"), "closes_the_older_connection dead-peer zero-window 3.1.1 3.1.4-2"),
        (take_over("late-end-cuts"), "keeps_serving_the_newcomer dead-peer silent 5.0 §3.1.4"),
        (
            take_over("late-end-unsubscribes"),
            "keeps_the_newcomers_subscription dead-peer zero-window 5.0 4.1.0-1",
        ),
    ]
}

fn more_violations() -> Vec<Violation> {
    let flow = |name: &str| Script { subscriber_flow: named::<SubscriberFlow>(name), ..Script::default() };
    let wait = |name: &str| Script { connect_wait: named::<ConnectWait>(name), ..Script::default() };
    let removal = |name: &str| Script { removal: named::<Removal>(name), ..Script::default() };
    let again =
        |name: &str| Script { reauthentication: named::<Reauthentication>(name), ..Script::default() };
    vec![
        (
            take_over("late-end-unsubscribes"),
            "keeps_the_newcomers_subscription dead-peer alive 3.1.1 4.1.0-2",
        ),
        (take_over("late-end-publishes-will"), "withholds_the_newcomers_will dead-peer silent 3.1.1 3.1.2-8"),
        (keep_alive("never"), "closes_a_silent_connection silence idle-1s 5.0 3.1.2-22"),
        // Long enough that a busy machine does not blur a share of it and a fixed time.
        (keep_alive("fin-at-percent-50"), "waits_for_the_keep_alive silence idle-8s 5.0 §3.1.2.10"),
        (keep_alive("fin-at-percent-50"), "keeps_a_client_that_pings_in_time edge 0.75-of-8s 5.0 §3.1.2.10"),
        (quota("leak"), "serves_a_client_that_keeps_every_rule quota-leak qos1 5.0 §4.9"),
        (quota("leak-then-fin"), "serves_a_client_that_keeps_every_rule quota-leak qos2 5.0 §4.9"),
        (removal("deliver-on"), "sends_nothing_after_disconnect kick disable 5.0 3.14.4-1"),
        (removal("serve-refused"), "closes_after_refusing kick delete 3.1.1 3.2.2-5"),
        (wills("never"), "publishes_the_will kick password 5.0 3.1.2-8"),
        (
            again("serve-refused"),
            "closes_after_failed_reauthentication token reauthenticate-spoilt 5.0 4.12.1-2",
        ),
        (again("other-method"), "keeps_the_method token reauthenticate 5.0 4.12.0-5"),
        (flow("ignore"), "stays_within_receive_maximum unacked-subscriber k3-qos2 5.0 3.3.4-9"),
        (flow("starve-pings"), "answers_while_the_quota_is_used_up unacked-subscriber k3-qos1 5.0 4.9.0-3"),
        (flow("reorder-queue"), "delivers_in_order unacked-subscriber k3-qos1 5.0 4.6.0-5"),
        (deliveries("duplicate-qos2-every-5"), "delivers_the_queue_once offline-queue qos2 5.0 4.4.0-1"),
        (deliveries("swap-every-5"), "delivers_the_queue_in_order offline-queue qos1 3.1.1 4.6.0-6"),
        (deliveries("lose-qos1-every-5"), "keeps_what_it_took offline-queue qos1 5.0 4.5.0-1"),
        (wait("then-disconnect-800ms"), "sends_no_disconnect_before_connack knock silent 5.0 3.14.0-1"),
    ]
}

/// Behaviour that only looks like the violation in the verdict: it has another explanation, or the broker violates another rule. With
/// the result.
fn explained() -> Vec<(Violation, &'static str)> {
    let queue = |name: &str| Script { offline_queue: named::<OfflineQueue>(name), ..Script::default() };
    let late = Script { pubacks: named::<Pubacks>("late-puback-12000ms"), ..Script::default() };
    vec![
        // Both are served, but the older connection ends after some seconds: it is closed late.
        ((take_over("serve-for-3000ms"), "closes_the_older_connection storm clean 5.0 3.1.4-3"), "DISAGREE"),
        // A queue may have a limit.
        ((queue("drop-newest-over-50"), "keeps_what_it_took offline-queue qos1 5.0 4.5.0-1"), "cannot tell"),
        (
            (queue("drop-oldest-over-50"), "keeps_what_it_took offline-queue qos2 3.1.1 4.5.0-1"),
            "cannot tell",
        ),
        // The session still exists, so not only Session Present is wrong.
        ((sessions("never-expire"), "ends_the_session storm ended 5.0 3.2.2-3"), "DISAGREE"),
        ((sessions("lie-present"), "ends_the_session storm ended 3.1.1 3.1.2-6"), "DISAGREE"),
        // No policy serves a client with an expired token.
        ((Script::default(), "closes_after_refusing token one-topic 5.0 3.2.2-7"), "DISAGREE"),
        // A late answer is an answer.
        ((late, "serves_a_client_that_keeps_every_rule quota-leak qos1 5.0 §4.9"), "cannot tell"),
        // This statement, or this check, is unknown here.
        ((wills("never"), "publishes_the_will drop rst 5.0 3.14.4-3"), "no raw check"),
        ((wills("never"), "publishes_a_poem drop rst 5.0 3.1.2-8"), "no raw check"),
    ]
}

/// The result of checking this verdict against `target` by raw sockets; absent without Python.
fn seen_at(target: impl Target, verdict: &str) -> Option<String> {
    let [check, fault, variant, version, id] = verdict.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{verdict}")
    };
    let folder = tempfile::tempdir().unwrap();
    let statement = if id.starts_with('§') { id.to_owned() } else { format!("[MQTT-{id}]") };
    let verdict = serde_json::json!({
        "check": check,
        "conclusion": "violated",
        "citation": format!("MQTT {version} {statement}"),
        "evidence": "written for this test",
        "case": { "fault": fault, "variant": variant, "version": version },
    });
    let record = serde_json::json!({ "verdicts": [verdict] });
    std::fs::write(folder.path().join("run.json"), record.to_string()).unwrap();
    let output = check_verdicts(target, folder.path())?;
    let said = String::from_utf8(output.stdout).unwrap();
    // There is one verdict: it is confirmed, or the exit code is 1.
    assert_eq!(output.status.code(), Some(i32::from(!said.starts_with("agree"))), "{said}");
    Some(said)
}

/// Raw checks at the same time: they mostly wait.
const AT_A_TIME: usize = 24;

#[test]
fn each_raw_check_confirms_the_rule_that_a_policy_breaks() {
    let expected = violations().into_iter().flat_map(|(script, verdict)| {
        let conforming = Script { receive_maximum: script.receive_maximum, ..Script::default() };
        [((script, verdict), "agree"), ((conforming, verdict), "DISAGREE")]
    });
    let runs: Vec<_> = expected.chain(explained()).collect();
    assert!(runs.len() > 80);
    let (runs, wrong) = (Mutex::new(runs.into_iter()), Mutex::new(Vec::new()));
    let look = || {
        loop {
            let Some(((script, verdict), expected)) = runs.lock().unwrap().next() else { return };
            let seen = seen_at(script, verdict);
            if let Some(seen) = seen.filter(|seen| !seen.starts_with(expected)) {
                wrong.lock().unwrap().push(format!("{verdict:?} should be {expected}: {seen}"));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(look);
        }
    });
    assert_eq!(wrong.into_inner().unwrap(), Vec::<String>::new());
}

#[test]
fn connections_closed_by_a_proxy_confirm_nothing() {
    let verdicts = [
        "waits_for_the_keep_alive silence idle-4s 5.0 §3.1.2.10",
        "keeps_a_client_that_pings_in_time edge 0.90-of-4s 5.0 §3.1.2.10",
    ];
    std::thread::scope(|scope| {
        let runs = verdicts.map(|verdict| {
            scope.spawn(move || {
                let broker = ScriptedBroker::start(Script::default());
                let proxy = IdleProxy::start(broker.address(), Duration::from_secs(3));
                seen_at(proxy.address, verdict)
            })
        });
        for run in runs {
            let Some(seen) = run.join().unwrap() else { continue };
            assert!(seen.starts_with("cannot tell") && seen.contains("control client"), "{seen}");
        }
    });
}

#[test]
fn every_listed_statement_has_a_raw_check() {
    let list = binary("ungraceful").args(["list", "--format", "json"]).output().unwrap();
    let covered = |listed: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), listed).unwrap();
        let output = Command::new(script("check-verdicts")).arg("--covers").arg(file.path()).output().ok()?;
        Some((output.status.code(), String::from_utf8(output.stdout).unwrap()))
    };
    let listed = String::from_utf8(list.stdout).unwrap();
    assert!(listed.contains("\"MQTT-3.1.0-2\""), "{listed}");
    let Some((code, said)) = covered(&listed) else { return };
    assert_eq!(code, Some(0), "{said}");
    // A statement without a raw check is reported.
    let (code, said) = covered(&listed.replace("MQTT-3.1.0-2", "MQTT-9.9.9-9")).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no raw check: double-connect MQTT 5.0 [MQTT-9.9.9-9]"), "{said}");
}
