//! Faults of the connection's life: CONNECT, and what comes in its place.

pub mod double_connect;
pub mod double_connect_checks;
pub mod herd;
pub mod herd_checks;
pub mod takeover;
