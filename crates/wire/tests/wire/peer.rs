//! The other side: a plain listener, and what the tests do with the stream it accepts.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tokio::time::timeout;
use ungraceful_wire::{Arrival, ConnectOptions, Connection, EndKind, Endpoint, ReceivedPacket, StreamEnd};

/// Far above what any test takes: reached only by one that hangs.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(60);

pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0x00];
pub(crate) const CONNACK: [u8; 5] = [0x20, 0x03, 0x00, 0x00, 0x00];

/// A QoS 0 PUBLISH with the topic `t` and so many bytes of payload, which count up.
pub(crate) fn publish(payload_length: usize) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut remaining_length = 3 + payload_length;
    loop {
        let digit = u8::try_from(remaining_length % 128).expect("below 128");
        remaining_length /= 128;
        packet.push(if remaining_length > 0 { digit | 0x80 } else { digit });
        if remaining_length == 0 {
            break;
        }
    }
    packet.extend([0x00, 0x01, b't']);
    let payload_at = packet.len();
    packet.extend((0..=u8::MAX).collect::<Vec<_>>().repeat(payload_length / 256 + 1));
    packet.truncate(payload_at + payload_length);
    packet
}

/// Bytes whose Remaining Length does not end.
pub(crate) const UNFRAMEABLE: [u8; 8] = [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x02, 0x03];

pub(crate) fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("the port that was bound");
    (listener, Endpoint { address })
}

/// A connection and the peer's end of it.
pub(crate) async fn connected() -> (Connection, TcpStream) {
    connected_with(&ConnectOptions { connect_timeout: HANG_LIMIT, ..ConnectOptions::default() }).await
}

pub(crate) async fn connected_with(options: &ConnectOptions) -> (Connection, TcpStream) {
    let (listener, endpoint) = listen();
    let opened = endpoint.open(options).await.expect("loopback accepts");
    let (peer, _address) = listener.accept().expect("the handshake is complete");
    peer.set_read_timeout(Some(HANG_LIMIT)).expect("a limit above zero");
    peer.set_write_timeout(Some(HANG_LIMIT)).expect("a limit above zero");
    peer.set_nodelay(true).expect("a TCP socket");
    (opened.connection, peer)
}

/// Ends the peer's side by RST.
pub(crate) fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).expect("a TCP socket");
    drop(peer);
}
/// Ends the peer's side by FIN or RST.
pub(crate) fn end_by(how: EndKind, peer: TcpStream) {
    match how {
        EndKind::Reset => reset(peer),
        _ => drop(peer),
    }
}
/// One write, and with it one segment.
pub(crate) fn write_at_once(mut peer: &TcpStream, bytes: &[u8]) {
    assert_eq!(peer.write(bytes).expect("the connection is open"), bytes.len());
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(HANG_LIMIT, future).await.expect("it hangs")
}

pub(crate) async fn next(connection: &mut Connection) -> Arrival {
    within(connection.next()).await
}

pub(crate) async fn packet(connection: &mut Connection) -> ReceivedPacket {
    match next(connection).await {
        Arrival::Packet(packet) => packet,
        other => unreachable!("expected a packet, got {other:?}"),
    }
}

pub(crate) async fn end(connection: &mut Connection) -> StreamEnd {
    match next(connection).await {
        Arrival::End(end) => end,
        other => unreachable!("expected the end, got {other:?}"),
    }
}

/// Lets a call to `next` take in what came so far, and drops it before it completes.
pub(crate) async fn begin_next_and_drop_it(connection: &mut Connection) {
    tokio::select! {
        biased;
        arrival = connection.next() => unreachable!("nothing is whole, got {arrival:?}"),
        () = turns_of_the_runtime() => {}
    }
}

/// Enough turns for the runtime to look at its sockets.
pub(crate) async fn turns_of_the_runtime() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
