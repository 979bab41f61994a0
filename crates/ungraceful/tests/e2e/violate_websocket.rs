//! Frames and sub-protocols of WebSocket: on Mosquitto, on other real brokers, and on a front that keeps or breaks each rule.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tungstenite::handshake::derive_accept_key;
use ungraceful_mqtt::{Framed, frame};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::FactsByText;
use ungraceful_record::verdict::Conclusion::{Holds, Inconclusive, Violated};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::check_verdicts::{assert_exit, check_verdicts};
use crate::real_brokers::RealBroker;
use crate::secured::{SecuredMosquitto, certificates};
use crate::support::{Call, VERSIONS, call};

const TEXT: &str = "closes_on_text_frames";
const ANY_FRAMES: &str = "takes_packets_in_any_frames";
const SUBPROTOCOL: &str = "selects_no_other_subprotocol";
const FORBIDDEN: &str = "closes_on_forbidden_frames";

fn violate(target: &str, flags: &str) -> Call {
    let quick = "--bystanders 1 --attempts 2 --reaction-timeout 2s";
    call("ungraceful-violate", "websocket", &format!("{target} {quick} {flags}"))
}

/// What a front does with what it should not take, or should.
#[derive(Clone, Copy, Default)]
struct Rules {
    /// Forwards text frames.
    takes_text: bool,
    /// Sends text frames to clients that do.
    answers_in_text: bool,
    /// Closes on frames that are not whole packets.
    wants_whole_packets: bool,
    /// Takes every sub-protocol that is asked for, and none.
    takes_any_subprotocol: bool,
    /// Forwards the payload of frames that RFC 6455 forbids.
    takes_forbidden_frames: bool,
    /// Waits for the whole payload of long frames.
    waits_for_long_frames: bool,
    /// Sends the broker a DISCONNECT when the client sends a Close frame.
    takes_close_for_disconnect: bool,
}

/// WebSocket in front of a broker without it.
struct Front {
    address: SocketAddr,
    _broker: ScriptedBroker,
}

impl Front {
    fn with(rules: Rules) -> Self {
        let broker = ScriptedBroker::start(Script::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, behind) = (listener.local_addr().unwrap(), broker.address());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                std::thread::spawn(move || {
                    // A client that goes is no failure of the test.
                    let _gone = serve(&client, behind, rules);
                    let _closed = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, _broker: broker }
    }

    fn url(&self) -> String {
        format!("--url ws://localhost:{}/mqtt", self.address.port())
    }
}

/// Serves one client, until either side ends the connection.
fn serve(client: &TcpStream, broker: SocketAddr, rules: Rules) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    if !upgrade(&mut reader, client, rules)? {
        return Ok(());
    }
    let broker = TcpStream::connect(broker)?;
    let (mut to_client, mut from_broker) = (client.try_clone()?, broker.try_clone()?);
    let has_sent_text = Arc::new(AtomicBool::new(false));
    let in_text = Arc::clone(&has_sent_text);
    std::thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok(count @ 1..) = from_broker.read(&mut bytes) {
            let is_text = rules.answers_in_text && in_text.load(Ordering::Relaxed);
            let header = [if is_text { 0x81 } else { 0x82 }, u8::try_from(count).unwrap()];
            if to_client.write_all(&[&header, &bytes[..count]].concat()).is_err() {
                break;
            }
        }
        let _closed = to_client.shutdown(Shutdown::Both);
    });
    let code = forward(&mut reader, &broker, rules, &has_sent_text)?;
    let mut client = client;
    // Before the broker's end, on which the other thread closes the client's connection.
    let written = client.write_all(&[&[0x88, 2][..], &code.to_be_bytes()].concat());
    let _ended = broker.shutdown(Shutdown::Both);
    written
}

