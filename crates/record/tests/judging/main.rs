//! Judging a record: the checks of every run, the exit code that verdicts come to, and the published schema. No
//! sockets: a record is all there is.

mod accepted;
mod counts;
mod exit_codes;
mod lateness;
mod messages;
mod run_checks;
mod samples;
mod schema;
mod thresholds;
