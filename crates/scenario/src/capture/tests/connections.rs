//! Which packets form a connection, its sides, its end, and its contents.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;

use super::super::testing::{
    ACK, CLIENT, CONNACK, CONNECT, FIN, RST, SERVER, SYN, Tcp, client, handshake, pcap, server,
};
use super::super::{Capture, CapturedConnection, Content, End, How, Side, read};
use super::bytes_from;

fn capture(packets: &[Tcp]) -> Capture {
    read(&pcap(packets)).unwrap()
}

fn after_handshake(packets: &[Tcp]) -> CapturedConnection {
    let packets = [&handshake()[..], packets].concat();
    let [connection] = &capture(&packets).connections[..] else { panic!("not one connection") };
    connection.clone()
}

#[test]
fn the_first_fin_or_rst_is_the_end() {
    let fins = [client(1001, 5001, FIN | ACK, b""), server(5001, 1002, FIN | ACK, b"")];
    let at = Duration::from_millis(3);
    assert_eq!(after_handshake(&fins).end, Some(End { by: Side::Client, how: How::Fin, at }));
    let reset = [server(5001, 0, RST, b""), client(1001, 5001, FIN | ACK, b"")];
    assert_eq!(after_handshake(&reset).end, Some(End { by: Side::Server, how: How::Rst, at }));
    assert_eq!(after_handshake(&[client(1001, 5001, ACK, CONNECT)]).end, None);
}

#[test]
fn a_refused_connection_has_an_end_and_no_bytes() {
    let packets = [client(1000, 0, SYN, b""), server(0, 1001, RST | ACK, b"")];
    let [connection] = &capture(&packets).connections[..] else { panic!("not one connection") };
    assert!(connection.has_beginning && connection.segments.is_empty());
    assert!(matches!(connection.end, Some(End { by: Side::Server, how: How::Rst, .. })));
    assert_eq!((connection.gaps, connection.content()), (0, Content::Nothing));
}

#[test]
fn a_new_syn_of_the_same_addresses_begins_a_new_connection() {
    let mut packets = handshake();
    packets.insert(1, packets[0].clone());
    packets.insert(3, packets[2].clone());
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(client(1018, 5001, RST, b""));
    packets.push(client(77_000, 0, SYN, b""));
    packets.push(server(99_000, 77_001, SYN | ACK, b""));
    packets.push(client(77_001, 99_001, ACK, CONNECT));
    packets.push(server(99_001, 77_018, ACK, CONNACK));
    let capture = capture(&packets);
    let found: Vec<_> = capture
        .connections
        .iter()
        .map(|connection| (connection.segments.len(), connection.gaps, connection.end.is_some()))
        .collect();
    assert_eq!(found, [(1, 0, true), (2, 0, false)]);
    assert_eq!(capture.warnings, [""; 0]);
}

#[test]
fn a_handshake_captured_after_the_first_bytes_is_still_theirs() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1018, ACK, CONNACK));
    for order in [[3, 0, 1, 4], [3, 4, 1, 0], [4, 3, 1, 2], [4, 1, 3, 0]] {
        let capture = capture(&order.map(|index: usize| packets[index].clone()));
        assert_eq!(bytes_from(&capture, Side::Client), CONNECT, "{order:?}");
        assert_eq!(bytes_from(&capture, Side::Server), CONNACK, "{order:?}");
        let connection = &capture.connections[0];
        assert_eq!((connection.client.to_string().as_str(), connection.has_beginning), (CLIENT, true));
        assert_eq!((connection.gaps, capture.warnings.len()), (0, 0));
    }
}

#[test]
fn packets_captured_on_two_interfaces_count_once() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1018, ACK, CONNACK));
    let twice: Vec<Tcp> = packets.into_iter().flat_map(|packet| [packet.clone(), packet]).collect();
    let capture = capture(&twice);
    assert_eq!(bytes_from(&capture, Side::Client), CONNECT);
    assert_eq!(bytes_from(&capture, Side::Server), CONNACK);
}

#[test]
fn the_answer_to_a_lost_syn_shows_who_connected_and_where_the_streams_begin() {
    let packets = [server(5000, 1001, SYN | ACK, b""), client(1004, 5001, ACK, b"late")];
    let [connection] = &capture(&packets).connections[..] else { panic!("not one connection") };
    assert_eq!(connection.client.to_string(), CLIENT);
    assert!(connection.has_beginning);
    assert_eq!((connection.gaps, connection.segments[0].missing_before), (1, 3));
}

