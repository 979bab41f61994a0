//! The formats of files, the link types, and what is wrong with a file.

use std::time::Duration;

use super::super::testing::{
    ACK, CONNACK, CONNECT, Order, Pcap, Pcapng, Tcp, client, handshake, pcap, server,
};
use super::super::{CaptureError, End, How, Side, read};
use super::bytes_from;

fn exchange() -> Vec<Tcp> {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1018, ACK, CONNACK));
    packets
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for (order, nanoseconds) in
        [(Order::Little, false), (Order::Little, true), (Order::Big, false), (Order::Big, true)]
    {
        let mut file = Pcap::new(order, nanoseconds, 1);
        for packet in exchange() {
            file.packet(&packet.linked(1), 0);
        }
        let capture = read(&file.bytes).unwrap();
        assert_eq!(bytes_from(&capture, Side::Client), CONNECT, "{order:?} {nanoseconds}");
        assert_eq!(bytes_from(&capture, Side::Server), CONNACK, "{order:?} {nanoseconds}");
        let times: Vec<Duration> = capture.connections[0].segments.iter().map(|segment| segment.at).collect();
        assert_eq!(times, [Duration::from_millis(3), Duration::from_millis(4)]);
        assert_eq!(capture.warnings, [""; 0]);
    }
}

#[test]
fn every_link_type_and_both_ip_versions_are_read() {
    for link in [1, 0, 108, 101, 228, 113, 276] {
        for addresses in [("10.0.0.1:40000", "10.0.0.2:1883"), ("[2001:db8::1]:40000", "[2001:db8::2]:1883")]
        {
            let mut file = Pcap::new(Order::Little, false, link);
            for packet in exchange() {
                let (from, to) =
                    if packet.from.port() == 1883 { (addresses.1, addresses.0) } else { addresses };
                file.packet(&packet.between(from, to).linked(link), 0);
            }
            let capture = read(&file.bytes).unwrap();
            assert_eq!(bytes_from(&capture, Side::Client), CONNECT, "{link} {addresses:?}");
            assert_eq!(bytes_from(&capture, Side::Server), CONNACK, "{link} {addresses:?}");
            assert_eq!(capture.connections[0].client.to_string(), addresses.0);
            assert_eq!(capture.warnings, [""; 0]);
        }
    }
}

#[test]
fn vlan_tags_are_skipped() {
    let mut file = Pcap::new(Order::Little, false, 1);
    for packet in exchange() {
        let mut linked = packet.linked(1);
        linked.splice(12..12, [0x88, 0xA8, 0, 7, 0x81, 0, 0, 9]);
        file.packet(&linked, 0);
    }
    assert_eq!(bytes_from(&read(&file.bytes).unwrap(), Side::Client), CONNECT);
}

#[test]
fn pcapng_is_read_in_both_byte_orders_with_several_interfaces_and_resolutions() {
    for order in [Order::Little, Order::Big] {
        let mut file = Pcapng::new(order);
        let two_seconds = if order == Order::Big { 2_i64.to_be_bytes() } else { 2_i64.to_le_bytes() };
        file.interface(1, 0, &[(2, b"eth0"), (9, &[9])]);
        file.interface(113, 0, &[]);
        file.interface(101, 0, &[(9, &[0x80 | 10]), (14, &two_seconds)]);
        file.interface(220, 0, &[]);
        // A Name Resolution Block and a Custom Block are skipped.
        file.block(4, &[0, 0, 0, 0]);
        file.block(0xBAD, &[0; 8]);
        let packets = exchange();
        file.enhanced(0, 10_000_000_000, &packets[0].linked(1));
        // Written later, but captured earlier than the one after it.
        file.enhanced(2, 9 << 10, &packets[3].linked(101));
        file.enhanced(1, 10_500_000, &packets[1].linked(113));
        file.enhanced(2, (9 << 10) | 512, &packets[4].linked(101));
        let capture = read(&file.bytes).unwrap();
        assert_eq!(bytes_from(&capture, Side::Client), CONNECT);
        assert_eq!(bytes_from(&capture, Side::Server), CONNACK);
        let times: Vec<Duration> = capture.connections[0].segments.iter().map(|segment| segment.at).collect();
        assert_eq!(times, [Duration::from_secs(1), Duration::from_millis(1500)]);
        assert_eq!(capture.warnings, [""; 0]);
    }
}

