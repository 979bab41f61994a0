//! Brokers that try to exhaust the tool, or keep it waiting: memory and time stay within the documented bounds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ungraceful_mqtt::{Framed, Packet, ProtocolVersion, Publish, frame};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_wire::clock::now;

use crate::support::{at, binary, call_at, record_in, tour, tour_at};

/// Memory that a run may need above the same run against a well-behaved broker.
const ABOVE_BYTES: u64 = 64 << 20;
/// More than the initial kernel buffers of a connection, which shows that the flood went on.
const BUFFERED_BYTES: u64 = 1 << 20;

/// What a broker does to a client that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    /// Nothing: it answers, forwards messages, and closes no connection.
    No,
    /// It sends PUBLISH packets to every subscriber, as fast as possible.
    FloodsSubscribers,
    /// It sends PUBLISH packets to every client.
    FloodsEverybody,
    /// It announces packets of 256 MB, and sends as much of them as possible.
    AnnouncesHugePackets,
    /// It sends PUBLISH packets that are mostly User Properties, each below the client's maximum.
    SendsProperties,
    /// It sends unsolicited answers, in the shortest packets.
    SendsTinyPackets,
    /// It reads nothing after SUBSCRIBE.
    NeverReads,
    /// It answers only CONNECT.
    AnswersConnectAlone,
    /// It accepts connections, and sends nothing.
    SaysNothing,
}

impl Hostile {
    /// The bytes to send without end, and whether to every client instead of only to subscribers.
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

/// A client that subscribed, or has sent nothing yet.
type Shared = Arc<Mutex<TcpStream>>;

/// The subscriptions.
#[derive(Clone, Default)]
struct Subscribers(Arc<Mutex<Vec<(String, Shared, ProtocolVersion)>>>);

impl Subscribers {
    /// Sends a message to the subscribers of its topic, at QoS 0.
    fn forward(&self, topic: &str, payload: &[u8]) {
        for (filter, stream, version) in &*self.0.lock().unwrap() {
            let root = filter.trim_end_matches(['+', '#']);
            if topic != filter && (root == filter || !topic.starts_with(root)) {
                continue;
            }
            let mut bytes = Vec::new();
            Publish::new(topic, payload).encode(*version, &mut bytes).unwrap();
            let _gone = stream.lock().unwrap().write_all(&bytes);
        }
    }

    /// Removes this client's subscriptions.
    fn forget(&self, client: &Shared) {
        self.0.lock().unwrap().retain(|(_, stream, _)| !Arc::ptr_eq(stream, client));
    }
}

/// What a broker has done to the clients of a run.
#[derive(Clone, Default)]
struct Done {
    /// Bytes of a flood that were handed to the kernel, of the connection that got the most.
    flooded_bytes: Arc<AtomicU64>,
    /// Clients that are read no more.
    unread: Arc<AtomicU64>,
}

/// Starts a broker that ends with the test's process. Except for `SaysNothing`, it behaves well towards the clients of a run's
/// preflight.
fn broker(hostile: Hostile) -> SocketAddr {
    broker_that_counts(hostile).0
}

/// The same, with counters of what it does.
fn broker_that_counts(hostile: Hostile) -> (SocketAddr, Done) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let done = Done::default();
    let counted = done.clone();
    std::thread::spawn(move || {
        let subscribers = Subscribers::default();
        for stream in listener.incoming() {
            let (subscribers, done) = (subscribers.clone(), counted.clone());
            std::thread::spawn(move || serve(stream.unwrap(), hostile, &subscribers, &done));
        }
    });
    (address, done)
}

/// Sends without end, until the client is gone.
fn flood(stream: Shared, bytes: Vec<u8>, done: Done) {
    std::thread::spawn(move || {
        let mut flooded = 0;
        while stream.lock().unwrap().write_all(&bytes).is_ok() {
            flooded += bytes.len() as u64;
            done.flooded_bytes.fetch_max(flooded, Ordering::Relaxed);
            // Lets answers through.
            std::thread::yield_now();
        }
    });
}

