//! What a conforming broker does with a connection that is up: subscriptions, all QoS both ways, limits, breaches.

use std::num::NonZeroU16;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, PacketIdentifier, Property, ProtocolVersion, Publish, QoS};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::raw_client::{RawClient, connack, connect, encoded};

fn conforming() -> ScriptedBroker {
    ScriptedBroker::start(Script::default())
}

#[test]
fn qos_0_is_routed_to_each_subscriber_in_its_version() {
    let broker = conforming();
    let mut old = RawClient::connected(&broker, V3_1_1, "old");
    old.subscribe("a/+", QoS::ExactlyOnce);
    let mut new = RawClient::connected(&broker, V5, "new");
    new.subscribe("#", QoS::ExactlyOnce);
    let mut other = RawClient::connected(&broker, V5, "other");
    other.subscribe("a", QoS::ExactlyOnce);
    let properties = [Property::UserProperty("k", "v")];
    let publish = Publish { properties: properties.as_slice().into(), ..Publish::new("a/b", b"x") };
    let bytes = encoded(V5, &Packet::Publish(publish));
    other.send(&bytes);
    new.expect(&bytes);
    old.expect(&[0x30, 6, 0, 3, b'a', b'/', b'b', b'x']);
    other.expect_service();
}

#[test]
fn qos_1_is_acknowledged_both_ways() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut client = RawClient::subscribed(&broker, version, "t", QoS::ExactlyOnce);
        client.publish("t", "x", QoS::AtLeastOnce);
        let delivery = match version {
            V3_1_1 => vec![0x32, 6, 0, 1, b't', 0, 1, b'x'],
            V5 => vec![0x32, 7, 0, 1, b't', 0, 1, 0, b'x'],
        };
        client.expect(&delivery);
        client.expect(&[0x40, 2, 0, 7]);
        client.send(&[0x40, 2, 0, 1]);
        client.expect_service();
    }
}

#[test]
fn qos_2_takes_four_packets_each_way() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut client = RawClient::subscribed(&broker, version, "t", QoS::ExactlyOnce);
        client.publish("t", "x", QoS::ExactlyOnce);
        assert_eq!(client.next_packet()[0], 0x34);
        client.expect(&[0x50, 2, 0, 7]);
        // The same Packet Identifier again before PUBREL is the same message.
        client.publish_exactly_once("t", "x");
        client.release();
        client.send(&[0x50, 2, 0, 1]);
        client.expect(&[0x62, 2, 0, 1]);
        client.send(&[0x70, 2, 0, 1]);
        client.expect_service();
    }
}

#[test]
fn the_lower_qos_of_message_and_subscription_counts() {
    let broker = conforming();
    let mut client = RawClient::subscribed(&broker, V3_1_1, "t", QoS::AtLeastOnce);
    client.publish("t", "x", QoS::ExactlyOnce);
    client.expect(&[0x32, 6, 0, 1, b't', 0, 1, b'x']);
    client.expect(&[0x50, 2, 0, 7]);
    client.publish("t", "x", QoS::AtMostOnce);
    client.expect(&[0x30, 4, 0, 1, b't', b'x']);
}

#[test]
fn unknown_packet_identifiers_get_a_code_only_in_5_0() {
    let broker = conforming();
    let mut client = RawClient::connected(&broker, V5, "new");
    client.send(&[0x62, 2, 0, 9, 0x50, 2, 0, 9]);
    client.expect(&[0x70, 3, 0, 9, 0x92, 0x62, 3, 0, 9, 0x92]);
    let mut client = RawClient::connected(&broker, V3_1_1, "old");
    client.send(&[0x62, 2, 0, 9, 0x50, 2, 0, 9]);
    client.expect(&[0x70, 2, 0, 9, 0x62, 2, 0, 9]);
}

#[test]
fn mqtt5_4_3_3_4_a_pubrec_that_refuses_gets_no_pubrel() {
    let broker = conforming();
    let mut client = RawClient::subscribed(&broker, V5, "t", QoS::ExactlyOnce);
    client.publish("t", "x", QoS::ExactlyOnce);
    assert_eq!(client.next_packet()[0], 0x34);
    client.expect(&[0x50, 2, 0, 7]);
    client.send(&[0x50, 3, 0, 1, 0x80]);
    client.expect_service();
}

