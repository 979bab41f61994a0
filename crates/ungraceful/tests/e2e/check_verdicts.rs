//! `scripts/check-verdicts`: raw sockets confirm what a broker does that breaks a rule by name, and nothing of one that
//! conforms.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use ungraceful_rig::verdict::Conclusion::{Holds, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker, SecondConnect, TakeOver};

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
        .args(["--times", "1"])
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
