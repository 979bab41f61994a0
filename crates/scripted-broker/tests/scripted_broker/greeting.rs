//! Each policy for the first CONNECT, and what is no CONNECT.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, ProtocolVersion};
use ungraceful_scripted_broker::{Greeting, Script, ScriptedBroker};

use crate::raw_client::{RawClient, connack, connect, encoded};

fn greeted_by(greeting: Greeting, version: ProtocolVersion) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { greeting, ..Script::default() });
    let client = RawClient::connecting(&broker, version, &Connect::new("client"));
    (broker, client)
}

fn expect_accepted(greeting: Greeting, version: ProtocolVersion) {
    let (_broker, mut client) = greeted_by(greeting, version);
    client.expect(&connack(version, 0));
    client.expect_service();
}

#[test]
fn accept_takes_both_versions() {
    for version in ProtocolVersion::ALL {
        let (broker, mut client) = greeted_by(Greeting::Accept, version);
        client.expect(&connack(version, 0));
        client.expect_service();
        assert_eq!(broker.log().client_ids().collect::<Vec<_>>(), ["client"]);
    }
}

#[test]
fn refusals_send_these_bytes_before_the_fin() {
    for (greeting, version, expected) in [
        ("refuse-0x86", V5, &[0x20, 3, 0, 0x86, 0][..]),
        ("refuse-0x86", V3_1_1, &[0x20, 2, 0, 4]),
        ("refuse-0x87", V5, &[0x20, 3, 0, 0x87, 0]),
        ("refuse-0x87", V3_1_1, &[0x20, 2, 0, 5]),
        // Codes that are in no standard.
        ("refuse-0xff-0x77", V5, &[0x20, 3, 0, 0xFF, 0]),
        ("refuse-0xff-0x77", V3_1_1, &[0x20, 2, 0, 0x77]),
        ("fin", V5, &[]),
        ("fin", V3_1_1, &[]),
        // A broker that knows only MQTT 3.1.1 answers in its format.
        ("only-3.1.1", V5, &[0x20, 2, 0, 1]),
        ("only-5.0", V3_1_1, &[]),
    ] {
        let (_broker, mut client) = greeted_by(greeting.parse().expect("a name of the list"), version);
        client.expect_then_fin(expected);
    }
}

#[test]
fn a_broker_of_one_version_serves_that_one() {
    expect_accepted(Greeting::OnlyV3_1_1, V3_1_1);
    expect_accepted(Greeting::OnlyV5, V5);
    expect_accepted(Greeting::SilentToV5, V3_1_1);
    let (_broker, mut client) = greeted_by(Greeting::SilentToV5, V5);
    client.expect_silence();
}

#[test]
fn silent_never_sends_anything() {
    for version in ProtocolVersion::ALL {
        let (broker, mut client) = greeted_by(Greeting::Silent, version);
        client.ping();
        client.expect_silence();
        assert_eq!(broker.log().client_ids().count(), 1);
    }
}

#[test]
fn silent_does_not_answer_other_packets_or_garbage() {
    let broker = ScriptedBroker::start(Script { greeting: Greeting::Silent, ..Script::default() });
    for bytes in [&[0xC0, 0][..], &[0xFF; 5]] {
        let mut client = RawClient::open(&broker, V5);
        client.send(bytes);
        client.expect_silence();
    }
}

#[test]
fn http_answers_as_a_web_server() {
    let (_broker, mut client) = greeted_by(Greeting::Http, V5);
    client.expect(b"HTTP/1.1 400 Bad Request\r\n");
    client.expect_then_fin(
        b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request",
    );
}

#[test]
fn mqtt5_3_1_0_1_the_first_packet_must_be_a_connect() {
    for version in ProtocolVersion::ALL {
        for bytes in [encoded(version, &Packet::PingReq), vec![0xFF; 5], vec![0x10, 0], vec![0, 0]] {
            let broker = ScriptedBroker::start(Script::default());
            let mut client = RawClient::open(&broker, version);
            client.send(&bytes);
            client.expect_fin();
        }
    }
}

/// MQTT 3.1.1 [MQTT-3.1.2-2] and MQTT 5.0 [MQTT-3.1.2-1].
#[test]
fn an_unknown_level_is_answered_and_another_protocol_name_is_not() {
    for (version, change, answer) in [(V3_1_1, (8, 9), &[0x20, 2, 0, 1][..]), (V5, (4, b'A'), &[])] {
        let broker = ScriptedBroker::start(Script::default());
        let mut client = RawClient::open(&broker, version);
        let mut bytes = connect(version, "client");
        bytes[change.0] = change.1;
        client.send(&bytes);
        client.expect_then_fin(answer);
    }
}
