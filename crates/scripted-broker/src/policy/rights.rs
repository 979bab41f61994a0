//! What a Client may do with topics, and which QoS the broker serves (MQTT 5.0 sections 3.4.2.1 and 3.9.3).
//!
//! A message to a topic whose last level is `probe` is subject to this policy and to no other about messages, so that a Client
//! that tests its rights first still reaches what the other policy is about.

use super::name::policy;

policy! {
    /// What a Client may do with topics, and which QoS the broker serves without a Maximum QoS in its CONNACK.
    enum Rights {
        #[default]
        All => "all", "every topic and every QoS: conforms";
        NoSubscribe => "no-subscribe", "SUBSCRIBE is refused with 0x87 (3.1.1: 0x80): conforms";
        /// MQTT 3.1.1 has no means to refuse.
        NoPublish => "no-publish", "PUBLISH is refused with 0x87 (3.1.1: acknowledged and dropped): conforms";
        /// The Client gets no error.
        NoDelivery => "no-delivery", "everything is granted and acknowledged, but nothing is delivered";
        NoQos2 => "no-qos-2", "RST on a QoS 2 PUBLISH; subscriptions are granted at most QoS 1";
    }
}
