//! The patterns in `corpus`: a file for each broker, a pattern per row. Within a broker the first matching row counts.
//!
//! Columns: versions that print it, effect, cause, regular expression, example, and evidence. Named groups
//! mean the same in every row: `id` ClientID, `conn` or `peer` or `ip` and `port` the client's address, `handle` the
//! broker's own name of the connection, `k` Keep Alive, `p` protocol, `rc` Reason Code in decimal, `repr` a text of
//! the broker's that holds the ClientID, `old` and `new` the two connections of a take-over, `topic` a Topic Name, `at` the end
//! of the time where the expression needs it, `named` the ClientID of the line before.

use std::sync::LazyLock;

use regex_syntax::hir::{Hir, HirKind};

use crate::broker::Broker;
use crate::cause::{Cause, Effect};

/// The source of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Seen in the log of a running broker.
    Run,
    /// The broker's source code.
    Source,
    /// The broker's documentation.
    Documentation,
    /// A user's report.
    Issue,
}

impl Evidence {
    fn find(letter: &str) -> Option<Self> {
        Some(match letter {
            "R" => Self::Run,
            "S" => Self::Source,
            "D" => Self::Documentation,
            "I" => Self::Issue,
            _ => return None,
        })
    }

    /// The text for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "seen in a run",
            Self::Source => "broker source",
            Self::Documentation => "broker documentation",
            Self::Issue => "user report",
        }
    }
}

/// One pattern.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Its number among all patterns, from 1.
    pub row: u16,
    /// The broker that logs it.
    pub broker: Broker,
    /// The broker versions that log it, as far as known.
    pub versions: &'static str,
    /// The effect on the connection.
    pub effect: Effect,
    /// The cause.
    pub cause: Cause,
    /// The regular expression, over bytes.
    pub regex: &'static str,
    /// A line that it matches.
    pub example: &'static str,
    /// Its source.
    pub evidence: Evidence,
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let lines =
        Broker::ALL.iter().flat_map(|broker| broker.corpus().lines().skip(1).map(|line| (*broker, line)));
    lines.zip(1..).map(|((broker, line), row)| read(broker, line, row)).collect()
});

/// Every pattern, by broker, in the order of the files.
#[must_use]
pub fn patterns() -> &'static [Pattern] {
    &PATTERNS
}

fn read(broker: Broker, line: &'static str, row: u16) -> Pattern {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let parsed = || {
        let &[versions, effect, cause, regex, example, evidence] = columns.as_slice() else {
            return None;
        };
        Some(Pattern {
            row,
            broker,
            versions,
            effect: Effect::find(effect)?,
            cause: Cause::find(cause)?,
            regex,
            example,
            evidence: Evidence::find(evidence)?,
        })
    };
    parsed().unwrap_or_else(|| {
        unreachable!("a test reads every row of the corpus; this one of {broker} is none: {line}")
    })
}

/// Texts of which every matching line contains at least one: the longest literal of the expression, or one per branch.
/// Quotes and backslashes are excluded, because they are escaped where a line is wrapped in JSON.
#[must_use]
pub(crate) fn needles(regex: &str) -> Vec<Vec<u8>> {
    let parsed = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(regex);
    let hir = parsed.expect("a test compiles every expression");
    let mut needles = required(&hir).expect("a test asks every expression for its needles");
    for needle in &mut needles {
        needle.drain(..needle.len().saturating_sub(NEEDLE_BYTES_MAX));
    }
    needles.sort_unstable();
    needles.dedup();
    needles
}

/// The shortest useful needle: shorter ones occur in too many lines.
const NEEDLE_BYTES_MIN: usize = 6;
/// Bytes kept of a needle, from its end, where similar patterns differ: a small automaton stays in the cache.
pub(crate) const NEEDLE_BYTES_MAX: usize = 24;

fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let parts = literal.0.split(|byte| matches!(byte, b'"' | b'\\'));
            let longest = parts.max_by_key(|part| part.len())?;
            (longest.len() >= NEEDLE_BYTES_MIN).then(|| vec![longest.to_vec()])
        }
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Concat(parts) => {
            // The choice whose shortest needle is the longest: it occurs in the fewest other lines.
            let choices = parts.iter().filter_map(required);
            choices.max_by_key(|needles| needles.iter().map(Vec::len).min())
        }
        HirKind::Alternation(branches) => {
            let branches: Option<Vec<_>> = branches.iter().map(required).collect();
            branches.map(|needles| needles.into_iter().flatten().collect())
        }
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Repetition(_) | HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}
