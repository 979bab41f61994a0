//! What happens on a SUBSCRIBE with an invalid Topic Filter (MQTT 5.0 sections 4.7.1 and 4.13, MQTT 3.1.1 sections 4.7.1 and 4.8).

use super::name::policy;

policy! {
    /// What happens on a SUBSCRIBE with an invalid Topic Filter.
    enum InvalidFilters {
        #[default]
        Close => "close", "DISCONNECT 0x8F (3.1.1: none), then FIN: conforms";
        Refuse => "refuse", "SUBACK 0x8F (3.1.1: 0x80): conforms";
        Grant => "grant", "SUBACK 0x00, and nothing ever matches";
        Ignore => "ignore", "no SUBACK, and the Client is served on";
    }
}
