//! Packets.

use toml::de::DeValue;
use ungraceful_mqtt::PacketType;

use crate::fields::{Fields, Reader, bytes_of, hex_of, nearest, number_of};
use crate::model::{
    Ack, Body, Codes, Connect, Filter, Packet, Properties, Property, Publish, Reason, RemainingLength,
    Subscribe, Will,
};
use crate::properties::{KINDS, Wire};
use crate::template::{BYTES_MAX, Bytes};

/// What a step can send.
pub(super) const SENDABLE: &[&str] = &[
    "hex",
    "bytes",
    "connect",
    "connack",
    "publish",
    "puback",
    "pubrec",
    "pubrel",
    "pubcomp",
    "subscribe",
    "suback",
    "unsubscribe",
    "unsuback",
    "pingreq",
    "pingresp",
    "disconnect",
    "auth",
];

/// The packet with this name, in capitals or not.
pub(super) fn type_named(name: &str) -> Option<PacketType> {
    PacketType::ALL.into_iter().find(|packet_type| packet_type.name().eq_ignore_ascii_case(name))
}

/// A packet of this type.
pub(super) fn packet(
    reader: &mut Reader,
    fields: &Fields<'_, '_>,
    packet_type: PacketType,
) -> Option<Packet> {
    let flags = fields.number(reader, "flags");
    let remaining_length = remaining_length(reader, fields);
    let truncate = fields.number(reader, "truncate");
    let append = fields.bytes(reader, "append");
    let cut = fields.number(reader, "cut");
    let body = body(reader, fields, packet_type)?;
    Some(Packet { body, flags, remaining_length, truncate, append, cut })
}

