//! The embedded broker as a child process, tested with handwritten bytes, so that no MQTT library judges the wire. The child is this
//! test program, started again for one ignored test.
//!
//! Time limits here only stop hangs; nothing depends on how fast the broker is.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ungraceful_embedded_broker::{Settings, serve};

/// Far longer than a loaded machine needs.
const HANG: Duration = Duration::from_secs(120);

/// CONNECT with Clean Start or Clean Session, Keep Alive 60 s, ClientID "a".
const CONNECT_5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a";
const CONNECT_311: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";

#[test]
fn answers_a_3_1_1_connect() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    client.write_all(CONNECT_311).expect("sent");
    assert_eq!(packet(&mut client), [0x20, 0x02, 0x00, 0x00]);
}

#[test]
fn answers_a_5_0_connect_with_a_receive_maximum_of_100_by_default() {
    let broker = Broker::start(&[]);
    let (_client, connack) = broker.session(CONNECT_5);
    assert_eq!(connack[0], 0x20);
    assert_eq!(connack[2..4], [0x00, 0x00], "no Session Present, Reason Code success");
    assert_eq!(property(&connack, RECEIVE_MAXIMUM), Some(vec![0, 100]));
}

/// MQTT 5.0 §3.3.4: the Server may close with 0x93 when it gets more than it allowed.
#[test]
fn closes_with_0x93_one_past_the_receive_maximum() {
    let broker = Broker::start(&[("RECEIVE_MAXIMUM", "7")]);
    let (mut client, connack) = broker.session(CONNECT_5);
    assert_eq!(property(&connack, RECEIVE_MAXIMUM), Some(vec![0, 7]));
    for packet_identifier in 1..=7 {
        client.write_all(&publish_qos_2(packet_identifier)).expect("sent");
        let pubrec = packet(&mut client);
        assert_eq!((pubrec[0], pubrec[2..4].to_vec()), (0x50, vec![0, packet_identifier]));
    }
    client.write_all(&publish_qos_2(8)).expect("sent");
    assert_eq!(packet(&mut client), [0xe0, 0x01, 0x93]);
    assert_closed(&mut client);
}

#[test]
fn grants_no_longer_session_expiry_interval_than_its_maximum() {
    let broker = Broker::start(&[("SESSION_EXPIRY_INTERVAL_MAXIMUM_S", "30")]);
    let asks_for_100_s = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x64\x00\x01a";
    let (_client, connack) = broker.session(asks_for_100_s);
    assert_eq!(property(&connack, SESSION_EXPIRY_INTERVAL), Some(vec![0, 0, 0, 30]));
}

#[test]
fn mqtt5_3_1_0_2_server_closes_on_a_second_connect() {
    let broker = Broker::start(&[]);
    let (mut client, _connack) = broker.session(CONNECT_5);
    client.write_all(CONNECT_5).expect("sent");
    assert_eq!(packet(&mut client), [0xe0, 0x01, 0x82]);
    assert_closed(&mut client);
}

#[test]
fn ends_with_its_standard_input_and_prints_only_what_ready_prints() {
    let mut broker = Broker::start(&[]);
    let (mut client, _connack) = broker.session(CONNECT_5);
    // Something that the broker might report.
    client.write_all(CONNECT_5).expect("sent");
    assert_eq!(packet(&mut client), [0xe0, 0x01, 0x82]);
    let (mut other, _connack) = broker.session(CONNECT_5);
    drop(broker.stdin.take());
    let said = rest_of(broker.stdout.take().expect("taken once"));
    assert_eq!(said.lines().next(), Some("served: Ok(())"));
    assert_closed(&mut other);
    assert!(broker.child.wait().expect("ended").success());
}

