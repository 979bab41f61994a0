//! The packets that a Client must not send behind its CONNECT, for tests of what the broker does about them.

use ungraceful_mqtt::PacketType::{
    Auth, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, Subscribe, Unsubscribe,
};
use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::forbidden::{Forged, RemainingLength};
use ungraceful_mqtt::{PacketType, ProtocolVersion};

/// A forbidden packet, and the Reason Code of the DISCONNECT that it deserves in MQTT 5.0.
pub(crate) struct Forbidden {
    pub(crate) name: String,
    pub(crate) version: ProtocolVersion,
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: u8,
}

/// Strings that are not UTF-8, and one with U+0000.
pub(crate) const BAD_STRINGS: [&[u8]; 6] =
    [b"a\0b", b"\xED\xA0\x80", b"\xED\xBF\xBF", b"\xC0\x80", b"a\xFFb", b"\xF4\x90\x80\x80"];

const ACKS: [PacketType; 4] = [PubAck, PubRec, PubRel, PubComp];

/// Legal packets of a Client without any of the fields that may be left out.
pub(crate) fn legal(version: ProtocolVersion) -> Vec<Vec<u8>> {
    let mut packets: Vec<_> =
        ACKS.into_iter().map(|ack| Forged::of_type(ack).two_bytes(9).to_vec()).collect();
    packets.push(properties(version, Forged::of_type(Publish).string(b"t"), b"").to_vec());
    packets.push(subscribe(version, b"t", 0).to_vec());
    packets.push(unsubscribe(version, b"t").to_vec());
    packets.push(vec![0xC0, 0]);
    packets
}

/// The packet with these bytes as properties, which MQTT 3.1.1 does not have.
pub(crate) fn properties(version: ProtocolVersion, packet: Forged, bytes: &[u8]) -> Forged {
    match version {
        V3_1_1 => packet,
        V5 => packet.variable(u32::try_from(bytes.len()).expect("few")).raw(bytes),
    }
}

fn publish(version: ProtocolVersion, flags: u8, topic: &[u8]) -> Forged {
    let packet = Forged::of_type(Publish).flags(flags).string(topic);
    let packet = if flags & 6 == 0 { packet } else { packet.two_bytes(7) };
    properties(version, packet, b"").raw(b"x")
}

fn subscribe(version: ProtocolVersion, topic_filter: &[u8], options: u8) -> Forged {
    properties(version, Forged::of_type(Subscribe).two_bytes(7), b"").string(topic_filter).byte(options)
}

fn unsubscribe(version: ProtocolVersion, topic_filter: &[u8]) -> Forged {
    properties(version, Forged::of_type(Unsubscribe).two_bytes(7), b"").string(topic_filter)
}

/// A PUBLISH of MQTT 5.0 with these bytes as properties.
fn with_properties(bytes: &[u8]) -> Forged {
    properties(V5, Forged::of_type(Publish).string(b"t"), bytes).raw(b"x")
}

/// Every forbidden packet of both versions that may follow a CONNECT.
pub(crate) fn after_connect() -> Vec<Forbidden> {
    let mut all = Vec::new();
    for version in ProtocolVersion::ALL {
        let mut add = |name: &str, packet: Forged, code| {
            all.push(Forbidden { name: format!("{version}: {name}"), version, bytes: packet.to_vec(), code });
        };
        add_headers(version, &mut add);
        add_identifiers_and_ends(version, &mut add);
        add_strings(version, &mut add);
        add_topics_and_filters(version, &mut add);
        if version == V5 {
            add_properties(&mut add);
            add_codes(&mut add);
        }
    }
    all
}

type Add<'a> = dyn FnMut(&str, Forged, u8) + 'a;

fn add_headers(version: ProtocolVersion, add: &mut Add<'_>) {
    add("type 0", Forged::packet(0), 0x81);
    if version == V3_1_1 {
        add("type 15", Forged::of_type(Auth), 0x82);
    }
    for (name, packet) in [
        ("CONNACK", Forged::packet(0x20).raw(&[0, 0])),
        ("SUBACK", Forged::packet(0x90).two_bytes(1).byte(0)),
        ("UNSUBACK", Forged::packet(0xB0).two_bytes(1)),
        ("PINGRESP", Forged::packet(0xD0)),
    ] {
        add(name, packet, 0x82);
    }
    let disconnect = Forged::of_type(Disconnect);
    let auth = Forged::of_type(Auth);
    let mut packets: Vec<_> = legal(version).iter().filter_map(|bytes| Forged::from_bytes(bytes)).collect();
    packets.push(disconnect);
    packets.extend((version == V5).then_some(auth));
    for packet in packets {
        let first_byte = packet.to_vec()[0];
        for flags in (0..16).filter(|flags| *flags != first_byte & 0x0F && first_byte >> 4 != 3) {
            add(&format!("{first_byte:02X} with flags {flags:X}"), packet.clone().flags(flags), 0x81);
        }
    }
    add("QoS 3", publish(version, 0b0110, b"t"), 0x81);
    add("QoS 3 with DUP", publish(version, 0b1110, b"t"), 0x81);
    add("DUP at QoS 0", publish(version, 0b1000, b"t"), 0x81);
    add("DUP and RETAIN at QoS 0", publish(version, 0b1001, b"t"), 0x81);
}

