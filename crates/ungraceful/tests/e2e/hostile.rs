//! Brokers that are out to exhaust us, and brokers that keep us waiting: memory and time stay within what is promised.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use ungraceful_mqtt::{Framed, Packet, ProtocolVersion, frame};
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::record::{Completeness, Record};

use crate::support::{at, binary, call_at};

/// What may be above the same run against a broker that behaves, whatever a broker does.
const ABOVE_BYTES: u64 = 64 << 20;

/// What a broker does to a client that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    /// Nothing: it answers what it is asked, forwards nothing, and cuts nobody.
    No,
    /// It sends PUBLISH packets to whoever subscribes, as fast as they are taken.
    FloodsSubscribers,
    /// It sends PUBLISH packets to everybody.
    FloodsEverybody,
    /// It announces packets of 256 MB, and sends what of them is taken.
    AnnouncesHugePackets,
    /// It sends PUBLISH packets that are User Properties for the most part, each below what a client takes.
    SendsProperties,
    /// It answers what nobody asked, in the shortest packets there are.
    SendsTinyPackets,
    /// It reads nothing after SUBSCRIBE, or after the CONNECT of who does not subscribe within its first read.
    NeverReads,
    /// It answers CONNECT, and nothing else.
    AnswersConnectAlone,
    /// It accepts connections, and says nothing.
    SaysNothing,
}

impl Hostile {
    /// What is sent without end, and to whom: to subscribers alone, or to everybody.
    fn flood(self, version: ProtocolVersion) -> Option<(Vec<u8>, bool)> {
        let publish = |properties: &[u8], payload: &[u8]| {
            let mut body = vec![0, 1, b't'];
            if version == ProtocolVersion::V5 {
                let length = u8::try_from(properties.len() & 0x7F).unwrap() | 0x80;
                match properties.len() {
                    0 => body.push(0),
                    long => body.extend([length, u8::try_from(long >> 7 & 0x7F).unwrap()]),
                }
                body.extend_from_slice(properties);
            }
            body.extend_from_slice(payload);
            let long = body.len();
            let digit = |shift: usize| u8::try_from(long >> shift & 0x7F).unwrap();
            [&[0x30, digit(0) | 0x80, digit(7) | 0x80, digit(14)], &body[..]].concat()
        };
        match self {
            Self::FloodsSubscribers => Some((publish(&[], &[7; 16]).repeat(500), false)),
            Self::FloodsEverybody => Some((publish(&[], &[7; 16]).repeat(500), true)),
            Self::AnnouncesHugePackets => {
                Some(([&[0x30, 0xFF, 0xFF, 0xFF, 0x7F][..], &[0; 32 * 1024]].concat(), true))
            }
            Self::SendsProperties => {
                let property = [&[0x26, 0, 1, b'n', 0, 250][..], &[b'v'; 250]].concat();
                Some((publish(&property.repeat(30), &[7; 16]), true))
            }
            Self::SendsTinyPackets => {
                Some(([0xD0, 0, 0x40, 2, 0, 1, 0x50, 2, 0, 1, 0x62, 2, 0, 1].repeat(500), true))
            }
            _ => None,
        }
    }
}

/// Starts a broker that ends with the test's process.
fn broker(hostile: Hostile) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap(), hostile));
        }
    });
    address
}

/// Sends without end; who is gone is written to in vain.
fn flood(mut stream: TcpStream, bytes: Vec<u8>) {
    std::thread::spawn(move || while stream.write_all(&bytes).is_ok() {});
}

