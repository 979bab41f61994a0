//! An Application Message as the broker keeps it, and one on its way to a subscriber.

use std::rc::Rc;

use ungraceful_mqtt::forbidden::{ForgedPublish, property_bytes};
use ungraceful_mqtt::{
    EncodeError, PacketIdentifier, Properties, Property, ProtocolVersion, Publish, QoS, Will,
};

/// Whether a message on this topic only tests the rights of its sender. `Rights` applies to those, and
/// no policy for deliveries or acknowledgements does.
pub(crate) fn is_rights_probe(topic: &str) -> bool {
    topic.ends_with("/probe")
}

/// An Application Message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The properties that travel with the message, as on the wire.
    properties: Vec<u8>,
}

impl Message {
    pub(crate) fn published(publish: &Publish<'_>) -> Rc<Self> {
        Rc::new(Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            retain: publish.retain,
            properties: travelling(publish.properties),
        })
    }

    /// The same without RETAIN.
    pub(crate) fn without_retain(&self) -> Self {
        Self { retain: false, ..self.clone() }
    }

    pub(crate) fn of_will(will: &Will<'_>) -> Rc<Self> {
        Rc::new(Self {
            topic: will.topic.to_owned(),
            payload: will.payload.to_vec(),
            qos: will.qos,
            retain: will.retain,
            properties: travelling(will.properties),
        })
    }
}

/// The properties that go on to subscribers, as far as they can be read.
fn travelling(properties: Properties<'_>) -> Vec<u8> {
    let for_the_server = |property: &Property<'_>| {
        let alias_or_identifier =
            matches!(property, Property::TopicAlias(_) | Property::SubscriptionIdentifier(_));
        alias_or_identifier || matches!(property, Property::WillDelayInterval(_))
    };
    let travelling: Vec<_> =
        properties.iter().flatten().filter(|property| !for_the_server(property)).collect();
    property_bytes(Properties::List(&travelling))
}

/// A message on its way to one subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Rc<Message>,
    /// The lower of the message's QoS and the subscription's.
    pub(crate) qos: QoS,
    /// RETAIN as the subscriber sees it.
    pub(crate) retain: bool,
}

impl Delivery {
    /// The PUBLISH as bytes, with a Packet Identifier above QoS 0.
    pub(crate) fn bytes(
        &self,
        version: ProtocolVersion,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
    ) -> Result<Vec<u8>, EncodeError> {
        let properties = match version {
            ProtocolVersion::V3_1_1 => Properties::NONE,
            ProtocolVersion::V5 => Properties::Wire(&self.message.properties),
        };
        let publish = Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.message.topic,
            packet_identifier: packet_identifier.map(PacketIdentifier::get),
            properties,
            payload: &self.message.payload,
        };
        let mut bytes = Vec::new();
        match publish.encode(version, &mut bytes) {
            // A policy has taken it; it goes out as it came.
            Err(EncodeError::Forbidden(_)) => Ok(ForgedPublish::like(&publish, version).forge().to_vec()),
            encoded => encoded.map(|()| bytes),
        }
    }
}
