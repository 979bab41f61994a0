//! When a silent Client is closed (`MQTT 5.0 [MQTT-3.1.2-22]`, `MQTT 3.1.1 [MQTT-3.1.2-24]`).

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// When the broker closes a silent Client. It sends DISCONNECT 0x8D first, unless the policy says otherwise; MQTT 3.1.1
    /// has none.
    enum KeepAlive {
        #[default]
        Close => "close", "closed after 1.5 times its Keep Alive: conforms";
        CloseAtPercent(percent: NonZeroU32) => "close-at-percent-N", "closed after N percent of its Keep Alive";
        FinAtPercent(percent: NonZeroU32) => "fin-at-percent-N", "as `close-at-percent-N`, without a DISCONNECT";
        /// Counted from when the connection was accepted. The standard sets no upper limit.
        SweepEvery(time: Duration) if time > Duration::ZERO => "sweep-every-DURATION", "closed at the next sweep, one every DURATION, once silent for 1.5 times its Keep Alive: conforms";
        Never => "never", "never closed for silence";
        RefreshedByDownlink => "refreshed-by-downlink", "packets sent to the Client count as if it had sent them";
    }
}
