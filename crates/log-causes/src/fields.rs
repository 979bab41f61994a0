//! Extracts ClientID, address and connection name in each broker's format.

use std::borrow::Cow;

use memchr::memmem;

use crate::broker::Broker;

/// ClientIDs that stand for an unknown client.
const UNKNOWN_IDS: [&str; 8] = ["", "UNKNOWN", "<unknown>", "unknown", "(null)", "null", "undefined", "N/A"];

/// The ClientID in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id<'l> {
    /// The ClientID.
    Known(Cow<'l, str>),
    /// The broker says that it is unknown.
    Unknown,
    /// The broker logs the address instead.
    Address(&'l [u8]),
    /// The line has no field for it.
    NotMentioned,
}

/// Parses `captured`, the text of the ClientID field.
pub(crate) fn id(broker: Broker, captured: &[u8]) -> Id<'_> {
    let text = match broker {
        Broker::VerneMq => between(captured, b"<<\"", b"\">>").unwrap_or(if captured == b"{[],<<>>}" {
            b""
        } else {
            captured
        }),
        Broker::FlashMq => between(captured, b"ClientID='", b"'").unwrap_or(captured),
        Broker::Rmqtt => rmqtt_id(captured),
        Broker::Emqx => between(captured, b"<<\"", b"\">>").unwrap_or(captured),
        // `c1 [10.0.0.7:50123]`.
        Broker::Mosquitto if captured.ends_with(b"]") => {
            memmem::rfind(captured, b" [").map_or(captured, |at| &captured[..at])
        }
        _ => captured,
    };
    if broker == Broker::Mosquitto && is_address(text) {
        return Id::Address(text);
    }
    let text = String::from_utf8_lossy(text);
    if UNKNOWN_IDS.contains(&text.as_ref()) { Id::Unknown } else { Id::Known(text) }
}

/// The ClientID when no group of the pattern holds it.
pub(crate) fn id_elsewhere(broker: Broker, text: &[u8]) -> Id<'_> {
    let keys: &[&[u8]] = match broker {
        Broker::Emqx => return emqx(text).0,
        Broker::Rmqtt => {
            return emqx_value(text, b"clientid").map_or(Id::NotMentioned, |found| id(broker, found));
        }
        Broker::Rumqttd => &[b"client_id="],
        Broker::AwsIot => &[b"clientId\\\"", b"clientId\"", b" CLIENTID:", b"MQTTCLIENTID:", b" ClientId:"],
        Broker::AzureEventGrid => &[
            b"clientSessionName\\\"",
            b"clientSessionName\"",
            b"essionName\\\"",
            b"essionName\"",
            b"clientAuthenticationName\\\"",
            b"clientAuthenticationName\"",
            b"lientIdentity\"",
        ],
        Broker::AzureIotHub => &[b"deviceId\\\"", b"deviceId\""],
        Broker::Nats => return nats_id(text),
        Broker::FlashMq => &[b"ClientID="],
        Broker::Moquette => return moquette_id(text),
        _ => &[],
    };
    keys.iter().find_map(|key| value(text, key)).map_or(Id::NotMentioned, |found| id(broker, found))
}

/// The address when no group of the pattern holds it.
pub(crate) fn address_elsewhere(broker: Broker, text: &[u8]) -> Option<&[u8]> {
    let found = match broker {
        Broker::Emqx => emqx(text).1,
        Broker::Rmqtt => emqx_value(text, b"ipaddress").or_else(|| rmqtt_address(text)),
        Broker::AwsIot => value(text, b"ipAddress\"").or_else(|| value(text, b"sourceIp\"")),
        Broker::Artemis => {
            let at = memmem::find(text, b" from /")? + b" from /".len();
            Some(word(&text[at..]))
        }
        Broker::Nats => nats_prefix(text).map(|(address, _)| address),
        Broker::Moquette => between(text, b" R:", b"]"),
        Broker::FlashMq => between(text, b"address='", b"'"),
        _ => None,
    }?;
    Some(address(found)).filter(|address| !address.is_empty())
}

