//! Faults of the connection's life: CONNECT, and what comes in its place.

pub mod abrupt;
pub mod abrupt_checks;
pub mod double_connect;
pub mod double_connect_checks;
pub mod herd;
pub mod herd_checks;
pub mod keep_alive;
pub mod knock;
pub mod knock_checks;
pub mod takeover;
