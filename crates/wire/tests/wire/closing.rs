//! The peer sees the ending that was chosen.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use ungraceful_wire::{EndKind, SendError};

use crate::peer::{CONNACK, PINGRESP, connected, end, packet, publish, within, write_at_once};

/// Reads to the end, which must be a FIN, with no RST behind it.
fn assert_ends_by_fin(mut peer: &TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    peer.read_to_end(&mut read).expect("FIN, not RST");
    assert!(peer.take_error().expect("an open socket").is_none(), "an RST came behind the FIN");
    read
}

#[tokio::test]
async fn close_sends_fin() {
    let (mut connection, peer) = connected().await;
    within(connection.send(&PINGRESP)).await.expect("open");
    connection.close();
    assert_eq!(assert_ends_by_fin(&peer), PINGRESP);
}

#[tokio::test]
async fn close_sends_fin_with_unread_bytes_in_the_socket() {
    let (connection, mut peer) = connected().await;
    peer.write_all(&publish(100_000)).expect("open");
    connection.close();
    assert!(assert_ends_by_fin(&peer).is_empty());
}

#[tokio::test]
async fn close_sends_fin_with_bytes_that_came_after_a_read() {
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &[&CONNACK[..], &PINGRESP].concat());
    packet(&mut connection).await;
    write_at_once(&peer, &publish(2000));
    connection.close();
    assert!(assert_ends_by_fin(&peer).is_empty());
}

#[tokio::test]
async fn close_ends_although_the_peer_never_stops_sending() {
    let (mut connection, mut peer) = connected().await;
    let flood = thread::spawn(move || {
        let packet = publish(60_000);
        while peer.write_all(&packet).is_ok() {}
    });
    packet(&mut connection).await;
    connection.close();
    flood.join().expect("no panic");
}

#[tokio::test]
async fn close_may_be_called_while_receive_shows_a_packet() {
    let (mut connection, peer) = connected().await;
    let (other, other_peer) = connected().await;
    let mut other = Some(other);
    write_at_once(&peer, &PINGRESP);
    while other.is_some() {
        let received =
            within(connection.receive(|_, _, _| other.take().into_iter().for_each(|other| other.close())));
        assert_eq!(received.await, None);
    }
    assert_ends_by_fin(&other_peer);
}

#[tokio::test]
async fn reset_sends_rst() {
    let (connection, mut peer) = connected().await;
    connection.reset();
    let error = peer.read(&mut [0; 8]).expect_err("RST");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn half_close_sends_fin_and_keeps_reading() {
    let (mut connection, peer) = connected().await;
    within(connection.send(&PINGRESP)).await.expect("open");
    let sent = within(connection.half_close()).await.expect("open");
    assert_eq!(sent.writes, 0);
    assert_eq!(assert_ends_by_fin(&peer), PINGRESP);
    write_at_once(&peer, &CONNACK);
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    drop(peer);
    assert_eq!(end(&mut connection).await.how, EndKind::Fin);
}

#[tokio::test]
async fn send_after_half_close_is_no_reset_by_the_broker() {
    let (mut connection, _peer) = connected().await;
    within(connection.half_close()).await.expect("open");
    let SendError::Ended { written, of, how } =
        within(connection.send(&PINGRESP)).await.expect_err("FIN was sent");
    assert_eq!((written, of, how), (0, 2, EndKind::Failed));
}

#[tokio::test]
async fn half_close_after_a_reset_is_an_error() {
    let (mut connection, peer) = connected().await;
    crate::peer::reset(peer);
    end(&mut connection).await;
    let SendError::Ended { how, .. } = within(connection.half_close()).await.expect_err("RST came");
    assert_eq!(how, EndKind::Reset);
}

#[tokio::test]
async fn half_close_after_the_peers_fin_ends_the_connection_cleanly() {
    let (mut connection, peer) = connected().await;
    peer.shutdown(std::net::Shutdown::Write).expect("open");
    assert_eq!(end(&mut connection).await.how, EndKind::Fin);
    within(connection.half_close()).await.expect("our direction is still open");
    assert!(assert_ends_by_fin(&peer).is_empty());
}
