//! End to end: the binaries as a user calls them, against brokers that misbehave by name and against real ones.

mod bad_days;
mod bad_input;
mod embedded;
mod plan;
mod real_brokers;
mod reference;
mod scripted;
mod support;
