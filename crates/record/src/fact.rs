//! Facts and measures with typed names: a misspelt name or an impossible value does not compile. In files they are text.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use crate::metric::Distribution;
use crate::run::CaseRecord;

/// The name of a fact, with the type of its values: an enum of [`words!`](crate::words), a flag, a count, or text.
#[derive(Debug)]
pub struct FactOf<V> {
    name: &'static str,
    values: PhantomData<fn() -> V>,
}

impl<V> FactOf<V> {
    /// The fact with this name, in snake case.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: PhantomData }
    }

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<V> Clone for FactOf<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for FactOf<V> {}

/// The name of a measure. It ends in the unit (`_us`, `_bytes`, `_permille`); without one the value is a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    name: &'static str,
    code: Option<u8>,
}

impl Measure {
    /// The measure with this name, in snake case.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, code: None }
    }

    /// The measure for this Reason Code only; its name ends in the code, such as `tries_refused_0x97`.
    #[must_use]
    pub const fn of_code(self, code: u8) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// The name in files.
impl Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.code.map_or(Ok(()), |code| write!(f, "_0x{code:02X}"))
    }
}

crate::words! {
    /// The value of a yes/no fact.
    pub enum YesNo: "answer" {
        /// Yes.
        Yes = "yes",
        /// No.
        No = "no",
    }
}

impl From<bool> for YesNo {
    fn from(is_yes: bool) -> Self {
        if is_yes { Self::Yes } else { Self::No }
    }
}

impl CaseRecord {
    /// Number of attempts with `value` for the fact.
    #[must_use]
    pub fn count<V: Display>(&self, fact: FactOf<V>, value: impl Into<V>) -> u64 {
        self.facts
            .get(fact.name)
            .and_then(|counts| counts.get(&value.into().to_string()))
            .copied()
            .unwrap_or(0)
    }

    /// Number of attempts with any value for the fact.
    #[must_use]
    pub fn total<V>(&self, fact: FactOf<V>) -> u64 {
        self.facts.get(fact.name).map_or(0, |counts| counts.values().sum())
    }

    /// The observed values of the fact with their counts. Text that is not a valid value is skipped.
    pub fn values<V: FromStr>(&self, fact: FactOf<V>) -> impl Iterator<Item = (V, u64)> {
        let seen = self.facts.get(fact.name).into_iter().flatten().filter(|(_, count)| **count > 0);
        seen.filter_map(|(value, count)| Some((value.parse().ok()?, *count)))
    }

    /// All values of the fact except one, with their counts, as text.
    #[must_use]
    pub fn others<V: Display>(&self, fact: FactOf<V>, except: impl Into<V>) -> String {
        let except = except.into().to_string();
        self.in_words_where(fact, |value| value != except)
    }

    /// The values of the fact with their counts, as text.
    #[must_use]
    pub fn in_words<V>(&self, fact: FactOf<V>) -> String {
        self.in_words_where(fact, |_value| true)
    }

    fn in_words_where<V>(&self, fact: FactOf<V>, is_meant: impl Fn(&str) -> bool) -> String {
        let values = self.facts.get(fact.name).into_iter().flatten().filter(|(value, _)| is_meant(value));
        values.map(|(value, count)| format!("{value} (×{count})")).collect::<Vec<_>>().join(", ")
    }

    /// The distribution of the measure; empty when no attempt has it.
    #[must_use]
    pub fn measured(&self, measure: Measure) -> Distribution {
        self.measures.get(&measure.to_string()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FactOf, Measure};
    use crate::metric::Distribution;
    use crate::run::CaseRecord;

    crate::words! {
        enum Fate: "fate" {
            Kept = "kept",
            Lost = "lost",
        }
    }

    const FATE: FactOf<Fate> = FactOf::new("fate");
    const SECONDS: FactOf<u64> = FactOf::new("seconds");
    const HOW: FactOf<String> = FactOf::new("how");
    const TOOK: Measure = Measure::new("took_us");

    /// A case with a value of `fate` from a later version.
    fn case() -> CaseRecord {
        let counts =
            |counts: &[(&str, u64)]| counts.iter().map(|(value, count)| ((*value).into(), *count)).collect();
        CaseRecord {
            facts: BTreeMap::from([
                (FATE.name().into(), counts(&[("kept", 3), ("lost", 2), ("stolen", 1)])),
                (SECONDS.name().into(), counts(&[("60", 5)])),
            ]),
            measures: BTreeMap::from([(
                TOOK.to_string(),
                Distribution { sum: 7, ..Distribution::default() },
            )]),
            ..CaseRecord::default()
        }
    }

    #[test]
    fn attempts_are_counted_by_the_values_of_a_fact() {
        let case = case();
        assert_eq!((case.count(FATE, Fate::Kept), case.count(SECONDS, 60_u64)), (3, 5));
        assert_eq!(case.values(FATE).collect::<Vec<_>>(), [(Fate::Kept, 3), (Fate::Lost, 2)]);
        assert_eq!((case.total(FATE), case.total(HOW), case.count(HOW, "by hand")), (6, 0, 0));
        assert_eq!(case.others(FATE, Fate::Kept), "lost (×2), stolen (×1)");
    }

    #[test]
    fn a_measure_without_attempts_has_no_values() {
        assert_eq!(case().measured(TOOK).sum, 7);
        assert_eq!(case().measured(TOOK.of_code(0x97)), Distribution::default());
    }
}
