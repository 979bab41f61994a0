//! Malformed packets and Protocol Errors: the conforming broker closes on each, and each policy for them.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, Property, ProtocolVersion, QoS, Will};
use ungraceful_scripted_broker::{Malformed, Script, ScriptedBroker};

use crate::forbidden_connects::connects;
use crate::forbidden_packets::{after_connect, legal, unframed};
use crate::raw_client::{RawClient, connack, connect, encoded, expect_connection_refused, publish};

fn broker(malformed: Malformed) -> ScriptedBroker {
    ScriptedBroker::start(Script { malformed, ..Script::default() })
}

/// Checks one case, and names it when it fails.
fn named(name: &str, check: impl FnOnce()) {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).expect(name);
}

#[test]
fn the_packets_that_the_others_are_made_from_are_served() {
    for version in ProtocolVersion::ALL {
        let broker = broker(Malformed::Disconnect);
        for bytes in legal(version) {
            let mut client = RawClient::connected(&broker, version, "client");
            client.send(&bytes);
            client.ping();
            while client.next_packet() != [0xD0, 0] {}
        }
    }
}

#[test]
fn mqtt5_4_13_1_1_and_mqtt3_1_1_4_8_0_1_every_forbidden_packet_ends_the_connection() {
    let broker = broker(Malformed::Disconnect);
    for case in after_connect() {
        named(&case.name, || {
            let mut client = RawClient::connected(&broker, case.version, "client");
            client.send(&case.bytes);
            client.expect_close(case.code);
        });
    }
    for version in ProtocolVersion::ALL {
        let mut client = RawClient::connected(&broker, version, "client");
        client.send(&unframed());
        client.expect_close(0x81);
    }
}

#[test]
fn mqtt5_3_1_4_1_and_mqtt3_1_1_3_1_4_1_every_malformed_connect_is_refused() {
    let broker = broker(Malformed::Disconnect);
    for case in connects() {
        named(&case.name, || {
            let mut client = RawClient::open(&broker, V5);
            client.send(&case.bytes);
            client.expect_then_fin(case.answer);
        });
    }
}

#[test]
fn packets_after_disconnect_are_ignored() {
    for malformed in [Malformed::Disconnect, Malformed::Close] {
        let broker = broker(malformed);
        let mut witness = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
        for version in ProtocolVersion::ALL {
            let mut client = RawClient::connected(&broker, version, "client");
            client.send(&[vec![0xE0, 0], publish(version, "t", "x", QoS::AtLeastOnce), vec![0, 0]].concat());
            client.expect_fin();
            witness.expect_service();
        }
    }
}

#[test]
fn an_unknown_pubrel_is_answered() {
    let broker = broker(Malformed::Disconnect);
    for (version, answer) in [(V3_1_1, &[0x70, 2, 0, 9][..]), (V5, &[0x70, 3, 0, 9, 0x92])] {
        let mut client = RawClient::connected(&broker, version, "client");
        client.send(&[0x62, 2, 0, 9]);
        client.expect(answer);
        client.expect_service();
    }
}

#[test]
fn a_topic_alias_stands_for_its_topic_up_to_the_maximum() {
    let topic_alias_maximum = std::num::NonZeroU16::new(2);
    let broker = ScriptedBroker::start(Script { topic_alias_maximum, ..Script::default() });
    let connack = [0x20, 10, 0, 0, 7, 0x22, 0, 2, 0x29, 0, 0x2A, 0];
    let aliased = |topic: &[u8], alias| {
        let body =
            [&[0, u8::try_from(topic.len()).expect("short")], topic, &[3, 0x23, 0, alias], b"x"].concat();
        [&[0x30, u8::try_from(body.len()).expect("short")][..], &body].concat()
    };
    let mut client = RawClient::with_connack(&broker, &connack);
    client.subscribe("#", QoS::AtMostOnce);
    for topic in [&b"t"[..], b""] {
        client.send(&aliased(topic, 2));
        client.expect(&[0x30, 5, 0, 1, b't', 0, b'x']);
    }
    client.send(&aliased(b"", 1));
    client.expect_close(0x82);
    let mut client = RawClient::with_connack(&broker, &connack);
    client.send(&aliased(b"t", 3));
    client.expect_close(0x94);
    // A mapping is the connection's.
    let mut client = RawClient::with_connack(&broker, &connack);
    client.send(&aliased(b"", 2));
    client.expect_close(0x82);
}

#[test]
fn close_ends_connections_without_a_last_packet() {
    let broker = broker(Malformed::Close);
    for case in after_connect() {
        named(&case.name, || {
            let mut client = RawClient::connected(&broker, case.version, "client");
            client.send(&case.bytes);
            client.expect_fin();
        });
    }
    for case in connects() {
        named(&case.name, || {
            let mut client = RawClient::open(&broker, V5);
            client.send(&case.bytes);
            client.expect_fin();
        });
    }
}

#[test]
fn ignore_drops_every_forbidden_packet() {
    let broker = broker(Malformed::Ignore);
    for case in after_connect() {
        named(&case.name, || {
            let mut client = RawClient::connected(&broker, case.version, "client");
            client.send(&case.bytes);
            client.expect_service();
        });
    }
}

/// Every forbidden packet is processed without an end of the connection, and the Client is served on.
#[test]
fn obey_closes_on_no_forbidden_packet() {
    let broker = broker(Malformed::Obey);
    for case in after_connect() {
        named(&case.name, || {
            let mut client = RawClient::connected(&broker, case.version, "client");
            client.send(&case.bytes);
            client.ping();
            while client.next_packet() != [0xD0, 0] {}
        });
    }
}