/// The client's port when it stands apart from the address.
pub(crate) fn port_elsewhere(broker: Broker, text: &[u8]) -> Option<&[u8]> {
    let found = if broker == Broker::AwsIot { value(text, b"sourcePort\"") } else { None };
    found.filter(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
}

/// The client's end of a connection name: `/10.0.0.7:50123`, `<<"10.0.0.7:50123 -> 10.0.0.1:1883">>`,
/// `address='10.0.0.7', transport=…`.
pub(crate) fn address(named: &[u8]) -> &[u8] {
    let named = between(named, b"address='", b"'").unwrap_or(named);
    let start = named
        .iter()
        .position(|byte| !matches!(byte, b'<' | b'"' | b'\'' | b'/' | b'\\' | b' '))
        .unwrap_or(named.len());
    let named = &named[start..];
    let end = named
        .iter()
        .position(|byte| matches!(byte, b' ' | b'"' | b'\'' | b'>' | b',' | b')'))
        .unwrap_or(named.len());
    let end = named[..end].iter().rposition(|byte| !matches!(byte, b'.' | b';')).map_or(0, |at| at + 1);
    &named[..end]
}

/// The broker's own name for the connection, such as RabbitMQ's process: `[info] <0.724.0>`. Absent for other brokers.
pub(crate) fn handle(broker: Broker, text: &[u8]) -> Option<&[u8]> {
    if broker != Broker::RabbitMq {
        return None;
    }
    let at = memmem::find(&text[..text.len().min(120)], b"] <")? + 2;
    let end = memchr::memchr(b'>', &text[at..])?;
    Some(&text[at..=at + end])
}

/// The same in the object around the broker's text: the JSON of RabbitMQ and VerneMQ has the process in a field of its own.
pub(crate) fn handle_around(broker: Broker, object: &[u8]) -> Option<&[u8]> {
    matches!(broker, Broker::RabbitMq | Broker::VerneMq)
        .then(|| value(object, b"\"pid\""))
        .flatten()
        .filter(|pid| pid.starts_with(b"<"))
}

/// Headers of EMQX before the text of a line, which follow the client.
const EMQX_HEADERS: [&[u8]; 4] = [b" [Session]", b" [MQTT", b" [Channel]", b" [Protocol]"];

/// The ClientID and the address in a line of EMQX: `clientid: c1, … peername: 10.0.0.7:50123`, `"clientid":"c1"`,
/// `[info] c1@10.0.0.7:50123 …`, `Client(c1@10.0.0.7:50123): …`, `Session(c1): …`. An address alone means that no
/// ClientID is known yet, except in EMQ 2.
fn emqx(text: &[u8]) -> (Id<'_>, Option<&[u8]>) {
    let id = |found| id(Broker::Emqx, found);
    if let Some(at) = memmem::find(text, b"Client(") {
        let rest = &text[at + b"Client(".len()..];
        let named = &rest[..memmem::find(rest, b"): ").unwrap_or(0)];
        return match memchr::memrchr(b'@', named) {
            Some(at) => (id(&named[..at]), Some(&named[at + 1..])),
            None => (Id::NotMentioned, Some(named)),
        };
    }
    for named in [&b"Session("[..], b"SM("] {
        if let Some(found) = between(text, named, b"): ") {
            return (id(found), None);
        }
    }
    let peer = [&b"peername"[..], b"peer_host", b"peerhost", b"ipaddress"];
    let peer = peer.iter().find_map(|key| emqx_value(text, key)).filter(|peer| !peer.is_empty());
    if let Some(found) = emqx_value(text, b"clientid") {
        return (id(found), peer);
    }
    if peer.is_some() {
        return (Id::Unknown, peer);
    }
    let Some(at) = memmem::find(text, b"] ") else { return (Id::NotMentioned, None) };
    let rest = text[at + b"] ".len()..].trim_ascii_start();
    for at in memchr::memchr_iter(b'@', &rest[..rest.len().min(FIELD_LOOK_AT_MAX)]) {
        let address = word(&rest[at + 1..]);
        if is_address(address) {
            return (id(&rest[..at]), Some(address));
        }
    }
    if is_address(word(rest)) {
        return (Id::Unknown, Some(word(rest)));
    }
    let header = EMQX_HEADERS.iter().filter_map(|header| memmem::find(rest, header)).min();
    let named = header.map(|at| &rest[..at]).filter(|named| !named.is_empty() && !named.contains(&b' '));
    (named.map_or(Id::NotMentioned, id), None)
}

/// Bytes at the start of a line that may contain the client.
const FIELD_LOOK_AT_MAX: usize = 400;

/// The value of a key of EMQX: `clientid: c 1, msg: …`, `"clientid":"c1"`, `clientid => <<"c1">>`, `clientid=c1 …`.
fn emqx_value<'l>(text: &'l [u8], key: &[u8]) -> Option<&'l [u8]> {
    // Not a longer key, nor a placeholder: `from_clientid`, `${clientid}`.
    let is_whole = |at: &usize| {
        *at == 0 || !matches!(text[at - 1], b'_' | b'a'..=b'z' | b'.') && !text[..*at].ends_with(b"${")
    };
    let at = memmem::find_iter(text, key).find(is_whole)? + key.len();
    let rest = &text[at..];
    // `{clientid,<<"c1">>}`.
    if let Some(value) = rest.strip_prefix(b",<<\"") {
        return Some(&value[..memchr::memchr(b'"', value).unwrap_or(value.len())]);
    }
    let is_mark = |byte: &u8| matches!(byte, b'"' | b':' | b'=' | b'>' | b'<' | b' ' | b'\\' | b'\'');
    let start = rest.iter().position(|byte| !is_mark(byte)).unwrap_or(rest.len());
    let marks = &rest[..start];
    if !marks.iter().any(|byte| matches!(byte, b':' | b'=')) {
        return None;
    }
    let value = &rest[start..];
    let is_quoted = marks.ends_with(b"\"") || marks.ends_with(b"'");
    if marks.ends_with(b": \"\",") || marks.ends_with(b":\"\"") {
        return Some(b"");
    }
    let end = if is_quoted {
        value.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'\\'))
    } else if marks.ends_with(b"=") {
        value.iter().position(|byte| matches!(byte, b',' | b' ' | b')'))
    } else {
        memmem::find(value, b", ").into_iter().chain(memchr::memchr2(b'}', b'"', value)).min()
    };
    Some(value[..end.unwrap_or(value.len())].trim_ascii_end())
}

