//! WebSocket over TCP: the same reports as over plain TCP, and a peer that never ends costs no more than the time limit.

use std::io::Write;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tungstenite::handshake::derive_accept_key;
use ungraceful_wire::{
    Arrival, ConnectOptions, EndKind, Endpoint, Layer, OpenError, Opened, RawFrame, Transport, WebSocket,
    WebSocketSettings,
};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

fn options() -> ConnectOptions {
    let settings = WebSocketSettings {
        authority: "localhost:9001".into(),
        path: "/mqtt".into(),
        headers: Vec::new(),
        protocol: Some("mqtt".into()),
        frame_bytes: None,
    };
    let websocket = Some(WebSocket::new(&settings).unwrap());
    ConnectOptions { transport: Transport { tls: None, websocket }, ..ConnectOptions::default() }
}

/// The request, to its end.
async fn request(server: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(server.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn connected() -> (Opened, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = async {
        let (mut server, _) = listener.accept().await.unwrap();
        let head = request(&mut server).await;
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        server.write_all(response.as_bytes()).await.unwrap();
        server
    };
    let options = options();
    let endpoint = Endpoint { address };
    let (opened, server) = tokio::join!(endpoint.open(&options), accepting);
    (opened.unwrap(), server)
}

/// The payload of a short frame from the client.
async fn frame(server: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    server.read_exact(&mut head).await.unwrap();
    let mut payload = vec![0; usize::from(head[1] & 0x7F)];
    server.read_exact(&mut payload).await.unwrap();
    (head[0], payload.iter().zip(head[2..].iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

#[tokio::test]
async fn packets_go_both_ways_and_the_handshake_has_its_own_time() {
    let (Opened { mut connection, established, .. }, mut server) = connected().await;
    assert!(established.layers.expect("there is WebSocket") > established.tcp);
    connection.send(&PINGREQ).await.unwrap();
    assert_eq!(frame(&mut server).await, (0x82, PINGREQ.to_vec()));
    // Two packets in one frame, then one in two frames.
    server.write_all(&[0x82, 4, 0xD0, 0, 0xD0, 0, 0x82, 1, 0xD0, 0x82, 1, 0]).await.unwrap();
    for _ in 0..3 {
        let Arrival::Packet(packet) = connection.next().await else { panic!("a packet") };
        assert_eq!(packet.bytes, PINGRESP);
    }
}

#[tokio::test]
async fn a_ping_is_answered_while_reading() {
    let (Opened { mut connection, .. }, mut server) = connected().await;
    server.write_all(&[0x89, 2, b'h', b'i', 0x82, 2, 0xD0, 0]).await.unwrap();
    assert!(matches!(connection.next().await, Arrival::Packet(_)));
    assert_eq!(frame(&mut server).await, (0x8A, b"hi".to_vec()));
}

#[tokio::test]
async fn a_close_frame_is_an_end_with_its_reason() {
    let (Opened { mut connection, .. }, mut server) = connected().await;
    server.write_all(&[0x88, 4, 0x03, 0xEA, b'n', b'o']).await.unwrap();
    let Arrival::End(end) = connection.next().await else { panic!("an end") };
    assert_eq!(
        (end.how, end.why.as_deref()),
        (EndKind::Fin, Some("WebSocket Close 1002 (protocol error): \"no\""))
    );
}

#[tokio::test]
async fn a_text_frame_is_an_end_after_the_packets_before_it() {
    let (Opened { mut connection, .. }, mut server) = connected().await;
    server.write_all(&[0x82, 2, 0xD0, 0, 0x81, 1, b'x']).await.unwrap();
    assert!(matches!(connection.next().await, Arrival::Packet(_)));
    let Arrival::End(end) = connection.next().await else { panic!("an end") };
    assert!(end.why.as_ref().is_some_and(|why| why.contains("text frame")), "{end:?}");
}

#[tokio::test]
async fn frames_of_a_fault_go_out_between_the_packets_as_they_are() {
    let (Opened { mut connection, .. }, mut server) = connected().await;
    connection.send(&PINGREQ).await.unwrap();
    let first = RawFrame { is_final: false, ..RawFrame::text([0xC0]) };
    let second = RawFrame { opcode: 0, ..RawFrame::binary([0]) };
    connection.send_frames(&[first, second]).await.unwrap();
    connection.send(&PINGREQ).await.unwrap();
    for expected in [(0x82, PINGREQ.to_vec()), (0x01, vec![0xC0]), (0x80, vec![0]), (0x82, PINGREQ.to_vec())]
    {
        assert_eq!(frame(&mut server).await, expected);
    }
}

#[tokio::test]
async fn a_close_frame_alone_leaves_the_connection_beneath_open() {
    let (Opened { mut connection, .. }, mut server) = connected().await;
    connection.close_layer(Layer::Tls);
    connection.close_layer(Layer::WebSocket);
    assert_eq!(frame(&mut server).await, (0x88, vec![0x03, 0xE8]));
    server.write_all(&[0x88, 2, 0x03, 0xE8]).await.unwrap();
    let Arrival::End(end) = connection.next().await else { panic!("an end") };
    assert_eq!(end.why.as_deref(), Some("WebSocket Close 1000 (normal closure)"));
}

#[tokio::test]
async fn fin_and_rst_end_the_connection_beneath_without_a_close_frame() {
    let (Opened { connection, .. }, mut server) = connected().await;
    connection.close();
    assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
    let (Opened { connection, .. }, mut server) = connected().await;
    connection.reset();
    let error = server.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (Opened { connection, .. }, mut server) = connected().await;
    connection.close_properly();
    assert_eq!(frame(&mut server).await, (0x88, vec![0x03, 0xE8]));
    assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_sends_frames_without_end_does_not_hold_the_thread() {
    for frame in [&[0x89, 0][..], &[0x82, 0], &[0x82, 2, 0xD0, 0]] {
        let (Opened { mut connection, .. }, server) = connected().await;
        let server = server.into_std().unwrap();
        server.set_nonblocking(false).unwrap();
        let flood = frame.repeat(100_000);
        let flooding = std::thread::spawn(move || while (&server).write_all(&flood).is_ok() {});
        let reading = async { while let Arrival::Packet(_) = connection.next().await {} };
        let waiting = tokio::time::timeout(Duration::from_millis(300), reading).await;
        assert!(waiting.is_err(), "{waiting:?}");
        connection.reset();
        flooding.join().unwrap();
    }
}

#[tokio::test]
async fn a_response_that_never_ends_is_given_up_at_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint { address: listener.local_addr().unwrap() };
    let dripping = async {
        let (mut server, _) = listener.accept().await.unwrap();
        let _head = request(&mut server).await;
        let head = b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ";
        for byte in head.iter().chain(std::iter::repeat(&b'a')) {
            if server.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_millis(500);
    let options = ConnectOptions { connect_timeout: limit, ..options() };
    let (opened, ()) = tokio::join!(endpoint.open(&options), dripping);
    let error = opened.unwrap_err();
    assert!(
        matches!(error, OpenError::LayersTimeout { handshakes: "WebSocket", within } if within == limit),
        "{error}"
    );
    assert!(error.to_string().contains("WebSocket handshake within 500ms"), "{error}");
}
