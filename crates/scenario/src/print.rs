//! Writes a scenario as [`parse()`](crate::parse()) reads it, in a form that people can go on editing.

use std::fmt::Write;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::expectation::{Expected, Publication};

use crate::fields::write_time;
use crate::model::{
    Action, Body, Case, Codes, Connect, End, Expect, FIRST_CLIENT, Filter, Force, ONLY_CASE, Packet,
    Parameter, Properties, Property, Publish, Reason, RemainingLength, Requires, Scenario, Sending, Step,
    Subscribe, Switch, WaitFor, Will,
};
use crate::properties::KINDS;
use crate::template::{Bytes, Number, Value};

/// A line that is longer than this is split where the language allows it.
const LINE_MAX: usize = 110;

/// The scenario as TOML.
#[must_use]
pub fn print(scenario: &Scenario) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _infallible = writeln!(out, "{key} = {value}");
    };
    line("id", quoted(&scenario.id));
    line("about", quoted(&scenario.about));
    if !scenario.notes.is_empty() {
        line("notes", quoted(&scenario.notes));
    }
    line("versions", versions(&scenario.versions));
    if scenario.requires != Requires::default() {
        line("requires", requires(&scenario.requires));
    }
    for report in &scenario.reports {
        let _infallible = write!(
            out,
            "\n[[report]]\nname = {}\nbroker = {}\n",
            quoted(&report.name),
            quoted(&report.broker)
        );
    }
    for step in &scenario.steps {
        block(&mut out, "step", &step_keys(step));
    }
    for expect in &scenario.expects {
        block(&mut out, "expect", &expect_keys(expect));
    }
    if scenario.cases != [Case::only()] {
        scenario.cases.iter().for_each(|of| case(&mut out, of));
    }
    out
}

fn case(out: &mut String, case: &Case) {
    let mut keys =
        vec![("name".to_owned(), quoted(if case.name.is_empty() { ONLY_CASE } else { &case.name }))];
    if !case.versions.is_empty() {
        keys.push(("versions".to_owned(), versions(&case.versions)));
    }
    if case.requires != Requires::default() {
        keys.push(("requires".to_owned(), requires(&case.requires)));
    }
    for (name, parameter) in &case.parameters {
        let value = match parameter {
            Parameter::Bytes(value) => bytes(value),
            Parameter::Value(Value::Number(number)) => number.to_string(),
            Parameter::Value(Value::Switch(switch)) => switch.to_string(),
            Parameter::Value(Value::Bytes(raw)) => {
                format!("{{ hex = \"{}\" }}", crate::template::write_hex(raw))
            }
        };
        keys.push((name.clone(), value));
    }
    block(out, "case", &keys);
    for step in &case.steps {
        block(out, "case.step", &step_keys(step));
    }
    for expect in &case.expects {
        block(out, "case.expect", &expect_keys(expect));
    }
}

type Keys = Vec<(String, String)>;

fn block(out: &mut String, name: &str, keys: &[(String, String)]) {
    let _infallible = writeln!(out, "\n[[{name}]]");
    for (key, value) in keys {
        let _infallible = writeln!(out, "{key} = {value}");
    }
}

/// An inline table; on several lines where it is long (TOML 1.1 allows this).
fn table(keys: &[(String, String)]) -> String {
    if keys.is_empty() {
        return "{}".to_owned();
    }
    let fields: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let length: usize = items.iter().map(|item| item.len() + 2).sum();
    if length <= LINE_MAX || items.len() < 2 {
        return format!("[{}]", items.join(", "));
    }
    format!("[\n  {},\n]", items.join(",\n  "))
}

