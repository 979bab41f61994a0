//! What happens to retained messages (MQTT 5.0 sections 3.3.1.3 and 3.2.2.3.5).

use std::time::Duration;

use super::name::policy;

policy! {
    /// What happens to retained messages.
    enum Retained {
        #[default]
        Keep => "keep", "kept, and sent right after the SUBACK: conforms";
        /// The standard sets no time for it.
        SendAfter(time: Duration) => "after-DURATION", "kept, and sent this long after the SUBACK (700ms, 2s): conforms";
        /// By Retain Available 0: a Will with Will Retain is refused (`MQTT 5.0 [MQTT-3.2.2-13]`), and a PUBLISH with RETAIN is
        /// answered with DISCONNECT 0x9A. MQTT 3.1.1 cannot say so: both are accepted, and nothing is kept. Conforms on
        /// MQTT 5.0.
        Unavailable => "unavailable", "none is kept, and the 5.0 CONNACK says so";
    }
}
