//! Whether a Client that reconnects is accepted again (MQTT 5.0 section 3.1.4: a Server may refuse any Client).

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// Whether a ClientID that was accepted before is accepted again. The codes are those of MQTT 5.0; in 3.1.1 it is Server
    /// unavailable.
    enum Readmission {
        #[default]
        Always => "always", "a returning ClientID is accepted: conforms";
        After(time: Duration) => "after-DURATION", "refused with 0x88 until this time has passed since its first return";
        AtMostPerSecond(clients: NonZeroU32) => "at-most-N-per-second", "N returning ClientIDs are accepted a second, others get 0x9F";
        /// In the order in which they first come back.
        NeverEvery(clients: NonZeroU32) => "never-every-N", "every N-th returning ClientID is refused with 0x97 for ever";
    }
}
