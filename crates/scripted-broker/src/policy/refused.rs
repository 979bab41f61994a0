//! What happens to packets behind a CONNECT that was refused (`MQTT 5.0 [MQTT-3.1.4-6]`, `MQTT 3.1.1 [MQTT-3.1.4-5]`).

use std::time::Duration;

use super::name::policy;

policy! {
    /// What happens to packets behind a CONNECT that was refused with a CONNACK, whatever the reason. A refused Client that is
    /// served gets a new session under a ClientID of the broker's.
    enum Refused {
        #[default]
        Close => "close", "FIN, and what follows is ignored: conforms";
        ServeFor(time: Duration) => "serve-for-DURATION", "what follows is served for this time (800ms, 2s), then FIN";
        /// For ever: breaks `MQTT 5.0 [MQTT-3.2.2-7]` and `MQTT 3.1.1 [MQTT-3.2.2-5]`, too.
        Serve => "serve", "what follows is served as if the CONNECT had been accepted";
    }
}
