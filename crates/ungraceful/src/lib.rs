//! The binaries: the command line, the launch of a run, the tools.
//!
//! Every tool is a [`launch::Tool`] with its flags, faults and checks, except [`explain`], which reads logs, and [`again`], which reads records.

pub mod again;
mod arguments;
pub mod cli;
mod compared;
pub mod explain;
pub mod front;
pub mod launch;
pub mod reference;
pub mod tools;

mod find_rate;
mod hidden;
mod junit_file;
mod list;
mod live;
mod merged;
mod page_file;
mod print_plan;
mod print_preflight;
mod repeated;
mod shrinking;
mod statements;
mod tour;
