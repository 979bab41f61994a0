//! Each policy for sessions: what becomes of one when its Client comes back, in both versions.

use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Sessions};

use crate::raw_client::{RawClient, publish, wait_for_end};
use crate::sessions::{first_of_lasting, lasting};

/// A broker with a session that has a subscription, `1` in flight as Packet Identifier 1 and `2` waiting, and no
/// connection.
fn scene(sessions: Sessions, version: ProtocolVersion) -> ScriptedBroker {
    let broker = ScriptedBroker::start(Script { sessions, ..Script::default() });
    // The first CONNECT in MQTT 3.1.1 has Clean Session 0.
    let session_present = u8::from(sessions == Sessions::LiePresent && version != V5);
    let first = first_of_lasting(version);
    let mut client = RawClient::connected_with(&broker, version, &first, session_present);
    client.subscribe("t", QoS::AtLeastOnce);
    publish_one(&broker, version, "1");
    client.expect_payloads(&["1"]);
    drop(client);
    wait_for_end(&broker, 0);
    publish_one(&broker, version, "2");
    broker
}

fn publish_one(broker: &ScriptedBroker, version: ProtocolVersion, payload: &str) {
    let mut publisher = RawClient::connected(broker, version, "publisher");
    publisher.publish_at_least_once("t", payload);
    publisher.leave();
}

/// First byte, Packet Identifier and payload of the next PUBLISH.
fn next(client: &mut RawClient) -> (u8, u8, u8) {
    let bytes = client.next_packet();
    (bytes[0], bytes[6], bytes.last().copied().unwrap_or_default())
}

/// The session that this policy leaves when its Client comes back with this Clean Start and reads this Session Present.
fn back(
    sessions: Sessions,
    version: ProtocolVersion,
    clean_start: bool,
    session_present: u8,
) -> (ScriptedBroker, RawClient) {
    let broker = scene(sessions, version);
    let connect = lasting(version, clean_start);
    let client = RawClient::connected_with(&broker, version, &connect, session_present);
    (broker, client)
}

fn expect_all(sessions: Sessions, version: ProtocolVersion, clean_start: bool, session_present: u8) {
    let (_broker, mut client) = back(sessions, version, clean_start, session_present);
    assert_eq!([next(&mut client), next(&mut client)], [(0x3A, 1, b'1'), (0x32, 2, b'2')]);
    client.expect_service();
    client.publish("t", "3", QoS::AtMostOnce);
    client.expect_payloads(&["3"]);
}

fn expect_nothing(sessions: Sessions, version: ProtocolVersion, clean_start: bool, session_present: u8) {
    let (_broker, mut client) = back(sessions, version, clean_start, session_present);
    client.expect_service();
    client.publish("t", "3", QoS::AtMostOnce);
    client.expect_service();
}

#[test]
fn keep_resumes_or_discards_as_asked() {
    for version in ProtocolVersion::ALL {
        expect_all(Sessions::default(), version, false, 1);
        expect_nothing(Sessions::default(), version, true, 0);
    }
}

#[test]
fn resume_clean_resumes_in_spite_of_clean_start() {
    for version in ProtocolVersion::ALL {
        for (policy, session_present) in [(Sessions::ResumeClean, 1), (Sessions::ResumeCleanSilently, 0)] {
            expect_all(policy, version, true, session_present);
            expect_all(policy, version, false, 1);
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
        new.expect_payloads(&["x"]);
    }
}

#[test]
fn forget_discards_what_should_be_resumed() {
    for version in ProtocolVersion::ALL {
        expect_nothing(Sessions::Forget, version, false, 0);
    }
}

#[test]
fn lie_present_says_1_and_has_nothing() {
    for version in ProtocolVersion::ALL {
        expect_nothing(Sessions::LiePresent, version, false, 1);
        expect_nothing(Sessions::LiePresent, version, true, 0);
    }
}

#[test]
fn lie_absent_says_0_and_has_everything() {
    for version in ProtocolVersion::ALL {
        expect_all(Sessions::LieAbsent, version, false, 0);
    }
}

#[test]
fn what_was_sent_and_what_waited_can_be_lost_separately() {
    for (policy, left) in
        [(Sessions::LoseUnacknowledged, (0x32, 2, b'2')), (Sessions::LoseQueued, (0x3A, 1, b'1'))]
    {
        for version in ProtocolVersion::ALL {
            let (_broker, mut client) = back(policy, version, false, 1);
            assert_eq!(next(&mut client), left);
            client.expect_service();
        }
    }
}

#[test]
fn resend_without_dup_sends_again_as_if_it_were_new() {
    for version in ProtocolVersion::ALL {
        let (_broker, mut client) = back(Sessions::ResendWithoutDup, version, false, 1);
        assert_eq!([next(&mut client), next(&mut client)], [(0x32, 1, b'1'), (0x32, 2, b'2')]);
    }
}

#[test]
fn resend_with_new_identifiers_sends_again_under_another_one() {
    for version in ProtocolVersion::ALL {
        let (broker, mut client) = back(Sessions::ResendWithNewIdentifiers, version, false, 1);
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
            client.publish_exactly_once("t", "x");
            let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
            let mut again = publish(version, "t", "x", QoS::ExactlyOnce);
            again[0] |= 0x08;
            client.send(&again);
            client.expect(&[0x50, 2, 0, 7]);
            witness.expect_payloads(payloads);
            witness.expect_service();
        }
    }
}
