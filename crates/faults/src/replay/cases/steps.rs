//! The steps of a row as steps of a scenario.

use serde_json::Value;
use ungraceful_mqtt::{Framed, PacketType, ProtocolVersion, frame};
use ungraceful_scenario::label::label;
use ungraceful_scenario::model::{
    Ack, Action, Body, Connect, FIRST_CLIENT, Filter, Packet, Publish, Sending, Step, Subscribe, WaitFor,
};
use ungraceful_scenario::template::{Bytes, Number, Text, read_hex, write_hex};

use super::fields::{Fields, Mistakes};

/// The client that publishes beside the one of the row.
const OTHER_CLIENT: &str = "b";
/// The kinds of steps.
const STEP: &[&str] = &["send", "recv", "other_client_publishes", "subscribe", "unsubscribe"];
/// The packets that only clients send.
const OF_CLIENTS: [PacketType; 4] =
    [PacketType::Connect, PacketType::Subscribe, PacketType::Unsubscribe, PacketType::PingReq];
/// The protocol name and the level of MQTT 3.1.
const MQTT_3_1: (&str, u64) = ("MQIsdp", 3);

/// The steps of a row so far.
pub(super) struct Steps {
    is_3_1: bool,
    pub(super) version: ProtocolVersion,
    steps: Vec<Step>,
    /// What the broker is expected to send to the first client.
    answers: Vec<String>,
    /// Whether the row says what the broker sends.
    has_answers: bool,
    /// Whether all that the broker is expected to send is known: the answer to a step that we encode is not in the row.
    are_complete: bool,
}

