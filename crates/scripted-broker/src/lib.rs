//! A broker that conforms by default and misbehaves by name, for tests and for authors of MQTT clients.
//!
//! [`ScriptedBroker::start`] runs one on a free port of 127.0.0.1 until it is dropped; a [`Script`] says how it behaves,
//! with one policy for each place where a broker can go wrong. Authors of checks run a check against each misbehaviour, to see
//! it fail; authors of clients run their client against each, to see how it copes.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use ungraceful_mqtt::{Connect, ProtocolVersion};
//! use ungraceful_scripted_broker::{Script, ScriptedBroker, SecondConnect};
//!
//! # fn main() -> std::io::Result<()> {
//! let script = Script { second_connect: SecondConnect::DisconnectShort, ..Script::default() };
//! let broker = ScriptedBroker::start(script);
//!
//! let mut two_connects = Vec::new();
//! for _ in 0..2 {
//!     Connect::new("twice").encode(ProtocolVersion::V5, &mut two_connects).expect("a legal CONNECT");
//! }
//! let mut client = TcpStream::connect(broker.address())?;
//! client.write_all(&two_connects)?;
//! let mut answer = Vec::new();
//! client.read_to_end(&mut answer)?;
//! assert!(answer.ends_with(&[0xE0, 0x01, 0x82]));
//! # Ok(())
//! # }
//! ```
//!
//! What it does: MQTT 3.1.1 and 5.0 over TCP, sessions in memory with their expiry, take-over, all three QoS both ways,
//! retained messages, Wills with their delay, Keep Alive, Maximum QoS, Receive Maximum and Maximum Packet Size both ways.
//!
//! What it leaves out on purpose: TLS and WebSocket; passwords (every Client is accepted unless its user was removed or its
//! token has expired); enhanced authentication (refused with 0x8C) except for the method `JWT`; Shared Subscriptions and
//! Subscription Identifiers (the CONNACK says so to 5.0 Clients); Topic Aliases to Clients; Message Expiry Interval (forwarded
//! unchanged); queueing QoS 0 for absent Clients. Everything runs on one thread, so do not measure performance on it.

mod broker;
mod link;
mod listening;
mod log;
mod message;
mod policy;
mod server;
mod timers;
mod topic_filter;

pub use broker::ScriptedBroker;
pub use log::{EVENTS_MAX, EndedBy, Event, Log, Traffic};
pub use policy::*;
