//! What a scenario consists of. Everything a client sends may be wrong; nothing here is checked against the standard.

use std::time::Duration;

use ungraceful_mqtt::statement::Statement;
use ungraceful_mqtt::{PacketType, ProtocolVersion};
use ungraceful_record::expectation::Expected;

use crate::template::{Bytes, Number, Random, Text, Unresolved, Value, Variables};

/// The client of a step that names none.
pub const FIRST_CLIENT: &str = "c";
/// The most clients of a scenario.
pub const CLIENTS_MAX: usize = 3;
/// The case of a scenario without cases.
pub const ONLY_CASE: &str = "plain";

/// A fault as data: clients carry out steps, then the broker must, should or may do something.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name: lower-case words with hyphens, such as `publish-qos3`.
    pub id: String,
    /// What the client does, in one line.
    pub about: String,
    /// More about it: where it comes from, what to know; empty for most.
    pub notes: String,
    /// Versions of MQTT that it applies to.
    pub versions: Vec<ProtocolVersion>,
    /// What the broker must announce, or the scenario is skipped.
    pub requires: Requires,
    /// Public reports that it reproduces.
    pub reports: Vec<Report>,
    /// Its cases; never empty.
    pub cases: Vec<Case>,
    /// The steps of every case.
    pub steps: Vec<Step>,
    /// What is expected in every case.
    pub expects: Vec<Expect>,
}

/// What the broker must announce in its CONNACK, or leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Requires {
    /// Whether it must support retained messages; absent if it does not matter.
    pub retain_available: Option<bool>,
    /// Whether it must support wildcards in Topic Filters.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether it must support Shared Subscriptions.
    pub shared_subscription_available: Option<bool>,
    /// Whether it must support Subscription Identifiers.
    pub subscription_identifiers_available: Option<bool>,
    /// The highest QoS that it must support, at least.
    pub qos: Option<u8>,
    /// The highest QoS that it may support, at most.
    pub qos_below: Option<u8>,
    /// Whether it must announce a Maximum Packet Size.
    pub maximum_packet_size: Option<bool>,
    /// Whether it must take Topic Aliases.
    pub topic_alias: Option<bool>,
}

/// A public report of what a broker did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name, such as a CVE number or an issue.
    pub name: String,
    /// The broker and the versions it concerns.
    pub broker: String,
}

/// A case: values for the parameters, and steps and expectations of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name, the variant in records.
    pub name: String,
    /// Versions of MQTT; empty for those of the scenario.
    pub versions: Vec<ProtocolVersion>,
    /// What the broker must announce, besides what the scenario requires.
    pub requires: Requires,
    /// The parameters, by name.
    pub parameters: Vec<(String, Parameter)>,
    /// Steps that follow those of the scenario.
    pub steps: Vec<Step>,
    /// Expectations besides those of the scenario.
    pub expects: Vec<Expect>,
}

impl Case {
    /// The case of a scenario that declares none.
    #[must_use]
    pub fn only() -> Self {
        Self {
            name: ONLY_CASE.to_owned(),
            versions: Vec::new(),
            requires: Requires::default(),
            parameters: Vec::new(),
            steps: Vec::new(),
            expects: Vec::new(),
        }
    }
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Bytes, which may have variables.
    Bytes(Bytes),
    /// A number or a switch.
    Value(Value),
}

/// One step of one client.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The client, [`FIRST_CLIENT`] for most.
    pub client: String,
    /// What it does.
    pub action: Action,
    /// Bytes per segment; absent to send all at once.
    pub split: Option<Number>,
    /// Whether the bytes wait for the next step that sends, and go out with it in one write.
    pub coalesce: bool,
    /// Whether reaction times count from here: the provoking byte is the last one of this step. Without any such step, the last step
    /// that sends or ends provokes.
    pub provokes: bool,
}

impl Step {
    /// A step of the first client.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { client: FIRST_CLIENT.to_owned(), action, split: None, coalesce: false, provokes: false }
    }
}

/// What a client does in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Opens a Network Connection and sends nothing.
    Open,
    /// Opens a Network Connection, sends this CONNECT, and waits until it is accepted.
    Connect(Box<Packet>),
    /// Sends bytes. Opens a Network Connection first if the client has none.
    Send(Box<Sending>),
    /// Waits for a packet.
    WaitFor(WaitFor),
    /// Does nothing for a while.
    Pause(Duration),
    /// Carries out steps several times.
    Repeat(Number, Vec<Step>),
    /// Ends the connection, or stops reading.
    End(End),
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Sending {
    /// These bytes.
    Bytes(Bytes),
    /// A packet.
    Packet(Box<Packet>),
}

/// How a client ends its connection.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// FIN: closes the socket.
    Fin,
    /// RST.
    Rst,
    /// FIN, and goes on reading.
    HalfClose,
    /// Stops reading; the connection stays open.
    StopReading,
    /// DISCONNECT, then FIN.
    Disconnect(Box<Packet>),
}

