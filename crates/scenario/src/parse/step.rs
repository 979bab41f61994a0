//! Steps.

use ungraceful_mqtt::PacketType;

use crate::fields::{Fields, Found, Reader};
use crate::model::{Action, Body, End, FIRST_CLIENT, Field, Sending, Step, WaitFor};
use crate::parse::packet;
use crate::template::{Number, is_of_name};

const ACTIONS: &[&str] = &["open", "connect", "send", "wait_for", "pause", "repeat", "end"];

/// The steps of a table, in order.
pub(super) fn steps(reader: &mut Reader, fields: &Fields<'_, '_>) -> Vec<Step> {
    let tables = fields.tables(reader, "step");
    tables.iter().filter_map(|fields| step(reader, fields)).collect()
}

fn step(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Step> {
    let client = client(reader, fields);
    let split = fields.number(reader, "split");
    let coalesce = fields.bool(reader, "coalesce").unwrap_or(false);
    let provokes = fields.bool(reader, "provokes").unwrap_or(false);
    let action = action(reader, fields)?;
    let sends = matches!(action, Action::Send(_));
    if (split.is_some() || coalesce) && !sends {
        fields.mistake(reader, "split and coalesce apply to send only");
    }
    if provokes && !matches!(action, Action::Send(_) | Action::End(_) | Action::Open) {
        fields.mistake(reader, "provokes applies to send, open and end only");
    }
    Some(Step { client, action, split, coalesce, provokes })
}

/// The client that a table names.
pub(super) fn client(reader: &mut Reader, fields: &Fields<'_, '_>) -> String {
    let Some(found) = fields.find("client") else { return FIRST_CLIENT.to_owned() };
    let name = found.plain(reader).unwrap_or_else(|| FIRST_CLIENT.to_owned());
    if name.is_empty() || name.len() > 8 || !name.chars().all(is_of_name) {
        found.mistake(reader, "a client is named by 1 to 8 lower-case letters, digits and _");
    }
    name
}

fn action(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Action> {
    match fields.only_one_of(reader, ACTIONS)? {
        "open" => {
            if fields.bool(reader, "open") == Some(false) {
                fields.mistake(reader, "write open = true, or leave the step out");
            }
            Some(Action::Open)
        }
        "connect" => {
            let table = fields.find("connect")?.table(reader)?;
            Some(Action::Connect(Box::new(packet::packet(reader, &table, PacketType::Connect)?)))
        }
        "send" => {
            let table = fields.find("send")?.table(reader)?;
            sending(reader, &table).map(|sending| Action::Send(Box::new(sending)))
        }
        "wait_for" => wait_for(reader, &fields.find("wait_for")?),
        "pause" => fields.time(reader, "pause").map(Action::Pause),
        "repeat" => {
            let table = fields.find("repeat")?.table(reader)?;
            let times = table.number(reader, "times");
            let steps = steps(reader, &table);
            if times.is_none() || steps.is_empty() {
                table.mistake(reader, "write { times = 10, step = [{ … }] }: how often, and the steps");
            }
            Some(Action::Repeat(times?, steps))
        }
        _ => end(reader, &fields.find("end")?),
    }
}

fn sending(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<Sending> {
    let name = fields.only_one_of(reader, packet::SENDABLE)?;
    match name {
        "hex" => {
            fields.find("hex")?.hex(reader).map(|text| Sending::Bytes(crate::template::Bytes::Hex(text)))
        }
        "bytes" => fields.bytes(reader, "bytes").map(Sending::Bytes),
        name => {
            let packet_type = packet::type_named(name)?;
            let table = fields.find(name)?.table(reader)?;
            packet::packet(reader, &table, packet_type).map(|packet| Sending::Packet(Box::new(packet)))
        }
    }
}

fn wait_for(reader: &mut Reader, found: &Found<'_, '_>) -> Option<Action> {
    if found.is_string() {
        let packet = packet::type_named(found.word(reader)?)?;
        let times = Number::Fixed(1);
        return Some(Action::WaitFor(WaitFor {
            packet,
            times,
            capture: Vec::new(),
            within: None,
            required: true,
        }));
    }
    let fields = found.table(reader)?;
    let packet = fields.find("packet").and_then(|found| found.word(reader)).and_then(packet::type_named);
    if packet.is_none() && !fields.has("packet") {
        fields.mistake(reader, "packet is missing: which packet to wait for, such as \"PUBACK\"");
    }
    let times = fields.number(reader, "times").unwrap_or(Number::Fixed(1));
    let within = fields.time(reader, "within");
    let required = fields.bool(reader, "required").unwrap_or(true);
    let capture = fields.find("capture").map_or_else(Vec::new, |found| capture(reader, &found));
    Some(Action::WaitFor(WaitFor { packet: packet?, times, capture, within, required }))
}

fn capture(reader: &mut Reader, found: &Found<'_, '_>) -> Vec<(String, Field)> {
    let Some(table) = found.node.get_ref().as_table() else {
        found.wrong::<()>(reader);
        return Vec::new();
    };
    let mut all = Vec::new();
    for (key, node) in table {
        let name = key.get_ref();
        let field =
            node.get_ref().as_str().and_then(|name| Field::ALL.iter().find(|(field, _)| *field == name));
        match field {
            Some((_, field)) if !name.is_empty() && name.chars().all(is_of_name) => {
                all.push((name.to_string(), *field));
            }
            _ => {
                let fields: Vec<&str> = Field::ALL.iter().map(|(name, _)| *name).collect();
                let what = format!("write variable = \"field\"; the fields are {}", fields.join(", "));
                reader.mistake(&node.span(), &format!("{}.{name}", found.path), what);
            }
        }
    }
    all
}

fn end(reader: &mut Reader, found: &Found<'_, '_>) -> Option<Action> {
    if found.is_string() {
        return Some(Action::End(match found.word(reader)? {
            "fin" => End::Fin,
            "rst" => End::Rst,
            "half-close" => End::HalfClose,
            _ => End::StopReading,
        }));
    }
    let fields = found.table(reader)?;
    let Some(disconnect) = fields.find("disconnect") else {
        fields.mistake(reader, "write end = { disconnect = { reason_code = 0x04 } }");
        return None;
    };
    let table = disconnect.table(reader)?;
    let packet = packet::packet(reader, &table, PacketType::Disconnect)?;
    debug_assert!(matches!(packet.body, Body::Reason(..)));
    Some(Action::End(End::Disconnect(Box::new(packet))))
}
