//! The broker's limits in its CONNACK, for honest clients, Wills, and faults that need the features.
//!
//! MQTT 3.1.1 has no such properties. Limits of 5.0 are assumed to hold on 3.1.1 as well: a broker has one store of retained
//! messages, and one way to keep a message.

use ungraceful_mqtt::QoS;

use crate::run::{BrokerRecord, VersionRecord};

/// The broker's limits. The default is that of a CONNACK without properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Maximum QoS: the highest QoS that the broker accepts (MQTT 5.0 [MQTT-3.2.2-11]), or served before the run.
    pub maximum_qos: QoS,
    /// Maximum Packet Size: the largest packet in bytes that the broker accepts (MQTT 5.0 section 3.2.2.3.6); absent without
    /// this property.
    pub maximum_packet_size: Option<u32>,
    /// Retain Available: whether the broker retains messages (MQTT 5.0 [MQTT-3.2.2-13]).
    pub retain_available: bool,
    /// Shared Subscription Available: whether the broker supports Shared Subscriptions (MQTT 5.0 section 3.2.2.3.13), which
    /// MQTT 3.1.1 does not have.
    pub shared_subscription_available: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            maximum_qos: QoS::ExactlyOnce,
            maximum_packet_size: None,
            retain_available: true,
            shared_subscription_available: true,
        }
    }
}

impl Offers {
    /// The limits of this broker, including the QoS that it was seen to serve.
    #[must_use]
    pub fn known(broker: &BrokerRecord) -> Self {
        let said = Self::of(&broker.versions);
        let seen = broker.qos_limit.as_ref().and_then(|limit| QoS::try_from(limit.maximum_qos).ok());
        Self { maximum_qos: seen.map_or(said.maximum_qos, |seen| seen.min(said.maximum_qos)), ..said }
    }

    /// The limits in the CONNACKs of these versions, the lowest where they differ.
    #[must_use]
    pub fn of(versions: &[VersionRecord]) -> Self {
        let said = |name: &str| {
            let texts = versions.iter().filter_map(|version| version.connack_properties.get(name));
            texts.filter_map(|text| text.parse::<u32>().ok()).min()
        };
        let default = Self::default();
        Self {
            maximum_qos: said("Maximum QoS")
                .and_then(|qos| QoS::try_from(u8::try_from(qos).ok()?).ok())
                .unwrap_or(default.maximum_qos),
            maximum_packet_size: said("Maximum Packet Size"),
            retain_available: said("Retain Available") != Some(0),
            shared_subscription_available: said("Shared Subscription Available") != Some(0),
        }
    }

    /// The QoS of a Will and of its subscriber: 1, or the maximum of the broker.
    #[must_use]
    pub fn will_qos(self) -> QoS {
        QoS::AtLeastOnce.min(self.maximum_qos)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ungraceful_mqtt::QoS;

    use super::Offers;
    use crate::run::VersionRecord;

    fn version(properties: &[(&str, &str)]) -> VersionRecord {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        VersionRecord {
            version: "5.0".into(),
            spoken: true,
            why_not: None,
            connack_properties: properties.collect::<BTreeMap<_, _>>(),
            connack_time_us: None,
        }
    }

    #[test]
    fn a_broker_without_limits_supports_everything() {
        let offers = Offers::of(&[version(&[])]);
        assert_eq!((offers, Offers::of(&[])), (Offers::default(), Offers::default()));
        assert_eq!((offers.maximum_qos, offers.will_qos()), (QoS::ExactlyOnce, QoS::AtLeastOnce));
    }

    #[test]
    fn limits_hold_for_all_versions() {
        let said = [("Maximum QoS", "0"), ("Retain Available", "0"), ("Shared Subscription Available", "0")];
        let offers = Offers::of(&[version(&[]), version(&said)]);
        assert_eq!((offers.maximum_qos, offers.will_qos()), (QoS::AtMostOnce, QoS::AtMostOnce));
        assert!(!offers.retain_available && !offers.shared_subscription_available);
        let sizes =
            [version(&[("Maximum Packet Size", "2000")]), version(&[("Maximum Packet Size", "1000")])];
        assert_eq!(Offers::of(&sizes).maximum_packet_size, Some(1_000));
        assert!(Offers::of(&[version(&[("Retain Available", "1")])]).retain_available);
    }
}