/// A packet that a client waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitFor {
    /// Its type.
    pub packet: PacketType,
    /// How many of them.
    pub times: Number,
    /// Values that later steps use, as variable and field.
    pub capture: Vec<(String, Field)>,
    /// How long at most; absent for the reaction timeout of the run.
    pub within: Option<Duration>,
    /// Whether its absence ends the attempt without a result; if not, the next step follows.
    pub required: bool,
}

/// A field of a packet that can be captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The Packet Identifier.
    PacketIdentifier,
    /// The first Reason Code.
    ReasonCode,
    /// The Topic Name.
    Topic,
    /// The payload.
    Payload,
}

impl Field {
    /// Every field with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("packet_identifier", Self::PacketIdentifier),
        ("reason_code", Self::ReasonCode),
        ("topic", Self::Topic),
        ("payload", Self::Payload),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// A packet with every field free.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// What it is.
    pub body: Body,
    /// The flags of the fixed header, 0 to 15, instead of the right ones.
    pub flags: Option<Number>,
    /// The Remaining Length instead of the true one.
    pub remaining_length: Option<RemainingLength>,
    /// So many bytes of the body are sent; the Remaining Length follows unless it is set.
    pub truncate: Option<Number>,
    /// Bytes behind the body, which the Remaining Length counts unless it is set.
    pub append: Option<Bytes>,
    /// So many bytes of the whole packet are sent.
    pub cut: Option<Number>,
}

impl Packet {
    /// A packet whose fixed header is right.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, flags: None, remaining_length: None, truncate: None, append: None, cut: None }
    }
}

/// A Remaining Length that need not be true.
#[derive(Clone, Debug, PartialEq)]
pub enum RemainingLength {
    /// This number.
    Claimed(Number),
    /// These bytes.
    Bytes(Bytes),
    /// The true one in so many bytes.
    Padded(Number),
}

/// The body of a packet.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the packet of its name")]
pub enum Body {
    Connect(Box<Connect>),
    Publish(Publish),
    Subscribe(Subscribe),
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack(PacketType, Ack),
    /// CONNACK, DISCONNECT or AUTH.
    Reason(PacketType, Reason),
    /// SUBACK, UNSUBACK.
    Codes(PacketType, Codes),
    /// PINGREQ, PINGRESP.
    Empty(PacketType),
}

impl Body {
    /// The packet's type.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Publish(_) => PacketType::Publish,
            Self::Subscribe(subscribe) if subscribe.is_unsubscribe => PacketType::Unsubscribe,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Ack(packet_type, _)
            | Self::Reason(packet_type, _)
            | Self::Codes(packet_type, _)
            | Self::Empty(packet_type) => *packet_type,
        }
    }
}

/// CONNECT. What is absent is as a well-behaved client sends it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Connect {
    /// `MQTT` if absent.
    pub protocol_name: Option<Bytes>,
    /// That of the version if absent.
    pub protocol_level: Option<Number>,
    /// The whole Connect Flags byte; as the other fields require if absent.
    pub connect_flags: Option<Number>,
    /// Yes if absent.
    pub clean_start: Option<Switch>,
    /// In seconds; 60 if absent.
    pub keep_alive: Option<Number>,
    /// The client's own if absent.
    pub client_id: Option<Bytes>,
    /// The Will; none if absent.
    pub will: Option<Will>,
    /// The run's if absent.
    pub user_name: Option<Bytes>,
    /// The run's if absent.
    pub password: Option<Bytes>,
    /// Whether the run's credentials are left out.
    pub anonymous: bool,
    /// The properties (MQTT 5.0).
    pub properties: Properties,
}

/// A Will.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Will {
    /// The topic at which the witness waits if absent.
    pub topic: Option<Bytes>,
    /// The payload.
    pub payload: Bytes,
    /// The two QoS bits, 0 to 3; 1, or the broker's maximum, if absent.
    pub qos: Option<Number>,
    /// Will Retain.
    pub retain: Option<Switch>,
    /// The Will Properties (MQTT 5.0).
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Publish {
    /// The Topic Name.
    pub topic: Bytes,
    /// The two QoS bits, 0 to 3.
    pub qos: Option<Number>,
    /// DUP.
    pub dup: Option<Switch>,
    /// RETAIN.
    pub retain: Option<Switch>,
    /// The Packet Identifier; if absent, there is none at QoS 0, and 1 otherwise.
    pub packet_identifier: Option<Number>,
    /// The payload.
    pub payload: Bytes,
    /// The properties (MQTT 5.0).
    pub properties: Properties,
}

/// SUBSCRIBE or UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Subscribe {
    /// Whether it is an UNSUBSCRIBE.
    pub is_unsubscribe: bool,
    /// The Packet Identifier; 1 if absent.
    pub packet_identifier: Option<Number>,
    /// The Topic Filters with their Subscription Options.
    pub filters: Vec<Filter>,
    /// The properties (MQTT 5.0).
    pub properties: Properties,
}

