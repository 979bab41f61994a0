//! Legal packets of every type with every field, for the property tests.
//!
//! Packets borrow their fields, so generated values are leaked: some megabytes a run.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ungraceful_mqtt::Subscriptions;
use ungraceful_mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, PROTOCOL_NAME, Packet, PacketIdentifier, PacketType, Properties,
    Property, PropertyPlace, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    Subscription, SubscriptionOptions, TopicFilters, UnsubAck, Unsubscribe, Will,
};

pub(crate) type AnyPacket = BoxedStrategy<Packet<'static>>;

fn text() -> impl Strategy<Value = &'static str> {
    let characters = select(vec!['a', 'b', 'Z', '0', '-', ' ', '/', 'é', '☃', '𝄞', '\u{feff}']);
    vec(characters, 0..12).prop_map(|text| &*text.into_iter().collect::<String>().leak())
}

fn bytes(len: usize) -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..len).prop_map(|bytes| &*bytes.leak())
}

fn topic() -> impl Strategy<Value = &'static str> {
    (text(), select(vec!["t", "a/b", "/", "$SYS/x"]))
        .prop_map(|(text, start)| &*format!("{start}{text}").leak())
}

fn topic_filter() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "#", "+", "a/#", "+/b/+", "/", "a//b", "é/☃", "$SYS/#"])
}

fn packet_identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|value| PacketIdentifier::new(value).expect("1 is the least"))
}

fn qos() -> impl Strategy<Value = QoS> {
    select(QoS::ALL.to_vec())
}

fn property() -> impl Strategy<Value = Property<'static>> {
    let flag = 0_u8..=1;
    prop_oneof![
        flag.clone().prop_map(Property::PayloadFormatIndicator),
        any::<u32>().prop_map(Property::MessageExpiryInterval),
        text().prop_map(Property::ContentType),
        topic().prop_map(Property::ResponseTopic),
        bytes(20).prop_map(Property::CorrelationData),
        prop_oneof![1_u32..=127, 128_u32..=268_435_455].prop_map(Property::SubscriptionIdentifier),
        any::<u32>().prop_map(Property::SessionExpiryInterval),
        text().prop_map(Property::AssignedClientIdentifier),
        any::<u16>().prop_map(Property::ServerKeepAlive),
        text().prop_map(Property::AuthenticationMethod),
        bytes(20).prop_map(Property::AuthenticationData),
        flag.clone().prop_map(Property::RequestProblemInformation),
        any::<u32>().prop_map(Property::WillDelayInterval),
        flag.clone().prop_map(Property::RequestResponseInformation),
        text().prop_map(Property::ResponseInformation),
        text().prop_map(Property::ServerReference),
        text().prop_map(Property::ReasonString),
        (1..=u16::MAX).prop_map(Property::ReceiveMaximum),
        any::<u16>().prop_map(Property::TopicAliasMaximum),
        (1..=u16::MAX).prop_map(Property::TopicAlias),
        flag.clone().prop_map(Property::MaximumQoS),
        flag.clone().prop_map(Property::RetainAvailable),
        (1..=u32::MAX).prop_map(Property::MaximumPacketSize),
        flag.clone().prop_map(Property::WildcardSubscriptionAvailable),
        flag.clone().prop_map(Property::SubscriptionIdentifierAvailable),
        flag.prop_map(Property::SharedSubscriptionAvailable),
        (text(), text()).prop_map(|(name, value)| Property::UserProperty(name, value)),
    ]
}

fn properties(
    place: impl Into<PropertyPlace>,
    version: ProtocolVersion,
) -> BoxedStrategy<Properties<'static>> {
    let place = place.into();
    if version == ProtocolVersion::V3_1_1 {
        return Just(Properties::NONE).boxed();
    }
    // Most properties do not fit a place, so there are many to choose from.
    vec(property(), 0..40)
        .prop_map(move |candidates| {
            let mut list: Vec<Property<'static>> = Vec::new();
            for property in candidates {
                let is_new = !list.iter().any(|other| other.id() == property.id());
                if property.allowed_in(place) && (is_new || property.may_repeat_in(place)) {
                    list.push(property);
                }
            }
            let has_method =
                list.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
            list.retain(|property| has_method || !matches!(property, Property::AuthenticationData(_)));
            Properties::List(list.leak())
        })
        .boxed()
}

