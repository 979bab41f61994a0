//! Each policy for the first CONNECT, and what is no CONNECT.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ConnectReturnCode, Packet, ProtocolVersion, ReasonCode};
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

fn expect_then_fin(greeting: Greeting, version: ProtocolVersion, expected: &[u8]) {
    let (_broker, mut client) = greeted_by(greeting, version);
    client.expect_then_fin(expected);
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
fn refuse_sends_the_code_of_the_version() {
    let greeting = Greeting::Refuse(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    expect_then_fin(greeting, V5, &[0x20, 3, 0, 0x86, 0]);
    expect_then_fin(greeting, V3_1_1, &[0x20, 2, 0, 4]);
    let greeting = Greeting::Refuse(ReasonCode::NOT_AUTHORIZED);
    expect_then_fin(greeting, V5, &[0x20, 3, 0, 0x87, 0]);
    expect_then_fin(greeting, V3_1_1, &[0x20, 2, 0, 5]);
}

#[test]
fn refuse_sends_codes_that_no_standard_knows() {
    let greeting = Greeting::RefuseWith(ReasonCode(0xFF), ConnectReturnCode(0x77));
    expect_then_fin(greeting, V5, &[0x20, 3, 0, 0xFF, 0]);
    expect_then_fin(greeting, V3_1_1, &[0x20, 2, 0, 0x77]);
}

#[test]
fn silent_never_says_anything() {
    for version in ProtocolVersion::ALL {
        let (broker, mut client) = greeted_by(Greeting::Silent, version);
        client.ping();
        client.expect_silence();
        assert_eq!(broker.log().client_ids().count(), 1);
    }
}

#[test]
fn silent_says_nothing_to_other_packets_and_to_garbage_either() {
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
fn fin_sends_no_connack() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(Greeting::Fin, version, &[]);
    }
}

#[test]
fn a_broker_of_3_1_1_alone_answers_5_0_in_its_own_form() {
    let greeting = Greeting::OnlyV3_1_1;
    expect_then_fin(greeting, V5, &[0x20, 2, 0, 1]);
    expect_accepted(greeting, V3_1_1);
}

#[test]
fn a_broker_that_waits_for_the_rest_of_a_5_0_connect_serves_3_1_1() {
    let greeting = Greeting::SilentToV5;
    expect_accepted(greeting, V3_1_1);
    let (_broker, mut client) = greeted_by(greeting, V5);
    client.expect_silence();
}

#[test]
fn a_broker_of_5_0_alone_closes_on_3_1_1() {
    let greeting = Greeting::OnlyV5;
    expect_then_fin(greeting, V3_1_1, &[]);
    expect_accepted(greeting, V5);
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

#[test]
fn mqtt3_1_1_3_1_2_2_an_unknown_protocol_level_is_answered_with_0x01() {
    let broker = ScriptedBroker::start(Script::default());
    let mut client = RawClient::open(&broker, V3_1_1);
    let mut bytes = connect(V3_1_1, "client");
    bytes[8] = 9;
    client.send(&bytes);
    client.expect_then_fin(&[0x20, 2, 0, 1]);
}

#[test]
fn mqtt5_3_1_2_1_another_protocol_name_is_not_answered() {
    let broker = ScriptedBroker::start(Script::default());
    let mut client = RawClient::open(&broker, V5);
    let mut bytes = connect(V5, "client");
    bytes[4..8].copy_from_slice(b"AMQP");
    client.send(&bytes);
    client.expect_fin();
}
