//! Each policy for second CONNECTs, in both versions.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{EndedBy, Event, Script, ScriptedBroker, SecondConnect};

use crate::raw_client::{PATIENCE, RawClient, connack, connect, expect_end, takes_at_least};

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

fn expect_then_fin(policy: SecondConnect, version: ProtocolVersion, expected: &[u8]) {
    let broker = broker_with(policy);
    twice_connected(&broker, version).expect_then_fin(expected);
}

#[test]
fn mqtt5_3_1_0_2_a_second_connect_is_a_protocol_error_by_default() {
    expect_then_fin(SecondConnect::default(), V5, &[0xE0, 2, 0x82, 0]);
}

#[test]
fn mqtt3_1_1_3_1_0_2_a_second_connect_closes_by_default() {
    expect_then_fin(SecondConnect::default(), V3_1_1, &[]);
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
fn disconnect_short_leaves_out_the_property_length() {
    expect_then_fin(SecondConnect::DisconnectShort, V5, &[0xE0, 1, 0x82]);
    expect_then_fin(SecondConnect::DisconnectShort, V3_1_1, &[]);
}

#[test]
fn disconnect_code_sends_that_code() {
    expect_then_fin(SecondConnect::DisconnectCode(0x81), V5, &[0xE0, 2, 0x81, 0]);
    expect_then_fin(SecondConnect::DisconnectCode(0xFF), V5, &[0xE0, 2, 0xFF, 0]);
    expect_then_fin(SecondConnect::DisconnectCode(0x81), V3_1_1, &[]);
}

#[test]
fn disconnect_even_on_3_1_1_sends_what_that_version_does_not_have() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(SecondConnect::DisconnectEvenOn3_1_1, version, &[0xE0, 2, 0x82, 0]);
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
fn fin_closes_without_a_word() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(SecondConnect::Fin, version, &[]);
    }
}

#[test]
fn rst_resets_without_a_word() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Rst);
        twice_connected(&broker, version).expect_reset();
        expect_end(&broker, 0, EndedBy::Broker);
    }
}

#[test]
fn close_after_waits_and_answers_nothing_meanwhile() {
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
fn a_client_that_does_not_wait_for_a_late_close_is_done_with() {
    let broker = broker_with(SecondConnect::CloseAfter(std::time::Duration::from_millis(300)));
    twice_connected(&broker, V5).expect_silence();
    expect_end(&broker, 0, EndedBy::Client);
}

/// The connection goes on under `held`, which can be taken over, and nobody has the other ClientID.
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
fn second_connack_then_serve_goes_on_under_the_first_client_id() {
    expect_to_hold(SecondConnect::SecondConnackThenServe, "first", "second");
}

#[test]
fn second_connack_then_fin_closes() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(SecondConnect::SecondConnackThenFin, version, &connack(version, 0));
    }
}

#[test]
fn adopt_second_client_id_makes_the_connection_the_one_to_take_over() {
    expect_to_hold(SecondConnect::AdoptSecondClientId, "second", "first");
}

#[test]
fn adopt_second_client_id_serves_on_when_it_is_the_first_one() {
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
fn a_conforming_broker_leaves_no_session_of_the_second_client_id() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::Fin);
        twice_connected(&broker, version).expect_fin();
        let later = Connect { clean_start: false, ..Connect::new("second") };
        RawClient::connected_with(&broker, version, &later, 0).expect_service();
    }
}

#[test]
fn ignore_serves_on() {
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
fn half_packet_then_fin_begins_a_packet() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(SecondConnect::HalfPacketThenFin, version, &[0xE0, 5, 0x82]);
    }
}

#[test]
fn garbage_cannot_be_framed() {
    for version in ProtocolVersion::ALL {
        expect_then_fin(SecondConnect::GarbageThenFin, version, &[0xFF; 5]);
    }
}

#[test]
fn garbage_then_serve_serves_on() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::GarbageThenServe);
        let mut client = twice_connected(&broker, version);
        client.expect(&[0xFF; 5]);
        client.expect_service();
    }
}

#[test]
fn crash_broker_takes_everybody_down() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(SecondConnect::CrashBroker);
        let mut bystander = RawClient::connected(&broker, version, "bystander");
        twice_connected(&broker, version).expect_reset();
        bystander.expect_reset();
        let refused = std::net::TcpStream::connect(broker.address()).expect_err("no listener any more");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_log_tells_who_sent_a_second_connect() {
    let broker = broker_with(SecondConnect::default());
    let mut client = twice_connected(&broker, V5);
    client.expect_disconnect(0x82);
    let log = broker.log();
    assert_eq!(log.client_ids().collect::<Vec<_>>(), ["first"]);
    let second = Event::SecondConnect { connection: 0, client_id: Some("second".to_owned()) };
    assert!(log.events.contains(&second));
    assert!(log.events.contains(&Event::Ended { connection: 0, by: EndedBy::Broker }));
}
