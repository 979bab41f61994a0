//! The default target: a library MQTT broker behind one function.
//!
//! [`serve`] is meant to run in a separate child process, so that its processor time and memory are not mixed with those of the load
//! generator, and so that it can be stopped or killed as a fault. The binaries re-execute themselves to get that child; nothing else
//! may depend on the library, whose API changes often.
//!
//! The broker: MQTT 5.0 and 3.1.1 over plain TCP on 127.0.0.1, without access control, with everything in memory.
//! The library's admission limits (10,000 connections, 10,000 new ones per second) are lifted.
//!
//! Known deviations from the standard, which a run reports:
//! - it sends a DISCONNECT with a Reason Code to a 3.1.1 Client, a packet that only Clients may send there;
//! - it holds 3.1.1 Clients to the Receive Maximum as well, which that version does not have;
//! - it counts only QoS 2 against the Receive Maximum: it acknowledges QoS 1 before it reads on;
//! - it accepts a Receive Maximum of 0 and a Packet Identifier of 0;
//! - it adds a User Property `x-mqtt-client-id` to what it delivers.
//!
//! Left out on purpose: TLS, WebSocket, authentication and persistence. Linux only, because of the tie to the parent process.

mod lifeline;
mod serve;
mod settings;

pub use lifeline::LifelineError;
pub use serve::{ServeError, serve};
pub use settings::Settings;

/// Name and version of the library, as pinned in this crate's manifest.
pub const LIBRARY: &str = "mqtt5 0.49.0";