#[test]
fn dies_with_its_parent_though_its_standard_input_is_held_open() {
    let mut middle = Broker::start_as("middle", &[]);
    let (mut client, _connack) = middle.session(CONNECT_5);
    middle.child.kill().expect("killed");
    middle.child.wait().expect("ended");
    assert!(middle.stdin.is_some(), "the input that the broker shares is still open");
    assert_closed(&mut client);
    // The broker holds the other end of its parent's output: the end of that is the end of the process.
    let said = rest_of(middle.stdout.take().expect("taken once"));
    assert!(!said.contains("served"), "killed, not ended: {said}");
}

#[test]
fn does_not_serve_when_its_parent_is_gone_already() {
    // The child's parent is this process, and never process 4,000,000,000, which is past the kernel's highest id.
    let mut broker = Broker::spawn("serve", &[("PARENT_PROCESS", "4000000000")]);
    let said = rest_of(broker.stdout.take().expect("taken once"));
    assert!(said.contains("served: Err(Lifeline(ParentGone { expected: 4000000000"), "{said}");
    assert!(!said.contains("address="), "{said}");
}

#[test]
fn writes_nothing_into_its_working_directory() {
    let mut broker = Broker::start(&[]);
    let keeps_a_session = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x64\x00\x01a";
    let (mut client, _connack) = broker.session(keeps_a_session);
    client.write_all(b"\x82\x07\x00\x01\x00\x00\x01t\x02").expect("SUBSCRIBE to t sent");
    assert_eq!(packet(&mut client)[0], 0x90);
    drop(client);
    // Retained, and queued for the Session without a connection.
    let (mut other, _connack) = broker.session(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01b");
    other.write_all(b"\x33\x07\x00\x01t\x00\x01\x00m").expect("PUBLISH QoS 1 sent");
    assert_eq!(packet(&mut other)[0], 0x40);
    drop(broker.stdin.take());
    rest_of(broker.stdout.take().expect("taken once"));
    let left: Vec<_> = fs::read_dir(broker.directory.path()).expect("the directory is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn listens_on_one_port_of_loopback_and_nowhere_else() {
    let broker = Broker::start(&[]);
    assert_eq!(broker.address.ip(), Ipv4Addr::LOCALHOST);
    let loopback = u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets());
    let expected = format!("{loopback:08X}:{:04X}", broker.address.port());
    assert_eq!(listening_sockets(broker.child.id()), [expected]);
}

// --- the child ---

/// The child of the other tests: the broker, or a parent in between that starts it.
#[test]
#[ignore = "the child process of the other tests, which start it"]
fn child() {
    match std::env::var("EMBEDDED_BROKER_CHILD").as_deref() {
        Ok("serve") => {
            let outcome = serve(&settings(), |address| println!("address={address}"));
            println!("served: {outcome:?}");
        }
        Ok("middle") => {
            // Its own ends of the pipes go to the broker: the test keeps holding the other ends.
            let mut broker = child_command("serve", Path::new("."))
                .stdin(Stdio::inherit())
                .stdout(Stdio::inherit())
                .spawn()
                .expect("the broker started");
            broker.wait().expect("waited until killed");
        }
        // A run of the ignored tests.
        _ => {}
    }
}

fn settings() -> Settings {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u32>().expect("a number"));
    let mut settings = Settings::default();
    if let Some(receive_maximum) = number("RECEIVE_MAXIMUM") {
        let receive_maximum = u16::try_from(receive_maximum).expect("two bytes");
        settings.receive_maximum = NonZeroU16::new(receive_maximum).expect("not 0");
    }
    if let Some(seconds) = number("SESSION_EXPIRY_INTERVAL_MAXIMUM_S") {
        settings.session_expiry_interval_maximum = Duration::from_secs(u64::from(seconds));
    }
    settings.parent_process = number("PARENT_PROCESS");
    settings
}

fn child_command(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env("EMBEDDED_BROKER_CHILD", role)
        .current_dir(directory);
    command
}

