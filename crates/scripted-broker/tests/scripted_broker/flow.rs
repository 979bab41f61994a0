//! Each policy for what comes past the Receive Maximum of the CONNACK, which only MQTT 5.0 has.

use std::num::NonZeroU16;
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::QoS;
use ungraceful_scripted_broker::{Event, Flow, Pubacks, Script, ScriptedBroker};

use crate::raw_client::{RawClient, takes_at_least};

/// A broker that takes two at a time.
fn broker_with(flow: Flow, pubacks: Pubacks) -> ScriptedBroker {
    ScriptedBroker::start(Script { flow, pubacks, receive_maximum: NonZeroU16::new(2), ..Script::default() })
}

fn connected(broker: &ScriptedBroker) -> RawClient {
    RawClient::with_connack(broker, &[0x20, 10, 0, 0, 7, 0x21, 0, 2, 0x29, 0, 0x2A, 0])
}

fn publish(client: &mut RawClient, qos: QoS, identifier: u8) {
    client.send(&[0x30 | qos.level() << 1, 7, 0, 1, b't', 0, identifier, 0, b'x']);
}

/// A Client that has two QoS 2 messages outstanding.
fn full(broker: &ScriptedBroker) -> RawClient {
    let mut client = connected(broker);
    for identifier in [1, 2] {
        publish(&mut client, QoS::ExactlyOnce, identifier);
        client.expect(&[0x50, 2, 0, identifier]);
    }
    client
}

fn release(client: &mut RawClient, identifier: u8) {
    client.send(&[0x62, 2, 0, identifier]);
    client.expect(&[0x70, 2, 0, identifier]);
}

#[test]
fn a_client_within_the_receive_maximum_is_served() {
    for flow in [Flow::default(), Flow::Fin, Flow::Rst, Flow::Silence, Flow::Refuse(0x97), Flow::Tolerate] {
        let broker = broker_with(flow, Pubacks::default());
        let mut client = full(&broker);
        for _ in 0..5 {
            release(&mut client, 1);
            publish(&mut client, QoS::AtLeastOnce, 9);
            client.expect(&[0x40, 2, 0, 9]);
            publish(&mut client, QoS::ExactlyOnce, 1);
            client.expect(&[0x50, 2, 0, 1]);
            // The same message again is not one more.
            publish(&mut client, QoS::ExactlyOnce, 2);
            client.expect(&[0x50, 2, 0, 2]);
        }
        client.expect_service();
        assert_eq!(broker.log().traffic_of(0).received, 17);
    }
}

#[test]
fn disconnect_fin_and_rst_close_on_one_message_too_many() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for flow in [Flow::Disconnect, Flow::Fin, Flow::Rst] {
            let broker = broker_with(flow, Pubacks::default());
            let mut client = full(&broker);
            publish(&mut client, qos, 3);
            match flow {
                Flow::Disconnect => client.expect_close(0x93),
                Flow::Fin => client.expect_fin(),
                _ => client.expect_reset(),
            }
        }
    }
}

#[test]
fn qos_0_needs_no_quota() {
    let broker = broker_with(Flow::default(), Pubacks::default());
    let mut client = full(&broker);
    client.publish("t", "x", QoS::AtMostOnce);
    client.expect_service();
}

#[test]
fn each_connection_has_its_own_quota() {
    let broker = broker_with(Flow::default(), Pubacks::default());
    for _ in 0..2 {
        full(&broker).expect_service();
    }
}

#[test]
fn refuse_sends_the_code_and_keeps_serving() {
    let broker = broker_with(Flow::Refuse(0x97), Pubacks::default());
    let mut witness = RawClient::connected(&broker, V3_1_1, "witness");
    let mut client = full(&broker);
    witness.subscribe("t", QoS::AtMostOnce);
    publish(&mut client, QoS::ExactlyOnce, 3);
    client.expect(&[0x50, 3, 0, 3, 0x97]);
    publish(&mut client, QoS::AtLeastOnce, 3);
    client.expect(&[0x40, 3, 0, 3, 0x97]);
    client.expect_service();
    witness.expect_service();
    release(&mut client, 1);
    publish(&mut client, QoS::ExactlyOnce, 3);
    client.expect(&[0x50, 2, 0, 3]);
    witness.expect_payloads(&["x"]);
}