fn step_keys(step: &Step) -> Keys {
    let mut keys = Keys::new();
    let mut push = |key: &str, value: String| keys.push((key.to_owned(), value));
    if step.client != FIRST_CLIENT {
        push("client", quoted(&step.client));
    }
    match &step.action {
        Action::Open => push("open", "true".to_owned()),
        Action::Connect(connect) => push("connect", packet(connect)),
        Action::Send(sending) => push("send", sent(sending)),
        Action::WaitFor(wait) => push("wait_for", wait_for(wait)),
        Action::Pause(time) => push("pause", quoted(&write_time(*time))),
        Action::Repeat(times, steps) => {
            let steps = steps.iter().map(|step| table(&step_keys(step)));
            push("repeat", format!("{{ times = {}, step = {} }}", number(times), list(steps)));
        }
        Action::End(End::Fin) => push("end", quoted("fin")),
        Action::End(End::Rst) => push("end", quoted("rst")),
        Action::End(End::HalfClose) => push("end", quoted("half-close")),
        Action::End(End::StopReading) => push("end", quoted("stop-reading")),
        Action::End(End::Disconnect(disconnect)) => {
            push("end", format!("{{ disconnect = {} }}", packet(disconnect)));
        }
    }
    if let Some(split) = &step.split {
        push("split", number(split));
    }
    if step.coalesce {
        push("coalesce", "true".to_owned());
    }
    if step.provokes {
        push("provokes", "true".to_owned());
    }
    keys
}

fn sent(sending: &Sending) -> String {
    match sending {
        Sending::Bytes(Bytes::Hex(text)) => format!("{{ hex = {} }}", quoted(&text.to_string())),
        Sending::Bytes(other) => format!("{{ bytes = {} }}", bytes(other)),
        Sending::Packet(of) => {
            format!("{{ {} = {} }}", of.body.packet_type().name().to_ascii_lowercase(), packet(of))
        }
    }
}

fn wait_for(wait: &WaitFor) -> String {
    let packet = quoted(wait.packet.name());
    if wait.times == Number::Fixed(1) && wait.capture.is_empty() && wait.within.is_none() && wait.required {
        return packet;
    }
    let mut keys = vec![("packet".to_owned(), packet)];
    if wait.times != Number::Fixed(1) {
        keys.push(("times".to_owned(), number(&wait.times)));
    }
    if !wait.capture.is_empty() {
        let fields: Keys =
            wait.capture.iter().map(|(name, field)| (name.clone(), quoted(field.name()))).collect();
        keys.push(("capture".to_owned(), table(&fields)));
    }
    keys.extend(wait.within.map(|within| ("within".to_owned(), quoted(&write_time(within)))));
    if !wait.required {
        keys.push(("required".to_owned(), "false".to_owned()));
    }
    table(&keys)
}

/// Collects the keys that are present.
#[derive(Default)]
struct Present(Keys);

impl Present {
    fn add(&mut self, key: &str, value: Option<String>) {
        self.0.extend(value.map(|value| (key.to_owned(), value)));
    }

    fn number(&mut self, key: &str, value: Option<&Number>) {
        self.add(key, value.map(number));
    }

    fn bytes(&mut self, key: &str, value: Option<&Bytes>) {
        self.add(key, value.map(bytes));
    }

    fn switch(&mut self, key: &str, value: Option<&Switch>) {
        self.add(
            key,
            value.map(|switch| match switch {
                Switch::Fixed(value) => value.to_string(),
                Switch::Variable(name) => quoted(&format!("{{{name}}}")),
            }),
        );
    }

    fn flag(&mut self, key: &str, is_set: bool) {
        self.add(key, is_set.then(|| "true".to_owned()));
    }

    fn properties(&mut self, properties: &Properties) {
        if !properties.list.is_empty() {
            self.add("properties", Some(list(properties.list.iter().map(property))));
        }
        self.number("property_length", properties.length.as_ref());
        self.flag("omit_properties", properties.omitted);
    }
}

