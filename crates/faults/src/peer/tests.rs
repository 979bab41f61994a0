//! A peer against the scripted broker: what it sends, what it is told, and what it keeps to itself.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use ungraceful_mqtt::{Connect, Properties, Property, ProtocolVersion, Publish};
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_scripted_broker::{Script, TakeOver};
use ungraceful_wire::clock::now;

use super::{Delivered, Event, Peer, discard_session};
use crate::numbered::{payload, read_payload};
use crate::testing::Scene;

const TOPIC: &str = "ungraceful/1/peer";
const WITHIN: Duration = Duration::from_secs(5);
/// Long enough for a loopback to bring what is under way.
const SHORT: Duration = Duration::from_millis(200);

/// A client whose session outlives its connection.
async fn connect(scene: &Scene, version: ProtocolVersion, client_id: &str) -> (Peer, Accepted) {
    let kept = [Property::SessionExpiryInterval(60)];
    let connect = Connect {
        clean_start: false,
        properties: match version {
            V5 => Properties::List(&kept),
            V3_1_1 => Properties::NONE,
        },
        ..Connect::new(client_id)
    };
    Peer::connect(&scene.stage, version, &connect).await.unwrap()
}

async fn subscribed(scene: &Scene, version: ProtocolVersion) -> Peer {
    let (mut peer, _) = connect(scene, version, "peer").await;
    assert_eq!(peer.subscribe(TOPIC, ExactlyOnce, WITHIN).await, Ok(ExactlyOnce));
    peer
}

/// Everything that is delivered within a short while.
async fn deliveries(peer: &mut Peer) -> Vec<Delivered> {
    let mut came = peer.take_set_aside();
    let deadline = now() + SHORT;
    while let Some(event) = peer.next_before(deadline).await {
        if let Event::Delivered(message) = event {
            came.push(message);
        }
    }
    came
}

fn sequences(came: &[Delivered]) -> Vec<Option<u64>> {
    came.iter().map(|message| message.sequence).collect()
}

#[test]
fn a_message_is_read_as_the_number_it_was_sent_under_and_one_of_others_as_none() {
    for sequence in [0, 1, 1 << 56, u64::MAX] {
        assert_eq!(read_payload(&payload(sequence)), Some(sequence));
    }
    for of_others in
        [&b""[..], b"ungrace1", b"ungrace1\0\0\0", b"otherone\0\0\0\0\0\0\0\0", b"ungrace1\0\0\0\0\0\0\0\0\0"]
    {
        assert_eq!(read_payload(of_others), None);
    }
}

#[tokio::test]
async fn a_subscription_tells_the_qos_that_was_granted() {
    for version in [V3_1_1, V5] {
        let scene = Scene::conforming();
        let (mut peer, accepted) = connect(&scene, version, "peer").await;
        assert!(!accepted.session_present);
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            assert_eq!(peer.subscribe(TOPIC, qos, WITHIN).await, Ok(qos), "{version}");
        }
    }
    let scene = Scene::with(Script { maximum_qos: Some(AtLeastOnce), ..Script::default() });
    let (mut peer, _) = connect(&scene, V5, "peer").await;
    assert_eq!(peer.subscribe(TOPIC, ExactlyOnce, WITHIN).await, Ok(AtLeastOnce));
}

#[tokio::test]
async fn what_is_published_at_each_qos_is_acknowledged_to_the_end_and_delivered_once() {
    for version in [V3_1_1, V5] {
        let scene = Scene::conforming();
        let mut peer = subscribed(&scene, version).await;
        for (qos, sequence) in [(AtMostOnce, 5), (AtLeastOnce, 6), (ExactlyOnce, 7)] {
            assert_eq!(peer.publish(TOPIC, qos, sequence, WITHIN).await, Ok(0), "{version} {qos:?}");
        }
        let came = deliveries(&mut peer).await;
        assert_eq!(sequences(&came), [Some(5), Some(6), Some(7)]);
        assert_eq!(
            came.iter().map(|message| message.qos).collect::<Vec<_>>(),
            [AtMostOnce, AtLeastOnce, ExactlyOnce]
        );
        let has_identifier: Vec<bool> = came.iter().map(|message| message.identifier.is_some()).collect();
        assert_eq!(has_identifier, [false, true, true]);
        assert!(came.iter().all(|message| !message.dup));
        assert_eq!(peer.take_set_aside(), [], "each is taken out once");
    }
}