#[test]
fn ignore_and_obey_accept_every_malformed_connect() {
    for malformed in [Malformed::Ignore, Malformed::Obey] {
        let broker = broker(malformed);
        for case in connects() {
            named(&case.name, || {
                let mut client = RawClient::open(&broker, V5);
                client.send(&case.bytes);
                let answer = client.next_packet();
                assert_eq!((answer[0], answer[2], answer[3]), (0x20, 0, 0), "{answer:02X?}");
                assert_eq!(answer.len() > 4, case.is_v5, "{answer:02X?}");
                client.expect_service();
            });
        }
        let log = broker.log();
        let known = log.client_ids().filter(|client_id| *client_id == "id").count();
        let unknown = log.client_ids().filter(|client_id| client_id.is_empty()).count();
        assert!(known > 50 && unknown > 10, "{known} {unknown}");
    }
}

#[test]
fn ignore_and_obey_drop_what_is_no_packet() {
    for malformed in [Malformed::Ignore, Malformed::Obey] {
        let broker = broker(malformed);
        for version in ProtocolVersion::ALL {
            let mut client = RawClient::connected(&broker, version, "client");
            client.send(&[unframed(), vec![0xC0, 0]].concat());
            client.ping_until_answered();
            let mut client = RawClient::open(&broker, version);
            client.send(&unframed());
            client.repeat_until_answered(&connect(version, "client"));
        }
    }
}

#[test]
fn ignore_awaits_a_connect_behind_other_packets() {
    let broker = broker(Malformed::Ignore);
    let mut witness = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
    for version in ProtocolVersion::ALL {
        let mut client = RawClient::open(&broker, version);
        let publish = publish(version, "t", "x", QoS::AtLeastOnce);
        client.send(&[publish, vec![0xC0, 0, 0, 0, 0xE0, 0], connect(version, "late")].concat());
        client.expect(&connack(version, 0));
        client.expect_service();
        witness.expect_service();
    }
}

#[test]
fn ignore_and_obey_process_packets_after_disconnect_for_a_while() {
    for malformed in [Malformed::Ignore, Malformed::Obey] {
        let broker = broker(malformed);
        let mut witness = RawClient::subscribed(&broker, V5, "#", QoS::AtMostOnce);
        for version in ProtocolVersion::ALL {
            let will = Some(Will::new("will", b"gone"));
            let connect = Connect { will, ..Connect::new("client") };
            let mut client = RawClient::connected_with(&broker, version, &connect, 0);
            client.send(&[0xE0, 0]);
            client.publish_at_least_once("t", "x");
            client.expect_service();
            witness.expect_payloads(&["x"]);
            // The DISCONNECT counts all the same: there is no Will.
            client.expect_fin();
            witness.expect_service();
        }
    }
}

#[test]
fn ignore_and_obey_serve_beyond_what_the_connack_says() {
    let retained = "unavailable".parse().expect("a name of the list");
    for (malformed, acknowledged) in [(Malformed::Ignore, &[][..]), (Malformed::Obey, &[0x50, 2, 0, 7])] {
        let maximum_qos = Some(QoS::AtLeastOnce);
        let script = Script { malformed, maximum_qos, retained, ..Script::default() };
        let broker = ScriptedBroker::start(script);
        let connack = [0x20, 11, 0, 0, 8, 0x24, 1, 0x25, 0, 0x29, 0, 0x2A, 0];
        let mut client = RawClient::with_connack(&broker, &connack);
        client.publish("t", "x", QoS::ExactlyOnce);
        client.expect(acknowledged);
        client.send(&[0x31, 4, 0, 1, b't', 0]);
        client.expect_service();
    }
}

#[test]
fn crash_broker_takes_everything_down_at_the_first_forbidden_packet() {
    let cases = after_connect();
    for case in cases.iter().step_by(7) {
        named(&case.name, || {
            let broker = broker(Malformed::CrashBroker);
            let mut other = RawClient::connected(&broker, V5, "other");
            let mut client = RawClient::connected(&broker, case.version, "client");
            client.expect_service();
            client.send(&case.bytes);
            client.expect_reset();
            other.expect_reset();
            expect_connection_refused(broker.address());
        });
    }
}

#[test]
fn crash_broker_counts_what_is_no_packet_no_connect_or_after_disconnect() {
    let after_disconnect = [connect(V5, "client"), vec![0xE0, 0, 0xC0, 0]].concat();
    let mut all: Vec<_> = connects().into_iter().step_by(9).map(|case| case.bytes).collect();
    all.extend([unframed(), vec![0xC0, 0], after_disconnect]);
    for bytes in all {
        let broker = broker(Malformed::CrashBroker);
        let mut other = RawClient::connected(&broker, V5, "other");
        RawClient::open(&broker, V5).send(&bytes);
        other.expect_reset();
        expect_connection_refused(broker.address());
    }
}

#[test]
fn authentication_out_of_turn_is_a_protocol_error() {
    let method = [Property::AuthenticationMethod("JWT")];
    let connect = Connect { properties: method.as_slice().into(), ..Connect::new("client") };
    let broker = broker(Malformed::Disconnect);
    for (code, expected) in [(0x00, 0x82), (0x18, 0x82)] {
        let mut client = RawClient::open(&broker, V5);
        client.send(&encoded(V5, &Packet::Connect(connect)));
        assert_eq!(client.next_packet()[..4], [0x20, 13, 0, 0]);
        client.send(&[&[0xF0, 8, code, 6, 0x15, 0, 3][..], b"JWT"].concat());
        client.expect_close(expected);
    }
}
