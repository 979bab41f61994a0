//! Counts what a broker sent and nobody kept. For the whole process, because the connections count there too; a run takes
//! the difference.

use std::sync::atomic::{AtomicU64, Ordering};

use ungraceful_record::discarded::Discarded;
use ungraceful_wire::discarded_bytes;

static PASSED_OVER: AtomicU64 = AtomicU64::new(0);

/// Counts messages that came whole and for which a list was too long already.
pub fn pass_over(messages: u64) {
    PASSED_OVER.fetch_add(messages, Ordering::Relaxed);
}

/// What was dropped since the process began.
#[must_use]
pub fn discarded_so_far() -> Discarded {
    Discarded { bytes: discarded_bytes(), messages: PASSED_OVER.load(Ordering::Relaxed) }
}

#[cfg(test)]
mod tests {
    use super::{discarded_so_far, pass_over};

    #[test]
    fn what_is_passed_over_after_a_look_is_the_difference() {
        let before = discarded_so_far();
        pass_over(3);
        // Other tests of this process may pass over some as well.
        assert!(discarded_so_far().since(before).messages >= 3);
    }
}
