//! The scenarios of the catalogue, built into the program, and the choice of some of them by name.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use ungraceful_mqtt::statement::{self, Statement};
use ungraceful_scenario::model::Force;
use ungraceful_scenario::{Scenario, parse};

/// A scenario of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its family: the folder of its file.
    pub family: &'static str,
    /// Its file, as its author wrote it.
    pub source: &'static str,
    /// The scenario.
    pub scenario: Arc<Scenario>,
}

impl Entry {
    /// Its family and its name, such as `packet/publish-qos3`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.family, self.scenario.id)
    }

    /// The statements that it can violate, in the order of its expectations; some more than once.
    pub fn statements(&self) -> impl Iterator<Item = Statement> {
        let of_cases = self.scenario.cases.iter().flat_map(|case| &case.expects);
        let forces = self.scenario.expects.iter().chain(of_cases).map(|expect| &expect.force);
        forces
            .flat_map(|force| match force {
                Force::Must(statements) => statements.as_slice(),
                _ => &[],
            })
            .copied()
    }
}

// `FILES`: family and text of each file.
include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// Every scenario, by family and name.
pub fn all() -> &'static [Entry] {
    static ALL: OnceLock<Vec<Entry>> = OnceLock::new();
    ALL.get_or_init(|| {
        let entry = |(family, source): &(&'static str, &'static str)| Entry {
            family,
            source,
            scenario: Arc::new(parse(source).expect("a test reads every file of the catalogue")),
        };
        FILES.iter().map(entry).collect()
    })
}

/// The scenario with this name, with or without its family; absent when there is none.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.scenario.id == name || entry.path() == name)
}

/// The scenarios that a pattern names: a name, with or without its family, in which `*` stands for anything; a family is all of its
/// scenarios.
#[must_use]
pub fn matching(pattern: &str) -> Vec<&'static Entry> {
    let is_it = |entry: &&Entry| {
        entry.family == pattern.trim_end_matches('/')
            || matches(pattern, &entry.path())
            || matches(pattern, &entry.scenario.id)
    };
    all().iter().filter(is_it).collect()
}

/// The statements that scenarios of the catalogue can violate, in the order of the standard.
#[must_use]
pub fn statements() -> Vec<Statement> {
    let cited: HashSet<Statement> = all().iter().flat_map(Entry::statements).collect();
    statement::ALL.iter().copied().filter(|statement| cited.contains(statement)).collect()
}

/// The families.
#[must_use]
pub fn families() -> Vec<&'static str> {
    let mut families: Vec<&str> = all().iter().map(|entry| entry.family).collect();
    families.dedup();
    families
}

/// What to answer to a name that no scenario has.
#[must_use]
pub fn unknown(name: &str) -> String {
    let ids = all().iter().map(|entry| entry.scenario.id.as_str());
    let near = ungraceful_scenario::nearest(name, ids);
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!(
        "there is no scenario {name:?}{near}; --list lists them all; the families are {}",
        families().join(", ")
    )
}

/// Whether `name` is what `pattern` describes, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name_family_and_pattern() {
        assert_eq!(find("publish-qos3").unwrap().path(), "packet/publish-qos3");
        assert_eq!(find("packet/publish-qos3").unwrap().scenario.id, "publish-qos3");
        assert!(find("publish").is_none());
        let count = |pattern: &str| matching(pattern).len();
        assert_eq!((count("publish-qos3"), count("packet/publish-qos3"), count("nope")), (1, 1, 0));
        assert_eq!(count("packet"), count("packet/*"));
        assert!(count("packet/*") > 1 && count("*qos3") >= 1 && count("*") == all().len());
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abd", false),
            ("*", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