/// Answers the request; false when it is refused.
fn upgrade(reader: &mut impl BufRead, mut client: &TcpStream, rules: Rules) -> std::io::Result<bool> {
    let (mut key, mut asked_for, mut line) = (String::new(), None, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.trim().split_once(": ") {
            match name {
                "Sec-WebSocket-Key" => key = value.to_owned(),
                "Sec-WebSocket-Protocol" => asked_for = Some(value.to_owned()),
                _ => {}
            }
        }
        line.clear();
    }
    if asked_for.as_deref() != Some("mqtt") && !rules.takes_any_subprotocol {
        client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(false);
    }
    let selected =
        asked_for.as_ref().map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
    let accept = derive_accept_key(key.as_bytes());
    write!(
        client,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{selected}\r\n"
    )?;
    Ok(true)
}

/// Forwards the payload of frames until one is not taken; the code for the Close frame.
fn forward(
    reader: &mut impl Read,
    mut broker: &TcpStream,
    rules: Rules,
    has_sent_text: &AtomicBool,
) -> std::io::Result<u16> {
    loop {
        let mut head = [0; 2];
        reader.read_exact(&mut head)?;
        let length = match head[1] & 0x7F {
            length @ 0..126 => length.into(),
            of => {
                let mut bytes = [0; 8];
                reader.read_exact(&mut bytes[if of == 126 { 6 } else { 0 }..])?;
                u64::from_be_bytes(bytes)
            }
        };
        let (opcode, is_masked) = (head[0] & 0x0F, head[1] & 0x80 != 0);
        let mut key = [0; 4];
        if is_masked {
            reader.read_exact(&mut key)?;
        }
        let is_forbidden = !is_masked || head[0] & 0x70 != 0 || opcode == 3 || length > i64::MAX as u64;
        if is_forbidden && !rules.takes_forbidden_frames {
            return Ok(1002);
        }
        if length > 1_000_000 && !rules.waits_for_long_frames && !is_forbidden {
            return Ok(1009);
        }
        let mut payload = Vec::new();
        reader.take(length).read_to_end(&mut payload)?;
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        match opcode {
            1 if !rules.takes_text => return Ok(1003),
            1 => has_sent_text.store(true, Ordering::Relaxed),
            8 => {
                if rules.takes_close_for_disconnect {
                    broker.write_all(&[0xE0, 0])?;
                }
                return Ok(1000);
            }
            9 | 10 => continue,
            _ => {}
        }
        if rules.wants_whole_packets && !(head[0] & 0x80 != 0 && is_whole(&payload)) {
            return Ok(1007);
        }
        broker.write_all(&payload)?;
    }
}

/// Whether the bytes are one whole packet.
fn is_whole(bytes: &[u8]) -> bool {
    matches!(frame(bytes), Framed::Complete(whole) if whole.bytes.len() == bytes.len())
}

/// Raw sockets confirm the violated verdicts at this front, and not at one that keeps the rules.
fn assert_confirmed_only_at(front: &Front, call: &Call) {
    let Some(seen) = check_verdicts(front.address, &call.folder) else { return };
    assert_exit(&seen, 0, "agree");
    let Some(seen) = check_verdicts(Front::with(Rules::default()).address, &call.folder) else { return };
    assert_exit(&seen, 1, "DISAGREE");
}

#[test]
fn a_broker_that_keeps_every_rule_of_websocket_passes() {
    let front = Front::with(Rules::default());
    let call = violate(&front.url(), "--variant all").expect_exit(0);
    for version in VERSIONS {
        for variant in ["text-connect", "text-publish"] {
            assert_eq!(call.conclusion(TEXT, variant, version), Holds, "{call}");
            let closed = "WebSocket Close 1003 (unsupported data)";
            assert_eq!(call.case(variant, version).fact("ended_by", closed), 2, "{call}");
        }
        for variant in ["split", "fragmented", "joined"] {
            assert_eq!(call.conclusion(ANY_FRAMES, variant, version), Holds, "{call}");
            assert_eq!(call.case(variant, version).fact("packets", "answered"), 2, "{call}");
        }
    }
    assert_eq!(call.conclusion(SUBPROTOCOL, "other-subprotocol", "5.0"), Holds, "{call}");
    for variant in ["unmasked", "reserved-opcode", "reserved-bit", "impossible-length"] {
        assert_eq!(call.conclusion(FORBIDDEN, variant, "5.0"), Holds, "{call}");
        assert_eq!(call.case(variant, "5.0").outcome(Outcome::Closed), 2, "{call}");
    }
    assert_eq!(call.differing(), Vec::<String>::new(), "{call}");
    call.assert_prints(&["HTTP 400 Bad Request", "WebSocket Close 1009 (message too big)"]);
}

