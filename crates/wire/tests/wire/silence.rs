//! A silent connection reads nothing, so the peer is held up; waking it loses nothing.

use std::io::{self, Write};

use ungraceful_wire::{Arrival, ConnectOptions, EndKind};

use crate::peer::{CONNACK, PINGRESP, connected, connected_with, end, next, packet, publish, write_at_once};

#[tokio::test]
async fn a_silent_connection_blocks_the_peers_writes() {
    let options = ConnectOptions { receive_buffer_bytes: Some(4096), ..ConnectOptions::default() };
    let (connection, mut peer) = connected_with(&options).await;
    let silent = connection.fall_silent();
    peer.set_nonblocking(true).expect("a socket");
    let one = publish(10_000);
    let mut written = 0;
    let stopped_by = loop {
        // Bounded by the buffers of both sockets; without silence it would never end.
        match peer.write(&one[written % one.len()..]) {
            Ok(taken) => written += taken,
            Err(error) => break error,
        }
    };
    assert_eq!(stopped_by.kind(), io::ErrorKind::WouldBlock);
    drop(peer);

    let mut connection = silent.wake();
    let mut read = 0;
    let end = loop {
        match next(&mut connection).await {
            Arrival::Packet(packet) => {
                assert_eq!(packet.bytes, one);
                read += packet.bytes.len();
            }
            Arrival::End(end) => break end,
            other @ Arrival::Unframeable { .. } => panic!("{other:?}"),
        }
    };
    assert_eq!(end.how, EndKind::Fin);
    // Of a packet that was never finished, the beginning is kept.
    let unfinished = written - read;
    assert!(unfinished < one.len());
    assert_eq!(end.unfinished, one[..unfinished.min(1_024)]);
}

#[tokio::test]
async fn what_was_read_ahead_survives_silence() {
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &[&CONNACK[..], &PINGRESP, &CONNACK[..2]].concat());
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    let silent = connection.fall_silent();
    write_at_once(&peer, &CONNACK[2..]);
    let mut connection = silent.wake();
    assert_eq!(packet(&mut connection).await.bytes, PINGRESP);
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    drop(peer);
    assert_eq!(end(&mut connection).await.how, EndKind::Fin);
}