fn serve(mut reader: TcpStream, meant: Hostile, subscribers: &Subscribers, done: &Done) {
    let (mut unread, mut buffer, mut version) = (Vec::new(), [0; 16 * 1024], ProtocolVersion::V5);
    let shared = Arc::new(Mutex::new(reader.try_clone().unwrap()));
    let mut hostile = Hostile::No;
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        unread.extend_from_slice(&buffer[..read]);
        let mut at = 0;
        while let Framed::Complete(whole) = frame(&unread[at..]) {
            at += whole.len();
            let packet = whole.decode(version).packet;
            let (is_connect, is_subscribe) =
                (matches!(packet, Packet::Connect(_)), matches!(packet, Packet::Subscribe(_)));
            if let Packet::Connect(connect) = &packet {
                version = connect.version().unwrap_or(ProtocolVersion::V5);
                let is_tried = connect.client_id.starts_with("ugpre") && meant != Hostile::SaysNothing;
                hostile = if is_tried { Hostile::No } else { meant };
            }
            if hostile == Hostile::SaysNothing || hostile == Hostile::AnswersConnectAlone && !is_connect {
                continue;
            }
            if let Packet::Subscribe(subscribe) = &packet {
                let filters = subscribe.filters.iter();
                let taken =
                    filters.map(|taken| (taken.topic_filter.to_owned(), Arc::clone(&shared), version));
                subscribers.0.lock().unwrap().extend(taken);
            }
            if shared.lock().unwrap().write_all(&answer(&packet, version)).is_err() {
                return;
            }
            if let Packet::Publish(publish) = &packet {
                subscribers.forward(publish.topic, publish.payload);
            }
            match hostile.flood(version) {
                Some((bytes, everybody)) if is_connect && everybody || is_subscribe && !everybody => {
                    subscribers.forget(&shared);
                    flood(Arc::clone(&shared), bytes, done.clone());
                }
                _ => {}
            }
            if hostile == Hostile::NeverReads && is_subscribe {
                subscribers.forget(&shared);
                done.unread.fetch_add(1, Ordering::Relaxed);
                // Until the test's process ends: a socket that is dropped would be closed.
                std::thread::park();
            }
        }
        unread.drain(..at);
    }
}

/// The answer to a packet; empty for most.
fn answer(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let is_5 = version == ProtocolVersion::V5;
    match packet {
        Packet::Connect(_) if is_5 => vec![0x20, 3, 0, 0, 0],
        Packet::Connect(_) => vec![0x20, 2, 0, 0],
        Packet::Subscribe(subscribe) => {
            let [high, low] = subscribe.packet_identifier.to_be_bytes();
            if is_5 { vec![0x90, 4, high, low, 0, 1] } else { vec![0x90, 3, high, low, 1] }
        }
        Packet::Publish(publish) => publish.packet_identifier.map_or_else(Vec::new, |identifier| {
            let [high, low] = identifier.to_be_bytes();
            vec![0x40, 2, high, low]
        }),
        Packet::PingReq => vec![0xD0, 0],
        _ => Vec::new(),
    }
}

/// A finished run.
struct Run {
    output: Output,
    /// Its peak memory.
    peak_bytes: u64,
    /// What the broker did to it.
    done: Done,
    /// Absent when it kept none.
    record: Option<Record>,
}

/// Waits for the end of a process. Returns its output and its peak memory.
fn watched(mut child: Child) -> (Output, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_bytes = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        // It never shrinks; absent when the process has just ended.
        peak_bytes = kib.map_or(peak_bytes, |kib| kib * 1024);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(peak_bytes > 0, "its memory was seen");
    (child.wait_with_output().unwrap(), peak_bytes)
}

/// A run with these flags against a hostile broker, to its end.
fn run_of(flags: &str, hostile: Hostile) -> Run {
    let parent = tempfile::tempdir().unwrap();
    let (address, done) = broker_that_counts(hostile);
    let bounded = "--connect-timeout 1s --slip-limit 1h --no-progress --quiet --output";
    let child = binary(&format!("{flags} {} {bounded}", at(address)))
        .arg(parent.path().join("record"))
        // Its short output fits into the pipes.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (output, peak_bytes) = watched(child);
    let record = std::fs::read_to_string(parent.path().join("record/run.json")).ok();
    let record = record.map(|text| serde_json::from_str(&text).unwrap());
    Run { output, peak_bytes, done, record }
}