fn serve(mut stream: TcpStream, hostile: Hostile) {
    let (mut unread, mut buffer, mut version) = (Vec::new(), [0; 16 * 1024], ProtocolVersion::V5);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        unread.extend_from_slice(&buffer[..read]);
        let mut at = 0;
        while let Framed::Complete(whole) = frame(&unread[at..]) {
            at += whole.len();
            let packet = whole.decode(version).packet;
            if hostile == Hostile::SaysNothing
                || hostile == Hostile::AnswersConnectAlone && !matches!(packet, Packet::Connect(_))
            {
                continue;
            }
            let (mut is_connect, mut is_subscribe) = (false, false);
            let answer = match packet {
                Packet::Connect(connect) => {
                    version = connect.version().unwrap_or(ProtocolVersion::V5);
                    is_connect = true;
                    match version {
                        ProtocolVersion::V5 => vec![0x20, 3, 0, 0, 0],
                        ProtocolVersion::V3_1_1 => vec![0x20, 2, 0, 0],
                    }
                }
                Packet::Subscribe(subscribe) => {
                    is_subscribe = true;
                    let [high, low] = subscribe.packet_identifier.to_be_bytes();
                    match version {
                        ProtocolVersion::V5 => vec![0x90, 4, high, low, 0, 1],
                        ProtocolVersion::V3_1_1 => vec![0x90, 3, high, low, 1],
                    }
                }
                Packet::Publish(publish) => publish.packet_identifier.map_or_else(Vec::new, |identifier| {
                    let [high, low] = identifier.to_be_bytes();
                    vec![0x40, 2, high, low]
                }),
                Packet::PingReq => vec![0xD0, 0],
                _ => Vec::new(),
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
            match hostile.flood(version) {
                Some((bytes, everybody)) if is_connect && everybody || is_subscribe && !everybody => {
                    flood(stream.try_clone().unwrap(), bytes);
                }
                _ => {}
            }
            if hostile == Hostile::NeverReads && is_subscribe {
                // Until the other end is gone, which a read would tell.
                while stream.peek(&mut [0]).is_ok_and(|peeked| peeked > 0) {
                    std::thread::sleep(Duration::from_millis(100));
                }
                return;
            }
        }
        unread.drain(..at);
    }
}

/// Waits for the end of a process. Returns what it said, and the most memory that it had.
fn watched(mut child: Child) -> (Output, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        // It only ever grows; absent when the process has just ended.
        peak_bytes = kib.map_or(peak_bytes, |kib| kib * 1024);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(peak_bytes > 0, "its memory was seen");
    (child.wait_with_output().unwrap(), peak_bytes)
}

