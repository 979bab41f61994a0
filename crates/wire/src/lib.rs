//! One MQTT Network Connection: exact bytes out, exact instants back.
//!
//! Faults and load build on this crate: it puts the bytes it is given on the wire, and reports when the kernel had
//! taken them, and when and how each answer and the end of the stream came. It knows where a packet ends
//! ([`ungraceful_mqtt::frame`]) but not what packets mean: it acknowledges nothing, answers no PINGREQ and never
//! closes by itself, because a client with such reflexes can't misbehave on purpose.
//!
//! What lies over TCP ([`Layers`]) does no I/O, so it serves a [`Connection`] and the engine of a load alike.

mod arrivals;
pub mod clock;
mod connection;
mod endpoint;
mod framing;
mod hop;
mod kernel_stamps;
mod layers;
mod received;
mod relay;
mod stamps;
mod stream;
mod tap;
mod tls;
mod websocket;

pub use arrivals::{Arrived, departed, forget_departures, read_arrived, stamp_arrivals, watch_departures};
pub use connection::{Connection, SilentConnection};
pub use endpoint::{ConnectOptions, Endpoint, Established, OpenError, Opened, bind_source};
pub use framing::{HELD_BYTES_MAX, PACKET_BYTES_MAX, discarded_bytes};
pub use hop::{ClientSide, Forwarded, HaltedHop, Hop};
pub use layers::{Layer, Layers, Transport};
pub use received::{Arrival, EndKind, ReceivedPacket, SendError, Sent, StreamEnd, Unframed};
pub use relay::relay;
pub use stamps::{StampCounts, StampedBy, Stamps};
pub use tls::{Pem, Tls, TlsMistake, TlsSettings, TlsVersion};
pub use websocket::{RawFrame, WebSocket, WebSocketMistake, WebSocketSettings};
