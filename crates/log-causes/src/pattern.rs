//! The patterns: `patterns.tsv`, one row each, embedded. Inside a broker the first row that matches counts.
//!
//! Columns: broker, versions that print it, effect, cause, regular expression, example, and evidence. Named groups
//! mean the same in every row: `id` ClientID, `conn` or `peer` or `ip` and `port` the client's address, `handle` the
//! broker's own name of the connection, `k` Keep Alive, `p` protocol, `rc` Reason Code in decimal, `repr` a text of
//! the broker's that holds the ClientID, `old` and `new` the two connections of a take-over, `topic` a Topic Name.

use std::sync::LazyLock;

use regex_syntax::hir::{Hir, HirKind};

use crate::broker::Broker;
use crate::cause::{Cause, Effect};

/// How a pattern is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Seen in the log of a broker that ran here.
    Run,
    /// Read in the broker's source.
    Source,
    /// From its maker's documentation.
    Documentation,
    /// From a report of a user.
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

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "seen in a run",
            Self::Source => "read in its source",
            Self::Documentation => "its documentation",
            Self::Issue => "a user's report",
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// The line of the file, from 2.
    pub row: u16,
    /// Whose line it is.
    pub broker: Broker,
    /// The versions that print it, as far as known.
    pub versions: &'static str,
    /// What it says about the connection.
    pub effect: Effect,
    /// The cause.
    pub cause: Cause,
    /// The regular expression, over bytes.
    pub regex: &'static str,
    /// A line that it matches.
    pub example: &'static str,
    /// How it is known.
    pub evidence: Evidence,
}

static TABLE: &str = include_str!("patterns.tsv");
static PATTERNS: LazyLock<Vec<Pattern>> =
    LazyLock::new(|| TABLE.lines().zip(1..).skip(1).map(|(line, row)| read(line, row)).collect());

/// Every pattern, in the order of the file.
#[must_use]
pub fn patterns() -> &'static [Pattern] {
    &PATTERNS
}

fn read(line: &'static str, row: u16) -> Pattern {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let parsed = || {
        let &[broker, versions, effect, cause, regex, example, evidence] = columns.as_slice() else {
            return None;
        };
        Some(Pattern {
            row,
            broker: Broker::find(broker)?,
            versions,
            effect: Effect::find(effect)?,
            cause: Cause::find(cause)?,
            regex,
            example,
            evidence: Evidence::find(evidence)?,
        })
    };
    parsed()
        .unwrap_or_else(|| unreachable!("a test reads every row of patterns.tsv; this one is no row: {line}"))
}

/// The texts of which a line that matches holds at least one: the longest literal of the expression, or one of each
/// branch. Quotes and backslashes are left out, because they are escaped where a line is wrapped in JSON.
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

/// The shortest needle that is worth looking for: shorter ones are found in every other line.
const NEEDLE_BYTES_MIN: usize = 6;
/// What is kept of a needle, from its end, where patterns that begin alike differ: a small automaton stays in the cache.
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
            // The choice whose shortest needle is the longest: it is found in the fewest other lines.
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
