//! Values on a command line, in a variable or in a file, with their units and bounds.
//!
//! A flag is a field of a `clap::Args` struct with one of the types here (or any type with a [`reader`]). A value that can't be
//! read is collected as a [`Mistake`], so that all mistakes of a call are reported together. The name of the environment
//! variable, and whether a value may begin with a hyphen, follow from the flag: [`with_environment`].
//!
//! Used by `rig` (for the names of its settings), `faults` and the tools. Knows no tool and no run.

mod chosen;
mod environment;
mod mistake;
mod reader;
mod values;
mod versions;

pub use chosen::{Named, chosen, named, names_all};
pub use environment::{VARIABLE_PREFIX, variable_of, with_environment};
pub use mistake::Mistake;
pub use reader::{Given, Reader, collecting, reader};
pub use values::{Addresses, PerSecond, PositiveTime, Seconds, TIME_MAX, Time, Whole};
pub use versions::{Versions, Wanted};
