//! What follows a CONNECT that was refused, conforming or not.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{EndedBy, Refused, Script, ScriptedBroker};

use crate::raw_client::{RawClient, connect, expect_end, publish};

/// A CONNECT that names an unknown level, which is refused in the format of MQTT 3.1.1.
fn unknown_level() -> Vec<u8> {
    let mut bytes = connect(V3_1_1, "client");
    bytes[8] = 9;
    bytes
}

fn broker(refused: &str) -> ScriptedBroker {
    let refused = refused.parse().expect("a name of the list");
    ScriptedBroker::start(Script { refused, ..Script::default() })
}

#[test]
fn mqtt3_1_1_3_1_4_5_nothing_behind_a_refused_connect_is_processed() {
    let broker = broker("close");
    let mut witness = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
    let mut client = RawClient::open(&broker, V3_1_1);
    client.send(&[unknown_level(), publish(V3_1_1, "t", "x", QoS::AtLeastOnce)].concat());
    client.expect_then_fin(&[0x20, 2, 0, 1]);
    witness.expect_service();
}

#[test]
fn serve_processes_what_follows_and_keeps_the_connection() {
    let broker = broker("serve");
    let mut witness = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
    let mut client = RawClient::open(&broker, V3_1_1);
    client.send(&[unknown_level(), publish(V3_1_1, "t", "x", QoS::AtLeastOnce)].concat());
    client.expect(&[0x20, 2, 0, 1, 0x40, 2, 0, 7]);
    witness.expect_payloads(&["x"]);
    client.subscribe("t", QoS::AtMostOnce);
    client.publish("t", "y", QoS::ExactlyOnce);
    client.expect_payloads(&["y"]);
    client.expect(&[0x50, 2, 0, 7]);
    client.expect_service();
}

#[test]
fn serve_follows_every_refusal_of_the_greeting() {
    let greeting = "refuse-0x87".parse().expect("a name of the list");
    for version in ProtocolVersion::ALL {
        let script = Script { greeting, refused: Refused::Serve, ..Script::default() };
        let broker = ScriptedBroker::start(script);
        let mut client = RawClient::connecting(&broker, version, &Connect::new("client"));
        client.expect(if version == V5 { &[0x20, 3, 0, 0x87, 0] } else { &[0x20, 2, 0, 5] });
        client.subscribe("t", QoS::AtLeastOnce);
        client.expect_service();
    }
}

#[test]
fn serve_for_ends_the_connection_later() {
    let broker = broker("serve-for-300ms");
    let mut client = RawClient::open(&broker, V3_1_1);
    client.send(&unknown_level());
    client.expect(&[0x20, 2, 0, 1]);
    client.expect_service();
    client.expect_fin();
    expect_end(&broker, 0, EndedBy::Broker);
}