fn packet(packet: &Packet) -> String {
    let mut keys = Present::default();
    match &packet.body {
        Body::Connect(connect) => connect_keys(&mut keys, connect),
        Body::Publish(publish) => publish_keys(&mut keys, publish),
        Body::Subscribe(subscribe) => subscribe_keys(&mut keys, subscribe),
        Body::Ack(_, ack) => {
            keys.number("packet_identifier", ack.packet_identifier.as_ref());
            keys.number("reason_code", ack.reason_code.as_ref());
            keys.properties(&ack.properties);
        }
        Body::Reason(_, Reason { reason_code, session_present, properties }) => {
            keys.number("reason_code", reason_code.as_ref());
            keys.switch("session_present", session_present.as_ref());
            keys.properties(properties);
        }
        Body::Codes(_, Codes { packet_identifier, reason_codes, properties }) => {
            keys.number("packet_identifier", packet_identifier.as_ref());
            if !reason_codes.is_empty() {
                keys.add("reason_codes", Some(list(reason_codes.iter().map(number))));
            }
            keys.properties(properties);
        }
        Body::Empty(_) => {}
    }
    keys.number("flags", packet.flags.as_ref());
    keys.add("remaining_length", packet.remaining_length.as_ref().map(remaining_length));
    keys.number("truncate", packet.truncate.as_ref());
    keys.bytes("append", packet.append.as_ref());
    keys.number("cut", packet.cut.as_ref());
    table(&keys.0)
}

fn remaining_length(length: &RemainingLength) -> String {
    match length {
        RemainingLength::Claimed(length) => number(length),
        RemainingLength::Padded(width) => format!("{{ padded = {} }}", number(width)),
        RemainingLength::Bytes(Bytes::Hex(text)) => format!("{{ hex = {} }}", quoted(&text.to_string())),
        RemainingLength::Bytes(other) => bytes(other),
    }
}

fn connect_keys(keys: &mut Present, connect: &Connect) {
    keys.bytes("protocol_name", connect.protocol_name.as_ref());
    keys.number("protocol_level", connect.protocol_level.as_ref());
    keys.number("connect_flags", connect.connect_flags.as_ref());
    keys.switch("clean_start", connect.clean_start.as_ref());
    keys.number("keep_alive", connect.keep_alive.as_ref());
    keys.bytes("client_id", connect.client_id.as_ref());
    keys.add("will", connect.will.as_ref().map(will));
    keys.bytes("user_name", connect.user_name.as_ref());
    keys.bytes("password", connect.password.as_ref());
    keys.flag("anonymous", connect.anonymous);
    keys.properties(&connect.properties);
}

fn will(will: &Will) -> String {
    let mut keys = Present::default();
    keys.bytes("topic", will.topic.as_ref());
    keys.bytes("payload", Some(&will.payload).filter(|bytes| **bytes != Bytes::default()));
    keys.number("qos", will.qos.as_ref());
    keys.switch("retain", will.retain.as_ref());
    keys.properties(&will.properties);
    table(&keys.0)
}

fn publish_keys(keys: &mut Present, publish: &Publish) {
    keys.bytes("topic", Some(&publish.topic).filter(|bytes| **bytes != Bytes::default()));
    keys.number("qos", publish.qos.as_ref());
    keys.switch("dup", publish.dup.as_ref());
    keys.switch("retain", publish.retain.as_ref());
    keys.number("packet_identifier", publish.packet_identifier.as_ref());
    keys.bytes("payload", Some(&publish.payload).filter(|bytes| **bytes != Bytes::default()));
    keys.properties(&publish.properties);
}

fn subscribe_keys(keys: &mut Present, subscribe: &Subscribe) {
    keys.number("packet_identifier", subscribe.packet_identifier.as_ref());
    if !subscribe.filters.is_empty() {
        keys.add("filters", Some(list(subscribe.filters.iter().map(filter))));
    }
    keys.properties(&subscribe.properties);
}

fn filter(filter: &Filter) -> String {
    match &filter.options {
        None => bytes(&filter.filter),
        Some(options) => format!("{{ filter = {}, options = {} }}", bytes(&filter.filter), number(options)),
    }
}

fn property(property: &Property) -> String {
    format!("{{ {} }}", property_key(property))
}

fn property_key(property: &Property) -> String {
    match property {
        Property::Number(index, value) => format!("{} = {}", KINDS[*index].name, number(value)),
        Property::Bytes(index, value) => format!("{} = {}", KINDS[*index].name, bytes(value)),
        Property::Pair(name, value) => format!("user_property = [{}, {}]", bytes(name), bytes(value)),
        Property::Hex(text) => format!("hex = {}", quoted(&text.to_string())),
        Property::Times(times, property) => format!("{}, times = {}", property_key(property), number(times)),
    }
}

