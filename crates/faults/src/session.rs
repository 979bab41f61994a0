//! Faults of what outlives a connection: session, Will, retained messages.

pub mod will_storm;
pub mod will_storm_checks;
