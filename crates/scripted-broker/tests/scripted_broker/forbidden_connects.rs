//! The CONNECTs that a Client must not send, for tests of what the broker does about them.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::forbidden::Forged;
use ungraceful_mqtt::{Connect, Packet, PacketType, ProtocolVersion, Will};

use crate::forbidden_packets::{BAD_STRINGS, properties};
use crate::raw_client::{connect, encoded};

/// A malformed CONNECT, and the CONNACK that it gets before the FIN, if any.
pub(crate) struct ForbiddenConnect {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: &'static [u8],
    /// Whether its level is that of MQTT 5.0.
    pub(crate) is_v5: bool,
}

/// Every malformed CONNECT of both versions.
pub(crate) fn connects() -> Vec<ForbiddenConnect> {
    let mut all = Vec::new();
    for version in ProtocolVersion::ALL {
        let mut add = |name: &str, packet: Forged, answer: &'static [u8]| {
            let is_v5 = packet.body().get(6) == Some(&5);
            all.push(ForbiddenConnect {
                name: format!("{version}: {name}"),
                bytes: packet.to_vec(),
                answer,
                is_v5,
            });
        };
        let plain = || Forged::from_bytes(&connect(version, "id")).expect("a whole packet");
        let flags = |bits: u8| plain().with_body_byte(7, bits);
        for (name, level) in [("level 3", 3), ("level 6", 6), ("level 0", 0), ("level of a bridge", 0x84)] {
            add(name, plain().with_body_byte(6, level), &[0x20, 2, 0, 1]);
        }
        add("protocol name", plain().with_body_byte(4, b'A'), &[]);
        add("reserved flag", flags(0b11), &[]);
        add("Will QoS without Will", flags(0b0000_1010), &[]);
        add("Will Retain without Will", flags(0b0010_0010), &[]);
        add("user name without the field", flags(0b1000_0010), &[]);
        add("Will without the fields", flags(0b0000_0110), &[]);
        add("user name and password without a password", flags(0b1100_0010).string(b"u"), &[]);
        if version == V3_1_1 {
            add("password without user name", flags(0b0100_0010).string(b"p"), &[]);
            let nameless = Forged::of_type(PacketType::Connect).string(b"MQTT").raw(&[4, 0, 0, 60, 0, 0]);
            add("empty ClientID with Clean Session 0", nameless, &[0x20, 2, 0, 2]);
        } else {
            add("password without the field", flags(0b0100_0010), &[]);
        }
        for flags in [0x11, 0x12, 0x14, 0x18] {
            add("fixed header", Forged::packet(flags).raw(plain().body()), &[]);
        }
        for length in 0..plain().body().len() {
            add(&format!("{length} bytes"), plain().truncated(length), &[]);
        }
        add("bytes after the payload", plain().byte(0), &[]);
        add_will_and_strings(version, &mut add);
        if version == V5 {
            add_connect_properties(&mut add);
        }
    }
    all
}

type AddConnect<'a> = dyn FnMut(&str, Forged, &'static [u8]) + 'a;

fn add_will_and_strings(version: ProtocolVersion, add: &mut AddConnect<'_>) {
    let head = |flags: u8| {
        let head = Forged::of_type(PacketType::Connect).string(b"MQTT").byte(version.level()).byte(flags);
        properties(version, head.two_bytes(60), b"")
    };
    let will = |flags: u8, topic: &[u8]| {
        properties(version, head(flags).string(b"id"), b"").string(topic).string(b"gone")
    };
    add("Will QoS 3", will(0b0001_1110, b"w"), &[]);
    for topic in [&b""[..], b"w/+", b"#"] {
        add("Will Topic", will(0b0000_0110, topic), &[]);
    }
    for bad in BAD_STRINGS {
        add("ClientID", head(2).string(bad), &[]);
        add("Will Topic", will(0b0000_0110, bad), &[]);
        add("user name", head(0b1000_0010).string(b"id").string(bad), &[]);
    }
    add("ClientID beyond the packet", head(2).string_claiming(9, b"id"), &[]);
    let legal = Connect { will: Some(Will::new("w", b"")), ..Connect::new("id") };
    let legal = encoded(version, &Packet::Connect(legal));
    let legal = Forged::from_bytes(&legal).expect("a whole packet");
    add("Will with a byte more", legal.byte(0), &[]);
}

fn add_connect_properties(add: &mut AddConnect<'_>) {
    let head = || Forged::of_type(PacketType::Connect).string(b"MQTT").raw(&[5, 2, 0, 60]);
    for (name, bytes) in [
        ("Request Problem Information 2", &[0x17, 2][..]),
        ("Request Response Information 2", &[0x19, 2]),
        ("Receive Maximum 0", &[0x21, 0, 0]),
        ("Maximum Packet Size 0", &[0x27, 0, 0, 0, 0]),
        ("Receive Maximum twice", &[0x21, 0, 1, 0x21, 0, 1]),
        ("Topic Alias", &[0x23, 0, 1]),
        ("unknown property", &[0x7F, 0]),
        ("property cut", &[0x11, 0, 0]),
        ("Authentication Data without a method", &[0x16, 0, 1, b'd']),
        ("User Property", &[0x26, 0, 1, 0xFF, 0, 0]),
    ] {
        add(name, properties(V5, head(), bytes).string(b"id"), &[]);
    }
    add("Property Length beyond the packet", head().byte(99).string(b"id"), &[]);
    let will = |bytes: &[u8]| {
        let head = Forged::of_type(PacketType::Connect).string(b"MQTT").raw(&[5, 6, 0, 60, 0]).string(b"id");
        properties(V5, head, bytes).string(b"w").string(b"gone")
    };
    add("Payload Format Indicator 2 of the Will", will(&[1, 2]), &[]);
    add("Receive Maximum of the Will", will(&[0x21, 0, 1]), &[]);
}
