//! Rights, limits and QoS are tested before the first phase: missing rights end the run with one sentence and the fix, and a lower
//! QoS than announced is used.

use std::net::{SocketAddr, TcpListener};

use ungraceful_record::testing::every;
use ungraceful_record::verdict::Conclusion::Violated;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::real_brokers::RealBroker;
use crate::support::{Call, Target, bench_at, call_at, double_connect_at, tour_at};

/// A short run against `address`.
fn short(target: impl Target, flags: &str) -> Call {
    double_connect_at(target, &format!("--variant identical --attempts 2 {flags}"))
}

fn with_rights(rights: &str) -> ScriptedBroker {
    ScriptedBroker::start(Script { rights: rights.parse().unwrap(), ..Script::default() })
}

/// Nothing was attempted or recorded. Returns the error message.
fn refused(call: &Call) -> String {
    assert_eq!(call.exit(), 4, "{call}");
    assert!(!call.folder.exists() && call.stdout().is_empty(), "{call}");
    let said = call.stderr();
    let sentences: Vec<&str> = said.lines().filter(|line| line.contains("cannot use the topics")).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    sentences[0].to_owned()
}

#[test]
fn missing_rights_end_the_run_with_user_topic_and_acl_line() {
    for (rights, version, why) in [
        ("no-subscribe", "5", "is refused (SUBACK 0x87)"),
        ("no-subscribe", "3.1.1", "is refused (SUBACK 0x80)"),
        ("no-publish", "5", "is refused with 0x87"),
        ("no-publish", "3.1.1", "does not reach a subscription to it"),
        ("no-delivery", "5", "does not reach a subscription to it"),
    ] {
        let broker = with_rights(rights);
        let sentence = refused(&short(broker.address(), &format!("-V {version} -u bob -P hunter2")));
        let user = ["user \"bob\"", "`user bob`", "`topic readwrite ungraceful/#`"];
        let parts = [&[why, "/bystander/probe", "--topic-root"], &user[..]].concat();
        assert!(every(&parts, |part| sentence.contains(part)), "{rights} on {version}: {sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
        // No attempt was made: each sends a second CONNECT.
        assert_eq!(broker.log().second_connects(), 0);
    }
}

#[test]
fn a_load_and_a_tour_need_the_same_rights() {
    let broker = with_rights("no-publish");
    let load = bench_at(broker.address(), "pubsub", "--rate 10 --duration 1s -V 5");
    assert!(refused(&load).contains("a client without a User Name"), "{load}");
    let tour = tour_at(broker.address(), "--only knock --topic-root lab").expect_exit(4);
    assert!(tour.stderr().contains("`topic readwrite lab/#`"), "{tour}");
}

#[test]
fn a_user_without_rights_gets_the_acl_line_to_add() {
    let folder = tempfile::tempdir().unwrap();
    let (acl, added) = (folder.path().join("acl"), folder.path().join("added"));
    let rules = "user stranger\ntopic readwrite elsewhere/#\n\nuser guest\ntopic readwrite lab/test/#\n";
    std::fs::write(&acl, rules).unwrap();
    std::fs::write(&added, format!("acl_file {}\n", acl.display())).unwrap();
    let broker = RealBroker::start_with("mosquitto", &["--add", added.to_str().unwrap()])
        .expect("run scripts/install-mosquitto first");
    for version in ["3.1.1", "5"] {
        let run = |arguments: &str| short(broker.address, &format!("-V {version} {arguments}"));
        let sentence = refused(&run("-u stranger"));
        let parts =
            ["user \"stranger\"", "\"ungraceful/", "`topic readwrite ungraceful/#`", "`user stranger`"];
        assert!(every(&parts, |part| sentence.contains(part)), "{parts:?} are not all in {sentence}");
        refused(&run("-u guest"));
        let call = run("-u guest --topic-root lab/test");
        assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    }
    // Faults and loads have their own topics, all below the root.
    let below = "-u guest --topic-root lab/test -V 5";
    for (tool, mode, flags) in [
        ("ungraceful-takeover", "storm", "--variant resume --count 4"),
        ("ungraceful-flood", "receive-maximum", "--variant qos1 --attempts 2"),
        ("ungraceful-vanish", "drop", "--variant fin --attempts 2"),
    ] {
        let call = call_at(broker.address, tool, mode, &format!("{below} {flags}"));
        assert!(call.record().attempts.finished > 0, "{call}");
        assert!(every(&call.record().cases, |case| case.troubles.is_empty()), "{call}");
    }
    bench_at(broker.address, "pubsub", &format!("{below} --rate 20 --duration 1s")).expect_exit(0);
}

#[test]
fn a_limit_of_clients_below_the_runs_need_is_reported_first() {
    let at_most = |clients: &str| {
        let greeting = format!("at-most-{clients}").parse().unwrap();
        ScriptedBroker::start(Script { greeting, ..Script::default() })
    };
    let broker = at_most("6");
    // Three pairs, the witness, the client that reads $SYS, and four attempts with two connections each.
    let call = short(broker.address(), "").expect_exit(4);
    call.assert_reports(&["admits only 6 clients of 16", "up to 16 connections", "--bystanders", "--count"]);
    let fewer = short(broker.address(), "--bystanders 1 --count 1 -V 5");
    assert_eq!((fewer.exit(), fewer.violated()), (0, Vec::new()), "{fewer}");
    assert_eq!(short(at_most("20").address(), "").exit(), 0);
}

#[test]
fn a_broker_that_stalls_in_the_rights_test_is_not_called_forbidden() {
    let at_first_publish = |time: &str| {
        let stall = format!("at-publish-1-for-{time}").parse().unwrap();
        ScriptedBroker::start(Script { stall, ..Script::default() })
    };
    // Longer than the wait for both test messages: it answers again at the next PINGREQ.
    let broker = at_first_publish("7s");
    let call = short(broker.address(), "-V 5");
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    // Longer than that.
    let broker = at_first_publish("12s");
    let call = short(broker.address(), "-V 5").expect_exit(4);
    let said = call.stderr();
    assert!(said.contains("the broker does not answer") && !said.contains("cannot use the topics"), "{said}");
}

#[test]
fn a_limit_of_connections_per_second_is_no_limit_of_clients() {
    let greeting = "at-most-12-per-second".parse().unwrap();
    let script = Script { greeting, ..Script::default() };
    // 16 connections at once in the preflight, and fewer than 12 in any second of the run.
    let call = short(script, "--connrate 1 -V 5");
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
}

#[test]
fn an_unsupported_qos_is_avoided_and_reported_once() {
    let broker = with_rights("no-qos-2");
    let call = short(broker.address(), "");
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    let record = call.record();
    assert_eq!(record.broker.qos_limit.as_ref().map(|limit| limit.maximum_qos), Some(1), "{call}");
    assert_eq!(call.stdout().matches("serves at most QoS 1").count(), 1, "{call}");
    let bystanders = record.bystanders.unwrap();
    assert!(bystanders.connections_lost.is_empty() && bystanders.pairs_below_qos == 0, "{bystanders:?}");
    let sent: Vec<u8> = bystanders.phases.iter().flat_map(|phase| phase.by_qos.keys().copied()).collect();
    assert!(sent.contains(&1) && !sent.contains(&2), "{sent:?}");
    assert_eq!(record.attempts.planned, 4, "what tries the broker is no attempt: {call}");
    // A load that requires it is rejected with the fix.
    let load = bench_at(broker.address(), "pubsub", "-q 2 --rate 10 --duration 1s");
    assert!(load.exit() == 4 && load.stderr().contains("give -q 1"), "{load}");
    // A broker without a limit has no note.
    assert_eq!(short(Script::default(), "").record().broker.qos_limit, None);
}

#[test]
fn an_invalid_topic_root_is_rejected_before_the_first_packet() {
    let broker = ScriptedBroker::start(Script::default());
    for wrong in ["", "/a", "a/", "a/#", "+/b", "$SYS/x"] {
        let call = short(broker.address(), &format!("--topic-root '{wrong}'"));
        assert!(call.exit() == 2 && call.stderr().contains("--topic-root"), "{wrong:?}: {call}");
    }
    assert_eq!(broker.log().connections(), 0);
}

/// Accepts connections and closes them, like a broker with a broken listener.
fn broken_listener() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

#[test]
fn a_listener_that_closes_everything_is_no_version_problem() {
    let call = short(broken_listener(), "").expect_exit(4);
    let said = call.stderr();
    assert!(said.contains("closes them without a CONNACK") && said.contains("whether it is up"), "{said}");
    assert!(!said.contains("does not support what the run needs"), "{said}");
}

#[test]
fn a_broker_that_dies_between_two_causes_of_a_tour_is_down() {
    let script = Script { second_connect: "crash-broker".parse().unwrap(), ..Script::default() };
    let tour = tour_at(script, "--only double-connect,kick --kick-cmd 'true {client_id}'");
    let tour = tour.expect_exit(3);
    tour.assert_prints(&["the broker is down: it served the causes before"]);
    assert!(!tour.stdout().contains("credentials"), "{tour}");
}

#[test]
fn nats_is_run_without_flags_with_the_qos_that_it_serves() {
    let Some(broker) = RealBroker::start("nats") else { return };
    let call = double_connect_at(broker.address, "--attempts 3");
    call.assert_not_violated("closes_on_second_connect");
    let record = call.record();
    assert_eq!(record.broker.qos_limit.as_ref().map(|limit| limit.maximum_qos), Some(1), "{call}");
    let bystanders = record.bystanders.unwrap();
    assert!(bystanders.connections_lost.is_empty(), "{bystanders:?}");
    let of_the_run = record.verdicts.iter().filter(|verdict| verdict.case.is_none());
    assert!(every(of_the_run, |verdict| verdict.conclusion != Violated), "{call}");
    double_connect_at(broker.address, "--attempts 3 --variant identical,with-will").expect_exit(0);
}
