//! From a line of a broker's log to the cause of a disconnect.
//!
//! [`Matcher`] recognises lines by the patterns in `patterns.tsv`, [`story::Story`] joins the lines that belong
//! together into incidents and looks for what only many lines show, and [`explain`] says what a cause means, how to
//! provoke it and what cures it. [`scan::Scanner`] brings lines of a log of any size to a [`Matcher`] in bounded memory.
//!
//! No broker is needed and nothing is sent. What is printed is left to the callers: `rig` names the cause of each line
//! of a run's broker log, and `ungraceful explain` tells the whole story.

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

pub use broker::Broker;
pub use cause::{Cause, Effect, Precision};
pub use explanations::{Closer, Explanation, Provoke, explain};
pub use matcher::{Found, Matcher};
pub use pattern::{Evidence, Pattern, patterns};