/// A running child. Dropping it closes its input and kills it.
struct Broker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Broker {
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_as("serve", variables)
    }

    fn start_as(role: &str, variables: &[(&str, &str)]) -> Self {
        let mut broker = Self::spawn(role, variables);
        let stdout = broker.stdout.take().expect("not taken yet");
        let (address, stdout) = within_hang(move || read_address(stdout));
        broker.address = address;
        broker.stdout = Some(stdout);
        broker
    }

    fn spawn(role: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut child = child_command(role, directory.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child started");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        let nowhere_yet = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { child, stdin, stdout, address: nowhere_yet, directory }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the broker accepts");
        stream.set_read_timeout(Some(HANG)).expect("a timeout above 0");
        stream
    }

    /// A connection, and the CONNACK to the given CONNECT.
    fn session(&self, connect: &[u8]) -> (TcpStream, Vec<u8>) {
        let mut client = self.connect();
        client.write_all(connect).expect("sent");
        let connack = packet(&mut client);
        (client, connack)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Both fail on a child that has been waited for, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test harness writes the test's name in front of what the test writes.
fn read_address(mut stdout: BufReader<ChildStdout>) -> (SocketAddr, BufReader<ChildStdout>) {
    let mut line = String::new();
    loop {
        line.clear();
        let length = stdout.read_line(&mut line).expect("text");
        assert_ne!(length, 0, "the child ended before it served");
        if let Some((_, address)) = line.split_once("address=") {
            return (address.trim().parse().expect("an address"), stdout);
        }
    }
}

/// All that is still to come on a child's output; returns when the last holder of its other end is gone.
fn rest_of(mut stdout: BufReader<ChildStdout>) -> String {
    within_hang(move || {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("text");
        rest
    })
}

fn within_hang<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, receiver) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    receiver.recv_timeout(HANG).expect("done long before, unless it failed or hangs")
}

// --- bytes ---

const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
const RECEIVE_MAXIMUM: u8 = 0x21;

/// The next packet, whole. All that come here have a Remaining Length of one byte.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut packet = vec![0; 2];
    stream.read_exact(&mut packet).expect("a packet");
    assert!(packet[1] < 0x80, "a Remaining Length of one byte");
    packet.resize(2 + usize::from(packet[1]), 0);
    stream.read_exact(&mut packet[2..]).expect("the rest of the packet");
    packet
}

/// Nothing more, and the end: FIN or RST, as a killed process may leave either.
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(length) => assert_eq!(length, 0, "a byte came where the end was due"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// The value of a property of a CONNACK 5.0.
fn property(connack: &[u8], wanted: u8) -> Option<Vec<u8>> {
    let mut properties = &connack[5..];
    assert_eq!(usize::from(connack[4]), properties.len(), "the Property Length fills the packet");
    while let [identifier, rest @ ..] = properties {
        let length = match identifier {
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x12 | 0x15 | 0x1a | 0x1c | 0x1f => 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]])),
            other => unreachable!("property {other:#04x} in a CONNACK"),
        };
        let (value, after) = rest.split_at(length);
        if *identifier == wanted {
            return Some(value.to_vec());
        }
        properties = after;
    }
    None
}

/// Topic "t", no payload.
fn publish_qos_2(packet_identifier: u8) -> [u8; 8] {
    [0x34, 0x06, 0x00, 0x01, b't', 0x00, packet_identifier, 0x00]
}

/// The local addresses, as the kernel writes them, on which a process listens or receives: TCP and UDP, IPv4 and 6.
fn listening_sockets(process: u32) -> Vec<String> {
    const LISTEN: &str = "0A";
    const UNCONNECTED: &str = "07";
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .expect("our own child")
        .filter_map(|entry| fs::read_link(entry.expect("readable").path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        // A machine without IPv6 has no such files.
        .filter_map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .flat_map(|table| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, state, inode) = (fields[1], fields[3], fields[9]);
            let open = state == LISTEN || state == UNCONNECTED;
            (open && sockets.iter().any(|socket| socket == inode)).then(|| address.to_owned())
        })
        .collect()
}
