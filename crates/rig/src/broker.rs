//! The broker under test: where it is, how it is started and stopped where it is ours, what it grants, what its process and
//! its log show.

pub(crate) mod dynamic_security;
pub(crate) mod found;
pub(crate) mod log;
pub mod log_follower;
pub(crate) mod log_phrases;
pub mod outage;
pub mod owned;
pub(crate) mod preflight;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod rights;
pub mod said;
pub mod target;
pub mod watch;
pub(crate) mod watched;
