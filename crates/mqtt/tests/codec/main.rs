//! The codec's proof: golden bytes, known traps of other codecs, property tests, and cross checks against other codecs.
//!
//! One binary, so that the other codecs are linked once. What a file checks on its own stays beside its code.

// The lints that spare tests look for this, and an integration test is not recognised without it.
#![cfg(test)]

mod forged;
mod generate;
mod golden;
mod hostile;
mod other_codecs;
mod other_codecs_defects;
mod round_trip;
mod template;
mod traps;

use ungraceful_mqtt::{Decoded, Framed, ProtocolVersion, frame};

/// Decodes bytes that must be exactly one whole packet.
fn decode(bytes: &[u8], version: ProtocolVersion) -> Decoded<'_> {
    let Framed::Complete(found) = frame(bytes) else { panic!("no whole packet: {bytes:02X?}") };
    assert_eq!(found.len(), bytes.len(), "more than one packet: {bytes:02X?}");
    found.decode(version)
}
