//! A connection against a plain TCP peer in the same process: what each side sees, byte for byte.
//!
//! No broker takes part. Loopback delivers before a write returns, so nothing here waits for time to pass; the
//! one time limit is against hanging.

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