/// A short run of a tool; the most memory that it had.
fn peak_of(tool: &[&str], hostile: Hostile) -> u64 {
    let parent = tempfile::tempdir().unwrap();
    let child = binary(tool[0])
        .args(&tool[1..])
        .args(["--warmup", "100ms", "--baseline", "500ms", "--recovery", "500ms", "--connect-timeout", "1s"])
        .args(["--slip-limit", "1h", "--no-progress", "--quiet", "--output"])
        .arg(parent.path().join("record"))
        .args(at(broker(hostile)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    watched(child).1
}

const STORM: &[&str] =
    &["ungraceful-takeover", "storm", "--variant", "resume", "--count", "40", "--bystanders", "0"];
const CONNECT: &[&str] =
    &["ungraceful-double-connect", "--variant", "identical", "--attempts", "20", "--bystanders", "4"];
const FLOOD: &[&str] =
    &["ungraceful-flood", "unacked-subscriber", "--attempts", "5", "--messages", "100", "--bystanders", "0"];

/// A load with subscribers; the most memory that it had.
fn peak_of_load(hostile: Hostile) -> u64 {
    let parent = tempfile::tempdir().unwrap();
    let child = binary("ungraceful-bench")
        .args(["pubsub", "--warmup", "0s", "--slip-limit", "1h", "--no-progress", "--quiet"])
        .args(["--publishers", "2", "--subscribers", "8", "--rate", "100", "--duration", "2s"])
        .args(["--connect-timeout", "1s", "--output"])
        .arg(parent.path().join("record"))
        .args(at(broker(hostile)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    watched(child).1
}

fn assert_bounded(peak_of: impl Fn(Hostile) -> u64, hostile: &[Hostile]) {
    let own_bytes = peak_of(Hostile::No);
    for hostile in hostile {
        let bytes = peak_of(*hostile);
        assert!(
            bytes <= own_bytes + ABOVE_BYTES,
            "{hostile:?}: {} MiB, and {} MiB against a broker that behaves",
            bytes >> 20,
            own_bytes >> 20
        );
    }
}

const EVERY_KIND: [Hostile; 6] = [
    Hostile::FloodsSubscribers,
    Hostile::FloodsEverybody,
    Hostile::AnnouncesHugePackets,
    Hostile::SendsProperties,
    Hostile::SendsTinyPackets,
    Hostile::NeverReads,
];

#[test]
fn no_broker_takes_the_memory_of_a_storm_of_clients_that_subscribe() {
    assert_bounded(|hostile| peak_of(STORM, hostile), &EVERY_KIND);
}

#[test]
fn no_broker_takes_the_memory_of_clients_that_are_watched_and_of_bystanders() {
    assert_bounded(|hostile| peak_of(CONNECT, hostile), &EVERY_KIND);
}

#[test]
fn no_broker_takes_the_memory_of_clients_that_withhold_their_acknowledgements() {
    assert_bounded(|hostile| peak_of(FLOOD, hostile), &EVERY_KIND);
}

#[test]
fn no_broker_takes_the_memory_of_a_load() {
    assert_bounded(peak_of_load, &EVERY_KIND);
}

#[test]
fn a_client_that_can_hear_nothing_more_says_why_and_what_was_dropped_is_in_the_record() {
    let address = broker(Hostile::AnnouncesHugePackets);
    let flags = ["--variant", "identical", "-V", "5", "--attempts", "2", "--bystanders", "0"];
    let call = call_at(address, "ungraceful-double-connect", "second-connect", &flags);
    let attempts = call.attempts();
    assert_eq!(attempts.len(), 2, "{}", call.said());
    for attempt in attempts {
        assert_eq!(attempt.outcome, Outcome::NotActed, "{}", call.said());
        let trouble = attempt.trouble.unwrap();
        assert!(trouble.contains("more than the Maximum Packet Size of 131072"), "{trouble}");
    }
    assert!(call.record().generator.discarded.bytes > 32 * 1024, "{}", call.said());
    assert!(call.stdout().contains("dropped to bound memory"), "{}", call.said());
}

#[test]
fn a_run_against_a_broker_that_ignores_everything_takes_no_longer_than_its_plan_says() {
    let address = broker(Hostile::AnswersConnectAlone);
    let flags = ["--attempts", "5", "--bystanders", "0", "--count", "2", "--connect-timeout", "1s"];
    let plan = call_at(
        address,
        "ungraceful-double-connect",
        "second-connect",
        &[&flags[..], &["--print-plan", "--format", "json"]].concat(),
    );
    let plan: Value = serde_json::from_slice(&plan.output.stdout).unwrap();
    let longest_us = plan["bounds"]["duration_s_max"].as_u64().unwrap() * 1_000_000;
    let call = call_at(address, "ungraceful-double-connect", "second-connect", &flags);
    let record = call.record();
    assert!(record.duration_us <= longest_us, "{} µs of {longest_us}: {}", record.duration_us, call.said());
}

#[test]
fn a_broker_that_says_nothing_ends_a_run_within_what_its_plan_says() {
    let address = broker(Hostile::SaysNothing);
    let flags = ["--attempts", "5", "--connect-timeout", "1s"];
    let plan = call_at(
        address,
        "ungraceful-takeover",
        "race",
        &[&flags[..], &["--print-plan", "--format", "json"]].concat(),
    );
    let plan: Value = serde_json::from_slice(&plan.output.stdout).unwrap();
    let longest = Duration::from_secs(plan["bounds"]["duration_s_max"].as_u64().unwrap());
    let began = Instant::now();
    let call = call_at(address, "ungraceful-takeover", "race", &flags);
    // A promise of the product, which it keeps by itself.
    assert!(began.elapsed() <= longest, "{}", call.said());
    assert_eq!(call.exit(), 4, "{}", call.said());
}

#[test]
fn a_tour_that_a_broker_keeps_waiting_is_stopped_within_its_budget_and_says_so() {
    // It serves everybody for ever, so the silent clients wait for half a minute.
    let address = broker(Hostile::No);
    let parent = tempfile::tempdir().unwrap();
    let output = binary("ungraceful")
        .args(["--only", "silence,takeover", "--budget", "30s", "--connect-timeout", "1s"])
        .args(["--slip-limit", "1h", "--no-progress", "--format", "json", "--output"])
        .arg(parent.path().join("tour"))
        .args(at(address))
        .output()
        .unwrap();
    let tour: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(tour["duration_us"].as_u64().unwrap() <= 30_000_000, "{tour}");
    let first = std::fs::read_to_string(parent.path().join("tour/1-silence/run.json")).unwrap();
    let first: Record = serde_json::from_str(&first).unwrap();
    assert_eq!(first.completeness, Completeness::OutOfTime);
    assert!(first.incomplete_because.unwrap().contains("at the longest"));
    let second = tour["causes"][1]["not_shown"]["why"].as_str().unwrap();
    assert!(second.contains("--budget"), "{second}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("30 s at the longest"), "{output:?}");
}

#[test]
fn a_budget_in_which_no_run_could_end_is_a_mistake() {
    let output = binary("ungraceful").args(["--budget", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--budget: 1 s is too short") && said.contains("or more"), "{said}");
}
