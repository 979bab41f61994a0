//! The default target: a library MQTT broker behind one function.
//!
//! [`serve`] is meant to run in a child process of its own, so that its processor time and memory can be told from
//! those of the load generator, and so that it can be stopped or killed as a fault. The binaries re-execute
//! themselves to get that child; nothing else may depend on the library behind it, whose API changes often.
//!
//! What the broker is: MQTT 5.0 and 3.1.1 over plain TCP on 127.0.0.1, anyone may connect, everything in memory.
//! The library's own admission limits (10,000 connections, 10,000 new ones per second) are lifted: what stops a
//! run is the machine.
//!
//! Where it is known to leave the standard, which a run will find and report:
//! - it sends a DISCONNECT with a Reason Code to a 3.1.1 Client, a packet that only Clients may send there;
//! - it holds 3.1.1 Clients to the Receive Maximum as well, which that version does not have;
//! - it counts only QoS 2 against the Receive Maximum: it acknowledges QoS 1 before it reads on;
//! - it accepts a Receive Maximum of 0 and a Packet Identifier of 0;
//! - it adds a User Property `x-mqtt-client-id` to what it delivers.
//!
//! Left out on purpose: TLS, WebSocket, authentication and persistence. Who needs those names a broker that has
//! them. Linux only, as the tie to the parent process is.

mod lifeline;
mod serve;
mod settings;

pub use lifeline::LifelineError;
pub use serve::{ServeError, serve};
pub use settings::Settings;

/// What the broker is: name and version of the library, as pinned in this crate's manifest.
pub const LIBRARY: &str = "mqtt5 0.49.0";
