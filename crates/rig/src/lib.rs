//! One run: a broker, a plan, attempts of faults or a load, bystanders beside them, and the record of what was seen.
//!
//! This crate knows what a fault *is* ([`attempts::fault::Fault`]), but no particular fault. Every tool is the same
//! [`run::run`] with another plan, other faults and other checks. The record and its verdicts are in
//! `ungraceful_record`.

pub mod attempts;
pub mod broker;
pub mod bystanders;
pub mod error;
pub mod measure;
pub mod run;
