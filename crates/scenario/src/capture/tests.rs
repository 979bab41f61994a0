//! Tests with captures that are made by hand, and with small real ones.

mod connections;
mod files;
mod hostile;
mod streams;

use super::{Capture, Side};

/// All bytes of one side of the only connection.
fn bytes_from(capture: &Capture, side: Side) -> Vec<u8> {
    let [connection] = &capture.connections[..] else { panic!("not one connection: {capture:?}") };
    let segments = connection.segments.iter().filter(|segment| segment.from == side);
    segments.flat_map(|segment| segment.bytes.clone()).collect()
}
