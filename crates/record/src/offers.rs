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
    /// Wildcard Subscription Available: whether the broker supports wildcards in Topic Filters (MQTT 5.0 section 3.2.2.3.11).
    pub wildcard_subscription_available: bool,
    /// Subscription Identifier Available: whether the broker supports Subscription Identifiers (MQTT 5.0 section 3.2.2.3.12).
    pub subscription_identifiers_available: bool,
    /// Topic Alias Maximum: the highest Topic Alias that the broker accepts; 0 without this property (MQTT 5.0 section 3.2.2.3.8).
    pub topic_alias_maximum: u16,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            maximum_qos: QoS::ExactlyOnce,
            maximum_packet_size: None,
            retain_available: true,
            shared_subscription_available: true,
            wildcard_subscription_available: true,
            subscription_identifiers_available: true,
            topic_alias_maximum: 0,
        }
    }
}

impl Offers {
    /// The limits of this broker, including the QoS that it was seen to serve: what all of its hosts offer.
    #[must_use]
    pub fn known(broker: &BrokerRecord) -> Self {
        let said = broker.further_nodes.iter().map(|node| Self::of(&node.versions));
        let said = said.fold(Self::of(&broker.versions), Self::shared);
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
            wildcard_subscription_available: said("Wildcard Subscription Available") != Some(0),
            subscription_identifiers_available: said("Subscription Identifier Available") != Some(0),
            topic_alias_maximum: said("Topic Alias Maximum")
                .and_then(|number| u16::try_from(number).ok())
                .unwrap_or(0),
        }
    }

    /// What both offer.
    fn shared(self, other: Self) -> Self {
        Self {
            maximum_qos: self.maximum_qos.min(other.maximum_qos),
            maximum_packet_size: self.maximum_packet_size.into_iter().chain(other.maximum_packet_size).min(),
            retain_available: self.retain_available && other.retain_available,
            shared_subscription_available: self.shared_subscription_available
                && other.shared_subscription_available,
            wildcard_subscription_available: self.wildcard_subscription_available
                && other.wildcard_subscription_available,
            subscription_identifiers_available: self.subscription_identifiers_available
                && other.subscription_identifiers_available,
            topic_alias_maximum: self.topic_alias_maximum.min(other.topic_alias_maximum),
        }
    }

    /// Which hosts offer less than others by their CONNACKs, as text; absent when all offer the same.
    #[must_use]
    pub fn differences(broker: &BrokerRecord) -> Option<String> {
        let first = broker.target.split(", ").next().unwrap_or_default();
        let further =
            broker.further_nodes.iter().map(|node| (node.target.as_str(), Self::of(&node.versions)));
        let hosts: Vec<(&str, Self)> =
            [(first, Self::of(&broker.versions))].into_iter().chain(further).collect();
        let less: Vec<String> = hosts
            .iter()
            .filter_map(|(host, offers)| {
                let missing = offers.less_than(&hosts);
                (!missing.is_empty()).then(|| format!("{host} offers {}", missing.join(" and ")))
            })
            .collect();
        (!less.is_empty()).then(|| {
            let less = less.join("; ");
            format!(
                "the hosts differ: {less}; bystanders, Wills and faults stay within what all of them offer"
            )
        })
    }

    /// What one of the hosts offers more of, in words.
    fn less_than(self, hosts: &[(&str, Self)]) -> Vec<String> {
        let exceeds = |more: &dyn Fn(&Self) -> bool| hosts.iter().any(|(_, other)| more(other));
        let mut less = Vec::new();
        if exceeds(&|other| other.maximum_qos > self.maximum_qos) {
            less.push(format!("{} at most", self.maximum_qos));
        }
        let bytes = self.maximum_packet_size;
        let is_larger = |other: Option<u32>, bytes: u32| other.is_none_or(|other| other > bytes);
        if let Some(bytes) =
            bytes.filter(|bytes| exceeds(&|other| is_larger(other.maximum_packet_size, *bytes)))
        {
            less.push(format!("packets of {bytes} bytes at most"));
        }
        if exceeds(&|other| other.retain_available && !self.retain_available) {
            less.push("no retained messages".to_owned());
        }
        if exceeds(&|other| other.shared_subscription_available && !self.shared_subscription_available) {
            less.push("no Shared Subscriptions".to_owned());
        }
        less
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
    use crate::run::{BrokerRecord, NodeRecord, VersionRecord};

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
    fn of_several_hosts_the_limits_of_all_hold_and_those_with_less_are_named() {
        let broker = |hosts: &[&[(&str, &str)]]| {
            let node = |properties: &&[(&str, &str)]| NodeRecord {
                target: "b:1".into(),
                versions: vec![version(properties)],
                ..NodeRecord::default()
            };
            BrokerRecord {
                target: "a:1, b:1".into(),
                versions: vec![version(hosts[0])],
                further_nodes: hosts[1..].iter().map(node).collect(),
                ..BrokerRecord::default()
            }
        };
        let same = broker(&[&[("Maximum QoS", "1")], &[("Maximum QoS", "1")]]);
        assert_eq!((Offers::known(&same).maximum_qos, Offers::differences(&same)), (QoS::AtLeastOnce, None));
        assert_eq!(Offers::differences(&broker(&[&[("Maximum QoS", "1")]])), None, "one host");
        let differ = broker(&[
            &[("Maximum Packet Size", "2000")],
            &[("Maximum QoS", "1"), ("Maximum Packet Size", "1000"), ("Retain Available", "0")],
        ]);
        let offers = Offers::known(&differ);
        assert_eq!((offers.maximum_qos, offers.maximum_packet_size), (QoS::AtLeastOnce, Some(1_000)));
        assert!(!offers.retain_available && offers.shared_subscription_available);
        let said = Offers::differences(&differ).unwrap();
        let less = "b:1 offers QoS 1 at most and packets of 1000 bytes at most and no retained messages;";
        assert!(said.contains(less) && !said.contains("a:1 offers"), "{said}");
        let each = broker(&[&[("Shared Subscription Available", "0")], &[("Maximum Packet Size", "9")]]);
        let said = Offers::differences(&each).unwrap();
        assert!(said.contains("a:1 offers no Shared Subscriptions; b:1 offers packets of 9 bytes"), "{said}");
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
