//! Reads the keys of a JSON object, and collects every mistake with its line, its key and its cure.

use serde_json::{Map, Value};
use ungraceful_record::scale::counted;
use ungraceful_scenario::{Mistake, nearest};

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, line: usize, key: &str, what: impl Into<String>) {
        self.0.push(Mistake { line, key: key.to_owned(), what: what.into() });
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first `most` as texts, then the number of the others.
    pub(super) fn in_words(&self, most: usize) -> Vec<String> {
        let mut words: Vec<String> = self.0.iter().take(most).map(ToString::to_string).collect();
        let others = self.count().saturating_sub(most);
        if others > 0 {
            words.push(format!("and {}", counted(others as u64, "further mistake")));
        }
        words
    }
}

/// An object with these keys and no others.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    line: usize,
    path: String,
}

impl<'a> Fields<'a> {
    /// Begins to read an object; absent when the value is none. Unknown keys are mistakes.
    pub(super) fn of(
        value: &'a Value,
        (line, path): (usize, &str),
        keys: &[&str],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let Value::Object(object) = value else {
            mistakes.add(line, path, format!("write an object with {}", keys.join(", ")));
            return None;
        };
        let fields = Self { object, line, path: path.to_owned() };
        for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
            let near = nearest(key, keys.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
            fields.mistake(key, format!("unknown key: {near}The keys are {}", keys.join(", ")), mistakes);
        }
        Some(fields)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    pub(super) fn mistake(&self, key: &str, what: impl Into<String>, mistakes: &mut Mistakes) {
        mistakes.add(self.line, &self.path_of(key), what);
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn find(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// A value that must be there.
    fn read<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let found = self.find(key);
        let value = found.and_then(read);
        if value.is_none() {
            let why = if found.is_some() { "this is something else" } else { "it is missing" };
            self.mistake(key, format!("{why}: write {what}"), mistakes);
        }
        value
    }

    pub(super) fn text(&self, key: &str, mistakes: &mut Mistakes) -> Option<&'a str> {
        self.read(key, "a text", Value::as_str, mistakes)
    }

    pub(super) fn switch(&self, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool, mistakes)
    }

    pub(super) fn list(&self, key: &str, mistakes: &mut Mistakes) -> Option<&'a [Value]> {
        let list = |value: &'a Value| value.as_array().map(Vec::as_slice);
        self.read(key, "a list, which may be empty", list, mistakes)
    }

    /// One of these words.
    pub(super) fn word(&self, key: &str, words: &[&str], mistakes: &mut Mistakes) -> Option<&'a str> {
        let word = |value: &'a Value| value.as_str().filter(|word| words.contains(word));
        self.read(key, &format!("one of \"{}\"", words.join("\", \"")), word, mistakes)
    }

    /// A QoS from 0 to 2; 0 without one.
    pub(super) fn qos(&self, key: &str, mistakes: &mut Mistakes) -> Option<u64> {
        let qos = |value: &Value| value.as_u64().filter(|qos| *qos <= 2);
        if self.has(key) { self.read(key, "0, 1 or 2", qos, mistakes) } else { Some(0) }
    }
}
