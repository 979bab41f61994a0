//! The honest side of a run, on a thread of its own: pairs that publish and receive, the witness of the Wills, the pulse that
//! tells whether the broker is responsive, and what the broker publishes of itself.

pub(crate) mod context;
pub mod honest;
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