impl Steps {
    pub(super) fn new(is_3_1: bool, version: ProtocolVersion) -> Self {
        let (steps, answers) = (Vec::new(), Vec::new());
        Self { is_3_1, version, steps, answers, has_answers: false, are_complete: true }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// All packets that the first client receives; absent where the row does not name them.
    pub(super) fn answers(&self) -> Option<Vec<String>> {
        (self.has_answers && self.are_complete).then(|| self.answers.clone())
    }

    /// The client is accepted before the steps.
    pub(super) fn connect_first(&mut self) {
        self.push(FIRST_CLIENT, Action::Connect(Box::new(self.connect())));
        self.answers.push("CONNACK 0x00".to_owned());
    }

    /// Lets reaction times count from the first bytes of the client: the broker may close at any step. A client that is connected and
    /// sends nothing asks whether it is served. False for one that never has a connection.
    pub(super) fn provoke(&mut self) -> bool {
        let is_own = |step: &Step| step.client == FIRST_CLIENT;
        if !self.steps.iter().any(is_own) {
            return false;
        }
        let sends = |step: &Step| is_own(step) && matches!(step.action, Action::Send(_));
        if !self.steps.iter().any(sends) {
            self.are_complete = false;
            self.send(FIRST_CLIENT, Body::Empty(PacketType::PingReq));
        }
        if let Some(step) = self.steps.iter_mut().find(|step| sends(step)) {
            step.provokes = true;
        }
        true
    }

    /// Adds a step of the row.
    pub(super) fn add(&mut self, value: &Value, (line, path): (usize, &str), mistakes: &mut Mistakes) {
        let Some(step) = Fields::of(value, (line, path), STEP, mistakes) else { return };
        let kinds: Vec<&str> = STEP.iter().copied().filter(|kind| step.has(kind)).collect();
        let [kind] = kinds[..] else {
            mistakes.add(line, path, format!("write one of {} in each step", STEP.join(", ")));
            return;
        };
        match kind {
            "send" => {
                if let Some(bytes) = bytes_of(&step, kind, mistakes) {
                    let hex = Bytes::Hex(Text::literal(&write_hex(&bytes)));
                    self.push(FIRST_CLIENT, Action::Send(Box::new(Sending::Bytes(hex))));
                }
            }
            "recv" => {
                if let Some(bytes) = bytes_of(&step, kind, mistakes) {
                    self.receive(&step, &bytes, mistakes);
                }
            }
            _ => self.add_packet(&step, (line, kind), mistakes),
        }
    }

    /// Adds a step whose packet we encode.
    fn add_packet(&mut self, step: &Fields<'_>, (line, kind): (usize, &str), mistakes: &mut Mistakes) {
        let Some(value) = step.find(kind) else { return };
        let keys: &[&str] = match kind {
            "other_client_publishes" => &["topic", "qos", "payload"],
            "subscribe" => &["topic", "qos"],
            _ => &["topic"],
        };
        let Some(fields) = Fields::of(value, (line, &step.path_of(kind)), keys, mistakes) else { return };
        let topic = fields.text("topic", mistakes);
        let qos = fields.qos("qos", mistakes);
        let payload = if fields.has("payload") { fields.text("payload", mistakes) } else { Some("") };
        let (Some(topic), Some(qos), Some(payload)) = (topic, qos, payload) else { return };
        match kind {
            "other_client_publishes" => self.publish(topic, qos, payload),
            _ => self.subscribe(topic, qos, kind == "unsubscribe"),
        }
    }

    /// Waits for these packets. Another broker may send others: then the next step follows.
    fn receive(&mut self, step: &Fields<'_>, bytes: &[u8], mistakes: &mut Mistakes) {
        let mut rest = bytes;
        while let Framed::Complete(found) = frame(rest) {
            rest = &rest[found.len()..];
            let packet = found.decode(self.version).packet;
            let awaited = packet.packet_type().filter(|packet_type| !OF_CLIENTS.contains(packet_type));
            let Some((packet_type, label)) = awaited.zip(label(&packet, self.version)) else {
                step.mistake("recv", "no broker sends one of these packets: leave it out", mistakes);
                continue;
            };
            self.wait_for(FIRST_CLIENT, packet_type);
            self.answers.push(label);
        }
        if !rest.is_empty() {
            step.mistake("recv", "this ends amid a packet: write whole packets", mistakes);
        }
        self.has_answers = true;
    }

    fn publish(&mut self, topic: &str, qos: u64, payload: &str) {
        if !self.steps.iter().any(|step| step.client == OTHER_CLIENT) {
            self.push(OTHER_CLIENT, Action::Connect(Box::new(self.connect())));
        }
        let publish = Publish {
            topic: Bytes::literal(topic),
            qos: Some(Number::Fixed(qos)),
            payload: Bytes::literal(payload),
            ..Publish::default()
        };
        self.send(OTHER_CLIENT, Body::Publish(publish));
        match qos {
            1 => self.wait_for(OTHER_CLIENT, PacketType::PubAck),
            2 => {
                self.wait_for(OTHER_CLIENT, PacketType::PubRec);
                self.send(OTHER_CLIENT, Body::Ack(PacketType::PubRel, Ack::default()));
                self.wait_for(OTHER_CLIENT, PacketType::PubComp);
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, topic: &str, qos: u64, is_unsubscribe: bool) {
        let options = (!is_unsubscribe).then_some(Number::Fixed(qos));
        let subscribe = Subscribe {
            is_unsubscribe,
            filters: vec![Filter { filter: Bytes::literal(topic), options }],
            ..Subscribe::default()
        };
        self.are_complete = false;
        self.send(FIRST_CLIENT, Body::Subscribe(subscribe));
        let answer = if is_unsubscribe { PacketType::UnsubAck } else { PacketType::SubAck };
        self.wait_for(FIRST_CLIENT, answer);
    }

    /// The CONNECT of a well-behaved client.
    fn connect(&self) -> Packet {
        let (name, level) = MQTT_3_1;
        let connect = Connect {
            protocol_name: self.is_3_1.then(|| Bytes::literal(name)),
            protocol_level: self.is_3_1.then_some(Number::Fixed(level)),
            ..Connect::default()
        };
        Packet::new(Body::Connect(Box::new(connect)))
    }

    fn send(&mut self, client: &str, body: Body) {
        let packet = Sending::Packet(Box::new(Packet::new(body)));
        self.push(client, Action::Send(Box::new(packet)));
    }

    fn wait_for(&mut self, client: &str, packet: PacketType) {
        let times = Number::Fixed(1);
        let wait = WaitFor { packet, times, capture: Vec::new(), within: None, required: false };
        self.push(client, Action::WaitFor(wait));
    }

    fn push(&mut self, client: &str, action: Action) {
        self.steps.push(Step { client: client.to_owned(), ..Step::new(action) });
    }
}

/// Bytes in hexadecimal.
fn bytes_of(step: &Fields<'_>, key: &str, mistakes: &mut Mistakes) -> Option<Vec<u8>> {
    let text = step.text(key, mistakes)?;
    let bytes = read_hex(text.as_bytes()).filter(|bytes| !bytes.is_empty());
    if bytes.is_none() {
        step.mistake(key, "write two hexadecimal digits for each byte, such as \"c000\"", mistakes);
    }
    bytes
}
