//! Attempts: what a fault is, who carries it out, and what is watched of the broker meanwhile. A worker thread takes each
//! attempt off the plan as it falls due, lends it a client, and hands on what came of it.

pub mod backoff;
pub mod client;
pub mod connections;
pub mod discarded;
pub mod fault;
pub mod observe;
pub(crate) mod waves;
pub(crate) mod worker;