fn add_identifiers_and_ends(version: ProtocolVersion, add: &mut Add<'_>) {
    let zeroed = |packet: Forged, at| packet.with_body_byte(at, 0).with_body_byte(at + 1, 0);
    add("PUBLISH QoS 1 with 0", zeroed(publish(version, 0b0010, b"t"), 3), 0x82);
    add("PUBLISH QoS 2 with 0", zeroed(publish(version, 0b0100, b"t"), 3), 0x82);
    add("SUBSCRIBE with 0", zeroed(subscribe(version, b"t", 0), 0), 0x82);
    add("UNSUBSCRIBE with 0", zeroed(unsubscribe(version, b"t"), 0), 0x82);
    for ack in ACKS {
        add(&format!("{ack} with 0"), Forged::of_type(ack).two_bytes(0), 0x82);
        add(&format!("{ack} without identifier"), Forged::of_type(ack), 0x81);
        add(&format!("{ack} with half an identifier"), Forged::of_type(ack).byte(0), 0x81);
        let long = Forged::of_type(ack).two_bytes(1).raw(&[0, 0, 0]);
        add(&format!("{ack} with more bytes"), long, 0x81);
    }
    add("PINGREQ with a byte", Forged::packet(0xC0).byte(0), 0x81);
    add("DISCONNECT with more bytes", Forged::of_type(Disconnect).raw(&[0, 0, 0]), 0x81);
    add("UNSUBSCRIBE with a byte more", unsubscribe(version, b"t").byte(0), 0x81);
    add("SUBSCRIBE without options", subscribe(version, b"t", 0).truncated(body(version, 5)), 0x81);
    add("SUBSCRIBE without filters", subscribe(version, b"t", 0).truncated(body(version, 2)), 0x82);
    add("UNSUBSCRIBE without filters", unsubscribe(version, b"t").truncated(body(version, 2)), 0x82);
    add("empty PUBLISH", Forged::of_type(Publish), 0x81);
    add("PUBLISH without identifier", Forged::of_type(Publish).flags(2).string(b"t"), 0x81);
    add("empty SUBSCRIBE", Forged::of_type(Subscribe), 0x81);
    add("empty UNSUBSCRIBE", Forged::of_type(Unsubscribe), 0x81);
}

/// The length of a body with this one in MQTT 3.1.1: in MQTT 5.0 there is the Property Length, too.
fn body(version: ProtocolVersion, bytes: usize) -> usize {
    if version == V5 { bytes + 1 } else { bytes }
}

fn add_strings(version: ProtocolVersion, add: &mut Add<'_>) {
    for bad in BAD_STRINGS {
        add(&format!("topic {bad:02X?}"), publish(version, 0, bad), 0x81);
        add(&format!("filter {bad:02X?}"), subscribe(version, bad, 0), 0x81);
        add(&format!("filter of UNSUBSCRIBE {bad:02X?}"), unsubscribe(version, bad), 0x81);
    }
    let long = |packet_type| Forged::of_type(packet_type).string_claiming(9, b"t");
    add("topic beyond the packet", long(Publish), 0x81);
    let list = |packet_type| properties(version, Forged::of_type(packet_type).two_bytes(7), b"");
    add("filter beyond the packet", list(Subscribe).string_claiming(9, b"t\0"), 0x81);
    add("filter of UNSUBSCRIBE beyond the packet", list(Unsubscribe).string_claiming(9, b"t"), 0x81);
    let second = subscribe(version, b"t", 0).string_claiming(9, b"t\0");
    add("second filter beyond the packet", second, 0x81);
}

fn add_topics_and_filters(version: ProtocolVersion, add: &mut Add<'_>) {
    for topic in [&b"+"[..], b"#", b"a/+/b", b"a/#", b"a+"] {
        add(&format!("topic {}", String::from_utf8_lossy(topic)), publish(version, 0, topic), 0x90);
    }
    add("empty topic", publish(version, 0, b""), 0x82);
    for filter in ["", "a#", "#/a", "a+", "+a/b"] {
        add(&format!("filter {filter:?}"), subscribe(version, filter.as_bytes(), 0), 0x8F);
        add(&format!("filter {filter:?} of UNSUBSCRIBE"), unsubscribe(version, filter.as_bytes()), 0x8F);
    }
    add("maximum QoS 3", subscribe(version, b"t", 3), 0x82);
    for bits in [0x40, 0x80, 0xC2] {
        add(&format!("reserved bits {bits:02X}"), subscribe(version, b"t", bits), 0x81);
    }
    if version == V3_1_1 {
        for bits in [0x04, 0x08, 0x10, 0x20] {
            add(&format!("reserved bits {bits:02X}"), subscribe(version, b"t", bits), 0x81);
        }
        return;
    }
    add("Retain Handling 3", subscribe(version, b"t", 0x30), 0x82);
    add("No Local on a Shared Subscription", subscribe(version, b"$share/g/t", 4), 0x82);
    for filter in ["$share//t", "$share/g+/t", "$share/#/t", "$share/+/t", "$share/g", "$share/g/"] {
        add(&format!("filter {filter}"), subscribe(version, filter.as_bytes(), 0), 0x8F);
    }
}

