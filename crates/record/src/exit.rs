//! The exit codes: one table, used by every binary and printed in every man page.

/// What a tool's exit status says.
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
    /// Something outside the broker's behaviour stood in the way.
    Environment = 4,
    /// A defect of ours.
    Bug = 70,
    /// Interrupted; the partial record is written.
    Interrupted = 130,
}

impl Exit {
    /// Every exit code, in the order in which it is documented.
    pub const ALL: [Self; 7] = [
        Self::Holds,
        Self::Violated,
        Self::Usage,
        Self::Inconclusive,
        Self::Environment,
        Self::Bug,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in one line.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Holds => "every check holds",
            Self::Violated => "a check or a threshold is violated",
            Self::Usage => "invalid usage; nothing was sent",
            Self::Inconclusive => {
                "inconclusive: no samples, the target rate was not reached, the generator itself was the \
                 bottleneck, the broker went down, the run reached its longest duration, or a planned fault never acted"
            }
            Self::Environment => {
                "environment: the broker can't be reached or refuses us, descriptors or ports ran out, the \
                 record can't be written"
            }
            Self::Bug => "a defect of this program",
            Self::Interrupted => "interrupted; the partial record is written",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