fn remaining_length(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<RemainingLength> {
    let found = fields.find("remaining_length")?;
    if found.node.get_ref().is_table() {
        let table = found.table(reader)?;
        return match table.only_one_of(reader, &["hex", "padded"])? {
            "hex" => table.find("hex")?.hex(reader).map(|text| RemainingLength::Bytes(Bytes::Hex(text))),
            _ => table.number(reader, "padded").map(RemainingLength::Padded),
        };
    }
    found.number(reader).map(RemainingLength::Claimed)
}

fn body(reader: &mut Reader, fields: &Fields<'_, '_>, packet_type: PacketType) -> Option<Body> {
    Some(match packet_type {
        PacketType::Connect => Body::Connect(Box::new(connect(reader, fields))),
        PacketType::Publish => Body::Publish(Publish {
            topic: fields.bytes(reader, "topic").unwrap_or_default(),
            qos: fields.number(reader, "qos"),
            dup: fields.switch(reader, "dup"),
            retain: fields.switch(reader, "retain"),
            packet_identifier: fields.number(reader, "packet_identifier"),
            payload: fields.bytes(reader, "payload").unwrap_or_default(),
            properties: properties(reader, fields),
        }),
        PacketType::Subscribe | PacketType::Unsubscribe => Body::Subscribe(Subscribe {
            is_unsubscribe: packet_type == PacketType::Unsubscribe,
            packet_identifier: fields.number(reader, "packet_identifier"),
            filters: filters(reader, fields)?,
            properties: properties(reader, fields),
        }),
        PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => Body::Ack(
            packet_type,
            Ack {
                packet_identifier: fields.number(reader, "packet_identifier"),
                reason_code: fields.number(reader, "reason_code"),
                properties: properties(reader, fields),
            },
        ),
        PacketType::ConnAck | PacketType::Disconnect | PacketType::Auth => Body::Reason(
            packet_type,
            Reason {
                reason_code: fields.number(reader, "reason_code"),
                session_present: fields.switch(reader, "session_present"),
                properties: properties(reader, fields),
            },
        ),
        PacketType::SubAck | PacketType::UnsubAck => Body::Codes(
            packet_type,
            Codes {
                packet_identifier: fields.number(reader, "packet_identifier"),
                reason_codes: match fields.find("reason_codes") {
                    Some(found) => found.numbers(reader)?,
                    None => Vec::new(),
                },
                properties: properties(reader, fields),
            },
        ),
        PacketType::PingReq | PacketType::PingResp => Body::Empty(packet_type),
    })
}

fn connect(reader: &mut Reader, fields: &Fields<'_, '_>) -> Connect {
    let will = fields.find("will").and_then(|found| found.table(reader));
    Connect {
        protocol_name: fields.bytes(reader, "protocol_name"),
        protocol_level: fields.number(reader, "protocol_level"),
        connect_flags: fields.number(reader, "connect_flags"),
        clean_start: fields.switch(reader, "clean_start"),
        keep_alive: fields.number(reader, "keep_alive"),
        client_id: fields.bytes(reader, "client_id"),
        will: will.map(|fields| Will {
            topic: fields.bytes(reader, "topic"),
            payload: fields.bytes(reader, "payload").unwrap_or_default(),
            qos: fields.number(reader, "qos"),
            retain: fields.switch(reader, "retain"),
            properties: will_properties(reader, &fields),
        }),
        user_name: fields.bytes(reader, "user_name"),
        password: fields.bytes(reader, "password"),
        anonymous: fields.bool(reader, "anonymous").unwrap_or(false),
        properties: properties(reader, fields),
    }
}

/// Topic Filters: a single one, or a list of texts and tables.
fn filters(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Vec<Filter>> {
    let Some(found) = fields.find("filters") else { return Some(Vec::new()) };
    let Some(list) = found.array() else {
        let filter = found.bytes(reader)?;
        return Some(vec![Filter { filter, options: None }]);
    };
    let mut all = Vec::new();
    for (index, node) in list.iter().enumerate() {
        let path = format!("{}[{}]", found.path, index + 1);
        let table = node.get_ref().as_table().filter(|table| table.contains_key("filter"));
        let filter = match table {
            Some(table) => {
                let fields = Fields::new(reader, table, node.span(), path, filter_keys());
                let options = fields.number(reader, "options");
                fields.bytes(reader, "filter").map(|filter| Filter { filter, options })
            }
            None => bytes_of(reader, node, &path).map(|filter| Filter { filter, options: None }),
        };
        all.extend(filter);
    }
    Some(all)
}

fn filter_keys() -> &'static crate::keys::Table {
    let table = crate::keys::TABLES.iter().find(|table| table.name == "filters");
    table.expect("the table of filters is declared")
}

fn properties(reader: &mut Reader, fields: &Fields<'_, '_>) -> Properties {
    let omitted = fields.bool(reader, "omit_properties").unwrap_or(false);
    Properties { omitted, ..will_properties(reader, fields) }
}

fn will_properties(reader: &mut Reader, fields: &Fields<'_, '_>) -> Properties {
    let length = fields.number(reader, "property_length");
    let mut list = Vec::new();
    if let Some(found) = fields.find("properties") {
        match found.array() {
            None => {
                found.wrong::<()>(reader);
            }
            Some(array) => {
                for (index, node) in array.iter().enumerate() {
                    let path = format!("{}[{}]", found.path, index + 1);
                    list.extend(property(reader, node, &path));
                }
            }
        }
    }
    Properties { list, length, omitted: false }
}

fn property(reader: &mut Reader, node: &toml::Spanned<DeValue<'_>>, path: &str) -> Option<Property> {
    const CURE: &str = "write a table with one property, such as { topic_alias = 1 }";
    let Some(table) = node.get_ref().as_table() else {
        reader.mistake(&node.span(), path, CURE);
        return None;
    };
    let mut others = table.iter().filter(|(key, _)| key.get_ref() != "times");
    let (Some((key, value)), None) = (others.next(), others.next()) else {
        reader.mistake(&node.span(), path, CURE);
        return None;
    };
    let (name, below) = (key.get_ref().as_ref(), format!("{path}.{}", key.get_ref()));
    let property = match name {
        "user_property" => {
            match value.get_ref().as_array().map(|pair| pair.iter().collect::<Vec<_>>()).as_deref() {
                Some([name, value]) => {
                    let name = bytes_of(reader, name, &below)?;
                    Property::Pair(name, bytes_of(reader, value, &below)?)
                }
                _ => {
                    reader.mistake(&value.span(), &below, "write a name and a value: [\"name\", \"value\"]");
                    return None;
                }
            }
        }
        "hex" => Property::Hex(hex_of(reader, value, &below)?),
        name => {
            let Some(index) = KINDS.iter().position(|kind| kind.name == name) else {
                let near = nearest(name, KINDS.iter().map(|kind| kind.name));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                reader.mistake(&key.span(), &below, format!("the standard has no such property{near}"));
                return None;
            };
            match KINDS[index].wire {
                Wire::Bytes => Property::Bytes(index, bytes_of(reader, value, &below)?),
                wire => Property::Number(index, number_of(reader, value, &below, wire.max().unwrap_or(0))?),
            }
        }
    };
    match table.get("times") {
        None => Some(property),
        Some(times) => {
            let times = number_of(reader, times, &format!("{path}.times"), BYTES_MAX as u64)?;
            Some(Property::Times(times, Box::new(property)))
        }
    }
}
