//! The exit codes: one table, used by every binary and printed in every man page.

/// The exit status of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every check holds.
    Holds = 0,
    /// A check or a threshold is violated.
    Violated = 1,
    /// Invalid usage; nothing was sent.
    Usage = 2,
    /// No judgement was possible.
    Inconclusive = 3,
    /// A problem of the environment, not of the broker's behaviour.
    Environment = 4,
    /// A bug in this program.
    Bug = 70,
    /// Interrupted; a partial record was written.
    Interrupted = 130,
}

impl Exit {
    /// Every exit code, in the documented order.
    pub const ALL: [Self; 7] = [
        Self::Holds,
        Self::Violated,
        Self::Usage,
        Self::Inconclusive,
        Self::Environment,
        Self::Bug,
        Self::Interrupted,
    ];

    /// The process exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Usage => "usage",
            Self::Inconclusive => "inconclusive",
            Self::Environment => "environment",
            Self::Bug => "bug",
            Self::Interrupted => "interrupted",
        }
    }

    /// Its meaning in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Holds => "every check holds",
            Self::Violated => "a check or a threshold is violated",
            Self::Usage => "invalid usage; nothing was sent",
            Self::Inconclusive => {
                "inconclusive: no samples, the target rate was not reached, the generator itself was the \
                 bottleneck, the broker went down, the run reached its time limit, or a planned fault was not carried out"
            }
            Self::Environment => {
                "environment: the broker is unreachable or refuses connections, descriptors or ports ran out, or the \
                 record can't be written"
            }
            Self::Bug => "a bug in this program",
            Self::Interrupted => "interrupted; a partial record was written",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
