//! The binaries' common part: the command line, the launch of a run, the tools.
//!
//! Every tool is a [`launch::Tool`]: its flags, its faults, its checks. The rest is the same for all. [`explain`] alone
//! is no run: it reads logs.

pub mod cli;
pub mod explain;
pub mod front;
pub mod launch;
pub mod reference;
pub mod tools;

mod find_rate;
mod hidden;
mod list;
mod print_plan;
mod tour;
