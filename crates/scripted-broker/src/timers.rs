//! What happens later, in the order in which it is due. The server adds; the broker's thread waits and runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Things of type `T`, each due at an instant; those due at the same instant in the order in which they were added.
pub(crate) struct Timers<T> {
    waiting: RefCell<BTreeMap<(Instant, u64), T>>,
    added: Cell<u64>,
    changed: Notify,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), added: Cell::default(), changed: Notify::new() }
    }
}

impl<T> Timers<T> {
    /// Adds something that is due at this instant.
    pub(crate) fn add(&self, at: Instant, what: T) {
        let number = self.added.replace(self.added.get() + 1);
        self.waiting.borrow_mut().insert((at, number), what);
        self.changed.notify_one();
    }

    /// Waits until something is due; may be dropped and called again.
    pub(crate) async fn due(&self) {
        loop {
            let first = self.waiting.borrow().first_key_value().map(|(&(at, _), _)| at);
            match first {
                None => self.changed.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => return,
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Takes the first thing that is due, if one is.
    pub(crate) fn take_due(&self) -> Option<T> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.first_entry()?;
        if first.key().0 <= Instant::now() { Some(first.remove()) } else { None }
    }
}