#[tokio::test]
async fn what_comes_while_something_else_is_waited_for_is_set_aside_and_not_lost() {
    let scene = Scene::conforming();
    let mut peer = subscribed(&scene, V5).await;
    // Neither waits for its end, so all of it comes before the answers to what follows.
    for sequence in 0..3 {
        peer.send_publish(TOPIC, AtLeastOnce, sequence, None).await.unwrap();
    }
    assert!(peer.is_served(WITHIN).await);
    peer.send_publish(TOPIC, AtLeastOnce, 3, None).await.unwrap();
    peer.subscribe("ungraceful/1/another", AtMostOnce, WITHIN).await.unwrap();
    let came = deliveries(&mut peer).await;
    assert_eq!(sequences(&came), [Some(0), Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn deliveries_that_are_not_acknowledged_come_again_to_the_next_connection_and_others_do_not() {
    for version in [V3_1_1, V5] {
        for qos in [AtLeastOnce, ExactlyOnce] {
            let scene = Scene::conforming();
            let mut peer = subscribed(&scene, version).await;
            peer.publish(TOPIC, qos, 1, WITHIN).await.unwrap();
            assert_eq!(sequences(&deliveries(&mut peer).await), [Some(1)]);
            peer.acknowledges = false;
            peer.publish(TOPIC, qos, 2, WITHIN).await.unwrap();
            let first = deliveries(&mut peer).await;
            assert_eq!(sequences(&first), [Some(2)]);
            let (mut next, accepted) = connect(&scene, version, "peer").await;
            assert!(accepted.session_present);
            let again = deliveries(&mut next).await;
            assert_eq!(sequences(&again), [Some(2)], "{version} {qos:?}");
            assert_eq!((again[0].identifier, again[0].dup), (first[0].identifier, true));
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_released_is_taken_and_may_be_repeated_with_dup_until_it_is() {
    for version in [V3_1_1, V5] {
        let scene = Scene::conforming();
        let mut peer = subscribed(&scene, version).await;
        peer.releases = false;
        let identifier = peer.send_publish(TOPIC, ExactlyOnce, 9, None).await.unwrap();
        assert_eq!(peer.received(identifier, WITHIN).await, Ok(()));
        let again = peer.send_publish(TOPIC, ExactlyOnce, 9, Some(identifier)).await.unwrap();
        assert_eq!(again, identifier);
        assert_eq!(peer.received(identifier, WITHIN).await, Ok(()), "PUBREC comes again");
        peer.releases = true;
        peer.send_publish(TOPIC, ExactlyOnce, 9, Some(identifier)).await.unwrap();
        let mut came = peer.take_set_aside();
        let mut finished = Vec::new();
        let deadline = now() + SHORT;
        while let Some(event) = peer.next_before(deadline).await {
            match event {
                Event::Delivered(message) => came.push(message),
                Event::Finished { identifier, code } => finished.push((identifier, code)),
                _ => {}
            }
        }
        assert_eq!(finished, [(identifier, 0)], "{version}");
        assert_eq!(sequences(&came), [Some(9)], "exactly once");
    }
}

#[tokio::test]
async fn a_repeated_publish_has_dup_and_its_old_identifier_and_a_new_one_neither() {
    let scene = Scene::conforming();
    let (mut peer, _) = connect(&scene, V5, "peer").await;
    let first = peer.send_publish(TOPIC, AtLeastOnce, 1, None).await.unwrap();
    let second = peer.send_publish(TOPIC, AtLeastOnce, 2, None).await.unwrap();
    assert_eq!((first, second), (1, 2), "Packet Identifiers from 1");
    assert_eq!(peer.send_publish(TOPIC, AtLeastOnce, 1, Some(first)).await, Ok(first));
    assert_eq!(peer.send_publish(TOPIC, AtLeastOnce, 3, None).await, Ok(3));
    assert_eq!(peer.send_publish(TOPIC, AtMostOnce, 4, None).await, Ok(0));
}

#[tokio::test]
async fn a_broker_that_is_gone_serves_nobody_and_is_told_of_in_words() {
    let scene = Scene::conforming();
    let mut peer = subscribed(&scene, V5).await;
    assert!(peer.is_served(WITHIN).await);
    scene.broker.stop_abruptly();
    assert!(!peer.is_served(WITHIN).await);
    let subscribed = peer.subscribe(TOPIC, AtMostOnce, WITHIN).await;
    assert!(subscribed.is_err_and(|trouble| trouble.contains("SUBSCRIBE")));
    let published = peer.publish(TOPIC, AtLeastOnce, 1, WITHIN).await;
    assert!(published.is_err_and(|trouble| trouble.contains("PUBLISH")));
    let connect = Connect::new("late");
    let refused = Peer::connect(&scene.stage, V5, &connect).await.map(|_| ());
    assert_eq!(refused, Err("cannot connect: connection refused".to_owned()));
}

#[tokio::test]
async fn a_broker_that_answers_nothing_is_waited_for_as_long_as_was_asked_and_no_longer() {
    let scene = Scene::with(Script { take_over: TakeOver::Silence, ..Script::default() });
    let mut older = subscribed(&scene, V5).await;
    let (mut newer, _) = connect(&scene, V5, "peer").await;
    let began = now();
    assert!(!older.is_served(SHORT).await);
    assert_eq!(older.subscribe(TOPIC, AtMostOnce, SHORT).await, Err("no SUBACK within 200 ms".to_owned()));
    let published = older.publish(TOPIC, ExactlyOnce, 1, SHORT).await;
    assert_eq!(published, Err("no acknowledgement within 200 ms".to_owned()));
    assert_eq!(older.received(7, SHORT).await, Err("no PUBREC within 200 ms".to_owned()));
    assert!((4 * SHORT..WITHIN).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert!(newer.is_served(WITHIN).await);
}

#[tokio::test]
async fn a_client_that_is_taken_over_is_told_the_reason_while_it_waits_for_something_else() {
    let scene = Scene::conforming();
    let mut older = subscribed(&scene, V5).await;
    let (_newer, _) = connect(&scene, V5, "peer").await;
    assert!(!older.is_served(WITHIN).await);
    assert_eq!(older.disconnected.map(|(code, _)| code), Some(0x8E));
}

#[tokio::test]
async fn a_message_of_others_is_delivered_without_a_number() {
    let scene = Scene::conforming();
    let mut peer = subscribed(&scene, V5).await;
    let mut bytes = Vec::new();
    Publish::new(TOPIC, b"of somebody else").encode(V5, &mut bytes).unwrap();
    peer.client.connection.send(&bytes).await.unwrap();
    assert_eq!(sequences(&deliveries(&mut peer).await), [None]);
}

#[tokio::test]
async fn who_leaves_nothing_and_whose_session_is_discarded_has_none_when_it_comes_back() {
    for version in [V3_1_1, V5] {
        let scene = Scene::conforming();
        let is_there = async || {
            let (peer, accepted) = connect(&scene, version, "peer").await;
            peer.client.leave().await;
            accepted.session_present
        };
        subscribed(&scene, version).await.client.leave().await;
        assert!(is_there().await, "{version}: a client that merely leaves leaves its session");
        discard_session(&scene.stage, version, "peer").await;
        assert!(!is_there().await, "{version}: discarded");
        let (peer, accepted) = connect(&scene, version, "peer").await;
        assert!(accepted.session_present);
        peer.leave_nothing(&scene.stage, "peer").await;
        assert!(!is_there().await, "{version}: nothing left");
    }
}
