//! What the CONNACK can say besides the Receive Maximum, and Clients that do not read.

use std::num::NonZeroU32;
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, PacketIdentifier, Publish, QoS, Subscribe, Subscription, Will};
use ungraceful_scripted_broker::{EndedBy, Event, Script, ScriptedBroker, SlowReader, TakeOver};

use crate::raw_client::{RawClient, connack, encoded, expect_end, takes_at_least};

#[test]
fn mqtt5_3_2_2_21_the_server_keep_alive_replaces_the_clients() {
    let broker = ScriptedBroker::start(Script { server_keep_alive_s: Some(1), ..Script::default() });
    let connack = [0x20, 10, 0, 0, 7, 0x13, 0, 1, 0x29, 0, 0x2A, 0];
    RawClient::with_connack(&broker, &connack).expect_close(0x8D);
    RawClient::connected(&broker, V3_1_1, "old").expect_service();
}

/// A Client whose broker takes at most this QoS.
fn limited(maximum_qos: QoS) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { maximum_qos: Some(maximum_qos), ..Script::default() });
    let connack = [0x20, 9, 0, 0, 6, 0x24, maximum_qos.level(), 0x29, 0, 0x2A, 0];
    let client = RawClient::with_connack(&broker, &connack);
    (broker, client)
}

#[test]
fn mqtt5_3_2_2_11_a_message_above_the_maximum_qos_closes() {
    for (maximum_qos, qos) in [
        (QoS::AtMostOnce, QoS::AtLeastOnce),
        (QoS::AtMostOnce, QoS::ExactlyOnce),
        (QoS::AtLeastOnce, QoS::ExactlyOnce),
    ] {
        let (_broker, mut client) = limited(maximum_qos);
        client.publish("t", "x", qos);
        client.expect_close(0x9B);
    }
}

#[test]
fn mqtt5_3_2_2_12_a_will_above_the_maximum_qos_is_refused() {
    let (broker, _client) = limited(QoS::AtLeastOnce);
    let will = Will { qos: QoS::ExactlyOnce, ..Will::new("will", b"") };
    let connect = Connect { will: Some(will), ..Connect::new("other") };
    RawClient::connecting(&broker, V5, &connect).expect_then_fin(&[0x20, 3, 0, 0x9B, 0]);
}

/// A Client of 5.0 whose broker has this policy for retained messages.
fn retaining(retained: &str, connack: &[u8]) -> (ScriptedBroker, RawClient) {
    let retained = retained.parse().expect("a name of the list");
    let broker = ScriptedBroker::start(Script { retained, ..Script::default() });
    let client = RawClient::with_connack(&broker, connack);
    (broker, client)
}

#[test]
fn mqtt5_3_2_2_13_retained_wills_and_messages_are_rejected() {
    let (broker, mut client) = retaining("unavailable", &[0x20, 9, 0, 0, 6, 0x25, 0, 0x29, 0, 0x2A, 0]);
    let will = Will { retain: true, ..Will::new("will", b"") };
    let with_will = Connect { will: Some(will), ..Connect::new("other") };
    RawClient::connecting(&broker, V5, &with_will).expect_then_fin(&[0x20, 3, 0, 0x9A, 0]);
    let retained = Publish { retain: true, ..Publish::new("t", b"x") };
    client.send(&encoded(V5, &Packet::Publish(retained)));
    client.expect_close(0x9A);
    // 3.1.1 has no word for it: it is taken, and nothing is kept.
    let mut old = RawClient::connected(&broker, V3_1_1, "old");
    old.send(&encoded(V3_1_1, &Packet::Publish(retained)));
    old.subscribe("t", QoS::AtMostOnce);
    old.expect_service();
}

#[test]
fn retained_messages_may_come_long_after_the_suback() {
    let (_broker, mut client) = retaining("after-700ms", &connack(V5, 0));
    client.send(&encoded(V5, &Packet::Publish(Publish { retain: true, ..Publish::new("t", b"kept") })));
    client.subscribe("t", QoS::AtMostOnce);
    let mut came = String::new();
    takes_at_least(Duration::from_millis(630), || came = client.next_payload());
    assert_eq!(came, "kept");
}

