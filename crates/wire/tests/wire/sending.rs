//! What is sent arrives byte for byte, and the instant returned is that of the last write.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrival, EndKind, SendError};

use crate::peer::{
    PINGRESP, UNFRAMEABLE, connected, end, next, packet, publish, reset, within, write_at_once,
};

#[tokio::test]
async fn what_fits_the_buffer_takes_one_write() {
    let (mut connection, mut peer) = connected().await;
    let before = now();
    let sent = within(connection.send(&UNFRAMEABLE)).await.expect("open");
    assert_eq!(sent.writes, 1);
    assert!(before <= sent.at && sent.at <= now());
    let mut read = [0; UNFRAMEABLE.len()];
    peer.read_exact(&mut read).expect("sent");
    assert_eq!(read, UNFRAMEABLE);
}

#[tokio::test]
async fn more_than_the_buffers_hold_takes_several_writes() {
    // Half of it is well above what the buffers of both sockets hold.
    const LENGTH: usize = 64 << 20;
    let (mut connection, mut peer) = connected().await;
    rustix::net::sockopt::set_socket_recv_buffer_size(&peer, 1 << 20).expect("a socket");
    let (start, started) = mpsc::channel();
    let reader = thread::spawn(move || {
        started.recv().expect("the sender is there");
        let mut read = vec![0; LENGTH];
        peer.read_exact(&mut read[..LENGTH / 2]).expect("sent");
        let half_read_at = now();
        peer.read_exact(&mut read[LENGTH / 2..]).expect("sent");
        (read, half_read_at)
    });
    let mut bytes = b"0123456789abcdefghijklm".repeat(LENGTH / 23 + 1);
    bytes.truncate(LENGTH);
    let sent = within(async {
        // The first writes come before the peer reads, so the buffers fill.
        let mut send = std::pin::pin!(connection.send(&bytes));
        tokio::select! {
            biased;
            sent = &mut send => unreachable!("the peer does not read, and yet {sent:?}"),
            () = crate::peer::turns_of_the_runtime() => {}
        }
        start.send(()).expect("the reader is there");
        send.await.expect("open")
    });
    let sent = sent.await;
    let (read, half_read_at) = reader.join().expect("no panic");
    assert!(sent.writes > 1);
    assert!(sent.at >= half_read_at);
    assert!(read == bytes);
}

#[tokio::test]
async fn nothing_to_send_is_sent_at_once() {
    let (mut connection, _peer) = connected().await;
    within(connection.send(&[])).await.expect("open");
}

#[tokio::test]
async fn send_after_an_rst_is_an_error_that_says_how() {
    let (mut connection, peer) = connected().await;
    reset(peer);
    assert_eq!(end(&mut connection).await.how, EndKind::Reset);
    let error = within(connection.send(&PINGRESP)).await.expect_err("RST came");
    let SendError::Ended { written, of, how } = error;
    assert_eq!((written, of, how), (0, 2, EndKind::Reset));
    assert_eq!(error.to_string(), "the connection ended after 0 of 2 bytes were written (Reset)");
}

#[tokio::test]
async fn send_to_a_peer_that_closed_ends_in_an_error() {
    // A FIN alone does not end our direction; the RST that answers the first bytes does.
    let (mut connection, peer) = connected().await;
    drop(peer);
    assert_eq!(end(&mut connection).await.how, EndKind::Fin);
    let SendError::Ended { how, .. } = within(async {
        loop {
            match connection.send(&PINGRESP).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert_eq!(how, EndKind::Reset);
}

#[tokio::test]
async fn an_rst_during_a_long_send_says_how_much_was_written() {
    let (mut connection, mut peer) = connected().await;
    let bytes = publish(64 << 20);
    let reader = thread::spawn(move || {
        peer.read_exact(&mut [0; 100_000]).expect("sent");
        reset(peer);
    });
    let SendError::Ended { written, of, how } =
        within(connection.send(&bytes)).await.expect_err("the peer resets");
    reader.join().expect("no panic");
    assert!((100_000..bytes.len()).contains(&written), "{written}");
    assert_eq!((of, how), (bytes.len(), EndKind::Reset));
    assert_eq!(end(&mut connection).await.how, EndKind::Reset);
}

#[tokio::test]
async fn a_send_that_receives_does_not_deadlock() {
    // More in each direction than the kernel's buffers hold.
    let packet = publish(60_000);
    let count = 600;
    let bytes = packet.repeat(count);
    let (mut connection, mut peer) = connected().await;
    let length = packet.len();
    let answering = thread::spawn(move || {
        let mut read = vec![0; length];
        for _ in 0..count {
            peer.read_exact(&mut read).expect("as much as is sent");
            peer.write_all(&read).expect("the other end reads");
        }
    });
    let mut written = 0;
    within(connection.send_while_receiving(&bytes, &mut written)).await.expect("open");
    assert_eq!(written, bytes.len());
    assert!(connection.read_ahead() > 0, "what came meanwhile is kept");
    for _ in 0..count {
        let Arrival::Packet(received) = next(&mut connection).await else { panic!("no packet") };
        assert_eq!(received.bytes, packet);
    }
    answering.join().expect("the peer read everything");
}

#[tokio::test]
async fn a_dropped_send_is_resumed_where_it_was() {
    let bytes = publish(60_000).repeat(600);
    let (mut connection, mut peer) = connected().await;
    let mut written = 0;
    {
        let mut sending = std::pin::pin!(connection.send_while_receiving(&bytes, &mut written));
        let pending = std::future::poll_fn(|context| {
            std::task::Poll::Ready(sending.as_mut().poll(context).is_pending())
        });
        assert!(pending.await, "the peer does not read: the kernel's buffers are full");
    }
    assert!((1..bytes.len()).contains(&written), "{written}");
    let length = bytes.len();
    let reading = thread::spawn(move || {
        let mut read = vec![0; length];
        peer.read_exact(&mut read).expect("as much as is sent");
        read
    });
    within(connection.send_while_receiving(&bytes, &mut written)).await.expect("open");
    assert!(reading.join().expect("the peer read") == bytes, "every byte once, in order");
}

#[tokio::test]
async fn a_hang_up_is_seen_behind_unread_bytes() {
    let (mut connection, peer) = connected().await;
    assert!(!connection.has_hung_up());
    write_at_once(&peer, &PINGRESP);
    assert!(!connection.has_hung_up(), "bytes are no end");
    drop(peer);
    within(async {
        while !connection.has_hung_up() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(packet(&mut connection).await.bytes, PINGRESP);
}

#[tokio::test]
async fn a_slow_reader_gets_a_packet_byte_by_byte() {
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &PINGRESP);
    let mut packets = 0;
    within(connection.receive_at_most(1, |_, _, _| packets += 1)).await;
    assert_eq!(packets, 0);
    within(connection.receive_at_most(1, |_, _, _| packets += 1)).await;
    assert_eq!(packets, 1);
}
