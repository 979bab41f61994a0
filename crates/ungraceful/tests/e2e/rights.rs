//! Rights, limits and QoS are tried before the first phase: what is missing ends the run in one sentence with its cure, and
//! what is served less than the broker says is kept to.

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

/// Nothing was attempted and nothing is kept; returns the sentence that says why.
fn refused(call: &Call) -> String {
    assert_eq!(call.exit(), 4, "{call}");
    assert!(!call.folder.exists() && call.stdout().is_empty(), "{call}");
    let said = call.stderr();
    let sentences: Vec<&str> = said.lines().filter(|line| line.contains("cannot use the topics")).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    sentences[0].to_owned()
}

#[test]
fn rights_that_are_missing_end_the_run_in_one_sentence_with_user_topic_and_the_line_to_add() {
    for (rights, version, told) in [
        ("no-subscribe", "5", "is refused (SUBACK 0x87)"),
        ("no-subscribe", "3.1.1", "is refused (SUBACK 0x80)"),
        ("no-publish", "5", "is refused with 0x87"),
        ("no-publish", "3.1.1", "does not reach a subscription to it"),
        ("no-delivery", "5", "does not reach a subscription to it"),
    ] {
        let broker = with_rights(rights);
        let sentence = refused(&short(broker.address(), &format!("-V {version} -u bob -P hunter2")));
        for part in [
            told,
            "user \"bob\"",
            "/bystander/probe",
            "`topic readwrite ungraceful/#`",
            "`user bob`",
            "--topic-root",
        ] {
            assert!(sentence.contains(part), "{rights} on {version}: {part} is missing in {sentence}");
        }
        assert!(!sentence.contains("hunter2"), "{sentence}");
        // Not an attempt was made of the two that were planned, of which each sends a second CONNECT.
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
fn a_user_of_mosquitto_without_rights_is_told_the_line_to_add_and_one_with_rights_elsewhere_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let (acl, added) = (folder.path().join("acl"), folder.path().join("added"));
    std::fs::write(
        &acl,
        "user stranger\ntopic readwrite elsewhere/#\n\nuser guest\ntopic readwrite lab/test/#\n",
    )
    .unwrap();
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
    // Faults have topics of their own, and a load too: all are below the root.
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
fn a_broker_that_lets_in_fewer_clients_than_the_run_needs_is_told_before_it_begins() {
    let at_most = |clients: &str| {
        let greeting = format!("at-most-{clients}").parse().unwrap();
        ScriptedBroker::start(Script { greeting, ..Script::default() })
    };
    let broker = at_most("6");
    // Three pairs, the witness, who listens to $SYS, and four attempts with two connections each.
    let call = short(broker.address(), "").expect_exit(4);
    let parts = ["lets 6 clients of 16 in", "up to 16 connections", "--bystanders", "--count"];
    assert!(every(&parts, |part| call.stderr().contains(part)), "{parts:?} are not all in {call}");
    let fewer = short(broker.address(), "--bystanders 1 --count 1 -V 5");
    assert_eq!((fewer.exit(), fewer.violated()), (0, Vec::new()), "{fewer}");
    assert_eq!(short(at_most("20").address(), "").exit(), 0);
}

#[test]
fn a_broker_that_stands_still_while_rights_are_tried_is_not_told_as_one_that_lacks_them() {
    let at_first_publish = |time: &str| {
        let stall = format!("at-publish-1-for-{time}").parse().unwrap();
        ScriptedBroker::start(Script { stall, ..Script::default() })
    };
    // Longer than both messages of the trial are waited for: it answers again when it is asked whether it does.
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
fn a_limit_of_connections_in_a_second_is_no_limit_of_clients() {
    let greeting = "at-most-12-per-second".parse().unwrap();
    let script = Script { greeting, ..Script::default() };
    // 16 connections at once in the trial, and fewer than 12 in any second of the run.
    let call = short(script, "--connrate 1 -V 5");
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
}

#[test]
fn a_qos_that_is_not_served_is_kept_from_honest_clients_and_told_once() {
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
    // A load that wants it is refused with the cure.
    let load = bench_at(broker.address(), "pubsub", "-q 2 --rate 10 --duration 1s");
    assert!(load.exit() == 4 && load.stderr().contains("give -q 1"), "{load}");
    // One that serves everything has nothing to say.
    assert_eq!(short(Script::default(), "").record().broker.qos_limit, None);
}

#[test]
fn an_unusable_topic_root_is_a_mistake_before_the_first_packet() {
    let broker = ScriptedBroker::start(Script::default());
    for wrong in ["", "/a", "a/", "a/#", "+/b", "$SYS/x"] {
        let call = short(broker.address(), &format!("--topic-root '{wrong}'"));
        assert!(call.exit() == 2 && call.stderr().contains("--topic-root"), "{wrong:?}: {call}");
    }
    assert_eq!(broker.log().connections(), 0);
}

/// Accepts connections and closes them, as a broker does whose listener is broken.
fn broken_listener() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

#[test]
fn a_listener_that_closes_everything_is_not_called_a_question_of_versions() {
    let call = short(broken_listener(), "").expect_exit(4);
    let said = call.stderr();
    assert!(said.contains("closes them without a CONNACK") && said.contains("whether it is up"), "{said}");
    assert!(!said.contains("does not speak"), "{said}");
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