#[test]
fn mqtt5_6_0_0_1_and_mqtt3_1_1_6_0_0_1_taking_text_frames_is_violated() {
    for answers_in_text in [false, true] {
        let front = Front::with(Rules { takes_text: true, answers_in_text, ..Rules::default() });
        let call = violate(&front.url(), "--variant text-connect,text-publish");
        call.assert_violates(&[TEXT]);
        for version in VERSIONS {
            assert_eq!(call.conclusion(TEXT, "text-connect", version), Violated, "{call}");
            assert_eq!(call.conclusion(TEXT, "text-publish", version), Violated, "{call}");
        }
        assert_confirmed_only_at(&front, &call);
    }
}

#[test]
fn mqtt5_6_0_0_2_and_mqtt3_1_1_6_0_0_2_wanting_whole_packets_is_violated() {
    let front = Front::with(Rules { wants_whole_packets: true, ..Rules::default() });
    let call = call(
        "ungraceful-violate",
        "websocket",
        &format!("{} --attempts 3 --bystanders 1 --variant split,fragmented,joined", front.url()),
    );
    // Its library joins packets too.
    assert!(call.record().bystanders.is_some(), "{call}");
    call.assert_violates(&[ANY_FRAMES]);
    assert_confirmed_only_at(&front, &call);
    for version in VERSIONS {
        for variant in ["split", "fragmented", "joined"] {
            assert_eq!(call.conclusion(ANY_FRAMES, variant, version), Violated, "{call}");
        }
    }
}

#[test]
fn mqtt5_6_0_0_4_and_mqtt3_1_1_6_0_0_4_selecting_another_subprotocol_is_violated() {
    let front = Front::with(Rules { takes_any_subprotocol: true, ..Rules::default() });
    for version in VERSIONS {
        let flags = format!("-V {version} --variant other-subprotocol,no-subprotocol");
        let call = violate(&front.url(), &flags);
        call.assert_violates(&[SUBPROTOCOL]);
        assert_eq!(call.differing(), ["requires_a_subprotocol"], "{call}");
        assert_confirmed_only_at(&front, &call);
    }
}

#[test]
fn taking_forbidden_frames_and_waiting_for_long_ones_is_only_noted() {
    let rules = Rules { takes_forbidden_frames: true, waits_for_long_frames: true, ..Rules::default() };
    let front = Front::with(rules);
    let variants = "unmasked,reserved-opcode,reserved-bit,impossible-length,long-frame,cut-packet";
    let call = violate(&front.url(), &format!("--variant {variants}")).expect_exit(0);
    for variant in ["unmasked", "reserved-opcode", "reserved-bit"] {
        assert_eq!(call.case(variant, "5.0").outcome(Outcome::Tolerated), 2, "{call}");
    }
    for variant in ["impossible-length", "long-frame", "cut-packet"] {
        assert_eq!(call.case(variant, "5.0").outcome(Outcome::NoReaction), 2, "{call}");
    }
    assert_eq!(call.differing(), [FORBIDDEN, "does_not_wait_for_long_frames"], "{call}");
}

#[test]
fn mqtt5_3_1_2_8_and_mqtt3_1_1_3_1_2_8_taking_a_close_frame_for_a_disconnect_is_violated() {
    const WILL: &str = "publishes_the_will";
    for takes_close_for_disconnect in [false, true] {
        let front = Front::with(Rules { takes_close_for_disconnect, ..Rules::default() });
        let flags = format!("{} --bystanders 1 --attempts 3 --variant ws-close", front.url());
        let call = call("ungraceful-vanish", "drop", &flags);
        if takes_close_for_disconnect {
            call.assert_violates(&[WILL]);
            assert_confirmed_only_at(&front, &call);
        } else {
            call.assert_violates_nothing();
        }
        for version in VERSIONS {
            let expected = if takes_close_for_disconnect { Violated } else { Holds };
            assert_eq!(call.conclusion(WILL, "ws-close", version), expected, "{call}");
            assert_eq!(call.conclusion("closes_its_side", "ws-close", version), Holds, "{call}");
        }
    }
}

