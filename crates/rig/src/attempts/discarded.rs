//! Counts what brokers sent and this process did not keep. Process-wide, because connections count there too; a run
//! takes the difference.

use std::sync::atomic::{AtomicU64, Ordering};

use ungraceful_record::discarded::Discarded;
use ungraceful_wire::discarded_bytes;

static MESSAGES: AtomicU64 = AtomicU64::new(0);

/// Counts whole messages for which a list was already full.
pub fn count_messages(messages: u64) {
    MESSAGES.fetch_add(messages, Ordering::Relaxed);
}

/// What was discarded since the process started.
#[must_use]
pub fn discarded_so_far() -> Discarded {
    Discarded { bytes: discarded_bytes(), messages: MESSAGES.load(Ordering::Relaxed) }
}

#[cfg(test)]
mod tests {
    use super::{count_messages, discarded_so_far};

    #[test]
    fn messages_discarded_after_a_reading_are_the_difference() {
        let before = discarded_so_far();
        count_messages(3);
        // Other tests of this process may count some as well.
        assert!(discarded_so_far().since(before).messages >= 3);
    }
}
