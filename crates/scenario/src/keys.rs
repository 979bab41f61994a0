//! Every key of the language: its shape and its meaning, once. The parser, the reference and the JSON Schema read them here.

use crate::properties::{KINDS, Wire};

/// A table of the language.
#[derive(Debug)]
pub struct Table {
    /// Its name in the reference.
    pub name: &'static str,
    /// Its meaning.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value may be: any of these.
    pub shapes: &'static [Shape],
    /// Its meaning.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// A string without variables.
    Plain,
    /// A list of such strings.
    Plains,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A list of these strings.
    Words(&'static [&'static str]),
    /// Bytes: a string, `{ hex = … }`, `{ repeat = …, times = … }`, `{ random = … }`, or a list of these.
    Bytes,
    /// A string of hexadecimal digits.
    Hex,
    /// A whole number up to this, or a variable.
    Number(u64),
    /// A list of such numbers.
    Numbers(u64),
    /// `true` or `false`.
    Bool,
    /// `true`, `false`, or a variable.
    Switch,
    /// A time with its unit, such as `"2s"`.
    Time,
    /// A table.
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
    /// A list of properties: tables with one key each.
    Properties,
    /// Names of variables, each with the field that it takes.
    Capture,
    /// A statement, or one for each version: `{ v5 = "MQTT-3.1.0-2", v311 = "MQTT-3.1.0-2" }`.
    Statement,
    /// Any further keys: the parameters of a case.
    Parameters,
}

const fn key(name: &'static str, shapes: &'static [Shape], about: &'static str) -> Key {
    Key { name, shapes, about }
}

