//! How the broker keeps to the Client's Receive Maximum (`MQTT 5.0 [MQTT-3.3.4-9]` and section 4.9).

use std::num::NonZeroU32;

use super::name::policy;

policy! {
    /// How the broker keeps to the Client's Receive Maximum. In MQTT 3.1.1 it counts as 65,535.
    enum SubscriberFlow {
        #[default]
        Keep => "keep", "no more outstanding than the Client allows: conforms";
        ExceedBy(n: NonZeroU32) => "exceed-by-N", "up to N more outstanding than the Client allows";
        Ignore => "ignore", "no limit";
        /// Breaks `MQTT 5.0 [MQTT-4.9.0-3]`.
        StarvePings => "starve-pings", "no PINGREQ is answered while the limit is reached";
        ReorderQueue => "reorder-queue", "queued messages are sent in reverse order";
        Stall => "stall", "once the limit is reached, acknowledgements free nothing: the rest is never sent";
        /// Breaks `MQTT 5.0 [MQTT-4.5.0-1]`.
        DropBeyond => "drop-beyond", "messages beyond the limit are dropped, though acknowledged";
    }
}
