//! Received data that was discarded to limit memory, for the record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Received bytes and messages that were discarded to limit memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discarded {
    /// Bytes on connections of faults: packets larger than the Maximum Packet Size, bytes that can't be framed, and what
    /// followed them.
    pub bytes: u64,
    /// Whole messages beyond the limit per client or topic.
    pub messages: u64,
}

impl Discarded {
    /// The difference to `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, messages: self.messages - before.messages }
    }
}
