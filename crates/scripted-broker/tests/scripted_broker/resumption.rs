//! Each policy for sessions whose Client comes back, in both versions.

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

#[test]
fn each_policy_resumes_or_discards_and_reports_session_present() {
    let (all, none): (&[_], &[_]) = (&[(0x3A, 1, b'1'), (0x32, 2, b'2')], &[]);
    for version in ProtocolVersion::ALL {
        // Policy, Clean Start, Session Present, and the messages that the session still has.
        for (policy, clean_start, session_present, expected) in [
            ("keep", false, 1, all),
            ("keep", true, 0, none),
            ("resume-clean", true, 1, all),
            ("resume-clean", false, 1, all),
            ("resume-clean-silently", true, 0, all),
            ("resume-clean-silently", false, 1, all),
            ("forget", false, 0, none),
            ("lie-present", false, 1, none),
            ("lie-present", true, 0, none),
            ("lie-absent", false, 0, all),
            ("lose-unacknowledged", false, 1, &[(0x32, 2, b'2')]),
            ("lose-queued", false, 1, &[(0x3A, 1, b'1')]),
            ("resend-without-dup", false, 1, &[(0x32, 1, b'1'), (0x32, 2, b'2')]),
        ] {
            let sessions = policy.parse().expect("a name of the list");
            let (_broker, mut client) = back(sessions, version, clean_start, session_present);
            let came: Vec<_> = expected.iter().map(|_| next(&mut client)).collect();
            assert_eq!(came, expected, "{policy}");
            client.expect_service();
            // A session with messages also has its subscription.
            client.publish("t", "3", QoS::AtMostOnce);
            if !expected.is_empty() {
                client.expect_payloads(&["3"]);
            }
            client.expect_service();
        }
    }
}

#[test]
fn resume_clean_resumes_at_a_take_over_too() {
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
fn resend_with_new_identifiers_uses_other_packet_identifiers() {
    for version in ProtocolVersion::ALL {
        let (broker, mut client) = back(Sessions::ResendWithNewIdentifiers, version, false, 1);
        assert_eq!([next(&mut client), next(&mut client)], [(0x3A, 2, b'1'), (0x32, 3, b'2')]);
        // Only the acknowledgement of the new one counts.
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
