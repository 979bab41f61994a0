//! Instants are those of the segments, by the kernel's stamps, however late the program looks.

use std::future::{Future as _, poll_fn};
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ungraceful_wire::clock::now;
use ungraceful_wire::{
    Arrival, ConnectOptions, Connection, EndKind, Endpoint, StampedBy, Stamps, departed, forget_departures,
    read_arrived, stamp_arrivals, watch_departures,
};

use crate::peer::{CONNACK, HANG_LIMIT, PINGRESP, connected, connected_with, end, end_by, listen, packet};

const DISCONNECT: [u8; 2] = [0xE0, 0x00];
/// How late the program looks.
const LATE: Duration = Duration::from_millis(50);

fn sight() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds that the library accepts")
}

/// Blocks the thread, as when it serves other sockets first.
fn be_late() {
    std::thread::sleep(LATE);
}

fn options(stamps: &Stamps) -> ConnectOptions {
    ConnectOptions { connect_timeout: HANG_LIMIT, stamps: Some(stamps.clone()), ..ConnectOptions::default() }
}

/// A connection to a peer whose FIN and RST are stamped where this process has the right; the stamps know whether.
async fn stamped() -> (Stamps, Connection, TcpStream) {
    let (listener, endpoint) = listen();
    let stamps = Stamps::toward(&[endpoint.address], sight());
    let opened = endpoint.open(&options(&stamps)).await.expect("loopback accepts");
    let (peer, _address) = listener.accept().expect("the handshake is complete");
    peer.set_nodelay(true).expect("a TCP socket");
    (stamps, opened.connection, peer)
}

#[tokio::test]
async fn a_packet_read_late_has_the_instant_of_its_arrival() {
    let (stamps, mut connection, mut peer) = stamped().await;
    for _ in 0..5 {
        let before = now();
        peer.write_all(&PINGRESP).unwrap();
        let after = now();
        be_late();
        let packet = packet(&mut connection).await;
        assert_eq!(packet.by, StampedBy::Kernel);
        assert!(before <= packet.first_byte_at && packet.first_byte_at <= after);
        assert_eq!(packet.first_byte_at, packet.complete_at);
    }
    let counts = stamps.counts();
    assert_eq!((counts.by_kernel, counts.by_program), (5, 0));
    assert!(counts.sight.len() == 5 && counts.sight.min() >= 49_000, "our own sight was that late");
}

#[tokio::test]
async fn a_packet_in_two_parts_has_the_instant_of_each() {
    let (_stamps, mut connection, mut peer) = stamped().await;
    let begun = now();
    peer.write_all(&CONNACK[..2]).unwrap();
    let first_written = now();
    let read_the_first_part = tokio::time::timeout(Duration::from_millis(20), connection.next()).await;
    assert!(read_the_first_part.is_err(), "no whole packet yet");
    let between = now();
    peer.write_all(&CONNACK[2..]).unwrap();
    be_late();
    let packet = packet(&mut connection).await;
    assert!(begun <= packet.first_byte_at && packet.first_byte_at <= first_written);
    assert!(between <= packet.complete_at && packet.complete_at + LATE / 2 < now());
}

#[tokio::test]
async fn a_send_has_the_instant_at_which_it_left() {
    let (stamps, mut connection, mut peer) = stamped().await;
    let reader = std::thread::spawn(move || {
        let mut received_at: Vec<Instant> = Vec::new();
        let mut packet = [0; 2];
        while peer.read_exact(&mut packet).is_ok() {
            received_at.push(now());
        }
        received_at
    });
    let mut left_at = Vec::new();
    for _ in 0..20 {
        let before = now();
        let sent = connection.send(&PINGRESP).await.unwrap();
        let after = now();
        assert_eq!((sent.by, sent.writes), (StampedBy::Kernel, 1));
        assert!(before <= sent.at && sent.at <= after);
        left_at.push(sent.at);
    }
    connection.close();
    let received_at = reader.join().unwrap();
    assert_eq!(received_at.len(), 20);
    for (left, received) in left_at.iter().zip(&received_at) {
        assert!(left < received);
    }
    assert_eq!(stamps.counts().by_program, 0);
}

#[tokio::test]
async fn a_send_has_the_stamp_of_its_own_last_byte() {
    let (_stamps, mut connection, mut peer) = stamped().await;
    let drain = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()).unwrap());
    let mut sent_bytes = 0;
    for length in [1, 7, 300, 70_000, 2, 100_000, 5] {
        let before = now();
        let sent = connection.send(&vec![0xAA; length]).await.unwrap();
        assert!(before <= sent.at && sent.at <= now());
        sent_bytes += length;
    }
    connection.close();
    assert_eq!(drain.join().unwrap(), sent_bytes);
}

