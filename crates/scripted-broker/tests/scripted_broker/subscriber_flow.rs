//! Each policy for the Client's Receive Maximum, which only MQTT 5.0 has.

use std::num::NonZeroU32;

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{Connect, Property, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Script, ScriptedBroker, SubscriberFlow};

use crate::raw_client::RawClient;

/// A broker, and a subscriber to it that allows two at a time, with five messages on their way to it.
fn scene(subscriber_flow: SubscriberFlow) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { subscriber_flow, ..Script::default() });
    let properties = [Property::ReceiveMaximum(2)];
    let connect = Connect { properties: properties.as_slice().into(), ..Connect::new("slow") };
    let mut slow = RawClient::connected_with(&broker, V5, &connect, 0);
    slow.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    for payload in ["1", "2", "3", "4", "5"] {
        publisher.publish_at_least_once("t", payload);
    }
    (broker, slow)
}

fn expect(slow: &mut RawClient, payloads: &[&str]) {
    slow.expect_payloads(payloads);
}

fn acknowledge(slow: &mut RawClient, identifiers: &[u8]) {
    for &identifier in identifiers {
        slow.send(&[0x40, 2, 0, identifier]);
    }
}

#[test]
fn keep_sends_as_much_as_is_acknowledged() {
    let (broker, mut slow) = scene(SubscriberFlow::default());
    expect(&mut slow, &["1", "2"]);
    slow.expect_service();
    acknowledge(&mut slow, &[1]);
    expect(&mut slow, &["3"]);
    slow.expect_service();
    acknowledge(&mut slow, &[2, 3]);
    expect(&mut slow, &["4", "5"]);
    acknowledge(&mut slow, &[4, 5]);
    slow.expect_service();
    let traffic = broker.log().traffic_of(0);
    assert_eq!((traffic.sent, traffic.outstanding_most), (5, 2));
    assert_eq!(broker.log().traffic_of(1).received, 5);
}

#[test]
fn exceed_by_has_more_outstanding() {
    let (broker, mut slow) = scene(SubscriberFlow::ExceedBy(NonZeroU32::MIN));
    expect(&mut slow, &["1", "2", "3"]);
    slow.expect_service();
    acknowledge(&mut slow, &[1]);
    expect(&mut slow, &["4"]);
    slow.expect_service();
    assert_eq!(broker.log().traffic_of(0).outstanding_most, 3);
}

#[test]
fn ignore_sends_everything() {
    let (broker, mut slow) = scene(SubscriberFlow::Ignore);
    expect(&mut slow, &["1", "2", "3", "4", "5"]);
    assert_eq!(broker.log().traffic_of(0).outstanding_most, 5);
}

#[test]
fn starve_pings_answers_none_while_the_window_is_full() {
    let (_broker, mut slow) = scene(SubscriberFlow::StarvePings);
    expect(&mut slow, &["1", "2"]);
    slow.ping();
    acknowledge(&mut slow, &[1]);
    expect(&mut slow, &["3"]);
    acknowledge(&mut slow, &[2, 3]);
    expect(&mut slow, &["4", "5"]);
    acknowledge(&mut slow, &[4]);
    slow.expect_service();
}

#[test]
fn reorder_queue_sends_what_waited_in_reverse() {
    let (_broker, mut slow) = scene(SubscriberFlow::ReorderQueue);
    expect(&mut slow, &["1", "2"]);
    acknowledge(&mut slow, &[1, 2]);
    expect(&mut slow, &["5", "4"]);
    acknowledge(&mut slow, &[3]);
    expect(&mut slow, &["3"]);
}

#[test]
fn stall_never_sends_the_rest() {
    let (_broker, mut slow) = scene(SubscriberFlow::Stall);
    expect(&mut slow, &["1", "2"]);
    acknowledge(&mut slow, &[1, 2]);
    slow.expect_service();
    slow.publish("t", "0", QoS::AtMostOnce);
    expect(&mut slow, &["0"]);
}

#[test]
fn mqtt_3_1_1_has_no_window_to_fill() {
    for subscriber_flow in [SubscriberFlow::Stall, SubscriberFlow::StarvePings, SubscriberFlow::ReorderQueue]
    {
        let broker = ScriptedBroker::start(Script { subscriber_flow, ..Script::default() });
        let mut client = RawClient::subscribed(&broker, ProtocolVersion::V3_1_1, "t", QoS::AtLeastOnce);
        for payload in ["1", "2", "3"] {
            client.publish("t", payload, QoS::AtLeastOnce);
            client.expect_payloads(&[payload]);
            client.expect(&[0x40, 2, 0, 7]);
        }
        client.expect_service();
    }
}