#[test]
fn a_section_can_have_another_byte_order_and_other_interfaces() {
    let packets = exchange();
    let mut file = Pcapng::new(Order::Little);
    file.interface(1, 0, &[]);
    for packet in &packets[..3] {
        file.enhanced(0, 5, &packet.linked(1));
    }
    file.section(Order::Big);
    file.interface(101, 0, &[]);
    for packet in &packets[3..] {
        file.enhanced(0, 6, &packet.linked(101));
    }
    assert_eq!(bytes_from(&read(&file.bytes).unwrap(), Side::Client), CONNECT);
}

#[test]
fn simple_packets_have_no_time_and_obey_the_snapshot_length() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(101, 61, &[]);
    for packet in exchange() {
        file.simple(&packet.linked(101), 61);
    }
    let capture = read(&file.bytes).unwrap();
    assert_eq!(bytes_from(&capture, Side::Client), CONNECT[..17]);
    let text = capture.warnings.join("\n");
    assert!(text.contains("5 packets without a time"), "{text}");
}

#[test]
fn packets_cut_by_the_snapshot_length_leave_a_hole_and_a_warning() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(client(1018, 5001, ACK, &[0xC0, 0]));
    let mut file = Pcap::new(Order::Little, false, 101);
    for packet in packets {
        file.packet(&packet.linked(101), if packet.payload.len() > 10 { 7 } else { 0 });
    }
    let capture = read(&file.bytes).unwrap();
    let [connection] = &capture.connections[..] else { panic!("{capture:?}") };
    assert_eq!(connection.gaps, 1);
    assert_eq!(connection.segments[0].bytes, CONNECT[..10]);
    assert_eq!(
        (connection.segments[1].missing_before, &connection.segments[1].bytes[..]),
        (7, &[0xC0, 0][..])
    );
    assert_eq!(connection.client_id(), None);
    assert!(capture.warnings[0].starts_with("1 packet cut short"), "{:?}", capture.warnings);
    assert!(capture.warnings[0].contains("-s 0"));
    assert!(capture.warnings[1].contains("(7 bytes from the client)"), "{:?}", capture.warnings);
}

#[test]
fn a_length_that_the_network_card_was_to_fill_in_is_that_of_the_packet() {
    let mut packets = exchange();
    packets.drain(..3);
    let mut file = Pcap::new(Order::Little, false, 101);
    for packet in packets {
        let mut ip = packet.ip();
        ip[2..4].copy_from_slice(&[0, 0]);
        file.packet(&ip, 0);
    }
    assert_eq!(bytes_from(&read(&file.bytes).unwrap(), Side::Client), CONNECT);
}

#[test]
fn a_file_that_ends_in_a_packet_is_read_up_to_there() {
    let mut whole = pcap(&exchange());
    whole.truncate(whole.len() - 3);
    let capture = read(&whole).unwrap();
    assert_eq!(bytes_from(&capture, Side::Client), CONNECT);
    assert!(bytes_from(&capture, Side::Server).is_empty());
    assert!(capture.warnings[0].contains("after 4 packets"), "{:?}", capture.warnings);
    assert!(matches!(read(&whole[..50]), Err(CaptureError::Truncated { at: 50 })));
    assert!(matches!(read(&whole[..20]), Err(CaptureError::Truncated { at: 20 })));

    let mut file = Pcapng::new(Order::Big);
    file.interface(1, 0, &[]);
    assert!(matches!(read(&file.bytes[..40]), Err(CaptureError::Truncated { at: 40 })));
    file.enhanced(0, 0, &exchange()[0].linked(1));
    file.enhanced(0, 0, &exchange()[1].linked(1));
    file.bytes.pop();
    assert!(read(&file.bytes).unwrap().warnings[0].contains("after 1 packet:"));
}

