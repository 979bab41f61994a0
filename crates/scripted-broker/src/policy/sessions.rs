//! What happens to a session when its Client reconnects (MQTT 5.0 sections 3.1.2.4, 3.2.2.1.1 and 4.4).

use super::name::policy;

policy! {
    /// What happens to a session when its Client reconnects, by a take-over or after a close.
    enum Sessions {
        /// Session Present says which.
        #[default]
        Keep => "keep", "resumed with Clean Start 0, discarded with 1: conforms";
        /// Breaks `MQTT 5.0 [MQTT-3.1.2-4]` and `[MQTT-3.2.2-2]`.
        ResumeClean => "resume-clean", "resumed with Clean Start 1 too; Session Present 1";
        /// Breaks `MQTT 5.0 [MQTT-3.1.2-4]`.
        ResumeCleanSilently => "resume-clean-silently", "resumed with Clean Start 1 too; Session Present 0";
        Forget => "forget", "discarded with Clean Start 0 too; Session Present 0";
        LiePresent => "lie-present", "discarded with Clean Start 0 too, but Session Present 1, even without a session";
        LieAbsent => "lie-absent", "resumed with Clean Start 0, but Session Present 0";
        /// Breaks `MQTT 5.0 [MQTT-4.4.0-1]`.
        LoseUnacknowledged => "lose-unacknowledged", "resumed, but unacknowledged messages are not sent again";
        LoseQueued => "lose-queued", "resumed, but queued messages are lost";
        /// Breaks `MQTT 5.0 [MQTT-3.3.1-1]`.
        ResendWithoutDup => "resend-without-dup", "resumed, but messages are sent again with DUP 0";
        /// Breaks `MQTT 5.0 [MQTT-4.4.0-1]`.
        ResendWithNewIdentifiers => "resend-with-new-identifiers", "resumed, but messages are sent again with other Packet Identifiers";
        /// The Packet Identifiers of messages that were not released are gone.
        ForgetReceived => "forget-received", "resumed, but a QoS 2 PUBLISH that a Client sends again counts as a new message";
        /// Whatever the Session Expiry Interval: breaks `MQTT 5.0 [MQTT-3.1.2-5]` and `MQTT 5.0 [MQTT-3.3.1-1]`.
        UncleanWithoutDup => "unclean-without-dup", "kept only if begun with Clean Start 0, and messages are sent again with DUP 0";
        /// An interval of 0 included: breaks `MQTT 5.0 [MQTT-4.1.0-2]`.
        NeverExpire => "never-expire", "kept for ever, whatever the Session Expiry Interval";
    }
}
