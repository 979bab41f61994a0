//! Attempts: what a fault is, how it is carried out, and what the broker does meanwhile. A worker thread takes each
//! attempt off the plan when it is due, lends it a client, and reports the result.

pub mod backoff;
pub mod client;
pub mod companion;
pub mod connections;
pub mod discarded;
pub mod fault;
pub mod observe;
pub(crate) mod waves;
pub(crate) mod worker;
