//! What a broker sent and nobody kept: so that the memory of a run is bounded whatever comes, and the record says what was
//! dropped for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What was added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, messages: self.messages - before.messages }
    }
}
