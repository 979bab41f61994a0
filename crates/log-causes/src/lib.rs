//! From a line of a broker's log to the cause of a disconnect.
//!
//! [`Matcher`] recognises lines by the patterns in `corpus`. [`story::Story`] joins related lines into incidents
//! and looks for signs that only many lines show. [`explain`] gives the meaning, reproduction and cure of a cause.
//! [`scan::Scanner`] feeds a log of any size to a [`Matcher`] in bounded memory.
//!
//! Needs no broker and sends nothing. The callers print: `rig` names the cause of each line of a run's broker log, and
//! `ungraceful explain` reports on a whole log.

pub mod broker;
pub mod cause;
pub mod codes;
pub mod command;
pub mod scan;
pub mod story;
pub mod timestamp;

mod envelope;
mod explanations;
mod fields;
mod matcher;
mod pattern;
mod template;
mod unknown;

pub use broker::Broker;
pub use cause::{Cause, Effect, Precision};
pub use explanations::{Closer, Explanation, Provoke, explain};
pub use matcher::{Found, Matcher};
pub use pattern::{Evidence, Pattern, patterns};
pub use unknown::UnknownLines;