#[test]
fn unsubscribe_ends_a_subscription() {
    for (version, request, answer) in [
        (V5, &[0xA2, 6, 0, 2, 0, 0, 1, b't'][..], &[0xB0, 4, 0, 2, 0, 0][..]),
        (V3_1_1, &[0xA2, 5, 0, 2, 0, 1, b't'], &[0xB0, 2, 0, 2]),
    ] {
        let broker = conforming();
        let mut client = RawClient::subscribed(&broker, version, "t", QoS::AtMostOnce);
        client.send(request);
        client.expect(answer);
        client.publish("t", "x", QoS::AtMostOnce);
        client.expect_service();
    }
}

#[test]
fn subscriptions_outlast_messages_that_they_do_not_match() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut client = RawClient::connected(&broker, version, "client");
        client.subscribe("a/+", QoS::AtMostOnce);
        client.subscribe("b", QoS::AtMostOnce);
        for topic in ["c", "a", "b/b", "c"] {
            client.publish(topic, "x", QoS::AtMostOnce);
        }
        client.expect_service();
        for topic in ["a/b", "b"] {
            client.publish(topic, "x", QoS::AtMostOnce);
            client.expect_payloads(&["x"]);
        }
    }
}

#[test]
fn unsupported_subscriptions_are_rejected_with_their_codes() {
    let broker = conforming();
    let mut client = RawClient::connected(&broker, V5, "client");
    client.send(b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x00");
    client.expect(&[0x90, 4, 0, 1, 0, 0x9E]);
    client.send(&[0x82, 9, 0, 2, 2, 0x0B, 1, 0, 1, b't', 0]);
    client.expect(&[0x90, 4, 0, 2, 0, 0xA1]);
    client.expect_service();
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let broker = conforming();
    let mut client = RawClient::connected(&broker, V5, "client");
    client.send(&[0x82, 7, 0, 1, 0, 0, 1, b't', 0b100]);
    client.expect(&[0x90, 4, 0, 1, 0, 0]);
    client.publish("t", "x", QoS::AtMostOnce);
    client.expect_service();
}

#[test]
fn a_retained_message_reaches_later_subscribers_until_removed() {
    let broker = conforming();
    let mut client = RawClient::connected(&broker, V3_1_1, "client");
    client.send(&[0x31, 4, 0, 1, b't', b'x']);
    client.subscribe("t", QoS::AtMostOnce);
    client.expect(&[0x31, 4, 0, 1, b't', b'x']);
    client.send(&[0x31, 3, 0, 1, b't']);
    client.expect(&[0x30, 3, 0, 1, b't']);
    client.subscribe("t", QoS::AtMostOnce);
    client.expect_service();
}

#[test]
fn mqtt5_3_3_4_9_the_clients_receive_maximum_is_respected() {
    let broker = conforming();
    let mut slow = RawClient::with_properties(&broker, "slow", &[Property::ReceiveMaximum(2)]);
    slow.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    for payload in ["1", "2", "3"] {
        publisher.publish_at_least_once("t", payload);
    }
    slow.expect_payloads(&["1", "2"]);
    slow.expect_service();
    slow.send(&[0x40, 2, 0, 2]);
    slow.expect_payloads(&["3"]);
}

#[test]
fn mqtt5_3_1_2_24_a_packet_too_large_for_the_client_is_dropped() {
    let broker = conforming();
    let mut small = RawClient::with_properties(&broker, "small", &[Property::MaximumPacketSize(20)]);
    small.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    publisher.publish_at_least_once("t", "far more than twenty bytes");
    publisher.publish("t", "short", QoS::AtLeastOnce);
    small.expect_payloads(&["short"]);
    assert_eq!(broker.log().dropped, 1);
}

#[test]
fn the_advertised_receive_maximum_is_enforced_in_5_0() {
    let receive_maximum = NonZeroU16::new(2);
    let broker = ScriptedBroker::start(Script { receive_maximum, ..Script::default() });
    let connack = [0x20, 10, 0, 0, 7, 0x21, 0, 2, 0x29, 0, 0x2A, 0];
    let mut client = RawClient::with_connack(&broker, &connack);
    for identifier in [1, 2] {
        client.send(&[0x34, 7, 0, 1, b't', 0, identifier, 0, b'x']);
        client.expect(&[0x50, 2, 0, identifier]);
    }
    client.send(&[0x34, 7, 0, 1, b't', 0, 3, 0, b'x']);
    client.expect_close(0x93);
}

#[test]
fn mqtt_3_1_1_has_no_receive_maximum() {
    let receive_maximum = NonZeroU16::new(1);
    let broker = ScriptedBroker::start(Script { receive_maximum, ..Script::default() });
    let mut client = RawClient::connected(&broker, V3_1_1, "client");
    for identifier in [1, 2, 3] {
        client.send(&[0x34, 6, 0, 1, b't', 0, identifier, b'x']);
        client.expect(&[0x50, 2, 0, identifier]);
    }
}

#[test]
fn a_violation_closes_with_its_reason_code_only_in_5_0() {
    let breaches: [(&[u8], u8); 7] = [
        (&[0xFF; 5], 0x81),
        (&[0x20, 3, 0, 0, 0], 0x82),
        (&[0x82, 5, 0, 1, 0, 0, 0], 0x81),
        (&[0x36, 7, 0, 1, b't', 0, 1, 0, b'x'], 0x81),
        (&[0x32, 7, 0, 1, b't', 0, 0, 0, b'x'], 0x82),
        (&[0x30, 4, 0, 1, b'#', 0], 0x90),
        (&[0x30, 7, 0, 1, b't', 3, 0x23, 0, 1], 0x94),
    ];
    for (bytes, code) in breaches {
        let broker = conforming();
        let mut client = RawClient::connected(&broker, V5, "client");
        client.send(bytes);
        client.expect_close(code);
    }
    for bytes in [&[0xFF; 5][..], &[0x20, 2, 0, 0], &[0xF0, 0], &[0x30, 3, 0, 1, b'#']] {
        let broker = conforming();
        let mut client = RawClient::connected(&broker, V3_1_1, "client");
        client.send(bytes);
        client.expect_fin();
    }
}

#[test]
fn mqtt5_3_1_2_22_a_client_silent_beyond_its_keep_alive_is_closed() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let connect = Connect { keep_alive_s: 1, ..Connect::new("client") };
        RawClient::connected_with(&broker, version, &connect, 0).expect_close(0x8D);
    }
}