#[test]
fn without_a_handshake_packets_show_the_client() {
    for packets in [
        vec![client(7, 9, ACK, CONNECT)],
        vec![server(9, 7, ACK, CONNACK)],
        vec![server(9, 7, ACK, b"\x30\x03\0\x01a"), client(7, 9, ACK, b"\xC0\0")],
        vec![server(9, 7, ACK, b"\xD0\0"), client(7, 9, ACK, b"\x30\x03\0\x01a")],
    ] {
        // The client's port is the lower one here, so that only the packets show it.
        let swap = |packet: Tcp| {
            if packet.from.port() == 1883 {
                packet.between(CLIENT, SERVER)
            } else {
                packet.between(SERVER, CLIENT)
            }
        };
        let capture = capture(&packets.into_iter().map(swap).collect::<Vec<_>>());
        let [connection] = &capture.connections[..] else { panic!("not one connection") };
        assert_eq!(connection.client.to_string(), SERVER);
        assert!(!connection.has_beginning && connection.is_mqtt());
        assert_eq!(capture.warnings.len(), 1, "{:?}", capture.warnings);
        assert!(capture.warnings[0].starts_with("the capture lacks the handshake of: 10.0.0.2:1883 -> "));
    }
}

#[test]
fn without_anything_else_the_higher_port_is_the_client_with_a_warning() {
    let packets = [server(9, 7, ACK, b"\x30\x03\0\x01a"), client(7, 14, ACK, b"\x30\x03\0\x01a")];
    let capture = capture(&packets);
    let [connection] = &capture.connections[..] else { panic!("not one connection") };
    assert_eq!(connection.client.to_string(), CLIENT);
    let sides: Vec<Side> = connection.segments.iter().map(|segment| segment.from).collect();
    assert_eq!(sides, [Side::Server, Side::Client]);
    assert!(capture.warnings[1].contains("assumed the side with the higher port"), "{:?}", capture.warnings);
}

#[test]
fn a_warning_names_a_few_connections_and_counts_the_others() {
    let packets: Vec<Tcp> = (1..=5)
        .map(|host| client(7, 9, ACK, CONNECT).between(&format!("10.0.0.{host}:40000"), "10.0.0.9:1883"))
        .collect();
    let capture = capture(&packets);
    let expected = "the capture lacks the handshake of: 10.0.0.1:40000 -> 10.0.0.9:1883, \
                    10.0.0.2:40000 -> 10.0.0.9:1883, 10.0.0.3:40000 -> 10.0.0.9:1883 and 2 more; \
                    start the capture before the client connects";
    assert_eq!(capture.warnings, [expected]);
}

#[test]
fn the_first_connect_shows_client_id_and_version_even_in_two_segments() {
    let connection =
        after_handshake(&[client(1001, 5001, ACK, &CONNECT[..5]), client(1006, 5001, ACK, &CONNECT[5..])]);
    assert_eq!(connection.client_id().as_deref(), Some("c1"));
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::V5));
    assert_eq!(connection.first_packet(Side::Client).as_deref(), Some(CONNECT));
    let old = after_handshake(&[client(1001, 5001, ACK, b"\x10\x10\0\x06MQIsdp\x03\x02\0\x3C\0\x02c1")]);
    assert_eq!(old.client_id().as_deref(), Some("c1"));
    assert_eq!((old.protocol_version(), old.is_mqtt()), (None, true));
    let half = after_handshake(&[client(1001, 5001, ACK, &CONNECT[..9])]);
    assert_eq!((half.client_id(), half.is_mqtt()), (None, true));
}

#[test]
fn the_contents_are_recognised_by_the_first_bytes() {
    let websocket = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n";
    let cases: [(&[u8], Content); 7] = [
        (b"\x16\x03\x01\x02\0\x01", Content::Tls),
        (websocket, Content::WebSocket),
        (b"GET / HTTP/1.1\r\n\r\n", Content::Unknown),
        (b"\x30\x03\0\x01a", Content::Unknown),
        (CONNECT, Content::Mqtt),
        (b"\x1F\xFF\x01\0\x04MQTT", Content::Mqtt),
        (b"\x10\xFF\xFF\xFF\xFF\xFF", Content::Unknown),
    ];
    for (bytes, expected) in cases {
        let connection = after_handshake(&[client(1001, 5001, ACK, bytes)]);
        assert_eq!(connection.content(), expected, "{bytes:02x?}");
        assert_eq!(connection.is_tls(), expected == Content::Tls);
    }
    let middle = capture(&[client(7, 9, ACK, b"\x17\x03\x03\0\x20")]);
    assert!(middle.connections[0].is_tls());
    let middle = capture(&[client(7, 9, ACK, b"\x30\x03\0\x01a\x30\x03")]);
    assert!(middle.connections[0].is_mqtt());
    let middle = capture(&[client(7, 9, ACK, b"\x31\x03\0\x01")]);
    assert!(middle.connections[0].content() == Content::Unknown);
}
