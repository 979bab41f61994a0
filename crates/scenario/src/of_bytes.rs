//! Bytes that a user has, as a scenario: hexadecimal text, and the connections of a capture.

use std::time::Duration;

use ungraceful_mqtt::{Framed, Packet, PacketType, ProtocolVersion, frame};
use ungraceful_record::expectation::Expected;

use crate::capture::{CapturedConnection, How, Side};
use crate::hex_lines::HexLine;
use crate::label::{in_a_row, label};
use crate::model::{Action, Case, End, Expect, Force, Requires, Scenario, Sending, Step, WaitFor};
use crate::template::{Bytes, Number, Text, write_hex};

/// Where an expectation comes from that a recorded exchange shows.
pub const RECORDED: &str = "as recorded";
/// Segments that follow each other so closely are sent at once, and pauses that are so short are left out.
const AT_ONCE: Duration = Duration::from_millis(1);

/// An exchange on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What each side sent, in order.
    pub parts: Vec<Part>,
    /// Who ended the connection first, and how; absent if neither side did.
    pub end: Option<(Side, How)>,
    /// The time before the end.
    pub pause_before_end: Duration,
}

/// What one side sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Who sent it.
    pub from: Side,
    /// The time since the part before it.
    pub pause: Duration,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Exchange {
    /// Lines of hexadecimal.
    #[must_use]
    pub fn of_hex(lines: &[HexLine]) -> Self {
        let part = |line: &HexLine| Part {
            from: line.from,
            pause: line.pause.unwrap_or_default(),
            bytes: line.bytes.clone(),
        };
        let mut parts: Vec<Part> = lines.iter().map(part).collect();
        let pause_before_end = match parts.pop_if(|part| part.bytes.is_empty()) {
            Some(last) => last.pause,
            None => Duration::ZERO,
        };
        Self { parts, end: None, pause_before_end }
    }

    /// A connection of a capture, `speed` times as fast; as fast as it goes for 0.
    #[must_use]
    pub fn of_connection(connection: &CapturedConnection, speed: f64) -> Self {
        let scaled = |pause: Duration| match speed {
            0.0 => Duration::ZERO,
            speed => Duration::try_from_secs_f64(pause.as_secs_f64() / speed).unwrap_or(Duration::MAX),
        };
        let mut before = connection.segments.first().map_or(Duration::ZERO, |segment| segment.at);
        let mut parts: Vec<Part> = Vec::new();
        for segment in &connection.segments {
            let pause = segment.at.saturating_sub(before);
            before = segment.at;
            match parts.last_mut() {
                Some(part) if part.from == segment.from && pause < AT_ONCE => {
                    part.bytes.extend(&segment.bytes);
                }
                _ => {
                    parts.push(Part {
                        from: segment.from,
                        pause: scaled(pause),
                        bytes: segment.bytes.clone(),
                    });
                }
            }
        }
        let pause_before_end =
            connection.end.map_or(Duration::ZERO, |end| scaled(end.at.saturating_sub(before)));
        Self { parts, end: connection.end.map(|end| (end.by, end.how)), pause_before_end }
    }

    /// The version of its CONNECT: 3.1.1 for 3.1 as well; absent without a CONNECT, or with another version.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        let mine: Vec<u8> = self
            .parts
            .iter()
            .filter(|part| part.from == Side::Client)
            .flat_map(|part| &part.bytes)
            .copied()
            .collect();
        let Framed::Complete(found) = frame(&mine) else { return None };
        let Packet::Connect(connect) = found.decode(ProtocolVersion::V5).packet else { return None };
        match connect.protocol_level? {
            3 => Some(ProtocolVersion::V3_1_1),
            level => ProtocolVersion::from_level(level),
        }
    }

    /// The scenario that sends what the client sent, and expects what the broker did.
    #[must_use]
    pub fn scenario(&self, id: String, about: String) -> Scenario {
        let version = self.version().unwrap_or(ProtocolVersion::V5);
        let mut steps = Vec::new();
        let mut answers = Vec::new();
        // Bytes of the broker that are no whole packet yet.
        let mut theirs: Vec<u8> = Vec::new();
        for part in &self.parts {
            match part.from {
                Side::Client => {
                    pause(&mut steps, part.pause);
                    let hex = Bytes::Hex(Text::literal(&write_hex(&part.bytes)));
                    steps.push(Step::new(Action::Send(Box::new(Sending::Bytes(hex)))));
                }
                Side::Server => {
                    theirs.extend(&part.bytes);
                    let packets = take_packets(&mut theirs, version);
                    await_each(&mut steps, &packets);
                    answers.extend(packets.into_iter().map(|(_, label)| label));
                }
            }
        }
        let mut expects = vec![expected(Expected::Receives(in_a_row(&answers)))];
        match self.end {
            Some((Side::Client, how)) => {
                pause(&mut steps, self.pause_before_end);
                steps.push(Step::new(Action::End(if how == How::Fin { End::Fin } else { End::Rst })));
            }
            Some((Side::Server, _)) => expects.push(expected(Expected::Closes)),
            None => pause(&mut steps, self.pause_before_end),
        }
        Scenario {
            id,
            about,
            notes: String::new(),
            versions: vec![version],
            requires: Requires::default(),
            reports: Vec::new(),
            cases: vec![Case::only()],
            steps,
            // Hexadecimal text often has the client's side alone.
            expects: if answers.is_empty() && self.end.is_none() { Vec::new() } else { expects },
        }
    }
}