/// A short run of a tool.
fn short_run(tool: &str, hostile: Hostile) -> Run {
    let phases = "--warmup 100ms --baseline 500ms --recovery 500ms";
    run_of(&format!("{tool} {phases}"), hostile)
}

const STORM: &str = "ungraceful-takeover storm --variant resume --count 40 --bystanders 0";
const CONNECT: &str = "ungraceful-double-connect --variant identical --attempts 20 --bystanders 4";
const FLOOD: &str = "ungraceful-flood unacked-subscriber --attempts 5 --messages 100 --bystanders 0";

/// A load with subscribers.
fn load(hostile: Hostile) -> Run {
    let bench = "ungraceful-bench pubsub --warmup 0s --publishers 2 --subscribers 8";
    run_of(&format!("{bench} --rate 100 --duration 2s"), hostile)
}

impl Run {
    /// It ended with a verdict or with an error message, and the broker was hostile to it.
    fn assert_withstood(&self, hostile: Hostile) {
        let said = format!("{hostile:?}: {:?}", self.output);
        let code = self.output.status.code();
        assert!(matches!(code, Some(0 | 1 | 3 | 4)), "{said}");
        let stderr = String::from_utf8_lossy(&self.output.stderr);
        // Exit code 4: no record, but an error message.
        assert_eq!(self.record.is_none(), code == Some(4), "{said}");
        assert!(code != Some(4) || !stderr.is_empty(), "{said}");
        assert!(!stderr.contains("panicked"), "{said}");
        match hostile {
            Hostile::NeverReads => assert!(self.done.unread.load(Ordering::Relaxed) > 0, "{said}"),
            _ => self.assert_flooded(hostile, &said),
        }
    }

    /// The flood was sent, and an endless one continued. A client may end its connection on packets above its maximum or on
    /// unsolicited answers.
    fn assert_flooded(&self, hostile: Hostile, said: &str) {
        let goes_on = matches!(
            hostile,
            Hostile::FloodsSubscribers | Hostile::FloodsEverybody | Hostile::SendsProperties
        );
        let flooded = self.done.flooded_bytes.load(Ordering::Relaxed);
        assert!(flooded > if goes_on { BUFFERED_BYTES } else { 0 }, "{flooded} bytes went out: {said}");
    }
}

