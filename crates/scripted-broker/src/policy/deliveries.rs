//! What happens to an Application Message on its way to a subscriber.

use std::num::NonZeroU32;
use std::time::Duration;

use super::name::policy;

policy! {
    /// What happens to an Application Message on its way to a subscriber. The publisher gets its acknowledgement in any
    /// case. Deliveries are counted for each subscriber separately, from 1; where a QoS is named, only those at that QoS.
    enum Deliveries {
        #[default]
        All => "all", "each once and in order: conforms";
        LoseEvery(n: NonZeroU32) => "lose-every-N", "every N-th delivery to a subscriber is lost, though acknowledged";
        /// The second time as a separate message.
        DuplicateEvery(n: NonZeroU32) => "duplicate-every-N", "every N-th delivery to a subscriber arrives twice";
        LoseQos1Every(n: NonZeroU32) => "lose-qos1-every-N", "every N-th delivery at QoS 1 is lost, though acknowledged";
        /// The second one has a new Packet Identifier.
        DuplicateQos2Every(n: NonZeroU32) => "duplicate-qos2-every-N", "every N-th delivery at QoS 2 arrives twice, as two messages";
        /// If none follows within a second, it comes then.
        SwapEvery(n: NonZeroU32) => "swap-every-N", "every N-th delivery to a subscriber arrives after the next one";
        DelayBy(by: Duration) => "delay-DURATION", "each arrives this much later (800ms, 2s)";
        /// The order is kept.
        DelayWhileAttacked(by: Duration, time: Duration) => "delay-DURATION-while-attacked-DURATION", "each arrives later by the first time, during the second time after every second CONNECT";
    }
}
