//! The program: its flags, its line of output, and its end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_scripted_broker::{Script, SecondConnect};

use crate::raw_client::{PATIENCE, connect};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_scripted-broker"))
}

/// A connection on which these bytes were sent.
fn sending(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout above 0");
    client.write_all(bytes).expect("it takes bytes");
    client
}

#[test]
fn it_follows_its_flags_until_standard_input_closes() {
    let mut child = program()
        .args(["--second-connect", "disconnect-0x81", "--receive-maximum", "5", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let address = listening_on(&mut child);
    let mut client = sending(address, &[connect(V5, "c"), connect(V5, "c")].concat());
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("FIN");
    assert_eq!(answer, [0x20, 10, 0, 0, 7, 0x21, 0, 5, 0x29, 0, 0x2A, 0, 0xE0, 2, 0x81, 0]);
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

/// The address in its line of output.
fn listening_on(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line of text");
    let address = line.trim_end().strip_prefix("listening on ").expect("the documented words");
    address.parse().expect("an address")
}

#[test]
fn it_runs_on_without_a_standard_input_and_ends_with_the_signal() {
    let mut child =
        program().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let address = listening_on(&mut child);
    // Each connection is answered by the process, which a standard input at its end would have ended by now.
    for client_id in ["a", "b", "c"] {
        let mut client = sending(address, &connect(V5, client_id));
        let mut connack = [0; 4];
        client.read_exact(&mut connack).expect("a CONNACK");
        assert_eq!(connack[0], 0x20);
        assert!(child.try_wait().expect("it is our child").is_none(), "it has ended");
    }
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("it ends").signal(), Some(9));
}

#[test]
fn every_kind_of_policy_has_a_flag_and_is_in_the_list() {
    let mut defaults = BTreeMap::new();
    for (flag, name, _) in Script::policies() {
        defaults.entry(format!("--{flag}")).or_insert(name);
    }
    let flags = defaults.iter().map(|(flag, name)| format!("{flag}={name}"));
    let output = program().args(flags).arg("--list").stdin(Stdio::null()).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    let mut expected = String::new();
    for (flag, name, meaning) in Script::policies() {
        expected += &format!("--{flag} {name}: {meaning}\n");
    }
    assert_eq!(text, expected);
    for (name, meaning) in SecondConnect::names() {
        assert!(text.contains(&format!("--second-connect {name}: {meaning}\n")), "{name}");
    }
    for line in
        ["--wills never: ", "--greeting http: ", "--deliveries lose-every-N: ", "--keep-alive close: "]
    {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn flags_take_names_with_and_without_values() {
    let mut child = program()
        .args(["--take-over", "keep-both", "--sessions", "forget", "--wills", "ignore-delay"])
        .args(["--flow", "refuse-0x97", "--pubacks", "late-puback-1s", "--subscriber-flow", "exceed-by-2"])
        .args(["--offline-queue", "refuse-over-3", "--slow-reader", "cut-after-5s"])
        .args(["--keep-alive", "fin-at-percent-60", "--malformed", "obey", "--refused", "serve"])
        .args(["--topic-alias-maximum", "9"])
        .args(["--deliveries", "duplicate-qos2-every-3", "--server-keep-alive", "9", "--maximum-qos", "1"])
        .arg("--until-stdin-closes")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn an_unknown_name_is_a_usage_error() {
    let output = program().args(["--wills", "x"]).stdin(Stdio::null()).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no wills policy is named `x`"));
}
