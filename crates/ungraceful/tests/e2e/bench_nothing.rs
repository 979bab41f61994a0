//! `ungraceful-bench` without a usable result: it says so first, with the Reason Code and the fix, and exits with 3 or 4.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;

use ungraceful_mqtt::{Connect, ProtocolVersion, Publish};
use ungraceful_record::verdict::Conclusion;
use ungraceful_scripted_broker::{Pubacks, Script, ScriptedBroker};

use crate::support::{Call, bench, bench_at};

const PAIRS: &str = "--publishers 2 --subscribers 2 --rate 30 --duration 1s";

/// The call is inconclusive, and the first line after the title says why.
fn has_no_result(call: &Call, because: &str) {
    assert_eq!(call.exit(), 3, "{call}");
    let shown = call.stdout();
    let second = shown.lines().filter(|line| !line.trim().is_empty()).nth(1).unwrap_or_default();
    assert!(second.contains("NO RESULT") && second.contains(because), "{because}\n{shown}");
}

/// Makes the broker retain this many messages, on `kept/0` and so on.
fn retain(address: SocketAddr, messages: u32, payload: &[u8]) {
    let mut bytes = Vec::new();
    Connect::new("keeper").encode(ProtocolVersion::V3_1_1, &mut bytes).unwrap();
    for number in 0..messages {
        let topic = format!("kept/{number}");
        let message = Publish { retain: true, ..Publish::new(&topic, payload) };
        message.encode(ProtocolVersion::V3_1_1, &mut bytes).unwrap();
    }
    ungraceful_mqtt::encode::pingreq(&mut bytes);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&bytes).unwrap();
    // CONNACK, and a PINGRESP when everything before it has been taken.
    stream.read_exact(&mut [0; 4 + 2]).unwrap();
}

#[test]
fn a_client_is_closed_at_the_end_of_its_token_and_rejected_later() {
    let nothing = "lose-every-1".parse().unwrap();
    for (qos, pubacks, because) in [
        ("0", Pubacks::AtOnce, "none of 30 deliveries arrived"),
        ("1", Pubacks::AtOnce, "none of 30 deliveries arrived"),
        ("1", Pubacks::Never, "acknowledged none of 30 messages; none of 30 deliveries arrived"),
    ] {
        let script = Script { deliveries: nothing, pubacks, ..Script::default() };
        let call = bench_at(script, "pubsub", &format!("{PAIRS} -q {qos}"));
        has_no_result(&call, because);
        let verdict = &call.verdicts("loses_nothing")[0];
        assert_eq!((verdict.conclusion, call.load().all().delivered), (Conclusion::Inconclusive, 0));
    }
}

#[test]
fn rejected_messages_are_reported_with_their_reason_code() {
    for qos in ["1", "2"] {
        let script = Script { pubacks: Pubacks::Refuse(0x95), ..Script::default() };
        let call = bench_at(script, "pub", &format!("-c 2 -q {qos} --rate 200 -z 1s"));
        has_no_result(&call, "none of 200 messages: refused 200 by 0x95 Packet too large");
        let verdict = &call.verdicts("accepts_the_messages")[0];
        assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
        assert!(verdict.evidence.contains("lower --size"), "{verdict:?}");
        assert_eq!(call.load().all().refused[&0x95], 200, "{call}");
    }
}

#[test]
fn messages_beyond_the_maximum_packet_size_name_the_size_that_fits() {
    let script = Script { maximum_packet_size: NonZeroU32::new(1_000), ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let publish =
        |flags: &str| bench_at(broker.address(), "pub", &format!("-c 1 --rate 50 -z 1s -q 1 {flags}"));
    let call = publish("-s 2000").expect_exit(4);
    let stderr = call.stderr();
    assert!(stderr.contains("takes packets of 1000 bytes at the most"), "{stderr}");
    let (_, size) = stderr.split_once("give --size ").expect("the fix");
    let (size, _) = size.split_once(' ').expect("and less");
    let fits = publish(&format!("-s {size}"));
    assert_eq!((fits.exit(), fits.load().all().acknowledged), (0, 50), "{fits}");
    let larger = (size.parse::<u32>().unwrap() + 1).to_string();
    assert_eq!(publish(&format!("-s {larger}")).exit(), 4, "one byte more");
    let text = publish(&format!("-m {}", "x".repeat(2_000)));
    assert!(text.exit() == 4 && text.stderr().contains("shorten --message"), "{text}");
}

#[test]
fn retained_messages_are_not_counted_as_live() {
    let broker = ScriptedBroker::start(Script::default());
    retain(broker.address(), 50, b"kept");
    let call = bench_at(broker.address(), "sub", "-c 1 -t 'kept/#' -z 1s");
    has_no_result(&call, "only retained messages (50)");
    assert_eq!((call.load().retained, call.load().foreign), (50, 0));
    let verdict = &call.verdicts("receives_live_messages")[0];
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{verdict:?}");
    let nothing = bench_at(broker.address(), "sub", "-c 1 -t 'nobody/#' -z 1s");
    has_no_result(&nothing, "no message arrived");
}

#[test]
fn an_oversized_message_names_the_limit_and_the_flag() {
    let broker = ScriptedBroker::start(Script::default());
    retain(broker.address(), 1, &[b'x'; 300_000]);
    let listen = |flags: &str| {
        let common = "-c 1 -t 'kept/#' -z 1s";
        bench_at(broker.address(), "sub", &format!("{common} {flags}"))
    };
    let call = listen("-V 3.1.1");
    let reasons = call.connection_errors();
    let reason = "a packet from the broker above the 262144 bytes that we accept (raise --max-packet-size)";
    assert!(reasons.iter().any(|found| found.starts_with(reason)), "{reasons:?}\n{call}");
    has_no_result(&call, reason);
    // What the broker of 5.0 keeps back is not seen at all.
    has_no_result(&listen("-V 5"), "withholds messages larger than --max-packet-size");
    for version in ["3.1.1", "5"] {
        let large = listen(&format!("-V {version} --max-packet-size 400000"));
        assert_eq!((large.load().retained, large.exit()), (1, 3), "{large}");
    }
    let mistaken = listen("--max-packet-size 10");
    mistaken.assert_mistake(&["--max-packet-size: "]);
}

#[test]
fn connecting_is_included_in_the_brokers_cost_of_a_load() {
    let call = bench("conn", "--spawn mosquitto -c 200 -R 1000 -z 1s").expect_exit(0);
    let resources = call.record().broker_resources.unwrap();
    let (before, max) = (resources.descriptors.before_fault.unwrap(), resources.descriptors.max.unwrap());
    assert!(max >= before + 200, "{resources:?}");
    assert!(resources.cpu_us_connecting.is_some(), "{resources:?}");
    call.assert_prints(&["before connecting"]);
}
