//! Packets arrive whole, in order and with their instants, however the peer cuts them.

use std::io::Write;
use std::thread;

use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, ConnectOptions, PACKET_BYTES_MAX, Unframed};

use crate::peer::{
    CONNACK, PINGRESP, UNFRAMEABLE, begin_next_and_drop_it, connected, connected_with, end, next, packet,
    publish, within, write_at_once,
};

#[tokio::test]
async fn a_packet_cut_at_any_byte_arrives_the_same_as_whole() {
    let (mut connection, peer) = connected().await;
    let whole = publish(150);
    for cut in 1..whole.len() {
        // The packet in front makes sure that the first part is read on its own.
        write_at_once(&peer, &[&PINGRESP, &whole[..cut]].concat());
        assert_eq!(packet(&mut connection).await.bytes, PINGRESP);
        write_at_once(&peer, &whole[cut..]);
        assert_eq!(packet(&mut connection).await.bytes, whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_packet_that_comes_byte_by_byte_arrives_the_same_as_whole() {
    let (mut connection, peer) = connected().await;
    let whole = publish(150);
    let (last, before) = whole.split_last().expect("not empty");
    for byte in before {
        write_at_once(&peer, &[*byte]);
        begin_next_and_drop_it(&mut connection).await;
    }
    write_at_once(&peer, &[*last]);
    assert_eq!(packet(&mut connection).await.bytes, whole);
}

#[tokio::test]
async fn several_packets_in_one_segment_arrive_in_order_with_one_instant() {
    let (mut connection, peer) = connected().await;
    let sent = [CONNACK.to_vec(), publish(0), publish(300), PINGRESP.to_vec()];
    write_at_once(&peer, &sent.concat());
    let mut instants = Vec::new();
    for expected in &sent {
        let packet = packet(&mut connection).await;
        assert_eq!(&packet.bytes, expected);
        assert_eq!(packet.frame().bytes, expected);
        instants.extend([packet.first_byte_at, packet.complete_at]);
    }
    instants.dedup();
    assert_eq!(instants.len(), 1, "one read showed all of them");
}

#[tokio::test]
async fn a_packet_in_two_parts_begins_with_the_first_read() {
    let (mut connection, peer) = connected().await;
    let whole = publish(10);
    let before_all = now();
    write_at_once(&peer, &[&PINGRESP, &whole[..4]].concat());
    let first_read = packet(&mut connection).await.complete_at;
    let between = now();
    write_at_once(&peer, &whole[4..]);
    let packet = packet(&mut connection).await;
    assert!(before_all <= first_read && first_read <= between);
    assert_eq!(packet.first_byte_at, first_read);
    assert!(packet.complete_at >= between);
    assert!(packet.complete_at <= now());
}

#[tokio::test]
async fn a_packet_behind_one_in_two_parts_begins_with_the_second_read() {
    let (mut connection, peer) = connected().await;
    let whole = publish(10);
    write_at_once(&peer, &[&PINGRESP, &whole[..4]].concat());
    let first_read = packet(&mut connection).await.complete_at;
    write_at_once(&peer, &[&whole[4..], &CONNACK].concat());
    let in_two_parts = packet(&mut connection).await;
    let behind = packet(&mut connection).await;
    assert_eq!(in_two_parts.first_byte_at, first_read);
    assert_eq!(behind.first_byte_at, in_two_parts.complete_at);
    assert_eq!(behind.complete_at, in_two_parts.complete_at);
}

#[tokio::test]
async fn next_dropped_half_way_loses_nothing() {
    let (mut connection, peer) = connected().await;
    let packets = [publish(20), CONNACK.to_vec(), publish(200)];
    let stream = packets.concat();
    let (first_half, second_half) = stream.split_at(10);
    write_at_once(&peer, first_half);
    for _ in 0..3 {
        begin_next_and_drop_it(&mut connection).await;
    }
    write_at_once(&peer, second_half);
    for expected in packets {
        assert_eq!(packet(&mut connection).await.bytes, expected);
    }
}

#[tokio::test]
async fn the_largest_packet_arrives() {
    /// Fixed header (one byte, and three of Remaining Length) and a topic of one letter.
    const BESIDE_THE_PAYLOAD: usize = 1 + 3 + 3;
    let (mut connection, mut peer) = connected().await;
    let whole = publish(PACKET_BYTES_MAX - BESIDE_THE_PAYLOAD);
    assert_eq!(whole.len(), PACKET_BYTES_MAX);
    let writer = thread::spawn(move || {
        peer.write_all(&publish(PACKET_BYTES_MAX - BESIDE_THE_PAYLOAD)).expect("the connection reads");
        peer
    });
    let packet = packet(&mut connection).await;
    assert!(packet.bytes == whole);
    assert!(packet.first_byte_at <= packet.complete_at);
    writer.join().expect("no panic");
}

#[tokio::test]
async fn unframeable_bytes_come_once_and_then_the_end() {
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &[&CONNACK[..], &PINGRESP, &UNFRAMEABLE].concat());
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    let read_at = packet(&mut connection).await.complete_at;
    let other = next(&mut connection).await;
    assert_eq!(
        other,
        Arrival::Unframeable { bytes: UNFRAMEABLE.to_vec(), at: read_at, why: Unframed::NoRemainingLength }
    );
    // What looks like a packet behind them is none: where they end is unknown.
    write_at_once(&peer, &PINGRESP);
    drop(peer);
    assert!(end(&mut connection).await.unfinished.is_empty());
    end(&mut connection).await;
}

#[tokio::test]
async fn without_quick_acknowledgements_the_same_arrives() {
    let options = ConnectOptions { quick_ack: false, ..ConnectOptions::default() };
    let (mut connection, peer) = connected_with(&options).await;
    write_at_once(&peer, &[&CONNACK[..], &PINGRESP].concat());
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    assert_eq!(packet(&mut connection).await.bytes, PINGRESP);
}

#[tokio::test]
async fn receive_shows_the_same_as_next() {
    let parts = [publish(5), publish(5000), CONNACK.to_vec(), UNFRAMEABLE.to_vec()].concat();

    let (mut connection, peer) = connected().await;
    let mut by_next = Vec::new();
    write_at_once(&peer, &parts);
    drop(peer);
    let other_by_next = loop {
        match next(&mut connection).await {
            Arrival::Packet(packet) => by_next.push(packet.bytes),
            other => break other,
        }
    };
    let end_by_next = end(&mut connection).await;

    let (mut connection, peer) = connected().await;
    let mut by_receive = Vec::new();
    write_at_once(&peer, &parts);
    drop(peer);
    let other_by_receive = receive_until_other(&mut connection, &mut by_receive).await;
    let end_by_receive = receive_until_other(&mut connection, &mut Vec::new()).await;
    let end_again = receive_until_other(&mut connection, &mut Vec::new()).await;

    assert_eq!(by_next.len(), 3);
    assert_eq!(by_receive, by_next);
    let Arrival::Unframeable { bytes: other_by_next, .. } = other_by_next else {
        panic!("{other_by_next:?}")
    };
    let Arrival::Unframeable { bytes: other_by_receive, .. } = other_by_receive else {
        panic!("{other_by_receive:?}")
    };
    assert_eq!(other_by_receive, other_by_next);
    assert_eq!(end_again, end_by_receive);
    let Arrival::End(end_by_receive) = end_by_receive else { panic!("{end_by_receive:?}") };
    assert_eq!((end_by_receive.how, end_by_receive.unfinished), (end_by_next.how, end_by_next.unfinished));
}

#[tokio::test]
async fn receive_starts_with_what_next_has_read_ahead() {
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &[&CONNACK[..], &PINGRESP, &publish(5), &UNFRAMEABLE].concat());
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    let mut seen = Vec::new();
    let other = receive_until_other(&mut connection, &mut seen).await;
    assert_eq!(seen, [PINGRESP.to_vec(), publish(5)]);
    assert!(matches!(other, Arrival::Unframeable { .. }), "{other:?}");
}

async fn receive_until_other(
    connection: &mut ungraceful_wire::Connection,
    seen: &mut Vec<Vec<u8>>,
) -> Arrival {
    loop {
        let other = within(connection.receive(|frame, first_byte_at, complete_at| {
            assert!(first_byte_at <= complete_at);
            seen.push(frame.bytes.to_vec());
        }));
        if let Some(other) = other.await {
            return other;
        }
    }
}
