//! Each policy for deliveries: what a subscriber gets, in which order, how late.

use std::ops::RangeInclusive;
use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Deliveries, Script, ScriptedBroker, SecondConnect};

use crate::raw_client::{RawClient, connect, takes_at_least};

const DELAY: Duration = Duration::from_millis(250);

struct Pair {
    broker: ScriptedBroker,
    publisher: RawClient,
    subscriber: RawClient,
}

impl Pair {
    fn new(deliveries: &str, version: ProtocolVersion) -> Self {
        let deliveries: Deliveries = deliveries.parse().expect("a name of the list");
        let script = Script { deliveries, second_connect: SecondConnect::Ignore, ..Script::default() };
        let broker = ScriptedBroker::start(script);
        let subscriber = RawClient::subscribed(&broker, version, "t", QoS::AtMostOnce);
        let publisher = RawClient::connected(&broker, version, "publisher");
        Self { broker, publisher, subscriber }
    }

    /// Publishes at QoS 1, so that each has its acknowledgement before the next is sent.
    fn publish(&mut self, payloads: RangeInclusive<u32>) {
        for payload in payloads {
            self.publisher.publish_at_least_once("t", &payload.to_string());
        }
    }

    fn expect(&mut self, payloads: impl IntoIterator<Item = u32>) {
        for payload in payloads {
            assert_eq!(self.subscriber.next_payload(), payload.to_string());
        }
    }

    /// A second CONNECT attacks the broker.
    fn attack(&self) {
        let mut attacker = RawClient::connected(&self.broker, ProtocolVersion::V5, "attacker");
        attacker.send(&connect(ProtocolVersion::V5, "attacker"));
        attacker.expect_service();
    }
}

#[test]
fn each_policy_delivers_these_messages_in_this_order() {
    let hundred: Vec<_> = (1..=100).collect();
    for version in ProtocolVersion::ALL {
        for (deliveries, published, expected) in [
            ("all", 100, &hundred[..]),
            ("lose-every-3", 7, &[1, 2, 4, 5, 7]),
            ("lose-every-1", 5, &[]),
            ("duplicate-every-2", 4, &[1, 2, 2, 3, 4, 4]),
            ("swap-every-3", 8, &[1, 2, 4, 3, 5, 7, 6, 8]),
        ] {
            let mut pair = Pair::new(deliveries, version);
            pair.publish(1..=published);
            pair.expect(expected.iter().copied());
            pair.subscriber.expect_service();
        }
    }
}

#[test]
fn deliveries_are_counted_for_each_subscriber_apart() {
    let mut pair = Pair::new("lose-every-3", ProtocolVersion::V5);
    let mut late = RawClient::connected(&pair.broker, ProtocolVersion::V5, "late");
    pair.publish(1..=1);
    late.subscribe("t", QoS::AtMostOnce);
    pair.publish(2..=5);
    pair.expect([1, 2, 4, 5]);
    late.expect_payloads(&["2", "3", "5"]);
}

#[test]
fn a_duplicate_at_qos_1_is_a_separate_message() {
    let mut pair = Pair::new("duplicate-every-1", ProtocolVersion::V3_1_1);
    pair.subscriber.subscribe("u", QoS::AtLeastOnce);
    pair.publisher.publish("u", "x", QoS::AtLeastOnce);
    pair.subscriber.expect(&[0x32, 6, 0, 1, b'u', 0, 1, b'x']);
    pair.subscriber.expect(&[0x32, 6, 0, 1, b'u', 0, 2, b'x']);
}

#[test]
fn lose_qos1_every_second_counts_only_qos_1() {
    for version in ProtocolVersion::ALL {
        let mut pair = Pair::new("lose-qos1-every-2", version);
        pair.subscriber.subscribe("t", QoS::AtLeastOnce);
        for payload in ["1", "2", "3", "4"] {
            pair.publisher.publish("t", "0", QoS::AtMostOnce);
            pair.publisher.publish_at_least_once("t", payload);
        }
        pair.expect([0, 1, 0, 0, 3, 0]);
        pair.subscriber.expect_service();
    }
}

#[test]
fn duplicate_qos2_every_second_sends_a_separate_message() {
    for version in ProtocolVersion::ALL {
        let mut pair = Pair::new("duplicate-qos2-every-2", version);
        pair.subscriber.subscribe("t", QoS::ExactlyOnce);
        for payload in ["1", "2"] {
            pair.publisher.publish_at_least_once("t", "0");
            pair.publisher.publish_exactly_once("t", payload);
            pair.publisher.release();
        }
        let came: Vec<_> = (0..5).map(|_| pair.subscriber.next_packet()).collect();
        let seen: Vec<_> = came
            .iter()
            .map(|bytes| (bytes[0], bytes[6], bytes.last().copied().unwrap_or_default()))
            .collect();
        let expected = [(0x32, 1, b'0'), (0x34, 2, b'1'), (0x32, 3, b'0'), (0x34, 4, b'2'), (0x34, 5, b'2')];
        assert_eq!(seen, expected);
        pair.subscriber.expect_service();
    }
}

#[test]
fn a_swap_without_a_follower_comes_late_but_comes() {
    let mut pair = Pair::new("swap-every-2", ProtocolVersion::V5);
    pair.publish(1..=1);
    takes_at_least(Duration::from_secs(1), || {
        pair.publish(2..=2);
        pair.expect([1, 2]);
    });
}

#[test]
fn delay_delivers_later_and_in_order() {
    for version in ProtocolVersion::ALL {
        let mut pair = Pair::new("delay-250ms", version);
        takes_at_least(DELAY, || {
            pair.publish(1..=50);
            pair.expect(1..=50);
        });
    }
}

#[test]
fn a_delayed_message_does_not_reach_a_session_begun_since() {
    let mut pair = Pair::new("delay-250ms", ProtocolVersion::V5);
    pair.publish(1..=1);
    let mut new = RawClient::subscribed(&pair.broker, ProtocolVersion::V5, "t", QoS::AtMostOnce);
    pair.publish(2..=2);
    new.expect_payloads(&["2"]);
}

#[test]
fn deliveries_are_delayed_while_the_broker_is_attacked() {
    let mut pair = Pair::new("delay-250ms-while-attacked-600s", ProtocolVersion::V5);
    pair.attack();
    takes_at_least(DELAY, || {
        pair.publish(2..=3);
        pair.subscriber.expect_service();
        pair.expect([2, 3]);
    });
}

#[test]
fn nothing_is_delayed_before_an_attack() {
    let mut pair = Pair::new("delay-600s-while-attacked-600s", ProtocolVersion::V5);
    pair.publish(1..=2);
    pair.expect([1, 2]);
}

#[test]
fn an_attack_is_over_after_its_time() {
    let mut pair = Pair::new("delay-600s-while-attacked-0ms", ProtocolVersion::V5);
    pair.attack();
    pair.publish(1..=2);
    pair.expect([1, 2]);
}