/// A Topic Filter with its Subscription Options.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Filter {
    /// The Topic Filter.
    pub filter: Bytes,
    /// The whole Subscription Options byte, 0 if absent. Not used in an UNSUBSCRIBE.
    pub options: Option<Number>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ack {
    /// The Packet Identifier; 1 if absent.
    pub packet_identifier: Option<Number>,
    /// The Reason Code (MQTT 5.0); left out if absent.
    pub reason_code: Option<Number>,
    /// The properties (MQTT 5.0); with a Reason Code only.
    pub properties: Properties,
}

/// CONNACK, DISCONNECT or AUTH.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Reason {
    /// The Reason Code; left out if absent, except in a CONNACK, where it is 0.
    pub reason_code: Option<Number>,
    /// Session Present, in a CONNACK only.
    pub session_present: Option<Switch>,
    /// The properties (MQTT 5.0); with a Reason Code only.
    pub properties: Properties,
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Codes {
    /// The Packet Identifier; 1 if absent.
    pub packet_identifier: Option<Number>,
    /// The Reason Codes.
    pub reason_codes: Vec<Number>,
    /// The properties (MQTT 5.0).
    pub properties: Properties,
}

/// A list of properties: any, in any number, with any value. Left out of packets of MQTT 3.1.1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Properties {
    /// The properties.
    pub list: Vec<Property>,
    /// The Property Length instead of the true one.
    pub length: Option<Number>,
    /// Whether even the Property Length is left out.
    pub omitted: bool,
}

/// A property.
#[derive(Clone, Debug, PartialEq)]
pub enum Property {
    /// One that the standard has, by its place in [`crate::properties::KINDS`].
    Number(usize, Number),
    /// The same with bytes.
    Bytes(usize, Bytes),
    /// A User Property.
    Pair(Bytes, Bytes),
    /// Bytes as they are.
    Hex(Text),
    /// The last one so many times.
    Times(Number, Box<Property>),
}

/// Yes or no, or a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// As it stands.
    Fixed(bool),
    /// This variable.
    Variable(String),
}

/// What is expected of the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// What.
    pub what: Expected,
    /// How strongly, and by what.
    pub force: Force,
    /// Versions of MQTT; empty for all of the case.
    pub versions: Vec<ProtocolVersion>,
}

/// How strongly the standard demands something.
#[derive(Clone, Debug, PartialEq)]
pub enum Force {
    /// A numbered statement of each version that has one.
    Must(Vec<Statement>),
    /// A SHOULD; where it stands.
    Should(String),
    /// A MAY; where it stands.
    May(String),
    /// Unnumbered; where it stands.
    Prose(String),
}

impl Scenario {
    /// The versions of a case: its own among those of the scenario.
    #[must_use]
    pub fn versions_of(&self, case: &Case) -> Vec<ProtocolVersion> {
        let is_of_case =
            |version: &ProtocolVersion| case.versions.is_empty() || case.versions.contains(version);
        self.versions.iter().copied().filter(is_of_case).collect()
    }

    /// The clients of a case: [`FIRST_CLIENT`], then the others in the order of their first step.
    #[must_use]
    pub fn clients_of(&self, case: &Case) -> Vec<String> {
        fn add(steps: &[Step], clients: &mut Vec<String>) {
            for step in steps {
                if !clients.contains(&step.client) {
                    clients.push(step.client.clone());
                }
                if let Action::Repeat(_, steps) = &step.action {
                    add(steps, clients);
                }
            }
        }
        let mut clients = vec![FIRST_CLIENT.to_owned()];
        add(&self.steps_of(case), &mut clients);
        clients
    }

    /// The steps of a case, in order.
    #[must_use]
    pub fn steps_of(&self, case: &Case) -> Vec<Step> {
        self.steps.iter().chain(&case.steps).cloned().collect()
    }

    /// The expectations of a case in a version.
    #[must_use]
    pub fn expects_of<'a>(&'a self, case: &'a Case, version: ProtocolVersion) -> Vec<&'a Expect> {
        let all = self.expects.iter().chain(&case.expects);
        all.filter(|expect| expect.versions.is_empty() || expect.versions.contains(&version)).collect()
    }
}

/// The step from which reaction times count, by its index: the one that provokes, else the last that sends, ends or opens; absent where
/// none does.
#[must_use]
pub fn provoking_step(steps: &[Step]) -> Option<usize> {
    let acts = |step: &Step| {
        matches!(step.action, Action::Send(_) | Action::End(_) | Action::Open | Action::Repeat(..))
    };
    steps.iter().position(|step| step.provokes).or_else(|| steps.iter().rposition(acts))
}

impl Case {
    /// The values of its parameters. `known` are the variables that they may use.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn variables(&self, known: &Variables, random: &mut Random) -> Result<Variables, Unresolved> {
        let of = |(name, parameter): &(String, Parameter)| {
            let value = match parameter {
                Parameter::Bytes(bytes) => Value::Bytes(bytes.make(known, random)?),
                Parameter::Value(value) => value.clone(),
            };
            Ok((name.clone(), value))
        };
        self.parameters.iter().map(of).collect()
    }
}
