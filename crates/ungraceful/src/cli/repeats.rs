//! Several runs of one command, and their comparison.

use std::path::PathBuf;

use clap::Args;
use ungraceful_flags::{Given, Mistake, Whole};

use crate::compared::Percent;

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Comparison")]
pub struct RepeatArgs {
    /// Run this often, one after the other, each with a record of its own; the result says how the figures vary
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: Whole<1, 1_000>,
    /// Another broker, HOST or HOST:PORT: runs take turns between --host and it, and are compared
    #[arg(long, value_name = "HOST")]
    pub against: Option<String>,
    /// Folder of an earlier record, or of several repetitions, to compare with
    #[arg(long, value_name = "DIR")]
    pub compare_with: Option<PathBuf>,
    /// Exit code 1 when a figure is worse than there, beyond noise, and its interval reaches that much, such as 5%; 3 when noise
    /// hides everything, or something was measured on one side only
    #[arg(long, value_name = "PERCENT")]
    pub fail_on_regression: Option<Given<Percent>>,
}

impl RepeatArgs {
    /// Whether the call is of several runs, or compares its run.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.number() > 1
            || self.against.is_some()
            || self.compare_with.is_some()
            || self.fail_on_regression.is_some()
    }

    /// The number of runs of each target.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.repeat.0
    }

    /// The limit of a regression; a mistake is added when it can't be read.
    pub(crate) fn limit(&self, mistakes: &mut Vec<Mistake>) -> Option<Percent> {
        self.fail_on_regression.as_ref().and_then(|given| given.take("--fail-on-regression", mistakes))
    }
}
