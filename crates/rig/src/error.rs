//! Why a run could not be made, by who must act. What a broker does is never in here: that is a finding in the
//! record.

use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;

/// Why a run could not be made or finished.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user must act; all mistakes are reported together, and nothing was sent.
    #[error("{}", join(.0))]
    Usage(Vec<Mistake>),
    /// Something outside must change: an unreachable broker, a limit, a disk.
    #[error("{0}")]
    Environment(String),
    /// As [`Self::Environment`]: there is no broker at the address, or no longer.
    #[error("{0}")]
    Unreachable(String),
    /// The run reached its time limit before it attempted anything.
    #[error("{0}")]
    OutOfTime(String),
    /// The user interrupted it before anything was measured.
    #[error("interrupted before the run began; nothing was measured")]
    Interrupted,
    /// A bug in this program.
    #[error("a bug in this program: {0}")]
    Bug(String),
}

fn join(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")
}

impl RunError {
    /// The same in other words, where something outside must change; other errors stay.
    pub(crate) fn in_words(self, words: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Environment(text) => Self::Environment(words(text)),
            Self::Unreachable(text) => Self::Unreachable(words(text)),
            other => other,
        }
    }

    /// The exit code of this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Environment(_) | Self::Unreachable(_) => Exit::Environment,
            Self::OutOfTime(_) => Exit::Inconclusive,
            Self::Interrupted => Exit::Interrupted,
            Self::Bug(_) => Exit::Bug,
        }
    }
}
