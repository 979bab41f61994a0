//! Whether the whole broker stops for a while, like a process that is paused or swapped out.

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// Whether the whole broker stops for a while. Sockets stay open, and the kernel takes what Clients send. The standard
    /// names no time.
    enum Stall {
        #[default]
        Never => "never", "never stops: conforms";
        /// Counted over all connections, with every second CONNECT.
        AtConnect(number: NonZeroU32, time: Duration) => "at-connect-N-for-DURATION", "stops for this time (800ms, 2s) at the N-th CONNECT overall: conforms";
        AtPublish(number: NonZeroU32, time: Duration) => "at-publish-N-for-DURATION", "stops for this time at the N-th PUBLISH overall: conforms";
    }
}
