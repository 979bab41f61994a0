//! Each policy for sessions: what becomes of one when its Client comes back, in both versions.

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Event, Script, ScriptedBroker, Sessions};

use crate::raw_client::{PATIENCE, RawClient, publish};
use crate::sessions::{first_of_lasting, lasting};

/// A broker with a session that has a subscription, `1` in flight as Packet Identifier 1 and `2` waiting, and no
/// connection.
fn scene(sessions: Sessions, version: ProtocolVersion) -> ScriptedBroker {
    let broker = ScriptedBroker::start(Script { sessions, ..Script::default() });
    let mut client = RawClient::connected_with(
        &broker,
        version,
        &first_of_lasting(version),
        first_present(sessions, version),
    );
    client.subscribe("t", QoS::AtLeastOnce);
    publish_one(&broker, version, "1");
    assert_eq!(client.next_payload(), "1");
    drop(client);
    let is_ended = |event: &Event| matches!(event, Event::Ended { connection: 0, .. });
    assert!(broker.wait_until(PATIENCE, |log| log.events.iter().any(is_ended)));
    publish_one(&broker, version, "2");
    broker
}

/// The first CONNECT in MQTT 3.1.1 has Clean Session 0.
fn first_present(sessions: Sessions, version: ProtocolVersion) -> u8 {
    u8::from(sessions == Sessions::LiePresent && version != V5)
}

fn publish_one(broker: &ScriptedBroker, version: ProtocolVersion, payload: &str) {
    let mut publisher = RawClient::connected(broker, version, "publisher");
    publisher.publish("t", payload, QoS::AtLeastOnce);
    publisher.expect(&[0x40, 2, 0, 7]);
    publisher.send(&[0xE0, 0]);
    publisher.expect_fin();
}

/// First byte, Packet Identifier and payload of the next PUBLISH.
fn next(client: &mut RawClient) -> (u8, u8, u8) {
    let bytes = client.next_packet();
    (bytes[0], bytes[6], bytes.last().copied().unwrap_or_default())
}

fn expect_all(client: &mut RawClient) {
    assert_eq!([next(client), next(client)], [(0x3A, 1, b'1'), (0x32, 2, b'2')]);
    client.expect_service();
    client.publish("t", "3", QoS::AtMostOnce);
    assert_eq!(client.next_payload(), "3");
}

fn expect_nothing(client: &mut RawClient) {
    client.expect_service();
    client.publish("t", "3", QoS::AtMostOnce);
    client.expect_service();
}

#[test]
fn keep_resumes_or_discards_as_asked() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::default(), version);
        expect_all(&mut RawClient::connected_with(&broker, version, &lasting(version, false), 1));
        let broker = scene(Sessions::default(), version);
        expect_nothing(&mut RawClient::connected_with(&broker, version, &lasting(version, true), 0));
    }
}

#[test]
fn resume_clean_resumes_in_spite_of_clean_start() {
    for version in ProtocolVersion::ALL {
        for (policy, session_present) in [(Sessions::ResumeClean, 1), (Sessions::ResumeCleanSilently, 0)] {
            let broker = scene(policy, version);
            let connect = lasting(version, true);
            expect_all(&mut RawClient::connected_with(&broker, version, &connect, session_present));
            let broker = scene(policy, version);
            expect_all(&mut RawClient::connected_with(&broker, version, &lasting(version, false), 1));
        }
    }
}

#[test]
fn resume_clean_resumes_what_is_taken_over() {
    for version in ProtocolVersion::ALL {
        let broker = ScriptedBroker::start(Script { sessions: Sessions::ResumeClean, ..Script::default() });
        let mut old = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        old.subscribe("t", QoS::AtMostOnce);
        let mut new = RawClient::connected_with(&broker, version, &lasting(version, true), 1);
        new.publish("t", "x", QoS::AtMostOnce);
        assert_eq!(new.next_payload(), "x");
    }
}

#[test]
fn forget_discards_what_should_be_resumed() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::Forget, version);
        expect_nothing(&mut RawClient::connected_with(&broker, version, &lasting(version, false), 0));
    }
}

#[test]
fn lie_present_says_1_and_has_nothing() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::LiePresent, version);
        expect_nothing(&mut RawClient::connected_with(&broker, version, &lasting(version, false), 1));
        let broker = scene(Sessions::LiePresent, version);
        expect_nothing(&mut RawClient::connected_with(&broker, version, &lasting(version, true), 0));
    }
}

#[test]
fn lie_absent_says_0_and_has_everything() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::LieAbsent, version);
        expect_all(&mut RawClient::connected_with(&broker, version, &lasting(version, false), 0));
    }
}

#[test]
fn lose_unacknowledged_has_what_waited_alone() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::LoseUnacknowledged, version);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        assert_eq!(next(&mut client), (0x32, 2, b'2'));
        client.expect_service();
    }
}

#[test]
fn lose_queued_has_what_was_sent_alone() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::LoseQueued, version);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        assert_eq!(next(&mut client), (0x3A, 1, b'1'));
        client.expect_service();
    }
}

#[test]
fn resend_without_dup_sends_again_as_if_it_were_new() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::ResendWithoutDup, version);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        assert_eq!([next(&mut client), next(&mut client)], [(0x32, 1, b'1'), (0x32, 2, b'2')]);
    }
}

#[test]
fn resend_with_new_identifiers_sends_again_under_another_one() {
    for version in ProtocolVersion::ALL {
        let broker = scene(Sessions::ResendWithNewIdentifiers, version);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        assert_eq!([next(&mut client), next(&mut client)], [(0x3A, 2, b'1'), (0x32, 3, b'2')]);
        // The acknowledgement of the old one is nothing, that of the new one counts.
        client.send(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]);
        client.expect_service();
        drop(client);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        assert_eq!(next(&mut client), (0x3A, 4, b'2'));
        client.expect_service();
    }
}

#[test]
fn forget_received_takes_a_repeated_qos_2_message_twice() {
    for (policy, payloads) in [(Sessions::default(), &["x"][..]), (Sessions::ForgetReceived, &["x", "x"])] {
        for version in ProtocolVersion::ALL {
            let broker = ScriptedBroker::start(Script { sessions: policy, ..Script::default() });
            let mut witness = RawClient::subscribed(&broker, version, "t", QoS::AtMostOnce);
            let mut client = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
            client.publish("t", "x", QoS::ExactlyOnce);
            client.expect(&[0x50, 2, 0, 7]);
            let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
            let mut again = publish(version, "t", "x", QoS::ExactlyOnce);
            again[0] |= 0x08;
            client.send(&again);
            client.expect(&[0x50, 2, 0, 7]);
            for payload in payloads {
                assert_eq!(witness.next_payload(), *payload);
            }
            witness.expect_service();
        }
    }
}
