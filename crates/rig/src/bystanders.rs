//! The honest side of a run, on a thread of its own: pairs that publish and receive, the witness of the Wills, the pulse that
//! tells whether the broker is responsive, and what the broker publishes of itself.

pub mod honest;
pub(crate) mod honest_thread;
pub(crate) mod pair;
pub mod pulse;
pub(crate) mod sys_topics;
pub mod witness;

pub use pair::{BystanderSettings, PAYLOAD_BYTES, honest_connections};
