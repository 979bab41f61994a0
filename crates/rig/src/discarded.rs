//! What a broker sent and nobody kept: so that the memory of a run is bounded whatever comes, and the record says what was
//! dropped for it.
//!
//! Counted for the whole process, because the connections count there too; a run takes the difference.

use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_wire::discarded_bytes;

static PASSED_OVER: AtomicU64 = AtomicU64::new(0);

/// Counts messages that came whole and for which a list was too long already.
pub fn pass_over(messages: u64) {
    PASSED_OVER.fetch_add(messages, Ordering::Relaxed);
}

/// What of the broker's bytes and messages was dropped, so that memory stays bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discarded {
    /// Bytes on connections of faults: packets larger than the Maximum Packet Size, bytes that can't be framed, and what
    /// followed them.
    pub bytes: u64,
    /// Whole messages beyond what is kept of one client or of one topic.
    pub messages: u64,
}

impl Discarded {
    /// Since the process began.
    #[must_use]
    pub fn so_far() -> Self {
        Self { bytes: discarded_bytes(), messages: PASSED_OVER.load(Ordering::Relaxed) }
    }

    /// Since `before`.
    #[must_use]
    pub fn since(before: Self) -> Self {
        let now = Self::so_far();
        Self { bytes: now.bytes - before.bytes, messages: now.messages - before.messages }
    }
}

#[cfg(test)]
mod tests {
    use super::{Discarded, pass_over};

    #[test]
    fn what_is_passed_over_after_a_look_is_the_difference() {
        let before = Discarded::so_far();
        pass_over(3);
        // Other tests of this process may pass over some as well.
        assert!(Discarded::since(before).messages >= 3);
    }
}
