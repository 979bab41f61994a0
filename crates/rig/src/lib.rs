//! One experiment: target, plan, phases, workers, honest clients, bystanders, witness, ledger, recorder, record,
//! checks, verdicts, seed, clock, limits and safety.
//!
//! This crate knows what a fault *is* ([`fault::Fault`]) and not any one fault. Every tool is the same
//! [`run::run`] with another plan, other faults and other checks.

pub mod backoff;
pub mod client;
pub mod clock;
pub mod connections;
pub mod error;
pub mod fault;
pub mod honest;
pub mod input_file;
pub mod limits;
pub mod load;
pub mod log_follower;
pub mod observe;
pub mod outage;
pub mod owned_broker;
pub mod plan;
pub mod pulse;
pub mod recorder;
pub mod run;
pub mod safety;
pub mod said;
pub mod seed;
pub mod stop;
pub mod target;
pub mod watch;
pub mod witness;

pub mod bound;
mod broker;
mod broker_log;
mod broker_process;
mod bystander;
mod collector;
mod conductor;
pub mod discarded;
mod dynamic_security;
mod honest_thread;
mod host;
mod load_phase;
mod log_phrases;
mod loop_lag;
mod meter;
mod pacer;
mod preflight;
mod resources;
mod rights;
mod slope;
mod summary;
mod sys_topics;
mod tally;
mod timeline;
mod waves;
mod worker;

pub use bystander::{BystanderSettings, PAYLOAD_BYTES, honest_connections};
pub use meter::{Counters, Interval};
