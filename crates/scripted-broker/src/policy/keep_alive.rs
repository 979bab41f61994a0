//! When a Client that says nothing is closed (`MQTT 5.0 [MQTT-3.1.2-22]`, `MQTT 3.1.1 [MQTT-3.1.2-24]`).

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// When the broker closes a silent Client. It sends DISCONNECT 0x8D first, unless the policy says otherwise; MQTT 3.1.1
    /// has none.
    enum KeepAlive {
        #[default]
        Close => "close", "closed after 1.5 times its Keep Alive: conforms";
        CloseAtPercent(percent: NonZeroU32) => "close-at-percent-N", "closed after N hundredths of its Keep Alive";
        FinAtPercent(percent: NonZeroU32) => "fin-at-percent-N", "the same without a DISCONNECT";
        /// The time runs from the accepting of the connection. The standard has no latest time.
        SweepEvery(time: Duration) if time > Duration::ZERO => "sweep-every-DURATION", "closed when the broker looks, so often, if it was silent for 1.5 times its Keep Alive then: conforms";
        Never => "never", "never closed for its silence";
        RefreshedByDownlink => "refreshed-by-downlink", "what is sent to the Client counts as if it had come from it";
    }
}
