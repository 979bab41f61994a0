//! Each policy for second CONNECTs, in both versions.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{EndedBy, Event, Script, ScriptedBroker, SecondConnect};

use crate::raw_client::{
    PATIENCE, RawClient, connack, connect, expect_connection_refused, expect_end, takes_at_least,
};

/// A broker with this policy for second CONNECTs.
fn broker_with(second_connect: SecondConnect) -> ScriptedBroker {
    ScriptedBroker::start(Script { second_connect, ..Script::default() })
}

/// A Client that has sent its second CONNECT, under another ClientID.
fn twice_connected(broker: &ScriptedBroker, version: ProtocolVersion) -> RawClient {
    let mut client = RawClient::connected(broker, version, "first");
    client.send(&connect(version, "second"));
    client
}

/// Including the default, which follows `MQTT 5.0 [MQTT-3.1.0-2]` and `MQTT 3.1.1 [MQTT-3.1.0-2]`.
#[test]
fn policies_that_close_send_these_bytes_before_the_fin() {
    for (policy, on_v5, on_v3_1_1) in [
        ("disconnect", &[0xE0, 2, 0x82, 0][..], &[][..]),
        ("disconnect-short", &[0xE0, 1, 0x82], &[]),
        ("disconnect-0x81", &[0xE0, 2, 0x81, 0], &[]),
        ("disconnect-0xff", &[0xE0, 2, 0xFF, 0], &[]),
        ("disconnect-even-on-3.1.1", &[0xE0, 2, 0x82, 0], &[0xE0, 2, 0x82, 0]),
        ("fin", &[], &[]),
        ("second-connack-then-fin", &connack(V5, 0), &connack(V3_1_1, 0)),
        ("half-packet-then-fin", &[0xE0, 5, 0x82], &[0xE0, 5, 0x82]),
        ("garbage-then-fin", &[0xFF; 5], &[0xFF; 5]),
    ] {
        let broker = broker_with(policy.parse().expect("a name of the list"));
        twice_connected(&broker, V5).expect_then_fin(on_v5);
        twice_connected(&broker, V3_1_1).expect_then_fin(on_v3_1_1);
    }
}

#[test]
fn what_follows_a_second_connect_is_not_answered() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Fin);
        let mut client = RawClient::connected(&broker, version, "first");
        let mut bytes = connect(version, "first");
        bytes.extend([0xC0, 0]);
        client.send(&bytes);
        client.expect_fin();
    }
}

#[test]
fn disconnect_then_silence_never_closes() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::DisconnectThenSilence);
        let mut client = twice_connected(&broker, version);
        client.expect_disconnect(0x82);
        client.ping();
        client.expect_silence();
        expect_end(&broker, 0, EndedBy::Client);
    }
}

#[test]
fn rst_resets_the_connection() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Rst);
        twice_connected(&broker, version).expect_reset();
        expect_end(&broker, 0, EndedBy::Broker);
    }
}

#[test]
fn close_after_sends_nothing_before_its_time() {
    let wait = std::time::Duration::from_millis(300);
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::CloseAfter(wait));
        let mut client = RawClient::connected(&broker, version, "first");
        takes_at_least(wait, || {
            client.send(&connect(version, "first"));
            client.ping();
            client.expect_close(0x82);
        });
    }
}

#[test]
fn a_client_may_end_the_connection_before_a_late_close() {
    let broker = broker_with(SecondConnect::CloseAfter(std::time::Duration::from_millis(300)));
    twice_connected(&broker, V5).expect_silence();
    expect_end(&broker, 0, EndedBy::Client);
}

/// The connection stays open under the ClientID `held`, and the ClientID `free` is unused.
fn expect_to_hold(policy: SecondConnect, held: &str, free: &str) {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(policy);
        let mut client = twice_connected(&broker, version);
        client.expect(&connack(version, 0));
        client.expect_service();
        RawClient::connected(&broker, version, free).expect_service();
        client.expect_service();
        RawClient::connected(&broker, version, held).expect_service();
        client.expect_close(0x8E);
    }
}

#[test]
fn second_connack_then_serve_keeps_the_first_client_id() {
    expect_to_hold(SecondConnect::SecondConnackThenServe, "first", "second");
}

#[test]
fn adopt_second_client_id_replaces_the_first() {
    expect_to_hold(SecondConnect::AdoptSecondClientId, "second", "first");
}

#[test]
fn adopt_second_client_id_accepts_the_same_client_id() {
    let broker = broker_with(SecondConnect::AdoptSecondClientId);
    let mut client = RawClient::connected(&broker, V3_1_1, "first");
    client.subscribe("t", QoS::AtMostOnce);
    client.send(&connect(V3_1_1, "first"));
    client.expect(&connack(V3_1_1, 0));
    client.expect_service();
}

#[test]
fn keep_session_of_second_client_id_leaves_a_session_behind() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::KeepSessionOfSecondClientId);
        twice_connected(&broker, version).expect_close(0x82);
        let later = |client_id| Connect { clean_start: false, ..Connect::new(client_id) };
        RawClient::connected_with(&broker, version, &later("second"), 1).expect_service();
        RawClient::connected_with(&broker, version, &later("first"), 0).expect_service();
    }
}

#[test]
fn a_conforming_broker_keeps_no_session_of_the_second_client_id() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Fin);
        twice_connected(&broker, version).expect_fin();
        let later = Connect { clean_start: false, ..Connect::new("second") };
        RawClient::connected_with(&broker, version, &later, 0).expect_service();
    }
}

#[test]
fn ignore_keeps_serving() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Ignore);
        let mut client = twice_connected(&broker, version);
        client.expect_service();
        client.subscribe("t", QoS::AtMostOnce);
        client.publish("t", "mine", QoS::AtMostOnce);
        client.expect_payloads(&["mine"]);
        assert_eq!(broker.log().second_connects(), 1);
    }
}

#[test]
fn silence_neither_answers_nor_closes() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Silence);
        let mut client = twice_connected(&broker, version);
        client.ping();
        assert!(broker.wait_until(PATIENCE, |log| log.second_connects() == 1));
        assert!(!broker.log().events.iter().any(|event| matches!(event, Event::Ended { .. })));
        client.expect_silence();
        expect_end(&broker, 0, EndedBy::Client);
    }
}

#[test]
fn garbage_then_serve_keeps_serving() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::GarbageThenServe);
        let mut client = twice_connected(&broker, version);
        client.expect(&[0xFF; 5]);
        client.expect_service();
    }
}

#[test]
fn crash_broker_resets_every_connection() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::CrashBroker);
        let mut bystander = RawClient::connected(&broker, version, "bystander");
        twice_connected(&broker, version).expect_reset();
        bystander.expect_reset();
        expect_connection_refused(broker.address());
    }
}

#[test]
fn the_log_has_second_connects() {
    let broker = broker_with(SecondConnect::default());
    let mut client = twice_connected(&broker, V5);
    client.expect_disconnect(0x82);
    let log = broker.log();
    assert_eq!(log.client_ids().collect::<Vec<_>>(), ["first"]);
    let second = Event::SecondConnect { connection: 0, client_id: Some("second".to_owned()) };
    assert!(log.events.contains(&second));
    assert!(log.events.contains(&Event::Ended { connection: 0, by: EndedBy::Broker }));
}
