//! How long the broker waits for a CONNECT (MQTT 5.0 section 3.1.4: a Server SHOULD close what sends none in a
//! reasonable time).

use std::time::Duration;

use super::name::policy;

policy! {
    /// How long the broker waits for a CONNECT.
    enum ConnectWait {
        #[default]
        ForEver => "for-ever", "no limit, and the standard sets none: conforms";
        Whole(time: Duration) => "whole-DURATION", "FIN if the complete CONNECT has not arrived within this time (800ms, 2s)";
        /// A CONNECT that drips is waited for.
        Gap(time: Duration) => "gap-DURATION", "FIN if nothing has arrived for this time";
        /// Breaks `MQTT 5.0 [MQTT-3.14.0-1]`.
        ThenDisconnect(time: Duration) => "then-disconnect-DURATION", "as `whole-DURATION`, with DISCONNECT E0 02 8D 00 before the FIN";
    }
}