fn expected(what: Expected) -> Expect {
    Expect { what, force: Force::Prose(RECORDED.to_owned()), versions: Vec::new() }
}

fn pause(steps: &mut Vec<Step>, time: Duration) {
    if time >= AT_ONCE {
        // A scenario has whole milliseconds.
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        steps.push(Step::new(Action::Pause(Duration::from_millis(millis))));
    }
}

/// Takes the whole packets off the bytes: the type and the text of each.
fn take_packets(bytes: &mut Vec<u8>, version: ProtocolVersion) -> Vec<(PacketType, String)> {
    let (mut taken, mut packets) = (0, Vec::new());
    while let Framed::Complete(found) = frame(&bytes[taken..]) {
        let packet = found.decode(version).packet;
        packets.extend(packet.packet_type().zip(label(&packet, version)));
        taken += found.len();
    }
    bytes.drain(..taken);
    packets
}

/// Waits for packets, those of one type in a row at once. Another broker may send others: then the next step follows.
fn await_each(steps: &mut Vec<Step>, packets: &[(PacketType, String)]) {
    for run in packets.chunk_by(|(one, _), (other, _)| one == other) {
        let times = Number::Fixed(run.len() as u64);
        let wait = WaitFor { packet: run[0].0, times, capture: Vec::new(), within: None, required: false };
        steps.push(Step::new(Action::WaitFor(wait)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex_lines;
    use crate::{parse, print};

    const CONNECT: &str = "10 0D 00 04 4D 51 54 54 05 02 00 3C 00 00 00";

    fn scenario(text: &str) -> Scenario {
        let lines = hex_lines::read(text).unwrap();
        Exchange::of_hex(&lines).scenario("some-report".into(), "Packets of a report".into())
    }

    #[test]
    fn hexadecimal_becomes_steps_and_expectations() {
        let text = format!("> {CONNECT}\n< 20 03 00 00 00\npause 2s\n> 30 03 00 01 74\n< E0 01 82\n");
        let scenario = scenario(&text);
        assert_eq!(scenario.versions, [ProtocolVersion::V5]);
        let expected = "id = \"some-report\"\nabout = \"Packets of a report\"\nversions = [\"5.0\"]\n\n\
            [[step]]\nsend = { hex = \"10 0D 00 04 4D 51 54 54 05 02 00 3C 00 00 00\" }\n\n\
            [[step]]\nwait_for = { packet = \"CONNACK\", required = false }\n\n\
            [[step]]\npause = \"2s\"\n\n[[step]]\nsend = { hex = \"30 03 00 01 74\" }\n\n\
            [[step]]\nwait_for = { packet = \"DISCONNECT\", required = false }\n\n\
            [[expect]]\nreceives = [\"CONNACK 0x00\", \"DISCONNECT 0x82\"]\nprose = \"as recorded\"\n";
        assert_eq!(print(&scenario), expected);
        assert_eq!(parse(expected).as_ref(), Ok(&scenario));
    }

    #[test]
    fn the_client_alone_has_no_expectations() {
        let scenario = scenario(&CONNECT.replace(" 05 ", " 03 "));
        assert_eq!((scenario.versions, scenario.expects), (vec![ProtocolVersion::V3_1_1], Vec::new()));
    }

    #[test]
    fn equal_answers_are_awaited_together() {
        let text = format!("> {CONNECT}\n< 20 03 00 00 00 40 02 00 01 40\n< 02 00 02\n");
        let scenario = scenario(&text);
        let waits: Vec<(PacketType, Number)> = scenario
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::WaitFor(wait) => Some((wait.packet, wait.times.clone())),
                _ => None,
            })
            .collect();
        let one = Number::Fixed(1);
        assert_eq!(
            waits,
            [
                (PacketType::ConnAck, one.clone()),
                (PacketType::PubAck, one.clone()),
                (PacketType::PubAck, one)
            ]
        );
        let receives = Expected::Receives(vec!["CONNACK 0x00".into(), "PUBACK 0x00 ×2".into()]);
        assert_eq!(scenario.expects[0].what, receives);
    }
}