#[test]
fn what_is_no_capture_is_refused_with_what_to_do() {
    let mut wireless = Pcap::new(Order::Little, false, 127);
    wireless.packet(&[0; 40], 0);
    let mut damaged = Pcapng::new(Order::Little);
    damaged.bytes.extend([
        6, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let cases: [(&[u8], &str); 6] = [
        (b"", "the capture is empty (0 bytes): capture again"),
        (
            &[0x1F, 0x8B, 8, 0],
            "the capture is compressed with gzip: decompress it first, for example with `gunzip FILE`",
        ),
        (b"GET / HTTP/1.1", "not a capture: the file begins with 47 45 54 20 2f 20 48 54, which is neither"),
        (b"\xD4", "not a capture: the file begins with d4"),
        (&wireless.bytes, "unsupported link type 127 (IEEE 802.11 with radiotap header): capture on"),
        (&damaged.bytes, "the capture is damaged: byte 28 does not begin a valid block"),
    ];
    for (bytes, expected) in cases {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn packets_that_can_not_be_used_are_counted() {
    let mut file = Pcapng::new(Order::Little);
    file.interface(101, 0, &[]);
    file.interface(189, 0, &[]);
    file.enhanced(1, 0, &[0; 40]);
    file.enhanced(7, 0, &[0; 40]);
    file.block(2, &[0; 20]);
    let mut fragment = client(1, 1, ACK, b"x").ip();
    fragment[6] = 0x20;
    file.enhanced(0, 0, &fragment);
    file.enhanced(0, 0, b"short");
    let capture = read(&file.bytes).unwrap();
    assert_eq!(capture.connections, []);
    let expected = [
        "skipped 1 packet of an interface that the file does not describe",
        "skipped 1 packet in the obsolete Packet Blocks: convert the file with `editcap -F pcapng IN OUT`",
        "skipped 1 packet of the unsupported link type 189 (USB on Linux)",
        "skipped 1 packet with fragments of larger IP packets",
        "no TCP in 3 packets: capture with the filter `tcp port 1883`, or your broker's port",
    ];
    assert_eq!(capture.warnings, expected);
    let empty = read(&Pcap::new(Order::Big, false, 1).bytes).unwrap();
    assert_eq!(empty.warnings, ["the capture has no packets"]);
}

#[test]
fn real_captures_of_mosquitto_are_read() {
    let pcap = read(include_bytes!("../../../tests/data/mosquitto.pcap")).unwrap();
    let pcapng = read(include_bytes!("../../../tests/data/mosquitto.pcapng")).unwrap();
    assert_eq!(pcap, pcapng);
    assert_eq!(pcap.warnings, [""; 0]);
    let [subscriber, publisher] = &pcap.connections[..] else { panic!("{pcap:?}") };
    assert_eq!(subscriber.client_id().as_deref(), Some("sub-1"));
    assert_eq!(subscriber.protocol_version(), Some(ungraceful_mqtt::ProtocolVersion::V5));
    assert_eq!(publisher.client_id().as_deref(), Some("pub-1"));
    assert_eq!(publisher.protocol_version(), Some(ungraceful_mqtt::ProtocolVersion::V3_1_1));
    for (connection, count) in [(subscriber, 7), (publisher, 5)] {
        assert!(connection.has_beginning && connection.is_mqtt());
        assert_eq!((connection.gaps, connection.segments.len()), (0, count));
        assert!(matches!(connection.end, Some(End { by: Side::Client, how: How::Fin, .. })));
    }
    let publish = &publisher.segments[2];
    assert_eq!((publish.from, &publish.bytes[..]), (Side::Client, &b"\x32\x0C\x00\x03a/b\x00\x01hello"[..]));

    let any = read(include_bytes!("../../../tests/data/any.pcap")).unwrap();
    assert_eq!(any.connections[0].client_id().as_deref(), Some("pub-2"));
    assert_eq!((any.connections.len(), any.warnings.len()), (1, 0));
}
