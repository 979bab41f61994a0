//! Wills: when they are published, and each policy.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, Property, ProtocolVersion, QoS, Will};
use ungraceful_scripted_broker::{Event, Script, ScriptedBroker, SecondConnect, Wills};

use crate::raw_client::{PATIENCE, RawClient, encoded};

struct Scene {
    broker: ScriptedBroker,
    witness: RawClient,
    version: ProtocolVersion,
}

impl Scene {
    fn new(wills: Wills, version: ProtocolVersion) -> Self {
        let script = Script { wills, second_connect: SecondConnect::Fin, ..Script::default() };
        let broker = ScriptedBroker::start(script);
        let witness = RawClient::subscribed(&broker, version, "#", QoS::AtMostOnce);
        Self { broker, witness, version }
    }

    fn client(&self) -> RawClient {
        RawClient::connected_with(&self.broker, self.version, &with_will("first"), 0)
    }

    /// Reads exactly these Wills: a message of the witness to itself ends the list.
    fn expect_wills(&mut self, expected: &[&str]) {
        self.witness.publish("end", "end", QoS::AtMostOnce);
        for will in expected {
            assert_eq!(self.witness.next_payload(), *will);
        }
        assert_eq!(self.witness.next_payload(), "end");
    }

    /// Waits until the broker has ended the Client's connection: its Will goes before anything it reads afterwards.
    fn wait_for_end(&self) {
        let is_ended = |event: &Event| matches!(event, Event::Ended { connection: 1, .. });
        assert!(self.broker.wait_until(PATIENCE, |log| log.events.iter().any(is_ended)));
    }

    fn connect_again(&self, client: &mut RawClient, connect: &Connect<'_>) {
        client.send(&encoded(self.version, &Packet::Connect(*connect)));
        client.expect_fin();
    }
}

fn with_will(payload: &'static str) -> Connect<'static> {
    Connect { will: Some(Will::new("will", payload.as_bytes())), ..Connect::new("client") }
}

#[test]
fn mqtt5_3_1_2_8_a_will_is_published_when_the_client_vanishes() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Publish, version);
        drop(scene.client());
        scene.wait_for_end();
        scene.expect_wills(&["first"]);
    }
}

#[test]
fn mqtt5_3_1_2_8_a_will_is_published_on_a_second_connect() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Publish, version);
        let mut client = scene.client();
        scene.connect_again(&mut client, &with_will("second"));
        scene.expect_wills(&["first"]);
    }
}

#[test]
fn a_will_is_published_on_a_take_over() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Publish, version);
        let _old = scene.client();
        let _new = RawClient::connected(&scene.broker, version, "client");
        scene.expect_wills(&["first"]);
    }
}

#[test]
fn mqtt5_3_1_2_10_a_will_is_void_after_disconnect_0x00() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Publish, version);
        let mut client = scene.client();
        client.send(&[0xE0, 0]);
        client.expect_fin();
        scene.expect_wills(&[]);
    }
}

#[test]
fn mqtt5_3_14_4_3_a_will_is_published_after_disconnect_0x04() {
    let mut scene = Scene::new(Wills::Publish, V5);
    let mut client = scene.client();
    client.send(&[0xE0, 1, 4]);
    client.expect_fin();
    scene.expect_wills(&["first"]);
}

#[test]
fn never_publishes_none() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Never, version);
        let mut client = scene.client();
        scene.connect_again(&mut client, &with_will("second"));
        scene.expect_wills(&[]);
    }
}

#[test]
fn twice_publishes_each_two_times() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Twice, version);
        let mut client = scene.client();
        scene.connect_again(&mut client, &with_will("second"));
        scene.expect_wills(&["first", "first"]);
        let mut client = scene.client();
        client.send(&[0xE0, 0]);
        client.expect_fin();
        scene.expect_wills(&[]);
    }
}

#[test]
fn of_second_connect_publishes_the_other_will() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::OfSecondConnect, version);
        let mut client = scene.client();
        scene.connect_again(&mut client, &with_will("second"));
        scene.expect_wills(&["second"]);
        let mut client = scene.client();
        scene.connect_again(&mut client, &Connect::new("client"));
        scene.expect_wills(&[]);
        let mut client = scene.client();
        client.expect_silence();
        scene.expect_wills(&["first"]);
    }
}

#[test]
fn even_after_disconnect_publishes_a_void_will() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::EvenAfterDisconnect, version);
        let mut client = scene.client();
        client.send(&[0xE0, 0]);
        client.expect_fin();
        scene.expect_wills(&["first"]);
    }
}

#[test]
fn a_will_keeps_its_qos_and_its_properties_but_for_the_delay() {
    let script = Script { second_connect: SecondConnect::Fin, ..Script::default() };
    let broker = ScriptedBroker::start(script);
    let mut witness = RawClient::subscribed(&broker, V5, "will", QoS::AtLeastOnce);
    let properties = [Property::WillDelayInterval(60), Property::ContentType("c")];
    let will =
        Will { qos: QoS::AtLeastOnce, properties: properties.as_slice().into(), ..Will::new("will", b"x") };
    let connect = Connect { will: Some(will), ..Connect::new("client") };
    drop(RawClient::connected_with(&broker, V5, &connect, 0));
    witness.expect(&[0x32, 14, 0, 4, b'w', b'i', b'l', b'l', 0, 1, 4, 3, 0, 1, b'c', b'x']);
}

#[test]
fn a_retained_will_reaches_later_subscribers() {
    let broker = ScriptedBroker::start(Script::default());
    let will = Will { retain: true, ..Will::new("will", b"x") };
    let connect = Connect { will: Some(will), ..Connect::new("client") };
    RawClient::connected_with(&broker, V3_1_1, &connect, 0).expect_silence();
    let mut late = RawClient::subscribed(&broker, V3_1_1, "will", QoS::AtMostOnce);
    late.expect(&[0x31, 7, 0, 4, b'w', b'i', b'l', b'l', b'x']);
}
