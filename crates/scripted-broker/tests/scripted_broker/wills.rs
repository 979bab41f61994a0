//! Wills: when they are published, and each policy.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, Property, ProtocolVersion, QoS, Will};
use ungraceful_scripted_broker::{Script, ScriptedBroker, SecondConnect, TakeOver, Wills};

use crate::raw_client::{RawClient, connack, encoded, takes_at_least, wait_for_end};

struct Scene {
    broker: ScriptedBroker,
    witness: RawClient,
    version: ProtocolVersion,
}

impl Scene {
    fn new(wills: Wills, version: ProtocolVersion) -> Self {
        Self::with(Script { wills, second_connect: SecondConnect::Fin, ..Script::default() }, version)
    }

    fn with(script: Script, version: ProtocolVersion) -> Self {
        let broker = ScriptedBroker::start(script);
        let witness = RawClient::subscribed(&broker, version, "#", QoS::AtMostOnce);
        Self { broker, witness, version }
    }

    fn client(&self) -> RawClient {
        RawClient::connected_with(&self.broker, self.version, &with_will("first"), 0)
    }

    /// Reads exactly these Wills; a message of the witness to itself marks the end.
    fn expect_wills(&mut self, expected: &[&str]) {
        self.witness.publish("end", "end", QoS::AtMostOnce);
        self.witness.expect_payloads(expected);
        self.witness.expect_payloads(&["end"]);
    }

    /// Waits until the broker has ended the Client's connection and published its Will.
    fn wait_for_end(&self) {
        wait_for_end(&self.broker, 1);
    }

    /// The Client vanishes, and the broker has noticed.
    fn lose(&self, client: RawClient) {
        drop(client);
        self.wait_for_end();
    }

    fn connect_again(&self, client: &mut RawClient, connect: &Connect<'_>) {
        client.send(&encoded(self.version, &Packet::Connect(*connect)));
        client.expect_fin();
    }
}

fn with_will(payload: &'static str) -> Connect<'static> {
    Connect { will: Some(Will::new("will", payload.as_bytes())), ..Connect::new("client") }
}

/// `MQTT 5.0 [MQTT-3.1.2-8]` and `MQTT 5.0 [MQTT-3.1.2-10]` for the default.
#[test]
fn each_end_of_a_connection_publishes_these_wills() {
    let (once, none): (&[_], &[_]) = (&["first"], &[]);
    for version in ProtocolVersion::ALL {
        for (wills, lost, second_connect, taken_over, disconnect) in [
            (Wills::Publish, once, once, once, none),
            (Wills::Never, none, none, none, none),
            (Wills::Twice, &["first", "first"], &["first", "first"], &["first", "first"], none),
            (Wills::EvenAfterDisconnect, once, once, once, once),
        ] {
            let mut scene = Scene::new(wills, version);
            scene.lose(scene.client());
            scene.expect_wills(lost);
            let mut scene = Scene::new(wills, version);
            let mut client = scene.client();
            scene.connect_again(&mut client, &with_will("second"));
            scene.expect_wills(second_connect);
            let mut scene = Scene::new(wills, version);
            let _old = scene.client();
            let _new = RawClient::connected(&scene.broker, version, "client");
            scene.expect_wills(taken_over);
            let mut scene = Scene::new(wills, version);
            scene.client().leave();
            scene.expect_wills(disconnect);
        }
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
fn of_second_connect_publishes_the_other_will() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::OfSecondConnect, version);
        let mut client = scene.client();
        scene.connect_again(&mut client, &with_will("second"));
        scene.expect_wills(&["second"]);
        let mut client = scene.client();
        scene.connect_again(&mut client, &Connect::new("client"));
        scene.expect_wills(&[]);
        scene.client().expect_silence();
        scene.expect_wills(&["first"]);
    }
}

