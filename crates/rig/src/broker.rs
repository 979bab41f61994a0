//! The broker under test: its address, how the run starts and stops it, what it permits, and what its process and log
//! show.

pub mod clients;
pub mod clients_file;
pub mod command_output;
pub(crate) mod dynamic_security;
pub mod external_command;
pub(crate) mod found;
pub(crate) mod log;
pub mod log_follower;
pub(crate) mod log_phrases;
pub mod nodes;
pub mod outage;
pub mod owned;
pub(crate) mod preflight;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod rights;
pub mod target;
pub mod watch;
pub(crate) mod watched;