#[test]
fn a_subscription_is_granted_at_most_the_maximum_qos() {
    let (broker, mut client) = limited(QoS::AtLeastOnce);
    let filters = [Subscription::new("t", QoS::ExactlyOnce)];
    let subscribe = Subscribe::new(PacketIdentifier::MIN, &filters);
    client.send(&encoded(V5, &Packet::Subscribe(subscribe)));
    client.expect(&[0x90, 4, 0, 1, 0, 1]);
    // MQTT 3.1.1 cannot announce such a limit, so there is none.
    let mut old = RawClient::connected(&broker, V3_1_1, "old");
    old.publish_exactly_once("t", "x");
    assert_eq!(client.next_packet()[0], 0x32);
    client.publish("t", "x", QoS::AtLeastOnce);
    assert_eq!(client.next_packet()[0], 0x32);
    client.expect(&[0x40, 2, 0, 7]);
}

/// A subscriber that reads nothing, with more on its way to it than any socket takes.
fn stuck(broker: &ScriptedBroker) -> RawClient {
    let stuck = RawClient::subscribed(broker, V5, "t", QoS::AtMostOnce);
    let mut publisher = RawClient::connected(broker, V5, "publisher");
    let payload = "x".repeat(100_000);
    for _ in 0..150 {
        publisher.publish("t", &payload, QoS::AtMostOnce);
    }
    publisher.expect_service();
    stuck
}

#[test]
fn cut_after_resets_a_client_that_does_not_read() {
    let slow_reader = SlowReader::CutAfter(Duration::from_millis(500));
    let broker = ScriptedBroker::start(Script { slow_reader, ..Script::default() });
    let mut stuck = stuck(&broker);
    expect_end(&broker, 0, EndedBy::Broker);
    stuck.expect_reset();
}

#[test]
fn cut_after_leaves_a_client_in_peace_for_which_nothing_waits() {
    let slow_reader = SlowReader::CutAfter(Duration::from_millis(50));
    let broker = ScriptedBroker::start(Script { slow_reader, ..Script::default() });
    let mut client = RawClient::connected(&broker, V5, "client");
    std::thread::sleep(Duration::from_millis(300));
    client.expect_service();
}

#[test]
fn a_client_that_does_not_read_can_be_taken_over() {
    let broker = ScriptedBroker::start(Script { take_over: TakeOver::default(), ..Script::default() });
    let mut stuck = stuck(&broker);
    RawClient::connected(&broker, V5, "subscriber").expect_service();
    assert!(broker.log().events.contains(&Event::Ended { connection: 0, by: EndedBy::Broker }));
    // It reads late, but no longer than the broker waits for it.
    std::thread::sleep(Duration::from_secs(8));
    stuck.expect_reset();
}

#[test]
fn many_qos_1_messages_wait_for_a_client_that_does_not_read() {
    let broker = ScriptedBroker::start(Script::default());
    let mut slow = RawClient::subscribed(&broker, V5, "t", QoS::AtLeastOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    let payload = "x".repeat(100_000);
    for _ in 0..300 {
        publisher.publish_at_least_once("t", &payload);
    }
    // It is bounded what waits in bytes; the rest comes with the acknowledgements.
    assert!(broker.log().traffic_of(0).outstanding_most < 300);
    for _ in 0..300 {
        let packet = slow.next_packet();
        let identifier = [packet[7], packet[8]];
        slow.send(&[0x40, 2, identifier[0], identifier[1]]);
    }
    slow.expect_service();
    assert_eq!(broker.log().dropped, 0);
}

#[test]
fn a_packet_beyond_the_maximum_packet_size_closes_with_0x95() {
    let broker =
        ScriptedBroker::start(Script { maximum_packet_size: NonZeroU32::new(30), ..Script::default() });
    let connack = [0x20, 12, 0, 0, 9, 0x27, 0, 0, 0, 30, 0x29, 0, 0x2A, 0];
    let mut client = RawClient::with_connack(&broker, &connack);
    client.publish("t", "as much as fits in it.", QoS::AtMostOnce);
    client.expect_service();
    client.publish("t", "more than will ever fit in it", QoS::AtMostOnce);
    client.expect_close(0x95);
}