/// `1@10.0.0.1:1883/10.0.0.7:50123/c1/user`, or `c1@10.0.0.7`.
fn rmqtt_id(captured: &[u8]) -> &[u8] {
    let mut parts = captured.split(|byte| *byte == b'/');
    match parts.nth(2) {
        Some(id) => id,
        None => captured.split(|byte| *byte == b'@').next().unwrap_or(captured),
    }
}

/// The client's address in `1@10.0.0.1:1883/10.0.0.7:50123/c1/user`.
fn rmqtt_address(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memchr(b'@', text)?;
    text[at..].split(|byte| *byte == b'/').nth(1).filter(|address| is_address(address))
}

/// `10.0.0.7:50123 - mid:5 - "c1" - …`: the address, and the text from the number on; over WebSocket `mid_ws:5`.
fn nats_prefix(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memmem::find(text, b" - mid")?;
    let rest = &text[at + b" - mid".len()..];
    let rest = rest.strip_prefix(b"_ws").unwrap_or(rest).strip_prefix(b":")?;
    let start = memchr::memrchr(b' ', &text[..at]).map_or(0, |blank| blank + 1);
    Some((&text[start..at], rest))
}

fn nats_id(text: &[u8]) -> Id<'_> {
    let said = nats_prefix(text).and_then(|(_, rest)| {
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        rest[digits..].strip_prefix(b" - ")
    });
    match said {
        Some([b'"', rest @ ..]) => match memchr::memchr(b'"', rest) {
            Some(end) => id(Broker::Nats, &rest[..end]),
            None => Id::NotMentioned,
        },
        // The name is part of the prefix since the CONNECT.
        Some(said) if memmem::find(said, b"connection closed: ").is_some_and(|at| at < 8) => Id::Unknown,
        _ => Id::NotMentioned,
    }
}

/// `[id: 0x1f7483be, L:/10.0.0.1:1883 - R:/10.0.0.7:50123][c1][PUBLISH]`: the text in the second brackets, unless it is the packet.
fn moquette_id(text: &[u8]) -> Id<'_> {
    const PACKETS: [&[u8]; 6] = [b"CONNECT", b"PUBLISH", b"SUBSCRIBE", b"DISCONNECT", b"PINGREQ", b"CONNACK"];
    let behind = memmem::find(text, b" R:").map(|at| &text[at..]);
    match behind.and_then(|text| between(text, b"][", b"]")) {
        Some(name) if !PACKETS.contains(&name) => id(Broker::Moquette, name),
        _ => Id::NotMentioned,
    }
}

fn between<'l>(text: &'l [u8], before: &[u8], after: &[u8]) -> Option<&'l [u8]> {
    let from = memmem::find(text, before)? + before.len();
    let length = memmem::find(&text[from..], after)?;
    Some(&text[from..from + length])
}

fn word(text: &[u8]) -> &[u8] {
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    &text[..end]
}

