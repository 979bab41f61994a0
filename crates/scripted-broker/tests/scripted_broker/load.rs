//! Many at once: what would take minutes if its cost grew with what is there already.

use ungraceful_mqtt::ProtocolVersion::{self, V5};
use ungraceful_mqtt::{Connect, Property, QoS, Will};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::raw_client::RawClient;

const MANY: u16 = 65_535;

/// A PUBLISH to `t` under this Packet Identifier.
fn publish(version: ProtocolVersion, qos: QoS, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    let first_byte = 0x30 | qos.level() << 1;
    match version {
        ProtocolVersion::V3_1_1 => vec![first_byte, 6, 0, 1, b't', high, low, b'x'],
        V5 => vec![first_byte, 7, 0, 1, b't', high, low, 0, b'x'],
    }
}

#[test]
fn a_window_of_all_packet_identifiers_can_be_filled_and_emptied() {
    for version in ProtocolVersion::ALL {
        let broker = ScriptedBroker::start(Script::default());
        let mut subscriber = RawClient::subscribed(&broker, version, "t", QoS::AtLeastOnce);
        let mut publisher = RawClient::connected(&broker, version, "publisher");
        // 70,000 are more than there are Packet Identifiers.
        for identifier in (1..=MANY).chain(1..=4_465) {
            publisher.send(&publish(version, QoS::AtLeastOnce, identifier));
            publisher.expect(&[&[0x40, 2][..], &identifier.to_be_bytes()].concat());
        }
        assert_eq!(broker.log().traffic_of(0).outstanding_most, usize::from(MANY));
        for expected in 1..=MANY {
            assert_eq!(identifier_of(&subscriber.next_packet()), expected);
        }
        subscriber.expect_service();
        for identifier in (1..=MANY).rev() {
            let [high, low] = identifier.to_be_bytes();
            subscriber.send(&[0x40, 2, high, low]);
        }
        for expected in (MANY - 4_464..=MANY).rev() {
            assert_eq!(identifier_of(&subscriber.next_packet()), expected);
        }
        subscriber.expect_service();
    }
}

fn identifier_of(publish: &[u8]) -> u16 {
    u16::from_be_bytes([publish[5], publish[6]])
}

#[test]
fn seventy_thousand_qos_2_messages_are_taken() {
    let broker = ScriptedBroker::start(Script::default());
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    for identifier in 1..=MANY {
        publisher.send(&publish(V5, QoS::ExactlyOnce, identifier));
        publisher.expect(&[&[0x50, 2][..], &identifier.to_be_bytes()].concat());
    }
    for identifier in 1..=4_465_u16 {
        let [high, low] = identifier.to_be_bytes();
        publisher.send(&[0x62, 2, high, low]);
        publisher.expect(&[0x70, 2, high, low]);
        publisher.send(&publish(V5, QoS::ExactlyOnce, identifier));
        publisher.expect(&[0x50, 2, high, low]);
    }
    assert_eq!(broker.log().traffic_of(0).received, 70_000);
    publisher.expect_service();
}

#[test]
fn five_thousand_take_overs_of_one_client_id() {
    let broker = ScriptedBroker::start(Script::default());
    let properties = [Property::SessionExpiryInterval(3600)];
    let connect = Connect {
        clean_start: false,
        properties: properties.as_slice().into(),
        will: Some(Will::new("will", b"x")),
        ..Connect::new("client")
    };
    let mut old = RawClient::connected_with(&broker, V5, &connect, 0);
    for _ in 0..5_000 {
        let new = RawClient::connected_with(&broker, V5, &connect, 1);
        old.expect_disconnect(0x8E);
        old = new;
    }
    assert_eq!(broker.log().take_overs(), 5_000);
}

#[test]
fn wills_cost_nothing_for_sessions_that_want_none() {
    let broker = ScriptedBroker::start(Script::default());
    let mut witness = RawClient::subscribed(&broker, V5, "will", QoS::AtMostOnce);
    let properties = [Property::SessionExpiryInterval(3600)];
    for number in 0..5_000 {
        let client_id = format!("client-{number}");
        let connect = Connect {
            properties: properties.as_slice().into(),
            will: Some(Will::new("will", client_id.as_bytes())),
            ..Connect::new(&client_id)
        };
        drop(RawClient::connected_with(&broker, V5, &connect, 0));
        assert_eq!(witness.next_payload(), client_id);
    }
}
