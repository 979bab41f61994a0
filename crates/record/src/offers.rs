//! What the broker says in its CONNACK that it does not do, for whoever must keep to it: honest clients, Wills, and faults
//! that can't be carried out without.
//!
//! MQTT 3.1.1 has no way to say it. What a broker says on 5.0 is taken to hold on 3.1.1 as well: a broker has one store of
//! retained messages, and one way to keep a message.

use ungraceful_mqtt::QoS;

use crate::run::{BrokerRecord, VersionRecord};

/// What the broker does, as far as it tells. The default is what a CONNACK without properties says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Maximum QoS: the highest QoS that the broker takes (MQTT 5.0 [MQTT-3.2.2-11]), or was seen to serve before the run.
    pub maximum_qos: QoS,
    /// Maximum Packet Size: the largest packet in bytes that the broker takes (MQTT 5.0 section 3.2.2.3.6); absent when it does
    /// not say.
    pub maximum_packet_size: Option<u32>,
    /// Retain Available: whether the broker retains messages (MQTT 5.0 [MQTT-3.2.2-13]).
    pub retain_available: bool,
    /// Shared Subscription Available: whether the broker takes Shared Subscriptions, which MQTT 3.1.1 does not have
    /// (MQTT 5.0 section 3.2.2.3.13).
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
    /// What this broker says, and at the most what it was seen to serve.
    #[must_use]
    pub fn known(broker: &BrokerRecord) -> Self {
        let said = Self::of(&broker.versions);
        let seen = broker.qos_limit.as_ref().and_then(|limit| QoS::try_from(limit.maximum_qos).ok());
        Self { maximum_qos: seen.map_or(said.maximum_qos, |seen| seen.min(said.maximum_qos)), ..said }
    }

    /// What the CONNACKs of these versions say, the least of it where they differ.
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

    /// The QoS of a Will, and of who listens for it: 1, or what the broker takes.
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
    fn a_broker_that_says_nothing_does_everything() {
        let offers = Offers::of(&[version(&[])]);
        assert_eq!((offers, Offers::of(&[])), (Offers::default(), Offers::default()));
        assert_eq!((offers.maximum_qos, offers.will_qos()), (QoS::ExactlyOnce, QoS::AtLeastOnce));
    }

    #[test]
    fn what_it_does_not_do_holds_for_all_versions() {
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
