//! Whether the whole broker stops for a while, as a process does that is paused or swapped out.

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// Whether the whole broker stops for a while. Sockets stay open, and the kernel takes what Clients send. The standard
    /// names no time.
    enum Stall {
        #[default]
        Never => "never", "serves all the time: conforms";
        /// Counted over all connections, with every second CONNECT.
        AtConnect(number: NonZeroU32, time: Duration) => "at-connect-N-for-DURATION", "does nothing for this time (800ms, 2s) when the N-th CONNECT of all comes: conforms";
        AtPublish(number: NonZeroU32, time: Duration) => "at-publish-N-for-DURATION", "the same when the N-th PUBLISH of all comes: conforms";
    }
}