const BYTE: u64 = u8::MAX as u64;
const TWO_BYTES: u64 = u16::MAX as u64;
const FOUR_BYTES: u64 = u32::MAX as u64;
/// The versions as they are written.
pub const VERSIONS: &[&str] = &["3.1.1", "5.0"];
/// The packets that a client can wait for or be answered with.
pub const PACKETS: &[&str] = &[
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBACK",
    "UNSUBACK",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// A whole scenario.
pub static SCENARIO: Table = Table {
    name: "Scenario",
    about: "A file has one scenario.",
    keys: &[
        key("id", &[Shape::Plain], "Name: lower-case words with hyphens. Also the name of the file"),
        key("about", &[Shape::Plain], "What the client does, in one line"),
        key("notes", &[Shape::Plain], "More about it, such as where it was seen"),
        key("versions", &[Shape::Words(VERSIONS)], "Versions of MQTT that it applies to; both by default"),
        key(
            "requires",
            &[Shape::Table(&REQUIRES)],
            "What the broker must announce in its CONNACK; the scenario is skipped otherwise",
        ),
        key("report", &[Shape::Tables(&REPORT)], "Public reports that it reproduces"),
        key("case", &[Shape::Tables(&CASE)], "Cases: parameters, and steps and expectations of their own"),
        key("step", &[Shape::Tables(&STEP)], "The steps of every case, in order"),
        key("expect", &[Shape::Tables(&EXPECT)], "What is expected of the broker in every case"),
    ],
};

static REQUIRES: Table = Table {
    name: "requires",
    about: "Limits that the broker announces. MQTT 3.1.1 has no such limits; what a broker announces in 5.0 counts for both.",
    keys: &[
        key("retain_available", &[Shape::Bool], "Whether retained messages are supported"),
        key("wildcard_subscription_available", &[Shape::Bool], "Whether wildcards are supported"),
        key("shared_subscription_available", &[Shape::Bool], "Whether Shared Subscriptions are supported"),
        key(
            "subscription_identifiers_available",
            &[Shape::Bool],
            "Whether Subscription Identifiers are supported",
        ),
        key("qos", &[Shape::Number(2)], "A QoS that the broker must support"),
        key("qos_below", &[Shape::Number(2)], "A QoS that the broker must not support"),
        key("maximum_packet_size", &[Shape::Bool], "Whether a Maximum Packet Size is announced"),
        key("topic_alias", &[Shape::Bool], "Whether a Topic Alias Maximum above 0 is announced"),
    ],
};

static REPORT: Table = Table {
    name: "report",
    about: "A public report that the scenario reproduces.",
    keys: &[
        key("name", &[Shape::Plain], "Its name, such as a CVE number"),
        key("broker", &[Shape::Plain], "The broker and its versions"),
    ],
};

static CASE: Table = Table {
    name: "case",
    about: "A variant of the scenario. Every other key is a parameter: `{key}` stands for its value in steps. A parameter is text, \
            a number, a switch, or bytes.",
    keys: &[
        key("name", &[Shape::Plain], "Name: lower-case words with hyphens"),
        key("versions", &[Shape::Words(VERSIONS)], "Versions of MQTT; those of the scenario by default"),
        key(
            "requires",
            &[Shape::Table(&REQUIRES)],
            "What the broker must announce besides, as for the scenario; the case is skipped otherwise",
        ),
        key("step", &[Shape::Tables(&STEP)], "Steps that follow those of the scenario"),
        key("expect", &[Shape::Tables(&EXPECT)], "Expectations besides those of the scenario"),
        key("…", &[Shape::Parameters], "A parameter"),
    ],
};

/// A step.
pub static STEP: Table = Table {
    name: "step",
    about: "Exactly one of `open`, `connect`, `send`, `wait_for`, `pause`, `repeat` and `end`. A client is named by its first step. \
            After the last step, the broker is watched until it ends the connection or the reaction timeout is over.",
    keys: &[
        key("client", &[Shape::Plain], "The client; `c` by default"),
        key("open", &[Shape::Bool], "Opens a Network Connection and sends nothing"),
        key(
            "connect",
            &[Shape::Table(&CONNECT)],
            "Opens a Network Connection, sends CONNECT, and waits until it is accepted",
        ),
        key(
            "send",
            &[Shape::Table(&SEND)],
            "Sends a packet or bytes. Opens a Network Connection if there is none",
        ),
        key("wait_for", &[Shape::Word(PACKETS), Shape::Table(&WAIT_FOR)], "Waits for a packet"),
        key("pause", &[Shape::Time], "Does nothing for this time"),
        key("repeat", &[Shape::Table(&REPEAT)], "Carries out steps several times"),
        key(
            "end",
            &[Shape::Word(&["fin", "rst", "half-close", "stop-reading"]), Shape::Table(&END)],
            "Ends the connection: FIN, RST, FIN but reads on, or reads no more; or sends DISCONNECT, then FIN",
        ),
        key("split", &[Shape::Number(TWO_BYTES)], "Sends so many bytes per segment"),
        key("coalesce", &[Shape::Bool], "Sends the bytes together with those of the next step"),
        key(
            "provokes",
            &[Shape::Bool],
            "Reaction times count from this step. By default, the last step that sends or ends",
        ),
    ],
};

static SEND: Table = Table {
    name: "send",
    about: "One packet or bytes. Every field may be illegal.",
    keys: &[
        key("hex", &[Shape::Hex], "These bytes"),
        key("bytes", &[Shape::Bytes], "These bytes"),
        key("connect", &[Shape::Table(&CONNECT)], "CONNECT; its CONNACK is not waited for"),
        key("connack", &[Shape::Table(&REASON)], "CONNACK"),
        key("publish", &[Shape::Table(&PUBLISH)], "PUBLISH"),
        key("puback", &[Shape::Table(&ACK)], "PUBACK"),
        key("pubrec", &[Shape::Table(&ACK)], "PUBREC"),
        key("pubrel", &[Shape::Table(&ACK)], "PUBREL"),
        key("pubcomp", &[Shape::Table(&ACK)], "PUBCOMP"),
        key("subscribe", &[Shape::Table(&SUBSCRIBE)], "SUBSCRIBE"),
        key("suback", &[Shape::Table(&CODES)], "SUBACK"),
        key("unsubscribe", &[Shape::Table(&SUBSCRIBE)], "UNSUBSCRIBE"),
        key("unsuback", &[Shape::Table(&CODES)], "UNSUBACK"),
        key("pingreq", &[Shape::Table(&EMPTY)], "PINGREQ"),
        key("pingresp", &[Shape::Table(&EMPTY)], "PINGRESP"),
        key("disconnect", &[Shape::Table(&REASON)], "DISCONNECT; the socket stays open"),
        key("auth", &[Shape::Table(&REASON)], "AUTH"),
    ],
};

static END: Table = Table {
    name: "end",
    about: "An orderly end.",
    keys: &[key("disconnect", &[Shape::Table(&REASON)], "DISCONNECT, then FIN")],
};

static REPEAT: Table = Table {
    name: "repeat",
    about: "Steps that are carried out several times; `{n}` counts from 0.",
    keys: &[
        key("times", &[Shape::Number(1_000_000)], "How often"),
        key("step", &[Shape::Tables(&STEP)], "The steps"),
    ],
};

static WAIT_FOR: Table = Table {
    name: "wait_for",
    about: "Other packets that come meanwhile are kept for later steps that wait for them.",
    keys: &[
        key("packet", &[Shape::Word(PACKETS)], "The packet"),
        key("times", &[Shape::Number(1_000_000)], "How many of them; 1 by default"),
        key("capture", &[Shape::Capture], "Variables for later steps: `{ id = \"packet_identifier\" }`"),
        key("within", &[Shape::Time], "How long at most; the reaction timeout by default"),
        key(
            "required",
            &[Shape::Bool],
            "Whether the attempt ends without a result if it does not come; yes by default",
        ),
    ],
};

/// The keys that every packet has, for tables of packets.
macro_rules! with_header {
    ($($key:expr),* $(,)?) => {
        &[
            $($key,)*
            key("flags", &[Shape::Number(15)], "The flags of the fixed header, instead of the right ones"),
            key(
                "remaining_length",
                &[Shape::Number(FOUR_BYTES), Shape::Table(&REMAINING_LENGTH)],
                "The Remaining Length, instead of the true one",
            ),
            key("truncate", &[Shape::Number(FOUR_BYTES)], "Keeps so many bytes of the body; the Remaining Length follows"),
            key("append", &[Shape::Bytes], "Bytes behind the body; the Remaining Length counts them"),
            key("cut", &[Shape::Number(FOUR_BYTES)], "Sends only so many bytes of the packet; its Remaining Length stays"),
        ]
    };
}

/// The keys of properties, for tables of packets that have them.
macro_rules! with_properties {
    ($($key:expr),* $(,)?) => {
        with_header![
            $($key,)*
            key("properties", &[Shape::Properties], "Properties, in order; any property may stand in any packet. Only in MQTT 5.0"),
            key("property_length", &[Shape::Number(FOUR_BYTES)], "The Property Length, instead of the true one"),
            key("omit_properties", &[Shape::Bool], "Leaves out even the Property Length"),
        ]
    };
}

static REMAINING_LENGTH: Table = Table {
    name: "remaining_length",
    about: "A Remaining Length as bytes.",
    keys: &[
        key("hex", &[Shape::Hex], "These bytes"),
        key("padded", &[Shape::Number(8)], "The true one in so many bytes"),
    ],
};

static CONNECT: Table = Table {
    name: "connect",
    about: "CONNECT as a well-behaved client sends it, but for the fields given.",
    keys: with_properties![
        key("protocol_name", &[Shape::Bytes], "`MQTT` by default"),
        key("protocol_level", &[Shape::Number(BYTE)], "That of the version by default"),
        key("connect_flags", &[Shape::Number(BYTE)], "The whole byte, whatever fields follow"),
        key("clean_start", &[Shape::Switch], "Clean Start (3.1.1: Clean Session); `true` by default"),
        key("keep_alive", &[Shape::Number(TWO_BYTES)], "Seconds; 60 by default"),
        key("client_id", &[Shape::Bytes], "The client's own by default"),
        key("will", &[Shape::Table(&WILL)], "A Will; none by default"),
        key("user_name", &[Shape::Bytes], "The run's by default"),
        key("password", &[Shape::Bytes], "The run's by default"),
        key("anonymous", &[Shape::Bool], "Leaves out the run's user name and password"),
    ],
};

static WILL: Table = Table {
    name: "will",
    about: "A Will.",
    keys: &[
        key("topic", &[Shape::Bytes], "Where the witness waits for it by default"),
        key("payload", &[Shape::Bytes], "Empty by default"),
        key("qos", &[Shape::Number(3)], "0 to 3; by default 1, or less if the broker supports less"),
        key("retain", &[Shape::Switch], "Will Retain; `false` by default"),
        key("properties", &[Shape::Properties], "Will Properties. Only in MQTT 5.0"),
        key("property_length", &[Shape::Number(FOUR_BYTES)], "The Property Length, instead of the true one"),
    ],
};

static PUBLISH: Table = Table {
    name: "publish",
    about: "PUBLISH.",
    keys: with_properties![
        key("topic", &[Shape::Bytes], "The Topic Name; empty by default"),
        key("qos", &[Shape::Number(3)], "0 to 3; 0 by default"),
        key("dup", &[Shape::Switch], "DUP; `false` by default"),
        key("retain", &[Shape::Switch], "RETAIN; `false` by default"),
        key(
            "packet_identifier",
            &[Shape::Number(TWO_BYTES)],
            "By default none at QoS 0, and 1 otherwise. Given, it is sent at QoS 0 too",
        ),
        key("payload", &[Shape::Bytes], "Empty by default"),
    ],
};

static SUBSCRIBE: Table = Table {
    name: "subscribe, unsubscribe",
    about: "SUBSCRIBE or UNSUBSCRIBE.",
    keys: with_properties![
        key("packet_identifier", &[Shape::Number(TWO_BYTES)], "1 by default"),
        key(
            "filters",
            &[Shape::Tables(&FILTER), Shape::Bytes],
            "Topic Filters: a string, or a list of strings and tables"
        ),
    ],
};

static FILTER: Table = Table {
    name: "filters",
    about: "A Topic Filter with its Subscription Options.",
    keys: &[
        key("filter", &[Shape::Bytes], "The Topic Filter"),
        key(
            "options",
            &[Shape::Number(BYTE)],
            "The whole Subscription Options byte: QoS, 4 for No Local, 8 for Retain As Published, 16 and 32 for Retain Handling; \
             0 by default",
        ),
    ],
};

static ACK: Table = Table {
    name: "puback, pubrec, pubrel, pubcomp",
    about: "An acknowledgement.",
    keys: with_properties![
        key("packet_identifier", &[Shape::Number(TWO_BYTES)], "1 by default"),
        key("reason_code", &[Shape::Number(BYTE)], "Left out by default. Only in MQTT 5.0"),
    ],
};

static REASON: Table = Table {
    name: "connack, disconnect, auth",
    about: "A packet with a Reason Code.",
    keys: with_properties![
        key(
            "reason_code",
            &[Shape::Number(BYTE)],
            "Left out by default, 0 in a CONNACK. Only in MQTT 5.0, but for CONNACK"
        ),
        key("session_present", &[Shape::Switch], "Session Present, in a CONNACK"),
    ],
};

static CODES: Table = Table {
    name: "suback, unsuback",
    about: "The answer to a SUBSCRIBE or UNSUBSCRIBE.",
    keys: with_properties![
        key("packet_identifier", &[Shape::Number(TWO_BYTES)], "1 by default"),
        key("reason_codes", &[Shape::Numbers(BYTE)], "The Reason Codes; none by default"),
    ],
};

static EMPTY: Table =
    Table { name: "pingreq, pingresp", about: "A packet without fields.", keys: with_header![] };

/// An expectation.
pub static EXPECT: Table = Table {
    name: "expect",
    about: "Exactly one of `closes`, `stays`, `disconnect`, `connack`, `answers`, `receives`, `will` and `delivers`, and exactly one of `must`, \
            `should`, `may` and `prose`. Only a `must` can be violated.",
    keys: &[
        key("closes", &[Shape::Bool], "The broker ends the connection"),
        key("stays", &[Shape::Bool], "The broker goes on serving the client"),
        key(
            "disconnect",
            &[Shape::Numbers(BYTE)],
            "If the broker sends DISCONNECT, then with one of these Reason Codes",
        ),
        key("connack", &[Shape::Numbers(BYTE)], "If the broker sends CONNACK, then with one of these codes"),
        key(
            "answers",
            &[Shape::Word(PACKETS), Shape::Table(&ANSWERS)],
            "The broker sends this packet, or ends the connection",
        ),
        key(
            "receives",
            &[Shape::Plains],
            "The broker sends these packets in this order, each with its Reason Code if it has one, such as `SUBACK 0x01`; equal ones in \
             a row as `PUBLISH ×3`",
        ),
        key("will", &[Shape::Word(&["published", "withheld"])], "Whether the broker publishes the Will"),
        key("delivers", &[Shape::Table(&DELIVERS)], "How many messages a client receives"),
        key(
            "must",
            &[Shape::Statement],
            "A numbered statement of the standard. In a version without one, the expectation is prose",
        ),
        key("should", &[Shape::Plain], "Where a SHOULD stands, such as `5.0 section 4.13`"),
        key("may", &[Shape::Plain], "Where a MAY stands"),
        key("prose", &[Shape::Plain], "Where it stands without a number"),
        key("versions", &[Shape::Words(VERSIONS)], "Versions of MQTT; all of the case by default"),
    ],
};

static ANSWERS: Table = Table {
    name: "answers",
    about: "An answer with its Reason Codes.",
    keys: &[
        key("packet", &[Shape::Word(PACKETS)], "The packet"),
        key("codes", &[Shape::Numbers(BYTE)], "Its first Reason Code: one of these"),
    ],
};

static DELIVERS: Table = Table {
    name: "delivers",
    about: "All messages that a client receives in an attempt, also those of `wait_for`. Messages below `$SYS` and those of other attempts do not \
            count: some brokers send them unasked.",
    keys: &[
        key("client", &[Shape::Plain], "The client"),
        key("count", &[Shape::Number(1_000_000)], "How many messages"),
    ],
};

/// Every table, in the order of the reference.
pub static TABLES: &[&Table] = &[
    &SCENARIO,
    &REQUIRES,
    &REPORT,
    &CASE,
    &STEP,
    &SEND,
    &REPEAT,
    &WAIT_FOR,
    &END,
    &CONNECT,
    &WILL,
    &PUBLISH,
    &SUBSCRIBE,
    &FILTER,
    &ACK,
    &REASON,
    &CODES,
    &EMPTY,
    &REMAINING_LENGTH,
    &EXPECT,
    &ANSWERS,
    &DELIVERS,
];

/// The keys that a property may have: one of these each.
#[must_use]
pub fn property_keys() -> Vec<(&'static str, &'static str)> {
    let of_standard = KINDS.iter().map(|kind| match kind.wire {
        Wire::Bytes => (kind.name, "bytes"),
        _ => (kind.name, "a number"),
    });
    let others = [
        ("user_property", "a list of two texts"),
        ("hex", "bytes as they are, such as an unknown property"),
        ("times", "beside another key: that property so many times"),
    ];
    of_standard.chain(others).collect()
}