/// The value of `key`: `clientid: c1,`, `"clientid":"c1"`, `client_id=c1`, `client_id="c1"`.
pub(crate) fn value<'l>(text: &'l [u8], key: &[u8]) -> Option<&'l [u8]> {
    let at = memmem::find(text, key)? + key.len();
    let rest = &text[at..];
    let start = rest.iter().position(|byte| !matches!(byte, b'"' | b':' | b'=' | b' ' | b'\\' | b'\''))?;
    let is_quoted = start > 0 && matches!(rest[start - 1], b'"' | b'\'');
    // Within a text of JSON the quotes are escaped.
    let is_escaped = is_quoted && start > 1 && rest[start - 2] == b'\\';
    let rest = &rest[start..];
    let ends = |byte: &u8| {
        if is_quoted {
            matches!(byte, b'"' | b'\'') || (is_escaped && *byte == b'\\')
        } else {
            matches!(byte, b',' | b' ' | b'}' | b'"' | b']')
        }
    };
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether this is an IP address, with or without a port.
fn is_address(text: &[u8]) -> bool {
    // A quick check that rejects most ClientIDs.
    let begins_as_one =
        text.first().is_some_and(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b':'));
    if !begins_as_one || !text.iter().any(|byte| matches!(byte, b'.' | b':')) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else { return false };
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Id, address, address_elsewhere, handle, handle_around, id, id_elsewhere};
    use crate::broker::Broker;

    fn known(id: Id<'_>) -> String {
        match id {
            Id::Known(id) => id.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_client_id_is_read_in_each_brokers_format() {
        let captured = [
            (Broker::VerneMq, r#"{[],<<"c1">>}"#),
            (Broker::FlashMq, "[ConnType='MQTTv5', ClientID='c1', username='', fd=20]"),
            (Broker::Rmqtt, "1@10.0.0.1:1883/10.0.0.7:50123/c1/bob"),
            (Broker::Rmqtt, "c1@10.0.0.7"),
            (Broker::Mosquitto, "c1 [10.0.0.7:50123]"),
            (Broker::HiveMq, "c1"),
        ];
        for (broker, text) in captured {
            assert_eq!(known(id(broker, text.as_bytes())), "c1", "{broker} {text}");
        }
        let lines = [
            (Broker::Emqx, "[info] clientid: c1, msg: terminate, peername: 10.0.0.7:50123"),
            (Broker::Emqx, r#"{"msg":"terminate","clientid":"c1","peername":"10.0.0.7:50123"}"#),
            (Broker::Nats, r#"[1] 2026/11/24 23:14:00.7 [ERR] 127.0.0.1:52038 - mid:23 - "c1" - received"#),
            (Broker::Rumqttd, "remote_link{client_id=c1}: x"),
            (Broker::AwsIot, r#"{ "clientId": "c1", "disconnectReason": "UNKNOWN" }"#),
        ];
        for (broker, line) in lines {
            assert_eq!(known(id_elsewhere(broker, line.as_bytes())), "c1", "{broker} {line}");
        }
        assert_eq!(id_elsewhere(Broker::Nats, b"127.0.0.1:1 - mid:28 - the first packet"), Id::NotMentioned);
        assert_eq!(id_elsewhere(Broker::Nats, b"127.0.0.1:1 - mid:28 - \"\" - the first"), Id::Unknown);
        let closed = b"127.0.0.1:1 - mid:28 - Client connection closed: Read Error";
        assert_eq!(id_elsewhere(Broker::Nats, closed), Id::Unknown);
        assert_eq!(known(id_elsewhere(Broker::Nats, b"127.0.0.1:1 - mid_ws:28 - \"c1\" - x")), "c1");
    }

    #[test]
    fn placeholders_for_an_unknown_client_id_are_recognised() {
        assert_eq!(id(Broker::HiveMq, b"UNKNOWN"), Id::Unknown);
        assert_eq!(id(Broker::Mosquitto, b"<unknown>"), Id::Unknown);
        assert_eq!(id(Broker::VerneMq, b"{[],<<>>}"), Id::Unknown);
        assert_eq!(id(Broker::Mosquitto, b"10.0.0.7:50123"), Id::Address(b"10.0.0.7:50123"));
        assert_eq!(id(Broker::Mosquitto, b"[::1]:50123"), Id::Address(b"[::1]:50123"));
    }

    #[test]
    fn addresses_are_extracted_without_their_surroundings() {
        let named: [&[u8]; 6] = [
            b"<<\"10.0.0.7:50123 -> 10.0.0.1:1883\">>",
            b"10.0.0.7:50123 -> 10.0.0.1:1883",
            b"/10.0.0.7:50123",
            b"\"10.0.0.7:50123 -> 10.0.0.1:1883\"",
            b"10.0.0.7:50123.",
            b"address='10.0.0.7:50123', transport='TCP/MQTT'",
        ];
        for text in named {
            assert_eq!(address(text), b"10.0.0.7:50123");
        }
        let from = b"Did not receive data from /10.0.0.7:50123 within";
        assert_eq!(address_elsewhere(Broker::Artemis, from), Some(&b"10.0.0.7:50123"[..]));
        let line = b"2026-11-24 23:14:04.064964+00:00 [info] <0.724.0> accepting MQTT connection <0.724.0> (";
        assert_eq!(handle(Broker::RabbitMq, line), Some(&b"<0.724.0>"[..]));
        let object = br#"{"level":"info","msg":"closing","line":7,"pid":"<0.724.0>"}"#;
        assert_eq!(handle_around(Broker::RabbitMq, object), Some(&b"<0.724.0>"[..]));
        assert_eq!(handle_around(Broker::Emqx, object), None);
    }
}
