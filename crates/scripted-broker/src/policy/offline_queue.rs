//! How much is kept for a session without a connection (MQTT 5.0 section 4.1).

use std::num::NonZeroU32;

use super::name::policy;

policy! {
    /// How much is kept for a session without a connection. Messages that were sent but not acknowledged do not count.
    enum OfflineQueue {
        #[default]
        Unlimited => "unlimited", "all QoS 1 and QoS 2 messages: conforms";
        DropNewestOver(n: NonZeroU32) => "drop-newest-over-N", "N messages; later ones are lost, though acknowledged";
        DropOldestOver(n: NonZeroU32) => "drop-oldest-over-N", "N messages; the oldest are lost, though acknowledged";
        /// In the PUBACK or PUBREC; MQTT 3.1.1 acknowledges. The other subscribers get the message all the same.
        RefuseOver(n: NonZeroU32) => "refuse-over-N", "N messages; later ones are refused with 0x97 (5.0)";
    }
}