/// A CONNECT of MQTT 5.0 with a Will that is delayed by so many seconds, and a Session Expiry Interval.
fn delayed(delay_s: u32, expiry_s: u32, clean_start: bool) -> Vec<u8> {
    let will_properties = [Property::WillDelayInterval(delay_s)];
    let will = Will { properties: will_properties.as_slice().into(), ..Will::new("will", b"delayed") };
    let properties = [Property::SessionExpiryInterval(expiry_s)];
    let connect = Connect {
        clean_start,
        properties: properties.as_slice().into(),
        will: Some(will),
        ..Connect::new("client")
    };
    encoded(V5, &Packet::Connect(connect))
}

impl Scene {
    fn delayed(&self, delay_s: u32, expiry_s: u32) -> RawClient {
        self.connected(&delayed(delay_s, expiry_s, true), 0)
    }

    fn connected(&self, connect: &[u8], session_present: u8) -> RawClient {
        let mut client = RawClient::open(&self.broker, V5);
        client.send(connect);
        client.expect(&connack(V5, session_present));
        client
    }

    /// Connects with the Client's ClientID, without a Will.
    fn newcomer(&self, clean_start: bool, session_present: u8) -> RawClient {
        let connect = Connect { clean_start, ..Connect::new("client") };
        self.connected(&encoded(V5, &Packet::Connect(connect)), session_present)
    }
}

#[test]
fn mqtt5_3_1_2_8_a_will_waits_for_its_delay() {
    let mut scene = Scene::new(Wills::Publish, V5);
    let client = scene.delayed(2, 3600);
    takes_at_least(Duration::from_secs(2), || {
        scene.lose(client);
        scene.expect_wills(&[]);
        scene.witness.expect_payloads(&["delayed"]);
    });
    // It is published once, and is nothing to the next connection.
    let _newcomer = scene.newcomer(true, 0);
    scene.expect_wills(&[]);
}

#[test]
fn mqtt5_3_1_2_8_a_will_does_not_wait_longer_than_its_session() {
    let mut scene = Scene::new(Wills::Publish, V5);
    let client = scene.delayed(3600, 1);
    takes_at_least(Duration::from_secs(1), || {
        drop(client);
        scene.witness.expect_payloads(&["delayed"]);
    });
    drop(scene.delayed(3600, 0));
    scene.witness.expect_payloads(&["delayed"]);
}

#[test]
fn mqtt5_3_1_3_9_no_will_when_the_session_is_resumed_in_time() {
    let mut scene = Scene::new(Wills::Publish, V5);
    scene.lose(scene.delayed(2, 3600));
    let mut newcomer = scene.newcomer(false, 1);
    newcomer.expect_service();
    std::thread::sleep(Duration::from_millis(2_200));
    scene.expect_wills(&[]);
}

#[test]
fn a_waiting_will_is_published_when_clean_start_ends_the_session() {
    let mut scene = Scene::new(Wills::Publish, V5);
    scene.lose(scene.delayed(3600, 3600));
    scene.expect_wills(&[]);
    let _newcomer = scene.newcomer(true, 0);
    scene.expect_wills(&["delayed"]);
}

#[test]
fn a_delayed_will_is_published_when_a_take_over_ends_the_session() {
    for (expiry_s, clean_start) in [(3600, true), (0, false), (0, true)] {
        let mut scene = Scene::new(Wills::Publish, V5);
        let _old = scene.delayed(3600, expiry_s);
        let _newcomer = scene.newcomer(clean_start, 0);
        scene.expect_wills(&["delayed"]);
    }
}

#[test]
fn mqtt5_3_1_3_9_no_delayed_will_on_a_take_over_that_resumes() {
    let mut scene = Scene::new(Wills::Publish, V5);
    let mut old = scene.delayed(2, 3600);
    let _newcomer = scene.newcomer(false, 1);
    old.expect_close(0x8E);
    std::thread::sleep(Duration::from_millis(2_200));
    scene.expect_wills(&[]);
    let mut scene = Scene::new(Wills::Publish, V5);
    let _old = scene.delayed(0, 3600);
    let _newcomer = scene.newcomer(false, 1);
    scene.expect_wills(&["delayed"]);
}

