//! A mistake in a call.

use std::fmt;

/// A mistake in how a tool was called: the flag, what is wrong, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The flag as the user types it, such as `--count`.
    pub flag: String,
    /// What is wrong and what to do, as a lower-case fragment.
    pub what: String,
}

impl Mistake {
    /// A mistake in `flag`.
    #[must_use]
    pub fn new(flag: impl Into<String>, what: impl Into<String>) -> Self {
        Self { flag: flag.into(), what: what.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.what)
    }
}
