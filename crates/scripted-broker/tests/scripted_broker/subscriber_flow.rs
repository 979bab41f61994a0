//! Each policy for the Client's Receive Maximum, which only MQTT 5.0 has.

use std::num::NonZeroU32;

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{Property, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Script, ScriptedBroker, SubscriberFlow};

use crate::raw_client::RawClient;

/// A broker, and a subscriber to it that allows two at a time, with five messages on their way to it.
fn scene(subscriber_flow: SubscriberFlow) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { subscriber_flow, ..Script::default() });
    let mut slow = RawClient::with_properties(&broker, "slow", &[Property::ReceiveMaximum(2)]);
    slow.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    for payload in ["1", "2", "3", "4", "5"] {
        publisher.publish_at_least_once("t", payload);
    }
    (broker, slow)
}

fn acknowledge(slow: &mut RawClient, identifiers: &[u8]) {
    for &identifier in identifiers {
        slow.send(&[0x40, 2, 0, identifier]);
    }
}

#[test]
fn keep_sends_as_much_as_is_acknowledged() {
    let (broker, mut slow) = scene(SubscriberFlow::default());
    slow.expect_payloads(&["1", "2"]);
    slow.expect_service();
    acknowledge(&mut slow, &[1]);
    slow.expect_payloads(&["3"]);
    slow.expect_service();
    acknowledge(&mut slow, &[2, 3]);
    slow.expect_payloads(&["4", "5"]);
    acknowledge(&mut slow, &[4, 5]);
    slow.expect_service();
    let traffic = broker.log().traffic_of(0);
    assert_eq!((traffic.sent, traffic.outstanding_most), (5, 2));
    assert_eq!(broker.log().traffic_of(1).received, 5);
}

#[test]
fn exceed_by_has_more_outstanding() {
    let (broker, mut slow) = scene(SubscriberFlow::ExceedBy(NonZeroU32::MIN));
    slow.expect_payloads(&["1", "2", "3"]);
    slow.expect_service();
    acknowledge(&mut slow, &[1]);
    slow.expect_payloads(&["4"]);
    slow.expect_service();
    assert_eq!(broker.log().traffic_of(0).outstanding_most, 3);
}

#[test]
fn ignore_sends_everything() {
    let (broker, mut slow) = scene(SubscriberFlow::Ignore);
    slow.expect_payloads(&["1", "2", "3", "4", "5"]);
    assert_eq!(broker.log().traffic_of(0).outstanding_most, 5);
}

#[test]
fn starve_pings_answers_none_while_the_window_is_full() {
    let (_broker, mut slow) = scene(SubscriberFlow::StarvePings);
    slow.expect_payloads(&["1", "2"]);
    slow.ping();
    acknowledge(&mut slow, &[1]);
    slow.expect_payloads(&["3"]);
    acknowledge(&mut slow, &[2, 3]);
    slow.expect_payloads(&["4", "5"]);
    acknowledge(&mut slow, &[4]);
    slow.expect_service();
}

#[test]
fn reorder_queue_sends_what_waited_in_reverse() {
    let (_broker, mut slow) = scene(SubscriberFlow::ReorderQueue);
    slow.expect_payloads(&["1", "2"]);
    acknowledge(&mut slow, &[1, 2]);
    slow.expect_payloads(&["5", "4"]);
    acknowledge(&mut slow, &[3]);
    slow.expect_payloads(&["3"]);
}

#[test]
fn stall_never_sends_the_rest() {
    let (_broker, mut slow) = scene(SubscriberFlow::Stall);
    slow.expect_payloads(&["1", "2"]);
    acknowledge(&mut slow, &[1, 2]);
    slow.expect_service();
    slow.publish("t", "0", QoS::AtMostOnce);
    slow.expect_payloads(&["0"]);
}

#[test]
fn mqtt_3_1_1_has_no_window_to_fill() {
    for subscriber_flow in [SubscriberFlow::Stall, SubscriberFlow::StarvePings, SubscriberFlow::ReorderQueue]
    {
        let broker = ScriptedBroker::start(Script { subscriber_flow, ..Script::default() });
        let mut client = RawClient::subscribed(&broker, ProtocolVersion::V3_1_1, "t", QoS::AtLeastOnce);
        client.echo_at_least_once(&["1", "2", "3"]);
        client.expect_service();
    }
}