fn add_properties(add: &mut Add<'_>) {
    add("Property Length beyond the packet", Forged::of_type(Publish).string(b"t").raw(&[9, 1, 0]), 0x81);
    add(
        "Property Length of five bytes",
        Forged::of_type(Publish).string(b"t").raw(&[128, 128, 128, 128, 0]),
        0x81,
    );
    add("no Property Length", Forged::of_type(Publish).string(b"t"), 0x81);
    for (name, bytes, code) in [
        ("property cut", &[8, 0][..], 0x81),
        ("string of a property beyond its properties", &[8, 0, 9, b't'], 0x81),
        ("User Property without a value", &[0x26, 0, 1, b'k'], 0x81),
        ("unknown property 0", &[0, 0], 0x81),
        ("unknown property 0x7F", &[0x7F, 0], 0x81),
        ("Session Expiry Interval in a PUBLISH", &[0x11, 0, 0, 0, 1], 0x81),
        ("Will Delay Interval in a PUBLISH", &[0x18, 0, 0, 0, 1], 0x81),
        ("Maximum QoS in a PUBLISH", &[0x24, 1], 0x81),
        ("property twice", &[1, 0, 1, 0], 0x82),
        ("Topic Alias twice", &[0x23, 0, 1, 0x23, 0, 1], 0x82),
        ("Payload Format Indicator 2", &[1, 2], 0x82),
        ("Topic Alias 0", &[0x23, 0, 0], 0x82),
        ("Topic Alias above the maximum", &[0x23, 0, 1], 0x94),
        ("Subscription Identifier in a PUBLISH", &[0x0B, 1], 0x82),
        ("Response Topic with a wildcard", &[8, 0, 1, b'+'], 0x82),
        ("Response Topic with another", &[8, 0, 3, b'a', b'/', b'#'], 0x82),
    ] {
        add(name, with_properties(bytes), code);
    }
    for bad in BAD_STRINGS {
        let mut string = vec![0, u8::try_from(bad.len()).expect("short")];
        string.extend_from_slice(bad);
        for (name, bytes) in [
            ("Content Type", [&[3][..], &string].concat()),
            ("Response Topic", [&[8][..], &string].concat()),
            ("name of a User Property", [&[0x26][..], &string, &[0, 0]].concat()),
            ("value of a User Property", [&[0x26, 0, 0][..], &string].concat()),
        ] {
            add(&format!("{name} {bad:02X?}"), with_properties(&bytes), 0x81);
        }
        let reason = [&[0x1F][..], &string].concat();
        let acknowledged = properties(V5, Forged::of_type(PubAck).two_bytes(1).byte(0), &reason);
        add(&format!("Reason String {bad:02X?}"), acknowledged, 0x81);
    }
    let subscribed =
        |bytes: &[u8]| properties(V5, Forged::of_type(Subscribe).two_bytes(7), bytes).string(b"t").byte(0);
    add("Subscription Identifier 0", subscribed(&[0x0B, 0]), 0x82);
    add("two Subscription Identifiers", subscribed(&[0x0B, 1, 0x0B, 2]), 0x82);
    add("Topic Alias in a SUBSCRIBE", subscribed(&[0x23, 0, 1]), 0x81);
    add(
        "Reason String in an UNSUBSCRIBE",
        properties(V5, Forged::of_type(Unsubscribe).two_bytes(7), &[0x1F, 0, 0]).string(b"t"),
        0x81,
    );
}

fn add_codes(add: &mut Add<'_>) {
    for ack in ACKS {
        for code in [0x42, 0x82, 0xFF] {
            add(&format!("{ack} {code:02X}"), Forged::of_type(ack).two_bytes(1).byte(code), 0x82);
        }
    }
    for code in [0x01, 0x42, 0x92, 0xFF] {
        add(&format!("DISCONNECT {code:02X}"), Forged::of_type(Disconnect).byte(code), 0x82);
    }
    let auth = |code: u8, bytes: &[u8]| properties(V5, Forged::of_type(Auth).byte(code), bytes);
    add("AUTH without a method in CONNECT", auth(0x19, &[0x15, 0, 1, b'm']), 0x82);
    add("AUTH 42", auth(0x42, &[0x15, 0, 1, b'm']), 0x82);
    add("empty AUTH", Forged::of_type(Auth), 0x82);
    add("AUTH without a method", auth(0x19, &[]), 0x82);
    add("Authentication Data without a method", auth(0x19, &[0x16, 0, 1, b'd']), 0x82);
    let raise = Forged::of_type(Disconnect).raw(&[0, 5, 0x11, 0, 0, 0, 1]);
    add("DISCONNECT that raises the Session Expiry Interval", raise, 0x82);
}

/// A packet whose Remaining Length has five bytes: no packet at all.
pub(crate) fn unframed() -> Vec<u8> {
    Forged::packet(0xC0).remaining_length(RemainingLength::Padded(5)).to_vec()
}
