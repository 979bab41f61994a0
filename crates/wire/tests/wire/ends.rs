//! The end of the stream is reported as it was, and again on every later call.

use ungraceful_wire::clock::now;
use ungraceful_wire::{EndKind, SendError};

use crate::peer::{CONNACK, PINGRESP, connected, end, end_by, packet, publish, reset, within, write_at_once};

#[tokio::test]
async fn fin_is_reported_as_fin() {
    let (mut connection, peer) = connected().await;
    let before = now();
    drop(peer);
    let end = end(&mut connection).await;
    assert_eq!(end.how, EndKind::Fin);
    assert!(end.unfinished.is_empty());
    assert!(before <= end.at && end.at <= now());
}

#[tokio::test]
async fn rst_is_reported_as_reset() {
    let (mut connection, peer) = connected().await;
    reset(peer);
    assert_eq!(end(&mut connection).await.how, EndKind::Reset);
}

#[tokio::test]
async fn rst_is_reported_to_a_pending_read() {
    let (mut connection, peer) = connected().await;
    let waiting = tokio::spawn(async move { connection.next().await });
    crate::peer::turns_of_the_runtime().await;
    reset(peer);
    let arrival = within(waiting).await.expect("no panic");
    assert!(
        matches!(&arrival, ungraceful_wire::Arrival::End(end) if end.how == EndKind::Reset),
        "{arrival:?}"
    );
}

#[tokio::test]
async fn packets_before_the_end_come_first() {
    for how in [EndKind::Fin, EndKind::Reset] {
        let (mut connection, peer) = connected().await;
        write_at_once(&peer, &CONNACK);
        write_at_once(&peer, &PINGRESP);
        end_by(how, peer);
        assert_eq!(packet(&mut connection).await.bytes, CONNACK);
        assert_eq!(packet(&mut connection).await.bytes, PINGRESP);
        assert_eq!(end(&mut connection).await.how, how);
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_packet_shows_what_had_come_of_it() {
    let whole = publish(150);
    for length in 1..whole.len() {
        for how in [EndKind::Fin, EndKind::Reset] {
            let (mut connection, peer) = connected().await;
            write_at_once(&peer, &[&PINGRESP, &whole[..length]].concat());
            end_by(how, peer);
            packet(&mut connection).await;
            let end = end(&mut connection).await;
            assert_eq!((end.how, &end.unfinished[..]), (how, &whole[..length]));
        }
    }
}

#[tokio::test]
async fn the_end_is_returned_again_on_every_later_call() {
    for how in [EndKind::Fin, EndKind::Reset] {
        let (mut connection, peer) = connected().await;
        write_at_once(&peer, &CONNACK[..3]);
        end_by(how, peer);
        let first = end(&mut connection).await;
        assert_eq!((first.how, &first.unfinished[..]), (how, &CONNACK[..3]));
        for _ in 0..3 {
            assert_eq!(end(&mut connection).await, first);
        }
    }
}

#[tokio::test]
async fn an_rst_that_a_send_meets_first_is_reported_as_reset() {
    // The kernel reports an RST once: a later read sees an end of stream like that of a FIN.
    let (mut connection, peer) = connected().await;
    write_at_once(&peer, &CONNACK);
    reset(peer);
    let SendError::Ended { written, of, how } = within(connection.send(&PINGRESP)).await.expect_err("RST");
    assert_eq!((written, of, how), (0, 2, EndKind::Reset));
    let SendError::Ended { how, .. } = within(connection.send(&PINGRESP)).await.expect_err("still RST");
    assert_eq!(how, EndKind::Reset);
    assert_eq!(packet(&mut connection).await.bytes, CONNACK);
    assert_eq!(end(&mut connection).await.how, EndKind::Reset);
}

#[tokio::test]
async fn a_fin_before_the_rst_of_a_send_is_reported_as_fin() {
    let (mut connection, peer) = connected().await;
    drop(peer);
    within(async {
        while connection.send(&PINGRESP).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(end(&mut connection).await.how, EndKind::Fin);
}