fn expect_keys(expect: &Expect) -> Keys {
    let (key, value) = match &expect.what {
        Expected::Closes => ("closes", "true".to_owned()),
        Expected::Stays => ("stays", "true".to_owned()),
        Expected::Disconnect(list) => ("disconnect", codes(list)),
        Expected::Connack(list) => ("connack", codes(list)),
        Expected::Answers { packet, codes } if codes.is_empty() => ("answers", quoted(packet)),
        Expected::Answers { packet, codes: list } => {
            ("answers", format!("{{ packet = {}, codes = {} }}", quoted(packet), codes(list)))
        }
        Expected::Receives(packets) => ("receives", list(packets.iter().map(|packet| quoted(packet)))),
        Expected::Will(Publication::Published) => ("will", quoted("published")),
        Expected::Will(Publication::Withheld) => ("will", quoted("withheld")),
        Expected::Delivers { client, count } => {
            ("delivers", format!("{{ client = {}, count = {count} }}", quoted(client)))
        }
    };
    let mut keys = vec![(key.to_owned(), value)];
    let (key, value) = match &expect.force {
        Force::Must(of) => ("must", statements(of)),
        Force::Should(place) => ("should", quoted(place)),
        Force::May(place) => ("may", quoted(place)),
        Force::Prose(place) => ("prose", quoted(place)),
    };
    keys.push((key.to_owned(), value));
    if !expect.versions.is_empty() {
        keys.push(("versions".to_owned(), versions(&expect.versions)));
    }
    keys
}

fn statements(all: &[Statement]) -> String {
    let of = |version: ProtocolVersion| match version {
        ProtocolVersion::V5 => "v5",
        ProtocolVersion::V3_1_1 => "v311",
    };
    let keys: Keys =
        all.iter().map(|statement| (of(statement.version).to_owned(), quoted(statement.id))).collect();
    table(&keys)
}

fn codes(codes: &[u8]) -> String {
    list(codes.iter().map(|code| format!("0x{code:02X}")))
}

fn versions(versions: &[ProtocolVersion]) -> String {
    list(versions.iter().map(|version| quoted(&version.to_string())))
}

fn requires(requires: &Requires) -> String {
    let mut keys = Present::default();
    let text = |value: Option<bool>| value.map(|value| value.to_string());
    keys.add("retain_available", text(requires.retain_available));
    keys.add("wildcard_subscription_available", text(requires.wildcard_subscription_available));
    keys.add("shared_subscription_available", text(requires.shared_subscription_available));
    keys.add("subscription_identifiers_available", text(requires.subscription_identifiers_available));
    keys.add("qos", requires.qos.map(|qos| qos.to_string()));
    keys.add("qos_below", requires.qos_below.map(|qos| qos.to_string()));
    keys.add("maximum_packet_size", text(requires.maximum_packet_size));
    keys.add("topic_alias", text(requires.topic_alias));
    table(&keys.0)
}

fn number(number: &Number) -> String {
    match number {
        Number::Fixed(value) => value.to_string(),
        Number::Variable(..) => quoted(&number.to_string()),
    }
}

fn bytes(value: &Bytes) -> String {
    match value {
        Bytes::Text(text) => quoted(&text.to_string()),
        Bytes::Hex(text) => format!("{{ hex = {} }}", quoted(&text.to_string())),
        Bytes::Repeat(text, times) => {
            format!("{{ repeat = {}, times = {} }}", quoted(&text.to_string()), number(times))
        }
        Bytes::Random(length) => format!("{{ random = {} }}", number(length)),
        Bytes::Joined(parts) => list(parts.iter().map(bytes)),
    }
}

/// Bytes as they are written.
pub(crate) fn quoted_bytes(value: &Bytes) -> String {
    bytes(value)
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() => {
                let _infallible = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