fn assert_bounded(run: impl Fn(Hostile) -> Run, hostile: &[Hostile]) {
    let well = run(Hostile::No);
    assert!(matches!(well.output.status.code(), Some(0 | 1 | 3)), "{:?}", well.output);
    assert_eq!(well.done.flooded_bytes.load(Ordering::Relaxed), 0);
    let own_bytes = well.peak_bytes;
    for hostile in hostile {
        let seen = run(*hostile);
        seen.assert_withstood(*hostile);
        assert!(
            seen.peak_bytes <= own_bytes + ABOVE_BYTES,
            "{hostile:?}: {} MiB, and {} MiB against a broker that behaves",
            seen.peak_bytes >> 20,
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
fn memory_is_bounded_for_a_storm_of_subscribers() {
    assert_bounded(|hostile| short_run(STORM, hostile), &EVERY_KIND);
}

#[test]
fn memory_is_bounded_for_watched_clients_and_bystanders() {
    assert_bounded(|hostile| short_run(CONNECT, hostile), &EVERY_KIND);
}

#[test]
fn memory_is_bounded_for_clients_that_withhold_acknowledgements() {
    assert_bounded(|hostile| short_run(FLOOD, hostile), &EVERY_KIND);
}

#[test]
fn memory_is_bounded_for_a_load() {
    assert_bounded(load, &EVERY_KIND);
}

#[test]
fn a_client_that_stops_reading_says_why_and_records_the_rest() {
    let address = broker(Hostile::AnnouncesHugePackets);
    // The broker starts to send when it has accepted the client, well before the second CONNECT.
    let variant = "--variant delayed --delay 1s";
    let flags = format!("{variant} -V 5 --attempts 2 --bystanders 0");
    let call = call_at(address, "ungraceful-double-connect", "double-connect", &flags);
    let attempts = call.attempts();
    assert_eq!(attempts.len(), 2, "{call}");
    for attempt in attempts {
        assert_eq!(attempt.outcome, Outcome::NotActed, "{call}");
        let trouble = attempt.trouble.unwrap();
        assert!(trouble.contains("more than the Maximum Packet Size of 131072"), "{trouble}");
    }
    assert!(call.record().generator.discarded.bytes > 0, "{call}");
    call.assert_prints(&["discarded to limit memory"]);
}

/// The bound on the duration in the plan of this call.
fn planned(address: SocketAddr, tool: &str, mode: &str, flags: &str) -> Duration {
    let plan = call_at(address, tool, mode, &format!("{flags} --print-plan --format json"));
    Duration::from_secs(plan.json()["bounds"]["duration_s_max"].as_u64().unwrap())
}

#[test]
fn a_run_against_a_silent_broker_ends_within_its_planned_bound() {
    let address = broker(Hostile::AnswersConnectAlone);
    let flags = "--attempts 5 --bystanders 0 --count 2 --connect-timeout 1s";
    let longest = planned(address, "ungraceful-double-connect", "double-connect", flags);
    let call = call_at(address, "ungraceful-double-connect", "double-connect", flags);
    let took = Duration::from_micros(call.record().duration_us);
    assert!(took <= longest, "{took:?} of {longest:?}: {call}");
}

#[test]
fn a_silent_broker_ends_a_run_within_its_planned_bound() {
    let address = broker(Hostile::SaysNothing);
    let flags = "--attempts 5 --connect-timeout 1s";
    let longest = planned(address, "ungraceful-takeover", "race", flags);
    let began = now();
    let call = call_at(address, "ungraceful-takeover", "race", flags);
    // The bound is part of the product.
    assert!(began.elapsed() <= longest, "{call}");
    assert_eq!(call.exit(), 4, "{call}");
}

#[test]
fn a_slow_tour_is_stopped_within_its_budget() {
    // It never closes, so the silent clients wait for half a minute.
    let address = broker(Hostile::No);
    let flags = "--only silence,takeover --budget 30s --connect-timeout 1s --format json";
    let call = tour_at(address, flags).expect_exit(3);
    let tour = call.json();
    assert!(tour["duration_us"].as_u64().unwrap() <= 30_000_000, "{tour}");
    let first = record_in(&call.folder.join("1-silence"));
    assert_eq!(first.completeness, Completeness::OutOfTime);
    let because = first.incomplete_because.unwrap();
    assert!(because.starts_with("the tour's budget ended this run"), "the broker is not blamed: {because}");
    let second = tour["causes"][1]["not_shown"]["why"].as_str().unwrap();
    assert!(second.contains("--budget"), "{second}");
    assert!(call.stderr().contains("at most 30 s"), "{call}");
}

#[test]
fn a_budget_that_ends_a_run_before_any_attempt_is_inconclusive() {
    // It may wait ten seconds for a CONNACK, but has three left.
    let address = broker(Hostile::SaysNothing);
    let flags = "--only takeover,double-connect --budget 40s --connect-timeout 10s --format json";
    let call = tour_at(address, flags).expect_exit(3);
    let tour = call.json();
    let why = tour["causes"][0]["not_shown"]["why"].as_str().unwrap();
    assert!(why.starts_with("the tour's budget ended this run"), "{why}");
    assert!(why.contains("nothing was attempted") && !why.contains("broker"), "{why}");
}

#[test]
fn a_budget_below_one_run_is_a_mistake() {
    tour("--budget 1s").assert_mistake(&["--budget: 1 s is too short", "or more"]);
}
