//! A connection against a peer in the same process, over TCP, TLS and WebSocket: what each side sees, byte for byte.
//!
//! No broker takes part. Loopback delivers before a write returns, so nothing here waits for time to pass; the
//! one time limit is against hanging.

#![expect(clippy::unwrap_used, reason = "what can't be had ends the test")]

mod closing;
mod ends;
mod hop;
mod opening;
mod packets;
mod peer;
mod secured;
mod sending;
mod silence;
mod stamps;
mod websocket;