#[test]
fn only_a_watched_write_has_a_stamp_of_departure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _address) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    stamp_arrivals(&socket).unwrap();
    for length in [1, 300, 20_000] {
        socket.write_all(b"before").unwrap();
        watch_departures(&socket);
        let before = now();
        socket.write_all(&vec![0; length]).unwrap();
        let after = now();
        be_late();
        let left = departed(&socket, before).expect("loopback takes it at once");
        assert!(before <= left && left <= after, "{length}");
        socket.write_all(b"not watched").unwrap();
        assert_eq!(departed(&socket, before), None);
        peer.read_exact(&mut vec![0; length + 6 + 11]).unwrap();
    }
    // A stamp that is not asked for is discarded.
    watch_departures(&socket);
    socket.write_all(b"watched").unwrap();
    forget_departures(&socket);
    assert_eq!(departed(&socket, now() - LATE), None);
    // What arrives is stamped as before.
    let before = now();
    peer.write_all(&PINGRESP).unwrap();
    let after = now();
    be_late();
    let arrived = read_arrived(&socket, &mut [0; 8], before).unwrap();
    assert!(before <= arrived.at && arrived.at <= after);
}

#[tokio::test]
async fn fin_and_rst_have_the_instants_of_their_arrival() {
    for how in [EndKind::Fin, EndKind::Reset] {
        let (stamps, mut connection, peer) = stamped().await;
        let before = now();
        end_by(how, peer);
        let after = now();
        be_late();
        let end = end(&mut connection).await;
        assert_eq!(end.how, how);
        let counts = stamps.counts();
        if stamps.sees_ends() {
            assert_eq!(end.by, StampedBy::Kernel);
            assert!(before <= end.at && end.at <= after, "{how:?}");
            assert_eq!((counts.ends_by_kernel, counts.ends_by_program), (1, 0));
        } else {
            assert_eq!(end.by, StampedBy::Program);
            assert!(after + LATE <= end.at, "{how:?}");
            assert_eq!((counts.ends_by_kernel, counts.ends_by_program), (0, 1));
        }
    }
}

#[tokio::test]
async fn a_disconnect_does_not_get_the_instant_of_a_later_fin() {
    let (stamps, mut connection, mut peer) = stamped().await;
    let before = now();
    peer.write_all(&DISCONNECT).unwrap();
    let written = now();
    be_late();
    let closed = now();
    drop(peer);
    be_late();
    let packet = packet(&mut connection).await;
    let end = end(&mut connection).await;
    if stamps.sees_ends() {
        assert!(before <= packet.first_byte_at && packet.first_byte_at <= written);
        assert!(closed <= end.at && end.at + LATE / 2 < now());
    } else {
        // The kernel has joined both.
        assert!(before <= packet.first_byte_at && packet.first_byte_at <= end.at);
    }
}

#[tokio::test]
async fn a_disconnect_behind_another_packet_has_its_own_instant() {
    for by_visit in [false, true] {
        let (stamps, mut connection, mut peer) = stamped().await;
        peer.write_all(&PINGRESP).unwrap();
        be_late();
        let before = now();
        peer.write_all(&DISCONNECT).unwrap();
        let written = now();
        be_late();
        drop(peer);
        be_late();
        let mut came = Vec::new();
        if by_visit {
            connection.receive(|frame, first, _| came.push((frame.bytes.to_vec(), first))).await;
        } else {
            for _ in 0..2 {
                let packet = packet(&mut connection).await;
                came.push((packet.bytes.clone(), packet.first_byte_at));
            }
        }
        let [(first, _), (second, at)] = &came[..] else { panic!("{came:?}") };
        assert_eq!((&first[..], &second[..]), (&PINGRESP[..], &DISCONNECT[..]));
        assert!(before <= *at);
        // Without the tap, one read has one stamp.
        assert!(!stamps.sees_ends() || *at <= written, "{by_visit}");
    }
}

#[tokio::test]
async fn ends_seen_together_have_their_own_instants() {
    const CONNECTIONS: usize = 50;
    let (listener, endpoint) = listen();
    let stamps = Stamps::toward(&[endpoint.address], sight());
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let connection = endpoint.open(&options(&stamps)).await.unwrap().connection;
        open.push((connection, listener.accept().unwrap().0));
    }
    let mut ended = Vec::new();
    for (connection, peer) in open {
        let before = now();
        drop(peer);
        ended.push((connection, before, now()));
    }
    be_late();
    assert_eq!(ended.len(), CONNECTIONS);
    for (mut connection, before, after) in ended {
        let end = end(&mut connection).await;
        assert!(before <= end.at);
        assert_eq!(end.at <= after, stamps.sees_ends());
    }
}

#[tokio::test]
async fn ends_at_each_of_several_brokers_have_their_own_instants() {
    // Two on IPv4, and one on IPv6 with the port of the first.
    let [(first, first_at), (second, second_at)] = [listen(), listen()];
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, first_at.address.port())).ok();
    let mut brokers = vec![(first, first_at), (second, second_at)];
    if let Some(v6) = v6 {
        let address = v6.local_addr().unwrap();
        brokers.push((v6, Endpoint { address }));
    }
    let addresses: Vec<SocketAddr> = brokers.iter().map(|(_, endpoint)| endpoint.address).collect();
    let stamps = Stamps::toward(&addresses, sight());
    let mut ended = Vec::new();
    for (listener, endpoint) in &brokers {
        let connection = endpoint.open(&options(&stamps)).await.unwrap().connection;
        let (peer, _address) = listener.accept().unwrap();
        let before = now();
        drop(peer);
        ended.push((connection, before, now()));
    }
    be_late();
    let count = ended.len() as u64;
    for (mut connection, before, after) in ended {
        let end = end(&mut connection).await;
        assert!(before <= end.at);
        assert_eq!(end.at <= after, stamps.sees_ends(), "{:?}", end.by);
    }
    let counts = stamps.counts();
    let by_kernel = if stamps.sees_ends() { count } else { 0 };
    assert_eq!((counts.ends_by_kernel, counts.ends_by_program), (by_kernel, count - by_kernel));
}

