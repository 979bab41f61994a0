//! Runs one codec path a given number of times, for `scripts/bench-codec` to count its instructions.
//!
//! Usage: `codec_cost <path> <iterations>`. It measures nothing itself, and each path is one function of its own so that
//! a profile shows it by name.

use std::hint::black_box;
use std::process::ExitCode;

use ungraceful_mqtt::{
    Ack, Decoded, Framed, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishTemplate, ReasonCode,
    STAMP_LEN, frame,
};

const VERSION: ProtocolVersion = ProtocolVersion::V5;
const TOPIC: &str = "bench/topic/0001";
const PAYLOAD: [u8; 16] = [7; 16];

fn publish(identifier: PacketIdentifier) -> Publish<'static> {
    Publish::new(TOPIC, &PAYLOAD).at_least_once(identifier)
}

#[inline(never)]
fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
    match frame(bytes) {
        Framed::Complete(found) => Some(found.decode(VERSION)),
        Framed::Incomplete { .. } | Framed::Malformed(_) => None,
    }
}

/// What a connection does with a PUBLISH: find it, read it, take what it needs from it.
#[inline(never)]
fn decode_publish(bytes: &[u8]) -> usize {
    match decode(black_box(bytes)) {
        Some(Decoded { packet: Packet::Publish(publish), oddities }) if oddities.is_empty() => {
            publish.payload.len() + usize::from(publish.packet_identifier.unwrap_or_default())
        }
        _ => 0,
    }
}

#[inline(never)]
fn decode_puback(bytes: &[u8]) -> usize {
    match decode(black_box(bytes)) {
        Some(Decoded { packet: Packet::PubAck(ack), oddities }) if oddities.is_empty() => {
            usize::from(ack.packet_identifier) + usize::from(ack.reason_code == ReasonCode::SUCCESS)
        }
        _ => 0,
    }
}

#[inline(never)]
fn template_publish(template: &PublishTemplate, out: &mut Vec<u8>, identifier: PacketIdentifier) {
    template.append(out, Some(identifier), black_box([9; STAMP_LEN]));
}

#[inline(never)]
fn encode_publish(out: &mut Vec<u8>, identifier: PacketIdentifier) -> bool {
    black_box(publish(identifier)).encode(VERSION, out).is_ok()
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
        "decode-publish" => {
            publish(PacketIdentifier::MAX).encode(VERSION, &mut bytes).ok()?;
            for _ in 0..iterations {
                sum = sum.wrapping_add(decode_publish(&bytes));
            }
        }
        "decode-puback" => {
            Ack::new(PacketIdentifier::MAX).encode_puback(VERSION, &mut bytes).ok()?;
            for _ in 0..iterations {
                sum = sum.wrapping_add(decode_puback(&bytes));
            }
        }
        "template-publish" => {
            let template = PublishTemplate::new(&publish(identifier), VERSION, Some(0)).ok()?;
            for _ in 0..iterations {
                bytes.clear();
                template_publish(&template, &mut bytes, identifier);
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
