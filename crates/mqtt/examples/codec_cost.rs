//! Runs one codec path a given number of times, for `scripts/bench-codec` to count its instructions.
//!
//! Usage: `codec_cost <path> <iterations>`. It measures nothing itself, and each path is a separate function so that
//! a profile shows it by name.

use std::hint::black_box;
use std::process::ExitCode;

use ungraceful_mqtt::{
    Ack, Framed, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishTemplate, ReasonCode, STAMP_LEN,
    frame,
};

const VERSION: ProtocolVersion = ProtocolVersion::V5;
/// Four and sixteen bytes: what a Topic Name costs is counted by the byte.
const SHORT_TOPIC: &str = "b/01";
const LONG_TOPIC: &str = "bench/topic/0001";
const PAYLOAD: [u8; 16] = [7; 16];
const STAMP: [u8; STAMP_LEN] = [9; STAMP_LEN];

fn publish(topic: &'static str, identifier: PacketIdentifier) -> Publish<'static> {
    Publish::new(topic, &PAYLOAD).at_least_once(identifier)
}

/// What a connection does with a PUBLISH: find it, read it, take what it needs from it.
#[inline(never)]
fn decode_publish(bytes: &[u8]) -> usize {
    let Framed::Complete(found) = frame(bytes) else { return 0 };
    let decoded = found.decode(VERSION);
    match decoded.packet {
        Packet::Publish(publish) if decoded.oddities.is_empty() => {
            publish.topic.len()
                + publish.payload.len()
                + usize::from(publish.packet_identifier.unwrap_or_default())
        }
        _ => 0,
    }
}

#[inline(never)]
fn decode_puback(bytes: &[u8]) -> usize {
    let Framed::Complete(found) = frame(bytes) else { return 0 };
    let decoded = found.decode(VERSION);
    match decoded.packet {
        Packet::PubAck(ack) if decoded.oddities.is_empty() => {
            usize::from(ack.packet_identifier) + usize::from(ack.reason_code == ReasonCode::SUCCESS)
        }
        _ => 0,
    }
}

#[inline(never)]
fn encode_publish(out: &mut Vec<u8>, identifier: PacketIdentifier) -> bool {
    black_box(publish(SHORT_TOPIC, identifier)).encode(VERSION, out).is_ok()
}

#[inline(never)]
fn encode_puback(out: &mut Vec<u8>, identifier: PacketIdentifier) -> bool {
    black_box(Ack::new(identifier)).encode_puback(VERSION, out).is_ok()
}

/// The sum keeps every iteration's work alive; absent for a path that does not exist.
fn run(path: &str, iterations: u32) -> Option<usize> {
    let mut bytes = Vec::with_capacity(256);
    let mut identifier = PacketIdentifier::MIN;
    let mut sum = 0_usize;
    match path {
        "decode-publish" | "decode-publish-long-topic" => {
            let topic = if path == "decode-publish" { SHORT_TOPIC } else { LONG_TOPIC };
            publish(topic, PacketIdentifier::MAX).encode(VERSION, &mut bytes).ok()?;
            for _ in 0..iterations {
                sum = sum.wrapping_add(decode_publish(black_box(&bytes)));
            }
        }
        "decode-puback" => {
            Ack::new(PacketIdentifier::MAX).encode_puback(VERSION, &mut bytes).ok()?;
            for _ in 0..iterations {
                sum = sum.wrapping_add(decode_puback(black_box(&bytes)));
            }
        }
        "template-publish" => {
            let template = PublishTemplate::new(&publish(SHORT_TOPIC, identifier), VERSION, Some(0)).ok()?;
            for _ in 0..iterations {
                bytes.clear();
                template.append(black_box(&mut bytes), Some(identifier), black_box(STAMP));
                identifier = identifier.next();
                sum = sum.wrapping_add(bytes.len());
            }
        }
        "encode-publish" => {
            for _ in 0..iterations {
                bytes.clear();
                sum = sum.wrapping_add(usize::from(encode_publish(&mut bytes, identifier)));
                identifier = identifier.next();
            }
        }
        "encode-puback" => {
            for _ in 0..iterations {
                bytes.clear();
                sum = sum.wrapping_add(usize::from(encode_puback(&mut bytes, identifier)));
                identifier = identifier.next();
            }
        }
        _ => return None,
    }
    Some(sum)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let iterations = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    match run(&path, iterations) {
        Some(sum) if sum > 0 || iterations == 0 => ExitCode::SUCCESS,
        // A path that does not do its work must not look cheap.
        Some(_) | None => ExitCode::from(2),
    }
}
