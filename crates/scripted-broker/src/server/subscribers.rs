//! Which sessions may want a message, so that not every session has to be checked.

use std::collections::{BTreeSet, HashMap};

/// The keys of sessions by Topic Filter. May list some that have unsubscribed, and never omits one.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Those whose filter is a Topic Name.
    exact: HashMap<String, BTreeSet<String>>,
    /// Those whose filter has a wildcard.
    wild: BTreeSet<String>,
}

impl Subscribers {
    pub(super) fn add(&mut self, topic_filter: &str, key: &str) {
        if topic_filter.contains(['+', '#']) {
            self.wild.insert(key.to_owned());
        } else {
            self.exact.entry(topic_filter.to_owned()).or_default().insert(key.to_owned());
        }
    }

    /// The sessions that may want a message with this Topic Name, in a fixed order.
    pub(super) fn of(&self, topic: &str) -> BTreeSet<String> {
        self.exact.get(topic).into_iter().flatten().chain(&self.wild).cloned().collect()
    }

    /// Forgets a session that has no subscription left with this filter, or none with wildcards.
    pub(super) fn remove(&mut self, topic_filter: &str, key: &str, has_wildcards: bool) {
        if let Some(keys) = self.exact.get_mut(topic_filter) {
            keys.remove(key);
            if keys.is_empty() {
                self.exact.remove(topic_filter);
            }
        }
        if !has_wildcards {
            self.wild.remove(key);
        }
    }
}
