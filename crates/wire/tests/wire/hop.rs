//! A hop: forwards both ways until it is halted, and then nothing gets through while both ends believe otherwise.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use ungraceful_wire::{Arrival, ConnectOptions, Connection, EndKind, Hop};

use crate::peer::{
    CONNACK, HANG_LIMIT, PINGRESP, begin_next_and_drop_it, end, listen, packet, turns_of_the_runtime, within,
    write_at_once,
};

const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// A client, the hop, and the peer that stands for the broker.
async fn through_a_hop() -> (Connection, Hop, TcpStream) {
    let (listener, endpoint) = listen();
    let options = ConnectOptions { connect_timeout: HANG_LIMIT, ..ConnectOptions::default() };
    let (hop, opened) = Hop::open(endpoint, &options).await.expect("loopback accepts");
    let (peer, _address) = listener.accept().expect("the handshake is complete");
    peer.set_read_timeout(Some(HANG_LIMIT)).expect("a limit above zero");
    (opened.connection, hop, peer)
}

/// Turns of the runtime, until these bytes have come; the peer blocks, so it is polled and not awaited.
async fn read_all(mut peer: &TcpStream, expected: &[u8]) {
    peer.set_nonblocking(true).expect("a socket");
    let mut read = Vec::new();
    while read.len() < expected.len() {
        let mut some = [0; 64];
        match peer.read(&mut some) {
            Ok(0) => unreachable!("the stream ended after {read:?}"),
            Ok(length) => read.extend_from_slice(&some[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => turns_of_the_runtime().await,
            Err(error) => unreachable!("{error}"),
        }
    }
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_hop_forwards_both_ways_byte_for_byte() {
    let (mut client, mut hop, peer) = through_a_hop().await;
    let talk = async {
        client.send(&PINGREQ).await.expect("an open connection");
        read_all(&peer, &PINGREQ).await;
        write_at_once(&peer, &[&CONNACK[..], &PINGRESP].concat());
        assert_eq!(packet(&mut client).await.bytes, CONNACK);
        assert_eq!(packet(&mut client).await.bytes, PINGRESP);
        let large = vec![0xAB; 300_000];
        let (sent, ()) = tokio::join!(client.send(&large), read_all(&peer, &large));
        sent.expect("an open connection");
    };
    within(hop.carrying(talk)).await;
}

#[tokio::test]
async fn after_the_halt_nothing_gets_through_unnoticed_by_both_ends() {
    let (mut client, mut hop, peer) = through_a_hop().await;
    let sent = within(hop.carrying(async {
        let sent = client.send(&PINGREQ).await.expect("an open connection");
        read_all(&peer, &PINGREQ).await;
        sent
    }))
    .await;
    let mut halted = hop.halt(&mut client);
    let last_up = halted.last_up.expect("a PINGREQ was passed on");
    assert!(sent.at <= last_up.not_before && last_up.not_before <= last_up.at);

    // Up: the client's write succeeds, and nothing comes.
    client.send(&PINGREQ).await.expect("the client believes that it is connected");
    turns_of_the_runtime().await;
    let mut some = [0; 8];
    assert_eq!((&peer).read(&mut some).expect_err("nothing").kind(), ErrorKind::WouldBlock);

    // Down: what the broker says and that it closes is seen at the hop, and not by the client.
    write_at_once(&peer, &PINGRESP);
    drop(peer);
    assert_eq!(packet(&mut halted.broker).await.bytes, PINGRESP);
    let ended = end(&mut halted.broker).await;
    assert!(ended.how == EndKind::Fin || ended.how == EndKind::Reset);
    begin_next_and_drop_it(&mut client).await;
    assert!(!client.has_hung_up());

    // The client hears of it only when the hop is gone.
    drop(halted);
    assert!(matches!(within(client.next()).await, Arrival::End(_)));
}

#[tokio::test]
async fn an_end_before_the_halt_is_passed_on() {
    let (mut client, mut hop, peer) = through_a_hop().await;
    drop(peer);
    let ended = within(hop.carrying(end(&mut client))).await;
    assert_eq!(ended.how, EndKind::Fin);

    let (client, mut hop, mut peer) = through_a_hop().await;
    client.close();
    hop.carrying(async {
        peer.set_nonblocking(true).expect("a socket");
        loop {
            match peer.read(&mut [0; 8]) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => turns_of_the_runtime().await,
                other => unreachable!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_future_loses_nothing() {
    let (mut client, mut hop, peer) = through_a_hop().await;
    for _ in 0..3 {
        client.send(&PINGREQ).await.expect("an open connection");
        within(hop.carrying(read_all(&peer, &PINGREQ))).await;
    }
    let (mut client, hop, _peer) = through_a_hop().await;
    assert_eq!(hop.halt(&mut client).last_up, None, "nothing was passed on");
}
