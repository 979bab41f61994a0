//! When the broker publishes Wills (`MQTT 5.0 [MQTT-3.1.2-8]`, `[MQTT-3.1.2-10]` and `[MQTT-3.1.3-9]`).

use std::time::Duration;

use super::name::policy;

policy! {
    /// When the broker publishes Wills. It keeps to the Will Delay Interval, unless the policy says otherwise.
    enum Wills {
        /// Published when its delay has passed or its session ends, but not when the session was resumed before that.
        #[default]
        Publish => "publish", "at every end of a connection except after DISCONNECT 0x00, with its delay: conforms";
        Never => "never", "never";
        Twice => "twice", "each Will twice";
        /// None if the second CONNECT has none; the first's if there was no second CONNECT.
        OfSecondConnect => "of-second-connect", "the Will of the second CONNECT in place of the first's";
        EvenAfterDisconnect => "even-after-disconnect", "after DISCONNECT 0x00 too";
        IgnoreDelay => "ignore-delay", "at once, whatever the Will Delay Interval";
        NeverOnTakeOver => "never-on-take-over", "not when its connection is taken over";
        /// Breaks `MQTT 5.0 [MQTT-3.1.3-9]` when the newcomer resumes the session before the delay has passed.
        AlwaysOnTakeOver => "always-on-take-over", "at once when its connection is taken over, even if the session continues";
        Late(time: Duration) => "late-DURATION", "each this much later than it is due, even when the Client is back";
        /// Breaks `MQTT 5.0 [MQTT-3.1.2-15]`.
        NeverRetained => "never-retained", "each without RETAIN, whatever Will Retain says";
        /// As a broker does that publishes the Will of an earlier connection of the Client so late.
        OfEarlierConnection => "of-earlier-connection", "each as soon as its Client connects, as if from an earlier connection, and again when it is due";
    }
}