#[tokio::test]
async fn an_end_at_another_broker_is_stamped_by_the_program() {
    let [(listener, endpoint), (_other, other)] = [listen(), listen()];
    let stamps = Stamps::toward(&[other.address], sight());
    let mut connection = endpoint.open(&options(&stamps)).await.unwrap().connection;
    drop(listener.accept().unwrap());
    assert_eq!(end(&mut connection).await.by, StampedBy::Program);
}

#[tokio::test]
async fn without_packet_sockets_only_bytes_are_stamped() {
    let stamps = Stamps::of_bytes_alone(sight());
    let (mut connection, mut peer) = connected_with(&options(&stamps)).await;
    peer.write_all(&PINGRESP).unwrap();
    assert_eq!(packet(&mut connection).await.by, StampedBy::Kernel);
    let closed = now();
    drop(peer);
    be_late();
    let end = end(&mut connection).await;
    assert_eq!((end.how, end.by), (EndKind::Fin, StampedBy::Program));
    assert!(closed + LATE <= end.at);
}

#[tokio::test]
async fn without_stamps_the_programs_clock_is_used() {
    let (mut connection, mut peer) = connected().await;
    let before = now();
    let sent = connection.send(&PINGRESP).await.unwrap();
    assert_eq!(sent.by, StampedBy::Program);
    assert!(before <= sent.at && sent.at <= now());
    peer.write_all(&PINGRESP).unwrap();
    be_late();
    let packet = packet(&mut connection).await;
    assert_eq!(packet.by, StampedBy::Program);
    assert!(before + LATE <= packet.first_byte_at);
}

#[test]
fn a_read_of_a_bare_socket_has_the_instant_of_arrival() {
    let _while_it_lives_the_kernel_stamps = Stamps::of_bytes_alone(sight());
    let (listener, endpoint) = listen();
    let socket = TcpStream::connect(endpoint.address).unwrap();
    stamp_arrivals(&socket).unwrap();
    let (mut peer, _address) = listener.accept().unwrap();
    let mut into = [0; 8];
    let before = now();
    peer.write_all(&PINGRESP).unwrap();
    let after = now();
    be_late();
    let arrived = read_arrived(&socket, &mut into, before).unwrap();
    assert_eq!(arrived.bytes, 2);
    assert!(before <= arrived.at && arrived.at <= after && after + LATE <= arrived.seen);
    peer.write_all(&PINGRESP).unwrap();
    let impossible = read_arrived(&socket, &mut into, now() + LATE).unwrap();
    assert_eq!(impossible.at, impossible.seen);
}

#[tokio::test]
async fn a_connect_has_the_instant_of_its_arrival_at_the_broker() {
    const CONNECT: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0];
    let (_stamps, mut connection, mut peer) = stamped().await;
    for _ in 0..5 {
        let before = now();
        let sent = connection.send(&CONNECT).await.unwrap();
        let after = now();
        assert_eq!(sent.by, StampedBy::Kernel);
        assert!(before <= sent.at && sent.at <= after);
        peer.read_exact(&mut [0; 14]).unwrap();
    }
}

/// The kernel signals a stamp like an error, which the runtime takes for the end of writing.
#[tokio::test]
async fn stamps_that_come_late_neither_spin_nor_look_like_an_end() {
    const ROUNDS: usize = 5;
    /// More than the buffers of both sides hold.
    const BYTES: usize = 64 << 20;
    /// Less than they hold.
    const READ: usize = 1 << 20;
    let (_stamps, mut connection, mut peer) = stamped().await;
    let bytes = vec![0xAA; BYTES];
    let mut written = 0;
    let mut into = vec![0; READ];
    let mut polls = 0_u32;
    for _ in 0..ROUNDS {
        {
            let mut sending = pin!(connection.send_while_receiving(&bytes, &mut written));
            let counted = poll_fn(|context| {
                polls += 1;
                sending.as_mut().poll(context)
            });
            let full = tokio::time::timeout(LATE, counted).await;
            assert!(full.is_err(), "the peer reads no more: the buffers are full");
        }
        assert!(!connection.has_hung_up());
        // Makes room: what was waiting leaves now, and is stamped.
        peer.read_exact(&mut into).unwrap();
    }
    assert!(written > (ROUNDS - 1) * READ);
    assert!(polls < 2_000, "{polls} polls while there was no room: it does not wait, it spins");
    peer.write_all(&PINGRESP).unwrap();
    assert!(matches!(connection.next().await, Arrival::Packet(_)));
}