#[test]
fn enhanced_authentication_is_refused() {
    let broker = conforming();
    let properties = [Property::AuthenticationMethod("m")];
    let connect = Connect { properties: properties.as_slice().into(), ..Connect::new("client") };
    RawClient::connecting(&broker, V5, &connect).expect_then_fin(&[0x20, 3, 0, 0x8C, 0]);
}

#[test]
fn packets_cut_anywhere_are_put_together_again() {
    let broker = conforming();
    let mut client = RawClient::open(&broker, V5);
    for byte in connect(V5, "client") {
        client.send(&[byte]);
    }
    client.expect(&connack(V5, 0));
    client.subscribe("t", QoS::AtMostOnce);
    let payload = "x".repeat(300_000);
    client.publish("t", &payload, QoS::AtMostOnce);
    client.expect_payloads(&[&payload]);
}

#[test]
fn packet_identifiers_go_round_without_zero() {
    let broker = conforming();
    let mut client = RawClient::subscribed(&broker, V3_1_1, "t", QoS::AtLeastOnce);
    let mut expected = PacketIdentifier::MIN;
    for _ in 0..=u16::MAX {
        client.publish("t", "x", QoS::AtLeastOnce);
        let [high, low] = expected.get().to_be_bytes();
        client.expect(&[0x32, 6, 0, 1, b't', high, low, b'x', 0x40, 2, 0, 7]);
        client.send(&[0x40, 2, high, low]);
        expected = expected.next();
    }
}
