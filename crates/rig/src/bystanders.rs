//! The honest side of a run, on its own thread: publisher-subscriber pairs, the witness for Wills, the pulse, which
//! shows whether the broker is responsive, and the broker's own counters.

pub(crate) mod context;
pub(crate) mod honest;
pub(crate) mod honest_thread;
pub(crate) mod lost_connections;
pub(crate) mod message_meter;
pub(crate) mod orders;
pub(crate) mod pair;
pub mod pulse;
pub(crate) mod readiness;
pub(crate) mod sys_topics;
pub(crate) mod tunnel;
pub mod witness;
pub(crate) mod witness_client;

pub use pair::{BystanderSettings, PAYLOAD_BYTES, honest_connections};
