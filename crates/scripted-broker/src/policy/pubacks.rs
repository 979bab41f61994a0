//! Whether and when a QoS 1 message from a Client is acknowledged (MQTT 5.0 section 4.3.2).

use std::time::Duration;

use super::name::policy;

policy! {
    /// Whether and when a QoS 1 message from a Client is acknowledged. It reaches its subscribers at once, unless it is refused.
    enum Pubacks {
        #[default]
        AtOnce => "at-once", "before the next packet is read: conforms";
        /// In order.
        Late(time: Duration) => "late-puback-DURATION", "this much later, counting against the Receive Maximum until then: conforms";
        /// A broker that leaves Nagle's algorithm on does so, once one acknowledgement waits for the TCP ACK of another.
        WithNext => "with-next", "with the Client's next message or after 40 ms, as Nagle's algorithm does: conforms";
        /// MQTT 3.1.1 has no code: the message is acknowledged there, and not taken.
        Refuse(code: u8) => "refuse-0xNN", "refused with this Reason Code (5.0), at QoS 2 too; the message is dropped";
        /// Breaks `MQTT 5.0 [MQTT-4.3.2-4]`.
        Never => "never", "the message is delivered, but never acknowledged";
    }
}
