//! Counts the open connections of attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The count, shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct OpenConnections {
    open: Arc<AtomicU64>,
}

/// One open connection; counted until dropped.
#[derive(Debug)]
pub struct OpenConnection {
    open: Arc<AtomicU64>,
}

impl OpenConnections {
    /// Counts one more while the returned value lives.
    #[must_use]
    pub fn enter(&self) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection { open: Arc::clone(&self.open) }
    }

    /// How many are open.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
