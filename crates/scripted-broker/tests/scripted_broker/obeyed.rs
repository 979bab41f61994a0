//! Forbidden packets that a policy acts on: what is delivered, acknowledged and granted.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Malformed, Script, ScriptedBroker};

use crate::raw_client::{RawClient, connack, connect, publish};

fn obedient() -> ScriptedBroker {
    ScriptedBroker::start(Script { malformed: Malformed::Obey, ..Script::default() })
}

#[test]
fn obey_delivers_and_answers_before_the_connect() {
    let broker = obedient();
    let mut witness = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
    for version in ProtocolVersion::ALL {
        let mut client = RawClient::open(&broker, version);
        client.ping();
        client.send(&publish(version, "t", "x", QoS::AtLeastOnce));
        client.send(&connect(version, "late"));
        client.expect(&[0xD0, 0, 0x40, 2, 0, 7]);
        client.expect(&connack(version, 0));
        witness.expect_payloads(&["x"]);
    }
}

/// A Client of a broker that obeys, subscribed to everything, sends these bytes and gets these.
fn obeyed(version: ProtocolVersion, sent: &[u8], expected: &[u8]) {
    let broker = obedient();
    let mut client = RawClient::subscribed(&broker, version, "#", QoS::ExactlyOnce);
    client.send(sent);
    client.expect(expected);
    client.expect_service();
}

#[test]
fn obey_delivers_forbidden_messages_as_they_came() {
    for (sent, expected) in [
        // Wildcards, DUP at QoS 0, no topic.
        (&[0x30, 6, 0, 3, b'a', b'/', b'+', b'x'][..], &[0x30, 6, 0, 3, b'a', b'/', b'+', b'x'][..]),
        (&[0x38, 4, 0, 1, b't', b'x'], &[0x30, 4, 0, 1, b't', b'x']),
        (&[0x30, 3, 0, 0, b'x'], &[0x30, 3, 0, 0, b'x']),
        // A string is read up to the first byte that is not UTF-8.
        (&[0x30, 5, 0, 2, b't', 0xFF, b'x'], &[0x30, 4, 0, 1, b't', b'x']),
        // QoS 1 and 2 under Packet Identifier 0, and QoS 3, which is taken for 2.
        (&[0x32, 6, 0, 1, b't', 0, 0, b'x'], &[0x32, 6, 0, 1, b't', 0, 1, b'x', 0x40, 2, 0, 0]),
        (
            &[0x34, 6, 0, 1, b't', 0, 0, b'x', 0x62, 2, 0, 0],
            &[0x34, 6, 0, 1, b't', 0, 1, b'x', 0x50, 2, 0, 0, 0x70, 2, 0, 0],
        ),
        (&[0x36, 6, 0, 1, b't', 0, 7, b'x'], &[0x34, 6, 0, 1, b't', 0, 1, b'x', 0x50, 2, 0, 7]),
        // Flags and bytes that mean nothing.
        (&[0xC1, 0], &[0xD0, 0]),
        (&[0xC0, 2, 1, 2], &[0xD0, 0]),
    ] {
        obeyed(V3_1_1, sent, expected);
    }
    for (sent, expected) in [
        // A Topic Alias, a Subscription Identifier, and properties that are sent on.
        (&[0x30, 8, 0, 1, b't', 3, 0x23, 0, 9, b'x'][..], &[0x30, 5, 0, 1, b't', 0, b'x'][..]),
        (&[0x30, 7, 0, 1, b't', 2, 0x0B, 9, b'x'], &[0x30, 5, 0, 1, b't', 0, b'x']),
        (&[0x30, 7, 0, 1, b't', 2, 1, 2, b'x'], &[0x30, 7, 0, 1, b't', 2, 1, 2, b'x']),
        (&[0x30, 8, 0, 1, b't', 3, 1, 0, 0x7F, b'x'], &[0x30, 7, 0, 1, b't', 2, 1, 0, b'x']),
        (&[0xF0, 2, 0x19, 0], b"\xF0\x08\x00\x06\x15\x00\x03JWT"),
    ] {
        obeyed(V5, sent, expected);
    }
}

#[test]
fn obey_grants_forbidden_subscriptions() {
    for (sent, expected) in [
        (&[0x82, 6, 0, 0, 0, 1, b't', 0][..], &[0x90, 3, 0, 0, 0][..]),
        (&[0x82, 6, 0, 2, 0, 1, b't', 3], &[0x90, 3, 0, 2, 2]),
        (&[0x82, 6, 0, 2, 0, 1, b't', 0x41], &[0x90, 3, 0, 2, 1]),
        (&[0x82, 2, 0, 2], &[0x90, 2, 0, 2]),
        (&[0x82, 9, 0, 2, 0, 1, b't', 1, 0, 9, b't'], &[0x90, 3, 0, 2, 1]),
        (&[0x82, 7, 0, 2, 0, 2, b'a', b'#', 1], &[0x90, 3, 0, 2, 1]),
        (&[0xA2, 5, 0, 0, 0, 1, b't'], &[0xB0, 2, 0, 0]),
    ] {
        obeyed(V3_1_1, sent, expected);
    }
    for (sent, expected) in [
        (&[0x82, 7, 0, 2, 0, 0, 1, b't', 0x31][..], &[0x90, 4, 0, 2, 0, 1][..]),
        (&[0x82, 9, 0, 2, 2, 0x0B, 0, 0, 1, b't', 1], &[0x90, 4, 0, 2, 0, 1]),
        (b"\x82\x10\x00\x02\x00\x00\x0A$share/g/t\x05", &[0x90, 4, 0, 2, 0, 1]),
        (&[0xA2, 3, 0, 2, 0], &[0xB0, 3, 0, 2, 0]),
    ] {
        obeyed(V5, sent, expected);
    }
}

#[test]
fn obey_follows_a_disconnect_that_raises_the_session_expiry_interval() {
    let broker = obedient();
    let mut client = RawClient::connected(&broker, V5, "client");
    client.send(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 99]);
    client.expect_fin();
    let again = Connect { clean_start: false, ..Connect::new("client") };
    RawClient::connected_with(&broker, V5, &again, 1).expect_service();
}