#[test]
fn without_websocket_every_variant_is_skipped() {
    let broker = ScriptedBroker::start(Script::default());
    let target = format!("--url mqtt://localhost:{}", broker.address().port());
    let call = violate(&target, "").expect_exit(4);
    call.assert_reports(&["the connections are without WebSocket; give --ws, or a URL with ws:// or wss://"]);
}

#[test]
fn mosquitto_takes_text_frames_and_packets_in_any_frames() {
    let broker = SecuredMosquitto::start();
    for target in [broker.over_websocket(), broker.over_both()] {
        let call = violate(&target, "--variant all");
        for version in VERSIONS {
            for variant in ["split", "fragmented", "joined"] {
                assert_eq!(call.conclusion(ANY_FRAMES, variant, version), Holds, "{call}");
            }
        }
        assert_eq!(call.conclusion(SUBPROTOCOL, "other-subprotocol", "5.0"), Holds, "{call}");
        if call.record().broker.sys_version.as_deref() == Some("mosquitto version 2.0.11") {
            call.assert_violates(&[TEXT]);
            for version in VERSIONS {
                assert_eq!(call.case("text-publish", version).fact("packets", "answered"), 2, "{call}");
            }
            assert_eq!(call.case("unmasked", "5.0").outcome(Outcome::Tolerated), 2, "{call}");
        }
        for variant in ["reserved-opcode", "reserved-bit", "impossible-length"] {
            assert_eq!(call.conclusion(FORBIDDEN, variant, "5.0"), Holds, "{call}");
        }
    }
}

#[test]
fn rabbitmq_and_nats_take_packets_in_any_frames() {
    let certificates = certificates();
    let folder = certificates.path().display().to_string();
    let authority = format!("--cafile {}", certificates.path().join("ca.pem").display());
    for (name, port, scheme, path, authority) in
        [("rabbitmq", "ws_port", "ws", "/ws", ""), ("nats", "wss_port", "wss", "/mqtt", &*authority)]
    {
        let Some(broker) = RealBroker::start_with(name, &["--certificates", &folder]) else { continue };
        let target = format!(
            "--url {scheme}://localhost:{}{path} {authority} -V 3.1.1 --bystander-qos 0,1 --reaction-timeout 5s",
            broker.port(port)
        );
        let quick = "--bystanders 1 --attempts 1";
        // The frame of impossible-length ends NATS 2.9.
        let variants =
            "text-connect,text-publish,split,fragmented,joined,other-subprotocol,unmasked,reserved-opcode";
        let run = format!("{target} {quick} --variant {variants}");
        let call = call("ungraceful-violate", "websocket", &run);
        for variant in ["split", "fragmented", "joined"] {
            assert_eq!(call.conclusion(ANY_FRAMES, variant, "3.1.1"), Holds, "{call}");
        }
        for variant in ["unmasked", "reserved-opcode"] {
            assert_eq!(call.conclusion(FORBIDDEN, variant, "3.1.1"), Holds, "{call}");
            assert_eq!(call.case(variant, "3.1.1").facts["ended_by"].len(), 1, "{call}");
        }
        // RabbitMQ 3.10 answers nothing to a text frame, and NATS 2.9 takes it for a binary one.
        assert_ne!(call.conclusion(TEXT, "text-connect", "3.1.1"), Holds, "{call}");
        if name == "rabbitmq" {
            assert_eq!(call.conclusion(TEXT, "text-connect", "3.1.1"), Inconclusive, "{call}");
            assert_eq!(call.conclusion(SUBPROTOCOL, "other-subprotocol", "3.1.1"), Violated, "{call}");
        }
    }
}
