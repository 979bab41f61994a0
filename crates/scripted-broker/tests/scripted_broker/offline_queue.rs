//! Each policy for the queue of a session without a connection, in both versions.

use std::num::NonZeroU16;

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{OfflineQueue, Script, ScriptedBroker};

use crate::raw_client::RawClient;
use crate::sessions::{first_of_lasting, lasting};

/// Publishes four messages, at QoS 1 and 2 in turn, for a subscriber that is away. Returns the messages that it receives when it
/// is back. Those in `refused` get a PUBACK or PUBREC with an error.
fn queued(policy: &str, version: ProtocolVersion, refused: &[u8]) -> Vec<String> {
    let offline_queue: OfflineQueue = policy.parse().expect("a name of the list");
    let broker = ScriptedBroker::start(Script { offline_queue, ..Script::default() });
    let mut client = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
    client.subscribe("t", QoS::ExactlyOnce);
    client.leave();
    let mut other = RawClient::connected(&broker, version, "other");
    other.subscribe("t", QoS::AtMostOnce);
    let mut publisher = RawClient::connected(&broker, version, "publisher");
    for number in 1..=4 {
        let qos = if number % 2 == 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        publisher.publish("t", &number.to_string(), qos);
        let first_byte = if qos == QoS::ExactlyOnce { 0x50 } else { 0x40 };
        if refused.contains(&number) {
            publisher.expect(&[first_byte, 3, 0, 7, 0x97]);
        } else {
            publisher.expect(&[first_byte, 2, 0, 7]);
            if qos == QoS::ExactlyOnce {
                publisher.release();
            }
        }
        // A connected subscriber receives it in any case.
        assert_eq!(other.next_payload(), number.to_string());
    }
    let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
    other.publish("t", "end", QoS::AtMostOnce);
    let mut payloads = Vec::new();
    loop {
        let payload = client.next_payload();
        if payload == "end" {
            return payloads;
        }
        payloads.push(payload);
    }
}

#[test]
fn each_policy_keeps_these_messages() {
    for version in ProtocolVersion::ALL {
        // MQTT 3.1.1 cannot refuse.
        let refused: &[u8] = if version == V5 { &[3, 4] } else { &[] };
        for (policy, refused, kept) in [
            ("unlimited", &[][..], &["1", "2", "3", "4"][..]),
            ("drop-newest-over-2", &[], &["1", "2"]),
            ("drop-oldest-over-2", &[], &["3", "4"]),
            ("refuse-over-2", refused, &["1", "2"]),
        ] {
            assert_eq!(queued(policy, version, refused), kept, "{policy}");
        }
    }
}

#[test]
fn a_refused_message_returns_its_quota_and_can_be_sent_again() {
    let script = Script {
        offline_queue: "refuse-over-1".parse().expect("a name of the list"),
        receive_maximum: NonZeroU16::new(1),
        ..Script::default()
    };
    let broker = ScriptedBroker::start(script);
    let connack = |session_present| [0x20, 10, session_present, 0, 7, 0x21, 0, 1, 0x29, 0, 0x2A, 0];
    let connected = |connect: Connect<'_>, session_present| {
        RawClient::answered(&broker, V5, &connect, &connack(session_present))
    };
    let mut client = connected(lasting(V5, true), 0);
    client.subscribe("t", QoS::ExactlyOnce);
    client.leave();
    let mut publisher = connected(Connect::new("publisher"), 0);
    publisher.publish_at_least_once("t", "1");
    publisher.publish("t", "2", QoS::ExactlyOnce);
    publisher.expect(&[0x50, 3, 0, 7, 0x97]);
    publisher.send(&[0x34, 7, 0, 1, b't', 0, 8, 0, b'2']);
    publisher.expect(&[0x50, 3, 0, 8, 0x97]);
    let mut client = connected(lasting(V5, false), 1);
    client.expect_payloads(&["1"]);
    publisher.publish_exactly_once("t", "2");
    client.expect_payloads(&["2"]);
}

#[test]
fn the_queue_of_a_connected_client_is_unlimited() {
    for version in ProtocolVersion::ALL {
        let offline_queue = "refuse-over-1".parse().expect("a name of the list");
        let broker = ScriptedBroker::start(Script { offline_queue, ..Script::default() });
        let mut client = RawClient::subscribed(&broker, version, "t", QoS::AtLeastOnce);
        client.echo_at_least_once(&["1", "2", "3"]);
    }
}