#[test]
fn silence_neither_answers_nor_closes() {
    let broker = broker_with(Flow::Silence, Pubacks::default());
    let mut client = full(&broker);
    publish(&mut client, QoS::ExactlyOnce, 3);
    client.ping();
    RawClient::open(&broker, V5).expect_silence();
    assert!(!broker.log().events.iter().any(|event| matches!(event, Event::Ended { connection: 0, .. })));
    client.expect_silence();
}

#[test]
fn tolerate_takes_everything() {
    let broker = broker_with(Flow::Tolerate, Pubacks::default());
    let mut client = full(&broker);
    for identifier in 3..20 {
        publish(&mut client, QoS::ExactlyOnce, identifier);
        client.expect(&[0x50, 2, 0, identifier]);
    }
}

#[test]
fn leak_closes_on_a_conforming_client() {
    for (flow, code) in [(Flow::Leak, Some(0x93)), (Flow::LeakThenFin, None)] {
        let broker = broker_with(flow, Pubacks::default());
        let mut client = connected(&broker);
        publish(&mut client, QoS::ExactlyOnce, 1);
        client.expect(&[0x50, 2, 0, 1]);
        release(&mut client, 1);
        publish(&mut client, QoS::AtLeastOnce, 1);
        client.expect(&[0x40, 2, 0, 1]);
        client.publish("t", "x", QoS::AtMostOnce);
        client.expect_service();
        publish(&mut client, QoS::AtLeastOnce, 1);
        client.expect_close(code);
    }
}

#[test]
fn mqtt_3_1_1_has_no_quota_to_leak() {
    let broker = broker_with(Flow::Leak, Pubacks::default());
    let mut client = RawClient::connected(&broker, V3_1_1, "client");
    for _ in 0..5 {
        client.publish_at_least_once("t", "x");
    }
}

#[test]
fn late_pubacks_come_late_and_in_order() {
    let late = Duration::from_millis(600);
    let broker = broker_with(Flow::default(), Pubacks::Late(late));
    let mut client = connected(&broker);
    takes_at_least(late, || {
        publish(&mut client, QoS::AtLeastOnce, 1);
        publish(&mut client, QoS::AtLeastOnce, 2);
        client.expect_service();
        client.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]);
    });
    publish(&mut client, QoS::AtLeastOnce, 1);
    client.expect(&[0x40, 2, 0, 1]);
    let mut old = RawClient::connected(&broker, V3_1_1, "old");
    takes_at_least(late, || {
        old.publish_at_least_once("t", "x");
    });
}

#[test]
fn late_pubacks_count_against_the_quota() {
    let broker = broker_with(Flow::default(), Pubacks::Late(Duration::from_secs(600)));
    let mut client = connected(&broker);
    for identifier in [1, 2, 3] {
        publish(&mut client, QoS::AtLeastOnce, identifier);
    }
    client.expect_close(0x93);
}

/// A Client of a broker that acknowledges so, without a Receive Maximum.
fn acknowledged(pubacks: Pubacks) -> (ScriptedBroker, RawClient) {
    let broker = ScriptedBroker::start(Script { pubacks, ..Script::default() });
    let mut client = RawClient::connected(&broker, V5, "client");
    client.subscribe("t", QoS::AtMostOnce);
    (broker, client)
}

#[test]
fn a_refused_message_is_not_delivered_at_either_qos() {
    let (_broker, mut client) = acknowledged(Pubacks::Refuse(0x95));
    publish(&mut client, QoS::AtLeastOnce, 1);
    client.expect(&[0x40, 3, 0, 1, 0x95]);
    publish(&mut client, QoS::ExactlyOnce, 2);
    client.expect(&[0x50, 3, 0, 2, 0x95]);
    client.expect_service();
}

#[test]
fn with_next_acknowledges_with_the_next_message_or_after_40_ms() {
    let broker = ScriptedBroker::start(Script { pubacks: Pubacks::WithNext, ..Script::default() });
    let mut client = RawClient::connected(&broker, V5, "client");
    takes_at_least(Duration::from_millis(40), || {
        for identifier in [1, 2] {
            publish(&mut client, QoS::AtLeastOnce, identifier);
        }
        client.expect(&[0x40, 2, 0, 1, 0x40, 2, 0, 2]);
    });
    client.expect_service();
}

#[test]
fn a_message_that_is_never_acknowledged_is_delivered() {
    let (_broker, mut client) = acknowledged(Pubacks::Never);
    publish(&mut client, QoS::AtLeastOnce, 1);
    client.expect_payloads(&["x"]);
    client.expect_service();
}