fn reason_code(packet_type: PacketType, version: ProtocolVersion) -> BoxedStrategy<ReasonCode> {
    match version {
        ProtocolVersion::V3_1_1 => Just(ReasonCode::SUCCESS).boxed(),
        ProtocolVersion::V5 => select(ReasonCode::allowed_in(packet_type).collect::<Vec<_>>()).boxed(),
    }
}

fn connect(version: ProtocolVersion) -> AnyPacket {
    let will =
        (topic(), bytes(200), qos(), any::<bool>(), properties(PropertyPlace::Will, version)).prop_map(
            |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
        );
    (
        any::<bool>(),
        any::<u16>(),
        text(),
        option::of(will),
        option::of(text()),
        option::of(bytes(30)),
        properties(PacketType::Connect, version),
    )
        .prop_map(move |(clean_start, keep_alive_s, client_id, will, user_name, password, properties)| {
            let in_5 = version == ProtocolVersion::V5;
            Packet::Connect(Connect {
                protocol_name: PROTOCOL_NAME,
                protocol_level: Some(version.level()),
                clean_start: clean_start || (!in_5 && client_id.is_empty()),
                keep_alive_s,
                client_id,
                will,
                user_name,
                password: password.filter(|_| in_5 || user_name.is_some()),
                properties,
            })
        })
        .boxed()
}

fn connack(version: ProtocolVersion) -> AnyPacket {
    let code = match version {
        ProtocolVersion::V3_1_1 => (0..=5_u8).boxed(),
        ProtocolVersion::V5 => reason_code(PacketType::ConnAck, version).prop_map(|code| code.0).boxed(),
    };
    (any::<bool>(), code, properties(PacketType::ConnAck, version))
        .prop_map(|(session_present, code, properties)| {
            Packet::ConnAck(ConnAck { session_present: session_present && code == 0, code, properties })
        })
        .boxed()
}

fn publish(version: ProtocolVersion) -> AnyPacket {
    let payload = prop_oneof![8 => bytes(40), 4 => bytes(300), 1 => bytes(20_000)];
    let flags = (any::<bool>(), any::<bool>());
    (flags, qos(), topic(), packet_identifier(), properties(PacketType::Publish, version), payload)
        .prop_map(|((dup, retain), qos, topic, identifier, properties, payload)| {
            let above_0 = qos != QoS::AtMostOnce;
            Packet::Publish(Publish {
                dup: dup && above_0,
                qos,
                retain,
                topic: if properties.topic_alias().is_some() && retain { "" } else { topic },
                packet_identifier: above_0.then_some(identifier.get()),
                properties,
                payload,
            })
        })
        .boxed()
}

fn ack(
    packet_type: PacketType,
    version: ProtocolVersion,
    make: fn(Ack<'static>) -> Packet<'static>,
) -> AnyPacket {
    (packet_identifier(), reason_code(packet_type, version), properties(packet_type, version))
        .prop_map(move |(identifier, reason_code, properties)| {
            make(Ack { packet_identifier: identifier.get(), reason_code, properties })
        })
        .boxed()
}

fn subscribe(version: ProtocolVersion) -> AnyPacket {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options =
        (qos(), any::<bool>(), any::<bool>(), handling).prop_map(move |(qos, local, retain, handling)| {
            let options = SubscriptionOptions::new(qos);
            if version == ProtocolVersion::V3_1_1 {
                return options;
            }
            let options = options.retain_handling(handling);
            let options = if local { options.no_local() } else { options };
            if retain { options.retain_as_published() } else { options }
        });
    let subscription =
        (topic_filter(), options).prop_map(|(topic_filter, options)| Subscription { topic_filter, options });
    (packet_identifier(), properties(PacketType::Subscribe, version), vec(subscription, 1..20))
        .prop_map(|(identifier, properties, filters)| {
            Packet::Subscribe(Subscribe {
                packet_identifier: identifier.get(),
                properties,
                filters: Subscriptions::List(filters.leak()),
            })
        })
        .boxed()
}

fn unsubscribe(version: ProtocolVersion) -> AnyPacket {
    (packet_identifier(), properties(PacketType::Unsubscribe, version), vec(topic_filter(), 1..20))
        .prop_map(|(identifier, properties, filters)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_identifier: identifier.get(),
                properties,
                filters: TopicFilters::List(filters.leak()),
            })
        })
        .boxed()
}