#[test]
fn a_delayed_will_of_a_late_close_follows_the_same_rules() {
    for take_over in [TakeOver::CloseAfter(Duration::from_secs(1)), TakeOver::Silence] {
        for (clean_start, session_present, wills) in [(true, 0, &["delayed"][..]), (false, 1, &[])] {
            let mut scene = Scene::with(Script { take_over, ..Script::default() }, V5);
            let mut old = scene.delayed(3600, 3600);
            let _newcomer = scene.newcomer(clean_start, session_present);
            scene.expect_wills(&[]);
            if take_over == TakeOver::Silence {
                old.expect_silence();
            } else {
                old.expect_close(0x8E);
            }
            scene.wait_for_end();
            scene.expect_wills(wills);
        }
    }
}

#[test]
fn ignore_delay_publishes_at_once() {
    let mut scene = Scene::new(Wills::IgnoreDelay, V5);
    scene.lose(scene.delayed(3600, 3600));
    scene.expect_wills(&["delayed"]);
    let mut scene = Scene::new(Wills::IgnoreDelay, V5);
    let _old = scene.delayed(3600, 3600);
    let _newcomer = scene.newcomer(false, 1);
    scene.expect_wills(&["delayed"]);
}

#[test]
fn never_on_take_over_publishes_no_will_of_the_older_connection() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::NeverOnTakeOver, version);
        let _old = scene.client();
        let new = scene.client();
        scene.expect_wills(&[]);
        drop(new);
        scene.witness.expect_payloads(&["first"]);
    }
}

#[test]
fn always_on_take_over_publishes_wills_of_resumed_sessions() {
    let mut scene = Scene::new(Wills::AlwaysOnTakeOver, V5);
    let _old = scene.delayed(3600, 3600);
    let _newcomer = scene.newcomer(false, 1);
    scene.expect_wills(&["delayed"]);
    // Without a take-over the delay counts.
    let mut scene = Scene::new(Wills::AlwaysOnTakeOver, V5);
    scene.lose(scene.delayed(3600, 3600));
    let _newcomer = scene.newcomer(false, 1);
    scene.expect_wills(&[]);
}

#[test]
fn a_will_keeps_its_qos_and_properties_except_the_delay() {
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

/// A Client with a retained Will connects and ends its connection.
fn leave_retained_will(broker: &ScriptedBroker) {
    let will = Will { retain: true, ..Will::new("will", b"x") };
    let connect = Connect { will: Some(will), ..Connect::new("client") };
    RawClient::connected_with(broker, V3_1_1, &connect, 0).expect_silence();
}

#[test]
fn a_retained_will_reaches_later_subscribers() {
    let broker = ScriptedBroker::start(Script::default());
    leave_retained_will(&broker);
    let mut late = RawClient::subscribed(&broker, V3_1_1, "will", QoS::AtMostOnce);
    late.expect(&[0x31, 7, 0, 4, b'w', b'i', b'l', b'l', b'x']);
}

#[test]
fn late_publishes_after_the_client_is_back() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::Late(Duration::from_millis(500)), version);
        let client = scene.client();
        takes_at_least(Duration::from_millis(450), || {
            scene.lose(client);
            let _back = RawClient::connected(&scene.broker, version, "client");
            scene.expect_wills(&[]);
            scene.witness.expect_payloads(&["first"]);
        });
    }
}

#[test]
fn never_retained_publishes_only_to_present_subscribers() {
    let broker = ScriptedBroker::start(Script { wills: Wills::NeverRetained, ..Script::default() });
    let mut witness = RawClient::subscribed(&broker, V3_1_1, "will", QoS::AtMostOnce);
    leave_retained_will(&broker);
    witness.expect_payloads(&["x"]);
    let mut late = RawClient::connected(&broker, V3_1_1, "late");
    late.subscribe("will", QoS::AtMostOnce);
    late.expect_service();
}

#[test]
fn of_earlier_connection_publishes_early_and_again_when_due() {
    for version in ProtocolVersion::ALL {
        let mut scene = Scene::new(Wills::OfEarlierConnection, version);
        let mut client = scene.client();
        scene.expect_wills(&["first"]);
        client.leave();
        scene.expect_wills(&[]);
        drop(scene.client());
        scene.witness.expect_payloads(&["first", "first"]);
    }
}
