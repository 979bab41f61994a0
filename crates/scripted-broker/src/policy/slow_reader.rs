//! What happens to a Client that does not read what it is sent.

use std::time::Duration;

use super::name::policy;

policy! {
    /// What happens to a Client that does not read what it is sent.
    enum SlowReader {
        /// Beyond that it gets no QoS 0, and QoS 1 and QoS 2 wait.
        #[default]
        Buffer => "buffer", "up to 16 MiB are buffered: conforms";
        /// Although something waited for it.
        CutAfter(time: Duration) => "cut-after-DURATION", "reset when its socket has accepted nothing for this long";
    }
}