fn suback(version: ProtocolVersion) -> AnyPacket {
    let code = match version {
        ProtocolVersion::V3_1_1 => select(vec![0, 1, 2, 0x80_u8]).boxed(),
        ProtocolVersion::V5 => reason_code(PacketType::SubAck, version).prop_map(|code| code.0).boxed(),
    };
    (packet_identifier(), properties(PacketType::SubAck, version), vec(code, 1..200))
        .prop_map(|(identifier, properties, codes)| {
            Packet::SubAck(SubAck {
                packet_identifier: identifier.get(),
                properties,
                reason_codes: codes.leak(),
            })
        })
        .boxed()
}

fn unsuback(version: ProtocolVersion) -> AnyPacket {
    let code = reason_code(PacketType::UnsubAck, ProtocolVersion::V5).prop_map(|code| code.0);
    let count = if version == ProtocolVersion::V5 { 1..10 } else { 0..1 };
    (packet_identifier(), properties(PacketType::UnsubAck, version), vec(code, count))
        .prop_map(|(identifier, properties, codes)| {
            let reason_codes = codes.leak();
            Packet::UnsubAck(UnsubAck { packet_identifier: identifier.get(), properties, reason_codes })
        })
        .boxed()
}

fn auth(version: ProtocolVersion) -> AnyPacket {
    (reason_code(PacketType::Auth, version), properties(PacketType::Auth, version))
        .prop_map(|(reason_code, properties)| {
            let has_method = properties.authentication_method().is_some();
            let packet = if has_method {
                Auth { reason_code, properties }
            } else {
                Auth { reason_code: ReasonCode::SUCCESS, properties: Properties::NONE }
            };
            Packet::Auth(packet)
        })
        .boxed()
}

/// A legal packet of this type and version.
pub(crate) fn packet_of(packet_type: PacketType, version: ProtocolVersion) -> AnyPacket {
    match packet_type {
        PacketType::Connect => connect(version),
        PacketType::ConnAck => connack(version),
        PacketType::Publish => publish(version),
        PacketType::PubAck => ack(packet_type, version, Packet::PubAck),
        PacketType::PubRec => ack(packet_type, version, Packet::PubRec),
        PacketType::PubRel => ack(packet_type, version, Packet::PubRel),
        PacketType::PubComp => ack(packet_type, version, Packet::PubComp),
        PacketType::Subscribe => subscribe(version),
        PacketType::SubAck => suback(version),
        PacketType::Unsubscribe => unsubscribe(version),
        PacketType::UnsubAck => unsuback(version),
        PacketType::PingReq => Just(Packet::PingReq).boxed(),
        PacketType::PingResp => Just(Packet::PingResp).boxed(),
        PacketType::Disconnect => (reason_code(packet_type, version), properties(packet_type, version))
            .prop_map(|(reason_code, properties)| Packet::Disconnect(Disconnect { reason_code, properties }))
            .boxed(),
        PacketType::Auth => auth(version),
    }
}

/// The types that version has: all but AUTH in MQTT 3.1.1.
pub(crate) fn types_of(version: ProtocolVersion) -> impl Iterator<Item = PacketType> {
    PacketType::ALL
        .into_iter()
        .filter(move |&packet_type| version == ProtocolVersion::V5 || packet_type != PacketType::Auth)
}

/// A legal packet of any type of this version.
pub(crate) fn packet(version: ProtocolVersion) -> AnyPacket {
    select(types_of(version).collect::<Vec<_>>())
        .prop_flat_map(move |packet_type| packet_of(packet_type, version))
        .boxed()
}

/// A version, and a packet of it.
pub(crate) fn versioned_packet() -> BoxedStrategy<(ProtocolVersion, Packet<'static>)> {
    select(ProtocolVersion::ALL.to_vec())
        .prop_flat_map(|version| packet(version).prop_map(move |packet| (version, packet)))
        .boxed()
}

/// The bytes of a packet, which must be legal.
pub(crate) fn encoded(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out).unwrap_or_else(|why| panic!("{why}: {packet:?}"));
    out
}
